//! Bringing back.

use super::site::*;
use super::*;
use crate::model::*;
use crate::plan::*;

#[track_caller]
fn caught_returning(break_it: impl FnOnce(&mut Snapshot, &mut Plan)) -> Violation {
    let (mut snapshot, mut plan) = (returned(), restoration());
    break_it(&mut snapshot, &mut plan);
    found(Invariant::Restoration, &snapshot, &plan, &PowerPolicy::default())
}

#[test]
fn higher_classes_come_first() {
    let v = caught_returning(|_, p| p.stages[1].steps.clear());
    assert_eq!(
        v.to_string(),
        "Restoration, stage 4, zdb: class 100 is restarted while 1 activities of higher classes wait, with room for them"
    );
    // One that was refused, or has no room, keeps nobody waiting.
    let (mut s, mut p) = (returned(), restoration());
    p.stages[1].steps.clear();
    p.refusals.push(Refusal {
        subject: name("zdb"),
        reason: "its server is in repair".to_owned(),
    });
    nothing_wrong(&s, &p, &PowerPolicy::default());
    p.refusals.clear();
    s.activities[4].cpu_millicores = 7_000;
    nothing_wrong(&s, &p, &PowerPolicy::default());
}

#[test]
fn one_class_at_a_time() {
    let v = caught_returning(|_, p| {
        let batch = p.stages[4].steps.remove(0);
        p.stages[1].steps.push(batch);
    });
    assert_eq!(v.detail, "classes 900 and 100 are restarted in one stage");
}

#[test]
fn restarts_in_one_domain_keep_their_distance() {
    let v = caught_returning(|_, p| p.stages[2].trigger = Trigger::AfterResults);
    assert_eq!(
        v.to_string(),
        "Restoration, stage 2, d: restarted again 0 ms after the one before, at least 10000 ms are to lie between"
    );
    caught_returning(|_, p| p.stages[4].trigger = Trigger::Delay { millis: 9_999 });
}

#[test]
fn the_gate_is_a_charge_that_carries_it_once_more() {
    // g with both databases: 300 W for 120 s and a clean end, through the inverter, above the cut-off: 80 kJ.
    let v = caught_returning(|_, p| p.stages[1].trigger = above(&["u-g"], 79));
    assert!(
        v.detail.starts_with("given work again at 79000000 mJ"),
        "{}",
        v.detail
    );
    caught_returning(|_, p| p.stages[1].trigger = Trigger::AfterResults);
    // With enough in it there is nothing to wait for.
    let (mut s, mut p) = (returned(), restoration());
    for r in &mut s.reserves {
        r.charge_millijoules = 300 * KILOJOULE;
    }
    p.stages[1].trigger = Trigger::AfterResults;
    p.stages[3].trigger = Trigger::AfterResults;
    nothing_wrong(&s, &p, &PowerPolicy::default());
}

#[test]
fn the_way_back_of_a_mains_keeps_order_and_distance_and_its_gates_are_on_all_reserves() {
    // As the PDP asks for it: the cause is still what the interruption began with.
    let of_mains = |break_it: fn(&mut Plan)| {
        let mut plan = restoration();
        plan.cause = Cause::DomainMains;
        break_it(&mut plan);
        check(&returned(), &plan, &PowerPolicy::default())
            .into_iter()
            .filter(|v| v.invariant == Invariant::Restoration)
            .map(|v| v.detail)
            .collect::<Vec<String>>()
    };
    assert_eq!(of_mains(|_| ()), Vec::<String>::new());
    let order = of_mains(|p| p.stages[1].steps.clear());
    assert!(
        order[0].starts_with("class 100 is restarted while 1 "),
        "{order:?}"
    );
    let distance = of_mains(|p| p.stages[2].trigger = Trigger::AfterResults);
    assert!(distance[0].starts_with("restarted again 0 ms"), "{distance:?}");
    assert_eq!(
        of_mains(|p| p.stages[1].trigger = above(&["u-g"], 79)),
        Vec::<String>::new()
    );
}

#[test]
fn nothing_is_restarted_before_the_restoration() {
    let mut s = snapshot();
    s.activities[1].state = ActivityState::Stopped;
    s.activities[1].shed = true;
    let mut p = plan();
    p.stages[1].steps[0].kind = does(Verb::Start, "crunch", "l");
    found(Invariant::Restoration, &s, &p, &PowerPolicy::default());
}

#[test]
fn a_server_is_started_only_by_its_starter() {
    let (mut s, p) = (returned(), restoration());
    s.servers[1].starter = None;
    found(Invariant::HostState, &s, &p, &PowerPolicy::default());
    // And nothing is started on it before it is up.
    let (s, mut p) = (returned(), restoration());
    p.stages.remove(2);
    found(Invariant::Move, &s, &p, &PowerPolicy::default());
}
