//! The agent without its IO: session, translation and engine in one pure value.
//!
//! # Contract
//!
//! As the session's and the engine's: give it one input, then drain [`Node::poll_transmit`], [`Node::poll_action`] and
//! [`Node::poll_event`], and call [`Node::handle_timeout`] no later than [`Node::poll_timeout`]. Bytes come in
//! ([`Node::handle_frame`]) and go out; an agent under tokio and a simulation of thousands drive it alike.
//!
//! Two clocks come with every call ([`Now`]): the session runs in real time, since its peer does, while the engine's may
//! be scaled. **Before** frames and actions leave, [`Node::unsaved`] is to be kept on disk: a restarted agent must know
//! what it has confirmed and what it has begun.
//!
//! # Contexts
//!
//! The agent opens the base context; the PDP may have it open up to three more, and says which one is active
//! (`context`). Only the active one is enforced. A further one is answered with maxRequestStatesOpen (E4).

mod context;
mod decisions;
mod reporting;
mod requests;
mod saved;
mod status;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cops_codec::client_type::numbers::POWER_CLIENT_TYPE;
use cops_codec::client_type::store::RowLimits;
use cops_codec::client_type::{Digest, Row};
use cops_codec::integrity::KeyRing;
use cops_codec::limits::Limits;
use cops_codec::session::pep::{
    ClientEnd, ClientOpening, HeldRequestState, PepCommand, PepConfig, PepEvent, PepSession,
};
use cops_codec::session::{Calendar, CloseCause, CommandError, IntegrityStatus, Moment, PepIntegrity};
use cops_codec::wire::{
    ClientHandle, ClientSi, ClientType, Context, CopsError, ErrorCode, PdpAddress, PepId, Reason, ReasonCode,
};
use cops_codec::{DecodeError, Frame};

use self::context::{ContextKey, Contexts, Lifetime};
use self::reporting::Reporting;
pub use self::saved::{RestoreError, Saved};
pub use self::status::{
    ActivityStatus, DomainStatus, LineStatus, PlanStatus, ReserveStatus, ServerStatus, Status,
};
use crate::engine::{
    Action, ActionId, ActionOutcome, Engine, EngineEvent, EngineSettings, Inventory, Millis, Observation,
};
use crate::translate::faults;

/// An instant on both clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// Real time, for the session.
    pub session: Moment,
    /// The engine's time, which may be scaled.
    pub engine: Millis,
}

/// When something is due: whichever comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Due {
    /// On the session's clock.
    pub session: Option<Moment>,
    /// On the engine's clock.
    pub engine: Option<Millis>,
}

/// What a node has to know beforehand.
#[derive(Debug, Clone)]
pub struct NodeConfig {
    /// This PEP's name.
    pub pep_id: PepId,
    /// What it says of itself (frwkDeviceIdDescr).
    pub description: String,
    /// How long the plan is kept without a PDP, in seconds of real time (rule 8 of the exchanges).
    pub ttl_seconds: u32,
    /// How often readings are sent where the PDP does not ask for less.
    pub reading_interval: Duration,
    /// After a REQ that the PDP could not take: how long until the whole state is told again.
    pub retry_interval: Duration,
    /// How long a PDP may take to accept the client-type before the next one is tried.
    pub open_timeout: Duration,
    /// Bounds of a COPS message.
    pub limits: Limits,
    /// The largest message that the PDP is told to send (frwkDeviceIdMaxMsg), 64 octets or more. A longer DEC that is still
    /// within [`NodeConfig::limits`] is answered with maxMsgSizeExceeded; one beyond them ends the connection.
    pub max_decision_octets: usize,
    /// Bounds of the rows of a context.
    pub row_limits: RowLimits,
    /// How the engine behaves.
    pub engine: EngineSettings,
}

impl NodeConfig {
    /// With the documented defaults: plans are kept a day, readings are sent every 5 s, a REQ that was refused is told
    /// anew after 10 s, a PDP that does not answer to OPN is given up after 10 s.
    pub fn new(pep_id: PepId) -> Self {
        Self {
            pep_id,
            description: concat!("pep-agent ", env!("CARGO_PKG_VERSION"), " (experimental)").to_owned(),
            ttl_seconds: 86_400,
            reading_interval: Duration::from_secs(5),
            retry_interval: Duration::from_secs(10),
            open_timeout: Duration::from_secs(10),
            limits: Limits::DEFAULT,
            max_decision_octets: crate::limits::MAX_DECISION_OCTETS,
            row_limits: RowLimits::DEFAULT,
            engine: EngineSettings::default(),
        }
    }
}

