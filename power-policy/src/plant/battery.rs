//! A reserve: its charge, its inverter, its non-linear battery.
//!
//! Energies are in microjoules here, because milliwatts times milliseconds are microjoules: every sum is exact.

use super::config::ReserveConfig;
use std::sync::Arc;

/// Share of the usable energy that a reserve at its cut-off must recharge before it gives again: 1 in this many, and
/// at least what one second of its largest output takes. Without this gap it would flutter at its cut-off.
const RESUME_SHARE: u64 = 100;
/// Cap of the drain that Peukert's law can give, so that absurd figures stay within 64 bits.
const MAX_DRAIN_MILLIWATTS: f64 = 1e15;

/// What a reserve gives at one output power, all in milliwatts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Discharge {
    /// At the inverter's output.
    pub(super) output: u64,
    /// At the battery's terminals: the output and the inverter's loss.
    pub(super) input: u64,
    /// By which the charge falls: the input and Peukert's loss.
    pub(super) drain: u64,
}

/// A reserve and its state.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Reserve {
    pub(super) name: Arc<str>,
    pub(super) config: ReserveConfig,
    pub(super) recharge_domain: Option<usize>,
    pub(super) capacity_uj: u64,
    pub(super) cutoff_uj: u64,
    pub(super) charge_uj: u64,
    /// Charge at which it gives again after it was at its cut-off.
    pub(super) resume_uj: u64,
    /// Reached its cut-off, and has not recharged enough since.
    pub(super) exhausted: bool,
    /// A fault hook: gives nothing, takes nothing.
    pub(super) failed: bool,
    /// A fault hook: how much of the energy it claims is there, in permille.
    pub(super) truth_permille: u64,
    /// What it gives now.
    pub(super) discharge: Discharge,
    /// What it recharges with now, in milliwatts.
    pub(super) recharge: u64,
    pub(super) drawn_uj: u64,
    pub(super) delivered_uj: u64,
    pub(super) recharged_uj: u64,
    memo: Discharge,
}

impl Reserve {
    pub(super) fn new(config: &ReserveConfig, recharge_domain: Option<usize>) -> Self {
        let charge_uj = config.charge_millijoules * 1_000;
        let cutoff_uj = config.cutoff_millijoules * 1_000;
        let capacity_uj = config.capacity_millijoules * 1_000;
        let usable = capacity_uj.saturating_sub(cutoff_uj);
        let one_second = discharge(config, config.max_discharge_milliwatts)
            .drain
            .saturating_mul(1_000);
        Reserve {
            name: config.name.as_str().into(),
            config: config.clone(),
            recharge_domain,
            capacity_uj,
            cutoff_uj,
            charge_uj,
            resume_uj: cutoff_uj + (usable / RESUME_SHARE).max(one_second).clamp(1, usable.max(1)),
            exhausted: charge_uj == cutoff_uj,
            failed: false,
            truth_permille: 1_000,
            discharge: Discharge::default(),
            recharge: 0,
            drawn_uj: 0,
            delivered_uj: 0,
            recharged_uj: 0,
            memo: Discharge::default(),
        }
    }

    /// Energy above the cut-off, in microjoules.
    pub(super) fn available_uj(&self) -> u64 {
        self.charge_uj.saturating_sub(self.cutoff_uj)
    }

    pub(super) fn gap_uj(&self) -> u64 {
        self.capacity_uj.saturating_sub(self.charge_uj)
    }

    /// What its output can carry now, in milliwatts.
    pub(super) fn spare_output(&self) -> u64 {
        if self.failed || self.exhausted {
            0
        } else {
            self.config.max_discharge_milliwatts
        }
    }

    /// The charge as the reserve itself says: one that is weaker than it says claims more than there is.
    pub(super) fn said_charge_uj(&self) -> u64 {
        let claimed = u128::from(self.available_uj()) * 1_000 / u128::from(self.truth_permille.max(1));
        let room = self.capacity_uj - self.cutoff_uj;
        self.cutoff_uj + u64::try_from(claimed).unwrap_or(u64::MAX).min(room)
    }

    /// Battery side of an output power; the last answer is kept, since most steps ask the same again.
    pub(super) fn discharge_at(&mut self, output: u64) -> Discharge {
        if output != self.memo.output {
            self.memo = discharge(&self.config, output);
        }
        self.memo
    }

    pub(super) fn pass(&mut self, millis: u64) {
        if self.discharge.drain > 0 {
            let drained = self.discharge.drain * millis;
            self.charge_uj -= drained;
            self.drawn_uj = self.drawn_uj.saturating_add(drained);
            self.delivered_uj = self.delivered_uj.saturating_add(self.discharge.output * millis);
        } else if self.recharge > 0 {
            let charged = self.recharge * millis;
            self.charge_uj += charged;
            self.recharged_uj = self.recharged_uj.saturating_add(charged);
        }
    }
}

/// Inverter and Peukert losses at one output power; rounded up, so that no energy comes from nowhere.
fn discharge(config: &ReserveConfig, output: u64) -> Discharge {
    let input = (output * 1_000).div_ceil(config.efficiency_permille);
    let reference = config.reference_milliwatts;
    if config.peukert_permille == 1_000 || input <= reference {
        return Discharge {
            output,
            input,
            drain: input,
        };
    }
    let exponent = (config.peukert_permille - 1_000) as f64 / 1_000.0;
    // The pure-Rust `libm` gives the same bits on every machine, which std's `powf` does not promise.
    let factor = libm::pow(input as f64 / reference as f64, exponent);
    let drain = libm::ceil(input as f64 * factor).min(MAX_DRAIN_MILLIWATTS) as u64;
    Discharge {
        output,
        input,
        drain: drain.max(input),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(efficiency_permille: u64, peukert_permille: u64) -> ReserveConfig {
        ReserveConfig {
            name: "r".into(),
            chemistry: Default::default(),
            capacity_millijoules: 1_000_000,
            charge_millijoules: 1_000_000,
            cutoff_millijoules: 0,
            max_discharge_milliwatts: 1_000_000,
            efficiency_permille,
            peukert_permille,
            reference_milliwatts: 100_000,
            recharge_milliwatts: 0,
            recharge_domain: None,
            fan_out: 0,
        }
    }

    #[test]
    fn a_linear_store_loses_only_in_its_inverter() {
        let d = discharge(&config(900, 1_000), 90_001);
        assert_eq!((d.input, d.drain), (100_002, 100_002));
    }

    #[test]
    fn peukert_takes_nothing_up_to_the_reference_power_and_follows_the_law_above() {
        let c = config(1_000, 1_250);
        assert_eq!(discharge(&c, 100_000).drain, 100_000);
        // 16 times the reference power: 16^0.25 = 2.
        assert_eq!(discharge(&c, 1_600_000).drain, 3_200_000);
    }

    #[test]
    fn absurd_figures_stay_in_range() {
        let mut c = config(1, 2_000);
        c.reference_milliwatts = 1;
        let d = discharge(&c, u64::from(u32::MAX));
        assert!(d.drain >= d.input && d.drain <= 1_000_000_000_000_000);
    }
}
