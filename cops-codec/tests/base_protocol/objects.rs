//! The objects (RFC 2748 2.2), each alone in a message that only the borrowed view looks at.

use std::{collections::BTreeSet, net::Ipv4Addr, time::Duration};

use bytes::Bytes;
use cops_codec::{
    FaultKind, Limits, MessageRef,
    wire::{
        AccountingTimer, CNum, ClientHandle, CommandCode, Context, CopsError, DecisionDataKind,
        DecisionFlagBits, DecisionFlags, ErrorCode, IntegrityTlsFlags, Interface, KaTimer, KeyId, MType,
        ObjectId, ObjectRef, OpCode, PdpAddress, RType, Reason, ReasonCode, ReportType, SequenceNumber,
    },
};

use crate::support::{decode, encode, fault, frame, hex, message_of, only_object, show, with_header};

/// An op code that no grammar is known for.
const ANY: OpCode = OpCode(99);

const IPV6: &str = "2001 0db8 0000 0000 0000 0000 0000 0001";

fn address() -> PdpAddress {
    PdpAddress {
        address: Ipv4Addr::new(192, 0, 2, 1).into(),
        port: 3288,
    }
}

fn address_v6() -> PdpAddress {
    PdpAddress {
        address: "2001:db8::1".parse().expect("an address"),
        port: 3288,
    }
}

fn interface() -> Interface {
    Interface {
        address: Ipv4Addr::new(192, 0, 2, 1).into(),
        ifindex: 0x0102_0304,
    }
}

fn interface_v6() -> Interface {
    Interface {
        address: "2001:db8::1".parse().expect("an address"),
        ifindex: 0x0102_0304,
    }
}

/// All sixteen C-Nums with all their C-Types.
fn golden() -> Vec<(String, ObjectRef<'static>)> {
    use DecisionDataKind::{ClientSi, Named, Replacement, Stateless};
    let install = DecisionFlags::new(CommandCode::INSTALL);
    vec![
        (
            "0009 01 01 00000000 2a 000000".into(),
            ObjectRef::Handle(&[0, 0, 0, 0, 0x2a]),
        ),
        (
            "0008 02 01 0008 0000".into(),
            ObjectRef::Context(Context::CONFIGURATION),
        ),
        (
            "000c 03 01 c0000201 01020304".into(),
            ObjectRef::InInterface(interface()),
        ),
        (
            format!("0018 03 02 {IPV6} 01020304"),
            ObjectRef::InInterface(interface_v6()),
        ),
        (
            "000c 04 01 c0000201 01020304".into(),
            ObjectRef::OutInterface(interface()),
        ),
        (
            format!("0018 04 02 {IPV6} 01020304"),
            ObjectRef::OutInterface(interface_v6()),
        ),
        (
            "0008 05 01 0005 0102".into(),
            ObjectRef::Reason(Reason {
                code: ReasonCode::TIMEOUT,
                sub_code: 0x0102,
            }),
        ),
        ("0008 06 01 0001 0000".into(), ObjectRef::DecisionFlags(install)),
        (
            "0005 06 02 aa 000000".into(),
            ObjectRef::DecisionData(Stateless, &[0xaa]),
        ),
        (
            "0006 06 03 aabb 0000".into(),
            ObjectRef::DecisionData(Replacement, &[0xaa, 0xbb]),
        ),
        (
            "0007 06 04 aabbcc 00".into(),
            ObjectRef::DecisionData(ClientSi, &[0xaa, 0xbb, 0xcc]),
        ),
        (
            "0008 06 05 aabbccdd".into(),
            ObjectRef::DecisionData(Named, &[0xaa, 0xbb, 0xcc, 0xdd]),
        ),
        (
            "0008 07 01 0001 0000".into(),
            ObjectRef::LpdpDecisionFlags(install),
        ),
        (
            "0005 07 02 aa 000000".into(),
            ObjectRef::LpdpDecisionData(Stateless, &[0xaa]),
        ),
        (
            "0006 07 03 aabb 0000".into(),
            ObjectRef::LpdpDecisionData(Replacement, &[0xaa, 0xbb]),
        ),
        (
            "0007 07 04 aabbcc 00".into(),
            ObjectRef::LpdpDecisionData(ClientSi, &[0xaa, 0xbb, 0xcc]),
        ),
        (
            "0008 07 05 aabbccdd".into(),
            ObjectRef::LpdpDecisionData(Named, &[0xaa, 0xbb, 0xcc, 0xdd]),
        ),
        ("0008 08 01 0003 0102".into(), {
            ObjectRef::Error(CopsError {
                code: ErrorCode::BAD_MESSAGE_FORMAT,
                sub_code: 0x0102,
            })
        }),
        ("0007 09 01 616263 00".into(), ObjectRef::SignaledClientSi(b"abc")),
        ("0007 09 02 616263 00".into(), ObjectRef::NamedClientSi(b"abc")),
        ("0008 0a 01 0000 001e".into(), ObjectRef::KaTimer(KaTimer(30))),
        ("000c 0b 01 70657031 00000000".into(), ObjectRef::PepId("pep1")),
        (
            "0008 0c 01 0001 0000".into(),
            ObjectRef::ReportType(ReportType::SUCCESS),
        ),
        (
            "000c 0d 01 c0000201 0000 0cd8".into(),
            ObjectRef::PdpRedirectAddress(address()),
        ),
        (
            format!("0018 0d 02 {IPV6} 0000 0cd8"),
            ObjectRef::PdpRedirectAddress(address_v6()),
        ),
        (
            "000c 0e 01 c0000201 0000 0cd8".into(),
            ObjectRef::LastPdpAddress(address()),
        ),
        (
            format!("0018 0e 02 {IPV6} 0000 0cd8"),
            ObjectRef::LastPdpAddress(address_v6()),
        ),
        (
            "0008 0f 01 0000 003c".into(),
            ObjectRef::AccountingTimer(AccountingTimer(60)),
        ),
        ("0018 10 01 00000001 0000000a 000102030405060708090a0b".into(), {
            ObjectRef::IntegrityHmac {
                key_id: KeyId(1),
                sequence_number: SequenceNumber(10),
                digest: &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11],
            }
        }),
        (
            "0008 10 02 0000 0001".into(),
            ObjectRef::IntegrityTls(IntegrityTlsFlags::START_TLS),
        ),
    ]
}

