//! Outlets, transfer switches and servers behind Redfish services, over TLS: the real drivers as the agent's file makes
//! them. Servers are those of sushy-tools' emulator, which is not ours; what it lacks stands in `rack`.

#![allow(clippy::unwrap_used, clippy::panic)]

mod rack;
mod servers;

use std::fs;
use std::path::Path;
use std::rc::Rc;

use pep_agent::drivers::LineDriver;
use pep_agent::drivers::outlet::OutletLine;
use pep_agent::drivers::redfish::{RedfishOutlet, RedfishService, RedfishTransfer};
use pep_agent::drivers::transfer_switch::TransferLine;
use pep_agent::engine::ActionOutcome;
use pep_agent::io::config::{AgentConfig, LineEntry, LineSource};
use power_policy::model::{LineState, Name};
use serde_json::json;
use tempfile::TempDir;

use self::rack::{Rack, SWITCH, Service, outlet_path, secret};

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

/// The agent's file with one line.
fn read_line(folder: &Path, service: &Service, keys: &str) -> LineEntry {
    let text = format!(
        r#"
[agent]
name = "rack-1"
state_dir = "state"
[pdp]
address = "127.0.0.1:3288"
[[line]]
name = "to-s1"
url = "https://{}"
user = "{}"
password_file = "password"
max_watts = 400
mode = "exclusive"
servers = ["s1"]
{keys}
"#,
        service.address,
        rack::USER
    );
    let mut config = AgentConfig::from_text(&folder.join("agent.toml"), &text).unwrap();
    config.lines.remove(0)
}

const TRUSTED: &str = "authorities = \"cert.pem\"";

fn outlet(folder: &Path, service: &Service, outlet: &str, keys: &str) -> OutletLine<RedfishOutlet> {
    let path = outlet_path(outlet);
    let keys = format!("driver = \"redfish_outlet\"\nresource = \"{path}\"\nreserves = [\"ups-b\"]\n{keys}");
    let LineSource::RedfishOutlet { service, path, limit } = read_line(folder, service, &keys).source else {
        panic!("another source")
    };
    let service = Rc::new(RedfishService::new(service));
    let outlet = RedfishOutlet::new(service, path);
    OutletLine::new(outlet, name("ups-b"), name("s1"), 400_000, limit)
}

fn transfer(folder: &Path, service: &Service, keys: &str) -> TransferLine<RedfishTransfer> {
    let keys = format!(
        "driver = \"redfish_transfer\"\nresource = \"{SWITCH}\"\nreserves = [\"ups-a\", \"ups-b\"]\n\
         inputs = {{ ups-a = \"A\", ups-b = \"B\" }}\n{TRUSTED}\n{keys}"
    );
    let line = read_line(folder, service, &keys);
    let LineSource::RedfishTransfer {
        service,
        path,
        inputs,
        limit,
    } = line.source
    else {
        panic!("another source")
    };
    let changeover = line.facts.unwrap().changeover;
    let switch = RedfishTransfer::new(Rc::new(RedfishService::new(service)), path, changeover);
    TransferLine::new(switch, inputs, name("s1"), 400_000, limit)
}

fn off() -> Rack {
    Rack {
        outlets: [("A1", json!("Off")), ("A2", json!("Off"))].into(),
        mains: "A",
        ..Rack::default()
    }
}

async fn rack(rack: Rack) -> (TempDir, Service) {
    let folder = tempfile::tempdir().unwrap();
    let service = Service::start(folder.path(), rack).await;
    (folder, service)
}

async fn join(line: &mut dyn LineDriver, reserve: &str, milliwatts: u32) -> ActionOutcome {
    line.join(name(reserve), name("s1"), milliwatts).await
}

fn done() -> ActionOutcome {
    ActionOutcome::Done(String::new())
}

