//! Carrying a plan out: results come in, stages go out.

use std::collections::BTreeMap;

use serde_json::json;

use power_policy::model::{ActivityState, Cause, Name, Phase, Powered};
use power_policy::plan::text::Duration;
use power_policy::plan::{HostState, Stage, StepKind, Trigger, Verb};

use super::event::EventKind;
use super::facts::{Outcome, PepFacts};
use super::slice::StepKey;
use super::state::{CommandedPair, InForce, Issued, Record, Track, failure_key};
use super::{Engine, Output};
use crate::limits::MAX_ACTION_FAILURES;

/// A central step of the plan in force.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct StepState {
    pub(super) pep: Name,
    pub(super) key: StepKey,
    pub(super) order: u32,
    pub(super) kind: StepKind,
    pub(super) outcome: Option<Outcome>,
    /// When it counts as failed, once its stage is released.
    pub(super) deadline: Option<u64>,
    /// Nothing more is expected of it.
    pub(super) settled: bool,
}

/// How far the plan in force has been carried out.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Execution {
    pub(super) generation: u64,
    pub(super) steps: Vec<StepState>,
    /// When the last result came, or the last stage was released: the start of delays.
    pub(super) last_at: u64,
}

impl Execution {
    /// Nothing of the plan is done yet.
    pub(super) fn new(in_force: &InForce, issued: &BTreeMap<Name, Issued>) -> Self {
        let mut steps = Vec::new();
        for (pep, i) in issued.iter().filter(|(_, i)| i.generation == in_force.generation) {
            for stage in i.slice.stages.iter().filter(|s| !s.local) {
                steps.extend(stage.steps.iter().map(|s| StepState {
                    pep: pep.clone(),
                    key: s.key,
                    order: stage.order,
                    kind: s.kind.clone(),
                    outcome: None,
                    deadline: None,
                    settled: false,
                }));
            }
        }
        steps.sort_by(|a, b| (a.order, &a.pep, a.key).cmp(&(b.order, &b.pep, b.key)));
        Self {
            generation: in_force.generation,
            steps,
            last_at: in_force.made_at,
        }
    }

    /// Whether released steps are outstanding.
    pub(super) fn is_busy(&self) -> bool {
        self.steps.iter().any(|s| s.deadline.is_some() && !s.settled)
    }

    /// Whether a released step of this kind is outstanding.
    pub(super) fn is_under_way(&self, is_it: impl Fn(&StepKind) -> bool) -> bool {
        self.steps
            .iter()
            .any(|s| s.deadline.is_some() && !s.settled && is_it(&s.kind))
    }

    /// Whether `next` has to wait for released steps. A server that has been switched on takes its time to boot; further
    /// servers may be switched on meanwhile, all else waits until it is up.
    pub(super) fn is_held_up(&self, next: &Stage) -> bool {
        let starts = |kind: &StepKind| {
            matches!(
                kind,
                StepKind::Host {
                    state: HostState::On,
                    ..
                }
            )
        };
        let only_starts = next.steps.iter().all(|s| starts(&s.kind));
        self.steps
            .iter()
            .filter(|s| s.deadline.is_some() && !s.settled)
            .any(|s| !(only_starts && starts(&s.kind) && s.outcome == Some(Outcome::Done)))
    }
}

/// Whether a stage waits for the result of such a step: what only tells an agent something is not waited for.
fn is_awaited(kind: &StepKind) -> bool {
    !matches!(
        kind,
        StepKind::Intake { .. } | StepKind::Activity { verb: Verb::Run, .. }
    )
}

