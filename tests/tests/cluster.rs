//! The cluster in one process: what a simulation can rely on.

#![allow(clippy::unwrap_used)]

use power_policy::interruption::Command;
use power_policy::model::Scope;
use power_policy::plant::{PlantEventKind, ServerPower};
use system_tests::cluster::{Cluster, scenarios};

const MINUTE: u64 = 60_000;

fn runs_on(cluster: &Cluster, activity: &str) -> Vec<String> {
    let reports = cluster.plant(|plant| plant.activity_reports());
    let report = reports
        .iter()
        .find(|report| *report.activity == *activity)
        .unwrap();
    report.running_on.iter().map(ToString::to_string).collect()
}

fn interrupted(seed: u64) -> Cluster {
    let mut cluster = Cluster::new(&scenarios::pair_by_qos("gold", "bronze"), seed).unwrap();
    cluster.pass(20_000).unwrap();
    cluster.fail_mains("feed").unwrap();
    cluster
        .run_until("the low activity has ended", 5 * MINUTE, |c| {
            runs_on(c, "right").is_empty()
        })
        .unwrap();
    cluster
}

#[test]
fn the_same_seed_gives_the_same_run_octet_by_octet() {
    let (one, two) = (interrupted(7), interrupted(7));
    assert_eq!(one.captured(), two.captured());
    assert_eq!(one.plant_events(), two.plant_events());
    // Another seed spreads the keep-alives otherwise; what happens stays the same.
    let other = interrupted(8);
    assert_ne!(one.captured(), other.captured());
}

#[test]
fn a_killed_pdp_resumes_from_its_journal_and_synchronisation() {
    let mut cluster = interrupted(1);
    cluster.kill_pdp();
    cluster
        .run_until("the agents know", MINUTE, |c| {
            ["s1", "rack"]
                .iter()
                .all(|agent| !c.agent_status(agent).unwrap().connected)
        })
        .unwrap();
    assert!(cluster.pdp().is_none());
    cluster.start_pdp().unwrap();
    cluster
        .run_until("the agents are back", 5 * MINUTE, |c| {
            ["s1", "rack"]
                .iter()
                .all(|agent| c.agent_status(agent).unwrap().connected)
        })
        .unwrap();
    // Its term is higher, and the interruption goes on where it was.
    let status = cluster.status().unwrap();
    assert_eq!(status.term, 2);
    assert!(status.outage.is_some());
    assert_eq!(runs_on(&cluster, "left"), ["s1"]);
    cluster.restore_mains("feed").unwrap();
    cluster
        .run_until("everything runs again", 30 * MINUTE, |c| {
            runs_on(c, "right") == ["s2"]
        })
        .unwrap();
    // Nothing was done twice: one stop and one start.
    let of_right = cluster.plant_events().iter().filter(|event| match &event.kind {
        PlantEventKind::ActivityStarted { activity, .. }
        | PlantEventKind::ActivityStopped { activity, .. } => **activity == *"right",
        _ => false,
    });
    assert_eq!(of_right.count(), 3, "{}", cluster.report());
}

#[test]
fn a_server_without_power_loses_its_agent_and_a_booted_one_gets_a_new_one() {
    let mut cluster = interrupted(2);
    cluster
        .run_until("the agent of the donor is gone", 5 * MINUTE, |c| {
            !c.is_alive("s2")
        })
        .unwrap();
    assert!(cluster.is_alive("s1") && cluster.is_alive("rack"));
    cluster.restore_mains("feed").unwrap();
    cluster
        .run_until("it is back", 30 * MINUTE, |c| {
            c.agent_status("s2").is_some_and(|status| status.connected)
        })
        .unwrap();
}

#[test]
fn a_cut_line_is_found_out_by_both_ends_and_mended() {
    let mut cluster = Cluster::new(&scenarios::pair_by_qos("gold", "bronze"), 3).unwrap();
    cluster.pass(20_000).unwrap();
    cluster.cut("s1").unwrap();
    let connected = |c: &Cluster| {
        let peers = c.status().unwrap().peers;
        peers.iter().any(|peer| peer.name == "s1" && peer.connected)
    };
    assert!(connected(&cluster));
    cluster
        .run_until("both ends know", 5 * MINUTE, |c| {
            !c.agent_status("s1").unwrap().connected && !connected(c)
        })
        .unwrap();
    cluster.mend("s1").unwrap();
    cluster
        .run_until("it is back", 5 * MINUTE, |c| {
            c.agent_status("s1").unwrap().connected && connected(c)
        })
        .unwrap();
}

/// A stop that was begun completes, and the restoration owes what it ends.
#[test]
fn what_was_being_stopped_when_a_restoration_was_commanded_runs_again() {
    let mut cluster = Cluster::new(&scenarios::pair_by_qos("gold", "bronze"), 4).unwrap();
    cluster.pass(20_000).unwrap();
    cluster.command(Command::Interrupt(Scope::Cluster)).unwrap();
    cluster
        .run_until("the stop has begun", MINUTE, |c| {
            let status = c.agent_status("s2").unwrap();
            status
                .activities
                .iter()
                .any(|a| a.name == "right" && a.state == "stopping")
        })
        .unwrap();
    // The PDP is told so.
    cluster.pass(100).unwrap();
    assert_eq!(runs_on(&cluster, "right"), ["s2"]);
    cluster.command(Command::Restore).unwrap();
    cluster
        .run_until("it has stopped", MINUTE, |c| runs_on(c, "right").is_empty())
        .unwrap();
    cluster
        .run_until("it runs again", 30 * MINUTE, |c| runs_on(c, "right") == ["s2"])
        .unwrap();
}

/// A halt that was begun completes, and the server is then started again.
#[test]
fn a_server_that_halts_when_a_restoration_is_commanded_is_started_again() {
    let mut cluster = Cluster::new(&scenarios::pair_by_qos("gold", "bronze"), 5).unwrap();
    cluster.pass(20_000).unwrap();
    cluster.command(Command::Interrupt(Scope::Cluster)).unwrap();
    cluster
        .run_until("the server halts", MINUTE, |c| {
            let power = c.plant(|plant| plant.read_server("s2").unwrap().power);
            matches!(power, ServerPower::Halting { .. })
        })
        .unwrap();
    cluster.pass(100).unwrap();
    cluster.command(Command::Restore).unwrap();
    cluster
        .run_until("everything runs again", 10 * MINUTE, |c| {
            runs_on(c, "right") == ["s2"]
        })
        .unwrap();
}

/// Whenever the PDP is lost for good in an interruption, the agents end everything cleanly by their local stages alone.
#[test]
fn whenever_the_pdp_is_lost_nothing_is_stopped_dirty() {
    for killed_after in (0..=600).step_by(40).map(|seconds| seconds * 1_000 + 50) {
        let mut cluster = Cluster::new(&scenarios::last_server(), 6).unwrap();
        cluster.pass(20_000).unwrap();
        cluster.fail_mains("feed").unwrap();
        cluster.pass(killed_after).unwrap();
        cluster.kill_pdp();
        cluster
            .run_until("everything has ended", 60 * MINUTE, |c| {
                c.plant(|plant| plant.activity_reports())
                    .iter()
                    .all(|report| report.running_on.is_empty())
            })
            .unwrap();
        let dirty = cluster.plant_events().iter().find(|event| {
            matches!(
                event.kind,
                PlantEventKind::ServerLostPower { .. } | PlantEventKind::ActivityStopped { clean: false, .. }
            )
        });
        assert_eq!(
            dirty,
            None,
            "killed after {killed_after} ms: {}",
            cluster.report()
        );
    }
}
