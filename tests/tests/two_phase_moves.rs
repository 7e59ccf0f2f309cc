//! Moves and diverts that stop half way, through both programs' engines: each ends in a safe state, and is reported.

#![allow(clippy::unwrap_used)]

use pdp_server::api::EventKind;
use pdp_server::limits::MAX_ACTION_FAILURES;
use power_policy::model::Phase;
use power_policy::plant::PlantEventKind;
use system_tests::cluster::{Cluster, Fault, Scenario, scenarios};

const MINUTE: u64 = 60_000;

fn quiet(scenario: &Scenario) -> Cluster {
    let mut cluster = Cluster::new(scenario, 1).unwrap();
    cluster.pass(20_000).unwrap();
    cluster
}

fn runs_on(cluster: &Cluster, activity: &str) -> Vec<String> {
    let reports = cluster.plant(|plant| plant.activity_reports());
    let report = reports.iter().find(|r| *r.activity == *activity).unwrap();
    report.running_on.iter().map(ToString::to_string).collect()
}

/// Activities that lost their power while they ran.
fn dirty(cluster: &Cluster) -> Vec<String> {
    let of = |event: &power_policy::plant::PlantEvent| match &event.kind {
        PlantEventKind::ActivityStopped {
            activity,
            clean: false,
            ..
        } => Some(activity.to_string()),
        _ => None,
    };
    cluster.plant_events().iter().filter_map(of).collect()
}

/// Failures that the operators were told of, with these words in them.
fn failures(cluster: &Cluster, words: &str) -> usize {
    let failed = cluster
        .events()
        .iter()
        .filter(|e| e.kind == EventKind::ActionFailed);
    failed.filter(|e| e.text.contains(words)).count()
}

fn most() -> usize {
    usize::try_from(MAX_ACTION_FAILURES).unwrap()
}

#[test]
fn a_receiver_that_refuses_leaves_the_activity_where_it_runs() {
    let mut cluster = quiet(&scenarios::two_feeds("gold"));
    cluster
        .break_driver("b1", "traveller", Fault::DoesNotStart)
        .unwrap();
    cluster.fail_mains("feedA").unwrap();
    let mut always_at_home = true;
    let end = cluster.now_millis() + 3 * MINUTE;
    cluster
        .run_until("three minutes have passed", 4 * MINUTE, |c| {
            always_at_home &= runs_on(c, "traveller") == ["a1"];
            c.now_millis() >= end
        })
        .unwrap();
    assert!(always_at_home, "{}", cluster.report());
    let told = failures(&cluster, "does not start");
    assert!((1..=most()).contains(&told), "{told} times\n{}", cluster.report());
    cluster.restore_mains("feedA").unwrap();
    cluster
        .run_until("the interruption is over", 30 * MINUTE, |c| {
            c.pdp().unwrap().phase() == Phase::Normal
        })
        .unwrap();
    assert_eq!(runs_on(&cluster, "traveller"), ["a1"]);
    assert_eq!(dirty(&cluster), Vec::<String>::new());
}

#[test]
fn a_shift_whose_source_is_lost_half_way_ends_with_one_copy() {
    let mut cluster = quiet(&scenarios::two_feeds("gold"));
    cluster.fail_mains("feedA").unwrap();
    let mut never_gone = true;
    cluster
        .run_until("the receiver has it, and the source still", 5 * MINUTE, |c| {
            runs_on(c, "traveller") == ["a1", "b1"]
        })
        .unwrap();
    cluster.kill_agent("a1").unwrap();
    let until = cluster.now_millis() + 30_000;
    cluster
        .run_until("nothing more comes of it", MINUTE, |c| {
            never_gone &= !runs_on(c, "traveller").is_empty();
            c.now_millis() >= until
        })
        .unwrap();
    let lost = cluster
        .events()
        .iter()
        .any(|e| e.kind == EventKind::PeerLost && e.subject == "a1" && e.text.contains("planned around"));
    assert!(lost, "{}", cluster.report());
    // Its agent is started again, and what was half done is finished.
    cluster.start_agent("a1").unwrap();
    cluster
        .run_until("it runs at one place", 5 * MINUTE, |c| {
            never_gone &= !runs_on(c, "traveller").is_empty();
            runs_on(c, "traveller").len() == 1
        })
        .unwrap();
    assert!(never_gone, "{}", cluster.report());
    assert_eq!(dirty(&cluster), Vec::<String>::new(), "{}", cluster.report());
}

