//! Many seeds at once. The tests take the ranges that stand in them; by hand any range is taken, with a tally at the end:
//!
//! ```text
//! POLICY_SEEDS=1000..2000 cargo test --locked --release -p power-policy --test planner_checked -- --nocapture
//! ```

use std::collections::BTreeMap;
use std::ops::Range;

use super::generate::{MATRICES, Matrix, Traits};

/// Seeds to look at: `POLICY_SEEDS=FROM..TO` of the environment, or else what the test says.
pub(crate) fn seeds(default: Range<u64>) -> Range<u64> {
    let Ok(text) = std::env::var("POLICY_SEEDS") else {
        return default;
    };
    let range = text
        .split_once("..")
        .and_then(|(from, to)| Some(from.parse().ok()?..to.parse().ok()?));
    assert!(
        range.is_some(),
        "POLICY_SEEDS is FROM..TO, for instance 1000..2000, not {text:?}"
    );
    range.unwrap()
}

/// With `POLICY_SHOW` in the environment each finding comes with its plan.
pub(crate) fn show() -> bool {
    std::env::var_os("POLICY_SHOW").is_some()
}

/// The clusters of a seed, one for each matrix.
pub(crate) fn clusters(seed: u64, rough: bool) -> impl Iterator<Item = Traits> {
    MATRICES.into_iter().map(move |matrix| one(seed, matrix, rough))
}

fn one(seed: u64, matrix: Matrix, rough: bool) -> Traits {
    Traits {
        seed,
        servers: 1 + usize::try_from(seed % 20 * 7 % 20).unwrap(),
        matrix,
        rough,
        partial: seed % 4 == 3,
    }
}

/// How many cases there were, and what was found in them, by its kind.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) cases: usize,
    found: BTreeMap<String, Vec<String>>,
}

impl Tally {
    pub(crate) fn found(&mut self, kind: impl ToString, words: String) {
        self.found.entry(kind.to_string()).or_default().push(words);
    }

    pub(crate) fn merge(&mut self, other: Self) {
        self.cases += other.cases;
        for (kind, mut words) in other.found {
            self.found.entry(kind).or_default().append(&mut words);
        }
    }

    /// Prints the numbers, and fails with all that was found if it is anything.
    pub(crate) fn conclude(&self, what: &str) {
        let counts: Vec<String> = self
            .found
            .iter()
            .map(|(kind, list)| format!("{kind} {}", list.len()))
            .collect();
        let counts = if counts.is_empty() {
            "nothing".to_owned()
        } else {
            counts.join(", ")
        };
        let total: usize = self.found.values().map(Vec::len).sum();
        println!("{what}: {} cases, found {total}: {counts}", self.cases);
        let all: Vec<&str> = self.found.values().flatten().map(String::as_str).collect();
        assert!(self.found.is_empty(), "{what}: {total}\n{}", all.join("\n"));
    }
}

/// Surveys each seed, on as many threads as there are processors; in the order of the seeds whatever the threads do.
pub(crate) fn survey(range: Range<u64>, each: impl Fn(u64, &mut Tally) + Sync) -> Tally {
    let threads = std::thread::available_parallelism().map_or(1, usize::from) as u64;
    let threads = if std::env::var("POLICY_SEEDS").is_ok() {
        threads
    } else {
        1
    };
    let mut parts: Vec<(u64, Tally)> = std::thread::scope(|scope| {
        let each = &each;
        let workers: Vec<_> = (0..threads)
            .map(|part| {
                let range = range.clone();
                scope.spawn(move || {
                    let mut list = Vec::new();
                    for seed in range.skip(part as usize).step_by(threads as usize) {
                        let mut tally = Tally::default();
                        each(seed, &mut tally);
                        list.push((seed, tally));
                    }
                    list
                })
            })
            .collect();
        workers.into_iter().flat_map(|w| w.join().unwrap()).collect()
    });
    parts.sort_by_key(|(seed, _)| *seed);
    let mut tally = Tally::default();
    for (_, part) in parts {
        tally.merge(part);
    }
    tally
}
