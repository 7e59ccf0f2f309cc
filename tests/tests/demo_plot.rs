//! The demo's plot shows every reserve, line and activity of a run.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use power_policy::plant::{
    DomainConfig, InletConfig, LineConfig, Plant, PlantConfig, ReserveConfig, ServerConfig,
};
use system_tests::demo::plot;

fn two_servers() -> PlantConfig {
    let server = |name: &str, reserve: &str| ServerConfig {
        inlets: vec![InletConfig {
            domain: "feed".into(),
            max_milliwatts: 1_000_000,
        }],
        supplies: vec![reserve.into()],
        ..serde_json::from_value(serde_json::json!({
            "name": name, "idle_milliwatts": 100_000, "peak_milliwatts": 400_000
        }))
        .unwrap()
    };
    let reserve = |name: &str| -> ReserveConfig {
        serde_json::from_value(serde_json::json!({
            "name": name, "capacity_millijoules": 90_000_000, "charge_millijoules": 80_000_000,
            "max_discharge_milliwatts": 600_000
        }))
        .unwrap()
    };
    let line: LineConfig = serde_json::from_value(serde_json::json!({
        "name": "tie", "reserves": ["ups1", "ups2"], "servers": ["one", "two"], "max_milliwatts": 500_000
    }))
    .unwrap();
    PlantConfig {
        history_interval_millis: 1_000,
        domains: vec![DomainConfig {
            name: "feed".into(),
            present: true,
        }],
        servers: vec![server("one", "ups1"), server("two", "ups2")],
        reserves: vec![reserve("ups1"), reserve("ups2")],
        lines: vec![line],
        ..PlantConfig::default()
    }
}

#[test]
fn the_plot_names_all_that_the_history_has() {
    let mut plant = Plant::new(two_servers()).unwrap();
    plant.declare_activity("one", "ledger", 150_000, true).unwrap();
    plant.declare_activity("two", "batch", 200_000, true).unwrap();
    plant.advance(60_000);
    plant.fail_mains("feed").unwrap();
    plant.set_line("tie", "ups2", "one", 250_000).unwrap();
    plant.advance(90_000);
    plant.stop_activity("two", "batch").unwrap();
    plant.advance(400_000);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("run.svg");
    let classes = BTreeMap::from([("ledger".to_owned(), 30), ("batch".to_owned(), 10)]);
    plot::draw(&plant.history(), &classes, &file).unwrap();
    let svg = std::fs::read_to_string(&file).unwrap();
    for name in ["ups1", "ups2", "tie", "ledger (30)", "batch (10)"] {
        assert!(svg.contains(name), "{name} is missing");
    }
    assert!(
        height_of(&svg, "ledger (30)") < height_of(&svg, "batch (10)"),
        "the highest class stands on top"
    );
}

/// The y attribute of the text element that shows `text`.
fn height_of(svg: &str, text: &str) -> f64 {
    let element = &svg[..svg.find(text).unwrap()];
    let element = &element[element.rfind("<text").unwrap()..];
    let value = &element[element.find(" y=\"").unwrap() + 4..];
    value[..value.find('"').unwrap()].parse().unwrap()
}

#[test]
fn an_empty_history_is_a_picture_too() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("empty.svg");
    let plant = Plant::new(PlantConfig::default()).unwrap();
    plot::draw(&plant.history(), &BTreeMap::new(), &file).unwrap();
    assert!(std::fs::read_to_string(&file).unwrap().ends_with("</svg>\n"));
}
