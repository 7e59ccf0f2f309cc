//! What a peer is told about a message that is wrong.

use bytes::Bytes;
use cops_codec::{
    Answer, DecodeError, Message,
    wire::{
        CNum, ClientHandle, ClientType, CommandCode, Context, CopsError, DecisionFlags, ErrorCode,
        IntegrityTlsFlags, KaTimer, ObjectId, ObjectRef, OpCode, Reason, ReasonCode, ReportType, Role,
    },
};

use crate::support::{CLIENT_TYPE, decode, encode, frame, hex, show, with_header};

const HANDLE: ObjectRef<'_> = ObjectRef::Handle(&[0, 0, 0, 1]);
const CONTEXT: ObjectRef<'_> = ObjectRef::Context(Context::CONFIGURATION);
const FLAGS: ObjectRef<'_> = ObjectRef::DecisionFlags(DecisionFlags::new(CommandCode::INSTALL));
const UNKNOWN_17: ObjectRef<'_> = ObjectRef::Unknown {
    id: ObjectId::new(CNum(17), 1),
    contents: b"",
};
const UNKNOWN_DECISION: ObjectRef<'_> = ObjectRef::Unknown {
    id: ObjectId::new(CNum::DECISION, 9),
    contents: b"",
};
const UNKNOWN_INTEGRITY: ObjectRef<'_> = ObjectRef::Unknown {
    id: ObjectId::new(CNum::INTEGRITY, 9),
    contents: b"",
};
const MALFORMED: CopsError = CopsError::new(ErrorCode::BAD_MESSAGE_FORMAT);
const MISSING: CopsError = CopsError::new(ErrorCode::OBJECT_MISSING);

fn error(octets: Bytes) -> DecodeError {
    decode(octets).expect_err("a message that is wrong")
}

