//! The plan that is held: the rows of the active context as the engine understands them.

use std::fmt;

use power_policy::model::{Cause, Name};
use power_policy::plan::{HostState, Verb};
use serde::{Deserialize, Serialize};

/// Class of a step's row (POWER-DIVERT-PIB, arc 4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepClass {
    /// pwrAction.
    Action,
    /// pwrDivert.
    Divert,
    /// pwrIntake.
    Intake,
    /// pwrHost.
    Host,
}

/// Name of a step: its row within the context.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct StepId {
    /// Class of the row.
    pub class: StepClass,
    /// Number of the instance.
    pub instance: u32,
}

impl fmt::Display for StepId {
    /// As `pwrAction.3`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let class = match self.class {
            StepClass::Action => "pwrAction",
            StepClass::Divert => "pwrDivert",
            StepClass::Intake => "pwrIntake",
            StepClass::Host => "pwrHost",
        };
        write!(f, "{class}.{}", self.instance)
    }
}

/// What a step does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StepKind {
    /// Something is done with an activity on a server.
    Activity {
        /// The activity.
        activity: Name,
        /// The server.
        server: Name,
        /// What is done.
        verb: Verb,
        /// The other server of a move.
        peer: Option<Name>,
        /// Budget, in milliwatts.
        milliwatts: u32,
    },
    /// A reserve is given to a server through a line; without a reserve or a server, the line is opened.
    Divert {
        /// The line.
        line: Name,
        /// The reserve.
        reserve: Option<Name>,
        /// The server.
        server: Option<Name>,
        /// Power that may pass, in milliwatts; 0 takes the pair off the line.
        milliwatts: u32,
    },
    /// Power that a server gets; tells the server's agent, which has nothing to actuate.
    Intake {
        /// The server.
        server: Name,
        /// The reserve.
        reserve: Name,
        /// The line, if any.
        line: Option<Name>,
        /// Power that the server may draw, in milliwatts.
        milliwatts: u32,
    },
    /// A server is brought to a state.
    Host {
        /// The server.
        server: Name,
        /// The state.
        state: HostState,
    },
}

impl StepKind {
    /// Whether it ends the machine, and the agent with it.
    pub fn is_halt(&self) -> bool {
        matches!(
            self,
            Self::Host {
                state: HostState::Off,
                ..
            }
        )
    }
}

impl fmt::Display for StepKind {
    /// In the words of an operator: "stop batch on srv1".
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Activity {
                activity,
                server,
                verb,
                peer,
                milliwatts,
            } => {
                match verb {
                    Verb::Run => write!(f, "keep {activity} on {server}")?,
                    Verb::Cap => {
                        write!(f, "cap {activity} on {server} at {milliwatts} mW")?;
                    }
                    Verb::Stop => write!(f, "stop {activity} on {server}")?,
                    Verb::Start => write!(f, "start {activity} on {server}")?,
                    Verb::MoveOut => write!(f, "let go of {activity} on {server}")?,
                    Verb::TakeIn => write!(f, "take {activity} in on {server}")?,
                }
                match (verb, peer) {
                    (Verb::MoveOut, Some(peer)) => write!(f, ", it runs on {peer}"),
                    (Verb::TakeIn, Some(peer)) => write!(f, ", from {peer}"),
                    _ => Ok(()),
                }
            }
            Self::Divert {
                line,
                reserve: Some(reserve),
                server: Some(server),
                milliwatts: 0,
            } => {
                write!(f, "take {reserve} and {server} off {line}")
            }
            Self::Divert {
                line,
                reserve: Some(reserve),
                server: Some(server),
                milliwatts,
            } => {
                write!(
                    f,
                    "divert {reserve} to {server} over {line}, at most {milliwatts} mW"
                )
            }
            Self::Divert { line, .. } => write!(f, "open {line}"),
            Self::Intake {
                server,
                reserve,
                milliwatts,
                ..
            } => {
                write!(f, "{server} takes at most {milliwatts} mW from {reserve}")
            }
            Self::Host { server, state } => match state {
                HostState::On => write!(f, "start server {server}"),
                HostState::Standby => write!(f, "let server {server} stand by"),
                HostState::Off => write!(f, "switch server {server} off"),
            },
        }
    }
}

/// One step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// Its row.
    pub id: StepId,
    /// What it does.
    pub kind: StepKind,
}

/// What releases a stage (POWER-DIVERT-PIB, pwrStageTrigger with its threshold).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StageTrigger {
    /// The PDP alone.
    Released,
    /// The mains of the own server is lost.
    MainsLost,
    /// This much time since the own server's mains was lost, in milliseconds.
    ElapsedMillis(u64),
    /// The own reserve holds this much or less, in joules.
    ReserveBelowJoules(u64),
    /// The mains of the own server is back.
    MainsBack,
}

/// Steps that are released together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stage {
    /// Place of the stage; 0 is at once.
    pub order: u32,
    /// What releases it.
    pub trigger: StageTrigger,
    /// Whether this agent may release it while it is cut off.
    pub local: bool,
    /// What is done, in the order in which it is begun.
    pub steps: Vec<Step>,
}

/// The plan of the active context.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldPlan {
    /// Term of the PDP that made it.
    pub term: u64,
    /// Its generation.
    pub generation: u64,
    /// Why there is a plan; a drill is checked and reported, and actuates nothing.
    pub cause: Cause,
    /// Stages by rising order.
    pub stages: Vec<Stage>,
}

impl HeldPlan {
    /// All steps, in the order in which they are begun.
    pub fn steps(&self) -> impl Iterator<Item = (&Stage, &Step)> {
        self.stages
            .iter()
            .flat_map(|stage| stage.steps.iter().map(move |step| (stage, step)))
    }
}

/// Why a row cannot be installed; the INSTALL-ERRORS of its class.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum StepFault {
    /// This agent has no such activity on that server.
    #[error("no such activity on that server")]
    UnknownActivity,
    /// The agent's file does not say how that is done with this activity.
    #[error("the agent's file does not say how that is done with this activity")]
    NotManaged,
    /// The deny list, or a host that this agent may not bring to that state.
    #[error("not permitted by the agent's file")]
    Denied,
    /// This agent reports no such line.
    #[error("no such line")]
    UnknownLine,
    /// This agent only witnesses the line.
    #[error("this agent is not the custodian of the line")]
    NotCustodian,
    /// More than the line carries, or something that is not a member of it.
    #[error("over a limit of the line")]
    OverLimit,
    /// This agent reports no such server.
    #[error("no such server")]
    UnknownServer,
}

/// A row that cannot be installed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InstallFault {
    /// The row.
    pub step: StepId,
    /// Why.
    pub fault: StepFault,
}

/// What came of a step (POWER-DIVERT-PIB, pwrActionResultOutcome).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It is under way.
    Started,
    /// It is done, or was so already.
    Done,
    /// It was tried and failed.
    Failed,
    /// It was not tried.
    Refused,
    /// It was tried, and nothing came back in time.
    TimedOut,
}

impl Outcome {
    /// Whether nothing more is expected.
    pub fn is_final(self) -> bool {
        self != Self::Started
    }
}

/// What came of a step, with its figures.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepRecord {
    /// What came of it.
    pub outcome: Outcome,
    /// Time that it took so far, in milliseconds.
    pub millis: u64,
    /// Words for the operator.
    pub reason: String,
}
