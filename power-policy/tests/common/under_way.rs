//! A cluster in the middle of a plan: what the PDP sees when it plans again while stops, moves, halts and lines are under
//! way, and what it hears late.

use super::generate::Dice;
use power_policy::model::*;
use power_policy::plan::{HostState, Plan, Stage, StepKind, Trigger, Verb};

/// What has gone otherwise than planned when the PDP looks again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mishap {
    Nothing,
    /// Reserves hold less than was forecast.
    Drained,
    /// A server is not heard of any more.
    Silent,
    /// A receiver has failed to take something in, or cannot any more.
    CannotStart,
    /// A reserve has failed.
    DeadReserve,
    /// What was on mains is not any more.
    Spreads,
    /// The mains of a domain is back and has proven itself, that of another stays away.
    Returns,
}

pub(crate) const MISHAPS: [Mishap; 7] = [
    Mishap::Nothing,
    Mishap::Drained,
    Mishap::Silent,
    Mishap::CannotStart,
    Mishap::DeadReserve,
    Mishap::Spreads,
    Mishap::Returns,
];

/// Percent of what is under way that is told late: as it was before.
const LATE: u64 = 15;
/// Stages among which the present one is chosen.
const FIRST_STAGES: u64 = 7;

/// The cluster some time after `plan` was put in force, in one of its first stages.
pub(crate) fn under_way(before: &Snapshot, plan: &Plan, dice: &mut Dice, mishap: Mishap) -> Snapshot {
    let mut now = before.clone();
    let began = before.outage.as_ref().map_or(0, |o| o.elapsed_millis);
    let stages: Vec<&Stage> = plan.central_stages().collect();
    let present = dice.range(0, FIRST_STAGES.min(stages.len().max(1) as u64 - 1)) as usize;
    let mut time = began;
    for (at, stage) in stages.iter().enumerate().take(present + 1) {
        time = time.max(due(plan, &stage.trigger, time));
        let whole = longest(before, stage);
        let passed = if at < present {
            whole
        } else {
            dice.range(0, whole.max(1))
        };
        for step in &stage.steps {
            let done = at < present || passed >= takes(before, &step.kind);
            // Results of earlier stages are in, or the present one would not have been released.
            let late = at == present && dice.chance(LATE);
            do_step(&mut now, &step.kind, done, late);
        }
        time += passed;
    }
    if let Some(outage) = &mut now.outage {
        outage.elapsed_millis = time;
        if time >= 3_000 {
            outage.phase = Phase::Interrupted;
        }
    }
    for forecast in &plan.reserves {
        let charge = charge_at(&forecast.points, time);
        let found = now.reserves.iter_mut().find(|r| r.name == forecast.reserve);
        if let (Some(charge), Some(reserve)) = (charge, found) {
            reserve.charge_millijoules = charge.min(reserve.charge_millijoules);
        }
    }
    befall(&mut now, dice, mishap);
    assert_eq!(now.validate(), Ok(()));
    now
}

/// When a stage is released, at the earliest.
fn due(plan: &Plan, trigger: &Trigger, after: u64) -> u64 {
    match trigger {
        Trigger::Elapsed { millis } => *millis,
        Trigger::Delay { millis } => after + millis,
        Trigger::ChargeBelow {
            reserves,
            millijoules,
        } => {
            let sum = |at: u64| -> u64 {
                let watched = plan.reserves.iter().filter(|f| reserves.contains(&f.reserve));
                watched.filter_map(|f| charge_at(&f.points, at)).sum()
            };
            let times = plan.reserves.iter().flat_map(|f| &f.points).map(|p| p.0);
            let mut times: Vec<u64> = times.filter(|t| *t >= after).collect();
            times.sort_unstable();
            times
                .into_iter()
                .find(|t| sum(*t) <= *millijoules)
                .unwrap_or(after)
        }
        _ => after,
    }
}

