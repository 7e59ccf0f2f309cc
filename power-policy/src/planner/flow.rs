//! Which reserve gives how much energy to which server: a flow reserve, line, server that is fair by need.
//!
//! Proportional response in a Fisher market: servers bid what they need on the ways that feed them, reserves divide
//! what they have among the bids, servers bid again in proportion to what each way gave. Its fixed point is the
//! weighted max-min flow. Lines pass bids up and energy down, so a round costs one visit to each incidence
//! (reserve and line, line and server, reserve and own server), never one to each pair of reserve and server.

use super::care::Care;
use super::prepare::Cluster;

/// Rounds of the market; the crumbs left by stopping there are handed out directly.
const ROUNDS: usize = 40;
/// Rounds of that handing out.
const CRUMB_ROUNDS: usize = 24;
/// Energy that is not worth another round, millijoules.
const CRUMB: f64 = 1.0;
/// Part of a need that is good enough as met.
const MET: f64 = 0.999;

/// The ways energy can go; everything is an incidence list.
#[derive(Debug, Clone)]
pub(super) struct Network {
    /// Own supplies: (reserve, server).
    pub(super) own: Vec<(usize, usize)>,
    /// Into lines: (reserve, line).
    pub(super) ins: Vec<(usize, usize)>,
    /// Out of lines: (line, server).
    pub(super) outs: Vec<(usize, usize)>,
    efficiency: Vec<f64>,
    /// How many lines each reserve feeds into.
    outlets: Vec<f64>,
    /// How many lines feed each server.
    inlets: Vec<f64>,
    stores: usize,
    servers: usize,
}

/// Energy on each way: own and into lines at the reserve's output, out of lines at the server.
#[derive(Debug, Clone)]
pub(super) struct Flow {
    pub(super) own: Vec<f64>,
    pub(super) ins: Vec<f64>,
    pub(super) outs: Vec<f64>,
}

/// A way on which somebody bids, in the market.
struct Way {
    /// Its place among the ways of its kind.
    edge: usize,
    from: usize,
    to: usize,
    bid: f64,
    flow: f64,
}

fn ways_of(
    edges: &[(usize, usize)],
    counts: impl Fn(usize, usize) -> bool,
    bid: impl Fn(usize, usize) -> f64,
) -> Vec<Way> {
    let counted = edges.iter().enumerate().filter(|(_, (a, b))| counts(*a, *b));
    counted
        .map(|(edge, (from, to))| Way {
            edge,
            from: *from,
            to: *to,
            bid: bid(*from, *to),
            flow: 0.0,
        })
        .collect()
}

impl Network {
    pub(super) fn new(cluster: &Cluster<'_>, care: &Care) -> Self {
        let mut own = Vec::new();
        let mut ins = Vec::new();
        for (r, store) in cluster.stores.iter().enumerate() {
            own.extend(store.homes.iter().map(|s| (r, *s)));
            // One that is to be left alone lends nothing.
            if !store.homes.iter().any(|s| care.is_alone(*s)) {
                ins.extend(store.links.iter().map(|l| (r, *l)));
            }
        }
        let mut outs = Vec::new();
        for (l, link) in cluster.links.iter().enumerate() {
            let takers = link.servers.iter().filter(|s| !care.is_alone(**s));
            outs.extend(takers.map(|s| (l, *s)));
        }
        Self {
            own,
            ins,
            outs,
            efficiency: cluster.links.iter().map(|l| l.efficiency).collect(),
            outlets: cluster
                .stores
                .iter()
                .map(|r| r.links.len().max(1) as f64)
                .collect(),
            inlets: cluster
                .nodes
                .iter()
                .map(|s| s.links.len().max(1) as f64)
                .collect(),
            stores: cluster.stores.len(),
            servers: cluster.nodes.len(),
        }
    }

    pub(super) fn nothing(&self) -> Flow {
        Flow {
            own: vec![0.0; self.own.len()],
            ins: vec![0.0; self.ins.len()],
            outs: vec![0.0; self.outs.len()],
        }
    }

    /// Energy that each server gets.
    pub(super) fn received(&self, flow: &Flow) -> Vec<f64> {
        let mut got = vec![0.0; self.servers];
        for ((_, s), f) in self.own.iter().zip(&flow.own) {
            got[*s] += f;
        }
        for ((_, s), f) in self.outs.iter().zip(&flow.outs) {
            got[*s] += f;
        }
        got
    }

