//! `pep-agent discover`: a first file for this node, from what is found on it.
//!
//! `load` measures what runs, `found` looks for reserves and outlets, `text` writes the file. What nobody can find
//! out (watts of an idle server, which feed an inlet hangs on, what work is worth) is a marked guess.

mod found;
mod load;
#[cfg(test)]
mod tests;
mod text;

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::PathBuf;
use std::time::Duration;

use self::found::Places;

/// Arguments of `pep-agent discover`.
#[derive(Clone, Debug, clap::Args)]
pub struct DiscoverArgs {
    /// Name of this node; left out: its host name
    #[arg(long)]
    pub name: Option<String>,
    /// The PDP, as host:port
    #[arg(long, default_value = "127.0.0.1:3288")]
    pub pdp: String,
    /// The NUT server that is asked for UPSes, as host:port
    #[arg(long, default_value = "127.0.0.1:3493")]
    pub nut: String,
    /// How long the load is measured
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub seconds: u64,
    /// File that is written, if there is none of this name yet; left out: standard output
    #[arg(long)]
    pub output: Option<PathBuf>,
}

/// Why there is no file.
#[derive(Debug, thiserror::Error)]
pub enum DiscoverError {
    /// What runs cannot be read.
    #[error("cannot read what runs: {0}")]
    Processes(io::Error),
    /// The file cannot be written.
    #[error("cannot write {path}: {error}")]
    Write {
        /// The file.
        path: String,
        /// Why.
        error: io::Error,
    },
}

/// Looks around, and writes what is found.
///
/// # Errors
/// See [`DiscoverError`]. What is not found (no NUT server, no battery) is a comment in the file.
pub async fn discover(args: &DiscoverArgs) -> Result<(), DiscoverError> {
    let span = Duration::from_secs(args.seconds);
    let groups = load::measure(&Places::of_this_machine().table(), span)
        .await
        .map_err(DiscoverError::Processes)?;
    let found = found::look(&Places::of_this_machine(), &args.nut).await;
    let text = text::write(args, &found, &groups);
    let write = |path: &str, result: io::Result<()>| {
        result.map_err(|error| DiscoverError::Write {
            path: path.to_owned(),
            error,
        })
    };
    match &args.output {
        None => write("standard output", io::stdout().lock().write_all(text.as_bytes())),
        Some(path) => {
            // What an operator has written is not written over.
            let file = OpenOptions::new().write(true).create_new(true).open(path);
            write(
                &path.display().to_string(),
                file.and_then(|mut file| file.write_all(text.as_bytes())),
            )
        }
    }
}