fn charge_at(points: &[(u64, u64)], at: u64) -> Option<u64> {
    let after = points.partition_point(|(t, _)| *t < at);
    match (after.checked_sub(1).map(|i| points[i]), points.get(after)) {
        (Some((a, x)), Some((b, y))) => {
            let part = (at - a) as f64 / (b - a).max(1) as f64;
            Some((x as f64 + (*y as f64 - x as f64) * part) as u64)
        }
        (Some((_, x)), None) => Some(x),
        (None, first) => first.map(|f| f.1),
    }
}

fn longest(snapshot: &Snapshot, stage: &Stage) -> u64 {
    let steps = stage.steps.iter().map(|s| takes(snapshot, &s.kind));
    steps.max().unwrap_or(0)
}

fn find<'a>(snapshot: &'a Snapshot, activity: &Name) -> &'a Activity {
    snapshot.activities.iter().find(|a| a.name == *activity).unwrap()
}

fn takes(snapshot: &Snapshot, kind: &StepKind) -> u64 {
    match kind {
        StepKind::Activity { activity, verb, .. } => match verb {
            Verb::Stop | Verb::MoveOut => find(snapshot, activity).stop_millis,
            Verb::TakeIn | Verb::Start => find(snapshot, activity).move_millis,
            Verb::Run | Verb::Cap => 0,
        },
        StepKind::Host { server, state } => {
            let server = &snapshot.servers[snapshot.server_id(server).unwrap().0 as usize];
            match state {
                HostState::On => server.boot_millis,
                HostState::Off => server.halt_millis,
                HostState::Standby => 0,
            }
        }
        StepKind::Divert { line, .. } => {
            let line = snapshot.lines.iter().find(|l| l.name == *line).unwrap();
            line.switch_millis
        }
        StepKind::Intake { .. } => 0,
    }
}

fn do_step(now: &mut Snapshot, kind: &StepKind, done: bool, late: bool) {
    match kind {
        StepKind::Activity {
            activity,
            server,
            verb,
            ..
        } => {
            let server = now.server_id(server).unwrap();
            let at = now.activities.iter().position(|a| a.name == *activity).unwrap();
            act(&mut now.activities[at], server, *verb, done, late);
        }
        StepKind::Host {
            server,
            state: HostState::Off,
        } if done && !late => {
            // Everything on it has ended before.
            let server = now.server_id(server).unwrap();
            lose(now, server);
            now.servers[server.0 as usize].powered = Powered::OffCommanded;
        }
        StepKind::Host {
            server,
            state: HostState::On,
        } if done && !late => {
            let server = now.server_id(server).unwrap();
            now.servers[server.0 as usize].powered = Powered::On;
        }
        StepKind::Divert {
            line,
            reserve,
            server,
            milliwatts,
        } => {
            let server = now.server_id(server).unwrap();
            let reserve = now.reserves.iter().position(|r| r.name == *reserve).unwrap();
            let reserve = ReserveId(u32::try_from(reserve).unwrap());
            let line = now.lines.iter_mut().find(|l| l.name == *line).unwrap();
            if !done || late {
                line.state = LineState::Moving;
                return;
            }
            let same = |j: &Joined| j.reserve == reserve && j.server == server;
            line.joined.retain(|j| !same(j));
            if *milliwatts > 0 {
                if line.mode == LineMode::Exclusive {
                    line.joined.clear();
                }
                line.joined.push(Joined {
                    reserve,
                    server,
                    milliwatts: *milliwatts,
                });
                line.joined.sort();
            }
            line.state = if line.joined.is_empty() {
                LineState::Open
            } else {
                LineState::Closed
            };
        }
        _ => {}
    }
}

