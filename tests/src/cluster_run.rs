//! A small cluster of real programs: a plant with its agents and a PDP, from files made for one test.
//!
//! Two servers with a battery each and a line that joins them, three classes of activities, and a rack agent. The
//! figures are such that, without mains, bronze is shed within minutes of the plant's time, silver some minutes later,
//! and gold lives for a quarter of an hour.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use pdp_server::api::Status;
use pdp_server::io::admin::AdminClient;
use pep_agent::drivers::plant_link::{PlantClient, PlantWatch};
use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use tempfile::TempDir;

use crate::process::{Program, program, wait_for};

/// How long a state may take to come before a test gives up; generous, for machines that have other work.
pub const PATIENCE: Duration = Duration::from_secs(90);
/// How often the PDP is asked.
const ASK_EVERY: Duration = Duration::from_millis(50);
/// The activities of the cluster, with their servers.
pub const ACTIVITIES: [(&str, &str); 4] = [
    ("ledger", "s1"),
    ("report", "s1"),
    ("mail", "s2"),
    ("batch", "s2"),
];
/// The agents of the cluster.
pub const AGENTS: [&str; 3] = ["rack", "s1", "s2"];

/// How a cluster is to be run.
#[derive(Debug, Clone)]
pub struct ClusterOptions {
    /// How much faster than the world the plant and the engines run.
    pub clock_scale: u32,
    /// `[cops] keep_alive_seconds` of the PDP.
    pub keep_alive_seconds: u16,
    /// `[cops] accounting_seconds` of the PDP.
    pub accounting_seconds: u16,
    /// `[listen] open_timeout_seconds` of the PDP.
    pub open_timeout_seconds: u64,
    /// Further lines of `[listen]` of the PDP.
    pub listen: String,
    /// Further tables of the PDP's file.
    pub tables: String,
}

impl Default for ClusterOptions {
    fn default() -> Self {
        Self {
            clock_scale: 20,
            keep_alive_seconds: 10,
            accounting_seconds: 1,
            open_timeout_seconds: 10,
            listen: String::new(),
            tables: String::new(),
        }
    }
}

/// A PDP in a folder of its own; ended when dropped.
#[derive(Debug)]
pub struct PdpRun {
    folder: PathBuf,
    options: ClusterOptions,
    /// The process; `None` while it is not to run.
    process: Option<Program>,
    address: SocketAddr,
    starts: usize,
}

impl PdpRun {
    /// Writes a PDP's file into `folder` and starts it on a port that the system chooses.
    ///
    /// # Errors
    /// It does not start.
    pub async fn start(folder: &Path, options: &ClusterOptions) -> Result<Self> {
        Self::start_at(folder, options, SocketAddr::from(([127, 0, 0, 1], 0))).await
    }

    /// As [`Self::start`], on this address.
    ///
    /// # Errors
    /// It does not start.
    pub async fn start_at(folder: &Path, options: &ClusterOptions, address: SocketAddr) -> Result<Self> {
        let mut this = Self {
            folder: folder.to_owned(),
            options: options.clone(),
            process: None,
            address,
            starts: 0,
        };
        this.write_file()?;
        let status = this.start_again().await?;
        this.address = status.listen.parse().context("address of the PDP")?;
        // A PDP that is started again is found where the first one was.
        this.write_file()?;
        Ok(this)
    }

    fn write_file(&self) -> Result<()> {
        let text = pdp_file(self.address, &self.options);
        std::fs::write(self.config(), text).context("writing the PDP's file")
    }

    /// Its file.
    pub fn config(&self) -> PathBuf {
        self.folder.join("pdp.toml")
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Number of its process, while it is to run.
    pub fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(Program::pid)
    }

    /// Its admin socket.
    pub fn admin(&self) -> AdminClient {
        AdminClient::new(&self.folder.join("pdp.sock"))
    }

    /// Starts it, and waits until it answers.
    ///
    /// # Errors
    /// It ends, or does not answer.
    pub async fn start_again(&mut self) -> Result<Status> {
        self.starts += 1;
        let log = self.folder.join(format!("pdp-{}.log", self.starts));
        let mut command = Command::new(program("pdp-server")?);
        command
            .arg("run")
            .arg("--config")
            .arg(self.config())
            .arg("--clock-scale")
            .arg(self.options.clock_scale.to_string())
            .env("RUST_LOG", "info");
        self.process = Some(Program::start("pdp-server", &mut command, &log)?);
        self.until("an answer on the admin socket", |_| true).await
    }

