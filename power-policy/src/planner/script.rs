//! The decision as stages, each run forward as it is written, so that thresholds are the charges that the plan's own
//! run predicts.

use super::care::Care;
use super::decide::{Decision, Loan, SETTLE_SECONDS, on_battery};
use super::feeds::{Now, choose, commandable};
use super::flow::ratio;
use super::forward::Forward;
use super::hold_back::{hold_back, margin_seconds};
use super::prepare::{Cluster, Feed, Supply, seconds, whole};
use super::words;
use crate::plan::{FIRST_LOCAL_STAGE, HostState, Stage, Step, StepKind, Trigger, Verb};

/// What a host that must stay up may have left, as a multiple of a halt and its margin, and still halt.
/// The second where it was lost before.
const AT_ITS_END: (f64, f64) = (1.6, 1.9);
/// Part of a reserve's capacity that is nearly nothing.
const NEARLY_EMPTY: f64 = 0.04;
/// A cap that changes by less than this share is left as it is.
pub(super) const SAME_CAP: f64 = 0.05;

/// What else is on a line or a promise of a reserve, for feeds that were not chosen again.
struct Staying {
    /// Watts on each line: of what was chosen, and then of what stays beside it.
    on_line: Vec<f64>,
    chosen_on: Vec<bool>,
    /// Servers to which each reserve has promised something: one of them, and whether there are more.
    promised: Vec<Option<(usize, bool)>>,
}

impl Staying {
    /// `chosen` as it will be joined.
    fn new(script: &Script<'_, '_>, chosen: &[Feed]) -> Self {
        let cluster = script.cluster;
        let mut staying = Self {
            on_line: vec![0.0; cluster.links.len()],
            chosen_on: vec![false; cluster.links.len()],
            promised: vec![None; cluster.stores.len()],
        };
        for feed in chosen {
            staying.enter(feed);
            staying.chosen_on[feed.link] = true;
        }
        for loan in script.loans.iter().filter(|l| l.energy > 1.0) {
            let promised = &mut staying.promised[loan.store];
            *promised = match *promised {
                None => Some((loan.server, false)),
                Some((server, several)) => Some((server, several || server != loan.server)),
            };
        }
        staying
    }

    fn enter(&mut self, feed: &Feed) {
        self.on_line[feed.link] += feed.watts;
    }

    /// An empty lender, of which nothing is left to protect, may stay where it is, if it is in nobody's way.
    fn admits(&self, script: &Script<'_, '_>, feed: &Feed) -> bool {
        let cluster = script.cluster;
        let store = &cluster.stores[feed.store];
        let link = &cluster.links[feed.link];
        let fans = cluster.snapshot.servers[feed.server].fan_in != 0 || store.fan_out != 0;
        let needed_at_home = store
            .homes
            .iter()
            .any(|s| (script.forward.on[*s] || script.woken[*s]) && *s != feed.server);
        let promised = self.promised[feed.store];
        let lent_elsewhere = promised.is_some_and(|(server, several)| several || server != feed.server);
        let in_use = link.exclusive && self.chosen_on[feed.link];
        // Its cap counts against the line, and so do those of others that stay.
        let fits = self.on_line[feed.link] + feed.watts <= link.max_watts;
        !fans && !needed_at_home && !lent_elsewhere && !in_use && fits
    }
}

/// The plan being written.
pub(super) struct Script<'a, 'c> {
    pub(super) cluster: &'a Cluster<'c>,
    pub(super) decision: &'a Decision,
    pub(super) care: &'a Care,
    pub(super) forward: Forward<'a, 'c>,
    pub(super) stages: Vec<Stage>,
    /// When each placement's stop begins, seconds from now; infinite: no end in sight.
    pub(super) ended: Vec<f64>,
    /// When each placement was lost with its server, seconds from now; infinite: it was not.
    pub(super) lost: Vec<f64>,
    seen_lost: usize,
    /// Placements that run on each server.
    pub(super) running: Vec<Vec<usize>>,
    pub(super) loans: Vec<Loan>,
    /// Servers that were brought to off or standby.
    pub(super) closed: Vec<bool>,
    /// Servers that have been told to halt.
    pub(super) halting: Vec<bool>,
    /// Placements that are still to be taken in, by server.
    pub(super) arriving: Vec<usize>,
    /// Feeds whose promise is used up, and which stay because nothing better is to be had.
    pub(super) settled: Vec<(usize, usize, usize)>,
    /// Servers with mains that the plan starts.
    pub(super) woken: Vec<bool>,
    /// What was shed and has no room where mains is.
    pub(super) no_room: Vec<usize>,
    order: u32,
    pub(super) several_islands: bool,
}

