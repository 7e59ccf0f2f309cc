//! The codec of rows against values that were made without it: any row, every truncation, mutations, defaults.
#![allow(clippy::unwrap_used, clippy::panic)]

mod rows;

use cops_codec::client_type::framework::PrcSupport;
use cops_codec::client_type::{Access, Class, Digest, Row, RowError, RowFault, Syntax};
use cops_codec::provisioning::ber::{Reader, Value};
use cops_codec::provisioning::binding::Bindings;
use cops_codec::provisioning::{ClassError, ClassErrorCode, GlobalErrorCode, ProvisioningError};
use proptest::prelude::*;
use rows::{RawRow, any_raw_row, samples};

/// Stands somewhere in a message, so that offsets that forget their base show.
const BASE: usize = 1000;

#[derive(Debug)]
enum Failure {
    Object(ProvisioningError),
    Row(RowError),
}

impl Failure {
    fn offset(&self) -> usize {
        match self {
            Self::Object(error) => error.offset,
            Self::Row(error) => error.offset,
        }
    }
}

fn decode_all(octets: &[u8]) -> Result<Vec<Row>, Failure> {
    Bindings::new(octets, BASE)
        .map(|binding| {
            let binding = binding.map_err(Failure::Object)?;
            Row::decode(&binding)
                .map(|decoded| decoded.row)
                .map_err(Failure::Row)
        })
        .collect()
}

fn decode_values(raw: &RawRow, values: &[u8]) -> Result<Row, RowError> {
    match decode_all(&raw.octets_of(values)) {
        Ok(mut rows) => Ok(rows.remove(0)),
        Err(Failure::Row(error)) => Err(error),
        Err(Failure::Object(error)) => panic!("{error}"),
    }
}

fn raw(row: &Row) -> RawRow {
    let octets = row.to_vec();
    let binding = Bindings::new(&octets, 0).next().unwrap().unwrap();
    let mut values = Vec::new();
    let mut reader = Reader::new(binding.epd.contents, 0);
    while let Some(located) = reader.next_value().unwrap() {
        values.push(binding.epd.contents[located.offset..reader.offset()].to_vec());
    }
    RawRow {
        class: row.class(),
        instance: row.instance(),
        values,
    }
}

fn null() -> Vec<u8> {
    vec![0x05, 0x00]
}

proptest! {
    /// What is decoded is encoded again, octet by octet, and means the same.
    #[test]
    fn every_row_round_trips(raw in any_raw_row()) {
        let octets = raw.octets();
        let rows = decode_all(&octets).unwrap();
        prop_assert_eq!(rows.len(), 1);
        prop_assert_eq!(rows[0].class(), raw.class);
        prop_assert_eq!(rows[0].instance(), raw.instance);
        prop_assert_eq!(rows[0].to_vec(), octets);
    }

    /// A row that is cut anywhere is an error with an offset within it; a row that is cut between attributes is taken if
    /// all that is missing has a default.
    #[test]
    fn every_truncation_is_refused_or_defaulted(raw in any_raw_row()) {
        let octets = raw.octets();
        for cut in 1..octets.len() {
            let failure = decode_all(&octets[..cut]).unwrap_err();
            prop_assert!((BASE..=BASE + cut).contains(&failure.offset()), "cut at {cut}: {failure:?}");
        }
        let values = raw.values.concat();
        let ends: Vec<usize> = raw.values.iter().scan(0, |end, value| { *end += value.len(); Some(*end) }).collect();
        for cut in 1..values.len() {
            let result = decode_values(&raw, &values[..cut]);
            match ends.iter().position(|end| *end == cut) {
                Some(last) => {
                    let missing = &raw.class.attributes()[last + 1..];
                    match missing.iter().find(|attribute| !attribute.has_default) {
                        Some(attribute) => prop_assert_eq!(
                            result.unwrap_err().fault, RowFault::TooFew { missing: attribute.number }),
                        None => prop_assert!(result.is_ok()),
                    }
                }
                None => {
                    let fault = result.unwrap_err().fault;
                    prop_assert!(matches!(fault, RowFault::Ber(_)), "cut at {cut}: {fault}");
                    prop_assert!(fault.global_error().is_some());
                }
            }
        }
    }

    /// Whatever octets come: no panic, an error that names a place, or rows that can be said again.
    #[test]
    fn mutated_rows_are_rows_or_errors(
        raw in any_raw_row(),
        mutations in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut octets = raw.octets();
        for (at, octet) in mutations {
            let at = at.index(octets.len());
            octets[at] = octet;
        }
        match decode_all(&octets) {
            Ok(rows) => for row in rows {
                prop_assert_eq!(decode_all(&row.to_vec()).unwrap(), vec![row]);
            },
            Err(failure) => {
                prop_assert!((BASE..=BASE + octets.len()).contains(&failure.offset()), "{failure:?}");
                if let Failure::Row(error) = failure {
                    prop_assert!(error.fault.class_error().code.label().is_some());
                }
            }
        }
    }

    #[test]
    fn random_octets_never_panic(octets in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = decode_all(&octets);
    }
}

