//! Hosts client-types: the sessions of all PEPs, each client-type of each connection routed to its module. Without IO.
//!
//! A PDP serves any number of client-types, several of them on one connection if a PEP likes (RFC 2748 2.3). What a
//! client-type means is a [`ClientTypeModule`]'s; everything else is here, once:
//!
//! ```text
//!  frames ──> session of the connection ──> Host ── client-type 0x5057 ──> power: engine, planner, journal
//!                (RFC 2748)                  │ ──── client-type 1 ───────> RSVP admission (an example)
//!  frames <── session of the connection <────┘ <─── decisions ──────────── modules, through Hosting
//! ```
//!
//! [`crate::node::Node`] is a host with the power client-type and whatever modules it is given; `docs/client-types.md`
//! tells how one is written.
//!
//! # Contract
//!
//! As the sessions': one input ([`Host::connected`], [`Host::handle_frame`], [`Host::disconnected`],
//! [`Host::set_availability`], [`Host::shut_down`], or [`Host::handle_timeout`] when [`Host::poll_timeout`] has come), then
//! drain [`Host::poll_ready`] with [`Host::poll_transmit`], and [`Host::poll_closed`], after whose last frames comes
//! [`Host::forget_connection`]. The modules go in with each input; between inputs a program may call a module of its own
//! accord, with [`Host::enter`] before and [`Host::settle`] after it.

mod hosting;
mod integrity;
mod module;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

use cops_codec::limits::Limits;
use cops_codec::message::DecisionBody;
use cops_codec::session::pdp::{Acceptance, Done, HeldState, PepRegistry};
use cops_codec::session::{CloseCause, Moment, PdpCommand, PdpConfig, PdpEvent, PdpSession};
use cops_codec::tls::CertificateNames;
use cops_codec::wire::{ClientType, CopsError, ErrorCode, PdpAddress};
use cops_codec::{DecodeError, Frame};

pub use self::hosting::Hosting;
use self::hosting::{Connection, Sessions};
pub use self::integrity::Integrity;
pub use self::module::{
    Asked, BoxedModule, ClientTypeModule, Deleted, ModuleLimits, Modules, Opening, Reported, Terms, Verdict,
};

/// Names a connection; the caller's to choose, never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(pub u64);

/// The time, on both clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// Monotonic milliseconds of real time, for sessions.
    pub real_millis: u64,
    /// Milliseconds of the power engine's clock, which may be scaled and goes on across restarts.
    pub engine_millis: u64,
}

/// What a host has to know beforehand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostConfig {
    /// Addresses under which PEPs reach this PDP, as they may stand in a Last PDP Address.
    pub addresses: Vec<PdpAddress>,
    /// How long a connection may last without a first OPN.
    pub first_open_timeout: Duration,
    /// How long the report on a decision may take.
    pub report_timeout: Duration,
    /// How long request-states of a PEP that is gone are kept.
    pub hold_time: Duration,
    /// Client-types of PEPs that are kept at a time.
    pub max_held: usize,
    /// Bounds of a message.
    pub wire_limits: Limits,
}

/// Whether a client-type is served here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Availability {
    /// It is.
    Serving,
    /// By another PDP: OPNs, and PEPs that are connected, get CC with error 12 and its address (RFC 2748 2.2.13, 3.8).
    Redirecting(PdpAddress),
    /// Not for now: OPNs, and PEPs that are connected, get CC with error 11, and go to the next PDP that they know.
    Draining,
}

impl Availability {
    /// What a PEP is told with its CC; `None` where it is served.
    fn close(self) -> Option<(CopsError, Option<PdpAddress>)> {
        match self {
            Self::Serving => None,
            Self::Redirecting(to) => Some((CopsError::new(ErrorCode::REDIRECT), Some(to))),
            Self::Draining => Some((CopsError::new(ErrorCode::SHUTTING_DOWN), None)),
        }
    }
}

/// The sessions of a PDP. See the [module](self) for its contract.
#[derive(Debug)]
pub struct Host {
    config: HostConfig,
    sessions: Sessions,
    registry: PepRegistry<ConnectionId>,
    /// Connections on which a client-type is open.
    open: BTreeMap<ClientType, BTreeSet<ConnectionId>>,
    /// Client-types that are not served for now.
    away: BTreeMap<ClientType, Availability>,
    deadlines: BTreeSet<(u64, ConnectionId)>,
    ready: BTreeSet<ConnectionId>,
    closed: VecDeque<(ConnectionId, String)>,
    /// What an older connection of a PEP left to the newer one that takes its place.
    handed_over: Option<HeldState>,
    /// PEPs that are not who they say, in words.
    refused: VecDeque<String>,
    integrity: Option<Integrity>,
}

