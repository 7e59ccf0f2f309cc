//! What an operator does at the command line, with real programs: a drill and its report, commands that ask first, and the
//! history of all that.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_types,
    clippy::disallowed_methods
)]

use std::path::Path;
use std::process::{Command, Output, Stdio};

use pdp_server::api::{DrillOutcome, DrillReport, Happening, History};
use power_policy::model::{Cause, Phase};
use system_tests::cluster_run::{ClusterOptions, ClusterRun, all_run, is_complete};
use system_tests::process::program;

fn pdp_server(arguments: &[&str]) -> Output {
    Command::new(program("pdp-server").unwrap())
        .args(arguments)
        .stdin(Stdio::null())
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

#[tokio::test(flavor = "multi_thread")]
async fn a_drill_reports_what_would_have_happened_and_the_history_tells_of_all() {
    let mut cluster = ClusterRun::start(&ClusterOptions::default()).await.unwrap();
    let folder = cluster.folder().to_owned();
    let socket = folder.join("pdp.sock");
    let socket = text(&socket);

    // Nobody can be asked here: nothing is done.
    for command in [
        vec!["interrupt", "--scope", "cluster"],
        vec!["restore"],
        vec!["drain"],
        vec!["redirect", "--to", "127.0.0.1:9"],
        vec!["drill", "--scope", "cluster"],
    ] {
        let mut arguments = command.clone();
        arguments.extend(["--socket", socket]);
        let output = pdp_server(&arguments);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{command:?}: {said}");
        assert!(said.contains("expected --yes"), "{command:?}: {said}");
        // It has said what it would do.
        assert!(said.starts_with("This "), "{command:?}: {said}");
    }
    let after = cluster.pdp.admin().status().await.unwrap();
    assert_eq!(after.phase, Phase::Normal);
    assert!(after.peers.iter().all(|p| p.connected), "{after:#?}");

    let report: DrillReport = read(&done(&[
        "drill", "--socket", socket, "--scope", "cluster", "--yes", "--id", "autumn", "--json",
    ]));
    assert!(report.is_complete, "{report}");
    assert!(
        report
            .steps
            .iter()
            .any(|s| s.outcome == DrillOutcome::WouldDo && s.step.starts_with("stop ")),
        "{report}"
    );
    assert!(report.steps.iter().all(|s| !s.outcome.is_failure()), "{report}");
    assert_eq!(report.classes[0].priority, 300);
    let quiet = cluster
        .pdp
        .until("the drill has left nothing behind", |s| {
            s.phase == Phase::Normal && all_run(s) && is_complete(s)
        })
        .await
        .unwrap();
    assert!(quiet.activities.iter().all(|a| !a.shed), "{quiet:#?}");

    // The real thing, told beforehand.
    let output = pdp_server(&[
        "interrupt",
        "--socket",
        socket,
        "--scope",
        "cluster",
        "--yes",
        "--id",
        "real",
    ]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(said.contains("are stopped, sooner or later"), "{said}");
    let interrupted = cluster
        .pdp
        .until("something is shed", |s| s.activities.iter().any(|a| a.shed))
        .await
        .unwrap();
    let id = interrupted.outage.unwrap().id.unwrap();
    assert!(cluster.pdp.log().contains(&format!("interruption=\"{id}\"")));
    done(&["restore", "--socket", socket, "--yes"]);
    cluster
        .pdp
        .until("everything runs again", |s| {
            s.phase == Phase::Normal && all_run(s)
        })
        .await
        .unwrap();

    let history: History = read(&done(&["history", "--socket", socket, "--json"]));
    let told: Vec<(Option<Cause>, bool)> = history
        .interruptions
        .iter()
        .map(|i| (i.cause, i.ended_unix_millis.is_some()))
        .collect();
    assert_eq!(told, [(Some(Cause::Drill), true), (Some(Cause::Command), true)]);
    let real = &history.interruptions[1];
    assert_eq!(real.id, id);
    assert!(real.plans > 0);
    let commands: Vec<(&str, &str, bool)> = history
        .entries
        .iter()
        .filter_map(|entry| match &entry.what {
            Happening::Command { id, by, answer, .. } => Some((
                id.as_str(),
                by.as_str(),
                answer.as_deref().is_some_and(|a| a.starts_with("done: ")),
            )),
            _ => None,
        })
        .collect();
    assert_eq!(commands.len(), 4, "{commands:?}");
    assert_eq!((commands[0].0, commands[2].0), ("autumn", "real"));
    assert!(
        commands
            .iter()
            .all(|(_, by, done)| by.starts_with("uid ") && *done),
        "{commands:?}"
    );
    let of_real = |entry: &&pdp_server::api::HistoryEntry| entry.interruption.as_deref() == Some(&id);
    let released = history
        .entries
        .iter()
        .filter(of_real)
        .filter(|entry| matches!(entry.what, Happening::Released { .. }));
    assert!(released.count() > 0, "{history:#?}");

    // The same without the PDP, from the file; and as a table.
    cluster.pdp.terminate().unwrap();
    let config = folder.join("pdp.toml");
    let later: History = read(&done(&["history", "--config", text(&config), "--json"]));
    assert_eq!(later.entries[..history.entries.len()], history.entries[..]);
    let journal = folder.join("journal.sqlite");
    let table = done(&[
        "history",
        "--journal",
        text(&journal),
        "--only",
        "commands,interruptions",
    ]);
    assert!(
        table.contains("commanded 'interrupt cluster' (real): done: "),
        "{table}"
    );
    assert!(table.contains(&id) && !table.contains("stage "), "{table}");
    let output = pdp_server(&["history", "--journal", text(&config)]);
    assert_eq!(output.status.code(), Some(1));
}
