//! The negotiation of TLS before a session (RFC 4261 4 and 5).

use cops_codec::{
    Frame, Framer, Limits, Message,
    error::DecodeError,
    message::{ClientAccept, ClientClose, ClientOpen, KeepAlive, Request},
    session::{
        CloseCause, Moment, PdpConfig, PdpEvent, PdpSession, PeerFault, PepConfig, PepEvent, PepSession,
        tls::{NO_SECURITY, PdpTls, PdpTlsStep, PepTls, PepTlsStep, TLS_UNSUPPORTED, TLS_WANTED, TlsPolicy},
    },
    wire::{
        ClientHandle, ClientType, Context, CopsError, ErrorCode, Integrity, IntegrityTlsFlags, KaTimer,
        KeyId, PdpAddress, PepId, SequenceNumber,
    },
};
use proptest::prelude::*;

const LIMITS: Limits = Limits::DEFAULT;
const CT: ClientType = ClientType(0x5057);
const START_TLS: Integrity = Integrity::Tls {
    flags: IntegrityTlsFlags::START_TLS,
};

fn pep_id() -> PepId {
    PepId::new("node7").unwrap()
}

fn frame(message: impl Into<Message>) -> Frame {
    message.into().encode(&LIMITS).unwrap()
}

fn message(frame: &Frame) -> Message {
    Message::decode(frame, &LIMITS).unwrap()
}

fn open(client_type: ClientType, integrity: Option<Integrity>) -> ClientOpen {
    ClientOpen {
        client_type,
        pep_id: pep_id(),
        client_si: None,
        last_pdp_address: None,
        integrity,
    }
}

fn accept(integrity: Option<Integrity>) -> ClientAccept {
    ClientAccept {
        client_type: ClientType::CONNECTION,
        ka_timer: KaTimer(30),
        accounting_timer: None,
        integrity,
    }
}

fn close(error: CopsError) -> ClientClose {
    ClientClose {
        client_type: ClientType::CONNECTION,
        error,
        pdp_redirect_address: None,
        integrity: None,
    }
}

fn hmac() -> Integrity {
    Integrity::Hmac {
        key_id: KeyId(1),
        sequence_number: SequenceNumber(1),
        digest: vec![0; 12].into(),
    }
}

fn request() -> Request {
    Request {
        client_type: CT,
        handle: ClientHandle::from(&b"h"[..]),
        context: Context::CONFIGURATION,
        in_interface: None,
        out_interface: None,
        client_si: Vec::new(),
        lpdp_decisions: Vec::new(),
        integrity: None,
    }
}

fn malformed() -> Result<Frame, DecodeError> {
    let mut framer = Framer::new(LIMITS);
    framer.push(&[0xff; 8]);
    Err(framer.next_frame().unwrap_err())
}

/// A step in few words.
fn pdp_words(step: PdpTlsStep) -> String {
    match step {
        PdpTlsStep::Upgrade { accept, pep_id } => {
            let Message::ClientAccept(accept) = message(&accept) else {
                panic!("expected CAT")
            };
            assert_eq!(accept.integrity, Some(START_TLS));
            assert_eq!(accept.ka_timer, KaTimer(30));
            format!("upgrade {pep_id}")
        }
        PdpTlsStep::Plain(_) => "plain".to_owned(),
        PdpTlsStep::Refuse { close: None, .. } => "close".to_owned(),
        PdpTlsStep::Refuse {
            close: Some(close), ..
        } => cc_words(&close),
    }
}

fn cc_words(close: &Frame) -> String {
    let Message::ClientClose(close) = message(close) else {
        panic!("expected CC")
    };
    assert_eq!(close.client_type, ClientType::CONNECTION);
    format!("CC {}/{:#06x}", close.error.code.0, close.error.sub_code)
}

