//! The messages of the exchanges of the power client-type, each as the operation of a session's target that brings it.

use cops_codec::{
    Limits, Message,
    client_type::{Row, power::Mains},
    message::{
        ClientAccept, ClientClose, ClientOpen, Decision, DecisionBody, DecisionMessage, DeleteRequestState,
        KeepAlive, ReportState, Request, SynchronizeStateComplete, SynchronizeStateRequest,
    },
    wire::{
        AccountingTimer, ClientHandle, ClientSi, ClientType, Context, CopsError, ErrorCode, KaTimer,
        PdpAddress, PepId, Reason, ReasonCode, ReportType,
    },
};

use crate::{pairs, rows, string, support};

pub(crate) const POWER: ClientType = ClientType(0x5057);
pub(crate) const LAST_PDP: PdpAddress = PdpAddress {
    address: std::net::IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1)),
    port: 3288,
};

/// The operation that is a frame.
pub(crate) fn frame(message: impl Into<Message>) -> Vec<u8> {
    let frame = message.into().encode(&Limits::default()).unwrap();
    [&[0][..], &string(&frame)].concat()
}

pub(crate) fn handle(number: u32) -> ClientHandle {
    ClientHandle::from(number)
}

pub(crate) fn open(last_pdp_address: Option<PdpAddress>) -> Vec<u8> {
    frame(ClientOpen {
        client_type: POWER,
        pep_id: PepId::new("node01").unwrap(),
        client_si: None,
        last_pdp_address,
        integrity: None,
    })
}

/// With which Integrity is negotiated; it is signed when it is sent.
pub(crate) fn negotiation() -> Vec<u8> {
    frame(ClientOpen {
        client_type: ClientType::CONNECTION,
        pep_id: PepId::new("node01").unwrap(),
        client_si: None,
        last_pdp_address: None,
        integrity: None,
    })
}

/// The answer to it.
pub(crate) fn accepted_security() -> Vec<u8> {
    frame(ClientAccept {
        client_type: ClientType::CONNECTION,
        ka_timer: KaTimer(60),
        accounting_timer: None,
        integrity: None,
    })
}

pub(crate) fn request(number: u32) -> Vec<u8> {
    let client_si = vec![ClientSi::Named(
        Row::from(rows::domain(1, "feedA", Mains::Absent)).to_vec().into(),
    )];
    frame(Request {
        client_si,
        ..pairs::request(POWER, handle(number), Context::CONFIGURATION)
    })
}

pub(crate) fn report(number: u32, solicited: bool, report_type: ReportType) -> Vec<u8> {
    frame(ReportState {
        client_type: POWER,
        solicited,
        handle: handle(number),
        report_type,
        client_si: vec![],
        integrity: None,
    })
}

pub(crate) fn delete(number: u32) -> Vec<u8> {
    let reason = Reason::new(ReasonCode::PDP_DIRECTIVE);
    frame(DeleteRequestState {
        client_type: POWER,
        handle: handle(number),
        reason,
        integrity: None,
    })
}

pub(crate) fn complete(number: Option<u32>) -> Vec<u8> {
    frame(SynchronizeStateComplete {
        client_type: POWER,
        handle: number.map(handle),
        integrity: None,
    })
}

pub(crate) fn synchronize(number: Option<u32>) -> Vec<u8> {
    frame(SynchronizeStateRequest {
        client_type: POWER,
        handle: number.map(handle),
        integrity: None,
    })
}

pub(crate) fn accept() -> Vec<u8> {
    frame(ClientAccept {
        client_type: POWER,
        ka_timer: KaTimer(30),
        accounting_timer: Some(AccountingTimer(10)),
        integrity: None,
    })
}

pub(crate) fn decision(number: u32, solicited: bool, decisions: Vec<Decision>) -> Vec<u8> {
    frame(pairs::decision(POWER, solicited, handle(number), decisions))
}

pub(crate) fn null(number: u32, solicited: bool) -> Vec<u8> {
    decision(number, solicited, vec![Decision::null(Context::CONFIGURATION)])
}

pub(crate) fn refused(number: u32) -> Vec<u8> {
    frame(DecisionMessage {
        client_type: POWER,
        solicited: true,
        handle: handle(number),
        body: DecisionBody::Error(CopsError::new(ErrorCode::UNABLE_TO_PROCESS)),
        integrity: None,
    })
}

pub(crate) fn close(client_type: ClientType, error: ErrorCode) -> Vec<u8> {
    frame(ClientClose {
        client_type,
        error: CopsError::new(error),
        pdp_redirect_address: None,
        integrity: None,
    })
}

pub(crate) fn keep_alive() -> Vec<u8> {
    frame(KeepAlive { integrity: None })
}

pub(crate) fn raw(octets: &str) -> Vec<u8> {
    [&[0][..], &string(&support::hex(octets))].concat()
}
