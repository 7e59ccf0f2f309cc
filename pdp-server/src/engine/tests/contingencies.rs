//! Plans that are held ready: made in quiet days, kept current, and put in force by one short decision a PEP.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use power_policy::interruption::Command;
use power_policy::model::{Cause, Mains, Scope};

use super::super::contingency::Contingency;
use super::super::fixture::*;
use super::super::*;
use super::two_nodes;
use super::world::{World, settings};

fn with_contingencies() -> Settings {
    Settings {
        contingencies: true,
        ..settings()
    }
}

/// The same, and a count of the plans that the engine makes itself, which nobody may have to wait for.
fn counted() -> (Settings, Arc<AtomicUsize>) {
    let count = Arc::new(AtomicUsize::new(0));
    let counts = Arc::clone(&count);
    let settings = Settings {
        planner: Arc::new(move |snapshot, previous, policy| {
            counts.fetch_add(1, Ordering::Relaxed);
            power_policy::planner::plan(snapshot, previous, policy)
        }),
        ..with_contingencies()
    };
    (settings, count)
}

/// A node for each domain, and a line that joins all their reserves to all of them. The important work is on `a`.
fn domains(names: &[&str]) -> Vec<FakePep> {
    let upses: Vec<String> = names.iter().map(|n| format!("ups-{n}")).collect();
    let upses: Vec<&str> = upses.iter().map(String::as_str).collect();
    let mut peps: Vec<FakePep> = names
        .iter()
        .map(|n| {
            let (work, batch) = (format!("work-{n}"), format!("batch-{n}"));
            let qos = if *n == "a" { "gold" } else { "silver" };
            let activities = [(work.as_str(), qos), (batch.as_str(), "bronze")];
            FakePep::new(n, node(n, &format!("feed-{n}"), &activities))
        })
        .collect();
    // Not enough for the gold target: the others lend.
    peps[0].facts.reserves = vec![reserve("ups-a", 10)];
    peps[names.len() - 1].facts.lines = vec![line("bus", &upses, names)];
    peps
}

/// A world in which everything that is to be held ready is held ready.
fn ready(settings: Settings, peps: Vec<FakePep>) -> World {
    let mut w = World::new(settings, peps);
    w.pass(30_000);
    assert!(!w.engine.state().prepared.is_empty(), "{}", w.log());
    w
}

fn held(w: &World, pep: &str) -> Vec<Contingency> {
    w.peps[&name(pep)].contingencies.keys().copied().collect()
}

fn fail(w: &mut World, pep: &str) {
    for d in &mut w.peps.get_mut(&name(pep)).unwrap().facts.domains {
        d.mains = Mains::Absent;
    }
    w.report(&name(pep));
}

#[test]
fn in_quiet_days_plans_are_held_ready_and_nothing_of_them_is_done() {
    let mut w = ready(with_contingencies(), two_nodes());
    // One domain: the loss of the own domain is the loss of the whole cluster, and there are no others.
    for pep in ["a", "b"] {
        assert_eq!(held(&w, pep), [Contingency::Cluster]);
        assert!(w.peps[&name(pep)].applied.is_empty());
    }
    let standing = w.engine.in_force().unwrap();
    assert_eq!(standing.plan.cause, Cause::Standing);
    let status = w.engine.status().contingencies;
    assert_eq!(status.len(), 1);
    assert_eq!(status[0].domains, ["feed"]);
    assert_eq!(status[0].stale, None);
    assert!(
        status[0]
            .peps
            .iter()
            .all(|p| p.held && p.contingency == "whole cluster")
    );
    assert!(status[0].age_millis > 0);
    let explained = w.engine.explain().to_text();
    assert!(explained.contains("held ready by 2 of 2 PEPs"), "{explained}");
}

#[test]
fn nothing_is_sent_again_while_nothing_changes() {
    let mut w = ready(with_contingencies(), two_nodes());
    let generation = w.engine.version().1;
    let records = w.records.len();
    w.pass(600_000);
    assert_eq!(w.engine.version().1, generation);
    let after: Vec<&str> = w.records[records..].iter().map(Record::kind).collect();
    assert!(!after.contains(&"prepared"), "{after:?}");
}

