//! The steps down: after the first minutes, one step at a time, until nothing is left that could be kept.
//!
//! Stages are released one after the other, so a long stop holds up everything behind it. What would come to its end
//! while a stage is under way is therefore taken into that stage, and hosts close only when nothing else is due.

use super::decide::{SETTLE_SECONDS, on_battery};
use super::durations::FOREVER;
use super::feeds::commandable;
use super::flow::ratio;
use super::hold_back::margin_seconds;
use super::moves::latest;
use super::prepare::{Supply, whole};
use super::script::Script;
use super::words;
use crate::model::Name;
use crate::plan::{HostState, Step, StepKind, Trigger, Verb};

/// Most steps down; more of them are merged, the earlier time counts.
const MOST_STEPS_DOWN: usize = 400;
/// Ends that lie closer together than this are one step, seconds.
const SAME_TIME_SECONDS: f64 = 0.5;
/// Rounds of taking into a stage what would end while it is under way.
const GATHERING_ROUNDS: usize = 8;

/// What comes next.
#[derive(Debug)]
enum Next {
    /// These placements have reached their planned end.
    End(Vec<usize>),
    /// What can reach this server is down to its clean end.
    Floor(usize),
    /// Promises are used up, or a reserve is empty: look at the feeds again.
    Feeds,
    /// An idle host that may not be switched off earlier is at the end of its reserve.
    Halt(usize),
    /// Powers change by themselves: a stop or halt ends, a reserve is empty.
    Event,
    /// Nothing more happens.
    Nothing,
}

/// What each server can still count on.
pub(super) struct Reach {
    /// Its part of its own reserves, and what is promised to it.
    pub(super) all: Vec<f64>,
    /// Of that, what needs no further switch.
    near: Vec<f64>,
    /// Its own reserves alone.
    pub(super) own: Vec<f64>,
    /// Power that it takes from them now.
    pub(super) own_drain: Vec<f64>,
}

impl Script<'_, '_> {
    pub(super) fn steps_down(&mut self) {
        let mut steps = 0;
        // After the first stages, and after each step down, lines and hosts are looked at again.
        let mut to_follow = true;
        // The next planned end changes only with what runs.
        let mut first_end = None;
        // Each pass ends a placement, empties a reserve or promise, halts a host, or ends a stop or halt.
        let bound = 8 * (self.cluster.placements.len() + self.cluster.stores.len() + self.loans.len())
            + 8 * self.cluster.nodes.len()
            + 64;
        for _ in 0..bound {
            let reach = self.reach();
            let (hard, next) = self.next(&reach);
            // A planned end can wait for hosts and lines; what has no energy left cannot.
            if to_follow && hard > self.follow_up_seconds() {
                to_follow = false;
                self.divert_more("what was stopped leaves watts and joules to others");
                self.close_hosts();
                continue;
            }
            let (due, next) = match first_end.get_or_insert_with(|| self.first_end()) {
                Some((at, group)) if *at - self.forward.time < hard => {
                    ((*at - self.forward.time).max(0.0), Next::End(group.clone()))
                }
                _ => (hard, next),
            };
            let event = self.forward.next_event();
            let next = if event < due { Next::Event } else { next };
            if matches!(next, Next::End(_) | Next::Floor(_) | Next::Halt(_)) {
                first_end = None;
            }
            match next {
                Next::Nothing => break,
                Next::Event => self.run_for(event + 1e-6),
                Next::End(group) => {
                    self.run_for(due);
                    steps += 1;
                    self.step_down(group, steps, None);
                    to_follow = true;
                }
                Next::Floor(s) => {
                    self.run_for(due);
                    let group = self.lowest(s);
                    steps += 1;
                    self.step_down(group, steps, Some(s));
                    to_follow = true;
                }
                Next::Feeds => {
                    self.run_for(due);
                    self.change_feeds();
                }
                Next::Halt(s) => {
                    self.run_for(due);
                    if self.too_late_to_halt(s, &self.reach()) {
                        // It goes down idle: a halt that breaks off is no better.
                        self.halting[s] = true;
                    } else {
                        self.last_halt(s);
                    }
                }
            }
        }
    }

    /// Time in which nothing on batteries comes to its end, as things are.
    pub(super) fn quiet_seconds(&self) -> f64 {
        let (hard, _) = self.next(&self.reach());
        let planned = self
            .first_end()
            .map_or(f64::INFINITY, |(at, _)| at - self.forward.time);
        hard.min(planned) - self.follow_up_seconds() - margin_seconds(self.cluster)
    }

