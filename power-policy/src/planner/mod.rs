//! The planner: a pure function from a snapshot, the plan in force and the site's policy to a plan.
//!
//! ```text
//! prepare (sanitise, islands)                 what may be touched, what is fixed load, who can feed whom
//!   -> decide: hold_back, placement,          where each placement lives, how long, on whose energy; drops what
//!      durations, flow                        cannot live and places the rest again, in a fixed number of rounds
//!   -> script, moves, restarts, descent: feeds,
//!      forward                                   stages, each run forward as it is written
//!   -> local                                  what a PEP does when it is cut off
//! ```
//!
//! Invariants: nothing is planned on energy that a clean stop needs; a class is funded before any lower one up to its
//! target; the plan is run forward on its own copy of the electricity, and a server that would be lost in that run has
//! its work stopped earlier. There is no clock, no randomness and no hash table here; ties go to the higher class, then
//! to fewer moves, then to the lower name (indexes follow names).

mod care;
mod decide;
mod descent;
mod durations;
mod electricity;
mod envy;
mod feeds;
mod flow;
mod forecast;
mod forward;
mod hold_back;
mod islands;
mod local;
mod moves;
mod placement;
mod prepare;
mod rehearsal;
mod restarts;
mod restoration;
mod script;
mod shortfall;
mod words;

use crate::model::{Cause, Name, Outage, Phase, PowerPolicy, Scope, Snapshot};
use crate::plan::text::Duration;
use crate::plan::{ClassForecast, Plan, Refusal, ReserveForecast, Stage, StepKind, Verb};

use care::Care;
use decide::Decision;
use hold_back::margin_seconds;
use prepare::{Cluster, Supply, seconds, whole};
use rehearsal::{Conditions, Controller, Outcome, Reading, Strain};
use script::Script;

/// Most rehearsals after the first; each takes more care where something was lost in the one before.
const REHEARSALS: usize = 12;
/// Most rehearsals after those in which energy is set aside for targets that were missed.
const ROUNDS_FOR_TARGETS: usize = 4;

/// Plans what stays powered, where, how long, and on whose energy.
///
/// Total and deterministic: any snapshot gives a plan, the same one on any machine. A snapshot that does not hold
/// together ([`Snapshot::validate`]) gives an empty plan with the refusal in it. `previous` is the plan in force, if
/// there is one: moves that it has begun are finished.
pub fn plan(snapshot: &Snapshot, previous: Option<&Plan>, policy: &PowerPolicy) -> Plan {
    let outage = snapshot.outage.clone().unwrap_or(Outage {
        phase: Phase::Normal,
        cause: Cause::Standing,
        scope: Scope::Cluster,
        elapsed_millis: 0,
    });
    let mut plan = Plan {
        cause: outage.cause,
        scope: outage.scope.clone(),
        planned_at_millis: outage.elapsed_millis,
        stages: Vec::new(),
        classes: Vec::new(),
        reserves: Vec::new(),
        lambda_micro: None,
        infrastructure_milliwatts: policy.infrastructure_milliwatts,
        refusals: Vec::new(),
    };
    if let Err(error) = snapshot.validate() {
        plan.refusals.push(Refusal {
            subject: error.subject().clone(),
            reason: format!("nothing is planned, because the snapshot does not hold together: {error}"),
        });
        return plan;
    }
    let cluster = Cluster::new(snapshot, policy);
    let restoring = outage.phase == Phase::Restoring || outage.cause == Cause::Restoration;
    let anything_on_battery = cluster.nodes.iter().any(|n| n.supply == Supply::Battery);
    if restoring {
        restoration::write(&cluster, &mut plan);
        plan.stages
            .extend(local::local_stages(&cluster, &plan.stages, &Care::new(&cluster)));
        standing_forecast(&cluster, previous, &mut plan);
        return plan;
    }
    let owed_on_mains = restarts::is_anything_owed(&cluster);
    if snapshot.outage.is_none() || !(anything_on_battery || owed_on_mains) {
        plan.stages = local::local_stages(&cluster, &[], &Care::new(&cluster));
        standing_forecast(&cluster, previous, &mut plan);
        return plan;
    }
    interruption(&cluster, previous, &mut plan);
    plan
}

/// One way of writing the plan, and what comes of it.
struct Draft {
    decision: Decision,
    central: Vec<Stage>,
    local: Vec<Stage>,
    nominal: Outcome,
    /// Servers that are lost as the plan is written, only with margins used up, and only while cut off.
    lost: Vec<usize>,
    strained: Vec<usize>,
    cut_off: Vec<usize>,
    over_lent: Vec<usize>,
    /// Placements that a higher class has reason to envy.
    envied: Vec<usize>,
    /// Activities that were shed and have no room where mains is.
    no_room: Vec<usize>,
}

