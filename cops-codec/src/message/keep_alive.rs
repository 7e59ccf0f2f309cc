//! Keep-Alive (RFC 2748 3.9).

use crate::{
    decode::Reader,
    encode::ObjectWriter,
    error::{EncodeError, Fault, FaultKind},
    wire::{ClientType, Integrity},
};

/// KA: the sender is alive. It belongs to the connection, so it has no client-type of its own (RFC 2748 3.9).
///
/// ```text
/// <Keep-Alive>  ::= <Common Header> [<Integrity>]
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeepAlive {
    /// Authenticates the message.
    pub integrity: Option<Integrity>,
}

impl KeepAlive {
    pub(crate) fn decode(reader: &mut Reader<'_>) -> Result<Self, Fault> {
        const CLIENT_TYPE_OFFSET: usize = 2;
        let found = reader.header.client_type;
        // RFC 2748 3.9: "MUST always be set to 0".
        if found != ClientType::CONNECTION {
            let expected = ClientType::CONNECTION;
            return Err(Fault::new(
                CLIENT_TYPE_OFFSET,
                FaultKind::ClientType { expected, found },
            ));
        }
        match reader.next()? {
            Some(located) => Err(reader.unexpected(located)),
            None => Ok(Self {
                integrity: reader.integrity(),
            }),
        }
    }

    pub(crate) fn put_objects(&self, _writer: &mut ObjectWriter<'_>) -> Result<(), EncodeError> {
        Ok(())
    }
}
