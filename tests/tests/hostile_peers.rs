//! What malformed and hostile peers get from the real `pdp-server`: the RFC's answer or a closed connection, while the
//! agents beside them notice nothing. And what wrong files get from each program.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use bytes::Bytes;
use cops_codec::client_type::numbers::POWER_CLIENT_TYPE;
use cops_codec::limits::Limits;
use cops_codec::message::{
    ClientAccept, ClientClose, ClientOpen, DecisionBody, DecisionMessage, KeepAlive, Message, Request,
};
use cops_codec::tokio_codec::CopsCodec;
use cops_codec::wire::{ClientHandle, ClientType, Context, CopsError, ErrorCode, PepId};
use futures::StreamExt;
use pdp_server::api::{EventKind, Status};
use power_policy::model::Phase;
use system_tests::cluster_run::{ClusterOptions, ClusterRun, PdpRun, is_complete};
use system_tests::process::program;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::time::timeout;
use tokio_util::codec::FramedRead;

/// How long an answer may take before a test fails.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);

/// A peer that sends what it likes.
struct Peer {
    frames: FramedRead<OwnedReadHalf, CopsCodec>,
    out: OwnedWriteHalf,
}

impl Peer {
    async fn connect(pdp: SocketAddr) -> Self {
        let (read, out) = TcpStream::connect(pdp).await.unwrap().into_split();
        Self {
            frames: FramedRead::new(read, CopsCodec::new(Limits::DEFAULT)),
            out,
        }
    }

    async fn send_octets(&mut self, octets: &[u8]) {
        self.out.write_all(octets).await.unwrap();
    }

    async fn send(&mut self, message: impl Into<Message>) {
        let frame = message.into().encode(&Limits::DEFAULT).unwrap();
        self.send_octets(&frame).await;
    }

    /// The next message of the PDP; `None` if it closed the connection.
    async fn next(&mut self) -> Option<Message> {
        let frame = timeout(ANSWER_WITHIN, self.frames.next())
            .await
            .expect("the PDP answers or closes")?
            .expect("what the PDP sends is COPS");
        Some(Message::decode(&frame, &Limits::DEFAULT).unwrap())
    }

    async fn expect_close(&mut self, client_type: ClientType, code: ErrorCode) -> CopsError {
        match self.next().await {
            Some(Message::ClientClose(ClientClose {
                client_type: found,
                error,
                ..
            })) if found == client_type && error.code == code => error,
            other => panic!("expected CC for {client_type} with {code}, found {other:?}"),
        }
    }

    async fn expect_end(&mut self) {
        let next = self.next().await;
        assert_eq!(next, None, "expected the end of the connection");
    }

    /// OPN and its CAT.
    async fn open(&mut self, name: &str) {
        self.send(open(POWER_CLIENT_TYPE, name)).await;
        match self.next().await {
            Some(Message::ClientAccept(ClientAccept { client_type, .. })) => {
                assert_eq!(client_type, POWER_CLIENT_TYPE);
            }
            other => panic!("expected CAT, found {other:?}"),
        }
    }
}

fn open(client_type: ClientType, name: &str) -> ClientOpen {
    ClientOpen {
        client_type,
        pep_id: PepId::new(name).unwrap(),
        client_si: None,
        last_pdp_address: None,
        integrity: None,
    }
}

/// A REQ without any rows.
fn request(handle: &'static [u8]) -> Request {
    Request {
        client_type: POWER_CLIENT_TYPE,
        handle: ClientHandle(Bytes::from_static(handle)),
        context: Context::CONFIGURATION,
        in_interface: None,
        out_interface: None,
        client_si: Vec::new(),
        lpdp_decisions: Vec::new(),
        integrity: None,
    }
}

/// A cluster that must not notice what other peers do.
struct Bystanders {
    cluster: ClusterRun,
    before: Status,
}

