//! When a plan is made, whether it takes the place of the one in force, and who is given what of it.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::json;

use power_policy::model::{Cause, Name, Outage, Phase, Scope, Snapshot};
use power_policy::plan::text::Duration;
use power_policy::plan::{Plan, Stage, StepKind, Trigger, Verb};

use super::event::EventKind;
use super::execution::Execution;
use super::replay::plan_digest;
use super::sameness::{is_near_watts, is_same_step, is_same_trigger};
use super::slice::{Slice, slices};
use super::state::{CommandedPair, InForce, Issued, Record, Track};
use super::wishes::PlanWish;
use super::{Engine, Output};
use crate::limits::MAX_ALARMS_SHOWN;

/// Least time between two plans that nothing urgent asks for.
const QUIET_MILLIS: u64 = 5_000;
/// How often the plan of an interruption is compared with what it would be now (policy notes, section 3).
const PERIOD_MILLIS: u64 = 30_000;
/// The same when the tightest class has less than [`TIGHT_LEFT_MILLIS`] left.
const TIGHT_PERIOD_MILLIS: u64 = 15_000;
/// The same when it has less than [`LAST_LEFT_MILLIS`] left.
const LAST_PERIOD_MILLIS: u64 = 5_000;
const TIGHT_LEFT_MILLIS: u64 = 400_000;
const LAST_LEFT_MILLIS: u64 = 90_000;
/// In quiet days, the standing plan follows charges and draws this often.
const STANDING_PERIOD_MILLIS: u64 = 60_000;
impl Engine {
    /// Whether what PEPs report has changed in a way that the plan in force does not explain. Asked once a change.
    pub(super) fn is_structure_news(&mut self) -> bool {
        let quiet = self.phase() == Phase::Normal;
        let mut news = false;
        for peer in self.peers.values_mut() {
            let Some(facts) = &peer.facts else { continue };
            let now = if quiet { facts.comparable() } else { facts.fixed() };
            if peer.planned_from.as_ref() != Some(&now) {
                news = true;
                peer.planned_from = Some(now);
            }
        }
        news
    }

    /// When the plan in force is to be looked at again; none while something else has to come first, which asks for its own
    /// time.
    pub(super) fn next_check(&self) -> Option<u64> {
        if self.is_check_put_off() {
            return None;
        }
        let in_force = self.state.in_force.as_ref()?;
        let period = match self.phase() {
            Phase::MainsGood => return None,
            Phase::Normal => STANDING_PERIOD_MILLIS,
            Phase::Debounce | Phase::Interrupted | Phase::Restoring => self.period(in_force),
        };
        Some(self.checked_at.saturating_add(period))
    }

    fn period(&self, in_force: &InForce) -> u64 {
        let elapsed = self
            .state
            .machine
            .outage(self.now)
            .map_or(0, |o| o.elapsed_millis);
        let left = in_force
            .plan
            .classes
            .iter()
            .filter_map(|c| c.ride_through_millis)
            .map(|end| end.saturating_sub(elapsed))
            .filter(|left| *left > 0)
            .min();
        match left {
            Some(l) if l < LAST_LEFT_MILLIS => LAST_PERIOD_MILLIS,
            Some(l) if l < TIGHT_LEFT_MILLIS => TIGHT_PERIOD_MILLIS,
            _ => PERIOD_MILLIS,
        }
    }

    /// Asks for a plan where time or a charge that is not as forecast asks for one. While steps are outstanding the
    /// plan in force goes on: its own results and limits are looked after anyway.
    pub(super) fn check_plan(&mut self) {
        if self.is_check_put_off() {
            return;
        }
        if self.next_check().is_some_and(|t| t <= self.now) {
            self.want_plan(0, "the plan is looked at again");
            return;
        }
        let quiet = self.now < self.checked_at.saturating_add(QUIET_MILLIS);
        if quiet || self.phase() != Phase::Interrupted {
            return;
        }
        if let Some(reserve) = self.deviating_reserve() {
            self.want_plan(0, &format!("the charge of {reserve} is not as forecast"));
        }
    }

    /// Whether a plan is asked for already, or the plan in force is being carried out.
    fn is_check_put_off(&self) -> bool {
        self.plan_due.is_some() || self.execution.is_busy() || self.is_stage_ready()
    }

