//! A rack: one PEP on infrastructure power has the reserves, the line and the starters; the servers come and go.

use power_policy::model::{ActivityState, Mains, Powered};

use super::super::facts::{PepFacts, Role, SupplyFact};
use super::super::fixture::*;
use super::super::*;
use super::world::{World, settings};

const SERVERS: [&str; 3] = ["s1", "s2", "s3"];

/// A server that can run every movable activity, and has some.
fn rack_node(text: &str, running: &[(&str, &str)], movable: &[(&str, &str)]) -> PepFacts {
    let mut facts = node(text, "feed", running);
    facts.servers[0].starter = Some(name("rack"));
    facts.reserves.clear();
    facts.supplies.clear();
    for a in &mut facts.activities {
        a.movable = movable.iter().any(|(m, _)| *m == a.name.as_str());
    }
    for (m, qos) in movable {
        if facts.activities.iter().any(|a| a.name.as_str() == *m) {
            continue;
        }
        let mut row = activity(m, text, qos);
        row.state = None;
        row.movable = true;
        facts.activities.push(row);
    }
    facts
}

fn rack() -> Vec<FakePep> {
    let movable = [("db", "gold"), ("web", "silver")];
    let mut facts = PepFacts::default();
    facts.held.armed = true;
    for s in SERVERS {
        let ups = format!("ups-{s}");
        facts.reserves.push(reserve(&ups, 100));
        facts.supplies.push(SupplyFact {
            reserve: name(&ups),
            server: name(s),
        });
        let mut seen = server(s);
        seen.role = Role::Witness;
        facts.servers.push(seen);
    }
    facts.lines = vec![line("bus", &["ups-s1", "ups-s2", "ups-s3"], &SERVERS)];
    vec![
        FakePep::new("rack", facts),
        FakePep::new(
            "s1",
            rack_node("s1", &[("db", "gold"), ("job1", "bronze")], &movable),
        ),
        FakePep::new(
            "s2",
            rack_node("s2", &[("web", "silver"), ("job2", "bronze")], &movable),
        ),
        FakePep::new("s3", rack_node("s3", &[("job3", "bronze")], &movable)),
    ]
}

fn powered(w: &World, server: &str) -> Powered {
    let status = w.engine.status();
    status.servers.iter().find(|s| s.name == server).unwrap().powered
}

#[test]
fn servers_are_switched_off_and_come_back_with_all_that_ran() {
    let mut w = World::new(settings(), rack());
    w.pass(5_000);
    w.mains(Mains::Absent);
    w.pass(400_000);
    assert!(w.runs("db"), "{}", w.log());
    let off: Vec<&str> = SERVERS.into_iter().filter(|s| powered(&w, s).is_off()).collect();
    assert!(!off.is_empty(), "nothing was switched off\n{}", w.log());
    assert!(w.kinds(EventKind::HostOff).len() >= off.len());
    assert!(
        w.kinds(EventKind::PeerLost).is_empty(),
        "a server that a plan switched off is no loss\n{}",
        w.log()
    );
    w.mains_everywhere(Mains::Present);
    w.pass(2_000_000);
    assert_eq!(w.engine.phase(), Phase::Normal, "{}", w.log());
    for s in SERVERS {
        assert_eq!(powered(&w, s), Powered::On, "{s}\n{}", w.log());
    }
    for a in ["db", "web", "job1", "job2", "job3"] {
        assert!(w.runs(a), "{a} does not run\n{}", w.log());
        let running = w
            .state_of(a)
            .iter()
            .filter(|(_, s)| *s == ActivityState::Running)
            .count();
        assert_eq!(running, 1, "{a}\n{}", w.log());
    }
    assert!(
        w.engine.state().joined.is_empty(),
        "a line is still joined\n{}",
        w.log()
    );
}

#[test]
fn what_was_moved_goes_home_when_mains_has_been_good_for_long() {
    let mut w = World::new(settings(), rack());
    w.pass(5_000);
    w.mains(Mains::Absent);
    w.pass(400_000);
    let moved = w.kinds(EventKind::Shift).len();
    w.mains_everywhere(Mains::Present);
    w.pass(3_000_000);
    let state = w.engine.state();
    for (activity, track) in &state.tracks {
        assert_eq!(track.host, track.home, "{activity}\n{}", w.log());
    }
    let at = |activity: &str, server: &str| {
        let expected = vec![(server.to_owned(), ActivityState::Running)];
        let running: Vec<_> = w
            .state_of(activity)
            .into_iter()
            .filter(|(_, s)| *s == ActivityState::Running)
            .collect();
        assert_eq!(running, expected, "{activity}, after {moved} moves\n{}", w.log());
    };
    at("db", "s1");
    at("web", "s2");
}

#[test]
fn a_restart_while_servers_are_off_still_brings_them_back() {
    let mut w = World::new(settings(), rack());
    w.pass(5_000);
    w.mains(Mains::Absent);
    w.pass(400_000);
    let off: Vec<&str> = SERVERS.into_iter().filter(|s| powered(&w, s).is_off()).collect();
    assert!(!off.is_empty());
    let all = w.records.len();
    let up: Vec<Name> = w.connected.iter().cloned().collect();
    w.restart(settings(), all);
    for s in &off {
        assert!(powered(&w, s).is_off(), "{s} is forgotten\n{}", w.log());
    }
    for n in &up {
        w.connect(n);
    }
    w.pass(60_000);
    w.mains_everywhere(Mains::Present);
    w.pass(2_000_000);
    for a in ["db", "web", "job1", "job2", "job3"] {
        assert!(w.runs(a), "{a} does not run\n{}", w.log());
    }
    assert_eq!(w.engine.phase(), Phase::Normal, "{}", w.log());
}