/// RFC 3084 section 2.2.1, for each attribute of each class.
#[test]
fn null_is_the_default_or_an_error_of_the_attribute() {
    for row in samples() {
        let raw = raw(&row);
        for (index, attribute) in row.class().attributes().iter().enumerate() {
            let mut values = raw.values.clone();
            values[index] = null();
            let what = format!("{}.{}", row.class(), attribute.field);
            let result = decode_values(&raw, &values.concat());
            if attribute.has_default {
                assert!(result.is_ok(), "{what}: {result:?}");
            } else {
                let error = result.unwrap_err();
                let expected = ClassError {
                    code: ClassErrorCode::ATTR_VALUE_INVALID,
                    sub_code: attribute.number as u16,
                };
                assert_eq!(error.fault.class_error(), expected, "{what}");
            }
        }
    }
}

#[test]
fn more_attributes_than_known_are_counted_and_ignored() {
    for row in samples() {
        let raw = raw(&row);
        let octets = raw.octets_of(&[raw.values.concat(), null(), vec![0x42, 0x01, 0x07]].concat());
        let binding = Bindings::new(&octets, 0).next().unwrap().unwrap();
        let decoded = Row::decode(&binding).unwrap();
        assert_eq!((decoded.row, decoded.extra_attributes), (row, 2));
        let broken = raw.octets_of(&[raw.values.concat(), vec![0x42, 0x02, 0x07]].concat());
        assert!(decode_all(&broken).is_err());
    }
}

/// A value of another type in each place of each class: CPERR 11.
#[test]
fn another_type_is_invalid_attr_type() {
    for row in samples() {
        let raw = raw(&row);
        for index in 0..raw.values.len() {
            let mut values = raw.values.clone();
            values[index] = vec![0x43, 0x01, 0x01];
            let error = decode_values(&raw, &values.concat()).unwrap_err();
            assert_eq!(
                error.fault.class_error().code,
                ClassErrorCode::INVALID_ATTR_TYPE,
                "{error}"
            );
        }
    }
}

