//! The common header (RFC 2748 2.1).

use cops_codec::{
    FaultKind, Message,
    message::KeepAlive,
    wire::{ClientType, ClientTypeRange, OpCode, Role},
};

use crate::{
    pairs,
    support::{CLIENT_TYPE, decode, encode, fault, hex, with_header},
};

#[test]
fn c_2_1_01_version_flags_op_code_client_type_and_length_in_this_order() {
    let octets = encode(&pairs::vectors()[7].message);
    assert_eq!(octets[..8], hex("10 04 40 01 00 00 00 1c")[..]);
}

#[test]
fn c_2_1_02_most_significant_octet_first() {
    let octets = encode(&pairs::vectors()[4].message);
    assert_eq!(octets[2..4], [0x40, 0x01], "client-type 0x4001");
    assert_eq!(octets[4..8], [0, 0, 0, 0x24], "length 36");
}

/// C-2.1-04 is a MUST: of the four flags only the solicited one is sent. C-2.1-03: the version is 1.
#[test]
fn c_2_1_04_only_version_1_and_the_solicited_flag_are_sent() {
    for pair in pairs::all() {
        let first = encode(&pair.message)[0];
        let expected = if pair.message.solicited() { 0x11 } else { 0x10 };
        assert_eq!(first, expected, "{}", pair.name);
    }
}

/// C-2.1-05, the codec's part: only DEC and RPT can hold the flag at all.
#[test]
fn c_2_1_05_only_dec_and_rpt_carry_the_solicited_flag() {
    for pair in pairs::all() {
        let mut octets = pair.octets.to_vec();
        octets[0] |= 1;
        let message = decode(octets).expect("the flag is no fault");
        let may = matches!(message.op_code(), OpCode::DECISION | OpCode::REPORT_STATE);
        assert_eq!(message.solicited(), may, "{}", pair.name);
        assert_eq!(
            encode(&message)[0],
            if may { 0x11 } else { 0x10 },
            "{}",
            pair.name
        );
    }
}

#[test]
fn undefined_header_flags_are_not_looked_at() {
    let message = decode(hex("1e 09 00 00 00 00 00 08")).expect("a KA");
    assert_eq!(message, Message::KeepAlive(KeepAlive { integrity: None }));
}

#[test]
fn c_2_1_06_other_op_codes_are_unknown() {
    for op_code in (0..=0).chain(11..=255).map(OpCode) {
        assert_eq!(op_code.name(), None);
        let fault = fault(with_header(op_code, &[]));
        assert_eq!(
            (fault.offset, fault.kind),
            (1, FaultKind::UnknownOpCode { found: op_code })
        );
    }
}

#[test]
fn c_2_1_07_each_op_code_has_its_direction() {
    use Role::{Pdp, Pep};
    let directions: Vec<(u8, bool, bool)> = (0..=11)
        .map(|op_code| {
            (
                op_code,
                OpCode(op_code).is_sent_by(Pep),
                OpCode(op_code).is_sent_by(Pdp),
            )
        })
        .collect();
    let expected = [
        (0, false, false),
        (1, true, false),
        (2, false, true),
        (3, true, false),
        (4, true, false),
        (5, false, true),
        (6, true, false),
        (7, false, true),
        (8, true, true),
        (9, true, true),
        (10, true, false),
        (11, false, false),
    ];
    assert_eq!(directions, expected);
    assert_eq!((Pdp.peer(), Pep.peer()), (Pep, Pdp));
}

#[test]
fn c_2_1_08_client_types_survive_and_the_top_bit_means_enterprise() {
    for value in [0x0001, 0x3fff, 0x4000, 0x7fff, 0x8000, 0xffff] {
        let mut octets = hex("10 05 00 00 00 00 00 08").to_vec();
        octets[2..4].copy_from_slice(&u16::to_be_bytes(value));
        let message = decode(octets.clone()).expect("an SSQ");
        assert_eq!(message.client_type(), ClientType(value));
        assert_eq!(ClientType(value).is_enterprise_specific(), value >= 0x8000);
        assert_eq!(encode(&message)[..], octets[..]);
    }
}

/// C-6-01 to C-6-04: the ranges.
#[test]
fn c_6_04_a_client_type_names_its_range() {
    use ClientTypeRange::{Connection, FirstComeFirstServed, PrivateUse, SpecificationRequired};
    let edges = [
        (0x0000, Connection),
        (0x0001, SpecificationRequired),
        (0x3fff, SpecificationRequired),
        (0x4000, PrivateUse),
        (0x7fff, PrivateUse),
        (0x8000, FirstComeFirstServed),
        (0xffff, FirstComeFirstServed),
    ];
    for (value, range) in edges {
        assert_eq!(ClientType(value).range(), range, "{value:#06x}");
    }
    assert_eq!(
        CLIENT_TYPE.range(),
        PrivateUse,
        "C-6-03: these tests use private client-types"
    );
    assert_eq!(
        (ClientType::RSVP, ClientType::DIFFSERV_QOS),
        (ClientType(1), ClientType(2)),
        "C-6-02"
    );
}

/// C-2.1-09 is a MUST of the sender; a KA with another client-type is refused.
#[test]
fn c_2_1_09_ka_has_client_type_0() {
    assert_eq!(encode(&KeepAlive { integrity: None }.into())[2..4], [0, 0]);
    let fault = fault(hex("10 09 40 01 00 00 00 08"));
    let kind = FaultKind::ClientType {
        expected: ClientType::CONNECTION,
        found: CLIENT_TYPE,
    };
    assert_eq!((fault.offset, fault.kind), (2, kind));
}

#[test]
fn c_2_1_10_the_length_counts_header_and_objects() {
    assert_eq!(encode(&KeepAlive { integrity: None }.into())[4..8], [0, 0, 0, 8]);
    for pair in pairs::all() {
        let octets = encode(&pair.message);
        let stated = u32::from_be_bytes(octets[4..8].try_into().expect("four octets"));
        assert_eq!(stated as usize, octets.len(), "{}", pair.name);
    }
}
