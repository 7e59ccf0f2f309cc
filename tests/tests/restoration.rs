//! Everything comes back, once: the end of an interruption, and what may be in its way.

#![allow(clippy::unwrap_used)]

use power_policy::model::{Cause, Phase};
use power_policy::plant::{PlantEventKind, ServerPower};
use system_tests::cluster::{Cluster, scenarios};

const MINUTE: u64 = 60_000;

fn runs_on(cluster: &Cluster, activity: &str) -> Vec<String> {
    let reports = cluster.plant(|plant| plant.activity_reports());
    let report = reports.iter().find(|r| *r.activity == *activity).unwrap();
    report.running_on.iter().map(ToString::to_string).collect()
}

fn power(cluster: &Cluster, server: &str) -> ServerPower {
    cluster.plant(|plant| plant.read_server(server).unwrap().power)
}

/// What the plant says of the server's power, in the order in which it happened.
fn turns(cluster: &Cluster, server: &str) -> Vec<&'static str> {
    let of_server = |name: &str| name == server;
    cluster
        .plant_events()
        .iter()
        .filter_map(|event| match &event.kind {
            PlantEventKind::ServerOff { server, .. } if of_server(server) => Some("off"),
            PlantEventKind::ServerBooted { server } if of_server(server) => Some("up"),
            PlantEventKind::ServerLostPower { server } if of_server(server) => Some("dead"),
            _ => None,
        })
        .collect()
}

/// A server that a plan has switched off, and that is switched on again, does not halt once more by that plan.
#[test]
fn a_server_that_is_switched_on_again_stays_on() {
    for seed in 0..1 {
        let mut cluster = Cluster::new(&scenarios::last_server(), seed).unwrap();
        cluster.pass(20_000).unwrap();
        cluster.fail_mains("feed").unwrap();
        let donors = ["s2", "s3", "s4"];
        cluster
            .run_until("the donors are off", 20 * MINUTE, |c| {
                donors.iter().all(|server| power(c, server) == ServerPower::Off)
            })
            .unwrap();
        cluster.restore_mains("feed").unwrap();
        cluster
            .run_until("the interruption is over", 60 * MINUTE, |c| {
                c.pdp().unwrap().phase() == Phase::Normal
            })
            .unwrap();
        // What an agent said before it went down is not its word when it connects again.
        let signs = cluster
            .events()
            .iter()
            .filter(|e| e.text.starts_with("a first sign"));
        assert_eq!(signs.count(), 1, "seed {seed}: {}", cluster.report());
        for server in donors {
            assert_eq!(
                turns(&cluster, server),
                ["off", "up"],
                "{server}, seed {seed}: {}",
                cluster.report()
            );
        }
    }
}

/// The process of an agent is killed in an interruption and nobody starts it again; its machine runs on.
fn lost_agent(agent: &str, killed_after: u64, seed: u64) -> Cluster {
    let mut cluster = Cluster::new(&scenarios::last_server(), seed).unwrap();
    cluster.pass(20_000).unwrap();
    cluster.fail_mains("feed").unwrap();
    cluster.pass(killed_after).unwrap();
    cluster.kill_agent(agent).unwrap();
    cluster
}

/// Plans around a server that nobody hears of are as good as any: the independent checker objects to none of them.
#[test]
fn what_is_planned_around_a_lost_agent_is_not_objected_to() {
    let mut cluster = lost_agent("s2", 40_050, 1);
    cluster
        .run_until("the PDP has planned around it", 10 * MINUTE, |c| {
            let Some(current) = c.pdp().unwrap().plan() else {
                return false;
            };
            let mut refusals = current.plan.refusals.iter();
            refusals.any(|r| r.subject.as_str() == "s2" && r.reason.contains("unreachable"))
        })
        .unwrap();
    cluster.pass(10 * MINUTE).unwrap();
    assert_eq!(cluster.violations(), Vec::<String>::new(), "{}", cluster.report());
}

/// A server whose agent is away, and on which something was shed, is no reason to call the others interrupted for ever.
/// What it is owed is brought back when its agent is.
#[test]
fn an_agent_that_stays_away_does_not_hold_up_the_restoration_and_is_owed_its_start() {
    let mut cluster = lost_agent("s1", 150_000, 1);
    assert_eq!(runs_on(&cluster, "thumbnails"), Vec::<String>::new());
    cluster.pass(MINUTE / 2).unwrap();
    cluster.restore_mains("feed").unwrap();
    cluster
        .run_until("the interruption is over", 20 * MINUTE, |c| {
            c.pdp().unwrap().phase() == Phase::Normal
        })
        .unwrap();
    assert_eq!(runs_on(&cluster, "render"), ["s3"]);
    assert_eq!(runs_on(&cluster, "thumbnails"), Vec::<String>::new());
    let alarms = cluster.status().unwrap().alarms;
    let owed =
        |a: &pdp_server::api::AlarmStatus| a.subject == "thumbnails" && a.text.contains("is started when");
    assert!(alarms.iter().any(owed), "{alarms:?}");
    cluster.pass(10 * MINUTE).unwrap();
    cluster.start_agent("s1").unwrap();
    cluster
        .run_until("it runs again", 5 * MINUTE, |c| {
            runs_on(c, "thumbnails") == ["s1"]
        })
        .unwrap();
    cluster.pass(5 * MINUTE).unwrap();
    assert_eq!(cluster.pdp().unwrap().phase(), Phase::Normal);
    assert_eq!(cluster.status().unwrap().alarms, []);
    let plan = cluster.pdp().unwrap().plan().unwrap().plan;
    assert_eq!(plan.cause, Cause::Standing, "{plan}");
}