#[test]
fn a_plan_that_is_held_ready_is_put_in_force_without_planning_and_without_a_new_generation() {
    let (settings, plans) = counted();
    let mut w = ready(settings, two_nodes());
    let (generation, before) = (w.engine.version().1, plans.load(Ordering::Relaxed));
    let part = w.engine.state().prepared[0].generation;
    w.mains(Mains::Absent);
    assert_eq!(w.engine.phase(), Phase::Debounce);
    assert_eq!(plans.load(Ordering::Relaxed), before, "nobody waits for a plan");
    assert_eq!(
        w.activated,
        [
            (name("a"), Contingency::Cluster, part),
            (name("b"), Contingency::Cluster, part)
        ]
    );
    assert_eq!(w.engine.version().1, generation, "activation does not raise it");
    let in_force = w.engine.in_force().unwrap();
    assert_eq!(in_force.generation, part);
    assert_eq!(in_force.plan.cause, Cause::DomainMains);
    for pep in w.peps.values() {
        assert_eq!(pep.facts.held.generation, part);
    }
    // What is kept comes before what is sent.
    let at = w.records.iter().position(|r| r.kind() == "activated");
    assert!(at.is_some());

    // It goes on as any interruption does, to the end.
    w.pass(60_000);
    assert_eq!(w.engine.phase(), Phase::Interrupted);
    assert!(w.runs("db"));
    assert!(!w.runs("batch-a") && !w.runs("batch-b"), "{}", w.log());
    w.mains(Mains::Present);
    w.pass(700_000);
    assert_eq!(w.engine.phase(), Phase::Normal, "{}", w.log());
    for a in ["db", "web", "batch-a", "batch-b"] {
        assert!(w.runs(a), "{a} was not brought back\n{}", w.log());
    }
    let in_force = w.engine.in_force().unwrap();
    assert_eq!(in_force.plan.cause, Cause::Standing);
    assert!(in_force.held_under.is_empty());
    // And is ready for the next one.
    let status = w.engine.status().contingencies;
    assert_eq!(status[0].stale, None);
    assert!(status[0].peps.iter().all(|p| p.held));
}

#[test]
fn the_second_interruption_is_as_ready_as_the_first() {
    let mut w = ready(with_contingencies(), two_nodes());
    for round in 1..=2 {
        w.mains(Mains::Absent);
        assert_eq!(w.activated.len(), 2 * round, "{}", w.log());
        w.pass(60_000);
        assert!(!w.runs("batch-a"));
        w.mains(Mains::Present);
        w.pass(3_000_000);
        assert!(w.runs("batch-a"));
    }
}

#[test]
fn a_charge_that_has_moved_too_far_makes_a_plan_stale() {
    let (settings, plans) = counted();
    let mut w = ready(settings, two_nodes());
    let before = plans.load(Ordering::Relaxed);
    for pep in w.peps.values_mut() {
        for r in &mut pep.facts.reserves {
            r.charge_millijoules = r.capacity_millijoules / 100 * 95;
        }
    }
    w.report(&name("a"));
    w.mains(Mains::Absent);
    assert_eq!(w.activated, []);
    assert_eq!(
        plans.load(Ordering::Relaxed),
        before + 1,
        "it is planned when it comes"
    );
    assert_eq!(w.engine.in_force().unwrap().plan.cause, Cause::DomainMains);
    let explained = w.engine.explain().to_text();
    assert!(
        explained.contains("the charge of ups-a has changed"),
        "{explained}"
    );
}

#[test]
fn a_charge_that_moves_slowly_is_followed_at_most_once_a_minute() {
    let mut w = ready(with_contingencies(), two_nodes());
    let mut made = Vec::new();
    let mut seen = w.records.len();
    // A hundredth of the capacity every ten seconds, which the world charges again by two.
    for _ in 0..60 {
        for pep in w.peps.values_mut() {
            for r in &mut pep.facts.reserves {
                r.charge_millijoules -= r.capacity_millijoules / 100 * 3;
            }
        }
        w.pass(10_000);
        for record in &w.records[seen..] {
            if record.kind() == "prepared" {
                made.push(w.now);
            }
        }
        seen = w.records.len();
    }
    assert!(made.len() >= 2, "{made:?}");
    assert!(made.windows(2).all(|m| m[1] - m[0] >= 60_000), "{made:?}");
}

