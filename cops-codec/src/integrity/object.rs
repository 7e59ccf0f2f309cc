//! The Integrity object over the octets of a frame (RFC 2748 2.2.16).

use bytes::{BufMut, BytesMut};
use hmac::{Hmac, KeyInit, Mac};
use md5::Md5;
use subtle::ConstantTimeEq;

use super::{
    key::{Algorithm, Key, UnixTime},
    ring::KeyRing,
};
use crate::{
    error::EncodeError,
    framing::Frame,
    limits::Limits,
    wire::{
        CNum, CopsError, ErrorCode, HEADER_OCTETS, HMAC_MD5_96_OCTETS, Integrity, KeyId, ObjectId, Objects,
        RawObject, SequenceNumber,
    },
};

/// Octets that the Integrity object adds to a message under HMAC-MD5-96: its header, Key ID, sequence number, digest.
pub const INTEGRITY_OCTETS: usize = COVERED_OCTETS + HMAC_MD5_96_OCTETS;

/// Those of them that the digest covers.
const COVERED_OCTETS: usize = RawObject::HEADER_OCTETS + Integrity::HMAC_FIXED_OCTETS;

/// What is wrong with the Integrity object of a message, or that there is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IntegrityFault {
    /// There is none.
    #[error("expected an Integrity object, found none")]
    Missing,
    /// It is of another kind than was negotiated, or is not known at all.
    #[error("expected an Integrity object of C-Type 1, found {0}")]
    OtherType(ObjectId),
    /// Its digest has not the length that the key's algorithm gives it, so it is not what was sent.
    #[error("expected a digest of {HMAC_MD5_96_OCTETS} octets in Integrity, found {found}")]
    DigestOctets {
        /// How many there are.
        found: usize,
    },
    /// Its Key ID is not one of the other end's keys.
    #[error("expected the Key ID of a key that is shared with the other end, found {}", .0.0)]
    UnknownKey(KeyId),
    /// Its key is not valid yet, or no longer.
    #[error("expected a key within its lifetime, found {}, which is not", .0.0)]
    KeyNotValid(KeyId),
    /// The message is not what the owner of the key sent.
    #[error("expected a digest made with key {}, found another", .0.0)]
    Digest(KeyId),
    /// The message is not the next one of its direction: one was left out, repeated or moved.
    #[error("expected sequence number {}, found {}", expected.0, found.0)]
    SequenceNumber {
        /// That of the next message.
        expected: SequenceNumber,
        /// That of this one.
        found: SequenceNumber,
    },
}

impl IntegrityFault {
    /// What the sender is told (RFC 2748 4.1).
    ///
    /// Error 14 for whatever is wrong with key, digest or number: the wire does not say which. Error 15 names the Integrity
    /// object that is wanted in its sub-code (RFC 4261 4.2).
    #[must_use]
    pub const fn error(&self) -> CopsError {
        match self {
            Self::Missing => CopsError {
                code: ErrorCode::AUTHENTICATION_REQUIRED,
                sub_code: HMAC.as_sub_code(),
            },
            Self::OtherType(object) => CopsError::unknown_object(*object),
            Self::DigestOctets { .. }
            | Self::UnknownKey(_)
            | Self::KeyNotValid(_)
            | Self::Digest(_)
            | Self::SequenceNumber { .. } => CopsError::new(ErrorCode::AUTHENTICATION_FAILURE),
        }
    }
}

/// Integrity of C-Type 1.
const HMAC: ObjectId = ObjectId {
    c_num: CNum::INTEGRITY,
    c_type: Integrity::HMAC,
};

/// HMAC with MD5, the leftmost 96 bits of it (RFC 2748 2.2.16, RFC 2104).
#[must_use]
pub fn hmac_md5_96(secret: &[u8], octets: &[u8]) -> [u8; HMAC_MD5_96_OCTETS] {
    // HMAC takes a key of any length; the branch that refuses one is never taken.
    let Ok(mut mac) = Hmac::<Md5>::new_from_slice(secret) else {
        unreachable!("HMAC takes keys of any length")
    };
    mac.update(octets);
    let whole = mac.finalize().into_bytes();
    core::array::from_fn(|place| whole[place])
}

