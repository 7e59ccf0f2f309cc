//! Whose reserves are diverted: C9 and C10.

use power_policy::plant::ServerPower;
use system_tests::cluster::scenarios;

use crate::cluster::{MINUTE, assert_sound, charge, diverted, ended, energy, power, quiet, ride, ride_alone};
use crate::wire;

/// C9: a second server with lower sets gives its reserves too.
#[test]
fn c09_a_second_server_of_lower_sets_gives_its_reserve_too() {
    let mut cluster = quiet(&scenarios::two_donors());
    cluster.fail_mains("feed").unwrap();
    for (reserve, what) in [
        ("ups2", "the first donor feeds s1"),
        ("ups3", "the second donor feeds s1"),
    ] {
        let mut fed = cluster.plant(|plant| plant.read_reserve(reserve).unwrap().delivered_millijoules);
        cluster
            .run_until(what, 20 * MINUTE, |c| {
                // Its own server is off: what it gives now is for s1.
                fed = c.plant(|plant| plant.read_reserve(reserve).unwrap().delivered_millijoules);
                diverted(c, reserve, "s1") > 0 && fed > 0
            })
            .unwrap();
    }
    cluster
        .run_until("the gold activity has ended", 90 * MINUTE, ended("ledger"))
        .unwrap();
    let (together, alone) = (ride(&cluster, "ledger"), ride_alone(&cluster, "ledger"));
    assert!(together > 2 * alone, "{together} ms, alone {alone} ms");
    assert_sound(&cluster);
}

/// C10: what is diverted is a battery's charge.
#[test]
fn c10_the_diverted_reserves_are_batteries() {
    let mut cluster = quiet(&scenarios::pair_by_qos("gold", "bronze"));
    assert_eq!(
        wire::chemistry_told(&cluster, "ups2").as_deref(),
        Some("LeadAcid")
    );
    cluster.fail_mains("feed").unwrap();
    cluster
        .run_until("the donor is off, and its reserve feeds s1", 10 * MINUTE, |c| {
            power(c, "s2") == ServerPower::Off && diverted(c, "ups2", "s1") > 0
        })
        .unwrap();
    // From here on the battery feeds nothing but s1: its charge falls by what s1 gets of it, and by its losses.
    let (before, got) = (charge(&cluster, "ups2"), energy(&cluster, "s1"));
    cluster.pass(20_000).unwrap();
    let (fell, got) = (before - charge(&cluster, "ups2"), energy(&cluster, "s1") - got);
    let power = diverted(&cluster, "ups2", "s1");
    assert!(power > 0 && got >= power * 20, "{got} mJ at {power} mW");
    let wanted = power * 20 * 1_000 / 960 * 1_000 / 920;
    assert!(
        fell.abs_diff(wanted) < wanted / 50,
        "the charge fell by {fell} mJ, expected {wanted}"
    );
    assert_sound(&cluster);
}
