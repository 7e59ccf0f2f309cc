//! From the file to what runs: the inventory, and a driver for each thing in it.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use power_policy::model::Name;
use power_policy::plant::Plant;
use tokio::time::{Instant, sleep};

use crate::drivers::DriverSet;
use crate::drivers::cgroup::CgroupActivity;
use crate::drivers::draw::{DrawMeter, DrawSource, LoadGauge};
use crate::drivers::exec::{ExecActivity, ExecHost, ExecLine, ExecReserve};
use crate::drivers::host::rapl::RaplMeter;
use crate::drivers::host::{HaltCommand, RealHost};
use crate::drivers::nut::{NutOutlet, NutReserve};
use crate::drivers::outlet::{Outlet, OutletLine};
use crate::drivers::plant_link::{PlantClient, PlantLinkError};
use crate::drivers::power_supply::PowerSupplyReserve;
use crate::drivers::process::{DenyList, ProcessActivity, ProcessTable};
use crate::drivers::redfish::{RedfishAccess, RedfishHost, RedfishOutlet, RedfishService, RedfishTransfer};
use crate::drivers::simulated::{
    SimulatedActivity, SimulatedHost, SimulatedLine, SimulatedReserve, Simulation,
};
use crate::drivers::snmp::{SnmpOutlet, SnmpTransfer};
use crate::drivers::systemd::SystemdUnit;
use crate::drivers::transfer_switch::{Inputs, TransferLine, TransferSwitch};
use crate::engine::Inventory;
use crate::engine::facts::{LineFacts, Role, ServerFacts, SightFacts, Thing, Witness};
use crate::io::clock::BootClock;
use crate::io::config::{
    ActivitySource, AgentConfig, LineEntry, LineSource, PlantEntry, ReserveSource, ServerEntry, sole_ups,
};
use crate::io::supervise::Drivers;

/// How often the plant is read, in real time; whatever happens in a shared one is told at once besides.
const PLANT_POLL: Duration = Duration::from_millis(250);
/// How often processes and commands are looked at.
const PROCESS_POLL: Duration = Duration::from_secs(1);
/// How often a server behind a program is looked at.
const HOST_POLL: Duration = Duration::from_secs(5);
/// How long a halt command may take, and the machine after it, where halt_seconds says less.
const HALT_LIMIT: Duration = Duration::from_secs(30);
/// How long a server behind a board controller may take to be on or off, where boot_seconds and halt_seconds say less.
const REDFISH_SWITCH_LIMIT: Duration = Duration::from_secs(60);
/// Age from which a sight of the plant is stale, in real time.
const PLANT_STALE: Duration = Duration::from_secs(5);
/// How long a plant that does not listen yet is waited for, in real time.
const PLANT_PATIENCE: Duration = Duration::from_secs(10);
/// How often it is tried meanwhile.
const PLANT_RETRY: Duration = Duration::from_millis(50);

/// What the agent is made of.
pub(super) struct Assembly {
    /// What it reports.
    pub(super) inventory: Inventory,
    /// How it sees and moves that.
    pub(super) drivers: Drivers,
    /// The plant, if anything is simulated.
    pub(super) plant: Option<PlantClient>,
}

/// Connects to the plant, or makes one, and builds everything.
///
/// # Errors
/// The plant is not there, or does not know what the file names.
pub(super) async fn assemble(config: &AgentConfig, clock: BootClock) -> Result<Assembly, PlantLinkError> {
    let plant = plant(config, clock).await?;
    let simulation = plant.clone().map(|client| Simulation::new(client, clock.scale()));
    let mut drivers = Drivers::default();
    let inventory = furnish(config, clock, simulation.as_ref(), &mut drivers).await?;
    Ok(Assembly {
        inventory,
        drivers,
        plant,
    })
}

