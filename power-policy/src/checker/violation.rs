use std::fmt;

use crate::limits::MAX_VIOLATIONS;

/// The rule that a plan breaks. The numbers are those of the policy notes, section 7, where there is one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Invariant {
    /// A step or trigger names something that is not there.
    UnknownName,
    /// Stages are not in order, or an order is there twice, or local and central stages are mixed up.
    StageOrder,
    /// Thresholds of later stages lie before those of earlier ones (19).
    MonotoneStages,
    /// More than a line, a reserve, a fan-in or a fan-out allows, or two pairs on an exclusive line (2).
    LinkLimit,
    /// A reserve or server that is no member of the line.
    Membership,
    /// Simulated and real things pooled.
    SimulatedAndReal,
    /// Something actuated that is not armed, not managed or failed.
    Unarmed,
    /// A faulty line commanded.
    FaultyLine,
    /// Something rests on a server or reserve of which nothing is known (23).
    UnknownState,
    /// More processor or memory than a server has, both ends of a move counted (6).
    Capacity,
    /// A server with running sets, or in its halt, loses power (3).
    DirtyStop,
    /// It would, if a threshold were seen late or a stop took the margin that the policy sets aside (3).
    HoldBack,
    /// Something irreversible, or more than the spare watts, before its time.
    TooEarly,
    /// A host stands by, is switched off or on although that is not allowed or not yet time.
    HostState,
    /// A move out without a take in before it, or a take in where the activity cannot run (17).
    Move,
    /// An activity stopped, started or moved more than once, or where it does not run (16).
    Once,
    /// A higher class stops before a lower one on the same server (8).
    StopOrder,
    /// A set loses power while a lower one, whose energy could have reached it, keeps running (7).
    Inversion,
    /// In survive mode a lower class keeps running on energy that could reach the top class (9).
    Survive,
    /// Something outside the interruption is touched or discharged without being lent (18).
    Scope,
    /// A server on mains lends more than leaves it its protection.
    Protection,
    /// A local stage does what no local stage may, or leaves a server to a dirty stop when the controller is dead (19).
    Local,
    /// A drill acts (20).
    Drill,
    /// Something is restarted out of priority order, without its gate or too soon (22).
    Restoration,
    /// A standing plan has a stage 0.
    Standing,
    /// A forecast differs from what the plan leads to (10).
    Forecast,
    /// The infrastructure load is not funded as the policy says.
    Infrastructure,
    /// The snapshot itself does not hold together, so nothing can be judged.
    Snapshot,
}

/// What a plan does wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The rule.
    pub invariant: Invariant,
    /// Order of the stage that does it, where one does.
    pub stage: Option<u32>,
    /// The server, reserve, line, activity or class that it concerns.
    pub subject: String,
    /// What was found and what is allowed, with the numbers.
    pub detail: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.invariant)?;
        if let Some(stage) = self.stage {
            write!(f, ", stage {stage}")?;
        }
        write!(f, ", {}: {}", self.subject, self.detail)
    }
}

/// Violations found so far; at most [`MAX_VIOLATIONS`], since a plan that is wrong in a thousand ways is wrong.
#[derive(Debug, Default)]
pub(super) struct Findings {
    found: Vec<Violation>,
}

impl Findings {
    pub(super) fn add(
        &mut self,
        invariant: Invariant,
        stage: Option<u32>,
        subject: impl fmt::Display,
        detail: String,
    ) {
        if self.found.len() < MAX_VIOLATIONS {
            self.found.push(Violation {
                invariant,
                stage,
                subject: subject.to_string(),
                detail,
            });
        }
    }

    /// Takes over what another list has that this one has not.
    pub(super) fn merge(&mut self, other: Self) {
        for violation in other.found {
            if self.found.len() < MAX_VIOLATIONS && !self.found.contains(&violation) {
                self.found.push(violation);
            }
        }
    }

    pub(super) fn into_list(mut self) -> Vec<Violation> {
        self.found
            .sort_by(|a, b| (a.invariant, a.stage, &a.subject).cmp(&(b.invariant, b.stage, &b.subject)));
        self.found
    }
}
