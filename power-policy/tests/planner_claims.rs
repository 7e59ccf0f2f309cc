//! The claims that a plan carries out, on hand-made clusters. That the electricity obeys is asserted elsewhere, on the
//! plant.

#![allow(clippy::unwrap_used)]

mod common;
use common::*;
use power_policy::model::*;
use power_policy::plan::{HostState, Trigger};
use power_policy::planner::plan;

/// C14 is C1, C12 and C13 in one interruption.
#[test]
fn c14_all_reserves_go_to_the_top_server_whose_lower_sets_end_one_step_at_a_time() {
    let snapshot = four_servers().blackout().build();
    let plan = plan(&snapshot, None, &PowerPolicy::default());

    // C1: at once, a server hosting lower-priority sets gives its reserve to the one with the highest.
    assert!(
        diverts(&plan)
            .iter()
            .any(|(stage, _, reserve, server, w)| *stage == 0
                && reserve == "ups-s2"
                && server == "s1"
                && *w > 0)
    );
    // C12: in the end the reserves of all servers feed s1; its own does so without a line.
    for donor in ["ups-s2", "ups-s3", "ups-s4"] {
        let last = diverts(&plan)
            .into_iter()
            .rfind(|(_, _, r, s, _)| r == donor && s == "s1")
            .unwrap();
        assert!(last.4 > 0, "{donor} is taken off at the end: {last:?}");
    }
    // C13: on s1 bronze ends before silver, silver before gold, each behind a threshold of falling charge.
    let stops: Vec<u32> = ["bronze-1", "silver-1", "gold-db"]
        .iter()
        .map(|a| stop_stage(&plan, a).unwrap())
        .collect();
    assert!(stops.is_sorted_by(|a, b| a < b), "{stops:?}");
    for stage in stops {
        assert!(
            matches!(trigger(&plan, stage), Trigger::ChargeBelow { .. }),
            "stage {stage}"
        );
    }
    // The donors close before silver ends on s1.
    let closed: Vec<u32> = hosts(&plan)
        .iter()
        .filter(|(_, s, state)| s != "s1" && *state == HostState::Off)
        .map(|h| h.0)
        .collect();
    assert_eq!(closed.len(), 3);
    assert!(
        closed
            .iter()
            .all(|stage| *stage < stop_stage(&plan, "silver-1").unwrap())
    );
    assert!(plan.refusals.is_empty(), "{:?}", plan.refusals);
}

/// C12 in `survive`: everything else ends at once.
#[test]
fn c12_survive_stops_lower_classes_right_after_the_debounce() {
    let snapshot = four_servers().blackout().build();
    let survive = PowerPolicy {
        mode: Mode::Survive,
        ..PowerPolicy::default()
    };
    let everything = plan(&snapshot, None, &survive);
    let debounce = survive.debounce_millis;
    for lower in ["bronze-1", "silver-1", "bronze-s2", "silver-s3", "silver-s4"] {
        assert_eq!(
            trigger(&everything, stop_stage(&everything, lower).unwrap()),
            Trigger::Elapsed { millis: debounce }
        );
    }
    // The top class gains by it.
    let default = plan(&snapshot, None, &PowerPolicy::default());
    assert!(ride(&everything, 50) > ride(&default, 50));
}

/// Two servers: gold on one, bronze on the other, a line between them.
fn pair() -> ClusterSpec {
    let mut c = ClusterSpec::new();
    c.set("gold", 50, None, 64).set("bronze", 10, Some(0), 1);
    for s in ["s1", "s2"] {
        c.server(s, 100, 400, "A");
        c.reserve(&format!("ups-{s}"), s, 60, 800);
    }
    c.line("bus", &["ups-s1", "ups-s2"], &["s1", "s2"], 1_000);
    c.activity("db", "gold", "s1", 80, &[]);
    c.activity("batch", "bronze", "s2", 80, &[]);
    c
}

#[test]
fn c1_the_reserve_of_a_server_with_a_lower_set_is_diverted() {
    let plan = plan(&pair().blackout().build(), None, &PowerPolicy::default());
    let at_once: Vec<_> = diverts(&plan).into_iter().filter(|d| d.0 == 0).collect();
    assert_eq!(at_once.len(), 1, "{plan}");
    let (_, line, reserve, server, watts) = &at_once[0];
    assert_eq!(
        (line.as_str(), reserve.as_str(), server.as_str()),
        ("bus", "ups-s2", "s1")
    );
    // It covers what s1 draws, and s2's own load still fits beside it.
    assert!(*watts >= 180 * W && *watts <= 800 * W - 180 * W, "{watts}");
}

