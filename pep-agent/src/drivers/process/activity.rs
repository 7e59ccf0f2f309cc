//! One activity made of processes.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::PathBuf;
use std::process::Stdio;
use std::rc::Rc;
use std::time::Duration;

use power_policy::model::Name;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use tokio::process::Command;
use tokio::time::{Instant, sleep};

use super::{DenyList, Pattern, Process, ProcessTable};
use crate::drivers::draw::{DrawMeter, DrawShare};
use crate::drivers::{ActivityDriver, DriverFuture, ReadError};
use crate::engine::ActionOutcome;
use crate::engine::facts::{ActivityReading, ActivityState};

/// How often the table is looked at while something is being stopped or started.
const LOOK: Duration = Duration::from_millis(50);

/// How many processes a reason names.
const NAMED: usize = 4;

/// The command that starts an activity: it stands in the agent's file, and nowhere else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StartCommand {
    /// Program and arguments; no shell reads them.
    pub argv: Vec<String>,
    /// Folder that it starts in.
    pub directory: Option<PathBuf>,
    /// File that its output is appended to.
    pub output: PathBuf,
}

/// An activity made of the processes that match a pattern.
#[derive(Debug)]
pub struct ProcessActivity {
    name: Name,
    table: Rc<ProcessTable>,
    deny: Rc<DenyList>,
    pattern: Pattern,
    start: Option<StartCommand>,
    grace: Duration,
    start_limit: Duration,
    draw: Option<DrawShare>,
}

/// The processes of an activity at one instant.
struct Matched {
    own: Vec<Process>,
    denied: Option<String>,
}

impl ProcessActivity {
    /// An activity whose processes have `grace` to end after SIGTERM, and `start_limit` to appear after its command.
    pub fn new(
        name: Name,
        table: Rc<ProcessTable>,
        deny: Rc<DenyList>,
        pattern: Pattern,
        start: Option<StartCommand>,
        grace: Duration,
        start_limit: Duration,
    ) -> Self {
        Self {
            name,
            table,
            deny,
            pattern,
            start,
            grace,
            start_limit,
            draw: None,
        }
    }

    /// Measures its draw by its share of the machine's processor time.
    #[must_use]
    pub fn with_draw(mut self, meter: Option<Rc<DrawMeter>>) -> Self {
        self.draw = meter.map(DrawShare::new);
        self
    }

    /// Processor time that processes have used, in microseconds.
    fn cpu_micros(&self, processes: &[Process]) -> u64 {
        let ticks_a_second = rustix::param::clock_ticks_per_second().max(1);
        let ticks = |process: &Process| self.table.usage(process.pid).map(|usage| usage.cpu_ticks);
        let all: u64 = processes.iter().filter_map(ticks).sum();
        all.saturating_mul(1_000_000) / ticks_a_second
    }

    fn matched(&self) -> io::Result<Matched> {
        let all = self.table.scan()?;
        let mut matched = Matched {
            own: Vec::new(),
            denied: None,
        };
        for process in all.iter().filter(|process| self.pattern.matches(process)) {
            match self.deny.reason(process, &all) {
                Some(reason) => matched.denied = Some(reason),
                None => matched.own.push(process.clone()),
            }
        }
        Ok(matched)
    }

    fn reading(&mut self) -> io::Result<ActivityReading> {
        let matched = self.matched()?;
        let state = match (matched.own.is_empty(), &self.start) {
            (false, _) => ActivityState::Running,
            (true, Some(_)) => ActivityState::Stopped,
            (true, None) => ActivityState::Absent,
        };
        let used = self.draw.is_some().then(|| self.cpu_micros(&matched.own));
        let milliwatts = match (&mut self.draw, used) {
            (Some(draw), Some(used)) => draw.milliwatts(used, std::time::Instant::now()),
            _ => None,
        };
        Ok(ActivityReading {
            state,
            milliwatts,
            denied: matched.denied,
        })
    }

    async fn stop_processes(&self) -> ActionOutcome {
        if !self.table.is_live() {
            return ActionOutcome::Refused("this process table is not this machine's".to_owned());
        }
        let begun = Instant::now();
        let mut signalled = BTreeSet::new();
        loop {
            self.table.forget();
            let matched = match self.matched() {
                Ok(matched) => matched,
                Err(error) => return ActionOutcome::Failed(format!("the process table: {error}")),
            };
            // A rule that reaches what must not be touched was written too wide: then nothing of it is touched.
            if let Some(reason) = matched.denied {
                return ActionOutcome::Refused(reason);
            }
            if matched.own.is_empty() {
                return ActionOutcome::Done(match signalled.len() {
                    0 => "stopped already".to_owned(),
                    1 => "1 process ended".to_owned(),
                    count => format!("{count} processes ended"),
                });
            }
            // What a parent starts anew while it ends is matched too, and asked too.
            for process in &matched.own {
                if signalled.insert((process.pid, process.started))
                    && let Err(error) = self.terminate(process)
                {
                    return ActionOutcome::Failed(format!(
                        "{}: {error}",
                        told(std::slice::from_ref(process))
                    ));
                }
            }
            if begun.elapsed() >= self.grace {
                let seconds = self.grace.as_secs();
                return ActionOutcome::Failed(format!("{} still run after {seconds} s", told(&matched.own)));
            }
            sleep(LOOK.min(self.grace.saturating_sub(begun.elapsed()))).await;
        }
    }

