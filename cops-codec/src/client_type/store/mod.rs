//! The rows of one context (request-state), as data: what a REQ reported and what a DEC installed.
//!
//! | | [`ReportedRows`] | [`InstalledRows`] |
//! |---|---|---|
//! | kept by | the PDP, for each context of each PEP | the PEP, for each of its contexts |
//! | changed by | REQ: full state or incremental (RFC 3318 section 2.3) | DEC: removals, then installs (RFC 3084 section 3.2) |
//! | refused with | frwkError rows (RFC 3318 section 2.3.6) | GPERR, ErrorPRID, CPERR (RFC 3084 section 5.3.1) |
//!
//! Both take a message as one transaction: all of it or nothing. Both see to what the module promises of rows
//! together: values of UNIQUENESS attributes differ, each ReferenceId names a row of the context, a class with one
//! instance has one. `InstalledRows` also sees to the version and the digest of the plan.
//!
//! [`build`] has the other direction: rows as object contents, removals and reports.

pub mod build;
mod digest;
mod in_force;
mod installed;
mod limits;
mod readings;
mod reported;
mod table;
mod transaction;

pub use digest::digest;
pub use in_force::InForce;
pub use installed::{Installed, InstalledRows, PlanStatus, Refusal};
pub use limits::RowLimits;
pub use readings::read_readings;
pub use reported::{ReportedRows, RequestApplied, RequestRefused};
pub use table::RowTable;
pub use transaction::RowChange;