#[test]
fn a_domain_and_its_lenders_are_told_and_nobody_else() {
    let mut w = ready(with_contingencies(), domains(&["a", "b"]));
    let all = [
        Contingency::Cluster,
        Contingency::OwnDomain,
        Contingency::Borrowers,
    ];
    for pep in ["a", "b"] {
        assert_eq!(held(&w, pep), all, "{}", w.log());
    }
    fail(&mut w, "a");
    w.pass(100);
    let told: Vec<(Name, Contingency)> = w.activated.iter().map(|(p, c, _)| (p.clone(), *c)).collect();
    assert_eq!(
        told,
        [
            (name("a"), Contingency::OwnDomain),
            (name("b"), Contingency::Borrowers)
        ],
        "{}",
        w.log()
    );
    w.pass(60_000);
    assert!(
        w.runs("work-a") && w.runs("work-b") && !w.runs("batch-a"),
        "{}",
        w.log()
    );
    assert!(w.runs("batch-b"), "its mains is there\n{}", w.log());
}

#[test]
fn who_holds_nothing_for_a_case_gets_its_part_whole() {
    // Each lends to the two others, so that no PEP holds what another domain alone asks of it.
    let mut w = ready(with_contingencies(), domains(&["a", "b", "c"]));
    let generation = w.engine.version().1;
    fail(&mut w, "a");
    w.pass(100);
    let told: Vec<(Name, Contingency)> = w.activated.iter().map(|(p, c, _)| (p.clone(), *c)).collect();
    assert_eq!(told, [(name("a"), Contingency::OwnDomain)], "{}", w.log());
    let in_force = w.engine.in_force().unwrap().clone();
    assert_eq!(
        in_force.generation,
        generation + 1,
        "that of the parts that are new"
    );
    assert!(in_force.generation_of(&name("a")) <= generation);
    let takes_part = |pep: &str| w.peps[&name(pep)].facts.held.generation == in_force.generation;
    assert!(takes_part("b") || takes_part("c"), "{}", w.log());
    w.pass(60_000);
    assert!(!w.runs("batch-a") && w.runs("work-a"), "{}", w.log());
    w.mains(Mains::Present);
    w.pass(700_000);
    assert!(w.runs("batch-a"), "{}", w.log());
    assert_eq!(w.engine.status().counts.violations, 0, "{}", w.log());
}

#[test]
fn a_server_alone_is_planned_for_when_it_is_clear_that_it_is_alone() {
    let (settings, plans) = counted();
    let mut w = ready(settings, two_nodes());
    let before = plans.load(Ordering::Relaxed);
    fail(&mut w, "a");
    assert_eq!(
        plans.load(Ordering::Relaxed),
        before,
        "it may be the whole domain"
    );
    w.pass(100);
    assert_eq!(w.activated, []);
    assert_eq!(plans.load(Ordering::Relaxed), before + 1);
    assert_eq!(w.engine.in_force().unwrap().plan.cause, Cause::ServerMains);
}

#[test]
fn what_a_pep_has_not_put_in_force_it_is_told_anew() {
    let mut w = ready(with_contingencies(), two_nodes());
    w.unwilling.insert(name("b"));
    let generation = w.engine.version().1;
    w.mains(Mains::Absent);
    w.pass(100);
    let in_force = w.engine.in_force().unwrap();
    assert!(in_force.generation > generation && in_force.held_under.is_empty());
    assert_eq!(
        w.peps[&name("b")].facts.held.generation,
        in_force.generation,
        "{}",
        w.log()
    );
    w.pass(60_000);
    assert!(
        w.runs("db") && !w.runs("batch-a") && !w.runs("batch-b"),
        "{}",
        w.log()
    );
}

#[test]
fn a_pep_that_was_away_when_its_contingency_was_activated_activates_it_when_it_is_back() {
    let mut w = ready(with_contingencies(), two_nodes());
    // Its connection is dead, and nobody knows yet: what is sent is lost.
    let b = name("b");
    let before = w.peps[&b].facts.held.clone();
    let slice = w.peps[&b].slice.clone();
    let rows = w.peps[&b].facts.clone();
    w.mains(Mains::Absent);
    let pep = w.peps.get_mut(&b).unwrap();
    pep.facts = rows;
    pep.facts.held = before;
    pep.facts.domains[0].mains = Mains::Absent;
    pep.slice = slice;
    pep.applied.clear();
    w.activated.clear();
    w.disconnect(&b);
    w.connect(&b);
    assert_eq!(w.activated.len(), 1, "{}", w.log());
    assert_eq!((&w.activated[0].0, w.activated[0].1), (&b, Contingency::Cluster));
    w.pass(60_000);
    assert!(w.runs("db") && !w.runs("batch-b"), "{}", w.log());
}

