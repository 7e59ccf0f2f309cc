//! Activities that are control groups: containers, slices, scopes.
//!
//! [`tree`] finds a group's files in whichever hierarchy has them (version 2, version 1, or both side by side),
//! [`activity`] freezes, stops and starts one.

pub mod activity;
pub mod tree;

pub use activity::{CgroupActivity, StopBy, Which};
pub use tree::{Cgroup, CgroupRoot};

#[cfg(test)]
mod tests;
