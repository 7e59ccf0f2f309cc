//! What the agent decides alone: mains, local stages, the hold-back.

use super::*;

#[test]
fn local_stages_wait_for_the_cut_off_and_for_their_trigger() {
    let mut inventory = inventory();
    inventory
        .reserves
        .insert(name("ups1"), Thing::new(reserve(Role::Witness)));
    let mut engine = engine_of(inventory, true);
    engine.observe(0, 0, charge(300_000));
    let stages = vec![
        stage(1, vec![]),
        stage(2, vec![act(9, "gold", Verb::Stop)]),
        local(
            10_000,
            StageTrigger::ElapsedMillis(60_000),
            vec![act(1, "batch", Verb::Stop)],
        ),
        local(
            10_001,
            StageTrigger::ReserveBelowJoules(200_000),
            vec![act(2, "gold", Verb::Stop)],
        ),
    ];
    engine.install(0, plan(1, stages), Some(1));
    engine.observe(1_000, 1_000, Observation::Inlet(name("feedA"), Mains::Absent));
    engine.observe(90_000, 90_000, charge(290_000));
    assert_eq!(kinds(&mut engine), [], "connected: the PDP releases");
    engine.set_connected(90_500, false);
    assert_eq!(kinds(&mut engine), [stop("batch")], "elapsed, long since");
    engine.observe(91_000, 91_000, charge(200_001));
    assert_eq!(kinds(&mut engine), []);
    engine.observe(92_000, 92_000, charge(200_000));
    assert_eq!(kinds(&mut engine), [stop("gold")]);
    assert_eq!(
        engine.released(),
        Some(1),
        "stage 2 is the PDP's, and no release covers it"
    );
}

#[test]
fn elapsed_time_is_a_deadline_while_cut_off() {
    let mut engine = engine();
    let stages = vec![local(
        10_000,
        StageTrigger::ElapsedMillis(60_000),
        vec![act(1, "batch", Verb::Stop)],
    )];
    engine.install(0, plan(1, stages), Some(0));
    engine.observe(1_000, 1_000, Observation::Inlet(name("feedA"), Mains::Absent));
    engine.set_connected(2_000, false);
    assert_eq!(engine.poll_timeout(20_000), Some(61_000));
    engine.handle_timeout(60_999);
    assert_eq!(kinds(&mut engine), []);
    engine.handle_timeout(61_000);
    assert_eq!(kinds(&mut engine), [stop("batch")]);
}

#[test]
fn a_cut_off_agent_neither_starts_nor_switches_lines() {
    let mut inventory = inventory();
    inventory.lines.insert(name("tie"), Thing::new(line()));
    let mut engine = engine_of(inventory, true);
    let steps = vec![
        act(1, "batch", Verb::MoveOut),
        act(2, "gold", Verb::Start),
        divert(1, "tie", "ups1", 5),
    ];
    engine.observe(0, 0, running("gold", ActivityState::Stopped));
    engine.install(
        0,
        plan(1, vec![local(10_000, StageTrigger::MainsLost, steps)]),
        Some(0),
    );
    engine.set_connected(1, false);
    engine.observe(2, 2, Observation::Inlet(name("feedA"), Mains::Absent));
    assert_eq!(kinds(&mut engine), []);
    assert!(
        engine
            .results()
            .iter()
            .all(|r| r.record.outcome == Outcome::Refused),
        "{:?}",
        engine.results()
    );
    assert_eq!(engine.results().len(), 3);
}

#[test]
fn unknown_mains_is_neither_an_interruption_nor_its_end() {
    let mut engine = engine();
    engine.observe(1_000, 1_000, Observation::Inlet(name("feedA"), Mains::Unknown));
    assert_eq!(engine.lost(), None);
    engine.observe(2_000, 2_000, Observation::Inlet(name("feedA"), Mains::Absent));
    engine.observe(3_000, 3_000, Observation::Inlet(name("feedA"), Mains::Unknown));
    assert_eq!(engine.lost().unwrap().elapsed(5_000), 3_000);
    // A sight that has gone stale says nothing either.
    engine.handle_timeout(60_000);
    assert_eq!(engine.inventory().domains(60_000)[0].mains, Mains::Unknown);
    assert!(engine.lost().is_some());
    engine.observe(61_000, 61_000, Observation::Inlet(name("feedA"), Mains::Present));
    assert_eq!(engine.lost(), None);
}

