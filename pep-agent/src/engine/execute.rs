//! Stages are carried out in order; each step ends with an outcome.

use power_policy::model::{Cause, Name, Powered};
use power_policy::plan::{HostState, Verb};

use super::action::{Action, ActionId, ActionKind, ActionOutcome, EngineEvent, Subject};
use super::facts::{ActivityKey, ActivityState, Joint};
use super::{Engine, Millis, Outcome, Running, Stage, Step, StepId, StepKind, StepRecord, check};
use crate::limits::MAX_REASON_OCTETS;

/// What can be done about a step now.
enum Beginning {
    /// It is settled without any action.
    Settled(Outcome, String),
    /// A driver has to do this.
    Needs(ActionKind),
    /// Something else has to end first.
    Waits,
}

impl Engine {
    /// Takes what a driver says of an action.
    pub fn handle_action_result(&mut self, now: Millis, id: ActionId, outcome: ActionOutcome) {
        if let Some(running) = self.running.remove(&id) {
            let millis = now.saturating_sub(running.started);
            let (outcome, reason) = match outcome {
                ActionOutcome::Done(note) => match self.contrary(&running.kind) {
                    Some(contrary) => (Outcome::Failed, contrary),
                    None => (Outcome::Done, note),
                },
                ActionOutcome::Failed(reason) => (Outcome::Failed, reason),
                ActionOutcome::Refused(reason) => (Outcome::Refused, reason),
            };
            if let Some((step, reason)) = running.takes_back {
                self.settle(
                    step,
                    StepRecord {
                        outcome: Outcome::Failed,
                        millis,
                        reason,
                    },
                );
            } else if running.steps.is_empty() {
                self.tell(EngineEvent::Told(format!(
                    "{}: {outcome:?}: {reason}",
                    running.kind.subject()
                )));
            }
            match &running.kind {
                ActionKind::Start {
                    activity,
                    moved: true,
                } if outcome == Outcome::Done => {
                    self.taken_in.insert(activity.clone());
                }
                ActionKind::Start { activity, .. } | ActionKind::Stop { activity, .. } => {
                    self.taken_in.remove(activity);
                }
                _ => {}
            }
            if outcome == Outcome::Done
                && running.steps.is_empty()
                && let (Some(reason), ActionKind::Start { activity, .. }) =
                    (&running.abandoned, &running.kind)
            {
                self.tell(EngineEvent::Told(format!("{}: {reason}", running.kind.subject())));
                let stop = ActionKind::Stop {
                    activity: activity.clone(),
                    moved: true,
                };
                self.start_action(now, stop, None);
            }
            for step in running.steps {
                self.settle(
                    step,
                    StepRecord {
                        outcome,
                        millis,
                        reason: reason.clone(),
                    },
                );
            }
        }
        self.advance(now);
    }

    /// What the latest reading says against a stop that a driver calls done. Readings come before the outcome.
    fn contrary(&self, kind: &ActionKind) -> Option<String> {
        let ActionKind::Stop { activity, .. } = kind else {
            return None;
        };
        let reading = self.inventory.activities.get(activity)?.reading()?;
        (reading.state == ActivityState::Running)
            .then(|| "its driver says that it has stopped, and it runs".to_owned())
    }

    /// Marks what is overdue.
    pub(super) fn expire(&mut self, now: Millis) {
        let mut overdue = Vec::new();
        for running in self.running.values_mut() {
            if !running.timed_out && running.deadline <= now {
                running.timed_out = true;
                let millis = now.saturating_sub(running.started);
                for step in &running.steps {
                    overdue.push((*step, millis, running.kind.subject()));
                }
            }
        }
        for (step, millis, subject) in overdue {
            let reason = format!("{subject}: no outcome after {millis} ms");
            self.settle(
                step,
                StepRecord {
                    outcome: Outcome::TimedOut,
                    millis,
                    reason,
                },
            );
        }
    }

