//! Whether there is an interruption, of what, and how far it has come.
//!
//! [`Interruption`] is a pure state machine. Signals go in with the caller's monotonic milliseconds; what comes out is
//! a list of [`Event`]s, the judged [`Mains`] of every domain and server, the [`Outage`] for the snapshot, and the
//! time at which it wants to be called again.
//!
//! # Contract
//!
//! 1. [`set_sites`](Interruption::set_sites) tells which server hangs on which domains, whenever that changes.
//! 2. [`handle`](Interruption::handle) takes any number of signals that arrived together;
//!    [`handle_timeout`](Interruption::handle_timeout) when [`next_deadline`](Interruption::next_deadline) has come
//!    (calling it early or late is harmless). A call costs time in the number of servers and reports, so a flood of
//!    reports is best handed over as one batch. `now` never runs backwards; if it does, the latest known time counts.
//! 3. After each call the caller acts on the events and asks the accessors. On
//!    [`Event::Phase`], [`Event::ScopeGrew`] and [`Event::ScopeShrank`] it plans anew. Stage 0 of a plan goes out in
//!    every phase but [`Phase::MainsGood`]; later stages only while [`may_shed`](Interruption::may_shed), stages
//!    that bring things back only while [`may_restart`](Interruption::may_restart), moves back home only while
//!    [`may_move_back`](Interruption::may_move_back).
//!
//! # Phases
//!
//! ```text
//!            first sign              absent for the debounce, in all
//!   Normal ------------> Debounce ----------------------------------> Interrupted <---------+
//!     ^  <---------------   |  ^                                        |  everything back   |
//!     |  good for the debounce |                                        v                    |
//!     |                     |  | a server is lost         +-------> MainsGood ---------------+
//!     |                     |  +--------------------------+             |     absent for the debounce
//!     |                     +--- good again, after a restoration --->   |
//!     |  all is back (Signal::Restored)                                 v  good for long enough
//!     +------------------------------------------------------------- Restoring
//! ```
//!
//! A dip shorter than the debounce leads to nothing irreversible in any phase; absences with returns shorter than the
//! debounce between them add up. Each dip within an hour doubles the time for which mains must be good, up to a bound.
//! A lost server that comes under an interruption in force does not reset its clock, and neither does one that begins
//! in [`Phase::MainsGood`] or [`Phase::Restoring`], until the reserves have recovered.
//!
//! # Mains of a server
//!
//! `Absent`: interrupted (or commanded to be taken so). `Unstable`: it has power from the mains now, but that has not
//! proven itself: nothing is stopped for it and nothing may rely on it. `Unknown`: neither an interruption nor "all is
//! well". Silence never begins and never ends an interruption. But those who are back do not wait for the silent: where
//! nothing that is heard of is absent any more, the way back begins as soon as anything in the interruption has mains
//! again; the servers whose PEPs are silent, and that were last known to be without it, stay `Absent` until somebody
//! speaks of them.
//!
//! # Persistence
//!
//! The machine is [`Serialize`] and [`Deserialize`]; the journal keeps it whole. Its times are on the clock of the
//! process that wrote it: [`rebase`](Interruption::rebase) moves them to another.

mod command;
mod evaluate;
mod judge;
mod signal;
#[cfg(test)]
mod tests;
mod witness;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde::{Deserialize, Serialize};

pub use signal::{Command, CommandOutcome, Config, Event, Signal, Site, Witness};
use witness::{DomainRecord, Report};

use crate::limits::MAX_MAINS_REPORTS;
use crate::model::{Cause, Mains, Name, Outage, Phase, Scope};

