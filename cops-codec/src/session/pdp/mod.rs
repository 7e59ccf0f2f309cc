//! The PDP's end of a connection.
//!
//! | file | holds |
//! |---|---|
//! | `command` | what the program asks |
//! | `event` | what it is told |
//! | `client` | a client-type and its request-states, as data |
//! | `receive` | messages, and what is answered to wrong ones |
//! | `security` | message security: its negotiation, its keys, its refusals |
//! | `send` | commands and timers carried out |
//! | `close` | how client-types and the connection end |
//! | `sync` | mark and sweep |
//! | `held` | states that outlive the connection |
//! | `registry` | which connection serves a PEP |

mod client;
mod close;
mod command;
mod event;
mod held;
mod receive;
mod registry;
mod security;
mod send;
mod sync;

use core::time::Duration;
use std::collections::BTreeMap;

use self::{client::Client, close::Farewell};
pub use self::{
    command::{Acceptance, Done, PdpCommand, Synchronize},
    event::PdpEvent,
    held::HeldState,
    registry::PepRegistry,
};
use super::{
    command::CommandError,
    fault::{CloseCause, Counters},
    guard::PdpIntegrity,
    keep_alive,
    limits::SessionLimits,
    link::{Link, Undrained, Unopened},
    time::Moment,
    timers::Timers,
};
use crate::{
    error::DecodeError,
    framing::Frame,
    limits::Limits,
    wire::{ClientHandle, ClientType, CopsError, ErrorCode, KaTimer, PdpAddress, PepId},
};

/// What a PDP's session has to know beforehand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PdpConfig {
    /// The client-types that are served: an OPN for another one is answered with CC, error 6, without asking the program.
    /// Empty: the program is asked about each.
    pub client_types: Vec<ClientType>,
    /// Addresses under which PEPs reach this PDP, as they may stand in a Last PDP Address; the local address of this
    /// connection among them.
    pub addresses: Vec<PdpAddress>,
    /// How long a connection may last without a first OPN. Default 10 s.
    pub first_open_timeout: Duration,
    /// How long it may last after its last client-type ended; it is the PEP that should close it. Default 5 s.
    pub idle_timeout: Duration,
    /// After which time a synchronisation is called overdue. Default 60 s.
    pub synchronize_timeout: Duration,
    /// How long the RPT of a decision may be awaited, from the decision or the RPT before it. RFC 2748 names no such time;
    /// reports are matched to decisions by their order, so that a missing one makes all later ones ambiguous: the
    /// client-type is closed with error 9, and the PEP begins anew. Default 60 s.
    pub report_timeout: Duration,
    /// Message Integrity (RFC 2748 4.1); `None` if it is not offered. Default `None`.
    pub integrity: Option<PdpIntegrity>,
    /// Bounds of a message, both ways.
    pub wire_limits: Limits,
    /// Bounds of the session.
    pub limits: SessionLimits,
}

impl PdpConfig {
    /// With the documented defaults.
    #[must_use]
    pub const fn new(client_types: Vec<ClientType>, addresses: Vec<PdpAddress>) -> Self {
        Self {
            client_types,
            addresses,
            first_open_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(5),
            synchronize_timeout: Duration::from_secs(60),
            report_timeout: Duration::from_secs(60),
            integrity: None,
            wire_limits: Limits::DEFAULT,
            limits: SessionLimits::DEFAULT,
        }
    }
}

