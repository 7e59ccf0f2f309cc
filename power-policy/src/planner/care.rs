//! What a rehearsal has taught: where a plan was lost, the next one takes more care. Each time that a server is lost again
//! its care goes up a degree, from earlier stops to nothing that could go wrong, so that the search ends.

use super::Draft;
use super::hold_back::protection;
use super::prepare::Cluster;
use super::rehearsal::Outcome;

/// Highest degree for central stages.
const MOST: u8 = 6;
/// Highest degree for local stages.
const MOST_LOCAL: u8 = 4;
/// Highest degree for reserves that servers on mains need themselves.
const MOST_LENDING: u8 = 3;

/// Degrees of care, by server.
#[derive(Debug, Clone)]
pub(super) struct Care {
    degree: Vec<u8>,
    local: Vec<u8>,
    /// By reserve.
    lending: Vec<u8>,
    /// By placement.
    gives_way: Vec<bool>,
    /// By class and server: energy for the target on top of what the pools say it takes.
    aside: std::collections::BTreeMap<(usize, usize), f64>,
}

impl Care {
    pub(super) fn new(cluster: &Cluster<'_>) -> Self {
        let servers = cluster.nodes.len();
        Self {
            degree: vec![0; servers],
            local: vec![0; servers],
            lending: vec![0; cluster.stores.len()],
            gives_way: vec![false; cluster.placements.len()],
            aside: std::collections::BTreeMap::new(),
        }
    }

    /// Factor on the energy that is set aside for a clean end.
    pub(super) fn margin(&self, s: usize) -> f64 {
        [1.0, 1.4, 2.0, 3.0][usize::from(self.degree[s]).min(3)]
    }

    /// Part of the life that was planned for what runs on a server.
    pub(super) fn life(&self, s: usize) -> f64 {
        [1.0, 0.9, 0.7, 0.5][usize::from(self.degree[s]).min(3)]
    }

    /// It halts in the stage that empties it, and not in one of its own.
    pub(super) fn closes_early(&self, s: usize) -> bool {
        self.degree[s] >= 1
    }

    /// Part of a halt's energy that must be there, or it is not begun.
    pub(super) fn least_for_a_halt(&self, s: usize) -> f64 {
        [0.0, 0.0, 0.0, 1.0][usize::from(self.degree[s]).min(3)]
    }

    /// Nothing moves from it or to it.
    pub(super) fn is_still(&self, s: usize) -> bool {
        self.degree[s] >= 4
    }

    /// What runs on it is stopped at once.
    pub(super) fn is_shed(&self, s: usize) -> bool {
        self.degree[s] >= 5
    }

    /// It neither lends nor borrows.
    pub(super) fn is_alone(&self, s: usize) -> bool {
        self.degree[s] >= 6
    }

    /// Factor on the energy at which its PEP, cut off, stops what it has.
    pub(super) fn local_margin(&self, s: usize) -> f64 {
        [1.0, 1.5, 2.5, 4.0, 4.0][usize::from(self.local[s]).min(4)]
    }

    /// Idle, it is halted before its reserve ends, even if it must stay up until then: cut off, its PEP would begin a halt
    /// for which there is no energy any more.
    pub(super) fn ends_in_a_halt(&self, s: usize) -> bool {
        self.local[s] >= 1 || self.degree[s] >= 1
    }

    /// It is stopped at once for a higher class that could use its energy.
    pub(super) fn gives_way(&self, p: usize) -> bool {
        self.gives_way[p]
    }

    /// Part of a reserve's energy that may be lent at all.
    pub(super) fn lends(&self, r: usize) -> f64 {
        [1.0, 0.7, 0.4, 0.0][usize::from(self.lending[r]).min(3)]
    }

    /// Its PEP stops everything as soon as it is cut off.
    pub(super) fn is_hasty(&self, s: usize) -> bool {
        self.local[s] >= MOST_LOCAL
    }

    /// Energy that a class's target takes on a server beyond what its watts say; below 0 where it takes less.
    pub(super) fn aside(&self, class: usize, s: usize) -> f64 {
        self.aside.get(&(class, s)).copied().unwrap_or(0.0)
    }

    /// Sets energy aside on top of what was before.
    pub(super) fn set_aside(&mut self, more: &[(usize, usize, f64)]) {
        for (class, s, energy) in more {
            *self.aside.entry((*class, *s)).or_insert(0.0) += energy;
        }
    }

    /// Takes more care of servers that were lost. Whether more can be taken at all, and whether that asks for another
    /// decision.
    pub(super) fn learn(&mut self, lost: &[usize], draft: &Draft) -> Lesson {
        let mut lesson = Lesson {
            any: false,
            decide: false,
        };
        for s in lost {
            if self.degree[*s] < MOST {
                self.degree[*s] += 1;
                lesson.any = true;
                lesson.decide |= self.degree[*s] >= 4;
            }
        }
        for s in &draft.cut_off {
            if self.local[*s] < MOST_LOCAL {
                self.local[*s] += 1;
                lesson.any = true;
            }
            // What it does by itself may not be enough: what it lends goes on being taken.
            if self.local[*s] >= 3 && self.degree[*s] < MOST {
                self.degree[*s] = (self.degree[*s] + 1).max(4);
                (lesson.any, lesson.decide) = (true, true);
            }
        }
        for p in &draft.envied {
            if !self.gives_way[*p] {
                self.gives_way[*p] = true;
                (lesson.any, lesson.decide) = (true, true);
            }
        }
        for r in &draft.over_lent {
            if self.lending[*r] < MOST_LENDING {
                self.lending[*r] += 1;
                lesson.any = true;
                lesson.decide = true;
            }
        }
        lesson
    }
}

/// What has changed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Lesson {
    pub(super) any: bool,
    pub(super) decide: bool,
}

/// Servers on which something does not end cleanly, each once.
pub(super) fn dirty(outcome: &Outcome) -> Vec<usize> {
    let mut servers: Vec<usize> = outcome
        .losses
        .iter()
        .filter(|l| l.is_dirty())
        .map(|l| l.server)
        .collect();
    servers.sort_unstable();
    servers.dedup();
    servers
}

/// Reserves that fall below what their own servers on mains need of them.
pub(super) fn over_lent(cluster: &Cluster<'_>, outcome: &Outcome) -> Vec<usize> {
    (0..cluster.stores.len())
        .filter(|r| {
            let lowest = outcome.history[*r]
                .iter()
                .map(|(_, e)| *e)
                .fold(f64::INFINITY, f64::min);
            let energy = cluster.stores[*r].energy;
            lowest < energy && lowest < protection(cluster, *r).min(energy) * 0.9995
        })
        .collect()
}
