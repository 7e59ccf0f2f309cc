//! What lines, reserves and servers can carry, and who may be joined to whom (invariant 2).

use std::collections::{BTreeMap, BTreeSet};

use super::reading::{Act, Reading};
use super::violation::{Findings, Invariant};
use crate::model::{LineMode, LineState, Name, PowerPolicy, Powered, ReserveState, Snapshot};

/// Report periods after which a reserve's figures count for nobody but its own servers.
const DEAD_PERIODS: u64 = 6;

/// What is joined, and the sums that limits are held against.
struct Joints<'a> {
    snapshot: &'a Snapshot,
    /// Caps by line, reserve and server.
    caps: BTreeMap<(usize, usize, usize), u64>,
    line: Vec<u64>,
    reserve: Vec<u64>,
    /// Lines by reserve and server, for the fans.
    pairs: BTreeMap<(usize, usize), u32>,
    fan_in: Vec<u32>,
    fan_out: Vec<u32>,
    by_line: Vec<BTreeSet<(usize, usize)>>,
}

impl<'a> Joints<'a> {
    fn new(snapshot: &'a Snapshot) -> Self {
        let mut this = Self {
            snapshot,
            caps: BTreeMap::new(),
            line: vec![0; snapshot.lines.len()],
            reserve: vec![0; snapshot.reserves.len()],
            pairs: BTreeMap::new(),
            fan_in: vec![0; snapshot.servers.len()],
            fan_out: vec![0; snapshot.reserves.len()],
            by_line: vec![BTreeSet::new(); snapshot.lines.len()],
        };
        for (l, line) in snapshot.lines.iter().enumerate() {
            for j in &line.joined {
                this.set(l, j.reserve.0 as usize, j.server.0 as usize, j.milliwatts);
            }
        }
        this
    }

    fn set(&mut self, line: usize, reserve: usize, server: usize, cap: u64) {
        let exclusive = self.snapshot.lines[line].mode == LineMode::Exclusive;
        if cap > 0 && exclusive {
            let others = self.by_line[line].iter().filter(|p| **p != (reserve, server));
            for (r, s) in others.copied().collect::<Vec<_>>() {
                self.put(line, r, s, 0);
            }
        }
        self.put(line, reserve, server, cap);
    }

    fn put(&mut self, line: usize, reserve: usize, server: usize, cap: u64) {
        let before = if cap == 0 {
            self.by_line[line].remove(&(reserve, server));
            self.caps.remove(&(line, reserve, server)).unwrap_or(0)
        } else {
            self.by_line[line].insert((reserve, server));
            self.caps.insert((line, reserve, server), cap).unwrap_or(0)
        };
        for sum in [&mut self.line[line], &mut self.reserve[reserve]] {
            *sum = sum.saturating_sub(before).saturating_add(cap);
        }
        let pair = self.pairs.entry((reserve, server)).or_insert(0);
        match (before > 0, cap > 0) {
            (false, true) => {
                *pair += 1;
                if *pair == 1 {
                    self.fan_in[server] += 1;
                    self.fan_out[reserve] += 1;
                }
            }
            (true, false) => {
                *pair -= 1;
                if *pair == 0 {
                    self.fan_in[server] -= 1;
                    self.fan_out[reserve] -= 1;
                }
            }
            _ => {}
        }
    }
}

