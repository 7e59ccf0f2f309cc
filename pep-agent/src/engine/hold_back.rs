//! The last line of defence: the energy of a graceful stop is set aside, always.
//!
//! An agent that is cut off and whose own reserve nears what its stops need stops its own activities first, whatever
//! plan it holds or lacks. A reserve that gives nothing while the mains is away is not what feeds the server; nor is it
//! where the plan's intakes over lines carry the whole server. Such a server lives by its plan's local stages alone.
//! A reserve whose last reading has gone stale is not believed to give nothing: where its mains is not seen to be there, it
//! is taken to carry all that it feeds.

use std::collections::{BTreeMap, BTreeSet};

use power_policy::model::{Mains, Name, ReserveState};

use super::action::{ActionKind, EngineEvent};
use super::facts::{ActivityKey, ActivityState, Thing};
use super::{Engine, Millis, StepKind};

/// What a reserve that nobody can read is taken to lose: its last draw, this much faster (permille).
const AGEING_PERMILLE: u64 = 1_250;

impl Engine {
    /// Stops what must be stopped now for its stop to be graceful. Only while cut off.
    pub(super) fn hold_back(&mut self, now: Millis) {
        if self.lost.is_none() || !self.armed {
            return;
        }
        // Servers on the same reserves share what is in them.
        let mut groups: BTreeMap<BTreeSet<Name>, Vec<ActivityKey>> = BTreeMap::new();
        for key in self.stoppable_running() {
            let reserves = self.reserves_of(&BTreeSet::from([&key.server]));
            if !self.held_back.contains(&key.server) && !self.is_fed_by_lines(&key.server) {
                groups
                    .entry(reserves.into_iter().cloned().collect())
                    .or_default()
                    .push(key);
            }
        }
        for (reserves, running) in groups {
            let reserves: BTreeSet<&Name> = reserves.iter().collect();
            if let Some(why) = self.why_now(&reserves, &running, now) {
                self.tell(EngineEvent::Told(format!(
                    "cut off from every PDP and {why}: stopping {} activities",
                    running.len()
                )));
                for activity in running {
                    self.held_back.insert(activity.server.clone());
                    if !self.is_stopping(&activity) {
                        self.start_action(
                            now,
                            ActionKind::Stop {
                                activity,
                                moved: false,
                            },
                            None,
                        );
                    }
                }
            }
        }
    }

    /// Why these activities have to stop now, if they have to.
    fn why_now(&self, reserves: &BTreeSet<&Name>, running: &[ActivityKey], now: Millis) -> Option<String> {
        let charge = self.charge_joules(reserves, now)?;
        let readings = || {
            reserves
                .iter()
                .filter_map(|name| self.inventory.reserves.get(*name)?.reading())
        };
        // Not "gives nothing": a reserve whose power nobody measures may give all, and so may one that nobody reads.
        let gives_nothing = |name: &Name| {
            let reading = self.inventory.reserves.get(name).and_then(Thing::reading);
            reading.is_none_or(|reading| reading.milliwatts.is_some_and(|milliwatts| milliwatts <= 0))
                && self.supposed_milliwatts(name, now).is_none()
        };
        if reserves.iter().all(|name| gives_nothing(name)) {
            return None;
        }
        if readings().any(|reading| matches!(reading.state, ReserveState::Low | ReserveState::Depleted)) {
            return Some("the own reserve says that it is low".to_owned());
        }
        let needed = self.hold_back_joules(reserves, running);
        (charge <= needed)
            .then(|| format!("the own reserve holds {charge} J, a graceful stop needs {needed} J"))
    }

    /// Reserves that feed any of these servers without a line.
    pub(super) fn reserves_of(&self, servers: &BTreeSet<&Name>) -> BTreeSet<&Name> {
        self.inventory
            .reserves
            .iter()
            .filter(|(_, thing)| thing.facts.feeds.iter().any(|server| servers.contains(server)))
            .map(|(name, _)| name)
            .collect()
    }

