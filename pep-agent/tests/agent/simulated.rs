//! Agents whose things are simulated: in a plant of their own, and in a shared one.

use cops_codec::client_type::power::{
    ActionResult, Activity, ActivityState, Domain, Held, HostState, Line, LineState, Mains, Outcome, Powered,
    Reserve, Role, Server, Verb, Witness,
};
use pep_agent::drivers::plant_link::PlantClient;

use crate::pdp::{Peer, TestPdp};
use crate::plans::TestPlan;
use crate::program::Agent;

/// The example of a node with a plant of its own, at this PDP.
pub(crate) fn node(pdp: &TestPdp) -> String {
    include_str!("../../examples/simulated-node.toml").replace("127.0.0.1:3288", &pdp.address.to_string())
}

pub(crate) fn state(peer: &Peer, activity: &str) -> Option<ActivityState> {
    peer.table()
        .all::<Activity>()
        .find(|row| row.name == *activity)
        .map(|row| row.state)
}

fn outcomes(peer: &Peer) -> Vec<Outcome> {
    peer.table()
        .all::<ActionResult>()
        .map(|row| row.outcome)
        .collect()
}

#[tokio::test]
async fn reports_itself_carries_a_plan_out_and_does_nothing_twice() {
    let mut pdp = TestPdp::start().await;
    let mut agent = Agent::new(&node(&pdp));
    agent.start(&["--clock-scale", "50"]);
    pdp.until("s1", "what it reports", |peer| {
        state(peer, "monitor") == Some(ActivityState::Running)
            && state(peer, "render") == Some(ActivityState::Running)
            && state(peer, "web") == Some(ActivityState::Stopped)
            && peer
                .table()
                .only::<Domain>()
                .is_some_and(|row| row.mains == Mains::Present)
    })
    .await;
    pdp.peer("s1", |peer| {
        let reserve = peer.table().only::<Reserve>().unwrap();
        assert_eq!(
            (reserve.name.as_str(), reserve.capacity_joules),
            ("ups1", 1_440_000)
        );
        // It recharges from its first moment on.
        assert!(
            (1_296_000..1_440_000).contains(&reserve.charge_joules),
            "{reserve:?}"
        );
        assert!(reserve.simulated);
        let server = peer.table().only::<Server>().unwrap();
        assert_eq!((server.idle_milliwatts, server.powered), (90_000, Powered::On));
        assert!(peer.table().only::<Held>().unwrap().armed);
    });
    pdp.until("s1", "an accounting report", |peer| peer.accounting_reports > 0)
        .await;

    // Stage 0 begins at once; stage 1 waits for its release.
    let plan = TestPlan::default()
        .activity("web", "s1", Verb::TakeIn)
        .activity("render", "s1", Verb::Stop);
    pdp.push("s1", plan.decisions(1, 0));
    pdp.until("s1", "web", |peer| {
        state(peer, "web") == Some(ActivityState::Running)
    })
    .await;
    pdp.until("s1", "its result", |peer| outcomes(peer) == [Outcome::Done])
        .await;
    pdp.push("s1", plan.release(1, 1));
    pdp.until("s1", "render", |peer| {
        state(peer, "render") == Some(ActivityState::Stopped)
    })
    .await;
    pdp.until("s1", "both results", |peer| {
        outcomes(peer) == [Outcome::Done, Outcome::Done]
    })
    .await;
    pdp.peer("s1", |peer| {
        let stop = peer.table().all::<ActionResult>().last().unwrap();
        // 15 s of the plant's time, at the least; a loaded machine takes longer.
        assert!(stop.millis >= 15_000, "{stop:?}");
        assert_eq!((stop.term, stop.generation, stop.stage), (1, 1, 1));
    });
    let status = agent.status().await;
    assert_eq!((status.armed, status.connected), (true, true));
    assert_eq!(status.plan.unwrap().released_stage, Some(1));
    let words = agent.run(&["status"]).await;
    let words = String::from_utf8(words.stdout).unwrap();
    assert!(words.starts_with("s1: armed, PDP 127.0.0.1:"), "{words}");
    assert!(
        words.contains("activity render on s1: stopped, bronze, 120.0 W"),
        "{words}"
    );
    assert!(words.contains("stop render on s1: done"), "{words}");

    // A clean end: the PDP is told. The private plant goes with the agent, so the next one is a new plant.
    assert_eq!(agent.terminate().code(), Some(0));
    pdp.until("s1", "its farewell", |peer| !peer.connected && peer.said_goodbye)
        .await;
    agent.start(&["--clock-scale", "50"]);
    pdp.until("s1", "the plan it still holds", |peer| {
        peer.connections == 2
            && peer
                .table()
                .only::<Held>()
                .is_some_and(|held| held.generation == 1)
    })
    .await;
    pdp.until("s1", "its results", |peer| {
        outcomes(peer) == [Outcome::Done, Outcome::Done]
    })
    .await;
    // render runs in the new plant, and the stop of the plan held was done: it is not done again.
    pdp.until("s1", "render", |peer| {
        state(peer, "render") == Some(ActivityState::Running)
    })
    .await;
    assert!(
        !agent
            .log()
            .split("the PDP has accepted")
            .last()
            .unwrap()
            .contains("a driver acts")
    );
}