    /// A placement moves as one: where one of its activities cannot be taken in, those that are up are stopped again. Their
    /// source has not stopped. The plan does not name placements; what a stage brings from one server to another is taken
    /// for one, so that more may be stopped again than has to be, and the PDP plans anew.
    pub(super) fn take_back(&mut self, now: Millis) {
        let Some(execution) = &self.execution else {
            return;
        };
        let mut backs: Vec<(ActivityKey, StepId, String)> = Vec::new();
        let mut abandoned: Vec<(StepId, String)> = Vec::new();
        for stage in &execution.plan.stages {
            let takes = stage.steps.iter().filter_map(|step| match &step.kind {
                StepKind::Activity {
                    activity,
                    server,
                    verb: Verb::TakeIn,
                    peer: Some(peer),
                    ..
                } => Some((step.id, activity, server, peer)),
                _ => None,
            });
            let takes: Vec<_> = takes.collect();
            for (id, failed, server, peer) in &takes {
                let has_failed = execution
                    .records
                    .get(id)
                    .is_some_and(|r| r.outcome.is_final() && r.outcome != Outcome::Done);
                if !has_failed {
                    continue;
                }
                let reason = format!("it is stopped again: {failed} could not be taken in with it");
                let siblings = takes.iter().filter(|(_, _, s, p)| s == server && p == peer);
                for (sibling, activity, ..) in siblings {
                    let key = ActivityKey {
                        activity: (*activity).clone(),
                        server: (*server).clone(),
                    };
                    if !execution.is_settled(*sibling) {
                        abandoned.push((*sibling, reason.clone()));
                    } else if self.taken_in.contains(&key) {
                        backs.push((key, *sibling, reason.clone()));
                    }
                }
            }
        }
        // What is being started cannot be broken off; it may be up only when this plan has been replaced.
        for (step, reason) in abandoned {
            if let Some(running) = self.running.values_mut().find(|r| r.steps.contains(&step)) {
                running.abandoned = Some(reason);
            }
        }
        for (activity, step, reason) in backs {
            if self.taken_in.remove(&activity) {
                let kind = ActionKind::Stop {
                    activity,
                    moved: true,
                };
                self.start_action(now, kind.clone(), None);
                if let Some(running) = self.running.values_mut().find(|r| !r.timed_out && r.kind == kind) {
                    running.takes_back = Some((step, reason));
                }
            }
        }
    }

    /// Begins every step that is released and can begin.
    pub(super) fn execute(&mut self, now: Millis) {
        let Some(execution) = &self.execution else {
            return;
        };
        let mut due: Vec<(Step, u32, bool)> = Vec::new();
        let mut blocked = false;
        for stage in &execution.plan.stages {
            let locally = execution.released_locally.contains(&stage.order);
            // A stage that the PDP released waits for the results of those before it. One that the agent released
            // itself holds only graceful stops and a halt, and may be running for its life: it waits for nothing.
            if !execution.is_released(stage) || (blocked && !locally) {
                continue;
            }
            for step in &stage.steps {
                if !execution.is_settled(step.id) {
                    blocked |= !locally;
                    if !execution.records.contains_key(&step.id) {
                        due.push((step.clone(), stage.order, locally));
                    }
                }
            }
        }
        let mut settled = false;
        for (step, order, locally) in due {
            match self.begin(&step.kind, step.id, order, locally) {
                Beginning::Waits => {}
                Beginning::Settled(outcome, reason) => {
                    settled = true;
                    self.settle(
                        step.id,
                        StepRecord {
                            outcome,
                            millis: 0,
                            reason,
                        },
                    );
                }
                Beginning::Needs(kind) => self.start_action(now, kind, Some(step.id)),
            }
        }
        // What was settled at once may let the next stage begin. Each round settles at least one step, so this ends.
        if settled {
            self.execute(now);
        }
    }

