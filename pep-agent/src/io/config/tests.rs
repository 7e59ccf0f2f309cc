use std::path::{Path, PathBuf};
use std::time::Duration;

use super::*;
use crate::drivers::process::Process;

/// A file that is right; each test breaks one thing of it.
const GOOD: &str = r#"
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

[[reserve]]
driver = "nut"
ups = "ups1"
capacity_wh = 100
max_watts = 500

[[manage]]
name = "batch"
comm = "worker"
start = ["/bin/worker"]
"#;

fn read(text: &str) -> Result<AgentConfig, TomlError> {
    AgentConfig::from_text(Path::new("/etc/pep/a.toml"), text)
}

/// The error of [`GOOD`] with `from` replaced by `to`.
fn fault(from: &str, to: &str) -> String {
    assert!(GOOD.contains(from), "{from:?} is not in the file");
    let error = read(&GOOD.replacen(from, to, 1)).expect_err(to).to_string();
    error
        .strip_prefix("/etc/pep/a.toml:")
        .unwrap_or(&error)
        .to_owned()
}

#[test]
fn reads_a_file_and_fills_in_what_is_left_out() {
    let config = read(GOOD).unwrap();
    assert_eq!(config.name.as_str(), "n1");
    assert_eq!(config.state_dir, PathBuf::from("/etc/pep/state"));
    assert_eq!(config.socket, PathBuf::from("/etc/pep/state/agent.sock"));
    assert!(!config.armed, "observe until armed");
    assert_eq!(config.pdp.addresses, ["127.0.0.1:3288"]);
    assert!(config.pdp.follow_redirects);
    assert_eq!(config.pdp.plan_ttl, Duration::from_secs(86_400));
    assert!(matches!(config.plant, PlantEntry::None));
    let reserve = &config.reserves[0];
    assert_eq!(reserve.name.as_str(), "ups1@127.0.0.1:3493");
    let facts = reserve.facts.as_ref().unwrap();
    assert_eq!((facts.capacity_joules, facts.cutoff_joules), (360_000, 72_000));
    assert_eq!(facts.feeds, [Name::new("n1").unwrap()]);
    assert_eq!(facts.mains, Some((Name::new("feedA").unwrap(), Witness::Inlet)));
    let ActivitySource::Process {
        start: Some(start), ..
    } = &config.activities[0].source
    else {
        panic!("{:?}", config.activities[0].source)
    };
    assert_eq!(start.output, PathBuf::from("/etc/pep/state/output/batch.log"));
    assert_eq!(
        config.activities[0].facts.process.as_ref().unwrap().as_str(),
        "worker"
    );
    assert_eq!(
        config.real_things(),
        ["server n1", "reserve ups1@127.0.0.1:3493", "activity batch"]
    );
}

