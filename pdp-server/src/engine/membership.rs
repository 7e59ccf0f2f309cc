//! Who is part of the cluster, and for how long those are awaited or remembered who are gone.

use power_policy::interruption::Signal;
use power_policy::model::{Name, Phase};

use super::authority::{Right, right_to_server};
use super::cluster::{self, Peer};
use super::event::EventKind;
use super::state::Record;
use super::{Engine, SETTLE_MILLIS, STANDING_SETTLE_MILLIS, facts};

impl Engine {
    /// Decides custody anew.
    pub(super) fn settle_view(&mut self) {
        self.view_due = None;
        let reports = self
            .peers
            .iter()
            .filter_map(|(pep, p)| p.facts.as_deref().map(|f| (pep, f)));
        let view = cluster::resolve(reports, &self.settings.peers, &self.view);
        let changed = view != self.view;
        self.view = view;
        self.view_alarms();
        let sites = self.sources().sites();
        let events = self.state.machine.set_sites(self.now, sites);
        self.machine_events(events);
        if changed {
            self.touched = self.activity_peps.keys().cloned().collect();
        }
        let within = if self.phase() == Phase::Normal {
            STANDING_SETTLE_MILLIS
        } else {
            SETTLE_MILLIS
        };
        if self.phase() != Phase::MainsGood && self.is_structure_news() {
            self.want_plan_later(within, "what PEPs report has changed");
        }
    }

    /// Servers that a PEP speaks for: as their custodian, by a claim that counts.
    pub(super) fn servers_of(&self, pep: &Name) -> Vec<Name> {
        let Some(facts) = self.peers.get(pep).and_then(|p| p.facts.as_deref()) else {
            return Vec::new();
        };
        let counts = |server: &Name| match self.view.servers.get(server) {
            Some(custody) => custody.pep == *pep,
            // Custody is decided a moment after the first report.
            None => right_to_server(&self.settings.peers, pep, server) != Right::None,
        };
        facts
            .servers
            .iter()
            .filter(|s| s.role == facts::Role::Custodian && counts(&s.name))
            .map(|s| s.name.clone())
            .collect()
    }

    /// Whether every server that a PEP speaks for was switched off by plan, and it with them.
    pub(super) fn is_switched_off(&self, pep: &Name) -> bool {
        let own = self.servers_of(pep);
        !own.is_empty() && own.iter().all(|s| self.state.off.contains_key(s))
    }

    /// PEPs that did not come back in time after a restart are gone.
    pub(super) fn end_awaiting(&mut self) {
        let now = self.now;
        let gone: Vec<Name> = self
            .peers
            .iter()
            .filter(|(_, p)| !p.connected && p.awaited_until.is_some_and(|t| t <= now))
            .map(|(n, _)| n.clone())
            .collect();
        for pep in &gone {
            if let Some(peer) = self.peers.get_mut(pep) {
                peer.awaited_until = None;
            }
            let text =
                format!("{pep} has not come back since the PDP started; its servers are assumed to run on");
            self.event(EventKind::PeerLost, pep.as_str(), text, serde_json::Value::Null);
            let own = self.servers_of(pep);
            self.touch_servers(&own);
        }
        if !gone.is_empty() {
            self.want_plan(0, "PEPs have not come back");
        }
    }

    /// When a PEP that is gone counts as away to a restoration that waits for it.
    pub(super) fn next_out_of_reach(&self) -> Option<u64> {
        if self.phase() != Phase::Restoring {
            return None;
        }
        let gone = self.peers.values().filter(|p| !p.connected);
        gone.filter_map(|p| Some(p.lost_at?.saturating_add(self.settings.await_millis)))
            .filter(|at| *at > self.now)
            .min()
    }

    pub(super) fn next_forgetting(&self) -> Option<u64> {
        if self.phase() != Phase::Normal {
            return None;
        }
        self.peers
            .iter()
            .filter(|(_, p)| !p.connected)
            .filter_map(|(pep, p)| self.forget_at(pep, p))
            .min()
    }

    pub(super) fn forget_at(&self, pep: &Name, peer: &Peer) -> Option<u64> {
        // Who was switched off by plan, with all it has, is expected back, however long it takes.
        let lost = peer.lost_at.filter(|_| !self.is_switched_off(pep))?;
        Some(lost.saturating_add(self.settings.hold_millis))
    }

    /// In quiet days, PEPs that are gone for long are no part of the cluster any more.
    pub(super) fn forget_peers(&mut self) {
        if self.next_forgetting().is_none_or(|t| t > self.now) {
            return;
        }
        let gone: Vec<Name> = self
            .peers
            .iter()
            .filter(|(_, p)| !p.connected)
            .filter(|(pep, p)| self.forget_at(pep, p).is_some_and(|t| t <= self.now))
            .map(|(n, _)| n.clone())
            .collect();
        for pep in gone {
            let before = self.peers.remove(&pep).and_then(|p| p.facts);
            self.index_activities(&pep, before.as_deref(), None);
            self.record(Record::Forgotten { pep: pep.clone() });
            let forget = Signal::Forget { pep: pep.clone() };
            let events = self.state.machine.handle(self.now, [forget]);
            self.machine_events(events);
            self.refusals.remove(&pep);
            self.clear_alarms_of(&pep);
            let text = format!("{pep} has been gone for long and is no part of the cluster any more");
            self.event(EventKind::PeerLost, pep.as_str(), text, serde_json::Value::Null);
            self.view_due = Some(self.now);
        }
    }
}
