//! Only what is interrupted is touched, and what is lent keeps its protection (invariant 18).

use std::collections::BTreeMap;

use super::electricity::permille;
use super::reading::{Act, Reading};
use super::run::Outcome;
use super::violation::{Findings, Invariant};
use crate::model::{Cause, Mains, PowerPolicy, Powered, Snapshot};
use crate::plan::{HostState, Plan, Verb};

pub(super) fn check(snapshot: &Snapshot, plan: &Plan, reading: &Reading<'_>, findings: &mut Findings) {
    // The highest class that each server takes in: what is lower may make room for it.
    let mut taken_in: BTreeMap<usize, u16> = BTreeMap::new();
    let activity_acts = || reading.central.iter().flat_map(|s| &s.acts);
    for act in activity_acts() {
        if let Act::Activity {
            activity,
            server,
            verb: Verb::TakeIn,
            ..
        } = *act
        {
            let priority = super::priority(snapshot, activity).unwrap_or(0);
            let best = taken_in.entry(server).or_insert(priority);
            *best = priority.max(*best);
        }
    }
    for stage in &reading.central {
        let order = Some(stage.stage.order);
        for act in &stage.acts {
            match *act {
                Act::Activity {
                    activity,
                    server,
                    verb: verb @ (Verb::Stop | Verb::Cap),
                    ..
                } => {
                    let model = &snapshot.servers[server];
                    let makes_room = taken_in
                        .get(&server)
                        .is_some_and(|p| super::priority(snapshot, activity).is_some_and(|own| own < *p));
                    if model.mains != Mains::Absent && !makes_room {
                        findings.add(
                            Invariant::Scope,
                            order,
                            &snapshot.activities[activity].name,
                            format!(
                                "{verb:?} on {}, whose mains is {:?}, and nothing higher takes its place",
                                model.name, model.mains
                            ),
                        );
                    }
                }
                Act::Host {
                    server,
                    state: state @ (HostState::Standby | HostState::Off),
                } => {
                    let model = &snapshot.servers[server];
                    if model.mains != Mains::Absent {
                        findings.add(
                            Invariant::Scope,
                            order,
                            &model.name,
                            format!("{state:?} although its mains is {:?}", model.mains),
                        );
                    }
                }
                Act::Divert {
                    reserve,
                    server,
                    milliwatts: 1..,
                    ..
                } => lent(snapshot, plan, order, reserve, server, findings),
                _ => {}
            }
        }
    }
}

fn lent(
    snapshot: &Snapshot,
    plan: &Plan,
    order: Option<u32>,
    reserve: usize,
    server: usize,
    findings: &mut Findings,
) {
    let (model, fed) = (&snapshot.reserves[reserve], &snapshot.servers[server]);
    if fed.mains != Mains::Absent && plan.cause != Cause::Restoration {
        findings.add(
            Invariant::Scope,
            order,
            &model.name,
            format!("discharged for {}, whose mains is {:?}", fed.name, fed.mains),
        );
    }
    let home = model.feeds.iter().map(|s| &snapshot.servers[s.0 as usize]);
    let unsure = home
        .into_iter()
        .find(|s| matches!(s.mains, Mains::Unknown | Mains::Unstable));
    if let Some(home) = unsure {
        findings.add(
            Invariant::Scope,
            order,
            &model.name,
            format!(
                "lent to {} although the mains of its own server {} is {:?}",
                fed.name, home.name, home.mains
            ),
        );
    }
}

/// Reserves of servers that are still on mains keep what these need if it goes there too.
pub(super) fn protection(
    snapshot: &Snapshot,
    reading: &Reading<'_>,
    policy: &PowerPolicy,
    outcome: &Outcome,
    findings: &mut Findings,
) {
    let mut lent: Vec<usize> = reading
        .central
        .iter()
        .flat_map(|s| &s.acts)
        .filter_map(|act| match *act {
            Act::Divert {
                reserve,
                milliwatts: 1..,
                ..
            } => Some(reserve),
            _ => None,
        })
        .collect();
    lent.sort_unstable();
    lent.dedup();
    if lent.is_empty() {
        return;
    }
    let loads = super::loads(snapshot);
    let running = super::touchable(snapshot);
    // One that is off, and stays so, needs nothing.
    let mut up: Vec<bool> = snapshot.servers.iter().map(|s| !s.powered.is_off()).collect();
    for act in reading.central.iter().flat_map(|s| &s.acts) {
        if let Act::Host {
            server,
            state: HostState::On,
        } = *act
        {
            up[server] = true;
        }
    }
    for r in lent {
        let reserve = &snapshot.reserves[r];
        let at_home: f64 = reserve
            .feeds
            .iter()
            .map(|s| s.0 as usize)
            .filter(|s| snapshot.servers[*s].mains == Mains::Present && up[*s])
            .map(|s| {
                loads[s] as f64 * policy.protect_millis as f64 / 1_000.0
                    + super::clean_end(snapshot, s, &running[s])
            })
            .sum();
        // What an unreachable server has joined it keeps: its lines are not switched.
        let out_of_hand = snapshot.lines.iter().flat_map(|l| &l.joined).any(|j| {
            let there = &snapshot.servers[j.server.0 as usize];
            j.reserve.0 as usize == r && there.powered == Powered::Unreachable
        });
        if at_home <= 0.0 || out_of_hand {
            continue;
        }
        let floor = reserve.charge_millijoules as f64 - reserve.drawable_millijoules() as f64;
        let least = floor + at_home / permille(reserve.efficiency_permille);
        // A reserve that begins below its protection must not be lent at all; either way it is not to fall further.
        let allowed = least.min(reserve.charge_millijoules as f64);
        if outcome.lowest[r] < allowed * 0.999 {
            findings.add(
                Invariant::Protection,
                None,
                &reserve.name,
                format!(
                    "falls to {:.0} mJ; its own servers on mains need {least:.0} mJ left in it",
                    outcome.lowest[r]
                ),
            );
        }
    }
}
