//! What an operator meets: wrong files, missing servers, arming, two agents at once.

use std::net::TcpListener;

use cops_codec::client_type::power::{ActionResult, Held, Outcome, Reserve, ReserveState, Verb};

use crate::pdp::TestPdp;
use crate::plans::TestPlan;
use crate::program::{Agent, output};

/// A port on which nobody listens.
fn closed_port() -> std::net::SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

fn nut_node(pdp: std::net::SocketAddr) -> String {
    format!(
        r#"
[agent]
name = "n1"
state_dir = "state"
[pdp]
address = "{pdp}"
[[server]]
name = "n1"
idle_watts = 100
peak_watts = 300
inlets = [{{ domain = "feedA", max_watts = 500 }}]
[[reserve]]
driver = "nut"
name = "ups"
ups = "ups1"
address = "{}"
capacity_wh = 100
max_watts = 500
poll_seconds = 0.1
"#,
        closed_port()
    )
}

fn text(octets: &[u8]) -> String {
    String::from_utf8_lossy(octets).into_owned()
}

#[test]
fn a_wrong_file_is_one_line_and_exit_status_2() {
    let agent =
        Agent::new("[agent]\nname = \"n1\"\nstate_dir = \"s\"\nmood = 1\n[pdp]\naddress = \"127.0.0.1:1\"\n");
    let file = agent.config.to_str().unwrap();
    for verb in ["run", "check-config", "status", "arm"] {
        let output = output(&[verb, "--config", file]);
        assert_eq!(output.status.code(), Some(2), "{verb}");
        let expected = format!("pep-agent: {file}:4:agent.mood: unknown field `mood`, expected one of");
        let said = text(&output.stderr);
        assert!(
            said.starts_with(&expected) && said.trim_end().lines().count() == 1,
            "{verb}: {said}"
        );
    }
}

#[test]
fn a_scale_with_something_real_is_refused() {
    let agent = Agent::new(&nut_node(closed_port()));
    let output = output(&[
        "run",
        "--clock-scale",
        "2",
        "--config",
        agent.config.to_str().unwrap(),
    ]);
    assert_eq!(output.status.code(), Some(2));
    let expected = "pep-agent: --clock-scale 2 is for simulations, and server n1 is real\n";
    assert_eq!(text(&output.stderr), expected);
}