impl Engine {
    /// How long a step may take by what its agent says, twice, and the way there and back.
    fn limit_millis(&self, kind: &StepKind) -> u64 {
        let slack = self.settings.slack_millis();
        let own = match kind {
            StepKind::Activity { activity, verb, .. } => {
                let rows = self.rows_of(activity);
                let of = |f: &dyn Fn(&super::facts::ActivityFact) -> u64| {
                    rows.iter().map(|r| f(r)).max().unwrap_or(0)
                };
                match verb {
                    Verb::Stop | Verb::MoveOut => of(&|r| r.stop_millis),
                    Verb::Start | Verb::TakeIn => {
                        of(&|r| r.move_millis.max(r.stop_millis)).saturating_add(15_000)
                    }
                    Verb::Run | Verb::Cap => 0,
                }
            }
            StepKind::Divert { line, .. } => self
                .peers
                .values()
                .filter_map(|p| p.facts.as_deref())
                .flat_map(|f| &f.lines)
                .find(|l| l.name == *line)
                .map_or(0, |l| l.switch_millis),
            StepKind::Intake { .. } => 0,
            StepKind::Host { server, state } => {
                let fact = self
                    .peers
                    .values()
                    .filter_map(|p| p.facts.as_deref())
                    .flat_map(|f| &f.servers)
                    .find(|s| s.name == *server && s.role == super::facts::Role::Custodian);
                match state {
                    // It may have to end a halt first.
                    HostState::On => fact
                        .map_or(300_000, |s| s.boot_millis.saturating_add(s.halt_millis))
                        .saturating_add(15_000),
                    HostState::Off => fact.map_or(0, |s| s.halt_millis),
                    HostState::Standby => 0,
                }
            }
        };
        own.saturating_mul(2).saturating_add(slack)
    }

    /// A stage has been released: its steps are awaited from now on.
    pub(super) fn start_deadlines(&mut self, order: u32, at: u64) {
        let kinds: Vec<(usize, StepKind)> = self
            .execution
            .steps
            .iter()
            .enumerate()
            .filter(|(_, s)| s.order == order && s.deadline.is_none())
            .map(|(i, s)| (i, s.kind.clone()))
            .collect();
        for (i, kind) in kinds {
            let deadline = at.saturating_add(self.limit_millis(&kind));
            let expected = self.is_expected(&self.execution.steps[i].pep, &kind);
            let step = &mut self.execution.steps[i];
            step.deadline = Some(deadline);
            step.settled = !is_awaited(&step.kind) || !expected;
            if let StepKind::Activity {
                activity,
                server,
                verb: Verb::TakeIn,
                ..
            } = &kind
                && let Some(track) = self.state.tracks.get(activity).cloned()
                && track.host != *server
            {
                let moving_to = Some(server.clone());
                self.retain_track(activity, Track { moving_to, ..track });
            }
        }
        self.execution.last_at = self.now.max(at);
    }

    /// Whether a result can be expected: the PEP is there (or awaited, or its server is being started), and armed.
    fn is_expected(&self, pep: &Name, _kind: &StepKind) -> bool {
        let sources = self.sources();
        let booting = self.execution.steps.iter().any(|s| {
            s.deadline.is_some()
                && matches!(&s.kind, StepKind::Host { server, state: HostState::On }
                    if self.view.servers.get(server).is_some_and(|c| c.pep == *pep))
        });
        sources.is_armed(pep) && (sources.is_reachable(pep) || booting)
    }

    /// A PEP has reported for the first time on its connection: it is brought to what it should hold.
    pub(super) fn joined(&mut self, pep: &Name, facts: &PepFacts) {
        let held = &facts.held;
        if held.term > self.state.term || (held.generation > self.state.generation && held.term > 0) {
            // It has heard a later PDP, or our journal was lost: go above what it holds, or it refuses us for ever.
            let term = self.state.term.max(held.term.saturating_add(1));
            let generation = self.state.generation.max(held.generation);
            let text = format!(
                "{pep} holds a plan of term {} generation {}, which is newer than ours; going above it with term {term}",
                held.term, held.generation
            );
            self.record(Record::Raised { term, generation });
            self.event(EventKind::Pdp, pep.as_str(), text, serde_json::Value::Null);
            self.want_plan(0, "a PEP holds a newer plan");
        }
        let armed = if self.settings.peers.is_armed(pep) && facts.held.armed {
            "armed"
        } else {
            "observed only"
        };
        let text = format!(
            "{pep} has joined: {} servers, {} reserves, {} lines, {} activities, {armed}",
            facts.servers.len(),
            facts.reserves.len(),
            facts.lines.len(),
            facts.activities.len()
        );
        self.event(
            EventKind::PeerJoined,
            pep.as_str(),
            text,
            json!({ "armed": armed == "armed" }),
        );
        let Some(issued) = self.state.issued.get(pep).cloned() else {
            // A plan for it follows when custody is decided.
            if self.phase() != Phase::Normal {
                self.want_plan_later(super::SETTLE_MILLIS, &format!("{pep} has joined"));
            }
            return;
        };
        let assignment = self.assignment(pep, &issued);
        let holds_it = held.generation == issued.generation && held.digest == Some(issued.digest);
        if !holds_it {
            self.outputs.push_back(Output::Install(assignment));
        } else if held.term != self.state.term || held.released_stage != assignment.released_stage {
            // The claim of exchanges E8: same rows, same generation, our term.
            self.outputs.push_back(Output::Release(assignment));
        }
        let awaited = self.execution.steps.iter().any(|s| s.pep == *pep && !s.settled);
        if self.phase() != Phase::Normal && !awaited && !holds_it {
            self.want_plan_later(super::SETTLE_MILLIS, &format!("{pep} has joined"));
        }
    }