#[test]
fn every_fault_names_line_key_and_what_was_expected() {
    let cases = [
        (
            "name = \"n1\"\nstate",
            "name = \"\"\nstate",
            "3:agent.name: a name has at least one character",
        ),
        (
            // C-2.2.11-02
            "name = \"n1\"\nstate",
            "name = \"nœud\"\nstate",
            "3:agent.name: expected printable ASCII in a PEPID, found 'œ' at octet 1",
        ),
        (
            "state_dir = \"state\"",
            "state_folder = \"s\"",
            "4:agent.state_folder: unknown field `state_folder`, expected one of",
        ),
        (
            "127.0.0.1:3288",
            "127.0.0.1",
            "7:pdp.address: is \"127.0.0.1\", expected host:port",
        ),
        (
            "127.0.0.1:3288",
            "127.0.0.1:0",
            "7:pdp.address: is \"127.0.0.1:0\", expected host:port",
        ),
        (
            "127.0.0.1:3288",
            "10.1.1.1:3288",
            "7:pdp.address: 10.1.1.1:3288 is not loopback: plain COPS goes there only with",
        ),
        (
            "address = \"127.0.0.1:3288\"",
            "",
            "6:pdp.address: is missing, expected host:port of the PDP",
        ),
        (
            "address = \"127.0.0.1:3288\"",
            "address = \"127.0.0.1:3288\"\naddresses = [\"127.0.0.1:3289\"]",
            "8:pdp.addresses: is there beside address, expected one of the two",
        ),
        (
            "address = \"127.0.0.1:3288\"",
            "addresses = []",
            "7:pdp.addresses: is empty, expected at least one host:port",
        ),
        (
            "address = \"127.0.0.1:3288\"",
            "addresses = [\"[::1]:3288\", \"pdp-2:\"]",
            "7:pdp.addresses: is \"pdp-2:\", expected host:port",
        ),
        (
            "address = \"127.0.0.1:3288\"",
            "addresses = [\"[::1]:3288\", \"[::1]:3288\"]",
            "7:pdp.addresses: has [::1]:3288 twice",
        ),
        (
            "address = \"127.0.0.1:3288\"",
            "address = \"127.0.0.1:3288\"\nredirect_addresses = [\"192.0.2.1:3288\"]",
            "8:pdp.redirect_addresses: 192.0.2.1:3288 is not loopback",
        ),
        (
            "address = \"127.0.0.1:3288\"",
            "address = \"127.0.0.1:3288\"\nfollow_redirects = false\nredirect_addresses = [\"127.0.0.1:1\"]",
            "9:pdp.redirect_addresses: has entries, and follow_redirects = false",
        ),
        (
            "idle_watts = 100\n",
            "",
            "9:server[0].idle_watts: is missing, expected its draw with nothing running, in watts",
        ),
        (
            "idle_watts = 100",
            "idle_watts = -1",
            "11:server[0].idle_watts: is -1, expected 0 to",
        ),
        (
            "idle_watts = 100",
            "idle_watts = nan",
            "11:server[0].idle_watts: is NaN, expected 0 to",
        ),
        (
            "idle_watts = 100",
            "idle_watts = \"100\"",
            "11:server[0].idle_watts: invalid type: string \"100\", expected f64",
        ),
        (
            "peak_watts = 300",
            "peak_watts = 99",
            "12:server[0].peak_watts: is 99, expected at least the idle draw of 100",
        ),
        (
            "[{ domain = \"feedA\", max_watts = 500 }]",
            "[]",
            "13:server[0].inlets: is missing, expected its mains feeds",
        ),
        (
            "domain = \"feedA\", ",
            "",
            "13:server[0].inlets[0]: missing field `domain`",
        ),
        (
            "driver = \"nut\"",
            "driver = \"apc\"",
            "16:reserve[0].driver: unknown variant `apc`, expected one of `simulated`, `nut`, `power_supply`",
        ),
        (
            "ups = \"ups1\"\n",
            "",
            "15:reserve[0].ups: is missing, expected the name of the device at its upsd",
        ),
        (
            "ups = \"ups1\"",
            "ups = \"a b\"",
            "17:reserve[0].ups: is \"a b\", expected letters, digits",
        ),
        (
            "ups = \"ups1\"",
            "ups = \"u\"\naddress = \"h:x\"",
            "18:reserve[0].address: is \"h:x\", expected host or host:port",
        ),
        (
            "capacity_wh = 100\n",
            "",
            "15:reserve[0].capacity_wh: is missing, expected the energy of its full battery",
        ),
        (
            "capacity_wh = 100",
            "capacity_wh = 0",
            "18:reserve[0].capacity_wh: is 0, expected 0.001 to 1000000",
        ),
        (
            "capacity_wh = 100",
            "capacity_wh = 1\ncutoff_percent = 101",
            "19:reserve[0].cutoff_percent: is 101, expected 0 to 100",
        ),
        (
            "capacity_wh = 100",
            "capacity_wh = 1\ncharge_percent = 5",
            "19:reserve[0].charge_percent: has no place here: it is for what is simulated",
        ),
        (
            "max_watts = 500\n\n",
            "max_watts = 500\nwitness = \"facility\"\n\n",
            "20:reserve[0].witness: has no place here: it needs a domain",
        ),
        (
            "comm = \"worker\"\n",
            "",
            "21:manage[0].comm: is missing: expected at least one of comm, exe, cmdline and cgroup",
        ),
        ("comm = \"worker\"", "comm = \"[\"", "23:manage[0].comm: "),
        (
            "start = [\"/bin/worker\"]",
            "start = []",
            "24:manage[0].start: is empty, expected a program and its arguments",
        ),
        (
            "start = [\"/bin/worker\"]",
            "server = \"n2\"",
            "24:manage[0].server: is \"n2\", expected a [[server]] that this agent",
        ),
        (
            "start = [\"/bin/worker\"]",
            "output = \"x\"",
            "24:manage[0].output: has no place here: there is no start command",
        ),
        (
            "start = [\"/bin/worker\"]",
            "stop_seconds = 1e9",
            "24:manage[0].stop_seconds: is 1000000000, expected 0 to 2592000",
        ),
        (
            "[[manage]]",
            "[[line]]\nname = \"l\"\ndriver = \"simulated\"\n[[manage]]",
            "21:line[0].max_watts: is missing, expected the largest power at its input",
        ),
        (
            "[[manage]]",
            "[deny]\ncomm = [\"[\"]\n[[manage]]",
            "22:deny.comm: ",
        ),
        (
            "[[manage]]",
            "[[domain]]\nname = \"d\"\n[[manage]]",
            "22:domain[0].name: has no place here: without a plant",
        ),
        (
            "[[manage]]",
            "[[activity]]\nname = \"a\"\ndriver = \"simulated\"\n[[manage]]",
            "23:activity[0].driver: is \"simulated\", and its server is real",
        ),
        (
            "[[manage]]",
            "[[activity]]\nname = \"a\"\ndriver = \"command\"\n[[manage]]",
            "21:activity[0].status: is missing, expected a command that ends with status 0",
        ),
        (
            "[[manage]]",
            "[[manage]]\nname = \"batch\"\ncomm = \"x\"\n[[manage]]",
            "25:manage[1].name: \"batch\" on \"n1\" is taken already",
        ),
        (
            "[[manage]]",
            "[[server]]\nname = \"n1\"\n[[manage]]",
            "22:server[1].name: \"n1\" is taken already",
        ),
    ];
    for (from, to, expected) in cases {
        let found = fault(from, to);
        assert!(
            found.starts_with(expected),
            "{to:?}\n found {found}\n expected {expected}"
        );
    }
}

