//! Tightened bounds: linear programs that also pay what no plan can avoid.
//!
//! # Why they are bounds
//!
//! Take any run in which nothing is stopped dirty, no server loses power before it has halted, migrations go one at a
//! time from each source, and nothing that was stopped starts again. Its times and energies solve these programs, row by
//! row, so that their optimum is no less than what the run reached. Read off the run:
//!
//! - `first[s][j]`: time in slot `j` for which server `s` is on without having been off before. The server is on from the
//!   loss of the mains to its first halt, so the share of a slot never rises from one slot to the next.
//! - `again[s][j]`: time in slot `j` for which it is on after a boot. Its boots are a whole number, so they are at least
//!   the largest share of any slot; each costs the energy of a boot and, in the end, another halt.
//! - `served[a][s][j]`: time for which set `a` is served on `s`; no longer than `s` is on, within its processors and
//!   memory.
//! - `moved[a]`: 1 if the set leaves its first host as it runs. It is served there while it migrates, so it runs
//!   elsewhere by time `t` for no more than `t` less the migration; migrations follow each other at a source, so that is
//!   on for the sum of them; each costs its energy, somewhere, and what has moved must be stopped, somewhere.
//! - how each server is emptied: let `x` be the longest stop of what is not moved from it. Everything with a longer stop
//!   is moved, so it is on for at least the longer of `x` and those migrations. One share for each `x`, together 1.
//!
//! Every server halts once at least, at its idle draw. Energy flows from reserves to servers as the matrix allows, with
//! its losses. Whatever is paid "somewhere" may be paid at any server.
//!
//! For survival there is one variable more for each slot and each minimal set of whole servers that can carry all of
//! class 0 (found by search, in `packing`): while all of class 0 runs, the servers that are on hold one of them.
//! Times after the first stop of class 0 do not count in `first` and `again`. What is stopped needs its servers for
//! its stop: that idle draw is paid too, at the least that whole servers allow. Two premises: nothing lower moves after
//! that stop, and it comes later than the longest single stop (otherwise that time is returned).
//!
//! For service, what a set is worth is bounded by tangents of the expected length ([`Outlook::tangents`]) at the time for
//! which it is served, so it never counts too little; the prototype's slots are chords, which may.

use anyhow::Result;
use good_lp::Variable;

use super::packing::{self, Hosts};
use super::program::Program;
use crate::harness::instance::{Instance, LINE_EFFICIENCY};
use crate::harness::outlook::{HORIZON, Outlook, Slot};

/// Where slots of the survival program end, seconds; the rest is divided.
const EARLY: [f64; 3] = [60.0, 150.0, 400.0];
/// Into how many parts the rest is divided.
const LATE: usize = 3;
/// Most sets of whole servers with which the late slots are told apart.
const MANY_HOSTS: usize = 150;
/// Where slots of the service program end, seconds.
const SERVICE: [f64; 12] = [
    30.0, 75.0, 150.0, 250.0, 400.0, 600.0, 900.0, 1_400.0, 2_200.0, 3_500.0, 7_000.0, HORIZON,
];
/// By when a migration's delay is looked at, seconds: later it hardly tells.
const DELAYS_UNTIL: f64 = 700.0;

type Terms = Vec<(Variable, f64)>;

