//! The checker's own electricity: the documented physics of the plant, written a second time on purpose, in floating
//! point, from event to event.
//!
//! Mains first; then what is joined on lines, in proportion to the caps; then a server's own reserves, in proportion to
//! what they can give. A reserve at its cut-off gives nothing. A server that gets less than it draws for longer than
//! its power supply holds is lost. Only what hangs together electrically is computed anew when something changes, so
//! that a large cluster whose servers live on their own reserves costs little more than its events.

mod sharing;

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::model::{Changeover, LineMode, Mains, Powered, Reserve, Snapshot};

/// Longest break that a power supply carries by itself, in microseconds (10 to 20 ms is usual).
const HOLD_UP_MICROS: u64 = 10_000;

/// A pair joined, being joined or being taken off on a line.
#[derive(Debug, Clone)]
struct Setting {
    line: usize,
    reserve: usize,
    server: usize,
    /// Milliwatts at the line's input.
    cap: f64,
    live: bool,
    /// When it changes to joined or is gone, and whether it will be there then.
    due: Option<(u64, bool)>,
}

#[derive(Debug, Clone)]
struct Store {
    /// Millijoules above the cut-off, at `at`.
    available: f64,
    cutoff: f64,
    at: u64,
    /// Milliwatts at the output, and by which the store falls.
    output: f64,
    drain: f64,
    limit: f64,
    version: u32,
    /// Breakpoints: time in microseconds, millijoules in the store.
    history: Vec<(u64, f64)>,
    lowest: f64,
}

/// A sum of charges that is waited for.
#[derive(Debug, Clone)]
struct Watch {
    members: Vec<usize>,
    /// Millijoules in the stores at `at`, less the threshold.
    above: f64,
    drain: f64,
    at: u64,
    version: u32,
    active: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Due {
    Exhaust { reserve: usize, version: u32 },
    Switch { setting: usize },
    Starve { server: usize, since: u64 },
    Watch { watch: usize, version: u32 },
}

/// What happened on the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::checker) enum Happening {
    /// A server was not fed, and is lost.
    Lost { server: usize },
    /// A watched charge has fallen to its threshold.
    Fallen { watch: usize },
}

pub(in crate::checker) struct Electricity<'a> {
    snapshot: &'a Snapshot,
    pub(in crate::checker) now: u64,
    load: Vec<f64>,
    on_mains: Vec<bool>,
    own: Vec<Vec<usize>>,
    stores: Vec<Store>,
    settings: Vec<Setting>,
    by_server: Vec<Vec<usize>>,
    by_reserve: Vec<Vec<usize>>,
    by_line: Vec<Vec<usize>>,
    short_since: Vec<Option<u64>>,
    watches: Vec<Watch>,
    watched: Vec<Vec<usize>>,
    due: BinaryHeap<Reverse<(u64, Due)>>,
    dirty: Vec<usize>,
    // Working space, by server, reserve and line.
    rest: Vec<f64>,
    reserve_left: Vec<f64>,
    reserve_want: Vec<f64>,
    line_left: Vec<f64>,
    line_want: Vec<f64>,
    mark: Vec<[u32; 3]>,
    stamp: u32,
}

/// Which servers the run takes as fed by the mains.
pub(in crate::checker) fn is_on_mains(snapshot: &Snapshot, server: usize, all_lost: bool) -> bool {
    let s = &snapshot.servers[server];
    // Where nobody can tell, nothing can be judged; it is left as it is.
    !all_lost && s.mains != Mains::Absent
}

