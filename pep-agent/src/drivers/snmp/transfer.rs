//! A rack transfer switch that is spoken to by SNMP: APC's Automatic Transfer Switch
//! ([`TransferLine`](crate::drivers::transfer_switch::TransferLine) makes a line of it).
//!
//! It is moved by its preferred source (PowerNet-MIB atsConfigPreferredSource), and read by what it feeds from
//! (atsStatusSelectedSource). Its inputs are `A` and `B`. It breaks before it makes; a source that is out of order it leaves
//! by itself, whatever is preferred.

use async_snmp::Oid;

use super::agent::{Asked, SnmpDevice, SnmpError};
use crate::drivers::DriverFuture;
use crate::drivers::transfer_switch::{Selected, TransferSwitch};

/// PowerNet-MIB atsConfigPreferredSource: sourceA(1), sourceB(2), none(3).
const PREFERRED: &[u32] = &[1, 3, 6, 1, 4, 1, 318, 1, 1, 8, 4, 2, 0];
/// PowerNet-MIB atsStatusSelectedSource: sourceA(1), sourceB(2).
const SELECTED: &[u32] = &[1, 3, 6, 1, 4, 1, 318, 1, 1, 8, 5, 1, 2, 0];

/// The inputs of such a switch, with their values.
const INPUTS: [(&str, i32); 2] = [("A", 1), ("B", 2)];

/// A transfer switch.
#[derive(Debug)]
pub struct SnmpTransfer {
    device: Asked,
}

impl SnmpTransfer {
    /// A switch; it is asked when it is first read.
    pub fn new(device: SnmpDevice) -> Self {
        Self {
            device: Asked::new(device),
        }
    }

    /// The inputs that such a switch has.
    pub fn inputs() -> impl Iterator<Item = &'static str> {
        INPUTS.iter().map(|(input, _)| *input)
    }

    fn at(&self, error: &SnmpError) -> String {
        format!("{}: {error}", self.label())
    }
}

impl TransferSwitch for SnmpTransfer {
    fn label(&self) -> String {
        format!("transfer switch at {}", self.device.address())
    }

    fn look(&mut self) -> DriverFuture<'_, Result<Selected, String>> {
        Box::pin(async {
            let selected = self.device.get(&Oid::from_slice(SELECTED)).await;
            let value = selected.map_err(|error| self.at(&error))?;
            let known = INPUTS.iter().find(|(_, of)| *of == value);
            Ok(known.map_or_else(
                || Selected::Neither(value.to_string()),
                |(input, _)| Selected::Input((*input).to_owned()),
            ))
        })
    }

    fn transfer<'a>(&'a mut self, input: &'a str) -> DriverFuture<'a, Result<(), String>> {
        Box::pin(async move {
            let Some((_, value)) = INPUTS.iter().find(|(name, _)| *name == input) else {
                return Err(format!("{}: it has no input {input}", self.label()));
            };
            let set = self.device.set(&Oid::from_slice(PREFERRED), *value).await;
            set.map_err(|error| self.at(&error))
        })
    }
}
