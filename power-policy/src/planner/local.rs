//! What a PEP does by itself while it is cut off: stop its own activities in order of class, then halt its own host.
//!
//! Every line stays as it is, so what is joined may go on draining the own reserve: the thresholds count that. A
//! server whose reserve its own PEP keeps is told charges; any other is told times.

use std::collections::BTreeMap;

use super::care::Care;
use super::decide::SETTLE_SECONDS;
use super::forward::Forward;
use super::prepare::{Cluster, Feed, Supply, whole};
use super::words;
use crate::model::{ActivityState, Name, Powered};
use crate::plan::{FIRST_LOCAL_STAGE, HostState, Stage, Step, StepKind, Trigger, Verb};

/// Share of the own reserve above the clean end at which the lowest class stops; higher ones follow in even steps.
const FIRST_STOP_SHARE: f64 = 0.5;

/// One PEP's own server, with what may run on it.
struct Own {
    server: usize,
    /// Activities by class, lowest class first.
    by_class: Vec<(usize, Vec<usize>)>,
}

/// The local stages of all PEPs, by PEP and then in order.
pub(super) fn local_stages(cluster: &Cluster<'_>, central: &[Stage], care: &Care) -> Vec<Stage> {
    // A PEP that is cut off in a drill would do them in earnest; it goes by the plan of quiet days.
    if cluster.is_drill() {
        return Vec::new();
    }
    let mut servers: Vec<usize> = (0..cluster.nodes.len())
        .filter(|s| cluster.nodes[*s].touchable && cluster.nodes[*s].supply != Supply::Dark)
        .filter(|s| cluster.snapshot.servers[*s].pep.is_some())
        .collect();
    servers.sort_by(|a, b| {
        let pep = |s: &usize| cluster.snapshot.servers[*s].pep.clone();
        pep(a).cmp(&pep(b)).then(a.cmp(b))
    });
    let taken_in = arrivals(cluster, central);
    let unfed = elapsed_limits(cluster, central);
    let lent = lent_watts(cluster, central);
    let mut stages = Vec::new();
    let mut order = FIRST_LOCAL_STAGE;
    for s in servers {
        let own = own(cluster, s, &taken_in);
        for mut stage in of_server(cluster, &own, &lent, unfed[s], care) {
            stage.order = order;
            order = order.saturating_add(1);
            stages.push(stage);
        }
    }
    stages
}

/// Activities that may run on a server beside its placements, by server: what the plan takes in, what has begun to move
/// there, and what has begun to stop.
fn arrivals(cluster: &Cluster<'_>, central: &[Stage]) -> Vec<Vec<usize>> {
    let mut arrivals = vec![Vec::new(); cluster.nodes.len()];
    for step in central.iter().flat_map(|s| &s.steps) {
        if let StepKind::Activity {
            activity,
            server,
            verb: Verb::TakeIn | Verb::Start,
            ..
        } = &step.kind
        {
            let index = cluster
                .snapshot
                .activities
                .binary_search_by(|a| a.name.cmp(activity));
            if let (Ok(a), Some(s)) = (index, cluster.snapshot.server_id(server)) {
                arrivals[s.0 as usize].push(a);
            }
        }
    }
    for (a, activity) in cluster
        .snapshot
        .activities
        .iter()
        .enumerate()
        .filter(|(_, a)| a.is_touchable())
    {
        for s in &activity.copies {
            arrivals[s.0 as usize].push(a);
        }
        if activity.state == ActivityState::Stopping {
            arrivals[activity.host.0 as usize].push(a);
        }
    }
    arrivals
}