    /// Energy in these reserves together, in joules, the cut-off included.
    ///
    /// A reading that is old is aged by its own draw and a quarter more; one that is stale, where its mains may be away, by
    /// what it would have to carry since then. `None` where none was ever read.
    pub(super) fn charge_joules(&self, reserves: &BTreeSet<&Name>, now: Millis) -> Option<u64> {
        let mut sum: Option<u64> = None;
        for name in reserves {
            let seen = self
                .inventory
                .reserves
                .get(*name)
                .and_then(|thing| thing.seen.as_ref());
            let Some((seen, charge)) = seen.and_then(|seen| Some((seen, seen.reading.charge_joules?))) else {
                continue;
            };
            let draw = seen
                .reading
                .milliwatts
                .and_then(|mw| u64::try_from(mw).ok())
                .unwrap_or(0);
            let age = seen.age(now);
            let supposed = self.supposed_milliwatts(name, now).unwrap_or(0);
            // Before the mains went it gave nothing.
            let without_mains = self.lost.map_or(0, |lost| lost.elapsed(now).min(age));
            // mW times ms is microjoules; a permille more makes nanojoules.
            let drawn =
                (u128::from(draw) * u128::from(age)).max(u128::from(supposed) * u128::from(without_mains));
            let aged = drawn * u128::from(AGEING_PERMILLE) / 1_000_000_000;
            let left = charge.saturating_sub(u64::try_from(aged).unwrap_or(u64::MAX));
            sum = Some(sum.unwrap_or(0).saturating_add(left));
        }
        sum
    }

    /// What a reserve is taken to give, in milliwatts, whose last reading is stale and whose mains is not seen to be there:
    /// all that the servers draw which it feeds. A reading from before the mains went says "nothing", and nothing about now.
    fn supposed_milliwatts(&self, reserve: &Name, now: Millis) -> Option<u64> {
        let facts = &self.inventory.reserves.get(reserve)?.facts;
        if self.lost.is_none() || !self.inventory.is_stale(reserve, now) {
            return None;
        }
        let inlets = facts
            .feeds
            .iter()
            .filter_map(|server| self.inventory.servers.get(server))
            .flat_map(|thing| thing.facts.inlets.iter().map(|inlet| &inlet.domain));
        let domains: BTreeSet<&Name> = match &facts.mains {
            Some((domain, _)) => BTreeSet::from([domain]),
            None => inlets.collect(),
        };
        let is_there = self
            .inventory
            .domains(now)
            .iter()
            .any(|seen| domains.contains(&seen.name) && seen.mains == Mains::Present);
        let fed = facts.feeds.iter().map(|server| self.full_milliwatts(server));
        (!is_there).then(|| fed.sum())
    }

    /// Whether the plan's intakes over lines, as far as they are released, carry the whole server.
    fn is_fed_by_lines(&self, server: &Name) -> bool {
        let Some(execution) = &self.execution else {
            return false;
        };
        // What a later stage says of the same reserve and line replaces what an earlier one said.
        let mut intakes: BTreeMap<(&Name, &Name), u64> = BTreeMap::new();
        for stage in execution
            .plan
            .stages
            .iter()
            .filter(|stage| execution.is_released(stage))
        {
            for step in &stage.steps {
                if let StepKind::Intake {
                    server: fed,
                    reserve,
                    line: Some(line),
                    milliwatts,
                } = &step.kind
                    && fed == server
                {
                    intakes.insert((reserve, line), u64::from(*milliwatts));
                }
            }
        }
        let carried: u64 = intakes.values().sum();
        carried > 0 && carried >= self.full_milliwatts(server)
    }

    /// What a server draws with all that runs on it now.
    fn full_milliwatts(&self, server: &Name) -> u64 {
        let idle = self
            .inventory
            .servers
            .get(server)
            .map_or(0, |thing| u64::from(thing.facts.idle_milliwatts));
        let activities = self.inventory.activities.iter().filter(|(key, thing)| {
            key.server == *server
                && thing.reading().is_some_and(|reading| {
                    !matches!(reading.state, ActivityState::Stopped | ActivityState::Absent)
                })
        });
        activities.fold(idle, |sum, (_, thing)| {
            let measured = thing.reading().and_then(|reading| reading.milliwatts);
            sum.saturating_add(u64::from(measured.unwrap_or(thing.facts.milliwatts)))
        })
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
    fn hold_back_joules(&self, reserves: &BTreeSet<&Name>, running: &[ActivityKey]) -> u64 {
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
        for name in reserves {
            if let Some(thing) = self.inventory.reserves.get(*name) {
                efficiency = efficiency.min(thing.facts.efficiency_permille.clamp(1, 1_000));
                cutoff = cutoff.saturating_add(thing.facts.cutoff_joules);
            }
        }
        let drawn = (wanted * 1_000).div_ceil(u128::from(efficiency) * 1_000_000);
        u64::try_from(drawn).unwrap_or(u64::MAX).saturating_add(cutoff)
    }
}
