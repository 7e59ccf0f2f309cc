//! PEP Identification (RFC 2748 2.2.11).

use bytes::BufMut;

use super::object::RawObject;
use crate::{
    error::{Fault, FaultKind},
    limits::{Limits, MAX_OBJECT_CONTENTS_OCTETS},
};

/// PEPID, (11,1): the PEP's name, unique in the policy domain and the same after a reboot (RFC 2748 2.2.11).
///
/// On the wire it is ASCII, ended by a NUL and zero padded, and the padding counts in the object's length, against the
/// general rule of RFC 2748 2.2. Received PEPIDs are read up to the first NUL, or to the end where there is none: some
/// implementations leave NUL and padding out. Control characters are refused, since the name ends in logs and file names.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PepId(String);

/// Why a text cannot be a PEPID.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PepIdError {
    /// There is no character in it.
    #[error("expected a PEPID of at least one character, found an empty one")]
    Empty,
    /// A character is not ASCII, or is a control character.
    #[error("expected printable ASCII in a PEPID, found {character:?} at octet {position}")]
    Character {
        /// Which one.
        character: char,
        /// Its octet position in the text.
        position: usize,
    },
    /// It does not fit an object.
    #[error("expected a PEPID of at most {limit} octets, found {found}")]
    TooLong {
        /// The most octets there may be.
        limit: usize,
        /// How many there are.
        found: usize,
    },
}

impl PepId {
    /// The longest name that an object holds beside its NUL and padding.
    pub const MAX_OCTETS: usize = MAX_OBJECT_CONTENTS_OCTETS / 4 * 4 - 1;

    /// A PEPID from printable ASCII.
    ///
    /// # Errors
    /// If it is empty, longer than [`Self::MAX_OCTETS`], or holds anything but printable ASCII.
    pub fn new(name: impl Into<String>) -> Result<Self, PepIdError> {
        let name = name.into();
        if name.is_empty() {
            return Err(PepIdError::Empty);
        }
        if let Some((position, character)) = name.char_indices().find(|(_, c)| !is_allowed(*c)) {
            return Err(PepIdError::Character { character, position });
        }
        if name.len() > Self::MAX_OCTETS {
            return Err(PepIdError::TooLong {
                limit: Self::MAX_OCTETS,
                found: name.len(),
            });
        }
        Ok(Self(name))
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// A name that [`Self::decode`] gave.
    pub(crate) fn from_checked(name: &str) -> Self {
        Self(name.to_owned())
    }

    /// Reads the name out of a received object, without NUL and padding.
    pub(super) fn decode<'a>(object: &RawObject<'a>, limits: &Limits) -> Result<&'a str, Fault> {
        let end = object
            .contents
            .iter()
            .position(|octet| *octet == 0)
            .unwrap_or(object.contents.len());
        let name = &object.contents[..end];
        if name.is_empty() {
            return Err(object.fault(FaultKind::EmptyPepId));
        }
        if name.len() > limits.max_pep_id_octets {
            return Err(object.fault(FaultKind::OverLimit {
                what: "octets in a PEPID",
                limit: limits.max_pep_id_octets,
                found: name.len(),
            }));
        }
        let bad = |position: usize| {
            Fault::new(
                object.contents_offset() + position,
                FaultKind::InvalidValue {
                    object: object.id,
                    expected: "printable ASCII",
                    found: name.get(position).copied().unwrap_or_default().into(),
                },
            )
        };
        match name.iter().position(|octet| !is_allowed((*octet).into())) {
            Some(position) => Err(bad(position)),
            None => core::str::from_utf8(name).map_err(|error| bad(error.valid_up_to())),
        }
    }

    /// Octets of the contents for a name of this many: NUL and padding counted.
    pub(super) const fn contents_octets(name_octets: usize) -> usize {
        (name_octets + 1).next_multiple_of(4)
    }

    pub(super) fn put(name: &str, out: &mut impl BufMut) {
        out.put_slice(name.as_bytes());
        out.put_bytes(0, Self::contents_octets(name.len()) - name.len());
    }
}

/// One rule for both ways.
fn is_allowed(character: char) -> bool {
    matches!(character, ' '..='~')
}

impl core::fmt::Display for PepId {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(&self.0)
    }
}

impl core::str::FromStr for PepId {
    type Err = PepIdError;

    fn from_str(name: &str) -> Result<Self, PepIdError> {
        Self::new(name)
    }
}
