//! The inner objects' grammars (RFC 3084 section 5), and the RFC's own example.
#![allow(clippy::unwrap_used)]

mod hex;

use cops_codec::Framer;
use cops_codec::message::{DecisionBody, Message};
use cops_codec::provisioning::ber::Value;
use cops_codec::provisioning::binding::{Bindings, RemoveTargets};
use cops_codec::provisioning::{
    ClassError, ClassErrorCode, Fault, GlobalError, GlobalErrorCode, Oid, Operation, Prid, ProvisioningError,
    Report, ReportedError, Transaction, object,
};
use hex::hex;
use proptest::prelude::*;

fn oid(arcs: &[u32]) -> Oid {
    Oid::from_arcs(arcs).unwrap()
}

fn prid(instance: u32) -> Prid {
    Prid(oid(&[1, 3, 6, 1, 2, 2, 8, instance]))
}

/// V-5: a DEC with RFC 3084's example row. Twelve attributes, four of them NULL, an Unsigned32 with the tag of INTEGER.
#[test]
fn the_rfc_s_example_decodes() {
    let octets = hex("
        11 02 00 02 00 00 00 68 00 09 01 01 00 00 00 00 2a 00 00 00 00 08 02 01 00 08 00 00 00 08 06 01 00 01 00 00
        00 44 06 05 00 0d 01 01 06 07 2b 06 01 02 02 08 01 00 00 00 00 30 03 01 02 01 08 40 04 c0 39 01 05 40 04 ff
        ff ff ff 40 04 00 00 00 00 40 04 00 00 00 00 02 01 ff 02 01 06 05 00 05 00 05 00 05 00 02 01 01");
    let mut framer = Framer::new(cops_codec::Limits::default());
    framer.push(&octets);
    let frame = framer.next_frame().unwrap().unwrap();
    let Message::Decision(decision) = Message::decode(&frame, &cops_codec::Limits::default()).unwrap() else {
        panic!("not a DEC");
    };
    let DecisionBody::Decisions(decisions) = decision.body else {
        panic!("an error")
    };
    let Transaction::Change(operations) = Transaction::read(&decisions, frame.octets()).unwrap() else {
        panic!("no change");
    };
    let [Operation::Install(contents)] = operations[..] else {
        panic!("{operations:?}")
    };
    let bindings: Vec<_> = Bindings::new(contents.octets, contents.offset)
        .collect::<Result<_, _>>()
        .unwrap();
    let [binding] = bindings[..] else {
        panic!("{bindings:?}")
    };
    assert_eq!(
        (binding.offset, binding.prid.to_string().as_str()),
        (40, "1.3.6.1.2.2.8.1")
    );
    let mut reader = binding.epd.values();
    let mut values = Vec::new();
    while let Some(located) = reader.next_value().unwrap() {
        values.push(located.value);
    }
    let none = Value::IpAddress([0; 4]);
    assert_eq!(
        values,
        [
            Value::Integer(8),
            Value::IpAddress([192, 57, 1, 5]),
            Value::IpAddress([255; 4]),
            none,
            none,
            Value::Integer(-1),
            Value::Integer(6),
            Value::Null,
            Value::Null,
            Value::Null,
            Value::Null,
            Value::Integer(1),
        ]
    );
    // And the other way: the same values give the same octets.
    let mut again = Vec::new();
    object::write_prid(&mut again, binding.prid);
    let mut epd = Vec::new();
    values.iter().for_each(|value| value.encode(&mut epd));
    object::write_epd(&mut again, &epd).unwrap();
    assert_eq!(again, contents.octets);
}

fn objects(write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = Vec::new();
    write(&mut out);
    out
}

fn misplaced(s_num: u8) -> Fault {
    Fault::MisplacedObject { s_num }
}

#[test]
fn install_data_are_prid_and_epd_in_turn() {
    let row = objects(|out| {
        object::write_prid(out, prid(1).as_oid());
        object::write_epd(out, &[0x05, 0x00]).unwrap();
    });
    assert_eq!(
        Bindings::new(&[row.clone(), row.clone()].concat(), 0)
            .filter_map(Result::ok)
            .count(),
        2
    );
    let table: [(&str, Vec<u8>, Fault, usize); 5] = [
        (
            "a PRID alone",
            objects(|out| object::write_prid(out, prid(1).as_oid())),
            Fault::End,
            16,
        ),
        (
            "two PRIDs",
            objects(|out| {
                object::write_prid(out, prid(1).as_oid());
                object::write_prid(out, prid(2).as_oid());
            }),
            misplaced(1),
            16,
        ),
        (
            "an EPD first",
            objects(|out| object::write_epd(out, &[]).unwrap()),
            misplaced(3),
            0,
        ),
        (
            "a prefix",
            objects(|out| object::write_prefix_prid(out, prid(1).as_oid())),
            misplaced(2),
            0,
        ),
        (
            "an error",
            objects(|out| object::write_global_error(out, GlobalErrorCode::UNKNOWN_ERROR.into())),
            misplaced(4),
            0,
        ),
    ];
    for (what, octets, fault, at) in table {
        let results: Vec<_> = Bindings::new(&octets, 100).collect();
        let [Err(error)] = results[..] else {
            panic!("{what}: {results:?}")
        };
        assert_eq!((error.fault, error.offset), (fault, 100 + at), "{what}");
        assert_eq!(
            error.global_error(),
            GlobalErrorCode::MALFORMED_DECISION.into(),
            "{what}"
        );
    }
}

#[test]
fn remove_data_are_prids_and_prefixes() {
    let octets = objects(|out| {
        object::write_prid(out, prid(1).as_oid());
        object::write_prefix_prid(out, prid(2).as_oid());
    });
    let targets: Vec<_> = RemoveTargets::new(&octets, 8).collect::<Result<_, _>>().unwrap();
    assert_eq!(
        targets
            .iter()
            .map(|target| (target.offset, target.is_prefix))
            .collect::<Vec<_>>(),
        [(8, false), (24, true)]
    );
    let octets = objects(|out| {
        object::write_prid(out, prid(1).as_oid());
        object::write_epd(out, &[]).unwrap();
        object::write_prid(out, prid(2).as_oid());
    });
    let results: Vec<Result<_, ProvisioningError>> = RemoveTargets::new(&octets, 0).collect();
    assert_eq!(results.len(), 2, "nothing is read after the fault");
    assert_eq!(results[1].unwrap_err().fault, misplaced(3));
}

fn read(octets: &[u8]) -> Result<Report, ProvisioningError> {
    let mut report = Report::default();
    report.read(octets, 0).map(|()| report)
}

fn class_error(code: ClassErrorCode, sub_code: u16) -> ClassError {
    ClassError { code, sub_code }
}

/// RFC 3084 section 5.3.1: `[<GPERR>] *(<report>)`, `<report> ::= <ErrorPRID> <CPERR> *(<PRID><EPD>)`.
#[test]
fn reports_follow_their_grammar() {
    let report = Report {
        global: Some(GlobalErrorCode::UNKNOWN_PIB_DATA.into()),
        errors: vec![
            ReportedError {
                prid: prid(1),
                error: ClassErrorCode::UNKNOWN_PRC.into(),
                details: vec![(prid(7), vec![0x05, 0x00]), (prid(8), vec![])],
            },
            ReportedError {
                prid: prid(2),
                error: class_error(ClassErrorCode::ATTR_VALUE_INVALID, 3),
                details: vec![],
            },
        ],
    };
    let octets = report.encode().concat();
    assert_eq!(octets[..8], [0, 8, 4, 1, 0, 9, 0, 0]);
    assert_eq!(read(&octets), Ok(report.clone()));
    // Over several objects, each with a grammar of its own.
    let mut again = Report::default();
    for piece in report.encode() {
        again.read(&piece, 0).unwrap();
    }
    assert_eq!(again, report);
    let only_global = Report {
        global: Some(GlobalErrorCode::MAX_REQUEST_STATES_OPEN.into()),
        errors: vec![],
    };
    assert_eq!(only_global.encode(), [[0, 8, 4, 1, 0, 6, 0, 0]]);
    assert!(Report::default().encode().is_empty() && Report::default().is_empty());
}

#[test]
fn refuses_reports_that_do_not() {
    let global = |out: &mut Vec<u8>| object::write_global_error(out, GlobalErrorCode::UNKNOWN_ERROR.into());
    let class = |out: &mut Vec<u8>| object::write_class_error(out, ClassErrorCode::UNKNOWN_PRC.into());
    let error_prid = |out: &mut Vec<u8>| object::write_error_prid(out, prid(1).as_oid());
    let table = [
        ("a CPERR without ErrorPRID", objects(class), misplaced(5)),
        ("an ErrorPRID without CPERR", objects(error_prid), Fault::End),
        (
            "two ErrorPRIDs",
            objects(|out| {
                error_prid(out);
                error_prid(out);
            }),
            misplaced(6),
        ),
        (
            "a GPERR after a report",
            objects(|out| {
                error_prid(out);
                class(out);
                global(out);
            }),
            misplaced(4),
        ),
        (
            "two GPERRs",
            objects(|out| {
                global(out);
                global(out);
            }),
            misplaced(4),
        ),
        (
            "details of nothing",
            objects(|out| {
                object::write_prid(out, prid(1).as_oid());
                object::write_epd(out, &[]).unwrap();
            }),
            misplaced(1),
        ),
        (
            "a detail without values",
            objects(|out| {
                error_prid(out);
                class(out);
                object::write_prid(out, prid(1).as_oid());
            }),
            Fault::End,
        ),
        (
            "a prefix",
            objects(|out| object::write_prefix_prid(out, prid(1).as_oid())),
            misplaced(2),
        ),
    ];
    for (what, octets, fault) in table {
        assert_eq!(read(&octets).unwrap_err().fault, fault, "{what}");
    }
}

/// A detail too long for an object is left out, and the error is told.
#[test]
fn an_error_is_told_without_details_that_do_not_fit() {
    let details = vec![
        (prid(7), vec![0; 65_500]),
        (prid(8), vec![0; 65_500]),
        (prid(9), vec![1; 70_000]),
    ];
    let report = Report {
        global: None,
        errors: vec![ReportedError {
            prid: prid(1),
            error: ClassErrorCode::UNKNOWN_PRC.into(),
            details,
        }],
    };
    let pieces = report.encode();
    assert!(pieces.iter().all(|piece| piece.len() <= 65_528));
    assert_eq!(
        read(&pieces.concat()).unwrap().errors[0].error,
        ClassErrorCode::UNKNOWN_PRC.into()
    );
}

/// RFC 3084 sections 4.4 and 4.5: all codes have the RFC's names and numbers, and others survive.
#[test]
fn error_codes_are_the_rfc_s() {
    let global = [
        "availMemLow",
        "availMemExhausted",
        "unknownASN.1Tag",
        "maxMsgSizeExceeded",
        "unknownError",
        "maxRequestStatesOpen",
        "invalidASN.1Length",
        "invalidObjectPad",
        "unknownPIBData",
        "unknownCOPSPRObject",
        "malformedDecision",
    ];
    let class = [
        "priSpaceExhausted",
        "priInstanceInvalid",
        "attrValueInvalid",
        "attrValueSupLimited",
        "attrEnumSupLimited",
        "attrMaxLengthExceeded",
        "attrReferenceUnknown",
        "priNotifyOnly",
        "unknownPrc",
        "tooFewAttrs",
        "invalidAttrType",
        "deletedInRef",
        "priSpecificError",
    ];
    for (number, label) in (1..).zip(global) {
        assert_eq!(GlobalErrorCode(number).label(), Some(label));
    }
    for (number, label) in (1..).zip(class) {
        assert_eq!(ClassErrorCode(number).label(), Some(label));
    }
    assert_eq!(
        (GlobalErrorCode(12).label(), ClassErrorCode(14).label()),
        (None, None)
    );
    assert_eq!(GlobalErrorCode(99).to_string(), "unknown(99)");
    let octets = objects(|out| {
        object::write_global_error(
            out,
            GlobalError {
                code: GlobalErrorCode(99),
                sub_code: 7,
            },
        )
    });
    assert_eq!(
        read(&octets).unwrap().global,
        Some(GlobalError {
            code: GlobalErrorCode(99),
            sub_code: 7
        })
    );
}

proptest! {
    /// Whatever octets stand in an object: no panic, no endless walk, and an offset within it.
    #[test]
    fn any_contents_are_read_or_refused(octets in prop::collection::vec(any::<u8>(), 0..300)) {
        let end = 50 + octets.len();
        for error in Bindings::new(&octets, 50).filter_map(Result::err)
            .chain(RemoveTargets::new(&octets, 50).filter_map(Result::err))
            .chain(Report::default().read(&octets, 50).err())
        {
            prop_assert!((50..=end).contains(&error.offset), "{error}");
            prop_assert!(error.global_error().code.label().is_some());
        }
    }

    /// Any identifier round trips through PRID, and its prefixes are those of its sub-identifiers.
    #[test]
    fn any_identifier_round_trips(first in 0_u32..3, second in 0_u32..40, rest in prop::collection::vec(any::<u32>(), 0..126)) {
        let arcs = [vec![first, second], rest].concat();
        let oid = oid(&arcs);
        prop_assert_eq!(oid.arcs().collect::<Vec<_>>(), arcs.clone());
        let octets = objects(|out| object::write_prefix_prid(out, oid.as_ref()));
        let target = RemoveTargets::new(&octets, 0).next().unwrap().unwrap();
        prop_assert_eq!(target.oid, oid.as_ref());
        for length in 2..=arcs.len() {
            let prefix = self::oid(&arcs[..length]);
            prop_assert!(prefix.as_ref().is_prefix_of(oid.as_ref()));
            if length < arcs.len() {
                let mut other = arcs[..=length].to_vec();
                other[length] ^= 1;
                prop_assert!(!self::oid(&other).as_ref().is_prefix_of(oid.as_ref()));
            }
        }
    }
}
