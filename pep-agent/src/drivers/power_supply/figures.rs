//! From the files of a battery to a reading.
//!
//! Joules are `energy_now`, else `charge_now` times the lowest design voltage; where `capacity` (percent) times the full
//! energy is less, that counts, because two figures of one device that contradict each other are both doubted, against
//! ourselves. Full is `energy_full`, else `charge_full` times the voltage, else the file's capacity times its health.
//! Power is `power_now`, else current times voltage, else a figure of the agent's file.

use std::collections::BTreeMap;

use power_policy::model::{FigureSource, Mains, ReserveState};

use super::attributes::SuppliesRead;
use crate::engine::facts::ReserveReading;

/// Joules of a microwatt-hour.
const JOULES_PER_MICROWATT_HOUR: f64 = 0.0036;
/// Joules of a microampere-hour at a microvolt.
const JOULES_PER_MICRO_MICRO: f64 = 3600.0 / 1e12;

/// What the agent's file says of a battery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PowerSupplyFigures {
    /// Energy of the full battery when it was new, in joules.
    pub capacity_joules: u64,
    /// What is left of that where the battery does not say, permille.
    pub health_permille: u32,
    /// Energy that is never drawn, in joules.
    pub cutoff_joules: u64,
    /// Load, in milliwatts, where the battery measures none.
    pub load_milliwatts: Option<u32>,
}

impl PowerSupplyFigures {
    /// A reading made of what the files say.
    pub fn reading(&self, read: &SuppliesRead) -> ReserveReading {
        let values = Values(&read.battery);
        let voltage = values
            .positive("voltage_min_design")
            .or(values.positive("voltage_now"));
        let joules = |energy: &str, charge: &str| {
            let by_energy = values.number(energy).map(|uwh| uwh * JOULES_PER_MICROWATT_HOUR);
            by_energy.or_else(|| Some(values.number(charge)? * voltage? * JOULES_PER_MICRO_MICRO))
        };
        let of_file = self.capacity_joules as f64 * f64::from(self.health_permille) / 1_000.0;
        let full = joules("energy_full", "charge_full")
            .filter(|full| *full >= 1.0)
            .unwrap_or(of_file);
        let gauge = joules("energy_now", "charge_now");
        let by_percent = values
            .number("capacity")
            .filter(|percent| *percent <= 100.0)
            .map(|percent| full * percent / 100.0);
        let (charge, source, mut note) = match (gauge, by_percent) {
            (Some(gauge), Some(percent)) if percent < gauge => (
                Some(percent),
                FigureSource::Estimated,
                "capacity x full energy, less than the gauge says",
            ),
            (Some(gauge), _) => (
                Some(gauge.min(full)),
                FigureSource::Measured,
                "the battery's gauge",
            ),
            (None, Some(percent)) => (Some(percent), FigureSource::Estimated, "capacity x full energy"),
            (None, None) => (
                None,
                FigureSource::Configured,
                "neither energy, charge nor capacity",
            ),
        };
        let charge = charge.map(floor);

        let state = self.state(&values, charge);
        let drawn = values.number("power_now").or_else(|| {
            // Volts times amperes in micros are picowatts.
            Some(values.number("current_now")? * values.positive("voltage_now")? / 1e6)
        });
        let drawn = drawn.map(|microwatts| i32::try_from(floor(microwatts / 1_000.0)).unwrap_or(i32::MAX));
        let milliwatts = match state {
            ReserveState::Charging => drawn.map(|drawn| -drawn),
            ReserveState::Idle => Some(0),
            _ => drawn.filter(|drawn| *drawn > 0).or_else(|| {
                self.load_milliwatts
                    .map(|load| i32::try_from(load).unwrap_or(i32::MAX))
            }),
        };
        let is_draining = matches!(
            state,
            ReserveState::Discharging | ReserveState::Low | ReserveState::Depleted
        );
        let seconds_left = values
            .number("time_to_empty_now")
            .filter(|_| is_draining)
            .or_else(|| match (charge, milliwatts) {
                (Some(charge), Some(drawn)) if is_draining && drawn > 0 => {
                    Some(charge.saturating_sub(self.cutoff_joules) as f64 * 1_000.0 / f64::from(drawn))
                }
                _ => None,
            })
            .map(|seconds| u32::try_from(floor(seconds)).unwrap_or(u32::MAX));
        if state == ReserveState::Fault {
            note = "the battery says it has failed";
        }
        ReserveReading {
            charge_joules: charge,
            capacity_joules: Some(floor(full)),
            milliwatts,
            seconds_left,
            state,
            source,
            mains: mains(read.adapters, values.text("status")),
            note: note.to_owned(),
        }
    }

    fn state(&self, values: &Values<'_>, charge: Option<u64>) -> ReserveState {
        if matches!(
            values.text("health"),
            "Dead" | "Unspecified failure" | "Over voltage" | "Overheat" | "Over current"
        ) {
            return ReserveState::Fault;
        }
        let Some(charge) = charge else {
            return ReserveState::Unknown;
        };
        let is_low = matches!(values.text("capacity_level"), "Critical" | "Low");
        match values.text("status") {
            "Discharging" if charge <= self.cutoff_joules => ReserveState::Depleted,
            "Discharging" if is_low => ReserveState::Low,
            "Discharging" => ReserveState::Discharging,
            "Charging" => ReserveState::Charging,
            "Full" | "Not charging" => ReserveState::Idle,
            _ => ReserveState::Unknown,
        }
    }
}

/// An adapter that is off line while the battery charges, or is kept full, contradicts it: then nobody knows.
fn mains(adapters: Mains, status: &str) -> Mains {
    match (adapters, status) {
        (Mains::Absent, "Charging" | "Full" | "Not charging") => Mains::Unknown,
        (told, _) => told,
    }
}

struct Values<'a>(&'a BTreeMap<String, String>);

impl Values<'_> {
    fn text(&self, name: &str) -> &str {
        self.0.get(name).map_or("", String::as_str)
    }

    /// A figure's amount: some drivers tell the direction of a current by its sign, `status` tells it for all.
    fn number(&self, name: &str) -> Option<f64> {
        self.text(name)
            .parse::<i64>()
            .ok()
            .map(|value| value.unsigned_abs() as f64)
    }

    fn positive(&self, name: &str) -> Option<f64> {
        self.number(name).filter(|value| *value > 0.0)
    }
}

/// The whole part of a number that is not below zero; energy and power are rounded down.
fn floor(value: f64) -> u64 {
    // `as` saturates at both ends and makes 0 of NaN.
    value as u64
}
