//! Messages from an input.

use std::net::IpAddr;

use cops_codec::{
    Limits, Message,
    message::{
        ClientAccept, ClientClose, ClientOpen, Decision, DecisionBody, DecisionMessage, DeleteRequestState,
        KeepAlive, LpdpDecision, ReportState, Request, SynchronizeStateComplete, SynchronizeStateRequest,
    },
    wire::{
        AccountingTimer, ClientHandle, ClientSi, ClientType, CommandCode, Context, CopsError,
        DecisionFlagBits, DecisionFlags, ErrorCode, Integrity, IntegrityTlsFlags, Interface, KaTimer, KeyId,
        MType, PdpAddress, PepId, RType, Reason, ReasonCode, ReportType, SequenceNumber,
    },
};

use crate::Input;

/// What a message may name. In a session most messages should name something that is there.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Names<'a> {
    /// Empty: any client-type.
    pub(crate) client_types: &'a [ClientType],
    /// Taken most of the time, if there are any.
    pub(crate) handles: &'a [ClientHandle],
    /// Empty: any PEPID.
    pub(crate) pep_ids: &'a [PepId],
    /// No Integrity object: another one is to come behind the message.
    pub(crate) unsigned: bool,
}

impl Names<'_> {
    pub(crate) fn client_type(&self, input: &mut Input<'_>) -> ClientType {
        match input.choice(self.client_types) {
            Some(client_type) => *client_type,
            None => ClientType(input.u16()),
        }
    }

    pub(crate) fn handle(&self, input: &mut Input<'_>) -> ClientHandle {
        let choice = usize::from(input.u8());
        if choice < 0xe0
            && let Some(handle) = self
                .handles
                .get(choice.checked_rem(self.handles.len()).unwrap_or(0))
        {
            return handle.clone();
        }
        ClientHandle(input.octets())
    }

    fn integrity(&self, input: &mut Input<'_>) -> Option<Integrity> {
        integrity(input).filter(|_| !self.unsigned)
    }

    fn pep_id(&self, input: &mut Input<'_>) -> PepId {
        match input.choice(self.pep_ids) {
            Some(pep_id) => pep_id.clone(),
            None => pep_id(input),
        }
    }
}

/// Any message, of all kinds and with all objects.
pub(crate) fn message(input: &mut Input<'_>, names: Names<'_>) -> Message {
    match input.below(10) {
        0 => Request {
            client_type: names.client_type(input),
            handle: names.handle(input),
            context: context(input),
            in_interface: input.option(interface),
            out_interface: input.option(interface),
            client_si: input.list(5, client_si),
            lpdp_decisions: input.list(5, lpdp_decision),
            integrity: names.integrity(input),
        }
        .into(),
        1 => DecisionMessage {
            client_type: names.client_type(input),
            solicited: input.bool(),
            handle: names.handle(input),
            body: body(input),
            integrity: names.integrity(input),
        }
        .into(),
        2 => ReportState {
            client_type: names.client_type(input),
            solicited: input.bool(),
            handle: names.handle(input),
            report_type: ReportType(input.u16()),
            client_si: input.list(5, client_si),
            integrity: names.integrity(input),
        }
        .into(),
        3 => DeleteRequestState {
            client_type: names.client_type(input),
            handle: names.handle(input),
            reason: reason(input),
            integrity: names.integrity(input),
        }
        .into(),
        4 => SynchronizeStateRequest {
            client_type: names.client_type(input),
            handle: input.option(|input| names.handle(input)),
            integrity: names.integrity(input),
        }
        .into(),
        5 => ClientOpen {
            client_type: names.client_type(input),
            pep_id: names.pep_id(input),
            client_si: input.option(client_si),
            last_pdp_address: input.option(pdp_address),
            integrity: names.integrity(input),
        }
        .into(),
        6 => ClientAccept {
            client_type: names.client_type(input),
            ka_timer: KaTimer(input.u16()),
            accounting_timer: input.option(|input| AccountingTimer(input.u16())),
            integrity: names.integrity(input),
        }
        .into(),
        7 => ClientClose {
            client_type: names.client_type(input),
            error: error(input),
            pdp_redirect_address: input.option(pdp_address),
            integrity: names.integrity(input),
        }
        .into(),
        8 => KeepAlive {
            integrity: names.integrity(input),
        }
        .into(),
        _ => SynchronizeStateComplete {
            client_type: names.client_type(input),
            handle: input.option(|input| names.handle(input)),
            integrity: names.integrity(input),
        }
        .into(),
    }
}

