//! What a peer did wrong, and why a client-type or a connection ended.

use core::time::Duration;

use crate::{
    error::{DecodeError, EncodeError},
    integrity::IntegrityFault,
    wire::{ClientType, CommandCode, Context, CopsError, OpCode, PdpAddress, PepId},
};

/// Something that the other end must not send. The session has answered it already, as the RFC says.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PeerFault {
    /// It could not be decoded.
    #[error(transparent)]
    Malformed(#[from] DecodeError),
    /// It is a message that only this end sends (titles of RFC 2748 3.1 to 3.10).
    #[error("expected a message that the other end may send, found {op_code} for client-type {client_type}")]
    WrongDirection {
        /// The message.
        op_code: OpCode,
        /// Its client-type.
        client_type: ClientType,
    },
    /// It is for a client-type that is not open, or not accepted yet.
    #[error("expected a message for an open client-type, found {op_code} for {client_type}")]
    ClientNotOpen {
        /// The message.
        op_code: OpCode,
        /// Its client-type.
        client_type: ClientType,
    },
    /// A decision commands what RFC 2748 2.2.6 does not have.
    #[error("expected the command NULL, Install or Remove in a decision, found {0}")]
    UnknownCommand(CommandCode),
    /// A decision is for a context that was not asked for.
    #[error(
        "expected a decision within R-Type {} and M-Type {}, found R-Type {} and M-Type {}",
        requested.r_type, requested.m_type.0, decided.r_type, decided.m_type.0
    )]
    ContextNotRequested {
        /// The context of the REQ.
        requested: Context,
        /// The context of the decision.
        decided: Context,
    },
    /// A handle without an octet cannot name a state.
    #[error("expected a handle of at least one octet in REQ, found an empty one")]
    EmptyHandle,
    /// There is more of something than [`SessionLimits`](super::SessionLimits) allows.
    #[error("expected at most {limit} {what}, found one more")]
    OverLimit {
        /// What is counted.
        what: &'static str,
        /// The bound.
        limit: usize,
    },
    /// OPN for a client-type that is not served here.
    #[error("expected OPN for a client-type that is served here, found {0}")]
    UnsupportedClientType(ClientType),
    /// One connection is one PEP.
    #[error("expected PEPID {expected} on this connection, found {found}")]
    PepIdChanged {
        /// The PEPID of the first OPN.
        expected: PepId,
        /// The PEPID of this one.
        found: PepId,
    },
    /// OPN for client-type 0 comes before all others, and once (RFC 2748 4.1).
    #[error("expected OPN for client-type 0 before any other, found it after one")]
    LateSecurityNegotiation,
    /// This end goes on over TLS alone (RFC 4261 11).
    #[error("expected the negotiation of TLS (RFC 4261), found a message without it")]
    TlsRequired,
    /// Integrity-TLS stands where RFC 4261 4.1 does not let it.
    #[error(
        "expected Integrity-TLS in OPN or CAT for client-type 0 alone, found it in {op_code} for {client_type}"
    )]
    MisplacedTls {
        /// The message.
        op_code: OpCode,
        /// Its client-type.
        client_type: ClientType,
    },
    /// Something that is no handshake came after TLS was agreed on (RFC 4261 5.2).
    #[error("expected a TLS handshake after the CAT for client-type 0, found something else")]
    BeforeHandshake,
    /// OPN for client-type 0 asks for a security that this end does not offer.
    #[error("expected an OPN for a client-type, found a request for a security that is not offered here")]
    SecurityNotOffered,
    /// A message is not known to come from the other end (RFC 2748 4.1).
    #[error("message security: {0}")]
    Integrity(#[from] IntegrityFault),
}

/// Why a client-type, or the whole connection, is no longer open.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CloseCause {
    /// The other end sent CC.
    #[error("closed by the other end: {error}")]
    Peer {
        /// Its reason.
        error: CopsError,
        /// The PDP that it wants to be used instead; only a PDP names one.
        redirect: Option<PdpAddress>,
    },
    /// This end sent CC in answer to something wrong.
    #[error("closed because of what the other end sent: {0}")]
    Fault(#[from] PeerFault),
    /// This end sent CC by command.
    #[error("closed by command: {0}")]
    Command(CopsError),
    /// A newer connection of the same PEP took the client-type over.
    #[error("taken over by a newer connection of the same PEP")]
    Superseded,
    /// Nothing was heard for longer than the keep-alive timer (RFC 2748 4.6).
    #[error("nothing heard for more than {} s", timer.as_secs())]
    Silence {
        /// The timer that ran out.
        timer: Duration,
    },
    /// A decision was not reported on in time (RFC 2748 3.3 has every configuration decision reported on).
    #[error("a decision was not reported on within {} s", waited.as_secs())]
    ReportTimeout {
        /// How long the report was waited for.
        waited: Duration,
    },
    /// No answer to OPN, or no first OPN, came in time.
    #[error("no {awaited} within {} ms", waited.as_millis())]
    OpenTimeout {
        /// What did not come.
        awaited: &'static str,
        /// How long it was waited for.
        waited: Duration,
    },
    /// No client-type is open any more, so the connection has no use.
    #[error("no client-type is open")]
    NoClientOpen,
    /// Message security has no key left that is valid now (RFC 2748 4.2).
    #[error("no key to send with is within its lifetime")]
    NoKey,
    /// The transport ended.
    #[error("the connection ended")]
    Disconnected,
    /// The other end does not read what it is sent.
    #[error("more than {limit} octets wait to be sent")]
    TransmitFull {
        /// The bound.
        limit: usize,
    },
    /// An answer that the protocol demands does not fit a message.
    #[error("an answer cannot be sent: {0}")]
    Unanswerable(#[from] EncodeError),
}

/// What was dropped without an answer, since the start of the session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// DECs at a PEP, RPTs and DRQs at a PDP, for a handle that is not there: a normal race, which has no answer.
    pub unknown_handle: u64,
    /// Solicited DECs without an open REQ, solicited RPTs without a DEC that waits for one, SSCs without an SSQ.
    pub unasked: u64,
    /// Messages for a client-type that was not open.
    pub client_not_open: u64,
}