#[test]
fn a_reserve_that_is_not_reported_yet_is_not_taken_for_empty() {
    let mut w = World::new(settings(), rack());
    w.pass(5_000);
    w.mains(Mains::Absent);
    w.pass(400_000);
    let all = w.records.len();
    let up: Vec<Name> = w.connected.iter().cloned().collect();
    w.restart(settings(), all);
    // The servers are back before the rack, whose reserves the next stage waits for.
    for n in up.iter().filter(|n| n.as_str() != "rack") {
        w.connect(n);
    }
    w.pass(5_000);
    assert!(w.runs("db") && w.runs("web"), "{}", w.log());
    w.connect(&name("rack"));
    w.pass(60_000);
    assert!(w.runs("db") && w.runs("web"), "{}", w.log());
}

#[test]
fn a_line_that_a_replaced_plan_was_switching_is_known_for_what_it_carries() {
    let mut peps = rack();
    peps[0].slow = true;
    let mut w = World::new(settings(), peps);
    w.pass(5_000);
    w.mains(Mains::Absent);
    // The debounce ends while the rack still switches for the plan before.
    w.pass(4_000);
    let rack = w.peps.get_mut(&name("rack")).unwrap();
    rack.slow = false;
    rack.work();
    w.report(&name("rack"));
    w.pass(1_000);
    for line in w.engine.status().lines {
        let capped: u64 = line.carries.iter().map(|c| c.milliwatts).sum();
        assert!(
            capped <= 500_000,
            "{line:?} carries more than it can\n{}",
            w.log()
        );
    }
    w.pass(60_000);
    assert!(w.runs("db"), "{}", w.log());
}

#[test]
fn a_plan_waits_for_lines_that_are_moving() {
    let mut peps = rack();
    peps[0].slow = true;
    let mut w = World::new(settings(), peps);
    w.pass(5_000);
    let one = name("s1");
    w.peps.get_mut(&one).unwrap().facts.domains[0].mains = Mains::Absent;
    w.report(&one);
    let switches = |w: &World| w.engine.lines_move_until().is_some();
    assert!(switches(&w), "{}", w.log());
    let before = w.engine.version().1;
    // The domain is lost, while the rack still moves its lines.
    w.mains(Mains::Absent);
    w.pass(200);
    assert_eq!(w.engine.version().1, before, "{}", w.log());
    let slow = w.peps.get_mut(&name("rack")).unwrap();
    slow.slow = false;
    slow.work();
    w.report(&name("rack"));
    assert!(w.engine.version().1 > before, "{}", w.log());
    let moved = w.records.iter().rposition(|r| matches!(r, Record::Joined { .. }));
    let counted_on = w.records.iter().filter_map(|r| match r {
        Record::Plan {
            snapshot, in_force, ..
        } if in_force.generation > before => Some(snapshot),
        _ => None,
    });
    let first = counted_on.into_iter().next().unwrap();
    assert!(moved.is_some());
    assert!(
        first.lines.iter().any(|l| !l.joined.is_empty()),
        "the plan knows what the lines carry\n{}",
        w.log()
    );

    // One that never tells is not waited for long.
    let mut peps = rack();
    peps[0].slow = true;
    let mut w = World::new(settings(), peps);
    w.pass(5_000);
    w.peps.get_mut(&one).unwrap().facts.domains[0].mains = Mains::Absent;
    w.report(&one);
    let before = w.engine.version().1;
    w.mains(Mains::Absent);
    w.pass(3_000);
    assert!(w.engine.version().1 > before, "{}", w.log());
}

#[test]
fn a_server_that_dies_dirty_is_seen_off_and_brought_back() {
    let mut w = World::new(settings(), rack());
    w.pass(5_000);
    w.mains(Mains::Absent);
    w.pass(2_000);
    // Its reserve was worse than it said.
    let dead = name("s2");
    w.disconnect(&dead);
    for a in &mut w.peps.get_mut(&dead).unwrap().facts.activities {
        a.state = a.state.map(|_| ActivityState::Stopped);
    }
    assert_eq!(powered(&w, "s2"), Powered::Unreachable);
    w.witness(&dead, Powered::OffSeen);
    // At once, whoever reports what later: it is owed a start from now on.
    for a in ["web", "job2"] {
        assert!(w.engine.state().tracks[a].shed, "{a}\n{}", w.log());
    }
    w.pass(30_000);
    assert_eq!(powered(&w, "s2"), Powered::OffSeen);
    w.mains_everywhere(Mains::Present);
    w.pass(2_000_000);
    for a in ["db", "web", "job1", "job2", "job3"] {
        assert!(w.runs(a), "{a} does not run\n{}", w.log());
    }
    assert_eq!(w.engine.phase(), Phase::Normal, "{}", w.log());
}
