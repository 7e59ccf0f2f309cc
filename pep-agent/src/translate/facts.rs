//! The rows that tell what the agent knows (arc 1 of the module).

use std::collections::BTreeMap;

use cops_codec::client_type::power::{
    self, ActionResult, Activity, Domain, Held, Inlet, Line, LineIn, LineOut, Reserve, Server, Supply,
};
use cops_codec::client_type::{Class, Row, RowId};
use cops_codec::provisioning::{InstanceId, ReferenceId};
use power_policy::model::{
    Changeover, Chemistry, FigureSource, LineMode, LineState, Mains, Powered, ReserveState,
};

use super::{instance, millis32, wire_name};
use crate::engine::facts::{self, ActivityState};
use crate::engine::{Engine, Millis, Outcome, StepClass, StepId};

/// Everything that a REQ of the base context tells, by class and instance. Ages are as of `now`.
pub fn rows(engine: &Engine, held: Held, now: Millis) -> BTreeMap<RowId, Row> {
    let inventory = engine.inventory();
    let mut rows: Vec<Row> = Vec::new();

    let mut servers = BTreeMap::new();
    let mut inlets = 0;
    for (index, (name, thing)) in inventory.servers.iter().enumerate() {
        let number = instance(index);
        servers.insert(name, number);
        rows.push(server(number, name, thing).into());
        for inlet in &thing.facts.inlets {
            rows.push(
                Inlet {
                    instance: instance(inlets),
                    server: ReferenceId(number),
                    domain: wire_name(&inlet.domain),
                    max_milliwatts: inlet.max_milliwatts,
                }
                .into(),
            );
            inlets += 1;
        }
    }
    for (index, domain) in inventory.domains(now).iter().enumerate() {
        rows.push(
            Domain {
                instance: instance(index),
                name: wire_name(&domain.name),
                mains: mains(domain.mains),
                witness: match domain.witness {
                    facts::Witness::Facility => power::Witness::Facility,
                    facts::Witness::Inlet => power::Witness::Inlet,
                },
                age_millis: millis32(now.saturating_sub(domain.at)),
            }
            .into(),
        );
    }
    let mut supplies = 0;
    for (index, (name, thing)) in inventory.reserves.iter().enumerate() {
        rows.push(reserve(instance(index), name, thing, inventory.is_stale(name, now), now).into());
        for fed in &thing.facts.feeds {
            let row = Supply {
                instance: instance(supplies),
                reserve: wire_name(name),
                server: wire_name(fed),
            };
            rows.push(row.into());
            supplies += 1;
        }
    }
    let (mut ins, mut outs) = (0, 0);
    for (index, (name, thing)) in inventory.lines.iter().enumerate() {
        let number = instance(index);
        rows.push(line(number, name, thing).into());
        let joined = thing
            .reading()
            .map(|reading| reading.joined.as_slice())
            .unwrap_or_default();
        for (position, reserve) in thing.facts.reserves.iter().enumerate() {
            rows.push(
                LineIn {
                    instance: instance(ins),
                    line: ReferenceId(number),
                    reserve: wire_name(reserve),
                    position: instance(position).get(),
                    joined: joined.iter().any(|joint| joint.reserve == *reserve),
                }
                .into(),
            );
            ins += 1;
        }
        for (position, server) in thing.facts.servers.iter().enumerate() {
            rows.push(
                LineOut {
                    instance: instance(outs),
                    line: ReferenceId(number),
                    server: wire_name(server),
                    position: instance(position).get(),
                    joined: joined.iter().any(|joint| joint.server == *server),
                }
                .into(),
            );
            outs += 1;
        }
    }
    for (index, (key, thing)) in inventory.activities.iter().enumerate() {
        rows.push(activity(instance(index), key, thing).into());
    }
    if let Some(plan) = engine.plan() {
        for result in engine.results() {
            let Some(number) = InstanceId::new(result.instance) else {
                continue;
            };
            rows.push(
                ActionResult {
                    instance: number,
                    term: plan.term,
                    generation: plan.generation,
                    stage: result.stage,
                    action: row_of(result.step).prid(),
                    outcome: outcome(result.record.outcome),
                    millis: millis32(result.record.millis),
                    reason: power::Text::lossy(&result.record.reason),
                }
                .into(),
            );
        }
    }
    rows.push(held.into());
    rows.into_iter().map(|row| (row.id(), row)).collect()
}

