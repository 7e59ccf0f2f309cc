//! Load on a PDP, and what it measures: docs/performance.md.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::{Args, Parser, Subcommand};
use cops_codec::wire::{AccountingTimer, KaTimer};
use pdp_server::config::Config;
use pdp_server::io::{Options, run_with};
use system_tests::load::crew::{Crew, Latency, Load};
use system_tests::load::module::LoadModule;
use system_tests::load::peer::{Against, Control};
use system_tests::load::{bench, floor, machine, worker};

/// Tens of thousands of PEPs, the floors they are measured against, and the bench that does so.
#[derive(Debug, Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// PEPs on a PDP that runs already.
    Peps(Peps),
    /// A PDP that serves power, and beside it a client-type whose decisions need no engine.
    Pdp {
        /// The PDP's configuration file.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
    },
    /// No PDP: answers the octets of a REQ with those of a DEC. Says where it listens.
    Floor,
    /// A PDP and its floor at several sizes; writes a report.
    Bench(Bench),
    /// A process of PEPs; started by the others.
    #[command(hide = true)]
    Worker {
        /// Its share, as JSON.
        share: String,
    },
}

#[derive(Debug, Args)]
struct Peps {
    /// Where the PDP listens.
    #[arg(long, value_name = "ADDRESS:PORT")]
    pdp: SocketAddr,
    /// With which client-type: power's, or that of `load pdp`; or none, for `load floor`.
    #[arg(long, value_enum, default_value = "power")]
    against: Against,
    /// How many PEPs.
    #[arg(long, value_name = "N", default_value_t = 100)]
    peps: usize,
    /// Processes that they are divided among; each may have as many descriptors as the system lets it.
    #[arg(long, value_name = "P", default_value_t = 1)]
    processes: usize,
    /// Milliseconds between two requests of a PEP.
    #[arg(long, value_name = "MS", default_value_t = 10_000)]
    pace_millis: u64,
    /// Each makes its next request when one is answered.
    #[arg(long, conflicts_with = "pace_millis")]
    flat_out: bool,
    /// Seconds between two accounting reports of a PEP; 0: none.
    #[arg(long, value_name = "S", default_value_t = 10)]
    accounting_seconds: u64,
    /// How many read a quarter of a second late.
    #[arg(long, value_name = "N", default_value_t = 0)]
    slow: usize,
    /// How many open, and then neither read nor write.
    #[arg(long, value_name = "N", default_value_t = 0)]
    dead: usize,
    /// Seconds to go on after all are connected.
    #[arg(long, value_name = "S", default_value_t = 30)]
    duration: u64,
    /// Print the figures as JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct Bench {
    /// Sizes, smallest first.
    #[arg(
        long,
        value_delimiter = ',',
        value_name = "N,...",
        default_value = "1000,10000"
    )]
    peps: Vec<usize>,
    /// Sizes with the power client-type and its engine.
    #[arg(long, value_delimiter = ',', value_name = "N,...", default_value = "1000")]
    cluster: Vec<usize>,
    /// Processes of the load.
    #[arg(long, value_name = "P", default_value_t = 2)]
    processes: usize,
    /// Seconds of steady state.
    #[arg(long, value_name = "S", default_value_t = 20)]
    steady: u64,
    /// Decisions to all, of either kind.
    #[arg(long, value_name = "N", default_value_t = 5)]
    decisions: usize,
    /// Few PEPs, for moments: that it works, not what it costs.
    #[arg(long)]
    short: bool,
    /// Folder that gets pdp.txt and pdp.json; codec.json and instructions.json there become a part of the latter.
    #[arg(long, value_name = "FOLDER", default_value = "report/bench")]
    report: PathBuf,
}

