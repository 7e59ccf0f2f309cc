//! What becomes of a plan: in parts, inactive, expired, restored, refused.

use power_policy::model::{Chemistry, FigureSource, ReserveState};

use super::*;
use crate::engine::facts::{ReserveFacts, ReserveReading};

#[test]
fn a_plan_that_comes_in_parts_is_in_force_with_the_last() {
    let mut world = World::open(true);
    let rows = stop_batch();
    let whole = plan_row(7, 1, 1, &rows);
    let mut first = build::remove_arcs([Arc::Policy, Arc::Plans])
        .into_iter()
        .map(|contents| Decision::remove(Context::CONFIGURATION, contents))
        .collect::<Vec<_>>();
    first.extend(install(&[whole.clone(), rows[0].clone(), rows[1].clone()]));
    world.push(first);
    assert_eq!(world.pdp.last_report.as_ref().unwrap().1, ReportType::SUCCESS);
    assert!(world.node.engine().plan().is_none(), "half a plan is none");
    world.push(install(&[
        incarnation(
            PlanVersion {
                term: 7,
                generation: 1,
            },
            true,
        ),
        whole,
        rows[2].clone(),
    ]));
    assert_eq!(world.kinds().len(), 1);
}

/// A plan of one local stage: batch stops when the mains is lost.
fn local_stage() -> Vec<Row> {
    let Row::Stage(mut local) = stage(1, 10_000) else {
        unreachable!()
    };
    local.local = true;
    local.trigger = Trigger::MainsLost;
    vec![Row::Stage(local), action(1, 1, "batch", Verb::Stop)]
}

/// The first part of the plan that comes after it: the rows before are taken away, and not all new ones are there.
fn first_part() -> Vec<Decision> {
    let rows = stop_batch();
    let removals = build::remove_arcs([Arc::Policy, Arc::Plans]).into_iter();
    let mut first: Vec<Decision> = removals
        .map(|contents| Decision::remove(Context::CONFIGURATION, contents))
        .collect();
    first.extend(install(&[plan_row(7, 2, 1, &rows), rows[0].clone()]));
    first
}

#[test]
fn between_the_parts_of_a_plan_the_one_before_goes_on() {
    let mut world = World::open(true);
    world.push(configuration(7, 1, 0, &local_stage()));
    world.push(first_part());
    assert_eq!(world.pdp.last_report.as_ref().unwrap().1, ReportType::SUCCESS);
    assert_eq!(world.node.engine().plan().unwrap().generation, 1);
    world.disconnect();
    world.mains(Mains::Absent);
    assert_eq!(world.kinds().len(), 1, "its local stage");
}

#[test]
fn an_agent_that_restarts_between_the_parts_of_a_plan_has_the_one_before() {
    let mut world = World::open(true);
    world.push(configuration(7, 1, 0, &local_stage()));
    world.push(first_part());
    let saved = world.node.unsaved(world.now).unwrap();
    let mut world = World::of(inventory(), true, Some(&saved));
    assert_eq!(world.node.engine().plan().unwrap().generation, 1);
    world.mains(Mains::Absent);
    assert_eq!(world.kinds().len(), 1, "its local stage");
    // What it has of the next one is kept too: the last part puts it in force.
    world.connect();
    assert_eq!(world.row::<Held>().generation, 2);
    world.push(install(
        &[vec![plan_row(7, 2, 1, &stop_batch())], stop_batch()].concat(),
    ));
    assert_eq!(world.node.engine().plan().unwrap().generation, 2);
}

#[test]
fn an_inactive_context_is_not_enforced() {
    let mut world = World::open(true);
    world.push(configuration(7, 1, 0, &[]));
    let rows = stop_batch();
    let mut decisions = configuration(7, 2, 1, &rows);
    decisions.truncate(1);
    let version = PlanVersion {
        term: 7,
        generation: 2,
    };
    decisions.extend(install(
        &[
            vec![incarnation(version, false), plan_row(7, 2, 1, &rows)],
            rows.clone(),
        ]
        .concat(),
    ));
    world.push(decisions);
    assert_eq!(world.kinds(), []);
    assert!(world.node.engine().plan().is_none());
    world.push(install(&[incarnation(version, true), plan_row(7, 2, 1, &rows)]));
    assert_eq!(world.kinds().len(), 1);
}

