//! The planner's electricity: who feeds whom from event to event, with the rules of the plant. Mains feeds first, then
//! what is joined on lines in proportion to the caps, then a server's own reserves in proportion to what they can give;
//! a reserve at its cut-off gives nothing, and a server that gets less than it draws for longer than its power supply
//! holds is lost. A plan is written on this, and then rehearsed on it as written.
//!
//! Between two events all powers are constant. Where no limit binds, a server's flows are its own affair, and a change
//! costs no more than its feeds; only where a line or a reserve is at its limit is everything found anew that hangs on it.
//!
//! Times are microseconds from the time of planning, powers milliwatts, energies millijoules at a reserve's output.

mod sharing;

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::prepare::{Cluster, Feed, Supply};
use crate::model::Changeover;

/// Longest break that a power supply carries by itself, microseconds.
const HOLD_UP_MICROS: u64 = 10_000;
/// Power that is not worth a quarrel, milliwatts.
const CRUMB: f64 = 1.0;
/// Energy that counts as nothing, millijoules.
const EMPTY: f64 = 1.0;

/// A pair joined, being joined or being taken off on a line.
#[derive(Debug, Clone)]
struct Setting {
    link: usize,
    store: usize,
    server: usize,
    /// Power that may pass, at the line's input.
    cap: f64,
    live: bool,
    /// When it changes to joined or is gone, and whether it will be there then.
    due: Option<(u64, bool)>,
    /// Power at the line's input.
    flow: f64,
    /// Energy that has passed, at the line's input, up to `at`.
    passed: f64,
    at: u64,
}

#[derive(Debug, Clone)]
struct Level {
    /// Energy at the output, at `at`.
    energy: f64,
    at: u64,
    output: f64,
    drain: f64,
    version: u32,
    watches: Vec<usize>,
}

/// A sum of charges that is waited for.
#[derive(Debug, Clone)]
struct Watch {
    members: Vec<usize>,
    /// Energy in the stores at `at`, less the threshold.
    above: f64,
    /// By which that falls.
    drain: f64,
    at: u64,
    version: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Due {
    /// The load of a server changes by so many milliwatts.
    Load {
        server: usize,
        milliwatts: i64,
    },
    Off {
        server: usize,
    },
    Empty {
        store: usize,
        version: u32,
    },
    Switch {
        setting: usize,
    },
    Starve {
        server: usize,
        since: u64,
    },
    Watch {
        watch: usize,
        version: u32,
    },
}

/// State of a run.
#[derive(Debug, Clone)]
pub(super) struct Electricity<'a, 'c> {
    cluster: &'a Cluster<'c>,
    pub(super) now: u64,
    /// Draw of each server: what it wants, at most its peak.
    pub(super) load: Vec<f64>,
    wanted: Vec<f64>,
    pub(super) on: Vec<bool>,
    levels: Vec<Level>,
    settings: Vec<Setting>,
    by_server: Vec<Vec<usize>>,
    by_store: Vec<Vec<usize>>,
    by_link: Vec<Vec<usize>>,
    /// What each server takes from each of its own reserves.
    own: Vec<Vec<f64>>,
    link_used: Vec<f64>,
    store_used: Vec<f64>,
    /// Something is at its limit here, so that what one server takes is another one's affair.
    link_full: Vec<bool>,
    store_full: Vec<bool>,
    short_since: Vec<Option<u64>>,
    /// Servers that lost power, and when.
    pub(super) lost: Vec<(usize, u64)>,
    watches: Vec<Watch>,
    /// Watches that have been met.
    pub(super) fallen: Vec<usize>,
    due: BinaryHeap<Reverse<(u64, u64, Due)>>,
    sequence: u64,
    changed: Vec<usize>,
    /// Every change of what a reserve gives: (time, energy left), where that is asked for.
    history: Option<Vec<Vec<(u64, f64)>>>,
    no_mains: bool,
    space: sharing::Space,
}

impl<'a, 'c> Electricity<'a, 'c> {
    pub(super) fn new(cluster: &'a Cluster<'c>) -> Self {
        let (servers, stores, links) = (cluster.nodes.len(), cluster.stores.len(), cluster.links.len());
        let wanted: Vec<f64> = (0..servers).map(|s| cluster.draw_now(s)).collect();
        let mut this = Self {
            cluster,
            now: 0,
            load: wanted
                .iter()
                .zip(&cluster.nodes)
                .map(|(w, n)| w.min(n.most()))
                .collect(),
            wanted,
            on: cluster.nodes.iter().map(|n| n.supply != Supply::Dark).collect(),
            levels: cluster
                .stores
                .iter()
                .map(|s| Level {
                    energy: s.energy,
                    at: 0,
                    output: 0.0,
                    drain: 0.0,
                    version: 0,
                    watches: Vec::new(),
                })
                .collect(),
            settings: Vec::new(),
            by_server: vec![Vec::new(); servers],
            by_store: vec![Vec::new(); stores],
            by_link: vec![Vec::new(); links],
            own: cluster.nodes.iter().map(|n| vec![0.0; n.stores.len()]).collect(),
            link_used: vec![0.0; links],
            store_used: vec![0.0; stores],
            link_full: vec![false; links],
            store_full: vec![false; stores],
            short_since: vec![None; servers],
            lost: Vec::new(),
            watches: Vec::new(),
            fallen: Vec::new(),
            due: BinaryHeap::new(),
            sequence: 0,
            changed: (0..servers).collect(),
            history: None,
            no_mains: false,
            space: sharing::Space::new(servers, stores, links),
        };
        for feed in &cluster.joined {
            this.add_setting(*feed, true);
        }
        this
    }

