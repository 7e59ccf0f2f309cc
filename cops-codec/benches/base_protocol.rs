//! What a message costs: framed, looked at, decoded, encoded.
//!
//! `cargo bench -p cops-codec`. The sizes are those of the power client: a keep-alive, one changed fact, the release of a
//! stage, and the facts of a PEP with 900 activities (two objects).

// What cannot fail here would be a fault of the benchmark.
#![allow(clippy::expect_used, missing_docs)]

use std::hint::black_box;

use bytes::Bytes;
use cops_codec::{
    Frame, Framer, Limits, Message, MessageRef,
    message::{Decision, DecisionBody, DecisionMessage, KeepAlive, Request},
    wire::{ClientHandle, ClientSi, ClientType, Context},
};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

const CLIENT_TYPE: ClientType = ClientType(0x5057);

fn request(contents: &[usize]) -> Message {
    Request {
        client_type: CLIENT_TYPE,
        handle: ClientHandle::from(1),
        context: Context::CONFIGURATION,
        in_interface: None,
        out_interface: None,
        client_si: contents
            .iter()
            .map(|octets| ClientSi::Named(Bytes::from(vec![0x5a; *octets])))
            .collect(),
        lpdp_decisions: vec![],
        integrity: None,
    }
    .into()
}

fn decision(count: usize, octets: usize) -> Message {
    let decision = Decision::install(Context::CONFIGURATION, Bytes::from(vec![0x5a; octets]));
    DecisionMessage {
        client_type: CLIENT_TYPE,
        solicited: false,
        handle: ClientHandle::from(1),
        body: DecisionBody::Decisions(vec![decision; count]),
        integrity: None,
    }
    .into()
}

fn base_protocol(criterion: &mut Criterion) {
    let limits = Limits::default();
    let messages: [(&str, Message); 5] = [
        ("KA", KeepAlive { integrity: None }.into()),
        ("REQ one fact", request(&[108])),
        ("DEC release", decision(1, 76)),
        ("REQ 900 activities", request(&[65_528, 49_208])),
        ("DEC 64 decisions", decision(64, 76)),
    ];
    let mut group = criterion.benchmark_group("base_protocol");
    for (name, message) in &messages {
        let frame = message.encode(&limits).expect("a message that fits");
        group.throughput(Throughput::Bytes(frame.len() as u64));
        group.bench_with_input(
            BenchmarkId::new("frame", name),
            &frame,
            |bencher, frame: &Frame| {
                bencher.iter(|| {
                    let mut framer = Framer::new(limits);
                    framer.push(black_box(frame));
                    framer.next_frame()
                });
            },
        );
        group.bench_with_input(BenchmarkId::new("look at", name), &frame, |bencher, frame| {
            bencher.iter(|| {
                MessageRef::of_frame(black_box(frame), &limits)
                    .objects()
                    .filter(Result::is_ok)
                    .count()
            });
        });
        group.bench_with_input(BenchmarkId::new("decode", name), &frame, |bencher, frame| {
            bencher.iter(|| Message::decode(black_box(frame), &limits));
        });
        group.bench_with_input(BenchmarkId::new("encode", name), message, |bencher, message| {
            bencher.iter(|| black_box(message).encode(&limits));
        });
    }
    group.finish();
}

criterion_group!(benches, base_protocol);
criterion_main!(benches);
