//! The ten messages, each in a file with its grammar (RFC 2748 3).
//!
//! They are plain values: build one as a literal, [`encode`](Message::encode) it; [`decode`](Message::decode) a frame and
//! match. What the other end asked for has a `solicited` field; only DEC and RPT have one, for the flag is 0 in all others
//! (RFC 2748 2.1, 3.2, 3.3) and not looked at there.

mod client_accept;
mod client_close;
mod client_open;
mod decision;
mod delete_request_state;
mod keep_alive;
mod lpdp_decision;
mod report_state;
mod request;
mod synchronize_state;

pub use client_accept::ClientAccept;
pub use client_close::ClientClose;
pub use client_open::ClientOpen;
pub use decision::{Decision, DecisionBody, DecisionMessage};
pub use delete_request_state::DeleteRequestState;
pub use keep_alive::KeepAlive;
pub use lpdp_decision::LpdpDecision;
pub use report_state::ReportState;
pub use request::Request;
pub use synchronize_state::{SynchronizeStateComplete, SynchronizeStateRequest};

use crate::{
    encode::ObjectWriter,
    error::{Answer, EncodeError},
    wire::{ClientHandle, ClientSi, ClientType, Context, Integrity, ObjectRef, OpCode},
};

/// Any of the ten messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// REQ, PEP to PDP.
    Request(Request),
    /// DEC, PDP to PEP.
    Decision(DecisionMessage),
    /// RPT, PEP to PDP.
    ReportState(ReportState),
    /// DRQ, PEP to PDP.
    DeleteRequestState(DeleteRequestState),
    /// SSQ, PDP to PEP.
    SynchronizeStateRequest(SynchronizeStateRequest),
    /// OPN, PEP to PDP.
    ClientOpen(ClientOpen),
    /// CAT, PDP to PEP.
    ClientAccept(ClientAccept),
    /// CC, both ways.
    ClientClose(ClientClose),
    /// KA, both ways.
    KeepAlive(KeepAlive),
    /// SSC, PEP to PDP.
    SynchronizeStateComplete(SynchronizeStateComplete),
}

/// The same for all ten variants.
macro_rules! each {
    ($message:expr, $inner:ident => $result:expr) => {
        match $message {
            Message::Request($inner) => $result,
            Message::Decision($inner) => $result,
            Message::ReportState($inner) => $result,
            Message::DeleteRequestState($inner) => $result,
            Message::SynchronizeStateRequest($inner) => $result,
            Message::ClientOpen($inner) => $result,
            Message::ClientAccept($inner) => $result,
            Message::ClientClose($inner) => $result,
            Message::KeepAlive($inner) => $result,
            Message::SynchronizeStateComplete($inner) => $result,
        }
    };
}

impl Message {
    /// The op code of the header.
    #[must_use]
    pub const fn op_code(&self) -> OpCode {
        match self {
            Self::Request(_) => OpCode::REQUEST,
            Self::Decision(_) => OpCode::DECISION,
            Self::ReportState(_) => OpCode::REPORT_STATE,
            Self::DeleteRequestState(_) => OpCode::DELETE_REQUEST_STATE,
            Self::SynchronizeStateRequest(_) => OpCode::SYNCHRONIZE_STATE_REQUEST,
            Self::ClientOpen(_) => OpCode::CLIENT_OPEN,
            Self::ClientAccept(_) => OpCode::CLIENT_ACCEPT,
            Self::ClientClose(_) => OpCode::CLIENT_CLOSE,
            Self::KeepAlive(_) => OpCode::KEEP_ALIVE,
            Self::SynchronizeStateComplete(_) => OpCode::SYNCHRONIZE_STATE_COMPLETE,
        }
    }

    /// The client-type of the header; 0 in KA.
    #[must_use]
    pub const fn client_type(&self) -> ClientType {
        match self {
            Self::Request(message) => message.client_type,
            Self::Decision(message) => message.client_type,
            Self::ReportState(message) => message.client_type,
            Self::DeleteRequestState(message) => message.client_type,
            Self::SynchronizeStateRequest(message) => message.client_type,
            Self::ClientOpen(message) => message.client_type,
            Self::ClientAccept(message) => message.client_type,
            Self::ClientClose(message) => message.client_type,
            // RFC 2748 3.9: it verifies the connection, not a client session.
            Self::KeepAlive(_) => ClientType::CONNECTION,
            Self::SynchronizeStateComplete(message) => message.client_type,
        }
    }

