//! Real processes under an agent: started and stopped by plan, and left alone at its end.

use cops_codec::client_type::power::{ActionResult, Activity, ActivityState, Outcome, Verb};
use pep_agent::drivers::process::ProcessTable;

use crate::pdp::{Peer, TestPdp};
use crate::plans::TestPlan;
use crate::program::Agent;

/// An agent that manages one script, in the agent's own folder.
fn agent(pdp: &TestPdp, script: &str) -> (Agent, Work) {
    let agent = Agent::new("");
    let path = agent.path().join("work.sh");
    std::fs::write(&path, script).unwrap();
    let path = path.to_str().unwrap().to_owned();
    let file = format!(
        r#"
[agent]
name = "n1"
state_dir = "state"
mode = "armed"
[pdp]
address = "{}"
[[server]]
name = "n1"
idle_watts = 100
peak_watts = 300
inlets = [{{ domain = "feedA", max_watts = 500 }}]
[[manage]]
name = "work"
cmdline = "*{path}*"
qos = "bronze"
start = ["/bin/sh", "{path}"]
stop_seconds = 1
start_seconds = 20
"#,
        pdp.address
    );
    std::fs::write(&agent.config, file).unwrap();
    (agent, Work { path })
}

/// The processes of the script; killed when dropped.
struct Work {
    path: String,
}

impl Work {
    fn pids(&self) -> Vec<i32> {
        let table = ProcessTable::of_this_machine();
        let processes = table.scan().unwrap();
        processes
            .iter()
            .filter(|p| p.cmdline.ends_with(&self.path))
            .map(|p| p.pid)
            .collect()
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        for pid in self.pids() {
            let pid = rustix::process::Pid::from_raw(pid).unwrap();
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        }
    }
}

fn state(peer: &Peer) -> Option<ActivityState> {
    peer.table().only::<Activity>().map(|row| row.state)
}

fn outcome(peer: &Peer) -> Option<Outcome> {
    peer.table().only::<ActionResult>().map(|row| row.outcome)
}

#[tokio::test]
async fn processes_start_and_stop_by_plan_and_outlive_their_agent() {
    let mut pdp = TestPdp::start().await;
    let (mut agent, work) = agent(&pdp, "while :; do sleep 0.05; done\n");
    agent.start(&[]);
    pdp.until("n1", "its report", |peer| {
        state(peer) == Some(ActivityState::Stopped)
    })
    .await;
    pdp.push(
        "n1",
        TestPlan::default()
            .activity("work", "n1", Verb::Start)
            .decisions(1, 0),
    );
    pdp.until("n1", "the start", |peer| outcome(peer) == Some(Outcome::Done))
        .await;
    pdp.until("n1", "that it runs", |peer| {
        state(peer) == Some(ActivityState::Running)
    })
    .await;
    let started = work.pids();
    assert_eq!(started.len(), 1);

    // The agent ends; what runs goes on, and is found again.
    assert_eq!(agent.terminate().code(), Some(0));
    assert_eq!(work.pids(), started);
    agent.start(&[]);
    pdp.until("n1", "that it runs", |peer| {
        peer.connections == 2 && state(peer) == Some(ActivityState::Running)
    })
    .await;
    assert_eq!(work.pids(), started, "and is not started again");

    pdp.push(
        "n1",
        TestPlan::default()
            .activity("work", "n1", Verb::Stop)
            .decisions(2, 0),
    );
    pdp.until("n1", "the stop", |peer| outcome(peer) == Some(Outcome::Done))
        .await;
    pdp.until("n1", "that it is stopped", |peer| {
        state(peer) == Some(ActivityState::Stopped)
    })
    .await;
    assert_eq!(work.pids(), [0; 0]);
}

#[tokio::test]
async fn what_ignores_sigterm_is_reported_twice_and_lives() {
    let mut pdp = TestPdp::start().await;
    let (mut agent, work) = agent(&pdp, "trap '' TERM\necho ready\nwhile :; do sleep 0.05; done\n");
    agent.start(&[]);
    pdp.until("n1", "its report", |peer| {
        state(peer) == Some(ActivityState::Stopped)
    })
    .await;
    pdp.push(
        "n1",
        TestPlan::default()
            .activity("work", "n1", Verb::Start)
            .decisions(1, 0),
    );
    pdp.until("n1", "the start", |peer| outcome(peer) == Some(Outcome::Done))
        .await;
    let output = agent.path().join("state/output/work.log");
    let ready = async {
        while std::fs::read_to_string(&output).unwrap_or_default() != "ready\n" {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    };
    // Without a limit a start that never gets there would hang the suite instead of failing it.
    tokio::time::timeout(crate::pdp::PATIENCE, ready)
        .await
        .expect("the started work says that it is ready");
    pdp.push(
        "n1",
        TestPlan::default()
            .activity("work", "n1", Verb::Stop)
            .decisions(2, 0),
    );
    pdp.until("n1", "the failure", |peer| outcome(peer) == Some(Outcome::Failed))
        .await;
    pdp.until("n1", "its report", |peer| {
        peer.failures == 1 && state(peer) == Some(ActivityState::Running)
    })
    .await;
    pdp.peer("n1", |peer| {
        let reason = peer.table().only::<ActionResult>().unwrap().reason.to_string();
        assert!(
            reason.starts_with("sh (process ") && reason.ends_with("still run after 1 s"),
            "{reason}"
        );
    });
    assert_eq!(work.pids().len(), 1, "never silently killed");
}
