//! A server: its power state, and what it wants to draw.

use super::config::{InitialPower, ServerConfig};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Draw of a boot above idle, in permille of the span between idle and peak (policy.md section 1.3).
const BOOT_SPAN_PERMILLE: u64 = 300;

/// Power state of a server in the plant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ServerPower {
    /// On: idle draw and that of its running activities. Standby is this state with no activity.
    On,
    /// Booting until this instant of the plant's time, in milliseconds.
    Booting {
        /// When it will be on.
        until_millis: u64,
    },
    /// Halting cleanly until this instant of the plant's time, in milliseconds.
    Halting {
        /// When it will be off.
        until_millis: u64,
    },
    /// Off by command.
    Off,
    /// Dead: it could not be fed.
    Lost,
}

impl ServerPower {
    /// Whether it draws power.
    pub fn is_powered(self) -> bool {
        !matches!(self, ServerPower::Off | ServerPower::Lost)
    }
}

impl std::fmt::Display for ServerPower {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            ServerPower::On => "on",
            ServerPower::Booting { .. } => "booting",
            ServerPower::Halting { .. } => "halting",
            ServerPower::Off => "off",
            ServerPower::Lost => "without power",
        })
    }
}

/// A server and its state; powers in milliwatts.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Server {
    pub(super) name: Arc<str>,
    pub(super) config: Arc<ServerConfig>,
    /// Domain and largest power of each inlet.
    pub(super) inlets: Vec<(usize, u64)>,
    pub(super) supplies: Vec<usize>,
    pub(super) power: ServerPower,
    /// Whether any inlet has mains.
    pub(super) mains: bool,
    /// Since when it gets less than it draws; its PSU's hold-up runs.
    pub(super) starved_since: Option<u64>,
    /// Its records in the plant's list of activities.
    pub(super) activities: Vec<usize>,
    /// Sum of its running activities.
    pub(super) running: u64,
    pub(super) demand: u64,
    pub(super) from_mains: u64,
    pub(super) delivered: u64,
    pub(super) delivered_uj: u64,
}

impl Server {
    pub(super) fn new(config: &ServerConfig, inlets: Vec<(usize, u64)>, supplies: Vec<usize>) -> Self {
        Server {
            name: config.name.as_str().into(),
            config: Arc::new(config.clone()),
            inlets,
            supplies,
            power: match config.initial {
                InitialPower::On => ServerPower::On,
                InitialPower::Off => ServerPower::Off,
            },
            mains: false,
            starved_since: None,
            activities: Vec::new(),
            running: 0,
            demand: 0,
            from_mains: 0,
            delivered: 0,
            delivered_uj: 0,
        }
    }

    /// What it wants to draw in its present state.
    pub(super) fn wants(&self) -> u64 {
        let (idle, peak) = (self.config.idle_milliwatts, self.config.peak_milliwatts);
        match self.power {
            ServerPower::On => (idle + self.running).min(peak),
            ServerPower::Booting { .. } => boot_milliwatts(&self.config),
            ServerPower::Halting { .. } => idle,
            ServerPower::Off | ServerPower::Lost => 0,
        }
    }

    /// When its boot or halt ends.
    pub(super) fn transition_due(&self) -> Option<u64> {
        match self.power {
            ServerPower::Booting { until_millis } | ServerPower::Halting { until_millis } => {
                Some(until_millis)
            }
            _ => None,
        }
    }
}

/// Draw of a booting server, in milliwatts.
pub(super) fn boot_milliwatts(config: &ServerConfig) -> u64 {
    let span = config.peak_milliwatts - config.idle_milliwatts;
    config.idle_milliwatts + span * BOOT_SPAN_PERMILLE / 1_000
}