/// The PDP's end of one connection. The caller's contract is in [`session`](super).
#[derive(Debug)]
pub struct PdpSession {
    config: PdpConfig,
    link: Link<PdpEvent>,
    timers: Timers<Timer>,
    /// Boxed, since a node of the map has room for eleven, and most connections have one.
    clients: BTreeMap<ClientType, Box<Client>>,
    /// Of the first OPN.
    pep_id: Option<PepId>,
    /// The KA Timer of the CAT for client-type 0.
    connection_timer: Option<KaTimer>,
    /// Whether a client-type was ever accepted: it is too late for security then.
    accepted: bool,
    next_id: u64,
    /// The smallest KA Timer of the open client-types.
    ka_timer: Option<Duration>,
    /// From when on silence counts: the last message, or the CAT that set another timer. A program may take long to accept
    /// an OPN, and the PEP has no timer to keep before that.
    silent_since: Moment,
    /// The time of the input that is being handled.
    now: Moment,
    held: Vec<HeldState>,
}

/// What a PDP waits for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    Silence,
    FirstOpen,
    Idle,
    Synchronize(ClientType, Option<ClientHandle>),
    Report(ClientType, ClientHandle),
}

impl PdpSession {
    /// A session over a connection that was accepted just now.
    #[must_use]
    pub fn new(config: PdpConfig, now: Moment) -> Self {
        let mut timers = Timers::new();
        timers.set(Timer::FirstOpen, now.after(config.first_open_timeout));
        let mut link = Link::new(config.wire_limits, config.limits);
        if config
            .integrity
            .as_ref()
            .is_some_and(|integrity| integrity.required)
        {
            link.guard.demand();
        }
        Self {
            link,
            config,
            timers,
            clients: BTreeMap::new(),
            pep_id: None,
            connection_timer: None,
            accepted: false,
            next_id: 0,
            ka_timer: None,
            silent_since: now,
            now,
            held: Vec::new(),
        }
    }

    /// Takes what came from the PEP: a frame, or the error of a stream that can no longer be divided into frames.
    ///
    /// What is wrong with it is answered to the PEP, and told by an event where it ends something. After the end of the
    /// session it is dropped.
    ///
    /// # Errors
    /// If too many events wait; the frame was not taken.
    pub fn handle_frame(&mut self, now: Moment, frame: Result<Frame, DecodeError>) -> Result<(), Undrained> {
        if self.link.closed {
            return Ok(());
        }
        self.link.check_drained()?;
        self.set_now(now);
        if self.link.closed {
            return Ok(());
        }
        self.hear();
        match self.link.open(frame) {
            Ok((message, frame)) => self.receive(message, &frame),
            Err(Unopened::Malformed(error)) => self.receive_malformed(error),
            Err(Unopened::Unauthentic(fault)) => self.refuse_unauthentic(fault),
        }
        Ok(())
    }

    /// Carries out a command.
    ///
    /// # Errors
    /// Why it was not carried out; then nothing has changed.
    pub fn handle_command(&mut self, now: Moment, command: PdpCommand) -> Result<Done, CommandError> {
        if self.link.closed {
            return Err(CommandError::Closed);
        }
        self.link.check_drained()?;
        self.set_now(now);
        if self.link.closed {
            return Err(CommandError::Closed);
        }
        match command {
            PdpCommand::Accept(acceptance) => self.send_accept(acceptance),
            PdpCommand::Reject {
                client_type,
                error,
                redirect,
            } => {
                let pending = self
                    .clients
                    .get(&client_type)
                    .is_some_and(|client| !client.pending_opens.is_empty());
                if !pending {
                    return Err(CommandError::NoPendingOpen(client_type));
                }
                self.close_client(client_type, CloseCause::Command(error), Some((error, redirect)));
                Ok(Done::Plain)
            }
            PdpCommand::Decide {
                client_type,
                handle,
                request,
                body,
            } => self.send_solicited(client_type, handle, request, body),
            PdpCommand::Push {
                client_type,
                handle,
                decisions,
            } => self.send_unsolicited(client_type, handle, decisions),
            PdpCommand::Synchronize { client_type, handle } => {
                self.send_synchronize(client_type, handle).map(|()| Done::Plain)
            }
            PdpCommand::Close {
                client_type,
                error,
                redirect,
            } => self.command_close(client_type, CloseCause::Command(error), (error, redirect)),
            PdpCommand::Supersede { client_type } => {
                let error = CopsError::new(ErrorCode::COMMUNICATION_FAILURE);
                self.command_close(client_type, CloseCause::Superseded, (error, None))
            }
            PdpCommand::Disconnect { error } => {
                self.close_connection(CloseCause::Command(error), Farewell::Connection(error));
                Ok(Done::Plain)
            }
            PdpCommand::Shutdown { redirect } => {
                let error = CopsError::new(ErrorCode::SHUTTING_DOWN);
                self.close_connection(CloseCause::Command(error), Farewell::EachClient(error, redirect));
                Ok(Done::Plain)
            }
        }
    }

