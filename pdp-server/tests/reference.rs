//! docs/reference.md against the program: keys that the parser takes, options that the command line takes, paths that are served.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_types,
    clippy::disallowed_methods
)]

use std::collections::BTreeSet;
use std::process::Command;

use pdp_server::config::Config;

const PAGE: &str = include_str!("../../docs/reference.md");

/// Tables that a file must have, each with what it must hold.
const NEEDED: [(&str, &str); 3] = [
    ("[listen]", "address = \"127.0.0.1:0\"\n"),
    ("[journal]", "path = \"j\"\n"),
    ("[admin]", "socket = \"s\"\n"),
];

/// Words in backquotes.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

fn section<'p>(page: &'p str, mark: &str, heading: &str) -> &'p str {
    let start = format!("{mark} {heading}\n");
    let rest = page
        .split(&start)
        .nth(1)
        .unwrap_or_else(|| panic!("docs/reference.md has no '{heading}'"));
    rest.split("\n#").next().unwrap()
}

/// The first cell of each row of a table.
fn first_cells(section: &str) -> BTreeSet<&str> {
    section
        .lines()
        .filter_map(|line| quoted(line.strip_prefix("| `").map(|_| line)?).next())
        .collect()
}

/// The keys that the parser knows in a table, from what it says of one that it does not.
fn keys(table: &str) -> BTreeSet<String> {
    let mut text = String::new();
    if table.is_empty() {
        text.push_str("unheard_of = 1\n");
    }
    for (needed, rest) in NEEDED {
        text.push_str(&format!("{needed}\n{rest}"));
        if needed == table {
            text.push_str("unheard_of = 1\n");
        }
    }
    if !table.is_empty() && NEEDED.iter().all(|(needed, _)| *needed != table) {
        text.push_str(&format!("{}\nunheard_of = 1\n", table.replace("NAME", "x")));
    }
    let said = Config::from_toml("x", &text).unwrap_err().to_string();
    let (_, expected) = said
        .split_once("expected")
        .unwrap_or_else(|| panic!("{table}: {said}"));
    quoted(expected).map(str::to_owned).collect()
}

#[test]
fn every_key_that_the_parser_takes_is_on_the_page_and_no_other() {
    let page = section(PAGE, "##", "Keys of the PDP's file");
    // Up to the next heading of the same rank only: tables are headings of their own.
    assert!(page.starts_with('\n'));
    let of_keys = PAGE.split("## Keys of the PDP's file").nth(1).unwrap();
    let of_keys = of_keys.split("\n## ").next().unwrap();
    let mut tables = BTreeSet::new();
    for part in of_keys.split("\n### ").skip(1) {
        let (heading, rows) = part.split_once('\n').unwrap();
        let table = quoted(heading).next().unwrap_or("");
        let listed: BTreeSet<String> = first_cells(rows).into_iter().map(str::to_owned).collect();
        let mut known = keys(table);
        if table.is_empty() {
            // The tables themselves have headings.
            tables = known.clone();
            tables.remove("name");
            known.retain(|key| key == "name");
        }
        assert_eq!(listed, known, "{heading}");
    }
    let headings: BTreeSet<String> = of_keys
        .lines()
        .filter_map(|line| line.strip_prefix("### `["))
        .map(|rest| {
            rest.trim_matches(|c: char| !c.is_alphanumeric())
                .split('.')
                .next()
                .unwrap()
                .to_owned()
        })
        .collect();
    assert_eq!(headings, tables);
}

fn help(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_pdp-server"))
        .args(arguments)
        .output()
        .unwrap();
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn every_command_and_option_is_on_the_page_and_no_other() {
    let section = section(PAGE, "##", "Commands");
    let all = help(&["--help"]);
    let commands: BTreeSet<&str> = all
        .split("Commands:\n")
        .nth(1)
        .unwrap()
        .lines()
        .take_while(|line| !line.is_empty())
        .filter_map(|line| line.strip_prefix("  ").filter(|rest| !rest.starts_with(' ')))
        .filter_map(|line| line.split_whitespace().next())
        .filter(|name| *name != "help")
        .collect();
    assert_eq!(first_cells(section), commands);
    for name in commands {
        let said = help(&[name, "--help"]);
        let options: BTreeSet<&str> = said
            .lines()
            .map(str::trim_start)
            .filter(|line| line.starts_with('-'))
            .filter_map(|line| line.split_whitespace().find(|word| word.starts_with("--")))
            .filter(|option| *option != "--help")
            .collect();
        let row = section
            .lines()
            .find(|line| line.starts_with(&format!("| `{name}` |")))
            .unwrap();
        let listed: BTreeSet<&str> = quoted(row.split('|').nth(2).unwrap()).collect();
        assert_eq!(listed, options, "{name}");
    }
}

#[test]
fn every_path_that_is_served_is_on_the_page_and_no_other() {
    let source = include_str!("../src/io/admin/server.rs");
    let served: BTreeSet<(String, &str)> = source
        .split(".route(\"")
        .skip(1)
        .map(|rest| {
            let (path, rest) = rest.split_once("\", ").unwrap();
            let (method, _) = rest.split_once('(').unwrap();
            (method.to_uppercase(), path)
        })
        .collect();
    let listed: BTreeSet<(String, &str)> = section(PAGE, "##", "Endpoints")
        .lines()
        .filter(|line| line.starts_with("| GET") || line.starts_with("| POST"))
        .map(|line| {
            let method = line.split('|').nth(1).unwrap().trim().to_owned();
            (method, quoted(line).next().unwrap())
        })
        .collect();
    assert_eq!(listed, served);
}
