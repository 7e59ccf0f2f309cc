//! The claims, carried out by both programs' engines over encoded octets, and asserted on the plant.
//!
//! One test a claim, named after it; `docs/claims.md` says which code each one is about. C15 to C21, which are the same as
//! a program, stand in `claims_programs.rs`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::{BTreeMap, BTreeSet};

use pdp_server::engine::state::Record;
use power_policy::interruption::Command;
use power_policy::model::Scope;
use power_policy::plant::{PlantEvent, PlantEventKind, ServerPower, SettingReading};
use system_tests::cluster::{Cluster, Scenario, scenarios};

mod claims {
    pub(crate) mod wire;
}
use claims::wire;

const SEED: u64 = 20_261_124;
const MINUTE: u64 = 60_000;

/// A cluster whose PDP knows everything and has its standing plan.
fn quiet(scenario: &Scenario) -> Cluster {
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

fn line_names(cluster: &Cluster) -> Vec<String> {
    cluster.plant(|plant| plant.line_names().map(str::to_owned).collect())
}

fn settings(cluster: &Cluster, line: &str) -> Vec<SettingReading> {
    cluster.plant(|plant| plant.read_line(line).unwrap().settings)
}

/// What the server gets of that reserve through lines now, in milliwatts.
fn diverted(cluster: &Cluster, reserve: &str, server: &str) -> u64 {
    let settings = line_names(cluster)
        .into_iter()
        .flat_map(|line| settings(cluster, &line));
    settings
        .filter(|s| s.joined && *s.reserve == *reserve && *s.server == *server)
        .map(|s| s.delivered_milliwatts)
        .sum()
}

/// The reserves that are joined to the server by lines, sorted.
fn donors(cluster: &Cluster, server: &str) -> Vec<String> {
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

fn runs_on(cluster: &Cluster, activity: &str) -> Vec<String> {
    let reports = cluster.plant(|plant| plant.activity_reports());
    let report = reports
        .iter()
        .find(|report| *report.activity == *activity)
        .unwrap();
    report.running_on.iter().map(ToString::to_string).collect()
}

/// How long the activity has ridden through the first loss of mains, in milliseconds.
fn ride(cluster: &Cluster, activity: &str) -> u64 {
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
fn ride_alone(cluster: &Cluster, activity: &str) -> u64 {
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

fn power(cluster: &Cluster, server: &str) -> ServerPower {
    cluster.plant(|plant| plant.read_server(server).unwrap().power)
}

/// What holds after every scenario: nothing was stopped dirty, no server died, and the independent checker is content.
fn assert_sound(cluster: &Cluster) {
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

fn ended(activity: &'static str) -> impl FnMut(&Cluster) -> bool {
    move |cluster| runs_on(cluster, activity).is_empty()
}

/// The mains fails; the reserve of the donor's server is diverted to the other one, which outlasts its own battery by it.
fn assert_diverts(scenario: &Scenario, donor: (&str, &str), favoured: (&str, &'static str)) {
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

/// C1: sets, priorities, a server that hosts the lower one, an interruption, a diverted reserve.
#[test]
fn c01_a_reserve_of_lower_priority_is_diverted_when_the_power_is_interrupted() {
    assert_diverts(
        &scenarios::pair_by_qos("gold", "bronze"),
        ("ups2", "s2"),
        ("s1", "left"),
    );
    // Nothing but the sets' priority tells the two servers apart: the other way round, it is the other reserve.
    assert_diverts(
        &scenarios::pair_by_qos("bronze", "gold"),
        ("ups1", "s1"),
        ("s2", "right"),
    );
}

/// C2: the sets are filled by the type of the data.
#[test]
fn c02_sets_are_grouped_by_data_type() {
    let scenario = scenarios::pair_by_data_type("ledger/daily", "scratch/tmp");
    assert_diverts(&scenario, ("ups2", "s2"), ("s1", "left"));
    let scenario = scenarios::pair_by_data_type("scratch/tmp", "ledger/daily");
    assert_diverts(&scenario, ("ups1", "s1"), ("s2", "right"));
}

/// C3: the sets are filled by the process that does the work.
#[test]
fn c03_sets_are_grouped_by_process() {
    let scenario = scenarios::pair_by_process("postgres-main", "renderd");
    assert_diverts(&scenario, ("ups2", "s2"), ("s1", "left"));
    let scenario = scenarios::pair_by_process("renderd", "postgres-main");
    assert_diverts(&scenario, ("ups1", "s1"), ("s2", "right"));
}

/// C4: the QoS that defines the sets comes to the PDP in COPS, and nowhere else: it stands in the agents' files.
#[test]
fn c04_sets_are_defined_by_quality_of_service_carried_by_cops() {
    let cluster = quiet(&scenarios::pair_by_qos("gold", "bronze"));
    assert_eq!(
        wire::qos_told(&cluster, "s1"),
        [("left".to_owned(), "gold".to_owned())]
    );
    assert_eq!(
        wire::qos_told(&cluster, "s2"),
        [("right".to_owned(), "bronze".to_owned())]
    );
    let status = cluster.status().unwrap();
    let sets: Vec<_> = status
        .activities
        .iter()
        .map(|a| (a.name.as_str(), a.set.as_str()))
        .collect();
    assert_eq!(sets, [("left", "gold"), ("right", "bronze")]);
    // The same policy over other QoS levels on the line gives the opposite plan.
    assert_diverts(
        &scenarios::pair_by_qos("silver", "gold"),
        ("ups1", "s1"),
        ("s2", "right"),
    );
}

/// C5: a set has the priority of its QoS.
#[test]
fn c05_a_set_has_the_priority_of_its_quality_of_service() {
    assert_diverts(
        &scenarios::pair_with_priorities(700, 200),
        ("ups2", "s2"),
        ("s1", "left"),
    );
    assert_diverts(
        &scenarios::pair_with_priorities(200, 700),
        ("ups1", "s1"),
        ("s2", "right"),
    );
}

/// C6: the signal is the failure of the cluster's power, seen by the agents.
#[test]
fn c06_the_interruption_signal_comes_from_a_power_failure() {
    let mut cluster = quiet(&scenarios::pair_by_qos("gold", "bronze"));
    assert!(cluster.status().unwrap().outage.is_none());
    let failed_at = cluster.now_millis();
    cluster.fail_mains("feed").unwrap();
    cluster
        .run_until("the reserve is diverted", MINUTE, |c| {
            diverted(c, "ups2", "s1") > 0
        })
        .unwrap();
    // Stage 0 is at once: the report, the plan, the decision and the switch take some milliseconds.
    assert!(
        cluster.now_millis() - failed_at < 200,
        "{} ms",
        cluster.now_millis() - failed_at
    );
    assert!(wire::mains_told(&cluster, failed_at).contains(&"feed".to_owned()));
    // And it ends with the failure: what was stopped runs again, and nothing is diverted any more.
    cluster
        .run_until("the low set has ended", MINUTE * 10, ended("right"))
        .unwrap();
    cluster.restore_mains("feed").unwrap();
    cluster
        .run_until("everything is as before", 30 * MINUTE, |c| {
            runs_on(c, "right") == ["s2"] && runs_on(c, "left") == ["s1"] && settings(c, "bus").is_empty()
        })
        .unwrap();
    assert_sound(&cluster);
}

/// C7: the signal is an administrator's command; the mains is good all the time.
#[test]
fn c07_the_interruption_signal_comes_from_an_administrator() {
    let mut cluster = quiet(&scenarios::pair_by_qos("gold", "bronze"));
    let outcome = cluster.command(Command::Interrupt(Scope::Cluster)).unwrap();
    assert!(
        matches!(outcome, power_policy::interruption::CommandOutcome::Done(_)),
        "{outcome:?}"
    );
    cluster
        .run_until("the reserve is joined to the other server", MINUTE, |c| {
            donors(c, "s1") == ["ups2"]
        })
        .unwrap();
    cluster
        .run_until("the low set has ended", 10 * MINUTE, ended("right"))
        .unwrap();
    assert_eq!(runs_on(&cluster, "left"), ["s1"]);
    cluster
        .run_until("the donor is off", MINUTE, |c| power(c, "s2") == ServerPower::Off)
        .unwrap();
    cluster.command(Command::Restore).unwrap();
    cluster
        .run_until("everything is as before", 30 * MINUTE, |c| {
            runs_on(c, "right") == ["s2"] && settings(c, "bus").is_empty()
        })
        .unwrap();
    assert_sound(&cluster);
}

/// C8: the lower-priority activity goes to another server.
#[test]
fn c08_lower_priority_activities_are_diverted_to_another_server() {
    let mut cluster = quiet(&scenarios::two_feeds("bronze"));
    assert_eq!(runs_on(&cluster, "traveller"), ["a1"]);
    cluster.fail_mains("feedA").unwrap();
    cluster
        .run_until(
            "the low activity runs on the other server alone",
            5 * MINUTE,
            |c| runs_on(c, "traveller") == ["b1"],
        )
        .unwrap();
    // It never stopped: the source let go only after the receiver had it.
    assert_eq!(
        ride(&cluster, "traveller"),
        cluster.now_millis() - mains_failed_at(&cluster)
    );
    assert_eq!(runs_on(&cluster, "resident"), ["a1"]);
    assert_sound(&cluster);
}

fn mains_failed_at(cluster: &Cluster) -> u64 {
    let failed = |e: &&PlantEvent| matches!(e.kind, PlantEventKind::MainsFailed { .. });
    cluster.plant_events().iter().find(failed).unwrap().at_millis
}

/// C9: a second server with lower sets gives its reserves too.
#[test]
fn c09_a_second_server_of_lower_sets_gives_its_reserve_too() {
    let mut cluster = quiet(&scenarios::two_donors());
    cluster.fail_mains("feed").unwrap();
    for (reserve, what) in [
        ("ups2", "the first donor feeds s1"),
        ("ups3", "the second donor feeds s1"),
    ] {
        let mut fed = cluster.plant(|plant| plant.read_reserve(reserve).unwrap().delivered_millijoules);
        cluster
            .run_until(what, 20 * MINUTE, |c| {
                // Its own server is off: what it gives now is for s1.
                fed = c.plant(|plant| plant.read_reserve(reserve).unwrap().delivered_millijoules);
                diverted(c, reserve, "s1") > 0 && fed > 0
            })
            .unwrap();
    }
    cluster
        .run_until("the gold activity has ended", 90 * MINUTE, ended("ledger"))
        .unwrap();
    let (together, alone) = (ride(&cluster, "ledger"), ride_alone(&cluster, "ledger"));
    assert!(together > 2 * alone, "{together} ms, alone {alone} ms");
    assert_sound(&cluster);
}

/// C10: what is diverted is a battery's charge.
#[test]
fn c10_the_diverted_reserves_are_batteries() {
    let mut cluster = quiet(&scenarios::pair_by_qos("gold", "bronze"));
    assert_eq!(
        wire::chemistry_told(&cluster, "ups2").as_deref(),
        Some("LeadAcid")
    );
    cluster.fail_mains("feed").unwrap();
    cluster
        .run_until("the donor is off, and its reserve feeds s1", 10 * MINUTE, |c| {
            power(c, "s2") == ServerPower::Off && diverted(c, "ups2", "s1") > 0
        })
        .unwrap();
    // From here on the battery feeds nothing but s1: its charge falls by what s1 gets of it, and by its losses.
    let (before, got) = (charge(&cluster, "ups2"), energy(&cluster, "s1"));
    cluster.pass(20_000).unwrap();
    let (fell, got) = (before - charge(&cluster, "ups2"), energy(&cluster, "s1") - got);
    let power = diverted(&cluster, "ups2", "s1");
    assert!(power > 0 && got >= power * 20, "{got} mJ at {power} mW");
    let wanted = power * 20 * 1_000 / 960 * 1_000 / 920;
    assert!(
        fell.abs_diff(wanted) < wanted / 50,
        "the charge fell by {fell} mJ, expected {wanted}"
    );
    assert_sound(&cluster);
}

fn charge(cluster: &Cluster, reserve: &str) -> u64 {
    cluster.plant(|plant| plant.read_reserve(reserve).unwrap().charge_millijoules)
}

fn energy(cluster: &Cluster, server: &str) -> u64 {
    cluster.plant(|plant| plant.read_server(server).unwrap().energy_millijoules)
}

/// C11: the high-priority activity goes to a server that is operational.
#[test]
fn c11_high_priority_activities_are_shifted_to_operational_servers() {
    let mut cluster = quiet(&scenarios::two_feeds("gold"));
    cluster.fail_mains("feedA").unwrap();
    cluster
        .run_until(
            "the high activity runs on the server with mains",
            5 * MINUTE,
            |c| runs_on(c, "traveller") == ["b1"],
        )
        .unwrap();
    assert!(cluster.plant(|plant| plant.read_server("b1").unwrap().mains));
    assert_eq!(
        ride(&cluster, "traveller"),
        cluster.now_millis() - mains_failed_at(&cluster)
    );
    // It outlives every reserve of its old server.
    cluster
        .run_until("its old server is off", 60 * MINUTE, |c| {
            power(c, "a1") == ServerPower::Off
        })
        .unwrap();
    assert_eq!(runs_on(&cluster, "traveller"), ["b1"]);
    assert_sound(&cluster);
}

/// The granted form of the first claim: in one step the high-priority group goes to a first server, and a low-priority
/// activity to another one.
#[test]
fn granted_form_high_to_a_first_server_and_low_to_another_in_one_step() {
    let mut cluster = quiet(&scenarios::make_room());
    cluster.fail_mains("feedA").unwrap();
    cluster
        .run_until(
            "high runs on the first server and low on another",
            5 * MINUTE,
            |c| runs_on(c, "ledger") == ["b1"] && runs_on(c, "batch") == ["c1"],
        )
        .unwrap();
    // Neither ever stopped, and one plan held both shifts.
    assert_eq!(
        ride(&cluster, "ledger"),
        cluster.now_millis() - mains_failed_at(&cluster)
    );
    let both = cluster.journal().iter().any(|record| match record {
        Record::Plan { in_force, .. } => {
            let plan = &in_force.plan;
            wire::takes_in(plan, "ledger", "b1") && wire::takes_in(plan, "batch", "c1")
        }
        _ => false,
    });
    assert!(both, "{}", cluster.report());
    assert_sound(&cluster);
}

/// C12: all reserves go to the server of the activity that is highest on the priority list.
#[test]
fn c12_all_reserves_go_to_the_server_of_the_highest_activity() {
    let mut cluster = quiet(&scenarios::last_server());
    cluster.fail_mains("feed").unwrap();
    let mut givers: BTreeSet<String> = BTreeSet::new();
    cluster
        .run_until("every other reserve has fed s1", 60 * MINUTE, |c| {
            givers.extend(
                ["ups2", "ups3", "ups4"]
                    .into_iter()
                    .filter(|r| diverted(c, r, "s1") > 0)
                    .map(str::to_owned),
            );
            givers.len() == 3
        })
        .unwrap();
    cluster
        .run_until("the highest activity has ended", 180 * MINUTE, ended("ledger"))
        .unwrap();
    // It was the last one of the cluster, and lived on what was in all the batteries.
    let last = ["ledger", "shop", "thumbnails", "mail", "render", "crawl"].map(|a| (ride(&cluster, a), a));
    assert_eq!(last.iter().max().unwrap().1, "ledger", "{last:?}");
    let left: u64 = ["ups1", "ups2", "ups3", "ups4"]
        .map(|r| charge(&cluster, r))
        .iter()
        .sum();
    let all = 4 * 12 * 3_600_000;
    assert!(left < all / 4, "{left} of {all} mJ are left");
    assert!(ride(&cluster, "ledger") > 2 * ride_alone(&cluster, "ledger"));
    assert_sound(&cluster);
}

/// When each activity of `s1` stopped, with what was left in all reserves then, until the last one has.
///
/// `look` sees the cluster at each instant between.
fn shedding(cluster: &mut Cluster, mut look: impl FnMut(&Cluster)) -> Vec<(String, u64, u64)> {
    let mut shed: Vec<(String, u64, u64)> = Vec::new();
    cluster
        .run_until("the highest activity has ended", 180 * MINUTE, |c| {
            look(c);
            for activity in ["thumbnails", "shop", "ledger"] {
                if !shed.iter().any(|(known, ..)| known == activity) && runs_on(c, activity).is_empty() {
                    let left = ["ups1", "ups2", "ups3", "ups4"]
                        .map(|r| charge(c, r))
                        .iter()
                        .sum();
                    shed.push((activity.to_owned(), c.now_millis(), left));
                }
            }
            shed.len() == 3
        })
        .unwrap();
    shed
}

/// C13: on that server the lower activities are shut down one step at a time, as the reserves dwindle.
#[test]
fn c13_lower_activities_on_that_server_are_shut_down_step_by_step() {
    let mut cluster = quiet(&scenarios::last_server());
    cluster.fail_mains("feed").unwrap();
    let shed = shedding(&mut cluster, |_| {});
    let order: Vec<&str> = shed.iter().map(|(activity, ..)| activity.as_str()).collect();
    assert_eq!(order, ["thumbnails", "shop", "ledger"]);
    for pair in shed.windows(2) {
        assert!(pair[0].1 + 10_000 < pair[1].1, "one step at a time: {shed:?}");
        assert!(
            pair[0].2 > pair[1].2,
            "the reserves dwindle from step to step: {shed:?}"
        );
    }
    assert_sound(&cluster);
}

/// C14: C1, C12 and C13 in one interruption.
#[test]
fn c14_diversion_concentration_and_shedding_in_one_interruption() {
    let mut cluster = quiet(&scenarios::last_server());
    cluster.fail_mains("feed").unwrap();
    let mut fed_from: BTreeMap<String, u64> = BTreeMap::new();
    let mut alone_since = None;
    let shed = shedding(&mut cluster, |c| {
        for reserve in ["ups2", "ups3", "ups4"] {
            if diverted(c, reserve, "s1") > 0 {
                fed_from.entry(reserve.to_owned()).or_insert(c.now_millis());
            }
        }
        let others_are_off = ["s2", "s3", "s4"].iter().all(|s| power(c, s) == ServerPower::Off);
        if others_are_off && alone_since.is_none() {
            alone_since = Some(c.now_millis());
        }
    });
    // C1: a reserve of lower priority was diverted; C12: in the end all were, and nobody else was left; C13: the lower
    // activities beside the highest one ended one step at a time.
    assert_eq!(fed_from.len(), 3, "{fed_from:?}");
    assert!(*fed_from.values().min().unwrap() < shed[2].1);
    assert!(alone_since.expect("s1 was the last server") < shed[2].1);
    assert!(shed.is_sorted_by(|a, b| a.1 < b.1 && a.2 > b.2), "{shed:?}");
    // All in one interruption: the mains came back at no time.
    let is_back = |e: &PlantEvent| matches!(e.kind, PlantEventKind::MainsRestored { .. });
    assert!(!cluster.plant_events().iter().any(is_back));
    assert_sound(&cluster);
}

/// C22: a system with a part for each step of C1. Each part says what it found, and the plant shows what came of it.
#[test]
fn c22_a_part_for_each_step() {
    let mut cluster = quiet(&scenarios::pair_by_qos("gold", "bronze"));
    let status = cluster.status().unwrap();
    // The part that groups, and the one that gives priorities.
    let set_of = |name: &str| {
        status
            .activities
            .iter()
            .find(|a| a.name == name)
            .unwrap()
            .set
            .clone()
    };
    assert_eq!(
        (set_of("left").as_str(), set_of("right").as_str()),
        ("gold", "bronze")
    );
    let priorities: Vec<u16> = status.classes.iter().map(|class| class.priority).collect();
    assert!(
        priorities.contains(&900) && priorities.contains(&100),
        "{priorities:?}"
    );
    assert!(status.outage.is_none());
    // The part that receives the signal.
    cluster.fail_mains("feed").unwrap();
    cluster
        .run_until("the signal is there", MINUTE, |c| {
            c.status().unwrap().outage.is_some()
        })
        .unwrap();
    // The part that identifies the server of lower priority: the plan takes its reserve.
    let plan = cluster.pdp().unwrap().plan().unwrap().plan;
    let diverts: Vec<(String, String)> = plan
        .stages
        .iter()
        .flat_map(|stage| &stage.steps)
        .filter_map(|step| match &step.kind {
            power_policy::plan::StepKind::Divert {
                reserve,
                server,
                milliwatts,
                ..
            } if *milliwatts > 0 => Some((reserve.to_string(), server.to_string())),
            _ => None,
        })
        .collect();
    assert!(diverts.contains(&("ups2".to_owned(), "s1".to_owned())), "{plan}");
    // The part that diverts.
    cluster
        .run_until("it is diverted", MINUTE, |c| diverted(c, "ups2", "s1") > 0)
        .unwrap();
    assert_sound(&cluster);
}

/// C23: servers that host sets with a QoS level, reserves coupled to them, a switch matrix, and a power manager that
/// commands the matrix.
#[test]
fn c23_the_power_manager_commands_the_switch_matrix() {
    let scenario = scenarios::two_donors();
    let mut cluster = quiet(&scenario);
    cluster.fail_mains("feed").unwrap();
    cluster
        .run_until("the matrix directs power from low to high", 20 * MINUTE, |c| {
            diverted(c, "ups2", "s1") > 0 && diverted(c, "ups3", "s1") > 0
        })
        .unwrap();
    // Each position of the matrix was commanded by the manager, on the wire, before it was taken.
    let commands: Vec<_> = wire::decided(&cluster, "rack")
        .into_iter()
        .filter_map(|(at, row)| match row {
            cops_codec::client_type::Row::Divert(row) => Some((
                at,
                row.reserve?.to_string(),
                row.server?.to_string(),
                u64::from(row.milliwatts),
            )),
            _ => None,
        })
        .collect();
    for event in cluster.plant_events() {
        if let PlantEventKind::LineMoved {
            reserve,
            server,
            milliwatts,
            ..
        } = &event.kind
        {
            let is_commanded = commands.iter().any(|(at, r, s, w)| {
                *at < event.at_millis && **r == **reserve && **s == **server && w == milliwatts
            });
            assert!(is_commanded, "{event:?} of {commands:?}");
        }
    }
    assert_sound(&cluster);
    // An agent that only observes leaves the matrix as it is, whatever the manager commands.
    let mut idle = quiet(&scenario.observing("rack"));
    idle.fail_mains("feed").unwrap();
    idle.run_until("the gold activity has ended", 90 * MINUTE, ended("ledger"))
        .unwrap();
    let moved = |e: &PlantEvent| matches!(e.kind, PlantEventKind::LineMoved { .. });
    assert!(!idle.plant_events().iter().any(moved), "{}", idle.report());
    let (alone, with) = (ride(&idle, "ledger"), ride_alone(&idle, "ledger"));
    assert!(
        alone <= with,
        "{alone} ms with nothing diverted, {with} ms unmanaged"
    );
}

/// C24: the reserves are uninterruptible power supplies with a battery: no gap when the mains fails, and the charge falls.
#[test]
fn c24_the_reserves_are_uninterruptible_supplies_with_batteries() {
    let mut cluster = quiet(&scenarios::pair_by_qos("gold", "bronze"));
    let full = ["ups1", "ups2"].map(|r| charge(&cluster, r));
    let drew = cluster.plant(|plant| plant.read_server("s1").unwrap().milliwatts);
    cluster.fail_mains("feed").unwrap();
    // In the very instant of the failure the server still gets all it draws, and from nothing but its own supply.
    let (now, mains) = cluster.plant(|plant| {
        let reading = plant.read_server("s1").unwrap();
        (reading.milliwatts, reading.mains_milliwatts)
    });
    assert_eq!((now, mains), (drew, 0));
    // The manager knows them as batteries, with what is left in them.
    cluster
        .run_until("the donor is off", 10 * MINUTE, |c| {
            power(c, "s2") == ServerPower::Off
        })
        .unwrap();
    cluster.pass(30_000).unwrap();
    for reserve in ["ups1", "ups2"] {
        assert_eq!(
            wire::chemistry_told(&cluster, reserve).as_deref(),
            Some("LeadAcid")
        );
        let known = cluster
            .status()
            .unwrap()
            .reserves
            .iter()
            .find(|r| r.name == reserve)
            .unwrap()
            .charge_millijoules
            / 1_000;
        let there = charge(&cluster, reserve) / 1_000;
        assert!(
            known.abs_diff(there) * 20 < there,
            "{reserve}: {known} J known, {there} J there"
        );
    }
    // Both are drawn upon,
    cluster
        .run_until("the gold activity has ended", 60 * MINUTE, ended("left"))
        .unwrap();
    for (reserve, full) in ["ups1", "ups2"].into_iter().zip(full) {
        assert!(charge(&cluster, reserve) < full / 2, "{reserve}");
    }
    // and they are recharged when the mains is back.
    let low = charge(&cluster, "ups1");
    cluster.restore_mains("feed").unwrap();
    cluster
        .run_until("the battery recharges", 10 * MINUTE, |c| {
            charge(c, "ups1") > low + 1_000
        })
        .unwrap();
    assert_sound(&cluster);
}

/// C25: a QoS line couples each server to the manager and tells it the QoS level; without it the manager knows nothing.
#[test]
fn c25_the_qos_line_tells_the_manager_the_qos_level() {
    let scenario = scenarios::pair_by_qos("gold", "bronze");
    let mut cluster = Cluster::new(&scenario, SEED).unwrap();
    // Each server has a line of its own: with that of s2 cut, its QoS level is not known.
    let mut without = Cluster::new(&scenario, SEED).unwrap();
    without.cut("s2").unwrap();
    for c in [&mut cluster, &mut without] {
        c.pass(30_000).unwrap();
    }
    let known = |c: &Cluster| -> Vec<(String, String)> {
        let status = c.status().unwrap();
        status
            .activities
            .iter()
            .map(|a| (a.name.clone(), a.set.clone()))
            .collect()
    };
    let (gold, bronze) = ("gold".to_owned(), "bronze".to_owned());
    assert_eq!(
        known(&cluster),
        [
            ("left".to_owned(), gold.clone()),
            ("right".to_owned(), bronze.clone())
        ]
    );
    assert_eq!(known(&without), [("left".to_owned(), gold.clone())]);
    // Mended, the line tells it.
    without.mend("s2").unwrap();
    without
        .run_until("the QoS level of s2 is known", 5 * MINUTE, |c| {
            known(c)
                == [
                    ("left".to_owned(), gold.clone()),
                    ("right".to_owned(), bronze.clone()),
                ]
        })
        .unwrap();
    assert_eq!(
        wire::qos_told(&without, "s2"),
        [("right".to_owned(), "bronze".to_owned())]
    );
}

/// C26: what is on the QoS line is COPS, octet by octet.
#[test]
fn c26_the_qos_line_speaks_cops() {
    let cluster = quiet(&scenarios::pair_by_qos("gold", "bronze"));
    let of_s2: Vec<_> = cluster.captured().iter().filter(|c| c.agent == "s2").collect();
    // RFC 2748 2.1: version 1, the op code, the client-type, the length of the whole message.
    for captured in &of_s2 {
        let octets = &captured.octets;
        assert_eq!(octets[0] >> 4, 1);
        let length = u32::from_be_bytes(octets[4..8].try_into().unwrap());
        assert_eq!(length as usize, octets.len());
        assert!([[0x50, 0x57], [0, 0]].contains(&[octets[2], octets[3]]));
        wire::message(captured);
    }
    // RFC 2748 2.1, op codes: OPN 6, CAT 7, REQ 1, DEC 2, RPT 3; a COPS-PR client begins so (RFC 3084 3).
    let op_codes: Vec<u8> = of_s2.iter().map(|c| c.octets[1]).collect();
    assert_eq!(op_codes[..5], [6, 7, 1, 2, 3], "{op_codes:?}");
    // The QoS level is in the REQ: ClientSI, Named (C-Num 9, C-Type 2), with a pwrActivity row, whose PRID is
    // 1.3.6.1.4.1.32473.1.1.9.1.n, in BER, and whose EPD has the class as an OCTET STRING.
    let request = of_s2.iter().find(|c| c.octets[1] == 1).unwrap();
    let holds = |part: &[u8]| request.octets.windows(part.len()).any(|window| window == part);
    assert!(holds(&[9, 2]));
    let prid = [
        0x06, 0x0d, 0x2b, 0x06, 0x01, 0x04, 0x01, 0x81, 0xfd, 0x59, 0x01, 0x01, 0x09, 0x01,
    ];
    assert!(holds(&prid), "{:02x?}", request.octets);
    assert!(holds(b"\x04\x06bronze"));
}

/// C27: a power divert line couples the reserves to the matrix and carries the power that is diverted.
#[test]
fn c27_the_power_divert_line_carries_the_diverted_power() {
    let mut cluster = quiet(&scenarios::pair_by_qos("gold", "bronze"));
    cluster.fail_mains("feed").unwrap();
    cluster
        .run_until(
            "the donor is off, and the line carries its reserve's power",
            10 * MINUTE,
            |c| power(c, "s2") == ServerPower::Off && diverted(c, "ups2", "s1") > 0,
        )
        .unwrap();
    let (setting, line, reserve) = cluster.plant(|plant| {
        let line = plant.read_line("bus").unwrap();
        (
            line.settings[0].clone(),
            line.milliwatts,
            plant.read_reserve("ups2").unwrap().milliwatts,
        )
    });
    // All that the reserve gives passes the line, within what was commanded, and the server gets it less the line's loss.
    assert_eq!(
        (line, reserve),
        (setting.flow_milliwatts, setting.flow_milliwatts)
    );
    assert!(setting.flow_milliwatts <= setting.milliwatts);
    let through = setting.flow_milliwatts * 960 / 1_000;
    assert!(setting.delivered_milliwatts.abs_diff(through) <= 1, "{setting:?}");
    // Without a line nothing is diverted, and nobody outlasts their own battery.
    let mut alone = quiet(&scenarios::pair_without_lines("gold", "bronze"));
    alone.fail_mains("feed").unwrap();
    alone
        .run_until("the gold activity has ended", 60 * MINUTE, ended("left"))
        .unwrap();
    assert!(ride(&alone, "left") <= ride_alone(&alone, "left"));
    assert_sound(&alone);
    cluster
        .run_until("the gold activity has ended", 60 * MINUTE, ended("left"))
        .unwrap();
    assert!(ride(&cluster, "left") * 2 > ride(&alone, "left") * 3);
    assert_sound(&cluster);
}