fn failure(outcome: ActionOutcome) -> String {
    match outcome {
        ActionOutcome::Failed(reason) => reason,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn an_outlet_is_switched_and_read_back_in_one_session_that_is_ended() {
    let (folder, service) = rack(off()).await;
    let mut line = outlet(folder.path(), &service, "A1", TRUSTED);
    assert_eq!(line.read().await.unwrap().state, LineState::Open);
    assert_eq!(join(&mut line, "ups-b", 120_000).await, done());
    let reading = line.read().await.unwrap();
    assert_eq!(
        (reading.state, reading.joined[0].milliwatts),
        (LineState::Closed, 120_000)
    );
    assert_eq!(
        join(&mut line, "ups-b", 120_000).await,
        ActionOutcome::Done("so already".into())
    );
    assert_eq!(line.open().await, done());
    {
        let rack = service.rack();
        assert_eq!(rack.outlets["A1"], json!("Off"));
        assert_eq!(rack.posted.len(), 2, "{:?}", rack.posted);
        assert_eq!(rack.posted[0].1, json!({ "PowerState": "On" }));
        assert_eq!((rack.logins, rack.connections, rack.sessions.len()), (1, 1, 1));
    }
    line.close().await;
    assert!(service.rack().sessions.is_empty());
}

#[tokio::test]
async fn a_session_that_has_ended_is_opened_anew_and_a_wrong_password_is_told() {
    let (folder, service) = rack(off()).await;
    let mut line = outlet(folder.path(), &service, "A1", TRUSTED);
    assert_eq!(line.read().await.unwrap().state, LineState::Open);
    service.rack().sessions.clear();
    assert_eq!(line.read().await.unwrap().state, LineState::Open);
    assert_eq!(service.rack().logins, 2);
    service.rack().sessions.clear();
    secret(&folder.path().join("password"), "something-else");
    let refused = line.read().await.unwrap_err().0;
    assert!(
        refused.contains("401") && refused.contains("wrong user or password"),
        "{refused}"
    );
    assert!(!refused.contains("something-else"), "{refused}");
}

#[tokio::test]
async fn tasks_are_followed_to_their_end() {
    let (folder, service) = rack(Rack {
        task_looks: Some(3),
        ..off()
    })
    .await;
    let mut line = outlet(folder.path(), &service, "A1", TRUSTED);
    assert_eq!(join(&mut line, "ups-b", 1_000).await, done());
    assert_eq!(service.rack().task_looks, Some(0), "it was looked at to its end");
    service.rack().task_fails = true;
    let failed = failure(line.open().await);
    assert!(
        failed.contains("the task ended as Exception: the relay is welded"),
        "{failed}"
    );
}

#[tokio::test]
async fn a_stuck_a_locked_a_missing_and_an_unreadable_outlet_are_told_as_they_are() {
    let (folder, service) = rack(Rack {
        stuck: ["A1"].into(),
        locked: ["A2"].into(),
        ..off()
    })
    .await;
    let keys = format!("{TRUSTED}\nlimit_seconds = 0.5");
    let mut stuck = outlet(folder.path(), &service, "A1", &keys);
    let reason = failure(join(&mut stuck, "ups-b", 1).await);
    assert!(reason.ends_with("it did not follow"), "{reason}");
    let mut locked = outlet(folder.path(), &service, "A2", &keys);
    let reason = failure(join(&mut locked, "ups-b", 1).await);
    assert!(reason.contains("PowerControlLocked"), "{reason}");
    assert_eq!(
        service.rack().posted.len(),
        1,
        "nothing was asked of the locked one"
    );
    let missing = outlet(folder.path(), &service, "A3", &keys)
        .read()
        .await
        .unwrap_err()
        .0;
    assert!(
        missing.contains("404") && missing.contains("no such resource"),
        "{missing}"
    );
    for (state, seen) in [
        (json!(null), LineState::Fault),
        (json!("PoweringOn"), LineState::Moving),
    ] {
        service.rack().outlets.insert("A1", state);
        assert_eq!(stuck.read().await.unwrap().state, seen);
    }
}

#[tokio::test]
async fn a_service_is_known_by_its_authority_or_its_fingerprint_and_by_nothing_else() {
    let (folder, service) = rack(off()).await;
    let (elsewhere, _other) = rack(off()).await;
    fs::copy(elsewhere.path().join("cert.pem"), folder.path().join("other.pem")).unwrap();
    let mut stranger = outlet(folder.path(), &service, "A1", "authorities = \"other.pem\"");
    let error = stranger.read().await.unwrap_err().0;
    assert!(
        error.contains("cannot connect: invalid peer certificate"),
        "{error}"
    );
    let digest = |file: &str| {
        let output = std::process::Command::new("openssl")
            .args(["x509", "-noout", "-fingerprint", "-sha256", "-in"])
            .arg(folder.path().join(file))
            .output()
            .unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        text.trim().split_once('=').unwrap().1.to_owned()
    };
    let pin = |file: &str| format!("fingerprint = \"{}\"", digest(file));
    let mut known = outlet(folder.path(), &service, "A1", &pin("cert.pem"));
    assert_eq!(known.read().await.unwrap().state, LineState::Open);
    let mut stranger = outlet(folder.path(), &service, "A1", &pin("other.pem"));
    let error = stranger.read().await.unwrap_err().0;
    assert!(error.contains("cannot connect: "), "{error}");
    assert_eq!(service.rack().logins, 1, "no stranger was told the password");
}

#[tokio::test]
async fn a_transfer_switch_is_moved_rests_and_is_never_open() {
    let (folder, service) = rack(off()).await;
    let mut line = transfer(folder.path(), &service, "changeover = \"ats\"");
    let reading = line.read().await.unwrap();
    assert_eq!(
        (reading.state, reading.joined[0].reserve.as_str()),
        (LineState::Closed, "ups-a")
    );
    assert_eq!(join(&mut line, "ups-b", 90_000).await, done());
    let reading = line.read().await.unwrap();
    assert_eq!(
        (reading.joined[0].reserve.as_str(), reading.joined[0].milliwatts),
        ("ups-b", 90_000)
    );
    assert_eq!(reading.joined.len(), 1, "one source at a time");
    // The one that it does not feed from is off already; the other cannot be taken off.
    assert_eq!(
        join(&mut line, "ups-a", 0).await,
        ActionOutcome::Done("so already".into())
    );
    assert!(matches!(
        join(&mut line, "ups-b", 0).await,
        ActionOutcome::Refused(_)
    ));
    assert!(matches!(line.open().await, ActionOutcome::Refused(_)));

    let mut resting = transfer(folder.path(), &service, "changeover = \"ats\"\nrest = \"C\"");
    assert_eq!(resting.open().await, done());
    assert_eq!(service.rack().mains, "C");
    assert_eq!(resting.read().await.unwrap().state, LineState::Open);
    // To the line without a rest this is an input that nobody knows.
    assert_eq!(line.read().await.unwrap().state, LineState::Fault);

    service.rack().mains_stuck = true;
    let mut stuck = transfer(
        folder.path(),
        &service,
        "changeover = \"ats\"\nlimit_seconds = 0.5",
    );
    let reason = failure(join(&mut stuck, "ups-a", 1).await);
    assert!(
        reason.ends_with("the device says done, and it feeds from input C"),
        "{reason}"
    );
}

#[tokio::test]
async fn a_switch_that_may_join_both_sources_moves_only_on_a_line_that_says_so() {
    let (folder, service) = rack(Rack {
        closed_transition: true,
        ..off()
    })
    .await;
    for changeover in ["ats", "bridge"] {
        let mut line = transfer(folder.path(), &service, &format!("changeover = \"{changeover}\""));
        let reason = failure(join(&mut line, "ups-b", 1).await);
        assert!(reason.contains("ClosedTransitionAllowed"), "{reason}");
    }
    assert!(service.rack().posted.is_empty(), "nothing was switched");
    let mut line = transfer(folder.path(), &service, "changeover = \"parallel\"");
    assert_eq!(join(&mut line, "ups-b", 1).await, done());
}
