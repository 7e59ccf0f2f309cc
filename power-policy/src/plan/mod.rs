//! A plan: an immutable value that leaves no choice to whoever executes it.
//!
//! # What a plan means
//!
//! - Stages are sorted by [`Stage::order`], each order once. Central stages (`local` false) stay below
//!   [`FIRST_LOCAL_STAGE`]; a PDP releases them in order: stage 0 at once, a later one when every earlier central stage
//!   has all its results and its own [`Trigger`] holds. A standing plan has no stage 0. Beyond the triggers, whoever
//!   releases holds back what is irreversible until the debounce is over, and everything irreversible in a drill.
//! - Within a stage the PEPs work at the same time. The steps for one server are begun in the order in which they stand,
//!   and a [`StepKind::Host`] step begins when the activity steps before it on that server have ended.
//! - [`StepKind::Divert`] sets the cap of one (line, reserve, server), in absolute terms, at the line's input, and it
//!   holds until another one changes it, after the line's switching time. Whatever a plan does not mention stays as
//!   [`Line::joined`](crate::model::Line::joined) says. On an exclusive line a pair with a cap takes the one joined
//!   before it off.
//! - [`Trigger::ChargeBelow`] and [`Trigger::ChargeAbove`] are over the energy in the stores together, cut-off
//!   included, before the inverter.
//! - A move is a take-in at the receiver and, in a later stage, a move-out at the source.
//! - Local stages stand behind all others. Each belongs to one PEP (its steps name only servers of that PEP), which
//!   releases them by itself, and only while it is cut off from every PDP; per PEP their order counts only among its
//!   own. A stop of an activity that does not run there any more is done already.

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
