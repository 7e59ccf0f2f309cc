//! Outlets, against a scripted upsd.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use power_policy::model::{LineState, Name};

use super::super::protocol::{Tracking, accepted, password, set_variable, tracking, variable};
use super::*;
use crate::drivers::LineDriver;
use crate::drivers::outlet::OutletLine;
use crate::engine::ActionOutcome;

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

fn outlet(
    address: String,
    login: Option<NutLogin>,
    switch: OutletSwitch,
    limit_millis: u64,
) -> OutletLine<NutOutlet> {
    let facts = OutletFacts {
        server: NutServer {
            address,
            login,
            trust: None,
        },
        device: "rack1".into(),
        outlet: 3,
        switch,
        limit: Duration::from_millis(limit_millis),
    };
    let limit = facts.limit;
    OutletLine::new(NutOutlet::new(facts), name("ups-b"), name("s1"), 400_000, limit)
}

fn status(status: &str) -> Vec<u8> {
    format!("VAR rack1 outlet.3.status \"{status}\"\n").into_bytes()
}

fn ok(text: &str) -> Vec<u8> {
    format!("{text}\n").into_bytes()
}

#[tokio::test]
async fn logs_in_switches_waits_for_the_result_and_reads_back() {
    let folder = tempfile::tempdir().unwrap();
    let password_file = folder.path().join("password");
    fs::write(&password_file, "se \"cr\\et\n").unwrap();
    fs::set_permissions(&password_file, fs::Permissions::from_mode(0o600)).unwrap();
    let answers = vec![
        ok("OK"),
        ok("OK"),
        status("off"),
        ok("OK"),
        ok("OK TRACKING 1bd31808"),
        ok("PENDING"),
        ok("SUCCESS"),
        status("off"),
        status("on"),
        status("on"),
    ];
    let (address, mut questions, server) = fake_upsd(vec![answers]).await;
    let login = NutLogin {
        user: "pep".into(),
        password_file,
    };
    let mut line = outlet(address, Some(login), OutletSwitch::Commands, 20_000);
    let joined = line.join(name("ups-b"), name("s1"), 120_000).await;
    assert_eq!(joined, ActionOutcome::Done(String::new()));
    let reading = line.read().await.unwrap();
    assert_eq!(
        (reading.state, reading.joined[0].milliwatts),
        (LineState::Closed, 120_000)
    );
    server.await.unwrap();
    let mut asked = Vec::new();
    while let Ok(question) = questions.try_recv() {
        asked.push(question);
    }
    assert_eq!(
        asked,
        [
            "USERNAME \"pep\"",
            "PASSWORD \"se \\\"cr\\\\et\"",
            "GET VAR rack1 outlet.3.status",
            "SET TRACKING ON",
            "INSTCMD rack1 outlet.3.load.on",
            "GET TRACKING 1bd31808",
            "GET TRACKING 1bd31808",
            "GET VAR rack1 outlet.3.status",
            "GET VAR rack1 outlet.3.status",
            "GET VAR rack1 outlet.3.status",
        ]
    );
}

#[tokio::test]
async fn what_is_so_already_is_not_switched_and_an_unknown_cap_is_the_line_s() {
    let (address, mut questions, _server) =
        fake_upsd(vec![vec![status("on"), status("on"), status("on")]]).await;
    let mut line = outlet(address, None, OutletSwitch::Commands, 20_000);
    assert_eq!(line.read().await.unwrap().joined[0].milliwatts, 400_000);
    let joined = line.join(name("ups-b"), name("s1"), 90_000).await;
    assert_eq!(joined, ActionOutcome::Done("so already".into()));
    assert_eq!(line.read().await.unwrap().joined[0].milliwatts, 90_000);
    while let Ok(question) = questions.try_recv() {
        assert!(question.starts_with("GET VAR"), "{question}");
    }
    let other = line.join(name("ups-c"), name("s1"), 1).await;
    assert!(matches!(other, ActionOutcome::Refused(_)), "{other:?}");
}

