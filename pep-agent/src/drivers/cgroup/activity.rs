//! One activity made of the processes of a control group.

use std::io;
use std::rc::Rc;
use std::time::{Duration, Instant};

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use tokio::time::sleep;

use super::tree::{Cgroup, CgroupRoot, Freezer};
use crate::drivers::draw::{DrawMeter, DrawShare};
use crate::drivers::process::{DenyList, ProcessTable};
use crate::drivers::program::run;
use crate::drivers::{ActivityDriver, DriverFuture, ReadError};
use crate::engine::ActionOutcome;
use crate::engine::facts::{ActivityReading, ActivityState};

/// How often a group is looked at while it is stopped or started.
const LOOK: Duration = Duration::from_millis(50);

/// Which group it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Which {
    /// The one of this path.
    Path(String),
    /// The one of the container whose identifier begins so.
    Container(String),
}

impl Which {
    /// The group; `None`: it is not here.
    ///
    /// # Errors
    /// It cannot be told which one is meant.
    pub fn find(&self, root: &CgroupRoot) -> io::Result<Option<Cgroup>> {
        match self {
            Self::Path(path) => {
                let group = root.group(path);
                Ok(group.exists().then_some(group))
            }
            Self::Container(id) => root.container(id),
        }
    }
}

/// How it is stopped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StopBy {
    /// Its processes are frozen, and thawed to start: they draw next to nothing, keep their memory, and are lost with the
    /// power as if they ran.
    Freezing,
    /// Its processes are asked to end (SIGTERM); a command starts it anew, if there is one.
    Ending {
        /// That command.
        start: Option<Vec<String>>,
    },
}

/// An activity made of the processes of a control group.
#[derive(Debug)]
pub struct CgroupActivity {
    root: CgroupRoot,
    which: Which,
    stop_by: StopBy,
    table: Rc<ProcessTable>,
    deny: Rc<DenyList>,
    grace: Duration,
    start_limit: Duration,
    draw: Option<DrawShare>,
}

