//! What the agent does, without doing it: observations and plans in, actions, facts and results out.
//!
//! # Contract
//!
//! Pure: no clock, no IO. Call one of [`Engine::observe`], [`Engine::install`], [`Engine::release`],
//! [`Engine::set_connected`], [`Engine::set_armed`], [`Engine::handle_action_result`], [`Engine::handle_timeout`] with
//! the present instant; then drain [`Engine::poll_action`] and [`Engine::poll_event`], read what changed from
//! [`Engine::inventory`] and [`Engine::results`], and call [`Engine::handle_timeout`] no later than
//! [`Engine::poll_timeout`]. Instants are milliseconds of one monotonic clock and never fall.
//!
//! What came of each step is remembered ([`Engine::memory`]); whoever drives the engine keeps that on disk before the
//! actions leave, so that a restarted agent does nothing twice.

pub mod action;
mod check;
mod execute;
pub mod facts;
mod hold_back;
mod local;
pub mod memory;
pub mod plan;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use power_policy::model::Name;

pub use action::{Action, ActionId, ActionKind, ActionOutcome, EngineEvent, Subject};
pub use facts::{Inventory, Observation, Seen};
pub use memory::{Lost, Memory, StepMemory};
pub use plan::{
    HeldPlan, InstallFault, Outcome, Stage, StageTrigger, Step, StepClass, StepFault, StepId, StepKind,
    StepRecord,
};

use crate::limits;

/// An instant or a time, in milliseconds of the engine's monotonic clock.
pub type Millis = u64;

/// How the engine is to behave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EngineSettings {
    /// What a driver may take beyond the time that stands in the file, in milliseconds, before an action counts as
    /// timed out.
    pub action_margin_millis: u64,
    /// Factor on the graceful-stop energy that the agent holds back while it is cut off, permille.
    pub hold_back_permille: u64,
    /// Time at full own load that it holds back on top, in milliseconds.
    pub hold_back_millis: u64,
}

impl Default for EngineSettings {
    fn default() -> Self {
        Self {
            action_margin_millis: 5_000,
            hold_back_permille: 1_050,
            hold_back_millis: 5_000,
        }
    }
}

/// What came of a step, as the PDP is told (POWER-DIVERT-PIB, pwrActionResult).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepResult {
    /// Instance of the row; it stays with the step.
    pub instance: u32,
    /// Order of the stage.
    pub stage: u32,
    /// The step.
    pub step: StepId,
    /// What came of it.
    pub record: StepRecord,
}

/// The plan in force with all that is known of its execution.
#[derive(Debug)]
struct Execution {
    plan: HeldPlan,
    released: Option<u32>,
    released_locally: BTreeSet<u32>,
    records: BTreeMap<StepId, StepRecord>,
    /// Instance of the first result row.
    first_result: u32,
    /// The mains came back while this plan was held.
    mains_back: bool,
    /// It was held when the agent started, and no PDP has spoken of it since: it may have been replaced meanwhile.
    unconfirmed: bool,
}

impl Execution {
    fn is_released(&self, stage: &Stage) -> bool {
        self.released.is_some_and(|order| stage.order <= order)
            || self.released_locally.contains(&stage.order)
    }

    fn is_settled(&self, step: StepId) -> bool {
        self.records
            .get(&step)
            .is_some_and(|record| record.outcome.is_final())
    }
}

/// An action that a driver is busy with.
#[derive(Debug)]
struct Running {
    kind: ActionKind,
    started: Millis,
    deadline: Millis,
    /// Steps of the plan in force that wait for it; a newer plan's equal step joins, a replaced plan's leaves.
    steps: Vec<StepId>,
    /// The take-in that this stop takes back, with the reason.
    takes_back: Option<(StepId, String)>,
    /// A start that is to be stopped again as soon as it is up, with the reason.
    abandoned: Option<String>,
    /// Its steps have timed out already; the subject is free for others, and a late outcome still counts.
    timed_out: bool,
}

