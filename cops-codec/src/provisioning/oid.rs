//! Object identifiers, borrowed from a message and owned.

use std::fmt;
use std::sync::Arc;

/// Sub-identifiers an object identifier may have (RFC 2578 section 3.5, which RFC 3159 builds on).
pub const MAX_SUB_IDENTIFIERS: usize = 128;

/// The contents of a BER object identifier, checked and borrowed.
///
/// The octets are those of RFC 3084 section 4.1: base-128 sub-identifiers, the first of them `40 * a + b`. Because a
/// sub-identifier with a leading 0x80 is refused, equal identifiers have equal octets, and a prefix of the
/// identifier is a prefix of the octets.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct OidRef<'a>(&'a [u8]);

impl<'a> OidRef<'a> {
    /// `0.0`, as [`Oid::zero`].
    pub(crate) const ZERO: OidRef<'static> = OidRef(&[0]);

    /// Checks `content`, the contents of an OBJECT IDENTIFIER value.
    ///
    /// # Errors
    ///
    /// Says what was expected: no octets, a sub-identifier with a leading 0x80, one over 2^32-1, an unfinished one, or
    /// more than [`MAX_SUB_IDENTIFIERS`].
    pub fn new(content: &'a [u8]) -> Result<Self, &'static str> {
        if content.is_empty() {
            return Err("an object identifier of at least one octet");
        }
        let (mut value, mut fresh, mut count) = (0_u64, true, 0_usize);
        for &octet in content {
            if fresh && octet == 0x80 {
                return Err("a sub-identifier without a leading 80");
            }
            value = (value << 7) | u64::from(octet & 0x7f);
            if value > u64::from(u32::MAX) {
                return Err("a sub-identifier of at most 4294967295");
            }
            fresh = octet & 0x80 == 0;
            if fresh {
                value = 0;
                count += 1;
            }
        }
        if !fresh {
            return Err("a last octet that ends a sub-identifier");
        }
        // The first sub-identifier on the wire stands for two.
        if count >= MAX_SUB_IDENTIFIERS {
            return Err("at most 128 sub-identifiers");
        }
        Ok(Self(content))
    }

    /// The contents octets.
    pub fn as_octets(self) -> &'a [u8] {
        self.0
    }

    /// The sub-identifiers, first to last.
    pub fn arcs(self) -> impl Iterator<Item = u32> + 'a {
        let (mut rest, mut second) = (self.0, None::<u32>);
        std::iter::from_fn(move || {
            if let Some(arc) = second.take() {
                return Some(arc);
            }
            let at_start = rest.len() == self.0.len();
            let mut value = 0_u32;
            while let Some((&octet, tail)) = rest.split_first() {
                rest = tail;
                value = (value << 7) | u32::from(octet & 0x7f);
                if octet & 0x80 == 0 {
                    if !at_start {
                        return Some(value);
                    }
                    let first = (value / 40).min(2);
                    second = Some(value - 40 * first);
                    return Some(first);
                }
            }
            None
        })
    }

    /// Splits off the last sub-identifier: the identifier of the class and the instance of a PRID.
    /// `None` if fewer than three sub-identifiers are there.
    pub fn split_last(self) -> Option<(OidRef<'a>, u32)> {
        let body = self.0.get(..self.0.len().checked_sub(1)?)?;
        let start = body.iter().rposition(|octet| octet & 0x80 == 0)? + 1;
        let (class, last) = self.0.split_at(start);
        let value = last
            .iter()
            .fold(0_u32, |value, octet| (value << 7) | u32::from(octet & 0x7f));
        Some((OidRef(class), value))
    }

    /// Whether `self` is a prefix of `other`, by whole sub-identifiers; an identifier is a prefix of itself.
    pub fn is_prefix_of(self, other: OidRef<'_>) -> bool {
        other.0.starts_with(self.0)
    }

    /// An owned copy.
    pub fn to_oid(self) -> Oid {
        Oid {
            content: self.0.into(),
        }
    }
}

impl fmt::Display for OidRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, arc) in self.arcs().enumerate() {
            if index > 0 {
                f.write_str(".")?;
            }
            write!(f, "{arc}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for OidRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// An owned object identifier; a clone shares the octets.
///
/// It holds a copy and never a slice of a received buffer: a short identifier that is kept would keep the whole
/// message alive.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Oid {
    content: Arc<[u8]>,
}

impl Oid {
    /// From its sub-identifiers.
    ///
    /// `None` if BER cannot say it (fewer than two, a first one over 2, a second one that does not fit beside it) or
    /// there are more than [`MAX_SUB_IDENTIFIERS`].
    pub fn from_arcs(arcs: &[u32]) -> Option<Self> {
        if arcs.len() > MAX_SUB_IDENTIFIERS {
            return None;
        }
        let (&[first, second], rest) = arcs.split_first_chunk::<2>()?;
        if first > 2 || (first < 2 && second > 39) {
            return None;
        }
        let mut content = Vec::with_capacity(arcs.len() + 4);
        push_sub_identifier(&mut content, (40 * first).checked_add(second)?);
        for &arc in rest {
            push_sub_identifier(&mut content, arc);
        }
        Some(Self {
            content: content.into(),
        })
    }

    /// `0.0`, which SPPI uses for "points to nothing" (RFC 3159 section 5).
    pub fn zero() -> Self {
        Self { content: [0].into() }
    }