#[test]
fn a_command_is_planned_when_it_comes() {
    let mut w = ready(with_contingencies(), two_nodes());
    let command = Command::Interrupt(Scope::Cluster);
    w.give(Input::Command {
        id: "1".to_owned(),
        command,
    });
    w.pass(10_000);
    assert_eq!(w.activated, []);
    assert_eq!(w.engine.in_force().unwrap().plan.cause, Cause::Command);
}

#[test]
fn a_plan_that_comes_back_during_an_interruption_is_dropped() {
    let mut w = World::new(with_contingencies(), two_nodes());
    w.is_planner_away = true;
    w.pass(10_000);
    assert_eq!(w.plans_ahead.len(), 1, "one at a time");
    w.mains(Mains::Absent);
    let plan = w.plans_ahead.pop().unwrap();
    w.give(Input::PlannedAhead(Box::new(plan.run())));
    assert!(w.engine.state().prepared.is_empty());
    w.pass(60_000);
    assert!(
        w.plans_ahead.is_empty(),
        "nothing is planned ahead in an interruption"
    );
    assert!(w.runs("db") && !w.runs("batch-b"));
}

#[test]
fn a_plan_that_the_checker_objects_to_is_not_held() {
    let strict = || Settings {
        checker: Arc::new(|snapshot, _, _| match snapshot.outage {
            Some(_) => vec!["it is not liked".to_owned()],
            None => Vec::new(),
        }),
        ..with_contingencies()
    };
    let mut w = World::new(strict(), two_nodes());
    w.pass(30_000);
    assert!(w.engine.state().prepared.is_empty());
    assert!(held(&w, "a").is_empty());
    assert!(w.log().contains("no plan is held ready"), "{}", w.log());
}

#[test]
fn switched_off_nothing_is_planned_ahead_and_what_was_is_not_used() {
    let mut w = ready(with_contingencies(), two_nodes());
    let all = w.records.len();
    w.restart(settings(), all);
    for n in ["a", "b"] {
        w.connect(&name(n));
    }
    w.is_planner_away = true;
    w.pass(200_000);
    assert!(w.plans_ahead.is_empty());
    assert!(
        w.engine.state().prepared.is_empty(),
        "what is not wanted is forgotten"
    );
    w.mains(Mains::Absent);
    w.pass(60_000);
    assert_eq!(w.activated, []);
    assert!(w.runs("db") && !w.runs("batch-b"));
}

#[test]
fn a_restart_between_holding_and_activating_changes_nothing() {
    let mut w = ready(with_contingencies(), two_nodes());
    let part = w.engine.state().prepared[0].generation;
    let all = w.records.len();
    w.restart(with_contingencies(), all);
    for n in ["a", "b"] {
        w.connect(&name(n));
    }
    w.pass(1_000);
    w.mains(Mains::Absent);
    assert_eq!(
        w.activated,
        [
            (name("a"), Contingency::Cluster, part),
            (name("b"), Contingency::Cluster, part)
        ],
        "{}",
        w.log()
    );
    w.pass(60_000);
    assert!(w.runs("db") && !w.runs("batch-b"), "{}", w.log());
}

#[test]
fn a_restart_resumes_wherever_it_falls_also_with_contingencies() {
    let run = |cut: Option<usize>| {
        let mut w = World::new(with_contingencies(), two_nodes());
        let mut restarted = false;
        let mut step = |w: &mut World| {
            if let Some(cut) = cut
                && !restarted
                && w.records.len() >= cut
            {
                restarted = true;
                let all = w.records.len();
                w.restart(with_contingencies(), all);
                for n in [name("a"), name("b")] {
                    w.connect(&n);
                }
            }
        };
        for _ in 0..20 {
            w.pass(500);
            step(&mut w);
        }
        w.mains(Mains::Absent);
        step(&mut w);
        for _ in 0..120 {
            w.pass(500);
            step(&mut w);
        }
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
        (w.records.len(), w.activated.len())
    };
    let (records, activated) = run(None);
    assert_eq!(activated, 2);
    for cut in 0..records {
        run(Some(cut));
    }
}
