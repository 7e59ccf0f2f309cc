//! The six inner objects of COPS-PR (RFC 3084 section 4).
//!
//! ```text
//!  0                1               2                 3
//! +---------------+---------------+---------------+---------------+
//! |             Length            |     S-Num     |     S-Type    |
//! +---------------+---------------+---------------+---------------+
//! |                          contents ...         |   zero padding |
//! +---------------+---------------+---------------+---------------+
//! ```
//!
//! `Length` counts header and contents, not the padding to the next multiple of 4.

use super::ber::{self, Tag, Value};
use super::error::{ClassError, ClassErrorCode, Fault, GlobalError, GlobalErrorCode, ProvisioningError};
use super::oid::{self, OidRef};

/// Octets of the header of an inner object.
pub const HEADER_OCTETS: usize = 4;

/// Largest contents of an inner object: its length is 16 bits.
pub const MAX_CONTENTS_OCTETS: usize = u16::MAX as usize - HEADER_OCTETS;

/// S-Type 1, BER; the only one defined (2 is reserved for XML, RFC 3084 section 9).
pub const S_TYPE_BER: u8 = 1;

/// Number of an inner object (RFC 3084 section 4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SNum(pub u8);

impl SNum {
    /// Complete PRID: names one instance.
    pub const PRID: Self = Self(1);
    /// Prefix PRID: names all instances below it.
    pub const PPRID: Self = Self(2);
    /// EPD: the attribute values of the instance before it.
    pub const EPD: Self = Self(3);
    /// GPERR: a global error.
    pub const GPERR: Self = Self(4);
    /// CPERR: an error of one instance.
    pub const CPERR: Self = Self(5);
    /// ErrorPRID: the instance that the CPERR after it speaks of.
    pub const ERROR_PRID: Self = Self(6);
}

/// One inner object, borrowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InnerObject<'a> {
    /// Names one instance.
    Prid(OidRef<'a>),
    /// Names all instances below a prefix.
    PrefixPrid(OidRef<'a>),
    /// Attribute values; not yet read.
    Epd(Epd<'a>),
    /// A global error or warning.
    GlobalError(GlobalError),
    /// An error or warning of one instance.
    ClassError(ClassError),
    /// The instance of the error that follows.
    ErrorPrid(OidRef<'a>),
}

impl InnerObject<'_> {
    /// Its number.
    pub const fn s_num(&self) -> SNum {
        match self {
            Self::Prid(_) => SNum::PRID,
            Self::PrefixPrid(_) => SNum::PPRID,
            Self::Epd(_) => SNum::EPD,
            Self::GlobalError(_) => SNum::GPERR,
            Self::ClassError(_) => SNum::CPERR,
            Self::ErrorPrid(_) => SNum::ERROR_PRID,
        }
    }
}

/// The contents of an EPD: BER values one after another, in the order of the attributes' numbers (RFC 3084 section
/// 4.3). Empty in a REQ that removes the instance (RFC 3318 section 2.3.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Epd<'a> {
    /// The octets after the header, without padding.
    pub contents: &'a [u8],
    /// Absolute offset of the first of them.
    pub offset: usize,
}

impl<'a> Epd<'a> {
    /// Reads the values.
    pub const fn values(&self) -> ber::Reader<'a> {
        ber::Reader::new(self.contents, self.offset)
    }
}

/// Walks the inner objects of a Named ClientSI or Named Decision Data object. Ends after the first error.
#[derive(Debug, Clone)]
pub struct InnerObjects<'a> {
    rest: &'a [u8],
    offset: usize,
}

impl<'a> InnerObjects<'a> {
    /// Walks `contents`, the first octet of which stands at absolute offset `offset`.
    pub const fn new(contents: &'a [u8], offset: usize) -> Self {
        Self {
            rest: contents,
            offset,
        }
    }

    /// Absolute offset of the next object.
    pub const fn offset(&self) -> usize {
        self.offset
    }

