//! What the operator is shown (`pep-agent status`).

use power_policy::model::Powered;
use serde::{Deserialize, Serialize};

use super::{Node, Now};
use crate::engine::facts::Role;

/// The agent at one instant. Ages and times are the engine's milliseconds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// Name of the agent (its PEPID).
    pub name: String,
    /// Whether it actuates, or only observes.
    pub armed: bool,
    /// Whether a PDP has accepted it.
    pub connected: bool,
    /// Address of that PDP.
    pub pdp: Option<String>,
    /// How the connection is protected, in words: "plain", or "integrity" with the Key IDs in use; empty without one.
    #[serde(default)]
    pub security: String,
    /// Why what the agent has to remember is not on disk, if it is not.
    #[serde(default)]
    pub not_kept: Option<String>,
    /// How long the mains of an own server is lost, in milliseconds.
    pub mains_lost_millis: Option<u64>,
    /// The plan that is held.
    pub plan: Option<PlanStatus>,
    /// Servers.
    pub servers: Vec<ServerStatus>,
    /// Mains domains.
    pub domains: Vec<DomainStatus>,
    /// Reserves.
    pub reserves: Vec<ReserveStatus>,
    /// Lines.
    pub lines: Vec<LineStatus>,
    /// Activities.
    pub activities: Vec<ActivityStatus>,
}

/// The plan that is held.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanStatus {
    /// Term of the PDP that made it.
    pub term: u64,
    /// Its generation.
    pub generation: u64,
    /// Why there is a plan.
    pub cause: String,
    /// Last stage that is released.
    pub released_stage: Option<u32>,
    /// Each stage in a line: its steps, with what came of each.
    pub stages: Vec<String>,
}

/// A server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerStatus {
    /// Its name.
    pub name: String,
    /// Whether this agent is its custodian, or only sees it.
    pub role: String,
    /// Whether it has power.
    pub powered: String,
    /// Its draw, in milliwatts.
    pub milliwatts: Option<u32>,
}

/// The mains of a domain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DomainStatus {
    /// Name of the domain.
    pub name: String,
    /// Its mains.
    pub mains: String,
    /// Who says so.
    pub witness: String,
    /// Age of the sight, in milliseconds.
    pub age_millis: u64,
}

/// A reserve.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReserveStatus {
    /// Its name.
    pub name: String,
    /// Its state; stale where the last reading is too old.
    pub state: String,
    /// Energy left, in joules.
    pub charge_joules: Option<u64>,
    /// Energy when full, in joules.
    pub capacity_joules: u64,
    /// Where the figure comes from.
    pub source: String,
    /// Age of the reading, in milliseconds; `None`: never read.
    pub age_millis: Option<u64>,
}

/// A line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LineStatus {
    /// Its name.
    pub name: String,
    /// Its state.
    pub state: String,
    /// What is joined: "reserve to server, milliwatts".
    pub joined: Vec<String>,
}

/// An activity.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActivityStatus {
    /// Its name.
    pub name: String,
    /// The server.
    pub server: String,
    /// Its state.
    pub state: String,
    /// Class of its quality of service.
    pub qos: Option<String>,
    /// Its draw, in milliwatts.
    pub milliwatts: u32,
    /// Whether that was read (measured, or told by its driver); if not, it is the file's figure.
    pub draw_was_read: bool,
    /// Why it must not be touched, if so.
    pub denied: Option<String>,
}

/// A word of an enumeration: `OffSeen` as "off seen".
fn word(value: impl std::fmt::Debug) -> String {
    let mut words = String::new();
    for character in format!("{value:?}").chars() {
        if character.is_uppercase() && !words.is_empty() {
            words.push(' ');
        }
        words.extend(character.to_lowercase());
    }
    words
}

