//! Services of systemd, over D-Bus (org.freedesktop.systemd1(5)).
//!
//! A stop is systemd's own: SIGTERM, and after the unit's `TimeoutStopSec` SIGKILL. The agent cannot hold that back, so a
//! unit whose time-out is shorter than `stop_seconds` of the agent's file is refused at the stop, not killed by it.

use std::time::Duration;

use power_policy::grouping::Glob;
use tokio::time::{Instant, sleep, timeout};
use zbus::proxy::CacheProperties;
use zbus::zvariant::OwnedObjectPath;
use zbus::{Connection, Proxy};

use super::{ActivityDriver, DriverFuture, ReadError};
use crate::engine::ActionOutcome;
use crate::engine::facts::{ActivityReading, ActivityState};
use crate::limits::DBUS_ANSWER_MILLIS;

const SERVICE: &str = "org.freedesktop.systemd1";
const MANAGER_PATH: &str = "/org/freedesktop/systemd1";
const MANAGER: &str = "org.freedesktop.systemd1.Manager";
const UNIT: &str = "org.freedesktop.systemd1.Unit";
const SERVICE_UNIT: &str = "org.freedesktop.systemd1.Service";
/// How often a unit that changes is looked at.
const LOOK: Duration = Duration::from_millis(100);
/// `TimeoutStopUSec` of a unit that is never killed.
const NEVER: u64 = u64::MAX;

/// Units that a plan never touches: the way in, what runs the machine, who watches the power. The deny list of processes
/// holds for processes; this is the same by unit.
const DENIED: &[&str] = &[
    "ssh.service",
    "sshd.service",
    "ssh@*.service",
    "dropbear.service",
    "dbus.service",
    "dbus-broker.service",
    "systemd-*",
    "user@*.service",
    "getty@*.service",
    "serial-getty@*.service",
    "multipathd.service",
    "iscsid.service",
    "open-iscsi.service",
    "lvm2-*",
    "mdmonitor.service",
    "zfs-*",
    "ceph-*",
    "nfs-*",
    "rpcbind.service",
    "drbd*",
    "nut-*",
    "apcupsd.service",
    "pep-agent.service",
    "pdp-server.service",
];

/// Where systemd is found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Bus {
    /// The system bus of this machine.
    #[default]
    System,
    /// A bus by its address, as `unix:path=/run/dbus/system_bus_socket`.
    Address(String),
}

/// A service unit.
#[derive(Debug)]
pub struct SystemdUnit {
    bus: Bus,
    unit: String,
    grace: Duration,
    start_limit: Duration,
    connection: Option<Connection>,
    denied: Option<String>,
}

/// What is read of a unit.
#[derive(Debug, PartialEq, Eq)]
struct Look {
    load: String,
    active: String,
}

impl SystemdUnit {
    /// A unit that has `grace` to stop and `start_limit` to start.
    pub fn new(bus: Bus, unit: String, grace: Duration, start_limit: Duration) -> Self {
        // These patterns are whole and small.
        let is_denied = |pattern: &&str| Glob::new(pattern).is_ok_and(|glob| glob.matches(&unit));
        let denied = DENIED
            .iter()
            .find(|pattern| is_denied(pattern))
            .map(|_| format!("{unit} is on the deny list"));
        Self {
            bus,
            unit,
            grace,
            start_limit,
            connection: None,
            denied,
        }
    }

    async fn connection(&mut self) -> zbus::Result<Connection> {
        if let Some(connection) = &self.connection {
            return Ok(connection.clone());
        }
        let builder = match &self.bus {
            Bus::System => zbus::connection::Builder::system()?,
            Bus::Address(address) => zbus::connection::Builder::address(address.as_str())?,
        };
        let connection = builder.build().await?;
        self.connection = Some(connection.clone());
        Ok(connection)
    }

