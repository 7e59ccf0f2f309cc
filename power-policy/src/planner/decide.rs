//! What lives where, for how long, and on whose energy: placement, durations and flow, brought into agreement.

use super::care::Care;
use super::durations::{FOREVER, Rung, Span, durations};
use super::flow::{Flow, Network, add, ratio};
use super::hold_back::hold_back;
use super::placement::{Wish, place};
use super::prepare::{Cluster, Supply, seconds};
use super::restarts::kept_for_restarts;
use crate::model::{ActivityState, Mode};

/// Part of the reserves' energy that is planned with; the rest covers what the figures do not say.
const POOL_USE: f64 = 0.965;
/// A placement that would live shorter than this is stopped at once: seconds, before anything has been stopped, and
/// later on. The second is lower, so that replanning does not stop what was just kept.
const WORTH_KEEPING_SECONDS: (f64, f64) = (30.0, 15.0);
/// Part of what a target takes by its watts that is paid at least, whatever was learnt.
const LEAST_PART: f64 = 0.5;
/// Rounds of dropping what cannot live and placing the rest again.
const ROUNDS: usize = 12;
/// Time counted for each stage on top of its actions: reports and decisions on their way, seconds.
pub(super) const SETTLE_SECONDS: f64 = 1.0;

/// A part of a reserve that is promised to another server, over a line.
#[derive(Debug, Clone, Copy)]
pub(super) struct Loan {
    pub(super) link: usize,
    pub(super) store: usize,
    pub(super) server: usize,
    /// Energy at the reserve's output.
    pub(super) energy: f64,
}

/// Why a placement is stopped at once.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Shed {
    /// Neither a target nor the leftover pays for it; it could live this long, seconds.
    NotWorth(f64),
    /// Its server cannot be fed any longer than a clean stop takes.
    Critical,
    /// A higher class takes its place.
    Displaced,
}

/// The outcome.
#[derive(Debug, Clone)]
pub(super) struct Decision {
    /// Where each placement lives; `None`: it is stopped.
    pub(super) target: Vec<Option<usize>>,
    pub(super) shed: Vec<Option<Shed>>,
    /// How long, from now.
    pub(super) span: Vec<Span>,
    pub(super) loans: Vec<Loan>,
    pub(super) lambda: Option<f64>,
    /// Servers whose clean stop is not covered, with what they would need and what they have.
    pub(super) short: Vec<(usize, f64, f64)>,
    /// Time that the first stages take, seconds from now.
    pub(super) transient: f64,
    /// Targets of the classes from the start of the interruption, as the mode has them, seconds.
    pub(super) class_target: Vec<f64>,
}

/// Whether this server runs on what reserves give, and the plan has a say in it.
pub(super) fn on_battery(cluster: &Cluster<'_>, s: usize) -> bool {
    cluster.nodes[s].supply == Supply::Battery
}

struct Deciding<'a, 'c> {
    cluster: &'a Cluster<'c>,
    care: &'a Care,
    network: Network,
    /// Output energy to plan with.
    supply: Vec<f64>,
    live: Vec<bool>,
    /// Has been found no better place than its own.
    stays: Vec<bool>,
    shed: Vec<Option<Shed>>,
}

/// Ladders and energies of one placement.
struct Trial {
    target: Vec<Option<usize>>,
    span: Vec<Span>,
    flow: Flow,
    short: Vec<(usize, f64, f64)>,
    lambda: Option<f64>,
    transient: f64,
    /// Targets of the classes from the start of the interruption, as the mode has them.
    class_target: Vec<f64>,
}

