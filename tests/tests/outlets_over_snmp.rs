//! Outlets of a switched PDU as divert lines, against an SNMP agent that is not ours: the real driver, the real wire.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use pep_agent::drivers::LineDriver;
use pep_agent::drivers::outlet::OutletLine;
use pep_agent::drivers::snmp::{SnmpAccess, SnmpDevice, SnmpOutlet, SnmpTransfer};
use pep_agent::drivers::transfer_switch::{Inputs, TransferLine};
use pep_agent::engine::ActionOutcome;
use pep_agent::io::config::{AgentConfig, LineSource};
use power_policy::model::{LineState, Name};
use system_tests::pdu::{COMMUNITY, Objects, PASSWORD, PRIVACY_PASSWORD, Pdu, SecureAgent, USER};
use system_tests::process::program;
use tempfile::TempDir;

const MASTERSWITCH: Objects = Objects {
    control: "1.3.6.1.4.1.318.1.1.4.4.2.1.3.5",
    commands: (1, 2),
    state: "1.3.6.1.4.1.318.1.1.4.4.2.1.3.5",
    states: (1, 2),
};
const RPDU: Objects = Objects {
    control: "1.3.6.1.4.1.318.1.1.12.3.3.1.1.4.5",
    commands: (1, 2),
    state: "1.3.6.1.4.1.318.1.1.12.3.5.1.1.4.5",
    states: (1, 2),
};
const RPDU_PENDING: &str = "1.3.6.1.4.1.318.1.1.12.3.5.1.1.5.5";
const RPDU2: Objects = Objects {
    control: "1.3.6.1.4.1.318.1.1.26.9.2.4.1.5.5",
    commands: (1, 2),
    state: "1.3.6.1.4.1.318.1.1.26.9.2.3.1.5.5",
    states: (2, 1),
};
const ENERGY_OBJECT: Objects = Objects {
    control: "1.3.6.1.2.1.229.1.2.1.8.5",
    commands: (259, 257),
    state: "1.3.6.1.2.1.229.1.2.1.9.5",
    states: (259, 257),
};
const OWN: Objects = Objects {
    control: "1.3.6.1.4.1.99999.1.7",
    commands: (10, 20),
    state: "1.3.6.1.4.1.99999.2.7",
    states: (11, 21),
};

/// A folder with an agent's file, and the files of its secrets.
struct Node {
    folder: TempDir,
}

impl Node {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let node = Self { folder };
        node.secret("community", COMMUNITY);
        node.secret("password", PASSWORD);
        node.secret("privacy", PRIVACY_PASSWORD);
        node
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn secret(&self, name: &str, text: &str) -> PathBuf {
        let file = self.path().join(name);
        fs::write(&file, text).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        file
    }

    /// Writes the file with one line, `keys` among its keys.
    fn config(&self, device: SocketAddr, keys: &str) -> PathBuf {
        let file = self.path().join("agent.toml");
        let text = format!(
            r#"
[agent]
name = "rack-1"
state_dir = "state"
[pdp]
address = "127.0.0.1:3288"
[[line]]
name = "b-to-s1"
driver = "snmp_outlet"
address = "{}"
outlet = 5
max_watts = 400
mode = "exclusive"
changeover = "parallel"
reserves = ["ups-b"]
servers = ["s1"]
{keys}
"#,
            device
        );
        fs::write(&file, text).unwrap();
        file
    }

    /// The line of that file, as the agent makes it.
    fn line(&self, pdu: &Pdu, keys: &str) -> OutletLine<SnmpOutlet> {
        self.line_at(pdu.address(), keys)
    }

    fn line_at(&self, device: SocketAddr, keys: &str) -> OutletLine<SnmpOutlet> {
        let config = AgentConfig::read(&self.config(device, keys)).unwrap();
        let LineSource::SnmpOutlet(facts) = &config.lines[0].source else {
            panic!("{:?}", config.lines[0].source)
        };
        let limit = facts.limit;
        OutletLine::new(
            SnmpOutlet::new(facts.as_ref().clone()),
            name("ups-b"),
            name("s1"),
            400_000,
            limit,
        )
    }
}

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

