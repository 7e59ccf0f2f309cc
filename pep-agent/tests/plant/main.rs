//! The plant process: its file, its socket, its agents' processes.

// The helpers of a test may panic: that is how a test fails.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::disallowed_methods,
    clippy::disallowed_types
)]

mod agents;
mod file;
mod program;
mod socket;
mod support;
