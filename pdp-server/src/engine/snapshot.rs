//! From reports to the [`Snapshot`] that the planner sees.

use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};

use power_policy::grouping::{Grouping, Subject};
use power_policy::interruption::Site;
use power_policy::model::{
    Activity, ActivityState, Domain, DomainId, Inlet, Joined, Line, LineState, Name, PowerPolicy, Powered,
    Reserve, ReserveId, ReserveState, Server, ServerId, Snapshot,
};

use super::authority::{may_see_off, may_supply};
use super::cluster::{Charge, Custody, Peer, View};
use super::facts::{ActivityFact, LineFact, MemberFact, PepFacts, ReserveFact, Role, ServerFact};
use super::state::State;
use crate::config::PeerPolicy;
use crate::limits::MAX_ACTION_FAILURES;

/// Everything a snapshot is made from.
pub(super) struct Sources<'a> {
    pub(super) now: u64,
    pub(super) peers: &'a BTreeMap<Name, Peer>,
    pub(super) view: &'a View,
    pub(super) state: &'a State,
    pub(super) policy: &'a PowerPolicy,
    pub(super) rules: &'a PeerPolicy,
    pub(super) grouping: &'a Grouping,
    /// The engine's clock is not the world's: what is not simulated is not armed.
    pub(super) simulated_only: bool,
    /// Everything is taken as armed on both sides, to see what would be done.
    pub(super) as_if_armed: bool,
    /// Servers that witnesses see off, and who they are; found at the first question.
    pub(super) seen_off: OnceCell<BTreeMap<Name, Vec<Name>>>,
}

/// How much longer than it says a server may take to halt.
const HALT_SLACK_MILLIS: u64 = 2_000;

/// What is powered through whom, to tell which hosts must not be switched off.
#[derive(Default)]
struct Custodians<'a> {
    /// Custodians of lines.
    of_lines: BTreeSet<&'a Name>,
    /// Reserves by custodian.
    reserves: BTreeMap<&'a Name, Vec<&'a Name>>,
    /// Reserves that are members of a line.
    in_lines: BTreeSet<&'a Name>,
    /// Servers that a reserve feeds without a line.
    supplies: BTreeMap<&'a Name, Vec<&'a Name>>,
}

impl Custodians<'_> {
    /// Whether something other than `server` itself is or can be powered through `pep`.
    fn is_in_use(&self, pep: &Name, server: &Name) -> bool {
        let own = self.reserves.get(pep).map_or(&[][..], |r| r);
        self.of_lines.contains(pep)
            || own.iter().any(|r| {
                self.in_lines.contains(*r)
                    || self
                        .supplies
                        .get(*r)
                        .is_some_and(|s| s.iter().any(|s| *s != server))
            })
    }
}

/// Sorted names as indexes.
struct Index(BTreeMap<Name, u32>);

impl Index {
    fn new<'a>(names: impl Iterator<Item = &'a Name>) -> Self {
        let names: BTreeSet<&Name> = names.collect();
        Self((0..).zip(names).map(|(i, n)| (n.clone(), i)).collect())
    }

    fn of(&self, name: &Name) -> Option<u32> {
        self.0.get(name).copied()
    }
}

