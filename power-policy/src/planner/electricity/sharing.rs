//! Who gives how much to whom at one instant.

use super::{CRUMB, EMPTY, Electricity};
use crate::planner::flow::ratio;
use crate::planner::prepare::Supply;

/// Rounds of sharing among limits, as many as the electricity itself is given.
const ROUNDS: usize = 8;

/// A way from a reserve to a server.
#[derive(Debug, Clone)]
struct Path {
    server: usize,
    store: usize,
    /// The setting and its line; an own reserve has its place among the server's own instead.
    way: Result<(usize, usize), usize>,
    efficiency: f64,
    cap: f64,
    /// At the input.
    flow: f64,
    want: f64,
}

/// Working space, kept so that an event allocates little.
#[derive(Debug, Clone, Default)]
pub(super) struct Space {
    stamp: u32,
    seen_server: Vec<u32>,
    seen_store: Vec<u32>,
    seen_link: Vec<u32>,
    store_left: Vec<f64>,
    store_want: Vec<f64>,
    link_left: Vec<f64>,
    link_want: Vec<f64>,
    rest: Vec<f64>,
    paths: Vec<Path>,
}

impl Space {
    pub(super) fn new(servers: usize, stores: usize, links: usize) -> Self {
        Self {
            stamp: 0,
            seen_server: vec![0; servers],
            seen_store: vec![0; stores],
            seen_link: vec![0; links],
            store_left: vec![0.0; stores],
            store_want: vec![0.0; stores],
            link_left: vec![0.0; links],
            link_want: vec![0.0; links],
            rest: vec![0.0; servers],
            paths: Vec::new(),
        }
    }
}

impl Electricity<'_, '_> {
    /// Brings the flows of everything that changed to this instant.
    pub(in crate::planner) fn settle(&mut self) {
        if self.changed.is_empty() {
            return;
        }
        let mut changed = std::mem::take(&mut self.changed);
        changed.sort_unstable();
        changed.dedup();
        let mut crowded = Vec::new();
        for s in changed {
            if !self.route_alone(s) {
                crowded.push(s);
            }
        }
        if !crowded.is_empty() {
            self.route_together(&crowded);
        }
    }

    /// What a server draws from reserves now.
    fn hunger(&self, s: usize) -> f64 {
        if self.on[s] && (self.no_mains || self.cluster.nodes[s].supply == Supply::Battery) {
            self.load[s]
        } else {
            0.0
        }
    }

    fn gives(&self, r: usize) -> bool {
        self.energy(r) > EMPTY
    }

    fn paths_of(&self, s: usize, paths: &mut Vec<Path>) {
        let mut lines: Vec<Path> = self.by_server[s]
            .iter()
            .map(|i| (*i, &self.settings[*i]))
            .filter(|(_, setting)| setting.live && self.gives(setting.store))
            .map(|(i, setting)| Path {
                server: s,
                store: setting.store,
                way: Ok((i, setting.link)),
                efficiency: self.cluster.links[setting.link].efficiency,
                cap: setting.cap,
                flow: 0.0,
                want: 0.0,
            })
            .collect();
        lines.sort_by_key(|p| (p.way.map(|(_, l)| l), p.store));
        paths.append(&mut lines);
    }

    fn own_paths_of(&self, s: usize, paths: &mut Vec<Path>) {
        let own = self.cluster.nodes[s].stores.iter().enumerate();
        paths.extend(own.filter(|(_, r)| self.gives(**r)).map(|(place, r)| Path {
            server: s,
            store: *r,
            way: Err(place),
            efficiency: 1.0,
            cap: self.cluster.stores[*r].max_watts,
            flow: 0.0,
            want: 0.0,
        }));
    }