/// The engine. See the [module](self) for the contract.
#[derive(Debug)]
pub struct Engine {
    settings: EngineSettings,
    inventory: Inventory,
    armed: bool,
    connected: bool,
    lost: Option<Lost>,
    /// Mains that an earlier life of this agent saw lost, until it is looked at.
    remembered: Option<local::Remembered>,
    execution: Option<Execution>,
    /// Instance that the next plan's result rows begin with.
    next_result: u32,
    running: BTreeMap<ActionId, Running>,
    next_action: u64,
    /// Activities that this agent has taken in, and that are up, of whatever plan.
    taken_in: BTreeSet<facts::ActivityKey>,
    /// Servers on which the agent has stopped its activities by itself, in this interruption.
    held_back: BTreeSet<Name>,
    actions: VecDeque<Action>,
    events: VecDeque<EngineEvent>,
    revision: u64,
}

impl Engine {
    /// An engine that reports `inventory`, with no plan.
    ///
    /// `lost` is what [`Memory`] says of the mains. Nothing is done because of it before the mains was looked at: it may
    /// have come back while no agent was there. A plan that is held on disk comes by [`Engine::restore`].
    pub fn new(settings: EngineSettings, inventory: Inventory, armed: bool, lost: Option<Lost>) -> Self {
        Self {
            settings,
            inventory,
            armed,
            connected: false,
            lost: None,
            remembered: lost.map(local::Remembered::new),
            execution: None,
            next_result: 1,
            running: BTreeMap::new(),
            next_action: 1,
            taken_in: BTreeSet::new(),
            held_back: BTreeSet::new(),
            actions: VecDeque::new(),
            events: VecDeque::new(),
            revision: 0,
        }
    }

    /// Takes up a plan again that was held before a restart of the agent.
    ///
    /// Steps with a final outcome are not done again. A step that was under way is looked at anew: every driver first
    /// looks whether the thing is done already; what starts something, takes it in, or moves a line waits until a PDP has
    /// confirmed the plan, for it may have been replaced meanwhile. A halt is not done again: it ends the agent, and whoever
    /// is there after it was switched on since. Nor is one that was released before the machine was booted.
    pub fn restore(&mut self, plan: HeldPlan, memory: &Memory) {
        let mut records: BTreeMap<StepId, StepRecord> = memory
            .steps
            .iter()
            .filter(|kept| kept.record.outcome.is_final())
            .map(|kept| (kept.step, kept.record.clone()))
            .collect();
        for (stage, step) in plan.steps().filter(|(_, step)| step.kind.is_halt()) {
            let begun = memory.steps.iter().any(|kept| kept.step == step.id);
            let released = memory.released.is_some_and(|order| stage.order <= order)
                || memory.released_locally.contains(&stage.order);
            let (outcome, reason) = match (begun, released && memory.rebooted) {
                (true, _) => (Outcome::Done, "it had begun when the agent ended"),
                (false, true) => (
                    Outcome::Failed,
                    "the machine was booted after this had been released",
                ),
                (false, false) => continue,
            };
            records.entry(step.id).or_insert_with(|| StepRecord {
                outcome,
                millis: 0,
                reason: reason.to_owned(),
            });
        }
        let first_result = memory.first_result.max(1);
        self.next_result = after(first_result, plan.steps().count());
        self.execution = Some(Execution {
            plan,
            released: memory.released,
            released_locally: memory.released_locally.iter().copied().collect(),
            records,
            first_result,
            mains_back: false,
            unconfirmed: true,
        });
    }

    /// What must be kept on disk. Changes with [`Engine::revision`].
    pub fn memory(&self) -> Memory {
        match &self.execution {
            Some(execution) => Memory {
                lost: self.lost(),
                released: execution.released,
                released_locally: execution.released_locally.iter().copied().collect(),
                steps: execution
                    .records
                    .iter()
                    .map(|(step, record)| StepMemory {
                        step: *step,
                        record: record.clone(),
                    })
                    .collect(),
                first_result: execution.first_result,
                rebooted: false,
            },
            None => Memory {
                lost: self.lost(),
                first_result: self.next_result,
                ..Memory::default()
            },
        }
    }

