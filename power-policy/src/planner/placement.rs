//! Where each placement is to live: first fit by class over few kept servers, because a server's idle draw is what
//! costs most, and servers on mains first of all, because they cost nothing.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::care::Care;
use super::flow::ratio;
use super::prepare::{Cluster, Supply};

/// A placement with less time than this left is not worth a move, seconds.
const LEAST_LIFE_SECONDS: f64 = 90.0;
/// Share of a placement's remaining time that its move may take.
const MOST_MOVE_SHARE: f64 = 0.5;
/// By how much the saving of a move must exceed its cost.
const GAIN: f64 = 1.2;
/// Price reduction of a server for the load that is already there (it need not be moved).
const HOME_BONUS: f64 = 0.1;

/// A total order on floats, for the heap.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Cost(f64);
impl Eq for Cost {}
impl PartialOrd for Cost {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Cost {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.total_cmp(&other.0)
    }
}

/// What a placement of everything depends on.
#[derive(Debug)]
pub(super) struct Wish<'a> {
    /// Placements that shall live on.
    pub(super) live: &'a [bool],
    /// How long each class is expected to live, seconds from now, by island and class.
    pub(super) life: &'a [Vec<f64>],
    /// Output energy that each reserve can spend.
    pub(super) supply: &'a [f64],
    /// Where a move that was planned before goes.
    pub(super) planned: &'a [Option<usize>],
    /// Classes that may take the place of lower ones on a server with mains, because they would miss their target.
    pub(super) may_displace: &'a [bool],
    /// Placements that are not to move.
    pub(super) stays: &'a [bool],
    /// Servers that nothing moves from or to.
    pub(super) care: &'a Care,
}

struct Room {
    cpu: Vec<f64>,
    memory: Vec<f64>,
    watts: Vec<f64>,
}

impl Room {
    fn fits(&self, cluster: &Cluster<'_>, p: usize, s: usize) -> bool {
        let (cpu, memory, draw) = cluster.placements[p].more_at(s);
        cpu <= self.cpu[s] && memory <= self.memory[s] && draw <= self.watts[s]
    }

    fn take(&mut self, cluster: &Cluster<'_>, p: usize, s: usize, sign: f64) {
        let (cpu, memory, draw) = cluster.placements[p].more_at(s);
        self.cpu[s] -= sign * cpu;
        self.memory[s] -= sign * memory;
        self.watts[s] -= sign * draw;
    }
}

struct Placing<'a, 'c> {
    cluster: &'a Cluster<'c>,
    wish: &'a Wish<'a>,
    /// Room left when all that is placed so far has moved, and all that is not is gone.
    room: Room,
    /// Room left beside everything that runs now.
    spare: Room,
    kept: Vec<bool>,
    /// Something from elsewhere is to live here.
    came: Vec<bool>,
    kept_on_link: Vec<f64>,
    link_energy: Vec<f64>,
    placed_watts: Vec<f64>,
    target: Vec<Option<usize>>,
}

/// Server of each live placement; `None`: there is no place for it.
pub(super) fn place(cluster: &Cluster<'_>, wish: &Wish<'_>) -> Vec<Option<usize>> {
    let mut placing = Placing::new(cluster, wish);
    let mut by_class: Vec<Vec<usize>> = vec![Vec::new(); cluster.classes.len()];
    for (p, placement) in cluster
        .placements
        .iter()
        .enumerate()
        .filter(|(p, _)| wish.live[*p])
    {
        by_class[placement.class].push(p);
    }
    for members in &mut by_class {
        // Large ones first; names break ties, as indexes follow them.
        members.sort_by(|a, b| {
            cluster.placements[*b]
                .cpu
                .total_cmp(&cluster.placements[*a].cpu)
                .then(a.cmp(b))
        });
        placing.class(members);
    }
    placing.keep_what_does_not_pay();
    placing.target
}

