//! Units of systemd over D-Bus: a real bus (`dbus-daemon`), and on it a stand-in for systemd, which does not run where
//! these tests do.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    clippy::disallowed_types
)]

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use pep_agent::drivers::ActivityDriver;
use pep_agent::drivers::systemd::{Bus, SystemdUnit};
use pep_agent::engine::ActionOutcome;
use pep_agent::engine::facts::ActivityState;
use zbus::zvariant::OwnedObjectPath;

const UNIT_PATH: &str = "/org/freedesktop/systemd1/unit/db_2eservice";

/// A bus of its own; ends when dropped.
struct Daemon {
    child: Child,
    address: String,
}

impl Daemon {
    fn start() -> Self {
        let mut child = Command::new("dbus-daemon")
            .args(["--session", "--nofork", "--nopidfile", "--print-address=1"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("dbus-daemon, from Debian's dbus-daemon");
        let mut address = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut address)
            .unwrap();
        Self {
            child,
            address: address.trim().to_owned(),
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What the stand-in knows of its one unit.
#[derive(Debug, Clone)]
struct Told {
    load: &'static str,
    active: &'static str,
    /// What an order leads to, one look each.
    then: Vec<&'static str>,
    on_stop: Vec<&'static str>,
    on_start: Vec<&'static str>,
    stop_timeout_micros: u64,
    orders: Vec<String>,
}

type Shared = Arc<Mutex<Told>>;

struct Manager(Shared);

#[zbus::interface(name = "org.freedesktop.systemd1.Manager")]
impl Manager {
    fn load_unit(&self, _name: &str) -> OwnedObjectPath {
        UNIT_PATH.try_into().unwrap()
    }

    fn start_unit(&self, name: &str, mode: &str) -> OwnedObjectPath {
        let mut told = self.0.lock().unwrap();
        told.orders.push(format!("start {name} {mode}"));
        told.then = told.on_start.clone();
        "/org/freedesktop/systemd1/job/1".try_into().unwrap()
    }

    fn stop_unit(&self, name: &str, mode: &str) -> zbus::fdo::Result<OwnedObjectPath> {
        let mut told = self.0.lock().unwrap();
        told.orders.push(format!("stop {name} {mode}"));
        if told.on_stop.is_empty() {
            return Err(zbus::fdo::Error::AccessDenied("Permission denied".to_owned()));
        }
        told.then = told.on_stop.clone();
        Ok("/org/freedesktop/systemd1/job/2".try_into().unwrap())
    }
}

struct Unit(Shared);

#[zbus::interface(name = "org.freedesktop.systemd1.Unit")]
impl Unit {
    #[zbus(property)]
    fn load_state(&self) -> String {
        self.0.lock().unwrap().load.to_owned()
    }

    #[zbus(property)]
    fn active_state(&self) -> String {
        let mut told = self.0.lock().unwrap();
        if !told.then.is_empty() {
            told.active = told.then.remove(0);
        }
        told.active.to_owned()
    }
}

struct Service(Shared);

#[zbus::interface(name = "org.freedesktop.systemd1.Service")]
impl Service {
    #[zbus(property, name = "TimeoutStopUSec")]
    fn timeout_stop(&self) -> u64 {
        self.0.lock().unwrap().stop_timeout_micros
    }
}

struct Stage {
    daemon: Daemon,
    told: Shared,
    _systemd: zbus::Connection,
}

impl Stage {
    async fn new(told: Told) -> Self {
        let daemon = Daemon::start();
        let told = Arc::new(Mutex::new(told));
        let systemd = zbus::connection::Builder::address(daemon.address.as_str())
            .unwrap()
            .serve_at("/org/freedesktop/systemd1", Manager(Arc::clone(&told)))
            .unwrap()
            .serve_at(UNIT_PATH, Unit(Arc::clone(&told)))
            .unwrap()
            .serve_at(UNIT_PATH, Service(Arc::clone(&told)))
            .unwrap()
            .name("org.freedesktop.systemd1")
            .unwrap()
            .build()
            .await
            .unwrap();
        Self {
            daemon,
            told,
            _systemd: systemd,
        }
    }

    fn unit(&self, unit: &str) -> SystemdUnit {
        let bus = Bus::Address(self.daemon.address.clone());
        let limit = Duration::from_secs(20);
        SystemdUnit::new(bus, unit.to_owned(), limit, limit)
    }

    fn orders(&self) -> Vec<String> {
        self.told.lock().unwrap().orders.clone()
    }
}

fn running() -> Told {
    Told {
        load: "loaded",
        active: "active",
        then: Vec::new(),
        on_stop: vec!["deactivating", "deactivating", "inactive"],
        on_start: vec!["activating", "active"],
        stop_timeout_micros: 90_000_000,
        orders: Vec::new(),
    }
}

async fn state(unit: &mut SystemdUnit) -> ActivityState {
    unit.read().await.unwrap().state
}

#[tokio::test]
async fn a_unit_is_stopped_and_started_and_every_order_is_given_once() {
    let stage = Stage::new(running()).await;
    let mut unit = stage.unit("db.service");
    assert_eq!(state(&mut unit).await, ActivityState::Running);
    assert_eq!(unit.stop(false).await, ActionOutcome::Done(String::new()));
    assert_eq!(state(&mut unit).await, ActivityState::Stopped);
    assert_eq!(unit.stop(false).await, ActionOutcome::Done("so already".into()));
    assert_eq!(unit.start(false).await, ActionOutcome::Done(String::new()));
    assert_eq!(state(&mut unit).await, ActivityState::Running);
    assert_eq!(
        stage.orders(),
        ["stop db.service replace", "start db.service replace"]
    );
}

#[tokio::test]
async fn what_systemd_refuses_or_ends_badly_is_told() {
    let stage = Stage::new(Told {
        on_stop: vec!["deactivating", "failed"],
        on_start: vec!["activating", "failed"],
        ..running()
    })
    .await;
    let mut unit = stage.unit("db.service");
    let outcome = unit.stop(false).await;
    assert_eq!(
        outcome,
        ActionOutcome::Failed("db.service has stopped as failed".into())
    );
    assert_eq!(state(&mut unit).await, ActivityState::Stopped, "it does not run");
    let ActionOutcome::Failed(reason) = unit.start(false).await else {
        panic!("it never became active")
    };
    assert!(reason.starts_with("db.service is failed"), "{reason}");

    let denied = Stage::new(Told {
        on_stop: Vec::new(),
        ..running()
    })
    .await;
    let ActionOutcome::Failed(reason) = denied.unit("db.service").stop(false).await else {
        panic!("polkit said no")
    };
    assert!(reason.contains("Permission denied"), "{reason}");
}

#[tokio::test]
async fn a_unit_that_systemd_would_kill_within_its_grace_is_not_stopped() {
    let stage = Stage::new(Told {
        stop_timeout_micros: 5_000_000,
        ..running()
    })
    .await;
    let outcome = stage.unit("db.service").stop(false).await;
    let ActionOutcome::Refused(reason) = &outcome else {
        panic!("{outcome:?}")
    };
    assert!(
        reason.starts_with("systemd would kill db.service after 5 s"),
        "{reason}"
    );
    assert!(stage.orders().is_empty());
    // "infinity" kills never.
    stage.told.lock().unwrap().stop_timeout_micros = u64::MAX;
    let outcome = stage.unit("db.service").stop(false).await;
    assert_eq!(outcome, ActionOutcome::Done(String::new()));
}

#[tokio::test]
async fn what_keeps_the_machine_reachable_is_never_touched() {
    let stage = Stage::new(running()).await;
    for unit in ["ssh.service", "systemd-journald.service", "nut-server.service"] {
        let mut unit = stage.unit(unit);
        assert!(unit.read().await.unwrap().denied.is_some());
        assert!(matches!(unit.stop(false).await, ActionOutcome::Refused(_)));
        assert!(matches!(unit.start(false).await, ActionOutcome::Refused(_)));
    }
    assert!(stage.orders().is_empty());
}

#[tokio::test]
async fn a_unit_that_is_not_there_and_a_bus_that_goes_and_comes() {
    let mut stage = Stage::new(Told {
        load: "not-found",
        active: "inactive",
        ..running()
    })
    .await;
    let mut unit = stage.unit("db.service");
    assert_eq!(state(&mut unit).await, ActivityState::Absent);
    stage.daemon.child.kill().unwrap();
    stage.daemon.child.wait().unwrap();
    let error = unit.read().await.unwrap_err().0;
    assert!(error.starts_with("db.service: "), "{error}");
    let nowhere = Bus::Address("unix:path=/nonexistent/bus".into());
    let limit = Duration::from_secs(1);
    let error = SystemdUnit::new(nowhere, "db.service".into(), limit, limit)
        .read()
        .await
        .unwrap_err()
        .0;
    assert!(error.starts_with("db.service: "), "{error}");
}
