//! No dirty stop (invariant 3): a stop is graceful or it did not happen.

use std::collections::{BTreeMap, BTreeSet};

use super::electricity::permille;
use super::reading::Reading;
use super::run::{self, Conditions, Loss, Outcome};
use super::violation::{Findings, Invariant};
use crate::model::{ActivityState, LineState, Mains, Name, PowerPolicy, Powered, ReserveState, Snapshot};
use crate::plan::Plan;

/// Longest break that a power supply carries by itself.
const HOLD_UP_MILLIS: u64 = 10;

/// Servers that no plan could have saved.
#[derive(Debug)]
pub(super) struct Excuses {
    excused: Vec<bool>,
}

impl Excuses {
    /// Judges each server by what is within its reach, nobody else counted; and each island by its sums, where the
    /// plan itself says that something falls short.
    pub(super) fn new(snapshot: &Snapshot, plan: &Plan, policy: &PowerPolicy) -> Self {
        let loads = super::loads(snapshot);
        let running = super::touchable(snapshot);
        let elapsed = snapshot.outage.as_ref().map_or(0, |o| o.elapsed_millis);
        let debounce = policy.debounce_millis.saturating_sub(elapsed) as f64 / 1_000.0;
        let needs: Vec<f64> = (0..snapshot.servers.len())
            .map(|s| loads[s] as f64 * debounce + super::clean_end(snapshot, s, &running[s]))
            .collect();
        let spare = spare(snapshot, &loads);
        let mut reach = Reach::new(snapshot, &spare, &protection(snapshot, policy, &loads, &running));
        let refused: BTreeSet<&Name> = plan.refusals.iter().map(|r| &r.subject).collect();
        let mut excused = vec![false; snapshot.servers.len()];
        let islands = islands(snapshot);
        let count = islands.iter().max().map_or(0, |m| m + 1);
        let mut short = vec![(0.0f64, 0.0f64, 0.0f64, 0.0f64); count];
        for (s, island) in islands.iter().enumerate().take(snapshot.servers.len()) {
            if !super::electricity::is_on_mains(snapshot, s, plan.cause == crate::model::Cause::Standing) {
                short[*island].0 += needs[s];
                short[*island].1 += loads[s] as f64;
            }
        }
        for (r, reserve) in snapshot.reserves.iter().enumerate() {
            let island = islands[snapshot.servers.len() + r];
            short[island].2 += reserve.usable_millijoules() as f64;
            if reserve.usable_millijoules() > 0 {
                short[island].3 += reserve.max_discharge_milliwatts as f64;
            }
        }
        for s in 0..snapshot.servers.len() {
            // A clean end takes so long at least, and lines pass no more than their watts in that time.
            let stops = running[s].iter().map(|a| snapshot.activities[*a].stop_millis);
            let halt = if snapshot.servers[s].may_switch_off() {
                snapshot.servers[s].halt_millis
            } else {
                0
            };
            let span = debounce + stops.max().unwrap_or(0).saturating_add(halt) as f64 / 1_000.0;
            let (energy, watts) = reach.of(s, span);
            let alone = energy < needs[s] || watts < loads[s] as f64;
            let said = refused.contains(&snapshot.servers[s].name)
                || running[s]
                    .iter()
                    .any(|a| refused.contains(&snapshot.activities[*a].name));
            let (need, load, energy, watts) = short[islands[s]];
            let together = energy < need || watts < load;
            // What is not reachable cannot be stopped either.
            let lost_sight = snapshot.servers[s].powered == Powered::Unreachable;
            excused[s] = alone || lost_sight || (together && said);
        }
        Self { excused }
    }

    /// Stops that were under way at the moment of planning are taken to need their whole time, since nobody says how far
    /// they are. Where what feeds their server now does not last so long, the plan is not to blame for that.
    pub(super) fn or_stops_too_late(
        mut self,
        snapshot: &Snapshot,
        policy: &PowerPolicy,
        conditions: Conditions,
    ) -> Self {
        let stopping = |a: &usize| snapshot.activities[*a].state == ActivityState::Stopping;
        if !(0..snapshot.activities.len()).any(|a| stopping(&a)) {
            return self;
        }
        let nothing_done = Reading {
            central: Vec::new(),
            local: Vec::new(),
        };
        for loss in run::run(snapshot, &nothing_done, policy, conditions).losses {
            self.excused[loss.server] |= loss.running.iter().any(stopping);
        }
        self
    }

    pub(super) fn covers(&self, server: usize) -> bool {
        self.excused[server]
    }
}

/// What each reserve can give beyond the load of its own servers, in milliwatts.
fn spare(snapshot: &Snapshot, loads: &[u64]) -> Vec<f64> {
    snapshot
        .reserves
        .iter()
        .map(|r| {
            let own = r.feeds.iter().map(|s| s.0 as usize);
            let dark = own.filter(|s| !super::electricity::is_on_mains(snapshot, *s, false));
            // With several reserves of its own a server needs each of them only in part.
            let load: u64 = dark.map(|s| loads[s]).fold(0, u64::saturating_add);
            r.max_discharge_milliwatts.saturating_sub(load) as f64
        })
        .collect()
}

