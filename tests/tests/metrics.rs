//! Metrics of a real PDP in a real interruption, and the alert rules on them, as Prometheus' own tool judges them.

#![allow(clippy::unwrap_used, clippy::disallowed_types, clippy::disallowed_methods)]

use std::collections::BTreeSet;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use pdp_server::api::CommandScope;
use pdp_server::io::admin::metrics::METRICS;
use power_policy::model::Phase;
use system_tests::cluster_run::{ClusterOptions, ClusterRun};

fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../pdp-server/examples/prometheus")
        .join(name)
}

/// What `promtool` finds fault with; nothing if all is well.
fn promtool(arguments: &[&str], input: &str) -> Result<(), String> {
    let mut child = Command::new("promtool")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    if output.status.success() {
        Ok(())
    } else {
        Err(said)
    }
}

/// The names of metrics that stand in a text.
fn names(text: &str) -> BTreeSet<&str> {
    text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
        .filter(|word| word.starts_with("pdp_"))
        .collect()
}

fn value(text: &str, series: &str) -> Option<f64> {
    text.lines()
        .find_map(|line| line.strip_prefix(series)?.trim().parse().ok())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pdp_in_an_interruption_has_metrics_that_promtool_takes() {
    let mut cluster = ClusterRun::start(&ClusterOptions::default()).await.unwrap();
    let admin = cluster.pdp.admin();
    // The agents' rows come after their connections.
    let reported = async {
        loop {
            let quiet = admin.metrics().await.unwrap();
            if quiet.contains("pdp_reserve_capacity_joules{reserve=\"ups-1\"}") {
                return quiet;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let quiet = tokio::time::timeout(Duration::from_secs(60), reported)
        .await
        .unwrap();
    promtool(&["check", "metrics"], &quiet).unwrap();
    assert_eq!(
        value(&quiet, "pdp_interruption_phase{phase=\"normal\"}"),
        Some(1.0)
    );
    assert_eq!(
        value(&quiet, "pdp_class_target_seconds{priority=\"300\"}"),
        Some(700.0)
    );
    assert_eq!(
        value(&quiet, "pdp_reserve_capacity_joules{reserve=\"ups-1\"}"),
        Some(144_000.0)
    );

    admin.interrupt("metrics", CommandScope::Cluster).await.unwrap();
    let mut text = String::new();
    cluster
        .pdp
        .until("something is shed", |status| {
            status.phase == Phase::Interrupted && status.activities.iter().any(|a| a.shed)
        })
        .await
        .unwrap();
    for series in [
        "pdp_interruption_elapsed_seconds",
        "pdp_plan_stages_released",
        "pdp_class_activities_shed{priority=\"100\"}",
        "pdp_server_draw_watts{server=\"s1\"}",
    ] {
        text = admin.metrics().await.unwrap();
        assert!(
            value(&text, series).is_some_and(|v| v > 0.0),
            "{series} in\n{text}"
        );
    }
    promtool(&["check", "metrics"], &text).unwrap();
    let listed: BTreeSet<&str> = METRICS.iter().map(|m| m.name).collect();
    let typed: BTreeSet<&str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next())
        .collect();
    let missing: Vec<_> = listed.difference(&typed).collect();
    // A line need not carry anything at this moment.
    assert!(
        missing.iter().all(|name| **name == "pdp_line_carried_watts"),
        "{missing:?}"
    );
    assert!(typed.is_subset(&listed));
}

#[test]
fn the_example_rules_are_valid_and_name_metrics_that_there_are() {
    let rules = example("alerts.yml");
    promtool(&["check", "rules", rules.to_str().unwrap()], "").unwrap();
    let listed: BTreeSet<&str> = METRICS.iter().map(|m| m.name).collect();
    let text = std::fs::read_to_string(&rules).unwrap();
    let unknown: Vec<_> = names(&text).difference(&listed).copied().collect();
    assert!(unknown.is_empty(), "no such metrics: {unknown:?}");
}

#[test]
fn the_example_scrape_configuration_is_valid() {
    // promtool wants the files that it names, which are the operator's.
    let folder = tempfile::tempdir().unwrap();
    for name in ["prometheus.yml", "alerts.yml"] {
        std::fs::copy(example(name), folder.path().join(name)).unwrap();
    }
    std::fs::write(folder.path().join("pdp-token"), "x").unwrap();
    let file = folder.path().join("prometheus.yml");
    promtool(&["check", "config", file.to_str().unwrap()], "").unwrap();
}

/// The queries of the dashboard, with Grafana's variable filled in.
fn queries() -> Vec<String> {
    fn collect(value: &serde_json::Value, found: &mut Vec<String>) {
        match value {
            serde_json::Value::Object(fields) => {
                if let Some(expr) = fields.get("expr").and_then(|e| e.as_str()) {
                    found.push(expr.replace("$job", ".*"));
                }
                fields.values().for_each(|field| collect(field, found));
            }
            serde_json::Value::Array(items) => items.iter().for_each(|item| collect(item, found)),
            _ => {}
        }
    }
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../pdp-server/examples/grafana/pdp-server.json");
    let dashboard: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
    let mut found = Vec::new();
    collect(&dashboard, &mut found);
    found
}

#[test]
fn the_queries_of_the_dashboard_are_valid_and_name_metrics_that_there_are() {
    let queries = queries();
    assert!(queries.len() > 20, "{queries:?}");
    let listed: BTreeSet<&str> = METRICS.iter().map(|m| m.name).collect();
    // Whatever has a line of its own in the documentation is on the live endpoint too: another test sees to that.
    let documented =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/metrics.md")).unwrap();
    for query in &queries {
        for name in names(query) {
            assert!(listed.contains(name), "no such metric: {name} in {query}");
            assert!(documented.contains(&format!("| `{name}` |")), "{name}");
        }
    }
    // Prometheus' own parser judges each of them, as a rule that records it.
    let mut rules = "groups:\n- name: dashboard\n  rules:\n".to_owned();
    for (at, query) in queries.iter().enumerate() {
        let quoted = serde_json::to_string(query).unwrap();
        rules.push_str(&format!("  - record: dashboard:query:{at}\n    expr: {quoted}\n"));
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("rules.yml");
    std::fs::write(&file, rules).unwrap();
    promtool(&["check", "rules", file.to_str().unwrap()], "").unwrap();
}

#[test]
fn promtool_says_what_is_wrong() {
    promtool(&["check", "metrics"], "# TYPE pdp_plans counter\npdp_plans 1\n").unwrap_err();
}