    fn deviating_reserve(&self) -> Option<Name> {
        let in_force = self.state.in_force.as_ref()?;
        let elapsed = self.state.machine.outage(self.now)?.elapsed_millis;
        let sources = self.sources();
        let limit = u64::from(self.settings.policy.deviation_permille);
        in_force.plan.reserves.iter().find_map(|f| {
            let (charge, _) = sources.charge(&f.reserve)?;
            let custody = self.view.reserves.get(&f.reserve)?;
            let facts = self.peers.get(&custody.pep)?.facts.as_deref()?;
            let capacity = facts
                .reserves
                .iter()
                .find(|r| r.name == f.reserve)?
                .capacity_millijoules;
            let off = charge.abs_diff(forecast(&f.points, elapsed)?);
            (off > capacity / 1000 * limit).then(|| f.reserve.clone())
        })
    }

    /// Makes a plan, has it checked, and puts it in force unless what is left of the present one is the same.
    pub(super) fn replan(&mut self) {
        let Some(PlanWish { reason, .. }) = self.plan_due.take() else {
            return;
        };
        if self.view_due.is_some() {
            self.settle_view();
            self.plan_due = None;
        }
        self.update_tracks();
        self.checked_at = self.now;
        if self.phase() == Phase::MainsGood {
            return;
        }
        let mut snapshot = self.sources().snapshot();
        if snapshot.outage.is_none() && self.is_anything_away(&snapshot) {
            // The interruption is over, and something is still lent or has not gone home: the planner's way back.
            snapshot.outage = Some(Outage {
                phase: Phase::Restoring,
                cause: Cause::Restoration,
                scope: Scope::Cluster,
                elapsed_millis: 0,
            });
        }
        if let Err(error) = snapshot.validate() {
            let text = format!("no plan: what is known of the cluster is inconsistent: {error}");
            self.set_alarm("snapshot", "planner", Some(text));
            return;
        }
        self.set_alarm("snapshot", "planner", None);
        if self.activate(&snapshot, &reason) {
            return;
        }
        let previous = self
            .state
            .in_force
            .as_ref()
            .map(|p| Arc::clone(&p.plan))
            .filter(|p| p.cause != Cause::Standing);
        self.budget.spend(self.now);
        let mut plan = (self.settings.planner)(&snapshot, previous.as_deref(), &self.settings.policy);
        self.plans_made += 1;
        make_room_for_stage_0(&mut plan);
        let violations = (self.settings.checker)(&snapshot, &plan, &self.settings.policy);
        self.tell_violations(&violations);
        self.give_up_unstartable(&snapshot);
        if self.phase() == Phase::Normal && self.state.machine.may_move_back() {
            self.settle_homes(&plan);
        }
        if self.is_same_as_in_force(&plan) {
            self.give_missing(&snapshot);
            return;
        }
        self.put_in_force(snapshot, plan, violations, &reason);
    }

    /// In quiet days: lines that are joined and can be parted, activities that may go home, and those that are owed a start
    /// since an interruption in which their agent was away.
    fn is_anything_away(&self, snapshot: &Snapshot) -> bool {
        let away = |t: &Track| t.home != t.host;
        snapshot.lines.iter().any(|l| l.armed && !l.joined.is_empty())
            || (self.state.machine.may_move_back() && self.state.tracks.values().any(away))
            || self.owed().any(|name| !self.is_out_of_reach(name))
    }

    /// A plan that the checker objects to is used nevertheless: without any plan nothing at all would be diverted or
    /// shed in order, and every step is still within the limits that each agent checks for itself. It is an alarm and
    /// counted, because it must never happen.
    fn tell_violations(&mut self, violations: &[String]) {
        if violations.is_empty() {
            self.set_alarm("checker", "planner", None);
            return;
        }
        self.violations_seen += u64::try_from(violations.len()).unwrap_or(u64::MAX);
        self.last_violations = violations.iter().take(MAX_ALARMS_SHOWN).cloned().collect();
        let first = violations.first().map_or("", String::as_str);
        let more = match violations.len() {
            0 | 1 => String::new(),
            n => format!(" (and {} more)", n - 1),
        };
        let text = format!(
            "the independent checker objects to the plan: {first}{more}; it is used, for want of a better one"
        );
        self.set_alarm("checker", "planner", Some(text));
    }

