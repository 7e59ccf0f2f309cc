//! Stages, steps and their outcomes.

use super::*;

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
        ]
    );
}

#[test]
fn a_custodian_takes_the_halt_at_the_end_of_a_plan_and_halts_only_without_mains() {
    let with_halt = |generation| {
        let stages = vec![stage(
            1,
            vec![act(1, "batch", Verb::Stop), host(1, HostState::Off)],
        )];
        plan(generation, stages)
    };
    let mut inventory = inventory();
    inventory.activities.remove(&key("gold"));
    inventory
        .reserves
        .insert(name("ups1"), Thing::new(reserve(Role::Custodian)));
    let mut engine = engine_of(inventory.clone(), true);
    assert_eq!(engine.check(&with_halt(1)), Ok(()));
    engine.install(0, with_halt(1), Some(1));
    let stops = ids(&mut engine);
    finish(&mut engine, 10, stops[0], "batch", ActivityState::Stopped);
    assert_eq!(kinds(&mut engine), []);
    let refused = &engine.results()[1].record;
    assert_eq!(refused.outcome, Outcome::Refused);
    assert!(
        refused.reason.contains("while it has mains"),
        "{}",
        refused.reason
    );

    engine.observe(20, 20, Observation::Inlet(name("feedA"), Mains::Absent));
    engine.install(20, with_halt(2), Some(1));
    let off = ActionKind::Host {
        server: name("srv1"),
        state: HostState::Off,
    };
    assert_eq!(kinds(&mut engine), [off]);

    // Who switches a line stays.
    inventory.lines.insert(name("tie"), Thing::new(line()));
    let mut engine = engine_of(inventory, true);
    engine.observe(0, 0, Observation::Inlet(name("feedA"), Mains::Absent));
    engine.install(0, plan(1, vec![stage(1, vec![host(1, HostState::Off)])]), Some(1));
    assert_eq!(kinds(&mut engine), []);
    assert_eq!(engine.results()[0].record.outcome, Outcome::Refused);
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
fn a_stop_that_the_reading_contradicts_has_failed() {
    let mut engine = engine();
    engine.install(
        0,
        plan(1, vec![stage(1, vec![act(1, "batch", Verb::Stop)])]),
        Some(1),
    );
    let id = ids(&mut engine)[0];
    finish(&mut engine, 3_000, id, "batch", ActivityState::Running);
    assert_eq!(outcomes(&engine), ["1 pwrAction.1 Failed 3000"]);
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

/// The halt ends the agent: whether it was told or not, it is not done again.
#[test]
fn a_halt_that_was_under_way_is_not_done_again_by_the_agent_that_comes_after_it() {
    let stages = vec![stage(1, vec![host(1, HostState::Off)])];
    let mut engine = engine();
    engine.observe(0, 0, running("gold", ActivityState::Stopped));
    engine.observe(0, 0, running("batch", ActivityState::Stopped));
    engine.install(1_000, plan(3, stages.clone()), Some(1));
    assert_eq!(kinds(&mut engine).len(), 1);
    let kept = engine.memory();
    let mut again = Engine::new(EngineSettings::default(), inventory(), true, None);
    again.restore(plan(3, stages), &kept);
    let on = ServerReading {
        powered: Powered::On,
        milliwatts: None,
    };
    again.observe(90_000, 90_000, Observation::Server(name("srv1"), on));
    again.observe(90_000, 90_000, running("gold", ActivityState::Stopped));
    again.observe(90_000, 90_000, running("batch", ActivityState::Stopped));
    assert_eq!(kinds(&mut again), []);
    assert_eq!(outcomes(&again), ["1 pwrHost.1 Done 0"]);
}

/// What was released before the machine was booted does not switch it off: somebody has switched it on since.
#[test]
fn a_halt_that_was_released_before_the_machine_was_booted_is_overtaken() {
    let stages = vec![
        stage(1, vec![act(1, "gold", Verb::Stop), host(1, HostState::Off)]),
        stage(2, vec![host(2, HostState::Off)]),
    ];
    let kept = Memory {
        released: Some(1),
        ..Memory::default()
    }
    .after_reboot(5_000, 30);
    let mut again = Engine::new(EngineSettings::default(), inventory(), true, None);
    again.restore(plan(3, stages), &kept);
    again.observe(30, 30, running("gold", ActivityState::Stopped));
    again.observe(30, 30, running("batch", ActivityState::Stopped));
    assert_eq!(kinds(&mut again), []);
    assert_eq!(outcomes(&again), ["1 pwrAction.1 Done 0", "1 pwrHost.1 Failed 0"]);
    // A release that comes now is meant.
    again.release(40, Some(2));
    assert_eq!(kinds(&mut again).len(), 1);
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

#[test]
fn a_host_is_not_halted_over_an_activity_that_is_in_doubt_or_was_never_read() {
    for doubt in [Some(ActivityState::Failed), None] {
        let mut engine = Engine::new(EngineSettings::default(), inventory(), true, None);
        engine.set_connected(0, true);
        engine.observe(0, 0, Observation::Inlet(name("feedA"), Mains::Present));
        engine.observe(0, 0, running("gold", ActivityState::Stopped));
        if let Some(state) = doubt {
            engine.observe(0, 0, running("batch", state));
        }
        engine.install(0, plan(1, vec![stage(1, vec![host(1, HostState::Off)])]), Some(1));
        assert_eq!(kinds(&mut engine), [], "{doubt:?}");
        let results = engine.results();
        assert_eq!(results[0].record.outcome, Outcome::Failed, "{doubt:?}");
        assert!(results[0].record.reason.starts_with("batch "), "{doubt:?}");
    }
}