/// What each reserve keeps for its own servers on mains, should that go too (invariant 18).
fn protection(snapshot: &Snapshot, policy: &PowerPolicy, loads: &[u64], running: &[Vec<usize>]) -> Vec<f64> {
    let seconds = policy.protect_millis as f64 / 1_000.0;
    let kept = |s: usize| loads[s] as f64 * seconds + super::clean_end(snapshot, s, &running[s]);
    snapshot
        .reserves
        .iter()
        .map(|reserve| {
            let homes = reserve.feeds.iter().map(|s| s.0 as usize);
            let on_mains = homes.filter(|s| snapshot.servers[*s].mains == Mains::Present);
            on_mains.map(kept).sum()
        })
        .collect()
}

/// Upper bounds of what a server can get, as if nobody else were there. A reserve counts once, however many lines it feeds
/// into, and not again over a line for a server that it feeds itself.
struct Reach<'a> {
    snapshot: &'a Snapshot,
    /// By reserve: energy, and watts beyond the load of its own servers.
    gives: Vec<(f64, f64)>,
    /// By server: the reserves that feed it.
    own: Vec<Vec<usize>>,
    by_server: Vec<Vec<usize>>,
    /// By line: the reserves that it can take from.
    members: Vec<Vec<usize>>,
    /// By list of lines: energy and watts of all their reserves together.
    together: BTreeMap<Vec<usize>, (f64, f64)>,
}

impl<'a> Reach<'a> {
    fn new(snapshot: &'a Snapshot, spare: &[f64], protection: &[f64]) -> Self {
        let mut own = vec![Vec::new(); snapshot.servers.len()];
        let mut gives = Vec::with_capacity(snapshot.reserves.len());
        for (r, reserve) in snapshot.reserves.iter().enumerate() {
            let usable = reserve.usable_millijoules() as f64;
            gives.push(if usable > 0.0 {
                ((usable - protection[r]).max(0.0), spare[r])
            } else {
                (0.0, 0.0)
            });
            for s in reserve.feeds.iter().filter(|_| usable > 0.0) {
                own[s.0 as usize].push(r);
            }
        }
        let mut by_server = vec![Vec::new(); snapshot.servers.len()];
        let mut members = Vec::with_capacity(snapshot.lines.len());
        for (l, line) in snapshot.lines.iter().enumerate() {
            let able = line.armed && line.state != LineState::Fault;
            for s in line.servers.iter().filter(|_| able) {
                by_server[s.0 as usize].push(l);
            }
            let list = line.reserves.iter().map(|r| r.0 as usize).filter(|r| {
                let reserve = &snapshot.reserves[*r];
                let usable = !matches!(reserve.state, ReserveState::Fault | ReserveState::Unknown);
                reserve.armed && usable && reserve.simulated == line.simulated
            });
            members.push(list.collect::<Vec<usize>>());
        }
        for list in &mut members {
            list.sort_unstable();
            list.dedup();
        }
        Self {
            snapshot,
            gives,
            own,
            by_server,
            members,
            together: BTreeMap::new(),
        }
    }

    /// Energy and watts of the reserves of these lines, each reserve once, at the lines' inputs.
    fn together(&mut self, lines: Vec<usize>) -> (f64, f64) {
        if let Some(known) = self.together.get(&lines) {
            return *known;
        }
        let reserves: BTreeSet<usize> = lines
            .iter()
            .flat_map(|l| self.members[*l].iter().copied())
            .collect();
        let sum = reserves.iter().fold((0.0, 0.0), |(energy, watts), r| {
            (energy + self.gives[*r].0, watts + self.gives[*r].1)
        });
        self.together.insert(lines, sum);
        sum
    }

    /// The same without the server's own reserves.
    fn of_others(&mut self, server: usize, lines: &[usize]) -> (f64, f64) {
        let (mut energy, mut watts) = self.together(lines.to_vec());
        for r in &self.own[server] {
            if lines.iter().any(|l| self.members[*l].binary_search(r).is_ok()) {
                energy -= self.gives[*r].0;
                watts -= self.gives[*r].1;
            }
        }
        (energy.max(0.0), watts.max(0.0))
    }

