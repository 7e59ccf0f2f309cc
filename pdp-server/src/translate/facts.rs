//! Reported rows as the engine's facts and readings.

use cops_codec::client_type::power as wire;
use cops_codec::client_type::store::RowTable;
use cops_codec::client_type::{Class, Row, RowId, TypedRow};
use cops_codec::provisioning::{InstanceId, Prid};
use power_policy::interruption::Witness;
use power_policy::model::{
    ActivityState, Changeover, Chemistry, FigureSource, LineMode, LineState, Mains, Name, Powered,
    ReserveState,
};

use super::{millijoules, name};
use crate::engine::facts::{
    ActionResult, ActivityFact, DomainFact, Held, InletFact, LineFact, MemberFact, Outcome, PepFacts,
    Readings, ReserveFact, ReserveReading, Role, ServerFact, ServerReading, SupplyFact,
};
use crate::engine::slice::{StepClass, StepKey};

/// Everything that a context reports.
pub fn facts(rows: &RowTable) -> PepFacts {
    PepFacts {
        servers: rows.all().filter_map(server).collect(),
        inlets: rows.all().filter_map(|i| inlet(rows, i)).collect(),
        domains: rows.all().filter_map(domain).collect(),
        reserves: rows.all().filter_map(reserve).collect(),
        supplies: rows.all().filter_map(supply).collect(),
        lines: rows.all().filter_map(|l| line(rows, l)).collect(),
        activities: rows.all().filter_map(activity).collect(),
        held: rows.only().map(held).unwrap_or_default(),
        results: rows.all().filter_map(result).collect(),
    }
}

/// The readings of an accounting report.
pub fn readings(rows: &[Row]) -> Readings {
    let mut readings = Readings::default();
    for row in rows {
        if let Some(r) = wire::ReserveReading::from_row(row)
            && let Some(reserve) = name(&r.reserve)
        {
            readings.reserves.push(ReserveReading {
                reserve,
                charge_millijoules: millijoules(r.charge_joules),
                milliwatts: i64::from(r.milliwatts),
                age_millis: u64::from(r.age_millis),
            });
        }
        if let Some(r) = wire::ServerReading::from_row(row)
            && let Some(server) = name(&r.server)
        {
            readings.servers.push(ServerReading {
                server,
                milliwatts: u64::from(r.milliwatts),
                age_millis: u64::from(r.age_millis),
            });
        }
    }
    readings
}

/// The step that a PRID names; `None` for rows that are no steps.
pub fn step_key(prid: &Prid) -> Option<StepKey> {
    let RowId { class, instance } = RowId::from_prid(prid.as_oid())?;
    let class = match class {
        Class::Action => StepClass::Action,
        Class::Divert => StepClass::Divert,
        Class::Intake => StepClass::Intake,
        Class::Host => StepClass::Host,
        _ => return None,
    };
    Some(StepKey {
        class,
        instance: instance.get(),
    })
}

fn role(role: wire::Role) -> Role {
    match role {
        wire::Role::Custodian => Role::Custodian,
        wire::Role::Witness => Role::Witness,
    }
}

fn server(s: &wire::Server) -> Option<ServerFact> {
    Some(ServerFact {
        name: name(&s.name)?,
        role: role(s.role),
        idle_milliwatts: u64::from(s.idle_milliwatts),
        peak_milliwatts: u64::from(s.peak_milliwatts),
        cpu_millicores: u64::from(s.cpu_millicores),
        memory_mebibytes: u64::from(s.memory_mebibytes),
        powered: match s.powered {
            wire::Powered::On => Powered::On,
            wire::Powered::OffCommanded => Powered::OffCommanded,
            wire::Powered::OffSeen => Powered::OffSeen,
            wire::Powered::Unreachable => Powered::Unreachable,
        },
        boot_millis: u64::from(s.boot_millis),
        boot_millijoules: millijoules(s.boot_joules),
        halt_millis: u64::from(s.halt_millis),
        halt_millijoules: millijoules(s.halt_joules),
        starter: s.starter.as_ref().and_then(name),
        fan_in: s.fan_in,
        simulated: s.simulated,
    })
}

fn server_name(rows: &RowTable, instance: InstanceId) -> Option<Name> {
    name(&rows.row::<wire::Server>(instance)?.name)
}

fn inlet(rows: &RowTable, i: &wire::Inlet) -> Option<InletFact> {
    Some(InletFact {
        server: server_name(rows, i.server.0)?,
        domain: name(&i.domain)?,
        max_milliwatts: u64::from(i.max_milliwatts),
    })
}

fn domain(d: &wire::Domain) -> Option<DomainFact> {
    Some(DomainFact {
        name: name(&d.name)?,
        mains: match d.mains {
            wire::Mains::Present => Mains::Present,
            wire::Mains::Absent => Mains::Absent,
            wire::Mains::Unstable => Mains::Unstable,
            wire::Mains::Unknown => Mains::Unknown,
        },
        witness: match d.witness {
            wire::Witness::Facility => Witness::Facility,
            wire::Witness::Inlet => Witness::Inlet,
        },
        age_millis: u64::from(d.age_millis),
    })
}

