//! What a plant is made of: the value it is built from, and its validation.
//!
//! Units stand in the names: milliwatts, millijoules, milliseconds, permille. Names are unique within their kind.

use super::limits;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// A whole plant: mains domains, servers, reserves, divert lines.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlantConfig {
    /// Seed of the variation of loads; the same seed gives the same loads, whatever is commanded.
    #[serde(default)]
    pub seed: u64,
    /// How long a server's power supply unit bridges missing power, in milliseconds.
    #[serde(default = "default_hold_up_millis")]
    pub psu_hold_up_millis: u64,
    /// By how much the draw of each activity varies around its figure, in permille; 0: not at all.
    #[serde(default)]
    pub load_variation_permille: u64,
    /// How long each draw lasts before it varies again, in milliseconds.
    #[serde(default = "default_variation_millis")]
    pub variation_interval_millis: u64,
    /// Interval of the history's samples in milliseconds; 0: no history.
    #[serde(default)]
    pub history_interval_millis: u64,
    /// Most samples that the history keeps.
    #[serde(default = "default_history_samples")]
    pub history_max_samples: usize,
    /// Mains feeders.
    #[serde(default)]
    pub domains: Vec<DomainConfig>,
    /// Managed machines.
    #[serde(default)]
    pub servers: Vec<ServerConfig>,
    /// Stores of energy.
    #[serde(default)]
    pub reserves: Vec<ReserveConfig>,
    /// Divert lines of the switch matrix.
    #[serde(default)]
    pub lines: Vec<LineConfig>,
}

/// 12 ms is what most power supply units hold at full load (policy.md section 11: 10 to 20 ms).
fn default_hold_up_millis() -> u64 {
    12
}
fn default_variation_millis() -> u64 {
    10_000
}
fn default_history_samples() -> usize {
    2_000
}
fn default_permille() -> u64 {
    1_000
}
fn default_true() -> bool {
    true
}

impl Default for PlantConfig {
    fn default() -> Self {
        PlantConfig {
            seed: 0,
            psu_hold_up_millis: default_hold_up_millis(),
            load_variation_permille: 0,
            variation_interval_millis: default_variation_millis(),
            history_interval_millis: 0,
            history_max_samples: default_history_samples(),
            domains: Vec::new(),
            servers: Vec::new(),
            reserves: Vec::new(),
            lines: Vec::new(),
        }
    }
}

/// A mains feeder, and whether it is live at the start.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DomainConfig {
    /// Name of the power domain.
    pub name: String,
    /// Whether its mains is present at the start.
    #[serde(default = "default_true")]
    pub present: bool,
}

/// A mains feed of a server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InletConfig {
    /// Name of the power domain that feeds it.
    pub domain: String,
    /// Largest power through this inlet, in milliwatts.
    pub max_milliwatts: u64,
}

/// Whether a server is on or off at the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InitialPower {
    /// On, ready for activities.
    #[default]
    On,
    /// Off by command: it draws nothing until it is started.
    Off,
}

/// A machine with its feeds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServerConfig {
    /// Name of the server.
    pub name: String,
    /// Draw with no activity running, in milliwatts.
    pub idle_milliwatts: u64,
    /// Largest draw, in milliwatts: what its activities want beyond it they do not get.
    pub peak_milliwatts: u64,
    /// Time from power on to ready, in milliseconds.
    #[serde(default)]
    pub boot_millis: u64,
    /// Time of a clean halt, in milliseconds.
    #[serde(default)]
    pub halt_millis: u64,
    /// Its mains feeds; two for a dual-corded machine.
    #[serde(default)]
    pub inlets: Vec<InletConfig>,
    /// Names of the reserves that feed it without a line.
    #[serde(default)]
    pub supplies: Vec<String>,
    /// Who can switch it on again (a PEP's name, which the plant only carries); without one a start is refused.
    #[serde(default)]
    pub starter: Option<String>,
    /// Whether it boots by itself when mains returns after it lost power.
    #[serde(default)]
    pub starts_with_mains: bool,
    /// How many reserves may feed it through lines at one time; 0: no limit.
    #[serde(default)]
    pub fan_in: u32,
    /// Power state at the start.
    #[serde(default)]
    pub initial: InitialPower,
}