/// The state machine. See the [module](self) for its contract.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Interruption {
    config: Config,
    sites: BTreeMap<Name, Site>,
    /// PEPs with a server in a domain, by domain; follows from `sites`.
    members: BTreeMap<Name, BTreeSet<Name>>,
    /// By domain, then PEP.
    reports: BTreeMap<Name, BTreeMap<Name, Report>>,
    report_count: usize,
    domains: BTreeMap<Name, DomainRecord>,
    servers: BTreeMap<Name, ServerRecord>,
    commanded: Option<Commanded>,
    /// The servers that its scopes cover now.
    commanded_servers: BTreeSet<Name>,
    answered: VecDeque<(String, CommandOutcome)>,
    phase: Phase,
    cause: Cause,
    /// The interruption was begun by a command.
    begun_by_command: bool,
    /// When the clock of the interruption began; kept from one to the next until the reserves have recovered.
    began_at: Option<i64>,
    /// The reserves have recovered since: what is lost now begins anew.
    #[serde(default)]
    recovered: bool,
    /// Something has been, or may have been, shed: the way back leads through a restoration.
    shed_possible: bool,
    /// How long mains has been absent in this debounce, without the running absence.
    absent_total: i64,
    /// Since when something in scope has been absent, or nothing has.
    absent_from: Option<i64>,
    clear_from: Option<i64>,
    /// From when irreversible stages may go out (a scope that grew is debounced too).
    settles_at: i64,
    /// Since when irreversible stages have been held by a growing scope.
    held_from: i64,
    /// The mains, not only a command, was absent for something in scope when last looked at.
    mains_was_absent: bool,
    /// Onsets of mains dips of the last hour.
    dips: VecDeque<i64>,
    /// Servers have left the scope with their mains proven; what was shed there is still to be brought back.
    #[serde(default)]
    some_are_back: bool,
    /// When moves back home become allowed; `None`: allowed, or nothing to wait for.
    move_back_at: Option<i64>,
    deadline: Option<i64>,
    dirty: bool,
    now: i64,
}

/// What is known of one server's mains.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct ServerRecord {
    /// Its mains as the witnesses have it, whatever is commanded.
    mains: Mains,
    /// Since when.
    since: i64,
    /// Absent by its own PEP's word while its domains are not.
    alone: bool,
    /// Nobody says now that it is absent; it only stays so.
    held: bool,
    /// It is held so, and nothing is heard of its own PEP: nobody could do anything for it.
    #[serde(default)]
    silent: bool,
    /// An administrator took it for present; holds until someone reports.
    vouched: bool,
    in_scope: bool,
    /// Its mains, not only a command, has been absent in this interruption.
    lost_mains: bool,
}

/// A commanded interruption or drill.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Commanded {
    drill: bool,
    scopes: Vec<Scope>,
}

impl Interruption {
    /// A machine that knows of nothing.
    pub fn new(config: Config) -> Self {
        Self {
            config,
            sites: BTreeMap::new(),
            members: BTreeMap::new(),
            reports: BTreeMap::new(),
            report_count: 0,
            domains: BTreeMap::new(),
            servers: BTreeMap::new(),
            commanded: None,
            commanded_servers: BTreeSet::new(),
            answered: VecDeque::new(),
            phase: Phase::Normal,
            cause: Cause::Standing,
            begun_by_command: false,
            began_at: None,
            recovered: false,
            shed_possible: false,
            absent_total: 0,
            absent_from: None,
            clear_from: None,
            settles_at: 0,
            held_from: 0,
            mains_was_absent: false,
            dips: VecDeque::new(),
            some_are_back: false,
            move_back_at: None,
            deadline: None,
            dirty: false,
            now: 0,
        }
    }

    /// Other settings, from the next call on.
    pub fn configure(&mut self, config: Config) {
        self.config = config;
        self.dirty = true;
    }

    /// Which servers there are, and what their mains hangs on. Takes the place of what was told before.
    ///
    /// A server under an interruption in force stays in it even if it is not named any more: a PEP that has yet to
    /// come back after a restart of the caller is no reason to end an interruption.
    pub fn set_sites(&mut self, now_millis: u64, sites: BTreeMap<Name, Site>) -> Vec<Event> {
        if sites != self.sites {
            self.members = BTreeMap::new();
            for site in sites.values() {
                let Some(pep) = &site.pep else { continue };
                for domain in &site.domains {
                    self.members
                        .entry(domain.clone())
                        .or_default()
                        .insert(pep.clone());
                }
            }
            self.sites = sites;
            self.dirty = true;
        }
        self.handle(now_millis, [])
    }

    /// Takes signals that arrived together and says what follows from them.
    pub fn handle(&mut self, now_millis: u64, signals: impl IntoIterator<Item = Signal>) -> Vec<Event> {
        self.now = self.now.max(i64::try_from(now_millis).unwrap_or(i64::MAX));
        let mut events = Vec::new();
        for signal in signals {
            self.take(signal, &mut events);
        }
        if self.dirty || self.deadline.is_some_and(|d| d <= self.now) {
            self.dirty = false;
            self.evaluate(&mut events);
        }
        events
    }

