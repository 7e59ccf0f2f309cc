//! Every plan before the independent checker. `tests/common/survey.rs` says how to run it over other seeds.
#![allow(clippy::unwrap_used)]

mod common;

use common::generate::generate;
use common::survey::{Tally, clusters, seeds, show, survey};
use power_policy::checker::check;
use power_policy::model::*;
use power_policy::planner::plan;

/// Seeds of each test; five matrices and two modes each.
const SEEDS: u64 = 12;

fn seed(seed: u64, rough: bool, tally: &mut Tally) {
    for traits in clusters(seed, rough) {
        for mode in [Mode::Default, Mode::Survive] {
            let policy = PowerPolicy {
                mode,
                ..PowerPolicy::default()
            };
            let snapshot = generate(&traits).build();
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
    survey(seeds(0..SEEDS), |s, tally| seed(s, false, tally)).conclude("smooth");
}

#[test]
fn rough_clusters_get_plans_without_a_violation() {
    survey(seeds(20..20 + SEEDS), |s, tally| seed(s, true, tally)).conclude("rough");
}
