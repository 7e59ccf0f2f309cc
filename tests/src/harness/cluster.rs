//! An instance as the planner and the plant know it.

use anyhow::Result;
use power_policy::model::{
    Activity, ActivitySet, ActivityState, Cause, Changeover, Chemistry, Domain, DomainId, FigureSource,
    Inlet, Line, LineMode, LineState, Mains, Name, Outage, Phase, Powered, Reserve, ReserveId, ReserveState,
    Scope, Server, ServerId, SetId, Snapshot,
};

use super::instance::{BOOT_SPAN, CUTOFF, INVERTER_EFFICIENCY, Instance, LINE_EFFICIENCY, Shape, WEIGHTS};

/// Millicores in the unit of an instance's processors.
const MILLICORES: f64 = 100_000.0;
/// Switching time of every line.
const SWITCH_MILLIS: u64 = 8;
/// What lines bear: more than is ever asked of them, within what the plant takes.
const LINE_MILLIWATTS: u64 = 4_000_000_000;

fn milli(figure: f64) -> u64 {
    libm::round(figure * 1_000.0).max(0.0) as u64
}

fn permille(share: f64) -> u32 {
    libm::round(share * 1_000.0) as u32
}

/// The name of a set, and of its one activity.
pub fn set_name(set: usize) -> String {
    format!("a{set:06}")
}

/// The instance in the first instant of an interruption of everything; no set has a target.
///
/// Each placement is a set of its own, so that each stops and moves by itself. Where there are many servers, a set can
/// start on the next `receivers` alone: a list of every server for every set would be most of the input.
///
/// # Errors
/// A name that does not fit.
pub fn snapshot(z: &Instance, movable: bool, receivers: Option<usize>) -> Result<Snapshot> {
    let servers = z.servers.len();
    let title = |prefix: char, i: usize| Name::new(&format!("{prefix}{i:06}"));
    let starter = Name::new("starter")?;
    let mut snapshot = Snapshot::empty();
    snapshot.domains.push(Domain {
        name: Name::new("mains")?,
        mains: Mains::Absent,
    });
    for (s, server) in z.servers.iter().enumerate() {
        snapshot.servers.push(Server {
            name: title('s', s)?,
            pep: Some(title('s', s)?),
            idle_milliwatts: milli(server.idle),
            peak_milliwatts: milli(server.peak),
            cpu_millicores: libm::round(server.cpu * MILLICORES) as u64,
            memory_mebibytes: libm::round(server.memory * 1_024.0) as u64,
            powered: Powered::On,
            mains: Mains::Absent,
            inlets: vec![Inlet {
                domain: DomainId(0),
                max_milliwatts: LINE_MILLIWATTS,
            }],
            boot_millis: milli(server.boot),
            boot_millijoules: milli((server.peak - server.idle) * BOOT_SPAN * server.boot),
            halt_millis: milli(server.halt),
            halt_millijoules: milli(server.idle * server.halt),
            starter: Some(starter.clone()),
            custodian_in_use: false,
            fan_in: 0,
            simulated: true,
            armed: true,
            measured_milliwatts: None,
            age_millis: 0,
        });
        let reserve = &z.reserves[s];
        let cutoff = milli(reserve.rated * CUTOFF);
        snapshot.reserves.push(Reserve {
            name: title('u', s)?,
            pep: Some(title('s', s)?),
            chemistry: if reserve.peukert > 1.0 {
                Chemistry::LeadAcid
            } else {
                Chemistry::Lithium
            },
            capacity_millijoules: milli(reserve.rated),
            charge_millijoules: cutoff + milli(reserve.usable / INVERTER_EFFICIENCY),
            cutoff_millijoules: cutoff,
            max_discharge_milliwatts: milli(reserve.max_watts),
            efficiency_permille: permille(INVERTER_EFFICIENCY),
            peukert_permille: permille(reserve.peukert),
            reference_milliwatts: 0,
            state: ReserveState::Discharging,
            fan_out: 0,
            source: FigureSource::Measured,
            simulated: true,
            armed: true,
            feeds: vec![ServerId(s as u32)],
            age_millis: 0,
        });
    }
    lines(z, &mut snapshot)?;
    for (a, set) in z.sets.iter().enumerate() {
        snapshot.sets.push(ActivitySet {
            name: Name::new(&set_name(a))?,
            priority: 100 - set.class as u16,
            target_millis: Some(0),
            weight: libm::round(WEIGHTS[set.class] * 4.0) as u32,
        });
        let host = ServerId(set.host as u32);
        let mut startable_on: Vec<ServerId> = match receivers {
            _ if !movable || !set.movable => Vec::new(),
            None => (0..servers).map(|s| ServerId(s as u32)).collect(),
            Some(count) => (1..=count)
                .map(|d| ServerId(((set.host + d) % servers) as u32))
                .collect(),
        };
        startable_on.sort_unstable();
        startable_on.dedup();
        snapshot.activities.push(Activity {
            name: Name::new(&set_name(a))?,
            set: Some(SetId(a as u32)),
            host,
            home: host,
            state: ActivityState::Running,
            copies: Vec::new(),
            startable_on,
            draw_milliwatts: milli(set.draw),
            cpu_millicores: libm::ceil(set.cpu * MILLICORES) as u64,
            memory_mebibytes: libm::ceil(set.memory * 1_024.0) as u64,
            movable: movable && set.movable,
            restartable: true,
            move_millis: milli(set.move_time),
            move_millijoules: milli(set.move_energy),
            stop_millis: milli(set.stop_time),
            stop_millijoules: milli(set.stop_energy()),
            shed: false,
            armed: true,
        });
    }
    snapshot.outage = Some(Outage {
        phase: Phase::Interrupted,
        cause: Cause::DomainMains,
        scope: Scope::Cluster,
        elapsed_millis: 0,
    });
    snapshot.validate()?;
    Ok(snapshot)
}

fn lines(z: &Instance, snapshot: &mut Snapshot) -> Result<()> {
    let servers = z.servers.len();
    let mut line = |title: String, reserves: Vec<usize>, fed: Vec<usize>| -> Result<()> {
        snapshot.lines.push(Line {
            name: Name::new(&title)?,
            pep: Some(Name::new("starter")?),
            max_milliwatts: LINE_MILLIWATTS,
            efficiency_permille: permille(LINE_EFFICIENCY),
            switch_millis: SWITCH_MILLIS,
            mode: LineMode::Shared,
            changeover: Changeover::Parallel,
            state: LineState::Open,
            reserves: reserves.into_iter().map(|r| ReserveId(r as u32)).collect(),
            servers: fed.into_iter().map(|s| ServerId(s as u32)).collect(),
            joined: Vec::new(),
            simulated: true,
            armed: true,
        });
        Ok(())
    };
    match z.shape {
        Shape::Crossbar => line("bus".to_owned(), (0..servers).collect(), (0..servers).collect()),
        Shape::Rack => (0..servers).step_by(8).enumerate().try_for_each(|(rack, first)| {
            let members: Vec<usize> = (first..(first + 8).min(servers)).collect();
            line(format!("rack{rack:06}"), members.clone(), members)
        }),
        Shape::Ring => (0..servers).try_for_each(|s| {
            let mut near: Vec<usize> = (0..5).map(|d| (s + servers * 2 + d - 2) % servers).collect();
            near.sort_unstable();
            near.dedup();
            line(format!("ring{s:06}"), near, vec![s])
        }),
    }
}
