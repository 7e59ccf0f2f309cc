//! Manual pages and shell completions, made of the command line's own declarations so that they cannot differ from it.

use std::io::Write as _;
use std::path::Path;

use anyhow::{Context as _, Result};
use clap::CommandFactory as _;

use super::Arguments;

/// Prints what completes the program's command lines in `shell`.
pub(super) fn completions(shell: clap_complete::Shell) -> Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Arguments::command(), "pdp-server", &mut script);
    std::io::stdout().write_all(&script).context("printing")
}

/// Writes a page for the program and one for each of its commands into `folder`.
pub(super) fn pages(folder: &Path) -> Result<()> {
    clap_mangen::generate_to(Arguments::command(), folder)
        .with_context(|| format!("writing manual pages into {}", folder.display()))
}
