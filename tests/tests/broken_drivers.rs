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

/// A set moves as one: where one of its activities cannot be taken in, the others are stopped again at the receiver, and
/// all run on where they were.
#[test]
fn a_set_of_which_one_cannot_be_taken_in_stays_whole_where_it_was() {
    let mut cluster = Cluster::new(&scenarios::set_of_two(), 1).unwrap();
    cluster
        .break_driver("b1", "ledger-web", Fault::DoesNotStart)
        .unwrap();
    cluster.pass(20_000).unwrap();
    cluster.fail_mains("feedA").unwrap();
    let on = |c: &Cluster, activity: &str| -> Vec<String> {
        let reports = c.plant(|plant| plant.activity_reports());
        let report = reports.iter().find(|r| *r.activity == *activity).unwrap();
        report.running_on.iter().map(ToString::to_string).collect()
    };
    let of_copy = |c: &Cluster| -> Vec<&'static str> {
        let at_b1 = |server: &str, activity: &str| server == "b1" && activity == "ledger-db";
        c.plant_events()
            .iter()
            .filter_map(|event| match &event.kind {
                PlantEventKind::ActivityStarted { server, activity } if at_b1(server, activity) => Some("up"),
                PlantEventKind::ActivityStopped { server, activity, .. } if at_b1(server, activity) => {
                    Some("stopped")
                }
                _ => None,
            })
            .collect()
    };
    let mut always_at_home = true;
    cluster
        .run_until(
            "one of the two is up there, and is stopped again",
            2 * MINUTE,
            |c| {
                always_at_home &= on(c, "ledger-db").contains(&"a1".to_owned());
                of_copy(c).starts_with(&["up", "stopped"])
            },
        )
        .unwrap();
    let until = cluster.now_millis() + MINUTE;
    cluster
        .run_until("a minute has passed", 2 * MINUTE, |c| {
            for activity in ["ledger-db", "ledger-web"] {
                always_at_home &= on(c, activity).contains(&"a1".to_owned());
            }
            c.now_millis() >= until
        })
        .unwrap();
    assert!(always_at_home, "{}", cluster.report());
    assert_eq!(on(&cluster, "ledger-db"), ["a1"], "{}", cluster.report());
    let attempts = cluster
        .events()
        .iter()
        .filter(|e| e.subject == "ledger-web" && e.text.contains("does not start"))
        .count();
    assert!(
        attempts <= usize::try_from(MAX_ACTION_FAILURES).unwrap(),
        "{attempts}"
    );
    let attempts = u32::try_from(of_copy(&cluster).len()).unwrap() / 2;
    assert!(
        (1..=MAX_ACTION_FAILURES).contains(&attempts),
        "{}",
        cluster.report()
    );
}
