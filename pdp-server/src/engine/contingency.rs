//! Plans for interruptions that have not come: which cases are planned for, from what, and what makes such a plan stale.
//!
//! A *case* is a set of mains domains that are without mains together. A PEP holds at most three of them as contingencies
//! (exchanges, section 2): all domains; those that its own servers hang on; and the union of the other domains that borrow
//! its reserves. All PEPs of a case hold parts of one plan, so that one decision a PEP puts all of it in force.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use power_policy::model::{
    Cause, Mains, Name, Outage, Phase, PowerPolicy, ReserveState, Scope, Server, Snapshot,
};
use power_policy::plan::{Plan, StepKind};

use super::contract::{Assignment, Checker, Planner};
use super::facts::Digest;
use super::planning::make_room_for_stage_0;
use super::slice::slices;
use super::state::Issued;
use crate::limits::MAX_CONTINGENCY_CASES;

/// What a contingency is for. A PEP has at most one of each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Contingency {
    /// The mains of the whole cluster fails.
    Cluster,
    /// That of the PEP's own domain: of all that its own servers hang on.
    OwnDomain,
    /// That of the domains that borrow its reserve.
    Borrowers,
}

impl fmt::Display for Contingency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Cluster => "whole cluster",
            Self::OwnDomain => "own domain",
            Self::Borrowers => "borrowers",
        })
    }
}

/// What is to become of a PEP's contingencies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ContextCommand {
    /// Hold this plan ready. The context is claimed or opened if need be; one that holds an older plan is refreshed.
    Keep(Contingency, Assignment),
    /// Make the context active with the plan that it holds, which is this one: all others of the PEP become inactive.
    Activate(Contingency, Assignment),
    /// Delete the context.
    Delete(Contingency, Name),
    /// Delete the contexts of an earlier connection that nothing has claimed and that are not active.
    DeleteUnclaimed(Name),
}

/// What became of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContextEvent {
    /// The PEP.
    pub pep: Name,
    /// The contingency; `None` for one that was not claimed.
    pub contingency: Option<Contingency>,
    /// What happened.
    pub outcome: ContextOutcome,
}

/// See [`ContextEvent`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ContextOutcome {
    /// The PEP holds the plan of this generation, inactive, or as it was if it was active.
    Held(u64),
    /// The PEP has activated the plan of this generation.
    Active(u64),
    /// The PEP has deleted the context, or lost it.
    Deleted,
    /// The PEP refused, or the command could not be carried out, with words.
    Refused(String),
}

/// Domains that are without mains together, by name.
pub type Case = BTreeSet<Name>;

/// What one PEP holds for a case.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// In which of its contingencies.
    pub contingency: Contingency,
    /// What it holds there. A part that a newer plan leaves as it is keeps its generation.
    pub issued: Issued,
}

/// A plan for a case, held ready.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Prepared {
    /// The case.
    pub case: Case,
    /// Generation of the newest of its parts.
    pub generation: u64,
    /// When it was made, on the engine's clock.
    pub made_at: u64,
    /// The plan.
    pub plan: Arc<Plan>,
    /// What it rests on.
    pub basis: Basis,
    /// By PEP. Who has a part in the plan and is not here has no contingency for the case, and gets its part when it comes.
    pub parts: BTreeMap<Name, Part>,
    /// PEPs outside the case that take part: their reserves are lent, or their lines lend.
    pub lenders: BTreeSet<Name>,
}

/// What a plan for a case was made from, as far as it makes the plan stale when it changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Basis {
    /// SHA-256 over everything but telemetry and mains.
    fixed: Digest,
    /// Charges of reserves, with their capacities, in millijoules.
    charges: BTreeMap<Name, (u64, u64)>,
    /// Draws of servers that are measured, in milliwatts.
    servers: BTreeMap<Name, u64>,
    /// Draws of activities, in milliwatts.
    activities: BTreeMap<Name, u64>,
}

/// Draws that differ by no more than this are the same.
const FEW_MILLIWATTS: u64 = 5_000;
/// Draws that differ by no more than this are the same, permille.
const SAME_DRAW_PERMILLE: u64 = 100;

