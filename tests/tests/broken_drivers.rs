//! Drivers that lie or fail: nothing is given away because of them, and nothing runs wild.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use pdp_server::engine::state::Record;
use pdp_server::limits::{MAX_ACTION_FAILURES, PLAN_BURST, PLAN_INTERVAL_MILLIS};
use power_policy::plant::PlantEventKind;
use system_tests::cluster::{Cluster, Fault, scenarios};

const MINUTE: u64 = 60_000;

/// Every activity, with its server.
const ACTIVITIES: [(&str, &str); 6] = [
    ("s1", "ledger"),
    ("s1", "shop"),
    ("s1", "thumbnails"),
    ("s2", "mail"),
    ("s3", "render"),
    ("s4", "crawl"),
];

/// How many there are in each minute.
fn by_minute(times: impl Iterator<Item = u64>) -> BTreeMap<u64, usize> {
    let mut minutes = BTreeMap::new();
    for at in times {
        *minutes.entry(at / MINUTE).or_default() += 1;
    }
    minutes
}

/// Every driver says that it has stopped what it was told to stop, and everything runs on, to the bitter end. Each stop is
/// tried as often as any action, and plans and lines keep to their bounds.
#[test]
fn stops_in_words_only_are_failures_and_nothing_runs_wild() {
    let mut cluster = Cluster::new(&scenarios::last_server(), 1).unwrap();
    for (agent, activity) in ACTIVITIES {
        cluster
            .break_driver(agent, activity, Fault::StopsInWordsOnly)
            .unwrap();
    }
    cluster.pass(20_000).unwrap();
    cluster.fail_mains("feed").unwrap();
    cluster.pass(30 * MINUTE).unwrap();

    let made = cluster.journal().iter().filter_map(|record| match record {
        Record::Plan { in_force, .. } => Some(in_force.made_at),
        _ => None,
    });
    let most = PLAN_BURST + u32::try_from(MINUTE / PLAN_INTERVAL_MILLIS).unwrap();
    let plans = by_minute(made);
    // A phase, or servers that come under the interruption, do not wait for the bound; there are four of those.
    assert!(
        plans.values().all(|n| *n <= usize::try_from(most).unwrap() + 4),
        "{plans:?}"
    );
    let moved = cluster
        .plant_events()
        .iter()
        .filter_map(|event| match event.kind {
            PlantEventKind::LineMoved { .. } => Some(event.at_millis),
            _ => None,
        });
    let moves = by_minute(moved);
    assert!(moves.values().all(|n| *n <= 60), "{moves:?}");
    for (_, activity) in ACTIVITIES {
        let told = cluster
            .events()
            .iter()
            .filter(|e| e.subject == activity && e.text.contains("reports the contrary"));
        let times = told.count();
        assert!(
            times <= usize::try_from(MAX_ACTION_FAILURES).unwrap(),
            "{activity}: {times} times\n{}",
            cluster.report()
        );
    }
    let tried = cluster
        .events()
        .iter()
        .any(|e| e.text.contains("reports the contrary"));
    assert!(tried, "{}", cluster.report());
    let done = cluster
        .events()
        .iter()
        .find(|e| e.text.starts_with("done") && e.text.contains(": stop "));
    assert_eq!(done, None, "nothing has stopped");
}
