//! `docs/rfc2748-coverage.md` and `docs/rfc3084-coverage.md` tell the truth about which test shows what.

// A helper of a test fails by panicking, as the test itself does; and the ledger is a file of the repository.
#![allow(clippy::expect_used, clippy::panic, clippy::disallowed_methods)]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

const LEDGERS: &str = concat!(
    include_str!("../../docs/rfc2748-coverage.md"),
    include_str!("../../docs/rfc3084-coverage.md"),
    include_str!("../../docs/rfc4261-coverage.md")
);

/// The cells of the table rows whose first cell begins with one of these.
fn rows(prefixes: &[&str]) -> Vec<Vec<&'static str>> {
    LEDGERS
        .lines()
        .filter_map(|line| line.strip_prefix("| ")?.strip_suffix(" |"))
        .map(|line| line.split(" | ").collect::<Vec<_>>())
        .filter(|cells| prefixes.iter().any(|prefix| cells[0].starts_with(prefix)))
        .collect()
}

#[test]
fn every_rule_has_its_row() {
    let rows = rows(&["C-", "P-", "T-"]);
    let mut numbers: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for row in &rows {
        let [id, level, rule, shown_by] = row[..] else {
            panic!("expected four cells, found {row:?}")
        };
        let (section, number) = id.rsplit_once('-').expect("a section and a number");
        numbers
            .entry(section)
            .or_default()
            .push(number.parse().expect("a number"));
        let levels = ["MUST", "MUST NOT", "SHOULD", "SHOULD NOT", "MAY", "FMT"];
        assert!(levels.contains(&level), "{id}: expected a level, found {level}");
        assert!(!rule.is_empty(), "{id}: expected a rule");
        let is_shown = shown_by.starts_with('`')
            || shown_by
                .strip_prefix("not testable: ")
                .is_some_and(|reason| !reason.is_empty());
        assert!(
            is_shown,
            "{id}: expected a test or `not testable: ...`, found {shown_by}"
        );
    }
    for (section, numbers) in numbers {
        assert!(
            numbers.iter().copied().eq(1..=numbers.len()),
            "{section}: expected 1, 2, ..., found {numbers:?}"
        );
    }
    // Rules are added, never taken away.
    assert!(rows.len() >= 249 + 109 + 51, "{} rows", rows.len());
}

#[test]
fn no_row_stands_twice() {
    let mut seen = BTreeSet::new();
    for row in rows(&["C-", "P-", "T-", "A-", "RFC 3", "-"]) {
        assert!(seen.insert(row.clone()), "twice: {row:?}");
    }
}

/// Whether a cell leaves something for later, wherever in it.
fn is_open(cell: &str) -> bool {
    let words = cell.split('`').step_by(2).flat_map(|text| {
        text.split(|c: char| !c.is_alphanumeric())
            .filter(|word| !word.is_empty())
    });
    words
        .map(str::to_lowercase)
        .any(|word| matches!(word.as_str(), "open" | "todo" | "tbd"))
        || cell.contains("comes with")
}

#[test]
fn nothing_is_left_for_later() {
    let open: BTreeSet<&str> = rows(&["C-", "P-", "T-", "A-", "RFC 3", "-"])
        .iter()
        .filter(|row| is_open(row[row.len() - 1]))
        .map(|row| row[0])
        .collect();
    assert!(
        open.is_empty(),
        "expected what shows each rule, found open {open:?}"
    );
}

/// The check above can fail, at any place of a cell.
#[test]
fn what_is_left_for_later_is_noticed() {
    assert!(is_open("open: comes with the agent"));
    assert!(is_open("`a::test`; open: the rest"));
    assert!(is_open("`a::test`, part of it open"));
    assert!(!is_open("`a::an_open_request` (one REQ that is opened)"));
}

