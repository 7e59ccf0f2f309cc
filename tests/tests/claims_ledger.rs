//! `docs/claims.md` is complete, and names only what is there.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// "`file`: `function`" pairs of a cell.
fn named(cell: &str) -> Vec<(String, String)> {
    let mut quoted = cell.split('`').skip(1).step_by(2).map(str::to_owned);
    std::iter::from_fn(|| Some((quoted.next()?, quoted.next()?))).collect()
}

/// Whether the file defines the function; with `is_test`, as a test that is not switched off.
fn defines(file: &str, function: &str, is_test: bool) -> bool {
    let path = root().join(file);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let lines: Vec<&str> = text.lines().map(str::trim_start).collect();
    let is_it = |line: &str| {
        line.split_once("fn ").is_some_and(|(_, rest)| {
            rest.strip_prefix(function)
                .is_some_and(|rest| rest.starts_with(['(', '<']))
        })
    };
    let at = lines.iter().position(|line| is_it(line));
    at.is_some_and(|at| {
        let attributes = lines[..at].iter().rev().take_while(|line| line.starts_with("#["));
        let attributes: Vec<&str> = attributes.copied().collect();
        let marked = attributes.iter().any(|line| line.contains("test"));
        !is_test || (marked && !attributes.iter().any(|line| line.contains("ignore")))
    })
}

#[test]
fn each_claim_has_a_row_with_its_code_and_a_test_named_after_it() {
    let text = std::fs::read_to_string(root().join("docs/claims.md")).unwrap();
    let rows: Vec<Vec<&str>> = text
        .lines()
        .filter(|line| line.starts_with("| C"))
        .map(|line| line.trim_matches('|').split('|').map(str::trim).collect())
        .collect();
    let claims: Vec<&str> = rows.iter().map(|row| row[0]).collect();
    let expected: Vec<String> = (1..=27).map(|n| format!("C{n}")).collect();
    assert_eq!(claims, expected);
    for (row, number) in rows.iter().zip(1..) {
        assert_eq!(row.len(), 4, "{row:?}");
        let code = named(row[2]);
        assert!(!code.is_empty(), "{row:?}");
        for (file, function) in code {
            assert!(
                defines(&file, &function, false),
                "{}: no fn {function} in {file}",
                row[0]
            );
        }
        let tests = named(row[3]);
        assert!(!tests.is_empty(), "{row:?}");
        for (file, function) in tests {
            assert!(
                function.starts_with(&format!("c{number:02}_")),
                "{}: {function}",
                row[0]
            );
            assert!(
                defines(&file, &function, true),
                "{}: no test {function} in {file}",
                row[0]
            );
        }
    }
}

#[test]
fn what_is_not_there_is_noticed() {
    assert!(!defines("tests/tests/claims/grouping.rs", "c01_", true));
    assert!(
        !defines("tests/tests/claims/cluster.rs", "quiet", true),
        "no test"
    );
    assert!(defines("tests/tests/claims/cluster.rs", "quiet", false));
}
