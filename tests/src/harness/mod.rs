//! The planner harness: how near the planner comes to what could be reached at all, and how quickly.
//!
//! ```text
//! fixture, generate -> instance -> bounds                         what any plan could reach at most
//!                          |
//!                          +----> cluster -> baselines, lives     what is reached, on the plant
//!                                                |
//!                                             quality, scaling -> report
//! ```

pub mod baselines;
pub mod bounds;
pub mod cluster;
pub mod fixture;
pub mod generate;
pub mod instance;
pub mod lives;
pub mod outlook;
pub mod quality;
pub mod report;
pub mod scaling;

/// Carries out plans on the plant; the planner's own tests use it too.
#[path = "../../../power-policy/tests/common/executor.rs"]
#[allow(
    dead_code,
    clippy::unwrap_used,
    reason = "shared with the planner's tests, where whatever is not as it should be ends the run"
)]
mod executor;