impl Bystanders {
    async fn start() -> Self {
        let options = ClusterOptions {
            open_timeout_seconds: 1,
            ..ClusterOptions::default()
        };
        let cluster = ClusterRun::start(&options).await.unwrap();
        let before = cluster.pdp.admin().status().await.unwrap();
        Self { cluster, before }
    }

    async fn peer(&self) -> Peer {
        Peer::connect(self.cluster.pdp.address()).await
    }

    /// Nothing has happened to the agents, and the cluster still does its work.
    async fn have_noticed_nothing(mut self) {
        let after = self
            .cluster
            .pdp
            .until("the cluster is as before", is_complete)
            .await
            .unwrap();
        assert_eq!((after.term, after.phase), (self.before.term, Phase::Normal));
        let addresses = |status: &Status| -> Vec<_> {
            let agents = status
                .peers
                .iter()
                .filter(|p| p.connected && p.servers + p.lines > 0);
            agents.map(|p| (p.name.clone(), p.address.clone())).collect()
        };
        assert_eq!(
            addresses(&after),
            addresses(&self.before),
            "connections stay what they were"
        );
        let mut events = self.cluster.pdp.admin().events(Some(0)).await.unwrap();
        let agents = system_tests::cluster_run::AGENTS;
        for _ in 0..after.last_event {
            let Some(event) = events.next().await.unwrap() else {
                break;
            };
            assert!(
                event.kind != EventKind::PeerLost || !agents.contains(&event.subject.as_str()),
                "{event:?}"
            );
            if event.seq >= after.last_event {
                break;
            }
        }
        // It still rides through an interruption.
        let plant = self.cluster.plant().await.unwrap();
        plant.fail_mains("feed").await.unwrap();
        self.cluster
            .pdp
            .until("a plan against an interruption", |status| {
                status.phase == Phase::Interrupted && status.plan.is_some()
            })
            .await
            .unwrap();
    }
}