pub(super) fn decide(cluster: &Cluster<'_>, planned: &[Option<usize>], care: &Care) -> Decision {
    let mut deciding = Deciding::new(cluster, care);
    let first = !cluster
        .snapshot
        .activities
        .iter()
        .any(|a| a.shed || a.state == ActivityState::Stopping);
    let least = if first {
        WORTH_KEEPING_SECONDS.0
    } else {
        WORTH_KEEPING_SECONDS.1
    };

    // How long things would live if nothing moved tells what a move can win.
    let identity: Vec<Option<usize>> = cluster.placements.iter().map(|p| Some(p.server)).collect();
    let at_home = deciding.try_out(identity);
    let mut life = deciding.life_by_island(&at_home);
    let misses: Vec<bool> = deciding.misses(&at_home);

    let mut trial = at_home;
    for round in 0..ROUNDS {
        let wish = Wish {
            live: &deciding.live,
            life: &life,
            supply: &deciding.supply,
            planned,
            may_displace: &misses,
            stays: &deciding.stays,
            care,
        };
        let target = place(cluster, &wish);
        trial = deciding.try_out(target);
        let dropped = deciding.drop_hopeless(&trial, least, round + 1 == ROUNDS);
        life = deciding.life_by_island(&trial);
        if !dropped {
            break;
        }
    }
    deciding.finish(trial)
}

impl<'a, 'c> Deciding<'a, 'c> {
    fn new(cluster: &'a Cluster<'c>, care: &'a Care) -> Self {
        let mut supply: Vec<f64> = Vec::with_capacity(cluster.stores.len());
        for store in &cluster.stores {
            let load: f64 = store.homes.iter().map(|s| cluster.draw_now(*s)).sum();
            let load = load.min(store.max_watts).max(1.0);
            // Above its reference power a store gives less than it holds.
            let mut energy = store.energy * POOL_USE * load / store.drain(load);
            let r = supply.len();
            for s in &store.homes {
                match cluster.nodes[*s].supply {
                    // A server on mains keeps what it needs if its mains goes too.
                    Supply::Mains => {
                        let keep = cluster.draw_now(*s) * seconds(cluster.policy.protect_millis);
                        energy -= keep + hold_back(cluster, *s, &cluster.nodes[*s].placements);
                    }
                    // Nobody knows what it draws from its reserve.
                    Supply::Unknown => energy = 0.0,
                    Supply::Dark if !cluster.is_drill() => energy -= kept_for_restarts(cluster, *s),
                    Supply::Battery | Supply::Dark => {}
                }
            }
            supply.push(energy.max(0.0) * care.lends(r));
        }
        let placements = cluster.placements.iter().enumerate();
        let shed: Vec<Option<Shed>> = placements
            .map(|(p, placement)| {
                let critical = cluster.nodes[placement.server].doomed || care.is_shed(placement.server);
                let way = care.gives_way(p).then_some(Shed::NotWorth(0.0));
                critical.then_some(Shed::Critical).or(way)
            })
            .collect();
        Self {
            cluster,
            care,
            network: Network::new(cluster, care),
            supply,
            // What stands on a server that nothing can feed is told to stop, if anybody is there to hear it.
            live: shed.iter().map(Option::is_none).collect(),
            stays: vec![false; cluster.placements.len()],
            shed,
        }
    }

    /// Placements that live on each server, highest class first.
    fn residents(&self, target: &[Option<usize>]) -> Vec<Vec<usize>> {
        let mut residents: Vec<Vec<usize>> = vec![Vec::new(); self.cluster.nodes.len()];
        for (p, to) in target.iter().enumerate() {
            if let Some(s) = to {
                residents[*s].push(p);
            }
        }
        for list in &mut residents {
            list.sort_by_key(|p| (self.cluster.placements[*p].class, *p));
        }
        residents
    }

    /// How long the first stages take: debounce, stops and take-ins, move-outs, and the change-overs behind them.
    fn transient_seconds(&self, target: &[Option<usize>]) -> f64 {
        let cluster = self.cluster;
        let (mut stop, mut out, mut moves) = (0.0_f64, 0.0_f64, 0.0_f64);
        for (p, placement) in cluster.placements.iter().enumerate() {
            match target[p] {
                None => stop = stop.max(placement.stop_seconds),
                Some(s) if s != placement.server => {
                    moves = moves.max(placement.move_seconds);
                    out = out.max(placement.stop_seconds);
                }
                Some(_) => {}
            }
        }
        let switch = cluster.links.iter().map(|l| l.switch_seconds).fold(0.0, f64::max);
        cluster.debounce_left + stop.max(moves) + out + switch + 4.0 * SETTLE_SECONDS
    }

