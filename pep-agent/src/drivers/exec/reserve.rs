//! Reserves behind a program.

use power_policy::model::{FigureSource, Name, ReserveState};

use super::ExecProgram;
use super::protocol::{self, Verb};
use crate::drivers::{DriverFuture, ReadError, ReserveDriver};
use crate::engine::facts::ReserveReading;

/// A reserve that a program reads.
#[derive(Debug)]
pub struct ExecReserve {
    program: ExecProgram,
    name: Name,
    /// Energy of the full store where the program does not say, in joules.
    capacity_joules: u64,
}

impl ExecReserve {
    /// The reserve of this name.
    pub fn new(program: ExecProgram, name: Name, capacity_joules: u64) -> Self {
        Self {
            program,
            name,
            capacity_joules,
        }
    }

    fn reading(&self, told: protocol::Reserve) -> Result<ReserveReading, ReadError> {
        let full = told.capacity_joules.unwrap_or(self.capacity_joules);
        let by_percent = match told.charge_percent {
            None => None,
            Some(percent) if (0.0..=100.0).contains(&percent) => {
                // Within u64: a part of one. Rounded down, against ourselves.
                Some((full as f64 * percent / 100.0) as u64)
            }
            Some(percent) => {
                return Err(ReadError(format!(
                    "charge_percent is {percent}, expected 0 to 100"
                )));
            }
        };
        let (charge, source) = match (told.charge_joules, by_percent) {
            (Some(joules), Some(percent)) if percent < joules => (percent, FigureSource::Estimated),
            (Some(joules), _) => (joules.min(full), FigureSource::Measured),
            (None, Some(percent)) => (percent, FigureSource::Estimated),
            (None, None) => {
                return Err(ReadError(
                    "neither charge_joules nor charge_percent is given".to_owned(),
                ));
            }
        };
        Ok(ReserveReading {
            charge_joules: Some(charge),
            capacity_joules: Some(full),
            milliwatts: told.milliwatts,
            seconds_left: told.seconds_left,
            state: match told.state {
                protocol::ReserveState::Idle => ReserveState::Idle,
                protocol::ReserveState::Charging => ReserveState::Charging,
                protocol::ReserveState::Discharging => ReserveState::Discharging,
                protocol::ReserveState::Low => ReserveState::Low,
                protocol::ReserveState::Depleted => ReserveState::Depleted,
                protocol::ReserveState::Fault => ReserveState::Fault,
                protocol::ReserveState::Unknown => ReserveState::Unknown,
            },
            source,
            mains: told.mains.into(),
            note: if told.note.is_empty() {
                "as its program says".to_owned()
            } else {
                told.note
            },
        })
    }
}

impl From<protocol::Mains> for power_policy::model::Mains {
    fn from(mains: protocol::Mains) -> Self {
        match mains {
            protocol::Mains::Present => Self::Present,
            protocol::Mains::Absent => Self::Absent,
            protocol::Mains::Unstable => Self::Unstable,
            protocol::Mains::Unknown => Self::Unknown,
        }
    }
}

impl ReserveDriver for ExecReserve {
    fn read(&mut self) -> DriverFuture<'_, Result<ReserveReading, ReadError>> {
        Box::pin(async {
            let verb = Verb::ReadReserve {
                reserve: self.name.as_str(),
            };
            let told = self.program.read(verb).await?;
            self.reading(told)
        })
    }
}
