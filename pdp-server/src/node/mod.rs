//! The PDP as a value: the sessions of all PEPs, translation, and the engine, without IO.
//!
//! `io` drives it with sockets and clocks, a simulation with made-up ones; both pass octets.
//!
//! # Contract
//!
//! 1. Give it one input: [`Node::connected`], [`Node::handle_frame`], [`Node::disconnected`], [`Node::command`],
//!    [`Node::store_state`], [`Node::shut_down`], or [`Node::handle_timeout`] when [`Node::poll_timeout`] has come.
//! 2. Drain [`Node::poll_record`] and make the records durable. Only then drain [`Node::poll_transmit`] of the
//!    connections that [`Node::poll_ready`] names: what leaves may depend on the records. Several inputs may share one
//!    round of this (group commit).
//! 3. Drain [`Node::poll_notice`] for events and answers, and [`Node::poll_closed`] for connections that are over; write
//!    what they still have to send first.
//!
//! Two times go in with each input ([`Now`]): sessions run in real time, because the other end does; the engine's clock
//! may be scaled and goes on across restarts.

mod context;
mod power;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

use cops_codec::client_type::numbers::POWER_CLIENT_TYPE;
use cops_codec::client_type::store::RowLimits;
use cops_codec::limits::Limits;
use cops_codec::session::pdp::{Acceptance, Done, PepRegistry};
use cops_codec::session::{Moment, PdpCommand, PdpConfig, PdpEvent, PdpSession};
use cops_codec::wire::{AccountingTimer, CopsError, ErrorCode, KaTimer, PdpAddress, PepId};
use cops_codec::{DecodeError, Frame};
use power_policy::grouping::Grouping;
use power_policy::interruption::{self, CommandOutcome};
use power_policy::model::Name;

use self::context::Context;
use crate::config::{Config, PeerPolicy};
use crate::engine::event::Event;
use crate::engine::state::Record;
use crate::engine::{Engine, Input, Output, Recovery, Settings};
use crate::limits;
use crate::translate::{self, Site};

/// Names a connection; the caller's to choose, never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(pub u64);

/// The time, on both clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// Monotonic milliseconds of real time, for sessions.
    pub real_millis: u64,
    /// Milliseconds of the engine's clock.
    pub engine_millis: u64,
}

/// When [`Node::handle_timeout`] is due, on either clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deadlines {
    /// For sessions.
    pub real_millis: Option<u64>,
    /// For the engine.
    pub engine_millis: Option<u64>,
}

/// Something for people and programs that watch.
#[derive(Debug, Clone, PartialEq)]
pub enum Notice {
    /// For the operators.
    Event(Event),
    /// The answer to [`Node::command`].
    Answer {
        /// The command's id.
        id: String,
        /// What became of it.
        outcome: CommandOutcome,
        /// It had been answered before.
        repeated: bool,
    },
}

/// A connection and its session.
#[derive(Debug)]
struct Connection {
    session: PdpSession,
    address: SocketAddr,
    /// The PEP, once its OPN was accepted.
    pep: Option<Name>,
    deadline: Option<u64>,
}

/// A PEP that is, or was, connected.
#[derive(Debug)]
struct Pep {
    pep_id: PepId,
    connection: Option<ConnectionId>,
    /// Its base context. It outlives the connection for the hold time.
    context: Option<Context>,
    /// The engine was told that the request-states are known.
    synchronised: bool,
}

/// The PDP. See the [module](self) for its contract.
pub struct Node {
    engine: Engine,
    site: Site,
    peers: PeerPolicy,
    acceptance: Acceptance,
    wire_limits: Limits,
    row_limits: RowLimits,
    first_open_timeout: Duration,
    /// Where this PDP is reached, as it may stand in a PEP's Last PDP Address.
    addresses: Vec<PdpAddress>,
    connections: BTreeMap<ConnectionId, Connection>,
    peps: BTreeMap<Name, Pep>,
    registry: PepRegistry<ConnectionId>,
    deadlines: BTreeSet<(u64, ConnectionId)>,
    ready: BTreeSet<ConnectionId>,
    records: VecDeque<Record>,
    notices: VecDeque<Notice>,
    closed: VecDeque<(ConnectionId, String)>,
    now: Now,
}

impl std::fmt::Debug for Node {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Node")
            .field("connections", &self.connections.len())
            .finish_non_exhaustive()
    }
}

