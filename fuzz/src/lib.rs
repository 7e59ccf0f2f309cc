//! Fuzz targets and their seeds, for security reviewers.
//!
//! A target is a plain function from octets to nothing: it panics when it has found something. [`TARGETS`] lists them.
//! libFuzzer calls them through the programs in `bin/`; `tests/replay.rs` calls them with every file in `seeds/`, which
//! needs no fuzzer. What each expects is in its module and, in one table, in `README.md`.
//!
//! The targets that take a structure read it from the octets with [`Input`], so that every input means something and a
//! mutation changes little.

// A panic is how a target says that it has found something.
#![allow(clippy::expect_used, clippy::panic)]

mod generate;
mod input;
mod rows;
mod session;

pub mod config_agent;
pub mod config_pdp;
pub mod frames;
pub mod journal;
pub mod message_bytes;
pub mod message_values;
pub mod pdp_session;
pub mod pep_session;
pub mod planner;
pub mod provisioning;
pub mod row_stores;
pub mod session_pair;

pub use input::Input;

/// A fuzz target.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Its name: that of its module, its program and its folder of seeds.
    pub name: &'static str,
    /// Panics if the input shows something wrong.
    pub run: fn(&[u8]),
}

macro_rules! targets {
    ($($name:ident),+ $(,)?) => {
        /// All of them.
        pub const TARGETS: &[Target] = &[$(Target { name: stringify!($name), run: $name::run }),+];
    };
}

targets![
    frames,
    message_bytes,
    message_values,
    provisioning,
    row_stores,
    pdp_session,
    pep_session,
    session_pair,
    planner,
    config_pdp,
    config_agent,
    journal,
];
