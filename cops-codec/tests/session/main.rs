//! The sessions of both roles: transition tables, exchanges between two ends under one virtual clock, random operations.

// Most of it stands outside the test functions, which are all that clippy.toml covers.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod exchanges;
mod frames;
mod integrity;
mod keep_alive;
mod limits;
mod pair;
mod pdp_transitions;
mod pep_transitions;
mod random_operations;
mod redirect;
mod resume;
mod rules;
mod synchronize;
mod table;
mod tls;
mod views;
mod world;
