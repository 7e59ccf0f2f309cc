//! Delete Request State (RFC 2748 3.4).

use crate::{
    decode::{Reader, once},
    encode::ObjectWriter,
    error::{EncodeError, Fault},
    wire::{ClientHandle, ClientType, Integrity, ObjectRef, Reason},
};

/// DRQ: the request-state is gone at the PEP. There is no answer (RFC 2748 3.4).
///
/// ```text
/// <Delete Request>  ::= <Common Header> <Client Handle> <Reason> [<Integrity>]
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeleteRequestState {
    /// The client-type.
    pub client_type: ClientType,
    /// The request-state.
    pub handle: ClientHandle,
    /// Why.
    pub reason: Reason,
    /// Authenticates the message.
    pub integrity: Option<Integrity>,
}

impl DeleteRequestState {
    pub(crate) fn decode(reader: &mut Reader<'_>) -> Result<Self, Fault> {
        let (mut handle, mut reason) = (None, None);
        while let Some(located) = reader.next()? {
            match located.object {
                ObjectRef::Handle(contents) => once(&mut handle, reader.handle(contents), located)?,
                ObjectRef::Reason(value) => once(&mut reason, value, located)?,
                _ => return Err(reader.unexpected(located)),
            }
        }
        Ok(Self {
            client_type: reader.header.client_type,
            handle: reader.required(handle, "Handle")?,
            reason: reader.required(reason, "Reason")?,
            integrity: reader.integrity(),
        })
    }

    pub(crate) fn put_objects(&self, writer: &mut ObjectWriter<'_>) -> Result<(), EncodeError> {
        writer.put(ObjectRef::Handle(self.handle.as_bytes()))?;
        writer.put(ObjectRef::Reason(self.reason))
    }
}