#[test]
fn observe_mode_takes_the_plan_and_actuates_nothing() {
    let mut world = World::open(false);
    world.push(configuration(7, 1, 1, &stop_batch()));
    assert_eq!(world.kinds(), []);
    assert_eq!(world.results(), [(1, Outcome::Refused)]);
    assert!(!world.row::<Held>().armed);
    world.node.set_armed(world.now, true);
    world.settle();
    assert!(world.row::<Held>().armed, "the PDP is told, and plans anew");
    assert_eq!(world.kinds(), []);
}

#[test]
fn without_a_pdp_the_plan_expires_after_its_time_to_live() {
    let mut world = World::open(true);
    world.push(configuration(7, 1, 0, &stop_batch()));
    world.disconnect();
    let due = world.node.poll_timeout(world.now).session.unwrap();
    assert_eq!(due, Moment(world.now.session.0 + 600_000), "the PDP's own Ttl");
    world.pass(599_999);
    assert!(world.node.engine().plan().is_some());
    world.pass(1);
    assert!(world.node.engine().plan().is_none());
    // The next PDP is told that nothing is held.
    world.pdp = Pdp::new(world.now.session);
    world.connect();
    assert_eq!(world.log()[0], "OPN srv1 last none");
    // A late DEC of a term that is gone is stale all the same.
    world.push(configuration(6, 1, 0, &[]));
    assert_eq!(
        (world.report()[0].1, world.report()[0].2),
        (13, 1),
        "staleGeneration"
    );
}

#[test]
fn a_restarted_agent_holds_its_plan_and_does_nothing_twice() {
    let mut world = World::open(true);
    let rows = stop_batch();
    world.push(configuration(7, 1, 1, &rows));
    let stop = world.actions.remove(0);
    world.see("batch", ActivityState::Stopped);
    world
        .node
        .handle_action_result(world.now, stop.id, ActionOutcome::Done(String::new()));
    world.settle();
    let saved = world.node.unsaved(world.now).unwrap();
    assert_eq!(world.node.unsaved(world.now), None);
    let saved: Saved = serde_json::from_str(&serde_json::to_string(&saved).unwrap()).unwrap();

    // Killed, and started again; somebody has started batch meanwhile.
    let mut again = World::of(inventory(), true, Some(&saved));
    assert_eq!(again.node.engine().plan().unwrap().generation, 1);
    assert_eq!(again.kinds(), [], "its stop was done");
    assert_eq!(again.node.unsaved(again.now), None, "nothing is new");
    again.pdp.synchronize = Synchronize::Always;
    again.connect();
    let log = again.log();
    assert_eq!(log[0], format!("OPN srv1 last {ADDRESS}"));
    assert!(log[1].starts_with("REQ full "), "{}", log[1]);
    assert_eq!(again.results(), [(1, Outcome::Done)]);
    let held: &Held = again.row();
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
}

#[test]
fn what_was_saved_and_cannot_be_held_is_refused_with_its_place() {
    let mut world = World::open(true);
    world.push(configuration(7, 1, 1, &stop_batch()));
    let good = world.node.unsaved(world.now).unwrap();
    let restore = |saved: &Saved| Node::new(config(), inventory(), true, Some(saved), at(0)).map(|_| ());
    assert_eq!(restore(&good), Ok(()));
    assert_eq!(
        restore(&Saved {
            format: 3,
            ..good.clone()
        }),
        Err(RestoreError::Format { found: 3 })
    );
    for broken in ["zz", "0", "é", "0013"] {
        let mut saved = good.clone();
        saved.rows[1] = broken.to_owned();
        let error = restore(&saved).unwrap_err();
        assert!(error.to_string().starts_with("row 1: "), "{broken:?}: {error}");
    }
    // The incarnation, the plan, two stages and the action; the second stage is the action's.
    assert_eq!(good.rows.len(), 5);
    let mut orphan = good.clone();
    orphan.rows.remove(3);
    let error = restore(&orphan).unwrap_err();
    assert!(error.to_string().starts_with("rows together: "), "{error}");
}

#[test]
fn a_request_left_without_a_decision_costs_the_plan() {
    let mut world = World::open(true);
    world.push(configuration(7, 1, 0, &[]));
    world.pdp.silent = true;
    world.see("batch", ActivityState::Stopped);
    world.log();
    for _ in 0..4 {
        world.pass(10_000);
    }
    let log = world.log();
    assert!(log.contains(&"DRQ 5".to_owned()), "{log:?}");
    assert!(world.node.engine().plan().is_none());
    assert!(world.told().contains("left a REQ without a decision"));
}

