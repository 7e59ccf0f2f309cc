//! PEPs that say what is not theirs to say, or what cannot be, or nothing; and ends of connections that say nothing.

use std::sync::atomic::{AtomicUsize, Ordering};

use power_policy::grouping::Glob;
use power_policy::interruption::Witness;
use power_policy::model::{Mains, Powered};
use power_policy::plan::{HostState, StepKind, Verb};

use super::super::execution::StepState;
use super::super::facts::{DomainFact, Held, Outcome, PepFacts, Role, ServerFact, SupplyFact};
use super::super::fixture::*;
use super::super::slice::{StepClass, StepKey};
use super::super::*;
use super::two_nodes;
use super::world::{World, settings};
use crate::config::PeerRule;

fn holds(term: u64, generation: u64) -> PepFacts {
    PepFacts {
        held: Held {
            term,
            generation,
            digest: Some([9; 32]),
            armed: true,
            ..Held::default()
        },
        ..PepFacts::default()
    }
}

fn seen(server_name: &str, powered: Powered) -> ServerFact {
    ServerFact {
        role: Role::Witness,
        powered,
        ..server(server_name)
    }
}

fn powered(w: &World, server: &str) -> Powered {
    let status = w.engine.status();
    status.servers.iter().find(|s| s.name == server).unwrap().powered
}

fn rule(pep: &str, servers: &[&str]) -> PeerRule {
    PeerRule {
        name: Glob::new(pep).unwrap(),
        armed: true,
        servers: Some(servers.iter().map(|s| Glob::new(s).unwrap()).collect()),
        reserves: None,
        lines: None,
    }
}

#[test]
fn a_plan_that_no_pdp_can_have_made_does_not_raise_the_term_nor_the_generation() {
    for (term, generation) in [(1, u64::MAX), (u64::MAX, 1), (1 << 40, 5), (3, 1 << 63)] {
        let mut w = World::new(settings(), two_nodes());
        w.pass(5_000);
        let (before, _) = w.engine.version();
        w.stranger("mallory", holds(term, generation));
        w.pass(5_000);
        let (after, generations) = w.engine.version();
        assert_eq!(after, before, "term {term}");
        assert!(generations < 1_000, "generation {generations}");
        let alarms = w.alarms();
        assert!(alarms.iter().any(|a| a.contains("mallory")), "{alarms:?}");
        w.mains(Mains::Absent);
        w.pass(60_000);
        assert!(!w.runs("batch-b") && w.runs("db"), "{}", w.log());
        // When it holds what can be, nobody has to look after it any more.
        let mallory = name("mallory");
        w.give(Input::Closed {
            pep: mallory,
            reason: String::new(),
            end: End::Theirs,
        });
        w.stranger("mallory", holds(0, 0));
        let alarms = w.alarms();
        assert!(!alarms.iter().any(|a| a.contains("mallory holds")), "{alarms:?}");
    }
}

#[test]
fn while_a_step_takes_long_the_engine_does_not_ask_to_be_called_at_once() {
    let mut peps = two_nodes();
    for p in &mut peps {
        p.slow = true;
        for a in &mut p.facts.activities {
            a.stop_millis = 200_000;
        }
    }
    let mut w = World::new(settings(), peps);
    w.pass(5_000);
    w.mains(Mains::Absent);
    for _ in 0..12 {
        w.pass(10_000);
        w.give(Input::Tick);
        let next = w.engine.poll_timeout();
        assert!(
            next.is_none_or(|t| t > w.now),
            "{next:?} at {}\n{}",
            w.now,
            w.log()
        );
    }
    assert!(w.engine.execution.is_busy(), "{}", w.log());
}

#[test]
fn a_server_is_off_by_the_word_of_whom_the_site_trusts_with_it_alone() {
    let mut w = World::new(settings(), two_nodes());
    w.pass(5_000);
    let facts = PepFacts {
        servers: vec![seen("a", Powered::OffSeen), seen("b", Powered::OffSeen)],
        ..PepFacts::default()
    };
    w.stranger("mallory", facts.clone());
    w.disconnect(&name("a"));
    w.pass(1_000);
    assert_eq!(powered(&w, "a"), Powered::Unreachable);

    let mut trusting = settings();
    trusting.peers.rules = vec![rule("watch", &["a"])];
    let mut w = World::new(trusting, two_nodes());
    w.pass(5_000);
    w.stranger("watch", facts.clone());
    w.disconnect(&name("a"));
    w.disconnect(&name("b"));
    w.pass(1_000);
    assert_eq!(powered(&w, "a"), Powered::OffSeen, "it is listed for a");
    assert_eq!(powered(&w, "b"), Powered::Unreachable, "and not for b");

    // Who starts a server sees whether it has power.
    let mut peps = two_nodes();
    peps[0].facts.servers[0].starter = Some(name("switch"));
    let mut w = World::new(settings(), peps);
    w.pass(5_000);
    w.stranger("switch", facts);
    w.disconnect(&name("a"));
    w.pass(1_000);
    assert_eq!(powered(&w, "a"), Powered::OffSeen);
}

