//! Divert lines: sharing, limits, changes.

use crate::support::*;
use power_policy::plant::{
    Changeover, LineMode, LineState, PlantConfig, PlantError, PlantEventKind, ServerPower,
};

#[test]
fn settings_feed_before_own_supplies_and_in_proportion_to_their_caps() {
    let mut config = pair();
    config.servers.push(server("s3", "a", &["u3"]));
    config.reserves.push(reserve("u3", 10_000, 500));
    config.lines[0].servers.push("s3".into());
    let mut plant = plant(config);
    plant.declare_activity("s3", "db", 200 * W, true).unwrap();
    plant.set_line("bus", "u1", "s3", 100 * W).unwrap();
    plant.set_line("bus", "u2", "s3", 300 * W).unwrap();
    plant.advance(4);
    assert_eq!(flow(&plant, "bus", "u2", "s3"), 0, "mains comes first");
    plant.fail_mains("a").unwrap();
    assert_eq!(
        (flow(&plant, "bus", "u1", "s3"), flow(&plant, "bus", "u2", "s3")),
        (75, 225)
    );
    assert_eq!(plant.read_reserve("u3").unwrap().milliwatts, 0);
    // More than the caps: the own supply carries what is left.
    plant.set_load("s3", "db", 300 * W).unwrap();
    plant.set_line("bus", "u2", "s3", 150 * W).unwrap();
    assert_eq!(
        (flow(&plant, "bus", "u1", "s3"), flow(&plant, "bus", "u2", "s3")),
        (100, 150)
    );
    assert_eq!(plant.read_reserve("u3").unwrap().milliwatts, 150 * W);
    assert_eq!(watts(&plant, "s3"), 400);
}

#[test]
fn a_reserve_that_runs_dry_leaves_its_part_to_the_others() {
    let mut config = pair();
    config.servers[0].supplies.clear();
    let mut plant = plant(config);
    plant.set_line("bus", "u1", "s1", 100 * W).unwrap();
    plant.set_line("bus", "u2", "s1", 100 * W).unwrap();
    plant.advance(4);
    plant.fail_mains("a").unwrap();
    plant.advance(4 + 200 * S);
    // u2 carries s2 and half of s1: 150 W of 20,000 J, so it is the first to end, at 133.3 s.
    let deaths = deaths(&events(&mut plant));
    assert_eq!(deaths[0].1, "s2");
    assert_eq!(plant.residual_microjoules(), 0);
    assert_eq!(joules(&plant, "u2"), 0);
    assert_eq!(deaths[1].1, "s1");
    // 6,667 J were drawn from u1 by then, and 100 W empty the rest in 33.3 s; mains went at 4 ms; hold-up 12 ms.
    assert_eq!((deaths[0].0, deaths[1].0), (4 + 133_333 + 12, 4 + 166_666 + 12));
}

#[test]
fn the_watts_of_a_line_are_shared_and_never_exceeded() {
    let mut config = pair();
    config.servers[0].supplies.clear();
    config.servers[1].supplies.clear();
    config.lines[0].max_milliwatts = 250 * W;
    config.psu_hold_up_millis = 1_000;
    let mut plant = plant(config);
    plant.declare_activity("s1", "db", 300 * W, true).unwrap();
    plant.set_line("bus", "u1", "s1", 250 * W).unwrap();
    plant.set_line("bus", "u2", "s2", 250 * W).unwrap();
    plant.advance(4);
    plant.fail_mains("a").unwrap();
    // s1 asks for its cap of 250 W, s2 for 100 W; 250 W can pass: each gets 5/7, and all of it is used.
    let reading = plant.read_line("bus").unwrap();
    assert_eq!(reading.milliwatts, 250 * W);
    assert_eq!(
        (flow(&plant, "bus", "u1", "s1"), flow(&plant, "bus", "u2", "s2")),
        (178, 71)
    );
    assert!(reading.settings.iter().all(|s| s.flow_milliwatts <= s.milliwatts));
}

