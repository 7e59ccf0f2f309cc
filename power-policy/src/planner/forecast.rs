//! The charge of a reserve over time, in as few points as tell it.

use super::prepare::Cluster;

/// Most points of a forecast for one reserve.
const MOST_POINTS: usize = 256;
/// Distance from what the run says that is not worth a point, as a part of the capacity.
const NEAR: f64 = 0.001;

/// Points (milliseconds since the interruption began, millijoules in the store) for a history of (microseconds from now,
/// energy at the output).
pub(super) fn points(cluster: &Cluster<'_>, r: usize, history: &[(u64, f64)]) -> Vec<(u64, u64)> {
    let mut all: Vec<(u64, u64)> = Vec::with_capacity(history.len());
    for (at, energy) in history {
        let point = (cluster.millis(*at), cluster.charge(r, *energy));
        match all.last_mut() {
            Some(last) if last.0 == point.0 => *last = point,
            _ => all.push(point),
        }
    }
    let mut near = cluster.snapshot.reserves[r].capacity_millijoules as f64 * NEAR;
    loop {
        let few = thin(&all, near.max(1.0));
        if few.len() <= MOST_POINTS {
            return few;
        }
        near = near.max(1.0) * 2.0;
    }
}

/// Leaves out points that lie within `near` of the line between those that stay (the swinging door).
fn thin(all: &[(u64, u64)], near: f64) -> Vec<(u64, u64)> {
    let Some(first) = all.first().copied() else {
        return Vec::new();
    };
    let mut few = vec![first];
    let mut anchor = first;
    let mut last = first;
    let (mut low, mut high) = (f64::NEG_INFINITY, f64::INFINITY);
    for point in &all[1..] {
        let slope = |from: (u64, u64), off: f64| {
            (point.1 as f64 + off - from.1 as f64) / (point.0 - from.0).max(1) as f64
        };
        let straight = slope(anchor, 0.0);
        if last != anchor && (straight < low || straight > high) {
            few.push(last);
            anchor = last;
            (low, high) = (f64::NEG_INFINITY, f64::INFINITY);
        }
        low = low.max(slope(anchor, -near));
        high = high.min(slope(anchor, near));
        last = *point;
    }
    // What does not change any more needs no point.
    if last.1 != anchor.1 {
        few.push(last);
    }
    few
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_straight_line_is_its_ends() {
        let line: Vec<(u64, u64)> = (0..100).map(|t| (t * 10, 10_000 - t * 50)).collect();
        assert_eq!(thin(&line, 1.0), [(0, 10_000), (990, 5_050)]);
    }

    #[test]
    fn a_bend_stays() {
        let bent = [(0, 1_000), (10, 900), (20, 800), (30, 800), (40, 800)];
        assert_eq!(thin(&bent, 1.0), [(0, 1_000), (20, 800)]);
    }

    #[test]
    fn what_is_left_out_is_near_the_line() {
        let curve: Vec<(u64, u64)> = (0..1_000_u64).map(|t| (t, 4_000_000 - t * t * 4)).collect();
        let few = thin(&curve, 10_000.0);
        assert!(few.len() < 60, "{}", few.len());
        for (t, e) in curve {
            let after = few.partition_point(|p| p.0 <= t).min(few.len() - 1);
            let (a, b) = (few[after - 1], few[after]);
            let line = a.1 as f64 + (b.1 as f64 - a.1 as f64) * (t - a.0) as f64 / (b.0 - a.0) as f64;
            assert!((line - e as f64).abs() <= 20_000.0, "at {t}: {line} for {e}");
        }
    }
}
