//! The agent's program.

use clap::{Parser, Subcommand};
use pep_agent::io::plant::{self, PlantArgs};
use std::process::ExitCode;

/// The policy enforcement point on a node
#[derive(Debug, Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a simulated plant, and the agents on its servers
    Plant(PlantArgs),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let filter = tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "info".into());
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .init();
    // One thread: what the program does is waiting, and the plant is one value.
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("pep-agent: cannot start: {error}");
            return ExitCode::FAILURE;
        }
    };
    match cli.command {
        Command::Plant(args) => match runtime.block_on(plant::run(&args)) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("pep-agent: {error}");
                ExitCode::from(error.exit_status())
            }
        },
    }
}
