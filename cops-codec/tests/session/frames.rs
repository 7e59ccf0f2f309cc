//! Frames as a peer of any kind may send them, and messages as one reads them.

use cops_codec::encode::encode_objects;
use cops_codec::message::{
    ClientAccept, ClientClose, ClientOpen, Decision, DecisionBody, DecisionMessage, DeleteRequestState,
    KeepAlive, ReportState, Request, SynchronizeStateComplete, SynchronizeStateRequest,
};
use cops_codec::session::CommandError;
use cops_codec::wire::{
    CNum, ClientHandle, ClientType, Context, CopsError, ErrorCode, KaTimer, ObjectId, ObjectRef, OpCode,
    PdpAddress, Reason, ReasonCode, ReportType,
};
use cops_codec::{DecodeError, Frame, Framer, Limits, Message};

use crate::pair::{CT, pep_id};

pub(crate) type Received = Result<Frame, DecodeError>;

/// The first handle that a PEP's session chooses.
pub(crate) fn h() -> ClientHandle {
    ClientHandle::from(1)
}

/// A handle that nobody chose.
pub(crate) fn x() -> ClientHandle {
    ClientHandle::from(0x99)
}

pub(crate) fn frame(message: impl Into<Message>) -> Received {
    Ok(message.into().encode(&Limits::default()).unwrap())
}

pub(crate) fn open(client_type: ClientType, last_pdp_address: Option<PdpAddress>) -> Received {
    frame(ClientOpen {
        client_type,
        pep_id: pep_id(),
        client_si: None,
        last_pdp_address,
        integrity: None,
    })
}

pub(crate) fn accept(client_type: ClientType) -> Received {
    frame(ClientAccept {
        client_type,
        ka_timer: KaTimer(40),
        accounting_timer: None,
        integrity: None,
    })
}

pub(crate) fn close(client_type: ClientType, error: ErrorCode) -> Received {
    frame(ClientClose {
        client_type,
        error: CopsError::new(error),
        pdp_redirect_address: None,
        integrity: None,
    })
}

pub(crate) fn keep_alive() -> Received {
    frame(KeepAlive { integrity: None })
}

pub(crate) fn request(handle: ClientHandle) -> Received {
    frame(Request {
        client_type: CT,
        handle,
        context: Context::CONFIGURATION,
        in_interface: None,
        out_interface: None,
        client_si: Vec::new(),
        lpdp_decisions: Vec::new(),
        integrity: None,
    })
}

pub(crate) fn decision(handle: ClientHandle, solicited: bool, body: DecisionBody) -> Received {
    frame(DecisionMessage {
        client_type: CT,
        solicited,
        handle,
        body,
        integrity: None,
    })
}

pub(crate) fn decided(decision: Decision) -> DecisionBody {
    DecisionBody::Decisions(vec![decision])
}

pub(crate) fn refused() -> DecisionBody {
    DecisionBody::Error(CopsError::new(ErrorCode::UNABLE_TO_PROCESS))
}

pub(crate) fn report(handle: ClientHandle, solicited: bool) -> Received {
    frame(ReportState {
        client_type: CT,
        solicited,
        handle,
        report_type: ReportType::SUCCESS,
        client_si: Vec::new(),
        integrity: None,
    })
}

pub(crate) fn delete(handle: ClientHandle) -> Received {
    frame(DeleteRequestState {
        client_type: CT,
        handle,
        reason: Reason::new(ReasonCode::MANAGEMENT),
        integrity: None,
    })
}

pub(crate) fn synchronize(handle: Option<ClientHandle>) -> Received {
    frame(SynchronizeStateRequest {
        client_type: CT,
        handle,
        integrity: None,
    })
}

pub(crate) fn complete(handle: Option<ClientHandle>) -> Received {
    frame(SynchronizeStateComplete {
        client_type: CT,
        handle,
        integrity: None,
    })
}

/// A message of loose objects.
pub(crate) fn loose(op_code: OpCode, client_type: ClientType, objects: &[ObjectRef<'_>]) -> Received {
    Ok(encode_objects(op_code, client_type, false, objects, &Limits::default()).unwrap())
}

/// An object that RFC 2748 does not have.
pub(crate) fn unknown_object() -> ObjectRef<'static> {
    unknown(ObjectId::new(CNum(17), 1))
}

pub(crate) fn unknown(id: ObjectId) -> ObjectRef<'static> {
    ObjectRef::Unknown {
        id,
        contents: &[0; 4],
    }
}

/// What a framer says to octets that are not COPS version 1.
pub(crate) fn broken_framing() -> Received {
    let mut framer = Framer::new(Limits::default());
    framer.push(&[0x20]);
    Err(framer.next_frame().unwrap_err())
}

/// `CC(0) error 3`: the client-type only where it is not [`CT`], then handle and codes.
pub(crate) fn short(message: &Message) -> String {
    let solicited = if message.solicited() { " S" } else { "" };
    let client_type = message.client_type();
    let other = match message {
        Message::KeepAlive(_) => String::new(),
        _ if client_type == CT => String::new(),
        _ => format!("({})", client_type.0),
    };
    let handle = message
        .handle()
        .map_or(String::new(), |handle| format!(" {}", name(handle)));
    let code = match message {
        Message::DeleteRequestState(message) => {
            code("reason", message.reason.code.0, message.reason.sub_code)
        }
        Message::ClientClose(message) => {
            let redirect = if message.pdp_redirect_address.is_some() {
                " redirect"
            } else {
                ""
            };
            code("error", message.error.code.0, message.error.sub_code) + redirect
        }
        Message::Decision(message) => match &message.body {
            DecisionBody::Error(error) => code("error", error.code.0, error.sub_code),
            DecisionBody::Decisions(_) => String::new(),
        },
        Message::ReportState(message) => format!(" {}", message.report_type),
        _ => String::new(),
    };
    format!("{}{other}{solicited}{handle}{code}", message.op_code())
}

fn code(word: &str, code: u16, sub_code: u16) -> String {
    match sub_code {
        0 => format!(" {word} {code}"),
        _ => format!(" {word} {code}/{sub_code:#06x}"),
    }
}

/// The name of a handle in the tables.
pub(crate) fn name(handle: &ClientHandle) -> String {
    if *handle == h() {
        "h".to_owned()
    } else if *handle == x() {
        "x".to_owned()
    } else if handle.is_empty() {
        "(empty)".to_owned()
    } else {
        handle.to_string()
    }
}

/// The kind of a refusal, for the tables.
pub(crate) fn refusal_name(refusal: &CommandError) -> String {
    let debug = format!("{refusal:?}");
    debug.split(['(', ' ', '{']).next().unwrap_or_default().to_owned()
}