async fn join(line: &mut OutletLine<SnmpOutlet>, milliwatts: u32) -> ActionOutcome {
    line.join(name("ups-b"), name("s1"), milliwatts).await
}

fn failure(outcome: ActionOutcome) -> String {
    match outcome {
        ActionOutcome::Failed(reason) => reason,
        other => panic!("{other:?}"),
    }
}

const V2C: &str = "community_file = \"community\"";

#[tokio::test]
async fn every_table_is_switched_and_read_back_as_its_device_has_it() {
    let pdu = Pdu::start().unwrap();
    let node = Node::new();
    let own = format!(
        "objects = {{ state = \"{}\", state_on = 11, state_off = 21, control = \"{}\", control_on = 10, control_off = 20 }}",
        OWN.state, OWN.control
    );
    let cases = [
        (MASTERSWITCH, "table = \"apc-masterswitch\"".to_owned()),
        (RPDU, "table = \"apc-rpdu\"".to_owned()),
        (RPDU2, "table = \"apc-rpdu2\"".to_owned()),
        (ENERGY_OBJECT, "table = \"energy-object\"".to_owned()),
        (OWN, own),
    ];
    for (objects, table) in cases {
        pdu.add_outlet(objects).unwrap();
        let mut line = node.line(&pdu, &format!("{table}\n{V2C}"));
        let reading = line.read().await.unwrap();
        assert_eq!(
            (reading.state, reading.joined.len()),
            (LineState::Open, 0),
            "{table}"
        );
        assert_eq!(
            join(&mut line, 120_000).await,
            ActionOutcome::Done(String::new()),
            "{table}"
        );
        assert_eq!(pdu.value(objects.control).unwrap(), objects.commands.0, "{table}");
        assert_eq!(pdu.value(objects.state).unwrap(), objects.states.0, "{table}");
        let reading = line.read().await.unwrap();
        assert_eq!(
            (reading.state, reading.joined[0].milliwatts),
            (LineState::Closed, 120_000),
            "{table}"
        );
        assert_eq!(line.open().await, ActionOutcome::Done(String::new()), "{table}");
        assert_eq!(pdu.value(objects.state).unwrap(), objects.states.1, "{table}");
        assert_eq!(line.read().await.unwrap().state, LineState::Open, "{table}");
    }
}

#[tokio::test]
async fn a_transfer_switch_is_moved_by_its_preferred_source_and_read_by_its_selected_one() {
    // Its relay is an outlet's: A stands for on, and B for off, where it begins.
    let preferred = Objects {
        control: "1.3.6.1.4.1.318.1.1.8.4.2.0",
        commands: (1, 2),
        state: "1.3.6.1.4.1.318.1.1.8.5.1.2.0",
        states: (1, 2),
    };
    let pdu = Pdu::start().unwrap();
    pdu.add_outlet(preferred).unwrap();
    let node = Node::new();
    let device = SnmpDevice {
        address: pdu.address().to_string(),
        access: SnmpAccess::Community(node.path().join("community")),
    };
    let line = |rest: Option<&str>, reserves: &[(&str, &str)]| {
        let at = |(reserve, input): &(&str, &str)| (name(reserve), (*input).to_owned());
        let inputs = Inputs {
            reserves: reserves.iter().map(at).collect(),
            rest: rest.map(str::to_owned),
        };
        let limit = std::time::Duration::from_millis(500);
        TransferLine::new(
            SnmpTransfer::new(device.clone()),
            inputs,
            name("s1"),
            400_000,
            limit,
        )
    };
    let mut both = line(None, &[("ups-a", "A"), ("ups-b", "B")]);
    let reading = both.read().await.unwrap();
    assert_eq!(
        (reading.state, reading.joined[0].reserve.as_str()),
        (LineState::Closed, "ups-b")
    );
    let moved = both.join(name("ups-a"), name("s1"), 90_000).await;
    assert_eq!(moved, ActionOutcome::Done(String::new()));
    assert_eq!(pdu.value(preferred.control).unwrap(), 1);
    assert_eq!(both.read().await.unwrap().joined[0].reserve, name("ups-a"));
    assert!(matches!(both.open().await, ActionOutcome::Refused(_)));

    let mut resting = line(Some("A"), &[("ups-b", "B")]);
    assert_eq!(resting.read().await.unwrap().state, LineState::Open);
    let lent = resting.join(name("ups-b"), name("s1"), 90_000).await;
    assert_eq!(lent, ActionOutcome::Done(String::new()));
    assert_eq!(resting.open().await, ActionOutcome::Done(String::new()));
    assert_eq!(pdu.value(preferred.state).unwrap(), 1);

    // A source that is out of order: the switch stays with the other one, whatever is preferred.
    pdu.put(preferred.state, 2, "read-only").unwrap();
    let mut stuck = line(None, &[("ups-a", "A"), ("ups-b", "B")]);
    pdu.remove(preferred.control).unwrap();
    let reason = failure(stuck.join(name("ups-a"), name("s1"), 1).await);
    assert!(reason.ends_with("it feeds from input B"), "{reason}");
}

