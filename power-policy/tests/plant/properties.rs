//! What holds for every plant under every sequence of commands.

use crate::support::*;
use power_policy::plant::{
    Changeover, Ledger, LineMode, Plant, PlantConfig, PlantEventKind, ServerPower, StopRecord,
};
use proptest::prelude::*;
use std::collections::BTreeSet;

/// A command, with numbers that are folded onto what there is.
#[derive(Clone, Debug)]
enum Command {
    Advance(u64),
    Mains(usize, bool),
    SetLine(usize, usize, usize, u64),
    ClearLine(usize),
    Activity(usize, usize, bool),
    Load(usize, usize, u64),
    Halt(usize),
    PowerOff(usize),
    Start(usize),
    Stick(usize, bool),
    Weaken(usize, u64),
    Fail(usize, bool),
}

fn command() -> impl Strategy<Value = Command> {
    let small = 0..8_usize;
    prop_oneof![
        6 => prop_oneof![0..20_u64, 0..2_000_u64, 0..200_000_u64].prop_map(Command::Advance),
        3 => (small.clone(), prop::bool::weighted(0.3)).prop_map(|(d, on)| Command::Mains(d, on)),
        6 => (small.clone(), small.clone(), small.clone(), 0..700_000_u64)
            .prop_map(|(l, r, s, mw)| Command::SetLine(l, r, s, mw)),
        1 => small.clone().prop_map(Command::ClearLine),
        3 => (small.clone(), small.clone(), any::<bool>()).prop_map(|(s, a, on)| Command::Activity(s, a, on)),
        2 => (small.clone(), small.clone(), 0..400_000_u64).prop_map(|(s, a, mw)| Command::Load(s, a, mw)),
        1 => small.clone().prop_map(Command::Halt),
        1 => small.clone().prop_map(Command::PowerOff),
        2 => small.clone().prop_map(Command::Start),
        1 => (small.clone(), any::<bool>()).prop_map(|(l, on)| Command::Stick(l, on)),
        1 => (small.clone(), 0..=1_000_u64).prop_map(|(r, permille)| Command::Weaken(r, permille)),
        1 => (small, any::<bool>()).prop_map(|(r, on)| Command::Fail(r, on)),
    ]
}

fn config() -> impl Strategy<Value = PlantConfig> {
    let line = (1..700_u64, 700..=1_000_u64, 0..30_u64, any::<bool>(), 0..3_u8);
    let store = (
        0..50_000_u64,
        1..=1_000_u64,
        500..=1_000_u64,
        1_000..=1_500_u64,
        0..100_u64,
    );
    (
        prop::collection::vec((1..200_u64, 0..300_u64, 0..3_usize, any::<bool>()), 1..6),
        prop::collection::vec(store, 1..5),
        prop::collection::vec(line, 0..4),
        (0..30_u64, 0..2_u64, any::<u64>()),
    )
        .prop_map(|(servers, stores, lines, (hold_up, varies, seed))| {
            let reserves = |n: usize| {
                (0..stores.len())
                    .filter(|r| n >> r & 1 == 0)
                    .map(|r| format!("u{r}"))
                    .collect()
            };
            PlantConfig {
                seed,
                psu_hold_up_millis: hold_up,
                load_variation_permille: varies * 250,
                variation_interval_millis: 1_700,
                domains: vec![domain("d0"), domain("d1")],
                servers: servers
                    .iter()
                    .enumerate()
                    .map(|(n, spec)| make_server(n, spec, stores.len()))
                    .collect(),
                reserves: stores.iter().enumerate().map(make_reserve).collect(),
                lines: lines
                    .iter()
                    .enumerate()
                    .map(|(n, (watts, permille, switch, exclusive, changeover))| {
                        let mut line = line_of(n, *watts, servers.len());
                        line.reserves = reserves(n);
                        line.efficiency_permille = *permille;
                        line.switch_millis = *switch;
                        line.mode = if *exclusive {
                            LineMode::Exclusive
                        } else {
                            LineMode::Shared
                        };
                        line.changeover = [Changeover::Parallel, Changeover::Ats, Changeover::Bridge]
                            [usize::from(*changeover)];
                        line
                    })
                    .collect(),
                ..PlantConfig::default()
            }
        })
}

fn make_server(n: usize, spec: &(u64, u64, usize, bool), stores: usize) -> power_policy::plant::ServerConfig {
    let own = format!("u{}", n % stores);
    let mut made = server(
        &format!("s{n}"),
        &format!("d{}", n % 2),
        &[own.as_str()][..spec.2.min(1)],
    );
    (made.idle_milliwatts, made.peak_milliwatts) = (spec.0 * W, (spec.0 + spec.1) * W);
    made.starts_with_mains = spec.3;
    made.fan_in = [0, 0, 1, 2][n % 4];
    made
}

