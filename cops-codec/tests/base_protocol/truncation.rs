//! A message cut short anywhere is refused, and the error says where.

use bytes::Bytes;
use cops_codec::{FaultKind, Limits, Message};

use crate::{
    pairs,
    support::{decode, encode, fault, show},
};

#[test]
fn c_2_1_12_refuses_every_truncation_whose_header_still_says_the_whole_length() {
    for pair in pairs::all() {
        for kept in 0..pair.octets.len() {
            let fault = fault(pair.octets.slice(..kept));
            assert_eq!(fault.offset, kept, "{} cut to {kept}", pair.name);
            let expected = if kept < 8 { 8 } else { pair.octets.len() };
            assert_eq!(
                fault.kind,
                FaultKind::MessageOctets {
                    expected,
                    found: kept
                },
                "{} cut to {kept}",
                pair.name
            );
        }
    }
}

/// With the header's length made to fit, a cut between two objects may leave a shorter message. All others are refused, and
/// the offset is that of the object that was cut, or the message's end where an object is missing.
#[test]
fn c_2_1_12_refuses_every_truncation_with_its_length_made_to_fit() {
    let (mut refused, mut shorter) = (0, 0);
    for pair in pairs::all() {
        for kept in (8..pair.octets.len()).step_by(4) {
            let octets = resized(&pair.octets, kept);
            match decode(octets.clone()) {
                Ok(message) => {
                    assert_eq!(
                        show(&encode(&message)),
                        show(&octets),
                        "{} cut to {kept}",
                        pair.name
                    );
                    shorter += 1;
                }
                Err(error) => {
                    assert!(error.fault.offset <= kept, "{} cut to {kept}: {error}", pair.name);
                    let cut_object = matches!(
                        error.fault.kind,
                        FaultKind::ObjectOverrun { .. } | FaultKind::MissingObject { .. }
                    );
                    assert!(cut_object, "{} cut to {kept}: {error}", pair.name);
                    assert!(
                        error.header.is_some(),
                        "{} cut to {kept}: the header stands",
                        pair.name
                    );
                    refused += 1;
                }
            }
        }
    }
    assert!(
        refused > 100 && shorter > 10,
        "{refused} refused, {shorter} shorter messages: the list covers both"
    );
}

/// C-2.1-12: the same for octets too many.
#[test]
fn refuses_octets_after_the_message() {
    for pair in pairs::all() {
        let longer = [&pair.octets[..], &[0; 4]].concat();
        let expected = pair.octets.len();
        let fault = fault(longer);
        assert_eq!(
            fault.kind,
            FaultKind::MessageOctets {
                expected,
                found: expected + 4
            },
            "{}",
            pair.name
        );
        assert_eq!(fault.offset, expected, "{}", pair.name);
    }
}

/// Each octet set to each of a few values: no answer is a panic, and what decodes encodes again.
#[test]
fn every_octet_may_be_anything() {
    for pair in pairs::all() {
        for at in 0..pair.octets.len() {
            for value in [0, 1, 3, 4, 0x11, 0x7f, 0x80, 0xff] {
                let mut octets = pair.octets.to_vec();
                octets[at] = value;
                if let Ok(message) = decode(octets) {
                    let again = encode(&message);
                    assert_eq!(
                        decode(again).as_ref(),
                        Ok(&message),
                        "{} with {value:#x} at {at}",
                        pair.name
                    );
                }
            }
        }
    }
}

/// The first octets of a message, with a header that says so.
fn resized(octets: &[u8], kept: usize) -> Bytes {
    let mut octets = octets[..kept].to_vec();
    octets[4..8].copy_from_slice(&u32::try_from(kept).expect("a short message").to_be_bytes());
    octets.into()
}

/// What is decoded are slices of the frame, not copies.
#[test]
fn decoding_copies_no_contents() {
    let limits = Limits::default();
    for pair in pairs::all() {
        let frame = cops_codec::Frame::new(pair.octets.clone(), &limits).expect("a frame");
        let message = Message::decode(&frame, &limits).expect("a message");
        let Some(handle) = message.handle() else { continue };
        let range = frame.octets().as_ptr_range();
        assert!(range.contains(&handle.as_bytes().as_ptr()), "{}", pair.name);
        let detached = handle.detached();
        assert_eq!(&detached, handle);
        assert!(!range.contains(&detached.as_bytes().as_ptr()), "{}", pair.name);
    }
}
