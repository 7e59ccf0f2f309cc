//! Request (RFC 2748 3.1).

use super::{LpdpDecision, put_client_si, put_context};
use crate::{
    decode::{Reader, once},
    encode::ObjectWriter,
    error::{EncodeError, Fault},
    wire::{ClientHandle, ClientSi, ClientType, Context, Integrity, Interface, ObjectRef},
};

/// REQ: installs a request-state at the PDP, or changes the one that has this handle already (RFC 2748 3.1).
///
/// ```text
/// <Request Message> ::=  <Common Header> <Client Handle> <Context> [<IN-Int>] [<OUT-Int>]
///                        [<ClientSI(s)>] [<LPDPDecision(s)>] [<Integrity>]
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The client-type.
    pub client_type: ClientType,
    /// The request-state.
    pub handle: ClientHandle,
    /// The events that triggered it; all other objects are read relative to this.
    pub context: Context,
    /// Where the signalled message came in.
    pub in_interface: Option<Interface>,
    /// Where the signalled message will go out.
    pub out_interface: Option<Interface>,
    /// What the client-type wants said. Their order has no meaning.
    pub client_si: Vec<ClientSi>,
    /// What the PEP decided locally; the PDP's decision overrules it (RFC 2748 2.2.7).
    pub lpdp_decisions: Vec<LpdpDecision>,
    /// Authenticates the message.
    pub integrity: Option<Integrity>,
}

impl Request {
    pub(crate) fn decode(reader: &mut Reader<'_>) -> Result<Self, Fault> {
        let (mut handle, mut context, mut in_interface, mut out_interface) = (None, None, None, None);
        let mut client_si = Vec::new();
        let mut lpdp_decisions: Vec<LpdpDecision> = Vec::new();
        // The Context of an LPDP decision whose Flags have to come next.
        let mut lpdp_context = None;
        while let Some(located) = reader.next()? {
            if lpdp_context.is_some() && !matches!(located.object, ObjectRef::LpdpDecisionFlags(_)) {
                return Err(located.out_of_order("LPDP Decision Flags after a further Context"));
            }
            match located.object {
                ObjectRef::Handle(contents) => once(&mut handle, reader.handle(contents), located)?,
                // RFC 2748 3.1: the first Context is the request's, a later one begins an LPDP decision.
                ObjectRef::Context(value) if context.is_none() => context = Some(value),
                ObjectRef::Context(value) => lpdp_context = Some(value),
                ObjectRef::InInterface(value) => once(&mut in_interface, value, located)?,
                ObjectRef::OutInterface(value) => once(&mut out_interface, value, located)?,
                ObjectRef::LpdpDecisionFlags(flags) => {
                    let found = lpdp_decisions.len() + 1;
                    located.check_count(
                        "LPDP decisions in a REQ",
                        reader.limits.max_lpdp_decisions,
                        found,
                    )?;
                    lpdp_decisions.push(LpdpDecision {
                        context: lpdp_context.take(),
                        ..LpdpDecision::new(flags)
                    });
                }
                ObjectRef::LpdpDecisionData(kind, contents) => {
                    let decision = lpdp_decisions
                        .last_mut()
                        .ok_or_else(|| located.out_of_order("LPDP Decision Flags before data"))?;
                    once(decision.data_mut(kind), reader.bytes(contents), located)?;
                }
                object => match reader.client_si(object) {
                    Some(value) => {
                        let found = client_si.len() + 1;
                        located.check_count(
                            "ClientSI objects in a REQ",
                            reader.limits.max_client_si,
                            found,
                        )?;
                        client_si.push(value);
                    }
                    None => return Err(reader.unexpected(located)),
                },
            }
        }
        let handle = reader.required(handle, "Handle")?;
        let context = reader.required(context, "Context")?;
        if lpdp_context.is_some() {
            return Err(reader.missing("LPDP Decision Flags"));
        }
        Ok(Self {
            client_type: reader.header.client_type,
            handle,
            context,
            in_interface,
            out_interface,
            client_si,
            lpdp_decisions,
            integrity: reader.integrity(),
        })
    }

    pub(crate) fn put_objects(&self, writer: &mut ObjectWriter<'_>) -> Result<(), EncodeError> {
        let limits = writer.limits;
        writer.check_count(
            "ClientSI objects in a REQ",
            limits.max_client_si,
            self.client_si.len(),
        )?;
        writer.check_count(
            "LPDP decisions in a REQ",
            limits.max_lpdp_decisions,
            self.lpdp_decisions.len(),
        )?;
        writer.put(ObjectRef::Handle(self.handle.as_bytes()))?;
        put_context(self.context, writer)?;
        if let Some(interface) = self.in_interface {
            writer.put(ObjectRef::InInterface(interface))?;
        }
        if let Some(interface) = self.out_interface {
            writer.put(ObjectRef::OutInterface(interface))?;
        }
        self.client_si
            .iter()
            .try_for_each(|client_si| put_client_si(client_si, writer))?;
        self.lpdp_decisions
            .iter()
            .try_for_each(|decision| decision.put_objects(writer))
    }
}