/// Longest survival of the first-stopped set of class 0, seconds.
///
/// # Errors
/// The solver finds no optimum.
pub fn survive(z: &Instance) -> Result<f64> {
    let top = packing::top(z);
    let draw: f64 = top.iter().map(|a| z.sets[*a].draw).sum();
    let most = z.energy() / (packing::least_idle(z) + draw);
    let hosts = packing::minimal_hosts(z, &top);
    let late = match &hosts {
        Some(hosts) if hosts.len() > MANY_HOSTS => 1,
        _ => LATE,
    };
    let slots = survival_slots(most, late);
    let mut p = Program::new();
    let mut w = Rows::new(&mut p, z, &slots, |a| z.sets[a].class == 0);
    // All of class 0 is served for this long in each slot, together the same time for each of its sets.
    let alive: Vec<Variable> = slots.iter().map(|slot| w.p.upto(slot.length)).collect();
    for (j, life) in alive.iter().enumerate() {
        w.p.worth(*life, 1.0);
        if let Some(next) = alive.get(j + 1) {
            let rise = [
                (*next, 1.0 / slots[j + 1].length),
                (*life, -1.0 / slots[j].length),
            ];
            w.p.at_most(rise, 0.0);
        }
        for a in &top {
            let mut row: Terms = w.served_in(*a, j).map(|(_, v)| (v, 1.0)).collect();
            row.push((*life, -1.0));
            w.p.exactly(row, 0.0);
        }
        if let Some(hosts) = &hosts {
            w.whole_servers(j, *life, hosts);
        }
    }
    for s in 0..z.servers.len() {
        let lower: Vec<usize> = z.sets_of(s).filter(|a| z.sets[*a].class > 0).collect();
        w.emptied(s, &lower);
    }
    let mut afterwards = idle_of_last_stops(z, &top);
    afterwards += top.iter().map(|a| z.sets[*a].stop_energy()).sum::<f64>();
    w.energy(afterwards, |a| z.sets[a].class > 0);
    let longest_stop = z.sets.iter().map(|a| a.stop_time).fold(0.0, f64::max);
    Ok(p.largest()?.max(longest_stop))
}

/// Largest expected weighted service.
///
/// # Errors
/// The solver finds no optimum.
pub fn weighted(z: &Instance, outlook: &Outlook) -> Result<f64> {
    let slots = slots_until(&SERVICE);
    let whole: f64 = slots.iter().map(|s| s.length).sum();
    let mut p = Program::new();
    let mut w = Rows::new(&mut p, z, &slots, |_| true);
    for (a, set) in z.sets.iter().enumerate() {
        let (time, value) = (w.p.upto(whole), w.p.any());
        w.p.worth(value, set.worth());
        let all = (0..slots.len()).flat_map(|j| w.served_in(a, j).map(|(_, v)| (v, -1.0)));
        let all: Terms = all.chain([(time, 1.0)]).collect();
        w.p.at_most(all, 0.0);
        for (at_0, rate) in outlook.tangents() {
            w.p.at_most([(value, 1.0), (time, -rate)], at_0);
        }
        for (j, slot) in slots.iter().enumerate() {
            let served: Vec<(usize, Variable)> = w.served_in(a, j).collect();
            if served.len() > 1 {
                w.p.at_most(served.iter().map(|(_, v)| (*v, 1.0)), slot.length);
            }
            // Nothing starts again.
            if let Some(next) = slots.get(j + 1) {
                let mut row: Terms = w
                    .served_in(a, j + 1)
                    .map(|(_, v)| (v, 1.0 / next.length))
                    .collect();
                row.extend(served.iter().map(|(_, v)| (*v, -1.0 / slot.length)));
                w.p.at_most(row, 0.0);
            }
        }
        // Its host is on while it is served there and while it stops, unless it has moved.
        let stop = set.stop_time.min(whole);
        let mut row: Terms = Vec::new();
        for j in 0..slots.len() {
            row.extend(w.at_home(a, j).map(|v| (v, 1.0 - stop / whole)));
            row.push((w.first[set.host][j], -1.0));
            row.push((w.again[set.host][j], -1.0));
        }
        row.extend(w.moved[a].map(|m| (m, -stop)));
        w.p.at_most(row, -stop);
    }
    for s in 0..z.servers.len() {
        let all: Vec<usize> = z.sets_of(s).collect();
        w.emptied(s, &all);
    }
    w.energy(0.0, |_| true);
    p.largest()
}

fn survival_slots(most: f64, late: usize) -> Vec<Slot> {
    let mut ends: Vec<f64> = EARLY.iter().copied().filter(|e| *e < most * 0.9).collect();
    let from = ends.last().copied().unwrap_or(0.0);
    ends.extend((1..=late).map(|i| from + (most - from) * i as f64 / late as f64));
    slots_until(&ends)
}

