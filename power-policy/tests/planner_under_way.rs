//! Plans that are made while another is being carried out: moves half done, stops, halts and lines under way, and news
//! that comes late. `tests/common/survey.rs` says how to run it over other seeds.
#![allow(clippy::unwrap_used)]

mod common;

use common::generate::{Dice, generate};
use common::survey::{Tally, clusters, seeds, show, survey};
use common::under_way::{MISHAPS, under_way};
use power_policy::checker::check;
use power_policy::model::*;
use power_policy::planner::plan;

/// Seeds of each test; five matrices and seven mishaps each, two plans after the first.
const SEEDS: u64 = 8;

fn seed(seed: u64, rough: bool, tally: &mut Tally) {
    let policy = PowerPolicy {
        mode: if seed % 3 == 2 {
            Mode::Survive
        } else {
            Mode::Default
        },
        ..PowerPolicy::default()
    };
    for traits in clusters(seed, rough) {
        let snapshot = generate(&traits).build();
        let first = plan(&snapshot, None, &policy);
        for (at, mishap) in MISHAPS.into_iter().enumerate() {
            let mut dice = Dice::new(seed * 31 + at as u64);
            let (mut snapshot, mut in_force) = (snapshot.clone(), first.clone());
            for again in 1..=2 {
                snapshot = under_way(&snapshot, &in_force, &mut dice, mishap);
                in_force = plan(&snapshot, Some(&in_force), &policy);
                tally.cases += 1;
                for v in check(&snapshot, &in_force, &policy) {
                    let mut words = format!("{traits:?} {mishap:?} {again}: {v}");
                    if show() {
                        words.push_str(&format!("\n{in_force}"));
                    }
                    tally.found(format!("{:?}", v.invariant), words);
                }
            }
        }
    }
}

#[test]
fn smooth_clusters_are_planned_anew_in_the_middle_of_a_plan_without_a_violation() {
    survey(seeds(760_000..760_000 + SEEDS), |s, tally| seed(s, false, tally)).conclude("smooth, under way");
}

#[test]
fn rough_clusters_are_planned_anew_in_the_middle_of_a_plan_without_a_violation() {
    survey(seeds(760_100..760_100 + SEEDS), |s, tally| seed(s, true, tally)).conclude("rough, under way");
}
