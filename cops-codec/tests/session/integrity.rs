//! Message Integrity between two ends (RFC 2748 4.1): negotiated first, then on every message.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cops_codec::encode::encode_objects;
use cops_codec::integrity::{
    Algorithm, IntegrityFault, Key, KeyRing, KeyTable, Lifetime, Secret, UnixTime, sign, verify,
};
use cops_codec::message::{ClientOpen, KeepAlive};
use cops_codec::session::pdp::{PdpCommand, PdpEvent};
use cops_codec::session::pep::{ClientOpening, PepCommand, PepEvent, RequestBody};
use cops_codec::session::{Calendar, CloseCause, Moment, PdpIntegrity, PeerFault, PepIntegrity};
use cops_codec::wire::{
    CType, ClientType, CopsError, ErrorCode, Integrity, IntegrityTlsFlags, KaTimer, KeyId, ObjectId,
    ObjectRef, OpCode, Role, SequenceNumber,
};
use cops_codec::{Frame, Limits, Message};

use crate::frames::{accept, close, frame, keep_alive, open};
use crate::pair::{CT, CT2, Pair, pdp_config, pep_config, pep_id, rows};

const START: Moment = Moment(1_000);
const TIME: UnixTime = UnixTime::from_seconds(1_800_000_000);
const CALENDAR: Calendar = Calendar::new(START, TIME);
const PEP_START: SequenceNumber = SequenceNumber(100);
const PDP_START: SequenceNumber = SequenceNumber(10);
const LIMITS: Limits = Limits::DEFAULT;

fn key(id: u32) -> Key {
    let mut secret = *b"0123456789abcdef";
    secret[..4].copy_from_slice(&id.to_be_bytes());
    Key {
        id: KeyId(id),
        algorithm: Algorithm::HmacMd5_96,
        secret: Secret::new(secret.to_vec()).unwrap(),
        lifetime: Lifetime::new(UnixTime(0), None).unwrap(),
    }
}

/// In seconds after the start.
fn key_within(id: u32, begin: u64, end: u64) -> Key {
    let after = |seconds| UnixTime(TIME.0 + seconds * 1_000);
    Key {
        lifetime: Lifetime::new(after(begin), Some(after(end))).unwrap(),
        ..key(id)
    }
}

fn ring(keys: &[Key]) -> Arc<KeyRing> {
    Arc::new(KeyRing::new(keys.iter().cloned()).unwrap())
}

fn table(keys: &[Key]) -> Arc<KeyTable> {
    Arc::new(KeyTable::new([(
        pep_id(),
        KeyRing::new(keys.iter().cloned()).unwrap(),
    )]))
}

fn pep_integrity(keys: &[Key]) -> PepIntegrity {
    PepIntegrity {
        keys: ring(keys),
        initial_number: PEP_START,
        calendar: CALENDAR,
    }
}

fn pdp_integrity(keys: &[Key]) -> PdpIntegrity {
    PdpIntegrity {
        required: true,
        keys: table(keys),
        initial_number: PDP_START,
        calendar: CALENDAR,
        ka_timer: KaTimer(30),
    }
}

fn pair(pep: Option<PepIntegrity>, pdp: Option<PdpIntegrity>) -> Pair {
    let (mut pep_side, mut pdp_side) = (pep_config(), pdp_config());
    pep_side.integrity = pep;
    pdp_side.integrity = pdp;
    Pair::with(pep_side, pdp_side, START)
}

fn secured(keys: &[Key]) -> Pair {
    let mut pair = pair(Some(pep_integrity(keys)), Some(pdp_integrity(keys)));
    pair.drain();
    pair
}

/// Key ID and number of an HMAC Integrity object.
fn signed_by(message: &Message) -> (u32, u32) {
    match message.integrity() {
        Some(Integrity::Hmac {
            key_id,
            sequence_number,
            ..
        }) => (key_id.0, sequence_number.0),
        other => panic!("expected HMAC Integrity, found {other:?} in {message:?}"),
    }
}

fn numbers(pair: &Pair, from: Role) -> Vec<u32> {
    let sent = pair.log.iter().filter(|sent| sent.from == from);
    sent.map(|sent| signed_by(&sent.message).1).collect()
}

/// What the session that refused something sent last: CC for client-type 0 with this error.
fn refusal(mut poll: impl FnMut() -> Option<Frame>) -> (Frame, CopsError) {
    let last = std::iter::from_fn(&mut poll).last().expect("a frame");
    match Message::decode(&last, &LIMITS).unwrap() {
        Message::ClientClose(close) => {
            assert_eq!(close.client_type, ClientType::CONNECTION);
            (last, close.error)
        }
        other => panic!("expected a CC, found {other:?}"),
    }
}

