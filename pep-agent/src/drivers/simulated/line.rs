//! Divert lines in the plant.

use power_policy::model::{LineState, Name};
use power_policy::plant;

use super::{LOOK, Simulation, narrow, outcome, unread};
use crate::drivers::plant_link::PlantLinkError;
use crate::drivers::{DriverFuture, LineDriver, ReadError};
use crate::engine::ActionOutcome;
use crate::engine::facts::{Joint, LineReading};

/// A simulated line.
#[derive(Debug)]
pub struct SimulatedLine {
    simulation: Simulation,
    name: Name,
}

impl SimulatedLine {
    /// The line of this name.
    pub fn new(simulation: Simulation, name: Name) -> Self {
        Self { simulation, name }
    }

    async fn reading(&self) -> Result<LineReading, PlantLinkError> {
        let reading = self.simulation.client.read_line(self.name.as_str()).await?;
        let mut joined: Vec<Joint> = reading
            .settings
            .iter()
            .filter(|setting| setting.joined)
            .filter_map(|setting| {
                Some(Joint {
                    reserve: Name::new(&setting.reserve).ok()?,
                    server: Name::new(&setting.server).ok()?,
                    milliwatts: narrow(setting.milliwatts),
                })
            })
            .collect();
        joined.sort();
        let state = match reading.state {
            plant::LineState::Open => LineState::Open,
            plant::LineState::Closed => LineState::Closed,
            plant::LineState::Moving => LineState::Moving,
            plant::LineState::Fault => LineState::Fault,
        };
        Ok(LineReading { state, joined })
    }

    /// Waits until the switch rests, and compares.
    async fn read_back(&self, is_so: impl Fn(&LineReading) -> bool) -> ActionOutcome {
        loop {
            match self.reading().await {
                Ok(reading) if reading.state == LineState::Moving => {
                    self.simulation.sleeper.sleep(LOOK).await
                }
                Ok(reading) if reading.state == LineState::Fault => {
                    return ActionOutcome::Failed("the line did not follow".to_owned());
                }
                Ok(reading) if is_so(&reading) => return ActionOutcome::Done(String::new()),
                Ok(_) => return ActionOutcome::Failed("the line rests at something else".to_owned()),
                Err(error) => return ActionOutcome::Failed(error.to_string()),
            }
        }
    }
}

impl LineDriver for SimulatedLine {
    fn read(&mut self) -> DriverFuture<'_, Result<LineReading, ReadError>> {
        Box::pin(async { self.reading().await.map_err(unread) })
    }

    fn join(&mut self, reserve: Name, server: Name, milliwatts: u32) -> DriverFuture<'_, ActionOutcome> {
        Box::pin(async move {
            let set = self.simulation.client.set_line(
                self.name.as_str(),
                reserve.as_str(),
                server.as_str(),
                u64::from(milliwatts),
            );
            if let Err(error) = set.await {
                return outcome(Err(error), "");
            }
            let wanted = (milliwatts > 0).then_some(milliwatts);
            self.read_back(|reading| {
                let joint = reading
                    .joined
                    .iter()
                    .find(|j| j.reserve == reserve && j.server == server);
                joint.map(|joint| joint.milliwatts) == wanted
            })
            .await
        })
    }

    fn open(&mut self) -> DriverFuture<'_, ActionOutcome> {
        Box::pin(async {
            match self.simulation.client.clear_line(self.name.as_str()).await {
                Ok(()) => self.read_back(|reading| reading.joined.is_empty()).await,
                refused => outcome(refused, ""),
            }
        })
    }
}
