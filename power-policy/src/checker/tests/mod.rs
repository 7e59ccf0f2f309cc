//! The checker can fail: each invariant has a good plan, broken in one way, that is caught.

mod against_plant;
mod energy;
mod large;
mod returning;
mod rules;
mod site;
mod total;

use super::*;

/// Checks a broken plan: the good one is beyond reproach, the broken one breaks this rule.
#[track_caller]
fn caught(
    invariant: Invariant,
    break_it: impl FnOnce(&mut Snapshot, &mut Plan, &mut PowerPolicy),
) -> Violation {
    let (mut snapshot, mut plan, mut policy) = (site::snapshot(), site::plan(), PowerPolicy::default());
    break_it(&mut snapshot, &mut plan, &mut policy);
    found(invariant, &snapshot, &plan, &policy)
}

#[track_caller]
fn found(invariant: Invariant, snapshot: &Snapshot, plan: &Plan, policy: &PowerPolicy) -> Violation {
    let violations = check(snapshot, plan, policy);
    match violations.iter().find(|v| v.invariant == invariant) {
        Some(violation) => violation.clone(),
        None => panic!("no {invariant:?} among {}", list(&violations)),
    }
}

#[track_caller]
fn nothing_wrong(snapshot: &Snapshot, plan: &Plan, policy: &PowerPolicy) {
    let violations = check(snapshot, plan, policy);
    assert!(violations.is_empty(), "{}", list(&violations));
}

fn list(violations: &[Violation]) -> String {
    let lines: Vec<String> = violations.iter().map(ToString::to_string).collect();
    format!("{} violations:\n{}", lines.len(), lines.join("\n"))
}

#[test]
fn the_good_plans_are_good() {
    let policy = PowerPolicy::default();
    nothing_wrong(&site::snapshot(), &site::plan(), &policy);
    nothing_wrong(&site::returned(), &site::restoration(), &policy);
    nothing_wrong(&site::quiet(), &site::standing(), &policy);
}
