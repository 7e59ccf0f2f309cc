//! Simulated things: thin clients of a plant.
//!
//! The plant has the electricity; how long a graceful stop or a start takes is the agent's, as on a real node. Times
//! are the plant's and pass `scale` times as fast as real ones.

use std::time::Duration;

use power_policy::model::{
    Changeover, Chemistry, FigureSource, LineMode, LineState, Mains, Name, Powered, ReserveState,
};
use power_policy::plan::HostState;
use power_policy::plant::{self, ServerPower};
use tokio::time::sleep;

use super::plant_link::{PlantClient, PlantLinkError};
use super::{ActivityDriver, DriverFuture, HostDriver, HostReading, LineDriver, ReadError, ReserveDriver};
use crate::engine::ActionOutcome;
use crate::engine::facts::{
    ActivityReading, ActivityState, InletFacts, Joint, LineFacts, LineReading, ReserveFacts, ReserveReading,
    Role, ServerFacts, ServerReading, Witness,
};

/// How often the plant is asked, in real time, whether something that takes time is done.
const LOOK: Duration = Duration::from_millis(10);

/// A way to the plant, and how fast its time passes.
#[derive(Debug, Clone)]
pub struct Simulation {
    client: PlantClient,
    scale: u32,
}

impl Simulation {
    /// The plant behind `client`.
    pub fn new(client: PlantClient, scale: u32) -> Self {
        Self {
            client,
            scale: scale.max(1),
        }
    }

    /// Lets so many milliseconds of the plant's time pass.
    async fn pass(&self, millis: u32) {
        sleep(Duration::from_millis(u64::from(millis)) / self.scale).await;
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

/// A simulated server.
#[derive(Debug)]
pub struct SimulatedHost {
    simulation: Simulation,
    name: Name,
    role: Role,
}

impl SimulatedHost {
    /// The server of this name.
    pub fn new(simulation: Simulation, name: Name, role: Role) -> Self {
        Self {
            simulation,
            name,
            role,
        }
    }

    async fn power(&self) -> Result<ServerPower, PlantLinkError> {
        Ok(self
            .simulation
            .client
            .read_server(self.name.as_str())
            .await?
            .power)
    }

    async fn switch_on(&self) -> ActionOutcome {
        if let Err(error) = self.simulation.client.start_server(self.name.as_str()).await {
            return outcome(Err(error), "");
        }
        loop {
            match self.power().await {
                Ok(ServerPower::On) => return ActionOutcome::Done("it has booted".to_owned()),
                Ok(ServerPower::Booting { .. }) => sleep(LOOK).await,
                Ok(power) => return ActionOutcome::Failed(format!("it is {power} again")),
                Err(error) => return ActionOutcome::Failed(error.to_string()),
            }
        }
    }
}

impl HostDriver for SimulatedHost {
    fn read(&mut self) -> DriverFuture<'_, Result<HostReading, ReadError>> {
        Box::pin(async {
            let reading = self
                .simulation
                .client
                .read_server(self.name.as_str())
                .await
                .map_err(unread)?;
            let powered = match (reading.power, self.role) {
                // A server that boots draws power, and one that halts will be off whatever comes.
                (ServerPower::On | ServerPower::Booting { .. }, _) => Powered::On,
                (ServerPower::Halting { .. }, _) | (ServerPower::Off, Role::Custodian) => {
                    Powered::OffCommanded
                }
                (ServerPower::Off | ServerPower::Lost, _) => Powered::OffSeen,
            };
            let server = ServerReading {
                powered,
                milliwatts: Some(narrow(reading.milliwatts)),
            };
            let inlets = reading.inlets.iter();
            let inlets =
                inlets.filter_map(|inlet| Some((Name::new(&inlet.domain).ok()?, present(inlet.present))));
            Ok(HostReading {
                server,
                inlets: inlets.collect(),
            })
        })
    }

    fn set(&mut self, state: HostState) -> DriverFuture<'_, ActionOutcome> {
        Box::pin(async move {
            match state {
                HostState::On => self.switch_on().await,
                // Its agent ends with it, so that it has begun is all that can be told.
                HostState::Off => outcome(
                    self.simulation.client.halt_server(self.name.as_str()).await,
                    "it halts",
                ),
                HostState::Standby => ActionOutcome::Done(String::new()),
            }
        })
    }
}

