//! The decision as stages, each run forward as it is written, so that thresholds are the charges that the plan's own
//! run predicts.

use super::decide::{Decision, Loan, SETTLE_SECONDS, on_battery};
use super::durations::FOREVER;
use super::feeds::{Now, choose, commandable};
use super::flow::ratio;
use super::forward::Forward;
use super::hold_back::hold_back;
use super::prepare::{Cluster, Feed, Supply, whole};
use super::words;
use crate::model::Name;
use crate::plan::{FIRST_LOCAL_STAGE, HostState, Stage, Step, StepKind, Trigger, Verb};

/// Most waves of moves: further ones would wait for room that others have to make first.
const MOST_WAVES: usize = 3;
/// Most steps down; more of them are merged, the earlier time counts.
const MOST_STEPS_DOWN: usize = 400;
/// Ends that lie closer together than this are one step, seconds.
const SAME_TIME_SECONDS: f64 = 0.5;
/// A cap that changes by less than this share is left as it is.
const SAME_CAP: f64 = 0.02;

/// The plan being written.
pub(super) struct Script<'a, 'c> {
    pub(super) cluster: &'a Cluster<'c>,
    pub(super) decision: &'a Decision,
    pub(super) forward: Forward<'a, 'c>,
    pub(super) stages: Vec<Stage>,
    /// When each placement's stop begins, seconds from now; infinite: no end in sight.
    pub(super) ended: Vec<f64>,
    /// Placements that run on each server.
    pub(super) running: Vec<Vec<usize>>,
    loans: Vec<Loan>,
    /// Servers that were brought to off or standby.
    closed: Vec<bool>,
    /// Feeds whose promise is used up, and which stay because nothing better is to be had.
    settled: Vec<(usize, usize, usize)>,
    order: u32,
    several_islands: bool,
}

/// What comes next.
enum Next {
    /// These placements have reached their planned end.
    End(Vec<usize>),
    /// What can reach this server is down to its clean end.
    Floor(usize),
    /// Promises are used up, or a reserve is empty: look at the feeds again.
    Feeds,
    /// An idle host that may not be switched off earlier is at the end of its reserve.
    Halt(usize),
    /// Nothing more happens.
    Nothing,
}

impl<'a, 'c> Script<'a, 'c> {
    pub(super) fn new(cluster: &'a Cluster<'c>, decision: &'a Decision) -> Self {
        let mut islands: Vec<usize> = (0..cluster.nodes.len())
            .filter(|s| on_battery(cluster, *s))
            .map(|s| cluster.nodes[s].island)
            .collect();
        islands.sort_unstable();
        islands.dedup();
        Self {
            cluster,
            decision,
            forward: Forward::new(cluster),
            stages: Vec::new(),
            ended: vec![f64::INFINITY; cluster.placements.len()],
            running: cluster.nodes.iter().map(|n| n.placements.clone()).collect(),
            loans: decision.loans.clone(),
            closed: vec![false; cluster.nodes.len()],
            settled: Vec::new(),
            order: 0,
            several_islands: islands.len() > 1,
        }
    }

    /// Writes all central stages. `end_scale` shortens the life of what lives on a server.
    pub(super) fn write(&mut self, end_scale: &[f64]) {
        self.forward.note();
        self.at_once();
        self.run_for(self.cluster.debounce_left + SETTLE_SECONDS);
        self.first_stops_and_moves();
        self.divert_more(
            "the lenders have shed what was to be shed, so more of their reserves can go where it counts",
        );
        self.close_hosts();
        self.steps_down(end_scale);
        self.forward.note();
    }