#[test]
fn c1_nothing_is_diverted_without_a_line_or_away_from_what_must_not_be_pooled() {
    let mut alone = pair();
    alone.lines.clear();
    let real = |mut c: ClusterSpec| {
        c.reserves[1].0.simulated = false;
        c.servers[1].0.simulated = false;
        c
    };
    let unarmed = |mut c: ClusterSpec| {
        c.lines[0].0.armed = false;
        c
    };
    for spec in [alone, real(pair()), unarmed(pair())] {
        let plan = plan(&spec.clone().blackout().build(), None, &PowerPolicy::default());
        assert_eq!(diverts(&plan), vec![], "{plan}");
    }
}

#[test]
fn c9_c10_two_servers_with_lower_sets_give_their_batteries() {
    let mut c = pair();
    c.server("s3", 100, 400, "A");
    c.reserve("ups-s3", "s3", 60, 800).chemistry = Chemistry::LeadAcid;
    c.activity("scratch", "bronze", "s3", 80, &[]);
    c.lines[0].1.push("ups-s3".to_owned());
    let snapshot = c.blackout().build();
    let plan = plan(&snapshot, None, &PowerPolicy::default());
    for donor in ["ups-s2", "ups-s3"] {
        assert!(
            diverts(&plan)
                .iter()
                .any(|d| d.2 == donor && d.3 == "s1" && d.4 > 0),
            "{donor}\n{plan}"
        );
        let reserve = snapshot
            .reserves
            .iter()
            .find(|r| r.name.as_str() == donor)
            .unwrap();
        assert!(matches!(
            reserve.chemistry,
            Chemistry::LeadAcid | Chemistry::Lithium
        ));
    }
}

/// s1 loses its mains; s2 and s3 keep theirs, with room for one set each.
fn partial() -> ClusterSpec {
    let mut c = ClusterSpec::new();
    c.set("gold", 50, Some(3_600), 64).set("bronze", 10, Some(300), 1);
    c.server("s1", 100, 400, "A");
    c.server("s2", 100, 400, "B").cpu_millicores = 2_100;
    c.server("s3", 100, 400, "B").cpu_millicores = 2_100;
    for s in ["s1", "s2", "s3"] {
        c.reserve(&format!("ups-{s}"), s, 60, 800);
    }
    c.activity("db", "gold", "s1", 100, &["s2", "s3"]);
    c.activity("batch", "bronze", "s1", 100, &["s2", "s3"]);
    c.fail("A");
    c.outage(Phase::Debounce, Cause::DomainMains, 0);
    c.outage.as_mut().unwrap().scope = Scope::Domains(vec![name("A")]);
    c
}

/// C8, C11 and the granted claim: one step shifts the high set to a first server and the low one to another.
#[test]
fn c8_c11_high_and_low_are_shifted_to_different_servers_in_one_stage() {
    use power_policy::plan::Verb;
    let plan = plan(&partial().build(), None, &PowerPolicy::default());
    let taken: Vec<_> = activity_steps(&plan)
        .into_iter()
        .filter(|s| s.3 == Verb::TakeIn)
        .collect();
    assert_eq!(taken.len(), 2, "{plan}");
    assert_eq!(taken[0].0, taken[1].0, "one stage: {taken:?}");
    let to = |activity: &str| taken.iter().find(|t| t.1 == activity).unwrap().2.clone();
    assert!(["s2", "s3"].contains(&to("db").as_str()));
    assert_ne!(to("db"), to("batch"));
    // The source lets go only after the receivers have reported.
    let out: Vec<_> = activity_steps(&plan)
        .into_iter()
        .filter(|s| s.3 == Verb::MoveOut)
        .collect();
    assert!(out.len() == 2 && out.iter().all(|o| o.0 > taken[0].0 && o.2 == "s1"));
    // Neither is stopped, and s1 closes.
    assert_eq!(stop_stage(&plan, "db"), None);
    assert_eq!(
        hosts(&plan)
            .iter()
            .filter(|h| h.1 == "s1")
            .map(|h| h.2)
            .collect::<Vec<_>>(),
        [HostState::Off]
    );
    assert_eq!(ride(&plan, 50), None);
}

