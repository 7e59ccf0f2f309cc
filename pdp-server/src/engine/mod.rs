//! The PDP's mind: policy terms in, policy terms out. It knows no COPS, no socket, no clock and no file.
//!
//! # Contract
//!
//! 1. Call [`Engine::handle`] with the time and one [`Input`] for each thing that happened, or with
//!    [`Input::Tick`] when [`Engine::poll_timeout`] has come (early or late is harmless).
//! 2. Then drain [`Engine::poll_output`]. Outputs come in order: every [`Output::Record`] must be durable before an
//!    [`Output::Install`] or [`Output::Release`] that comes after it leaves.
//! 3. Time is monotonic milliseconds on a clock of the caller's choice that goes on across restarts of the process
//!    ([`Recovery`]). It may be scaled.
//!
//! # Inside
//!
//! ```text
//! Input -> peers (cluster) -> custody view -> tracks (where each activity belongs)
//!                 |                |               |
//!                 v                v               v
//!           interruption ---> snapshot ---> plan ---> checker ---> slices -> Install
//!                                                        |
//!                             results, charges, time -> stages -> Release
//! ```
//!
//! What must outlive the process is [`state::State`], which changes by [`state::Record`]s alone.

mod alarms;
mod cluster;
pub mod event;
pub mod facts;
mod meter;
mod planning;
mod progress;
mod report;
pub mod slice;
mod snapshot;
pub mod state;
mod tracking;

#[cfg(test)]
pub(crate) mod fixture;
#[cfg(test)]
mod tests;

use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use power_policy::grouping::Grouping;
use power_policy::interruption::{self, CommandOutcome, Interruption, Signal};
use power_policy::model::{Mains, Name, Phase, PowerPolicy, Snapshot};
use power_policy::plan::Plan;

use self::alarms::Alarms;
use self::cluster::{Peer, View};
use self::event::{Event, EventKind};
use self::facts::{Digest, PepFacts, Readings};
use self::meter::Meter;
use self::progress::Execution;
use self::slice::{Slice, StepKey};
use self::snapshot::Sources;
use self::state::{InForce, Issued, Record, State};
use crate::config::PeerPolicy;
use crate::limits;

/// The planner: a pure function of what is known, what was planned before, and the site's policy.
pub type Planner = Box<dyn Fn(&Snapshot, Option<&Plan>, &PowerPolicy) -> Plan + Send>;
/// The independent checker: what is wrong with a plan, in words.
pub type Checker = Box<dyn Fn(&Snapshot, &Plan, &PowerPolicy) -> Vec<String> + Send>;
/// The digest of a slice as a PEP will report it.
pub type Digester = Box<dyn Fn(&Slice) -> Digest + Send>;

/// What the engine is told once.
pub struct Settings {
    /// How to plan.
    pub policy: PowerPolicy,
    /// What each PEP may do.
    pub peers: PeerPolicy,
    /// Which set an activity belongs to.
    pub grouping: Grouping,
    /// PEPs whose facility witness counts, by domain.
    pub facility_witnesses: BTreeMap<Name, Name>,
    /// How much faster than the world the engine's clock runs. With more than 1 nothing real is actuated.
    pub scale: u32,
    /// How long PEPs are awaited after a restart, on the engine's clock.
    pub await_millis: u64,
    /// How long a PEP that is gone is remembered in quiet days, on the engine's clock.
    pub hold_millis: u64,
    /// The planner.
    pub planner: Planner,
    /// The checker.
    pub checker: Checker,
    /// The digest of a slice.
    pub digester: Digester,
}