#[tokio::test]
async fn what_is_so_already_is_not_set_again() {
    let pdu = Pdu::start().unwrap();
    pdu.add_outlet(RPDU).unwrap();
    let node = Node::new();
    let mut line = node.line(&pdu, &format!("table = \"apc-rpdu\"\n{V2C}"));
    // A value that no command of ours would leave.
    pdu.put(RPDU.control, 7, "read-write").unwrap();
    assert_eq!(line.open().await, ActionOutcome::Done("so already".into()));
    assert_eq!(pdu.value(RPDU.control).unwrap(), 7);
}

#[tokio::test]
async fn a_stuck_a_pending_and_an_unreadable_outlet_are_told_as_they_are() {
    let pdu = Pdu::start().unwrap();
    pdu.add_stuck_outlet(RPDU).unwrap();
    let node = Node::new();
    let keys = format!("table = \"apc-rpdu\"\nlimit_seconds = 0.5\n{V2C}");
    let mut line = node.line(&pdu, &keys);
    let stuck = failure(join(&mut line, 120_000).await);
    let label = format!("outlet 5 of the PDU at {}: ", pdu.address());
    assert!(
        stuck.starts_with(&label) && stuck.ends_with("it did not follow"),
        "{stuck}"
    );
    assert_eq!(pdu.value(RPDU.control).unwrap(), 1, "it was commanded");
    assert_eq!(
        line.read().await.unwrap().state,
        LineState::Open,
        "as it is, not as it should be"
    );

    pdu.put(RPDU_PENDING, 1, "read-only").unwrap();
    let mut line = node.line(&pdu, &keys);
    assert_eq!(line.read().await.unwrap().state, LineState::Moving);
    let pending = failure(join(&mut line, 1).await);
    assert!(pending.ends_with("its command is still pending"), "{pending}");
    pdu.put(RPDU_PENDING, 2, "read-only").unwrap();

    pdu.put(RPDU.state, 3, "read-only").unwrap();
    assert_eq!(line.read().await.unwrap().state, LineState::Fault);
    let neither = failure(join(&mut line, 1).await);
    assert!(
        neither.ends_with("its status is neither on nor off but 3 (apc-rpdu)"),
        "{neither}"
    );

    pdu.remove(RPDU.state).unwrap();
    let missing = line.read().await.unwrap_err().0;
    assert_eq!(missing, format!("{label}it has no object {}", RPDU.state));
}

