//! Activities, ride-through times, the history, the unmanaged run.

use crate::support::*;
use power_policy::plant::{ActivityReport, Plant, PlantError, StopRecord};

fn report<'a>(reports: &'a [ActivityReport], activity: &str) -> &'a ActivityReport {
    reports
        .iter()
        .find(|report| &*report.activity == activity)
        .unwrap()
}

#[test]
fn an_activity_that_is_declared_again_is_not_started_again() {
    let mut plant = plant(pair());
    plant.declare_activity("s1", "web", 100 * W, true).unwrap();
    assert_eq!(watts(&plant, "s1"), 200);
    plant.stop_activity("s1", "web").unwrap();
    plant.declare_activity("s1", "web", 150 * W, true).unwrap();
    assert_eq!(watts(&plant, "s1"), 100);
    plant.start_activity("s1", "web").unwrap();
    plant.declare_activity("s1", "web", 120 * W, false).unwrap();
    assert_eq!(watts(&plant, "s1"), 220);
    assert!(matches!(
        plant.start_activity("s2", "web"),
        Err(PlantError::UnknownActivity { .. })
    ));
    assert!(matches!(
        plant.declare_activity("s1", "", W, true),
        Err(PlantError::BadName(_))
    ));
}

#[test]
fn the_ride_through_of_an_activity_follows_it_from_server_to_server() {
    let mut plant = plant(pair());
    for server in ["s1", "s2"] {
        plant
            .declare_activity(server, "db", 100 * W, server == "s1")
            .unwrap();
        plant
            .declare_activity(server, "batch", 100 * W, server == "s2")
            .unwrap();
    }
    plant.advance(10 * S);
    plant.fail_mains("a").unwrap();
    plant.advance(20 * S);
    plant.stop_activity("s2", "batch").unwrap();
    plant.start_activity("s2", "db").unwrap();
    plant.advance(21 * S);
    plant.stop_activity("s1", "db").unwrap();
    plant.halt("s1").unwrap();
    plant.advance(1_000 * S);
    let reports = plant.activity_reports();
    let batch = &report(&reports, "batch").rides[0];
    assert_eq!(
        batch.ended,
        Some(StopRecord {
            at_millis: 20 * S,
            clean: true
        })
    );
    assert_eq!(
        (batch.ride_through_millis, batch.running_millis),
        (10 * S, 10 * S)
    );
    let db = &report(&reports, "db").rides[0];
    // s2 on 20,000 J: 10 s at 200 W, and 200 W from then on: until 100 s after the failure, and the hold-up.
    assert_eq!((&*db.server, db.lost_millis), ("s1", 10 * S));
    assert_eq!(
        db.ended,
        Some(StopRecord {
            at_millis: 110 * S + 12,
            clean: false
        })
    );
    assert_eq!(db.ride_through_millis, 100 * S + 12);
    assert!(report(&reports, "db").running_on.is_empty());
}

#[test]
fn a_ride_through_ends_with_the_return_of_the_mains_and_counts_restarts_apart() {
    let mut plant = plant(pair());
    plant.declare_activity("s1", "web", 100 * W, true).unwrap();
    plant.fail_mains("a").unwrap();
    plant.advance(10 * S);
    plant.stop_activity("s1", "web").unwrap();
    plant.advance(15 * S);
    plant.start_activity("s1", "web").unwrap();
    plant.advance(18 * S);
    plant.stop_activity("s1", "web").unwrap();
    plant.start_activity("s1", "web").unwrap();
    plant.advance(20 * S);
    plant.restore_mains("a").unwrap();
    plant.advance(30 * S);
    plant.fail_mains("a").unwrap();
    plant.advance(32 * S);
    let rides = &report(&plant.activity_reports(), "web").rides.clone();
    assert_eq!(rides.len(), 2);
    assert_eq!(
        (rides[0].ride_through_millis, rides[0].running_millis),
        (10 * S, 15 * S)
    );
    assert_eq!(
        (
            rides[1].ride_through_millis,
            rides[1].ended,
            rides[1].restored_millis
        ),
        (2 * S, None, None)
    );
}

/// A run in which a manager helps: s2 gives its reserve to s1.
fn managed(mut plant: Plant) -> Plant {
    plant.declare_activity("s1", "db", 100 * W, true).unwrap();
    plant.declare_activity("s2", "batch", 300 * W, true).unwrap();
    plant.advance(30 * S);
    plant.fail_mains("a").unwrap();
    plant.advance(31 * S);
    plant.set_line("bus", "u2", "s1", 500 * W).unwrap();
    plant.stop_activity("s2", "batch").unwrap();
    plant.halt("s2").unwrap();
    plant.advance(400 * S);
    plant.restore_mains("a").unwrap();
    plant.advance(500 * S);
    plant
}

