//! An independent judge of plans. It knows the model and the plan types, and never the planner.
//!
//! [`check`] holds a plan against the invariants of the policy notes, section 7, as far as they can be judged on a plan:
//! step by step where a rule speaks of steps, and by running the plan forward on an electricity of its own where a
//! rule speaks of energy, time or power. It runs the plan five times: as written; with thresholds seen late and stops
//! that take the margin which the policy sets aside; with the controller dead after stage 0; with the controller
//! dead when the plan first waits; and, for a standing plan, with mains lost everywhere.
//!
//! Every figure is taken from the snapshot. Where the snapshot cannot tell (mains unknown, how a reserve recharges),
//! nothing is objected to. A server that no plan could have saved (its energy or watts, everything within reach
//! counted, fall short at the moment of planning) is not the plan's fault; where only the sum falls short, the plan must
//! have said so among its refusals.
//!
//! The cost is near-linear in servers, activities, line memberships and steps, as long as what is joined at one time
//! falls into small parts; the electricity of one part is computed anew at each event in it.

mod capacity;
mod dirty;
mod electricity;
mod forecast;
mod hosts;
mod links;
mod local;
mod moves;
mod priority;
mod reading;
mod restoration;
mod run;
mod scope;
mod stop_order;
mod structure;
#[cfg(test)]
mod tests;
mod violation;
mod whereabouts;

pub use violation::{Invariant, Violation};

use run::{Conditions, Controller};
use violation::Findings;

use crate::model::{Cause, PowerPolicy, Powered, Priority, Snapshot};
use crate::plan::Plan;

/// Judges a plan that was made from `snapshot` under `policy`. An empty list means that nothing is wrong with it.
///
/// At most [`MAX_VIOLATIONS`](crate::limits::MAX_VIOLATIONS) are listed, sorted by invariant, stage and subject.
pub fn check(snapshot: &Snapshot, plan: &Plan, policy: &PowerPolicy) -> Vec<Violation> {
    let mut findings = Findings::default();
    if let Err(error) = snapshot.validate() {
        findings.add(Invariant::Snapshot, None, "snapshot", error.to_string());
        return findings.into_list();
    }
    let reading = reading::read(snapshot, plan, &mut findings);
    structure::check(plan, &reading, policy, &mut findings);
    links::check(snapshot, &reading, policy, &mut findings);
    capacity::check(snapshot, &reading, &mut findings);
    moves::check(snapshot, plan, &reading, &mut findings);
    hosts::check(snapshot, &reading, &mut findings);
    stop_order::check(snapshot, &reading, &mut findings);
    scope::check(snapshot, plan, &reading, &mut findings);
    restoration::check(snapshot, plan, &reading, policy, &mut findings);
    local::check(snapshot, &reading, &mut findings);

    let nominal = Conditions {
        controller: Controller::Alive,
        late_micros: 0,
        stop_permille: 1_000,
        all_lost: false,
    };
    let outcome = run::run(snapshot, &reading, policy, nominal);
    if !outcome.finished {
        findings.add(
            Invariant::Snapshot,
            None,
            "snapshot",
            "the plan run forward does not come to rest; its figures defy arithmetic".to_owned(),
        );
        return findings.into_list();
    }
    let stressed = Conditions {
        late_micros: policy.hold_back_millis.saturating_mul(1_000),
        stop_permille: policy.hold_back_permille.max(1_000),
        ..nominal
    };
    let excuses = dirty::Excuses::new(snapshot, plan, policy).or_stops_too_late(snapshot, policy, stressed);
    dirty::check(snapshot, &outcome, &excuses, &mut findings);
    hosts::last_resort(snapshot, policy, &outcome, &mut findings);
    let late = run::run(snapshot, &reading, policy, stressed);
    dirty::check_margin(snapshot, &outcome, &late, &excuses, &mut findings);
    local::check_runs(
        snapshot,
        plan,
        &reading,
        policy,
        &outcome,
        &excuses,
        &mut findings,
    );
    let planned_for_real = !matches!(plan.cause, Cause::Standing | Cause::Restoration);
    if planned_for_real {
        priority::check(snapshot, plan, policy, &outcome, &mut findings);
        forecast::check(snapshot, plan, &outcome, &mut findings);
    }
    scope::protection(snapshot, &reading, policy, &outcome, &mut findings);
    findings.into_list()
}

/// Class of an activity, by its index.
fn priority(snapshot: &Snapshot, activity: usize) -> Option<Priority> {
    let set = snapshot.activities[activity].set?;
    snapshot.sets.get(set.0 as usize).map(|s| s.priority)
}

/// What each server draws at the moment of planning, in milliwatts.
fn loads(snapshot: &Snapshot) -> Vec<u64> {
    let mut loads: Vec<u64> = snapshot
        .servers
        .iter()
        .map(|s| if s.powered.is_off() { 0 } else { s.idle_milliwatts })
        .collect();
    for activity in &snapshot.activities {
        let here = activity.draws().then_some(&activity.host);
        for s in here.into_iter().chain(&activity.copies) {
            let load = &mut loads[s.0 as usize];
            *load = load.saturating_add(activity.draw_milliwatts);
        }
    }
    for (load, server) in loads.iter_mut().zip(&snapshot.servers) {
        if server.powered.is_off() {
            *load = 0;
            continue;
        }
        if server.powered == Powered::Unreachable {
            *load = (*load).max(server.peak_milliwatts);
        }
        *load = (*load).max(server.measured_milliwatts.unwrap_or(0));
        if server.peak_milliwatts >= server.idle_milliwatts {
            *load = (*load).min(server.peak_milliwatts);
        }
    }
    loads
}

/// Energy that it takes to stop everything touchable on a server cleanly and to halt it, in millijoules at its input.
fn clean_end(snapshot: &Snapshot, server: usize, running: &[usize]) -> f64 {
    let model = &snapshot.servers[server];
    let (mut energy, mut longest) = (0.0, 0u64);
    for a in running {
        let activity = &snapshot.activities[*a];
        energy += if activity.stop_millijoules > 0 {
            activity.stop_millijoules as f64
        } else {
            activity.draw_milliwatts as f64 * activity.stop_millis as f64 / 1_000.0
        };
        longest = longest.max(activity.stop_millis);
    }
    let halt = if !model.may_switch_off() {
        0.0
    } else if model.halt_millijoules > 0 {
        model.halt_millijoules as f64
    } else {
        model.idle_milliwatts as f64 * model.halt_millis as f64 / 1_000.0
    };
    energy + model.idle_milliwatts as f64 * longest as f64 / 1_000.0 + halt
}

/// Touchable activities that draw at each server, copies of half-done moves among them.
fn touchable(snapshot: &Snapshot) -> Vec<Vec<usize>> {
    let mut running = vec![Vec::new(); snapshot.servers.len()];
    for (a, activity) in snapshot.activities.iter().enumerate() {
        let host = activity.draws().then_some(&activity.host);
        for s in host.into_iter().chain(&activity.copies) {
            if activity.is_touchable() && !running[s.0 as usize].contains(&a) {
                running[s.0 as usize].push(a);
            }
        }
    }
    running
}
