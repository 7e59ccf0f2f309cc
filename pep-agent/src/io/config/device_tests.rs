//! Devices that the agent speaks to itself, in its file: what they become, and how slips are told.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::path::{Path, PathBuf};
use std::time::Duration;

use async_snmp::{AuthProtocol, PrivProtocol};

use super::*;
use crate::drivers::snmp::SnmpAccess;
use crate::drivers::trust::Trust;

const AGENT: &str = r#"
[agent]
name = "n1"
state_dir = "state"
[pdp]
address = "127.0.0.1:3288"
[[server]]
name = "n1"
idle_watts = 100
peak_watts = 300
inlets = [{ domain = "feedA", max_watts = 500 }]
"#;

fn read(tables: &str) -> Result<AgentConfig, TomlError> {
    AgentConfig::from_text(Path::new("/etc/pep/a.toml"), &format!("{AGENT}{tables}"))
}

/// Of a good file, with `from` replaced by `to`, what is wrong.
fn fault(good: &str, from: &str, to: &str) -> String {
    assert!(read(good).is_ok(), "{:?}", read(good).unwrap_err());
    assert!(good.contains(from), "{from:?} is not in the file");
    read(&good.replacen(from, to, 1)).expect_err(to).to_string()
}

fn faults(good: &str, cases: &[(&str, &str, &str)]) {
    for (from, to, said) in cases {
        let error = fault(good, from, to);
        assert!(error.contains(said), "{from:?} -> {to:?}: {error}");
    }
}

const SNMP: &str = r#"
[[line]]
name = "b-to-n1"
driver = "snmp_outlet"
address = "pdu1"
outlet = 5
table = "apc-rpdu2"
user = "pep"
password_file = "p"
privacy_password_file = "q"
max_watts = 400
reserves = ["ups-b"]
servers = ["n1"]
"#;

#[test]
fn an_outlet_by_snmp_is_authenticated_and_encrypted_unless_the_file_says_otherwise() {
    let config = read(SNMP).unwrap();
    let LineSource::SnmpOutlet(facts) = &config.lines[0].source else {
        panic!("another source")
    };
    assert_eq!((facts.device.address.as_str(), facts.outlet), ("pdu1:161", 5));
    assert_eq!(facts.limit, Duration::from_secs(10));
    let SnmpAccess::Usm(usm) = &facts.device.access else {
        panic!("{:?}", facts.device.access)
    };
    assert_eq!(
        usm.authentication,
        (AuthProtocol::Sha256, PathBuf::from("/etc/pep/p"))
    );
    assert_eq!(
        usm.privacy,
        Some((PrivProtocol::Aes128, PathBuf::from("/etc/pep/q")))
    );
    let plain = SNMP.replace("privacy_password_file = \"q\"", "privacy = \"none\"");
    assert!(read(&plain).is_ok());
    faults(
        SNMP,
        &[
            (
                "\"apc-rpdu2\"",
                "\"apc\"",
                "expected one of apc-masterswitch, apc-rpdu, apc-rpdu2, energy-object",
            ),
            (
                "table = \"apc-rpdu2\"",
                "",
                "is missing, expected one of apc-masterswitch",
            ),
            (
                "table = \"apc-rpdu2\"",
                "objects = { state = \"x\", state_on = 1, state_off = 2, control = \"1.3.6\", control_on = 1, control_off = 2 }",
                "expected an object identifier",
            ),
            (
                "table = \"apc-rpdu2\"",
                "objects = { state = \"1.3.6.1\", state_on = 1, state_off = 1, control = \"1.3.6.1\", control_on = 1, control_off = 2 }",
                "for state on and off alike",
            ),
            (
                "user = \"pep\"",
                "",
                "a user for SNMPv3, or community_file for SNMPv2c",
            ),
            (
                "user = \"pep\"",
                "user = \"pep\"\ncommunity_file = \"c\"",
                "it is for SNMPv3",
            ),
            ("privacy_password_file = \"q\"", "", "or privacy = \"none\""),
            (
                "privacy_password_file = \"q\"",
                "privacy_password_file = \"q\"\nprivacy = \"rot13\"",
                "expected aes",
            ),
            (
                "user = \"pep\"",
                "user = \"pep\"\nauthentication = \"crc\"",
                "expected md5, sha",
            ),
            ("[\"ups-b\"]", "[\"ups-b\", \"ups-c\"]", "must have one member"),
            (
                "outlet = 5",
                "outlet = 5\nups = \"x\"",
                "it is for driver = \"nut_outlet\"",
            ),
            (
                "outlet = 5",
                "outlet = 5\nurl = \"https://x\"",
                "it is for Redfish",
            ),
        ],
    );
}

