//! The version and the digest of the plan that a PEP holds.
#![allow(clippy::unwrap_used)]

mod installed;
mod rows;

use cops_codec::client_type::power::{Arc, Cause, Mains, Plan, PlanVersion, Scope};
use cops_codec::client_type::store::{InstalledRows, PlanStatus, RowChange, build, digest};
use cops_codec::client_type::{Digest, Row};
use installed::{
    Part, SPECIFIC, apply, apply_above, errors, install, installed, new_store, plan_of, policy, refused,
    refused_above, remove,
};
use rows::{action, domain, incarnation, number, set, stage};

/// One function computes the digest at both ends: whatever order the PDP holds its rows in, the PEP finds the same.
#[test]
fn both_ends_compute_one_digest() {
    let store = installed();
    let mut rows = policy();
    rows.reverse();
    rows.push(incarnation(9, false, false).into());
    rows.push(domain(1, "feedA", Mains::Absent).into());
    rows.push(plan_of(3, 9, &[]));
    assert_eq!(digest(&rows), digest(store.rows().iter()));
    assert_eq!(store.held(true).digest, Some(digest(&rows)));
    assert_ne!(digest(&rows[1..]), digest(&rows));
    // SHA-256 of nothing, and of one row as it is sent.
    let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    assert_eq!(digest([]).to_string(), empty);
    use sha2::Digest as _;
    let row = Row::from(stage(1, 0));
    assert_eq!(
        digest([&row]).0,
        <[u8; 32]>::from(sha2::Sha256::digest(row.to_vec()))
    );
}

#[test]
fn release_keeps_generation_and_digest() {
    let mut store = installed();
    let done = apply(&mut store, &[install(&[plan_of(1, 1, &policy())])]).unwrap();
    assert_eq!(done.plan, PlanStatus::InForce);
    assert_eq!(done.changes.len(), 1);
    assert!(matches!(done.changes[0], RowChange::Updated { .. }));
    assert_eq!(store.in_force().unwrap().plan().released_stage, 1);
    assert_eq!(store.held(false).released_stage, 1);
}

#[test]
fn refuses_a_change_without_the_plan_s_row() {
    let mut store = installed();
    for dec in [
        vec![install(&[set(3, "tin").into()])],
        vec![install(&[incarnation(1, false, false).into()])],
        vec![remove(build::remove_arcs([Arc::Plans]))],
    ] {
        assert_eq!(
            errors(&refused(&mut store, &dec)),
            [("pwrPlan.1".to_owned(), SPECIFIC, 3)]
        );
    }
    let mut empty = new_store();
    assert_eq!(
        errors(&refused(&mut empty, &[install(&[set(3, "tin").into()])]))[0].2,
        3
    );
    // A DEC that changes no rows needs none.
    assert!(apply(&mut store, &[]).unwrap().changes.is_empty());
    assert!(apply(&mut store, &[install(&[])]).unwrap().changes.is_empty());
}

#[test]
fn refuses_stale_versions() {
    let stale = |store: &mut InstalledRows, term, generation, fence| {
        let plan = Plan {
            term,
            generation,
            ..rows::plan(1, Scope::Standing, 0, digest(&policy()))
        };
        let report = refused_above(store, &[install(&[plan.into()])], fence);
        assert_eq!(errors(&report), [("pwrPlan.1".to_owned(), SPECIFIC, 1)]);
    };
    let mut store = installed();
    let version = |term, generation| PlanVersion { term, generation };
    // Below what the context holds.
    stale(&mut store, 6, 99, PlanVersion::NONE);
    let plan = Plan {
        generation: 5,
        ..rows::plan(1, Scope::Standing, 0, digest(&policy()))
    };
    apply(&mut store, &[install(&[plan.into()])]).unwrap();
    stale(&mut store, 7, 4, PlanVersion::NONE);
    // Below the term of another context; at that term any generation will do.
    stale(&mut store, 7, 9, version(8, 0));
    let plan = Plan {
        term: 8,
        generation: 1,
        ..rows::plan(1, Scope::Standing, 0, digest(&policy()))
    };
    let claimed = apply_above(&mut store, &[install(&[plan.into()])], version(8, 0)).unwrap();
    assert_eq!(claimed.plan, PlanStatus::InForce);
    assert_eq!(store.highest(), version(8, 1));
    // A version of 0 stands for no plan.
    for (term, generation) in [(0, 1), (1, 0)] {
        let plan = Plan {
            term,
            generation,
            ..rows::plan(1, Scope::Standing, 0, digest([]))
        };
        assert_eq!(
            errors(&refused(&mut new_store(), &[install(&[plan.into()])]))[0].2,
            3
        );
    }
}

#[test]
fn refuses_a_digest_that_nothing_more_can_mend() {
    let mut store = installed();
    let wrong = Plan {
        released_stage: 1,
        ..rows::plan(1, Scope::Standing, 1, Digest([7; 32]))
    };
    let report = refused(&mut store, &[install(&[wrong.clone().into()])]);
    assert_eq!(errors(&report), [("pwrPlan.1".to_owned(), SPECIFIC, 2)]);
    // A new term that claims a plan which is not the one held.
    let claim = Plan { term: 8, ..wrong };
    assert_eq!(errors(&refused(&mut store, &[install(&[claim.into()])]))[0].2, 2);
}