    /// The time of [`Self::next_deadline`] has come.
    pub fn handle_timeout(&mut self, now_millis: u64) -> Vec<Event> {
        self.handle(now_millis, [])
    }

    /// When [`Self::handle_timeout`] is to be called, if nothing else happens before.
    pub fn next_deadline(&self) -> Option<u64> {
        self.deadline.map(|d| u64::try_from(d).unwrap_or(0))
    }

    /// Where the interruption stands.
    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// The interruption for the snapshot; `None` in [`Phase::Normal`].
    pub fn outage(&self, now_millis: u64) -> Option<Outage> {
        if self.phase == Phase::Normal {
            return None;
        }
        let now = i64::try_from(now_millis).unwrap_or(i64::MAX).max(self.now);
        let elapsed = self.began_at.map_or(0, |began| now.saturating_sub(began));
        Some(Outage {
            phase: self.phase,
            cause: self.cause,
            scope: self.scope(),
            elapsed_millis: u64::try_from(elapsed).unwrap_or(0),
        })
    }

    /// Judged mains of a domain; [`Mains::Unknown`] for one that nobody has named.
    pub fn domain_mains(&self, domain: &Name) -> Mains {
        let Some(record) = self.domains.get(domain) else {
            return Mains::Unknown;
        };
        let unproven = record.mains == Mains::Present && record.in_scope;
        if unproven { Mains::Unstable } else { record.mains }
    }

    /// Judged mains of a server; [`Mains::Unknown`] for one that nobody has named.
    pub fn server_mains(&self, server: &Name) -> Mains {
        let Some(record) = self.servers.get(server) else {
            return Mains::Unknown;
        };
        if self.commanded_servers.contains(server) {
            return Mains::Absent;
        }
        let unproven = record.in_scope && record.lost_mains && !self.is_proven(record);
        match record.mains {
            Mains::Present if unproven => Mains::Unstable,
            other => other,
        }
    }

    /// Who said what about a domain, in words; `None` for one that nobody has named.
    pub fn explain_domain(&self, domain: &Name) -> Option<&str> {
        self.domains.get(domain).map(|d| d.reason.as_str())
    }

    /// Whether irreversible stages (stops, moves, hosts standing by) may be released now. Never in a drill.
    pub fn may_shed(&self) -> bool {
        self.phase == Phase::Interrupted && self.now >= self.settles_at && self.cause != Cause::Drill
    }

    /// Whether the stages of a restoration may be released now.
    pub fn may_restart(&self) -> bool {
        self.phase == Phase::Restoring
    }

    /// Whether activities may be moved back home now: mains has been good for long enough, or an administrator said
    /// so.
    pub fn may_move_back(&self) -> bool {
        matches!(self.phase, Phase::Normal | Phase::Restoring) && self.move_back_at.is_none()
    }

    /// Time for which mains must be good now before anything is restarted.
    pub fn mains_good_millis(&self) -> u64 {
        let doublings = u32::try_from(self.dips.len().saturating_sub(1)).unwrap_or(u32::MAX);
        let factor = 1u64.checked_shl(doublings).unwrap_or(u64::MAX);
        self.config
            .mains_good_millis
            .saturating_mul(factor)
            .min(self.config.mains_good_max_millis)
            .max(
                self.config
                    .mains_good_millis
                    .min(self.config.mains_good_max_millis),
            )
    }

    /// Moves all times to another clock: `delta_millis` is what the new clock shows minus what the old one showed at
    /// the same instant.
    ///
    /// After a restart of the machine that wrote the journal, take the last journalled time for the instant of the
    /// start if nothing better is known (waiting times then run on from where they stood, and are never cut short).
    pub fn rebase(&mut self, delta_millis: i64) {
        let shift = |t: &mut i64| *t = t.saturating_add(delta_millis);
        shift(&mut self.now);
        shift(&mut self.settles_at);
        shift(&mut self.held_from);
        for time in [
            &mut self.began_at,
            &mut self.absent_from,
            &mut self.clear_from,
            &mut self.move_back_at,
            &mut self.deadline,
        ] {
            time.iter_mut().for_each(shift);
        }
        self.dips.iter_mut().for_each(shift);
        for record in self.domains.values_mut() {
            shift(&mut record.since);
        }
        for record in self.servers.values_mut() {
            shift(&mut record.since);
        }
        for report in self.reports.values_mut().flat_map(BTreeMap::values_mut) {
            shift(&mut report.observed_at);
            shift(&mut report.since);
        }
    }

