//! The engine with the real planner, against agents that do what they are told. Time is a number.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use power_policy::interruption::Command;
use power_policy::model::{ActivityState, Mains, Scope};

use super::facts::{Readings, ReserveReading};
use super::fixture::*;
use super::*;

mod contingencies;
mod hostile;
mod rack;
mod replay;
mod world;

use world::{World, settings};

/// Two nodes in one domain: the important work on `a`, the unimportant on `b`, and a line of `b`'s PEP to `a`.
fn two_nodes() -> Vec<FakePep> {
    let a = node("a", "feed", &[("db", "gold"), ("batch-a", "bronze")]);
    let mut b = node("b", "feed", &[("web", "silver"), ("batch-b", "bronze")]);
    b.lines = vec![line("tie", &["ups-a", "ups-b"], &["a", "b"])];
    vec![FakePep::new("a", a), FakePep::new("b", b)]
}

#[test]
fn a_quiet_cluster_gets_a_standing_plan_and_every_pep_its_local_stages() {
    let mut w = World::new(settings(), two_nodes());
    w.pass(5_000);
    let plan = w.engine.in_force().unwrap();
    assert_eq!(plan.plan.central_stages().count(), 0);
    for pep in w.peps.values() {
        assert!(pep.facts.held.generation > 0, "{} holds nothing", pep.name);
        assert!(pep.slice.as_ref().unwrap().stages.iter().all(|s| s.local));
        assert!(!pep.slice.as_ref().unwrap().stages.is_empty());
    }
    // A quiet minute more changes nothing that anybody holds.
    let before: Vec<u64> = w.peps.values().map(|p| p.facts.held.generation).collect();
    w.pass(30_000);
    let after: Vec<u64> = w.peps.values().map(|p| p.facts.held.generation).collect();
    assert_eq!(before, after);
}

#[test]
fn an_interruption_sheds_the_lower_classes_first_and_brings_everything_back() {
    let mut w = World::new(settings(), two_nodes());
    w.pass(5_000);
    w.mains(Mains::Absent);
    assert_eq!(w.engine.phase(), Phase::Debounce);
    for a in ["db", "web", "batch-a", "batch-b"] {
        assert!(w.runs(a), "{a} must not be stopped before the debounce is over");
    }
    w.pass(60_000);
    assert_eq!(w.engine.phase(), Phase::Interrupted);
    assert!(w.runs("db"));
    assert!(!w.runs("batch-a") && !w.runs("batch-b"), "{}", w.log());
    let ended = w.kinds(EventKind::ClassEnded);
    assert!(
        ended
            .iter()
            .any(|e| e.subject == "100" && e.data["member"] == "last"),
        "{}",
        w.log()
    );
    assert!(!ended.iter().any(|e| e.subject == "900"));
    w.mains(Mains::Present);
    w.pass(30_000);
    assert_eq!(w.engine.phase(), Phase::MainsGood);
    assert!(
        !w.runs("batch-a"),
        "nothing restarts before mains has proven itself"
    );
    w.pass(600_000);
    assert_eq!(w.engine.phase(), Phase::Normal, "{}", w.log());
    for a in ["db", "web", "batch-a", "batch-b"] {
        assert!(w.runs(a), "{a} was not brought back\n{}", w.log());
    }
    assert_eq!(w.kinds(EventKind::Metered).len(), 1);
    assert!(
        w.engine.state().joined.is_empty(),
        "a line is still joined\n{}",
        w.log()
    );
}

#[test]
fn records_come_before_what_depends_on_them() {
    let mut engine = Engine::new(settings(), 0, Recovery::default());
    let mut kept: BTreeSet<u64> = BTreeSet::new();
    let mut now = 0;
    for p in two_nodes() {
        engine.handle(
            now,
            Input::Opened {
                pep: p.name.clone(),
                address: String::new(),
            },
        );
        engine.handle(
            now,
            Input::Facts {
                pep: p.name.clone(),
                facts: Arc::new(p.facts),
            },
        );
        engine.handle(now, Input::Synchronised { pep: p.name });
    }
    let mut installs = 0;
    for _ in 0..20 {
        now += 500;
        engine.handle(now, Input::Tick);
        while let Some(o) = engine.poll_output() {
            match o {
                Output::Record(Record::Issued { issued, .. }) => {
                    kept.insert(issued.generation);
                }
                Output::Install(a) => {
                    installs += 1;
                    assert!(kept.contains(&a.generation));
                }
                _ => {}
            }
        }
    }
    assert!(installs >= 2);
}

