//! Servers behind a program: an outlet, a board controller, wake-on-LAN.

use std::time::Duration;

use power_policy::model::{Name, Powered};
use power_policy::plan::HostState;

use super::protocol::{self, Verb};
use super::{ExecProgram, ReadBack, name};
use crate::drivers::{DriverFuture, HostDriver, HostReading, ReadError};
use crate::engine::ActionOutcome;
use crate::engine::facts::{Role, ServerReading};

/// A server that a program reads and switches.
#[derive(Debug)]
pub struct ExecHost {
    program: ExecProgram,
    name: Name,
    role: Role,
    /// How long switching on or off may take.
    limit: Duration,
    /// What it was told last: a server on its way is counted by where it goes.
    told: Option<HostState>,
}

impl ExecHost {
    /// The server of this name; it may take `limit` to boot or to halt.
    pub fn new(program: ExecProgram, name: Name, role: Role, limit: Duration) -> Self {
        Self {
            program,
            name,
            role,
            limit,
            told: None,
        }
    }

    fn look(&self) -> Verb<'_> {
        Verb::ReadServer {
            server: self.name.as_str(),
        }
    }

    fn powered(&self, told: protocol::Powered) -> Powered {
        match told {
            // Only who watches from outside can see that it is off.
            protocol::Powered::Off if self.role == Role::Witness => Powered::OffSeen,
            protocol::Powered::Off => Powered::OffCommanded,
            protocol::Powered::Changing if self.told == Some(HostState::Off) => Powered::OffCommanded,
            // One that boots draws power.
            protocol::Powered::On | protocol::Powered::Changing => Powered::On,
        }
    }
}

impl HostDriver for ExecHost {
    fn read(&mut self) -> DriverFuture<'_, Result<HostReading, ReadError>> {
        Box::pin(async {
            let told: protocol::Server = self.program.read(self.look()).await?;
            let mut inlets = Vec::new();
            for inlet in &told.inlets {
                inlets.push((name(&inlet.domain, "domain")?, inlet.mains.into()));
            }
            let server = ServerReading {
                powered: self.powered(told.powered),
                milliwatts: told.milliwatts,
            };
            Ok(HostReading { server, inlets })
        })
    }

    fn set(&mut self, state: HostState) -> DriverFuture<'_, ActionOutcome> {
        Box::pin(async move {
            let server = self.name.as_str();
            let (verb, wanted) = match state {
                HostState::On => (Verb::SwitchOn { server }, protocol::Powered::On),
                HostState::Off => (Verb::SwitchOff { server }, protocol::Powered::Off),
                HostState::Standby => return ActionOutcome::Done(String::new()),
            };
            // An agent that halts its own server does not live to see it off: that it goes down is what can be told.
            let halts_itself = state == HostState::Off && self.role == Role::Custodian;
            let judge = |server: &protocol::Server| match server.powered {
                powered if powered == wanted => ReadBack::Done,
                protocol::Powered::Changing if halts_itself => ReadBack::Done,
                protocol::Powered::Changing => ReadBack::OnItsWay,
                powered => ReadBack::Otherwise(format!("it is {powered:?}").to_lowercase()),
            };
            let outcome = self.program.act(verb, self.look(), self.limit, judge).await;
            if matches!(outcome, ActionOutcome::Done(_)) {
                self.told = Some(state);
            }
            outcome
        })
    }
}
