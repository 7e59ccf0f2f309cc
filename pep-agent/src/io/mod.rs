//! The outer ring: files, sockets, clocks, processes.

pub mod plant;
pub mod toml_file;
