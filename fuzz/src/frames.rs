//! Frames in chunks: what a [`Framer`] gives does not depend on how the octets are cut, and is what the header of each
//! message says.
//!
//! Input: one octet for the limit (default, or a small one), one with the number of chunk sizes (0 to 15), the sizes, and
//! then the stream. The sizes are used in turn, again and again; 0 is a piece without an octet.

use bytes::Bytes;
use cops_codec::{
    DecodeError, Frame, Framer, Limits, Message, MessageRef, framing::message_octets, wire::Role,
};

use crate::Input;

/// See the module.
pub fn run(octets: &[u8]) {
    let mut input = Input::new(octets);
    let limits = match input.u8() {
        0 => Limits::DEFAULT,
        small => Limits {
            max_message_octets: 4 * usize::from(small),
            ..Limits::DEFAULT
        },
    };
    let sizes: Vec<usize> = input.list(16, |input| input.u8().into());
    let stream = input.rest();

    let (frames, fault) = whole(stream, &limits);
    let framed: usize = frames.iter().map(|frame| frame.len()).sum();

    let mut framer = Framer::new(limits);
    let mut given = 0;
    let mut refused = None;
    let mut pushed = 0;
    for piece in pieces(stream, &sizes) {
        framer.push(piece);
        pushed += piece.len();
        loop {
            match framer.next_frame() {
                Ok(Some(frame)) => {
                    assert_eq!(Some(&frame), frames.get(given), "frame {given}");
                    given += 1;
                }
                Ok(None) => break,
                Err(error) => {
                    let first = refused.get_or_insert_with(|| error.clone());
                    assert_eq!(*first, error, "one error, for ever");
                    break;
                }
            }
        }
        let taken: usize = frames[..given].iter().map(|frame| frame.len()).sum();
        let expected = if refused.is_some() { 0 } else { pushed - taken };
        assert_eq!(framer.pending_octets(), expected, "what was pushed and not given");
        if refused.is_none() {
            assert!(
                framer.pending_octets() < limits.max_message_octets.max(8),
                "at most one message is held"
            );
        }
    }
    assert_eq!(given, frames.len());
    assert_eq!(refused, fault);
    if let Some(error) = &refused {
        assert!(error.fault.kind.breaks_framing());
        assert!(error.answer(Role::Pdp).closes_connection() && error.answer(Role::Pep).closes_connection());
    } else {
        assert_eq!(framer.pending_octets(), stream.len() - framed);
    }
    for frame in &frames {
        // The session takes whatever a framer gives.
        let _ = Message::decode(frame, &limits);
    }
}

/// The frames of a stream, walked by hand, and the error at which it ends.
fn whole(stream: &[u8], limits: &Limits) -> (Vec<Frame>, Option<DecodeError>) {
    let mut frames = Vec::new();
    let mut rest = stream;
    loop {
        match message_octets(rest, limits) {
            Ok(Some(octets)) if octets <= rest.len() => {
                let (message, after) = rest.split_at(octets);
                let header = MessageRef::new(message, limits)
                    .expect("a message of the right length")
                    .header();
                assert_eq!(usize::try_from(header.length), Ok(octets));
                let frame = Frame::new(Bytes::copy_from_slice(message), limits)
                    .expect("a message of the right length");
                assert_eq!((frame.header(), &frame[..]), (header, message));
                // One octet less or more is not this message.
                assert!(Frame::new(frame.octets().slice(..octets - 1), limits).is_err());
                frames.push(frame);
                rest = after;
            }
            Ok(_) => {
                assert!(
                    Frame::new(Bytes::copy_from_slice(rest), limits).is_err(),
                    "an incomplete message"
                );
                return (frames, None);
            }
            Err(fault) => {
                let error = MessageRef::new(rest, limits).expect_err("a header that is refused");
                assert_eq!(
                    error,
                    Frame::new(Bytes::copy_from_slice(rest), limits).expect_err("the same")
                );
                assert_eq!(error.fault, fault);
                return (frames, Some(error));
            }
        }
    }
}

fn pieces<'a>(mut stream: &'a [u8], sizes: &[usize]) -> Vec<&'a [u8]> {
    let mut pieces = Vec::new();
    // At least one of the sizes must get on.
    if sizes.iter().all(|size| *size == 0) {
        return vec![stream];
    }
    for size in sizes.iter().cycle() {
        if stream.is_empty() {
            break;
        }
        let (piece, rest) = stream.split_at((*size).min(stream.len()));
        pieces.push(piece);
        stream = rest;
    }
    pieces
}