#[test]
fn check_config_says_what_the_file_means() {
    let mut file = nut_node(closed_port());
    file.push_str("[[manage]]\nname = \"everything\"\ncomm = \"*\"\n");
    let agent = Agent::new(&file);
    let output = output(&["check-config", "--config", agent.config.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let said = text(&output.stdout);
    assert!(
        said.contains("agent n1: observes only, until `pep-agent arm`"),
        "{said}"
    );
    assert!(
        said.contains("reserve ups (Custodian): NUT, ups1 at 127.0.0.1:"),
        "{said}"
    );
    assert!(said.contains("activity everything on n1: can stop\n"), "{said}");
    assert!(
        said.contains("warning: it matches what is never touched"),
        "{said}"
    );
    assert!(
        said.contains("warning: reserve ups cannot be read: ups1@127.0.0.1:"),
        "{said}"
    );
}

#[test]
fn check_config_finds_what_is_missing_on_this_machine() {
    let mut file = nut_node(closed_port());
    file.push_str(
        r#"
[[activity]]
name = "db"
driver = "command"
status = ["true"]
stop = ["no-such-program-anywhere"]
start = ["/etc/passwd"]
[[activity]]
name = "vm"
driver = "exec"
program = ["/nonexistent"]
[[manage]]
name = "work"
comm = "no-such-comm"
start = ["/nonexistent/work"]
"#,
    );
    let agent = Agent::new(&file);
    let output = output(&["check-config", "--config", agent.config.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let said = text(&output.stdout);
    for told in [
        "warning: the stop command of activity db: no-such-program-anywhere is nowhere on the PATH\n",
        // Root may run nothing that has no execute bit, either.
        "warning: the start command of activity db: /etc/passwd may not be run by this user\n",
        "warning: the start command of activity work: /nonexistent/work is not there\n",
        "warning: activity vm on n1 cannot be read: /nonexistent: No such file or directory",
        "now: activity db on n1: running\n",
        "now: server n1: on\n",
    ] {
        assert!(said.contains(told), "{told}: {said}");
    }
}

#[test]
fn status_of_no_agent_is_one_line() {
    let agent = Agent::new(&nut_node(closed_port()));
    let output = output(&["status", "--config", agent.config.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    let expected = format!(
        "pep-agent: no agent at {}/state/agent.sock: ",
        agent.path().display()
    );
    assert!(
        text(&output.stderr).starts_with(&expected),
        "{}",
        text(&output.stderr)
    );
}

#[tokio::test]
async fn a_missing_upsd_and_a_missing_pdp_are_one_line_each_and_the_agent_goes_on() {
    let mut agent = Agent::new(&nut_node(closed_port()));
    agent.start(&[]);
    agent.until_logged("no PDP, trying again: 127.0.0.1:").await;
    agent
        .until_logged("reserve ups cannot be read, its last figures grow stale: ups1@127.0.0.1:")
        .await;
    let status = agent
        .until("a look at it", |status| status.reserves[0].state == "never read")
        .await;
    assert_eq!(status.reserves[0].charge_joules, None);
    assert_eq!((status.connected, status.armed), (false, false));
    assert_eq!(agent.terminate().code(), Some(0));
    let lines = |text: &str| agent.log().lines().filter(|line| line.contains(text)).count();
    assert_eq!(lines("reserve ups cannot be read"), 1, "{}", agent.log());
    assert_eq!(lines("no PDP, trying again"), 1, "{}", agent.log());
    assert!(
        !agent.path().join("state/agent.sock").exists(),
        "its socket is gone"
    );
}

#[tokio::test]
async fn a_reserve_that_was_never_read_is_unknown_to_the_pdp_not_empty() {
    let mut pdp = TestPdp::start().await;
    let mut agent = Agent::new(&nut_node(pdp.address));
    agent.start(&[]);
    pdp.until("n1", "the reserve", |peer| {
        peer.table()
            .only::<Reserve>()
            .is_some_and(|row| row.state == ReserveState::Unknown)
    })
    .await;
    pdp.peer("n1", |peer| assert!(!peer.table().only::<Held>().unwrap().armed));
    // Two agents of one state folder: the second one says why it does not run.
    let second = agent.run(&["run"]).await;
    assert_eq!(second.status.code(), Some(1));
    assert!(
        text(&second.stderr).contains("another agent uses this state folder"),
        "{}",
        text(&second.stderr)
    );
}

#[tokio::test]
async fn arming_lets_plans_through_and_is_remembered() {
    let mut pdp = TestPdp::start().await;
    let file = include_str!("../../examples/simulated-node.toml")
        .replace("127.0.0.1:3288", &pdp.address.to_string())
        .replace("mode = \"armed\"", "mode = \"observe\"");
    let mut agent = Agent::new(&file);
    agent.start(&["--clock-scale", "50"]);
    pdp.until("s1", "its report", |peer| {
        peer.table().only::<Held>().is_some_and(|held| !held.armed)
    })
    .await;
    let plan = TestPlan::default().activity("monitor", "s1", Verb::Stop);
    pdp.push("s1", plan.decisions(1, 0));
    pdp.until("s1", "a refusal", |peer| {
        let result = peer.table().only::<ActionResult>();
        result.is_some_and(|row| {
            row.outcome == Outcome::Refused && row.reason == "observe mode: would stop monitor on s1"
        })
    })
    .await;

    use std::os::unix::fs::PermissionsExt;
    let socket = agent.path().join("state-s1/agent.sock");
    assert_eq!(
        std::fs::metadata(&socket).unwrap().permissions().mode() & 0o777,
        0o600
    );
    let armed = agent.run(&["arm"]).await;
    assert_eq!(
        (armed.status.code(), text(&armed.stdout).as_str()),
        (Some(0), "armed: plans are carried out\n")
    );
    pdp.until("s1", "that it is armed", |peer| {
        peer.table().only::<Held>().is_some_and(|held| held.armed)
    })
    .await;
    pdp.push("s1", plan.decisions(2, 0));
    pdp.until("s1", "the stop", |peer| {
        peer.table()
            .only::<ActionResult>()
            .is_some_and(|row| row.outcome == Outcome::Done)
    })
    .await;

    // Killed and started again it is armed still, whatever its file says; and disarmed when told so.
    agent.kill();
    agent.start(&["--clock-scale", "50"]);
    assert!(agent.until("the restart", |_| true).await.armed);
    let disarmed = agent.run(&["disarm"]).await;
    assert_eq!(disarmed.status.code(), Some(0));
    assert!(!agent.status().await.armed);
    agent.kill();
    agent.start(&["--clock-scale", "50"]);
    assert!(!agent.status().await.armed);
}
