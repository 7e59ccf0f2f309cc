//! The sessions, and the part of them that a module reaches.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use cops_codec::message::{Decision, DecisionBody};
use cops_codec::session::pdp::Done;
use cops_codec::session::{CommandError, DecisionId, Moment, PdpCommand, PdpSession};
use cops_codec::tls::CertificateNames;
use cops_codec::wire::{ClientHandle, ClientType, CopsError, PdpAddress, PepId};

use super::{Asked, ConnectionId, Now};

/// A connection and its session.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) session: PdpSession,
    pub(super) address: SocketAddr,
    pub(super) deadline: Option<u64>,
    /// Whom the PEP's certificate is for, over TLS.
    pub(super) names: Option<CertificateNames>,
}

/// All connections.
#[derive(Debug)]
pub(super) struct Sessions {
    pub(super) connections: BTreeMap<ConnectionId, Connection>,
    /// Those that something was done to since their events were drained.
    pub(super) touched: BTreeSet<ConnectionId>,
    pub(super) now: Now,
}

impl Sessions {
    pub(super) fn moment(&self) -> Moment {
        Moment(self.now.real_millis)
    }

    pub(super) fn session(&self, id: ConnectionId) -> Option<&PdpSession> {
        self.connections.get(&id).map(|connection| &connection.session)
    }

    pub(super) fn command(&mut self, id: ConnectionId, command: PdpCommand) -> Result<Done, CommandError> {
        let moment = self.moment();
        let connection = self.connections.get_mut(&id).ok_or(CommandError::Closed)?;
        let done = connection.session.handle_command(moment, command);
        self.touched.insert(id);
        done
    }
}

/// What a module can do while it is called: send on the sessions of its own client-type.
///
/// A command that is refused has changed nothing. Most refusals mean that the PEP is gone or does not read; its session
/// ends by itself then, and [`ClientTypeModule::closed`](super::ClientTypeModule::closed) tells it.
#[derive(Debug)]
pub struct Hosting<'a> {
    sessions: &'a mut Sessions,
    client_type: ClientType,
}

impl<'a> Hosting<'a> {
    pub(super) fn new(sessions: &'a mut Sessions, client_type: ClientType) -> Self {
        Self {
            sessions,
            client_type,
        }
    }

    /// The time of the input that is being handled.
    #[must_use]
    pub fn now(&self) -> Now {
        self.sessions.now
    }

    /// The client-type that this reaches.
    #[must_use]
    pub fn client_type(&self) -> ClientType {
        self.client_type
    }

    /// Sends the one solicited DEC that a REQ gets. Gives the name under which its report will come, if one is due.
    ///
    /// # Errors
    /// Why it was not sent: the request does not wait for an answer, a decision is outside its context, or the PEP is gone
    /// or does not read.
    pub fn decide(
        &mut self,
        asked: &Asked<'_>,
        body: DecisionBody,
    ) -> Result<Option<DecisionId>, CommandError> {
        let command = PdpCommand::Decide {
            client_type: self.client_type,
            handle: asked.message.handle.clone(),
            request: asked.request,
            body,
        };
        self.sessions.command(asked.connection, command).map(report_of)
    }

    /// Sends the solicited DEC of a REQ that came in an earlier call.
    ///
    /// # Errors
    /// As [`decide`](Self::decide).
    pub fn decide_later(
        &mut self,
        id: ConnectionId,
        handle: ClientHandle,
        request: cops_codec::session::RequestId,
        body: DecisionBody,
    ) -> Result<Option<DecisionId>, CommandError> {
        let command = PdpCommand::Decide {
            client_type: self.client_type,
            handle,
            request,
            body,
        };
        self.sessions.command(id, command).map(report_of)
    }

    /// Sends an unsolicited DEC for an installed request-state (RFC 2748 4.4). Gives the name under which its report will
    /// come, if one is due.
    ///
    /// # Errors
    /// Why it was not sent: no such state, a REQ of it is open, too many decisions without a report, or the PEP is gone or
    /// does not read.
    pub fn push(
        &mut self,
        id: ConnectionId,
        handle: ClientHandle,
        decisions: Vec<Decision>,
    ) -> Result<Option<DecisionId>, CommandError> {
        let command = PdpCommand::Push {
            client_type: self.client_type,
            handle,
            decisions,
        };
        self.sessions.command(id, command).map(report_of)
    }

    /// Sends SSQ: for one state, also one that is not known here, or for all.
    ///
    /// # Errors
    /// Why it was not sent.
    pub fn synchronize(
        &mut self,
        id: ConnectionId,
        handle: Option<ClientHandle>,
    ) -> Result<(), CommandError> {
        let command = PdpCommand::Synchronize {
            client_type: self.client_type,
            handle,
        };
        self.sessions.command(id, command).map(drop)
    }

    /// Sends CC for this client-type; its request-states go. `redirect` names the PDP to go to instead, with error 12.
    ///
    /// # Errors
    /// Why it was not sent.
    pub fn close(
        &mut self,
        id: ConnectionId,
        error: CopsError,
        redirect: Option<PdpAddress>,
    ) -> Result<(), CommandError> {
        let command = PdpCommand::Close {
            client_type: self.client_type,
            error,
            redirect,
        };
        self.sessions.command(id, command).map(drop)
    }

    /// The PEP of a connection, once its first OPN came.
    #[must_use]
    pub fn pep_id(&self, id: ConnectionId) -> Option<&PepId> {
        self.sessions.session(id)?.pep_id()
    }

    /// Whether this client-type is open on a connection.
    #[must_use]
    pub fn is_open(&self, id: ConnectionId) -> bool {
        self.sessions
            .session(id)
            .is_some_and(|session| session.is_open(self.client_type))
    }

    /// Whether an SSQ of this client-type waits for its SSC.
    #[must_use]
    pub fn is_synchronizing(&self, id: ConnectionId) -> bool {
        self.sessions
            .session(id)
            .is_some_and(|session| session.is_synchronizing(self.client_type))
    }

    /// Decisions of a request-state whose report has not come.
    #[must_use]
    pub fn unreported_decisions(&self, id: ConnectionId, handle: &ClientHandle) -> usize {
        self.sessions.session(id).map_or(0, |session| {
            session.unreported_decisions(self.client_type, handle)
        })
    }

    /// REQs of a request-state whose decision has not gone.
    #[must_use]
    pub fn undecided_requests(&self, id: ConnectionId, handle: &ClientHandle) -> usize {
        self.sessions
            .session(id)
            .map_or(0, |session| session.undecided_requests(self.client_type, handle))
    }
}

fn report_of(done: Done) -> Option<DecisionId> {
    match done {
        Done::Decided { report } => report,
        Done::Plain | Done::Accepted { .. } => None,
    }
}