fn slots_until(ends: &[f64]) -> Vec<Slot> {
    let mut begin = 0.0;
    let slot = |end: &f64| {
        let slot = Slot {
            begin,
            length: end - begin,
            weight: 1.0,
        };
        begin = *end;
        slot
    };
    ends.iter().map(slot).collect()
}

/// Idle draw of whole servers while the sets of class 0 stop: whatever stops longer than some time needs servers for as
/// long.
fn idle_of_last_stops(z: &Instance, top: &[usize]) -> f64 {
    let mut stops: Vec<f64> = top.iter().map(|a| z.sets[*a].stop_time).collect();
    stops.sort_by(f64::total_cmp);
    let count = stops.len();
    let mut ends: Vec<f64> = [0, count / 2, count.saturating_sub(1)]
        .into_iter()
        .filter_map(|i| stops.get(i).copied())
        .collect();
    ends.dedup();
    let (mut joules, mut begin) = (0.0, 0.0);
    for end in ends {
        let longer: Vec<usize> = top
            .iter()
            .copied()
            .filter(|a| z.sets[*a].stop_time >= end)
            .collect();
        joules += packing::least_idle_of(z, &longer) * (end - begin);
        begin = end;
    }
    joules
}

/// The variables, and the rows that both programs share.
struct Rows<'a> {
    p: &'a mut Program,
    z: &'a Instance,
    slots: &'a [Slot],
    first: Vec<Vec<Variable>>,
    again: Vec<Vec<Variable>>,
    boots: Vec<Variable>,
    moved: Vec<Option<Variable>>,
    /// By set: its possible hosts, and by slot the time on each of them.
    hosts: Vec<Vec<usize>>,
    served: Vec<Vec<Vec<Variable>>>,
}

impl<'a> Rows<'a> {
    /// `counts`: whose service is looked at; the others are only stopped.
    fn new(p: &'a mut Program, z: &'a Instance, slots: &'a [Slot], counts: impl Fn(usize) -> bool) -> Self {
        let servers = z.servers.len();
        let on = |p: &mut Program| -> Vec<Vec<Variable>> {
            let of = |p: &mut Program| slots.iter().map(|slot| p.upto(slot.length)).collect();
            (0..servers).map(|_| of(p)).collect()
        };
        let (first, again) = (on(p), on(p));
        let boots = (0..servers).map(|_| p.any()).collect();
        let moved: Vec<Option<Variable>> = z.sets.iter().map(|a| a.movable.then(|| p.upto(1.0))).collect();
        let hosts: Vec<Vec<usize>> = (0..z.sets.len())
            .map(|a| match z.sets[a].movable {
                _ if !counts(a) => Vec::new(),
                true => (0..servers).collect(),
                false => vec![z.sets[a].host],
            })
            .collect();
        let served = hosts
            .iter()
            .map(|hosts| {
                let by_slot = slots
                    .iter()
                    .map(|slot| hosts.iter().map(|_| p.upto(slot.length)).collect());
                by_slot.collect()
            })
            .collect();
        let mut rows = Self {
            p,
            z,
            slots,
            first,
            again,
            boots,
            moved,
            hosts,
            served,
        };
        rows.servers_on();
        rows.capacities();
        rows.moves();
        rows
    }

