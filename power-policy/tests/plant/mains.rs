//! Mains, reserves and recharging.

use crate::support::*;
use power_policy::plant::{InletConfig, PlantConfig, PlantError, PlantEventKind, ReserveState, ServerPower};

#[test]
fn mains_feeds_and_reserves_rest() {
    let mut plant = plant(pair());
    plant.advance(100 * S);
    assert_eq!((watts(&plant, "s1"), joules(&plant, "u1")), (100, 10_000));
    assert_eq!(plant.ledger().mains_millijoules, 20_000 * J);
    assert_eq!(plant.read_reserve("u1").unwrap().state, ReserveState::Idle);
}

#[test]
fn an_own_reserve_carries_its_server_until_its_cutoff_and_not_a_millisecond_less() {
    let mut config = pair();
    config.reserves[0].cutoff_millijoules = 1_000 * J;
    let mut plant = plant(config);
    plant.advance(S);
    plant.fail_mains("a").unwrap();
    // 9000 J at 100 W; then the PSU's 12 ms.
    plant.advance(91 * S);
    assert_eq!(power(&plant, "s1"), ServerPower::On);
    assert_eq!(plant.read_reserve("u1").unwrap().state, ReserveState::Depleted);
    plant.advance(1_000 * S);
    assert_eq!(
        deaths(&events(&mut plant)),
        [(91_012, "s1".to_owned()), (201_012, "s2".to_owned())]
    );
    assert_eq!((joules(&plant, "u1"), joules(&plant, "u2")), (1_000, 0));
}

#[test]
fn a_server_without_any_feed_outlives_its_hold_up_by_nothing() {
    let mut config = pair();
    config.servers[0].supplies.clear();
    let mut plant = plant(config);
    plant.advance(5 * S);
    plant.fail_mains("a").unwrap();
    plant.advance(5 * S + 11);
    assert_eq!(power(&plant, "s1"), ServerPower::On);
    plant.advance(5 * S + 12);
    assert_eq!(power(&plant, "s1"), ServerPower::Lost);
    assert_eq!(watts(&plant, "s1"), 0);
}

#[test]
fn a_dip_no_longer_than_the_hold_up_is_survived() {
    let mut config = pair();
    config.servers[0].supplies.clear();
    let mut plant = plant(config);
    plant.fail_mains("a").unwrap();
    plant.advance(11);
    plant.restore_mains("a").unwrap();
    plant.advance(S);
    assert_eq!(power(&plant, "s1"), ServerPower::On);
}

#[test]
fn a_dual_corded_server_lives_on_its_other_inlet_within_its_watts() {
    let mut config = pair();
    config.domains.push(domain("b"));
    config.servers[0].inlets.push(InletConfig {
        domain: "b".into(),
        max_milliwatts: 150 * W,
    });
    let mut plant = plant(config);
    plant.declare_activity("s1", "web", 100 * W, true).unwrap();
    plant.fail_mains("a").unwrap();
    plant.advance(10 * S);
    let reading = plant.read_server("s1").unwrap();
    assert!(reading.mains);
    assert_eq!((reading.milliwatts, reading.mains_milliwatts), (200 * W, 150 * W));
    // The own reserve carries the 50 W that the inlet cannot.
    assert_eq!(joules(&plant, "u1"), 10_000 - 500);
}

#[test]
fn a_discharge_limit_is_shared_by_all_that_a_reserve_feeds() {
    let mut config = pair();
    config.servers[1].supplies = vec!["u1".into()];
    config.reserves[0].max_discharge_milliwatts = 150 * W;
    let mut plant = plant(config);
    plant.fail_mains("a").unwrap();
    assert_eq!(plant.read_reserve("u1").unwrap().milliwatts, 150 * W);
    assert_eq!((watts(&plant, "s1"), watts(&plant, "s2")), (75, 75));
    plant.advance(S);
    // Neither got enough.
    assert_eq!(
        deaths(&events(&mut plant)),
        [(12, "s1".to_owned()), (12, "s2".to_owned())]
    );
}

