//! Clusters from a seed, as sections 6 and 11 of the policy notes describe them.

use super::instance::{CUTOFF, INVERTER_EFFICIENCY, Instance, Reserve, Scenario, Server, Set, Shape};

/// Random numbers that are the same everywhere: SplitMix64.
pub struct Dice(u64);

impl Dice {
    /// From a seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// 64 random bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    }

    /// From 0 up to, and without, 1.
    pub fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Between two figures.
    pub fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.unit()
    }

    /// One of so many.
    pub fn below(&mut self, count: usize) -> usize {
        (self.bits() % count.max(1) as u64) as usize
    }

    /// An index, in proportion to its share.
    pub fn pick(&mut self, shares: &[f64]) -> usize {
        let mut roll = self.unit() * shares.iter().sum::<f64>();
        for (i, share) in shares.iter().enumerate() {
            roll -= share;
            if roll < 0.0 {
                return i;
            }
        }
        shares.len().saturating_sub(1)
    }

    /// Normal, mean 0 and deviation 1 (Box and Muller).
    fn normal(&mut self) -> f64 {
        let radius = libm::sqrt(-2.0 * libm::log(1.0 - self.unit()));
        radius * libm::cos(std::f64::consts::TAU * self.unit())
    }

    /// Gamma of shape 1.5 (Marsaglia and Tsang), so that shares of a sum of them are Dirichlet.
    fn gamma(&mut self) -> f64 {
        let d: f64 = 1.5 - 1.0 / 3.0;
        let c = 1.0 / libm::sqrt(9.0 * d);
        loop {
            let x = self.normal();
            let v = 1.0 + c * x;
            if v <= 0.0 {
                continue;
            }
            let v = v * v * v;
            if libm::log(1.0 - self.unit()) < 0.5 * x * x + d * (1.0 - v + libm::log(v)) {
                return d * v;
            }
        }
    }
}

/// Shares of the used processor time by class in scenarios A and B.
const SHARES: [f64; 5] = [0.03, 0.42, 0.15, 0.32, 0.08];
/// Shares of the pods of a public cluster trace of 2023: guaranteed, latency-sensitive, burstable, best-effort.
const TRACE_PODS: [f64; 4] = [0.001, 0.57, 0.012, 0.42];
/// How large such a pod is: 68 % of the processor time is with 57 % of the pods, 28 % with 42 %.
const TRACE_SIZE: [f64; 4] = [1.0, 0.68 / 0.57, 1.0, 0.28 / 0.42];
/// Draw at 0, 10, ..., 100 % load, watts (SPECpower, x3550, X5675).
const POWER_CURVE: [f64; 11] = [
    58.4, 98.0, 109.0, 118.0, 128.0, 140.0, 153.0, 170.0, 189.0, 205.0, 222.0,
];

/// Draw at a load, as a share of the peak.
fn curve(load: f64) -> f64 {
    let at = load.clamp(0.0, 1.0) * 10.0;
    let below = (at as usize).min(9);
    let watts = POWER_CURVE[below] + (POWER_CURVE[below + 1] - POWER_CURVE[below]) * (at - below as f64);
    watts / POWER_CURVE[10]
}

/// A cluster of so many servers in the first instant of an interruption, with three to seven sets on each.
pub fn generate(scenario: Scenario, shape: Shape, servers: usize, seed: u64) -> Instance {
    generate_with(scenario, shape, servers, seed, None)
}