#[test]
fn a_claim_that_does_not_count_switches_nothing_on_or_off() {
    let mut w = World::new(settings(), two_nodes());
    w.pass(5_000);
    w.mains(Mains::Absent);
    w.pass(1_000);
    let off = step(&mut w, "b", host_off("b"), Some(500_000));
    w.engine.execution.steps[off].settled = false;
    let mut claim = server("b");
    claim.powered = Powered::OffSeen;
    let mut facts = PepFacts {
        servers: vec![claim],
        ..PepFacts::default()
    };
    w.stranger("mallory", facts.clone());
    assert!(w.engine.state().off.is_empty(), "{}", w.log());
    let at = w.now;
    let b = name("b");
    w.engine.record(Record::Off {
        server: b.clone(),
        off: true,
        at,
    });
    facts.servers[0].powered = Powered::On;
    w.says(&name("mallory"), facts);
    assert!(w.engine.state().off.contains_key(&b), "{}", w.log());
}

#[test]
fn only_the_custodian_says_how_long_a_step_takes_and_not_beyond_reason() {
    let mut peps = two_nodes();
    peps[1].slow = true;
    let mut w = World::new(settings(), peps);
    let mut facts = PepFacts::default();
    let mut tie = line("tie", &["ups-a", "ups-b"], &["a", "b"]);
    tie.role = Role::Witness;
    tie.switch_millis = u64::from(u32::MAX);
    facts.lines = vec![tie];
    let mut stays = server("b");
    stays.boot_millis = u64::from(u32::MAX);
    stays.halt_millis = u64::from(u32::MAX);
    facts.servers = vec![server("aaa"), stays];
    let mut batch = activity("batch-b", "aaa", "bronze");
    batch.state = None;
    batch.stop_millis = u64::from(u32::MAX);
    facts.activities = vec![batch];
    w.stranger("aaa", facts);
    w.pass(5_000);
    let (divert, stop) = (
        StepKind::Divert {
            line: name("tie"),
            reserve: name("ups-a"),
            server: name("b"),
            milliwatts: 1,
        },
        stop("batch-b", "b"),
    );
    for kind in [divert, stop, host_off("b")] {
        let limit = w.engine.limit_millis(&kind);
        assert!(limit <= 60_000, "{kind}: {limit} ms");
    }
    // The custodian itself is not believed without a bound.
    for a in &mut w.peps.get_mut(&name("b")).unwrap().facts.activities {
        a.stop_millis = u64::from(u32::MAX);
    }
    w.peps.get_mut(&name("b")).unwrap().facts.lines[0].switch_millis = u64::from(u32::MAX);
    w.report(&name("b"));
    w.pass(5_000);
    w.mains(Mains::Absent);
    w.pass(120_000);
    assert!(w.engine.lines_move_until().is_none_or(|t| t < w.now + 130_000));
    w.pass(2_000_000);
    let failed = w.kinds(EventKind::ActionFailed);
    assert!(
        failed.iter().any(|e| e.text.contains("did not end in time")),
        "{}",
        w.log()
    );
}

fn host_off(server: &str) -> StepKind {
    StepKind::Host {
        server: name(server),
        state: HostState::Off,
    }
}

fn stop(activity: &str, server: &str) -> StepKind {
    StepKind::Activity {
        activity: name(activity),
        server: name(server),
        verb: Verb::Stop,
        peer: None,
        milliwatts: 0,
    }
}

/// A step of the plan in force that is released, if it has a deadline.
fn step(w: &mut World, pep: &str, kind: StepKind, within: Option<u64>) -> usize {
    let deadline = within.map(|millis| w.now + millis);
    let steps = &mut w.engine.execution.steps;
    steps.push(StepState {
        pep: name(pep),
        key: StepKey {
            class: StepClass::of(&kind),
            instance: 1_000 + u32::try_from(steps.len()).unwrap(),
        },
        order: 0,
        kind,
        outcome: None,
        deadline,
        moves_until: None,
        settled: false,
    });
    steps.len() - 1
}

