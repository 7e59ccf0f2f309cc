//! The command line.
//!
//! | exit status | meaning |
//! |---|---|
//! | 0 | done |
//! | 1 | not done; one line on standard error says why |
//! | 3 | `replay`: the journal is not what the engine makes of it; standard error says where |
//! | 2 | the command or the configuration is wrong; the line names file, line, key and what was expected |

// Reading the configuration and talking to a PDP is IO; what is said is made in `table`.
#![allow(clippy::disallowed_methods)]

mod command;
mod history;
mod manual;
mod replay;
mod table;
mod what_if;

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Args, Parser, Subcommand, ValueEnum};

use self::command::{Consent, NoConsent};
use crate::api::{Availability, CommandScope};
use crate::config::{Config, ConfigError, NotifyTo};
use crate::io::admin::AdminClient;
use crate::io::{self, Options};
use crate::limits;
use crate::what_if::SuppositionError;
use crate::what_if::described::DescribedError;

/// Exit status of a wrong command line or configuration.
const WRONG_USAGE: u8 = 2;

/// The policy decision point of a cluster: keeps the most important work powered when the mains fails.
#[derive(Debug, Parser)]
#[command(name = "pdp-server", version, about)]
struct Arguments {
    #[command(subcommand)]
    command: Subcommands,
}

#[derive(Debug, Subcommand)]
enum Subcommands {
    /// Run the PDP until SIGTERM or SIGINT.
    Run {
        /// The configuration file.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
        /// Run the engine's clock so many times faster than the world; actuates simulated things only.
        #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=10_000))]
        clock_scale: u32,
        /// How the log on standard error is written.
        #[arg(long, value_enum, value_name = "FORM", default_value_t = LogForm::Text)]
        log: LogForm,
    },
    /// Check a configuration file and say what it means.
    CheckConfig {
        /// The configuration file.
        #[arg(value_name = "FILE")]
        config: PathBuf,
    },
    /// Show what is going on.
    Status {
        #[command(flatten)]
        place: Place,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Show the plan in force; or, with --what-if, what would be planned in a supposed interruption and what that is worth.
    /// Nothing is done.
    Plan(what_if::PlanArguments),
    /// Show the plan in force with the reason of each step, and in an interruption what each class may expect from here on.
    Explain {
        #[command(flatten)]
        place: Place,
        #[command(flatten)]
        questions: what_if::Questions,
        /// As JSON (docs/json.md).
        #[arg(long)]
        json: bool,
    },
    /// Print what a plan would be made from now, as JSON: for `plan --cluster`, here or elsewhere.
    Snapshot {
        #[command(flatten)]
        place: Place,
    },
    /// Follow what happens, a line an event.
    Events {
        #[command(flatten)]
        place: Place,
        /// Begin after the event of this number instead of now; 0: with the oldest that is kept.
        #[arg(long, value_name = "N")]
        since: Option<u64>,
        /// As JSON, an object a line.
        #[arg(long)]
        json: bool,
    },
    /// Treat a part of the cluster as if its mains were lost: reserves are diverted, low activities shed.
    Interrupt {
        #[command(flatten)]
        place: Place,
        /// `cluster`, `domain=NAME` or `server=NAME`.
        #[arg(long, value_name = "SCOPE")]
        scope: CommandScope,
        #[command(flatten)]
        id: CommandId,
        #[command(flatten)]
        consent: Consent,
    },
    /// Go the way of an interruption with every actuator held, and report what would have happened. Exit status 1 where a step
    /// would fail.
    Drill(command::DrillArguments),
    /// Show interruptions, commands with who gave them, plans with their causes, and alarms, as the journal has them.
    History(history::HistoryArguments),
    /// Send all PEPs to another PDP, those that are connected too, until `accept`. Not kept over a restart.
    Redirect {
        #[command(flatten)]
        place: Place,
        /// Address and port of the other PDP. PEPs follow only to one that their own file names.
        #[arg(long, value_name = "IP:PORT")]
        to: std::net::SocketAddr,
        #[command(flatten)]
        of: OfClientType,
        #[command(flatten)]
        id: CommandId,
        #[command(flatten)]
        consent: Consent,
    },
    /// Send all PEPs away, to the next PDP of their own list, until `accept`. Not kept over a restart.
    Drain {
        #[command(flatten)]
        place: Place,
        #[command(flatten)]
        of: OfClientType,
        #[command(flatten)]
        id: CommandId,
        #[command(flatten)]
        consent: Consent,
    },
    /// Serve PEPs again, after `redirect` or `drain`, or in spite of the file's `[redirect]`.
    Accept {
        #[command(flatten)]
        place: Place,
        #[command(flatten)]
        of: OfClientType,
        #[command(flatten)]
        id: CommandId,
    },
    /// End a commanded interruption and bring back what was shed.
    Restore {
        #[command(flatten)]
        place: Place,
        #[command(flatten)]
        id: CommandId,
        #[command(flatten)]
        consent: Consent,
    },
    /// Run a journal through the planner again, and see whether it gives the same plans.
    Replay {
        /// The journal, of a PDP that runs or of one that does not. Nothing of it is changed.
        #[arg(value_name = "JOURNAL")]
        journal: PathBuf,
        /// The configuration file of the PDP that wrote it: for journals of format 1, which do not say how it planned.
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Print what completes this program's command lines in a shell.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
    /// Write the manual pages of this program and its commands.
    ManPages {
        /// The folder, which is there.
        #[arg(value_name = "FOLDER")]
        folder: PathBuf,
    },
}

/// Which client-type is meant.
#[derive(Debug, Args)]
struct OfClientType {
    /// One client-type, in decimal; all that the PDP serves where it is not given.
    #[arg(long, value_name = "N")]
    client_type: Option<u16>,
}

/// Which PDP is meant.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct Place {
    /// Admin socket of the PDP.
    #[arg(long, value_name = "PATH")]
    socket: Option<PathBuf>,
    /// Configuration file of the PDP, which names its socket.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct CommandId {
    /// Name of the command: sent twice, it is done once. Made up where it is not given.
    #[arg(long, value_name = "ID")]
    id: Option<String>,
}

impl CommandId {
    fn text(self) -> String {
        self.id
            .unwrap_or_else(|| format!("cli-{:016x}", fastrand::u64(..)))
    }
}

/// Runs the program.
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match dispatch(arguments.command) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("pdp-server: {error:#}");
            let is_usage = error.downcast_ref::<ConfigError>().is_some()
                || error.downcast_ref::<UnreadableFile>().is_some()
                || error.downcast_ref::<DescribedError>().is_some()
                || error.downcast_ref::<SuppositionError>().is_some()
                || matches!(error.downcast_ref::<NoConsent>(), Some(NoConsent::Nobody))
                || error.downcast_ref::<io::keys::KeysError>().is_some()
                || error.downcast_ref::<io::tls::TlsError>().is_some();
            ExitCode::from(if is_usage { WRONG_USAGE } else { 1 })
        }
    }
}

