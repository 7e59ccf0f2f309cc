//! Whatever a plan says and whatever figures a snapshot has, the check ends, and without a panic.

use proptest::prelude::*;

use super::site::*;
use super::*;
use crate::model::*;
use crate::plan::*;

fn figure() -> impl Strategy<Value = u64> {
    prop_oneof![
        Just(0),
        Just(1),
        0u64..1_000_000_000,
        Just(u64::MAX),
        any::<u64>()
    ]
}

fn of(names: &'static [&'static str]) -> impl Strategy<Value = Name> {
    prop::sample::select(names).prop_map(name)
}

fn a_server() -> impl Strategy<Value = Name> {
    of(&["g", "l", "m", "nowhere"])
}

fn a_reserve() -> impl Strategy<Value = Name> {
    of(&["u-g", "u-l", "nowhere"])
}

fn kind() -> impl Strategy<Value = StepKind> {
    let verb = prop::sample::select(vec![
        Verb::Run,
        Verb::Cap,
        Verb::Stop,
        Verb::Start,
        Verb::MoveOut,
        Verb::TakeIn,
    ]);
    let state = prop::sample::select(vec![HostState::On, HostState::Standby, HostState::Off]);
    prop_oneof![
        (a_reserve(), a_server(), figure()).prop_map(|(reserve, server, milliwatts)| StepKind::Divert {
            line: name("tie"),
            reserve,
            server,
            milliwatts,
        }),
        (
            of(&["batch", "crunch", "db", "web", "nothing"]),
            a_server(),
            verb,
            prop::option::of(a_server()),
            figure()
        )
            .prop_map(|(activity, server, verb, peer, milliwatts)| StepKind::Activity {
                activity,
                server,
                verb,
                peer,
                milliwatts,
            }),
        (a_server(), state).prop_map(|(server, state)| StepKind::Host { server, state }),
    ]
}

fn trigger() -> impl Strategy<Value = Trigger> {
    let reserves = || prop::collection::vec(a_reserve(), 0..3);
    prop_oneof![
        Just(Trigger::AfterResults),
        Just(Trigger::MainsLost),
        figure().prop_map(|millis| Trigger::Elapsed { millis }),
        figure().prop_map(|millis| Trigger::Delay { millis }),
        (reserves(), figure()).prop_map(|(reserves, millijoules)| Trigger::ChargeBelow {
            reserves,
            millijoules
        }),
        (reserves(), figure()).prop_map(|(reserves, millijoules)| Trigger::ChargeAbove {
            reserves,
            millijoules
        }),
    ]
}

fn a_plan() -> impl Strategy<Value = Plan> {
    let cause = prop::sample::select(vec![
        Cause::Standing,
        Cause::DomainMains,
        Cause::Command,
        Cause::Drill,
        Cause::Restoration,
    ]);
    let order = prop_oneof![0u32..20, 10_000u32..10_020];
    let stages = prop::collection::vec((order, trigger(), prop::collection::vec(kind(), 0..5)), 0..8);
    let points = prop::collection::vec((figure(), figure()), 0..3);
    (cause, stages, figure(), points, prop::option::of(figure())).prop_map(
        |(cause, stages, at, points, ride)| Plan {
            cause,
            planned_at_millis: at,
            stages: stages
                .into_iter()
                .map(|(o, t, steps)| stage(o, t, steps))
                .collect(),
            classes: vec![forecast(900, None, ride)],
            reserves: vec![ReserveForecast {
                reserve: name("u-g"),
                points,
            }],
            ..plan()
        },
    )
}

/// Figures of the small site, some of them absurd.
fn a_snapshot() -> impl Strategy<Value = Snapshot> {
    prop::collection::vec((0usize..19, 0usize..4, figure()), 0..6).prop_map(|changes| {
        let mut s = snapshot();
        for (field, which, value) in changes {
            let small = u32::try_from(value).unwrap_or(u32::MAX);
            let server = &mut s.servers[which % 3];
            let reserve = &mut s.reserves[which % 2];
            let activity = &mut s.activities[which];
            let line = &mut s.lines[0];
            match field {
                0 => server.idle_milliwatts = value,
                1 => server.peak_milliwatts = value,
                2 => server.halt_millis = value,
                3 => server.halt_millijoules = value,
                4 => server.boot_millijoules = value,
                5 => server.measured_milliwatts = Some(value),
                6 => reserve.capacity_millijoules = value,
                7 => reserve.charge_millijoules = value,
                8 => reserve.cutoff_millijoules = value,
                9 => reserve.max_discharge_milliwatts = value,
                10 => reserve.efficiency_permille = small,
                11 => reserve.peukert_permille = small,
                12 => activity.draw_milliwatts = value,
                13 => activity.stop_millis = value,
                14 => activity.stop_millijoules = value,
                15 => activity.move_millis = value,
                16 => line.max_milliwatts = value,
                17 => line.switch_millis = value,
                _ => s.outage.as_mut().unwrap().elapsed_millis = value,
            }
        }
        s
    })
}

proptest! {
    #[test]
    fn a_check_always_ends(snapshot in a_snapshot(), plan in a_plan(), survive in any::<bool>()) {
        let mode = if survive { Mode::Survive } else { Mode::Default };
        let policy = PowerPolicy { mode, ..PowerPolicy::default() };
        let once = check(&snapshot, &plan, &policy);
        prop_assert_eq!(once, check(&snapshot, &plan, &policy), "the same twice");
    }
}