    /// Time that closing hosts and changing lines takes.
    fn follow_up_seconds(&self) -> f64 {
        let cluster = self.cluster;
        let halts = (0..cluster.nodes.len())
            .filter(|s| self.running[*s].is_empty() && !self.closed[*s] && on_battery(cluster, *s))
            .map(|s| cluster.nodes[s].halt_seconds)
            .fold(0.0, f64::max);
        let switch = self
            .forward
            .feeds
            .iter()
            .map(|f| cluster.links[f.link].switch_seconds)
            .fold(0.0, f64::max);
        halts + switch + 2.0 * SETTLE_SECONDS
    }

    /// The lowest class on a server.
    fn lowest(&self, s: usize) -> Vec<usize> {
        let class = |p: &usize| self.cluster.placements[*p].class;
        let lowest = self.running[s].iter().map(class).max();
        self.running[s]
            .iter()
            .copied()
            .filter(|p| Some(class(p)) == lowest)
            .collect()
    }

    pub(super) fn reach(&self) -> Reach {
        let cluster = self.cluster;
        let forward = &self.forward;
        let mut promised = vec![0.0; cluster.stores.len()];
        for loan in &self.loans {
            promised[loan.store] += loan.energy;
        }
        let home_load: Vec<f64> = cluster
            .stores
            .iter()
            .map(|r| r.homes.iter().map(|h| forward.load[*h]).sum())
            .collect();
        let count = cluster.nodes.len();
        let mut reach = Reach {
            all: vec![0.0; count],
            near: vec![0.0; count],
            own: vec![0.0; count],
            own_drain: forward.load.clone(),
        };
        // Above its reference power a store gives less than it holds.
        let yields = |r: usize, watts: f64| {
            let store = &cluster.stores[r];
            let watts = watts.max(forward.output[r]).min(store.max_watts);
            if watts > 0.0 {
                watts / store.drain(watts)
            } else {
                1.0
            }
        };
        for (s, node) in cluster.nodes.iter().enumerate() {
            for r in &node.stores {
                let share = ratio(forward.load[s], home_load[*r]).clamp(0.0, 1.0) * yields(*r, home_load[*r]);
                reach.own[s] += forward.energy[*r] * share;
                reach.all[s] += (forward.energy[*r] - promised[*r]).max(0.0) * share;
                reach.near[s] += (forward.energy[*r] - promised[*r]).max(0.0) * share;
            }
        }
        // Promises and feeds are in the same order.
        let key_of_feed = |f: &super::prepare::Feed| (f.server, f.link, f.store);
        let mut feeds = forward.feeds.iter().map(key_of_feed).peekable();
        for loan in &self.loans {
            let key = (loan.server, loan.link, loan.store);
            while feeds.next_if(|feed| *feed < key).is_some() {}
            // Promises that are not covered any more are cut alike.
            let covered = ratio(forward.energy[loan.store], promised[loan.store]).min(1.0);
            let arrives = cluster.links[loan.link].efficiency * yields(loan.store, 0.0);
            let energy = loan.energy * covered * arrives;
            reach.all[loan.server] += energy;
            if feeds.peek() == Some(&key) {
                reach.near[loan.server] += energy;
            }
        }
        for (feed, watts) in forward.feeds.iter().zip(&forward.feed_watts) {
            let carried = watts * cluster.links[feed.link].efficiency;
            reach.own_drain[feed.server] = (reach.own_drain[feed.server] - carried).max(0.0);
        }
        reach
    }

    /// What has to come next if powers stay as they are, and in how many seconds.
    fn next(&self, reach: &Reach) -> (f64, Next) {
        let cluster = self.cluster;
        let mut best = (f64::INFINITY, Next::Nothing);
        for s in (0..cluster.nodes.len()).filter(|s| on_battery(cluster, *s) && self.forward.on[*s]) {
            if self.running[s].is_empty() {
                let due = self.halt_due(s, reach);
                if due < best.0 {
                    best = (due, Next::Halt(s));
                }
                continue;
            }
            let due = self.floor_due(s, reach);
            if due < best.0 {
                best = (due, Next::Floor(s));
            }
        }
        let due = self.promise_due();
        if due < best.0 {
            best = (due, Next::Feeds);
        }
        best
    }