#[test]
fn with_a_shared_plant_its_figures_are_the_plants() {
    let simulated = r#"
[agent]
name = "n1"
state_dir = "state"
[pdp]
address = "127.0.0.1:3288"
[plant]
socket = "plant.sock"
[[server]]
name = "n1"
driver = "simulated"
[[reserve]]
name = "u"
driver = "simulated"
"#;
    let config = read(simulated).unwrap();
    let PlantEntry::Shared(path) = &config.plant else {
        panic!()
    };
    assert_eq!(path, Path::new("/etc/pep/plant.sock"));
    assert_eq!(
        (config.servers[0].facts.is_none(), config.real_things().len()),
        (true, 0)
    );
    let error = read(&format!("{simulated}capacity_wh = 5\n"))
        .unwrap_err()
        .to_string();
    assert_eq!(
        error,
        "/etc/pep/a.toml:15:reserve[0].capacity_wh: has no place here: the plant knows its figures"
    );
}

#[test]
fn a_private_plant_is_checked_as_a_plant_at_the_file_s_own_keys() {
    let example = include_str!("../../../examples/simulated-node.toml");
    let broken = example.replace("reference_watts = 80", "reference_watts = 0");
    let error = read(&broken).unwrap_err();
    assert_eq!(error.key.as_deref(), Some("reserve[0].reference_watts"));
    assert!(error.problem.contains("expected 1 to"), "{error}");
}

#[test]
fn the_examples_are_read() {
    let nut = read(include_str!("../../../examples/nut-node.toml")).unwrap();
    assert_eq!(nut.activities.len(), 3);
    let named = |comm: &str| Process {
        pid: 1,
        parent: 0,
        started: 0,
        comm: comm.into(),
        cmdline: String::new(),
        exe: String::new(),
        user: String::new(),
        cgroups: vec![],
        is_kernel: false,
    };
    assert!(nut.deny.iter().any(|pattern| pattern.matches(&named("qemu-kvm"))));
    let rack = read(include_str!("../../../examples/rack.toml")).unwrap();
    assert_eq!(
        (rack.servers.len(), rack.reserves.len(), rack.lines.len()),
        (2, 2, 1)
    );
    assert!(rack.servers.iter().all(|server| server.role == Role::Witness));
    let node = read(include_str!("../../../examples/simulated-node.toml")).unwrap();
    let PlantEntry::Private(plant) = &node.plant else {
        panic!()
    };
    assert_eq!(plant.servers[0].supplies, ["ups1"]);
    assert_eq!(plant.reserves[0].charge_millijoules, 400 * 3_600_000 / 10 * 9);
    assert_eq!(node.real_things(), [""; 0]);
}

#[test]
fn output_files_stay_in_their_folder() {
    for (name, expected) in [
        ("../../etc/x", "_.._etc_x.log"),
        ("a/b c", "a_b_c.log"),
        ("...", ".log"),
    ] {
        let config = read(&GOOD.replace("name = \"batch\"", &format!("name = \"{name}\""))).unwrap();
        let ActivitySource::Process {
            start: Some(start), ..
        } = &config.activities[0].source
        else {
            panic!()
        };
        assert_eq!(
            start.output,
            Path::new("/etc/pep/state/output").join(expected),
            "{name}"
        );
    }
}

