//! The framing over a byte stream of tokio's.

use bytes::{Bytes, BytesMut};
use cops_codec::{
    EncodeError, FaultKind, Limits, Message,
    message::{DecisionBody, DecisionMessage, KeepAlive, SynchronizeStateRequest},
    tokio_codec::{CodecError, CopsCodec, INITIAL_BUFFER_OCTETS},
    wire::{ClientHandle, ClientType},
};
use futures::{SinkExt, StreamExt};
use tokio::io::AsyncWriteExt;
use tokio_util::codec::{Decoder, Encoder};

fn keep_alive() -> Message {
    KeepAlive { integrity: None }.into()
}

fn synchronize(handle: Vec<u8>) -> Message {
    let handle = Some(ClientHandle(handle.into()));
    SynchronizeStateRequest {
        client_type: ClientType(0x4001),
        handle,
        integrity: None,
    }
    .into()
}

#[tokio::test]
async fn messages_written_at_one_end_are_read_at_the_other() {
    let limits = Limits::default();
    // Smaller than the larger messages, so that they come in pieces.
    let (left, right) = tokio::io::duplex(64);
    let mut left = CopsCodec::connection(left, limits);
    let mut right = CopsCodec::connection(right, limits);
    let messages: Vec<Message> = (0..50)
        .map(|number| {
            if number % 5 == 0 {
                keep_alive()
            } else {
                synchronize(vec![7; number * 20])
            }
        })
        .collect();
    let sent = messages.clone();
    let send = async {
        for message in &sent {
            left.feed(message).await.expect("a message that fits");
        }
        SinkExt::<&Message>::close(&mut left)
            .await
            .expect("an open connection");
    };
    let receive = async {
        let mut received = Vec::new();
        while let Some(frame) = right.next().await {
            received.push(Message::decode(&frame.expect("a frame"), &limits).expect("a message"));
        }
        received
    };
    let ((), received) = tokio::join!(send, receive);
    assert_eq!(received, messages);
}

#[tokio::test]
async fn a_framing_fault_ends_the_stream() {
    let (mut raw, connection) = tokio::io::duplex(64);
    let mut connection = CopsCodec::connection(connection, Limits::default());
    raw.write_all(&[0x10, 9, 0, 0, 0, 0, 0, 8, 0x20, 9])
        .await
        .expect("room");
    assert_eq!(
        &connection.next().await.expect("a frame").expect("a KA")[..],
        [0x10, 9, 0, 0, 0, 0, 0, 8]
    );
    let Some(Err(CodecError::Framing(error))) = connection.next().await else {
        panic!("a framing fault")
    };
    assert_eq!(error.fault.kind, FaultKind::Version { found: 2 });
    assert!(connection.next().await.is_none());
}

#[tokio::test]
async fn a_stream_that_ends_inside_a_message_is_told() {
    let (mut raw, connection) = tokio::io::duplex(64);
    let mut connection = CopsCodec::connection(connection, Limits::default());
    raw.write_all(&[0x10, 9, 0, 0, 0, 0, 0, 8, 0x10, 9, 0])
        .await
        .expect("room");
    drop(raw);
    assert!(connection.next().await.expect("a frame").is_ok());
    assert!(matches!(
        connection.next().await,
        Some(Err(CodecError::CutShort { found: 3 }))
    ));
}

/// The claim that a length makes costs no memory; only what came does.
#[test]
fn no_memory_is_taken_for_octets_that_have_not_come() {
    let mut codec = CopsCodec::new(Limits::default());
    let mut received = BytesMut::with_capacity(INITIAL_BUFFER_OCTETS);
    received.extend_from_slice(&[0x10, 1, 0x40, 1, 0, 0x10, 0, 0]);
    assert!(codec.decode(&mut received).expect("1 MiB is allowed").is_none());
    assert_eq!(received.capacity(), INITIAL_BUFFER_OCTETS);
}

#[test]
fn a_connection_begins_with_small_buffers() {
    let connection = CopsCodec::connection(tokio::io::empty(), Limits::default());
    assert_eq!(connection.read_buffer().capacity(), INITIAL_BUFFER_OCTETS);
    assert_eq!(connection.write_buffer().capacity(), INITIAL_BUFFER_OCTETS);
}

#[test]
fn what_cannot_be_encoded_leaves_the_buffer_as_it_was() {
    let mut codec = CopsCodec::new(Limits::default());
    let mut out = BytesMut::new();
    codec.encode(keep_alive(), &mut out).expect("a KA");
    let before = Bytes::copy_from_slice(&out);
    let bad: Message = DecisionMessage {
        client_type: ClientType(0x4001),
        solicited: true,
        handle: ClientHandle::from(1),
        body: DecisionBody::Decisions(vec![]),
        integrity: None,
    }
    .into();
    let error = codec.encode(&bad, &mut out).expect_err("no decision");
    assert!(matches!(error, CodecError::Encode(EncodeError::NoDecision)));
    assert_eq!(out, before);
    let frame = keep_alive().encode(&Limits::default()).expect("a KA");
    codec.encode(frame, &mut out).expect("a frame");
    assert_eq!(out.len(), 16);
}