fn signed(message: impl Into<Message>, key: &Key, number: u32) -> Frame {
    let frame = message.into().encode(&LIMITS).unwrap();
    sign(&frame, key, SequenceNumber(number), &LIMITS).unwrap()
}

fn security_open() -> ClientOpen {
    ClientOpen {
        client_type: ClientType::CONNECTION,
        pep_id: pep_id(),
        client_si: None,
        last_pdp_address: None,
        integrity: None,
    }
}

fn ka() -> KeepAlive {
    KeepAlive { integrity: None }
}

const REQUIRED: CopsError = CopsError {
    code: ErrorCode::AUTHENTICATION_REQUIRED,
    sub_code: 0x1001,
};
const FAILURE: CopsError = CopsError::new(ErrorCode::AUTHENTICATION_FAILURE);

#[test]
fn c_4_1_01_c_4_1_03_c_4_1_05_c_4_1_06_c_4_1_11_c_4_1_12_c_2_2_16_08_c_5_01_negotiated_once_then_on_every_message()
 {
    let mut pair = secured(&[key(1)]);
    // Without any command: the PEP begins, and the program hears nothing of it.
    assert_eq!(pair.exchange(), ["PEP OPN", "PDP CAT"]);
    pair.assert_quiet();
    assert!(pair.pep.integrity().is_some() && pair.pdp.integrity().is_some());
    assert_eq!(pair.pdp.pep_id(), Some(&pep_id()));

    pair.open_client(CT);
    pair.open_client(CT2);
    let handle = pair.install_state();
    pair.push(&handle, "more");
    // A keep-alive each way, at the least.
    pair.pass(Duration::from_secs(60));
    pair.pep_does(PepCommand::Shutdown {
        error: CopsError::new(ErrorCode::SHUTTING_DOWN),
    });
    let kinds: std::collections::BTreeSet<OpCode> =
        pair.log.iter().map(|sent| sent.message.op_code()).collect();
    assert_eq!(kinds.len(), 7, "OPN, CAT, REQ, DEC, RPT, KA, CC: {kinds:?}");
    for (from, start) in [(Role::Pep, PDP_START.0), (Role::Pdp, PEP_START.0)] {
        let numbers = numbers(&pair, from);
        assert!(numbers.len() > 5);
        let expected: Vec<u32> = (start + 1..).take(numbers.len()).collect();
        assert_eq!(numbers, expected, "each one more than the last");
    }
}

#[test]
fn c_4_1_05_c_4_1_06_the_two_messages_of_the_negotiation_carry_the_initial_numbers() {
    let pair = secured(&[key(1)]);
    assert_eq!(numbers(&pair, Role::Pep), [PEP_START.0]);
    assert_eq!(numbers(&pair, Role::Pdp), [PDP_START.0]);
    for sent in &pair.log {
        assert_eq!(sent.message.client_type(), ClientType::CONNECTION);
    }
}

#[test]
fn c_4_1_03_what_the_program_sends_waits_for_the_negotiation() {
    let mut pair = pair(Some(pep_integrity(&[key(1)])), None);
    let command = PepCommand::Open(ClientOpening::new(CT));
    pair.pep.handle_command(pair.now, command).unwrap();
    let first = pair.pep.poll_transmit().unwrap();
    assert_eq!(first.header().client_type, ClientType::CONNECTION);
    assert_eq!(pair.pep.poll_transmit(), None, "nothing else before CAT");
    assert!(pair.pep.transmit_octets() > 0);
    let cat = signed(
        Message::decode(&accept(ClientType::CONNECTION).unwrap(), &LIMITS).unwrap(),
        &key(1),
        PDP_START.0,
    );
    pair.pep.handle_frame(pair.now, Ok(cat)).unwrap();
    let open = pair.pep.poll_transmit().unwrap();
    assert_eq!(open.header().client_type, CT);
    assert_eq!(
        verify(&open, &ring(&[key(1)]), TIME),
        Ok((KeyId(1), SequenceNumber(PDP_START.0 + 1)))
    );
    assert_eq!(pair.pep.transmit_octets(), 0);
}

