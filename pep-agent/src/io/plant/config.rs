//! The plant's file: TOML, quantities with their unit in the key, unknown keys are errors.
//!
//! Relative paths are taken from the folder of the file, which is also where the agents run.

use crate::io::toml_file::{TomlError, TomlFile};
use crate::limits;
use power_policy::plant::{
    Changeover, Chemistry, DomainConfig, InitialPower, InletConfig, LineConfig, LineMode, PlantConfig,
    ReserveConfig, ServerConfig,
};
use serde::de::{self, Deserializer};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// A plant's file, read and checked.
#[derive(Clone, Debug, PartialEq)]
pub struct PlantFile {
    /// Folder of the file.
    pub folder: PathBuf,
    /// Socket that the plant listens on.
    pub socket: PathBuf,
    /// Folder of the agents' output, one file an agent.
    pub log_folder: PathBuf,
    /// The plant itself.
    pub plant: PlantConfig,
    /// The agents to start.
    pub agents: Vec<AgentCommand>,
}

/// An agent that the plant starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentCommand {
    /// Its name, which is that of its log file: the server's, for an agent on a server.
    pub name: String,
    /// The server whose power it lives by; `None`: infrastructure, always powered.
    pub server: Option<String>,
    /// Program and arguments; never empty.
    pub command: Vec<String>,
}

impl PlantFile {
    /// Reads and checks a plant's file.
    ///
    /// # Errors
    /// The first fault, with file, line, key and what was expected.
    pub fn read(file: &Path) -> Result<Self, TomlError> {
        Self::check(&TomlFile::read(file)?, file)
    }

    /// Checks the text of a plant's file.
    ///
    /// # Errors
    /// As [`PlantFile::read`].
    pub fn from_text(file: &Path, text: &str) -> Result<Self, TomlError> {
        Self::check(&TomlFile::from_text(file, text), file)
    }

    fn check(text: &TomlFile, file: &Path) -> Result<Self, TomlError> {
        let form: Form = text.decode()?;
        let folder = match file.parent() {
            Some(folder) if folder != Path::new("") => folder.to_owned(),
            _ => PathBuf::from("."),
        };
        let agents = agents(text, &form)?;
        let this = PlantFile {
            socket: folder.join(&form.socket),
            log_folder: folder.join(&form.log_folder),
            plant: form.plant(),
            agents,
            folder,
        };
        this.plant.validate().map_err(|error| {
            // The plant says `servers[2].idle`; in the file it is the third `[[server]]`'s `idle_watts`.
            let list = match error.list {
                "domains" => Some("domain"),
                "servers" => Some("server"),
                "reserves" => Some("reserve"),
                "lines" => Some("line"),
                _ => None,
            };
            text.error_at(list.map(|list| (list, error.index)), error.key, error.problem)
        })?;
        Ok(this)
    }
}

/// The agents of all servers, then those of the infrastructure.
fn agents(text: &TomlFile, form: &Form) -> Result<Vec<AgentCommand>, TomlError> {
    let of_servers = form.server.iter().enumerate().filter_map(|(index, server)| {
        let command = server.agent.clone()?;
        let name = server.name.clone();
        Some((
            ("server", index),
            "agent",
            AgentCommand {
                server: Some(name.clone()),
                name,
                command,
            },
        ))
    });
    let infrastructure = form.agent.iter().enumerate().map(|(index, agent)| {
        let command = AgentCommand {
            name: agent.name.clone(),
            server: None,
            command: agent.command.clone(),
        };
        (("agent", index), "command", command)
    });
    let mut agents = Vec::new();
    let mut taken = BTreeSet::new();
    for (place, key, agent) in of_servers.chain(infrastructure) {
        let fail = |key: &str, problem: String| Err(text.error_at(Some(place), key, problem));
        if agent.command.first().is_none_or(String::is_empty) {
            return fail(key, "is empty, expected a program and its arguments".into());
        }
        if agent.name.is_empty() || agent.name.contains(['/', '\0']) || agent.name.starts_with('.') {
            return fail(
                "name",
                format!("is {:?}, expected a name that its log file can have", agent.name),
            );
        }
        if !taken.insert(agent.name.clone()) {
            return fail(
                "name",
                format!("is {:?}, which another agent has already", agent.name),
            );
        }
        if agents.len() >= limits::MAX_PLANT_AGENTS {
            return fail(
                "name",
                format!(
                    "is one too many, expected at most {} agents",
                    limits::MAX_PLANT_AGENTS
                ),
            );
        }
        agents.push(agent);
    }
    Ok(agents)
}

