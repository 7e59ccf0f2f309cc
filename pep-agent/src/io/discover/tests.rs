//! A made-up node, and this one.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;

use super::load::{Group, Kind};
use super::*;
use crate::io::config::{ActivitySource, AgentConfig, ReserveSource};

fn args() -> DiscoverArgs {
    DiscoverArgs {
        name: Some("node \"7\"".to_owned()),
        pdp: "127.0.0.1:3288".to_owned(),
        nut: "127.0.0.1:3493".to_owned(),
        seconds: 1,
        output: None,
    }
}

fn map(pairs: &[(&str, &str)]) -> std::collections::BTreeMap<String, String> {
    pairs
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

fn group(kind: Kind, millicores: u64) -> Group {
    Group {
        kind,
        processes: 2,
        millicores,
        mebibytes: 300,
    }
}

#[test]
fn what_is_found_makes_a_file_that_the_agent_reads() {
    let ups = map(&[
        ("ups.status", "OL"),
        ("battery.charge", "50"),
        ("battery.runtime", "1800"),
        ("ups.load", "20"),
        ("ups.realpower.nominal", "1000"),
        ("device.model", "Smart\nUPS"),
        ("outlet.1.status", "on"),
    ]);
    let pdu = map(&[("ups.status", "OL"), ("outlet.3.status", "off")]);
    let found = found::Found {
        nut: Ok([("ups1".to_owned(), ups), ("pdu1".to_owned(), pdu)].into()),
        batteries: [("BAT0".to_owned(), map(&[("energy_full", "50000000")]))].into(),
        rapl: Ok(43_210),
        millicores: 8_000,
        mebibytes: 16_000,
    };
    let comm = |comm: &str| Kind::Processes {
        comm: comm.to_owned(),
        user: "app".to_owned(),
    };
    let groups = [
        group(Kind::Service("postgresql.service".to_owned()), 2_500),
        group(comm("batch \"x\""), 1_000),
        group(comm("odd[1]"), 900),
        group(comm("postgresql"), 800),
    ];
    let text = text::write(&args(), &found, &groups);
    let config = AgentConfig::from_text(Path::new("/etc/a.toml"), &text)
        .unwrap_or_else(|error| panic!("{error}\n{text}"));
    assert_eq!(config.name.as_str(), "node \"7\"");
    assert!(!config.armed);
    assert_eq!(config.reserves.len(), 2, "a PDU is no reserve");
    // 200 W for half an hour are 100 Wh, at half charge.
    assert_eq!(
        config.reserves[0].facts.as_ref().unwrap().capacity_joules,
        200 * 3_600
    );
    assert!(
        matches!(&config.reserves[1].source, ReserveSource::PowerSupply { device, .. } if device == "BAT0")
    );
    let activities: Vec<_> = config
        .activities
        .iter()
        .map(|a| {
            (
                a.key.activity.as_str(),
                a.facts.milliwatts,
                matches!(a.source, ActivitySource::Systemd { .. }),
            )
        })
        .collect();
    assert_eq!(
        activities,
        [("postgresql", 25_000, true), ("batch \"x\"", 10_000, false)],
        "what is no name or taken already is left out"
    );
    assert!(text.contains("# Smart UPS\n"), "{text}");
    for outlet in ["# Outlet 1 of ups1", "# Outlet 3 of pdu1"] {
        assert!(text.contains(outlet), "{text}");
    }
}

#[test]
fn a_bare_node_makes_a_file_too() {
    let found = found::Found {
        nut: Err("127.0.0.1:3493: cannot connect".to_owned()),
        batteries: Default::default(),
        rapl: Err("there are no RAPL zones".to_owned()),
        millicores: 1_000,
        mebibytes: 0,
    };
    let text = text::write(&args(), &found, &[]);
    let config = AgentConfig::from_text(Path::new("/etc/a.toml"), &text).unwrap();
    assert!(config.reserves.is_empty() && config.activities.is_empty());
    assert!(
        text.contains("# No UPS from NUT: 127.0.0.1:3493: cannot connect."),
        "{text}"
    );
}

#[tokio::test]
async fn load_is_measured_between_two_looks() {
    let proc = tempfile::tempdir().unwrap();
    let process = |pid: i32, comm: &str, ticks: u64, cgroup: &str| {
        let folder = proc.path().join(pid.to_string());
        fs::create_dir_all(&folder).unwrap();
        let stat = format!(
            "{pid} ({comm}) S 1 {pid} {pid} 0 -1 4194304 1 2 3 4 {ticks} 0 0 0 20 0 1 0 77 1000 5000 0"
        );
        fs::write(folder.join("stat"), stat).unwrap();
        // 40000 pages of 4 KiB are 156 MiB.
        fs::write(folder.join("statm"), "90000 40000 10 1 0 1 0").unwrap();
        fs::write(folder.join("cgroup"), format!("0::{cgroup}\n")).unwrap();
        fs::write(folder.join("cmdline"), "x\0").unwrap();
    };
    process(100, "postgres", 1_000, "/system.slice/postgresql.service");
    process(101, "postgres", 500, "/system.slice/postgresql.service/worker");
    process(102, "worker", 0, "/user.slice");
    process(104, "bash", 0, "/user.slice");
    process(105, "make", 0, "/user.slice/user-0.slice/session-1.scope");
    process(103, "sshd", 9_000, "/system.slice/ssh.service");
    let places = Places {
        proc: proc.path().to_owned(),
        passwd: proc.path().join("passwd"),
        power_supplies: proc.path().join("power_supply"),
        powercap: proc.path().join("powercap"),
    };
    let table = places.table();
    let look = load::measure(&table, Duration::from_millis(200));
    let work = async {
        // Well within the span, which begins before the first look at the clock.
        process(100, "postgres", 1_000_000, "/system.slice/postgresql.service");
    };
    let (groups, ()) = tokio::join!(look, work);
    let groups = groups.unwrap();
    assert_eq!(
        groups.iter().map(|g| (&g.kind, g.processes)).collect::<Vec<_>>(),
        [
            (&Kind::Service("postgresql.service".to_owned()), 2),
            (
                &Kind::Processes {
                    comm: "worker".to_owned(),
                    user: String::new()
                },
                1
            ),
        ],
        "what is on the deny list, shells and sessions are left out"
    );
    assert!(
        groups[0].millicores > 0 && groups[1].millicores == 0,
        "{groups:?}"
    );
    assert!(groups[0].mebibytes >= 2 * 156, "{groups:?}");
}

#[tokio::test]
async fn this_very_node_can_be_discovered_and_a_file_is_never_written_over() {
    let folder = tempfile::tempdir().unwrap();
    let args = DiscoverArgs {
        output: Some(folder.path().join("agent.toml")),
        // Nobody listens there.
        nut: "127.0.0.1:1".to_owned(),
        name: None,
        ..args()
    };
    discover(&args).await.unwrap();
    AgentConfig::read(args.output.as_ref().unwrap()).unwrap();
    let error = discover(&args).await.unwrap_err().to_string();
    assert!(
        error.starts_with("cannot write") && error.contains("exists"),
        "{error}"
    );
}