impl Host {
    /// A host without connections.
    #[must_use]
    pub fn new(config: HostConfig, now: Now) -> Self {
        Self {
            registry: PepRegistry::new(config.hold_time, config.max_held),
            config,
            sessions: Sessions {
                connections: BTreeMap::new(),
                touched: BTreeSet::new(),
                now,
            },
            open: BTreeMap::new(),
            away: BTreeMap::new(),
            deadlines: BTreeSet::new(),
            ready: BTreeSet::new(),
            closed: VecDeque::new(),
            handed_over: None,
            refused: VecDeque::new(),
            integrity: None,
        }
    }

    /// A connection was accepted from `address`; `local` is its own end, where that is known.
    pub fn connected(
        &mut self,
        modules: &mut dyn Modules,
        now: Now,
        id: ConnectionId,
        address: SocketAddr,
        local: Option<SocketAddr>,
    ) {
        self.connect(modules, now, id, (address, local), None);
    }

    /// As [`Self::connected`], after a TLS handshake in which the PEP showed a certificate for these names. Its PEPID has to
    /// be one of them (RFC 4261 7.1); there is no message Integrity inside TLS.
    pub fn connected_over_tls(
        &mut self,
        modules: &mut dyn Modules,
        now: Now,
        id: ConnectionId,
        address: SocketAddr,
        local: Option<SocketAddr>,
        names: CertificateNames,
    ) {
        self.connect(modules, now, id, (address, local), Some(names));
    }

    fn connect(
        &mut self,
        modules: &mut dyn Modules,
        now: Now,
        id: ConnectionId,
        (address, local): (SocketAddr, Option<SocketAddr>),
        names: Option<CertificateNames>,
    ) {
        self.sessions.now = now;
        let mut addresses = self.config.addresses.clone();
        addresses.extend(local.map(PdpAddress::from));
        let mut config = PdpConfig::new(modules.client_types(), addresses);
        config.first_open_timeout = self.config.first_open_timeout;
        config.report_timeout = self.config.report_timeout;
        config.wire_limits = self.config.wire_limits;
        config.integrity = self
            .integrity
            .as_mut()
            .filter(|_| names.is_none())
            .map(|integrity| integrity.of_connection(now));
        let session = PdpSession::new(config, self.sessions.moment());
        self.sessions.connections.insert(
            id,
            Connection {
                session,
                address,
                deadline: None,
                names,
            },
        );
        self.touch(modules, id);
    }

    /// A frame came, or the stream can no longer be divided into frames.
    pub fn handle_frame(
        &mut self,
        modules: &mut dyn Modules,
        now: Now,
        id: ConnectionId,
        frame: Result<Frame, DecodeError>,
    ) {
        self.sessions.now = now;
        let moment = self.sessions.moment();
        let Some(connection) = self.sessions.connections.get_mut(&id) else {
            return;
        };
        // Events are drained after each call, so the session always takes the frame.
        let _ = connection.session.handle_frame(moment, frame);
        self.note_number(id);
        self.touch(modules, id);
        for client_type in self.client_types_of(id) {
            self.with(modules, client_type, |module, hosting| module.heard(hosting, id));
        }
        self.settle(modules);
    }

    /// The connection ended or failed.
    pub fn disconnected(&mut self, modules: &mut dyn Modules, now: Now, id: ConnectionId) {
        self.sessions.now = now;
        let moment = self.sessions.moment();
        if let Some(connection) = self.sessions.connections.get_mut(&id) {
            connection.session.handle_disconnect(moment);
            self.touch(modules, id);
        }
    }

    /// Addresses under which PEPs reach this PDP.
    #[must_use]
    pub fn addresses(&self) -> &[PdpAddress] {
        &self.config.addresses
    }

