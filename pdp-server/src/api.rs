//! The admin API: everything that goes over the Unix socket, as JSON. The command line, the demo runner and later the
//! web page use these types.
//!
//! | request | answer |
//! |---|---|
//! | `GET /v1/status` | [`Status`] |
//! | `GET /v1/plan` | [`PlanInForce`], or `null` |
//! | `GET /v1/snapshot` | [`PlanningInput`]: what a plan would be made from now; the what-if of the command line takes it |
//! | `GET /v1/explain` | [`Explanation`]; `Accept: text/plain` (or `?format=text`): the same as text |
//! | `GET /v1/history?since_unix_millis=T&limit=N` | [`History`]: the newest `N` entries of the journal, 200 where it is not given, not older than `T` |
//! | `GET /v1/events?since=N` | NDJSON: one [`Event`] a line, those kept with `seq > N`, then as they happen; without `since`: from now on. `Accept: text/event-stream`: the same as server-sent events, `id` being `seq`; `Last-Event-ID` goes before `since` |
//! | `GET /v1/openapi.json` | all this as OpenAPI 3.1: `docs/openapi.json` |
//! | `GET /v1/me` | [`Me`]: who the PDP takes the asker for |
//! | `GET /metrics` | what Prometheus reads, as text: `docs/metrics.md` |
//! | `POST /v1/interrupt` | [`InterruptRequest`] in, [`CommandAnswer`] out |
//! | `POST /v1/drill` | [`InterruptRequest`] in, [`CommandAnswer`] out: as an interruption, with every actuator held |
//! | `POST /v1/restore` | [`RestoreRequest`] in, [`CommandAnswer`] out |
//!
//! A command sent twice with one id is done once, and answered the same twice. One that is
//! refused is a [`CommandAnswer`] too, with `done` false and status 409. Errors are [`Problem`]s with status 400 (not
//! understood), 404 or 503 (the PDP stops).
//!
//! The same paths are served over TCP where the file has `[web]`. There every request carries a token
//! (`Authorization: Bearer TOKEN`): 401 without one that counts; 403 where a viewer commands; 408 where a request takes
//! too long. Who commanded what, and what was answered, is in the journal ([`crate::engine::state::Record::Audit`]).
//!
//! # Data of events
//!
//! | kind | subject | data |
//! |---|---|---|
//! | `peer_joined` | PEP | `armed` |
//! | `mains_lost`, `mains_back` | domain | `mains` |
//! | `interruption` | | `from`, `to` (phases), or `grew`, `shrank` (servers) |
//! | `plan_issued` | generation | `generation`, `cause`, `scope`, `reason`, `stages`, `steps`, `violations`, `classes` (`priority`, `target_millis`, `ride_through_millis`) |
//! | `stage_released` | | `generation`, `stage`, `steps`, `peps` |
//! | `action_done` | what it is done with | `pep`, `stage`, `step`, `took_millis` |
//! | `action_failed` | what it was to be done with | `pep`, `stage`, `step`, `times` |
//! | `divert` | line | `line`, `reserve`, `server`, `milliwatts` (0: no longer) |
//! | `shed`, `restored` | activity | `server`, `priority` |
//! | `shift` | activity | `from`, `server`, `priority` |
//! | `reserve_low` | reserve | `left_millijoules` |
//! | `class_ended` | priority | `priority`, `member` (`first`, `last`), `members`, `ride_through_millis` |
//! | `metered` | | `drawn_millijoules`, `reserves` (name to millijoules) |

use serde::{Deserialize, Serialize};

use power_policy::model::{Cause, Mains, Phase, PowerPolicy, Powered, Scope, Snapshot};
use power_policy::plan::Plan;

pub use crate::engine::event::{Event, EventKind};
use crate::what_if::{Bottleneck, ClassOutlook, Trials, UncertaintyOf};

