//! What PEPs say: they come, report, are heard, and go.

use std::collections::BTreeSet;
use std::sync::Arc;

use power_policy::interruption::{self, Signal};
use power_policy::model::{Name, Phase};

use super::cluster::Peer;
use super::event::EventKind;
use super::facts::{self, Held, PepFacts, Readings};
use super::state::Record;
use super::{End, Engine, SETTLE_MILLIS, authority};
use crate::limits;

impl Engine {
    /// Whether a PEP is known, or one more may be.
    pub fn has_room_for(&self, pep: &Name) -> bool {
        self.peers.contains_key(pep) || self.peers.len() < limits::MAX_PEPS
    }

    pub(super) fn opened(&mut self, pep: Name, address: String) {
        if !self.has_room_for(&pep) {
            let text = format!(
                "{pep} is not taken in: {} PEPs are known already",
                limits::MAX_PEPS
            );
            self.event(EventKind::Alarm, pep.as_str(), text, serde_json::Value::Null);
            return;
        }
        let now = self.now;
        let patience = self.settings.await_millis;
        let peer = self.peers.entry(pep).or_default();
        peer.connected = true;
        // Who comes and goes without a word does not begin anew each time.
        let anew = peer.lost_at.is_none_or(|t| t.saturating_add(patience) <= now);
        if anew || peer.owes_from.is_none() {
            peer.owes_from = Some(now);
            peer.overdue = false;
        }
        peer.address = address;
        peer.heard_at = now;
        peer.lost_at = None;
        peer.reported = false;
        peer.synchronised = false;
        peer.acknowledged = 0;
    }

    pub(super) fn closed(&mut self, pep: &Name, reason: &str, end: End) {
        let Some(peer) = self.peers.get_mut(pep).filter(|p| p.connected) else {
            return;
        };
        if peer.facts.is_none() {
            // Nothing is known of it, on this connection or an earlier one.
            self.peers.remove(pep);
            self.clear_alarms_of(pep);
            return;
        }
        peer.connected = false;
        peer.synchronised = false;
        peer.lost_at = Some(self.now);
        self.ahead.forget(pep);
        let own = self.servers_of(pep);
        let watched = self.peers.get(pep).and_then(|p| p.facts.as_deref());
        let unseen = watched.map_or_else(Vec::new, |f| newly_seen(None, f));
        self.touch_servers(&unseen);
        let switched_off = end == End::Theirs && self.expect_off(pep, &own);
        self.touch_servers(&own);
        self.view_due.get_or_insert(self.now);
        if switched_off {
            return;
        }
        let text = match self.phase() {
            Phase::Normal => format!("{pep} is gone ({reason})"),
            _ => format!("{pep} is gone ({reason}); it is planned around, its servers are assumed to run on"),
        };
        self.event(EventKind::PeerLost, pep.as_str(), text, serde_json::Value::Null);
        if self.phase() != Phase::Normal {
            self.want_plan(SETTLE_MILLIS, &format!("{pep} is gone"));
        }
    }

    /// What a PEP holds is known: stages may be released to it.
    pub(super) fn synchronised(&mut self, pep: &Name) {
        let Some(peer) = self.peers.get_mut(pep) else {
            return;
        };
        peer.synchronised = true;
        peer.owes_from = None;
        let was_overdue = std::mem::take(&mut peer.overdue);
        self.set_alarm(&overdue_alarm(pep), pep.as_str(), None);
        if was_overdue {
            self.reach_changed(pep, &format!("{pep} has told what it holds"));
        }
    }

    /// PEPs that are connected and do not say what they hold are planned around, and hold nobody up any more.
    pub(super) fn end_synchronising(&mut self) {
        let now = self.now;
        let late: Vec<Name> = self
            .peers
            .iter()
            .filter(|(_, p)| self.told_by(p).is_some_and(|t| t <= now))
            .map(|(pep, _)| pep.clone())
            .collect();
        for pep in late {
            if let Some(peer) = self.peers.get_mut(&pep) {
                peer.overdue = true;
            }
            let text = format!(
                "{pep} has been connected for more than {} and has not told what it holds: it is planned around",
                power_policy::plan::text::Duration(self.settings.await_millis)
            );
            self.set_alarm(&overdue_alarm(&pep), pep.as_str(), Some(text));
            self.reach_changed(&pep, &format!("{pep} does not tell what it holds"));
        }
    }

    /// When the next PEP that is connected and has not said what it holds counts as away.
    pub(super) fn next_overdue(&self) -> Option<u64> {
        self.peers.values().filter_map(|p| self.told_by(p)).min()
    }

    fn told_by(&self, peer: &Peer) -> Option<u64> {
        let waits = peer.connected && !peer.synchronised && !peer.overdue;
        let from = peer.owes_from.filter(|_| waits)?;
        Some(from.saturating_add(self.settings.await_millis))
    }

    /// A PEP counts as there, or as away, from now on.
    fn reach_changed(&mut self, pep: &Name, reason: &str) {
        let own = self.servers_of(pep);
        self.touch_servers(&own);
        if self.phase() != Phase::Normal {
            self.want_plan(SETTLE_MILLIS, reason);
        }
    }

