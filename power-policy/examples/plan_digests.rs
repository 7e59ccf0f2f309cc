//! Whether a change that is meant to make the planner quicker leaves its plans as they are: a digest of the plan of every
//! generated cluster, to be compared before and after, and how long each size of cluster takes.
//!
//! ```text
//! cargo run --release -p power-policy --example plan_digests -- digests 0..40 > before
//! cargo run --release -p power-policy --example plan_digests -- time rack 100
//! ```
#![allow(clippy::unwrap_used, clippy::panic, reason = "a tool that cannot go on stops")]

#[path = "../tests/common/mod.rs"]
mod common;

use std::fmt::Write as _;

use common::ClusterSpec;
use common::generate::{Dice, Matrix, generate};
use common::survey::clusters;
use power_policy::model::{Cause, Mode, PowerPolicy, Snapshot};
use power_policy::plan::Plan;
use power_policy::planner::plan;
use sha2::{Digest, Sha256};

fn digest(plan: &Plan) -> String {
    // Everything that is in a plan, not only what it prints.
    let bytes = serde_json::to_vec(plan).unwrap();
    let mut text = String::new();
    for byte in &Sha256::digest(bytes)[..12] {
        write!(text, "{byte:02x}").unwrap();
    }
    text
}

fn digests(from: u64, to: u64) {
    for seed in from..to {
        for rough in [false, true] {
            for traits in clusters(seed, rough) {
                for mode in [Mode::Default, Mode::Survive] {
                    let policy = PowerPolicy {
                        mode,
                        ..PowerPolicy::default()
                    };
                    let spec = generate(&traits);
                    let snapshot = spec.build();
                    let first = plan(&snapshot, None, &policy);
                    // A minute later, with that plan in force.
                    let mut later: Snapshot = snapshot.clone();
                    if let Some(outage) = &mut later.outage {
                        outage.elapsed_millis += 60_000;
                    }
                    let second = plan(&later, Some(&first), &policy);
                    let mut drill = snapshot.clone();
                    if let Some(outage) = &mut drill.outage {
                        outage.cause = Cause::Drill;
                    }
                    let third = plan(&drill, None, &policy);
                    println!(
                        "{traits:?} {mode:?} {} {} {}",
                        digest(&first),
                        digest(&second),
                        digest(&third)
                    );
                }
            }
        }
    }
}

/// Ten sets on each server, each a placement of its own; each can start on the next eight servers, since a list of every
/// server for every set would be most of the input. One reserve in twenty is at its cut-off.
fn large(matrix: Matrix, servers: usize) -> Snapshot {
    let dice = &mut Dice::new(7);
    let mut c = ClusterSpec::new();
    let title = |prefix: char, i: usize| format!("{prefix}{i:05}");
    let names: Vec<String> = (0..servers).map(|s| title('s', s)).collect();
    for s in 0..servers {
        let peak = [300, 400, 550][dice.range(0, 2) as usize];
        let idle = peak * dice.range(35, 50) / 100;
        let server = c.server(&names[s], idle, peak, "mains");
        server.halt_millis = dice.range(20, 40) * 1_000;
        server.cpu_millicores = peak * 20;
        server.memory_mebibytes = peak * 200;
        let full = peak * dice.range(5, 15) * 60_000;
        let reserve = c.reserve(&title('u', s), &names[s], 1, peak * 3 / 2);
        reserve.capacity_millijoules = full;
        reserve.cutoff_millijoules = full / 10;
        reserve.charge_millijoules = full * if dice.chance(5) { 10 } else { dice.range(50, 100) } / 100;
        let load = dice.range(30, 90);
        for i in 0..10 {
            let set = format!("a{s:05}-{i}");
            let roll = dice.range(0, 99);
            let class = [3, 45, 60, 92, 100]
                .iter()
                .position(|limit| roll < *limit)
                .unwrap_or(4);
            c.set(&set, 100 - class as u16, Some(0), [256, 64, 16, 4, 1][class]);
            let share = dice.range(20, 180);
            let startable: Vec<&str> = if dice.chance(85) {
                (1..=8).map(|d| names[(s + d) % servers].as_str()).collect()
            } else {
                Vec::new()
            };
            let activity = c.activity(&set, &set, &names[s], 1, &startable);
            activity.startable_on.clear();
            activity.draw_milliwatts = (peak - idle) * load * share / 100;
            activity.cpu_millicores = peak * 20 * load * share / 100_000;
            activity.memory_mebibytes = activity.cpu_millicores * 8;
            activity.stop_millis = dice.range(5, 60) * 1_000;
            activity.move_millis = dice.range(5, 30) * 1_000;
            activity.move_millijoules = activity.move_millis * 50;
        }
    }
    let reserves: Vec<String> = (0..servers).map(|s| title('u', s)).collect();
    let mut line = |name: String, ins: &[usize], outs: &[usize]| {
        let ins: Vec<&str> = ins.iter().map(|r| reserves[*r].as_str()).collect();
        let outs: Vec<&str> = outs.iter().map(|s| names[*s].as_str()).collect();
        c.line(&name, &ins, &outs, 4_000_000);
    };
    let all: Vec<usize> = (0..servers).collect();
    match matrix {
        Matrix::Crossbar => line("bus".to_owned(), &all, &all),
        Matrix::Ring => {
            for s in 0..servers {
                let mut near: Vec<usize> = (0..5).map(|d| (s + 2 * servers + d - 2) % servers).collect();
                near.sort_unstable();
                near.dedup();
                line(title('l', s), &near, &[s]);
            }
        }
        _ => {
            for (r, members) in all.chunks(8).enumerate() {
                line(title('l', r), members, members);
            }
        }
    }
    c.blackout();
    let snapshot = c.build();
    snapshot.validate().unwrap();
    snapshot
}

/// Processor time of this thread so far, microseconds; Linux says it.
#[allow(clippy::disallowed_methods, reason = "a tool that measures asks the system")]
fn processor_time() -> u64 {
    let said = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    said.split(' ').next().unwrap().parse::<u64>().unwrap() / 1_000
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        ["digests", range] => {
            let (from, to) = range.split_once("..").unwrap();
            digests(from.parse().unwrap(), to.parse().unwrap());
        }
        ["time", matrix, servers] => {
            let matrix = match matrix {
                "crossbar" => Matrix::Crossbar,
                "rack" => Matrix::Rack,
                "ring" => Matrix::Ring,
                other => panic!("no matrix is called {other}"),
            };
            let snapshot = large(matrix, servers.parse().unwrap());
            let began = processor_time();
            let plan = plan(&snapshot, None, &PowerPolicy::default());
            let took = processor_time().saturating_sub(began);
            println!("{} stages, {took} us, {}", plan.stages.len(), digest(&plan));
        }
        _ => panic!("digests FROM..TO, or time crossbar|rack|ring SERVERS"),
    }
}