    /// What was shed and nobody can start is given up, loudly; restoration must not wait for it for ever.
    fn give_up_unstartable(&mut self, snapshot: &Snapshot) {
        if self.phase() != Phase::Restoring {
            return;
        }
        for a in &snapshot.activities {
            let hopeless = a.shed && (a.startable_on.is_empty() || !a.armed || a.set.is_none());
            let Some(track) = self.state.tracks.get(&a.name).cloned() else {
                continue;
            };
            if !hopeless || track.given_up.is_some() {
                continue;
            }
            let why = "no agent can start it".to_owned();
            let text = format!("{} was stopped and is not brought back: {why}", a.name);
            self.set_alarm(&format!("lost {}", a.name), a.name.as_str(), Some(text));
            let given_up = Some(why);
            self.retain_track(&a.name, Track { given_up, ..track });
        }
    }

    /// Whether a new plan asks for nothing but what is left of the plan in force.
    fn is_same_as_in_force(&self, plan: &Plan) -> bool {
        let Some(in_force) = &self.state.in_force else {
            return false;
        };
        // Who could not put in force what it held ready is told a new one.
        let has_none = |pep: &Name| !self.state.issued.contains_key(pep);
        if in_force.held_under.keys().any(has_none) {
            return false;
        }
        let old = &in_force.plan;
        let goes_on = match (in_force.phase, self.phase()) {
            // The debounce is over: what was planned in it holds, and its later stages may be released now.
            (Phase::Debounce, Phase::Interrupted) => true,
            (then, now) => then == now,
        };
        if !goes_on || old.cause != plan.cause || old.scope != plan.scope {
            return false;
        }
        let last = in_force.released.last().map(|(order, _)| *order);
        let is_left = |s: &&Stage| s.local || last.is_none_or(|l| s.order > l);
        let left = self.substance(old.stages.iter().filter(is_left), false);
        let at_once = plan.central_stages().take_while(|s| only_moves_lines(s)).last();
        let at_once = at_once
            .map(|s| s.order)
            .filter(|last| self.leads_nowhere(plan, *last));
        let is_wanted = |s: &&Stage| s.local || at_once.is_none_or(|last| s.order > last);
        let wanted = self.substance(plan.stages.iter().filter(is_wanted), true);
        left.len() == wanted.len()
            && left.iter().zip(&wanted).all(|((a, x), (b, y))| {
                a.local == b.local
                    && x.len() == y.len()
                    && x.iter().zip(y).all(|(x, y)| is_same_step(x, y))
                    && is_same_trigger(&a.trigger, &b.trigger)
            })
    }

