//! The claims to a program: the scenario of each, run through the shipped programs as processes on loopback, and
//! asserted on the plant's process.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use system_tests::cluster::{Scenario, scenarios};

mod programs;
use programs::Programs;

/// Starts the scenario, fails the mains, and waits until the donor's reserve feeds the favoured server.
async fn diverts(scenario: &Scenario, reserve: &str, server: &str) -> Programs {
    let run = Programs::start(scenario, 2).await.unwrap();
    assert_eq!(run.settings("bus").await, [], "in quiet days nothing is diverted");
    run.plant.fail_mains("feed").await.unwrap();
    run.until("the lower server's reserve feeds the other one", async |run| {
        (run.diverted("bus", reserve, server).await > 0).then_some(())
    })
    .await
    .unwrap();
    run
}

/// C15: C1 as a program.
#[tokio::test(flavor = "multi_thread")]
async fn c15_a_program_diverts_the_reserve_of_lower_priority() {
    let run = diverts(&scenarios::pair_by_qos("gold", "bronze"), "ups2", "s1").await;
    run.until("the lower activity is shed", async |run| {
        run.has_ended("right").await.then_some(())
    })
    .await
    .unwrap();
    assert_eq!(run.runs_on("left").await.unwrap(), ["s1"]);
    run.assert_clean().await;
    drop(run);
    // The other way round it is the other reserve.
    diverts(&scenarios::pair_by_qos("bronze", "gold"), "ups1", "s2")
        .await
        .assert_clean()
        .await;
}

/// C16: C5 as a program.
#[tokio::test(flavor = "multi_thread")]
async fn c16_a_program_gives_a_set_the_priority_of_its_quality_of_service() {
    let run = diverts(&scenarios::pair_with_priorities(700, 200), "ups2", "s1").await;
    let status = run.status().await.unwrap();
    let priority = |name: &str| {
        status
            .activities
            .iter()
            .find(|a| a.name == name)
            .unwrap()
            .priority
    };
    assert_eq!((priority("left"), priority("right")), (Some(700), Some(200)));
    drop(run);
    diverts(&scenarios::pair_with_priorities(200, 700), "ups1", "s2")
        .await
        .assert_clean()
        .await;
}

/// C17: C6 as a program: the failure is the signal, and its end is one.
#[tokio::test(flavor = "multi_thread")]
async fn c17_a_program_takes_the_signal_from_a_power_failure() {
    let run = diverts(&scenarios::pair_by_qos("gold", "bronze"), "ups2", "s1").await;
    run.until("the PDP says so", async |run| {
        run.status().await?.outage.map(|_| ())
    })
    .await
    .unwrap();
    run.until("the lower activity is shed", async |run| {
        run.has_ended("right").await.then_some(())
    })
    .await
    .unwrap();
    run.plant.restore_mains("feed").await.unwrap();
    run.until("everything is as before", async |run| {
        let is_back = run.runs_on("right").await? == ["s2"] && run.runs_on("left").await? == ["s1"];
        (is_back && run.settings("bus").await.is_empty() && run.status().await?.outage.is_none())
            .then_some(())
    })
    .await
    .unwrap();
    run.assert_clean().await;
}

/// C18: C7 as a program: `pdp-server interrupt` and `pdp-server restore`, with the mains good all the time.
#[tokio::test(flavor = "multi_thread")]
async fn c18_a_program_takes_the_signal_from_an_administrator() {
    let run = Programs::start(&scenarios::pair_by_qos("gold", "bronze"), 2)
        .await
        .unwrap();
    run.command(&["interrupt", "--yes", "--config", "pdp.toml", "--scope", "cluster"])
        .unwrap();
    run.until(
        "the reserve is joined to the other server, and the lower activity is shed",
        async |run| {
            let settings = run.settings("bus").await;
            let is_joined = settings
                .iter()
                .any(|s| s.joined && &*s.reserve == "ups2" && &*s.server == "s1");
            (is_joined && run.has_ended("right").await).then_some(())
        },
    )
    .await
    .unwrap();
    assert!(
        run.plant
            .read_domains()
            .await
            .unwrap()
            .iter()
            .all(|domain| domain.present)
    );
    assert_eq!(run.runs_on("left").await.unwrap(), ["s1"]);
    run.command(&["restore", "--yes", "--config", "pdp.toml"])
        .unwrap();
    run.until("everything is as before", async |run| {
        (run.runs_on("right").await? == ["s2"] && run.settings("bus").await.is_empty()).then_some(())
    })
    .await
    .unwrap();
}

/// C19: C8 as a program.
#[tokio::test(flavor = "multi_thread")]
async fn c19_a_program_diverts_lower_activities_to_another_server() {
    let run = Programs::start(&scenarios::two_feeds("bronze"), 3).await.unwrap();
    run.plant.fail_mains("feedA").await.unwrap();
    run.until("the lower activity runs on the other server alone", async |run| {
        (run.runs_on("traveller").await? == ["b1"]).then_some(())
    })
    .await
    .unwrap();
    assert_eq!(run.runs_on("resident").await.unwrap(), ["a1"]);
    // It never stopped on the way.
    let reports = run.plant.activities().await.unwrap();
    let traveller = reports
        .iter()
        .find(|report| &*report.activity == "traveller")
        .unwrap();
    assert_eq!(traveller.rides[0].ended, None);
}

/// C20: C12 as a program.
#[tokio::test(flavor = "multi_thread")]
async fn c20_a_program_diverts_all_reserves_to_the_server_of_the_highest_activity() {
    let run = Programs::start(&scenarios::last_server(), 6).await.unwrap();
    run.plant.fail_mains("feed").await.unwrap();
    let mut fed = [("ups2", false), ("ups3", false), ("ups4", false)];
    run.until("every other reserve has fed s1", async |run| {
        for (reserve, has_fed) in &mut fed {
            *has_fed |= run.diverted("bus", reserve, "s1").await > 0;
        }
        fed.iter().all(|(_, has_fed)| *has_fed).then_some(())
    })
    .await
    .unwrap();
    run.until("the highest activity is the last one", async |run| {
        for other in ["shop", "thumbnails", "mail", "render", "crawl"] {
            if !run.has_ended(other).await {
                return None;
            }
        }
        (run.runs_on("ledger").await? == ["s1"]).then_some(())
    })
    .await
    .unwrap();
    run.assert_clean().await;
}

/// C21: C13 as a program.
#[tokio::test(flavor = "multi_thread")]
async fn c21_a_program_sheds_step_by_step_as_the_reserves_dwindle() {
    let run = Programs::start(&scenarios::last_server(), 6).await.unwrap();
    run.plant.fail_mains("feed").await.unwrap();
    run.until("the highest activity has ended", async |run| {
        run.has_ended("ledger").await.then_some(())
    })
    .await
    .unwrap();
    let reports = run.plant.activities().await.unwrap();
    let ends: Vec<u64> = ["thumbnails", "shop", "ledger"]
        .iter()
        .map(|activity| {
            let report = reports
                .iter()
                .find(|report| *report.activity == **activity)
                .unwrap();
            report.rides[0].ended.expect("it has ended").at_millis
        })
        .collect();
    // One step at a time: bronze, then silver, then gold, and not for the same reason at the same moment.
    assert!(ends.windows(2).all(|pair| pair[0] + 10_000 < pair[1]), "{ends:?}");
    run.assert_clean().await;
}