    fn begin(&self, kind: &StepKind, id: StepId, order: u32, locally: bool) -> Beginning {
        use Beginning::Settled;
        if let Some(fault) = check::fault_of(&self.inventory, kind) {
            return Settled(Outcome::Refused, fault.to_string());
        }
        if let StepKind::Host {
            server,
            state: HostState::Off,
        } = kind
            && let Some(why) = check::halt_fault(&self.inventory, server, self.lost.is_some())
        {
            return Settled(Outcome::Refused, why.to_owned());
        }
        let is_local_verb = matches!(
            kind,
            StepKind::Activity {
                verb: Verb::Stop | Verb::Run,
                ..
            } | StepKind::Intake { .. }
                | StepKind::Host {
                    state: HostState::Standby | HostState::Off,
                    ..
                }
        );
        if locally && !is_local_verb {
            return Settled(
                Outcome::Refused,
                format!("not while cut off from every PDP: {kind}"),
            );
        }
        let action = match self.needed(kind, id, order) {
            Ok(action) => action,
            Err(beginning) => return beginning,
        };
        let unconfirmed = self.execution.as_ref().is_some_and(|e| e.unconfirmed);
        if unconfirmed && is_for_others(&action) {
            return Beginning::Waits;
        }
        if self.is_drill() {
            return Settled(Outcome::Done, format!("drill: would {kind}"));
        }
        if !self.armed {
            return Settled(Outcome::Refused, format!("observe mode: would {kind}"));
        }
        let subject = action.subject();
        let busy = self
            .running
            .values()
            .find(|r| !r.timed_out && r.kind.subject() == subject);
        match busy {
            // The same action may be under way for a plan before this one; the step then joins it.
            Some(running) if running.kind != action => Beginning::Waits,
            _ => Beginning::Needs(action),
        }
    }

    /// The action that a step needs, or how it stands without one.
    fn needed(&self, kind: &StepKind, id: StepId, order: u32) -> Result<ActionKind, Beginning> {
        let done = |note: String| Err(Beginning::Settled(Outcome::Done, note));
        match kind {
            StepKind::Activity {
                activity,
                server,
                verb,
                milliwatts,
                ..
            } => {
                let key = ActivityKey {
                    activity: activity.clone(),
                    server: server.clone(),
                };
                let state = self
                    .inventory
                    .activities
                    .get(&key)
                    .and_then(|thing| thing.reading())
                    .map(|reading| reading.state);
                match (verb, state) {
                    (Verb::Run, state) => done(match state {
                        Some(state) => format!("nothing to do, it is {state:?}").to_lowercase(),
                        None => "nothing to do".to_owned(),
                    }),
                    (Verb::Cap, _) => Ok(ActionKind::Cap {
                        activity: key,
                        milliwatts: *milliwatts,
                    }),
                    (Verb::Stop | Verb::MoveOut, Some(ActivityState::Stopped | ActivityState::Absent)) => {
                        done("stopped already".to_owned())
                    }
                    (Verb::Stop | Verb::MoveOut, _) => Ok(ActionKind::Stop {
                        activity: key,
                        moved: *verb == Verb::MoveOut,
                    }),
                    (Verb::Start | Verb::TakeIn, Some(ActivityState::Running)) => {
                        done("runs already".to_owned())
                    }
                    (Verb::Start | Verb::TakeIn, _) => Ok(ActionKind::Start {
                        activity: key,
                        moved: *verb == Verb::TakeIn,
                    }),
                }
            }
            StepKind::Divert {
                line,
                reserve,
                server,
                milliwatts,
            } => {
                let reading = self.inventory.lines.get(line).and_then(|thing| thing.reading());
                let (Some(reserve), Some(server)) = (reserve, server) else {
                    return match reading {
                        Some(reading)
                            if reading.joined.is_empty() && !self.is_busy(&Subject::Line(line.clone())) =>
                        {
                            done("open already".to_owned())
                        }
                        _ => Ok(ActionKind::Open { line: line.clone() }),
                    };
                };
                let wanted = Joint {
                    reserve: reserve.clone(),
                    server: server.clone(),
                    milliwatts: *milliwatts,
                };
                let is_so = reading.is_some_and(|reading| {
                    let joint = reading
                        .joined
                        .iter()
                        .find(|j| j.reserve == *reserve && j.server == *server);
                    reading.state != power_policy::model::LineState::Moving
                        && match joint {
                            Some(joint) => *joint == wanted,
                            None => *milliwatts == 0,
                        }
                });
                if is_so && !self.is_busy(&Subject::Line(line.clone())) {
                    return done("so already".to_owned());
                }
                Ok(ActionKind::Join {
                    line: line.clone(),
                    reserve: reserve.clone(),
                    server: server.clone(),
                    milliwatts: *milliwatts,
                })
            }
            StepKind::Intake { .. } => done("noted".to_owned()),
            StepKind::Host { server, state } => {
                let powered = self
                    .inventory
                    .servers
                    .get(server)
                    .and_then(|thing| thing.reading())
                    .map(|reading| reading.powered);
                if *state == HostState::On {
                    return match powered {
                        Some(Powered::On) => done("on already".to_owned()),
                        _ => Ok(ActionKind::Host {
                            server: server.clone(),
                            state: *state,
                        }),
                    };
                }
                if *state == HostState::Off && powered.is_some_and(Powered::is_off) {
                    return done("off already".to_owned());
                }
                if self.is_drill() || !self.armed {
                    // Nothing was stopped, so it cannot be quiet; that is not what is asked.
                    return Ok(ActionKind::Host {
                        server: server.clone(),
                        state: *state,
                    });
                }
                self.is_quiet(server, id, order)?;
                match state {
                    HostState::Standby => done("stands by".to_owned()),
                    _ => Ok(ActionKind::Host {
                        server: server.clone(),
                        state: *state,
                    }),
                }
            }
        }
    }

