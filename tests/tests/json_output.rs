//! docs/json.md against what the commands really print.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_types,
    clippy::disallowed_methods
)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::{Command, Stdio};

use pdp_server::api::{CommandScope, Explained, History, Outlook, PlanInForce, PlanningInput, Status};
use power_policy::model::Phase;
use system_tests::cluster_run::{ClusterOptions, ClusterRun};
use system_tests::process::program;

fn page() -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/json.md")).unwrap()
}

/// Words in backquotes.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// Fields by type, from the second table of the page.
fn documented() -> BTreeMap<String, BTreeSet<String>> {
    let page = page();
    let table = page.split("## Fields at the top").nth(1).unwrap();
    let table = table.split("\n## ").next().unwrap();
    let mut fields = BTreeMap::new();
    for row in table.lines().filter(|line| line.starts_with("| `")) {
        let mut cells = row.trim_matches('|').split('|');
        let name = quoted(cells.next().unwrap()).next().unwrap().to_owned();
        let of_row = quoted(cells.next().unwrap()).map(str::to_owned).collect();
        fields.insert(name, of_row);
    }
    fields
}

fn printed(socket: &str, arguments: &[&str]) -> serde_json::Value {
    let output = Command::new(program("pdp-server").unwrap())
        .args(arguments)
        .args(["--socket", socket])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{arguments:?}: {said}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// What is printed is of the type, and has the fields that the page says.
fn check<T: serde::de::DeserializeOwned>(name: &str, value: &serde_json::Value) {
    let fields: BTreeSet<String> = value.as_object().unwrap().keys().cloned().collect();
    let listed = documented();
    assert_eq!(Some(&fields), listed.get(name), "docs/json.md: {name}");
    if let Err(error) = serde_json::from_value::<T>(value.clone()) {
        panic!("{name}: {error} in {value}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_printed_is_what_the_page_says() {
    let mut cluster = ClusterRun::start(&ClusterOptions::default()).await.unwrap();
    let socket = cluster.folder().join("pdp.sock");
    let socket = socket.to_str().unwrap();
    check::<Status>("Status", &printed(socket, &["status", "--json"]));
    check::<Outlook>(
        "Outlook",
        &printed(socket, &["plan", "--what-if", "cluster", "--json"]),
    );
    check::<PlanningInput>("PlanningInput", &printed(socket, &["snapshot"]));
    let drill = printed(socket, &["drill", "--scope", "cluster", "--yes", "--json"]);
    check::<pdp_server::api::DrillReport>("DrillReport", &drill);
    cluster
        .pdp
        .until("the drill is over", |s| s.phase == Phase::Normal)
        .await
        .unwrap();
    cluster
        .pdp
        .admin()
        .interrupt("json", CommandScope::Cluster)
        .await
        .unwrap();
    cluster
        .pdp
        .until("a plan is in force", |s| {
            s.phase == Phase::Interrupted && s.plan.as_ref().is_some_and(|p| p.stages > 0)
        })
        .await
        .unwrap();
    check::<Status>("Status", &printed(socket, &["status", "--json"]));
    check::<PlanInForce>("PlanInForce", &printed(socket, &["plan", "--json"]));
    check::<Explained>("Explained", &printed(socket, &["explain", "--json"]));
    check::<History>("History", &printed(socket, &["history", "--json"]));
}

#[test]
fn each_command_that_takes_json_is_on_the_page() {
    let help = |arguments: &[&str]| -> String {
        let output = Command::new(program("pdp-server").unwrap())
            .args(arguments)
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let page = page();
    let commands = help(&["--help"]);
    let commands: Vec<&str> = commands
        .split("Commands:\n")
        .nth(1)
        .unwrap()
        .lines()
        .take_while(|line| !line.is_empty())
        .filter_map(|line| line.strip_prefix("  ").filter(|rest| !rest.starts_with(' ')))
        .filter_map(|line| line.split_whitespace().next())
        .filter(|name| *name != "help")
        .collect();
    assert!(commands.len() > 10, "{commands:?}");
    for name in commands {
        let says_json = help(&[name, "--help"]).contains("--json");
        let is_listed = page.contains(&format!("`pdp-server {name}"));
        assert_eq!(says_json || name == "snapshot", is_listed, "{name}");
    }
}
