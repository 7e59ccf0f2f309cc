//! The PDP killed with -9 at twenty points of one interruption, from the first word of it to the last thing that is brought
//! back: no command that was acknowledged is lost, and nothing is done twice.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeMap;
use std::process::Command;
use std::sync::{Arc, Mutex};

use pdp_server::api::{CommandScope, Event, EventKind};
use pep_agent::drivers::plant_link::PlantWatch;
use pep_agent::drivers::plant_protocol::Notice;
use power_policy::model::Phase;
use power_policy::plant::PlantEventKind;
use system_tests::cluster_run::{ClusterOptions, ClusterRun, PATIENCE, is_complete, shed};
use system_tests::process::program;

/// How often it is killed.
const KILLS: usize = 20;
/// Of these, while the interruption lasts; the others on the way back.
const KILLS_BEFORE_THE_WAY_BACK: usize = 12;

/// Stops and starts of each activity, as the electricity saw them: clean, dirty, started.
type Counts = Arc<Mutex<BTreeMap<String, (usize, usize, usize)>>>;

fn count(mut watch: PlantWatch) -> Counts {
    let counts = Counts::default();
    let counted = Arc::clone(&counts);
    tokio::spawn(async move {
        while let Ok(Some(notice)) = watch.next().await {
            let Notice::Event(event) = notice else { continue };
            let mut counts = counted.lock().unwrap();
            match event.kind {
                PlantEventKind::ActivityStarted { activity, .. } => {
                    counts.entry(activity.to_string()).or_default().2 += 1;
                }
                PlantEventKind::ActivityStopped {
                    activity,
                    clean: true,
                    ..
                } => counts.entry(activity.to_string()).or_default().0 += 1,
                PlantEventKind::ActivityStopped { activity, .. } => {
                    counts.entry(activity.to_string()).or_default().1 += 1;
                }
                _ => {}
            }
        }
    });
    counts
}

/// Whether something happened at which a kill tells something.
fn is_point(event: &Event) -> bool {
    matches!(
        event.kind,
        EventKind::MainsLost
            | EventKind::MainsBack
            | EventKind::Interruption
            | EventKind::PlanIssued
            | EventKind::StageReleased
            | EventKind::ActionDone
            | EventKind::Divert
            | EventKind::Shed
            | EventKind::Restored
            | EventKind::PeerJoined
            | EventKind::Command
    )
}

/// Waits for the `nth` such event of this process, and kills it there and then; what it was, or `None` where all is over
/// before.
async fn kill_at(cluster: &mut ClusterRun, nth: usize) -> Option<String> {
    let admin = cluster.pdp.admin();
    let mut stream = admin.events(Some(0)).await.unwrap();
    let mut left = nth;
    loop {
        let next = tokio::time::timeout(PATIENCE, stream.next()).await;
        let event = next.expect("something happens").unwrap().expect("the PDP runs");
        let is_over = event.kind == EventKind::Interruption && event.data["to"] == "normal";
        left -= usize::from(is_point(&event));
        if left == 0 || is_over {
            cluster.pdp.kill().unwrap();
            return (!is_over).then(|| format!("{:?}: {}", event.kind, event.text));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_twenty_points_of_an_interruption_nothing_is_lost_and_nothing_done_twice() {
    let options = ClusterOptions {
        clock_scale: 10,
        ..ClusterOptions::default()
    };
    let mut cluster = ClusterRun::start(&options).await.unwrap();
    let counts = count(cluster.watch_plant().await.unwrap());
    let begun = cluster.pdp.admin();
    let begun = begun.interrupt("begin", CommandScope::Cluster).await.unwrap();
    assert!(begun.done && !begun.repeated, "{begun:?}");

    let (mut points, mut terms, mut is_ended) = (Vec::new(), Vec::new(), false);
    for kill in 0..KILLS {
        if kill == KILLS_BEFORE_THE_WAY_BACK {
            let ended = cluster.pdp.admin().restore("end").await.unwrap();
            assert!(ended.done && !ended.repeated, "{ended:?}");
            is_ended = true;
        }
        // The points spread: the first thing after the start, the second, and so on.
        let point = kill_at(&mut cluster, 1 + kill * 3 % 8).await;
        points.extend(point);
        let status = cluster.pdp.start_again().await.unwrap();
        terms.push(status.term);
        // What was acknowledged is known to each process that follows, and not done again.
        let again = cluster
            .pdp
            .admin()
            .interrupt("begin", CommandScope::Cluster)
            .await
            .unwrap();
        assert!(again.done && again.repeated, "after {points:#?}: {again:?}");
        assert_eq!(again.text, begun.text);
        if is_ended {
            let again = cluster.pdp.admin().restore("end").await.unwrap();
            assert!(again.done && again.repeated, "after {points:#?}: {again:?}");
        } else {
            assert_ne!(status.phase, Phase::Normal, "after {points:#?}");
        }
    }
    println!("killed at:\n{}", points.join("\n"));
    assert!(points.len() >= KILLS - 3, "it was over too soon: {points:#?}");
    assert!(terms.windows(2).all(|t| t[0] < t[1]), "{terms:?}");

    let end = cluster
        .pdp
        .until("everything runs again", |status| {
            status.phase == Phase::Normal && is_complete(status) && shed(status).is_empty()
        })
        .await
        .unwrap();
    assert_eq!(end.counts.violations, 0);
    // Whatever was stopped was stopped once, cleanly, and started once.
    for (activity, (clean, dirty, started)) in counts.lock().unwrap().iter() {
        assert_eq!(
            (*clean, *dirty, *started),
            (1, 0, 1),
            "{activity}, killed at {points:#?}"
        );
    }
    assert!(
        !counts.lock().unwrap().is_empty(),
        "nothing was shed, killed at {points:#?}"
    );

    // The journal of all those processes gives the plans that it holds.
    cluster.pdp.terminate().unwrap();
    let replay = Command::new(program("pdp-server").unwrap())
        .arg("replay")
        .arg(cluster.folder().join("journal.sqlite"))
        .arg("--json")
        .output()
        .unwrap();
    assert_eq!(
        replay.status.code(),
        Some(0),
        "{}",
        String::from_utf8_lossy(&replay.stderr)
    );
    let summary: serde_json::Value = serde_json::from_slice(&replay.stdout).unwrap();
    assert_eq!(summary["starts"], KILLS + 1, "{summary}");
    assert!(summary["plans"].as_u64().unwrap() > 3, "{summary}");
}
