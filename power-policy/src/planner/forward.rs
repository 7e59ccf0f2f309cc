//! The plan run forward: a small copy of the electricity that the plan is written for. Mains feeds first, then what is
//! joined on lines in proportion to the caps, then the server's own reserves; a reserve at its cut-off gives nothing,
//! and a server that is not fed is lost. Between two events all powers are constant.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::flow::ratio;
use super::prepare::{Cluster, Feed, Supply, whole};

/// Rounds of sharing among limits, as many as the electricity itself is given.
const ROUNDS: usize = 8;
/// Power that is not worth a quarrel, milliwatts.
const CRUMB: f64 = 1.0;
/// Energy that counts as nothing, millijoules.
const EMPTY: f64 = 1.0;
/// Most points of a forecast for one reserve.
const MOST_POINTS: usize = 256;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Effect {
    /// Load of a server changes by so many milliwatts.
    Load {
        server: usize,
        milliwatts: i64,
    },
    Off {
        server: usize,
    },
}

/// State of the run.
#[derive(Debug, Clone)]
pub(super) struct Forward<'a, 'c> {
    cluster: &'a Cluster<'c>,
    /// Seconds from the time of planning.
    pub(super) time: f64,
    /// Output energy left in each reserve.
    pub(super) energy: Vec<f64>,
    /// Draw of each server: what it wants, at most its peak.
    pub(super) load: Vec<f64>,
    wanted: Vec<f64>,
    pub(super) on: Vec<bool>,
    pub(super) feeds: Vec<Feed>,
    /// Power into each feed now.
    pub(super) feed_watts: Vec<f64>,
    /// Output power of each reserve now.
    pub(super) output: Vec<f64>,
    /// Servers that lost power, and when.
    pub(super) lost: Vec<(usize, f64)>,
    points: Vec<Vec<(u64, u64)>>,
    effects: BinaryHeap<Reverse<(u64, u64, Effect)>>,
    sequence: u64,
}

impl<'a, 'c> Forward<'a, 'c> {
    pub(super) fn new(cluster: &'a Cluster<'c>) -> Self {
        let mut forward = Self {
            cluster,
            time: 0.0,
            energy: cluster.stores.iter().map(|s| s.energy).collect(),
            load: (0..cluster.nodes.len())
                .map(|s| cluster.draw_now(s).min(cluster.nodes[s].most()))
                .collect(),
            wanted: (0..cluster.nodes.len()).map(|s| cluster.draw_now(s)).collect(),
            on: cluster.nodes.iter().map(|n| n.supply != Supply::Dark).collect(),
            feeds: Vec::new(),
            feed_watts: Vec::new(),
            output: vec![0.0; cluster.stores.len()],
            lost: Vec::new(),
            points: vec![Vec::new(); cluster.stores.len()],
            effects: BinaryHeap::new(),
            sequence: 0,
        };
        for (s, node) in cluster.nodes.iter().enumerate() {
            for (draw, left) in &node.stopping {
                forward.change_load(s, -draw, *left);
            }
        }
        // Nothing is lost yet: a power supply holds up for as long as a quick line takes.
        forward.feeds = cluster.joined.clone();
        forward.feeds.sort_by_key(|f| (f.server, f.link, f.store));
        let _ = forward.route();
        forward
    }

    pub(super) fn set_feeds(&mut self, mut feeds: Vec<Feed>) {
        feeds.sort_by_key(|f| (f.server, f.link, f.store));
        self.feeds = feeds;
        self.settle();
    }

    /// The load of a server changes after a while.
    pub(super) fn change_load(&mut self, server: usize, milliwatts: f64, after: f64) {
        // Whole milliwatts, so that what is added and taken away again leaves nothing.
        let change = Effect::Load {
            server,
            milliwatts: milliwatts as i64,
        };
        if after <= 0.0 {
            self.apply(change);
        } else {
            self.later(after, change);
        }
    }

