//! How far the plan in force has been carried out.

use std::collections::BTreeMap;

use power_policy::model::Name;
use power_policy::plan::{HostState, Stage, StepKind, Verb};

use super::Engine;
use super::facts::Outcome;
use super::slice::StepKey;
use super::state::{CommandedPair, InForce, Issued, Record, Track};
use crate::limits::{MAX_LINE_STEP_MILLIS, MAX_STEP_MILLIS};

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
    /// Until when a new plan waits for it, once its stage is released: it moves a line.
    pub(super) moves_until: Option<u64>,
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
    /// Stops of plans that were replaced, which were released and of which nothing had been heard.
    pub(super) unheard: Vec<UnheardStop>,
}

/// A stop that may have been begun, or not.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct UnheardStop {
    pub(super) pep: Name,
    /// What the agent holds when it has taken what replaced the plan: its rows tell of the stop from then on.
    pub(super) generation: u64,
    /// When nothing will be heard of it any more.
    pub(super) until: u64,
}

impl Execution {
    /// Nothing of the plan is done yet.
    pub(super) fn new(in_force: &InForce, issued: &BTreeMap<Name, Issued>) -> Self {
        let mut steps = Vec::new();
        for (pep, i) in issued
            .iter()
            .filter(|(pep, i)| i.generation == in_force.generation_of(pep))
        {
            for stage in i.slice.stages.iter().filter(|s| !s.local) {
                steps.extend(stage.steps.iter().map(|s| StepState {
                    pep: pep.clone(),
                    key: s.key,
                    order: stage.order,
                    kind: s.kind.clone(),
                    outcome: None,
                    deadline: None,
                    moves_until: None,
                    settled: false,
                }));
            }
        }
        steps.sort_by(|a, b| (a.order, &a.pep, a.key).cmp(&(b.order, &b.pep, b.key)));
        Self {
            generation: in_force.generation,
            steps,
            last_at: in_force.made_at,
            unheard: Vec::new(),
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
    /// How long a step may take by what its custodian says, within bounds, twice, and the way there and back.
    pub(super) fn limit_millis(&self, kind: &StepKind) -> u64 {
        let slack = self.settings.slack_millis();
        let most = match kind {
            StepKind::Divert { .. } => MAX_LINE_STEP_MILLIS,
            _ => MAX_STEP_MILLIS,
        };
        self.told_millis(kind)
            .min(most)
            .saturating_mul(2)
            .saturating_add(slack)
    }

    /// How long a step takes by what the custodian of the thing says.
    fn told_millis(&self, kind: &StepKind) -> u64 {
        match kind {
            StepKind::Activity {
                activity,
                server,
                verb,
                peer,
                ..
            } => {
                let rows = self.rows_of(activity);
                // Both ends of a move say how long it takes.
                let ends = rows
                    .iter()
                    .filter(|r| r.server == *server || Some(&r.server) == peer.as_ref());
                let own = rows.iter().find(|r| r.server == *server);
                match verb {
                    Verb::Run | Verb::Cap => 0,
                    Verb::Stop | Verb::MoveOut => own.map_or(0, |r| r.stop_millis),
                    Verb::Start | Verb::TakeIn => ends
                        .map(|r| r.move_millis.max(r.stop_millis))
                        .max()
                        .unwrap_or(0)
                        .saturating_add(15_000),
                }
            }
            StepKind::Divert { line, .. } => {
                let custody = self.view.lines.get(line);
                let fact = custody.and_then(|custody| self.sources().line_fact(line, custody));
                fact.map_or(0, |l| l.switch_millis)
            }
            StepKind::Intake { .. } => 0,
            StepKind::Host { server, state } => {
                let custody = self.view.servers.get(server);
                let fact = custody.and_then(|custody| self.sources().server_fact(server, custody));
                match state {
                    // It may have to end a halt first.
                    HostState::On => fact
                        .map_or(300_000, |s| s.boot_millis.saturating_add(s.halt_millis))
                        .saturating_add(15_000),
                    HostState::Off => fact.map_or(0, |s| s.halt_millis),
                    HostState::Standby => 0,
                }
            }
        }
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
            let limit = self.limit_millis(&kind);
            let deadline = at.saturating_add(limit);
            let line_limit = limit.saturating_sub(self.settings.slack_millis() / 5 * 4);
            let expected = self.is_expected(&self.execution.steps[i].pep, &kind);
            let step = &mut self.execution.steps[i];
            step.deadline = Some(deadline);
            step.settled = !is_awaited(&step.kind) || !expected;
            if matches!(step.kind, StepKind::Divert { .. }) {
                step.moves_until = Some(at.saturating_add(line_limit));
            }
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
    pub(super) fn is_expected(&self, pep: &Name, _kind: &StepKind) -> bool {
        let sources = self.sources();
        let booting = self.execution.steps.iter().any(|s| {
            s.deadline.is_some()
                && matches!(&s.kind, StepKind::Host { server, state: HostState::On }
                    if self.view.servers.get(server).is_some_and(|c| c.pep == *pep))
        });
        sources.is_armed(pep) && (sources.is_reachable(pep) || booting)
    }

    /// The stops of which nothing has been heard, now that a plan of this generation takes the place of the one in force.
    pub(super) fn unheard_stops(&self, generation: u64) -> Vec<UnheardStop> {
        let is_stop = |kind: &StepKind| {
            matches!(
                kind,
                StepKind::Activity {
                    verb: Verb::Stop | Verb::MoveOut,
                    ..
                }
            )
        };
        let outstanding = self
            .execution
            .steps
            .iter()
            .filter(|s| is_stop(&s.kind) && !s.settled);
        let new = outstanding.filter_map(|s| {
            Some(UnheardStop {
                pep: s.pep.clone(),
                generation,
                until: s.deadline?,
            })
        });
        // An agent that has not even taken the plan before has still to tell of what was before that.
        let old = self.execution.unheard.iter().filter(|s| self.is_awaited_from(s));
        old.cloned().chain(new).collect()
    }

    /// Whether an agent may still tell of a stop.
    fn is_awaited_from(&self, stop: &UnheardStop) -> bool {
        let peer = self.peers.get(&stop.pep).filter(|p| p.connected);
        let held = peer.and_then(|p| p.facts.as_deref()).map(|f| f.held.generation);
        self.now < stop.until && held.is_some_and(|held| held < stop.generation)
    }

    /// Whether any agent may have begun a stop without our knowing.
    pub(super) fn is_stop_unheard_of(&self) -> bool {
        self.execution.unheard.iter().any(|s| self.is_awaited_from(s))
    }

    /// When the last of them is given up.
    pub(super) fn next_unheard(&self) -> Option<u64> {
        let awaited = self.execution.unheard.iter().filter(|s| self.is_awaited_from(s));
        awaited.map(|s| s.until).min()
    }

    /// Until when lines may be moving, if any are. A plan that is made meanwhile would count on what they carried before,
    /// and ask more of a reserve than it can give: lines switch in a moment, so that it is worth to wait for them.
    pub(super) fn lines_move_until(&self) -> Option<u64> {
        self.execution
            .steps
            .iter()
            .filter(|s| !s.settled && self.is_known(&s.pep))
            .filter_map(|s| s.moves_until)
            .filter(|until| *until > self.now)
            .max()
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
}
