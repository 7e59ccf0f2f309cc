//! A journal gives the plans that it holds, and a changed one is found out.

use std::sync::Arc;

use power_policy::model::Mains;

use super::super::fixture::name;
use super::super::replay::{Difference, Replay, Summary};
use super::super::*;
use super::two_nodes;
use super::world::{World, settings};

fn with_contingencies() -> Settings {
    Settings {
        contingencies: true,
        ..settings()
    }
}

/// Records of a life: quiet days, an interruption with a restart of the PDP in it, and the way back.
fn a_life() -> Vec<Record> {
    let mut w = World::new(with_contingencies(), two_nodes());
    w.pass(30_000);
    w.mains(Mains::Absent);
    w.pass(20_000);
    let all = w.records.len();
    w.restart(with_contingencies(), all);
    for n in ["a", "b"] {
        w.connect(&name(n));
    }
    w.pass(40_000);
    w.mains(Mains::Present);
    w.pass(700_000);
    assert_eq!(w.engine.phase(), Phase::Normal);
    w.records
}

fn replay(records: &[Record]) -> Result<Summary, Difference> {
    let Settings { planner, checker, .. } = settings();
    let mut replay = Replay::new(planner, checker, None);
    for (seq, record) in (1..).zip(records) {
        replay.take(seq, record)?;
    }
    assert!(replay.has_policy());
    Ok(replay.summary())
}

#[test]
fn a_journal_is_replayed_to_the_same_plans() {
    let records = a_life();
    let summary = replay(&records).unwrap_or_else(|difference| panic!("{difference}"));
    let count = |kind: &str| records.iter().filter(|r| r.kind() == kind).count() as u64;
    assert_eq!(summary.plans, count("plan"));
    assert!(
        summary.plans > 3 && summary.prepared > 0 && summary.parts > 3,
        "{summary}"
    );
    assert_eq!((summary.starts, summary.skipped, summary.holes), (2, 0, 0));
    assert_eq!(replay(&records).unwrap().digest, summary.digest);
}

#[test]
fn a_plan_that_is_another_one_is_found_and_shown() {
    let mut records = a_life();
    let at = records.iter().rposition(
        |r| matches!(r, Record::Plan { in_force, .. } if in_force.plan.central_stages().count() > 0),
    );
    let at = at.unwrap();
    let Record::Plan { in_force, digest, .. } = &mut records[at] else {
        unreachable!()
    };
    // Its digest is that of what is there: only planning again finds out.
    *digest = None;
    let mut plan = (*in_force.plan).clone();
    let stage = plan.stages.iter_mut().find(|s| !s.local).unwrap();
    stage.steps.pop();
    in_force.plan = Arc::new(plan);
    let difference = replay(&records).unwrap_err();
    assert_eq!(difference.seq, at as u64 + 1);
    assert_eq!(difference.kind, "plan");
    let text = difference.to_string();
    assert!(
        text.contains("the plan is another one") && text.contains("at .stages["),
        "{text}"
    );
    assert!(text.contains("then:") && text.contains("now:"), "{text}");
}

#[test]
fn a_digest_a_part_and_a_state_that_do_not_fit_are_found() {
    let life = a_life();
    let change = |change: &dyn Fn(&mut Record) -> bool| {
        let mut records = life.clone();
        // The last one of its kind: what is before it is as it was.
        let changed = records.iter_mut().rev().any(change);
        assert!(changed);
        replay(&records).unwrap_err().to_string()
    };
    let text = change(&|record| match record {
        Record::Plan {
            digest: Some(digest), ..
        } => {
            digest[0] ^= 1;
            true
        }
        _ => false,
    });
    assert!(text.contains("does not have its digest"), "{text}");
    let text = change(&|record| match record {
        Record::Issued { issued, .. } if issued.slice.is_central() => {
            let mut slice = (*issued.slice).clone();
            slice.stages.clear();
            issued.slice = Arc::new(slice);
            true
        }
        _ => false,
    });
    assert!(text.contains("is not its part of the plan"), "{text}");
    let text = change(&|record| match record {
        Record::Activated { case, .. } => {
            case.insert(name("elsewhere"));
            true
        }
        _ => false,
    });
    assert!(text.contains("not held ready"), "{text}");
    // A state in the middle of a run.
    let mut records = life.clone();
    let mut state = {
        let machine = Interruption::new(interruption::Config::new(&settings().policy, Default::default()));
        State::new(machine)
    };
    records.iter().for_each(|r| state.apply(r));
    records.push(Record::Checkpoint {
        state: Box::new(state.clone()),
        after_failure: false,
    });
    assert_eq!(replay(&records).unwrap().checkpoints, 1);
    state.off.insert(name("s9"), 5);
    records.pop();
    records.push(Record::Checkpoint {
        state: Box::new(state.clone()),
        after_failure: false,
    });
    let text = replay(&records).unwrap_err().to_string();
    assert!(
        text.contains("another state") && text.contains("at .off.s9"),
        "{text}"
    );
    // The journal had failed in between: that is no difference, and told.
    records.pop();
    records.push(Record::Checkpoint {
        state: Box::new(state),
        after_failure: true,
    });
    assert_eq!(replay(&records).unwrap().holes, 1);
}

#[test]
fn what_stands_before_the_first_checkpoint_of_a_shortened_journal_is_skipped() {
    let life = a_life();
    let second = life
        .iter()
        .rposition(|r| matches!(r, Record::Checkpoint { .. }))
        .unwrap();
    let Settings { planner, checker, .. } = settings();
    let policy = settings().policy;
    let mut replay = Replay::new(planner, checker, Some(Box::new(move |_| policy.clone())));
    let from = second - 3;
    for (seq, record) in (from as u64 + 1..).zip(&life[from..]) {
        replay
            .take(seq, record)
            .unwrap_or_else(|difference| panic!("{difference}"));
    }
    let summary = replay.summary();
    assert!(summary.skipped > 0 && summary.skipped <= 3, "{summary}");
    assert!(summary.plans > 0, "{summary}");
}
