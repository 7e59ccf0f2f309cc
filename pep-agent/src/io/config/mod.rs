//! The agent's file: TOML in, a checked [`AgentConfig`] out.
//!
//! Unknown keys are errors, quantities carry their unit in the key, and every error names the file, the line, the key
//! and what was expected. Relative paths are taken from the folder of the file. Commented examples stand in
//! `pep-agent/examples`.

mod activities;
mod check;
#[cfg(test)]
mod device_tests;
mod form;
mod lines;
mod nut;
mod pdp;
mod plant;
mod redfish;
mod reserves;
mod servers;
mod snmp;
#[cfg(test)]
mod tests;
mod transfer;

pub(crate) use self::check::sole_ups;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use power_policy::model::Name;
use power_policy::plant::PlantConfig;

use tokio_rustls::rustls::pki_types::{InvalidDnsNameError, ServerName};

use crate::drivers::cgroup::{CgroupRoot, StopBy, Which};
use crate::drivers::command::CommandActivity;
use crate::drivers::exec::ExecProgram;
use crate::drivers::host::wake_on_lan::WakeOnLan;
use crate::drivers::nut::{NutFigures, NutServer, OutletFacts};
use crate::drivers::power_supply::PowerSupplyFigures;
use crate::drivers::process::{Pattern, StartCommand};
use crate::drivers::redfish::RedfishAccess;
use crate::drivers::snmp::{SnmpDevice, SnmpOutletFacts};
use crate::drivers::systemd::Bus;
use crate::drivers::transfer_switch::Inputs;
use crate::engine::facts::{ActivityFacts, ActivityKey, LineFacts, ReserveFacts, Role, ServerFacts, Witness};
use crate::io::toml_file::{TomlError, TomlFile};

/// Everything the file says, checked.
#[derive(Debug, Clone)]
pub struct AgentConfig {
    /// Name of the agent: its PEPID (`[agent] name`).
    pub name: Name,
    /// Where it keeps what it must not forget (`[agent] state_dir`).
    pub state_dir: PathBuf,
    /// Where `status` and `arm` find it (`[agent] socket`, by default `agent.sock` in the state folder).
    pub socket: PathBuf,
    /// Whether it actuates as long as nobody has said otherwise by `arm` or `disarm` (`[agent] mode`).
    pub armed: bool,
    /// Its PDP (`[pdp]`).
    pub pdp: PdpEntry,
    /// Message Integrity (`[integrity]`); `None`: not asked for.
    pub integrity: Option<IntegrityEntry>,
    /// COPS over TLS (`[tls]`); `None`: not asked for.
    pub tls: Option<TlsEntry>,
    /// Where the simulated things are.
    pub plant: PlantEntry,
    /// `[[server]]`.
    pub servers: Vec<ServerEntry>,
    /// `[[domain]]`: mains that are seen without a reserve.
    pub domains: Vec<(Name, Witness)>,
    /// `[[reserve]]`.
    pub reserves: Vec<ReserveEntry>,
    /// `[[line]]`.
    pub lines: Vec<LineEntry>,
    /// `[[activity]]` and `[[manage]]`.
    pub activities: Vec<ActivityEntry>,
    /// `[deny]`: whether the defaults stand on it.
    pub deny_defaults: bool,
    /// `[deny]`: what is added.
    pub deny: Vec<Pattern>,
}

/// `[pdp]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PdpEntry {
    /// Its PDPs, `host:port` each, in the order of preference: not empty. The last one connected to is tried first, then
    /// these (RFC 2748 2.3).
    pub addresses: Vec<String>,
    /// A PDP may send this agent to another one of `addresses` or `redirect_addresses` (RFC 2748 3.8).
    pub follow_redirects: bool,
    /// PDPs that are not tried by themselves, and that a redirect may lead to.
    pub redirect_addresses: Vec<String>,
    /// Plain COPS may go to an address that is not loopback.
    pub allow_plain: bool,
    /// How long the plan is kept without a PDP.
    pub plan_ttl: Duration,
    /// How often readings are sent, where the PDP does not ask for less.
    pub reading_interval: Duration,
    /// What the wait between attempts to connect grows to.
    pub retry_max: Duration,
}

