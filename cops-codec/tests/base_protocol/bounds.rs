//! Every limit, at it and one over it, both ways; and what the wire itself cannot hold.

use bytes::{Bytes, BytesMut};
use cops_codec::{
    EncodeError, Fault, FaultKind, Limits, Message,
    encode::encode_objects,
    message::{Decision, LpdpDecision, ReportState},
    wire::{
        CNum, ClientHandle, ClientSi, CommandCode, Context, DecisionFlags, KeyId, MType, ObjectId, ObjectRef,
        OpCode, RType, ReportType, SequenceNumber,
    },
};

use crate::{
    pairs::{decision, request},
    support::{CLIENT_TYPE, decode_within},
};

fn req() -> cops_codec::message::Request {
    request(CLIENT_TYPE, ClientHandle::from(1), Context::CONFIGURATION)
}

/// The message that is at a limit, and the one that is over it.
struct Case {
    what: &'static str,
    at: Message,
    over: Message,
    limits: Limits,
}

fn cases() -> Vec<Case> {
    let three = Limits {
        max_client_si: 3,
        max_decisions: 3,
        max_lpdp_decisions: 3,
        ..Limits::default()
    };
    let with_client_si = |count| {
        Message::from(cops_codec::message::Request {
            client_si: vec![ClientSi::Named(Bytes::new()); count],
            ..req()
        })
    };
    let with_lpdp = |count| {
        Message::from(cops_codec::message::Request {
            lpdp_decisions: vec![LpdpDecision::new(DecisionFlags::new(CommandCode::NULL)); count],
            ..req()
        })
    };
    let with_decisions = |count| {
        Message::from(decision(
            CLIENT_TYPE,
            true,
            ClientHandle::from(1),
            vec![Decision::null(Context::CONFIGURATION); count],
        ))
    };
    let report = |count| {
        Message::from(ReportState {
            client_type: CLIENT_TYPE,
            solicited: true,
            handle: ClientHandle::from(1),
            report_type: ReportType::SUCCESS,
            client_si: vec![ClientSi::Named(Bytes::new()); count],
            integrity: None,
        })
    };
    let case = |what, message: &dyn Fn(usize) -> Message, at, limits| Case {
        what,
        at: message(at),
        over: message(at + 1),
        limits,
    };
    vec![
        case("ClientSI objects in a REQ", &with_client_si, 3, three),
        case("ClientSI objects in a RPT", &report, 3, three),
        case("LPDP decisions in a REQ", &with_lpdp, 3, three),
        case("decisions in a DEC", &with_decisions, 3, three),
        // Handle and Context are two of the ten.
        case(
            "objects in a message",
            &with_client_si,
            8,
            Limits {
                max_objects: 10,
                ..Limits::default()
            },
        ),
    ]
}

#[test]
fn counts_are_limited_both_ways() {
    for Case {
        what,
        at,
        over,
        limits,
    } in cases()
    {
        let frame = at
            .encode(&limits)
            .unwrap_or_else(|error| panic!("{what}: {error}"));
        assert_eq!(Message::decode(&frame, &limits), Ok(at), "{what}");
        let Err(EncodeError::OverLimit {
            what: told,
            limit,
            found,
        }) = over.encode(&limits)
        else {
            panic!("{what}")
        };
        assert_eq!((told, found), (what, limit + 1));
        let frame = over.encode(&Limits::default()).expect("within the defaults");
        let error = Message::decode(&frame, &limits).expect_err("over the limit");
        assert_eq!(
            error.fault.kind,
            FaultKind::OverLimit {
                what,
                limit,
                found: limit + 1
            }
        );
        assert!(error.fault.offset >= 8 && error.fault.offset < frame.len());
        assert_eq!(error.handle, Some(ClientHandle::from(1)));
    }
}

/// The defaults hold what the largest message of the defaults can: full objects of rows, and more small ones than any
/// client-type needs.
#[test]
fn defaults_are_what_the_documentation_says() {
    let limits = Limits::default();
    assert_eq!(limits, Limits::DEFAULT);
    assert_eq!(
        (limits.max_message_octets, limits.max_objects),
        (1_048_576, 1_024)
    );
    assert_eq!(
        (
            limits.max_client_si,
            limits.max_decisions,
            limits.max_lpdp_decisions
        ),
        (256, 256, 256)
    );
    assert_eq!(
        (
            limits.max_handle_octets,
            limits.max_pep_id_octets,
            limits.max_digest_octets
        ),
        (1_024, 255, 64)
    );
}

