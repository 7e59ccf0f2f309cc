//! The plan run forward while it is written: the electricity, with its figures at hand for whoever decides what comes
//! next. Times are seconds from the time of planning.

use super::electricity::{Electricity, micros};
use super::flow::ratio;
use super::prepare::{Cluster, Feed};

/// State of the run.
#[derive(Debug, Clone)]
pub(super) struct Forward<'a, 'c> {
    cluster: &'a Cluster<'c>,
    electricity: Electricity<'a, 'c>,
    /// Seconds from the time of planning.
    pub(super) time: f64,
    /// Output energy left in each reserve.
    pub(super) energy: Vec<f64>,
    /// Draw of each server: what it wants, at most its peak.
    pub(super) load: Vec<f64>,
    pub(super) on: Vec<bool>,
    /// What is joined, or is about to be, by server, line and reserve.
    pub(super) feeds: Vec<Feed>,
    /// Where each of them stands in the electricity.
    places: Vec<Option<usize>>,
    /// Power into each feed now.
    pub(super) feed_watts: Vec<f64>,
    /// Energy into each feed so far, at the line's input.
    feed_passed: Vec<f64>,
    /// Output power of each reserve now.
    pub(super) output: Vec<f64>,
    /// Servers that lost power, and when.
    pub(super) lost: Vec<(usize, f64)>,
}

fn key(feed: &Feed) -> (usize, usize, usize) {
    (feed.server, feed.link, feed.store)
}

impl<'a, 'c> Forward<'a, 'c> {
    pub(super) fn new(cluster: &'a Cluster<'c>) -> Self {
        let mut electricity = Electricity::new(cluster);
        for (s, node) in cluster.nodes.iter().enumerate() {
            for ending in &node.stopping {
                electricity.change_load(s, -ending.draw, micros(ending.seconds));
            }
        }
        let mut feeds = cluster.joined.clone();
        feeds.sort_by_key(key);
        let mut forward = Self {
            cluster,
            electricity,
            time: 0.0,
            energy: Vec::new(),
            load: Vec::new(),
            on: Vec::new(),
            places: Vec::new(),
            feeds,
            feed_watts: Vec::new(),
            feed_passed: Vec::new(),
            output: Vec::new(),
            lost: Vec::new(),
        };
        forward.find_places();
        forward.read();
        forward
    }

    fn find_places(&mut self) {
        let places = self.feeds.iter().map(|f| self.electricity.place(f));
        self.places = places.collect();
    }

    /// Takes the figures of this instant.
    fn read(&mut self) {
        self.electricity.settle();
        let e = &self.electricity;
        self.time = e.now as f64 / 1e6;
        let stores = 0..self.cluster.stores.len();
        self.energy.clear();
        self.energy.extend(stores.clone().map(|r| e.energy(r)));
        self.output.clear();
        self.output.extend(stores.map(|r| e.output(r)));
        self.load.clone_from(&e.load);
        self.on.clone_from(&e.on);
        self.feed_watts.clear();
        self.feed_passed.clear();
        for (watts, passed) in self.places.iter().map(|at| e.feed(*at)) {
            self.feed_watts.push(watts);
            self.feed_passed.push(passed);
        }
        let known = self.lost.len();
        self.lost
            .extend(e.lost[known..].iter().map(|(s, at)| (*s, *at as f64 / 1e6)));
    }

    /// Energy that has gone into each feed so far, at the line's input, and what its reserve loses for one unit of that
    /// now.
    pub(super) fn passed(&self) -> Vec<(f64, f64)> {
        let dear = |store: usize| {
            let output = self.output[store];
            ratio(self.cluster.stores[store].drain(output), output).max(1.0)
        };
        let feeds = self.feeds.iter().zip(&self.feed_passed);
        feeds.map(|(f, passed)| (*passed, dear(f.store))).collect()
    }

    /// Has these feeds joined, and all others taken off.
    pub(super) fn set_feeds(&mut self, mut feeds: Vec<Feed>) {
        feeds.sort_by_key(key);
        let old = std::mem::take(&mut self.feeds);
        for feed in &old {
            if feeds.binary_search_by_key(&key(feed), key).is_err() {
                self.electricity.divert(Feed { watts: 0.0, ..*feed });
            }
        }
        for feed in &feeds {
            let before = old.binary_search_by_key(&key(feed), key).ok().map(|at| old[at]);
            if before != Some(*feed) {
                self.electricity.divert(*feed);
            }
        }
        self.feeds = feeds;
        self.find_places();
        self.read();
    }

    /// The load of a server changes after a while.
    pub(super) fn change_load(&mut self, server: usize, milliwatts: f64, after: f64) {
        self.electricity.change_load(server, milliwatts, micros(after));
        if after <= 0.0 {
            self.load[server] = self.electricity.load[server];
        }
    }

    /// A server halts after a while, and is off after its halt time.
    pub(super) fn halt(&mut self, server: usize, begins: f64) {
        let node = &self.cluster.nodes[server];
        let extra = ratio(node.halt_energy, node.halt_seconds) - node.idle;
        if extra > 0.0 {
            self.change_load(server, extra, begins);
        }
        self.electricity
            .switch_off(server, micros(begins + node.halt_seconds));
    }

    /// Runs on for so many seconds.
    pub(super) fn run_for(&mut self, span: f64) {
        let until = self.electricity.now.saturating_add(micros(span));
        self.electricity.advance(until);
        self.read();
    }

    /// Time to the next change of powers that comes by itself.
    pub(super) fn next_event(&self) -> f64 {
        self.electricity.next_due().map_or(f64::INFINITY, |at| {
            at.saturating_sub(self.electricity.now) as f64 / 1e6
        })
    }
}
