//! The PEP's end of a connection.
//!
//! | file | holds |
//! |---|---|
//! | `command` | what the program asks |
//! | `event` | what it is told |
//! | `client` | a client-type and its request-states, as data |
//! | `receive` | messages, and what is answered to wrong ones |
//! | `security` | message security: its negotiation, its keys, its refusals |
//! | `send` | commands carried out |
//! | `close` | how client-types and the connection end |
//! | `sync` | what an SSQ still waits for |
//! | `accounting` | the pace of accounting reports |
//! | [`reconnect`] | when to connect to which PDP |

mod accounting;
mod client;
mod close;
mod command;
mod event;
mod receive;
pub mod reconnect;
mod security;
mod send;
mod sync;

use core::time::Duration;
use std::collections::BTreeMap;

use self::client::Client;
pub use self::{
    command::{ClientOpening, HeldRequestState, Outcome, PepCommand, RequestBody, UnsolicitedReport},
    event::{ClientEnd, PepEvent},
};
use super::{
    command::{CommandError, DecisionId},
    fault::{CloseCause, Counters},
    guard::PepIntegrity,
    handles::HandleAllocator,
    keep_alive,
    limits::SessionLimits,
    link::{Link, Undrained, Unopened},
    random::Random,
    time::Moment,
    timers::Timers,
};
use crate::{
    error::DecodeError,
    framing::Frame,
    limits::Limits,
    wire::{ClientHandle, ClientType, KaTimer, PdpAddress, PepId},
};

/// What a PEP's session has to know beforehand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PepConfig {
    /// This PEP's name, the same for all client-types and after a reboot (RFC 2748 2.2.11).
    pub pep_id: PepId,
    /// The PDP at the other end, as it would be named in a Last PDP Address. Where an opening's Last PDP Address is this
    /// one, the held decisions are this PDP's own. `None` if the program does not resume.
    pub pdp_address: Option<PdpAddress>,
    /// How long a REQ may wait for its decision (RFC 2748 3.2). Default 30 s.
    pub request_timeout: Duration,
    /// How long an OPN may wait for CAT or CC; over it the connection is given up. Default 30 s.
    pub open_timeout: Duration,
    /// Message Integrity (RFC 2748 4.1); `None` to go without. Default `None`.
    pub integrity: Option<PepIntegrity>,
    /// Bounds of a message, both ways.
    pub wire_limits: Limits,
    /// Bounds of the session.
    pub limits: SessionLimits,
}

impl PepConfig {
    /// With the documented defaults.
    #[must_use]
    pub const fn new(pep_id: PepId) -> Self {
        Self {
            pep_id,
            pdp_address: None,
            request_timeout: Duration::from_secs(30),
            open_timeout: Duration::from_secs(30),
            integrity: None,
            wire_limits: Limits::DEFAULT,
            limits: SessionLimits::DEFAULT,
        }
    }
}

/// The PEP's end of one connection. The caller's contract is in [`session`](super).
#[derive(Debug)]
pub struct PepSession {
    config: PepConfig,
    link: Link<PepEvent>,
    random: Random,
    timers: Timers<Timer>,
    clients: BTreeMap<ClientType, Client>,
    handles: HandleAllocator,
    next_decision: u64,
    /// The smallest KA Timer of the open client-types.
    ka_timer: Option<Duration>,
    /// The KA Timer of the CAT for client-type 0.
    connection_timer: Option<KaTimer>,
    /// When the last message came.
    heard: Moment,
}

/// What a PEP waits for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    KeepAlive,
    Silence,
    Open(ClientType),
    Request(ClientType, ClientHandle),
    Accounting(ClientType, ClientHandle),
}

impl PepSession {
    /// A session over a connection that was made just now. Send the first OPN with [`PepCommand::Open`].
    ///
    /// With message Integrity, and no key that is valid now, it is closed from the start.
    ///
    /// `seed` spreads the keep-alives; take another one for each session, from anywhere random.
    #[must_use]
    pub fn new(config: PepConfig, now: Moment, seed: u64) -> Self {
        let mut session = Self {
            link: Link::new(config.wire_limits, config.limits),
            config,
            random: Random::new(seed),
            timers: Timers::new(),
            clients: BTreeMap::new(),
            handles: HandleAllocator::new(),
            next_decision: 0,
            ka_timer: None,
            connection_timer: None,
            heard: now,
        };
        session.negotiate_integrity(now);
        session
    }