/// C-2.2-01, C-2.2.1-01, C-2.2.2-01, C-2.2.3-01, C-2.2.4-01, C-2.2.5-01, C-2.2.6-01, C-2.2.6-02, C-2.2.7-01, C-2.2.8-01,
/// C-2.2.9-01, C-2.2.10-01, C-2.2.11-01, C-2.2.12-01, C-2.2.13-01, C-2.2.14-01, C-2.2.15-01, C-2.2.16-01.
#[test]
fn golden_octets_of_every_object() {
    for (octets, object) in golden() {
        let message = frame(ANY, &[object]);
        assert_eq!(show(&message[8..]), show(&hex(&octets)), "{object:?}");
        assert_eq!(only_object(&with_header(ANY, &hex(&octets))), Ok(object));
    }
}

/// C-2.2-07 and C-2.2-08: what the list above holds is all there is; every other pair of numbers is unknown, and kept.
#[test]
fn c_2_2_07_other_identities_are_kept_as_unknown() {
    let known: BTreeSet<ObjectId> = golden().iter().map(|(_, object)| object.id()).collect();
    assert_eq!(known.len(), 30);
    let mut unknown = 0;
    for (c_num, c_type) in (0..=255).flat_map(|c_num| (0..=255).map(move |c_type| (c_num, c_type))) {
        let id = ObjectId::new(CNum(c_num), c_type);
        if known.contains(&id) {
            continue;
        }
        let octets = with_header(ANY, &[0, 6, c_num, c_type, 0xab, 0xcd, 0, 0]);
        let object = ObjectRef::Unknown {
            id,
            contents: &[0xab, 0xcd],
        };
        assert_eq!(only_object(&octets), Ok(object));
        assert_eq!(object.id(), id);
        assert_eq!(show(&frame(ANY, &[object])[8..]), show(&octets[8..]));
        unknown += 1;
    }
    assert_eq!(unknown, 65_536 - 30);
}

#[test]
fn c_2_2_08_a_c_type_means_something_within_its_c_num_only() {
    let decision = with_header(ANY, &hex("0008 06 01 0001 0000"));
    let client_si = with_header(ANY, &hex("0008 09 01 0001 0000"));
    let handle_2 = with_header(ANY, &hex("0008 01 02 0001 0000"));
    assert!(matches!(only_object(&decision), Ok(ObjectRef::DecisionFlags(_))));
    assert!(matches!(
        only_object(&client_si),
        Ok(ObjectRef::SignaledClientSi(_))
    ));
    assert!(matches!(only_object(&handle_2), Ok(ObjectRef::Unknown { .. })));
}