    /// Kills it as `kill -9` does.
    ///
    /// # Errors
    /// It does not run.
    pub fn kill(&mut self) -> Result<()> {
        self.process.take().context("the PDP runs")?.kill()
    }

    /// Sends its process a signal.
    ///
    /// # Errors
    /// It does not run.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        self.process.as_ref().context("the PDP runs")?.signal(signal)
    }

    /// Asks it to end, and waits for that.
    ///
    /// # Errors
    /// It does not run, does not end, or fails.
    pub fn terminate(&mut self) -> Result<()> {
        let status = self.process.take().context("the PDP runs")?.terminate()?;
        anyhow::ensure!(status.success(), "the PDP ended with {status}");
        Ok(())
    }

    /// What all its processes have printed.
    pub fn log(&self) -> String {
        (1..=self.starts)
            .filter_map(|n| std::fs::read_to_string(self.folder.join(format!("pdp-{n}.log"))).ok())
            .collect()
    }

    /// Waits until its status is so.
    ///
    /// # Errors
    /// It ends, or the state does not come; with the last status and the end of the log.
    pub async fn until(&mut self, what: &str, is_so: impl Fn(&Status) -> bool) -> Result<Status> {
        let admin = self.admin();
        let deadline = Instant::now() + PATIENCE;
        let mut last = None;
        loop {
            let process = self.process.as_mut().context("the PDP runs")?;
            if let Some(status) = process.ended()? {
                bail!(
                    "the PDP ended ({status}) before: {what}; {}",
                    process.last_lines()
                );
            }
            if let Ok(status) = admin.status().await {
                if is_so(&status) {
                    return Ok(status);
                }
                last = Some(status);
            }
            if Instant::now() > deadline {
                bail!(
                    "not within {PATIENCE:?}: {what}; last status:\n{last:#?}\n{}",
                    process.last_lines()
                );
            }
            tokio::time::sleep(ASK_EVERY).await;
        }
    }
}

/// A running cluster. Dropped, it leaves no process and no file.
#[derive(Debug)]
pub struct ClusterRun {
    /// Its PDP.
    pub pdp: PdpRun,
    plant: Program,
    /// Agents that were started again by hand.
    agents: Vec<Program>,
    folder: TempDir,
}

impl ClusterRun {
    /// Starts a cluster whose agents connect to the PDP itself, and waits until it is complete.
    ///
    /// # Errors
    /// What did not start.
    pub async fn start(options: &ClusterOptions) -> Result<Self> {
        let folder = tempfile::tempdir().context("a folder for the cluster")?;
        let pdp = PdpRun::start(folder.path(), options).await?;
        let address = pdp.address();
        Self::with_agents_to(folder, pdp, address).await
    }

    /// Starts plant and agents beside a PDP; the agents connect to `address`, where it or a relay to it listens.
    ///
    /// # Errors
    /// What did not start.
    pub async fn with_agents_to(folder: TempDir, pdp: PdpRun, address: SocketAddr) -> Result<Self> {
        let path = folder.path();
        std::fs::write(path.join("plant.toml"), PLANT).context("writing the plant's file")?;
        for (name, rest) in [("rack", RACK), ("s1", SERVER_1), ("s2", SERVER_2)] {
            std::fs::write(path.join(format!("{name}.toml")), agent_file(name, address, rest))
                .with_context(|| format!("writing {name}'s file"))?;
        }
        let mut command = Command::new(program("pep-agent")?);
        command
            .arg("plant")
            .arg("--config")
            .arg(path.join("plant.toml"))
            .arg("--clock-scale")
            .arg(pdp.options.clock_scale.to_string())
            .env("RUST_LOG", "info");
        let plant = Program::start("plant", &mut command, &path.join("plant.log"))?;
        let mut this = Self {
            pdp,
            plant,
            agents: Vec::new(),
            folder,
        };
        this.pdp
            .until("every agent and every activity is there", is_complete)
            .await
            .with_context(|| this.agent_logs())?;
        Ok(this)
    }

