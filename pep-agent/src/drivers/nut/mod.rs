//! Reserves that a NUT server (`upsd`) knows, over its TCP protocol (RFC 9271).
//!
//! The protocol is a line each way; [`protocol`] reads it, [`figures`] makes a reading of the variables, [`client`]
//! owns the connection. A server that is gone, and one whose data are stale, give no reading: what was read before
//! grows old, it does not become empty.

pub mod client;
pub mod figures;
pub mod protocol;
#[cfg(test)]
mod tests;

pub use client::NutReserve;
pub use figures::{NutFigures, UpsStatus};
