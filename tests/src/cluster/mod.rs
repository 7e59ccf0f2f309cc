//! A whole cluster in one process, on one virtual clock: the PDP's node, any number of PEPs' nodes with the drivers of the
//! program, and the plant.
//!
//! Octets pass between the sessions, over connections (`wires`) with a latency; the agents' actions pass to the plant
//! through the drivers that the program has, and the plant's readings come back the same way. Nothing is decided here.
//!
//! # Contract
//!
//! Make it from a [`Scenario`] and a seed; the same two give the same run, octet by octet. Then command
//! ([`Cluster::fail_mains`], [`Cluster::kill_pdp`], ...) and let time pass until something holds
//! ([`Cluster::run_until`]). A run ends by reaching a state, never by the clock of the machine.
//!
//! A server that loses its power takes its agent with it, without a word; one that halts closes its agent's connection.
//! One that has booted gets a new agent, which finds what the earlier one kept on disk.

mod agent;
mod centre;
mod clock;
mod driving;
mod electricity;
mod scenario;
pub mod scenarios;
mod wires;

use std::collections::BTreeMap;
use std::path::Path;
use std::rc::Rc;

use anyhow::{Context, Result, bail};
use cops_codec::wire::PdpAddress;
use pdp_server::api;
use pdp_server::config::Config;
use pdp_server::engine::Engine;
use pdp_server::engine::event::Event;
use pdp_server::engine::state::Record;
use pep_agent::io::config::AgentConfig;
use pep_agent::io::plant::config::PlantFile;
use power_policy::interruption::{Command, CommandOutcome};
use power_policy::plant::{Plant, PlantEvent, PlantEventKind};

use self::agent::{Agent, LONGEST_STEP, Surroundings};
use self::centre::Centre;
use self::clock::VirtualClock;
pub use self::driving::Fault;
use self::electricity::Electricity;
pub use self::scenario::{Activity, Files, Line, Qos, Reserve, Scenario, Server};
use self::wires::Wires;
pub use self::wires::{Captured, End};

/// Rounds at one instant after which nothing settles any more.
const MOST_ROUNDS: u32 = 100_000;
/// Events that a report of a failed wait shows.
const SHOWN_EVENTS: usize = 40;

/// A cluster. See the [module](self) for the contract.
#[derive(Debug)]
pub struct Cluster {
    seed: u64,
    clock: Rc<VirtualClock>,
    electricity: Electricity,
    plant_events: Vec<PlantEvent>,
    agents: BTreeMap<String, Agent>,
    centre: Centre,
    wires: Wires,
    random: fastrand::Rng,
    read_every_millis: u64,
    commands: u64,
}

impl Cluster {
    /// A cluster at the virtual instant 0, with everybody alive.
    ///
    /// # Errors
    /// A file of the scenario is wrong, as the programs would say.
    pub fn new(scenario: &Scenario, seed: u64) -> Result<Self> {
        Self::from_files(&scenario.files("127.0.0.1:3288", "pep-agent"), seed)
    }

    /// A cluster from the files that the programs read.
    ///
    /// # Errors
    /// A file is wrong, as the programs would say.
    pub fn from_files(files: &Files, seed: u64) -> Result<Self> {
        let mut random = fastrand::Rng::with_seed(seed);
        let plant_file = PlantFile::from_text(Path::new("plant.toml"), &files.plant)?;
        let plant = Plant::new(plant_file.plant.clone())?;
        let config = Config::from_toml("pdp.toml", &files.pdp)?;
        let listen = config.listen.address;
        let mut agents = BTreeMap::new();
        for (name, text) in &files.agents {
            let config = AgentConfig::from_text(Path::new(&format!("{name}.toml")), text)?;
            let command = plant_file.agents.iter().find(|agent| agent.name == *name);
            let command = command.with_context(|| format!("the plant's file does not start agent {name}"))?;
            let agent = Agent::new(config, command.server.clone(), random.u64(1_000..10_000_000));
            agents.insert(name.clone(), agent);
        }
        let mut cluster = Self {
            seed,
            clock: Rc::new(VirtualClock::default()),
            electricity: Electricity::new(plant),
            plant_events: Vec::new(),
            agents,
            centre: Centre::new(config, listen),
            wires: Wires::default(),
            random,
            read_every_millis: 2_000,
            commands: 0,
        };
        cluster.centre.start(0)?;
        let names: Vec<String> = cluster.agents.keys().cloned().collect();
        for name in names {
            cluster.start_agent(&name)?;
        }
        cluster.settle()?;
        Ok(cluster)
    }

