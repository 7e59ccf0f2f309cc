//! An outlet of a switched PDU ([`OutletLine`](crate::drivers::outlet::OutletLine) makes a line of it).

use std::time::Duration;

use super::agent::{Asked, SnmpDevice, SnmpError};
use super::table::OutletTable;
use crate::drivers::DriverFuture;
use crate::drivers::outlet::{Outlet, Position};

/// Where an outlet is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnmpOutletFacts {
    /// Its PDU.
    pub device: SnmpDevice,
    /// Number of the outlet, as messages name it.
    pub outlet: u32,
    /// Its objects.
    pub table: OutletTable,
    /// Time from a command to the outlet's state, at most.
    pub limit: Duration,
}

/// An outlet.
#[derive(Debug)]
pub struct SnmpOutlet {
    outlet: u32,
    table: OutletTable,
    device: Asked,
}

impl SnmpOutlet {
    /// An outlet; its PDU is asked when it is first read.
    pub fn new(facts: SnmpOutletFacts) -> Self {
        Self {
            outlet: facts.outlet,
            table: facts.table,
            device: Asked::new(facts.device),
        }
    }

    async fn position(&mut self) -> Result<Position, SnmpError> {
        if let Some((pending, value)) = self.table.pending.clone() {
            match self.device.get(&pending).await {
                Ok(found) if found == value => return Ok(Position::Moving),
                // Not every firmware has it.
                Ok(_) => {}
                Err(SnmpError::Missing(_)) => self.table.pending = None,
                Err(error) => return Err(error),
            }
        }
        let state = self.device.get(&self.table.state).await?;
        Ok(match state {
            state if state == self.table.state_on => Position::On,
            state if state == self.table.state_off => Position::Off,
            other => Position::Neither(format!("{other} ({})", self.table.name)),
        })
    }

    fn at(&self, error: &SnmpError) -> String {
        format!("{}: {error}", self.label())
    }
}

impl Outlet for SnmpOutlet {
    fn label(&self) -> String {
        format!("outlet {} of the PDU at {}", self.outlet, self.device.address())
    }

    fn look(&mut self) -> DriverFuture<'_, Result<Position, String>> {
        Box::pin(async { self.position().await.map_err(|error| self.at(&error)) })
    }

    fn command(&mut self, on: bool) -> DriverFuture<'_, Result<(), String>> {
        Box::pin(async move {
            let value = if on {
                self.table.control_on
            } else {
                self.table.control_off
            };
            let control = self.table.control.clone();
            self.device
                .set(&control, value)
                .await
                .map_err(|error| self.at(&error))
        })
    }
}