fn main() -> ExitCode {
    match run(Arguments::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("load: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(task: Task) -> Result<()> {
    machine::raise_descriptors();
    if let Task::Worker { share } = &task {
        return worker::run(share);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("starting the runtime")?;
    runtime.block_on(async {
        match task {
            Task::Peps(peps) => load(peps).await,
            Task::Pdp { config } => serve(&config).await,
            Task::Floor => floor::serve().await,
            Task::Bench(arguments) => measure(arguments).await,
            Task::Worker { .. } => Ok(()),
        }
    })
}

async fn serve(file: &Path) -> Result<()> {
    let name = file.display().to_string();
    let text = std::fs::read_to_string(file).with_context(|| name.clone())?;
    let mut config = Config::from_toml(&name, &text)?;
    // As the programs do: paths are beside the file.
    let beside = file.parent().unwrap_or(Path::new("."));
    config.journal.path = beside.join(&config.journal.path);
    config.admin.socket = beside.join(&config.admin.socket);
    let module = LoadModule::new(
        KaTimer(config.cops.keep_alive_seconds),
        AccountingTimer(config.cops.accounting_seconds),
    );
    run_with(config, Options::default(), vec![Box::new(module)]).await
}

async fn load(peps: Peps) -> Result<()> {
    let mut crew = Crew::start(&Load {
        pdp: peps.pdp,
        against: peps.against,
        peps: peps.peps,
        processes: peps.processes,
        slow: peps.slow,
        dead: peps.dead,
        program: std::env::current_exe().context("path of this program")?,
    })?;
    let begun = machine::now_nanos();
    let mut seen = crew.connect().await?;
    let storm_millis = (seen.at_nanos - begun) / 1_000_000;
    crew.control(Control {
        pace_millis: (!peps.flat_out).then_some(peps.pace_millis),
        flat_out: peps.flat_out,
        accounting_millis: (peps.accounting_seconds > 0).then_some(peps.accounting_seconds * 1_000 + 50),
        ..Control::default()
    })
    .await?;
    tokio::time::sleep(Duration::from_secs(peps.duration)).await;
    seen.merge(crew.look().await?);
    let (opening, asking) = (Latency::from(&seen.opening), Latency::from(&seen.asking));
    if peps.json {
        let figures = serde_json::json!({
            "peps": peps.peps,
            "open": seen.open,
            "ended": seen.ended,
            "storm_millis": storm_millis,
            "opening": opening,
            "asking": asking,
            "decisions_unasked": seen.decisions,
            "faults": seen.faults,
        });
        println!("{figures:#}");
        return Ok(());
    }
    println!(
        "{} of {} PEPs are open; all were after {storm_millis} ms",
        seen.open, peps.peps
    );
    println!("{} decisions were not asked for", seen.decisions);
    for (what, latency) in [("opening", opening), ("REQ to DEC", asking)] {
        println!(
            "{what:<10} {:>8} times, us: p50 {:.0}, p90 {:.0}, p99 {:.0}, p99.9 {:.0}, most {:.0}",
            latency.count,
            latency.p50_micros,
            latency.p90_micros,
            latency.p99_micros,
            latency.p999_micros,
            latency.max_micros
        );
    }
    for (fault, times) in &seen.faults {
        println!("{times} times: {fault}");
    }
    Ok(())
}

async fn measure(arguments: Bench) -> Result<()> {
    let program = std::env::current_exe().context("path of this program")?;
    let plan = if arguments.short {
        bench::Plan::short(program)
    } else {
        bench::Plan {
            sizes: arguments.peps,
            cluster: arguments.cluster,
            processes: arguments.processes,
            steady: Duration::from_secs(arguments.steady),
            flat_out: Duration::from_secs(5),
            decisions: arguments.decisions,
            pace_millis: 10_000,
            program,
        }
    };
    let mut report = bench::run(&plan, |what| eprintln!("{what}")).await?;
    let read = |name: &str| {
        let text = std::fs::read_to_string(arguments.report.join(name)).ok()?;
        serde_json::from_str(&text).ok()
    };
    report.codec = read("codec.json");
    report.instructions = read("instructions.json");
    bench::write(&report, &arguments.report)?;
    print!("{}", report.text());
    Ok(())
}
