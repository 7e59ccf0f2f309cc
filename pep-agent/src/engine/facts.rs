//! What the agent knows: what stands in its file, and what its drivers observe.
//!
//! Figures have the units of the wire: milliwatts, joules, milliseconds. Each observation keeps the instant at which
//! it was made, so that ages can be told without a clock.

use std::collections::BTreeMap;

use power_policy::model::{
    Changeover, Chemistry, FigureSource, LineMode, LineState, Mains, Name, Powered, ReserveState,
};

use super::Millis;

/// Whose figures count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// This agent's figures count, and it actuates.
    Custodian,
    /// This agent only sees it.
    Witness,
}

/// How much one sight of the mains tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Witness {
    /// One inlet: it speaks for the servers behind it.
    Inlet,
    /// A facility UPS: it speaks for the domain.
    Facility,
}

/// A mains feed of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InletFacts {
    /// The domain behind it.
    pub domain: Name,
    /// Largest power through it, in milliwatts.
    pub max_milliwatts: u32,
}

/// A server that this agent reports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerFacts {
    /// Whose figures count.
    pub role: Role,
    /// Draw with no activity running, in milliwatts.
    pub idle_milliwatts: u32,
    /// Largest draw, in milliwatts.
    pub peak_milliwatts: u32,
    /// Processor capacity, in thousandths of a core.
    pub cpu_millicores: u32,
    /// Memory capacity, in mebibytes.
    pub memory_mebibytes: u32,
    /// Time from power on to ready, in milliseconds.
    pub boot_millis: u32,
    /// Energy of a boot above idle, in joules.
    pub boot_joules: u64,
    /// Time of a clean halt, in milliseconds.
    pub halt_millis: u32,
    /// Energy of a clean halt, in joules.
    pub halt_joules: u64,
    /// PEP that can switch it on again.
    pub starter: Option<Name>,
    /// How many reserves may feed it at one time; 0: no limit.
    pub fan_in: u32,
    /// Whether it is simulated.
    pub simulated: bool,
    /// Its mains feeds.
    pub inlets: Vec<InletFacts>,
    /// Whether its driver can halt it (and, for its starter, switch it on).
    pub can_power: bool,
}

/// What was last seen of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerReading {
    /// Whether it has power.
    pub powered: Powered,
    /// Draw, in milliwatts, where it is measured.
    pub milliwatts: Option<u32>,
}

/// A reserve that this agent reports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReserveFacts {
    /// Whose figures count.
    pub role: Role,
    /// Kind of the store.
    pub chemistry: Chemistry,
    /// Energy of the full store, in joules.
    pub capacity_joules: u64,
    /// Energy that is never drawn, in joules.
    pub cutoff_joules: u64,
    /// Largest power that can be drawn, in milliwatts.
    pub max_discharge_milliwatts: u32,
    /// Energy at the output for 1000 units drawn.
    pub efficiency_permille: u32,
    /// Exponent of the capacity at high discharge, 1000 for a linear store.
    pub peukert_permille: u32,
    /// How many servers it may feed at one time; 0: no limit.
    pub fan_out: u32,
    /// Whether it is simulated.
    pub simulated: bool,
    /// Servers that it feeds without a line.
    pub feeds: Vec<Name>,
    /// The domain that its input hangs on, and how much its sight of the mains tells.
    pub mains: Option<(Name, Witness)>,
    /// Age from which a reading is stale, in milliseconds.
    pub stale_after_millis: u64,
}

/// What was last read of a reserve.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReserveReading {
    /// Energy left, in joules; `None` where the device does not say.
    pub charge_joules: Option<u64>,
    /// Energy of the full store at its present health, in joules, where it differs from the file's.
    pub capacity_joules: Option<u64>,
    /// Power at its output, in milliwatts; below zero while it charges. `None` where nobody measures it.
    pub milliwatts: Option<i32>,
    /// Time left at the present power, in seconds, as the device says.
    pub seconds_left: Option<u32>,
    /// State of the store.
    pub state: ReserveState,
    /// Where the energy figure comes from.
    pub source: FigureSource,
    /// The mains at its input.
    pub mains: Mains,
    /// How the figures came about, in words for the operator.
    pub note: String,
}

/// A line that this agent reports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LineFacts {
    /// Whether this agent can switch it.
    pub role: Role,
    /// Largest power through it, in milliwatts.
    pub milliwatts: u32,
    /// Power at the output for 1000 units put in.
    pub efficiency_permille: u32,
    /// Time that a change takes, in milliseconds.
    pub switch_millis: u32,
    /// Whether several members may be joined at once.
    pub mode: LineMode,
    /// How a fed server lives through a change.
    pub changeover: Changeover,
    /// Whether it is simulated.
    pub simulated: bool,
    /// Member reserves, in the order of the switch's positions.
    pub reserves: Vec<Name>,
    /// Member servers, in the order of the switch's positions.
    pub servers: Vec<Name>,
}

