//! `pep-agent status`, `arm` and `disarm`: what the operator asks of a running agent.

use std::io::Write;
use std::path::PathBuf;

use super::config::AgentConfig;
use super::local::{LocalAnswer, LocalError, LocalRequest, ask};
use super::toml_file::TomlError;
use crate::node::Status;

/// Where the agent is found.
#[derive(Clone, Debug, clap::Args)]
#[group(required = true, multiple = false)]
pub struct OperatorArgs {
    /// The agent's file, which names its socket
    #[arg(long)]
    pub config: Option<PathBuf>,
    /// The agent's socket
    #[arg(long)]
    pub socket: Option<PathBuf>,
}

/// Arguments of `pep-agent status`.
#[derive(Clone, Debug, clap::Args)]
pub struct StatusArgs {
    /// Where the agent is found
    #[command(flatten)]
    pub operator: OperatorArgs,
    /// As JSON
    #[arg(long)]
    pub json: bool,
}

/// Why the agent was not asked, or did not do it.
#[derive(Debug, thiserror::Error)]
pub enum OperatorError {
    /// The file is wrong: exit status 2.
    #[error(transparent)]
    Config(#[from] TomlError),
    /// The agent is not there, or does not answer.
    #[error(transparent)]
    Local(#[from] LocalError),
    /// It does not do it.
    #[error("the agent refused: {0}")]
    Refused(String),
    /// The answer cannot be printed.
    #[error("the status cannot be printed: {0}")]
    Print(#[from] std::io::Error),
}

impl OperatorError {
    /// Exit status of the program.
    pub fn exit_status(&self) -> u8 {
        match self {
            Self::Config(_) => 2,
            _ => 1,
        }
    }
}

fn socket(args: &OperatorArgs) -> Result<PathBuf, TomlError> {
    match (&args.socket, &args.config) {
        (Some(socket), _) => Ok(socket.clone()),
        (None, Some(config)) => Ok(AgentConfig::read(config)?.socket),
        // One of them is required by the arguments' group.
        (None, None) => Ok(PathBuf::new()),
    }
}

/// Shows what the agent knows.
///
/// # Errors
/// The agent is not there or does not answer.
pub async fn status(args: &StatusArgs) -> Result<(), OperatorError> {
    match ask(&socket(&args.operator)?, LocalRequest::Status {}).await? {
        LocalAnswer::Status(status) => {
            let text = if args.json {
                serde_json::to_string_pretty(&status).map_err(std::io::Error::from)?
            } else {
                in_words(&status)
            };
            Ok(writeln!(std::io::stdout(), "{}", text.trim_end())?)
        }
        LocalAnswer::Refused(reason) => Err(OperatorError::Refused(reason)),
        LocalAnswer::Done => Err(OperatorError::Refused("no status".to_owned())),
    }
}

/// Arms or disarms the agent.
///
/// # Errors
/// The agent is not there or does not do it.
pub async fn arm(args: &OperatorArgs, armed: bool) -> Result<(), OperatorError> {
    let request = if armed {
        LocalRequest::Arm {}
    } else {
        LocalRequest::Disarm {}
    };
    match ask(&socket(args)?, request).await? {
        LocalAnswer::Done => {
            let said = if armed {
                "armed: plans are carried out"
            } else {
                "disarmed: plans are only observed"
            };
            Ok(writeln!(std::io::stdout(), "{said}")?)
        }
        LocalAnswer::Refused(reason) => Err(OperatorError::Refused(reason)),
        LocalAnswer::Status(_) => Err(OperatorError::Refused("another answer".to_owned())),
    }
}

/// Milliseconds as seconds.
fn seconds(millis: u64) -> String {
    format!("{}.{} s", millis / 1_000, millis % 1_000 / 100)
}

fn watts(milliwatts: u32) -> String {
    format!("{}.{} W", milliwatts / 1_000, milliwatts % 1_000 / 100)
}

/// A status as a person reads it.
fn in_words(status: &Status) -> String {
    let mut lines = Vec::new();
    let mode = if status.armed { "armed" } else { "observing only" };
    let pdp = match &status.pdp {
        Some(pdp) => format!("PDP {pdp} ({})", status.security),
        None => "no PDP".to_owned(),
    };
    lines.push(format!("{}: {mode}, {pdp}", status.name));
    if let Some(why) = &status.not_kept {
        lines.push(format!(
            "NOT KEPT, and forgotten when the agent is started again: plan and results ({why})"
        ));
    }
    if let Some(millis) = status.mains_lost_millis {
        lines.push(format!("mains lost for {}", seconds(millis)));
    }
    for server in &status.servers {
        let draw = server
            .milliwatts
            .map_or_else(String::new, |mw| format!(", {}", watts(mw)));
        lines.push(format!(
            "server {}: {} ({}){draw}",
            server.name, server.powered, server.role
        ));
    }
    for domain in &status.domains {
        lines.push(format!(
            "mains {}: {} ({}, {} ago)",
            domain.name,
            domain.mains,
            domain.witness,
            seconds(domain.age_millis)
        ));
    }
    for reserve in &status.reserves {
        let charge = reserve.charge_joules.map_or_else(
            || "no figure".to_owned(),
            |charge| format!("{charge} J of {} J", reserve.capacity_joules),
        );
        let age = reserve
            .age_millis
            .map_or_else(String::new, |millis| format!(", {} ago", seconds(millis)));
        lines.push(format!(
            "reserve {}: {}, {charge} ({}{age})",
            reserve.name, reserve.state, reserve.source
        ));
    }
    for line in &status.lines {
        let joined = if line.joined.is_empty() {
            String::new()
        } else {
            format!(": {}", line.joined.join("; "))
        };
        lines.push(format!("line {}: {}{joined}", line.name, line.state));
    }
    for activity in &status.activities {
        let qos = activity
            .qos
            .as_ref()
            .map_or_else(String::new, |qos| format!(", {qos}"));
        let denied = activity
            .denied
            .as_ref()
            .map_or_else(String::new, |why| format!(" (never touched: {why})"));
        let source = if activity.draw_was_read {
            ""
        } else {
            " (configured)"
        };
        lines.push(format!(
            "activity {} on {}: {}{qos}, {}{source}{denied}",
            activity.name,
            activity.server,
            activity.state,
            watts(activity.milliwatts)
        ));
    }
    match &status.plan {
        None => lines.push("no plan".to_owned()),
        Some(plan) => {
            let released = plan
                .released_stage
                .map_or_else(|| "nothing".to_owned(), |order| format!("up to {order}"));
            lines.push(format!(
                "plan {}.{} ({}), released: {released}",
                plan.term, plan.generation, plan.cause
            ));
            lines.extend(plan.stages.iter().map(|stage| format!("  {stage}")));
        }
    }
    lines.join("\n")
}
