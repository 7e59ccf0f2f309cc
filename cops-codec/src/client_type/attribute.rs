//! The types of attributes and how each is said in BER.

use std::fmt;

use crate::provisioning::ber::Value;
use crate::provisioning::{InstanceId, Oid, Prid, ReferenceId};

/// The SPPI type of an attribute, as the module writes it in its SYNTAX clause.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Syntax {
    /// `InstanceId`: the index attribute.
    InstanceId,
    /// `ReferenceId`; PIB-REFERENCES names the class.
    ReferenceId,
    /// `Prid`.
    Prid,
    /// `PrcIdentifierOid`: identifier of a class.
    PrcIdentifierOid,
    /// `Integer32`.
    Integer32,
    /// `Unsigned32 (min..max)`.
    Unsigned32 {
        /// Least value.
        min: u32,
        /// Largest value.
        max: u32,
    },
    /// `Unsigned64`, in our module always through a textual convention.
    Unsigned64,
    /// `TruthValue`: 1 true, 2 false.
    TruthValue,
    /// `INTEGER { label(number), ... }`. Labels are the variants' names; the module writes them with a small first
    /// letter.
    Enumeration(&'static [(&'static str, i32)]),
    /// `OCTET STRING (SIZE (min..max))`.
    OctetString {
        /// Least octets.
        min: usize,
        /// Most octets.
        max: usize,
        /// Whether the octets must be UTF-8.
        text: bool,
    },
    /// `OCTET STRING (SIZE (0 | 32))`: a SHA-256, or none.
    DigestOrNone,
}

/// Why a value is not one of an attribute's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum AttributeFault {
    /// Another BER type.
    WrongType,
    /// Right type, but outside the range, the enumeration or the alphabet.
    Value(String),
    /// More octets than the SIZE clause allows.
    TooLong(usize),
    /// A reference of 0.
    NoReference,
}

/// A type that attributes can have.
pub(super) trait Attribute: Sized {
    /// As the module says it.
    const SYNTAX: Syntax;
    /// What an error says was expected.
    const EXPECTED: &'static str;
    /// Most octets of the BER value.
    const MAX_OCTETS: usize;

    /// Appends the BER value.
    fn encode(&self, out: &mut Vec<u8>);

    /// From a BER value that is not NULL.
    fn decode(value: Value<'_>) -> Result<Self, AttributeFault>;

    /// The number of the instance that the attribute refers to, if it is a ReferenceId.
    fn reference(&self) -> Option<InstanceId> {
        None
    }
}

/// Octets of tag and longest length field of contents up to `max` octets.
const fn string_octets(max: usize) -> usize {
    match max {
        0..128 => 2 + max,
        128..256 => 3 + max,
        _ => 4 + max,
    }
}

/// An Unsigned32; with tag 02 too, as RFC 3084's example sends it.
fn unsigned32(value: Value<'_>) -> Result<u32, AttributeFault> {
    match value {
        Value::Unsigned32(number) => Ok(number),
        Value::Integer(number) => {
            u32::try_from(number).map_err(|_| AttributeFault::Value(number.to_string()))
        }
        _ => Err(AttributeFault::WrongType),
    }
}

fn octets(value: Value<'_>, min: usize, max: usize) -> Result<&[u8], AttributeFault> {
    match value {
        Value::OctetString(octets) if octets.len() > max => Err(AttributeFault::TooLong(octets.len())),
        Value::OctetString(octets) if octets.len() < min => {
            Err(AttributeFault::Value(format!("{} octets", octets.len())))
        }
        Value::OctetString(octets) => Ok(octets),
        _ => Err(AttributeFault::WrongType),
    }
}

pub(super) fn utf8(value: Value<'_>, min: usize, max: usize) -> Result<&str, AttributeFault> {
    std::str::from_utf8(octets(value, min, max)?)
        .map_err(|_| AttributeFault::Value("octets that are not UTF-8".into()))
}

pub(super) fn encode_str(text: &str, out: &mut Vec<u8>) {
    Value::OctetString(text.as_bytes()).encode(out);
}

impl Attribute for u32 {
    const SYNTAX: Syntax = Syntax::Unsigned32 {
        min: 0,
        max: u32::MAX,
    };
    const EXPECTED: &'static str = "an Unsigned32";
    const MAX_OCTETS: usize = 7;

    fn encode(&self, out: &mut Vec<u8>) {
        Value::Unsigned32(*self).encode(out);
    }

    fn decode(value: Value<'_>) -> Result<Self, AttributeFault> {
        unsigned32(value)
    }
}

impl Attribute for u16 {
    const SYNTAX: Syntax = Syntax::Unsigned32 {
        min: 0,
        max: u16::MAX as u32,
    };
    const EXPECTED: &'static str = "an Unsigned32 (0..65535)";
    const MAX_OCTETS: usize = 5;