    /// The next planned end of what runs on batteries; those of one class and time are one step.
    fn first_end(&self) -> Option<(f64, Vec<usize>)> {
        let cluster = self.cluster;
        let rank = self.rank();
        // The best class that an island still has is not stopped by the calendar: nothing there gains from its end. It
        // lives until only the energy of its clean end is left.
        let mut best = vec![usize::MAX; cluster.islands.max(1)];
        for s in (0..cluster.nodes.len()).filter(|s| on_battery(cluster, *s)) {
            let island = cluster.nodes[s].island;
            best[island] = best[island].min(rank[s]);
        }
        let mut ends: Vec<(f64, usize, bool, usize)> = Vec::new();
        for s in (0..cluster.nodes.len()).filter(|s| on_battery(cluster, *s)) {
            for p in &self.running[s] {
                let class = cluster.placements[*p].class;
                let total = self.decision.span[*p].total;
                if total < FOREVER && class > best[cluster.nodes[s].island] {
                    // Hosts that close come before servers on which a higher class lives on.
                    ends.push((total * self.care.life(s), class, rank[s] < class, *p));
                }
            }
        }
        let slot = |t: f64| whole(t / SAME_TIME_SECONDS);
        ends.sort_by(|a, b| {
            slot(a.0)
                .cmp(&slot(b.0))
                .then(b.1.cmp(&a.1))
                .then(a.2.cmp(&b.2))
                .then(a.3.cmp(&b.3))
        });
        let first = ends.first().copied()?;
        let merge = if ends.len() > MOST_STEPS_DOWN {
            let span = ends.last().map_or(0.0, |e| e.0) - first.0;
            (span / MOST_STEPS_DOWN as f64).max(SAME_TIME_SECONDS)
        } else {
            SAME_TIME_SECONDS
        };
        let group = ends
            .iter()
            .take_while(|e| e.0 - first.0 <= merge && e.1 == first.1 && e.2 == first.2)
            .map(|e| e.3)
            .collect();
        Some((first.0, group))
    }

    /// Time until what can reach a server is down to its clean end.
    fn floor_due(&self, s: usize, reach: &Reach) -> f64 {
        let load = self.forward.load[s];
        if load <= 0.0 {
            return f64::INFINITY;
        }
        let keep = self.keep(s, &self.running[s]);
        // A stop once begun cannot wait for another reserve to be joined.
        let together = ratio((reach.near[s] - keep).max(0.0), load);
        // Where the lines cannot carry it whole, the own reserve goes first, and must not go below its part of a clean
        // end.
        let own = reach.own_drain[s];
        if own <= load * 0.01 || self.cluster.nodes[s].stores.is_empty() {
            return together;
        }
        together.min(ratio((reach.own[s] - keep * ratio(own, load)).max(0.0), own))
    }

    /// Time until an idle host has to halt for want of energy.
    fn halt_due(&self, s: usize, reach: &Reach) -> f64 {
        let node = &self.cluster.nodes[s];
        let load = self.forward.load[s];
        // One that must stay up is up until its reserve is empty; only where its last work ends for want of energy does
        // it halt with that.
        if load <= 0.0
            || !node.touchable
            || !(node.can_switch_off || self.care.ends_in_a_halt(s))
            || node.fixed > 0.0
            || self.halting[s]
            || node.stops_unasked()
            || self.arriving[s] > 0
        {
            return f64::INFINITY;
        }
        if !node.can_switch_off {
            return ratio((self.own_energy(s) - self.at_its_end(s)).max(0.0), load);
        }
        // Twice the margin: an idle host's halt comes behind the stages of others, each of which may be late.
        let keep = self.keep(s, &[]) + load * margin_seconds(self.cluster);
        ratio((reach.all[s] - keep).max(0.0), load)
    }

    /// Time until a promise is used up whose reserve has something else to keep.
    fn promise_due(&self) -> f64 {
        let cluster = self.cluster;
        let forward = &self.forward;
        let key_of_feed = |f: &super::prepare::Feed| (f.server, f.link, f.store);
        // How many promises each reserve has, and which servers, lines and reserves have one that waits for its place.
        let mut promises = vec![0_usize; cluster.stores.len()];
        let mut waiting_server = vec![false; cluster.nodes.len()];
        let mut waiting_link = vec![false; cluster.links.len()];
        let mut waiting_store = vec![false; cluster.stores.len()];
        for loan in self.loans.iter().filter(|l| l.energy > 1.0) {
            promises[loan.store] += 1;
            let key = (loan.server, loan.link, loan.store);
            if forward.feeds.binary_search_by_key(&key, key_of_feed).is_err() {
                waiting_server[loan.server] = true;
                waiting_link[loan.link] = true;
                waiting_store[loan.store] = true;
            }
        }
        let mut due = f64::INFINITY;
        for (feed, watts) in forward.feeds.iter().zip(&forward.feed_watts) {
            let key = (feed.link, feed.store, feed.server);
            if *watts <= 0.0 || !commandable(cluster, feed) || self.settled.contains(&key) {
                continue;
            }
            let left = self
                .loans
                .binary_search_by_key(&key_of_feed(feed), |l| (l.server, l.link, l.store))
                .ok()
                .and_then(|at| self.loans.get(at))
                .map_or(0.0, |l| l.energy);
            let at_home = cluster.stores[feed.store].homes.iter().any(|s| {
                // A server on mains keeps its protection.
                let keeps = cluster.nodes[*s].supply != Supply::Dark && forward.on[*s];
                (keeps || self.woken[*s]) && *s != feed.server
            });
            let others = promises[feed.store] > usize::from(left > 1.0);
            let waits = waiting_server[feed.server] || waiting_link[feed.link] || waiting_store[feed.store];
            if (at_home || others || waits) && forward.energy[feed.store] > 1.0 {
                due = due.min(ratio(left, *watts));
            }
        }
        due
    }