/// C11 where only the high set has room: the lower one on the operational server makes way, and is not stopped for
/// nothing.
#[test]
fn c11_a_high_set_that_would_miss_its_target_takes_the_place_of_a_lower_one() {
    use power_policy::plan::Verb;
    let mut c = partial();
    c.servers.retain(|s| s.0.name.as_str() != "s3");
    c.reserves.retain(|r| r.0.name.as_str() != "ups-s3");
    c.activities.clear();
    c.activity("db", "gold", "s1", 100, &["s2"]);
    c.activity("local", "bronze", "s2", 100, &[]);
    let plan = plan(&c.build(), None, &PowerPolicy::default());
    let steps = activity_steps(&plan);
    let stopped = steps
        .iter()
        .find(|s| s.1 == "local" && s.3 == Verb::Stop)
        .unwrap();
    let taken = steps.iter().find(|s| s.1 == "db" && s.3 == Verb::TakeIn).unwrap();
    assert!(stopped.0 < taken.0, "room first: {plan}");
    // With a reserve that lasts to the target there is no reason to.
    c.reserves[0].0.capacity_millijoules = 2_000 * WH;
    c.reserves[0].0.charge_millijoules = 2_000 * WH;
    let plan = power_policy::planner::plan(&c.build(), None, &PowerPolicy::default());
    assert_eq!(stop_stage(&plan, "local"), None, "{plan}");
}

/// C13 on a server by itself.
#[test]
fn c13_one_server_sheds_from_the_lowest_class_up_as_its_reserve_dwindles() {
    let mut c = ClusterSpec::new();
    c.set("gold", 50, Some(3_600), 64)
        .set("silver", 30, Some(300), 8)
        .set("bronze", 10, Some(120), 1);
    c.server("s1", 100, 400, "A");
    c.reserve("ups-s1", "s1", 60, 800);
    for (activity, set) in [("a", "gold"), ("b", "silver"), ("c", "bronze")] {
        c.activity(activity, set, "s1", 60, &[]);
    }
    let plan = plan(&c.blackout().build(), None, &PowerPolicy::default());
    let stages: Vec<u32> = ["c", "b", "a"]
        .iter()
        .map(|a| stop_stage(&plan, a).unwrap())
        .collect();
    assert!(stages.is_sorted(), "{plan}");
    let charges: Vec<u64> = stages
        .iter()
        .filter_map(|s| match trigger(&plan, *s) {
            Trigger::ChargeBelow { millijoules, .. } => Some(millijoules),
            _ => None,
        })
        .collect();
    assert!(
        !charges.is_empty() && charges.is_sorted_by(|a, b| a > b),
        "{charges:?}"
    );
}

/// A reserve whose figures are stale is no empty one: its own server goes on with it, and nobody else counts on it.
#[test]
fn a_stale_reserve_feeds_its_own_server_and_no_other() {
    let mut snapshot = four_servers().blackout().build();
    let bronze_of = |snapshot: &Snapshot| {
        let plan = plan(snapshot, None, &PowerPolicy::default());
        (
            stop_stage(&plan, "bronze-s2").map(|stage| trigger(&plan, stage)),
            plan,
        )
    };
    let reserve = snapshot
        .reserves
        .iter_mut()
        .find(|r| r.name.as_str() == "ups-s2")
        .unwrap();
    reserve.state = ReserveState::Unknown;
    let (stale, plan) = bronze_of(&snapshot);
    assert!(
        diverts(&plan)
            .iter()
            .all(|(_, _, reserve, _, milliwatts)| reserve != "ups-s2" || *milliwatts == 0)
    );
    let refusals = format!("{:?}", plan.refusals);
    assert!(
        refusals.contains("it counts for its own servers only"),
        "{refusals}"
    );

    let reserve = snapshot
        .reserves
        .iter_mut()
        .find(|r| r.name.as_str() == "ups-s2")
        .unwrap();
    reserve.charge_millijoules = reserve.cutoff_millijoules;
    let (empty, _) = bronze_of(&snapshot);
    assert_ne!(stale, empty, "with nothing left it ends at another time");
}