/// The row of a step.
pub fn row_of(step: StepId) -> RowId {
    let class = match step.class {
        StepClass::Action => Class::Action,
        StepClass::Divert => Class::Divert,
        StepClass::Intake => Class::Intake,
        StepClass::Host => Class::Host,
    };
    RowId {
        class,
        instance: InstanceId::new(step.instance).unwrap_or(InstanceId::FIRST),
    }
}

fn server(
    instance: InstanceId,
    name: &power_policy::model::Name,
    thing: &facts::Thing<facts::ServerFacts, facts::ServerReading>,
) -> Server {
    let facts = &thing.facts;
    Server {
        instance,
        name: wire_name(name),
        idle_milliwatts: facts.idle_milliwatts,
        peak_milliwatts: facts.peak_milliwatts,
        cpu_millicores: facts.cpu_millicores,
        memory_mebibytes: facts.memory_mebibytes,
        powered: match (thing.reading().map(|reading| reading.powered), facts.role) {
            (Some(Powered::On), _) => power::Powered::On,
            (Some(Powered::OffCommanded), _) => power::Powered::OffCommanded,
            (Some(Powered::OffSeen), _) => power::Powered::OffSeen,
            (Some(Powered::Unreachable), _) => power::Powered::Unreachable,
            // An agent that says anything of its own server says that it runs.
            (None, facts::Role::Custodian) => power::Powered::On,
            (None, facts::Role::Witness) => power::Powered::Unreachable,
        },
        boot_millis: facts.boot_millis,
        boot_joules: facts.boot_joules,
        halt_millis: facts.halt_millis,
        halt_joules: facts.halt_joules,
        starter: facts.starter.as_ref().map(wire_name),
        fan_in: facts.fan_in,
        simulated: facts.simulated,
        role: role(facts.role),
    }
}

fn reserve(
    instance: InstanceId,
    name: &power_policy::model::Name,
    thing: &facts::Thing<facts::ReserveFacts, facts::ReserveReading>,
    is_stale: bool,
    now: Millis,
) -> Reserve {
    let facts = &thing.facts;
    let reading = thing.reading();
    let state = match reading.map(|reading| reading.state) {
        Some(state) if !is_stale => state,
        _ => ReserveState::Unknown,
    };
    Reserve {
        instance,
        name: wire_name(name),
        role: role(facts.role),
        chemistry: match facts.chemistry {
            Chemistry::LeadAcid => power::Chemistry::LeadAcid,
            Chemistry::Lithium => power::Chemistry::Lithium,
            Chemistry::Nickel => power::Chemistry::Nickel,
            Chemistry::Supercapacitor => power::Chemistry::Supercapacitor,
            Chemistry::Other => power::Chemistry::Other,
        },
        capacity_joules: reading
            .and_then(|reading| reading.capacity_joules)
            .unwrap_or(facts.capacity_joules),
        // The last figure, with its age; 0 only where there never was one.
        charge_joules: reading.and_then(|reading| reading.charge_joules).unwrap_or(0),
        cutoff_joules: facts.cutoff_joules,
        max_discharge_milliwatts: facts.max_discharge_milliwatts,
        efficiency_permille: power::Permille::clamped(facts.efficiency_permille),
        peukert_permille: power::PeukertPermille::clamped(facts.peukert_permille),
        state: match state {
            ReserveState::Idle => power::ReserveState::Idle,
            ReserveState::Charging => power::ReserveState::Charging,
            ReserveState::Discharging => power::ReserveState::Discharging,
            ReserveState::Low => power::ReserveState::Low,
            ReserveState::Depleted => power::ReserveState::Depleted,
            ReserveState::Fault => power::ReserveState::Fault,
            ReserveState::Unknown => power::ReserveState::Unknown,
        },
        age_millis: thing
            .seen
            .as_ref()
            .map_or(u32::MAX, |seen| millis32(seen.age(now))),
        fan_out: facts.fan_out,
        source: match reading.map(|reading| reading.source) {
            Some(FigureSource::Measured) => power::EnergySource::Measured,
            Some(FigureSource::Estimated) => power::EnergySource::Estimated,
            Some(FigureSource::Configured) | None => power::EnergySource::Configured,
        },
        simulated: facts.simulated,
    }
}