#[test]
fn line_losses_are_drawn_from_the_reserve_and_limit_what_it_can_give() {
    let mut config = pair();
    config.servers[1].supplies.clear();
    config.lines[0].efficiency_permille = 950;
    config.reserves[0].max_discharge_milliwatts = 200 * W;
    let mut plant = plant(config);
    plant.power_off("s1").unwrap();
    plant.set_line("bus", "u1", "s2", 300 * W).unwrap();
    plant.declare_activity("s2", "db", 90 * W, true).unwrap();
    plant.advance(4);
    plant.fail_mains("a").unwrap();
    plant.advance(4 + S);
    // 200 W at the input, which is all that the reserve can give, are 190 W at the output.
    let setting = &plant.read_line("bus").unwrap().settings[0];
    assert_eq!(
        (setting.flow_milliwatts, setting.delivered_milliwatts),
        (200 * W, 190 * W)
    );
    assert_eq!(
        (watts(&plant, "s2"), plant.read_reserve("u1").unwrap().milliwatts),
        (190, 200 * W)
    );
    assert_eq!(plant.ledger().line_loss_millijoules, 10 * J);
    plant.set_load("s2", "db", 91 * W).unwrap();
    plant.advance(2 * S);
    assert_eq!(power(&plant, "s2"), ServerPower::Lost);
}

#[test]
fn caps_and_the_watts_of_a_line_are_measured_at_its_input() {
    for (cap, line_watts) in [(100, 600), (300, 100)] {
        let mut config = pair();
        config.lines[0].efficiency_permille = 900;
        config.lines[0].max_milliwatts = line_watts * W;
        let mut plant = plant(config);
        plant
            .set_line("bus", "u1", "s2", cap.min(line_watts) * W)
            .unwrap();
        plant.advance(4);
        plant.fail_mains("a").unwrap();
        let line = plant.read_line("bus").unwrap();
        assert_eq!(
            (line.milliwatts, line.settings[0].delivered_milliwatts),
            (100 * W, 90 * W)
        );
        assert_eq!(
            plant.read_reserve("u2").unwrap().milliwatts,
            10 * W,
            "the own supply carries what is left"
        );
    }
}

/// A server without own supply on one line with two reserves.
fn fed_by_line(changeover: Changeover, mode: LineMode, switch_millis: u64) -> PlantConfig {
    let mut config = pair();
    config.servers[0].supplies.clear();
    config.lines[0].changeover = changeover;
    config.lines[0].mode = mode;
    config.lines[0].switch_millis = switch_millis;
    config
}

#[test]
fn parallel_makes_before_it_breaks() {
    let mut plant = plant(fed_by_line(Changeover::Parallel, LineMode::Exclusive, 500));
    plant.set_line("bus", "u1", "s1", 200 * W).unwrap();
    plant.advance(500);
    plant.fail_mains("a").unwrap();
    plant.advance(S);
    plant.set_line("bus", "u2", "s1", 200 * W).unwrap();
    assert_eq!(plant.read_line("bus").unwrap().state, LineState::Moving);
    plant.advance(S + 499);
    assert_eq!(
        (flow(&plant, "bus", "u1", "s1"), flow(&plant, "bus", "u2", "s1")),
        (100, 0)
    );
    plant.advance(S + 500);
    assert_eq!(
        (flow(&plant, "bus", "u1", "s1"), flow(&plant, "bus", "u2", "s1")),
        (0, 100)
    );
    assert_eq!(plant.read_line("bus").unwrap().state, LineState::Closed);
    assert_eq!(
        plant.read_line("bus").unwrap().settings.len(),
        1,
        "an exclusive line holds one pair"
    );
    plant.advance(5 * S);
    assert_eq!(power(&plant, "s1"), ServerPower::On);
}