impl Node {
    /// A PDP as `config` says, resuming from a journal.
    ///
    /// `listen` is the address that PEPs connect to, as bound; `scale` how much faster than the world the engine's clock
    /// runs.
    ///
    /// # Errors
    /// The grouping policy contradicts itself, in words. (A checked [`Config`] does not.)
    pub fn new(
        config: &Config,
        listen: SocketAddr,
        scale: u32,
        now: Now,
        recovery: Recovery,
    ) -> Result<Self, String> {
        let grouping = Grouping::new(config.grouping.clone()).map_err(|error| error.to_string())?;
        let policy = config.scaled_policy(scale);
        let site = Site::new(
            config.name.as_str(),
            config.cops.plan_lifetime_seconds,
            &config.grouping,
            &grouping,
        );
        let digest_site = site.clone();
        let real = |seconds: u32| u64::from(seconds) * 1000;
        let settings = Settings {
            policy,
            peers: config.peers.clone(),
            grouping,
            facility_witnesses: config.facility_witnesses.clone(),
            scale,
            await_millis: limits::AWAIT_PEPS_MILLIS.saturating_mul(u64::from(scale.max(1))),
            hold_millis: real(config.cops.hold_seconds).saturating_mul(u64::from(scale.max(1))),
            planner: Box::new(power_policy::planner::plan),
            checker: Box::new(|snapshot, plan, policy| {
                let found = power_policy::checker::check(snapshot, plan, policy);
                found.iter().map(ToString::to_string).collect()
            }),
            digester: Box::new(move |slice| translate::digest(&digest_site, slice)),
        };
        let mut acceptance = Acceptance::new(POWER_CLIENT_TYPE, KaTimer(config.cops.keep_alive_seconds));
        acceptance.accounting_timer = Some(AccountingTimer(config.cops.accounting_seconds));
        let mut wire_limits = Limits::DEFAULT;
        wire_limits.max_message_octets = config.listen.max_message_octets as usize;
        let mut node = Self {
            engine: Engine::new(settings, now.engine_millis, recovery),
            site,
            peers: config.peers.clone(),
            acceptance,
            wire_limits,
            row_limits: RowLimits::default(),
            first_open_timeout: Duration::from_millis(config.listen.open_timeout_millis),
            addresses: vec![PdpAddress::from(listen)],
            connections: BTreeMap::new(),
            peps: BTreeMap::new(),
            registry: PepRegistry::new(
                Duration::from_secs(u64::from(config.cops.hold_seconds)),
                limits::MAX_PEPS,
            ),
            deadlines: BTreeSet::new(),
            ready: BTreeSet::new(),
            records: VecDeque::new(),
            notices: VecDeque::new(),
            closed: VecDeque::new(),
            now,
        };
        node.drain_engine();
        Ok(node)
    }

    /// A connection was accepted from `address`.
    pub fn connected(&mut self, now: Now, id: ConnectionId, address: SocketAddr) {
        self.now = now;
        let mut config = PdpConfig::new(vec![POWER_CLIENT_TYPE], self.addresses.clone());
        config.first_open_timeout = self.first_open_timeout;
        config.wire_limits = self.wire_limits;
        let session = PdpSession::new(config, self.moment());
        self.connections.insert(
            id,
            Connection {
                session,
                address,
                pep: None,
                deadline: None,
            },
        );
        self.serve(id);
    }

    /// A frame came, or the stream can no longer be divided into frames.
    pub fn handle_frame(&mut self, now: Now, id: ConnectionId, frame: Result<Frame, DecodeError>) {
        self.now = now;
        let moment = self.moment();
        if let Some(connection) = self.connections.get_mut(&id) {
            // Events are drained after each call, so the session always takes the frame.
            let _ = connection.session.handle_frame(moment, frame);
            let pep = connection.pep.clone();
            self.serve(id);
            if let Some(pep) = pep {
                self.tell(Input::Heard { pep });
            }
        }
    }