/// What the program is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NodeEvent {
    /// A PDP accepted the client-type.
    Accepted,
    /// The PDP closes the client-type and names another one (RFC 2748 3.8). [`Self::Closed`] follows.
    Redirected(PdpAddress),
    /// The connection is over: send what is left to transmit and close it.
    Closed(CloseCause),
    /// A line for the log.
    Told(String),
    /// A line for the log that somebody should look at.
    Warned(String),
}

/// The agent without its IO. See the [module](self) for the contract.
#[derive(Debug)]
pub struct Node {
    config: NodeConfig,
    engine: Engine,
    session: Option<PepSession>,
    /// The PDP at the other end, while there is a connection.
    peer: Option<PdpAddress>,
    contexts: Contexts,
    /// The plan that the engine was given: its context, generation and digest.
    enforced: Option<(ContextKey, u64, Digest)>,
    /// Rows of that plan, while decisions have taken some of them away and those of the next are not all here.
    overtaken: Vec<Row>,
    reporting: Reporting,
    /// When a turn of a reserve was told last.
    turned_at: Option<Moment>,
    /// Octets of the message that is being handled.
    frame_octets: usize,
    /// The PDP whose complete set of decisions is held (RFC 2748 section 2.5).
    last_pdp: Option<PdpAddress>,
    /// The highest term that was ever held.
    highest_term: u64,
    events: VecDeque<NodeEvent>,
    /// What was given out to be saved, or restored from; anything else is unsaved.
    saved: Option<saved::Revision>,
    /// The highest term of the decisions of this connection.
    connection_term: u64,
}

impl Node {
    /// A node that reports `inventory` and holds what was saved, if anything.
    ///
    /// # Errors
    /// What was saved cannot be held again. The caller says so, puts it aside, and begins with nothing.
    pub fn new(
        config: NodeConfig,
        inventory: Inventory,
        armed: bool,
        saved: Option<&Saved>,
        now: Now,
    ) -> Result<Self, RestoreError> {
        let lost = saved.and_then(|saved| saved.memory.lost);
        let mut node = Self {
            engine: Engine::new(config.engine, inventory, armed, lost),
            contexts: Contexts::new(config.row_limits, config.ttl_seconds),
            enforced: None,
            overtaken: Vec::new(),
            reporting: Reporting::default(),
            turned_at: None,
            frame_octets: 0,
            config,
            session: None,
            peer: None,
            last_pdp: None,
            highest_term: 0,
            events: VecDeque::new(),
            saved: None,
            connection_term: 0,
        };
        if let Some(saved) = saved {
            node.restore(saved)?;
        }
        // The time to live runs from now: how long this agent was away it cannot tell from how long the PDP was.
        node.start_ttl(now);
        node.expire(now);
        Ok(node)
    }

    /// A connection to the PDP at `address` was made: the client-type is opened.
    ///
    /// `seed` spreads the keep-alives. A connection before this one must be over.
    pub fn connect(&mut self, now: Now, address: PdpAddress, seed: u64) {
        self.connect_with(now, address, seed, None);
    }

    /// As [`Node::connect`], with message Integrity negotiated first (RFC 2748 4.1).
    pub fn connect_with(
        &mut self,
        now: Now,
        address: PdpAddress,
        seed: u64,
        integrity: Option<PepIntegrity>,
    ) {
        let mut config = PepConfig::new(self.config.pep_id.clone());
        config.pdp_address = Some(address);
        config.wire_limits = self.config.limits;
        config.integrity = integrity;
        config.open_timeout = self.config.open_timeout;
        self.peer = Some(address);
        self.connection_term = 0;
        let mut session = PepSession::new(config, now.session, seed);
        let mut opening = ClientOpening::new(CLIENT_TYPE);
        let held = self.contexts.iter().filter_map(|(_, context)| {
            Some(HeldRequestState {
                handle: context.handle.clone()?,
                context: Context::CONFIGURATION,
                confirmed: context.is_confirmed(),
            })
        });
        opening.held = held.collect();
        if !opening.held.is_empty() {
            opening.last_pdp_address = self.last_pdp;
        }
        if opening.last_pdp_address.is_none() {
            // No PDP holds what was told before.
            for context in self.contexts.iter_mut() {
                context.needs_full = true;
            }
        }
        let opened = session.handle_command(now.session, PepCommand::Open(opening));
        self.session = Some(session);
        if let Err(error) = opened {
            self.warn(format!("the client-type cannot be opened: {error}"));
            self.disconnect(now);
            return;
        }
        self.drive(now);
    }