    /// Energy and watts at the server's input, for a time in seconds.
    fn of(&mut self, server: usize, span: f64) -> (f64, f64) {
        let (mut energy, mut watts) = (0.0, 0.0);
        for r in &self.own[server] {
            let reserve = &self.snapshot.reserves[*r];
            energy += self.gives[*r].0;
            watts += reserve.max_discharge_milliwatts as f64;
        }
        let lines = self.by_server[server].clone();
        let best = |lines: &[usize]| {
            let factors = lines
                .iter()
                .map(|l| permille(self.snapshot.lines[*l].efficiency_permille));
            factors.fold(0.0, f64::max)
        };
        // A line that takes longer than the power supply holds comes too late for a server with nothing else.
        let joined = |l: &usize| {
            let joined = &self.snapshot.lines[*l].joined;
            joined.iter().any(|j| j.server.0 as usize == server)
        };
        let quick: Vec<usize> = lines
            .iter()
            .copied()
            .filter(|l| !joined(l) && self.snapshot.lines[*l].switch_millis <= HOLD_UP_MILLIS)
            .collect();
        for l in lines.iter().filter(|l| joined(l)) {
            let line = &self.snapshot.lines[*l];
            watts += line.max_milliwatts as f64 * permille(line.efficiency_permille);
        }
        let (best_of_all, best_of_quick) = (best(&lines), best(&quick));
        let through: f64 = lines
            .iter()
            .map(|l| &self.snapshot.lines[*l])
            .map(|line| line.max_milliwatts as f64 * permille(line.efficiency_permille))
            .sum();
        energy += (self.of_others(server, &lines).0 * best_of_all).min(through * span);
        // Both what the lines pass one by one and what their reserves have together bound what arrives.
        let mut passed = 0.0;
        for l in &quick {
            let line = &self.snapshot.lines[*l];
            let given = self.of_others(server, std::slice::from_ref(l)).1;
            passed += given.min(line.max_milliwatts as f64) * permille(line.efficiency_permille);
        }
        watts += passed.min(self.of_others(server, &quick).1 * best_of_quick);
        (energy, watts)
    }
}

/// Numbers of the parts that hang together over reserves and lines: servers first, then reserves.
fn islands(snapshot: &Snapshot) -> Vec<usize> {
    let servers = snapshot.servers.len();
    let mut parent: Vec<usize> = (0..servers + snapshot.reserves.len()).collect();
    fn root(parent: &mut [usize], mut x: usize) -> usize {
        while parent[x] != x {
            parent[x] = parent[parent[x]];
            x = parent[x];
        }
        x
    }
    let mut join = |a: usize, b: usize| {
        let (a, b) = (root(&mut parent, a), root(&mut parent, b));
        parent[a.max(b)] = a.min(b);
    };
    for (r, reserve) in snapshot.reserves.iter().enumerate() {
        for s in &reserve.feeds {
            join(servers + r, s.0 as usize);
        }
    }
    for line in snapshot.lines.iter().filter(|l| l.armed) {
        let members = line
            .reserves
            .iter()
            .map(|r| servers + r.0 as usize)
            .chain(line.servers.iter().map(|s| s.0 as usize));
        let members: Vec<usize> = members.collect();
        for pair in members.windows(2) {
            join(pair[0], pair[1]);
        }
    }
    let mut number = std::collections::BTreeMap::new();
    (0..parent.len())
        .map(|x| {
            let root = root(&mut parent, x);
            let next = number.len();
            *number.entry(root).or_insert(next)
        })
        .collect()
}

/// Losses of the plan as written.
pub(super) fn check(snapshot: &Snapshot, outcome: &Outcome, excuses: &Excuses, findings: &mut Findings) {
    for loss in outcome.losses.iter().filter(|l| is_dirty(l)) {
        if !excuses.covers(loss.server) {
            report(snapshot, loss, Invariant::DirtyStop, "", findings);
        }
    }
}

/// Losses that only the margin would have prevented.
pub(super) fn check_margin(
    snapshot: &Snapshot,
    nominal: &Outcome,
    stressed: &Outcome,
    excuses: &Excuses,
    findings: &mut Findings,
) {
    let known = lost_servers(nominal);
    for loss in stressed.losses.iter().filter(|l| is_dirty(l)) {
        if !known.contains(&loss.server) && !excuses.covers(loss.server) {
            report(
                snapshot,
                loss,
                Invariant::HoldBack,
                " when thresholds are seen late and stops take their margin",
                findings,
            );
        }
    }
}

pub(super) fn lost_servers(outcome: &Outcome) -> BTreeSet<usize> {
    outcome
        .losses
        .iter()
        .filter(|l| is_dirty(l))
        .map(|l| l.server)
        .collect()
}

pub(super) fn is_dirty(loss: &Loss) -> bool {
    !loss.running.is_empty() || loss.halting
}

pub(super) fn report(
    snapshot: &Snapshot,
    loss: &Loss,
    invariant: Invariant,
    when: &str,
    findings: &mut Findings,
) {
    let what = match loss.running.first() {
        Some(first) => format!(
            "{} activities running ({} is one)",
            loss.running.len(),
            snapshot.activities[*first].name
        ),
        None => "in the middle of its halt".to_owned(),
    };
    findings.add(
        invariant,
        loss.after_stage,
        &snapshot.servers[loss.server].name,
        format!(
            "loses power at {} ms, drawing {} mW, with {what}{when}",
            loss.at_millis, loss.load_milliwatts
        ),
    );
}
