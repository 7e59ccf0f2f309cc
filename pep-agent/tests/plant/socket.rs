//! What is said on the socket.

use crate::support::*;
use pep_agent::drivers::plant_link::{Clock, PlantClient, PlantLinkError};
use pep_agent::drivers::plant_protocol::{Notice, PROTOCOL_VERSION};
use pep_agent::io::plant::config::PlantFile;
use power_policy::plant::{LineState, Plant, PlantEventKind, ReserveState, ServerPower};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;

/// Every request once, by the starter of the servers. Passes on either way to a plant.
async fn every_request(plant: &PlantClient) {
    assert_eq!(plant.hello("rack").await.unwrap().version, PROTOCOL_VERSION);
    let names = plant.names().await.unwrap();
    assert_eq!(
        (names.domains.join(","), names.servers.join(",")),
        ("a".into(), "s1,s2".into())
    );
    assert_eq!(
        (names.reserves.join(","), names.lines.join(",")),
        ("u1,u2".into(), "bus".into())
    );
    assert_eq!(
        plant.describe_server("s1").await.unwrap().boot_millijoules,
        90_000 * 60
    );
    assert_eq!(&*plant.describe_reserve("u1").await.unwrap().servers[0], "s1");
    assert_eq!(
        plant
            .describe_line("bus")
            .await
            .unwrap()
            .figures
            .efficiency_permille,
        950
    );

    plant.declare_activity("s1", "web", 50_000, true).await.unwrap();
    plant.declare_activity("s2", "web", 50_000, false).await.unwrap();
    plant.start_activity("s2", "web").await.unwrap();
    plant.set_load("s2", "web", 60_000).await.unwrap();
    plant.stop_activity("s1", "web").await.unwrap();
    let (s1, s2) = (
        plant.read_server("s1").await.unwrap(),
        plant.read_server("s2").await.unwrap(),
    );
    assert_eq!((s1.milliwatts, s2.milliwatts, s1.mains), (100_000, 160_000, true));
    assert_eq!(
        (s1.activities[0].running, s2.activities[0].running),
        (false, true)
    );

    plant.set_line("bus", "u1", "s2", 95_000).await.unwrap();
    assert_ne!(plant.read_line("bus").await.unwrap().state, LineState::Open);
    plant.clear_line("bus").await.unwrap();
    plant.fail_mains("a").await.unwrap();
    assert!(!plant.read_domains().await.unwrap()[0].present);
    assert_eq!(
        plant.read_reserve("u2").await.unwrap().state,
        ReserveState::Discharging
    );
    assert_eq!(plant.unmanaged().await.unwrap().activities.len(), 1);
    plant.restore_mains("a").await.unwrap();

    plant.stick_line("bus", true).await.unwrap();
    plant.weaken_reserve("u2", 900).await.unwrap();
    plant.fail_reserve("u2", true).await.unwrap();
    assert_eq!(plant.read_reserve("u2").await.unwrap().state, ReserveState::Fault);

    plant.halt_server("s2").await.unwrap();
    assert!(matches!(
        plant.read_server("s2").await.unwrap().power,
        ServerPower::Halting { .. }
    ));
    plant.power_off("s1").await.unwrap();
    assert_eq!(plant.read_server("s1").await.unwrap().power, ServerPower::Off);
    plant.start_server("s1").await.unwrap();
    assert!(matches!(
        plant.read_server("s1").await.unwrap().power,
        ServerPower::Booting { .. }
    ));

    assert_eq!(&*plant.activities().await.unwrap()[0].activity, "web");
    assert!(plant.ledger().await.unwrap().never_there_millijoules > 0);
    assert_eq!(plant.history().await.unwrap().servers.len(), 2);
    let refused = plant.read_server("s9").await.unwrap_err();
    assert_eq!(
        refused.to_string(),
        "the plant refused: there is no server named \"s9\""
    );
}

#[tokio::test]
async fn every_request_makes_its_round_over_the_socket() {
    let running = Running::start(&plain(), 1).await;
    every_request(&running.client("rack").await).await;
    running.end().await;
}

#[tokio::test]
async fn a_plant_of_ones_own_needs_no_socket() {
    let file = PlantFile::from_text(Path::new("plant.toml"), &plain()).unwrap();
    let now = Arc::new(AtomicU64::new(0));
    let clock: Clock = Arc::new({
        let now = Arc::clone(&now);
        move || now.load(Ordering::Relaxed)
    });
    let plant = PlantClient::in_process(Plant::new(file.plant).unwrap(), "rack", 5, clock);
    every_request(&plant).await;
    now.store(60_000, Ordering::Relaxed);
    assert_eq!(plant.read_server("s1").await.unwrap().power, ServerPower::On);
    let greeting = plant.hello("rack").await.unwrap();
    assert_eq!((greeting.now_millis, greeting.clock_scale), (60_000, 5));
}