    /// Takes other keys for message Integrity, on this connection too.
    pub fn set_keys(&mut self, now: Now, keys: Arc<KeyRing>, calendar: Calendar) {
        if let Some(session) = &mut self.session {
            session.set_keys(now.session, keys, calendar);
        }
        self.drive(now);
    }

    /// How the connection is protected by message Integrity, if it is.
    pub fn integrity(&self) -> Option<IntegrityStatus> {
        self.session.as_ref().and_then(PepSession::integrity)
    }

    /// The transport ended or failed.
    pub fn disconnect(&mut self, now: Now) {
        if let Some(session) = &mut self.session {
            session.handle_disconnect();
        }
        self.drive(now);
    }

    /// The agent ends: the PDP is told, and the connection closes.
    pub fn shut_down(&mut self, now: Now) {
        if let Some(session) = &mut self.session {
            let error = CopsError::new(ErrorCode::SHUTTING_DOWN);
            if let Err(error) = session.handle_command(now.session, PepCommand::Shutdown { error }) {
                self.warn(format!("the PDP cannot be told: {error}"));
            }
        }
        self.drive(now);
    }

    /// Takes what came from the PDP.
    pub fn handle_frame(&mut self, now: Now, frame: Result<Frame, DecodeError>) {
        self.frame_octets = frame.as_ref().map_or(0, |frame| frame.octets().len());
        if let Some(session) = &mut self.session
            && session.handle_frame(now.session, frame).is_err()
        {
            // Events are drained after each input, so this is not reached; a frame that were lost would be missed.
            self.warn("a message of the PDP was not taken".to_owned());
            self.disconnect(now);
            return;
        }
        self.drive(now);
    }

    /// Takes what a driver saw at an instant of the engine's clock.
    pub fn observe(&mut self, now: Now, at: Millis, observation: Observation) {
        self.observe_all(now, at, vec![observation]);
    }

    /// Takes all that drivers saw at that instant, and tells of it once.
    pub fn observe_all(&mut self, now: Now, at: Millis, seen: Vec<Observation>) {
        if seen.is_empty() {
            return;
        }
        let before = self.engine.inventory().flows();
        for observation in seen {
            self.engine.observe(now.engine, at, observation);
        }
        if self.is_open() && self.engine.inventory().have_turned(&before) {
            self.send_turn(now);
        }
        self.drive(now);
    }

    /// Takes what came of an action.
    pub fn handle_action_result(&mut self, now: Now, id: ActionId, outcome: ActionOutcome) {
        self.engine.handle_action_result(now.engine, id, outcome);
        self.drive(now);
    }

    /// Lets the agent actuate, or only observe.
    pub fn set_armed(&mut self, now: Now, armed: bool) {
        self.engine.set_armed(now.engine, armed);
        self.drive(now);
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Now) {
        if let Some(session) = &mut self.session {
            session.handle_timeout(now.session);
        }
        self.engine.handle_timeout(now.engine);
        self.expire(now);
        self.drive(now);
    }

    /// When [`Node::handle_timeout`] is due.
    pub fn poll_timeout(&self, now: Now) -> Due {
        let session = self.session.as_ref().and_then(PepSession::poll_timeout);
        // Before the client-type is open nothing can be asked again.
        let is_open = self.is_open();
        let contexts = self.contexts.iter().flat_map(|(_, context)| {
            let retry = context.retry_at.filter(|_| is_open);
            retry.into_iter().chain(context.expires)
        });
        Due {
            session: session.into_iter().chain(contexts).min(),
            engine: self.engine.poll_timeout(now.engine),
        }
    }