#[test]
fn a_battery_of_the_kernel() {
    let of_kernel = "driver = \"power_supply\"\ndevice = \"BAT0\"\nadapter = \"AC\"";
    let nut = "driver = \"nut\"\nups = \"ups1\"";
    let config = read(&GOOD.replacen(nut, of_kernel, 1)).unwrap();
    let reserve = &config.reserves[0];
    assert_eq!(reserve.name.as_str(), "BAT0@n1");
    let ReserveSource::PowerSupply {
        class,
        device,
        adapter,
        figures,
    } = &reserve.source
    else {
        panic!("{:?}", reserve.source)
    };
    assert_eq!(class, Path::new("/sys/class/power_supply"));
    assert_eq!((device.as_str(), adapter.as_deref()), ("BAT0", Some("AC")));
    assert_eq!(
        (figures.capacity_joules, figures.cutoff_joules),
        (360_000, 72_000)
    );
    assert_eq!(
        reserve.facts.as_ref().unwrap().mains,
        Some((Name::new("feedA").unwrap(), Witness::Inlet))
    );

    for (text, told) in [
        (
            "driver = \"power_supply\"",
            "device: is missing, expected the name of the battery",
        ),
        (
            "driver = \"power_supply\"\ndevice = \"../BAT0\"",
            "device: is \"../BAT0\", expected the name of a folder",
        ),
        (
            "driver = \"power_supply\"\ndevice = \"BAT0\"\nups = \"ups1\"",
            "ups: has no place here: it is for a NUT reserve",
        ),
        (
            "driver = \"nut\"\nups = \"ups1\"\ndevice = \"BAT0\"",
            "device: has no place here: it is for a reserve of the kernel",
        ),
    ] {
        let error = fault(nut, text);
        assert!(error.contains(told), "{text}: {error}");
    }
}

#[test]
fn things_behind_programs() {
    let text = r#"
[agent]
name = "rack1"
state_dir = "state"
[pdp]
address = "127.0.0.1:3288"
[[server]]
name = "s1"
driver = "exec"
role = "witness"
program = ["/opt/bmc", "s1"]
limit_seconds = 10
idle_watts = 100
peak_watts = 300
boot_seconds = 120
starter = "rack1"
inlets = [{ domain = "feedA", max_watts = 500 }]
[[reserve]]
name = "ups1"
driver = "exec"
program = ["/opt/ups"]
capacity_wh = 100
max_watts = 500
feeds = ["s1"]
[[line]]
name = "L1"
driver = "exec"
program = ["/opt/pdu", "7"]
poll_seconds = 2
max_watts = 400
switch_millis = 15
mode = "exclusive"
changeover = "ats"
reserves = ["ups1"]
servers = ["s1"]
"#;
    let config = read(text).unwrap();
    let program = config.servers[0].program.as_ref().unwrap();
    assert_eq!(program.argv, ["/opt/bmc", "s1"]);
    assert_eq!(program.limit, Duration::from_secs(10));
    assert!(config.servers[0].facts.as_ref().unwrap().can_power);
    assert!(!config.lines[0].facts.as_ref().unwrap().simulated);
    assert!(matches!(config.plant, PlantEntry::None), "nothing needs a plant");
    assert_eq!(config.real_things(), ["server s1", "reserve ups1", "line L1"]);
    for (from, to, told) in [
        (
            "program = [\"/opt/pdu\", \"7\"]",
            "",
            "program: is missing, expected the program",
        ),
        ("program = [\"/opt/ups\"]", "program = []", "program: is missing"),
        (
            "driver = \"exec\"\nrole",
            "role",
            "program: has no place here: it is for driver = \"exec\"",
        ),
    ] {
        let error = read(&text.replacen(from, to, 1)).unwrap_err().to_string();
        assert!(error.contains(told), "{to}: {error}");
    }
}

#[test]
fn the_machine_itself_may_be_halted_and_measured() {
    let inlets = "inlets = [{ domain = \"feedA\", max_watts = 500 }]";
    let with = |more: &str| GOOD.replacen(inlets, &format!("{inlets}\n{more}"), 1);
    let config = read(&with("halt = [\"poweroff\"]\nrapl_rest_watts = 60")).unwrap();
    assert_eq!(config.servers[0].halt, Some(vec!["poweroff".to_owned()]));
    assert_eq!(
        config.servers[0].rapl,
        Some(("/sys/class/powercap".into(), 60_000))
    );
    for (more, told) in [
        ("halt = []", "halt: is empty"),
        (
            "powercap_dir = \"/tmp\"",
            "powercap_dir: has no place here: it needs rapl_rest_watts",
        ),
        (
            "role = \"witness\"\nhalt = [\"x\"]",
            "halt: has no place here: it is for the machine",
        ),
    ] {
        let error = read(&with(more)).unwrap_err().to_string();
        assert!(error.contains(told), "{more}: {error}");
    }
}