    /// Outcomes that a PEP reports for the plan in force.
    pub(super) fn results(&mut self, pep: &Name, facts: &PepFacts) {
        let generation = self.execution.generation;
        for result in facts.results.iter().filter(|r| r.generation == generation) {
            let Some(at) = self
                .execution
                .steps
                .iter()
                .position(|s| s.pep == *pep && s.key == result.step)
            else {
                continue;
            };
            if self.execution.steps[at].outcome == Some(result.outcome) {
                continue;
            }
            self.execution.steps[at].outcome = Some(result.outcome);
            self.execution.last_at = self.now;
            self.take_outcome(at, result.outcome, result.millis, &result.reason);
        }
        self.settle_waiting();
    }

    /// Steps whose end is seen in the facts and not only told.
    fn settle_waiting(&mut self) {
        let waiting: Vec<(usize, Name, HostState)> = self
            .execution
            .steps
            .iter()
            .enumerate()
            .filter(|(_, s)| s.outcome == Some(Outcome::Done) && !s.settled)
            .filter_map(|(i, s)| match &s.kind {
                StepKind::Host { server, state } => Some((i, server.clone(), *state)),
                _ => None,
            })
            .collect();
        for (at, server, state) in waiting {
            if self.is_host(&server, state) {
                self.execution.steps[at].settled = true;
                self.execution.last_at = self.now;
            }
        }
    }

    /// Whether a server is in a state, as far as is seen.
    fn is_host(&self, server: &Name, state: HostState) -> bool {
        let Some(custody) = self.view.servers.get(server) else {
            return false;
        };
        let there = self.is_known(&custody.pep);
        let fact = self
            .peers
            .get(&custody.pep)
            .filter(|p| p.reported)
            .and_then(|p| p.facts.as_deref())
            .and_then(|f| f.servers.iter().find(|s| s.name == *server));
        let on = there && fact.is_some_and(|f| f.powered == Powered::On);
        match state {
            HostState::On => on,
            HostState::Off => self.is_off(server),
            HostState::Standby => true,
        }
    }

    fn take_outcome(&mut self, at: usize, outcome: Outcome, millis: u64, reason: &str) {
        let step = self.execution.steps[at].clone();
        if !outcome.is_final() {
            return;
        }
        if outcome.is_failure() {
            self.execution.steps[at].settled = true;
            self.failed(&step, outcome, reason);
            return;
        }
        let data = json!({
            "pep": step.pep, "stage": step.order, "step": step.key.to_string(), "took_millis": millis
        });
        let took = Duration(millis);
        self.event(
            EventKind::ActionDone,
            subject_of(&step.kind),
            format!("done in {took}: {}", step.kind),
            data,
        );
        self.execution.steps[at].settled = true;
        match &step.kind {
            StepKind::Divert {
                line,
                reserve,
                server,
                milliwatts,
            } => self.diverted(line, reserve, server, *milliwatts),
            StepKind::Host { server, state } => {
                self.execution.steps[at].settled = self.is_host(server, *state);
                match state {
                    HostState::Standby => {
                        let text = format!("{server} stands by");
                        self.event(
                            EventKind::HostStandby,
                            server.as_str(),
                            text,
                            serde_json::Value::Null,
                        );
                    }
                    HostState::On => {
                        let text = format!("{server} has been switched on and boots");
                        self.event(EventKind::HostOn, server.as_str(), text, serde_json::Value::Null);
                    }
                    HostState::Off => {}
                }
            }
            StepKind::Activity { .. } | StepKind::Intake { .. } => {}
        }
    }

