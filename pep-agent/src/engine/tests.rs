use power_policy::model::{
    Cause, Changeover, Chemistry, FigureSource, LineMode, LineState, Mains, Name, Powered, ReserveState,
};
use power_policy::plan::{HostState, Verb};

use super::facts::*;
use super::*;

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

fn key(activity: &str) -> ActivityKey {
    ActivityKey {
        activity: name(activity),
        server: name("srv1"),
    }
}

fn activity(stop_millis: u32) -> ActivityFacts {
    ActivityFacts {
        set: None,
        data_type: None,
        process: None,
        qos: Some(name("gold")),
        milliwatts: 50_000,
        cpu_millicores: 1_000,
        memory_mebibytes: 512,
        movable: true,
        startable: true,
        stoppable: true,
        restartable: true,
        move_millis: 2_000,
        move_joules: 10,
        stop_millis,
        stop_joules: 100,
        start_millis: 1_000,
    }
}

/// srv1 (idle 100 W) on feedA with its reserve ups1, activities gold and batch, and the line tie.
fn inventory() -> Inventory {
    let mut inventory = Inventory::default();
    inventory.servers.insert(
        name("srv1"),
        Thing::new(ServerFacts {
            role: Role::Custodian,
            idle_milliwatts: 100_000,
            peak_milliwatts: 300_000,
            cpu_millicores: 8_000,
            memory_mebibytes: 16_384,
            boot_millis: 60_000,
            boot_joules: 100,
            halt_millis: 10_000,
            halt_joules: 1_000,
            starter: Some(name("rack1")),
            fan_in: 0,
            simulated: true,
            inlets: vec![InletFacts {
                domain: name("feedA"),
                max_milliwatts: 500_000,
            }],
            can_power: true,
        }),
    );
    inventory.inlets.insert(
        name("feedA"),
        Thing::new(SightFacts {
            witness: Witness::Inlet,
            stale_after_millis: 10_000,
        }),
    );
    inventory
        .activities
        .insert(key("gold"), Thing::new(activity(5_000)));
    inventory
        .activities
        .insert(key("batch"), Thing::new(activity(5_000)));
    inventory
}

fn reserve(role: Role) -> ReserveFacts {
    ReserveFacts {
        role,
        chemistry: Chemistry::LeadAcid,
        capacity_joules: 360_000,
        cutoff_joules: 36_000,
        max_discharge_milliwatts: 500_000,
        efficiency_permille: 900,
        peukert_permille: 1_000,
        fan_out: 0,
        simulated: true,
        feeds: vec![name("srv1")],
        mains: None,
        stale_after_millis: 10_000,
    }
}

fn charge(joules: u64) -> Observation {
    Observation::Reserve(
        name("ups1"),
        ReserveReading {
            charge_joules: Some(joules),
            capacity_joules: None,
            milliwatts: Some(200_000),
            seconds_left: None,
            state: ReserveState::Discharging,
            source: FigureSource::Measured,
            mains: Mains::Absent,
            note: String::new(),
        },
    )
}

fn line() -> LineFacts {
    LineFacts {
        role: Role::Custodian,
        milliwatts: 400_000,
        efficiency_permille: 950,
        switch_millis: 10,
        mode: LineMode::Shared,
        changeover: Changeover::Parallel,
        simulated: true,
        reserves: vec![name("ups1"), name("ups2")],
        servers: vec![name("srv1"), name("srv2")],
    }
}

fn running(activity: &str, state: ActivityState) -> Observation {
    Observation::Activity(
        key(activity),
        ActivityReading {
            state,
            milliwatts: None,
            denied: None,
        },
    )
}

fn engine_of(inventory: Inventory, armed: bool) -> Engine {
    let mut engine = Engine::new(EngineSettings::default(), inventory, armed, None);
    engine.set_connected(0, true);
    engine.observe(0, 0, running("gold", ActivityState::Running));
    engine.observe(0, 0, running("batch", ActivityState::Running));
    engine.observe(0, 0, Observation::Inlet(name("feedA"), Mains::Present));
    engine
}

fn engine() -> Engine {
    engine_of(inventory(), true)
}

fn act(instance: u32, activity: &str, verb: Verb) -> Step {
    Step {
        id: StepId {
            class: StepClass::Action,
            instance,
        },
        kind: StepKind::Activity {
            activity: name(activity),
            server: name("srv1"),
            verb,
            peer: None,
            milliwatts: 0,
        },
    }
}

