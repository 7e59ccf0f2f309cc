//! Servers that stand by, are switched off or on: after their work has left, where somebody can bring them back, and
//! only where it is allowed.

use std::collections::BTreeMap;

use super::electricity::permille;
use super::reading::{Act, Reading};
use super::run::{Halt, Outcome};
use super::violation::{Findings, Invariant};
use super::whereabouts::Whereabouts;
use crate::model::{PowerPolicy, Powered, Snapshot};
use crate::plan::HostState;

/// A halt is timely if no more is left than this many times what it takes with its margin, and this part of the
/// capacity.
const AMPLE: f64 = 2.0;
const NEARLY_EMPTY: f64 = 0.05;

pub(super) fn check(snapshot: &Snapshot, reading: &Reading<'_>, findings: &mut Findings) {
    let mut state = Whereabouts::new(snapshot);
    for stage in &reading.central {
        for act in &stage.acts {
            if let Act::Host { server, state: to } = *act {
                allowed(snapshot, stage.stage.order, server, to, findings);
                idle(snapshot, &state, stage.stage.order, server, to, findings);
            }
            // A host step begins when the steps before it on the same server have ended.
            state.step(act);
        }
    }
}

pub(super) fn allowed(
    snapshot: &Snapshot,
    order: u32,
    server: usize,
    to: HostState,
    findings: &mut Findings,
) {
    let model = &snapshot.servers[server];
    let mut find = |invariant, detail: String| findings.add(invariant, Some(order), &model.name, detail);
    if !model.armed {
        find(
            Invariant::Unarmed,
            format!("{to:?} of a server that is not armed"),
        );
    }
    if model.powered == Powered::Unreachable {
        find(
            Invariant::UnknownState,
            format!("{to:?} of a server that cannot be reached"),
        );
    }
    if to == HostState::On && model.starter.is_none() {
        find(Invariant::HostState, "started, but it has no starter".to_owned());
    }
}

/// A server that nobody could start again, or whose PEP is a custodian in use, is not switched off to save energy. It
/// may only be halted cleanly at the end, when its own reserves hold little more than that takes: it would lose its
/// power all the same, and not cleanly.
pub(super) fn last_resort(
    snapshot: &Snapshot,
    policy: &PowerPolicy,
    outcome: &Outcome,
    findings: &mut Findings,
) {
    let kept = |h: &&Halt| !snapshot.servers[h.server].may_switch_off();
    let halts: BTreeMap<usize, &Halt> = outcome.halts.iter().filter(kept).map(|h| (h.server, h)).collect();
    if halts.is_empty() {
        return;
    }
    // What is left to each of them, and how much of their stores counts as nearly nothing.
    let mut left: BTreeMap<usize, (f64, f64)> = BTreeMap::new();
    for (r, reserve) in snapshot.reserves.iter().enumerate() {
        let floor = reserve.charge_millijoules as f64 - reserve.drawable_millijoules() as f64;
        for (server, halt) in reserve
            .feeds
            .iter()
            .filter_map(|s| halts.get_key_value(&(s.0 as usize)))
        {
            let usable =
                (outcome.energy_at(r, halt.at_millis) - floor) * permille(reserve.efficiency_permille);
            let sums = left.entry(*server).or_default();
            sums.0 += usable;
            sums.1 += reserve.capacity_millijoules as f64 * NEARLY_EMPTY;
        }
    }
    for (server, halt) in halts {
        let model = &snapshot.servers[server];
        let halt_energy = if model.halt_millijoules > 0 {
            model.halt_millijoules as f64
        } else {
            model.idle_milliwatts as f64 * model.halt_millis as f64 / 1_000.0
        };
        let margin = policy.hold_back_millis.max(policy.report_period_millis) as f64 / 1_000.0;
        let (left, slack) = left.get(&server).copied().unwrap_or_default();
        let most = (halt_energy + model.idle_milliwatts as f64 * margin) * AMPLE + slack;
        if left > most {
            findings.add(
                Invariant::HostState,
                halt.stage,
                &model.name,
                format!(
                    "switched off at {} ms with {left:.0} mJ left to it; with starter {} and its PEP a custodian in use: \
                     {}, it must stay up until {most:.0} mJ are left",
                    halt.at_millis,
                    model.starter.as_ref().map_or("none", |s| s.as_str()),
                    model.custodian_in_use
                ),
            );
        }
    }
}

fn idle(
    snapshot: &Snapshot,
    state: &Whereabouts,
    order: u32,
    server: usize,
    to: HostState,
    findings: &mut Findings,
) {
    let left: Vec<usize> = match to {
        HostState::On => return,
        // Standing by is being up without work; what a plan may not touch goes on.
        HostState::Standby => {
            let touchable = |a: &&usize| snapshot.activities[**a].is_touchable();
            state.residents[server]
                .iter()
                .filter(touchable)
                .copied()
                .collect()
        }
        HostState::Off => state.residents[server].clone(),
    };
    if let Some(first) = left.first() {
        findings.add(
            Invariant::HostState,
            Some(order),
            &snapshot.servers[server].name,
            format!(
                "{to:?} while {} activities still run on it ({} is one)",
                left.len(),
                snapshot.activities[*first].name
            ),
        );
    }
}