impl Settings {
    /// Time that results may take beyond what the agents say, for the way there and back: ten seconds of real time.
    fn slack_millis(&self) -> u64 {
        10_000 * u64::from(self.scale.max(1))
    }
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq)]
pub enum Input {
    /// A PEP opened its client-type.
    Opened {
        /// The PEP.
        pep: Name,
        /// Where it connects from.
        address: String,
    },
    /// Its connection ended.
    Closed {
        /// The PEP.
        pep: Name,
        /// Why, in words.
        reason: String,
    },
    /// What it reports has changed, or is reported for the first time on this connection.
    Facts {
        /// The PEP.
        pep: Name,
        /// Everything it reports.
        facts: Arc<PepFacts>,
    },
    /// Its request-states are synchronised (SSC), or nothing had to be.
    Synchronised {
        /// The PEP.
        pep: Name,
    },
    /// An accounting report.
    Readings {
        /// The PEP.
        pep: Name,
        /// What was read.
        readings: Readings,
    },
    /// A sign of life without contents.
    Heard {
        /// The PEP.
        pep: Name,
    },
    /// A PEP took what was installed.
    Installed {
        /// The PEP.
        pep: Name,
        /// The generation.
        generation: u64,
    },
    /// A PEP refused what was installed; nothing of it is in force.
    Refused {
        /// The PEP.
        pep: Name,
        /// The generation.
        generation: u64,
        /// Steps that it names as the cause; none: the whole.
        steps: Vec<StepKey>,
        /// Why, in words.
        reason: String,
    },
    /// An administrator's command.
    Command {
        /// Its id: sent twice, done once.
        id: String,
        /// What is commanded.
        command: interruption::Command,
    },
    /// The journal fails (the words say how), or works again.
    Store {
        /// What is wrong; `None`: nothing any more.
        failure: Option<String>,
    },
    /// Time has passed.
    Tick,
}

/// What one PEP is told: a plan for it, or a release within the plan it holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assignment {
    /// The PEP.
    pub pep: Name,
    /// Term of this PDP.
    pub term: u64,
    /// Generation of what it holds then.
    pub generation: u64,
    /// Stages up to this order are released.
    pub released_stage: u32,
    /// What it holds then.
    pub slice: Arc<Slice>,
    /// Digest of that.
    pub digest: Digest,
}

/// Something to be done.
#[derive(Debug, Clone, PartialEq)]
pub enum Output {
    /// Keep this for ever, before anything that follows leaves.
    Record(Record),
    /// Install all of a slice.
    Install(Assignment),
    /// Tell the released stage (and the term) of the slice that the PEP holds already.
    Release(Assignment),
    /// Tell the operators.
    Event(Event),
    /// Answer an administrator's command.
    Answer {
        /// Its id.
        id: String,
        /// What became of it.
        outcome: CommandOutcome,
        /// It had been answered before.
        repeated: bool,
    },
}

/// What is known at the start.
#[derive(Debug, Clone, Default)]
pub struct Recovery {
    /// Records of the journal, oldest first; none for a new one.
    pub records: Vec<Record>,
    /// What the clock shows now minus what the journal's clock would show now. 0 where the clock went on.
    pub rebase_millis: i64,
    /// Boot id of the machine, for the journal.
    pub boot_id: String,
    /// Offset of the clock, for the journal.
    pub offset_millis: i64,
}

/// The engine. See the [module](self) for its contract.
pub struct Engine {
    settings: Settings,
    state: State,
    now: u64,
    peers: BTreeMap<Name, Peer>,
    view: View,
    /// PEPs that have a row for an activity.
    activity_peps: BTreeMap<Name, BTreeSet<Name>>,
    execution: Execution,
    meter: Meter,
    alarms: Alarms,
    outputs: VecDeque<Output>,
    next_seq: u64,
    /// The custody view must be made anew by then.
    view_due: Option<u64>,
    /// A plan must be made by then, with the reason.
    plan_due: Option<PlanWish>,
    /// When the plan in force was last compared with what it would be now.
    checked_at: u64,
    /// Activities whose place or state may have changed.
    touched: BTreeSet<Name>,
    /// Classes of which the first or last member has stopped in this interruption: told once.
    ended: BTreeSet<(u16, bool)>,
    /// Reserves told to be low in this interruption.
    low: BTreeSet<Name>,
    /// The generations that a PEP refused in a row.
    refusals: BTreeMap<Name, u32>,
    plans_made: u64,
    violations_seen: u64,
    last_violations: Vec<String>,
    records_since_checkpoint: u64,
    store_failure: Option<String>,
}

