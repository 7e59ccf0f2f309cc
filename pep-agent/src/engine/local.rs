//! What the agent decides alone: how long its mains is lost, and, while no PDP is connected, its local stages.
//!
//! It evaluates only elapsed time since its mains was lost, its own reserve, and mains lost or back; and only in
//! stages that are marked local (design: "Who releases stages").

use std::collections::BTreeSet;

use power_policy::model::{Mains, Name};

use super::action::EngineEvent;
use super::{Engine, Lost, Millis, Stage, StageTrigger, StepKind};

/// While cut off and without mains, how often an estimate that ages is looked at, in milliseconds.
const WATCH_MILLIS: u64 = 1_000;

/// Mains that an earlier life of this agent saw lost.
///
/// It may have come back since, and the server may have been switched on because of that: nothing is done before the
/// mains was looked at. Where nobody can look within the time after which a sight is stale, it is taken to be as it was,
/// except after a boot of the machine: somebody has switched it on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Remembered {
    pub(super) lost: Lost,
    /// When it counts without a look; known with the first instant.
    counts_at: Option<Millis>,
}

impl Remembered {
    pub(super) fn new(lost: Lost) -> Self {
        Self {
            lost,
            counts_at: None,
        }
    }
}

impl Engine {
    /// Keeps the instant at which the mains of an own server was lost.
    pub(super) fn watch_mains(&mut self, now: Millis) {
        let domains = self.inventory.domains(now);
        let state = |name: &Name| {
            domains
                .iter()
                .find(|domain| domain.name == *name)
                .map_or(Mains::Unknown, |domain| domain.mains)
        };
        let (mut lost, mut back, mut any) = (false, true, false);
        for (_, thing) in self.inventory.own_servers() {
            let seen: Vec<Mains> = thing
                .facts
                .inlets
                .iter()
                .map(|inlet| state(&inlet.domain))
                .collect();
            any |= !seen.is_empty();
            // Dual-corded: lost only with the last feed.
            lost |= !seen.is_empty() && seen.iter().all(|mains| *mains == Mains::Absent);
            back &= seen.is_empty() || seen.contains(&Mains::Present);
        }
        let first_look_millis = self.longest_sight_millis();
        if let Some(remembered) = &mut self.remembered {
            let counts_at = remembered
                .counts_at
                .get_or_insert(now.saturating_add(first_look_millis));
            if lost || (*counts_at <= now && !remembered.lost.rebooted) {
                self.lost = Some(Lost {
                    rebooted: false,
                    ..remembered.lost
                });
                self.remembered = None;
                self.revision += 1;
            }
        }
        // What is unknown or unstable ends nothing and begins nothing.
        if lost && self.lost.is_none() {
            self.lost = Some(Lost {
                since_millis: now,
                before_millis: 0,
                rebooted: false,
            });
            self.revision += 1;
        } else if any && back && !lost && (self.lost.is_some() || self.remembered.is_some()) {
            self.lost = None;
            self.remembered = None;
            self.held_back.clear();
            self.revision += 1;
            if let Some(execution) = &mut self.execution {
                execution.mains_back = true;
            }
        }
    }

    /// When mains that is remembered to be lost counts without a look.
    pub(super) fn remembered_deadline(&self) -> Option<Millis> {
        let remembered = self.remembered.filter(|r| !r.lost.rebooted)?;
        remembered.counts_at
    }

    /// How long it takes at most until a sight of the mains is stale.
    fn longest_sight_millis(&self) -> u64 {
        let inlets = self.inventory.inlets.values().map(|t| t.facts.stale_after_millis);
        let reserves = self.inventory.reserves.values();
        let reserves = reserves
            .filter(|t| t.facts.mains.is_some())
            .map(|t| t.facts.stale_after_millis);
        inlets.chain(reserves).max().unwrap_or(0)
    }

    /// Releases the local stages whose trigger has come. Only while cut off.
    pub(super) fn release_locally(&mut self, now: Millis) {
        let Some(execution) = &self.execution else {
            return;
        };
        let mut released = Vec::new();
        for stage in execution.plan.stages.iter().filter(|stage| stage.local) {
            if execution.released.is_some_and(|order| stage.order <= order)
                || execution.released_locally.contains(&stage.order)
            {
                continue;
            }
            let why = match (stage.trigger, self.lost) {
                (StageTrigger::MainsLost, Some(_)) => Some("the mains is lost".to_owned()),
                (StageTrigger::ElapsedMillis(threshold), Some(lost)) if lost.elapsed(now) >= threshold => {
                    Some(format!("the mains is lost for {} ms", lost.elapsed(now)))
                }
                (StageTrigger::ReserveBelowJoules(threshold), Some(_)) => self
                    .charge_joules(&self.reserves_of(&servers_of(stage)), now)
                    .filter(|charge| *charge <= threshold)
                    .map(|charge| format!("the own reserve holds {charge} J")),
                (StageTrigger::MainsBack, None) if execution.mains_back => {
                    Some("the mains is back".to_owned())
                }
                _ => None,
            };
            if let Some(why) = why {
                released.push((stage.order, why));
            }
        }
        for (order, why) in released {
            if let Some(execution) = &mut self.execution {
                execution.released_locally.insert(order);
            }
            self.revision += 1;
            self.tell(EngineEvent::Told(format!(
                "cut off from every PDP: stage {order} is released here, {why}"
            )));
        }
    }

    /// When something of this module is due next.
    pub(super) fn local_deadline(&self, now: Millis) -> Option<Millis> {
        if self.connected {
            return None;
        }
        let lost = self.lost?;
        let stages = self.execution.iter().flat_map(|execution| {
            execution
                .plan
                .stages
                .iter()
                .filter(|s| s.local && !execution.is_released(s))
        });
        let elapsed = stages.filter_map(|stage| match stage.trigger {
            StageTrigger::ElapsedMillis(threshold) => {
                Some(now.saturating_add(threshold.saturating_sub(lost.elapsed(now))))
            }
            _ => None,
        });
        let is_watched = !self.reserves_of(&self.working_servers()).is_empty();
        let watch = is_watched.then(|| now.saturating_add(WATCH_MILLIS));
        elapsed.chain(watch).min()
    }
}

/// The servers that a stage's steps name: those whose reserve its trigger means.
fn servers_of(stage: &Stage) -> BTreeSet<&Name> {
    let servers = stage.steps.iter().filter_map(|step| match &step.kind {
        StepKind::Activity { server, .. }
        | StepKind::Host { server, .. }
        | StepKind::Intake { server, .. } => Some(server),
        StepKind::Divert { .. } => None,
    });
    servers.collect()
}
