//! What the agent decides alone: how long its mains is lost, and, while no PDP is connected, its local stages.
//!
//! It evaluates only elapsed time since its mains was lost, its own reserve, and mains lost or back; and only in
//! stages that are marked local (design: "Who releases stages").

use std::collections::BTreeSet;

use power_policy::model::{Mains, Name, ReserveState};

use super::action::{ActionKind, EngineEvent};
use super::facts::{ActivityKey, ActivityState};
use super::{Engine, Lost, Millis, StageTrigger};

/// While cut off and without mains, how often an estimate that ages is looked at, in milliseconds.
const WATCH_MILLIS: u64 = 1_000;

/// What a reserve that nobody can read is taken to lose: its last draw, this much faster (permille).
const AGEING_PERMILLE: u64 = 1_250;

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
        // What is unknown or unstable ends nothing and begins nothing.
        if lost && self.lost.is_none() {
            self.lost = Some(Lost {
                since_millis: now,
                before_millis: 0,
            });
            self.revision += 1;
        } else if any && back && !lost && self.lost.is_some() {
            self.lost = None;
            self.held_back = false;
            self.revision += 1;
            if let Some(execution) = &mut self.execution {
                execution.mains_back = true;
            }
        }
    }

    /// Releases the local stages whose trigger has come. Only while cut off.
    pub(super) fn release_locally(&mut self, now: Millis) {
        let charge = self.own_charge_joules(now);
        let Some(execution) = &mut self.execution else {
            return;
        };
        let mut told = Vec::new();
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
                (StageTrigger::ReserveBelowJoules(threshold), Some(_)) => charge
                    .filter(|charge| *charge <= threshold)
                    .map(|charge| format!("the own reserve holds {charge} J")),
                (StageTrigger::MainsBack, None) if execution.mains_back => {
                    Some("the mains is back".to_owned())
                }
                _ => None,
            };
            if let Some(why) = why {
                execution.released_locally.insert(stage.order);
                told.push(format!(
                    "cut off from every PDP: stage {} is released here, {why}",
                    stage.order
                ));
            }
        }
        for text in told {
            self.revision += 1;
            self.tell(EngineEvent::Told(text));
        }
    }

    /// Near its own hold-back the agent stops its own activities first: their graceful stop is set aside, always.
    pub(super) fn hold_back(&mut self, now: Millis) {
        if self.lost.is_none() || self.held_back || !self.armed {
            return;
        }
        let Some(charge) = self.own_charge_joules(now) else {
            return;
        };
        let running = self.stoppable_running();
        if running.is_empty() {
            return;
        }
        let needed = self.hold_back_joules(&running);
        let low = self.own_reserves().iter().any(|name| {
            self.inventory
                .reserves
                .get(*name)
                .and_then(|thing| thing.reading())
                .is_some_and(|reading| matches!(reading.state, ReserveState::Low | ReserveState::Depleted))
        });
        if charge > needed && !low {
            return;
        }
        self.held_back = true;
        let why = if low {
            "the own reserve says that it is low".to_owned()
        } else {
            format!("the own reserve holds {charge} J, a graceful stop needs {needed} J")
        };
        self.tell(EngineEvent::Told(format!(
            "cut off from every PDP and {why}: stopping {} activities",
            running.len()
        )));
        for key in running {
            if !self.is_stopping(&key) {
                self.start_action(
                    now,
                    ActionKind::Stop {
                        activity: key,
                        moved: false,
                    },
                    None,
                );
            }
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
        let watch = (!self.own_reserves().is_empty()).then(|| now.saturating_add(WATCH_MILLIS));
        elapsed.chain(watch).min()
    }

    /// Reserves that feed own servers without a line.
    fn own_reserves(&self) -> BTreeSet<&Name> {
        let working = self.working_servers();
        self.inventory
            .reserves
            .iter()
            .filter(|(_, thing)| thing.facts.feeds.iter().any(|server| working.contains(server)))
            .map(|(name, _)| name)
            .collect()
    }

    /// Energy above the cut-off in the own reserves, in joules, plus the cut-off: what their triggers compare.
    ///
    /// A reading that is old is aged by its own draw and a quarter more. `None` where no own reserve was ever read.
    pub(super) fn own_charge_joules(&self, now: Millis) -> Option<u64> {
        let mut sum: Option<u64> = None;
        for name in self.own_reserves() {
            let Some(seen) = self
                .inventory
                .reserves
                .get(name)
                .and_then(|thing| thing.seen.as_ref())
            else {
                continue;
            };
            let Some(charge) = seen.reading.charge_joules else {
                continue;
            };
            let draw = seen
                .reading
                .milliwatts
                .and_then(|mw| u64::try_from(mw).ok())
                .unwrap_or(0);
            // mW times ms is microjoules; a permille more makes nanojoules.
            let aged =
                u128::from(draw) * u128::from(seen.age(now)) * u128::from(AGEING_PERMILLE) / 1_000_000_000;
            let left = charge.saturating_sub(u64::try_from(aged).unwrap_or(u64::MAX));
            sum = Some(sum.unwrap_or(0).saturating_add(left));
        }
        sum
    }

    fn stoppable_running(&self) -> Vec<ActivityKey> {
        self.inventory
            .activities
            .iter()
            .filter(|(_, thing)| {
                thing.facts.stoppable
                    && thing.reading().is_some_and(|reading| {
                        reading.denied.is_none()
                            && matches!(reading.state, ActivityState::Running | ActivityState::Starting)
                    })
            })
            .map(|(key, _)| key.clone())
            .collect()
    }

    /// Energy in the stores that a graceful stop of these activities needs, in joules, the cut-off included.
    ///
    /// Their own stop energy, the idle draw of their servers until the slowest has stopped, the halts, and some
    /// seconds at full load; all divided by the poorest inverter's efficiency. Rounded up.
    fn hold_back_joules(&self, running: &[ActivityKey]) -> u64 {
        let mut microjoules: u128 = 0;
        let mut full_milliwatts: u128 = 0;
        let servers: BTreeSet<&Name> = running.iter().map(|key| &key.server).collect();
        for server in servers {
            let mut slowest = 0;
            for key in running.iter().filter(|key| key.server == *server) {
                let Some(thing) = self.inventory.activities.get(key) else {
                    continue;
                };
                let facts = &thing.facts;
                let draw = thing
                    .reading()
                    .and_then(|r| r.milliwatts)
                    .unwrap_or(facts.milliwatts);
                slowest = slowest.max(facts.stop_millis);
                microjoules += (u128::from(facts.stop_joules) * 1_000_000)
                    .max(u128::from(draw) * u128::from(facts.stop_millis));
                full_milliwatts += u128::from(draw);
            }
            if let Some(thing) = self.inventory.servers.get(server) {
                let facts = &thing.facts;
                microjoules += u128::from(facts.idle_milliwatts) * u128::from(slowest);
                microjoules += u128::from(facts.halt_joules) * 1_000_000;
                full_milliwatts += u128::from(facts.idle_milliwatts);
            }
        }
        let wanted = microjoules * u128::from(self.settings.hold_back_permille) / 1_000
            + full_milliwatts * u128::from(self.settings.hold_back_millis);
        let mut efficiency = 1_000;
        let mut cutoff = 0_u64;
        for name in self.own_reserves() {
            if let Some(thing) = self.inventory.reserves.get(name) {
                efficiency = efficiency.min(thing.facts.efficiency_permille.clamp(1, 1_000));
                cutoff = cutoff.saturating_add(thing.facts.cutoff_joules);
            }
        }
        let drawn = (wanted * 1_000).div_ceil(u128::from(efficiency) * 1_000_000);
        u64::try_from(drawn).unwrap_or(u64::MAX).saturating_add(cutoff)
    }
}
