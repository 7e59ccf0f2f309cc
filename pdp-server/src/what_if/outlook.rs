//! What each class may expect, and how sure that is.

use std::collections::BTreeSet;

use power_policy::model::{FigureSource, PowerPolicy, Priority, Reserve, Snapshot};
use power_policy::plan::Plan;
use serde::{Deserialize, Serialize};

use super::{Case, Question};

/// How wrong the charge of a reserve may be, as a share of what is left above its cut-off.
///
/// The defaults are judgements, not measurements: 5 % where the charge is measured, 10 % where it is derived from runtime
/// and load, 20 % where it is only a figure of a file; 5 % more where the figure is older than three report periods.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Uncertainty {
    /// The same for every reserve, permille; `None`: by where its figure comes from.
    pub permille: Option<u32>,
}

impl Uncertainty {
    fn of(self, reserve: &Reserve, policy: &PowerPolicy) -> u32 {
        let by_source = match reserve.source {
            FigureSource::Measured => 50,
            FigureSource::Estimated => 100,
            FigureSource::Configured => 200,
        };
        let is_old = reserve.age_millis > policy.report_period_millis.saturating_mul(3);
        let by_age = if is_old { 50 } else { 0 };
        self.permille.unwrap_or(by_source + by_age).min(1_000)
    }
}

/// How wrong a reserve's charge was taken to be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UncertaintyOf {
    /// The reserve.
    pub reserve: String,
    /// Its charge.
    pub charge_millijoules: u64,
    /// The charge of the lower plan.
    pub low_millijoules: u64,
    /// The charge of the upper plan.
    pub high_millijoules: u64,
}

/// Whether a class lives through an interruption of a supposed length.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Survives {
    /// Also at the lower end of the band.
    Yes,
    /// Somewhere within the band.
    Perhaps,
    /// Not even at the upper end.
    No,
}

/// What a class may expect.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClassOutlook {
    /// The class.
    pub priority: Priority,
    /// Its sets.
    pub sets: Vec<String>,
    /// Its target, from the start of the interruption; `null`: for ever.
    pub target_millis: Option<u64>,
    /// Time for which all of it is expected to run, from the start of the interruption; `null`: no end in sight.
    pub ride_through_millis: Option<u64>,
    /// The same with less charge than is told; `null`: no end in sight.
    pub low_millis: Option<u64>,
    /// The same with more charge than is told; `null`: no end in sight.
    pub high_millis: Option<u64>,
    /// Whether it lives through an interruption of the supposed length; `null`: no length was supposed.
    pub survives: Option<Survives>,
}

/// No end is later than any end.
pub(super) fn later(a: Option<u64>, b: Option<u64>) -> Option<u64> {
    Some(a?.max(b?))
}

pub(super) fn sooner(a: Option<u64>, b: Option<u64>) -> Option<u64> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

pub(super) fn end_of(plan: &Plan, priority: Priority) -> Option<u64> {
    plan.classes
        .iter()
        .find(|c| c.priority == priority)
        .and_then(|c| c.ride_through_millis)
}

/// Plans with less and with more charge, and lays the classes between.
pub(super) fn band(
    case: &Case<'_>,
    plan: &Plan,
    question: &Question<'_>,
) -> (Vec<UncertaintyOf>, Vec<ClassOutlook>) {
    let mut low = case.snapshot.clone();
    let mut high = case.snapshot.clone();
    let mut list = Vec::with_capacity(case.snapshot.reserves.len());
    for (at, reserve) in case.snapshot.reserves.iter().enumerate() {
        let permille = u128::from(question.uncertainty.of(reserve, case.policy));
        let above = reserve
            .charge_millijoules
            .saturating_sub(reserve.cutoff_millijoules);
        // At most what is above, which is a u64.
        let off = u64::try_from(u128::from(above) * permille / 1000).unwrap_or(u64::MAX);
        low.reserves[at].charge_millijoules = reserve.charge_millijoules - off;
        high.reserves[at].charge_millijoules = reserve
            .charge_millijoules
            .saturating_add(off)
            .min(reserve.capacity_millijoules.max(reserve.charge_millijoules));
        list.push(UncertaintyOf {
            reserve: reserve.name.to_string(),
            charge_millijoules: reserve.charge_millijoules,
            low_millijoules: low.reserves[at].charge_millijoules,
            high_millijoules: high.reserves[at].charge_millijoules,
        });
    }
    let (low, high) = (case.plan(&low), case.plan(&high));
    let lasts = question.supposition.and_then(|s| s.lasts_millis);
    let classes = plan
        .classes
        .iter()
        .map(|c| {
            let nominal = c.ride_through_millis;
            // Less charge is planned for another way, which may by chance be better for a class.
            let low_end = sooner(
                nominal,
                sooner(end_of(&low, c.priority), end_of(&high, c.priority)),
            );
            let high_end = later(
                nominal,
                later(end_of(&low, c.priority), end_of(&high, c.priority)),
            );
            ClassOutlook {
                priority: c.priority,
                sets: sets_of(&case.snapshot, c.priority),
                target_millis: c.target_millis,
                ride_through_millis: nominal,
                low_millis: low_end,
                high_millis: high_end,
                survives: lasts.map(|lasts| survives(lasts, low_end, high_end)),
            }
        })
        .collect();
    (list, classes)
}

fn survives(lasts: u64, low: Option<u64>, high: Option<u64>) -> Survives {
    let reaches = |end: Option<u64>| end.is_none_or(|end| end >= lasts);
    match (reaches(low), reaches(high)) {
        (true, _) => Survives::Yes,
        (false, true) => Survives::Perhaps,
        (false, false) => Survives::No,
    }
}

/// The sets of a class that any activity has, as `status` shows them.
pub(super) fn sets_of(snapshot: &Snapshot, priority: Priority) -> Vec<String> {
    let present: BTreeSet<_> = snapshot.activities.iter().filter_map(|a| a.set).collect();
    present
        .into_iter()
        .filter_map(|set| snapshot.sets.get(set.0 as usize))
        .filter(|set| set.priority == priority)
        .map(|set| set.name.to_string())
        .collect()
}
