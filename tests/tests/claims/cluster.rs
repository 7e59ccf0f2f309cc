//! How a claim's cluster is run and looked at.

use power_policy::plant::{PlantEvent, PlantEventKind, ServerPower, SettingReading};
use system_tests::cluster::{Cluster, Scenario};

pub(crate) const SEED: u64 = 20_261_124;
pub(crate) const MINUTE: u64 = 60_000;

/// A cluster whose PDP knows everything and has its standing plan.
pub(crate) fn quiet(scenario: &Scenario) -> Cluster {
    let mut cluster = Cluster::new(scenario, SEED).unwrap();
    cluster
        .run_until("the PDP has a standing plan", MINUTE, |c| {
            c.pdp().is_some_and(|engine| engine.in_force().is_some())
        })
        .unwrap();
    cluster.pass(15_000).unwrap();
    for line in line_names(&cluster) {
        assert_eq!(settings(&cluster, &line), [], "in quiet days nothing is diverted");
    }
    cluster
}

/// What holds after every scenario: nothing was stopped dirty, no server died, and the independent checker is content.
pub(crate) fn assert_sound(cluster: &Cluster) {
    for event in cluster.plant_events() {
        let is_dirty = matches!(
            event.kind,
            PlantEventKind::ActivityStopped { clean: false, .. }
                | PlantEventKind::ServerLostPower { .. }
                | PlantEventKind::ServerOff { clean: false, .. }
        );
        assert!(!is_dirty, "{event:?}\n{}", cluster.report());
    }
    assert_eq!(cluster.violations(), Vec::<String>::new(), "{}", cluster.report());
}

/// The mains fails; the reserve of the donor's server is diverted to the other one, which outlasts its own battery by it.
pub(crate) fn assert_diverts(scenario: &Scenario, donor: (&str, &str), favoured: (&str, &'static str)) {
    let mut cluster = quiet(scenario);
    cluster.fail_mains("feed").unwrap();
    let ((reserve, giver), (server, activity)) = (donor, favoured);
    cluster
        .run_until("the lower server's reserve feeds the other one", MINUTE, |c| {
            diverted(c, reserve, server) > 0
        })
        .unwrap();
    cluster
        .run_until("the important activity has ended", 60 * MINUTE, ended(activity))
        .unwrap();
    assert_eq!(donors(&cluster, giver), Vec::<String>::new());
    let (together, alone) = (ride(&cluster, activity), ride_alone(&cluster, activity));
    assert!(
        together * 10 > alone * 15,
        "{together} ms with the other battery, {alone} ms alone"
    );
    assert_sound(&cluster);
}

pub(crate) fn line_names(cluster: &Cluster) -> Vec<String> {
    cluster.plant(|plant| plant.line_names().map(str::to_owned).collect())
}

pub(crate) fn settings(cluster: &Cluster, line: &str) -> Vec<SettingReading> {
    cluster.plant(|plant| plant.read_line(line).unwrap().settings)
}

/// What the server gets of that reserve through lines now, in milliwatts.
pub(crate) fn diverted(cluster: &Cluster, reserve: &str, server: &str) -> u64 {
    let settings = line_names(cluster)
        .into_iter()
        .flat_map(|line| settings(cluster, &line));
    settings
        .filter(|s| s.joined && *s.reserve == *reserve && *s.server == *server)
        .map(|s| s.delivered_milliwatts)
        .sum()
}

/// The reserves that are joined to the server by lines, sorted.
pub(crate) fn donors(cluster: &Cluster, server: &str) -> Vec<String> {
    let settings = line_names(cluster)
        .into_iter()
        .flat_map(|line| settings(cluster, &line));
    let mut donors: Vec<String> = settings
        .filter(|s| s.joined && *s.server == *server)
        .map(|s| s.reserve.to_string())
        .collect();
    donors.sort();
    donors.dedup();
    donors
}

pub(crate) fn runs_on(cluster: &Cluster, activity: &str) -> Vec<String> {
    let reports = cluster.plant(|plant| plant.activity_reports());
    let report = reports
        .iter()
        .find(|report| *report.activity == *activity)
        .unwrap();
    report.running_on.iter().map(ToString::to_string).collect()
}

/// How long the activity has ridden through the first loss of mains, in milliseconds.
pub(crate) fn ride(cluster: &Cluster, activity: &str) -> u64 {
    let reports = cluster.plant(|plant| plant.activity_reports());
    let report = reports
        .iter()
        .find(|report| *report.activity == *activity)
        .unwrap();
    report
        .rides
        .first()
        .expect("it has lost its mains")
        .ride_through_millis
}

/// What it would have had with its server's battery alone, under the same mains.
pub(crate) fn ride_alone(cluster: &Cluster, activity: &str) -> u64 {
    let unmanaged = cluster.plant(|plant| plant.unmanaged().unwrap());
    let report = unmanaged
        .activities
        .iter()
        .find(|report| *report.activity == *activity)
        .unwrap();
    report
        .rides
        .first()
        .expect("it has lost its mains")
        .ride_through_millis
}

pub(crate) fn power(cluster: &Cluster, server: &str) -> ServerPower {
    cluster.plant(|plant| plant.read_server(server).unwrap().power)
}

pub(crate) fn charge(cluster: &Cluster, reserve: &str) -> u64 {
    cluster.plant(|plant| plant.read_reserve(reserve).unwrap().charge_millijoules)
}

pub(crate) fn energy(cluster: &Cluster, server: &str) -> u64 {
    cluster.plant(|plant| plant.read_server(server).unwrap().energy_millijoules)
}

pub(crate) fn mains_failed_at(cluster: &Cluster) -> u64 {
    let failed = |e: &&PlantEvent| matches!(e.kind, PlantEventKind::MainsFailed { .. });
    cluster.plant_events().iter().find(failed).unwrap().at_millis
}

pub(crate) fn ended(activity: &'static str) -> impl FnMut(&Cluster) -> bool {
    move |cluster| runs_on(cluster, activity).is_empty()
}
