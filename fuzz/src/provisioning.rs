//! COPS-PR from bytes: inner objects, BER, identifiers, rows, removals, reports, readings, transactions.
//!
//! Input: the contents of a Named ClientSI or Named Decision Data. All readers get the same octets. What one understands is
//! written and read again, to the same; an error names a place within the octets.

use bytes::Bytes;
use cops_codec::{
    client_type::{
        Class, Row, RowError, RowId,
        store::{self, RowLimits, build},
    },
    message::Decision,
    provisioning::{
        Binding, Contents, InnerObject, InnerObjects, MAX_SUB_IDENTIFIERS, Oid, OidRef, Operation,
        ProvisioningError, Report, Transaction,
        ber::{self, Value},
        binding::{Bindings, RemoveTargets},
        object,
    },
    wire::Context,
};

/// Where the contents are said to stand in their message.
const OFFSET: usize = 28;

/// See the module.
pub fn run(octets: &[u8]) {
    objects(octets);
    values(octets, OFFSET);
    identifier(octets);
    bindings(octets);
    removals(octets);
    reports(octets);
    readings(octets);
    transactions(octets);
}

fn within(error: &ProvisioningError, octets: &[u8], start: usize) {
    assert!(
        (start..=start + octets.len()).contains(&error.offset),
        "{error} within {} octets",
        octets.len()
    );
    assert!(!error.to_string().is_empty());
    let _ = error.global_error();
}

fn objects(octets: &[u8]) {
    let mut next = OFFSET;
    for object in InnerObjects::new(octets, OFFSET) {
        match object {
            Ok((offset, object)) => {
                assert_eq!(offset, next, "objects follow each other");
                let mut again = Vec::new();
                match object {
                    InnerObject::Prid(oid) => object::write_prid(&mut again, oid),
                    InnerObject::PrefixPrid(oid) => object::write_prefix_prid(&mut again, oid),
                    InnerObject::ErrorPrid(oid) => object::write_error_prid(&mut again, oid),
                    InnerObject::Epd(epd) => {
                        assert_eq!(epd.offset, offset + object::HEADER_OCTETS);
                        values(epd.contents, epd.offset);
                        object::write_epd(&mut again, epd.contents).expect("it was an object");
                    }
                    InnerObject::GlobalError(error) => object::write_global_error(&mut again, error),
                    InnerObject::ClassError(error) => object::write_class_error(&mut again, error),
                }
                let read = InnerObjects::new(&again, 0)
                    .next()
                    .expect("one object")
                    .expect("what was written")
                    .1;
                match (object, read) {
                    // Where it stands is not part of what it says.
                    (InnerObject::Epd(one), InnerObject::Epd(other)) => {
                        assert_eq!(one.contents, other.contents)
                    }
                    (one, other) => assert_eq!(one, other),
                }
                let at = offset - OFFSET;
                let stated = usize::from(u16::from_be_bytes([octets[at], octets[at + 1]]));
                assert!(again.len() <= stated.next_multiple_of(4), "the shortest form");
                next = offset + stated.next_multiple_of(4);
            }
            Err(error) => return within(&error, octets, OFFSET),
        }
    }
    assert_eq!(next, OFFSET + octets.len(), "no octet is left out");
}

fn values(octets: &[u8], offset: usize) {
    let mut reader = ber::Reader::new(octets, offset);
    let mut again = Vec::new();
    let mut read = Vec::new();
    loop {
        match reader.next_value() {
            Ok(Some(located)) => {
                assert!((offset..offset + octets.len()).contains(&located.offset));
                if let Value::ObjectIdentifier(oid) = located.value {
                    identifier(oid.as_octets());
                }
                located.value.encode(&mut again);
                read.push(located.value);
            }
            Ok(None) => break,
            Err(error) => {
                within(&error, octets, offset);
                assert_eq!(reader.next_value(), Ok(None), "nothing after an error");
                break;
            }
        }
    }
    assert!(again.len() <= octets.len(), "the shortest form");
    let mut reader = ber::Reader::new(&again, 0);
    let written: Vec<Value<'_>> = std::iter::from_fn(|| {
        reader
            .next_value()
            .expect("what was written")
            .map(|located| located.value)
    })
    .collect();
    assert_eq!(read, written);
}

