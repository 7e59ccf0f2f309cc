//! What this agent can take into a plan at all, by its own file.

use power_policy::plan::{HostState, Verb};

use super::facts::{ActivityKey, Inventory, Role};
use super::{StepFault, StepKind};

/// Why a step's row cannot be installed.
pub(super) fn fault_of(inventory: &Inventory, step: &StepKind) -> Option<StepFault> {
    match step {
        StepKind::Activity {
            activity,
            server,
            verb,
            ..
        } => {
            let key = ActivityKey {
                activity: activity.clone(),
                server: server.clone(),
            };
            let Some(thing) = inventory.activities.get(&key) else {
                return Some(StepFault::UnknownActivity);
            };
            let managed = match verb {
                Verb::Run | Verb::Cap => true,
                Verb::Stop | Verb::MoveOut => thing.facts.stoppable,
                Verb::Start | Verb::TakeIn => thing.facts.startable,
            };
            if thing.reading().is_some_and(|reading| reading.denied.is_some()) {
                Some(StepFault::Denied)
            } else if managed {
                None
            } else {
                Some(StepFault::NotManaged)
            }
        }
        StepKind::Divert {
            line,
            reserve,
            server,
            milliwatts,
        } => {
            let Some(thing) = inventory.lines.get(line) else {
                return Some(StepFault::UnknownLine);
            };
            if thing.facts.role != Role::Custodian {
                return Some(StepFault::NotCustodian);
            }
            let member = reserve
                .as_ref()
                .is_none_or(|name| thing.facts.reserves.contains(name))
                && server
                    .as_ref()
                    .is_none_or(|name| thing.facts.servers.contains(name));
            (!member || *milliwatts > thing.facts.milliwatts).then_some(StepFault::OverLimit)
        }
        StepKind::Intake { server, .. } => {
            (!inventory.servers.contains_key(server)).then_some(StepFault::UnknownServer)
        }
        StepKind::Host { server, state } => {
            let Some(thing) = inventory.servers.get(server) else {
                return Some(StepFault::UnknownServer);
            };
            let permitted = match state {
                HostState::On => thing.facts.can_power,
                HostState::Standby => thing.facts.role == Role::Custodian,
                // A server whose agent is the custodian of a reserve or line goes to standby, never off: nobody would
                // switch that line any more.
                HostState::Off => {
                    thing.facts.role == Role::Custodian
                        && thing.facts.can_power
                        && thing.facts.starter.is_some()
                        && !is_custodian(inventory)
                }
            };
            (!permitted).then_some(StepFault::Denied)
        }
    }
}

fn is_custodian(inventory: &Inventory) -> bool {
    inventory
        .reserves
        .values()
        .any(|thing| thing.facts.role == Role::Custodian)
        || inventory
            .lines
            .values()
            .any(|thing| thing.facts.role == Role::Custodian)
}