/// Kind of a reserve's store (POWER-DIVERT-PIB, pwrReserveChemistry); the plant only carries it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Chemistry {
    /// Lead-acid.
    #[default]
    LeadAcid,
    /// Lithium of any kind.
    Lithium,
    /// Nickel of any kind.
    Nickel,
    /// Capacitors.
    Supercapacitor,
    /// Anything else.
    Other,
}

/// A store of energy behind an inverter.
///
/// Powers are measured at the inverter's output, energies in the battery. The battery gives
/// `input = output / efficiency`; above the reference power it loses `input * ((input / reference)^(peukert - 1) - 1)`
/// more, which is Peukert's law written for power.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReserveConfig {
    /// Name of the reserve.
    pub name: String,
    /// Kind of the store.
    #[serde(default)]
    pub chemistry: Chemistry,
    /// Energy of the full store, in millijoules.
    pub capacity_millijoules: u64,
    /// Energy at the start, in millijoules.
    pub charge_millijoules: u64,
    /// Energy that is never drawn, in millijoules.
    #[serde(default)]
    pub cutoff_millijoules: u64,
    /// Largest power at the inverter's output, in milliwatts, for all servers it feeds together.
    pub max_discharge_milliwatts: u64,
    /// Energy at the inverter's output for energy drawn, in permille.
    #[serde(default = "default_permille")]
    pub efficiency_permille: u64,
    /// Peukert's exponent in permille; 1000: a linear store.
    #[serde(default = "default_permille")]
    pub peukert_permille: u64,
    /// Power at the battery up to which the whole capacity is usable, in milliwatts; needed with an exponent over 1000.
    #[serde(default)]
    pub reference_milliwatts: u64,
    /// Power with which it recharges when its domain has mains and it feeds nothing, in milliwatts.
    #[serde(default)]
    pub recharge_milliwatts: u64,
    /// Power domain that it recharges from.
    #[serde(default)]
    pub recharge_domain: Option<String>,
    /// How many servers it may feed through lines at one time; 0: no limit.
    #[serde(default)]
    pub fan_out: u32,
}

/// Whether several members of a line may be joined at once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LineMode {
    /// Any members at once.
    #[default]
    Shared,
    /// One reserve and one server at a time; joining another pair takes the first one off.
    Exclusive,
}

/// How the fed server lives through a change of the line (design.md section 5).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Changeover {
    /// Make before break: what is taken off carries on until the switch is done.
    #[default]
    Parallel,
    /// A transfer switch: what is taken off is off at once; the gap must not outlast the PSU's hold-up.
    Ats,
    /// As `Ats`, and the gap is meant to be carried by the server's own supply.
    Bridge,
}

/// A power divert line: reserves in, servers out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LineConfig {
    /// Name of the line.
    pub name: String,
    /// Names of the reserves that can be joined to its input.
    pub reserves: Vec<String>,
    /// Names of the servers that can be joined to its output.
    pub servers: Vec<String>,
    /// Largest power at its input, in milliwatts, for all that passes through it.
    pub max_milliwatts: u64,
    /// Power at the output for power put in, in permille.
    #[serde(default = "default_permille")]
    pub efficiency_permille: u64,
    /// Time that a change takes, in milliseconds.
    #[serde(default)]
    pub switch_millis: u64,
    /// Whether several members may be joined at once.
    #[serde(default)]
    pub mode: LineMode,
    /// How the fed server lives through a change.
    #[serde(default)]
    pub changeover: Changeover,
}

/// What is wrong with a [`PlantConfig`], and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {problem}", self.place())]
pub struct ConfigError {
    /// List that the faulty entry stands in: `domains`, `servers`, `reserves`, `lines`, or empty for the plant itself.
    pub list: &'static str,
    /// Index of the entry in that list.
    pub index: usize,
    /// Key without its unit, such as `idle` for `idle_milliwatts`.
    pub key: &'static str,
    /// What is wrong, and what was expected.
    pub problem: String,
}

impl ConfigError {
    fn place(&self) -> String {
        if self.list.is_empty() {
            self.key.to_owned()
        } else {
            format!("{}[{}].{}", self.list, self.index, self.key)
        }
    }
}

/// Reports problems of one entry.
struct Entry {
    list: &'static str,
    index: usize,
}

impl Entry {
    fn fail<T>(&self, key: &'static str, problem: String) -> Result<T, ConfigError> {
        Err(ConfigError {
            list: self.list,
            index: self.index,
            key,
            problem,
        })
    }

