//! A switched outlet of a UPS or PDU as a divert line: it joins the reserve that feeds the device with the server whose
//! cord hangs on the outlet.
//!
//! An outlet is on or off; it cannot limit power. What was asked for last is told as its milliwatts, and while that is
//! not known the line's largest.

use std::time::Duration;

use power_policy::model::{LineState, Name};
use tokio::time::{Instant, sleep, timeout};

use super::connection::{Connection, NutError, NutServer};
use super::protocol::{self, Fault};
use crate::drivers::{DriverFuture, LineDriver, ReadError};
use crate::engine::ActionOutcome;
use crate::engine::facts::{Joint, LineReading};
use crate::limits::NUT_ANSWER_MILLIS;

/// How often an outlet that was switched is looked at: drivers poll their device every 2 s.
const LOOK: Duration = Duration::from_millis(200);

/// How an outlet is switched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OutletSwitch {
    /// By the instant commands `outlet.N.load.on` and `outlet.N.load.off`.
    Commands,
    /// By setting a variable to `on` or `off`, as `outlet.N.switch` of some devices.
    Variable(String),
}

/// What an outlet joins, and where it is.
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
    reserve: Name,
    fed: Name,
    /// Power that may pass: the line's, in milliwatts.
    most: u32,
    asked: Option<u32>,
    connection: Option<Connection>,
}

impl NutOutlet {
    /// An outlet that joins `reserve` and the server `fed`; `most` milliwatts pass it at most.
    pub fn new(facts: OutletFacts, reserve: Name, fed: Name, most: u32) -> Self {
        Self {
            facts,
            reserve,
            fed,
            most,
            asked: None,
            connection: None,
        }
    }

    fn at(&self, error: impl std::fmt::Display) -> String {
        let OutletFacts {
            server,
            device,
            outlet,
            ..
        } = &self.facts;
        format!("outlet {outlet} of {device}@{}: {error}", server.address)
    }

    /// Whether it is on; `None` if the device says something else.
    async fn is_on(&mut self) -> Result<Option<bool>, NutError> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => Connection::open(&self.facts.server).await?,
        };
        let variable = format!("outlet.{}.status", self.facts.outlet);
        let status = connection.get(&self.facts.device, &variable).await;
        if matches!(status, Ok(_) | Err(NutError::Fault(Fault::Refused(_)))) {
            self.connection = Some(connection);
        }
        Ok(match status?.as_str() {
            "on" | "yes" => Some(true),
            "off" | "no" => Some(false),
            _ => None,
        })
    }

    async fn look(&mut self) -> Result<Option<bool>, String> {
        let limit = Duration::from_millis(NUT_ANSWER_MILLIS);
        match timeout(limit, self.is_on()).await {
            Ok(is_on) => is_on.map_err(|error| self.at(error)),
            Err(_) => Err(self.at(NutError::Silent)),
        }
    }

    async fn command(&mut self, on: bool) -> Result<(), NutError> {
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

    /// Switches, and reads back until the status follows.
    async fn switch(&mut self, milliwatts: u32) -> ActionOutcome {
        let on = milliwatts > 0;
        match self.look().await {
            Ok(Some(is_on)) if is_on == on => {
                self.asked = on.then_some(milliwatts);
                return ActionOutcome::Done("so already".to_owned());
            }
            // One that cannot be read is switched all the same: what comes of it is read back.
            Ok(_) | Err(_) => {}
        }
        let end = Instant::now() + self.facts.limit;
        let commanded = match timeout(self.facts.limit, self.command(on)).await {
            Ok(commanded) => commanded,
            Err(_) => Err(NutError::Silent),
        };
        if let Err(error) = commanded {
            return ActionOutcome::Failed(self.at(error));
        }
        loop {
            let problem = match self.look().await {
                Ok(Some(is_on)) if is_on == on => {
                    self.asked = on.then_some(milliwatts);
                    return ActionOutcome::Done(String::new());
                }
                Ok(Some(_)) => self.at("upsd says done, and it did not follow"),
                Ok(None) => self.at("upsd says done, and its status is neither on nor off"),
                Err(error) => error,
            };
            if Instant::now() >= end {
                return ActionOutcome::Failed(problem);
            }
            sleep(LOOK).await;
        }
    }
}

impl LineDriver for NutOutlet {
    fn read(&mut self) -> DriverFuture<'_, Result<LineReading, ReadError>> {
        Box::pin(async {
            Ok(match self.look().await.map_err(ReadError)? {
                Some(true) => LineReading {
                    state: LineState::Closed,
                    joined: vec![Joint {
                        reserve: self.reserve.clone(),
                        server: self.fed.clone(),
                        milliwatts: self.asked.unwrap_or(self.most),
                    }],
                },
                Some(false) => LineReading {
                    state: LineState::Open,
                    joined: Vec::new(),
                },
                None => LineReading {
                    state: LineState::Fault,
                    joined: Vec::new(),
                },
            })
        })
    }

    fn join(&mut self, reserve: Name, server: Name, milliwatts: u32) -> DriverFuture<'_, ActionOutcome> {
        Box::pin(async move {
            if reserve != self.reserve || server != self.fed {
                return ActionOutcome::Refused(format!("it joins {} and {} only", self.reserve, self.fed));
            }
            self.switch(milliwatts).await
        })
    }

    fn open(&mut self) -> DriverFuture<'_, ActionOutcome> {
        Box::pin(self.switch(0))
    }
}
