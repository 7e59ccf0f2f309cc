//! An interruption that a plan was held ready for: each PEP that holds its part gets one short decision, and nobody waits
//! for a plan to be made.
//!
//! What fits is the very case, in its first moments, with nothing under way and the cluster as the plan supposes it.
//! Anything else is planned as always, and what was activated is planned on from as any other plan.

use std::collections::BTreeMap;
use std::sync::Arc;

use power_policy::model::{Cause, Mains, Name, Outage, Phase, Scope, Snapshot};

use super::contingency::{Basis, Case, ContextCommand, Contingency, Part, Prepared, is_dark, words};
use super::event::EventKind;
use super::execution::Execution;
use super::slice::{Slice, slices};
use super::state::{HeldUnder, InForce, Record};
use super::{Engine, Output};

/// How long after the first sign it is awaited which case it is, on the world's clock, where a plan is held for a larger one
/// than is seen: the mains of a domain fails in one moment, and its servers tell of it one after the other. Every server
/// runs on its own reserve meanwhile.
const GATHER_MILLIS: u64 = 50;

impl Engine {
    /// Until when the first plan of an interruption waits because the whole of a case for which a plan is held may show.
    pub(super) fn gathers_until(&self) -> Option<u64> {
        let until = self.gather_until?;
        let outage = self.state.machine.outage(self.now)?;
        let begins = outage.phase == Phase::Debounce && self.is_standing();
        if !begins || until <= self.now || !self.settings.contingencies {
            return None;
        }
        // Whole already, and no larger case is held: there is nothing to wait for.
        let sites = self.sources().sites();
        let is_absent = |server: &Name| self.state.machine.server_mains(server) == Mains::Absent;
        let absent = sites.iter().filter(|(server, _)| is_absent(server));
        let dark: Case = absent.flat_map(|(_, site)| site.domains.clone()).collect();
        let is_whole = sites
            .iter()
            .filter(|(_, site)| !site.domains.is_empty() && site.domains.iter().all(|d| dark.contains(d)))
            .all(|(server, _)| is_absent(server));
        let grows = |p: &Prepared| p.case.is_superset(&dark) && (p.case != dark || !is_whole);
        let may_grow = self.state.prepared.iter().any(grows);
        may_grow.then_some(until)
    }

    /// An interruption begins.
    pub(super) fn begin_gathering(&mut self) {
        let millis = GATHER_MILLIS.saturating_mul(u64::from(self.settings.scale.max(1)));
        self.gather_until = Some(self.now.saturating_add(millis));
    }

    /// Whether nothing but the standing plan of quiet days is in force.
    fn is_standing(&self) -> bool {
        let standing = |p: &InForce| p.plan.cause == Cause::Standing && p.released.is_empty();
        self.state.in_force.as_ref().is_none_or(standing)
    }

    /// The plan that is held for this very interruption; else why there is none, in words.
    fn fitting(&self, snapshot: &Snapshot) -> Result<&Prepared, String> {
        let no = |why: &str| Err(why.to_owned());
        let Some(Outage {
            phase: Phase::Debounce,
            cause: Cause::DomainMains,
            scope: Scope::Domains(domains),
            elapsed_millis,
        }) = &snapshot.outage
        else {
            return no("it is no loss of domains that just begins");
        };
        let case: Case = domains.iter().cloned().collect();
        let Some(prepared) = self.state.prepared.iter().find(|p| p.case == case) else {
            return no("none is held for these domains");
        };
        if *elapsed_millis > self.settings.policy.debounce_millis.saturating_mul(2) {
            return no("it has gone on for too long");
        }
        if !self.is_standing() || self.execution.is_busy() || self.is_stop_unheard_of() {
            return no("another plan is being carried out");
        }
        let elsewhere =
            |s: &&power_policy::model::Server| s.mains == Mains::Absent && !is_dark(snapshot, s, &case);
        if let Some(server) = snapshot.servers.iter().find(elsewhere) {
            return Err(format!("{} has lost its mains too", server.name));
        }
        let basis = Basis::of(snapshot, &self.settings.policy);
        let permille = self.settings.policy.deviation_permille;
        if let Some(why) = prepared.basis.outdated(&basis, permille) {
            return Err(why);
        }
        if !prepared.parts.iter().any(|(pep, part)| self.is_held(pep, part)) {
            return no("nobody holds it");
        }
        Ok(prepared)
    }