    fn encode(&self, out: &mut Vec<u8>) {
        Value::Unsigned32(u32::from(*self)).encode(out);
    }

    fn decode(value: Value<'_>) -> Result<Self, AttributeFault> {
        let number = unsigned32(value)?;
        Self::try_from(number).map_err(|_| AttributeFault::Value(number.to_string()))
    }
}

impl Attribute for i32 {
    const SYNTAX: Syntax = Syntax::Integer32;
    const EXPECTED: &'static str = "an Integer32";
    const MAX_OCTETS: usize = 6;

    fn encode(&self, out: &mut Vec<u8>) {
        Value::Integer(i64::from(*self)).encode(out);
    }

    fn decode(value: Value<'_>) -> Result<Self, AttributeFault> {
        match value {
            Value::Integer(number) => {
                Self::try_from(number).map_err(|_| AttributeFault::Value(number.to_string()))
            }
            _ => Err(AttributeFault::WrongType),
        }
    }
}

impl Attribute for u64 {
    const SYNTAX: Syntax = Syntax::Unsigned64;
    const EXPECTED: &'static str = "an Unsigned64";
    const MAX_OCTETS: usize = 11;

    fn encode(&self, out: &mut Vec<u8>) {
        Value::Unsigned64(*self).encode(out);
    }

    fn decode(value: Value<'_>) -> Result<Self, AttributeFault> {
        match value {
            Value::Unsigned64(number) => Ok(number),
            _ => Err(AttributeFault::WrongType),
        }
    }
}

impl Attribute for bool {
    const SYNTAX: Syntax = Syntax::TruthValue;
    const EXPECTED: &'static str = "a TruthValue, 1 or 2";
    const MAX_OCTETS: usize = 3;

    fn encode(&self, out: &mut Vec<u8>) {
        Value::Integer(if *self { 1 } else { 2 }).encode(out);
    }

    fn decode(value: Value<'_>) -> Result<Self, AttributeFault> {
        match value {
            Value::Integer(1) => Ok(true),
            Value::Integer(2) => Ok(false),
            Value::Integer(number) => Err(AttributeFault::Value(number.to_string())),
            _ => Err(AttributeFault::WrongType),
        }
    }
}

impl Attribute for InstanceId {
    const SYNTAX: Syntax = Syntax::InstanceId;
    const EXPECTED: &'static str = "an InstanceId, 1 or more";
    const MAX_OCTETS: usize = 7;

    fn encode(&self, out: &mut Vec<u8>) {
        self.get().encode(out);
    }

    fn decode(value: Value<'_>) -> Result<Self, AttributeFault> {
        Self::new(unsigned32(value)?).ok_or_else(|| AttributeFault::Value("0".into()))
    }
}

/// `frwkErrorInstance` alone: "must be set to zero if unused" (RFC 3318).
impl Attribute for Option<InstanceId> {
    const SYNTAX: Syntax = Syntax::InstanceId;
    const EXPECTED: &'static str = "an InstanceId, or 0 for none";
    const MAX_OCTETS: usize = 7;

    fn encode(&self, out: &mut Vec<u8>) {
        self.map_or(0, InstanceId::get).encode(out);
    }

    fn decode(value: Value<'_>) -> Result<Self, AttributeFault> {
        unsigned32(value).map(InstanceId::new)
    }
}

impl Attribute for ReferenceId {
    const SYNTAX: Syntax = Syntax::ReferenceId;
    const EXPECTED: &'static str = "a ReferenceId of an instance that exists";
    const MAX_OCTETS: usize = 7;

    fn encode(&self, out: &mut Vec<u8>) {
        self.get().encode(out);
    }

    fn decode(value: Value<'_>) -> Result<Self, AttributeFault> {
        InstanceId::new(unsigned32(value)?)
            .map(Self)
            .ok_or(AttributeFault::NoReference)
    }

    fn reference(&self) -> Option<InstanceId> {
        Some(self.0)
    }
}

fn object_identifier(value: Value<'_>) -> Result<Oid, AttributeFault> {
    match value {
        Value::ObjectIdentifier(oid) => Ok(oid.to_oid()),
        _ => Err(AttributeFault::WrongType),
    }
}

/// 127 sub-identifiers on the wire, of at most 5 octets.
const OID_MAX_OCTETS: usize = string_octets(127 * 5);

impl Attribute for Prid {
    const SYNTAX: Syntax = Syntax::Prid;
    const EXPECTED: &'static str = "a Prid";
    const MAX_OCTETS: usize = OID_MAX_OCTETS;

    fn encode(&self, out: &mut Vec<u8>) {
        Value::ObjectIdentifier(self.as_oid()).encode(out);
    }

