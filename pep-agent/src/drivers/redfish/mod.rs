//! Outlets, transfer switches and servers behind a Redfish service (DMTF DSP0266): a rack PDU's, a board controller's.
//!
//! [`trust`](super::trust) says how the service is known, [`service`] logs in and asks, [`action`] has something done and follows its
//! task; [`outlet`], [`transfer`] and [`host`] are the things. Things of one service share its session.

pub mod action;
pub mod host;
pub mod outlet;
pub mod service;
pub mod transfer;

pub use host::RedfishHost;
pub use outlet::RedfishOutlet;
pub use service::{RedfishAccess, RedfishService};
pub use transfer::RedfishTransfer;
