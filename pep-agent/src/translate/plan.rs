//! The plan of a context, from the rows that are installed.

use cops_codec::client_type::power::{self, Action, Divert, Host, Intake};
use cops_codec::client_type::store::InForce;
use cops_codec::provisioning::InstanceId;
use power_policy::model::Cause;
use power_policy::plan::{HostState, Verb};

use super::model_name;
use crate::engine::{HeldPlan, Stage, StageTrigger, Step, StepClass, StepId, StepKind};

/// The plan that is in force in a context, as the engine holds it.
///
/// Steps of a stage keep the order of the wire: lines first, then intakes, activities and hosts, each by instance. What
/// can give power comes before what takes work away, and a host last.
pub fn held_plan(in_force: &InForce<'_>) -> HeldPlan {
    let plan = in_force.plan();
    let stages = in_force
        .stages()
        .into_iter()
        .map(|stage| {
            let number = stage.instance;
            let mut steps: Vec<Step> = in_force.diverts(number).map(divert).collect();
            steps.extend(in_force.intakes(number).map(intake));
            steps.extend(in_force.actions(number).map(action));
            steps.extend(in_force.hosts(number).map(host));
            Stage {
                order: stage.order,
                trigger: match stage.trigger {
                    power::Trigger::Released => StageTrigger::Released,
                    power::Trigger::MainsLost => StageTrigger::MainsLost,
                    power::Trigger::ElapsedMillis => StageTrigger::ElapsedMillis(stage.threshold),
                    power::Trigger::ReserveBelowJoules => StageTrigger::ReserveBelowJoules(stage.threshold),
                    power::Trigger::MainsBack => StageTrigger::MainsBack,
                },
                local: stage.local,
                steps,
            }
        })
        .collect();
    HeldPlan {
        term: plan.term,
        generation: plan.generation,
        cause: match plan.cause {
            power::Cause::Standing => Cause::Standing,
            power::Cause::ServerMains => Cause::ServerMains,
            power::Cause::DomainMains => Cause::DomainMains,
            power::Cause::Command => Cause::Command,
            power::Cause::Drill => Cause::Drill,
            power::Cause::Restoration => Cause::Restoration,
        },
        stages,
    }
}

fn id(class: StepClass, instance: InstanceId) -> StepId {
    StepId {
        class,
        instance: instance.get(),
    }
}

fn action(row: &Action) -> Step {
    let kind = StepKind::Activity {
        activity: model_name(&row.activity),
        server: model_name(&row.server),
        verb: match row.verb {
            power::Verb::Run => Verb::Run,
            power::Verb::Cap => Verb::Cap,
            power::Verb::Stop => Verb::Stop,
            power::Verb::Start => Verb::Start,
            power::Verb::MoveOut => Verb::MoveOut,
            power::Verb::TakeIn => Verb::TakeIn,
        },
        peer: row.peer.as_ref().map(model_name),
        milliwatts: row.milliwatts,
    };
    Step {
        id: id(StepClass::Action, row.instance),
        kind,
    }
}

fn divert(row: &Divert) -> Step {
    let kind = StepKind::Divert {
        line: model_name(&row.line),
        reserve: row.reserve.as_ref().map(model_name),
        server: row.server.as_ref().map(model_name),
        milliwatts: row.milliwatts,
    };
    Step {
        id: id(StepClass::Divert, row.instance),
        kind,
    }
}

fn intake(row: &Intake) -> Step {
    let kind = StepKind::Intake {
        server: model_name(&row.server),
        reserve: model_name(&row.reserve),
        line: row.line.as_ref().map(model_name),
        milliwatts: row.milliwatts,
    };
    Step {
        id: id(StepClass::Intake, row.instance),
        kind,
    }
}

fn host(row: &Host) -> Step {
    let state = match row.state {
        power::HostState::On => HostState::On,
        power::HostState::Standby => HostState::Standby,
        power::HostState::Off => HostState::Off,
    };
    Step {
        id: id(StepClass::Host, row.instance),
        kind: StepKind::Host {
            server: model_name(&row.server),
            state,
        },
    }
}