    fn push(&mut self, trigger: Trigger, steps: Vec<Step>, reason: String) {
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
    fn run_for(&mut self, span: f64) {
        let end = self.forward.time + span.max(0.0);
        let bound = 4 * (self.cluster.nodes.len() + self.cluster.stores.len() + self.loans.len()) + 16;
        for _ in 0..bound {
            let step = self.forward.next_event().min(end - self.forward.time).max(0.0);
            for (feed, watts) in self.forward.feeds.iter().zip(&self.forward.feed_watts) {
                let drain = ratio(
                    self.cluster.stores[feed.store].drain(self.forward.output[feed.store]),
                    self.forward.output[feed.store],
                )
                .max(1.0);
                if let Some(loan) = self
                    .loans
                    .iter_mut()
                    .find(|l| (l.link, l.store, l.server) == (feed.link, feed.store, feed.server))
                {
                    loan.energy = (loan.energy - watts * step * drain).max(0.0);
                }
            }
            self.forward.run_for(step);
            if self.forward.time >= end - 1e-9 {
                break;
            }
        }
        self.forward.note();
    }

    fn rank(&self) -> Vec<usize> {
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

    /// Chooses feeds for the loads to come, and returns the steps that lead there.
    fn refeed(&mut self, load: &[f64]) -> Vec<Step> {
        let rank = self.rank();
        let now = Now {
            load,
            loans: &self.loans,
            rank: &rank,
            energy: &self.forward.energy,
            joined: &self.forward.feeds,
        };
        let chosen = choose(self.cluster, &now);
        let old = self.forward.feeds.clone();
        let key = |f: &Feed| (f.link, f.store, f.server);
        let mut after: Vec<Feed> = Vec::new();
        let (mut less, mut more, mut last) = (Vec::new(), Vec::new(), Vec::new());
        for feed in &old {
            match chosen.iter().find(|f| key(f) == key(feed)) {
                Some(new) if (new.watts - feed.watts).abs() <= feed.watts * SAME_CAP => after.push(*feed),
                Some(new) => {
                    after.push(*new);
                    let steps = if new.watts < feed.watts {
                        &mut less
                    } else {
                        &mut more
                    };
                    steps.extend(self.divert(new, Some(feed)));
                }
                None if !commandable(self.cluster, feed) => after.push(*feed),
                // A reserve that is empty and nobody's may stay joined: it gives nothing, and switching is wear.
                None if self.may_stay(feed, &chosen) => after.push(*feed),
                None => {
                    // One that has no other source is taken off last.
                    let own: f64 = self.cluster.nodes[feed.server]
                        .stores
                        .iter()
                        .map(|r| self.forward.energy[*r])
                        .sum();
                    let off = Feed { watts: 0.0, ..*feed };
                    let steps = if own > 1.0 { &mut less } else { &mut last };
                    steps.extend(self.divert(&off, Some(feed)));
                }
            }
        }
        for feed in &chosen {
            if !old.iter().any(|f| key(f) == key(feed)) {
                after.push(*feed);
                more.extend(self.divert(feed, None));
            }
        }
        self.forward.set_feeds(after);
        less.append(&mut more);
        less.append(&mut last);
        less
    }

    /// An empty lender, of which nothing is left to protect, may stay where it is, if it is in nobody's way.
    fn may_stay(&self, feed: &Feed, chosen: &[Feed]) -> bool {
        let store = &self.cluster.stores[feed.store];
        let fans = self.cluster.snapshot.servers[feed.server].fan_in != 0 || store.fan_out != 0;
        let needed_at_home = store
            .homes
            .iter()
            .any(|s| self.forward.on[*s] && *s != feed.server);
        let lent_elsewhere = self
            .loans
            .iter()
            .any(|l| l.store == feed.store && l.server != feed.server && l.energy > 1.0);
        let in_use = self.cluster.links[feed.link].exclusive && chosen.iter().any(|f| f.link == feed.link);
        // Its cap counts against the line.
        let crowded: f64 = chosen
            .iter()
            .filter(|f| f.link == feed.link)
            .map(|f| f.watts)
            .sum();
        let fits = crowded + feed.watts <= self.cluster.links[feed.link].max_watts;
        !fans && !needed_at_home && !lent_elsewhere && !in_use && fits
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
        let steps = self.refeed(&load);
        let reason = words::at_once(self.cluster, &self.loans);
        self.push(Trigger::AfterResults, steps, reason);
        self.order = self.order.max(1);
    }

    fn first_trigger(&self) -> Trigger {
        if self.cluster.debounce_left > 0.0 {
            Trigger::Elapsed {
                millis: self.cluster.policy.debounce_millis,
            }
        } else {
            Trigger::AfterResults
        }
    }

    fn first_stops_and_moves(&mut self) {
        let cluster = self.cluster;
        let mut stops: Vec<usize> = (0..cluster.placements.len())
            .filter(|p| self.decision.target[*p].is_none())
            .collect();
        stops.sort_by_key(|p| (std::cmp::Reverse(cluster.placements[*p].class), *p));
        let mut waiting: Vec<usize> = (0..cluster.placements.len())
            .filter(|p| self.decision.target[*p].is_some_and(|s| s != cluster.placements[*p].server))
            .collect();
        waiting.sort_by_key(|p| (cluster.placements[*p].class, *p));
        let mut free: Vec<(f64, f64, f64)> = cluster
            .nodes
            .iter()
            .map(|n| {
                let load = n.base
                    + n.placements
                        .iter()
                        .map(|p| cluster.placements[*p].draw)
                        .sum::<f64>();
                let watts = if n.supply == Supply::Mains {
                    n.mains_watts - load
                } else {
                    f64::INFINITY
                };
                (n.free_cpu, n.free_memory, watts)
            })
            .collect();
        for wave in 0..MOST_WAVES {
            let mut steps: Vec<Step> = Vec::new();
            let mut longest = 0.0_f64;
            if wave == 0 {
                for p in &stops {
                    let why = words::shed(cluster, self.decision, *p);
                    steps.extend(self.activity_steps(*p, Verb::Stop, None, &why));
                    longest = longest.max(self.stop(*p));
                }
            }
            let mut taken: Vec<usize> = Vec::new();
            let mut queue = vec![0.0; cluster.nodes.len()];
            waiting.retain(|&p| {
                let placement = &cluster.placements[p];
                let Some(to) = self.decision.target[p] else {
                    return false;
                };
                // Both copies count, from the take-in to the move-out. One that is half moved already is there.
                let arrived = placement.moving_to == Some(to);
                let room = &mut free[to];
                let fits = placement.cpu <= room.0 && placement.memory <= room.1 && placement.draw <= room.2;
                if !fits && !arrived {
                    return true;
                }
                if !arrived {
                    *room = (
                        room.0 - placement.cpu,
                        room.1 - placement.memory,
                        room.2 - placement.draw,
                    );
                }
                taken.push(p);
                false
            });
            for &p in &taken {
                let placement = &cluster.placements[p];
                let Some(to) = self.decision.target[p] else {
                    continue;
                };
                let why = words::shift(cluster, self.decision, p, to);
                steps.extend(self.activity_steps(p, Verb::TakeIn, Some(to), &why));
                self.forward.change_load(to, placement.draw, 0.0);
                queue[placement.server] += placement.move_seconds;
                longest = longest.max(queue[placement.server]);
            }
            let trigger = if wave == 0 {
                self.first_trigger()
            } else {
                Trigger::AfterResults
            };
            let reason = words::first_stage(cluster, wave, stops.len(), taken.len());
            self.push(trigger, steps, reason);
            self.run_for(longest + SETTLE_SECONDS);
            if wave == 0 {
                for p in &stops {
                    let placement = &cluster.placements[*p];
                    let room = &mut free[placement.server];
                    *room = (
                        room.0 + placement.cpu,
                        room.1 + placement.memory,
                        room.2 + placement.draw,
                    );
                }
            }
            let mut steps = Vec::new();
            let mut longest = 0.0_f64;
            for &p in &taken {
                let placement = &cluster.placements[p];
                let Some(to) = self.decision.target[p] else {
                    continue;
                };
                steps.extend(self.activity_steps(p, Verb::MoveOut, Some(to), "its copy there runs"));
                self.forward
                    .change_load(placement.server, -placement.draw, placement.stop_seconds);
                self.running[placement.server].retain(|q| *q != p);
                self.running[to].push(p);
                longest = longest.max(placement.stop_seconds);
                let room = &mut free[placement.server];
                *room = (
                    room.0 + placement.cpu,
                    room.1 + placement.memory,
                    room.2 + placement.draw,
                );
            }
            if !steps.is_empty() {
                self.push(Trigger::AfterResults, steps, words::move_out(taken.len()));
                self.run_for(longest + SETTLE_SECONDS);
            }
            if waiting.is_empty() {
                break;
            }
        }
        // What found no room in time stays where it is, for as long as that server can be fed.
    }

    /// Begins the stop of a placement; returns how long it takes.
    fn stop(&mut self, p: usize) -> f64 {
        let placement = &self.cluster.placements[p];
        self.ended[p] = self.forward.time;
        for list in &mut self.running {
            list.retain(|q| *q != p);
        }
        let at = self.at(p);
        // A stop may cost more than the draw it ends.
        let extra = placement.stop_energy - placement.draw * placement.stop_seconds;
        if extra > 0.0 && placement.stop_seconds > 0.0 {
            let watts = extra / placement.stop_seconds;
            self.forward.change_load(at, watts, 0.0);
            self.forward.change_load(at, -watts, placement.stop_seconds);
        }
        self.forward
            .change_load(at, -placement.draw, placement.stop_seconds);
        placement.stop_seconds
    }

    /// Server on which a placement runs at this point of the plan.
    fn at(&self, p: usize) -> usize {
        let home = self.cluster.placements[p].server;
        match self.decision.target[p] {
            Some(to) if self.running[to].contains(&p) => to,
            _ => home,
        }
    }

    fn activity_steps(&self, p: usize, verb: Verb, peer: Option<usize>, why: &str) -> Vec<Step> {
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
            .filter(|a| {
                // Half a move: what is there already need not be taken in again.
                let there = cluster.snapshot.activities[**a]
                    .copies
                    .iter()
                    .any(|c| c.0 as usize == server);
                !(verb == Verb::TakeIn && there)
            })
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

    fn divert_more(&mut self, why: &str) {
        let load = self.forward.load.clone();
        let before = self.forward.feeds.clone();
        let steps = self.refeed(&load);
        if steps.is_empty() {
            return;
        }
        let switch = self
            .forward
            .feeds
            .iter()
            .map(|f| self.cluster.links[f.link].switch_seconds)
            .fold(0.0, f64::max);
        let reason = words::divert_more(self.cluster, &before, &self.forward.feeds, why);
        self.push(Trigger::AfterResults, steps, reason);
        self.run_for(switch + SETTLE_SECONDS);
    }

    /// Hosts on which nothing is left go to standby, or off where somebody can start them again.
    fn close_hosts(&mut self) {
        let cluster = self.cluster;
        let mut steps = Vec::new();
        let mut longest = 0.0_f64;
        for s in 0..cluster.nodes.len() {
            let node = &cluster.nodes[s];
            let done = self.closed[s] || !self.running[s].is_empty() || !on_battery(cluster, s);
            if done || !node.touchable || !self.forward.on[s] || node.fixed > 0.0 || !node.stopping.is_empty()
            {
                continue;
            }
            self.closed[s] = true;
            let state = if node.can_switch_off {
                HostState::Off
            } else {
                HostState::Standby
            };
            if state == HostState::Off {
                self.forward.halt(s);
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

    /// Everything after the first minutes: one step down at a time, until nothing is left that could be kept.
    fn steps_down(&mut self, end_scale: &[f64]) {
        let mut steps = 0;
        // Each pass ends a placement, empties a reserve or promise, or halts a host.
        let bound = 4 * (self.cluster.placements.len() + self.cluster.stores.len() + self.loans.len())
            + 2 * self.cluster.nodes.len()
            + 16;
        for _ in 0..bound {
            let next = self.next(end_scale);
            match next {
                Next::Nothing => break,
                Next::End(group) => {
                    steps += 1;
                    self.step_down(group, steps, None);
                }
                Next::Floor(s) => {
                    let Some(lowest) = self.running[s]
                        .iter()
                        .map(|p| self.cluster.placements[*p].class)
                        .max()
                    else {
                        continue;
                    };
                    let group: Vec<usize> = self.running[s]
                        .iter()
                        .copied()
                        .filter(|p| self.cluster.placements[*p].class == lowest)
                        .collect();
                    steps += 1;
                    self.step_down(group, steps, Some(s));
                }
                Next::Feeds => self.change_feeds(),
                Next::Halt(s) => self.last_halt(s),
            }
        }
    }

    /// Energy that a server can still count on: its part of its own reserves, and what is promised to it.
    fn reachable(&self, s: usize) -> f64 {
        let cluster = self.cluster;
        let own: f64 = cluster.nodes[s]
            .stores
            .iter()
            .map(|r| {
                let lent: f64 = self
                    .loans
                    .iter()
                    .filter(|l| l.store == *r && l.server != s)
                    .map(|l| l.energy)
                    .sum();
                let homes: f64 = cluster.stores[*r]
                    .homes
                    .iter()
                    .map(|h| self.forward.load[*h])
                    .sum();
                (self.forward.energy[*r] - lent).max(0.0) * ratio(self.forward.load[s], homes).clamp(0.0, 1.0)
            })
            .sum();
        let lines: f64 = self
            .loans
            .iter()
            .filter(|l| l.server == s)
            .map(|l| l.energy.min(self.forward.energy[l.store]) * cluster.links[l.link].efficiency)
            .sum();
        own + lines
    }

    /// Own energy of a server alone.
    fn own_energy(&self, s: usize) -> f64 {
        self.cluster.nodes[s]
            .stores
            .iter()
            .map(|r| self.forward.energy[*r])
            .sum()
    }

    fn own_drain(&self, s: usize) -> f64 {
        let from_lines: f64 = self
            .forward
            .feeds
            .iter()
            .zip(&self.forward.feed_watts)
            .filter(|(f, _)| f.server == s)
            .map(|(f, w)| w * self.cluster.links[f.link].efficiency)
            .sum();
        (self.forward.load[s] - from_lines).max(0.0)
    }

    /// Runs forward to whatever comes next.
    fn next(&mut self, end_scale: &[f64]) -> Next {
        let cluster = self.cluster;
        let ends = self.ends(end_scale);
        let bound = 4 * (cluster.stores.len() + cluster.nodes.len()) + 64;
        for _ in 0..bound {
            let mut best = (f64::INFINITY, Next::Nothing);
            if let Some((at, group)) = ends.first() {
                best = ((at - self.forward.time).max(0.0), Next::End(group.clone()));
            }
            for s in (0..cluster.nodes.len()).filter(|s| on_battery(cluster, *s) && self.forward.on[*s]) {
                if self.running[s].is_empty() {
                    let last = self.halt_due(s);
                    if last < best.0 {
                        best = (last, Next::Halt(s));
                    }
                    continue;
                }
                let due = self.floor_due(s);
                if due < best.0 {
                    best = (due, Next::Floor(s));
                }
            }
            let used_up = self.loan_due();
            if used_up < best.0 {
                best = (used_up, Next::Feeds);
            }
            if best.0.is_infinite() {
                return Next::Nothing;
            }
            let event = self.forward.next_event();
            if event < best.0 {
                // Powers change before that: look again from there.
                self.run_for(event + 1e-6);
                continue;
            }
            self.run_for(best.0);
            return best.1;
        }
        Next::Nothing
    }

    /// Planned ends of what still runs on batteries, in order of time; those of one class and time are one step.
    fn ends(&self, end_scale: &[f64]) -> Vec<(f64, Vec<usize>)> {
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
                    ends.push((total * end_scale[s], class, rank[s] < class, *p));
                }
            }
        }
        ends.sort_by(|a, b| {
            let slot = |t: f64| whole(t / SAME_TIME_SECONDS);
            slot(a.0)
                .cmp(&slot(b.0))
                .then(b.1.cmp(&a.1))
                .then(a.2.cmp(&b.2))
                .then(a.3.cmp(&b.3))
        });
        let merge = if ends.len() > MOST_STEPS_DOWN {
            let span = ends.last().map_or(0.0, |e| e.0) - ends.first().map_or(0.0, |e| e.0);
            (span / MOST_STEPS_DOWN as f64).max(SAME_TIME_SECONDS)
        } else {
            SAME_TIME_SECONDS
        };
        let Some(first) = ends.first().copied() else {
            return Vec::new();
        };
        let group = ends
            .iter()
            .take_while(|e| e.0 - first.0 <= merge && e.1 == first.1 && e.2 == first.2)
            .map(|e| e.3)
            .collect();
        vec![(first.0, group)]
    }

    /// Time until what can reach a server is down to its clean end.
    fn floor_due(&self, s: usize) -> f64 {
        let load = self.forward.load[s];
        if load <= 0.0 {
            return f64::INFINITY;
        }
        let keep = hold_back(self.cluster, s, &self.running[s]);
        let reach = ratio((self.reachable(s) - keep).max(0.0), load);
        // Where the lines cannot carry it whole, the own reserve goes first, and must not go below a clean end.
        let own = self.own_drain(s);
        let alone = if own > load * 0.01 && !self.cluster.nodes[s].stores.is_empty() {
            let lines_then = load - own;
            let need = keep * ratio(own, own + lines_then);
            ratio((self.own_energy(s) - need).max(0.0), own)
        } else {
            f64::INFINITY
        };
        reach.min(alone)
    }

    /// Time until an idle host has to halt for want of energy.
    fn halt_due(&self, s: usize) -> f64 {
        let node = &self.cluster.nodes[s];
        let load = self.forward.load[s];
        if load <= 0.0 || !node.touchable || node.fixed > 0.0 {
            return f64::INFINITY;
        }
        let keep = hold_back(self.cluster, s, &[]);
        ratio((self.reachable(s) - keep).max(0.0), load)
    }

    /// Time until a promise is used up whose reserve has something else to keep.
    fn loan_due(&self) -> f64 {
        let mut due = f64::INFINITY;
        for (feed, watts) in self.forward.feeds.iter().zip(&self.forward.feed_watts) {
            let key = (feed.link, feed.store, feed.server);
            if *watts <= 0.0 || !commandable(self.cluster, feed) || self.settled.contains(&key) {
                continue;
            }
            let loan = self
                .loans
                .iter()
                .find(|l| (l.link, l.store, l.server) == (feed.link, feed.store, feed.server));
            let left = loan.map_or(0.0, |l| l.energy);
            let home = self.cluster.stores[feed.store]
                .homes
                .iter()
                .any(|s| self.forward.on[*s] && *s != feed.server);
            let others = self
                .loans
                .iter()
                .any(|l| l.store == feed.store && l.server != feed.server && l.energy > 1.0);
            // Another promise waits for the place on the line, at the server or at the reserve.
            let limited = self.loans.iter().any(|l| {
                let shares = l.server == feed.server || l.link == feed.link || l.store == feed.store;
                let waits = !self
                    .forward
                    .feeds
                    .iter()
                    .any(|f| (f.link, f.store, f.server) == (l.link, l.store, l.server));
                shares && waits && l.energy > 1.0
            });
            if (home || others || limited) && self.forward.energy[feed.store] > 1.0 {
                due = due.min(ratio(left, *watts));
            }
        }
        due
    }

    fn change_feeds(&mut self) {
        // What is all but used up counts as used up.
        for loan in &mut self.loans {
            let flowing = self
                .forward
                .feeds
                .iter()
                .zip(&self.forward.feed_watts)
                .any(|(f, w)| {
                    (f.link, f.store, f.server) == (loan.link, loan.store, loan.server)
                        && *w * 0.1 > loan.energy
                });
            if flowing || loan.energy < 1_000.0 {
                loan.energy = 0.0;
            }
        }
        let stores: Vec<usize> = self
            .forward
            .feeds
            .iter()
            .filter(|f| {
                !self
                    .loans
                    .iter()
                    .any(|l| (l.link, l.store, l.server) == (f.link, f.store, f.server) && l.energy > 0.0)
            })
            .map(|f| f.store)
            .collect();
        let trigger = self.threshold(stores);
        let load = self.forward.load.clone();
        let steps = self.refeed(&load);
        if steps.is_empty() {
            // Nothing to switch, and the promise is gone: it must not come up again.
            self.settled = self
                .forward
                .feeds
                .iter()
                .map(|f| (f.link, f.store, f.server))
                .filter(|key| {
                    !self
                        .loans
                        .iter()
                        .any(|l| (l.link, l.store, l.server) == *key && l.energy > 0.0)
                })
                .collect();
            return;
        }
        self.settled.clear();
        self.push(trigger, steps, words::promise_used(self.cluster));
        self.run_for(SETTLE_SECONDS);
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
            return Trigger::Elapsed {
                millis: whole((self.cluster.elapsed + self.forward.time) * 1_000.0),
            };
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

    fn step_down(&mut self, group: Vec<usize>, step: usize, short: Option<usize>) {
        let cluster = self.cluster;
        let mut servers: Vec<usize> = group.iter().map(|p| self.at(*p)).collect();
        servers.sort_unstable();
        servers.dedup();
        let trigger = self.threshold(self.feeding(&servers));
        let reason = words::step_down(cluster, self.decision, &group, &servers, step, short, &trigger);
        let mut steps = Vec::new();
        let mut longest = 0.0_f64;
        for p in &group {
            let at = self.at(*p);
            let why = words::ended(cluster, self.decision, *p, short, self.forward.time);
            steps.extend(self.activity_steps(*p, Verb::Stop, Some(at), &why));
            longest = longest.max(self.stop(*p));
        }
        self.push(trigger, steps, reason);
        self.run_for(longest + SETTLE_SECONDS);
        self.divert_more("what was just stopped leaves watts and joules to others");
        self.close_hosts();
    }

    fn last_halt(&mut self, s: usize) {
        let cluster = self.cluster;
        let trigger = self.threshold(cluster.nodes[s].stores.clone());
        let step = Step {
            kind: StepKind::Host {
                server: cluster.server_name(s).clone(),
                state: HostState::Off,
            },
            reason: words::last_halt(cluster, s),
        };
        self.push(trigger, vec![step], words::last_halt_stage(cluster, s));
        self.forward.halt(s);
        self.closed[s] = true;
        self.run_for(cluster.nodes[s].halt_seconds + SETTLE_SECONDS);
        // It is off now; if a halt takes no time, it is off at once.
        self.forward.on[s] = false;
    }
}
