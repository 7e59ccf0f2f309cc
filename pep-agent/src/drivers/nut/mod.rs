//! Reserves and outlets that a NUT server (`upsd`) knows, over its TCP protocol (RFC 9271).
//!
//! The protocol is a line each way; [`protocol`] reads it, [`connection`] speaks it, [`figures`] makes a reading of the
//! variables of a UPS; [`reserve`] and [`outlet`] are the drivers. A server that is gone, and one whose data are stale, give no reading: what was read before
//! grows old, it does not become empty.

pub mod connection;
pub mod figures;
pub mod outlet;
pub mod protocol;
pub mod reserve;
#[cfg(test)]
mod tests;

pub use connection::{NutLogin, NutServer};
pub use figures::{NutFigures, UpsStatus};
pub use outlet::{NutOutlet, OutletFacts, OutletSwitch};
pub use reserve::NutReserve;
