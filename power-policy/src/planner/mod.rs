//! The planner: a pure function from a snapshot, the plan in force and the site's policy to a plan.
//!
//! ```text
//! prepare (sanitise, islands)                 what may be touched, what is fixed load, who can feed whom
//!   -> decide: hold_back, placement,          where each placement lives, how long, on whose energy; drops what
//!      durations, flow                        cannot live and places the rest again, in a fixed number of rounds
//!   -> script, moves, descent: feeds, forward   stages, each run forward as it is written
//!   -> local                                  what a PEP does when it is cut off
//! ```
//!
//! Invariants: nothing is planned on energy that a clean stop needs; a class is funded before any lower one up to its
//! target; the plan is run forward on its own copy of the electricity, and a server that would be lost in that run has
//! its work stopped earlier. There is no clock, no randomness and no hash table here; ties go to the higher class, then
//! to fewer moves, then to the lower name (indexes follow names).

mod decide;
mod descent;
mod durations;
mod feeds;
mod flow;
mod forward;
mod hold_back;
mod islands;
mod local;
mod moves;
mod placement;
mod prepare;
mod restoration;
mod script;
mod words;

use crate::model::{Cause, Name, Outage, Phase, PowerPolicy, Scope, Snapshot};
use crate::plan::{ClassForecast, Plan, Refusal, ReserveForecast, Stage, StepKind, Verb};

use decide::Decision;
use prepare::{Cluster, Supply, whole};
use script::Script;

/// Runs of a plan until it holds in its own forward run.
const REPAIRS: usize = 4;
/// What a repair leaves of the life of everything on a server that was lost.
const REPAIR_FACTOR: f64 = 0.8;

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
        plan.stages.extend(local::local_stages(&cluster, &plan.stages));
        standing_forecast(&cluster, previous, &mut plan);
        return plan;
    }
    if snapshot.outage.is_none() || !anything_on_battery {
        plan.stages = local::local_stages(&cluster, &[]);
        standing_forecast(&cluster, previous, &mut plan);
        return plan;
    }
    interruption(&cluster, previous, &mut plan);
    plan
}

/// The plan of an interruption: decided once, written and run until it holds.
fn interruption(cluster: &Cluster<'_>, previous: Option<&Plan>, plan: &mut Plan) {
    let decision = decide::decide(cluster, &planned_moves(cluster, previous));
    let mut end_scale = vec![1.0; cluster.nodes.len()];
    let mut script = Script::new(cluster, &decision);
    script.write(&end_scale);
    for _ in 0..REPAIRS {
        // A host on which nothing runs, and that may not be switched off, is lost at the end: nothing is gained by haste.
        let matters = |s: usize| !script.running[s].is_empty() || script.halting[s];
        let lost: Vec<usize> = script
            .forward
            .lost
            .iter()
            .map(|(s, _)| *s)
            .filter(|s| matters(*s))
            .collect();
        if lost.is_empty() {
            break;
        }
        for s in lost {
            end_scale[s] *= REPAIR_FACTOR;
        }
        let mut again = Script::new(cluster, &decision);
        again.write(&end_scale);
        script = again;
    }
    plan.classes = class_forecast(cluster, &script, previous);
    plan.reserves = reserve_forecast(cluster, &script);
    // One weighted core a milliwatt is a million weighted core-milliseconds a joule.
    plan.lambda_micro = decision.lambda.map(|l| whole(l * 1e6));
    refusals(cluster, &decision, &script, plan);
    let central: Vec<Stage> = std::mem::take(&mut script.stages);
    let local = local::local_stages(cluster, &central);
    plan.stages = central;
    plan.stages.extend(local);
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

fn class_forecast(
    cluster: &Cluster<'_>,
    script: &Script<'_, '_>,
    previous: Option<&Plan>,
) -> Vec<ClassForecast> {
    let mut first: Vec<f64> = vec![f64::INFINITY; cluster.classes.len()];
    for (p, placement) in cluster.placements.iter().enumerate() {
        first[placement.class] = first[placement.class].min(script.ended[p]).min(script.lost[p]);
    }
    let over = already_over(cluster, previous);
    cluster
        .classes
        .iter()
        .enumerate()
        .map(|(k, class)| ClassForecast {
            priority: class.priority,
            target_millis: class.said_target_millis,
            ride_through_millis: over[k].or_else(|| {
                first[k]
                    .is_finite()
                    .then(|| whole((cluster.elapsed + first[k]) * 1_000.0))
            }),
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

fn reserve_forecast(cluster: &Cluster<'_>, script: &Script<'_, '_>) -> Vec<ReserveForecast> {
    (0..cluster.stores.len())
        .map(|r| ReserveForecast {
            reserve: cluster.store_name(r).clone(),
            points: script.forward.points(r),
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

fn refusals(cluster: &Cluster<'_>, decision: &Decision, script: &Script<'_, '_>, plan: &mut Plan) {
    let mut refuse = |subject: &Name, reason: String| {
        plan.refusals.push(Refusal {
            subject: subject.clone(),
            reason,
        })
    };
    for (s, need, have) in &decision.short {
        refuse(
            cluster.server_name(*s),
            format!(
                "a clean stop of what runs on it needs {}, and only {} can reach it: it is stopped as early as may be, and may not end cleanly",
                words::energy(*need),
                words::energy(*have)
            ),
        );
    }
    for (s, at) in &script.forward.lost {
        let sets: Vec<String> = (0..cluster.placements.len())
            .filter(|p| script.lost[*p] == *at && script.running[*s].contains(p))
            .map(|p| words::set(cluster, p))
            .collect();
        let what = if sets.is_empty() {
            "nothing of a set runs on it then".to_owned()
        } else {
            sets.join(", ")
        };
        refuse(
            cluster.server_name(*s),
            format!(
                "it cannot be fed beyond {} in: {what}",
                words::time(cluster.elapsed + at)
            ),
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
