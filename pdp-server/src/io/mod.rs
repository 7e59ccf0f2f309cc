//! The outer ring: sockets, files, clocks. What it carries is decided in [`crate::node`].
//!
//! # Tasks
//!
//! | task | how many | why |
//! |---|---|---|
//! | loop ([`mod@run`]) | 1 | owns the node; takes all that happened since the last round, syncs the journal once for all of it, then lets frames and answers leave |
//! | accept (`listener`) | 1 | so that a full loop does not keep PEPs out of the backlog |
//! | certificates ([`tls`]) | 1, with TLS | reads the files again when they change |
//! | connection (`connection`) | 2 a PEP | one reads, one writes: a PEP that does not read is still heard |
//! | admin ([`admin`]) | 1, and 1 a client | asks the loop through one bounded queue |
//! | web ([`web`]) | 1 where the file has it, and 1 a client | the same router as admin, over TCP |
//! | notify (`notify`) | 1 each `[[notify]]` | who is told by webhook or program; each reads the log of events at its own pace |
//! | journal (`journal`) | 1 thread | SQLite blocks |

#![allow(clippy::disallowed_methods, clippy::disallowed_types)]

pub mod admin;
pub mod clock;
mod commands;
mod connection;
pub mod journal;
pub mod keys;
mod listener;
mod notify;
mod opening;
mod outbox;
pub mod run;
mod security;
pub mod tls;
pub mod web;

pub use run::{Options, run, run_with, serve};