    /// Does what is due at `now`. Calling it early does no harm.
    pub fn handle_timeout(&mut self, now: Moment) {
        self.set_now(now);
        // What is left for want of room stays due, and `poll_timeout` says so.
        while !self.link.closed && self.link.check_drained().is_ok() {
            let Some(timer) = self.timers.pop_due(now) else {
                break;
            };
            match timer {
                Timer::Silence => {
                    if let Some(timer) = self.ka_timer {
                        // No CC: that would undo the OPN and with it the state, which is held (RFC 2748 4.7, 2.5).
                        self.close_connection(CloseCause::Silence { timer }, Farewell::Nothing);
                    }
                }
                Timer::FirstOpen => {
                    let cause = CloseCause::OpenTimeout {
                        awaited: "OPN",
                        waited: self.config.first_open_timeout,
                    };
                    self.close_connection(cause, Farewell::Nothing);
                }
                Timer::Idle => self.close_connection(CloseCause::NoClientOpen, Farewell::Nothing),
                Timer::Synchronize(client_type, handle) => {
                    self.link
                        .emit(PdpEvent::SynchronizationOverdue { client_type, handle });
                }
                Timer::Report(client_type, _) => {
                    let cause = CloseCause::ReportTimeout {
                        waited: self.config.report_timeout,
                    };
                    let error = CopsError::new(ErrorCode::COMMUNICATION_FAILURE);
                    self.close_client(client_type, cause, Some((error, None)));
                }
            }
        }
    }

    /// Takes the end of the transport: closed or reset by the PEP, or an error of the socket.
    pub fn handle_disconnect(&mut self, now: Moment) {
        self.now = now;
        self.close_connection(CloseCause::Disconnected, Farewell::Nothing);
    }

    /// The next frame to send.
    pub fn poll_transmit(&mut self) -> Option<Frame> {
        self.link.poll_transmit()
    }

    /// The next event.
    pub fn poll_event(&mut self) -> Option<PdpEvent> {
        self.link.poll_event()
    }