    /// A client of the plant.
    ///
    /// # Errors
    /// The plant does not answer.
    pub async fn plant(&self) -> Result<PlantClient> {
        PlantClient::connect(&self.socket(), "test")
            .await
            .context("the plant")
    }

    /// The plant's events from now on.
    ///
    /// # Errors
    /// The plant does not answer.
    pub async fn watch_plant(&self) -> Result<PlantWatch> {
        PlantWatch::connect(&self.socket(), 0).await.context("the plant")
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("plant.sock")
    }

    /// Folder of its files.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Process number of an agent: the last one that the plant started.
    ///
    /// # Errors
    /// The plant has not said that it started one.
    pub fn agent_pid(&self, agent: &str) -> Result<Pid> {
        let log = self.plant.log();
        let named = [format!("agent=\"{agent}\""), format!("agent={agent} ")];
        log.lines()
            .rev()
            .filter(|line| line.contains("started") && named.iter().any(|n| line.contains(n.as_str())))
            .find_map(|line| line.split_once("pid=")?.1.split_whitespace().next()?.parse().ok())
            .and_then(Pid::from_raw)
            .with_context(|| format!("no process of {agent} in the plant's log:\n{log}"))
    }

    /// Sends a signal to an agent, and waits until its process is gone.
    ///
    /// # Errors
    /// There is none, or it does not end.
    pub async fn end_agent(&self, agent: &str, signal: Signal) -> Result<()> {
        let pid = self.agent_pid(agent)?;
        kill_process(pid, signal).with_context(|| format!("signal to {agent}"))?;
        // The plant, its parent, reaps it.
        wait_for(&format!("the end of {agent}"), PATIENCE, async || {
            test_kill_process(pid).is_err().then_some(())
        })
        .await
    }

    /// Starts an agent that had ended, as an operator does: the plant starts one only with its server.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start_agent(&mut self, agent: &str) -> Result<()> {
        let mut command = Command::new(program("pep-agent")?);
        command
            .current_dir(self.folder.path())
            .args(["run", "--config", &format!("{agent}.toml"), "--clock-scale"])
            .arg(self.pdp.options.clock_scale.to_string())
            .env("RUST_LOG", "info");
        let log = self.folder.path().join("logs").join(format!("{agent}-again.log"));
        self.agents.push(Program::start(agent, &mut command, &log)?);
        Ok(())
    }

    /// What the agents have printed, for messages.
    pub fn agent_logs(&self) -> String {
        AGENTS
            .iter()
            .map(|agent| {
                let file = self.folder.path().join("logs").join(format!("{agent}.log"));
                let log = std::fs::read_to_string(file).unwrap_or_default();
                let lines: Vec<_> = log.lines().collect();
                format!(
                    "{agent}:\n{}\n",
                    lines[lines.len().saturating_sub(15)..].join("\n")
                )
            })
            .collect()
    }
}

impl Drop for ClusterRun {
    fn drop(&mut self) {
        // The plant ends its agents. Where it has to be killed, they find their plant gone and end by themselves.
        if let Err(error) = self.plant.terminate() {
            eprintln!("{error:#}");
        }
    }
}

/// Whether all agents are connected and all activities run where their files say.
pub fn is_complete(status: &Status) -> bool {
    AGENTS.iter().all(|name| {
        status
            .peers
            .iter()
            .any(|p| p.name == *name && p.connected && p.armed)
    }) && all_run(status)
}

/// Whether all activities run.
pub fn all_run(status: &Status) -> bool {
    ACTIVITIES.iter().all(|(name, _)| {
        status
            .activities
            .iter()
            .any(|a| a.name == *name && a.state == "running" && !a.shed)
    })
}

/// Names of the activities that are shed.
pub fn shed(status: &Status) -> Vec<String> {
    status
        .activities
        .iter()
        .filter(|activity| activity.shed)
        .map(|activity| activity.name.clone())
        .collect()
}

