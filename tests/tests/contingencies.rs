//! Plans that are held ready, with the real programs: the PDP makes them, the agents hold them, one short decision puts
//! them in force; and what becomes of that when the PDP is killed before or after.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::{Arc, Mutex};

use pdp_server::api::{ContingencyStatus, Event, EventKind, Status};
use power_policy::model::{Cause, Phase};
use system_tests::cluster_run::{ClusterOptions, ClusterRun, is_complete, shed};

/// The plan that every agent that has a part in it holds.
fn held(status: &Status) -> Option<&ContingencyStatus> {
    let is_held = |c: &&ContingencyStatus| c.stale.is_none() && c.peps.iter().all(|p| p.held);
    let all = status.contingencies.iter().find(is_held)?;
    (all.peps.len() == 3).then_some(all)
}

async fn ready(cluster: &mut ClusterRun) -> ContingencyStatus {
    let status = cluster
        .pdp
        .until("every agent holds a plan ready", |status| held(status).is_some())
        .await
        .unwrap();
    held(&status).unwrap().clone()
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

/// Waits until the plan that is held ready has been put in force, and not another one.
async fn until_activated(cluster: &mut ClusterRun, events: &Arc<Mutex<Vec<Event>>>, generation: u64) {
    let events = Arc::clone(events);
    let first = move || {
        let events = events.lock().unwrap();
        let plans = events.iter().filter(|e| e.kind == EventKind::PlanIssued);
        plans
            .into_iter()
            .find(|e| e.data["cause"] == "domain_mains")
            .cloned()
    };
    cluster
        .pdp
        .until("a plan for the interruption", |_| first().is_some())
        .await
        .unwrap();
    let first = first().unwrap();
    assert!(
        first.text.contains("it was held ready by 3 PEPs"),
        "{}",
        first.text
    );
    assert_eq!(
        first.data["generation"], generation,
        "activation does not raise it"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_agents_hold_ready_is_put_in_force_and_goes_on_when_the_pdp_is_killed() {
    let mut cluster = ClusterRun::start(&ClusterOptions::default()).await.unwrap();
    let ready = ready(&mut cluster).await;
    assert_eq!(ready.domains, ["feed"]);
    let explained = cluster.pdp.admin().explain().await.unwrap().to_text();
    assert!(explained.contains("held ready by 3 of 3 PEPs"), "{explained}");
    let events = follow(&cluster);
    let plant = cluster.plant().await.unwrap();
    plant.fail_mains("feed").await.unwrap();
    until_activated(&mut cluster, &events, ready.generation).await;

    // Cut off from its PDP, each agent goes on alone with the local stages of what it has just put in force.
    cluster.pdp.kill().unwrap();
    let alone = system_tests::process::wait_for(
        "the agents to stop something by themselves",
        system_tests::cluster_run::PATIENCE,
        async || {
            let logs = cluster.agent_logs();
            logs.contains("cut off from every PDP").then_some(logs)
        },
    )
    .await
    .unwrap();
    assert!(alone.contains("is released here"), "{alone}");

    // When the PDP is back it hears of all of it, and everything comes back.
    let started = cluster.pdp.start_again().await.unwrap();
    assert_eq!(started.phase, Phase::Interrupted);
    cluster
        .pdp
        .until("what the agents have done alone is known", |status| {
            !shed(status).is_empty() && status.peers.iter().filter(|p| p.connected).count() >= 2
        })
        .await
        .unwrap();
    plant.restore_mains("feed").await.unwrap();
    let end = cluster
        .pdp
        .until("everything runs again", |status| {
            status.phase == Phase::Normal && is_complete(status)
        })
        .await
        .unwrap();
    assert_eq!(end.counts.violations, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pdp_killed_between_holding_and_activating_claims_what_is_held_and_activates_it() {
    let mut cluster = ClusterRun::start(&ClusterOptions::default()).await.unwrap();
    let before = ready(&mut cluster).await;
    cluster.pdp.kill().unwrap();
    let started = cluster.pdp.start_again().await.unwrap();
    let known = started.contingencies.iter().find(|c| c.domains == before.domains);
    assert_eq!(known.unwrap().generation, before.generation, "the journal has it");
    let after = ready(&mut cluster).await;
    let events = follow(&cluster);
    let plant = cluster.plant().await.unwrap();
    plant.fail_mains("feed").await.unwrap();
    until_activated(&mut cluster, &events, after.generation).await;
    let status = cluster
        .pdp
        .until("the bronze activities are shed", |status| {
            status.phase == Phase::Interrupted && shed(status) == ["batch", "report"]
        })
        .await
        .unwrap();
    assert_eq!(status.plan.unwrap().cause, Cause::DomainMains);
    plant.restore_mains("feed").await.unwrap();
    cluster
        .pdp
        .until("everything runs again", |status| {
            status.phase == Phase::Normal && is_complete(status)
        })
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn switched_off_nothing_is_held_ready() {
    let mut cluster = ClusterRun::start(&ClusterOptions::default()).await.unwrap();
    ready(&mut cluster).await;
    cluster.pdp.terminate().unwrap();
    let config = cluster.pdp.config();
    let text = std::fs::read_to_string(&config).unwrap();
    let text = text.replace("[policy]\n", "[policy]\ncontingencies = false\n");
    std::fs::write(&config, text).unwrap();
    cluster.pdp.start_again().await.unwrap();
    let status = cluster
        .pdp
        .until("the agents are back", is_complete)
        .await
        .unwrap();
    assert!(status.contingencies.is_empty(), "{:?}", status.contingencies);
    let explained = cluster.pdp.admin().explain().await.unwrap().to_text();
    assert!(explained.contains("contingencies = false"), "{explained}");
}
