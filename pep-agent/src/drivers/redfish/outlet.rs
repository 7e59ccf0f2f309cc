//! An outlet of a rack PDU (schema Outlet, DSP2046;
//! [`OutletLine`](crate::drivers::outlet::OutletLine) makes a line of it).

use std::rc::Rc;

use serde_json::{Value, json};

use super::action::{act, target};
use super::service::{RedfishError, RedfishService};
use crate::drivers::DriverFuture;
use crate::drivers::outlet::{Outlet, Position};

/// An outlet.
#[derive(Debug)]
pub struct RedfishOutlet {
    service: Rc<RedfishService>,
    /// As `/redfish/v1/PowerEquipment/RackPDUs/1/Outlets/A1`.
    path: String,
}

impl RedfishOutlet {
    /// An outlet by its path.
    pub fn new(service: Rc<RedfishService>, path: String) -> Self {
        Self { service, path }
    }

    fn at(&self, error: &RedfishError) -> String {
        format!("{}: {error}", self.label())
    }

    async fn position(&self) -> Result<Position, RedfishError> {
        let outlet = self.service.get(&self.path).await?;
        Ok(match &outlet["PowerState"] {
            Value::String(state) if state == "On" => Position::On,
            Value::String(state) if state == "Off" => Position::Off,
            Value::String(state) if state == "PoweringOn" || state == "PoweringOff" => Position::Moving,
            other => Position::Neither(other.to_string()),
        })
    }

    async fn switch(&self, on: bool) -> Result<(), RedfishError> {
        let outlet = self.service.get(&self.path).await?;
        let fail = |problem: &str| RedfishError::Answer {
            path: self.path.clone(),
            problem: problem.to_owned(),
        };
        if outlet["PowerControlLocked"] == json!(true) {
            return Err(fail("its power control is locked (PowerControlLocked)"));
        }
        let target = target(&self.path, &outlet, "Outlet.PowerControl")?;
        let form = json!({ "PowerState": if on { "On" } else { "Off" } });
        act(&self.service, &target, form).await
    }
}

impl Outlet for RedfishOutlet {
    fn label(&self) -> String {
        format!("outlet {} at {}", self.path, self.service.address())
    }

    fn look(&mut self) -> DriverFuture<'_, Result<Position, String>> {
        Box::pin(async { self.position().await.map_err(|error| self.at(&error)) })
    }

    fn command(&mut self, on: bool) -> DriverFuture<'_, Result<(), String>> {
        Box::pin(async move { self.switch(on).await.map_err(|error| self.at(&error)) })
    }

    fn close(&mut self) -> DriverFuture<'_, ()> {
        Box::pin(self.service.close())
    }
}
