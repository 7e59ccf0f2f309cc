//! What follows from everything that is known at one moment: judgements, scope, phase, next deadline.

use std::collections::{BTreeMap, BTreeSet};

use super::signal::Event;
use super::{Interruption, ServerRecord, Site, clamp};
use crate::limits::MAX_DIPS;
use crate::model::{Cause, Mains, Name, Phase, Scope};

/// Dips count for this long.
const FLAP_WINDOW_MILLIS: i64 = 3_600_000;
/// A scope that keeps growing holds irreversible stages for at most this many debounces.
const MOST_DEBOUNCES_HELD: i64 = 4;

/// Servers that have just come under the interruption.
struct Grown {
    servers: Vec<Name>,
    /// When the first of them was lost.
    onset: i64,
}

impl Interruption {
    pub(super) fn evaluate(&mut self, events: &mut Vec<Event>) {
        let now = self.now;
        while self
            .dips
            .front()
            .is_some_and(|d| now.saturating_sub(*d) > FLAP_WINDOW_MILLIS)
        {
            self.dips.pop_front();
        }
        self.judge_domains(events);
        self.judge_servers();
        self.leave_drill(events);
        self.resolve_command();
        let grown = self.grow();
        self.note_dip();
        if let Some(grown) = &grown {
            self.hold_for_growth(grown.onset);
            if self.phase != Phase::Normal {
                events.push(Event::ScopeGrew {
                    servers: grown.servers.clone(),
                });
            }
        }
        let mut onset = grown.map(|g| g.onset);
        while self.step(&mut onset, events) {}
        self.shrink(events);
        let allowed = matches!(self.phase, Phase::Normal | Phase::Restoring)
            && self.move_back_at.is_some_and(|at| at <= now);
        if allowed {
            self.move_back_at = None;
            events.push(Event::MoveBackAllowed);
        }
        self.deadline = self.next();
    }

    /// A drill ends when it is taken back, and at once when something real happens.
    fn leave_drill(&mut self, events: &mut Vec<Event>) {
        if self.cause != Cause::Drill || self.phase == Phase::Normal {
            return;
        }
        let real = self.servers.values().any(|s| s.mains == Mains::Absent);
        if real {
            self.commanded = None;
        }
        if self.commanded.as_ref().is_some_and(|c| c.drill) {
            return;
        }
        let reason = if real {
            "the drill is over: mains is lost"
        } else {
            "the drill is over"
        };
        self.set_phase(Phase::Normal, reason, events);
        self.end();
    }

    fn resolve_command(&mut self) {
        self.commanded_servers.clear();
        let Some(commanded) = &self.commanded else { return };
        for scope in &commanded.scopes {
            match scope {
                Scope::Cluster => self.commanded_servers.extend(self.sites.keys().cloned()),
                Scope::Servers(names) => self.commanded_servers.extend(names.iter().cloned()),
                Scope::Domains(names) => {
                    let lost: BTreeSet<&Name> = names.iter().collect();
                    let dark = |site: &Site| {
                        !site.domains.is_empty() && site.domains.iter().all(|d| lost.contains(d))
                    };
                    self.commanded_servers.extend(
                        self.sites
                            .iter()
                            .filter(|(_, site)| dark(site))
                            .map(|(name, _)| name.clone()),
                    );
                }
            }
        }
    }

    /// Takes what is newly lost into the scope.
    fn grow(&mut self) -> Option<Grown> {
        let now = self.now;
        let mut servers = Vec::new();
        let mut first = now;
        for (name, record) in &mut self.servers {
            // Silence begins nothing.
            let lost = record.mains == Mains::Absent && (record.in_scope || !record.silent);
            record.lost_mains |= lost;
            if record.in_scope || !(lost || self.commanded_servers.contains(name)) {
                continue;
            }
            record.in_scope = true;
            first = first.min(if lost { record.since } else { now });
            servers.push(name.clone());
        }
        (!servers.is_empty()).then_some(Grown {
            servers,
            onset: first,
        })
    }

