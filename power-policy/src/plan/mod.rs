//! A plan: an immutable value that leaves no choice to whoever executes it.
//!
//! Stages are released in order: stage 0 at once, later ones when their [`Trigger`] fires and every earlier stage
//! has its results. Local stages stand behind all others; a PEP that is cut off from every PDP releases those alone.

mod stage;
pub mod text;

pub use stage::{HostState, Stage, Step, StepKind, Trigger, Verb};

use serde::{Deserialize, Serialize};

use crate::model::{Cause, Name, Priority, Scope};

/// Order of the first local stage. PDP-released stages stay below it, so that no release ever covers a local one.
pub const FIRST_LOCAL_STAGE: u32 = 10_000;

/// What the planner expects of one class (a distinct priority).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClassForecast {
    /// The class.
    pub priority: Priority,
    /// Its target, `None` for ever.
    pub target_millis: Option<u64>,
    /// Ride-through time expected for its first member to stop, from the start of the interruption; `None`: no end in
    /// sight (mains).
    pub ride_through_millis: Option<u64>,
}

/// Charge that the planner expects of one reserve while the plan runs as written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReserveForecast {
    /// The reserve.
    pub reserve: Name,
    /// Points (milliseconds since the interruption began, millijoules left in the store), in order of time, the first
    /// at the time of planning; linear between them, constant after the last.
    pub points: Vec<(u64, u64)>,
}

/// Something the planner would have liked to do and did not, with the reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// What it concerns: a server, reserve, line or activity.
    pub subject: Name,
    /// Why not, in words for the operator.
    pub reason: String,
}

/// A plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// Why there is a plan.
    pub cause: Cause,
    /// What the interruption covers.
    pub scope: Scope,
    /// Time since the interruption began, when this was planned.
    pub planned_at_millis: u64,
    /// Stages by rising order.
    pub stages: Vec<Stage>,
    /// Classes, highest first.
    pub classes: Vec<ClassForecast>,
    /// Reserves by name.
    pub reserves: Vec<ReserveForecast>,
    /// Price of a joule beyond all targets, in weighted core-milliseconds a joule; `None` where no leftover is shared.
    pub lambda_micro: Option<u64>,
    /// Infrastructure load that is funded before anything else.
    pub infrastructure_milliwatts: u64,
    /// What was refused, and why.
    pub refusals: Vec<Refusal>,
}

impl Plan {
    /// The stages that a PDP releases, without the local ones.
    pub fn central_stages(&self) -> impl Iterator<Item = &Stage> {
        self.stages.iter().filter(|s| !s.local)
    }

    /// The stages that a PEP releases by itself while it is cut off.
    pub fn local_stages(&self) -> impl Iterator<Item = &Stage> {
        self.stages.iter().filter(|s| s.local)
    }
}
