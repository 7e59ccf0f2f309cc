//! Every plan before the independent checker.
#![allow(clippy::unwrap_used)]

mod common;

use common::generate::{MATRICES, Traits, generate};
use power_policy::checker::check;
use power_policy::model::*;
use power_policy::planner::plan;

/// Seeds a matrix. More of them were run by hand.
const SEEDS: u64 = 12;

/// All violations of plans for generated clusters.
fn violations(rough: bool, seeds: std::ops::Range<u64>) -> Vec<String> {
    let mut found = Vec::new();
    for matrix in MATRICES {
        for seed in seeds.clone() {
            let servers = 1 + (seed as usize * 7) % 20;
            let traits = Traits {
                seed,
                servers,
                matrix,
                rough,
                partial: seed % 4 == 3,
            };
            for mode in [Mode::Default, Mode::Survive] {
                let policy = PowerPolicy {
                    mode,
                    ..PowerPolicy::default()
                };
                let snapshot = generate(&traits).build();
                let plan = plan(&snapshot, None, &policy);
                found.extend(
                    check(&snapshot, &plan, &policy)
                        .iter()
                        .map(|v| format!("{traits:?} {mode:?}: {v}")),
                );
            }
        }
    }
    found
}

#[test]
fn smooth_clusters_get_plans_without_a_violation() {
    let found = violations(false, 0..SEEDS);
    assert!(found.is_empty(), "{}\n{}", found.len(), found.join("\n"));
}

#[test]
fn rough_clusters_get_plans_without_a_violation() {
    let found = violations(true, 20..20 + SEEDS);
    assert!(found.is_empty(), "{}\n{}", found.len(), found.join("\n"));
}
