//! Planning ahead: the contingencies of each PEP are made in quiet days, kept current, and installed inactive.
//!
//! One plan at a time is asked for, of whoever drives the engine ([`Output::PlanAhead`]), and only while nothing else is to
//! be done; after each one as much time again passes several times over, so that planning ahead never takes more than a
//! part of a processor. A plan that comes back when an interruption has begun, or when what it rests on has changed, is
//! dropped.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use power_policy::model::{Name, Phase, Snapshot};

use super::contingency::{
    Basis, Case, Cases, ContextCommand, ContextEvent, ContextOutcome, Contingency, Part, PlanAhead,
    PlannedAhead, Prepared, words,
};
use super::slice::{Slice, slices};
use super::state::{Issued, Record};
use super::{Assignment, Engine, Output, Settings};

/// How often it is looked whether the plans that are held are still current; also the least time between two refreshes.
const LOOK_MILLIS: u64 = 60_000;
/// How soon after something in the cluster has changed it is looked.
const SOON_MILLIS: u64 = 2_000;
/// How much longer than the last plan took is waited before the next one is asked for.
const REST_FACTOR: u64 = 4;
/// A plan that has not come back by then never will.
const LOST_MILLIS: u64 = 600_000;

/// What is going on with plans for cases, beside what the journal keeps.
#[derive(Debug, Default)]
pub(super) struct Ahead {
    /// The case that is being planned, and since when.
    asked: Option<(Case, u64)>,
    /// Cases that are to be planned, in this order.
    queue: VecDeque<Case>,
    /// Nothing is asked for before this.
    rest_until: u64,
    /// When it is looked again.
    look_at: u64,
    /// When a plan that was there has last been made anew.
    refreshed_at: Option<u64>,
    /// Generations that a PEP was sent on its present connection.
    sent: BTreeMap<Name, BTreeMap<Contingency, u64>>,
    /// Generations that a PEP has said it holds.
    holds: BTreeMap<Name, BTreeMap<Contingency, u64>>,
    /// PEPs whose contexts of earlier connections have been seen to.
    tidied: BTreeSet<Name>,
    /// Cases beyond the bound.
    pub(super) left_out: usize,
    /// Why no plan that was held ready fitted the last interruption, in words.
    pub(super) unfit: Option<String>,
}

impl Ahead {
    /// Whether a PEP holds a part of this generation.
    pub(super) fn holds(&self, pep: &Name, part: &Part) -> bool {
        let holds = self.holds.get(pep).and_then(|h| h.get(&part.contingency));
        holds == Some(&part.issued.generation)
    }

    /// The connection of a PEP has ended: what it holds will be told anew.
    pub(super) fn forget(&mut self, pep: &Name) {
        self.sent.remove(pep);
        self.holds.remove(pep);
        self.tidied.remove(pep);
    }

    /// Something has changed that plans for cases rest on.
    pub(super) fn look_soon(&mut self, now: u64) {
        self.look_at = self.look_at.min(now.saturating_add(SOON_MILLIS));
    }
}

impl Engine {
    /// Whether there is time for plans that nobody waits for.
    fn is_idle(&self) -> bool {
        self.settings.contingencies
            && self.phase() == Phase::Normal
            && self.plan_due.is_none()
            && self.view_due.is_none()
            && !self.is_awaiting()
            && !self.execution.is_busy()
    }

    /// What an earlier process held ready, and this one is told not to, is forgotten.
    pub(super) fn forget_unwanted(&mut self) {
        let unwanted = match self.settings.contingencies {
            true => Vec::new(),
            false => self.state.prepared.iter().map(|p| p.case.clone()).collect(),
        };
        for case in unwanted {
            self.unprepare_quietly(&case);
        }
    }

    /// When it is looked after contingencies, if nothing happens before.
    pub(super) fn next_ahead(&self) -> Option<u64> {
        if !self.is_idle() {
            return None;
        }
        Some(match &self.ahead.asked {
            Some((_, since)) => since.saturating_add(LOST_MILLIS),
            None if self.ahead.queue.is_empty() => self.ahead.look_at,
            None => self.ahead.rest_until,
        })
    }

    /// Asks for the next plan for a case, if there is time and one is missing or stale.
    pub(super) fn plan_ahead(&mut self) {
        if self.next_ahead().is_none_or(|at| at > self.now) {
            return;
        }
        self.ahead.asked = None;
        let snapshot = self.sources().snapshot();
        if snapshot.outage.is_some() || snapshot.validate().is_err() {
            self.ahead.look_at = self.now.saturating_add(LOOK_MILLIS);
            return;
        }
        if self.ahead.queue.is_empty() {
            self.look(&snapshot);
        }
        if let Some(case) = self.ahead.queue.pop_front() {
            self.ahead.asked = Some((case.clone(), self.now));
            let Settings {
                policy,
                planner,
                checker,
                ..
            } = &self.settings;
            let task = PlanAhead::new(&snapshot, &case, policy, planner, checker);
            self.outputs.push_back(Output::PlanAhead(Box::new(task)));
        }
    }

