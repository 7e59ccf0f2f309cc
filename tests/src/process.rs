//! Real programs under test: started from the build folder, logged into files, ended when dropped.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

/// How long a program may take to end after SIGTERM before it is killed.
const TERMINATE_WITHIN: Duration = Duration::from_secs(10);
/// How often a state is looked at while waiting for it.
const POLL: Duration = Duration::from_millis(10);
/// How much of the end of a log an error shows.
const SHOWN_LOG_LINES: usize = 25;

/// Path of one of our programs, built beside this one.
///
/// # Errors
/// If it is not there: tests of another package do not make cargo build it.
pub fn program(name: &str) -> Result<PathBuf> {
    let own = std::env::current_exe().context("path of this program")?;
    let beside = own
        .parent()
        .into_iter()
        .flat_map(|folder| [Some(folder), folder.parent()])
        .flatten();
    for folder in beside {
        let candidate = folder.join(name);
        if candidate.is_file() {
            return Ok(candidate);
        }
    }
    bail!(
        "{name} is not built beside {}: run `cargo build --workspace --bins` first (make test does)",
        own.display()
    )
}

/// A running program, killed when dropped.
#[derive(Debug)]
pub struct Program {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Program {
    /// Starts `command` with its output in `log`; `name` is for messages.
    pub fn start(name: &str, command: &mut Command, log: &Path) -> Result<Self> {
        let out = File::create(log).with_context(|| format!("creating {}", log.display()))?;
        let err = out.try_clone().context("second handle of the log")?;
        let child = command
            .stdin(Stdio::null())
            .stdout(out)
            .stderr(err)
            .spawn()
            .with_context(|| format!("starting {name}: {command:?}"))?;
        Ok(Self {
            name: name.to_owned(),
            child,
            log: log.to_owned(),
        })
    }

    /// Process number.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// All it has printed so far.
    pub fn log(&self) -> String {
        std::fs::read(&self.log)
            .map(|octets| String::from_utf8_lossy(&octets).into_owned())
            .unwrap_or_default()
    }

    /// Its exit status, if it has ended.
    pub fn ended(&mut self) -> io::Result<Option<ExitStatus>> {
        self.child.try_wait()
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        let pid = i32::try_from(self.child.id())
            .ok()
            .and_then(Pid::from_raw)
            .context("process number")?;
        kill_process(pid, signal).with_context(|| format!("signal to {}", self.name))
    }

    /// Kills it at once, as `kill -9` does, and waits for its end.
    pub fn kill(&mut self) -> Result<()> {
        self.child
            .kill()
            .with_context(|| format!("killing {}", self.name))?;
        self.child
            .wait()
            .with_context(|| format!("waiting for {}", self.name))?;
        Ok(())
    }

    /// Asks it to end, and waits until it has.
    ///
    /// # Errors
    /// If it does not end in time; it is killed then.
    pub fn terminate(&mut self) -> Result<ExitStatus> {
        if let Some(status) = self.ended()? {
            return Ok(status);
        }
        self.signal(Signal::TERM)?;
        let deadline = Instant::now() + TERMINATE_WITHIN;
        while Instant::now() < deadline {
            if let Some(status) = self.ended()? {
                return Ok(status);
            }
            std::thread::sleep(POLL);
        }
        self.kill()?;
        bail!(
            "{} did not end within {TERMINATE_WITHIN:?} of SIGTERM; {}",
            self.name,
            self.last_lines()
        )
    }

    /// Waits until `holds` says so.
    ///
    /// # Errors
    /// If the program ends first, or `within` passes; the message has the end of its log.
    pub fn wait_until(
        &mut self,
        what: &str,
        within: Duration,
        mut holds: impl FnMut() -> bool,
    ) -> Result<()> {
        let deadline = Instant::now() + within;
        loop {
            if holds() {
                return Ok(());
            }
            if let Some(status) = self.ended()? {
                bail!(
                    "{} ended ({status}) before: {what}; {}",
                    self.name,
                    self.last_lines()
                );
            }
            if Instant::now() > deadline {
                bail!(
                    "{} not within {within:?}: {what}; {}",
                    self.name,
                    self.last_lines()
                );
            }
            std::thread::sleep(POLL);
        }
    }

    /// The end of its log, for messages.
    pub fn last_lines(&self) -> String {
        let log = self.log();
        let lines: Vec<_> = log.lines().collect();
        let shown = lines.len().saturating_sub(SHOWN_LOG_LINES);
        format!("its log ends:\n{}", lines[shown..].join("\n"))
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // Nothing can be done here about a process that is gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits until `look` finds something.
///
/// # Errors
/// If `within` passes first; the message names `what` was waited for.
pub async fn wait_for<T>(
    what: &str,
    within: Duration,
    mut look: impl AsyncFnMut() -> Option<T>,
) -> Result<T> {
    let deadline = Instant::now() + within;
    loop {
        if let Some(found) = look().await {
            return Ok(found);
        }
        if Instant::now() > deadline {
            bail!("not within {within:?}: {what}");
        }
        tokio::time::sleep(POLL).await;
    }
}
