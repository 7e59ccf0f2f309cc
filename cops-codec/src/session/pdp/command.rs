//! What the program asks of a PDP's session.

use super::held::HeldState;
use crate::{
    message::{Decision, DecisionBody},
    session::command::{DecisionId, ReportRule, RequestId},
    wire::{AccountingTimer, ClientHandle, ClientType, CopsError, KaTimer, PdpAddress},
};

/// A command to a [`PdpSession`](super::PdpSession).
#[derive(Clone, Debug, PartialEq)]
pub enum PdpCommand {
    /// Answers the oldest unanswered OPN of a client-type with CAT, and begins to synchronise if that is needed.
    Accept(Acceptance),
    /// Answers the oldest unanswered OPN of a client-type with CC. Where the client-type was open before, it is closed.
    Reject {
        /// The client-type.
        client_type: ClientType,
        /// Why: 12 for a redirect, 6 where the client-type is not served.
        error: CopsError,
        /// The PDP to go to instead.
        redirect: Option<PdpAddress>,
    },
    /// Sends the one solicited DEC that a REQ gets, when those of the handle's earlier REQs have gone (RFC 2748 3.2).
    Decide {
        /// The client-type.
        client_type: ClientType,
        /// The request-state.
        handle: ClientHandle,
        /// The REQ, from [`PdpEvent::Request`](super::PdpEvent::Request).
        request: RequestId,
        /// Decisions, [`Decision::null`] where there is nothing; or what was wrong with the REQ.
        body: DecisionBody,
    },
    /// Sends an unsolicited DEC for an installed state. Not while a REQ of the handle is open: the first decision after a
    /// REQ has to be the solicited one (RFC 2748 3.2).
    Push {
        /// The client-type.
        client_type: ClientType,
        /// The request-state.
        handle: ClientHandle,
        /// The decisions.
        decisions: Vec<Decision>,
    },
    /// Sends SSQ.
    Synchronize {
        /// The client-type.
        client_type: ClientType,
        /// One state, also one that is not known here; all of the client-type where there is none.
        handle: Option<ClientHandle>,
    },
    /// Sends CC for one client-type. Its state goes.
    Close {
        /// The client-type.
        client_type: ClientType,
        /// Why.
        error: CopsError,
        /// The PDP to go to instead.
        redirect: Option<PdpAddress>,
    },
    /// Ends a client-type because a newer connection of the same PEP has it: CC with error 9, and its state is there for
    /// [`take_held`](super::PdpSession::take_held). [`PepRegistry`](super::PepRegistry) tells when this is due.
    Supersede {
        /// The client-type.
        client_type: ClientType,
    },
    /// Sends CC for client-type 0 and ends the connection: its PEP is not who it says (error 14), or is to come back over TLS
    /// (error 15, [`TLS_WANTED`](crate::session::tls::TLS_WANTED), RFC 4261 5.2).
    Disconnect {
        /// Why.
        error: CopsError,
    },
    /// Sends CC with error 11 for every client-type and ends the connection (RFC 2748 4.7).
    Shutdown {
        /// The PDP to go to instead.
        redirect: Option<PdpAddress>,
    },
}

/// How an OPN is accepted.
#[derive(Clone, Debug, PartialEq)]
pub struct Acceptance {
    /// The client-type.
    pub client_type: ClientType,
    /// The longest silence. The smallest of the open client-types counts on a connection.
    pub ka_timer: KaTimer,
    /// The least interval between periodic accounting reports, per handle; no limit where there is none.
    pub accounting_timer: Option<AccountingTimer>,
    /// Which decisions are reported on. Has no effect for a client-type that is open already.
    pub reports: ReportRule,
    /// What an earlier connection of this PEP left, from [`PepRegistry::take_held`](super::PepRegistry::take_held).
    pub held: Option<HeldState>,
    /// Whether SSQ follows CAT.
    pub synchronize: Synchronize,
}

/// Whether SSQ follows CAT.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Synchronize {
    /// If the PEP says that it holds decisions and they cannot be known to be those that are held here: its Last PDP Address
    /// is not this PDP's, or the state held is absent or not complete (RFC 2748 2.5). Not for a client-type that is open
    /// already, and not for a PEP that holds nothing: its REQ comes by itself.
    #[default]
    WhenNeeded,
    /// In any case.
    Always,
    /// Not now.
    Never,
}

impl Acceptance {
    /// Without accounting limit and held state.
    #[must_use]
    pub const fn new(client_type: ClientType, ka_timer: KaTimer) -> Self {
        Self {
            client_type,
            ka_timer,
            accounting_timer: None,
            reports: ReportRule::ConfigurationOnly,
            held: None,
            synchronize: Synchronize::WhenNeeded,
        }
    }
}

/// What came of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Done {
    /// It was carried out.
    Plain,
    /// A client-type was accepted.
    Accepted {
        /// Whether the held states are in force: their handles are valid, and no REQ is to be expected.
        resumed: bool,
        /// Whether SSQ was sent; [`PdpEvent::Synchronized`](super::PdpEvent::Synchronized) will follow.
        synchronizing: bool,
    },
    /// A decision was sent, or waits for its turn.
    Decided {
        /// The name under which [`PdpEvent::Report`](super::PdpEvent::Report) tells of it, if a report is due.
        report: Option<DecisionId>,
    },
}