/// C-2.2-03 is a MUST; C-2.2-02: the padding is not counted; C-2.1-11 and C-2.1-13: the message stays a multiple of 4, and
/// what is padded is zero.
#[test]
fn c_2_2_03_pads_to_word_boundary() {
    let octets = [0xff; 8];
    for length in 0..=8 {
        let message = frame(ANY, &[ObjectRef::Handle(&octets[..length])]);
        let object = &message[8..];
        assert_eq!(
            usize::from(u16::from_be_bytes([object[0], object[1]])),
            4 + length,
            "stated length"
        );
        assert_eq!(object.len(), (4 + length).next_multiple_of(4), "with padding");
        assert!(object[4 + length..].iter().all(|octet| *octet == 0), "zeros");
        assert_eq!(message.len() % 4, 0);
    }
}

#[test]
fn c_2_2_04_the_next_object_is_found_after_the_padding() {
    for length in 0..=8 {
        let octets = [0xff; 8];
        let objects = [
            ObjectRef::Handle(&octets[..length]),
            ObjectRef::Context(Context::CONFIGURATION),
        ];
        let message = frame(ANY, &objects);
        let found: Vec<_> = MessageRef::of_frame(&message, &Limits::default())
            .objects()
            .map(|object| object.expect("a good object").1)
            .collect();
        assert_eq!(found, objects, "a handle of {length}");
    }
}

/// The RFC does not say what padding holds, so nothing is refused for it.
#[test]
fn padding_is_not_looked_at() {
    assert_eq!(
        only_object(&with_header(ANY, &hex("0005 01 01 2a ffffff"))),
        Ok(ObjectRef::Handle(&[0x2a]))
    );
}

#[test]
fn c_2_2_05_refuses_an_object_length_below_4() {
    for length in 0..4 {
        let fault = only_object(&with_header(ANY, &[0, length, 1, 1, 0, 0, 0, 0])).expect_err("too short");
        assert_eq!(
            (fault.offset, fault.kind),
            (8, FaultKind::ObjectLength { found: length.into() })
        );
    }
    assert_eq!(
        only_object(&with_header(ANY, &[0, 4, 1, 1])),
        Ok(ObjectRef::Handle(&[])),
        "4 is an empty object"
    );
}

#[test]
fn c_2_1_12_refuses_an_object_that_ends_behind_the_message() {
    let octets = with_header(ANY, &hex("0004 01 01  0009 02 01 00000000"));
    let message = MessageRef::new(&octets, &Limits::default()).expect("a message");
    let mut objects = message.objects();
    assert!(objects.next().expect("the first").is_ok());
    let fault = objects.next().expect("the second").expect_err("overrun");
    let object = ObjectId::new(CNum::CONTEXT, 1);
    assert_eq!(
        (fault.offset, fault.kind),
        (
            12,
            FaultKind::ObjectOverrun {
                object,
                expected: 8,
                found: 12
            }
        )
    );
    assert!(objects.next().is_none(), "the walk ends there");
}

/// C-2.2-06, and what is over it.
#[test]
fn c_2_2_06_the_largest_object_has_65531_octets_of_contents() {
    let contents = vec![0x5a; 65_531];
    let message = frame(ANY, &[ObjectRef::NamedClientSi(&contents)]);
    assert_eq!(message[8..12], [0xff, 0xff, 9, 2]);
    assert_eq!(message.len(), 8 + 65_536);
    assert_eq!(only_object(&message), Ok(ObjectRef::NamedClientSi(&contents)));
}

#[test]
fn c_2_2_1_01_handles_of_any_length_are_unchanged() {
    let octets = vec![0xa5; 1000];
    for length in [0, 1, 4, 5, 1000] {
        let octets = &octets[..length];
        assert_eq!(
            only_object(&frame(ANY, &[ObjectRef::Handle(octets)])),
            Ok(ObjectRef::Handle(octets))
        );
    }
}

#[test]
fn c_2_2_1_05_handles_of_different_length_differ() {
    let short = ClientHandle(Bytes::from_static(&[0]));
    let long = ClientHandle(Bytes::from_static(&[0, 0]));
    assert_ne!(short, long);
    assert_eq!(short, ClientHandle::from(&[0][..]));
    assert_eq!(ClientHandle::from(0x0102_0304).to_string(), "01020304");
    assert_eq!(
        ClientHandle::from(&[0xff; 17][..]).to_string(),
        "ffffffffffffffffffffffffffffffff... (17 octets)"
    );
}

