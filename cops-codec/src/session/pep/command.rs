//! What the program asks of a PEP's session.

use core::time::Duration;

use crate::{
    message::LpdpDecision,
    session::command::{DecisionId, ReportRule},
    wire::{ClientHandle, ClientSi, ClientType, Context, CopsError, Interface, PdpAddress, Reason},
};

/// A command to a [`PepSession`](super::PepSession).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PepCommand {
    /// Sends OPN. Requests may go after [`PepEvent::ClientAccepted`](super::PepEvent::ClientAccepted). For a client-type
    /// that is open it tells of a global change (RFC 2748 3.6): request-states stay, and `reports` and `held` have no effect.
    Open(ClientOpening),
    /// Sends REQ.
    Request {
        /// The client-type.
        client_type: ClientType,
        /// The request-state to update, or `None` for a new one, whose handle is in the result.
        handle: Option<ClientHandle>,
        /// What is asked.
        request: RequestBody,
    },
    /// Sends the one solicited RPT that a decision gets, when those of the handle's earlier decisions have gone
    /// (RFC 2748 3.3).
    Report {
        /// The client-type.
        client_type: ClientType,
        /// The request-state.
        handle: ClientHandle,
        /// The decision, from [`PepEvent::Decision`](super::PepEvent::Decision).
        decision: DecisionId,
        /// How it went.
        outcome: Outcome,
        /// What the client-type wants said about it.
        client_si: Vec<ClientSi>,
    },
    /// Sends an unsolicited RPT.
    ReportUnsolicited {
        /// The client-type.
        client_type: ClientType,
        /// The request-state.
        handle: ClientHandle,
        /// What is reported.
        report: UnsolicitedReport,
        /// What the client-type wants said.
        client_si: Vec<ClientSi>,
    },
    /// Starts, changes or ends [`PepEvent::AccountingDue`](super::PepEvent::AccountingDue) for a request-state.
    SetAccounting {
        /// The client-type.
        client_type: ClientType,
        /// The request-state.
        handle: ClientHandle,
        /// The interval that the PEP would like, or `None` for no more events. Where the PDP's Accounting Timer is longer,
        /// that counts; where it is 0, there are no events.
        interval: Option<Duration>,
    },
    /// Sends DRQ: the request-state is gone. Its decisions need no report any more.
    Delete {
        /// The client-type.
        client_type: ClientType,
        /// The request-state.
        handle: ClientHandle,
        /// Why.
        reason: Reason,
    },
    /// Sends CC for one client-type. The connection ends with the last of them.
    Close {
        /// The client-type.
        client_type: ClientType,
        /// Why.
        error: CopsError,
    },
    /// Sends CC for every client-type and ends the connection.
    Shutdown {
        /// Why.
        error: CopsError,
    },
}

/// What an OPN says, and what the session has to know of the client-type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientOpening {
    /// The client-type, not 0.
    pub client_type: ClientType,
    /// Global information about the PEP; the named kind (RFC 2748 3.6). COPS-PR has none (RFC 3084 6).
    pub client_si: Option<ClientSi>,
    /// The PDP whose complete set of decisions is still held; `None` if it is not complete, or none is held
    /// (RFC 2748 4.3). [`ClientEnd::in_sync`](super::ClientEnd::in_sync) says whether it is.
    pub last_pdp_address: Option<PdpAddress>,
    /// Which decisions are reported on.
    pub reports: ReportRule,
    /// Request-states from an earlier connection that the PDP may know by their handles: those still there, and those
    /// deleted since, which have to be deleted by command once the client-type is accepted (RFC 2748 2.5).
    pub held: Vec<HeldRequestState>,
}

impl ClientOpening {
    /// A first opening: nothing is held.
    #[must_use]
    pub const fn new(client_type: ClientType) -> Self {
        Self {
            client_type,
            client_si: None,
            last_pdp_address: None,
            reports: ReportRule::ConfigurationOnly,
            held: Vec::new(),
        }
    }
}

/// A request-state that outlives a connection (RFC 2748 2.5, RFC 3084 7).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldRequestState {
    /// Its handle.
    pub handle: ClientHandle,
    /// The context that was asked for.
    pub context: Context,
    /// Whether the PDP decided on its last REQ. If not, the PDP may not have got it: it is to be sent again.
    pub confirmed: bool,
}

/// What a REQ says (RFC 2748 3.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestBody {
    /// What is asked for. Several R-Type bits only if separate requests would have the same client specific information.
    pub context: Context,
    /// Where the signalled message came in; the loopback address for those that this host makes (RFC 2748 2.2.3).
    pub in_interface: Option<Interface>,
    /// Where it will go out.
    pub out_interface: Option<Interface>,
    /// What the client-type wants said.
    pub client_si: Vec<ClientSi>,
    /// What was decided locally; the PDP's decision overrules it.
    pub lpdp_decisions: Vec<LpdpDecision>,
    /// Whether this is the whole of the state, so that it can answer an SSQ. True for plain COPS; false for the incremental
    /// requests of RFC 3318 2.3.
    pub full_state: bool,
    /// Whether the state goes on in further REQs, so that an SSQ is not answered until the last of them. The wire does not
    /// show it.
    pub more_follows: bool,
}

impl RequestBody {
    /// A request for configuration that tells the whole state in named ClientSI.
    #[must_use]
    pub const fn configuration(client_si: Vec<ClientSi>) -> Self {
        Self {
            context: Context::CONFIGURATION,
            in_interface: None,
            out_interface: None,
            client_si,
            lpdp_decisions: Vec::new(),
            full_state: true,
            more_follows: false,
        }
    }

    /// A request for configuration that tells only what changed (RFC 3318 2.3).
    #[must_use]
    pub const fn incremental(client_si: Vec<ClientSi>) -> Self {
        let mut request = Self::configuration(client_si);
        request.full_state = false;
        request
    }
}

/// How a decision was carried out (RFC 2748 2.2.12).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was.
    Success,
    /// It was not, and everything is as before it.
    Failure,
}

/// What an unsolicited RPT is about (RFC 2748 3.3, RFC 3084 3.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnsolicitedReport {
    /// An installed state is still, or again, well.
    Success,
    /// An installed state failed later on. Nothing is rolled back.
    Failure,
    /// Periodic accounting: not oftener than the Accounting Timer, and not at all where that is 0.
    PeriodicAccounting,
    /// Accounting for a reason other than time, such as the last figures of a state that ends (RFC 3483 8, 9). The
    /// Accounting Timer, which limits periodic reports, does not hold it back.
    FinalAccounting,
}
