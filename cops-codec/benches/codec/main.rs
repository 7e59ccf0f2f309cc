//! What a message costs: looked at, framed, decoded, its rows read and written, encoded; beside a copy of the same octets.
//!
//! `cargo bench -p cops-codec --bench codec` measures time, in short turns of every case one after another, so that
//! whatever else the machine does meets all of them alike: what counts is the ratio to `copy` within one run.
//! `... -- --instructions` counts instructions under valgrind instead, which vary by next to nothing, holds them against
//! `benches/instructions.json`, and fails where one has grown by more than [`TOLERANCE_PERCENT`]; `--bless` writes that file.
//! `--json FILE` writes the figures as JSON.
//!
//! As a test (`cargo test`) each case runs once.

// The outer ring of a program: it reads clocks and files, and starts valgrind. What fails is a fault of the benchmark.
#![allow(clippy::disallowed_methods, clippy::expect_used, clippy::panic, missing_docs)]

mod instructions;
mod messages;

use std::hint::black_box;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use cops_codec::{Framer, Limits, Message, MessageRef};

use messages::{Sample, message, rows_of, samples};

/// How long a case is measured at a time.
const TURN: Duration = Duration::from_millis(2);
/// How often every case has its turn.
const TURNS: usize = 60;
/// The turn that counts, of all sorted by time: a tenth of the way. What else the machine does only ever adds.
const COUNTED: usize = TURNS / 10;

/// One thing that is done with a message.
struct Case {
    name: String,
    sample: &'static str,
    octets: usize,
    rows: usize,
    run: Box<dyn FnMut()>,
}

/// What is done, and what it is for.
const OPERATIONS: [&str; 7] = [
    "copy",
    "look",
    "frame",
    "decode",
    "encode",
    "read rows",
    "write rows",
];

fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for sample in samples() {
        for operation in OPERATIONS {
            if sample.rows.is_empty() && operation.ends_with("rows") {
                continue;
            }
            cases.push(Case {
                name: format!("{operation} {}", sample.name),
                sample: sample.name,
                octets: sample.frame.len(),
                rows: sample.rows.len(),
                run: action(operation, &sample),
            });
        }
    }
    cases
}

fn action(operation: &str, sample: &Sample) -> Box<dyn FnMut()> {
    let limits = Limits::DEFAULT;
    let frame = sample.frame.clone();
    match operation {
        // The floor: the octets are touched once.
        "copy" => {
            let mut into = vec![0; frame.len()];
            Box::new(move || {
                into.copy_from_slice(black_box(&frame));
                black_box(&mut into);
            })
        }
        // Framed and walked, every object typed, without allocation.
        "look" => Box::new(move || {
            let message = MessageRef::new(black_box(&frame), &limits).expect("a message");
            for object in message.objects() {
                black_box(object.expect("an object"));
            }
        }),
        // Out of a stream.
        "frame" => {
            let mut framer = Framer::new(limits);
            Box::new(move || {
                framer.push(black_box(&frame));
                black_box(framer.next_frame().expect("a message"));
            })
        }
        // As an owned message.
        "decode" => Box::new(move || {
            black_box(Message::decode(black_box(&frame), &limits).expect("a message"));
        }),
        "encode" => {
            let message = sample.message.clone();
            let mut out = BytesMut::new();
            Box::new(move || {
                out.clear();
                black_box(&message)
                    .encode_into(&mut out, &limits)
                    .expect("a message that fits");
                black_box(&mut out);
            })
        }
        // From octets to rows as structs.
        "read rows" => Box::new(move || {
            let message = Message::decode(black_box(&frame), &limits).expect("a message");
            black_box(rows_of(&message));
        }),
        // From rows as structs to octets.
        "write rows" => {
            let (name, rows) = (sample.name, sample.rows.clone());
            Box::new(move || {
                let message = message(name, black_box(&rows));
                black_box(message.encode(&limits).expect("a message that fits"));
            })
        }
        other => panic!("no operation {other}"),
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let has = |flag: &str| arguments.iter().any(|a| a == flag);
    let value = |flag: &str| {
        let at = arguments.iter().position(|a| a == flag)?;
        arguments.get(at + 1).cloned()
    };
    let mut cases = cases();
    if let Some(name) = value("--case") {
        let times: u64 = value("--times").and_then(|n| n.parse().ok()).expect("--times N");
        let case = cases.iter_mut().find(|case| case.name == name).expect("a case");
        for _ in 0..times {
            (case.run)();
        }
        return;
    }
    if !has("--bench") {
        // `cargo test`: that each still does what it says.
        for case in &mut cases {
            (case.run)();
        }
        println!("{} cases ran once", cases.len());
        return;
    }
    let (text, json, is_fine) = if has("--instructions") {
        let names: Vec<_> = cases.iter().map(|case| case.name.clone()).collect();
        instructions::count(&names, has("--bless"))
    } else {
        let (text, json) = time(&mut cases);
        (text, json, true)
    };
    print!("{text}");
    if let Some(file) = value("--json") {
        std::fs::write(&file, json).unwrap_or_else(|error| panic!("{file}: {error}"));
    }
    if !is_fine {
        std::process::exit(1);
    }
}

/// Nanoseconds of each case.
fn time(cases: &mut [Case]) -> (String, String) {
    let times: Vec<u32> = cases.iter_mut().map(times_a_turn).collect();
    let mut turns = vec![Vec::with_capacity(TURNS); cases.len()];
    for _ in 0..TURNS {
        for (index, case) in cases.iter_mut().enumerate() {
            let begun = Instant::now();
            for _ in 0..times[index] {
                (case.run)();
            }
            turns[index].push(begun.elapsed().as_nanos() as f64 / f64::from(times[index]));
        }
    }
    let counted: Vec<f64> = turns
        .iter_mut()
        .map(|turns| {
            turns.sort_by(f64::total_cmp);
            turns[COUNTED]
        })
        .collect();
    let mut text = format!(
        "{:<20} {:>6} {:>5} {:>9} {:>12} {:>12} {:>8}\n",
        "case", "octets", "rows", "ns", "messages/s", "rows/s", "x copy"
    );
    let mut json = Vec::new();
    for (case, nanos) in cases.iter().zip(&counted) {
        let floor = cases
            .iter()
            .zip(&counted)
            .find(|(other, _)| other.name == format!("copy {}", case.sample));
        let ratio = nanos / floor.expect("a copy of each").1;
        let a_second = 1e9 / nanos;
        let rows_a_second = a_second * case.rows as f64;
        text += &format!(
            "{:<20} {:>6} {:>5} {nanos:>9.1} {a_second:>12.0} {rows_a_second:>12.0} {ratio:>8.1}\n",
            case.name, case.octets, case.rows,
        );
        json.push(format!(
            "{{\"case\":\"{}\",\"octets\":{},\"rows\":{},\"nanoseconds\":{nanos:.1},\"times_copy\":{ratio:.2}}}",
            case.name, case.octets, case.rows
        ));
    }
    (text, format!("[\n{}\n]\n", json.join(",\n")))
}

/// How often a case runs in a turn.
fn times_a_turn(case: &mut Case) -> u32 {
    let mut times = 1_u32;
    loop {
        let begun = Instant::now();
        for _ in 0..times {
            (case.run)();
        }
        if begun.elapsed() >= TURN || times >= 1 << 24 {
            return times;
        }
        times *= 2;
    }
}