impl<'a> Electricity<'a> {
    pub(in crate::checker) fn new(snapshot: &'a Snapshot, all_lost: bool) -> Self {
        let (servers, reserves, lines) = (
            snapshot.servers.len(),
            snapshot.reserves.len(),
            snapshot.lines.len(),
        );
        let mut own = vec![Vec::new(); servers];
        for (r, reserve) in snapshot.reserves.iter().enumerate() {
            for s in &reserve.feeds {
                own[s.0 as usize].push(r);
            }
        }
        let mut this = Self {
            snapshot,
            now: 0,
            load: vec![0.0; servers],
            on_mains: (0..servers).map(|s| is_on_mains(snapshot, s, all_lost)).collect(),
            own,
            stores: snapshot.reserves.iter().map(store).collect(),
            settings: Vec::new(),
            by_server: vec![Vec::new(); servers],
            by_reserve: vec![Vec::new(); reserves],
            by_line: vec![Vec::new(); lines],
            short_since: vec![None; servers],
            watches: Vec::new(),
            watched: vec![Vec::new(); reserves],
            due: BinaryHeap::new(),
            dirty: Vec::new(),
            rest: vec![0.0; servers],
            reserve_left: vec![0.0; reserves],
            reserve_want: vec![0.0; reserves],
            line_left: vec![0.0; lines],
            line_want: vec![0.0; lines],
            mark: vec![[0; 3]; servers.max(reserves).max(lines)],
            stamp: 0,
        };
        for (l, line) in snapshot.lines.iter().enumerate() {
            for joined in &line.joined {
                this.add_setting(
                    l,
                    joined.reserve.0 as usize,
                    joined.server.0 as usize,
                    joined.milliwatts,
                    true,
                );
            }
        }
        this
    }

    fn add_setting(&mut self, line: usize, reserve: usize, server: usize, cap: u64, live: bool) -> usize {
        let at = self.settings.len();
        self.settings.push(Setting {
            line,
            reserve,
            server,
            cap: cap as f64,
            live,
            due: None,
        });
        self.by_server[server].push(at);
        self.by_reserve[reserve].push(at);
        self.by_line[line].push(at);
        at
    }

    /// What a server draws from now on, in milliwatts. Takes effect with [`Self::settle`].
    pub(in crate::checker) fn set_load(&mut self, server: usize, milliwatts: f64) {
        if self.load[server] != milliwatts {
            self.load[server] = milliwatts;
            self.dirty.push(server);
        }
    }

    /// Gives a reserve to a server through a line, or takes it off with 0. Returns when that is done.
    pub(in crate::checker) fn divert(
        &mut self,
        line: usize,
        reserve: usize,
        server: usize,
        milliwatts: u64,
    ) -> u64 {
        let config = &self.snapshot.lines[line];
        let (exclusive, parallel) = (
            config.mode == LineMode::Exclusive,
            config.changeover == Changeover::Parallel,
        );
        let due = self
            .now
            .saturating_add(config.switch_millis.saturating_mul(1_000));
        let mut done = self.now;
        if milliwatts > 0 && exclusive {
            for other in self.by_line[line].clone() {
                let same = self.settings[other].reserve == reserve && self.settings[other].server == server;
                if !same && self.take_off(other, due, parallel) {
                    done = due;
                }
            }
        }
        let known = self.by_server[server].iter().copied().find(|i| {
            let s = &self.settings[*i];
            s.line == line && s.reserve == reserve
        });
        match (known, milliwatts) {
            (None, 0) => {}
            (Some(at), 0) => {
                if self.take_off(at, due, parallel) {
                    done = due;
                }
            }
            // Another cap on a pair that is joined holds at once.
            (Some(at), _) if self.settings[at].live => {
                self.settings[at].cap = milliwatts as f64;
                self.settings[at].due = None;
            }
            (at, _) => {
                let at = at.unwrap_or_else(|| self.add_setting(line, reserve, server, milliwatts, false));
                self.settings[at].cap = milliwatts as f64;
                self.settings[at].due = Some((due, true));
                self.due.push(Reverse((due, Due::Switch { setting: at })));
                done = due;
            }
        }
        self.dirty.push(server);
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
        self.dirty.push(setting.server);
        self.due.push(Reverse((due, Due::Switch { setting: at })));
        true
    }

