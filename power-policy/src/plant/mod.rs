//! The plant: simulated electricity.
//!
//! Mains by domain, reserves with non-linear batteries, divert lines, servers that boot, halt and die, activities that
//! draw. It is the judge: in the demo and the end-to-end tests behind a socket, in the simulation and the planner
//! harness in-process. Planner, PDP and agents' engines never see it.
//!
//! # A caller's contract
//!
//! Build it with [`Plant::new`] from a [`PlantConfig`]. Then, as often as you like, [`Plant::advance`] its time, give
//! commands ([`Plant::fail_mains`], [`Plant::set_line`], [`Plant::start_activity`], ...), take readings, and drain
//! [`Plant::poll_event`]. Time is the caller's: milliseconds from the plant's start, never going back. A command holds
//! from the instant that the plant has advanced to. A command that is refused changes nothing.
//!
//! # Physics
//!
//! - A server that is on draws its idle power and that of its running activities, at most its peak; booting, idle and
//!   0.3 of the span to the peak; halting, idle (policy.md section 1.3). Standby is being on without activities.
//! - It is fed by its live mains inlets; what these do not carry, by its joined line settings in proportion to their
//!   caps; what these do not carry, by its own supplies. Powers of lines are measured at their input,
//!   which is their reserves' side: the server gets that times the line's efficiency. Powers of reserves are measured
//!   at the inverter's output, which is the same place; charges are in the store, before the inverter. A reserve's watts are one limit for all that it feeds, and lines are served
//!   before own supplies: whoever diverts more than a donor can spare starves the donor.
//! - A server that gets less than it draws for as long as its PSU's hold-up is dead; its activities stop dirty.
//! - A reserve recharges from its domain while it feeds nothing. At its cut-off it gives nothing more until 1 % of its
//!   usable energy is back, or what one second of its largest output takes, if that is more.
//!
//! # Exactness
//!
//! Milliwatts times milliseconds are microjoules, in which all energies are kept. Between two events (a command, a
//! switch, a boot, a reserve at its cut-off, ...) all powers are constant, Peukert's loss included, since it depends on
//! the power alone. So time passes from event to event in one product each, without any step size, and how often
//! [`Plant::advance`] is called makes no difference at all. A reserve is at its cut-off when it cannot carry its part
//! for one more millisecond.

mod activity;
mod battery;
mod command;
mod config;
mod error;
mod event;
mod flow;
mod history;
mod ledger;
pub mod limits;
mod line;
mod reading;
mod server;
mod unmanaged;

pub use activity::{ActivityReport, RideThrough, StopRecord};
pub use config::{
    Changeover, Chemistry, ConfigError, DomainConfig, InitialPower, InletConfig, LineConfig, LineMode,
    PlantConfig, ReserveConfig, ServerConfig,
};
pub use error::PlantError;
pub use event::{PlantEvent, PlantEventKind};
pub use history::{History, Sample};
pub use ledger::{Ledger, ReserveAccount};
pub use line::LineState;
pub use reading::{
    ActivityReading, DomainReading, InletReading, LineDescription, LineReading, ReserveDescription,
    ReserveReading, ReserveState, ServerDescription, ServerReading, SettingReading,
};
pub use server::ServerPower;
pub use unmanaged::UnmanagedRun;

use std::collections::BTreeMap;
use std::sync::Arc;

/// A mains feeder.
#[derive(Clone, Debug, PartialEq)]
struct Domain {
    name: Arc<str>,
    present: bool,
}

/// Where each name stands.
#[derive(Debug, PartialEq)]
struct Names {
    domains: BTreeMap<String, usize>,
    servers: BTreeMap<String, usize>,
    reserves: BTreeMap<String, usize>,
    lines: BTreeMap<String, usize>,
}