#[test]
fn c_2_2_16_09_numbers_roll_over_both_ways() {
    let mut pep = pep_integrity(&[key(1)]);
    pep.initial_number = SequenceNumber(u32::MAX - 1);
    let mut pdp = pdp_integrity(&[key(1)]);
    pdp.initial_number = SequenceNumber(u32::MAX);
    let mut pair = pair(Some(pep), Some(pdp));
    pair.open_client(CT);
    pair.install_state();
    assert_eq!(numbers(&pair, Role::Pep), [u32::MAX - 1, 0, 1, 2]);
    assert_eq!(numbers(&pair, Role::Pdp), [u32::MAX, u32::MAX, 0]);
    assert!(!pair.pep.is_closed() && !pair.pdp.is_closed());
}

#[test]
fn c_4_1_07_c_3_02_c_2_2_8_16_a_pdp_that_requires_it_turns_others_away() {
    for first in [open(CT, None), keep_alive(), frame(security_open())] {
        let mut pair = pair(None, Some(pdp_integrity(&[key(1)])));
        pair.pdp.handle_frame(pair.now, first).unwrap();
        let (close, error) = refusal(|| pair.pdp.poll_transmit());
        assert_eq!(error, REQUIRED);
        // C-4.1-09: there is nothing to sign it with.
        assert_eq!(Message::decode(&close, &LIMITS).unwrap().integrity(), None);
        assert!(pair.pdp.is_closed());
        assert!(matches!(
            pair.pdp.poll_event(),
            Some(PdpEvent::Closed {
                cause: CloseCause::Fault(PeerFault::Integrity(IntegrityFault::Missing))
            })
        ));
    }
    // A CC has no answer, from whomever it is.
    let mut pair = pair(None, Some(pdp_integrity(&[key(1)])));
    let close = close(ClientType::CONNECTION, ErrorCode::SHUTTING_DOWN);
    pair.pdp.handle_frame(pair.now, close).unwrap();
    assert!(pair.pdp.is_closed());
    assert_eq!(pair.pdp.poll_transmit(), None);
}

#[test]
fn what_is_malformed_does_not_get_past_a_pdp_that_requires_it() {
    let mut pair = pair(None, Some(pdp_integrity(&[key(1)])));
    let request = encode_objects(OpCode::REQUEST, CT, false, &[ObjectRef::Handle(&[1])], &LIMITS);
    pair.pdp.handle_frame(pair.now, Ok(request.unwrap())).unwrap();
    assert_eq!(refusal(|| pair.pdp.poll_transmit()).1, REQUIRED);
}

#[test]
fn a_pdp_that_offers_it_takes_either() {
    let mut offered = pdp_integrity(&[key(1)]);
    offered.required = false;
    let mut plain = pair(None, Some(offered.clone()));
    plain.open_client(CT);
    plain.install_state();
    assert!(plain.pdp.integrity().is_none());
    let mut with = pair(Some(pep_integrity(&[key(1)])), Some(offered.clone()));
    with.open_client(CT);
    assert!(with.pdp.integrity().is_some());
    // Asked for and wrong is not the same as not asked for.
    let mut wrong = pair(Some(pep_integrity(&[key(2)])), Some(offered));
    wrong.drain();
    assert!(wrong.pdp.is_closed());
}

#[test]
fn a_pdp_without_it_says_so() {
    let mut pair = pair(Some(pep_integrity(&[key(1)])), None);
    pair.pep_does(PepCommand::Open(ClientOpening::new(CT)));
    assert_eq!(pair.exchange(), ["PEP OPN", "PDP CC"]);
    assert!(pair.pep.is_closed() && pair.pdp.is_closed());
    let closed = pair.pep_events.pop_back();
    let expected = CopsError {
        code: ErrorCode::AUTHENTICATION_REQUIRED,
        sub_code: 0x1000,
    };
    assert!(
        matches!(&closed, Some(PepEvent::Closed { cause: CloseCause::Peer { error, .. } }) if *error == expected),
        "{closed:?}"
    );
}

