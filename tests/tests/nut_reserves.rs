//! Reserves that a real `upsd` knows, read by the drivers that the agent's file makes: several UPSes, TLS, logins, and
//! devices that contradict themselves. (`nut_end_to_end` has the whole cluster.)

#![allow(clippy::unwrap_used, clippy::panic)]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use pep_agent::drivers::nut::NutReserve;
use pep_agent::drivers::{ReadError, ReserveDriver};
use pep_agent::engine::facts::ReserveReading;
use pep_agent::io::config::{AgentConfig, ReserveSource};
use power_policy::model::{Mains, ReserveState};
use system_tests::nut::{Nut, PASSWORD, USER};
use system_tests::process::{program, wait_for};

const PATIENCE: Duration = Duration::from_secs(60);
type Variables = [(&'static str, &'static str)];
const ON_LINE: &Variables = &[
    ("ups.status", "OL"),
    ("battery.charge", "100"),
    ("ups.realpower", "100"),
];

fn text(nut: &Nut, ups: &str, keys: &str) -> String {
    format!(
        r#"
[agent]
name = "s1"
state_dir = "state"
[pdp]
address = "127.0.0.1:3288"
[[server]]
name = "s1"
idle_watts = 40
peak_watts = 200
inlets = [{{ domain = "feed-a", max_watts = 300 }}]
[[reserve]]
driver = "nut"
ups = "{ups}"
address = "{}"
capacity_wh = 100
max_watts = 300
{keys}
"#,
        nut.address()
    )
}

fn reserve(folder: &Path, nut: &Nut, ups: &str, keys: &str) -> NutReserve {
    let config = AgentConfig::from_text(&folder.join("agent.toml"), &text(nut, ups, keys)).unwrap();
    let ReserveSource::Nut { server, ups, figures } = config.reserves[0].source.clone() else {
        panic!("another source")
    };
    NutReserve::new(server, ups, figures)
}

async fn until(
    reserve: &mut NutReserve,
    what: &str,
    holds: impl Fn(&ReserveReading) -> bool,
) -> ReserveReading {
    wait_for(what, PATIENCE, async || {
        reserve.read().await.ok().filter(|reading| holds(reading))
    })
    .await
    .unwrap()
}

#[tokio::test]
async fn one_upsd_has_several_upses_and_one_that_is_lost_takes_no_other_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let mut nut = Nut::start_all(&[("rack1", ON_LINE), ("rack2", ON_LINE)], false).unwrap();
    let mut first = reserve(folder.path(), &nut, "rack1", "");
    let mut second = reserve(folder.path(), &nut, "rack2", "");
    nut.set_of("rack2", &[("ups.status", "OB DISCHRG"), ("battery.charge", "70")])
        .unwrap();
    let away = |reading: &ReserveReading| reading.mains == Mains::Absent;
    let reading = until(&mut second, "rack2 is on battery", away).await;
    assert_eq!(reading.charge_joules, Some(360_000 / 100 * 70));
    let reading = first.read().await.unwrap();
    assert_eq!(
        (reading.mains, reading.state),
        (Mains::Present, ReserveState::Idle)
    );

    nut.kill_driver("rack2").unwrap();
    let lost = wait_for("rack2 is lost", PATIENCE, async || second.read().await.err())
        .await
        .unwrap();
    let ReadError(reason) = lost;
    assert!(
        reason.ends_with("upsd says DRIVER-NOT-CONNECTED") || reason.ends_with("upsd says DATA-STALE"),
        "{reason}"
    );
    assert_eq!(first.read().await.unwrap().mains, Mains::Present);
    nut.start_driver("rack2").unwrap();
    until(&mut second, "rack2 is back", away).await;
}

#[tokio::test]
async fn contradictions_calibrations_and_forced_shut_downs_are_read_against_ourselves() {
    let folder = tempfile::tempdir().unwrap();
    let nut = Nut::start("rack1", ON_LINE).unwrap();
    let mut ups = reserve(folder.path(), &nut, "rack1", "");
    // Full by its charge, and gone in a minute by its runtime: the lesser counts, and its note says so.
    nut.set(&[
        ("ups.status", "OB DISCHRG"),
        ("battery.charge", "100"),
        ("battery.runtime", "60"),
        ("ups.realpower", "200"),
    ])
    .unwrap();
    let reading = until(&mut ups, "its runtime contradicts its charge", |reading| {
        reading.charge_joules == Some(12_000)
    })
    .await;
    assert_eq!(
        reading.note,
        "battery.runtime x ups.realpower, less than battery.charge says"
    );
    // And the other way round.
    nut.set(&[
        ("ups.status", "OB DISCHRG"),
        ("battery.charge", "10"),
        ("battery.runtime", "99999"),
        ("ups.realpower", "200"),
    ])
    .unwrap();
    until(&mut ups, "its charge contradicts its runtime", |reading| {
        reading.charge_joules == Some(36_000)
    })
    .await;

    // A calibration drains the battery while the mains is there: no outage.
    nut.set(&[("ups.status", "OL CAL DISCHRG"), ("battery.charge", "60")])
        .unwrap();
    let reading = until(&mut ups, "it calibrates", |reading| {
        reading.note.ends_with("a calibration runs")
    })
    .await;
    assert_eq!(
        (reading.mains, reading.state),
        (Mains::Present, ReserveState::Discharging)
    );
    nut.set(&[("ups.status", "FSD OB LB"), ("battery.charge", "30")])
        .unwrap();
    let reading = until(&mut ups, "it is forced down", |reading| {
        reading.note.ends_with("a forced shut-down was ordered")
    })
    .await;
    assert_eq!((reading.mains, reading.state), (Mains::Absent, ReserveState::Low));
}

