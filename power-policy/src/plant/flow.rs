//! Who feeds whom, how much, at this instant.
//!
//! Mains first, then the settings of the lines in proportion to their caps, then the server's own reserves. Between
//! two events all powers are constant, so energies are products, without any rounding.

use super::event::PlantEventKind;
use super::ledger::Powers;
use super::{Plant, ServerPower};
use std::sync::Arc;

/// Rounds of proportional sharing before the rest is given out in order: each round fills at least one limit, or
/// leaves crumbs of rounding.
const SHARING_ROUNDS: usize = 8;

/// A way from a reserve to a server. All but the flow is measured at its input, where its reserve is.
#[derive(Clone, Copy, Debug)]
struct Path {
    /// Index of the setting that it is; unused for own supplies.
    setting: usize,
    server: usize,
    reserve: usize,
    line: Option<usize>,
    efficiency: u64,
    cap: u64,
    input: u64,
    want: u64,
    /// At the output: what the server gets.
    flow: u64,
}

impl Path {
    /// What must be put in for `output` to come out: rounded against ourselves. [`Path::output_of`] undoes it.
    fn input_for(&self, output: u64) -> u64 {
        if self.efficiency == 1_000 {
            output
        } else {
            (output * 1_000).div_ceil(self.efficiency)
        }
    }

    fn output_of(&self, input: u64) -> u64 {
        if self.efficiency == 1_000 {
            input
        } else {
            mul_div(input, self.efficiency, 1_000)
        }
    }
}

/// Working space, kept so that a step allocates nothing.
#[derive(Clone, Debug, Default)]
pub(super) struct Scratch {
    paths: Vec<Path>,
    rest: Vec<u64>,
    line_left: Vec<u64>,
    line_before: Vec<u64>,
    line_want: Vec<u64>,
    reserve_left: Vec<u64>,
    reserve_before: Vec<u64>,
    reserve_want: Vec<u64>,
}

impl PartialEq for Scratch {
    /// Working space is no state.
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

fn mul_div(a: u64, b: u64, c: u64) -> u64 {
    u64::try_from(u128::from(a) * u128::from(b) / u128::from(c.max(1))).unwrap_or(u64::MAX)
}

impl Plant {
    /// Brings the state to rest at this instant: flows, reserves at their cut-off, servers whose hold-up is over.
    pub(super) fn settle(&mut self) {
        self.resume_reserves();
        loop {
            self.route();
            // A reserve that cannot sustain its part for one millisecond is at its cut-off: find the flows without it.
            while self.exhaust_reserves() {
                self.route();
            }
            if !self.cut_starved() {
                break;
            }
        }
        self.recharge();
        self.powers = self.total();
    }

    fn resume_reserves(&mut self) {
        for reserve in &mut self.reserves {
            if reserve.exhausted && reserve.recharge > 0 && reserve.charge_uj >= reserve.resume_uj {
                reserve.exhausted = false;
                let kind = PlantEventKind::ReserveUsable {
                    reserve: Arc::clone(&reserve.name),
                };
                self.events.push(self.now, kind);
            }
        }
    }

    fn exhaust_reserves(&mut self) -> bool {
        let mut any = false;
        for reserve in &mut self.reserves {
            if reserve.discharge.drain > reserve.available_uj() {
                reserve.exhausted = true;
                any = true;
                let kind = PlantEventKind::ReserveAtCutoff {
                    reserve: Arc::clone(&reserve.name),
                };
                self.events.push(self.now, kind);
            }
        }
        any
    }

    /// Servers that were short for as long as their hold-up lose power.
    fn cut_starved(&mut self) -> bool {
        let mut any = false;
        for s in 0..self.servers.len() {
            let server = &mut self.servers[s];
            if server.delivered >= server.demand {
                server.starved_since = None;
                continue;
            }
            let since = *server.starved_since.get_or_insert(self.now);
            if self.now - since >= self.config.psu_hold_up_millis {
                self.lose_power(s);
                any = true;
            }
        }
        any
    }

