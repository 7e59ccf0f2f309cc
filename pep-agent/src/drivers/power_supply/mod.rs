//! Reserves that the kernel knows: batteries below `/sys/class/power_supply` (the kernel's
//! `Documentation/ABI/testing/sysfs-class-power`).
//!
//! [`attributes`] reads the files of a device, [`figures`] makes a reading of them, [`PowerSupplyReserve`] is the
//! driver. A battery that is gone, or whose files cannot be read, gives no reading: what was read before grows old, it
//! does not become empty.

pub mod attributes;
pub mod figures;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::timeout;

pub use attributes::Supplies;
use attributes::{SuppliesError, SuppliesRead};
pub use figures::PowerSupplyFigures;

use crate::drivers::{DriverFuture, ReadError, ReserveDriver};
use crate::engine::facts::ReserveReading;
use crate::limits::POWER_SUPPLY_ANSWER_MILLIS;

/// A battery of the machine, and the adapter that tells whether there is mains.
#[derive(Debug)]
pub struct PowerSupplyReserve {
    supplies: Supplies,
    figures: PowerSupplyFigures,
    /// A look at the files that has not come back yet: there is never more than one, however long firmware hangs.
    under_way: Option<JoinHandle<Result<SuppliesRead, SuppliesError>>>,
}

impl PowerSupplyReserve {
    /// The battery `device` of the class folder `class` (`/sys/class/power_supply`). Mains is what `adapter` says, or,
    /// without one, what all adapters of the machine say together.
    pub fn new(class: PathBuf, device: String, adapter: Option<String>, figures: PowerSupplyFigures) -> Self {
        Self {
            supplies: Supplies::new(class, device, adapter),
            figures,
            under_way: None,
        }
    }
}

impl ReserveDriver for PowerSupplyReserve {
    fn read(&mut self) -> DriverFuture<'_, Result<ReserveReading, ReadError>> {
        Box::pin(async {
            // Firmware may take its time to answer: not on the thread that everything else waits for.
            let mut look = self.under_way.take().unwrap_or_else(|| {
                let supplies = self.supplies.clone();
                tokio::task::spawn_blocking(move || supplies.read())
            });
            let limit = Duration::from_millis(POWER_SUPPLY_ANSWER_MILLIS);
            let read = match timeout(limit, &mut look).await {
                Ok(Ok(read)) => read.map_err(|error| error.to_string()),
                Ok(Err(error)) => Err(error.to_string()),
                Err(_) => {
                    self.under_way = Some(look);
                    Err(format!("no answer within {POWER_SUPPLY_ANSWER_MILLIS} ms"))
                }
            };
            match read {
                Ok(read) => Ok(self.figures.reading(&read)),
                Err(error) => Err(ReadError(format!("{}: {error}", self.supplies.device()))),
            }
        })
    }
}