#[test]
fn near_its_hold_back_a_cut_off_agent_stops_its_own_activities_first() {
    let mut inventory = inventory();
    inventory
        .reserves
        .insert(name("ups1"), Thing::new(reserve(Role::Witness)));
    let mut engine = engine_of(inventory, true);
    engine.set_connected(0, false);
    engine.observe(0, 0, Observation::Inlet(name("feedA"), Mains::Absent));
    // Two activities, 250 J each (50 W for 5 s), idle 100 W for 5 s, the halt 1000 J: 2000 J, and 5 % more; 200 W for
    // 5 s: 1000 J; through an inverter of 0.9, above a cut-off of 36 kJ.
    let needed = 36_000 + (2_100 + 1_000) * 10 / 9 + 1;
    engine.observe(1, 1, charge(needed + 1));
    assert_eq!(kinds(&mut engine), []);
    engine.observe(2, 2, charge(needed));
    assert_eq!(kinds(&mut engine), [stop("batch"), stop("gold")]);
    // With no plan there is no row to tell; the states do, and the log.
    assert!(matches!(engine.poll_event(), Some(EngineEvent::Told(text)) if text.contains("graceful stop")));
    engine.observe(3, 3, charge(needed - 5));
    assert_eq!(kinds(&mut engine), [], "once");
}

#[test]
fn a_reserve_that_nobody_can_read_is_aged_not_emptied() {
    let mut inventory = inventory();
    inventory
        .reserves
        .insert(name("ups1"), Thing::new(reserve(Role::Witness)));
    let mut engine = engine_of(inventory, true);
    engine.observe(0, 0, charge(100_000));
    engine.observe(0, 0, Observation::Inlet(name("feedA"), Mains::Absent));
    engine.set_connected(0, false);
    // 200 W and a quarter more: 250 J a second.
    assert_eq!(
        engine.charge_joules(&BTreeSet::from([&name("ups1")]), 40_000),
        Some(90_000)
    );
    assert!(engine.inventory().is_stale(&name("ups1"), 10_000));
    engine.handle_timeout(200_000);
    assert_eq!(kinds(&mut engine), []);
    engine.handle_timeout(250_000);
    assert_eq!(kinds(&mut engine).len(), 2);
}

#[test]
fn a_low_battery_is_low_whatever_the_figures_say() {
    let mut inventory = inventory();
    inventory
        .reserves
        .insert(name("ups1"), Thing::new(reserve(Role::Witness)));
    let mut engine = engine_of(inventory, true);
    engine.set_connected(0, false);
    engine.observe(0, 0, Observation::Inlet(name("feedA"), Mains::Absent));
    let Observation::Reserve(ups, mut reading) = charge(300_000) else {
        unreachable!()
    };
    reading.state = ReserveState::Low;
    engine.observe(1, 1, Observation::Reserve(ups, reading));
    assert_eq!(kinds(&mut engine).len(), 2);
}

#[test]
fn time_without_mains_counts_on_over_a_reboot() {
    let lost = Lost {
        since_millis: 1_000_000,
        before_millis: 50,
        rebooted: false,
    };
    let memory = Memory {
        lost: Some(lost),
        ..Memory::default()
    }
    .after_reboot(1_010_000, 30);
    assert_eq!(memory.lost.unwrap().elapsed(40), 10_060);
}

/// The plan of a server that was halted by the PDP: its local stages would end it too.
fn halted_stages() -> Vec<Stage> {
    vec![
        stage(1, vec![act(1, "gold", Verb::Stop), act(2, "batch", Verb::Stop)]),
        local(
            10_000,
            StageTrigger::ElapsedMillis(60_000),
            vec![act(3, "batch", Verb::Stop), host(2, HostState::Off)],
        ),
        local(10_001, StageTrigger::MainsLost, vec![host(3, HostState::Off)]),
    ]
}

/// An agent that took its plan and its memory of lost mains from an earlier life, and has seen its server alone.
fn after(memory: &Memory, now: Millis) -> Engine {
    let mut again = Engine::new(EngineSettings::default(), inventory(), true, memory.lost);
    again.restore(plan(3, halted_stages()), memory);
    let on = ServerReading {
        powered: Powered::On,
        milliwatts: None,
    };
    again.observe(now, now, Observation::Server(name("srv1"), on));
    again.observe(now, now, running("gold", ActivityState::Stopped));
    again.observe(now, now, running("batch", ActivityState::Stopped));
    again
}

fn halted_memory() -> Memory {
    Memory {
        lost: Some(Lost {
            since_millis: 1_000,
            before_millis: 0,
            rebooted: false,
        }),
        released: Some(0),
        ..Memory::default()
    }
}