#[test]
fn a_command_interrupts_and_restores_and_is_done_once() {
    let mut w = World::new(settings(), two_nodes());
    w.pass(5_000);
    let interrupt = Input::Command {
        id: "1".to_owned(),
        command: Command::Interrupt(Scope::Cluster),
    };
    w.give(interrupt.clone());
    w.give(interrupt);
    assert_eq!(w.answers.len(), 2);
    assert_eq!((w.answers[0].2, w.answers[1].2), (false, true));
    assert_eq!(w.answers[0].1, w.answers[1].1);
    w.pass(60_000);
    assert!(!w.runs("batch-a"), "{}", w.log());
    w.give(Input::Command {
        id: "2".to_owned(),
        command: Command::Restore,
    });
    w.pass(300_000);
    assert!(w.runs("batch-a"), "{}", w.log());
    assert_eq!(w.engine.phase(), Phase::Normal);
}

#[test]
fn a_stop_that_was_on_its_way_when_a_restore_came_is_brought_back() {
    let mut w = World::new(settings(), two_nodes());
    w.pass(5_000);
    let a = name("a");
    w.give(Input::Command {
        id: "1".to_owned(),
        command: Command::Interrupt(Scope::Cluster),
    });
    w.far.insert(a.clone());
    let is_stopped = |w: &World| {
        w.mail.iter().any(|(sent, _)| {
            let stages = sent.slice.stages.iter();
            let released = stages.filter(|s| !s.local && s.order <= sent.released_stage);
            released
                .flat_map(|s| &s.steps)
                .any(|s| s.kind.to_string().starts_with("stop batch-a"))
        })
    };
    for _ in 0..600 {
        if is_stopped(&w) {
            break;
        }
        w.pass(100);
        // All else comes through.
        if !is_stopped(&w) {
            w.deliver();
            w.report(&a);
        }
    }
    assert!(is_stopped(&w), "{}", w.log());
    // The stop arrives, and its result is on its way back, when the restoration is commanded.
    w.deliver();
    assert!(!w.runs("batch-a"));
    assert!(!w.engine.state().tracks["batch-a"].shed);
    let told = Arc::new(w.peps[&a].facts.clone());
    w.give(Input::Command {
        id: "2".to_owned(),
        command: Command::Restore,
    });
    w.pass(200);
    w.give(Input::Facts {
        pep: a.clone(),
        facts: told,
    });
    w.far.clear();
    w.deliver();
    w.report(&a);
    w.pass(300_000);
    for name in ["db", "web", "batch-a", "batch-b"] {
        assert!(w.runs(name), "{name}\n{}", w.log());
    }
    assert_eq!(w.engine.phase(), Phase::Normal, "{}", w.log());
}

#[test]
fn an_unarmed_pep_is_planned_around_and_never_commanded() {
    let mut s = settings();
    s.peers.default_armed = false;
    s.peers.rules = vec![crate::config::PeerRule {
        name: power_policy::grouping::Glob::new("a").unwrap(),
        armed: true,
        servers: None,
        reserves: None,
        lines: None,
    }];
    let mut w = World::new(s, two_nodes());
    w.pass(5_000);
    w.mains(Mains::Absent);
    w.pass(60_000);
    assert!(w.peps[&name("b")].applied.is_empty(), "{}", w.log());
    assert!(w.runs("batch-b"));
    assert!(!w.runs("batch-a"), "{}", w.log());
    let explained = w.engine.explain();
    assert!(
        explained.unarmed.iter().any(|l| l.contains("batch-b")),
        "{:?}",
        explained.unarmed
    );
}

#[test]
fn with_a_scaled_clock_nothing_real_is_touched() {
    let mut s = settings();
    s.scale = 30;
    let mut peps = two_nodes();
    peps[1].facts.servers[0].simulated = false;
    let mut w = World::new(s, peps);
    w.pass(5_000);
    w.mains(Mains::Absent);
    w.pass(60_000);
    assert!(
        !w.peps[&name("b")]
            .applied
            .iter()
            .any(|(_, _, words)| words.starts_with("stop"))
    );
    assert!(
        w.engine
            .status()
            .alarms
            .iter()
            .any(|a| a.text.contains("b is real")),
        "{}",
        w.log()
    );
}

#[test]
fn a_failed_stop_is_told_tried_again_and_then_left_alone() {
    let mut peps = two_nodes();
    peps[0].broken = vec!["stop batch-a".to_owned()];
    let mut w = World::new(settings(), peps);
    w.pass(5_000);
    w.mains(Mains::Absent);
    w.pass(120_000);
    let failed = w.kinds(EventKind::ActionFailed);
    assert_eq!(failed.len(), 2, "{}", w.log());
    assert!(w.runs("batch-a"));
    assert!(
        !w.runs("batch-b"),
        "the others are shed all the same\n{}",
        w.log()
    );
}