fn own(cluster: &Cluster<'_>, s: usize, arrivals: &[Vec<usize>]) -> Own {
    let mut by_class: Vec<(usize, Vec<usize>)> = Vec::new();
    let mut enter = |class: usize, a: usize| match by_class.iter_mut().find(|(k, _)| *k == class) {
        Some((_, list)) if list.contains(&a) => {}
        Some((_, list)) => list.push(a),
        None => by_class.push((class, vec![a])),
    };
    for p in &cluster.nodes[s].placements {
        let placement = &cluster.placements[*p];
        for a in &placement.activities {
            enter(placement.class, *a);
        }
    }
    for a in &arrivals[s] {
        let activity = &cluster.snapshot.activities[*a];
        let priority = activity
            .set
            .map(|set| cluster.snapshot.sets[set.0 as usize].priority);
        if let Some(class) = cluster.classes.iter().position(|c| Some(c.priority) == priority) {
            enter(class, *a);
        }
    }
    // What has begun a move here runs here too.
    by_class.sort_by_key(|(class, _)| std::cmp::Reverse(*class));
    for (_, list) in &mut by_class {
        list.sort_unstable();
    }
    Own { server: s, by_class }
}

/// The reserve that tells a server's PEP how far things are: its own supply, and no other.
fn gauge(cluster: &Cluster<'_>, s: usize) -> Option<usize> {
    let pep = cluster.snapshot.servers[s].pep.as_ref()?;
    match cluster.nodes[s].stores.as_slice() {
        [one] => {
            let reserve = &cluster.snapshot.reserves[*one];
            let own = reserve.pep.as_ref() == Some(pep) && reserve.drawable_millijoules() > 0;
            own.then_some(*one)
        }
        _ => None,
    }
}

/// Largest power that lines draw from each reserve at any point of the plan.
fn lent_watts(cluster: &Cluster<'_>, central: &[Stage]) -> Vec<f64> {
    // What is lent of each reserve: line, server and milliwatts.
    let mut now: Vec<Vec<(&Name, &Name, u64)>> = vec![Vec::new(); cluster.stores.len()];
    for f in &cluster.joined {
        let (line, server) = (cluster.link_name(f.link), cluster.server_name(f.server));
        now[f.store].push((line, server, whole(f.watts)));
    }
    let sum = |list: &[(&Name, &Name, u64)]| list.iter().map(|x| x.2 as f64).sum::<f64>();
    let mut most: Vec<f64> = now.iter().map(|list| sum(list)).collect();
    for step in central.iter().flat_map(|s| &s.steps) {
        if let StepKind::Divert {
            line,
            reserve,
            server,
            milliwatts,
        } = &step.kind
            && let Ok(r) = cluster
                .snapshot
                .reserves
                .binary_search_by(|r| r.name.cmp(reserve))
        {
            now[r].retain(|(l, s, _)| !(*l == line && *s == server));
            now[r].push((line, server, *milliwatts));
            most[r] = most[r].max(sum(&now[r]));
        }
    }
    most
}

/// A server whose PEP cannot see its reserve goes by the clock: when what can reach it, with every line as it is after
/// the stages that need no waiting, is used up. Seconds from now.
fn elapsed_limits(cluster: &Cluster<'_>, central: &[Stage]) -> Vec<f64> {
    let mut forward = Forward::new(cluster);
    if let Some(first) = central.first().filter(|s| s.order == 0) {
        let mut feeds = Joined::new(&forward.feeds);
        for step in &first.steps {
            feeds.apply(cluster, &step.kind);
        }
        forward.set_feeds(feeds.all());
    }
    let mut limits = full_draw_limits(cluster, &forward);
    // The PDP may be lost after that, or as the plan first waits; nothing is stopped by then, at the worst.
    let mut waiting = forward.clone();
    let mut feeds = Joined::new(&waiting.feeds);
    let at_once = central
        .iter()
        .filter(|s| s.order > 0)
        .take_while(|s| s.trigger == Trigger::AfterResults);
    for step in at_once.flat_map(|s| &s.steps) {
        feeds.apply(cluster, &step.kind);
    }
    waiting.set_feeds(feeds.all());
    for mut run in [forward, waiting] {
        run.run_for(super::durations::FOREVER);
        for (s, at) in &run.lost {
            limits[*s] = limits[*s].min(*at);
        }
    }
    limits
}

