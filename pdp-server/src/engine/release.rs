//! When stages are let out, and when a restoration is over.

use serde_json::json;

use power_policy::model::{ActivityState, Cause, Name, Phase};
use power_policy::plan::{Stage, StepKind, Trigger, Verb};

use super::event::EventKind;
use super::state::{Issued, Record};
use super::{Engine, Output};

impl Engine {
    /// When something about the release of stages is due.
    pub(super) fn next_release(&self) -> Option<u64> {
        let deadline = self
            .execution
            .steps
            .iter()
            .filter(|s| !s.settled)
            .filter_map(|s| s.deadline)
            .min();
        let halts = self.next_stage().and_then(|stage| self.halts_until(stage));
        deadline.into_iter().chain(self.trigger_time()).chain(halts).min()
    }

    /// Until when a server draws on a reserve that the stage gives to others: one that was told to halt has said that it
    /// does, and is not down yet.
    fn halts_until(&self, stage: &Stage) -> Option<u64> {
        let given: Vec<&Name> = stage
            .steps
            .iter()
            .filter_map(|step| match &step.kind {
                StepKind::Divert {
                    reserve, milliwatts, ..
                } if *milliwatts > 0 => Some(reserve),
                _ => None,
            })
            .collect();
        if given.is_empty() {
            return None;
        }
        let sources = self.sources();
        let draws_on_it = |server: &Name| {
            let facts = self.peers.values().filter_map(|peer| peer.facts.as_deref());
            let mut supplies = facts.flat_map(|facts| &facts.supplies);
            supplies.any(|supply| supply.server == *server && given.contains(&&supply.reserve))
        };
        let halting = self.state.off.keys().filter(|server| draws_on_it(server));
        halting
            .filter_map(|server| sources.down_at(server))
            .filter(|down_at| *down_at > self.now)
            .max()
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
    pub(super) fn trigger_time(&self) -> Option<u64> {
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
    pub(super) fn sum_of_charges(&self, reserves: &[Name]) -> Option<u64> {
        let sources = self.sources();
        reserves.iter().try_fold(0u64, |sum, r| {
            let (charge, _) = sources.charge(r)?;
            Some(sum.saturating_add(charge))
        })
    }

    pub(super) fn has_fired(&self, stage: &Stage) -> bool {
        if self.is_drill() {
            // Charges do not fall in a drill, and nobody waits for hours to see whether an agent could do its part.
            return stage.trigger != Trigger::MainsLost;
        }
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

    /// Whether the plan in force is that of a drill.
    pub(super) fn is_drill(&self) -> bool {
        let in_force = self.state.in_force.as_ref();
        in_force.is_some_and(|p| p.plan.cause == Cause::Drill)
    }

    /// Whether the phase lets a stage out.
    pub(super) fn may_release(&self, stage: &Stage, cause: Cause) -> bool {
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
            !self.execution.is_held_up(stage)
                && self.may_release(stage, cause)
                && self.has_fired(stage)
                && self.halts_until(stage).is_none()
        })
    }

    /// Lets out every stage whose time has come.
    pub(super) fn release_stages(&mut self) {
        self.end_overdue();
        loop {
            // A step that has just failed may be the one that the next stage builds on.
            if self.is_anyone_unsynchronised() || self.is_plan_overtaken() {
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

    pub(super) fn release(&mut self, generation: u64, stage: &Stage) {
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
            .filter(|(pep, i)| {
                let in_force = self.state.in_force.as_ref();
                in_force.is_some_and(|p| p.generation_of(pep) == i.generation)
            })
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

    /// Whether a PEP with a step that is released, or is to be released next, has yet to tell what it holds: it may have done
    /// the step already (exchanges E8: nothing is released before SSC).
    pub(super) fn is_anyone_unsynchronised(&self) -> bool {
        let sources = self.sources();
        let next = self.next_stage().map(|s| s.order);
        self.execution
            .steps
            .iter()
            .filter(|s| !s.settled && (s.deadline.is_some() || Some(s.order) == next))
            .filter_map(|s| Some((self.peers.get(&s.pep)?, &s.pep)))
            .any(|(p, pep)| sources.is_reachable(pep) && !p.synchronised)
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
        // A stop that was released before the way back was planned may have been begun, and nobody has told of it yet.
        if self.is_stop_unheard_of() {
            return;
        }
        // What nobody is there to start stays owed beyond the end: it is started when its agent is back.
        let owed = self.owed().any(|name| !self.is_out_of_reach(name));
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
