//! Clusters from a seed: sizes, matrices and misfortunes that a planner must bear.

use super::{ClusterSpec, W, name};
use power_policy::model::*;

/// Shape of the switch matrix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Matrix {
    None,
    Crossbar,
    Rack,
    RackAndTie,
    Ring,
}

pub(crate) const MATRICES: [Matrix; 5] = [
    Matrix::None,
    Matrix::Crossbar,
    Matrix::Rack,
    Matrix::RackAndTie,
    Matrix::Ring,
];

/// What a generated cluster is like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Traits {
    pub(crate) seed: u64,
    pub(crate) servers: usize,
    pub(crate) matrix: Matrix,
    /// Dead reserves, pinned sets, small lines, exclusive lines, fan limits, no starters, unarmed parts.
    pub(crate) rough: bool,
    /// Only one of two domains fails.
    pub(crate) partial: bool,
}

/// SplitMix64: the same numbers everywhere.
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    }

    /// From `low` to `high`, both included.
    pub(crate) fn range(&mut self, low: u64, high: u64) -> u64 {
        low + self.next() % (high - low + 1)
    }

    pub(crate) fn chance(&mut self, percent: u64) -> bool {
        self.range(0, 99) < percent
    }
}

/// A cluster in the first instant of an interruption.
pub(crate) fn generate(traits: &Traits) -> ClusterSpec {
    let mut dice = Dice::new(traits.seed);
    let mut c = ClusterSpec::new();
    c.set("monitoring", 90, Some(3_600), 64)
        .set("production", 70, Some(1_800), 16)
        .set("middle", 50, Some(600), 4)
        .set("batch", 30, Some(300), 1)
        .set("free", 10, Some(0), 1);
    let sets = ["monitoring", "production", "middle", "batch", "free"];
    let shares = [8, 40, 60, 90, 100];
    let servers: Vec<String> = (0..traits.servers).map(|s| format!("s{s:03}")).collect();
    let rack = |s: usize| s / 4;
    for (s, server) in servers.iter().enumerate() {
        let peak = [300, 400, 550][dice.range(0, 2) as usize];
        let idle = peak * dice.range(35, 50) / 100;
        let domain = if rack(s) % 2 == 0 { "A" } else { "B" };
        let minutes = dice.range(5, 15);
        let full = peak * minutes * 60 * W;
        let soc = if traits.rough && dice.chance(5) {
            5
        } else {
            dice.range(50, 100)
        };
        let spec = c.server(server, idle, peak, domain);
        spec.halt_millis = dice.range(20, 40) * 1_000;
        spec.boot_millis = dice.range(60, 180) * 1_000;
        spec.cpu_millicores = peak * 20;
        spec.memory_mebibytes = peak * 200;
        if traits.rough {
            if dice.chance(15) {
                spec.starter = None;
            }
            spec.custodian_in_use = dice.chance(15);
            spec.armed = !dice.chance(4);
            if dice.chance(10) {
                spec.fan_in = dice.range(1, 3) as u32;
            }
        }
        let armed = spec.armed;
        let reserve = c.reserve(&format!("u{s:03}"), server, 1, peak * 3 / 2);
        reserve.capacity_millijoules = full;
        reserve.charge_millijoules = full * soc / 100;
        reserve.cutoff_millijoules = full / 10;
        if traits.rough {
            if dice.chance(10) {
                reserve.fan_out = dice.range(1, 2) as u32;
            }
            reserve.armed = !dice.chance(4);
            if dice.chance(20) {
                reserve.peukert_permille = 1_150;
                reserve.chemistry = Chemistry::LeadAcid;
            }
        }
        let count = dice.range(2, 6);
        for i in 0..count {
            let roll = dice.range(0, 99);
            let set = sets[shares.iter().position(|limit| roll < *limit).unwrap_or(4)];
            let draw = (peak - idle) * dice.range(3, 16) / 100;
            let startable: Vec<&str> = if dice.chance(if traits.rough { 70 } else { 85 }) {
                servers.iter().map(String::as_str).collect()
            } else {
                vec![]
            };
            let activity = c.activity(&format!("a{s:03}-{i}"), set, server, draw, &startable);
            activity.stop_millis = dice.range(5, 60) * 1_000;
            activity.move_millis = dice.range(5, 30) * 1_000;
            activity.move_millijoules = activity.move_millis * (40 + draw / 2);
            activity.armed = armed;
            if traits.rough && dice.chance(5) {
                activity.armed = false;
            }
        }
    }
    lines(&mut c, &mut dice, traits, &servers);
    if traits.partial && c.domains.len() > 1 {
        c.fail("A");
        c.outage(Phase::Debounce, Cause::DomainMains, 0);
        if let Some(outage) = &mut c.outage {
            outage.scope = Scope::Domains(vec![name("A")]);
        }
    } else {
        c.blackout();
    }
    c
}

fn lines(c: &mut ClusterSpec, dice: &mut Dice, traits: &Traits, servers: &[String]) {
    let reserves: Vec<String> = (0..servers.len()).map(|s| format!("u{s:03}")).collect();
    let mut line = |title: String, ins: &[usize], outs: &[usize]| {
        let ins: Vec<&str> = ins.iter().map(|r| reserves[*r].as_str()).collect();
        let outs: Vec<&str> = outs.iter().map(|s| servers[*s].as_str()).collect();
        let watts = if traits.rough {
            dice.range(100, 2_000)
        } else {
            300 * servers.len() as u64
        };
        let spec = c.line(&title, &ins, &outs, watts);
        if traits.rough {
            if dice.chance(15) {
                spec.0.mode = LineMode::Exclusive;
            }
            spec.0.changeover =
                [Changeover::Parallel, Changeover::Ats, Changeover::Bridge][dice.range(0, 2) as usize];
            spec.0.armed = !dice.chance(5);
            spec.0.switch_millis = dice.range(12, 40);
            if dice.chance(5) {
                spec.0.state = LineState::Fault;
            }
        }
    };
    let count = servers.len();
    let all: Vec<usize> = (0..count).collect();
    match traits.matrix {
        Matrix::None => {}
        Matrix::Crossbar => line("bus".to_owned(), &all, &all),
        Matrix::Rack | Matrix::RackAndTie => {
            for (r, members) in all.chunks(4).enumerate() {
                line(format!("rack-{r}"), members, members);
            }
            if traits.matrix == Matrix::RackAndTie {
                line("tie".to_owned(), &all, &all);
            }
        }
        Matrix::Ring => {
            // A line a server, fed by itself and two neighbours on each side.
            for s in 0..count {
                let mut near: Vec<usize> = (0..5).map(|d| (s + 2 * count + d - 2) % count).collect();
                near.sort_unstable();
                near.dedup();
                line(format!("ring-{s:03}"), &near, &[s]);
            }
        }
    }
}
