//! `make demo` as a newcomer runs it: what it promises holds, and it leaves nothing behind.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use system_tests::demo::default_config;
use system_tests::demo::summary::{ClassSummary, Summary};
use system_tests::process::{Program, program, wait_for};
use system_tests::tshark;
use tempfile::TempDir;

/// A run takes some 80 seconds on an idle machine; the clock of the simulation runs as real time does.
const RUNS_WITHIN: Duration = Duration::from_secs(300);
const STARTS_WITHIN: Duration = Duration::from_secs(60);
const ENDS_WITHIN: Duration = Duration::from_secs(60);
/// The PDP, the plant and ten agents.
const PROGRAMS: usize = 12;

/// A demo with a report folder of its own, and a process group of its own, as a shell gives it.
struct Demo {
    process: Program,
    folder: TempDir,
}

impl Demo {
    fn start(config: &Path, more: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new(program("demo").unwrap());
        command
            .args(["--plain", "--report", "report", "--config"])
            .arg(config)
            .args(more)
            .current_dir(folder.path())
            .process_group(0);
        let process = Program::start("demo", &mut command, &folder.path().join("output")).unwrap();
        Self { process, folder }
    }

    fn report(&self) -> PathBuf {
        self.folder.path().join("report")
    }

    /// What it has started, and itself: living processes of its group, by command.
    fn processes(&self) -> Vec<String> {
        processes_of_group(self.process.pid())
    }

    async fn ended(&mut self, within: Duration) -> ExitStatus {
        let log = self.folder.path().join("output");
        let process = &mut self.process;
        let ended = wait_for("the demo ends", within, async || process.ended().unwrap()).await;
        ended.unwrap_or_else(|error| panic!("{error:#}\n{}", fs::read_to_string(&log).unwrap()))
    }

    /// Signals the demo and everything that it has started, as a terminal does.
    fn signal_all(&self, signal: Signal) {
        kill_process_group(pid(self.process.pid()), signal).unwrap();
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        // A test that failed must not leave the cluster behind. Where nothing is left there is no such group.
        let _ = kill_process_group(pid(self.process.pid()), Signal::KILL);
    }
}

fn pid(number: u32) -> Pid {
    Pid::from_raw(i32::try_from(number).unwrap()).unwrap()
}

/// From /proc; processes that have ended and wait for their parent do not count.
fn processes_of_group(group: u32) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").unwrap() {
        let folder = entry.unwrap().path();
        let Ok(stat) = fs::read_to_string(folder.join("stat")) else {
            continue;
        };
        // pid (name) state parent group ...; the name may have spaces and brackets.
        let after_name = stat.rsplit_once(')').unwrap().1;
        let fields: Vec<&str> = after_name.split_whitespace().collect();
        if fields[2].parse() == Ok(group) && fields[0] != "Z" {
            let command = fs::read(folder.join("cmdline")).unwrap_or_default();
            found.push(String::from_utf8_lossy(&command).replace('\0', " "));
        }
    }
    found
}

