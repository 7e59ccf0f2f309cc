//! What the engine must remember across a restart of the agent, so that nothing is done twice.

use serde::{Deserialize, Serialize};

use super::{Millis, StepId, StepRecord};

/// Since when the own mains is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lost {
    /// Instant from which this boot counts.
    pub since_millis: Millis,
    /// Time without mains before that instant, from an earlier boot.
    pub before_millis: u64,
    /// The machine was booted since the mains was seen to be lost: only a look at the mains can confirm it.
    #[serde(default)]
    pub rebooted: bool,
}

impl Lost {
    /// Time without mains so far.
    pub fn elapsed(&self, now: Millis) -> u64 {
        now.saturating_sub(self.since_millis)
            .saturating_add(self.before_millis)
    }
}

/// What came of one step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepMemory {
    /// The step.
    pub step: StepId,
    /// What came of it.
    pub record: StepRecord,
}

/// The engine's memory. It belongs to the plan whose rows are kept beside it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memory {
    /// Since when the own mains is lost.
    pub lost: Option<Lost>,
    /// Last stage that the PDP released.
    pub released: Option<u32>,
    /// Stages that the agent released while it was cut off.
    pub released_locally: Vec<u32>,
    /// What came of the steps.
    pub steps: Vec<StepMemory>,
    /// Instance of the first result row of this plan.
    pub first_result: u32,
    /// The machine was booted since this was written.
    #[serde(skip)]
    pub rebooted: bool,
}

impl Memory {
    /// The memory as it holds after the machine was booted again: instants of the last boot mean nothing now, but the
    /// time that had passed counts. `saved_at` is when the memory was written, in the last boot's time.
    pub fn after_reboot(mut self, saved_at: Millis, now: Millis) -> Self {
        self.rebooted = true;
        if let Some(lost) = &mut self.lost {
            *lost = Lost {
                since_millis: now,
                before_millis: lost.elapsed(saved_at),
                rebooted: true,
            };
        }
        self
    }
}