/// The file as it stands.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Form {
    socket: PathBuf,
    #[serde(default = "default_log_folder")]
    log_folder: PathBuf,
    #[serde(default)]
    seed: u64,
    psu_hold_up_milliseconds: Option<u64>,
    #[serde(default)]
    load_variation_permille: u64,
    variation_interval_seconds: Option<Seconds>,
    history_interval_seconds: Option<Seconds>,
    history_max_samples: Option<usize>,
    #[serde(default)]
    domain: Vec<DomainForm>,
    #[serde(default)]
    server: Vec<ServerForm>,
    #[serde(default)]
    reserve: Vec<ReserveForm>,
    #[serde(default)]
    line: Vec<LineForm>,
    #[serde(default)]
    agent: Vec<AgentForm>,
}

fn default_log_folder() -> PathBuf {
    PathBuf::from("logs")
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct DomainForm {
    name: String,
    present: Option<bool>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ServerForm {
    name: String,
    idle_watts: Watts,
    peak_watts: Watts,
    #[serde(default)]
    boot_seconds: Seconds,
    #[serde(default)]
    halt_seconds: Seconds,
    #[serde(default)]
    inlets: Vec<InletForm>,
    #[serde(default)]
    supplies: Vec<String>,
    starter: Option<String>,
    #[serde(default)]
    starts_with_mains: bool,
    #[serde(default)]
    fan_in: u32,
    #[serde(default)]
    initial: InitialPower,
    agent: Option<Vec<String>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct InletForm {
    domain: String,
    max_watts: Option<Watts>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ReserveForm {
    name: String,
    #[serde(default)]
    chemistry: Chemistry,
    capacity_wh: WattHours,
    charge_wh: Option<WattHours>,
    #[serde(default)]
    cutoff_wh: WattHours,
    max_discharge_watts: Watts,
    #[serde(default = "thousand")]
    efficiency_permille: u64,
    #[serde(default = "thousand")]
    peukert_permille: u64,
    #[serde(default)]
    reference_watts: Watts,
    #[serde(default)]
    recharge_watts: Watts,
    recharge_domain: Option<String>,
    #[serde(default)]
    fan_out: u32,
}

fn thousand() -> u64 {
    1_000
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct LineForm {
    name: String,
    reserves: Vec<String>,
    servers: Vec<String>,
    max_watts: Watts,
    #[serde(default = "thousand")]
    efficiency_permille: u64,
    #[serde(default)]
    switch_milliseconds: u64,
    #[serde(default)]
    mode: LineMode,
    #[serde(default)]
    changeover: Changeover,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct AgentForm {
    name: String,
    command: Vec<String>,
}

impl Form {
    fn plant(&self) -> PlantConfig {
        let default = PlantConfig::default();
        PlantConfig {
            seed: self.seed,
            psu_hold_up_millis: self
                .psu_hold_up_milliseconds
                .unwrap_or(default.psu_hold_up_millis),
            load_variation_permille: self.load_variation_permille,
            variation_interval_millis: self
                .variation_interval_seconds
                .map_or(default.variation_interval_millis, |s| s.0),
            history_interval_millis: self.history_interval_seconds.map_or(0, |s| s.0),
            history_max_samples: self.history_max_samples.unwrap_or(default.history_max_samples),
            domains: self.domain.iter().map(DomainForm::domain).collect(),
            servers: self.server.iter().map(ServerForm::server).collect(),
            reserves: self.reserve.iter().map(ReserveForm::reserve).collect(),
            lines: self.line.iter().map(LineForm::line).collect(),
        }
    }
}

impl DomainForm {
    fn domain(&self) -> DomainConfig {
        DomainConfig {
            name: self.name.clone(),
            present: self.present.unwrap_or(true),
        }
    }
}

impl ServerForm {
    fn server(&self) -> ServerConfig {
        let inlet = |inlet: &InletForm| InletConfig {
            domain: inlet.domain.clone(),
            // An inlet without a figure is as strong as it need be.
            max_milliwatts: inlet.max_watts.unwrap_or(self.peak_watts).0,
        };
        ServerConfig {
            name: self.name.clone(),
            idle_milliwatts: self.idle_watts.0,
            peak_milliwatts: self.peak_watts.0,
            boot_millis: self.boot_seconds.0,
            halt_millis: self.halt_seconds.0,
            inlets: self.inlets.iter().map(inlet).collect(),
            supplies: self.supplies.clone(),
            starter: self.starter.clone(),
            starts_with_mains: self.starts_with_mains,
            fan_in: self.fan_in,
            initial: self.initial,
        }
    }
}

impl ReserveForm {
    fn reserve(&self) -> ReserveConfig {
        ReserveConfig {
            name: self.name.clone(),
            chemistry: self.chemistry,
            capacity_millijoules: self.capacity_wh.0,
            charge_millijoules: self.charge_wh.unwrap_or(self.capacity_wh).0,
            cutoff_millijoules: self.cutoff_wh.0,
            max_discharge_milliwatts: self.max_discharge_watts.0,
            efficiency_permille: self.efficiency_permille,
            peukert_permille: self.peukert_permille,
            reference_milliwatts: self.reference_watts.0,
            recharge_milliwatts: self.recharge_watts.0,
            recharge_domain: self.recharge_domain.clone(),
            fan_out: self.fan_out,
        }
    }
}

impl LineForm {
    fn line(&self) -> LineConfig {
        LineConfig {
            name: self.name.clone(),
            reserves: self.reserves.clone(),
            servers: self.servers.clone(),
            max_milliwatts: self.max_watts.0,
            efficiency_permille: self.efficiency_permille,
            switch_millis: self.switch_milliseconds,
            mode: self.mode,
            changeover: self.changeover,
        }
    }
}

/// Milliwatts, written as watts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
struct Watts(u64);

/// Millijoules, written as watt-hours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
struct WattHours(u64);

/// Milliseconds, written as seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
struct Seconds(u64);

impl<'de> Deserialize<'de> for Watts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        quantity(deserializer, 1e3, "a number of watts, 0 or more").map(Watts)
    }
}

impl<'de> Deserialize<'de> for WattHours {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        quantity(deserializer, 3.6e6, "a number of watt-hours, 0 or more").map(WattHours)
    }
}

impl<'de> Deserialize<'de> for Seconds {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        quantity(deserializer, 1e3, "a number of seconds, 0 or more").map(Seconds)
    }
}

/// A whole or broken number of a unit, as a whole number of a smaller one.
fn quantity<'de, D: Deserializer<'de>>(
    deserializer: D,
    factor: f64,
    expected: &'static str,
) -> Result<u64, D::Error> {
    struct Number {
        factor: f64,
        expected: &'static str,
    }
    impl de::Visitor<'_> for Number {
        type Value = u64;

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str(self.expected)
        }

        fn visit_i64<E: de::Error>(self, number: i64) -> Result<u64, E> {
            // Exact below 2^53, and no plant has that many watts: its own limits are far lower.
            self.visit_f64(number as f64)
        }

        fn visit_u64<E: de::Error>(self, number: u64) -> Result<u64, E> {
            self.visit_f64(number as f64)
        }

        fn visit_f64<E: de::Error>(self, number: f64) -> Result<u64, E> {
            let scaled = (number * self.factor).round();
            if (0.0..1e18).contains(&scaled) {
                return Ok(scaled as u64);
            }
            Err(E::invalid_value(de::Unexpected::Float(number), &self))
        }
    }
    deserializer.deserialize_any(Number { factor, expected })
}