#[test]
fn a_transfer_switch_as_fast_as_the_hold_up_is_survived_and_a_slower_one_kills() {
    for (switch_millis, lives) in [(12, true), (13, false)] {
        let mut plant = plant(fed_by_line(Changeover::Ats, LineMode::Exclusive, switch_millis));
        plant.set_line("bus", "u1", "s1", 200 * W).unwrap();
        plant.advance(S);
        plant.fail_mains("a").unwrap();
        plant.advance(2 * S);
        plant.set_line("bus", "u2", "s1", 200 * W).unwrap();
        assert_eq!(watts(&plant, "s1"), 0, "break before make");
        plant.advance(3 * S);
        assert_eq!(
            power(&plant, "s1") == ServerPower::On,
            lives,
            "switching in {switch_millis} ms"
        );
    }
}

#[test]
fn an_own_supply_bridges_a_gap_of_any_length() {
    let mut config = fed_by_line(Changeover::Bridge, LineMode::Exclusive, 5 * S);
    config.servers[0].supplies = vec!["u3".into()];
    config.reserves.push(reserve("u3", 1_000, 100));
    let mut plant = plant(config);
    plant.set_line("bus", "u1", "s1", 200 * W).unwrap();
    plant.advance(5 * S);
    plant.fail_mains("a").unwrap();
    plant.set_line("bus", "u2", "s1", 200 * W).unwrap();
    plant.advance(20 * S);
    assert_eq!(power(&plant, "s1"), ServerPower::On);
    assert_eq!(joules(&plant, "u3"), 500);
}

#[test]
fn taking_off_the_last_feed_kills_after_the_switch_and_the_hold_up() {
    let mut plant = plant(fed_by_line(Changeover::Parallel, LineMode::Shared, 4));
    plant.set_line("bus", "u1", "s1", 200 * W).unwrap();
    plant.advance(S);
    plant.fail_mains("a").unwrap();
    plant.clear_line("bus", None).unwrap();
    plant.advance(2 * S);
    assert_eq!(deaths(&events(&mut plant)), [(S + 4 + 12, "s1".to_owned())]);
    assert_eq!(plant.read_line("bus").unwrap().state, LineState::Open);
}

#[test]
fn another_cap_holds_at_once_and_none_takes_the_pair_off() {
    let mut plant = plant(fed_by_line(Changeover::Ats, LineMode::Shared, 10));
    plant.set_line("bus", "u1", "s1", 60 * W).unwrap();
    plant.set_line("bus", "u2", "s1", 60 * W).unwrap();
    plant.advance(S);
    plant.fail_mains("a").unwrap();
    plant.set_line("bus", "u2", "s1", 40 * W).unwrap();
    assert_eq!(
        (flow(&plant, "bus", "u1", "s1"), flow(&plant, "bus", "u2", "s1")),
        (60, 40)
    );
    plant.set_line("bus", "u1", "s1", 100 * W).unwrap();
    plant.set_line("bus", "u2", "s1", 0).unwrap();
    assert_eq!(
        (flow(&plant, "bus", "u1", "s1"), flow(&plant, "bus", "u2", "s1")),
        (100, 0)
    );
    plant.advance(2 * S);
    let moved = events(&mut plant)
        .into_iter()
        .filter_map(|event| match event.kind {
            PlantEventKind::LineMoved {
                reserve, milliwatts, ..
            } => Some((event.at_millis, reserve.to_string(), milliwatts / W)),
            _ => None,
        });
    let expected = [
        (10, "u1".to_owned(), 60),
        (10, "u2".to_owned(), 60),
        (S, "u2".to_owned(), 40),
        (S, "u1".to_owned(), 100),
        (S + 10, "u2".to_owned(), 0),
    ];
    assert_eq!(moved.collect::<Vec<_>>(), expected);
}

