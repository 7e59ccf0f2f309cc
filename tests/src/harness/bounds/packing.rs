//! Which sets of whole servers can carry class 0, and at what idle draw.

use crate::harness::instance::Instance;

/// Steps of the search for one packing; where it gives up, the servers are taken to be enough, which keeps every bound
/// that rests on it a bound.
const SEARCH_STEPS: usize = 4_000;
/// Most servers for which subsets are gone through.
const MOST_SERVERS: usize = 16;
/// Slack of the comparison of sums.
const SLACK: f64 = 1e-9;

/// A set of servers, one bit each.
pub(super) type Hosts = u32;

/// Least idle draw of servers that can carry all of class 0, watts.
pub(super) fn least_idle(instance: &Instance) -> f64 {
    least_idle_of(instance, &top(instance))
}

/// The sets of class 0.
pub(super) fn top(instance: &Instance) -> Vec<usize> {
    (0..instance.sets.len())
        .filter(|a| instance.sets[*a].class == 0)
        .collect()
}

/// Least idle draw of servers that can carry these sets, watts; 0 where there are too many servers to tell.
pub(super) fn least_idle_of(instance: &Instance, sets: &[usize]) -> f64 {
    if instance.servers.len() > MOST_SERVERS {
        return 0.0;
    }
    let packing = Packing::new(instance, sets);
    let mut subsets: Vec<(f64, Hosts)> = packing.subsets().map(|k| (packing.idle(k), k)).collect();
    subsets.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    let first = subsets.iter().find(|(_, k)| packing.fits(*k));
    first.map_or(0.0, |(idle, _)| *idle)
}

/// Servers that can carry these sets and of which none can be left out: each time that all of them run, the servers that
/// are on hold one of these sets of servers. `None` where there are too many servers to tell.
pub(super) fn minimal_hosts(instance: &Instance, sets: &[usize]) -> Option<Vec<Hosts>> {
    if instance.servers.len() > MOST_SERVERS {
        return None;
    }
    let packing = Packing::new(instance, sets);
    let mut subsets: Vec<Hosts> = packing.subsets().collect();
    subsets.sort_by_key(|k| (k.count_ones(), *k));
    let mut minimal: Vec<Hosts> = Vec::new();
    for k in subsets {
        if minimal.iter().all(|m| m & k != *m) && packing.fits(k) {
            minimal.push(k);
        }
    }
    Some(minimal)
}

struct Packing<'a> {
    instance: &'a Instance,
    /// Largest first.
    free: Vec<usize>,
    pinned: Hosts,
    /// Processor and memory that are left on each server beside what is pinned there.
    left: Vec<(f64, f64)>,
    need: (f64, f64),
}

impl<'a> Packing<'a> {
    fn new(instance: &'a Instance, sets: &[usize]) -> Self {
        let mut left: Vec<(f64, f64)> = instance.servers.iter().map(|s| (s.cpu, s.memory)).collect();
        let mut pinned = 0;
        let mut free = Vec::new();
        let mut need = (0.0, 0.0);
        for a in sets {
            let set = &instance.sets[*a];
            if set.movable {
                free.push(*a);
                need = (need.0 + set.cpu, need.1 + set.memory);
            } else {
                pinned |= 1 << set.host;
                left[set.host].0 -= set.cpu;
                left[set.host].1 -= set.memory;
            }
        }
        free.sort_by(|a, b| {
            let cpu = |a: &usize| instance.sets[*a].cpu;
            cpu(b).total_cmp(&cpu(a)).then(a.cmp(b))
        });
        Self {
            instance,
            free,
            pinned,
            left,
            need,
        }
    }

    /// All that hold the hosts of what is pinned.
    fn subsets(&self) -> impl Iterator<Item = Hosts> + '_ {
        let all: Hosts = (1 << self.instance.servers.len()) - 1;
        (1..=all).filter(|k| k & self.pinned == self.pinned)
    }

    fn members(&self, k: Hosts) -> impl Iterator<Item = usize> {
        (0..self.instance.servers.len()).filter(move |s| k & (1 << s) != 0)
    }

    fn idle(&self, k: Hosts) -> f64 {
        self.members(k).map(|s| self.instance.servers[s].idle).sum()
    }

    fn fits(&self, k: Hosts) -> bool {
        let mut left: Vec<(f64, f64)> = self.members(k).map(|s| self.left[s]).collect();
        let room = left.iter().fold((0.0, 0.0), |a, b| (a.0 + b.0, a.1 + b.1));
        if room.0 + SLACK < self.need.0 || room.1 + SLACK < self.need.1 {
            return false;
        }
        let mut steps = SEARCH_STEPS;
        self.place(0, &mut left, &mut steps)
    }

    /// Depth first; a set goes where least room is left.
    fn place(&self, at: usize, left: &mut [(f64, f64)], steps: &mut usize) -> bool {
        let Some(a) = self.free.get(at) else {
            return true;
        };
        if *steps == 0 {
            return true;
        }
        *steps -= 1;
        let set = &self.instance.sets[*a];
        let mut tried: Vec<usize> = (0..left.len())
            .filter(|s| left[*s].0 + SLACK >= set.cpu && left[*s].1 + SLACK >= set.memory)
            .collect();
        tried.sort_by(|a, b| left[*a].0.total_cmp(&left[*b].0));
        for s in tried {
            left[s].0 -= set.cpu;
            left[s].1 -= set.memory;
            if self.place(at + 1, left, steps) {
                return true;
            }
            left[s].0 += set.cpu;
            left[s].1 += set.memory;
        }
        false
    }
}
