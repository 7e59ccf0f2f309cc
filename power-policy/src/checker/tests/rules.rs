//! Rules that are judged step by step.

use super::site::*;
use super::*;
use crate::model::*;
use crate::plan::*;

fn put(plan: &mut Plan, order: u32, step: StepKind) {
    let stage = plan.stages.iter_mut().find(|s| s.order == order).unwrap();
    stage.steps.push(Step {
        kind: step,
        reason: "because".to_owned(),
    });
}

fn drop_steps(plan: &mut Plan, order: u32) {
    plan.stages.retain(|s| s.order != order);
}

#[test]
fn unknown_names() {
    let v = caught(Invariant::UnknownName, |_, p, _| put(p, 1, stop("ghost", "l")));
    assert_eq!(
        v.to_string(),
        "UnknownName, stage 1, ghost: the snapshot has no activity of this name"
    );
    caught(Invariant::UnknownName, |_, p, _| {
        p.stages[5].trigger = below(&["u-x"], 400)
    });
}

#[test]
fn stages_in_order() {
    caught(Invariant::StageOrder, |_, p, _| p.stages[2].order = 1);
    caught(Invariant::StageOrder, |_, p, _| p.stages.swap(1, 2));
    caught(Invariant::StageOrder, |_, p, _| p.stages[1].local = true);
    caught(Invariant::StageOrder, |_, p, _| p.stages[9].order = 9_999);
    caught(Invariant::StageOrder, |_, p, _| {
        p.stages[4].trigger = Trigger::MainsLost
    });
}

#[test]
fn thresholds_fall() {
    caught(Invariant::MonotoneStages, |_, p, _| {
        p.stages[6].trigger = below(&["u-g", "u-l"], 401)
    });
    caught(Invariant::MonotoneStages, |_, p, _| {
        p.stages[2].trigger = Trigger::Elapsed { millis: 2_999 };
    });
}

#[test]
fn link_limits() {
    let v = caught(Invariant::LinkLimit, |s, _, _| {
        s.lines[0].max_milliwatts = 299_999
    });
    assert_eq!(
        v.to_string(),
        "LinkLimit, stage 4, tie: milliwatts through the line: 300000, at most 299999"
    );
    let v = caught(Invariant::LinkLimit, |s, _, _| {
        s.reserves[1].max_discharge_milliwatts = 299_000
    });
    assert_eq!(v.subject, "u-l");
    // Two caps that each fit and together do not.
    let v = caught(Invariant::LinkLimit, |_, p, _| {
        put(p, 4, divert("tie", "u-g", "g", 151))
    });
    assert_eq!(v.subject, "tie");
}

#[test]
fn fans() {
    let v = caught(Invariant::LinkLimit, |s, p, _| {
        s.servers[0].fan_in = 1;
        put(p, 4, divert("tie", "u-g", "g", 50));
    });
    assert_eq!(v.detail, "reserves that feed it over lines: 2, at most 1");
    let v = caught(Invariant::LinkLimit, |s, p, _| {
        s.reserves[1].fan_out = 1;
        put(p, 4, divert("tie", "u-l", "l", 50));
    });
    assert_eq!(v.detail, "servers fed over lines: 2, at most 1");
}

#[test]
fn exclusive_lines() {
    let v = caught(Invariant::LinkLimit, |s, p, _| {
        s.lines[0].mode = LineMode::Exclusive;
        put(p, 4, divert("tie", "u-g", "l", 50));
    });
    assert_eq!(v.detail, "pairs on an exclusive line: 2, at most 1");
    // One after the other is what such a line is for.
    let (mut s, p) = (snapshot(), plan());
    s.lines[0].mode = LineMode::Exclusive;
    nothing_wrong(&s, &p, &PowerPolicy::default());
}

#[test]
fn members_only() {
    caught(Invariant::Membership, |s, _, _| {
        s.lines[0].reserves = vec![ReserveId(0)]
    });
    caught(Invariant::Membership, |_, p, _| {
        put(p, 4, divert("tie", "u-l", "m", 10))
    });
}