/// `[tls]`: RFC 4261.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsEntry {
    /// A PDP without it is not used. If not, one that says that it has none is spoken to in plain.
    pub required: bool,
    /// This agent's certificate, and those of intermediate authorities, in PEM. Its name is one of it.
    pub certificate: PathBuf,
    /// Its private key, in PEM, which only its owner may use.
    pub key: PathBuf,
    /// The authorities that certify PDPs, in PEM.
    pub authorities: PathBuf,
    /// Under which name a PDP is certified that is known by another one, or by an address: also one that a redirect leads
    /// to.
    pub names: BTreeMap<String, String>,
}

impl TlsEntry {
    /// The name that the PDP at this host has to be certified for.
    ///
    /// # Errors
    /// It can be nobody's.
    pub fn name_of(&self, host: &str) -> Result<ServerName<'static>, InvalidDnsNameError> {
        let bare = bare(host);
        let named = self.names.get(bare).map_or(bare, String::as_str);
        cops_codec::tls::pdp_name(named)
    }

    /// Whether `names` says for whom the PDP at this host is certified.
    pub fn has_name_for(&self, host: &str) -> bool {
        self.names.contains_key(bare(host))
    }
}

/// An IPv6 address without its brackets; anything else as it is.
fn bare(host: &str) -> &str {
    host.trim_start_matches('[').trim_end_matches(']')
}

/// `[integrity]`: RFC 2748 4.1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IntegrityEntry {
    /// A PDP without it is not used. If not, one that does not offer it is connected to without.
    pub required: bool,
    /// The file of the keys shared with the PDPs, which only its owner may use.
    pub keys: PathBuf,
}

impl PdpEntry {
    /// The place of an address in the list, where that can be told without looking names up.
    pub fn place_of(&self, address: std::net::SocketAddr) -> Option<usize> {
        self.addresses.iter().position(|known| {
            known
                .parse::<std::net::SocketAddr>()
                .is_ok_and(|known| (known.ip(), known.port()) == (address.ip(), address.port()))
        })
    }
}

/// Where the simulated things are.
#[derive(Debug, Clone)]
pub enum PlantEntry {
    /// Nothing is simulated.
    None,
    /// In the plant behind this socket, whose figures count.
    Shared(PathBuf),
    /// In a plant of the agent's own, made of the file's figures.
    Private(Box<PlantConfig>),
}

/// A server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerEntry {
    /// Its name.
    pub name: Name,
    /// Whether it is simulated.
    pub simulated: bool,
    /// How the machine itself is halted, if it may be.
    pub halt: Option<Vec<String>>,
    /// The folder of its counters of power, and what they do not see, in milliwatts.
    pub rapl: Option<(PathBuf, u32)>,
    /// Draws of its processes and control groups follow from its measured power.
    pub measure_draws: bool,
    /// The program that reads and switches it, if there is one.
    pub program: Option<ExecProgram>,
    /// The Redfish service, and its path there, by which it is read and switched.
    pub redfish: Option<(RedfishAccess, String)>,
    /// How it is woken over the network.
    pub wake_on_lan: Option<WakeOnLan>,
    /// Whose figures count.
    pub role: Role,
    /// Processor capacity, which no plant knows, in thousandths of a core.
    pub cpu_millicores: u32,
    /// Memory capacity, which no plant knows, in mebibytes.
    pub memory_mebibytes: u32,
    /// Its figures; `None` where the shared plant has them.
    pub facts: Option<ServerFacts>,
}

/// How a reserve is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReserveSource {
    /// From the plant.
    Simulated,
    /// From a NUT server.
    Nut {
        /// The NUT server.
        server: NutServer,
        /// Name of the UPS there.
        ups: String,
        /// What the file says of it.
        figures: NutFigures,
    },
    /// From the kernel.
    PowerSupply {
        /// The folder of power supplies.
        class: PathBuf,
        /// The battery.
        device: String,
        /// The adapter that tells of mains; without one, all of the machine's.
        adapter: Option<String>,
        /// What the file says of it.
        figures: PowerSupplyFigures,
    },
    /// From a program.
    Exec(ExecProgram),
}

