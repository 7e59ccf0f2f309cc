//! What can be read off the plant: the meters of an agent's simulated drivers, and the figures of its parts.

use super::activity::StopRecord;
use super::config::{LineConfig, ReserveConfig, ServerConfig};
use super::line::Phase;
use super::server::boot_milliwatts;
use super::{LineState, Plant, PlantError, ServerPower};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// A mains inlet as its server sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InletReading {
    /// Its power domain.
    pub domain: Arc<str>,
    /// Whether mains is there.
    pub present: bool,
}

/// An activity on a server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActivityReading {
    /// The activity.
    pub activity: Arc<str>,
    /// What it draws above idle when it runs, in milliwatts.
    pub milliwatts: u64,
    /// Whether it runs.
    pub running: bool,
    /// When and how it last stopped; `None` while it runs, and before it ever ran.
    pub stopped: Option<StopRecord>,
}

/// A server's meters.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerReading {
    /// The server.
    pub server: Arc<str>,
    /// Its power state.
    pub power: ServerPower,
    /// Whether any inlet has mains.
    pub mains: bool,
    /// Each of its inlets.
    pub inlets: Vec<InletReading>,
    /// What it gets now, in milliwatts.
    pub milliwatts: u64,
    /// The part of it that comes from mains.
    pub mains_milliwatts: u64,
    /// Its energy meter: all it ever got, in millijoules.
    pub energy_millijoules: u64,
    /// Its activities, in the order of their declaration.
    pub activities: Vec<ActivityReading>,
}

/// State of a reserve (POWER-DIVERT-PIB, pwrReserveState, as far as a plant knows it).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReserveState {
    /// Neither charging nor discharging.
    Idle,
    /// Charging.
    Charging,
    /// Feeding a server or a line.
    Discharging,
    /// At its cut-off.
    Depleted,
    /// Failed.
    Fault,
}

/// A reserve's meters, as the reserve itself says: one that is weaker than it says reads too full.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReserveReading {
    /// The reserve.
    pub reserve: Arc<str>,
    /// Its charge, in millijoules.
    pub charge_millijoules: u64,
    /// Its state.
    pub state: ReserveState,
    /// What its inverter gives now, in milliwatts.
    pub milliwatts: u64,
    /// By how much its charge falls now, losses included, in milliwatts.
    pub drain_milliwatts: u64,
    /// What it recharges with now, in milliwatts.
    pub recharge_milliwatts: u64,
    /// Its energy meter: all its inverter ever gave, in millijoules.
    pub delivered_millijoules: u64,
    /// All that it was ever recharged with, in millijoules.
    pub recharged_millijoules: u64,
}

/// A reserve given to a server through a line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SettingReading {
    /// The reserve.
    pub reserve: Arc<str>,
    /// The server.
    pub server: Arc<str>,
    /// Power that may pass, in milliwatts at the line's input.
    pub milliwatts: u64,
    /// Power that passes now, in milliwatts at the line's input.
    pub flow_milliwatts: u64,
    /// Power that the server gets of it now, in milliwatts: at the line's output.
    pub delivered_milliwatts: u64,
    /// Whether the two are joined now.
    pub joined: bool,
    /// Whether that is about to change.
    pub moving: bool,
}

/// A line's switch positions and meters.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LineReading {
    /// The line.
    pub line: Arc<str>,
    /// Its state.
    pub state: LineState,
    /// Power at its input now, in milliwatts.
    pub milliwatts: u64,
    /// What is joined, or about to be, by server and reserve in the order of the configuration.
    pub settings: Vec<SettingReading>,
}

/// Whether a domain has mains.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DomainReading {
    /// The power domain.
    pub domain: Arc<str>,
    /// Whether its mains is there.
    pub present: bool,
}

/// The fixed figures of a server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerDescription {
    /// Its figures.
    pub figures: ServerConfig,
    /// Energy that a boot costs above idle, in millijoules.
    pub boot_millijoules: u64,
    /// Energy that a clean halt costs, in millijoules.
    pub halt_millijoules: u64,
}

/// The fixed figures of a reserve.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReserveDescription {
    /// Its figures; the charge is that of the start.
    pub figures: ReserveConfig,
    /// Servers that it feeds without a line.
    pub servers: Vec<Arc<str>>,
}

/// The fixed figures of a line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LineDescription {
    /// Its figures and members.
    pub figures: LineConfig,
}

impl Plant {
    /// The meters of one server.
    ///
    /// # Errors
    /// Unknown server.
    pub fn read_server(&self, server: &str) -> Result<ServerReading, PlantError> {
        let server = &self.servers[self.server_index(server)?];
        let inlets = server.inlets.iter().map(|(d, _)| InletReading {
            domain: Arc::clone(&self.domains[*d].name),
            present: self.domains[*d].present,
        });
        let activities = server
            .activities
            .iter()
            .map(|a| &self.activities[*a])
            .map(|a| ActivityReading {
                activity: Arc::clone(&a.name),
                milliwatts: self.load(a),
                running: a.running,
                stopped: a.stopped,
            });
        Ok(ServerReading {
            server: Arc::clone(&server.name),
            power: server.power,
            mains: server.mains,
            inlets: inlets.collect(),
            milliwatts: server.delivered,
            mains_milliwatts: server.from_mains,
            energy_millijoules: server.delivered_uj / 1_000,
            activities: activities.collect(),
        })
    }

