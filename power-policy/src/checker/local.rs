//! Local stages (invariant 19): what a PEP does by itself while it is cut off. They stop own activities and halt the
//! own host, nothing else, in order of class; and with the controller dead and every line as it is, they end cleanly.

use std::collections::{BTreeMap, BTreeSet};

use super::dirty::{self, Excuses};
use super::reading::{Act, ReadStage, Reading};
use super::run::{self, Conditions, Controller, Outcome};
use super::violation::{Findings, Invariant};
use super::whereabouts::Whereabouts;
use super::{hosts, stop_order};
use crate::model::{Cause, Name, PowerPolicy, Snapshot};
use crate::plan::{HostState, Plan, Trigger, Verb};

pub(super) fn check(snapshot: &Snapshot, reading: &Reading<'_>, findings: &mut Findings) {
    let mut by_pep: BTreeMap<&Name, Vec<&ReadStage<'_>>> = BTreeMap::new();
    for stage in &reading.local {
        if let Some(pep) = one_pep(snapshot, stage, findings) {
            steps(snapshot, stage, findings);
            trigger(snapshot, pep, stage, findings);
            by_pep.entry(pep).or_default().push(stage);
        }
    }
    // A PEP may be cut off before anything has moved, or after everything has.
    let before = Whereabouts::new(snapshot);
    let mut after = before.clone();
    for act in reading.central.iter().flat_map(|s| &s.acts) {
        if let Act::Activity {
            verb: Verb::TakeIn | Verb::MoveOut,
            ..
        } = act
        {
            after.step(act);
        }
    }
    let mut states = vec![before, after];
    for stages in by_pep.values_mut() {
        stages.sort_by_key(|s| s.stage.order);
        once(snapshot, stages, findings);
        for state in &mut states {
            for stage in stages.iter() {
                let before = stop_order::running(state, stage);
                let mut found = Findings::default();
                for act in &stage.acts {
                    if let Act::Host {
                        server,
                        state: HostState::Off,
                    } = *act
                        && !state.residents[server].is_empty()
                    {
                        found.add(
                            Invariant::Local,
                            Some(stage.stage.order),
                            &snapshot.servers[server].name,
                            format!(
                                "halts itself while {} activities still run on it",
                                state.residents[server].len()
                            ),
                        );
                    }
                    state.step(act);
                }
                stop_order::in_stage(snapshot, &before, state, stage, Invariant::Local, &mut found);
                findings.merge(found);
            }
        }
    }
}

fn one_pep<'a>(snapshot: &'a Snapshot, stage: &ReadStage<'_>, findings: &mut Findings) -> Option<&'a Name> {
    let servers = stage.acts.iter().filter_map(|act| match act {
        Act::Activity { server, .. } | Act::Host { server, .. } => Some(*server),
        _ => None,
    });
    let peps: BTreeSet<Option<&Name>> = servers.map(|s| snapshot.servers[s].pep.as_ref()).collect();
    let mut peps = peps.into_iter();
    match (peps.next(), peps.next()) {
        (Some(Some(pep)), None) => Some(pep),
        (None, _) => None,
        (first, second) => {
            let words: Vec<String> = first
                .into_iter()
                .chain(second)
                .chain(peps)
                .map(|p| p.map_or("no PEP".to_owned(), ToString::to_string))
                .collect();
            findings.add(
                Invariant::Local,
                Some(stage.stage.order),
                "plan",
                format!(
                    "a local stage belongs to one PEP, this one to {}",
                    words.join(", ")
                ),
            );
            None
        }
    }
}

fn steps(snapshot: &Snapshot, stage: &ReadStage<'_>, findings: &mut Findings) {
    let order = stage.stage.order;
    for act in &stage.acts {
        match *act {
            Act::Activity {
                activity,
                verb: Verb::Stop,
                ..
            } => {
                let model = &snapshot.activities[activity];
                if !model.is_touchable() {
                    findings.add(
                        Invariant::Unarmed,
                        Some(order),
                        &model.name,
                        format!(
                            "stopped, but armed is {} and its state {:?}",
                            model.armed, model.state
                        ),
                    );
                }
            }
            Act::Host {
                server,
                state: state @ (HostState::Standby | HostState::Off),
            } => hosts::allowed(snapshot, order, server, state, findings),
            Act::Activity { activity, verb, .. } => findings.add(
                Invariant::Local,
                Some(order),
                &snapshot.activities[activity].name,
                format!("{verb:?} in a local stage, where only stops may stand"),
            ),
            Act::Divert { line, milliwatts, .. } => findings.add(
                Invariant::Local,
                Some(order),
                &snapshot.lines[line].name,
                format!("a line is set to {milliwatts} mW in a local stage, which keeps every line as it is"),
            ),
            Act::Host { server, .. } => findings.add(
                Invariant::Local,
                Some(order),
                &snapshot.servers[server].name,
                "a server is started in a local stage".to_owned(),
            ),
            Act::Intake => {}
        }
    }
}