    fn served_in(&self, a: usize, j: usize) -> impl Iterator<Item = (usize, Variable)> + '_ {
        self.hosts[a]
            .iter()
            .copied()
            .zip(self.served[a][j].iter().copied())
    }

    fn at_home(&self, a: usize, j: usize) -> impl Iterator<Item = Variable> + '_ {
        let home = self.z.sets[a].host;
        self.served_in(a, j)
            .filter(move |(s, _)| *s == home)
            .map(|(_, v)| v)
    }

    fn away(&self, a: usize, j: usize) -> impl Iterator<Item = Variable> + '_ {
        let home = self.z.sets[a].host;
        self.served_in(a, j)
            .filter(move |(s, _)| *s != home)
            .map(|(_, v)| v)
    }

    fn servers_on(&mut self) {
        for s in 0..self.z.servers.len() {
            for (j, slot) in self.slots.iter().enumerate() {
                let (first, again) = (self.first[s][j], self.again[s][j]);
                self.p.at_most([(first, 1.0), (again, 1.0)], slot.length);
                self.p
                    .at_most([(again, 1.0 / slot.length), (self.boots[s], -1.0)], 0.0);
                if let Some(next) = self.slots.get(j + 1) {
                    let rise = [
                        (self.first[s][j + 1], 1.0 / next.length),
                        (first, -1.0 / slot.length),
                    ];
                    self.p.at_most(rise, 0.0);
                }
            }
        }
    }

    fn capacities(&mut self) {
        for j in 0..self.slots.len() {
            for (s, server) in self.z.servers.iter().enumerate() {
                let here: Vec<(usize, Variable)> = (0..self.z.sets.len())
                    .flat_map(|a| {
                        self.served_in(a, j)
                            .filter(|(h, _)| *h == s)
                            .map(move |(_, v)| (a, v))
                    })
                    .collect();
                let on = [self.first[s][j], self.again[s][j]];
                let cpu = here.iter().map(|(a, v)| (*v, self.z.sets[*a].cpu));
                self.p.at_most(cpu.chain(on.map(|v| (v, -server.cpu))), 0.0);
                let memory = here.iter().map(|(a, v)| (*v, self.z.sets[*a].memory));
                self.p.at_most(memory.chain(on.map(|v| (v, -server.memory))), 0.0);
                for (_, v) in here {
                    self.p.at_most([(v, 1.0), (on[0], -1.0), (on[1], -1.0)], 0.0);
                }
            }
        }
    }

    fn moves(&mut self) {
        for (a, set) in self.z.sets.iter().enumerate() {
            let Some(moved) = self.moved[a].filter(|_| !self.hosts[a].is_empty()) else {
                continue;
            };
            let at_home: Terms = (0..self.slots.len())
                .flat_map(|j| self.at_home(a, j).map(|v| (v, -1.0)))
                .collect();
            self.p
                .at_most(at_home.into_iter().chain([(moved, set.move_time)]), 0.0);
            let mut by_now: Terms = Vec::new();
            for (j, slot) in self.slots.iter().enumerate() {
                let away: Vec<Variable> = self.away(a, j).collect();
                let share = away.iter().map(|v| (*v, 1.0 / slot.length));
                self.p.at_most(share.chain([(moved, -1.0)]), 0.0);
                by_now.extend(away.iter().map(|v| (*v, 1.0)));
                if slot.end() <= DELAYS_UNTIL {
                    let time = (slot.end() - set.move_time).max(0.0);
                    self.p
                        .at_most(by_now.iter().copied().chain([(moved, -time)]), 0.0);
                }
            }
        }
        for s in 0..self.z.servers.len() {
            let queue = self
                .z
                .sets_of(s)
                .filter_map(|a| self.moved[a].map(|m| (m, self.z.sets[a].move_time)));
            let on = self.first[s].iter().map(|v| (*v, -1.0));
            self.p.at_most(queue.chain(on).collect::<Terms>(), 0.0);
        }
    }

    /// While class 0 is alive, the servers that are on hold one of these.
    fn whole_servers(&mut self, j: usize, alive: Variable, hosts: &[Hosts]) {
        let shares: Vec<Variable> = hosts.iter().map(|_| self.p.any()).collect();
        let all = shares.iter().map(|v| (*v, 1.0));
        self.p.exactly(all.chain([(alive, -1.0)]), 0.0);
        for s in 0..self.z.servers.len() {
            let with = hosts.iter().zip(&shares).filter(|(k, _)| *k & (1 << s) != 0);
            let with = with.map(|(_, v)| (*v, 1.0));
            let on = [(self.first[s][j], -1.0), (self.again[s][j], -1.0)];
            self.p.at_most(with.chain(on), 0.0);
        }
    }

    /// Server `s` is emptied of these sets: one share for each longest stop of what is not moved.
    fn emptied(&mut self, s: usize, sets: &[usize]) {
        let z = self.z;
        let pinned = sets
            .iter()
            .filter(|a| !z.sets[**a].movable)
            .map(|a| z.sets[*a].stop_time);
        let least = pinned.fold(0.0, f64::max);
        let stops = sets.iter().map(|a| z.sets[*a].stop_time).filter(|x| *x > least);
        let ways: Vec<(f64, Variable)> = [least]
            .into_iter()
            .chain(stops)
            .map(|x| (x, self.p.any()))
            .collect();
        self.p.exactly(ways.iter().map(|(_, v)| (*v, 1.0)), 1.0);
        let mut time: Terms = self.first[s].iter().map(|v| (*v, -1.0)).collect();
        for (x, way) in &ways {
            let longer = sets.iter().filter(|a| z.sets[**a].stop_time > *x);
            let queue: f64 = longer.map(|a| z.sets[*a].move_time).sum();
            time.push((*way, x.max(queue)));
        }
        self.p.at_most(time, 0.0);
        for a in sets {
            if let Some(moved) = self.moved[*a] {
                let shorter = ways.iter().filter(|(x, _)| *x < z.sets[*a].stop_time);
                self.p
                    .at_most(shorter.map(|(_, v)| (*v, 1.0)).chain([(moved, -1.0)]), 0.0);
            }
        }
    }

    /// Energy: what each server needs, from reserves that reach it; what is paid somewhere, `fixed` joules of it in any
    /// case. `stops`: the sets whose stop is paid at their first host unless they move.
    fn energy(&mut self, fixed: f64, stops: impl Fn(usize) -> bool) {
        let z = self.z;
        let mut flows: Vec<(usize, usize, Variable)> = Vec::new();
        for (r, reach) in z.reach.iter().enumerate() {
            for s in reach {
                flows.push((r, *s, self.p.any()));
            }
        }
        let mut somewhere: Terms = Vec::new();
        for (s, server) in z.servers.iter().enumerate() {
            let halt = server.idle * server.halt;
            let mut need: Terms = vec![(self.boots[s], server.boot_watts() * server.boot + halt)];
            let mut given = halt;
            for j in 0..self.slots.len() {
                need.push((self.first[s][j], server.idle));
                need.push((self.again[s][j], server.idle));
                for (a, set) in z.sets.iter().enumerate() {
                    need.extend(
                        self.served_in(a, j)
                            .filter(|(h, _)| *h == s)
                            .map(|(_, v)| (v, set.draw)),
                    );
                }
            }
            for a in z.sets_of(s) {
                let set = &z.sets[a];
                let counts_service = !self.hosts[a].is_empty();
                if stops(a) {
                    given += set.stop_energy();
                }
                if let Some(m) = self.moved[a] {
                    // What is served pays its draw at the source while it migrates as service.
                    let at_source = if counts_service {
                        0.0
                    } else {
                        set.draw * set.move_time
                    };
                    let stop = if stops(a) { set.stop_energy() } else { 0.0 };
                    need.push((m, at_source - stop));
                    somewhere.push((m, set.move_energy + stop));
                }
            }
            let paid = self.p.any();
            need.push((paid, 1.0));
            somewhere.push((paid, -1.0));
            let fed = flows.iter().filter(|(_, to, _)| *to == s);
            need.extend(fed.map(|(r, _, f)| (*f, if *r == s { -1.0 } else { -LINE_EFFICIENCY })));
            self.p.at_most(need, -given);
        }
        self.p.at_most(somewhere, -fixed);
        for (r, reserve) in z.reserves.iter().enumerate() {
            let given = flows
                .iter()
                .filter(|(from, _, _)| *from == r)
                .map(|(_, _, f)| (*f, 1.0));
            self.p.at_most(given, reserve.usable);
        }
    }
}
