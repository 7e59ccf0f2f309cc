//! The metered view: energy that each reserve has given and taken, from the charges that its custodian reports.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;

use power_policy::interruption::Signal;
use power_policy::model::{Name, Phase};
use power_policy::plan::text::Energy;

use super::Engine;
use super::cluster::Charge;
use super::event::EventKind;
use super::facts::{ReserveFact, Role};
use super::state::{Metered, Record};

/// All reserves.
#[derive(Debug, Clone, Default)]
pub(super) struct Meter {
    pub(super) reserves: BTreeMap<Name, Metered>,
    /// The reading that was taken last from each.
    readings: BTreeMap<Name, Reading>,
    /// The machine has been told that the reserves have recovered.
    recovered_told: bool,
}

/// The power of a store at one time, as it was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Reading {
    at: u64,
    /// Out of the store; below zero while it charges.
    milliwatts: i64,
}

impl Meter {
    /// Goes on from what was kept.
    pub(super) fn resume(reserves: BTreeMap<Name, Metered>) -> Self {
        Self {
            reserves,
            readings: BTreeMap::new(),
            recovered_told: false,
        }
    }

    /// An interruption begins.
    pub(super) fn begin(&mut self) {
        self.recovered_told = false;
        for m in self.reserves.values_mut() {
            m.drawn_before_millijoules = m.drawn_millijoules;
            m.began_millijoules = m.last_millijoules;
            m.lowest_millijoules = m.last_millijoules;
        }
    }

    /// Takes a charge in, with the reading that it came with.
    fn take(&mut self, reserve: &Name, charge: u64, reading: Option<Reading>) {
        let before = match reading {
            Some(now) => self.readings.insert(reserve.clone(), now),
            None => None,
        };
        let Some(m) = self.reserves.get_mut(reserve) else {
            let first = Metered {
                last_millijoules: charge,
                began_millijoules: charge,
                lowest_millijoules: charge,
                ..Metered::default()
            };
            self.reserves.insert(reserve.clone(), first);
            return;
        };
        let gained = i128::from(charge) - i128::from(m.last_millijoules);
        let turned = before
            .zip(reading)
            .and_then(|(before, now)| drawn_in_turn(before, now, gained));
        let drawn = turned.unwrap_or_else(|| u64::try_from(-gained).unwrap_or(0));
        let charged = u64::try_from(gained + i128::from(drawn)).unwrap_or(0);
        m.drawn_millijoules = m.drawn_millijoules.saturating_add(drawn);
        m.charged_millijoules = m.charged_millijoules.saturating_add(charged);
        let turn = m.last_millijoules.saturating_sub(drawn);
        m.last_millijoules = charge;
        // Between two readings it gives first and is charged then, or the other way round: then it was never so low.
        let gave_first = before.is_some_and(|b| b.milliwatts > 0);
        let lowest = if gave_first { turn.min(charge) } else { charge };
        m.lowest_millijoules = m.lowest_millijoules.min(lowest);
    }

    /// Whether the reserves have regained half of what the interruption took.
    fn is_recovered(&self) -> bool {
        let sum = |f: fn(&Metered) -> u64| self.reserves.values().map(f).fold(0u64, u64::saturating_add);
        let taken = sum(|m| m.began_millijoules.saturating_sub(m.lowest_millijoules));
        let regained = sum(|m| m.last_millijoules.saturating_sub(m.lowest_millijoules));
        regained >= taken.div_ceil(2)
    }
}

/// What a store gave between two readings of which one found it giving and the other being charged; `None` for others.
///
/// The charge alone tells the difference of the two, so that at each return of the mains what was drawn since the last
/// reading would be set off against what was charged. With d drawn at the power p and c charged at q: c - d is what it
/// gained, and d / p + c / q the time between the readings.
fn drawn_in_turn(before: Reading, now: Reading, gained_millijoules: i128) -> Option<u64> {
    let (giving, charging) = match (before.milliwatts, now.milliwatts) {
        (b, n) if b > 0 && n < 0 => (b, n),
        (b, n) if b < 0 && n > 0 => (n, b),
        _ => return None,
    };
    let (p, q) = (i128::from(giving), -i128::from(charging));
    let millis = i128::from(now.at.saturating_sub(before.at));
    // mW * ms / 1000 = mJ.
    let drawn = (q * millis / 1000 - gained_millijoules) * p / (p + q);
    u64::try_from(drawn.max(-gained_millijoules).max(0)).ok()
}

impl Engine {
    /// Takes over the charges that a PEP is custodian of. Where readings come, they alone are metered: a report of a
    /// changed row tells no power.
    pub(super) fn meter_all(&mut self, pep: &Name) {
        let Some(peer) = self.peers.get(pep) else { return };
        let charges: Vec<(Name, Charge)> = peer
            .charges
            .iter()
            .filter(|(name, _)| self.view.reserves.get(*name).is_none_or(|c| c.pep == *pep))
            .filter(|(name, _)| {
                let custodian = |f: &super::facts::PepFacts| {
                    f.reserves
                        .iter()
                        .any(|r| r.name == **name && r.role == Role::Custodian)
                };
                peer.facts.as_deref().is_some_and(custodian)
            })
            .map(|(name, c)| (name.clone(), *c))
            .collect();
        for (reserve, charge) in &charges {
            let power = charge.milliwatts.filter(|_| charge.is_reading);
            let reading = power.map(|output| Reading {
                at: charge.at,
                milliwatts: self.store_power(reserve, output),
            });
            if reading.is_some() || !self.meter.readings.contains_key(reserve) {
                self.meter.take(reserve, charge.millijoules, reading);
            }
            self.tell_low(reserve, charge.millijoules);
        }
        let resting = matches!(self.phase(), Phase::MainsGood | Phase::Restoring);
        if resting && !self.meter.recovered_told && self.meter.is_recovered() {
            self.meter.recovered_told = true;
            let events = self.state.machine.handle(self.now, [Signal::ReservesRecovered]);
            self.machine_events(events);
        }
    }

