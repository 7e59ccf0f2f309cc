//! The few BER types that SPPI uses (RFC 3159 section 4.2; X.690), read without copying and written in the shortest
//! form.
//!
//! This is an own module and not a library: eight primitive types with definite lengths are all there is, the
//! APPLICATION tags need own code in any library, and errors must carry RFC 3084's numbers and an absolute offset.

use super::error::{Fault, ProvisioningError};
use super::oid::OidRef;

/// First octet of a BER value: class, primitive bit and number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Tag(pub u8);

impl Tag {
    /// INTEGER: Integer32, enumerations, TruthValue.
    pub const INTEGER: Self = Self(0x02);
    /// OCTET STRING: names, texts, BITS.
    pub const OCTET_STRING: Self = Self(0x04);
    /// NULL: an attribute that is not supported.
    pub const NULL: Self = Self(0x05);
    /// OBJECT IDENTIFIER: Prid, PrcIdentifierOid.
    pub const OBJECT_IDENTIFIER: Self = Self(0x06);
    /// IpAddress, deprecated.
    pub const IP_ADDRESS: Self = Self(0x40);
    /// Unsigned32, InstanceId, ReferenceId, TagId.
    pub const UNSIGNED32: Self = Self(0x42);
    /// TimeTicks.
    pub const TIME_TICKS: Self = Self(0x43);
    /// Opaque, deprecated.
    pub const OPAQUE: Self = Self(0x44);
    /// Integer64.
    pub const INTEGER64: Self = Self(0x4a);
    /// Unsigned64.
    pub const UNSIGNED64: Self = Self(0x4b);
}

/// One value of a type that SPPI knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Value<'a> {
    /// INTEGER. Wider than SPPI's 32 bits because RFC 3084's example sends an Unsigned32 with this tag.
    Integer(i64),
    /// OCTET STRING.
    OctetString(&'a [u8]),
    /// NULL.
    Null,
    /// OBJECT IDENTIFIER.
    ObjectIdentifier(OidRef<'a>),
    /// IpAddress.
    IpAddress([u8; 4]),
    /// Unsigned32.
    Unsigned32(u32),
    /// TimeTicks.
    TimeTicks(u32),
    /// Opaque.
    Opaque(&'a [u8]),
    /// Integer64.
    Integer64(i64),
    /// Unsigned64.
    Unsigned64(u64),
}

impl Value<'_> {
    /// The tag it is sent with.
    pub const fn tag(&self) -> Tag {
        match self {
            Self::Integer(_) => Tag::INTEGER,
            Self::OctetString(_) => Tag::OCTET_STRING,
            Self::Null => Tag::NULL,
            Self::ObjectIdentifier(_) => Tag::OBJECT_IDENTIFIER,
            Self::IpAddress(_) => Tag::IP_ADDRESS,
            Self::Unsigned32(_) => Tag::UNSIGNED32,
            Self::TimeTicks(_) => Tag::TIME_TICKS,
            Self::Opaque(_) => Tag::OPAQUE,
            Self::Integer64(_) => Tag::INTEGER64,
            Self::Unsigned64(_) => Tag::UNSIGNED64,
        }
    }

    /// Appends tag, length and contents.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let tag = self.tag();
        match *self {
            Self::Integer(value) | Self::Integer64(value) => write_integer(out, tag, i128::from(value)),
            Self::Unsigned32(value) | Self::TimeTicks(value) => write_integer(out, tag, i128::from(value)),
            Self::Unsigned64(value) => write_integer(out, tag, i128::from(value)),
            Self::OctetString(octets) | Self::Opaque(octets) => write_octets(out, tag, octets),
            Self::Null => write_octets(out, tag, &[]),
            Self::ObjectIdentifier(oid) => write_octets(out, tag, oid.as_octets()),
            Self::IpAddress(octets) => write_octets(out, tag, &octets),
        }
    }
}

