//! Outlets at a real `upsd`: login, results of commands, reading back.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use pep_agent::drivers::LineDriver;
use pep_agent::drivers::nut::{NutLogin, NutOutlet, NutServer, OutletFacts, OutletSwitch};
use pep_agent::drivers::outlet::OutletLine;
use pep_agent::engine::ActionOutcome;
use power_policy::model::{LineState, Name};
use system_tests::nut::{Nut, PASSWORD, USER};

const DEVICE: &str = "pdu1";

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

fn outlet(nut: &Nut, folder: &Path, password: &str, switch: OutletSwitch) -> OutletLine<NutOutlet> {
    let password_file = folder.join("password");
    fs::write(&password_file, password).unwrap();
    fs::set_permissions(&password_file, fs::Permissions::from_mode(0o600)).unwrap();
    let facts = OutletFacts {
        server: NutServer {
            address: nut.address().to_string(),
            login: Some(NutLogin {
                user: USER.into(),
                password_file,
            }),
            trust: None,
        },
        device: DEVICE.into(),
        outlet: 3,
        switch,
        limit: Duration::from_secs(20),
    };
    let limit = facts.limit;
    OutletLine::new(NutOutlet::new(facts), name("ups-b"), name("s1"), 400_000, limit)
}

#[tokio::test]
async fn an_outlet_follows_and_is_read_back() {
    let nut = Nut::start(DEVICE, &[("ups.status", "OL"), ("outlet.3.status", "off")]).unwrap();
    let folder = tempfile::tempdir().unwrap();
    // dummy-ups has no commands for outlets; a variable of its file can be set.
    let by_variable = OutletSwitch::Variable("outlet.3.status".into());
    let mut line = outlet(&nut, folder.path(), PASSWORD, by_variable);
    assert_eq!(line.read().await.unwrap().state, LineState::Open);
    let joined = line.join(name("ups-b"), name("s1"), 120_000).await;
    assert_eq!(joined, ActionOutcome::Done(String::new()));
    assert_eq!(
        nut.get("outlet.3.status").as_deref(),
        Some("on"),
        "as upsc reads it"
    );
    let reading = line.read().await.unwrap();
    assert_eq!(
        (reading.state, reading.joined[0].milliwatts),
        (LineState::Closed, 120_000)
    );
    assert_eq!(line.open().await, ActionOutcome::Done(String::new()));
    assert_eq!(nut.get("outlet.3.status").as_deref(), Some("off"));
}

#[tokio::test]
async fn what_the_driver_does_not_carry_out_is_a_failure_although_upsd_says_ok() {
    let nut = Nut::start(DEVICE, &[("ups.status", "OL"), ("outlet.3.status", "off")]).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut line = outlet(&nut, folder.path(), PASSWORD, OutletSwitch::Commands);
    let outcome = line.join(name("ups-b"), name("s1"), 120_000).await;
    let ActionOutcome::Failed(reason) = &outcome else {
        panic!("{outcome:?}")
    };
    assert!(reason.contains("upsd says"), "{reason}");
    let mut stranger = outlet(
        &nut,
        folder.path(),
        "wrong",
        OutletSwitch::Variable("outlet.3.status".into()),
    );
    let outcome = stranger.join(name("ups-b"), name("s1"), 120_000).await;
    let ActionOutcome::Failed(reason) = &outcome else {
        panic!("{outcome:?}")
    };
    assert!(reason.contains("ACCESS-DENIED"), "{reason}");
    assert_eq!(nut.get("outlet.3.status").as_deref(), Some("off"));
}
