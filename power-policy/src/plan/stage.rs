use serde::{Deserialize, Serialize};

use crate::model::Name;

/// What releases a stage, once all earlier stages have their results.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Trigger {
    /// As soon as the earlier stages have their results.
    AfterResults,
    /// Time since the interruption began.
    Elapsed {
        /// Milliseconds.
        millis: u64,
    },
    /// The charge left in these reserves together falls to a value.
    ///
    /// In a local stage there is exactly one reserve, the PEP's own.
    ChargeBelow {
        /// Reserves, sorted by name.
        reserves: Vec<Name>,
        /// Energy left in the stores, before the inverter.
        millijoules: u64,
    },
    /// The reserves together hold at least this much again (the restart gate of a restoration).
    ChargeAbove {
        /// Reserves, sorted by name.
        reserves: Vec<Name>,
        /// Energy in the stores.
        millijoules: u64,
    },
    /// This much time after the results of the earlier stage (stagger of restarts).
    Delay {
        /// Milliseconds.
        millis: u64,
    },
    /// The PEP's own mains is lost (local stages only).
    MainsLost,
}

/// What is done with an activity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verb {
    /// It goes on, within its budget.
    Run,
    /// Its power is capped.
    Cap,
    /// It is stopped gracefully.
    Stop,
    /// It is started.
    Start,
    /// It is stopped here because it runs at the peer now.
    MoveOut,
    /// It is started here because it leaves the peer.
    TakeIn,
}

/// State that a server is brought to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HostState {
    /// Powered and booted, by its starter.
    On,
    /// All activities stopped, host up at idle draw, agent alive.
    Standby,
    /// Halted: no draw, no agent.
    Off,
}

/// One action of a stage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepKind {
    /// Give a reserve to a server through a line; for the custodian of the line.
    Divert {
        /// The line.
        line: Name,
        /// The reserve.
        reserve: Name,
        /// The server.
        server: Name,
        /// Power that may pass, at the line's input; 0 takes this reserve and server off the line.
        milliwatts: u64,
    },
    /// Power that a server gets from a reserve; for the PEP of the server.
    Intake {
        /// The server.
        server: Name,
        /// The reserve.
        reserve: Name,
        /// The line, or none for its own supply.
        line: Option<Name>,
        /// Power that it may draw.
        milliwatts: u64,
    },
    /// Something is done with an activity on a server; for the PEP of the server.
    Activity {
        /// The activity.
        activity: Name,
        /// The server on which it is done.
        server: Name,
        /// What is done.
        verb: Verb,
        /// The other server of a move.
        peer: Option<Name>,
        /// Power budget of the activity.
        milliwatts: u64,
    },
    /// A server is brought to a state; on goes to its starter, the others to its own PEP.
    Host {
        /// The server.
        server: Name,
        /// The state.
        state: HostState,
    },
}

/// One action with its reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// What is done.
    pub kind: StepKind,
    /// Why, in words for the operator, with the numbers that decided.
    pub reason: String,
}

/// Steps that are released together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stage {
    /// Place of the stage. 0 is at once and holds only what is reversible (lines and caps).
    pub order: u32,
    /// What releases it.
    pub trigger: Trigger,
    /// A PEP may release it by itself while it is cut off; holds only stops of own activities and the halt of the own
    /// host.
    pub local: bool,
    /// What is done, in the order in which it is to be begun.
    pub steps: Vec<Step>,
    /// Why the stage exists, in words for the operator.
    pub reason: String,
}
