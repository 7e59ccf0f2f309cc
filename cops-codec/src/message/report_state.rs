//! Report State (RFC 2748 3.3).

use super::put_client_si;
use crate::{
    decode::{Reader, once},
    encode::ObjectWriter,
    error::{EncodeError, Fault},
    wire::{ClientHandle, ClientSi, ClientType, Integrity, ObjectRef, ReportType},
};

/// RPT: how a decision was carried out, or an accounting update (RFC 2748 3.3).
///
/// ```text
/// <Report State> ::== <Common Header> <Client Handle> <Report-Type> [<ClientSI>] [<Integrity>]
/// ```
///
/// RFC 2748 has at most one ClientSI here, RFC 3084 3.3 any number of named ones; any number is read and written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReportState {
    /// The client-type.
    pub client_type: ClientType,
    /// The answer to a DEC: one for each DEC with a configuration context, in the order of the DECs.
    pub solicited: bool,
    /// The request-state.
    pub handle: ClientHandle,
    /// What is reported.
    pub report_type: ReportType,
    /// What the client-type wants said.
    pub client_si: Vec<ClientSi>,
    /// Authenticates the message.
    pub integrity: Option<Integrity>,
}

impl ReportState {
    pub(crate) fn decode(reader: &mut Reader<'_>) -> Result<Self, Fault> {
        let (mut handle, mut report_type) = (None, None);
        let mut client_si = Vec::new();
        while let Some(located) = reader.next()? {
            match located.object {
                ObjectRef::Handle(contents) => once(&mut handle, reader.handle(contents), located)?,
                ObjectRef::ReportType(value) => once(&mut report_type, value, located)?,
                object => match reader.client_si(object) {
                    Some(value) => {
                        let found = client_si.len() + 1;
                        located.check_count(
                            "ClientSI objects in a RPT",
                            reader.limits.max_client_si,
                            found,
                        )?;
                        client_si.push(value);
                    }
                    None => return Err(reader.unexpected(located)),
                },
            }
        }
        Ok(Self {
            client_type: reader.header.client_type,
            solicited: reader.header.solicited,
            handle: reader.required(handle, "Handle")?,
            report_type: reader.required(report_type, "Report-Type")?,
            client_si,
            integrity: reader.integrity(),
        })
    }

    pub(crate) fn put_objects(&self, writer: &mut ObjectWriter<'_>) -> Result<(), EncodeError> {
        writer.check_count(
            "ClientSI objects in a RPT",
            writer.limits.max_client_si,
            self.client_si.len(),
        )?;
        writer.put(ObjectRef::Handle(self.handle.as_bytes()))?;
        writer.put(ObjectRef::ReportType(self.report_type))?;
        self.client_si
            .iter()
            .try_for_each(|client_si| put_client_si(client_si, writer))
    }
}