    /// No server has mains any more.
    pub(super) fn lose_all_mains(&mut self) {
        self.no_mains = true;
        self.changed.extend(0..self.cluster.nodes.len());
    }

    /// From now on every change of a reserve is written down.
    pub(super) fn keep_history(&mut self) {
        self.history = Some(self.levels.iter().map(|l| vec![(self.now, l.energy)]).collect());
    }

    /// What was written down, up to now.
    pub(super) fn take_history(&mut self) -> Vec<Vec<(u64, f64)>> {
        let now = self.now;
        let mut history = self.history.take().unwrap_or_default();
        for (r, points) in history.iter_mut().enumerate() {
            points.push((now, self.energy(r)));
        }
        history
    }

    fn add_setting(&mut self, feed: Feed, live: bool) -> usize {
        let at = self.settings.len();
        self.settings.push(Setting {
            link: feed.link,
            store: feed.store,
            server: feed.server,
            cap: feed.watts,
            live,
            due: None,
            flow: 0.0,
            passed: 0.0,
            at: self.now,
        });
        self.by_server[feed.server].push(at);
        self.by_store[feed.store].push(at);
        self.by_link[feed.link].push(at);
        at
    }

    fn later(&mut self, at: u64, due: Due) {
        self.sequence += 1;
        self.due.push(Reverse((at, self.sequence, due)));
    }

    fn touch(&mut self, server: usize) {
        self.changed.push(server);
    }

    /// Energy at the output of a reserve now.
    pub(super) fn energy(&self, r: usize) -> f64 {
        let level = &self.levels[r];
        (level.energy - spent(level.drain, self.now - level.at)).max(0.0)
    }

    /// Power at the output of a reserve now.
    pub(super) fn output(&self, r: usize) -> f64 {
        self.levels[r].output
    }

    /// Power into a feed now, and the energy that has gone into it so far; `at` is its place, as [`Self::place`] tells it.
    pub(super) fn feed(&self, at: Option<usize>) -> (f64, f64) {
        at.map_or((0.0, 0.0), |i| {
            let s = &self.settings[i];
            (s.flow, s.passed + spent(s.flow, self.now - s.at))
        })
    }

    /// Where a feed stands, once it was joined; that does not change any more.
    pub(super) fn place(&self, feed: &Feed) -> Option<usize> {
        self.setting(feed.link, feed.store, feed.server)
    }

    fn setting(&self, link: usize, store: usize, server: usize) -> Option<usize> {
        self.by_server[server].iter().copied().find(|i| {
            let s = &self.settings[*i];
            s.link == link && s.store == store
        })
    }

    /// Changes the load of a server after so many microseconds. Takes effect with [`Self::settle`] or later.
    pub(super) fn change_load(&mut self, server: usize, milliwatts: f64, after: u64) {
        // Whole milliwatts, so that what is added and taken away again leaves nothing.
        let milliwatts = milliwatts as i64;
        if after == 0 {
            self.apply_load(server, milliwatts);
        } else {
            self.later(self.now.saturating_add(after), Due::Load { server, milliwatts });
        }
    }

    fn apply_load(&mut self, server: usize, milliwatts: i64) {
        if self.on[server] {
            self.wanted[server] = (self.wanted[server] + milliwatts as f64).max(0.0);
            self.load[server] = self.wanted[server].min(self.cluster.nodes[server].most());
            self.touch(server);
        }
    }

