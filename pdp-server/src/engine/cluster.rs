//! The PEPs, and whose figures count for what (custody).
//!
//! Who may claim what is [`authority`](super::authority)'s. Two custodians with the same right to one name are a contest:
//! the thing is armed for nobody until it is resolved, and an alarm says so.

use std::collections::BTreeMap;
use std::sync::Arc;

use power_policy::model::Name;

use super::authority::{Right, right_to_line, right_to_reserve, right_to_server};
use super::facts::{PepFacts, Readings, Role};
use crate::config::PeerPolicy;

/// A figure with the time for which it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Charge {
    /// Energy in the store.
    pub(super) millijoules: u64,
    /// Power drawn from the store; below zero while it charges; none if it was not told.
    pub(super) milliwatts: Option<i64>,
    /// When it held.
    pub(super) at: u64,
    /// It came with its power in a reading; else the power is that of the reading before.
    pub(super) is_reading: bool,
}

/// One PEP. What is durable of it stands in [`State`](super::state::State).
#[derive(Debug, Clone, Default)]
pub(super) struct Peer {
    pub(super) connected: bool,
    /// Where it connects from.
    pub(super) address: String,
    /// When it was heard from last.
    pub(super) heard_at: u64,
    /// When its connection ended.
    pub(super) lost_at: Option<u64>,
    /// Since when it is owed to tell what it holds: connections that end before that count together.
    pub(super) owes_from: Option<u64>,
    /// It has not said what it holds in the time in which it should have.
    pub(super) overdue: bool,
    /// It has reported on this connection.
    pub(super) reported: bool,
    /// Synchronisation is over, or was not asked for: stages may be released to it.
    pub(super) synchronised: bool,
    /// Until when it is awaited after a restart of the PDP.
    pub(super) awaited_until: Option<u64>,
    /// What it reports; after a restart of the PDP, what it reported before, without telemetry.
    pub(super) facts: Option<Arc<PepFacts>>,
    /// Charges of reserves that it reports.
    pub(super) charges: BTreeMap<Name, Charge>,
    /// Draws of servers that it reports, with the time.
    pub(super) draws: BTreeMap<Name, (u64, u64)>,
    /// What it reported when a plan was asked for because of its reports.
    pub(super) planned_from: Option<PepFacts>,
    /// The generation that it has acknowledged.
    pub(super) acknowledged: u64,
}

impl Peer {
    /// Takes new facts in. Rows that are the same as before keep their age: an incremental REQ brings one row, and
    /// says nothing about the others.
    pub(super) fn take_facts(&mut self, now: u64, facts: Arc<PepFacts>) {
        let before = self.facts.take();
        let earlier = before.as_deref().filter(|_| self.reported);
        for r in &facts.reserves {
            let same = earlier.is_some_and(|b| b.reserves.iter().any(|o| o == r));
            if same && self.charges.contains_key(&r.name) {
                continue;
            }
            let at = now.saturating_sub(r.age_millis);
            let newer = self.charges.get(&r.name).is_none_or(|c| c.at <= at);
            if newer {
                let milliwatts = self.charges.get(&r.name).and_then(|c| c.milliwatts);
                let charge = Charge {
                    millijoules: r.charge_millijoules,
                    milliwatts,
                    at,
                    is_reading: false,
                };
                self.charges.insert(r.name.clone(), charge);
            }
        }
        self.charges
            .retain(|name, _| facts.reserves.iter().any(|r| r.name == *name));
        self.draws
            .retain(|name, _| facts.servers.iter().any(|s| s.name == *name));
        self.facts = Some(facts);
        self.reported = true;
        self.heard_at = now;
    }

    /// Takes readings in; of things that the PEP does not report, and older than what is known, none.
    pub(super) fn take_readings(&mut self, now: u64, readings: &Readings) {
        self.heard_at = now;
        let Some(facts) = &self.facts else { return };
        for r in &readings.reserves {
            let known = facts.reserves.iter().any(|f| f.name == r.reserve);
            let at = now.saturating_sub(r.age_millis);
            if known && self.charges.get(&r.reserve).is_none_or(|c| c.at <= at) {
                let charge = Charge {
                    millijoules: r.charge_millijoules,
                    milliwatts: Some(r.milliwatts),
                    at,
                    is_reading: true,
                };
                self.charges.insert(r.reserve.clone(), charge);
            }
        }
        for s in &readings.servers {
            if facts.servers.iter().any(|f| f.name == s.server) {
                let at = now.saturating_sub(s.age_millis);
                self.draws.insert(s.server.clone(), (s.milliwatts, at));
            }
        }
    }
}

/// Who speaks for a thing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Custody {
    pub(super) pep: Name,
    /// Another PEP claims it with the same right.
    pub(super) contested: bool,
}

/// Whose figures count.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct View {
    pub(super) servers: BTreeMap<Name, Custody>,
    pub(super) reserves: BTreeMap<Name, Custody>,
    pub(super) lines: BTreeMap<Name, Custody>,
    /// Claims that do not count and contests: subject and words.
    pub(super) objections: Vec<(String, String)>,
}

