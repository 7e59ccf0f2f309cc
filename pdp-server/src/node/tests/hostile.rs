//! PEPs that go and never come back, and PEPs that cannot take what they are to be sent.

use cops_codec::wire::CopsError;

use super::*;

#[test]
fn peps_that_say_good_bye_take_no_place() {
    let mut w = World::new(CONFIG);
    for n in 0..40 {
        let id = w.connect(Pep::new(&format!("n{n}")), None);
        let error = CopsError::new(ErrorCode::SHUTTING_DOWN);
        let now = w.now;
        let pep = w.peps.get_mut(&id).unwrap();
        assert!(pep.accepted);
        pep.command(now, PepCommand::Shutdown { error });
        w.run();
        w.node.disconnected(w.now, id);
        w.run();
        w.peps.remove(&id);
    }
    assert_eq!(w.node.hosted.power.peps.len(), 0);
    // What was assigned to them goes when the engine forgets them.
    w.pass(2_000_000);
    assert!(w.node.engine().status().peers.is_empty(), "{}", w.log());
    assert_eq!(w.node.hosted.power.assigned.len(), 0);
}

#[test]
fn a_pep_that_never_reported_is_not_remembered() {
    let mut w = World::new(CONFIG);
    let mut pep = Pep::new("n1");
    // It sends no REQ: it has a handle already, as far as it knows.
    pep.handle = Some(ClientHandle::from(1u32));
    let id = w.connect(pep, None);
    assert_eq!(w.node.engine().status().peers.len(), 1);
    w.node.disconnected(w.now, id);
    w.run();
    assert_eq!(w.node.engine().status().peers.len(), 0);
}

#[test]
fn a_plan_of_more_parts_than_a_pep_may_have_unreported_is_refused_at_once_with_the_reason() {
    let mut config = CONFIG.to_owned();
    for i in 0..900 {
        let pattern = "x".repeat(60);
        config.push_str(&format!(
            "[[group]]\nmatch = \"name\"\npattern = \"{pattern}{i}\"\nset = \"gold\"\n"
        ));
    }
    let mut w = World::new(&config);
    let mut pep = Pep::new("n1");
    pep.facts.max_msg = 1_024;
    let id = w.connect(pep, None);
    w.pass(3_000);
    let told = |e: &Event| e.text.contains("n1 refuses") && e.text.contains("1024 octets");
    assert!(w.events.iter().any(told), "{}", w.log());
    assert_eq!(w.peps[&id].installs, 0, "half a plan is none");
}

#[test]
fn nothing_is_sent_while_a_record_waits_whatever_came_in_between() {
    let mut w = World::new(CONFIG);
    w.connect(Pep::new("n1"), None);
    w.connect(Pep::new("n2"), None);
    w.pass(3_000);
    w.node
        .command(w.now, "c1".to_owned(), Command::Interrupt(Scope::Cluster));
    let drain = |w: &mut World| {
        let records: Vec<Record> = std::iter::from_fn(|| w.node.poll_record()).collect();
        assert!(!records.is_empty());
    };
    assert_eq!(w.node.poll_ready(), None, "the plan is not kept yet");
    drain(&mut w);
    let first = w.node.poll_ready().unwrap();
    // The journal fails and works again: all of the state is to be kept before anything more leaves.
    w.node.store_state(w.now, Some("no space".to_owned()));
    w.node.store_state(w.now, None);
    assert_eq!(w.node.poll_transmit(first), None);
    assert_eq!(w.node.poll_ready(), None);
    drain(&mut w);
    let ready: Vec<ConnectionId> = std::iter::from_fn(|| w.node.poll_ready()).collect();
    assert_eq!(ready.len(), 2, "nobody is left out");
    assert!(ready.contains(&first));
    assert!(w.node.poll_transmit(first).is_some());
}
