//! Activities behind a program: a virtual machine, a pod, a batch queue.

use std::time::Duration;

use super::protocol::{self, Verb};
use super::{ExecProgram, ReadBack};
use crate::drivers::{ActivityDriver, DriverFuture, ReadError};
use crate::engine::ActionOutcome;
use crate::engine::facts::{ActivityKey, ActivityReading, ActivityState};

/// An activity that a program reads, stops and starts.
#[derive(Debug)]
pub struct ExecActivity {
    program: ExecProgram,
    key: ActivityKey,
    /// How long a graceful stop may take.
    grace: Duration,
    /// How long a start may take.
    start_limit: Duration,
}

impl ExecActivity {
    /// The activity of this name and server.
    pub fn new(program: ExecProgram, key: ActivityKey, grace: Duration, start_limit: Duration) -> Self {
        Self {
            program,
            key,
            grace,
            start_limit,
        }
    }

    fn look(&self) -> Verb<'_> {
        Verb::ReadActivity {
            activity: self.key.activity.as_str(),
            server: self.key.server.as_str(),
        }
    }

    async fn act(&self, verb: Verb<'_>, limit: Duration, wanted: protocol::ActivityState) -> ActionOutcome {
        let judge = |activity: &protocol::Activity| {
            use protocol::ActivityState::{Absent, Starting, Stopped, Stopping};
            match activity.state {
                state if state == wanted => ReadBack::Done,
                // What has gone from here has stopped here.
                Absent if wanted == Stopped => ReadBack::Done,
                Starting | Stopping => ReadBack::OnItsWay,
                state => ReadBack::Otherwise(format!("it is {state:?}").to_lowercase()),
            }
        };
        self.program.act(verb, self.look(), limit, judge).await
    }
}

impl ActivityDriver for ExecActivity {
    fn read(&mut self) -> DriverFuture<'_, Result<ActivityReading, ReadError>> {
        Box::pin(async {
            let told: protocol::Activity = self.program.read(self.look()).await?;
            Ok(ActivityReading {
                state: match told.state {
                    protocol::ActivityState::Running => ActivityState::Running,
                    protocol::ActivityState::Stopped => ActivityState::Stopped,
                    protocol::ActivityState::Starting => ActivityState::Starting,
                    protocol::ActivityState::Stopping => ActivityState::Stopping,
                    protocol::ActivityState::Failed => ActivityState::Failed,
                    protocol::ActivityState::Absent => ActivityState::Absent,
                },
                milliwatts: told.milliwatts,
                denied: None,
            })
        })
    }

    fn stop(&mut self, moved: bool) -> DriverFuture<'_, ActionOutcome> {
        Box::pin(async move {
            let verb = Verb::Stop {
                activity: self.key.activity.as_str(),
                server: self.key.server.as_str(),
                moved,
            };
            self.act(verb, self.grace, protocol::ActivityState::Stopped).await
        })
    }

    fn start(&mut self, moved: bool) -> DriverFuture<'_, ActionOutcome> {
        Box::pin(async move {
            let verb = Verb::Start {
                activity: self.key.activity.as_str(),
                server: self.key.server.as_str(),
                moved,
            };
            self.act(verb, self.start_limit, protocol::ActivityState::Running)
                .await
        })
    }

    fn cap(&mut self, milliwatts: u32) -> DriverFuture<'_, ActionOutcome> {
        Box::pin(async move {
            let verb = Verb::Cap {
                activity: self.key.activity.as_str(),
                server: self.key.server.as_str(),
                milliwatts,
            };
            let judge = |activity: &protocol::Activity| match activity.milliwatts {
                Some(drawn) if drawn > milliwatts => ReadBack::OnItsWay,
                Some(_) => ReadBack::Done,
                // Nobody measures it: what the program says has to do.
                None => ReadBack::Done,
            };
            // A draw that happens to be below the budget is no cap: it is asked for all the same.
            match self
                .program
                .ask::<protocol::Acted>(verb, self.program.limit)
                .await
            {
                Ok(protocol::Acted::Done { reason }) => {
                    match self.program.settle(self.look(), self.program.limit, judge).await {
                        None => ActionOutcome::Done(reason),
                        Some(problem) => ActionOutcome::Failed(problem),
                    }
                }
                Ok(protocol::Acted::Failed { reason }) => ActionOutcome::Failed(reason),
                Ok(protocol::Acted::Refused { reason }) => ActionOutcome::Refused(reason),
                Err(error) => ActionOutcome::Failed(error.to_string()),
            }
        })
    }
}
