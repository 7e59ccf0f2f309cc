//! Simulated things: thin clients of a plant.
//!
//! The plant has the electricity; how long a graceful stop or a start takes is the agent's, as on a real node. Times
//! are the plant's and pass `scale` times as fast as real ones.

mod activity;
mod host;
mod line;
mod reserve;

use std::rc::Rc;
use std::time::Duration;

use power_policy::model::{Changeover, Chemistry, LineMode, Mains, Name};
use power_policy::plant;

pub use self::activity::SimulatedActivity;
pub use self::host::SimulatedHost;
pub use self::line::SimulatedLine;
pub use self::reserve::SimulatedReserve;
use super::plant_link::{PlantClient, PlantLinkError};
use super::{DriverFuture, ReadError};
use crate::engine::ActionOutcome;
use crate::engine::facts::{InletFacts, LineFacts, ReserveFacts, Role, ServerFacts, Witness};

/// How often the plant is asked, in real time, whether something that takes time is done.
const LOOK: Duration = Duration::from_millis(4);

/// Lets real time pass. An agent has the machine's, a simulation of many agents one of its own.
pub trait Sleeper: std::fmt::Debug {
    /// Ends when so much time has passed.
    fn sleep(&self, real: Duration) -> DriverFuture<'static, ()>;
}

/// The machine's time.
#[derive(Debug)]
struct RealTime;

impl Sleeper for RealTime {
    fn sleep(&self, real: Duration) -> DriverFuture<'static, ()> {
        Box::pin(tokio::time::sleep(real))
    }
}

/// A way to the plant, and how fast its time passes.
#[derive(Debug, Clone)]
pub struct Simulation {
    client: PlantClient,
    scale: u32,
    sleeper: Rc<dyn Sleeper>,
}

impl Simulation {
    /// The plant behind `client`.
    pub fn new(client: PlantClient, scale: u32) -> Self {
        Self::with_sleeper(client, scale, Rc::new(RealTime))
    }

    /// The plant behind `client`, and another time than the machine's.
    pub fn with_sleeper(client: PlantClient, scale: u32, sleeper: Rc<dyn Sleeper>) -> Self {
        Self {
            client,
            scale: scale.max(1),
            sleeper,
        }
    }

    /// Lets so many milliseconds of the plant's time pass.
    async fn pass(&self, millis: u32) {
        self.sleeper
            .sleep(Duration::from_millis(u64::from(millis)) / self.scale)
            .await;
    }

    /// Figures of a server. Processor and memory are not electricity: the agent's file knows them.
    ///
    /// # Errors
    /// The plant does not know it, or is gone.
    pub async fn server(
        &self,
        name: &Name,
        role: Role,
        cpu_millicores: u32,
        memory_mebibytes: u32,
    ) -> Result<ServerFacts, PlantLinkError> {
        let description = self.client.describe_server(name.as_str()).await?;
        let figures = &description.figures;
        Ok(ServerFacts {
            role,
            idle_milliwatts: narrow(figures.idle_milliwatts),
            peak_milliwatts: narrow(figures.peak_milliwatts),
            cpu_millicores,
            memory_mebibytes,
            boot_millis: narrow(figures.boot_millis),
            boot_joules: description.boot_millijoules.div_ceil(1_000),
            halt_millis: narrow(figures.halt_millis),
            halt_joules: description.halt_millijoules.div_ceil(1_000),
            starter: figures
                .starter
                .as_deref()
                .and_then(|starter| Name::new(starter).ok()),
            fan_in: figures.fan_in,
            simulated: true,
            inlets: figures
                .inlets
                .iter()
                .filter_map(|inlet| {
                    let domain = Name::new(&inlet.domain).ok()?;
                    Some(InletFacts {
                        domain,
                        max_milliwatts: narrow(inlet.max_milliwatts),
                    })
                })
                .collect(),
            can_power: true,
        })
    }