    /// The plan in force is about to be replaced, and with it the rows that would tell of its outstanding diverts. They
    /// may be carried out or not: they count as commanded, and the line's own report says what is joined.
    pub(super) fn keep_outstanding_diverts(&mut self) {
        let outstanding: Vec<(Name, CommandedPair)> = self
            .execution
            .steps
            .iter()
            .filter(|s| s.deadline.is_some() && !s.settled)
            .filter_map(|s| match &s.kind {
                StepKind::Divert {
                    line,
                    reserve,
                    server,
                    milliwatts,
                } if *milliwatts > 0 => {
                    let pair = CommandedPair {
                        reserve: reserve.clone(),
                        server: server.clone(),
                        milliwatts: *milliwatts,
                    };
                    Some((line.clone(), pair))
                }
                _ => None,
            })
            .collect();
        for (line, pair) in outstanding {
            let mut pairs = self.state.joined.get(&line).cloned().unwrap_or_default();
            pairs.retain(|p| p.reserve != pair.reserve || p.server != pair.server);
            pairs.push(pair);
            pairs.sort();
            self.record(Record::Joined { line, pairs });
        }
    }

    fn diverted(&mut self, line: &Name, reserve: &Name, server: &Name, milliwatts: u64) {
        let mut pairs = self.state.joined.get(line).cloned().unwrap_or_default();
        pairs.retain(|p| p.reserve != *reserve || p.server != *server);
        if milliwatts > 0 {
            pairs.push(CommandedPair {
                reserve: reserve.clone(),
                server: server.clone(),
                milliwatts,
            });
            pairs.sort();
        }
        self.record(Record::Joined {
            line: line.clone(),
            pairs,
        });
        let text = if milliwatts > 0 {
            format!(
                "{reserve} feeds {server} over {line}, at most {}",
                power_policy::plan::text::Watts(milliwatts)
            )
        } else {
            format!("{reserve} no longer feeds {server} over {line}")
        };
        let data = json!({
            "line": line, "reserve": reserve, "server": server, "milliwatts": milliwatts
        });
        self.event(EventKind::Divert, line.as_str(), text, data);
    }

    /// A step went wrong: counted, told, and planned around at once.
    fn failed(&mut self, step: &StepState, outcome: Outcome, reason: &str) {
        let key = failure_key(&step.kind);
        let times = self.sources().failures(&key) + 1;
        self.record(Record::Failed {
            step: key.clone(),
            times,
        });
        let words = match outcome {
            Outcome::Refused => "was refused",
            Outcome::TimedOut => "did not end in time",
            _ => "failed",
        };
        let why = if reason.is_empty() {
            String::new()
        } else {
            format!(" ({reason})")
        };
        let text = format!("{} {words}{why}; planning around it", step.kind);
        let data = json!({
            "pep": step.pep, "stage": step.order, "step": step.key.to_string(), "times": times
        });
        self.event(EventKind::ActionFailed, subject_of(&step.kind), text, data);
        if let StepKind::Activity { activity, verb, .. } = &step.kind
            && let Some(mut track) = self.state.tracks.get(activity).cloned()
        {
            if *verb == Verb::TakeIn {
                track.moving_to = None;
            }
            if *verb == Verb::Start && track.shed && times >= MAX_ACTION_FAILURES {
                let why = format!("it could not be started{why}");
                let alarm = format!("{activity} is not running: {why}");
                self.set_alarm(&format!("lost {activity}"), activity.as_str(), Some(alarm));
                track.given_up = Some(why);
            }
            self.retain_track(activity, track);
            self.touched.insert(activity.clone());
        }
        self.want_plan(0, &format!("{key} {words}"));
    }