    /// A host stands by or goes off only when everything that this agent manages on it has stopped.
    fn is_quiet(&self, server: &Name, id: StepId, order: u32) -> Result<(), Beginning> {
        if let Some(execution) = &self.execution {
            let waits_for = |step: &Step| {
                step.id != id
                    && !execution.is_settled(step.id)
                    && matches!(&step.kind, StepKind::Activity { server: on, .. } if on == server)
            };
            let stages = execution
                .plan
                .stages
                .iter()
                .filter(|stage: &&Stage| stage.order == order);
            if stages.flat_map(|stage| &stage.steps).any(waits_for) {
                return Err(Beginning::Waits);
            }
        }
        let busy = self.running.values().any(|r| {
            !r.timed_out && matches!(r.kind.subject(), Subject::Activity(key) if key.server == *server)
        });
        if busy {
            return Err(Beginning::Waits);
        }
        // Stopped or absent, and nothing else: one whose stop failed, or that nobody has read, may well run.
        let doubt = |state: Option<ActivityState>| match state {
            Some(ActivityState::Stopped | ActivityState::Absent) => None,
            Some(ActivityState::Failed) => Some("is in doubt"),
            Some(_) => Some("still runs"),
            None => Some("was never read"),
        };
        let unquiet = self
            .inventory
            .activities
            .iter()
            .filter(|(key, thing)| key.server == *server && thing.facts.stoppable)
            .find_map(|(key, thing)| Some((key, doubt(thing.reading().map(|reading| reading.state))?)));
        match unquiet {
            Some((key, why)) => Err(Beginning::Settled(
                Outcome::Failed,
                format!("{} {why}: a stop is graceful or it did not happen", key.activity),
            )),
            None => Ok(()),
        }
    }

    fn is_drill(&self) -> bool {
        self.execution
            .as_ref()
            .is_some_and(|execution| execution.plan.cause == Cause::Drill)
    }

    fn is_busy(&self, subject: &Subject) -> bool {
        self.running
            .values()
            .any(|r| !r.timed_out && r.kind.subject() == *subject)
    }

    /// Whether a stop of this activity is under way.
    pub(super) fn is_stopping(&self, key: &ActivityKey) -> bool {
        self.running
            .values()
            .any(|r| !r.timed_out && matches!(&r.kind, ActionKind::Stop { activity, .. } if activity == key))
    }

