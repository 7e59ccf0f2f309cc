//! Between the rows of the power client-type and the engine's terms: names, enumerations and units, nothing else.
//!
//! The wire counts energy in joules and the model in millijoules; what is in the model's favour is rounded against us.

mod facts;
mod plan;

use cops_codec::client_type::power as wire;
use power_policy::model::Name;

pub use facts::{facts, readings, step_key};
pub use plan::{Site, assignment, digest, incarnation, resume_reports};

/// A name of the wire in the model. Both have the same alphabet and bounds, so that `None` never comes of a decoded row.
fn name(name: &wire::Name) -> Option<Name> {
    Name::new(name.as_str()).ok()
}

/// A name of the model on the wire; `None` never comes, as for [`name`].
fn wire_name(name: &Name) -> Option<wire::Name> {
    wire::Name::new(name.as_str()).ok()
}

const fn millijoules(joules: u64) -> u64 {
    joules.saturating_mul(1000)
}

/// Milliwatts of the model on the wire, which has 32 bits: 4.2 MW, more than any line carries.
fn wire_milliwatts(milliwatts: u64) -> u32 {
    u32::try_from(milliwatts).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;