fn summary(demo: &Demo) -> Summary {
    let text = fs::read_to_string(demo.report().join("report.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

fn assert_promises_hold(demo: &Demo, summary: &Summary) {
    assert_eq!(summary.faults, Vec::<String>::new());
    assert!(summary.plans > 10, "{} plans", summary.plans);
    assert_eq!(summary.objections, 0, "of the independent checker");
    assert!(summary.ledger_residual_millijoules <= summary.ledger_rounding_millijoules);
    let off = summary.metered_millijoules.abs_diff(summary.drawn_millijoules);
    assert!(summary.drawn_millijoules > 0);
    assert!(off * 100 <= summary.drawn_millijoules, "metered, off by {off} mJ");
    for class in &summary.classes {
        assert_eq!(class.rides.here.dirty, 0, "class {}", class.priority);
    }

    let first: &ClassSummary = summary.classes.first().unwrap();
    let priorities: Vec<u16> = summary.classes.iter().map(|c| c.priority).collect();
    assert_eq!(priorities.iter().max(), Some(&first.priority), "{priorities:?}");
    assert!(priorities.len() >= 3, "{priorities:?}");
    let (here, alone) = (first.rides.here.first_millis, first.rides.alone.first_millis);
    assert!(alone > 0 && here > alone, "{here} ms, {alone} ms alone");
    let top = &summary.top;
    assert_eq!(top.gained_millis, here - alone);
    // It is the diversion that it lives by: its own batteries would not have lasted, and what was diverted makes up for
    // at least what is missing. The samples know when a switch was thrown to 5 s.
    let missing = here.saturating_sub(top.by_own_reserves_millis);
    assert!(missing > 0, "{top:?}");
    assert!(top.by_diversion_millis + 10_000 >= missing, "{top:?}");
    // Two ways to measure it: what arrived at the servers, and what left the lines.
    assert!(top.diverted_millijoules > 0);
    let more = top.line_output_millijoules / 50;
    assert!(
        top.diverted_millijoules <= top.line_output_millijoules + more,
        "{top:?}"
    );

    let table = fs::read_to_string(demo.report().join("table.txt")).unwrap();
    for class in &summary.classes {
        let line = format!("\n  {} ", class.priority);
        assert!(table.contains(&line), "no class {} in {table}", class.priority);
    }
    assert!(demo.process.log().contains(&table), "the table is shown");
}

fn assert_plot_is_well_formed(demo: &Demo) {
    let text = fs::read_to_string(demo.report().join("run.svg")).unwrap();
    let svg = roxmltree::Document::parse(&text).unwrap();
    assert_eq!(svg.root_element().tag_name().name(), "svg");
    let has = |name: &str| {
        svg.descendants()
            .filter(|n| n.has_tag_name(("http://www.w3.org/2000/svg", name)))
            .count()
    };
    assert!(has("text") > 30, "{} words", has("text"));
    assert!(has("polyline") > 0, "no line");
}

fn assert_tshark_reads(capture: &Path) {
    let dissection = tshark::dissect(capture).unwrap();
    dissection.check().unwrap();
    // A run says at least these: REQ, DEC, RPT, OPN, CAT.
    for kind in [1, 2, 3, 6, 7] {
        assert!(dissection.kinds().contains(&kind), "no message of kind {kind}");
    }
}

/// A copy of the demo's files with other batteries.
fn with_charge(reserve: &str, charge_wh: i64) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(default_config()).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, folder.path().join(path.file_name().unwrap())).unwrap();
    }
    let file = folder.path().join("plant.toml");
    let mut plant: toml::Table = fs::read_to_string(&file).unwrap().parse().unwrap();
    let reserves = plant["reserve"].as_array_mut().unwrap();
    let found = reserves
        .iter_mut()
        .find(|r| r["name"].as_str() == Some(reserve))
        .unwrap();
    let before = found["charge_wh"].as_integer().unwrap();
    assert!(charge_wh < before, "{before} Wh before");
    found
        .as_table_mut()
        .unwrap()
        .insert("charge_wh".to_owned(), charge_wh.into());
    fs::write(&file, plant.to_string()).unwrap();
    folder
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_demo_keeps_its_promises_and_its_table_follows_the_files() {
    // Both at the same time: together they take as long as one.
    let other_files = with_charge("ups-a1", 12);
    let mut demo = Demo::start(&default_config(), &["--capture", "demo.pcap"]);
    let mut other = Demo::start(other_files.path(), &[]);
    for run in [&mut demo, &mut other] {
        let status = run.ended(RUNS_WITHIN).await;
        assert_eq!(run.processes(), Vec::<String>::new(), "left behind");
        assert!(status.success(), "{status}\n{}", run.process.log());
        assert_promises_hold(run, &summary(run));
        assert_plot_is_well_formed(run);
    }
    assert_tshark_reads(&demo.folder.path().join("demo.pcap"));

    // The top class's own battery holds half as much, and without this software it would have lasted half as long.
    let of_top = |demo: &Demo| summary(demo).classes[0].rides.alone.first_millis;
    let (before, after) = (of_top(&demo), of_top(&other));
    assert!(after < before * 3 / 4, "{after} ms instead of {before} ms");
    let table = |demo: &Demo| fs::read_to_string(demo.report().join("table.txt")).unwrap();
    assert_ne!(table(&demo), table(&other));
}

/// Waits until every program runs and something has happened.
async fn until_in_the_middle(demo: &mut Demo) {
    let log = demo.folder.path().join("output");
    let seen = wait_for("the mains has failed", STARTS_WITHIN, async || {
        assert_eq!(demo.process.ended().unwrap(), None, "{}", demo.process.log());
        demo.process.log().contains("lost its mains").then_some(())
    });
    let seen = seen.await;
    seen.unwrap_or_else(|error| panic!("{error:#}\n{}", fs::read_to_string(&log).unwrap()));
    let processes = demo.processes();
    assert!(processes.len() > PROGRAMS, "{processes:#?}");
}

async fn assert_ends_clean(mut demo: Demo) {
    let status = demo.ended(ENDS_WITHIN).await;
    assert_eq!(demo.processes(), Vec::<String>::new(), "left behind");
    assert_eq!(status.code(), Some(1), "{}", demo.process.log());
    let output = demo.process.log();
    assert!(output.contains("interrupted"), "{output}");
}

#[tokio::test]
async fn ctrl_c_in_the_middle_of_the_demo_leaves_no_process_behind() {
    let mut demo = Demo::start(&default_config(), &[]);
    until_in_the_middle(&mut demo).await;
    demo.signal_all(Signal::INT);
    assert_ends_clean(demo).await;
}

#[tokio::test]
async fn a_signal_to_the_demo_alone_ends_all_that_it_started() {
    for signal in [Signal::INT, Signal::TERM] {
        let mut demo = Demo::start(&default_config(), &[]);
        until_in_the_middle(&mut demo).await;
        demo.process.signal(signal).unwrap();
        assert_ends_clean(demo).await;
    }
}

#[tokio::test]
async fn ctrl_c_while_the_demo_starts_leaves_no_process_behind() {
    // Each time with one program more that has been started.
    for programs in [2, 3, 6] {
        let demo = Demo::start(&default_config(), &[]);
        wait_for("some programs run", STARTS_WITHIN, async || {
            (demo.processes().len() >= programs).then_some(())
        })
        .await
        .unwrap();
        demo.process.signal(Signal::INT).unwrap();
        assert_ends_clean(demo).await;
    }
}