fn line(
    instance: InstanceId,
    name: &power_policy::model::Name,
    thing: &facts::Thing<facts::LineFacts, facts::LineReading>,
) -> Line {
    let facts = &thing.facts;
    Line {
        instance,
        name: wire_name(name),
        milliwatts: facts.milliwatts,
        efficiency_permille: power::Permille::clamped(facts.efficiency_permille),
        switch_millis: facts.switch_millis,
        mode: match facts.mode {
            LineMode::Shared => power::LineMode::Shared,
            LineMode::Exclusive => power::LineMode::Exclusive,
        },
        changeover: match facts.changeover {
            Changeover::Parallel => power::Changeover::Parallel,
            Changeover::Ats => power::Changeover::Ats,
            Changeover::Bridge => power::Changeover::Bridge,
        },
        role: role(facts.role),
        state: match thing.reading().map(|reading| reading.state) {
            Some(LineState::Open) => power::LineState::Open,
            Some(LineState::Closed) => power::LineState::Closed,
            Some(LineState::Moving) => power::LineState::Moving,
            // A line that nobody has read is not known to be in order.
            Some(LineState::Fault) | None => power::LineState::Fault,
        },
        simulated: facts.simulated,
    }
}

fn activity(
    instance: InstanceId,
    key: &facts::ActivityKey,
    thing: &facts::Thing<facts::ActivityFacts, facts::ActivityReading>,
) -> Activity {
    let facts = &thing.facts;
    let reading = thing.reading();
    // What must not be touched is a fixed load: the plan must know.
    let is_free = reading.is_none_or(|reading| reading.denied.is_none());
    Activity {
        instance,
        name: wire_name(&key.activity),
        server: wire_name(&key.server),
        set: facts.set.as_ref().map(wire_name),
        data_type: facts.data_type.as_ref().map(wire_name),
        process: facts.process.as_ref().map(wire_name),
        qos_class: facts.qos.as_ref().map(wire_name),
        draw_milliwatts: reading
            .and_then(|reading| reading.milliwatts)
            .unwrap_or(facts.milliwatts),
        cpu_millicores: facts.cpu_millicores,
        memory_mebibytes: facts.memory_mebibytes,
        movable: facts.movable && is_free,
        startable: facts.startable && is_free,
        restartable: facts.restartable && facts.stoppable && is_free,
        move_millis: facts.move_millis,
        move_joules: facts.move_joules,
        stop_millis: facts.stop_millis,
        stop_joules: facts.stop_joules,
        state: match reading.map(|reading| reading.state) {
            Some(ActivityState::Running) => power::ActivityState::Running,
            Some(ActivityState::Stopped) => power::ActivityState::Stopped,
            Some(ActivityState::Starting) => power::ActivityState::Starting,
            Some(ActivityState::Stopping) => power::ActivityState::Stopping,
            Some(ActivityState::Failed) => power::ActivityState::Failed,
            Some(ActivityState::Absent) | None => power::ActivityState::Absent,
        },
    }
}

fn role(role: facts::Role) -> power::Role {
    match role {
        facts::Role::Custodian => power::Role::Custodian,
        facts::Role::Witness => power::Role::Witness,
    }
}

fn mains(mains: Mains) -> power::Mains {
    match mains {
        Mains::Present => power::Mains::Present,
        Mains::Absent => power::Mains::Absent,
        Mains::Unstable => power::Mains::Unstable,
        Mains::Unknown => power::Mains::Unknown,
    }
}

fn outcome(outcome: Outcome) -> power::Outcome {
    match outcome {
        Outcome::Started => power::Outcome::Started,
        Outcome::Done => power::Outcome::Done,
        Outcome::Failed => power::Outcome::Failed,
        Outcome::Refused => power::Outcome::Refused,
        Outcome::TimedOut => power::Outcome::TimedOut,
    }
}
