//! What goes out to the drivers, and what comes back.

use std::fmt;

use power_policy::model::Name;
use power_policy::plan::HostState;

use super::facts::ActivityKey;

/// Number of an action, unique while the agent runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ActionId(pub u64);

/// Something that a driver is to do. Every driver first looks whether it is done already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Action {
    /// Its number, which the driver gives back with the outcome.
    pub id: ActionId,
    /// What is to be done.
    pub kind: ActionKind,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ActionKind {
    /// Stop the activity gracefully, within its grace.
    Stop {
        /// The activity.
        activity: ActivityKey,
        /// It runs elsewhere already: its work has moved.
        moved: bool,
    },
    /// Start the activity.
    Start {
        /// The activity.
        activity: ActivityKey,
        /// Its work moves here from another server.
        moved: bool,
    },
    /// Hold the activity's draw at or below a budget.
    Cap {
        /// The activity.
        activity: ActivityKey,
        /// The budget, in milliwatts.
        milliwatts: u32,
    },
    /// Join a reserve and a server on a line, or take them off with 0 milliwatts.
    Join {
        /// The line.
        line: Name,
        /// The reserve.
        reserve: Name,
        /// The server.
        server: Name,
        /// Power that may pass, in milliwatts.
        milliwatts: u32,
    },
    /// Take everything off a line.
    Open {
        /// The line.
        line: Name,
    },
    /// Switch a server off cleanly, or on.
    Host {
        /// The server.
        server: Name,
        /// `On` or `Off`; standby needs no driver.
        state: HostState,
    },
}

/// What an action works on. One action at a time on each.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Subject {
    /// An activity on a server.
    Activity(ActivityKey),
    /// A line.
    Line(Name),
    /// A server.
    Host(Name),
}

impl ActionKind {
    /// What it works on.
    pub fn subject(&self) -> Subject {
        match self {
            Self::Stop { activity, .. } | Self::Start { activity, .. } | Self::Cap { activity, .. } => {
                Subject::Activity(activity.clone())
            }
            Self::Join { line, .. } | Self::Open { line } => Subject::Line(line.clone()),
            Self::Host { server, .. } => Subject::Host(server.clone()),
        }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Activity(key) => write!(f, "activity {} on {}", key.activity, key.server),
            Self::Line(name) => write!(f, "line {name}"),
            Self::Host(name) => write!(f, "server {name}"),
        }
    }
}

/// What a driver says of an action.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ActionOutcome {
    /// Done, or found done; with what is worth telling.
    Done(String),
    /// Tried and failed.
    Failed(String),
    /// Not tried.
    Refused(String),
}

/// Something that the operator is told, or the PDP beside the rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EngineEvent {
    /// A step of the plan in force failed after its rows were installed (RFC 3084 section 3.3: an unsolicited Failure
    /// report).
    StepFailed {
        /// The step.
        step: super::StepId,
        /// Why.
        reason: String,
    },
    /// A line for the log.
    Told(String),
}
