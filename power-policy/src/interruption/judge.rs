//! What the witnesses make of each domain, and of each server.

use std::collections::{BTreeMap, BTreeSet};

use super::signal::Event;
use super::witness::{DomainRecord, Evidence, judge};
use super::{Interruption, ServerRecord, Site, Witness, clamp};
use crate::model::{Mains, Name};

impl Interruption {
    pub(super) fn judge_domains(&mut self, events: &mut Vec<Event>) {
        let names: BTreeSet<Name> = self
            .sites
            .values()
            .flat_map(|s| &s.domains)
            .chain(self.reports.keys())
            .chain(self.config.facility_witnesses.keys())
            .cloned()
            .collect();
        self.domains.retain(|name, d| d.in_scope || names.contains(name));
        for name in names {
            let evidence = Evidence {
                reports: self.reports.get(&name),
                facility: self.config.facility_witnesses.get(&name),
                members: self.members.get(&name),
                now: self.now,
                stale_millis: clamp(self.config.stale_millis),
                debounce_millis: clamp(self.config.debounce_millis),
            };
            let before = self.domains.get(&name);
            let judged = judge(&evidence, before);
            let changed = before.is_none_or(|b| b.mains != judged.mains);
            let was_known = before.is_some() || judged.mains != Mains::Unknown;
            let since = match before {
                Some(b) if !changed => b.since,
                // Not before what it follows, however old the report says it is.
                Some(b) => judged.since.max(b.since).min(self.now),
                None => judged.since.min(self.now),
            };
            if changed && was_known {
                events.push(Event::Domain {
                    domain: name.clone(),
                    mains: judged.mains,
                    reason: judged.reason.clone(),
                });
            }
            let in_scope = judged.mains == Mains::Absent || before.is_some_and(|b| b.in_scope);
            self.domains.insert(
                name,
                DomainRecord {
                    mains: judged.mains,
                    since,
                    by_facility: judged.by_facility,
                    in_scope,
                    reason: judged.reason,
                },
            );
        }
    }

    pub(super) fn judge_servers(&mut self) {
        let sites = std::mem::take(&mut self.sites);
        self.servers
            .retain(|name, r| r.in_scope || sites.contains_key(name));
        for (name, record) in &mut self.servers {
            // In scope, and not reported any more: an interruption does not end by that.
            if !sites.contains_key(name) {
                record.held = true;
                record.silent = true;
            }
        }
        for (name, site) in &sites {
            let before = self.servers.get(name).cloned();
            let record = self.judge_server(site, before);
            self.servers.insert(name.clone(), record);
        }
        self.sites = sites;
    }

    fn judge_server(&self, site: &Site, before: Option<ServerRecord>) -> ServerRecord {
        let before = before.unwrap_or(ServerRecord {
            mains: Mains::Unknown,
            since: self.now,
            alone: false,
            held: false,
            silent: false,
            vouched: false,
            in_scope: false,
            lost_mains: false,
        });
        let was_absent = before.mains == Mains::Absent;
        let inlets: Vec<(Mains, i64)> = site
            .domains
            .iter()
            .map(|domain| self.inlet(site, domain, was_absent && before.alone))
            .collect();
        let all = |mains: Mains| !inlets.is_empty() && inlets.iter().all(|(m, _)| *m == mains);
        let any = |mains: Mains| inlets.iter().any(|(m, _)| *m == mains);
        let seen = if any(Mains::Present) {
            Mains::Present
        } else if all(Mains::Absent) {
            Mains::Absent
        } else if any(Mains::Unstable) {
            Mains::Unstable
        } else {
            Mains::Unknown
        };
        let vouched = before.vouched && seen == Mains::Unknown;
        let held = was_absent && seen == Mains::Unknown;
        let domains_absent =
            |domain: &Name| self.domains.get(domain).is_some_and(|d| d.mains == Mains::Absent);
        let (mains, alone) = match seen {
            Mains::Unknown if vouched => (Mains::Present, false),
            Mains::Unknown if held => (Mains::Absent, before.alone),
            Mains::Absent => (Mains::Absent, !site.domains.iter().all(domains_absent)),
            other => (other, false),
        };
        let held = held || (mains == Mains::Absent && !alone && self.only_held(site));
        let silent = held && !site.pep.as_ref().is_some_and(|pep| self.is_heard(pep));
        let since = match mains {
            // Nobody waited for it, and now it speaks: what follows begins with its word.
            Mains::Absent if before.silent && !silent && !before.in_scope => self.now,
            same if same == before.mains => before.since,
            // Lost when the last of its inlets was.
            Mains::Absent => {
                let last = inlets.iter().map(|(_, since)| *since).max();
                last.unwrap_or(self.now).max(before.since).min(self.now)
            }
            _ => self.now,
        };
        ServerRecord {
            mains,
            since,
            alone,
            held,
            silent,
            vouched,
            ..before
        }
    }

    /// Mains at one inlet, and since when: what the server's own PEP says of it, else what its domain is judged.
    fn inlet(&self, site: &Site, domain: &Name, was_absent_alone: bool) -> (Mains, i64) {
        let judged = self.domains.get(domain);
        let own = site
            .pep
            .as_ref()
            .and_then(|pep| self.reports.get(domain)?.get(pep))
            .filter(|r| r.witness == Witness::Inlet && r.mains != Mains::Unknown)
            .filter(|r| r.is_fresh(self.now, clamp(self.config.stale_millis)));
        let Some(own) = own else {
            // Its own PEP said that it is lost, and is silent now: that others are well says nothing about it.
            if was_absent_alone {
                return (Mains::Unknown, self.now);
            }
            return judged.map_or((Mains::Unknown, self.now), |d| (d.mains, d.since));
        };
        match judged {
            Some(d) if d.mains == Mains::Absent => {
                // A facility UPS keeps the inlets alive, so they say nothing then; otherwise the PEP's own word
                // counts once it has had time to notice the loss.
                let late = !d.believes(own.observed_at, clamp(self.config.debounce_millis));
                if d.by_facility || (own.mains != Mains::Absent && late) {
                    (Mains::Absent, d.since)
                } else {
                    (own.mains, own.since)
                }
            }
            // The domain is back since this was last known to hold: a PEP that was switched off in the meantime cannot
            // take its word back. One that still says so is heard from soon, and counts then.
            Some(d) if d.has_come_back_since(own) => (d.mains, d.since),
            _ => (own.mains, own.since),
        }
    }

    /// Whether a PEP that reports on any domain has been heard from lately.
    fn is_heard(&self, pep: &Name) -> bool {
        let stale = clamp(self.config.stale_millis);
        let reports = self.reports.values().filter_map(|reports| reports.get(pep));
        reports.into_iter().any(|r| r.is_fresh(self.now, stale))
    }

    /// Whether the absence of this server rests only on domains of which nobody says anything any more.
    fn only_held(&self, site: &Site) -> bool {
        let stale = clamp(self.config.stale_millis);
        !site.domains.iter().any(|domain| {
            self.reports
                .get(domain)
                .into_iter()
                .flat_map(BTreeMap::values)
                .any(|r| r.mains == Mains::Absent && r.is_fresh(self.now, stale))
        })
    }
}