    /// The present instant, in virtual milliseconds from the start of the run; the plant's time is the same.
    pub fn now_millis(&self) -> u64 {
        self.clock.now()
    }

    /// Looks at the plant, or does something to it. Whatever follows happens when the cluster runs on.
    pub fn plant<T>(&self, look: impl FnOnce(&mut Plant) -> T) -> T {
        self.electricity.with(look)
    }

    /// Everything that happened in the plant.
    pub fn plant_events(&self) -> &[PlantEvent] {
        &self.plant_events
    }

    /// Everything that the PDP has told its operators, over all its lives.
    pub fn events(&self) -> &[Event] {
        &self.centre.events
    }

    /// The PDP's journal, over all its lives.
    pub fn journal(&self) -> &[Record] {
        &self.centre.journal
    }

    /// The PDP's engine, while it is alive.
    pub fn pdp(&self) -> Option<&Engine> {
        self.centre.engine()
    }

    /// What `pdp-server status` shows, while the PDP is alive.
    pub fn status(&self) -> Option<api::Status> {
        self.centre.engine().map(Engine::status)
    }

    /// What `pep-agent status` shows, while that agent is alive.
    pub fn agent_status(&self, agent: &str) -> Option<pep_agent::node::Status> {
        self.agents.get(agent)?.status(self.clock.now())
    }

    /// Whether that agent has a process.
    pub fn is_alive(&self, agent: &str) -> bool {
        self.agents.get(agent).is_some_and(Agent::is_alive)
    }

    /// Every message as it left its sender.
    pub fn captured(&self) -> &[Captured] {
        &self.wires.captured
    }

    /// The checker's objections to any plan of the run.
    pub fn violations(&self) -> Vec<String> {
        let of_record = |record: &Record| match record {
            Record::Plan { violations, .. } => violations.clone(),
            _ => Vec::new(),
        };
        self.centre.journal.iter().flat_map(of_record).collect()
    }

    /// The mains of a domain goes away.
    ///
    /// # Errors
    /// The plant has no such domain.
    pub fn fail_mains(&mut self, domain: &str) -> Result<()> {
        Ok(self.plant(|plant| plant.fail_mains(domain))?)
    }

    /// The mains of a domain comes back.
    ///
    /// # Errors
    /// The plant has no such domain.
    pub fn restore_mains(&mut self, domain: &str) -> Result<()> {
        Ok(self.plant(|plant| plant.restore_mains(domain))?)
    }

    /// An administrator's command, and what became of it.
    ///
    /// # Errors
    /// The PDP is not alive, or does not answer.
    pub fn command(&mut self, command: Command) -> Result<CommandOutcome> {
        self.commands += 1;
        let id = format!("command-{}", self.commands);
        self.centre.command(self.clock.now(), &id, command);
        self.settle()?;
        let answer = self.centre.answers.iter().find(|(answered, _)| *answered == id);
        answer
            .map(|(_, outcome)| outcome.clone())
            .context("the PDP does not answer")
    }

    /// Nothing passes between that agent and the PDP any more; both find out by themselves.
    ///
    /// # Errors
    /// There is no such agent.
    pub fn cut(&mut self, agent: &str) -> Result<()> {
        self.agent(agent)?.is_cut = true;
        self.wires.cut(agent);
        Ok(())
    }

    /// New connections of that agent get through again.
    ///
    /// # Errors
    /// There is no such agent.
    pub fn mend(&mut self, agent: &str) -> Result<()> {
        self.agent(agent)?.is_cut = false;
        Ok(())
    }

