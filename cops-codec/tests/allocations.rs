//! How often memory is taken for a message: a cost that shows no matter how busy the machine is.
//!
//! Counted by a global allocator around the system's, of this thread alone.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../benches/codec/messages.rs"]
mod messages;

use allocation_counter::{AllocationInfo, measure};
use bytes::{Bytes, BytesMut};
use cops_codec::message::Request;
use cops_codec::wire::ClientSi;
use cops_codec::{Frame, Framer, Limits, Message, MessageRef};
use messages::{Sample, rows_of, samples};

fn counted(mut work: impl FnMut()) -> u64 {
    // What is made once, such as the table of classes, is there already.
    work();
    let AllocationInfo { count_total, .. } = measure(work);
    count_total
}

fn request_of(sample: Sample) -> Request {
    match sample.message {
        Message::Request(request) => request,
        other => panic!("no REQ: {other:?}"),
    }
}

#[test]
fn the_borrowed_view_takes_no_memory_however_many_objects_there_are() {
    let limits = Limits::DEFAULT;
    for Sample { name, frame, .. } in samples() {
        let mut objects = 0;
        let taken = counted(|| {
            let message = MessageRef::new(&frame, &limits).unwrap();
            objects = message.objects().filter(Result::is_ok).count();
            assert_eq!(message.handle().is_some(), objects > 0);
        });
        assert_eq!(taken, 0, "{name} with {objects} objects");
    }
    let many = Message::from(Request {
        client_si: vec![ClientSi::Named(Bytes::from_static(b"rows")); 250],
        ..request_of(samples().remove(1))
    });
    let frame = many.encode(&limits).unwrap();
    let walk = || assert_eq!(MessageRef::of_frame(&frame, &limits).objects().count(), 252);
    assert_eq!(counted(walk), 0);
    // The counter counts: an owned message has a list.
    let request = &samples()[1];
    assert!(counted(|| drop(Message::decode(&request.frame, &limits))) > 0);
}

#[test]
fn an_owned_message_takes_memory_for_its_lists_alone_and_shares_the_frame() {
    let limits = Limits::DEFAULT;
    for Sample { name, frame, .. } in samples() {
        let taken = counted(|| drop(Message::decode(&frame, &limits).unwrap()));
        // One list of ClientSI objects, or of decisions, of up to four.
        let lists = u64::from(name != "KA");
        assert_eq!(taken, lists, "{name}");
    }
}

#[test]
fn a_message_is_encoded_into_room_that_is_there_without_taking_more() {
    let limits = Limits::DEFAULT;
    for Sample { name, message, .. } in samples() {
        let mut out = BytesMut::with_capacity(8_192);
        let taken = counted(|| {
            out.clear();
            message.encode_into(&mut out, &limits).unwrap();
        });
        assert_eq!(taken, 0, "{name}");
    }
}

#[test]
fn a_frame_of_a_stream_takes_memory_once_or_twice_whatever_its_size() {
    for Sample { name, frame, .. } in samples() {
        let mut framer = Framer::new(Limits::DEFAULT);
        let taken = counted(|| {
            framer.push(&frame);
            let framed: Option<Frame> = framer.next_frame().unwrap();
            assert_eq!(framed.unwrap().len(), frame.len());
        });
        // The octets, and what frame and buffer share them by.
        assert!(taken <= 2, "{name}: {taken}");
    }
}

#[test]
fn rows_take_memory_for_their_names_and_nothing_else_for_their_numbers() {
    let limits = Limits::DEFAULT;
    for Sample {
        name, frame, rows, ..
    } in samples()
    {
        let taken = counted(|| {
            assert_eq!(
                rows_of(&Message::decode(&frame, &limits).unwrap()).len(),
                rows.len()
            )
        });
        // At most six names or texts a row (pwrActivity), the lists of the message and of the rows as they grow.
        let bound = 6 * rows.len() as u64 + 1 + u64::from(rows.len().next_power_of_two().ilog2()) + 1;
        assert!(taken <= bound, "{name}: {taken} for {} rows", rows.len());
    }
}