fn host(instance: u32, state: HostState) -> Step {
    Step {
        id: StepId {
            class: StepClass::Host,
            instance,
        },
        kind: StepKind::Host {
            server: name("srv1"),
            state,
        },
    }
}

fn divert(instance: u32, line: &str, reserve: &str, milliwatts: u32) -> Step {
    Step {
        id: StepId {
            class: StepClass::Divert,
            instance,
        },
        kind: StepKind::Divert {
            line: name(line),
            reserve: Some(name(reserve)),
            server: Some(name("srv2")),
            milliwatts,
        },
    }
}

fn stage(order: u32, steps: Vec<Step>) -> Stage {
    Stage {
        order,
        trigger: StageTrigger::Released,
        local: false,
        steps,
    }
}

fn local(order: u32, trigger: StageTrigger, steps: Vec<Step>) -> Stage {
    Stage {
        order,
        trigger,
        local: true,
        steps,
    }
}

fn plan(generation: u64, stages: Vec<Stage>) -> HeldPlan {
    HeldPlan {
        term: 1,
        generation,
        cause: Cause::DomainMains,
        stages,
    }
}

fn stop(activity: &str) -> ActionKind {
    ActionKind::Stop {
        activity: key(activity),
        moved: false,
    }
}

fn start(activity: &str) -> ActionKind {
    ActionKind::Start {
        activity: key(activity),
        moved: false,
    }
}

fn kinds(engine: &mut Engine) -> Vec<ActionKind> {
    std::iter::from_fn(|| engine.poll_action())
        .map(|action| action.kind)
        .collect()
}

fn ids(engine: &mut Engine) -> Vec<ActionId> {
    std::iter::from_fn(|| engine.poll_action())
        .map(|action| action.id)
        .collect()
}

/// Outcomes by stage and instance, as text.
fn outcomes(engine: &Engine) -> Vec<String> {
    engine
        .results()
        .iter()
        .map(|r| {
            format!(
                "{} {} {:?} {}",
                r.stage, r.step, r.record.outcome, r.record.millis
            )
        })
        .collect()
}

fn finish(engine: &mut Engine, now: Millis, id: ActionId, activity: &str, state: ActivityState) {
    engine.observe(now, now, running(activity, state));
    engine.handle_action_result(now, id, ActionOutcome::Done(String::new()));
}

#[test]
fn a_stage_waits_for_its_release_and_for_the_results_before_it() {
    let mut engine = engine();
    let stages = vec![
        stage(1, vec![act(1, "batch", Verb::Stop)]),
        stage(2, vec![act(2, "gold", Verb::Stop)]),
    ];
    engine.install(100, plan(1, stages), Some(0));
    assert_eq!(kinds(&mut engine), [], "nothing is released");
    assert_eq!(engine.released(), Some(0));

    engine.release(200, Some(2));
    let first = engine.poll_action().unwrap();
    assert_eq!(first.kind, stop("batch"));
    assert_eq!(
        engine.poll_action(),
        None,
        "stage 2 waits for the result of stage 1"
    );
    assert_eq!(outcomes(&engine), ["1 pwrAction.1 Started 0"]);

    finish(&mut engine, 700, first.id, "batch", ActivityState::Stopped);
    assert_eq!(kinds(&mut engine), [stop("gold")]);
    assert_eq!(
        outcomes(&engine),
        ["1 pwrAction.1 Done 500", "2 pwrAction.2 Started 0"]
    );
}

#[test]
fn what_is_stopped_already_is_done_without_an_action() {
    let mut engine = engine();
    engine.observe(1, 1, running("batch", ActivityState::Stopped));
    engine.install(
        2,
        plan(1, vec![stage(1, vec![act(1, "batch", Verb::Stop)])]),
        Some(1),
    );
    assert_eq!(kinds(&mut engine), []);
    assert_eq!(outcomes(&engine), ["1 pwrAction.1 Done 0"]);
}

#[test]
fn what_runs_already_is_not_started_again() {
    let mut engine = engine();
    engine.install(
        2,
        plan(1, vec![stage(1, vec![act(1, "batch", Verb::TakeIn)])]),
        Some(1),
    );
    assert_eq!(kinds(&mut engine), []);
    assert_eq!(outcomes(&engine), ["1 pwrAction.1 Done 0"]);
}