    /// Whether what reaches an idle host does not cover a halt any more.
    fn too_late_to_halt(&self, s: usize, reach: &Reach) -> bool {
        let factor = f64::from(self.cluster.policy.hold_back_permille) / 1_000.0;
        reach.own[s].max(reach.near[s]) < self.cluster.nodes[s].halt_energy * factor
    }

    fn change_feeds(&mut self) {
        // What is all but used up counts as used up.
        for loan in &mut self.loans {
            let key = (loan.server, loan.link, loan.store);
            let forward = &self.forward;
            let flowing = forward
                .feeds
                .binary_search_by_key(&key, |f| (f.server, f.link, f.store))
                .is_ok_and(|at| forward.feed_watts[at] * 0.1 > loan.energy);
            if flowing || loan.energy < 1_000.0 {
                loan.energy = 0.0;
            }
        }
        let used_up = |script: &Self| -> Vec<(usize, usize, usize)> {
            let keys = script.forward.feeds.iter().map(|f| (f.link, f.store, f.server));
            keys.filter(|key| {
                let (link, store, server) = *key;
                !script
                    .loans
                    .binary_search_by_key(&(server, link, store), |l| (l.server, l.link, l.store))
                    .is_ok_and(|at| script.loans[at].energy > 0.0)
            })
            .collect()
        };
        // By the clock: a charge that falls more slowly than told must not hold up a stop behind it.
        let trigger = self.now();
        let load = self.forward.load.clone();
        let steps = self.refeed(&load, self.longest_stage());
        if steps.0.is_empty() && steps.1.is_empty() {
            // Nothing to switch, and the promise is gone: it must not come up again.
            self.settled = used_up(self);
            return;
        }
        self.settled.clear();
        self.push_feeds(trigger, steps, words::promise_used());
    }

    fn now(&self) -> Trigger {
        Trigger::Elapsed {
            millis: whole((self.cluster.elapsed + self.forward.time) * 1_000.0),
        }
    }

    /// A threshold at the charge that the run predicts for now.
    fn threshold(&self, mut stores: Vec<usize>) -> Trigger {
        stores.sort_unstable();
        stores.dedup();
        stores.retain(|r| self.forward.output[*r] > 0.0);
        let millijoules = stores
            .iter()
            .map(|r| self.cluster.charge(*r, self.forward.energy[*r]))
            .fold(0, u64::saturating_add);
        // One list of stages for several islands: a pool that falls slower than told must not hold up another's.
        if stores.is_empty() || self.several_islands {
            return self.now();
        }
        let mut reserves: Vec<Name> = stores
            .iter()
            .map(|r| self.cluster.store_name(*r).clone())
            .collect();
        reserves.sort();
        Trigger::ChargeBelow {
            reserves,
            millijoules,
        }
    }

    /// Reserves that feed these servers now.
    fn feeding(&self, servers: &[usize]) -> Vec<usize> {
        let mut stores: Vec<usize> = self
            .forward
            .feeds
            .iter()
            .zip(&self.forward.feed_watts)
            .filter(|(f, w)| **w > 0.0 && servers.contains(&f.server))
            .map(|(f, _)| f.store)
            .collect();
        stores.extend(
            servers
                .iter()
                .flat_map(|s| self.cluster.nodes[*s].stores.iter().copied()),
        );
        stores
    }

    /// Reserves whose charge tells that a server is down to its clean end: its own, where they are drawn from, since what
    /// others hold may go elsewhere.
    fn last_to_give(&self, s: usize) -> Vec<usize> {
        let own = &self.cluster.nodes[s].stores;
        let drawn = own
            .iter()
            .any(|r| self.forward.output[*r] > 0.0 && self.forward.energy[*r] > 1.0);
        if drawn { own.clone() } else { self.feeding(&[s]) }
    }

