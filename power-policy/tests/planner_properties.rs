//! What holds for every plan, on generated clusters.
#![allow(clippy::unwrap_used)]

mod common;

use common::executor::plant_of;
use common::generate::{MATRICES, Traits, generate};
use common::*;
use power_policy::model::*;
use power_policy::plan::{Plan, StepKind, Trigger};
use power_policy::planner::plan;
use proptest::prelude::*;

fn traits() -> impl Strategy<Value = Traits> {
    (
        any::<u64>(),
        1_usize..=20,
        0..MATRICES.len(),
        any::<bool>(),
        any::<bool>(),
    )
        .prop_map(|(seed, servers, matrix, rough, partial)| Traits {
            seed,
            servers,
            matrix: MATRICES[matrix],
            rough,
            partial,
        })
}

/// The plan with every name put through `rename`, and without the texts.
fn renamed(plan: &Plan, rename: &dyn Fn(&Name) -> Name) -> Vec<(u32, Trigger, Vec<StepKind>)> {
    let list = |names: &[Name]| {
        let mut names: Vec<Name> = names.iter().map(rename).collect();
        names.sort();
        names
    };
    let kind = |k: &StepKind| match k.clone() {
        StepKind::Divert {
            line,
            reserve,
            server,
            milliwatts,
        } => StepKind::Divert {
            line: rename(&line),
            reserve: rename(&reserve),
            server: rename(&server),
            milliwatts,
        },
        StepKind::Intake {
            server,
            reserve,
            line,
            milliwatts,
        } => StepKind::Intake {
            server: rename(&server),
            reserve: rename(&reserve),
            line: line.as_ref().map(rename),
            milliwatts,
        },
        StepKind::Activity {
            activity,
            server,
            verb,
            peer,
            milliwatts,
        } => StepKind::Activity {
            activity: rename(&activity),
            server: rename(&server),
            verb,
            peer: peer.as_ref().map(rename),
            milliwatts,
        },
        StepKind::Host { server, state } => StepKind::Host {
            server: rename(&server),
            state,
        },
    };
    let trigger = |t: &Trigger| match t.clone() {
        Trigger::ChargeBelow {
            reserves,
            millijoules,
        } => Trigger::ChargeBelow {
            reserves: list(&reserves),
            millijoules,
        },
        Trigger::ChargeAbove {
            reserves,
            millijoules,
        } => Trigger::ChargeAbove {
            reserves: list(&reserves),
            millijoules,
        },
        other => other,
    };
    plan.stages
        .iter()
        .map(|s| {
            (
                s.order,
                trigger(&s.trigger),
                s.steps.iter().map(|x| kind(&x.kind)).collect(),
            )
        })
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, rng_seed: proptest::test_runner::RngSeed::Fixed(7), ..ProptestConfig::default() })]

    /// The same snapshot gives the same plan, and planning again with nothing changed asks for nothing new.
    #[test]
    fn deterministic_and_idempotent(traits in traits()) {
        let snapshot = generate(&traits).build();
        let policy = PowerPolicy::default();
        let first = plan(&snapshot, None, &policy);
        prop_assert_eq!(&plan(&snapshot, None, &policy), &first);
        prop_assert_eq!(&plan(&snapshot, Some(&first), &policy), &first);
    }

    /// Names matter only by their order.
    #[test]
    fn a_relabelled_cluster_gives_the_relabelled_plan(traits in traits()) {
        let rename = |n: &Name| name(&format!("x-{n}-y"));
        let spec = generate(&traits);
        let snapshot = spec.build();
        let mut other = snapshot.clone();
        other.servers.iter_mut().for_each(|s| {
            s.name = rename(&s.name);
            s.pep = s.pep.as_ref().map(rename);
            s.starter = s.starter.as_ref().map(rename);
        });
        other.reserves.iter_mut().for_each(|r| {
            r.name = rename(&r.name);
            r.pep = r.pep.as_ref().map(rename);
        });
        other.lines.iter_mut().for_each(|l| {
            l.name = rename(&l.name);
            l.pep = l.pep.as_ref().map(rename);
        });
        other.activities.iter_mut().for_each(|a| a.name = rename(&a.name));
        other.sets.iter_mut().for_each(|s| s.name = rename(&s.name));
        other.domains.iter_mut().for_each(|d| d.name = rename(&d.name));
        if let Some(Scope::Domains(list)) = other.outage.as_mut().map(|o| &mut o.scope) {
            list.iter_mut().for_each(|d| *d = rename(d));
        }
        let policy = PowerPolicy::default();
        let expected = renamed(&plan(&snapshot, None, &policy), &rename);
        let found = renamed(&plan(&other, None, &policy), &|n| n.clone());
        prop_assert_eq!(found, expected);
    }

    /// Twice the watts and twice the joules last as long, within a tenth: what is too small to switch for, or to plan on,
    /// has an absolute size.
    #[test]
    fn scaling_watts_and_joules_changes_no_time(traits in traits()) {
        let snapshot = generate(&Traits { rough: false, ..traits }).build();
        let mut double = snapshot.clone();
        for s in &mut double.servers {
            s.idle_milliwatts *= 2;
            s.peak_milliwatts *= 2;
            s.inlets.iter_mut().for_each(|i| i.max_milliwatts *= 2);
        }
        for r in &mut double.reserves {
            r.capacity_millijoules *= 2;
            r.charge_millijoules *= 2;
            r.cutoff_millijoules *= 2;
            r.max_discharge_milliwatts *= 2;
        }
        double.lines.iter_mut().for_each(|l| l.max_milliwatts *= 2);
        for a in &mut double.activities {
            a.draw_milliwatts *= 2;
            a.move_millijoules *= 2;
        }
        let policy = PowerPolicy::default();
        let (one, two) = (plan(&snapshot, None, &policy), plan(&double, None, &policy));
        for (a, b) in one.classes.iter().zip(&two.classes) {
            let (a, b) = (a.ride_through_millis, b.ride_through_millis);
            let close = match (a, b) {
                (Some(a), Some(b)) => a.abs_diff(b) <= 30_000 + a / 10,
                (a, b) => a == b,
            };
            prop_assert!(close, "{a:?} {b:?}");
        }
    }

    /// No snapshot makes it panic, whatever the phase.
    #[test]
    fn total(traits in traits(), phase in 0..5_usize, elapsed in any::<u64>(), noise in any::<u64>()) {
        let mut snapshot = generate(&traits).build();
        let phases = [Phase::Normal, Phase::Debounce, Phase::Interrupted, Phase::MainsGood, Phase::Restoring];
        if let Some(outage) = &mut snapshot.outage {
            outage.phase = phases[phase];
            outage.elapsed_millis = elapsed;
        }
        for (i, a) in snapshot.activities.iter_mut().enumerate() {
            match noise.rotate_left(i as u32) % 7 {
                0 => a.draw_milliwatts = noise,
                1 => a.state = ActivityState::Failed,
                2 => a.stop_millis = noise,
                3 => (a.state, a.shed) = (ActivityState::Stopped, true),
                4 => a.copies = a.startable_on.iter().copied().take(1).filter(|s| *s != a.host).collect(),
                _ => {}
            }
        }
        for (i, r) in snapshot.reserves.iter_mut().enumerate() {
            match noise.rotate_right(i as u32) % 5 {
                0 => r.charge_millijoules = noise,
                1 => r.efficiency_permille = 0,
                2 => r.cutoff_millijoules = u64::MAX,
                _ => {}
            }
        }
        let policy = PowerPolicy::default();
        let first = plan(&snapshot, None, &policy);
        prop_assert_eq!(&plan(&snapshot, None, &policy), &first);
    }
}

#[test]
fn the_plant_takes_what_the_generator_makes() {
    let traits = Traits {
        seed: 1,
        servers: 9,
        matrix: MATRICES[3],
        rough: true,
        partial: false,
    };
    assert_eq!(plant_of(&generate(&traits), 0).server_names().count(), 9);
}
