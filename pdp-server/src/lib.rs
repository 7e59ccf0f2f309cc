//! The policy decision point: learns the cluster over COPS, plans, journals, decides.

pub mod config;
pub mod limits;
