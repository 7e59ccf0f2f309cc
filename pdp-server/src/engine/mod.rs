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

mod activation;
mod ahead;
mod alarms;
mod authority;
mod cluster;
pub mod contingency;
mod contract;
pub mod event;
mod execution;
pub mod facts;
mod membership;
mod meter;
mod peer_inputs;
mod planning;
mod release;
pub mod replay;
mod report;
mod results;
mod sameness;
mod signals;
pub mod slice;
mod snapshot;
pub mod state;
mod tracking;
mod wishes;

#[cfg(test)]
pub(crate) mod fixture;
#[cfg(test)]
mod tests;

use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use power_policy::interruption::{self, Interruption};
use power_policy::model::{Name, Phase};

use self::ahead::Ahead;
use self::alarms::Alarms;
use self::cluster::{Peer, View};
pub use self::contract::{Assignment, Checker, Digester, End, Input, Output, Planner, Recovery, Settings};
use self::event::{Event, EventKind};
use self::execution::Execution;
use self::facts::PepFacts;
use self::meter::Meter;
use self::snapshot::Sources;
use self::state::{InForce, Issued, Record, State};
use self::wishes::{Budget, PlanWish};
use crate::limits;

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
    budget: Budget,
    ahead: Ahead,
    /// Until when the first plan of an interruption may wait to see which case it is.
    gather_until: Option<u64>,
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
    rehearsed: Option<report::Rehearsal>,
    plans_made: u64,
    violations_seen: u64,
    last_violations: Vec<String>,
    records_since_checkpoint: u64,
    store_failure: Option<String>,
    /// What was not kept while the journal failed is in the next checkpoint alone.
    has_hole: bool,
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
        // What is raised from outside stays far below the end of both numbers (`authority::is_believable`).
        let term = state.term.saturating_add(1);
        let mut engine = Self {
            now: now_millis,
            peers: BTreeMap::new(),
            view: View::default(),
            activity_peps: BTreeMap::new(),
            execution: Execution::default(),
            meter: Meter::resume(state.metered.clone()),
            alarms: Alarms::default(),
            outputs: VecDeque::new(),
            next_seq: (term.min(u64::from(u32::MAX)) << 32) | 1,
            view_due: Some(now_millis),
            plan_due: None,
            budget: Budget::new(now_millis),
            ahead: Ahead::default(),
            gather_until: None,
            checked_at: now_millis,
            touched: BTreeSet::new(),
            ended: BTreeSet::new(),
            low: BTreeSet::new(),
            refusals: BTreeMap::new(),
            rehearsed: None,
            plans_made: 0,
            violations_seen: 0,
            last_violations: Vec::new(),
            records_since_checkpoint: 0,
            store_failure: None,
            has_hole: false,
            settings,
            state,
        };
        engine.record(Record::Started {
            term,
            boot_id: recovery.boot_id,
            scale: engine.settings.scale,
            offset_millis: recovery.offset_millis,
            policy: Some(Box::new(engine.settings.policy.clone())),
        });
        engine.resume();
        engine.forget_unwanted();
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
            let peer = Peer {
                facts: Some(facts),
                heard_at: self.now,
                lost_at: Some(self.now),
                ..Peer::default()
            };
            self.peers.insert(pep, peer);
        }
        self.settle_view();
        // Servers that were switched off took their agent with them, if it has no other; all others are awaited.
        let awaited: Vec<Name> = self
            .peers
            .keys()
            .filter(|pep| !self.is_switched_off(pep))
            .cloned()
            .collect();
        for pep in awaited {
            if let Some(peer) = self.peers.get_mut(&pep) {
                peer.awaited_until = Some(until);
            }
        }
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
            Input::Closed { pep, reason, end } => self.closed(&pep, &reason, end),
            Input::Facts { pep, facts } => self.facts(&pep, facts),
            Input::Synchronised { pep } => {
                self.synchronised(&pep);
                self.send_contingencies(&pep);
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
            Input::Context(event) => self.context_event(event),
            Input::PlannedAhead(planned) => self.planned_ahead(*planned),
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
            self.plan_time(),
            self.state.machine.next_deadline(),
            self.next_release(),
            self.next_check(),
            self.next_forgetting(),
            self.next_out_of_reach(),
            self.next_unheard(),
            self.next_ahead(),
            self.next_overdue(),
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
        self.forget_peers();
        if self.view_due.is_some_and(|d| d <= self.now) {
            self.settle_view();
        }
        self.end_awaiting();
        self.end_synchronising();
        self.update_tracks();
        self.finish_restoration();
        // What is ready goes before the plan is looked at again: a plan whose stages take longer than the time between two
        // looks would else never come to its second one.
        self.release_stages();
        self.check_plan();
        if self.is_plan_due() {
            self.replan();
        }
        self.release_stages();
        self.plan_ahead();
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
        self.keep_metered();
        self.records_since_checkpoint = 0;
        let state = Box::new(self.state.clone());
        let after_failure = std::mem::take(&mut self.has_hole);
        self.outputs
            .push_back(Output::Record(Record::Checkpoint { state, after_failure }));
    }

    fn event(&mut self, kind: EventKind, subject: &str, text: String, data: serde_json::Value) {
        let seq = self.next_seq;
        self.next_seq += 1;
        self.outputs.push_back(Output::Event(Event {
            seq,
            kind,
            at_millis: self.now,
            elapsed_millis: self.state.machine.outage(self.now).map(|o| o.elapsed_millis),
            interruption: self.state.interruption.clone(),
            subject: subject.to_owned(),
            text,
            data,
        }));
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
        self.has_hole = true;
        self.set_alarm("journal", "journal", alarm);
        if cleared {
            // What was not kept is kept now.
            self.checkpoint();
        }
    }

    /// What a PEP was given last, as an assignment of this term.
    fn assignment(&self, pep: &Name, issued: &Issued) -> Assignment {
        let released = self
            .state
            .in_force
            .as_ref()
            .filter(|p| p.generation_of(pep) == issued.generation)
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
