//! Programs killed with -9 in the middle of an interruption: the cluster's journal, files and synchronisation carry it
//! on.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeMap;
use std::process::{Command, Output};
use std::sync::{Arc, Mutex};

use pdp_server::api::{Event, EventKind};
use pep_agent::drivers::plant_link::PlantWatch;
use pep_agent::drivers::plant_protocol::Notice;
use power_policy::model::{Mains, Phase};
use power_policy::plant::PlantEventKind;
use rustix::process::Signal;
use system_tests::cluster_run::{ACTIVITIES, ClusterOptions, ClusterRun, all_run, is_complete, shed};
use system_tests::process::{program, wait_for};

/// How often each activity was stopped and started, as the electricity saw it.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
struct Count {
    clean_stops: usize,
    dirty_stops: usize,
    starts: usize,
}

type Counts = Arc<Mutex<BTreeMap<String, Count>>>;

/// Counts what happens to activities from now on.
fn count(mut watch: PlantWatch) -> Counts {
    let counts = Counts::default();
    let counted = Arc::clone(&counts);
    tokio::spawn(async move {
        while let Ok(Some(notice)) = watch.next().await {
            let Notice::Event(event) = notice else { continue };
            let mut counts = counted.lock().unwrap();
            match event.kind {
                PlantEventKind::ActivityStarted { activity, .. } => {
                    counts.entry(activity.to_string()).or_default().starts += 1;
                }
                PlantEventKind::ActivityStopped { activity, clean, .. } => {
                    let count = counts.entry(activity.to_string()).or_default();
                    if clean {
                        count.clean_stops += 1;
                    } else {
                        count.dirty_stops += 1;
                    }
                }
                _ => {}
            }
        }
    });
    counts
}