#[test]
fn an_action_without_outcome_times_out_and_a_late_outcome_still_counts() {
    let mut engine = engine();
    engine.install(
        0,
        plan(1, vec![stage(1, vec![act(1, "batch", Verb::Stop)])]),
        Some(1),
    );
    let id = ids(&mut engine)[0];
    let due = engine.poll_timeout(0).unwrap();
    assert_eq!(
        due, 10_000,
        "5 s of grace and 5 s of margin; no reading goes stale earlier"
    );
    engine.handle_timeout(due - 1);
    assert_eq!(outcomes(&engine), ["1 pwrAction.1 Started 0"]);
    engine.handle_timeout(due);
    assert_eq!(outcomes(&engine), ["1 pwrAction.1 TimedOut 10000"]);
    assert!(matches!(
        engine.poll_event(),
        Some(EngineEvent::StepFailed { .. })
    ));
    finish(&mut engine, 12_000, id, "batch", ActivityState::Stopped);
    assert_eq!(outcomes(&engine), ["1 pwrAction.1 Done 12000"]);
    assert_eq!(engine.poll_event(), None);
}

#[test]
fn a_failure_is_told_once_with_its_reason() {
    let mut engine = engine();
    engine.install(
        0,
        plan(1, vec![stage(1, vec![act(1, "batch", Verb::Stop)])]),
        Some(1),
    );
    let id = ids(&mut engine)[0];
    engine.handle_action_result(5_000, id, ActionOutcome::Failed("still runs\nafter 5 s".into()));
    let results = engine.results();
    assert_eq!(results[0].record.outcome, Outcome::Failed);
    assert_eq!(
        results[0].record.reason, "still runs after 5 s",
        "no control characters on the wire"
    );
    let step = StepId {
        class: StepClass::Action,
        instance: 1,
    };
    let reason = "still runs after 5 s".to_owned();
    assert_eq!(
        engine.poll_event(),
        Some(EngineEvent::StepFailed { step, reason })
    );
    assert_eq!(engine.poll_event(), None);
}

#[test]
fn observe_mode_actuates_nothing_and_says_what_it_would_do() {
    let mut engine = engine_of(inventory(), false);
    let steps = vec![act(1, "batch", Verb::Stop), host(1, HostState::Off)];
    engine.install(0, plan(1, vec![stage(1, steps)]), Some(1));
    assert_eq!(kinds(&mut engine), []);
    let results = engine.results();
    assert!(
        results.iter().all(|r| r.record.outcome == Outcome::Refused),
        "{results:?}"
    );
    assert_eq!(results[0].record.reason, "observe mode: would stop batch on srv1");
    // And it does not protect itself by force either.
    engine.set_connected(1, false);
    engine.observe(1, 1, Observation::Inlet(name("feedA"), Mains::Absent));
    assert_eq!(kinds(&mut engine), []);
}

#[test]
fn a_drill_checks_and_reports_and_actuates_nothing() {
    let mut engine = engine();
    let mut drill = plan(
        1,
        vec![stage(
            0,
            vec![act(1, "batch", Verb::Stop), host(2, HostState::Off)],
        )],
    );
    drill.cause = Cause::Drill;
    engine.install(0, drill, Some(0));
    assert_eq!(kinds(&mut engine), []);
    assert_eq!(outcomes(&engine), ["0 pwrAction.1 Done 0", "0 pwrHost.2 Done 0"]);
    assert_eq!(
        engine.results()[0].record.reason,
        "drill: would stop batch on srv1"
    );
}

#[test]
fn a_host_goes_off_only_after_its_activities_have_stopped() {
    let mut engine = engine();
    let steps = vec![
        act(1, "batch", Verb::Stop),
        act(2, "gold", Verb::Stop),
        host(1, HostState::Off),
    ];
    engine.install(0, plan(1, vec![stage(1, steps)]), Some(1));
    let stops = ids(&mut engine);
    assert_eq!(stops.len(), 2, "the halt waits");
    finish(&mut engine, 10, stops[0], "batch", ActivityState::Stopped);
    assert_eq!(kinds(&mut engine), []);
    finish(&mut engine, 20, stops[1], "gold", ActivityState::Stopped);
    let off = ActionKind::Host {
        server: name("srv1"),
        state: HostState::Off,
    };
    assert_eq!(kinds(&mut engine), [off]);
}