    /// Finds the flows of a server as if nobody else asked; `false` where somebody else is concerned.
    fn route_alone(&mut self, s: usize) -> bool {
        let mut rest = self.hunger(s);
        let mut paths = std::mem::take(&mut self.space.paths);
        paths.clear();
        if rest > 0.0 {
            self.paths_of(s, &mut paths);
            rest = divide(&mut paths, rest);
            if rest > 0.0 {
                let lines = paths.len();
                self.own_paths_of(s, &mut paths);
                rest = divide(&mut paths[lines..], rest);
            }
        }
        let mut alone = true;
        let mut limits: Vec<(Option<usize>, usize)> = Vec::with_capacity(paths.len());
        // What it took, it takes no more.
        for i in self.by_server[s].clone() {
            let setting = &self.settings[i];
            if setting.flow > 0.0 {
                let (link, store, flow) = (setting.link, setting.store, setting.flow);
                alone &= !self.link_full[link] && !self.store_full[store];
                self.link_used[link] = less(self.link_used[link], flow);
                self.store_used[store] = less(self.store_used[store], flow);
                limits.push((Some(link), store));
                self.set_flow(i, 0.0);
            }
        }
        for (place, r) in self.cluster.nodes[s].stores.iter().enumerate() {
            let flow = std::mem::replace(&mut self.own[s][place], 0.0);
            if flow > 0.0 {
                alone &= !self.store_full[*r];
                self.store_used[*r] = less(self.store_used[*r], flow);
                limits.push((None, *r));
            }
        }
        for path in paths.iter().filter(|p| p.flow > 0.0) {
            self.store_used[path.store] += path.flow;
            match path.way {
                Ok((setting, link)) => {
                    self.set_flow(setting, path.flow);
                    self.link_used[link] += path.flow;
                    limits.push((Some(link), path.store));
                }
                Err(place) => {
                    self.own[s][place] = path.flow;
                    limits.push((None, path.store));
                }
            }
        }
        for (link, store) in &limits {
            let over = |used: f64, most: f64| used > most + CRUMB;
            alone &= !over(self.store_used[*store], self.cluster.stores[*store].max_watts);
            alone &= link.is_none_or(|l| !over(self.link_used[l], self.cluster.links[l].max_watts));
        }
        self.space.paths = paths;
        // A limit that stood in the way of somebody else is found anew with all that hang on it.
        if alone && rest > CRUMB {
            alone = !self.concerned(s);
        }
        if alone {
            for (_, store) in limits {
                self.set_output(store, self.store_used[store]);
            }
            self.judge(s, rest);
        }
        alone
    }

    /// Whether a server that misses something hangs on anything that is at its limit.
    fn concerned(&self, s: usize) -> bool {
        let lines = self.by_server[s].iter().map(|i| &self.settings[*i]);
        lines
            .filter(|x| x.live)
            .any(|x| self.link_full[x.link] || self.store_full[x.store])
            || self.cluster.nodes[s].stores.iter().any(|r| self.store_full[*r])
    }

    /// Everything that hangs together with these servers.
    fn together(&mut self, seeds: &[usize]) -> (Vec<usize>, Vec<usize>, Vec<usize>) {
        self.space.stamp += 1;
        let stamp = self.space.stamp;
        let mut servers: Vec<usize> = Vec::new();
        let (mut stores, mut links) = (Vec::new(), Vec::new());
        let enter = |seen: &mut Vec<u32>, list: &mut Vec<usize>, x: usize| {
            if seen[x] != stamp {
                seen[x] = stamp;
                list.push(x);
            }
        };
        for s in seeds {
            enter(&mut self.space.seen_server, &mut servers, *s);
        }
        let (mut server_at, mut store_at, mut link_at) = (0, 0, 0);
        let seeds = servers.len();
        loop {
            if let Some(s) = servers.get(server_at).copied() {
                server_at += 1;
                // What a server has just been taken off is free for others now.
                let is_seed = server_at <= seeds;
                for r in &self.cluster.nodes[s].stores {
                    enter(&mut self.space.seen_store, &mut stores, *r);
                }
                for i in &self.by_server[s] {
                    let setting = &self.settings[*i];
                    if setting.live || is_seed {
                        enter(&mut self.space.seen_store, &mut stores, setting.store);
                        enter(&mut self.space.seen_link, &mut links, setting.link);
                    }
                }
            } else if let Some(r) = stores.get(store_at).copied() {
                store_at += 1;
                for s in &self.cluster.stores[r].homes {
                    enter(&mut self.space.seen_server, &mut servers, *s);
                }
                for i in self.by_store[r].iter().filter(|i| self.settings[**i].live) {
                    let s = self.settings[*i].server;
                    enter(&mut self.space.seen_server, &mut servers, s);
                }
            } else if let Some(l) = links.get(link_at).copied() {
                link_at += 1;
                for i in self.by_link[l].iter().filter(|i| self.settings[**i].live) {
                    let s = self.settings[*i].server;
                    enter(&mut self.space.seen_server, &mut servers, s);
                }
            } else {
                servers.sort_unstable();
                return (servers, stores, links);
            }
        }
    }