impl Draft {
    fn new(cluster: &Cluster<'_>, decision: Decision, care: &Care) -> Self {
        let mut script = Script::new(cluster, &decision, care);
        script.write();
        let (central, no_room) = (script.stages, script.no_room);
        let local = local::local_stages(cluster, &central, care);
        let reading = Reading::new(cluster, &central, &local);
        let run = |controller, strained| {
            let conditions = Conditions {
                controller,
                strained,
                all_lost: false,
            };
            rehearsal::rehearse(cluster, &reading, conditions)
        };
        let nominal = run(Controller::Alive, None);
        // One that nothing can feed is lost whatever is planned.
        let doomed = (0..cluster.nodes.len()).filter(|s| cluster.nodes[*s].doomed);
        let mut known: Vec<usize> = doomed.collect();
        let over_lent = care::over_lent(cluster, &nominal);
        let envied = envy::envied(
            cluster,
            &decision.target,
            &nominal,
            &decision.class_target,
            decision.lambda.is_some(),
        );
        let mut further = |outcome: &Outcome| {
            let new: Vec<usize> = care::dirty(outcome)
                .into_iter()
                .filter(|s| !known.contains(s))
                .collect();
            known.extend(&new);
            new
        };
        let lost = further(&nominal);
        // Worse is not always worse: one stage waits for another, and a charge that falls faster trips the next one sooner.
        let mut strained = Vec::new();
        let hold_back = seconds(cluster.policy.hold_back_millis);
        for (late, undeclared) in [
            (hold_back, true),
            (hold_back, false),
            (margin_seconds(cluster), true),
        ] {
            let strain = Strain { late, undeclared };
            strained.extend(further(&run(Controller::Alive, Some(strain))));
        }
        // A host that must stay up may go down idle with its reserve: cut off near that end it breaks off in its halt.
        let may_break_off: Vec<usize> = nominal
            .losses
            .iter()
            .filter(|l| !l.is_dirty() && !cluster.nodes[l.server].can_switch_off)
            .map(|l| l.server)
            .collect();
        let mut cut_off = Vec::new();
        let gone: &[Controller] = if cluster.is_drill() {
            &[]
        } else {
            &[Controller::GoneAfterStageZero, Controller::GoneAtFirstWait]
        };
        for controller in gone {
            let mut outcome = run(*controller, None);
            outcome
                .losses
                .retain(|l| !(l.running.is_empty() && may_break_off.contains(&l.server)));
            cut_off.extend(further(&outcome));
        }
        Self {
            decision,
            central,
            local,
            nominal,
            lost,
            strained,
            cut_off,
            over_lent,
            envied,
            no_room,
        }
    }

    fn is_clean(&self) -> bool {
        self.lost.is_empty()
            && self.strained.is_empty()
            && self.cut_off.is_empty()
            && self.over_lent.is_empty()
            && self.envied.is_empty()
    }

    /// Smaller is better: what is lost as written, what only margins would have saved, what is lost without a PDP.
    fn faults(&self, cluster: &Cluster<'_>) -> [usize; 5] {
        let work = |servers: &[usize]| {
            let running = servers.iter().map(|s| 1 + cluster.nodes[*s].placements.len());
            running.sum::<usize>()
        };
        [
            work(&self.lost),
            work(&self.strained),
            self.over_lent.len(),
            self.envied.len(),
            work(&self.cut_off),
        ]
    }
}

/// The plan of an interruption: decided, written and rehearsed until it holds in its rehearsals.
fn interruption(cluster: &Cluster<'_>, previous: Option<&Plan>, plan: &mut Plan) {
    let planned = planned_moves(cluster, previous);
    let mut care = Care::new(cluster);
    let mut draft = Draft::new(cluster, decide::decide(cluster, &planned, &care), &care);
    let mut latest: Option<Draft> = None;
    for _ in 0..REHEARSALS {
        let last = latest.as_ref().unwrap_or(&draft);
        if last.is_clean() {
            break;
        }
        let mut lost = last.lost.clone();
        lost.extend(&last.strained);
        let lesson = care.learn(&lost, last);
        if !lesson.any {
            break;
        }
        let decision = if lesson.decide {
            decide::decide(cluster, &planned, &care)
        } else {
            last.decision.clone()
        };
        let next = Draft::new(cluster, decision, &care);
        let better = next.faults(cluster) < draft.faults(cluster);
        if better {
            draft = next;
            latest = None;
        } else {
            latest = Some(next);
        }
    }
    let draft = meet_targets(cluster, &planned, draft, care);
    plan.classes = class_forecast(cluster, &draft.nominal, previous);
    plan.reserves = reserve_forecast(cluster, &draft.nominal);
    // One weighted core a milliwatt is a million weighted core-milliseconds a joule.
    plan.lambda_micro = draft.decision.lambda.map(|l| whole(l * 1e6));
    refusals(cluster, &draft, plan);
    plan.stages = draft.central;
    plan.stages.extend(draft.local);
}

