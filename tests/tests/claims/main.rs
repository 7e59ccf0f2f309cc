//! The claims, carried out by both programs' engines over encoded octets, and asserted on the plant.
//!
//! One test a claim, named after it; `docs/claims.md` says which code each one is about. C15 to C21, which are the same as
//! a program, stand in `claims_programs/main.rs`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod cluster;
mod grouping;
mod last_server;
mod reserves;
mod shifting;
mod signals;
mod system;
mod wire;