    /// What has to be paid before anything else: the clean end of all that lives, and of what is stopped or moved now.
    fn first_needs(&self, target: &[Option<usize>], residents: &[Vec<usize>], transient: f64) -> Vec<f64> {
        let cluster = self.cluster;
        let count = cluster.nodes.len();
        let mut need = vec![0.0; count];
        for s in 0..count {
            let node = &cluster.nodes[s];
            if node.supply != Supply::Battery || node.doomed {
                continue;
            }
            need[s] = hold_back(cluster, s, &residents[s]) * self.care.margin(s);
            let mut stays = 0.0_f64;
            for p in &node.placements {
                let placement = &cluster.placements[*p];
                let until = match target[*p] {
                    None => cluster.debounce_left + SETTLE_SECONDS + placement.stop_seconds,
                    Some(to) if to != s => transient,
                    Some(_) => continue,
                };
                need[s] += placement.draw * (until - placement.stop_seconds)
                    + placement.stop_energy.max(placement.draw * placement.stop_seconds);
                stays = stays.max(until);
            }
            // What arrives draws here while it still draws there.
            for p in residents[s]
                .iter()
                .filter(|p| cluster.placements[**p].server != s)
            {
                need[s] += cluster.placements[*p].move_energy;
            }
            if residents[s].is_empty() {
                // A closing server is up until the first stages are over.
                need[s] += (node.base + node.arrived) * transient.max(stays);
            }
        }
        need
    }

    /// Servers that stay up with nothing on them: fixed loads, and hosts that may not be switched off.
    fn parked(&self, residents: &[Vec<usize>]) -> Vec<f64> {
        self.cluster
            .nodes
            .iter()
            .enumerate()
            .map(|(s, node)| {
                let closed = residents[s].is_empty();
                let stays_up = node.fixed > 0.0 || !node.can_switch_off;
                if node.supply == Supply::Battery && !node.doomed && closed && stays_up {
                    node.base
                } else {
                    0.0
                }
            })
            .collect()
    }

    fn rungs(&self, residents: &[Vec<usize>]) -> (Vec<Rung>, Vec<Vec<usize>>) {
        let cluster = self.cluster;
        let mut rungs: Vec<Rung> = Vec::new();
        let mut members: Vec<Vec<usize>> = Vec::new();
        for (s, list) in residents
            .iter()
            .enumerate()
            .filter(|(s, _)| on_battery(cluster, *s))
        {
            for p in list {
                let placement = &cluster.placements[*p];
                let same = rungs
                    .last()
                    .is_some_and(|r| r.server == s && r.class == placement.class);
                if !same {
                    let first = rungs.last().is_none_or(|r| r.server != s);
                    let base = if first { cluster.nodes[s].base } else { 0.0 };
                    rungs.push(Rung {
                        server: s,
                        class: placement.class,
                        watts: base,
                        value: 0.0,
                    });
                    members.push(Vec::new());
                }
                if let (Some(rung), Some(member)) = (rungs.last_mut(), members.last_mut()) {
                    rung.watts += placement.draw;
                    rung.value += placement.value;
                    member.push(*p);
                }
            }
        }
        (rungs, members)
    }