    /// Energy that each reserve gives.
    pub(super) fn given(&self, flow: &Flow) -> Vec<f64> {
        let mut gave = vec![0.0; self.stores];
        for ((r, _), f) in self.own.iter().zip(&flow.own) {
            gave[*r] += f;
        }
        for ((r, _), f) in self.ins.iter().zip(&flow.ins) {
            gave[*r] += f;
        }
        gave
    }

    /// Meets needs from supplies, each server from its own reserves first, what is missing through lines; where that
    /// leaves a need unmet, by the market over all ways, if that serves the worst off better.
    pub(super) fn fund(&self, supply: &[f64], need: &[f64], line_left: &[f64]) -> Flow {
        let mut first = self.own_first(supply, need);
        let got = self.received(&first);
        let missing: Vec<f64> = need.iter().zip(&got).map(|(n, g)| (n - g).max(0.0)).collect();
        if missing.iter().all(|m| *m <= 0.0) {
            return first;
        }
        let gave = self.given(&first);
        let left: Vec<f64> = supply.iter().zip(&gave).map(|(u, g)| (u - g).max(0.0)).collect();
        add(&mut first, &self.market(&left, &missing, line_left));
        let worst = self.worst_ratio(&first, need);
        if worst >= MET {
            return first;
        }
        let mut second = self.market(supply, need, line_left);
        self.cancel(&mut second);
        // Own supplies win a draw: they need no switch.
        if self.worst_ratio(&second, need) > worst * 1.001 {
            second
        } else {
            first
        }
    }

    fn own_first(&self, supply: &[f64], need: &[f64]) -> Flow {
        let mut flow = self.nothing();
        let mut asked = vec![0.0; self.stores];
        for (r, s) in &self.own {
            asked[*r] += need[*s];
        }
        let mut missing = need.to_vec();
        for (e, (r, s)) in self.own.iter().enumerate() {
            if asked[*r] <= 0.0 {
                continue;
            }
            // A reserve with several servers divides by need.
            let share = supply[*r] * (need[*s] / asked[*r]).min(1.0);
            flow.own[e] = share.min(missing[*s]).max(0.0);
            missing[*s] -= flow.own[e];
        }
        flow
    }

    fn worst_ratio(&self, flow: &Flow, need: &[f64]) -> f64 {
        let got = self.received(flow);
        need.iter()
            .zip(&got)
            .filter(|(n, _)| **n > 0.0)
            .map(|(n, g)| g / n)
            .fold(f64::INFINITY, f64::min)
    }

    fn market(&self, supply: &[f64], need: &[f64], line_left: &[f64]) -> Flow {
        let mut flow = self.nothing();
        // To begin with, every server bids on each of its ways, and every line asks all its reserves alike.
        let mut ways = vec![0.0; self.servers];
        for (_, s) in &self.own {
            ways[*s] += 1.0;
        }
        for (_, s) in &self.outs {
            ways[*s] += 1.0;
        }
        // Whoever needs nothing bids nothing, and nothing flows on a line on which nobody bids: mostly there are few bids.
        let bid = |s: usize| need[s] / f64::max(ways[s], 1.0);
        let mut own: Vec<Way> = ways_of(&self.own, |_, s| need[s] > 0.0, |_, s| bid(s));
        let mut outs: Vec<Way> = ways_of(&self.outs, |_, s| need[s] > 0.0, |_, s| bid(s));
        let mut wanted = vec![false; self.efficiency.len()];
        for way in &outs {
            wanted[way.from] = true;
        }
        let mut ins: Vec<Way> = ways_of(&self.ins, |_, l| wanted[l], |_, _| 0.0);
        let mut lines: Vec<usize> = outs.iter().map(|w| w.from).collect();
        lines.sort_unstable();
        lines.dedup();
        let mut stores: Vec<usize> = own.iter().chain(&ins).map(|w| w.from).collect();
        stores.sort_unstable();
        stores.dedup();
        let mut fed = vec![0.0; self.efficiency.len()];
        let mut asked = vec![0.0; fed.len()];
        let mut price = vec![0.0; self.stores];
        let mut got = vec![0.0; self.servers];
        for way in &mut ins {
            way.flow = supply[way.from];
            fed[way.to] += way.flow;
        }
        for _ in 0..ROUNDS {
            lines.iter().for_each(|l| asked[*l] = 0.0);
            for way in &outs {
                asked[way.from] += way.bid;
            }
            stores.iter().for_each(|r| price[*r] = 0.0);
            for way in &own {
                price[way.from] += way.bid;
            }
            for way in &mut ins {
                way.flow = ratio(asked[way.to] * way.flow, fed[way.to]);
                price[way.from] += way.flow;
            }
            for way in own.iter().chain(&outs) {
                got[way.to] = 0.0;
            }
            for way in &mut own {
                way.flow = ratio(supply[way.from] * way.bid, price[way.from]);
                got[way.to] += way.flow;
            }
            lines.iter().for_each(|l| fed[*l] = 0.0);
            for way in &mut ins {
                way.flow = ratio(supply[way.from] * way.flow, price[way.from]);
                fed[way.to] += way.flow;
            }
            for l in &lines {
                fed[*l] = fed[*l].min(line_left[*l]);
            }
            for way in &mut outs {
                let l = way.from;
                way.flow = ratio(self.efficiency[l] * fed[l] * way.bid, asked[l]);
                got[way.to] += way.flow;
            }
            for way in own.iter_mut().chain(&mut outs) {
                way.bid = ratio(need[way.to] * way.flow, got[way.to]);
            }
        }
        for (list, into) in [
            (&own, &mut flow.own),
            (&ins, &mut flow.ins),
            (&outs, &mut flow.outs),
        ] {
            for way in list {
                into[way.edge] = way.flow;
            }
        }
        self.trim(&mut flow, need);
        self.crumbs(&mut flow, supply, need, line_left);
        flow
    }