fn reserve(r: &wire::Reserve) -> Option<ReserveFact> {
    Some(ReserveFact {
        name: name(&r.name)?,
        role: role(r.role),
        chemistry: match r.chemistry {
            wire::Chemistry::LeadAcid => Chemistry::LeadAcid,
            wire::Chemistry::Lithium => Chemistry::Lithium,
            wire::Chemistry::Nickel => Chemistry::Nickel,
            wire::Chemistry::Supercapacitor => Chemistry::Supercapacitor,
            wire::Chemistry::Other => Chemistry::Other,
        },
        capacity_millijoules: millijoules(r.capacity_joules),
        charge_millijoules: millijoules(r.charge_joules),
        cutoff_millijoules: millijoules(r.cutoff_joules),
        max_discharge_milliwatts: u64::from(r.max_discharge_milliwatts),
        efficiency_permille: r.efficiency_permille.get(),
        peukert_permille: r.peukert_permille.get(),
        state: match r.state {
            wire::ReserveState::Idle => ReserveState::Idle,
            wire::ReserveState::Charging => ReserveState::Charging,
            wire::ReserveState::Discharging => ReserveState::Discharging,
            wire::ReserveState::Low => ReserveState::Low,
            wire::ReserveState::Depleted => ReserveState::Depleted,
            wire::ReserveState::Fault => ReserveState::Fault,
            wire::ReserveState::Unknown => ReserveState::Unknown,
        },
        age_millis: u64::from(r.age_millis),
        fan_out: r.fan_out,
        source: match r.source {
            wire::EnergySource::Measured => FigureSource::Measured,
            wire::EnergySource::Estimated => FigureSource::Estimated,
            wire::EnergySource::Configured => FigureSource::Configured,
        },
        simulated: r.simulated,
    })
}

fn supply(s: &wire::Supply) -> Option<SupplyFact> {
    Some(SupplyFact {
        reserve: name(&s.reserve)?,
        server: name(&s.server)?,
    })
}

fn line(rows: &RowTable, l: &wire::Line) -> Option<LineFact> {
    let reserves = rows.all::<wire::LineIn>().filter(|m| m.line.0 == l.instance);
    let servers = rows.all::<wire::LineOut>().filter(|m| m.line.0 == l.instance);
    let member = |member: &wire::Name, joined| {
        Some(MemberFact {
            name: name(member)?,
            joined,
        })
    };
    Some(LineFact {
        name: name(&l.name)?,
        role: role(l.role),
        max_milliwatts: u64::from(l.milliwatts),
        efficiency_permille: l.efficiency_permille.get(),
        switch_millis: u64::from(l.switch_millis),
        mode: match l.mode {
            wire::LineMode::Shared => LineMode::Shared,
            wire::LineMode::Exclusive => LineMode::Exclusive,
        },
        changeover: match l.changeover {
            wire::Changeover::Parallel => Changeover::Parallel,
            wire::Changeover::Ats => Changeover::Ats,
            wire::Changeover::Bridge => Changeover::Bridge,
        },
        state: match l.state {
            wire::LineState::Open => LineState::Open,
            wire::LineState::Closed => LineState::Closed,
            wire::LineState::Moving => LineState::Moving,
            wire::LineState::Fault => LineState::Fault,
        },
        simulated: l.simulated,
        reserves: reserves.filter_map(|m| member(&m.reserve, m.joined)).collect(),
        servers: servers.filter_map(|m| member(&m.server, m.joined)).collect(),
    })
}

fn activity(a: &wire::Activity) -> Option<ActivityFact> {
    let text = |t: &Option<wire::Name>| t.as_ref().map(|n| n.as_str().to_owned()).unwrap_or_default();
    Some(ActivityFact {
        name: name(&a.name)?,
        server: name(&a.server)?,
        state: match a.state {
            wire::ActivityState::Running => Some(ActivityState::Running),
            wire::ActivityState::Stopped => Some(ActivityState::Stopped),
            wire::ActivityState::Starting => Some(ActivityState::Starting),
            wire::ActivityState::Stopping => Some(ActivityState::Stopping),
            wire::ActivityState::Failed => Some(ActivityState::Failed),
            wire::ActivityState::Absent => None,
        },
        asked_set: text(&a.set),
        data_type: text(&a.data_type),
        process: text(&a.process),
        qos_class: text(&a.qos_class),
        draw_milliwatts: u64::from(a.draw_milliwatts),
        cpu_millicores: u64::from(a.cpu_millicores),
        memory_mebibytes: u64::from(a.memory_mebibytes),
        movable: a.movable,
        startable: a.startable,
        restartable: a.restartable,
        move_millis: u64::from(a.move_millis),
        move_millijoules: millijoules(a.move_joules),
        stop_millis: u64::from(a.stop_millis),
        stop_millijoules: millijoules(a.stop_joules),
    })
}

fn held(h: &wire::Held) -> Held {
    Held {
        term: h.term,
        generation: h.generation,
        released_stage: h.released_stage,
        digest: h.digest.as_ref().map(|d| d.0),
        armed: h.armed,
    }
}

fn result(r: &wire::ActionResult) -> Option<ActionResult> {
    Some(ActionResult {
        term: r.term,
        generation: r.generation,
        step: step_key(&r.action)?,
        outcome: match r.outcome {
            wire::Outcome::Started => Outcome::Started,
            wire::Outcome::Done => Outcome::Done,
            wire::Outcome::Failed => Outcome::Failed,
            wire::Outcome::Refused => Outcome::Refused,
            wire::Outcome::TimedOut => Outcome::TimedOut,
        },
        millis: u64::from(r.millis),
        reason: r.reason.as_str().to_owned(),
    })
}
