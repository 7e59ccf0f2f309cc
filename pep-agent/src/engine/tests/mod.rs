//! The engine, fed and drained by hand.

mod local;
mod stages;

use power_policy::model::{
    Cause, Changeover, Chemistry, FigureSource, LineMode, LineState, Mains, Name, Powered, ReserveState,
};
use power_policy::plan::{HostState, Verb};

use super::facts::*;
use super::*;

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

fn key(activity: &str) -> ActivityKey {
    ActivityKey {
        activity: name(activity),
        server: name("srv1"),
    }
}

fn activity(stop_millis: u32) -> ActivityFacts {
    ActivityFacts {
        set: None,
        data_type: None,
        process: None,
        qos: Some(name("gold")),
        milliwatts: 50_000,
        cpu_millicores: 1_000,
        memory_mebibytes: 512,
        movable: true,
        startable: true,
        stoppable: true,
        restartable: true,
        move_millis: 2_000,
        move_joules: 10,
        stop_millis,
        stop_joules: 100,
        start_millis: 1_000,
    }
}

/// srv1 (idle 100 W) on feedA with its reserve ups1, activities gold and batch, and the line tie.
fn inventory() -> Inventory {
    let mut inventory = Inventory::default();
    inventory.servers.insert(
        name("srv1"),
        Thing::new(ServerFacts {
            role: Role::Custodian,
            idle_milliwatts: 100_000,
            peak_milliwatts: 300_000,
            cpu_millicores: 8_000,
            memory_mebibytes: 16_384,
            boot_millis: 60_000,
            boot_joules: 100,
            halt_millis: 10_000,
            halt_joules: 1_000,
            starter: Some(name("rack1")),
            fan_in: 0,
            simulated: true,
            inlets: vec![InletFacts {
                domain: name("feedA"),
                max_milliwatts: 500_000,
            }],
            can_power: true,
        }),
    );
    inventory.inlets.insert(
        name("feedA"),
        Thing::new(SightFacts {
            witness: Witness::Inlet,
            stale_after_millis: 10_000,
        }),
    );
    inventory
        .activities
        .insert(key("gold"), Thing::new(activity(5_000)));
    inventory
        .activities
        .insert(key("batch"), Thing::new(activity(5_000)));
    inventory
}

fn reserve(role: Role) -> ReserveFacts {
    ReserveFacts {
        role,
        chemistry: Chemistry::LeadAcid,
        capacity_joules: 360_000,
        cutoff_joules: 36_000,
        max_discharge_milliwatts: 500_000,
        efficiency_permille: 900,
        peukert_permille: 1_000,
        fan_out: 0,
        simulated: true,
        feeds: vec![name("srv1")],
        mains: None,
        stale_after_millis: 10_000,
    }
}

fn charge(joules: u64) -> Observation {
    Observation::Reserve(
        name("ups1"),
        ReserveReading {
            charge_joules: Some(joules),
            capacity_joules: None,
            milliwatts: Some(200_000),
            seconds_left: None,
            state: ReserveState::Discharging,
            source: FigureSource::Measured,
            mains: Mains::Absent,
            note: String::new(),
        },
    )
}

fn line() -> LineFacts {
    LineFacts {
        role: Role::Custodian,
        milliwatts: 400_000,
        efficiency_permille: 950,
        switch_millis: 10,
        mode: LineMode::Shared,
        changeover: Changeover::Parallel,
        simulated: true,
        reserves: vec![name("ups1"), name("ups2")],
        servers: vec![name("srv1"), name("srv2")],
    }
}

fn running(activity: &str, state: ActivityState) -> Observation {
    Observation::Activity(
        key(activity),
        ActivityReading {
            state,
            milliwatts: None,
            denied: None,
        },
    )
}

