//! Classes of FRAMEWORK-FEEDBACK-PIB (RFC 3571) with which a PDP says what usage is reported, and when (RFC 3483).
//!
//! A link joins a selection (a pwrReadingSel row of the same context) with a usage class (arc 2 of the power module) and
//! an interval. An action suspends, resumes or asks for what links report. The RFC's traffic counters, thresholds and
//! role-combination filters measure networks; none of them is here.

use super::attribute::OctetString;
use super::macros::{enumeration, row_class};
use super::numbers::FRAMEWORK_FEEDBACK_CLASSES;
use super::row::{Class, Row};
use crate::provisioning::{InstanceId, Oid, Prid, ReferenceId};

/// Identifier of the entry of class `arc` of `frwkFeedbackGroupClasses`.
const fn entry(arc: u32) -> [u32; 10] {
    let [a, b, c, d, e, f, g, h] = FRAMEWORK_FEEDBACK_CLASSES;
    [a, b, c, d, e, f, g, h, arc, 1]
}

enumeration! {
    /// What the PEP is to do about its reports.
    Indicator {
        /// Neither measure nor report; what was measured last is kept.
        SuspendMonitoringAndReports = 1,
        /// Measure on, and report nothing.
        SuspendReports = 2,
        /// Measure and report as the links say.
        Resume = 3,
        /// Report now, whatever the interval.
        SolicitReport = 4,
    }
}

row_class! {
    /// A command about reports.
    FeedbackAction = "frwkFeedbackAction", entry(1), Install, unique [];
    /// The command.
    2 indicator: Indicator,
    /// Whether it is for the links of [`list`](FeedbackAction::list) alone, not for all. Sent as a TruthValue, 1 or 2; the
    /// RFC's text speaks of 0 and 1.
    3 specific_pri: bool,
    /// Tag of the [`FeedbackActionList`] rows that name the links.
    4 list: u32,
}

row_class! {
    /// A link that is one of a group.
    FeedbackActionList = "frwkFeedbackActionList", entry(2), Install, unique [tag, ref_id];
    /// The group.
    2 tag: u32,
    /// The link.
    3 ref_id: ReferenceId => FeedbackLink,
}

row_class! {
    /// A combination of classes that the PEP can link.
    FeedbackLinkCaps = "frwkFeedbackLinkCaps", entry(3), Notify, unique [selection, usage, threshold];
    /// Entry of the class of the selection.
    2 selection: Oid,
    /// Entry of the class of the usage.
    3 usage: Oid,
    /// Entry of the class of the threshold; 0.0 for none.
    4 threshold: Oid,
}

row_class! {
    /// What is reported of what, and how often.
    FeedbackLink = "frwkFeedbackLink", entry(4), Install, unique [sel, usage];
    /// The row that selects.
    2 sel: Prid,
    /// Entry of the usage class.
    3 usage: Oid,
    /// Intervals of the Accounting Timer between two reports, 1 or more.
    4 interval: i32,
    /// The row that holds a threshold; 0.0 for none.
    5 threshold: Prid,
    /// BITS: see [`LinkFlags`].
    6 flags: OctetString<1>,
}

/// The bits of [`FeedbackLink::flags`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LinkFlags {
    /// Reports come at the interval; without, they come when asked for.
    pub periodic: bool,
    /// They come when the threshold is reached.
    pub threshold: bool,
    /// They come when the values have changed since the last.
    pub change_only: bool,
}

impl LinkFlags {
    /// As they are sent: bit 0 is the most significant.
    pub fn to_octets(self) -> OctetString<1> {
        let bit = |set: bool, bit: u8| if set { 0x80 >> bit } else { 0 };
        let octet = bit(self.periodic, 0) | bit(self.threshold, 1) | bit(self.change_only, 2);
        // One octet fits one octet.
        OctetString::new([octet]).unwrap_or_default()
    }

    /// As they came. Bits that are not sent are 0.
    pub fn from_octets(octets: &OctetString<1>) -> Self {
        let octet = octets.as_octets().first().copied().unwrap_or(0);
        Self {
            periodic: octet & 0x80 != 0,
            threshold: octet & 0x40 != 0,
            change_only: octet & 0x20 != 0,
        }
    }
}

impl FeedbackLink {
    /// Number of the attribute that names the selection.
    pub const SEL: u32 = 2;
    /// Number of the attribute that names the usage class.
    pub const USAGE: u32 = 3;
    /// Number of the attribute that says how often.
    pub const INTERVAL: u32 = 4;
    /// Number of the attribute that names a threshold.
    pub const THRESHOLD: u32 = 5;
    /// Number of the attribute with the flags.
    pub const FLAGS: u32 = 6;

    /// A periodic link of a selection to a usage class, reported once an Accounting Timer.
    pub fn periodic(instance: InstanceId, sel: Prid, usage: Class) -> Self {
        Self {
            instance,
            sel,
            usage: usage.entry(),
            interval: 1,
            threshold: Prid(Oid::zero()),
            flags: LinkFlags {
                periodic: true,
                ..LinkFlags::default()
            }
            .to_octets(),
        }
    }
}

impl FeedbackAction {
    /// A command for all links.
    pub const fn for_all(instance: InstanceId, indicator: Indicator) -> Self {
        Self {
            instance,
            indicator,
            specific_pri: false,
            list: 0,
        }
    }
}

impl FeedbackLinkCaps {
    /// The combinations of the power client-type: readings that a pwrReadingSel row selects, without thresholds.
    pub fn all() -> Vec<Row> {
        (1..)
            .filter_map(InstanceId::new)
            .zip([Class::ReserveReading, Class::ServerReading])
            .map(|(instance, usage)| {
                Row::from(Self {
                    instance,
                    selection: Class::ReadingSel.entry(),
                    usage: usage.entry(),
                    threshold: Oid::zero(),
                })
            })
            .collect()
    }
}

/// Prefix of all rows of this module that a PDP installs: one PPRID of it removes them.
pub fn prefix() -> Oid {
    // Eight sub-identifiers that start 1.3 can always be said.
    Oid::from_arcs(&FRAMEWORK_FEEDBACK_CLASSES).unwrap_or_else(Oid::zero)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_bits_from_the_most_significant_on() {
        let flags = LinkFlags {
            periodic: true,
            threshold: false,
            change_only: true,
        };
        assert_eq!(flags.to_octets().as_octets(), [0b1010_0000]);
        assert_eq!(LinkFlags::from_octets(&flags.to_octets()), flags);
        assert_eq!(
            LinkFlags::from_octets(&OctetString::default()),
            LinkFlags::default(),
            "BITS may leave trailing zeros out"
        );
    }

    #[test]
    fn entries_are_those_of_the_rfc() {
        assert_eq!(
            Class::FeedbackLink.entry().to_string(),
            "1.3.6.1.2.2.5.1.4.1",
            "pib 5, frwkFeedbackGroupClasses 1, table 4, entry 1"
        );
    }
}