    /// The next frame to send.
    pub fn poll_transmit(&mut self) -> Option<Frame> {
        self.session.as_mut().and_then(PepSession::poll_transmit)
    }

    /// The next action for a driver.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.engine.poll_action()
    }

    /// The next event.
    pub fn poll_event(&mut self) -> Option<NodeEvent> {
        self.events.pop_front()
    }

    /// What the engine knows.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Whether a PDP has accepted the client-type.
    pub fn is_open(&self) -> bool {
        self.session
            .as_ref()
            .is_some_and(|session| session.is_open(CLIENT_TYPE))
    }

    /// Acts on everything that follows from an input, until nothing does.
    fn drive(&mut self, now: Now) {
        while let Some(event) = self.session.as_mut().and_then(PepSession::poll_event) {
            self.handle_event(now, event);
        }
        while let Some(event) = self.engine.poll_event() {
            match event {
                EngineEvent::Told(text) => self.tell(text),
                EngineEvent::StepFailed { step, reason } => {
                    self.warn(format!("{step}: {reason}"));
                    self.report_failure(now, &faults::step_failed(step));
                }
            }
        }
        self.tell_changes(now);
    }

    fn handle_event(&mut self, now: Now, event: PepEvent) {
        match event {
            PepEvent::ClientAccepted {
                again,
                accounting_timer,
                ..
            } => {
                self.reporting.timer = accounting_timer;
                self.compare_reading_period();
                if !again {
                    self.events.push_back(NodeEvent::Accepted);
                    self.engine.set_connected(now.engine, true);
                    self.contexts.reopened();
                }
                self.ask_for_accounting(now);
            }
            PepEvent::Decision {
                handle,
                solicited,
                decisions,
                report,
                ..
            } => {
                self.decided(now, &handle, solicited, &decisions, report);
            }
            PepEvent::RequestRefused {
                handle,
                error,
                installed,
                ..
            } => {
                self.warn(format!("the PDP cannot take the REQ: {error}"));
                self.request_refused(now, &handle, installed);
            }
            PepEvent::RequestTimedOut { handle, .. } => {
                if let Some(key) = self.contexts.key_of(&handle) {
                    self.warn("the PDP left a REQ without a decision: its plan is given up".to_owned());
                    self.lose_state(now, key);
                }
            }
            PepEvent::StateDeleted { handle, fault, .. } => {
                if let Some(key) = self.contexts.key_of(&handle) {
                    self.warn(format!(
                        "a decision could not be read, its plan is given up: {fault}"
                    ));
                    self.lose_state(now, key);
                }
            }
            PepEvent::SynchronizeRequested { states, .. } => {
                for context in self.contexts.iter_mut() {
                    if context
                        .handle
                        .as_ref()
                        .is_none_or(|handle| states.contains(handle))
                    {
                        context.needs_full = true;
                    }
                }
            }
            PepEvent::AccountingDue { handle, .. } => {
                let key = self.contexts.key_of(&handle);
                if key == Some(self.contexts.active().unwrap_or(ContextKey::BASE)) {
                    self.send_readings(now);
                }
            }
            PepEvent::ClientClosed(end) => self.client_closed(now, &end),
            PepEvent::Closed { cause } => {
                self.session_over(now);
                self.events.push_back(NodeEvent::Closed(cause));
            }
            PepEvent::RequestReady { .. } | PepEvent::Synchronized { .. } => {}
        }
    }

    fn client_closed(&mut self, now: Now, end: &ClientEnd) {
        if end.accepted {
            // Rows stay what they are; whether all of this PDP's decisions are among them the session knows.
            self.last_pdp = self.peer.filter(|_| end.in_sync && self.is_whole());
            self.tell(format!("no PDP any more: {}", end.cause));
        } else {
            self.tell(format!("the PDP did not accept this agent: {}", end.cause));
        }
        if let CloseCause::Peer {
            redirect: Some(to), ..
        } = end.cause
        {
            self.push(NodeEvent::Redirected(to));
        }
        self.cut_off(now);
    }

    fn session_over(&mut self, now: Now) {
        self.cut_off(now);
    }

    fn cut_off(&mut self, now: Now) {
        if self.engine.is_connected() {
            self.engine.set_connected(now.engine, false);
        }
        // The PDP may have taken the REQ or not: it is told everything again.
        for context in self.contexts.iter_mut() {
            context.needs_full |= context.awaiting.take().is_some();
        }
        self.reporting.hold_back();
        self.start_ttl(now);
        self.expire(now);
    }

    /// The connection is closed and everything is sent: the next one may be made.
    pub fn forget_session(&mut self) {
        self.session = None;
        self.peer = None;
    }

    fn start_ttl(&mut self, now: Now) {
        for context in self.contexts.iter_mut() {
            if context.expires.is_none()
                && context.handle.is_some()
                && let Lifetime::Expires(after) = context.lifetime()
            {
                context.expires = Some(now.session.after(after));
            }
        }
    }

    /// After Ttl without a PDP the request-states go, and the agent's own file alone rules (rule 8 of the exchanges).
    fn expire(&mut self, now: Now) {
        let expired: Vec<ContextKey> = self
            .contexts
            .iter()
            .filter(|(_, context)| context.expires.is_some_and(|expires| expires <= now.session))
            .map(|(key, _)| key)
            .collect();
        for key in expired {
            if self.contexts.active() == Some(key) {
                self.warn(
                    "the plan that was held has expired: this agent goes by its own file alone".to_owned(),
                );
            }
            // What is left is not the complete set of any PDP.
            self.last_pdp = None;
            self.drop_context(now, key);
        }
    }

    /// A context is gone, and its policy with it.
    fn drop_context(&mut self, now: Now, key: ContextKey) {
        let active = self.contexts.active();
        self.contexts.remove(key);
        if self.enforced.as_ref().is_some_and(|enforced| enforced.0 == key) {
            self.enforce(now);
        }
        self.follow_links(active);
    }

    /// A request-state is gone, and with it its plan (RFC 2748 section 3.2). Of the base context a new one is asked for; a
    /// contingency is the PDP's to open again.
    fn lose_state(&mut self, now: Now, key: ContextKey) {
        self.last_pdp = None;
        self.drop_context(now, key);
        if key == ContextKey::BASE {
            self.contexts.base_mut().retry_at = Some(now.session.after(self.config.retry_interval));
        }
    }

    /// The PDP answered a REQ with an Error object. The base context is asked for again after a while; a contingency that
    /// the PDP does not want, and has not got, is none.
    fn request_refused(&mut self, now: Now, handle: &ClientHandle, installed: bool) {
        let Some(key) = self.contexts.key_of(handle) else {
            return;
        };
        if key != ContextKey::BASE && !installed {
            let delete = PepCommand::Delete {
                client_type: CLIENT_TYPE,
                handle: handle.clone(),
                reason: Reason::new(ReasonCode::UNSPECIFIED),
            };
            if let Err(error) = self.command(now, delete) {
                self.warn(format!("the request-state cannot be deleted: {error}"));
            }
            self.drop_context(now, key);
        } else if let Some(context) = self.contexts.get_mut(key) {
            context.refused(now.session.after(self.config.retry_interval));
        }
    }

    /// Whether no context holds half of something.
    fn is_whole(&self) -> bool {
        self.contexts.iter().all(|(_, context)| context.is_whole())
    }

    fn command(&mut self, now: Now, command: PepCommand) -> Result<Option<ClientHandle>, CommandError> {
        match &mut self.session {
            Some(session) => session.handle_command(now.session, command),
            None => Err(CommandError::Closed),
        }
    }

    fn tell(&mut self, text: String) {
        self.push(NodeEvent::Told(text));
    }

    fn warn(&mut self, text: String) {
        self.push(NodeEvent::Warned(text));
    }

    fn push(&mut self, event: NodeEvent) {
        if self.events.len() >= crate::limits::MAX_EVENTS {
            self.events.pop_front();
        }
        self.events.push_back(event);
    }
}

const CLIENT_TYPE: ClientType = POWER_CLIENT_TYPE;

/// Rows as Named ClientSI objects.
fn named(contents: Vec<Bytes>) -> Vec<ClientSi> {
    contents.into_iter().map(ClientSi::Named).collect()
}
