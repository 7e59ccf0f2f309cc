//! The agent's program.

use clap::{CommandFactory as _, Parser, Subcommand};
use pep_agent::io::check::{self, CheckArgs};
use pep_agent::io::discover::{self, DiscoverArgs};
use pep_agent::io::operator::{self, OperatorArgs, StatusArgs};
use pep_agent::io::plant::{self, PlantArgs};
use pep_agent::io::run::{self, RunArgs};
use std::io::{IsTerminal, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

/// The policy enforcement point on a node (experimental: its client-type is from the private-use range)
#[derive(Debug, Parser)]
#[command(name = "pep-agent", version)]
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
    /// Print what completes this program's command lines in a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Write the manual pages of this program and its commands
    ManPages {
        /// The folder, which is there
        #[arg(value_name = "FOLDER")]
        folder: PathBuf,
    },
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
            Command::Completions { shell } => {
                let mut script = Vec::new();
                clap_complete::generate(*shell, &mut Cli::command(), "pep-agent", &mut script);
                std::io::stdout()
                    .write_all(&script)
                    .map_err(|e| (format!("printing: {e}"), 1))
            }
            Command::ManPages { folder } => clap_mangen::generate_to(Cli::command(), folder)
                .map_err(|e| (format!("{}: {e}", folder.display()), 1)),
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
