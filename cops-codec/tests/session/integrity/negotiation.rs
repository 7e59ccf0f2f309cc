//! The negotiation (RFC 2748 4.1), and what it means for the connection.

use super::*;

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
