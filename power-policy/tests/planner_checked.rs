//! Every plan before the independent checker. `tests/common/survey.rs` says how to run it over other seeds.
#![allow(clippy::unwrap_used)]

mod common;

use common::ClusterSpec;
use common::generate::generate;
use common::survey::{Tally, clusters, seeds, show, survey};
use power_policy::checker::check;
use power_policy::model::*;
use power_policy::planner::plan;

/// Seeds of each test; five matrices and two modes each. Nobody looked at these ranges while the planner was tuned.
const SEEDS: u64 = 40;
/// Seeds where reserves are dead from the beginning.
const DEAD_SEEDS: u64 = 12;

fn seed(seed: u64, rough: bool, tally: &mut Tally) {
    bent(seed, rough, |_| (), tally);
}

/// Plans for the clusters of a seed, after something has been done to them.
fn bent(seed: u64, rough: bool, bend: impl Fn(&mut ClusterSpec), tally: &mut Tally) {
    for traits in clusters(seed, rough) {
        for mode in [Mode::Default, Mode::Survive] {
            let policy = PowerPolicy {
                mode,
                ..PowerPolicy::default()
            };
            let mut spec = generate(&traits);
            bend(&mut spec);
            let snapshot = spec.build();
            let plan = plan(&snapshot, None, &policy);
            tally.cases += 1;
            for v in check(&snapshot, &plan, &policy) {
                let mut words = format!("{traits:?} {mode:?}: {v}");
                if show() {
                    words.push_str(&format!("\n{plan}"));
                }
                tally.found(format!("{:?}", v.invariant), words);
            }
        }
    }
}

#[test]
fn smooth_clusters_get_plans_without_a_violation() {
    survey(seeds(700_000..700_000 + SEEDS), |s, tally| seed(s, false, tally)).conclude("smooth");
}

#[test]
fn rough_clusters_get_plans_without_a_violation() {
    survey(seeds(700_100..700_100 + SEEDS), |s, tally| seed(s, true, tally)).conclude("rough");
}

/// Every fifth reserve is at its cut-off, and the lines are quick enough to carry its server from the first instant.
#[test]
fn clusters_with_dead_reserves_behind_quick_lines_get_plans_without_a_violation() {
    let dead = |spec: &mut ClusterSpec| {
        for reserve in spec.reserves.iter_mut().skip(1).step_by(5) {
            reserve.0.charge_millijoules = reserve.0.cutoff_millijoules;
        }
    };
    survey(seeds(40..40 + DEAD_SEEDS), |s, tally| bent(s, false, dead, tally)).conclude("dead reserves");
}

#[test]
fn drills_get_plans_without_a_violation() {
    let drill = |spec: &mut ClusterSpec| {
        if let Some(outage) = &mut spec.outage {
            outage.cause = Cause::Drill;
        }
    };
    survey(seeds(700_200..700_200 + SEEDS), |s, tally| {
        bent(s, s % 2 == 0, drill, tally)
    })
    .conclude("drills");
}