    fn decode(value: Value<'_>) -> Result<Self, AttributeFault> {
        object_identifier(value).map(Self)
    }
}

impl Attribute for Oid {
    const SYNTAX: Syntax = Syntax::PrcIdentifierOid;
    const EXPECTED: &'static str = "a PrcIdentifierOid";
    const MAX_OCTETS: usize = OID_MAX_OCTETS;

    fn encode(&self, out: &mut Vec<u8>) {
        Value::ObjectIdentifier(self.as_ref()).encode(out);
    }

    fn decode(value: Value<'_>) -> Result<Self, AttributeFault> {
        object_identifier(value)
    }
}

/// An Unsigned32 within a range that the module gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bounded<const MIN: u32, const MAX: u32>(u32);

impl<const MIN: u32, const MAX: u32> Bounded<MIN, MAX> {
    /// The least value.
    pub const MIN: Self = Self(MIN);
    /// The largest value.
    pub const MAX: Self = Self(MAX);

    /// `None` outside the range.
    pub const fn new(number: u32) -> Option<Self> {
        if MIN <= number && number <= MAX {
            Some(Self(number))
        } else {
            None
        }
    }

    /// The value of the range nearest to `number`.
    pub const fn clamped(number: u32) -> Self {
        if number < MIN {
            Self::MIN
        } else if number > MAX {
            Self::MAX
        } else {
            Self(number)
        }
    }

    /// The number.
    pub const fn get(self) -> u32 {
        self.0
    }
}

impl<const MIN: u32, const MAX: u32> Attribute for Bounded<MIN, MAX> {
    const SYNTAX: Syntax = Syntax::Unsigned32 { min: MIN, max: MAX };
    const EXPECTED: &'static str = "an Unsigned32 within the range of the module";
    const MAX_OCTETS: usize = 7;

    fn encode(&self, out: &mut Vec<u8>) {
        self.0.encode(out);
    }

    fn decode(value: Value<'_>) -> Result<Self, AttributeFault> {
        let number = unsigned32(value)?;
        Self::new(number).ok_or_else(|| AttributeFault::Value(number.to_string()))
    }
}

impl<const MIN: u32, const MAX: u32> fmt::Display for Bounded<MIN, MAX> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Octets without a meaning here, of a bounded number.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct OctetString<const MAX: usize>(Vec<u8>);

impl<const MAX: usize> OctetString<MAX> {
    /// `None` if there are more than `MAX`.
    pub fn new(octets: impl Into<Vec<u8>>) -> Option<Self> {
        let octets = octets.into();
        (octets.len() <= MAX).then_some(Self(octets))
    }

    /// The octets.
    pub fn as_octets(&self) -> &[u8] {
        &self.0
    }
}

impl<const MAX: usize> Attribute for OctetString<MAX> {
    const SYNTAX: Syntax = Syntax::OctetString {
        min: 0,
        max: MAX,
        text: false,
    };
    const EXPECTED: &'static str = "an OCTET STRING within the SIZE of the module";
    const MAX_OCTETS: usize = string_octets(MAX);

    fn encode(&self, out: &mut Vec<u8>) {
        Value::OctetString(&self.0).encode(out);
    }

    fn decode(value: Value<'_>) -> Result<Self, AttributeFault> {
        octets(value, 0, MAX).map(|octets| Self(octets.to_vec()))
    }
}

/// A SHA-256 over rows.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest(pub [u8; 32]);

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|octet| write!(f, "{octet:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Attribute for Digest {
    const SYNTAX: Syntax = Syntax::OctetString {
        min: 32,
        max: 32,
        text: false,
    };
    const EXPECTED: &'static str = "a digest of 32 octets";
    const MAX_OCTETS: usize = string_octets(32);

    fn encode(&self, out: &mut Vec<u8>) {
        Value::OctetString(&self.0).encode(out);
    }

    fn decode(value: Value<'_>) -> Result<Self, AttributeFault> {
        let octets = octets(value, 32, 32)?;
        octets
            .try_into()
            .map(Self)
            .map_err(|_| AttributeFault::Value(format!("{} octets", octets.len())))
    }
}

impl Attribute for Option<Digest> {
    const SYNTAX: Syntax = Syntax::DigestOrNone;
    const EXPECTED: &'static str = "a digest of 32 octets, or none";
    const MAX_OCTETS: usize = string_octets(32);

    fn encode(&self, out: &mut Vec<u8>) {
        let octets = self.as_ref().map_or(&[][..], |digest| &digest.0);
        Value::OctetString(octets).encode(out);
    }

    fn decode(value: Value<'_>) -> Result<Self, AttributeFault> {
        match octets(value, 0, 32)? {
            [] => Ok(None),
            some => match some.try_into() {
                Ok(digest) => Ok(Some(Digest(digest))),
                Err(_) => Err(AttributeFault::Value(format!("{} octets", some.len()))),
            },
        }
    }
}
