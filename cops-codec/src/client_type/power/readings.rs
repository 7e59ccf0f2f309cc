//! Measurements, in accounting RPTs alone (arc 2 of the module; RFC 3483). They never change a request state.

use super::{Name, entry};
use crate::client_type::macros::row_class;

row_class! {
    /// A reading of a reserve.
    ReserveReading = "pwrReserveReading", entry(2, 1), ReportOnly, unique [reserve];
    /// Name of the reserve.
    2 reserve: Name,
    /// Energy left.
    3 charge_joules: u64,
    /// Power drawn; below zero while it charges.
    4 milliwatts: i32,
    /// Time left at the present power.
    5 seconds_left: u32,
    /// Age of the reading when the message was made.
    6 age_millis: u32,
}

row_class! {
    /// A reading of a server.
    ServerReading = "pwrServerReading", entry(2, 2), ReportOnly, unique [server];
    /// Name of the server.
    2 server: Name,
    /// Power that the server draws.
    3 milliwatts: u32,
    /// Age of the reading when the message was made.
    4 age_millis: u32,
}
