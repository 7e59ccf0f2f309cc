//! The planner harness in short form, so that it does not rot: it measures what the prototype measured, and nothing that
//! is lived is above a bound. `cargo bench -p system-tests --bench planner_quality` tells how near the planner comes.
#![allow(clippy::unwrap_used)]

use power_policy::model::Mode;
use system_tests::harness::baselines::{self, Baseline};
use system_tests::harness::fixture::{Solved, solved};
use system_tests::harness::instance::{Scenario, Shape};
use system_tests::harness::lives::until_millis;
use system_tests::harness::outlook::{Outlook, Prior};
use system_tests::harness::{bounds, cluster, generate, quality, scaling};

/// Instances that are looked at here: a few of each shape and scenario.
fn few(step: usize) -> Vec<Solved> {
    solved().unwrap().into_iter().step_by(step).collect()
}

#[test]
fn there_are_252_solved_instances() {
    let all = solved().unwrap();
    assert_eq!(all.len(), 252);
    for shape in Shape::ALL {
        for (scenario, count) in [(Scenario::A, 60), (Scenario::B, 24)] {
            let of = |s: &&Solved| s.instance.shape == shape && s.instance.scenario == scenario;
            assert_eq!(all.iter().filter(of).count(), count, "{scenario} {shape}");
        }
    }
    for s in &all {
        assert_eq!(s.instance.servers.len(), 12, "{}", s.instance);
        assert!(s.instance.sets.iter().any(|a| a.class == 0), "{}", s.instance);
    }
}

/// The prototype gave up its search for the least whole servers at a gap of 0.1 % or after three seconds, so its bound may
/// be above this one, where the search is complete.
#[test]
fn the_survival_bound_is_the_prototypes() {
    for Solved {
        instance, survive, ..
    } in few(12)
    {
        let ours = bounds::prototype::survive(&instance).unwrap() / survive;
        assert!(ours < 1.0 + 2e-5, "{instance}: {ours}");
        let least = if instance.scenario == Scenario::A {
            0.9985
        } else {
            0.99
        };
        assert!(ours > least, "{instance}: {ours}");
    }
}

#[test]
fn the_service_bound_is_the_prototypes() {
    let outlook = Outlook::new(Prior::Lognormal);
    for Solved {
        instance, weighted, ..
    } in few(250)
    {
        let ours = bounds::prototype::weighted(&instance, &outlook).unwrap() / weighted;
        assert!((ours - 1.0).abs() < 2e-5, "{instance}: {ours}");
    }
}

/// On the plant the baselines come to what they came to in the prototype's simulator: the plant does not measure
/// something else. That one took steps of 20 s, which B0 feels where a reserve runs out within one.
#[test]
fn the_baselines_do_on_the_plant_what_they_did_in_the_prototypes_simulator() {
    let outlook = Outlook::new(Prior::Lognormal);
    for s in few(9) {
        let z = &s.instance;
        let snapshot = cluster::snapshot(z, true, None).unwrap();
        for (rule, then, tolerance) in [
            (Baseline::Nothing, s.reached[0], 0.012),
            (Baseline::LowBattery, s.reached[1], 0.005),
            (Baseline::Thresholds, s.reached[2], 0.005),
        ] {
            let life = baselines::live(z, &snapshot, rule, until_millis(z, Mode::Survive)).unwrap();
            let service = life.service(z, &outlook) / s.weighted;
            let survival = life.survival(z) / s.survive;
            assert!(
                (service - then.weighted).abs() < tolerance,
                "{z}: {rule:?}: {service} for {}",
                then.weighted
            );
            assert!(
                (survival - then.survive).abs() < tolerance,
                "{z}: {rule:?}: {survival} for {}",
                then.survive
            );
            assert!(
                life.dirty.abs_diff(then.dirty[0]) <= 2,
                "{z}: {rule:?}: {} dirty",
                life.dirty
            );
        }
    }
}

/// Fresh instances, small enough for all four bounds.
#[test]
fn nothing_that_is_lived_is_above_a_bound() {
    for (scenario, shape, seed) in [
        (Scenario::A, Shape::Crossbar, 3),
        (Scenario::B, Shape::Rack, 4),
        (Scenario::Real, Shape::Ring, 7),
    ] {
        let z = generate::generate(scenario, shape, 4, seed);
        let case = quality::judge(&z, quality::Effort::Full).unwrap();
        assert_eq!(case.above_a_bound(), Vec::<String>::new());
        assert!(case.bounds.tight_survive <= case.bounds.survive, "{z}");
        let planner = case.scores[quality::PLANNER];
        assert!(
            planner.survival > 0.0 && planner.service > 0.0,
            "{z}: {planner:?}"
        );
        if shape == Shape::Crossbar {
            assert_eq!(planner.unexcused, [0, 0], "{z}: stopped dirty");
        }
    }
}

#[test]
fn a_bound_below_what_was_lived_is_told() {
    let z = generate::generate(Scenario::A, Shape::Crossbar, 4, 1);
    let mut case = quality::judge(&z, quality::Effort::NoTightService).unwrap();
    let planner = case.scores[quality::PLANNER];
    assert!(planner.clean[0], "{z}: {planner:?}");
    case.bounds.tight_survive = planner.survival * 0.99;
    assert!(!case.above_a_bound().is_empty());
}

#[test]
fn every_size_is_timed_or_said_to_be_too_long() {
    let timings = scaling::timings(Shape::Rack, &[10, 20], 1).unwrap();
    assert!(timings.iter().all(|t| t.took.is_some()));
    assert!(timings[1].exponent.is_some());
}