fn make_reserve((n, spec): (usize, &(u64, u64, u64, u64, u64))) -> power_policy::plant::ReserveConfig {
    let (joules, watts, efficiency, peukert, recharge) = *spec;
    let mut made = reserve(&format!("u{n}"), joules, watts);
    made.cutoff_millijoules = joules * J / 10;
    made.efficiency_permille = efficiency;
    made.peukert_permille = peukert;
    made.reference_milliwatts = 20 * W;
    made.recharge_milliwatts = recharge * W;
    made.recharge_domain = Some(format!("d{}", n % 2));
    made.fan_out = [0, 0, 1, 2][n % 4];
    made
}

fn line_of(n: usize, watts: u64, servers: usize) -> power_policy::plant::LineConfig {
    let names: Vec<String> = (0..servers).map(|s| format!("s{s}")).collect();
    line(
        &format!("l{n}"),
        &[],
        &names.iter().map(String::as_str).collect::<Vec<_>>(),
        watts,
    )
}

fn apply(plant: &mut Plant, config: &PlantConfig, command: &Command) {
    let s = |n: &usize| config.servers[n % config.servers.len()].name.as_str();
    let r = |n: &usize| config.reserves[n % config.reserves.len()].name.as_str();
    let a = |n: &usize| format!("a{}", n % 3);
    let l = |n: &usize| {
        config
            .lines
            .get(n % config.lines.len().max(1))
            .map_or("none", |l| l.name.as_str())
    };
    // What is refused changes nothing, which is a property too.
    let before = plant.clone();
    let done = match command {
        Command::Advance(millis) => {
            plant.advance(plant.now_millis() + millis);
            Ok(())
        }
        Command::Mains(d, true) => plant.restore_mains(&format!("d{}", d % 2)),
        Command::Mains(d, false) => plant.fail_mains(&format!("d{}", d % 2)),
        Command::SetLine(line, reserve, server, mw) => {
            // Mostly what is allowed: refusals alone would show little.
            let most = config
                .lines
                .get(line % config.lines.len().max(1))
                .map_or(0, |l| l.max_milliwatts);
            let mw = if mw % 8 == 0 { *mw } else { mw % (most + 1) };
            plant.set_line(l(line), r(reserve), s(server), mw)
        }
        Command::ClearLine(line) => plant.clear_line(l(line), None),
        Command::Activity(server, activity, true) => plant.start_activity(s(server), &a(activity)),
        Command::Activity(server, activity, false) => plant.stop_activity(s(server), &a(activity)),
        Command::Load(server, activity, mw) => plant.set_load(s(server), &a(activity), *mw),
        Command::Halt(server) => plant.halt(s(server)),
        Command::PowerOff(server) => plant.power_off(s(server)),
        Command::Start(server) => plant.start(s(server)),
        Command::Stick(line, on) => plant.set_line_stuck(l(line), *on),
        Command::Weaken(reserve, permille) => plant.weaken_reserve(r(reserve), *permille),
        Command::Fail(reserve, on) => plant.set_reserve_failed(r(reserve), *on),
    };
    if done.is_err() {
        assert!(*plant == before, "{command:?} was refused and changed something");
    }
}

/// Everything that must hold at any instant.
fn check(plant: &Plant, config: &PlantConfig) {
    assert_eq!(plant.residual_microjoules(), 0, "the exact ledger closes");
    let ledger = plant.ledger();
    assert!(
        ledger.residual_millijoules() <= Ledger::ROUNDING_MILLIJOULES,
        "{ledger:?}"
    );
    let mut into_lines = vec![0; config.reserves.len()];
    for line in &config.lines {
        let reading = plant.read_line(&line.name).unwrap();
        assert!(reading.milliwatts <= line.max_milliwatts, "{reading:?}");
        assert_eq!(
            reading.milliwatts,
            reading.settings.iter().map(|s| s.flow_milliwatts).sum::<u64>()
        );
        let firm: Vec<_> = reading
            .settings
            .iter()
            .filter(|s| s.joined && !s.moving)
            .collect();
        assert!(line.mode == LineMode::Shared || firm.len() <= 1, "{reading:?}");
        for setting in &reading.settings {
            assert!(setting.flow_milliwatts <= setting.milliwatts, "{reading:?}");
            assert!(setting.joined || setting.flow_milliwatts == 0, "{reading:?}");
            let most = setting.flow_milliwatts * line.efficiency_permille / 1_000;
            assert!(setting.delivered_milliwatts <= most, "{reading:?}");
            let r = config
                .reserves
                .iter()
                .position(|r| *r.name == *setting.reserve)
                .unwrap();
            into_lines[r] += setting.flow_milliwatts;
        }
    }
    for (reserve, into_lines) in config.reserves.iter().zip(into_lines) {
        let reading = plant.read_reserve(&reserve.name).unwrap();
        let left = ledger
            .reserves
            .iter()
            .find(|r| r.reserve == reserve.name)
            .unwrap()
            .left_millijoules;
        assert!(
            (reserve.cutoff_millijoules..=reserve.capacity_millijoules).contains(&left),
            "{reading:?}"
        );
        assert!(
            reading.charge_millijoules <= reserve.capacity_millijoules,
            "{reading:?}"
        );
        assert!(
            reading.milliwatts <= reserve.max_discharge_milliwatts,
            "{reading:?}"
        );
        assert!(into_lines <= reading.milliwatts, "{reading:?}");
        assert!(reading.drain_milliwatts >= reading.milliwatts, "{reading:?}");
        assert!(
            reading.milliwatts == 0 || reading.recharge_milliwatts == 0,
            "{reading:?}"
        );
    }
    for server in &config.servers {
        let reading = plant.read_server(&server.name).unwrap();
        assert!(reading.milliwatts <= server.peak_milliwatts, "{reading:?}");
        assert!(
            reading.power.is_powered() || reading.milliwatts == 0,
            "{reading:?}"
        );
        let runs = reading.activities.iter().any(|a| a.running);
        assert!(!runs || reading.power == ServerPower::On, "{reading:?}");
        let mains: u64 = server.inlets.iter().map(|i| i.max_milliwatts).sum();
        assert!(
            reading.mains_milliwatts <= if reading.mains { mains } else { 0 },
            "{reading:?}"
        );
    }
}

