//! What the node does, case by case.

use super::*;

#[test]
fn a_pep_joins_and_holds_its_plan_in_force() {
    let mut w = World::new(CONFIG);
    let id = w.connect(Pep::new("n1"), None);
    w.pass(3_000);
    let pep = &w.peps[&id];
    assert_eq!(pep.installed.plan_status(), PlanStatus::InForce, "{}", w.log());
    let incarnation = pep.installed.incarnation().unwrap();
    assert_eq!(incarnation.name.as_str(), "pdp-1");
    assert!(incarnation.active);
    let status = w.node.engine().status();
    assert_eq!(status.peers.len(), 1);
    assert!(status.peers[0].connected && status.peers[0].armed);
    assert_eq!(status.peers[0].acknowledged, status.peers[0].generation);
    assert!(status.peers[0].generation > 0);
    assert_eq!(status.activities.len(), 2);
    assert_eq!(status.classes[0].priority, 900);
}

#[test]
fn an_interruption_runs_over_bytes_from_the_first_sign_to_the_end() {
    let mut w = World::new(CONFIG);
    let a = w.connect(Pep::new("n1"), None);
    let b = w.connect(Pep::new("n2"), None);
    w.pass(3_000);
    w.mains(wire::Mains::Absent);
    assert_eq!(w.phase(), Phase::Debounce, "{}", w.log());
    w.pass(30_000);
    assert_eq!(w.phase(), Phase::Interrupted);
    for id in [a, b] {
        assert_eq!(
            w.peps[&id].state("batch"),
            wire::ActivityState::Stopped,
            "{}",
            w.log()
        );
        assert_eq!(w.peps[&id].state("db"), wire::ActivityState::Running);
    }
    w.mains(wire::Mains::Present);
    w.pass(200_000);
    assert_eq!(w.phase(), Phase::Normal, "{}", w.log());
    for id in [a, b] {
        assert_eq!(
            w.peps[&id].state("batch"),
            wire::ActivityState::Running,
            "{}",
            w.log()
        );
        assert!(w.peps[&id].closed.is_none());
    }
}

#[test]
fn a_command_is_answered_after_its_record_and_done_once() {
    let mut w = World::new(CONFIG);
    let id = w.connect(Pep::new("n1"), None);
    w.pass(3_000);
    for _ in 0..2 {
        w.node
            .command(w.now, "c1".to_owned(), Command::Interrupt(Scope::Cluster));
        w.run();
    }
    assert_eq!(w.answers.len(), 2);
    assert_eq!((w.answers[0].2, w.answers[1].2), (false, true));
    w.pass(30_000);
    assert_eq!(w.peps[&id].state("batch"), wire::ActivityState::Stopped);
}

#[test]
fn a_restarted_pdp_claims_the_plan_that_is_held_and_repeats_nothing() {
    let mut w = World::new(CONFIG);
    let id = w.connect(Pep::new("n1"), None);
    w.pass(3_000);
    w.mains(wire::Mains::Absent);
    w.pass(30_000);
    let mut pep = w.peps.remove(&id).unwrap();
    let (installs, applied) = (pep.installs, pep.applied.len());
    let before = pep.installed.held(true);
    // Killed: nothing but the journal is left. The PEP holds what it holds.
    let recovery = Recovery {
        records: w.records.clone(),
        ..Recovery::default()
    };
    w.node = World::node(CONFIG, w.now, recovery);
    pep.facts.charge_joules -= 1_000;
    let id = w.connect(pep, Some(listen()));
    let pep = &w.peps[&id];
    assert_eq!(pep.synchronised, 1, "SSQ asks for all that is held");
    let after = pep.installed.held(true);
    assert_eq!(after.term, before.term + 1);
    assert_eq!(after.generation, before.generation, "{}", w.log());
    assert_eq!(after.released_stage, before.released_stage);
    assert_eq!(pep.installs, installs, "the plan is claimed, not sent again");
    assert_eq!(pep.applied.len(), applied);
    assert_eq!(w.phase(), Phase::Interrupted);
    w.mains(wire::Mains::Present);
    w.pass(200_000);
    assert_eq!(
        w.peps[&id].state("batch"),
        wire::ActivityState::Running,
        "{}",
        w.log()
    );
    assert_eq!(w.phase(), Phase::Normal);
}

#[test]
fn a_bad_row_is_told_in_the_answer_and_changes_nothing() {
    let mut w = World::new(CONFIG);
    let id = w.connect(Pep::new("n1"), None);
    w.pass(3_000);
    let held = w.peps[&id].installed.held(true);
    let pep = w.peps.get_mut(&id).unwrap();
    // A removal of a row that is not there.
    let incarnation = PibIncarnation {
        full_state: false,
        ..pep.installed.incarnation().unwrap().clone()
    };
    let nothing = cops_codec::client_type::RowId {
        class: Class::Line,
        instance: number(9),
    };
    let contents = build::request(&incarnation, [nothing], [])
        .into_iter()
        .map(ClientSi::Named)
        .collect();
    let (handle, now) = (pep.handle.clone(), w.now);
    pep.command(
        now,
        PepCommand::Request {
            client_type: POWER_CLIENT_TYPE,
            handle,
            request: RequestBody::incremental(contents),
        },
    );
    w.run();
    assert_eq!(w.peps[&id].errors_told, 1);
    assert_eq!(w.peps[&id].installed.held(true), held);
    assert_eq!(w.node.engine().status().activities.len(), 2);
}