#[test]
fn a_pep_that_vanishes_is_planned_around_and_said_so() {
    let mut w = World::new(settings(), two_nodes());
    w.pass(5_000);
    w.mains(Mains::Absent);
    w.pass(1_000);
    w.disconnect(&name("b"));
    w.pass(60_000);
    assert!(!w.runs("batch-a"), "the plan goes on without b\n{}", w.log());
    let lost = w.kinds(EventKind::PeerLost);
    assert_eq!(lost.len(), 1);
    assert!(lost[0].text.contains("planned around"));
    let status = w.engine.status();
    let b = status.servers.iter().find(|s| s.name == "b").unwrap();
    assert_eq!(b.powered, power_policy::model::Powered::Unreachable);
    // It comes back and is given its part.
    w.connect(&name("b"));
    w.pass(60_000);
    assert!(!w.runs("batch-b"), "{}", w.log());
}

#[test]
fn a_stage_waits_for_the_results_of_the_one_before() {
    let mut peps = two_nodes();
    for p in &mut peps {
        p.slow = true;
    }
    let mut w = World::new(settings(), peps);
    w.pass(5_000);
    w.mains(Mains::Absent);
    w.pass(4_000);
    let released = |w: &World| w.kinds(EventKind::StageReleased).len();
    let before = released(&w);
    w.pass(3_000);
    assert_eq!(
        released(&w),
        before,
        "nothing is released while results are outstanding\n{}",
        w.log()
    );
    for n in [name("a"), name("b")] {
        let pep = w.peps.get_mut(&n).unwrap();
        pep.slow = false;
        pep.work();
        w.report(&n);
    }
    w.pass(30_000);
    assert!(released(&w) > before, "{}", w.log());
}

#[test]
fn results_that_do_not_come_are_failures_after_their_time() {
    let mut peps = two_nodes();
    peps[0].slow = true;
    let mut w = World::new(settings(), peps);
    w.pass(5_000);
    w.mains(Mains::Absent);
    w.pass(120_000);
    let failed = w.kinds(EventKind::ActionFailed);
    assert!(
        failed.iter().any(|e| e.text.contains("did not end in time")),
        "{}",
        w.log()
    );
    assert!(!w.runs("batch-b"), "{}", w.log());
}

#[test]
fn a_pep_that_holds_a_newer_plan_raises_the_term() {
    let mut peps = two_nodes();
    peps[0].facts.held.term = 40;
    peps[0].facts.held.generation = 77;
    peps[0].facts.held.digest = Some([1; 32]);
    let mut w = World::new(settings(), peps);
    w.pass(5_000);
    assert_eq!(w.engine.version().0, 41);
    assert!(w.engine.version().1 > 77);
    assert!(w.peps[&name("a")].facts.held.generation > 77);
}

#[test]
fn two_running_copies_that_no_move_explains_are_an_alarm_and_left_alone() {
    let mut peps = two_nodes();
    peps[1].facts.activities.push(activity("batch-a", "b", "bronze"));
    let mut w = World::new(settings(), peps);
    w.pass(5_000);
    assert!(
        w.engine
            .status()
            .alarms
            .iter()
            .any(|a| a.text.contains("batch-a runs on a and b"))
    );
    w.mains(Mains::Absent);
    w.pass(60_000);
    assert_eq!(w.state_of("batch-a").len(), 2);
    assert!(
        w.state_of("batch-a")
            .iter()
            .all(|(_, s)| *s == ActivityState::Running),
        "{}",
        w.log()
    );
    assert!(!w.runs("batch-b"));
}

#[test]
fn a_restart_resumes_wherever_it_falls() {
    // A run without any restart says how many records there are.
    let run = |cut: Option<usize>| {
        let mut w = World::new(settings(), two_nodes());
        let mut restarted = false;
        let mut step = |w: &mut World| {
            if let Some(cut) = cut
                && !restarted
                && w.records.len() >= cut
            {
                restarted = true;
                let all = w.records.len();
                w.restart(settings(), all);
                for n in [name("a"), name("b")] {
                    w.connect(&n);
                }
            }
        };
        for _ in 0..10 {
            w.pass(500);
            step(&mut w);
        }
        w.mains(Mains::Absent);
        step(&mut w);
        for _ in 0..120 {
            w.pass(500);
            step(&mut w);
        }
        let elapsed = w.engine.status().outage.map(|o| o.elapsed_millis);
        assert_eq!(elapsed, Some(60_000), "cut {cut:?}\n{}", w.log());
        assert!(
            !w.runs("batch-a") && !w.runs("batch-b") && w.runs("db"),
            "cut {cut:?}\n{}",
            w.log()
        );
        w.mains(Mains::Present);
        for _ in 0..600 {
            w.pass(1_000);
            step(&mut w);
        }
        assert_eq!(w.engine.phase(), Phase::Normal, "cut {cut:?}\n{}", w.log());
        for a in ["db", "web", "batch-a", "batch-b"] {
            assert!(w.runs(a), "cut {cut:?}: {a} was not brought back\n{}", w.log());
        }
        w.records.len()
    };
    let records = run(None);
    assert!(records > 20);
    for cut in 0..records {
        run(Some(cut));
    }
}