    /// The solicited flag of the header.
    #[must_use]
    pub const fn solicited(&self) -> bool {
        match self {
            Self::Decision(message) => message.solicited,
            Self::ReportState(message) => message.solicited,
            _ => false,
        }
    }

    /// The handle, if the message has one.
    #[must_use]
    pub const fn handle(&self) -> Option<&ClientHandle> {
        match self {
            Self::Request(message) => Some(&message.handle),
            Self::Decision(message) => Some(&message.handle),
            Self::ReportState(message) => Some(&message.handle),
            Self::DeleteRequestState(message) => Some(&message.handle),
            Self::SynchronizeStateRequest(message) => message.handle.as_ref(),
            Self::SynchronizeStateComplete(message) => message.handle.as_ref(),
            Self::ClientOpen(_) | Self::ClientAccept(_) | Self::ClientClose(_) | Self::KeepAlive(_) => None,
        }
    }

    /// The Integrity object, if the message has one.
    #[must_use]
    pub const fn integrity(&self) -> Option<&Integrity> {
        each!(self, message => message.integrity.as_ref())
    }

    /// The place of the Integrity object, for the side that secures a message before it is sent.
    #[must_use]
    pub const fn integrity_mut(&mut self) -> &mut Option<Integrity> {
        each!(self, message => &mut message.integrity)
    }

    pub(crate) fn put_objects(&self, writer: &mut ObjectWriter<'_>) -> Result<(), EncodeError> {
        each!(self, message => message.put_objects(writer))?;
        self.integrity()
            .map_or(Ok(()), |integrity| writer.put(integrity.as_object()))
    }
}

macro_rules! message_from {
    ($($variant:ident($inner:ty)),* $(,)?) => {
        $(
            impl From<$inner> for Message {
                fn from(message: $inner) -> Self {
                    Self::$variant(message)
                }
            }
        )*
    };
}

message_from! {
    Request(Request),
    Decision(DecisionMessage),
    ReportState(ReportState),
    DeleteRequestState(DeleteRequestState),
    SynchronizeStateRequest(SynchronizeStateRequest),
    ClientOpen(ClientOpen),
    ClientAccept(ClientAccept),
    ClientClose(ClientClose),
    KeepAlive(KeepAlive),
    SynchronizeStateComplete(SynchronizeStateComplete),
}

impl From<Answer> for Message {
    /// The message that carries the answer, without Integrity.
    fn from(answer: Answer) -> Self {
        match answer {
            Answer::ErrorDecision {
                client_type,
                handle,
                error,
            } => DecisionMessage {
                client_type,
                // It answers a REQ (RFC 2748 3.2).
                solicited: true,
                handle,
                body: DecisionBody::Error(error),
                integrity: None,
            }
            .into(),
            Answer::DeleteRequestState {
                client_type,
                handle,
                reason,
            } => DeleteRequestState {
                client_type,
                handle,
                reason,
                integrity: None,
            }
            .into(),
            Answer::CloseClient { client_type, error } => ClientClose {
                client_type,
                error,
                pdp_redirect_address: None,
                integrity: None,
            }
            .into(),
            Answer::CloseConnection { error } => ClientClose {
                client_type: ClientType::CONNECTION,
                error,
                pdp_redirect_address: None,
                integrity: None,
            }
            .into(),
        }
    }
}

/// Shared by the messages that hold them.
fn put_client_si(client_si: &ClientSi, writer: &mut ObjectWriter<'_>) -> Result<(), EncodeError> {
    writer.put(match client_si {
        ClientSi::Signaled(contents) => ObjectRef::SignaledClientSi(contents),
        ClientSi::Named(contents) => ObjectRef::NamedClientSi(contents),
    })
}

/// Shared by the messages that hold one. What the decoder refuses is not written.
fn put_context(context: Context, writer: &mut ObjectWriter<'_>) -> Result<(), EncodeError> {
    if context.r_type.is_empty() {
        return Err(EncodeError::EmptyRType);
    }
    writer.put(ObjectRef::Context(context))
}
