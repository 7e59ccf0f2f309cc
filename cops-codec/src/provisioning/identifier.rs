//! The identifiers of SPPI that rows are built of (RFC 3159 section 5).

use std::fmt;
use std::num::NonZeroU32;

use super::oid::{Oid, OidRef};

/// Number of an instance of a class, given by its sender and kept for the instance's life; never 0
/// (RFC 3159, `InstanceId`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InstanceId(NonZeroU32);

impl InstanceId {
    /// Number 1, which the only instance of a class has by custom.
    pub const FIRST: Self = Self(NonZeroU32::MIN);

    /// `None` for 0.
    pub const fn new(number: u32) -> Option<Self> {
        match NonZeroU32::new(number) {
            Some(number) => Some(Self(number)),
            None => None,
        }
    }

    /// The number.
    pub const fn get(self) -> u32 {
        self.0.get()
    }

    /// The next number; `None` after 2^32-1.
    pub const fn next(self) -> Option<Self> {
        match self.0.checked_add(1) {
            Some(number) => Some(Self(number)),
            None => None,
        }
    }
}

impl fmt::Display for InstanceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Number of an instance of another class, in the same context, which must exist (RFC 3159, `ReferenceId`).
/// Which class, the attribute's PIB-REFERENCES clause says. SPPI lets a definition allow 0 for "none"; no attribute of
/// the power client-type does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReferenceId(pub InstanceId);

impl ReferenceId {
    /// The number.
    pub const fn get(self) -> u32 {
        self.0.get()
    }
}

impl From<InstanceId> for ReferenceId {
    fn from(instance: InstanceId) -> Self {
        Self(instance)
    }
}

impl fmt::Display for ReferenceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Name of a provisioning instance: the identifier of its class's entry and its number (RFC 3084 section 4.1).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Prid(pub Oid);

impl Prid {
    /// The identifier.
    pub fn as_oid(&self) -> OidRef<'_> {
        self.0.as_ref()
    }
}

impl fmt::Display for Prid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
