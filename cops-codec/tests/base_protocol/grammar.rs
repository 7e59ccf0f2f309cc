//! The grammars (RFC 2748 3): what each message must have, may have once, and may have in which order.

use bytes::Bytes;
use cops_codec::{
    FaultKind, Message,
    message::{Decision, DecisionBody},
    wire::{
        AccountingTimer, ClientSi, CommandCode, Context, CopsError, DecisionDataKind, DecisionFlags,
        ErrorCode, IntegrityTlsFlags, Interface, KaTimer, KeyId, MType, ObjectId, ObjectRef, OpCode,
        PdpAddress, RType, Reason, ReasonCode, ReportType, SequenceNumber,
    },
};

use crate::{
    pairs,
    support::{decode, encode, fault_of, frame, is_order, message_of},
};

const HANDLE: ObjectRef<'_> = ObjectRef::Handle(&[0, 0, 0, 1]);
const CONTEXT: ObjectRef<'_> = ObjectRef::Context(Context::CONFIGURATION);
const OTHER_CONTEXT: ObjectRef<'_> = ObjectRef::Context(Context {
    r_type: RType::OUTGOING_MESSAGE,
    m_type: MType(1),
});
const FLAGS: ObjectRef<'_> = ObjectRef::DecisionFlags(DecisionFlags::new(CommandCode::INSTALL));
const STATELESS: ObjectRef<'_> = ObjectRef::DecisionData(DecisionDataKind::Stateless, b"s");
const NAMED: ObjectRef<'_> = ObjectRef::DecisionData(DecisionDataKind::Named, b"n");
const LPDP_FLAGS: ObjectRef<'_> = ObjectRef::LpdpDecisionFlags(DecisionFlags::new(CommandCode::INSTALL));
const LPDP_NAMED: ObjectRef<'_> = ObjectRef::LpdpDecisionData(DecisionDataKind::Named, b"n");
const ERROR: ObjectRef<'_> = ObjectRef::Error(CopsError::new(ErrorCode::UNSPECIFIED));
const CLIENT_SI: ObjectRef<'_> = ObjectRef::NamedClientSi(b"c");
const PEP_ID: ObjectRef<'_> = ObjectRef::PepId("pep1");
const KA_TIMER: ObjectRef<'_> = ObjectRef::KaTimer(KaTimer(30));
const REPORT_TYPE: ObjectRef<'_> = ObjectRef::ReportType(ReportType::SUCCESS);
const REASON: ObjectRef<'_> = ObjectRef::Reason(Reason::new(ReasonCode::TIMEOUT));
const INTEGRITY: ObjectRef<'_> = ObjectRef::IntegrityHmac {
    key_id: KeyId(1),
    sequence_number: SequenceNumber(1),
    digest: &[0; 12],
};
const UNKNOWN: ObjectRef<'_> = ObjectRef::Unknown {
    id: ObjectId::new(cops_codec::wire::CNum(17), 1),
    contents: b"?",
};

fn in_interface() -> ObjectRef<'static> {
    ObjectRef::InInterface(Interface::loopback_ipv4(1))
}

fn out_interface() -> ObjectRef<'static> {
    ObjectRef::OutInterface(Interface::loopback_ipv4(1))
}

fn last_pdp() -> ObjectRef<'static> {
    ObjectRef::LastPdpAddress(address())
}

fn redirect() -> ObjectRef<'static> {
    ObjectRef::PdpRedirectAddress(address())
}

fn address() -> PdpAddress {
    PdpAddress {
        address: [192, 0, 2, 1].into(),
        port: 3288,
    }
}

fn accounting_timer() -> ObjectRef<'static> {
    ObjectRef::AccountingTimer(AccountingTimer(60))
}

/// One of each known object.
fn one_of_each() -> Vec<ObjectRef<'static>> {
    vec![
        HANDLE,
        CONTEXT,
        in_interface(),
        out_interface(),
        REASON,
        FLAGS,
        NAMED,
        LPDP_FLAGS,
        LPDP_NAMED,
        ERROR,
        CLIENT_SI,
        KA_TIMER,
        PEP_ID,
        REPORT_TYPE,
        redirect(),
        last_pdp(),
        accounting_timer(),
    ]
}

/// A message's grammar as this test knows it, apart from the code.
struct Grammar {
    op_code: OpCode,
    mandatory: Vec<ObjectRef<'static>>,
    /// Once each, beside the mandatory ones.
    optional: Vec<ObjectRef<'static>>,
    /// Any number of times.
    repeatable: Vec<ObjectRef<'static>>,
}

