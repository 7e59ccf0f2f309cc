use serde::{Deserialize, Serialize};

use super::{DomainId, Mains, Name};

/// Index of a server in [`Snapshot::servers`](super::Snapshot::servers).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ServerId(pub u32);

/// Whether a server has power, as far as is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Powered {
    /// It runs, and its PEP reports.
    On,
    /// It was told to switch off, and is expected to be off.
    OffCommanded,
    /// A witness (its starter) sees it off.
    OffSeen,
    /// Nobody can tell: counted as running at full watts, not copied, its lines not switched.
    Unreachable,
}

impl Powered {
    /// The only two states that free capacity and permit starting its movable sets elsewhere.
    pub fn is_off(self) -> bool {
        matches!(self, Self::OffCommanded | Self::OffSeen)
    }
}

/// A mains feed of a server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inlet {
    /// The mains domain behind it.
    pub domain: DomainId,
    /// Largest power through it.
    pub max_milliwatts: u64,
}

/// A managed machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Server {
    /// Name, unique in the cluster.
    pub name: Name,
    /// The PEP that reports it as custodian, if one is known.
    pub pep: Option<Name>,
    /// Draw with no activity running.
    pub idle_milliwatts: u64,
    /// Largest draw it can reach.
    pub peak_milliwatts: u64,
    /// Processor capacity, in thousandths of a core.
    pub cpu_millicores: u64,
    /// Memory capacity.
    pub memory_mebibytes: u64,
    /// Whether it has power.
    pub powered: Powered,
    /// Its mains as judged by the interruption engine, over all inlets; a commanded interruption makes it absent.
    pub mains: Mains,
    /// Mains feeds.
    pub inlets: Vec<Inlet>,
    /// Time from power on to ready.
    pub boot_millis: u64,
    /// Energy of a boot above idle.
    pub boot_millijoules: u64,
    /// Time of a clean halt.
    pub halt_millis: u64,
    /// Energy of a clean halt, in all.
    pub halt_millijoules: u64,
    /// PEP that can switch it on again; without one it is never switched off by plan.
    pub starter: Option<Name>,
    /// Its PEP is custodian of a reserve or line: it goes to standby, never off.
    pub custodian_in_use: bool,
    /// How many reserves may feed it at one time; 0 means no limit.
    pub fan_in: u32,
    /// Simulated and real things are never pooled.
    pub simulated: bool,
    /// Both sides allow actuation. An unarmed server's load is fixed: it is counted, and nothing on it is touched.
    pub armed: bool,
    /// Measured draw, if a reading is fresh enough to count.
    pub measured_milliwatts: Option<u64>,
    /// Age of the last report of its PEP.
    pub age_millis: u64,
}

impl Server {
    /// Whether a plan may switch it off: someone can start it again, and it takes no needed custodian with it.
    pub fn may_switch_off(&self) -> bool {
        self.armed && self.starter.is_some() && !self.custodian_in_use
    }
}
