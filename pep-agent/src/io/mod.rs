//! The outer ring: files, sockets, clocks, processes.

pub mod check;
pub mod clock;
pub mod config;
pub mod discover;
pub mod keeper;
pub mod keys;
pub mod local;
pub mod operator;
pub mod plant;
pub mod run;
pub mod state;
pub mod supervise;
pub mod tls;
pub mod toml_file;
mod trial;