fn grammars() -> Vec<Grammar> {
    let grammar = |op_code, mandatory: &[_], optional: &[_], repeatable: &[_]| Grammar {
        op_code,
        mandatory: mandatory.to_vec(),
        optional: optional.to_vec(),
        repeatable: repeatable.to_vec(),
    };
    vec![
        grammar(
            OpCode::REQUEST,
            &[HANDLE, CONTEXT],
            &[in_interface(), out_interface(), LPDP_NAMED],
            &[CLIENT_SI, CONTEXT, LPDP_FLAGS],
        ),
        grammar(
            OpCode::DECISION,
            &[HANDLE, CONTEXT, FLAGS],
            &[NAMED],
            &[CONTEXT, FLAGS],
        ),
        grammar(OpCode::DECISION, &[HANDLE, ERROR], &[], &[]),
        grammar(OpCode::REPORT_STATE, &[HANDLE, REPORT_TYPE], &[], &[CLIENT_SI]),
        grammar(OpCode::DELETE_REQUEST_STATE, &[HANDLE, REASON], &[], &[]),
        grammar(OpCode::SYNCHRONIZE_STATE_REQUEST, &[], &[HANDLE], &[]),
        grammar(OpCode::CLIENT_OPEN, &[PEP_ID], &[CLIENT_SI, last_pdp()], &[]),
        grammar(OpCode::CLIENT_ACCEPT, &[KA_TIMER], &[accounting_timer()], &[]),
        grammar(OpCode::CLIENT_CLOSE, &[ERROR], &[redirect()], &[]),
        grammar(OpCode::SYNCHRONIZE_STATE_COMPLETE, &[], &[HANDLE], &[]),
    ]
}

/// C-2.2.8-08, A-06: everything parses and one object is missing.
#[test]
fn every_mandatory_object_is_missed() {
    for grammar in grammars() {
        message_of(grammar.op_code, &grammar.mandatory);
        for absent in 0..grammar.mandatory.len() {
            let mut objects = grammar.mandatory.clone();
            let object = objects.remove(absent);
            // Flags without Context and data without Flags are faults of order, not of absence.
            if matches!(object, ObjectRef::Context(_)) && grammar.op_code == OpCode::DECISION {
                continue;
            }
            let fault = fault_of(grammar.op_code, &objects);
            let length = frame(grammar.op_code, &objects).len();
            assert_eq!(fault.offset, length, "{}: {fault}", grammar.op_code);
            let FaultKind::MissingObject { expected } = fault.kind else {
                panic!("{}: {fault}", grammar.op_code)
            };
            let name = object.id().to_string();
            let stem = name.split(" (").next().unwrap_or_default();
            let about_flags = stem == "Decision" && expected.contains("Flags");
            assert!(
                about_flags || expected.contains(stem),
                "{}: {stem} is missing, told {expected}",
                grammar.op_code
            );
        }
    }
}

