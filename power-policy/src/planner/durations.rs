//! How long each class lives on each server, given the energy of an island: targets in strict priority, then the
//! leftover by expected weighted uptime.
//!
//! Beyond the targets the planner maximises the sum of `value * integral of S(t)` with `S(t) = min(1, t0/t)`, the
//! chance that the outage still lasts. One multiplier lambda an island: a block of rungs with `density = value / watts`
//! lives until `density * S(t) = lambda`, which is `t0 * density / lambda`. Blocks keep the order of classes on a
//! server: a rung that is denser than the one above it is pooled with it (pool adjacent violators).

/// Longest duration that is told apart from "for ever", seconds.
pub(super) const FOREVER: f64 = 1e7;
/// Halvings of the search for lambda.
const ROUNDS: usize = 60;

/// One class on one server: what it takes to keep it in addition to the classes above it.
#[derive(Debug, Clone)]
pub(super) struct Rung {
    pub(super) server: usize,
    pub(super) class: usize,
    /// Watts in addition to the rungs above; the first rung of a server pays its idle draw.
    pub(super) watts: f64,
    /// Weighted cores.
    pub(super) value: f64,
}

/// How long, from now.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Span {
    /// In strict priority.
    pub(super) target: f64,
    /// All in all.
    pub(super) total: f64,
}

/// What an island decides on.
#[derive(Debug, Clone)]
pub(super) struct Durations {
    /// One for each rung.
    pub(super) spans: Vec<Span>,
    /// Weighted cores a watt at which a joule of leftover is spent; none where there is no leftover.
    pub(super) lambda: Option<f64>,
}

/// Divides `energy` among `rungs` (sorted by server, then class). `targets` are from now, by class; `aside` is what a class's
/// target takes beyond its watts.
pub(super) fn durations(
    rungs: &[Rung],
    energy: f64,
    targets: &[f64],
    aside: &[f64],
    elapsed: f64,
    scale: f64,
) -> Durations {
    let mut watts = vec![0.0; targets.len()];
    let mut present = vec![false; targets.len()];
    for rung in rungs {
        watts[rung.class] += rung.watts;
        present[rung.class] = true;
    }
    let mut left = energy.max(0.0);
    let mut current = FOREVER;
    let mut by_class = vec![0.0; targets.len()];
    for k in 0..targets.len() {
        if !present[k] {
            continue;
        }
        let wish = targets[k].min(current).min(FOREVER);
        by_class[k] = if watts[k] * wish <= left {
            wish
        } else {
            left / watts[k]
        };
        // Where all is taken there is nothing to set aside.
        left = (left - watts[k] * by_class[k] - aside[k]).clamp(0.0, left);
        // A class that draws nothing in addition sets no bound for those below.
        if watts[k] > 0.0 {
            current = by_class[k];
        }
    }
    let mut spans: Vec<Span> = rungs
        .iter()
        .map(|rung| Span {
            target: by_class[rung.class],
            total: by_class[rung.class],
        })
        .collect();
    let lambda = share_leftover(rungs, &mut spans, left, elapsed, scale);
    // A set that draws nothing lives as long as the rung above it, or for ever where there is none.
    for at in 0..rungs.len() {
        if rungs[at].watts <= 0.0 {
            let above = (at > 0 && rungs[at - 1].server == rungs[at].server).then(|| spans[at - 1]);
            spans[at] = above.unwrap_or(Span {
                target: FOREVER,
                total: FOREVER,
            });
        }
    }
    Durations { spans, lambda }
}

struct Block {
    rungs: std::ops::Range<usize>,
    value: f64,
    watts: f64,
}

fn share_leftover(rungs: &[Rung], spans: &mut [Span], left: f64, elapsed: f64, scale: f64) -> Option<f64> {
    // Less than a joule is not worth a word.
    if left <= 1_000.0 {
        return None;
    }
    let blocks = blocks(rungs);
    let densest = blocks.iter().map(|b| b.value / b.watts).fold(0.0, f64::max);
    if densest <= 0.0 {
        return None;
    }
    let life = |density: f64, lambda: f64| -> f64 {
        if density < lambda {
            0.0
        } else {
            (scale.max(1.0) * density / lambda - elapsed).clamp(0.0, FOREVER)
        }
    };
    let cost = |lambda: f64, spans: &[Span]| -> f64 {
        let mut sum = 0.0;
        for b in &blocks {
            let x = life(b.value / b.watts, lambda);
            for at in b.rungs.clone() {
                sum += rungs[at].watts * (x - spans[at].target).max(0.0);
            }
        }
        sum
    };
    let (mut low, mut high) = (densest * 1e-12, densest * 1.001);
    for _ in 0..ROUNDS {
        let middle = (low * high).sqrt();
        if cost(middle, spans) > left {
            low = middle;
        } else {
            high = middle;
        }
    }
    let mut rest = left - cost(high, spans);
    let given: Vec<(f64, f64)> = blocks
        .iter()
        .map(|b| b.value / b.watts)
        .map(|d| (life(d, high), life(d, low)))
        .collect();
    // What the step at lambda leaves over goes to the densest first, then by class, then by server.
    let mut order: Vec<usize> = (0..blocks.len()).collect();
    order.sort_by(|a, b| {
        let (a, b) = (&blocks[*a], &blocks[*b]);
        (b.value / b.watts)
            .total_cmp(&(a.value / a.watts))
            .then(rungs[a.rungs.start].class.cmp(&rungs[b.rungs.start].class))
            .then(rungs[a.rungs.start].server.cmp(&rungs[b.rungs.start].server))
    });
    for i in order {
        let block = &blocks[i];
        let (sure, perhaps) = given[i];
        let more: f64 = block
            .rungs
            .clone()
            .map(|at| rungs[at].watts * (perhaps.max(spans[at].target) - sure.max(spans[at].target)))
            .sum();
        let part = if more > 0.0 && rest > 0.0 {
            (rest / more).min(1.0)
        } else {
            0.0
        };
        rest -= more * part;
        let x = sure + (perhaps - sure) * part;
        for at in block.rungs.clone() {
            spans[at].total = spans[at].total.max(x);
        }
    }
    Some(high)
}

