//! What is the same to a plan that is looked at again: figures move, and a plan must not be made anew for that.

use power_policy::plan::{StepKind, Trigger};

/// Two thresholds that differ by less than this are the same to a plan that is looked at again, permille.
const SAME_PERMILLE: u64 = 50;

/// Whether two figures are the same to a plan that is looked at again.
pub(super) fn near(x: u64, y: u64) -> bool {
    x.abs_diff(y) <= x.max(y) / 1000 * SAME_PERMILLE
}

/// The same for power through a line, where a few watts more or less are nothing, and none is never near any.
pub(super) fn is_near_watts(x: u64, y: u64) -> bool {
    const FEW_MILLIWATTS: u64 = 5_000;
    (x == 0) == (y == 0) && (near(x, y) || x.abs_diff(y) <= FEW_MILLIWATTS)
}

pub(super) fn is_same_step(a: &StepKind, b: &StepKind) -> bool {
    match (a, b) {
        (
            StepKind::Divert {
                line: l,
                reserve: r,
                server: s,
                milliwatts: x,
            },
            StepKind::Divert {
                line,
                reserve,
                server,
                milliwatts: y,
            },
        ) => l == line && r == reserve && s == server && is_near_watts(*x, *y),
        _ => a == b,
    }
}

pub(super) fn is_same_trigger(a: &Trigger, b: &Trigger) -> bool {
    match (a, b) {
        (Trigger::Elapsed { millis: x }, Trigger::Elapsed { millis: y })
        | (Trigger::Delay { millis: x }, Trigger::Delay { millis: y }) => near(*x, *y),
        (
            Trigger::ChargeBelow {
                reserves: r,
                millijoules: x,
            },
            Trigger::ChargeBelow {
                reserves: s,
                millijoules: y,
            },
        )
        | (
            Trigger::ChargeAbove {
                reserves: r,
                millijoules: x,
            },
            Trigger::ChargeAbove {
                reserves: s,
                millijoules: y,
            },
        ) => r == s && near(*x, *y),
        _ => a == b,
    }
}
