//! What the plan foretells is what it leads to, within 2 % or 15 s (invariant 10).

use std::collections::BTreeMap;

use super::electricity::is_on_mains;
use super::run::Outcome;
use super::violation::{Findings, Invariant};
use crate::model::{Priority, Snapshot};
use crate::plan::Plan;

fn tolerance(millis: u64) -> u64 {
    (millis / 50).max(15_000)
}

/// When the first member of a class stops: the span from the begin to the end of its stop.
#[derive(Debug, Clone, Copy, Default)]
struct First {
    stop: Option<(u64, u64)>,
    /// Members were stopped before this plan.
    shed: bool,
}

pub(super) fn check(snapshot: &Snapshot, plan: &Plan, outcome: &Outcome, findings: &mut Findings) {
    classes(snapshot, plan, outcome, findings);
    charges(snapshot, plan, outcome, findings);
}

fn classes(snapshot: &Snapshot, plan: &Plan, outcome: &Outcome, findings: &mut Findings) {
    let mut firsts: BTreeMap<Priority, First> = BTreeMap::new();
    let mut lost: BTreeMap<usize, u64> = BTreeMap::new();
    for loss in &outcome.losses {
        lost.extend(loss.ended.iter().map(|a| (*a, loss.at_millis)));
    }
    for (a, activity) in snapshot.activities.iter().enumerate() {
        let Some(priority) = super::priority(snapshot, a) else {
            continue;
        };
        let first = firsts.entry(priority).or_default();
        // Which of the two a forecast counts from is not said: one already stopped, or the next.
        first.shed |= activity.shed || !activity.draws() || !activity.is_touchable();
        let stop = outcome.stopped[a].or(lost.get(&a).map(|at| (*at, *at)));
        if let Some(stop) = stop.filter(|s| first.stop.is_none_or(|f| s.0 < f.0)) {
            first.stop = Some(stop);
        }
    }
    for class in &plan.classes {
        let Some(first) = firsts.get(&class.priority).filter(|f| !f.shed) else {
            continue;
        };
        let agrees = match (class.ride_through_millis, first.stop) {
            (None, None) => true,
            (Some(said), Some((begun, ended))) => {
                let slack = tolerance(begun);
                said.saturating_add(slack) >= begun && said <= ended.saturating_add(slack)
            }
            _ => false,
        };
        if !agrees {
            let say = |t: Option<u64>| t.map_or("no end in sight".to_owned(), |t| format!("{t} ms"));
            findings.add(
                Invariant::Forecast,
                None,
                format!("class {}", class.priority),
                format!(
                    "foretold {}, run forward {}",
                    say(class.ride_through_millis),
                    say(first.stop.map(|s| s.0))
                ),
            );
        }
    }
}

fn charges(snapshot: &Snapshot, plan: &Plan, outcome: &Outcome, findings: &mut Findings) {
    for forecast in &plan.reserves {
        let Ok(r) = snapshot
            .reserves
            .binary_search_by(|x| x.name.cmp(&forecast.reserve))
        else {
            findings.add(
                Invariant::UnknownName,
                None,
                &forecast.reserve,
                "a forecast for a reserve that the snapshot does not have".to_owned(),
            );
            continue;
        };
        let reserve = &snapshot.reserves[r];
        // One that may be recharged meanwhile is not followed.
        let may_charge = reserve
            .feeds
            .iter()
            .any(|s| is_on_mains(snapshot, s.0 as usize, false));
        if may_charge {
            continue;
        }
        // 2 % of the capacity, and 2 % or 15 s of time either way: what comes a little later falls a little later.
        let slack = reserve.capacity_millijoules as f64 / 50.0;
        let bounds = |at: u64| {
            let early = outcome.energy_at(r, at.saturating_sub(tolerance(at)));
            let late = outcome.energy_at(r, at.saturating_add(tolerance(at)));
            (early.min(late) - slack, early.max(late) + slack)
        };
        let off = forecast.points.iter().find(|(at, said)| {
            let (least, most) = bounds(*at);
            (*said as f64) < least || *said as f64 > most
        });
        if let Some((at, said)) = off {
            findings.add(
                Invariant::Forecast,
                None,
                &forecast.reserve,
                format!(
                    "foretold {said} mJ at {at} ms, run forward {:.0} mJ ({:.0} to {:.0} mJ are near enough)",
                    outcome.energy_at(r, *at),
                    bounds(*at).0,
                    bounds(*at).1
                ),
            );
        }
    }
}
