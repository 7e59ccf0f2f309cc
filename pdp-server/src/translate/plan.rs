//! Slices of plans, and the site's sets and rules, as rows to install.

use cops_codec::client_type::feedback::{FeedbackAction, FeedbackLink, Indicator};
use cops_codec::client_type::framework::{AdminString, Longevity, PibIncarnation};
use cops_codec::client_type::power as wire;
use cops_codec::client_type::store;
use cops_codec::client_type::{Class, Digest, Row};
use cops_codec::provisioning::{InstanceId, ReferenceId};
use power_policy::grouping::{Grouping, GroupingPolicy, MatchOn};
use power_policy::model::{Cause, Scope};
use power_policy::plan::{HostState, StepKind, Trigger, Verb};

use super::{wire_milliwatts, wire_name};
use crate::engine::Assignment;
use crate::engine::slice::{Slice, SliceStage};

/// What the site's file gives every PEP alike: sets, grouping rules, and which readings are wanted.
#[derive(Debug, Clone)]
pub struct Site {
    name: AdminString,
    plan_lifetime_seconds: u32,
    rows: Vec<Row>,
}

impl Site {
    /// The rows of arc 3, from a policy and what became of it.
    pub fn new(name: &str, plan_lifetime_seconds: u32, policy: &GroupingPolicy, grouping: &Grouping) -> Self {
        let mut rows: Vec<Row> = Vec::new();
        for (instance, set) in instances().zip(grouping.sets()) {
            let Some(set_name) = wire_name(&set.name) else {
                continue;
            };
            rows.push(Row::from(wire::Set {
                instance,
                name: set_name,
                priority: set.priority,
                // For ever is the longest time that the attribute can say.
                ride_through_seconds: set
                    .target_millis
                    .map_or(u32::MAX, |t| u32::try_from(t / 1000).unwrap_or(u32::MAX)),
                weight: set.weight,
            }));
        }
        for (instance, rule) in instances().zip(&policy.rules) {
            let at = grouping.sets().binary_search_by(|s| s.name.cmp(&rule.set)).ok();
            let Some(set) = at.and_then(instance_at) else {
                continue;
            };
            rows.push(Row::from(wire::Grouping {
                instance,
                order: instance.get(),
                match_on: match rule.on {
                    MatchOn::Any => wire::Match::Any,
                    MatchOn::Name => wire::Match::Name,
                    MatchOn::DataType => wire::Match::DataType,
                    MatchOn::Process => wire::Match::Process,
                    MatchOn::QosClass => wire::Match::QosClass,
                },
                pattern: wire::Text::lossy(rule.pattern.as_str()),
                set: ReferenceId(set),
            }));
        }
        for (instance, kind) in instances().zip([wire::ReadingKind::Reserve, wire::ReadingKind::Server]) {
            rows.push(Row::from(wire::ReadingSel {
                instance,
                kind,
                pattern: wire::Text::lossy("*"),
            }));
        }
        Self {
            name: AdminString::new(name).unwrap_or_else(AdminString::empty),
            plan_lifetime_seconds,
            rows,
        }
    }

    /// How what is selected is read: once in each interval of the Accounting Timer (RFC 3571). No part of the digest.
    pub fn feedback_rows(&self) -> Vec<Row> {
        let mut rows: Vec<Row> = self
            .rows
            .iter()
            .filter_map(|row| match row {
                Row::ReadingSel(selection) => {
                    let usage = match selection.kind {
                        wire::ReadingKind::Reserve => Class::ReserveReading,
                        wire::ReadingKind::Server => Class::ServerReading,
                    };
                    let link = FeedbackLink::periodic(selection.instance, row.prid(), usage);
                    Some(Row::from(link))
                }
                _ => None,
            })
            .collect();
        rows.push(resume_reports());
        rows
    }

    /// All rows of a context that holds `slice`, but the plan's own.
    pub fn rows(&self, slice: &Slice) -> Vec<Row> {
        let mut rows = self.rows.clone();
        rows.extend(slice_rows(slice));
        rows
    }
}

/// Digest of a context that holds `slice` (`pwrPlanDigest`).
pub fn digest(site: &Site, slice: &Slice) -> [u8; 32] {
    store::digest(&site.rows(slice)).0
}

/// The command that a PEP may report: for one that was away (RFC 3483 section 10), and for whatever was suspended.
pub fn resume_reports() -> Row {
    FeedbackAction::for_all(InstanceId::FIRST, Indicator::Resume).into()
}

/// The row that says whose plan a context holds.
pub fn incarnation(site: &Site, instance: InstanceId, assignment: &Assignment) -> PibIncarnation {
    let version = wire::PlanVersion {
        term: assignment.term,
        generation: assignment.generation,
    };
    PibIncarnation {
        instance,
        name: site.name.clone(),
        id: version.to_octets(),
        longevity: Longevity::ExpireOnTimeout,
        ttl: site.plan_lifetime_seconds,
        in_ctxt_set: true,
        active: true,
        full_state: false,
    }
}

