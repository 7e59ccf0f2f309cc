//! A switched outlet that a NUT server knows ([`OutletLine`](crate::drivers::outlet::OutletLine) makes a line of it).

use std::time::Duration;

use tokio::time::timeout;

use super::connection::{Connection, NutError, NutServer};
use super::protocol::{self, Fault};
use crate::drivers::DriverFuture;
use crate::drivers::outlet::{Outlet, Position};
use crate::limits::NUT_ANSWER_MILLIS;

/// How an outlet is switched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OutletSwitch {
    /// By the instant commands `outlet.N.load.on` and `outlet.N.load.off`.
    Commands,
    /// By setting a variable to `on` or `off`, as `outlet.N.switch` of some devices.
    Variable(String),
}

/// Where an outlet is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutletFacts {
    /// The `upsd`.
    pub server: NutServer,
    /// Name of the device there.
    pub device: String,
    /// Number of the outlet.
    pub outlet: u32,
    /// How it is switched.
    pub switch: OutletSwitch,
    /// Time from a command to the outlet's status, at most.
    pub limit: Duration,
}

/// An outlet.
#[derive(Debug)]
pub struct NutOutlet {
    facts: OutletFacts,
    connection: Option<Connection>,
}

impl NutOutlet {
    /// An outlet; connects when it is first read.
    pub fn new(facts: OutletFacts) -> Self {
        Self {
            facts,
            connection: None,
        }
    }

    fn at(&self, error: impl std::fmt::Display) -> String {
        format!("{}: {error}", self.label())
    }

    async fn status(&mut self) -> Result<Position, NutError> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => Connection::open(&self.facts.server).await?,
        };
        let variable = format!("outlet.{}.status", self.facts.outlet);
        let status = connection.get(&self.facts.device, &variable).await;
        if matches!(status, Ok(_) | Err(NutError::Fault(Fault::Refused(_)))) {
            self.connection = Some(connection);
        }
        let status = status?;
        Ok(match status.as_str() {
            "on" | "yes" => Position::On,
            "off" | "no" => Position::Off,
            _ => Position::Neither(format!("{status:?}")),
        })
    }

    async fn order(&mut self, on: bool) -> Result<(), NutError> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => Connection::open(&self.facts.server).await?,
        };
        let (device, state) = (&self.facts.device, if on { "on" } else { "off" });
        let command = match &self.facts.switch {
            OutletSwitch::Commands => {
                protocol::instant_command(device, &format!("outlet.{}.load.{state}", self.facts.outlet))
            }
            OutletSwitch::Variable(variable) => protocol::set_variable(device, variable, state),
        };
        let done = connection.carry_out(command).await;
        if matches!(done, Ok(()) | Err(NutError::Fault(Fault::Refused(_)))) {
            self.connection = Some(connection);
        }
        done
    }
}

impl Outlet for NutOutlet {
    fn label(&self) -> String {
        let OutletFacts {
            server,
            device,
            outlet,
            ..
        } = &self.facts;
        format!("outlet {outlet} of {device}@{}", server.address)
    }

    fn look(&mut self) -> DriverFuture<'_, Result<Position, String>> {
        Box::pin(async {
            let limit = Duration::from_millis(NUT_ANSWER_MILLIS);
            match timeout(limit, self.status()).await {
                Ok(position) => position.map_err(|error| self.at(error)),
                Err(_) => Err(self.at(NutError::Silent)),
            }
        })
    }

    fn command(&mut self, on: bool) -> DriverFuture<'_, Result<(), String>> {
        Box::pin(async move { self.order(on).await.map_err(|error| self.at(error)) })
    }
}
