//! The agent's program: run as a process, against a scripted PDP on a TCP socket.

// The helpers of a test may panic: that is how a test fails.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    clippy::disallowed_types
)]

mod battery;
mod memory;
mod operator;
mod pdp;
mod plans;
mod processes;
mod program;
mod simulated;