/// The plan's own row.
pub fn assignment(assignment: &Assignment) -> wire::Plan {
    let slice = &assignment.slice;
    wire::Plan {
        instance: InstanceId::FIRST,
        term: assignment.term,
        generation: assignment.generation,
        cause: match slice.cause {
            Cause::Standing => wire::Cause::Standing,
            Cause::ServerMains => wire::Cause::ServerMains,
            Cause::DomainMains => wire::Cause::DomainMains,
            Cause::Command => wire::Cause::Command,
            Cause::Drill => wire::Cause::Drill,
            Cause::Restoration => wire::Cause::Restoration,
        },
        scope: match (&slice.cause, &slice.scope) {
            (Cause::Standing, _) => wire::Scope::Standing,
            (_, Scope::Cluster) => wire::Scope::Cluster,
            (_, Scope::Domains(_) | Scope::Servers(_)) => wire::Scope::OwnDomain,
        },
        released_stage: assignment.released_stage,
        digest: Digest(assignment.digest),
    }
}

fn slice_rows(slice: &Slice) -> Vec<Row> {
    let mut rows = Vec::new();
    for (instance, stage) in instances().zip(&slice.stages) {
        let (trigger, threshold) = trigger(stage);
        rows.push(Row::from(wire::Stage {
            instance,
            order: stage.order,
            trigger,
            threshold,
            local: stage.local,
        }));
        for step in &stage.steps {
            if let Some(number) = InstanceId::new(step.key.instance) {
                rows.extend(step_row(number, ReferenceId(instance), &step.kind));
            }
        }
    }
    rows
}

/// What releases a stage. Only local stages are released by the PEP; for all others the PDP judges the trigger itself
/// and the PEP waits for its word.
fn trigger(stage: &SliceStage) -> (wire::Trigger, u64) {
    if !stage.local {
        return (wire::Trigger::Released, 0);
    }
    match &stage.trigger {
        Trigger::Elapsed { millis } => (wire::Trigger::ElapsedMillis, *millis),
        // Rounded up: rather a joule early than late.
        Trigger::ChargeBelow { millijoules, .. } => {
            (wire::Trigger::ReserveBelowJoules, millijoules.div_ceil(1000))
        }
        Trigger::MainsLost => (wire::Trigger::MainsLost, 0),
        Trigger::AfterResults | Trigger::ChargeAbove { .. } | Trigger::Delay { .. } => {
            (wire::Trigger::Released, 0)
        }
    }
}

fn step_row(instance: InstanceId, stage: ReferenceId, kind: &StepKind) -> Option<Row> {
    Some(match kind {
        StepKind::Activity {
            activity,
            server,
            verb,
            peer,
            milliwatts,
        } => Row::from(wire::Action {
            instance,
            stage,
            activity: wire_name(activity)?,
            verb: match verb {
                Verb::Run => wire::Verb::Run,
                Verb::Cap => wire::Verb::Cap,
                Verb::Stop => wire::Verb::Stop,
                Verb::Start => wire::Verb::Start,
                Verb::MoveOut => wire::Verb::MoveOut,
                Verb::TakeIn => wire::Verb::TakeIn,
            },
            peer: peer.as_ref().and_then(wire_name),
            milliwatts: wire_milliwatts(*milliwatts),
            server: wire_name(server)?,
        }),
        StepKind::Divert {
            line,
            reserve,
            server,
            milliwatts,
        } => Row::from(wire::Divert {
            instance,
            stage,
            line: wire_name(line)?,
            reserve: wire_name(reserve),
            server: wire_name(server),
            milliwatts: wire_milliwatts(*milliwatts),
        }),
        StepKind::Intake {
            server,
            reserve,
            line,
            milliwatts,
        } => Row::from(wire::Intake {
            instance,
            stage,
            server: wire_name(server)?,
            reserve: wire_name(reserve)?,
            line: line.as_ref().and_then(wire_name),
            milliwatts: wire_milliwatts(*milliwatts),
        }),
        StepKind::Host { server, state } => Row::from(wire::Host {
            instance,
            stage,
            server: wire_name(server)?,
            state: match state {
                HostState::On => wire::HostState::On,
                HostState::Standby => wire::HostState::Standby,
                HostState::Off => wire::HostState::Off,
            },
        }),
    })
}

/// Numbers of instances, from 1.
fn instances() -> impl Iterator<Item = InstanceId> {
    (1..).filter_map(InstanceId::new)
}

/// The number that [`instances`] gives the item at `index`.
fn instance_at(index: usize) -> Option<InstanceId> {
    InstanceId::new(u32::try_from(index).ok()?.checked_add(1)?)
}