#[test]
fn c_4_1_10_c_2_2_8_15_c_4_2_06_an_opening_with_the_wrong_key_is_refused() {
    let other_secret = Key {
        id: KeyId(1),
        ..key(2)
    };
    let expired = key_within(1, 0, 1);
    for (pep_keys, pdp_keys, now) in [
        ([key(2)], [key(1)], START),
        ([other_secret], [key(1)], START),
        ([key(1)], [expired], START.after(Duration::from_secs(1))),
        ([key(1)], [key_within(1, 1, 2)], START),
    ] {
        let mut pair = pair(Some(pep_integrity(&pep_keys)), Some(pdp_integrity(&pdp_keys)));
        let open = pair.pep.poll_transmit().unwrap();
        pair.pdp.handle_frame(now, Ok(open)).unwrap();
        assert_eq!(refusal(|| pair.pdp.poll_transmit()).1, FAILURE);
        assert!(pair.pdp.is_closed());
    }
    // A PEPID that nobody has given a key.
    let mut other = pep_config();
    other.pep_id = cops_codec::wire::PepId::new("pep2").unwrap();
    other.integrity = Some(pep_integrity(&[key(1)]));
    let mut pdp = pdp_config();
    pdp.integrity = Some(pdp_integrity(&[key(1)]));
    let mut pair = Pair::with(other, pdp, START);
    pair.drain();
    assert!(pair.pdp.is_closed());
}

#[test]
fn c_4_1_10_an_opening_with_another_kind_of_integrity_is_refused() {
    // C-Type 9: not known at all (RFC 2748 4.1).
    let mut session = pair(None, Some(pdp_integrity(&[key(1)])));
    let pep_id = pep_id();
    let objects = [
        ObjectRef::PepId(pep_id.as_str()),
        ObjectRef::Unknown {
            id: ObjectId::new(cops_codec::wire::CNum::INTEGRITY, 9),
            contents: &[0; 20],
        },
    ];
    let open = encode_objects(
        OpCode::CLIENT_OPEN,
        ClientType::CONNECTION,
        false,
        &objects,
        &LIMITS,
    );
    session
        .pdp
        .handle_frame(session.now, open.map_err(|_| unreachable!()))
        .unwrap();
    let unknown = CopsError {
        code: ErrorCode::UNKNOWN_OBJECT,
        sub_code: 0x1009,
    };
    assert_eq!(refusal(|| session.pdp.poll_transmit()).1, unknown);
    // TLS: known, and another one is wanted (RFC 4261 4.2).
    let mut session = pair(None, Some(pdp_integrity(&[key(1)])));
    let mut tls = security_open();
    tls.integrity = Some(Integrity::Tls {
        flags: IntegrityTlsFlags::START_TLS,
    });
    session.pdp.handle_frame(session.now, frame(tls)).unwrap();
    assert_eq!(refusal(|| session.pdp.poll_transmit()).1, REQUIRED);
}

#[test]
fn c_4_1_04_a_12_security_comes_first_and_once() {
    let late = CopsError::new(ErrorCode::UNSPECIFIED);
    let security = |number| Ok(signed(security_open(), &key(1), number));
    // After another client-type, also one that is closed again.
    let mut offered = pdp_integrity(&[key(1)]);
    offered.required = false;
    for closed in [false, true] {
        let mut pair = pair(None, Some(offered.clone()));
        pair.open_client(CT);
        if closed {
            let error = CopsError::new(ErrorCode::CLIENT_FAILURE);
            pair.pdp_does(PdpCommand::Close {
                client_type: CT,
                error,
                redirect: None,
            });
        }
        pair.pdp.handle_frame(pair.now, security(1)).unwrap();
        assert_eq!(refusal(|| pair.pdp.poll_transmit()).1, late, "closed: {closed}");
    }
    // A second time.
    let mut pair = secured(&[key(1)]);
    pair.pdp
        .handle_frame(pair.now, security(PDP_START.0 + 1))
        .unwrap();
    let (close, error) = refusal(|| pair.pdp.poll_transmit());
    assert_eq!(error, late);
    verify(&close, &ring(&[key(1)]), TIME).unwrap();
}

