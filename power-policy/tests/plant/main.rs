//! The plant, through its public interface: what a judge must get right.

mod lines;
mod mains;
mod support;
