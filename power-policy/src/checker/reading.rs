//! The plan with its names resolved against the snapshot, so that the checks work on indexes.

use std::collections::HashMap;

use super::violation::{Findings, Invariant};
use crate::model::{Name, Snapshot};
use crate::plan::{HostState, Plan, Stage, StepKind, Trigger, Verb};

/// A step, resolved. Indexes are those of the snapshot's lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Act {
    Divert {
        line: usize,
        reserve: usize,
        server: usize,
        milliwatts: u64,
    },
    /// An intake tells a PEP what it gets; the divert beside it does it.
    Intake,
    Activity {
        activity: usize,
        server: usize,
        verb: Verb,
        peer: Option<usize>,
        milliwatts: u64,
    },
    Host {
        server: usize,
        state: HostState,
    },
}

impl Act {
    /// Whether it can be undone at once and without loss.
    pub(super) fn is_reversible(&self) -> bool {
        match self {
            Self::Divert { .. } | Self::Intake => true,
            Self::Activity { verb, .. } => matches!(verb, Verb::Run | Verb::Cap),
            Self::Host { .. } => false,
        }
    }

    /// Whether it does anything at all.
    pub(super) fn has_effect(&self) -> bool {
        !matches!(self, Self::Intake | Self::Activity { verb: Verb::Run, .. })
    }
}

/// A stage, resolved. Steps with unknown names are left out; they have been reported.
#[derive(Debug, Clone)]
pub(super) struct ReadStage<'a> {
    pub(super) stage: &'a Stage,
    pub(super) acts: Vec<Act>,
    /// Reserves of a charge trigger.
    pub(super) watched: Vec<usize>,
}

/// A plan, resolved.
#[derive(Debug, Clone)]
pub(super) struct Reading<'a> {
    pub(super) central: Vec<ReadStage<'a>>,
    pub(super) local: Vec<ReadStage<'a>>,
}

struct Names<'a> {
    servers: HashMap<&'a Name, usize>,
    reserves: HashMap<&'a Name, usize>,
    lines: HashMap<&'a Name, usize>,
    activities: HashMap<&'a Name, usize>,
}

fn index<'a>(names: impl Iterator<Item = &'a Name>) -> HashMap<&'a Name, usize> {
    names.enumerate().map(|(i, n)| (n, i)).collect()
}

pub(super) fn read<'a>(snapshot: &Snapshot, plan: &'a Plan, findings: &mut Findings) -> Reading<'a> {
    let names = Names {
        servers: index(snapshot.servers.iter().map(|x| &x.name)),
        reserves: index(snapshot.reserves.iter().map(|x| &x.name)),
        lines: index(snapshot.lines.iter().map(|x| &x.name)),
        activities: index(snapshot.activities.iter().map(|x| &x.name)),
    };
    let mut reading = Reading {
        central: Vec::new(),
        local: Vec::new(),
    };
    for stage in &plan.stages {
        let mut acts = Vec::with_capacity(stage.steps.len());
        for step in &stage.steps {
            match names.act(&step.kind) {
                Ok(act) => acts.push(act),
                Err((what, name)) => findings.add(
                    Invariant::UnknownName,
                    Some(stage.order),
                    name,
                    format!("the snapshot has no {what} of this name"),
                ),
            }
        }
        let mut watched = Vec::new();
        if let Trigger::ChargeBelow { reserves, .. } | Trigger::ChargeAbove { reserves, .. } = &stage.trigger
        {
            for name in reserves {
                match names.reserves.get(name) {
                    Some(r) => watched.push(*r),
                    None => findings.add(
                        Invariant::UnknownName,
                        Some(stage.order),
                        name,
                        "the trigger watches a reserve that the snapshot does not have".to_owned(),
                    ),
                }
            }
        }
        let list = if stage.local {
            &mut reading.local
        } else {
            &mut reading.central
        };
        list.push(ReadStage { stage, acts, watched });
    }
    reading
}

impl Names<'_> {
    fn act<'n>(&self, kind: &'n StepKind) -> Result<Act, (&'static str, &'n Name)> {
        let server = |name: &'n Name| self.servers.get(name).copied().ok_or(("server", name));
        let reserve = |name: &'n Name| self.reserves.get(name).copied().ok_or(("reserve", name));
        let line = |name: &'n Name| self.lines.get(name).copied().ok_or(("line", name));
        Ok(match kind {
            StepKind::Divert {
                line: l,
                reserve: r,
                server: s,
                milliwatts,
            } => Act::Divert {
                line: line(l)?,
                reserve: reserve(r)?,
                server: server(s)?,
                milliwatts: *milliwatts,
            },
            StepKind::Intake {
                server: s,
                reserve: r,
                line: l,
                ..
            } => {
                server(s)?;
                reserve(r)?;
                l.as_ref().map(line).transpose()?;
                Act::Intake
            }
            StepKind::Activity {
                activity,
                server: s,
                verb,
                peer,
                milliwatts,
            } => Act::Activity {
                activity: self
                    .activities
                    .get(activity)
                    .copied()
                    .ok_or(("activity", activity))?,
                server: server(s)?,
                verb: *verb,
                peer: peer.as_ref().map(server).transpose()?,
                milliwatts: *milliwatts,
            },
            StepKind::Host { server: s, state } => Act::Host {
                server: server(s)?,
                state: *state,
            },
        })
    }
}