#[test]
fn a_request_with_objects_of_outsourcing_is_refused_p_3_1_01() {
    let mut w = World::new(CONFIG);
    let id = w.connect(Pep::new("n1"), None);
    w.pass(3_000);
    let pep = w.peps.get_mut(&id).unwrap();
    let incarnation = PibIncarnation {
        full_state: false,
        ..pep.installed.incarnation().unwrap().clone()
    };
    let contents = build::request(&incarnation, [], [])
        .into_iter()
        .map(ClientSi::Named)
        .collect();
    let mut request = RequestBody::incremental(contents);
    request.in_interface = Some(cops_codec::wire::Interface {
        address: "127.0.0.1".parse().unwrap(),
        ifindex: 1,
    });
    let (handle, now) = (pep.handle.clone(), w.now);
    pep.command(
        now,
        PepCommand::Request {
            client_type: POWER_CLIENT_TYPE,
            handle,
            request,
        },
    );
    w.run();
    let pep = &w.peps[&id];
    assert_eq!(pep.refused, [ErrorCode::BAD_MESSAGE_FORMAT]);
    assert_eq!(
        pep.installed.plan_status(),
        PlanStatus::InForce,
        "nothing else is changed"
    );
}

#[test]
fn garbage_is_answered_and_closed_and_disturbs_nobody() {
    let mut w = World::new(CONFIG);
    let good = w.connect(Pep::new("n1"), None);
    w.pass(3_000);
    let id = w.id();
    w.node.connected(w.now, id, "127.0.0.1:40001".parse().unwrap());
    let mut framer = Framer::new(Limits::DEFAULT);
    framer.push(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    let error = framer.next_frame().unwrap_err();
    w.node.handle_frame(w.now, id, Err(error));
    let mut answers = Vec::new();
    while let Some(ready) = w.node.poll_ready() {
        while let Some(frame) = w.node.poll_transmit(ready) {
            answers.push((ready, Message::decode(&frame, &Limits::DEFAULT).unwrap()));
        }
    }
    assert!(answers.iter().all(|(to, _)| *to == id), "{answers:?}");
    let closed = std::iter::from_fn(|| w.node.poll_closed()).any(|(c, _)| c == id);
    assert!(closed, "the connection must be over");
    w.node.forget_connection(id);
    w.pass(5_000);
    assert!(w.peps[&good].closed.is_none());
    assert!(w.node.engine().status().peers[0].connected);
}

#[test]
fn a_newer_connection_of_a_pep_takes_the_place_of_the_older() {
    let mut w = World::new(CONFIG);
    let older = w.connect(Pep::new("n1"), None);
    w.pass(3_000);
    let newer = w.connect(Pep::new("n1"), None);
    w.pass(3_000);
    assert!(w.peps[&older].closed.is_some());
    assert!(w.peps[&newer].closed.is_none());
    assert_eq!(
        w.peps[&newer].installed.plan_status(),
        PlanStatus::InForce,
        "{}",
        w.log()
    );
    let peers = w.node.engine().status().peers;
    assert!(peers.len() == 1 && peers[0].connected);
}

#[test]
fn a_pep_without_a_rule_is_turned_away_where_the_file_says_so() {
    let config = CONFIG.replace("armed = true", "refuse = true");
    let mut w = World::new(&config);
    let id = w.connect(Pep::new("n1"), None);
    assert!(w.peps[&id].closed.is_some());
    assert!(w.node.engine().status().peers.is_empty());
}

#[test]
fn every_pep_is_told_when_the_pdp_ends() {
    let mut w = World::new(CONFIG);
    let id = w.connect(Pep::new("n1"), None);
    w.pass(3_000);
    w.node.shut_down(w.now);
    w.run();
    let Some(CloseCause::Peer { error, .. }) = &w.peps[&id].closed else {
        panic!("{:?}", w.peps[&id].closed)
    };
    assert_eq!(error.code, ErrorCode::SHUTTING_DOWN);
}

#[test]
fn a_plan_that_is_too_large_for_the_pep_comes_in_several_decisions() {
    // 500 rules do not fit 65,536 octets together with the rest.
    let mut config = CONFIG.to_owned();
    for i in 0..900 {
        let pattern = "x".repeat(60);
        config.push_str(&format!(
            "[[group]]\nmatch = \"name\"\npattern = \"{pattern}{i}\"\nset = \"gold\"\n"
        ));
    }
    let mut w = World::new(&config);
    let id = w.connect(Pep::new("n1"), None);
    w.pass(3_000);
    let pep = &w.peps[&id];
    assert!(pep.installs > 1, "{} DECs", pep.installs);
    assert_eq!(pep.installed.plan_status(), PlanStatus::InForce);
    let status = w.node.engine().status();
    assert_eq!(status.peers[0].acknowledged, status.peers[0].generation);
}
