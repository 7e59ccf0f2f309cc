//! `pdp-server plan --what-if`, `snapshot` and `explain` as programs: against a running PDP, and against files alone.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_types,
    clippy::disallowed_methods
)]

use std::path::Path;
use std::process::{Command, Output};

use pdp_server::api::{CommandScope, Explained, Outlook, PlanningInput};
use pdp_server::what_if::Survives;
use power_policy::model::{Cause, Phase};
use system_tests::cluster_run::{ClusterOptions, ClusterRun};
use system_tests::process::program;

fn pdp_server(arguments: &[&str]) -> Output {
    Command::new(program("pdp-server").unwrap())
        .args(arguments)
        .output()
        .unwrap()
}

fn done(arguments: &[&str]) -> String {
    let output = pdp_server(arguments);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{arguments:?}: {said}");
    String::from_utf8(output.stdout).unwrap()
}

fn read<T: serde::de::DeserializeOwned>(text: &str) -> T {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error} in {text}"))
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// The least that is said of each class: priority and expected time.
fn ends(outlook: &Outlook) -> Vec<(u16, Option<u64>)> {
    let classes = outlook.classes.iter();
    classes.map(|c| (c.priority, c.ride_through_millis)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_cluster_is_asked_what_would_be_and_does_nothing() {
    let mut cluster = ClusterRun::start(&ClusterOptions::default()).await.unwrap();
    let folder = cluster.folder().to_owned();
    let socket = folder.join("pdp.sock");

    let svg = folder.join("plan.svg");
    let answer = done(&[
        "plan",
        "--socket",
        text(&socket),
        "--what-if",
        "domain=feed",
        "--for",
        "8m",
        "--json",
        "--svg",
        text(&svg),
    ]);
    let outlook: Outlook = read(&answer);
    assert_eq!(outlook.supposed, ["mains is lost in feed for 8 min 00 s"]);
    assert_eq!(outlook.objections, Vec::<String>::new());
    assert_eq!(outlook.lasts_millis, Some(480_000));
    let of = |priority: u16| outlook.classes.iter().find(|c| c.priority == priority).unwrap();
    assert_eq!(of(300).sets, ["ledger"]);
    assert_eq!(of(300).survives, Some(Survives::Yes));
    assert_eq!(of(100).survives, Some(Survives::No));
    for class in &outlook.classes {
        assert!(class.low_millis <= class.ride_through_millis, "{class:?}");
        assert!(
            class.high_millis.is_none() || class.ride_through_millis <= class.high_millis,
            "{class:?}"
        );
    }
    assert!(!outlook.bottlenecks.is_empty(), "{}", outlook.text);
    let picture = std::fs::read_to_string(&svg).unwrap();
    let picture = roxmltree::Document::parse(&picture).unwrap();
    let words: String = picture.descendants().filter_map(|node| node.text()).collect();
    assert!(
        words.contains("ups-1") && words.contains("300 (ledger)"),
        "{words}"
    );

    // The same from a file, without any PDP; and with one battery that is not there.
    let file = folder.join("cluster.json");
    let recorded = done(&["snapshot", "--socket", text(&socket)]);
    read::<PlanningInput>(&recorded);
    std::fs::write(&file, &recorded).unwrap();
    let from_file = |more: &[&str]| -> Outlook {
        let mut arguments = vec!["plan", "--cluster", text(&file), "--what-if", "cluster", "--json"];
        arguments.extend(more);
        read(&done(&arguments))
    };
    let whole = from_file(&[]);
    let config = folder.join("pdp.toml");
    let ruled = from_file(&["--config", text(&config)]);
    assert_eq!(ends(&whole).len(), ends(&ruled).len());
    let without = from_file(&["--missing", "ups-1"]);
    let gold = |outlook: &Outlook| outlook.classes[0].ride_through_millis.unwrap();
    assert!(gold(&without) < gold(&whole));
    assert_eq!(without.supposed[1], "ups-1 is missing");

    let after = cluster.pdp.admin().status().await.unwrap();
    assert_eq!(after.phase, Phase::Normal);
    assert!(
        after.plan.is_none_or(|p| p.cause == Cause::Standing),
        "asking is not planning"
    );

    // In an interruption `explain` tells what each class may expect from here on.
    let quiet: Explained = read(&done(&["explain", "--socket", text(&socket), "--json"]));
    assert_eq!(quiet.outlook, None);
    cluster
        .pdp
        .admin()
        .interrupt("what-if", CommandScope::Cluster)
        .await
        .unwrap();
    cluster
        .pdp
        .until("a plan is in force", |s| {
            s.phase == Phase::Interrupted && s.plan.as_ref().is_some_and(|p| p.stages > 0)
        })
        .await
        .unwrap();
    let svg = folder.join("force.svg");
    let explained: Explained = read(&done(&[
        "explain",
        "--socket",
        text(&socket),
        "--json",
        "--svg",
        text(&svg),
    ]));
    let outlook = explained.outlook.expect("there is an interruption");
    assert!(outlook.classes[0].ride_through_millis.is_some());
    assert!(outlook.supposed.is_empty());
    assert!(svg.exists());
    let words = done(&["explain", "--socket", text(&socket)]);
    assert!(
        words.starts_with("generation ") && words.contains("how long each class"),
        "{words}"
    );
    let words = done(&["plan", "--socket", text(&socket)]);
    assert!(
        words.contains("plan for the whole cluster, cause Command"),
        "{words}"
    );
}

#[test]
fn a_described_cluster_is_planned_without_anything_running() {
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../pdp-server/examples/cluster.toml");
    let words = done(&[
        "plan",
        "--cluster",
        text(&example),
        "--what-if",
        "cluster",
        "--aged",
        "ups-*=80",
        "--for",
        "20m",
    ]);
    assert!(
        words.contains("supposed: ups-2 has 80 % of its capacity left: 80.0 Wh"),
        "{words}"
    );
    assert!(words.contains("more through line n3-n1"), "{words}");
}

#[test]
fn what_cannot_be_supposed_ends_with_status_2_and_says_what_was_expected() {
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../pdp-server/examples/cluster.toml");
    let example = text(&example);
    let folder = tempfile::tempdir().unwrap();
    let broken = folder.path().join("broken.json");
    std::fs::write(&broken, "{\"snapshot\": 3}").unwrap();
    for (arguments, expected) in [
        (
            vec!["plan", "--cluster", example, "--what-if", "domain=x"],
            "domain 'x': expected one of feed-a",
        ),
        (
            vec!["plan", "--cluster", example, "--what-if", "everything"],
            "expected cluster, domain=NAME or server=NAME",
        ),
        (
            vec![
                "plan",
                "--cluster",
                example,
                "--what-if",
                "cluster",
                "--aged",
                "ups-1=120",
            ],
            "expected 0 to 100 percent, found '120'",
        ),
        (
            vec!["plan", "--cluster", text(&broken), "--what-if", "cluster"],
            "expected what `pdp-server snapshot` writes",
        ),
        (vec!["plan", "--cluster", example], "--what-if"),
    ] {
        let output = pdp_server(&arguments);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {said}");
        assert!(said.contains(expected), "{arguments:?}: {said}");
    }
}
