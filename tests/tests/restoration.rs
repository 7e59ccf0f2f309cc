//! Everything comes back, once: the end of an interruption, and what may be in its way.

#![allow(clippy::unwrap_used)]

use power_policy::model::Phase;
use power_policy::plant::{PlantEventKind, ServerPower};
use system_tests::cluster::{Cluster, scenarios};

const MINUTE: u64 = 60_000;

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
    for seed in 0..2 {
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