#[tokio::test]
async fn a_refused_command_is_a_failure_and_changes_nothing() {
    let pdu = Pdu::start().unwrap();
    pdu.put(RPDU.state, 2, "read-only").unwrap();
    pdu.put(RPDU.control, 2, "read-only").unwrap();
    let node = Node::new();
    let mut line = node.line(&pdu, &format!("table = \"apc-rpdu\"\n{V2C}"));
    let refused = failure(join(&mut line, 1).await);
    // The simulator's word for an object that may not be written.
    assert!(
        refused.ends_with(&format!("it has no object {}", RPDU.control)),
        "{refused}"
    );
    assert_eq!(pdu.value(RPDU.control).unwrap(), 2);
}

#[tokio::test]
async fn a_dead_pdu_is_given_up_on_and_asked_again_when_it_is_back() {
    let mut pdu = Pdu::start().unwrap();
    pdu.add_outlet(RPDU).unwrap();
    let node = Node::new();
    let mut line = node.line(&pdu, &format!("table = \"apc-rpdu\"\n{V2C}"));
    assert_eq!(line.read().await.unwrap().state, LineState::Open);
    pdu.power_off().unwrap();
    let dead = line.read().await.unwrap_err().0;
    assert!(
        dead.starts_with("outlet 5 of the PDU at ") && !dead.contains('\n'),
        "{dead}"
    );
    pdu.power_on().unwrap();
    assert_eq!(join(&mut line, 5_000).await, ActionOutcome::Done(String::new()));
    assert_eq!(pdu.value(RPDU.state).unwrap(), 1);
}

#[tokio::test]
async fn version_3_authenticates_encrypts_and_is_refused_with_a_wrong_password() {
    let agent = SecureAgent::start(MASTERSWITCH.control, MASTERSWITCH.commands.1).unwrap();
    let node = Node::new();
    let keys = format!(
        "table = \"apc-masterswitch\"\nuser = \"{USER}\"\npassword_file = \"password\"\n\
         privacy_password_file = \"privacy\""
    );
    let line = || node.line_at(agent.address(), &keys);
    let mut own = line();
    assert_eq!(join(&mut own, 90_000).await, ActionOutcome::Done(String::new()));
    assert_eq!(line().read().await.unwrap().state, LineState::Closed);
    assert_eq!(own.open().await, ActionOutcome::Done(String::new()));

    for file in ["password", "privacy"] {
        node.secret(file, "another-secret");
        let mut stranger = line();
        let refused = failure(join(&mut stranger, 1).await);
        assert!(!refused.contains("another-secret"), "{refused}");
        // A secret that is right again is read again, by the same driver.
        node.secret("password", PASSWORD);
        node.secret("privacy", PRIVACY_PASSWORD);
        let state = stranger.read().await.map(|reading| reading.state);
        assert_eq!(state, Ok(LineState::Open), "{file}: nothing was switched");
    }
}

#[tokio::test]
async fn secrets_that_others_may_read_are_not_used() {
    let pdu = Pdu::start().unwrap();
    pdu.add_outlet(RPDU).unwrap();
    let node = Node::new();
    let mut line = node.line(&pdu, &format!("table = \"apc-rpdu\"\n{V2C}"));
    let file = node.path().join("community");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    let error = line.read().await.unwrap_err().0;
    assert!(error.contains("others than its owner may use it"), "{error}");
}

#[test]
fn check_config_reads_the_outlet_and_warns_of_what_is_wrong() {
    let mut pdu = Pdu::start().unwrap();
    pdu.add_outlet(RPDU).unwrap();
    let node = Node::new();
    let file = node.config(pdu.address(), &format!("table = \"apc-rpdu\"\n{V2C}"));
    let check = || {
        let output = Command::new(program("pep-agent").unwrap())
            .args(["check-config", "--config"])
            .arg(&file)
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let said = check();
    assert!(said.contains("now: line b-to-s1: open, 0 joined"), "{said}");
    assert!(
        said.contains("v2c, whose community goes over the wire in plain"),
        "{said}"
    );
    pdu.power_off().unwrap();
    let said = check();
    assert!(
        said.contains("warning: line b-to-s1 cannot be read: outlet 5 of the PDU at "),
        "{said}"
    );
}
