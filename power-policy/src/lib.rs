//! What stays powered, and why.
//!
//! Pure: no IO, no clock, no COPS. [`model`] is the cluster as one immutable snapshot, [`plan`] the value that comes
//! out; the planner is a pure function between them.

pub mod model;
pub mod plan;
