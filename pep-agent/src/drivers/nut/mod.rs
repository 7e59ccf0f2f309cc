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

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::timeout;

use crate::limits::NUT_ANSWER_MILLIS;

pub use connection::{NutLogin, NutServer};
pub use figures::{NutFigures, UpsStatus};
pub use outlet::{NutOutlet, OutletFacts, OutletSwitch};
pub use reserve::NutReserve;

/// All devices of a server, each with its variables: what a first look at a node finds.
///
/// # Errors
/// There is no server, or it does not answer. A device whose variables cannot be read is left out.
pub async fn survey(
    address: &str,
) -> Result<BTreeMap<String, BTreeMap<String, String>>, crate::drivers::ReadError> {
    let server = NutServer {
        address: address.to_owned(),
        login: None,
        trust: None,
    };
    let look = async {
        let mut connection = connection::Connection::open(&server).await?;
        let mut devices = BTreeMap::new();
        for device in connection.devices().await?.into_keys() {
            match connection.list(&device).await {
                Ok(variables) => {
                    devices.insert(device, variables);
                }
                Err(connection::NutError::Fault(protocol::Fault::Refused(_))) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(devices)
    };
    let limit = Duration::from_millis(NUT_ANSWER_MILLIS);
    let found = match timeout(limit, look).await {
        Ok(found) => found,
        Err(_) => Err(connection::NutError::Silent),
    };
    found.map_err(|error| crate::drivers::ReadError(format!("{address}: {error}")))
}