#[test]
fn a_stuck_line_keeps_what_it_has_and_says_so_after_its_switching_time() {
    let mut plant = plant(fed_by_line(Changeover::Ats, LineMode::Exclusive, 10));
    plant.set_line("bus", "u1", "s1", 200 * W).unwrap();
    plant.advance(S);
    plant.set_line_stuck("bus", true).unwrap();
    plant.fail_mains("a").unwrap();
    events(&mut plant);
    plant.set_line("bus", "u2", "s1", 200 * W).unwrap();
    assert_eq!(plant.read_line("bus").unwrap().state, LineState::Moving);
    plant.advance(2 * S);
    assert_eq!(plant.read_line("bus").unwrap().state, LineState::Fault);
    assert_eq!(
        (power(&plant, "s1"), flow(&plant, "bus", "u1", "s1")),
        (ServerPower::On, 100)
    );
    let fault = events(&mut plant);
    assert!(
        matches!(fault[..], [ref e] if e.at_millis == S + 10 && matches!(e.kind, PlantEventKind::LineFault { .. }))
    );
    plant.set_line_stuck("bus", false).unwrap();
    plant.set_line("bus", "u2", "s1", 200 * W).unwrap();
    plant.advance(3 * S);
    assert_eq!(flow(&plant, "bus", "u2", "s1"), 100);
}

#[test]
fn a_line_that_gets_stuck_in_the_middle_of_a_change_does_not_finish_it() {
    // What was to be joined is not; what was to be taken off is off already on a transfer switch, and on otherwise.
    for (changeover, lives) in [(Changeover::Ats, false), (Changeover::Parallel, true)] {
        let mut plant = plant(fed_by_line(changeover, LineMode::Exclusive, 10));
        plant.set_line("bus", "u1", "s1", 200 * W).unwrap();
        plant.advance(S);
        plant.fail_mains("a").unwrap();
        plant.set_line("bus", "u2", "s1", 200 * W).unwrap();
        plant.advance(S + 5);
        plant.set_line_stuck("bus", true).unwrap();
        plant.advance(2 * S);
        assert_eq!(plant.read_line("bus").unwrap().state, LineState::Fault);
        assert_eq!(flow(&plant, "bus", "u2", "s1"), 0);
        assert_eq!(power(&plant, "s1") == ServerPower::On, lives, "{changeover:?}");
    }
}

#[test]
fn what_a_line_cannot_do_is_refused_and_changes_nothing() {
    let mut config = pair();
    config.servers.push(server("s3", "a", &[]));
    config.servers[0].fan_in = 1;
    config.reserves[0].fan_out = 1;
    config.reserves.push(reserve("u3", 1, 1));
    let mut plant = plant(config);
    let stranger = plant.set_line("bus", "u3", "s1", W).unwrap_err();
    assert_eq!(
        stranger.to_string(),
        "reserve \"u3\" is not a member of line \"bus\""
    );
    assert!(matches!(
        plant.set_line("bus", "u1", "s3", W),
        Err(PlantError::NotMember { kind: "server", .. })
    ));
    let over = plant.set_line("bus", "u1", "s1", 601 * W).unwrap_err();
    assert_eq!(
        over.to_string(),
        "milliwatts through line \"bus\": 601000 is over the limit of 600000"
    );
    assert_eq!(plant.read_line("bus").unwrap().state, LineState::Open);
    plant.set_line("bus", "u1", "s1", W).unwrap();
    let fan_in = plant.set_line("bus", "u2", "s1", W).unwrap_err();
    assert_eq!(
        fan_in.to_string(),
        "reserves that feed server \"s1\": 2 is over the limit of 1"
    );
    let fan_out = plant.set_line("bus", "u1", "s2", W).unwrap_err();
    assert_eq!(
        fan_out.to_string(),
        "servers fed by reserve \"u1\": 2 is over the limit of 1"
    );
    plant.clear_line("bus", Some(("u1", "s1"))).unwrap();
    plant.set_line("bus", "u2", "s1", W).unwrap();
}