/// One PEP in a rack that speaks for two servers.
fn rack() -> World {
    let mut settings = settings();
    settings.peers.rules = vec![rule("r", &["s1", "s2"])];
    let mut facts = node("s1", "feed", &[("one", "bronze")]);
    let other = node("s2", "feed", &[("two", "bronze")]);
    facts.servers.extend(other.servers);
    facts.inlets.extend(other.inlets);
    facts.reserves.extend(other.reserves);
    facts.supplies.extend(other.supplies);
    facts.activities.extend(other.activities);
    let mut w = World::new(settings, vec![FakePep::new("r", facts)]);
    w.pass(5_000);
    w.mains(Mains::Absent);
    w
}

#[test]
fn a_rack_whose_connection_ends_was_not_switched_off_with_one_of_its_servers() {
    let mut w = rack();
    let at = w.now;
    w.engine.record(Record::Off {
        server: name("s1"),
        off: true,
        at,
    });
    let off = step(&mut w, "r", host_off("s1"), Some(500_000));
    let stop = step(&mut w, "r", stop("two", "s2"), Some(500_000));
    w.disconnect(&name("r"));
    assert_eq!(w.kinds(EventKind::PeerLost).len(), 1, "{}", w.log());
    // Whoever looks at the old plan's steps after a new plan looks at others.
    let steps = &w.engine.execution.steps;
    assert!(!steps[stop].settled, "nobody has said that it is stopped");
    assert!(!steps[off].settled, "nobody has said that it is off");
    assert!(!w.engine.state().off.contains_key(&name("s2")));
}

#[test]
fn a_rack_of_which_one_server_is_off_is_awaited_after_a_restart_and_forgotten_when_it_is_gone() {
    let mut w = rack();
    let at = w.now;
    w.engine.record(Record::Off {
        server: name("s1"),
        off: true,
        at,
    });
    w.drain();
    let mut settings = settings();
    settings.peers.rules = vec![rule("r", &["s1", "s2"])];
    let all = w.records.len();
    w.restart(settings, all);
    let r = name("r");
    assert!(w.engine.peers[&r].awaited_until.is_some());
    assert!(w.engine.forget_at(&r, &w.engine.peers[&r]).is_some());
}

#[test]
fn an_off_step_that_is_over_is_no_reason_for_the_end_of_a_connection() {
    for outcome in [Outcome::Failed, Outcome::TimedOut, Outcome::Done] {
        let mut w = World::new(settings(), two_nodes());
        w.pass(5_000);
        w.mains(Mains::Absent);
        let off = step(&mut w, "b", host_off("b"), Some(500_000));
        w.engine.execution.steps[off].outcome = Some(outcome);
        w.engine.execution.steps[off].settled = true;
        w.disconnect(&name("b"));
        assert!(w.engine.state().off.is_empty(), "{outcome:?}\n{}", w.log());
        assert_eq!(w.kinds(EventKind::PeerLost).len(), 1, "{outcome:?}");
    }
}

#[test]
fn an_outstanding_off_is_done_by_the_end_of_the_connection_unless_the_pdp_ends_it() {
    for (end, is_off) in [(End::Theirs, true), (End::Ours, false)] {
        let mut w = World::new(settings(), two_nodes());
        w.pass(5_000);
        w.mains(Mains::Absent);
        step(&mut w, "b", host_off("b"), Some(500_000));
        w.close(&name("b"), end);
        assert_eq!(w.engine.state().off.contains_key(&name("b")), is_off, "{end:?}");
    }
}

#[test]
fn a_pep_that_connects_and_reports_nothing_holds_nobody_up_for_long() {
    let mut w = World::new(settings(), two_nodes());
    w.pass(5_000);
    w.mains(Mains::Absent);
    let b = name("b");
    w.disconnect(&b);
    w.far.insert(b.clone());
    w.give(Input::Opened {
        pep: b.clone(),
        address: "127.0.0.1:1".to_owned(),
    });
    for _ in 0..12 {
        w.pass(5_000);
        w.give(Input::Heard { pep: b.clone() });
    }
    assert!(!w.runs("batch-a"), "{}", w.log());
    let alarms = w.alarms();
    assert!(
        alarms.iter().any(|a| a.contains("b has been connected")),
        "{alarms:?}"
    );
    // It is taken in again as soon as it speaks.
    w.far.clear();
    w.connect(&b);
    w.pass(60_000);
    assert!(!w.runs("batch-b"), "{}", w.log());
    let alarms = w.alarms();
    assert!(
        !alarms.iter().any(|a| a.contains("b has been connected")),
        "{alarms:?}"
    );
}