const REDFISH: &str = r#"
[[line]]
name = "b-to-n1"
driver = "redfish_outlet"
url = "https://pdu1"
resource = "/redfish/v1/PowerEquipment/RackPDUs/1/Outlets/A1"
authorities = "ca.pem"
user = "pep"
password_file = "p"
max_watts = 400
reserves = ["ups-b"]
servers = ["n1"]
"#;

#[test]
fn a_redfish_service_is_known_by_something_or_is_this_machine() {
    let access = |text: &str| {
        let config = read(text).unwrap();
        let LineSource::RedfishOutlet { service, .. } = config.lines[0].source.clone() else {
            panic!("another source")
        };
        service
    };
    let service = access(REDFISH);
    assert_eq!((service.host.as_str(), service.port), ("pdu1", 443));
    assert_eq!(service.trust, Some(Trust::Authorities("/etc/pep/ca.pem".into())));
    let local = REDFISH
        .replace("https://pdu1", "http://127.0.0.1:8000")
        .replace("authorities = \"ca.pem\"", "");
    let service = access(&local);
    assert_eq!((service.port, service.trust), (8000, None));
    let six = access(&REDFISH.replace("https://pdu1", "https://[::1]:8443/"));
    assert_eq!((six.host.as_str(), six.port), ("::1", 8443));
    let digits = "0a:".repeat(32);
    let pinned = REDFISH.replace(
        "authorities = \"ca.pem\"",
        &format!("fingerprint = \"{}\"", digits.trim_end_matches(':')),
    );
    assert_eq!(access(&pinned).trust, Some(Trust::Fingerprint([10; 32])));
    faults(
        REDFISH,
        &[
            (
                "https://pdu1",
                "http://pdu1",
                "in plain, which carries the password, to another machine",
            ),
            ("https://pdu1", "pdu1", "without a scheme"),
            ("https://pdu1", "https://pep:secret@pdu1", "with more than a host"),
            ("https://pdu1", "https://pdu1:0", "with a port that is none"),
            (
                "authorities = \"ca.pem\"",
                "",
                "expected a file of authorities (PEM), or fingerprint",
            ),
            (
                "authorities = \"ca.pem\"",
                "fingerprint = \"0a0b\"",
                "64 hexadecimal digits",
            ),
            (
                "/redfish/v1/PowerEquipment",
                "/elsewhere",
                "expected a path as in",
            ),
            ("user = \"pep\"", "", "a user of the Redfish service"),
        ],
    );
}

const TRANSFER: &str = r#"
[[line]]
name = "ats"
driver = "snmp_transfer"
address = "ats1"
community_file = "c"
inputs = { ups-a = "A", ups-b = "B" }
max_watts = 400
mode = "exclusive"
changeover = "ats"
reserves = ["ups-a", "ups-b"]
servers = ["n1"]
"#;

#[test]
fn a_transfer_switch_names_what_stands_at_its_inputs() {
    let config = read(TRANSFER).unwrap();
    let LineSource::SnmpTransfer { inputs, .. } = &config.lines[0].source else {
        panic!("another source")
    };
    assert_eq!((inputs.reserves.len(), inputs.rest.as_ref()), (2, None));
    faults(
        TRANSFER,
        &[
            (
                "ups-b = \"B\"",
                "ups-b = \"A\"",
                "has two reserves at input \"A\"",
            ),
            (
                "ups-b = \"B\"",
                "ups-b = \"C\"",
                "has input \"C\", expected one of A, B",
            ),
            (", ups-b = \"B\"", "", "has no input of reserve \"ups-b\""),
            (
                "[\"ups-a\", \"ups-b\"]",
                "[\"ups-a\"]",
                "must name what stands at its inputs",
            ),
            (
                "mode = \"exclusive\"",
                "mode = \"shared\"",
                "feeds from one input at a time",
            ),
            ("[\"n1\"]", "[\"n1\", \"n2\"]", "must have one member"),
            (
                "mode =",
                "rest = \"A\"\nmode =",
                "at which a reserve of the line stands",
            ),
            (
                "inputs =",
                "outlet = 1\ninputs =",
                "it is for an outlet with a number",
            ),
        ],
    );
}