#[test]
fn simulated_and_real_are_never_pooled() {
    caught(Invariant::SimulatedAndReal, |s, _, _| {
        s.reserves[1].simulated = false
    });
    caught(Invariant::SimulatedAndReal, |s, _, _| {
        s.servers[0].simulated = false
    });
}

#[test]
fn unarmed_things_are_never_actuated() {
    let subject = |break_it: fn(&mut Snapshot)| caught(Invariant::Unarmed, |s, _, _| break_it(s)).subject;
    assert_eq!(subject(|s| s.lines[0].armed = false), "tie");
    assert_eq!(subject(|s| s.reserves[1].armed = false), "u-l");
    assert_eq!(subject(|s| s.activities[0].armed = false), "batch");
    assert_eq!(subject(|s| s.activities[0].set = None), "batch");
    assert_eq!(
        subject(|s| s.activities[0].state = ActivityState::Failed),
        "batch"
    );
    // What its PEP may not touch on m is not started there.
    assert_eq!(subject(|s| s.servers[2].armed = false), "web");
}

#[test]
fn faulty_lines_are_never_switched() {
    caught(Invariant::FaultyLine, |s, _, _| {
        s.lines[0].state = LineState::Fault
    });
}

#[test]
fn nothing_rests_on_what_nobody_knows() {
    caught(Invariant::UnknownState, |s, _, _| {
        s.reserves[1].state = ReserveState::Unknown
    });
    caught(Invariant::UnknownState, |s, _, _| {
        s.reserves[1].age_millis = 60_001
    });
    caught(Invariant::UnknownState, |s, _, _| {
        s.servers[2].mains = Mains::Unstable
    });
    // Its sets are not copied, its lines not switched.
    let v = caught(Invariant::UnknownState, |s, _, _| {
        s.servers[1].powered = Powered::Unreachable
    });
    assert_eq!(v.subject, "crunch");
    caught(Invariant::UnknownState, |s, p, _| {
        s.servers[0].powered = Powered::Unreachable;
        p.stages.truncate(5);
    });
    caught(Invariant::UnknownState, |s, _, _| {
        s.servers[1].powered = Powered::Unreachable;
        s.lines[0].pep = Some(name("l"));
    });
}

#[test]
fn capacity_counts_both_ends_of_a_move() {
    let v = caught(Invariant::Capacity, |s, _, _| s.servers[2].cpu_millicores = 1_999);
    assert_eq!(
        v.detail,
        "2000 of 1999 millicores and 4096 of 16384 MiB with what it takes in"
    );
    caught(Invariant::Capacity, |s, _, _| {
        s.servers[2].memory_mebibytes = 4_095
    });
    // Room that is made in the same stage is not there yet when the other comes in.
    caught(Invariant::Capacity, |s, p, _| {
        s.servers[2].cpu_millicores = 3_000;
        s.activities.push(activity("zz", 1, M, 10));
        put(p, 1, stop("zz", "m"));
    });
    let (mut s, mut p) = (snapshot(), plan());
    s.servers[2].cpu_millicores = 3_000;
    s.activities.push(activity("zz", 1, M, 10));
    p.stages
        .insert(1, stage(1, Trigger::AfterResults, vec![stop("zz", "m")]));
    for stage in p.stages[2..8].iter_mut().filter(|s| !s.local) {
        stage.order += 1;
    }
    p.stages[2].trigger = Trigger::AfterResults;
    nothing_wrong(&s, &p, &PowerPolicy::default());
}

#[test]
fn stage_zero_is_reversible_and_within_the_spare_watts() {
    let v = caught(Invariant::TooEarly, |_, p, _| put(p, 0, stop("batch", "g")));
    assert_eq!(
        v.detail,
        "stage 0 holds only lines and caps, this one has 1 other steps"
    );
    let v = caught(Invariant::TooEarly, |_, p, _| {
        p.stages[0].steps[0].kind = divert("tie", "u-l", "g", 221);
    });
    assert_eq!(v.subject, "u-l");
    assert!(v.detail.ends_with("which leaves 220000 mW"), "{}", v.detail);
}

