//! Quality and speed of the planner, in one run; writes `report/bench/`.
//!
//! `cargo bench -p system-tests --bench planner_quality -- --seeds 60 --first-seed 1000`

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use clap::Parser;
use system_tests::harness::instance::{Instance, Scenario, Shape};
use system_tests::harness::quality::Effort;
use system_tests::harness::{fixture, generate, quality, report, scaling};

/// How near the planner comes to what could be reached at all, and how long a plan takes.
#[derive(Parser)]
struct Arguments {
    /// Instances of scenarios A and B on each shape of the matrix; the real one gets half of them.
    #[arg(long, default_value_t = 6)]
    seeds: u64,
    /// The first of their seeds.
    #[arg(long, default_value_t = 1_000)]
    first_seed: u64,
    /// Servers of each instance; from 17 on, whole servers are not told apart in the bounds.
    #[arg(long, default_value_t = 12)]
    servers: usize,
    /// Leave out the tightened bound of the service, which takes most of the time.
    #[arg(long)]
    no_tight_service: bool,
    /// Judge the 252 solved instances of the prototype instead of fresh ones.
    #[arg(long)]
    solved: bool,
    /// Of the solved instances, only one in so many.
    #[arg(long, default_value_t = 1)]
    every: usize,
    /// Leave out everything but the times of plans.
    #[arg(long, conflicts_with_all = ["solved", "no_scaling"])]
    only_scaling: bool,
    /// Leave out the times of plans.
    #[arg(long)]
    no_scaling: bool,
    /// Largest number of servers whose plan is timed.
    #[arg(long, default_value_t = 100_000)]
    largest: usize,
    /// Where the report goes.
    #[arg(long, default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/../report/bench"))]
    report: PathBuf,
    /// What cargo says to every bench.
    #[arg(long, hide = true)]
    bench: bool,
}

fn instances(arguments: &Arguments) -> Vec<Instance> {
    let mut instances = Vec::new();
    for scenario in Scenario::ALL {
        let count = match scenario {
            Scenario::Real => arguments.seeds.div_ceil(2),
            _ => arguments.seeds,
        };
        for shape in Shape::ALL {
            let seeds = arguments.first_seed..arguments.first_seed + count;
            instances.extend(seeds.map(|seed| generate::generate(scenario, shape, arguments.servers, seed)));
        }
    }
    instances
}

/// Times of plans, as a text.
fn scaling_text(arguments: &Arguments) -> Result<String> {
    let sizes: Vec<usize> = scaling::SIZES
        .into_iter()
        .filter(|s| *s <= arguments.largest)
        .collect();
    let timed = |shape| anyhow::Ok((shape, scaling::timings(shape, &sizes, arguments.first_seed)?));
    let shapes = Shape::ALL.into_iter().map(timed).collect::<Result<Vec<_>>>()?;
    Ok(report::scaling(&shapes))
}

fn write(arguments: &Arguments, file: &str, content: &str) -> Result<()> {
    let path = arguments.report.join(file);
    std::fs::create_dir_all(&arguments.report).with_context(|| format!("{}", arguments.report.display()))?;
    std::fs::write(&path, content).with_context(|| format!("{}", path.display()))
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    if arguments.only_scaling {
        let text = format!("# Time of a plan\n\n{}", scaling_text(&arguments)?);
        println!("{text}");
        return write(&arguments, "planner-speed.md", &text);
    }
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let (title, cases) = if arguments.solved {
        let all: Vec<_> = fixture::solved()?
            .into_iter()
            .step_by(arguments.every.max(1))
            .collect();
        let cases = quality::judge_all(&all, threads, quality::judge_solved)?;
        ("The 252 solved instances of the prototype".to_owned(), cases)
    } else {
        let effort = match arguments.no_tight_service {
            true => Effort::NoTightService,
            false => Effort::Full,
        };
        let title = format!(
            "{} servers, seeds {} and up",
            arguments.servers, arguments.first_seed
        );
        let judge = |z: &Instance| quality::judge(z, effort);
        (title, quality::judge_all(&instances(&arguments), threads, judge)?)
    };
    let mut text = format!(
        "# The planner's quality\n\n{title}.\n\n{}",
        report::quality(&cases)
    );
    if !arguments.no_scaling {
        text.push_str("\n## Time of a plan\n\n");
        text.push_str(&scaling_text(&arguments)?);
    }
    println!("{text}");
    write(&arguments, "planner-quality.md", &text)?;
    write(&arguments, "planner-quality.csv", &report::lines(&cases))?;
    let above: Vec<String> = cases.iter().flat_map(quality::Case::above_a_bound).collect();
    ensure!(above.is_empty(), "above a bound:\n{}", above.join("\n"));
    Ok(())
}
