//! The program as a process.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::Duration;

use pep_agent::node::Status;

use crate::pdp::PATIENCE;

pub(crate) fn command() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pep-agent"));
    command.env("RUST_LOG", "info").stdin(Stdio::null());
    command
}

/// Runs it to its end.
pub(crate) fn output(arguments: &[&str]) -> Output {
    command().args(arguments).output().unwrap()
}

/// An agent in a folder of its own, killed when dropped.
pub(crate) struct Agent {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) config: PathBuf,
    child: Option<Child>,
}

impl Drop for Agent {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Agent {
    /// An agent of this file, not yet started.
    pub(crate) fn new(config: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("agent.toml");
        std::fs::write(&file, config).unwrap();
        Self {
            folder,
            config: file,
            child: None,
        }
    }

    pub(crate) fn start(&mut self, arguments: &[&str]) {
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.log_file())
            .unwrap();
        let child = command()
            .args(["run", "--config", self.config.to_str().unwrap()])
            .args(arguments)
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        self.child = Some(child);
    }

    fn log_file(&self) -> PathBuf {
        self.folder.path().join("agent.log")
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.log_file()).unwrap_or_default()
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    fn pid(&self) -> rustix::process::Pid {
        rustix::process::Pid::from_child(self.child.as_ref().unwrap())
    }

    /// SIGTERM, and its end.
    pub(crate) fn terminate(&mut self) -> ExitStatus {
        rustix::process::kill_process(self.pid(), rustix::process::Signal::TERM).unwrap();
        self.child.take().unwrap().wait().unwrap()
    }

    /// SIGKILL, as a crash.
    pub(crate) fn kill(&mut self) {
        let mut child = self.child.take().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// What `pep-agent status --json` says, once it answers.
    pub(crate) async fn status(&self) -> Status {
        let config = self.config.to_str().unwrap().to_owned();
        let asked = async {
            loop {
                let config = config.clone();
                let run = move || output(&["status", "--json", "--config", &config]);
                let output = tokio::task::spawn_blocking(run).await.unwrap();
                if output.status.success() {
                    return serde_json::from_slice(&output.stdout).unwrap();
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        match tokio::time::timeout(PATIENCE, asked).await {
            Ok(status) => status,
            Err(_) => panic!("no status; the log:\n{}", self.log()),
        }
    }

    /// Waits until the status is so.
    pub(crate) async fn until(&self, what: &str, is_so: impl Fn(&Status) -> bool) -> Status {
        let waited = async {
            loop {
                let status = self.status().await;
                if is_so(&status) {
                    return status;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        match tokio::time::timeout(PATIENCE, waited).await {
            Ok(status) => status,
            Err(_) => panic!("waited in vain for {what}; the log:\n{}", self.log()),
        }
    }

    /// Waits until the log says so.
    pub(crate) async fn until_logged(&self, text: &str) {
        let waited = async {
            while !self.log().contains(text) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        if tokio::time::timeout(PATIENCE, waited).await.is_err() {
            panic!("waited in vain for {text:?}; the log:\n{}", self.log());
        }
    }

    pub(crate) async fn run(&self, arguments: &[&str]) -> Output {
        let mut arguments: Vec<String> = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        arguments.extend(["--config".to_owned(), self.config.to_str().unwrap().to_owned()]);
        let run = move || output(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
        tokio::task::spawn_blocking(run).await.unwrap()
    }
}