    async fn manager(&mut self) -> zbus::Result<Proxy<'static>> {
        let connection = self.connection().await?;
        proxy(&connection, MANAGER_PATH.try_into()?, MANAGER).await
    }

    /// The object of the unit; loading it does not start it.
    async fn object(&mut self, interface: &'static str) -> zbus::Result<Proxy<'static>> {
        let manager = self.manager().await?;
        let path: OwnedObjectPath = manager.call("LoadUnit", &(self.unit.as_str(),)).await?;
        proxy(manager.connection(), path, interface).await
    }

    async fn look(&mut self) -> zbus::Result<Look> {
        let unit = self.object(UNIT).await?;
        Ok(Look {
            load: unit.get_property("LoadState").await?,
            active: unit.get_property("ActiveState").await?,
        })
    }

    /// How long systemd waits for a stop before it kills.
    async fn stop_timeout(&mut self) -> zbus::Result<Option<Duration>> {
        let service = self.object(SERVICE_UNIT).await?;
        let micros: u64 = service.get_property("TimeoutStopUSec").await?;
        Ok((micros != NEVER).then(|| Duration::from_micros(micros)))
    }

    async fn order(&mut self, method: &'static str) -> zbus::Result<()> {
        let manager = self.manager().await?;
        let _job: OwnedObjectPath = manager.call(method, &(self.unit.as_str(), "replace")).await?;
        Ok(())
    }

    /// Within the time of an answer; a connection in doubt is not used again.
    async fn within<T>(
        &mut self,
        answer: impl AsyncFnOnce(&mut Self) -> zbus::Result<T>,
    ) -> Result<T, String> {
        let limit = Duration::from_millis(DBUS_ANSWER_MILLIS);
        let answered = match timeout(limit, answer(self)).await {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("no answer within {DBUS_ANSWER_MILLIS} ms"),
        };
        self.connection = None;
        Err(format!("{}: {answered}", self.unit))
    }

    async fn act(&mut self, method: &'static str, wanted: ActivityState, limit: Duration) -> ActionOutcome {
        if let Some(denied) = &self.denied {
            return ActionOutcome::Refused(denied.clone());
        }
        let end = Instant::now() + limit;
        match self.within(Self::look).await {
            Ok(look) if look.state() == wanted => return ActionOutcome::Done("so already".to_owned()),
            Ok(_) => {}
            Err(error) => return ActionOutcome::Failed(error),
        }
        if let Err(error) = self.within(async |unit| unit.order(method).await).await {
            return ActionOutcome::Failed(error);
        }
        loop {
            let look = match self.within(Self::look).await {
                Ok(look) => look,
                Err(error) => return ActionOutcome::Failed(error),
            };
            if look.state() == wanted {
                return if wanted == ActivityState::Stopped && look.active == "failed" {
                    // It has ended, but not well: killed, or with an error.
                    ActionOutcome::Failed(format!("{} has stopped as failed", self.unit))
                } else {
                    ActionOutcome::Done(String::new())
                };
            }
            let has_failed = wanted == ActivityState::Running && look.active == "failed";
            if has_failed || Instant::now() >= end {
                return ActionOutcome::Failed(format!(
                    "{} is {} after {} s",
                    self.unit,
                    look.active,
                    limit.as_secs()
                ));
            }
            sleep(LOOK).await;
        }
    }
}

async fn proxy(
    connection: &Connection,
    path: OwnedObjectPath,
    interface: &'static str,
) -> zbus::Result<Proxy<'static>> {
    zbus::proxy::Builder::new(connection)
        .destination(SERVICE)?
        .path(path)?
        .interface(interface)?
        // A property is asked for when it is needed: states that are pushed would have to be followed all day.
        .cache_properties(CacheProperties::No)
        .build()
        .await
}

impl Look {
    fn state(&self) -> ActivityState {
        match (self.active.as_str(), self.load.as_str()) {
            ("active" | "reloading" | "refreshing", _) => ActivityState::Running,
            ("activating", _) => ActivityState::Starting,
            ("deactivating", _) => ActivityState::Stopping,
            // One that failed does not run, and can be started again.
            ("inactive" | "failed", "loaded") => ActivityState::Stopped,
            ("inactive" | "failed", _) => ActivityState::Absent,
            _ => ActivityState::Failed,
        }
    }
}

impl ActivityDriver for SystemdUnit {
    fn read(&mut self) -> DriverFuture<'_, Result<ActivityReading, ReadError>> {
        Box::pin(async {
            let look = self.within(Self::look).await.map_err(ReadError)?;
            Ok(ActivityReading {
                state: look.state(),
                milliwatts: None,
                denied: self.denied.clone(),
            })
        })
    }

    fn stop(&mut self, _moved: bool) -> DriverFuture<'_, ActionOutcome> {
        Box::pin(async {
            match self.within(Self::stop_timeout).await {
                Ok(Some(kills_after)) if kills_after < self.grace => {
                    return ActionOutcome::Refused(format!(
                        "systemd would kill {} after {} s, and its grace is {} s: raise TimeoutStopSec or lower \
                         stop_seconds",
                        self.unit,
                        kills_after.as_secs(),
                        self.grace.as_secs()
                    ));
                }
                Ok(_) => {}
                Err(error) => return ActionOutcome::Failed(error),
            }
            let grace = self.grace;
            self.act("StopUnit", ActivityState::Stopped, grace).await
        })
    }

    fn start(&mut self, _moved: bool) -> DriverFuture<'_, ActionOutcome> {
        Box::pin(async {
            let limit = self.start_limit;
            self.act("StartUnit", ActivityState::Running, limit).await
        })
    }

    fn cap(&mut self, _milliwatts: u32) -> DriverFuture<'_, ActionOutcome> {
        Box::pin(async { ActionOutcome::Refused("a unit's draw cannot be capped".to_owned()) })
    }
}
