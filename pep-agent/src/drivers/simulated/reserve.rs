//! Reserves in the plant.

use power_policy::model::{FigureSource, Mains, Name, ReserveState};
use power_policy::plant;

use super::{Simulation, unread};
use crate::drivers::{DriverFuture, ReadError, ReserveDriver};
use crate::engine::facts::ReserveReading;

/// A simulated reserve.
#[derive(Debug)]
pub struct SimulatedReserve {
    simulation: Simulation,
    name: Name,
    domain: Option<Name>,
}

impl SimulatedReserve {
    /// The reserve of this name, whose input hangs on `domain`.
    pub fn new(simulation: Simulation, name: Name, domain: Option<Name>) -> Self {
        Self {
            simulation,
            name,
            domain,
        }
    }
}

impl ReserveDriver for SimulatedReserve {
    fn read(&mut self) -> DriverFuture<'_, Result<ReserveReading, ReadError>> {
        Box::pin(async {
            let reading = self
                .simulation
                .client
                .read_reserve(self.name.as_str())
                .await
                .map_err(unread)?;
            let mains = match &self.domain {
                Some(domain) => self.simulation.mains(domain).await?,
                None => Mains::Unknown,
            };
            let signed = |milliwatts: u64| i32::try_from(milliwatts).unwrap_or(i32::MAX);
            Ok(ReserveReading {
                charge_joules: Some(reading.charge_millijoules / 1_000),
                capacity_joules: None,
                milliwatts: Some(match reading.recharge_milliwatts {
                    0 => signed(reading.milliwatts),
                    charging => -signed(charging),
                }),
                seconds_left: None,
                state: match reading.state {
                    plant::ReserveState::Idle => ReserveState::Idle,
                    plant::ReserveState::Charging => ReserveState::Charging,
                    plant::ReserveState::Discharging => ReserveState::Discharging,
                    plant::ReserveState::Depleted => ReserveState::Depleted,
                    plant::ReserveState::Fault => ReserveState::Fault,
                },
                source: FigureSource::Measured,
                mains,
                note: "the plant's meter".to_owned(),
            })
        })
    }
}