/// A choice of the usual, or any numbers at all.
pub(crate) fn context(input: &mut Input<'_>) -> Context {
    match input.below(8) {
        0..=4 => Context::CONFIGURATION,
        5 => Context {
            r_type: RType::INCOMING_MESSAGE | RType::RESOURCE_ALLOCATION,
            m_type: MType(1),
        },
        6 => Context {
            r_type: RType::INCOMING_MESSAGE,
            m_type: MType(1),
        },
        _ => Context {
            r_type: RType(input.u16()),
            m_type: MType(input.u16()),
        },
    }
}

fn address(input: &mut Input<'_>) -> IpAddr {
    if input.bool() {
        let mut octets = [0; 16];
        for octet in &mut octets {
            *octet = input.u8();
        }
        octets.into()
    } else {
        input.u32().to_be_bytes().into()
    }
}

fn interface(input: &mut Input<'_>) -> Interface {
    Interface {
        address: address(input),
        ifindex: input.u32(),
    }
}

pub(crate) fn pdp_address(input: &mut Input<'_>) -> PdpAddress {
    PdpAddress {
        address: address(input),
        port: input.u16(),
    }
}

pub(crate) fn client_si(input: &mut Input<'_>) -> ClientSi {
    if input.bool() {
        ClientSi::Named(input.octets())
    } else {
        ClientSi::Signaled(input.octets())
    }
}

fn flags(input: &mut Input<'_>) -> DecisionFlags {
    let command = CommandCode(match input.u8() {
        0xff => input.u16(),
        other => u16::from(other % 3),
    });
    DecisionFlags {
        command,
        flags: DecisionFlagBits(input.u8().into()),
    }
}

pub(crate) fn decision(input: &mut Input<'_>) -> Decision {
    Decision {
        context: context(input),
        flags: flags(input),
        stateless: input.option(Input::octets),
        replacement: input.option(Input::octets),
        client_si: input.option(Input::octets),
        named: input.option(Input::octets),
    }
}

pub(crate) fn lpdp_decision(input: &mut Input<'_>) -> LpdpDecision {
    LpdpDecision {
        context: input.option(context),
        flags: flags(input),
        stateless: input.option(Input::octets),
        replacement: input.option(Input::octets),
        client_si: input.option(Input::octets),
        named: input.option(Input::octets),
    }
}

pub(crate) fn body(input: &mut Input<'_>) -> DecisionBody {
    if input.below(4) == 3 {
        DecisionBody::Error(error(input))
    } else {
        DecisionBody::Decisions(input.list(5, decision))
    }
}

pub(crate) fn error(input: &mut Input<'_>) -> CopsError {
    CopsError {
        code: ErrorCode(input.u8().into()),
        sub_code: input.u16(),
    }
}

pub(crate) fn reason(input: &mut Input<'_>) -> Reason {
    Reason {
        code: ReasonCode(input.u8().into()),
        sub_code: input.u16(),
    }
}

fn integrity(input: &mut Input<'_>) -> Option<Integrity> {
    match input.below(4) {
        1 => Some(Integrity::Hmac {
            key_id: KeyId(input.u32()),
            sequence_number: SequenceNumber(input.u32()),
            digest: input.octets(),
        }),
        2 => Some(Integrity::Tls {
            flags: IntegrityTlsFlags(input.u16()),
        }),
        _ => None,
    }
}

fn pep_id(input: &mut Input<'_>) -> PepId {
    let name: String = input
        .octets()
        .iter()
        .map(|octet| char::from(b' ' + octet % 95))
        .collect();
    let name = &name[..name.len().min(PepId::MAX_OCTETS)];
    PepId::new(if name.is_empty() { "pep" } else { name }).expect("printable ASCII of a legal length")
}

/// Limits that short inputs reach, or the defaults.
pub(crate) fn limits(input: &mut Input<'_>) -> Limits {
    if input.bool() {
        return Limits::DEFAULT;
    }
    Limits {
        max_message_octets: 8 + 4 * usize::from(input.u8()),
        max_objects: input.below(16),
        max_client_si: input.below(4),
        max_decisions: input.below(4),
        max_lpdp_decisions: input.below(4),
        max_handle_octets: input.below(16),
        max_pep_id_octets: input.below(16),
        max_digest_octets: input.below(32),
    }
}