#[test]
fn a_reserve_recharges_with_its_power_up_to_its_capacity_and_only_from_its_domain() {
    let mut config = pair();
    config.domains.push(domain("b"));
    config.reserves[0].charge_millijoules = 9_000 * J;
    config.reserves[0].recharge_milliwatts = 30 * W + 7;
    config.reserves[0].recharge_domain = Some("b".into());
    let mut plant = plant(config);
    plant.advance(10 * S);
    assert_eq!(joules(&plant, "u1"), 9_300);
    plant.fail_mains("b").unwrap();
    plant.advance(20 * S);
    assert_eq!(joules(&plant, "u1"), 9_300);
    plant.restore_mains("b").unwrap();
    plant.advance(1_000 * S);
    let reading = plant.read_reserve("u1").unwrap();
    assert_eq!(
        (reading.charge_millijoules, reading.state),
        (10_000 * J, ReserveState::Idle)
    );
    let full = events(&mut plant)
        .into_iter()
        .find(|e| matches!(e.kind, PlantEventKind::ReserveFull { .. }));
    // 1000 J at 30.007 W take 33,326 ms, 10 s of it lost to the failure.
    assert_eq!(full.unwrap().at_millis, 43_326);
    assert_eq!(plant.residual_microjoules(), 0);
}

#[test]
fn an_emptied_reserve_gives_again_only_after_one_percent() {
    let mut config = pair();
    config.domains.push(domain("b"));
    config.servers[0].starts_with_mains = true;
    config.reserves[0].recharge_milliwatts = 10 * W;
    config.reserves[0].recharge_domain = Some("b".into());
    config.reserves[0].max_discharge_milliwatts = 100 * W;
    let mut plant = plant(config);
    plant.fail_mains("a").unwrap();
    plant.advance(100 * S);
    assert_eq!(plant.read_reserve("u1").unwrap().state, ReserveState::Charging);
    let usable = |plant: &mut power_policy::plant::Plant| {
        let found = events(plant)
            .into_iter()
            .find(|e| matches!(e.kind, PlantEventKind::ReserveUsable { .. }));
        found.map(|event| event.at_millis)
    };
    plant.advance(109 * S);
    assert_eq!(usable(&mut plant), None);
    assert!(matches!(plant.start("s1"), Err(PlantError::NoFeed(_))));
    plant.advance(111 * S);
    assert_eq!(usable(&mut plant), Some(110 * S));
    plant.start("s1").unwrap();
}

#[test]
fn a_weak_reserve_reads_full_at_first_falls_faster_and_ends_early() {
    let mut plant = plant(pair());
    plant.weaken_reserve("u1", 400).unwrap();
    assert_eq!(joules(&plant, "u1"), 10_000);
    plant.fail_mains("a").unwrap();
    plant.advance(20 * S);
    // 2000 J are gone of the 4000 J that were there: half.
    assert_eq!(joules(&plant, "u1"), 5_000);
    plant.advance(100 * S);
    assert_eq!(deaths(&events(&mut plant)), [(40_012, "s1".to_owned())]);
    assert_eq!(plant.ledger().never_there_millijoules, 6_000 * J);
    assert_eq!(plant.residual_microjoules(), 0);
}

#[test]
fn a_failed_reserve_gives_and_takes_nothing_until_it_is_repaired() {
    let mut plant = plant(pair());
    plant.set_reserve_failed("u1", true).unwrap();
    assert_eq!(plant.read_reserve("u1").unwrap().state, ReserveState::Fault);
    plant.fail_mains("a").unwrap();
    plant.advance(S);
    assert_eq!(
        (power(&plant, "s1"), power(&plant, "s2")),
        (ServerPower::Lost, ServerPower::On)
    );
    plant.set_reserve_failed("u1", false).unwrap();
    plant.start("s1").unwrap();
}

#[test]
fn a_plant_of_nothing_passes_time() {
    let mut plant = plant(PlantConfig::default());
    plant.advance(u64::MAX);
    assert_eq!(
        (plant.now_millis(), plant.next_event_millis()),
        (power_policy::plant::limits::MAX_TIME_MILLIS, None)
    );
}

#[test]
fn names_that_do_not_exist_are_refused_by_kind_and_name() {
    let mut plant = plant(pair());
    assert_eq!(
        plant.fail_mains("x").unwrap_err().to_string(),
        "there is no domain named \"x\""
    );
    assert_eq!(
        plant.read_server("x").unwrap_err().to_string(),
        "there is no server named \"x\""
    );
    assert_eq!(
        plant.set_line("bus", "x", "s1", 1).unwrap_err().to_string(),
        "there is no reserve named \"x\""
    );
}
