//! The PDP as a value: a [`Host`] with the power client-type, its translation and its engine, and
//! whatever other client-types it is given; without IO.
//!
//! `io` drives it with sockets and clocks, a simulation with made-up ones; both pass octets.
//!
//! # Contract
//!
//! 1. Give it one input: [`Node::connected`], [`Node::handle_frame`], [`Node::disconnected`], [`Node::command`],
//!    [`Node::store_state`], [`Node::shut_down`], or [`Node::handle_timeout`] when [`Node::poll_timeout`] has come.
//! 2. Drain [`Node::poll_record`] and make the records durable. Only then drain [`Node::poll_transmit`] of the
//!    connections that [`Node::poll_ready`] names: what leaves may depend on the records. Several inputs may share one
//!    round of this (group commit). An input that is given between the two makes new records: nothing is given out to be
//!    sent until these are drained too.
//! 3. Take [`Node::poll_plan_ahead`], and give what comes of it to [`Node::planned_ahead`].
//! 4. Drain [`Node::poll_notice`] for events and answers, and [`Node::poll_closed`] for connections that are over; write
//!    what they still have to send first.
//!
//! Two times go in with each input ([`Now`]): sessions run in real time, because the other end does; the engine's clock
//! may be scaled and goes on across restarts.

mod context;
mod contingency;
mod module;
mod power;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use cops_codec::client_type::numbers::POWER_CLIENT_TYPE;
use cops_codec::client_type::store::RowLimits;
use cops_codec::integrity::KeyTable;
use cops_codec::limits::Limits;
use cops_codec::session::{Calendar, IntegrityStatus, Moment};
use cops_codec::tls::CertificateNames;
use cops_codec::wire::{AccountingTimer, ClientType, KaTimer, PdpAddress, SequenceNumber};
use cops_codec::{DecodeError, Frame};
use power_policy::grouping::Grouping;
use power_policy::interruption::{self, CommandOutcome};
use power_policy::model::Name;

pub use self::contingency::{ContextCommand, ContextEvent, ContextOutcome, Contingency};
use self::module::Power;
use crate::api::Explanation;
use crate::config::Config;
use crate::engine::contingency::{PlanAhead, PlannedAhead};
use crate::engine::event::Event;
use crate::engine::state::Record;
use crate::engine::{Engine, Input, Recovery, Settings};
pub use crate::host::{Availability, ConnectionId, Integrity, Now};
use crate::host::{BoxedModule, ClientTypeModule, Host, HostConfig, Hosting, Modules, Terms};
use crate::limits;
use crate::translate::{self, Site};

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

/// The PDP. See the [module](self) for its contract.
pub struct Node {
    host: Host,
    hosted: Hosted,
}

/// The modules of this PDP: power, and whatever else it is given.
struct Hosted {
    power: Power,
    others: BTreeMap<ClientType, BoxedModule>,
}

impl Modules for Hosted {
    fn client_types(&self) -> Vec<ClientType> {
        let mut all = self.others.client_types();
        all.push(POWER_CLIENT_TYPE);
        all
    }

    fn module(&mut self, client_type: ClientType) -> Option<&mut dyn ClientTypeModule> {
        if client_type == POWER_CLIENT_TYPE {
            Some(&mut self.power)
        } else {
            self.others.module(client_type)
        }
    }

    fn poll_timeout(&self) -> Option<Moment> {
        // That of power is the engine's, on its own clock.
        self.others.poll_timeout()
    }
}

