//! A bounded record of charge, flows and running activities over time, for plots.

use super::Plant;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// The plant at one instant. Lists are in the order of the configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sample {
    /// Instant of the plant's time, in milliseconds.
    pub at_millis: u64,
    /// Whether each domain has mains.
    pub mains: Vec<bool>,
    /// Charge of each reserve, in millijoules.
    pub reserve_millijoules: Vec<u64>,
    /// Power at the input of each line, in milliwatts.
    pub line_milliwatts: Vec<u64>,
    /// Power that each server gets, in milliwatts.
    pub server_milliwatts: Vec<u64>,
    /// Activities that run: indices into [`History::activities`].
    pub running: Vec<u32>,
}

/// Names of all columns, and the samples.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct History {
    /// Interval of the samples in milliseconds; it doubles each time that the record is full. 0: no history is kept.
    pub interval_millis: u64,
    /// Names of the domains.
    pub domains: Vec<Arc<str>>,
    /// Names of the reserves.
    pub reserves: Vec<Arc<str>>,
    /// Capacity of each reserve, in millijoules.
    pub capacity_millijoules: Vec<u64>,
    /// Names of the lines.
    pub lines: Vec<Arc<str>>,
    /// Names of the servers.
    pub servers: Vec<Arc<str>>,
    /// Server and activity of each declared pair.
    pub activities: Vec<(Arc<str>, Arc<str>)>,
    /// The samples, oldest first.
    pub samples: Vec<Sample>,
}

/// The recorder: takes a sample at each multiple of its interval.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Recorder {
    interval: u64,
    most: usize,
    next: u64,
    samples: Vec<Sample>,
}

impl Recorder {
    pub(super) fn new(interval: u64, most: usize) -> Self {
        Recorder {
            interval,
            most,
            next: 0,
            samples: Vec::new(),
        }
    }

    pub(super) fn due(&self) -> Option<u64> {
        (self.interval > 0).then_some(self.next)
    }

    fn push(&mut self, sample: Sample) {
        if self.samples.len() >= self.most {
            // Every other sample goes: the record always spans the whole time, in half the detail.
            let mut keep = false;
            self.samples.retain(|_| {
                keep = !keep;
                keep
            });
            self.interval *= 2;
        }
        self.next = (sample.at_millis / self.interval + 1) * self.interval;
        self.samples.push(sample);
    }

    pub(super) fn clear(&mut self) {
        self.samples.clear();
    }
}

impl Plant {
    /// The history so far.
    pub fn history(&self) -> History {
        let pair = |a: &super::activity::Activity| {
            (Arc::clone(&self.servers[a.server].name), Arc::clone(&a.name)) //
        };
        History {
            interval_millis: self.recorder.interval,
            domains: self.domains.iter().map(|d| Arc::clone(&d.name)).collect(),
            reserves: self.reserves.iter().map(|r| Arc::clone(&r.name)).collect(),
            capacity_millijoules: self
                .reserves
                .iter()
                .map(|r| r.config.capacity_millijoules)
                .collect(),
            lines: self.lines.iter().map(|l| Arc::clone(&l.name)).collect(),
            servers: self.servers.iter().map(|s| Arc::clone(&s.name)).collect(),
            activities: self.activities.iter().map(pair).collect(),
            samples: self.recorder.samples.clone(),
        }
    }

    /// The plant at this instant, as a sample of the history.
    pub fn sample(&self) -> Sample {
        let running = self.activities.iter().enumerate().filter(|(_, a)| a.running);
        Sample {
            at_millis: self.now,
            mains: self.domains.iter().map(|d| d.present).collect(),
            reserve_millijoules: self.reserves.iter().map(|r| r.charge_uj / 1_000).collect(),
            line_milliwatts: self.lines.iter().map(|l| l.input).collect(),
            server_milliwatts: self.servers.iter().map(|s| s.delivered).collect(),
            running: running
                .filter_map(|(index, _)| u32::try_from(index).ok())
                .collect(),
        }
    }

    pub(super) fn record_sample(&mut self) {
        if self.recorder.due().is_some_and(|due| due <= self.now) {
            let sample = self.sample();
            self.recorder.push(sample);
        }
    }
}