fn engine_of(inventory: Inventory, armed: bool) -> Engine {
    let mut engine = Engine::new(EngineSettings::default(), inventory, armed, None);
    engine.set_connected(0, true);
    engine.observe(0, 0, running("gold", ActivityState::Running));
    engine.observe(0, 0, running("batch", ActivityState::Running));
    engine.observe(0, 0, Observation::Inlet(name("feedA"), Mains::Present));
    engine
}

fn engine() -> Engine {
    engine_of(inventory(), true)
}

fn act(instance: u32, activity: &str, verb: Verb) -> Step {
    Step {
        id: StepId {
            class: StepClass::Action,
            instance,
        },
        kind: StepKind::Activity {
            activity: name(activity),
            server: name("srv1"),
            verb,
            peer: None,
            milliwatts: 0,
        },
    }
}

fn host(instance: u32, state: HostState) -> Step {
    Step {
        id: StepId {
            class: StepClass::Host,
            instance,
        },
        kind: StepKind::Host {
            server: name("srv1"),
            state,
        },
    }
}

fn divert(instance: u32, line: &str, reserve: &str, milliwatts: u32) -> Step {
    Step {
        id: StepId {
            class: StepClass::Divert,
            instance,
        },
        kind: StepKind::Divert {
            line: name(line),
            reserve: Some(name(reserve)),
            server: Some(name("srv2")),
            milliwatts,
        },
    }
}

fn stage(order: u32, steps: Vec<Step>) -> Stage {
    Stage {
        order,
        trigger: StageTrigger::Released,
        local: false,
        steps,
    }
}

fn local(order: u32, trigger: StageTrigger, steps: Vec<Step>) -> Stage {
    Stage {
        order,
        trigger,
        local: true,
        steps,
    }
}

fn plan(generation: u64, stages: Vec<Stage>) -> HeldPlan {
    HeldPlan {
        term: 1,
        generation,
        cause: Cause::DomainMains,
        stages,
    }
}

fn stop(activity: &str) -> ActionKind {
    ActionKind::Stop {
        activity: key(activity),
        moved: false,
    }
}

fn start(activity: &str) -> ActionKind {
    ActionKind::Start {
        activity: key(activity),
        moved: false,
    }
}

fn kinds(engine: &mut Engine) -> Vec<ActionKind> {
    std::iter::from_fn(|| engine.poll_action())
        .map(|action| action.kind)
        .collect()
}

fn ids(engine: &mut Engine) -> Vec<ActionId> {
    std::iter::from_fn(|| engine.poll_action())
        .map(|action| action.id)
        .collect()
}

/// Outcomes by stage and instance, as text.
fn outcomes(engine: &Engine) -> Vec<String> {
    engine
        .results()
        .iter()
        .map(|r| {
            format!(
                "{} {} {:?} {}",
                r.stage, r.step, r.record.outcome, r.record.millis
            )
        })
        .collect()
}

fn finish(engine: &mut Engine, now: Millis, id: ActionId, activity: &str, state: ActivityState) {
    engine.observe(now, now, running(activity, state));
    engine.handle_action_result(now, id, ActionOutcome::Done(String::new()));
}

fn intake(instance: u32, milliwatts: u32) -> Step {
    Step {
        id: StepId {
            class: StepClass::Intake,
            instance,
        },
        kind: StepKind::Intake {
            server: name("srv1"),
            reserve: name("ups2"),
            line: Some(name("tie")),
            milliwatts,
        },
    }
}

/// Cut off, without mains, the own reserve as good as empty, and giving what it can.
fn starving(stages: Vec<Stage>) -> Engine {
    let mut inventory = inventory();
    inventory
        .reserves
        .insert(name("ups1"), Thing::new(reserve(Role::Witness)));
    let mut engine = engine_of(inventory, true);
    engine.install(0, plan(1, stages), Some(0));
    engine.set_connected(0, false);
    engine.observe(0, 0, Observation::Inlet(name("feedA"), Mains::Absent));
    engine.observe(1, 1, charge(36_001));
    engine
}
