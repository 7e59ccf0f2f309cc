//! Classes of FRAMEWORK-PIB (RFC 3318 section 5) that every context carries, and the error rows of a refused REQ.

use super::attribute::{Attribute, AttributeFault, Bounded, OctetString, Syntax, encode_str, utf8};
use super::class::RowId;
use super::macros::{enumeration, row_class};
use super::numbers::FRAMEWORK_BASE_CLASSES;
use super::row::{Class, Row};
use super::row_error::RowError;
use crate::provisioning::ber::Value;
use crate::provisioning::{InstanceId, Oid};
use std::fmt;
use std::sync::Arc;

/// Identifier of the entry of class `arc` of `frwkBasePibClasses`.
const fn entry(arc: u32) -> [u32; 10] {
    let [a, b, c, d, e, f, g, h] = FRAMEWORK_BASE_CLASSES;
    [a, b, c, d, e, f, g, h, arc, 1]
}

/// `SnmpAdminString` of at most 255 octets: UTF-8. Unlike our own names it may hold line ends. A clone is cheap.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AdminString(Arc<str>);

impl AdminString {
    /// Most octets.
    pub const MAX_OCTETS: usize = 255;

    /// `None` if `text` is too long.
    pub fn new(text: &str) -> Option<Self> {
        (text.len() <= Self::MAX_OCTETS).then(|| Self(text.into()))
    }

