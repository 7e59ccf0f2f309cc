//! Activities in the plant.

use power_policy::model::Name;

use super::{Simulation, narrow, outcome, unread};
use crate::drivers::{ActivityDriver, DriverFuture, ReadError};
use crate::engine::ActionOutcome;
use crate::engine::facts::{ActivityFacts, ActivityReading, ActivityState};

/// A simulated activity on a server.
#[derive(Debug)]
pub struct SimulatedActivity {
    simulation: Simulation,
    server: Name,
    activity: Name,
    milliwatts: u32,
    startable: bool,
    stop_millis: u32,
    start_millis: u32,
    move_millis: u32,
}

impl SimulatedActivity {
    /// An activity that [`Simulation::declare`] made known, with its figures.
    pub fn new(simulation: Simulation, server: Name, activity: Name, facts: &ActivityFacts) -> Self {
        Self {
            simulation,
            server,
            activity,
            milliwatts: facts.milliwatts,
            startable: facts.startable,
            stop_millis: facts.stop_millis,
            start_millis: facts.start_millis,
            move_millis: facts.move_millis,
        }
    }

    async fn is_running(&self) -> Result<(bool, u32), ReadError> {
        let reading = self
            .simulation
            .client
            .read_server(self.server.as_str())
            .await
            .map_err(unread)?;
        match reading
            .activities
            .iter()
            .find(|reading| *reading.activity == *self.activity.as_str())
        {
            Some(reading) => Ok((reading.running, narrow(reading.milliwatts))),
            None => Err(ReadError(format!(
                "the plant has no activity {} there",
                self.activity
            ))),
        }
    }

    async fn wanted(&self, running: bool) -> Option<ActionOutcome> {
        match self.is_running().await {
            Ok((is, _)) if is == running => Some(ActionOutcome::Done(
                if running {
                    "runs already"
                } else {
                    "stopped already"
                }
                .to_owned(),
            )),
            Ok(_) => None,
            Err(error) => Some(ActionOutcome::Failed(error.0)),
        }
    }
}

impl ActivityDriver for SimulatedActivity {
    fn read(&mut self) -> DriverFuture<'_, Result<ActivityReading, ReadError>> {
        Box::pin(async {
            let (running, milliwatts) = self.is_running().await?;
            let state = match (running, self.startable) {
                (true, _) => ActivityState::Running,
                (false, true) => ActivityState::Stopped,
                (false, false) => ActivityState::Absent,
            };
            Ok(ActivityReading {
                state,
                milliwatts: Some(milliwatts),
                denied: None,
            })
        })
    }

    fn stop(&mut self, moved: bool) -> DriverFuture<'_, ActionOutcome> {
        Box::pin(async move {
            if let Some(outcome) = self.wanted(false).await {
                return outcome;
            }
            // Work that has moved has nothing left to put away.
            if !moved {
                self.simulation.pass(self.stop_millis).await;
            }
            let stopped = self
                .simulation
                .client
                .stop_activity(self.server.as_str(), self.activity.as_str())
                .await;
            outcome(stopped, "")
        })
    }

    fn start(&mut self, moved: bool) -> DriverFuture<'_, ActionOutcome> {
        Box::pin(async move {
            if let Some(outcome) = self.wanted(true).await {
                return outcome;
            }
            self.simulation
                .pass(if moved {
                    self.move_millis
                } else {
                    self.start_millis
                })
                .await;
            let (server, activity) = (self.server.as_str(), self.activity.as_str());
            // A cap belongs to the run that it was put on.
            if let Err(error) = self
                .simulation
                .client
                .set_load(server, activity, u64::from(self.milliwatts))
                .await
            {
                return outcome(Err(error), "");
            }
            outcome(self.simulation.client.start_activity(server, activity).await, "")
        })
    }

    fn cap(&mut self, milliwatts: u32) -> DriverFuture<'_, ActionOutcome> {
        Box::pin(async move {
            let load = u64::from(self.milliwatts.min(milliwatts));
            let set = self
                .simulation
                .client
                .set_load(self.server.as_str(), self.activity.as_str(), load)
                .await;
            outcome(set, "")
        })
    }
}