fn fresh(config: &PlantConfig) -> Plant {
    let mut plant = plant(config.clone());
    for server in &config.servers {
        for a in 0..3 {
            plant
                .declare_activity(&server.name, &format!("a{a}"), 60 * W, a == 0)
                .unwrap();
        }
    }
    plant
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn energy_is_conserved_and_no_limit_exceeded(config in config(), commands in prop::collection::vec(command(), 1..60)) {
        let mut plant = fresh(&config);
        check(&plant, &config);
        for command in &commands {
            apply(&mut plant, &config, command);
            check(&plant, &config);
        }
    }

    #[test]
    fn the_same_commands_give_the_same_state_however_time_is_cut(
        config in config(), commands in prop::collection::vec(command(), 1..40), step in 1..500_u64
    ) {
        let (mut whole, mut again, mut cut) = (fresh(&config), fresh(&config), fresh(&config));
        for command in &commands {
            apply(&mut whole, &config, command);
            apply(&mut again, &config, command);
            let to = whole.now_millis();
            while cut.now_millis() < to {
                cut.advance((cut.now_millis() + step).min(to));
            }
            if !matches!(command, Command::Advance(_)) {
                apply(&mut cut, &config, command);
            }
        }
        prop_assert!(whole == again, "not deterministic");
        prop_assert!(whole == cut, "depends on how often it is advanced");
    }

    #[test]
    fn a_server_stays_dead_only_for_want_of_power_and_dies_with_all_that_runs(
        config in config(), commands in prop::collection::vec(command(), 1..60)
    ) {
        let mut plant = fresh(&config);
        for command in &commands {
            apply(&mut plant, &config, command);
        }
        let happened = events(&mut plant);
        let mut dead = BTreeSet::new();
        for event in &happened {
            match &event.kind {
                PlantEventKind::ServerLostPower { server } => { dead.insert(server.to_string()); }
                PlantEventKind::ServerBooting { server } => { dead.remove(&**server); }
                PlantEventKind::ActivityStarted { server, .. } => prop_assert!(!dead.contains(&**server)),
                PlantEventKind::ActivityStopped { server, clean, .. } => {
                    prop_assert!(!(dead.contains(&**server) && *clean));
                }
                _ => {}
            }
        }
        for server in &config.servers {
            let reading = plant.read_server(&server.name).unwrap();
            for activity in &reading.activities {
                prop_assert!(!activity.running || activity.stopped.is_none());
                let late = |stop: StopRecord| stop.at_millis > plant.now_millis();
                prop_assert!(!activity.stopped.is_some_and(late));
            }
        }
    }

    #[test]
    fn the_unmanaged_run_of_a_plant_left_alone_is_that_plant(
        config in config(), dips in prop::collection::vec((1..60_000_u64, 0..2_usize, any::<bool>()), 1..12)
    ) {
        let mut plant = fresh(&config);
        for (millis, d, on) in &dips {
            plant.advance(plant.now_millis() + millis);
            apply(&mut plant, &config, &Command::Mains(*d, *on));
        }
        if let Ok(run) = plant.unmanaged() {
            prop_assert_eq!(run.activities, plant.activity_reports());
            for (mine, its) in plant.ledger().reserves.iter().zip(&run.ledger.reserves) {
                prop_assert_eq!(mine.left_millijoules, its.left_millijoules);
            }
        }
    }
}

#[test]
fn ten_seconds_at_once_are_a_thousand_times_ten_milliseconds() {
    let mut config = pair();
    config.reserves[0].peukert_permille = 1_230;
    config.reserves[0].reference_milliwatts = 33 * W;
    config.reserves[0].efficiency_permille = 913;
    config.lines[0].efficiency_permille = 957;
    let run = |step: u64| {
        let mut plant = plant(config.clone());
        plant.declare_activity("s2", "web", 123_457, true).unwrap();
        plant.set_line("bus", "u1", "s2", 77_777).unwrap();
        plant.advance(1_000);
        plant.fail_mains("a").unwrap();
        (1..=10_000 / step).for_each(|n| plant.advance(1_000 + n * step));
        plant
    };
    assert!(run(10_000) == run(10));
    assert_eq!(run(10).residual_microjoules(), 0);
}
