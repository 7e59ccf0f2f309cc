//! Restarts while the interruption goes on elsewhere: what was shed comes back on servers that have mains (again), in order
//! of class, and servers that are off are woken for it. Those whose mains stays away keep nobody else from that.
//!
//! The stages stand behind the first stops and moves. One stage waits for the other, so they are written only where nothing
//! on batteries comes to its end meanwhile, and nothing in them waits for a charge: a class whose servers' reserves do not
//! hold enough yet, and all classes below it, are left to a later plan.

use super::prepare::{Cluster, Supply, seconds};
use super::restoration::{CARRY_SECONDS, class_of, restart_step, rounds, start_step};
use super::script::Script;
use super::words;
use crate::model::{ActivityState, Cause, Mains, Phase, Powered};
use crate::plan::Trigger;

/// A shed activity and the server that it comes back on.
#[derive(Debug, Clone, Copy)]
struct Restart {
    activity: usize,
    class: usize,
    server: usize,
}

/// Whether something that was shed could run where mains is.
pub(super) fn is_anything_owed(cluster: &Cluster<'_>) -> bool {
    let in_force = cluster
        .snapshot
        .outage
        .as_ref()
        .is_some_and(|o| o.phase == Phase::Interrupted && o.cause != Cause::Drill);
    in_force && owed(cluster).any(|a| candidates(cluster, a).next().is_some())
}

/// Activities that wait for a start.
fn owed<'a>(cluster: &'a Cluster<'_>) -> impl Iterator<Item = usize> + 'a {
    let all = cluster.snapshot.activities.iter().enumerate();
    all.filter(|(_, a)| {
        let gone = a.state == ActivityState::Stopped && a.copies.is_empty();
        a.shed && gone && a.is_touchable()
    })
    .map(|(a, _)| a)
}

/// Servers with mains that could start an activity: where it ran last, at home, anywhere else.
fn candidates<'a>(cluster: &'a Cluster<'_>, a: usize) -> impl Iterator<Item = usize> + 'a {
    let activity = &cluster.snapshot.activities[a];
    let there = [activity.host, activity.home];
    let all = there.into_iter().chain(activity.startable_on.iter().copied());
    all.map(|s| s.0 as usize).filter(move |s| {
        let server = &cluster.snapshot.servers[*s];
        let up = server.powered == Powered::On && cluster.nodes[*s].supply == Supply::Mains;
        let can_be_woken = server.powered.is_off() && server.starter.is_some();
        let startable = activity.startable_on.iter().any(|x| x.0 as usize == *s);
        startable && server.armed && server.mains == Mains::Present && (up || can_be_woken)
    })
}

/// What a server that is off and has mains needs of its reserves to get back what was shed on it: its loads for a while, and
/// a clean end. That is not lent.
pub(super) fn kept_for_restarts(cluster: &Cluster<'_>, s: usize) -> f64 {
    let server = &cluster.snapshot.servers[s];
    let can_be_woken = server.powered.is_off() && server.starter.is_some() && server.armed;
    if !can_be_woken || server.mains != Mains::Present {
        return 0.0;
    }
    let (mut draw, mut stops, mut longest, mut carry) = (0.0, 0.0, 0.0_f64, 0.0_f64);
    for a in owed(cluster) {
        let activity = &cluster.snapshot.activities[a];
        if candidates(cluster, a).next() != Some(s) {
            continue;
        }
        let stop = seconds(activity.stop_millis);
        draw += activity.draw_milliwatts as f64;
        stops += (activity.stop_millijoules as f64).max(activity.draw_milliwatts as f64 * stop);
        longest = longest.max(stop);
        carry = carry.max(carry_seconds(cluster, a));
    }
    if draw <= 0.0 {
        return 0.0;
    }
    let node = &cluster.nodes[s];
    (node.idle + draw) * carry + stops + node.idle * longest + node.halt_energy
}

/// How long reserves are to carry an activity again before it comes back.
fn carry_seconds(cluster: &Cluster<'_>, a: usize) -> f64 {
    let set = cluster.snapshot.activities[a].set.map(|s| s.0 as usize);
    let class = cluster.classes.get(class_of(cluster, set));
    class.map_or(0.0, |c| c.target.min(CARRY_SECONDS))
}

/// What is left, or comes together, on a server.
#[derive(Debug, Clone, Copy)]
struct Taken {
    cpu: f64,
    memory: f64,
    watts: f64,
    draw: f64,
    /// Energy and longest time of the stops.
    stops: (f64, f64),
    /// The longest time for which something on it is to be carried.
    carry: f64,
}

struct Choosing<'a, 'c> {
    cluster: &'a Cluster<'c>,
    taken: Vec<Taken>,
    /// Output energy that each reserve has promised over lines.
    promised: Vec<f64>,
}