#[tokio::test]
async fn only_the_starter_switches_a_server() {
    let running = Running::start(&plain(), 1).await;
    let other = running.client("s2").await;
    let refused = other.power_off("s1").await.unwrap_err().to_string();
    assert_eq!(
        refused,
        "the plant refused: server \"s1\" is switched by its starter \"rack\", not by \"s2\""
    );
    assert!(matches!(
        other.start_server("s1").await,
        Err(PlantLinkError::Refused(_))
    ));
    assert_eq!(other.read_server("s1").await.unwrap().power, ServerPower::On);
    running.client("rack").await.power_off("s1").await.unwrap();
    running.end().await;
}

#[tokio::test]
async fn many_tasks_share_one_client_and_a_call_given_up_harms_no_other() {
    let running = Running::start(&plain(), 1).await;
    let client = running.client("x").await;
    let calls = (0..200).map(|n| {
        let client = client.clone();
        tokio::spawn(async move {
            if n % 3 == 0 {
                // Polled once at most, then dropped.
                let _ = tokio::time::timeout(std::time::Duration::ZERO, client.names()).await;
                return;
            }
            let server = if n % 2 == 0 { "s1" } else { "s2" };
            assert_eq!(&*client.read_server(server).await.unwrap().server, server);
        })
    });
    for call in futures::future::join_all(calls).await {
        call.unwrap();
    }
    running.end().await;
}

#[tokio::test]
async fn a_watcher_sees_events_and_samples() {
    let running = Running::start(&plain(), 100).await;
    let mut watch = running.watch(500).await;
    let client = running.client("x").await;
    client.fail_mains("a").await.unwrap();
    let (mut sample, mut failed) = (None, false);
    while sample.is_none() || !failed {
        match watch.next().await.unwrap().unwrap() {
            Notice::Event(event) => failed |= matches!(event.kind, PlantEventKind::MainsFailed { .. }),
            Notice::Sample(found) if !found.mains[0] => sample = Some(found),
            _ => {}
        }
    }
    assert_eq!(sample.unwrap().server_milliwatts, [100_000, 100_000]);
    running.end().await;
    while watch.next().await.unwrap().is_some() {}
}

#[tokio::test]
async fn time_passes_by_the_scale_without_anybody_asking() {
    let running = Running::start(&plain(), 1_000).await;
    let mut watch = running.watch(0).await;
    let client = running.client("x").await;
    client.fail_mains("a").await.unwrap();
    let failed = event(&mut watch, |kind| {
        matches!(kind, PlantEventKind::MainsFailed { .. })
    })
    .await;
    let lost = event(&mut watch, |kind| {
        matches!(kind, PlantEventKind::ServerLostPower { .. })
    })
    .await;
    // 10 Wh at 100 W are 360 s, and the hold-up of 12 ms: exact, however late the process woke.
    assert_eq!(lost - failed, 360_012);
    running.end().await;
}

#[tokio::test]
async fn a_client_learns_that_its_plant_is_gone() {
    let running = Running::start(&plain(), 1).await;
    let client = running.client("x").await;
    let socket = running.socket();
    let folder = running.end().await;
    client.closed().await;
    assert!(matches!(client.ledger().await, Err(PlantLinkError::Closed)));
    let gone = PlantClient::connect(&socket, "x").await.unwrap_err().to_string();
    assert!(
        gone.starts_with(&format!("no plant at {}: ", socket.display())),
        "{gone}"
    );
    drop(folder);
}

#[tokio::test]
async fn what_is_no_request_is_refused_and_a_line_without_end_closed() {
    let running = Running::start(&plain(), 1).await;
    let (read, mut write) = UnixStream::connect(running.socket()).await.unwrap().into_split();
    let mut lines = BufReader::new(read).lines();
    for (line, expected) in [
        ("hello", "not a request: expected value"),
        (
            r#"{"request":{"kind":"ledger","x":1}}"#,
            "not a request: unknown field `x`",
        ),
        (
            r#"{"request":{"kind":"explode"}}"#,
            "not a request: unknown variant `explode`",
        ),
        (
            r#"{"id":1,"request":{"kind":"fail_mains","domain":"z"}}"#,
            "there is no domain named",
        ),
    ] {
        write.write_all(format!("{line}\n").as_bytes()).await.unwrap();
        let answer = lines.next_line().await.unwrap().unwrap();
        assert!(answer.contains(expected), "{line}: {answer}");
    }
    write
        .write_all(r#"{"id":42,"request":{"kind":"read_domains"}}"#.as_bytes())
        .await
        .unwrap();
    write.write_all(b"\n").await.unwrap();
    let answer = lines.next_line().await.unwrap().unwrap();
    assert_eq!(
        answer,
        r#"{"id":42,"reply":{"kind":"domains","value":[{"domain":"a","present":true}]}}"#
    );
    // The plant may close before all of it is written.
    let _ = write.write_all(&vec![b'x'; 100_000]).await;
    let mut last = String::new();
    while let Ok(Some(line)) = lines.next_line().await {
        last = line;
    }
    assert!(
        last.is_empty() || last.contains("longer than 65536 octets"),
        "{last}"
    );
    running.end().await;
}