/// This reserve feeds this server through the line.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Joint {
    /// The reserve.
    pub reserve: Name,
    /// The server.
    pub server: Name,
    /// Power that may pass, in milliwatts.
    pub milliwatts: u32,
}

/// What was last read of a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LineReading {
    /// State of the switch.
    pub state: LineState,
    /// What is joined, sorted.
    pub joined: Vec<Joint>,
}

/// State of an activity on one server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ActivityState {
    /// It runs.
    Running,
    /// It does not run, and can be started.
    Stopped,
    /// It is being started.
    Starting,
    /// It is being stopped.
    Stopping,
    /// An action on it failed, and its state is in doubt.
    Failed,
    /// It does not run here and cannot be started here.
    Absent,
}

/// An activity belongs to a server: one row each.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ActivityKey {
    /// Name of the activity.
    pub activity: Name,
    /// Name of the server.
    pub server: Name,
}

/// An activity that this agent runs or could run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActivityFacts {
    /// Set that the file asks for.
    pub set: Option<Name>,
    /// Type of the data that it works on.
    pub data_type: Option<Name>,
    /// Process that does the work.
    pub process: Option<Name>,
    /// Class of its quality of service.
    pub qos: Option<Name>,
    /// Draw above idle, in milliwatts, where nobody measures it.
    pub milliwatts: u32,
    /// Processor demand, in thousandths of a core.
    pub cpu_millicores: u32,
    /// Memory demand, in mebibytes.
    pub memory_mebibytes: u32,
    /// It may be shifted to another server.
    pub movable: bool,
    /// The file says how it is started here.
    pub startable: bool,
    /// The file says how it is stopped here.
    pub stoppable: bool,
    /// It may be stopped now and started later.
    pub restartable: bool,
    /// Time that a shift takes, in milliseconds.
    pub move_millis: u32,
    /// Energy that a shift costs, in joules.
    pub move_joules: u64,
    /// Time that a graceful stop may take, in milliseconds: the grace of the driver.
    pub stop_millis: u32,
    /// Energy of a graceful stop, in joules.
    pub stop_joules: u64,
    /// Time that a start may take, in milliseconds.
    pub start_millis: u32,
}

/// What was last seen of an activity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActivityReading {
    /// Its state.
    pub state: ActivityState,
    /// Draw above idle, in milliwatts, where it is measured.
    pub milliwatts: Option<u32>,
    /// Why it must not be touched (the deny list), if so.
    pub denied: Option<String>,
}

/// A reading with its instant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen<T> {
    /// When it was made.
    pub at: Millis,
    /// What was read.
    pub reading: T,
}

impl<T> Seen<T> {
    /// How old the reading is.
    pub fn age(&self, now: Millis) -> u64 {
        now.saturating_sub(self.at)
    }
}

/// One thing: what the file says, and what was last seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Thing<F, R> {
    /// What the file (or the plant) says.
    pub facts: F,
    /// What was last seen; `None` until the first reading.
    pub seen: Option<Seen<R>>,
}

impl<F, R> Thing<F, R> {
    /// A thing that nobody has read yet.
    pub fn new(facts: F) -> Self {
        Self { facts, seen: None }
    }

    /// What was last seen.
    pub fn reading(&self) -> Option<&R> {
        self.seen.as_ref().map(|seen| &seen.reading)
    }
}

/// Everything that the agent reports, by name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Inventory {
    /// Servers.
    pub servers: BTreeMap<Name, Thing<ServerFacts, ServerReading>>,
    /// Reserves.
    pub reserves: BTreeMap<Name, Thing<ReserveFacts, ReserveReading>>,
    /// Lines.
    pub lines: BTreeMap<Name, Thing<LineFacts, LineReading>>,
    /// Activities.
    pub activities: BTreeMap<ActivityKey, Thing<ActivityFacts, ActivityReading>>,
    /// The mains of a domain as a driver other than a reserve's sees it (a simulated server's inlet).
    pub inlets: BTreeMap<Name, Thing<SightFacts, Mains>>,
}

/// How the mains of a domain is seen without a reserve.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SightFacts {
    /// How much it tells.
    pub witness: Witness,
    /// Age from which a sight is stale, in milliseconds.
    pub stale_after_millis: u64,
}

/// What a driver saw.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Observation {
    /// A server.
    Server(Name, ServerReading),
    /// The mains at an inlet.
    Inlet(Name, Mains),
    /// A reserve.
    Reserve(Name, ReserveReading),
    /// A line.
    Line(Name, LineReading),
    /// An activity.
    Activity(ActivityKey, ActivityReading),
}

/// What the agent says of the mains of one domain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DomainFacts {
    /// Name of the domain.
    pub name: Name,
    /// State of its mains.
    pub mains: Mains,
    /// How much this sight tells.
    pub witness: Witness,
    /// When it was seen.
    pub at: Millis,
}