impl<'a, 'c> Choosing<'a, 'c> {
    fn new(script: &Script<'a, 'c>) -> Self {
        let cluster = script.cluster;
        let mut taken: Vec<Taken> = cluster
            .nodes
            .iter()
            .map(|n| {
                let stopping: f64 = n.stopping.iter().map(|e| e.draw).sum();
                (n, n.base.max(n.idle) + n.arrived + stopping)
            })
            .map(|(n, draw)| Taken {
                cpu: n.free_cpu,
                memory: n.free_memory,
                watts: n.mains_watts.min(n.most()) - draw,
                draw,
                stops: n.fixed_end,
                carry: 0.0,
            })
            .collect();
        // Everything that runs there is to be carried, whether a plan may touch it or not.
        for (a, activity) in cluster.snapshot.activities.iter().enumerate() {
            let host = activity.draws().then_some(&activity.host);
            for s in host.into_iter().chain(&activity.copies) {
                let at = &mut taken[s.0 as usize];
                at.carry = at.carry.max(carry_seconds(cluster, a));
            }
        }
        for (p, placement) in cluster.placements.iter().enumerate() {
            // What is on its way somewhere counts there and here.
            let to = script.decision.target[p].filter(|s| *s != placement.server);
            for s in to.into_iter().chain([placement.server]) {
                let at = &mut taken[s];
                if s != placement.server {
                    at.cpu -= placement.cpu;
                    at.memory -= placement.memory;
                }
                at.watts -= placement.draw;
                at.draw += placement.draw;
                at.stops.0 += placement.stop_energy;
                at.stops.1 = at.stops.1.max(placement.stop_seconds);
                at.carry = at
                    .carry
                    .max(cluster.classes[placement.class].target.min(CARRY_SECONDS));
            }
        }
        let mut promised = vec![0.0; cluster.stores.len()];
        for loan in &script.loans {
            promised[loan.store] += loan.energy;
        }
        Self {
            cluster,
            taken,
            promised,
        }
    }

    fn fits(&self, a: usize, s: usize) -> bool {
        let (activity, taken) = (&self.cluster.snapshot.activities[a], &self.taken[s]);
        activity.cpu_millicores as f64 <= taken.cpu
            && activity.memory_mebibytes as f64 <= taken.memory
            && activity.draw_milliwatts as f64 <= taken.watts
    }

    fn take(&mut self, a: usize, class: usize, s: usize) {
        let activity = &self.cluster.snapshot.activities[a];
        let draw = activity.draw_milliwatts as f64;
        let stop = seconds(activity.stop_millis);
        let taken = &mut self.taken[s];
        taken.cpu -= activity.cpu_millicores as f64;
        taken.memory -= activity.memory_mebibytes as f64;
        taken.watts -= draw;
        taken.draw += draw;
        taken.stops.0 += (activity.stop_millijoules as f64).max(draw * stop);
        taken.stops.1 = taken.stops.1.max(stop);
        taken.carry = taken
            .carry
            .max(self.cluster.classes[class].target.min(CARRY_SECONDS));
    }

    /// Whether a server's own reserves could carry all of it through another interruption: for its targets, but not
    /// longer than that takes in a restoration, and to a clean end.
    fn is_covered(&self, s: usize) -> bool {
        let (node, taken) = (&self.cluster.nodes[s], &self.taken[s]);
        if node.stores.is_empty() {
            return true;
        }
        let need = taken.draw * taken.carry + taken.stops.0 + node.idle * taken.stops.1 + node.halt_energy;
        let reserves = || node.stores.iter().map(|r| &self.cluster.snapshot.reserves[*r]);
        let sum = |f: &dyn Fn(&crate::model::Reserve) -> u64| reserves().map(|r| f(r) as f64).sum::<f64>();
        let dearest = node
            .stores
            .iter()
            .map(|r| self.cluster.stores[*r].input_per_output);
        let wanted = need * dearest.fold(1.0, f64::max) + sum(&|r| r.cutoff_millijoules);
        let promised = |r: &usize| self.promised[*r] * self.cluster.stores[*r].input_per_output;
        let promised: f64 = node.stores.iter().map(promised).sum();
        sum(&|r| r.charge_millijoules) - promised >= wanted.min(sum(&|r| r.capacity_millijoules))
    }

