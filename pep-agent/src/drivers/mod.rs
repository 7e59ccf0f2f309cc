//! Drivers: how the agent sees and moves real and simulated things.
//!
//! One trait a kind of thing. A driver owns one thing, or shares one link among several; whoever runs it polls
//! [`read`](ReserveDriver::read) and hands it one action at a time. Every action first looks whether the thing is done
//! already, so that repeating one does no harm. IO is allowed here, the clock too: times in drivers are real ones.

pub mod cgroup;
pub mod command;
pub mod draw;
pub mod exec;
pub mod host;
pub mod nut;
pub mod outlet;
pub mod plant_link;
pub mod plant_protocol;
pub mod plant_service;
pub mod power_supply;
pub mod process;
pub mod program;
pub mod redfish;
pub mod secret_file;
pub mod simulated;
pub mod snmp;
pub mod systemd;
pub mod transfer_switch;
pub mod trust;

use std::time::Duration;

use futures::future::LocalBoxFuture;
use power_policy::model::{Mains, Name};
use power_policy::plan::HostState;

use self::simulated::Simulation;
use crate::engine::ActionOutcome;
use crate::engine::facts::{ActivityKey, ActivityReading, LineReading, ReserveReading, ServerReading};

/// What a driver's methods return.
pub type DriverFuture<'a, T> = LocalBoxFuture<'a, T>;

/// Why nothing could be read. What was read before grows stale; it does not become empty.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ReadError(pub String);

/// A reserve.
pub trait ReserveDriver {
    /// Reads it.
    fn read(&mut self) -> DriverFuture<'_, Result<ReserveReading, ReadError>>;
}

/// A divert line.
pub trait LineDriver {
    /// Reads it.
    fn read(&mut self) -> DriverFuture<'_, Result<LineReading, ReadError>>;

    /// Joins a reserve and a server, or takes them off with 0 milliwatts; reads back before it says done.
    fn join(&mut self, reserve: Name, server: Name, milliwatts: u32) -> DriverFuture<'_, ActionOutcome>;

    /// Takes everything off.
    fn open(&mut self) -> DriverFuture<'_, ActionOutcome>;

    /// Ends what is held open at the device, such as a session.
    fn close(&mut self) -> DriverFuture<'_, ()> {
        Box::pin(async {})
    }
}

/// An activity on a server.
pub trait ActivityDriver {
    /// Reads it.
    fn read(&mut self) -> DriverFuture<'_, Result<ActivityReading, ReadError>>;

    /// Stops it gracefully; an activity that does not stop within its grace is a failure, and is left running. `moved`:
    /// its work goes on elsewhere already.
    fn stop(&mut self, moved: bool) -> DriverFuture<'_, ActionOutcome>;

    /// Starts it. `moved`: its work comes from another server.
    fn start(&mut self, moved: bool) -> DriverFuture<'_, ActionOutcome>;

    /// Holds its draw at or below a budget.
    fn cap(&mut self, milliwatts: u32) -> DriverFuture<'_, ActionOutcome>;
}

/// What is seen of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostReading {
    /// Its power state and draw.
    pub server: ServerReading,
    /// The mains at its inlets, by domain, where the host can tell.
    pub inlets: Vec<(Name, Mains)>,
}

/// A server.
pub trait HostDriver {
    /// Reads it.
    fn read(&mut self) -> DriverFuture<'_, Result<HostReading, ReadError>>;

    /// Switches it on, or off cleanly.
    fn set(&mut self, state: HostState) -> DriverFuture<'_, ActionOutcome>;

    /// Ends what is held open at the device, such as a session.
    fn close(&mut self) -> DriverFuture<'_, ()> {
        Box::pin(async {})
    }
}

/// Runs drivers: reads each every `poll` of real time, and whenever something has happened, and hands it its actions.
pub trait DriverSet {
    /// Takes a server's driver.
    fn add_host(&mut self, name: Name, driver: Box<dyn HostDriver>, poll: Duration);

    /// Takes a mains domain that is seen without a reserve.
    fn add_domain(&mut self, domain: Name, simulation: Simulation, poll: Duration);

    /// Takes a reserve's driver.
    fn add_reserve(&mut self, name: Name, driver: Box<dyn ReserveDriver>, poll: Duration);

    /// Takes a line's driver.
    fn add_line(&mut self, name: Name, driver: Box<dyn LineDriver>, poll: Duration);

    /// Takes an activity's driver.
    fn add_activity(&mut self, key: ActivityKey, driver: Box<dyn ActivityDriver>, poll: Duration);
}
