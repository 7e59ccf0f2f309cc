//! tshark, somebody else's dissector of COPS, reads what our programs say to each other.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../../cops-codec/tests/rows/mod.rs"]
mod rows;

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use bytes::Bytes;
use cops_codec::client_type::numbers::POWER_CLIENT_TYPE;
use cops_codec::client_type::store::build;
use cops_codec::client_type::{Access, Class, Row};
use cops_codec::limits::Limits;
use cops_codec::message::{
    ClientClose, ClientOpen, Decision, DecisionBody, DecisionMessage, DeleteRequestState, Message,
    ReportState, Request,
};
use cops_codec::tokio_codec::CopsCodec;
use cops_codec::wire::{
    ClientHandle, ClientSi, Context, CopsError, ErrorCode, OpCode, PepId, Reason, ReasonCode, ReportType,
};
use futures::{SinkExt, StreamExt};
use power_policy::model::Phase;
use rustix::process::Signal;
use system_tests::capture::{Direction, PcapWriter, RecordingProxy};
use system_tests::cluster_run::{ClusterOptions, ClusterRun, PATIENCE, PdpRun, is_complete, shed};
use system_tests::process::{Program, program, wait_for};
use system_tests::tshark::{self, Dissection};
use tokio::net::TcpStream;

/// A PEP that opens a state, deletes it and leaves: the agents keep theirs for as long as they can.
async fn a_pep_that_leaves(pdp: SocketAddr) {
    let mut connection = CopsCodec::connection(TcpStream::connect(pdp).await.unwrap(), Limits::DEFAULT);
    let handle = ClientHandle(Bytes::from_static(b"gone"));
    let (client_type, integrity) = (POWER_CLIENT_TYPE, None);
    let messages: [Message; 4] = [
        ClientOpen {
            client_type,
            pep_id: PepId::new("passer-by").unwrap(),
            client_si: None,
            last_pdp_address: None,
            integrity: None,
        }
        .into(),
        Request {
            client_type,
            handle: handle.clone(),
            context: Context::CONFIGURATION,
            in_interface: None,
            out_interface: None,
            client_si: Vec::new(),
            lpdp_decisions: Vec::new(),
            integrity: None,
        }
        .into(),
        DeleteRequestState {
            client_type,
            handle,
            reason: Reason::new(ReasonCode::MANAGEMENT),
            integrity: None,
        }
        .into(),
        ClientClose {
            client_type,
            error: CopsError::new(ErrorCode::SHUTTING_DOWN),
            pdp_redirect_address: None,
            integrity,
        }
        .into(),
    ];
    for message in messages {
        let is_answered = matches!(message, Message::ClientOpen(_) | Message::Request(_));
        connection.send(message).await.unwrap();
        if is_answered {
            let frame = tokio::time::timeout(PATIENCE, connection.next()).await.unwrap();
            frame.unwrap().unwrap();
        }
    }
}

/// Waits until tshark sees this in the capture as it is so far.
async fn until_seen(capture: &Path, what: &str, is_there: impl Fn(&Dissection) -> bool) {
    wait_for(what, PATIENCE, async || {
        // The last packet may be half written.
        let dissection = tshark::dissect(capture).ok()?;
        is_there(&dissection).then_some(())
    })
    .await
    .unwrap();
}

/// A small cluster's life, recorded: start, interruption, a PDP that is restarted in it, restoration, an agent that
/// ends, a PEP that comes and goes.
async fn record(capture: &Path) {
    let options = ClusterOptions {
        // Keep-alives are due when nothing else is said.
        keep_alive_seconds: 4,
        accounting_seconds: 2,
        ..ClusterOptions::default()
    };
    let folder = tempfile::tempdir().unwrap();
    let pdp = PdpRun::start(folder.path(), &options).await.unwrap();
    let proxy = RecordingProxy::start(pdp.address(), capture).await.unwrap();
    let mut cluster = ClusterRun::with_agents_to(folder, pdp, proxy.address())
        .await
        .unwrap();
    let plant = cluster.plant().await.unwrap();
    plant.fail_mains("feed").await.unwrap();
    cluster
        .pdp
        .until("something is shed", |status| {
            status.phase == Phase::Interrupted && !shed(status).is_empty()
        })
        .await
        .unwrap();
    cluster.pdp.kill().unwrap();
    cluster.pdp.start_again().await.unwrap();
    cluster
        .pdp
        .until("all agents are back", |status| {
            status.peers.len() == 3 && status.peers.iter().all(|p| p.connected && p.acknowledged > 0)
        })
        .await
        .unwrap();
    plant.restore_mains("feed").await.unwrap();
    cluster
        .pdp
        .until("everything runs again", |status| {
            status.phase == Phase::Normal && is_complete(status)
        })
        .await
        .unwrap();
    until_seen(capture, "a keep-alive and its echo", |dissection| {
        let keep_alives = dissection
            .op_codes
            .iter()
            .filter(|code| **code == OpCode::KEEP_ALIVE.0);
        keep_alives.count() >= 2
    })
    .await;
    until_seen(capture, "an accounting report", |dissection| {
        dissection
            .text
            .contains("Accounting update for an installed state")
    })
    .await;
    a_pep_that_leaves(proxy.address()).await;
    cluster.end_agent("s2", Signal::TERM).await.unwrap();
    until_seen(capture, "the deletion", |dissection| {
        dissection.kinds().contains(&OpCode::DELETE_REQUEST_STATE.0)
    })
    .await;
    cluster
        .pdp
        .until("the agent that ended is gone", |status| {
            status.peers.iter().any(|p| p.name == "s2" && !p.connected)
        })
        .await
        .unwrap();
}

