//! The exchanges of the power client-type, E1 to E11, step by step.

use super::*;

#[test]
fn e1_start_up_reports_everything_and_takes_the_configuration() {
    let mut world = World::new(true);
    world.pdp.answer = Some(configuration(7, 1, 0, &stop_batch()));
    world.connect();
    let log = world.log();
    assert_eq!(log[0], "OPN srv1 last none");
    assert!(
        log[1].starts_with("REQ full frwkPibIncarnation.1 frwkPrcSupport.1 "),
        "{}",
        log[1]
    );
    for class in [
        "frwkPibIncarnation.1",
        "frwkDeviceId.1",
        "pwrServer.1",
        "pwrInlet.1",
        "pwrDomain.1",
        "pwrHeld.1",
    ] {
        assert!(log[1].contains(class), "{class}: {}", log[1]);
    }
    assert_eq!(log[2], "RPT solicited Success");
    // What is held now is itself a fact that has changed.
    assert_eq!(
        log[3..],
        [
            "REQ incremental frwkPibIncarnation.1 pwrHeld.1",
            "RPT solicited Success"
        ]
    );
    let held: &Held = world.row();
    assert_eq!(
        (held.version(), held.released_stage),
        (
            PlanVersion {
                term: 7,
                generation: 1
            },
            0
        )
    );
    assert_eq!(held.digest, Some(digest(&stop_batch())));
    assert!(held.armed);
    let server: &power::Server = world.row();
    assert_eq!((server.name.as_str(), server.idle_milliwatts), ("srv1", 100_000));
    assert_eq!(world.node.engine().plan().unwrap().generation, 1);
    assert!(world.node.engine().is_connected());
}

#[test]
fn e2_a_changed_fact_is_told_alone_and_what_waits_is_coalesced_with_the_mains_first() {
    let mut world = World::open(true);
    world.pdp.silent = true;
    world.see("batch", ActivityState::Stopped);
    assert_eq!(
        world.log(),
        ["REQ incremental frwkPibIncarnation.1 pwrActivity.1"]
    );
    // While that REQ is open, much happens; the next one tells how it stands then.
    world.see("batch", ActivityState::Starting);
    world.see("gold", ActivityState::Stopped);
    world.mains(Mains::Absent);
    world.see("batch", ActivityState::Running);
    assert_eq!(world.log(), [""; 0]);
    world.pdp.silent = false;
    world.pdp.decide(world.now.session);
    world.settle();
    let log = world.log();
    assert_eq!(log[0], "RPT solicited Success");
    assert_eq!(
        log[1],
        "REQ incremental frwkPibIncarnation.1 pwrDomain.1 pwrActivity.1 pwrActivity.2"
    );
    assert_eq!(log.len(), 3, "{log:?}");
    let domain: &power::Domain = world.row();
    assert_eq!(domain.mains, WireMains::Absent);
}

#[test]
fn e2_a_request_that_the_pdp_cannot_take_is_followed_by_the_whole_state_after_a_while() {
    let mut world = World::open(true);
    let error: Row = cops_codec::client_type::framework::FrameworkError {
        instance: id(1),
        code: 2,
        sub_code: 0,
        prc: cops_codec::client_type::Class::Activity.entry(),
        error_instance: Some(id(1)),
    }
    .into();
    world.pdp.answer = Some(install(&[error]));
    world.see("batch", ActivityState::Stopped);
    let log = world.log();
    assert_eq!(
        log,
        [
            "REQ incremental frwkPibIncarnation.1 pwrActivity.1",
            "RPT solicited Success"
        ]
    );
    assert!(world.told().contains("could not take what this agent reports"));
    let due = world.node.poll_timeout(world.now).session.unwrap();
    assert!(due <= Moment(world.now.session.0 + 10_000));
    world.pass(9_999);
    assert!(!world.log().iter().any(|line| line.starts_with("REQ")));
    world.pass(1);
    assert!(world.log().iter().any(|line| line.starts_with("REQ full ")));
}