impl CgroupActivity {
    /// A group that has `grace` to stop and `start_limit` to start.
    pub fn new(
        root: CgroupRoot,
        which: Which,
        stop_by: StopBy,
        table: Rc<ProcessTable>,
        deny: Rc<DenyList>,
        grace: Duration,
        start_limit: Duration,
    ) -> Self {
        Self {
            root,
            which,
            stop_by,
            table,
            deny,
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

    fn group(&self) -> io::Result<Option<Cgroup>> {
        self.which.find(&self.root)
    }

    /// Why it must not be touched, if so.
    fn denied(&self, group: &Cgroup) -> io::Result<Option<String>> {
        let own = group.processes()?;
        let all = self.table.scan()?;
        let mut inside = all.iter().filter(|process| own.contains(&process.pid));
        Ok(inside.find_map(|process| self.deny.reason(process, &all)))
    }

    fn state(&self, group: &Cgroup) -> io::Result<ActivityState> {
        let is_empty = group.processes()?.is_empty();
        Ok(match (&self.stop_by, is_empty) {
            // Nothing to thaw: whoever made the group has to fill it.
            (StopBy::Freezing, true) | (StopBy::Ending { start: None }, true) => ActivityState::Absent,
            (StopBy::Ending { start: Some(_) }, true) => ActivityState::Stopped,
            (StopBy::Freezing, false) => match group.freezer()? {
                Some(Freezer::Frozen) => ActivityState::Stopped,
                Some(Freezer::Freezing) => ActivityState::Stopping,
                Some(Freezer::Thawed) | None => ActivityState::Running,
            },
            (StopBy::Ending { .. }, false) => ActivityState::Running,
        })
    }

    fn reading(&mut self) -> io::Result<ActivityReading> {
        let Some(group) = self.group()? else {
            let state = match self.stop_by {
                StopBy::Ending { start: Some(_) } => ActivityState::Stopped,
                _ => ActivityState::Absent,
            };
            return Ok(ActivityReading {
                state,
                milliwatts: None,
                denied: None,
            });
        };
        let state = self.state(&group)?;
        let milliwatts = match &mut self.draw {
            Some(draw) => group
                .cpu_micros()
                .and_then(|micros| draw.milliwatts(micros, Instant::now())),
            None => None,
        };
        Ok(ActivityReading {
            state,
            milliwatts,
            denied: self.denied(&group)?,
        })
    }

    async fn freeze(&self, group: &Cgroup, frozen: bool, limit: Duration) -> Result<String, String> {
        let end = Instant::now() + limit;
        group.freeze(frozen).map_err(|error| error.to_string())?;
        let wanted = if frozen { Freezer::Frozen } else { Freezer::Thawed };
        loop {
            let found = group.freezer().map_err(|error| error.to_string())?;
            if found == Some(wanted) {
                return Ok(String::new());
            }
            if Instant::now() >= end {
                if frozen {
                    // Half frozen is neither running nor stopped.
                    group.freeze(false).map_err(|error| error.to_string())?;
                }
                return Err(format!(
                    "{} is {found:?} after {} s",
                    group.label(),
                    limit.as_secs()
                ));
            }
            sleep(LOOK).await;
        }
    }

    /// Asks every process to end, and those that appear meanwhile, until none is left.
    async fn end(&self, group: &Cgroup) -> Result<String, String> {
        let begun = Instant::now();
        let mut asked = std::collections::BTreeSet::new();
        loop {
            let left = group.processes().map_err(|error| error.to_string())?;
            if left.is_empty() {
                return Ok(match asked.len() {
                    1 => "1 process ended".to_owned(),
                    count => format!("{count} processes ended"),
                });
            }
            self.table.forget();
            if let Some(reason) = self.denied(group).map_err(|error| error.to_string())? {
                return Err(reason);
            }
            for pid in &left {
                if asked.insert(*pid) {
                    self.terminate(group, *pid)
                        .map_err(|error| format!("process {pid}: {error}"))?;
                }
            }
            if begun.elapsed() >= self.grace {
                return Err(format!(
                    "{} of {} still run after {} s",
                    left.len(),
                    group.label(),
                    self.grace.as_secs()
                ));
            }
            sleep(LOOK).await;
        }
    }

    /// The descriptor holds on to the process itself, and that it is in the group is looked at after it is open: a number
    /// that was given to another process meanwhile is noticed.
    fn terminate(&self, group: &Cgroup, pid: i32) -> io::Result<()> {
        let Some(number) = Pid::from_raw(pid) else {
            return Ok(());
        };
        let descriptor = match pidfd_open(number, PidfdFlags::empty()) {
            Ok(descriptor) => descriptor,
            Err(rustix::io::Errno::SRCH) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        if !group.processes()?.contains(&pid) {
            return Ok(());
        }
        match pidfd_send_signal(&descriptor, Signal::TERM) {
            Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    async fn stop_group(&self) -> ActionOutcome {
        if !self.table.is_live() {
            return ActionOutcome::Refused("this process table is not this machine's".to_owned());
        }
        let group = match self.group() {
            Ok(Some(group)) => group,
            Ok(None) => return ActionOutcome::Done("it is not here".to_owned()),
            Err(error) => return ActionOutcome::Failed(error.to_string()),
        };
        self.table.forget();
        match self.denied(&group) {
            // A group that holds what must not be touched was named too wide: then nothing of it is touched.
            Ok(Some(reason)) => return ActionOutcome::Refused(reason),
            Ok(None) => {}
            Err(error) => return ActionOutcome::Failed(error.to_string()),
        }
        match self.state(&group) {
            Ok(ActivityState::Stopped | ActivityState::Absent) => {
                return ActionOutcome::Done("stopped already".to_owned());
            }
            Ok(_) => {}
            Err(error) => return ActionOutcome::Failed(error.to_string()),
        }
        let stopped = match &self.stop_by {
            StopBy::Freezing => self.freeze(&group, true, self.grace).await,
            StopBy::Ending { .. } => self.end(&group).await,
        };
        stopped.map_or_else(ActionOutcome::Failed, ActionOutcome::Done)
    }

    async fn start_group(&self) -> ActionOutcome {
        let group = match self.group() {
            Ok(group) => group,
            Err(error) => return ActionOutcome::Failed(error.to_string()),
        };
        let state = group.as_ref().map(|group| self.state(group)).transpose();
        match state {
            Ok(Some(ActivityState::Running)) => return ActionOutcome::Done("runs already".to_owned()),
            Ok(_) => {}
            Err(error) => return ActionOutcome::Failed(error.to_string()),
        }
        match (&self.stop_by, group) {
            (StopBy::Freezing, Some(group)) => {
                let thawed = self.freeze(&group, false, self.start_limit).await;
                thawed.map_or_else(ActionOutcome::Failed, ActionOutcome::Done)
            }
            (StopBy::Freezing, None) => ActionOutcome::Refused("there is no such control group".to_owned()),
            (StopBy::Ending { start: None }, _) => {
                ActionOutcome::Refused("the agent's file has no start command for it".to_owned())
            }
            (StopBy::Ending { start: Some(argv) }, _) => self.start_by(argv).await,
        }
    }

    async fn start_by(&self, argv: &[String]) -> ActionOutcome {
        let end = Instant::now() + self.start_limit;
        match run(argv, self.start_limit).await {
            Ok(status) if status.success() => {}
            Ok(status) => return ActionOutcome::Failed(format!("{} ended with {status}", argv[0])),
            Err(error) => return ActionOutcome::Failed(error.to_string()),
        }
        loop {
            let runs = self
                .group()
                .and_then(|group| group.map(|group| self.state(&group)).transpose());
            match runs {
                Ok(Some(ActivityState::Running)) => return ActionOutcome::Done(String::new()),
                Ok(_) if Instant::now() < end => sleep(LOOK).await,
                Ok(_) => {
                    let seconds = self.start_limit.as_secs();
                    return ActionOutcome::Failed(format!(
                        "its control group has no processes {seconds} s after its command"
                    ));
                }
                Err(error) => return ActionOutcome::Failed(error.to_string()),
            }
        }
    }
}

impl ActivityDriver for CgroupActivity {
    fn read(&mut self) -> DriverFuture<'_, Result<ActivityReading, ReadError>> {
        Box::pin(async { self.reading().map_err(|error| ReadError(error.to_string())) })
    }

    fn stop(&mut self, _moved: bool) -> DriverFuture<'_, ActionOutcome> {
        Box::pin(self.stop_group())
    }

    fn start(&mut self, _moved: bool) -> DriverFuture<'_, ActionOutcome> {
        Box::pin(self.start_group())
    }

    fn cap(&mut self, _milliwatts: u32) -> DriverFuture<'_, ActionOutcome> {
        Box::pin(async {
            ActionOutcome::Refused("the draw of a control group is not capped by this agent".to_owned())
        })
    }
}