impl Node {
    /// The node as the operator sees it.
    pub fn status(&self, now: Now) -> Status {
        let inventory = self.engine.inventory();
        Status {
            name: self.config.pep_id.as_str().to_owned(),
            armed: self.engine.is_armed(),
            connected: self.is_open(),
            pdp: self
                .peer
                .filter(|_| self.is_open())
                .map(|pdp| pdp.to_socket_addr().to_string()),
            security: match self.integrity() {
                Some(integrity) => format!(
                    "integrity, key {} received, {} sent",
                    integrity.receiving_key.0, integrity.sending_key.0
                ),
                None if self.is_open() => "plain".to_owned(),
                None => String::new(),
            },
            not_kept: None,
            mains_lost_millis: self.engine.lost().map(|lost| lost.elapsed(now.engine)),
            plan: self.plan_status(),
            servers: inventory
                .servers
                .iter()
                .map(|(name, thing)| ServerStatus {
                    name: name.to_string(),
                    role: word(thing.facts.role),
                    powered: match (thing.reading(), thing.facts.role) {
                        (Some(reading), _) => word(reading.powered),
                        (None, Role::Custodian) => word(Powered::On),
                        (None, Role::Witness) => word(Powered::Unreachable),
                    },
                    milliwatts: thing.reading().and_then(|reading| reading.milliwatts),
                })
                .collect(),
            domains: inventory
                .domains(now.engine)
                .into_iter()
                .map(|domain| DomainStatus {
                    name: domain.name.to_string(),
                    mains: word(domain.mains),
                    witness: word(domain.witness),
                    age_millis: now.engine.saturating_sub(domain.at),
                })
                .collect(),
            reserves: inventory
                .reserves
                .iter()
                .map(|(name, thing)| ReserveStatus {
                    name: name.to_string(),
                    state: match thing.reading() {
                        Some(reading) if !inventory.is_stale(name, now.engine) => word(reading.state),
                        Some(reading) => format!("stale, last {}", word(reading.state)),
                        None => "never read".to_owned(),
                    },
                    charge_joules: thing.reading().and_then(|reading| reading.charge_joules),
                    capacity_joules: thing
                        .reading()
                        .and_then(|reading| reading.capacity_joules)
                        .unwrap_or(thing.facts.capacity_joules),
                    source: thing.reading().map_or_else(
                        || "configured".to_owned(),
                        |r| format!("{}: {}", word(r.source), r.note),
                    ),
                    age_millis: thing.seen.as_ref().map(|seen| seen.age(now.engine)),
                })
                .collect(),
            lines: inventory
                .lines
                .iter()
                .map(|(name, thing)| LineStatus {
                    name: name.to_string(),
                    state: thing
                        .reading()
                        .map_or_else(|| "never read".to_owned(), |reading| word(reading.state)),
                    joined: thing
                        .reading()
                        .map(|reading| reading.joined.as_slice())
                        .unwrap_or_default()
                        .iter()
                        .map(|joint| {
                            format!("{} to {}, {} mW", joint.reserve, joint.server, joint.milliwatts)
                        })
                        .collect(),
                })
                .collect(),
            activities: inventory
                .activities
                .iter()
                .map(|(key, thing)| ActivityStatus {
                    name: key.activity.to_string(),
                    server: key.server.to_string(),
                    state: thing
                        .reading()
                        .map_or_else(|| "never seen".to_owned(), |reading| word(reading.state)),
                    qos: thing.facts.qos.as_ref().map(ToString::to_string),
                    milliwatts: thing
                        .reading()
                        .and_then(|reading| reading.milliwatts)
                        .unwrap_or(thing.facts.milliwatts),
                    draw_was_read: thing
                        .reading()
                        .is_some_and(|reading| reading.milliwatts.is_some()),
                    denied: thing.reading().and_then(|reading| reading.denied.clone()),
                })
                .collect(),
        }
    }

    fn plan_status(&self) -> Option<PlanStatus> {
        let plan = self.engine.plan()?;
        let results = self.engine.results();
        let stages = plan
            .stages
            .iter()
            .map(|stage| {
                let steps: Vec<String> = stage
                    .steps
                    .iter()
                    .map(
                        |step| match results.iter().find(|result| result.step == step.id) {
                            Some(result) => format!("{}: {}", step.kind, word(result.record.outcome)),
                            None => step.kind.to_string(),
                        },
                    )
                    .collect();
                let local = if stage.local { ", local" } else { "" };
                format!(
                    "stage {} ({:?}{local}): {}",
                    stage.order,
                    stage.trigger,
                    steps.join("; ")
                )
            })
            .collect();
        Some(PlanStatus {
            term: plan.term,
            generation: plan.generation,
            cause: word(plan.cause),
            released_stage: self.engine.released(),
            stages,
        })
    }
}