const CONNECTION: ClientType = ClientType::CONNECTION;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn octets_that_are_no_cops_are_answered_and_the_connection_ends() {
    let cluster = Bystanders::start().await;
    let limit = u32::try_from(Limits::DEFAULT.max_message_octets).unwrap();
    let header = |length: u32| {
        let mut octets = vec![0x10, 6, 0x50, 0x57];
        octets.extend(length.to_be_bytes());
        octets
    };
    let wrong: [(&str, Vec<u8>); 6] = [
        (
            "another protocol",
            b"GET / HTTP/1.1\r\nHost: pdp\r\n\r\n".to_vec(),
        ),
        ("another version", vec![0x20, 6, 0x50, 0x57, 0, 0, 0, 8]),
        ("a length below the header's", header(7)),
        ("a length that is no multiple of 4", header(10)),
        ("a length over the limit", header(limit + 4)),
        ("the longest length there is", header(u32::MAX - 3)),
    ];
    for (what, octets) in wrong {
        let mut peer = cluster.peer().await;
        peer.send_octets(&octets).await;
        eprintln!("{what}");
        peer.expect_close(CONNECTION, ErrorCode::BAD_MESSAGE_FORMAT).await;
        peer.expect_end().await;
    }
    // Noise, of a fixed seed: whatever it happens to be, the PDP closes and lives.
    let seed = 20_260_124;
    let mut random = fastrand::Rng::with_seed(seed);
    for round in 0..50 {
        let mut peer = cluster.peer().await;
        let octets: Vec<u8> = std::iter::repeat_with(|| random.u8(..)).take(600).collect();
        // The PDP may close before all is written.
        let _ = peer.out.write_all(&octets).await;
        let _ = peer.out.shutdown().await;
        while let Some(frame) = timeout(ANSWER_WITHIN, peer.frames.next())
            .await
            .unwrap_or_else(|_| panic!("seed {seed}, round {round}: neither answer nor end"))
        {
            let Ok(frame) = frame else { break };
            Message::decode(&frame, &Limits::DEFAULT).unwrap();
        }
    }
    cluster.have_noticed_nothing().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn silence_is_not_waited_for_for_ever() {
    let cluster = Bystanders::start().await;
    let opn = Message::from(open(POWER_CLIENT_TYPE, "mallory"))
        .encode(&Limits::DEFAULT)
        .unwrap();
    // Nothing at all, half a header, half a message: there is nothing to answer, and after the time for an OPN the
    // connection is closed.
    for sent in [0, 3, 8, opn.len() - 1] {
        let mut peer = cluster.peer().await;
        peer.send_octets(&opn[..sent]).await;
        peer.expect_end().await;
    }
    // The same in the middle of a message after which the PEP is gone.
    let mut peer = cluster.peer().await;
    peer.send_octets(&opn[..opn.len() - 1]).await;
    drop(peer);
    cluster.have_noticed_nothing().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_out_of_turn_get_the_answer_of_the_rfc() {
    let cluster = Bystanders::start().await;

    // REQ, RPT and DRQ before OPN: the client-type is not open; the connection may still open it.
    let mut peer = cluster.peer().await;
    peer.send(request(b"h")).await;
    peer.expect_close(POWER_CLIENT_TYPE, ErrorCode::UNSUPPORTED_CLIENT_TYPE)
        .await;
    peer.open("mallory").await;

    // One message too many of those that only a PDP sends (CAT): the client-type is closed.
    peer.send(ClientAccept {
        client_type: POWER_CLIENT_TYPE,
        ka_timer: cops_codec::wire::KaTimer(10),
        accounting_timer: None,
        integrity: None,
    })
    .await;
    peer.expect_close(POWER_CLIENT_TYPE, ErrorCode::BAD_MESSAGE_FORMAT)
        .await;

    // An op code that does not exist.
    let mut peer = cluster.peer().await;
    peer.send_octets(&[0x10, 11, 0x50, 0x57, 0, 0, 0, 8]).await;
    peer.expect_close(POWER_CLIENT_TYPE, ErrorCode::BAD_MESSAGE_FORMAT)
        .await;

    // A client-type that is not served; the one that is, is not hurt.
    let mut peer = cluster.peer().await;
    peer.open("mallory").await;
    peer.send(open(ClientType::RSVP, "mallory")).await;
    peer.expect_close(ClientType::RSVP, ErrorCode::UNSUPPORTED_CLIENT_TYPE)
        .await;
    peer.send(KeepAlive { integrity: None }).await;
    assert!(matches!(peer.next().await, Some(Message::KeepAlive(_))));

    // The same OPN again begins anew; one of another PEP on the same connection is refused.
    peer.open("mallory").await;
    peer.send(open(POWER_CLIENT_TYPE, "trudy")).await;
    peer.expect_close(POWER_CLIENT_TYPE, ErrorCode::UNSPECIFIED).await;

    // Message security that is not there (RFC 4261 4.2).
    let mut peer = cluster.peer().await;
    peer.send(open(CONNECTION, "mallory")).await;
    peer.expect_close(CONNECTION, ErrorCode::AUTHENTICATION_REQUIRED)
        .await;
    peer.expect_end().await;

    // OPN without a PEPID.
    let mut peer = cluster.peer().await;
    peer.send_octets(&[0x10, 6, 0x50, 0x57, 0, 0, 0, 8]).await;
    peer.expect_close(POWER_CLIENT_TYPE, ErrorCode::OBJECT_MISSING)
        .await;
    cluster.have_noticed_nothing().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_that_cannot_be_read_gets_a_decision_with_an_error() {
    let cluster = Bystanders::start().await;
    let mut peer = cluster.peer().await;
    peer.open("mallory").await;
    let refused = async |peer: &mut Peer, octets: &[u8]| -> CopsError {
        peer.send_octets(octets).await;
        match peer.next().await {
            Some(Message::Decision(DecisionMessage {
                solicited: true,
                body: DecisionBody::Error(error),
                ..
            })) => error,
            other => panic!("expected a solicited DEC with an error, found {other:?}"),
        }
    };
    const HANDLE: [u8; 8] = [0, 8, 1, 1, 0, 0, 0, 1];
    const CONTEXT: [u8; 8] = [0, 8, 2, 1, 0, 8, 0, 0];
    let message = |objects: &[&[u8]]| {
        let objects = objects.concat();
        let mut octets = vec![0x10, 1, 0x50, 0x57];
        octets.extend(u32::try_from(8 + objects.len()).unwrap().to_be_bytes());
        octets.extend(objects);
        octets
    };
    // An object that does not exist: it is named.
    let error = refused(&mut peer, &message(&[&HANDLE, &CONTEXT, &[0, 4, 99, 1]])).await;
    assert_eq!(
        (error.code, error.sub_code),
        (ErrorCode::UNKNOWN_OBJECT, 99 << 8 | 1)
    );
    // One that is longer than the message.
    let error = refused(&mut peer, &message(&[&HANDLE, &[0, 200, 2, 1, 0, 8, 0, 0]])).await;
    assert_eq!(error.code, ErrorCode::BAD_MESSAGE_FORMAT);
    // One that is missing.
    let error = refused(&mut peer, &message(&[&HANDLE])).await;
    assert_eq!(error.code, ErrorCode::OBJECT_MISSING);
    // The connection is as good as before.
    peer.send(KeepAlive { integrity: None }).await;
    assert!(matches!(peer.next().await, Some(Message::KeepAlive(_))));
    cluster.have_noticed_nothing().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crowd_that_never_says_a_word_keeps_nobody_out() {
    let cluster = Bystanders::start().await;
    let mut crowd = Vec::new();
    for _ in 0..300 {
        crowd.push(cluster.peer().await);
    }
    let mut late = cluster.peer().await;
    late.open("late").await;
    for peer in &mut crowd {
        peer.expect_end().await;
    }
    drop(late);
    cluster.have_noticed_nothing().await;
}

fn run(name: &str, arguments: &[&str], folder: &Path) -> Output {
    // One that is not refused would run for ever, and then the test shall fail, not hang.
    Command::new("timeout")
        .args(["--kill-after=1", "60"])
        .arg(program(name).unwrap())
        .args(arguments)
        .current_dir(folder)
        .env("RUST_LOG", "warn")
        .output()
        .unwrap()
}

/// The one line that a program printed before it failed with this status.
fn one_line(output: &Output, status: i32) -> String {
    assert_eq!(output.status.code(), Some(status), "{output:?}");
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(text.trim_end().lines().count(), 1, "{text}");
    text
}

const PDP: &str = r#"[listen]
address = "127.0.0.1:0"
[journal]
path = "journal.sqlite"
[admin]
socket = "pdp.sock"
"#;

#[test]
fn a_wrong_file_is_told_by_file_line_key_and_what_was_expected() {
    let folder = tempfile::tempdir().unwrap();
    let agent = "[agent]\nname = \"n1\"\nstate_dir = \"s\"\n[pdp]\naddress = \"127.0.0.1:1\"\n";
    let plant = "socket = \"plant.sock\"\nlog_folder = \"logs\"\n[[domain]]\nname = \"feed\"\n";
    // Program, verb, its file, and what the line must say beside the name of the file.
    let wrong: [(&str, &str, String, &[&str]); 9] = [
        (
            "pdp-server",
            "run",
            format!("{PDP}[policy]\ndebounce_seconds = 3\n"),
            &[":8:", "policy.debounce_seconds", "unknown field", "expected"],
        ),
        (
            "pdp-server",
            "run",
            format!("{PDP}[policy]\ndebounce_milliseconds = 700000\n"),
            &[":8:", "policy.debounce_milliseconds", "expected", "600000"],
        ),
        (
            "pdp-server",
            "run",
            PDP.replace("127.0.0.1:0", "localhost"),
            &[":2:", "listen.address", "expected IP:PORT"],
        ),
        (
            "pdp-server",
            "run",
            PDP.replace("127.0.0.1", "0.0.0.0"),
            &[":2:", "listen.address", "not loopback", "allow_plain = true"],
        ),
        (
            "pdp-server",
            "run",
            "[listen]\naddress = 5\n".into(),
            &[":2:", "listen.address", "expected a string"],
        ),
        (
            "pep-agent",
            "run",
            format!("{agent}[[server]]\nname = \"n1\"\ndriver = \"magic\"\n"),
            &[":8:", "server[0].driver", "magic", "expected"],
        ),
        (
            "pep-agent",
            "run",
            agent.replace("127.0.0.1:1", "somewhere"),
            &[":5:", "pdp.address", "expected"],
        ),
        (
            "pep-agent",
            "plant",
            format!("{plant}[[domain]]\nname = \"feed\"\n"),
            &[":6:", "domain[1].name", "feed"],
        ),
        (
            "pep-agent",
            "plant",
            format!("{plant}colour = 1\n"),
            &[":5:", "domain[0].colour", "unknown field", "expected"],
        ),
    ];
    for (program, verb, text, expected) in wrong {
        let file = folder.path().join(format!("{program}.toml"));
        std::fs::write(&file, &text).unwrap();
        let file = file.to_str().unwrap();
        let said = one_line(&run(program, &[verb, "--config", file], folder.path()), 2);
        assert!(
            said.starts_with(&format!("{program}: {file}:")),
            "{said} for\n{text}"
        );
        for word in expected {
            assert!(said.contains(word), "expected {word:?} in {said} for\n{text}");
        }
    }
}

#[test]
fn a_journal_that_cannot_be_read_is_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("pdp.toml");
    std::fs::write(&file, PDP).unwrap();
    let journal = folder.path().join("journal.sqlite");
    let refused = |what: &[&str]| {
        let output = run(
            "pdp-server",
            &["run", "--config", file.to_str().unwrap()],
            folder.path(),
        );
        let said = one_line(&output, 1);
        assert!(said.starts_with("pdp-server: "), "{said}");
        assert!(said.contains(journal.to_str().unwrap()), "{said}");
        for word in what {
            assert!(said.contains(word), "expected {word:?} in {said}");
        }
        assert!(!folder.path().join("pdp.sock").exists(), "its socket is gone");
    };
    let text = "this is somebody's diary, and no database\n".repeat(100);
    std::fs::write(&journal, &text).unwrap();
    refused(&[]);
    assert_eq!(
        std::fs::read_to_string(&journal).unwrap(),
        text,
        "it is left alone"
    );
    std::fs::remove_file(&journal).unwrap();
    std::fs::create_dir(&journal).unwrap();
    refused(&[]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn plain_cops_beyond_loopback_is_warned_of_where_it_is_allowed() {
    let folder = tempfile::tempdir().unwrap();
    let mut pdp = PdpRun::start(folder.path(), &ClusterOptions::default())
        .await
        .unwrap();
    pdp.terminate().unwrap();
    let text = std::fs::read_to_string(pdp.config()).unwrap();
    let own = format!("address = \"{}\"", pdp.address());
    let everywhere = text.replace(&own, "address = \"0.0.0.0:0\"\nallow_plain = true");
    assert_ne!(text, everywhere);
    std::fs::write(pdp.config(), everywhere).unwrap();
    let status = pdp.start_again().await.unwrap();
    let warned = |text: &str| text.contains("without protection on 0.0.0.0");
    assert!(
        status.warnings.iter().any(|text| warned(text)),
        "{:?}",
        status.warnings
    );
    assert!(warned(&pdp.log()), "{}", pdp.log());
}