/// Sets energy aside for targets that the rehearsal misses, as long as that is no worse in anything that comes before.
fn meet_targets(cluster: &Cluster<'_>, planned: &[Option<usize>], mut draft: Draft, mut care: Care) -> Draft {
    let judged = |draft: &Draft| {
        let missed = shortfall::missed(cluster, &draft.decision, &draft.nominal);
        (draft.faults(cluster), missed)
    };
    let mut best = judged(&draft);
    for _ in 0..ROUNDS_FOR_TARGETS {
        let aside = shortfall::to_set_aside(cluster, &draft.decision, &draft.nominal);
        if aside.is_empty() {
            break;
        }
        care.set_aside(&aside);
        let next = Draft::new(cluster, decide::decide(cluster, planned, &care), &care);
        let found = judged(&next);
        if found >= best {
            break;
        }
        (draft, best) = (next, found);
    }
    draft
}

/// Where the plan in force moves each placement: stickiness, so that a new plan does not turn back half-way.
fn planned_moves(cluster: &Cluster<'_>, previous: Option<&Plan>) -> Vec<Option<usize>> {
    let mut planned = vec![None; cluster.placements.len()];
    // Asked again at the same instant, the same answer comes out without it.
    let now = whole(cluster.elapsed * 1_000.0);
    let Some(previous) = previous.filter(|p| p.planned_at_millis < now) else {
        return planned;
    };
    let mut moves: std::collections::BTreeMap<&Name, usize> = std::collections::BTreeMap::new();
    for step in previous.stages.iter().flat_map(|s| &s.steps) {
        if let StepKind::Activity {
            activity,
            server,
            verb: Verb::TakeIn,
            ..
        } = &step.kind
            && let Some(to) = cluster.snapshot.server_id(server)
        {
            moves.insert(activity, to.0 as usize);
        }
    }
    for (p, placement) in cluster.placements.iter().enumerate() {
        planned[p] = placement
            .activities
            .first()
            .and_then(|a| moves.get(&cluster.snapshot.activities[*a].name).copied())
            .filter(|to| placement.receivers.contains(to));
    }
    planned
}

fn class_forecast(cluster: &Cluster<'_>, outcome: &Outcome, previous: Option<&Plan>) -> Vec<ClassForecast> {
    let mut ends = outcome.stopped.clone();
    for loss in &outcome.losses {
        for a in &loss.ended {
            ends[*a].get_or_insert(loss.at);
        }
    }
    let mut first: Vec<Option<u64>> = vec![None; cluster.classes.len()];
    // Not the placements alone: a member on a server that is out of reach is none, and ends with that server's energy.
    let members = cluster.snapshot.activities.iter().zip(&ends);
    for (activity, end) in members.filter(|(activity, _)| activity.is_touchable()) {
        let priority = activity
            .set
            .map(|set| cluster.snapshot.sets[set.0 as usize].priority);
        let class = cluster.classes.iter().position(|c| Some(c.priority) == priority);
        if let (Some(k), Some(end)) = (class, *end) {
            first[k] = Some(first[k].map_or(end, |f| f.min(end)));
        }
    }
    let over = already_over(cluster, previous);
    cluster
        .classes
        .iter()
        .enumerate()
        .map(|(k, class)| ClassForecast {
            priority: class.priority,
            target_millis: class.said_target_millis,
            ride_through_millis: over[k].or_else(|| first[k].map(|at| cluster.millis(at))),
        })
        .collect()
}

/// Ride-through of classes that have lost a member before: as the plan said that did it, or until now at most.
fn already_over(cluster: &Cluster<'_>, previous: Option<&Plan>) -> Vec<Option<u64>> {
    let mut over = vec![None; cluster.classes.len()];
    for activity in cluster.snapshot.activities.iter().filter(|a| a.shed) {
        let priority = activity
            .set
            .map(|set| cluster.snapshot.sets[set.0 as usize].priority);
        if let Some(k) = cluster.classes.iter().position(|c| Some(c.priority) == priority) {
            let now = whole(cluster.elapsed * 1_000.0);
            let before = previous
                .and_then(|p| p.classes.iter().find(|c| Some(c.priority) == priority))
                .and_then(|c| c.ride_through_millis);
            over[k] = Some(before.map_or(now, |b| b.min(now)));
        }
    }
    over
}