    /// A PEP has refused a plan as a whole or because of some rows; it holds what it held before.
    pub(super) fn refused(&mut self, pep: &Name, generation: u64, steps: &[StepKey], reason: &str) {
        let text = format!("{pep} refuses its part of plan {generation}: {reason}");
        self.event(
            EventKind::ActionFailed,
            pep.as_str(),
            text.clone(),
            json!({ "generation": generation }),
        );
        let times = self.refusals.entry(pep.clone()).or_insert(0);
        *times += 1;
        if *times > MAX_ACTION_FAILURES {
            // Planning on would only be refused on: its part waits until it reports anew.
            self.set_alarm(&format!("refusal {pep}"), pep.as_str(), Some(text));
            for step in self.execution.steps.iter_mut().filter(|s| s.pep == *pep) {
                step.settled = true;
            }
            return;
        }
        let current = self
            .state
            .issued
            .get(pep)
            .is_some_and(|i| i.generation == generation);
        if !current {
            return;
        }
        let kinds: Vec<StepState> = self
            .execution
            .steps
            .iter()
            .filter(|s| s.pep == *pep && steps.contains(&s.key))
            .cloned()
            .collect();
        for step in &kinds {
            self.failed(step, Outcome::Refused, reason);
        }
        // The same rows again would be refused again: a new plan gets new ones.
        self.record(Record::Withdrawn { pep: pep.clone() });
        self.want_plan(super::SETTLE_MILLIS, &format!("{pep} refused its part"));
    }

    /// The connection of a PEP ended: where the plan switched its server off, that is the result.
    pub(super) fn expect_off(&mut self, pep: &Name, servers: &[Name]) -> bool {
        let mut expected = servers.iter().any(|s| self.state.off.contains_key(s));
        let steps: Vec<(usize, Name)> = self
            .execution
            .steps
            .iter()
            .enumerate()
            .filter(|(_, s)| s.pep == *pep && s.deadline.is_some())
            .filter_map(|(i, s)| match &s.kind {
                StepKind::Host {
                    server,
                    state: HostState::Off,
                } => Some((i, server.clone())),
                _ => None,
            })
            .collect();
        for (at, server) in steps {
            expected = true;
            let step = &mut self.execution.steps[at];
            step.outcome = Some(Outcome::Done);
            step.settled = true;
            self.switched_off(&server);
        }
        if expected {
            // Its other steps of the same stages ended with it.
            for s in self.execution.steps.iter_mut().filter(|s| s.pep == *pep) {
                s.settled |= s.deadline.is_some();
            }
            self.execution.last_at = self.now;
        }
        expected
    }

    fn switched_off(&mut self, server: &Name) {
        if self.state.off.contains_key(server) {
            return;
        }
        let at = self.now;
        self.record(Record::Off {
            server: server.clone(),
            off: true,
            at,
        });
        let text = format!("{server} is switched off");
        self.event(EventKind::HostOff, server.as_str(), text, serde_json::Value::Null);
    }

    /// A PEP reports: its servers are on or off as it says.
    pub(super) fn expect_on(&mut self, pep: &Name, servers: &[Name], facts: &PepFacts) {
        for server in servers {
            let Some(fact) = facts.servers.iter().find(|s| s.name == *server) else {
                continue;
            };
            let ordered = self.execution.steps.iter().any(|s| {
                s.deadline.is_some()
                    && matches!(&s.kind, StepKind::Host { server: o, state: HostState::Off } if o == server)
            });
            if fact.powered.is_off() {
                if ordered {
                    self.switched_off(server);
                }
                continue;
            }
            if fact.powered == Powered::On && self.state.off.contains_key(server) {
                let at = self.now;
                self.record(Record::Off {
                    server: server.clone(),
                    off: false,
                    at,
                });
                let text = format!("{server} is up again, reported by {pep}");
                self.event(EventKind::HostOn, server.as_str(), text, serde_json::Value::Null);
            }
        }
    }

    /// When something about the release of stages is due.
    pub(super) fn next_release(&self) -> Option<u64> {
        let deadline = self
            .execution
            .steps
            .iter()
            .filter(|s| !s.settled)
            .filter_map(|s| s.deadline)
            .min();
        deadline.into_iter().chain(self.trigger_time()).min()
    }

