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
