//! The policy decision point: learns the cluster over COPS, plans, journals, decides; and hosts other client-types
//! beside the power one.

pub mod api;
pub mod cli;
pub mod config;
pub mod engine;
pub mod history;
pub mod host;
pub mod io;
pub mod limits;
pub mod node;
pub mod translate;
pub mod what_if;