    /// Durations and flows of one placement.
    fn try_out(&self, target: Vec<Option<usize>>) -> Trial {
        let cluster = self.cluster;
        let residents = self.residents(&target);
        let transient = self.transient_seconds(&target);
        let need = self.first_needs(&target, &residents, transient);
        let mut left = self.supply.clone();
        let no_limit: Vec<f64> = vec![f64::INFINITY; cluster.links.len()];
        let mut flow = self.network.nothing();
        let spend = |left: &mut Vec<f64>, part: &Flow, flow: &mut Flow| {
            for (l, g) in left.iter_mut().zip(self.network.given(part)) {
                *l = (*l - g).max(0.0);
            }
            add(flow, part);
        };

        let part = self.network.fund(&left, &need, &no_limit);
        let got = self.network.received(&part);
        let short: Vec<(usize, f64, f64)> = (0..need.len())
            .filter(|s| need[*s] > 0.0 && got[*s] < need[*s] * 0.999)
            .map(|s| (s, need[s], got[s]))
            .collect();
        spend(&mut left, &part, &mut flow);

        let parked = self.parked(&residents);
        let (rungs, members) = self.rungs(&residents);
        let mut pool = self.pools(&left);
        let horizon = self.horizon(&pool, &rungs, &parked);
        let parked_need: Vec<f64> = (0..parked.len())
            .map(|s| {
                let own: f64 = cluster.nodes[s].stores.iter().map(|r| left[*r]).sum();
                (parked[s] * horizon[cluster.nodes[s].island]).min(own)
            })
            .collect();
        // Only from its own reserve: nobody lends to a server on which nothing runs.
        let part = self
            .network
            .fund(&left, &parked_need, &vec![0.0; cluster.links.len()]);
        spend(&mut left, &part, &mut flow);
        if parked_need.iter().any(|n| *n > 0.0) {
            pool = self.pools(&left);
        }

        let class_target = self.class_targets(&rungs);
        let (spans, lambda) = self.spans(&rungs, &pool, &class_target);
        let line_left: Vec<f64> = (0..cluster.links.len())
            .map(|l| {
                let longest = cluster.links[l]
                    .servers
                    .iter()
                    .map(|s| horizon[cluster.nodes[*s].island])
                    .fold(0.0, f64::max);
                cluster.links[l].max_watts * longest
            })
            .collect();
        let mut line_left = line_left;
        let mut funded = spans.clone();
        // Targets of all classes come before the leftover of any.
        for leftover in [false, true] {
            for k in 0..cluster.classes.len() {
                let mut need = vec![0.0; cluster.nodes.len()];
                for (rung, span) in rungs.iter().zip(&spans).filter(|(r, _)| r.class == k) {
                    let time = if leftover {
                        span.total - span.target
                    } else {
                        span.target
                    };
                    let aside = if leftover || time <= 0.0 {
                        0.0
                    } else {
                        self.care.aside(k, rung.server)
                    };
                    need[rung.server] += (rung.watts * time + aside).max(rung.watts * time * LEAST_PART);
                }
                if need.iter().all(|n| *n <= 0.0) {
                    continue;
                }
                let part = self.network.fund(&left, &need, &line_left);
                let got = self.network.received(&part);
                for (l, f) in self.network.ins.iter().zip(&part.ins) {
                    line_left[l.1] = (line_left[l.1] - f).max(0.0);
                }
                for (at, rung) in rungs
                    .iter()
                    .enumerate()
                    .filter(|(_, r)| r.class == k && r.watts > 0.0)
                {
                    let full = need[rung.server];
                    let met = if full > 0.0 {
                        ratio(got[rung.server], full).min(1.0)
                    } else {
                        1.0
                    };
                    let span = &spans[at];
                    if leftover {
                        let more = (span.total - span.target) * met;
                        funded[at].total = funded[at].target + more;
                    } else {
                        funded[at] = Span {
                            target: span.target * met,
                            total: span.target * met,
                        };
                    }
                }
                spend(&mut left, &part, &mut flow);
            }
        }
        nest(&rungs, &mut funded);

        let mut span = vec![
            Span {
                target: FOREVER,
                total: FOREVER
            };
            cluster.placements.len()
        ];
        for (at, member) in members.iter().enumerate() {
            for p in member {
                span[*p] = funded[at];
            }
        }
        self.network.cancel(&mut flow);
        Trial {
            target,
            span,
            flow,
            short,
            lambda,
            transient,
            class_target,
        }
    }

    /// `survive`: everything to the top class that is left on batteries, its target infinite and all others zero.
    fn class_targets(&self, rungs: &[Rung]) -> Vec<f64> {
        let classes = &self.cluster.classes;
        match self.cluster.policy.mode {
            Mode::Default => classes.iter().map(|c| c.target).collect(),
            Mode::Survive => {
                let top = rungs.iter().map(|r| r.class).min();
                (0..classes.len())
                    .map(|k| if Some(k) == top { f64::INFINITY } else { 0.0 })
                    .collect()
            }
        }
    }