#[tokio::test]
async fn a_killed_agent_finds_its_pdp_again_under_its_name_and_still_holds_its_plan_c_2_2_11_02() {
    let mut pdp = TestPdp::start().await;
    let mut agent = Agent::new(&node(&pdp));
    agent.start(&["--clock-scale", "10"]);
    pdp.until("s1", "what it reports", |peer| peer.full_requests == 1)
        .await;
    pdp.push("s1", TestPlan::default().decisions(1, 0));
    pdp.until("s1", "the plan", |peer| {
        peer.table().only::<Held>().is_some_and(|h| h.generation == 1)
    })
    .await;
    agent.kill();
    pdp.until("s1", "its end", |peer| !peer.connected).await;
    agent.start(&["--clock-scale", "10"]);
    // It says that it holds this PDP's decisions; the PDP, which kept nothing, asks for everything (SSQ).
    pdp.until("s1", "the plan it holds", |peer| {
        peer.connections == 2 && peer.table().only::<Held>().is_some_and(|h| h.generation == 1)
    })
    .await;
}

/// A plant with one server and a rack agent.
const PLANT: &str = r#"
socket = "plant.sock"
log_folder = "logs"
[[domain]]
name = "east"
[[server]]
name = "s1"
idle_watts = 100
peak_watts = 400
boot_seconds = 20
halt_seconds = 10
inlets = [{ domain = "east" }]
supplies = ["u1"]
starter = "rack"
agent = ["PROGRAM", "run", "--config", "s1.toml"]
[[reserve]]
name = "u1"
capacity_wh = 100
max_discharge_watts = 500
recharge_watts = 50
recharge_domain = "east"
[[reserve]]
name = "u2"
capacity_wh = 100
max_discharge_watts = 500
[[line]]
name = "bus"
reserves = ["u1", "u2"]
servers = ["s1"]
max_watts = 600
efficiency_permille = 950
switch_milliseconds = 4
[[agent]]
name = "rack"
command = ["PROGRAM", "run", "--config", "rack.toml"]
"#;

const HEAD: &str = r#"
[agent]
name = "NAME"
state_dir = "state-NAME"
mode = "armed"
[pdp]
address = "ADDRESS"
[plant]
socket = "plant.sock"
"#;

const S1: &str = r#"
[[server]]
name = "s1"
driver = "simulated"
[[reserve]]
name = "u1"
driver = "simulated"
role = "witness"
[[activity]]
name = "web"
driver = "simulated"
qos = "gold"
watts = 60
stop_seconds = 5
"#;

const RACK: &str = r#"
[[server]]
name = "s1"
driver = "simulated"
role = "witness"
[[domain]]
name = "east"
witness = "facility"
[[reserve]]
name = "u1"
driver = "simulated"
[[reserve]]
name = "u2"
driver = "simulated"
[[line]]
name = "bus"
driver = "simulated"
"#;

/// A running plant process.
struct Plant {
    folder: tempfile::TempDir,
    child: std::process::Child,
}

impl Drop for Plant {
    fn drop(&mut self) {
        // SIGTERM, so that it ends its agents.
        let pid = rustix::process::Pid::from_child(&self.child);
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        let _ = self.child.wait();
    }
}

fn plant(pdp: &TestPdp) -> Plant {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: String| std::fs::write(folder.path().join(name), text).unwrap();
    write(
        "plant.toml",
        PLANT.replace("PROGRAM", env!("CARGO_BIN_EXE_pep-agent")),
    );
    for (name, things) in [("s1", S1), ("rack", RACK)] {
        let head = HEAD
            .replace("NAME", name)
            .replace("ADDRESS", &pdp.address.to_string());
        write(&format!("{name}.toml"), head + things);
    }
    let file = folder.path().join("plant.toml");
    let child = crate::program::command()
        .args(["plant", "--clock-scale", "20", "--config", file.to_str().unwrap()])
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    Plant { folder, child }
}

