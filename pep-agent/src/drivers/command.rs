//! Activities that commands in the agent's file stop, start and look at.

use std::time::Duration;

use super::program::run;
use super::{ActivityDriver, DriverFuture, ReadError};
use crate::engine::ActionOutcome;
use crate::engine::facts::{ActivityReading, ActivityState};

/// How long the status command may take.
const STATUS_LIMIT: Duration = Duration::from_secs(5);

/// An activity behind three commands, such as a service of an init system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandActivity {
    /// Ends with status 0 while the activity runs, and with another while it does not.
    pub status: Vec<String>,
    /// Stops it gracefully, and ends with status 0 when it has stopped.
    pub stop: Option<Vec<String>>,
    /// Starts it, and ends with status 0 when it runs.
    pub start: Option<Vec<String>>,
    /// How long the stop command may take.
    pub grace: Duration,
    /// How long the start command may take.
    pub start_limit: Duration,
}

impl CommandActivity {
    async fn is_running(&self) -> Result<bool, ReadError> {
        run(&self.status, STATUS_LIMIT)
            .await
            .map(|status| status.success())
            .map_err(|error| ReadError(error.to_string()))
    }

    async fn act(&self, argv: Option<&Vec<String>>, limit: Duration, wanted: bool) -> ActionOutcome {
        let Some(argv) = argv else {
            return ActionOutcome::Refused("the agent's file has no command for that".to_owned());
        };
        if self.is_running().await == Ok(wanted) {
            return ActionOutcome::Done(if wanted { "runs already" } else { "stopped already" }.to_owned());
        }
        match run(argv, limit).await {
            Ok(status) if !status.success() => {
                ActionOutcome::Failed(format!("{} ended with {status}", argv[0]))
            }
            Err(error) => ActionOutcome::Failed(error.to_string()),
            Ok(_) => match self.is_running().await {
                Ok(running) if running == wanted => ActionOutcome::Done(String::new()),
                Ok(true) => ActionOutcome::Failed(format!("{} ended well, but it still runs", argv[0])),
                Ok(false) => ActionOutcome::Failed(format!("{} ended well, but it does not run", argv[0])),
                Err(error) => ActionOutcome::Failed(error.0),
            },
        }
    }
}

impl ActivityDriver for CommandActivity {
    fn read(&mut self) -> DriverFuture<'_, Result<ActivityReading, ReadError>> {
        Box::pin(async {
            let state = match (self.is_running().await?, &self.start) {
                (true, _) => ActivityState::Running,
                (false, Some(_)) => ActivityState::Stopped,
                (false, None) => ActivityState::Absent,
            };
            Ok(ActivityReading {
                state,
                milliwatts: None,
                denied: None,
            })
        })
    }

    fn stop(&mut self, _moved: bool) -> DriverFuture<'_, ActionOutcome> {
        Box::pin(self.act(self.stop.as_ref(), self.grace, false))
    }

    fn start(&mut self, _moved: bool) -> DriverFuture<'_, ActionOutcome> {
        Box::pin(self.act(self.start.as_ref(), self.start_limit, true))
    }

    fn cap(&mut self, _milliwatts: u32) -> DriverFuture<'_, ActionOutcome> {
        Box::pin(async { ActionOutcome::Refused("the agent's file has no command for that".to_owned()) })
    }
}
