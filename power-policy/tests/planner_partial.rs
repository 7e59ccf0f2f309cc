//! The way back where mains is, while that of others stays away.
#![allow(clippy::unwrap_used)]

mod common;

use common::*;
use power_policy::checker::check;
use power_policy::model::*;
use power_policy::plan::{HostState, Plan, StepKind, Trigger, Verb};
use power_policy::planner::plan;

/// `dark` has lost its mains for long, `up` and `off` have theirs again: gold was shed on the one that is off, silver and
/// bronze on the one that is up.
fn half_back() -> ClusterSpec {
    let mut c = ClusterSpec::new();
    c.set("gold", 50, Some(900), 64)
        .set("silver", 30, Some(300), 8)
        .set("bronze", 10, Some(60), 1);
    for (server, domain) in [("dark", "A"), ("off", "B"), ("up", "B")] {
        c.server(server, 100, 400, domain);
        c.reserve(&format!("ups-{server}"), server, 60, 800);
    }
    c.servers[1].0.powered = Powered::OffCommanded;
    c.activity("edge", "bronze", "dark", 50, &[]);
    for (activity, set, host) in [
        ("db", "gold", "off"),
        ("mail", "silver", "up"),
        ("batch", "bronze", "up"),
    ] {
        let shed = c.activity(activity, set, host, 60, &[host]);
        (shed.state, shed.shed) = (ActivityState::Stopped, true);
    }
    c.fail("A");
    c.outage(Phase::Interrupted, Cause::DomainMains, 1_200_000);
    c.outage.as_mut().unwrap().scope = Scope::Domains(vec![name("A")]);
    c
}

/// What is brought back, in order: servers and activities, with the stage.
fn brought_back(plan: &Plan) -> Vec<(u32, String)> {
    let mut all = Vec::new();
    for stage in plan.central_stages() {
        for step in &stage.steps {
            match &step.kind {
                StepKind::Host {
                    server,
                    state: HostState::On,
                } => all.push((stage.order, server.to_string())),
                StepKind::Activity {
                    activity,
                    verb: Verb::Start,
                    ..
                } => all.push((stage.order, activity.to_string())),
                _ => {}
            }
        }
    }
    all
}

fn names(plan: &Plan) -> Vec<String> {
    brought_back(plan).into_iter().map(|(_, n)| n).collect()
}

fn checked(c: &ClusterSpec) -> Plan {
    let (snapshot, policy) = (c.build(), PowerPolicy::default());
    let plan = plan(&snapshot, None, &policy);
    assert_eq!(check(&snapshot, &plan, &policy), vec![], "{plan}");
    plan
}

#[test]
fn what_was_shed_comes_back_where_mains_is_in_order_of_class() {
    let plan = checked(&half_back());
    assert_eq!(names(&plan), ["off", "db", "mail", "batch"], "{plan}");
    let orders: Vec<u32> = brought_back(&plan).into_iter().map(|(o, _)| o).collect();
    assert!(orders.is_sorted_by(|a, b| a < b), "one at a time: {plan}");
    // The stages after the first keep the stagger, and none waits for a charge: it would hold up what is on batteries.
    for stage in plan.central_stages().filter(|s| orders[1..].contains(&s.order)) {
        assert_eq!(stage.trigger, Trigger::Delay { millis: 10_000 }, "{plan}");
    }
}

#[test]
fn it_comes_back_when_nothing_is_on_batteries_any_more_too() {
    let mut c = half_back();
    c.servers[0].0.powered = Powered::OffSeen;
    c.activities[0].0.state = ActivityState::Stopped;
    let plan = checked(&c);
    assert_eq!(names(&plan), ["off", "db", "mail", "batch"], "{plan}");
}

#[test]
fn a_class_whose_reserve_is_not_charged_holds_up_those_below() {
    let mut c = half_back();
    let reserve = &mut c.reserves[1].0;
    reserve.charge_millijoules = reserve.cutoff_millijoules + WH;
    assert_eq!(names(&checked(&c)), Vec::<String>::new());
    // Where only the lower one's reserve is empty, the higher one comes back.
    let mut c = half_back();
    let reserve = &mut c.reserves[2].0;
    reserve.charge_millijoules = reserve.cutoff_millijoules + WH;
    assert_eq!(names(&checked(&c)), ["off", "db"]);
}

#[test]
fn nothing_comes_back_where_mains_has_not_proven_itself_or_in_a_drill() {
    for bend in [
        |c: &mut ClusterSpec| {
            c.servers[1..]
                .iter_mut()
                .for_each(|s| s.0.mains = Mains::Unstable)
        },
        |c: &mut ClusterSpec| c.outage.as_mut().unwrap().cause = Cause::Drill,
        |c: &mut ClusterSpec| c.outage.as_mut().unwrap().phase = Phase::Debounce,
    ] {
        let mut c = half_back();
        bend(&mut c);
        let plan = plan(&c.build(), None, &PowerPolicy::default());
        assert_eq!(names(&plan), Vec::<String>::new(), "{plan}");
    }
}

/// A boot holds up the stages behind it, so it does not begin while a server on batteries is about to end.
#[test]
fn no_server_is_woken_while_another_is_about_to_end() {
    let mut c = half_back();
    let reserve = &mut c.reserves[0].0;
    reserve.charge_millijoules = reserve.cutoff_millijoules + 5 * WH;
    let plan = checked(&c);
    assert!(!names(&plan).contains(&"off".to_owned()), "{plan}");
}

#[test]
fn the_checker_objects_to_a_lower_class_that_comes_back_first() {
    let (snapshot, policy) = (half_back().build(), PowerPolicy::default());
    let mut plan = plan(&snapshot, None, &policy);
    let is_gold =
        |kind: &StepKind| matches!(kind, StepKind::Activity { activity, .. } if activity.as_str() == "db");
    for stage in plan.stages.iter_mut().filter(|s| !s.local) {
        stage.steps.retain(|s| !is_gold(&s.kind));
    }
    plan.stages.retain(|s| !s.steps.is_empty());
    let found = check(&snapshot, &plan, &policy);
    assert!(
        found.iter().any(|v| v.detail.contains("higher classes wait")),
        "{found:?}"
    );
}