    /// The power out of a store for a power at its output.
    fn store_power(&self, reserve: &Name, output: i64) -> i64 {
        if output <= 0 {
            return output;
        }
        let efficiency = self
            .reserve_fact(reserve)
            .map_or(1000, |fact| fact.efficiency_permille);
        output.saturating_mul(1000) / i64::from(efficiency.clamp(1, 1000))
    }

    fn reserve_fact(&self, reserve: &Name) -> Option<&ReserveFact> {
        let custody = self.view.reserves.get(reserve)?;
        let facts = self.peers.get(&custody.pep)?.facts.as_deref()?;
        facts.reserves.iter().find(|r| r.name == *reserve)
    }

    /// Has the metered view kept, without reserves that no report names any more. Charges themselves are telemetry and
    /// are not kept as they come.
    pub(super) fn keep_metered(&mut self) {
        let facts = self.peers.values().filter_map(|p| p.facts.as_deref());
        let named: BTreeSet<&Name> = facts.flat_map(|f| &f.reserves).map(|r| &r.name).collect();
        self.meter.reserves.retain(|name, _| named.contains(name));
        self.meter.readings.retain(|name, _| named.contains(name));
        if self.meter.reserves != self.state.metered {
            let reserves = self.meter.reserves.clone();
            self.record(Record::Metered { reserves });
        }
    }

    /// Told once an interruption: a reserve has less than a tenth of its capacity above its cut-off.
    fn tell_low(&mut self, reserve: &Name, charge: u64) {
        if self.phase() == Phase::Normal || self.low.contains(reserve) {
            return;
        }
        let Some(fact) = self.reserve_fact(reserve) else {
            return;
        };
        let left = charge.saturating_sub(fact.cutoff_millijoules);
        let whole = fact.capacity_millijoules.saturating_sub(fact.cutoff_millijoules);
        if left <= whole / 10 {
            self.low.insert(reserve.clone());
            let text = format!("{reserve} is low: {} left above its cut-off", Energy(left));
            let data = json!({ "left_millijoules": left });
            self.event(EventKind::ReserveLow, reserve.as_str(), text, data);
        }
    }

    /// Energy drawn in the interruption that ends, by reserve.
    pub(super) fn tell_metered(&mut self) {
        let drawn: BTreeMap<&Name, u64> = self
            .meter
            .reserves
            .iter()
            .map(|(n, m)| (n, m.drawn_millijoules - m.drawn_before_millijoules))
            .collect();
        let sum = drawn.values().copied().fold(0u64, u64::saturating_add);
        let text = format!(
            "{} were drawn from {} reserves in this interruption, as their agents meter it",
            Energy(sum),
            drawn.len()
        );
        let data = json!({ "drawn_millijoules": sum, "reserves": drawn });
        self.event(EventKind::Metered, "", text, data);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RESERVE: &str = "ups";

    fn meter() -> Meter {
        let mut meter = Meter::default();
        meter.take(&name(), 500_000, None);
        meter
    }

    fn name() -> Name {
        Name::new(RESERVE).unwrap()
    }

    fn reading(at: u64, milliwatts: i64) -> Option<Reading> {
        Some(Reading { at, milliwatts })
    }

    fn metered(meter: &Meter) -> (u64, u64) {
        let m = meter.reserves[RESERVE];
        (m.drawn_millijoules, m.charged_millijoules)
    }

    #[test]
    fn what_is_charged_is_not_set_off_against_what_was_drawn_before() {
        let mut meter = meter();
        meter.take(&name(), 500_000, reading(0, 10_000));
        // 20 s of 10 W out, then 10 s of 40 W in.
        meter.take(&name(), 700_000, reading(30_000, -40_000));
        assert_eq!(metered(&meter), (200_000, 400_000));
        assert_eq!(meter.reserves[RESERVE].lowest_millijoules, 300_000);
        // And back: 10 s of 40 W in, 20 s of 10 W out.
        meter.take(&name(), 900_000, reading(60_000, 10_000));
        assert_eq!(metered(&meter), (400_000, 800_000));
        assert_eq!(meter.reserves[RESERVE].lowest_millijoules, 300_000);
    }

    #[test]
    fn readings_that_do_not_fit_together_never_make_less_than_the_charges_tell() {
        let mut meter = meter();
        meter.take(&name(), 500_000, reading(0, 10_000));
        // It fell by more than it can have given.
        meter.take(&name(), 100_000, reading(1_000, -40_000));
        assert!(metered(&meter).0 >= 400_000, "{:?}", metered(&meter));
        let (drawn, charged) = metered(&meter);
        assert_eq!(500_000 + charged - drawn, 100_000);
        // It rose by more than it can have been charged with.
        meter.take(&name(), 900_000, reading(2_000, 10_000));
        let (drawn, charged) = metered(&meter);
        assert_eq!(500_000 + charged - drawn, 900_000);
    }
}