impl<'a, 'c> Script<'a, 'c> {
    pub(super) fn new(cluster: &'a Cluster<'c>, decision: &'a Decision, care: &'a Care) -> Self {
        let mut islands: Vec<usize> = (0..cluster.nodes.len())
            .filter(|s| on_battery(cluster, *s))
            .map(|s| cluster.nodes[s].island)
            .collect();
        islands.sort_unstable();
        islands.dedup();
        let mut arriving = vec![0; cluster.nodes.len()];
        for (p, target) in decision.target.iter().enumerate() {
            if let Some(to) = target.filter(|to| *to != cluster.placements[p].server) {
                arriving[to] += 1;
            }
        }
        Self {
            arriving,
            cluster,
            decision,
            care,
            forward: Forward::new(cluster),
            stages: Vec::new(),
            ended: vec![f64::INFINITY; cluster.placements.len()],
            lost: vec![f64::INFINITY; cluster.placements.len()],
            seen_lost: 0,
            running: cluster.nodes.iter().map(|n| n.placements.clone()).collect(),
            loans: {
                // In the order of feeds, so that one finds the other.
                let mut loans = decision.loans.clone();
                loans.sort_by_key(|l| (l.server, l.link, l.store));
                loans
            },
            closed: vec![false; cluster.nodes.len()],
            halting: vec![false; cluster.nodes.len()],
            settled: Vec::new(),
            woken: vec![false; cluster.nodes.len()],
            no_room: Vec::new(),
            // Stage 0 is released at once, and a drill switches nothing.
            order: u32::from(cluster.is_drill()),
            several_islands: islands.len() > 1,
        }
    }

    /// Writes all central stages.
    pub(super) fn write(&mut self) {
        self.at_once();
        self.run_for(self.cluster.debounce_left + SETTLE_SECONDS);
        self.first_stops_and_moves();
        self.restart_on_mains();
        self.steps_down();
    }

    /// What a server needs to stop `running` cleanly and to halt, with the care that is taken of it.
    pub(super) fn keep(&self, s: usize, running: &[usize]) -> f64 {
        hold_back(self.cluster, s, running) * self.care.margin(s)
    }

    pub(super) fn push(&mut self, trigger: Trigger, steps: Vec<Step>, reason: String) {
        if steps.is_empty() || self.order >= FIRST_LOCAL_STAGE - 1 {
            return;
        }
        self.stages.push(Stage {
            order: self.order,
            trigger,
            local: false,
            steps,
            reason,
        });
        self.order += 1;
    }

    /// Runs forward, and takes what flowed off the promises.
    pub(super) fn run_for(&mut self, span: f64) {
        let before: Vec<(f64, f64)> = self.forward.passed();
        self.forward.run_for(span.max(0.0));
        for ((feed, before), after) in self.forward.feeds.iter().zip(before).zip(self.forward.passed()) {
            // Above its reference power a reserve loses more than it gives.
            let gone = (after.0 - before.0) * before.1.max(after.1);
            let key = (feed.server, feed.link, feed.store);
            if gone > 0.0
                && let Ok(at) = self
                    .loans
                    .binary_search_by_key(&key, |l| (l.server, l.link, l.store))
                && let Some(loan) = self.loans.get_mut(at)
            {
                loan.energy = (loan.energy - gone).max(0.0);
            }
        }
        self.note_lost();
    }

    /// What ran on servers that have lost power is gone.
    fn note_lost(&mut self) {
        for (s, at) in &self.forward.lost[self.seen_lost..] {
            for p in &self.running[*s] {
                self.lost[*p] = self.lost[*p].min(*at);
            }
        }
        self.seen_lost = self.forward.lost.len();
    }

    pub(super) fn rank(&self) -> Vec<usize> {
        self.running
            .iter()
            .map(|list| {
                list.iter()
                    .map(|p| self.cluster.placements[*p].class)
                    .min()
                    .unwrap_or(usize::MAX)
            })
            .collect()
    }

