//! The demo's processes: started in a folder of their own, ended together.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use pdp_server::io::admin::AdminClient;
use pep_agent::drivers::plant_link::PlantClient;
use pep_agent::io::plant::config::PlantFile;
use power_policy::plant::PlantConfig;

use super::Options;
use crate::capture::RecordingProxy;
use crate::process::{Program, program, wait_for};

/// What stands in the files for the PDP's address; the runner puts the real one there.
const WRITTEN_ADDRESS: &str = "127.0.0.1:3288";
const LISTENS_WITHIN: Duration = Duration::from_secs(10);

/// A program that is asked to end when it is dropped, so that it can end what it has started.
struct Process(Program);

impl Process {
    /// Waits for its socket.
    async fn listens(&mut self, socket: &Path) -> Result<()> {
        wait_for(
            "a program's socket is there",
            LISTENS_WITHIN,
            async || match self.check_alive() {
                Err(error) => Some(Err(error)),
                Ok(()) => socket.exists().then_some(Ok(())),
            },
        )
        .await?
    }

    fn check_alive(&mut self) -> Result<()> {
        if let Some(status) = self.0.ended()? {
            bail!("a program ended ({status}); {}", self.0.last_lines());
        }
        Ok(())
    }

    fn stop(&mut self) {
        if let Err(error) = self.0.terminate() {
            eprintln!("{error:#}");
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.stop();
    }
}

/// The running processes. Fields are dropped from first to last: the plant first, which ends its agents.
pub(super) struct Cluster {
    plant_process: Process,
    pdp_process: Process,
    plant: PlantClient,
    admin: AdminClient,
    agents: usize,
    config: PlantConfig,
    _proxy: Option<RecordingProxy>,
}

impl Cluster {
    /// Starts the PDP, then the plant, which starts the agents.
    pub(super) async fn start(options: &Options) -> Result<Self> {
        let run = prepare(options)?;
        let scale = options.clock_scale.to_string();
        let pdp_program = program("pdp-server")?;
        let folder = pdp_program.parent().context("folder of the programs")?.to_owned();

        replace(&run.join("pdp.toml"), "127.0.0.1:0")?;
        let mut command = Command::new(&pdp_program);
        command
            .args(["run", "--config", "pdp.toml", "--clock-scale", &scale])
            .current_dir(&run);
        let log = run.join("pdp-server.log");
        let mut pdp_process = Process(Program::start("pdp-server", &mut command, &log)?);
        let socket = run.join("pdp.sock");
        pdp_process.listens(&socket).await?;
        let admin = AdminClient::new(&socket);
        let status = wait_for("the PDP answers", LISTENS_WITHIN, async || {
            admin.status().await.ok()
        })
        .await?;
        let mut address: SocketAddr = status.listen.parse().context("address of the PDP")?;

        let proxy = match &options.capture {
            Some(file) => Some(
                RecordingProxy::start(address, file)
                    .await
                    .context("recording proxy")?,
            ),
            None => None,
        };
        if let Some(proxy) = &proxy {
            address = proxy.address();
        }
        let plant_file = run.join("plant.toml");
        for entry in fs::read_dir(&run)? {
            let path = entry?.path();
            let is_agent = path.extension().is_some_and(|e| e == "toml") && path != plant_file;
            if is_agent && !path.ends_with("pdp.toml") {
                replace(&path, &address.to_string())?;
            }
        }
        let file = PlantFile::read(&plant_file)?;
        // The plant finds the agents' program as its file names it.
        let path = std::env::join_paths(std::iter::once(folder).chain(std::env::split_paths(
            &std::env::var_os("PATH").unwrap_or_default(),
        )))?;
        let mut command = Command::new(program("pep-agent")?);
        command
            .args(["plant", "--config", "plant.toml", "--clock-scale", &scale])
            .env("PATH", path)
            .current_dir(&run);
        let log = run.join("plant.log");
        let mut plant_process = Process(Program::start("the plant", &mut command, &log)?);
        plant_process.listens(&file.socket).await?;
        let socket = file.socket.clone();
        let plant = wait_for("the plant answers", LISTENS_WITHIN, async || {
            PlantClient::connect(&socket, "demo").await.ok()
        })
        .await?;
        Ok(Self {
            plant_process,
            pdp_process,
            plant,
            admin,
            agents: file.agents.len(),
            config: file.plant,
            _proxy: proxy,
        })
    }

    pub(super) fn plant(&self) -> &PlantClient {
        &self.plant
    }

    pub(super) fn admin(&self) -> &AdminClient {
        &self.admin
    }

    /// Agents that the plant starts.
    pub(super) fn agent_count(&self) -> usize {
        self.agents
    }

    /// The plant's file.
    pub(super) fn plant_config(&self) -> &PlantConfig {
        &self.config
    }

    /// # Errors
    /// The PDP or the plant has ended.
    pub(super) fn check_alive(&mut self) -> Result<()> {
        self.plant_process.check_alive()?;
        self.pdp_process.check_alive()
    }

    /// Ends everything: the plant first, which ends its agents.
    pub(super) fn stop(&mut self) {
        self.plant_process.stop();
        self.pdp_process.stop();
    }
}

/// A fresh folder with copies of the files.
fn prepare(options: &Options) -> Result<PathBuf> {
    let run = options.report.join("run");
    if options.report.exists() {
        // Only what a run of the demo made is removed.
        ensure!(
            run.is_dir() || fs::read_dir(&options.report)?.next().is_none(),
            "{} holds something that is no report of the demo; expected an empty folder or an earlier report",
            options.report.display()
        );
        fs::remove_dir_all(&options.report)
            .with_context(|| format!("removing the earlier {}", options.report.display()))?;
    }
    fs::create_dir_all(&run).with_context(|| format!("making {}", run.display()))?;
    for entry in
        fs::read_dir(&options.config).with_context(|| format!("reading {}", options.config.display()))?
    {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "toml") {
            let name = path.file_name().context("name of a file")?;
            fs::copy(&path, run.join(name))?;
        }
    }
    // Sockets have short paths, so everything is addressed from the folder itself.
    fs::canonicalize(&run).context("path of the run's folder")
}

/// Puts an address where the file has the written one.
fn replace(file: &Path, address: &str) -> Result<()> {
    let text = fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))?;
    ensure!(
        text.contains(WRITTEN_ADDRESS),
        "{}: expected the address {WRITTEN_ADDRESS} in it",
        file.display()
    );
    fs::write(file, text.replace(WRITTEN_ADDRESS, address))
        .with_context(|| format!("writing {}", file.display()))
}
