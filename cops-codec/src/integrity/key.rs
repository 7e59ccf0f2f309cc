//! One key.

use subtle::ConstantTimeEq;
use zeroize::Zeroize;

use crate::wire::KeyId;

/// A point in time by the calendar: milliseconds since 1970-01-01 00:00 UTC. Key lifetimes are told so, since two hosts
/// have to agree on them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnixTime(pub u64);

impl UnixTime {
    /// From whole seconds.
    #[must_use]
    pub const fn from_seconds(seconds: u64) -> Self {
        Self(seconds.saturating_mul(1_000))
    }

    /// Whole seconds.
    #[must_use]
    pub const fn seconds(self) -> u64 {
        self.0 / 1_000
    }
}

/// How the digest is made (RFC 2748 4.2: "an associated cryptographic algorithm parameter").
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Algorithm {
    /// HMAC-MD5 cut to its first 96 bits: the one that every implementation has (RFC 2748 2.2.16).
    #[default]
    HmacMd5_96,
}

impl Algorithm {
    /// As key files write it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::HmacMd5_96 => "hmac-md5-96",
        }
    }
}

/// The octets that both ends share. Overwritten when dropped, compared in constant time, and never shown.
#[derive(Clone)]
pub struct Secret(Vec<u8>);

impl Secret {
    /// The least octets: RFC 2104 3 strongly discourages keys shorter than the hash's output, 16 octets for MD5.
    pub const MIN_OCTETS: usize = 16;

    /// The most octets: more than MD5's block is hashed down by HMAC anyway (RFC 2104 2).
    pub const MAX_OCTETS: usize = 256;

    /// A secret of 16 to 256 octets.
    ///
    /// # Errors
    /// If there are fewer or more. The octets are overwritten then too.
    pub fn new(octets: Vec<u8>) -> Result<Self, KeyError> {
        let secret = Self(octets);
        let found = secret.0.len();
        if (Self::MIN_OCTETS..=Self::MAX_OCTETS).contains(&found) {
            Ok(secret)
        } else {
            Err(KeyError::SecretOctets { found })
        }
    }

    pub(super) fn octets(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        wipe(&mut self.0);
    }
}

/// Overwrites octets that are not needed any more, such as the text of a file of keys.
pub fn wipe(octets: &mut [u8]) {
    octets.zeroize();
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for Secret {}

impl core::fmt::Debug for Secret {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        // Not even its length: that is the first thing to know about a weak one.
        f.write_str("Secret(not shown)")
    }
}

/// From when until when a key is valid (RFC 2748 4.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lifetime {
    not_before: UnixTime,
    not_after: Option<UnixTime>,
}

impl Lifetime {
    /// From the first moment on, up to and without the second; for ever if there is none.
    ///
    /// # Errors
    /// If it ends before it begins.
    pub fn new(not_before: UnixTime, not_after: Option<UnixTime>) -> Result<Self, KeyError> {
        if not_after.is_some_and(|not_after| not_after <= not_before) {
            return Err(KeyError::EmptyLifetime);
        }
        Ok(Self {
            not_before,
            not_after,
        })
    }

    /// The first moment.
    #[must_use]
    pub const fn not_before(&self) -> UnixTime {
        self.not_before
    }

    /// The first moment after it, if it ends.
    #[must_use]
    pub const fn not_after(&self) -> Option<UnixTime> {
        self.not_after
    }

    /// Whether it is valid then.
    #[must_use]
    pub fn contains(&self, now: UnixTime) -> bool {
        self.not_before <= now && self.not_after.is_none_or(|not_after| now < not_after)
    }
}

/// A key between one PEP and its PDP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// Names it on the wire.
    pub id: KeyId,
    /// How digests are made with it.
    pub algorithm: Algorithm,
    /// What they are made with.
    pub secret: Secret,
    /// When it may be used.
    pub lifetime: Lifetime,
}

/// Why something is no key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The secret has too few or too many octets.
    #[error(
        "expected a secret of {} to {} octets, found {found}",
        Secret::MIN_OCTETS,
        Secret::MAX_OCTETS
    )]
    SecretOctets {
        /// How many it has.
        found: usize,
    },
    /// The lifetime holds no moment.
    #[error("expected a lifetime that ends after it begins")]
    EmptyLifetime,
}