    /// Rises whenever [`Engine::memory`] changes.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// What is known of everything that the agent reports.
    pub fn inventory(&self) -> &Inventory {
        &self.inventory
    }

    /// Whether the agent actuates (`armed`) or only observes.
    pub fn is_armed(&self) -> bool {
        self.armed
    }

    /// Whether a PDP is connected.
    pub fn is_connected(&self) -> bool {
        self.connected
    }

    /// The plan in force.
    pub fn plan(&self) -> Option<&HeldPlan> {
        self.execution.as_ref().map(|execution| &execution.plan)
    }

    /// Last stage that is released with all before it, `None` if none is: the PDP's releases, and the agent's own where
    /// they follow without a gap.
    pub fn released(&self) -> Option<u32> {
        let execution = self.execution.as_ref()?;
        let mut last = execution.released;
        for stage in &execution.plan.stages {
            if execution.is_released(stage) {
                last = last.max(Some(stage.order));
            } else {
                break;
            }
        }
        last
    }

    /// Since when the mains of an own server is lost, as far as is known or remembered.
    pub fn lost(&self) -> Option<Lost> {
        self.lost.or(self.remembered.map(|r| r.lost))
    }

    /// What came of the steps so far, by row instance.
    pub fn results(&self) -> Vec<StepResult> {
        let Some(execution) = &self.execution else {
            return Vec::new();
        };
        let mut instance = execution.first_result;
        let mut results = Vec::new();
        for (stage, step) in execution.plan.steps() {
            if let Some(record) = execution.records.get(&step.id) {
                results.push(StepResult {
                    instance,
                    stage: stage.order,
                    step: step.id,
                    record: record.clone(),
                });
            }
            instance = after(instance, 1);
        }
        results
    }

    /// Takes what a driver saw at `at`, which may lie before `now`.
    ///
    /// What the agent does not report is dropped.
    pub fn observe(&mut self, now: Millis, at: Millis, observation: Observation) {
        fn put<F, R>(thing: Option<&mut facts::Thing<F, R>>, at: Millis, reading: R) {
            if let Some(thing) = thing {
                thing.seen = Some(Seen { at, reading });
            }
        }
        match observation {
            Observation::Server(name, reading) => put(self.inventory.servers.get_mut(&name), at, reading),
            Observation::Inlet(domain, mains) => put(self.inventory.inlets.get_mut(&domain), at, mains),
            Observation::Reserve(name, reading) => put(self.inventory.reserves.get_mut(&name), at, reading),
            Observation::Line(name, reading) => put(self.inventory.lines.get_mut(&name), at, reading),
            Observation::Activity(key, reading) => put(self.inventory.activities.get_mut(&key), at, reading),
        }
        self.advance(now);
    }

    /// Rows of `plan` that this agent cannot take; the whole decision is refused then (RFC 3084 section 3.3).
    ///
    /// # Errors
    /// Every row at fault.
    pub fn check(&self, plan: &HeldPlan) -> Result<(), Vec<InstallFault>> {
        let faults: Vec<InstallFault> = plan
            .steps()
            .filter_map(|(_, step)| {
                let fault = check::fault_of(&self.inventory, &step.kind)?;
                Some(InstallFault { step: step.id, fault })
            })
            .collect();
        if faults.is_empty() { Ok(()) } else { Err(faults) }
    }

    /// Puts a plan in force, with the stages up to `released` (`None`: none).
    ///
    /// Actions of the plan before it that are under way go on: a stop already begun completes.
    pub fn install(&mut self, now: Millis, plan: HeldPlan, released: Option<u32>) {
        // An outcome that is overdue would be the old plan's.
        self.running.retain(|_, running| !running.timed_out);
        for running in self.running.values_mut() {
            running.steps.clear();
            running.takes_back = None;
        }
        let first_result = self.next_result;
        self.next_result = after(first_result, plan.steps().count());
        self.execution = Some(Execution {
            plan,
            released,
            released_locally: BTreeSet::new(),
            records: BTreeMap::new(),
            first_result,
            mains_back: false,
            unconfirmed: false,
        });
        self.revision += 1;
        self.advance(now);
    }