    /// How long a message of that agent's next connection takes, either way.
    ///
    /// # Errors
    /// There is no such agent.
    pub fn set_latency(&mut self, agent: &str, millis: u64) -> Result<()> {
        self.agent(agent)?.latency_millis = millis;
        Ok(())
    }

    /// That agent's driver of an activity, or of a line, is broken from now on, also after a boot.
    ///
    /// # Errors
    /// There is no such agent.
    pub fn break_driver(&mut self, agent: &str, thing: &str, fault: Fault) -> Result<()> {
        self.agent(agent)?.faults.insert(thing.to_owned(), fault);
        Ok(())
    }

    /// The PDP's process is killed.
    pub fn kill_pdp(&mut self) {
        self.centre.kill(self.clock.now(), &mut self.wires);
    }

    /// The PDP's process is started on its journal.
    ///
    /// # Errors
    /// It runs already.
    pub fn start_pdp(&mut self) -> Result<()> {
        if self.centre.is_alive() {
            bail!("the PDP runs already");
        }
        self.centre.start(self.clock.now())
    }

    /// An agent's process is killed; its machine runs on.
    ///
    /// # Errors
    /// There is no such agent.
    pub fn kill_agent(&mut self, name: &str) -> Result<()> {
        let now = self.clock.now();
        let agent = self.agents.get_mut(name).with_context(|| unknown(name))?;
        agent.stop(now, &mut self.wires, true);
        Ok(())
    }

    /// An agent's process is started, with what an earlier one has kept; nothing happens while its machine is down.
    ///
    /// # Errors
    /// There is no such agent, or its file does not fit the plant.
    pub fn start_agent(&mut self, name: &str) -> Result<()> {
        let agent = self.agents.get_mut(name).with_context(|| unknown(name))?;
        let is_up = match &agent.server {
            None => true,
            Some(server) => self.electricity.with(|plant| {
                let reading = plant.read_server(server);
                reading.is_ok_and(|reading| reading.power == power_policy::plant::ServerPower::On)
            }),
        };
        if is_up && !agent.is_alive() {
            agent.start(&mut Surroundings {
                clock: &self.clock,
                electricity: &self.electricity,
                wires: &mut self.wires,
                random: &mut self.random,
                pdp: None,
                read_every_millis: self.read_every_millis,
            })?;
        }
        Ok(())
    }

    fn agent(&mut self, name: &str) -> Result<&mut Agent> {
        self.agents.get_mut(name).with_context(|| unknown(name))
    }

    /// Runs until `holds`, for at most `limit_millis` of virtual time; `what` says what is waited for.
    ///
    /// # Errors
    /// It does not come to hold; with all that is needed to see why.
    pub fn run_until(
        &mut self,
        what: &str,
        limit_millis: u64,
        mut holds: impl FnMut(&Self) -> bool,
    ) -> Result<()> {
        let end = self.clock.now().saturating_add(limit_millis);
        self.settle()?;
        while !holds(self) {
            match self.next().filter(|next| *next <= end) {
                Some(next) => {
                    self.clock.advance(next);
                    self.settle()?;
                }
                None => {
                    self.clock.advance(end);
                    self.settle()?;
                    if holds(self) {
                        break;
                    }
                    bail!(
                        "within {limit_millis} ms it did not come to be that {what}\n{}",
                        self.report()
                    );
                }
            }
        }
        Ok(())
    }

    /// Lets virtual time pass. For times that are part of a scenario; to wait, use [`Cluster::run_until`].
    ///
    /// # Errors
    /// The cluster does not settle.
    pub fn pass(&mut self, millis: u64) -> Result<()> {
        let end = self.clock.now().saturating_add(millis);
        self.settle()?;
        while let Some(next) = self.next().filter(|next| *next < end) {
            self.clock.advance(next);
            self.settle()?;
        }
        self.clock.advance(end);
        self.settle()
    }

