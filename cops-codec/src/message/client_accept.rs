//! Client-Accept (RFC 2748 3.7).

use crate::{
    decode::{Reader, once},
    encode::ObjectWriter,
    error::{EncodeError, Fault},
    wire::{AccountingTimer, ClientType, Integrity, KaTimer, ObjectRef},
};

/// CAT: the PDP takes the client-type that an OPN offered (RFC 2748 3.7).
///
/// ```text
/// <Client-Accept>  ::= <Common Header> <KA Timer> [<ACCT Timer>] [<Integrity>]
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientAccept {
    /// The client-type.
    pub client_type: ClientType,
    /// The longest silence between the two ends.
    pub ka_timer: KaTimer,
    /// The least interval between accounting reports, per handle; no limit where there is none.
    pub accounting_timer: Option<AccountingTimer>,
    /// Authenticates the message.
    pub integrity: Option<Integrity>,
}

impl ClientAccept {
    pub(crate) fn decode(reader: &mut Reader<'_>) -> Result<Self, Fault> {
        let (mut ka_timer, mut accounting_timer) = (None, None);
        while let Some(located) = reader.next()? {
            match located.object {
                ObjectRef::KaTimer(value) => once(&mut ka_timer, value, located)?,
                ObjectRef::AccountingTimer(value) => once(&mut accounting_timer, value, located)?,
                _ => return Err(reader.unexpected(located)),
            }
        }
        Ok(Self {
            client_type: reader.header.client_type,
            ka_timer: reader.required(ka_timer, "KA Timer")?,
            accounting_timer,
            integrity: reader.integrity(),
        })
    }

    pub(crate) fn put_objects(&self, writer: &mut ObjectWriter<'_>) -> Result<(), EncodeError> {
        writer.put(ObjectRef::KaTimer(self.ka_timer))?;
        self.accounting_timer
            .map_or(Ok(()), |timer| writer.put(ObjectRef::AccountingTimer(timer)))
    }
}
