//! Which reserves are joined to which servers at this moment, and with what caps, so that the physical shares are the
//! planned ones and no limit is met.
//!
//! Lines feed before own reserves do, in proportion to their caps. So caps stand in proportion to what each reserve has
//! promised, and together cover the server's draw where the watts allow it: the lenders then run down together, and
//! the server's own reserve, which needs no switch, is kept for last.

use std::collections::{BTreeMap, BTreeSet};

use super::decide::Loan;
use super::flow::ratio;
use super::hold_back::protection;
use super::prepare::{Cluster, Feed, HOLD_UP_MILLIS, Supply, whole};
use super::script::SAME_CAP;

/// Caps exceed the draw by this, so that a load that is a little higher than told is still carried by the lines.
const HEADROOM: f64 = 1.1;
/// The same where there is no more to be had.
const LEAST_HEADROOM: f64 = 1.01;
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
    /// What each reserve's own servers draw.
    home: Vec<f64>,
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

    /// What is left without what is spared for changes that are not worth a switch, and with no more than `headroom` for
    /// loads at home that are higher than told.
    fn last_room(&self, cluster: &Cluster<'_>, link: usize, store: usize, headroom: f64) -> f64 {
        let line = self.line[link] + cluster.links[link].max_watts * (1.0 - SPARED);
        let most = cluster.stores[store].max_watts * (1.0 - SPARED);
        let store = self.store[store] + most + self.home[store] * (HEADROOM - headroom);
        line.min(store).max(0.0)
    }

    fn room(&self, link: usize, store: usize) -> f64 {
        self.line[link].min(self.store[store]).max(0.0)
    }
}

/// The feeds that are to stand from now on, and why some promise cannot be kept yet.
pub(super) fn choose(cluster: &Cluster<'_>, now: &Now<'_>) -> Vec<Feed> {
    let home: Vec<f64> = cluster
        .stores
        .iter()
        .map(|r| {
            let homes = r
                .homes
                .iter()
                .filter(|s| cluster.nodes[**s].supply != Supply::Dark);
            homes.map(|s| now.load[*s]).sum()
        })
        .collect();
    let mut limits = Limits {
        line: cluster.links.iter().map(|l| l.max_watts * SPARED).collect(),
        store: cluster
            .stores
            .iter()
            .zip(&home)
            // A load at home that is a little higher than told must not starve.
            .map(|(r, home)| r.max_watts * SPARED - home * HEADROOM)
            .collect(),
        home,
        fan_in: vec![BTreeSet::new(); cluster.nodes.len()],
        fan_out: vec![BTreeSet::new(); cluster.stores.len()],
        taken: vec![false; cluster.links.len()],
    };
    let mut chosen: Vec<Feed> = Vec::new();
    let mut fixed: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    // What cannot be commanded stands as it is.
    for feed in now.joined.iter().filter(|f| !commandable(cluster, f)) {
        limits.enter(feed.link, feed.store, feed.server);
        limits.spend(feed.link, feed.store, feed.watts);
        fixed.entry(feed.server).or_default().push(chosen.len());
        chosen.push(*feed);
    }
    let own = |s: usize| {
        cluster.nodes[s]
            .stores
            .iter()
            .map(|r| now.energy[*r])
            .sum::<f64>()
    };
    // Who has nothing of its own comes first, since all others can wait; then by class; of one class, whose own reserves
    // end first.
    let place = |s: usize| {
        let own = own(s);
        let lasts = whole(ratio(own, now.load[s]));
        (own > 1.0, now.rank[s], lasts, s)
    };
    let mut by_server: BTreeMap<(bool, usize, u64, usize), Vec<&Loan>> = BTreeMap::new();
    for (s, node) in cluster.nodes.iter().enumerate() {
        let works = now.rank[s] != usize::MAX && now.load[s] > 0.0;
        if works && node.supply == Supply::Battery && !node.links.is_empty() && own(s) <= 1.0 {
            by_server.insert(place(s), Vec::new());
        }
    }
    for loan in now
        .loans
        .iter()
        .filter(|l| l.energy >= 1.0 && now.energy[l.store] > 1.0 && now.load[l.server] > 0.0)
    {
        by_server.entry(place(loan.server)).or_default().push(loan);
    }
    for ((_, _, _, server), mut loans) in by_server {
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
        let mut at_server = fixed.remove(&server).unwrap_or_default();
        let before = chosen.len();
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
        if alive <= 1.0 && now.rank[server] != usize::MAX {
            at_server.extend(before..chosen.len());
            carry_whole(cluster, now, server, swaps, &mut limits, (&mut chosen, at_server));
        }
    }
    keep_idle(cluster, now, &mut limits, &mut chosen);
    chosen.sort_by_key(|f| (f.server, f.link, f.store));
    chosen
}

/// Joins further reserves, whatever they have promised, to a server that has nothing of its own and is not carried whole
/// yet (`at_server`: the places of what was chosen for it): what it misses for longer than its power supply holds, it is lost for.
fn carry_whole(
    cluster: &Cluster<'_>,
    now: &Now<'_>,
    server: usize,
    swaps: bool,
    limits: &mut Limits,
    (chosen, mut at_server): (&mut Vec<Feed>, Vec<usize>),
) {
    // Better no headroom at all than a server that is lost for certain.
    for headroom in [LEAST_HEADROOM, 1.0] {
        let carried: f64 = at_server
            .iter()
            .map(|at| &chosen[*at])
            .filter(|f| now.energy[f.store] > 1.0)
            .map(|f| f.watts * cluster.links[f.link].efficiency)
            .sum();
        let mut missing = now.load[server] * headroom - carried;
        for l in &cluster.nodes[server].links {
            let (link, line) = (&cluster.links[*l], &cluster.snapshot.lines[*l]);
            let late = line.switch_millis > HOLD_UP_MILLIS && !swaps;
            if late || link.efficiency <= 0.0 {
                continue;
            }
            for r in &link.stores {
                if missing <= 0.0 {
                    return;
                }
                let mut room = limits.last_room(cluster, *l, *r, headroom).floor();
                // What servers on mains need themselves if that goes too is not given even then.
                let kept = protection(cluster, *r);
                if kept > 0.0 {
                    let free = (now.energy[*r] - kept).max(0.0);
                    room = room.min((free / now.until_next.max(1.0)).floor());
                }
                if now.energy[*r] <= 1.0 || room < 1.0 {
                    continue;
                }
                let mut known = at_server.iter().copied();
                let known = known.find(|at| (chosen[*at].link, chosen[*at].store) == (*l, *r));
                let open = known.is_some() || limits.admits(cluster, *l, *r, server);
                // A little more on what is joined costs no switch.
                let least = if known.is_some() { 1.0 } else { LEAST_WATTS };
                if room < least || !open {
                    continue;
                }
                let watts = room.min((missing / link.efficiency).ceil());
                missing -= watts * link.efficiency;
                limits.enter(*l, *r, server);
                limits.spend(*l, *r, watts);
                match known {
                    Some(at) => chosen[at].watts += watts,
                    None => {
                        at_server.push(chosen.len());
                        chosen.push(Feed {
                            link: *l,
                            store: *r,
                            server,
                            watts,
                        });
                    }
                }
            }
        }
    }
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