    fn route_together(&mut self, seeds: &[usize]) {
        let (servers, stores, links) = self.together(seeds);
        for r in &stores {
            let most = self.cluster.stores[*r].max_watts;
            self.space.store_left[*r] = if self.gives(*r) { most } else { 0.0 };
        }
        for l in &links {
            self.space.link_left[*l] = self.cluster.links[*l].max_watts;
        }
        let (mut lines, mut own) = (Vec::new(), Vec::new());
        for s in &servers {
            for i in self.by_server[*s].clone() {
                if self.settings[i].flow > 0.0 {
                    self.set_flow(i, 0.0);
                }
            }
            self.own[*s].iter_mut().for_each(|f| *f = 0.0);
            self.space.rest[*s] = self.hunger(*s);
            if self.space.rest[*s] > 0.0 {
                self.paths_of(*s, &mut lines);
                self.own_paths_of(*s, &mut own);
            }
        }
        self.space.share(&mut lines);
        self.space.share(&mut own);
        for l in &links {
            self.link_used[*l] = 0.0;
            self.link_full[*l] = self.space.link_left[*l] <= CRUMB;
        }
        for r in &stores {
            self.store_used[*r] = 0.0;
            self.store_full[*r] = self.space.store_left[*r] <= CRUMB && self.gives(*r);
        }
        for path in lines.iter().chain(&own).filter(|p| p.flow > 0.0) {
            self.store_used[path.store] += path.flow;
            match path.way {
                Ok((setting, link)) => {
                    self.set_flow(setting, path.flow);
                    self.link_used[link] += path.flow;
                }
                Err(place) => self.own[path.server][place] = path.flow,
            }
        }
        for r in stores {
            self.set_output(r, self.store_used[r]);
        }
        for s in servers {
            self.judge(s, self.space.rest[s]);
        }
    }
}

/// Sums that are taken apart again leave dust.
fn less(sum: f64, part: f64) -> f64 {
    let left = sum - part;
    if left < CRUMB / 1_000.0 { 0.0 } else { left }
}

/// Divides what one server draws among its ways in proportion to their caps; returns what is missing.
fn divide(paths: &mut [Path], mut rest: f64) -> f64 {
    for _ in 0..ROUNDS {
        let weight: f64 = paths
            .iter()
            .filter(|p| p.cap - p.flow >= CRUMB)
            .map(|p| p.cap)
            .sum();
        if weight <= 0.0 || rest < CRUMB {
            break;
        }
        let round = rest;
        for path in paths.iter_mut().filter(|p| p.cap - p.flow >= CRUMB) {
            let part = ratio(round * path.cap / weight, path.efficiency).min(path.cap - path.flow);
            path.flow += part;
            rest -= part * path.efficiency;
        }
    }
    if rest < CRUMB { 0.0 } else { rest }
}

impl Space {
    /// Each server asks its ways in proportion to their caps; who is asked for too much cuts all askers alike; what a
    /// server then misses it asks of those that have something left.
    fn share(&mut self, paths: &mut [Path]) {
        for _ in 0..ROUNDS {
            for path in paths.iter() {
                self.store_want[path.store] = 0.0;
                if let Ok((_, l)) = path.way {
                    self.link_want[l] = 0.0;
                }
            }
            let mut asked = false;
            for group in paths.chunk_by_mut(|a, b| a.server == b.server) {
                let missing = group.first().map_or(0.0, |p| self.rest[p.server]);
                let open = |p: &Path, this: &Self| {
                    p.cap - p.flow >= CRUMB
                        && this.store_left[p.store] >= CRUMB
                        && p.way.is_ok_and(|(_, l)| this.link_left[l] >= CRUMB) | p.way.is_err()
                };
                let weight: f64 = group.iter().filter(|p| open(p, self)).map(|p| p.cap).sum();
                for path in group.iter_mut() {
                    path.want = if missing >= CRUMB && weight > 0.0 && open(path, self) {
                        ratio(missing * path.cap / weight, path.efficiency).min(path.cap - path.flow)
                    } else {
                        0.0
                    };
                    asked |= path.want > 0.0;
                    self.store_want[path.store] += path.want;
                    if let Ok((_, l)) = path.way {
                        self.link_want[l] += path.want;
                    }
                }
            }
            if !asked {
                return;
            }
            // Shares are cut against what was left when the round began.
            for path in paths.iter_mut().filter(|p| p.want > 0.0) {
                let mut part = ratio(self.store_left[path.store], self.store_want[path.store]);
                if let Ok((_, l)) = path.way {
                    part = part.min(ratio(self.link_left[l], self.link_want[l]));
                }
                path.want *= part.min(1.0);
            }
            for path in paths.iter_mut().filter(|p| p.want > 0.0) {
                self.give(path, path.want);
            }
        }
        for path in paths.iter_mut() {
            let wish = ratio(self.rest[path.server], path.efficiency);
            if wish >= CRUMB {
                self.give(path, wish);
            }
        }
    }

    fn give(&mut self, path: &mut Path, wish: f64) {
        let mut input = wish.min(path.cap - path.flow).min(self.store_left[path.store]);
        if let Ok((_, l)) = path.way {
            input = input.min(self.link_left[l]);
        }
        let input = input.max(0.0);
        path.flow += input;
        self.store_left[path.store] -= input;
        if let Ok((_, l)) = path.way {
            self.link_left[l] -= input;
        }
        self.rest[path.server] = (self.rest[path.server] - input * path.efficiency).max(0.0);
    }
}