    fn pools(&self, left: &[f64]) -> Vec<f64> {
        let cluster = self.cluster;
        let mut pool = vec![0.0; cluster.islands.max(1)];
        for (r, store) in cluster.stores.iter().enumerate() {
            // All that it can reach are one island.
            let mut reach = store
                .homes
                .iter()
                .chain(store.links.iter().flat_map(|l| cluster.links[*l].servers.iter()));
            if let Some(s) = reach.next() {
                pool[cluster.nodes[*s].island] += left[r];
            }
        }
        pool
    }

    /// How long an island's energy can last at the least load that makes sense, seconds.
    fn horizon(&self, pool: &[f64], rungs: &[Rung], parked: &[f64]) -> Vec<f64> {
        let cluster = self.cluster;
        let mut top = vec![usize::MAX; pool.len()];
        for rung in rungs {
            let island = cluster.nodes[rung.server].island;
            top[island] = top[island].min(rung.class);
        }
        let mut watts = vec![0.0; pool.len()];
        for rung in rungs {
            let island = cluster.nodes[rung.server].island;
            if rung.class == top[island] {
                watts[island] += rung.watts;
            }
        }
        for (s, w) in parked.iter().enumerate() {
            watts[cluster.nodes[s].island] += w;
        }
        (0..pool.len())
            .map(|i| {
                if watts[i] > 0.0 {
                    (pool[i] / watts[i]).min(FOREVER)
                } else {
                    0.0
                }
            })
            .collect()
    }

    fn spans(&self, rungs: &[Rung], pool: &[f64], class_target: &[f64]) -> (Vec<Span>, Option<f64>) {
        let cluster = self.cluster;
        let mut by_island: Vec<Vec<usize>> = vec![Vec::new(); pool.len()];
        for (at, rung) in rungs.iter().enumerate() {
            by_island[cluster.nodes[rung.server].island].push(at);
        }
        let mut spans = vec![
            Span {
                target: 0.0,
                total: 0.0
            };
            rungs.len()
        ];
        let mut lambda: Option<f64> = None;
        let scale = seconds(cluster.policy.outage_scale_millis);
        let targets: Vec<f64> = class_target
            .iter()
            .map(|t| (t - cluster.elapsed).max(0.0))
            .collect();
        for (island, list) in by_island.iter().enumerate().filter(|(_, l)| !l.is_empty()) {
            let own: Vec<Rung> = list.iter().map(|at| rungs[*at].clone()).collect();
            let mut aside = vec![0.0; targets.len()];
            for rung in &own {
                aside[rung.class] += self.care.aside(rung.class, rung.server);
            }
            let found = durations(&own, pool[island], &targets, &aside, cluster.elapsed, scale);
            for (at, span) in list.iter().zip(found.spans) {
                spans[*at] = span;
            }
            // Of several islands the dearest joule is told.
            lambda = match (lambda, found.lambda) {
                (Some(a), Some(b)) => Some(a.max(b)),
                (a, b) => a.or(b),
            };
        }
        (spans, lambda)
    }

    fn life_by_island(&self, trial: &Trial) -> Vec<Vec<f64>> {
        let cluster = self.cluster;
        let mut life = vec![vec![0.0_f64; cluster.classes.len()]; cluster.islands.max(1)];
        for (p, placement) in cluster.placements.iter().enumerate() {
            if let Some(s) = trial.target[p] {
                let at = &mut life[cluster.nodes[s].island][placement.class];
                *at = at.max(trial.span[p].total);
            }
        }
        life
    }

    /// Classes that miss their target somewhere if nothing is done about it.
    fn misses(&self, trial: &Trial) -> Vec<bool> {
        let mut misses = vec![false; self.cluster.classes.len()];
        for (p, placement) in self.cluster.placements.iter().enumerate() {
            let target = (trial.class_target[placement.class] - self.cluster.elapsed).max(0.0);
            misses[placement.class] |= target > 0.0 && trial.span[p].total < target.min(FOREVER) * 0.999;
        }
        misses
    }

