//! The metered view: energy that each reserve has given and taken, from the charges that its custodian reports.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;

use power_policy::interruption::Signal;
use power_policy::model::{Name, Phase};
use power_policy::plan::text::Energy;

use super::Engine;
use super::event::EventKind;
use super::facts::Role;
use super::state::{Metered, Record};

/// All reserves.
#[derive(Debug, Clone, Default)]
pub(super) struct Meter {
    pub(super) reserves: BTreeMap<Name, Metered>,
    /// The machine has been told that the reserves have recovered.
    recovered_told: bool,
}

impl Meter {
    /// Goes on from what was kept.
    pub(super) fn resume(reserves: BTreeMap<Name, Metered>) -> Self {
        Self {
            reserves,
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

    fn take(&mut self, reserve: &Name, charge: u64) {
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
        if charge < m.last_millijoules {
            m.drawn_millijoules += m.last_millijoules - charge;
        } else {
            m.charged_millijoules += charge - m.last_millijoules;
        }
        m.last_millijoules = charge;
        m.lowest_millijoules = m.lowest_millijoules.min(charge);
    }

    /// Whether the reserves have regained half of what the interruption took.
    fn is_recovered(&self) -> bool {
        let sum = |f: fn(&Metered) -> u64| self.reserves.values().map(f).fold(0u64, u64::saturating_add);
        let taken = sum(|m| m.began_millijoules.saturating_sub(m.lowest_millijoules));
        let regained = sum(|m| m.last_millijoules.saturating_sub(m.lowest_millijoules));
        regained >= taken.div_ceil(2)
    }
}

impl Engine {
    /// Takes over the charges that a PEP is custodian of.
    pub(super) fn meter_all(&mut self, pep: &Name) {
        let Some(peer) = self.peers.get(pep) else { return };
        let charges: Vec<(Name, u64)> = peer
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
            .map(|(name, c)| (name.clone(), c.millijoules))
            .collect();
        for (reserve, charge) in &charges {
            self.meter.take(reserve, *charge);
            self.tell_low(reserve, *charge);
        }
        let resting = matches!(self.phase(), Phase::MainsGood | Phase::Restoring);
        if resting && !self.meter.recovered_told && self.meter.is_recovered() {
            self.meter.recovered_told = true;
            let events = self.state.machine.handle(self.now, [Signal::ReservesRecovered]);
            self.machine_events(events);
        }
    }

    /// Has the metered view kept, without reserves that no report names any more. Charges themselves are telemetry and
    /// are not kept as they come.
    pub(super) fn keep_metered(&mut self) {
        let facts = self.peers.values().filter_map(|p| p.facts.as_deref());
        let named: BTreeSet<&Name> = facts.flat_map(|f| &f.reserves).map(|r| &r.name).collect();
        self.meter.reserves.retain(|name, _| named.contains(name));
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
        let fact = self
            .view
            .reserves
            .get(reserve)
            .and_then(|c| self.peers.get(&c.pep))
            .and_then(|p| p.facts.as_deref())
            .and_then(|f| f.reserves.iter().find(|r| r.name == *reserve));
        let Some(fact) = fact else { return };
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
