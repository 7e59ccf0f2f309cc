//! The energy of a clean end, set aside before anything else is planned.

use super::decide::SETTLE_SECONDS;
use super::prepare::{Cluster, Supply, seconds};

/// Stages between the end of the stops and the begin of the halt, for reports and decisions on their way.
const STAGES_BETWEEN: f64 = 3.0;

/// What a server needs to stop `running` (indexes of placements) cleanly and halt, all at once, with the margins of
/// the policy: a factor on the energy, and some time at full load, because a threshold is seen late by up to one
/// report period.
pub(super) fn hold_back(cluster: &Cluster<'_>, s: usize, running: &[usize]) -> f64 {
    let node = &cluster.nodes[s];
    let (mut energy, mut longest, mut load) = (0.0, 0.0_f64, node.base);
    for p in running {
        let placement = &cluster.placements[*p];
        energy += placement.stop_energy;
        longest = longest.max(placement.stop_seconds);
        load += placement.draw;
    }
    for ending in &node.stopping {
        energy += ending.draw * ending.seconds;
        longest = longest.max(ending.seconds);
        load += ending.draw;
    }
    load += node.arrived;
    energy += (node.base + node.arrived) * (longest + STAGES_BETWEEN * SETTLE_SECONDS) + node.halt_energy;
    energy * f64::from(cluster.policy.hold_back_permille) / 1_000.0 + load * margin_seconds(cluster)
}

/// What the servers on mains that a reserve feeds need of it, if their mains goes too: their load for a while, and a
/// clean end. Without the margins of [`hold_back`].
pub(super) fn protection(cluster: &Cluster<'_>, r: usize) -> f64 {
    let homes = cluster.stores[r].homes.iter().map(|s| (*s, &cluster.nodes[*s]));
    homes
        .filter(|(_, node)| node.supply == Supply::Mains)
        .map(|(s, _)| cluster.draw_now(s) * seconds(cluster.policy.protect_millis) + clean_end(cluster, s))
        .sum()
}

/// What it takes to stop everything on a server cleanly and to halt it, without margins.
pub(super) fn clean_end(cluster: &Cluster<'_>, s: usize) -> f64 {
    let node = &cluster.nodes[s];
    let placements = node.placements.iter().map(|p| &cluster.placements[*p]);
    let stops: f64 = placements.clone().map(|p| p.stop_energy).sum();
    let longest = placements
        .map(|p| p.stop_seconds)
        .fold(node.fixed_end.1, f64::max);
    stops + node.fixed_end.0 + node.base * longest + node.halt_energy
}

/// Time at full load that is set aside on top.
pub(super) fn margin_seconds(cluster: &Cluster<'_>) -> f64 {
    seconds(
        cluster
            .policy
            .hold_back_millis
            .max(cluster.policy.report_period_millis),
    )
}