    /// Stages with the steps that do something, without those that have none. What is commanded already is left out of
    /// what a new plan does at once; intakes only tell an agent what follows from the diverts.
    fn substance<'p>(
        &self,
        stages: impl Iterator<Item = &'p Stage>,
        is_new: bool,
    ) -> Vec<(&'p Stage, Vec<&'p StepKind>)> {
        stages
            .map(|stage| {
                let kinds = stage.steps.iter().map(|s| &s.kind);
                let steps = kinds
                    .filter(|k| !matches!(k, StepKind::Intake { .. }))
                    .filter(|k| !(is_new && stage.order == 0 && self.is_so_already(k)))
                    .collect();
                (stage, steps)
            })
            .filter(|(_, steps): &(_, Vec<_>)| !steps.is_empty())
            .collect()
    }

    /// Whether the stages of a new plan up to this one, which only move lines and wait for nothing, end with the lines as
    /// they are commanded now: power that is raised and lowered again in the same breath is no reason to touch a line.
    fn leads_nowhere(&self, plan: &Plan, last: u32) -> bool {
        let mut ends: BTreeMap<(&Name, &Name, &Name), &StepKind> = BTreeMap::new();
        let stages = plan.central_stages().take_while(|s| s.order <= last);
        for step in stages.flat_map(|s| &s.steps) {
            if let StepKind::Divert {
                line,
                reserve,
                server,
                ..
            } = &step.kind
            {
                ends.insert((line, reserve, server), &step.kind);
            }
        }
        ends.values().all(|kind| self.is_so_already(kind))
    }

    /// Whether a step of a new plan only restates what is commanded already, or is being carried out.
    fn is_so_already(&self, kind: &StepKind) -> bool {
        if self.execution.is_under_way(|k| is_same_step(k, kind)) {
            return true;
        }
        match kind {
            StepKind::Divert {
                line,
                reserve,
                server,
                milliwatts,
            } => {
                let pairs = self.state.joined.get(line).map_or(&[][..], |p| p);
                let found = pairs
                    .iter()
                    .find(|p: &&CommandedPair| p.reserve == *reserve && p.server == *server);
                is_near_watts(found.map_or(0, |p| p.milliwatts), *milliwatts)
            }
            _ => false,
        }
    }

    fn put_in_force(&mut self, snapshot: Snapshot, plan: Plan, violations: Vec<String>, reason: &str) {
        let generation = self.state.generation.saturating_add(1);
        self.keep_outstanding_diverts();
        self.keep_metered();
        let (mut by_pep, orphans) = slices(&snapshot, &plan);
        let orphans: Vec<(String, String, String)> = orphans
            .iter()
            .take(MAX_ALARMS_SHOWN)
            .map(|kind| {
                (
                    kind.to_string(),
                    String::new(),
                    format!("nobody can carry this out: {kind}"),
                )
            })
            .collect();
        self.set_alarms("orphan ", orphans);
        let released = plan
            .central_stages()
            .next()
            .filter(|s| s.order == 0)
            .map(|_| (0, self.now))
            .into_iter()
            .collect();
        let plan = Arc::new(plan);
        let in_force = InForce {
            generation,
            plan: Arc::clone(&plan),
            made_at: self.now,
            phase: self.phase(),
            released,
            held_under: BTreeMap::new(),
        };
        self.record(Record::Plan {
            in_force: Box::new(in_force.clone()),
            snapshot: Box::new(snapshot),
            violations: violations.clone(),
            digest: Some(plan_digest(&plan)),
        });
        let peps: Vec<Name> = self.peers.keys().cloned().collect();
        for pep in peps {
            let slice = by_pep
                .remove(&pep)
                .unwrap_or_else(|| Slice::empty(plan.cause, plan.scope.clone()));
            self.issue(&pep, generation, slice);
        }
        let unheard = self.unheard_stops(generation);
        self.execution = Execution::new(&in_force, &self.state.issued);
        self.execution.unheard = unheard;
        self.tell_plan(generation, &plan, &violations, reason);
        if in_force.released_at(0).is_some() {
            self.start_deadlines(0, self.now);
        }
        self.ahead.look_soon(self.now);
    }

    /// Gives a PEP its part, unless it holds the very same and nothing in it is ever released by us. What it holds in a
    /// contingency does not count: that is for its case alone.
    pub(super) fn issue(&mut self, pep: &Name, generation: u64, slice: Slice) {
        let keeps = self
            .state
            .issued
            .get(pep)
            .is_some_and(|i| !slice.is_central() && *i.slice == slice && i.contingency.is_none());
        if keeps {
            return;
        }
        let issued = Issued {
            generation,
            digest: (self.settings.digester)(&slice),
            slice: Arc::new(slice),
            contingency: None,
        };
        self.record(Record::Issued {
            pep: pep.clone(),
            issued: issued.clone(),
        });
        let reported = self.peers.get(pep).is_some_and(|p| p.connected && p.reported);
        if reported {
            let assignment = self.assignment(pep, &issued);
            self.outputs.push_back(Output::Install(assignment));
        }
    }

    /// PEPs that have come since the plan in force was made, and of which it asks nothing, get their (local or empty)
    /// part of it.
    fn give_missing(&mut self, snapshot: &Snapshot) {
        let Some(in_force) = self.state.in_force.clone() else {
            return;
        };
        let missing: Vec<Name> = self
            .peers
            .keys()
            .filter(|pep| !self.state.issued.contains_key(*pep))
            .cloned()
            .collect();
        if missing.is_empty() {
            return;
        }
        let (mut by_pep, _) = slices(snapshot, &in_force.plan);
        // A plan that was held ready may be older than what these hold already.
        let generation = match in_force.held_under.is_empty() {
            true => in_force.generation,
            false => self.state.generation + 1,
        };
        for pep in missing {
            let slice = by_pep
                .remove(&pep)
                .unwrap_or_else(|| Slice::empty(in_force.plan.cause, in_force.plan.scope.clone()));
            self.issue(&pep, generation, slice);
        }
    }

    pub(super) fn tell_plan(&mut self, generation: u64, plan: &Plan, violations: &[String], reason: &str) {
        let scope = match &plan.scope {
            Scope::Cluster => "the cluster".to_owned(),
            Scope::Domains(d) => format!("domain {}", super::signals::list(d)),
            Scope::Servers(s) => format!("server {}", super::signals::list(s)),
        };
        let classes: Vec<String> = plan
            .classes
            .iter()
            .filter_map(|c| {
                let end = c.ride_through_millis?;
                Some(format!("class {} until {}", c.priority, Duration(end)))
            })
            .collect();
        let classes_text = if classes.is_empty() || plan_is_way_back(self.phase(), plan) {
            String::new()
        } else {
            format!(": {}", classes.join(", "))
        };
        let steps: usize = plan.central_stages().map(|s| s.steps.len()).sum();
        let text = match plan.cause {
            Cause::Standing => format!("standing plan {generation} ({reason})"),
            cause => format!(
                "plan {generation} for {scope} ({}, {reason}): {} stages, {steps} steps{classes_text}",
                cause_words(cause),
                plan.central_stages().count(),
            ),
        };
        let data = json!({
            "generation": generation,
            "cause": plan.cause,
            "scope": plan.scope,
            "reason": reason,
            "stages": plan.central_stages().count(),
            "steps": steps,
            "violations": violations,
            "classes": plan.classes.iter().map(|c| json!({
                "priority": c.priority,
                "target_millis": c.target_millis,
                "ride_through_millis": c.ride_through_millis,
            })).collect::<Vec<_>>(),
        });
        self.event(EventKind::PlanIssued, &generation.to_string(), text, data);
    }
}