/// Appends an integer in the fewest octets of two's complement.
fn write_integer(out: &mut Vec<u8>, tag: Tag, value: i128) {
    let octets = value.to_be_bytes();
    // The bits that do not repeat the sign, and the sign itself.
    let significant_bits = 129 - (value ^ (value >> 127)).leading_zeros() as usize;
    let skip = octets.len() - significant_bits.div_ceil(8);
    write_octets(out, tag, octets.get(skip..).unwrap_or_default());
}

/// Appends tag, the shortest definite length, and contents.
fn write_octets(out: &mut Vec<u8>, tag: Tag, content: &[u8]) {
    write_header(out, tag, content.len());
    out.extend_from_slice(content);
}

/// Appends tag and the shortest definite length of contents of so many octets.
pub(super) fn write_header(out: &mut Vec<u8>, tag: Tag, length: usize) {
    if length < 0x80 {
        out.extend_from_slice(&[tag.0, length as u8]);
    } else {
        let octets = length.to_be_bytes();
        let skip = octets.iter().take_while(|octet| **octet == 0).count();
        let significant = octets.get(skip..).unwrap_or_default();
        out.extend_from_slice(&[tag.0, 0x80 | significant.len() as u8]);
        out.extend_from_slice(significant);
    }
}

/// A value and the place it was read at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Located<'a> {
    /// Absolute offset of the tag.
    pub offset: usize,
    /// The value.
    pub value: Value<'a>,
}

/// Reads values one after another: the contents of an EPD, or the one value of a PRID.
#[derive(Debug, Clone)]
pub struct Reader<'a> {
    rest: &'a [u8],
    offset: usize,
}

impl<'a> Reader<'a> {
    /// Reads `octets`, the first of which stands at absolute offset `offset`.
    pub const fn new(octets: &'a [u8], offset: usize) -> Self {
        Self { rest: octets, offset }
    }

    /// Absolute offset of the next value.
    pub const fn offset(&self) -> usize {
        self.offset
    }

    /// Whether everything has been read.
    pub const fn is_at_end(&self) -> bool {
        self.rest.is_empty()
    }

    /// The next value; `None` at the end. After an error the reader is at its end: what follows a broken value cannot
    /// be found.
    ///
    /// # Errors
    ///
    /// An unknown tag, a length that is indefinite or too long, contents that the type does not allow.
    pub fn next_value(&mut self) -> Result<Option<Located<'a>>, ProvisioningError> {
        let Some((&tag, after_tag)) = self.rest.split_first() else {
            return Ok(None);
        };
        let offset = self.offset;
        let read = read_length(after_tag).and_then(|(header, length)| {
            let content = after_tag.get(header..)?.get(..length)?;
            Some((content, 1 + header + length))
        });
        let Some((content, used)) = read else {
            self.rest = &[];
            return Err(ProvisioningError {
                offset,
                expected: "a definite BER length within the object",
                fault: Fault::BerLength,
            });
        };
        self.rest = self.rest.get(used..).unwrap_or_default();
        self.offset += used;
        match read_value(Tag(tag), content) {
            Ok(value) => Ok(Some(Located { offset, value })),
            Err((expected, fault)) => {
                self.rest = &[];
                Err(ProvisioningError {
                    offset,
                    expected,
                    fault,
                })
            }
        }
    }
}

/// Octets of the length field, and the length. `None` if it is cut off, indefinite, reserved or more than memory holds.
fn read_length(octets: &[u8]) -> Option<(usize, usize)> {
    let (&first, rest) = octets.split_first()?;
    match first {
        0..0x80 => Some((1, usize::from(first))),
        0x80 | 0xff => None,
        _ => {
            let count = usize::from(first & 0x7f);
            let mut length = 0_usize;
            for &octet in rest.get(..count)? {
                length = length.checked_mul(256)?.checked_add(usize::from(octet))?;
            }
            Some((1 + count, length))
        }
    }
}