/// Builds what the agent reports, and hands the driver of each thing in it to `drivers`.
///
/// `simulation` is where the simulated things are; of `clock` only the scale counts.
///
/// # Errors
/// The plant does not know what the file names, or there is none and something is simulated.
pub async fn furnish(
    config: &AgentConfig,
    clock: BootClock,
    simulation: Option<&Simulation>,
    drivers: &mut dyn DriverSet,
) -> Result<Inventory, PlantLinkError> {
    let mut furnishing = Furnishing {
        inventory: Inventory::default(),
        drivers,
        services: BTreeMap::new(),
        gauges: BTreeMap::new(),
        meters: BTreeMap::new(),
    };
    furnishing.add_servers(config, clock, simulation).await?;
    furnishing.add_domains(config, clock, simulation);
    furnishing.add_reserves(config, clock, simulation).await?;
    furnishing.add_lines(config, simulation).await?;
    furnishing.add_activities(config, simulation).await?;
    Ok(furnishing.inventory)
}

async fn plant(config: &AgentConfig, clock: BootClock) -> Result<Option<PlantClient>, PlantLinkError> {
    match &config.plant {
        PlantEntry::None => Ok(None),
        PlantEntry::Private(plant) => {
            let begun = clock.now().engine;
            // The file was checked with this very value.
            let plant = Plant::new(plant.as_ref().clone())
                .map_err(|error| PlantLinkError::Refused(error.to_string()))?;
            let passed = Arc::new(move || clock.now().engine.saturating_sub(begun));
            Ok(Some(PlantClient::in_process(
                plant,
                config.name.as_str(),
                clock.scale(),
                passed,
            )))
        }
        PlantEntry::Shared(path) => {
            let begun = Instant::now();
            loop {
                match PlantClient::connect(path, config.name.as_str()).await {
                    Err(PlantLinkError::Connect { .. }) if begun.elapsed() < PLANT_PATIENCE => {
                        sleep(PLANT_RETRY).await;
                    }
                    connected => return connected.map(Some),
                }
            }
        }
    }
}

/// The file was checked: what is simulated has a plant.
fn needed(simulation: Option<&Simulation>) -> Result<&Simulation, PlantLinkError> {
    simulation.ok_or(PlantLinkError::Closed)
}

/// What is built so far.
struct Furnishing<'a> {
    inventory: Inventory,
    drivers: &'a mut dyn DriverSet,
    services: BTreeMap<RedfishAccess, Rc<RedfishService>>,
    /// Loads of the UPSes whose load is a server's draw, by reserve.
    gauges: BTreeMap<Name, Rc<LoadGauge>>,
    /// What measures the draws of a server's activities, by server.
    meters: BTreeMap<Name, Rc<DrawMeter>>,
}

