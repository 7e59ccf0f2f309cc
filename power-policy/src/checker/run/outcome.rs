//! Under what conditions a plan is run, and what comes of it.

/// Who releases stages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::checker) enum Controller {
    /// A PDP, to the end.
    Alive,
    /// None, from the moment after stage 0.
    DeadAfterStageZero,
    /// None, from the moment at which a stage would have to wait for a charge or a later time.
    DeadAtFirstWait,
}

/// How the plan is run.
#[derive(Debug, Clone, Copy)]
pub(in crate::checker) struct Conditions {
    pub(in crate::checker) controller: Controller,
    /// Charge thresholds are seen this much later, in microseconds.
    pub(in crate::checker) late_micros: u64,
    /// Stops and halts take this much more power.
    pub(in crate::checker) stop_permille: u32,
    /// Every server loses its mains at the beginning, whatever the snapshot says (a standing plan).
    pub(in crate::checker) all_lost: bool,
}

/// A server that lost power.
#[derive(Debug, Clone)]
pub(in crate::checker) struct Loss {
    pub(in crate::checker) server: usize,
    /// Milliseconds from the beginning of the interruption.
    pub(in crate::checker) at_millis: u64,
    /// Touchable activities that ran on it.
    pub(in crate::checker) running: Vec<usize>,
    /// Those of them that ran nowhere else.
    pub(in crate::checker) ended: Vec<usize>,
    pub(in crate::checker) halting: bool,
    /// Last stage released before.
    pub(in crate::checker) after_stage: Option<u32>,
    pub(in crate::checker) load_milliwatts: u64,
}

/// A server that began to halt.
#[derive(Debug, Clone, Copy)]
pub(in crate::checker) struct Halt {
    pub(in crate::checker) server: usize,
    /// Milliseconds from the beginning of the interruption.
    pub(in crate::checker) at_millis: u64,
    pub(in crate::checker) stage: Option<u32>,
}

/// What came of it. Times are milliseconds from the beginning of the interruption.
#[derive(Debug)]
pub(in crate::checker) struct Outcome {
    /// When each activity was stopped for good: begun, ended.
    pub(in crate::checker) stopped: Vec<Option<(u64, u64)>>,
    /// The stage that stopped it.
    pub(in crate::checker) stopped_by: Vec<Option<u32>>,
    /// Energy in each store over time: breakpoints in microseconds from the planning, millijoules.
    pub(in crate::checker) histories: Vec<Vec<(u64, f64)>>,
    /// Where each activity went in the end, if it was moved.
    pub(in crate::checker) moved_to: Vec<Option<usize>>,
    pub(in crate::checker) losses: Vec<Loss>,
    pub(in crate::checker) halts: Vec<Halt>,
    /// Lowest energy of each store, in millijoules.
    pub(in crate::checker) lowest: Vec<f64>,
    pub(in crate::checker) elapsed_at_start: u64,
    /// The run came to rest.
    pub(in crate::checker) finished: bool,
}

impl Outcome {
    /// Energy in a store at a time from the beginning of the interruption.
    pub(in crate::checker) fn energy_at(&self, reserve: usize, millis: u64) -> f64 {
        let micros = millis.saturating_sub(self.elapsed_at_start).saturating_mul(1_000);
        let history = &self.histories[reserve];
        let after = history.partition_point(|(at, _)| *at <= micros);
        match (after.checked_sub(1).map(|i| history[i]), history.get(after)) {
            (Some((a, x)), Some((b, y))) if *b > a => x + (y - x) * (micros - a) as f64 / (b - a) as f64,
            (Some((_, x)), _) => x,
            (None, Some((_, y))) => *y,
            (None, None) => 0.0,
        }
    }
}