    /// The empty string: not given.
    pub fn empty() -> Self {
        Self("".into())
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for AdminString {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Attribute for AdminString {
    const SYNTAX: Syntax = Syntax::OctetString {
        min: 0,
        max: Self::MAX_OCTETS,
        text: true,
    };
    const EXPECTED: &'static str = "UTF-8 of at most 255 octets";
    const MAX_OCTETS: usize = 3 + Self::MAX_OCTETS;

    fn encode(&self, out: &mut Vec<u8>) {
        encode_str(&self.0, out);
    }

    fn decode(value: Value<'_>) -> Result<Self, AttributeFault> {
        utf8(value, 0, Self::MAX_OCTETS).map(|text| Self(text.into()))
    }
}

/// An octet string of at most 255 octets.
pub type Octets = OctetString<255>;

enumeration! {
    /// What becomes of installed policy when the PDP is gone.
    Longevity {
        /// It stays.
        ExpireNever = 1,
        /// It goes at once.
        ExpireImmediate = 2,
        /// It goes after [`PibIncarnation::ttl`].
        ExpireOnTimeout = 3,
    }
}

row_class! {
    /// A class that the PEP supports, and which of its attributes. Every class that can be installed is listed.
    PrcSupport = "frwkPrcSupport", entry(1), Notify, unique [supported_prc];
    /// Identifier of the class's entry.
    2 supported_prc: Oid,
    /// One bit an attribute, the most significant bit of the first octet for attribute 1.
    3 supported_attrs: Octets,
}

row_class! {
    /// The one row of a context that says who installed it, for how long, and whether it is active.
    PibIncarnation = "frwkPibIncarnation", entry(2), InstallNotify, unique [];
    /// Name of the PDP that installed the context; empty if none did.
    2 name: AdminString = AdminString::empty(),
    /// Its mark of the incarnation; the power client-type writes an [`PlanVersion`](super::power::PlanVersion).
    3 id: Octets = Octets::default(),
    /// What becomes of the context when the PDP is gone.
    4 longevity: Longevity,
    /// Seconds for which it stays, if longevity is `expireOnTimeout`.
    5 ttl: u32,
    /// Whether it is a configuration context, of which at most one is active.
    6 in_ctxt_set: bool,
    /// Whether it is active.
    7 active: bool,
    /// In a REQ: whether the REQ holds the whole request state. Without meaning in a DEC.
    8 full_state: bool,
}

row_class! {
    /// What the PEP is and how much it takes.
    DeviceId = "frwkDeviceId", entry(3), Notify, unique [];
    /// Names hardware and software, with versions. The RFC asks for one octet at least; none is taken as well.
    2 descr: AdminString,
    /// Octets of the largest message that the PEP takes.
    3 max_msg: Bounded<64, { u32::MAX }> = Bounded::MAX,
    /// Contexts that it can hold.
    4 max_contexts: Bounded<1, { u32::MAX }> = Bounded::MAX,
}

row_class! {
    /// Why a REQ was not taken (RFC 3318 section 2.3.6). Tells of one transaction and is not kept.
    FrameworkError = "frwkError", entry(6), Install, unique [code, sub_code, prc, error_instance];
    /// Error-Code of a CPERR.
    2 code: u16,
    /// Sub-code of a CPERR.
    3 sub_code: u16,
    /// Identifier of the entry of the class that is at fault.
    4 prc: Oid,
    /// The instance of it that is at fault.
    5 error_instance: Option<InstanceId>,
}

impl PrcSupport {
    /// Says that all attributes of `class` are supported.
    pub fn of(instance: InstanceId, class: Class) -> Self {
        let mut bits = vec![0_u8; class.attributes().len().div_ceil(8)];
        for index in 0..class.attributes().len() {
            if let Some(octet) = bits.get_mut(index / 8) {
                *octet |= 0x80 >> (index % 8);
            }
        }
        // 127 attributes at most (RFC 3159 section 7.1.8) are 16 octets.
        let supported_attrs = Octets::new(bits).unwrap_or_default();
        Self {
            instance,
            supported_prc: class.entry(),
            supported_attrs,
        }
    }

    /// The rows of a PEP that supports every class that can be installed.
    pub fn all() -> Vec<Self> {
        let installed = Class::ALL.iter().filter(|class| class.access().is_installed());
        (1..)
            .filter_map(InstanceId::new)
            .zip(installed)
            .map(|(instance, class)| Self::of(instance, *class))
            .collect()
    }

    /// Whether `attribute` (from 1) of the class is supported. Bits that are not sent are 0.
    pub fn supports(&self, attribute: u32) -> bool {
        let Some(index) = attribute.checked_sub(1) else {
            return false;
        };
        let octet = usize::try_from(index / 8)
            .ok()
            .and_then(|at| self.supported_attrs.as_octets().get(at));
        octet.is_some_and(|octet| octet & (0x80 >> (index % 8)) != 0)
    }
}

impl PibIncarnation {
    /// Number of the attribute that says whether a REQ is full state.
    pub const FULL_STATE: u32 = 8;
    /// Number of the attribute that says whether the context is one of the configuration contexts.
    pub const IN_CTXT_SET: u32 = 6;

    /// The row with which a PEP opens a context that no PDP has written yet.
    pub fn opening(longevity: Longevity, ttl_seconds: u32) -> Self {
        Self {
            instance: InstanceId::FIRST,
            name: AdminString::empty(),
            id: Octets::default(),
            longevity,
            ttl: ttl_seconds,
            in_ctxt_set: true,
            active: false,
            full_state: true,
        }
    }
}

impl FrameworkError {
    /// The rows that tell a PEP why its REQ was refused, numbered from 1. Errors that would give equal rows are told
    /// once, as the class's UNIQUENESS clause demands.
    pub fn of(errors: &[RowError]) -> Vec<Self> {
        let mut rows: Vec<Self> = Vec::new();
        let mut instance = Some(InstanceId::FIRST);
        for error in errors {
            let class_error = error.fault.class_error();
            let (prc, error_instance) = match error.id() {
                Some(RowId { class, instance }) => (class.entry(), Some(instance)),
                None => match error.prid.as_oid().split_last() {
                    Some((class, last)) => (class.to_oid(), InstanceId::new(last)),
                    None => (error.prid.0.clone(), None),
                },
            };
            let Some(number) = instance else { break };
            let row = Self {
                instance: number,
                code: class_error.code.0,
                sub_code: class_error.sub_code,
                prc,
                error_instance,
            };
            if rows
                .iter()
                .all(|other| Row::from(other.clone()).unique_key() != Row::from(row.clone()).unique_key())
            {
                rows.push(row);
                instance = number.next();
            }
        }
        rows
    }
}