    /// Takes out what has no place, no clean stop, or no time worth the name. Whether anything was taken out.
    fn drop_hopeless(&mut self, trial: &Trial, least: f64, last: bool) -> bool {
        let cluster = self.cluster;
        let mut any = false;
        let way = Way::new(self, trial, least);
        for p in 0..cluster.placements.len() {
            if !self.live[p] {
                continue;
            }
            // One that would not live long where it was to go may do better where it is.
            let away = trial.target[p].is_some_and(|s| s != cluster.placements[p].server);
            if away && !self.stays[p] && !last && is_hopeless(cluster, trial, p, least) {
                self.stays[p] = true;
                any = true;
                continue;
            }
            let reason = match trial.target[p] {
                None => Some(Shed::Displaced),
                Some(s) if way.gives_way(self, p, s) => Some(Shed::NotWorth(0.0)),
                Some(s) if is_hopeless(cluster, trial, p, least) && (last || !way.may_hope(self, p, s)) => {
                    Some(Shed::NotWorth(trial.span[p].total))
                }
                Some(_) => None,
            };
            if let Some(reason) = reason {
                self.live[p] = false;
                self.shed[p] = Some(reason);
                any = true;
            }
        }
        // What a higher class had to give up for want of energy, a lower one does not get on the same server.
        // Nor does it keep the room in which the higher one had no place.
        let mut given_up = vec![usize::MAX; cluster.nodes.len()];
        for (p, placement) in cluster.placements.iter().enumerate() {
            if self.shed[p].is_some() {
                given_up[placement.server] = given_up[placement.server].min(placement.class);
            }
        }
        for (p, placement) in cluster.placements.iter().enumerate() {
            let stays = self.live[p] && trial.target[p] == Some(placement.server);
            if stays && placement.class > given_up[placement.server] {
                self.live[p] = false;
                self.shed[p] = Some(if on_battery(cluster, placement.server) {
                    Shed::NotWorth(trial.span[p].total)
                } else {
                    Shed::Displaced
                });
                any = true;
            }
        }
        // Where a clean stop is not covered, the lowest class goes first, and only then the next one.
        for (s, _, _) in &trial.short {
            let here = cluster
                .placements
                .iter()
                .enumerate()
                .filter(|(p, _)| self.live[*p] && trial.target[*p] == Some(*s))
                .map(|(p, placement)| (placement.class, p));
            let lowest = here.clone().map(|(class, _)| class).max();
            let doomed: Vec<usize> = here
                .filter(|(class, _)| last || Some(*class) == lowest)
                .map(|(_, p)| p)
                .collect();
            for p in doomed {
                self.live[p] = false;
                self.shed[p] = Some(Shed::Critical);
                any = true;
            }
        }
        any
    }

    /// What was to make room on a server with mains stays, where in the end nothing higher comes there.
    fn keep_what_gives_no_room(&mut self, trial: &mut Trial) {
        let cluster = self.cluster;
        let mut highest = vec![usize::MAX; cluster.nodes.len()];
        for (placement, to) in cluster.placements.iter().zip(&trial.target) {
            if let Some(s) = to.filter(|s| *s != placement.server) {
                highest[s] = highest[s].min(placement.class);
            }
        }
        for (p, placement) in cluster.placements.iter().enumerate() {
            let s = placement.server;
            let makes_room = highest[s] < placement.class;
            let on_mains = cluster.nodes[s].supply == Supply::Mains;
            if trial.target[p].is_none() && on_mains && !makes_room {
                self.live[p] = true;
                self.shed[p] = None;
                trial.target[p] = Some(s);
                trial.span[p] = Span {
                    target: FOREVER,
                    total: FOREVER,
                };
            }
        }
    }