fn act(activity: &mut Activity, server: ServerId, verb: Verb, done: bool, late: bool) {
    match verb {
        Verb::Stop if done && !late => {
            activity.state = ActivityState::Stopped;
            activity.shed = true;
            activity.copies.clear();
        }
        Verb::Stop if done || !late => activity.state = ActivityState::Stopping,
        // Its state is told late: it runs, or is being started.
        Verb::TakeIn if done || !late => activity.copies = vec![server],
        Verb::MoveOut if done && !late => {
            if let Some(to) = activity.copies.first().copied() {
                activity.host = to;
                activity.copies.clear();
                activity.state = ActivityState::Running;
            }
        }
        Verb::MoveOut if (done || !late) && !activity.copies.is_empty() => {
            activity.state = ActivityState::Stopping;
        }
        Verb::Start if done && !late => activity.state = ActivityState::Running,
        Verb::Start => activity.state = ActivityState::Starting,
        _ => {}
    }
}

fn befall(now: &mut Snapshot, dice: &mut Dice, mishap: Mishap) {
    match mishap {
        Mishap::Nothing => {}
        Mishap::Drained => {
            for reserve in &mut now.reserves {
                let part = dice.range(60, 100);
                reserve.charge_millijoules = reserve.charge_millijoules / 100 * part;
            }
        }
        Mishap::Silent => {
            let s = dice.range(0, now.servers.len() as u64 - 1) as usize;
            if now.servers[s].powered == Powered::On {
                now.servers[s].powered = Powered::Unreachable;
                now.servers[s].age_millis = 60_000;
            }
        }
        Mishap::CannotStart => {
            for activity in now.activities.iter_mut().filter(|a| !a.copies.is_empty()) {
                if dice.chance(40) {
                    let copies = activity.copies.clone();
                    activity.startable_on.retain(|s| !copies.contains(s));
                }
            }
        }
        Mishap::DeadReserve => {
            let r = dice.range(0, now.reserves.len() as u64 - 1) as usize;
            now.reserves[r].state = ReserveState::Fault;
            // Its servers are lost with it, long before anybody plans.
            for s in now.reserves[r].feeds.clone() {
                lose(now, s);
            }
        }
        Mishap::Returns => {
            let Some(back) = (now.domains.len() > 1).then(|| dice.range(0, now.domains.len() as u64 - 1))
            else {
                return;
            };
            let back = DomainId(u32::try_from(back).unwrap());
            now.domains[back.0 as usize].mains = Mains::Present;
            for server in &mut now.servers {
                if server.inlets.iter().any(|i| i.domain == back) {
                    server.mains = Mains::Present;
                }
            }
            for reserve in &mut now.reserves {
                // Some have charged meanwhile.
                let room = reserve.capacity_millijoules
                    - reserve.charge_millijoules.min(reserve.capacity_millijoules);
                reserve.charge_millijoules += room / 100 * dice.range(0, 100);
            }
            let away = now.domains.iter().filter(|d| d.mains == Mains::Absent);
            let away: Vec<Name> = away.map(|d| d.name.clone()).collect();
            if let Some(outage) = &mut now.outage {
                outage.scope = Scope::Domains(away);
            }
        }
        Mishap::Spreads => {
            now.domains.iter_mut().for_each(|d| d.mains = Mains::Absent);
            now.servers.iter_mut().for_each(|s| s.mains = Mains::Absent);
            if let Some(outage) = &mut now.outage {
                outage.scope = Scope::Cluster;
            }
        }
    }
}

/// A server has lost power, and a witness sees it off.
fn lose(now: &mut Snapshot, s: ServerId) {
    let server = &mut now.servers[s.0 as usize];
    if server.mains == Mains::Present || server.powered.is_off() {
        return;
    }
    server.powered = Powered::OffSeen;
    for activity in &mut now.activities {
        activity.copies.retain(|c| *c != s);
        if activity.host != s || !activity.draws() {
            continue;
        }
        match activity.copies.first().copied() {
            Some(to) => {
                activity.host = to;
                activity.state = ActivityState::Running;
                activity.copies.clear();
            }
            None => (activity.state, activity.shed) = (ActivityState::Stopped, true),
        }
    }
}
