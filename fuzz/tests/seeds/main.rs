//! Where the seeds come from: the byte vectors and rows of cops-codec's own tests, and the exchanges of the power
//! client-type written as operations. Files whose names begin with `found-` are what fuzzing has found, and are kept as
//! they are.
//!
//! `FUZZ_WRITE_SEEDS=1 cargo test -p fuzz --test seeds` writes them anew.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot read its files fails"
)]

use std::{collections::BTreeMap, fs, path::PathBuf};

mod exchanges;
mod files;
mod messages;
#[path = "../../../cops-codec/tests/base_protocol/pairs.rs"]
#[allow(dead_code)]
mod pairs;
mod pdp_session;
mod pep_session;
mod provisioning;
#[path = "../../../cops-codec/tests/rows/mod.rs"]
mod rows;
mod session_pair;
#[path = "../../../cops-codec/tests/base_protocol/support.rs"]
#[allow(dead_code)]
mod support;

type Seeds = BTreeMap<(&'static str, String), Vec<u8>>;

#[test]
fn every_seed_is_as_its_source_makes_it() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("seeds");
    let seeds = all();
    if std::env::var_os("FUZZ_WRITE_SEEDS").is_some() {
        write(&folder, &seeds);
    }
    for ((target, name), octets) in &seeds {
        if follows_the_programs(target) {
            continue;
        }
        let path = folder.join(target).join(name);
        let found = fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        assert_eq!(&found, octets, "{}", path.display());
    }
    for target in fuzz::TARGETS {
        for entry in fs::read_dir(folder.join(target.name)).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            let is_known = follows_the_programs(target.name)
                || name.starts_with("found-")
                || seeds.contains_key(&(target.name, name.clone()));
            assert!(is_known, "seeds/{}/{name} has no source", target.name);
        }
    }
}

/// The examples of the configuration change with the programs, and what they were is as good a seed.
fn follows_the_programs(target: &str) -> bool {
    target.starts_with("config_")
}

fn write(folder: &std::path::Path, seeds: &Seeds) {
    for target in fuzz::TARGETS {
        let folder = folder.join(target.name);
        fs::create_dir_all(&folder).unwrap();
        for entry in fs::read_dir(&folder).unwrap() {
            let entry = entry.unwrap();
            if !entry.file_name().to_str().unwrap().starts_with("found-") {
                fs::remove_file(entry.path()).unwrap();
            }
        }
    }
    for ((target, name), octets) in seeds {
        fs::write(folder.join(target).join(name), octets).unwrap();
    }
}

fn all() -> Seeds {
    let mut seeds = Seeds::new();
    let mut put = |target: &'static str, name: &str, octets: Vec<u8>| {
        let former = seeds.insert((target, slug(name)), octets);
        assert!(former.is_none(), "{target}: {name} is there twice");
    };
    messages::frames(&mut put);
    messages::messages(&mut put);
    provisioning::provisioning(&mut put);
    provisioning::row_stores(&mut put);
    pdp_session::seeds(&mut put);
    pep_session::seeds(&mut put);
    session_pair::seeds(&mut put);
    planner(&mut put);
    files::seeds(&mut put);
    seeds
}

type Put<'a> = &'a mut dyn FnMut(&'static str, &str, Vec<u8>);

/// A name as a file has it.
fn slug(name: &str) -> String {
    let words: Vec<String> = name
        .split(|c: char| !c.is_ascii_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(str::to_ascii_lowercase)
        .collect();
    words.join("-")
}

/// Octets without much meaning, which a structure can be read from: small numbers first of all.
fn counting(start: u8, octets: usize) -> Vec<u8> {
    (0..octets)
        .map(|at| {
            let at = u8::try_from(at % 251).unwrap();
            match at % 3 {
                0 => at.wrapping_mul(29).wrapping_add(start),
                1 => 1,
                _ => at % 7,
            }
        })
        .collect()
}

/// An octet string as `Input::octets` reads it.
fn string(octets: &[u8]) -> Vec<u8> {
    let length = u8::try_from(octets.len()).unwrap();
    assert!(length < 240, "a longer one has no number of its own");
    [&[length][..], octets].concat()
}

fn planner(put: Put<'_>) {
    for start in 0..12_u8 {
        // Usual figures and any; small clusters and large ones; planned once and twice.
        let kind = (start & 1) | (start & 6) << 3;
        put(
            "planner",
            &format!("counting {start}"),
            [&[kind][..], &counting(start.wrapping_mul(41), 900)].concat(),
        );
    }
}
