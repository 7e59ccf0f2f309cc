//! Where a message ends.

use bytes::Bytes;
use cops_codec::{DecodeError, FaultKind, Frame, Framer, Limits, framing::message_octets};

use crate::{pairs, support::hex};

fn stream() -> (Vec<Bytes>, Vec<u8>) {
    let messages: Vec<Bytes> = pairs::all().into_iter().map(|pair| pair.octets).collect();
    let octets = messages.concat();
    (messages, octets)
}

fn frames_in_pieces(octets: &[u8], piece: usize) -> Vec<Bytes> {
    let mut framer = Framer::new(Limits::default());
    let mut frames = Vec::new();
    for piece in octets.chunks(piece) {
        framer.push(piece);
        while let Some(frame) = framer.next_frame().expect("a good stream") {
            frames.push(frame.into_octets());
        }
    }
    assert_eq!(framer.pending_octets(), 0);
    frames
}

#[test]
fn c_2_1_14_pieces_of_any_size_give_the_same_messages() {
    let (messages, octets) = stream();
    for piece in [1, 2, 3, 4, 5, 7, 8, 9, 64, octets.len()] {
        assert_eq!(frames_in_pieces(&octets, piece), messages, "pieces of {piece}");
    }
}

#[test]
fn a_message_cut_short_stays_pending() {
    let mut framer = Framer::new(Limits::default());
    framer.push(&hex("10 09 00 00 00 00 00 08 10 09 00 00 00"));
    assert!(framer.next_frame().expect("a frame").is_some());
    assert_eq!(framer.next_frame().expect("not yet"), None);
    assert_eq!(framer.pending_octets(), 5);
}

#[test]
fn c_2_1_03_refuses_another_version_from_its_first_octet_on() {
    for version in (0..16).filter(|version| *version != 1) {
        let mut framer = Framer::new(Limits::default());
        framer.push(&[version << 4]);
        let error = framer.next_frame().expect_err("another version");
        assert_eq!(
            (error.fault.offset, error.fault.kind),
            (0, FaultKind::Version { found: version })
        );
        assert_eq!(error.header, None, "nothing after the version can be trusted");
    }
}

#[test]
fn c_2_1_12_refuses_a_length_below_8_or_off_a_word() {
    for length in (0..8).chain([9, 10, 11, 13, 0xffff_ffff]) {
        let limits = Limits {
            max_message_octets: usize::MAX,
            ..Limits::default()
        };
        let fault = message_octets(&header(length), &limits).expect_err("a wrong length");
        assert_eq!(
            (fault.offset, fault.kind),
            (4, FaultKind::MessageLength { found: length })
        );
    }
}

/// C-2.1-11: lengths are multiples of 4.
#[test]
fn c_2_1_11_accepts_every_multiple_of_4_up_to_the_limit() {
    let limits = Limits {
        max_message_octets: 64,
        ..Limits::default()
    };
    for length in (8..=64).step_by(4) {
        assert_eq!(
            message_octets(&header(length), &limits),
            Ok(Some(length as usize))
        );
    }
}

/// a limit of our own, since the RFC has none; checked on the header, with no octet of the rest received or awaited.
#[test]
fn a_03_refuses_a_length_over_the_limit_from_the_header_alone() {
    for length in [(1 << 20) + 4, 0xffff_fffc] {
        let mut framer = Framer::new(Limits::default());
        framer.push(&header(length));
        let error = framer.next_frame().expect_err("over the limit");
        assert_eq!(
            error.fault.kind,
            FaultKind::MessageTooLong {
                limit: 1 << 20,
                found: length
            }
        );
    }
    assert_eq!(
        message_octets(&header(1 << 20), &Limits::default()),
        Ok(Some(1 << 20))
    );
}

#[test]
fn an_incomplete_header_is_no_fault() {
    for kept in 0..8 {
        assert_eq!(
            message_octets(&header(0xffff_ffff)[..kept], &Limits::default()),
            Ok(None)
        );
    }
}

/// after a framing fault the stream is lost, so nothing more is taken from it, good as it may look.
#[test]
fn a_02_after_a_fault_nothing_more_is_read() {
    let mut framer = Framer::new(Limits::default());
    framer.push(&hex("10 09 00 00 00 00 00 08 10 09 00 00 00 00 00 09"));
    assert!(framer.next_frame().expect("the first is good").is_some());
    let error: DecodeError = framer.next_frame().expect_err("length 9");
    framer.push(&hex("10 09 00 00 00 00 00 08"));
    assert_eq!(framer.next_frame(), Err(error));
    assert_eq!(framer.pending_octets(), 0);
}

#[test]
fn a_frame_shows_its_header() {
    let frame = Frame::new(hex("11 03 40 01 00 00 00 08"), &Limits::default()).expect("a frame");
    let header = frame.header();
    assert!(header.solicited);
    assert_eq!(
        (header.op_code.0, header.client_type.0, header.length),
        (3, 0x4001, 8)
    );
    assert_eq!(format!("{frame:?}"), "Frame(RPT for 0x4001, 8 octets)");
}

fn header(length: u32) -> Vec<u8> {
    [&[0x10, 9, 0, 0][..], &length.to_be_bytes()].concat()
}
