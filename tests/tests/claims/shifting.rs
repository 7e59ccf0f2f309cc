//! Activities that go elsewhere: C8, C11, and the granted form of the first claim.

use pdp_server::engine::state::Record;
use power_policy::plan::Stage;
use power_policy::plant::ServerPower;
use system_tests::cluster::scenarios;

use crate::cluster::{MINUTE, assert_sound, mains_failed_at, power, quiet, ride, runs_on};
use crate::wire;

/// C8: the lower-priority activity goes to another server.
#[test]
fn c08_lower_priority_activities_are_diverted_to_another_server() {
    let mut cluster = quiet(&scenarios::two_feeds("bronze"));
    assert_eq!(runs_on(&cluster, "traveller"), ["a1"]);
    cluster.fail_mains("feedA").unwrap();
    cluster
        .run_until(
            "the low activity runs on the other server alone",
            5 * MINUTE,
            |c| runs_on(c, "traveller") == ["b1"],
        )
        .unwrap();
    // It never stopped: the source let go only after the receiver had it.
    assert_eq!(
        ride(&cluster, "traveller"),
        cluster.now_millis() - mains_failed_at(&cluster)
    );
    assert_eq!(runs_on(&cluster, "resident"), ["a1"]);
    assert_sound(&cluster);
}

/// C11: the high-priority activity goes to a server that is operational.
#[test]
fn c11_high_priority_activities_are_shifted_to_operational_servers() {
    let mut cluster = quiet(&scenarios::two_feeds("gold"));
    cluster.fail_mains("feedA").unwrap();
    cluster
        .run_until(
            "the high activity runs on the server with mains",
            5 * MINUTE,
            |c| runs_on(c, "traveller") == ["b1"],
        )
        .unwrap();
    assert!(cluster.plant(|plant| plant.read_server("b1").unwrap().mains));
    assert_eq!(
        ride(&cluster, "traveller"),
        cluster.now_millis() - mains_failed_at(&cluster)
    );
    // It outlives every reserve of its old server.
    cluster
        .run_until("its old server is off", 60 * MINUTE, |c| {
            power(c, "a1") == ServerPower::Off
        })
        .unwrap();
    assert_eq!(runs_on(&cluster, "traveller"), ["b1"]);
    assert_sound(&cluster);
}

/// The granted form of the first claim: in one step the high-priority group goes to a first server, and a low-priority
/// activity to another one. One stage of one plan holds both shifts.
#[test]
fn granted_form_high_to_a_first_server_and_low_to_another_in_one_step() {
    let mut cluster = quiet(&scenarios::two_receivers());
    cluster.fail_mains("feedA").unwrap();
    cluster
        .run_until(
            "high runs on the first server and low on another",
            5 * MINUTE,
            |c| runs_on(c, "ledger") == ["b1"] && runs_on(c, "batch") == ["c1"],
        )
        .unwrap();
    for activity in ["ledger", "batch"] {
        assert_eq!(
            ride(&cluster, activity),
            cluster.now_millis() - mains_failed_at(&cluster),
            "{activity} never stopped"
        );
    }
    let carried_out = |stage: &&Stage, generation: u64| {
        cluster.journal().iter().any(|record| match record {
            Record::Released {
                generation: of,
                stage: order,
                ..
            } => (*of, *order) == (generation, stage.order),
            _ => false,
        })
    };
    let both = cluster.journal().iter().any(|record| match record {
        Record::Plan { in_force, .. } => in_force.plan.central_stages().any(|stage| {
            wire::takes_in(stage, "ledger", "b1")
                && wire::takes_in(stage, "batch", "c1")
                && carried_out(&stage, in_force.generation)
        }),
        _ => false,
    });
    assert!(both, "{}", cluster.report());
    assert_sound(&cluster);
}

/// The same where the first server has room for the high group only when a low activity has left it.
#[test]
fn granted_form_low_makes_room_for_high() {
    let mut cluster = quiet(&scenarios::make_room());
    cluster.fail_mains("feedA").unwrap();
    cluster
        .run_until(
            "high runs on the first server and low on another",
            5 * MINUTE,
            |c| runs_on(c, "ledger") == ["b1"] && runs_on(c, "batch") == ["c1"],
        )
        .unwrap();
    // Neither ever stopped, and one plan held both shifts.
    assert_eq!(
        ride(&cluster, "ledger"),
        cluster.now_millis() - mains_failed_at(&cluster)
    );
    let both = cluster.journal().iter().any(|record| match record {
        Record::Plan { in_force, .. } => {
            let takes = |taken, by| in_force.plan.stages.iter().any(|s| wire::takes_in(s, taken, by));
            takes("ledger", "b1") && takes("batch", "c1")
        }
        _ => false,
    });
    assert!(both, "{}", cluster.report());
    assert_sound(&cluster);
}