/// Decides custody over all that is reported. `before` breaks ties: who had it keeps it.
pub(super) fn resolve<'a>(
    peers: impl Iterator<Item = (&'a Name, &'a PepFacts)>,
    policy: &PeerPolicy,
    before: &View,
) -> View {
    type Claims = BTreeMap<Name, Vec<(Right, Name)>>;
    let mut servers = Claims::new();
    let mut reserves = Claims::new();
    let mut lines = Claims::new();
    for (pep, facts) in peers {
        let claim = |claims: &mut Claims, name: &Name, right: Right| {
            claims.entry(name.clone()).or_default().push((right, pep.clone()));
        };
        for s in facts.servers.iter().filter(|s| s.role == Role::Custodian) {
            let right = right_to_server(policy, pep, &s.name);
            claim(&mut servers, &s.name, right);
        }
        for r in facts.reserves.iter().filter(|r| r.role == Role::Custodian) {
            let right = right_to_reserve(policy, pep, &r.name);
            claim(&mut reserves, &r.name, right);
        }
        for l in facts.lines.iter().filter(|l| l.role == Role::Custodian) {
            let right = right_to_line(policy, pep, &l.name);
            claim(&mut lines, &l.name, right);
        }
    }
    let mut view = View::default();
    let mut objections = Vec::new();
    for (what, claims, kept, had) in [
        ("server", servers, &mut view.servers, &before.servers),
        ("reserve", reserves, &mut view.reserves, &before.reserves),
        ("line", lines, &mut view.lines, &before.lines),
    ] {
        for (name, claimants) in claims {
            let best = claimants.iter().map(|(r, _)| *r).max().unwrap_or(Right::None);
            for (_, pep) in claimants.iter().filter(|(r, _)| *r == Right::None || *r < best) {
                objections.push((
                    name.to_string(),
                    format!(
                        "{pep} reports {what} {name} as its own, which its [[peer]] entry does not allow; its figures do \
                         not count"
                    ),
                ));
            }
            if best == Right::None {
                continue;
            }
            let equals: Vec<&Name> = claimants
                .iter()
                .filter(|(r, _)| *r == best)
                .map(|(_, pep)| pep)
                .collect();
            let held = had.get(&name).map(|c| &c.pep);
            let pep = held
                .filter(|h| equals.contains(h))
                .or(equals.iter().min().copied());
            let Some(pep) = pep.cloned() else { continue };
            let contested = equals.len() > 1;
            if contested {
                let all = equals.iter().map(|n| n.as_str()).collect::<Vec<_>>().join(", ");
                objections.push((
                    name.to_string(),
                    format!(
                        "{what} {name} has two custodians ({all}): it counts for nobody else until one of them lets go; \
                         name one in [[peer]]"
                    ),
                ));
            }
            kept.insert(name, Custody { pep, contested });
        }
    }
    view.objections = objections;
    view
}

#[cfg(test)]
mod tests {
    use power_policy::grouping::Glob;

    use super::super::fixture;
    use super::*;
    use crate::config::PeerRule;

    fn rule(name: &str, reserves: Option<&[&str]>) -> PeerRule {
        let globs = |list: &[&str]| list.iter().map(|g| Glob::new(g).unwrap()).collect();
        PeerRule {
            name: Glob::new(name).unwrap(),
            armed: true,
            servers: Some(globs(&["s-*"])),
            reserves: reserves.map(globs),
            lines: None,
        }
    }

    fn facts(server: &str, reserve: &str) -> PepFacts {
        PepFacts {
            servers: vec![fixture::server(server)],
            reserves: vec![fixture::reserve(reserve, 100)],
            ..PepFacts::default()
        }
    }

    fn view(policy: &PeerPolicy, peps: &[(&str, PepFacts)], before: &View) -> View {
        let peps: Vec<(Name, PepFacts)> = peps.iter().map(|(n, f)| (fixture::name(n), f.clone())).collect();
        resolve(peps.iter().map(|(n, f)| (n, f)), policy, before)
    }

    #[test]
    fn without_a_rule_a_pep_speaks_for_the_server_of_its_name_alone() {
        let policy = PeerPolicy::default();
        let v = view(
            &policy,
            &[("a", facts("a", "ra")), ("b", facts("c", "rb"))],
            &View::default(),
        );
        assert_eq!(v.servers.keys().map(|n| n.as_str()).collect::<Vec<_>>(), ["a"]);
        assert_eq!(v.reserves.len(), 2);
        assert_eq!(v.objections.len(), 1);
        assert!(v.objections[0].1.starts_with("b reports server c as its own"));
    }

    #[test]
    fn two_custodians_are_a_contest_which_the_file_resolves() {
        let mut policy = PeerPolicy {
            rules: vec![rule("a", None), rule("b", None)],
            ..PeerPolicy::default()
        };
        let peps = [("a", facts("s-1", "r")), ("b", facts("s-2", "r"))];
        let first = view(&policy, &peps[1..], &View::default());
        assert_eq!(first.reserves[&fixture::name("r")].pep.as_str(), "b");
        // Who had it keeps it, but it is contested.
        let both = view(&policy, &peps, &first);
        let custody = &both.reserves[&fixture::name("r")];
        assert_eq!((custody.pep.as_str(), custody.contested), ("b", true));
        assert!(both.objections[0].1.contains("has two custodians (a, b)"));
        policy.rules[0] = rule("a", Some(&["r"]));
        let resolved = view(&policy, &peps, &both);
        let custody = &resolved.reserves[&fixture::name("r")];
        assert_eq!((custody.pep.as_str(), custody.contested), ("a", false));
        assert!(
            resolved.objections[0]
                .1
                .starts_with("b reports reserve r as its own")
        );
    }

    #[test]
    fn an_incremental_report_does_not_make_other_rows_younger() {
        let mut peer = Peer::default();
        let mut f = facts("a", "r");
        f.reserves[0].age_millis = 500;
        peer.take_facts(10_000, Arc::new(f.clone()));
        let at = |p: &Peer| p.charges[&fixture::name("r")].at;
        assert_eq!(at(&peer), 9_500);
        f.servers[0].idle_milliwatts += 1;
        peer.take_facts(20_000, Arc::new(f.clone()));
        assert_eq!(at(&peer), 9_500);
        f.reserves[0].charge_millijoules -= 1;
        peer.take_facts(30_000, Arc::new(f));
        assert_eq!(at(&peer), 29_500);
    }
}