const SLEEPER: &str = r#"
[[server]]
name = "n2"
driver = "wake_on_lan"
role = "witness"
mac = "52-54-00-12-34-56"
probe = "n2"
idle_watts = 100
peak_watts = 300
inlets = [{ domain = "feedA", max_watts = 500 }]
"#;

#[test]
fn a_sleeper_is_a_neighbour_with_an_address_and_a_port_that_answers() {
    let config = read(SLEEPER).unwrap();
    let waker = config.servers[1].wake_on_lan.clone().unwrap();
    assert_eq!(waker.mac, [0x52, 0x54, 0, 0x12, 0x34, 0x56]);
    assert_eq!(
        (waker.to.as_str(), waker.probe.as_str()),
        ("255.255.255.255:9", "n2:22")
    );
    assert!(config.servers[1].facts.as_ref().unwrap().can_power);
    faults(
        SLEEPER,
        &[
            ("role = \"witness\"", "", "a server is woken by a neighbour"),
            ("52-54-00-12-34-56", "52-54-00-12-34", "expected six octets"),
            ("52-54-00-12-34-56", "525400123456", "expected six octets"),
            ("probe = \"n2\"", "", "a TCP port of it that answers"),
            (
                "probe = \"n2\"",
                "probe = \"n2\"\nurl = \"https://x\"",
                "it is for driver = \"redfish\"",
            ),
        ],
    );
}

const GROUP: &str = r#"
[[activity]]
name = "reports"
driver = "cgroup"
container = "3F4E1C2D5A6B"
stop_by = "freezing"
"#;

#[test]
fn a_control_group_says_how_it_is_stopped() {
    let config = read(GROUP).unwrap();
    let ActivitySource::Cgroup { which, stop_by, .. } = &config.activities[0].source else {
        panic!("another source")
    };
    assert_eq!(*which, Which::Container("3f4e1c2d5a6b".to_owned()));
    assert_eq!(*stop_by, StopBy::Freezing);
    assert!(config.activities[0].facts.startable, "it is thawed");
    faults(
        GROUP,
        &[
            ("stop_by = \"freezing\"", "", "\"freezing\" (it keeps its memory"),
            ("3F4E1C2D5A6B", "3F4E", "12 to 64 hexadecimal digits"),
            (
                "container = \"3F4E1C2D5A6B\"",
                "cgroup = \"/\"",
                "and not the root",
            ),
            (
                "container = \"3F4E1C2D5A6B\"",
                "cgroup = \"/a/../..\"",
                "expected a path as in /proc/PID/cgroup",
            ),
            ("container = \"3F4E1C2D5A6B\"", "", "or container, an identifier"),
            (
                "\"freezing\"",
                "\"freezing\"\nstart = [\"x\"]",
                "what is frozen is thawed",
            ),
        ],
    );
}

#[test]
fn draws_are_measured_by_something() {
    let measured = |tables: &str| {
        let text = format!("{AGENT}measure_draws = true\n{tables}");
        AgentConfig::from_text(Path::new("/etc/pep/a.toml"), &text)
    };
    let error = measured("").unwrap_err().to_string();
    assert!(error.contains("needs something that measures"), "{error}");
    assert!(measured("rapl_rest_watts = 60\n").unwrap().servers[0].measure_draws);
    let ups = "[[reserve]]\ndriver = \"nut\"\nups = \"u\"\ncapacity_wh = 100\nmax_watts = 500\n";
    let config = measured(ups).unwrap();
    assert!(sole_ups(&config.servers[0], &config.reserves).is_some());
    let shared = format!("{ups}feeds = [\"n1\", \"n2\"]\n");
    assert!(measured(&shared).is_err(), "its load is not this server's alone");
}