    fn note_dip(&mut self) {
        let someone_is_back = self.is_someone_back();
        let lost = self
            .servers
            .values()
            .filter(|s| s.in_scope && s.mains == Mains::Absent && !(s.silent && someone_is_back));
        let onset = lost.map(|s| s.since).max();
        match onset {
            // Silence that is broken by the same word as before is no dip.
            Some(onset) if !self.mains_was_absent && self.dips.back() != Some(&onset) => {
                self.dips.push_back(onset);
                while self.dips.len() > MAX_DIPS {
                    self.dips.pop_front();
                }
            }
            None if self.mains_was_absent => {
                self.move_back_at = Some(self.now.saturating_add(clamp(self.config.move_back_millis)));
            }
            _ => {}
        }
        self.mains_was_absent = onset.is_some();
    }

    /// What has just come into scope is debounced like the first: irreversible stages wait for it. They wait so only
    /// for a while, and then are free for at least one debounce, so that servers lost one after the other cannot keep
    /// the others from shedding.
    fn hold_for_growth(&mut self, onset: i64) {
        let debounce = clamp(self.config.debounce_millis);
        let holding = self.now < self.settles_at;
        if !holding && self.now < self.settles_at.saturating_add(debounce) && self.phase == Phase::Interrupted
        {
            return;
        }
        if !holding {
            self.held_from = self.now;
        }
        let most = self
            .held_from
            .saturating_add(debounce.saturating_mul(MOST_DEBOUNCES_HELD));
        self.settles_at = onset.saturating_add(debounce).max(self.settles_at).min(most);
    }

    /// One transition, if one is due. `onset` is when newly lost servers were lost; the first step takes it.
    fn step(&mut self, onset: &mut Option<i64>, events: &mut Vec<Event>) -> bool {
        let now = self.now;
        let debounce = clamp(self.config.debounce_millis);
        let grown = onset.take();
        let absent = self.something_is_absent();
        match self.phase {
            Phase::Normal => {
                let Some(onset) = grown.filter(|_| absent) else {
                    return false;
                };
                self.began_at = Some(onset);
                self.begun_by_command = !self.mains_was_absent;
                self.begin_debounce(onset);
                self.cause = self.judge_cause();
                self.set_phase(Phase::Debounce, &self.describe(), events);
            }
            Phase::Debounce => {
                if absent {
                    self.clear_from = None;
                    let from = *self.absent_from.get_or_insert(now);
                    self.cause = self.judge_cause();
                    if self.absent_total.saturating_add(now.saturating_sub(from)) < debounce {
                        return false;
                    }
                    self.shed_possible |= self.cause != Cause::Drill;
                    self.set_phase(Phase::Interrupted, "it lasts longer than the debounce", events);
                    return true;
                }
                if let Some(from) = self.absent_from.take() {
                    self.absent_total = self.absent_total.saturating_add(now.saturating_sub(from));
                }
                let clear = *self.clear_from.get_or_insert(now);
                let only_command = !self.servers.values().any(|s| s.in_scope && s.lost_mains);
                if !only_command && now.saturating_sub(clear) < debounce {
                    return false;
                }
                if self.shed_possible {
                    self.absent_from = None;
                    self.set_phase(
                        Phase::MainsGood,
                        "nothing is absent, and something is still shed",
                        events,
                    );
                } else {
                    self.set_phase(Phase::Normal, "it did not outlast the debounce", events);
                    self.end();
                }
            }
            Phase::Interrupted => {
                self.cause = self.judge_cause();
                if absent {
                    return false;
                }
                self.absent_from = None;
                let wait = self.mains_good_millis() / 1000;
                let reason = format!("nothing in scope is absent; mains must be good for {wait} s");
                self.set_phase(Phase::MainsGood, &reason, events);
            }
            Phase::MainsGood => {
                if absent {
                    let from = *self.absent_from.get_or_insert(grown.unwrap_or(now));
                    if let Some(onset) = grown {
                        // Something else is lost, whose lines are not joined: what is reversible is due at once.
                        self.begin_debounce(onset.min(from));
                        self.set_phase(Phase::Debounce, &self.describe(), events);
                        return true;
                    }
                    if now.saturating_sub(from) < debounce {
                        return false;
                    }
                    self.begin_clock(from);
                    self.set_phase(Phase::Interrupted, "mains is absent again", events);
                    return true;
                }
                self.absent_from = None;
                let proven = self
                    .servers
                    .values()
                    .filter(|s| s.in_scope && !(s.silent && s.mains == Mains::Absent))
                    .all(|s| self.is_proven(s));
                if !proven {
                    return false;
                }
                self.set_phase(Phase::Restoring, "mains has been good for long enough", events);
            }
            Phase::Restoring => {
                if !absent {
                    return false;
                }
                let onset = grown.unwrap_or(now);
                self.begin_debounce(onset);
                self.begun_by_command = !self.mains_was_absent;
                self.cause = self.judge_cause();
                self.set_phase(Phase::Debounce, &self.describe(), events);
            }
        }
        true
    }

