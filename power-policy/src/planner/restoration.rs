//! The way back: hosts first, then classes from the highest down, staggered, each behind a gate on the charge, so that
//! an interruption in the middle of it can still be borne. Moves home come last.

use super::prepare::{Cluster, Supply, seconds, whole};
use super::words;
use crate::model::{ActivityState, Name};
use crate::plan::text::Duration;
use crate::plan::{HostState, Plan, Stage, Step, StepKind, Trigger, Verb};

/// A class comes back when the reserves could carry it, and those above it, for so long again, or for its target if
/// that is shorter: seconds.
pub(super) const CARRY_SECONDS: f64 = 120.0;

pub(super) fn write(cluster: &Cluster<'_>, plan: &mut Plan) {
    let mut stages: Vec<Stage> = Vec::new();
    let mut push = |trigger: Trigger, steps: Vec<Step>, reason: String| {
        if !steps.is_empty() {
            let order = u32::try_from(stages.len()).unwrap_or(u32::MAX);
            stages.push(Stage {
                order,
                trigger,
                local: false,
                steps,
                reason,
            });
        }
    };
    push(
        Trigger::AfterResults,
        open_diverts(cluster),
        "mains is back: what was lent goes home".to_owned(),
    );
    let stagger = Trigger::Delay {
        millis: cluster.policy.restart_stagger_millis,
    };
    let mut begun = false;
    for steps in start_hosts(cluster) {
        let trigger = if begun {
            stagger.clone()
        } else {
            Trigger::AfterResults
        };
        begun = true;
        push(
            trigger,
            steps,
            format!(
                "hosts start {} apart, for the inrush",
                Duration(cluster.policy.restart_stagger_millis)
            ),
        );
    }
    for k in 0..cluster.classes.len() {
        let mut first = true;
        for steps in restart_class(cluster, k) {
            let trigger = if first {
                gate(cluster, k).unwrap_or(stagger.clone())
            } else {
                stagger.clone()
            };
            let reason = if first {
                words::restart(cluster, k, &trigger)
            } else {
                format!(
                    "class {} goes on {} later",
                    cluster.classes[k].priority,
                    Duration(cluster.policy.restart_stagger_millis)
                )
            };
            first = false;
            push(trigger, steps, reason);
        }
    }
    let (taken_in, moved_out) = moves_home(cluster);
    push(
        Trigger::Delay {
            millis: cluster.policy.move_back_millis,
        },
        taken_in,
        format!(
            "mains has been stable for {} more: what was shifted goes home",
            Duration(cluster.policy.move_back_millis)
        ),
    );
    push(
        Trigger::AfterResults,
        moved_out,
        "it runs at home again".to_owned(),
    );
    plan.stages = stages;
}

/// Takes lines off servers that mains feeds again.
fn open_diverts(cluster: &Cluster<'_>) -> Vec<Step> {
    cluster
        .joined
        .iter()
        .filter(|f| super::feeds::commandable(cluster, f))
        .filter(|f| {
            cluster.nodes[f.server].supply == Supply::Mains || cluster.nodes[f.server].supply == Supply::Dark
        })
        .map(|f| Step {
            kind: StepKind::Divert {
                line: cluster.link_name(f.link).clone(),
                reserve: cluster.store_name(f.store).clone(),
                server: cluster.server_name(f.server).clone(),
                milliwatts: 0,
            },
            reason: format!(
                "{} does not need {} any more",
                cluster.server_name(f.server),
                cluster.store_name(f.store)
            ),
        })
        .collect()
}

/// Servers to start, one a domain at a time: those with the highest classes first.
fn start_hosts(cluster: &Cluster<'_>) -> Vec<Vec<Step>> {
    let mut best: Vec<usize> = vec![usize::MAX; cluster.nodes.len()];
    for activity in cluster.snapshot.activities.iter().filter(|a| a.shed) {
        for s in [activity.host, activity.home] {
            best[s.0 as usize] =
                best[s.0 as usize].min(class_of(cluster, activity.set.map(|s| s.0 as usize)));
        }
    }
    let mut off: Vec<usize> = (0..cluster.nodes.len())
        .filter(|s| {
            let server = &cluster.snapshot.servers[*s];
            let mains = server.mains == crate::model::Mains::Present;
            // One that nobody told to switch off may be off for another reason; it is started if it has work to do. The
            // scope does not matter: a later, smaller interruption must not leave off what an earlier one switched off.
            let ours = server.powered == crate::model::Powered::OffCommanded || best[*s] != usize::MAX;
            server.powered.is_off() && server.armed && server.starter.is_some() && mains && ours
        })
        .collect();
    off.sort_by_key(|s| (best[*s], *s));
    rounds(cluster, &off, |s| *s)
        .into_iter()
        .map(|round| {
            round
                .into_iter()
                .map(|s| start_step(cluster, s, best[s]))
                .collect()
        })
        .collect()
}

