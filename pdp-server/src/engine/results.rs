//! What comes of the steps of the plan in force: by the PEPs' words, by what is seen, and by time.

use serde_json::json;

use power_policy::model::{ActivityState, Name, Phase, Powered};
use power_policy::plan::text::Duration;
use power_policy::plan::{HostState, StepKind, Verb};

use super::contingency::ContextCommand;
use super::event::EventKind;
use super::execution::StepState;
use super::facts::{Outcome, PepFacts};
use super::slice::StepKey;
use super::state::{CommandedPair, FailedStep, Record, failure_key};
use super::{Engine, Output, SETTLE_MILLIS};
use crate::limits::MAX_ACTION_FAILURES;

impl Engine {
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
        if self.phase() == Phase::Normal && self.owed().next().is_some() {
            self.want_plan_later(
                super::STANDING_SETTLE_MILLIS,
                &format!("{pep} is back, and something is owed a start"),
            );
        }
        let Some(issued) = self.state.issued.get(pep).cloned() else {
            // A plan for it follows when custody is decided.
            if self.phase() != Phase::Normal {
                self.want_plan_later(SETTLE_MILLIS, &format!("{pep} has joined"));
            }
            return;
        };
        let assignment = self.assignment(pep, &issued);
        let holds_it = held.generation == issued.generation && held.digest == Some(issued.digest);
        if let (false, Some(contingency)) = (holds_it, issued.contingency) {
            // Its connection ended before it had activated what it holds, as far as is known.
            let activate = ContextCommand::Activate(contingency, assignment);
            self.outputs.push_back(Output::Context(activate));
        } else if !holds_it {
            self.outputs.push_back(Output::Install(assignment));
        } else if held.term != self.state.term || held.released_stage != assignment.released_stage {
            // The claim of exchanges E8: same rows, same generation, our term.
            self.outputs.push_back(Output::Release(assignment));
        }
        let awaited = self.execution.steps.iter().any(|s| s.pep == *pep && !s.settled);
        if self.phase() != Phase::Normal && !awaited && !holds_it {
            self.want_plan_later(SETTLE_MILLIS, &format!("{pep} has joined"));
        }
    }

    /// Outcomes that a PEP reports for the plan in force.
    pub(super) fn results(&mut self, pep: &Name, facts: &PepFacts) {
        let in_force = self.state.in_force.as_ref();
        let generation = in_force.map_or(0, |p| p.generation_of(pep));
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
        let waiting: Vec<(usize, StepKind)> = self
            .execution
            .steps
            .iter()
            .enumerate()
            .filter(|(_, s)| s.outcome == Some(Outcome::Done) && !s.settled)
            .map(|(i, s)| (i, s.kind.clone()))
            .collect();
        for (at, kind) in waiting {
            if self.is_seen_done(&kind) {
                self.execution.steps[at].settled = true;
                self.execution.last_at = self.now;
                if matches!(kind, StepKind::Activity { .. }) {
                    let step = self.execution.steps[at].clone();
                    self.tell_done(&step, None);
                }
            }
        }
    }

    /// Whether what is reported bears out that a step is done. An agent that says so, and reports the contrary, is not
    /// believed: energy that a stop was to leave must not be given away while the activity draws it.
    fn is_seen_done(&self, kind: &StepKind) -> bool {
        match kind {
            StepKind::Host { server, state } => self.is_host(server, *state),
            StepKind::Activity {
                activity,
                server,
                verb,
                ..
            } => {
                let rows = self.rows_of(activity);
                let state = rows.iter().find(|r| r.server == *server).and_then(|r| r.state);
                match (verb, state) {
                    (_, None) | (Verb::Run | Verb::Cap, _) => true,
                    (Verb::Stop | Verb::MoveOut, Some(state)) => !matches!(
                        state,
                        ActivityState::Running | ActivityState::Starting | ActivityState::Stopping
                    ),
                    (Verb::Start | Verb::TakeIn, Some(state)) => state == ActivityState::Running,
                }
            }
            StepKind::Divert { .. } | StepKind::Intake { .. } => true,
        }
    }

    /// Whether a server is in a state, as far as is seen.
    pub(super) fn is_host(&self, server: &Name, state: HostState) -> bool {
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

    fn tell_done(&mut self, step: &StepState, took_millis: Option<u64>) {
        let data = json!({
            "pep": step.pep, "stage": step.order, "step": step.key.to_string(), "took_millis": took_millis
        });
        let text = match took_millis {
            Some(millis) => format!("done in {}: {}", Duration(millis), step.kind),
            None => format!("done: {}", step.kind),
        };
        self.event(EventKind::ActionDone, subject_of(&step.kind), text, data);
    }

    pub(super) fn take_outcome(&mut self, at: usize, outcome: Outcome, millis: u64, reason: &str) {
        let step = self.execution.steps[at].clone();
        if !outcome.is_final() {
            return;
        }
        if outcome.is_failure() {
            self.execution.steps[at].settled = true;
            self.failed(&step, outcome, reason);
            return;
        }
        if self.is_drill() {
            // Every actuator was held: done is checked, and nothing has changed that could be seen.
            self.execution.steps[at].settled = true;
            let data = json!({
                "pep": step.pep, "stage": step.order, "step": step.key.to_string(), "took_millis": millis
            });
            let text = format!("drill: {} would be done", step.kind);
            self.event(EventKind::ActionDone, subject_of(&step.kind), text, data);
            return;
        }
        let is_seen = self.is_seen_done(&step.kind);
        if is_seen || !matches!(step.kind, StepKind::Activity { .. }) {
            self.tell_done(&step, Some(millis));
        }
        self.execution.steps[at].settled = is_seen;
        match &step.kind {
            StepKind::Divert {
                line,
                reserve,
                server,
                milliwatts,
            } => self.diverted(line, reserve, server, *milliwatts),
            StepKind::Host { server, state } => match state {
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
            },
            StepKind::Activity { .. } | StepKind::Intake { .. } => {}
        }
    }

    pub(super) fn diverted(&mut self, line: &Name, reserve: &Name, server: &Name, milliwatts: u64) {
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
    pub(super) fn failed(&mut self, step: &StepState, outcome: Outcome, reason: &str) {
        let key = failure_key(&step.kind);
        let of = FailedStep {
            generation: self.execution.generation,
            pep: step.pep.clone(),
            step: step.key,
        };
        // Its PEP tells it anew to each life of the PDP: it is planned around again, and counted and told once.
        let is_known = self.state.failed_steps.contains(&of);
        let times = self.sources().failures(&key) + u32::from(!is_known);
        if !is_known {
            self.record(Record::Failed {
                step: key.clone(),
                times,
                of: Some(of),
            });
        }
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
        if !is_known {
            self.event(EventKind::ActionFailed, subject_of(&step.kind), text, data);
        }
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
        self.want_plan(SETTLE_MILLIS, &format!("{pep} refused its part"));
    }

    /// The connection of a PEP ended: where the plan switched off every server that it speaks for, that is the result. A PEP
    /// that still has a server with power has not been switched off with one of the others.
    pub(super) fn expect_off(&mut self, pep: &Name, servers: &[Name]) -> bool {
        let ordered = |server: &Name| {
            let is_it = |kind: &StepKind| matches!(kind, StepKind::Host { server: s, state: HostState::Off } if s == server);
            let outstanding = |s: &StepState| s.pep == *pep && s.deadline.is_some() && !s.settled;
            self.execution
                .steps
                .iter()
                .position(|s| outstanding(s) && is_it(&s.kind))
        };
        let ends: Vec<(&Name, Option<usize>)> = servers.iter().map(|s| (s, ordered(s))).collect();
        let is_off =
            |(server, step): &(&Name, Option<usize>)| step.is_some() || self.state.off.contains_key(*server);
        if ends.is_empty() || !ends.iter().all(is_off) {
            return false;
        }
        for (server, step) in ends {
            let Some(at) = step else { continue };
            let step = &mut self.execution.steps[at];
            step.outcome = Some(Outcome::Done);
            step.settled = true;
            self.switched_off(server);
        }
        // It has no server with power, so that what else was asked of it has ended too.
        for s in self.execution.steps.iter_mut().filter(|s| s.pep == *pep) {
            s.settled |= s.deadline.is_some();
        }
        self.execution.last_at = self.now;
        true
    }

    pub(super) fn switched_off(&mut self, server: &Name) {
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

    /// Steps whose time is over count as failed.
    pub(super) fn end_overdue(&mut self) {
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
            let silent = if step.outcome == Some(Outcome::Done) {
                format!("{} says that it is done, and reports the contrary", step.pep)
            } else if self.is_known(&step.pep) {
                format!("{} has not reported it", step.pep)
            } else {
                format!("{} is not there", step.pep)
            };
            self.failed(&step, Outcome::TimedOut, &silent);
        }
    }
}

/// What an event about a step is about.
fn subject_of(kind: &StepKind) -> &str {
    match kind {
        StepKind::Divert { line, .. } => line.as_str(),
        StepKind::Intake { server, .. } | StepKind::Host { server, .. } => server.as_str(),
        StepKind::Activity { activity, .. } => activity.as_str(),
    }
}