    fn is_held(&self, pep: &Name, part: &Part) -> bool {
        let is_there = self
            .peers
            .get(pep)
            .is_some_and(|p| p.connected && p.reported && p.synchronised);
        is_there && self.ahead.holds(pep, part)
    }

    /// Puts the plan in force that is held for this interruption, if one is.
    pub(super) fn activate(&mut self, snapshot: &Snapshot, reason: &str) -> bool {
        if self.phase() != Phase::Debounce || !self.settings.contingencies || !self.is_standing() {
            return false;
        }
        self.ahead.unfit = None;
        let prepared = match self.fitting(snapshot) {
            Ok(prepared) => prepared.clone(),
            Err(why) => {
                self.ahead.unfit = (!self.state.prepared.is_empty()).then_some(why);
                return false;
            }
        };
        let (mut held_under, mut commands) = (BTreeMap::new(), Vec::new());
        for (pep, part) in prepared
            .parts
            .iter()
            .filter(|(pep, part)| self.is_held(pep, part))
        {
            let under = HeldUnder {
                contingency: part.contingency,
                generation: part.issued.generation,
            };
            held_under.insert(pep.clone(), under);
            commands.push((pep.clone(), part.clone()));
        }
        // Who takes part and holds nothing for it gets its part whole, under a generation that is new to it.
        let (by_pep, _) = slices(snapshot, &prepared.plan);
        let others: Vec<(Name, Slice)> = by_pep
            .into_iter()
            .filter(|(pep, slice)| slice.is_central() && !held_under.contains_key(pep))
            .collect();
        let generation = if others.is_empty() {
            prepared.generation
        } else {
            self.state.generation + 1
        };
        let stage_0 = prepared.plan.central_stages().next().filter(|s| s.order == 0);
        let in_force = InForce {
            generation,
            plan: Arc::clone(&prepared.plan),
            made_at: self.now,
            phase: self.phase(),
            released: stage_0.map(|_| (0, self.now)).into_iter().collect(),
            held_under,
        };
        self.keep_metered();
        self.record(Record::Activated {
            case: prepared.case.clone(),
            in_force: Box::new(in_force.clone()),
        });
        let activated = commands.len();
        for (pep, part) in commands {
            let assignment = self.assignment(&pep, &part.issued);
            let activate = ContextCommand::Activate(part.contingency, assignment);
            self.outputs.push_back(Output::Context(activate));
        }
        for (pep, slice) in others {
            self.issue(&pep, generation, slice);
        }
        self.execution = Execution::new(&in_force, &self.state.issued);
        let reason = format!(
            "{reason}; it was held ready by {activated} PEPs for an interruption of {}, {} old",
            words(&prepared.case),
            power_policy::plan::text::Duration(self.now.saturating_sub(prepared.made_at))
        );
        self.tell_plan(generation, &prepared.plan, &[], &reason);
        if in_force.released_at(0).is_some() {
            self.start_deadlines(0, self.now);
        }
        true
    }

    /// A PEP did not do as it was told with a contingency. If it was to make it active, it is told all of a new plan.
    pub(super) fn not_activated(&mut self, pep: &Name, contingency: Contingency, reason: &str) {
        let issued = self.state.issued.get(pep);
        if issued.is_none_or(|i| i.contingency != Some(contingency)) {
            return;
        }
        let text = format!("{pep} has not put in force what it held ready ({contingency}): {reason}");
        self.event(
            EventKind::ActionFailed,
            pep.as_str(),
            text,
            serde_json::Value::Null,
        );
        self.record(Record::Withdrawn { pep: pep.clone() });
        for step in self.execution.steps.iter_mut().filter(|s| s.pep == *pep) {
            step.settled = true;
        }
        self.want_plan(0, &format!("{pep} has not put in force what it held ready"));
    }
}
