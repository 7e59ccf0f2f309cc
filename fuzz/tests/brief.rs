//! Each target, for a short while, on mutated seeds: no coverage guides it, but it needs no fuzzer, and every run of the
//! tests looks at other inputs.
//!
//! `FUZZ_SEED=N` repeats a run; `FUZZ_EXECUTIONS=N` makes it longer (500 a target by default). An input that finds
//! something is written to `fuzz/artifacts/TARGET/`.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot read its files fails"
)]

use std::{fs, panic, path::PathBuf};

use fastrand::Rng;
use fuzz::{TARGETS, Target};

/// What libFuzzer reads by default.
const LONGEST: usize = 4_096;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().unwrap())
}

fn seeds(target: &Target) -> Vec<Vec<u8>> {
    let mut files: Vec<PathBuf> = fs::read_dir(root().join("seeds").join(target.name))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    files.iter().map(|file| fs::read(file).unwrap()).collect()
}

/// The dictionary's words.
fn words() -> Vec<Vec<u8>> {
    let text = fs::read_to_string(root().join("dictionary.txt")).unwrap();
    let quoted = text
        .lines()
        .filter_map(|line| line.strip_prefix('"')?.strip_suffix('"'));
    quoted.map(unescaped).collect()
}

fn unescaped(word: &str) -> Vec<u8> {
    let mut octets = Vec::new();
    let mut rest = word;
    while let Some(first) = rest.chars().next() {
        if let Some(code) = rest.strip_prefix("\\x") {
            octets.push(u8::from_str_radix(&code[..2], 16).unwrap());
            rest = &code[2..];
        } else {
            octets.push(u8::try_from(first).unwrap());
            rest = &rest[1..];
        }
    }
    octets
}

fn mutate(random: &mut Rng, input: &mut Vec<u8>, seeds: &[Vec<u8>], words: &[Vec<u8>]) {
    let at = random.usize(..=input.len());
    let end = (at + random.usize(1..64)).min(input.len());
    match random.u8(..8) {
        0 if at < input.len() => input[at] ^= 1 << random.u8(..8),
        1 if at < input.len() => input[at] = random.choice([0, 1, 4, 7, 8, 0x7f, 0x80, 0xff]).unwrap_or(0),
        2 if at < input.len() => input[at] = random.u8(..),
        3 => drop(input.drain(at..end)),
        4 => {
            let part = input[at..end].to_vec();
            input.splice(at..at, part);
        }
        5 => {
            let word = random.choice(words).cloned().unwrap_or_default();
            let end = if random.bool() {
                (at + word.len()).min(input.len())
            } else {
                at
            };
            input.splice(at..end, word);
        }
        6 => {
            let other = random.choice(seeds).cloned().unwrap_or_default();
            let from = random.usize(..=other.len());
            input.truncate(at);
            input.extend(&other[from..]);
        }
        _ => input.truncate(at),
    }
    input.truncate(LONGEST);
}

#[test]
fn each_target_passes_on_mutated_seeds() {
    let seed = number("FUZZ_SEED").unwrap_or_else(|| fastrand::u64(..));
    let executions = number("FUZZ_EXECUTIONS").unwrap_or(500);
    println!("FUZZ_SEED={seed} FUZZ_EXECUTIONS={executions}");
    let words = words();
    assert!(words.len() > 50);
    for target in TARGETS {
        let seeds = seeds(target);
        let mut random = Rng::with_seed(seed);
        for execution in 0..executions {
            let mut input = random.choice(&seeds).cloned().unwrap_or_default();
            for _ in 0..random.u8(1..6) {
                mutate(&mut random, &mut input, &seeds, &words);
            }
            if panic::catch_unwind(|| (target.run)(&input)).is_err() {
                let folder = root().join("artifacts").join(target.name);
                fs::create_dir_all(&folder).unwrap();
                let file = folder.join(format!("brief-{seed}-{execution}"));
                fs::write(&file, &input).unwrap();
                panic!(
                    "{}: FUZZ_SEED={seed}, execution {execution}; its input is in {}",
                    target.name,
                    file.display()
                );
            }
        }
    }
}