#[test]
fn a_memory_of_lost_mains_halts_nothing_before_the_mains_was_looked_at() {
    let mut again = after(&halted_memory(), 1_700_000);
    assert_eq!(kinds(&mut again), [], "nobody has looked yet");
    again.observe(
        1_700_010,
        1_700_010,
        Observation::Inlet(name("feedA"), Mains::Present),
    );
    assert_eq!(kinds(&mut again), [], "it is back");
    assert_eq!(again.lost(), None);
    // It was lost and is back: a later loss counts from its own beginning.
    again.observe(
        1_800_000,
        1_800_000,
        Observation::Inlet(name("feedA"), Mains::Absent),
    );
    assert_eq!(again.lost().unwrap().elapsed(1_800_000), 0);
}

#[test]
fn a_memory_of_lost_mains_counts_on_when_the_first_look_confirms_it() {
    let mut again = after(&halted_memory(), 1_700_000);
    again.observe(
        1_700_010,
        1_700_010,
        Observation::Inlet(name("feedA"), Mains::Absent),
    );
    assert_eq!(again.lost().unwrap().elapsed(1_700_010), 1_699_010);
    let off = ActionKind::Host {
        server: name("srv1"),
        state: HostState::Off,
    };
    assert_eq!(kinds(&mut again), [off]);
}

#[test]
fn a_memory_of_lost_mains_counts_on_when_nobody_can_look_unless_the_machine_was_booted() {
    let mut again = after(&halted_memory(), 1_700_000);
    // A sight is stale after ten seconds.
    assert_eq!(again.poll_timeout(1_700_000), Some(1_710_000));
    again.handle_timeout(1_709_999);
    assert_eq!(kinds(&mut again), []);
    again.handle_timeout(1_710_000);
    assert_eq!(kinds(&mut again).len(), 1, "it is as it was");
    let memory = halted_memory().after_reboot(500_000, 30);
    let mut booted = after(&memory, 30);
    booted.handle_timeout(3_600_000);
    assert_eq!(kinds(&mut booted), [], "somebody has switched it on");
}

#[test]
fn a_facility_ups_on_self_test_is_no_outage_and_outranks_an_inlet() {
    let mut inventory = inventory();
    for ups in ["f1", "f2", "f3"] {
        let facts = ReserveFacts {
            mains: Some((name("feedA"), Witness::Facility)),
            feeds: vec![],
            ..reserve(Role::Custodian)
        };
        inventory.reserves.insert(name(ups), Thing::new(facts));
    }
    let mut engine = engine_of(inventory, true);
    let mut see = |ups: &str, mains: Mains| {
        let Observation::Reserve(_, mut reading) = charge(1) else {
            unreachable!()
        };
        reading.mains = mains;
        engine.observe(5, 5, Observation::Reserve(name(ups), reading));
        engine.inventory().domains(5).remove(0)
    };
    assert_eq!(
        see("f1", Mains::Absent).mains,
        Mains::Absent,
        "the only facility UPS that was read"
    );
    assert_eq!(
        see("f2", Mains::Present).mains,
        Mains::Present,
        "one of two is no majority"
    );
    let seen = see("f3", Mains::Absent);
    assert_eq!((seen.mains, seen.witness), (Mains::Absent, Witness::Facility));
}

#[test]
fn a_server_that_lines_carry_does_not_live_by_its_own_reserve() {
    // Idle 100 W and two times 50 W.
    let mut engine = starving(vec![stage(0, vec![intake(1, 200_000)])]);
    assert_eq!(kinds(&mut engine), []);
    let mut engine = starving(vec![stage(0, vec![intake(1, 199_999)])]);
    assert_eq!(kinds(&mut engine).len(), 2, "they carry a part of it only");
    let mut engine = starving(vec![stage(0, vec![]), stage(1, vec![intake(1, 200_000)])]);
    assert_eq!(kinds(&mut engine).len(), 2, "that stage is not released");
    let mut engine = starving(vec![stage(0, vec![intake(1, 200_000), intake(2, 0)])]);
    assert_eq!(kinds(&mut engine).len(), 2, "the line was taken away again");
}

