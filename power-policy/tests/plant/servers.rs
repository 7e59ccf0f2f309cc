//! Boot, halt, loss of power; wrong configurations.

use crate::support::*;
use power_policy::plant::{InitialPower, Plant, PlantConfig, PlantError, PlantEventKind, ServerPower};

fn kinds(plant: &mut Plant) -> Vec<(u64, &'static str)> {
    let name = |kind: &PlantEventKind| match kind {
        PlantEventKind::ServerHalting { .. } => Some("halting"),
        PlantEventKind::ServerOff { clean: true, .. } => Some("off"),
        PlantEventKind::ServerOff { clean: false, .. } => Some("cut"),
        PlantEventKind::ServerBooting { .. } => Some("booting"),
        PlantEventKind::ServerBooted { .. } => Some("booted"),
        PlantEventKind::ServerLostPower { .. } => Some("lost"),
        PlantEventKind::ActivityStopped { clean: true, .. } => Some("stopped clean"),
        PlantEventKind::ActivityStopped { clean: false, .. } => Some("stopped dirty"),
        _ => None,
    };
    events(plant)
        .iter()
        .filter_map(|event| name(&event.kind).map(|name| (event.at_millis, name)))
        .collect()
}

#[test]
fn a_halt_stops_what_runs_and_a_start_boots_and_starts_nothing() {
    let mut plant = plant(pair());
    plant.declare_activity("s1", "web", 200 * W, true).unwrap();
    plant.advance(S);
    assert_eq!(watts(&plant, "s1"), 300);
    plant.halt("s1").unwrap();
    assert_eq!(watts(&plant, "s1"), 100);
    plant.halt("s1").unwrap();
    plant.advance(21 * S);
    assert_eq!((power(&plant, "s1"), watts(&plant, "s1")), (ServerPower::Off, 0));
    plant.advance(30 * S);
    plant.start("s1").unwrap();
    // Idle and 0.3 of the span of 300 W.
    assert_eq!(watts(&plant, "s1"), 190);
    assert!(matches!(
        plant.start_activity("s1", "web"),
        Err(PlantError::WrongPower { .. })
    ));
    plant.advance(91 * S);
    assert_eq!((power(&plant, "s1"), watts(&plant, "s1")), (ServerPower::On, 100));
    let expected = [
        (S, "stopped clean"),
        (S, "halting"),
        (21 * S, "off"),
        (30 * S, "booting"),
        (90 * S, "booted"),
    ];
    assert_eq!(kinds(&mut plant), expected);
    let ledger = plant.ledger();
    assert_eq!(
        (ledger.boot_millijoules, ledger.halt_millijoules),
        (60 * 190 * J, 20 * 100 * J)
    );
    plant.start_activity("s1", "web").unwrap();
    assert_eq!(watts(&plant, "s1"), 300);
}

#[test]
fn a_server_whose_outlet_is_cut_stops_dirty() {
    let mut plant = plant(pair());
    plant.declare_activity("s1", "web", 200 * W, true).unwrap();
    plant.power_off("s1").unwrap();
    plant.power_off("s1").unwrap();
    assert_eq!(kinds(&mut plant), [(0, "stopped dirty"), (0, "cut")]);
}

#[test]
fn a_server_dies_in_its_boot_and_in_its_halt_when_the_feed_ends() {
    let mut config = pair();
    config.servers[0].supplies.clear();
    config.servers[1].supplies.clear();
    let mut plant = plant(config);
    plant.halt("s2").unwrap();
    plant.power_off("s1").unwrap();
    plant.start("s1").unwrap();
    events(&mut plant);
    plant.advance(5 * S);
    plant.fail_mains("a").unwrap();
    plant.advance(100 * S);
    assert_eq!(
        (power(&plant, "s1"), power(&plant, "s2")),
        (ServerPower::Lost, ServerPower::Lost)
    );
    assert!(matches!(plant.start("s1"), Err(PlantError::NoFeed(_))));
    plant.restore_mains("a").unwrap();
    plant.start("s1").unwrap();
    plant.advance(160 * S);
    assert_eq!(power(&plant, "s1"), ServerPower::On);
}

#[test]
fn only_a_server_with_a_starter_can_be_started() {
    let mut config = pair();
    config.servers[0].starter = None;
    let mut plant = plant(config);
    plant.power_off("s1").unwrap();
    assert_eq!(
        plant.start("s1").unwrap_err().to_string(),
        "server \"s1\" has no starter"
    );
}

