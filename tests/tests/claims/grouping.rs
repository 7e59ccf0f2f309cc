//! Sets and their priorities: C1 to C5.

use system_tests::cluster::scenarios;

use crate::cluster::{assert_diverts, quiet};
use crate::wire;

/// C1: sets, priorities, a server that hosts the lower one, an interruption, a diverted reserve.
#[test]
fn c01_a_reserve_of_lower_priority_is_diverted_when_the_power_is_interrupted() {
    assert_diverts(
        &scenarios::pair_by_qos("gold", "bronze"),
        ("ups2", "s2"),
        ("s1", "left"),
    );
    // The other way round, it is the other reserve.
    assert_diverts(
        &scenarios::pair_by_qos("bronze", "gold"),
        ("ups1", "s1"),
        ("s2", "right"),
    );
    // Where nothing at all but the sets' priority tells the two servers apart, it still decides.
    assert_diverts(
        &scenarios::pair_with_priorities(900, 100),
        ("ups2", "s2"),
        ("s1", "left"),
    );
    assert_diverts(
        &scenarios::pair_with_priorities(100, 900),
        ("ups1", "s1"),
        ("s2", "right"),
    );
}

/// C2: the sets are filled by the type of the data.
#[test]
fn c02_sets_are_grouped_by_data_type() {
    let scenario = scenarios::pair_by_data_type("ledger/daily", "scratch/tmp");
    assert_diverts(&scenario, ("ups2", "s2"), ("s1", "left"));
    let scenario = scenarios::pair_by_data_type("scratch/tmp", "ledger/daily");
    assert_diverts(&scenario, ("ups1", "s1"), ("s2", "right"));
}

/// C3: the sets are filled by the process that does the work.
#[test]
fn c03_sets_are_grouped_by_process() {
    let scenario = scenarios::pair_by_process("postgres-main", "renderd");
    assert_diverts(&scenario, ("ups2", "s2"), ("s1", "left"));
    let scenario = scenarios::pair_by_process("renderd", "postgres-main");
    assert_diverts(&scenario, ("ups1", "s1"), ("s2", "right"));
}

/// C4: the QoS that defines the sets comes to the PDP in COPS, and nowhere else: it stands in the agents' files.
#[test]
fn c04_sets_are_defined_by_quality_of_service_carried_by_cops() {
    let cluster = quiet(&scenarios::pair_by_qos("gold", "bronze"));
    assert_eq!(
        wire::qos_told(&cluster, "s1"),
        [("left".to_owned(), "gold".to_owned())]
    );
    assert_eq!(
        wire::qos_told(&cluster, "s2"),
        [("right".to_owned(), "bronze".to_owned())]
    );
    let status = cluster.status().unwrap();
    let sets: Vec<_> = status
        .activities
        .iter()
        .map(|a| (a.name.as_str(), a.set.as_str()))
        .collect();
    assert_eq!(sets, [("left", "gold"), ("right", "bronze")]);
    // The same policy over other QoS levels on the line gives the opposite plan.
    assert_diverts(
        &scenarios::pair_by_qos("silver", "gold"),
        ("ups1", "s1"),
        ("s2", "right"),
    );
}

/// C5: a set has the priority of its QoS.
#[test]
fn c05_a_set_has_the_priority_of_its_quality_of_service() {
    assert_diverts(
        &scenarios::pair_with_priorities(700, 200),
        ("ups2", "s2"),
        ("s1", "left"),
    );
    assert_diverts(
        &scenarios::pair_with_priorities(200, 700),
        ("ups1", "s1"),
        ("s2", "right"),
    );
}
