//! What a PEP's session tells the program.

use super::command::HeldRequestState;
use crate::{
    message::Decision,
    session::{
        command::DecisionId,
        fault::{CloseCause, PeerFault},
    },
    wire::{AccountingTimer, ClientHandle, ClientType, CopsError, KaTimer, Reason},
};

/// An event of a [`PepSession`](super::PepSession).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PepEvent {
    /// CAT came: requests may go.
    ClientAccepted {
        /// The client-type.
        client_type: ClientType,
        /// The longest silence that the PDP wants.
        ka_timer: KaTimer,
        /// The least interval between periodic accounting reports of a handle; no limit where there is none.
        accounting_timer: Option<AccountingTimer>,
        /// Whether it was open before; then the timers are new and the request-states the same.
        again: bool,
    },
    /// The client-type is not open any more, or was never accepted. Comes once for each opening, whatever the cause, this
    /// end's own command included.
    ClientClosed(ClientEnd),
    /// A DEC with decisions. It is one transaction.
    Decision {
        /// The client-type.
        client_type: ClientType,
        /// The request-state.
        handle: ClientHandle,
        /// Whether it answers the handle's REQ, so that the next may go.
        solicited: bool,
        /// The decisions, in their order. Their commands are known and their contexts were asked for.
        decisions: Vec<Decision>,
        /// The report that is due: give it to [`PepCommand::Report`](super::PepCommand::Report), once.
        report: Option<DecisionId>,
    },
    /// A DEC with an Error object: the PDP could not take the REQ. There is no report.
    RequestRefused {
        /// The client-type.
        client_type: ClientType,
        /// The request-state. It can be asked for again with the same handle, or deleted.
        handle: ClientHandle,
        /// Whether it answers the handle's REQ, so that the next may go.
        solicited: bool,
        /// What was wrong.
        error: CopsError,
        /// Whether the PDP has an earlier state under this handle, which then stays.
        installed: bool,
    },
    /// A request that was refused as [`RequestOpen`](crate::session::CommandError::RequestOpen) may go now.
    RequestReady {
        /// The client-type.
        client_type: ClientType,
        /// The request-state.
        handle: ClientHandle,
    },
    /// A REQ got no decision in time: its state was deleted (DRQ, reason 5). It may be asked for again, as a new one
    /// (RFC 2748 3.2).
    RequestTimedOut {
        /// The client-type.
        client_type: ClientType,
        /// The former request-state.
        handle: ClientHandle,
    },
    /// A decision could not be taken, and the session deleted the state (DRQ). It may be asked for again, as a new one
    /// (RFC 2748 3.4).
    StateDeleted {
        /// The client-type.
        client_type: ClientType,
        /// The former request-state.
        handle: ClientHandle,
        /// The reason in DRQ.
        reason: Reason,
        /// What was wrong with the decision.
        fault: PeerFault,
    },
    /// SSQ came: send a REQ with the full state for each of `states`. SSC follows by itself, when each of them has its
    /// decision and its report, or is deleted.
    SynchronizeRequested {
        /// The client-type.
        client_type: ClientType,
        /// The one state that is asked for; all of the client-type where there is none.
        handle: Option<ClientHandle>,
        /// The states to send again. One whose REQ is open counts as sent, if that REQ has the full state; otherwise it is
        /// here, and the REQ can go when that one is decided.
        states: Vec<ClientHandle>,
    },
    /// SSC went out.
    Synchronized {
        /// The client-type.
        client_type: ClientType,
        /// The state that was asked for; all of the client-type where there is none.
        handle: Option<ClientHandle>,
    },
    /// A periodic accounting report may go.
    AccountingDue {
        /// The client-type.
        client_type: ClientType,
        /// The request-state.
        handle: ClientHandle,
    },
    /// The session is over. Send what [`poll_transmit`](super::PepSession::poll_transmit) still gives and close the
    /// connection. The last event.
    Closed {
        /// Why.
        cause: CloseCause,
    },
}

/// How a client-type ended at the PEP, and what is left of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientEnd {
    /// The client-type.
    pub client_type: ClientType,
    /// Why.
    pub cause: CloseCause,
    /// Whether it had been accepted.
    pub accepted: bool,
    /// The request-states that there were. Whether they are kept for another connection is the client-type's to say.
    pub states: Vec<HeldRequestState>,
    /// Whether this PDP's decisions are all here: every REQ decided, every decision reported on, no synchronisation begun
    /// and not ended. Only then may the next OPN name it as Last PDP Address (RFC 2748 2.5, 4.3), and only if the PEP still
    /// has the decisions.
    pub in_sync: bool,
}