fn trigger(snapshot: &Snapshot, pep: &Name, stage: &ReadStage<'_>, findings: &mut Findings) {
    let order = Some(stage.stage.order);
    match &stage.stage.trigger {
        Trigger::ChargeAbove { .. } => findings.add(
            Invariant::Local,
            order,
            pep,
            "a local stage waits for a charge to rise".to_owned(),
        ),
        Trigger::ChargeBelow { reserves, .. } => {
            let own = |r: &usize| {
                let reserve = &snapshot.reserves[*r];
                reserve.pep.as_ref() == Some(pep)
                    || reserve
                        .feeds
                        .iter()
                        .any(|s| snapshot.servers[s.0 as usize].pep.as_ref() == Some(pep))
            };
            if reserves.len() != 1 || !stage.watched.iter().all(own) {
                findings.add(
                    Invariant::Local,
                    order,
                    pep,
                    format!(
                        "it waits for {} reserves; only one, its own, is there to see",
                        reserves.len()
                    ),
                );
            }
        }
        _ => {}
    }
}

fn once(snapshot: &Snapshot, stages: &[&ReadStage<'_>], findings: &mut Findings) {
    let mut seen = BTreeSet::new();
    for stage in stages {
        for act in &stage.acts {
            if let Act::Activity { activity, server, .. } = *act
                && !seen.insert((activity, server))
            {
                findings.add(
                    Invariant::Once,
                    Some(stage.stage.order),
                    &snapshot.activities[activity].name,
                    format!(
                        "stopped twice in local stages of {}",
                        snapshot.servers[server].name
                    ),
                );
            }
        }
    }
}

/// Runs the local stages with the controller dead.
pub(super) fn check_runs(
    snapshot: &Snapshot,
    plan: &Plan,
    reading: &Reading<'_>,
    policy: &PowerPolicy,
    nominal: &Outcome,
    excuses: &Excuses,
    findings: &mut Findings,
) {
    let runs: &[(Controller, &str)] = match plan.cause {
        // How these are charged when it comes to that, nobody knows.
        Cause::Restoration | Cause::Drill => return,
        Cause::Standing => &[(
            Controller::DeadAfterStageZero,
            " when mains is lost and the controller dead",
        )],
        _ => &[
            (
                Controller::DeadAfterStageZero,
                " when the controller is dead after stage 0",
            ),
            (
                Controller::DeadAtFirstWait,
                " when the controller is dead as the plan first waits",
            ),
        ],
    };
    let mut known = dirty::lost_servers(nominal);
    // A host that must stay up may go down idle with its reserve, as the plan is written. Cut off near that end its PEP
    // begins a halt that breaks off: nothing is lost by that which would not have been.
    let idle: BTreeSet<usize> = nominal
        .losses
        .iter()
        .filter(|l| !dirty::is_dirty(l) && !snapshot.servers[l.server].may_switch_off())
        .map(|l| l.server)
        .collect();
    for (controller, when) in runs {
        let conditions = Conditions {
            controller: *controller,
            late_micros: 0,
            stop_permille: 1_000,
            all_lost: plan.cause == Cause::Standing,
        };
        let outcome = run::run(snapshot, reading, policy, conditions);
        let counts =
            |l: &&run::Loss| dirty::is_dirty(l) && !(l.running.is_empty() && idle.contains(&l.server));
        for loss in outcome.losses.iter().filter(counts) {
            if !excuses.covers(loss.server) && known.insert(loss.server) {
                dirty::report(snapshot, loss, Invariant::Local, when, findings);
            }
        }
    }
}