    /// The next stage that is not released yet.
    pub(super) fn next_stage(&self) -> Option<&Stage> {
        let in_force = self.state.in_force.as_ref()?;
        let last = in_force.released.last().map(|(order, _)| *order);
        in_force
            .plan
            .central_stages()
            .find(|s| last.is_none_or(|l| s.order > l))
    }

    /// When the trigger of the next stage fires by time alone.
    fn trigger_time(&self) -> Option<u64> {
        let stage = self.next_stage()?;
        if self.execution.is_held_up(stage) {
            return None;
        }
        let at = match &stage.trigger {
            Trigger::Elapsed { millis } => {
                let elapsed = self.state.machine.outage(self.now)?.elapsed_millis;
                self.now.saturating_add(millis.saturating_sub(elapsed))
            }
            Trigger::Delay { millis } => self.execution.last_at.saturating_add(*millis),
            // The last figures say when the charge will have fallen so far: look then, or at the next figures.
            Trigger::ChargeBelow { .. } => self
                .now
                .saturating_add(self.settings.policy.report_period_millis.min(5_000)),
            _ => return None,
        };
        // A trigger that has fired and is held back waits for a change of phase, which asks for itself.
        (at > self.now).then_some(at)
    }

    /// Charge of reserves together, for a trigger; none while one of them is not known: after a restart of the PDP a
    /// custodian that has yet to come back has not run dry.
    fn sum_of_charges(&self, reserves: &[Name]) -> Option<u64> {
        let sources = self.sources();
        reserves.iter().try_fold(0u64, |sum, r| {
            let (charge, _) = sources.charge(r)?;
            Some(sum.saturating_add(charge))
        })
    }

    fn has_fired(&self, stage: &Stage) -> bool {
        let elapsed = self.state.machine.outage(self.now).map(|o| o.elapsed_millis);
        match &stage.trigger {
            // Moves home wait for mains to have been good for long; the interruption machine has seen to that.
            Trigger::Delay { .. } if is_move(stage) && self.state.machine.may_move_back() => true,
            Trigger::AfterResults => true,
            Trigger::Elapsed { millis } => elapsed.is_none_or(|e| e >= *millis),
            Trigger::ChargeBelow {
                reserves,
                millijoules,
            } => self.sum_of_charges(reserves).is_some_and(|c| c <= *millijoules),
            Trigger::ChargeAbove {
                reserves,
                millijoules,
            } => self.sum_of_charges(reserves).is_some_and(|c| c >= *millijoules),
            Trigger::Delay { millis } => self.now >= self.execution.last_at.saturating_add(*millis),
            // Local stages alone wait for this.
            Trigger::MainsLost => false,
        }
    }

    /// Whether the phase lets a stage out.
    fn may_release(&self, stage: &Stage, cause: Cause) -> bool {
        let machine = &self.state.machine;
        let moves = is_move(stage);
        match machine.phase() {
            Phase::Debounce | Phase::MainsGood => false,
            // In a drill every actuator is held: going on does no harm, and waiting would show nothing.
            Phase::Interrupted => machine.may_shed() || cause == Cause::Drill,
            Phase::Restoring => machine.may_restart() && (!moves || machine.may_move_back()),
            Phase::Normal => !moves || machine.may_move_back(),
        }
    }

    /// Whether the next stage can be released now. Then it is: what was planned is begun before it is planned anew, or
    /// slow results would put off the next stage for ever.
    pub(super) fn is_stage_ready(&self) -> bool {
        let cause = self.state.in_force.as_ref().map(|p| p.plan.cause);
        self.next_stage().zip(cause).is_some_and(|(stage, cause)| {
            !self.execution.is_held_up(stage) && self.may_release(stage, cause) && self.has_fired(stage)
        })
    }

    /// Lets out every stage whose time has come.
    pub(super) fn release_stages(&mut self) {
        self.end_overdue();
        loop {
            if self.is_anyone_unsynchronised() {
                return;
            }
            let generation = self.state.in_force.as_ref().map(|p| p.generation);
            let (Some(generation), Some(stage)) = (generation, self.next_stage().cloned()) else {
                return;
            };
            if !self.is_stage_ready() {
                return;
            }
            self.release(generation, &stage);
        }
    }