/// Appends the Integrity object to a message that has none.
///
/// The digest covers the message from its header on, message length and object length as they are sent, up to and with
/// the sequence number (RFC 2748 2.2.16).
///
/// # Errors
/// If the message becomes longer than `limits` allow.
pub fn sign(frame: &Frame, key: &Key, number: SequenceNumber, limits: &Limits) -> Result<Frame, EncodeError> {
    const LENGTH_OFFSET: usize = 4;
    let octets = frame.len() + INTEGRITY_OCTETS;
    let limit = limits.max_message_octets;
    let too_long = EncodeError::MessageTooLong { limit, found: octets };
    if octets > limit {
        return Err(too_long);
    }
    let length = u32::try_from(octets).map_err(|_| too_long)?;
    let mut out = BytesMut::with_capacity(octets);
    out.extend_from_slice(frame);
    out[LENGTH_OFFSET..HEADER_OCTETS].copy_from_slice(&length.to_be_bytes());
    out.put_u16(INTEGRITY_OCTETS as u16);
    out.put_u8(HMAC.c_num.0);
    out.put_u8(HMAC.c_type.0);
    out.put_u32(key.id.0);
    out.put_u32(number.0);
    let digest = match key.algorithm {
        Algorithm::HmacMd5_96 => hmac_md5_96(key.secret.octets(), &out),
    };
    out.extend_from_slice(&digest);
    Ok(Frame::from_encoded(out.freeze()))
}

/// Checks the Integrity object of a received message, and gives its key and number. Whether the number is the right one is
/// for the connection to say.
///
/// The object is looked for at the end of the message, where RFC 2748 3 has it, so that also a message whose objects make
/// no sense is known to be the other end's, and answered as such.
///
/// # Errors
/// If the object is not there, its key is not valid now, or the digest is another one.
pub fn verify(
    frame: &Frame,
    ring: &KeyRing,
    now: UnixTime,
) -> Result<(KeyId, SequenceNumber), IntegrityFault> {
    let Some((covered, key_id, number, digest)) = split(frame) else {
        return Err(explain(frame));
    };
    let key = ring.get(key_id).ok_or(IntegrityFault::UnknownKey(key_id))?;
    if !key.lifetime.contains(now) {
        return Err(IntegrityFault::KeyNotValid(key_id));
    }
    let expected = match key.algorithm {
        Algorithm::HmacMd5_96 => hmac_md5_96(key.secret.octets(), covered),
    };
    // In constant time: how much of a guess was right must not be told by how long it took.
    if bool::from(expected.ct_eq(digest)) {
        Ok((key_id, number))
    } else {
        Err(IntegrityFault::Digest(key_id))
    }
}

/// What the digest covers, Key ID, number and digest, if the message ends with an HMAC-MD5-96 Integrity object.
fn split(frame: &Frame) -> Option<(&[u8], KeyId, SequenceNumber, &[u8; HMAC_MD5_96_OCTETS])> {
    const HEADER: [u8; RawObject::HEADER_OCTETS] = [0, INTEGRITY_OCTETS as u8, HMAC.c_num.0, HMAC.c_type.0];
    let octets: &[u8] = frame;
    let (covered, digest) = octets.split_last_chunk::<HMAC_MD5_96_OCTETS>()?;
    let (rest, number) = covered.split_last_chunk::<4>()?;
    let (rest, key_id) = rest.split_last_chunk::<4>()?;
    let (rest, header) = rest.split_last_chunk::<{ RawObject::HEADER_OCTETS }>()?;
    (*header == HEADER && rest.len() >= HEADER_OCTETS).then_some((
        covered,
        KeyId(u32::from_be_bytes(*key_id)),
        SequenceNumber(u32::from_be_bytes(*number)),
        digest,
    ))
}

/// Why there is no such object at the end.
fn explain(frame: &Frame) -> IntegrityFault {
    let last = Objects::new(frame)
        .map_while(Result::ok)
        .filter(|object| object.id.c_num == CNum::INTEGRITY)
        .last();
    match last {
        Some(object) if object.id != HMAC => IntegrityFault::OtherType(object.id),
        Some(object) => match object.contents.len().saturating_sub(Integrity::HMAC_FIXED_OCTETS) {
            // Of the right kind, and not the last object.
            HMAC_MD5_96_OCTETS => IntegrityFault::Missing,
            found => IntegrityFault::DigestOctets { found },
        },
        None => IntegrityFault::Missing,
    }
}
