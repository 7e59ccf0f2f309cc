//! What the engine tells those who ask: status, plan, explanation.

use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};

use power_policy::model::{Cause, Name, SetId, Snapshot};
use power_policy::plan::StepKind;
use power_policy::plan::text::Duration;

use super::Engine;
use super::contingency::{Basis, Prepared};
use super::slice::executor;
use super::snapshot::Sources;
use super::tracking::subject;
use crate::api::{
    ActivityStatus, AlarmStatus, CarriedStatus, ClassStatus, ContingencyHolder, ContingencyStatus, Counts,
    DomainStatus, Explanation, LineStatus, OutageStatus, PeerStatus, PlanInForce, PlanStatus, PlanningInput,
    ReserveStatus, ServerStatus, Status, StepStatus,
};
use crate::limits::{MAX_ALARMS_SHOWN, MAX_CONTINGENCY_CASES};

/// How long what would be done is not planned anew.
const REHEARSAL_MILLIS: u64 = 60_000;

/// What would be done by those that are not armed.
#[derive(Debug, Clone)]
pub(super) struct Rehearsal {
    /// Of the plan that was in force.
    generation: u64,
    made_at: u64,
    unarmed: BTreeSet<Name>,
    steps: Vec<String>,
}

impl Engine {
    /// What a plan would be made from now.
    pub fn planning_input(&self) -> PlanningInput {
        let in_force = self.state.in_force.as_ref();
        PlanningInput {
            snapshot: self.sources().snapshot(),
            previous: in_force
                .filter(|p| p.plan.cause != Cause::Standing)
                .map(|p| (*p.plan).clone()),
            policy: self.settings.policy.clone(),
        }
    }

