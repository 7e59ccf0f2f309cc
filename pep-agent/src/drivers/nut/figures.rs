//! From the variables of a UPS to a reading.
//!
//! Joules are the lesser of charge times capacity times health, and runtime times load: two figures of one device that
//! contradict each other are both doubted, against ourselves. Load is `ups.realpower`, else `ups.load` percent of the
//! nominal power, else a figure of the file. The reading's note says which figures counted.

use std::collections::BTreeMap;

use power_policy::model::{FigureSource, Mains, ReserveState};

use crate::engine::facts::ReserveReading;

/// What `ups.status` says: a set of words.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct UpsStatus {
    /// `OL`: on line.
    pub on_line: bool,
    /// `OB`: on battery.
    pub on_battery: bool,
    /// `LB`: the battery is low.
    pub low: bool,
    /// `CHRG`: charging.
    pub charging: bool,
    /// `DISCHRG`: discharging.
    pub discharging: bool,
    /// `FSD`: a forced shut-down was ordered.
    pub forced_shutdown: bool,
    /// `CAL`: a calibration runs, which drains the battery although mains is there.
    pub calibrating: bool,
    /// `OFF`: the output is off.
    pub off: bool,
    /// `BYPASS`: the load hangs on the mains, past the battery, which would carry nothing.
    pub bypass: bool,
    /// `RB`: the battery has to be replaced.
    pub replace: bool,
}

impl UpsStatus {
    /// Reads the words. Unknown ones are passed over; `WAIT`, before the first poll, is as good as none.
    pub fn new(text: &str) -> Self {
        let mut status = Self::default();
        for word in text.split_ascii_whitespace() {
            match word {
                "OL" => status.on_line = true,
                "OB" => status.on_battery = true,
                "LB" => status.low = true,
                "CHRG" => status.charging = true,
                "DISCHRG" => status.discharging = true,
                "FSD" => status.forced_shutdown = true,
                "CAL" => status.calibrating = true,
                "OFF" => status.off = true,
                "BYPASS" => status.bypass = true,
                "RB" => status.replace = true,
                _ => {}
            }
        }
        status
    }

    /// The mains at the input. A UPS that says both or neither, or that calibrates on its battery, says nothing of it.
    pub fn mains(self) -> Mains {
        match (self.on_line, self.on_battery) {
            (true, false) => Mains::Present,
            (false, true) if !self.calibrating => Mains::Absent,
            _ => Mains::Unknown,
        }
    }

    /// State of the store.
    pub fn state(self) -> ReserveState {
        let is_known = self.on_line || self.on_battery;
        match self {
            Self { low: true, .. }
            | Self {
                forced_shutdown: true,
                ..
            } => ReserveState::Low,
            Self { off: true, .. } | Self { bypass: true, .. } => ReserveState::Fault,
            _ if !is_known => ReserveState::Unknown,
            Self { on_battery: true, .. }
            | Self {
                discharging: true, ..
            } => ReserveState::Discharging,
            Self { charging: true, .. } => ReserveState::Charging,
            _ => ReserveState::Idle,
        }
    }
}

/// What the agent's file says of a UPS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NutFigures {
    /// Energy of the full battery when it was new, in joules.
    pub capacity_joules: u64,
    /// What is left of that, permille.
    pub health_permille: u32,
    /// Energy that is never drawn, in joules.
    pub cutoff_joules: u64,
    /// Nominal power, in milliwatts, where the UPS does not say `ups.realpower.nominal`.
    pub nominal_milliwatts: Option<u32>,
    /// Load, in milliwatts, where the UPS measures none.
    pub load_milliwatts: Option<u32>,
}