    /// Chooses feeds for the loads to come, and returns the steps that lead there: at first, and when these are done.
    pub(super) fn refeed(&mut self, load: &[f64], until_next: f64) -> (Vec<Step>, Vec<Step>) {
        let mut rank = self.rank();
        for (rank, node) in rank.iter_mut().zip(&self.cluster.nodes) {
            // A stop that was begun has nothing before it.
            if node.stopping.iter().any(|e| e.seconds > self.forward.time) {
                *rank = 0;
            }
        }
        let now = Now {
            load,
            loans: &self.loans,
            rank: &rank,
            energy: &self.forward.energy,
            joined: &self.forward.feeds,
            until_next,
        };
        let chosen = choose(self.cluster, &now);
        let old = self.forward.feeds.clone();
        // Both are sorted by server, line and reserve.
        let key = |f: &Feed| (f.server, f.link, f.store);
        let find = |list: &[Feed], feed: &Feed| {
            list.binary_search_by_key(&key(feed), key)
                .ok()
                .and_then(|at| list.get(at).copied())
        };
        let mut after: Vec<Feed> = Vec::new();
        let (mut less, mut more, mut last) = (Vec::new(), Vec::new(), Vec::new());
        let is_same = |new: &Feed, old: &Feed| (new.watts - old.watts).abs() <= old.watts * SAME_CAP;
        let settled: Vec<Feed> = chosen
            .iter()
            .map(|new| find(&old, new).filter(|old| is_same(new, old)).unwrap_or(*new))
            .collect();
        let (full_links, full_stores) = self.over_limits(&settled, load);
        let mut staying = Staying::new(self, &settled);
        for feed in &old {
            // A cap that is a little too high may stay only where there is room for that.
            let may_be_high = !full_links[feed.link] && !full_stores[feed.store];
            match find(&chosen, feed) {
                Some(new) if is_same(&new, feed) && (may_be_high || new.watts >= feed.watts) => {
                    after.push(*feed);
                }
                Some(new) => {
                    after.push(new);
                    let steps = if new.watts < feed.watts {
                        &mut less
                    } else {
                        &mut more
                    };
                    steps.extend(self.divert(&new, Some(feed)));
                }
                None if !commandable(self.cluster, feed) => {
                    staying.enter(feed);
                    after.push(*feed);
                }
                // A reserve that is empty and nobody's may stay joined: it gives nothing, and switching is wear.
                None if staying.admits(self, feed) => {
                    staying.enter(feed);
                    after.push(*feed);
                }
                None => {
                    // One that has no other source is taken off last.
                    let own: f64 = self.cluster.nodes[feed.server]
                        .stores
                        .iter()
                        .map(|r| self.forward.energy[*r])
                        .sum();
                    let off = Feed { watts: 0.0, ..*feed };
                    // Unless another needs its place.
                    let counted = self.cluster.snapshot.servers[feed.server].fan_in > 0
                        || self.cluster.stores[feed.store].fan_out > 0
                        || self.cluster.links[feed.link].exclusive;
                    let steps = if own > 1.0 || counted {
                        &mut less
                    } else {
                        &mut last
                    };
                    steps.extend(self.divert(&off, Some(feed)));
                }
            }
        }
        for feed in &chosen {
            if find(&old, feed).is_none() {
                after.push(*feed);
                more.extend(self.divert(feed, None));
            }
        }
        // What is taken off carries on until its switch is done, while a cap on what is joined holds at once: where both
        // together are more than a line or reserve bears, the one comes after the other.
        let wait = !less.is_empty() && !more.is_empty() && self.crowded(&old, &after, load);
        self.forward.set_feeds(after);
        if wait {
            return (less, more.into_iter().chain(last).collect());
        }
        less.append(&mut more);
        less.append(&mut last);
        (less, Vec::new())
    }

    /// Whether a line or reserve would bear too much while some feeds have changed and others not yet.
    fn crowded(&self, old: &[Feed], new: &[Feed], load: &[f64]) -> bool {
        let mut caps: std::collections::BTreeMap<(usize, usize, usize), f64> =
            std::collections::BTreeMap::new();
        for f in old.iter().chain(new) {
            let cap = caps.entry((f.link, f.store, f.server)).or_insert(0.0);
            *cap = cap.max(f.watts);
        }
        let most: Vec<Feed> = caps
            .into_iter()
            .map(|((link, store, server), watts)| Feed {
                link,
                store,
                server,
                watts,
            })
            .collect();
        let (links, stores) = self.over_limits(&most, load);
        links.contains(&true) || stores.contains(&true)
    }

