//! The policy enforcement point on a node: observes reserves, lines and activities, enforces plans.

#[allow(clippy::disallowed_methods, clippy::disallowed_types)]
pub mod drivers;
pub mod engine;
#[allow(clippy::disallowed_methods, clippy::disallowed_types)]
pub mod io;
pub mod limits;
pub mod node;
pub mod translate;