fn identifier(octets: &[u8]) {
    let Ok(oid) = OidRef::new(octets) else {
        return;
    };
    let arcs: Vec<u32> = oid.arcs().collect();
    assert!((2..=MAX_SUB_IDENTIFIERS).contains(&arcs.len()));
    let owned = Oid::from_arcs(&arcs).expect("sub-identifiers that were read");
    assert_eq!(
        (owned.as_ref(), owned.as_ref().as_octets()),
        (oid, octets),
        "one encoding of an identifier"
    );
    assert_eq!(oid.to_string().split('.').count(), arcs.len());
    if let Some((parent, last)) = oid.split_last() {
        assert_eq!(Some(&last), arcs.last());
        assert!(parent.is_prefix_of(oid));
        assert_eq!(parent.to_oid().child(last), Some(owned));
    } else {
        assert_eq!(arcs.len(), 2, "two sub-identifiers are one number");
    }
    if let Some(id) = RowId::from_prid(oid) {
        assert_eq!(id.prid().as_oid(), oid);
        assert_eq!(Class::from_entry(id.class.entry().as_ref()), Some(id.class));
        assert!(!id.to_string().is_empty());
    }
}

fn bindings(octets: &[u8]) {
    for binding in Bindings::new(octets, OFFSET) {
        match binding {
            Ok(binding) => row(&binding),
            Err(error) => within(&error, octets, OFFSET),
        }
    }
}

fn row(binding: &Binding<'_>) {
    match Row::decode(binding) {
        Ok(decoded) => {
            let row = decoded.row;
            assert_eq!(row.prid().as_oid(), binding.prid);
            let octets = row.to_vec();
            let mut again = Bindings::new(&octets, 0);
            let again = again.next().expect("a row").expect("what was written");
            let again = Row::decode(&again).expect("what was written");
            assert_eq!((again.row, again.extra_attributes), (row, 0));
        }
        Err(error) => row_error(&error, binding),
    }
}

fn row_error(error: &RowError, binding: &Binding<'_>) {
    assert_eq!(error.prid.as_oid(), binding.prid);
    let end = binding.epd.offset + binding.epd.contents.len();
    assert!((binding.offset..=end).contains(&error.offset), "{error}");
    assert!(!error.to_string().is_empty());
    let _ = (error.fault.class_error(), error.fault.global_error());
}

fn removals(octets: &[u8]) {
    let mut again = Vec::new();
    let mut read = Vec::new();
    for target in RemoveTargets::new(octets, OFFSET) {
        match target {
            Ok(target) => {
                if target.is_prefix {
                    object::write_prefix_prid(&mut again, target.oid);
                } else {
                    object::write_prid(&mut again, target.oid);
                }
                read.push((target.is_prefix, target.oid));
            }
            Err(error) => within(&error, octets, OFFSET),
        }
    }
    let written: Vec<(bool, OidRef<'_>)> = RemoveTargets::new(&again, 0)
        .map(|target| target.expect("what was written"))
        .map(|target| (target.is_prefix, target.oid))
        .collect();
    assert_eq!(read, written);
}

fn reports(octets: &[u8]) {
    let mut report = Report::default();
    match report.read(octets, OFFSET) {
        Ok(()) => {
            let mut again = Report::default();
            for contents in build::report(&report) {
                again.read(&contents, 0).expect("what was written");
            }
            assert_eq!(again, report);
            assert_eq!(report.is_empty(), octets.is_empty());
        }
        Err(error) => within(&error, octets, OFFSET),
    }
}

fn readings(octets: &[u8]) {
    let limits = RowLimits {
        max_rows: 3,
        ..RowLimits::DEFAULT
    };
    let contents = Contents {
        octets,
        offset: OFFSET,
    };
    match store::read_readings(&[contents], limits) {
        Ok(rows) => {
            assert!(rows.len() <= limits.max_rows);
            let again = build::contents(&rows);
            let again: Vec<Contents<'_>> = again.iter().map(Contents::from).collect();
            assert_eq!(store::read_readings(&again, limits), Ok(rows));
        }
        Err(refused) => {
            assert!(!refused.to_string().is_empty());
            let rows = refused.error_rows();
            assert!(rows.len() <= limits.max_errors);
            for contents in refused.contents() {
                assert!(
                    Bindings::new(&contents, 0).all(|binding| Row::decode(&binding.expect("a row")).is_ok())
                );
            }
        }
    }
}

fn transactions(octets: &[u8]) {
    let (first, second) = octets.split_at(octets.len() / 8 * 4);
    let message = Bytes::copy_from_slice(octets);
    let decisions = [
        Decision::remove(Context::CONFIGURATION, message.slice(..first.len())),
        Decision::null(Context::CONFIGURATION),
        Decision::install(Context::CONFIGURATION, message.slice(first.len()..)),
    ];
    let read = Transaction::read(&decisions, &message).expect("removals, nothing, and rows");
    assert_eq!(
        read,
        Transaction::Change(vec![
            Operation::Remove(Contents {
                octets: first,
                offset: 0
            }),
            Operation::Install(Contents {
                octets: second,
                offset: first.len()
            }),
        ])
    );
}