fn dispatch(command: Subcommands) -> Result<ExitCode> {
    match command {
        Subcommands::Run {
            config,
            clock_scale,
            log,
        } => {
            let config = read_config(&config)?;
            log_to_stderr(log);
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .enable_all()
                .build()
                .context("tokio")?;
            runtime.block_on(io::run(config, Options { clock_scale }))?;
            Ok(ExitCode::SUCCESS)
        }
        Subcommands::Replay {
            journal,
            config,
            json,
        } => replay::run(&journal, config.as_deref(), json),
        Subcommands::CheckConfig { config } => {
            let config = read_config(&config)?;
            let keys = io::keys::of(&config)?;
            if let Some(tls) = &config.tls {
                io::tls::read(tls)?;
            }
            if let Some(web) = &config.web {
                io::web::check(web)?;
            }
            print!(
                "{}",
                table::config(&config, keys.as_ref(), io::clock::unix_millis())
            );
            Ok(ExitCode::SUCCESS)
        }
        Subcommands::Status { place, json } => ask(place, async move |client| {
            let status = client.status().await?;
            print_as(json, &status, table::status)
        }),
        Subcommands::Plan(arguments) => what_if::plan(arguments),
        Subcommands::Explain {
            place,
            questions,
            json,
        } => what_if::explain(place, questions, json),
        Subcommands::Snapshot { place } => what_if::snapshot(place),
        Subcommands::Events { place, since, json } => ask(place, async move |client| {
            let mut events = client.events(since).await?;
            let mut lost = 0;
            while let Some(event) = events.next().await? {
                if events.lost() > lost {
                    eprintln!(
                        "pdp-server: {} events before this one are lost",
                        events.lost() - lost
                    );
                    lost = events.lost();
                }
                print_as(json, &event, table::event)?;
            }
            Ok(ExitCode::SUCCESS)
        }),
        Subcommands::Interrupt {
            place,
            scope,
            id,
            consent,
        } => command::interrupt(place, scope, id, consent),
        Subcommands::Drill(arguments) => command::drill(arguments),
        Subcommands::History(arguments) => history::history(arguments),
        Subcommands::Redirect {
            place,
            to,
            of,
            id,
            consent,
        } => command::availability(place, id, Availability::Redirect(to), of, consent),
        Subcommands::Drain {
            place,
            of,
            id,
            consent,
        } => command::availability(place, id, Availability::Drain, of, consent),
        Subcommands::Accept { place, of, id } => {
            command::availability(place, id, Availability::Serve, of, Consent::default())
        }
        Subcommands::Restore { place, id, consent } => command::restore(place, id, consent),
        Subcommands::Completions { shell } => {
            manual::completions(shell)?;
            Ok(ExitCode::SUCCESS)
        }
        Subcommands::ManPages { folder } => {
            manual::pages(&folder)?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// How the log is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum LogForm {
    /// For people.
    Text,
    /// A JSON object a line, with the fields of each message: `interruption`, `kind` and `seq` of events.
    Json,
}

fn log_to_stderr(form: LogForm) {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info"));
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    match form {
        LogForm::Text => log.init(),
        LogForm::Json => log.json().init(),
    }
}

/// A configuration file that cannot be read at all.
#[derive(Debug, thiserror::Error)]
#[error("{file}: {problem}")]
struct UnreadableFile {
    file: String,
    problem: String,
}

fn read_text(file: &Path, limit: usize) -> Result<String> {
    let unreadable = |problem: String| UnreadableFile {
        file: file.display().to_string(),
        problem,
    };
    let metadata = std::fs::metadata(file).map_err(|error| unreadable(error.to_string()))?;
    if metadata.len() > limit as u64 {
        let problem = format!("expected at most {limit} octets, found {}", metadata.len());
        return Err(unreadable(problem).into());
    }
    Ok(std::fs::read_to_string(file).map_err(|error| unreadable(error.to_string()))?)
}

fn read_config(file: &Path) -> Result<Config> {
    let name = file.display().to_string();
    let text = read_text(file, limits::MAX_CONFIG_OCTETS)?;
    let mut config = Config::from_toml(&name, &text)?;
    // Relative paths are relative to the file, wherever the program is started.
    let folder = file.parent().unwrap_or(Path::new(""));
    config.journal.path = folder.join(&config.journal.path);
    config.admin.socket = folder.join(&config.admin.socket);
    if let Some(web) = &mut config.web {
        web.tokens = folder.join(&web.tokens);
        if let Some(tls) = &mut web.tls {
            tls.certificate = folder.join(&tls.certificate);
            tls.key = folder.join(&tls.key);
        }
    }
    for notify in &mut config.notify {
        if let NotifyTo::Webhook {
            authorities, token, ..
        } = &mut notify.to
        {
            for path in authorities.iter_mut().chain(token) {
                *path = folder.join(&*path);
            }
        }
    }
    if let Some(integrity) = &mut config.integrity {
        integrity.keys = folder.join(&integrity.keys);
        integrity.numbers = integrity.numbers.as_ref().map(|numbers| folder.join(numbers));
    }
    if let Some(tls) = &mut config.tls {
        for path in [&mut tls.certificate, &mut tls.key, &mut tls.authorities] {
            *path = folder.join(&*path);
        }
    }
    Ok(config)
}

fn ask(place: Place, question: impl AsyncFnOnce(AdminClient) -> Result<ExitCode>) -> Result<ExitCode> {
    let socket = match (place.socket, place.config) {
        (Some(socket), _) => socket,
        (None, Some(config)) => read_config(&config)?.admin.socket,
        (None, None) => anyhow::bail!("expected --socket or --config"),
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("tokio")?;
    runtime.block_on(question(AdminClient::new(&socket)))
}

fn print_as<T: serde::Serialize>(json: bool, value: &T, text: impl Fn(&T) -> String) -> Result<ExitCode> {
    use std::io::Write;
    let mut out = std::io::stdout().lock();
    let printed = if json {
        serde_json::to_string(value)? + "\n"
    } else {
        text(value)
    };
    // A reader like `head` that has enough is no failure.
    match out.write_all(printed.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => std::process::exit(0),
        printed => printed.context("printing")?,
    }
    Ok(ExitCode::SUCCESS)
}
