//! Messages from bytes: what decodes encodes, and decodes to the same again; the borrowed view agrees with the owned
//! message; what does not decode has an answer that can be sent.
//!
//! Input: limits (see the crate's `generate`), then the message. An input whose length field is not that of the octets is
//! tried again with a right one, so that most inputs get beyond the framing.

use bytes::Bytes;
use cops_codec::{
    Answer, DecodeError, Frame, Limits, Message, MessageRef,
    encode::encode_objects,
    wire::{ClientHandle, ObjectRef, Role},
};

use crate::{Input, generate};

/// See the module.
pub fn run(octets: &[u8]) {
    let mut input = Input::new(octets);
    let limits = generate::limits(&mut input);
    let message = input.rest();
    check(Bytes::copy_from_slice(message), &limits);
    let mut mended = message[..message.len() / 4 * 4].to_vec();
    if mended.len() >= 8 {
        mended[0] = 0x10 | mended[0] & 0x0f;
        let length = u32::try_from(mended.len()).expect("an input below 4 GiB");
        mended[4..8].copy_from_slice(&length.to_be_bytes());
        if mended != message {
            check(mended.into(), &limits);
        }
    }
}

fn check(octets: Bytes, limits: &Limits) {
    let view = MessageRef::new(&octets, limits);
    let frame = match Frame::new(octets.clone(), limits) {
        Ok(frame) => frame,
        Err(error) => {
            assert_eq!(
                view.expect_err("the borrowed view refuses what the frame refuses"),
                error
            );
            refused(&error, octets.len());
            return;
        }
    };
    let view = view.expect("the borrowed view takes what the frame takes");
    assert_eq!((view.header(), view.octets()), (frame.header(), &frame[..]));
    let walked: Result<Vec<(usize, ObjectRef<'_>)>, _> = view.objects().collect();
    match Message::decode(&frame, limits) {
        Ok(message) => {
            let objects: Vec<ObjectRef<'_>> = walked
                .expect("all objects of a good message")
                .iter()
                .map(|(_, object)| *object)
                .collect();
            understood(&message, &view, &objects);
        }
        Err(error) => {
            assert_eq!(error.header, Some(frame.header()));
            assert_eq!(error.handle.as_ref().map(ClientHandle::as_bytes), view.handle());
            if let Err(fault) = walked {
                assert!(
                    error.fault.offset <= fault.offset,
                    "the first fault counts: {} {fault}",
                    error.fault
                );
            }
            refused(&error, frame.len());
        }
    }
}

fn understood(message: &Message, view: &MessageRef<'_>, objects: &[ObjectRef<'_>]) {
    // Limits on length hold on receipt; NUL and padding of a PEPID may make the message longer than it came.
    let limits = Limits::DEFAULT;
    let header = view.header();
    assert_eq!(message.op_code(), header.op_code);
    assert_eq!(message.client_type(), header.client_type);
    assert_eq!(message.handle().map(ClientHandle::as_bytes), view.handle());

    let encoded = message.encode(&limits).expect("what was received can be sent");
    assert_eq!(encoded.len() % 4, 0);
    let again = Message::decode(&encoded, &limits).expect("what was sent can be received");
    assert_eq!(again, *message);
    assert_eq!(
        again.encode(&limits).expect("once more"),
        encoded,
        "one encoding of a message"
    );

    // The borrowed view's objects, written again in their order, are the same message.
    let solicited = message.solicited();
    let loose = encode_objects(header.op_code, header.client_type, solicited, objects, &limits)
        .expect("the objects of a message that can be sent");
    assert_eq!(Message::decode(&loose, &limits).as_ref(), Ok(message));
}

fn refused(error: &DecodeError, octets: usize) {
    assert!(
        error.fault.offset <= octets.max(8),
        "a fault within the message: {error}"
    );
    assert!(!error.to_string().is_empty());
    for receiver in [Role::Pdp, Role::Pep] {
        let answer = error.answer(receiver);
        let closes = matches!(answer, Answer::CloseConnection { .. });
        assert_eq!(answer.closes_connection(), closes);
        let message = Message::from(answer);
        assert!(message.op_code().is_sent_by(receiver), "{message:?} to {error}");
        let frame = message
            .encode(&Limits::DEFAULT)
            .expect("an answer that can be sent");
        // A handle that is too long is named in the answer to it.
        let lenient = Limits {
            max_handle_octets: usize::MAX,
            ..Limits::DEFAULT
        };
        assert_eq!(Message::decode(&frame, &lenient), Ok(message));
    }
}
