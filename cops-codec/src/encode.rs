//! Messages and loose objects, written as frames.
//!
//! There is one encoding of a message: objects in the order of its grammar, reserved fields and padding zero. Decoding it
//! gives the same message; decoding anything else that means the same gives it too.

use bytes::{BufMut, BytesMut};

use crate::{
    error::EncodeError,
    framing::Frame,
    limits::{Limits, MAX_OBJECT_CONTENTS_OCTETS},
    message::Message,
    wire::{ClientType, HEADER_OCTETS, Header, ObjectRef, OpCode, RawObject},
};

impl Message {
    /// Encodes the message.
    ///
    /// # Errors
    /// If it holds something that the wire cannot express, or exceeds `limits`.
    pub fn encode(&self, limits: &Limits) -> Result<Frame, EncodeError> {
        let mut out = BytesMut::new();
        self.encode_into(&mut out, limits)?;
        Ok(Frame::from_encoded(out.freeze()))
    }

    /// Appends the encoded message to `out`.
    ///
    /// # Errors
    /// As [`Self::encode`]; `out` is then as it was.
    pub fn encode_into(&self, out: &mut BytesMut, limits: &Limits) -> Result<(), EncodeError> {
        let header = Header {
            solicited: self.solicited(),
            op_code: self.op_code(),
            client_type: self.client_type(),
            length: 0,
        };
        write_message(header, out, limits, |writer| self.put_objects(writer))
    }
}

/// Encodes a message from loose objects, whatever they are and in whatever order.
///
/// This is for what [`Message`] cannot express: a peer's faults in a test, or a document's objects that are not known here.
///
/// # Errors
/// If an object or the message is too long, or there are too many objects.
pub fn encode_objects(
    op_code: OpCode,
    client_type: ClientType,
    solicited: bool,
    objects: &[ObjectRef<'_>],
    limits: &Limits,
) -> Result<Frame, EncodeError> {
    let mut out = BytesMut::new();
    write_message(
        Header {
            solicited,
            op_code,
            client_type,
            length: 0,
        },
        &mut out,
        limits,
        |writer| objects.iter().try_for_each(|object| writer.put(*object)),
    )?;
    Ok(Frame::from_encoded(out.freeze()))
}

/// Writes header and objects, then the length; takes everything back on an error.
fn write_message(
    header: Header,
    out: &mut BytesMut,
    limits: &Limits,
    put_objects: impl FnOnce(&mut ObjectWriter<'_>) -> Result<(), EncodeError>,
) -> Result<(), EncodeError> {
    let start = out.len();
    let mut writer = ObjectWriter {
        start,
        objects: 0,
        limits,
        out,
    };
    let written = writer
        .put_header(header)
        .and_then(|()| put_objects(&mut writer))
        .and_then(|()| writer.put_length());
    if written.is_err() {
        out.truncate(start);
    }
    written
}

/// Appends objects to a message, and keeps it within the limits.
pub(crate) struct ObjectWriter<'a> {
    start: usize,
    objects: usize,
    pub(crate) limits: &'a Limits,
    out: &'a mut BytesMut,
}

impl ObjectWriter<'_> {
    fn put_header(&mut self, header: Header) -> Result<(), EncodeError> {
        self.check_room(HEADER_OCTETS)?;
        header.put(self.out);
        Ok(())
    }

    /// The length is known last.
    fn put_length(&mut self) -> Result<(), EncodeError> {
        const LENGTH_OFFSET: usize = 4;
        let found = self.out.len() - self.start;
        let too_long = EncodeError::MessageTooLong {
            limit: self.limits.max_message_octets,
            found,
        };
        let length = u32::try_from(found).map_err(|_| too_long)?;
        let field = self.start + LENGTH_OFFSET;
        self.out[field..field + 4].copy_from_slice(&length.to_be_bytes());
        Ok(())
    }

    /// Appends an object with its padding. Nothing is copied that turns out not to fit.
    pub(crate) fn put(&mut self, object: ObjectRef<'_>) -> Result<(), EncodeError> {
        let contents_octets = object.contents_octets();
        let stated_octets = RawObject::HEADER_OCTETS + contents_octets;
        let Ok(length) = u16::try_from(stated_octets) else {
            return Err(EncodeError::ObjectTooLong {
                object: object.id(),
                found: contents_octets,
            });
        };
        const { assert!(MAX_OBJECT_CONTENTS_OCTETS + RawObject::HEADER_OCTETS == u16::MAX as usize) };
        let wire_octets = stated_octets.next_multiple_of(4);
        self.objects += 1;
        self.check_count("objects in a message", self.limits.max_objects, self.objects)?;
        self.check_room(wire_octets)?;
        let id = object.id();
        self.out.reserve(wire_octets);
        self.out.put_u16(length);
        self.out.put_u8(id.c_num.0);
        self.out.put_u8(id.c_type.0);
        object.put_contents(self.out);
        self.out.put_bytes(0, wire_octets - stated_octets);
        Ok(())
    }

    /// For what a message holds several of.
    pub(crate) fn check_count(
        &self,
        what: &'static str,
        limit: usize,
        found: usize,
    ) -> Result<(), EncodeError> {
        if found > limit {
            Err(EncodeError::OverLimit { what, limit, found })
        } else {
            Ok(())
        }
    }

    fn check_room(&self, octets: usize) -> Result<(), EncodeError> {
        let found = self.out.len() - self.start + octets;
        let limit = self.limits.max_message_octets;
        if found > limit {
            Err(EncodeError::MessageTooLong { limit, found })
        } else {
            Ok(())
        }
    }
}