    /// Which cases there are now; what is not one any more goes, what is missing or stale is queued.
    fn look(&mut self, snapshot: &Snapshot) {
        let cases = Cases::of(snapshot, &self.state.prepared);
        self.ahead.left_out = cases.left_out;
        self.ahead.look_at = self.now.saturating_add(LOOK_MILLIS);
        let unwanted: Vec<Case> = self
            .state
            .prepared
            .iter()
            .map(|p| p.case.clone())
            .filter(|case| !cases.all.contains(case))
            .collect();
        for case in unwanted {
            self.unprepare(&case);
        }
        self.distribute(snapshot, &cases);
        let basis = Basis::of(snapshot, &self.settings.policy);
        let refresh_from = self
            .ahead
            .refreshed_at
            .map_or(0, |at| at.saturating_add(LOOK_MILLIS));
        let mut refreshes = false;
        for case in &cases.all {
            match self.state.prepared.iter().find(|p| p.case == *case) {
                None => self.ahead.queue.push_back(case.clone()),
                Some(p)
                    if p.basis
                        .outdated(&basis, self.settings.policy.deviation_permille)
                        .is_none() => {}
                Some(_) if self.now >= refresh_from => {
                    refreshes = true;
                    self.ahead.queue.push_back(case.clone());
                }
                Some(_) => self.ahead.look_at = self.ahead.look_at.min(refresh_from),
            }
        }
        if refreshes {
            self.ahead.refreshed_at = Some(self.now);
        }
    }

    /// A case is none any more.
    fn unprepare(&mut self, case: &Case) {
        let Some(prepared) = self.state.prepared.iter().find(|p| p.case == *case).cloned() else {
            return;
        };
        self.record(Record::Unprepared { case: case.clone() });
        for (pep, part) in &prepared.parts {
            self.drop_part(pep, part.contingency);
        }
        self.set_alarm(&alarm_key(case), "planner", None);
    }

    /// A PEP need not hold a contingency any more.
    fn drop_part(&mut self, pep: &Name, contingency: Contingency) {
        let sent = self
            .ahead
            .sent
            .get_mut(pep)
            .and_then(|sent| sent.remove(&contingency));
        if let Some(holds) = self.ahead.holds.get_mut(pep) {
            holds.remove(&contingency);
        }
        if sent.is_some() {
            let delete = ContextCommand::Delete(contingency, pep.clone());
            self.outputs.push_back(Output::Context(delete));
        }
    }

    /// Gives parts to those whose contingency a plan that is there has become, or is no longer.
    fn distribute(&mut self, snapshot: &Snapshot, cases: &Cases) {
        for prepared in self.state.prepared.clone() {
            let (by_pep, _) = slices(snapshot, &prepared.plan);
            let wanted: BTreeMap<&Name, Contingency> = by_pep
                .keys()
                .filter_map(|pep| Some((pep, cases.contingency(pep, &prepared.case)?)))
                .collect();
            let same = wanted.len() == prepared.parts.len()
                && wanted.iter().all(|(pep, c)| {
                    prepared
                        .parts
                        .get(*pep)
                        .is_some_and(|part| part.contingency == *c)
                });
            if !same {
                self.keep_ready(prepared, by_pep, cases, None);
            }
        }
    }

    /// A plan for a case has been made.
    pub(super) fn planned_ahead(&mut self, planned: PlannedAhead) {
        let Some((_, since)) = self.ahead.asked.take_if(|(case, _)| *case == planned.case) else {
            return;
        };
        let took = self.now.saturating_sub(since);
        self.ahead.rest_until = self.now.saturating_add(took.saturating_mul(REST_FACTOR));
        self.ahead.look_soon(self.now);
        if self.phase() != Phase::Normal || !self.settings.contingencies {
            return;
        }
        let key = alarm_key(&planned.case);
        if let Some(first) = planned.violations.first() {
            // In an interruption a plan that is objected to is better than none. Here there is another: the one that is made
            // then.
            let text = format!(
                "no plan is held ready for an interruption of {}: the independent checker objects to it: {first}",
                words(&planned.case)
            );
            self.set_alarm(&key, "planner", Some(text));
            self.ahead.look_at = self.now.saturating_add(LOOK_MILLIS);
            self.unprepare_quietly(&planned.case);
            return;
        }
        self.set_alarm(&key, "planner", None);
        let snapshot = self.sources().snapshot();
        let cases = Cases::of(&snapshot, &self.state.prepared);
        if !cases.all.contains(&planned.case) {
            return;
        }
        let before = self.state.prepared.iter().find(|p| p.case == planned.case);
        let prepared = Prepared {
            generation: before.map_or(0, |p| p.generation),
            made_at: self.now,
            plan: Arc::new(planned.plan.clone()),
            basis: Basis::of(&planned.supposed, &self.settings.policy),
            parts: before.map(|p| p.parts.clone()).unwrap_or_default(),
            lenders: planned.lenders(&cases),
            case: planned.case,
        };
        let (by_pep, _) = slices(&planned.supposed, &prepared.plan);
        self.keep_ready(prepared, by_pep, &cases, Some(planned.supposed));
    }