    fn recharge(&mut self) {
        for reserve in &mut self.reserves {
            let was_charging = reserve.recharge > 0;
            let mains = reserve.recharge_domain.is_some_and(|d| self.domains[d].present);
            let gap = reserve.gap_uj();
            reserve.recharge = if mains && !reserve.failed && reserve.discharge.output == 0 {
                // The last fraction of a millisecond's worth goes in with less power: full is full, never more.
                reserve.config.recharge_milliwatts.min(gap)
            } else {
                0
            };
            if was_charging && gap == 0 {
                let kind = PlantEventKind::ReserveFull {
                    reserve: Arc::clone(&reserve.name),
                };
                self.events.push(self.now, kind);
            }
        }
    }

    fn route(&mut self) {
        let mut scratch = std::mem::take(&mut self.scratch);
        scratch.rest.clear();
        let mut short = false;
        for server in &mut self.servers {
            server.demand = server.wants();
            server.from_mains = 0;
            if server.demand > 0 && server.mains {
                let live = server
                    .inlets
                    .iter()
                    .filter(|(domain, _)| self.domains[*domain].present);
                server.from_mains = live.map(|(_, most)| *most).sum::<u64>().min(server.demand);
            }
            server.delivered = server.from_mains;
            let rest = server.demand - server.delivered;
            short |= rest > 0;
            scratch.rest.push(rest);
        }
        for setting in &mut self.settings {
            (setting.flow, setting.input) = (0, 0);
        }
        for line in &mut self.lines {
            line.input = 0;
        }
        scratch.reserve_left.clear();
        scratch
            .reserve_left
            .extend(self.reserves.iter().map(super::battery::Reserve::spare_output));
        if short {
            self.route_lines(&mut scratch);
            self.route_supplies(&mut scratch);
        }
        for (reserve, left) in self.reserves.iter_mut().zip(&scratch.reserve_left) {
            let output = reserve.spare_output() - left;
            reserve.discharge = reserve.discharge_at(output);
        }
        self.scratch = scratch;
    }

    fn route_lines(&mut self, scratch: &mut Scratch) {
        scratch.paths.clear();
        for (index, setting) in self.settings.iter().enumerate() {
            if scratch.rest[setting.server] == 0 || !setting.is_live() {
                continue;
            }
            scratch.paths.push(Path {
                setting: index,
                server: setting.server,
                reserve: setting.reserve,
                line: Some(setting.line),
                efficiency: self.lines[setting.line].config.efficiency_permille,
                cap: setting.cap,
                input: 0,
                want: 0,
                flow: 0,
            });
        }
        if scratch.paths.is_empty() {
            return;
        }
        scratch.line_left.clear();
        scratch
            .line_left
            .extend(self.lines.iter().map(|line| line.config.max_milliwatts));
        share(scratch);
        for path in &scratch.paths {
            let setting = &mut self.settings[path.setting];
            (setting.flow, setting.input) = (path.flow, path.input);
            self.lines[setting.line].input += path.input;
            self.servers[path.server].delivered += path.flow;
        }
    }

    fn route_supplies(&mut self, scratch: &mut Scratch) {
        scratch.paths.clear();
        for (s, server) in self.servers.iter().enumerate() {
            if scratch.rest[s] == 0 {
                continue;
            }
            scratch.paths.extend(server.supplies.iter().map(|r| Path {
                setting: 0,
                server: s,
                reserve: *r,
                line: None,
                efficiency: 1_000,
                cap: self.reserves[*r].config.max_discharge_milliwatts,
                input: 0,
                want: 0,
                flow: 0,
            }));
        }
        share(scratch);
        for path in &scratch.paths {
            self.servers[path.server].delivered += path.flow;
        }
    }

