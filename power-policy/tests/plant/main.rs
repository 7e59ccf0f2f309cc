//! The plant, through its public interface: what a judge must get right.

// The helpers of a test may panic: that is how a test fails.
#![allow(clippy::unwrap_used)]

mod activities;
mod figures;
mod lines;
mod mains;
mod properties;
mod servers;
mod support;