/// Follows a PDP's events to its end.
fn follow(cluster: &ClusterRun) -> Arc<Mutex<Vec<Event>>> {
    let events = Arc::new(Mutex::new(Vec::new()));
    let (seen, admin) = (Arc::clone(&events), cluster.pdp.admin());
    tokio::spawn(async move {
        let mut stream = admin.events(Some(0)).await.unwrap();
        while let Ok(Some(event)) = stream.next().await {
            seen.lock().unwrap().push(event);
        }
    });
    events
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pdp_killed_in_an_interruption_and_started_again_carries_it_on() {
    let mut cluster = ClusterRun::start(&ClusterOptions::default()).await.unwrap();
    let counts = count(cluster.watch_plant().await.unwrap());
    let before_events = follow(&cluster);
    let plant = cluster.plant().await.unwrap();
    plant.fail_mains("feed").await.unwrap();

    // The lowest class is gone, a higher one that will have to go still runs.
    let before = cluster
        .pdp
        .until("the bronze activities are shed, and no others", |status| {
            status.phase == Phase::Interrupted && shed(status) == ["batch", "report"]
        })
        .await
        .unwrap();
    cluster.pdp.kill().unwrap();
    // Numbers of events rise over restarts, so that both streams are one.
    let last_before = before_events.lock().unwrap().last().map_or(0, |e| e.seq);

    let started = cluster.pdp.start_again().await.unwrap();
    let after_events = follow(&cluster);
    assert_eq!(started.phase, Phase::Interrupted, "{started:#?}");
    assert!(
        started.term > before.term,
        "{} after {}",
        started.term,
        before.term
    );
    let elapsed = |status: &pdp_server::api::Status| status.outage.as_ref().unwrap().elapsed_millis;
    assert!(
        elapsed(&started) >= elapsed(&before),
        "{} ms after {} ms",
        elapsed(&started),
        elapsed(&before)
    );
    assert_eq!(
        started.outage.as_ref().unwrap().cause,
        before.outage.as_ref().unwrap().cause
    );
    assert!(started.generation >= before.generation);

    let resumed = cluster
        .pdp
        .until("every agent is back", |status| {
            status.peers.len() == 3 && status.peers.iter().all(|p| p.connected)
        })
        .await
        .unwrap();
    assert!(resumed.phase == Phase::Interrupted);
    assert!(shed(&resumed).starts_with(&["batch".to_owned()]), "{resumed:#?}");

    // Shedding goes on where it was left.
    cluster
        .pdp
        .until("the silver activity is shed too", |status| {
            shed(status) == ["batch", "mail", "report"]
        })
        .await
        .unwrap();
    plant.restore_mains("feed").await.unwrap();
    cluster
        .pdp
        .until("everything runs again", |status| {
            status.phase == Phase::Normal && is_complete(status)
        })
        .await
        .unwrap();

    // What the electricity saw: each shed activity stopped once and started once, whoever was the PDP.
    let once = Count {
        clean_stops: 1,
        dirty_stops: 0,
        starts: 1,
    };
    let seen = counts.lock().unwrap().clone();
    let expected: BTreeMap<_, _> = ["batch", "mail", "report"]
        .map(|name| (name.to_owned(), once.clone()))
        .into();
    assert_eq!(seen, expected);

    let status = cluster.pdp.admin().status().await.unwrap();
    assert_eq!(status.counts.violations, 0);

    // What the operators were told: one report a stop over both processes, numbers that go on.
    let (old, new) = (before_events.lock().unwrap(), after_events.lock().unwrap());
    assert!(new.first().unwrap().seq > last_before);
    assert!(
        new.iter()
            .any(|e| e.kind == EventKind::Pdp && e.text.contains("takes up an interruption")),
        "{new:#?}"
    );
    for (name, _) in ACTIVITIES {
        let told = |kind| {
            old.iter()
                .chain(new.iter())
                .filter(|e| e.kind == kind && e.subject == name)
                .count()
        };
        let expected = usize::from(name != "ledger");
        assert_eq!(told(EventKind::Shed), expected, "{name} shed");
        assert_eq!(told(EventKind::Restored), expected, "{name} restored");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_killed_in_an_interruption_is_planned_around_and_said_so() {
    let mut cluster = ClusterRun::start(&ClusterOptions::default()).await.unwrap();
    let events = follow(&cluster);
    let plant = cluster.plant().await.unwrap();
    plant.fail_mains("feed").await.unwrap();
    let before = cluster
        .pdp
        .until("the bronze activities are shed", |status| {
            status.phase == Phase::Interrupted && shed(status) == ["batch", "report"]
        })
        .await
        .unwrap();
    cluster.end_agent("s2", Signal::KILL).await.unwrap();

    let after = cluster
        .pdp
        .until("another plan without it", |status| {
            status.generation > before.generation
                && status.peers.iter().any(|p| p.name == "s2" && !p.connected)
        })
        .await
        .unwrap();
    assert_eq!(after.phase, Phase::Interrupted);
    assert!(
        after.peers.iter().filter(|p| p.name != "s2").all(|p| p.connected),
        "the others notice nothing"
    );
    let said = wait_for("word of it", system_tests::cluster_run::PATIENCE, async || {
        let events = events.lock().unwrap();
        let lost = events.iter().find(|e| e.kind == EventKind::PeerLost)?.clone();
        let planned = events
            .iter()
            .any(|e| e.kind == EventKind::PlanIssued && e.seq > lost.seq);
        planned.then_some(lost)
    })
    .await
    .unwrap();
    assert_eq!(said.subject, "s2");
    assert!(
        said.text.contains("it is planned around"),
        "expected it to be said, found {:?}",
        said.text
    );
    // The plan counts what the agent does not tell: mail runs on as a load, and nobody is to stop it.
    let plan = cluster.pdp.admin().plan().await.unwrap().unwrap();
    assert!(plan.steps.iter().all(|step| step.pep != "s2"), "{plan:#?}");

    // Mains comes back. Whether the lost agent's server is waited for depends on what its agent said last of its inlet.
    plant.restore_mains("feed").await.unwrap();
    cluster
        .pdp
        .until("the other server has mains", |status| {
            status
                .servers
                .iter()
                .any(|s| s.name == "s1" && s.mains == Mains::Present)
        })
        .await
        .unwrap();
    // The agent is started again, tells what it finds, and everything comes back.
    cluster.start_agent("s2").unwrap();
    cluster
        .pdp
        .until("everything runs again", |status| {
            status.phase == Phase::Normal && is_complete(status)
        })
        .await
        .unwrap();
}

fn run_pdp(config: &std::path::Path) -> Output {
    // One that is not refused would run for ever, and then the test shall fail, not hang.
    Command::new("timeout")
        .args(["--kill-after=1", "60"])
        .arg(program("pdp-server").unwrap())
        .args(["run", "--clock-scale", "20", "--config"])
        .arg(config)
        .output()
        .unwrap()
}

/// The one line that a program printed before it failed.
fn one_line(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(text.trim_end().lines().count(), 1, "{text}");
    assert!(text.starts_with("pdp-server: "), "{text}");
    text
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_pdp_is_refused_in_one_line_and_the_first_goes_on() {
    let mut cluster = ClusterRun::start(&ClusterOptions::default()).await.unwrap();
    let before = cluster.pdp.admin().status().await.unwrap();
    let config = cluster.pdp.config();
    let text = std::fs::read_to_string(&config).unwrap();
    let second = cluster.folder().join("second.toml");
    let own_port = format!("address = \"{}\"", cluster.pdp.address());
    let refused = |text: String| {
        std::fs::write(&second, text).unwrap();
        one_line(&run_pdp(&second))
    };

    // Everything the same.
    let said = one_line(&run_pdp(&config));
    assert!(said.contains("another PDP listens on"), "{said}");
    assert!(said.contains("pdp.sock"), "{said}");
    // The same port.
    let said = refused(
        text.replace("pdp.sock", "second.sock")
            .replace("journal.sqlite", "second.sqlite"),
    );
    let port = format!("port {} of 127.0.0.1 is in use", cluster.pdp.address().port());
    assert!(said.contains(&port), "{said}");
    // The same journal.
    assert!(text.contains(&own_port));
    let said = refused(
        text.replace("pdp.sock", "second.sock")
            .replace(&own_port, "address = \"127.0.0.1:0\""),
    );
    assert!(said.contains("journal.sqlite"), "{said}");
    assert!(said.contains("in use"), "{said}");
    assert!(
        !cluster.folder().join("second.sock").exists(),
        "its socket is gone"
    );

    let after = cluster.pdp.until("the first one goes on", all_run).await.unwrap();
    assert_eq!((after.term, after.phase), (before.term, Phase::Normal));
    assert!(after.counts.journal_works);
    assert!(after.peers.iter().all(|p| p.connected));
}
