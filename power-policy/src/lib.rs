//! What stays powered, and why.
//!
//! Pure: no IO, no clock, no COPS. [`model`] is the cluster as one immutable snapshot, [`plan`] the value that comes
//! out; the [`planner`] is a pure function between them. Before it stand [`grouping`] (which set is an activity's) and
//! [`interruption`] (is there one, and how far is it), behind it [`checker`], which judges a plan without asking the
//! planner. [`plant`] is simulated electricity: what the tests and the demo judge a plan's effect by.

pub mod checker;
pub mod grouping;
pub mod interruption;
pub mod limits;
pub mod model;
pub mod plan;
pub mod planner;
pub mod plant;