#[test]
fn lengths_are_limited_on_receipt() {
    let limits = Limits {
        max_handle_octets: 4,
        max_pep_id_octets: 4,
        max_digest_octets: 4,
        ..Limits::default()
    };
    let digest = |digest| ObjectRef::IntegrityHmac {
        key_id: KeyId(1),
        sequence_number: SequenceNumber(1),
        digest,
    };
    let cases = [
        (
            OpCode::SYNCHRONIZE_STATE_REQUEST,
            ObjectRef::Handle(b"abcd"),
            ObjectRef::Handle(b"abcde"),
        ),
        (
            OpCode::CLIENT_OPEN,
            ObjectRef::PepId("abcd"),
            ObjectRef::PepId("abcde"),
        ),
        (
            OpCode::SYNCHRONIZE_STATE_REQUEST,
            digest(b"abcd"),
            digest(b"abcde"),
        ),
    ];
    for (op_code, at, over) in cases {
        let octets = |object| {
            encode_objects(op_code, CLIENT_TYPE, false, &[object], &limits)
                .expect("an encoder knows no such limit")
        };
        assert!(decode_within(octets(at).into_octets(), &limits).is_ok(), "{at:?}");
        let error = decode_within(octets(over).into_octets(), &limits).expect_err("over the limit");
        assert_eq!(error.fault.offset, 8);
        assert!(
            matches!(
                error.fault.kind,
                FaultKind::HandleTooLong { limit: 4, found: 5 }
                    | FaultKind::OverLimit {
                        limit: 4,
                        found: 5,
                        ..
                    }
            ),
            "{error}"
        );
    }
}

#[test]
fn a_message_is_limited_both_ways() {
    let message = Message::from(cops_codec::message::Request {
        client_si: vec![ClientSi::Named(Bytes::from(vec![0; 40_000])); 2],
        ..req()
    });
    let octets = 24 + 2 * 40_004;
    let at = Limits {
        max_message_octets: octets,
        ..Limits::default()
    };
    let frame = message.encode(&at).expect("at the limit");
    assert_eq!(frame.len(), octets);
    let over = Limits {
        max_message_octets: octets - 4,
        ..Limits::default()
    };
    assert_eq!(
        message.encode(&over),
        Err(EncodeError::MessageTooLong {
            limit: octets - 4,
            found: octets
        })
    );
    let found = u32::try_from(octets).expect("a short message");
    assert_eq!(
        decode_within(frame.into_octets(), &over)
            .expect_err("over the limit")
            .fault,
        Fault {
            offset: 4,
            kind: FaultKind::MessageTooLong {
                limit: octets - 4,
                found
            }
        }
    );
    let none = Limits {
        max_message_octets: 7,
        ..Limits::default()
    };
    assert_eq!(
        message.encode(&none),
        Err(EncodeError::MessageTooLong { limit: 7, found: 8 })
    );
}

/// C-2.2-06: an object that is too long is an error, never a length that was cut.
#[test]
fn c_2_2_06_one_octet_more_than_an_object_holds_is_an_encode_error() {
    let message = |octets| {
        Message::from(cops_codec::message::Request {
            client_si: vec![ClientSi::Named(Bytes::from(vec![0; octets]))],
            ..req()
        })
    };
    assert!(message(65_531).encode(&Limits::default()).is_ok());
    for octets in [65_532, 65_536, 200_000] {
        let object = ObjectId::new(CNum::CLIENT_SI, 2);
        let error = message(octets).encode(&Limits::default()).expect_err("too long");
        assert_eq!(
            error,
            EncodeError::ObjectTooLong {
                object,
                found: octets
            }
        );
    }
}

#[test]
fn what_the_decoder_refuses_is_not_encoded() {
    let none = decision(CLIENT_TYPE, true, ClientHandle::from(1), vec![]);
    assert_eq!(
        Message::from(none).encode(&Limits::default()),
        Err(EncodeError::NoDecision)
    );
    let empty = Context {
        r_type: RType::NONE,
        m_type: MType(0),
    };
    let mut request = req();
    request.context = empty;
    assert_eq!(
        Message::from(request).encode(&Limits::default()),
        Err(EncodeError::EmptyRType)
    );
    let decision = decision(
        CLIENT_TYPE,
        true,
        ClientHandle::from(1),
        vec![Decision::null(empty)],
    );
    assert_eq!(
        Message::from(decision).encode(&Limits::default()),
        Err(EncodeError::EmptyRType)
    );
}

/// A message that fails leaves those before it in the buffer as they were.
#[test]
fn a_failed_encoding_leaves_nothing_behind() {
    let mut out = BytesMut::from(&b"before"[..]);
    let bad = decision(
        CLIENT_TYPE,
        true,
        ClientHandle::from(1),
        vec![
            Decision::null(Context::CONFIGURATION),
            Decision::install(Context::CONFIGURATION, Bytes::from(vec![0; 65_532])),
        ],
    );
    assert!(
        Message::from(bad)
            .encode_into(&mut out, &Limits::default())
            .is_err()
    );
    assert_eq!(&out[..], b"before");
    Message::from(req())
        .encode_into(&mut out, &Limits::default())
        .expect("a REQ");
    assert_eq!(out[6..14], [0x10, 1, 0x40, 1, 0, 0, 0, 24]);
}
