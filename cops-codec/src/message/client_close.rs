//! Client-Close (RFC 2748 3.8).

use crate::{
    decode::{Reader, once},
    encode::ObjectWriter,
    error::{EncodeError, Fault},
    wire::{ClientType, CopsError, Integrity, ObjectRef, PdpAddress},
};

/// CC: the client-type is not, or no longer, supported here. There is no answer (RFC 2748 3.8).
///
/// ```text
/// <Client-Close>  ::= <Common Header> <Error> [<PDPRedirAddr>] [<Integrity>]
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientClose {
    /// The client-type; 0 ends the whole connection.
    pub client_type: ClientType,
    /// Why.
    pub error: CopsError,
    /// The PDP that the PEP should go to instead; only a PDP names one.
    pub pdp_redirect_address: Option<PdpAddress>,
    /// Authenticates the message.
    pub integrity: Option<Integrity>,
}

impl ClientClose {
    pub(crate) fn decode(reader: &mut Reader<'_>) -> Result<Self, Fault> {
        let (mut error, mut pdp_redirect_address) = (None, None);
        while let Some(located) = reader.next()? {
            match located.object {
                ObjectRef::Error(value) => once(&mut error, value, located)?,
                ObjectRef::PdpRedirectAddress(value) => once(&mut pdp_redirect_address, value, located)?,
                _ => return Err(reader.unexpected(located)),
            }
        }
        Ok(Self {
            client_type: reader.header.client_type,
            error: reader.required(error, "Error")?,
            pdp_redirect_address,
            integrity: reader.integrity(),
        })
    }

    pub(crate) fn put_objects(&self, writer: &mut ObjectWriter<'_>) -> Result<(), EncodeError> {
        writer.put(ObjectRef::Error(self.error))?;
        self.pdp_redirect_address.map_or(Ok(()), |address| {
            writer.put(ObjectRef::PdpRedirectAddress(address))
        })
    }
}