/// A simulated reserve.
#[derive(Debug)]
pub struct SimulatedReserve {
    simulation: Simulation,
    name: Name,
    domain: Option<Name>,
}

impl SimulatedReserve {
    /// The reserve of this name, whose input hangs on `domain`.
    pub fn new(simulation: Simulation, name: Name, domain: Option<Name>) -> Self {
        Self {
            simulation,
            name,
            domain,
        }
    }
}

impl ReserveDriver for SimulatedReserve {
    fn read(&mut self) -> DriverFuture<'_, Result<ReserveReading, ReadError>> {
        Box::pin(async {
            let reading = self
                .simulation
                .client
                .read_reserve(self.name.as_str())
                .await
                .map_err(unread)?;
            let mains = match &self.domain {
                Some(domain) => self.simulation.mains(domain).await?,
                None => Mains::Unknown,
            };
            let signed = |milliwatts: u64| i32::try_from(milliwatts).unwrap_or(i32::MAX);
            Ok(ReserveReading {
                charge_joules: Some(reading.charge_millijoules / 1_000),
                capacity_joules: None,
                milliwatts: Some(match reading.recharge_milliwatts {
                    0 => signed(reading.milliwatts),
                    charging => -signed(charging),
                }),
                seconds_left: None,
                state: match reading.state {
                    plant::ReserveState::Idle => ReserveState::Idle,
                    plant::ReserveState::Charging => ReserveState::Charging,
                    plant::ReserveState::Discharging => ReserveState::Discharging,
                    plant::ReserveState::Depleted => ReserveState::Depleted,
                    plant::ReserveState::Fault => ReserveState::Fault,
                },
                source: FigureSource::Measured,
                mains,
                note: "the plant's meter".to_owned(),
            })
        })
    }
}

/// A simulated line.
#[derive(Debug)]
pub struct SimulatedLine {
    simulation: Simulation,
    name: Name,
}

impl SimulatedLine {
    /// The line of this name.
    pub fn new(simulation: Simulation, name: Name) -> Self {
        Self { simulation, name }
    }

    async fn reading(&self) -> Result<LineReading, PlantLinkError> {
        let reading = self.simulation.client.read_line(self.name.as_str()).await?;
        let mut joined: Vec<Joint> = reading
            .settings
            .iter()
            .filter(|setting| setting.joined)
            .filter_map(|setting| {
                Some(Joint {
                    reserve: Name::new(&setting.reserve).ok()?,
                    server: Name::new(&setting.server).ok()?,
                    milliwatts: narrow(setting.milliwatts),
                })
            })
            .collect();
        joined.sort();
        let state = match reading.state {
            plant::LineState::Open => LineState::Open,
            plant::LineState::Closed => LineState::Closed,
            plant::LineState::Moving => LineState::Moving,
            plant::LineState::Fault => LineState::Fault,
        };
        Ok(LineReading { state, joined })
    }

    /// Waits until the switch rests, and compares.
    async fn read_back(&self, is_so: impl Fn(&LineReading) -> bool) -> ActionOutcome {
        loop {
            match self.reading().await {
                Ok(reading) if reading.state == LineState::Moving => sleep(LOOK).await,
                Ok(reading) if reading.state == LineState::Fault => {
                    return ActionOutcome::Failed("the line did not follow".to_owned());
                }
                Ok(reading) if is_so(&reading) => return ActionOutcome::Done(String::new()),
                Ok(_) => return ActionOutcome::Failed("the line rests at something else".to_owned()),
                Err(error) => return ActionOutcome::Failed(error.to_string()),
            }
        }
    }
}

impl LineDriver for SimulatedLine {
    fn read(&mut self) -> DriverFuture<'_, Result<LineReading, ReadError>> {
        Box::pin(async { self.reading().await.map_err(unread) })
    }

    fn join(&mut self, reserve: Name, server: Name, milliwatts: u32) -> DriverFuture<'_, ActionOutcome> {
        Box::pin(async move {
            let set = self.simulation.client.set_line(
                self.name.as_str(),
                reserve.as_str(),
                server.as_str(),
                u64::from(milliwatts),
            );
            if let Err(error) = set.await {
                return outcome(Err(error), "");
            }
            let wanted = (milliwatts > 0).then_some(milliwatts);
            self.read_back(|reading| {
                let joint = reading
                    .joined
                    .iter()
                    .find(|j| j.reserve == reserve && j.server == server);
                joint.map(|joint| joint.milliwatts) == wanted
            })
            .await
        })
    }

    fn open(&mut self) -> DriverFuture<'_, ActionOutcome> {
        Box::pin(async {
            match self.simulation.client.clear_line(self.name.as_str()).await {
                Ok(()) => self.read_back(|reading| reading.joined.is_empty()).await,
                refused => outcome(refused, ""),
            }
        })
    }
}