/// A server is started for a class.
pub(super) fn start_step(cluster: &Cluster<'_>, s: usize, class: usize) -> Step {
    Step {
        kind: StepKind::Host {
            server: cluster.server_name(s).clone(),
            state: HostState::On,
        },
        reason: words::start(cluster, s, class),
    }
}

/// An activity is started again.
pub(super) fn restart_step(cluster: &Cluster<'_>, s: usize, a: usize) -> Step {
    let activity = &cluster.snapshot.activities[a];
    Step {
        kind: StepKind::Activity {
            activity: activity.name.clone(),
            server: cluster.server_name(s).clone(),
            verb: Verb::Start,
            peer: None,
            milliwatts: activity.draw_milliwatts,
        },
        reason: format!(
            "it was shed in this interruption; {} has power again",
            cluster.server_name(s)
        ),
    }
}

pub(super) fn class_of(cluster: &Cluster<'_>, set: Option<usize>) -> usize {
    set.map(|set| cluster.snapshot.sets[set].priority)
        .and_then(|priority| cluster.classes.iter().position(|c| c.priority == priority))
        .unwrap_or(usize::MAX)
}

/// Cuts a list into rounds in which each mains domain appears once.
pub(super) fn rounds<T: Copy>(
    cluster: &Cluster<'_>,
    list: &[T],
    server: impl Fn(&T) -> usize,
) -> Vec<Vec<T>> {
    let mut rounds: Vec<Vec<T>> = Vec::new();
    // Round from which each domain is free; servers without an inlet share a nameless one.
    let mut next = vec![0_usize; cluster.snapshot.domains.len() + 1];
    for item in list {
        let inlets = &cluster.snapshot.servers[server(item)].inlets;
        let domains: Vec<usize> = if inlets.is_empty() {
            vec![cluster.snapshot.domains.len()]
        } else {
            inlets.iter().map(|i| i.domain.0 as usize).collect()
        };
        let at = domains.iter().map(|d| next[*d]).max().unwrap_or(0);
        for d in domains {
            next[d] = at + 1;
        }
        if rounds.len() <= at {
            rounds.resize_with(at + 1, Vec::new);
        }
        rounds[at].push(*item);
    }
    rounds
}

/// What was shed of a class, a placement a domain at a time.
fn restart_class(cluster: &Cluster<'_>, k: usize) -> Vec<Vec<Step>> {
    let mut units: std::collections::BTreeMap<(usize, usize), Vec<usize>> = std::collections::BTreeMap::new();
    for (a, activity) in cluster.snapshot.activities.iter().enumerate() {
        let waits = activity.shed && activity.state == ActivityState::Stopped && activity.is_touchable();
        if !waits || class_of(cluster, activity.set.map(|s| s.0 as usize)) != k {
            continue;
        }
        if let Some(s) = restart_server(cluster, a) {
            units
                .entry((s, activity.set.map_or(0, |s| s.0 as usize)))
                .or_default()
                .push(a);
        }
    }
    let list: Vec<(usize, usize)> = units.keys().copied().collect();
    rounds(cluster, &list, |(s, _)| *s)
        .into_iter()
        .map(|round| {
            round
                .into_iter()
                .flat_map(|key| {
                    let members = units.get(&key).cloned().unwrap_or_default();
                    members.into_iter().map(move |a| (key.0, a))
                })
                .map(|(s, a)| restart_step(cluster, s, a))
                .collect()
        })
        .collect()
}

/// Where a shed activity comes back: where it ran last, if that has power or will have it; else at home, else at any
/// server that can start it.
fn restart_server(cluster: &Cluster<'_>, a: usize) -> Option<usize> {
    let activity = &cluster.snapshot.activities[a];
    let able = |s: usize| {
        let server = &cluster.snapshot.servers[s];
        let mains = server.mains == crate::model::Mains::Present;
        let startable = activity.startable_on.iter().any(|x| x.0 as usize == s);
        let up = server.powered == crate::model::Powered::On
            || (server.powered.is_off() && server.starter.is_some());
        startable && server.armed && mains && up
    };
    let there = [activity.host, activity.home].into_iter().map(|s| s.0 as usize);
    there
        .chain(activity.startable_on.iter().map(|s| s.0 as usize))
        .find(|s| able(*s))
}

