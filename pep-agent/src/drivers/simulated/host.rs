//! Servers in the plant.

use power_policy::model::{Name, Powered};
use power_policy::plan::HostState;
use power_policy::plant::ServerPower;

use super::{LOOK, Simulation, narrow, outcome, present, unread};
use crate::drivers::plant_link::PlantLinkError;
use crate::drivers::{DriverFuture, HostDriver, HostReading, ReadError};
use crate::engine::ActionOutcome;
use crate::engine::facts::{Role, ServerReading};

/// A simulated server.
#[derive(Debug)]
pub struct SimulatedHost {
    simulation: Simulation,
    name: Name,
    role: Role,
}

impl SimulatedHost {
    /// The server of this name.
    pub fn new(simulation: Simulation, name: Name, role: Role) -> Self {
        Self {
            simulation,
            name,
            role,
        }
    }

    async fn power(&self) -> Result<ServerPower, PlantLinkError> {
        Ok(self
            .simulation
            .client
            .read_server(self.name.as_str())
            .await?
            .power)
    }

    async fn switch_on(&self) -> ActionOutcome {
        // A halt that has begun completes; nothing can be switched on before that.
        loop {
            match self.power().await {
                Ok(ServerPower::Halting { .. }) => self.simulation.sleeper.sleep(LOOK).await,
                Ok(_) => break,
                Err(error) => return ActionOutcome::Failed(error.to_string()),
            }
        }
        if let Err(error) = self.simulation.client.start_server(self.name.as_str()).await {
            return outcome(Err(error), "");
        }
        loop {
            match self.power().await {
                Ok(ServerPower::On) => return ActionOutcome::Done("it has booted".to_owned()),
                Ok(ServerPower::Booting { .. }) => self.simulation.sleeper.sleep(LOOK).await,
                Ok(power) => return ActionOutcome::Failed(format!("it is {power} again")),
                Err(error) => return ActionOutcome::Failed(error.to_string()),
            }
        }
    }
}

impl HostDriver for SimulatedHost {
    fn read(&mut self) -> DriverFuture<'_, Result<HostReading, ReadError>> {
        Box::pin(async {
            let reading = self
                .simulation
                .client
                .read_server(self.name.as_str())
                .await
                .map_err(unread)?;
            let powered = match (reading.power, self.role) {
                // A server that boots draws power, and one that halts will be off whatever comes.
                (ServerPower::On | ServerPower::Booting { .. }, _) => Powered::On,
                (ServerPower::Halting { .. }, _) | (ServerPower::Off, Role::Custodian) => {
                    Powered::OffCommanded
                }
                (ServerPower::Off | ServerPower::Lost, _) => Powered::OffSeen,
            };
            let server = ServerReading {
                powered,
                milliwatts: Some(narrow(reading.milliwatts)),
            };
            let inlets = reading.inlets.iter();
            let inlets =
                inlets.filter_map(|inlet| Some((Name::new(&inlet.domain).ok()?, present(inlet.present))));
            Ok(HostReading {
                server,
                inlets: inlets.collect(),
            })
        })
    }

    fn set(&mut self, state: HostState) -> DriverFuture<'_, ActionOutcome> {
        Box::pin(async move {
            match state {
                HostState::On => self.switch_on().await,
                // Its agent ends with it, so that it has begun is all that can be told.
                HostState::Off => outcome(
                    self.simulation.client.halt_server(self.name.as_str()).await,
                    "it halts",
                ),
                HostState::Standby => ActionOutcome::Done(String::new()),
            }
        })
    }
}