    /// The meters of one reserve.
    ///
    /// # Errors
    /// Unknown reserve.
    pub fn read_reserve(&self, reserve: &str) -> Result<ReserveReading, PlantError> {
        let reserve = &self.reserves[self.reserve_index(reserve)?];
        let state = if reserve.failed {
            ReserveState::Fault
        } else if reserve.discharge.output > 0 {
            ReserveState::Discharging
        } else if reserve.recharge > 0 {
            ReserveState::Charging
        } else if reserve.exhausted {
            ReserveState::Depleted
        } else {
            ReserveState::Idle
        };
        Ok(ReserveReading {
            reserve: Arc::clone(&reserve.name),
            charge_millijoules: reserve.said_charge_uj() / 1_000,
            state,
            milliwatts: reserve.discharge.output,
            drain_milliwatts: reserve.discharge.drain,
            recharge_milliwatts: reserve.recharge,
            delivered_millijoules: reserve.delivered_uj / 1_000,
            recharged_millijoules: reserve.recharged_uj / 1_000,
        })
    }

    /// The positions and meters of one line.
    ///
    /// # Errors
    /// Unknown line.
    pub fn read_line(&self, line: &str) -> Result<LineReading, PlantError> {
        let l = self.line_index(line)?;
        let line = &self.lines[l];
        let on_line = || self.settings.iter().filter(move |setting| setting.line == l);
        let state = if line.fault {
            LineState::Fault
        } else if line.fault_due.is_some() || on_line().any(|setting| setting.phase != Phase::Joined) {
            LineState::Moving
        } else if on_line().next().is_some() {
            LineState::Closed
        } else {
            LineState::Open
        };
        let settings = on_line().map(|setting| SettingReading {
            reserve: Arc::clone(&self.reserves[setting.reserve].name),
            server: Arc::clone(&self.servers[setting.server].name),
            milliwatts: setting.cap,
            flow_milliwatts: setting.input,
            delivered_milliwatts: setting.flow,
            joined: setting.is_live(),
            moving: setting.phase != Phase::Joined,
        });
        Ok(LineReading {
            line: Arc::clone(&line.name),
            state,
            milliwatts: line.input,
            settings: settings.collect(),
        })
    }

    /// The mains of every domain, in the order of the configuration.
    pub fn read_domains(&self) -> Vec<DomainReading> {
        let reading = |d: &super::Domain| DomainReading {
            domain: Arc::clone(&d.name),
            present: d.present,
        };
        self.domains.iter().map(reading).collect()
    }

    /// The figures of one server.
    ///
    /// # Errors
    /// Unknown server.
    pub fn describe_server(&self, server: &str) -> Result<ServerDescription, PlantError> {
        let config = &self.servers[self.server_index(server)?].config;
        let above_idle = boot_milliwatts(config) - config.idle_milliwatts;
        Ok(ServerDescription {
            figures: config.as_ref().clone(),
            boot_millijoules: above_idle * config.boot_millis / 1_000,
            halt_millijoules: config.idle_milliwatts * config.halt_millis / 1_000,
        })
    }

    /// The figures of one reserve.
    ///
    /// # Errors
    /// Unknown reserve.
    pub fn describe_reserve(&self, reserve: &str) -> Result<ReserveDescription, PlantError> {
        let r = self.reserve_index(reserve)?;
        let fed = self.servers.iter().filter(|server| server.supplies.contains(&r));
        Ok(ReserveDescription {
            figures: self.reserves[r].config.clone(),
            servers: fed.map(|server| Arc::clone(&server.name)).collect(),
        })
    }

    /// The figures of one line.
    ///
    /// # Errors
    /// Unknown line.
    pub fn describe_line(&self, line: &str) -> Result<LineDescription, PlantError> {
        Ok(LineDescription {
            figures: self.lines[self.line_index(line)?].config.as_ref().clone(),
        })
    }

    /// Names of all servers, in the order of the configuration.
    pub fn server_names(&self) -> impl Iterator<Item = &str> {
        self.servers.iter().map(|server| server.name.as_ref())
    }

    /// Names of all reserves, in the order of the configuration.
    pub fn reserve_names(&self) -> impl Iterator<Item = &str> {
        self.reserves.iter().map(|reserve| reserve.name.as_ref())
    }

    /// Names of all lines, in the order of the configuration.
    pub fn line_names(&self) -> impl Iterator<Item = &str> {
        self.lines.iter().map(|line| line.name.as_ref())
    }
}
