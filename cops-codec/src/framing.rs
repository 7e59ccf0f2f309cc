//! Where a message ends in the octet stream: found from its header alone, before anything is parsed and before memory is
//! taken for what is still to come (RFC 2748 2.1).

use bytes::{Bytes, BytesMut};

use crate::{
    error::{DecodeError, Fault, FaultKind},
    limits::Limits,
    wire::{ClientType, HEADER_OCTETS, Header, OpCode, parse_header, parse_version},
};

/// The octets of exactly one message, its header in order: version 1, and the length that it says. Its objects are not yet
/// looked at.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Frame(Bytes);

impl Frame {
    /// All of `octets` as one message.
    ///
    /// # Errors
    /// If version or length are not acceptable, or the length is not that of `octets`.
    pub fn new(octets: Bytes, limits: &Limits) -> Result<Self, DecodeError> {
        check(&octets, limits).map_err(unframed)?;
        Ok(Self(octets))
    }

    /// The caller wrote the header and its length.
    pub(crate) const fn from_encoded(octets: Bytes) -> Self {
        Self(octets)
    }

    /// The common header.
    #[must_use]
    pub fn header(&self) -> Header {
        // A frame has at least 8 octets, so the second branch is never taken; it is what a panic would have to be.
        parse_header(&self.0).map_or(
            Header {
                solicited: false,
                op_code: OpCode(0),
                client_type: ClientType::CONNECTION,
                length: 0,
            },
            |(_, header)| header,
        )
    }

    /// The octets, header included.
    #[must_use]
    pub const fn octets(&self) -> &Bytes {
        &self.0
    }

    /// The octets, header included.
    #[must_use]
    pub fn into_octets(self) -> Bytes {
        self.0
    }
}

impl core::ops::Deref for Frame {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl AsRef<[u8]> for Frame {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl core::fmt::Debug for Frame {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let header = self.header();
        write!(
            f,
            "Frame({} for {}, {} octets)",
            header.op_code,
            header.client_type,
            self.0.len()
        )
    }
}

/// The length of the message that starts with `octets`, or `None` while its header is incomplete.
///
/// A wrong version is told from the first octet on: what does not speak COPS is not listened to any longer than that.
///
/// # Errors
/// If the version is not 1, or the length is below 8, not a multiple of 4, or over the limit.
pub fn message_octets(octets: &[u8], limits: &Limits) -> Result<Option<usize>, Fault> {
    const LENGTH_OFFSET: usize = 4;
    if let Some(first) = octets.first() {
        parse_version(*first)?;
    }
    let Some((_, header)) = parse_header(octets) else {
        return Ok(None);
    };
    let length = header.length;
    // A platform whose usize is narrower than 32 bits has no room for such a message either.
    let octets = usize::try_from(length).unwrap_or(usize::MAX);
    if octets < HEADER_OCTETS || !octets.is_multiple_of(4) {
        return Err(Fault::new(
            LENGTH_OFFSET,
            FaultKind::MessageLength { found: length },
        ));
    }
    if octets > limits.max_message_octets {
        let limit = limits.max_message_octets;
        return Err(Fault::new(
            LENGTH_OFFSET,
            FaultKind::MessageTooLong { limit, found: length },
        ));
    }
    Ok(Some(octets))
}

/// All of `octets` as one message.
pub(crate) fn check(octets: &[u8], limits: &Limits) -> Result<(), Fault> {
    let expected = message_octets(octets, limits)?.unwrap_or(HEADER_OCTETS);
    if octets.len() == expected {
        return Ok(());
    }
    let offset = octets.len().min(expected);
    Err(Fault::new(
        offset,
        FaultKind::MessageOctets {
            expected,
            found: octets.len(),
        },
    ))
}

pub(crate) const fn unframed(fault: Fault) -> DecodeError {
    DecodeError {
        fault,
        header: None,
        handle: None,
    }
}

/// Takes octets as they come from the stream and gives whole messages.
///
/// Feed it with [`Self::push`], then call [`Self::next_frame`] until it gives nothing. It holds what was pushed and not yet
/// given, so a caller that drains after each push holds at most one message and one piece, and nothing between messages.
///
/// After a fault the end of the message is unknown and so is the start of the next: the same error is given for ever, and
/// further octets are dropped.
#[derive(Debug)]
pub struct Framer {
    limits: Limits,
    buffer: BytesMut,
    failed: Option<Fault>,
}

impl Framer {
    /// With nothing received yet. Takes no memory until something is pushed.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            buffer: BytesMut::new(),
            failed: None,
        }
    }

    /// Takes a piece of the stream, of any size.
    pub fn push(&mut self, octets: &[u8]) {
        if self.failed.is_none() {
            self.buffer.extend_from_slice(octets);
        }
    }

    /// The next whole message, or `None` if more octets are needed.
    ///
    /// # Errors
    /// If a header is not acceptable; then for ever.
    pub fn next_frame(&mut self) -> Result<Option<Frame>, DecodeError> {
        if let Some(fault) = self.failed {
            return Err(unframed(fault));
        }
        let taken = take_frame(&mut self.buffer, &self.limits).map_err(|fault| {
            self.failed = Some(fault);
            self.buffer = BytesMut::new();
            unframed(fault)
        });
        // What is left of the room of a large message is given back with it: a peer that is silent holds nothing.
        if self.buffer.is_empty() {
            self.buffer = BytesMut::new();
        }
        taken
    }

    /// Octets that were pushed and not yet given as messages. Anything but 0 when the stream ends is a message cut short.
    #[must_use]
    pub fn pending_octets(&self) -> usize {
        self.buffer.len()
    }
}

/// Splits the first message off, if it is whole.
pub(crate) fn take_frame(buffer: &mut BytesMut, limits: &Limits) -> Result<Option<Frame>, Fault> {
    match message_octets(buffer, limits)? {
        Some(octets) if octets <= buffer.len() => Ok(Some(Frame(buffer.split_to(octets).freeze()))),
        _ => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holds_no_memory_between_messages() {
        let mut framer = Framer::new(Limits::DEFAULT);
        let length = Limits::DEFAULT.max_message_octets;
        let mut message = vec![0x10, 1, 0x50, 0x57];
        message.extend(u32::try_from(length).unwrap().to_be_bytes());
        message.resize(length, 0);
        for piece in message.chunks(2_048) {
            assert_eq!(framer.next_frame().unwrap(), None);
            framer.push(piece);
        }
        assert_eq!(framer.next_frame().unwrap().unwrap().len(), length);
        assert_eq!(framer.buffer.capacity(), 0);
    }
}