    /// A server halts after a while, and is off after its halt time.
    pub(super) fn halt(&mut self, server: usize, begins: f64) {
        let node = &self.cluster.nodes[server];
        let after = begins + node.halt_seconds;
        let extra = ratio(node.halt_energy, node.halt_seconds) - node.idle;
        if extra > 0.0 {
            self.change_load(server, extra, begins);
        }
        self.later(after, Effect::Off { server });
    }

    fn later(&mut self, after: f64, effect: Effect) {
        self.sequence += 1;
        // Microseconds: fine enough, and a total order.
        let at = whole((self.time + after.max(0.0)) * 1e6);
        self.effects.push(Reverse((at, self.sequence, effect)));
    }

    fn apply(&mut self, effect: Effect) {
        match effect {
            Effect::Load { server, milliwatts } => {
                if self.on[server] {
                    self.wanted[server] = (self.wanted[server] + milliwatts as f64).max(0.0);
                    self.load[server] = self.wanted[server].min(self.cluster.nodes[server].most());
                }
            }
            Effect::Off { server } => {
                self.on[server] = false;
                self.load[server] = 0.0;
            }
        }
    }

    /// Runs on for so many seconds.
    pub(super) fn run_for(&mut self, span: f64) {
        let end = self.time + span.max(0.0);
        // Every pass handles an effect or empties a reserve; the bound is for absurd figures.
        let bound = self.effects.len() + 4 * self.cluster.stores.len() + self.cluster.nodes.len() + 8;
        for _ in 0..bound {
            self.settle();
            let step = self.next_event().min(end - self.time);
            self.pass(step);
            if self.time >= end {
                break;
            }
        }
        self.time = self.time.max(end);
        self.settle();
    }

    /// Time to the next change of powers that comes by itself.
    pub(super) fn next_event(&self) -> f64 {
        let effect = self
            .effects
            .peek()
            .map_or(f64::INFINITY, |Reverse((at, _, _))| *at as f64 / 1e6 - self.time);
        let empty = self
            .output
            .iter()
            .enumerate()
            .filter(|(_, out)| **out > 0.0)
            .map(|(r, out)| self.energy[r] / self.cluster.stores[r].drain(*out))
            .fold(f64::INFINITY, f64::min);
        effect.min(empty).max(0.0)
    }

    fn pass(&mut self, step: f64) {
        if step > 0.0 && step.is_finite() {
            for (r, out) in self.output.iter().enumerate().filter(|(_, out)| **out > 0.0) {
                let drain = self.cluster.stores[r].drain(*out);
                let left = self.energy[r] - drain * step;
                // What does not last for two milliseconds more is at its cut-off.
                self.energy[r] = if left <= EMPTY.max(drain * 0.002) {
                    0.0
                } else {
                    left
                };
            }
            self.time += step;
        }
        let now = whole(self.time * 1e6);
        while let Some(Reverse((at, _, effect))) = self.effects.peek().copied() {
            if at > now {
                break;
            }
            self.effects.pop();
            self.apply(effect);
        }
    }

    /// Finds the flows of this instant, and the servers that cannot be fed.
    fn settle(&mut self) {
        loop {
            let starving = self.route();
            if starving.is_empty() {
                return;
            }
            for s in starving {
                self.on[s] = false;
                self.load[s] = 0.0;
                self.lost.push((s, self.time));
            }
        }
    }