    /// The next instant at which anything happens by itself.
    fn next(&self) -> Option<u64> {
        let now = self.clock.now();
        let agents = self.agents.values().filter_map(|agent| agent.next(now));
        let longest = now.saturating_add(u64::try_from(LONGEST_STEP.as_millis()).unwrap_or(u64::MAX));
        agents
            .chain(self.centre.next())
            .chain(self.wires.next())
            .chain(self.clock.next())
            .chain(self.electricity.next())
            .chain([longest])
            .min()
            // What is overdue was looked at in this instant already, and is looked at again in the next.
            .map(|next| next.max(now + 1))
    }

    /// Everything that follows at this instant.
    fn settle(&mut self) -> Result<()> {
        for _ in 0..MOST_ROUNDS {
            if !self.round()? {
                return Ok(());
            }
        }
        bail!("nothing settles at {} ms\n{}", self.clock.now(), self.report());
    }

    fn round(&mut self) -> Result<bool> {
        let now = self.clock.now();
        let happened = self.electricity.advance(now);
        let mut any = !happened.is_empty();
        for event in happened {
            self.electricity_event(&event)?;
            self.plant_events.push(event);
        }
        if any {
            // As the program does, whose watch of the plant tells it of everything.
            self.agents.values_mut().for_each(Agent::wake);
        }
        let pdp = self
            .centre
            .is_alive()
            .then(|| PdpAddress::from(self.centre.listen));
        let mut around = Surroundings {
            clock: &self.clock,
            electricity: &self.electricity,
            wires: &mut self.wires,
            random: &mut self.random,
            pdp,
            read_every_millis: self.read_every_millis,
        };
        for agent in self.agents.values_mut() {
            let (did, wire) = agent.round(&mut around);
            any |= did;
            if let Some(wire) = wire {
                self.centre.accept(now, wire);
            }
        }
        any |= self.centre.round(now, &mut self.wires);
        Ok(any)
    }

    /// Agents live and die with their servers.
    fn electricity_event(&mut self, event: &PlantEvent) -> Result<()> {
        let now = self.clock.now();
        let (server, says_so) = match &event.kind {
            PlantEventKind::ServerLostPower { server } => (server, Some(false)),
            PlantEventKind::ServerOff { server, clean } => (server, Some(*clean)),
            PlantEventKind::ServerBooted { server } => (server, None),
            _ => return Ok(()),
        };
        let of_server = |agent: &&mut Agent| agent.server.as_deref() == Some(server.as_ref());
        let mut names = Vec::new();
        for agent in self.agents.values_mut().filter(of_server) {
            match says_so {
                Some(says_so) => agent.stop(now, &mut self.wires, says_so),
                None => {
                    agent.boot(now);
                    names.push(agent.name().to_owned());
                }
            }
        }
        for name in names {
            self.start_agent(&name)?;
        }
        Ok(())
    }

    /// The run so far, for whoever has to find out what went wrong.
    pub fn report(&self) -> String {
        use std::fmt::Write as _;
        let mut text = format!("seed {}, {} ms\n", self.seed, self.clock.now());
        let shown = self.centre.events.len().saturating_sub(SHOWN_EVENTS);
        for event in self.centre.events.iter().skip(shown) {
            let _ = writeln!(text, "  PDP   {:?}: {}", event.kind, event.text);
        }
        for event in self.plant_events.iter().rev().take(SHOWN_EVENTS).rev() {
            let _ = writeln!(text, "  plant {} ms: {:?}", event.at_millis, event.kind);
        }
        for agent in self.agents.values() {
            for (at, line) in agent.log.iter().rev().take(8).rev() {
                let _ = writeln!(text, "  {} {at} ms: {line}", agent.name());
            }
        }
        if let Some(plan) = self.centre.engine().and_then(Engine::plan) {
            let _ = writeln!(text, "{}", plan.plan);
        }
        text
    }

    /// What an agent's engine knows, while it is alive.
    pub fn agent_engine(&self, agent: &str) -> Option<&pep_agent::engine::Engine> {
        self.agents.get(agent)?.engine()
    }
}

fn unknown(agent: &str) -> String {
    format!("there is no agent {agent}")
}