impl Basis {
    /// What a snapshot gives a plan to rest on.
    pub fn of(snapshot: &Snapshot, policy: &PowerPolicy) -> Self {
        let fresh = policy.report_period_millis.saturating_mul(3);
        let stale = |age: u64| if age > fresh { u64::MAX } else { 0 };
        let mut fixed = snapshot.clone();
        fixed.outage = None;
        for domain in &mut fixed.domains {
            domain.mains = Mains::Unknown;
        }
        for server in &mut fixed.servers {
            server.mains = Mains::Unknown;
            server.measured_milliwatts = None;
            server.age_millis = 0;
        }
        for reserve in &mut fixed.reserves {
            reserve.charge_millijoules = 0;
            reserve.age_millis = stale(reserve.age_millis);
            reserve.state = at_rest(reserve.state);
        }
        for activity in &mut fixed.activities {
            activity.draw_milliwatts = 0;
        }
        // It can be written: nothing fails in a Vec, and a snapshot has no map, whose keys might be no strings.
        let fixed = serde_json::to_vec(&fixed).unwrap_or_default();
        let fixed: Digest = Sha256::digest(&fixed).into();
        Self {
            fixed,
            charges: snapshot
                .reserves
                .iter()
                .map(|r| (r.name.clone(), (r.charge_millijoules, r.capacity_millijoules)))
                .collect(),
            servers: snapshot
                .servers
                .iter()
                .filter_map(|s| Some((s.name.clone(), s.measured_milliwatts?)))
                .collect(),
            activities: snapshot
                .activities
                .iter()
                .map(|a| (a.name.clone(), a.draw_milliwatts))
                .collect(),
        }
    }

    /// What has changed so far that a plan made from this is stale, in words; `None`: nothing.
    ///
    /// `deviation_permille` of the capacity is how far a charge may have moved.
    pub fn outdated(&self, now: &Self, deviation_permille: u32) -> Option<String> {
        if self.fixed != now.fixed {
            return Some("placements, lines or figures have changed".to_owned());
        }
        let moved = self.charges.iter().find(|(name, (charge, capacity))| {
            let now = now.charges.get(*name).map_or(0, |(charge, _)| *charge);
            let limit = u128::from(*capacity) * u128::from(deviation_permille) / 1_000;
            u128::from(charge.abs_diff(now)) > limit
        });
        if let Some((name, _)) = moved {
            return Some(format!("the charge of {name} has changed"));
        }
        let draws = [(&self.servers, &now.servers), (&self.activities, &now.activities)];
        let drawn = draws.into_iter().find_map(|(then, now)| {
            then.iter()
                .find(|(name, then)| !is_same_draw(**then, now.get(*name)))
        });
        drawn.map(|(name, _)| format!("the draw of {name} has changed"))
    }
}

/// A draw that is not measured any more, or not yet, is no change: the planner has the other figures.
fn is_same_draw(then: u64, now: Option<&u64>) -> bool {
    now.is_none_or(|now| {
        let apart = then.abs_diff(*now);
        apart <= FEW_MILLIWATTS || apart <= then.max(*now) / 1_000 * SAME_DRAW_PERMILLE
    })
}

/// A reserve is at rest when an interruption begins, whatever it does now.
fn at_rest(state: ReserveState) -> ReserveState {
    match state {
        ReserveState::Charging | ReserveState::Discharging => ReserveState::Idle,
        other => other,
    }
}

/// Whether a server is without mains in a case.
pub(super) fn is_dark(snapshot: &Snapshot, server: &Server, case: &Case) -> bool {
    !server.inlets.is_empty()
        && server
            .inlets
            .iter()
            .all(|inlet| matches!(snapshot.domains.get(inlet.domain.0 as usize), Some(d) if case.contains(&d.name)))
}

/// The cluster as it would be in a case.
fn suppose(snapshot: &Snapshot, case: &Case) -> Snapshot {
    let mut supposed = snapshot.clone();
    for (server, now) in supposed.servers.iter_mut().zip(&snapshot.servers) {
        if is_dark(snapshot, now, case) {
            server.mains = Mains::Absent;
        }
    }
    for domain in supposed.domains.iter_mut().filter(|d| case.contains(&d.name)) {
        domain.mains = Mains::Absent;
    }
    for reserve in &mut supposed.reserves {
        reserve.state = at_rest(reserve.state);
    }
    supposed.outage = Some(Outage {
        phase: Phase::Debounce,
        cause: Cause::DomainMains,
        scope: Scope::Domains(case.iter().cloned().collect()),
        elapsed_millis: 0,
    });
    supposed
}

/// Which cases there are, and whose contingency each of them is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Cases {
    /// In the order in which they are planned.
    pub(super) all: Vec<Case>,
    /// Cases beyond the bound, which are not planned.
    pub(super) left_out: usize,
    own: BTreeMap<Name, Case>,
    borrowers: BTreeMap<Name, Case>,
    cluster: Case,
}

