//! The checker's own electricity: the documented physics of the plant, written a second time on purpose, in floating
//! point, from event to event.
//!
//! Mains first; then what is joined on lines, in proportion to the caps; then a server's own reserves, in proportion to
//! what they can give. A reserve at its cut-off gives nothing. A server that gets less than it draws for longer than
//! its power supply holds is lost. Only what hangs together electrically is computed anew when something changes, so
//! that a large cluster whose servers live on their own reserves costs little more than its events.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::model::{Changeover, LineMode, Mains, Powered, Reserve, Snapshot};

/// Rounds of proportional sharing, as in the plant.
const SHARING_ROUNDS: usize = 8;
/// Longest break that a power supply carries by itself, in microseconds (10 to 20 ms is usual).
const HOLD_UP_MICROS: u64 = 10_000;
/// Discharge time at whose power the stated capacity of a non-linear store is all there; above it Peukert's law takes
/// its part. Makers of UPS batteries commonly rate them at one hour.
const RATED_SECONDS: f64 = 3_600.0;
/// The plant counts whole milliwatts; what is left below one is nothing, and not shared.
const LEAST: f64 = 1.0;
/// A server that misses less than this share of what it draws is fed: the rest is rounding.
const CRUMB: f64 = 1e-6;

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
pub(super) enum Happening {
    /// A server was not fed, and is lost.
    Lost { server: usize },
    /// A watched charge has fallen to its threshold.
    Fallen { watch: usize },
}

#[derive(Debug, Clone)]
struct Path {
    server: usize,
    reserve: usize,
    line: Option<usize>,
    efficiency: f64,
    cap: f64,
    /// At the input.
    flow: f64,
    want: f64,
}

pub(super) struct Electricity<'a> {
    snapshot: &'a Snapshot,
    pub(super) now: u64,
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
pub(super) fn is_on_mains(snapshot: &Snapshot, server: usize, all_lost: bool) -> bool {
    let s = &snapshot.servers[server];
    // Where nobody can tell, nothing can be judged; it is left as it is.
    !all_lost && s.mains != Mains::Absent
}

