//! What this agent can take into a plan at all, by its own file.

use power_policy::model::Name;
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
                // Every plan ends with the halts of the servers whose energy ends, whoever could start them again; when
                // one is due, `halt_fault` looks at it. Refused here, it would take the rest of the plan with it.
                HostState::Off => thing.facts.role == Role::Custodian,
            };
            (!permitted).then_some(StepFault::Denied)
        }
    }
}

/// Why a server must not go off now, although the plan that says so is installed.
///
/// It may where its starter brings it back and nothing is in its agent's custody. Otherwise only without mains, as the
/// clean end of its own energy; and never while its agent is the custodian of a line, which nobody would switch any
/// more.
pub(super) fn halt_fault(inventory: &Inventory, server: &Name, is_mains_lost: bool) -> Option<&'static str> {
    let thing = inventory.servers.get(server)?;
    let keeps = |role: &Role| *role == Role::Custodian;
    let keeps_line = inventory.lines.values().any(|thing| keeps(&thing.facts.role));
    let keeps_reserve = inventory.reserves.values().any(|thing| keeps(&thing.facts.role));
    let comes_back = thing.facts.starter.is_some() && !keeps_reserve;
    if keeps_line {
        Some("it stays on: nobody else would switch the lines in its agent's custody")
    } else if !comes_back && !is_mains_lost {
        Some(
            "it stays on while it has mains: no starter is named, or its agent is the custodian of a reserve",
        )
    } else {
        None
    }
}
