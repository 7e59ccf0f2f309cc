//! What of a plan goes to which PEP.
//!
//! Steps on an activity, and a server's standby or off, go to the server's PEP; on goes to its starter; diverts to the
//! line's custodian; intakes to the PEP of the fed server. A PEP gets every stage that holds a step of its own, its
//! local ones included, and nothing else.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use power_policy::model::{Cause, Name, Scope, Snapshot};
use power_policy::plan::{HostState, Plan, StepKind, Trigger};

/// Class of a step's row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepClass {
    /// `pwrAction`.
    Action,
    /// `pwrDivert`.
    Divert,
    /// `pwrIntake`.
    Intake,
    /// `pwrHost`.
    Host,
}

impl StepClass {
    /// The class of the row that carries a step.
    pub fn of(kind: &StepKind) -> Self {
        match kind {
            StepKind::Activity { .. } => Self::Action,
            StepKind::Divert { .. } => Self::Divert,
            StepKind::Intake { .. } => Self::Intake,
            StepKind::Host { .. } => Self::Host,
        }
    }
}

/// Name of a step within one PEP's slice: class and number of its row, from 1 in the order of the plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct StepKey {
    /// Class of the row.
    pub class: StepClass,
    /// Number of the instance.
    pub instance: u32,
}

impl fmt::Display for StepKey {
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

/// A step of a slice.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SliceStep {
    /// Its name.
    pub key: StepKey,
    /// What is done.
    pub kind: StepKind,
}

/// A stage of a slice.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SliceStage {
    /// Place of the stage in the whole plan.
    pub order: u32,
    /// What releases it.
    pub trigger: Trigger,
    /// The PEP may release it while it is cut off.
    pub local: bool,
    /// This PEP's steps, in the order of the plan.
    pub steps: Vec<SliceStep>,
}

/// What one PEP gets of a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Slice {
    /// Why there is a plan.
    pub cause: Cause,
    /// What the interruption covers.
    pub scope: Scope,
    /// Stages by rising order.
    pub stages: Vec<SliceStage>,
}

impl Slice {
    /// A slice without any stage.
    pub fn empty(cause: Cause, scope: Scope) -> Self {
        Self {
            cause,
            scope,
            stages: Vec::new(),
        }
    }

    /// Whether the PDP has anything to release in it.
    pub fn is_central(&self) -> bool {
        self.stages.iter().any(|s| !s.local)
    }

    /// The step of a key, with its stage.
    pub fn step(&self, key: StepKey) -> Option<(&SliceStage, &SliceStep)> {
        self.stages
            .iter()
            .find_map(|stage| stage.steps.iter().find(|s| s.key == key).map(|s| (stage, s)))
    }
}

/// The PEP that carries out a step; `None` where nobody can.
pub fn executor<'a>(snapshot: &'a Snapshot, kind: &StepKind) -> Option<&'a Name> {
    let server = |name: &Name| {
        let id = snapshot.server_id(name)?;
        snapshot.servers.get(id.0 as usize)
    };
    match kind {
        StepKind::Activity { server: s, .. } | StepKind::Intake { server: s, .. } => server(s)?.pep.as_ref(),
        StepKind::Host {
            server: s,
            state: HostState::On,
        } => server(s)?.starter.as_ref(),
        StepKind::Host { server: s, .. } => server(s)?.pep.as_ref(),
        StepKind::Divert { line, .. } => {
            let at = snapshot.lines.binary_search_by(|l| l.name.cmp(line)).ok()?;
            snapshot.lines.get(at)?.pep.as_ref()
        }
    }
}

/// A row says once in a stage what a server takes from a reserve over a line (`pwrIntake` is unique so).
fn is_merged(steps: &mut [SliceStep], kind: &StepKind) -> bool {
    let StepKind::Intake {
        server,
        reserve,
        line,
        milliwatts: more,
    } = kind
    else {
        return false;
    };
    for step in steps {
        if let StepKind::Intake {
            server: s,
            reserve: r,
            line: l,
            milliwatts,
        } = &mut step.kind
            && (&*s, &*r, &*l) == (server, reserve, line)
        {
            *milliwatts = milliwatts.saturating_add(*more);
            return true;
        }
    }
    false
}

/// Cuts a plan: a slice for each PEP that has a step. The second value holds the steps that nobody can carry out.
pub fn slices<'p>(snapshot: &Snapshot, plan: &'p Plan) -> (BTreeMap<Name, Slice>, Vec<&'p StepKind>) {
    let mut slices: BTreeMap<Name, (Slice, BTreeMap<StepClass, u32>)> = BTreeMap::new();
    let mut orphans = Vec::new();
    for stage in &plan.stages {
        for step in &stage.steps {
            let Some(pep) = executor(snapshot, &step.kind) else {
                orphans.push(&step.kind);
                continue;
            };
            let (slice, numbers) = slices
                .entry(pep.clone())
                .or_insert_with(|| (Slice::empty(plan.cause, plan.scope.clone()), BTreeMap::new()));
            let same_stage = slice.stages.last_mut().filter(|last| last.order == stage.order);
            if same_stage.is_some_and(|last| is_merged(&mut last.steps, &step.kind)) {
                continue;
            }
            let class = StepClass::of(&step.kind);
            let number = numbers.entry(class).or_insert(0);
            *number += 1;
            let sliced = SliceStep {
                key: StepKey {
                    class,
                    instance: *number,
                },
                kind: step.kind.clone(),
            };
            match slice.stages.last_mut() {
                Some(last) if last.order == stage.order => last.steps.push(sliced),
                _ => slice.stages.push(SliceStage {
                    order: stage.order,
                    trigger: stage.trigger.clone(),
                    local: stage.local,
                    steps: vec![sliced],
                }),
            }
        }
    }
    (
        slices.into_iter().map(|(pep, (s, _))| (pep, s)).collect(),
        orphans,
    )
}
