//! Questions and answers: one JSON object a line. Quantities carry their unit in the key. A key that is not known is an
//! error in an answer, so that a slip of the pen is told and not passed over.

use serde::{Deserialize, Serialize};

/// Version of these questions and answers. It rises when something changes that a program must know.
pub const VERSION: u32 = 1;

/// A question.
#[derive(Debug, Clone, Serialize)]
pub struct Question<'a> {
    /// [`VERSION`].
    pub version: u32,
    /// What is asked.
    #[serde(flatten)]
    pub verb: Verb<'a>,
}

/// What is asked: `do` says it, further keys what it is about.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "do", rename_all = "kebab-case")]
pub enum Verb<'a> {
    /// How is the reserve? Answer: [`Reserve`].
    ReadReserve {
        /// Its name.
        reserve: &'a str,
    },
    /// How is the line? Answer: [`Line`].
    ReadLine {
        /// Its name.
        line: &'a str,
    },
    /// Join a reserve and a server, or take them off with 0 milliwatts. Answer: [`Acted`].
    Join {
        /// The line.
        line: &'a str,
        /// The reserve.
        reserve: &'a str,
        /// The server.
        server: &'a str,
        /// Power that may pass.
        milliwatts: u32,
    },
    /// Take everything off. Answer: [`Acted`].
    Open {
        /// The line.
        line: &'a str,
    },
    /// How is the activity? Answer: [`Activity`].
    ReadActivity {
        /// Its name.
        activity: &'a str,
        /// The server of its row.
        server: &'a str,
    },
    /// Stop it gracefully. Answer: [`Acted`].
    Stop {
        /// The activity.
        activity: &'a str,
        /// The server of its row.
        server: &'a str,
        /// Its work goes on elsewhere already: the second half of a shift.
        moved: bool,
    },
    /// Start it. Answer: [`Acted`].
    Start {
        /// The activity.
        activity: &'a str,
        /// The server of its row.
        server: &'a str,
        /// Its work comes from another server: the first half of a shift, or the hook of a live migration.
        moved: bool,
    },
    /// Hold its draw at or below a budget. Answer: [`Acted`].
    Cap {
        /// The activity.
        activity: &'a str,
        /// The server of its row.
        server: &'a str,
        /// The budget.
        milliwatts: u32,
    },
    /// How is the server? Answer: [`Server`].
    ReadServer {
        /// Its name.
        server: &'a str,
    },
    /// Switch it on. Answer: [`Acted`].
    SwitchOn {
        /// The server.
        server: &'a str,
    },
    /// Switch it off cleanly. Answer: [`Acted`].
    SwitchOff {
        /// The server.
        server: &'a str,
    },
}

/// What came of an action.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(tag = "outcome", rename_all = "lowercase", deny_unknown_fields)]
pub enum Acted {
    /// Done, or begun: the agent reads back.
    Done {
        /// What is worth telling.
        #[serde(default)]
        reason: String,
    },
    /// Tried and failed.
    Failed {
        /// Why.
        reason: String,
    },
    /// Not tried.
    Refused {
        /// Why.
        reason: String,
    },
}

/// State of a reserve.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ReserveState {
    /// Neither charging nor discharging.
    Idle,
    /// Charging.
    Charging,
    /// Discharging.
    Discharging,
    /// Discharging, and near its end.
    Low,
    /// At its cut-off.
    Depleted,
    /// Broken.
    Fault,
    /// Nobody knows.
    Unknown,
}

/// Mains, as it is seen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mains {
    /// There is mains.
    Present,
    /// There is none.
    Absent,
    /// It comes and goes.
    Unstable,
    /// Nobody knows.
    #[default]
    Unknown,
}

/// A reserve. At least one of the two charges is given; of both, the lesser counts.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reserve {
    /// State of the store.
    pub state: ReserveState,
    /// Energy left.
    pub charge_joules: Option<u64>,
    /// Energy left, in hundredths of the full store's.
    pub charge_percent: Option<f64>,
    /// Energy of the full store at its present health; left out: as the agent's file says.
    pub capacity_joules: Option<u64>,
    /// Power at its output, below zero while it charges.
    pub milliwatts: Option<i32>,
    /// Time left at the present power.
    pub seconds_left: Option<u32>,
    /// The mains at its input.
    #[serde(default)]
    pub mains: Mains,
    /// How the figures came about, in words.
    #[serde(default)]
    pub note: String,
}

/// State of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LineState {
    /// Nothing passes.
    Open,
    /// Power can pass.
    Closed,
    /// It is switching.
    Moving,
    /// Stuck, or unreadable.
    Fault,
}

/// A reserve and a server that are joined.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Joint {
    /// The reserve.
    pub reserve: String,
    /// The server.
    pub server: String,
    /// Power that may pass. A switch that cannot limit it says what it was asked for last, or the line's largest.
    pub milliwatts: u32,
}

/// A line.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Line {
    /// State of the switch.
    pub state: LineState,
    /// What is joined.
    #[serde(default)]
    pub joined: Vec<Joint>,
}

/// State of an activity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ActivityState {
    /// It runs.
    Running,
    /// It does not run, and can be started.
    Stopped,
    /// It is being started.
    Starting,
    /// It is being stopped.
    Stopping,
    /// It failed.
    Failed,
    /// It does not run here and cannot be started here.
    Absent,
}

/// An activity.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Activity {
    /// Its state.
    pub state: ActivityState,
    /// Draw above idle, where it is measured.
    pub milliwatts: Option<u32>,
}

/// Whether a server has power.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Powered {
    /// It is on.
    On,
    /// It is off.
    Off,
    /// It is on its way to one or the other.
    Changing,
}

/// Mains at one inlet of a server.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Inlet {
    /// The domain.
    pub domain: String,
    /// What is seen of it.
    pub mains: Mains,
}

/// A server.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Server {
    /// Whether it has power.
    pub powered: Powered,
    /// Its draw, where it is measured.
    pub milliwatts: Option<u32>,
    /// The mains at its inlets, where it is seen.
    #[serde(default)]
    pub inlets: Vec<Inlet>,
}