#[tokio::test]
async fn over_tls_it_is_known_by_its_authority_or_fingerprint_and_logged_in_to() {
    let folder = tempfile::tempdir().unwrap();
    let nut = Nut::start_all(&[("rack1", ON_LINE)], true).unwrap();
    let here = folder.path();
    fs::copy(nut.certificate(), here.join("upsd.pem")).unwrap();
    let password = |text: &str| {
        fs::write(here.join("password"), text).unwrap();
        fs::set_permissions(here.join("password"), fs::Permissions::from_mode(0o600)).unwrap();
    };
    password(PASSWORD);
    let login = format!("user = \"{USER}\"\npassword_file = \"password\"\n");
    let trusted = format!("{login}authorities = \"upsd.pem\"");
    let reading = reserve(here, &nut, "rack1", &trusted).read().await.unwrap();
    assert_eq!(
        (reading.mains, reading.charge_joules),
        (Mains::Present, Some(360_000))
    );

    let digest = Command::new("openssl")
        .args(["x509", "-noout", "-fingerprint", "-sha256", "-in"])
        .arg(here.join("upsd.pem"))
        .output()
        .unwrap();
    let digest = String::from_utf8(digest.stdout).unwrap();
    let digest = digest.trim().split_once('=').unwrap().1;
    let pinned = format!("{login}fingerprint = \"{digest}\"");
    assert!(reserve(here, &nut, "rack1", &pinned).read().await.is_ok());
    let stranger = format!("{login}fingerprint = \"{}\"", "00".repeat(32));
    let error = reserve(here, &nut, "rack1", &stranger)
        .read()
        .await
        .unwrap_err()
        .0;
    assert!(error.contains(": STARTTLS: "), "{error}");
    let bare = reserve(here, &nut, "rack1", "").read().await;
    assert!(
        bare.is_ok(),
        "this upsd lets everybody read in plain, too: {bare:?}"
    );
}

#[test]
fn check_config_tells_of_a_dead_ups_a_missing_tool_and_a_password_that_others_may_read() {
    let folder = tempfile::tempdir().unwrap();
    let mut nut = Nut::start("rack1", ON_LINE).unwrap();
    let here = folder.path();
    fs::write(here.join("password"), PASSWORD).unwrap();
    fs::set_permissions(here.join("password"), fs::Permissions::from_mode(0o644)).unwrap();
    let keys = format!(
        r#"
[[reserve]]
name = "second"
driver = "nut"
ups = "rack1"
address = "{}"
user = "{USER}"
password_file = "password"
capacity_wh = 100
max_watts = 300
[[activity]]
name = "batch"
driver = "exec"
program = ["/nowhere/batch.sh"]
[[activity]]
name = "web"
driver = "command"
status = ["/bin/true"]
stop = ["/nowhere/stop-web"]
"#,
        nut.address()
    );
    let file = here.join("agent.toml");
    fs::write(&file, text(&nut, "rack1", &keys)).unwrap();
    let check = || {
        let output = Command::new(program("pep-agent").unwrap())
            .args(["check-config", "--config"])
            .arg(&file)
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let said = check();
    let reserve = format!("now: reserve rack1@{}: 360000 J", nut.address());
    for expected in [
        reserve.as_str(),
        "warning: reserve second cannot be read: ",
        "others than its owner may use it (mode 644)",
        "warning: activity batch on s1 cannot be read: /nowhere/batch.sh: ",
        "warning: the stop command of activity web: /nowhere/stop-web is not there",
    ] {
        assert!(said.contains(expected), "{expected:?} is not in:\n{said}");
    }
    nut.kill_daemon().unwrap();
    let said = check();
    let dead = format!("warning: reserve rack1@{} cannot be read: ", nut.address());
    assert!(said.contains(&dead) && said.contains("cannot connect"), "{said}");
}