#[test]
fn t_4_2_01_t_4_2_02_t_5_1_02_t_5_2_01_t_5_2_02_t_11_02_what_a_pdp_answers_to_every_beginning() {
    let no_flag = Integrity::Tls {
        flags: IntegrityTlsFlags(0),
    };
    let unknown_flag = Integrity::Tls {
        flags: IntegrityTlsFlags(0x8001),
    };
    let zero = ClientType::CONNECTION;
    type Beginning = (&'static str, Result<Frame, DecodeError>);
    let beginnings: [Beginning; 10] = [
        ("OPN(0) with StartTLS", Ok(frame(open(zero, Some(START_TLS))))),
        (
            "OPN(0) with StartTLS and unknown flags",
            Ok(frame(open(zero, Some(unknown_flag)))),
        ),
        (
            "OPN(0) with Integrity-TLS, no flag",
            Ok(frame(open(zero, Some(no_flag)))),
        ),
        ("OPN(0) bare", Ok(frame(open(zero, None)))),
        ("OPN(0) with HMAC", Ok(frame(open(zero, Some(hmac()))))),
        ("OPN", Ok(frame(open(CT, None)))),
        ("REQ", Ok(frame(request()))),
        ("KA", Ok(frame(KeepAlive { integrity: None }))),
        (
            "CC(0)",
            Ok(frame(close(CopsError::new(ErrorCode::SHUTTING_DOWN)))),
        ),
        ("no COPS", malformed()),
    ];
    let mut table = String::new();
    for (name, beginning) in beginnings {
        for policy in [TlsPolicy::Unsupported, TlsPolicy::Offered, TlsPolicy::Required] {
            let pdp = PdpTls::new(policy, KaTimer(30), LIMITS);
            let step = pdp.handle_frame(beginning.clone()).unwrap();
            table += &format!("{name} | {policy:?} | {}\n", pdp_words(step));
        }
    }
    let expected = "\
OPN(0) with StartTLS | Unsupported | CC 13/0x1002
OPN(0) with StartTLS | Offered | upgrade node7
OPN(0) with StartTLS | Required | upgrade node7
OPN(0) with StartTLS and unknown flags | Unsupported | CC 13/0x1002
OPN(0) with StartTLS and unknown flags | Offered | upgrade node7
OPN(0) with StartTLS and unknown flags | Required | upgrade node7
OPN(0) with Integrity-TLS, no flag | Unsupported | CC 13/0x1002
OPN(0) with Integrity-TLS, no flag | Offered | CC 15/0x1002
OPN(0) with Integrity-TLS, no flag | Required | CC 15/0x1002
OPN(0) bare | Unsupported | plain
OPN(0) bare | Offered | upgrade node7
OPN(0) bare | Required | upgrade node7
OPN(0) with HMAC | Unsupported | plain
OPN(0) with HMAC | Offered | plain
OPN(0) with HMAC | Required | CC 15/0x1002
OPN | Unsupported | plain
OPN | Offered | plain
OPN | Required | CC 15/0x1002
REQ | Unsupported | plain
REQ | Offered | plain
REQ | Required | CC 15/0x1002
KA | Unsupported | plain
KA | Offered | plain
KA | Required | CC 15/0x1002
CC(0) | Unsupported | close
CC(0) | Offered | close
CC(0) | Required | close
no COPS | Unsupported | plain
no COPS | Offered | plain
no COPS | Required | CC 15/0x1002
";
    assert_eq!(table, expected);
}

#[test]
fn t_5_2_05_what_is_no_handshake_after_the_cat_is_answered_with_error_15() {
    let pdp = PdpTls::new(TlsPolicy::Required, KaTimer(30), LIMITS);
    assert_eq!(pdp.handle_octets(&[0x16, 3, 1]).unwrap(), None);
    for first in (0..=u8::MAX).filter(|first| *first != 0x16) {
        let step = pdp.handle_octets(&[first]).unwrap().unwrap();
        assert_eq!(pdp_words(step.clone()), "CC 15/0x1002");
        let PdpTlsStep::Refuse { fault, .. } = step else {
            panic!()
        };
        assert_eq!(fault, Some(PeerFault::BeforeHandshake));
    }
}

fn pep_words(step: PepTlsStep) -> String {
    match step {
        PepTlsStep::Upgrade { ka_timer } => format!("upgrade, KA {}", ka_timer.0),
        PepTlsStep::Plain { same_connection } => format!("plain, same connection: {same_connection}"),
        PepTlsStep::Refused { error } => format!("refused {}", error.code.0),
        PepTlsStep::Refuse { close, .. } => cc_words(&close),
    }
}

#[test]
fn t_5_1_01_t_4_1_01_the_pep_begins_with_start_tls_octet_by_octet() {
    let (_, open) = PepTls::begin(pep_id(), true, LIMITS).unwrap();
    let expected = [
        0x10, 6, 0, 0, 0, 0, 0, 28, // OPN, client-type 0
        0, 12, 11, 1, b'n', b'o', b'd', b'e', b'7', 0, 0, 0, // PEPID, with its NUL and padding
        0, 8, 16, 2, 0, 0, 0, 1, // Integrity-TLS, StartTLS
    ];
    assert_eq!(&open[..], expected);
}

#[test]
fn t_5_1_06_t_9_01_t_11_02_t_5_1_03_what_a_pep_does_with_every_answer() {
    let other = CopsError::new(ErrorCode::SHUTTING_DOWN);
    let hmac_wanted = CopsError {
        sub_code: 0x1001,
        ..TLS_WANTED
    };
    let mut no_timer = frame(accept(Some(START_TLS))).to_vec();
    no_timer.drain(8..16);
    no_timer[7] -= 8;
    let mut framer = Framer::new(LIMITS);
    framer.push(&no_timer);
    let no_timer = framer.next_frame().unwrap().unwrap();
    let answers: [(&str, Result<Frame, DecodeError>); 12] = [
        ("CAT(0) with StartTLS", Ok(frame(accept(Some(START_TLS))))),
        ("CAT(0) without KA Timer", Ok(no_timer)),
        ("CAT(0) stripped", Ok(frame(accept(None)))),
        ("CAT(0) with HMAC", Ok(frame(accept(Some(hmac()))))),
        (
            "CAT of a client-type",
            Ok(frame(ClientAccept {
                client_type: CT,
                ..accept(None)
            })),
        ),
        ("CC 13/(16,2)", Ok(frame(close(TLS_UNSUPPORTED)))),
        ("CC 15/(16,0)", Ok(frame(close(NO_SECURITY)))),
        ("CC 15/(16,1)", Ok(frame(close(hmac_wanted)))),
        ("CC 11", Ok(frame(close(other)))),
        ("OPN(0)", Ok(frame(open(ClientType::CONNECTION, Some(START_TLS))))),
        ("KA", Ok(frame(KeepAlive { integrity: None }))),
        ("no COPS", malformed()),
    ];
    let mut table = String::new();
    for (name, answer) in answers {
        for required in [true, false] {
            let (pep, _) = PepTls::begin(pep_id(), required, LIMITS).unwrap();
            let step = pep.handle_frame(answer.clone()).unwrap();
            let policy = if required { "required" } else { "wanted" };
            table += &format!("{name} | {policy} | {}\n", pep_words(step));
        }
    }
    let expected = "\
CAT(0) with StartTLS | required | upgrade, KA 30
CAT(0) with StartTLS | wanted | upgrade, KA 30
CAT(0) without KA Timer | required | CC 7/0x0000
CAT(0) without KA Timer | wanted | CC 7/0x0000
CAT(0) stripped | required | CC 15/0x1002
CAT(0) stripped | wanted | plain, same connection: true
CAT(0) with HMAC | required | CC 15/0x1002
CAT(0) with HMAC | wanted | CC 15/0x1002
CAT of a client-type | required | CC 15/0x1002
CAT of a client-type | wanted | CC 15/0x1002
CC 13/(16,2) | required | refused 13
CC 13/(16,2) | wanted | plain, same connection: false
CC 15/(16,0) | required | refused 15
CC 15/(16,0) | wanted | plain, same connection: false
CC 15/(16,1) | required | refused 15
CC 15/(16,1) | wanted | refused 15
CC 11 | required | refused 11
CC 11 | wanted | refused 11
OPN(0) | required | CC 15/0x1002
OPN(0) | wanted | CC 15/0x1002
KA | required | CC 15/0x1002
KA | wanted | CC 15/0x1002
no COPS | required | CC 3/0x0000
no COPS | wanted | CC 3/0x0000
";
    assert_eq!(table, expected);
}

/// The CC for client-type 0 that a closed session has left, and nothing after it.
fn farewell(mut transmit: impl FnMut() -> Option<Frame>) -> String {
    let close = transmit().expect("a CC");
    assert_eq!(transmit(), None);
    cc_words(&close)
}

#[test]
fn t_4_2_01_t_5_2_03_a_pep_without_tls_that_is_asked_for_it_says_so_and_closes() {
    let mut pep = PepSession::new(PepConfig::new(pep_id()), Moment(0), 1);
    pep.handle_frame(Moment(0), Ok(frame(accept(Some(START_TLS)))))
        .unwrap();
    assert!(pep.is_closed());
    assert_eq!(farewell(|| pep.poll_transmit()), "CC 13/0x1002");
    let ended = std::iter::from_fn(|| pep.poll_event()).last();
    let cause = CloseCause::Fault(PeerFault::SecurityNotOffered);
    assert_eq!(ended, Some(PepEvent::Closed { cause }));
}

#[test]
fn t_4_2_03_a_pdp_without_any_security_names_none() {
    let mut pdp = PdpSession::new(PdpConfig::new(vec![CT], Vec::<PdpAddress>::new()), Moment(0));
    let open = open(ClientType::CONNECTION, Some(START_TLS));
    pdp.handle_frame(Moment(0), Ok(frame(open))).unwrap();
    assert_eq!(farewell(|| pdp.poll_transmit()), "CC 15/0x1000");
}

#[test]
fn t_4_1_04_t_4_1_05_elsewhere_the_object_is_refused() {
    let misplaced: [(Message, ClientType); 3] = [
        (open(CT, Some(START_TLS)).into(), CT),
        (
            KeepAlive {
                integrity: Some(START_TLS),
            }
            .into(),
            ClientType::CONNECTION,
        ),
        (
            Request {
                integrity: Some(START_TLS),
                ..request()
            }
            .into(),
            CT,
        ),
    ];
    for (message, of) in misplaced {
        let mut pdp = PdpSession::new(PdpConfig::new(vec![CT], Vec::new()), Moment(0));
        pdp.handle_frame(Moment(0), Ok(frame(message.clone()))).unwrap();
        let Some(Message::ClientClose(close)) = pdp.poll_transmit().map(|frame| self::message(&frame)) else {
            panic!("expected CC for {message:?}")
        };
        assert_eq!(
            (close.client_type, close.error.code),
            (of, ErrorCode::BAD_MESSAGE_FORMAT)
        );
        let opened = std::iter::from_fn(|| pdp.poll_event())
            .any(|event| matches!(event, PdpEvent::OpenRequested { .. } | PdpEvent::Request { .. }));
        assert!(!opened, "{message:?} was believed");
    }
    let mut pep = PepSession::new(PepConfig::new(pep_id()), Moment(0), 1);
    let alive = KeepAlive {
        integrity: Some(START_TLS),
    };
    pep.handle_frame(Moment(0), Ok(frame(alive))).unwrap();
    assert_eq!(farewell(|| pep.poll_transmit()), "CC 3/0x0000");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever comes first: one step, which upgrades only after what asks for it, and never without TLS where it is
    /// required.
    #[test]
    fn any_octets_give_one_step_and_no_way_around_tls(
        octets in prop::collection::vec(any::<u8>(), 0..80),
        begins_well in any::<bool>(),
    ) {
        let mut octets = octets;
        if begins_well && octets.len() >= 8 {
            octets.splice(0..8, [0x10, octets[1] % 12, 0, 0, 0, 0, 0, (octets.len() & !3) as u8]);
        }
        let mut framer = Framer::new(LIMITS);
        framer.push(&octets);
        let Some(first) = framer.next_frame().transpose() else { return Ok(()) };
        let required = PdpTls::new(TlsPolicy::Required, KaTimer(30), LIMITS);
        match required.handle_frame(first.clone()).unwrap() {
            PdpTlsStep::Plain(_) => prop_assert!(false, "a way around TLS"),
            PdpTlsStep::Upgrade { .. } => prop_assert_eq!((octets[1], octets[2], octets[3]), (6, 0, 0)),
            PdpTlsStep::Refuse { .. } => {}
        }
        let (pep, _) = PepTls::begin(pep_id(), true, LIMITS).unwrap();
        match pep.handle_frame(first).unwrap() {
            PepTlsStep::Plain { .. } => prop_assert!(false, "a way around TLS"),
            PepTlsStep::Upgrade { .. } => prop_assert_eq!((octets[1], octets[2], octets[3]), (7, 0, 0)),
            PepTlsStep::Refuse { .. } | PepTlsStep::Refused { .. } => {}
        }
    }
}