#[test]
fn a_host_whose_activity_would_not_stop_stays_on() {
    let mut engine = engine();
    let steps = vec![
        act(1, "batch", Verb::Stop),
        act(2, "gold", Verb::Stop),
        host(1, HostState::Off),
    ];
    engine.install(0, plan(1, vec![stage(1, steps)]), Some(1));
    let stops = ids(&mut engine);
    finish(&mut engine, 10, stops[1], "gold", ActivityState::Stopped);
    engine.observe(20, 20, running("batch", ActivityState::Running));
    engine.handle_action_result(20, stops[0], ActionOutcome::Failed("still runs".into()));
    assert_eq!(kinds(&mut engine), [], "a stop is graceful or it did not happen");
    assert_eq!(engine.results()[2].record.outcome, Outcome::Failed);
}

#[test]
fn rows_that_are_not_ours_are_refused_at_install() {
    let mut inventory = inventory();
    inventory.lines.insert(name("tie"), Thing::new(line()));
    inventory.lines.insert(
        name("seen"),
        Thing::new(LineFacts {
            role: Role::Witness,
            ..line()
        }),
    );
    let mut unmanaged = activity(0);
    unmanaged.startable = false;
    inventory.activities.insert(key("fixed"), Thing::new(unmanaged));
    let mut engine = engine_of(inventory, true);
    let denied = ActivityReading {
        state: ActivityState::Running,
        milliwatts: None,
        denied: Some("sshd is on the deny list".into()),
    };
    engine.observe(0, 0, Observation::Activity(key("gold"), denied));
    let steps = vec![
        act(1, "nobody", Verb::Stop),
        act(2, "fixed", Verb::Start),
        act(3, "gold", Verb::Stop),
        act(4, "batch", Verb::Stop),
        divert(1, "nowhere", "ups1", 1),
        divert(2, "seen", "ups1", 1),
        divert(3, "tie", "ups1", 400_001),
        divert(4, "tie", "ups9", 1),
        divert(5, "tie", "ups1", 400_000),
        host(1, HostState::Off),
    ];
    let faults = engine.check(&plan(1, vec![stage(1, steps)])).unwrap_err();
    let faults: Vec<String> = faults
        .iter()
        .map(|f| format!("{} {:?}", f.step, f.fault))
        .collect();
    assert_eq!(
        faults,
        [
            "pwrAction.1 UnknownActivity",
            "pwrAction.2 NotManaged",
            "pwrAction.3 Denied",
            "pwrDivert.1 UnknownLine",
            "pwrDivert.2 NotCustodian",
            "pwrDivert.3 OverLimit",
            "pwrDivert.4 OverLimit",
            // Custodian of a line: it goes to standby, never off.
            "pwrHost.1 Denied",
        ]
    );
}

#[test]
fn a_line_that_is_so_already_is_not_moved_again() {
    let mut inventory = inventory();
    inventory.lines.insert(name("tie"), Thing::new(line()));
    let mut engine = engine_of(inventory, true);
    let joint = Joint {
        reserve: name("ups1"),
        server: name("srv2"),
        milliwatts: 7,
    };
    let reading = LineReading {
        state: LineState::Closed,
        joined: vec![joint],
    };
    engine.observe(0, 0, Observation::Line(name("tie"), reading));
    let steps = vec![
        divert(1, "tie", "ups1", 7),
        divert(2, "tie", "ups2", 0),
        divert(3, "tie", "ups1", 0),
    ];
    engine.install(0, plan(1, vec![stage(0, steps)]), Some(0));
    assert_eq!(kinds(&mut engine).len(), 1, "only the third changes anything");
    assert_eq!(
        outcomes(&engine)[..2],
        ["0 pwrDivert.1 Done 0", "0 pwrDivert.2 Done 0"]
    );
}

#[test]
fn one_action_at_a_time_on_a_line() {
    let mut inventory = inventory();
    inventory.lines.insert(name("tie"), Thing::new(line()));
    let mut engine = engine_of(inventory, true);
    let steps = vec![divert(1, "tie", "ups1", 7), divert(2, "tie", "ups2", 9)];
    engine.install(0, plan(1, vec![stage(0, steps)]), Some(0));
    let first = ids(&mut engine);
    assert_eq!(first.len(), 1);
    engine.handle_action_result(5, first[0], ActionOutcome::Done(String::new()));
    assert_eq!(ids(&mut engine).len(), 1);
}

