use serde::{Deserialize, Serialize};

use super::{Name, ServerId, SetId};

/// Index of an activity in [`Snapshot::activities`](super::Snapshot::activities).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ActivityId(pub u32);

/// State of an activity at its host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ActivityState {
    /// It runs.
    Running,
    /// It does not run.
    Stopped,
    /// It is being started.
    Starting,
    /// It is being stopped; a stop once begun completes.
    Stopping,
    /// An action on it failed; it is left alone until its PEP says otherwise.
    Failed,
}

/// A unit of work. The activities of one set on one server form a *placement*, which stops and moves together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Activity {
    /// Name, unique in the cluster.
    pub name: Name,
    /// The set that the grouping rules gave it; `None`: no rule matches, so it is a fixed load and never touched.
    pub set: Option<SetId>,
    /// Where it runs, or ran last, or shall run again.
    pub host: ServerId,
    /// Where it ran when the interruption began; restoration may bring it back there.
    pub home: ServerId,
    /// State at its host.
    pub state: ActivityState,
    /// Servers, other than the host, where it also runs because a move of the plan in force is half done, sorted.
    pub copies: Vec<ServerId>,
    /// Servers whose PEP can start it, sorted; may hold the host.
    pub startable_on: Vec<ServerId>,
    /// Draw above the host's idle draw.
    pub draw_milliwatts: u64,
    /// Processor demand, in thousandths of a core.
    pub cpu_millicores: u64,
    /// Memory demand.
    pub memory_mebibytes: u64,
    /// It may be shifted to another server.
    pub movable: bool,
    /// It may be stopped now and started later; if not, a plan stops it only when the energy is at its end.
    pub restartable: bool,
    /// Time that a shift takes.
    pub move_millis: u64,
    /// Energy that a shift costs.
    pub move_millijoules: u64,
    /// Time of a graceful stop.
    pub stop_millis: u64,
    /// Energy of a graceful stop, in all.
    pub stop_millijoules: u64,
    /// A plan stopped it in this interruption, so restoration owes it a start.
    pub shed: bool,
    /// It may be actuated: its PEP is armed and its file manages it. Otherwise it is a fixed load.
    pub armed: bool,
}

impl Activity {
    /// Whether it draws power at its host now.
    pub fn draws(&self) -> bool {
        matches!(
            self.state,
            ActivityState::Running | ActivityState::Starting | ActivityState::Stopping
        )
    }

    /// Whether a plan may command it at all.
    pub fn is_touchable(&self) -> bool {
        self.armed && self.set.is_some() && self.state != ActivityState::Failed
    }
}
