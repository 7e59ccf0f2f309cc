//! The policy decision point: learns the cluster over COPS, plans, journals, decides.

pub mod api;
pub mod config;
pub mod engine;
pub mod limits;