    fn take(&mut self, signal: Signal, events: &mut Vec<Event>) {
        match signal {
            Signal::MainsReport {
                pep,
                domain,
                witness,
                mains,
                age_millis,
            } => {
                let observed = self
                    .now
                    .saturating_sub(i64::try_from(age_millis).unwrap_or(i64::MAX));
                self.take_report(pep, domain, witness, mains, observed, events);
            }
            Signal::Heard { pep } => {
                let now = self.now;
                let stale = clamp(self.config.stale_millis);
                let debounce = clamp(self.config.debounce_millis);
                for (domain, reports) in &mut self.reports {
                    let Some(report) = reports.get_mut(&pep) else {
                        continue;
                    };
                    let believed = self
                        .domains
                        .get(domain)
                        .is_some_and(|d| d.comes_to_believe(report, now, debounce));
                    self.dirty |= believed || !report.is_fresh(now, stale);
                    report.observed_at = now;
                }
            }
            Signal::Silent { pep, domain } => self.forget_report(&pep, &domain),
            Signal::Forget { pep } => {
                let named = |(domain, reports): (&Name, &BTreeMap<Name, Report>)| {
                    reports.contains_key(&pep).then(|| domain.clone())
                };
                let domains: Vec<Name> = self.reports.iter().filter_map(named).collect();
                for domain in domains {
                    self.forget_report(&pep, &domain);
                }
            }
            Signal::Command { id, command } => self.take_command(id, command, events),
            Signal::Restored => {
                if self.phase == Phase::Restoring {
                    self.set_phase(Phase::Normal, "everything that was shed is back", events);
                    self.end();
                    self.dirty = true;
                }
            }
            Signal::ReservesRecovered => {
                // Until then the clock runs on: a restoration, too, is told by its time.
                self.recovered |= matches!(self.phase, Phase::MainsGood | Phase::Restoring);
            }
        }
    }

    fn forget_report(&mut self, pep: &Name, domain: &Name) {
        let Some(reports) = self.reports.get_mut(domain) else {
            return;
        };
        if reports.remove(pep).is_some() {
            self.report_count -= 1;
            self.dirty = true;
        }
        if reports.is_empty() {
            self.reports.remove(domain);
        }
    }

    fn take_report(
        &mut self,
        pep: Name,
        domain: Name,
        witness: Witness,
        mains: Mains,
        observed: i64,
        events: &mut Vec<Event>,
    ) {
        let counts = witness == Witness::Inlet || self.config.facility_witnesses.get(&domain) == Some(&pep);
        let known = self.reports.get(&domain).and_then(|r| r.get(&pep));
        let same = known.is_some_and(|r| r.witness == witness && r.mains == mains);
        if !counts {
            // What will never count takes no place from what does.
            self.forget_report(&pep, &domain);
            events.push(Event::ReportIgnored {
                pep,
                domain,
                reason: "the site does not name this PEP as facility witness of the domain".to_owned(),
            });
            return;
        }
        if known.is_none() && self.report_count >= MAX_MAINS_REPORTS {
            events.push(Event::ReportIgnored {
                pep,
                domain,
                reason: format!("{MAX_MAINS_REPORTS} mains reports are kept already"),
            });
            return;
        }
        if known.is_none() {
            self.report_count += 1;
        }
        let since = if same {
            known.map_or(observed, |r| r.since)
        } else {
            observed
        };
        let refreshed = known.is_some_and(|r| r.is_fresh(self.now, clamp(self.config.stale_millis)));
        let debounce = clamp(self.config.debounce_millis);
        let believed = self
            .domains
            .get(&domain)
            .zip(known)
            .is_some_and(|(d, r)| d.comes_to_believe(r, observed, debounce));
        self.dirty |= !same || !refreshed || believed;
        self.reports.entry(domain).or_default().insert(
            pep,
            Report {
                witness,
                mains,
                observed_at: observed,
                since,
            },
        );
    }
}

/// Settings as the machine's times are counted.
fn clamp(millis: u64) -> i64 {
    i64::try_from(millis).unwrap_or(i64::MAX)
}