#[test]
fn c_4_1_08_c_4_1_09_c_4_1_10_a_pep_that_gets_no_valid_answer_says_why() {
    let plain_accept = || accept(ClientType::CONNECTION).unwrap();
    let accept_message = || Message::decode(&plain_accept(), &LIMITS).unwrap();
    let of_type_9 = [
        ObjectRef::KaTimer(KaTimer(30)),
        ObjectRef::Unknown {
            id: ObjectId {
                c_num: cops_codec::wire::CNum::INTEGRITY,
                c_type: CType(9),
            },
            contents: &[0; 20],
        },
    ];
    let unknown = CopsError {
        code: ErrorCode::UNKNOWN_OBJECT,
        sub_code: 0x1009,
    };
    let mut tampered = signed(accept_message(), &key(1), PDP_START.0).to_vec();
    tampered[15] ^= 1;
    for (answer, error) in [
        (plain_accept(), REQUIRED),
        (accept(CT).unwrap(), REQUIRED),
        (keep_alive().unwrap(), REQUIRED),
        (signed(accept_message(), &key(2), PDP_START.0), FAILURE),
        (Frame::new(Bytes::from(tampered), &LIMITS).unwrap(), FAILURE),
        (
            encode_objects(
                OpCode::CLIENT_ACCEPT,
                ClientType::CONNECTION,
                false,
                &of_type_9,
                &LIMITS,
            )
            .unwrap(),
            unknown,
        ),
    ] {
        let mut pair = pair(Some(pep_integrity(&[key(1)])), None);
        let command = PepCommand::Open(ClientOpening::new(CT));
        pair.pep.handle_command(pair.now, command).unwrap();
        pair.pep.poll_transmit().unwrap();
        pair.pep.handle_frame(pair.now, Ok(answer)).unwrap();
        let (close, found) = refusal(|| pair.pep.poll_transmit());
        assert_eq!(found, error);
        assert_eq!(Message::decode(&close, &LIMITS).unwrap().integrity(), None);
        assert!(pair.pep.is_closed());
        assert_eq!(pair.pep.transmit_octets(), 0, "what waited is dropped");
    }
}

#[test]
fn c_4_1_09_a_close_in_the_negotiation_may_be_signed_or_not() {
    let close_frame = || close(ClientType::CONNECTION, ErrorCode::AUTHENTICATION_FAILURE).unwrap();
    for close in [
        close_frame(),
        sign(&close_frame(), &key(1), PDP_START, &LIMITS).unwrap(),
    ] {
        let mut pair = pair(Some(pep_integrity(&[key(1)])), None);
        pair.pep.poll_transmit().unwrap();
        pair.pep.handle_frame(pair.now, Ok(close)).unwrap();
        assert!(pair.pep.is_closed());
        assert_eq!(pair.pep.poll_transmit(), None, "CC has no answer");
    }
    // The PEP did not accept the CAT: for it nothing was negotiated.
    let mut session = secured(&[key(1)]);
    session.pdp.handle_frame(session.now, Ok(close_frame())).unwrap();
    assert!(session.pdp.is_closed());
    assert_eq!(session.pdp.poll_transmit(), None);
    assert!(matches!(
        session.pdp.poll_event(),
        Some(PdpEvent::Closed {
            cause: CloseCause::Peer { .. }
        })
    ));
    // Later one without Integrity is not known to be the PEP's.
    let mut session = secured(&[key(1)]);
    session.open_client(CT);
    session.pdp.handle_frame(session.now, Ok(close_frame())).unwrap();
    let (close, error) = refusal(|| session.pdp.poll_transmit());
    assert_eq!(error, REQUIRED);
    verify(&close, &ring(&[key(1)]), TIME).unwrap();
}

type Tamper = fn(&Frame) -> Vec<u8>;

/// What goes wrong with a frame on its way, and what the receiver then says.
fn tampering() -> Vec<(&'static str, Tamper, CopsError)> {
    fn resign(frame: &Frame, with: &Key, number: impl Fn(u32) -> u32) -> Vec<u8> {
        let (_, found) = verify(frame, &ring(&[key(1)]), TIME).unwrap();
        sign(&stripped(frame), with, SequenceNumber(number(found.0)), &LIMITS)
            .unwrap()
            .to_vec()
    }
    vec![
        (
            "the Integrity object is taken off",
            |frame| stripped(frame).to_vec(),
            REQUIRED,
        ),
        (
            "a bit of the header is flipped",
            |frame| flipped(frame, 3),
            FAILURE,
        ),
        (
            "a bit of the number is flipped",
            |frame| flipped(frame, frame.len() - 13),
            FAILURE,
        ),
        (
            "a bit of the digest is flipped",
            |frame| flipped(frame, frame.len() - 1),
            FAILURE,
        ),
        (
            "a number is left out",
            |frame| resign(frame, &key(1), |number| number + 1),
            FAILURE,
        ),
        (
            "a number comes again",
            |frame| resign(frame, &key(1), |number| number - 1),
            FAILURE,
        ),
        (
            "another key",
            |frame| resign(frame, &key(2), |number| number),
            FAILURE,
        ),
        (
            "the secret is another",
            |frame| {
                resign(
                    frame,
                    &Key {
                        id: KeyId(1),
                        ..key(2)
                    },
                    |number| number,
                )
            },
            FAILURE,
        ),
    ]
}

