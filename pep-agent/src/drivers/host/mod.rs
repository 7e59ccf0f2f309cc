//! The machine that the agent runs on.

pub mod rapl;
pub mod wake_on_lan;

use std::time::{Duration, Instant};

use power_policy::model::Powered;
use power_policy::plan::HostState;

use self::rapl::RaplMeter;
use super::program::run;
use super::{DriverFuture, HostDriver, HostReading, ReadError};
use crate::engine::ActionOutcome;
use crate::engine::facts::ServerReading;

/// How a machine is halted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HaltCommand {
    /// Program and arguments, as in `["systemctl", "poweroff"]`; no shell reads them.
    pub argv: Vec<String>,
    /// How long the command may take, and how long the machine may then take to be off.
    pub limit: Duration,
}

/// A real host: it runs, or nobody would ask. It can stand by, which needs no driver, and it can be halted where the
/// agent's file says by which command.
#[derive(Debug, Default)]
pub struct RealHost {
    halt: Option<HaltCommand>,
    /// Counters of power, and what they do not see, in milliwatts.
    meter: Option<(RaplMeter, u32)>,
    /// Until when a halt that has begun is believed.
    halting_until: Option<Instant>,
    /// Whether a meter that cannot be read was told of: once, not at each poll.
    told: bool,
}

impl RealHost {
    /// A host that may be halted by a command, and whose power is measured, where these are given.
    pub fn new(halt: Option<HaltCommand>, meter: Option<(RaplMeter, u32)>) -> Self {
        Self {
            halt,
            meter,
            ..Self::default()
        }
    }

    fn milliwatts(&mut self, now: Instant) -> Option<u32> {
        let (meter, rest) = self.meter.as_mut()?;
        match meter.read(now) {
            Ok(milliwatts) => {
                self.told = false;
                milliwatts.map(|milliwatts| milliwatts.saturating_add(*rest))
            }
            Err(error) => {
                if !std::mem::replace(&mut self.told, true) {
                    tracing::warn!(%error, "the power of this server cannot be measured");
                }
                None
            }
        }
    }

    async fn halt(&mut self) -> ActionOutcome {
        let Some(halt) = &self.halt else {
            return ActionOutcome::Refused(
                "this agent's file has no halt command: the server stands by".to_owned(),
            );
        };
        match run(&halt.argv, halt.limit).await {
            Err(error) => ActionOutcome::Failed(error.to_string()),
            Ok(status) if !status.success() => {
                ActionOutcome::Failed(format!("{} ended with {status}", halt.argv[0]))
            }
            // The agent ends with its machine, so that it has begun is all that can be told.
            Ok(_) => {
                self.halting_until = Some(Instant::now() + halt.limit);
                ActionOutcome::Done("it halts".to_owned())
            }
        }
    }
}

impl HostDriver for RealHost {
    fn read(&mut self) -> DriverFuture<'_, Result<HostReading, ReadError>> {
        Box::pin(async {
            let now = Instant::now();
            // A machine that is still here when its time is over has not halted.
            self.halting_until = self.halting_until.filter(|until| now < *until);
            let server = ServerReading {
                powered: match self.halting_until {
                    Some(_) => Powered::OffCommanded,
                    None => Powered::On,
                },
                milliwatts: self.milliwatts(now),
            };
            Ok(HostReading {
                server,
                inlets: Vec::new(),
            })
        })
    }

    fn set(&mut self, state: HostState) -> DriverFuture<'_, ActionOutcome> {
        Box::pin(async move {
            match state {
                HostState::Off => self.halt().await,
                HostState::Standby => ActionOutcome::Done(String::new()),
                HostState::On => {
                    ActionOutcome::Refused("an agent does not switch its own host on".to_owned())
                }
            }
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn host(argv: &[&str], limit: Duration) -> RealHost {
        let argv = argv.iter().map(|part| (*part).to_owned()).collect();
        RealHost::new(Some(HaltCommand { argv, limit }), None)
    }

    async fn powered(host: &mut RealHost) -> Powered {
        host.read().await.unwrap().server.powered
    }

    #[tokio::test]
    async fn a_halt_that_has_begun_is_believed_for_its_time() {
        let mut host = host(&["true"], Duration::from_millis(300));
        assert_eq!(powered(&mut host).await, Powered::On);
        assert_eq!(
            host.set(HostState::Off).await,
            ActionOutcome::Done("it halts".to_owned())
        );
        assert_eq!(powered(&mut host).await, Powered::OffCommanded);
        while powered(&mut host).await != Powered::On {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    #[tokio::test]
    async fn a_halt_that_fails_or_is_not_offered_is_told() {
        let mut failing = host(&["false"], Duration::from_secs(20));
        let outcome = failing.set(HostState::Off).await;
        assert_eq!(
            outcome,
            ActionOutcome::Failed("false ended with exit status: 1".to_owned())
        );
        assert_eq!(powered(&mut failing).await, Powered::On);
        let outcome = RealHost::default().set(HostState::Off).await;
        assert!(matches!(outcome, ActionOutcome::Refused(_)), "{outcome:?}");
    }
}
