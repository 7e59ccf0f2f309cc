//! `history`: what the journal tells of the past, from the running PDP or from the file.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, UNIX_EPOCH};

use anyhow::Result;
use clap::{Args, ValueEnum};

use super::table::Table;
use super::{Place, ask, print_as, read_config};
use crate::api::{Happening, History};
use crate::io::clock::unix_millis;
use crate::io::journal::read_history;

/// `pdp-server history`.
#[derive(Debug, Args)]
pub(super) struct HistoryArguments {
    /// Ask the PDP of this admin socket.
    #[arg(long, value_name = "PATH", required_unless_present_any = ["config", "journal"])]
    socket: Option<PathBuf>,
    /// Read the journal that this configuration file names, whether its PDP runs or not.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["socket", "journal"])]
    config: Option<PathBuf>,
    /// Read this journal.
    #[arg(long, value_name = "FILE", conflicts_with = "socket")]
    journal: Option<PathBuf>,
    /// Not older than this ("24h", "30days").
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    since: Option<Duration>,
    /// At most so many entries, the newest.
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    limit: u32,
    /// Only entries of these kinds.
    #[arg(long, value_enum, value_name = "KIND", value_delimiter = ',')]
    only: Vec<Kind>,
    /// As JSON (docs/json.md).
    #[arg(long)]
    json: bool,
}

/// Kinds of entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// Beginnings and ends of interruptions.
    Interruptions,
    /// Commands, with who gave them and what was answered: the audit.
    Commands,
    /// Plans and released stages.
    Plans,
    /// Alarms, and their ends.
    Alarms,
    /// Starts of the PDP.
    Starts,
}

impl Kind {
    fn of(what: &Happening) -> Self {
        match what {
            Happening::Started { .. } => Self::Starts,
            Happening::InterruptionBegan { .. } | Happening::InterruptionEnded => Self::Interruptions,
            Happening::Command { .. } => Self::Commands,
            Happening::Plan { .. } | Happening::Released { .. } => Self::Plans,
            Happening::Alarm { .. } | Happening::AlarmCleared { .. } => Self::Alarms,
        }
    }
}

/// Runs `pdp-server history`.
pub(super) fn history(arguments: HistoryArguments) -> Result<ExitCode> {
    let since = arguments.since.map_or(0, |since| {
        let since = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
        unix_millis().saturating_sub(since)
    });
    let limit = arguments.limit as usize;
    let print = |mut history: History| {
        if !arguments.only.is_empty() {
            history
                .entries
                .retain(|entry| arguments.only.contains(&Kind::of(&entry.what)));
        }
        print_as(arguments.json, &history, text)
    };
    let file = match (arguments.journal, arguments.config) {
        (Some(journal), _) => journal,
        (None, Some(config)) => read_config(&config)?.journal.path,
        (None, None) => {
            let place = Place {
                socket: arguments.socket,
                config: None,
            };
            return ask(place, async move |client| {
                print(client.history(since, limit).await?)
            });
        }
    };
    print(read_history(&file, since, limit)?)
}

/// A time of the calendar, in UTC.
fn when(unix_millis: u64) -> String {
    let time = UNIX_EPOCH + Duration::from_millis(unix_millis);
    humantime::format_rfc3339_seconds(time).to_string()
}

fn text(history: &History) -> String {
    let mut out = String::new();
    if history.entries.is_empty() && history.interruptions.is_empty() {
        return "nothing is kept\n".to_owned();
    }
    let mut table = Table::new(&[
        "interruption",
        "began",
        "lasted",
        "cause",
        "scope",
        "plans",
        "commands",
    ]);
    for interruption in &history.interruptions {
        let [cause, scope, lasted] = interruption.words();
        table.row([
            interruption.id.clone(),
            interruption
                .began_unix_millis
                .map_or_else(|| "earlier".to_owned(), when),
            lasted,
            cause,
            scope,
            interruption.plans.to_string(),
            interruption.commands.to_string(),
        ]);
    }
    table.write("interruptions", &mut out);
    let mut table = Table::new(&["when (UTC)", "interruption", "what"]);
    for entry in &history.entries {
        table.row([
            when(entry.unix_millis),
            entry.interruption.clone().unwrap_or_default(),
            entry.what.to_string(),
        ]);
    }
    table.write("what happened", &mut out);
    out
}