#[test]
fn garbage_from_the_pdp_ends_the_session_and_not_the_agent() {
    let mut world = World::open(true);
    world.push(configuration(7, 1, 0, &stop_batch()));
    // A DEC for our state with an inner object that is none.
    let broken = Decision::install(Context::CONFIGURATION, bytes::Bytes::from_static(&[0, 3, 9, 9]));
    world.push(vec![broken]);
    assert_eq!(world.pdp.last_report.as_ref().unwrap().1, ReportType::FAILURE);
    assert_eq!(world.node.engine().plan().unwrap().generation, 1);
    let mut framer = cops_codec::Framer::new(Limits::DEFAULT);
    framer.push(b"HTTP/1.1 200 OK\r\n\r\n");
    let error = framer.next_frame().unwrap_err();
    world.node.handle_frame(world.now, Err(error));
    world.settle();
    assert!(world.told().contains("Closed"));
    assert_eq!(
        world.node.engine().plan().unwrap().generation,
        1,
        "what is held is held"
    );
}

#[test]
fn a_line_of_ours_is_moved_and_one_of_others_is_refused() {
    let mut inventory = inventory();
    let line = LineFacts {
        role: Role::Custodian,
        milliwatts: 400_000,
        efficiency_permille: 950,
        switch_millis: 10,
        mode: power_policy::model::LineMode::Shared,
        changeover: power_policy::model::Changeover::Parallel,
        simulated: true,
        reserves: vec![name("ups1")],
        servers: vec![name("srv1"), name("srv2")],
    };
    inventory.lines.insert(name("tie"), Thing::new(line.clone()));
    inventory.lines.insert(
        name("seen"),
        Thing::new(LineFacts {
            role: Role::Witness,
            ..line
        }),
    );
    let mut world = World::of(inventory, true, None);
    world.connect();
    let divert = |line: &str| -> Row {
        Divert {
            instance: id(1),
            stage: ReferenceId(id(1)),
            line: power::Name::new(line).unwrap(),
            reserve: Some(power::Name::new("ups1").unwrap()),
            server: Some(power::Name::new("srv2").unwrap()),
            milliwatts: 100_000,
        }
        .into()
    };
    world.push(configuration(7, 1, 0, &[stage(1, 0), divert("seen")]));
    assert_eq!(
        (world.report()[0].1, world.report()[0].2),
        (13, 2),
        "notCustodian"
    );
    world.push(configuration(7, 2, 0, &[stage(1, 0), divert("tie")]));
    let join = ActionKind::Join {
        line: name("tie"),
        reserve: name("ups1"),
        server: name("srv2"),
        milliwatts: 100_000,
    };
    assert_eq!(world.kinds(), [join], "stage 0 begins at once");
}

#[test]
fn a_reserve_that_turns_is_told_at_once() {
    let mut inventory = inventory();
    let facts = ReserveFacts {
        role: Role::Custodian,
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
    };
    inventory.reserves.insert(name("ups1"), Thing::new(facts));
    let mut world = World::of(inventory, true, None);
    world.connect();
    let see = |world: &mut World, milliwatts: i32| {
        let reading = ReserveReading {
            charge_joules: Some(100_000),
            capacity_joules: None,
            milliwatts: Some(milliwatts),
            seconds_left: None,
            state: ReserveState::Idle,
            source: FigureSource::Measured,
            mains: Mains::Present,
            note: String::new(),
        };
        world.log();
        let reserve = Observation::Reserve(name("ups1"), reading);
        world.node.observe(world.now, world.now.engine, reserve);
        world.settle();
        let log = world.log();
        log.iter()
            .filter(|line| line.starts_with("RPT accounting"))
            .count()
    };
    assert_eq!(see(&mut world, -40_000), 0, "the first reading is no turn");
    assert_eq!(see(&mut world, 100_000), 1);
    assert_eq!(see(&mut world, 90_000), 0);
    // Turns that follow one another at once are told by the next report.
    assert_eq!(see(&mut world, -40_000), 0);
    world.pass(200);
    assert_eq!(see(&mut world, 100_000), 1);
}