fn stripped(frame: &Frame) -> Frame {
    let mut octets = frame[..frame.len() - 24].to_vec();
    let length = u32::try_from(octets.len()).unwrap();
    octets[4..8].copy_from_slice(&length.to_be_bytes());
    Frame::new(Bytes::from(octets), &LIMITS).unwrap()
}

fn flipped(frame: &Frame, place: usize) -> Vec<u8> {
    let mut octets = frame.to_vec();
    octets[place] ^= 1;
    octets
}

#[test]
fn c_4_1_13_c_3_02_c_2_2_16_10_tampering_ends_the_connection_at_a_pdp() {
    for (what, tamper, expected) in tampering() {
        let mut pair = secured(&[key(1)]);
        pair.open_client(CT);
        pair.install_state();
        let request = RequestBody::configuration(rows("more"));
        let command = PepCommand::Request {
            client_type: CT,
            handle: None,
            request,
        };
        pair.pep.handle_command(pair.now, command).unwrap();
        let sent = pair.pep.poll_transmit().unwrap();
        let frame = Frame::new(Bytes::from(tamper(&sent)), &LIMITS).unwrap();
        pair.pdp.handle_frame(pair.now, Ok(frame)).unwrap();
        let (close, error) = refusal(|| pair.pdp.poll_transmit());
        assert_eq!(error, expected, "{what}");
        assert!(pair.pdp.is_closed(), "{what}");
        // "containing a valid Integrity object": the PEP takes it.
        pair.pep.handle_frame(pair.now, Ok(close)).unwrap();
        assert!(matches!(
            std::iter::from_fn(|| pair.pep.poll_event()).last(),
            Some(PepEvent::Closed {
                cause: CloseCause::Peer { .. }
            })
        ));
        // Octets that are not the PEP's do not cost it its state.
        assert_eq!(pair.pdp.take_held().len(), 1, "{what}");
        let events: Vec<PdpEvent> = std::iter::from_fn(|| pair.pdp.poll_event()).collect();
        assert!(
            !events
                .iter()
                .any(|event| matches!(event, PdpEvent::Request { .. })),
            "{what}: believed"
        );
    }
}

#[test]
fn c_4_1_13_tampering_ends_the_connection_at_a_pep() {
    for (what, tamper, expected) in tampering() {
        let mut pair = secured(&[key(1)]);
        pair.open_client(CT);
        let handle = pair.install_state();
        let decisions = crate::pair::install("more");
        let command = PdpCommand::Push {
            client_type: CT,
            handle,
            decisions,
        };
        pair.pdp.handle_command(pair.now, command).unwrap();
        let sent = pair.pdp.poll_transmit().unwrap();
        let frame = Frame::new(Bytes::from(tamper(&sent)), &LIMITS).unwrap();
        pair.pep.handle_frame(pair.now, Ok(frame)).unwrap();
        let (close, error) = refusal(|| pair.pep.poll_transmit());
        assert_eq!(error, expected, "{what}");
        assert!(pair.pep.is_closed(), "{what}");
        pair.pdp.handle_frame(pair.now, Ok(close)).unwrap();
        assert!(pair.pdp.is_closed());
        let events: Vec<PepEvent> = std::iter::from_fn(|| pair.pep.poll_event()).collect();
        assert!(
            !events
                .iter()
                .any(|event| matches!(event, PepEvent::Decision { .. })),
            "{what}: believed"
        );
    }
}

#[test]
fn c_4_1_12_replayed_reordered_and_dropped_frames_are_refused() {
    let frames = |pair: &mut Pair| -> Vec<Frame> {
        for text in ["one", "two"] {
            let request = RequestBody::configuration(rows(text));
            let command = PepCommand::Request {
                client_type: CT,
                handle: None,
                request,
            };
            pair.pep.handle_command(pair.now, command).unwrap();
        }
        std::iter::from_fn(|| pair.pep.poll_transmit()).collect()
    };
    for (order, taken) in [(vec![0, 0], 1), (vec![1, 0], 0), (vec![1], 0), (vec![0, 1, 0], 2)] {
        let mut pair = secured(&[key(1)]);
        pair.open_client(CT);
        let frames = frames(&mut pair);
        for place in &order {
            pair.pdp
                .handle_frame(pair.now, Ok(frames[*place].clone()))
                .unwrap();
        }
        let events = std::iter::from_fn(|| pair.pdp.poll_event());
        let requests = events
            .filter(|event| matches!(event, PdpEvent::Request { .. }))
            .count();
        assert_eq!(requests, taken, "{order:?}");
        assert!(pair.pdp.is_closed(), "{order:?}");
        assert_eq!(refusal(|| pair.pdp.poll_transmit()).1, FAILURE);
    }
}