/// C-2.2.5-02 (Reason in DRQ only), C-2.2.9-02 (ClientSI in REQ, RPT and OPN), and the same for all others: an object that
/// the grammar does not have is refused, wherever it stands.
#[test]
fn c_2_2_5_02_refuses_objects_of_other_messages() {
    let mut refused = 0;
    for grammar in grammars() {
        for object in one_of_each() {
            let belongs = |list: &[ObjectRef<'_>]| list.iter().any(|known| known.id() == object.id());
            if belongs(&grammar.mandatory) || belongs(&grammar.optional) || belongs(&grammar.repeatable) {
                continue;
            }
            for at in 0..=grammar.mandatory.len() {
                let mut objects = grammar.mandatory.clone();
                objects.insert(at, object);
                let fault = fault_of(grammar.op_code, &objects);
                let expected = matches!(fault.kind, FaultKind::UnexpectedObject { object: found, op_code }
                    if found == object.id() && op_code == grammar.op_code);
                // Between a Context and its Flags anything at all is out of order; so is a decision beside an error.
                assert!(
                    expected || is_order(fault),
                    "{object:?} in {}: {fault}",
                    grammar.op_code
                );
                refused += 1;
            }
        }
    }
    assert!(refused > 200, "{refused}");
    let ka = fault_of(OpCode::SYNCHRONIZE_STATE_REQUEST, &[KA_TIMER]);
    assert_eq!(
        ka.to_string(),
        "octet 8: expected an object of SSQ's grammar, found KA Timer (10,1)"
    );
}

/// a second copy of an object that may be there once.
#[test]
fn a_05_refuses_a_second_copy() {
    for grammar in grammars() {
        let all: Vec<_> = grammar
            .mandatory
            .iter()
            .chain(&grammar.optional)
            .copied()
            .collect();
        for object in all
            .iter()
            .filter(|object| grammar.repeatable.iter().all(|many| many.id() != object.id()))
        {
            let prefix: &[ObjectRef<'_>] = if matches!(object, ObjectRef::LpdpDecisionData(..)) {
                &[LPDP_FLAGS]
            } else {
                &[]
            };
            let objects: Vec<_> = grammar
                .mandatory
                .iter()
                .copied()
                .filter(|mandatory| mandatory.id() != object.id())
                .chain(prefix.iter().copied())
                .chain([*object, *object])
                .collect();
            let fault = fault_of(grammar.op_code, &objects);
            let kind = FaultKind::RepeatedObject { object: object.id() };
            assert_eq!(fault.kind, kind, "{object:?} twice in {}", grammar.op_code);
        }
    }
}

/// A-15 and C-3.2-14: an object that is not known is a fault in every message, in any place.
#[test]
fn a_15_refuses_unknown_objects_in_every_message() {
    for grammar in grammars() {
        for at in 0..=grammar.mandatory.len() {
            let mut objects = grammar.mandatory.clone();
            objects.insert(at, UNKNOWN);
            let fault = fault_of(grammar.op_code, &objects);
            assert_eq!(
                fault.kind,
                FaultKind::UnknownObject { object: UNKNOWN.id() },
                "{}",
                grammar.op_code
            );
        }
    }
}

/// C-2.2.16-04 and section 3, a MUST: Integrity is last. Every message may have it.
#[test]
fn c_2_2_16_04_refuses_anything_after_integrity() {
    for grammar in grammars() {
        let mut objects = grammar.mandatory.clone();
        objects.push(INTEGRITY);
        assert!(
            message_of(grammar.op_code, &objects).integrity().is_some(),
            "{}",
            grammar.op_code
        );
        for after in grammar
            .mandatory
            .iter()
            .chain(&grammar.optional)
            .chain(&grammar.repeatable)
            .chain(&[
                INTEGRITY,
                ObjectRef::IntegrityTls(IntegrityTlsFlags::START_TLS),
                UNKNOWN,
            ])
        {
            objects.push(*after);
            let fault = fault_of(grammar.op_code, &objects);
            assert!(is_order(fault), "{after:?} in {}: {fault}", grammar.op_code);
            assert_eq!(
                fault.offset,
                frame(grammar.op_code, &objects[..objects.len() - 1]).len()
            );
            objects.pop();
        }
        objects.rotate_right(1);
        if objects.len() > 1 {
            assert!(
                is_order(fault_of(grammar.op_code, &objects)),
                "Integrity first in {}",
                grammar.op_code
            );
        }
    }
}

/// C-3.9-01: nothing else in a KA.
#[test]
fn c_3_9_01_ka_holds_integrity_or_nothing() {
    let ka = |objects: &[ObjectRef<'_>]| {
        let frame = frame(OpCode::KEEP_ALIVE, objects);
        let mut octets = frame.to_vec();
        octets[2..4].copy_from_slice(&[0, 0]);
        decode(octets).map_err(|error| error.fault)
    };
    assert!(ka(&[]).is_ok());
    assert!(ka(&[INTEGRITY]).expect("a KA").integrity().is_some());
    for object in one_of_each() {
        let fault = ka(&[object]).expect_err("another object");
        assert!(
            matches!(fault.kind, FaultKind::UnexpectedObject { .. }),
            "{fault}"
        );
    }
}

/// C-3-01, A-05: other orders are read where order has no meaning, and written in the grammar's order.
#[test]
fn c_3_01_reads_other_orders_and_writes_the_grammars() {
    let cases: &[(OpCode, Vec<ObjectRef<'_>>, Vec<ObjectRef<'_>>)] = &[
        (
            OpCode::REQUEST,
            vec![CLIENT_SI, out_interface(), CONTEXT, in_interface(), HANDLE],
            vec![HANDLE, CONTEXT, in_interface(), out_interface(), CLIENT_SI],
        ),
        (
            OpCode::DECISION,
            vec![CONTEXT, FLAGS, NAMED, HANDLE],
            vec![HANDLE, CONTEXT, FLAGS, NAMED],
        ),
        (OpCode::DECISION, vec![ERROR, HANDLE], vec![HANDLE, ERROR]),
        (
            OpCode::REPORT_STATE,
            vec![CLIENT_SI, REPORT_TYPE, HANDLE],
            vec![HANDLE, REPORT_TYPE, CLIENT_SI],
        ),
        (
            OpCode::DELETE_REQUEST_STATE,
            vec![REASON, HANDLE],
            vec![HANDLE, REASON],
        ),
        (
            OpCode::CLIENT_OPEN,
            vec![last_pdp(), CLIENT_SI, PEP_ID],
            vec![PEP_ID, CLIENT_SI, last_pdp()],
        ),
        (
            OpCode::CLIENT_ACCEPT,
            vec![accounting_timer(), KA_TIMER],
            vec![KA_TIMER, accounting_timer()],
        ),
        (
            OpCode::CLIENT_CLOSE,
            vec![redirect(), ERROR],
            vec![ERROR, redirect()],
        ),
    ];
    for (op_code, other, canonical) in cases {
        let message = message_of(*op_code, other);
        assert_eq!(
            encode(&message),
            frame(*op_code, canonical).into_octets(),
            "{op_code}"
        );
    }
}

/// C-3.2-03 is a MUST: flags precede the other decision objects; among themselves these are free.
#[test]
fn c_3_2_03_flags_precede_data_and_data_are_free() {
    let data_first = fault_of(OpCode::DECISION, &[HANDLE, CONTEXT, NAMED, FLAGS]);
    assert!(is_order(data_first), "{data_first}");
    assert_eq!(data_first.offset, 24);
    let named_first = message_of(OpCode::DECISION, &[HANDLE, CONTEXT, FLAGS, NAMED, STATELESS]);
    let stateless_first = message_of(OpCode::DECISION, &[HANDLE, CONTEXT, FLAGS, STATELESS, NAMED]);
    assert_eq!(named_first, stateless_first);
}

/// C-3.2-02: a decision has its Context and its Flags.
#[test]
fn c_3_2_02_refuses_a_decision_without_context_or_flags() {
    for objects in [
        &[HANDLE, FLAGS][..],
        &[HANDLE, NAMED],
        &[HANDLE, FLAGS, CONTEXT],
        &[HANDLE, CONTEXT, CONTEXT, FLAGS],
        &[HANDLE, CONTEXT, FLAGS, FLAGS],
        &[HANDLE, CONTEXT, FLAGS, NAMED, FLAGS, NAMED],
        &[HANDLE, CONTEXT, FLAGS, OTHER_CONTEXT, NAMED],
        &[CONTEXT, HANDLE, FLAGS],
    ] {
        let fault = fault_of(OpCode::DECISION, objects);
        assert!(is_order(fault), "{objects:?}: {fault}");
    }
    for objects in [&[HANDLE, CONTEXT][..], &[HANDLE, CONTEXT, FLAGS, OTHER_CONTEXT]] {
        let fault = fault_of(OpCode::DECISION, objects);
        assert_eq!(
            fault.kind,
            FaultKind::MissingObject {
                expected: "Decision Flags"
            },
            "{objects:?}"
        );
    }
}

/// C-3.2-04: several groups, each with its own data.
#[test]
fn c_3_2_04_a_dec_holds_several_decisions() {
    let flags = DecisionFlags::new(CommandCode::INSTALL);
    let outgoing = Context {
        r_type: RType::OUTGOING_MESSAGE,
        m_type: MType(1),
    };
    let objects = [
        HANDLE,
        CONTEXT,
        FLAGS,
        NAMED,
        OTHER_CONTEXT,
        FLAGS,
        CONTEXT,
        FLAGS,
        STATELESS,
        NAMED,
    ];
    let Message::Decision(message) = message_of(OpCode::DECISION, &objects) else {
        panic!("a DEC")
    };
    let named = Some(Bytes::from_static(b"n"));
    let expected = vec![
        Decision {
            named: named.clone(),
            ..Decision::new(Context::CONFIGURATION, flags)
        },
        Decision::new(outgoing, flags),
        Decision {
            stateless: Some(Bytes::from_static(b"s")),
            named,
            ..Decision::new(Context::CONFIGURATION, flags)
        },
    ];
    assert_eq!(message.body, DecisionBody::Decisions(expected));
}

/// C-3.2-01: decisions or an error.
#[test]
fn c_3_2_01_refuses_an_error_beside_a_decision() {
    for objects in [
        &[HANDLE, CONTEXT, FLAGS, ERROR][..],
        &[HANDLE, ERROR, CONTEXT, FLAGS],
        &[HANDLE, ERROR, NAMED],
    ] {
        let fault = fault_of(OpCode::DECISION, objects);
        assert!(is_order(fault), "{objects:?}: {fault}");
    }
}

/// RFC 3084's grammar allows a DEC without decision, RFC 2748's does not.
#[test]
fn a_45_refuses_a_dec_without_decision() {
    let fault = fault_of(OpCode::DECISION, &[HANDLE]);
    assert_eq!(
        fault.kind,
        FaultKind::MissingObject {
            expected: "Context and Decision Flags, or Error"
        }
    );
}

/// C-3.1-02: a Context begins an LPDP decision only before its Flags, and without one the request's own holds.
#[test]
fn c_3_1_02_lpdp_decisions_may_have_contexts_of_their_own() {
    let objects = [
        HANDLE,
        CONTEXT,
        LPDP_FLAGS,
        LPDP_NAMED,
        OTHER_CONTEXT,
        LPDP_FLAGS,
        LPDP_NAMED,
    ];
    let Message::Request(request) = message_of(OpCode::REQUEST, &objects) else {
        panic!("a REQ")
    };
    let contexts: Vec<_> = request
        .lpdp_decisions
        .iter()
        .map(|decision| decision.context)
        .collect();
    assert_eq!(
        contexts,
        [
            None,
            Some(Context {
                r_type: RType::OUTGOING_MESSAGE,
                m_type: MType(1)
            })
        ]
    );
    assert!(
        request
            .lpdp_decisions
            .iter()
            .all(|decision| decision.named.as_deref() == Some(b"n"))
    );
    for objects in [
        &[HANDLE, CONTEXT, LPDP_NAMED][..],
        &[HANDLE, CONTEXT, LPDP_NAMED, LPDP_FLAGS],
        &[HANDLE, CONTEXT, OTHER_CONTEXT, CLIENT_SI],
        &[HANDLE, CONTEXT, OTHER_CONTEXT, LPDP_NAMED],
        &[HANDLE, CONTEXT, OTHER_CONTEXT, OTHER_CONTEXT, LPDP_FLAGS],
    ] {
        let fault = fault_of(OpCode::REQUEST, objects);
        assert!(is_order(fault), "{objects:?}: {fault}");
    }
    let fault = fault_of(OpCode::REQUEST, &[HANDLE, CONTEXT, OTHER_CONTEXT]);
    assert_eq!(
        fault.kind,
        FaultKind::MissingObject {
            expected: "LPDP Decision Flags"
        }
    );
    let fault = fault_of(
        OpCode::REQUEST,
        &[HANDLE, CONTEXT, LPDP_FLAGS, LPDP_NAMED, LPDP_NAMED],
    );
    assert_eq!(
        fault.kind,
        FaultKind::RepeatedObject {
            object: LPDP_NAMED.id()
        }
    );
}

/// C-3.3-01: RFC 3084 allows any number of ClientSI in RPT, RFC 2748 one.
#[test]
fn c_3_3_01_a_rpt_holds_any_number_of_client_si() {
    for count in [0, 1, 3] {
        let mut objects = vec![HANDLE, REPORT_TYPE];
        objects.extend(vec![CLIENT_SI; count]);
        let Message::ReportState(report) = message_of(OpCode::REPORT_STATE, &objects) else {
            panic!("a RPT")
        };
        assert_eq!(
            report.client_si,
            vec![ClientSi::Named(Bytes::from_static(b"c")); count]
        );
    }
}

/// C-3.1-06: ClientSI of both kinds, in whatever order, all arrive.
#[test]
fn c_3_1_06_client_si_arrive_in_the_order_sent() {
    let signaled = ObjectRef::SignaledClientSi(b"s");
    let objects = [HANDLE, CONTEXT, CLIENT_SI, signaled, CLIENT_SI];
    let Message::Request(request) = message_of(OpCode::REQUEST, &objects) else {
        panic!("a REQ")
    };
    let contents: Vec<_> = request
        .client_si
        .iter()
        .map(|client_si| client_si.contents().as_ref())
        .collect();
    assert_eq!(contents, [b"c", b"s", b"c"]);
}

/// C-3.6-03: the ClientSI of OPN is the named one; a signaled one is handed on all the same.
#[test]
fn c_3_6_03_opn_hands_its_client_si_on() {
    for object in [CLIENT_SI, ObjectRef::SignaledClientSi(b"c")] {
        let Message::ClientOpen(open) = message_of(OpCode::CLIENT_OPEN, &[PEP_ID, object]) else {
            panic!("an OPN")
        };
        assert_eq!(open.client_si.expect("a ClientSI").contents().as_ref(), b"c");
    }
}

/// The accessors that the session and logs use.
#[test]
fn a_message_shows_its_handle() {
    for pair in pairs::all() {
        let has_none = matches!(
            pair.message,
            Message::ClientOpen(_)
                | Message::ClientAccept(_)
                | Message::ClientClose(_)
                | Message::KeepAlive(_)
        ) || pair.octets.len() == 8;
        assert_eq!(pair.message.handle().is_none(), has_none, "{}", pair.name);
    }
}