#[test]
fn the_unmanaged_run_is_what_each_server_has_on_its_own() {
    let plant = managed(plant(pair()));
    let run = plant.unmanaged().unwrap();
    assert_eq!((run.from_millis, run.until_millis), (30 * S, 500 * S));
    // 10,000 J at 200 W; 20,000 J at 400 W; each and the hold-up.
    let (db, batch) = (
        &report(&run.activities, "db").rides[0],
        &report(&run.activities, "batch").rides[0],
    );
    assert_eq!(
        (db.ride_through_millis, batch.ride_through_millis),
        (50_012, 50_012)
    );
    assert_eq!(
        db.ended,
        Some(StopRecord {
            at_millis: 80_012,
            clean: false
        })
    );
    assert_eq!(run.ledger.drawn_millijoules, 30_000 * J);
    assert!(run.ledger.residual_millijoules() == 0);
    let reports = plant.activity_reports();
    assert!(report(&reports, "db").rides[0].ride_through_millis > 110 * S);
}

#[test]
fn the_unmanaged_run_has_the_same_loads_whatever_was_commanded() {
    let mut config = pair();
    config.load_variation_permille = 300;
    config.variation_interval_millis = S;
    config.seed = 7;
    let left_alone = |mut plant: Plant| {
        plant.declare_activity("s1", "db", 100 * W, true).unwrap();
        plant.declare_activity("s2", "batch", 300 * W, true).unwrap();
        plant.advance(30 * S);
        plant.fail_mains("a").unwrap();
        plant.advance(400 * S);
        plant.restore_mains("a").unwrap();
        plant.advance(500 * S);
        plant
    };
    let on_its_own = left_alone(plant(config.clone())).activity_reports();
    assert_eq!(
        managed(plant(config.clone())).unmanaged().unwrap().activities,
        on_its_own
    );
    config.seed = 8;
    assert_ne!(left_alone(plant(config)).activity_reports(), on_its_own);
}

#[test]
fn without_a_loss_of_mains_there_is_nothing_to_replay() {
    let mut plant = plant(pair());
    assert_eq!(
        plant.unmanaged().unwrap_err().to_string(),
        "no unmanaged run: mains was never lost"
    );
    plant.fail_mains("a").unwrap();
    assert!(plant.unmanaged().is_ok());
    plant.rearm_record();
    assert!(plant.unmanaged().is_err());
    let domain = |plant: &mut Plant, n: u64| {
        plant.advance(n);
        if n.is_multiple_of(2) {
            plant.restore_mains("a")
        } else {
            plant.fail_mains("a")
        }
        .unwrap();
    };
    (0..=4_097).for_each(|n| domain(&mut plant, n));
    let refused = plant.unmanaged().unwrap_err().to_string();
    assert_eq!(
        refused,
        "no unmanaged run: mains changed too often to be recorded"
    );
}

#[test]
fn loads_vary_within_their_span_and_average_to_their_figure() {
    let mut config = pair();
    config.load_variation_permille = 200;
    config.variation_interval_millis = S;
    let mut plant = plant(config);
    plant.declare_activity("s1", "web", 100 * W, true).unwrap();
    let mut sum = 0;
    for second in 1..=2_000 {
        plant.advance(second * S);
        let draw = plant.read_server("s1").unwrap().milliwatts;
        assert!((180 * W..=220 * W).contains(&draw), "{draw} mW at {second} s");
        sum += draw;
    }
    assert!((sum / 2_000).abs_diff(200 * W) < W, "mean of {} mW", sum / 2_000);
}

#[test]
fn the_history_spans_all_time_in_bounded_space() {
    let mut config = pair();
    config.history_interval_millis = S;
    config.history_max_samples = 10;
    let mut plant = plant(config);
    plant.declare_activity("s1", "web", 100 * W, true).unwrap();
    plant.fail_mains("a").unwrap();
    plant.advance(45 * S);
    let history = plant.history();
    assert!(history.samples.len() <= 10);
    assert_eq!(history.interval_millis, 8 * S);
    let times: Vec<u64> = history
        .samples
        .iter()
        .map(|sample| sample.at_millis / S)
        .collect();
    assert_eq!(times, [0, 8, 16, 24, 32, 40]);
    let sample = &history.samples[2];
    assert_eq!(
        (sample.reserve_millijoules[0], sample.server_milliwatts[0]),
        (6_800 * J, 200 * W)
    );
    assert_eq!(
        (sample.running.as_slice(), sample.mains.as_slice()),
        ([0].as_slice(), [false].as_slice())
    );
    assert_eq!(&*history.activities[0].1, "web");
}