fn read_value(tag: Tag, content: &[u8]) -> Result<Value<'_>, (&'static str, Fault)> {
    let contents = |expected| (expected, Fault::BerContents);
    match tag {
        Tag::INTEGER => Ok(Value::Integer(narrow(content, "an INTEGER of at most 64 bits")?)),
        Tag::INTEGER64 => Ok(Value::Integer64(narrow(content, "an Integer64")?)),
        Tag::UNSIGNED32 => Ok(Value::Unsigned32(narrow(content, "an Unsigned32")?)),
        Tag::TIME_TICKS => Ok(Value::TimeTicks(narrow(content, "a TimeTicks")?)),
        Tag::UNSIGNED64 => Ok(Value::Unsigned64(narrow(content, "an Unsigned64")?)),
        Tag::OCTET_STRING => Ok(Value::OctetString(content)),
        Tag::OPAQUE => Ok(Value::Opaque(content)),
        Tag::NULL if content.is_empty() => Ok(Value::Null),
        Tag::NULL => Err(("a NULL of length 0", Fault::BerLength)),
        Tag::OBJECT_IDENTIFIER => OidRef::new(content)
            .map(Value::ObjectIdentifier)
            .map_err(contents),
        Tag::IP_ADDRESS => content
            .try_into()
            .map(Value::IpAddress)
            .map_err(|_| ("an IpAddress of 4 octets", Fault::BerLength)),
        Tag(tag) => Err(("a tag that SPPI defines", Fault::UnknownTag { tag })),
    }
}

