//! Client-Open (RFC 2748 3.6).

use super::put_client_si;
use crate::{
    decode::{Reader, once},
    encode::ObjectWriter,
    error::{EncodeError, Fault},
    wire::{ClientSi, ClientType, Integrity, ObjectRef, PdpAddress, PepId},
};

/// OPN: the PEP supports this client-type. May be sent again for an open one (RFC 2748 3.6).
///
/// ```text
/// <Client-Open>  ::= <Common Header> <PEPID> [<ClientSI>] [<LastPDPAddr>] [<Integrity>]
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientOpen {
    /// The client-type; 0 negotiates the connection's security (RFC 2748 4.1).
    pub client_type: ClientType,
    /// Which PEP this is.
    pub pep_id: PepId,
    /// Global information about the PEP; the RFC has the named kind here.
    pub client_si: Option<ClientSi>,
    /// The PDP whose complete set of decisions the PEP still holds (RFC 2748 2.2.14, 2.5, 4.3).
    pub last_pdp_address: Option<PdpAddress>,
    /// Authenticates the message.
    pub integrity: Option<Integrity>,
}

impl ClientOpen {
    pub(crate) fn decode(reader: &mut Reader<'_>) -> Result<Self, Fault> {
        let (mut pep_id, mut client_si, mut last_pdp_address) = (None, None, None);
        while let Some(located) = reader.next()? {
            match located.object {
                ObjectRef::PepId(name) => once(&mut pep_id, PepId::from_checked(name), located)?,
                ObjectRef::LastPdpAddress(value) => once(&mut last_pdp_address, value, located)?,
                object => match reader.client_si(object) {
                    Some(value) => once(&mut client_si, value, located)?,
                    None => return Err(reader.unexpected(located)),
                },
            }
        }
        Ok(Self {
            client_type: reader.header.client_type,
            pep_id: reader.required(pep_id, "PEPID")?,
            client_si,
            last_pdp_address,
            integrity: reader.integrity(),
        })
    }

    pub(crate) fn put_objects(&self, writer: &mut ObjectWriter<'_>) -> Result<(), EncodeError> {
        writer.put(ObjectRef::PepId(self.pep_id.as_str()))?;
        if let Some(client_si) = &self.client_si {
            put_client_si(client_si, writer)?;
        }
        self.last_pdp_address
            .map_or(Ok(()), |address| writer.put(ObjectRef::LastPdpAddress(address)))
    }
}
