//! A plant that runs in this process, in a folder of its own.

use pep_agent::drivers::plant_link::{PlantClient, PlantWatch};
use pep_agent::drivers::plant_protocol::Notice;
use pep_agent::io::plant::config::PlantFile;
use pep_agent::io::plant::{PlantRunError, serve};
use power_policy::plant::PlantEventKind;
use std::path::PathBuf;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// Longest that a test waits for a state before it fails.
const PATIENCE: Duration = Duration::from_secs(30);

/// Two servers on one domain, each with its own reserve; a line; agents where `{s1}` and so on are replaced.
pub(crate) const FILE: &str = r#"
socket = "plant.sock"
log_folder = "logs"
history_interval_seconds = 1
[[domain]]
name = "a"
[[server]]
name = "s1"
idle_watts = 100
peak_watts = 400
boot_seconds = 60
halt_seconds = 20
inlets = [{ domain = "a" }]
supplies = ["u1"]
starter = "rack"
{s1}
[[server]]
name = "s2"
idle_watts = 100
peak_watts = 400
boot_seconds = 60
halt_seconds = 20
inlets = [{ domain = "a" }]
supplies = ["u2"]
starter = "rack"
{s2}
[[reserve]]
name = "u1"
capacity_wh = 10
max_discharge_watts = 500
recharge_watts = 50
recharge_domain = "a"
[[reserve]]
name = "u2"
capacity_wh = 1000
max_discharge_watts = 500
[[line]]
name = "bus"
reserves = ["u1", "u2"]
servers = ["s1", "s2"]
max_watts = 600
efficiency_permille = 950
switch_milliseconds = 4
{agents}
"#;

/// [`FILE`] without agents.
pub(crate) fn plain() -> String {
    with_agents("", "", "")
}

/// [`FILE`] with lines for the two servers, and for the infrastructure's agents.
pub(crate) fn with_agents(s1: &str, s2: &str, agents: &str) -> String {
    FILE.replace("{s1}", s1)
        .replace("{s2}", s2)
        .replace("{agents}", agents)
}

/// A running plant. Its folder goes with it.
pub(crate) struct Running {
    pub(crate) folder: tempfile::TempDir,
    end: Option<oneshot::Sender<()>>,
    task: JoinHandle<Result<(), PlantRunError>>,
}

impl Running {
    /// Starts a plant and waits until it listens.
    pub(crate) async fn start(text: &str, clock_scale: u32) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = PlantFile::from_text(&folder.path().join("plant.toml"), text).unwrap();
        let (end, ended) = oneshot::channel();
        let task = tokio::spawn(async move {
            serve(&file, clock_scale, async {
                let _ = ended.await;
            })
            .await
        });
        let this = Running {
            folder,
            end: Some(end),
            task,
        };
        let socket = this.socket();
        until("the plant listens", || socket.exists()).await;
        this
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.folder.path().join("plant.sock")
    }

    pub(crate) async fn client(&self, agent: &str) -> PlantClient {
        PlantClient::connect(&self.socket(), agent).await.unwrap()
    }

    pub(crate) async fn watch(&self, sample_millis: u64) -> PlantWatch {
        PlantWatch::connect(&self.socket(), sample_millis).await.unwrap()
    }

    pub(crate) fn read(&self, file: &str) -> String {
        std::fs::read_to_string(self.folder.path().join(file)).unwrap_or_default()
    }

    /// Ends the plant and waits until it has.
    pub(crate) async fn end(mut self) -> tempfile::TempDir {
        self.end.take().unwrap().send(()).unwrap();
        tokio::time::timeout(PATIENCE, self.task)
            .await
            .expect("the plant ends")
            .unwrap()
            .unwrap();
        self.folder
    }
}

/// Waits for a state.
pub(crate) async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = std::time::Instant::now() + PATIENCE;
    while !holds() {
        assert!(std::time::Instant::now() < deadline, "waited in vain: {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// Waits for an event.
pub(crate) async fn event(watch: &mut PlantWatch, wanted: impl Fn(&PlantEventKind) -> bool) -> u64 {
    let found = async {
        loop {
            match watch.next().await.unwrap().expect("the plant runs") {
                Notice::Event(event) if wanted(&event.kind) => return event.at_millis,
                _ => {}
            }
        }
    };
    tokio::time::timeout(PATIENCE, found)
        .await
        .expect("the event comes")
}