#[test]
fn a_server_that_starts_with_mains_does_so_after_it_lost_power_and_not_after_a_command() {
    let mut config = pair();
    config.reserves.clear();
    config.lines.clear();
    for server in &mut config.servers {
        server.supplies.clear();
        server.starts_with_mains = true;
        server.starter = None;
    }
    let mut plant = plant(config);
    plant.power_off("s2").unwrap();
    plant.fail_mains("a").unwrap();
    plant.advance(S);
    assert_eq!(power(&plant, "s1"), ServerPower::Lost);
    plant.restore_mains("a").unwrap();
    assert_eq!(power(&plant, "s1"), ServerPower::Booting { until_millis: 61 * S });
    assert_eq!(power(&plant, "s2"), ServerPower::Off);
}

#[test]
fn a_server_can_be_off_at_the_start() {
    let mut config = pair();
    config.servers[0].initial = InitialPower::Off;
    let mut plant = plant(config);
    plant.declare_activity("s1", "web", W, true).unwrap();
    assert_eq!((power(&plant, "s1"), watts(&plant, "s1")), (ServerPower::Off, 0));
    assert!(!plant.read_server("s1").unwrap().activities[0].running);
}

#[test]
fn no_server_draws_more_than_its_peak() {
    let mut plant = plant(pair());
    plant.declare_activity("s1", "web", 900 * W, true).unwrap();
    assert_eq!(watts(&plant, "s1"), 400);
}

#[test]
fn descriptions_carry_every_figure_that_a_driver_needs() {
    let plant = plant(pair());
    let server = plant.describe_server("s1").unwrap();
    assert_eq!(server.figures, pair().servers[0]);
    assert_eq!(
        (server.boot_millijoules, server.halt_millijoules),
        (90 * 60 * J, 100 * 20 * J)
    );
    let reserve = plant.describe_reserve("u1").unwrap();
    assert_eq!(reserve.figures, pair().reserves[0]);
    assert_eq!(
        reserve.servers.iter().map(|s| s.to_string()).collect::<Vec<_>>(),
        ["s1"]
    );
    assert_eq!(plant.describe_line("bus").unwrap().figures, pair().lines[0]);
}

#[test]
fn refuses_a_wrong_configuration_with_its_place_and_what_was_expected() {
    type Spoil = fn(&mut PlantConfig);
    let cases: [(Spoil, &str); 13] = [
        (
            |c| c.servers[1].name = "s1".into(),
            "servers[1].name: \"s1\" is taken already",
        ),
        (
            |c| c.servers[0].name.clear(),
            "servers[0].name: name of 0 octets, expected 1 to 64",
        ),
        (
            |c| c.domains[0].name = "a\n".into(),
            "domains[0].name: name \"a\\n\" holds a control character",
        ),
        (
            |c| c.servers[0].idle_milliwatts = 400_001,
            "servers[0].idle: is 400001 mW, expected at most the peak of 400000 mW",
        ),
        (
            |c| c.servers[1].inlets[0].domain = "x".into(),
            "servers[1].inlets: names \"x\", but there is no domain of that name",
        ),
        (
            |c| c.servers[0].supplies.push("u9".into()),
            "servers[0].supplies: names \"u9\", but there is no reserve of that name",
        ),
        (
            |c| c.servers[0].supplies.push("u1".into()),
            "servers[0].supplies: names \"u1\" twice",
        ),
        (
            |c| c.reserves[1].charge_millijoules = 20_000_001,
            "reserves[1].charge: is 20000001 mJ, expected 0 to 20000000",
        ),
        (
            |c| c.reserves[0].peukert_permille = 1_100,
            "reserves[0].reference: is 0 mW, expected 1 to 4294967295",
        ),
        (
            |c| c.reserves[0].recharge_milliwatts = 1,
            "reserves[0].recharge_domain: is missing, expected with a recharge power",
        ),
        (
            |c| c.lines[0].efficiency_permille = 0,
            "lines[0].efficiency: is 0 permille, expected 1 to 1000",
        ),
        (
            |c| c.lines[0].reserves.push("u9".into()),
            "lines[0].reserves: names \"u9\", but there is no reserve of that name",
        ),
        (
            |c| c.psu_hold_up_millis = 10_001,
            "psu_hold_up: is 10001 ms, expected 0 to 10000",
        ),
    ];
    for (spoil, expected) in cases {
        let mut config = pair();
        spoil(&mut config);
        assert_eq!(Plant::new(config).unwrap_err().to_string(), expected);
    }
}

#[test]
fn a_configuration_survives_its_text_form_and_unknown_keys_are_refused() {
    let text = serde_json::to_string(&pair()).unwrap();
    assert_eq!(serde_json::from_str::<PlantConfig>(&text).unwrap(), pair());
    let text = text.replace("psu_hold_up_millis", "hold_up");
    assert!(
        serde_json::from_str::<PlantConfig>(&text)
            .unwrap_err()
            .to_string()
            .contains("unknown field `hold_up`")
    );
}