    /// Asks one process to end. The descriptor holds on to the process itself, and its start time is looked at after it
    /// is open: a number that was given to another process meanwhile is noticed, and nobody else is signalled.
    fn terminate(&self, process: &Process) -> io::Result<()> {
        let Some(pid) = Pid::from_raw(process.pid) else {
            return Ok(());
        };
        let descriptor = match pidfd_open(pid, PidfdFlags::empty()) {
            Ok(descriptor) => descriptor,
            Err(rustix::io::Errno::SRCH) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        if self.table.started(process.pid) != Some(process.started) {
            return Ok(());
        }
        match pidfd_send_signal(&descriptor, Signal::TERM) {
            Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    async fn start_processes(&self) -> ActionOutcome {
        let Some(start) = &self.start else {
            return ActionOutcome::Refused("the agent's file has no start command for it".to_owned());
        };
        self.table.forget();
        match self.matched() {
            Ok(matched) if !matched.own.is_empty() => return ActionOutcome::Done("runs already".to_owned()),
            Ok(_) => {}
            Err(error) => return ActionOutcome::Failed(format!("the process table: {error}")),
        }
        let mut child = match spawn(start) {
            Ok(child) => child,
            Err(error) => return ActionOutcome::Failed(error),
        };
        let begun = Instant::now();
        let outcome = loop {
            self.table.forget();
            match self.matched() {
                Ok(matched) if !matched.own.is_empty() => {
                    break ActionOutcome::Done(format!("runs as {}", told(&matched.own)));
                }
                Ok(_) => {}
                Err(error) => break ActionOutcome::Failed(format!("the process table: {error}")),
            }
            // A command that ends well may have left its work behind as a daemon; one that ends ill has not.
            if let Ok(Some(status)) = child.try_wait()
                && !status.success()
            {
                let output = start.output.display();
                break ActionOutcome::Failed(format!("its command ended with {status}; see {output}"));
            }
            if begun.elapsed() >= self.start_limit {
                let seconds = self.start_limit.as_secs();
                break ActionOutcome::Failed(format!(
                    "nothing matches its rule {seconds} s after its command"
                ));
            }
            sleep(LOOK).await;
        };
        // Waited for whenever it ends, so that no zombie stays; its end is an observation like any other.
        let name = self.name.clone();
        tokio::task::spawn_local(async move {
            match child.wait().await {
                Ok(status) => {
                    tracing::info!(activity = %name, %status, "a process that this agent started has ended")
                }
                Err(error) => tracing::warn!(activity = %name, %error, "a child cannot be waited for"),
            }
        });
        outcome
    }
}

fn spawn(start: &StartCommand) -> Result<tokio::process::Child, String> {
    let Some((program, arguments)) = start.argv.split_first() else {
        return Err("its start command is empty".to_owned());
    };
    if let Some(folder) = start.output.parent() {
        fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    }
    let output = fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(&start.output)
        .map_err(|error| format!("{}: {error}", start.output.display()))?;
    let errors = output
        .try_clone()
        .map_err(|error| format!("{}: {error}", start.output.display()))?;
    let mut command = Command::new(program);
    command
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(output)
        .stderr(errors);
    // A group of its own: a signal to the agent's group, such as Ctrl-C in a terminal, is none to the activity.
    command.process_group(0);
    if let Some(directory) = &start.directory {
        command.current_dir(directory);
    }
    command.spawn().map_err(|error| format!("{program}: {error}"))
}

/// "worker (process 12), worker (process 14) and 3 more".
fn told(processes: &[Process]) -> String {
    let named: Vec<String> = processes
        .iter()
        .take(NAMED)
        .map(|p| format!("{} (process {})", p.comm, p.pid))
        .collect();
    let mut text = named.join(", ");
    if processes.len() > NAMED {
        text.push_str(&format!(" and {} more", processes.len() - NAMED));
    }
    text
}

impl ActivityDriver for ProcessActivity {
    fn read(&mut self) -> DriverFuture<'_, Result<ActivityReading, ReadError>> {
        Box::pin(async {
            self.reading()
                .map_err(|error| ReadError(format!("the process table: {error}")))
        })
    }

    fn stop(&mut self, _moved: bool) -> DriverFuture<'_, ActionOutcome> {
        Box::pin(self.stop_processes())
    }

    fn start(&mut self, _moved: bool) -> DriverFuture<'_, ActionOutcome> {
        Box::pin(self.start_processes())
    }

    fn cap(&mut self, _milliwatts: u32) -> DriverFuture<'_, ActionOutcome> {
        Box::pin(async {
            ActionOutcome::Refused("the draw of processes is not capped by this agent".to_owned())
        })
    }
}
