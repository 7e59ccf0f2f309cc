//! Targets that a rehearsal misses while something lower lived on the same electricity: the pools promised more than lines,
//! margins and losses leave. What was missing is set aside for the higher class in the next draft, so that the lower one
//! gets less; and what a still higher class got beyond its own target is set aside for it no longer.

use super::decide::{Decision, on_battery};
use super::durations::FOREVER;
use super::prepare::Cluster;
use super::rehearsal::Outcome;

/// Part of a target, and seconds, that do not count as missed.
const SAME: (f64, f64) = (0.01, 5.0);
/// Part of a surplus that is given back in one round: what was lived on may not be what was lent.
const GIVEN_BACK: f64 = 0.5;

fn tolerance(target: f64) -> f64 {
    (target * SAME.0).max(SAME.1)
}

/// When each placement on batteries ends, seconds from the start of the interruption; none for others.
fn ends(cluster: &Cluster<'_>, decision: &Decision, outcome: &Outcome) -> Vec<Option<f64>> {
    let mut times = outcome.stopped.clone();
    for loss in &outcome.losses {
        for a in &loss.running {
            times[*a].get_or_insert(loss.at);
        }
    }
    let placements = cluster.placements.iter().enumerate();
    placements
        .map(|(p, placement)| {
            let server = decision.target[p].unwrap_or(placement.server);
            let end = placement.activities.iter().filter_map(|a| times[*a]).min();
            on_battery(cluster, server)
                .then(|| end.map_or(f64::INFINITY, |at| cluster.elapsed + at as f64 / 1e6))
        })
        .collect()
}

/// By class, highest first: how far its first member stays below the target, in steps that tell two plans apart.
pub(super) fn missed(cluster: &Cluster<'_>, decision: &Decision, outcome: &Outcome) -> Vec<u64> {
    let mut missed = vec![0; cluster.classes.len()];
    for (placement, end) in cluster.placements.iter().zip(ends(cluster, decision, outcome)) {
        let target = decision.class_target[placement.class].min(FOREVER);
        let step = tolerance(decision.class_target[placement.class].min(FOREVER / 1_000.0));
        let short = end.map_or(0.0, |end| (target - end) / step);
        missed[placement.class] = missed[placement.class].max(super::prepare::whole(short));
    }
    missed
}

/// Energy to be set aside in addition, by class and server: none if nothing lower has lived that could make a difference.
pub(super) fn to_set_aside(
    cluster: &Cluster<'_>,
    decision: &Decision,
    outcome: &Outcome,
) -> Vec<(usize, usize, f64)> {
    let ends = ends(cluster, decision, outcome);
    let lives = || {
        cluster
            .placements
            .iter()
            .enumerate()
            .filter_map(|(p, placement)| {
                let server = decision.target[p]?;
                Some((p, placement.class, server, ends[p]?))
            })
    };
    let island = |s: usize| cluster.nodes[s].island;
    // The lowest class that lives on each island.
    let mut lowest = vec![None; cluster.islands.max(1)];
    for (_, class, s, _) in lives() {
        lowest[island(s)] = lowest[island(s)].max(Some(class));
    }
    // The highest class that misses a target of its own while something lower lives there.
    let short = lives().filter(|(_, class, s, end)| {
        let target = decision.class_target[*class];
        target.is_finite() && target - end >= tolerance(target) && lowest[island(*s)] > Some(*class)
    });
    let Some(top) = short.clone().map(|(_, class, _, _)| class).min() else {
        return Vec::new();
    };
    let islands: Vec<usize> = short
        .filter(|(_, class, _, _)| *class == top)
        .map(|(_, _, s, _)| island(s))
        .collect();
    // All of a class on one server end together, so the first counts; with the first class the host ends too.
    let mut first: std::collections::BTreeMap<(usize, usize), (f64, f64)> = std::collections::BTreeMap::new();
    for (p, class, s, end) in
        lives().filter(|(_, class, s, _)| *class <= top && islands.contains(&island(*s)))
    {
        let entry = first.entry((class, s)).or_insert((f64::INFINITY, 0.0));
        entry.0 = entry.0.min(end);
        entry.1 += cluster.placements[p].draw;
    }
    let mut aside = Vec::new();
    let mut host_paid = vec![false; cluster.nodes.len()];
    for ((class, s), (end, draw)) in first {
        let base = if std::mem::replace(&mut host_paid[s], true) {
            0.0
        } else {
            cluster.nodes[s].base
        };
        let target = decision.class_target[class];
        let more = target - end;
        if !more.is_finite() || more.abs() < tolerance(target) {
            continue;
        }
        if more > 0.0 {
            aside.push((class, s, more * (draw + base)));
        } else if class < top {
            aside.push((class, s, more * (draw + base) * GIVEN_BACK));
        }
    }
    aside
}