impl<'a, 'c> Placing<'a, 'c> {
    fn new(cluster: &'a Cluster<'c>, wish: &'a Wish<'a>) -> Self {
        let watts: Vec<f64> = cluster
            .nodes
            .iter()
            .map(|n| match n.supply {
                Supply::Mains => n.mains_watts.min(n.most()) - n.base,
                // What its reserves and lines can carry, and no more than it can draw.
                _ => {
                    let own: f64 = n.stores.iter().map(|r| cluster.stores[*r].max_watts).sum();
                    let lines: f64 = n
                        .links
                        .iter()
                        .map(|l| cluster.links[*l].max_watts * cluster.links[*l].efficiency)
                        .sum();
                    (own + lines).min(n.most()) - n.base
                }
            })
            .collect();
        let spare = Room {
            cpu: cluster.nodes.iter().map(|n| n.free_cpu).collect(),
            memory: cluster.nodes.iter().map(|n| n.free_memory).collect(),
            watts: (0..watts.len())
                .map(|s| {
                    let here: f64 = cluster.nodes[s]
                        .placements
                        .iter()
                        .map(|p| cluster.placements[*p].draw)
                        .sum();
                    watts[s] - here
                })
                .collect(),
        };
        let mut room = Room {
            cpu: spare.cpu.clone(),
            memory: spare.memory.clone(),
            watts,
        };
        for (s, node) in cluster.nodes.iter().enumerate() {
            for p in &node.placements {
                room.cpu[s] += cluster.placements[*p].cpu;
                room.memory[s] += cluster.placements[*p].memory;
            }
        }
        let kept: Vec<bool> = cluster.nodes.iter().map(|n| n.supply == Supply::Mains).collect();
        let link_energy = cluster
            .links
            .iter()
            .map(|l| l.stores.iter().map(|r| wish.supply[*r]).sum())
            .collect();
        Self {
            came: vec![false; cluster.nodes.len()],
            kept_on_link: vec![0.0; cluster.links.len()],
            placed_watts: vec![0.0; cluster.nodes.len()],
            target: vec![None; cluster.placements.len()],
            cluster,
            wish,
            room,
            spare,
            kept,
            link_energy,
        }
    }

    /// How long a battery server with `extra` watts on it could live: its own reserves, and its part of the best line.
    fn life(&self, s: usize, extra: f64) -> f64 {
        let node = &self.cluster.nodes[s];
        if node.supply == Supply::Mains {
            return f64::INFINITY;
        }
        let own: f64 = node
            .stores
            .iter()
            .map(|r| self.wish.supply[*r] / self.homes(*r))
            .sum();
        let lines = node
            .links
            .iter()
            .map(|l| {
                let others = self.kept_on_link[*l] - if self.kept[s] { 1.0 } else { 0.0 };
                self.cluster.links[*l].efficiency * (self.link_energy[*l] - own).max(0.0) / (1.0 + others)
            })
            .fold(0.0, f64::max);
        ratio(own + lines, node.base + self.placed_watts[s] + extra)
    }

    fn homes(&self, r: usize) -> f64 {
        self.cluster.stores[r].homes.len().max(1) as f64
    }

    fn put(&mut self, p: usize, s: usize) {
        self.target[p] = Some(s);
        self.room.take(self.cluster, p, s, 1.0);
        self.placed_watts[s] += self.cluster.placements[p].draw;
        if self.cluster.placements[p].server != s {
            self.spare.take(self.cluster, p, s, 1.0);
            self.came[s] = true;
        }
        if !self.kept[s] {
            self.kept[s] = true;
            for l in &self.cluster.nodes[s].links {
                self.kept_on_link[*l] += 1.0;
            }
        }
    }

    fn expected_life(&self, p: usize) -> f64 {
        let placement = &self.cluster.placements[p];
        let island = self.cluster.nodes[placement.server].island;
        self.wish
            .life
            .get(island)
            .and_then(|l| l.get(placement.class))
            .copied()
            .unwrap_or(0.0)
    }

    /// Whether there is time for a move at all.
    fn may_move(&self, p: usize) -> bool {
        let placement = &self.cluster.placements[p];
        let life = self.expected_life(p);
        !self.is_pinned(p)
            && life >= LEAST_LIFE_SECONDS
            && placement.move_seconds + placement.stop_seconds <= life * MOST_MOVE_SHARE
    }

    fn class(&mut self, members: &[usize]) {
        let cluster = self.cluster;
        let mut movable = Vec::new();
        for &p in members {
            let placement = &cluster.placements[p];
            let host = &cluster.nodes[placement.server];
            match placement.moving_to {
                // A move that has begun is finished; both servers hold it now.
                Some(to) if self.reaches(p, to) => self.put(p, to),
                // A higher class that came here has taken its room.
                _ if host.supply == Supply::Mains
                    && self.is_pinned(p)
                    && self.came[placement.server]
                    && !self.room.fits(cluster, p, placement.server) => {}
                // Nobody knows what feeds it, or it cannot move: it stays.
                _ if host.supply == Supply::Unknown || self.is_pinned(p) => self.put(p, placement.server),
                _ => movable.push(p),
            }
        }
        let mut rest = Vec::new();
        for p in movable {
            let home = cluster.placements[p].server;
            if cluster.nodes[home].supply == Supply::Mains {
                // Where it was pushed out by a higher class, another place is looked for.
                if self.room.fits(cluster, p, home) {
                    self.put(p, home);
                } else {
                    rest.push(p);
                }
                continue;
            }
            match self.on_mains(p) {
                Some(s) => self.put(p, s),
                None if self.kept[home] && self.room.fits(cluster, p, home) => self.put(p, home),
                None => rest.push(p),
            }
        }
        self.open(rest);
    }

