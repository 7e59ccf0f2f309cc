//! The shape of a plan: order of its stages and thresholds, what a standing plan, a drill and stage 0 may hold, the
//! infrastructure.

use std::collections::HashMap;

use super::reading::{ReadStage, Reading};
use super::violation::{Findings, Invariant};
use crate::model::{Cause, PowerPolicy};
use crate::plan::{FIRST_LOCAL_STAGE, Plan, Trigger};

pub(super) fn check(plan: &Plan, reading: &Reading<'_>, policy: &PowerPolicy, findings: &mut Findings) {
    orders(plan, findings);
    thresholds(&reading.central, findings);
    for stage in &reading.central {
        let order = stage.stage.order;
        if order == 0 && plan.cause == Cause::Standing {
            findings.add(
                Invariant::Standing,
                Some(0),
                "plan",
                "a standing plan begins at order 1, this one has a stage 0".to_owned(),
            );
        }
        if order == 0 && plan.cause == Cause::Drill && stage.acts.iter().any(|a| a.has_effect()) {
            findings.add(
                Invariant::Drill,
                Some(0),
                "plan",
                "stage 0 is released at once, and a drill switches nothing".to_owned(),
            );
        }
        let irreversible = stage.acts.iter().filter(|a| !a.is_reversible()).count();
        if order == 0 && irreversible > 0 {
            findings.add(
                Invariant::TooEarly,
                Some(0),
                "plan",
                format!("stage 0 holds only lines and caps, this one has {irreversible} other steps"),
            );
        }
        if matches!(stage.stage.trigger, Trigger::MainsLost) && plan.cause != Cause::Standing {
            findings.add(
                Invariant::StageOrder,
                Some(order),
                "plan",
                "only a PEP that is cut off looks at its own mains; this stage is a PDP's".to_owned(),
            );
        }
    }
    if plan.cause == Cause::Drill && !reading.local.is_empty() {
        findings.add(
            Invariant::Drill,
            reading.local.first().map(|s| s.stage.order),
            "plan",
            format!(
                "a PEP that is cut off would release the {} local stages of a drill",
                reading.local.len()
            ),
        );
    }
    if plan.infrastructure_milliwatts != policy.infrastructure_milliwatts {
        findings.add(
            Invariant::Infrastructure,
            None,
            "plan",
            format!(
                "{} mW are set aside for the infrastructure, which draws {} mW",
                plan.infrastructure_milliwatts, policy.infrastructure_milliwatts
            ),
        );
    }
}

fn orders(plan: &Plan, findings: &mut Findings) {
    let mut last: Option<u32> = None;
    for stage in &plan.stages {
        if last.is_some_and(|l| l >= stage.order) {
            findings.add(
                Invariant::StageOrder,
                Some(stage.order),
                "plan",
                format!(
                    "order {} does not come after order {}",
                    stage.order,
                    last.unwrap_or(0)
                ),
            );
        }
        last = Some(stage.order);
        if stage.local != (stage.order >= FIRST_LOCAL_STAGE) {
            let kind = if stage.local { "local" } else { "central" };
            findings.add(
                Invariant::StageOrder,
                Some(stage.order),
                "plan",
                format!("a {kind} stage on the wrong side of order {FIRST_LOCAL_STAGE}"),
            );
        }
    }
}

/// Later stages wait for later times, and for less charge in the same reserves.
fn thresholds(central: &[ReadStage<'_>], findings: &mut Findings) {
    let mut latest = 0;
    let mut least: HashMap<&[usize], u64> = HashMap::new();
    for stage in central {
        match &stage.stage.trigger {
            Trigger::Elapsed { millis } => {
                if *millis < latest {
                    findings.add(
                        Invariant::MonotoneStages,
                        Some(stage.stage.order),
                        "plan",
                        format!("it waits for {millis} ms, an earlier one for {latest} ms"),
                    );
                }
                latest = latest.max(*millis);
            }
            Trigger::ChargeBelow { millijoules, .. } => {
                let before = least.entry(&stage.watched).or_insert(u64::MAX);
                if *millijoules > *before {
                    findings.add(
                        Invariant::MonotoneStages,
                        Some(stage.stage.order),
                        "plan",
                        format!("it waits for {millijoules} mJ, an earlier one for {before} mJ in the same reserves"),
                    );
                }
                *before = (*before).min(*millijoules);
            }
            _ => {}
        }
    }
}
