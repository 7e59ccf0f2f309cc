//! Which reserves are joined to which servers at this moment, and with what caps, so that the physical shares are the
//! planned ones and no limit is met.
//!
//! Lines feed before own reserves do, in proportion to their caps. So caps stand in proportion to what each reserve has
//! promised, and together cover the server's draw where the watts allow it: the lenders then run down together, and
//! the server's own reserve, which needs no switch, is kept for last.

use std::collections::{BTreeMap, BTreeSet};

use super::decide::Loan;
use super::flow::ratio;
use super::prepare::{Cluster, Feed, HOLD_UP_MILLIS, Supply, whole};
use super::script::SAME_CAP;

/// Caps exceed the draw by this, so that a load that is a little higher than told is still carried by the lines.
const HEADROOM: f64 = 1.1;
/// Part of a limit that is given out: caps that need to change but little stay as they are, so their sum may be off by
/// as much.
const SPARED: f64 = 1.0 - SAME_CAP;
/// A cap below this is not worth a switch, milliwatts.
const LEAST_WATTS: f64 = 1_000.0;
/// Rounds of handing what one reserve cannot give to the others.
const ROUNDS: usize = 4;

/// The state that the choice depends on.
#[derive(Debug)]
pub(super) struct Now<'a> {
    /// Draw of each server, the highest until the next choice.
    pub(super) load: &'a [f64],
    /// What is left of each promise.
    pub(super) loans: &'a [Loan],
    /// Best class on each server; servers with the best choose first.
    pub(super) rank: &'a [usize],
    pub(super) energy: &'a [f64],
    pub(super) joined: &'a [Feed],
    /// Time until feeds can be chosen again: a promise has to last that long.
    pub(super) until_next: f64,
}

#[derive(Debug)]
struct Limits {
    line: Vec<f64>,
    store: Vec<f64>,
    fan_in: Vec<BTreeSet<usize>>,
    fan_out: Vec<BTreeSet<usize>>,
    taken: Vec<bool>,
}

impl Limits {
    fn admits(&self, cluster: &Cluster<'_>, link: usize, store: usize, server: usize) -> bool {
        let fan_in = cluster.snapshot.servers[server].fan_in as usize;
        let fan_out = cluster.stores[store].fan_out;
        let (ins, outs) = (&self.fan_in[server], &self.fan_out[store]);
        (fan_in == 0 || ins.len() < fan_in || ins.contains(&store))
            && (fan_out == 0 || outs.len() < fan_out || outs.contains(&server))
            && !(cluster.links[link].exclusive && self.taken[link])
    }

    fn enter(&mut self, link: usize, store: usize, server: usize) {
        self.fan_in[server].insert(store);
        self.fan_out[store].insert(server);
        self.taken[link] = true;
    }

    fn spend(&mut self, link: usize, store: usize, watts: f64) {
        self.line[link] -= watts;
        self.store[store] -= watts;
    }

    fn room(&self, link: usize, store: usize) -> f64 {
        self.line[link].min(self.store[store]).max(0.0)
    }
}

