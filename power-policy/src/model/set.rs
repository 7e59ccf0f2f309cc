use serde::{Deserialize, Serialize};

use super::Name;

/// Index of a set in [`Snapshot::sets`](super::Snapshot::sets).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SetId(pub u32);

/// Priority of a set: the higher one wins (as in RFC 3181). A *class* is a distinct priority that is present.
pub type Priority = u16;

/// A predefined group of activities (claims C1 to C5).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActivitySet {
    /// Name, unique in the cluster.
    pub name: Name,
    /// Priority; of the set's QoS where it has one.
    pub priority: Priority,
    /// Ride-through time to be reached, from the start of the interruption; `None` means for ever.
    pub target_millis: Option<u64>,
    /// Worth of one core of the set for one second, among sets whose targets are met.
    pub weight: u32,
}
