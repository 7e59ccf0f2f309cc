//! Every seed through its target: what fuzzing has found stays mended, without a fuzzer.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot read its files fails"
)]

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use fuzz::TARGETS;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let mut entries: Vec<PathBuf> = fs::read_dir(folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| entry.unwrap().path())
        .collect();
    entries.sort();
    entries
}

fn names(folder: &Path) -> BTreeSet<String> {
    entries(folder)
        .iter()
        .map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned())
        .collect()
}

fn targets() -> BTreeSet<String> {
    TARGETS.iter().map(|target| target.name.to_owned()).collect()
}

/// Names each seed before it is run, so that the output of a failure ends with the one to blame.
#[test]
fn every_seed_passes_its_target() {
    for target in TARGETS {
        let seeds = entries(&root().join("seeds").join(target.name));
        assert!(seeds.len() >= 3, "{} has {} seeds", target.name, seeds.len());
        for seed in seeds {
            println!("{}", seed.display());
            let octets = fs::read(&seed).unwrap();
            assert!(
                octets.len() <= 4_096,
                "{}: longer than what libFuzzer reads by default",
                seed.display()
            );
            (target.run)(&octets);
        }
    }
}

/// The same beginnings, as a reader that stops early would leave them.
#[test]
fn the_beginnings_of_seeds_pass_too() {
    for target in TARGETS {
        for seed in entries(&root().join("seeds").join(target.name)) {
            println!("{}", seed.display());
            let octets = fs::read(&seed).unwrap();
            let step = octets.len() / 16 + 1;
            for end in (0..octets.len()).step_by(step) {
                (target.run)(&octets[..end]);
            }
        }
    }
}

#[test]
fn each_target_has_its_program_its_seeds_and_its_line_in_the_table() {
    let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    assert_eq!(names(&root().join("bin")), targets());
    assert_eq!(names(&root().join("seeds")), targets());
    for target in TARGETS {
        assert!(
            manifest.contains(&format!("path = \"bin/{}.rs\"", target.name)),
            "{}",
            target.name
        );
        assert!(
            readme.contains(&format!("| `{}` |", target.name)),
            "{} in the README's table",
            target.name
        );
        let program = fs::read_to_string(root().join(format!("bin/{}.rs", target.name))).unwrap();
        assert!(
            program.contains(&format!("fuzz::{}::run(input)", target.name)),
            "{}",
            target.name
        );
    }
}

/// libFuzzer refuses a dictionary with one bad line, and only then.
#[test]
fn the_dictionary_is_well_formed() {
    let dictionary = fs::read_to_string(root().join("dictionary.txt")).unwrap();
    let mut words = BTreeSet::new();
    for line in dictionary
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
    {
        let word = line
            .strip_prefix('"')
            .and_then(|line| line.strip_suffix('"'))
            .unwrap_or_else(|| panic!("{line}"));
        let mut rest = word;
        while let Some(at) = rest.find('\\') {
            let code = rest.get(at + 1..at + 4).unwrap_or_else(|| panic!("{line}"));
            let digits = code.strip_prefix('x').unwrap_or_else(|| panic!("{line}"));
            assert!(u8::from_str_radix(digits, 16).is_ok(), "{line}");
            rest = &rest[at + 4..];
        }
        assert!(
            word.is_ascii() && !word.is_empty() && words.insert(word),
            "{line}"
        );
    }
    assert!(words.len() > 50);
}