    /// The identifier with one more sub-identifier; `None` if there are [`MAX_SUB_IDENTIFIERS`] already.
    pub fn child(&self, arc: u32) -> Option<Self> {
        if self.arcs().count() >= MAX_SUB_IDENTIFIERS {
            return None;
        }
        let mut content = self.content.to_vec();
        push_sub_identifier(&mut content, arc);
        Some(Self {
            content: content.into(),
        })
    }

    /// The borrowed form.
    pub fn as_ref(&self) -> OidRef<'_> {
        OidRef(&self.content)
    }

    /// The sub-identifiers, first to last.
    pub fn arcs(&self) -> impl Iterator<Item = u32> + '_ {
        self.as_ref().arcs()
    }
}

impl PartialOrd for Oid {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Oid {
    /// By sub-identifiers, as numbers.
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.arcs().cmp(other.arcs())
    }
}

impl fmt::Display for Oid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.as_ref(), f)
    }
}

impl fmt::Debug for Oid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Appends `arc` in base 128, all octets but the last with the top bit set.
pub(super) fn push_sub_identifier(content: &mut Vec<u8>, arc: u32) {
    for shift in [28, 21, 14, 7] {
        if arc >> shift != 0 {
            content.push(0x80 | ((arc >> shift) & 0x7f) as u8);
        }
    }
    content.push((arc & 0x7f) as u8);
}

/// Octets that [`push_sub_identifier`] appends.
pub(super) fn sub_identifier_octets(arc: u32) -> usize {
    (32 - arc.leading_zeros()).div_ceil(7).max(1) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arcs(content: &[u8]) -> Vec<u32> {
        OidRef::new(content).unwrap().arcs().collect()
    }

    #[test]
    fn first_two_sub_identifiers_share_one_number() {
        assert_eq!(arcs(&[0x00]), [0, 0]);
        assert_eq!(arcs(&[0x2b, 6, 1, 2, 2, 8, 1]), [1, 3, 6, 1, 2, 2, 8, 1]);
        assert_eq!(arcs(&[0x77]), [2, 39]);
        assert_eq!(arcs(&[0x88, 0x37]), [2, 999]);
        assert_eq!(arcs(&[0x8f, 0xff, 0xff, 0xff, 0x7f]), [2, u32::MAX - 80]);
    }

    #[test]
    fn every_size_of_sub_identifier_round_trips() {
        for arc in [
            0,
            127,
            128,
            16383,
            16384,
            2_097_151,
            2_097_152,
            268_435_455,
            268_435_456,
            u32::MAX,
        ] {
            let oid = Oid::from_arcs(&[1, 3, arc, 1]).unwrap();
            assert_eq!(oid.arcs().collect::<Vec<_>>(), [1, 3, arc, 1]);
            assert_eq!(OidRef::new(oid.as_ref().as_octets()), Ok(oid.as_ref()));
            let mut octets = Vec::new();
            push_sub_identifier(&mut octets, arc);
            assert_eq!(octets.len(), sub_identifier_octets(arc));
        }
    }

    #[test]
    fn refuses_what_no_encoder_may_send() {
        for content in [
            &[][..],
            &[0x80, 0x01],
            &[0x2b, 0x80, 0x01],
            &[0x2b, 0x81],
            &[0x2b, 0x90, 0x80, 0x80, 0x80, 0x00],
        ] {
            assert!(OidRef::new(content).is_err(), "{content:02x?}");
        }
        assert!(OidRef::new(&[1; 127]).is_ok());
        assert!(OidRef::new(&[1; 128]).is_err());
        for arcs in [&[1][..], &[3, 1], &[1, 40], &[2, u32::MAX]] {
            assert_eq!(Oid::from_arcs(arcs), None, "{arcs:?}");
        }
    }

    #[test]
    fn prefixes_match_whole_sub_identifiers() {
        let oid = |arcs: &[u32]| Oid::from_arcs(arcs).unwrap();
        let prefix = oid(&[1, 3, 6, 2]);
        assert!(prefix.as_ref().is_prefix_of(oid(&[1, 3, 6, 2]).as_ref()));
        assert!(prefix.as_ref().is_prefix_of(oid(&[1, 3, 6, 2, 9]).as_ref()));
        assert!(!prefix.as_ref().is_prefix_of(oid(&[1, 3, 6, 21]).as_ref()));
        // 300 is 82 2c and 44 is 2c: no octet-wise accident.
        assert!(!oid(&[1, 3, 2]).as_ref().is_prefix_of(oid(&[1, 3, 300]).as_ref()));
    }

    #[test]
    fn the_last_sub_identifier_splits_off() {
        let oid = Oid::from_arcs(&[1, 3, 6, 300]).unwrap();
        let (class, instance) = oid.as_ref().split_last().unwrap();
        assert_eq!((class.to_string().as_str(), instance), ("1.3.6", 300));
        assert!(Oid::from_arcs(&[1, 3]).unwrap().as_ref().split_last().is_none());
    }

    #[test]
    fn order_is_by_number_and_not_by_octet() {
        let oid = |arc| Oid::from_arcs(&[1, 3, arc]).unwrap();
        // 16384 is 81 80 00, 200 is 81 48.
        assert!(oid(200) < oid(16384));
        assert!(oid(127) < oid(128));
    }
}