/// What lies just outside of each SYNTAX clause.
#[test]
fn values_outside_the_module_are_errors_of_the_attribute() {
    fn encoded(value: Value<'_>) -> Vec<u8> {
        let mut out = Vec::new();
        value.encode(&mut out);
        out
    }
    use ClassErrorCode as Code;
    let mut tried = 0;
    for row in samples() {
        let raw = raw(&row);
        for (index, attribute) in row.class().attributes().iter().enumerate().skip(1) {
            let long = vec![b'a'; 300];
            let bad: Vec<(Vec<u8>, Code)> = match attribute.syntax {
                Syntax::Enumeration(labels) => vec![
                    (encoded(Value::Integer(0)), Code::ATTR_VALUE_INVALID),
                    (
                        encoded(Value::Integer(labels.len() as i64 + 1)),
                        Code::ATTR_VALUE_INVALID,
                    ),
                    (encoded(Value::Integer(i64::MAX)), Code::ATTR_VALUE_INVALID),
                ],
                Syntax::TruthValue => vec![
                    (encoded(Value::Integer(0)), Code::ATTR_VALUE_INVALID),
                    (encoded(Value::Integer(3)), Code::ATTR_VALUE_INVALID),
                ],
                Syntax::Unsigned32 { min, max } => [min.checked_sub(1), max.checked_add(1)]
                    .into_iter()
                    .flatten()
                    .map(|number| (encoded(Value::Unsigned32(number)), Code::ATTR_VALUE_INVALID))
                    .chain([(encoded(Value::Integer(-1)), Code::ATTR_VALUE_INVALID)])
                    .collect(),
                Syntax::Integer32 => vec![(encoded(Value::Integer(1 << 31)), Code::ATTR_VALUE_INVALID)],
                Syntax::ReferenceId => vec![(encoded(Value::Unsigned32(0)), Code::ATTR_REFERENCE_UNKNOWN)],
                Syntax::OctetString { min, max, text } => {
                    let mut bad = vec![(
                        encoded(Value::OctetString(&long[..max + 1])),
                        Code::ATTR_MAX_LENGTH_EXCEEDED,
                    )];
                    if min > 0 {
                        bad.push((encoded(Value::OctetString(&[])), Code::ATTR_VALUE_INVALID));
                    }
                    if text {
                        bad.push((encoded(Value::OctetString(&[0xff])), Code::ATTR_VALUE_INVALID));
                    }
                    // Names and texts of our own module, not the SnmpAdminString of another.
                    if text && row.class().name().starts_with("pwr") {
                        bad.push((encoded(Value::OctetString(b"a\x1bb")), Code::ATTR_VALUE_INVALID));
                    }
                    bad
                }
                Syntax::DigestOrNone => vec![
                    (encoded(Value::OctetString(&[0; 31])), Code::ATTR_VALUE_INVALID),
                    (
                        encoded(Value::OctetString(&[0; 33])),
                        Code::ATTR_MAX_LENGTH_EXCEEDED,
                    ),
                ],
                Syntax::Unsigned64 | Syntax::Prid | Syntax::PrcIdentifierOid | Syntax::InstanceId => vec![],
            };
            for (octets, code) in bad {
                let mut values = raw.values.clone();
                values[index] = octets;
                let error = decode_values(&raw, &values.concat()).unwrap_err();
                let expected = ClassError {
                    code,
                    sub_code: attribute.number as u16,
                };
                assert_eq!(
                    error.fault.class_error(),
                    expected,
                    "{}: {error}",
                    attribute.field
                );
                let before: usize = values[..index].iter().map(Vec::len).sum();
                let epd_at = error.offset - BASE;
                assert_eq!(
                    epd_at,
                    raw.octets_of(&[]).len() + before,
                    "{}: {error}",
                    attribute.field
                );
                tried += 1;
            }
        }
    }
    assert!(tried > 200, "{tried}");
}

/// RFC 3084's example sends an Unsigned32 with the tag of INTEGER.
#[test]
fn an_unsigned32_is_taken_with_the_tag_of_integer() {
    for row in samples() {
        let raw = raw(&row);
        let values: Vec<Vec<u8>> = raw
            .values
            .iter()
            .map(|value| match value.split_first() {
                Some((0x42, rest)) => [&[0x02], rest].concat(),
                _ => value.clone(),
            })
            .collect();
        assert_ne!(values, raw.values);
        assert_eq!(decode_values(&raw, &values.concat()).unwrap(), row);
    }
}

