//! The energy ledger: where every joule came from and went to.

use super::Plant;
use serde::{Deserialize, Serialize};

/// Powers by kind at one instant, in milliwatts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Powers {
    pub(super) mains: u64,
    pub(super) drawn: u64,
    pub(super) recharged: u64,
    pub(super) inverter_loss: u64,
    pub(super) peukert_loss: u64,
    pub(super) line_loss: u64,
    pub(super) boot: u64,
    pub(super) halt: u64,
    pub(super) idle: u64,
    pub(super) activities: u64,
}

/// Energies by kind since the start, in microjoules: exact sums of milliwatts times milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Energies {
    mains: u128,
    drawn: u128,
    recharged: u128,
    inverter_loss: u128,
    peukert_loss: u128,
    line_loss: u128,
    boot: u128,
    halt: u128,
    idle: u128,
    activities: u128,
    /// Charge at the start.
    pub(super) initial: u128,
    /// Charge that a weakened reserve turned out not to have.
    pub(super) never_there: u128,
}

impl Energies {
    pub(super) fn pass(&mut self, powers: &Powers, millis: u64) {
        let energy = |milliwatts: u64| u128::from(milliwatts) * u128::from(millis);
        self.mains += energy(powers.mains);
        self.drawn += energy(powers.drawn);
        self.recharged += energy(powers.recharged);
        self.inverter_loss += energy(powers.inverter_loss);
        self.peukert_loss += energy(powers.peukert_loss);
        self.line_loss += energy(powers.line_loss);
        self.boot += energy(powers.boot);
        self.halt += energy(powers.halt);
        self.idle += energy(powers.idle);
        self.activities += energy(powers.activities);
    }
}

/// What one reserve gave and took, in millijoules.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReserveAccount {
    /// The reserve.
    pub reserve: String,
    /// By which its charge fell: output, inverter loss and Peukert's loss.
    pub drawn_millijoules: u64,
    /// What came out of its inverter.
    pub delivered_millijoules: u64,
    /// What it was recharged with.
    pub recharged_millijoules: u64,
    /// What is left, below the cut-off included.
    pub left_millijoules: u64,
}

/// Energies of the whole plant since its start, in millijoules, each rounded to the nearest.
///
/// Two balances hold. In the plant itself they are exact ([`Plant::residual_microjoules`] is 0); among these rounded
/// figures they hold to [`Ledger::ROUNDING_MILLIJOULES`]:
///
/// - mains + drawn = recharged + inverter loss + Peukert loss + line loss + boot + halt + idle + activities
/// - initial charge + recharged = drawn + never there + left
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ledger {
    /// Instant of the plant's time that this is the state of, in milliseconds.
    pub at_millis: u64,
    /// From all mains inlets, recharging included.
    pub mains_millijoules: u64,
    /// Out of the batteries of all reserves.
    pub drawn_millijoules: u64,
    /// Into the batteries of all reserves.
    pub recharged_millijoules: u64,
    /// Lost in inverters.
    pub inverter_loss_millijoules: u64,
    /// Lost in batteries above their reference power.
    pub peukert_loss_millijoules: u64,
    /// Lost in divert lines.
    pub line_loss_millijoules: u64,
    /// Drawn by booting servers.
    pub boot_millijoules: u64,
    /// Drawn by halting servers.
    pub halt_millijoules: u64,
    /// Served as idle draw of servers that are on.
    pub idle_millijoules: u64,
    /// Served to activities.
    pub activities_millijoules: u64,
    /// Charge of all reserves at the start.
    pub initial_millijoules: u64,
    /// Charge that weakened reserves turned out not to have (a fault hook).
    pub never_there_millijoules: u64,
    /// Charge of all reserves now.
    pub left_millijoules: u64,
    /// The same by reserve, in the order of the configuration.
    pub reserves: Vec<ReserveAccount>,
}

impl Ledger {
    /// Largest amount by which the balances of the rounded figures may be off: half a millijoule a term.
    pub const ROUNDING_MILLIJOULES: u64 = 7;

    /// By how much the two balances of these rounded figures are off, in millijoules.
    pub fn residual_millijoules(&self) -> u64 {
        let sum = |terms: &[u64]| terms.iter().map(|term| i128::from(*term)).sum::<i128>();
        let powers = sum(&[self.mains_millijoules, self.drawn_millijoules])
            - sum(&[
                self.recharged_millijoules,
                self.inverter_loss_millijoules,
                self.peukert_loss_millijoules,
                self.line_loss_millijoules,
                self.boot_millijoules,
                self.halt_millijoules,
                self.idle_millijoules,
                self.activities_millijoules,
            ]);
        let charges = sum(&[self.initial_millijoules, self.recharged_millijoules])
            - sum(&[
                self.drawn_millijoules,
                self.never_there_millijoules,
                self.left_millijoules,
            ]);
        u64::try_from(powers.abs() + charges.abs()).unwrap_or(u64::MAX)
    }
}

fn millijoules(microjoules: u128) -> u64 {
    u64::try_from((microjoules + 500) / 1_000).unwrap_or(u64::MAX)
}

impl Plant {
    /// The energies of the plant up to now.
    pub fn ledger(&self) -> Ledger {
        let e = &self.energies;
        Ledger {
            at_millis: self.now,
            mains_millijoules: millijoules(e.mains),
            drawn_millijoules: millijoules(e.drawn),
            recharged_millijoules: millijoules(e.recharged),
            inverter_loss_millijoules: millijoules(e.inverter_loss),
            peukert_loss_millijoules: millijoules(e.peukert_loss),
            line_loss_millijoules: millijoules(e.line_loss),
            boot_millijoules: millijoules(e.boot),
            halt_millijoules: millijoules(e.halt),
            idle_millijoules: millijoules(e.idle),
            activities_millijoules: millijoules(e.activities),
            initial_millijoules: millijoules(e.initial),
            never_there_millijoules: millijoules(e.never_there),
            left_millijoules: millijoules(self.left_microjoules()),
            reserves: self
                .reserves
                .iter()
                .map(|reserve| ReserveAccount {
                    reserve: reserve.name.to_string(),
                    drawn_millijoules: millijoules(reserve.drawn_uj.into()),
                    delivered_millijoules: millijoules(reserve.delivered_uj.into()),
                    recharged_millijoules: millijoules(reserve.recharged_uj.into()),
                    left_millijoules: millijoules(reserve.charge_uj.into()),
                })
                .collect(),
        }
    }

    /// By how much the exact balances of the ledger are off, in microjoules. It is 0: anything else is a defect.
    pub fn residual_microjoules(&self) -> u128 {
        let e = &self.energies;
        let sources = e.mains + e.drawn;
        let losses = e.inverter_loss + e.peukert_loss + e.line_loss;
        let sinks = e.recharged + losses + e.boot + e.halt + e.idle + e.activities;
        let had = e.initial + e.recharged;
        let has = e.drawn + e.never_there + self.left_microjoules();
        sources.abs_diff(sinks) + had.abs_diff(has)
    }

    pub(super) fn left_microjoules(&self) -> u128 {
        self.reserves
            .iter()
            .map(|reserve| u128::from(reserve.charge_uj))
            .sum()
    }
}