/// The feeds that are to stand from now on, and why some promise cannot be kept yet.
pub(super) fn choose(cluster: &Cluster<'_>, now: &Now<'_>) -> Vec<Feed> {
    let mut limits = Limits {
        line: cluster.links.iter().map(|l| l.max_watts * SPARED).collect(),
        store: cluster
            .stores
            .iter()
            .map(|r| {
                let home: f64 = r
                    .homes
                    .iter()
                    .filter(|s| cluster.nodes[**s].supply != Supply::Dark)
                    .map(|s| now.load[*s])
                    .sum();
                // A load at home that is a little higher than told must not starve.
                r.max_watts * SPARED - home * HEADROOM
            })
            .collect(),
        fan_in: vec![BTreeSet::new(); cluster.nodes.len()],
        fan_out: vec![BTreeSet::new(); cluster.stores.len()],
        taken: vec![false; cluster.links.len()],
    };
    let mut chosen: Vec<Feed> = Vec::new();
    // What cannot be commanded stands as it is.
    for feed in now.joined.iter().filter(|f| !commandable(cluster, f)) {
        limits.enter(feed.link, feed.store, feed.server);
        limits.spend(feed.link, feed.store, feed.watts);
        chosen.push(*feed);
    }
    let own = |s: usize| {
        cluster.nodes[s]
            .stores
            .iter()
            .map(|r| now.energy[*r])
            .sum::<f64>()
    };
    // By class; of one class, whose own reserves end first.
    let mut by_server: BTreeMap<(usize, u64, usize), Vec<&Loan>> = BTreeMap::new();
    for loan in now
        .loans
        .iter()
        .filter(|l| l.energy >= 1.0 && now.energy[l.store] > 1.0 && now.load[l.server] > 0.0)
    {
        by_server
            .entry((
                now.rank[loan.server],
                whole(ratio(own(loan.server), now.load[loan.server])),
                loan.server,
            ))
            .or_default()
            .push(loan);
    }
    for ((_, _, server), mut loans) in by_server {
        // What is joined is sorted by server, line and reserve.
        let joined = |l: &Loan| {
            let key = (l.server, l.link, l.store);
            now.joined
                .binary_search_by_key(&key, |f| (f.server, f.link, f.store))
                .is_ok()
        };
        let from = now.joined.partition_point(|f| f.server < server);
        let to = now.joined.partition_point(|f| f.server <= server);
        let swaps = now.joined[from..to].iter().any(|f| now.energy[f.store] > 1.0);
        let alive = own(server);
        loans.sort_by(|a, b| {
            b.energy
                .total_cmp(&a.energy)
                .then(a.store.cmp(&b.store))
                .then(a.link.cmp(&b.link))
        });
        let mut admitted: Vec<(&Loan, f64)> = Vec::new();
        for loan in loans {
            // Without an own reserve nothing carries the gap of a change-over.
            let gap = cluster.links[loan.link].needs_bridge && alive <= 1.0 && swaps && !joined(loan);
            let bridged = cluster.snapshot.lines[loan.link].changeover == crate::model::Changeover::Parallel;
            // One that nothing feeds is lost before a slow line is there.
            let slow = cluster.snapshot.lines[loan.link].switch_millis > HOLD_UP_MILLIS;
            let late = slow && alive <= 1.0 && !swaps;
            if late || (gap && !bridged) || !limits.admits(cluster, loan.link, loan.store, server) {
                continue;
            }
            if limits.room(loan.link, loan.store) < LEAST_WATTS {
                continue;
            }
            limits.enter(loan.link, loan.store, server);
            admitted.push((loan, 0.0));
        }
        // One that has nothing of its own must be carried whole, however long that lasts.
        let until_next = if alive > 1.0 { now.until_next } else { 1.0 };
        share(
            cluster,
            until_next,
            now.load[server] * HEADROOM,
            &mut admitted,
            &mut limits,
        );
        chosen.extend(
            admitted
                .iter()
                .filter(|(_, watts)| *watts >= LEAST_WATTS)
                .map(|(loan, watts)| Feed {
                    link: loan.link,
                    store: loan.store,
                    server,
                    // Whole milliwatts, rounded down: a limit is a limit.
                    watts: watts.floor(),
                }),
        );
    }
    keep_idle(cluster, now, &mut limits, &mut chosen);
    chosen.sort_by_key(|f| (f.server, f.link, f.store));
    chosen
}

/// Divides `want` (at the server) among the admitted in proportion to what they promised.
fn share(
    cluster: &Cluster<'_>,
    until_next: f64,
    want: f64,
    admitted: &mut [(&Loan, f64)],
    limits: &mut Limits,
) {
    let mut missing = want;
    for _ in 0..ROUNDS {
        // What is promised must not be gone before the line can be looked at again.
        let lasts = |loan: &Loan| loan.energy / until_next.max(1.0);
        let room = |loan: &Loan, watts: f64, limits: &Limits| {
            limits
                .room(loan.link, loan.store)
                .min(lasts(loan) - watts)
                .max(0.0)
        };
        let weight: f64 = admitted
            .iter()
            .filter(|(l, w)| room(l, *w, limits) > 0.0)
            .map(|(l, _)| l.energy)
            .sum();
        if weight <= 0.0 || missing < 1.0 {
            break;
        }
        let round = missing;
        for (loan, watts) in admitted.iter_mut() {
            let efficiency = cluster.links[loan.link].efficiency;
            let part = ratio(round * loan.energy / weight, efficiency).min(room(loan, *watts, limits));
            if part > 0.0 {
                *watts += part;
                missing -= part * efficiency;
                limits.spend(loan.link, loan.store, part);
            }
        }
    }
}

/// What is joined to servers that need nothing stays, unless it is in the way.
fn keep_idle(cluster: &Cluster<'_>, now: &Now<'_>, limits: &mut Limits, chosen: &mut Vec<Feed>) {
    for feed in now.joined {
        let idle = cluster.nodes[feed.server].supply != Supply::Battery && commandable(cluster, feed);
        if idle
            && limits.admits(cluster, feed.link, feed.store, feed.server)
            && limits.room(feed.link, feed.store) >= feed.watts
        {
            limits.enter(feed.link, feed.store, feed.server);
            limits.spend(feed.link, feed.store, feed.watts);
            chosen.push(*feed);
        }
    }
}

/// Whether a plan may change this feed.
pub(super) fn commandable(cluster: &Cluster<'_>, feed: &Feed) -> bool {
    cluster.links[feed.link].usable
        && cluster.links[feed.link]
            .servers
            .binary_search(&feed.server)
            .is_ok()
        && cluster.links[feed.link].stores.binary_search(&feed.store).is_ok()
}
