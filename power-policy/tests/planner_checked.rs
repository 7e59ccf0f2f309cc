//! Every plan before the independent checker.
#![allow(clippy::unwrap_used)]

mod common;

use std::collections::BTreeMap;

use common::generate::{MATRICES, Traits, generate};
use power_policy::checker::check;
use power_policy::model::*;
use power_policy::planner::plan;

#[test]
fn survey() {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    let mut shown: BTreeMap<String, usize> = BTreeMap::new();
    for matrix in MATRICES {
        for rough in [false, true] {
            for seed in 0..16 {
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
                    for v in check(&snapshot, &plan, &policy) {
                        let key = format!("{:?}", v.invariant);
                        *counts.entry(key.clone()).or_default() += 1;
                        let n = shown.entry(key).or_default();
                        *n += 1;
                        if *n <= 6 {
                            println!("{traits:?} {mode:?}: {v}");
                        }
                    }
                }
            }
        }
    }
    println!("{counts:?}");
}