    fn begin_debounce(&mut self, onset: i64) {
        self.absent_total = 0;
        self.absent_from = Some(onset);
        self.clear_from = None;
        self.begin_clock(onset);
    }

    /// The clock of an interruption goes on through mains that came and went, until the reserves have recovered.
    fn begin_clock(&mut self, onset: i64) {
        if std::mem::take(&mut self.recovered) {
            self.began_at = None;
        }
        self.began_at.get_or_insert(onset);
    }

    pub(super) fn set_phase(&mut self, to: Phase, reason: &str, events: &mut Vec<Event>) {
        events.push(Event::Phase {
            from: self.phase,
            to,
            reason: reason.to_owned(),
        });
        self.phase = to;
    }

    /// Forgets the interruption.
    pub(super) fn end(&mut self) {
        for record in self.servers.values_mut() {
            record.in_scope = false;
            record.lost_mains = false;
        }
        for record in self.domains.values_mut() {
            record.in_scope = record.mains == Mains::Absent;
        }
        self.began_at = None;
        self.recovered = false;
        self.some_are_back = false;
        self.cause = Cause::Standing;
        self.begun_by_command = false;
        self.shed_possible = false;
        self.absent_total = 0;
        self.absent_from = None;
        self.clear_from = None;
        self.settles_at = self.now;
    }

    /// Whether anything is waited for: commanded, or absent. Those who are back do not wait for the silent.
    fn something_is_absent(&self) -> bool {
        let someone_is_back = self.is_someone_back();
        self.servers.iter().any(|(name, s)| {
            let absent = s.mains == Mains::Absent && !(s.silent && someone_is_back);
            s.in_scope && (absent || self.commanded_servers.contains(name))
        })
    }

    /// Whether anything that lost its mains in this interruption has it again.
    fn is_someone_back(&self) -> bool {
        let is_back = |s: &ServerRecord| s.in_scope && s.lost_mains && s.mains == Mains::Present;
        self.some_are_back || self.servers.values().any(is_back)
    }

    /// Whether the mains of a server may be relied on again.
    pub(super) fn is_proven(&self, record: &ServerRecord) -> bool {
        !record.lost_mains
            || (record.mains == Mains::Present
                && self.now.saturating_sub(record.since) >= clamp(self.mains_good_millis()))
    }

    fn judge_cause(&self) -> Cause {
        let commanded = self.commanded.as_ref();
        if commanded.is_some_and(|c| c.drill) {
            Cause::Drill
        } else if commanded.is_some() && self.begun_by_command {
            Cause::Command
        } else if self.domains.values().any(|d| d.in_scope) {
            Cause::DomainMains
        } else if self.servers.values().any(|s| s.in_scope && s.lost_mains) {
            Cause::ServerMains
        } else {
            Cause::Command
        }
    }

    fn describe(&self) -> String {
        let lost = |s: &&ServerRecord| s.in_scope && s.mains == Mains::Absent;
        let count = self.servers.values().filter(lost).count();
        let domains: Vec<&str> = self
            .domains
            .iter()
            .filter(|(_, d)| d.mains == Mains::Absent)
            .map(|(name, _)| name.as_str())
            .collect();
        match (self.cause, domains.as_slice()) {
            (Cause::Drill, _) => format!("a drill for {} servers", self.commanded_servers.len()),
            (Cause::Command, _) => format!("commanded for {} servers", self.commanded_servers.len()),
            (_, []) => format!("mains is lost at {count} servers alone"),
            (_, [one]) => format!("mains is lost in domain {one}, {count} servers"),
            (_, [one, more @ ..]) => format!(
                "mains is lost in domain {one} and {} more, {count} servers",
                more.len()
            ),
        }
    }

