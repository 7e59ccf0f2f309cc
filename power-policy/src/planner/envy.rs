//! Who would have reason to envy whom in a rehearsal: a class that ends before its target, while a lower one whose own
//! reserve could have fed it goes on. Whoever is envied gives way in the next draft.

use super::hold_back::clean_end;
use super::prepare::{Cluster, Supply};
use super::rehearsal::Outcome;
use crate::model::LineMode;

/// How much longer the higher class would have to live for a difference to count, seconds.
const WORTH_SECONDS: f64 = 60.0;
/// Part of a time, and seconds, within which two times are the same.
const SAME: (f64, f64) = (0.02, 15.0);

fn tolerance(seconds: f64) -> f64 {
    (seconds * SAME.0).max(SAME.1)
}

/// Something that runs on batteries, where the plan puts it.
#[derive(Debug, Clone, Copy)]
struct Life {
    placement: usize,
    server: usize,
    class: usize,
    /// When its first stop begins, or its server is lost: seconds from the start of the interruption.
    until: f64,
    is_stopped: bool,
}

/// Placements that are envied. `targets` are from the start of the interruption, by class; beyond them a lower one may go
/// on where the leftover is shared by its price (`priced`).
pub(super) fn envied(
    cluster: &Cluster<'_>,
    home: &[Option<usize>],
    outcome: &Outcome,
    targets: &[f64],
    priced: bool,
) -> Vec<usize> {
    let lives = lives(cluster, home, outcome);
    let mut on_server: Vec<Vec<Life>> = vec![Vec::new(); cluster.nodes.len()];
    for life in &lives {
        on_server[life.server].push(*life);
    }
    // What lives longest of each class on the reserves of each line, lower classes after higher ones.
    let classes = cluster.classes.len();
    let mut envied = Vec::new();
    for (l, link) in cluster.links.iter().enumerate().filter(|(_, l)| l.usable) {
        let line = &cluster.snapshot.lines[l];
        if !line.joined.is_empty() || line.mode == LineMode::Exclusive {
            continue;
        }
        let mut longest: Vec<Option<(Life, usize)>> = vec![None; classes];
        for r in &link.stores {
            for life in cluster.stores[*r].homes.iter().flat_map(|s| &on_server[*s]) {
                let best = &mut longest[life.class];
                if is_restartable(cluster, life.placement) && best.is_none_or(|(b, _)| life.until > b.until) {
                    *best = Some((*life, *r));
                }
            }
        }
        // From the lowest class up: the longest life of anything lower.
        let mut lower: Vec<Option<(Life, usize)>> = vec![None; classes + 1];
        for k in (0..classes).rev() {
            lower[k] = match (lower[k + 1], longest[k]) {
                (Some(a), Some(b)) if a.0.until >= b.0.until => Some(a),
                (a, b) => b.or(a),
            };
        }
        for higher in link.servers.iter().flat_map(|s| &on_server[*s]) {
            let Some((low, r)) = lower[higher.class + 1].filter(|(low, _)| low.server != higher.server)
            else {
                continue;
            };
            if !higher.is_stopped || low.until - higher.until <= tolerance(higher.until) + WORTH_SECONDS {
                continue;
            }
            let target = targets[higher.class];
            let met = target.is_finite() && higher.until + tolerance(target) >= target;
            if met && (priced || targets[low.class] > higher.until) {
                continue;
            }
            if could_feed(cluster, outcome, higher, &low, l, r) {
                // Everything lower there that goes on.
                let goes_on = |x: &&Life| x.class > higher.class && x.until > higher.until;
                envied.extend(on_server[low.server].iter().filter(goes_on).map(|x| x.placement));
            }
        }
    }
    envied.sort_unstable();
    envied.dedup();
    envied
}

fn is_restartable(cluster: &Cluster<'_>, p: usize) -> bool {
    let mut all = cluster.placements[p].activities.iter();
    all.any(|a| cluster.snapshot.activities[*a].restartable)
}

fn lives(cluster: &Cluster<'_>, home: &[Option<usize>], outcome: &Outcome) -> Vec<Life> {
    let mut lost: Vec<Option<u64>> = vec![None; cluster.snapshot.activities.len()];
    for loss in &outcome.losses {
        for a in &loss.running {
            lost[*a] = Some(loss.at);
        }
    }
    let mut lives = Vec::new();
    for (p, placement) in cluster.placements.iter().enumerate() {
        let server = home[p].unwrap_or(placement.server);
        if cluster.nodes[server].supply != Supply::Battery {
            continue;
        }
        let first = |times: &[Option<u64>]| {
            let ends = placement.activities.iter().filter_map(|a| times[*a]);
            ends.min()
        };
        let stopped = first(&outcome.stopped);
        let end = stopped.or(first(&lost));
        lives.push(Life {
            placement: p,
            server,
            class: placement.class,
            until: end.map_or(f64::INFINITY, |at| cluster.elapsed + at as f64 / 1e6),
            is_stopped: stopped.is_some(),
        });
    }
    lives
}

/// Whether the lower one's reserve could have fed the higher one for a while, both ends set aside.
fn could_feed(
    cluster: &Cluster<'_>,
    outcome: &Outcome,
    higher: &Life,
    lower: &Life,
    l: usize,
    r: usize,
) -> bool {
    let link = &cluster.links[l];
    let store = &cluster.stores[r];
    if cluster.snapshot.servers[higher.server].fan_in > 0 || store.fan_out > 0 || link.efficiency <= 0.0 {
        return false;
    }
    let least = cluster.placements[higher.placement]
        .activities
        .iter()
        .map(|a| cluster.snapshot.activities[*a].draw_milliwatts as f64)
        .fold(f64::INFINITY, f64::min);
    let watts = (cluster.nodes[higher.server].idle + least) / link.efficiency;
    let idle = cluster.nodes[lower.server].idle;
    if link.max_watts.min(store.max_watts) < watts || store.max_watts - idle < watts {
        return false;
    }
    let at = ((higher.until - cluster.elapsed).max(0.0) * 1e6) as u64;
    let history = &outcome.history[r];
    let after = history.partition_point(|(t, _)| *t <= at);
    let left = match (after.checked_sub(1).map(|i| history[i]), history.get(after)) {
        (Some((a, x)), Some((b, y))) if *b > a => x + (y - x) * (at - a) as f64 / (b - a) as f64,
        (Some((_, x)), _) => x,
        (None, first) => first.map_or(0.0, |f| f.1),
    };
    let own = clean_end(cluster, lower.server) + idle * WORTH_SECONDS;
    left > watts * WORTH_SECONDS + own
}