    fn route(&mut self) -> Vec<usize> {
        let cluster = self.cluster;
        let mut rest: Vec<f64> = self
            .load
            .iter()
            .zip(&cluster.nodes)
            .map(|(load, node)| match node.supply {
                Supply::Battery => *load,
                _ => 0.0,
            })
            .collect();
        let mut left: Vec<f64> = cluster
            .stores
            .iter()
            .zip(&self.energy)
            .map(|(store, energy)| if *energy > EMPTY { store.max_watts } else { 0.0 })
            .collect();
        let full = left.clone();
        let mut line: Vec<f64> = cluster.links.iter().map(|l| l.max_watts).collect();
        self.feed_watts = vec![0.0; self.feeds.len()];
        let mut wants = vec![0.0; self.feeds.len()];
        for _ in 0..ROUNDS {
            let mut at = 0;
            let (mut line_want, mut store_want) = (vec![0.0; line.len()], vec![0.0; left.len()]);
            while at < self.feeds.len() {
                let server = self.feeds[at].server;
                let until = at + self.feeds[at..].partition_point(|f| f.server == server);
                let open = |i: usize| {
                    let f = &self.feeds[i];
                    let room = f.watts - self.feed_watts[i];
                    if left[f.store] > CRUMB && line[f.link] > CRUMB && room > CRUMB {
                        f.watts
                    } else {
                        0.0
                    }
                };
                let weight: f64 = (at..until).map(open).sum();
                for (i, want) in wants.iter_mut().enumerate().take(until).skip(at) {
                    let f = &self.feeds[i];
                    let efficiency = cluster.links[f.link].efficiency;
                    let wish = ratio(rest[server] * open(i), weight);
                    *want = ratio(wish, efficiency).min(f.watts - self.feed_watts[i]);
                    line_want[f.link] += *want;
                    store_want[f.store] += *want;
                }
                at = until;
            }
            let mut granted = 0.0;
            for (want, f) in wants.iter_mut().zip(&self.feeds).filter(|(want, _)| **want > 0.0) {
                let cut =
                    ratio(line[f.link], line_want[f.link]).min(ratio(left[f.store], store_want[f.store]));
                *want *= cut.min(1.0);
                granted += *want;
            }
            for (i, f) in self.feeds.iter().enumerate() {
                self.feed_watts[i] += wants[i];
                line[f.link] -= wants[i];
                left[f.store] -= wants[i];
                rest[f.server] -= wants[i] * cluster.links[f.link].efficiency;
            }
            if granted <= CRUMB {
                break;
            }
        }
        for _ in 0..2 {
            let mut asked = vec![0.0; left.len()];
            for (s, node) in cluster.nodes.iter().enumerate().filter(|(s, _)| rest[*s] > 0.0) {
                let live = node.stores.iter().filter(|r| left[**r] > 0.0).count().max(1) as f64;
                for r in &node.stores {
                    asked[*r] += if left[*r] > 0.0 { rest[s] / live } else { 0.0 };
                }
            }
            let before = left.clone();
            for (s, node) in cluster.nodes.iter().enumerate() {
                let live = node.stores.iter().filter(|r| before[**r] > 0.0).count().max(1) as f64;
                let each = rest[s].max(0.0) / live;
                for r in node.stores.iter().filter(|r| before[**r] > 0.0) {
                    let part = each * ratio(before[*r], asked[*r]).min(1.0);
                    rest[s] -= part;
                    left[*r] -= part;
                }
            }
        }
        for (r, out) in self.output.iter_mut().enumerate() {
            *out = (full[r] - left[r]).max(0.0);
        }
        // A thousandth is rounding, not hunger.
        (0..rest.len())
            .filter(|s| self.on[*s] && rest[*s] > CRUMB.max(self.load[*s] / 1_000.0))
            .collect()
    }

    /// Notes the charge of every reserve for the forecast.
    pub(super) fn note(&mut self) {
        let at = whole((self.cluster.elapsed + self.time) * 1_000.0);
        for (r, points) in self.points.iter_mut().enumerate() {
            let charge = self.cluster.charge(r, self.energy[r]);
            let full = points.len() >= MOST_POINTS;
            match points.last_mut() {
                Some(last) if last.0 >= at => last.1 = last.1.min(charge),
                Some(last) if full => *last = (at, charge),
                _ => points.push((at, charge)),
            }
        }
    }

    pub(super) fn points(&self, r: usize) -> Vec<(u64, u64)> {
        let mut points: Vec<(u64, u64)> = Vec::new();
        for (i, point) in self.points[r].iter().enumerate() {
            let flat = points.last().is_some_and(|p| p.1 == point.1)
                && self.points[r].get(i + 1).is_none_or(|next| next.1 == point.1);
            if !flat {
                points.push(*point);
            }
        }
        points
    }
}