pub(super) fn check(
    snapshot: &Snapshot,
    reading: &Reading<'_>,
    policy: &PowerPolicy,
    findings: &mut Findings,
) {
    let mut joints = Joints::new(snapshot);
    let unreachable: BTreeSet<&Name> = snapshot
        .servers
        .iter()
        .filter(|s| s.powered == Powered::Unreachable)
        .filter_map(|s| s.pep.as_ref())
        .collect();
    for stage in &reading.central {
        let order = stage.stage.order;
        // Pairs that this stage gives power to; only these are judged, what stands already is not the plan's.
        let mut given: BTreeSet<(usize, usize, usize)> = BTreeSet::new();
        for act in &stage.acts {
            let Act::Divert {
                line,
                reserve,
                server,
                milliwatts,
            } = *act
            else {
                continue;
            };
            divert(
                snapshot,
                policy,
                &unreachable,
                (line, reserve, server, milliwatts),
                order,
                findings,
            );
            joints.set(line, reserve, server, milliwatts);
            if milliwatts > 0 {
                given.insert((line, reserve, server));
            }
        }
        limits(&joints, &given, order, findings);
        let spare_only = order == 0;
        if spare_only {
            spare_watts(&joints, &given, order, findings);
        }
    }
}

fn divert(
    snapshot: &Snapshot,
    policy: &PowerPolicy,
    unreachable: &BTreeSet<&Name>,
    (l, r, s, milliwatts): (usize, usize, usize, u64),
    order: u32,
    findings: &mut Findings,
) {
    let (line, reserve, server) = (&snapshot.lines[l], &snapshot.reserves[r], &snapshot.servers[s]);
    let order = Some(order);
    if !line.reserves.iter().any(|x| x.0 as usize == r) {
        findings.add(
            Invariant::Membership,
            order,
            &line.name,
            format!(
                "{} is not among its {} reserves",
                reserve.name,
                line.reserves.len()
            ),
        );
    }
    if !line.servers.iter().any(|x| x.0 as usize == s) {
        findings.add(
            Invariant::Membership,
            order,
            &line.name,
            format!("{} is not among its {} servers", server.name, line.servers.len()),
        );
    }
    if line.simulated != reserve.simulated || line.simulated != server.simulated {
        let kind = |simulated: bool| if simulated { "simulated" } else { "real" };
        findings.add(
            Invariant::SimulatedAndReal,
            order,
            &line.name,
            format!(
                "a {} line, {} is {}, {} is {}",
                kind(line.simulated),
                reserve.name,
                kind(reserve.simulated),
                server.name,
                kind(server.simulated)
            ),
        );
    }
    if !line.armed {
        findings.add(
            Invariant::Unarmed,
            order,
            &line.name,
            "the line is not armed".to_owned(),
        );
    }
    if line.state == LineState::Fault {
        findings.add(
            Invariant::FaultyLine,
            order,
            &line.name,
            "the line is faulty and cannot be commanded".to_owned(),
        );
    }
    let custodian_unreachable = line.pep.as_ref().is_some_and(|pep| unreachable.contains(pep));
    if server.powered == Powered::Unreachable || custodian_unreachable {
        findings.add(
            Invariant::UnknownState,
            order,
            &line.name,
            format!(
                "it leads to or hangs on a server that cannot be reached ({})",
                server.name
            ),
        );
    }
    if milliwatts == 0 {
        return;
    }
    if !reserve.armed && !reserve.feeds.iter().any(|x| x.0 as usize == s) {
        findings.add(
            Invariant::Unarmed,
            order,
            &reserve.name,
            format!(
                "an unarmed reserve feeds its own servers only, not {}",
                server.name
            ),
        );
    }
    let unusable = matches!(reserve.state, ReserveState::Fault | ReserveState::Unknown);
    let oldest = policy.report_period_millis.saturating_mul(DEAD_PERIODS);
    if unusable || reserve.age_millis > oldest {
        findings.add(
            Invariant::UnknownState,
            order,
            &reserve.name,
            format!(
                "its state is {:?}, its figures are {} ms old (at most {oldest} ms)",
                reserve.state, reserve.age_millis
            ),
        );
    }
}

