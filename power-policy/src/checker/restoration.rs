//! A restoration, whole or where mains is while it is absent elsewhere, brings things back in priority order, one class
//! at a time, behind its gate and not too fast (invariant 22).

use std::collections::{BTreeMap, BTreeSet};

use super::electricity::permille;
use super::reading::{Act, ReadStage, Reading};
use super::violation::{Findings, Invariant};
use super::whereabouts::Whereabouts;
use crate::model::{Cause, Mains, Name, Phase, PowerPolicy, Priority, Snapshot};
use crate::plan::{HostState, Plan, Trigger, Verb};

/// A restart needs its reserves to carry it for its target, but for no longer than this (policy notes, section 3).
const GATE_MILLIS: u64 = 120_000;

pub(super) fn check(
    snapshot: &Snapshot,
    plan: &Plan,
    reading: &Reading<'_>,
    policy: &PowerPolicy,
    findings: &mut Findings,
) {
    // While the interruption goes on elsewhere the same holds where mains is.
    let starts = |act: &Act| {
        let on = HostState::On;
        matches!(
            act,
            Act::Activity {
                verb: Verb::Start,
                ..
            }
        ) || matches!(act, Act::Host { state, .. } if *state == on)
    };
    let restoring = plan.cause == Cause::Restoration;
    if !restoring && !reading.central.iter().flat_map(|s| &s.acts).any(starts) {
        return;
    }
    let whole = snapshot
        .outage
        .as_ref()
        .is_some_and(|outage| outage.phase == Phase::Restoring);
    let waiting = waiting(snapshot, plan, reading);
    let mut restorer = Restorer {
        snapshot,
        policy,
        started: BTreeSet::new(),
        domains: BTreeSet::new(),
        gates: BTreeMap::new(),
        state: Whereabouts::new(snapshot),
        own: own_reserves(snapshot),
        each_alone: restoring || !whole,
    };
    for stage in &reading.central {
        restorer.stage(stage, &waiting, findings);
    }
}

fn own_reserves(snapshot: &Snapshot) -> Vec<Vec<usize>> {
    let mut own = vec![Vec::new(); snapshot.servers.len()];
    for (r, reserve) in snapshot.reserves.iter().enumerate() {
        for s in &reserve.feeds {
            own[s.0 as usize].push(r);
        }
    }
    own
}

/// What was shed and could run again: on a server that is up or started by the plan, with room for it. By class.
fn waiting(snapshot: &Snapshot, plan: &Plan, reading: &Reading<'_>) -> BTreeMap<Priority, Vec<usize>> {
    let refused: BTreeSet<&Name> = plan.refusals.iter().map(|r| &r.subject).collect();
    let partial = plan.cause != Cause::Restoration;
    let mut up: Vec<bool> = snapshot
        .servers
        .iter()
        // While the interruption goes on elsewhere one that could be woken counts as well.
        .map(|s| !s.powered.is_off() || (partial && s.starter.is_some()))
        .collect();
    for act in reading.central.iter().flat_map(|s| &s.acts) {
        if let Act::Host {
            server,
            state: HostState::On,
        } = *act
        {
            up[server] = true;
        }
    }
    let mut used = vec![(0u64, 0u64); snapshot.servers.len()];
    for activity in snapshot.activities.iter().filter(|a| a.draws()) {
        let sum = &mut used[activity.host.0 as usize];
        *sum = (
            sum.0.saturating_add(activity.cpu_millicores),
            sum.1.saturating_add(activity.memory_mebibytes),
        );
    }
    let mut waiting: BTreeMap<Priority, Vec<usize>> = BTreeMap::new();
    for (a, activity) in snapshot.activities.iter().enumerate() {
        let owed = activity.shed && !activity.draws() && activity.is_touchable();
        let feasible = activity.startable_on.iter().map(|s| s.0 as usize).any(|s| {
            let server = &snapshot.servers[s];
            up[s]
                && server.armed
                && server.mains == Mains::Present
                && used[s].0.saturating_add(activity.cpu_millicores) <= server.cpu_millicores
                && used[s].1.saturating_add(activity.memory_mebibytes) <= server.memory_mebibytes
        });
        if owed && feasible && !refused.contains(&activity.name) {
            let priority = super::priority(snapshot, a).unwrap_or(0);
            waiting.entry(priority).or_default().push(a);
        }
    }
    waiting
}

struct Restorer<'a> {
    snapshot: &'a Snapshot,
    policy: &'a PowerPolicy,
    started: BTreeSet<usize>,
    /// Domains in which something was started.
    domains: BTreeSet<u32>,
    /// The highest charge that was waited for, by the reserves waited for.
    gates: BTreeMap<Vec<usize>, u64>,
    state: Whereabouts,
    own: Vec<Vec<usize>>,
    /// A server's own reserves have to carry it. Not in the way back of an interruption of a mains: its gates are on what all
    /// reserves hold together, which lines can take to any of them.
    each_alone: bool,
}