/// A plan that is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
struct PlanWish {
    at: u64,
    /// It does not wait for outstanding results of the plan in force.
    urgent: bool,
    reason: String,
}

/// How long structural changes are collected before custody is decided anew.
const SETTLE_MILLIS: u64 = 200;
/// How long they are collected before quiet days get a new standing plan.
const STANDING_SETTLE_MILLIS: u64 = 1_000;

impl Engine {
    /// Starts, or resumes from a journal. The first outputs are the records of the start.
    pub fn new(settings: Settings, now_millis: u64, recovery: Recovery) -> Self {
        let config = interruption::Config::new(&settings.policy, settings.facility_witnesses.clone());
        let mut state = State::new(Interruption::new(config.clone()));
        for record in &recovery.records {
            state.apply(record);
        }
        if recovery.rebase_millis != 0 {
            state.rebase(recovery.rebase_millis);
        }
        state.machine.configure(config);
        let term = state.term + 1;
        let mut engine = Self {
            now: now_millis,
            peers: BTreeMap::new(),
            view: View::default(),
            activity_peps: BTreeMap::new(),
            execution: Execution::default(),
            meter: Meter::default(),
            alarms: Alarms::default(),
            outputs: VecDeque::new(),
            next_seq: (term << 32) | 1,
            view_due: Some(now_millis),
            plan_due: None,
            checked_at: now_millis,
            touched: BTreeSet::new(),
            ended: BTreeSet::new(),
            low: BTreeSet::new(),
            refusals: BTreeMap::new(),
            plans_made: 0,
            violations_seen: 0,
            last_violations: Vec::new(),
            records_since_checkpoint: 0,
            store_failure: None,
            settings,
            state,
        };
        engine.record(Record::Started {
            term,
            boot_id: recovery.boot_id,
            scale: engine.settings.scale,
            offset_millis: recovery.offset_millis,
        });
        engine.resume();
        engine.checkpoint();
        engine
    }

    /// Takes up what the journal told: PEPs are awaited, the plan in force goes on.
    fn resume(&mut self) {
        let until = self.now.saturating_add(self.settings.await_millis);
        let reports: Vec<(Name, Arc<PepFacts>)> = self
            .state
            .facts
            .iter()
            .map(|(n, f)| (n.clone(), Arc::clone(f)))
            .collect();
        for (pep, facts) in reports {
            self.index_activities(&pep, None, Some(&facts));
            // A server that was switched off took its agent with it; whoever only watches it is awaited.
            let own = |s: &&facts::ServerFact| s.role == facts::Role::Custodian;
            let is_off = facts
                .servers
                .iter()
                .filter(own)
                .any(|s| self.state.off.contains_key(&s.name));
            let peer = Peer {
                facts: Some(facts),
                heard_at: self.now,
                lost_at: Some(self.now),
                awaited_until: (!is_off).then_some(until),
                ..Peer::default()
            };
            self.peers.insert(pep, peer);
        }
        self.settle_view();
        self.touched = self.activity_peps.keys().cloned().collect();
        if let Some(in_force) = self.state.in_force.clone() {
            self.execution = Execution::new(&in_force, &self.state.issued);
            for (order, _) in &in_force.released {
                // Their results come with the PEPs; until then nobody could have told them.
                self.start_deadlines(*order, until);
            }
        }
        self.note_ended_classes();
        let outage = self.state.machine.outage(self.now);
        let text = match &outage {
            Some(o) => format!(
                "the PDP starts with term {} and takes up an interruption that began {} ago; {} PEPs are awaited",
                self.state.term,
                power_policy::plan::text::Duration(o.elapsed_millis),
                self.peers.len()
            ),
            None => format!("the PDP starts with term {}", self.state.term),
        };
        self.event(EventKind::Pdp, "", text, serde_json::Value::Null);
        if outage.is_none() {
            self.want_plan(STANDING_SETTLE_MILLIS, "the PDP started");
        }
    }