    /// What is going on, as far as the engine knows; the caller fills in what it alone knows (name, addresses).
    pub fn status(&self) -> Status {
        let snapshot = self.sources().snapshot();
        let (term, generation) = self.version();
        Status {
            name: String::new(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            experimental: true,
            warnings: Vec::new(),
            listen: String::new(),
            web: None,
            clock_scale: self.settings.scale,
            now_millis: self.now,
            term,
            generation,
            phase: self.phase(),
            outage: snapshot.outage.as_ref().map(|o| OutageStatus {
                id: self.state.interruption.clone(),
                cause: o.cause,
                scope: o.scope.clone(),
                elapsed_millis: o.elapsed_millis,
                mains_good_millis: self.state.machine.mains_good_millis(),
            }),
            plan: self.plan_status(),
            contingencies: self.contingency_status(&snapshot),
            classes: self.class_status(&snapshot),
            peers: self.peer_status(),
            domains: snapshot
                .domains
                .iter()
                .map(|d| DomainStatus {
                    name: d.name.to_string(),
                    mains: d.mains,
                    reason: self
                        .state
                        .machine
                        .explain_domain(&d.name)
                        .unwrap_or("nobody reports it")
                        .to_owned(),
                })
                .collect(),
            servers: snapshot
                .servers
                .iter()
                .map(|s| ServerStatus {
                    name: s.name.to_string(),
                    pep: s.pep.as_ref().map(ToString::to_string).unwrap_or_default(),
                    powered: s.powered,
                    mains: s.mains,
                    milliwatts: s.measured_milliwatts,
                    peak_milliwatts: s.peak_milliwatts,
                    domains: s
                        .inlets
                        .iter()
                        .filter_map(|inlet| snapshot.domains.get(inlet.domain.0 as usize))
                        .map(|domain| domain.name.to_string())
                        .collect(),
                    armed: s.armed,
                    simulated: s.simulated,
                })
                .collect(),
            reserves: self.reserve_status(&snapshot),
            lines: line_status(&snapshot),
            activities: self.activity_status(&snapshot),
            alarms: self
                .alarms
                .0
                .values()
                .take(MAX_ALARMS_SHOWN)
                .map(|a| AlarmStatus {
                    subject: a.subject.clone(),
                    text: a.text.clone(),
                    millis: self.now.saturating_sub(a.since),
                })
                .collect(),
            counts: Counts {
                plans: self.plans_made,
                violations: self.violations_seen,
                alarms: self.alarms.0.len(),
                connections_refused: 0,
                journal_works: self.store_failure.is_none(),
            },
            client_types: Vec::new(),
            last_event: self.next_seq.saturating_sub(1),
        }
    }

    fn plan_status(&self) -> Option<PlanStatus> {
        let in_force = self.state.in_force.as_ref()?;
        Some(PlanStatus {
            generation: in_force.generation,
            cause: in_force.plan.cause,
            age_millis: self.now.saturating_sub(in_force.made_at),
            stages: in_force.plan.central_stages().count(),
            released: in_force.released.len(),
            outstanding: self
                .execution
                .steps
                .iter()
                .filter(|s| s.deadline.is_some() && !s.settled)
                .count(),
            next: self
                .next_stage()
                .map(|s| format!("stage {} {}: {}", s.order, s.trigger, s.reason)),
        })
    }

    fn contingency_status(&self, snapshot: &Snapshot) -> Vec<ContingencyStatus> {
        let basis = Basis::of(snapshot, &self.settings.policy);
        let permille = self.settings.policy.deviation_permille;
        let of = |p: &Prepared| ContingencyStatus {
            domains: p.case.iter().map(ToString::to_string).collect(),
            generation: p.generation,
            age_millis: self.now.saturating_sub(p.made_at),
            stale: p.basis.outdated(&basis, permille),
            peps: p
                .parts
                .iter()
                .map(|(pep, part)| ContingencyHolder {
                    pep: pep.to_string(),
                    contingency: part.contingency.to_string(),
                    generation: part.issued.generation,
                    held: self.ahead.holds(pep, part),
                })
                .collect(),
        };
        self.state.prepared.iter().map(of).collect()
    }

    fn explain_contingencies(&self, snapshot: &Snapshot) -> Vec<String> {
        let mut lines: Vec<String> = self
            .contingency_status(snapshot)
            .into_iter()
            .map(|c| {
                let held = c.peps.iter().filter(|p| p.held).count();
                let state = match c.stale {
                    Some(why) => format!("stale: {why}"),
                    None => "current".to_owned(),
                };
                format!(
                    "without mains in {}: held ready by {held} of {} PEPs, generation {}, {} old, {state}",
                    c.domains.join(", "),
                    c.peps.len(),
                    c.generation,
                    Duration(c.age_millis)
                )
            })
            .collect();
        if !self.settings.contingencies {
            lines.push("none are held ready: [policy] contingencies = false".to_owned());
        }
        if self.ahead.left_out > 0 {
            lines.push(format!(
                "{} more cases are planned when they come: at most {MAX_CONTINGENCY_CASES} plans are held ready",
                self.ahead.left_out
            ));
        }
        let unfit = self.ahead.unfit.as_ref();
        lines.extend(unfit.map(|why| format!("the last interruption was planned when it came: {why}")));
        lines
    }

    fn class_status(&self, snapshot: &Snapshot) -> Vec<ClassStatus> {
        let mut classes: BTreeMap<u16, ClassStatus> = BTreeMap::new();
        let set_of = |id: SetId| snapshot.sets.get(id.0 as usize);
        for a in &snapshot.activities {
            let Some(set) = a.set.and_then(set_of) else {
                continue;
            };
            let class = classes.entry(set.priority).or_insert_with(|| ClassStatus {
                priority: set.priority,
                sets: Vec::new(),
                activities: 0,
                running: 0,
                shed: 0,
                target_millis: set.target_millis,
                ride_through_millis: None,
            });
            if !class.sets.iter().any(|s| *s == set.name.as_str()) {
                class.sets.push(set.name.to_string());
                // The class is kept as long as its longest target.
                class.target_millis = match (class.target_millis, set.target_millis) {
                    (Some(a), Some(b)) => Some(a.max(b)),
                    _ => None,
                };
            }
            class.activities += 1;
            class.running += usize::from(a.draws());
            class.shed += usize::from(a.shed);
        }
        if let Some(in_force) = &self.state.in_force {
            for c in &in_force.plan.classes {
                if let Some(class) = classes.get_mut(&c.priority) {
                    class.ride_through_millis = c.ride_through_millis;
                }
            }
        }
        classes.into_values().rev().collect()
    }

    fn peer_status(&self) -> Vec<PeerStatus> {
        let sources = self.sources();
        let count =
            |map: &BTreeMap<power_policy::model::Name, super::cluster::Custody>,
             pep: &power_policy::model::Name| { map.values().filter(|c| c.pep == *pep).count() };
        self.peers
            .iter()
            .map(|(name, p)| PeerStatus {
                name: name.to_string(),
                connected: p.connected,
                address: p.address.clone(),
                // What a connection is made of the node knows.
                security: String::new(),
                armed: sources.is_armed(name),
                armed_here: self.settings.peers.is_armed(name),
                armed_there: p.facts.as_deref().is_some_and(|f| f.held.armed),
                heard_millis_ago: self.now.saturating_sub(p.heard_at),
                generation: self.state.issued.get(name).map_or(0, |i| i.generation),
                acknowledged: p.acknowledged,
                servers: count(&self.view.servers, name),
                reserves: count(&self.view.reserves, name),
                lines: count(&self.view.lines, name),
            })
            .collect()
    }

    fn reserve_status(&self, snapshot: &Snapshot) -> Vec<ReserveStatus> {
        snapshot
            .reserves
            .iter()
            .map(|r| {
                let metered = self.meter.reserves.get(&r.name).copied().unwrap_or_default();
                ReserveStatus {
                    name: r.name.to_string(),
                    pep: r.pep.as_ref().map(ToString::to_string).unwrap_or_default(),
                    capacity_millijoules: r.capacity_millijoules,
                    feeds: r
                        .feeds
                        .iter()
                        .filter_map(|server| snapshot.servers.get(server.0 as usize))
                        .map(|server| server.name.to_string())
                        .collect(),
                    charge_millijoules: r.charge_millijoules,
                    cutoff_millijoules: r.cutoff_millijoules,
                    age_millis: r.age_millis,
                    drawn_millijoules: metered.drawn_millijoules,
                    charged_millijoules: metered.charged_millijoules,
                    drawn_in_interruption_millijoules: metered.drawn_millijoules
                        - metered.drawn_before_millijoules,
                    armed: r.armed,
                    simulated: r.simulated,
                }
            })
            .collect()
    }

    fn activity_status(&self, snapshot: &Snapshot) -> Vec<ActivityStatus> {
        let server = |id: power_policy::model::ServerId| {
            let s = snapshot.servers.get(id.0 as usize);
            s.map(|s| s.name.to_string()).unwrap_or_default()
        };
        snapshot
            .activities
            .iter()
            .map(|a| {
                let set = a.set.and_then(|s| snapshot.sets.get(s.0 as usize));
                let track = self.state.tracks.get(&a.name);
                ActivityStatus {
                    name: a.name.to_string(),
                    set: set.map(|s| s.name.to_string()).unwrap_or_default(),
                    priority: set.map(|s| s.priority),
                    host: server(a.host),
                    home: server(a.home),
                    state: format!("{:?}", a.state).to_lowercase(),
                    shed: a.shed,
                    moving_to: track.and_then(|t| t.moving_to.as_ref()).map(ToString::to_string),
                    armed: a.armed,
                }
            })
            .collect()
    }

    /// The plan in force with the outcomes of its steps.
    pub fn plan(&self) -> Option<PlanInForce> {
        let in_force = self.state.in_force.as_ref()?;
        Some(PlanInForce {
            term: self.state.term,
            generation: in_force.generation,
            released_stage: in_force.released_stage(),
            age_millis: self.now.saturating_sub(in_force.made_at),
            plan: (*in_force.plan).clone(),
            steps: self
                .execution
                .steps
                .iter()
                .map(|s| StepStatus {
                    pep: s.pep.to_string(),
                    stage: s.order,
                    row: s.key.to_string(),
                    step: s.kind.to_string(),
                    outcome: match (s.outcome, s.deadline) {
                        (Some(o), _) => format!("{o:?}").to_lowercase(),
                        (None, Some(_)) => "released".to_owned(),
                        (None, None) => "waiting".to_owned(),
                    },
                })
                .collect(),
        })
    }

    /// Why things are as they are. What would be done by whoever is not armed is planned at most once a minute for one plan in
    /// force, however often it is asked: it takes as long as a plan, and nothing else is done meanwhile.
    pub fn explain(&mut self) -> Explanation {
        let unarmed = self.would_be_done();
        let in_force = self.state.in_force.as_ref();
        let snapshot = self.sources().snapshot();
        let grouping = self.state.tracks.keys().filter_map(|name| {
            let rows = self.rows_of(name);
            let host = self.state.tracks.get(name).map(|t| &t.host);
            let row = rows.iter().find(|r| Some(&r.server) == host).or(rows.first())?;
            let assigned = self.settings.grouping.assign(&subject(row));
            Some(format!("{name}: {}", assigned.reason))
        });
        Explanation {
            plan: in_force.map(|p| p.plan.to_string()).unwrap_or_default(),
            generation: in_force.map_or(0, |p| p.generation),
            progress: self
                .plan()
                .map(|p| p.steps)
                .unwrap_or_default()
                .into_iter()
                .map(|s| format!("stage {}: {}: {} ({})", s.stage, s.step, s.outcome, s.pep))
                .collect(),
            contingencies: self.explain_contingencies(&snapshot),
            domains: snapshot
                .domains
                .iter()
                .map(|d| {
                    let why = self
                        .state
                        .machine
                        .explain_domain(&d.name)
                        .unwrap_or("nobody reports it");
                    format!("{}: {}: {why}", d.name, format!("{:?}", d.mains).to_lowercase())
                })
                .collect(),
            grouping: grouping.collect(),
            unarmed,
            violations: self.last_violations.clone(),
            alarms: self.alarms.0.values().map(|a| a.text.clone()).collect(),
        }
    }

    /// Steps that a plan would have if everything were armed, for what is not.
    fn would_be_done(&mut self) -> Vec<String> {
        let unarmed: BTreeSet<Name> = self
            .peers
            .keys()
            .filter(|pep| !self.sources().is_armed(pep))
            .cloned()
            .collect();
        let generation = self.state.in_force.as_ref().map_or(0, |p| p.generation);
        let kept = self.rehearsed.take().filter(|r| {
            let until = r.made_at.saturating_add(REHEARSAL_MILLIS);
            r.generation == generation && r.unarmed == unarmed && self.now < until
        });
        let rehearsal = kept.unwrap_or_else(|| Rehearsal {
            generation,
            made_at: self.now,
            steps: self.rehearse(&unarmed),
            unarmed,
        });
        let steps = rehearsal.steps.clone();
        self.rehearsed = Some(rehearsal);
        steps
    }

    fn rehearse(&self, unarmed: &BTreeSet<Name>) -> Vec<String> {
        if unarmed.is_empty() {
            return Vec::new();
        }
        let sources = Sources {
            as_if_armed: true,
            seen_off: OnceCell::new(),
            ..self.sources()
        };
        let armed = sources.snapshot();
        let plan = (self.settings.planner)(&armed, None, &self.settings.policy);
        plan.stages
            .iter()
            .flat_map(|s| &s.steps)
            .filter(|s| !matches!(s.kind, StepKind::Intake { .. }))
            .filter(|s| executor(&armed, &s.kind).is_some_and(|pep| unarmed.contains(pep)))
            .map(|s| format!("{}: {}", s.kind, s.reason))
            .collect()
    }
}

fn line_status(snapshot: &Snapshot) -> Vec<LineStatus> {
    let reserve = |id: power_policy::model::ReserveId| {
        let r = snapshot.reserves.get(id.0 as usize);
        r.map(|r| r.name.to_string()).unwrap_or_default()
    };
    let server = |id: power_policy::model::ServerId| {
        let s = snapshot.servers.get(id.0 as usize);
        s.map(|s| s.name.to_string()).unwrap_or_default()
    };
    snapshot
        .lines
        .iter()
        .map(|l| LineStatus {
            name: l.name.to_string(),
            pep: l.pep.as_ref().map(ToString::to_string).unwrap_or_default(),
            state: format!("{:?}", l.state).to_lowercase(),
            reserves: l.reserves.iter().map(|r| reserve(*r)).collect(),
            servers: l.servers.iter().map(|s| server(*s)).collect(),
            max_milliwatts: l.max_milliwatts,
            carries: l
                .joined
                .iter()
                .map(|j| CarriedStatus {
                    reserve: reserve(j.reserve),
                    server: server(j.server),
                    milliwatts: j.milliwatts,
                })
                .collect(),
            armed: l.armed,
        })
        .collect()
}
