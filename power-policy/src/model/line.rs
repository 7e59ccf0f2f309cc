use serde::{Deserialize, Serialize};

use super::{Name, ReserveId, ServerId};

/// Index of a line in [`Snapshot::lines`](super::Snapshot::lines).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct LineId(pub u32);

/// Whether several members may be joined at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum LineMode {
    /// Any number of reserves and servers.
    Shared,
    /// One reserve and one server.
    Exclusive,
}

/// How a fed server lives through a change of the line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Changeover {
    /// Dual cord or DC bus: make before break.
    Parallel,
    /// Automatic transfer switch: a break no longer than the power supply's hold-up.
    Ats,
    /// The server's own UPS carries the gap.
    Bridge,
}

/// State of the switch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum LineState {
    /// Nothing joined.
    Open,
    /// Something joined.
    Closed,
    /// A change is under way.
    Moving,
    /// Stuck or unreadable: planned as it stands, never commanded.
    Fault,
}

/// What a line carries now: this reserve to this server, at most so many watts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Joined {
    /// The reserve that gives.
    pub reserve: ReserveId,
    /// The server that takes.
    pub server: ServerId,
    /// Largest power at the line's input.
    pub milliwatts: u64,
}

/// A power divert line of the switch matrix (claims C23, C27): any member reserve to any member server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// Name, unique in the cluster.
    pub name: Name,
    /// The PEP that is its custodian and can switch it.
    pub pep: Option<Name>,
    /// Largest power through the line, at its input, over all that is joined.
    pub max_milliwatts: u64,
    /// Power at the output for 1000 units put in.
    pub efficiency_permille: u32,
    /// Time that a change takes.
    pub switch_millis: u64,
    /// Whether several members may be joined at once.
    pub mode: LineMode,
    /// How a fed server lives through a change.
    pub changeover: Changeover,
    /// State of the switch.
    pub state: LineState,
    /// Member reserves, sorted.
    pub reserves: Vec<ReserveId>,
    /// Member servers, sorted.
    pub servers: Vec<ServerId>,
    /// What is joined now, sorted.
    pub joined: Vec<Joined>,
    /// Simulated and real things are never pooled.
    pub simulated: bool,
    /// Both sides allow actuation; an unarmed line is planned as it stands.
    pub armed: bool,
}