    /// Takes one input in. `now_millis` never runs backwards; if it does, the latest known time counts.
    pub fn handle(&mut self, now_millis: u64, input: Input) {
        self.now = self.now.max(now_millis);
        match input {
            Input::Opened { pep, address } => self.opened(pep, address),
            Input::Closed { pep, reason } => self.closed(&pep, &reason),
            Input::Facts { pep, facts } => self.facts(&pep, facts),
            Input::Synchronised { pep } => {
                if let Some(peer) = self.peers.get_mut(&pep) {
                    peer.synchronised = true;
                }
            }
            Input::Readings { pep, readings } => self.readings(&pep, &readings),
            Input::Heard { pep } => self.heard(&pep),
            Input::Installed { pep, generation } => self.installed(&pep, generation),
            Input::Refused {
                pep,
                generation,
                steps,
                reason,
            } => self.refused(&pep, generation, &steps, &reason),
            Input::Command { id, command } => self.command(id, command),
            Input::Store { failure } => self.store(failure),
            Input::Tick => {}
        }
        self.advance();
    }

    /// Next thing to be done; `None`: nothing more for now.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When [`Input::Tick`] is wanted, if nothing else happens before.
    pub fn poll_timeout(&self) -> Option<u64> {
        let awaited = self
            .peers
            .values()
            .filter(|p| !p.connected)
            .filter_map(|p| p.awaited_until)
            .filter(|t| *t > self.now)
            .min();
        [
            self.view_due,
            // A wish that waits for something is looked at when that comes.
            self.plan_due
                .as_ref()
                .filter(|w| !self.is_put_off(w))
                .map(|w| w.at),
            self.state.machine.next_deadline(),
            self.next_release(),
            self.next_check(),
            self.next_forgetting(),
            awaited,
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// Highest term and generation used so far.
    pub fn version(&self) -> (u64, u64) {
        (self.state.term, self.state.generation)
    }

    /// Where the interruption stands.
    pub fn phase(&self) -> Phase {
        self.state.machine.phase()
    }

    /// The plan in force.
    pub fn in_force(&self) -> Option<&InForce> {
        self.state.in_force.as_ref()
    }

    /// The durable state, for tests and replay.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// Everything that follows from inputs and time, in an order in which each step sees what it needs.
    fn advance(&mut self) {
        let deadline = self.state.machine.next_deadline();
        if deadline.is_some_and(|d| d <= self.now) {
            let events = self.state.machine.handle_timeout(self.now);
            self.machine_events(events);
        }
        if self.view_due.is_some_and(|d| d <= self.now) {
            self.settle_view();
        }
        self.end_awaiting();
        self.update_tracks();
        self.finish_restoration();
        if !self
            .plan_due
            .as_ref()
            .is_some_and(|w| w.urgent && w.at <= self.now)
        {
            // What is ready goes before the plan is looked at again: a plan whose stages take longer than the time between
            // two looks would else never come to its second one.
            self.release_stages();
        }
        self.check_plan();
        if self.is_plan_due() {
            self.replan();
        }
        self.release_stages();
        self.forget_peers();
        if self.records_since_checkpoint >= limits::CHECKPOINT_EVERY_RECORDS {
            self.checkpoint();
        }
    }

    fn sources(&self) -> Sources<'_> {
        Sources {
            now: self.now,
            peers: &self.peers,
            view: &self.view,
            state: &self.state,
            policy: &self.settings.policy,
            rules: &self.settings.peers,
            grouping: &self.settings.grouping,
            simulated_only: self.settings.scale != 1,
            as_if_armed: false,
            seen_off: OnceCell::new(),
        }
    }

    /// Changes the durable state, and has the change kept.
    fn record(&mut self, record: Record) {
        self.state.apply(&record);
        self.records_since_checkpoint += 1;
        self.outputs.push_back(Output::Record(record));
    }

    /// Keeps all of the state at once, so that what stands before it is history.
    fn checkpoint(&mut self) {
        self.records_since_checkpoint = 0;
        let state = Box::new(self.state.clone());
        self.outputs
            .push_back(Output::Record(Record::Checkpoint { state }));
    }

    fn event(&mut self, kind: EventKind, subject: &str, text: String, data: serde_json::Value) {
        let seq = self.next_seq;
        self.next_seq += 1;
        self.outputs.push_back(Output::Event(Event {
            seq,
            kind,
            at_millis: self.now,
            elapsed_millis: self.state.machine.outage(self.now).map(|o| o.elapsed_millis),
            subject: subject.to_owned(),
            text,
            data,
        }));
    }

    /// Asks for a plan at once: what is in force does not fit any more.
    fn want_plan(&mut self, within_millis: u64, reason: &str) {
        self.wish(within_millis, true, reason);
    }

    /// Asks for a plan when the released steps of the one in force have their results.
    fn want_plan_later(&mut self, within_millis: u64, reason: &str) {
        self.wish(within_millis, false, reason);
    }

    /// An urgent wish, and an earlier one, stands.
    fn wish(&mut self, within_millis: u64, urgent: bool, reason: &str) {
        let at = self.now.saturating_add(within_millis);
        let stands = self
            .plan_due
            .as_ref()
            .is_some_and(|w| (w.urgent && !urgent) || (w.urgent == urgent && w.at <= at));
        if !stands {
            let reason = reason.to_owned();
            self.plan_due = Some(PlanWish { at, urgent, reason });
        }
    }

    /// Whether the wish for a plan is to be fulfilled now.
    fn is_plan_due(&self) -> bool {
        self.plan_due
            .as_ref()
            .is_some_and(|w| w.at <= self.now && !self.is_put_off(w))
    }

    /// A plan is not made from half of the cluster: after a restart it waits until all PEPs are back, or were awaited in
    /// vain. One that is not urgent waits until what was planned before has its results.
    fn is_put_off(&self, wish: &PlanWish) -> bool {
        self.is_awaiting() || (!wish.urgent && (self.execution.is_busy() || self.is_stage_ready()))
    }

    /// Whether PEPs are awaited after a restart.
    fn is_awaiting(&self) -> bool {
        let awaited = |p: &Peer| !p.reported && p.awaited_until.is_some_and(|t| t > self.now);
        self.peers.values().any(awaited)
    }

    fn is_known(&self, pep: &Name) -> bool {
        self.peers.get(pep).is_some_and(|p| p.connected)
    }

    fn opened(&mut self, pep: Name, address: String) {
        if !self.peers.contains_key(&pep) && self.peers.len() >= limits::MAX_PEPS {
            let text = format!(
                "{pep} is not taken in: {} PEPs are known already",
                limits::MAX_PEPS
            );
            self.event(EventKind::Alarm, pep.as_str(), text, serde_json::Value::Null);
            return;
        }
        let now = self.now;
        let peer = self.peers.entry(pep).or_default();
        peer.connected = true;
        peer.address = address;
        peer.heard_at = now;
        peer.lost_at = None;
        peer.reported = false;
        peer.synchronised = false;
        peer.acknowledged = 0;
    }

    fn closed(&mut self, pep: &Name, reason: &str) {
        let Some(peer) = self.peers.get_mut(pep).filter(|p| p.connected) else {
            return;
        };
        peer.connected = false;
        peer.synchronised = false;
        peer.lost_at = Some(self.now);
        let own = self.servers_of(pep);
        let switched_off = self.expect_off(pep, &own);
        self.touch_servers(&own);
        self.view_due.get_or_insert(self.now);
        if switched_off {
            return;
        }
        let text = match self.phase() {
            Phase::Normal => format!("{pep} is gone ({reason})"),
            _ => format!("{pep} is gone ({reason}); it is planned around, its servers are assumed to run on"),
        };
        self.event(EventKind::PeerLost, pep.as_str(), text, serde_json::Value::Null);
        if self.phase() != Phase::Normal {
            self.want_plan(SETTLE_MILLIS, &format!("{pep} is gone"));
        }
    }

    fn facts(&mut self, pep: &Name, facts: Arc<PepFacts>) {
        let now = self.now;
        let Some(peer) = self.peers.get_mut(pep).filter(|p| p.connected) else {
            return;
        };
        let first = !peer.reported;
        let before = peer.facts.clone();
        peer.awaited_until = None;
        peer.take_facts(now, Arc::clone(&facts));
        self.index_activities(pep, before.as_deref(), Some(&facts));
        let structure = facts.structure();
        let changed = self
            .state
            .facts
            .get(pep)
            .is_none_or(|f| f.comparable() != structure.comparable());
        if changed {
            self.record(Record::Facts {
                pep: pep.clone(),
                facts: Arc::new(structure),
            });
        }
        if changed || first {
            let due = now + SETTLE_MILLIS;
            self.view_due = Some(self.view_due.map_or(due, |d| d.min(due)));
        }
        let own = self.servers_of(pep);
        self.expect_on(pep, &own, &facts);
        self.touch_servers(&own);
        let mut signals: Vec<Signal> = facts
            .domains
            .iter()
            .map(|d| Signal::MainsReport {
                pep: pep.clone(),
                domain: d.name.clone(),
                witness: d.witness,
                mains: d.mains,
                age_millis: d.age_millis,
            })
            .collect();
        // What it no longer speaks of must not stand as it was said before: a sign of life would renew it.
        let silent = before.iter().flat_map(|b| &b.domains).filter(|b| {
            let named = |d: &&facts::DomainFact| d.name == b.name;
            !facts.domains.iter().any(|d| named(&d))
        });
        signals.extend(silent.map(|d| Signal::MainsReport {
            pep: pep.clone(),
            domain: d.name.clone(),
            witness: d.witness,
            mains: Mains::Unknown,
            age_millis: 0,
        }));
        signals.push(Signal::Heard { pep: pep.clone() });
        let events = self.state.machine.handle(now, signals);
        self.machine_events(events);
        self.meter_all(pep);
        if first {
            self.joined(pep, &facts);
        }
        self.results(pep, &facts);
    }

    fn readings(&mut self, pep: &Name, readings: &Readings) {
        let now = self.now;
        let Some(peer) = self.peers.get_mut(pep).filter(|p| p.connected) else {
            return;
        };
        peer.take_readings(now, readings);
        self.meter_all(pep);
        self.heard(pep);
    }

    fn heard(&mut self, pep: &Name) {
        let now = self.now;
        let Some(peer) = self.peers.get_mut(pep).filter(|p| p.connected) else {
            return;
        };
        peer.heard_at = now;
        let events = self
            .state
            .machine
            .handle(now, [Signal::Heard { pep: pep.clone() }]);
        self.machine_events(events);
    }

    fn installed(&mut self, pep: &Name, generation: u64) {
        self.refusals.remove(pep);
        if let Some(peer) = self.peers.get_mut(pep) {
            peer.acknowledged = peer.acknowledged.max(generation);
        }
    }

    fn command(&mut self, id: String, command: interruption::Command) {
        self.settle_view();
        let events = self
            .state
            .machine
            .handle(self.now, [Signal::Command { id, command }]);
        self.machine_events(events);
    }

    fn store(&mut self, failure: Option<String>) {
        if self.store_failure == failure {
            return;
        }
        self.store_failure = failure.clone();
        let alarm = failure.map(|f| {
            format!(
                "the journal fails ({f}); decisions go on without it and a restart would not know of them"
            )
        });
        let cleared = alarm.is_none();
        self.set_alarm("journal", "journal", alarm);
        if cleared {
            // What was not kept is kept now.
            self.checkpoint();
        }
    }

    /// What the interruption machine says.
    fn machine_events(&mut self, events: Vec<interruption::Event>) {
        let mut keep = false;
        for event in events {
            match event {
                interruption::Event::Phase { from, to, reason } => {
                    keep = true;
                    self.phase_changed(from, to, &reason);
                }
                interruption::Event::Domain {
                    domain,
                    mains,
                    reason,
                } => self.domain_changed(&domain, mains, &reason),
                interruption::Event::ScopeGrew { servers } => {
                    keep = true;
                    let text = format!(
                        "the interruption covers {} more servers: {}",
                        servers.len(),
                        list(&servers)
                    );
                    self.event(
                        EventKind::Interruption,
                        "",
                        text,
                        serde_json::json!({ "grew": servers }),
                    );
                    self.want_plan(0, "the interruption covers more servers");
                }
                interruption::Event::ScopeShrank { servers } => {
                    keep = true;
                    let text = format!("mains is back for {} servers: {}", servers.len(), list(&servers));
                    self.event(
                        EventKind::Interruption,
                        "",
                        text,
                        serde_json::json!({ "shrank": servers }),
                    );
                    self.want_plan(0, "the interruption covers fewer servers");
                }
                interruption::Event::Command {
                    id,
                    outcome,
                    repeated,
                } => {
                    keep |= !repeated;
                    if !repeated {
                        let text = format!("command {id}: {outcome}");
                        self.event(EventKind::Command, &id, text, serde_json::Value::Null);
                    }
                    self.outputs.push_back(Output::Answer {
                        id,
                        outcome,
                        repeated,
                    });
                }
                interruption::Event::ReportIgnored { pep, domain, reason } => {
                    let text = format!("what {pep} says of domain {domain} does not count: {reason}");
                    let key = format!("witness {pep} {domain}");
                    self.set_alarm(&key, pep.as_str(), Some(text));
                }
                interruption::Event::MoveBackAllowed => {
                    keep = true;
                    self.want_plan_later(0, "activities may move back home");
                }
            }
        }
        if keep {
            let machine = Box::new(self.state.machine.clone());
            // An answer must not be given before it is kept: the record goes in front of the answers.
            self.record(Record::Machine { machine });
            self.put_answers_last();
        }
    }

    /// Moves answers behind all records of this call.
    fn put_answers_last(&mut self) {
        let (answers, others): (Vec<Output>, Vec<Output>) = self
            .outputs
            .drain(..)
            .partition(|o| matches!(o, Output::Answer { .. }));
        self.outputs.extend(others);
        self.outputs.extend(answers);
    }

    fn domain_changed(&mut self, domain: &Name, mains: Mains, reason: &str) {
        let (kind, words) = match mains {
            Mains::Absent => (EventKind::MainsLost, "lost its mains"),
            Mains::Present => (EventKind::MainsBack, "has mains"),
            Mains::Unstable => (EventKind::MainsBack, "has mains again, which must prove itself"),
            Mains::Unknown => (EventKind::Alarm, "is not known to have mains or not"),
        };
        let text = format!("domain {domain} {words}: {reason}");
        self.event(kind, domain.as_str(), text, serde_json::json!({ "mains": mains }));
    }

    fn phase_changed(&mut self, from: Phase, to: Phase, reason: &str) {
        let words = match to {
            Phase::Normal => "the interruption is over",
            Phase::Debounce => "a first sign of an interruption: lines at once, nothing is stopped yet",
            Phase::Interrupted => "the interruption is in force",
            Phase::MainsGood => "mains is back and must prove itself",
            Phase::Restoring => "everything is being brought back, the most important first",
        };
        let data = serde_json::json!({ "from": from, "to": to });
        self.event(EventKind::Interruption, "", format!("{words}: {reason}"), data);
        if from == Phase::Normal {
            self.begin_interruption();
        }
        if to == Phase::Normal {
            self.end_interruption();
        }
        // In MainsGood nothing new is begun: what is in force stands.
        if to != Phase::MainsGood {
            self.want_plan(0, reason);
        }
    }

    fn begin_interruption(&mut self) {
        self.settle_view();
        self.ended.clear();
        self.low.clear();
        self.meter.begin();
        self.begin_tracks();
    }

    fn end_interruption(&mut self) {
        self.tell_metered();
        if !self.state.failures.0.is_empty() {
            self.record(Record::Forgiven);
        }
        self.end_tracks();
    }

    /// Decides custody anew.
    fn settle_view(&mut self) {
        self.view_due = None;
        let reports = self
            .peers
            .iter()
            .filter_map(|(pep, p)| p.facts.as_deref().map(|f| (pep, f)));
        let view = cluster::resolve(reports, &self.settings.peers, &self.view);
        let changed = view != self.view;
        self.view = view;
        self.view_alarms();
        let sites = self.sources().sites();
        let events = self.state.machine.set_sites(self.now, sites);
        self.machine_events(events);
        if changed {
            self.touched = self.activity_peps.keys().cloned().collect();
        }
        let within = if self.phase() == Phase::Normal {
            STANDING_SETTLE_MILLIS
        } else {
            SETTLE_MILLIS
        };
        if self.phase() != Phase::MainsGood && self.is_structure_news() {
            self.want_plan_later(within, "what PEPs report has changed");
        }
    }

    /// Servers of which a PEP is the custodian.
    fn servers_of(&self, pep: &Name) -> Vec<Name> {
        let Some(facts) = self.peers.get(pep).and_then(|p| p.facts.as_deref()) else {
            return Vec::new();
        };
        facts
            .servers
            .iter()
            .filter(|s| s.role == facts::Role::Custodian)
            .map(|s| s.name.clone())
            .collect()
    }

    /// PEPs that did not come back in time after a restart are gone.
    fn end_awaiting(&mut self) {
        let now = self.now;
        let gone: Vec<Name> = self
            .peers
            .iter()
            .filter(|(_, p)| !p.connected && p.awaited_until.is_some_and(|t| t <= now))
            .map(|(n, _)| n.clone())
            .collect();
        for pep in &gone {
            if let Some(peer) = self.peers.get_mut(pep) {
                peer.awaited_until = None;
            }
            let text =
                format!("{pep} has not come back since the PDP started; its servers are assumed to run on");
            self.event(EventKind::PeerLost, pep.as_str(), text, serde_json::Value::Null);
            let own = self.servers_of(pep);
            self.touch_servers(&own);
        }
        if !gone.is_empty() {
            self.want_plan(0, "PEPs have not come back");
        }
    }

    fn next_forgetting(&self) -> Option<u64> {
        if self.phase() != Phase::Normal {
            return None;
        }
        self.peers
            .iter()
            .filter(|(_, p)| !p.connected)
            .filter_map(|(pep, p)| self.forget_at(pep, p))
            .min()
    }

    fn forget_at(&self, pep: &Name, peer: &Peer) -> Option<u64> {
        // Who was switched off by plan is expected back, however long it takes.
        let is_off = self
            .servers_of(pep)
            .iter()
            .any(|s| self.state.off.contains_key(s));
        let lost = peer.lost_at.filter(|_| !is_off)?;
        Some(lost.saturating_add(self.settings.hold_millis))
    }

    /// In quiet days, PEPs that are gone for long are no part of the cluster any more.
    fn forget_peers(&mut self) {
        if self.next_forgetting().is_none_or(|t| t > self.now) {
            return;
        }
        let gone: Vec<Name> = self
            .peers
            .iter()
            .filter(|(_, p)| !p.connected)
            .filter(|(pep, p)| self.forget_at(pep, p).is_some_and(|t| t <= self.now))
            .map(|(n, _)| n.clone())
            .collect();
        for pep in gone {
            let before = self.peers.remove(&pep).and_then(|p| p.facts);
            self.index_activities(&pep, before.as_deref(), None);
            self.record(Record::Forgotten { pep: pep.clone() });
            let text = format!("{pep} has been gone for long and is no part of the cluster any more");
            self.event(EventKind::PeerLost, pep.as_str(), text, serde_json::Value::Null);
            self.view_due = Some(self.now);
        }
    }

    /// What a PEP was given last, as an assignment of this term.
    fn assignment(&self, pep: &Name, issued: &Issued) -> Assignment {
        let released = self
            .state
            .in_force
            .as_ref()
            .filter(|p| p.generation == issued.generation)
            .map_or(0, InForce::released_stage);
        Assignment {
            pep: pep.clone(),
            term: self.state.term,
            generation: issued.generation,
            released_stage: released,
            slice: Arc::clone(&issued.slice),
            digest: issued.digest,
        }
    }
}

/// A handful of names for a line of text.
fn list(names: &[Name]) -> String {
    const SHOWN: usize = 6;
    let mut text = names
        .iter()
        .take(SHOWN)
        .map(|n| n.as_str())
        .collect::<Vec<_>>()
        .join(", ");
    if names.len() > SHOWN {
        text.push_str(&format!(" and {} more", names.len() - SHOWN));
    }
    text
}
