use serde::{Deserialize, Serialize};

use super::{Name, ServerId};

/// Index of a reserve in [`Snapshot::reserves`](super::Snapshot::reserves).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ReserveId(pub u32);

/// Kind of the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Chemistry {
    /// Lead-acid battery.
    LeadAcid,
    /// Lithium battery.
    Lithium,
    /// Nickel battery.
    Nickel,
    /// Supercapacitor.
    Supercapacitor,
    /// Anything else.
    Other,
}

/// State of the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ReserveState {
    /// Neither charged nor drawn from.
    Idle,
    /// Being charged.
    Charging,
    /// Being drawn from.
    Discharging,
    /// It says of itself that it is low.
    Low,
    /// Nothing is left above the cut-off.
    Depleted,
    /// It cannot be used.
    Fault,
    /// Its state is not known; stale, not empty.
    Unknown,
}

/// Where the energy figures come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum FigureSource {
    /// Measured.
    Measured,
    /// Derived from charge, runtime and load.
    Estimated,
    /// Only a configured figure.
    Configured,
}

/// A store of energy that can power servers: a UPS with its battery (claims C10, C24).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reserve {
    /// Name, unique in the cluster.
    pub name: Name,
    /// The PEP that is its custodian.
    pub pep: Option<Name>,
    /// Kind of the store.
    pub chemistry: Chemistry,
    /// Energy of the full store, at its present health.
    pub capacity_millijoules: u64,
    /// Energy left now, already aged for staleness.
    pub charge_millijoules: u64,
    /// Energy that is never drawn.
    pub cutoff_millijoules: u64,
    /// Largest power that can be drawn.
    pub max_discharge_milliwatts: u64,
    /// Energy at the output for 1000 units drawn.
    pub efficiency_permille: u32,
    /// Exponent of the capacity at high discharge; 1000 for a linear store.
    pub peukert_permille: u32,
    /// Power before the inverter up to which the whole capacity can be drawn, and above which the exponent takes its part;
    /// 0 where it is not known (see [`Self::rated_milliwatts`]).
    #[serde(default)]
    pub reference_milliwatts: u64,
    /// State of the store.
    pub state: ReserveState,
    /// How many servers it may feed at one time; 0 means no limit.
    pub fan_out: u32,
    /// Where the figures come from.
    pub source: FigureSource,
    /// Simulated and real things are never pooled.
    pub simulated: bool,
    /// Both sides allow actuation; an unarmed reserve feeds its own servers only.
    pub armed: bool,
    /// Servers that it feeds without any line, sorted.
    pub feeds: Vec<ServerId>,
    /// Age of the figures.
    pub age_millis: u64,
}

impl Reserve {
    /// Energy that may be drawn from the store (before the inverter), or 0 where it cannot be used.
    ///
    /// One whose state is unknown is stale, not empty: its own servers go on with its last figure, aged, and nobody
    /// else counts on it. One that was never read holds nothing that is known of.
    pub fn drawable_millijoules(&self) -> u64 {
        match self.state {
            ReserveState::Fault => 0,
            _ => self.charge_millijoules.saturating_sub(self.cutoff_millijoules),
        }
    }

    /// The reference power of the exponent: the one that is told, or else the power that empties the full store in an hour,
    /// at which makers of UPS batteries commonly rate theirs.
    pub fn rated_milliwatts(&self) -> u64 {
        const HOUR_SECONDS: u64 = 3_600;
        match self.reference_milliwatts {
            0 => self.capacity_millijoules / HOUR_SECONDS,
            told => told,
        }
    }

    /// Energy at the output: [`Self::drawable_millijoules`] after the inverter, rounded down.
    pub fn usable_millijoules(&self) -> u64 {
        let output =
            u128::from(self.drawable_millijoules()) * u128::from(self.efficiency_permille.min(1000)) / 1000;
        // At most the input, which is a u64.
        u64::try_from(output).unwrap_or(u64::MAX)
    }
}
