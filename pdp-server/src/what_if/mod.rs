//! What a plan would be worth, without any of it being done: an interruption is supposed, planned, and questioned.
//!
//! Pure: a cluster as it was recorded or described goes in ([`PlanningInput`]), an [`Outlook`] comes out. It is made by
//! whoever asks (`pdp-server plan --what-if`), never by a running PDP.
//!
//! # How far a prediction can be trusted
//!
//! Charges are estimates. The band around a predicted ride-through time comes from two further plans, in which every
//! reserve holds less, and more (never more than when it is full), than it says ([`Uncertainty`]): the time in the first is
//! the lower end, in the second the upper one, and the nominal time is never outside. Draws are taken as they are told: a load that is higher by some
//! percent shortens the time about as a charge does that is lower by as many.
//!
//! # What would help
//!
//! One figure at a time is raised by a quarter (the watts of a line, the energy of a reserve, the watts it can give; a
//! line also as far as its largest server needs), the cluster is planned anew, and what a class gains is told
//! ([`Bottleneck`]). The best three are then made as small as they can be without losing more than a tenth of the gain.
//! Trials are bounded in number, and in time by the caller ([`Question::go_on`]). What a trial shows is what the planner
//! would make of the change, no bound on what could be made of it.

mod bottleneck;
pub mod described;
mod outlook;
pub mod plot;
mod suppose;
mod text;

#[cfg(test)]
mod tests;

use power_policy::model::{PowerPolicy, Snapshot};
use power_policy::plan::Plan;
use power_policy::{checker, planner};

pub use bottleneck::{Bottleneck, Figure, Gain, Trials};
pub use outlook::{ClassOutlook, Survives, Uncertainty, UncertaintyOf};
pub use suppose::{Supposition, SuppositionError};

use crate::api::{Outlook, PlanningInput};

/// What is asked.
pub struct Question<'a> {
    /// What is supposed; `None`: the cluster is taken as it is.
    pub supposition: Option<&'a Supposition>,
    /// How wrong charges may be.
    pub uncertainty: Uncertainty,
    /// Most plans that are made to find what would help; 0: none.
    pub max_trials: usize,
    /// Asked before each of these plans: whether there is time for it.
    pub go_on: &'a dyn Fn() -> bool,
}

/// Plans a supposed interruption, and questions the plan.
///
/// # Errors
/// The input does not hold together, or the supposition names what is not there.
pub fn outlook(input: &PlanningInput, question: &Question<'_>) -> Result<Outlook, SuppositionError> {
    let mut snapshot = input.snapshot.clone();
    snapshot.validate()?;
    let mut supposed = Vec::new();
    if let Some(supposition) = question.supposition {
        supposed = supposition.apply(&mut snapshot)?;
    }
    let case = Case {
        snapshot,
        previous: input.previous.as_ref(),
        policy: &input.policy,
    };
    let plan = case.plan(&case.snapshot);
    let objections = checker::check(&case.snapshot, &plan, case.policy);
    let (uncertainty, classes) = outlook::band(&case, &plan, question);
    let (bottlenecks, trials) = bottleneck::find(&case, &plan, question);
    Ok(Outlook {
        supposed,
        lasts_millis: question.supposition.and_then(|s| s.lasts_millis),
        text: plan.to_string(),
        plan,
        classes,
        uncertainty,
        objections: objections.iter().map(ToString::to_string).collect(),
        bottlenecks,
        trials,
    })
}

/// A cluster that is planned several times, with a figure changed.
struct Case<'a> {
    snapshot: Snapshot,
    previous: Option<&'a Plan>,
    policy: &'a PowerPolicy,
}

impl Case<'_> {
    fn plan(&self, snapshot: &Snapshot) -> Plan {
        planner::plan(snapshot, self.previous, self.policy)
    }
}
