//! Servers that stand by, are switched off or on: after their work has left, where somebody can bring them back, and
//! only where it is allowed.

use super::reading::{Act, Reading};
use super::violation::{Findings, Invariant};
use super::whereabouts::Whereabouts;
use crate::model::{Powered, Snapshot};
use crate::plan::HostState;

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
    match to {
        HostState::Off if !model.may_switch_off() => find(
            Invariant::HostState,
            format!(
                "switched off, but it must stay up: starter {}, its PEP is a custodian in use: {}",
                model.starter.as_ref().map_or("none", |s| s.as_str()),
                model.custodian_in_use
            ),
        ),
        HostState::On if model.starter.is_none() => {
            find(Invariant::HostState, "started, but it has no starter".to_owned())
        }
        _ => {}
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
