//! Peers that do too much of what is allowed, or hold what they took: each bound of the PDP, and its fair share.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use system_tests::process::wait_for;
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

use super::octets::{POWER, context, error, handle, header, keep_alive, message, named, op, open};
use super::pdp::{Attacked, SHORT, alive, honest_request, opened};
use super::script::{ANSWER_WITHIN, Answer, Case, Honest, Peer, Step, case, expect, judge, send};

pub(crate) fn cases() -> Vec<Case> {
    let noise = |times| {
        let parts = vec![named(&[0x5a; 65_000]); times];
        message(op::REQ, POWER, &[vec![handle(b"h"), context()], parts].concat())
    };
    let strange = |n: u32| message(op::REQ, POWER, &[handle(&n.to_be_bytes()), context()]);
    vec![
        case(
            "twenty thousand keep-alives are echoed each",
            "C-3.9-04",
            opened("mallory").into_iter().chain([
                Step::Flood(20_000, keep_alive()),
                Step::ExpectTimes(20_000, Answer::KeepAlive),
            ]),
        ),
        case(
            "a REQ for each of two thousand handles",
            "A-11, limits",
            opened("mallory")
                .into_iter()
                .chain([send((1..=2_000).flat_map(strange).collect())])
                .chain([Step::ExpectTimes(2_000, Answer::Refused(5))])
                .chain(alive()),
        ),
        case(
            "a thousand OPNs are answered each",
            "C-3.7-02, A-39",
            [
                Step::Flood(1_000, open("mallory")),
                Step::ExpectTimes(1_000, Answer::Accept(POWER)),
            ]
            .into_iter()
            .chain(alive()),
        ),
        case(
            "opened and closed five hundred times",
            "C-4.7-01",
            [
                Step::Flood(
                    500,
                    [open("mallory"), message(op::CC, POWER, &[error(8)])].concat(),
                ),
                Step::ExpectTimes(500, Answer::Accept(POWER)),
            ]
            .into_iter()
            .chain(opened("mallory")),
        ),
        case(
            "twenty REQs of a mebibyte of noise",
            "P-5.2-01, limits",
            opened("mallory")
                .into_iter()
                .chain([
                    Step::Flood(20, noise(16)),
                    Step::ExpectTimes(20, Answer::Refused(3)),
                ])
                .chain(alive()),
        ),
        case(
            "sixty REQs at once, each with its answer in turn",
            "C-3.2-08",
            opened("mallory")
                .into_iter()
                .chain([
                    Step::Flood(60, honest_request(1)),
                    Step::ExpectTimes(60, Answer::Null),
                ])
                .chain(alive()),
        ),
    ]
}

/// Rows whose peer does not read; over a socket that holds little.
pub(crate) fn unread() -> Vec<Case> {
    let request = honest_request(1);
    vec![
        case(
            "keep-alives without end, whose echoes are not read",
            "write_timeout_seconds",
            opened("mallory")
                .into_iter()
                .chain([Step::Flood(4_000_000, keep_alive()), Step::EndAtLast]),
        ),
        case(
            "REQs without end, whose decisions are not read",
            "write_timeout_seconds",
            opened("mallory")
                .into_iter()
                .chain([Step::Flood(100_000, request), Step::EndAtLast]),
        ),
    ]
}

/// A connection from this address of loopback, with as little room for what comes as the system gives.
async fn connect(from: u8, pdp: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4_096).unwrap();
    socket.bind((Ipv4Addr::new(127, 0, 0, from), 0).into()).unwrap();
    socket.connect(pdp).await.unwrap()
}

