//! Batteries of a made-up tree.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;

use power_policy::model::{FigureSource, Mains, ReserveState};
use tempfile::TempDir;

use super::*;

const FIGURES: PowerSupplyFigures = PowerSupplyFigures {
    capacity_joules: 200_000,
    health_permille: 900,
    cutoff_joules: 20_000,
    load_milliwatts: None,
};

/// A class folder with one battery of 50 Wh (45 Wh left when full), an adapter, and a mouse.
struct Tree(TempDir);

impl Tree {
    fn new() -> Self {
        let tree = Self(tempfile::tempdir().unwrap());
        tree.device(
            "BAT0",
            &[
                ("type", "Battery"),
                ("present", "1"),
                ("status", "Discharging"),
                ("capacity", "50"),
                ("energy_now", "22500000"),
                ("energy_full", "45000000"),
                ("power_now", "15000000"),
            ],
        );
        tree.device("AC", &[("type", "Mains"), ("online", "0")]);
        tree.device(
            "hid-mouse",
            &[("type", "USB"), ("scope", "Device"), ("online", "1")],
        );
        tree
    }

    fn device(&self, name: &str, values: &[(&str, &str)]) {
        fs::create_dir_all(self.0.path().join(name)).unwrap();
        for (file, value) in values {
            self.write(&format!("{name}/{file}"), value);
        }
    }

    fn write(&self, file: &str, value: &str) {
        // The kernel ends a value with a line feed.
        fs::write(self.0.path().join(file), format!("{value}\n")).unwrap();
    }

