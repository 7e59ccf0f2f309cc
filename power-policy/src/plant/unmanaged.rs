//! The honest baseline: the same batteries, loads, seed and mains, with no commands at all.
//!
//! At the first loss of mains the plant keeps a copy of itself with every line open, and from then on the instants at
//! which mains went and came. The unmanaged run takes that copy and lets the same time pass over it: each server is on
//! its own reserve until that is empty. It is run, not computed.

use super::activity::Track;
use super::{ActivityReport, History, Ledger, Plant, PlantError, limits};
use serde::{Deserialize, Serialize};

/// The starting state, and what the mains did since.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Record {
    start: Plant,
    /// Instant, domain, and whether its mains is there from then on.
    changes: Vec<(u64, usize, bool)>,
    dropped: u64,
}

/// What each activity would have had, each server on its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnmanagedRun {
    /// Instant at which the starting state was recorded, in milliseconds of the plant's time.
    pub from_millis: u64,
    /// Instant up to which it ran: that of the managed plant.
    pub until_millis: u64,
    /// The ride-throughs of every activity that was declared at the start.
    pub activities: Vec<ActivityReport>,
    /// Where the energy went, from the starting state on.
    pub ledger: Ledger,
    /// Samples at the interval of the plant's own history.
    pub history: History,
}

impl Plant {
    /// Forgets the recorded starting state: the next loss of mains records a new one.
    pub fn rearm_record(&mut self) {
        self.record = None;
    }

    /// Runs the recorded starting state under the recorded mains, with no commands, up to now.
    ///
    /// Loads that were changed and activities that were declared after the record began are not in it.
    ///
    /// # Errors
    /// If mains was never lost, or changed too often to be kept.
    pub fn unmanaged(&self) -> Result<UnmanagedRun, PlantError> {
        let record = self
            .record
            .as_deref()
            .ok_or(PlantError::NoReplay("mains was never lost"))?;
        if record.dropped > 0 {
            return Err(PlantError::NoReplay("mains changed too often to be recorded"));
        }
        let mut plant = record.start.clone();
        for (at, domain, present) in &record.changes {
            plant.advance(*at);
            plant.change_mains(*domain, *present);
        }
        plant.advance(self.now);
        Ok(UnmanagedRun {
            from_millis: record.start.now,
            until_millis: self.now,
            activities: plant.activity_reports(),
            ledger: plant.ledger(),
            history: plant.history(),
        })
    }

    /// Called before each change of mains.
    pub(super) fn record_mains(&mut self, domain: usize, present: bool) {
        if self.is_replay {
            return;
        }
        if self.record.is_none() && !present {
            let record = Record {
                start: self.as_start(),
                changes: Vec::new(),
                dropped: 0,
            };
            self.record = Some(Box::new(record));
        }
        if let Some(record) = &mut self.record {
            if record.changes.len() < limits::MAX_MAINS_CHANGES {
                record.changes.push((self.now, domain, present));
            } else {
                record.dropped += 1;
            }
        }
    }

    /// A copy of the plant as it is, with every line open and its accounts at zero.
    fn as_start(&self) -> Plant {
        let mut start = self.clone();
        start.record = None;
        start.is_replay = true;
        start.settings.clear();
        start.events = Default::default();
        start.recorder.clear();
        start.tracks.iter_mut().for_each(Track::forget_rides);
        start.energies = Default::default();
        start.energies.initial = start.left_microjoules();
        for reserve in &mut start.reserves {
            (reserve.drawn_uj, reserve.delivered_uj, reserve.recharged_uj) = (0, 0, 0);
        }
        for server in &mut start.servers {
            server.delivered_uj = 0;
        }
        start.command_done();
        start
    }
}