#[test]
fn the_index_must_repeat_the_prid() {
    for row in samples() {
        let raw = raw(&row);
        let mut values = raw.values.clone();
        values[0] = vec![0x42, 0x01, 0x02];
        let error = decode_values(&raw, &values.concat()).unwrap_err();
        assert_eq!(
            error.fault.class_error(),
            ClassErrorCode::PRI_INSTANCE_INVALID.into()
        );
        values[0] = vec![0x42, 0x01, 0x00];
        let error = decode_values(&raw, &values.concat()).unwrap_err();
        assert_eq!(error.fault.class_error().code, ClassErrorCode::ATTR_VALUE_INVALID);
    }
}

#[test]
fn a_prid_must_name_an_instance_of_a_known_class() {
    use cops_codec::provisioning::{Oid, object};
    let decode = |arcs: &[u32]| {
        let mut octets = Vec::new();
        object::write_prid(&mut octets, Oid::from_arcs(arcs).unwrap().as_ref());
        object::write_epd(&mut octets, &[0x42, 0x01, 0x01]).unwrap();
        match decode_all(&octets).unwrap_err() {
            Failure::Row(error) => error.fault,
            Failure::Object(error) => panic!("{error}"),
        }
    };
    let entry = Class::Server.entry_arcs();
    let with = |tail: &[u32]| [entry, tail].concat();
    for arcs in [
        with(&[]),
        with(&[0]),
        with(&[1, 1]),
        entry[..10].to_vec(),
        entry[..9].to_vec(),
        vec![1, 3],
    ] {
        assert_eq!(decode(&arcs), RowFault::NotAnInstance, "{arcs:?}");
    }
    for arcs in [
        vec![1, 3, 6, 1, 4, 1, 32473, 1, 1, 12, 1, 1],
        vec![1, 3, 7],
        vec![2, 5],
    ] {
        let fault = decode(&arcs);
        assert_eq!(fault, RowFault::UnknownClass, "{arcs:?}");
        assert_eq!(fault.class_error(), ClassErrorCode::UNKNOWN_PRC.into());
        assert_eq!(
            fault.global_error(),
            Some(GlobalErrorCode::UNKNOWN_PIB_DATA.into())
        );
    }
}

/// The order of [`Class`] is that of its identifiers, which sorting by class arc relies on.
#[test]
fn classes_are_sorted_by_their_identifiers() {
    assert!(
        Class::ALL
            .windows(2)
            .all(|pair| pair[0].entry() < pair[1].entry())
    );
    assert!(Class::ALL.windows(2).all(|pair| pair[0] < pair[1]));
    for class in Class::ALL {
        assert_eq!(Class::from_entry(class.entry().as_ref()), Some(*class));
    }
    let of = |access| Class::ALL.iter().filter(|class| class.access() == access).count();
    let counts = [
        Access::Notify,
        Access::ReportOnly,
        Access::Install,
        Access::InstallNotify,
    ]
    .map(of);
    assert_eq!(counts, [14, 2, 13, 1]);
}

/// RFC 3318 section 5: every class that can be installed stands in frwkPrcSupport, with the bits of its attributes.
#[test]
fn every_class_that_can_be_installed_is_supported() {
    let rows = PrcSupport::all();
    let supported: Vec<Class> = rows
        .iter()
        .map(|row| Class::from_entry(row.supported_prc.as_ref()).unwrap())
        .collect();
    let installed: Vec<Class> = Class::ALL
        .iter()
        .copied()
        .filter(|class| class.access().is_installed())
        .collect();
    assert_eq!(supported, installed);
    assert!(supported.contains(&Class::PibIncarnation) && supported.contains(&Class::FrameworkError));
    for (row, class) in rows.iter().zip(installed) {
        let attributes = class.attributes().len() as u32;
        assert!(
            (1..=attributes).all(|attribute| row.supports(attribute)),
            "{class}"
        );
        assert!(!row.supports(attributes + 1), "{class}");
    }
}

#[test]
fn a_digest_shows_as_hexadecimal() {
    assert_eq!(Digest([0xab; 32]).to_string(), "ab".repeat(32));
}
