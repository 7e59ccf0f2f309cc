//! Between what the engine knows and what the wire carries, both ways. Pure.
//!
//! | file | from | to |
//! |---|---|---|
//! | [`facts`] | inventory, plan held, results | rows of a REQ |
//! | [`difference`] | rows told, rows as they are | what the next REQ says |
//! | [`plan`] | rows that a DEC installed | the plan that the engine holds |
//! | [`faults`] | what the engine cannot take | the rows' errors in a Failure report |
//! | [`readings`] | inventory, selection | rows of an accounting RPT |
//!
//! Instances of reported rows are places in the sorted list of names, so they are the same for as long as the agent's
//! file is; the first REQ after a start tells everything anew. Instances of results are the engine's.

pub mod difference;
pub mod facts;
pub mod faults;
pub mod plan;
pub mod readings;
#[cfg(test)]
mod tests;

use cops_codec::client_type::power;
use cops_codec::provisioning::InstanceId;
use power_policy::model::Name;

/// A name as the wire has it.
#[allow(clippy::expect_used)]
pub(crate) fn wire_name(name: &Name) -> power::Name {
    // Both types allow 1 to 64 octets of UTF-8 without control characters.
    power::Name::new(name.as_str()).expect("a name of the model is a name of the module")
}

/// A name as the engine has it.
#[allow(clippy::expect_used)]
pub(crate) fn model_name(name: &power::Name) -> Name {
    // As above.
    Name::new(name.as_str()).expect("a name of the module is a name of the model")
}

/// The instance at a place in a list, from 0.
pub(crate) fn instance(index: usize) -> InstanceId {
    // The lists of one agent are far shorter than 2^32 (crate::limits).
    u32::try_from(index)
        .ok()
        .and_then(|index| InstanceId::new(index.saturating_add(1)))
        .unwrap_or(InstanceId::FIRST)
}

/// Milliseconds, at most what an Unsigned32 carries.
pub(crate) fn millis32(millis: u64) -> u32 {
    u32::try_from(millis).unwrap_or(u32::MAX)
}