/// As [`generate`], with so many sets on each server.
pub fn generate_with(
    scenario: Scenario,
    shape: Shape,
    servers: usize,
    seed: u64,
    sets_each: Option<usize>,
) -> Instance {
    let dice = &mut Dice::new(seed);
    let mut instance = Instance {
        scenario,
        shape,
        seed,
        servers: Vec::new(),
        reserves: Vec::new(),
        // Nobody asks that of a large cluster, and it would be the square of its size.
        reach: if servers > 1_000 {
            Vec::new()
        } else {
            shape.reach(servers)
        },
        sets: Vec::new(),
    };
    for s in 0..servers {
        let kind = dice.below(3);
        let capacity = [1.0, 1.4, 2.0][kind];
        let peak = [300.0, 400.0, 550.0][kind] * dice.between(0.95, 1.05);
        let idle_share = dice.between(0.35, 0.50);
        let real = scenario == Scenario::Real;
        let idle = peak * if real { curve(0.0) } else { idle_share };
        let server = Server {
            idle,
            peak,
            cpu: capacity,
            memory: capacity * 256.0,
            halt: if real {
                dice.between(60.0, 120.0)
            } else {
                dice.between(20.0, 40.0)
            },
            boot: if real {
                dice.between(120.0, 300.0)
            } else {
                dice.between(90.0, 180.0)
            },
        };
        let load = dice.between(0.3, 0.9);
        let count = sets_each.unwrap_or_else(|| 3 + dice.below(5));
        sets(dice, &mut instance.sets, scenario, (s, &server), load, count);
        let rated = peak * dice.between(5.0, 15.0) * 60.0;
        let full = dice.between(0.5, 1.0);
        let charge = if dice.unit() < 0.05 { 0.05 } else { full };
        instance.reserves.push(Reserve {
            rated,
            usable: (charge - CUTOFF).max(0.0) * rated * INVERTER_EFFICIENCY,
            max_watts: 1.5 * peak,
            peukert: if real { 1.15 } else { 1.0 },
        });
        instance.servers.push(server);
    }
    raise(&mut instance);
    instance
}

fn sets(
    dice: &mut Dice,
    into: &mut Vec<Set>,
    scenario: Scenario,
    (host, server): (usize, &Server),
    load: f64,
    count: usize,
) {
    let class: Vec<usize> = (0..count)
        .map(|_| match scenario {
            Scenario::Real => dice.pick(&TRACE_PODS),
            _ => dice.pick(&SHARES),
        })
        .collect();
    let size: Vec<f64> = class
        .iter()
        .map(|k| match scenario {
            Scenario::Real => dice.gamma() * TRACE_SIZE[*k],
            _ => dice.gamma(),
        })
        .collect();
    let whole: f64 = size.iter().sum();
    // With a curve, what a set draws depends on the load beside it: its part of the whole is taken.
    let span = match scenario {
        Scenario::Real => (curve(load) - curve(0.0)) * server.peak / load,
        _ => server.peak - server.idle,
    };
    let first = into.len();
    for (class, size) in class.into_iter().zip(size) {
        let cpu = size / whole * load * server.cpu;
        into.push(Set {
            host,
            class,
            cpu,
            memory: (cpu * 256.0 * dice.between(0.5, 1.1)).min(400.0),
            draw: cpu / server.cpu * span,
            movable: dice.unit() < 0.85,
            move_time: 0.0,
            move_energy: 0.0,
            stop_time: match scenario {
                // Four in five are containers, the others virtual machines.
                Scenario::Real if dice.unit() < 0.8 => 30.0,
                Scenario::Real => dice.between(60.0, 120.0),
                _ => dice.between(5.0, 60.0),
            },
        });
    }
    let mine = &mut into[first..];
    let memory: f64 = mine.iter().map(|s| s.memory).sum();
    let fit = (0.95 * server.memory / memory).min(1.0);
    for set in mine {
        set.memory *= fit;
        (set.move_time, set.move_energy) = match scenario {
            // A second a GiB at 10 Gbit/s; 0.512 J a MiB and 20 J.
            Scenario::Real => (set.memory.max(1.0), 0.512 * 1024.0 * set.memory + 20.0),
            _ => {
                let time = 5.0 + 0.4 * set.memory;
                (time, time * (40.0 + 0.5 * set.draw))
            }
        };
    }
}

/// Scenario B's merger, and no empty top class: the highest that is there becomes class 0.
fn raise(instance: &mut Instance) {
    if instance.scenario == Scenario::B {
        for set in &mut instance.sets {
            set.class = set.class.saturating_sub(1);
        }
    }
    if instance.sets.iter().all(|s| s.class > 0)
        && let Some(first) = instance.sets.iter_mut().min_by_key(|s| s.class)
    {
        let top = first.class;
        match instance.scenario {
            // The class as a whole: with a trace there is hardly a guaranteed pod.
            Scenario::Real => {
                for set in instance.sets.iter_mut().filter(|s| s.class == top) {
                    set.class = 0;
                }
            }
            _ => first.class = 0,
        }
    }
}