/// What is going on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// Name of the PDP.
    pub name: String,
    /// Version of the program.
    pub version: String,
    /// Until the client-type is registered, every release is experimental.
    pub experimental: bool,
    /// What an operator should know of how this PDP is set up.
    pub warnings: Vec<String>,
    /// Where PEPs connect.
    pub listen: String,
    /// Where people connect, as a URL; `None`: nowhere.
    #[serde(default)]
    pub web: Option<String>,
    /// How much faster than the world its clock runs.
    pub clock_scale: u32,
    /// Engine time, in milliseconds.
    pub now_millis: u64,
    /// Its term.
    pub term: u64,
    /// Client-types, power's among them.
    pub client_types: Vec<ClientTypeStatus>,
    /// Highest generation given.
    pub generation: u64,
    /// Where the interruption stands.
    pub phase: Phase,
    /// The interruption, if there is one.
    pub outage: Option<OutageStatus>,
    /// The plan in force, in brief.
    pub plan: Option<PlanStatus>,
    /// Plans that are held ready for interruptions that have not come.
    #[serde(default)]
    pub contingencies: Vec<ContingencyStatus>,
    /// Classes, highest first.
    pub classes: Vec<ClassStatus>,
    /// PEPs by name.
    pub peers: Vec<PeerStatus>,
    /// Mains domains by name.
    pub domains: Vec<DomainStatus>,
    /// Servers by name.
    pub servers: Vec<ServerStatus>,
    /// Reserves by name.
    pub reserves: Vec<ReserveStatus>,
    /// Lines by name.
    pub lines: Vec<LineStatus>,
    /// Activities by name.
    pub activities: Vec<ActivityStatus>,
    /// What needs a person.
    pub alarms: Vec<AlarmStatus>,
    /// Counts since the start of the process.
    pub counts: Counts,
    /// Number of the last event.
    pub last_event: u64,
}

/// What somebody may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Look.
    Viewer,
    /// Look and command.
    Operator,
}

/// Who the PDP takes the asker for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Me {
    /// Name, as the journal has it.
    pub name: String,
    /// What it may do.
    pub role: Role,
}

/// An interruption.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OutageStatus {
    /// Its id, which events, logs and history carry; `null` for one that began before this was kept.
    #[serde(default)]
    pub id: Option<String>,
    /// What began it.
    pub cause: Cause,
    /// What it covers.
    pub scope: Scope,
    /// Time since it began.
    pub elapsed_millis: u64,
    /// Time for which mains must be good before anything is restarted.
    pub mains_good_millis: u64,
}

/// The plan in force, in brief.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PlanStatus {
    /// Its generation.
    pub generation: u64,
    /// Why there is a plan.
    pub cause: Cause,
    /// Age.
    pub age_millis: u64,
    /// Central stages, and how many of them are released.
    pub stages: usize,
    /// Released ones.
    pub released: usize,
    /// Released steps whose results are outstanding.
    pub outstanding: usize,
    /// What releases the next stage, in words.
    pub next: Option<String>,
}

/// A plan that is held ready for an interruption that has not come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContingencyStatus {
    /// The domains that are without mains then.
    pub domains: Vec<String>,
    /// Generation of its newest part.
    pub generation: u64,
    /// Age.
    pub age_millis: u64,
    /// What has changed since it was made, so that it would not be used; `None`: it is current.
    pub stale: Option<String>,
    /// Who is to hold a part of it.
    pub peps: Vec<ContingencyHolder>,
}

/// A PEP that is to hold a part of a plan ready.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContingencyHolder {
    /// The PEP.
    pub pep: String,
    /// As which of its contingencies: "whole cluster", "own domain" or "borrowers".
    pub contingency: String,
    /// Generation of the part.
    pub generation: u64,
    /// It has said that it holds it.
    pub held: bool,
}

/// A class: a priority that is present.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClassStatus {
    /// The priority.
    pub priority: u16,
    /// Sets of this priority.
    pub sets: Vec<String>,
    /// Activities in them.
    pub activities: usize,
    /// Those that run.
    pub running: usize,
    /// Those that were shed and are owed a start.
    pub shed: usize,
    /// Target; `None`: for ever.
    pub target_millis: Option<u64>,
    /// Ride-through time that the plan in force expects; `None`: no end in sight, or no plan.
    pub ride_through_millis: Option<u64>,
}

