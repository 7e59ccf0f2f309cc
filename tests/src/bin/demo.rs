//! `make demo`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use system_tests::demo::{self, Options};

/// A cluster rides through a power interruption: real programs on loopback, simulated electricity.
#[derive(Debug, Parser)]
struct Arguments {
    /// Folder with plant.toml, pdp.toml and the agents' files.
    #[arg(long, value_name = "FOLDER")]
    config: Option<PathBuf>,
    /// Folder that gets the report; an earlier report there is replaced.
    #[arg(long, value_name = "FOLDER", default_value = "report/demo")]
    report: PathBuf,
    /// How much faster than the world the simulated electricity runs.
    #[arg(long, value_name = "N", default_value_t = 30)]
    clock_scale: u32,
    /// Record the COPS traffic into this file, for Wireshark.
    #[arg(long, value_name = "FILE")]
    capture: Option<PathBuf>,
    /// Plain lines, without the progress display.
    #[arg(long)]
    plain: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let options = Options {
        config: arguments.config.unwrap_or_else(demo::default_config),
        report: arguments.report,
        clock_scale: arguments.clock_scale,
        capture: arguments.capture,
        plain: arguments.plain,
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("demo: {error}");
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(demo::run(&options)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("demo: {error:#}");
            ExitCode::FAILURE
        }
    }
}
