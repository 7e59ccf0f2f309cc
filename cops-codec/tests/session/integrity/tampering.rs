//! Messages that are not what the owner of a key sent, or not in their place.

use super::*;

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