/// A PEP.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PeerStatus {
    /// PEPID.
    pub name: String,
    /// It is connected.
    pub connected: bool,
    /// Where from.
    pub address: String,
    /// How its connection is protected, in words: "plain", or "integrity" with the Key IDs in use; empty while it is not
    /// connected.
    #[serde(default)]
    pub security: String,
    /// Plans may actuate through it: both sides allow it.
    pub armed: bool,
    /// This side allows it.
    pub armed_here: bool,
    /// Its own side allows it.
    pub armed_there: bool,
    /// Time since it was heard from.
    pub heard_millis_ago: u64,
    /// Generation that it was given.
    pub generation: u64,
    /// Generation that it has acknowledged on this connection.
    pub acknowledged: u64,
    /// Things of which it is the custodian.
    pub servers: usize,
    /// Reserves of which it is the custodian.
    pub reserves: usize,
    /// Lines of which it is the custodian.
    pub lines: usize,
}

/// A mains domain.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DomainStatus {
    /// Name.
    pub name: String,
    /// Its mains, as judged.
    pub mains: Mains,
    /// Who said so.
    pub reason: String,
}

/// A server.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ServerStatus {
    /// Name.
    pub name: String,
    /// Its PEP.
    pub pep: String,
    /// Whether it has power.
    pub powered: Powered,
    /// Its mains, as judged.
    pub mains: Mains,
    /// Measured draw.
    pub milliwatts: Option<u64>,
    /// Most that it can draw.
    #[serde(default)]
    pub peak_milliwatts: u64,
    /// Mains domains that feed it.
    #[serde(default)]
    pub domains: Vec<String>,
    /// Plans may act on it.
    pub armed: bool,
    /// It is simulated.
    pub simulated: bool,
}

/// A reserve.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ReserveStatus {
    /// Name.
    pub name: String,
    /// Its custodian.
    pub pep: String,
    /// Energy of the full store.
    pub capacity_millijoules: u64,
    /// Servers that it feeds without any line.
    #[serde(default)]
    pub feeds: Vec<String>,
    /// Energy left now.
    pub charge_millijoules: u64,
    /// Energy that is never drawn.
    pub cutoff_millijoules: u64,
    /// Age of the last figure.
    pub age_millis: u64,
    /// Drawn since it was first heard of, as metered; goes on over a restart of the PDP.
    pub drawn_millijoules: u64,
    /// Charged since then.
    pub charged_millijoules: u64,
    /// Drawn in this interruption (or the last one).
    pub drawn_in_interruption_millijoules: u64,
    /// Plans may divert it.
    pub armed: bool,
    /// It is simulated.
    pub simulated: bool,
}

/// A line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LineStatus {
    /// Name.
    pub name: String,
    /// Its custodian.
    pub pep: String,
    /// State of the switch, in a word.
    pub state: String,
    /// Reserves that it can carry.
    #[serde(default)]
    pub reserves: Vec<String>,
    /// Servers that it can carry them to.
    #[serde(default)]
    pub servers: Vec<String>,
    /// Most that it carries, at its input.
    #[serde(default)]
    pub max_milliwatts: u64,
    /// What it carries now.
    pub carries: Vec<CarriedStatus>,
    /// Plans may switch it.
    pub armed: bool,
}

/// Power through a line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CarriedStatus {
    /// From this reserve.
    pub reserve: String,
    /// To this server.
    pub server: String,
    /// At most so much, at the line's input.
    pub milliwatts: u64,
}

/// An activity.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ActivityStatus {
    /// Name.
    pub name: String,
    /// Its set; empty: a fixed load.
    pub set: String,
    /// Priority of the set.
    pub priority: Option<u16>,
    /// Where it runs, or ran last.
    pub host: String,
    /// Where it ran when the interruption began.
    pub home: String,
    /// State, in a word.
    pub state: String,
    /// It was shed, and is owed a start.
    pub shed: bool,
    /// Server that takes it in.
    pub moving_to: Option<String>,
    /// Plans may act on it.
    pub armed: bool,
}

/// Something that needs a person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AlarmStatus {
    /// What it concerns.
    pub subject: String,
    /// What is wrong.
    pub text: String,
    /// How long it has been so.
    pub millis: u64,
}

/// Counts since the start of the process.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Plans made.
    pub plans: u64,
    /// Objections of the independent checker to them; anything but 0 is a defect.
    pub violations: u64,
    /// Alarms that are up.
    pub alarms: usize,
    /// Connections refused or ended for breaking a bound.
    pub connections_refused: u64,
    /// The journal takes what it is given.
    pub journal_works: bool,
}