#[tokio::test]
async fn a_failed_command_a_stuck_outlet_and_an_old_upsd_are_told_as_they_are() {
    let refused = vec![status("off"), ok("OK"), ok("OK TRACKING 7"), ok("ERR UNKNOWN")];
    let denied = vec![status("off"), ok("OK"), ok("ERR ACCESS-DENIED")];
    // Without results of commands, reading back is all there is.
    let old = vec![status("off"), ok("ERR UNKNOWN-COMMAND"), ok("OK"), status("on")];
    let mut stuck = vec![status("off"), ok("OK"), ok("OK")];
    stuck.extend(std::iter::repeat_n(status("off"), 50));
    let mut unreadable = vec![status("?"), ok("OK"), ok("OK")];
    unreadable.extend(std::iter::repeat_n(status("?"), 50));
    for (answers, limit, told) in [
        (refused, 20_000, Some("upsd says UNKNOWN")),
        (denied, 20_000, Some("upsd says ACCESS-DENIED")),
        (old, 20_000, None),
        (stuck, 300, Some("it did not follow")),
        (unreadable, 300, Some("neither on nor off")),
    ] {
        let (address, _questions, _server) = fake_upsd(vec![answers]).await;
        let switch = OutletSwitch::Variable("outlet.3.switch".into());
        let mut line = outlet(address, None, switch, limit);
        match (line.join(name("ups-b"), name("s1"), 1_000).await, told) {
            (ActionOutcome::Done(_), None) => {}
            (ActionOutcome::Failed(reason), Some(told)) => {
                assert!(
                    reason.contains(told) && reason.starts_with("outlet 3 of rack1@"),
                    "{reason}"
                );
            }
            (outcome, told) => panic!("{outcome:?}, expected {told:?}"),
        }
    }
}

#[tokio::test]
async fn a_password_that_others_may_read_is_not_used() {
    let folder = tempfile::tempdir().unwrap();
    let password_file = folder.path().join("password");
    for (text, mode, told) in [
        ("secret\n", 0o640, "others than its owner may use it (mode 640)"),
        ("", 0o600, "expected one line"),
        ("a\nLIST UPS\n", 0o600, "expected one line"),
    ] {
        fs::write(&password_file, text).unwrap();
        fs::set_permissions(&password_file, fs::Permissions::from_mode(mode)).unwrap();
        let login = NutLogin {
            user: "pep".into(),
            password_file: password_file.clone(),
        };
        let (address, mut questions, _server) = fake_upsd(vec![vec![]]).await;
        let mut line = outlet(address, Some(login), OutletSwitch::Commands, 1_000);
        let error = line.read().await.unwrap_err().0;
        assert!(error.contains(told) && !error.contains("secret"), "{error}");
        assert!(questions.try_recv().is_err(), "nothing was said to upsd");
    }
}

#[test]
fn lines_of_commands_and_their_answers() {
    assert_eq!(password("a\"b\\c"), "PASSWORD \"a\\\"b\\\\c\"");
    assert_eq!(
        set_variable("rack1", "outlet.3.switch", "on"),
        "SET VAR rack1 outlet.3.switch \"on\""
    );
    assert_eq!(accepted("OK TRACKING 12").unwrap(), ["TRACKING", "12"]);
    assert_eq!(
        accepted("ERR ACCESS-DENIED"),
        Err(Fault::Refused("ACCESS-DENIED".into()))
    );
    assert_eq!(tracking("PENDING"), Ok(Tracking::Pending));
    assert_eq!(variable("rack1", "a", "VAR rack1 a \"b c\"").unwrap(), "b c");
    for line in ["VAR rack1 b \"c\"", "OK", "", "SUCCESS \"", "VAR rack2 a \"b\""] {
        assert!(
            matches!(variable("rack1", "a", line), Err(Fault::Unexpected { .. })),
            "{line}"
        );
    }
    for line in ["", "SUCCESS now", "OK", "pending"] {
        assert!(matches!(tracking(line), Err(Fault::Unexpected { .. })), "{line}");
    }
}
