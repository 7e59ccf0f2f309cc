//! The policy enforcement point on a node: observes reserves, lines and activities, enforces plans.

pub mod engine;
pub mod limits;