/// Charge at which class `k` and those above could be carried again; none where that asks for nothing.
fn gate(cluster: &Cluster<'_>, k: usize) -> Option<Trigger> {
    let mut need = 0.0;
    let mut servers: std::collections::BTreeSet<usize> = std::collections::BTreeSet::new();
    for activity in &cluster.snapshot.activities {
        let class = class_of(cluster, activity.set.map(|s| s.0 as usize));
        if class > k || !(activity.draws() || activity.shed) {
            continue;
        }
        let target = cluster.classes.get(class).map_or(0.0, |c| c.target);
        let draw = activity.draw_milliwatts as f64;
        need += draw * target.min(CARRY_SECONDS);
        need += (activity.stop_millijoules as f64).max(draw * seconds(activity.stop_millis));
        servers.insert(activity.host.0 as usize);
    }
    let longest = cluster.classes[..=k]
        .iter()
        .map(|c| c.target.min(CARRY_SECONDS))
        .fold(0.0, f64::max);
    for s in &servers {
        let node = &cluster.nodes[*s];
        need += node.idle * longest + node.halt_energy;
    }
    need *= f64::from(cluster.policy.hold_back_permille) / 1_000.0;
    let (mut names, mut floor, mut full): (Vec<Name>, u64, u64) = (Vec::new(), 0, 0);
    let mut store_need = 0.0_f64;
    let usable: Vec<usize> = (0..cluster.stores.len())
        .filter(|r| {
            let reserve = &cluster.snapshot.reserves[*r];
            let state = !matches!(
                reserve.state,
                crate::model::ReserveState::Fault | crate::model::ReserveState::Unknown
            );
            state && reserve.armed && reserve.capacity_millijoules > reserve.cutoff_millijoules
        })
        .collect();
    for r in &usable {
        let reserve = &cluster.snapshot.reserves[*r];
        names.push(reserve.name.clone());
        floor = floor.saturating_add(reserve.cutoff_millijoules);
        full = full.saturating_add(reserve.capacity_millijoules);
        store_need = store_need.max(cluster.stores[*r].input_per_output);
    }
    if names.is_empty() || need <= 0.0 {
        return None;
    }
    // A gate above what the reserves can hold would never open: nine tenths of full is as good as it gets.
    let most = full / 10 * 9;
    let millijoules = floor.saturating_add(whole((need * store_need).ceil())).min(most);
    Some(Trigger::ChargeAbove {
        reserves: names,
        millijoules,
    })
}

/// Placements that were shifted and whose home is up: taken in at home, then let go where they are.
fn moves_home(cluster: &Cluster<'_>) -> (Vec<Step>, Vec<Step>) {
    let (mut taken_in, mut moved_out) = (Vec::new(), Vec::new());
    let mut room: Vec<(f64, f64)> = cluster
        .nodes
        .iter()
        .map(|n| (n.free_cpu, n.free_memory))
        .collect();
    // What is still to be restarted comes before what goes home.
    for activity in cluster.snapshot.activities.iter().filter(|a| a.shed) {
        let at = &mut room[activity.host.0 as usize];
        *at = (
            at.0 - activity.cpu_millicores as f64,
            at.1 - activity.memory_mebibytes as f64,
        );
    }
    for placement in &cluster.placements {
        let Some(home) = placement
            .activities
            .iter()
            .map(|a| cluster.snapshot.activities[*a].home.0 as usize)
            .reduce(|a, b| if a == b { a } else { usize::MAX })
            .filter(|h| *h != usize::MAX && *h != placement.server)
        else {
            continue;
        };
        let server = &cluster.snapshot.servers[home];
        let will_be_up = server.powered == crate::model::Powered::On
            || (server.powered.is_off() && server.starter.is_some());
        let mains = server.mains == crate::model::Mains::Present;
        let startable = placement.activities.iter().all(|a| {
            let activity = &cluster.snapshot.activities[*a];
            activity.movable && activity.startable_on.iter().any(|s| s.0 as usize == home)
        });
        let fits = placement.cpu <= room[home].0 && placement.memory <= room[home].1;
        if !(server.armed && mains && will_be_up && startable && fits) {
            continue;
        }
        room[home] = (room[home].0 - placement.cpu, room[home].1 - placement.memory);
        for a in &placement.activities {
            let activity = &cluster.snapshot.activities[*a];
            let step = |server: usize, peer: usize, verb: Verb, reason: String| Step {
                kind: StepKind::Activity {
                    activity: activity.name.clone(),
                    server: cluster.server_name(server).clone(),
                    verb,
                    peer: Some(cluster.server_name(peer).clone()),
                    milliwatts: if verb == Verb::TakeIn {
                        activity.draw_milliwatts
                    } else {
                        0
                    },
                },
                reason,
            };
            taken_in.push(step(
                home,
                placement.server,
                Verb::TakeIn,
                "it ran here before the interruption".to_owned(),
            ));
            moved_out.push(step(
                placement.server,
                home,
                Verb::MoveOut,
                "its copy at home runs".to_owned(),
            ));
        }
    }
    (taken_in, moved_out)
}