#[test]
fn a_pep_that_comes_and_goes_without_a_word_holds_nobody_up_either() {
    let mut w = World::new(settings(), two_nodes());
    w.pass(5_000);
    w.mains(Mains::Absent);
    let b = name("b");
    w.far.insert(b.clone());
    for _ in 0..20 {
        w.disconnect(&b);
        w.give(Input::Opened {
            pep: b.clone(),
            address: "127.0.0.1:1".to_owned(),
        });
        w.pass(3_000);
    }
    assert!(!w.runs("batch-a"), "{}", w.log());
}

fn domains(first: usize, count: usize, witness: Witness) -> PepFacts {
    PepFacts {
        domains: (first..first + count)
            .map(|n| DomainFact {
                name: name(&format!("mallory-{n}")),
                mains: Mains::Absent,
                witness,
                age_millis: 0,
            })
            .collect(),
        ..PepFacts::default()
    }
}

#[test]
fn one_pep_with_ever_new_domains_blinds_nobody_and_raises_one_alarm() {
    let mut w = World::new(settings(), two_nodes());
    w.pass(5_000);
    let mallory = name("mallory");
    w.stranger("mallory", domains(0, 5_000, Witness::Inlet));
    for round in 1..14 {
        let witness = if round % 2 == 0 {
            Witness::Inlet
        } else {
            Witness::Facility
        };
        w.says(&mallory, domains(round * 5_000, 5_000, witness));
    }
    let alarms = w.alarms();
    assert!(alarms.len() <= 1, "{} alarms", alarms.len());
    // A server that is new is heard.
    let c = FakePep::new("c", node("c", "other", &[("batch-c", "bronze")]));
    w.peps.insert(name("c"), c);
    w.connect(&name("c"));
    w.pass(1_000);
    let c = name("c");
    w.peps.get_mut(&c).unwrap().facts.domains[0].mains = Mains::Absent;
    w.report(&c);
    assert_eq!(w.engine.phase(), Phase::Debounce);
    w.says(&mallory, domains(0, 1, Witness::Facility));
    let alarms = w.alarms();
    assert!(
        alarms
            .iter()
            .any(|a| a.contains("mallory-0") && a.contains("mallory says")),
        "{alarms:?}"
    );
    w.says(&mallory, PepFacts::default());
    let alarms = w.alarms();
    assert!(!alarms.iter().any(|a| a.contains("mallory-0")), "{alarms:?}");
}

#[test]
fn what_a_forgotten_pep_said_of_the_mains_is_forgotten() {
    let mut w = World::new(settings(), two_nodes());
    w.stranger("mallory", domains(0, 3, Witness::Inlet));
    w.pass(5_000);
    let kept = |w: &World| serde_json::to_string(&w.engine.state().machine).unwrap();
    assert!(kept(&w).contains("mallory-0"));
    w.give(Input::Closed {
        pep: name("mallory"),
        reason: String::new(),
        end: End::Theirs,
    });
    w.pass(700_000);
    assert!(!w.engine.peers.contains_key(&name("mallory")));
    assert!(!kept(&w).contains("mallory"), "{}", kept(&w));
}

#[test]
fn a_plan_that_is_taken_ends_the_alarm_of_those_that_were_refused() {
    let mut w = World::new(settings(), two_nodes());
    w.pass(5_000);
    let a = name("a");
    for _ in 0..4 {
        let generation = w.engine.version().1;
        w.engine.handle(
            w.now,
            Input::Refused {
                pep: a.clone(),
                generation,
                steps: Vec::new(),
                reason: "no".to_owned(),
            },
        );
    }
    assert!(
        w.alarms().iter().any(|t| t.contains("a refuses")),
        "{:?}",
        w.alarms()
    );
    let generation = w.engine.version().1;
    w.give(Input::Installed { pep: a, generation });
    assert!(
        !w.alarms().iter().any(|t| t.contains("a refuses")),
        "{:?}",
        w.alarms()
    );
}

#[test]
fn two_copies_of_which_nobody_tells_any_more_are_no_alarm() {
    let mut w = rack();
    let r = name("r");
    let facts = &mut w.peps.get_mut(&r).unwrap().facts;
    facts.activities.push(activity("one", "s2", "bronze"));
    w.report(&r);
    w.pass(1_000);
    let is_double = |w: &World| w.alarms().iter().any(|a| a.contains("one runs on s1 and s2"));
    assert!(is_double(&w), "{:?}", w.alarms());
    let facts = &mut w.peps.get_mut(&r).unwrap().facts;
    facts.activities.retain(|a| a.name.as_str() != "one");
    w.report(&r);
    w.pass(1_000);
    assert!(!is_double(&w), "{:?}", w.alarms());
}

