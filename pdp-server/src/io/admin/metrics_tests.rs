use super::*;

const DOCUMENT: &str = include_str!("../../../../docs/metrics.md");

/// The rows of the document's table, as the code would write them.
#[test]
fn the_document_lists_every_metric_and_no_other() {
    let expected: Vec<String> = METRICS
        .iter()
        .map(|m| {
            let labels: Vec<String> = m.labels.iter().map(|l| format!("`{l}`")).collect();
            let kind = if m.is_counter { "counter" } else { "gauge" };
            format!("| `{}` | {kind} | {} | {} |", m.name, labels.join(", "), m.help)
        })
        .collect();
    let found: Vec<&str> = DOCUMENT
        .lines()
        .filter(|line| line.starts_with("| `pdp_"))
        .collect();
    assert_eq!(found, expected, "write the table anew:\n{}", expected.join("\n"));
}

#[test]
fn no_metric_is_there_twice() {
    let names: std::collections::BTreeSet<&str> = METRICS.iter().map(|m| m.name).collect();
    assert_eq!(names.len(), METRICS.len());
}