/// C-2.2.2-02, C-2.2.2-04: any R-Type but 0, any M-Type. C-6-05: unknown bits are kept.
#[test]
fn c_2_2_2_02_contexts_are_unchanged() {
    for r_type in [1, 2, 4, 8, 7, 0x10, 0xffff].map(RType) {
        for m_type in [0, 1, 0xffff].map(MType) {
            let context = ObjectRef::Context(Context { r_type, m_type });
            assert_eq!(only_object(&frame(ANY, &[context])), Ok(context));
        }
    }
}

#[test]
fn a_38_refuses_an_r_type_that_asks_for_nothing() {
    let fault = only_object(&with_header(ANY, &hex("0008 02 01 0000 0001"))).expect_err("R-Type 0");
    assert_eq!(fault.offset, 12);
    assert!(
        matches!(fault.kind, FaultKind::InvalidValue { found: 0, .. }),
        "{fault}"
    );
}

/// C-2.2.3-01 and the lengths of all other objects of fixed size: one octet or word less or more is refused.
#[test]
fn c_2_2_3_01_refuses_another_length_than_the_object_has() {
    let mut fixed = 0;
    for (octets, object) in golden() {
        let octets = hex(&octets);
        let is_fixed = !matches!(object.id().c_num, CNum::HANDLE | CNum::CLIENT_SI | CNum::PEP_ID)
            && !matches!(
                object,
                ObjectRef::DecisionData(..) | ObjectRef::LpdpDecisionData(..)
            )
            && !matches!(object, ObjectRef::IntegrityHmac { .. });
        if !is_fixed {
            continue;
        }
        fixed += 1;
        let right = usize::from(u16::from_be_bytes([octets[0], octets[1]]));
        for wrong in (4..right + 8).filter(|wrong| *wrong != right) {
            let mut changed = octets.to_vec();
            changed.resize(wrong.next_multiple_of(4), 0);
            changed[..2].copy_from_slice(&u16::try_from(wrong).expect("short").to_be_bytes());
            let fault = only_object(&with_header(ANY, &changed)).expect_err("a wrong length");
            assert_eq!(fault.offset, 8);
            let FaultKind::ObjectSize { expected, found, .. } = fault.kind else {
                panic!("{fault}")
            };
            assert_eq!(
                (expected, found),
                (format!("a length of {right}").as_str(), wrong)
            );
        }
    }
    assert_eq!(fixed, 17);
}

/// C-2.2.3-03.
#[test]
fn c_2_2_3_03_local_traffic_has_the_loopback_address() {
    assert_eq!(Interface::loopback_ipv4(1).address.to_string(), "127.0.0.1");
    assert_eq!(Interface::loopback_ipv6(1).address.to_string(), "::1");
}

/// An IPv4 address in IPv6 clothes stays what it was: the C-Type is the peer's choice.
#[test]
fn a_mapped_address_keeps_its_c_type() {
    let octets = with_header(
        ANY,
        &hex("0018 0d 02 00000000 00000000 0000ffff c0000201 0000 0cd8"),
    );
    let object = only_object(&octets).expect("an address");
    assert_eq!(frame(ANY, &[object])[8..], octets[8..]);
}

/// C-2.2.5-03, C-2.2.8-17, C-6-05: unknown codes and all sub-codes are kept.
#[test]
fn codes_and_sub_codes_are_unchanged() {
    for code in [0, 1, 13, 16, 0xffff] {
        for sub_code in [0, 1, 0xffff] {
            let reason = ObjectRef::Reason(Reason {
                code: ReasonCode(code),
                sub_code,
            });
            let error = ObjectRef::Error(CopsError {
                code: ErrorCode(code),
                sub_code,
            });
            for object in [reason, error, ObjectRef::ReportType(ReportType(code))] {
                assert_eq!(only_object(&frame(ANY, &[object])), Ok(object));
            }
        }
    }
}

