//! What the commands of both roles have in common.

use super::{link::Undrained, time::Moment};
use crate::{
    error::EncodeError,
    wire::{ClientHandle, ClientType, Context},
};

/// Names a decision at either end of a session: its RPT belongs to it. Unique within the session, never on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DecisionId(pub(super) u64);

/// Names a REQ at the PDP: the solicited DEC belongs to it. Unique within the session, never on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub(super) u64);

/// Which decisions get a solicited RPT.
///
/// RFC 2748 3.3 wants one for each DEC with a configuration context, and leaves the others to the client-type. Both ends of
/// a client-type must agree.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ReportRule {
    /// Those with a configuration context (R-Type 0x08). In COPS-PR that is every decision (RFC 3084 3.2).
    #[default]
    ConfigurationOnly,
    /// All that hold decisions; also those that only answer an outsourcing request.
    EveryDecision,
}

impl ReportRule {
    /// Whether a DEC with decisions for these contexts is reported on. One with an Error object never is.
    pub(super) fn applies_to(self, mut contexts: impl Iterator<Item = Context>) -> bool {
        match self {
            Self::EveryDecision => true,
            Self::ConfigurationOnly => {
                contexts.any(|context| context.r_type.contains(Context::CONFIGURATION.r_type))
            }
        }
    }
}

/// Whether a decision may be for `decided` where `requested` was asked for.
///
/// RFC 2748 does not say; the examples of RFC 2749 split a request's bits over several decisions. So: the same M-Type, and
/// no bit that was not asked for. (The codec refuses an R-Type without a bit.)
pub(super) fn is_within(decided: Context, requested: Context) -> bool {
    requested.r_type.contains(decided.r_type) && decided.m_type == requested.m_type
}

/// Why a command was not taken. The session is as before, and nothing was sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    /// The connection is over.
    #[error("expected an open session, found a closed one")]
    Closed,
    /// Events wait to be polled.
    #[error(transparent)]
    Undrained(#[from] Undrained),
    /// Client-type 0 is the connection's (RFC 2748 6).
    #[error("expected a client-type from 1 on, found 0")]
    ReservedClientType,
    /// The client-type is not open, or not accepted yet.
    #[error("expected an open client-type, found {0}")]
    ClientNotOpen(ClientType),
    /// No OPN of this client-type waits for its answer.
    #[error("expected a client-type whose OPN waits for an answer, found {0}")]
    NoPendingOpen(ClientType),
    /// There is no such request-state, or no longer.
    #[error("expected the handle of a request-state, found {0}")]
    UnknownHandle(ClientHandle),
    /// A REQ of this handle waits for its decision. At a PEP an event tells when the next may go; at a PDP the REQ has to be
    /// decided first (RFC 2748 3.2).
    #[error("expected a handle without an open REQ, found {0}")]
    RequestOpen(ClientHandle),
    /// The decision or REQ that is to be answered does not wait for an answer: it has one, or its state is gone.
    #[error("expected something of handle {0} that waits for an answer")]
    NotAwaited(ClientHandle),
    /// The decision is for a context that was not asked for.
    #[error("expected a decision within the context of the REQ ({requested:?}), found {decided:?}")]
    ContextNotRequested {
        /// The context of the REQ.
        requested: Context,
        /// The context of the decision.
        decided: Context,
    },
    /// A decision commands what RFC 2748 2.2.6 does not have.
    #[error("expected the command NULL, Install or Remove in a decision, found another")]
    UnknownCommand,
    /// The PDP wants no periodic accounting reports (RFC 2748 2.2.15).
    #[error("expected a client-type with accounting, found an Accounting Timer of 0")]
    AccountingOff,
    /// The Accounting Timer of the PDP has not passed since the last report of this handle (RFC 2748 3.7).
    #[error("expected no accounting report before {} ms", until.0)]
    AccountingTooSoon {
        /// When the next may go.
        until: Moment,
    },
    /// That synchronisation is running already.
    #[error("expected no synchronisation to be running, found one")]
    SynchronizationRunning,
    /// More than [`SessionLimits`](super::SessionLimits) allows.
    #[error("expected at most {limit} {what}, found one more")]
    OverLimit {
        /// What is counted.
        what: &'static str,
        /// The bound.
        limit: usize,
    },
    /// The other end is not reading. Try again when the transmit queue is shorter.
    #[error("expected at most {limit} octets to be waiting for transmission, found more")]
    TransmitFull {
        /// The bound.
        limit: usize,
    },
    /// The message cannot be expressed.
    #[error(transparent)]
    Encode(#[from] EncodeError),
}