#[test]
fn e3_an_interruption_its_plan_its_stages_and_their_results() {
    let mut world = World::open(true);
    world.push(configuration(7, 1, 0, &[]));
    world.log();
    world.mains(Mains::Absent);
    assert_eq!(
        world.log(),
        [
            "REQ incremental frwkPibIncarnation.1 pwrDomain.1",
            "RPT solicited Success"
        ]
    );

    let rows = stop_batch();
    let mut decisions: Vec<Decision> = build::remove_arcs([Arc::Plans])
        .into_iter()
        .map(|contents| Decision::remove(Context::CONFIGURATION, contents))
        .collect();
    decisions.extend(install(&[vec![plan_row(7, 2, 0, &rows)], rows.clone()].concat()));
    world.push(decisions);
    assert_eq!(
        world.log(),
        [
            "RPT solicited Success",
            "REQ incremental frwkPibIncarnation.1 pwrHeld.1",
            "RPT solicited Success"
        ]
    );
    assert_eq!(world.kinds(), [], "stage 1 is not released");

    // The release is the plan's row alone, of the same generation.
    world.push(install(&[plan_row(7, 2, 1, &rows)]));
    let stop = world.actions.remove(0);
    assert_eq!(
        stop.kind,
        ActionKind::Stop {
            activity: key("batch"),
            moved: false
        }
    );
    assert_eq!(
        world.log(),
        [
            "RPT solicited Success",
            "REQ incremental frwkPibIncarnation.1 pwrActivity.1 pwrHeld.1 pwrActionResult.1",
            "RPT solicited Success"
        ]
    );
    assert_eq!(world.results(), [(1, Outcome::Started)]);
    world.pass(100);
    world.see("batch", ActivityState::Stopped);
    world
        .node
        .handle_action_result(world.now, stop.id, ActionOutcome::Done("1 process ended".into()));
    world.settle();
    let result: &ActionResult = world.row();
    assert_eq!(
        (result.outcome, result.millis, result.reason.as_str()),
        (Outcome::Done, 1_000, "1 process ended")
    );
    assert_eq!(
        result.action.to_string(),
        RowId {
            class: cops_codec::client_type::Class::Action,
            instance: id(1)
        }
        .prid()
        .to_string()
    );
    // Sent twice, done once.
    world.push(install(&[plan_row(7, 2, 1, &rows)]));
    assert_eq!(world.kinds(), []);

    // The results of a generation that is gone are taken away with its successor.
    world.log();
    world.push(configuration(7, 3, 0, &[]));
    let log = world.log();
    assert_eq!(
        log[1], "REQ incremental frwkPibIncarnation.1 pwrActionResult.1- pwrHeld.1",
        "{log:?}"
    );
    assert_eq!(world.results(), []);
}

#[test]
fn e7_a_row_that_is_not_ours_fails_the_whole_decision() {
    let mut world = World::open(true);
    world.push(configuration(7, 1, 0, &[]));
    let rows = vec![
        stage(1, 0),
        action(1, 1, "batch", Verb::Stop),
        action(2, 1, "nobody", Verb::Stop),
    ];
    world.push(configuration(7, 2, 0, &rows));
    let action_class = cops_codec::client_type::Class::Action;
    let prid = RowId {
        class: action_class,
        instance: id(2),
    }
    .prid()
    .to_string();
    assert_eq!(world.report(), [(prid, 13, 1)], "unknownActivity");
    assert_eq!(world.pdp.last_report.as_ref().unwrap().1, ReportType::FAILURE);
    assert_eq!(world.kinds(), [], "all or nothing");
    assert_eq!(
        world.node.engine().plan().unwrap().generation,
        1,
        "what was held is held"
    );
    assert_eq!(world.row::<Held>().generation, 1);
}

#[test]
fn e7_stale_terms_and_generations_and_wrong_digests_are_refused() {
    let mut world = World::open(true);
    world.push(configuration(7, 5, 0, &[]));
    for (term, generation) in [(7, 4), (6, 9)] {
        world.push(configuration(term, generation, 0, &[]));
        assert_eq!(
            (world.report()[0].1, world.report()[0].2),
            (13, 1),
            "staleGeneration"
        );
    }
    let mut wrong = plan_row(7, 5, 1, &[]);
    if let Row::Plan(plan) = &mut wrong {
        plan.digest.0[0] ^= 1;
    }
    world.push(install(&[wrong]));
    assert_eq!(
        (world.report()[0].1, world.report()[0].2),
        (13, 2),
        "digestMismatch"
    );
    assert_eq!(
        world.row::<Held>().version(),
        PlanVersion {
            term: 7,
            generation: 5
        }
    );
}

#[test]
fn e7_a_pattern_that_is_no_glob_is_refused() {
    let mut world = World::open(true);
    let selection: Row = power::ReadingSel {
        instance: id(1),
        kind: power::ReadingKind::Reserve,
        pattern: power::Text::new("[z-a]").unwrap(),
    }
    .into();
    world.push(configuration(7, 1, 0, &[selection]));
    assert_eq!((world.report()[0].1, world.report()[0].2), (13, 1), "badPattern");
}