#[test]
fn hosts_are_left_by_their_work_first() {
    let v = caught(Invariant::HostState, |_, p, _| drop_steps(p, 2));
    assert_eq!(v.detail, "Off while 1 activities still run on it (web is one)");
    caught(Invariant::HostState, |_, p, _| {
        put(p, 0, host("g", HostState::Standby))
    });
    // What a plan may not touch goes down with a host that is switched off, but not with one that stands by.
    let fixed = |s: &mut Snapshot| {
        s.activities.push(Activity {
            set: None,
            ..activity("zz", 0, L, 1)
        })
    };
    caught(Invariant::HostState, |s, _, _| fixed(s));
    let (mut s, mut p) = (snapshot(), plan());
    fixed(&mut s);
    p.stages[3].steps[0].kind = host("l", HostState::Standby);
    p.stages[9].steps[2].kind = host("l", HostState::Standby);
    p.classes.clear();
    p.reserves.clear();
    nothing_wrong(&s, &p, &PowerPolicy::default());
}

#[test]
fn hosts_are_switched_off_only_where_they_come_back() {
    caught(Invariant::HostState, |s, _, _| s.servers[1].starter = None);
    caught(Invariant::HostState, |s, _, _| {
        s.servers[1].custodian_in_use = true
    });
}

#[test]
fn a_move_is_taken_in_before_it_is_let_go() {
    let v = caught(Invariant::Move, |_, p, _| p.stages[1].steps.truncate(1));
    assert_eq!(v.detail, "l lets go before m has taken it in");
    // Both in one stage is too early too: no result is in.
    caught(Invariant::Move, |_, p, _| {
        let out = p.stages[2].steps.remove(0);
        p.stages[1].steps.push(out);
    });
    caught(Invariant::Move, |s, _, _| s.activities[3].movable = false);
    caught(Invariant::Move, |s, _, _| s.activities[3].startable_on = vec![L]);
    caught(Invariant::Move, |s, _, _| s.servers[2].powered = Powered::OffSeen);
    // A move that is half done needs no second take in.
    let (mut s, mut p) = (snapshot(), plan());
    s.activities[3].copies = vec![M];
    p.stages[1].steps.truncate(1);
    nothing_wrong(&s, &p, &PowerPolicy::default());
}

#[test]
fn each_thing_once() {
    let v = caught(Invariant::Once, |_, p, _| put(p, 2, stop("crunch", "l")));
    assert_eq!(v.detail, "stopped 2 times");
    caught(Invariant::Once, |_, p, _| {
        p.stages[1].steps[0].kind = stop("crunch", "g")
    });
    caught(Invariant::Once, |_, p, _| {
        put(p, 5, does(Verb::Start, "crunch", "l"))
    });
    caught(Invariant::Once, |_, p, _| {
        put(p, 2, does(Verb::Start, "web", "l"))
    });
    caught(Invariant::Once, |_, p, _| put(p, 10_001, stop("batch", "g")));
}

#[test]
fn c13_on_one_server_lower_classes_stop_first() {
    let v = caught(Invariant::StopOrder, |_, p, _| {
        let (five, six) = (p.stages[5].steps.clone(), p.stages[6].steps.clone());
        p.stages[5].steps = six[..1].to_vec();
        p.stages[6].steps = five.into_iter().chain(six[1..].iter().cloned()).collect();
    });
    assert_eq!(
        v.to_string(),
        "StopOrder, stage 5, db: class 900 stops on g while batch of class 100 still runs there"
    );
    // One that cannot be started again may outlive a higher one.
    let (mut s, mut p) = (snapshot(), plan());
    s.activities[0].restartable = false;
    let batch = p.stages[5].steps.remove(0);
    p.stages[6].steps.insert(1, batch);
    p.classes.clear();
    p.stages[7].steps[0].kind = stop("db", "g");
    p.stages[8].steps[0].kind = stop("batch", "g");
    let wrong = check(&s, &p, &PowerPolicy::default());
    assert!(
        wrong.iter().all(|v| v.invariant != Invariant::StopOrder),
        "{}",
        list(&wrong)
    );
}