    /// The connection ended or failed.
    pub fn disconnected(&mut self, now: Now, id: ConnectionId) {
        self.now = now;
        let moment = self.moment();
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.session.handle_disconnect(moment);
            self.serve(id);
        }
    }

    /// An administrator's command; the answer is a [`Notice::Answer`] with its id.
    pub fn command(&mut self, now: Now, id: String, command: interruption::Command) {
        self.now = now;
        self.tell(Input::Command { id, command });
    }

    /// The journal fails, with words, or works again.
    pub fn store_state(&mut self, now: Now, failure: Option<String>) {
        self.now = now;
        self.tell(Input::Store { failure });
    }

    /// Every PEP is told that the PDP ends (RFC 2748 4.7: CC, error 11, for each client-type).
    pub fn shut_down(&mut self, now: Now) {
        self.now = now;
        let moment = self.moment();
        let ids: Vec<_> = self.connections.keys().copied().collect();
        for id in ids {
            if let Some(connection) = self.connections.get_mut(&id) {
                // Only a session that is over already refuses.
                let _ = connection
                    .session
                    .handle_command(moment, PdpCommand::Shutdown { redirect: None });
                self.serve(id);
            }
        }
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Now) {
        self.now = now;
        let moment = self.moment();
        while let Some(&(due, id)) = self.deadlines.first()
            && due <= now.real_millis
        {
            self.deadlines.pop_first();
            if let Some(connection) = self.connections.get_mut(&id) {
                connection.deadline = None;
                connection.session.handle_timeout(moment);
                self.serve(id);
            }
        }
        for state in self.registry.expire(moment) {
            if let Ok(pep) = Name::new(state.pep_id().as_str()) {
                self.forget(&pep);
            }
        }
        self.tell(Input::Tick);
    }

    /// When [`Self::handle_timeout`] is due.
    pub fn poll_timeout(&self) -> Deadlines {
        let session = self.deadlines.first().map(|(due, _)| *due);
        let hold = self.registry.poll_timeout().map(|moment| moment.0);
        Deadlines {
            real_millis: [session, hold].into_iter().flatten().min(),
            engine_millis: self.engine.poll_timeout(),
        }
    }

    /// The next record to make durable.
    pub fn poll_record(&mut self) -> Option<Record> {
        self.records.pop_front()
    }

    /// The next connection that has frames to send.
    pub fn poll_ready(&mut self) -> Option<ConnectionId> {
        self.ready.pop_first()
    }

    /// The next frame for a connection.
    pub fn poll_transmit(&mut self, id: ConnectionId) -> Option<Frame> {
        self.connections.get_mut(&id)?.session.poll_transmit()
    }

    /// The next notice.
    pub fn poll_notice(&mut self) -> Option<Notice> {
        self.notices.pop_front()
    }

    /// The next connection that is over, with the reason in words. Its last frames have to be taken with
    /// [`Self::poll_transmit`] before [`Self::forget_connection`].
    pub fn poll_closed(&mut self) -> Option<(ConnectionId, String)> {
        self.closed.pop_front()
    }

    /// Drops a connection that is over.
    pub fn forget_connection(&mut self, id: ConnectionId) {
        self.ready.remove(&id);
        if let Some(connection) = self.connections.remove(&id)
            && let Some(deadline) = connection.deadline
        {
            self.deadlines.remove(&(deadline, id));
        }
    }

    /// The engine, to look at.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Connections that are served.
    pub fn connection_count(&self) -> usize {
        self.connections.len()
    }

    /// Whether a client-type was accepted on this connection, and not closed since.
    pub fn is_open(&self, id: ConnectionId) -> bool {
        self.connections.get(&id).is_some_and(|c| c.pep.is_some())
    }

    fn moment(&self) -> Moment {
        Moment(self.now.real_millis)
    }

    /// Tells the engine, and carries out what it wants.
    fn tell(&mut self, input: Input) {
        self.engine.handle(self.now.engine_millis, input);
        self.drain_engine();
    }

    fn drain_engine(&mut self) {
        while let Some(output) = self.engine.poll_output() {
            match output {
                Output::Record(record) => self.records.push_back(record),
                Output::Event(event) => self.notices.push_back(Notice::Event(event)),
                Output::Answer {
                    id,
                    outcome,
                    repeated,
                } => {
                    self.notices.push_back(Notice::Answer {
                        id,
                        outcome,
                        repeated,
                    });
                }
                Output::Install(assignment) => self.assign(context::Pending::Install(assignment)),
                Output::Release(assignment) => self.assign(context::Pending::Release(assignment)),
            }
        }
    }

    /// Acts on all events of a session, then notes what it has to send and when it is due.
    fn serve(&mut self, id: ConnectionId) {
        while let Some(event) = self.connections.get_mut(&id).and_then(|c| c.session.poll_event()) {
            self.session_event(id, event);
        }
        if let Some(pep) = self.connections.get(&id).and_then(|c| c.pep.clone()) {
            self.send_pending(&pep);
        }
        let Some(connection) = self.connections.get_mut(&id) else {
            return;
        };
        if connection.session.transmit_octets() > 0 {
            self.ready.insert(id);
        }
        let deadline = connection.session.poll_timeout().map(|moment| moment.0);
        if deadline != connection.deadline {
            if let Some(old) = connection.deadline {
                self.deadlines.remove(&(old, id));
            }
            if let Some(new) = deadline {
                self.deadlines.insert((new, id));
            }
            connection.deadline = deadline;
        }
    }

    fn session_event(&mut self, id: ConnectionId, event: PdpEvent) {
        match event {
            PdpEvent::OpenRequested { pep_id, .. } => self.open(id, pep_id),
            PdpEvent::ClientClosed {
                cause,
                accepted,
                held,
                ..
            } => {
                if accepted {
                    self.client_closed(id, &cause.to_string(), held);
                }
            }
            PdpEvent::Closed { cause } => self.closed.push_back((id, cause.to_string())),
            event => self.power_event(id, event),
        }
    }

    fn open(&mut self, id: ConnectionId, pep_id: PepId) {
        let Some(address) = self.connections.get(&id).map(|c| c.address) else {
            return;
        };
        let Ok(pep) = Name::new(pep_id.as_str()) else {
            // A PEPID that is no name of ours: longer than 64 octets.
            return self.reject(id, ErrorCode::UNABLE_TO_PROCESS);
        };
        let is_known = self.peps.contains_key(&pep);
        if !self.peers.may_connect(&pep) || (!is_known && self.peps.len() >= limits::MAX_PEPS) {
            return self.reject(id, ErrorCode::UNABLE_TO_PROCESS);
        }
        // The older connection goes first, so that its state is there for the newer one.
        if let Some(older) = self.registry.accepted(pep_id.clone(), POWER_CLIENT_TYPE, id) {
            let moment = self.moment();
            if let Some(connection) = self.connections.get_mut(&older) {
                let command = PdpCommand::Supersede {
                    client_type: POWER_CLIENT_TYPE,
                };
                // It may have closed by itself in the meantime.
                let _ = connection.session.handle_command(moment, command);
                self.serve(older);
            }
        }
        let acceptance = self.acceptance.clone();
        // What a PEP reported before its connection ended has aged since, by a time that its rows do not tell: mains that
        // was absent then may be back. So it is always synchronised (exchanges E6, case B), and nothing is resumed.
        drop(self.registry.take_held(&pep_id, POWER_CLIENT_TYPE, self.moment()));
        let Some(done) = self.session_command(id, PdpCommand::Accept(acceptance)) else {
            self.registry.closed(&pep_id, POWER_CLIENT_TYPE, &id);
            return;
        };
        let Done::Accepted { resumed, .. } = done else {
            return;
        };
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.pep = Some(pep.clone());
        }
        let entry = self.peps.entry(pep.clone()).or_insert_with(|| Pep {
            pep_id,
            connection: None,
            context: None,
            synchronised: false,
        });
        entry.connection = Some(id);
        entry.synchronised = resumed;
        if let Some(context) = &mut entry.context {
            context.forget_unreported();
        }
        if !resumed {
            entry.context = None;
        }
        self.tell(Input::Opened {
            pep: pep.clone(),
            address: address.to_string(),
        });
        if resumed {
            self.report_facts(&pep);
            self.tell(Input::Synchronised { pep });
        }
    }

    fn reject(&mut self, id: ConnectionId, code: ErrorCode) {
        let error = CopsError::new(code);
        self.session_command(
            id,
            PdpCommand::Reject {
                client_type: POWER_CLIENT_TYPE,
                error,
                redirect: None,
            },
        );
    }

    /// A command to a session, whose refusal only means that the peer is gone or too slow: the session itself ends it.
    fn session_command(&mut self, id: ConnectionId, command: PdpCommand) -> Option<Done> {
        let moment = self.moment();
        self.connections
            .get_mut(&id)?
            .session
            .handle_command(moment, command)
            .ok()
    }

    fn client_closed(&mut self, id: ConnectionId, reason: &str, held: bool) {
        let Some(connection) = self.connections.get_mut(&id) else {
            return;
        };
        let Some(pep) = connection.pep.take() else { return };
        let states = connection.session.take_held();
        let Some(entry) = self.peps.get_mut(&pep) else {
            return;
        };
        self.registry.closed(&entry.pep_id, POWER_CLIENT_TYPE, &id);
        if entry.connection == Some(id) {
            entry.connection = None;
            entry.synchronised = false;
            if !held {
                entry.context = None;
            }
            for state in states {
                let _ = self.registry.hold(state);
            }
            self.tell(Input::Closed {
                pep,
                reason: reason.to_owned(),
            });
        }
    }

    /// Drops what was held for a PEP that did not come back.
    fn forget(&mut self, pep: &Name) {
        if self.peps.get(pep).is_some_and(|entry| entry.connection.is_none()) {
            self.peps.remove(pep);
        }
    }
}
