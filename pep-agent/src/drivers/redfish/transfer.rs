//! A transfer switch (schema PowerDistribution, DSP2046;
//! [`TransferLine`](crate::drivers::transfer_switch::TransferLine) makes a line of it).

use std::rc::Rc;

use power_policy::model::Changeover;
use serde_json::{Value, json};

use super::action::{act, target};
use super::service::{RedfishError, RedfishService};
use crate::drivers::DriverFuture;
use crate::drivers::transfer_switch::{Selected, TransferSwitch};

/// A transfer switch. Its inputs are its mains circuits, by their Ids.
#[derive(Debug)]
pub struct RedfishTransfer {
    service: Rc<RedfishService>,
    /// As `/redfish/v1/PowerEquipment/TransferSwitches/1`.
    path: String,
    changeover: Changeover,
}

impl RedfishTransfer {
    /// A switch by its path, and how its line declares that it changes over.
    pub fn new(service: Rc<RedfishService>, path: String, changeover: Changeover) -> Self {
        Self {
            service,
            path,
            changeover,
        }
    }

    fn at(&self, error: &RedfishError) -> String {
        format!("{}: {error}", self.label())
    }

    async fn selected(&self) -> Result<Selected, RedfishError> {
        let switch = self.service.get(&self.path).await?;
        Ok(match &switch["TransferConfiguration"]["ActiveMainsId"] {
            Value::String(input) if !input.is_empty() => Selected::Input(input.clone()),
            other => Selected::Neither(other.to_string()),
        })
    }

    async fn move_to(&self, input: &str) -> Result<(), RedfishError> {
        let switch = self.service.get(&self.path).await?;
        let configuration = &switch["TransferConfiguration"];
        let fail = |problem: &str| {
            Err(RedfishError::Answer {
                path: self.path.clone(),
                problem: problem.to_owned(),
            })
        };
        // A closed transition joins both sources for a while; only a line that says so may.
        if configuration["ClosedTransitionAllowed"] == json!(true) && self.changeover != Changeover::Parallel
        {
            return fail(
                "it may join both sources (ClosedTransitionAllowed), and the line's changeover is not \"parallel\"",
            );
        }
        if configuration["TransferInhibit"] == json!(true) {
            return fail("its transfer is inhibited (TransferInhibit)");
        }
        let target = target(&self.path, &switch, "PowerDistribution.TransferControl")?;
        act(&self.service, &target, json!({ "TransferTo": input })).await
    }
}

impl TransferSwitch for RedfishTransfer {
    fn label(&self) -> String {
        format!("transfer switch {} at {}", self.path, self.service.address())
    }

    fn look(&mut self) -> DriverFuture<'_, Result<Selected, String>> {
        Box::pin(async { self.selected().await.map_err(|error| self.at(&error)) })
    }

    fn transfer<'a>(&'a mut self, input: &'a str) -> DriverFuture<'a, Result<(), String>> {
        Box::pin(async move { self.move_to(input).await.map_err(|error| self.at(&error)) })
    }

    fn close(&mut self) -> DriverFuture<'_, ()> {
        Box::pin(self.service.close())
    }
}