fn pdp_file(address: SocketAddr, options: &ClusterOptions) -> String {
    let ClusterOptions {
        keep_alive_seconds,
        accounting_seconds,
        open_timeout_seconds,
        listen,
        tables,
        ..
    } = options;
    format!(
        r#"
name = "pdp1"

[listen]
address = "{address}"
open_timeout_seconds = {open_timeout_seconds}
{listen}

[journal]
path = "journal.sqlite"

[admin]
socket = "pdp.sock"

[peer_default]
armed = true

[[peer]]
name = "rack"
armed = true
servers = ["s1", "s2"]

[[domain]]
name = "feed"
facility_witness = "rack"

[qos.gold]
priority = 300
weight = 64
target_seconds = 700

[qos.silver]
priority = 200
weight = 8
target_seconds = 300

[qos.bronze]
priority = 100
weight = 1
target_seconds = 60

[[set]]
name = "ledger"
qos = "gold"

[[set]]
name = "mail"
qos = "silver"

[[set]]
name = "batch"
qos = "bronze"

[[group]]
match = "qosClass"
pattern = "gold"
set = "ledger"

[[group]]
match = "qosClass"
pattern = "silver"
set = "mail"

[[group]]
match = "qosClass"
pattern = "bronze"
set = "batch"

[policy]
debounce_milliseconds = 3000
mains_good_seconds = 30
restart_stagger_seconds = 5
report_period_seconds = 30

[cops]
keep_alive_seconds = {keep_alive_seconds}
accounting_seconds = {accounting_seconds}

{tables}
"#
    )
}

fn agent_file(name: &str, pdp: SocketAddr, rest: &str) -> String {
    format!(
        r#"
[agent]
name = "{name}"
state_dir = "state-{name}"
mode = "armed"

[pdp]
address = "{pdp}"
reading_seconds = 1
retry_max_seconds = 1

[plant]
socket = "plant.sock"
{rest}"#
    )
}

const RACK: &str = r#"
[[domain]]
name = "feed"
witness = "facility"

[[server]]
name = "s1"
driver = "simulated"
role = "witness"

[[server]]
name = "s2"
driver = "simulated"
role = "witness"

[[reserve]]
name = "ups-1"
driver = "simulated"

[[reserve]]
name = "ups-2"
driver = "simulated"

[[line]]
name = "bus"
driver = "simulated"
"#;

const SERVER_1: &str = r#"
[[server]]
name = "s1"
driver = "simulated"
cpu_millicores = 16000
memory_mebibytes = 65536

[[activity]]
name = "ledger"
driver = "simulated"
qos = "gold"
watts = 70
stop_seconds = 20
start_seconds = 4

[[activity]]
name = "report"
driver = "simulated"
qos = "bronze"
watts = 40
stop_seconds = 6
start_seconds = 4
"#;

const SERVER_2: &str = r#"
[[server]]
name = "s2"
driver = "simulated"
cpu_millicores = 16000
memory_mebibytes = 65536

[[activity]]
name = "mail"
driver = "simulated"
qos = "silver"
watts = 30
stop_seconds = 8
start_seconds = 4

[[activity]]
name = "batch"
driver = "simulated"
qos = "bronze"
watts = 45
stop_seconds = 10
start_seconds = 4
"#;

const PLANT: &str = r#"
socket = "plant.sock"
log_folder = "logs"
seed = 7
history_interval_seconds = 0

[[domain]]
name = "feed"

[[server]]
name = "s1"
idle_watts = 90
peak_watts = 380
boot_seconds = 60
halt_seconds = 20
inlets = [{ domain = "feed" }]
supplies = ["ups-1"]
starter = "rack"
agent = ["pep-agent", "run", "--config", "s1.toml"]

[[server]]
name = "s2"
idle_watts = 90
peak_watts = 380
boot_seconds = 60
halt_seconds = 20
inlets = [{ domain = "feed" }]
supplies = ["ups-2"]
starter = "rack"
agent = ["pep-agent", "run", "--config", "s2.toml"]

[[reserve]]
name = "ups-1"
capacity_wh = 40
cutoff_wh = 4
max_discharge_watts = 500
efficiency_permille = 920
recharge_watts = 120
recharge_domain = "feed"

[[reserve]]
name = "ups-2"
capacity_wh = 30
cutoff_wh = 3
max_discharge_watts = 500
efficiency_permille = 920
recharge_watts = 120
recharge_domain = "feed"

[[line]]
name = "bus"
reserves = ["ups-1", "ups-2"]
servers = ["s1", "s2"]
max_watts = 600
efficiency_permille = 960
switch_milliseconds = 4

[[agent]]
name = "rack"
command = ["pep-agent", "run", "--config", "rack.toml"]
"#;