impl Restorer<'_> {
    fn stage(
        &mut self,
        stage: &ReadStage<'_>,
        waiting: &BTreeMap<Priority, Vec<usize>>,
        findings: &mut Findings,
    ) {
        let order = Some(stage.stage.order);
        if let Trigger::ChargeAbove { millijoules, .. } = stage.stage.trigger {
            let gate = self.gates.entry(stage.watched.clone()).or_insert(0);
            *gate = millijoules.max(*gate);
        }
        let starts: Vec<(usize, usize)> = stage
            .acts
            .iter()
            .filter_map(|act| match *act {
                Act::Activity {
                    activity,
                    server,
                    verb: Verb::Start,
                    ..
                } => Some((activity, server)),
                _ => None,
            })
            .collect();
        self.started.extend(starts.iter().map(|(a, _)| *a));
        self.state.apply(stage);
        let classes: BTreeSet<Priority> = starts
            .iter()
            .filter_map(|(a, _)| super::priority(self.snapshot, *a))
            .collect();
        if let (Some(lowest), Some(highest)) = (classes.first(), classes.last()) {
            if lowest != highest {
                findings.add(
                    Invariant::Restoration,
                    order,
                    "plan",
                    format!("classes {highest} and {lowest} are restarted in one stage"),
                );
            }
            let higher = waiting
                .range(lowest.saturating_add(1)..)
                .flat_map(|(_, list)| list);
            let left: Vec<&usize> = higher.filter(|a| !self.started.contains(*a)).collect();
            if let Some(first) = left.first() {
                findings.add(
                    Invariant::Restoration,
                    order,
                    &self.snapshot.activities[**first].name,
                    format!(
                        "class {lowest} is restarted while {} activities of higher classes wait, with room for them",
                        left.len()
                    ),
                );
            }
        }
        self.stagger(stage, findings);
        let servers: BTreeSet<usize> = starts.iter().map(|(_, s)| *s).collect();
        for s in servers.into_iter().filter(|_| self.each_alone) {
            self.gate(stage, s, findings);
        }
    }

    /// Two restarts in one power domain keep their distance (inrush).
    fn stagger(&mut self, stage: &ReadStage<'_>, findings: &mut Findings) {
        let mut here: BTreeSet<u32> = BTreeSet::new();
        for act in &stage.acts {
            let server = match *act {
                Act::Activity {
                    server,
                    verb: Verb::Start,
                    ..
                }
                | Act::Host {
                    server,
                    state: HostState::On,
                } => server,
                _ => continue,
            };
            here.extend(self.snapshot.servers[server].inlets.iter().map(|i| i.domain.0));
        }
        let apart = match stage.stage.trigger {
            Trigger::Delay { millis } => millis,
            // How long a charge takes, or when that time was, nobody can tell from the plan.
            Trigger::ChargeAbove { .. } | Trigger::Elapsed { .. } => u64::MAX,
            _ => 0,
        };
        let again = here.intersection(&self.domains).next();
        if let Some(domain) = again.filter(|_| apart < self.policy.restart_stagger_millis) {
            findings.add(
                Invariant::Restoration,
                Some(stage.stage.order),
                &self.snapshot.domains[*domain as usize].name,
                format!(
                    "restarted again {apart} ms after the one before, at least {} ms are to lie between",
                    self.policy.restart_stagger_millis
                ),
            );
        }
        self.domains.extend(here);
    }

    /// A server is given work again when its own reserves could carry all of it through another interruption.
    fn gate(&self, stage: &ReadStage<'_>, server: usize, findings: &mut Findings) {
        let own = &self.own[server];
        if own.is_empty() {
            return;
        }
        let model = &self.snapshot.servers[server];
        let residents = &self.state.residents[server];
        let load = residents.iter().fold(model.idle_milliwatts, |sum, a| {
            sum.saturating_add(self.snapshot.activities[*a].draw_milliwatts)
        });
        let longest = residents
            .iter()
            .filter_map(|a| {
                self.snapshot
                    .sets
                    .get(self.snapshot.activities[*a].set?.0 as usize)
            })
            .map(|set| set.target_millis.unwrap_or(GATE_MILLIS).min(GATE_MILLIS))
            .max()
            .unwrap_or(0);
        let touchable: Vec<usize> = residents
            .iter()
            .copied()
            .filter(|a| self.snapshot.activities[*a].is_touchable())
            .collect();
        let output =
            super::clean_end(self.snapshot, server, &touchable) + load as f64 * longest as f64 / 1_000.0;
        let reserve = |r: &usize| &self.snapshot.reserves[*r];
        let worst = own
            .iter()
            .map(|r| permille(reserve(r).efficiency_permille))
            .fold(1.0, f64::min);
        let cutoffs: f64 = own.iter().map(|r| reserve(r).cutoff_millijoules as f64).sum();
        let full: f64 = own.iter().map(|r| reserve(r).capacity_millijoules as f64).sum();
        // A reserve that cannot hold as much when full is full enough when full; 1 % is left to rounding.
        let needed = (output / worst + cutoffs).min(full) * 0.99;
        let charged: f64 = own.iter().map(|r| reserve(r).charge_millijoules as f64).sum();
        let waited = self
            .gates
            .iter()
            .filter(|(watched, _)| own.iter().any(|r| watched.contains(r)))
            .map(|(watched, gate)| {
                // Of what is waited for, the other reserves may hold as much as they can.
                let others = watched.iter().filter(|r| !own.contains(r));
                let room: f64 = others.map(|r| reserve(r).charge_millijoules as f64).sum();
                *gate as f64 - room
            })
            .fold(0.0, f64::max);
        if charged.max(waited) < needed {
            findings.add(
                Invariant::Restoration,
                Some(stage.stage.order),
                &model.name,
                format!(
                    "given work again at {:.0} mJ in its reserves; to carry it once more they need {needed:.0} mJ",
                    charged.max(waited)
                ),
            );
        }
    }
}