#[test]
fn a_newer_plan_joins_the_stop_that_is_under_way_and_waits_with_a_start() {
    let mut engine = engine();
    engine.install(
        0,
        plan(1, vec![stage(1, vec![act(1, "batch", Verb::Stop)])]),
        Some(1),
    );
    let stopping = ids(&mut engine)[0];
    let stages = vec![
        stage(1, vec![act(7, "batch", Verb::Stop)]),
        stage(2, vec![act(8, "batch", Verb::Start)]),
    ];
    engine.install(100, plan(2, stages), Some(2));
    assert_eq!(kinds(&mut engine), [], "the same stop, once");
    finish(&mut engine, 300, stopping, "batch", ActivityState::Stopped);
    assert_eq!(kinds(&mut engine), [start("batch")]);
    assert_eq!(outcomes(&engine)[0], "1 pwrAction.7 Done 300");
    let instances: Vec<u32> = engine.results().iter().map(|r| r.instance).collect();
    assert_eq!(
        instances,
        [2, 3],
        "the rows of the plan before keep their numbers to themselves"
    );
}

#[test]
fn a_replaced_plan_gets_no_result() {
    let mut engine = engine();
    engine.install(
        0,
        plan(1, vec![stage(1, vec![act(1, "batch", Verb::Stop)])]),
        Some(1),
    );
    let stopping = ids(&mut engine)[0];
    engine.install(100, plan(2, vec![]), Some(0));
    finish(&mut engine, 300, stopping, "batch", ActivityState::Stopped);
    assert_eq!(engine.results(), []);
}

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
    assert_eq!(engine.own_charge_joules(40_000), Some(90_000));
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
fn a_restarted_agent_does_nothing_twice() {
    let stages = vec![
        stage(1, vec![act(1, "batch", Verb::Stop)]),
        stage(2, vec![act(2, "gold", Verb::Stop)]),
    ];
    let mut engine = engine();
    engine.observe(500, 500, Observation::Inlet(name("feedA"), Mains::Absent));
    engine.install(1_000, plan(3, stages.clone()), Some(2));
    let stopping = ids(&mut engine)[0];
    finish(&mut engine, 1_500, stopping, "batch", ActivityState::Stopped);
    assert_eq!(kinds(&mut engine), [stop("gold")]);
    let memory = engine.memory();
    let kept: Memory = serde_json::from_str(&serde_json::to_string(&memory).unwrap()).unwrap();
    assert_eq!(kept, memory);

    // Meanwhile somebody started batch again: the plan's stop of it was done and is not done again.
    let mut again = Engine::new(EngineSettings::default(), inventory(), true, kept.lost);
    again.restore(plan(3, stages), &kept);
    again.observe(2_000, 2_000, running("batch", ActivityState::Running));
    again.observe(2_000, 2_000, running("gold", ActivityState::Stopping));
    let actions = kinds(&mut again);
    assert_eq!(actions, [stop("gold")], "it was under way: its driver looks anew");
    assert_eq!(outcomes(&again)[0], "1 pwrAction.1 Done 500");
    assert_eq!(again.lost().unwrap().elapsed(2_500), 2_000);
    assert_eq!(again.results()[0].instance, engine.results()[0].instance);
}

#[test]
fn time_without_mains_counts_on_over_a_reboot() {
    let lost = Lost {
        since_millis: 1_000_000,
        before_millis: 50,
    };
    let memory = Memory {
        lost: Some(lost),
        ..Memory::default()
    }
    .after_reboot(1_010_000, 30);
    assert_eq!(memory.lost.unwrap().elapsed(40), 10_060);
}

#[test]
fn a_claim_keeps_the_plan_and_gives_its_results_the_new_term() {
    let mut engine = engine();
    engine.install(
        0,
        plan(1, vec![stage(1, vec![act(1, "batch", Verb::Stop)])]),
        Some(1),
    );
    let before = engine.results();
    engine.claim(9);
    assert_eq!(engine.plan().unwrap().term, 9);
    assert_eq!(engine.results(), before);
    assert_eq!(ids(&mut engine).len(), 1);
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
fn the_power_state_of_a_server_settles_its_host_steps() {
    let mut engine = engine();
    let reading = ServerReading {
        powered: Powered::On,
        milliwatts: None,
    };
    engine.observe(0, 0, Observation::Server(name("srv1"), reading));
    let steps = vec![host(1, HostState::On)];
    engine.install(0, plan(1, vec![stage(1, steps)]), Some(1));
    assert_eq!(kinds(&mut engine), []);
    assert_eq!(outcomes(&engine), ["1 pwrHost.1 Done 0"]);
}