fn reserve_forecast(cluster: &Cluster<'_>, outcome: &Outcome) -> Vec<ReserveForecast> {
    (0..cluster.stores.len())
        .map(|r| ReserveForecast {
            reserve: cluster.store_name(r).clone(),
            points: forecast::points(cluster, r, &outcome.history[r]),
        })
        .collect()
}

/// Forecasts where nothing is drawn: everything stays as it is.
fn standing_forecast(cluster: &Cluster<'_>, previous: Option<&Plan>, plan: &mut Plan) {
    let over = already_over(cluster, previous);
    plan.classes = cluster
        .classes
        .iter()
        .zip(over)
        .map(|(class, over)| ClassForecast {
            priority: class.priority,
            target_millis: class.said_target_millis,
            ride_through_millis: over,
        })
        .collect();
    plan.reserves = cluster
        .snapshot
        .reserves
        .iter()
        .map(|r| ReserveForecast {
            reserve: r.name.clone(),
            points: vec![(plan.planned_at_millis, r.charge_millijoules)],
        })
        .collect();
}

fn refusals(cluster: &Cluster<'_>, draft: &Draft, plan: &mut Plan) {
    let mut refuse = |subject: &Name, reason: String| {
        plan.refusals.push(Refusal {
            subject: subject.clone(),
            reason,
        })
    };
    for (s, need, have) in &draft.decision.short {
        refuse(
            cluster.server_name(*s),
            format!(
                "a clean stop of what runs on it needs {}, and only {} can reach it: it is stopped as early as may be, and may not end cleanly",
                words::energy(*need),
                words::energy(*have)
            ),
        );
    }
    for loss in &draft.nominal.losses {
        refuse(
            cluster.server_name(loss.server),
            format!(
                "it cannot be fed beyond {}: {}",
                Duration(cluster.millis(loss.at)),
                words::lost(cluster, loss)
            ),
        );
    }
    for a in &draft.no_room {
        refuse(
            &cluster.snapshot.activities[*a].name,
            restarts::no_room_words(cluster, *a),
        );
    }
    for s in &draft.strained {
        refuse(
            cluster.server_name(*s),
            "its clean end has no margin: a threshold that is seen late, or a stop that takes more than it says, may not end \
             cleanly"
                .to_owned(),
        );
    }
    for s in &draft.cut_off {
        refuse(
            cluster.server_name(*s),
            "if every PDP is lost, what runs on it may not end cleanly".to_owned(),
        );
    }
    for (s, node) in cluster.nodes.iter().enumerate() {
        let server = &cluster.snapshot.servers[s];
        if node.doomed && server.armed {
            refuse(
                &server.name,
                "nothing feeds it that anybody reports, and no line is quick enough to carry it: it is told to stop, and may \
                 not end cleanly"
                    .to_owned(),
            );
        }
        if node.supply == Supply::Battery && !server.armed {
            refuse(
                &server.name,
                "its PEP is not armed: what runs on it is fixed load, and its reserves stay its own"
                    .to_owned(),
            );
        } else if server.powered == crate::model::Powered::Unreachable {
            refuse(&server.name, "it is unreachable: counted at full watts, nothing on it is touched, its lines are not switched".to_owned());
        } else if node.supply == Supply::Unknown && server.armed {
            refuse(
                &server.name,
                "nobody can tell whether it has mains: it is left as it is".to_owned(),
            );
        }
        if server.idle_milliwatts > server.peak_milliwatts && server.peak_milliwatts > 0 {
            refuse(
                &server.name,
                "its idle draw is above its peak; they are taken the other way round".to_owned(),
            );
        }
    }
    for (r, reserve) in cluster.snapshot.reserves.iter().enumerate() {
        let store = &cluster.stores[r];
        let home_mains = store
            .homes
            .iter()
            .any(|s| cluster.nodes[*s].supply == Supply::Mains);
        if reserve.usable_millijoules() == 0 {
            refuse(
                &reserve.name,
                "it has nothing above its cut-off, or cannot be used".to_owned(),
            );
        } else if !store.lendable {
            refuse(
                &reserve.name,
                "it is not armed or its figures are too old: it counts for its own servers only".to_owned(),
            );
        } else if home_mains && !store.links.is_empty() && store.energy > 0.0 {
            refuse(
                &reserve.name,
                format!("part of it is {}", words::protect(cluster)),
            );
        }
    }
}