#[test]
fn only_what_is_interrupted_is_touched() {
    let v = caught(Invariant::Scope, |s, p, _| {
        s.activities.push(activity("zz", 3, M, 10));
        s.sets.push(set("zz", 600, None));
        put(p, 1, stop("zz", "m"));
    });
    assert_eq!(
        v.detail,
        "Stop on m, whose mains is Present, and nothing higher takes its place"
    );
    caught(Invariant::Scope, |_, p, _| {
        put(p, 4, host("m", HostState::Standby))
    });
    caught(Invariant::Scope, |s, _, _| {
        s.servers[0].mains = Mains::Present;
    });
    // Nobody knows how m is, so its reserve is not lent.
    caught(Invariant::Scope, |s, p, _| {
        s.servers[1].mains = Mains::Unstable;
        p.stages.retain(|s| s.order == 0 || s.order > 4);
    });
}

#[test]
fn a_drill_acts_nowhere() {
    let v = caught(Invariant::Drill, |_, p, _| p.cause = Cause::Drill);
    assert_eq!(v.stage, Some(0));
    let v = caught(Invariant::Drill, |_, p, _| {
        p.cause = Cause::Drill;
        p.stages.remove(0);
    });
    assert_eq!(v.stage, Some(10_000));
    let mut p = plan();
    p.cause = Cause::Drill;
    p.stages.retain(|s| s.order > 0 && !s.local);
    nothing_wrong(&snapshot(), &p, &PowerPolicy::default());
}

#[test]
fn a_standing_plan_has_no_stage_zero() {
    let mut p = standing();
    p.stages.insert(0, stage(0, Trigger::AfterResults, vec![]));
    found(Invariant::Standing, &quiet(), &p, &PowerPolicy::default());
}

#[test]
fn the_infrastructure_is_funded() {
    caught(Invariant::Infrastructure, |_, _, policy| {
        policy.infrastructure_milliwatts = 50_000
    });
}

#[test]
fn a_snapshot_that_does_not_hold_together_is_not_judged() {
    caught(Invariant::Snapshot, |s, _, _| s.servers.swap(0, 1));
}

#[test]
fn local_stages_only_stop_and_halt() {
    let v = caught(Invariant::Local, |_, p, _| {
        put(p, 10_000, divert("tie", "u-l", "g", 400))
    });
    assert_eq!(v.subject, "tie");
    caught(Invariant::Local, |_, p, _| {
        put(p, 10_000, does(Verb::Start, "crunch", "g"))
    });
    caught(Invariant::Local, |_, p, _| {
        put(p, 10_000, host("g", HostState::On))
    });
    caught(Invariant::Local, |_, p, _| put(p, 10_000, stop("crunch", "l")));
    caught(Invariant::Local, |s, _, _| s.servers[0].pep = None);
    // It sees no reserve but its own.
    caught(Invariant::Local, |_, p, _| {
        p.stages[7].trigger = below(&["u-l"], 80)
    });
    caught(Invariant::Local, |_, p, _| {
        p.stages[7].trigger = below(&["u-g", "u-l"], 80)
    });
    caught(Invariant::Local, |_, p, _| {
        p.stages[7].trigger = above(&["u-g"], 80)
    });
    // The class order holds there too, and the work leaves first.
    caught(Invariant::Local, |_, p, _| {
        p.stages[7].steps[0].kind = stop("db", "g");
        p.stages[8].steps[0].kind = stop("batch", "g");
    });
    caught(Invariant::Local, |_, p, _| {
        p.stages[9].steps.remove(1);
    });
}
