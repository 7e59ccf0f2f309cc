use cops_codec::client_type::Row;
use cops_codec::client_type::power as wire;
use power_policy::grouping::{Grouping, GroupingPolicy};
use power_policy::model::{Cause, Name, Scope};
use power_policy::plan::{HostState, StepKind, Trigger};

use super::*;
use crate::engine::slice::{Slice, SliceStage, SliceStep, StepClass, StepKey};

fn site() -> Site {
    let policy = GroupingPolicy::default();
    let grouping = Grouping::new(policy.clone()).unwrap();
    Site::new("pdp1", 86_400, &policy, &grouping)
}

fn model_name(text: &str) -> Name {
    Name::new(text).unwrap()
}

fn slice(trigger: Trigger, local: bool) -> Slice {
    let step = |instance, class, kind| SliceStep {
        key: StepKey { class, instance },
        kind,
    };
    Slice {
        cause: Cause::DomainMains,
        scope: Scope::Cluster,
        stages: vec![SliceStage {
            order: 1,
            trigger,
            local,
            steps: vec![
                step(
                    1,
                    StepClass::Divert,
                    StepKind::Divert {
                        line: model_name("tie"),
                        reserve: model_name("ups"),
                        server: model_name("n1"),
                        milliwatts: 5_000_000_000,
                    },
                ),
                step(
                    1,
                    StepClass::Host,
                    StepKind::Host {
                        server: model_name("n2"),
                        state: HostState::Standby,
                    },
                ),
            ],
        }],
    }
}

#[test]
fn a_slice_becomes_rows_that_name_their_steps() {
    let rows = site().rows(&slice(Trigger::AfterResults, false));
    let diverts: Vec<&wire::Divert> = rows
        .iter()
        .filter_map(cops_codec::client_type::TypedRow::from_row)
        .collect();
    assert_eq!(diverts.len(), 1);
    // 32 bits on the wire: the largest value, and not what is left of it.
    assert_eq!(diverts[0].milliwatts, u32::MAX);
    let id = Row::from(diverts[0].clone()).id();
    assert_eq!(
        step_key(&id.prid()),
        Some(StepKey {
            class: StepClass::Divert,
            instance: 1
        })
    );
}

#[test]
fn only_local_stages_carry_what_releases_them() {
    let below = || Trigger::ChargeBelow {
        reserves: vec![model_name("ups")],
        millijoules: 1_001,
    };
    let stage = |local| -> wire::Stage {
        let rows = site().rows(&slice(below(), local));
        rows.iter()
            .find_map(cops_codec::client_type::TypedRow::from_row)
            .cloned()
            .unwrap()
    };
    assert_eq!(
        (stage(false).trigger, stage(false).threshold),
        (wire::Trigger::Released, 0)
    );
    // Rounded up: rather a joule early than late.
    assert_eq!(
        (stage(true).trigger, stage(true).threshold),
        (wire::Trigger::ReserveBelowJoules, 2)
    );
}

#[test]
fn the_digest_follows_the_rows() {
    let one = digest(&site(), &slice(Trigger::AfterResults, false));
    assert_eq!(one, digest(&site(), &slice(Trigger::AfterResults, false)));
    assert_ne!(one, digest(&site(), &slice(Trigger::AfterResults, true)));
}
