//! What all these tests use.

use bytes::Bytes;
use cops_codec::{
    DecodeError, Fault, FaultKind, Frame, Limits, Message, MessageRef,
    encode::encode_objects,
    wire::{ClientType, ObjectRef, OpCode},
};

/// A client-type of the private-use range.
pub(crate) const CLIENT_TYPE: ClientType = ClientType(0x4001);

/// Octets from hexadecimal digits; blanks do not count, and `;` begins a comment that goes to the end of the line.
pub(crate) fn hex(text: &str) -> Bytes {
    let digits: Vec<u8> = text
        .lines()
        .flat_map(|line| line.split(';').next().unwrap_or_default().chars())
        .filter(|character| !character.is_whitespace())
        .map(|digit| u8::try_from(digit.to_digit(16).expect("a hexadecimal digit")).expect("below 16"))
        .collect();
    assert!(digits.len().is_multiple_of(2), "two digits an octet");
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

/// Octets as they are written in vectors, four to a group.
pub(crate) fn show(octets: &[u8]) -> String {
    octets
        .chunks(4)
        .map(|word| {
            word.iter()
                .map(|octet| format!("{octet:02x}"))
                .collect::<String>()
        })
        .collect::<Vec<_>>()
        .join(" ")
}

/// A message of loose objects, with a right length.
pub(crate) fn frame(op_code: OpCode, objects: &[ObjectRef<'_>]) -> Frame {
    encode_objects(op_code, CLIENT_TYPE, false, objects, &Limits::default()).expect("objects that fit")
}

/// Header for these contents, with a right length.
pub(crate) fn with_header(op_code: OpCode, objects: &[u8]) -> Bytes {
    let mut octets = vec![0x10, op_code.0, 0x40, 0x01];
    octets.extend(
        u32::try_from(8 + objects.len())
            .expect("a short message")
            .to_be_bytes(),
    );
    octets.extend(objects);
    octets.into()
}

pub(crate) fn decode(octets: impl Into<Bytes>) -> Result<Message, DecodeError> {
    decode_within(octets, &Limits::default())
}

pub(crate) fn decode_within(octets: impl Into<Bytes>, limits: &Limits) -> Result<Message, DecodeError> {
    Message::decode(&Frame::new(octets.into(), limits)?, limits)
}

/// The fault of a message that is refused.
#[track_caller]
pub(crate) fn fault(octets: impl Into<Bytes>) -> Fault {
    let octets = octets.into();
    match decode(octets.clone()) {
        Ok(message) => panic!("expected {} to be refused, got {message:?}", show(&octets)),
        Err(error) => error.fault,
    }
}

/// The fault of loose objects that are refused as a message.
#[track_caller]
pub(crate) fn fault_of(op_code: OpCode, objects: &[ObjectRef<'_>]) -> Fault {
    fault(frame(op_code, objects).into_octets())
}

/// The message of loose objects.
#[track_caller]
pub(crate) fn message_of(op_code: OpCode, objects: &[ObjectRef<'_>]) -> Message {
    match decode(frame(op_code, objects).into_octets()) {
        Ok(message) => message,
        Err(error) => panic!("expected a message, got {error}"),
    }
}

#[track_caller]
pub(crate) fn encode(message: &Message) -> Bytes {
    message
        .encode(&Limits::default())
        .expect("a message that fits")
        .into_octets()
}

/// The only object of a message, typed, and the fault if it has one. The op code is of no matter to the borrowed view.
pub(crate) fn only_object(octets: &[u8]) -> Result<ObjectRef<'_>, Fault> {
    let message = MessageRef::new(octets, &Limits::default()).map_err(|error| error.fault)?;
    let mut objects = message.objects();
    let (offset, object) = objects.next().expect("one object")?;
    assert_eq!(offset, 8);
    assert!(objects.next().is_none(), "one object only");
    Ok(object)
}

/// Whether a fault is that an object stands in the wrong place.
pub(crate) fn is_order(fault: Fault) -> bool {
    matches!(fault.kind, FaultKind::Order { .. })
}
