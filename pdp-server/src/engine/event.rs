//! What operators are told.

use serde::{Deserialize, Serialize};

/// Kind of an [`Event`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EventKind {
    /// The PDP started, or stops.
    Pdp,
    /// A PEP connected and reported.
    PeerJoined,
    /// A PEP is gone. A server that a plan switched off takes its agent with it: that is no loss.
    PeerLost,
    /// Mains of a domain is gone.
    MainsLost,
    /// Mains of a domain is back.
    MainsBack,
    /// The interruption has come to another phase, or covers other servers.
    Interruption,
    /// A plan was made and is being sent.
    PlanIssued,
    /// A stage of the plan in force was released.
    StageReleased,
    /// A step was done.
    ActionDone,
    /// A step failed, was refused or did not end in time.
    ActionFailed,
    /// A reserve feeds a server through a line, or does not any more.
    Divert,
    /// An activity was stopped, for what is more important.
    Shed,
    /// An activity runs on another server now.
    Shift,
    /// A server stands by.
    HostStandby,
    /// A server was switched off.
    HostOff,
    /// A server was switched on.
    HostOn,
    /// A reserve is low.
    ReserveLow,
    /// An activity that was shed runs again.
    Restored,
    /// The first or the last member of a class stopped.
    ClassEnded,
    /// An administrator's command was answered.
    Command,
    /// Something needs a person.
    Alarm,
    /// An alarm's cause is gone.
    AlarmCleared,
    /// Energy drawn from each reserve, as metered.
    Metered,
}

/// Something that happened, in words an operator understands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// Number; rises by one, and above all numbers of earlier runs.
    pub seq: u64,
    /// What kind.
    pub kind: EventKind,
    /// Engine time, in milliseconds.
    pub at_millis: u64,
    /// Time since the interruption began, in milliseconds; none without one.
    pub elapsed_millis: Option<u64>,
    /// Id of the interruption in which it happened; none without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interruption: Option<String>,
    /// What it concerns: a PEP, server, domain, reserve, line, activity or class; empty for the cluster.
    pub subject: String,
    /// One line for the operator.
    pub text: String,
    /// Figures, by kind (documented at [`crate::api`]).
    #[serde(default, skip_serializing_if = "serde_json::Value::is_null")]
    pub data: serde_json::Value,
}