    fn remove(&self, file: &str) {
        fs::remove_file(self.0.path().join(file)).unwrap();
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    async fn try_read(
        &self,
        adapter: Option<&str>,
        figures: PowerSupplyFigures,
    ) -> Result<ReserveReading, ReadError> {
        let class = self.path().to_owned();
        PowerSupplyReserve::new(class, "BAT0".into(), adapter.map(str::to_owned), figures)
            .read()
            .await
    }

    async fn read(&self) -> ReserveReading {
        self.try_read(None, FIGURES).await.unwrap()
    }
}

#[tokio::test]
async fn a_gauge_that_discharges_without_mains() {
    let reading = Tree::new().read().await;
    // 22.5 Wh are 81 kJ; above the cut-off 61 kJ are left, at 15 W.
    assert_eq!(reading.charge_joules, Some(81_000));
    assert_eq!(reading.capacity_joules, Some(162_000));
    assert_eq!(reading.milliwatts, Some(15_000));
    assert_eq!(reading.seconds_left, Some(4_066));
    assert_eq!(
        (reading.state, reading.source, reading.mains),
        (ReserveState::Discharging, FigureSource::Measured, Mains::Absent)
    );
}

#[tokio::test]
async fn the_lesser_of_gauge_and_percentage_counts() {
    let tree = Tree::new();
    tree.write("BAT0/capacity", "40");
    let reading = tree.read().await;
    assert_eq!(
        (reading.charge_joules, reading.source),
        (Some(64_800), FigureSource::Estimated)
    );
    assert!(reading.note.contains("less than the gauge"), "{}", reading.note);
    tree.write("BAT0/capacity", "60");
    assert_eq!(tree.read().await.charge_joules, Some(81_000));
    // A gauge that has lost its calibration says more than full.
    tree.write("BAT0/energy_now", "60000000");
    tree.write("BAT0/capacity", "100");
    assert_eq!(tree.read().await.charge_joules, Some(162_000));
}

#[tokio::test]
async fn charge_times_voltage_where_there_is_no_energy() {
    let tree = Tree::new();
    for file in ["energy_now", "energy_full", "power_now", "capacity"] {
        tree.remove(&format!("BAT0/{file}"));
    }
    tree.device(
        "BAT0",
        &[
            ("charge_now", "2000000"),
            ("charge_full", "4000000"),
            ("voltage_min_design", "10000000"),
            ("voltage_now", "12000000"),
            ("current_now", "-1500000"),
        ],
    );
    let reading = tree.read().await;
    // 2 Ah at 10 V are 72 kJ; 1.5 A at 12 V are 18 W, whatever the sign.
    assert_eq!(
        (reading.charge_joules, reading.capacity_joules, reading.milliwatts),
        (Some(72_000), Some(144_000), Some(18_000))
    );
}

#[tokio::test]
async fn only_a_percentage_counts_against_the_files_capacity_and_health() {
    let tree = Tree::new();
    for file in ["energy_now", "energy_full", "power_now"] {
        tree.remove(&format!("BAT0/{file}"));
    }
    let figures = PowerSupplyFigures {
        load_milliwatts: Some(30_000),
        ..FIGURES
    };
    let reading = tree.try_read(None, figures).await.unwrap();
    assert_eq!(
        (reading.charge_joules, reading.capacity_joules, reading.milliwatts),
        (Some(90_000), Some(180_000), Some(30_000))
    );
    assert_eq!(reading.source, FigureSource::Estimated);
}

#[tokio::test]
async fn states_and_the_direction_of_power() {
    let tree = Tree::new();
    for (status, level, health, state, milliwatts) in [
        (
            "Charging",
            "Normal",
            "Good",
            ReserveState::Charging,
            Some(-15_000),
        ),
        ("Full", "Full", "Good", ReserveState::Idle, Some(0)),
        ("Not charging", "Normal", "Good", ReserveState::Idle, Some(0)),
        (
            "Discharging",
            "Normal",
            "Good",
            ReserveState::Discharging,
            Some(15_000),
        ),
        ("Discharging", "Critical", "Good", ReserveState::Low, Some(15_000)),
        ("Discharging", "Normal", "Dead", ReserveState::Fault, Some(15_000)),
        ("Unknown", "Normal", "Good", ReserveState::Unknown, Some(15_000)),
    ] {
        tree.device(
            "BAT0",
            &[("status", status), ("capacity_level", level), ("health", health)],
        );
        let reading = tree.read().await;
        assert_eq!(
            (reading.state, reading.milliwatts),
            (state, milliwatts),
            "{status} {level} {health}"
        );
    }
    tree.device(
        "BAT0",
        &[
            ("status", "Discharging"),
            ("energy_now", "5000000"),
            ("health", "Good"),
        ],
    );
    assert_eq!(tree.read().await.state, ReserveState::Depleted);
}

#[tokio::test]
async fn mains_is_what_the_adapters_say_unless_the_battery_contradicts() {
    let tree = Tree::new();
    tree.device("USBC", &[("type", "USB"), ("online", "1")]);
    assert_eq!(tree.read().await.mains, Mains::Present, "one of two is on line");
    let by_name = tree.try_read(Some("AC"), FIGURES).await.unwrap();
    assert_eq!(by_name.mains, Mains::Absent, "only the named one counts");
    tree.write("USBC/online", "0");
    assert_eq!(tree.read().await.mains, Mains::Absent);
    tree.write("BAT0/status", "Charging");
    assert_eq!(
        tree.read().await.mains,
        Mains::Unknown,
        "nothing charges without mains"
    );
    tree.remove("AC/online");
    tree.remove("USBC/online");
    tree.write("BAT0/status", "Discharging");
    assert_eq!(
        tree.read().await.mains,
        Mains::Unknown,
        "the mouse's cable says nothing"
    );
}

#[tokio::test]
async fn nonsense_is_no_figure_and_what_is_gone_is_no_reading() {
    let tree = Tree::new();
    for file in ["energy_now", "capacity"] {
        tree.write(&format!("BAT0/{file}"), "n/a");
    }
    let reading = tree.read().await;
    assert_eq!(
        (reading.charge_joules, reading.state),
        (None, ReserveState::Unknown)
    );
    for (file, value, told) in [
        ("present", "0", "BAT0: the battery is not present"),
        (
            "type",
            "Mains",
            "BAT0: is of type \"Mains\", expected Battery or UPS",
        ),
    ] {
        let tree = Tree::new();
        tree.write(&format!("BAT0/{file}"), value);
        assert_eq!(tree.try_read(None, FIGURES).await.unwrap_err().0, told);
    }
    fs::remove_dir_all(tree.path().join("BAT0")).unwrap();
    let error = tree.try_read(None, FIGURES).await.unwrap_err().0;
    assert!(error.starts_with("BAT0: cannot read"), "{error}");
}
