//! The linear program of the policy notes, as the prototype solved it.
//!
//! Fractions of servers may be on, fractions of sets may run on each of them, and time counts only by slots. Paid are
//! dynamic and idle draws, lines' losses, stops, moves (one at a time from each source) and halts; nothing starts again.

use anyhow::Result;
use good_lp::Variable;

use super::packing;
use super::program::Program;
use crate::harness::instance::{Instance, LINE_EFFICIENCY};
use crate::harness::outlook::{Outlook, Slot};

/// What the prototype left of the least idle draw, for the gap of its integer solver.
const CUT_SLACK: f64 = 0.999;

/// Longest survival of the first-stopped set of class 0, seconds, with the cut: its hosts idle at no less than a packing
/// on whole servers does.
///
/// # Errors
/// The solver finds no optimum.
pub fn survive(instance: &Instance) -> Result<f64> {
    let whole = instance.horizon();
    let slot = |begin: f64, length: f64| Slot {
        begin,
        length,
        weight: 0.0,
    };
    let slots = [slot(0.0, 120.0), slot(120.0, whole - 120.0)];
    let mut p = Program::new();
    let on = write(&mut p, instance, &slots);
    let life = p.upto(whole);
    p.worth(life, 1.0);
    for (a, served) in on.served.iter().enumerate() {
        if instance.sets[a].class == 0 {
            let serves = served.iter().flatten().map(|v| (*v, -1.0));
            p.at_most([(life, 1.0)].into_iter().chain(serves), 0.0);
        }
    }
    let least = packing::least_idle(instance);
    let idles = on.servers.iter().enumerate();
    let idles = idles.flat_map(|(s, slots)| slots.iter().map(move |v| (*v, -instance.servers[s].idle)));
    p.at_most([(life, least * CUT_SLACK)].into_iter().chain(idles), 0.0);
    p.largest()
}

/// Largest expected weighted service.
///
/// # Errors
/// The solver finds no optimum.
pub fn weighted(instance: &Instance, outlook: &Outlook) -> Result<f64> {
    let slots = outlook.prototype_slots();
    let mut p = Program::new();
    let on = write(&mut p, instance, &slots);
    for (set, served) in instance.sets.iter().zip(&on.served) {
        for (slot, by_server) in slots.iter().zip(served) {
            for v in by_server {
                p.worth(*v, set.worth() * slot.weight);
            }
        }
    }
    p.largest()
}

/// The variables that an objective needs.
struct On {
    /// By server and slot: time on.
    servers: Vec<Vec<Variable>>,
    /// By set and slot: times served, on each server that it may run on.
    served: Vec<Vec<Vec<Variable>>>,
}

