//! Activities that are real processes: matched in /proc by the agent's own rules, stopped gracefully, started by the
//! command in its file.

mod activity;
mod rule;
mod table;
#[cfg(test)]
mod tests;

pub use activity::{ProcessActivity, StartCommand};
pub use rule::{DenyList, Pattern};
pub use table::{Process, ProcessTable};