#[test]
fn a_reserve_that_gives_nothing_is_not_what_feeds_the_server() {
    let mut inventory = inventory();
    inventory
        .reserves
        .insert(name("ups1"), Thing::new(reserve(Role::Witness)));
    let mut engine = engine_of(inventory, true);
    engine.set_connected(0, false);
    engine.observe(0, 0, Observation::Inlet(name("feedA"), Mains::Absent));
    let Observation::Reserve(ups, reading) = charge(36_000) else {
        unreachable!()
    };
    let mut see = |milliwatts: Option<i32>| {
        let state = ReserveState::Depleted;
        let reading = ReserveReading {
            milliwatts,
            state,
            ..reading.clone()
        };
        engine.observe(1, 1, Observation::Reserve(ups.clone(), reading));
        kinds(&mut engine).len()
    };
    assert_eq!(see(Some(0)), 0);
    assert_eq!(see(None), 2, "nobody knows what it gives");
}

#[test]
fn a_trigger_means_the_reserve_of_the_servers_that_its_stage_names() {
    let mut inventory = inventory();
    inventory
        .reserves
        .insert(name("ups1"), Thing::new(reserve(Role::Custodian)));
    let other = ReserveFacts {
        feeds: vec![name("srv2")],
        ..reserve(Role::Custodian)
    };
    inventory.reserves.insert(name("ups2"), Thing::new(other));
    let on_srv2 = ActivityKey {
        activity: name("web"),
        server: name("srv2"),
    };
    inventory.activities.insert(on_srv2, Thing::new(activity(5_000)));
    let mut engine = engine_of(inventory, true);
    let trigger = StageTrigger::ReserveBelowJoules(200_000);
    engine.install(
        0,
        plan(1, vec![local(10_000, trigger, vec![act(1, "batch", Verb::Stop)])]),
        Some(0),
    );
    engine.set_connected(0, false);
    engine.observe(0, 0, Observation::Inlet(name("feedA"), Mains::Absent));
    let Observation::Reserve(_, reading) = charge(190_000) else {
        unreachable!()
    };
    engine.observe(1, 1, charge(300_000));
    engine.observe(1, 1, Observation::Reserve(name("ups2"), reading));
    assert_eq!(kinds(&mut engine), [], "the other server's reserve is not meant");
    engine.observe(2, 2, charge(190_000));
    assert_eq!(kinds(&mut engine), [stop("batch")]);
}

#[test]
fn a_stale_reading_of_a_reserve_that_gave_nothing_is_not_believed_once_the_mains_is_away() {
    let mut inventory = inventory();
    inventory
        .reserves
        .insert(name("ups1"), Thing::new(reserve(Role::Witness)));
    let mut engine = engine_of(inventory, true);
    engine.set_connected(0, false);
    // On mains the reserve gives nothing; then the host of its driver goes with the mains.
    let Observation::Reserve(ups, mut reading) = charge(100_000) else {
        unreachable!()
    };
    reading.milliwatts = Some(0);
    reading.state = ReserveState::Idle;
    engine.observe(0, 0, Observation::Reserve(ups, reading));
    engine.observe(5_000, 5_000, Observation::Inlet(name("feedA"), Mains::Absent));
    engine.handle_timeout(9_000);
    assert_eq!(kinds(&mut engine), [], "fresh: it gives nothing");
    // 200 W and a quarter more since the mains went: 250 J a second, down to some 40 kJ after four minutes.
    engine.handle_timeout(200_000);
    assert_eq!(kinds(&mut engine), []);
    engine.handle_timeout(250_000);
    assert_eq!(kinds(&mut engine).len(), 2);
}

#[test]
fn a_stale_reserve_on_mains_that_is_seen_to_be_there_gives_nothing() {
    let mut inventory = inventory();
    let facts = ReserveFacts {
        mains: Some((name("feedB"), Witness::Inlet)),
        ..reserve(Role::Witness)
    };
    inventory.reserves.insert(name("ups1"), Thing::new(facts));
    let sight = SightFacts {
        witness: Witness::Facility,
        stale_after_millis: 1_000_000,
    };
    inventory.inlets.insert(name("feedB"), Thing::new(sight));
    let mut engine = engine_of(inventory, true);
    engine.set_connected(0, false);
    let Observation::Reserve(ups, mut reading) = charge(100_000) else {
        unreachable!()
    };
    reading.milliwatts = Some(0);
    engine.observe(0, 0, Observation::Reserve(ups, reading));
    engine.observe(0, 0, Observation::Inlet(name("feedB"), Mains::Present));
    engine.observe(5_000, 5_000, Observation::Inlet(name("feedA"), Mains::Absent));
    engine.handle_timeout(900_000);
    assert_eq!(kinds(&mut engine), []);
}