/// The rows that both programs share.
fn write(p: &mut Program, z: &Instance, slots: &[Slot]) -> On {
    let whole: f64 = slots.iter().map(|s| s.length).sum();
    let servers = z.servers.len();
    let hosts: Vec<Vec<usize>> = z
        .sets
        .iter()
        .map(|a| {
            if a.movable {
                (0..servers).collect()
            } else {
                vec![a.host]
            }
        })
        .collect();
    // Time served, by set, slot and host; time on, by server and slot; moved or not; joules by reserve and server.
    let served: Vec<Vec<Vec<Variable>>> = hosts
        .iter()
        .map(|hosts| {
            let by_slot = slots
                .iter()
                .map(|slot| hosts.iter().map(|_| p.upto(slot.length)).collect());
            by_slot.collect()
        })
        .collect();
    let on: Vec<Vec<Variable>> = (0..servers)
        .map(|_| slots.iter().map(|slot| p.upto(slot.length)).collect())
        .collect();
    let moved: Vec<Option<Variable>> = z.sets.iter().map(|a| a.movable.then(|| p.upto(1.0))).collect();
    let mut flows: Vec<(usize, usize, Variable)> = Vec::new();
    for (r, reach) in z.reach.iter().enumerate() {
        flows.extend(reach.iter().map(|s| (r, *s, p.any())));
    }
    for (j, slot) in slots.iter().enumerate() {
        for (s, server) in z.servers.iter().enumerate() {
            let here = |a: usize| hosts[a].iter().position(|h| *h == s).map(|i| served[a][j][i]);
            let run: Vec<(usize, Variable)> = (0..z.sets.len())
                .filter_map(|a| here(a).map(|v| (a, v)))
                .collect();
            let cpu = run.iter().map(|(a, v)| (*v, z.sets[*a].cpu));
            p.at_most(cpu.chain([(on[s][j], -server.cpu)]), 0.0);
            let memory = run.iter().map(|(a, v)| (*v, z.sets[*a].memory));
            p.at_most(memory.chain([(on[s][j], -server.memory)]), 0.0);
            for (_, v) in &run {
                p.at_most([(*v, 1.0), (on[s][j], -1.0)], 0.0);
            }
        }
        for (a, hosts) in hosts.iter().enumerate() {
            if hosts.len() > 1 {
                p.at_most(served[a][j].iter().map(|v| (*v, 1.0)), slot.length);
            }
            // Nothing starts again.
            if let Some(next) = slots.get(j + 1) {
                let later = served[a][j + 1].iter().map(|v| (*v, 1.0 / next.length));
                let now = served[a][j].iter().map(|v| (*v, -1.0 / slot.length));
                p.at_most(later.chain(now), 0.0);
            }
        }
    }
    for (s, server) in z.servers.iter().enumerate() {
        let mut need: Vec<(Variable, f64)> = Vec::new();
        let halt = server.halt.min(whole);
        let mut fixed = server.idle * halt;
        for (j, _) in slots.iter().enumerate() {
            need.push((on[s][j], server.idle * (1.0 - halt / whole)));
            for (a, hosts) in hosts.iter().enumerate() {
                if let Some(i) = hosts.iter().position(|h| *h == s) {
                    need.push((served[a][j][i], z.sets[a].draw));
                }
            }
        }
        let mut migrating: Vec<(Variable, f64)> = Vec::new();
        for a in z.sets_of(s) {
            let set = &z.sets[a];
            // The energy of a graceful stop, unless it is served throughout.
            fixed += set.stop_energy();
            let always = served[a]
                .iter()
                .flatten()
                .map(|v| (*v, -set.stop_energy() / whole));
            need.extend(always);
            // Its host is on while it is served there, and while it stops, unless it has moved.
            let stop = set.stop_time.min(whole);
            let home = hosts[a].iter().position(|h| *h == s);
            let at_home = served[a].iter().filter_map(|slot| home.map(|i| slot[i]));
            let mut row: Vec<(Variable, f64)> = at_home.map(|v| (v, 1.0 - stop / whole)).collect();
            row.extend(on[s].iter().map(|v| (*v, -1.0)));
            row.extend(moved[a].map(|m| (m, -stop)));
            p.at_most(row, -stop);
            if let Some(m) = moved[a] {
                migrating.push((m, set.move_time.min(whole)));
                need.push((m, set.move_energy));
                for (by_host, slot) in served[a].iter().zip(slots) {
                    let away = by_host.iter().enumerate().filter(|(i, _)| Some(*i) != home);
                    let away = away.map(|(_, v)| (*v, 1.0 / slot.length));
                    p.at_most(away.chain([(m, -1.0)]), 0.0);
                }
            }
        }
        if !migrating.is_empty() {
            let on = on[s].iter().map(|v| (*v, -1.0));
            p.at_most(migrating.into_iter().chain(on), 0.0);
        }
        let fed = flows.iter().filter(|(_, to, _)| *to == s);
        need.extend(fed.map(|(r, _, f)| (*f, if *r == s { -1.0 } else { -LINE_EFFICIENCY })));
        p.at_most(need, -fixed);
    }
    for (r, reserve) in z.reserves.iter().enumerate() {
        let given = flows
            .iter()
            .filter(|(from, _, _)| *from == r)
            .map(|(_, _, f)| (*f, 1.0));
        p.at_most(given, reserve.usable.min(reserve.max_watts * whole));
    }
    On { servers: on, served }
}