impl<'a> Electricity<'a> {
    pub(super) fn new(snapshot: &'a Snapshot, all_lost: bool) -> Self {
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
    pub(super) fn set_load(&mut self, server: usize, milliwatts: f64) {
        if self.load[server] != milliwatts {
            self.load[server] = milliwatts;
            self.dirty.push(server);
        }
    }

    /// Gives a reserve to a server through a line, or takes it off with 0. Returns when that is done.
    pub(super) fn divert(&mut self, line: usize, reserve: usize, server: usize, milliwatts: u64) -> u64 {
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
    pub(super) fn watch(&mut self, reserves: &[usize], threshold: f64) -> usize {
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
    pub(super) fn energy(&self, reserve: usize) -> f64 {
        let store = &self.stores[reserve];
        store.cutoff + (store.available - spent(store.drain, self.now - store.at)).max(0.0)
    }

    /// The lowest energy that a store has had, cut-off included, in millijoules.
    pub(super) fn lowest(&self, reserve: usize) -> f64 {
        let store = &self.stores[reserve];
        store.cutoff
            + store
                .lowest
                .min((store.available - spent(store.drain, self.now - store.at)).max(0.0))
    }

    pub(super) fn into_histories(mut self) -> Vec<Vec<(u64, f64)>> {
        for r in 0..self.stores.len() {
            let energy = self.energy(r);
            let now = self.now;
            self.stores[r].history.push((now, energy));
        }
        self.stores.into_iter().map(|s| s.history).collect()
    }

    /// When something happens next by itself.
    pub(super) fn next_due(&self) -> Option<u64> {
        self.due.peek().map(|Reverse((at, _))| *at)
    }

    /// Lets time pass up to `until`, which is no later than [`Self::next_due`], and does what is due then.
    pub(super) fn advance(&mut self, until: u64, happenings: &mut Vec<Happening>) {
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
    pub(super) fn settle(&mut self) {
        // A round empties at least one reserve, or is the last.
        while !self.dirty.is_empty() {
            let seeds = std::mem::take(&mut self.dirty);
            let (servers, reserves, lines) = self.component(&seeds);
            self.route(&servers, &reserves, &lines);
        }
    }

    /// Everything that hangs together with these servers.
    fn component(&mut self, seeds: &[usize]) -> (Vec<usize>, Vec<usize>, Vec<usize>) {
        self.stamp += 1;
        let stamp = self.stamp;
        let (mut servers, mut reserves, mut lines) = (Vec::new(), Vec::new(), Vec::new());
        for s in seeds {
            if self.mark[*s][0] != stamp {
                self.mark[*s][0] = stamp;
                servers.push(*s);
            }
        }
        let (mut server_at, mut reserve_at, mut line_at) = (0, 0, 0);
        let seed_count = servers.len();
        loop {
            if let Some(s) = servers.get(server_at).copied() {
                let passive = self.load[s] <= 0.0 || self.on_mains[s];
                server_at += 1;
                // A server that takes nothing joins nobody; but where it took something before, that is free now.
                if passive && server_at > seed_count {
                    continue;
                }
                for r in &self.own[s] {
                    if self.mark[*r][1] != stamp {
                        self.mark[*r][1] = stamp;
                        reserves.push(*r);
                    }
                }
                for i in &self.by_server[s] {
                    let setting = &self.settings[*i];
                    if self.mark[setting.reserve][1] != stamp {
                        self.mark[setting.reserve][1] = stamp;
                        reserves.push(setting.reserve);
                    }
                    if self.mark[setting.line][2] != stamp {
                        self.mark[setting.line][2] = stamp;
                        lines.push(setting.line);
                    }
                }
            } else if let Some(r) = reserves.get(reserve_at).copied() {
                reserve_at += 1;
                let fed = self.snapshot.reserves[r].feeds.iter().map(|s| s.0 as usize);
                let live = self.by_reserve[r].iter().filter(|i| self.settings[**i].live);
                for s in fed.chain(live.map(|i| self.settings[*i].server)) {
                    if self.mark[s][0] != stamp {
                        self.mark[s][0] = stamp;
                        servers.push(s);
                    }
                }
            } else if let Some(l) = lines.get(line_at).copied() {
                line_at += 1;
                for i in self.by_line[l].iter().filter(|i| self.settings[**i].live) {
                    let s = self.settings[*i].server;
                    if self.mark[s][0] != stamp {
                        self.mark[s][0] = stamp;
                        servers.push(s);
                    }
                }
            } else {
                return (servers, reserves, lines);
            }
        }
    }

    fn route(&mut self, servers: &[usize], reserves: &[usize], lines: &[usize]) {
        for r in reserves {
            self.pass(*r);
            let store = &self.stores[*r];
            self.reserve_left[*r] = if store.available > 0.0 { store.limit } else { 0.0 };
        }
        for l in lines {
            self.line_left[*l] = self.snapshot.lines[*l].max_milliwatts as f64;
        }
        let (mut through_lines, mut from_own) = (Vec::new(), Vec::new());
        for s in servers {
            let draws = self.load[*s] > 0.0 && !self.on_mains[*s];
            self.rest[*s] = if draws { self.load[*s] } else { 0.0 };
            if !draws {
                continue;
            }
            for i in self.by_server[*s].iter().filter(|i| self.settings[**i].live) {
                let setting = &self.settings[*i];
                through_lines.push(Path {
                    server: *s,
                    reserve: setting.reserve,
                    line: Some(setting.line),
                    efficiency: permille(self.snapshot.lines[setting.line].efficiency_permille),
                    cap: setting.cap,
                    flow: 0.0,
                    want: 0.0,
                });
            }
            for r in &self.own[*s] {
                from_own.push(Path {
                    server: *s,
                    reserve: *r,
                    line: None,
                    efficiency: 1.0,
                    cap: self.stores[*r].limit,
                    flow: 0.0,
                    want: 0.0,
                });
            }
        }
        // Where the rounds of sharing do not give everything out, the rest goes by this order, as in the plant.
        through_lines.sort_by_key(|p| (p.server, p.line, p.reserve));
        from_own.sort_by_key(|p| (p.server, p.reserve));
        self.share(&mut through_lines);
        self.share(&mut from_own);
        for r in reserves {
            let full = if self.stores[*r].available > 0.0 {
                self.stores[*r].limit
            } else {
                0.0
            };
            self.set_output(*r, (full - self.reserve_left[*r]).max(0.0));
        }
        for s in servers {
            let short = self.rest[*s] > self.load[*s] * CRUMB + 1.0;
            match (short, self.short_since[*s]) {
                (true, None) => {
                    self.short_since[*s] = Some(self.now);
                    let starve = Due::Starve {
                        server: *s,
                        since: self.now,
                    };
                    self.due
                        .push(Reverse((self.now.saturating_add(HOLD_UP_MICROS), starve)));
                }
                (false, Some(_)) => self.short_since[*s] = None,
                _ => {}
            }
        }
    }

    /// Each server asks its paths in proportion to their caps; who is asked for too much cuts all askers alike; what a
    /// server then misses it asks of those that have something left.
    fn share(&mut self, paths: &mut [Path]) {
        for _ in 0..SHARING_ROUNDS {
            for path in paths.iter() {
                self.reserve_want[path.reserve] = 0.0;
                if let Some(l) = path.line {
                    self.line_want[l] = 0.0;
                }
            }
            let mut asked = false;
            for group in paths.chunk_by_mut(|a, b| a.server == b.server) {
                let missing = group.first().map_or(0.0, |p| self.rest[p.server]);
                let open = |p: &Path, this: &Self| {
                    p.cap - p.flow >= LEAST
                        && this.reserve_left[p.reserve] >= LEAST
                        && p.line.is_none_or(|l| this.line_left[l] >= LEAST)
                };
                let weight: f64 = group.iter().filter(|p| open(p, self)).map(|p| p.cap).sum();
                for path in group.iter_mut() {
                    path.want = if missing >= LEAST && weight > 0.0 && open(path, self) {
                        (missing * path.cap / weight / path.efficiency).min(path.cap - path.flow)
                    } else {
                        0.0
                    };
                    asked |= path.want > 0.0;
                    self.reserve_want[path.reserve] += path.want;
                    if let Some(l) = path.line {
                        self.line_want[l] += path.want;
                    }
                }
            }
            if !asked {
                return;
            }
            // Shares are cut against what was left when the round began.
            for path in paths.iter_mut().filter(|p| p.want > 0.0) {
                let mut part = ratio(self.reserve_left[path.reserve], self.reserve_want[path.reserve]);
                if let Some(l) = path.line {
                    part = part.min(ratio(self.line_left[l], self.line_want[l]));
                }
                path.want *= part.min(1.0);
            }
            for path in paths.iter_mut().filter(|p| p.want > 0.0) {
                self.give(path, path.want);
            }
        }
        for path in paths.iter_mut() {
            let wish = self.rest[path.server] / path.efficiency;
            if wish >= LEAST {
                self.give(path, wish);
            }
        }
    }

    fn give(&mut self, path: &mut Path, wish: f64) {
        let mut input = wish
            .min(path.cap - path.flow)
            .min(self.reserve_left[path.reserve]);
        if let Some(l) = path.line {
            input = input.min(self.line_left[l]);
        }
        let input = input.max(0.0);
        path.flow += input;
        self.reserve_left[path.reserve] -= input;
        if let Some(l) = path.line {
            self.line_left[l] -= input;
        }
        self.rest[path.server] = (self.rest[path.server] - input * path.efficiency).max(0.0);
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
pub(super) fn drain(reserve: &Reserve, output: f64) -> f64 {
    if output <= 0.0 {
        return 0.0;
    }
    let input = output / permille(reserve.efficiency_permille);
    let exponent = (f64::from(reserve.peukert_permille) - 1_000.0) / 1_000.0;
    let rated = reserve.capacity_millijoules as f64 / RATED_SECONDS;
    if exponent <= 0.0 || rated <= 0.0 || input <= rated {
        return input;
    }
    input * libm::pow(input / rated, exponent)
}

/// A declared efficiency as a factor; one of nothing would divide by zero.
pub(super) fn permille(figure: u32) -> f64 {
    f64::from(figure.clamp(1, 1_000)) / 1_000.0
}

fn ratio(a: f64, b: f64) -> f64 {
    if b > 0.0 { (a / b).max(0.0) } else { 1.0 }
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
pub(super) fn begins_on(snapshot: &Snapshot, server: usize) -> bool {
    !matches!(
        snapshot.servers[server].powered,
        Powered::OffCommanded | Powered::OffSeen
    )
}