#[test]
fn a_shift_is_finished_by_the_next_pdp() {
    let mut cluster = quiet(&scenarios::two_feeds("gold"));
    cluster.fail_mains("feedA").unwrap();
    cluster
        .run_until("the receiver has it, and the source still", 5 * MINUTE, |c| {
            runs_on(c, "traveller") == ["a1", "b1"]
        })
        .unwrap();
    cluster.kill_pdp();
    cluster.pass(5_000).unwrap();
    assert!(!runs_on(&cluster, "traveller").is_empty());
    cluster.start_pdp().unwrap();
    let mut never_gone = true;
    cluster
        .run_until("it runs at one place", 5 * MINUTE, |c| {
            never_gone &= !runs_on(c, "traveller").is_empty();
            runs_on(c, "traveller").len() == 1
        })
        .unwrap();
    assert!(never_gone, "{}", cluster.report());
    assert_eq!(dirty(&cluster), Vec::<String>::new(), "{}", cluster.report());
}

#[test]
fn a_divert_line_that_sticks_is_told_and_everybody_lives_on_the_own_reserve() {
    let mut cluster = quiet(&scenarios::pair_by_qos("gold", "bronze"));
    cluster.break_driver("rack", "bus", Fault::Sticks).unwrap();
    cluster.fail_mains("feed").unwrap();
    cluster
        .run_until("the operators know", 5 * MINUTE, |c| failures(c, "it sticks") > 0)
        .unwrap();
    // Nothing is given that does not come: whatever has to stop stops while its own reserve can pay for it.
    cluster
        .run_until("all has been stopped", 120 * MINUTE, |c| {
            runs_on(c, "left").is_empty() && runs_on(c, "right").is_empty()
        })
        .unwrap();
    assert_eq!(dirty(&cluster), Vec::<String>::new(), "{}", cluster.report());
    assert!(
        failures(&cluster, "it sticks") <= 2 * most(),
        "{}",
        cluster.report()
    );
    cluster.restore_mains("feed").unwrap();
    cluster
        .run_until("everything runs again", 60 * MINUTE, |c| {
            runs_on(c, "left") == ["s1"] && runs_on(c, "right") == ["s2"]
        })
        .unwrap();
}

#[test]
fn a_donor_that_dies_after_it_has_shed_is_planned_around_and_comes_back() {
    let mut cluster = quiet(&scenarios::pair_by_qos("gold", "bronze"));
    cluster.fail_mains("feed").unwrap();
    cluster
        .run_until("the donor has shed", 5 * MINUTE, |c| {
            runs_on(c, "right").is_empty()
        })
        .unwrap();
    // Its agent may have been halted with its server already, which is what the plan wants of a donor.
    cluster.kill_agent("s2").unwrap();
    let until = cluster.now_millis() + 2 * MINUTE;
    let mut lives = true;
    cluster
        .run_until("two minutes have passed", 3 * MINUTE, |c| {
            lives &= runs_on(c, "left") == ["s1"];
            c.now_millis() >= until
        })
        .unwrap();
    assert!(lives, "{}", cluster.report());
    let told = cluster
        .events()
        .iter()
        .any(|e| e.subject == "s2" && matches!(e.kind, EventKind::PeerLost | EventKind::HostOff));
    assert!(told, "{}", cluster.report());
    cluster.restore_mains("feed").unwrap();
    cluster.start_agent("s2").unwrap();
    cluster
        .run_until("everything runs again", 60 * MINUTE, |c| {
            runs_on(c, "left") == ["s1"] && runs_on(c, "right") == ["s2"]
        })
        .unwrap();
    assert_eq!(dirty(&cluster), Vec::<String>::new(), "{}", cluster.report());
}

/// The standing plan of quiet days holds local stages: an agent that is cut off from every PDP when its mains fails acts by
/// itself, and tells all of it when it is back.
#[test]
fn an_agent_that_is_cut_off_in_quiet_days_acts_by_itself_when_its_mains_fails() {
    let mut cluster = quiet(&scenarios::pair_without_lines("gold", "bronze"));
    cluster.cut("s2").unwrap();
    cluster
        .run_until("the agent knows", 5 * MINUTE, |c| {
            !c.agent_status("s2").unwrap().connected
        })
        .unwrap();
    cluster.fail_mains("feed").unwrap();
    cluster
        .run_until("its activity is stopped", 120 * MINUTE, |c| {
            runs_on(c, "right").is_empty()
        })
        .unwrap();
    assert_eq!(dirty(&cluster), Vec::<String>::new(), "{}", cluster.report());
    cluster.mend("s2").unwrap();
    cluster.restore_mains("feed").unwrap();
    cluster
        .run_until("everything runs again, and the PDP knows", 60 * MINUTE, |c| {
            let known = c.status().unwrap();
            let known = known.activities.iter().all(|a| a.state == "running" && !a.shed);
            runs_on(c, "right") == ["s2"] && runs_on(c, "left") == ["s1"] && known
        })
        .unwrap();
}