#[test]
fn an_outlet_that_a_nut_server_switches() {
    let line = r#"
[[line]]
name = "b-to-n1"
driver = "nut_outlet"
ups = "pdu1"
outlet = 3
user = "pep"
password_file = "nut.password"
max_watts = 400
reserves = ["ups1"]
servers = ["n1"]
"#;
    let with = |from: &str, to: &str| format!("{GOOD}{}", line.replacen(from, to, 1));
    let config = read(&with("", "")).unwrap();
    let LineSource::NutOutlet(facts) = &config.lines[0].source else {
        panic!("{:?}", config.lines[0].source)
    };
    assert_eq!(facts.server.address, "127.0.0.1:3493");
    let login = facts.server.login.as_ref().unwrap();
    assert_eq!(login.password_file, Path::new("/etc/pep/nut.password"));
    assert_eq!((facts.device.as_str(), facts.outlet), ("pdu1", 3));
    assert_eq!(facts.switch, crate::drivers::nut::OutletSwitch::Commands);
    for (from, to, told) in [
        (
            "outlet = 3",
            "",
            "outlet: is missing, expected the number of the outlet",
        ),
        ("outlet = 3", "outlet = -3", "outlet: "),
        ("\"n1\"]", "\"n1\", \"n2\"]", "servers: must have one member"),
        ("user = \"pep\"", "", "user: is missing"),
        (
            "user = \"pep\"",
            "user = \"a b\"",
            "user: is \"a b\", expected letters",
        ),
        (
            "password_file = \"nut.password\"",
            "",
            "password_file: is missing",
        ),
        (
            "driver = \"nut_outlet\"",
            "driver = \"simulated\"",
            "ups: has no place here",
        ),
        (
            "outlet = 3",
            "outlet = 3\nprogram = [\"x\"]",
            "program: has no place here",
        ),
    ] {
        let error = read(&with(from, to)).unwrap_err().to_string();
        assert!(error.contains(told), "{to}: {error}");
    }
}

#[test]
fn a_unit_of_systemd() {
    let unit = "\n[[activity]]\nname = \"db\"\ndriver = \"systemd\"\nunit = \"postgresql.service\"\n";
    let config = read(&format!("{GOOD}{unit}")).unwrap();
    let ActivitySource::Systemd { bus, unit: name } = &config.activities[0].source else {
        panic!("{:?}", config.activities[0].source)
    };
    assert_eq!(
        (bus, name.as_str()),
        (&crate::drivers::systemd::Bus::System, "postgresql.service")
    );
    for (from, to, told) in [
        (
            "unit = \"postgresql.service\"",
            "",
            "unit: is missing, expected the unit",
        ),
        (
            "postgresql.service",
            "postgresql",
            "unit: is \"postgresql\", expected the name of a service unit",
        ),
        (
            "unit =",
            "stop = [\"x\"]\nunit =",
            "stop: has no place here: systemd knows",
        ),
        (
            "driver = \"systemd\"",
            "driver = \"command\"",
            "unit: has no place here",
        ),
    ] {
        let error = read(&format!("{GOOD}{}", unit.replacen(from, to, 1)))
            .unwrap_err()
            .to_string();
        assert!(error.contains(told), "{to}: {error}");
    }
}

#[test]
fn integrity_has_a_mode_and_keys_and_protects_beyond_loopback() {
    assert_eq!(read(GOOD).unwrap().integrity, None);
    let with = |table: &str| {
        let far = GOOD.replacen("127.0.0.1:3288", "192.0.2.1:3288", 1);
        read(&format!("{far}\n[integrity]\n{table}\n"))
    };
    let required = "mode = \"required\"\nkeys = \"keys.toml\"";
    let config = with(required).unwrap();
    assert!(config.pdp.allow_plain, "where it cannot be forged it may go");
    let integrity = config.integrity.unwrap();
    assert!(integrity.required);
    assert_eq!(integrity.keys, Path::new("/etc/pep/keys.toml"));
    let told = |table| with(table).expect_err(table).to_string();
    // A PDP may do without: that is not protected.
    let optional = told("mode = \"optional\"\nkeys = \"keys.toml\"");
    assert!(optional.contains("is not loopback"), "{optional}");
    assert!(told("mode = \"off\"").contains("is not loopback"));
    let no_keys = told("mode = \"required\"");
    assert!(
        no_keys.contains("integrity.keys: is missing, expected the file of keys"),
        "{no_keys}"
    );
    told("mode = \"perhaps\"\nkeys = \"keys.toml\"");
}
