//! When a plan is asked for, and what it waits for.

use super::Engine;
use super::cluster::Peer;

/// A plan that is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PlanWish {
    pub(super) at: u64,
    /// It does not wait for outstanding results of the plan in force.
    pub(super) urgent: bool,
    pub(super) reason: String,
}

impl Engine {
    /// Asks for a plan at once: what is in force does not fit any more.
    pub(super) fn want_plan(&mut self, within_millis: u64, reason: &str) {
        self.wish(within_millis, true, reason);
    }

    /// Asks for a plan when the released steps of the one in force have their results.
    pub(super) fn want_plan_later(&mut self, within_millis: u64, reason: &str) {
        self.wish(within_millis, false, reason);
    }

    /// An urgent wish, and an earlier one, stands.
    pub(super) fn wish(&mut self, within_millis: u64, urgent: bool, reason: &str) {
        let at = self.now.saturating_add(within_millis);
        let stands = self
            .plan_due
            .as_ref()
            .is_some_and(|w| (w.urgent && !urgent) || (w.urgent == urgent && w.at <= at));
        if !stands {
            let reason = reason.to_owned();
            self.plan_due = Some(PlanWish { at, urgent, reason });
        }
    }

    /// Whether the wish for a plan is to be fulfilled now.
    pub(super) fn is_plan_due(&self) -> bool {
        self.plan_due
            .as_ref()
            .is_some_and(|w| w.at <= self.now && !self.is_put_off(w))
    }

    /// A plan is not made from half of the cluster: after a restart it waits until all PEPs are back, or were awaited in
    /// vain. One that is not urgent waits until what was planned before has its results.
    pub(super) fn is_put_off(&self, wish: &PlanWish) -> bool {
        self.is_awaiting() || (!wish.urgent && (self.execution.is_busy() || self.is_stage_ready()))
    }

    /// Whether PEPs are awaited after a restart.
    pub(super) fn is_awaiting(&self) -> bool {
        let awaited = |p: &Peer| !p.reported && p.awaited_until.is_some_and(|t| t > self.now);
        self.peers.values().any(awaited)
    }
}