/// Simulated electricity. See the [module](self) for the contract.
#[derive(Clone, Debug, PartialEq)]
pub struct Plant {
    config: Arc<PlantConfig>,
    names: Arc<Names>,
    now: u64,
    /// Instant of the next event.
    next_due: u64,
    domains: Vec<Domain>,
    servers: Vec<server::Server>,
    reserves: Vec<battery::Reserve>,
    lines: Vec<line::Line>,
    /// Sorted by their key.
    settings: Vec<line::Setting>,
    activities: Vec<activity::Activity>,
    activity_names: BTreeMap<(usize, Arc<str>), usize>,
    tracks: Vec<activity::Track>,
    track_names: BTreeMap<Arc<str>, usize>,
    powers: ledger::Powers,
    energies: ledger::Energies,
    events: event::EventQueue,
    recorder: history::Recorder,
    record: Option<Box<unmanaged::Record>>,
    is_replay: bool,
    scratch: flow::Scratch,
}

impl Plant {
    /// A plant at time 0.
    ///
    /// # Errors
    /// The first thing that is wrong with the configuration.
    pub fn new(config: PlantConfig) -> Result<Self, ConfigError> {
        config.validate()?;
        let names = Names {
            domains: index(config.domains.iter().map(|d| &d.name)),
            servers: index(config.servers.iter().map(|s| &s.name)),
            reserves: index(config.reserves.iter().map(|r| &r.name)),
            lines: index(config.lines.iter().map(|l| &l.name)),
        };
        let server = |config: &ServerConfig| {
            let inlets = config
                .inlets
                .iter()
                .map(|i| (names.domains[&i.domain], i.max_milliwatts))
                .collect();
            let supplies = config.supplies.iter().map(|r| names.reserves[r]).collect();
            server::Server::new(config, inlets, supplies)
        };
        let reserve = |config: &ReserveConfig| {
            let domain = config.recharge_domain.as_ref().map(|d| names.domains[d]);
            battery::Reserve::new(config, domain)
        };
        let line = |config: &LineConfig| {
            let mut reserves: Vec<usize> = config.reserves.iter().map(|r| names.reserves[r]).collect();
            let mut servers: Vec<usize> = config.servers.iter().map(|s| names.servers[s]).collect();
            reserves.sort_unstable();
            servers.sort_unstable();
            line::Line {
                name: config.name.as_str().into(),
                config: Arc::new(config.clone()),
                reserves,
                servers,
                stuck: false,
                fault: false,
                fault_due: None,
                input: 0,
            }
        };
        let domain = |config: &DomainConfig| Domain {
            name: config.name.as_str().into(),
            present: config.present,
        };
        let mut plant = Plant {
            now: 0,
            next_due: 0,
            domains: config.domains.iter().map(domain).collect(),
            servers: config.servers.iter().map(server).collect(),
            reserves: config.reserves.iter().map(reserve).collect(),
            lines: config.lines.iter().map(line).collect(),
            settings: Vec::new(),
            activities: Vec::new(),
            activity_names: BTreeMap::new(),
            tracks: Vec::new(),
            track_names: BTreeMap::new(),
            powers: ledger::Powers::default(),
            energies: ledger::Energies::default(),
            events: event::EventQueue::default(),
            recorder: history::Recorder::new(config.history_interval_millis, config.history_max_samples),
            record: None,
            is_replay: false,
            scratch: flow::Scratch::default(),
            names: Arc::new(names),
            config: Arc::new(config),
        };
        plant.energies.initial = plant.left_microjoules();
        for s in 0..plant.servers.len() {
            plant.look_at_inlets(s);
        }
        plant.command_done();
        Ok(plant)
    }

    /// The plant's time, in milliseconds from its start.
    pub fn now_millis(&self) -> u64 {
        self.now
    }

    /// Lets time pass up to `to_millis`. An earlier instant than now changes nothing, and nothing goes beyond
    /// [`limits::MAX_TIME_MILLIS`].
    pub fn advance(&mut self, to_millis: u64) {
        let to = to_millis.min(limits::MAX_TIME_MILLIS);
        while self.next_due <= to {
            self.pass(self.next_due);
            self.happen();
        }
        self.pass(to);
    }

