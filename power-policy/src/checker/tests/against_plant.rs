//! The checker's electricity beside the plant: written twice, they must agree. Seeds are in the failure.

use super::super::electricity::{Electricity, Happening};
use super::site::{name, reserve, server};
use crate::model::*;
use crate::plant::{LineConfig, Plant, PlantConfig, ReserveConfig, ServerConfig, ServerPower};

/// A generator of small numbers (xorshift), so that a seed is all there is to a case.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, low: u64, high: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        low + self.0 % (high - low + 1)
    }
}

fn case(seed: u64) -> Snapshot {
    let mut dice = Dice(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
    for _ in 0..4 {
        dice.roll(0, 1);
    }
    let mut s = Snapshot::empty();
    s.domains.push(Domain {
        name: name("d"),
        mains: Mains::Absent,
    });
    let servers = dice.roll(1, 6) as u32;
    for i in 0..servers {
        let mut model = server(&format!("s{i}"), 0, Mains::Absent);
        model.idle_milliwatts = dice.roll(50, 300) * 1_000;
        model.peak_milliwatts = 1_000_000;
        s.servers.push(model);
    }
    let reserves = dice.roll(1, 6) as u32;
    for i in 0..reserves {
        let mut model = reserve(
            &format!("u{i}"),
            ServerId(dice.roll(0, u64::from(servers) - 1) as u32),
        );
        model.max_discharge_milliwatts = dice.roll(100, 900) * 1_000;
        model.charge_millijoules = dice.roll(36, 360) * 1_000_000;
        if dice.roll(0, 2) == 0 {
            // Rated at one hour: 100 W.
            model.peukert_permille = dice.roll(1_000, 1_300) as u32;
        }
        s.reserves.push(model);
    }
    let mut able: Vec<u64> = s
        .reserves
        .iter()
        .map(|r| r.max_discharge_milliwatts / 1_000)
        .collect();
    for i in 0..dice.roll(0, 3) {
        let mut line = super::site::tie();
        line.name = name(&format!("l{i}"));
        line.max_milliwatts = dice.roll(50, 800) * 1_000;
        line.efficiency_permille = dice.roll(800, 1_000) as u32;
        line.reserves = (0..reserves).map(ReserveId).collect();
        line.servers = (0..servers).map(ServerId).collect();
        // Within the limits of lines and reserves, as every plan is. Beyond them both cut all askers alike, but come
        // to rest at different crumbs.
        let mut left = line.max_milliwatts / 1_000;
        for r in 0..reserves {
            for to in 0..servers {
                let cap = dice.roll(10, 300).min(left).min(able[r as usize]);
                if dice.roll(0, 3) == 0 && cap > 0 {
                    left -= cap;
                    able[r as usize] -= cap;
                    line.joined.push(Joined {
                        reserve: ReserveId(r),
                        server: ServerId(to),
                        milliwatts: cap * 1_000,
                    });
                }
            }
        }
        s.lines.push(line);
    }
    s
}

fn plant_of(snapshot: &Snapshot) -> Plant {
    let text = |n: &Name| n.as_str().to_owned();
    let names = |list: Vec<&Name>| list.into_iter().map(text).collect::<Vec<_>>();
    let config = PlantConfig {
        psu_hold_up_millis: 10,
        servers: snapshot
            .servers
            .iter()
            .enumerate()
            .map(|(i, s)| ServerConfig {
                name: text(&s.name),
                idle_milliwatts: s.idle_milliwatts,
                peak_milliwatts: s.peak_milliwatts,
                boot_millis: 0,
                halt_millis: 0,
                inlets: Vec::new(),
                supplies: snapshot
                    .reserves
                    .iter()
                    .filter(|r| r.feeds.contains(&ServerId(i as u32)))
                    .map(|r| text(&r.name))
                    .collect(),
                starter: None,
                starts_with_mains: false,
                fan_in: 0,
                initial: Default::default(),
            })
            .collect(),
        reserves: snapshot
            .reserves
            .iter()
            .map(|r| ReserveConfig {
                name: text(&r.name),
                chemistry: Default::default(),
                capacity_millijoules: r.capacity_millijoules,
                charge_millijoules: r.charge_millijoules,
                cutoff_millijoules: r.cutoff_millijoules,
                max_discharge_milliwatts: r.max_discharge_milliwatts,
                efficiency_permille: r.efficiency_permille.into(),
                peukert_permille: r.peukert_permille.into(),
                reference_milliwatts: r.capacity_millijoules / 3_600,
                recharge_milliwatts: 0,
                recharge_domain: None,
                fan_out: 0,
            })
            .collect(),
        lines: snapshot
            .lines
            .iter()
            .map(|l| LineConfig {
                name: text(&l.name),
                reserves: names(snapshot.reserves.iter().map(|r| &r.name).collect()),
                servers: names(snapshot.servers.iter().map(|s| &s.name).collect()),
                max_milliwatts: l.max_milliwatts,
                efficiency_permille: l.efficiency_permille.into(),
                switch_millis: 0,
                mode: Default::default(),
                changeover: Default::default(),
            })
            .collect(),
        ..PlantConfig::default()
    };
    let mut plant = Plant::new(config).unwrap();
    for line in &snapshot.lines {
        for j in &line.joined {
            let (r, s) = (
                &snapshot.reserves[j.reserve.0 as usize],
                &snapshot.servers[j.server.0 as usize],
            );
            plant
                .set_line(line.name.as_str(), r.name.as_str(), s.name.as_str(), j.milliwatts)
                .unwrap();
        }
    }
    plant
}

#[test]
fn the_two_electricities_agree() {
    let mut lost = 0;
    for seed in 0..2_000 {
        let snapshot = case(seed);
        let mut plant = plant_of(&snapshot);
        let mut own = Electricity::new(&snapshot, false);
        for (s, model) in snapshot.servers.iter().enumerate() {
            own.set_load(s, model.idle_milliwatts as f64);
        }
        own.settle();
        let mut dark = vec![false; snapshot.servers.len()];
        let mut happenings = Vec::new();
        for second in (0..4_000).step_by(50) {
            let until = second * 1_000_000;
            while let Some(due) = own.next_due().filter(|due| *due <= until) {
                own.advance(due, &mut happenings);
            }
            own.advance(until, &mut happenings);
            plant.advance(second * 1_000);
            for happening in happenings.drain(..) {
                if let Happening::Lost { server } = happening {
                    dark[server] = true;
                    lost += 1;
                }
            }
            for (r, reserve) in snapshot.reserves.iter().enumerate() {
                let there = plant
                    .read_reserve(reserve.name.as_str())
                    .unwrap()
                    .charge_millijoules as f64;
                let here = own.energy(r);
                assert!(
                    (there - here).abs() <= reserve.capacity_millijoules as f64 * 1e-3,
                    "seed {seed}, {second} s, {}: the plant {there} mJ, the checker {here} mJ",
                    reserve.name
                );
            }
        }
        for (s, server) in snapshot.servers.iter().enumerate() {
            let there = plant.read_server(server.name.as_str()).unwrap().power == ServerPower::Lost;
            assert_eq!(there, dark[s], "seed {seed}, {}", server.name);
        }
    }
    assert!(
        lost > 100,
        "only {lost} servers were lost: the cases are too easy to tell"
    );
}