/// A simulated activity on a server.
#[derive(Debug)]
pub struct SimulatedActivity {
    simulation: Simulation,
    server: Name,
    activity: Name,
    milliwatts: u32,
    startable: bool,
    stop_millis: u32,
    start_millis: u32,
    move_millis: u32,
}

impl SimulatedActivity {
    /// An activity that [`Simulation::declare`] made known, with its figures.
    pub fn new(
        simulation: Simulation,
        server: Name,
        activity: Name,
        facts: &crate::engine::facts::ActivityFacts,
    ) -> Self {
        Self {
            simulation,
            server,
            activity,
            milliwatts: facts.milliwatts,
            startable: facts.startable,
            stop_millis: facts.stop_millis,
            start_millis: facts.start_millis,
            move_millis: facts.move_millis,
        }
    }

    async fn is_running(&self) -> Result<(bool, u32), ReadError> {
        let reading = self
            .simulation
            .client
            .read_server(self.server.as_str())
            .await
            .map_err(unread)?;
        match reading
            .activities
            .iter()
            .find(|reading| *reading.activity == *self.activity.as_str())
        {
            Some(reading) => Ok((reading.running, narrow(reading.milliwatts))),
            None => Err(ReadError(format!(
                "the plant has no activity {} there",
                self.activity
            ))),
        }
    }

    async fn wanted(&self, running: bool) -> Option<ActionOutcome> {
        match self.is_running().await {
            Ok((is, _)) if is == running => Some(ActionOutcome::Done(
                if running {
                    "runs already"
                } else {
                    "stopped already"
                }
                .to_owned(),
            )),
            Ok(_) => None,
            Err(error) => Some(ActionOutcome::Failed(error.0)),
        }
    }
}

impl ActivityDriver for SimulatedActivity {
    fn read(&mut self) -> DriverFuture<'_, Result<ActivityReading, ReadError>> {
        Box::pin(async {
            let (running, milliwatts) = self.is_running().await?;
            let state = match (running, self.startable) {
                (true, _) => ActivityState::Running,
                (false, true) => ActivityState::Stopped,
                (false, false) => ActivityState::Absent,
            };
            Ok(ActivityReading {
                state,
                milliwatts: Some(milliwatts),
                denied: None,
            })
        })
    }

    fn stop(&mut self, moved: bool) -> DriverFuture<'_, ActionOutcome> {
        Box::pin(async move {
            if let Some(outcome) = self.wanted(false).await {
                return outcome;
            }
            // Work that has moved has nothing left to put away.
            if !moved {
                self.simulation.pass(self.stop_millis).await;
            }
            let stopped = self
                .simulation
                .client
                .stop_activity(self.server.as_str(), self.activity.as_str())
                .await;
            outcome(stopped, "")
        })
    }

    fn start(&mut self, moved: bool) -> DriverFuture<'_, ActionOutcome> {
        Box::pin(async move {
            if let Some(outcome) = self.wanted(true).await {
                return outcome;
            }
            self.simulation
                .pass(if moved {
                    self.move_millis
                } else {
                    self.start_millis
                })
                .await;
            let (server, activity) = (self.server.as_str(), self.activity.as_str());
            // A cap belongs to the run that it was put on.
            if let Err(error) = self
                .simulation
                .client
                .set_load(server, activity, u64::from(self.milliwatts))
                .await
            {
                return outcome(Err(error), "");
            }
            outcome(self.simulation.client.start_activity(server, activity).await, "")
        })
    }

    fn cap(&mut self, milliwatts: u32) -> DriverFuture<'_, ActionOutcome> {
        Box::pin(async move {
            let load = u64::from(self.milliwatts.min(milliwatts));
            let set = self
                .simulation
                .client
                .set_load(self.server.as_str(), self.activity.as_str(), load)
                .await;
            outcome(set, "")
        })
    }
}
