//! A server behind its board controller (schema ComputerSystem, DSP2046): read, switched on, and shut down gracefully.

use std::rc::Rc;
use std::time::Duration;

use power_policy::model::Powered;
use power_policy::plan::HostState;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep, timeout};

use super::action::{act, target};
use super::service::{RedfishError, RedfishService};
use crate::drivers::{DriverFuture, HostDriver, HostReading, ReadError};
use crate::engine::ActionOutcome;
use crate::engine::facts::{Role, ServerReading};

/// How often a server on its way is looked at.
const LOOK: Duration = Duration::from_millis(500);

/// A server.
#[derive(Debug)]
pub struct RedfishHost {
    service: Rc<RedfishService>,
    /// As `/redfish/v1/Systems/1`.
    path: String,
    role: Role,
    /// How long switching on or off may take.
    limit: Duration,
    /// What it was told last: a server on its way is counted by where it goes.
    told: Option<HostState>,
}

#[derive(Debug, PartialEq, Eq)]
enum Power {
    On,
    Off,
    Changing,
    Other(String),
}

impl RedfishHost {
    /// A server by its path; it may take `limit` to boot or to halt.
    pub fn new(service: Rc<RedfishService>, path: String, role: Role, limit: Duration) -> Self {
        Self {
            service,
            path,
            role,
            limit,
            told: None,
        }
    }

    fn at(&self, problem: impl std::fmt::Display) -> String {
        format!("server {} at {}: {problem}", self.path, self.service.address())
    }

    async fn power(&self) -> Result<Power, RedfishError> {
        let system = self.service.get(&self.path).await?;
        Ok(match &system["PowerState"] {
            Value::String(state) if state == "On" || state == "Paused" => Power::On,
            Value::String(state) if state == "Off" => Power::Off,
            Value::String(state) if state == "PoweringOn" || state == "PoweringOff" => Power::Changing,
            other => Power::Other(other.to_string()),
        })
    }

    async fn reset(&self, kind: &str) -> Result<(), RedfishError> {
        let system = self.service.get(&self.path).await?;
        let target = target(&self.path, &system, "ComputerSystem.Reset")?;
        act(&self.service, &target, json!({ "ResetType": kind })).await
    }

    async fn switch(&mut self, state: HostState) -> ActionOutcome {
        // Never ForceOff: a stop is graceful or it did not happen.
        let (kind, wanted) = match state {
            HostState::On => ("On", Power::On),
            HostState::Off => ("GracefulShutdown", Power::Off),
            HostState::Standby => return ActionOutcome::Done(String::new()),
        };
        let end = Instant::now() + self.limit;
        match self.power().await {
            Ok(power) if power == wanted => {
                self.told = Some(state);
                return ActionOutcome::Done("so already".to_owned());
            }
            Ok(_) => {}
            Err(error) => return ActionOutcome::Failed(self.at(error)),
        }
        match timeout(self.limit, self.reset(kind)).await {
            Ok(Ok(())) => self.told = Some(state),
            Ok(Err(error)) => return ActionOutcome::Failed(self.at(error)),
            Err(_) => return ActionOutcome::Failed(self.at("no answer to its reset")),
        }
        loop {
            let found = self.power().await;
            if found.as_ref().is_ok_and(|power| *power == wanted) {
                return ActionOutcome::Done(String::new());
            }
            if Instant::now() >= end {
                let seconds = self.limit.as_secs();
                self.told = None;
                return ActionOutcome::Failed(match found {
                    Ok(power) => self.at(format!("it is {power:?} {seconds} s after {kind}")),
                    Err(error) => self.at(error),
                });
            }
            sleep(LOOK).await;
        }
    }
}

impl HostDriver for RedfishHost {
    fn read(&mut self) -> DriverFuture<'_, Result<HostReading, ReadError>> {
        Box::pin(async {
            let power = self.power().await.map_err(|error| ReadError(self.at(error)))?;
            let powered = match power {
                // Only who watches from outside can see that it is off.
                Power::Off if self.role == Role::Witness => Powered::OffSeen,
                Power::Off => Powered::OffCommanded,
                Power::Changing if self.told == Some(HostState::Off) => Powered::OffCommanded,
                // One that boots draws power.
                Power::On | Power::Changing => Powered::On,
                Power::Other(word) => return Err(ReadError(self.at(format!("its PowerState is {word}")))),
            };
            let server = ServerReading {
                powered,
                milliwatts: None,
            };
            Ok(HostReading {
                server,
                inlets: Vec::new(),
            })
        })
    }

    fn set(&mut self, state: HostState) -> DriverFuture<'_, ActionOutcome> {
        Box::pin(self.switch(state))
    }

    fn close(&mut self) -> DriverFuture<'_, ()> {
        Box::pin(self.service.close())
    }
}
