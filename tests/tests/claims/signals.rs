//! Where the interruption signal comes from: C6 and C7.

use power_policy::interruption::Command;
use power_policy::model::Scope;
use power_policy::plant::ServerPower;
use system_tests::cluster::scenarios;

use crate::cluster::{MINUTE, assert_sound, diverted, donors, ended, power, quiet, runs_on, settings};
use crate::wire;

/// C6: the signal is the failure of the cluster's power, seen by the agents.
#[test]
fn c06_the_interruption_signal_comes_from_a_power_failure() {
    let mut cluster = quiet(&scenarios::pair_by_qos("gold", "bronze"));
    assert!(cluster.status().unwrap().outage.is_none());
    let failed_at = cluster.now_millis();
    cluster.fail_mains("feed").unwrap();
    cluster
        .run_until("the reserve is diverted", MINUTE, |c| {
            diverted(c, "ups2", "s1") > 0
        })
        .unwrap();
    // Stage 0 is at once: the report, the plan, the decision and the switch take some milliseconds.
    assert!(
        cluster.now_millis() - failed_at < 200,
        "{} ms",
        cluster.now_millis() - failed_at
    );
    assert!(wire::mains_told(&cluster, failed_at).contains(&"feed".to_owned()));
    // And it ends with the failure: what was stopped runs again, and nothing is diverted any more.
    cluster
        .run_until("the low set has ended", MINUTE * 10, ended("right"))
        .unwrap();
    cluster.restore_mains("feed").unwrap();
    cluster
        .run_until("everything is as before", 30 * MINUTE, |c| {
            runs_on(c, "right") == ["s2"] && runs_on(c, "left") == ["s1"] && settings(c, "bus").is_empty()
        })
        .unwrap();
    assert_sound(&cluster);
}

/// C7: the signal is an administrator's command; the mains is good all the time.
#[test]
fn c07_the_interruption_signal_comes_from_an_administrator() {
    let mut cluster = quiet(&scenarios::pair_by_qos("gold", "bronze"));
    let outcome = cluster.command(Command::Interrupt(Scope::Cluster)).unwrap();
    assert!(
        matches!(outcome, power_policy::interruption::CommandOutcome::Done(_)),
        "{outcome:?}"
    );
    cluster
        .run_until("the reserve is joined to the other server", MINUTE, |c| {
            donors(c, "s1") == ["ups2"]
        })
        .unwrap();
    cluster
        .run_until("the low set has ended", 10 * MINUTE, ended("right"))
        .unwrap();
    assert_eq!(runs_on(&cluster, "left"), ["s1"]);
    cluster
        .run_until("the donor is off", MINUTE, |c| power(c, "s2") == ServerPower::Off)
        .unwrap();
    cluster.command(Command::Restore).unwrap();
    cluster
        .run_until("everything is as before", 30 * MINUTE, |c| {
            runs_on(c, "right") == ["s2"] && settings(c, "bus").is_empty()
        })
        .unwrap();
    assert_sound(&cluster);
}