/// The plan in force, whole.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PlanInForce {
    /// Its term.
    pub term: u64,
    /// Its generation.
    pub generation: u64,
    /// Highest stage released.
    pub released_stage: u32,
    /// Time since it was made.
    pub age_millis: u64,
    /// The plan.
    pub plan: Plan,
    /// Outcomes of its central steps so far.
    pub steps: Vec<StepStatus>,
}

/// A central step of the plan in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepStatus {
    /// Who carries it out.
    pub pep: String,
    /// Order of its stage.
    pub stage: u32,
    /// Its row there.
    pub row: String,
    /// What is done, in words.
    pub step: String,
    /// `waiting`, `released`, or the outcome.
    pub outcome: String,
}

/// What a plan is made from: a cluster as it is, or was when this was recorded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlanningInput {
    /// The cluster.
    pub snapshot: Snapshot,
    /// The plan in force, unless it is that of quiet days.
    #[serde(default)]
    pub previous: Option<Plan>,
    /// The site's settings, as the PDP's clock scales them.
    pub policy: PowerPolicy,
}

/// What a plan would be worth: the answer to `pdp-server plan --what-if`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outlook {
    /// What was supposed, a line each.
    pub supposed: Vec<String>,
    /// How long mains was supposed to be away; `null`: not said.
    pub lasts_millis: Option<u64>,
    /// The plan as text, a line a decision, each with its reason, and what was refused.
    pub text: String,
    /// The plan.
    pub plan: Plan,
    /// What each class may expect, highest first.
    pub classes: Vec<ClassOutlook>,
    /// By how much charges were varied.
    pub uncertainty: Vec<UncertaintyOf>,
    /// Objections of the independent checker; any is a defect.
    pub objections: Vec<String>,
    /// Figures of which more would help, the best first.
    pub bottlenecks: Vec<Bottleneck>,
    /// How far the search for those went.
    pub trials: Trials,
}

/// Why things are as they are.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Explanation {
    /// The plan in force as text, a line a decision, each with its reason.
    pub plan: String,
    /// Its generation; 0 without one.
    pub generation: u64,
    /// How far it has come, a line a step.
    pub progress: Vec<String>,
    /// Plans that are held ready, by whom, and how old they are; and why the last interruption was not one of theirs.
    #[serde(default)]
    pub contingencies: Vec<String>,
    /// Who said what about each domain.
    pub domains: Vec<String>,
    /// Which set each activity has, and why.
    pub grouping: Vec<String>,
    /// What would be done too if everything were armed on both sides.
    pub unarmed: Vec<String>,
    /// Objections of the independent checker to the last plan it objected to.
    pub violations: Vec<String>,
    /// Alarms that are up.
    pub alarms: Vec<String>,
}

impl Explanation {
    /// As text for a terminal.
    pub fn to_text(&self) -> String {
        let mut text = String::new();
        if self.plan.is_empty() {
            text.push_str("no plan is in force\n");
        } else {
            text.push_str(&format!("generation {}: {}", self.generation, self.plan));
        }
        for (title, lines) in [
            ("progress", &self.progress),
            ("held ready", &self.contingencies),
            ("mains", &self.domains),
            ("grouping", &self.grouping),
            ("would be done too, if it were armed", &self.unarmed),
            ("objections of the checker", &self.violations),
            ("alarms", &self.alarms),
        ] {
            if !lines.is_empty() {
                text.push_str(&format!("\n{title}:\n"));
                for line in lines {
                    text.push_str(&format!("  {line}\n"));
                }
            }
        }
        text
    }
}

/// What would have happened: the end of a drill.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DrillReport {
    /// Id of the drill's command.
    pub id: String,
    /// What was supposed to be interrupted.
    pub scope: CommandScope,
    /// Generation of its last plan; 0: none was made.
    pub generation: u64,
    /// Every step was gone through.
    pub is_complete: bool,
    /// What the PDP answered at its end.
    pub ended: String,
    /// Steps of that plan, in order.
    pub steps: Vec<DrillStep>,
    /// What each class might expect of a real interruption.
    pub classes: Vec<ClassOutlook>,
    /// What the planner refused, and why.
    pub refusals: Vec<String>,
    /// Objections of the independent checker.
    pub objections: Vec<String>,
}

/// A step of a drill.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DrillStep {
    /// Order of its stage.
    pub stage: u32,
    /// What releases the stage, in words.
    pub when: String,
    /// Who would carry it out.
    pub pep: String,
    /// What would be done, in words.
    pub step: String,
    /// What its agent says.
    pub outcome: DrillOutcome,
}

