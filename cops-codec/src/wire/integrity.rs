//! Message Integrity (RFC 2748 2.2.16) and Integrity-TLS (RFC 4261 4.1).

use bytes::{BufMut, Bytes};

use super::{
    number::bit_set,
    object::{CType, ObjectRef, RawObject},
    parse::{self, be_u16, be_u32, rest},
};
use crate::{
    error::{Fault, FaultKind},
    limits::Limits,
};

/// Octets of the digest under HMAC-MD5-96, the algorithm that every implementation supports (RFC 2748 2.2.16).
pub const HMAC_MD5_96_OCTETS: usize = 12;

/// Names a key, and with it the algorithm, between one PEP and its PDP (RFC 2748 2.2.16, 4.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(pub u32);

/// Counts the messages of one direction of a connection (RFC 2748 2.2.16).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SequenceNumber(pub u32);

impl SequenceNumber {
    /// The number of the next message: after 0xFFFFFFFF comes 0. It has no order for the same reason.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.wrapping_add(1))
    }
}

bit_set! {
    /// Flags of Integrity-TLS (RFC 4261 4.1).
    pub struct IntegrityTlsFlags {
        /// The sender wants a TLS handshake.
        START_TLS = 0x01, "StartTLS";
    }
}

/// Integrity, (16,1) and (16,2): always the last object of a message (RFC 2748 2.2.16, 3).
///
/// It is data here. The digest covers the octets as they were sent, so it is made and verified over a
/// [`Frame`](crate::framing::Frame), never over a re-encoding.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Integrity {
    /// C-Type 1, HMAC digest.
    ///
    /// ```text
    ///  +-------------+-------------+-------------+-------------+
    ///  |                        Key ID                         |
    ///  +-------------+-------------+-------------+-------------+
    ///  |                    Sequence Number                    |
    ///  +-------------+-------------+-------------+-------------+
    ///  //              Keyed Message Digest                   //
    ///  +-------------+-------------+-------------+-------------+
    /// ```
    Hmac {
        /// The key and algorithm.
        key_id: KeyId,
        /// This message's number in its direction.
        sequence_number: SequenceNumber,
        /// The digest; [`HMAC_MD5_96_OCTETS`] with HMAC-MD5-96. Which length is right depends on the key.
        digest: Bytes,
    },
    /// C-Type 2, Integrity-TLS (RFC 4261 4.1): 16 reserved bits, then the flags.
    Tls {
        /// What the sender wants.
        flags: IntegrityTlsFlags,
    },
}

impl Integrity {
    pub(crate) const HMAC: CType = CType(1);
    pub(crate) const TLS: CType = CType(2);

    /// Octets before the digest.
    pub(crate) const HMAC_FIXED_OCTETS: usize = 8;

    pub(super) fn decode_hmac<'a>(object: &RawObject<'a>, limits: &Limits) -> Result<ObjectRef<'a>, Fault> {
        let (key_id, sequence_number, digest) = parse::contents(object, (be_u32, be_u32, rest))?;
        if digest.len() > limits.max_digest_octets {
            return Err(object.fault(FaultKind::OverLimit {
                what: "octets in a digest",
                limit: limits.max_digest_octets,
                found: digest.len(),
            }));
        }
        Ok(ObjectRef::IntegrityHmac {
            key_id: KeyId(key_id),
            sequence_number: SequenceNumber(sequence_number),
            digest,
        })
    }

    pub(super) fn decode_tls(object: &RawObject<'_>) -> Result<IntegrityTlsFlags, Fault> {
        let (_reserved, flags) = parse::contents(object, (be_u16, be_u16))?;
        Ok(IntegrityTlsFlags(flags))
    }

    pub(super) fn put_hmac(
        key_id: KeyId,
        sequence_number: SequenceNumber,
        digest: &[u8],
        out: &mut impl BufMut,
    ) {
        out.put_u32(key_id.0);
        out.put_u32(sequence_number.0);
        out.put_slice(digest);
    }

    pub(super) fn put_tls(flags: IntegrityTlsFlags, out: &mut impl BufMut) {
        out.put_u16(0);
        out.put_u16(flags.0);
    }

    /// The object as it is encoded.
    #[must_use]
    pub fn as_object(&self) -> ObjectRef<'_> {
        match self {
            Self::Hmac {
                key_id,
                sequence_number,
                digest,
            } => ObjectRef::IntegrityHmac {
                key_id: *key_id,
                sequence_number: *sequence_number,
                digest,
            },
            Self::Tls { flags } => ObjectRef::IntegrityTls(*flags),
        }
    }
}