#[tokio::test]
async fn a_rack_agent_and_a_node_agent_ride_through_in_a_shared_plant() {
    let mut pdp = TestPdp::start().await;
    let plant = plant(&pdp);
    let mains_of = |mains: Mains| {
        move |peer: &Peer| {
            peer.table()
                .only::<Domain>()
                .is_some_and(|row| row.mains == mains)
        }
    };
    pdp.until("s1", "the mains", mains_of(Mains::Present)).await;
    pdp.until("rack", "the mains", mains_of(Mains::Present)).await;
    pdp.until("rack", "its server", |peer| {
        peer.table()
            .only::<Server>()
            .is_some_and(|row| row.powered == Powered::On && row.role == Role::Witness)
    })
    .await;
    pdp.peer("rack", |peer| {
        assert_eq!(peer.table().only::<Domain>().unwrap().witness, Witness::Facility);
        assert_eq!(peer.table().all::<Reserve>().count(), 2);
        assert!(peer.table().all::<Activity>().next().is_none());
    });
    pdp.peer("s1", |peer| {
        assert_eq!(peer.table().only::<Domain>().unwrap().witness, Witness::Inlet);
        assert_eq!(peer.table().only::<Reserve>().unwrap().role, Role::Witness);
    });

    let client = PlantClient::connect(&plant.folder.path().join("plant.sock"), "test")
        .await
        .unwrap();
    client.fail_mains("east").await.unwrap();
    pdp.until("s1", "the loss", mains_of(Mains::Absent)).await;
    pdp.until("rack", "the loss", mains_of(Mains::Absent)).await;

    // The line is given to the server, and read back.
    pdp.push(
        "rack",
        TestPlan::default()
            .divert("bus", "u2", "s1", 300_000)
            .decisions(1, 0),
    );
    pdp.until("rack", "the line", |peer| {
        peer.table()
            .only::<Line>()
            .is_some_and(|row| row.state == LineState::Closed)
            && outcomes(peer) == [Outcome::Done]
    })
    .await;
    let reading = client.read_line("bus").await.unwrap();
    assert_eq!(
        (&*reading.settings[0].reserve, reading.settings[0].milliwatts),
        ("u2", 300_000)
    );

    // The activity stops, then the server goes off, and its agent with it.
    let plan = TestPlan::default()
        .activity("web", "s1", Verb::Stop)
        .host("s1", HostState::Off);
    pdp.push("s1", plan.decisions(1, 1));
    pdp.until("rack", "the server off", |peer| {
        peer.table()
            .only::<Server>()
            .is_some_and(|row| row.powered == Powered::OffSeen)
    })
    .await;
    pdp.until("s1", "the end of its agent", |peer| !peer.connected)
        .await;
    pdp.peer("s1", |peer| {
        // What the agent could still tell: its activity stopped first, and the halt began.
        assert_eq!(state(peer, "web"), Some(ActivityState::Stopped));
        assert_eq!(outcomes(peer)[0], Outcome::Done);
    });
    let clean = client.read_server("s1").await.unwrap().activities[0]
        .stopped
        .unwrap();
    assert!(clean.clean);

    // Its starter brings it back; the agent boots with it, still holds its plan, and starts nothing by itself.
    client.restore_mains("east").await.unwrap();
    let looked = [(Some(Mains::Present), 0)];
    pdp.peer("s1", |peer| {
        assert_eq!(peer.first_words, looked, "it looks before it speaks")
    });
    pdp.push(
        "rack",
        TestPlan::default().host("s1", HostState::On).decisions(2, 0),
    );
    pdp.until("rack", "the boot", |peer| outcomes(peer) == [Outcome::Done])
        .await;
    pdp.until("s1", "its agent", |peer| {
        peer.connections == 2 && peer.connected && peer.full_requests >= 2
    })
    .await;
    pdp.until("s1", "its activity", |peer| {
        state(peer, "web") == Some(ActivityState::Stopped)
    })
    .await;
    pdp.peer("s1", |peer| assert_eq!(peer.first_words, [looked[0]; 2]));
    pdp.push(
        "s1",
        TestPlan::default()
            .activity("web", "s1", Verb::Start)
            .decisions(2, 0),
    );
    pdp.until("s1", "its activity", |peer| {
        state(peer, "web") == Some(ActivityState::Running)
    })
    .await;
}