/// On the wire, a released stage of 0 releases stage 0 with the plan itself. Where the first stage has to wait for
/// something, or is not reversible, it must not be stage 0.
pub(super) fn make_room_for_stage_0(plan: &mut Plan) {
    let at_once = |stage: &Stage| {
        let reversible = stage.steps.iter().all(|s| {
            matches!(
                s.kind,
                StepKind::Divert { .. }
                    | StepKind::Intake { .. }
                    | StepKind::Activity {
                        verb: Verb::Run | Verb::Cap,
                        ..
                    }
            )
        });
        reversible
            && matches!(
                stage.trigger,
                Trigger::AfterResults | Trigger::Elapsed { millis: 0 }
            )
    };
    let first = plan.stages.iter().find(|s| !s.local);
    let is_fit = first.is_none_or(|s| s.order > 0 || (plan.cause != Cause::Standing && at_once(s)));
    if !is_fit {
        for stage in plan.stages.iter_mut().filter(|s| !s.local) {
            stage.order += 1;
        }
    }
}

/// Whether a stage does nothing but move lines, at once.
fn only_moves_lines(stage: &Stage) -> bool {
    let at_once = matches!(stage.trigger, Trigger::AfterResults) || stage.order == 0;
    let moves = |kind: &StepKind| matches!(kind, StepKind::Divert { .. } | StepKind::Intake { .. });
    at_once && stage.steps.iter().all(|s| moves(&s.kind))
}

/// Whether a plan brings back and no class is about to end.
fn plan_is_way_back(phase: Phase, plan: &Plan) -> bool {
    phase == Phase::Restoring || plan.cause == Cause::Restoration
}

fn cause_words(cause: Cause) -> &'static str {
    match cause {
        Cause::Standing => "standing",
        Cause::ServerMains => "a server lost its mains",
        Cause::DomainMains => "a domain lost its mains",
        Cause::Command => "commanded",
        Cause::Drill => "drill",
        Cause::Restoration => "restoration",
    }
}

/// Charge that was forecast for a time, linear between points and constant after the last.
fn forecast(points: &[(u64, u64)], at: u64) -> Option<u64> {
    let after = points.iter().position(|(t, _)| *t >= at);
    match after {
        None => points.last().map(|(_, charge)| *charge),
        Some(0) => points.first().map(|(_, charge)| *charge),
        Some(i) => {
            let ((t0, c0), (t1, c1)) = (points[i - 1], points[i]);
            let span = u128::from(t1.saturating_sub(t0).max(1));
            let part = u128::from(at.saturating_sub(t0));
            let change = u128::from(c0.abs_diff(c1)) * part / span;
            let change = u64::try_from(change).unwrap_or(u64::MAX);
            Some(if c1 < c0 {
                c0 - change.min(c0)
            } else {
                c0.saturating_add(change)
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_forecast_is_linear_between_points_and_constant_after_the_last() {
        let points = [(1_000, 100), (2_000, 50), (3_000, 80)];
        for (at, charge) in [
            (0, 100),
            (1_000, 100),
            (1_500, 75),
            (2_000, 50),
            (2_500, 65),
            (9_000, 80),
        ] {
            assert_eq!(forecast(&points, at), Some(charge), "at {at}");
        }
        assert_eq!(forecast(&[], 5), None);
    }
}