    fn range(
        &self,
        key: &'static str,
        value: u64,
        low: u64,
        high: u64,
        unit: &str,
    ) -> Result<(), ConfigError> {
        if (low..=high).contains(&value) {
            return Ok(());
        }
        self.fail(key, format!("is {value} {unit}, expected {low} to {high}"))
    }

    fn count(&self, key: &'static str, value: usize, most: usize) -> Result<(), ConfigError> {
        if value <= most {
            return Ok(());
        }
        self.fail(key, format!("has {value} entries, expected at most {most}"))
    }

    /// All of `names` exist in `known`, and none stands twice.
    fn references<'a>(
        &self,
        key: &'static str,
        names: impl Iterator<Item = &'a str>,
        known: &BTreeMap<&str, usize>,
        kind: &str,
    ) -> Result<(), ConfigError> {
        let mut seen = BTreeSet::new();
        for name in names {
            if !known.contains_key(name) {
                return self.fail(
                    key,
                    format!("names {name:?}, but there is no {kind} of that name"),
                );
            }
            if !seen.insert(name) {
                return self.fail(key, format!("names {name:?} twice"));
            }
        }
        Ok(())
    }
}

/// Checks a name as the wire defines it: 1 to 64 octets, no control characters.
pub(super) fn check_name(name: &str) -> Result<(), String> {
    if name.is_empty() || name.len() > limits::MAX_NAME_OCTETS {
        return Err(format!(
            "name of {} octets, expected 1 to {}",
            name.len(),
            limits::MAX_NAME_OCTETS
        ));
    }
    if name.chars().any(char::is_control) {
        return Err(format!("name {name:?} holds a control character"));
    }
    Ok(())
}

fn unique<'a>(
    list: &'static str,
    names: impl Iterator<Item = &'a str>,
    most: usize,
) -> Result<BTreeMap<&'a str, usize>, ConfigError> {
    let mut known = BTreeMap::new();
    for (index, name) in names.enumerate() {
        let entry = Entry { list, index };
        if index >= most {
            return entry.fail("name", format!("is one too many, expected at most {most} {list}"));
        }
        check_name(name).or_else(|problem| entry.fail("name", problem))?;
        if known.insert(name, index).is_some() {
            return entry.fail("name", format!("{name:?} is taken already"));
        }
    }
    Ok(known)
}

impl PlantConfig {
    /// Checks every reference and every bound.
    ///
    /// # Errors
    /// The first problem found, with the list, the entry and the key it is in.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let plant = Entry { list: "", index: 0 };
        plant.range(
            "psu_hold_up",
            self.psu_hold_up_millis,
            0,
            limits::MAX_HOLD_UP_MILLIS,
            "ms",
        )?;
        plant.range(
            "load_variation_permille",
            self.load_variation_permille,
            0,
            1_000,
            "permille",
        )?;
        let (low, high) = (limits::MIN_VARIATION_MILLIS, limits::MAX_TRANSITION_MILLIS);
        plant.range(
            "variation_interval",
            self.variation_interval_millis,
            low,
            high,
            "ms",
        )?;
        plant.range("history_interval", self.history_interval_millis, 0, high, "ms")?;
        let samples = self.history_max_samples as u64;
        plant.range(
            "history_max_samples",
            samples,
            2,
            limits::MAX_SAMPLES as u64,
            "samples",
        )?;

        let domains = unique(
            "domains",
            self.domains.iter().map(|d| d.name.as_str()),
            limits::MAX_DOMAINS,
        )?;
        let servers = unique(
            "servers",
            self.servers.iter().map(|s| s.name.as_str()),
            limits::MAX_SERVERS,
        )?;
        let reserves = unique(
            "reserves",
            self.reserves.iter().map(|r| r.name.as_str()),
            limits::MAX_RESERVES,
        )?;
        unique(
            "lines",
            self.lines.iter().map(|l| l.name.as_str()),
            limits::MAX_LINES,
        )?;
        for (index, server) in self.servers.iter().enumerate() {
            server.validate(
                &Entry {
                    list: "servers",
                    index,
                },
                &domains,
                &reserves,
            )?;
        }
        for (index, reserve) in self.reserves.iter().enumerate() {
            reserve.validate(
                &Entry {
                    list: "reserves",
                    index,
                },
                &domains,
            )?;
        }
        for (index, line) in self.lines.iter().enumerate() {
            line.validate(&Entry { list: "lines", index }, &servers, &reserves)?;
        }
        Ok(())
    }
}