/// As if each reserve had to carry all it could ever be asked for. Seconds from now.
fn full_draw_limits(cluster: &Cluster<'_>, forward: &Forward<'_, '_>) -> Vec<f64> {
    let mut of_store: Vec<Vec<&Feed>> = vec![Vec::new(); cluster.stores.len()];
    let mut of_server: Vec<Vec<&Feed>> = vec![Vec::new(); cluster.nodes.len()];
    for feed in &forward.feeds {
        of_store[feed.store].push(feed);
        of_server[feed.server].push(feed);
    }
    // How long a reserve lasts with all that is lent of it, but to one server.
    let lasts = |r: usize, but: Option<usize>| {
        let store = &cluster.stores[r];
        let homes: f64 = store.homes.iter().map(|h| forward.load[*h]).sum();
        let lent = of_store[r].iter().filter(|f| Some(f.server) != but);
        let lent: f64 = lent.map(|f| f.watts).sum();
        store.energy / store.drain(homes + lent).max(1.0)
    };
    let mut limits = vec![f64::INFINITY; cluster.nodes.len()];
    for (s, limit) in limits.iter_mut().enumerate() {
        if forward.load[s] <= 0.0 {
            continue;
        }
        // Whoever else hangs on the same reserve draws as well, and what it lends is gone.
        let own = cluster.nodes[s].stores.iter().map(|r| lasts(*r, Some(s)));
        let lines = of_server[s].iter().map(|f| lasts(f.store, None));
        *limit = own.fold(0.0, f64::max).max(lines.fold(0.0, f64::max));
    }
    limits
}

/// What is joined, by server, line and reserve.
struct Joined(BTreeMap<(usize, usize, usize), f64>);

impl Joined {
    fn new(feeds: &[Feed]) -> Self {
        let all = feeds.iter().map(|f| ((f.server, f.link, f.store), f.watts));
        Self(all.collect())
    }

    /// What a step makes of it.
    fn apply(&mut self, cluster: &Cluster<'_>, kind: &StepKind) {
        let StepKind::Divert {
            line,
            reserve,
            server,
            milliwatts,
        } = kind
        else {
            return;
        };
        let snapshot = cluster.snapshot;
        let link = snapshot.lines.binary_search_by(|l| l.name.cmp(line));
        let store = snapshot.reserves.binary_search_by(|r| r.name.cmp(reserve));
        if let (Ok(link), Ok(store), Some(server)) = (link, store, snapshot.server_id(server)) {
            let key = (server.0 as usize, link, store);
            if *milliwatts > 0 {
                self.0.insert(key, *milliwatts as f64);
            } else {
                self.0.remove(&key);
            }
        }
    }

    fn all(self) -> Vec<Feed> {
        let feeds = self.0.into_iter();
        feeds
            .map(|((server, link, store), watts)| Feed {
                link,
                store,
                server,
                watts,
            })
            .collect()
    }
}