    /// When the next thing happens by itself, in milliseconds; `None`: never. A caller that sleeps need not wake before.
    pub fn next_event_millis(&self) -> Option<u64> {
        (self.next_due <= limits::MAX_TIME_MILLIS).then_some(self.next_due)
    }

    /// The next thing that happened, oldest first.
    pub fn poll_event(&mut self) -> Option<PlantEvent> {
        self.events.pop()
    }

    /// How many events were dropped because nobody polled them ([`limits::MAX_EVENTS`]).
    pub fn events_dropped(&self) -> u64 {
        self.events.dropped
    }

    /// Constant powers until `to`, which is not after the next event.
    fn pass(&mut self, to: u64) {
        let millis = to.saturating_sub(self.now);
        if millis == 0 {
            return;
        }
        self.energies.pass(&self.powers, millis);
        for reserve in &mut self.reserves {
            reserve.pass(millis);
        }
        for server in &mut self.servers {
            server.delivered_uj = server
                .delivered_uj
                .saturating_add(server.delivered.saturating_mul(millis));
        }
        self.now = to;
    }

    /// What is due now. Switches come first: a gap that ends at the very end of the hold-up is survived.
    fn happen(&mut self) {
        self.finish_switching();
        self.finish_transitions();
        if self.config.load_variation_permille > 0
            && self.now.is_multiple_of(self.config.variation_interval_millis)
        {
            for s in 0..self.servers.len() {
                self.sum_loads(s);
            }
        }
        self.settle();
        self.record_sample();
        self.schedule();
    }

    /// After each command: the flows follow, and the next event is found.
    fn command_done(&mut self) {
        self.settle();
        self.schedule();
    }

    fn schedule(&mut self) {
        let mut next = u64::MAX;
        let mut at = |due: Option<u64>| {
            if let Some(due) = due {
                next = next.min(due);
            }
        };
        for server in &self.servers {
            at(server.transition_due());
            at(server
                .starved_since
                .map(|since| since + self.config.psu_hold_up_millis));
        }
        for setting in &self.settings {
            at(setting.due());
        }
        for line in &self.lines {
            at(line.fault_due);
        }
        for reserve in &self.reserves {
            // Both divisions give at least 1: a reserve drains no more than it has, and recharges no more than fits.
            at(reserve
                .available_uj()
                .checked_div(reserve.discharge.drain)
                .map(|millis| self.now + millis));
            at(reserve
                .gap_uj()
                .checked_div(reserve.recharge)
                .map(|millis| self.now + millis));
            if reserve.exhausted && reserve.recharge > 0 {
                let missing = reserve.resume_uj.saturating_sub(reserve.charge_uj);
                at(Some(self.now + missing.div_ceil(reserve.recharge).max(1)));
            }
        }
        at(self.recorder.due());
        if self.config.load_variation_permille > 0 {
            at(Some(
                (self.now / self.config.variation_interval_millis + 1)
                    * self.config.variation_interval_millis,
            ));
        }
        self.next_due = next;
    }

    fn domain_index(&self, name: &str) -> Result<usize, PlantError> {
        find(&self.names.domains, "domain", name)
    }

    fn server_index(&self, name: &str) -> Result<usize, PlantError> {
        find(&self.names.servers, "server", name)
    }

    fn reserve_index(&self, name: &str) -> Result<usize, PlantError> {
        find(&self.names.reserves, "reserve", name)
    }

    fn line_index(&self, name: &str) -> Result<usize, PlantError> {
        find(&self.names.lines, "line", name)
    }
}

fn index<'a>(names: impl Iterator<Item = &'a String>) -> BTreeMap<String, usize> {
    names
        .enumerate()
        .map(|(index, name)| (name.clone(), index))
        .collect()
}

fn find(names: &BTreeMap<String, usize>, kind: &'static str, name: &str) -> Result<usize, PlantError> {
    names.get(name).copied().ok_or_else(|| PlantError::Unknown {
        kind,
        name: name.to_owned(),
    })
}