fn error_of(op_code: OpCode, objects: &[ObjectRef<'_>]) -> DecodeError {
    error(frame(op_code, objects).into_octets())
}

fn error_decision(error: CopsError) -> Answer {
    Answer::ErrorDecision {
        client_type: CLIENT_TYPE,
        handle: ClientHandle::from(1),
        error,
    }
}

fn delete(reason: Reason) -> Answer {
    Answer::DeleteRequestState {
        client_type: CLIENT_TYPE,
        handle: ClientHandle::from(1),
        reason,
    }
}

fn close(error: CopsError) -> Answer {
    Answer::CloseClient {
        client_type: CLIENT_TYPE,
        error,
    }
}

/// C-3.1-07 is a MUST; C-2.2.8-04, C-2.2.8-08, C-2.2.8-14, C-3.2-14: a bad REQ is answered by DEC with the right error.
#[test]
fn c_3_1_07_a_malformed_req_is_answered_by_a_dec_with_an_error() {
    let cases = [
        (vec![HANDLE], MISSING),
        (vec![HANDLE, CONTEXT, CONTEXT], MISSING),
        (vec![HANDLE, HANDLE, CONTEXT], MALFORMED),
        (vec![HANDLE, CONTEXT, ObjectRef::KaTimer(KaTimer(1))], MALFORMED),
        (
            vec![HANDLE, CONTEXT, UNKNOWN_17],
            CopsError {
                code: ErrorCode::UNKNOWN_OBJECT,
                sub_code: 0x1101,
            },
        ),
        (
            vec![UNKNOWN_17, HANDLE],
            CopsError {
                code: ErrorCode::UNKNOWN_OBJECT,
                sub_code: 0x1101,
            },
        ),
    ];
    for (objects, expected) in cases {
        let answer = error_of(OpCode::REQUEST, &objects).answer(Role::Pdp);
        assert_eq!(answer, error_decision(expected), "{objects:?}");
        assert!(!answer.closes_connection());
    }
}

/// C-2.2.2-05, the codec's part.
#[test]
fn c_2_2_2_05_a_req_without_context_is_refused() {
    assert_eq!(
        error_of(OpCode::REQUEST, &[HANDLE]).answer(Role::Pdp),
        error_decision(MISSING)
    );
}

#[test]
fn the_handle_of_a_bad_req_is_found_before_and_after_the_fault() {
    for objects in [
        &[HANDLE, UNKNOWN_17][..],
        &[UNKNOWN_17, HANDLE],
        &[HANDLE, HANDLE],
    ] {
        assert_eq!(
            error_of(OpCode::REQUEST, objects).handle,
            Some(ClientHandle::from(1)),
            "{objects:?}"
        );
    }
    let lost = error(with_header(
        OpCode::REQUEST,
        &hex("0002 0201 00080000 0008 0101 00000001"),
    ));
    assert_eq!(
        lost.handle, None,
        "behind an object whose length is wrong nothing can be found"
    );
    assert_eq!(lost.answer(Role::Pdp), close(MALFORMED));
}

/// a REQ whose handle is too long is told so, by its handle; one without any cannot get a DEC.
#[test]
fn c_2_2_8_02_an_unusable_handle_is_a_bad_handle() {
    let octets = vec![0xab; 1025];
    let long = ObjectRef::Handle(&octets);
    let answer = error_of(OpCode::REQUEST, &[long, CONTEXT]).answer(Role::Pdp);
    let Answer::ErrorDecision { handle, error, .. } = &answer else {
        panic!("{answer:?}")
    };
    assert_eq!(handle.as_bytes(), octets);
    assert_eq!(*error, CopsError::new(ErrorCode::BAD_HANDLE));
    encode(&Message::from(answer));
    assert_eq!(
        error_of(OpCode::REQUEST, &[CONTEXT]).answer(Role::Pdp),
        close(MISSING)
    );
}

/// C-3.4-05 is a MUST: a malformed DEC makes a DRQ with reason 12, which is what "Bad Message Format" must mean.
#[test]
fn c_3_4_05_a_malformed_dec_is_answered_by_a_drq_with_reason_12() {
    for objects in [
        &[HANDLE][..],
        &[HANDLE, CONTEXT],
        &[HANDLE, FLAGS],
        &[HANDLE, CONTEXT, FLAGS, FLAGS],
    ] {
        let answer = error_of(OpCode::DECISION, objects).answer(Role::Pep);
        assert_eq!(
            answer,
            delete(Reason::new(ReasonCode::MALFORMED_DECISION)),
            "{objects:?}"
        );
    }
    let cut = hex("0008 0101 00000001 0008 0201 00080000 0010 0605 00000000");
    let answer = error(with_header(OpCode::DECISION, &cut)).answer(Role::Pep);
    assert_eq!(
        answer,
        delete(Reason::new(ReasonCode::MALFORMED_DECISION)),
        "a decision object cut short"
    );
}

/// C-3.4-07 is a MUST; C-2.2.5-16; A-15 for an unknown object that is no decision; A-20: no RPT.
#[test]
fn c_3_4_07_an_unknown_object_in_a_dec_is_answered_by_a_drq_with_reason_13() {
    for (object, sub_code) in [(UNKNOWN_DECISION, 0x0609), (UNKNOWN_17, 0x1101)] {
        let answer = error_of(OpCode::DECISION, &[HANDLE, CONTEXT, FLAGS, object]).answer(Role::Pep);
        assert_eq!(
            answer,
            delete(Reason {
                code: ReasonCode::UNKNOWN_OBJECT,
                sub_code
            })
        );
    }
}

#[test]
fn a_dec_without_a_handle_to_delete_closes_the_client() {
    assert_eq!(
        error_of(OpCode::DECISION, &[CONTEXT, FLAGS]).answer(Role::Pep),
        close(MISSING)
    );
}

/// C-3.6-05 and C-3.7-06 are MUSTs: a bad OPN or CAT is answered by CC. So is, for lack of anything better, every other
/// message that is no REQ or DEC.
#[test]
fn c_3_6_05_and_c_3_7_06_other_malformed_messages_are_answered_by_a_cc() {
    let unknown = CopsError {
        code: ErrorCode::UNKNOWN_OBJECT,
        sub_code: 0x1101,
    };
    let to_pdp = [
        (OpCode::CLIENT_OPEN, ObjectRef::PepId("pep1"), MISSING),
        (OpCode::REPORT_STATE, HANDLE, MISSING),
        (OpCode::DELETE_REQUEST_STATE, HANDLE, MISSING),
        (OpCode::CLIENT_CLOSE, ObjectRef::Error(MISSING), MISSING),
    ];
    let to_pep = [
        (OpCode::CLIENT_ACCEPT, ObjectRef::KaTimer(KaTimer(30)), MISSING),
        (OpCode::CLIENT_CLOSE, ObjectRef::Error(MISSING), MISSING),
    ];
    let cases = to_pdp
        .map(|case| (Role::Pdp, case))
        .into_iter()
        .chain(to_pep.map(|case| (Role::Pep, case)));
    for (receiver, (op_code, object, missing)) in cases {
        assert_eq!(
            error_of(op_code, &[]).answer(receiver),
            close(missing),
            "{op_code}, empty"
        );
        assert_eq!(
            error_of(op_code, &[object, object]).answer(receiver),
            close(MALFORMED),
            "{op_code}, twice"
        );
        assert_eq!(
            error_of(op_code, &[object, UNKNOWN_17]).answer(receiver),
            close(unknown),
            "{op_code}, unknown"
        );
    }
    for (op_code, receiver) in [
        (OpCode::SYNCHRONIZE_STATE_REQUEST, Role::Pep),
        (OpCode::SYNCHRONIZE_STATE_COMPLETE, Role::Pdp),
    ] {
        assert_eq!(
            error_of(op_code, &[HANDLE, UNKNOWN_17]).answer(receiver),
            close(unknown),
            "{op_code}"
        );
    }
}

/// KA belongs to client-type 0, and a CC for that ends the connection.
#[test]
fn a_15_a_bad_ka_closes_the_connection() {
    let unknown = error(hex("10 09 0000 0000000c 0004 1101"));
    let sub_code = 0x1101;
    assert_eq!(unknown.answer(Role::Pdp), {
        Answer::CloseConnection {
            error: CopsError {
                code: ErrorCode::UNKNOWN_OBJECT,
                sub_code,
            },
        }
    });
    let other_client = error(hex("10 09 4001 00000008"));
    assert_eq!(
        other_client.answer(Role::Pep),
        Answer::CloseConnection { error: MALFORMED }
    );
}

/// framing that is lost ends the connection, with a CC for client-type 0.
#[test]
fn a_02_a_framing_fault_closes_the_connection() {
    for octets in [
        "20 09 0000 00000008",
        "10 09 0000 00000007",
        "10 09 0000 00000009",
        "10 09 0000 fffffffc",
    ] {
        let error = error(hex(octets));
        assert!(error.fault.kind.breaks_framing(), "{octets}");
        let answer = error.answer(Role::Pdp);
        assert_eq!(answer, Answer::CloseConnection { error: MALFORMED }, "{octets}");
        assert!(answer.closes_connection());
        assert_eq!(
            show(&encode(&answer.into())),
            "10080000 00000010 00080801 00030000",
            "{octets}"
        );
    }
}

/// with good framing an unknown op code, or a message that the other end never sends, costs that client-type only.
#[test]
fn c_2_1_07_unknown_op_codes_and_wrong_directions_are_answered_by_a_cc() {
    for receiver in [Role::Pdp, Role::Pep] {
        let unknown = error(with_header(OpCode(11), &[]));
        assert!(!unknown.fault.kind.breaks_framing());
        assert_eq!(unknown.answer(receiver), close(MALFORMED));
    }
    // A bad DEC that a PDP gets is no DEC to answer with a DRQ, and a bad REQ that a PEP gets is no REQ.
    assert_eq!(
        error_of(OpCode::DECISION, &[HANDLE]).answer(Role::Pdp),
        close(MALFORMED)
    );
    assert_eq!(
        error_of(OpCode::REQUEST, &[HANDLE]).answer(Role::Pep),
        close(MALFORMED)
    );
    assert_eq!(Answer::wrong_direction(CLIENT_TYPE), close(MALFORMED));
    assert!(Answer::wrong_direction(ClientType::CONNECTION).closes_connection());
}

/// C-4.1-10, C-2.2.8-14: an Integrity object of a C-Type that is not known fails the security of the whole connection.
#[test]
fn c_4_1_10_an_unknown_integrity_c_type_is_answered_for_client_type_0() {
    let expected = CopsError {
        code: ErrorCode::UNKNOWN_OBJECT,
        sub_code: 0x1009,
    };
    for (op_code, objects, receiver) in [
        (
            OpCode::CLIENT_OPEN,
            vec![ObjectRef::PepId("pep1"), UNKNOWN_INTEGRITY],
            Role::Pdp,
        ),
        (
            OpCode::REQUEST,
            vec![HANDLE, CONTEXT, UNKNOWN_INTEGRITY],
            Role::Pdp,
        ),
        (
            OpCode::DECISION,
            vec![HANDLE, CONTEXT, FLAGS, UNKNOWN_INTEGRITY],
            Role::Pep,
        ),
    ] {
        let answer = error_of(op_code, &objects).answer(receiver);
        assert_eq!(answer, Answer::CloseConnection { error: expected }, "{op_code}");
    }
}

#[test]
fn a_bad_opn_for_client_type_0_closes_the_connection() {
    let answer = error(hex("10 06 0000 00000010 0008 1002 00000001")).answer(Role::Pdp);
    assert_eq!(answer, Answer::CloseConnection { error: MISSING });
}

#[test]
fn answers_become_messages() {
    let golden = [
        (
            error_decision(MISSING),
            "11024001 00000018 00080101 00000001 00080801 00070000",
        ),
        (delete(Reason::new(ReasonCode::MALFORMED_DECISION)), {
            "10044001 00000018 00080101 00000001 00080501 000c0000"
        }),
        (close(MALFORMED), "10084001 00000010 00080801 00030000"),
        (
            Answer::CloseConnection { error: MISSING },
            "10080000 00000010 00080801 00070000",
        ),
    ];
    for (answer, octets) in golden {
        assert_eq!(show(&encode(&answer.into())), octets);
    }
}

#[test]
fn errors_say_message_handle_place_expected_and_found() {
    let texts = [
        (
            error_of(OpCode::REQUEST, &[HANDLE, CONTEXT, UNKNOWN_17]),
            "REQ for client-type 0x4001, handle 00000001: octet 24: expected an object of RFC 2748, found object (17,1)",
        ),
        (
            error_of(OpCode::DECISION, &[HANDLE, CONTEXT, CONTEXT]),
            "DEC for client-type 0x4001, handle 00000001: octet 24: expected Decision Flags after Context, \
             found Context (2,1)",
        ),
        (
            error_of(
                OpCode::REPORT_STATE,
                &[ObjectRef::ReportType(ReportType::SUCCESS)],
            ),
            "RPT for client-type 0x4001: octet 16: expected Handle, found the end of the message",
        ),
        (
            error(hex("20 09 0000 00000008")),
            "message: octet 0: expected COPS version 1, found version 2",
        ),
        (
            error(hex("10 06 0000 00000014 0009 1002 00000001 ffffffff")),
            "OPN for client-type 0x0000: octet 8: expected a length of 8 in Integrity (16,2), found 9",
        ),
    ];
    for (error, text) in texts {
        assert_eq!(error.to_string(), text);
    }
    let tls = ObjectRef::IntegrityTls(IntegrityTlsFlags::START_TLS);
    assert_eq!(tls.id().to_string(), "Integrity (16,2)");
}