    /// Which lines and reserves would bear too much with these caps: by line, by reserve.
    fn over_limits(&self, feeds: &[Feed], load: &[f64]) -> (Vec<bool>, Vec<bool>) {
        let cluster = self.cluster;
        let (mut line, mut store) = (vec![0.0; cluster.links.len()], vec![0.0; cluster.stores.len()]);
        for feed in feeds {
            line[feed.link] += feed.watts;
            store[feed.store] += feed.watts;
        }
        let links = line
            .iter()
            .zip(&cluster.links)
            .map(|(w, l)| !l.exclusive && *w > l.max_watts)
            .collect();
        let stores = store
            .iter()
            .zip(&cluster.stores)
            .map(|(w, r)| {
                let home: f64 = r.homes.iter().map(|s| load[*s]).sum();
                *w > 0.0 && w + home > r.max_watts
            })
            .collect();
        (links, stores)
    }

    /// Pushes what [`Self::refeed`] returned, and runs on until it is done.
    pub(super) fn push_feeds(
        &mut self,
        trigger: Trigger,
        (first, second): (Vec<Step>, Vec<Step>),
        reason: String,
    ) {
        let switch = self
            .cluster
            .links
            .iter()
            .filter(|l| l.usable)
            .map(|l| l.switch_seconds)
            .fold(0.0, f64::max);
        for (trigger, steps, reason) in [
            (trigger, first, reason),
            (
                Trigger::AfterResults,
                second,
                "what was taken off has made room on lines and reserves".to_owned(),
            ),
        ] {
            if !steps.is_empty() {
                self.push(trigger, steps, reason);
                self.run_for(switch + SETTLE_SECONDS);
            }
        }
    }

    /// The longest that a later stage can take until feeds are looked at again.
    pub(super) fn longest_stage(&self) -> f64 {
        let cluster = self.cluster;
        let running = self
            .running
            .iter()
            .flatten()
            .map(|p| cluster.placements[*p].stop_seconds);
        let halts = cluster
            .nodes
            .iter()
            .filter(|n| n.supply == Supply::Battery)
            .map(|n| n.halt_seconds);
        running.fold(0.0, f64::max) + halts.fold(0.0, f64::max) + 3.0 * SETTLE_SECONDS
    }

    fn divert(&self, feed: &Feed, before: Option<&Feed>) -> Vec<Step> {
        let cluster = self.cluster;
        let link = &cluster.links[feed.link];
        let milliwatts = whole(feed.watts);
        let line = cluster.link_name(feed.link).clone();
        let reserve = cluster.store_name(feed.store).clone();
        let server = cluster.server_name(feed.server).clone();
        let reason = if milliwatts == 0 {
            words::undivert(cluster, feed, &self.loans)
        } else {
            words::divert(cluster, feed, before, &self.loans, &self.running)
        };
        let received = whole((feed.watts * link.efficiency).floor());
        let intake = words::intake(cluster, feed);
        vec![
            Step {
                kind: StepKind::Divert {
                    line: line.clone(),
                    reserve: reserve.clone(),
                    server: server.clone(),
                    milliwatts,
                },
                reason,
            },
            Step {
                kind: StepKind::Intake {
                    server,
                    reserve,
                    line: Some(line),
                    milliwatts: received,
                },
                reason: intake,
            },
        ]
    }

    /// Stage 0: lines and caps within the watts that are spare while everything still runs.
    fn at_once(&mut self) {
        let load = self.forward.load.clone();
        let (first, second) = self.refeed(&load, self.decision.transient);
        self.note_lost();
        let reason = words::at_once(self.cluster, &self.loans);
        self.push(Trigger::AfterResults, first, reason);
        self.order = self.order.max(1);
        self.push_feeds(Trigger::AfterResults, (Vec::new(), second), String::new());
    }

    /// Begins the stop of a placement; returns how long it takes.
    pub(super) fn stop(&mut self, p: usize) -> f64 {
        let placement = &self.cluster.placements[p];
        self.ended[p] = self.forward.time;
        let at = self.at(p);
        self.running[at].retain(|q| *q != p);
        self.leave(p, at);
        placement.stop_seconds
    }

