//! The PEPID, the one object whose padding counts (RFC 2748 2.2.11).

use cops_codec::{
    FaultKind,
    wire::{ObjectRef, OpCode, PepId, PepIdError},
};

use crate::support::{frame, hex, only_object, show, with_header};

/// An op code that no grammar is known for.
const ANY: OpCode = OpCode(99);

/// C-2.2.11-03: the NUL is always there, and C-2.2.11-01: it counts in the length, as its padding does.
#[test]
fn c_2_2_11_03_a_pepid_ends_in_nul_also_when_it_fills_its_words() {
    let golden = [
        ("a", "0008 0b 01 61000000"),
        ("abc", "0008 0b 01 61626300"),
        ("abcd", "000c 0b 01 61626364 00000000"),
        ("abcde", "000c 0b 01 61626364 65000000"),
    ];
    for (name, octets) in golden {
        assert_eq!(
            show(&frame(ANY, &[ObjectRef::PepId(name)])[8..]),
            show(&hex(octets))
        );
    }
}

/// other implementations leave out padding, or the NUL, or both, or have something after the NUL.
#[test]
fn a_04_reads_a_pepid_up_to_its_nul_or_its_end() {
    for octets in [
        "0008 0b 01 70657031",
        "0009 0b 01 70657031 00000000",
        "000c 0b 01 70657031 00000000",
        "0010 0b 01 70657031 00000000 00000000",
        "000c 0b 01 70657031 00787878",
    ] {
        assert_eq!(
            only_object(&with_header(ANY, &hex(octets))),
            Ok(ObjectRef::PepId("pep1")),
            "{octets}"
        );
    }
}

/// C-2.2.11-02 is a MUST: ASCII. No control characters either, since the name goes into logs.
#[test]
fn c_2_2_11_02_refuses_a_pepid_that_is_not_ascii() {
    let refused = [
        ("0008 0b 01 c3a40000", 12, 0xc3),
        ("0008 0b 01 61ff0000", 13, 0xff),
        ("0008 0b 01 61620a00", 14, 0x0a),
        ("0008 0b 01 6162637f", 15, 0x7f),
    ];
    for (octets, at, octet) in refused {
        let fault = only_object(&with_header(ANY, &hex(octets))).expect_err("not ASCII");
        assert_eq!(fault.offset, at);
        assert!(
            matches!(fault.kind, FaultKind::InvalidValue { found, .. } if found == octet),
            "{fault}"
        );
    }
    assert_eq!(
        PepId::new("ä"),
        Err(PepIdError::Character {
            character: 'ä',
            position: 0
        })
    );
    assert_eq!(
        PepId::new("a\0"),
        Err(PepIdError::Character {
            character: '\0',
            position: 1
        })
    );
    assert_eq!(
        "pdu 7~".parse::<PepId>().map(|name| name.to_string()),
        Ok("pdu 7~".to_owned())
    );
}

#[test]
fn refuses_an_empty_pepid() {
    for octets in ["0004 0b 01", "0008 0b 01 00000000", "0008 0b 01 00616263"] {
        let fault = only_object(&with_header(ANY, &hex(octets))).expect_err("no name");
        assert_eq!((fault.offset, fault.kind), (8, FaultKind::EmptyPepId));
    }
    assert_eq!(PepId::new(""), Err(PepIdError::Empty));
}

#[test]
fn the_longest_pepid_fits_an_object() {
    let name = "a".repeat(PepId::MAX_OCTETS);
    let message = frame(
        ANY,
        &[ObjectRef::PepId(
            PepId::new(name.clone()).expect("a PEPID").as_str(),
        )],
    );
    assert_eq!(message[8..10], [0xff, 0xfc]);
    let limit = PepId::MAX_OCTETS;
    assert_eq!(
        PepId::new(name + "a"),
        Err(PepIdError::TooLong {
            limit,
            found: limit + 1
        })
    );
}
