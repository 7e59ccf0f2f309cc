//! The parts of the system: C22 to C27.

use power_policy::plant::{PlantEvent, PlantEventKind, ServerPower};
use system_tests::cluster::{Cluster, scenarios};

use crate::cluster::{MINUTE, SEED, assert_sound, charge, diverted, ended, power, quiet, ride, ride_alone};
use crate::wire;

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