    /// A server is off after so many microseconds.
    pub(super) fn switch_off(&mut self, server: usize, after: u64) {
        self.later(self.now.saturating_add(after), Due::Off { server });
    }

    /// Gives a reserve to a server through a line, or takes it off with nothing. Returns when that is done.
    pub(super) fn divert(&mut self, feed: Feed) -> u64 {
        let Feed {
            link,
            store,
            server,
            watts,
        } = feed;
        let line = &self.cluster.snapshot.lines[link];
        let parallel = line.changeover == Changeover::Parallel;
        let due = self.now.saturating_add(line.switch_millis.saturating_mul(1_000));
        let mut done = self.now;
        if watts > 0.0 && self.cluster.links[link].exclusive {
            for other in self.by_link[link].clone() {
                let same = self.settings[other].store == store && self.settings[other].server == server;
                if !same && self.take_off(other, due, parallel) {
                    done = due;
                }
            }
        }
        match (self.setting(link, store, server), watts > 0.0) {
            (None, false) => {}
            (Some(at), false) => {
                if self.take_off(at, due, parallel) {
                    done = due;
                }
            }
            // Another cap on a pair that is joined holds at once.
            (Some(at), true) if self.settings[at].live => {
                self.settings[at].cap = watts;
                self.settings[at].due = None;
            }
            (at, true) => {
                let at = at.unwrap_or_else(|| self.add_setting(feed, false));
                self.settings[at].cap = watts;
                self.settings[at].due = Some((due, true));
                self.later(due, Due::Switch { setting: at });
                done = due;
            }
        }
        self.touch(server);
        done
    }

    fn take_off(&mut self, at: usize, due: u64, parallel: bool) -> bool {
        let setting = &mut self.settings[at];
        if !setting.live {
            setting.due = None;
            return false;
        }
        setting.live = parallel;
        setting.due = Some((due, false));
        let server = setting.server;
        self.touch(server);
        self.later(due, Due::Switch { setting: at });
        true
    }

    /// Waits for these reserves together to fall to `threshold` millijoules in their stores.
    pub(super) fn watch(&mut self, stores: &[usize], threshold: f64) -> usize {
        let at = self.watches.len();
        let (mut above, mut drain) = (-threshold, 0.0);
        for r in stores {
            let (charge, fall) = (self.charge(*r), self.fall(*r));
            above += charge;
            drain += fall;
            self.levels[*r].watches.push(at);
        }
        self.watches.push(Watch {
            members: stores.to_vec(),
            above,
            drain,
            at: self.now,
            version: 0,
        });
        self.predict(at);
        at
    }

    /// Energy in a store now, as it is reported, without the rounding.
    pub(super) fn charge(&self, r: usize) -> f64 {
        let reserve = &self.cluster.snapshot.reserves[r];
        let charge = reserve.charge_millijoules as f64;
        let store = &self.cluster.stores[r];
        // What the figures hold beyond what can be used does not go.
        charge - (store.energy - self.energy(r)).max(0.0) * store.input_per_output
    }

    /// By how much the charge of a store falls.
    fn fall(&self, r: usize) -> f64 {
        self.levels[r].drain * self.cluster.stores[r].input_per_output
    }

    fn predict(&mut self, at: usize) {
        let watch = &self.watches[at];
        // Less than a millijoule is rounding.
        let due = if watch.above <= 1.0 {
            self.now
        } else if watch.drain > 0.0 {
            until(self.now, watch.above, watch.drain)
        } else {
            return;
        };
        let version = watch.version;
        self.later(due, Due::Watch { watch: at, version });
    }

    /// When something happens next by itself.
    pub(super) fn next_due(&self) -> Option<u64> {
        self.due.peek().map(|Reverse((at, _, _))| *at)
    }

    /// Lets time pass to `until`, doing what is due on the way and settling in between.
    pub(super) fn advance(&mut self, until: u64) {
        self.settle();
        while let Some(at) = self.next_due().filter(|at| *at <= until) {
            self.step(at);
        }
        self.now = self.now.max(until);
    }

    /// Lets time pass to `at`, which is no later than [`Self::next_due`], and does what is due then.
    pub(super) fn step(&mut self, at: u64) {
        self.now = self.now.max(at);
        while let Some(Reverse((at, _, due))) = self.due.peek().copied() {
            if at > self.now {
                break;
            }
            self.due.pop();
            self.happen(due);
        }
        self.settle();
    }

