//! How long a plan takes, by the number of servers and the shape of the switch matrix; ten sets a server at most.
#![allow(missing_docs, reason = "criterion's macros make functions without any")]
#![allow(clippy::unwrap_used, reason = "a bench that cannot build its cluster fails")]

#[path = "../tests/common/mod.rs"]
mod common;

use std::hint::black_box;

use common::generate::{Matrix, Traits, generate};
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use power_policy::model::PowerPolicy;
use power_policy::planner::plan;

fn planning(c: &mut Criterion) {
    let mut group = c.benchmark_group("plan");
    group.sample_size(10);
    for matrix in [Matrix::Crossbar, Matrix::Rack, Matrix::Ring] {
        for servers in [10, 100, 1_000] {
            let traits = Traits {
                seed: 7,
                servers,
                matrix,
                rough: false,
                partial: false,
            };
            let mut spec = generate(&traits);
            // A list of every server for every set would be most of the input: the next 8 can start it.
            for activity in spec.activities.iter_mut().filter(|a| !a.3.is_empty()) {
                let home: usize = activity.2[1..].parse().unwrap();
                activity.3 = (1..=8).map(|d| format!("s{:03}", (home + d) % servers)).collect();
                activity.3.sort();
                activity.3.dedup();
            }
            let snapshot = spec.build();
            group.bench_with_input(
                BenchmarkId::new(format!("{matrix:?}"), servers),
                &snapshot,
                |b, snapshot| {
                    b.iter(|| plan(black_box(snapshot), None, &PowerPolicy::default()));
                },
            );
        }
    }
    group.finish();
}

criterion_group!(benches, planning);
criterion_main!(benches);
