//! Every bound of this crate in one place. What exceeds one is refused where it comes in, with an error that says so.

pub use crate::model::MAX_NAME_OCTETS;

/// Longest glob pattern, in octets of UTF-8 (the wire's `PwrText`).
pub const MAX_PATTERN_OCTETS: usize = 255;
/// Longest text a glob is held against, in octets; a longer one is cut there, so that a match costs at most
/// `MAX_PATTERN_OCTETS * MAX_SUBJECT_OCTETS` steps.
pub const MAX_SUBJECT_OCTETS: usize = 1_024;
/// Most grouping rules.
pub const MAX_GROUPING_RULES: usize = 4_096;
/// Most activity sets, the implicit ones of QoS classes included.
pub const MAX_SETS: usize = 4_096;
/// How many administrator commands are remembered, so that one sent twice is done once.
pub const MAX_COMMANDS_REMEMBERED: usize = 1_024;
/// Most servers or domains that one command may name.
pub const MAX_COMMAND_SCOPE: usize = 16_384;
/// Most mains reports kept (PEPs times the domains that each of them sees); more are refused.
pub const MAX_MAINS_REPORTS: usize = 65_536;
/// How many mains dips of the last hour are remembered; the waiting time has long reached its bound by then.
pub const MAX_DIPS: usize = 64;
/// Longest id of a command, in octets.
pub const MAX_COMMAND_ID_OCTETS: usize = 128;
/// Most scopes that are interrupted by command at one time.
pub const MAX_COMMANDED_SCOPES: usize = 64;
/// Most violations that one check of a plan lists.
pub const MAX_VIOLATIONS: usize = 1_000;