    /// Waits for these reserves together to fall to `threshold` millijoules.
    pub(in crate::checker) fn watch(&mut self, reserves: &[usize], threshold: f64) -> usize {
        let at = self.watches.len();
        let (mut above, mut drain) = (-threshold, 0.0);
        for r in reserves {
            above += self.energy(*r);
            drain += self.stores[*r].drain;
            self.watched[*r].push(at);
        }
        self.watches.push(Watch {
            members: reserves.to_vec(),
            above,
            drain,
            at: self.now,
            version: 0,
            active: true,
        });
        self.predict(at);
        at
    }

    fn predict(&mut self, at: usize) {
        let watch = &self.watches[at];
        let due = if watch.above <= 0.0 {
            self.now
        } else if watch.drain > 0.0 {
            later(self.now, watch.above, watch.drain)
        } else {
            return;
        };
        let event = Due::Watch {
            watch: at,
            version: watch.version,
        };
        self.due.push(Reverse((due, event)));
    }

    /// Energy in a store now, cut-off included, in millijoules.
    pub(in crate::checker) fn energy(&self, reserve: usize) -> f64 {
        let store = &self.stores[reserve];
        store.cutoff + (store.available - spent(store.drain, self.now - store.at)).max(0.0)
    }

    /// The lowest energy that a store has had, cut-off included, in millijoules.
    pub(in crate::checker) fn lowest(&self, reserve: usize) -> f64 {
        let store = &self.stores[reserve];
        store.cutoff
            + store
                .lowest
                .min((store.available - spent(store.drain, self.now - store.at)).max(0.0))
    }

    pub(in crate::checker) fn into_histories(mut self) -> Vec<Vec<(u64, f64)>> {
        for r in 0..self.stores.len() {
            let energy = self.energy(r);
            let now = self.now;
            self.stores[r].history.push((now, energy));
        }
        self.stores.into_iter().map(|s| s.history).collect()
    }

    /// When something happens next by itself.
    pub(in crate::checker) fn next_due(&self) -> Option<u64> {
        self.due.peek().map(|Reverse((at, _))| *at)
    }

    /// Lets time pass up to `until`, which is no later than [`Self::next_due`], and does what is due then.
    pub(in crate::checker) fn advance(&mut self, until: u64, happenings: &mut Vec<Happening>) {
        self.now = self.now.max(until);
        while let Some(Reverse((at, event))) = self.due.peek().copied() {
            if at > self.now {
                break;
            }
            self.due.pop();
            match event {
                Due::Exhaust { reserve, version } if self.stores[reserve].version == version => {
                    self.pass(reserve);
                    self.stores[reserve].available = 0.0;
                    self.touch_reserve(reserve);
                }
                Due::Switch { setting } => {
                    let s = &mut self.settings[setting];
                    if let Some((due, joined)) = s.due.filter(|(due, _)| *due <= at) {
                        debug_assert!(due <= at);
                        s.live = joined;
                        s.due = None;
                        self.dirty.push(s.server);
                        let reserve = s.reserve;
                        self.touch_reserve(reserve);
                    }
                }
                Due::Starve { server, since } if self.short_since[server] == Some(since) => {
                    self.short_since[server] = None;
                    self.set_load(server, 0.0);
                    happenings.push(Happening::Lost { server });
                }
                Due::Watch { watch, version }
                    if self.watches[watch].active && self.watches[watch].version == version =>
                {
                    self.watches[watch].active = false;
                    let members = std::mem::take(&mut self.watches[watch].members);
                    for r in members {
                        self.watched[r].retain(|w| *w != watch);
                    }
                    happenings.push(Happening::Fallen { watch });
                }
                _ => {}
            }
        }
        self.settle();
    }