    /// What would come to its end within the next `window` seconds: placements to stop, and idle hosts to halt.
    fn due_within(&self, window: f64) -> (Vec<usize>, Vec<usize>) {
        let reach = self.reach();
        let (mut stops, mut halts) = (Vec::new(), Vec::new());
        for s in (0..self.cluster.nodes.len()).filter(|s| on_battery(self.cluster, *s) && self.forward.on[*s])
        {
            if self.running[s].is_empty() {
                let due = self.halt_due(s, &reach);
                let in_time = self.cluster.nodes[s].can_switch_off || due <= 0.0;
                if in_time && due < window && !self.too_late_to_halt(s, &reach) {
                    halts.push(s);
                }
            } else if self.floor_due(s, &reach) < window {
                stops.extend(self.lowest(s));
            }
        }
        stops.sort_by_key(|p| (std::cmp::Reverse(self.cluster.placements[*p].class), *p));
        (stops, halts)
    }

    /// Fills up a stage that takes `longest` seconds, and in which the last stops on some servers end (`emptied`, with
    /// the times they take): what would come to its end while it is under way is taken into it, and hosts close in it
    /// that cannot wait for a stage of their own. Returns how long the stage takes with that.
    pub(super) fn fill_stage(
        &mut self,
        mut longest: f64,
        mut emptied: Vec<(usize, f64)>,
        stays: impl Fn(usize) -> bool,
        steps: &mut Vec<Step>,
    ) -> f64 {
        for _ in 0..GATHERING_ROUNDS {
            longest = self.close_in_stage(longest, &latest(&emptied), steps);
            let (mut stops, halts) =
                self.due_within(longest + 2.0 * SETTLE_SECONDS + margin_seconds(self.cluster));
            stops.retain(|p| !stays(*p));
            if stops.is_empty() && halts.is_empty() {
                break;
            }
            for p in stops {
                let at = self.at(p);
                let keep = self.keep(at, &self.running[at]);
                let why = words::ended(
                    self.cluster,
                    self.decision,
                    p,
                    Some((at, keep)),
                    self.forward.time,
                );
                steps.extend(self.activity_steps(p, Verb::Stop, Some(at), &why));
                let took = self.stop(p);
                longest = longest.max(took);
                emptied.push((at, took));
            }
            for s in halts {
                let stop = emptied
                    .iter()
                    .filter(|e| e.0 == s)
                    .map(|e| e.1)
                    .fold(0.0, f64::max);
                longest = longest.max(self.halt_for_good(s, stop, steps));
            }
        }
        longest
    }

    fn step_down(&mut self, group: Vec<usize>, step: usize, short: Option<usize>) {
        let cluster = self.cluster;
        let mut servers: Vec<usize> = group.iter().map(|p| self.at(*p)).collect();
        servers.sort_unstable();
        servers.dedup();
        let trigger = self.threshold(match short {
            Some(s) => self.last_to_give(s),
            None => self.feeding(&servers),
        });
        let reason = words::step_down(cluster, self.decision, &group, &servers, step, short, &trigger);
        let keep = short.map(|s| (s, self.keep(s, &self.running[s])));
        let mut steps = Vec::new();
        let mut longest = 0.0_f64;
        let mut emptied: Vec<(usize, f64)> = Vec::new();
        for p in &group {
            let at = self.at(*p);
            let why = words::ended(cluster, self.decision, *p, keep, self.forward.time);
            steps.extend(self.activity_steps(*p, Verb::Stop, Some(at), &why));
            let took = self.stop(*p);
            longest = longest.max(took);
            emptied.push((at, took));
        }
        let longest = self.fill_stage(longest, emptied, |_| false, &mut steps);
        self.push(trigger, steps, reason);
        self.run_for(longest + SETTLE_SECONDS);
    }

    fn halt_for_good(&mut self, s: usize, begins: f64, steps: &mut Vec<Step>) -> f64 {
        steps.push(Step {
            kind: StepKind::Host {
                server: self.cluster.server_name(s).clone(),
                state: HostState::Off,
            },
            reason: words::last_halt(self.cluster, s),
        });
        self.forward.halt(s, begins);
        self.halting[s] = true;
        self.closed[s] = true;
        begins + self.cluster.nodes[s].halt_seconds
    }

    fn last_halt(&mut self, s: usize) {
        let trigger = self.threshold(self.cluster.nodes[s].stores.clone());
        let mut steps = Vec::new();
        let longest = self.halt_for_good(s, 0.0, &mut steps);
        let longest = self.fill_stage(longest, Vec::new(), |_| false, &mut steps);
        self.push(trigger, steps, words::last_halt_stage(self.cluster, s));
        self.run_for(longest + SETTLE_SECONDS);
    }
}