/// A reserve.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReserveEntry {
    /// Its name.
    pub name: Name,
    /// How it is read.
    pub source: ReserveSource,
    /// Whose figures count.
    pub role: Role,
    /// The domain that its input hangs on, and how much its sight tells, if the file says so.
    pub mains: Option<(Name, Witness)>,
    /// Its figures; `None` where the shared plant has them.
    pub facts: Option<ReserveFacts>,
    /// How often it is read, in real time.
    pub poll: Duration,
    /// Age from which a reading is stale, in real time.
    pub stale: Duration,
}

/// How a line is read and switched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LineSource {
    /// In the plant.
    Simulated,
    /// An outlet that a NUT server knows.
    NutOutlet(OutletFacts),
    /// An outlet of a PDU that speaks SNMP.
    SnmpOutlet(Box<SnmpOutletFacts>),
    /// A transfer switch that speaks SNMP.
    SnmpTransfer {
        /// The switch.
        device: SnmpDevice,
        /// What stands at its inputs.
        inputs: Inputs,
        /// How long a transfer may take.
        limit: Duration,
    },
    /// An outlet behind a Redfish service.
    RedfishOutlet {
        /// The service.
        service: RedfishAccess,
        /// The outlet's path.
        path: String,
        /// How long it may take to follow.
        limit: Duration,
    },
    /// A transfer switch behind a Redfish service.
    RedfishTransfer {
        /// The service.
        service: RedfishAccess,
        /// The switch's path.
        path: String,
        /// What stands at its inputs.
        inputs: Inputs,
        /// How long a transfer may take.
        limit: Duration,
    },
    /// By a program.
    Exec(ExecProgram),
}

/// A line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LineEntry {
    /// Its name.
    pub name: Name,
    /// How it is read and switched.
    pub source: LineSource,
    /// How often a real one is read.
    pub poll: Duration,
    /// Whether this agent can switch it.
    pub role: Role,
    /// Its figures; `None` where the shared plant has them.
    pub facts: Option<LineFacts>,
}

/// How an activity is stopped and started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ActivitySource {
    /// In the plant.
    Simulated {
        /// Whether it runs from the plant's start.
        running: bool,
    },
    /// By commands.
    Command(CommandActivity),
    /// By a program.
    Exec(ExecProgram),
    /// As a unit of systemd.
    Systemd {
        /// Where systemd is found.
        bus: Bus,
        /// The unit.
        unit: String,
    },
    /// As a control group.
    Cgroup {
        /// Where control groups are found.
        root: CgroupRoot,
        /// Which one.
        which: Which,
        /// How it is stopped.
        stop_by: StopBy,
    },
    /// As processes.
    Process {
        /// Which ones.
        pattern: Box<Pattern>,
        /// How they are started.
        start: Option<StartCommand>,
    },
}

/// An activity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActivityEntry {
    /// Its name and server.
    pub key: ActivityKey,
    /// Its figures.
    pub facts: ActivityFacts,
    /// How it is stopped and started.
    pub source: ActivitySource,
}

impl AgentConfig {
    /// Reads and checks an agent's file.
    ///
    /// # Errors
    /// The first fault, with file, line, key and what was expected.
    pub fn read(file: &Path) -> Result<Self, TomlError> {
        check::check(&TomlFile::read(file)?, file)
    }

    /// Checks the text of an agent's file.
    ///
    /// # Errors
    /// As [`AgentConfig::read`].
    pub fn from_text(file: &Path, text: &str) -> Result<Self, TomlError> {
        check::check(&TomlFile::from_text(file, text), file)
    }

    /// Names of what is real here; a clock scale is refused with any of it.
    pub fn real_things(&self) -> Vec<String> {
        let servers = self
            .servers
            .iter()
            .filter(|s| !s.simulated)
            .map(|s| format!("server {}", s.name));
        let reserves = self
            .reserves
            .iter()
            .filter(|r| r.source != ReserveSource::Simulated)
            .map(|r| format!("reserve {}", r.name));
        let lines = self
            .lines
            .iter()
            .filter(|l| l.source != LineSource::Simulated)
            .map(|l| format!("line {}", l.name));
        let activities = self
            .activities
            .iter()
            .filter(|a| !matches!(a.source, ActivitySource::Simulated { .. }))
            .map(|a| format!("activity {}", a.key.activity));
        servers.chain(reserves).chain(lines).chain(activities).collect()
    }
}
