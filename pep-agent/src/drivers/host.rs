//! The machine that the agent runs on.

use power_policy::model::Powered;
use power_policy::plan::HostState;

use super::{DriverFuture, HostDriver, HostReading, ReadError};
use crate::engine::ActionOutcome;
use crate::engine::facts::ServerReading;

/// A real host: it runs, or nobody would ask. It can stand by, which needs no driver; halting it is not offered.
#[derive(Debug, Default)]
pub struct RealHost;

impl HostDriver for RealHost {
    fn read(&mut self) -> DriverFuture<'_, Result<HostReading, ReadError>> {
        Box::pin(async {
            let server = ServerReading {
                powered: Powered::On,
                milliwatts: None,
            };
            Ok(HostReading {
                server,
                inlets: Vec::new(),
            })
        })
    }

    fn set(&mut self, state: HostState) -> DriverFuture<'_, ActionOutcome> {
        Box::pin(async move {
            ActionOutcome::Refused(match state {
                HostState::Off => "this agent lets a real host stand by, it does not halt it".to_owned(),
                _ => "this agent does not switch real hosts on".to_owned(),
            })
        })
    }
}
