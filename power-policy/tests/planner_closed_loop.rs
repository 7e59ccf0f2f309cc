//! Plans carried out on the plant: what they promise is what the electricity does. `tests/common/survey.rs` says how to
//! run it over other seeds.
#![allow(clippy::unwrap_used)]

mod common;

use common::executor::{Conduct, Execution, execute};
use common::generate::{Traits, generate};
use common::survey::{Tally, clusters, seeds, survey};
use common::*;
use power_policy::model::*;
use power_policy::plan::Plan;

/// Seeds of each survey, ten clusters each.
const SEEDS: u64 = 6;

/// Servers of which the first plan says that their clean stop is not covered.
fn doubted(plan: &Plan) -> Vec<String> {
    plan.refusals.iter().map(|r| r.subject.to_string()).collect()
}

/// Activities that stopped dirty although nothing said beforehand that it could not be helped.
fn unexcused(run: &Execution) -> Vec<(u64, String, String)> {
    let doubted = doubted(&run.plans[0].1);
    run.dirty
        .iter()
        .filter(|(_, server, _)| !doubted.contains(server))
        .cloned()
        .collect()
}

#[test]
fn gold_outlasts_its_server_on_its_own() {
    let spec = four_servers().blackout().clone();
    let run = execute(&spec, &PowerPolicy::default(), &Conduct::default());
    assert_eq!(run.dirty, vec![]);
    assert_eq!(run.refused, Vec::<String>::new());
    let alone = run.plant.unmanaged().unwrap();
    let alone = alone
        .activities
        .iter()
        .find(|a| &*a.activity == "gold-db")
        .unwrap()
        .rides[0]
        .ride_through_millis;
    let managed = run.stopped_at["gold-db"];
    assert!(managed > 2 * alone, "{managed} ms managed, {alone} ms alone");
    let predicted = ride(&run.plans[0].1, 50).unwrap();
    assert!(
        predicted.abs_diff(managed) < 15_000,
        "predicted {predicted}, lived {managed}"
    );
}

/// How a generated cluster is lived through.
#[derive(Debug, Clone, Copy)]
enum Way {
    Calm,
    /// Loads vary, charges are looked at late, and there is a new plan every half minute.
    Restless,
    Survive,
    /// The controller is gone in the middle of it.
    CutOff,
}

fn live(traits: &Traits, way: Way, tally: &mut Tally) {
    let (policy, conduct) = how(traits, way);
    let run = execute(&generate(traits), &policy, &conduct);
    tally.cases += 1;
    let told = format!("{traits:?} {way:?}: {} plans", run.plans.len());
    for dirty in unexcused(&run) {
        tally.found("dirty stop", format!("{told}, dirty {dirty:?}"));
    }
    for refused in &run.refused {
        tally.found("refused by the plant", format!("{told}, refused {refused}"));
    }
}

fn how(traits: &Traits, way: Way) -> (PowerPolicy, Conduct) {
    let mut policy = PowerPolicy::default();
    let mut conduct = Conduct::default();
    match way {
        Way::Calm => {}
        Way::Restless => {
            conduct.variation_permille = 60;
            conduct.report_millis = 8_000;
            conduct.replan_millis = 30_000;
        }
        Way::Survive => policy.mode = Mode::Survive,
        Way::CutOff => conduct.cut_off_at = Some(traits.seed % 10 * 20_000),
    }
    (policy, conduct)
}

fn all(way: Way, range: std::ops::Range<u64>) {
    let tally = survey(seeds(range), |seed, tally| {
        for rough in [false, true] {
            for traits in clusters(seed, rough) {
                live(&traits, way, tally);
            }
        }
    });
    tally.conclude(&format!("{way:?}"));
}

#[test]
fn nothing_stops_dirty_that_could_have_been_stopped_cleanly() {
    all(Way::Calm, 0..SEEDS);
}

#[test]
fn nor_with_varying_loads_late_readings_and_new_plans() {
    all(Way::Restless, 100..100 + SEEDS);
}

#[test]
fn nor_in_survive_mode() {
    all(Way::Survive, 200..200 + SEEDS);
}

#[test]
fn nor_when_the_controller_is_gone() {
    all(Way::CutOff, 300..300 + SEEDS);
}