/// A connection that was recorded is of no use later, whichever part of it is sent.
#[test]
fn c_5_02_frames_of_another_connection_are_refused() {
    let mut first = secured(&[key(1)]);
    first.open_client(CT);
    let recorded = first.pep.poll_transmit();
    assert_eq!(recorded, None);
    let request = RequestBody::configuration(rows("old"));
    let command = PepCommand::Request {
        client_type: CT,
        handle: None,
        request,
    };
    first.pep.handle_command(first.now, command).unwrap();
    let old = first.pep.poll_transmit().unwrap();

    let mut later = pdp_integrity(&[key(1)]);
    later.initial_number = SequenceNumber(PDP_START.0 + 1_000);
    let mut pep = pep_integrity(&[key(1)]);
    pep.initial_number = SequenceNumber(PEP_START.0 + 1_000);
    let mut second = pair(Some(pep), Some(later));
    second.open_client(CT);
    second.pdp.handle_frame(second.now, Ok(old)).unwrap();
    assert!(second.pdp.is_closed());
}

/// Both ends share the key, so what one end signed is signed well at that end too.
#[test]
fn a_message_that_is_sent_back_to_its_sender_is_refused() {
    let mut pair = secured(&[key(1)]);
    pair.open_client(CT);
    pair.now = pair.pep.poll_timeout().unwrap();
    pair.pep.handle_timeout(pair.now);
    let own = pair.pep.poll_transmit().unwrap();
    assert_eq!(own.header().op_code, OpCode::KEEP_ALIVE);
    pair.pep.handle_frame(pair.now, Ok(own)).unwrap();
    assert!(pair.pep.is_closed());
}

#[test]
fn c_4_2_05_a_50_keys_change_in_mid_connection() {
    let keys = [key_within(1, 0, 100), key_within(2, 50, 1_000)];
    let mut pair = secured(&keys);
    pair.open_client(CT);
    pair.pass(Duration::from_secs(300));
    assert!(!pair.pep.is_closed() && !pair.pdp.is_closed());
    for sent in &pair.log {
        // The midpoint of 50 and 100.
        let expected = if sent.at < START.after(Duration::from_secs(75)) {
            1
        } else {
            2
        };
        assert_eq!(signed_by(&sent.message).0, expected, "{sent:?}");
    }
    let status = pair.pep.integrity().unwrap();
    assert_eq!((status.sending_key, status.receiving_key), (KeyId(2), KeyId(2)));
}

#[test]
fn keys_are_added_and_removed_without_a_new_connection() {
    let mut pair = secured(&[key(1)]);
    pair.open_client(CT);
    pair.install_state();
    let calendar = Calendar::new(pair.now, TIME);
    // The receiver first; it sends with the new one at once, which the other end does not know yet.
    pair.pep.set_keys(pair.now, ring(&[key(1), key(2)]), calendar);
    pair.pdp.set_keys(pair.now, table(&[key(1), key(2)]), calendar);
    pair.log.clear();
    pair.install_state();
    assert!(pair.log.iter().all(|sent| signed_by(&sent.message).0 == 2));
    // The old one goes.
    pair.pep.set_keys(pair.now, ring(&[key(2)]), calendar);
    pair.pdp.set_keys(pair.now, table(&[key(2)]), calendar);
    pair.install_state();
    let ka = signed(ka(), &key(1), pair.pdp.integrity().unwrap().received.0 + 1);
    pair.pdp.handle_frame(pair.now, Ok(ka)).unwrap();
    assert_eq!(refusal(|| pair.pdp.poll_transmit()).1, FAILURE);
}

#[test]
fn c_4_2_03_without_a_key_nothing_is_sent() {
    // From the start.
    let mut none = pair(Some(pep_integrity(&[key_within(1, 10, 20)])), None);
    assert!(none.pep.is_closed());
    assert_eq!(none.pep.poll_transmit(), None);
    assert!(matches!(
        none.pep.poll_event(),
        Some(PepEvent::Closed {
            cause: CloseCause::NoKey
        })
    ));
    // When the last one ends: with the next thing that happens, and no word that is not signed.
    let mut ends = secured(&[key_within(1, 0, 50)]);
    ends.open_client(CT);
    ends.pass(Duration::from_secs(49));
    assert!(!ends.pep.is_closed());
    let sent = ends.log.len();
    ends.pass(Duration::from_secs(60));
    assert!(ends.pep.is_closed() && ends.pdp.is_closed());
    assert_eq!(ends.log.len(), sent);
    // When it is taken away.
    let mut revoked = secured(&[key(1)]);
    revoked.open_client(CT);
    revoked.pdp.set_keys(revoked.now, table(&[]), CALENDAR);
    assert!(revoked.pdp.is_closed());
    assert_eq!(
        revoked.pdp.take_held().len(),
        1,
        "the PEP may come back with another key"
    );
}

