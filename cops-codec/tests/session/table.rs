//! Transition tables as text: every input in every state, with what is sent, what is told, and the state after it.

use std::fmt::Write as _;

/// One end of a connection, in some state.
pub(crate) trait Machine {
    /// What it is: a word for each thing that decides how it reacts.
    fn state(&self) -> String;

    /// What it sent and told since it was last asked.
    fn output(&mut self) -> (Vec<String>, Vec<String>);
}

/// A way into a state, or an input.
pub(crate) struct Step<M> {
    pub(crate) name: &'static str,
    pub(crate) run: fn(&mut M),
}

/// Compares what `inputs` do in each of `states` with `expected`, a table that was read and agreed to.
///
/// To change a table, read each line of the difference against RFC 2748 first.
pub(crate) fn assert_table<M: Machine>(
    new: fn() -> M,
    states: &[Step<M>],
    inputs: &[Step<M>],
    expected: &str,
) {
    let mut found = String::new();
    for input in inputs {
        writeln!(found, "# {}", input.name).unwrap();
        for state in states {
            let mut machine = new();
            (state.run)(&mut machine);
            machine.output();
            let before = machine.state();
            assert_eq!(before, state.name, "the way into this state");
            (input.run)(&mut machine);
            let (sent, told) = machine.output();
            let or_nothing = |list: Vec<String>| {
                if list.is_empty() {
                    "-".to_owned()
                } else {
                    list.join(", ")
                }
            };
            let (sent, told) = (or_nothing(sent), or_nothing(told));
            writeln!(found, "{before} | {sent} | {told} | {}", machine.state()).unwrap();
        }
        found.push('\n');
    }
    let differences: Vec<String> = similar(expected, &found);
    assert!(
        differences.is_empty(),
        "the table and the session differ:\n{}\n\nthe whole table as found:\n{found}",
        differences.join("\n")
    );
}

/// Line by line, since no line may be missing in either.
fn similar(expected: &str, found: &str) -> Vec<String> {
    let mut differences = Vec::new();
    let (mut expected, mut found) = (expected.lines(), found.lines());
    let mut section = "";
    loop {
        match (expected.next(), found.next()) {
            (None, None) => return differences,
            (expected, found) => {
                section = found.filter(|line| line.starts_with('#')).unwrap_or(section);
                if expected != found {
                    let (expected, found) = (expected.unwrap_or("(none)"), found.unwrap_or("(none)"));
                    differences.push(format!("{section}\n  table:   {expected}\n  session: {found}"));
                }
            }
        }
    }
}