    fn finish(mut self, mut trial: Trial) -> Decision {
        let cluster = self.cluster;
        // The last round may have dropped something after it was tried.
        if (0..cluster.placements.len()).any(|p| !self.live[p] && trial.target[p].is_some()) {
            let target = trial
                .target
                .iter()
                .enumerate()
                .map(|(p, t)| t.filter(|_| self.live[p]))
                .collect();
            trial = self.try_out(target);
        }
        self.keep_what_gives_no_room(&mut trial);
        for p in 0..cluster.placements.len() {
            if trial.target[p].is_none() {
                trial.span[p] = Span {
                    target: 0.0,
                    total: 0.0,
                };
                self.shed[p].get_or_insert(Shed::Displaced);
            }
        }
        let mut best = vec![usize::MAX; cluster.nodes.len()];
        for (p, placement) in cluster.placements.iter().enumerate() {
            if let Some(s) = trial.target[p] {
                best[s] = best[s].min(placement.class);
            }
        }
        let loans = self
            .network
            .pairs(&trial.flow, &best)
            .into_iter()
            // Less than a joule is not worth a switch.
            .filter(|(_, _, _, energy)| *energy >= 1_000.0)
            .map(|(link, store, server, energy)| Loan {
                link,
                store,
                server,
                energy,
            })
            .collect();
        Decision {
            target: trial.target,
            shed: self.shed,
            span: trial.span,
            loans,
            lambda: trial.lambda,
            short: trial.short,
            transient: trial.transient,
            class_target: trial.class_target,
        }
    }
}

/// Whether a placement would live too short a time on its batteries.
fn is_hopeless(cluster: &Cluster<'_>, trial: &Trial, p: usize, least: f64) -> bool {
    let on_battery = trial.target[p].is_some_and(|s| on_battery(cluster, s));
    on_battery && trial.span[p].total < least
}

/// Who gives way to whom: what a higher class would need for its target, lower ones within its reach do not keep. They
/// go first, and only where none is left is the higher class given up.
struct Way {
    /// By server: the highest class with a target to reach that has no hope, among those that reserves of the server can
    /// reach.
    hopeless: Vec<usize>,
    /// By server: the lowest class that lives on what could be given to it.
    lowest: Vec<Option<usize>>,
}

impl Way {
    fn new(deciding: &Deciding<'_, '_>, trial: &Trial, least: f64) -> Self {
        let cluster = deciding.cluster;
        let servers = cluster.nodes.len();
        let (mut hopeless_at, mut lowest_at) = (vec![usize::MAX; servers], vec![None; servers]);
        for (p, placement) in cluster.placements.iter().enumerate() {
            let Some(s) = trial.target[p].filter(|s| deciding.live[p] && on_battery(cluster, *s)) else {
                continue;
            };
            lowest_at[s] = lowest_at[s].max(Some(placement.class));
            let target = (trial.class_target[placement.class] - cluster.elapsed).max(0.0);
            if is_hopeless(cluster, trial, p, least) && trial.span[p].total < target {
                hopeless_at[s] = hopeless_at[s].min(placement.class);
            }
        }
        let (mut hopeless, mut lowest) = (hopeless_at.clone(), lowest_at.clone());
        for link in cluster.links.iter().filter(|l| l.usable) {
            let takers = link.servers.iter().copied();
            let givers = link
                .stores
                .iter()
                .flat_map(|r| &cluster.stores[*r].homes)
                .copied();
            let without_hope = takers.clone().map(|s| hopeless_at[s]).min();
            let living = givers.clone().filter_map(|s| lowest_at[s]).max();
            for s in givers {
                hopeless[s] = hopeless[s].min(without_hope.unwrap_or(usize::MAX));
            }
            for s in takers {
                lowest[s] = lowest[s].max(living);
            }
        }
        Self { hopeless, lowest }
    }

    fn gives_way(&self, deciding: &Deciding<'_, '_>, p: usize, s: usize) -> bool {
        let cluster = deciding.cluster;
        on_battery(cluster, s) && cluster.placements[p].class > self.hopeless[s]
    }

    /// Something lower gives way to it, so that it may live yet.
    fn may_hope(&self, deciding: &Deciding<'_, '_>, p: usize, s: usize) -> bool {
        self.lowest[s].is_some_and(|class| class > deciding.cluster.placements[p].class)
    }
}

/// A lower class never outlives a higher one on the same server.
fn nest(rungs: &[Rung], spans: &mut [Span]) {
    for at in 0..rungs.len() {
        let Some(before) = at.checked_sub(1).filter(|b| rungs[*b].server == rungs[at].server) else {
            continue;
        };
        let bound = spans[before];
        let span = &mut spans[at];
        if rungs[at].watts <= 0.0 {
            *span = bound;
        }
        span.target = span.target.min(bound.total);
        span.total = span.total.min(bound.total);
    }
}