/// Rungs of a server, pooled until their density falls from class to class.
fn blocks(rungs: &[Rung]) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    let mut server_from = 0;
    for (at, rung) in rungs.iter().enumerate() {
        if at > 0 && rungs[at - 1].server != rung.server {
            server_from = blocks.len();
        }
        if rung.watts <= 0.0 {
            continue;
        }
        blocks.push(Block {
            rungs: at..at + 1,
            value: rung.value,
            watts: rung.watts,
        });
        while blocks.len() > server_from + 1 {
            let (upper, lower) = (&blocks[blocks.len() - 2], &blocks[blocks.len() - 1]);
            if lower.value * upper.watts <= upper.value * lower.watts {
                break;
            }
            let pooled = Block {
                rungs: upper.rungs.start..lower.rungs.end,
                value: upper.value + lower.value,
                watts: upper.watts + lower.watts,
            };
            blocks.truncate(blocks.len() - 2);
            blocks.push(pooled);
        }
    }
    blocks
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rung(server: usize, class: usize, watts: f64, value: f64) -> Rung {
        Rung {
            server,
            class,
            watts,
            value,
        }
    }

    #[test]
    fn targets_are_met_in_strict_priority() {
        let rungs = [
            rung(0, 0, 100.0, 1.0),
            rung(0, 1, 100.0, 1.0),
            rung(1, 1, 200.0, 1.0),
        ];
        let d = durations(&rungs, 100_000.0, &[600.0, 600.0], &[0.0; 2], 0.0, 300.0);
        assert_eq!(d.spans[0].target, 600.0);
        // 40 000 mJ are left for 300 mW of class 1.
        assert!((d.spans[1].target - 40_000.0 / 300.0).abs() < 1e-6);
        assert_eq!(d.spans[1].target, d.spans[2].target);
    }

    #[test]
    fn an_infinite_target_leaves_nothing_to_others() {
        let rungs = [rung(0, 0, 100.0, 1.0), rung(0, 1, 100.0, 9.0)];
        let d = durations(&rungs, 100_000.0, &[f64::INFINITY, 0.0], &[0.0; 2], 0.0, 300.0);
        assert_eq!(d.spans[0].total, 1_000.0);
        assert_eq!(d.spans[1].total, 0.0);
    }

    #[test]
    fn leftover_is_spent_whole_and_by_density() {
        let rungs = [rung(0, 0, 100.0, 4.0), rung(1, 0, 100.0, 1.0)];
        let d = durations(&rungs, 500_000.0, &[0.0], &[0.0; 2], 0.0, 300.0);
        let spent: f64 = d.spans.iter().zip(&rungs).map(|(s, r)| s.total * r.watts).sum();
        assert!((spent - 500_000.0).abs() < 1.0, "{spent}");
        assert!(
            (d.spans[0].total / d.spans[1].total - 4.0).abs() < 0.01,
            "{:?}",
            d.spans
        );
    }

    #[test]
    fn a_denser_lower_class_is_pooled_with_the_one_above() {
        let rungs = [rung(0, 0, 100.0, 1.0), rung(0, 1, 100.0, 9.0)];
        let d = durations(&rungs, 100_000.0, &[0.0, 0.0], &[0.0; 2], 0.0, 300.0);
        assert_eq!(d.spans[0].total, d.spans[1].total);
        assert!((d.spans[0].total - 500.0).abs() < 1e-6);
    }

    #[test]
    fn sets_without_draw_live_as_long_as_what_is_above_them() {
        let rungs = [rung(0, 0, 100.0, 1.0), rung(0, 1, 0.0, 1.0)];
        let d = durations(&rungs, 100_000.0, &[100.0, 0.0], &[0.0; 2], 0.0, 300.0);
        assert_eq!(d.spans[0], d.spans[1]);
    }
}