    /// The powers of this instant by kind, for the ledger.
    fn total(&self) -> Powers {
        let mut powers = Powers::default();
        for server in &self.servers {
            powers.mains += server.from_mains;
            match server.power {
                ServerPower::On => {
                    let idle = server.delivered.min(server.config.idle_milliwatts);
                    powers.idle += idle;
                    powers.activities += server.delivered - idle;
                }
                ServerPower::Booting { .. } => powers.boot += server.delivered,
                ServerPower::Halting { .. } => powers.halt += server.delivered,
                ServerPower::Off | ServerPower::Lost => {}
            }
        }
        for setting in &self.settings {
            powers.line_loss += setting.input - setting.flow;
        }
        for reserve in &self.reserves {
            let discharge = reserve.discharge;
            powers.drawn += discharge.drain;
            powers.inverter_loss += discharge.input - discharge.output;
            powers.peukert_loss += discharge.drain - discharge.input;
            powers.recharged += reserve.recharge;
            powers.mains += reserve.recharge;
        }
        powers
    }
}

/// Shares what lines and reserves have left among the paths: each server asks its paths in proportion to their caps; a
/// line or reserve that is asked for too much cuts all askers alike; what a server then still misses it asks of those
/// of its paths that have something left. Paths of one server lie together.
fn share(scratch: &mut Scratch) {
    let Scratch {
        paths,
        rest,
        line_left,
        line_before,
        line_want,
        reserve_left,
        reserve_before,
        reserve_want,
    } = scratch;
    line_want.resize(line_left.len(), 0);
    reserve_want.resize(reserve_left.len(), 0);
    for _ in 0..SHARING_ROUNDS {
        for path in paths.iter() {
            path.line.into_iter().for_each(|l| line_want[l] = 0);
            reserve_want[path.reserve] = 0;
        }
        for group in paths.chunk_by_mut(|a, b| a.server == b.server) {
            ask(group, rest[group[0].server], line_left, reserve_left);
        }
        for path in paths.iter() {
            path.line.into_iter().for_each(|l| line_want[l] += path.want);
            reserve_want[path.reserve] += path.want;
        }
        let mut granted = 0;
        // The shares are cut against what was left when the round began, not against what earlier paths left over.
        line_before.clone_from(line_left);
        reserve_before.clone_from(reserve_left);
        for path in paths.iter_mut().filter(|path| path.want > 0) {
            let mut grant = path.want;
            if let Some(l) = path.line.filter(|l| line_want[*l] > line_before[*l]) {
                grant = grant.min(mul_div(path.want, line_before[l], line_want[l]));
            }
            let (wanted, before) = (reserve_want[path.reserve], reserve_before[path.reserve]);
            if wanted > before {
                grant = grant.min(mul_div(path.want, before, wanted));
            }
            granted += give(path, grant, rest, line_left, reserve_left);
        }
        if granted <= paths.len() as u64 {
            break;
        }
    }
    for path in paths.iter_mut() {
        let missing = path.input_for(rest[path.server]);
        if missing > 0 {
            give(path, missing, rest, line_left, reserve_left);
        }
    }
}

/// What a server asks of each of its paths.
fn ask(group: &mut [Path], missing: u64, line_left: &[u64], reserve_left: &[u64]) {
    let open = |path: &Path| {
        path.input < path.cap && reserve_left[path.reserve] > 0 && path.line.is_none_or(|l| line_left[l] > 0)
    };
    let weight: u64 = group.iter().filter(|path| open(path)).map(|path| path.cap).sum();
    for path in group {
        path.want = if missing > 0 && open(path) {
            path.input_for(mul_div(missing, path.cap, weight))
                .min(path.cap - path.input)
        } else {
            0
        };
    }
}

/// Puts up to `wish` into a path, within every limit; returns what went in.
fn give(
    path: &mut Path,
    wish: u64,
    rest: &mut [u64],
    line_left: &mut [u64],
    reserve_left: &mut [u64],
) -> u64 {
    let needed = path.input_for(rest[path.server]);
    let mut input = wish
        .min(needed)
        .min(path.cap - path.input)
        .min(reserve_left[path.reserve]);
    if let Some(l) = path.line {
        input = input.min(line_left[l]);
    }
    let output = path.output_of(input);
    if output == 0 {
        return 0;
    }
    rest[path.server] -= output;
    reserve_left[path.reserve] -= input;
    if let Some(l) = path.line {
        line_left[l] -= input;
    }
    path.input += input;
    path.flow += output;
    input
}
