//! What a PDP's session tells the program.

use crate::{
    message::Request,
    session::{
        command::{DecisionId, RequestId},
        fault::{CloseCause, PeerFault},
    },
    wire::{ClientHandle, ClientSi, ClientType, CopsError, PdpAddress, PepId, Reason, ReportType},
};

/// An event of a [`PdpSession`](super::PdpSession).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PdpEvent {
    /// OPN came: answer it with [`PdpCommand::Accept`](super::PdpCommand::Accept) or
    /// [`PdpCommand::Reject`](super::PdpCommand::Reject), once for each.
    OpenRequested {
        /// The client-type.
        client_type: ClientType,
        /// The PEP; the same for all client-types of a connection.
        pep_id: PepId,
        /// Global information about the PEP.
        client_si: Option<ClientSi>,
        /// The PDP whose complete decisions the PEP holds.
        last_pdp_address: Option<PdpAddress>,
        /// Whether that is this one.
        last_pdp_is_this: bool,
        /// Whether the client-type is open already.
        again: bool,
    },
    /// REQ came: answer it with [`PdpCommand::Decide`](super::PdpCommand::Decide), at once if need be with NULL, because the
    /// PEP gives its handle up when it waits too long.
    Request {
        /// The name of the REQ for its answer.
        request: RequestId,
        /// Whether it changes a state that is installed.
        update: bool,
        /// The REQ, client-type and handle in it.
        message: Request,
    },
    /// A REQ could not be taken, and the session answered it with an Error object. A state under this handle is as before.
    RequestRefused {
        /// The client-type.
        client_type: ClientType,
        /// The handle.
        handle: ClientHandle,
        /// What was wrong.
        fault: PeerFault,
        /// What the PEP was told.
        error: CopsError,
    },
    /// RPT came.
    Report {
        /// The client-type.
        client_type: ClientType,
        /// The request-state.
        handle: ClientHandle,
        /// The decision that it is about; `None` for an unsolicited report.
        decision: Option<DecisionId>,
        /// What is reported.
        report_type: ReportType,
        /// What the client-type says.
        client_si: Vec<ClientSi>,
    },
    /// DRQ came: the request-state is gone. Nothing is answered.
    StateDeleted {
        /// The client-type.
        client_type: ClientType,
        /// The former request-state.
        handle: ClientHandle,
        /// Why.
        reason: Reason,
    },
    /// SSC came, or what stands for it.
    Synchronized {
        /// The client-type.
        client_type: ClientType,
        /// The state that was asked for; all of the client-type where there is none.
        handle: Option<ClientHandle>,
        /// States that the PEP did not send again, and that are therefore gone.
        dropped: Vec<ClientHandle>,
    },
    /// The PEP did not complete a synchronisation in time. It goes on; to close the client-type is for the program to say.
    SynchronizationOverdue {
        /// The client-type.
        client_type: ClientType,
        /// The state that was asked for; all of the client-type where there is none.
        handle: Option<ClientHandle>,
    },
    /// The client-type is not open any more, or was never accepted. Comes once for each opening, whatever the cause, this
    /// end's own command included.
    ClientClosed {
        /// The client-type.
        client_type: ClientType,
        /// Why.
        cause: CloseCause,
        /// Whether it had been accepted.
        accepted: bool,
        /// Whether its states are there for [`take_held`](super::PdpSession::take_held). Otherwise they are gone.
        held: bool,
    },
    /// The session is over. Send what [`poll_transmit`](super::PdpSession::poll_transmit) still gives and close the
    /// connection. The last event.
    Closed {
        /// Why.
        cause: CloseCause,
    },
}