impl Cases {
    /// Finds the cases of a cluster. Who lends to whom is known from the plans that are there.
    pub(super) fn of(snapshot: &Snapshot, prepared: &[Prepared]) -> Self {
        let mut own: BTreeMap<Name, Case> = BTreeMap::new();
        for server in &snapshot.servers {
            let Some(pep) = &server.pep else { continue };
            let domains = server
                .inlets
                .iter()
                .filter_map(|inlet| snapshot.domains.get(inlet.domain.0 as usize));
            own.entry(pep.clone())
                .or_default()
                .extend(domains.map(|d| d.name.clone()));
        }
        own.retain(|_, domains| !domains.is_empty());
        let cluster: Case = own.values().flatten().cloned().collect();
        let owns: BTreeSet<&Case> = own.values().collect();
        let mut borrowers: BTreeMap<Name, Case> = BTreeMap::new();
        for p in prepared.iter().filter(|p| owns.contains(&p.case)) {
            for lender in &p.lenders {
                let others = p
                    .case
                    .iter()
                    .filter(|d| !own.get(lender).is_some_and(|o| o.contains(*d)));
                borrowers
                    .entry(lender.clone())
                    .or_default()
                    .extend(others.cloned());
            }
        }
        borrowers.retain(|_, domains| !domains.is_empty());
        let mut all = Vec::new();
        let wanted = std::iter::once(&cluster)
            .chain(owns)
            .chain(borrowers.values())
            .filter(|case| !case.is_empty());
        for case in wanted {
            if !all.contains(case) {
                all.push(case.clone());
            }
        }
        let left_out = all.len().saturating_sub(MAX_CONTINGENCY_CASES);
        all.truncate(MAX_CONTINGENCY_CASES);
        Self {
            all,
            left_out,
            own,
            borrowers,
            cluster,
        }
    }

    /// Which of a PEP's contingencies a case is; `None`: none of them.
    pub(super) fn contingency(&self, pep: &Name, case: &Case) -> Option<Contingency> {
        if *case == self.cluster {
            Some(Contingency::Cluster)
        } else if self.own.get(pep) == Some(case) {
            Some(Contingency::OwnDomain)
        } else if self.borrowers.get(pep) == Some(case) {
            Some(Contingency::Borrowers)
        } else {
            None
        }
    }

    /// PEPs outside a case that a plan asks something of which the PDP releases, or whose reserves it lends.
    fn lenders(&self, snapshot: &Snapshot, plan: &Plan, case: &Case) -> BTreeSet<Name> {
        let is_own = |pep: &Name| self.own.get(pep).is_some_and(|own| own.is_subset(case));
        let (by_pep, _) = slices(snapshot, plan);
        let asked = by_pep
            .into_iter()
            .filter(|(_, slice)| slice.is_central())
            .map(|(pep, _)| pep);
        let lent = plan.central_stages().flat_map(|s| &s.steps).filter_map(|step| {
            let StepKind::Divert {
                reserve, milliwatts, ..
            } = &step.kind
            else {
                return None;
            };
            let at = snapshot.reserves.binary_search_by(|r| r.name.cmp(reserve)).ok()?;
            snapshot.reserves.get(at)?.pep.clone().filter(|_| *milliwatts > 0)
        });
        asked.chain(lent).filter(|pep| !is_own(pep)).collect()
    }
}

/// A plan to be made for a case, by whoever has the time: nothing of it needs the engine.
///
/// Planning takes seconds for a large cluster, and an interruption must not wait for that.
#[derive(Clone)]
pub struct PlanAhead {
    case: Case,
    supposed: Snapshot,
    policy: PowerPolicy,
    planner: Planner,
    checker: Checker,
}

impl fmt::Debug for PlanAhead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PlanAhead")
            .field("case", &self.case)
            .finish_non_exhaustive()
    }
}

impl PartialEq for PlanAhead {
    fn eq(&self, other: &Self) -> bool {
        self.case == other.case && self.supposed == other.supposed && self.policy == other.policy
    }
}

impl PlanAhead {
    pub(super) fn new(
        snapshot: &Snapshot,
        case: &Case,
        policy: &PowerPolicy,
        planner: &Planner,
        checker: &Checker,
    ) -> Self {
        Self {
            case: case.clone(),
            supposed: suppose(snapshot, case),
            policy: policy.clone(),
            planner: Arc::clone(planner),
            checker: Arc::clone(checker),
        }
    }

    /// Makes the plan, and has it checked. Takes as long as it takes.
    pub fn run(self) -> PlannedAhead {
        let mut plan = (self.planner)(&self.supposed, None, &self.policy);
        make_room_for_stage_0(&mut plan);
        let violations = (self.checker)(&self.supposed, &plan, &self.policy);
        PlannedAhead {
            case: self.case,
            supposed: self.supposed,
            plan,
            violations,
        }
    }
}

/// What came of a [`PlanAhead`].
#[derive(Debug, Clone, PartialEq)]
pub struct PlannedAhead {
    pub(super) case: Case,
    pub(super) supposed: Snapshot,
    pub(super) plan: Plan,
    pub(super) violations: Vec<String>,
}

impl PlannedAhead {
    pub(super) fn lenders(&self, cases: &Cases) -> BTreeSet<Name> {
        cases.lenders(&self.supposed, &self.plan, &self.case)
    }
}

/// A case for operators.
pub(super) fn words(case: &Case) -> String {
    let names: Vec<Name> = case.iter().cloned().collect();
    match names.len() {
        1 => format!("domain {}", super::signals::list(&names)),
        _ => format!("domains {}", super::signals::list(&names)),
    }
}