    /// When [`Self::handle_timeout`] is to be called next.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Moment> {
        self.timers.next()
    }

    /// Whether the session is over: close the connection when [`Self::poll_transmit`] has nothing more.
    #[must_use]
    pub const fn is_closed(&self) -> bool {
        self.link.closed
    }

    /// Octets that wait in [`Self::poll_transmit`].
    #[must_use]
    pub fn transmit_octets(&self) -> usize {
        self.link.transmit_octets()
    }

    /// The states of the client-types that were lost with the connection, for [`PepRegistry::hold`]: each once, after its
    /// [`PdpEvent::ClientClosed`] said so.
    pub fn take_held(&mut self) -> Vec<HeldState> {
        core::mem::take(&mut self.held)
    }

    /// As [`Self::take_held`], of one client-type.
    pub fn take_held_of(&mut self, client_type: ClientType) -> Option<HeldState> {
        let at = self
            .held
            .iter()
            .position(|state| state.client_type == client_type)?;
        Some(self.held.swap_remove(at))
    }

    /// The PEP at the other end, once its first OPN came.
    #[must_use]
    pub const fn pep_id(&self) -> Option<&PepId> {
        self.pep_id.as_ref()
    }

    /// Whether this client-type was accepted, and not closed since.
    #[must_use]
    pub fn is_open(&self, client_type: ClientType) -> bool {
        self.clients
            .get(&client_type)
            .is_some_and(|client| client.is_open())
    }

    /// The request-states of a client-type, also those that wait for their first decision.
    pub fn handles(&self, client_type: ClientType) -> impl Iterator<Item = &ClientHandle> {
        self.clients
            .get(&client_type)
            .into_iter()
            .flat_map(|client| client.states.keys())
    }

    /// How many of them there are.
    #[must_use]
    pub fn handle_count(&self, client_type: ClientType) -> usize {
        self.clients
            .get(&client_type)
            .map_or(0, |client| client.states.len())
    }

    /// REQs of this handle whose decision has not gone.
    #[must_use]
    pub fn undecided_requests(&self, client_type: ClientType, handle: &ClientHandle) -> usize {
        self.state(client_type, handle)
            .map_or(0, |state| state.undecided.len())
    }

    /// Decisions of this handle whose report has not come.
    #[must_use]
    pub fn unreported_decisions(&self, client_type: ClientType, handle: &ClientHandle) -> usize {
        self.state(client_type, handle)
            .map_or(0, |state| state.unreported.len())
    }

    /// OPNs of this client-type that are not answered.
    #[must_use]
    pub fn pending_opens(&self, client_type: ClientType) -> usize {
        self.clients
            .get(&client_type)
            .map_or(0, |client| client.pending_opens.len())
    }

    /// Whether an SSQ for this client-type waits for its SSC.
    #[must_use]
    pub fn is_synchronizing(&self, client_type: ClientType) -> bool {
        self.clients
            .get(&client_type)
            .is_some_and(|client| !client.synchronizations.is_empty())
    }

    /// The longest silence that is allowed now: the smallest KA Timer of the open client-types, or `None` for no limit.
    #[must_use]
    pub const fn keep_alive_timer(&self) -> Option<Duration> {
        self.ka_timer
    }

    /// What was dropped without an answer.
    #[must_use]
    pub const fn counters(&self) -> Counters {
        self.link.counters
    }

    fn state(&self, client_type: ClientType, handle: &ClientHandle) -> Option<&client::State> {
        self.clients
            .get(&client_type)?
            .states
            .get(handle)
            .map(Box::as_ref)
    }

    fn next_id(&mut self) -> u64 {
        self.next_id = self.next_id.wrapping_add(1);
        self.next_id
    }

    /// A decision was sent, or a report came: the time for the next report begins, or there is none to wait for.
    fn await_report(&mut self, client_type: ClientType, handle: &ClientHandle, anew: bool) {
        let timer = Timer::Report(client_type, handle.clone());
        if self.unreported_decisions(client_type, handle) == 0 {
            self.timers.clear(&timer);
        } else if anew || !self.timers.is_set(&timer) {
            self.timers.set(timer, self.now.after(self.config.report_timeout));
        }
    }

    /// Any message shows that the connection works (RFC 2748 4.6).
    fn hear(&mut self) {
        self.silent_since = self.now;
        self.set_silence_timer();
    }

    /// After a CAT, or the end of a client-type: the smallest KA Timer may be another one.
    fn retime(&mut self) {
        let clients = self.clients.values().filter_map(|client| client.ka_timer);
        let timer = keep_alive::minimum(clients.chain(self.connection_timer));
        if timer != self.ka_timer {
            self.ka_timer = timer;
            self.silent_since = self.now;
            self.set_silence_timer();
        }
    }

    fn set_silence_timer(&mut self) {
        match self.ka_timer {
            Some(timer) => {
                let deadline = keep_alive::silence_deadline(self.silent_since, timer);
                self.timers.set(Timer::Silence, deadline);
            }
            None => self.timers.clear(&Timer::Silence),
        }
    }
}