#[test]
fn replaying_the_journal_gives_the_same_state() {
    let mut w = World::new(settings(), two_nodes());
    w.pass(5_000);
    w.mains(Mains::Absent);
    w.pass(60_000);
    let mut state = State::new(Interruption::new(interruption::Config::new(
        &settings().policy,
        BTreeMap::new(),
    )));
    for r in &w.records {
        state.apply(r);
    }
    let live = w.engine.state();
    assert_eq!(state.tracks, live.tracks);
    assert_eq!(state.issued, live.issued);
    assert_eq!(state.in_force, live.in_force);
    assert_eq!(state.joined, live.joined);
    assert_eq!((state.term, state.generation), (live.term, live.generation));
    assert_eq!(state.machine.phase(), live.machine.phase());
}

#[test]
fn the_metered_view_goes_on_over_a_restart() {
    let mut w = World::new(settings(), two_nodes());
    w.pass(5_000);
    w.mains(Mains::Absent);
    w.pass(60_000);
    let metered = |w: &World| -> Vec<(u64, u64)> {
        let reserves = w.engine.status().reserves;
        let drawn =
            |r: &crate::api::ReserveStatus| (r.drawn_millijoules, r.drawn_in_interruption_millijoules);
        reserves.iter().map(drawn).collect()
    };
    let began: Vec<u64> = two_nodes()
        .iter()
        .flat_map(|p| p.facts.reserves.iter().map(|r| r.charge_millijoules))
        .collect();
    let all = w.records.len();
    w.restart(settings(), all);
    // Nobody tells the new process anything; the reserves go on giving.
    w.read();
    for n in [name("a"), name("b")] {
        w.connect(&n);
    }
    w.pass(10_000);
    let left: Vec<u64> = w
        .peps
        .values()
        .flat_map(|p| p.facts.reserves.iter().map(|r| r.charge_millijoules))
        .collect();
    let drawn: Vec<(u64, u64)> = began.iter().zip(&left).map(|(b, l)| (b - l, b - l)).collect();
    assert!(drawn.iter().all(|(d, _)| *d > 0));
    assert_eq!(metered(&w), drawn, "nothing that was drawn is forgotten");
    w.mains(Mains::Present);
    w.pass(600_000);
    let told = w.kinds(EventKind::Metered);
    assert_eq!(told.len(), 1);
    let told = told[0].data["drawn_millijoules"].as_u64().unwrap();
    assert!(told >= drawn.iter().map(|(d, _)| d).sum());
}

#[test]
fn a_row_that_tells_of_charging_is_not_taken_for_a_reading_of_giving() {
    let mut w = World::new(settings(), two_nodes());
    w.pass(5_000);
    let a = name("a");
    let told = |w: &mut World, millis: u64, charge: u64, milliwatts: i64| {
        w.now += millis;
        let readings = Readings {
            reserves: vec![ReserveReading {
                reserve: name("ups-a"),
                charge_millijoules: charge,
                milliwatts,
                age_millis: 0,
            }],
            ..Readings::default()
        };
        w.give(Input::Readings {
            pep: name("a"),
            readings,
        });
    };
    told(&mut w, 1_000, 300_000_000, 90_000);
    // It gives for 20 s, 100 W of the store, and is charged with 400 W from then on; the row that says so comes in between.
    let row = &mut w.peps.get_mut(&a).unwrap().facts.reserves[0];
    row.charge_millijoules = 299_200_000;
    row.state = power_policy::model::ReserveState::Charging;
    w.now += 23_000;
    w.report(&a);
    told(&mut w, 7_000, 302_000_000, -400_000);
    let status = w.engine.status();
    let ups = status.reserves.iter().find(|r| r.name == "ups-a").unwrap();
    let first = 360_000_000 - 300_000_000;
    assert_eq!(ups.drawn_millijoules - first, 2_000_000);
    assert_eq!(ups.charged_millijoules, 4_000_000);
}
