//! Hostile peers of a PDP that has a cluster: the agents notice nothing, and afterwards it still rides through an
//! interruption.

use std::net::SocketAddr;
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
use system_tests::cluster_run::{AGENTS, ClusterOptions, ClusterRun, is_complete};
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
                .filter(|p| p.connected && AGENTS.contains(&p.name.as_str()));
            agents.map(|p| (p.name.clone(), p.address.clone())).collect()
        };
        assert_eq!(
            addresses(&after),
            addresses(&self.before),
            "connections stay what they were"
        );
        let mut events = self.cluster.pdp.admin().events(Some(0)).await.unwrap();
        for _ in 0..after.last_event {
            let Some(event) = events.next().await.unwrap() else {
                break;
            };
            assert!(
                event.kind != EventKind::PeerLost || !AGENTS.contains(&event.subject.as_str()),
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
