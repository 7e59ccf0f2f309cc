//! Plans as a test writes them.

use cops_codec::client_type::Row;
use cops_codec::client_type::framework::{AdminString, Longevity, PibIncarnation};
use cops_codec::client_type::power::{
    self, Action, Cause, Divert, Host, HostState, Plan, PlanVersion, Scope, Stage, Trigger, Verb,
};
use cops_codec::client_type::store::{build, digest};
use cops_codec::message::Decision;
use cops_codec::provisioning::{InstanceId, ReferenceId};
use cops_codec::wire::Context;

pub(crate) fn name(text: &str) -> power::Name {
    power::Name::new(text).unwrap()
}

fn id(number: u32) -> InstanceId {
    InstanceId::new(number).unwrap()
}

/// A plan with one step a stage, stages from 0 on.
#[derive(Debug, Clone, Default)]
pub(crate) struct TestPlan {
    rows: Vec<Row>,
    stages: u32,
}

impl TestPlan {
    fn stage(&mut self) -> ReferenceId {
        self.stages += 1;
        let order = self.stages - 1;
        let stage = Stage {
            instance: id(self.stages),
            order,
            trigger: Trigger::Released,
            threshold: 0,
            local: false,
        };
        self.rows.push(stage.into());
        ReferenceId(id(self.stages))
    }

    pub(crate) fn activity(mut self, activity: &str, server: &str, verb: Verb) -> Self {
        let stage = self.stage();
        let row = Action {
            instance: stage.0,
            stage,
            activity: name(activity),
            verb,
            peer: None,
            milliwatts: 0,
            server: name(server),
        };
        self.rows.push(row.into());
        self
    }

    pub(crate) fn divert(mut self, line: &str, reserve: &str, server: &str, milliwatts: u32) -> Self {
        let stage = self.stage();
        let (reserve, server) = (Some(name(reserve)), Some(name(server)));
        self.rows.push(
            Divert {
                instance: stage.0,
                stage,
                line: name(line),
                reserve,
                server,
                milliwatts,
            }
            .into(),
        );
        self
    }

    pub(crate) fn host(mut self, server: &str, state: HostState) -> Self {
        let stage = self.stage();
        self.rows.push(
            Host {
                instance: stage.0,
                stage,
                server: name(server),
                state,
            }
            .into(),
        );
        self
    }

    /// The whole configuration, with the stages up to `released`.
    pub(crate) fn decisions(&self, generation: u64, released: u32) -> Vec<Decision> {
        let arcs = [power::Arc::Policy, power::Arc::Plans];
        let removed = build::remove_arcs(arcs).into_iter();
        let mut decisions: Vec<Decision> = removed
            .map(|contents| Decision::remove(Context::CONFIGURATION, contents))
            .collect();
        let incarnation = PibIncarnation {
            name: AdminString::new("pdp1").unwrap(),
            id: PlanVersion { term: 1, generation }.to_octets(),
            active: true,
            full_state: false,
            ..PibIncarnation::opening(Longevity::ExpireOnTimeout, 86_400)
        };
        let mut rows = vec![incarnation.into(), self.row(generation, released)];
        rows.extend(self.rows.iter().cloned());
        decisions.extend(install(&rows));
        decisions
    }

    /// The plan's row alone: a release.
    pub(crate) fn release(&self, generation: u64, released: u32) -> Vec<Decision> {
        install(&[self.row(generation, released)])
    }

    fn row(&self, generation: u64, released_stage: u32) -> Row {
        Plan {
            instance: id(1),
            term: 1,
            generation,
            cause: Cause::Command,
            scope: Scope::Cluster,
            released_stage,
            digest: digest(&self.rows),
        }
        .into()
    }
}

fn install(rows: &[Row]) -> Vec<Decision> {
    let contents = build::contents(rows).into_iter();
    contents
        .map(|contents| Decision::install(Context::CONFIGURATION, contents))
        .collect()
}