    fn read(&mut self) -> Result<InnerObject<'a>, ProvisioningError> {
        let offset = self.offset;
        let left = self.rest.len();
        let fail = |expected, fault| {
            Err(ProvisioningError {
                offset,
                expected,
                fault,
            })
        };
        let Some((&[high, low, s_num, s_type], after_header)) =
            self.rest.split_first_chunk::<HEADER_OCTETS>()
        else {
            return fail(
                "the header of an inner object",
                Fault::Truncated {
                    needed: HEADER_OCTETS,
                    left,
                },
            );
        };
        let stated = u16::from_be_bytes([high, low]);
        let Some(contents_octets) = usize::from(stated).checked_sub(HEADER_OCTETS) else {
            return fail("an object length of at least 4", Fault::ObjectLength { stated });
        };
        let padded = contents_octets.next_multiple_of(4);
        let Some((body, rest)) = after_header.split_at_checked(padded) else {
            if after_header.len() >= contents_octets {
                return fail("padding to a multiple of 4", Fault::NoPadding);
            }
            return fail(
                "the whole inner object with its padding",
                Fault::Truncated {
                    needed: HEADER_OCTETS + padded,
                    left,
                },
            );
        };
        let (contents, padding) = body.split_at(contents_octets);
        self.rest = rest;
        self.offset += HEADER_OCTETS + padded;
        if s_type != S_TYPE_BER || !(SNum::PRID.0..=SNum::ERROR_PRID.0).contains(&s_num) {
            return fail(
                "S-Num 1 to 6 with S-Type 1",
                Fault::UnknownObject { s_num, s_type },
            );
        }
        if let Some(&octet) = padding.iter().find(|octet| **octet != 0) {
            return fail("padding of zeros", Fault::Padding { octet });
        }
        let contents_offset = offset + HEADER_OCTETS;
        match SNum(s_num) {
            SNum::PRID => read_oid(contents, contents_offset).map(InnerObject::Prid),
            SNum::PPRID => read_oid(contents, contents_offset).map(InnerObject::PrefixPrid),
            SNum::ERROR_PRID => read_oid(contents, contents_offset).map(InnerObject::ErrorPrid),
            SNum::EPD => Ok(InnerObject::Epd(Epd {
                contents,
                offset: contents_offset,
            })),
            error => {
                let &[c0, c1, s0, s1] = contents else {
                    return fail("an error object of length 8", Fault::ObjectLength { stated });
                };
                let (code, sub_code) = (u16::from_be_bytes([c0, c1]), u16::from_be_bytes([s0, s1]));
                Ok(if error == SNum::GPERR {
                    InnerObject::GlobalError(GlobalError {
                        code: GlobalErrorCode(code),
                        sub_code,
                    })
                } else {
                    InnerObject::ClassError(ClassError {
                        code: ClassErrorCode(code),
                        sub_code,
                    })
                })
            }
        }
    }
}

impl<'a> Iterator for InnerObjects<'a> {
    /// The absolute offset of the object, and the object.
    type Item = Result<(usize, InnerObject<'a>), ProvisioningError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let offset = self.offset;
        let object = self.read();
        if object.is_err() {
            self.rest = &[];
        }
        Some(object.map(|object| (offset, object)))
    }
}

/// One OBJECT IDENTIFIER value and nothing after it.
fn read_oid(contents: &[u8], offset: usize) -> Result<OidRef<'_>, ProvisioningError> {
    let expected = "one OBJECT IDENTIFIER value";
    let mut reader = ber::Reader::new(contents, offset);
    let located = reader.next_value()?;
    let fail = |offset, fault| {
        Err(ProvisioningError {
            offset,
            expected,
            fault,
        })
    };
    match located.map(|located| located.value) {
        Some(Value::ObjectIdentifier(oid)) if reader.is_at_end() => Ok(oid),
        Some(Value::ObjectIdentifier(_)) => fail(reader.offset(), Fault::BerLength),
        Some(other) => fail(offset, Fault::UnknownTag { tag: other.tag().0 }),
        None => fail(offset, Fault::BerLength),
    }
}

/// The contents are longer than [`MAX_CONTENTS_OCTETS`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{octets} octets do not fit an inner object, which holds at most 65531")]
pub struct ObjectTooLong {
    /// Octets of the contents.
    pub octets: usize,
}

/// Appends an object with header and padding. `put_contents` appends what it holds; the length is known after it. On an
/// error `out` is as it was.
fn write_object(
    out: &mut Vec<u8>,
    s_num: SNum,
    put_contents: impl FnOnce(&mut Vec<u8>),
) -> Result<(), ObjectTooLong> {
    const PADDING: [u8; 3] = [0; 3];
    let start = out.len();
    out.extend_from_slice(&[0, 0, s_num.0, S_TYPE_BER]);
    put_contents(out);
    let stated_octets = out.len() - start;
    let Ok(length) = u16::try_from(stated_octets) else {
        out.truncate(start);
        return Err(ObjectTooLong {
            octets: stated_octets - HEADER_OCTETS,
        });
    };
    if let Some(field) = out.get_mut(start..start + 2) {
        field.copy_from_slice(&length.to_be_bytes());
    }
    out.extend_from_slice(&PADDING[..stated_octets.next_multiple_of(4) - stated_octets]);
    Ok(())
}