impl Furnishing<'_> {
    async fn add_servers(
        &mut self,
        config: &AgentConfig,
        clock: BootClock,
        simulation: Option<&Simulation>,
    ) -> Result<(), PlantLinkError> {
        for server in &config.servers {
            let facts = match &server.facts {
                Some(facts) => facts.clone(),
                None => {
                    let (cpu, memory) = (server.cpu_millicores, server.memory_mebibytes);
                    needed(simulation)?
                        .server(&server.name, server.role, cpu, memory)
                        .await?
                }
            };
            if server.simulated {
                let driver =
                    SimulatedHost::new(needed(simulation)?.clone(), server.name.clone(), server.role);
                self.drivers
                    .add_host(server.name.clone(), Box::new(driver), PLANT_POLL);
                for inlet in &facts.inlets {
                    // A server's sight of its own inlets. Its starter's is another's: it may have better ones.
                    if server.role == Role::Custodian {
                        self.add_sight(&inlet.domain, Witness::Inlet, clock);
                    }
                }
            } else if let Some(program) = &server.program {
                let limit = Duration::from_millis(u64::from(facts.boot_millis.max(facts.halt_millis)));
                let limit = limit.max(program.limit) * 2;
                let driver = ExecHost::new(program.clone(), server.name.clone(), server.role, limit);
                self.drivers
                    .add_host(server.name.clone(), Box::new(driver), HOST_POLL);
                for inlet in &facts.inlets {
                    if server.role == Role::Custodian {
                        self.add_sight(&inlet.domain, Witness::Inlet, clock);
                    }
                }
            } else if let Some((access, path)) = &server.redfish {
                let limit = Duration::from_millis(u64::from(facts.boot_millis.max(facts.halt_millis)));
                let limit = REDFISH_SWITCH_LIMIT.max(limit * 2);
                let driver = RedfishHost::new(self.redfish(access), path.clone(), server.role, limit);
                self.drivers
                    .add_host(server.name.clone(), Box::new(driver), HOST_POLL);
            } else if let Some(waker) = &server.wake_on_lan {
                self.drivers
                    .add_host(server.name.clone(), Box::new(waker.clone()), HOST_POLL);
            } else if server.role == Role::Custodian {
                let halt = server.halt.as_ref().map(|argv| HaltCommand {
                    argv: argv.clone(),
                    limit: HALT_LIMIT.max(2 * Duration::from_millis(u64::from(facts.halt_millis))),
                });
                let meter = server
                    .rapl
                    .as_ref()
                    .map(|(class, rest)| (RaplMeter::new(class), *rest));
                let driver = RealHost::new(halt, meter);
                self.drivers
                    .add_host(server.name.clone(), Box::new(driver), PROCESS_POLL);
                if server.measure_draws {
                    self.add_meter(server, &facts, config);
                }
            }
            self.inventory
                .servers
                .insert(server.name.clone(), Thing::new(facts));
        }
        Ok(())
    }

    /// What measures the draws of a server's activities: its counters, else the UPS that feeds it alone.
    fn add_meter(&mut self, server: &ServerEntry, facts: &ServerFacts, config: &AgentConfig) {
        let source = match (&server.rapl, sole_ups(server, &config.reserves)) {
            (Some((class, rest)), _) => DrawSource::Rapl(RefCell::new(RaplMeter::new(class)), *rest),
            (None, Some(reserve)) => {
                let gauge = self.gauges.entry(reserve.name.clone()).or_default();
                DrawSource::Ups(Rc::clone(gauge))
            }
            // The file was checked: it has one of them.
            (None, None) => return,
        };
        let meter = DrawMeter::new(source, facts.idle_milliwatts, "/proc/stat");
        self.meters.insert(server.name.clone(), Rc::new(meter));
    }

    fn add_sight(&mut self, domain: &power_policy::model::Name, witness: Witness, clock: BootClock) {
        let stale_after_millis = clock.scaled_millis(PLANT_STALE);
        let facts = SightFacts {
            witness,
            stale_after_millis,
        };
        self.inventory
            .inlets
            .entry(domain.clone())
            .or_insert_with(|| Thing::new(facts));
    }

    fn add_domains(&mut self, config: &AgentConfig, clock: BootClock, simulation: Option<&Simulation>) {
        for (domain, witness) in &config.domains {
            self.inventory.inlets.remove(domain);
            self.add_sight(domain, *witness, clock);
            if let Some(simulation) = simulation {
                self.drivers
                    .add_domain(domain.clone(), simulation.clone(), PLANT_POLL);
            }
        }
    }

    async fn add_reserves(
        &mut self,
        config: &AgentConfig,
        clock: BootClock,
        simulation: Option<&Simulation>,
    ) -> Result<(), PlantLinkError> {
        for reserve in &config.reserves {
            let mut facts = match &reserve.facts {
                Some(facts) => facts.clone(),
                None => {
                    needed(simulation)?
                        .reserve(&reserve.name, reserve.role, reserve.mains.clone())
                        .await?
                }
            };
            facts.stale_after_millis = clock.scaled_millis(reserve.stale);
            match &reserve.source {
                ReserveSource::Simulated => {
                    let domain = facts.mains.as_ref().map(|(domain, _)| domain.clone());
                    let driver =
                        SimulatedReserve::new(needed(simulation)?.clone(), reserve.name.clone(), domain);
                    self.drivers
                        .add_reserve(reserve.name.clone(), Box::new(driver), reserve.poll);
                }
                ReserveSource::Nut { server, ups, figures } => {
                    let gauge = self.gauges.get(&reserve.name).cloned();
                    let driver = NutReserve::new(server.clone(), ups.clone(), *figures).with_gauge(gauge);
                    self.drivers
                        .add_reserve(reserve.name.clone(), Box::new(driver), reserve.poll);
                }
                ReserveSource::Exec(program) => {
                    let driver =
                        ExecReserve::new(program.clone(), reserve.name.clone(), facts.capacity_joules);
                    self.drivers
                        .add_reserve(reserve.name.clone(), Box::new(driver), reserve.poll);
                }
                ReserveSource::PowerSupply {
                    class,
                    device,
                    adapter,
                    figures,
                } => {
                    let driver =
                        PowerSupplyReserve::new(class.clone(), device.clone(), adapter.clone(), *figures);
                    self.drivers
                        .add_reserve(reserve.name.clone(), Box::new(driver), reserve.poll);
                }
            }
            self.inventory
                .reserves
                .insert(reserve.name.clone(), Thing::new(facts));
        }
        Ok(())
    }

    async fn add_lines(
        &mut self,
        config: &AgentConfig,
        simulation: Option<&Simulation>,
    ) -> Result<(), PlantLinkError> {
        for line in &config.lines {
            let facts = match &line.facts {
                Some(facts) => facts.clone(),
                None => needed(simulation)?.line(&line.name, line.role).await?,
            };
            match &line.source {
                LineSource::Simulated => {
                    let driver = SimulatedLine::new(needed(simulation)?.clone(), line.name.clone());
                    self.drivers
                        .add_line(line.name.clone(), Box::new(driver), PLANT_POLL);
                }
                LineSource::NutOutlet(outlet) => {
                    self.add_outlet(line, &facts, outlet.limit, NutOutlet::new(outlet.clone()));
                }
                LineSource::SnmpOutlet(outlet) => {
                    self.add_outlet(
                        line,
                        &facts,
                        outlet.limit,
                        SnmpOutlet::new(outlet.as_ref().clone()),
                    );
                }
                LineSource::SnmpTransfer {
                    device,
                    inputs,
                    limit,
                } => {
                    self.add_transfer(line, &facts, inputs, *limit, SnmpTransfer::new(device.clone()));
                }
                LineSource::RedfishOutlet { service, path, limit } => {
                    let outlet = RedfishOutlet::new(self.redfish(service), path.clone());
                    self.add_outlet(line, &facts, *limit, outlet);
                }
                LineSource::RedfishTransfer {
                    service,
                    path,
                    inputs,
                    limit,
                } => {
                    let switch = RedfishTransfer::new(self.redfish(service), path.clone(), facts.changeover);
                    self.add_transfer(line, &facts, inputs, *limit, switch);
                }
                LineSource::Exec(program) => {
                    // What it declares is what plans reckon with; what takes twice as long is stuck.
                    let limit = Duration::from_millis(u64::from(facts.switch_millis)) * 2;
                    let driver = ExecLine::new(program.clone(), line.name.clone(), limit.max(program.limit));
                    self.drivers
                        .add_line(line.name.clone(), Box::new(driver), line.poll);
                }
            }
            self.inventory.lines.insert(line.name.clone(), Thing::new(facts));
        }
        Ok(())
    }

    fn add_outlet(
        &mut self,
        line: &LineEntry,
        facts: &LineFacts,
        limit: Duration,
        outlet: impl Outlet + 'static,
    ) {
        // The file was checked: it has one member each.
        if let ([reserve], [server]) = (facts.reserves.as_slice(), facts.servers.as_slice()) {
            let (reserve, server) = (reserve.clone(), server.clone());
            let driver = OutletLine::new(outlet, reserve, server, facts.milliwatts, limit);
            self.drivers
                .add_line(line.name.clone(), Box::new(driver), line.poll);
        }
    }

    fn add_transfer(
        &mut self,
        line: &LineEntry,
        facts: &LineFacts,
        inputs: &Inputs,
        limit: Duration,
        switch: impl TransferSwitch + 'static,
    ) {
        // The file was checked: it feeds one server.
        if let [server] = facts.servers.as_slice() {
            let driver = TransferLine::new(switch, inputs.clone(), server.clone(), facts.milliwatts, limit);
            self.drivers
                .add_line(line.name.clone(), Box::new(driver), line.poll);
        }
    }

    /// The service with this access: one for all that stand behind it.
    fn redfish(&mut self, access: &RedfishAccess) -> Rc<RedfishService> {
        let service = self
            .services
            .entry(access.clone())
            .or_insert_with(|| Rc::new(RedfishService::new(access.clone())));
        Rc::clone(service)
    }

    async fn add_activities(
        &mut self,
        config: &AgentConfig,
        simulation: Option<&Simulation>,
    ) -> Result<(), PlantLinkError> {
        let table = Rc::new(ProcessTable::of_this_machine());
        let deny = Rc::new(deny_list(config));
        for activity in &config.activities {
            let (key, facts) = (&activity.key, &activity.facts);
            let millis = |millis: u32| Duration::from_millis(u64::from(millis));
            match &activity.source {
                ActivitySource::Simulated { running } => {
                    let simulation = needed(simulation)?;
                    simulation
                        .declare(&key.server, &key.activity, facts.milliwatts, *running)
                        .await?;
                    let (server, name) = (key.server.clone(), key.activity.clone());
                    let driver = SimulatedActivity::new(simulation.clone(), server, name, facts);
                    self.drivers
                        .add_activity(key.clone(), Box::new(driver), PLANT_POLL);
                }
                ActivitySource::Exec(program) => {
                    let driver = ExecActivity::new(
                        program.clone(),
                        key.clone(),
                        millis(facts.stop_millis),
                        millis(facts.start_millis),
                    );
                    self.drivers
                        .add_activity(key.clone(), Box::new(driver), PROCESS_POLL);
                }
                ActivitySource::Systemd { bus, unit } => {
                    let driver = SystemdUnit::new(
                        bus.clone(),
                        unit.clone(),
                        millis(facts.stop_millis),
                        millis(facts.start_millis),
                    );
                    self.drivers
                        .add_activity(key.clone(), Box::new(driver), PROCESS_POLL);
                }
                ActivitySource::Command(command) => {
                    self.drivers
                        .add_activity(key.clone(), Box::new(command.clone()), PROCESS_POLL);
                }
                ActivitySource::Cgroup { root, which, stop_by } => {
                    let driver = CgroupActivity::new(
                        root.clone(),
                        which.clone(),
                        stop_by.clone(),
                        Rc::clone(&table),
                        Rc::clone(&deny),
                        millis(facts.stop_millis),
                        millis(facts.start_millis),
                    )
                    .with_draw(self.meters.get(&key.server).cloned());
                    self.drivers
                        .add_activity(key.clone(), Box::new(driver), PROCESS_POLL);
                }
                ActivitySource::Process { pattern, start } => {
                    let driver = ProcessActivity::new(
                        key.activity.clone(),
                        Rc::clone(&table),
                        Rc::clone(&deny),
                        pattern.as_ref().clone(),
                        start.clone(),
                        millis(facts.stop_millis),
                        millis(facts.start_millis),
                    )
                    .with_draw(self.meters.get(&key.server).cloned());
                    self.drivers
                        .add_activity(key.clone(), Box::new(driver), PROCESS_POLL);
                }
            }
            self.inventory
                .activities
                .insert(key.clone(), Thing::new(facts.clone()));
        }
        Ok(())
    }
}

/// What this agent never touches.
pub(crate) fn deny_list(config: &AgentConfig) -> DenyList {
    let own_pid = i32::try_from(std::process::id()).unwrap_or(i32::MAX);
    DenyList::new(own_pid, config.deny_defaults, config.deny.clone())
}