fn limits(joints: &Joints<'_>, given: &BTreeSet<(usize, usize, usize)>, order: u32, findings: &mut Findings) {
    let snapshot = joints.snapshot;
    let over = |findings: &mut Findings, name, what: &str, found: u64, most: u64| {
        if found > most {
            findings.add(
                Invariant::LinkLimit,
                Some(order),
                name,
                format!("{what}: {found}, at most {most}"),
            );
        }
    };
    let lines: BTreeSet<usize> = given.iter().map(|(l, _, _)| *l).collect();
    let reserves: BTreeSet<usize> = given.iter().map(|(_, r, _)| *r).collect();
    let servers: BTreeSet<usize> = given.iter().map(|(_, _, s)| *s).collect();
    for l in lines {
        let line = &snapshot.lines[l];
        over(
            findings,
            &line.name,
            "milliwatts through the line",
            joints.line[l],
            line.max_milliwatts,
        );
        let pairs = given.iter().filter(|(x, _, _)| *x == l).count();
        if line.mode == LineMode::Exclusive {
            over(
                findings,
                &line.name,
                "pairs on an exclusive line",
                pairs as u64,
                1,
            );
        }
    }
    for r in reserves {
        let reserve = &snapshot.reserves[r];
        over(
            findings,
            &reserve.name,
            "milliwatts from the reserve",
            joints.reserve[r],
            reserve.max_discharge_milliwatts,
        );
        if reserve.fan_out > 0 {
            over(
                findings,
                &reserve.name,
                "servers fed over lines",
                joints.fan_out[r].into(),
                reserve.fan_out.into(),
            );
        }
    }
    for s in servers {
        let server = &snapshot.servers[s];
        if server.fan_in > 0 {
            over(
                findings,
                &server.name,
                "reserves that feed it over lines",
                joints.fan_in[s].into(),
                server.fan_in.into(),
            );
        }
    }
}

/// Before the donor has shed, a reserve gives others no more than what its own servers leave over.
fn spare_watts(
    joints: &Joints<'_>,
    given: &BTreeSet<(usize, usize, usize)>,
    order: u32,
    findings: &mut Findings,
) {
    let snapshot = joints.snapshot;
    let reserves: BTreeSet<usize> = given.iter().map(|(_, r, _)| *r).collect();
    if reserves.is_empty() {
        return;
    }
    let loads = super::loads(snapshot);
    let mut through_lines = vec![0u64; snapshot.servers.len()];
    for ((l, _, s), cap) in &joints.caps {
        let arrives =
            u128::from(*cap) * u128::from(snapshot.lines[*l].efficiency_permille.min(1_000)) / 1_000;
        through_lines[*s] = through_lines[*s].saturating_add(u64::try_from(arrives).unwrap_or(u64::MAX));
    }
    // What the own reserves of each server can give together, to share its load among them.
    let mut able = vec![0u64; snapshot.servers.len()];
    for reserve in snapshot.reserves.iter().filter(|r| r.usable_millijoules() > 0) {
        for s in &reserve.feeds {
            let sum = &mut able[s.0 as usize];
            *sum = sum.saturating_add(reserve.max_discharge_milliwatts);
        }
    }
    for r in reserves {
        let reserve = &snapshot.reserves[r];
        let mut own = 0u64;
        for s in reserve.feeds.iter().map(|s| s.0 as usize) {
            if super::electricity::is_on_mains(snapshot, s, false) {
                continue;
            }
            let rest = loads[s].saturating_sub(through_lines[s]);
            let part = u128::from(rest) * u128::from(reserve.max_discharge_milliwatts)
                / u128::from(able[s].max(reserve.max_discharge_milliwatts).max(1));
            own = own.saturating_add(u64::try_from(part).unwrap_or(u64::MAX));
        }
        let spare = reserve.max_discharge_milliwatts.saturating_sub(own);
        if joints.reserve[r] > spare {
            findings.add(
                Invariant::TooEarly,
                Some(order),
                &reserve.name,
                format!(
                    "{} mW are given away before anything is shed; its own servers draw {own} mW of {} mW, which leaves {spare} mW",
                    joints.reserve[r], reserve.max_discharge_milliwatts
                ),
            );
        }
    }
}