#[test]
fn what_was_given_up_and_runs_again_is_no_alarm() {
    let mut peps = two_nodes();
    peps[1].broken.push("start batch-b".to_owned());
    let mut w = World::new(settings(), peps);
    w.pass(5_000);
    w.mains(Mains::Absent);
    w.pass(60_000);
    assert!(!w.runs("batch-b"));
    w.mains(Mains::Present);
    w.pass(900_000);
    assert_eq!(w.engine.phase(), Phase::Normal, "{}", w.log());
    let is_lost = |w: &World| w.alarms().iter().any(|a| a.contains("batch-b"));
    assert!(is_lost(&w), "{:?}\n{}", w.alarms(), w.log());
    let b = name("b");
    for a in &mut w.peps.get_mut(&b).unwrap().facts.activities {
        a.state = Some(power_policy::model::ActivityState::Running);
    }
    w.report(&b);
    w.pass(1_000);
    assert!(!is_lost(&w), "{:?}", w.alarms());
}

#[test]
fn what_would_be_done_is_planned_once_however_often_it_is_asked() {
    let calls = std::sync::Arc::new(AtomicUsize::new(0));
    let counted = std::sync::Arc::clone(&calls);
    let mut settings = settings();
    settings.planner = std::sync::Arc::new(move |snapshot, before, policy| {
        counted.fetch_add(1, Ordering::Relaxed);
        power_policy::planner::plan(snapshot, before, policy)
    });
    let mut peps = two_nodes();
    peps[1].facts.held.armed = false;
    let mut w = World::new(settings, peps);
    w.pass(5_000);
    w.mains(Mains::Absent);
    w.pass(10_000);
    // Beside those for plans.
    let others = |w: &World| {
        let plans = usize::try_from(w.engine.plans_made).unwrap();
        calls.load(Ordering::Relaxed) - plans
    };
    let before = others(&w);
    let first = w.engine.explain();
    assert!(!first.unarmed.is_empty());
    for _ in 0..10 {
        assert_eq!(w.engine.explain().unarmed, first.unarmed);
        w.pass(500);
    }
    assert_eq!(others(&w), before + 1);
    w.pass(120_000);
    w.engine.explain();
    assert_eq!(others(&w), before + 2, "an answer is not kept for ever");
}

#[test]
fn a_failure_that_is_told_again_after_a_restart_is_counted_once() {
    let mut peps = two_nodes();
    for a in &mut peps[1].facts.activities {
        a.stop_millis = 200_000;
    }
    peps[1].slow = true;
    peps[1].broken.push("batch-b".to_owned());
    let mut w = World::new(settings(), peps);
    w.pass(5_000);
    w.mains(Mains::Absent);
    w.pass(30_000);
    w.mains(Mains::Present);
    assert_eq!(w.engine.phase(), Phase::MainsGood, "{}", w.log());
    let b = name("b");
    let pep = w.peps.get_mut(&b).unwrap();
    pep.slow = false;
    pep.work();
    w.report(&b);
    let failures = w.engine.state().failures.clone();
    assert_eq!(failures.0["stop batch-b b"], 1, "{}", w.log());
    for _ in 0..2 {
        let all = w.records.len();
        w.restart(settings(), all);
        for n in ["a", "b"] {
            w.connect(&name(n));
        }
        assert_eq!(w.engine.state().failures, failures, "{}", w.log());
    }
}

#[test]
fn what_a_stranger_says_of_a_reserve_keeps_no_host_from_being_switched_off() {
    let c = node("c", "feed", &[("batch-c", "bronze")]);
    let mut w = World::new(settings(), vec![FakePep::new("c", c)]);
    w.pass(5_000);
    let in_use = |w: &World| w.engine.sources().snapshot().servers[0].custodian_in_use;
    assert!(!in_use(&w));
    let facts = PepFacts {
        supplies: vec![SupplyFact {
            reserve: name("ups-c"),
            server: name("elsewhere"),
        }],
        ..PepFacts::default()
    };
    w.stranger("mallory", facts.clone());
    w.pass(1_000);
    assert!(!in_use(&w), "it is the custodian of neither");
    let own = &mut w.peps.get_mut(&name("c")).unwrap().facts;
    own.supplies.extend(facts.supplies);
    w.report(&name("c"));
    w.pass(1_000);
    assert!(in_use(&w), "the custodian's own word counts");
}