    /// Hands an action to its driver, or joins the step to the same one that is under way.
    pub(super) fn start_action(&mut self, now: Millis, kind: ActionKind, step: Option<StepId>) {
        let same = self.running.values_mut().find(|r| !r.timed_out && r.kind == kind);
        if let Some(running) = same {
            running.steps.extend(step);
            // It is wanted after all.
            running.abandoned = None;
        } else {
            let id = ActionId(self.next_action);
            self.next_action += 1;
            let deadline = now.saturating_add(self.time_limit(&kind));
            self.mark_moving(now, &kind);
            self.actions.push_back(Action {
                id,
                kind: kind.clone(),
            });
            let steps = step.into_iter().collect();
            self.running.insert(
                id,
                Running {
                    kind,
                    started: now,
                    deadline,
                    steps,
                    takes_back: None,
                    abandoned: None,
                    timed_out: false,
                },
            );
        }
        if let Some(step) = step {
            self.settle(
                step,
                StepRecord {
                    outcome: Outcome::Started,
                    millis: 0,
                    reason: String::new(),
                },
            );
        }
    }

    /// The state rows say at once what is under way; the driver's next reading says how it stands.
    fn mark_moving(&mut self, now: Millis, kind: &ActionKind) {
        let (key, state) = match kind {
            ActionKind::Stop { activity, .. } => (activity, ActivityState::Stopping),
            ActionKind::Start { activity, .. } => (activity, ActivityState::Starting),
            _ => return,
        };
        if let Some(seen) = self
            .inventory
            .activities
            .get_mut(key)
            .and_then(|thing| thing.seen.as_mut())
        {
            seen.at = now;
            seen.reading.state = state;
        }
    }

    /// How long an action may take, its driver's own limits and a margin included.
    fn time_limit(&self, kind: &ActionKind) -> u64 {
        let activity = |key: &ActivityKey| self.inventory.activities.get(key).map(|thing| &thing.facts);
        let own = match kind {
            ActionKind::Stop { activity: key, .. } => activity(key).map(|facts| u64::from(facts.stop_millis)),
            ActionKind::Start { activity: key, .. } => {
                activity(key).map(|facts| u64::from(facts.start_millis) + u64::from(facts.move_millis))
            }
            ActionKind::Cap { .. } => Some(0),
            ActionKind::Join { line, .. } | ActionKind::Open { line } => self
                .inventory
                .lines
                .get(line)
                .map(|thing| 2 * u64::from(thing.facts.switch_millis)),
            ActionKind::Host { server, state } => self.inventory.servers.get(server).map(|thing| {
                let millis = match state {
                    // It may have to end a halt first.
                    HostState::On => thing.facts.boot_millis.saturating_add(thing.facts.halt_millis),
                    _ => thing.facts.halt_millis,
                };
                2 * u64::from(millis)
            }),
        };
        own.unwrap_or(0)
            .saturating_add(self.settings.action_margin_millis)
    }

    fn settle(&mut self, step: StepId, record: StepRecord) {
        let Some(execution) = &mut self.execution else {
            return;
        };
        let reason = shortened(&record.reason);
        let record = StepRecord { reason, ..record };
        let failed = matches!(record.outcome, Outcome::Failed | Outcome::TimedOut);
        // A late failure after a time-out is the same failure.
        let told = execution
            .records
            .get(&step)
            .is_some_and(|before| matches!(before.outcome, Outcome::Failed | Outcome::TimedOut));
        let event = (failed && !told).then(|| EngineEvent::StepFailed {
            step,
            reason: record.reason.clone(),
        });
        execution.records.insert(step, record);
        self.revision += 1;
        if let Some(event) = event {
            self.tell(event);
        }
    }
}

/// Whether an action is more than a graceful end of what is the agent's own: what no agent does that is cut off.
fn is_for_others(action: &ActionKind) -> bool {
    match action {
        ActionKind::Start { .. } | ActionKind::Join { .. } | ActionKind::Open { .. } => true,
        ActionKind::Stop { moved, .. } => *moved,
        ActionKind::Host { state, .. } => *state == HostState::On,
        ActionKind::Cap { .. } => false,
    }
}

/// `text` without control characters and within [`MAX_REASON_OCTETS`], as the wire wants it.
fn shortened(text: &str) -> String {
    let mut kept = String::with_capacity(text.len().min(MAX_REASON_OCTETS));
    for character in text.chars() {
        let character = if character.is_control() { ' ' } else { character };
        if kept.len() + character.len_utf8() > MAX_REASON_OCTETS {
            break;
        }
        kept.push(character);
    }
    kept
}
