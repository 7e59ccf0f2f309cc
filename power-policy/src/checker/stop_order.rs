//! On one server lower classes stop before higher ones (invariant 8, claim 13).

use std::collections::{BTreeMap, BTreeSet};

use super::reading::{Act, ReadStage, Reading};
use super::violation::{Findings, Invariant};
use super::whereabouts::Whereabouts;
use crate::model::{ActivityState, Snapshot};
use crate::plan::Verb;

pub(super) fn check(snapshot: &Snapshot, reading: &Reading<'_>, findings: &mut Findings) {
    let mut state = Whereabouts::new(snapshot);
    for stage in &reading.central {
        let before = running(&state, stage);
        state.apply(stage);
        in_stage(snapshot, &before, &state, stage, Invariant::StopOrder, findings);
    }
}

/// The activities of a stage's steps, with their servers, that run there before it.
pub(super) fn running(state: &Whereabouts, stage: &ReadStage<'_>) -> BTreeSet<(usize, usize)> {
    let pairs = stage.acts.iter().filter_map(|act| match *act {
        Act::Activity { activity, server, .. } => Some((activity, server)),
        _ => None,
    });
    pairs.filter(|(a, s)| state.runs_on(*a, *s)).collect()
}

/// Judges the stops of a stage against what still runs when it is done.
pub(super) fn in_stage(
    snapshot: &Snapshot,
    before: &BTreeSet<(usize, usize)>,
    after: &Whereabouts,
    stage: &ReadStage<'_>,
    invariant: Invariant,
    findings: &mut Findings,
) {
    // The highest class that each server stops here.
    let mut highest: BTreeMap<usize, (u16, usize)> = BTreeMap::new();
    for act in &stage.acts {
        let Act::Activity {
            activity,
            server,
            verb: Verb::Stop,
            ..
        } = *act
        else {
            continue;
        };
        // One whose stop was begun before is only waited for.
        let asked_again = is_stopping(snapshot, activity, server);
        if asked_again || !before.contains(&(activity, server)) {
            continue;
        }
        let Some(priority) = super::priority(snapshot, activity) else {
            continue;
        };
        let entry = highest.entry(server).or_insert((priority, activity));
        if priority > entry.0 {
            *entry = (priority, activity);
        }
    }
    for (server, (priority, activity)) in highest {
        let lower = after.residents[server].iter().find(|a| {
            let model = &snapshot.activities[**a];
            // One that cannot be started again is stopped only when the energy is at its end.
            // One that runs elsewhere too is on its way out, and one whose stop was begun before has stopped first.
            model.is_touchable()
                && model.restartable
                && !is_stopping(snapshot, **a, server)
                && after.places[**a].len() == 1
                && super::priority(snapshot, **a).is_some_and(|p| p < priority)
        });
        if let Some(lower) = lower {
            findings.add(
                invariant,
                Some(stage.stage.order),
                &snapshot.activities[activity].name,
                format!(
                    "class {priority} stops on {} while {} of class {} still runs there",
                    snapshot.servers[server].name,
                    snapshot.activities[*lower].name,
                    super::priority(snapshot, *lower).unwrap_or(0)
                ),
            );
        }
    }
}

/// Whether a stop was under way at the moment of planning.
fn is_stopping(snapshot: &Snapshot, activity: usize, server: usize) -> bool {
    let model = &snapshot.activities[activity];
    model.state == ActivityState::Stopping && model.host.0 as usize == server
}
