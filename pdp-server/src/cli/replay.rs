//! `replay`: a journal against the engine.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Result;

use super::{print_as, read_config};
use crate::engine::replay::{PolicyOfScale, Replay, Summary};
use crate::io::journal::JournalFile;

/// Exit status of a journal that is not what the engine makes of it.
const DIFFERENT: u8 = 3;

/// Replays a journal, and says what it proves.
pub(super) fn run(journal: &Path, config: Option<&Path>, json: bool) -> Result<ExitCode> {
    let given = config.map(read_config).transpose()?.map(|config| {
        let policy: PolicyOfScale = Box::new(move |scale| config.scaled_policy(scale));
        policy
    });
    let mut file = JournalFile::open(journal)?;
    let checker = |snapshot: &_, plan: &_, policy: &_| -> Vec<String> {
        let found = power_policy::checker::check(snapshot, plan, policy);
        found.iter().map(ToString::to_string).collect()
    };
    let mut replay = Replay::new(Arc::new(power_policy::planner::plan), Arc::new(checker), given);
    loop {
        let records = file.read_more()?;
        if records.is_empty() {
            break;
        }
        for stored in records {
            if let Err(difference) = replay.take(stored.seq, &stored.record) {
                eprintln!("pdp-server: {}: {difference}", journal.display());
                return Ok(ExitCode::from(DIFFERENT));
            }
        }
    }
    if !replay.has_policy() {
        anyhow::bail!(
            "{}: its plans cannot be made again: it does not say how they were made; give the PDP's file with --config",
            journal.display()
        );
    }
    print_as(json, &replay.summary(), |summary: &Summary| {
        format!("{summary}\n")
    })
}