    fn touch_reserve(&mut self, reserve: usize) {
        let servers = self.by_reserve[reserve].iter().map(|s| self.settings[*s].server);
        let servers: Vec<usize> = servers
            .chain(self.snapshot.reserves[reserve].feeds.iter().map(|s| s.0 as usize))
            .collect();
        self.dirty.extend(servers);
    }

    /// Brings the flows of everything that changed to this instant.
    pub(in crate::checker) fn settle(&mut self) {
        // A round empties at least one reserve, or is the last.
        while !self.dirty.is_empty() {
            let seeds = std::mem::take(&mut self.dirty);
            let (servers, reserves, lines) = self.component(&seeds);
            self.route(&servers, &reserves, &lines);
        }
    }

    /// Brings a store to this instant.
    fn pass(&mut self, reserve: usize) {
        let now = self.now;
        let store = &mut self.stores[reserve];
        store.available = (store.available - spent(store.drain, now - store.at)).max(0.0);
        store.at = now;
        store.lowest = store.lowest.min(store.available);
    }

    fn set_output(&mut self, reserve: usize, output: f64) {
        let model = &self.snapshot.reserves[reserve];
        let store = &mut self.stores[reserve];
        if output == store.output && store.available > 0.0 {
            return;
        }
        let before = store.drain;
        store.output = output;
        store.drain = drain(model, output);
        store.version += 1;
        let energy = store.cutoff + store.available;
        store.history.push((self.now, energy));
        if store.drain > 0.0 {
            let due = later(self.now, store.available, store.drain);
            let event = Due::Exhaust {
                reserve,
                version: store.version,
            };
            self.due.push(Reverse((due, event)));
        }
        let change = store.drain - before;
        for at in self.watched[reserve].clone() {
            let watch = &mut self.watches[at];
            watch.above -= spent(watch.drain, self.now - watch.at);
            watch.at = self.now;
            watch.drain = (watch.drain + change).max(0.0);
            watch.version += 1;
            self.predict(at);
        }
    }
}

fn store(reserve: &Reserve) -> Store {
    let available = reserve.drawable_millijoules() as f64;
    Store {
        available,
        cutoff: reserve.charge_millijoules as f64 - available,
        at: 0,
        output: 0.0,
        drain: 0.0,
        limit: reserve.max_discharge_milliwatts as f64,
        version: 0,
        history: vec![(0, reserve.charge_millijoules as f64)],
        lowest: available,
    }
}

/// By how many milliwatts a store falls when it gives `output` at its output.
pub(in crate::checker) fn drain(reserve: &Reserve, output: f64) -> f64 {
    if output <= 0.0 {
        return 0.0;
    }
    let input = output / permille(reserve.efficiency_permille);
    let exponent = (f64::from(reserve.peukert_permille) - 1_000.0) / 1_000.0;
    let rated = reserve.rated_milliwatts() as f64;
    if exponent <= 0.0 || rated <= 0.0 || input <= rated {
        return input;
    }
    input * libm::pow(input / rated, exponent)
}

/// A declared efficiency as a factor; one of nothing would divide by zero.
pub(in crate::checker) fn permille(figure: u32) -> f64 {
    f64::from(figure.clamp(1, 1_000)) / 1_000.0
}

/// Millijoules that milliwatts take in microseconds.
fn spent(milliwatts: f64, micros: u64) -> f64 {
    milliwatts * micros as f64 / 1e6
}

/// When so many millijoules are gone; at least one microsecond later, so that time moves on.
fn later(now: u64, millijoules: f64, milliwatts: f64) -> u64 {
    let micros = (millijoules * 1e6 / milliwatts).ceil().clamp(1.0, 1e18);
    // In range by the clamp.
    now.saturating_add(micros as u64)
}

/// Whether a server draws by itself at the beginning.
pub(in crate::checker) fn begins_on(snapshot: &Snapshot, server: usize) -> bool {
    !matches!(
        snapshot.servers[server].powered,
        Powered::OffCommanded | Powered::OffSeen
    )
}