    /// Takes what came from the PDP: a frame, or the error of a stream that can no longer be divided into frames.
    ///
    /// What is wrong with it is answered to the PDP, and told by an event where it ends something. After the end of the
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
        self.hear(now);
        match self.link.open(frame) {
            Ok((message, _)) => self.receive(now, message),
            Err(Unopened::Malformed(error)) => self.receive_malformed(now, error),
            Err(Unopened::Unauthentic(fault)) => self.refuse_unauthentic(fault),
        }
        Ok(())
    }

    /// Carries out a command. The result is the handle of the request-state that a REQ or RPT was sent for, if any.
    ///
    /// # Errors
    /// Why it was not carried out; then nothing has changed.
    pub fn handle_command(
        &mut self,
        now: Moment,
        command: PepCommand,
    ) -> Result<Option<ClientHandle>, CommandError> {
        if self.link.closed {
            return Err(CommandError::Closed);
        }
        self.link.check_drained()?;
        self.set_now(now);
        if self.link.closed {
            return Err(CommandError::Closed);
        }
        match command {
            PepCommand::Open(opening) => self.send_open(now, &opening).map(|()| None),
            PepCommand::Request {
                client_type,
                handle,
                request,
            } => self.send_request(now, client_type, handle, request).map(Some),
            PepCommand::Report {
                client_type,
                handle,
                decision,
                outcome,
                client_si,
            } => self
                .send_report(client_type, &handle, decision, outcome, client_si)
                .map(|()| Some(handle)),
            PepCommand::ReportUnsolicited {
                client_type,
                handle,
                report,
                client_si,
            } => self
                .send_unsolicited(now, client_type, &handle, report, client_si)
                .map(|()| Some(handle)),
            PepCommand::SetAccounting {
                client_type,
                handle,
                interval,
            } => self
                .set_accounting(now, client_type, &handle, interval)
                .map(|()| Some(handle)),
            PepCommand::Delete {
                client_type,
                handle,
                reason,
            } => self.send_delete(client_type, &handle, reason).map(|()| None),
            PepCommand::Close { client_type, error } => {
                if !self.clients.contains_key(&client_type) {
                    return Err(CommandError::ClientNotOpen(client_type));
                }
                self.close_client(now, client_type, CloseCause::Command(error), Some(error));
                Ok(None)
            }
            PepCommand::Shutdown { error } => {
                self.close_connection(CloseCause::Command(error), close::Farewell::EachClient(error));
                Ok(None)
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
                Timer::KeepAlive => self.keep_alive(now),
                Timer::Silence => self.silence(),
                Timer::Open(_) => {
                    let cause = CloseCause::OpenTimeout {
                        awaited: "answer to OPN",
                        waited: self.config.open_timeout,
                    };
                    self.close_connection(cause, close::Farewell::COMMUNICATION_FAILURE);
                }
                Timer::Request(client_type, handle) => self.time_out_request(client_type, &handle),
                Timer::Accounting(client_type, handle) => self.accounting_due(now, client_type, handle),
            }
        }
    }

    /// Takes the end of the transport: closed or reset by the PDP, or an error of the socket.
    pub fn handle_disconnect(&mut self) {
        self.close_connection(CloseCause::Disconnected, close::Farewell::Nothing);
    }

    /// The next frame to send.
    pub fn poll_transmit(&mut self) -> Option<Frame> {
        self.link.poll_transmit()
    }

    /// The next event.
    pub fn poll_event(&mut self) -> Option<PepEvent> {
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

    /// Whether requests may go for this client-type.
    #[must_use]
    pub fn is_open(&self, client_type: ClientType) -> bool {
        self.clients.get(&client_type).is_some_and(Client::is_open)
    }

    /// The request-states of a client-type.
    pub fn handles(&self, client_type: ClientType) -> impl Iterator<Item = &ClientHandle> {
        self.clients
            .get(&client_type)
            .into_iter()
            .flat_map(|client| client.states.keys())
    }

    /// Whether a REQ of this handle waits for its decision.
    #[must_use]
    pub fn has_open_request(&self, client_type: ClientType, handle: &ClientHandle) -> bool {
        self.clients
            .get(&client_type)
            .and_then(|client| client.states.get(handle))
            .is_some_and(|state| state.open_request.is_some())
    }

    /// Decisions of this handle whose report has not gone.
    #[must_use]
    pub fn unreported_decisions(&self, client_type: ClientType, handle: &ClientHandle) -> usize {
        self.clients
            .get(&client_type)
            .and_then(|client| client.states.get(handle))
            .map_or(0, |state| state.unreported.len())
    }

    /// OPNs of this client-type that are not answered.
    #[must_use]
    pub fn pending_opens(&self, client_type: ClientType) -> usize {
        self.clients
            .get(&client_type)
            .map_or(0, |client| client.pending_opens)
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

    fn next_decision_id(&mut self) -> DecisionId {
        self.next_decision = self.next_decision.wrapping_add(1);
        DecisionId(self.next_decision)
    }

    /// Any message shows that the connection works (RFC 2748 4.6).
    fn hear(&mut self, now: Moment) {
        self.heard = now;
        if let Some(timer) = self.ka_timer {
            self.timers
                .set(Timer::Silence, keep_alive::silence_deadline(now, timer));
        }
    }

    /// After a CAT, or the end of a client-type: the smallest KA Timer may be another one. The interval then begins anew.
    fn retime(&mut self, now: Moment) {
        let clients = self.clients.values().filter_map(Client::ka_timer);
        let timer = keep_alive::minimum(clients.chain(self.connection_timer));
        if timer == self.ka_timer {
            return;
        }
        self.ka_timer = timer;
        match timer {
            Some(timer) => {
                let point = keep_alive::send_point(now, timer, &mut self.random);
                self.timers.set(Timer::KeepAlive, point);
                self.timers
                    .set(Timer::Silence, keep_alive::silence_deadline(self.heard, timer));
            }
            None => {
                self.timers.clear(&Timer::KeepAlive);
                self.timers.clear(&Timer::Silence);
            }
        }
    }
}