impl NutFigures {
    /// A reading made of the variables of a UPS.
    pub fn reading(&self, variables: &BTreeMap<String, String>) -> ReserveReading {
        let status = UpsStatus::new(variables.get("ups.status").map_or("", String::as_str));
        let (load, load_note) = self.load_milliwatts(variables);
        let full = u128::from(self.capacity_joules) * u128::from(self.health_permille) / 1_000;
        let full = u64::try_from(full).unwrap_or(u64::MAX);
        let percent = number(variables, "battery.charge").filter(|percent| (0.0..=100.0).contains(percent));
        let runtime = number(variables, "battery.runtime").filter(|seconds| *seconds >= 0.0);

        let by_charge = percent.map(|percent| floor(full as f64 * percent / 100.0));
        let is_draining = status.state() == ReserveState::Discharging || status.low;
        let by_runtime = match (runtime, load) {
            // On line many devices say 0 for what they do not estimate; on battery 0 is meant.
            (Some(seconds), Some(load)) if load > 0 && (seconds > 0.0 || is_draining) => {
                Some(floor(seconds * f64::from(load) / 1_000.0))
            }
            _ => None,
        };
        let (charge, note) = match (by_charge, by_runtime) {
            (Some(charge), Some(runtime)) if runtime < charge => (
                Some(runtime),
                format!("battery.runtime x {load_note}, less than battery.charge says"),
            ),
            (Some(charge), Some(_)) => (
                Some(charge),
                format!("battery.charge x capacity, less than battery.runtime x {load_note}"),
            ),
            (Some(charge), None) => (Some(charge), "battery.charge x capacity".to_owned()),
            (None, Some(runtime)) => (Some(runtime.min(full)), format!("battery.runtime x {load_note}")),
            (None, None) => (None, "neither battery.charge nor battery.runtime".to_owned()),
        };
        let mut note = note;
        for (is_so, said) in [
            (status.calibrating, "a calibration runs"),
            (status.bypass, "in bypass: its battery carries nothing"),
            (status.replace, "its battery has to be replaced"),
            (status.forced_shutdown, "a forced shut-down was ordered"),
        ] {
            if is_so {
                note.push_str("; ");
                note.push_str(said);
            }
        }
        let mut state = status.state();
        if charge.is_none() && state != ReserveState::Low {
            state = ReserveState::Unknown;
        } else if is_draining && charge.is_some_and(|charge| charge <= self.cutoff_joules) {
            state = ReserveState::Depleted;
        }
        // Below zero while it charges; by how much a UPS does not say, so on line its battery's power is nothing.
        let milliwatts = match state {
            ReserveState::Idle | ReserveState::Charging => Some(0),
            _ => load.map(|load| i32::try_from(load).unwrap_or(i32::MAX)),
        };
        ReserveReading {
            charge_joules: charge,
            capacity_joules: Some(full),
            milliwatts,
            seconds_left: runtime.map(|seconds| u32::try_from(floor(seconds)).unwrap_or(u32::MAX)),
            state,
            // None of these is a meter of energy: a device's estimate, times a figure of the file.
            source: if charge.is_some() {
                FigureSource::Estimated
            } else {
                FigureSource::Configured
            },
            mains: status.mains(),
            note,
        }
    }

    /// The load that the UPS measures; what the file says of it is no measurement.
    pub fn measured_load(&self, variables: &BTreeMap<String, String>) -> Option<u32> {
        let figures = Self {
            load_milliwatts: None,
            ..*self
        };
        figures.load_milliwatts(variables).0
    }

    fn load_milliwatts(&self, variables: &BTreeMap<String, String>) -> (Option<u32>, &'static str) {
        let watts = |value: f64| u32::try_from(floor(value * 1_000.0)).ok();
        let positive = |name: &str| number(variables, name).filter(|value| *value >= 0.0);
        if let Some(load) = positive("ups.realpower").and_then(watts) {
            return (Some(load), "ups.realpower");
        }
        let nominal = positive("ups.realpower.nominal").or_else(|| {
            self.nominal_milliwatts
                .map(|milliwatts| f64::from(milliwatts) / 1_000.0)
        });
        if let (Some(percent), Some(nominal)) = (positive("ups.load"), nominal)
            && let Some(load) = watts(nominal * percent / 100.0)
        {
            return (Some(load), "ups.load x nominal power");
        }
        (self.load_milliwatts, "the configured load")
    }
}

fn number(variables: &BTreeMap<String, String>, name: &str) -> Option<f64> {
    variables
        .get(name)?
        .trim()
        .parse::<f64>()
        .ok()
        .filter(|value| value.is_finite())
}

/// The whole part of a number that is not below zero; energy and power are rounded down.
fn floor(value: f64) -> u64 {
    // `as` saturates at both ends and makes 0 of NaN.
    value as u64
}