    /// Takes back what a server gets beyond its need, all of its ways alike.
    fn trim(&self, flow: &mut Flow, need: &[f64]) {
        let got = self.received(flow);
        let keep = |s: usize| {
            if got[s] > need[s] {
                ratio(need[s], got[s])
            } else {
                1.0
            }
        };
        for ((_, s), f) in self.own.iter().zip(&mut flow.own) {
            *f *= keep(*s);
        }
        let mut out = vec![0.0; self.efficiency.len()];
        for ((l, s), f) in self.outs.iter().zip(&mut flow.outs) {
            *f *= keep(*s);
            out[*l] += *f;
        }
        let mut fed = vec![0.0; self.efficiency.len()];
        for ((_, l), f) in self.ins.iter().zip(&flow.ins) {
            fed[*l] += f;
        }
        for ((_, l), f) in self.ins.iter().zip(&mut flow.ins) {
            *f *= ratio(out[*l], self.efficiency[*l] * fed[*l]).min(1.0);
        }
    }

    /// Hands out what the market left over to those still in need.
    fn crumbs(&self, flow: &mut Flow, supply: &[f64], need: &[f64], line_left: &[f64]) {
        for _ in 0..CRUMB_ROUNDS {
            let gave = self.given(flow);
            let mut left: Vec<f64> = supply.iter().zip(&gave).map(|(u, g)| (u - g).max(0.0)).collect();
            let got = self.received(flow);
            let mut missing: Vec<f64> = need.iter().zip(&got).map(|(n, g)| (n - g).max(0.0)).collect();
            for (e, (r, s)) in self.own.iter().enumerate() {
                let take = left[*r].min(missing[*s]);
                flow.own[e] += take;
                left[*r] -= take;
                missing[*s] -= take;
            }
            let lines = self.efficiency.len();
            let (mut fed, mut offer, mut want) = (vec![0.0; lines], vec![0.0; lines], vec![0.0; lines]);
            for (e, (r, l)) in self.ins.iter().enumerate() {
                fed[*l] += flow.ins[e];
                // A reserve on several lines offers each its part.
                offer[*l] += left[*r] / self.outlets[*r];
            }
            for (l, s) in &self.outs {
                want[*l] += missing[*s] / self.inlets[*s];
            }
            let passed: Vec<f64> = (0..lines)
                .map(|l| {
                    let room = (line_left[l] - fed[l]).max(0.0);
                    ratio(want[l], self.efficiency[l]).min(offer[l]).min(room)
                })
                .collect();
            let mut any = false;
            for (e, (r, l)) in self.ins.iter().enumerate() {
                flow.ins[e] += ratio(passed[*l] * left[*r] / self.outlets[*r], offer[*l]);
            }
            for (e, (l, s)) in self.outs.iter().enumerate() {
                let more = ratio(
                    passed[*l] * self.efficiency[*l] * missing[*s] / self.inlets[*s],
                    want[*l],
                );
                flow.outs[e] += more;
                any |= more > CRUMB;
            }
            if !any {
                break;
            }
        }
    }