fn of_server(cluster: &Cluster<'_>, own: &Own, lent: &[f64], life: f64, care: &Care) -> Vec<Stage> {
    let s = own.server;
    let node = &cluster.nodes[s];
    let server = &cluster.snapshot.servers[s];
    if server.powered != Powered::On {
        return Vec::new();
    }
    let gauge = gauge(cluster, s);
    let lent = gauge.map_or(0.0, |r| lent[r]);
    // Energy at the output that a clean end of classes `from..` takes, one after the other, while the lines go on
    // drawing.
    let margin = super::hold_back::margin_seconds(cluster);
    let energy_of = |from: usize| {
        let mut energy = node.halt_energy + lent * node.halt_seconds + (node.base + lent) * margin;
        let mut load = node.base + lent;
        for (_, list) in own.by_class[from..].iter().rev() {
            let (mut longest, mut extra) = (0.0_f64, 0.0_f64);
            for a in list {
                let activity = &cluster.snapshot.activities[*a];
                let seconds = super::prepare::seconds(activity.stop_millis);
                load += activity.draw_milliwatts as f64;
                longest = longest.max(seconds);
                extra +=
                    (activity.stop_millijoules as f64 - activity.draw_milliwatts as f64 * seconds).max(0.0);
            }
            energy += load * (longest + SETTLE_SECONDS) + extra;
        }
        energy * f64::from(cluster.policy.hold_back_permille) / 1_000.0 + (load - node.base - lent) * margin
    };
    let count = own.by_class.len();
    // Above its reference power a reserve gives less than it holds.
    let load = cluster.draw_now(s) + lent;
    let dearer = gauge
        .map_or(1.0, |r| cluster.stores[r].drain(load).max(1.0) / load.max(1.0))
        .max(1.0);
    let need = |from: usize| energy_of(from) * dearer * care.local_margin(s);
    let energy = gauge.map_or_else(|| life * cluster.draw_now(s), |r| cluster.stores[r].energy);
    // Where there is not enough to stop one class after the other, all stop together.
    let together = energy < need(0) || care.is_hasty(s);
    let trigger = |at: usize| match gauge {
        _ if care.is_hasty(s) => Trigger::Elapsed {
            millis: clock(cluster, 0.0),
        },
        Some(r) if together => charge_below(cluster, r, need(0)),
        // Lowest class first, in even steps down to the clean end of all that is then left.
        Some(r) => {
            let share = FIRST_STOP_SHARE * (count.saturating_sub(at + 1)) as f64 / count.max(1) as f64;
            charge_below(cluster, r, need(at) + (energy - need(0)) * share)
        }
        None => {
            let limit = (life - need(0) / cluster.draw_now(s).max(1.0)).max(0.0);
            let share = if together {
                0.0
            } else {
                (at + 1) as f64 / count.max(1) as f64
            };
            Trigger::Elapsed {
                millis: clock(cluster, limit * share),
            }
        }
    };
    let mut stages: Vec<Stage> = Vec::new();
    for (at, (class, list)) in own.by_class.iter().enumerate() {
        let steps: Vec<Step> = list
            .iter()
            .map(|a| &cluster.snapshot.activities[*a])
            .map(|a| Step {
                kind: StepKind::Activity {
                    activity: a.name.clone(),
                    server: server.name.clone(),
                    verb: Verb::Stop,
                    peer: None,
                    milliwatts: 0,
                },
                reason: "cut off, and the energy is going down: lower classes first".to_owned(),
            })
            .collect();
        let priority = cluster.classes[*class].priority;
        match stages.last_mut() {
            Some(stage) if together => stage.steps.extend(steps),
            _ => stages.push(stage(
                trigger(at),
                steps,
                format!(
                    "only while no PDP can be reached: class {priority} on {} stops while there is energy for a clean end",
                    server.name
                ),
            )),
        }
    }
    // Lost again and again while cut off, with less than a clean end from the start: it goes down idle, since a halt that
    // breaks off is no better.
    let goes_down_idle = together && care.local_margin(s) > 2.0 && energy < energy_of(0) * dearer;
    if node.fixed <= 0.0 && !goes_down_idle {
        let step = Step {
            kind: StepKind::Host {
                server: server.name.clone(),
                state: HostState::Off,
            },
            reason: format!("a clean halt takes {}", words::energy(node.halt_energy)),
        };
        match stages.last_mut() {
            // The last class ends when no more than a clean end is left, and the halt is part of that.
            Some(stage) => stage.steps.push(step),
            None => stages.push(stage(
                trigger(0),
                vec![step],
                format!(
                    "only while no PDP can be reached: {} halts before its energy ends",
                    server.name
                ),
            )),
        }
    }
    stages.retain(|s| !s.steps.is_empty());
    stages
}

fn stage(trigger: Trigger, steps: Vec<Step>, reason: String) -> Stage {
    Stage {
        order: 0,
        trigger,
        local: true,
        steps,
        reason,
    }
}

fn charge_below(cluster: &Cluster<'_>, r: usize, energy: f64) -> Trigger {
    let reserve = &cluster.snapshot.reserves[r];
    let above = whole((energy * cluster.stores[r].input_per_output).ceil());
    Trigger::ChargeBelow {
        reserves: vec![reserve.name.clone()],
        millijoules: reserve.cutoff_millijoules.saturating_add(above),
    }
}

/// Time since the interruption began, never before the debounce is over.
fn clock(cluster: &Cluster<'_>, after: f64) -> u64 {
    let at = cluster.elapsed + after.min(super::durations::FOREVER);
    whole(at * 1_000.0).max(cluster.policy.debounce_millis)
}
