//! How long a plan takes, by the size of the cluster.

use std::time::Duration;

use anyhow::Result;
use power_policy::model::PowerPolicy;
use power_policy::planner::plan;
use rustix::time::{ClockId, clock_gettime};

use super::cluster::snapshot;
use super::generate::generate_with;
use super::instance::{Scenario, Shape};

/// Numbers of servers.
pub const SIZES: [usize; 7] = [10, 30, 100, 300, 1_000, 10_000, 100_000];
/// Sets on each server.
pub const SETS_EACH: usize = 10;
/// Servers on which each set can start.
const RECEIVERS: usize = 8;
/// What is expected to take longer is not tried.
const LONGEST: Duration = Duration::from_secs(60);
/// What is short is measured several times, until this much time has passed.
const ENOUGH: Duration = Duration::from_millis(500);
/// Most such times.
const MOST_ROUNDS: u32 = 200;

/// Processor time of this thread: what else the machine does is not counted.
fn used() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(
        time.tv_sec.unsigned_abs(),
        u32::try_from(time.tv_nsec).unwrap_or(0),
    )
}

/// The time of one size.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Timing {
    /// Servers.
    pub servers: usize,
    /// Processor time of the quickest plan; `None`: not tried.
    pub took: Option<Duration>,
    /// Growth since the size before: the time is as the servers to this power.
    pub exponent: Option<f64>,
}

/// Times of one shape, in scenario A.
///
/// # Errors
/// A cluster that cannot be described.
pub fn timings(shape: Shape, sizes: &[usize], seed: u64) -> Result<Vec<Timing>> {
    let mut timings: Vec<Timing> = Vec::new();
    let policy = PowerPolicy::default();
    for servers in sizes.iter().copied() {
        let before = timings.last().copied();
        let expected = before.and_then(|b| {
            let growth = (servers as f64 / b.servers as f64).powf(b.exponent.unwrap_or(1.0).max(1.0));
            b.took.map(|t| t.as_secs_f64() * growth)
        });
        let hopeless = before.is_some_and(|b| b.took.is_none());
        if hopeless || expected.is_some_and(|e| e > LONGEST.as_secs_f64()) {
            timings.push(Timing {
                servers,
                took: None,
                exponent: None,
            });
            continue;
        }
        let z = generate_with(Scenario::A, shape, servers, seed, Some(SETS_EACH));
        let cluster = snapshot(&z, true, Some(RECEIVERS))?;
        let begun = used();
        let mut took = Duration::MAX;
        for _ in 0..MOST_ROUNDS {
            let before = used();
            std::hint::black_box(plan(std::hint::black_box(&cluster), None, &policy));
            took = took.min(used() - before);
            if used() - begun > ENOUGH {
                break;
            }
        }
        let exponent = before.and_then(|b| {
            let ratio = took.as_secs_f64() / b.took?.as_secs_f64();
            Some(ratio.ln() / (servers as f64 / b.servers as f64).ln())
        });
        timings.push(Timing {
            servers,
            took: Some(took),
            exponent,
        });
    }
    Ok(timings)
}
