//! What goes into the engine and what comes out of it.

use std::collections::BTreeMap;
use std::sync::Arc;

use power_policy::grouping::Grouping;
use power_policy::interruption::{self, CommandOutcome};
use power_policy::model::{Name, PowerPolicy, Snapshot};
use power_policy::plan::Plan;

use super::contingency::{ContextCommand, ContextEvent, PlanAhead, PlannedAhead};
use super::event::Event;
use super::facts::{Digest, PepFacts, Readings};
use super::slice::{Slice, StepKey};
use super::state::Record;
use crate::config::PeerPolicy;

/// The planner: a pure function of what is known, what was planned before, and the site's policy.
pub type Planner = Arc<dyn Fn(&Snapshot, Option<&Plan>, &PowerPolicy) -> Plan + Send + Sync>;
/// The independent checker: what is wrong with a plan, in words.
pub type Checker = Arc<dyn Fn(&Snapshot, &Plan, &PowerPolicy) -> Vec<String> + Send + Sync>;
/// The digest of a slice as a PEP will report it.
pub type Digester = Box<dyn Fn(&Slice) -> Digest + Send>;

/// What the engine is told once.
pub struct Settings {
    /// How to plan.
    pub policy: PowerPolicy,
    /// What each PEP may do.
    pub peers: PeerPolicy,
    /// Which set an activity belongs to.
    pub grouping: Grouping,
    /// PEPs whose facility witness counts, by domain.
    pub facility_witnesses: BTreeMap<Name, Name>,
    /// How much faster than the world the engine's clock runs. With more than 1 nothing real is actuated.
    pub scale: u32,
    /// How long PEPs are awaited after a restart, on the engine's clock.
    pub await_millis: u64,
    /// How long a PEP that is gone is remembered in quiet days, on the engine's clock.
    pub hold_millis: u64,
    /// Plans are held ready by the PEPs for interruptions that have not come.
    pub contingencies: bool,
    /// The planner.
    pub planner: Planner,
    /// The checker.
    pub checker: Checker,
    /// The digest of a slice.
    pub digester: Digester,
}

impl Settings {
    /// Time that results may take beyond what the agents say, for the way there and back: ten seconds of real time.
    pub(super) fn slack_millis(&self) -> u64 {
        10_000 * u64::from(self.scale.max(1))
    }
}

/// Who ended a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The PDP: it ends, or serves its PEPs no more, or a newer connection of the same PEP took the place of this one. It
    /// says nothing about the PEP.
    Ours,
    /// The PEP said good-bye, or is not heard or reached any more.
    Theirs,
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq)]
pub enum Input {
    /// A PEP opened its client-type.
    Opened {
        /// The PEP.
        pep: Name,
        /// Where it connects from.
        address: String,
    },
    /// Its connection ended.
    Closed {
        /// The PEP.
        pep: Name,
        /// Why, in words.
        reason: String,
        /// By whom.
        end: End,
    },
    /// What it reports has changed, or is reported for the first time on this connection.
    Facts {
        /// The PEP.
        pep: Name,
        /// Everything it reports.
        facts: Arc<PepFacts>,
    },
    /// Its request-states are synchronised (SSC), or nothing had to be.
    Synchronised {
        /// The PEP.
        pep: Name,
    },
    /// An accounting report.
    Readings {
        /// The PEP.
        pep: Name,
        /// What was read.
        readings: Readings,
    },
    /// A sign of life without contents.
    Heard {
        /// The PEP.
        pep: Name,
    },
    /// A PEP took what was installed.
    Installed {
        /// The PEP.
        pep: Name,
        /// The generation.
        generation: u64,
    },
    /// A PEP refused what was installed; nothing of it is in force.
    Refused {
        /// The PEP.
        pep: Name,
        /// The generation.
        generation: u64,
        /// Steps that it names as the cause; none: the whole.
        steps: Vec<StepKey>,
        /// Why, in words.
        reason: String,
    },
    /// An administrator's command.
    Command {
        /// Its id: sent twice, done once.
        id: String,
        /// What is commanded.
        command: interruption::Command,
    },
    /// What became of an [`Output::Context`].
    Context(ContextEvent),
    /// The plan that an [`Output::PlanAhead`] asked for.
    PlannedAhead(Box<PlannedAhead>),
    /// The journal fails (the words say how), or works again.
    Store {
        /// What is wrong; `None`: nothing any more.
        failure: Option<String>,
    },
    /// Time has passed.
    Tick,
}

/// What one PEP is told: a plan for it, or a release within the plan it holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assignment {
    /// The PEP.
    pub pep: Name,
    /// Term of this PDP.
    pub term: u64,
    /// Generation of what it holds then.
    pub generation: u64,
    /// Stages up to this order are released.
    pub released_stage: u32,
    /// What it holds then.
    pub slice: Arc<Slice>,
    /// Digest of that.
    pub digest: Digest,
}

/// Something to be done.
#[derive(Debug, Clone, PartialEq)]
pub enum Output {
    /// Keep this for ever, before anything that follows leaves.
    Record(Record),
    /// Install all of a slice.
    Install(Assignment),
    /// Tell the released stage (and the term) of the slice that the PEP holds already.
    Release(Assignment),
    /// Have a PEP hold a contingency, activate it, or delete it.
    Context(ContextCommand),
    /// Make this plan when there is time, beside everything else, and give it back. Who does not goes without contingencies.
    PlanAhead(Box<PlanAhead>),
    /// Tell the operators.
    Event(Event),
    /// Answer an administrator's command.
    Answer {
        /// Its id.
        id: String,
        /// What became of it.
        outcome: CommandOutcome,
        /// It had been answered before.
        repeated: bool,
    },
}

/// What is known at the start.
#[derive(Debug, Clone, Default)]
pub struct Recovery {
    /// Records of the journal, oldest first; none for a new one.
    pub records: Vec<Record>,
    /// What the clock shows now minus what the journal's clock would show now. 0 where the clock went on.
    pub rebase_millis: i64,
    /// Boot id of the machine, for the journal.
    pub boot_id: String,
    /// Offset of the clock, for the journal.
    pub offset_millis: i64,
}
