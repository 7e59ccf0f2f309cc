//! Drivers of NUT, against answers as upsd gives them and as it does not.

mod outlet;

use std::collections::BTreeMap;

use power_policy::model::{FigureSource, Mains, ReserveState};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use super::protocol::{Fault, Progress, listing};
use super::*;
use crate::drivers::ReserveDriver;

fn figures() -> NutFigures {
    NutFigures {
        capacity_joules: 1_000_000,
        health_permille: 900,
        cutoff_joules: 100_000,
        nominal_milliwatts: None,
        load_milliwatts: None,
    }
}

fn plain(address: String) -> NutServer {
    NutServer {
        address,
        login: None,
        trust: None,
    }
}

fn variables(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

#[test]
fn reads_every_word_of_the_status() {
    let cases = [
        ("OL", Mains::Present, ReserveState::Idle),
        ("OL CHRG", Mains::Present, ReserveState::Charging),
        ("OB DISCHRG", Mains::Absent, ReserveState::Discharging),
        ("OB", Mains::Absent, ReserveState::Discharging),
        ("OB LB", Mains::Absent, ReserveState::Low),
        ("OL LB", Mains::Present, ReserveState::Low),
        ("FSD OB LB", Mains::Absent, ReserveState::Low),
        ("FSD OL", Mains::Present, ReserveState::Low),
        ("WAIT", Mains::Unknown, ReserveState::Unknown),
        ("", Mains::Unknown, ReserveState::Unknown),
        ("OL OB", Mains::Unknown, ReserveState::Discharging),
        ("OL CAL DISCHRG", Mains::Present, ReserveState::Discharging),
        ("OB CAL DISCHRG", Mains::Unknown, ReserveState::Discharging),
        ("OL OFF", Mains::Present, ReserveState::Fault),
        ("OL BYPASS", Mains::Present, ReserveState::Fault),
        ("OL CHRG RB", Mains::Present, ReserveState::Charging),
        ("OL TRIM SOMETHING-NEW", Mains::Present, ReserveState::Idle),
    ];
    for (text, mains, state) in cases {
        let status = UpsStatus::new(text);
        assert_eq!((status.mains(), status.state()), (mains, state), "{text:?}");
    }
}

#[test]
fn energy_is_the_lesser_of_charge_and_runtime_and_says_which() {
    let on_battery = [
        ("ups.status", "OB DISCHRG"),
        ("battery.charge", "50"),
        ("ups.realpower", "300"),
    ];
    let mut told = variables(&on_battery);
    told.insert("battery.runtime".into(), "1000".into());
    // 1 MJ at 90 % health, half full: 450 kJ; 1000 s at 300 W: 300 kJ.
    let reading = figures().reading(&told);
    assert_eq!(reading.charge_joules, Some(300_000));
    assert_eq!(
        reading.note,
        "battery.runtime x ups.realpower, less than battery.charge says"
    );
    assert_eq!(
        (reading.milliwatts, reading.seconds_left),
        (Some(300_000), Some(1_000))
    );
    assert_eq!(
        (reading.capacity_joules, reading.source),
        (Some(900_000), FigureSource::Estimated)
    );

    told.insert("battery.runtime".into(), "2000".into());
    let reading = figures().reading(&told);
    assert_eq!(reading.charge_joules, Some(450_000));
    assert!(
        reading.note.starts_with("battery.charge x capacity"),
        "{}",
        reading.note
    );
}

#[test]
fn load_falls_back_from_realpower_to_percent_to_the_file() {
    let runtime = [("ups.status", "OB"), ("battery.runtime", "100")];
    let with = |more: &[(&str, &str)], figures: NutFigures| {
        let all: Vec<_> = runtime.iter().chain(more).copied().collect();
        figures.reading(&variables(&all))
    };
    let both = [
        ("ups.realpower", "200"),
        ("ups.load", "90"),
        ("ups.realpower.nominal", "500"),
    ];
    assert_eq!(with(&both, figures()).charge_joules, Some(20_000));
    assert_eq!(with(&both[1..], figures()).charge_joules, Some(45_000));
    let of_file = NutFigures {
        nominal_milliwatts: Some(400_000),
        ..figures()
    };
    assert_eq!(with(&both[1..2], of_file).charge_joules, Some(36_000));
    assert_eq!(
        with(&both[1..2], figures()).charge_joules,
        None,
        "a percentage of nothing"
    );
    let configured = NutFigures {
        load_milliwatts: Some(150_000),
        ..figures()
    };
    let reading = with(&[], configured);
    assert_eq!(
        (reading.charge_joules, reading.note.as_str()),
        (Some(15_000), "battery.runtime x the configured load")
    );
}

#[test]
fn nonsense_figures_are_none_and_never_more_than_full() {
    for charge in ["", "n/a", "NaN", "inf", "-5", "1e9"] {
        let reading = figures().reading(&variables(&[("ups.status", "OL"), ("battery.charge", charge)]));
        assert_eq!(
            (reading.charge_joules, reading.state),
            (None, ReserveState::Unknown),
            "{charge:?}"
        );
    }
    let told = [
        ("ups.status", "OB"),
        ("battery.runtime", "1e300"),
        ("ups.realpower", "1000"),
    ];
    assert_eq!(figures().reading(&variables(&told)).charge_joules, Some(900_000));
}

#[test]
fn a_runtime_of_zero_counts_on_battery_only() {
    let told = [
        ("battery.charge", "100"),
        ("battery.runtime", "0"),
        ("ups.realpower", "100"),
    ];
    let with = |status| {
        let mut all = variables(&told);
        all.insert("ups.status".into(), status);
        figures().reading(&all)
    };
    assert_eq!(with("OL".into()).charge_joules, Some(900_000));
    let reading = with("OB".into());
    assert_eq!(
        (reading.charge_joules, reading.state),
        (Some(0), ReserveState::Depleted)
    );
}

#[test]
fn reads_quoted_values_and_refuses_what_is_no_line_of_the_listing() {
    let variable = |name: &str, value: &str| Progress::Variable {
        name: name.into(),
        value: value.into(),
    };
    let read = |line: &str| listing("rack1", line);
    assert_eq!(
        read("VAR rack1 ups.status \"OB LB\""),
        Ok(variable("ups.status", "OB LB"))
    );
    assert_eq!(
        read(r#"VAR rack1 device.model "a \"b\" \\c""#),
        Ok(variable("device.model", r#"a "b" \c"#))
    );
    assert_eq!(read("BEGIN LIST VAR rack1"), Ok(Progress::Begun));
    assert_eq!(read("END LIST VAR rack1"), Ok(Progress::Ended));
    assert_eq!(read("ERR DATA-STALE"), Err(Fault::Refused("DATA-STALE".into())));
    let garbage = [
        "",
        "VAR rack1 ups.status",
        "VAR rack2 a \"b\"",
        "VAR rack1 a \"b",
        "HTTP/1.1 200 OK",
        "\\",
        "\"",
    ];
    for line in garbage {
        assert!(matches!(read(line), Err(Fault::Unexpected { .. })), "{line:?}");
    }
}

#[test]
fn the_note_tells_of_a_calibration_a_bypass_an_old_battery_and_a_forced_shut_down() {
    for (status, said) in [
        ("OL CAL DISCHRG", "a calibration runs"),
        ("OL BYPASS", "in bypass: its battery carries nothing"),
        ("OL RB", "its battery has to be replaced"),
        ("FSD OB LB", "a forced shut-down was ordered"),
    ] {
        let told = variables(&[("ups.status", status), ("battery.charge", "50")]);
        let note = figures().reading(&told).note;
        assert_eq!(note, format!("battery.charge x capacity; {said}"), "{status}");
    }
}

#[tokio::test]
async fn a_server_without_tls_is_not_told_the_password() {
    let folder = tempfile::tempdir().unwrap();
    let (address, mut questions, _server) =
        fake_upsd(vec![vec![b"ERR FEATURE-NOT-CONFIGURED\n".to_vec()]]).await;
    let server = NutServer {
        trust: Some(crate::drivers::trust::Trust::Fingerprint([0; 32])),
        login: Some(NutLogin {
            user: "pep".into(),
            password_file: folder.path().join("none"),
        }),
        ..plain(address)
    };
    let error = NutReserve::new(server, "rack1".into(), figures())
        .read()
        .await
        .unwrap_err()
        .0;
    assert!(error.ends_with("upsd says FEATURE-NOT-CONFIGURED"), "{error}");
    assert_eq!(questions.recv().await.as_deref(), Some("STARTTLS"));
    assert!(questions.try_recv().is_err(), "nothing more was said");
}

/// A server that gives each connection the next list of answers, one an incoming line, and then closes it.
async fn fake_upsd(
    connections: Vec<Vec<Vec<u8>>>,
) -> (
    String,
    mpsc::UnboundedReceiver<String>,
    tokio::task::JoinHandle<()>,
) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (asked, questions) = mpsc::unbounded_channel();
    let server = tokio::spawn(async move {
        for answers in connections {
            let (stream, _) = listener.accept().await.unwrap();
            let mut stream = BufReader::new(stream);
            for answer in answers {
                let mut line = String::new();
                if stream.read_line(&mut line).await.unwrap_or(0) == 0 {
                    break;
                }
                asked.send(line.trim_end().to_owned()).unwrap();
                if stream.write_all(&answer).await.is_err() {
                    break;
                }
            }
        }
    });
    (address, questions, server)
}

fn listed(status: &str, charge: &str) -> Vec<u8> {
    format!(
        "BEGIN LIST VAR rack1\nVAR rack1 battery.charge \"{charge}\"\nVAR rack1 ups.status \"{status}\"\n\
         END LIST VAR rack1\n"
    )
    .into_bytes()
}

#[tokio::test]
async fn keeps_its_connection_through_stale_data() {
    let answers = vec![
        listed("OL", "100"),
        b"ERR DATA-STALE\n".to_vec(),
        listed("OB DISCHRG", "80"),
    ];
    let (address, mut questions, server) = fake_upsd(vec![answers]).await;
    let mut reserve = NutReserve::new(plain(address.clone()), "rack1".into(), figures());
    assert_eq!(reserve.read().await.unwrap().charge_joules, Some(900_000));
    let stale = reserve.read().await.unwrap_err();
    assert_eq!(stale.0, format!("rack1@{address}: upsd says DATA-STALE"));
    let reading = reserve.read().await.unwrap();
    assert_eq!(
        (reading.mains, reading.charge_joules),
        (Mains::Absent, Some(720_000))
    );
    // One connection served all three.
    server.await.unwrap();
    for _ in 0..3 {
        assert_eq!(questions.recv().await.unwrap(), "LIST VAR rack1");
    }
}

#[tokio::test]
async fn connects_anew_after_every_fault_of_the_server() {
    let faults: Vec<(&str, Vec<u8>, &str)> = vec![
        ("disconnect", Vec::new(), "the connection ended"),
        (
            "half a listing",
            b"BEGIN LIST VAR rack1\nVAR rack1 a \"b\"\n".to_vec(),
            "the connection ended",
        ),
        (
            "garbage",
            b"HTTP/1.1 400 Bad Request\n".to_vec(),
            "expected a line of LIST VAR",
        ),
        ("not UTF-8", b"\xff\xfe\xfd\n".to_vec(), ""),
        (
            "another UPS",
            b"BEGIN LIST VAR rack2\n".to_vec(),
            "expected a line of LIST VAR",
        ),
        (
            "no beginning",
            b"VAR rack1 a \"b\"\n".to_vec(),
            "expected BEGIN LIST first",
        ),
        (
            "overlong",
            [vec![b'x'; 5_000], b"\n".to_vec()].concat(),
            "a line of more than 1024 octets",
        ),
        (
            "never ends",
            {
                let mut answer = b"BEGIN LIST VAR rack1\n".to_vec();
                answer.extend(b"VAR rack1 a \"b\"\n".repeat(5_000));
                answer
            },
            "an answer of more than 4096 lines",
        ),
    ];
    for (case, answer, expected) in faults {
        let (address, _questions, server) =
            fake_upsd(vec![vec![answer], vec![listed("OL CHRG", "10")]]).await;
        let mut reserve = NutReserve::new(plain(address), "rack1".into(), figures());
        let error = reserve.read().await.expect_err(case);
        assert!(error.0.contains(expected), "{case}: {error}");
        assert_eq!(
            reserve.read().await.expect(case).state,
            ReserveState::Charging,
            "{case}"
        );
        server.await.unwrap();
    }
}

#[tokio::test]
async fn a_missing_server_is_one_clear_line() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    drop(listener);
    let mut reserve = NutReserve::new(plain(address.clone()), "rack1".into(), figures());
    let error = reserve.read().await.unwrap_err().0;
    assert!(
        error.starts_with(&format!("rack1@{address}: cannot connect: ")),
        "{error}"
    );
    assert!(!error.contains('\n'));
}

#[tokio::test(start_paused = true)]
async fn a_silent_server_is_given_up_on() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut reserve = NutReserve::new(
        plain(listener.local_addr().unwrap().to_string()),
        "rack1".into(),
        figures(),
    );
    let error = reserve.read().await.unwrap_err().0;
    assert!(error.ends_with("no answer within 5 s"), "{error}");
}