    fn release(&mut self, generation: u64, stage: &Stage) {
        let at = self.now;
        self.record(Record::Released {
            generation,
            stage: stage.order,
            at,
        });
        let concerned: Vec<(Name, Issued)> = self
            .state
            .issued
            .iter()
            .filter(|(_, i)| i.generation == generation)
            .filter(|(_, i)| i.slice.stages.iter().any(|s| s.order == stage.order))
            .map(|(n, i)| (n.clone(), i.clone()))
            .collect();
        for (pep, issued) in &concerned {
            if self.is_known(pep) {
                let assignment = self.assignment(pep, issued);
                self.outputs.push_back(Output::Release(assignment));
            }
        }
        let text = format!(
            "stage {} of plan {generation} is released ({}): {}",
            stage.order, stage.trigger, stage.reason
        );
        let data = json!({
            "generation": generation, "stage": stage.order, "steps": stage.steps.len(), "peps": concerned.len()
        });
        self.event(EventKind::StageReleased, "", text, data);
        self.start_deadlines(stage.order, at);
    }

    /// PEPs that take part in the plan in force and whose synchronisation is not over.
    fn is_anyone_unsynchronised(&self) -> bool {
        let sources = self.sources();
        self.execution
            .steps
            .iter()
            .filter(|s| !s.settled)
            .filter_map(|s| Some((self.peers.get(&s.pep)?, &s.pep)))
            .any(|(p, pep)| (p.connected && !p.synchronised) || (!p.connected && sources.is_reachable(pep)))
    }

    /// Steps whose time is over count as failed.
    fn end_overdue(&mut self) {
        let now = self.now;
        let overdue: Vec<usize> = self
            .execution
            .steps
            .iter()
            .enumerate()
            .filter(|(_, s)| !s.settled && s.deadline.is_some_and(|d| d <= now))
            .map(|(i, _)| i)
            .collect();
        for at in overdue {
            let step = self.execution.steps[at].clone();
            self.execution.steps[at].settled = true;
            self.execution.steps[at].outcome = Some(Outcome::TimedOut);
            let silent = if self.is_known(&step.pep) {
                format!("{} has not reported it", step.pep)
            } else {
                format!("{} is not there", step.pep)
            };
            self.failed(&step, Outcome::TimedOut, &silent);
        }
    }

    /// A restoration is over when nothing is owed any more that anybody could still start.
    pub(super) fn finish_restoration(&mut self) {
        if self.phase() != Phase::Restoring || self.plan_due.is_some() || self.execution.is_busy() {
            return;
        }
        let stage_waits = self
            .next_stage()
            .is_some_and(|s| self.may_release(s, Cause::Restoration));
        let made_now = self
            .state
            .in_force
            .as_ref()
            .is_some_and(|p| p.phase == Phase::Restoring);
        if stage_waits || !made_now {
            return;
        }
        let owed = self.state.tracks.values().any(|t| t.shed && t.given_up.is_none());
        // A stop that was begun completes, whatever has been commanded since; what it ends is owed too.
        let is_stopping = |name: &Name| {
            let rows = self.rows_of(name);
            rows.iter().any(|r| r.state == Some(ActivityState::Stopping))
        };
        if owed || self.state.tracks.keys().any(is_stopping) {
            return;
        }
        let now = self.now;
        let events = self
            .state
            .machine
            .handle(now, [power_policy::interruption::Signal::Restored]);
        self.machine_events(events);
    }
}

/// Whether a stage shifts activities.
fn is_move(stage: &Stage) -> bool {
    let shifts = |kind: &StepKind| {
        matches!(
            kind,
            StepKind::Activity {
                verb: Verb::TakeIn | Verb::MoveOut,
                ..
            }
        )
    };
    stage.steps.iter().any(|s| shifts(&s.kind))
}

/// What an event about a step is about.
fn subject_of(kind: &StepKind) -> &str {
    match kind {
        StepKind::Divert { line, .. } => line.as_str(),
        StepKind::Intake { server, .. } | StepKind::Host { server, .. } => server.as_str(),
        StepKind::Activity { activity, .. } => activity.as_str(),
    }
}