#[test]
fn refuses_rows_that_change_under_one_version() {
    let mut store = installed();
    let mut rows = policy();
    rows.push(set(3, "tin").into());
    let report = refused(&mut store, &[install(&[rows[6].clone(), plan_of(1, 0, &rows)])]);
    assert_eq!(errors(&report), [("pwrPlan.1".to_owned(), SPECIFIC, 3)]);
}

#[test]
fn refuses_stage_0_in_a_standing_plan() {
    let mut store = installed();
    let standing = Plan {
        cause: Cause::Standing,
        ..rows::plan(2, Scope::Standing, 0, digest(&policy()))
    };
    let report = refused(&mut store, &[install(&[standing.into()])]);
    assert_eq!(errors(&report), [("pwrPlan.1".to_owned(), SPECIFIC, 3)]);
}

/// A plan too big for one DEC comes in several, and is in force with the last.
#[test]
fn a_plan_in_parts_is_in_force_with_the_last() {
    let mut store = installed();
    let mut rows: Vec<Row> = policy();
    rows.extend((10..200).map(|n| Row::from(action(n, 2, &format!("batch{n}")))));
    let plan = rows::plan(2, Scope::Standing, 0, digest(&rows));
    let incarnation = incarnation(2, true, false);
    let budget = 4_000;
    let parts = build::plan_parts(Some(&incarnation), &plan, &rows, budget).unwrap();
    assert!(parts.len() > 3, "{}", parts.len());
    for (index, contents) in parts.iter().enumerate() {
        let octets: usize = contents
            .iter()
            .map(|contents| contents.len() + build::DECISION_OVERHEAD_OCTETS)
            .sum();
        assert!(octets <= budget, "part {index}: {octets}");
        let mut dec: Vec<Part> = contents.iter().cloned().map(Part::Install).collect();
        if index == 0 {
            dec.insert(0, remove(build::remove_arcs([Arc::Policy, Arc::Plans])));
        }
        let done = apply(&mut store, &dec).unwrap();
        assert_eq!(store.highest(), plan.version());
        if index + 1 < parts.len() {
            assert_eq!(done.plan, PlanStatus::Incomplete);
            assert!(store.in_force().is_none());
            assert_ne!(store.held(true).digest, Some(plan.digest));
            // The Success report says so: a PDP that thought it had sent all sees its mistake.
            assert_eq!(errors(&done.warnings), [("pwrPlan.1".to_owned(), SPECIFIC, 2)]);
        } else {
            assert_eq!(done.plan, PlanStatus::InForce);
            assert!(done.warnings.is_empty());
        }
    }
    assert_eq!(store.in_force().unwrap().actions(number(2)).count(), 191);
    assert_eq!(store.held(true).digest, Some(plan.digest));
}

#[test]
fn one_decision_is_enough_if_the_peer_takes_it() {
    let rows = policy();
    let plan = rows::plan(2, Scope::Standing, 0, digest(&rows));
    let parts = build::plan_parts(None, &plan, &rows, 1 << 20).unwrap();
    assert_eq!(parts.len(), 1);
    assert_eq!(parts[0].len(), 1);
    assert!(build::plan_parts(None, &plan, &rows, 90).is_err());
    assert!(build::plan_parts(None, &plan, &rows, 120).is_err());
}

/// The octets of a DEC are counted with the header of every object: one octet less, and a second DEC is needed.
#[test]
fn the_size_of_a_part_is_exact() {
    let rows: Vec<Row> = (1..=1090).map(|n| action(n, 1, "ledger-db").into()).collect();
    let plan = rows::plan(2, Scope::Standing, 0, digest(&rows));
    let incarnation = incarnation(2, true, false);
    let rows_octets: usize = rows.iter().map(|row| row.to_vec().len()).sum();
    let others = Row::from(plan.clone()).to_vec().len() + Row::from(incarnation.clone()).to_vec().len();
    // Rows and plan fill one object; the incarnation, which no longer fits, has another.
    assert!(rows_octets + others > 65_528);
    let exact = rows_octets + others + 2 * build::DECISION_OVERHEAD_OCTETS;
    let parts = |max| build::plan_parts(Some(&incarnation), &plan, &rows, max).unwrap();
    let contents = parts(exact).concat();
    assert_eq!((parts(exact).len(), contents.len()), (1, 2));
    let octets: usize = contents
        .iter()
        .map(|contents| contents.len() + build::DECISION_OVERHEAD_OCTETS)
        .sum();
    assert_eq!(octets, exact);
    assert_eq!(parts(exact - 1).len(), 2);
}

#[test]
fn an_empty_context_holds_no_plan() {
    let store = new_store();
    assert_eq!(store.plan_status(), PlanStatus::None);
    assert!(store.in_force().is_none());
    let held = store.held(true);
    assert_eq!(
        (held.version(), held.digest, held.armed),
        (PlanVersion::NONE, None, true)
    );
}