    /// Lets go of what has proven itself while something else is still interrupted.
    fn shrink(&mut self, events: &mut Vec<Event>) {
        if !matches!(self.phase, Phase::Normal | Phase::Interrupted) {
            return;
        }
        let good = clamp(self.mains_good_millis());
        for record in self.domains.values_mut() {
            let proven = record.mains == Mains::Present && self.now.saturating_sub(record.since) >= good;
            record.in_scope &= !proven;
        }
        if self.phase == Phase::Normal {
            return;
        }
        let leaving: Vec<Name> = self
            .servers
            .iter()
            .filter(|(name, s)| {
                s.in_scope
                    && s.mains != Mains::Absent
                    && self.is_proven(s)
                    && !self.commanded_servers.contains(*name)
            })
            .map(|(name, _)| name.clone())
            .collect();
        for name in &leaving {
            if let Some(record) = self.servers.get_mut(name) {
                self.some_are_back |= record.lost_mains;
                record.in_scope = false;
                record.lost_mains = false;
            }
        }
        if !leaving.is_empty() {
            events.push(Event::ScopeShrank { servers: leaving });
        }
    }

    /// What the interruption covers, as shortly as it can be said.
    pub(super) fn scope(&self) -> Scope {
        let covered: BTreeSet<&Name> = self
            .servers
            .iter()
            .filter(|(_, s)| s.in_scope)
            .map(|(name, _)| name)
            .collect();
        let commanded = self.commanded.as_ref().map(|c| c.scopes.as_slice());
        if let Some([scope]) = commanded {
            let no_more = covered.iter().all(|n| self.commanded_servers.contains(*n));
            if no_more {
                return scope.clone();
            }
        }
        if !covered.is_empty() && covered.len() == self.sites.len() && commanded.is_some() {
            return Scope::Cluster;
        }
        let domains: BTreeSet<&Name> = self
            .domains
            .iter()
            .filter(|(_, d)| d.in_scope)
            .map(|(name, _)| name)
            .collect();
        let explained = covered.iter().all(|name| {
            self.sites
                .get(*name)
                .is_some_and(|site| site.domains.iter().all(|d| domains.contains(d)))
        });
        if explained && !domains.is_empty() {
            return Scope::Domains(domains.into_iter().cloned().collect());
        }
        Scope::Servers(covered.into_iter().cloned().collect())
    }

    /// The next moment at which time alone changes something.
    fn next(&self) -> Option<i64> {
        let debounce = clamp(self.config.debounce_millis);
        let good = clamp(self.mains_good_millis());
        let mut times: Vec<i64> = Vec::new();
        let proofs = self
            .servers
            .values()
            .filter(|s| s.in_scope && s.lost_mains && s.mains == Mains::Present)
            .map(|s| s.since.saturating_add(good));
        match self.phase {
            Phase::Normal | Phase::Restoring => times.extend(self.move_back_at),
            Phase::Debounce => {
                let left = debounce.saturating_sub(self.absent_total);
                times.extend(self.absent_from.map(|from| from.saturating_add(left)));
                times.extend(self.clear_from.map(|from| from.saturating_add(debounce)));
            }
            Phase::Interrupted => {
                times.push(self.settles_at);
                times.extend(proofs);
            }
            Phase::MainsGood => {
                times.extend(self.absent_from.map(|from| from.saturating_add(debounce)));
                times.extend(proofs);
            }
        }
        let stale = clamp(self.config.stale_millis);
        let expiries = self
            .reports
            .values()
            .flat_map(BTreeMap::values)
            .filter(|r| r.is_fresh(self.now, stale))
            .map(|r| r.observed_at.saturating_add(stale).saturating_add(1));
        times
            .into_iter()
            .chain(expiries)
            .filter(|time| *time > self.now)
            .min()
    }
}
