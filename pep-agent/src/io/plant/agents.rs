//! The agents' processes: each lives by the power of its server.
//!
//! A server that loses power or is switched off gets its agent killed at once, as electricity would; one that halts
//! keeps its agent until the halt is over. A server that has booted gets its agent started. Infrastructure agents are
//! always powered. An agent that ends by itself is not started again until its server goes down and comes back: whoever
//! kills one wants to see what happens without it.

use super::config::AgentCommand;
use super::host::{Host, ServerLife};
use crate::limits;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::process::{Child, Command};

/// An agent and its process.
#[derive(Debug)]
struct Agent {
    command: AgentCommand,
    /// Position of its server; `None`: infrastructure.
    server: Option<usize>,
    child: Option<Child>,
    /// In which of its server's lives it was last started.
    started_in: Option<u64>,
}

/// All agents of a plant.
#[derive(Debug)]
pub(super) struct Agents {
    agents: Vec<Agent>,
    folder: PathBuf,
    log_folder: PathBuf,
    clock_scale: u32,
}

/// What is always powered.
const INFRASTRUCTURE: ServerLife = ServerLife { up: true, downs: 0 };

impl Agents {
    pub(super) fn new(
        commands: &[AgentCommand],
        host: &Host,
        folder: &Path,
        log_folder: &Path,
        scale: u32,
    ) -> Self {
        let agent = |command: &AgentCommand| Agent {
            command: command.clone(),
            server: command
                .server
                .as_deref()
                .and_then(|server| host.server_position(server)),
            child: None,
            started_in: None,
        };
        Agents {
            agents: commands.iter().map(agent).collect(),
            folder: folder.to_owned(),
            log_folder: log_folder.to_owned(),
            clock_scale: scale,
        }
    }

    /// Starts and kills agents as their servers come and go, for ever.
    pub(super) async fn follow(&mut self, host: &Host) {
        let mut lives = host.lives();
        lives.mark_changed();
        loop {
            tokio::select! {
                changed = lives.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    let now = lives.borrow_and_update().clone();
                    self.match_to(&now).await;
                }
                () = ended(&mut self.agents) => {}
            }
        }
    }

    async fn match_to(&mut self, lives: &[ServerLife]) {
        for index in 0..self.agents.len() {
            let agent = &mut self.agents[index];
            let life = agent
                .server
                .and_then(|s| lives.get(s))
                .copied()
                .unwrap_or(INFRASTRUCTURE);
            let is_of_this_life = life.up && agent.started_in == Some(life.downs);
            if !is_of_this_life && let Some(mut child) = agent.child.take() {
                tracing::info!(agent = agent.command.name, "its server is down: killed");
                if let Err(error) = child.kill().await {
                    tracing::warn!(agent = agent.command.name, %error, "cannot be killed");
                }
            }
            if life.up && agent.started_in != Some(life.downs) {
                agent.started_in = Some(life.downs);
                let name = agent.command.name.clone();
                match self.start(index) {
                    Ok(child) => {
                        tracing::info!(agent = name, pid = child.id(), "started");
                        self.agents[index].child = Some(child);
                    }
                    Err(error) => tracing::error!(agent = name, %error, "cannot be started"),
                }
            }
        }
    }

    fn start(&self, index: usize) -> std::io::Result<Child> {
        let agent = &self.agents[index].command;
        std::fs::create_dir_all(&self.log_folder)?;
        let log_file = self.log_folder.join(format!("{}.log", agent.name));
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(log_file)?;
        let (program, arguments) = agent
            .command
            .split_first()
            .ok_or(std::io::ErrorKind::InvalidInput)?;
        // `pep-agent` is this very program, wherever it was built or installed.
        let program = match program.as_str() {
            "pep-agent" => std::env::current_exe()?,
            // Relative with a folder: from the file's folder, as all paths of the file.
            path if path.contains('/') => self.folder.join(path),
            name => PathBuf::from(name),
        };
        Command::new(program)
            .args(arguments)
            .arg("--clock-scale")
            .arg(self.clock_scale.to_string())
            .current_dir(&self.folder)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
    }

    /// Ends all agents: asks them to, and kills those that do not in time.
    pub(super) async fn end(&mut self) {
        let mut left: Vec<Child> = self
            .agents
            .iter_mut()
            .filter_map(|agent| agent.child.take())
            .collect();
        for child in &left {
            let pid = child
                .id()
                .and_then(|pid| i32::try_from(pid).ok())
                .and_then(rustix::process::Pid::from_raw);
            if let Some(pid) = pid {
                // One that has just ended needs no signal.
                let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
            }
        }
        let all = futures::future::join_all(left.iter_mut().map(|child| async {
            let _ = child.wait().await;
        }));
        if tokio::time::timeout(Duration::from_millis(limits::AGENT_GRACE_MILLIS), all)
            .await
            .is_ok()
        {
            return;
        }
        for child in &mut left {
            let _ = child.kill().await;
        }
    }
}

/// Resolves when an agent has ended by itself, and forgets its process; never, when none does.
async fn ended(agents: &mut [Agent]) {
    let waits = agents.iter_mut().filter_map(|agent| {
        let Agent {
            command, child: slot, ..
        } = agent;
        slot.as_ref()?;
        Some(Box::pin(async move {
            if let Some(child) = slot.as_mut() {
                let status = child.wait().await;
                tracing::warn!(agent = command.name, ?status, "ended by itself");
            }
            *slot = None;
        }))
    });
    let waits: Vec<_> = waits.collect();
    if waits.is_empty() {
        return std::future::pending().await;
    }
    futures::future::select_all(waits).await;
}