/// What an agent says of a step in a drill.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DrillOutcome {
    /// It checked the step, and would do it.
    WouldDo,
    /// It could not; the words are the outcome.
    Failed(String),
    /// It was asked, and has not answered.
    NoWord,
    /// The drill did not come so far.
    NotReached,
}

impl DrillOutcome {
    /// Whether a real interruption would fail here.
    pub fn is_failure(&self) -> bool {
        matches!(self, Self::Failed(_) | Self::NoWord)
    }
}

impl std::fmt::Display for DrillReport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(
            f,
            "drill {} over {}: what would have happened",
            self.id, self.scope
        )?;
        let mut stage = None;
        for step in &self.steps {
            if stage != Some(step.stage) {
                writeln!(f, "stage {} ({})", step.stage, step.when)?;
                stage = Some(step.stage);
            }
            let outcome = match &step.outcome {
                DrillOutcome::WouldDo => "would be done",
                DrillOutcome::Failed(why) => why,
                DrillOutcome::NoWord => "NO WORD FROM THE AGENT",
                DrillOutcome::NotReached => "not reached in the drill",
            };
            let mark = if step.outcome.is_failure() { "FAILED: " } else { "" };
            writeln!(f, "  {}: {} ({mark}{outcome})", step.pep, step.step)?;
        }
        if self.steps.is_empty() {
            writeln!(f, "nothing: no step was planned")?;
        }
        for class in &self.classes {
            let end = |millis: Option<u64>| {
                millis.map_or_else(
                    || "no end in sight".to_owned(),
                    |millis| power_policy::plan::text::Duration(millis).to_string(),
                )
            };
            writeln!(
                f,
                "class {} ({}) would run whole for {} ({} to {})",
                class.priority,
                class.sets.join(", "),
                end(class.ride_through_millis),
                end(class.low_millis),
                end(class.high_millis)
            )?;
        }
        for refusal in &self.refusals {
            writeln!(f, "refused: {refusal}")?;
        }
        for objection in &self.objections {
            writeln!(f, "THE CHECKER OBJECTS: {objection}")?;
        }
        let failed = self.steps.iter().filter(|s| s.outcome.is_failure()).count();
        let shown = if self.is_complete {
            "every step was gone through"
        } else {
            "IT ENDED BEFORE ALL WAS GONE THROUGH"
        };
        writeln!(f, "{}; {shown}; {failed} steps failed", self.ended)
    }
}

/// What the journal tells of the past.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct History {
    /// Interruptions, the oldest first.
    pub interruptions: Vec<InterruptionHistory>,
    /// What happened, the oldest first.
    pub entries: Vec<HistoryEntry>,
}

/// An interruption that was.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct InterruptionHistory {
    /// Its id.
    pub id: String,
    /// When it began, in milliseconds of Unix time; `null`: before what was read.
    pub began_unix_millis: Option<u64>,
    /// When it was over; `null`: it goes on.
    pub ended_unix_millis: Option<u64>,
    /// What began it.
    pub cause: Option<Cause>,
    /// What it covered at its beginning.
    pub scope: Option<Scope>,
    /// Plans made in it.
    pub plans: u64,
    /// Commands given in it.
    pub commands: u64,
}

/// Something that the journal has kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HistoryEntry {
    /// Number of the record.
    pub seq: u64,
    /// When, in milliseconds of Unix time.
    pub unix_millis: u64,
    /// Id of the interruption in which it happened; `null` without one.
    pub interruption: Option<String>,
    /// What.
    #[serde(flatten)]
    pub what: Happening,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "snake_case")]