impl Inventory {
    /// Whether each reserve gives or is charged, where its power is measured.
    pub fn flows(&self) -> Vec<Option<bool>> {
        let gives = |reading: &ReserveReading| {
            let milliwatts = reading.milliwatts.filter(|milliwatts| *milliwatts != 0)?;
            Some(milliwatts > 0)
        };
        self.reserves
            .values()
            .map(|thing| thing.reading().and_then(gives))
            .collect()
    }

    /// Whether a reserve that gave is charged now, or the other way round.
    pub fn have_turned(&self, before: &[Option<bool>]) -> bool {
        let turned = |(before, now): (&Option<bool>, Option<bool>)| {
            before.is_some_and(|before| now.is_some_and(|now| before != now))
        };
        before.iter().zip(self.flows()).any(turned)
    }

    /// Whether the reading of a reserve is too old to count, or was never made.
    pub fn is_stale(&self, reserve: &Name, now: Millis) -> bool {
        self.reserves.get(reserve).is_none_or(|thing| match &thing.seen {
            Some(seen) => seen.age(now) >= thing.facts.stale_after_millis,
            None => true,
        })
    }

    /// Every domain that this agent sees, by name, with the mains as its freshest sights say.
    ///
    /// A facility UPS outranks an inlet. Among facility UPSes of one domain the majority counts, so that one that runs
    /// a self-test is no outage; among inlets one without mains is enough, since somebody runs on a battery there.
    /// Stale is unknown: neither an outage nor "all is well".
    pub fn domains(&self, now: Millis) -> Vec<DomainFacts> {
        let mut sights: BTreeMap<&Name, Vec<(Witness, Mains, Millis)>> = BTreeMap::new();
        for (name, thing) in &self.reserves {
            let Some((domain, witness)) = &thing.facts.mains else {
                continue;
            };
            let sight = match &thing.seen {
                Some(seen) if !self.is_stale(name, now) => (*witness, seen.reading.mains, seen.at),
                Some(seen) => (*witness, Mains::Unknown, seen.at),
                None => (*witness, Mains::Unknown, now),
            };
            sights.entry(domain).or_default().push(sight);
        }
        for (domain, thing) in &self.inlets {
            let sight = match &thing.seen {
                Some(seen) if seen.age(now) < thing.facts.stale_after_millis => {
                    (thing.facts.witness, seen.reading, seen.at)
                }
                Some(seen) => (thing.facts.witness, Mains::Unknown, seen.at),
                None => (thing.facts.witness, Mains::Unknown, now),
            };
            sights.entry(domain).or_default().push(sight);
        }
        sights
            .into_iter()
            .map(|(name, sights)| {
                let witness = sights
                    .iter()
                    .filter(|s| s.1 != Mains::Unknown)
                    .map(|s| s.0)
                    .max()
                    .unwrap_or_else(|| sights.iter().map(|s| s.0).max().unwrap_or(Witness::Inlet));
                let counted = || sights.iter().filter(|s| s.0 == witness && s.1 != Mains::Unknown);
                let (all, absent) = (
                    counted().count(),
                    counted().filter(|s| s.1 == Mains::Absent).count(),
                );
                let mains = match witness {
                    _ if all == 0 => Mains::Unknown,
                    Witness::Facility if absent * 2 > all => Mains::Absent,
                    Witness::Inlet if absent > 0 => Mains::Absent,
                    _ if counted().any(|s| s.1 == Mains::Unstable) => Mains::Unstable,
                    _ => Mains::Present,
                };
                // The oldest of the sights that counted: an age is never told younger than it is.
                let at = match all {
                    0 => sights.iter().map(|s| s.2).max().unwrap_or(now),
                    _ => counted().map(|s| s.2).min().unwrap_or(now),
                };
                DomainFacts {
                    name: name.clone(),
                    mains,
                    witness,
                    at,
                }
            })
            .collect()
    }

    /// Whether everything that a driver reads has been seen once. A report before that would tell of activities that are
    /// not there and lines that do not answer.
    pub fn is_seen(&self) -> bool {
        // Nobody reads a real server that is only witnessed.
        let servers = self
            .servers
            .values()
            .filter(|thing| thing.facts.simulated || thing.facts.role == Role::Custodian);
        servers.into_iter().all(|thing| thing.seen.is_some())
            && self.reserves.values().all(|thing| thing.seen.is_some())
            && self.lines.values().all(|thing| thing.seen.is_some())
            && self.activities.values().all(|thing| thing.seen.is_some())
            && self.inlets.values().all(|thing| thing.seen.is_some())
    }

    /// Servers that this agent is the custodian of.
    pub fn own_servers(&self) -> impl Iterator<Item = (&Name, &Thing<ServerFacts, ServerReading>)> {
        self.servers
            .iter()
            .filter(|(_, thing)| thing.facts.role == Role::Custodian)
    }
}