/// What RFC 2748 and its kin leave open, by number: each says which reading is taken.
#[test]
fn every_ambiguity_has_its_reading() {
    let readings = rows(&["A-"]);
    let numbers: BTreeSet<usize> = readings
        .iter()
        .filter_map(|row| row[0].strip_prefix("A-")?.get(..2)?.parse().ok())
        .collect();
    let expected: BTreeSet<usize> = (1..=50).filter(|number| *number != 47).collect();
    assert_eq!(numbers, expected);
    for row in readings {
        let [.., reading, shown_by] = row[..] else {
            panic!("expected a reading, found {row:?}")
        };
        assert!(
            !reading.is_empty() && (shown_by.starts_with('`') || shown_by.starts_with("not testable: ")),
            "{}: {shown_by}",
            row[0]
        );
    }
}

#[test]
fn every_rule_that_must_be_kept_is_shown() {
    let unshown: BTreeSet<&str> = rows(&["C-", "P-", "T-"])
        .iter()
        .filter(|row| matches!(row[1], "MUST" | "MUST NOT"))
        .filter(|row| !row[3].contains("::") && !row[3].starts_with("not testable: "))
        .map(|row| row[0])
        .collect();
    assert!(
        unshown.is_empty(),
        "expected a test or a reason for each MUST, found none for {unshown:?}"
    );
}

#[test]
fn every_test_that_is_named_is_one() {
    let tests = Tests::of_the_repository();
    let named: BTreeSet<&str> = rows(&["C-", "P-", "T-", "A-", "RFC 3", "-"])
        .iter()
        .flat_map(|row| row[row.len() - 1].split('`').skip(1).step_by(2))
        .filter(|code| code.contains("::"))
        .collect();
    assert!(named.len() > 50, "{} tests are named", named.len());
    let wrong: Vec<_> = named.into_iter().filter(|name| !tests.has(name)).collect();
    assert!(
        wrong.is_empty(),
        "expected tests of these names, found none: {wrong:#?}"
    );
}

/// The check above can fail.
#[test]
fn a_test_that_is_none_is_noticed() {
    let tests = Tests::of_the_repository();
    assert!(tests.has("coverage_ledger::a_test_that_is_none_is_noticed"));
    assert!(!tests.has("coverage_ledger::a_test_that_nobody_wrote"));
    assert!(!tests.has("coverage_ledger::rows"), "a function, and no test");
    assert!(
        !tests.has("base_protocol::header::a_test_that_is_none_is_noticed"),
        "a test, and in another file"
    );
}

/// All Rust sources of the repository.
struct Tests(Vec<(PathBuf, String)>);

impl Tests {
    fn of_the_repository() -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"))
            .parent()
            .expect("the workspace");
        let mut files = Vec::new();
        let mut folders: Vec<PathBuf> = fs::read_dir(root)
            .expect("the workspace")
            .map(|entry| entry.expect("an entry").path())
            .filter(|path| path.join("Cargo.toml").is_file())
            .flat_map(|member| [member.join("src"), member.join("tests")])
            .filter(|path| path.is_dir())
            .collect();
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(&folder).expect("a folder of sources") {
                let path = entry.expect("an entry").path();
                if path.is_dir() {
                    folders.push(path);
                } else if path.extension().is_some_and(|extension| extension == "rs") {
                    let text = fs::read_to_string(&path).expect("a source file");
                    files.push((path.strip_prefix(root).expect("within it").to_owned(), text));
                }
            }
        }
        Self(files)
    }

    /// Whether a test of this name stands in a file whose folders, name or modules are the segments before it.
    fn has(&self, name: &str) -> bool {
        let mut segments: Vec<&str> = name.split("::").collect();
        let function = segments.pop().expect("a name");
        self.0.iter().any(|(path, text)| {
            let places = path.with_extension("");
            let stands_in = |segment: &&str| {
                places.iter().any(|place| place == *segment) || text.contains(&format!("mod {segment} {{"))
            };
            segments.iter().all(stands_in) && is_test(text, function)
        })
    }
}

/// Whether the function is there, with a test attribute among those right before it.
fn is_test(text: &str, function: &str) -> bool {
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let head = format!("fn {function}(");
    lines.iter().enumerate().any(|(at, line)| {
        (line.starts_with(&head) || line.starts_with(&format!("async {head}")))
            && lines[..at]
                .iter()
                .rev()
                .take_while(|before| before.starts_with("#[") || before.starts_with("//"))
                .any(|before| *before == "#[test]" || before.starts_with("#[tokio::test"))
    })
}