    /// The draw of a placement leaves a server, each activity after its own stop.
    pub(super) fn leave(&mut self, p: usize, server: usize) {
        let cluster = self.cluster;
        for a in &cluster.placements[p].activities {
            self.leave_one(*a, server);
        }
    }

    /// The draw of an activity leaves a server after its stop.
    pub(super) fn leave_one(&mut self, a: usize, server: usize) {
        let activity = &self.cluster.snapshot.activities[a];
        let (draw, stop) = (activity.draw_milliwatts as f64, seconds(activity.stop_millis));
        // A stop may cost more than the draw it ends.
        let extra = ratio(activity.stop_millijoules as f64 - draw * stop, stop).max(0.0);
        if extra > 0.0 {
            self.forward.change_load(server, extra, 0.0);
            self.forward.change_load(server, -extra, stop);
        }
        self.forward.change_load(server, -draw, stop);
    }

    /// The draw of a placement comes to a server, with what the move costs there.
    pub(super) fn arrive(&mut self, p: usize, server: usize) {
        let cluster = self.cluster;
        for a in &cluster.placements[p].activities {
            let activity = &cluster.snapshot.activities[*a];
            let span = seconds(activity.move_millis);
            // Half a move: what is there already draws there already.
            if activity.copies.iter().any(|c| c.0 as usize == server) {
                continue;
            }
            let extra = ratio(activity.move_millijoules as f64, span);
            self.forward
                .change_load(server, activity.draw_milliwatts as f64 + extra, 0.0);
            self.forward.change_load(server, -extra, span);
        }
    }

    /// Server on which a placement runs at this point of the plan.
    pub(super) fn at(&self, p: usize) -> usize {
        let home = self.cluster.placements[p].server;
        match self.decision.target[p] {
            Some(to) if self.running[to].contains(&p) => to,
            _ => home,
        }
    }

    pub(super) fn activity_steps(&self, p: usize, verb: Verb, peer: Option<usize>, why: &str) -> Vec<Step> {
        let cluster = self.cluster;
        let placement = &cluster.placements[p];
        let (server, peer) = match verb {
            Verb::TakeIn => (peer.unwrap_or(placement.server), Some(placement.server)),
            Verb::MoveOut => (placement.server, peer),
            _ => (peer.unwrap_or(placement.server), None),
        };
        placement
            .activities
            .iter()
            // Half a move: what is there already is taken in again, since it may still be starting, and the source must not
            // let go before it runs. Where it runs nothing is done.
            .map(|a| {
                let activity = &cluster.snapshot.activities[*a];
                Step {
                    kind: StepKind::Activity {
                        activity: activity.name.clone(),
                        server: cluster.server_name(server).clone(),
                        verb,
                        peer: peer.map(|s| cluster.server_name(s).clone()),
                        milliwatts: if verb == Verb::TakeIn {
                            activity.draw_milliwatts
                        } else {
                            0
                        },
                    },
                    reason: format!("{}: {why}", words::set(cluster, p)),
                }
            })
            .collect()
    }

    pub(super) fn divert_more(&mut self, why: &str) {
        let load = self.forward.load.clone();
        let before = self.forward.feeds.clone();
        let steps = self.refeed(&load, self.longest_stage());
        let reason = words::divert_more(self.cluster, &before, &self.forward.feeds, why);
        self.push_feeds(Trigger::AfterResults, steps, reason);
    }