    fn planned(&self, p: usize) -> Option<usize> {
        let to = self.wish.planned[p].filter(|_| !self.is_pinned(p));
        to.filter(|s| !self.wish.care.is_still(*s))
    }

    /// It stays where it is, or goes.
    fn is_pinned(&self, p: usize) -> bool {
        let placement = &self.cluster.placements[p];
        placement.receivers.is_empty() || self.wish.stays[p] || self.wish.care.is_still(placement.server)
    }

    fn receivers(&self, p: usize) -> impl Iterator<Item = &'a usize> {
        let care = self.wish.care;
        let pinned = self.is_pinned(p);
        let all = self.cluster.placements[p].receivers.iter();
        all.filter(move |s| !pinned && !care.is_still(**s))
    }

    fn reaches(&self, p: usize, s: usize) -> bool {
        let node = &self.cluster.nodes[s];
        self.cluster.placements[p].receivers.contains(&s)
            && matches!(node.supply, Supply::Mains | Supply::Battery)
    }

    /// A server on mains that can take it: beside what runs there, or, where its class would miss its target, in place
    /// of lower classes.
    fn on_mains(&self, p: usize) -> Option<usize> {
        let cluster = self.cluster;
        let placement = &cluster.placements[p];
        let mains = |s: &&usize| cluster.nodes[**s].supply == Supply::Mains;
        if let Some(s) = self.planned(p)
            && mains(&&s)
            && (self.spare.fits(cluster, p, s) || self.room.fits(cluster, p, s))
        {
            return Some(s);
        }
        // Some life for the move itself is enough: what it wins has no end.
        if placement.move_seconds + placement.stop_seconds > self.expected_life(p).max(LEAST_LIFE_SECONDS) {
            return None;
        }
        // The fullest that fits leaves room for larger ones.
        let beside = self
            .receivers(p)
            .filter(mains)
            .filter(|s| self.spare.fits(cluster, p, **s) && self.room.fits(cluster, p, **s))
            .min_by(|a, b| self.spare.cpu[**a].total_cmp(&self.spare.cpu[**b]).then(a.cmp(b)));
        if beside.is_some() || !self.wish.may_displace[placement.class] {
            return beside.copied();
        }
        self.receivers(p)
            .filter(mains)
            .filter(|s| self.room.fits(cluster, p, **s))
            .max_by(|a, b| self.spare.cpu[**a].total_cmp(&self.spare.cpu[**b]).then(b.cmp(a)))
            .copied()
    }

    /// Places what is left: into servers that are kept anyway, then into the cheapest further ones.
    fn open(&mut self, mut rest: Vec<usize>) {
        let cluster = self.cluster;
        let mut heap: BinaryHeap<Reverse<(Cost, usize)>> = BinaryHeap::new();
        let mut begun = false;
        loop {
            rest.retain(|&p| {
                let Some(s) = self.best_kept(p) else {
                    return true;
                };
                self.put(p, s);
                false
            });
            if rest.is_empty() {
                return;
            }
            // What each closed server could take in of the rest, and how much of it is there already.
            let mut wanted = vec![(0.0, 0.0, 0.0); cluster.nodes.len()];
            for &p in &rest {
                let placement = &cluster.placements[p];
                let home = placement.server;
                wanted[home].0 += placement.cpu;
                wanted[home].1 += placement.draw;
                wanted[home].2 += placement.cpu;
                if self.may_move(p) {
                    for s in self.receivers(p) {
                        wanted[*s].0 += placement.cpu;
                        wanted[*s].1 += placement.draw;
                    }
                }
            }
            if !begun {
                for (s, wanted) in wanted.iter().enumerate() {
                    if let Some(cost) = self.cost(s, *wanted) {
                        heap.push(Reverse((Cost(cost), s)));
                    }
                }
                begun = true;
            }
            // A server only gets dearer as the rest shrinks, so a stale price is a lower bound.
            let mut opened = false;
            while let Some(Reverse((old, s))) = heap.pop() {
                let Some(cost) = self.cost(s, wanted[s]) else {
                    continue;
                };
                if cost > old.0 && heap.peek().is_some_and(|Reverse((next, _))| next.0 < cost) {
                    heap.push(Reverse((Cost(cost), s)));
                    continue;
                }
                opened = self.fill(s, &mut rest);
                if opened {
                    break;
                }
            }
            if !opened {
                break;
            }
        }
        // No place was found: it stays where it is, if it fits there.
        for p in rest {
            let home = cluster.placements[p].server;
            let on_mains = cluster.nodes[home].supply == Supply::Mains;
            if self.room.fits(cluster, p, home) || !on_mains {
                self.put(p, home);
            }
        }
    }

    fn best_kept(&self, p: usize) -> Option<usize> {
        let cluster = self.cluster;
        let placement = &cluster.placements[p];
        if let Some(s) = self.planned(p)
            && self.kept[s]
            && self.room.fits(cluster, p, s)
        {
            return Some(s);
        }
        if !self.may_move(p) {
            return None;
        }
        self.receivers(p)
            .filter(|s| self.kept[**s] && self.room.fits(cluster, p, **s))
            // What runs on mains is not pushed out for this.
            .filter(|s| cluster.nodes[**s].supply != Supply::Mains || self.spare.fits(cluster, p, **s))
            .filter(|s| self.life(**s, placement.draw) >= LEAST_LIFE_SECONDS)
            .max_by(|a, b| {
                self.life(**a, placement.draw)
                    .total_cmp(&self.life(**b, placement.draw))
                    .then(b.cmp(a))
            })
            .copied()
    }

    /// Watts a core, for the time that they would last.
    fn cost(&self, s: usize, (cpu, draw, at_home): (f64, f64, f64)) -> Option<f64> {
        let node = &self.cluster.nodes[s];
        if self.kept[s] || node.supply != Supply::Battery || cpu <= 0.0 && draw <= 0.0 {
            return None;
        }
        let taken = cpu.min(self.room.cpu[s]);
        let watts = if cpu > 0.0 {
            draw * (taken / cpu).max(0.0)
        } else {
            draw
        };
        let life = self.life(s, watts).max(1.0);
        let home = if taken > 0.0 {
            (at_home / taken).min(1.0)
        } else {
            1.0
        };
        Some((node.base + watts) / taken.max(1.0) * (1.0 - HOME_BONUS * home) / life)
    }

    fn fill(&mut self, s: usize, rest: &mut Vec<usize>) -> bool {
        let cluster = self.cluster;
        let before = rest.len();
        for own in [true, false] {
            rest.retain(|&p| {
                let placement = &cluster.placements[p];
                let here = placement.server == s;
                let allowed = here
                    || (self.may_move(p)
                        && !self.wish.care.is_still(s)
                        && placement.receivers.binary_search(&s).is_ok());
                // What runs here runs here, even where the figures say that it does not fit.
                if here != own || !allowed || !(self.room.fits(cluster, p, s) || (here && !self.kept[s])) {
                    return true;
                }
                self.put(p, s);
                false
            });
        }
        rest.len() < before
    }

    /// Takes back the moves between battery servers that cost more than they save.
    fn keep_what_does_not_pay(&mut self) {
        let cluster = self.cluster;
        for s in 0..cluster.nodes.len() {
            let node = &cluster.nodes[s];
            if node.supply != Supply::Battery {
                continue;
            }
            let leaving: Vec<usize> = node
                .placements
                .iter()
                .copied()
                .filter(|p| cluster.placements[*p].moving_to.is_none())
                .filter(|p| {
                    self.target[*p].is_some_and(|to| to != s && cluster.nodes[to].supply == Supply::Battery)
                })
                .collect();
            if leaving.is_empty() {
                continue;
            }
            let closes = !self.kept[s] && node.can_switch_off && node.fixed <= 0.0;
            let queue = leaving
                .iter()
                .map(|p| cluster.placements[*p].move_seconds)
                .fold(0.0, f64::max);
            let longest = leaving.iter().map(|p| self.expected_life(*p)).fold(0.0, f64::max);
            let cost: f64 = leaving
                .iter()
                .map(|p| {
                    let placement = &cluster.placements[*p];
                    placement.move_energy + placement.draw * (placement.move_seconds + placement.stop_seconds)
                })
                .sum();
            let saving = if closes {
                node.base * (longest - queue).max(0.0)
            } else {
                0.0
            };
            let starves = self.life(s, 0.0) < longest * MOST_MOVE_SHARE;
            if saving > cost * GAIN || starves {
                continue;
            }
            if leaving.iter().all(|p| self.room.fits(cluster, *p, s)) {
                for p in leaving {
                    if let Some(to) = self.target[p] {
                        self.room.take(cluster, p, to, -1.0);
                        self.spare.take(cluster, p, to, -1.0);
                        self.placed_watts[to] -= cluster.placements[p].draw;
                    }
                    self.put(p, s);
                }
            }
        }
    }
}