    /// Figures of a reserve.
    ///
    /// # Errors
    /// The plant does not know it, or is gone.
    pub async fn reserve(
        &self,
        name: &Name,
        role: Role,
        mains: Option<(Name, Witness)>,
    ) -> Result<ReserveFacts, PlantLinkError> {
        let description = self.client.describe_reserve(name.as_str()).await?;
        let figures = &description.figures;
        Ok(ReserveFacts {
            role,
            chemistry: match figures.chemistry {
                plant::Chemistry::LeadAcid => Chemistry::LeadAcid,
                plant::Chemistry::Lithium => Chemistry::Lithium,
                plant::Chemistry::Nickel => Chemistry::Nickel,
                plant::Chemistry::Supercapacitor => Chemistry::Supercapacitor,
                plant::Chemistry::Other => Chemistry::Other,
            },
            capacity_joules: figures.capacity_millijoules / 1_000,
            cutoff_joules: figures.cutoff_millijoules.div_ceil(1_000),
            max_discharge_milliwatts: narrow(figures.max_discharge_milliwatts),
            efficiency_permille: narrow(figures.efficiency_permille),
            peukert_permille: narrow(figures.peukert_permille),
            fan_out: figures.fan_out,
            simulated: true,
            feeds: description
                .servers
                .iter()
                .filter_map(|server| Name::new(server).ok())
                .collect(),
            mains,
            stale_after_millis: 0,
        })
    }

    /// Figures of a line.
    ///
    /// # Errors
    /// The plant does not know it, or is gone.
    pub async fn line(&self, name: &Name, role: Role) -> Result<LineFacts, PlantLinkError> {
        let figures = self.client.describe_line(name.as_str()).await?.figures;
        let names = |names: &[String]| names.iter().filter_map(|name| Name::new(name).ok()).collect();
        Ok(LineFacts {
            role,
            milliwatts: narrow(figures.max_milliwatts),
            efficiency_permille: narrow(figures.efficiency_permille),
            switch_millis: narrow(figures.switch_millis),
            mode: match figures.mode {
                plant::LineMode::Shared => LineMode::Shared,
                plant::LineMode::Exclusive => LineMode::Exclusive,
            },
            changeover: match figures.changeover {
                plant::Changeover::Parallel => Changeover::Parallel,
                plant::Changeover::Ats => Changeover::Ats,
                plant::Changeover::Bridge => Changeover::Bridge,
            },
            simulated: true,
            reserves: names(&figures.reserves),
            servers: names(&figures.servers),
        })
    }

    /// Makes an activity known to the plant.
    ///
    /// # Errors
    /// The plant refuses it, or is gone.
    pub async fn declare(
        &self,
        server: &Name,
        activity: &Name,
        milliwatts: u32,
        running: bool,
    ) -> Result<(), PlantLinkError> {
        self.client
            .declare_activity(server.as_str(), activity.as_str(), u64::from(milliwatts), running)
            .await
    }

    /// The mains of a domain, as the plant has it.
    ///
    /// # Errors
    /// The plant does not know it, or is gone.
    pub async fn mains(&self, domain: &Name) -> Result<Mains, ReadError> {
        let domains = self.client.read_domains().await.map_err(unread)?;
        match domains.iter().find(|reading| *reading.domain == *domain.as_str()) {
            Some(reading) => Ok(present(reading.present)),
            None => Err(ReadError(format!("the plant has no domain {domain}"))),
        }
    }
}

fn narrow(value: u64) -> u32 {
    // The plant's bounds are those of the wire.
    u32::try_from(value).unwrap_or(u32::MAX)
}

fn present(present: bool) -> Mains {
    if present { Mains::Present } else { Mains::Absent }
}

fn unread(error: PlantLinkError) -> ReadError {
    ReadError(error.to_string())
}

/// What a command to the plant came to.
fn outcome(answer: Result<(), PlantLinkError>, done: &str) -> ActionOutcome {
    match answer {
        Ok(()) => ActionOutcome::Done(done.to_owned()),
        Err(PlantLinkError::Refused(reason)) => ActionOutcome::Refused(reason),
        Err(error) => ActionOutcome::Failed(error.to_string()),
    }
}