    /// Switches servers off in the stage that empties them, where waiting for a stage of its own would cost energy that
    /// is not there, or where their halt is over before the stage is. `emptied`: servers with the time that their last
    /// stop takes. Returns how long the stage takes with that.
    pub(super) fn close_in_stage(
        &mut self,
        longest: f64,
        emptied: &[(usize, f64)],
        steps: &mut Vec<Step>,
    ) -> f64 {
        let cluster = self.cluster;
        let reach = self.reach();
        let mut longest = longest;
        let halts = (0..cluster.nodes.len())
            .filter(|s| on_battery(cluster, *s) && self.running[*s].is_empty() && !self.closed[*s])
            .map(|s| cluster.nodes[s].halt_seconds)
            .fold(0.0, f64::max);
        // Later stages may have to come first: move-outs, or the stops of others.
        let wait = longest + self.longest_stage() + halts + 4.0 * SETTLE_SECONDS;
        for (s, stop) in emptied {
            let node = &cluster.nodes[*s];
            if !self.may_close(*s) {
                continue;
            }
            let keep = self.keep(*s, &[]) + (self.forward.load[*s] - node.base).max(0.0) * stop;
            // One that must stay up halts only at its very end; idle it may also go down with its reserve.
            let left = (self.own_energy(*s) - self.own_drain(*s) * stop)
                .max(reach.all[*s] - self.forward.load[*s] * stop);
            if !node.can_switch_off && left > self.at_its_end(*s) {
                continue;
            }
            // Lost before: it goes down idle, since a halt that breaks off is no better.
            let least = node.halt_energy * self.care.least_for_a_halt(*s);
            if least > 0.0 && reach.all[*s] - self.forward.load[*s] * stop < least {
                self.closed[*s] = true;
                self.halting[*s] = true;
                continue;
            }
            let poor = self.care.closes_early(*s) || reach.all[*s] < keep + node.base * wait;
            if !poor && stop + node.halt_seconds > longest {
                continue;
            }
            steps.push(Step {
                kind: StepKind::Host {
                    server: cluster.server_name(*s).clone(),
                    state: HostState::Off,
                },
                reason: words::close(cluster, *s, HostState::Off),
            });
            self.closed[*s] = true;
            self.halting[*s] = true;
            self.forward.halt(*s, *stop);
            longest = longest.max(stop + node.halt_seconds);
        }
        longest
    }

    /// What a server's own reserves hold, whoever else they are for.
    pub(super) fn own_energy(&self, s: usize) -> f64 {
        let stores = &self.cluster.nodes[s].stores;
        stores.iter().map(|r| self.forward.energy[*r]).sum()
    }

    /// By how much they fall, whoever draws from them.
    fn own_drain(&self, s: usize) -> f64 {
        let stores = self.cluster.nodes[s].stores.iter();
        stores
            .map(|r| self.cluster.stores[*r].drain(self.forward.output[*r]))
            .sum()
    }

    /// What a host that must stay up may have left when it halts all the same.
    pub(super) fn at_its_end(&self, s: usize) -> f64 {
        let node = &self.cluster.nodes[s];
        let halt = node.halt_energy + node.idle * margin_seconds(self.cluster);
        if !self.care.ends_in_a_halt(s) {
            return halt * AT_ITS_END.0;
        }
        let capacity = |r: &usize| self.cluster.snapshot.reserves[*r].capacity_millijoules as f64;
        halt * AT_ITS_END.1 + node.stores.iter().map(capacity).sum::<f64>() * NEARLY_EMPTY
    }

    /// Whether nothing is left on a server that the plan could still wait for.
    fn may_close(&self, s: usize) -> bool {
        let node = &self.cluster.nodes[s];
        on_battery(self.cluster, s)
            && !self.closed[s]
            && self.running[s].is_empty()
            && self.arriving[s] == 0
            && node.touchable
            && self.forward.on[s]
            && node.fixed <= 0.0
            && !node.stops_unasked()
    }

    /// Hosts on which nothing is left go to standby, or off where somebody can start them again.
    pub(super) fn close_hosts(&mut self) {
        let cluster = self.cluster;
        let mut steps = Vec::new();
        let mut longest = 0.0_f64;
        let reach = self.reach();
        for s in 0..cluster.nodes.len() {
            let node = &cluster.nodes[s];
            if !self.may_close(s) {
                continue;
            }
            self.closed[s] = true;
            if node.can_switch_off && reach.all[s] < node.halt_energy * self.care.least_for_a_halt(s) {
                self.halting[s] = true;
                continue;
            }
            let state = if node.can_switch_off {
                HostState::Off
            } else {
                HostState::Standby
            };
            if state == HostState::Off {
                self.forward.halt(s, 0.0);
                self.halting[s] = true;
                longest = longest.max(node.halt_seconds);
            }
            steps.push(Step {
                kind: StepKind::Host {
                    server: cluster.server_name(s).clone(),
                    state,
                },
                reason: words::close(cluster, s, state),
            });
        }
        if steps.is_empty() {
            return;
        }
        let reason = words::close_stage(cluster, &steps);
        self.push(Trigger::AfterResults, steps, reason);
        self.run_for(longest + SETTLE_SECONDS);
    }
}