async fn peer(from: u8, pdp: SocketAddr) -> Peer {
    Peer::new(connect(from, pdp).await, Honest::Pep)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn floods_are_answered_or_cut_off() {
    let mut attacked = Attacked::start(SHORT).await;
    let unread = unread();
    let mut results = Vec::new();
    for case in &unread {
        let mut mallory = peer(2, attacked.pdp.address()).await;
        let played = mallory.play(&case.steps).await;
        let unharmed = attacked.unharmed().await;
        results.push((case, played.and(unharmed)));
    }
    judge("unread", &results);
    attacked.play("floods", &cases()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_who_flood_leave_everybody_their_share() {
    let mut attacked = Attacked::start("max_unopened_per_address = 40").await;
    let pdp = attacked.pdp.address();
    let mut crowd = tokio::task::JoinSet::new();
    for n in 0..12 {
        crowd.spawn(async move {
            let mut mallory = peer(2, pdp).await;
            mallory.play(&opened(&format!("mallory-{n}"))).await?;
            let mut rounds: u64 = 0;
            loop {
                // Keep-alives, REQs that are taken, and such as cannot be read: as fast as they are answered.
                mallory
                    .play(&[
                        send(keep_alive().repeat(50)),
                        send(honest_request(1)),
                        send(message(op::REQ, POWER, &[handle(b"h")])),
                        Step::ExpectTimes(50, Answer::KeepAlive),
                        expect(Answer::Null),
                        expect(Answer::Refused(7)),
                        send(report()),
                    ])
                    .await?;
                rounds += 1;
                if rounds == u64::MAX {
                    return Ok::<_, String>(());
                }
            }
        });
    }
    // Twenty rounds of the well-behaved one, each with a keep-alive and a REQ, in the middle of it.
    for _ in 0..10 {
        attacked.unharmed().await.unwrap();
        if let Some(ended) = crowd.try_join_next() {
            panic!("one of those who flood, and read, was cut off: {ended:?}");
        }
    }
    crowd.shutdown().await;
    attacked.have_noticed_nothing().await;
}

fn report() -> Vec<u8> {
    super::octets::message_of(
        0x11,
        op::RPT,
        POWER,
        &[handle(&[0, 0, 0, 1]), super::octets::report_type(1)],
    )
}

/// Whether the connection has not ended.
async fn is_connected(peer: &mut Peer) -> bool {
    // What has come is there at once; whoever is still connected has nothing to say.
    timeout(Duration::from_millis(1), peer.next()).await.is_err()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strangers_in_silence_keep_nobody_out() {
    let mut attacked = Attacked::start_with(
        60,
        "max_unopened_per_address = 40\nmax_connections_per_address = 60",
    )
    .await;
    let pdp = attacked.pdp.address();

    // Ten, all of whom have a minute. Another opens at once, while they are still there.
    let mut silent = Vec::new();
    for _ in 0..10 {
        silent.push(peer(2, pdp).await);
    }
    let mut late = peer(2, pdp).await;
    late.play(&opened("late")).await.unwrap();
    for peer in &mut silent {
        assert!(is_connected(peer).await, "the ten are not what makes room");
    }

    // A hundred from one address: the oldest of them make room for the newest, and for whoever opens.
    // One end is waited for before the next comes: those that are still being closed count among all connections of the
    // address, and a burst would be refused for that instead.
    for n in 10..100_usize {
        silent.push(peer(2, pdp).await);
        if let Some(oldest) = n.checked_sub(40) {
            silent[oldest].play(&[Step::End]).await.unwrap();
        }
    }
    let mut later = peer(2, pdp).await;
    later.play(&opened("later")).await.unwrap();
    // Who is there already keeps its place.
    late.play(&alive()).await.unwrap();

    // More connections of one address than it may have: closed without a word; those of another are not counted.
    let mut open = vec![late, later];
    while open.len() < 20 {
        let mut one = peer(2, pdp).await;
        let name = format!("one-{}", open.len());
        one.play(&opened(&name)).await.unwrap();
        open.push(one);
    }
    let refused = |status: &pdp_server::api::Status| status.counts.connections_refused;
    let before = refused(&attacked.pdp.until("an answer", |_| true).await.unwrap());
    for _ in 0..50 {
        drop(connect(2, pdp).await);
    }
    let mut full = Vec::new();
    while refused(&attacked.pdp.until("an answer", |_| true).await.unwrap()) == before {
        full.push(peer(2, pdp).await);
        assert!(full.len() <= 200, "nothing is ever refused");
    }
    peer(3, pdp).await.play(&opened("elsewhere")).await.unwrap();
    for peer in &mut open {
        peer.play(&alive()).await.unwrap();
    }
    attacked.have_noticed_nothing().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_peers_make_the_pdp_hold_is_bounded_and_given_back() {
    /// Peers that each have the PDP hold as much as one can.
    const PEERS: usize = 60;
    let mut attacked = Attacked::start("frame_timeout_seconds = 4\nmax_unopened_per_address = 100").await;
    let pdp = attacked.pdp.address();
    attacked.unharmed().await.unwrap();
    let before = attacked.resident_kibibytes();
    let mut crowd = Vec::new();
    for n in 0..PEERS {
        let mut one = peer(2, pdp).await;
        one.play(&opened(&format!("mallory-{n}"))).await.unwrap();
        crowd.push(one);
    }
    // All but the end of the largest message that is taken.
    let most = header(0x10, op::REQ, POWER, 1 << 20);
    let part = vec![0; (1 << 20) - 1_000];
    for one in &mut crowd {
        one.send(&most).await.unwrap();
        one.send(&part).await.unwrap();
    }
    let most_kibibytes = before + PEERS as u64 * 3 * 1_024;
    let during = attacked.resident_kibibytes();
    assert!(
        during < most_kibibytes,
        "{during} KiB resident, {before} KiB before"
    );
    for one in &mut crowd {
        one.play(&[Step::End]).await.unwrap();
    }
    wait_for(
        "the memory that was held is given back",
        ANSWER_WITHIN,
        async || {
            let after = attacked.resident_kibibytes();
            (after < before + 16 * 1_024).then_some(after)
        },
    )
    .await
    .unwrap();
    println!("resident: {before} KiB before, {during} KiB with {PEERS} messages begun");
    attacked.have_noticed_nothing().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_silent_for_longer_than_the_keep_alive_timer_is_let_go() {
    let attacked = Attacked::start_kept_alive(5).await;
    let mut gone = attacked.connect().await;
    gone.play(&opened("gone")).await.unwrap();
    // No CC: the state is kept for when it comes back (RFC 2748 2.5).
    gone.play(&[Step::End]).await.unwrap();
    attacked.have_noticed_nothing().await;
}