/// An identifier has at most 128 sub-identifiers of at most 5 octets, so that this always fits.
fn write_oid(out: &mut Vec<u8>, s_num: SNum, oid: OidRef<'_>) {
    let fits = write_object(out, s_num, |out| Value::ObjectIdentifier(oid).encode(out));
    debug_assert!(fits.is_ok());
}

/// Appends the PRID of an instance: the identifier of its class's entry, and its number as one more sub-identifier
/// (RFC 3084 section 4.1).
pub(crate) fn write_instance_prid(out: &mut Vec<u8>, entry: OidRef<'_>, instance: u32) {
    let fits = write_object(out, SNum::PRID, |out| {
        let octets = entry.as_octets().len() + oid::sub_identifier_octets(instance);
        ber::write_header(out, Tag::OBJECT_IDENTIFIER, octets);
        out.extend_from_slice(entry.as_octets());
        oid::push_sub_identifier(out, instance);
    });
    debug_assert!(fits.is_ok());
}

/// Appends a PRID.
pub fn write_prid(out: &mut Vec<u8>, prid: OidRef<'_>) {
    write_oid(out, SNum::PRID, prid);
}

/// Appends a PPRID; only a Remove decision may hold one (RFC 3084 section 4.2).
pub fn write_prefix_prid(out: &mut Vec<u8>, prefix: OidRef<'_>) {
    write_oid(out, SNum::PPRID, prefix);
}

/// Appends an ErrorPRID.
pub fn write_error_prid(out: &mut Vec<u8>, prid: OidRef<'_>) {
    write_oid(out, SNum::ERROR_PRID, prid);
}

/// Appends an EPD that holds `values`, encoded BER values; none at all in a REQ that removes the instance.
///
/// # Errors
///
/// The values are longer than an object can be.
pub fn write_epd(out: &mut Vec<u8>, values: &[u8]) -> Result<(), ObjectTooLong> {
    write_epd_with(out, |out| out.extend_from_slice(values))
}

/// As [`write_epd`], with values that are written in their place.
pub(crate) fn write_epd_with(
    out: &mut Vec<u8>,
    put_values: impl FnOnce(&mut Vec<u8>),
) -> Result<(), ObjectTooLong> {
    write_object(out, SNum::EPD, put_values)
}

/// Appends a GPERR.
pub fn write_global_error(out: &mut Vec<u8>, error: GlobalError) {
    write_error(out, SNum::GPERR, error.code.0, error.sub_code);
}

/// Appends a CPERR; an ErrorPRID must stand before it (RFC 3084 section 4.5).
pub fn write_class_error(out: &mut Vec<u8>, error: ClassError) {
    write_error(out, SNum::CPERR, error.code.0, error.sub_code);
}

