//! How activities are grouped and ranked, and what is read (arc 3 of the module), in DECs.

use super::{Name, Text, entry};
use crate::client_type::macros::{enumeration, install_errors, row_class};
use crate::provisioning::ReferenceId;

enumeration! {
    /// What the pattern of a grouping rule is held against.
    Match {
        /// Nothing: the rule matches every activity.
        Any = 1,
        /// The activity's name.
        Name = 2,
        /// The type of its data.
        DataType = 3,
        /// Its process.
        Process = 4,
        /// Its class of quality of service.
        QosClass = 5,
    }
}

enumeration! {
    /// Kind of thing that is read.
    ReadingKind {
        /// Reserves.
        Reserve = 1,
        /// Servers.
        Server = 2,
    }
}

row_class! {
    /// An activity set.
    Set = "pwrSet", entry(3, 1), Install, unique [name];
    /// Name of the set.
    2 name: Name,
    /// Priority; the higher one wins.
    3 priority: u16,
    /// Time for which the set is to be kept up.
    4 ride_through_seconds: u32,
    /// Weight among sets of one priority.
    5 weight: u32 = 1,
}

row_class! {
    /// A rule that gives an activity its set. The rule with the lowest order that matches wins.
    Grouping = "pwrGrouping", entry(3, 2), Install, unique [order];
    /// Place of the rule.
    2 order: u32,
    /// What the pattern is held against.
    3 match_on: Match,
    /// A glob.
    4 pattern: Text,
    /// The set.
    5 set: ReferenceId => Set,
}

row_class! {
    /// What is read: selection criteria for usage feedback (RFC 3483).
    ReadingSel = "pwrReadingSel", entry(3, 3), Install, unique [kind, pattern];
    /// Kind of thing.
    2 kind: ReadingKind,
    /// A glob over its name.
    3 pattern: Text,
}

install_errors! {
    /// Why a pwrGrouping or pwrReadingSel row cannot be taken.
    PatternError {
        /// The pattern is no glob.
        BadPattern = 1,
    }
}
