//! The energy of a clean end, set aside before anything else is planned.

use super::decide::SETTLE_SECONDS;
use super::prepare::{Cluster, seconds};

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
    for (draw, left) in &node.stopping {
        energy += draw * left;
        longest = longest.max(*left);
        load += draw;
    }
    energy += node.base * (longest + STAGES_BETWEEN * SETTLE_SECONDS) + node.halt_energy;
    energy * f64::from(cluster.policy.hold_back_permille) / 1_000.0 + load * margin_seconds(cluster)
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