    /// Where a server takes from a line into which its own reserve gives, it takes from its own instead, without loss.
    pub(super) fn cancel(&self, flow: &mut Flow) {
        let mut into: std::collections::BTreeMap<(usize, usize), usize> = std::collections::BTreeMap::new();
        for (e, pair) in self.ins.iter().enumerate() {
            into.insert(*pair, e);
        }
        let mut by_server: Vec<Vec<usize>> = vec![Vec::new(); self.servers];
        for (e, (_, s)) in self.own.iter().enumerate() {
            by_server[*s].push(e);
        }
        for (out, (l, s)) in self.outs.iter().enumerate() {
            for own in &by_server[*s] {
                let (r, _) = self.own[*own];
                let Some(give) = into.get(&(r, *l)) else {
                    continue;
                };
                let efficiency = self.efficiency[*l];
                let given = flow.ins[*give].min(ratio(flow.outs[out], efficiency));
                if given > 0.0 {
                    flow.ins[*give] -= given;
                    flow.outs[out] = (flow.outs[out] - given * efficiency).max(0.0);
                    flow.own[*own] += given * efficiency;
                }
            }
        }
    }

    /// Who gives to whom over each line: (line, reserve, server, energy at the reserve's output).
    ///
    /// A line with few members lets every giver feed every taker in proportion; a large one is cut into the fewest
    /// pairs, in the order of `rank` (servers that matter most first).
    pub(super) fn pairs(&self, flow: &Flow, rank: &[usize]) -> Vec<(usize, usize, usize, f64)> {
        const PAIRS_PER_MEMBER: usize = 8;
        let lines = self.efficiency.len();
        let mut givers: Vec<Vec<(usize, f64)>> = vec![Vec::new(); lines];
        let mut takers: Vec<Vec<(usize, f64)>> = vec![Vec::new(); lines];
        for ((r, l), f) in self.ins.iter().zip(&flow.ins).filter(|(_, f)| **f > 0.0) {
            givers[*l].push((*r, *f));
        }
        for ((l, s), f) in self.outs.iter().zip(&flow.outs).filter(|(_, f)| **f > 0.0) {
            takers[*l].push((*s, *f));
        }
        let mut pairs = Vec::new();
        for l in 0..lines {
            let (give, take) = (&mut givers[l], &mut takers[l]);
            take.sort_by_key(|(s, _)| (rank[*s], *s));
            let total: f64 = take.iter().map(|(_, f)| f).sum();
            if total <= 0.0 {
                continue;
            }
            if give.len() * take.len() <= PAIRS_PER_MEMBER * (give.len() + take.len()) {
                for (s, out) in take.iter() {
                    pairs.extend(give.iter().map(|(r, f)| (l, *r, *s, f * out / total)));
                }
                continue;
            }
            let fed: f64 = give.iter().map(|(_, f)| f).sum();
            let mut givers = give.iter_mut();
            let mut current = givers.next();
            for (s, out) in take.iter() {
                let mut missing = fed * out / total;
                while let Some((r, left)) = current.as_mut().map(|g| (g.0, &mut g.1)) {
                    let part = missing.min(*left);
                    if part > 0.0 {
                        pairs.push((l, r, *s, part));
                    }
                    missing -= part;
                    *left -= part;
                    if *left > 0.0 {
                        break;
                    }
                    current = givers.next();
                }
            }
        }
        pairs
    }
}

/// `a / b`, or 0 where there is nothing to divide by.
pub(super) fn ratio(a: f64, b: f64) -> f64 {
    if b > 0.0 { a / b } else { 0.0 }
}

pub(super) fn add(to: &mut Flow, more: &Flow) {
    for (a, b) in to.own.iter_mut().zip(&more.own) {
        *a += b;
    }
    for (a, b) in to.ins.iter_mut().zip(&more.ins) {
        *a += b;
    }
    for (a, b) in to.outs.iter_mut().zip(&more.outs) {
        *a += b;
    }
}