    /// Begins or ends to serve a client-type. PEPs on which it is open are told (RFC 2748 3.8, 4.7); gives their number.
    ///
    /// Their request-states go, here (RFC 2748 4.7): a PEP keeps what it holds, and names this PDP as its last one to the
    /// next, which synchronises it.
    pub fn set_availability(
        &mut self,
        modules: &mut dyn Modules,
        now: Now,
        client_type: ClientType,
        availability: Availability,
    ) -> usize {
        self.sessions.now = now;
        let Some((error, redirect)) = availability.close() else {
            self.away.remove(&client_type);
            return 0;
        };
        self.away.insert(client_type, availability);
        let ids: Vec<_> = self
            .open
            .get(&client_type)
            .into_iter()
            .flatten()
            .copied()
            .collect();
        for id in &ids {
            // One that is closing by itself refuses.
            let _ = self.sessions.command(
                *id,
                PdpCommand::Close {
                    client_type,
                    error,
                    redirect,
                },
            );
        }
        self.settle(modules);
        ids.len()
    }

    /// Whether a client-type is served.
    #[must_use]
    pub fn availability(&self, client_type: ClientType) -> Availability {
        self.away
            .get(&client_type)
            .copied()
            .unwrap_or(Availability::Serving)
    }

    /// Every PEP is told that the PDP ends (RFC 2748 4.7: CC, error 11, for each client-type).
    pub fn shut_down(&mut self, modules: &mut dyn Modules, now: Now) {
        self.sessions.now = now;
        let ids: Vec<_> = self.sessions.connections.keys().copied().collect();
        for id in ids {
            // Only a session that is over already refuses.
            let _ = self.sessions.command(id, PdpCommand::Shutdown { redirect: None });
        }
        self.settle(modules);
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, modules: &mut dyn Modules, now: Now) {
        self.sessions.now = now;
        let moment = self.sessions.moment();
        while let Some(&(due, id)) = self.deadlines.first()
            && due <= now.real_millis
        {
            self.deadlines.pop_first();
            if let Some(connection) = self.sessions.connections.get_mut(&id) {
                connection.deadline = None;
                connection.session.handle_timeout(moment);
                self.touch(modules, id);
            }
        }
        for state in self.registry.expire(moment) {
            self.with(modules, state.client_type(), |module, hosting| {
                module.forgotten(hosting, state.pep_id());
            });
        }
        for client_type in modules.client_types() {
            self.with(modules, client_type, |module, hosting| {
                module.handle_timeout(hosting)
            });
        }
        self.settle(modules);
    }

    /// When [`Self::handle_timeout`] is due for sessions and modules.
    #[must_use]
    pub fn poll_timeout(&self, modules: &dyn Modules) -> Option<Moment> {
        let session = self.deadlines.first().map(|(due, _)| Moment(*due));
        let hold = self.registry.poll_timeout();
        [session, hold, modules.poll_timeout()]
            .into_iter()
            .flatten()
            .min()
    }