    /// What comes back now, in order of class. The first class of which something has room and cannot come yet is the
    /// last one. `wakes`: servers that are off may be woken.
    fn choose(&mut self, wakes: bool) -> (Vec<Restart>, Vec<usize>) {
        let cluster = self.cluster;
        let mut waiting: Vec<(usize, usize)> = owed(cluster)
            .map(|a| {
                (
                    class_of(cluster, cluster.snapshot.activities[a].set.map(|s| s.0 as usize)),
                    a,
                )
            })
            .filter(|(class, _)| *class < cluster.classes.len())
            .collect();
        waiting.sort_unstable();
        let (mut chosen, mut no_room) = (Vec::new(), Vec::new());
        let mut last = usize::MAX;
        for (class, a) in waiting {
            if class > last {
                break;
            }
            let able: Vec<usize> = candidates(cluster, a).collect();
            let fitting: Vec<usize> = able.iter().copied().filter(|s| self.fits(a, *s)).collect();
            let found = fitting.iter().copied().find(|s| {
                let before = self.taken[*s];
                self.take(a, class, *s);
                let covered = self.is_covered(*s);
                self.taken[*s] = before;
                covered && (wakes || !cluster.snapshot.servers[*s].powered.is_off())
            });
            match found {
                Some(server) => {
                    self.take(a, class, server);
                    chosen.push(Restart {
                        activity: a,
                        class,
                        server,
                    });
                }
                // Its turn comes when its reserve is charged, or its server can be woken.
                None if !fitting.is_empty() => last = class,
                None if !able.is_empty() => no_room.push(a),
                None => {}
            }
        }
        (chosen, no_room)
    }
}

impl Script<'_, '_> {
    pub(super) fn restart_on_mains(&mut self) {
        let cluster = self.cluster;
        if cluster.is_drill() || !is_anything_owed(cluster) {
            return;
        }
        let stagger = seconds(cluster.policy.restart_stagger_millis);
        let later = Trigger::Delay {
            millis: cluster.policy.restart_stagger_millis,
        };
        let (mut chosen, mut no_room) = Choosing::new(self).choose(true);
        let mut off: Vec<usize> = chosen.iter().map(|r| r.server).collect();
        off.sort_unstable();
        off.dedup();
        off.retain(|s| cluster.snapshot.servers[*s].powered.is_off());
        let boot = off
            .iter()
            .map(|s| seconds(cluster.snapshot.servers[*s].boot_millis));
        let to_wake = rounds(cluster, &off, |s| *s);
        let boot = boot.fold(0.0, f64::max) + to_wake.len() as f64 * stagger;
        if !off.is_empty() && self.quiet_seconds() < boot + stagger {
            (chosen, no_room) = Choosing::new(self).choose(false);
            off.clear();
        }
        let mut begun = false;
        let trigger = |begun: bool| {
            if begun {
                later.clone()
            } else {
                Trigger::AfterResults
            }
        };
        if !off.is_empty() {
            for s in &off {
                self.woken[*s] = true;
            }
            self.divert_more("servers that start need their own reserves");
            for round in to_wake {
                let class = |s: usize| {
                    let here = chosen.iter().filter(|r| r.server == s).map(|r| r.class);
                    here.min().unwrap_or(usize::MAX)
                };
                let steps = round.iter().map(|s| start_step(cluster, *s, class(*s))).collect();
                self.push(trigger(begun), steps, words::wake(cluster));
                begun = true;
            }
            self.run_for(boot);
        }
        let mut at = 0;
        while at < chosen.len() {
            let class = chosen[at].class;
            let end = at + chosen[at..].partition_point(|r| r.class == class);
            let list: Vec<(usize, usize)> = chosen[at..end].iter().map(|r| (r.server, r.activity)).collect();
            at = end;
            for round in restart_rounds(cluster, &list) {
                let starts = round.iter().map(|(_, a)| &cluster.snapshot.activities[*a]);
                let longest = starts.map(|a| seconds(a.move_millis)).fold(0.0, f64::max) + stagger;
                if self.quiet_seconds() < longest + stagger {
                    self.no_room = no_room;
                    return;
                }
                let steps = round.iter().map(|(s, a)| restart_step(cluster, *s, *a)).collect();
                let reason = format!(
                    "class {} comes back where mains is, while others wait for theirs",
                    cluster.classes[class].priority
                );
                self.push(trigger(begun), steps, reason);
                begun = true;
                self.run_for(longest);
            }
        }
        self.no_room = no_room;
    }
}

/// What of a class begins at once: the work of one set and server together, one of them in each domain.
fn restart_rounds(cluster: &Cluster<'_>, list: &[(usize, usize)]) -> Vec<Vec<(usize, usize)>> {
    let mut units: std::collections::BTreeMap<(usize, usize), Vec<usize>> = std::collections::BTreeMap::new();
    for (s, a) in list {
        let set = cluster.snapshot.activities[*a].set.map_or(0, |s| s.0 as usize);
        units.entry((*s, set)).or_default().push(*a);
    }
    let keys: Vec<(usize, usize)> = units.keys().copied().collect();
    let in_rounds = rounds(cluster, &keys, |(s, _)| *s).into_iter();
    in_rounds
        .map(|round| {
            let each = round
                .iter()
                .flat_map(|key| units[key].iter().map(|a| (key.0, *a)));
            each.collect()
        })
        .collect()
}

/// Why something that was shed is not started where mains is.
pub(super) fn no_room_words(cluster: &Cluster<'_>, a: usize) -> String {
    let last = cluster.server_name(cluster.snapshot.activities[a].host.0 as usize);
    format!("it was stopped on {last}, and no server with mains that can start it has room for it")
}