impl ServerConfig {
    fn validate(
        &self,
        entry: &Entry,
        domains: &BTreeMap<&str, usize>,
        reserves: &BTreeMap<&str, usize>,
    ) -> Result<(), ConfigError> {
        entry.range("peak", self.peak_milliwatts, 0, limits::MAX_MILLIWATTS, "mW")?;
        if self.idle_milliwatts > self.peak_milliwatts {
            let (idle, peak) = (self.idle_milliwatts, self.peak_milliwatts);
            return entry.fail(
                "idle",
                format!("is {idle} mW, expected at most the peak of {peak} mW"),
            );
        }
        entry.range("boot", self.boot_millis, 0, limits::MAX_TRANSITION_MILLIS, "ms")?;
        entry.range("halt", self.halt_millis, 0, limits::MAX_TRANSITION_MILLIS, "ms")?;
        entry.count("inlets", self.inlets.len(), limits::MAX_INLETS)?;
        entry.references(
            "inlets",
            self.inlets.iter().map(|i| i.domain.as_str()),
            domains,
            "domain",
        )?;
        for inlet in &self.inlets {
            entry.range("inlets", inlet.max_milliwatts, 0, limits::MAX_MILLIWATTS, "mW")?;
        }
        entry.count("supplies", self.supplies.len(), limits::MAX_SUPPLIES)?;
        entry.references(
            "supplies",
            self.supplies.iter().map(String::as_str),
            reserves,
            "reserve",
        )?;
        if let Some(starter) = &self.starter {
            check_name(starter).or_else(|problem| entry.fail("starter", problem))?;
        }
        Ok(())
    }
}

impl ReserveConfig {
    fn validate(&self, entry: &Entry, domains: &BTreeMap<&str, usize>) -> Result<(), ConfigError> {
        entry.range(
            "capacity",
            self.capacity_millijoules,
            0,
            limits::MAX_CAPACITY_MILLIJOULES,
            "mJ",
        )?;
        entry.range(
            "cutoff",
            self.cutoff_millijoules,
            0,
            self.capacity_millijoules,
            "mJ",
        )?;
        entry.range(
            "charge",
            self.charge_millijoules,
            self.cutoff_millijoules,
            self.capacity_millijoules,
            "mJ",
        )?;
        entry.range(
            "max_discharge",
            self.max_discharge_milliwatts,
            0,
            limits::MAX_MILLIWATTS,
            "mW",
        )?;
        entry.range("efficiency", self.efficiency_permille, 1, 1_000, "permille")?;
        entry.range("peukert", self.peukert_permille, 1_000, 2_000, "permille")?;
        let low = u64::from(self.peukert_permille > 1_000);
        entry.range(
            "reference",
            self.reference_milliwatts,
            low,
            limits::MAX_MILLIWATTS,
            "mW",
        )?;
        entry.range(
            "recharge",
            self.recharge_milliwatts,
            0,
            limits::MAX_MILLIWATTS,
            "mW",
        )?;
        entry.references(
            "recharge_domain",
            self.recharge_domain.iter().map(String::as_str),
            domains,
            "domain",
        )?;
        if self.recharge_milliwatts > 0 && self.recharge_domain.is_none() {
            return entry.fail(
                "recharge_domain",
                "is missing, expected with a recharge power".to_owned(),
            );
        }
        Ok(())
    }
}

impl LineConfig {
    fn validate(
        &self,
        entry: &Entry,
        servers: &BTreeMap<&str, usize>,
        reserves: &BTreeMap<&str, usize>,
    ) -> Result<(), ConfigError> {
        entry.references(
            "reserves",
            self.reserves.iter().map(String::as_str),
            reserves,
            "reserve",
        )?;
        entry.references(
            "servers",
            self.servers.iter().map(String::as_str),
            servers,
            "server",
        )?;
        entry.range("max", self.max_milliwatts, 0, limits::MAX_MILLIWATTS, "mW")?;
        entry.range("efficiency", self.efficiency_permille, 1, 1_000, "permille")?;
        entry.range(
            "switch",
            self.switch_millis,
            0,
            limits::MAX_TRANSITION_MILLIS,
            "ms",
        )
    }
}
