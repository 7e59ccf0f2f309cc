//! A small plant, and ways to look at it.

use power_policy::plant::{
    Changeover, DomainConfig, InletConfig, LineConfig, LineMode, Plant, PlantConfig, PlantEvent,
    PlantEventKind, ReserveConfig, ServerConfig, ServerPower,
};

/// 1 W, in milliwatts.
pub(crate) const W: u64 = 1_000;
/// 1 J, in millijoules.
pub(crate) const J: u64 = 1_000;
/// 1 s, in milliseconds.
pub(crate) const S: u64 = 1_000;

pub(crate) fn domain(name: &str) -> DomainConfig {
    DomainConfig {
        name: name.into(),
        present: true,
    }
}

/// A server of 100 W idle and 400 W peak on one domain, that boots in 60 s and halts in 20 s.
pub(crate) fn server(name: &str, domain: &str, supplies: &[&str]) -> ServerConfig {
    ServerConfig {
        name: name.into(),
        idle_milliwatts: 100 * W,
        peak_milliwatts: 400 * W,
        boot_millis: 60 * S,
        halt_millis: 20 * S,
        inlets: vec![InletConfig {
            domain: domain.into(),
            max_milliwatts: 500 * W,
        }],
        supplies: supplies.iter().map(|r| (*r).to_owned()).collect(),
        starter: Some("rack".into()),
        starts_with_mains: false,
        fan_in: 0,
        initial: Default::default(),
    }
}

/// A reserve without losses or cut-off that recharges from nowhere.
pub(crate) fn reserve(name: &str, joules: u64, max_watts: u64) -> ReserveConfig {
    ReserveConfig {
        name: name.into(),
        chemistry: Default::default(),
        capacity_millijoules: joules * J,
        charge_millijoules: joules * J,
        cutoff_millijoules: 0,
        max_discharge_milliwatts: max_watts * W,
        efficiency_permille: 1_000,
        peukert_permille: 1_000,
        reference_milliwatts: 0,
        recharge_milliwatts: 0,
        recharge_domain: None,
        fan_out: 0,
    }
}

/// A shared line without losses that switches in 4 ms, make before break.
pub(crate) fn line(name: &str, reserves: &[&str], servers: &[&str], watts: u64) -> LineConfig {
    LineConfig {
        name: name.into(),
        reserves: reserves.iter().map(|r| (*r).to_owned()).collect(),
        servers: servers.iter().map(|s| (*s).to_owned()).collect(),
        max_milliwatts: watts * W,
        efficiency_permille: 1_000,
        switch_millis: 4,
        mode: LineMode::Shared,
        changeover: Changeover::Parallel,
    }
}

/// Two servers on one domain, each with its own reserve, and a line that joins all.
pub(crate) fn pair() -> PlantConfig {
    PlantConfig {
        domains: vec![domain("a")],
        servers: vec![server("s1", "a", &["u1"]), server("s2", "a", &["u2"])],
        reserves: vec![reserve("u1", 10_000, 500), reserve("u2", 20_000, 500)],
        lines: vec![line("bus", &["u1", "u2"], &["s1", "s2"], 600)],
        ..PlantConfig::default()
    }
}

pub(crate) fn plant(config: PlantConfig) -> Plant {
    Plant::new(config).unwrap()
}

pub(crate) fn power(plant: &Plant, server: &str) -> ServerPower {
    plant.read_server(server).unwrap().power
}

/// Charge of a reserve in joules.
pub(crate) fn joules(plant: &Plant, reserve: &str) -> u64 {
    plant.read_reserve(reserve).unwrap().charge_millijoules / J
}

/// What a server gets, in watts.
pub(crate) fn watts(plant: &Plant, server: &str) -> u64 {
    plant.read_server(server).unwrap().milliwatts / W
}

/// What flows from a reserve to a server through a line, in watts.
pub(crate) fn flow(plant: &Plant, line: &str, reserve: &str, server: &str) -> u64 {
    let line = plant.read_line(line).unwrap();
    let at = |s: &&power_policy::plant::SettingReading| &*s.reserve == reserve && &*s.server == server;
    line.settings.iter().find(at).map_or(0, |s| s.flow_milliwatts / W)
}

pub(crate) fn events(plant: &mut Plant) -> Vec<PlantEvent> {
    std::iter::from_fn(|| plant.poll_event()).collect()
}

/// When each server lost its power.
pub(crate) fn deaths(events: &[PlantEvent]) -> Vec<(u64, String)> {
    let death = |event: &PlantEvent| match &event.kind {
        PlantEventKind::ServerLostPower { server } => Some((event.at_millis, server.to_string())),
        _ => None,
    };
    events.iter().filter_map(death).collect()
}
