//! Keys that change, and the end of what has no key (RFC 2748 4.2); timers and bounds.

use super::*;

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