    fn happen(&mut self, due: Due) {
        match due {
            Due::Load { server, milliwatts } => self.apply_load(server, milliwatts),
            Due::Off { server } => self.shut(server),
            Due::Empty { store, version } if self.levels[store].version == version => {
                self.pass(store);
                self.levels[store].energy = 0.0;
                self.touch_fed(store);
            }
            Due::Switch { setting } => {
                let s = &mut self.settings[setting];
                if let Some((_, joined)) = s.due.filter(|(at, _)| *at <= self.now) {
                    s.live = joined;
                    s.due = None;
                    let server = s.server;
                    self.touch(server);
                }
            }
            Due::Starve { server, since } if self.short_since[server] == Some(since) => {
                self.shut(server);
                self.lost.push((server, self.now));
            }
            Due::Watch { watch, version } if self.watches[watch].version == version => {
                self.watches[watch].version += 1;
                for r in std::mem::take(&mut self.watches[watch].members) {
                    self.levels[r].watches.retain(|w| *w != watch);
                }
                self.fallen.push(watch);
            }
            _ => {}
        }
    }

    fn shut(&mut self, server: usize) {
        self.on[server] = false;
        (self.load[server], self.wanted[server]) = (0.0, 0.0);
        self.short_since[server] = None;
        self.touch(server);
    }

    fn touch_fed(&mut self, store: usize) {
        for i in &self.by_store[store] {
            self.changed.push(self.settings[*i].server);
        }
        self.changed.extend(&self.cluster.stores[store].homes);
    }

    /// Brings a reserve to this instant.
    fn pass(&mut self, r: usize) {
        let energy = self.energy(r);
        let level = &mut self.levels[r];
        level.energy = energy;
        level.at = self.now;
    }

    fn set_output(&mut self, r: usize, output: f64) {
        let output = output.max(0.0);
        if output == self.levels[r].output {
            return;
        }
        self.pass(r);
        let now = self.now;
        let before = self.fall(r);
        let drain = if output > 0.0 {
            self.cluster.stores[r].drain(output)
        } else {
            0.0
        };
        let level = &mut self.levels[r];
        level.output = output;
        level.drain = drain;
        level.version = level.version.wrapping_add(1);
        let (energy, version) = (level.energy, level.version);
        if let Some(history) = &mut self.history {
            history[r].push((now, energy));
        }
        if drain > 0.0 {
            self.later(until(now, energy, drain), Due::Empty { store: r, version });
        }
        if self.levels[r].watches.is_empty() {
            return;
        }
        let change = self.fall(r) - before;
        for at in self.levels[r].watches.clone() {
            let watch = &mut self.watches[at];
            watch.above -= spent(watch.drain, now - watch.at);
            watch.at = now;
            watch.drain = (watch.drain + change).max(0.0);
            watch.version += 1;
            self.predict(at);
        }
    }

    fn set_flow(&mut self, setting: usize, flow: f64) {
        let now = self.now;
        let s = &mut self.settings[setting];
        s.passed += spent(s.flow, now - s.at);
        s.at = now;
        s.flow = flow;
    }

    /// Notes whether a server gets what it draws.
    fn judge(&mut self, server: usize, missing: f64) {
        // A thousandth is rounding, not hunger.
        let short = self.on[server] && missing > CRUMB.max(self.load[server] / 1_000.0);
        match (short, self.short_since[server]) {
            (true, None) => {
                let since = self.now;
                self.short_since[server] = Some(since);
                self.later(
                    since.saturating_add(HOLD_UP_MICROS),
                    Due::Starve { server, since },
                );
            }
            (false, Some(_)) => self.short_since[server] = None,
            _ => {}
        }
    }
}

/// Millijoules that milliwatts take in microseconds.
fn spent(milliwatts: f64, micros: u64) -> f64 {
    milliwatts * micros as f64 / 1e6
}

/// When so many millijoules are gone; at least one microsecond later, so that time moves on.
fn until(now: u64, millijoules: f64, milliwatts: f64) -> u64 {
    let micros = (millijoules * 1e6 / milliwatts).ceil().clamp(1.0, 1e18);
    // In range by the clamp.
    now.saturating_add(micros as u64)
}

/// Seconds as microseconds, to the nearest; what is not a time is none.
pub(super) fn micros(seconds: f64) -> u64 {
    super::prepare::whole((seconds * 1e6 + 0.5).min(1e18))
}
