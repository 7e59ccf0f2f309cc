//! Synchronize State Request and Complete (RFC 2748 3.5, 3.10): the same grammar both ways.

use crate::{
    decode::{Reader, once},
    encode::ObjectWriter,
    error::{EncodeError, Fault},
    wire::{ClientHandle, ClientType, Integrity, ObjectRef},
};

/// SSQ: the PDP wants the PEP's state sent again (RFC 2748 3.5).
///
/// ```text
/// <Synchronize State> ::= <Common Header> [<Client Handle>] [<Integrity>]
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SynchronizeStateRequest {
    /// The client-type whose state it is about.
    pub client_type: ClientType,
    /// This state only; all active state of the client-type where there is none.
    pub handle: Option<ClientHandle>,
    /// Authenticates the message.
    pub integrity: Option<Integrity>,
}

/// SSC: the PEP has sent all that the SSQ asked for (RFC 2748 3.10).
///
/// ```text
/// <Synchronize State Complete>  ::= <Common Header> [<Client Handle>] [<Integrity>]
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SynchronizeStateComplete {
    /// The client-type whose state it is about.
    pub client_type: ClientType,
    /// The handle that the SSQ named, if it named one.
    pub handle: Option<ClientHandle>,
    /// Authenticates the message.
    pub integrity: Option<Integrity>,
}

impl SynchronizeStateRequest {
    pub(crate) fn decode(reader: &mut Reader<'_>) -> Result<Self, Fault> {
        let handle = decode_handle(reader)?;
        Ok(Self {
            client_type: reader.header.client_type,
            handle,
            integrity: reader.integrity(),
        })
    }

    pub(crate) fn put_objects(&self, writer: &mut ObjectWriter<'_>) -> Result<(), EncodeError> {
        put_handle(self.handle.as_ref(), writer)
    }
}

impl SynchronizeStateComplete {
    pub(crate) fn decode(reader: &mut Reader<'_>) -> Result<Self, Fault> {
        let handle = decode_handle(reader)?;
        Ok(Self {
            client_type: reader.header.client_type,
            handle,
            integrity: reader.integrity(),
        })
    }

    pub(crate) fn put_objects(&self, writer: &mut ObjectWriter<'_>) -> Result<(), EncodeError> {
        put_handle(self.handle.as_ref(), writer)
    }
}

fn decode_handle(reader: &mut Reader<'_>) -> Result<Option<ClientHandle>, Fault> {
    let mut handle = None;
    while let Some(located) = reader.next()? {
        match located.object {
            ObjectRef::Handle(contents) => once(&mut handle, reader.handle(contents), located)?,
            _ => return Err(reader.unexpected(located)),
        }
    }
    Ok(handle)
}

fn put_handle(handle: Option<&ClientHandle>, writer: &mut ObjectWriter<'_>) -> Result<(), EncodeError> {
    handle.map_or(Ok(()), |handle| writer.put(ObjectRef::Handle(handle.as_bytes())))
}
