//! When a plan is asked for, and what it waits for.

use super::Engine;
use super::cluster::Peer;
use crate::limits::{PLAN_BURST, PLAN_INTERVAL_MILLIS};

/// How much a plan is needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Urgency {
    /// It waits for outstanding results of the plan in force.
    Later,
    /// What is in force does not fit any more: nothing more of it is released.
    Soon,
    /// The interruption itself has changed: it waits for nothing but lines that are moving, not even for the bound on
    /// plans. The interruption machine has its own against mains that flutters.
    Now,
}

/// A plan that is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PlanWish {
    pub(super) at: u64,
    pub(super) urgency: Urgency,
    pub(super) reason: String,
}

/// The bound on plans: a bucket of [`PLAN_BURST`], which gets one more each [`PLAN_INTERVAL_MILLIS`].
///
/// A plan that fails at once, and the next one that fails the same way, would else be made as fast as the wire carries
/// results.
#[derive(Debug, Clone, Copy)]
pub(super) struct Budget {
    left: u32,
    /// From when the next one counts.
    from: u64,
}

impl Budget {
    pub(super) fn new(now: u64) -> Self {
        Self {
            left: PLAN_BURST,
            from: now,
        }
    }

    /// When a plan may be made.
    pub(super) fn next(&self, now: u64) -> u64 {
        if self.left > 0 {
            now
        } else {
            self.from.saturating_add(PLAN_INTERVAL_MILLIS).max(now)
        }
    }

    /// A plan is made.
    pub(super) fn spend(&mut self, now: u64) {
        let earned = now.saturating_sub(self.from) / PLAN_INTERVAL_MILLIS;
        let left = u64::from(self.left).saturating_add(earned);
        self.from = self.from.saturating_add(earned * PLAN_INTERVAL_MILLIS);
        self.left = u32::try_from(left).unwrap_or(PLAN_BURST).min(PLAN_BURST);
        if self.left == PLAN_BURST {
            self.from = now;
        }
        self.left = self.left.saturating_sub(1);
    }
}

impl Engine {
    /// Asks for a plan at once: the interruption has changed.
    pub(super) fn want_plan_now(&mut self, reason: &str) {
        self.wish(0, Urgency::Now, reason);
    }

    /// Asks for a plan soon: what is in force does not fit any more.
    pub(super) fn want_plan(&mut self, within_millis: u64, reason: &str) {
        self.wish(within_millis, Urgency::Soon, reason);
    }

    /// Asks for a plan when the released steps of the one in force have their results.
    pub(super) fn want_plan_later(&mut self, within_millis: u64, reason: &str) {
        self.wish(within_millis, Urgency::Later, reason);
    }

    /// A more urgent wish, and an earlier one, stands.
    fn wish(&mut self, within_millis: u64, urgency: Urgency, reason: &str) {
        let at = self.now.saturating_add(within_millis);
        let stands = self
            .plan_due
            .as_ref()
            .is_some_and(|w| w.urgency > urgency || (w.urgency == urgency && w.at <= at));
        if !stands {
            let reason = reason.to_owned();
            self.plan_due = Some(PlanWish { at, urgency, reason });
        }
    }

    /// When the wish for a plan is due.
    pub(super) fn plan_time(&self) -> Option<u64> {
        let wish = self.plan_due.as_ref().filter(|w| !self.is_put_off(w))?;
        let at = match wish.urgency {
            Urgency::Now => wish.at,
            Urgency::Soon | Urgency::Later => wish.at.max(self.budget.next(self.now)),
        };
        let at = at.max(self.gathers_until().unwrap_or(0));
        Some(at.max(self.lines_move_until().unwrap_or(0)))
    }

    /// Whether the wish for a plan is to be fulfilled now.
    pub(super) fn is_plan_due(&self) -> bool {
        self.plan_time().is_some_and(|at| at <= self.now)
    }

    /// Whether the plan in force does not fit any more, so that nothing more of it may be released.
    pub(super) fn is_plan_overtaken(&self) -> bool {
        let overtaken = |w: &PlanWish| w.urgency > Urgency::Later && w.at <= self.now;
        // After a restart, what was planned goes on while PEPs are awaited.
        !self.is_awaiting() && self.plan_due.as_ref().is_some_and(overtaken)
    }

    /// A plan is not made from half of the cluster: after a restart it waits until all PEPs are back, or were awaited in
    /// vain. One that is not urgent waits until what was planned before has its results.
    pub(super) fn is_put_off(&self, wish: &PlanWish) -> bool {
        let waits = wish.urgency == Urgency::Later;
        self.is_awaiting() || (waits && (self.execution.is_busy() || self.is_stage_ready()))
    }

    /// Whether PEPs are awaited after a restart.
    pub(super) fn is_awaiting(&self) -> bool {
        let awaited = |p: &Peer| !p.reported && p.awaited_until.is_some_and(|t| t > self.now);
        self.peers.values().any(awaited)
    }
}