#[test]
fn a_secured_connection_is_one_peps() {
    let mut pair = secured(&[key(1)]);
    let mut other = security_open();
    other.client_type = CT;
    other.pep_id = cops_codec::wire::PepId::new("pep2").unwrap();
    pair.pdp
        .handle_frame(pair.now, Ok(signed(other, &key(1), PDP_START.0 + 1)))
        .unwrap();
    assert!(matches!(
        pair.pdp.poll_event(),
        Some(PdpEvent::ClientClosed {
            cause: CloseCause::Fault(PeerFault::PepIdChanged { .. }),
            ..
        })
    ));
}

#[test]
fn a_07_the_keep_alive_timer_of_the_negotiation_counts() {
    let mut pair = secured(&[key(1)]);
    assert_eq!(pair.pep.keep_alive_timer(), Some(Duration::from_secs(30)));
    // open_client accepts with 40 s.
    pair.open_client(CT);
    assert_eq!(pair.pep.keep_alive_timer(), Some(Duration::from_secs(30)));
    assert_eq!(pair.pdp.keep_alive_timer(), Some(Duration::from_secs(30)));
}

#[test]
fn a_connection_that_is_secured_and_not_used_is_ended() {
    let mut pair = secured(&[key(1)]);
    pair.pass(Duration::from_secs(11));
    assert!(pair.pdp.is_closed());
}

#[test]
fn a_negotiation_that_is_not_answered_is_given_up() {
    let mut pair = pair(Some(pep_integrity(&[key(1)])), None);
    pair.black_hole = true;
    pair.pep_does(PepCommand::Open(ClientOpening::new(CT)));
    pair.pass(Duration::from_secs(31));
    assert!(pair.pep.is_closed());
    // Of client-types the PDP has not heard.
    assert!(
        pair.log
            .iter()
            .all(|sent| sent.message.client_type() == ClientType::CONNECTION)
    );
    assert_eq!(pair.exchange(), ["PEP OPN", "PEP CC"]);
}

/// A command is refused where the object would not fit any more, not when it is too late.
#[test]
fn the_object_has_its_place_in_the_message_limit() {
    let (mut pep, mut pdp) = (pep_config(), pdp_config());
    pep.integrity = Some(pep_integrity(&[key(1)]));
    pdp.integrity = Some(pdp_integrity(&[key(1)]));
    pep.wire_limits.max_message_octets = 256;
    pdp.wire_limits.max_message_octets = 256;
    let mut pair = Pair::with(pep, pdp, START);
    pair.open_client(CT);
    let mut longest = 0;
    for octets in 0..256 {
        let request = RequestBody::configuration(rows(&"x".repeat(octets)));
        let command = PepCommand::Request {
            client_type: CT,
            handle: None,
            request,
        };
        if pair.pep_tries(command).is_ok() {
            longest = pair.log.last().unwrap().message.encode(&LIMITS).unwrap().len();
        }
    }
    assert_eq!(longest, 256);
    assert_eq!(pair.pep.transmit_octets(), 0, "what was taken has gone");
    assert!(!pair.pdp.is_closed() && !pair.pep.is_closed());
}

/// A message that is the PEP's and makes no sense is answered like any other, and signed.
#[test]
fn a_malformed_message_of_the_right_sender_gets_its_answer() {
    let mut pair = secured(&[key(1)]);
    pair.open_client(CT);
    pair.log.clear();
    let bad = encode_objects(OpCode::REQUEST, CT, false, &[ObjectRef::Handle(&[1])], &LIMITS).unwrap();
    let number = pair.pdp.integrity().unwrap().received.next();
    let bad = sign(&bad, &key(1), number, &LIMITS).unwrap();
    pair.pdp.handle_frame(pair.now, Ok(bad)).unwrap();
    let answer = pair.pdp.poll_transmit().unwrap();
    assert_eq!(answer.header().op_code, OpCode::DECISION);
    verify(&answer, &ring(&[key(1)]), TIME).unwrap();
    assert!(!pair.pdp.is_closed());
}