pub enum Happening {
    /// The PDP started.
    Started {
        /// With this term.
        term: u64,
    },
    /// An interruption began.
    InterruptionBegan {
        /// What began it.
        cause: Cause,
        /// What it covered.
        scope: Scope,
    },
    /// It was over.
    InterruptionEnded,
    /// Somebody commanded something.
    Command {
        /// Id of the command.
        id: String,
        /// Who: "token NAME", "certificate NAME" or "uid N".
        by: String,
        /// What, in words.
        command: String,
        /// What was answered; `null`: nothing that was kept.
        answer: Option<String>,
    },
    /// A plan was put in force.
    Plan {
        /// Its generation.
        generation: u64,
        /// Why there was a plan.
        cause: Cause,
        /// What it covered.
        scope: Scope,
        /// Central stages.
        stages: usize,
        /// Steps in them.
        steps: usize,
        /// Objections of the independent checker.
        violations: Vec<String>,
    },
    /// A stage was released.
    Released {
        /// Generation of the plan.
        generation: u64,
        /// Order of the stage.
        stage: u32,
    },
    /// Something needed a person.
    Alarm {
        /// What it concerned.
        subject: String,
        /// What was wrong.
        text: String,
    },
    /// Its cause was gone.
    AlarmCleared {
        /// What it concerned.
        subject: String,
        /// What was over.
        text: String,
    },
}

/// An explanation with what it is worth: what `pdp-server explain --json` prints.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Explained {
    /// Why things are as they are.
    #[serde(flatten)]
    pub explanation: Explanation,
    /// What each class may expect from here on; `null` where there is no interruption.
    pub outlook: Option<Outlook>,
}

/// What an interruption covers, as commands name it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CommandScope {
    /// Every server.
    Cluster,
    /// A domain.
    Domain(String),
    /// A server.
    Server(String),
}

impl std::fmt::Display for CommandScope {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Cluster => f.write_str("cluster"),
            Self::Domain(name) => write!(f, "domain={name}"),
            Self::Server(name) => write!(f, "server={name}"),
        }
    }
}

impl std::str::FromStr for CommandScope {
    type Err = String;

    /// `cluster`, `domain=NAME` or `server=NAME`.
    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('=') {
            None if text == "cluster" => Ok(Self::Cluster),
            Some(("domain", name)) if !name.is_empty() => Ok(Self::Domain(name.to_owned())),
            Some(("server", name)) if !name.is_empty() => Ok(Self::Server(name.to_owned())),
            _ => Err(format!(
                "'{text}' is no scope; expected cluster, domain=NAME or server=NAME"
            )),
        }
    }
}

/// `POST /v1/interrupt`: treat the scope as if its mains were lost.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InterruptRequest {
    /// Chosen by the client, unique a command: the same id again is not done again.
    pub id: String,
    /// What is interrupted.
    pub scope: CommandScope,
}

/// `POST /v1/restore`: end a commanded interruption and bring back what was shed; where mains that nobody reports is
/// waited for, take it for good; in quiet days, move activities back home now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RestoreRequest {
    /// Chosen by the client, unique a command: the same id again is not done again.
    pub id: String,
}

/// `POST /v1/availability`: whether PEPs are served here, sent to another PDP, or sent away; those that are connected are
/// told at once. Not kept over a restart: the file's `[redirect]` counts then.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AvailabilityRequest {
    /// Chosen by the client. The command is the same however often it is sent.
    pub id: String,
    /// What is wanted.
    pub availability: Availability,
    /// One client-type; all that are served here where there is none.
    #[serde(default)]
    pub client_type: Option<u16>,
}

impl std::fmt::Display for AvailabilityRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.availability {
            Availability::Serve => f.write_str("serve")?,
            Availability::Redirect(to) => write!(f, "redirect to {to}")?,
            Availability::Drain => f.write_str("drain")?,
        }
        match self.client_type {
            Some(client_type) => write!(f, " client-type {client_type}"),
            None => Ok(()),
        }
    }
}

/// Whether a PDP serves PEPs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Availability {
    /// It does.
    Serve,
    /// It sends them to another PDP (RFC 2748: CC, error 12, PDP Redirect Address).
    Redirect(std::net::SocketAddr),
    /// It sends them away; they go to the next PDP of their list (RFC 2748: CC, error 11).
    Drain,
}

/// A client-type that the PDP serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientTypeStatus {
    /// The client-type.
    pub client_type: u16,
    /// PEPs on which it is open.
    pub peps: usize,
    /// Whether it is served.
    pub availability: Availability,
}

/// What became of a command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommandAnswer {
    /// Its id.
    pub id: String,
    /// It was done.
    pub done: bool,
    /// What was done, or why not.
    pub text: String,
    /// It had been answered before; this is the same answer.
    pub repeated: bool,
}

/// Why a request was not served.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// What is wrong, and what was expected.
    pub error: String,
}