/// An integer in its fewest octets, as X.690 section 8.3.2 demands, of the wanted range.
fn narrow<T: TryFrom<i128>>(content: &[u8], expected: &'static str) -> Result<T, (&'static str, Fault)> {
    let (first, rest) = content
        .split_first()
        .ok_or(("an integer of at least one octet", Fault::BerLength))?;
    let redundant = rest.first().is_some_and(|next| match first {
        0x00 => next & 0x80 == 0,
        0xff => next & 0x80 != 0,
        _ => false,
    });
    if redundant {
        return Err(("an integer in the fewest octets", Fault::BerLength));
    }
    if content.len() > 9 {
        return Err((expected, Fault::BerLength));
    }
    // The ninth octet from the end, if there is one, is shifted out of these.
    let low = content
        .iter()
        .fold(0_u64, |value, octet| (value << 8) | u64::from(*octet));
    let value = match content.len() {
        9 => (i128::from(*first as i8) << 64) | i128::from(low),
        octets => {
            let unused_bits = 64 - 8 * octets as u32;
            i128::from((low << unused_bits) as i64 >> unused_bits)
        }
    };
    T::try_from(value).map_err(|_| (expected, Fault::BerContents))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(value: Value<'_>) -> Vec<u8> {
        let mut out = Vec::new();
        value.encode(&mut out);
        out
    }

    fn decoded(octets: &[u8]) -> Result<Option<Located<'_>>, ProvisioningError> {
        Reader::new(octets, 100).next_value()
    }

    /// Each pair drives both directions.
    #[test]
    fn values_and_octets_agree() {
        let long = [0x61; 300];
        let mut long_octets = vec![0x04, 0x82, 0x01, 0x2c];
        long_octets.extend_from_slice(&long);
        let mut middle_octets = vec![0x04, 0x81, 0x80];
        middle_octets.extend_from_slice(&long[..128]);
        let zero = OidRef::new(&[0]).unwrap();
        let table: &[(Value<'_>, &[u8])] = &[
            (Value::Integer(-1), &[0x02, 0x01, 0xff]),
            (Value::Integer(0), &[0x02, 0x01, 0x00]),
            (Value::Integer(127), &[0x02, 0x01, 0x7f]),
            (Value::Integer(128), &[0x02, 0x02, 0x00, 0x80]),
            (Value::Integer(-128), &[0x02, 0x01, 0x80]),
            (Value::Integer(-129), &[0x02, 0x02, 0xff, 0x7f]),
            (Value::Integer(i64::from(i32::MIN)), &[0x02, 0x04, 0x80, 0, 0, 0]),
            (Value::Unsigned32(128), &[0x42, 0x02, 0x00, 0x80]),
            (
                Value::Unsigned32(u32::MAX),
                &[0x42, 0x05, 0x00, 0xff, 0xff, 0xff, 0xff],
            ),
            (Value::TimeTicks(1), &[0x43, 0x01, 0x01]),
            (
                Value::Integer64(i64::MIN),
                &[0x4a, 0x08, 0x80, 0, 0, 0, 0, 0, 0, 0],
            ),
            (
                Value::Unsigned64(u64::MAX),
                &[0x4b, 0x09, 0x00, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
            ),
            (Value::OctetString(&[]), &[0x04, 0x00]),
            (
                Value::OctetString(&long[..127]),
                &[&[0x04, 0x7f][..], &long[..127]].concat(),
            ),
            (Value::OctetString(&long[..128]), &middle_octets),
            (Value::OctetString(&long), &long_octets),
            (Value::Null, &[0x05, 0x00]),
            (Value::ObjectIdentifier(zero), &[0x06, 0x01, 0x00]),
            (
                Value::IpAddress([192, 57, 1, 5]),
                &[0x40, 0x04, 0xc0, 0x39, 0x01, 0x05],
            ),
            (Value::Opaque(&[1]), &[0x44, 0x01, 0x01]),
        ];
        for (value, octets) in table {
            assert_eq!(&encoded(*value), octets, "{value:?}");
            assert_eq!(
                decoded(octets),
                Ok(Some(Located {
                    offset: 100,
                    value: *value
                })),
                "{octets:02x?}"
            );
        }
    }

    #[test]
    fn longer_length_forms_are_accepted() {
        let five = Value::Integer(5);
        for octets in [&[0x02, 0x81, 0x01, 0x05][..], &[0x02, 0x84, 0, 0, 0, 1, 5]] {
            assert_eq!(decoded(octets).unwrap().unwrap().value, five);
        }
    }

    #[test]
    fn refuses_what_cannot_be_read() {
        let table: &[(&[u8], Fault)] = &[
            (&[0x02], Fault::BerLength),
            (&[0x02, 0x80, 0x00, 0x00], Fault::BerLength),
            (&[0x02, 0xff, 0x00], Fault::BerLength),
            (&[0x02, 0x02, 0x01], Fault::BerLength),
            (&[0x02, 0x89, 1, 1, 1, 1, 1, 1, 1, 1, 1], Fault::BerLength),
            (&[0x02, 0x00], Fault::BerLength),
            (&[0x02, 0x02, 0x00, 0x01], Fault::BerLength),
            (&[0x02, 0x02, 0xff, 0x80], Fault::BerLength),
            (&[0x02, 0x0a, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1], Fault::BerLength),
            (
                &[0x02, 0x09, 0x00, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
                Fault::BerContents,
            ),
            (&[0x42, 0x01, 0xff], Fault::BerContents),
            (&[0x42, 0x05, 0x01, 0, 0, 0, 0], Fault::BerContents),
            (&[0x4b, 0x01, 0xff], Fault::BerContents),
            (&[0x05, 0x01, 0x00], Fault::BerLength),
            (&[0x06, 0x00], Fault::BerContents),
            (&[0x40, 0x03, 1, 2, 3], Fault::BerLength),
            (&[0x1f, 0x01, 0x00], Fault::UnknownTag { tag: 0x1f }),
            (&[0x24, 0x00], Fault::UnknownTag { tag: 0x24 }),
        ];
        for (octets, fault) in table {
            let error = decoded(octets).unwrap_err();
            assert_eq!((error.fault, error.offset), (*fault, 100), "{octets:02x?}");
        }
    }

    #[test]
    fn a_reader_ends_after_an_error() {
        let mut reader = Reader::new(&[0x1f, 0x00, 0x05, 0x00], 0);
        assert!(reader.next_value().is_err());
        assert_eq!(reader.next_value(), Ok(None));
    }
}
