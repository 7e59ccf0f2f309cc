//! The plant process: `pep-agent plant --config plant.toml [--clock-scale N]`.
//!
//! One task lets the plant's time pass, one accepts connections and has a task for each, one looks after the agents'
//! processes. They share one [`power_policy::plant::Plant`] behind a lock that is never held across an await. What is
//! said on the socket stands in [`crate::drivers::plant_protocol`].
//!
//! When the plant ends, by SIGINT or SIGTERM, its agents get SIGTERM, and after [`limits::AGENT_GRACE_MILLIS`] SIGKILL.
//! When it is killed, their links close, which tells them to exit ([`crate::drivers::plant_link`]).

mod agents;
pub mod config;
mod host;
mod listener;

use crate::io::toml_file::TomlError;
use crate::limits;
use config::PlantFile;
use host::Host;
use power_policy::plant::Plant;
use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;

/// Arguments of `pep-agent plant`.
#[derive(Clone, Debug, clap::Args)]
pub struct PlantArgs {
    /// File that describes the plant and the agents it starts
    #[arg(long)]
    pub config: PathBuf,
    /// How many simulated seconds pass in a real one
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=i64::from(limits::MAX_CLOCK_SCALE)))]
    pub clock_scale: u32,
}

/// Why a plant did not run.
#[derive(Debug, thiserror::Error)]
pub enum PlantRunError {
    /// Its file is wrong: exit status 2.
    #[error(transparent)]
    Config(#[from] TomlError),
    /// Its socket cannot be had.
    #[error("cannot listen on {}: {source}", path.display())]
    Listen {
        /// The socket.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// Signals cannot be waited for.
    #[error("cannot wait for signals: {0}")]
    Signals(std::io::Error),
}

impl PlantRunError {
    /// Exit status of the program.
    pub fn exit_status(&self) -> u8 {
        match self {
            PlantRunError::Config(_) => 2,
            PlantRunError::Listen { .. } | PlantRunError::Signals(_) => 1,
        }
    }
}

/// Runs a plant until SIGINT or SIGTERM.
///
/// # Errors
/// A wrong file, or a socket that cannot be had.
pub async fn run(args: &PlantArgs) -> Result<(), PlantRunError> {
    use tokio::signal::unix::{SignalKind, signal};
    let file = PlantFile::read(&args.config)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(PlantRunError::Signals)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(PlantRunError::Signals)?;
    serve(&file, args.clock_scale, async {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
    .await
}

/// Runs a plant until `end` resolves. Its socket accepts connections before the first agent is started.
///
/// # Errors
/// A wrong plant, or a socket that cannot be had.
pub async fn serve(
    file: &PlantFile,
    clock_scale: u32,
    end: impl Future<Output = ()>,
) -> Result<(), PlantRunError> {
    let plant = Plant::new(file.plant.clone()).map_err(|error| TomlError {
        file: file.folder.clone(),
        line: None,
        key: None,
        problem: error.to_string(),
    })?;
    let listen = |source| PlantRunError::Listen {
        path: file.socket.clone(),
        source,
    };
    let socket = listener::Socket::bind(&file.socket).await.map_err(listen)?;
    let host = Arc::new(Host::new(plant, clock_scale.max(1)));
    let mut agents = agents::Agents::new(
        &file.agents,
        &host,
        &file.folder,
        &file.log_folder,
        clock_scale.max(1),
    );
    tracing::info!(socket = %file.socket.display(), clock_scale, agents = file.agents.len(), "the plant runs");
    let serving = socket.serve(Arc::clone(&host));
    tokio::pin!(serving);
    tokio::select! {
        () = end => {}
        () = host.pass_time() => {}
        () = &mut serving => {}
        () = agents.follow(&host) => {}
    }
    // The connections stay open meanwhile: agents end because they are asked to, not because their plant is gone.
    tokio::select! {
        () = agents.end() => {}
        () = &mut serving => {}
    }
    tracing::info!("the plant has ended");
    Ok(())
}