/// The dissection with our module loaded.
fn with_module(capture: &Path) -> String {
    let version = Command::new("tshark").arg("--version").output().unwrap();
    let version = String::from_utf8_lossy(&version.stdout).into_owned();
    assert!(
        version.contains("with libsmi"),
        "this tshark names no classes, for it is built without libsmi; expected one that is, as Debian's"
    );
    let folder = tempfile::tempdir().unwrap();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let paths = ["cops-codec/tests/pib-modules", "docs"]
        .map(|path| format!("\"{}\"\n", root.join(path).display()))
        .concat();
    for (name, text) in [
        ("preferences", "nameres.load_smi_modules: TRUE\n".to_owned()),
        ("smi_paths", paths),
        ("smi_modules", "\"POWER-DIVERT-PIB\"\n".to_owned()),
    ] {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    let output = Command::new("tshark")
        .env("WIRESHARK_CONFIG_DIR", folder.path())
        .arg("-r")
        .arg(capture)
        .arg("-V")
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tshark_names_all_that_a_cluster_says() {
    let folder = tempfile::tempdir().unwrap();
    let capture = folder.path().join("cluster.pcap");
    tokio::time::timeout(Duration::from_secs(300), record(&capture))
        .await
        .expect("the run ends");
    let dissection = tshark::dissect(&capture).unwrap();
    dissection.check().unwrap();
    let all: BTreeSet<u8> = (1..=10).collect();
    assert_eq!(dissection.kinds(), all);

    let text = with_module(&capture);
    // What agents report, and what they are sent, by the names of the classes.
    for class in [
        "pwrServer",
        "pwrDomain",
        "pwrReserve",
        "pwrLine",
        "pwrActivity",
        "pwrHeld",
        "pwrActionResult",
        "pwrReserveReading",
        "pwrPlan",
        "pwrStage",
        "pwrAction",
    ] {
        let name = format!("POWER-DIVERT-PIB::{class}");
        assert!(text.contains(&name), "no {name} in the dissection");
    }
    assert_eq!(unnamed(&text), [""; 0]);
}

/// What is said by a name of our module.
fn names(text: &str) -> BTreeSet<&str> {
    text.lines()
        .filter(|line| line.contains("POWER-DIVERT-PIB::"))
        .map(str::trim)
        .collect()
}

/// Lines with an identifier of our module that have no name of it.
fn unnamed(text: &str) -> Vec<&str> {
    text.lines()
        // The module's root.
        .filter(|line| line.contains(": 1.3.6.1.4.1.32473.1") && !line.contains("POWER-DIVERT-PIB::"))
        .collect()
}

/// A row of each class that a side sends, in messages as they are sent with it.
fn one_of_each_class() -> Vec<(Direction, Message)> {
    let (client_type, context, integrity) = (POWER_CLIENT_TYPE, Context::CONFIGURATION, None);
    let handle = ClientHandle::from(1);
    let contents = |wanted: fn(Access) -> bool| {
        let rows: Vec<Row> = rows::samples()
            .into_iter()
            .filter(|row| wanted(row.class().access()))
            .collect();
        build::contents(&rows)
    };
    let named = |wanted| contents(wanted).into_iter().map(ClientSi::Named).collect();
    let installed = contents(Access::is_installed);
    vec![
        (
            Direction::ToPdp,
            Request {
                client_type,
                handle: handle.clone(),
                context,
                in_interface: None,
                out_interface: None,
                client_si: named(Access::is_notified),
                lpdp_decisions: Vec::new(),
                integrity: None,
            }
            .into(),
        ),
        (
            Direction::ToPep,
            DecisionMessage {
                client_type,
                solicited: true,
                handle: handle.clone(),
                body: DecisionBody::Decisions(
                    installed
                        .into_iter()
                        .map(|contents| Decision::install(context, contents))
                        .collect(),
                ),
                integrity: None,
            }
            .into(),
        ),
        (
            Direction::ToPdp,
            ReportState {
                client_type,
                solicited: false,
                handle,
                report_type: ReportType::ACCOUNTING,
                client_si: named(|access| access == Access::ReportOnly),
                integrity,
            }
            .into(),
        ),
    ]
}

#[test]
fn tshark_names_every_class_of_the_module_over_ipv4_and_ipv6() {
    for ip in [IpAddr::from(Ipv4Addr::LOCALHOST), Ipv6Addr::LOCALHOST.into()] {
        let folder = tempfile::tempdir().unwrap();
        let capture = folder.path().join("classes.pcap");
        let mut pcap = PcapWriter::of_family(std::fs::File::create(&capture).unwrap(), ip).unwrap();
        pcap.open(0, Duration::ZERO).unwrap();
        for (direction, message) in one_of_each_class() {
            let frame = message.encode(&Limits::DEFAULT).unwrap();
            pcap.data(0, direction, &frame, Duration::ZERO).unwrap();
        }
        drop(pcap);
        tshark::dissect(&capture).unwrap().check().unwrap();
        let text = with_module(&capture);
        let ours: Vec<_> = Class::ALL
            .iter()
            .filter(|class| class.name().starts_with("pwr"))
            .collect();
        assert_eq!(ours.len(), 22, "the module's classes");
        for class in ours {
            // Instance 1 is named as column 1 of its table is. Whole names: pwrAction begins pwrActionResult too.
            let name = format!("(POWER-DIVERT-PIB::{}Prid)", class.name());
            assert!(
                text.contains(&name),
                "no {name} in the dissection: {:#?}",
                names(&text)
            );
        }
        assert_eq!(unnamed(&text), [""; 0]);
    }
}

/// An agent without Integrity, whose PDP is at an IPv6 address.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tshark_reads_a_session_over_ipv6() {
    let folder = tempfile::tempdir().unwrap();
    let capture = folder.path().join("ipv6.pcap");
    let options = ClusterOptions {
        keep_alive_seconds: 4,
        clock_scale: 1,
        ..ClusterOptions::default()
    };
    let pdp = PdpRun::start(folder.path(), &options).await.unwrap();
    let proxy = RecordingProxy::start_on(Ipv6Addr::LOCALHOST.into(), pdp.address(), &capture)
        .await
        .unwrap();
    let file = include_str!("../../pep-agent/examples/simulated-node.toml")
        .replace("127.0.0.1:3288", &proxy.address().to_string());
    std::fs::write(folder.path().join("agent.toml"), file).unwrap();
    let mut command = Command::new(program("pep-agent").unwrap());
    command
        .current_dir(folder.path())
        .args(["run", "--config", "agent.toml"]);
    let mut agent = Program::start("agent", &mut command, &folder.path().join("agent.log")).unwrap();
    until_seen(&capture, "a keep-alive and its echo", |dissection| {
        let keep_alives = |code: &&u8| **code == OpCode::KEEP_ALIVE.0;
        dissection.op_codes.iter().filter(keep_alives).count() >= 2
    })
    .await;
    a_pep_that_leaves(proxy.address()).await;
    agent.terminate().unwrap();
    // SSQ and SSC are for a PEP that comes back.
    let expected: BTreeSet<u8> = (1..=10).filter(|code| ![5, 10].contains(code)).collect();
    until_seen(&capture, "all that is said", |dissection| {
        dissection.kinds().is_superset(&expected)
    })
    .await;
    let dissection = tshark::dissect(&capture).unwrap();
    dissection.check().unwrap();
    assert!(dissection.text.contains("Internet Protocol Version 6"));
    assert!(!dissection.text.contains("Message Integrity Object"));
    let text = with_module(&capture);
    assert!(text.contains("(POWER-DIVERT-PIB::pwrServerPrid)"));
    assert_eq!(unnamed(&text), [""; 0]);
}