/// C-2.2.6-03, C-2.2.6-04: commands and flags, known or not, are kept for the session to judge.
#[test]
fn c_2_2_6_03_commands_and_flags_are_unchanged() {
    for command in [0, 1, 2, 3, 0xffff].map(CommandCode) {
        for flags in [0, 1, 2, 0x8000].map(DecisionFlagBits) {
            for object in [
                ObjectRef::DecisionFlags(DecisionFlags { command, flags }),
                ObjectRef::LpdpDecisionFlags(DecisionFlags { command, flags }),
            ] {
                assert_eq!(only_object(&frame(ANY, &[object])), Ok(object));
            }
        }
    }
    assert_eq!(
        (
            DecisionFlagBits::TRIGGER_ERROR.0,
            DecisionFlagBits::REQUEST_STATE.0
        ),
        (1, 2)
    );
}

#[test]
fn c_2_2_6_06_opaque_data_of_any_length_is_unchanged() {
    let contents = [0xa5; 7];
    for kind in DecisionDataKind::ALL {
        for length in 0..=7 {
            for object in [
                ObjectRef::DecisionData(kind, &contents[..length]),
                ObjectRef::LpdpDecisionData(kind, &contents[..length]),
            ] {
                assert_eq!(only_object(&frame(ANY, &[object])), Ok(object));
            }
        }
    }
}

/// C-2.2.10-02: 0 is infinity, not the shortest interval of all.
#[test]
fn c_2_2_10_02_zero_seconds_is_no_interval() {
    assert_eq!(KaTimer::INFINITE.interval(), None);
    assert_eq!(KaTimer(65_535).interval(), Some(Duration::from_secs(65_535)));
    assert_eq!(AccountingTimer::NEVER.interval(), None);
    assert_eq!(AccountingTimer(1).interval(), Some(Duration::from_secs(1)));
}

/// C-2.1-13: what is reserved is sent as zero (the golden octets) and not looked at when received.
#[test]
fn c_2_1_13_reserved_fields_are_not_looked_at() {
    let same = [
        ("0008 0a 01 ffff 001e", ObjectRef::KaTimer(KaTimer(30))),
        (
            "0008 0f 01 ffff 003c",
            ObjectRef::AccountingTimer(AccountingTimer(60)),
        ),
        ("0008 0c 01 0001 ffff", ObjectRef::ReportType(ReportType::SUCCESS)),
        (
            "000c 0d 01 c0000201 ffff 0cd8",
            ObjectRef::PdpRedirectAddress(address()),
        ),
        (
            "000c 0e 01 c0000201 ffff 0cd8",
            ObjectRef::LastPdpAddress(address()),
        ),
        (
            "0008 10 02 ffff 0001",
            ObjectRef::IntegrityTls(IntegrityTlsFlags::START_TLS),
        ),
    ];
    for (octets, object) in same {
        assert_eq!(only_object(&with_header(ANY, &hex(octets))), Ok(object));
    }
}

/// C-2.2.16-02 is a MUST of the sender; which length a digest must have on receipt depends on the key, so that is the
/// verifier's to refuse.
#[test]
fn c_2_2_16_02_an_hmac_md5_96_digest_makes_a_length_of_24() {
    let digest = [0; cops_codec::wire::HMAC_MD5_96_OCTETS];
    let message = frame(
        ANY,
        &[ObjectRef::IntegrityHmac {
            key_id: KeyId(1),
            sequence_number: SequenceNumber(1),
            digest: &digest,
        }],
    );
    assert_eq!(message[8..12], [0, 24, 16, 1]);
    let too_short = only_object(&with_header(ANY, &hex("000b 10 01 00000001 00000000"))).map(|_| ());
    let fault = too_short.expect_err("no room for the sequence number");
    assert_eq!(
        fault.to_string(),
        "octet 8: expected a length of at least 12 in Integrity (16,1), found 11"
    );
}

/// C-2.1-08, the codec's part: the same octets of a client are handed on with their client-type, unread.
#[test]
fn client_specific_octets_are_handed_on_unread() {
    let octets = hex("10 01 40 01 00 00 00 20 0008 0101 00000001 0008 0201 0008 0000 0007 0902 ffffff 00");
    let message = decode(octets.clone()).expect("a REQ");
    assert_eq!(encode(&message), octets);
    let reread = message_of(
        OpCode::REQUEST,
        &[
            ObjectRef::Handle(&[0, 0, 0, 1]),
            ObjectRef::Context(Context::CONFIGURATION),
            ObjectRef::NamedClientSi(&[0xff; 3]),
        ],
    );
    assert_eq!(message, reread);
    assert_eq!(fault(octets.slice(..24)).offset, 24);
}
