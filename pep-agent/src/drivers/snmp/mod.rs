//! Switched outlets and transfer switches that are spoken to by SNMP (v2c, and v3 with USM).
//!
//! [`table`] says where which devices keep an outlet's state and take its commands, [`outlet`] is an outlet,
//! [`transfer`] a transfer switch, [`agent`] asks a device. Requests and their encoding are the crate `async-snmp`'s.

pub mod agent;
pub mod outlet;
pub mod table;
pub mod transfer;

pub use agent::{SnmpAccess, SnmpDevice, UsmAccess};
pub use outlet::{SnmpOutlet, SnmpOutletFacts};
pub use table::OutletTable;
pub use transfer::SnmpTransfer;
