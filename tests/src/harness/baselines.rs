//! What is done today: each server on its own battery, under a rule of its own.

use anyhow::Result;
use power_policy::model::Snapshot;
use power_policy::plant::{Plant, PlantEventKind, ServerPower};

use super::cluster::set_name;
use super::executor::plant_of;
use super::instance::{CLASSES, Instance};
use super::lives::Life;

/// Charge at which a server is shut down.
const LOW_CHARGE: f64 = 0.20;
/// Time left at which it is, seconds.
const LOW_SECONDS: f64 = 120.0;
/// Charges at which B2 stops each class.
const THRESHOLDS: [f64; CLASSES] = [0.20, 0.20, 0.40, 0.60, 0.80];
/// How often charges are looked at: at first, and later.
const LOOKS_MILLIS: (u64, u64) = (10_000, 15_000);
/// Until when "at first" is.
const FIRST_MILLIS: u64 = 240_000;

/// A rule by which each server lives on its own battery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Baseline {
    /// B0: nothing is done.
    Nothing,
    /// B1: everything on a server is stopped, and it is halted, at 20 % of charge or when 120 s are left (NUT's upsmon).
    LowBattery,
    /// B2: as B1, and lower classes go at 80, 60 and 40 % of charge.
    Thresholds,
}

/// What a rule makes of an instance.
///
/// # Errors
/// The plant refuses something.
pub fn live(z: &Instance, snapshot: &Snapshot, rule: Baseline, until_millis: u64) -> Result<Life> {
    let mut plant = plant_of(snapshot.clone(), 0);
    let lost_at = plant.now_millis();
    plant.fail_mains("mains")?;
    while plant.poll_event().is_some() {}
    let mut run = Run {
        z,
        snapshot,
        stops_until: vec![None; z.sets.len()],
        life: Life::new(z.sets.len()),
        plant,
        lost_at,
    };
    let mut next_look = 0;
    loop {
        let now = run.now();
        run.finish_stops()?;
        if rule != Baseline::Nothing && now >= next_look {
            next_look = now
                + if now < FIRST_MILLIS {
                    LOOKS_MILLIS.0
                } else {
                    LOOKS_MILLIS.1
                };
            run.look(rule)?;
        }
        run.note_events();
        if now >= until_millis || run.is_over()? {
            break;
        }
        let due = run
            .stops_until
            .iter()
            .flatten()
            .copied()
            .min()
            .unwrap_or(u64::MAX);
        let step = run
            .plant
            .next_event_millis()
            .map_or(u64::MAX, |t| t.saturating_sub(lost_at));
        let look = if rule == Baseline::Nothing {
            u64::MAX
        } else {
            next_look
        };
        let to = due.min(step).min(look).min(until_millis).max(now + 1);
        run.plant.advance(lost_at + to);
    }
    run.life.finish(until_millis.min(run.now()));
    Ok(run.life)
}

struct Run<'a> {
    z: &'a Instance,
    snapshot: &'a Snapshot,
    /// By set: when its stop ends.
    stops_until: Vec<Option<u64>>,
    life: Life,
    plant: Plant,
    lost_at: u64,
}

impl Run<'_> {
    fn now(&self) -> u64 {
        self.plant.now_millis() - self.lost_at
    }

    fn server(&self, s: usize) -> &str {
        self.snapshot.servers[s].name.as_str()
    }

    /// Running, and not being stopped.
    fn serves(&self, a: usize) -> bool {
        self.life.is_served(a)
    }

    fn finish_stops(&mut self) -> Result<()> {
        let now = self.now();
        for a in 0..self.z.sets.len() {
            if self.stops_until[a].is_some_and(|t| t <= now) {
                self.stops_until[a] = None;
                let host = self.server(self.z.sets[a].host).to_owned();
                self.plant.stop_activity(&host, &set_name(a))?;
            }
        }
        for s in 0..self.z.servers.len() {
            let busy = self
                .z
                .sets_of(s)
                .any(|a| self.serves(a) || self.stops_until[a].is_some());
            let name = self.server(s).to_owned();
            if !busy && self.plant.read_server(&name)?.power == ServerPower::On {
                self.plant.halt(&name)?;
            }
        }
        Ok(())
    }

    fn look(&mut self, rule: Baseline) -> Result<()> {
        let now = self.now();
        for s in 0..self.z.servers.len() {
            let reading = self.plant.read_server(self.server(s))?;
            if reading.power != ServerPower::On {
                continue;
            }
            let reserve = &self.snapshot.reserves[s];
            let charge = self.plant.read_reserve(reserve.name.as_str())?.charge_millijoules;
            let share = charge as f64 / reserve.capacity_millijoules as f64;
            let usable = charge.saturating_sub(reserve.cutoff_millijoules) as f64
                * f64::from(reserve.efficiency_permille)
                / 1_000.0;
            let low = share <= LOW_CHARGE || usable / (reading.milliwatts as f64).max(1.0) <= LOW_SECONDS;
            for a in self.z.sets_of(s) {
                let by_class = rule == Baseline::Thresholds && share <= THRESHOLDS[self.z.sets[a].class];
                if (low || by_class) && self.serves(a) {
                    self.life.end(a, now);
                    let millis = self.snapshot.activities[a].stop_millis;
                    self.stops_until[a] = Some(now + millis);
                }
            }
        }
        Ok(())
    }

    fn note_events(&mut self) {
        while let Some(event) = self.plant.poll_event() {
            let at = event.at_millis.saturating_sub(self.lost_at);
            match event.kind {
                PlantEventKind::ActivityStopped {
                    activity,
                    clean: false,
                    ..
                } => {
                    if let Some(a) = self
                        .snapshot
                        .activities
                        .iter()
                        .position(|x| x.name.as_str() == &*activity)
                    {
                        self.life.end(a, at);
                        self.life.dirty += 1;
                        self.stops_until[a] = None;
                    }
                }
                PlantEventKind::ServerLostPower { .. } => self.life.servers_lost += 1,
                _ => {}
            }
        }
    }

    fn is_over(&self) -> Result<bool> {
        for server in &self.snapshot.servers {
            if self.plant.read_server(server.name.as_str())?.power.is_powered() {
                return Ok(false);
            }
        }
        Ok(true)
    }
}