#[test]
fn e7_a_failure_after_success_is_reported_at_once_and_told_by_a_row() {
    let mut world = World::open(true);
    world.push(configuration(7, 1, 1, &stop_batch()));
    world.log();
    let stop = world.actions.remove(0);
    world.see("batch", ActivityState::Running);
    world.log();
    world.node.handle_action_result(
        world.now,
        stop.id,
        ActionOutcome::Failed("still runs after 5 s".into()),
    );
    world.settle();
    let log = world.log();
    assert_eq!(
        log,
        [
            "RPT unsolicited Failure",
            "REQ incremental frwkPibIncarnation.1 pwrActionResult.1",
            "RPT solicited Success"
        ]
    );
    assert_eq!(world.results(), [(1, Outcome::Failed)]);
    assert_eq!(
        world.node.engine().plan().unwrap().generation,
        1,
        "nothing is undone"
    );
}

#[test]
fn e6_b_after_a_cut_off_the_whole_state_answers_the_ssq() {
    let mut world = World::open(true);
    let local = Stage {
        instance: id(3),
        order: 10_000,
        trigger: Trigger::ElapsedMillis,
        threshold: 60_000,
        local: true,
    };
    let rows = vec![stage(1, 0), local.into(), action(1, 3, "batch", Verb::Stop)];
    world.push(configuration(7, 1, 0, &rows));
    world.mains(Mains::Absent);
    world.log();
    world.disconnect();
    assert!(!world.node.engine().is_connected());
    assert_eq!(world.kinds(), []);

    // 60 s of the engine's time are 6 s here.
    world.pass(5_999);
    assert_eq!(world.kinds(), []);
    world.pass(1);
    let stop = world.actions.remove(0);
    world.see("batch", ActivityState::Stopped);
    world
        .node
        .handle_action_result(world.now, stop.id, ActionOutcome::Done(String::new()));
    world.settle();

    // The PDP comes back with nothing.
    world.pdp = Pdp::new(world.now.session);
    world.pdp.synchronize = Synchronize::Always;
    world.connect();
    let log = world.log();
    assert_eq!(log[0], format!("OPN srv1 last {ADDRESS}"));
    // E6: the agent's own incremental REQ may come first; the one that answers the SSQ is full.
    let full = log.iter().filter(|line| line.starts_with("REQ full ")).count();
    assert_eq!(full, 1, "{log:?}");
    assert_eq!(log.last().unwrap(), "SSC", "{log:?}");
    assert_eq!(world.results(), [(1, Outcome::Done)]);
    let held: &Held = world.row();
    assert_eq!(
        (held.version(), held.digest),
        (
            PlanVersion {
                term: 7,
                generation: 1
            },
            Some(digest(&rows))
        )
    );
    assert!(world.node.engine().is_connected());
    assert_eq!(world.row::<power::Domain>().mains, WireMains::Absent);
}

#[test]
fn e6_a_a_pdp_that_kept_the_state_is_told_only_what_changed() {
    let mut world = World::open(true);
    world.push(configuration(7, 1, 0, &[]));
    world.disconnect();
    let rows = std::mem::replace(&mut world.pdp, Pdp::new(world.now.session)).rows;
    world.see("batch", ActivityState::Stopped);
    world.log();
    world.pdp.rows = rows;
    world.pdp.synchronize = Synchronize::Never;
    world.connect();
    assert_eq!(
        world.log()[1..],
        [
            "REQ incremental frwkPibIncarnation.1 pwrActivity.1",
            "RPT solicited Success"
        ]
    );
}

#[test]
fn e8_a_restarted_pdp_claims_the_plan_and_nothing_is_done_twice() {
    let mut world = World::open(true);
    let rows = stop_batch();
    world.push(configuration(7, 4, 1, &rows));
    let stop = world.actions.remove(0);
    world.see("batch", ActivityState::Stopped);
    world
        .node
        .handle_action_result(world.now, stop.id, ActionOutcome::Done(String::new()));
    world.settle();
    world.disconnect();
    world.pdp = Pdp::new(world.now.session);
    world.pdp.synchronize = Synchronize::Always;
    world.pdp.answer = Some(install(&[
        incarnation(
            PlanVersion {
                term: 8,
                generation: 4,
            },
            true,
        ),
        plan_row(8, 4, 1, &rows),
    ]));
    world.connect();
    assert_eq!(world.kinds(), [], "done is done");
    assert_eq!(world.node.engine().plan().unwrap().term, 8);
    assert_eq!(
        world.row::<Held>().version(),
        PlanVersion {
            term: 8,
            generation: 4
        }
    );
    let result: &ActionResult = world.row();
    assert_eq!(
        (result.term, result.generation, result.outcome),
        (8, 4, Outcome::Done)
    );
    // The old term has no say any more (E9).
    world.push(configuration(7, 9, 0, &[]));
    assert_eq!(
        (world.report()[0].1, world.report()[0].2),
        (13, 1),
        "staleGeneration"
    );
}