    /// For a call to a module that no input of a PEP causes: what the module needs for it. [`Self::settle`] follows.
    pub fn enter(&mut self, now: Now, client_type: ClientType) -> Hosting<'_> {
        self.sessions.now = now;
        Hosting::new(&mut self.sessions, client_type)
    }

    /// Acts on what follows from calls to modules.
    pub fn settle(&mut self, modules: &mut dyn Modules) {
        while let Some(id) = self.sessions.touched.pop_first() {
            self.serve(modules, id);
        }
    }

    /// The next connection that has frames to send.
    pub fn poll_ready(&mut self) -> Option<ConnectionId> {
        self.ready.pop_first()
    }

    /// A connection that was named by [`Self::poll_ready`] has not been drained.
    pub fn is_ready_again(&mut self, id: ConnectionId) {
        if self.sessions.connections.contains_key(&id) {
            self.ready.insert(id);
        }
    }

    /// The next frame for a connection.
    pub fn poll_transmit(&mut self, id: ConnectionId) -> Option<Frame> {
        self.sessions.connections.get_mut(&id)?.session.poll_transmit()
    }

    /// The next connection that is over, with the reason in words. Its last frames have to be taken with
    /// [`Self::poll_transmit`] before [`Self::forget_connection`].
    pub fn poll_closed(&mut self) -> Option<(ConnectionId, String)> {
        self.closed.pop_front()
    }

    /// The next PEP that was refused because of its certificate, in words, for the log (RFC 4261 7).
    pub fn poll_refused(&mut self) -> Option<String> {
        self.refused.pop_front()
    }

    /// Whether a connection is over TLS, and whom its PEP's certificate is for.
    #[must_use]
    pub fn certificate(&self, id: ConnectionId) -> Option<&CertificateNames> {
        self.sessions.connections.get(&id)?.names.as_ref()
    }

    /// Drops a connection that is over.
    pub fn forget_connection(&mut self, id: ConnectionId) {
        self.ready.remove(&id);
        self.sessions.touched.remove(&id);
        if let Some(connection) = self.sessions.connections.remove(&id)
            && let Some(deadline) = connection.deadline
        {
            self.deadlines.remove(&(deadline, id));
        }
    }

    /// Connections that are served.
    #[must_use]
    pub fn connection_count(&self) -> usize {
        self.sessions.connections.len()
    }

    /// Whether any client-type is open on a connection.
    #[must_use]
    pub fn is_open(&self, id: ConnectionId) -> bool {
        self.open.values().any(|ids| ids.contains(&id))
    }

    /// Connections on which a client-type is open.
    #[must_use]
    pub fn open_count(&self, client_type: ClientType) -> usize {
        self.open.get(&client_type).map_or(0, BTreeSet::len)
    }

    fn client_types_of(&self, id: ConnectionId) -> Vec<ClientType> {
        let is_open = |(client_type, ids): (&ClientType, &BTreeSet<ConnectionId>)| {
            ids.contains(&id).then_some(*client_type)
        };
        self.open.iter().filter_map(is_open).collect()
    }

    fn touch(&mut self, modules: &mut dyn Modules, id: ConnectionId) {
        self.sessions.touched.insert(id);
        self.settle(modules);
    }

    fn with<T>(
        &mut self,
        modules: &mut dyn Modules,
        client_type: ClientType,
        call: impl FnOnce(&mut dyn ClientTypeModule, &mut Hosting<'_>) -> T,
    ) -> Option<T> {
        let module = modules.module(client_type)?;
        Some(call(module, &mut Hosting::new(&mut self.sessions, client_type)))
    }

    /// Acts on all events of a session, then notes what it has to send and when it is due.
    fn serve(&mut self, modules: &mut dyn Modules, id: ConnectionId) {
        while let Some(event) = self
            .sessions
            .connections
            .get_mut(&id)
            .and_then(|connection| connection.session.poll_event())
        {
            self.event(modules, id, event);
        }
        let Some(connection) = self.sessions.connections.get_mut(&id) else {
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

    fn event(&mut self, modules: &mut dyn Modules, id: ConnectionId, event: PdpEvent) {
        match event {
            PdpEvent::OpenRequested {
                client_type,
                pep_id,
                client_si,
                last_pdp_address,
                last_pdp_is_this,
                again,
            } => {
                let Some(connection) = self.sessions.connections.get(&id) else {
                    return;
                };
                let address = connection.address;
                // Another spelling would be a PEP of its own to all that counts PEPs by their names.
                if let Some(names) = connection.names.as_ref().filter(|names| !names.spells(&pep_id)) {
                    self.refused.push_back(format!(
                        "{address} says that it is {pep_id}, and its certificate is for {names}"
                    ));
                    // RFC 4261 7: the PDP "MUST terminate COPS/TLS connections from unauthorized PEP systems".
                    let error = CopsError::new(ErrorCode::AUTHENTICATION_FAILURE);
                    let _ = self.sessions.command(id, PdpCommand::Disconnect { error });
                    return;
                }
                let opening = Opening {
                    connection: id,
                    address,
                    pep_id,
                    client_si,
                    last_pdp_address,
                    last_pdp_is_this,
                    again,
                };
                self.open(modules, client_type, &opening);
            }
            PdpEvent::Request {
                request,
                update,
                message,
            } => {
                let client_type = message.client_type;
                let asked = Asked {
                    connection: id,
                    request,
                    update,
                    message: &message,
                };
                let limit = modules
                    .module(client_type)
                    .map_or(0, |module| module.limits().max_states);
                let states = self
                    .sessions
                    .session(id)
                    .map_or(0, |s| s.handle_count(client_type));
                // The session has counted this one already.
                let is_over = !update && states > limit;
                self.with(modules, client_type, |module, hosting| {
                    if is_over {
                        let error = CopsError::new(ErrorCode::UNABLE_TO_PROCESS);
                        // As for the module: a refusal means that the PEP is gone.
                        let _ = hosting.decide(&asked, DecisionBody::Error(error));
                    } else {
                        module.request(hosting, asked);
                    }
                });
            }
            PdpEvent::Report {
                client_type,
                handle,
                decision,
                report_type,
                client_si,
            } => {
                let reported = Reported {
                    connection: id,
                    handle: &handle,
                    decision,
                    report_type,
                    client_si: &client_si,
                };
                self.with(modules, client_type, |module, hosting| {
                    module.report(hosting, reported);
                });
            }
            PdpEvent::StateDeleted {
                client_type,
                handle,
                reason,
            } => {
                self.with(modules, client_type, |module, hosting| {
                    module.state_deleted(hosting, id, &handle, Deleted::ByPep(reason));
                });
            }
            PdpEvent::Synchronized {
                client_type,
                handle,
                dropped,
            } => {
                self.with(modules, client_type, |module, hosting| {
                    for dropped in &dropped {
                        module.state_deleted(hosting, id, dropped, Deleted::NotSynchronized);
                    }
                    module.synchronized(hosting, id, handle.as_ref());
                });
            }
            PdpEvent::SynchronizationOverdue { client_type, .. } => {
                self.with(modules, client_type, |module, hosting| {
                    module.synchronization_overdue(hosting, id);
                });
            }
            PdpEvent::ClientClosed {
                client_type,
                cause,
                accepted,
                held,
            } => {
                if accepted {
                    self.client_closed(modules, id, client_type, &cause, held);
                }
            }
            PdpEvent::Closed { cause } => self.closed.push_back((id, cause.to_string())),
            // The session has answered it.
            PdpEvent::RequestRefused { .. } => {}
        }
    }

    fn open(&mut self, modules: &mut dyn Modules, client_type: ClientType, opening: &Opening) {
        let id = opening.connection;
        let limit = modules
            .module(client_type)
            .map_or(0, |module| module.limits().max_peps);
        let verdict = if let Some((error, redirect)) = self.availability(client_type).close() {
            Verdict::Refuse { error, redirect }
        } else if !opening.again && self.open_count(client_type) >= limit {
            Verdict::refuse(ErrorCode::UNABLE_TO_PROCESS)
        } else {
            // The session asks only for client-types that are served.
            self.with(modules, client_type, |module, hosting| {
                module.open(hosting, opening)
            })
            .unwrap_or(Verdict::refuse(ErrorCode::UNSUPPORTED_CLIENT_TYPE))
        };
        let terms = match verdict {
            Verdict::Accept(terms) => terms,
            Verdict::Refuse { error, redirect } => {
                let command = PdpCommand::Reject {
                    client_type,
                    error,
                    redirect,
                };
                // It may be closing by itself.
                let _ = self.sessions.command(id, command);
                return;
            }
        };
        // The older connection goes first, so that its state is there for the newer one.
        if let Some(older) = self.registry.accepted(opening.pep_id.clone(), client_type, id) {
            let _ = self
                .sessions
                .command(older, PdpCommand::Supersede { client_type });
            self.serve(modules, older);
        }
        let moment = self.sessions.moment();
        let held = self.registry.take_held(&opening.pep_id, client_type, moment);
        let held = self.handed_over.take().or(held);
        let mut acceptance = Acceptance::new(client_type, terms.ka_timer);
        acceptance.accounting_timer = terms.accounting_timer;
        acceptance.reports = terms.reports;
        acceptance.synchronize = terms.synchronize;
        acceptance.held = held.filter(|_| terms.resume);
        match self.sessions.command(id, PdpCommand::Accept(acceptance)) {
            Ok(Done::Accepted { resumed, .. }) => {
                self.open.entry(client_type).or_default().insert(id);
                self.with(modules, client_type, |module, hosting| {
                    module.opened(hosting, opening, resumed);
                });
            }
            Ok(Done::Plain | Done::Decided { .. }) | Err(_) => {
                self.registry.closed(&opening.pep_id, client_type, &id);
            }
        }
    }

    fn client_closed(
        &mut self,
        modules: &mut dyn Modules,
        id: ConnectionId,
        client_type: ClientType,
        cause: &CloseCause,
        held: bool,
    ) {
        if let Some(ids) = self.open.get_mut(&client_type) {
            ids.remove(&id);
        }
        let Some(connection) = self.sessions.connections.get_mut(&id) else {
            return;
        };
        let state = connection.session.take_held_of(client_type);
        if let Some(pep_id) = connection.session.pep_id() {
            self.registry.closed(pep_id, client_type, &id);
        }
        let held = match state.and_then(|state| self.registry.hold(state)) {
            // For the newer connection, which is about to be accepted.
            Some(state) if *cause == CloseCause::Superseded => {
                self.handed_over = Some(state);
                true
            }
            // Over its bound nothing is kept; the PEP is synchronised when it comes back.
            Some(_) => false,
            None => held,
        };
        self.with(modules, client_type, |module, hosting| {
            module.closed(hosting, id, cause, held);
        });
    }
}
