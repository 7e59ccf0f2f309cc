//! The load generator and the bench in their short form: that they work. No figure of time is judged here.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::process::{Command, Output};

use serde_json::Value;
use system_tests::cluster_run::{ClusterOptions, PdpRun};
use system_tests::process::program;

fn load(arguments: &[&str]) -> Output {
    let output = Command::new(program("load").unwrap())
        .args(arguments)
        .output()
        .unwrap();
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "load {arguments:?}: {words}");
    output
}

fn number(value: &Value, path: &str) -> f64 {
    let found = value.pointer(path).and_then(Value::as_f64);
    found.unwrap_or_else(|| panic!("a number at {path} of {value:#}"))
}

#[test]
fn the_short_bench_measures_everything_that_the_long_one_does() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("codec.json"), r#"[{"case":"look REQ"}]"#).unwrap();
    load(&["bench", "--short", "--report", folder.path().to_str().unwrap()]);
    let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap();
    let report: Value = serde_json::from_str(&read("pdp.json")).unwrap();
    for size in 0..2 {
        for side in ["floor", "pdp"] {
            let of = |what: &str| number(&report, &format!("/sizes/{size}/{side}/{what}"));
            let peps = number(&report, &format!("/sizes/{size}/peps"));
            assert_eq!(of("opening/count"), peps, "each PEP was opened, once");
            for what in [
                "storm_millis",
                "storm_processor_micros",
                "asking/count",
                "flat_out_a_second",
                "flat_out_processor_micros",
                "written_millis/0",
                "written_processor_micros/0",
                "read_millis/0",
                "reported_millis/0",
            ] {
                assert!(of(what) > 0.0, "{side}: {what}");
            }
            let faults = report.pointer(&format!("/sizes/{size}/{side}/faults")).unwrap();
            assert_eq!(faults, &Value::Array(vec![]), "{side}");
        }
    }
    assert!(number(&report, "/cluster/0/asking/count") > 0.0);
    assert!(number(&report, "/cluster/0/interrupt_millis") > 0.0);
    assert!(
        number(&report, "/cluster/0/read_millis") > 0.0,
        "each PEP was told of the plan"
    );
    assert_eq!(report.pointer("/codec/0/case"), Some(&Value::from("look REQ")));
    let text = read("pdp.txt");
    for line in [
        "last DEC written",
        "resident octets",
        "Growth from 8 to 24 PEPs",
        "interrupt, answered",
    ] {
        assert!(text.contains(line), "{line} in {text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_and_dead_peps_of_a_load_keep_nobody_from_being_served() {
    let folder = tempfile::tempdir().unwrap();
    let pdp = PdpRun::start(
        folder.path(),
        &ClusterOptions {
            clock_scale: 1,
            keep_alive_seconds: 60,
            ..ClusterOptions::default()
        },
    )
    .await
    .unwrap();
    let figures = figures_of(&pdp);
    assert_eq!(number(&figures, "/open"), 30.0, "{figures:#}");
    assert_eq!(number(&figures, "/ended"), 0.0, "{figures:#}");
    assert_eq!(number(&figures, "/opening/count"), 30.0, "{figures:#}");
    // All but the dead ones have asked again since.
    assert!(number(&figures, "/asking/count") > 30.0 + 28.0, "{figures:#}");
    assert_eq!(
        figures.pointer("/faults"),
        Some(&serde_json::json!({})),
        "{figures:#}"
    );
}

fn figures_of(pdp: &PdpRun) -> Value {
    let address = pdp.address().to_string();
    let output = load(&[
        "peps",
        "--pdp",
        &address,
        "--peps",
        "30",
        "--processes",
        "2",
        "--slow",
        "4",
        "--dead",
        "2",
        "--pace-millis",
        "100",
        "--accounting-seconds",
        "1",
        "--duration",
        "3",
        "--json",
    ]);
    serde_json::from_slice(&output.stdout).unwrap()
}
