//! All reserves end at the server of the highest activity, which sheds step by step: C12 to C14.

use std::collections::{BTreeMap, BTreeSet};

use power_policy::plant::{PlantEvent, PlantEventKind, ServerPower};
use system_tests::cluster::{Cluster, scenarios};

use crate::cluster::{
    MINUTE, assert_sound, charge, diverted, ended, power, quiet, ride, ride_alone, runs_on,
};

/// C12: all reserves go to the server of the activity that is highest on the priority list.
#[test]
fn c12_all_reserves_go_to_the_server_of_the_highest_activity() {
    let mut cluster = quiet(&scenarios::last_server());
    cluster.fail_mains("feed").unwrap();
    let mut givers: BTreeSet<String> = BTreeSet::new();
    cluster
        .run_until("every other reserve has fed s1", 60 * MINUTE, |c| {
            givers.extend(
                ["ups2", "ups3", "ups4"]
                    .into_iter()
                    .filter(|r| diverted(c, r, "s1") > 0)
                    .map(str::to_owned),
            );
            givers.len() == 3
        })
        .unwrap();
    cluster
        .run_until("the highest activity has ended", 180 * MINUTE, ended("ledger"))
        .unwrap();
    // It was the last one of the cluster, and lived on what was in all the batteries.
    let last = ["ledger", "shop", "thumbnails", "mail", "render", "crawl"].map(|a| (ride(&cluster, a), a));
    assert_eq!(last.iter().max().unwrap().1, "ledger", "{last:?}");
    let left: u64 = ["ups1", "ups2", "ups3", "ups4"]
        .map(|r| charge(&cluster, r))
        .iter()
        .sum();
    let all = 4 * 12 * 3_600_000;
    assert!(left < all / 4, "{left} of {all} mJ are left");
    assert!(ride(&cluster, "ledger") > 2 * ride_alone(&cluster, "ledger"));
    assert_sound(&cluster);
}

/// When each activity of `s1` stopped, with what was left in all reserves then, until the last one has.
///
/// `look` sees the cluster at each instant between.
fn shedding(cluster: &mut Cluster, mut look: impl FnMut(&Cluster)) -> Vec<(String, u64, u64)> {
    let mut shed: Vec<(String, u64, u64)> = Vec::new();
    cluster
        .run_until("the highest activity has ended", 180 * MINUTE, |c| {
            look(c);
            for activity in ["thumbnails", "shop", "ledger"] {
                if !shed.iter().any(|(known, ..)| known == activity) && runs_on(c, activity).is_empty() {
                    let left = ["ups1", "ups2", "ups3", "ups4"]
                        .map(|r| charge(c, r))
                        .iter()
                        .sum();
                    shed.push((activity.to_owned(), c.now_millis(), left));
                }
            }
            shed.len() == 3
        })
        .unwrap();
    shed
}

/// C13: on that server the lower activities are shut down one step at a time, as the reserves dwindle.
#[test]
fn c13_lower_activities_on_that_server_are_shut_down_step_by_step() {
    let mut cluster = quiet(&scenarios::last_server());
    cluster.fail_mains("feed").unwrap();
    let shed = shedding(&mut cluster, |_| {});
    let order: Vec<&str> = shed.iter().map(|(activity, ..)| activity.as_str()).collect();
    assert_eq!(order, ["thumbnails", "shop", "ledger"]);
    for pair in shed.windows(2) {
        assert!(pair[0].1 + 10_000 < pair[1].1, "one step at a time: {shed:?}");
        assert!(
            pair[0].2 > pair[1].2,
            "the reserves dwindle from step to step: {shed:?}"
        );
    }
    assert_sound(&cluster);
}

/// C14: C1, C12 and C13 in one interruption.
#[test]
fn c14_diversion_concentration_and_shedding_in_one_interruption() {
    let mut cluster = quiet(&scenarios::last_server());
    cluster.fail_mains("feed").unwrap();
    let mut fed_from: BTreeMap<String, u64> = BTreeMap::new();
    let mut alone_since = None;
    let shed = shedding(&mut cluster, |c| {
        for reserve in ["ups2", "ups3", "ups4"] {
            if diverted(c, reserve, "s1") > 0 {
                fed_from.entry(reserve.to_owned()).or_insert(c.now_millis());
            }
        }
        let others_are_off = ["s2", "s3", "s4"].iter().all(|s| power(c, s) == ServerPower::Off);
        if others_are_off && alone_since.is_none() {
            alone_since = Some(c.now_millis());
        }
    });
    // C1: a reserve of lower priority was diverted; C12: in the end all were, and nobody else was left; C13: the lower
    // activities beside the highest one ended one step at a time.
    assert_eq!(fed_from.len(), 3, "{fed_from:?}");
    assert!(*fed_from.values().min().unwrap() < shed[2].1);
    assert!(alone_since.expect("s1 was the last server") < shed[2].1);
    assert!(shed.is_sorted_by(|a, b| a.1 < b.1 && a.2 > b.2), "{shed:?}");
    // All in one interruption: the mains came back at no time.
    let is_back = |e: &PlantEvent| matches!(e.kind, PlantEventKind::MainsRestored { .. });
    assert!(!cluster.plant_events().iter().any(is_back));
    assert_sound(&cluster);
}