fn write_error(out: &mut Vec<u8>, s_num: SNum, code: u16, sub_code: u16) {
    out.extend_from_slice(&[0, 8, s_num.0, S_TYPE_BER]);
    out.extend_from_slice(&code.to_be_bytes());
    out.extend_from_slice(&sub_code.to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::super::oid::Oid;
    use super::*;

    fn oid(arcs: &[u32]) -> Oid {
        Oid::from_arcs(arcs).unwrap()
    }

    fn written(write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
        let mut out = Vec::new();
        write(&mut out);
        out
    }

    fn read(octets: &[u8]) -> Result<InnerObject<'_>, ProvisioningError> {
        let mut objects = InnerObjects::new(octets, 40);
        let (offset, object) = objects.next().unwrap()?;
        assert_eq!(offset, 40);
        assert_eq!(objects.next(), None);
        Ok(object)
    }

    /// RFC 3084 sections 4.1 and 4.2 give these octets.
    #[test]
    fn identifiers_are_the_rfc_s() {
        let prid = oid(&[1, 3, 6, 1, 2, 2, 8, 1]);
        let octets = written(|out| write_prid(out, prid.as_ref()));
        assert_eq!(
            octets,
            [
                0x00, 0x0d, 0x01, 0x01, 0x06, 0x07, 0x2b, 0x06, 0x01, 0x02, 0x02, 0x08, 0x01, 0, 0, 0
            ]
        );
        assert_eq!(read(&octets), Ok(InnerObject::Prid(prid.as_ref())));

        let prefix = oid(&[1, 3, 6, 1, 2, 2]);
        let octets = written(|out| write_prefix_prid(out, prefix.as_ref()));
        assert_eq!(
            octets,
            [
                0x00, 0x0b, 0x02, 0x01, 0x06, 0x05, 0x2b, 0x06, 0x01, 0x02, 0x02, 0x00
            ]
        );
        assert_eq!(read(&octets), Ok(InnerObject::PrefixPrid(prefix.as_ref())));

        let octets = written(|out| write_error_prid(out, prid.as_ref()));
        assert_eq!(octets.get(..4), Some(&[0x00, 0x0d, 0x06, 0x01][..]));
        assert_eq!(read(&octets), Ok(InnerObject::ErrorPrid(prid.as_ref())));
    }

    #[test]
    fn errors_are_eight_octets() {
        let error = GlobalError {
            code: GlobalErrorCode::UNKNOWN_COPS_PR_OBJECT,
            sub_code: 0x0701,
        };
        let octets = written(|out| write_global_error(out, error));
        assert_eq!(octets, [0, 8, 4, 1, 0, 10, 7, 1]);
        assert_eq!(read(&octets), Ok(InnerObject::GlobalError(error)));
        let error = ClassError {
            code: ClassErrorCode::ATTR_VALUE_INVALID,
            sub_code: 3,
        };
        let octets = written(|out| write_class_error(out, error));
        assert_eq!(octets, [0, 8, 5, 1, 0, 3, 0, 3]);
        assert_eq!(read(&octets), Ok(InnerObject::ClassError(error)));
    }

    #[test]
    fn an_epd_may_be_empty() {
        let octets = written(|out| write_epd(out, &[]).unwrap());
        assert_eq!(octets, [0, 4, 3, 1]);
        assert_eq!(
            read(&octets),
            Ok(InnerObject::Epd(Epd {
                contents: &[],
                offset: 44
            }))
        );
    }

    #[test]
    fn an_object_of_more_than_its_length_can_say_is_refused() {
        let mut out = Vec::new();
        assert_eq!(write_epd(&mut out, &vec![0; 65531]), Ok(()));
        assert_eq!(out.len(), 65536);
        assert_eq!(
            write_epd(&mut out, &vec![0; 65532]),
            Err(ObjectTooLong { octets: 65532 })
        );
        assert_eq!(out.len(), 65536);
    }

    #[test]
    fn refuses_broken_objects_with_the_rfc_s_error() {
        use GlobalErrorCode as G;
        let table: &[(&[u8], G, u16)] = &[
            (&[0, 4, 3], G::MALFORMED_DECISION, 0),
            (&[0, 3, 3, 1], G::MALFORMED_DECISION, 0),
            (&[0, 5, 3, 1], G::MALFORMED_DECISION, 0),
            (&[0, 5, 3, 1, 0, 0, 0], G::INVALID_OBJECT_PAD, 0),
            (&[0, 5, 3, 1, 0, 0, 0, 7], G::INVALID_OBJECT_PAD, 0),
            (&[0, 4, 7, 1], G::UNKNOWN_COPS_PR_OBJECT, 0x0701),
            (&[0, 4, 3, 2], G::UNKNOWN_COPS_PR_OBJECT, 0x0302),
            (&[0, 4, 0, 1], G::UNKNOWN_COPS_PR_OBJECT, 0x0001),
            (&[0, 12, 4, 1, 0, 1, 0, 0, 0, 0, 0, 0], G::MALFORMED_DECISION, 0),
            (&[0, 7, 1, 1, 0x1f, 0x01, 0x2b, 0], G::UNKNOWN_ASN1_TAG, 0x1f),
            (&[0, 7, 1, 1, 0x02, 0x01, 0x2b, 0], G::UNKNOWN_ASN1_TAG, 0x02),
            (&[0, 7, 1, 1, 0x06, 0x05, 0x2b, 0], G::INVALID_ASN1_LENGTH, 0),
            (&[0, 8, 1, 1, 0x06, 0x01, 0x2b, 0], G::INVALID_ASN1_LENGTH, 0),
            (&[0, 4, 1, 1], G::INVALID_ASN1_LENGTH, 0),
        ];
        for (octets, code, sub_code) in table {
            let error = read(octets).unwrap_err();
            assert_eq!(
                error.global_error(),
                GlobalError {
                    code: *code,
                    sub_code: *sub_code
                },
                "{octets:02x?}"
            );
            assert!(
                (40..=40 + octets.len()).contains(&error.offset),
                "{octets:02x?}: {error}"
            );
        }
    }
}
