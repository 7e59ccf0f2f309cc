//! A scenario run through the shipped programs: `pdp-server`, and `pep-agent` as the plant and as every agent.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use pdp_server::api::Status;
use pdp_server::io::admin::AdminClient;
use pep_agent::drivers::plant_link::PlantClient;
use power_policy::plant::{ActivityReport, SettingReading};
use system_tests::cluster::Scenario;
use system_tests::process::{Program, program, wait_for};
use tempfile::TempDir;

/// How many of the plant's seconds pass in a real one.
const SCALE: &str = "30";
/// How long a state may take to come, in real time; generous, for machines that have other work.
const PATIENCE: Duration = Duration::from_secs(120);

/// Running programs. Dropped, they leave no process and no file.
pub(crate) struct Programs {
    // In the order in which they end: the plant takes its agents with it.
    _plant: Program,
    pdp: Program,
    pub(crate) plant: PlantClient,
    admin: AdminClient,
    pub(crate) folder: TempDir,
}

impl Programs {
    /// Starts everything, and waits until the PDP knows all `activities`.
    pub(crate) async fn start(scenario: &Scenario, activities: usize) -> Result<Self> {
        // Readings every real second are one every half minute of the plant's.
        let scenario = scenario.clone().reading_seconds(1);
        let agent = program("pep-agent")?;
        let agent = agent.to_str().context("path of pep-agent")?;
        let folder = tempfile::tempdir().context("a folder for the cluster")?;
        let path = folder.path();
        // The system chooses the port; the agents' files can name it only then.
        scenario.files("127.0.0.1:0", agent).write(path)?;
        let mut pdp = run(
            path,
            "pdp-server",
            &["run", "--config", "pdp.toml", "--clock-scale", SCALE],
        )?;
        let admin = AdminClient::new(&path.join("pdp.sock"));
        let listen = wait_for("the PDP's answer", PATIENCE, async || {
            admin.status().await.ok().map(|status| status.listen)
        })
        .await
        .with_context(|| pdp.last_lines())?;
        scenario.files(&listen, agent).write(path)?;
        let plant = run(
            path,
            "pep-agent",
            &["plant", "--config", "plant.toml", "--clock-scale", SCALE],
        )?;
        let socket = path.join("plant.sock");
        let client = wait_for("the plant's socket", PATIENCE, async || {
            PlantClient::connect(&socket, "test").await.ok()
        })
        .await?;
        pdp.ended()?;
        let this = Self {
            _plant: plant,
            pdp,
            plant: client,
            admin,
            folder,
        };
        this.until("the PDP knows everything", async |run| {
            let status = run.status().await?;
            (status.activities.len() == activities && status.plan.is_some() && status.outage.is_none())
                .then_some(())
        })
        .await?;
        Ok(this)
    }

    /// Waits for a state.
    pub(crate) async fn until<T>(
        &self,
        what: &str,
        mut look: impl AsyncFnMut(&Self) -> Option<T>,
    ) -> Result<T> {
        wait_for(what, PATIENCE, async || look(self).await)
            .await
            .with_context(|| self.pdp.last_lines())
    }

    pub(crate) async fn status(&self) -> Option<Status> {
        self.admin.status().await.ok()
    }

    /// A command of the PDP's own command line, which has to end well.
    pub(crate) fn command(&self, arguments: &[&str]) -> Result<()> {
        let status = Command::new(program("pdp-server")?)
            .args(arguments)
            .current_dir(self.folder.path())
            .status()
            .context("running pdp-server")?;
        anyhow::ensure!(status.success(), "pdp-server {arguments:?} ended with {status}");
        Ok(())
    }

    pub(crate) async fn settings(&self, line: &str) -> Vec<SettingReading> {
        let reading = self.plant.read_line(line).await;
        reading.map(|reading| reading.settings).unwrap_or_default()
    }

    /// What the server gets of that reserve through the line now, in milliwatts.
    pub(crate) async fn diverted(&self, line: &str, reserve: &str, server: &str) -> u64 {
        let settings = self.settings(line).await;
        let of_pair = settings
            .iter()
            .filter(|s| s.joined && *s.reserve == *reserve && *s.server == *server);
        of_pair.map(|s| s.delivered_milliwatts).sum()
    }

    async fn report(&self, activity: &str) -> Option<ActivityReport> {
        let reports = self.plant.activities().await.ok()?;
        reports.into_iter().find(|report| *report.activity == *activity)
    }

    pub(crate) async fn runs_on(&self, activity: &str) -> Option<Vec<String>> {
        let report = self.report(activity).await?;
        Some(report.running_on.iter().map(ToString::to_string).collect())
    }

    pub(crate) async fn has_ended(&self, activity: &str) -> bool {
        self.runs_on(activity)
            .await
            .is_some_and(|servers| servers.is_empty())
    }

    /// No activity was stopped dirty in any ride-through.
    pub(crate) async fn assert_clean(&self) {
        for report in self.plant.activities().await.expect("the plant answers") {
            for ride in &report.rides {
                assert!(ride.ended.is_none_or(|stop| stop.clean), "{report:?}");
            }
        }
    }
}

fn run(folder: &Path, name: &str, arguments: &[&str]) -> Result<Program> {
    let mut command = Command::new(program(name)?);
    command
        .args(arguments)
        .current_dir(folder)
        .env("RUST_LOG", "info");
    Program::start(name, &mut command, &folder.join(format!("{name}.log")))
}