    /// Ends enforcement: the context is gone, or none is active. What is under way completes.
    pub fn withdraw(&mut self) {
        if self.execution.take().is_some() {
            for running in self.running.values_mut() {
                running.steps.clear();
                running.takes_back = None;
            }
            self.revision += 1;
        }
    }

    /// Releases the stages up to `order` of the plan in force. A release is never taken back.
    pub fn release(&mut self, now: Millis, order: Option<u32>) {
        if let Some(execution) = &mut self.execution {
            execution.unconfirmed = false;
            if order > execution.released {
                execution.released = order;
                self.revision += 1;
            }
        }
        self.advance(now);
    }

    /// Another PDP, or the same one after a restart, claims the plan in force without changing it: it holds under the
    /// new term from now on, and so do its results.
    pub fn claim(&mut self, term: u64) {
        if let Some(execution) = &mut self.execution
            && execution.plan.term != term
        {
            execution.plan.term = term;
            self.revision += 1;
        }
    }

    /// Whether a PDP is connected; while none is, the local stages of the plan are released by this agent.
    pub fn set_connected(&mut self, now: Millis, connected: bool) {
        self.connected = connected;
        self.advance(now);
    }

    /// Lets the agent actuate, or only observe.
    ///
    /// Steps that were refused in observe mode stay refused: the PDP, which is told, plans anew.
    pub fn set_armed(&mut self, now: Millis, armed: bool) {
        self.armed = armed;
        self.advance(now);
    }

    /// Something is due: a deadline, a local trigger, a reading that goes stale.
    pub fn handle_timeout(&mut self, now: Millis) {
        self.advance(now);
    }

    /// The next action for a driver.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// The next thing to tell.
    pub fn poll_event(&mut self) -> Option<EngineEvent> {
        self.events.pop_front()
    }

    /// When [`Engine::handle_timeout`] is due.
    pub fn poll_timeout(&self, now: Millis) -> Option<Millis> {
        let actions = self.running.values().filter(|r| !r.timed_out).map(|r| r.deadline);
        let stale = self
            .inventory
            .reserves
            .values()
            .filter_map(|t| Some(t.seen.as_ref()?.at.saturating_add(t.facts.stale_after_millis)))
            .chain(
                self.inventory
                    .inlets
                    .values()
                    .filter_map(|t| Some(t.seen.as_ref()?.at.saturating_add(t.facts.stale_after_millis))),
            )
            .filter(|at| *at > now);
        actions
            .chain(stale)
            .chain(self.remembered_deadline())
            .chain(self.local_deadline(now))
            .min()
    }

    fn tell(&mut self, event: EngineEvent) {
        if self.events.len() >= limits::MAX_EVENTS {
            self.events.pop_front();
        }
        self.events.push_back(event);
    }

    /// Does all that has become due or possible.
    fn advance(&mut self, now: Millis) {
        self.expire(now);
        self.watch_mains(now);
        if !self.connected {
            self.release_locally(now);
            self.hold_back(now);
        }
        self.take_back(now);
        self.execute(now);
    }

    /// Names of own servers that have activities here.
    fn working_servers(&self) -> BTreeSet<&Name> {
        self.inventory.activities.keys().map(|key| &key.server).collect()
    }
}

/// The result instance `count` after `first`; instances run from 1 to 2^32-1 (RFC 3159, InstanceId).
fn after(first: u32, count: usize) -> u32 {
    u32::try_from(count)
        .ok()
        .and_then(|count| first.checked_add(count))
        // Past the end the numbers begin again: by then no row with a low number is left.
        .filter(|next| *next < u32::MAX - limits::MAX_STEPS as u32)
        .unwrap_or(1)
}