    /// A plan that was there is no longer any good; its case still is one.
    fn unprepare_quietly(&mut self, case: &Case) {
        if self.state.prepared.iter().any(|p| p.case == *case) {
            self.record(Record::Unprepared { case: case.clone() });
        }
    }

    /// Keeps a plan for a case, and has the PEPs hold their parts. Parts that stay as they are keep their generation, and
    /// nothing is sent of them.
    fn keep_ready(
        &mut self,
        mut prepared: Prepared,
        by_pep: BTreeMap<Name, Slice>,
        cases: &Cases,
        supposed: Option<Snapshot>,
    ) {
        let generation = self.state.generation + 1;
        let before = std::mem::take(&mut prepared.parts);
        for (pep, slice) in by_pep {
            let Some(contingency) = cases.contingency(&pep, &prepared.case) else {
                continue;
            };
            let same = before
                .get(&pep)
                .filter(|part| part.contingency == contingency && *part.issued.slice == slice);
            let part = match same {
                Some(part) => part.clone(),
                None => {
                    prepared.generation = generation;
                    Part {
                        contingency,
                        issued: Issued {
                            generation,
                            digest: (self.settings.digester)(&slice),
                            slice: Arc::new(slice),
                            contingency: None,
                        },
                    }
                }
            };
            prepared.parts.insert(pep, part);
        }
        let gone: Vec<(Name, Contingency)> = before
            .iter()
            .filter(|(pep, part)| {
                let after = prepared.parts.get(*pep);
                after.is_none_or(|after| after.contingency != part.contingency)
            })
            .map(|(pep, part)| (pep.clone(), part.contingency))
            .collect();
        let peps: Vec<Name> = prepared.parts.keys().cloned().collect();
        self.record(Record::Prepared {
            prepared: Box::new(prepared),
            supposed: supposed.map(Box::new),
        });
        for (pep, contingency) in gone {
            // Another case may be that contingency of the PEP by now.
            let is_another = self.state.prepared.iter().any(|p| {
                p.parts
                    .get(&pep)
                    .is_some_and(|part| part.contingency == contingency)
            });
            if !is_another {
                self.drop_part(&pep, contingency);
            }
        }
        for pep in peps {
            self.send_contingencies(&pep);
        }
    }

    /// Has a PEP hold what it should, as far as it was not told so on this connection.
    pub(super) fn send_contingencies(&mut self, pep: &Name) {
        let is_there = self
            .peers
            .get(pep)
            .is_some_and(|p| p.connected && p.reported && p.synchronised);
        if !is_there || self.phase() != Phase::Normal {
            return;
        }
        let parts: Vec<Part> = match self.settings.contingencies {
            true => self
                .state
                .prepared
                .iter()
                .filter_map(|p| p.parts.get(pep))
                .cloned()
                .collect(),
            false => Vec::new(),
        };
        let active = self.state.issued.get(pep).map(|issued| issued.generation);
        let sent = self.ahead.sent.entry(pep.clone()).or_default();
        for part in &parts {
            let generation = part.issued.generation;
            // One that is in force is refreshed when it is not any more.
            let is_active = active == Some(generation);
            if is_active || sent.insert(part.contingency, generation) == Some(generation) {
                continue;
            }
            let assignment = Assignment {
                pep: pep.clone(),
                term: self.state.term,
                generation,
                released_stage: 0,
                slice: Arc::clone(&part.issued.slice),
                digest: part.issued.digest,
            };
            let keep = ContextCommand::Keep(part.contingency, assignment);
            self.outputs.push_back(Output::Context(keep));
        }
        self.tidy(pep);
    }

    /// Contexts of an earlier connection that nothing has claimed are deleted once all that is wanted has been claimed.
    fn tidy(&mut self, pep: &Name) {
        let sent = self.ahead.sent.get(pep).cloned().unwrap_or_default();
        let holds = self.ahead.holds.get(pep).cloned().unwrap_or_default();
        if self.phase() == Phase::Normal && sent == holds && self.ahead.tidied.insert(pep.clone()) {
            let delete = ContextCommand::DeleteUnclaimed(pep.clone());
            self.outputs.push_back(Output::Context(delete));
        }
    }

    /// What became of a contingency.
    pub(super) fn context_event(&mut self, event: ContextEvent) {
        let ContextEvent {
            pep,
            contingency,
            outcome,
        } = event;
        let Some(contingency) = contingency else {
            return;
        };
        match outcome {
            ContextOutcome::Held(generation) => {
                let holds = self.ahead.holds.entry(pep.clone()).or_default();
                holds.insert(contingency, generation);
                self.tidy(&pep);
            }
            ContextOutcome::Active(generation) => self.installed(&pep, generation),
            ContextOutcome::Deleted => {
                if let Some(holds) = self.ahead.holds.get_mut(&pep) {
                    holds.remove(&contingency);
                }
            }
            ContextOutcome::Refused(reason) => {
                if let Some(holds) = self.ahead.holds.get_mut(&pep) {
                    holds.remove(&contingency);
                }
                self.not_activated(&pep, contingency, &reason);
            }
        }
    }
}

fn alarm_key(case: &Case) -> String {
    format!("contingency {}", words(case))
}
