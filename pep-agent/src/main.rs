//! The agent's program.

use clap::{Parser, Subcommand};
use pep_agent::io::check::{self, CheckArgs};
use pep_agent::io::discover::{self, DiscoverArgs};
use pep_agent::io::operator::{self, OperatorArgs, StatusArgs};
use pep_agent::io::plant::{self, PlantArgs};
use pep_agent::io::run::{self, RunArgs};
use std::io::IsTerminal;
use std::process::ExitCode;

/// The policy enforcement point on a node (experimental: its client-type is from the private-use range)
#[derive(Debug, Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the agent: observe, report, and carry out the plan of the PDP
    Run(RunArgs),
    /// Show what a running agent knows and does
    Status(StatusArgs),
    /// Let a running agent carry plans out; kept over restarts
    Arm(OperatorArgs),
    /// Let a running agent observe only; kept over restarts
    Disarm(OperatorArgs),
    /// Check an agent's file, and say what it means on this machine
    CheckConfig(CheckArgs),
    /// Write a first file for this node, from what is found on it
    Discover(DiscoverArgs),
    /// Run a simulated plant, and the agents on its servers
    Plant(PlantArgs),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let filter = tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "info".into());
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        // Colours are for eyes, not for files.
        .with_ansi(std::io::stderr().is_terminal())
        .init();
    // One thread: what the program does is waiting, and the plant is one value.
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("pep-agent: cannot start: {error}");
            return ExitCode::FAILURE;
        }
    };
    let ended = runtime.block_on(async {
        match &cli.command {
            Command::Run(args) => run::run(args).await.map_err(|e| (e.to_string(), e.exit_status())),
            Command::Status(args) => operator::status(args)
                .await
                .map_err(|e| (e.to_string(), e.exit_status())),
            Command::Arm(args) => operator::arm(args, true)
                .await
                .map_err(|e| (e.to_string(), e.exit_status())),
            Command::Disarm(args) => operator::arm(args, false)
                .await
                .map_err(|e| (e.to_string(), e.exit_status())),
            Command::CheckConfig(args) => check::check(args).await.map_err(|e| (e.to_string(), 2)),
            Command::Discover(args) => discover::discover(args).await.map_err(|e| (e.to_string(), 1)),
            Command::Plant(args) => plant::run(args)
                .await
                .map_err(|e| (e.to_string(), e.exit_status())),
        }
    });
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err((error, status)) => {
            eprintln!("pep-agent: {error}");
            ExitCode::from(status)
        }
    }
}