impl std::fmt::Debug for Node {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Node")
            .field("connections", &self.host.connection_count())
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
        Self::with_modules(config, listen, scale, now, recovery, Vec::new())
    }

    /// As [`Node::new`], with further client-types beside power.
    ///
    /// # Errors
    /// As [`Node::new`]; or two modules have one client-type, or one has power's, or 0, which is the connection's.
    pub fn with_modules(
        config: &Config,
        listen: SocketAddr,
        scale: u32,
        now: Now,
        recovery: Recovery,
        modules: Vec<BoxedModule>,
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
            contingencies: config.contingencies,
            planner: Arc::new(power_policy::planner::plan),
            checker: Arc::new(|snapshot, plan, policy| {
                let found = power_policy::checker::check(snapshot, plan, policy);
                found.iter().map(ToString::to_string).collect()
            }),
            digester: Box::new(move |slice| translate::digest(&digest_site, slice)),
        };
        let mut terms = Terms::new(KaTimer(config.cops.keep_alive_seconds));
        terms.accounting_timer = Some(AccountingTimer(config.cops.accounting_seconds));
        let mut wire_limits = Limits::DEFAULT;
        wire_limits.max_message_octets = config.listen.max_message_octets as usize;
        let power = Power {
            engine: Engine::new(settings, now.engine_millis, recovery),
            site,
            peers: config.peers.clone(),
            terms,
            max_message_octets: wire_limits.max_message_octets,
            row_limits: RowLimits::default(),
            peps: BTreeMap::new(),
            names: BTreeMap::new(),
            records: VecDeque::new(),
            notices: VecDeque::new(),
            assigned: BTreeMap::new(),
            context_events: VecDeque::new(),
            untold: VecDeque::new(),
            plans_ahead: VecDeque::new(),
        };
        let host_config = HostConfig {
            addresses: vec![PdpAddress::from(listen)],
            first_open_timeout: Duration::from_millis(config.listen.open_timeout_millis),
            report_timeout: Duration::from_secs(u64::from(config.cops.report_timeout_seconds)),
            hold_time: Duration::from_secs(u64::from(config.cops.hold_seconds)),
            max_held: limits::MAX_PEPS,
            wire_limits,
        };
        let mut node = Self {
            host: Host::new(host_config, now),
            hosted: Hosted {
                power,
                others: by_client_type(modules)?,
            },
        };
        node.within_power(now, Power::drain_engine);
        if let Some(to) = config.redirect {
            node.set_availability(now, None, Availability::Redirecting(PdpAddress::from(to)))?;
        }
        Ok(node)
    }

    /// Serves a client-type, or all, or sends its PEPs to another PDP or away: those that are connected, and those that come.
    /// Gives the number of those that were connected.
    ///
    /// # Errors
    /// In words: the client-type is not served here, or the other PDP is this one.
    pub fn set_availability(
        &mut self,
        now: Now,
        client_type: Option<ClientType>,
        availability: Availability,
    ) -> Result<usize, String> {
        if let Availability::Redirecting(to) = availability
            && self.host.addresses().contains(&to)
        {
            return Err(format!("{to} is this PDP itself, expected another one"));
        }
        let served = self.hosted.client_types();
        let meant = match client_type {
            None => served,
            Some(client_type) if served.contains(&client_type) => vec![client_type],
            Some(client_type) => return Err(format!("client-type {client_type} is not served here")),
        };
        let mut told = 0;
        for client_type in meant {
            told += self
                .host
                .set_availability(&mut self.hosted, now, client_type, availability);
        }
        Ok(told)
    }

    /// The client-types that are served: on how many connections each is open, and whether it is available.
    pub fn client_types(&self) -> Vec<(ClientType, usize, Availability)> {
        let mut all = self.hosted.client_types();
        all.sort_unstable();
        all.into_iter()
            .map(|client_type| {
                let peps = self.host.open_count(client_type);
                (client_type, peps, self.host.availability(client_type))
            })
            .collect()
    }

    /// A connection was accepted from `address`.
    pub fn connected(&mut self, now: Now, id: ConnectionId, address: SocketAddr) {
        self.host.connected(&mut self.hosted, now, id, address, None);
    }

    /// As [`Node::connected`], where the connection's own end is known: a PEP may name it as its last PDP.
    pub fn connected_at(&mut self, now: Now, id: ConnectionId, address: SocketAddr, local: SocketAddr) {
        self.host
            .connected(&mut self.hosted, now, id, address, Some(local));
    }

    /// As [`Node::connected`], after a TLS handshake in which the PEP showed a certificate for these names.
    pub fn connected_over_tls(
        &mut self,
        now: Now,
        id: ConnectionId,
        address: SocketAddr,
        local: Option<SocketAddr>,
        names: CertificateNames,
    ) {
        self.host
            .connected_over_tls(&mut self.hosted, now, id, address, local, names);
    }

    /// The next PEP that was refused because of its certificate, in words, for the log.
    pub fn poll_refused(&mut self) -> Option<String> {
        self.host.poll_refused()
    }

    /// Whom the certificate of a PEP is for, if its connection is over TLS.
    pub fn certificate(&self, pep: &str) -> Option<&CertificateNames> {
        let pep = self.hosted.power.peps.get(&Name::new(pep).ok()?)?;
        self.host.certificate(pep.connection?)
    }

    /// A frame came, or the stream can no longer be divided into frames.
    pub fn handle_frame(&mut self, now: Now, id: ConnectionId, frame: Result<Frame, DecodeError>) {
        self.host.handle_frame(&mut self.hosted, now, id, frame);
    }

    /// The connection ended or failed.
    pub fn disconnected(&mut self, now: Now, id: ConnectionId) {
        self.host.disconnected(&mut self.hosted, now, id);
    }

    /// An administrator's command; the answer is a [`Notice::Answer`] with its id.
    pub fn command(&mut self, now: Now, id: String, command: interruption::Command) {
        self.within_power(now, |power, hosting| {
            power.tell(hosting, Input::Command { id, command })
        });
    }

    /// Opens, fills, refreshes, activates or deletes a contingency of a PEP. What becomes of it is told by
    /// [`Node::poll_context_event`].
    pub fn command_context(&mut self, now: Now, command: ContextCommand) {
        self.within_power(now, |power, hosting| power.command_context(hosting, command));
    }

    /// What became of commands about contingencies; the last 1,024 are kept.
    pub fn poll_context_event(&mut self) -> Option<ContextEvent> {
        self.hosted.power.context_events.pop_front()
    }

    /// A plan that is to be made when there is time, beside everything else: on another thread where one is, at once where
    /// time stands still. What comes of it is given back by [`Node::planned_ahead`]. Who never takes one goes without
    /// contingencies.
    pub fn poll_plan_ahead(&mut self) -> Option<PlanAhead> {
        self.hosted.power.plans_ahead.pop_front()
    }

    /// A plan that was asked for has been made.
    pub fn planned_ahead(&mut self, now: Now, planned: PlannedAhead) {
        let planned = Box::new(planned);
        self.within_power(now, |power, hosting| {
            power.tell(hosting, Input::PlannedAhead(planned))
        });
    }

    /// The journal fails, with words, or works again.
    pub fn store_state(&mut self, now: Now, failure: Option<String>) {
        self.within_power(now, |power, hosting| {
            power.tell(hosting, Input::Store { failure })
        });
    }

    /// Every PEP is told that the PDP ends (RFC 2748 4.7: CC, error 11, for each client-type).
    pub fn shut_down(&mut self, now: Now) {
        self.host.shut_down(&mut self.hosted, now);
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Now) {
        self.host.handle_timeout(&mut self.hosted, now);
    }

    /// When [`Self::handle_timeout`] is due.
    pub fn poll_timeout(&self) -> Deadlines {
        Deadlines {
            real_millis: self.host.poll_timeout(&self.hosted).map(|moment| moment.0),
            engine_millis: self.hosted.power.engine.poll_timeout(),
        }
    }

    /// The next record to make durable.
    pub fn poll_record(&mut self) -> Option<Record> {
        self.hosted.power.records.pop_front()
    }

    /// Whether records wait to be made durable: until they are polled nothing is sent.
    pub fn owes_records(&self) -> bool {
        !self.hosted.power.records.is_empty()
    }

    /// The next connection that has frames to send; none while a record waits.
    pub fn poll_ready(&mut self) -> Option<ConnectionId> {
        if self.owes_records() {
            return None;
        }
        self.host.poll_ready()
    }

    /// The next frame for a connection; none while a record waits, and then the connection is ready again after it.
    pub fn poll_transmit(&mut self, id: ConnectionId) -> Option<Frame> {
        if self.owes_records() {
            self.host.is_ready_again(id);
            return None;
        }
        self.host.poll_transmit(id)
    }

    /// The next notice.
    pub fn poll_notice(&mut self) -> Option<Notice> {
        self.hosted.power.notices.pop_front()
    }

    /// The next connection that is over, with the reason in words. Its last frames have to be taken with
    /// [`Self::poll_transmit`] before [`Self::forget_connection`].
    pub fn poll_closed(&mut self) -> Option<(ConnectionId, String)> {
        if self.owes_records() {
            return None;
        }
        self.host.poll_closed()
    }

    /// Drops a connection that is over.
    pub fn forget_connection(&mut self, id: ConnectionId) {
        self.host.forget_connection(id);
    }

    /// Offers message Integrity to the connections that come.
    pub fn offer_integrity(&mut self, integrity: Integrity) {
        self.host.offer_integrity(integrity);
    }

    /// Takes other keys: [`Host::set_keys`].
    pub fn set_keys(&mut self, now: Now, keys: &Arc<KeyTable>, calendar: Calendar) {
        self.host.set_keys(&mut self.hosted, now, keys, calendar);
    }

    /// What has to be kept before frames are sent: [`Host::reserved_number`].
    pub fn reserved_number(&self) -> Option<SequenceNumber> {
        self.host.reserved_number()
    }

    /// How the connection of a PEP is protected by message Integrity, if it is.
    pub fn integrity(&self, pep: &str) -> Option<IntegrityStatus> {
        let pep = self.hosted.power.peps.get(&Name::new(pep).ok()?)?;
        self.host.integrity(pep.connection?)
    }

    /// The engine, to look at.
    pub fn engine(&self) -> &Engine {
        &self.hosted.power.engine
    }

    /// [`Engine::explain`].
    pub fn explain(&mut self) -> Explanation {
        self.hosted.power.engine.explain()
    }

    /// Connections that are served.
    pub fn connection_count(&self) -> usize {
        self.host.connection_count()
    }

    /// Whether a client-type was accepted on this connection, and not closed since.
    pub fn is_open(&self, id: ConnectionId) -> bool {
        self.host.is_open(id)
    }

    /// A call to the power module that no PEP caused.
    fn within_power(&mut self, now: Now, call: impl FnOnce(&mut Power, &mut Hosting<'_>)) {
        let mut hosting = self.host.enter(now, POWER_CLIENT_TYPE);
        call(&mut self.hosted.power, &mut hosting);
        self.hosted.power.tell_context_events(&mut hosting);
        self.host.settle(&mut self.hosted);
    }
}

fn by_client_type(modules: Vec<BoxedModule>) -> Result<BTreeMap<ClientType, BoxedModule>, String> {
    let mut others = BTreeMap::new();
    for module in modules {
        let client_type = module.client_type();
        if client_type == POWER_CLIENT_TYPE || client_type == ClientType::CONNECTION {
            return Err(format!(
                "a module has client-type {client_type}, expected another one than 0 and power's"
            ));
        }
        if others.insert(client_type, module).is_some() {
            return Err(format!(
                "two modules have client-type {client_type}, expected one each"
            ));
        }
    }
    Ok(others)
}
