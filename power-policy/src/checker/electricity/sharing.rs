//! Who gives how much to whom at one instant.

use std::cmp::Reverse;

use super::{Due, Electricity, HOLD_UP_MICROS, permille};

/// Rounds of proportional sharing, as in the plant.
const SHARING_ROUNDS: usize = 8;
/// The plant counts whole milliwatts; what is left below one is nothing, and not shared.
const LEAST: f64 = 1.0;
/// A server that misses less than this share of what it draws is fed: the rest is rounding.
const CRUMB: f64 = 1e-6;

/// A way from a reserve to a server.
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

impl Electricity<'_> {
    /// Everything that hangs together with these servers.
    pub(super) fn component(&mut self, seeds: &[usize]) -> (Vec<usize>, Vec<usize>, Vec<usize>) {
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

    pub(super) fn route(&mut self, servers: &[usize], reserves: &[usize], lines: &[usize]) {
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
}

fn ratio(a: f64, b: f64) -> f64 {
    if b > 0.0 { (a / b).max(0.0) } else { 1.0 }
}