    pub(super) fn facts(&mut self, pep: &Name, facts: Arc<PepFacts>) {
        let now = self.now;
        let Some(peer) = self.peers.get_mut(pep).filter(|p| p.connected) else {
            return;
        };
        let first = !peer.reported;
        let before = peer.facts.clone();
        let facts = self.without_incredible(pep, facts);
        let Some(peer) = self.peers.get_mut(pep) else {
            return;
        };
        peer.awaited_until = None;
        peer.take_facts(now, Arc::clone(&facts));
        self.index_activities(pep, before.as_deref(), Some(&facts));
        let structure = facts.structure();
        let changed = self
            .state
            .facts
            .get(pep)
            .is_none_or(|f| f.comparable() != structure.comparable());
        if changed {
            self.record(Record::Facts {
                pep: pep.clone(),
                facts: Arc::new(structure),
            });
        }
        if changed || first {
            let due = now + SETTLE_MILLIS;
            self.view_due = Some(self.view_due.map_or(due, |d| d.min(due)));
        }
        let own = self.servers_of(pep);
        self.expect_on(pep, &own, &facts);
        self.touch_servers(&own);
        // What runs on a server whose agent is gone is known by who sees that server.
        self.touch_servers(&newly_seen(before.as_deref(), &facts));
        let mut signals: Vec<Signal> = facts
            .domains
            .iter()
            .map(|d| Signal::MainsReport {
                pep: pep.clone(),
                domain: d.name.clone(),
                witness: d.witness,
                mains: d.mains,
                age_millis: d.age_millis,
            })
            .collect();
        // What it no longer speaks of must not stand as it was said before: a sign of life would renew it.
        let named: BTreeSet<&Name> = facts.domains.iter().map(|d| &d.name).collect();
        let silent = before.iter().flat_map(|b| &b.domains);
        let silent = silent.filter(|d| !named.contains(&d.name));
        signals.extend(silent.map(|d| Signal::Silent {
            pep: pep.clone(),
            domain: d.name.clone(),
        }));
        signals.push(Signal::Heard { pep: pep.clone() });
        let events = self.state.machine.handle(now, signals);
        self.tell_ignored(pep, &events);
        self.machine_events(events);
        self.meter_all(pep);
        if first {
            self.joined(pep, &facts);
        }
        self.results(pep, &facts);
    }

    /// One alarm for all that a PEP says of domains and that does not count, for as long as it says so.
    fn tell_ignored(&mut self, pep: &Name, events: &[interruption::Event]) {
        let mut ignored = events.iter().filter_map(|event| match event {
            interruption::Event::ReportIgnored { domain, reason, .. } => Some((domain, reason)),
            _ => None,
        });
        let first = ignored.next();
        let more = match ignored.count() {
            0 => String::new(),
            n => format!(" (and of {n} more)"),
        };
        let text = first.map(|(domain, reason)| {
            format!("what {pep} says of domain {domain}{more} does not count: {reason}")
        });
        self.set_alarm(&format!("witness {pep}"), pep.as_str(), text);
    }

    /// What a PEP reports, without a plan that no PDP can have made: it counts as one that holds none and carries nothing
    /// out, because it refuses whatever it is sent.
    fn without_incredible(&mut self, pep: &Name, mut facts: Arc<PepFacts>) -> Arc<PepFacts> {
        let incredible = !authority::is_believable(&facts.held);
        let text = incredible.then(|| {
            format!(
                "{pep} holds a plan of term {} generation {}, which no PDP has made: it is planned around until its state is \
                 set aside",
                facts.held.term, facts.held.generation
            )
        });
        self.set_alarm(&format!("held {pep}"), pep.as_str(), text);
        if incredible {
            Arc::make_mut(&mut facts).held = Held::default();
        }
        facts
    }

    pub(super) fn readings(&mut self, pep: &Name, readings: &Readings) {
        let now = self.now;
        let Some(peer) = self.peers.get_mut(pep).filter(|p| p.connected) else {
            return;
        };
        peer.take_readings(now, readings);
        self.meter_all(pep);
        self.heard(pep);
    }

    pub(super) fn heard(&mut self, pep: &Name) {
        let now = self.now;
        let Some(peer) = self.peers.get_mut(pep).filter(|p| p.connected) else {
            return;
        };
        peer.heard_at = now;
        if !peer.reported {
            // What it said on its last connection is not its word now: it may have been away while the mains came back.
            return;
        }
        let events = self
            .state
            .machine
            .handle(now, [Signal::Heard { pep: pep.clone() }]);
        self.machine_events(events);
    }

    pub(super) fn installed(&mut self, pep: &Name, generation: u64) {
        self.refusals.remove(pep);
        self.set_alarm(&format!("refusal {pep}"), pep.as_str(), None);
        if let Some(peer) = self.peers.get_mut(pep) {
            peer.acknowledged = peer.acknowledged.max(generation);
        }
    }

    pub(super) fn is_known(&self, pep: &Name) -> bool {
        self.peers.get(pep).is_some_and(|p| p.connected)
    }
}

fn overdue_alarm(pep: &Name) -> String {
    format!("overdue {pep}")
}

/// Servers of others that a PEP sees on or off otherwise than before.
fn newly_seen(before: Option<&PepFacts>, facts: &PepFacts) -> Vec<Name> {
    let before: &[facts::ServerFact] = before.map_or(&[], |b| &b.servers);
    let watched = facts.servers.iter().filter(|s| s.role == facts::Role::Witness);
    watched
        .filter(|s| !before.iter().any(|b| b.name == s.name && b.powered == s.powered))
        .map(|s| s.name.clone())
        .collect()
}