#[test]
fn e10_deleting_the_context_ends_its_policy_and_a_new_one_is_asked_for() {
    let mut world = World::open(true);
    world.push(configuration(7, 1, 0, &stop_batch()));
    world.log();
    let mut delete = Decision::null(Context::CONFIGURATION);
    delete.flags.command = cops_codec::wire::CommandCode::REMOVE;
    delete.flags.flags = cops_codec::wire::DecisionFlagBits::REQUEST_STATE;
    world.push(vec![delete]);
    assert_eq!(world.log(), ["RPT solicited Success", "DRQ 8"]);
    assert!(world.node.engine().plan().is_none());
    world.pass(10_000);
    let log = world.log();
    assert!(log.iter().any(|line| line.starts_with("REQ full ")), "{log:?}");
}

/// Reads a server, and connects with this reading period to a PDP with an Accounting Timer of 1 s.
fn reads_every(reading: Duration) -> World {
    let mut inventory = inventory();
    inventory.servers.get_mut("srv1").unwrap().facts.simulated = true;
    let mut world = World::of(inventory, true, None);
    world.node.config.reading_interval = reading;
    let reading = crate::engine::facts::ServerReading {
        powered: power_policy::model::Powered::On,
        milliwatts: Some(123_000),
    };
    world.node.observe(
        world.now,
        world.now.engine,
        Observation::Server(name("srv1"), reading),
    );
    world.pdp.acct = Some(AccountingTimer(1));
    world.connect();
    world.log();
    world
}

/// The PDP takes for stale what is three of its periods old.
#[test]
fn readings_are_no_rarer_than_the_pdp_takes_them_for_fresh() {
    let mut world = reads_every(Duration::from_secs(60));
    for _ in 0..3 {
        world.pass(1_000);
        assert_eq!(world.log(), ["RPT accounting 1"]);
    }
    let warned = world.events.iter().filter_map(|event| match event {
        NodeEvent::Warned(text) => Some(text.as_str()),
        _ => None,
    });
    let warned: Vec<&str> = warned.collect();
    assert_eq!(
        warned,
        ["the PDP wants readings every 1 s: that counts, and not the 60 s of this agent's file"]
    );
}

#[test]
fn a_reading_period_within_the_accounting_timer_is_nothing_to_warn_of() {
    let mut world = reads_every(Duration::from_secs(1));
    world.pass(1_000);
    assert_eq!(world.log(), ["RPT accounting 1"]);
    let warned = |event: &NodeEvent| matches!(event, NodeEvent::Warned(_));
    assert!(!world.events.iter().any(warned), "{:?}", world.events);
}

#[test]
fn e11_readings_go_at_the_pdps_pace_and_what_it_selects() {
    let mut inventory = inventory();
    inventory.servers.get_mut("srv1").unwrap().facts.simulated = true;
    let mut world = World::of(inventory, true, None);
    let reading = crate::engine::facts::ServerReading {
        powered: power_policy::model::Powered::On,
        milliwatts: Some(123_000),
    };
    world.node.observe(
        world.now,
        world.now.engine,
        Observation::Server(name("srv1"), reading),
    );
    world.connect();
    world.log();
    world.pass(1_000);
    assert_eq!(world.log(), ["RPT accounting 1"], "nothing selected: everything");
    let selection: Row = power::ReadingSel {
        instance: id(1),
        kind: power::ReadingKind::Server,
        pattern: power::Text::new("other*").unwrap(),
    }
    .into();
    world.push(configuration(7, 1, 0, &[selection]));
    world.log();
    world.pass(1_000);
    world.pass(1_000);
    assert_eq!(world.log(), [""; 0]);
    let Row::ServerReading(row) = &world.pdp.readings[0] else {
        panic!()
    };
    assert_eq!((row.server.as_str(), row.milliwatts), ("srv1", 123_000));
}