impl<'a> Sources<'a> {
    fn facts(&self, pep: &Name) -> Option<&'a PepFacts> {
        self.peers.get(pep)?.facts.as_deref()
    }

    pub(super) fn server_fact(&self, name: &Name, custody: &Custody) -> Option<&'a ServerFact> {
        let custodian = |s: &&ServerFact| s.name == *name && s.role == Role::Custodian;
        self.facts(&custody.pep)?.servers.iter().find(custodian)
    }

    fn reserve_fact(&self, name: &Name, custody: &Custody) -> Option<&'a ReserveFact> {
        let custodian = |r: &&ReserveFact| r.name == *name && r.role == Role::Custodian;
        self.facts(&custody.pep)?.reserves.iter().find(custodian)
    }

    pub(super) fn line_fact(&self, name: &Name, custody: &Custody) -> Option<&'a LineFact> {
        let custodian = |l: &&LineFact| l.name == *name && l.role == Role::Custodian;
        self.facts(&custody.pep)?.lines.iter().find(custodian)
    }

    /// Whether plans may actuate through a PEP: both sides allow it.
    pub(super) fn is_armed(&self, pep: &Name) -> bool {
        self.as_if_armed || (self.rules.is_armed(pep) && self.facts(pep).is_some_and(|f| f.held.armed))
    }

    fn may_touch(&self, custody: &Custody, simulated: bool) -> bool {
        !custody.contested && self.is_armed(&custody.pep) && (simulated || !self.simulated_only)
    }

    /// Whether a PEP is there, or is awaited after a restart of the PDP. One that has been connected for long and has not
    /// said what it holds is not there: nothing could be released to it.
    pub(super) fn is_reachable(&self, pep: &Name) -> bool {
        self.peers
            .get(pep)
            .is_some_and(|p| (p.connected && !p.overdue) || p.awaited_until.is_some_and(|t| self.now < t))
    }

    /// Whether a server has power. Only what somebody knows counts: its own PEP, the plan that switched it off, a
    /// witness that may say so and sees it off.
    pub(super) fn powered(&self, server: &Name, custody: &Custody, fact: &ServerFact) -> Powered {
        if self.is_reachable(&custody.pep) {
            // A rack PEP reports servers that are off, too.
            return fact.powered;
        }
        let seen_off = self.seen_off.get_or_init(|| {
            let mut by_server: BTreeMap<Name, Vec<Name>> = BTreeMap::new();
            for (pep, peer) in self.peers.iter().filter(|(_, p)| p.connected) {
                let seen = peer.facts.as_deref().map_or(&[][..], |f| &f.servers);
                for s in seen
                    .iter()
                    .filter(|s| s.role == Role::Witness && s.powered.is_off())
                {
                    by_server.entry(s.name.clone()).or_default().push(pep.clone());
                }
            }
            by_server
        });
        let is_seen_off = seen_off
            .get(server)
            .is_some_and(|peps| peps.iter().any(|pep| may_see_off(self.rules, pep, fact)));
        if is_seen_off {
            Powered::OffSeen
        } else if self.state.off.contains_key(server) {
            Powered::OffCommanded
        } else {
            Powered::Unreachable
        }
    }

    /// Energy in a store now: the last figure, less what has been drawn since at the last known power. It never
    /// counts on charging that nobody has reported.
    pub(super) fn charge(&self, reserve: &Name) -> Option<(u64, u64)> {
        let custody = self.view.reserves.get(reserve)?;
        let fact = self.reserve_fact(reserve, custody)?;
        let charge = self.peers.get(&custody.pep)?.charges.get(reserve)?;
        Some((
            charge_now(charge, fact.efficiency_permille, self.now, self.policy),
            self.now.saturating_sub(charge.at),
        ))
    }

    /// Servers with their mains feeds, for the interruption machine.
    pub(super) fn sites(&self) -> BTreeMap<Name, Site> {
        let mut sites = BTreeMap::new();
        for (name, custody) in &self.view.servers {
            let Some(facts) = self.facts(&custody.pep) else {
                continue;
            };
            let domains: BTreeSet<Name> = facts
                .inlets
                .iter()
                .filter(|i| i.server == *name)
                .map(|i| i.domain.clone())
                .collect();
            sites.insert(
                name.clone(),
                Site {
                    pep: Some(custody.pep.clone()),
                    domains: domains.into_iter().collect(),
                },
            );
        }
        sites
    }

    /// Reports on an activity that count: each from the custodian of its server.
    pub(super) fn activity_rows(&self) -> BTreeMap<&'a Name, Vec<&'a ActivityFact>> {
        let mut rows: BTreeMap<&Name, Vec<&ActivityFact>> = BTreeMap::new();
        for (pep, peer) in self.peers {
            let Some(facts) = peer.facts.as_deref() else {
                continue;
            };
            for a in &facts.activities {
                if self.view.servers.get(&a.server).is_some_and(|c| c.pep == *pep) {
                    rows.entry(&a.name).or_default().push(a);
                }
            }
        }
        rows
    }

    fn custodians(&self) -> Custodians<'a> {
        let mut custodians = Custodians::default();
        for (name, custody) in &self.view.lines {
            custodians.of_lines.insert(&custody.pep);
            if let Some(line) = self.line_fact(name, custody) {
                custodians.in_lines.extend(line.reserves.iter().map(|m| &m.name));
            }
        }
        for (name, custody) in &self.view.reserves {
            custodians.reserves.entry(&custody.pep).or_default().push(name);
        }
        for (pep, peer) in self.peers {
            let supplies = peer.facts.as_deref().map_or(&[][..], |f| &f.supplies);
            for s in supplies.iter().filter(|s| may_supply(self.view, pep, s)) {
                custodians.supplies.entry(&s.reserve).or_default().push(&s.server);
            }
        }
        custodians
    }

    /// The cluster as it is now.
    pub(super) fn snapshot(&self) -> Snapshot {
        let rows = self.activity_rows();
        let servers = Index::new(self.view.servers.iter().filter_map(|(n, c)| {
            self.server_fact(n, c)?;
            Some(n)
        }));
        let reserves = Index::new(self.view.reserves.iter().filter_map(|(n, c)| {
            self.reserve_fact(n, c)?;
            Some(n)
        }));
        let domains = Index::new(
            self.peers
                .values()
                .filter_map(|p| p.facts.as_deref())
                .flat_map(|f| {
                    f.inlets
                        .iter()
                        .map(|i| &i.domain)
                        .chain(f.domains.iter().map(|d| &d.name))
                }),
        );
        Snapshot {
            sets: self.grouping.sets().to_vec(),
            domains: domains
                .0
                .keys()
                .map(|name| Domain {
                    name: name.clone(),
                    mains: self.state.machine.domain_mains(name),
                })
                .collect(),
            servers: self.servers(&servers, &domains),
            reserves: self.reserves(&reserves, &servers),
            lines: self.lines(&reserves, &servers),
            activities: self.activities(&rows, &servers),
            outage: self.state.machine.outage(self.now),
        }
    }

    fn servers(&self, servers: &Index, domains: &Index) -> Vec<Server> {
        let custodians = self.custodians();
        let mut list = Vec::with_capacity(servers.0.len());
        for name in servers.0.keys() {
            let Some(custody) = self.view.servers.get(name) else {
                continue;
            };
            let Some(fact) = self.server_fact(name, custody) else {
                continue;
            };
            let Some(peer) = self.peers.get(&custody.pep) else {
                continue;
            };
            let Some(facts) = peer.facts.as_deref() else {
                continue;
            };
            let inlets = facts.inlets.iter().filter(|i| i.server == *name).filter_map(|i| {
                Some(Inlet {
                    domain: DomainId(domains.of(&i.domain)?),
                    max_milliwatts: i.max_milliwatts,
                })
            });
            let fresh = self.policy.report_period_millis.saturating_mul(3);
            let measured = peer
                .draws
                .get(name)
                .filter(|(_, at)| self.now.saturating_sub(*at) <= fresh)
                .map(|(milliwatts, _)| *milliwatts);
            let failures = |host: &str| self.failures(&format!("host {name} {host}"));
            let starter = fact.starter.clone().filter(|pep| {
                failures("off") < MAX_ACTION_FAILURES
                    && failures("on") < MAX_ACTION_FAILURES
                    && self.peers.contains_key(pep)
            });
            let (idle, peak) = (fact.idle_milliwatts, fact.peak_milliwatts);
            list.push(Server {
                name: name.clone(),
                pep: Some(custody.pep.clone()),
                idle_milliwatts: idle.min(peak),
                peak_milliwatts: peak.max(idle),
                cpu_millicores: fact.cpu_millicores,
                memory_mebibytes: fact.memory_mebibytes,
                powered: self.powered(name, custody, fact),
                mains: self.state.machine.server_mains(name),
                inlets: inlets.collect(),
                boot_millis: fact.boot_millis,
                boot_millijoules: fact.boot_millijoules,
                halt_millis: fact.halt_millis,
                halt_millijoules: fact.halt_millijoules,
                starter,
                custodian_in_use: custodians.is_in_use(&custody.pep, name),
                fan_in: fact.fan_in,
                simulated: fact.simulated,
                armed: self.may_touch(custody, fact.simulated),
                measured_milliwatts: measured,
                age_millis: self.now.saturating_sub(peer.heard_at),
            });
        }
        list
    }

    fn reserves(&self, reserves: &Index, servers: &Index) -> Vec<Reserve> {
        // Only who is custodian of one end says that they belong together.
        let mut feeds: BTreeMap<&Name, BTreeSet<ServerId>> = BTreeMap::new();
        for (pep, peer) in self.peers {
            for s in peer.facts.as_deref().map_or(&[][..], |f| &f.supplies) {
                let speaks = may_supply(self.view, pep, s);
                if let Some(server) = servers.of(&s.server).filter(|_| speaks) {
                    feeds.entry(&s.reserve).or_default().insert(ServerId(server));
                }
            }
        }
        let mut list = Vec::with_capacity(reserves.0.len());
        for name in reserves.0.keys() {
            let Some(custody) = self.view.reserves.get(name) else {
                continue;
            };
            let Some(fact) = self.reserve_fact(name, custody) else {
                continue;
            };
            let (charge, age) = self.charge(name).unwrap_or((0, u64::MAX));
            // A server that halts is off as far as planning goes, and yet draws until it is down.
            let (halting, until_down) = self.halting(feeds.get(name), servers);
            let from_store =
                until_down.saturating_mul(1_000) / u64::from(fact.efficiency_permille.clamp(1, 1_000));
            let charge = charge.saturating_sub(from_store);
            let state = if age == u64::MAX {
                ReserveState::Unknown
            } else {
                fact.state
            };
            list.push(Reserve {
                name: name.clone(),
                pep: Some(custody.pep.clone()),
                chemistry: fact.chemistry,
                capacity_millijoules: fact.capacity_millijoules,
                charge_millijoules: charge.min(fact.capacity_millijoules),
                cutoff_millijoules: fact.cutoff_millijoules.min(fact.capacity_millijoules),
                max_discharge_milliwatts: fact.max_discharge_milliwatts.saturating_sub(halting),
                efficiency_permille: fact.efficiency_permille,
                peukert_permille: fact.peukert_permille,
                // The rows do not tell it.
                reference_milliwatts: 0,
                state,
                fan_out: fact.fan_out,
                source: fact.source,
                simulated: fact.simulated,
                armed: self.may_touch(custody, fact.simulated),
                feeds: feeds
                    .get(name)
                    .map(|s| s.iter().copied().collect())
                    .unwrap_or_default(),
                age_millis: age,
            });
        }
        list
    }

    /// When a server that was told to halt is down, by its own figure.
    pub(super) fn down_at(&self, server: &Name) -> Option<u64> {
        let told_at = self.state.off.get(server)?;
        let fact = self.server_fact(server, self.view.servers.get(server)?)?;
        Some(
            told_at
                .saturating_add(fact.halt_millis)
                .saturating_add(HALT_SLACK_MILLIS),
        )
    }

    /// What those of these servers draw that were told to halt and are not yet down, in milliwatts, and until they are, in
    /// millijoules.
    fn halting(&self, fed: Option<&BTreeSet<ServerId>>, servers: &Index) -> (u64, u64) {
        let (mut milliwatts, mut millijoules) = (0_u64, 0_u64);
        for name in self.state.off.keys() {
            let is_fed = servers
                .of(name)
                .is_some_and(|id| fed.is_some_and(|fed| fed.contains(&ServerId(id))));
            let custody = self.view.servers.get(name).filter(|_| is_fed);
            let Some(fact) = custody.and_then(|custody| self.server_fact(name, custody)) else {
                continue;
            };
            let left = self.down_at(name).unwrap_or(0).saturating_sub(self.now);
            if left > 0 {
                milliwatts = milliwatts.saturating_add(fact.idle_milliwatts);
                millijoules = millijoules.saturating_add(fact.idle_milliwatts.saturating_mul(left) / 1_000);
            }
        }
        (milliwatts, millijoules)
    }

    fn lines(&self, reserves: &Index, servers: &Index) -> Vec<Line> {
        let mut list = Vec::new();
        for (name, custody) in &self.view.lines {
            let Some(fact) = self.line_fact(name, custody) else {
                continue;
            };
            let ins: BTreeSet<ReserveId> = fact
                .reserves
                .iter()
                .filter_map(|m| reserves.of(&m.name).map(ReserveId))
                .collect();
            let outs: BTreeSet<ServerId> = fact
                .servers
                .iter()
                .filter_map(|m| servers.of(&m.name).map(ServerId))
                .collect();
            let stuck = self
                .state
                .failures
                .0
                .range(format!("divert {name} ")..)
                .take_while(|(step, _)| step.starts_with(&format!("divert {name} ")))
                .any(|(_, times)| *times >= MAX_ACTION_FAILURES);
            let armed = self.may_touch(custody, fact.simulated) && self.is_reachable(&custody.pep) && !stuck;
            list.push(Line {
                name: name.clone(),
                pep: Some(custody.pep.clone()),
                max_milliwatts: fact.max_milliwatts,
                efficiency_permille: fact.efficiency_permille,
                switch_millis: fact.switch_millis,
                mode: fact.mode,
                changeover: fact.changeover,
                state: fact.state,
                reserves: ins.into_iter().collect(),
                servers: outs.into_iter().collect(),
                joined: self.joined(name, fact, reserves, servers),
                simulated: fact.simulated,
                armed,
            });
        }
        list
    }

    /// What a line carries. The wire tells which members are joined, not which reserve is for which server nor how
    /// much: where plans have commanded pairs, those count; what is joined beyond them (the journal was lost) is
    /// assumed to share what the line can still carry.
    fn joined(&self, name: &Name, fact: &'a LineFact, reserves: &Index, servers: &Index) -> Vec<Joined> {
        if fact.state == LineState::Open {
            return Vec::new();
        }
        let (ins, outs) = (on(&fact.reserves), on(&fact.servers));
        let mut pairs = BTreeSet::new();
        let (mut known_ins, mut known_outs) = (BTreeSet::new(), BTreeSet::new());
        for p in self.state.joined.get(name).map_or(&[][..], |p| p) {
            if !ins.contains(&p.reserve) || !outs.contains(&p.server) {
                continue;
            }
            if let (Some(r), Some(s)) = (reserves.of(&p.reserve), servers.of(&p.server)) {
                known_ins.insert(&p.reserve);
                known_outs.insert(&p.server);
                pairs.insert(Joined {
                    reserve: ReserveId(r),
                    server: ServerId(s),
                    milliwatts: p.milliwatts.min(fact.max_milliwatts),
                });
            }
        }
        // Members that are joined and belong to no commanded pair: with each other if there are such at both ends.
        let rest = |on: &BTreeSet<&'a Name>, known: &BTreeSet<&Name>| -> Vec<&'a Name> {
            on.iter().copied().filter(|n| !known.contains(n)).collect()
        };
        let (more_ins, more_outs) = (rest(&ins, &known_ins), rest(&outs, &known_outs));
        if more_ins.is_empty() && more_outs.is_empty() {
            return pairs.into_iter().collect();
        }
        let all = |some: Vec<&'a Name>, on: BTreeSet<&'a Name>| {
            if some.is_empty() {
                on.into_iter().collect()
            } else {
                some
            }
        };
        let (more_ins, more_outs) = (all(more_ins, ins), all(more_outs, outs));
        let known: u64 = pairs.iter().map(|p| p.milliwatts).fold(0, u64::saturating_add);
        let count = u64::try_from(more_ins.len() * more_outs.len()).unwrap_or(u64::MAX);
        let each = fact.max_milliwatts.saturating_sub(known) / count.max(1);
        for r in &more_ins {
            for s in &more_outs {
                if let (Some(r), Some(s)) = (reserves.of(r), servers.of(s)) {
                    pairs.insert(Joined {
                        reserve: ReserveId(r),
                        server: ServerId(s),
                        milliwatts: each,
                    });
                }
            }
        }
        pairs.into_iter().collect()
    }

    pub(super) fn failures(&self, step: &str) -> u32 {
        self.state.failures.0.get(step).copied().unwrap_or(0)
    }

    fn activities(&self, rows: &BTreeMap<&'a Name, Vec<&'a ActivityFact>>, servers: &Index) -> Vec<Activity> {
        let mut list = Vec::with_capacity(rows.len());
        for (name, rows) in rows {
            let Some(track) = self.state.tracks.get(*name) else {
                continue;
            };
            let Some(host) = servers.of(&track.host) else {
                continue;
            };
            let at_host = rows.iter().find(|r| r.server == track.host);
            let Some(row) = at_host.or(rows.first()) else {
                continue;
            };
            let assigned = self.grouping.assign(&Subject {
                name: row.name.as_str(),
                data_type: &row.data_type,
                process: &row.process,
                qos_class: &row.qos_class,
                asked_set: &row.asked_set,
            });
            let custody = self.view.servers.get(&track.host);
            let fact = custody.and_then(|c| self.server_fact(&track.host, c));
            let is_off = match (custody, fact) {
                (Some(c), Some(f)) => self.powered(&track.host, c, f).is_off(),
                _ => false,
            };
            let mut state = at_host
                .and_then(|r| r.state)
                .filter(|_| !is_off)
                .unwrap_or(ActivityState::Stopped);
            let key = |verb: &str, server: &Name| self.failures(&format!("{verb} {name} {server}"));
            if key("stop", &track.host) >= MAX_ACTION_FAILURES || track.given_up.is_some() {
                state = ActivityState::Failed;
            }
            let running_elsewhere: BTreeSet<ServerId> = rows
                .iter()
                .filter(|r| r.server != track.host && r.draws())
                .filter_map(|r| servers.of(&r.server).map(ServerId))
                .collect();
            // Two running copies that no move explains: counted on both, touched on neither.
            let unexplained = !running_elsewhere.is_empty() && track.moving_to.is_none();
            let startable_on: BTreeSet<ServerId> = rows
                .iter()
                .filter(|r| r.startable)
                .filter(|r| {
                    key("takein", &r.server) < MAX_ACTION_FAILURES
                        && key("start", &r.server) < MAX_ACTION_FAILURES
                })
                .filter(|r| {
                    self.view
                        .servers
                        .get(&r.server)
                        .is_some_and(|c| self.is_armed(&c.pep) && !c.contested)
                })
                .filter_map(|r| servers.of(&r.server).map(ServerId))
                .collect();
            let simulated = fact.is_some_and(|f| f.simulated);
            list.push(Activity {
                name: (*name).clone(),
                set: assigned.set,
                host: ServerId(host),
                home: ServerId(servers.of(&track.home).unwrap_or(host)),
                state,
                copies: running_elsewhere.into_iter().collect(),
                startable_on: startable_on.into_iter().collect(),
                draw_milliwatts: row.draw_milliwatts,
                cpu_millicores: row.cpu_millicores,
                memory_mebibytes: row.memory_mebibytes,
                movable: row.movable && key("moveout", &track.host) < MAX_ACTION_FAILURES,
                restartable: row.restartable,
                move_millis: row.move_millis,
                move_millijoules: row.move_millijoules,
                stop_millis: row.stop_millis,
                stop_millijoules: row.stop_millijoules,
                shed: track.shed,
                armed: custody.is_some_and(|c| self.may_touch(c, simulated)) && !unexplained,
            });
        }
        list
    }
}

/// The members that are joined.
fn on(members: &[MemberFact]) -> BTreeSet<&Name> {
    members.iter().filter(|m| m.joined).map(|m| &m.name).collect()
}

/// A charge, aged to `now`: stale figures are aged by a quarter more than their power says.
fn charge_now(charge: &Charge, efficiency_permille: u32, now: u64, policy: &PowerPolicy) -> u64 {
    let age = now.saturating_sub(charge.at);
    let output = charge.milliwatts.unwrap_or(0).max(0).unsigned_abs();
    let efficiency = u128::from(efficiency_permille.clamp(1, 1000));
    let stale = age > policy.report_period_millis.saturating_mul(3);
    let factor: u128 = if stale { 1_250 } else { 1_000 };
    // mW * ms / 1000 = mJ; the inverter's loss is drawn too; rounded against us.
    let drawn = (u128::from(output) * u128::from(age) * factor).div_ceil(1_000 * efficiency);
    charge
        .millijoules
        .saturating_sub(u64::try_from(drawn).unwrap_or(u64::MAX))
}
