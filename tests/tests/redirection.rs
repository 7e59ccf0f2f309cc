//! Several PDPs: an agent that loses one goes to the next, one that is sent elsewhere goes there if its file permits it, and
//! what it holds is synchronised. With real programs, killed with -9 and redirected by command; where octets are to be
//! seen, a PDP of the test's own takes the place of one.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use cops_codec::limits::Limits;
use cops_codec::message::{Decision, DecisionBody, Message};
use cops_codec::session::pdp::{Acceptance, PdpCommand, PdpConfig, PdpEvent, PdpSession, Synchronize};
use cops_codec::session::{CloseCause, Moment};
use cops_codec::tokio_codec::CopsCodec;
use cops_codec::wire::{ClientHandle, CopsError, ErrorCode, KaTimer, PdpAddress, ReasonCode};
use futures::{SinkExt, StreamExt};
use pdp_server::api::{Availability, Status as PdpStatus};
use pep_agent::io::local::{LocalAnswer, LocalRequest, ask};
use pep_agent::node::Status;
use rustix::process::Signal;
use system_tests::cluster_run::{ClusterOptions, PATIENCE, PdpRun};
use system_tests::process::{Program, program, wait_for};
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::codec::Framed;

const AGENT: &str = include_str!("../../pep-agent/examples/simulated-node.toml");

/// PDPs and one agent, in a folder of their own.
struct World {
    folder: TempDir,
    pdps: Vec<PdpRun>,
    agent: Option<Program>,
    starts: usize,
}

impl World {
    /// With so many PDPs, at these addresses.
    async fn new(addresses: &[&str]) -> Self {
        Self::with_options(addresses, ClusterOptions::default()).await
    }

    async fn with_options(addresses: &[&str], options: ClusterOptions) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut pdps = Vec::new();
        for (at, address) in addresses.iter().enumerate() {
            let own = folder.path().join(format!("pdp-{at}"));
            std::fs::create_dir(&own).unwrap();
            let pdp = PdpRun::start_at(&own, &options, address.parse().unwrap());
            pdps.push(pdp.await.unwrap());
        }
        Self {
            folder,
            pdps,
            agent: None,
            starts: 0,
        }
    }

    fn config(&self) -> PathBuf {
        self.folder.path().join("agent.toml")
    }

    /// Writes the agent's file, with these keys in `[pdp]`, and starts it.
    fn start_agent(&mut self, pdp_keys: &str) {
        assert!(AGENT.contains("address = \"127.0.0.1:3288\""));
        let text = AGENT.replace("address = \"127.0.0.1:3288\"", pdp_keys);
        std::fs::write(self.config(), text).unwrap();
        self.start_agent_again();
    }

    fn start_agent_again(&mut self) {
        self.starts += 1;
        let log = self.folder.path().join(format!("agent-{}.log", self.starts));
        let mut command = Command::new(program("pep-agent").unwrap());
        command
            .args(["run", "--clock-scale", "20", "--config"])
            .arg(self.config())
            .env("RUST_LOG", "info");
        self.agent = Some(Program::start("pep-agent", &mut command, &log).unwrap());
    }

    fn log(&self) -> String {
        self.agent.as_ref().map(Program::log).unwrap_or_default()
    }

    /// Waits until the agent says so of itself.
    async fn until(&self, what: &str, is_so: impl Fn(&Status) -> bool) -> Status {
        let socket = self.folder.path().join("state-s1/agent.sock");
        let found = wait_for(what, PATIENCE, async || {
            match ask(&socket, LocalRequest::Status {}).await {
                Ok(LocalAnswer::Status(status)) if is_so(&status) => Some(*status),
                _ => None,
            }
        });
        let found = found.await;
        found.unwrap_or_else(|error| panic!("{error}\n{}", self.log()))
    }

    /// Waits until the agent is at this PDP, with a plan of it, and until that PDP says so too.
    async fn until_at(&mut self, pdp: usize) -> Status {
        let address = self.pdps[pdp].address().to_string();
        let status = self
            .until(&format!("the agent is at {address} with a plan"), |status| {
                status.connected && status.pdp.as_deref() == Some(&address) && status.plan.is_some()
            })
            .await;
        self.pdps[pdp]
            .until("the agent is connected", is_served)
            .await
            .unwrap();
        status
    }

    /// Waits until the agent holds a plan of a higher term: that of another PDP than before.
    async fn until_above(&self, term: u64) -> u64 {
        let term_of = |status: &Status| status.plan.as_ref().map_or(0, |plan| plan.term);
        let what = format!("a plan above term {term}");
        term_of(&self.until(&what, |status| term_of(status) > term).await)
    }

    async fn set(&self, pdp: usize, availability: Availability) {
        let admin = self.pdps[pdp].admin();
        // A name of its own each time: a command that is sent twice is done once.
        static SENT: AtomicUsize = AtomicUsize::new(0);
        let id = format!("test-{}", SENT.fetch_add(1, Ordering::Relaxed));
        let answer = admin.availability(&id, availability, None).await.unwrap();
        assert!(answer.done, "{answer:?}");
    }

    fn list(&self) -> String {
        let addresses: Vec<_> = self
            .pdps
            .iter()
            .map(|pdp| format!("\"{}\"", pdp.address()))
            .collect();
        format!("addresses = [{}]", addresses.join(", "))
    }

    async fn log_says(&self, words: &str) {
        let found = wait_for(words, PATIENCE, async || self.log().contains(words).then_some(())).await;
        found.unwrap_or_else(|error| panic!("{error}\n{}", self.log()));
    }
}

fn is_served(status: &PdpStatus) -> bool {
    status
        .peers
        .iter()
        .any(|peer| peer.name == "s1" && peer.connected)
}

fn redirect(to: SocketAddr) -> Availability {
    Availability::Redirect(to)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_next_pdp_serves_when_the_first_is_killed_and_the_last_one_comes_first_c_2_3_10_c_3_9_06() {
    let mut world = World::new(&["127.0.0.1:0", "127.0.0.1:0"]).await;
    world.start_agent(&world.list());
    let before = world.until_at(0).await.plan.unwrap();
    world.pdps[0].kill().unwrap();
    world.until_at(1).await;
    let after = world.until_above(before.term).await;

    // The first one is back, and the agent stays where it is; also when its own process is killed and started again.
    world.pdps[0].start_again().await.unwrap();
    world.agent.take().unwrap().kill().unwrap();
    world.start_agent_again();
    world.until_at(1).await;
    let first = world.pdps[0].admin().status().await.unwrap();
    // What it knows of the agent is from its journal: since its restart nobody has connected.
    assert!(
        first.peers.iter().all(|peer| peer.address.is_empty()),
        "{:?}",
        first.peers
    );

    // The list is exhausted: the agent holds what it has, and goes on trying.
    world.pdps[0].kill().unwrap();
    world.pdps[1].kill().unwrap();
    let alone = world.until("no PDP is left", |status| !status.connected).await;
    assert_eq!(alone.plan.unwrap().term, after);
    world.log_says("no PDP, trying again").await;
    world.pdps[0].start_again().await.unwrap();
    world.until_at(0).await;
    world.until_above(after).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pdp_that_falls_silent_is_left_for_the_next_c_3_9_06_c_4_7_02() {
    let options = ClusterOptions {
        keep_alive_seconds: 1,
        ..ClusterOptions::default()
    };
    let mut world = World::with_options(&["127.0.0.1:0", "127.0.0.1:0"], options).await;
    world.start_agent(&world.list());
    world.until_at(0).await;
    // Its process stands still; the system still takes connections for it, and nobody answers to OPN.
    world.pdps[0].signal(Signal::STOP).unwrap();
    world.until_at(1).await;
    let log = world.log();
    assert!(log.contains("nothing heard for more than 1 s"), "{log}");
    // What the stopped one has still unread when it goes on is the end of a connection, and no agent.
    world.pdps[0].signal(Signal::CONT).unwrap();
    let gone = |status: &PdpStatus| !is_served(status);
    world.pdps[0].until("its agent is gone", gone).await.unwrap();
    world.until_at(1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn maintenance_by_command_moves_an_agent_and_takes_it_back_c_2_3_11_c_3_8_04_c_2_2_13_02() {
    let mut world = World::new(&["127.0.0.1:0", "[::1]:0"]).await;
    world.start_agent(&world.list());
    world.until_at(0).await;
    // As an administrator types it; from IPv4 to IPv6.
    let to = world.pdps[1].address();
    assert!(to.is_ipv6());
    let command = |pdp: &PdpRun, words: &[&str]| {
        let output = Command::new(program("pdp-server").unwrap())
            .args(words)
            .arg("--config")
            .arg(pdp.config())
            .output()
            .unwrap();
        (
            output.status.code(),
            String::from_utf8_lossy(&output.stdout).into_owned(),
        )
    };
    let (code, said) = command(&world.pdps[0], &["redirect", "--yes", "--to", &to.to_string()]);
    assert_eq!(
        (code, said.as_str()),
        (
            Some(0),
            format!("PEPs are sent to {to}, 1 of them now\n").as_str()
        )
    );
    world.until_at(1).await;
    let status = world.pdps[0].admin().status().await.unwrap();
    assert!(
        status.warnings.iter().any(|w| w.contains("its PEPs are sent to")),
        "{status:?}"
    );

    // It is over: the backup sends the agent back.
    assert_eq!(command(&world.pdps[0], &["accept"]).0, Some(0));
    world.set(1, redirect(world.pdps[0].address())).await;
    world.until_at(0).await;

    // Drained, a PDP names none, and the agent takes the next of its list.
    world.set(1, Availability::Serve).await;
    let (code, said) = command(&world.pdps[0], &["drain", "--yes"]);
    assert_eq!(
        (code, said.as_str()),
        (Some(0), "PEPs are sent away, 1 of them now\n")
    );
    world.until_at(1).await;
    // A PDP does not send its PEPs to itself.
    let own = world.pdps[0].address().to_string();
    assert_eq!(
        command(&world.pdps[0], &["redirect", "--yes", "--to", &own]).0,
        Some(1)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pdp_whose_file_redirects_serves_nobody_c_2_3_06() {
    let mut world = World::new(&["127.0.0.1:0", "127.0.0.1:0"]).await;
    let file = world.pdps[0].config();
    let to = world.pdps[1].address();
    let text = std::fs::read_to_string(&file).unwrap();
    world.pdps[0].terminate().unwrap();
    std::fs::write(&file, format!("{text}\n[redirect]\nto = \"{to}\"\n")).unwrap();
    world.pdps[0].start_again().await.unwrap();
    world.start_agent(&world.list());
    world.until_at(1).await;
    let first = world.pdps[0].admin().status().await.unwrap();
    assert!(first.peers.is_empty());
    assert!(
        world
            .log()
            .contains(&format!("the PDP names {to} to be used instead"))
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_circle_of_redirects_ends_in_waiting_and_then_in_being_served() {
    let mut world = World::new(&["127.0.0.1:0", "127.0.0.1:0"]).await;
    let addresses = [world.pdps[0].address(), world.pdps[1].address()];
    world.set(0, redirect(addresses[1])).await;
    world.set(1, redirect(addresses[0])).await;
    world.start_agent(&world.list());
    world.log_says("after too many others").await;
    // Between two waits the agent follows no more than the four that are allowed.
    let log = world.log();
    let rounds: Vec<_> = log.split("after too many others").collect();
    for round in &rounds[..rounds.len() - 1] {
        let followed = round.matches("to be used instead").count();
        assert_eq!(followed, 4, "{round}");
    }
    world.set(1, Availability::Serve).await;
    world.until_at(1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redirect_is_followed_only_to_where_the_file_lets_it_lead() {
    let mut world = World::new(&["127.0.0.1:0", "127.0.0.1:0"]).await;
    let (first, second) = (world.pdps[0].address(), world.pdps[1].address());
    let only_first = format!("address = \"{first}\"");
    world.start_agent(&only_first);
    world.until_at(0).await;
    world.set(0, redirect(second)).await;
    world
        .log_says(&format!("{second}: neither among the addresses"))
        .await;
    let stranger = world.pdps[1].admin().status().await.unwrap();
    assert!(stranger.peers.is_empty(), "{:?}", stranger.peers);
    world.set(0, Availability::Serve).await;
    world.until_at(0).await;
    // A file that names it, by a name that has to be looked up.
    assert!(world.agent.take().unwrap().terminate().unwrap().success());
    world.set(0, redirect(second)).await;
    let by_name = format!(
        "{only_first}\nredirect_addresses = [\"localhost:{}\"]",
        second.port()
    );
    world.start_agent(&by_name);
    world.until_at(1).await;
    // Killed, it still begins with that one.
    world.agent.take().unwrap().kill().unwrap();
    world.set(0, Availability::Serve).await;
    world.start_agent_again();
    world.until_at(1).await;
    assert!(!is_served(&world.pdps[0].admin().status().await.unwrap()));
    // A file that has none followed.
    assert!(world.agent.take().unwrap().terminate().unwrap().success());
    world.set(0, redirect(second)).await;
    let none = format!("{only_first}\nfollow_redirects = false");
    world.start_agent(&none);
    world.log_says("the file has no redirect followed").await;
    world.set(0, Availability::Serve).await;
    world.until_at(0).await;
}

/// A PDP of the test's own, for one connection.
struct OwnPdp {
    framed: Framed<TcpStream, CopsCodec>,
    session: PdpSession,
    begun: Instant,
    /// What the agent sent that has no event of its own to be seen by.
    messages: Vec<Message>,
}

impl OwnPdp {
    /// Takes the next connection.
    async fn accept(listener: &TcpListener) -> Self {
        let accepted = tokio::time::timeout(PATIENCE, listener.accept()).await;
        let (stream, _) = accepted.expect("a connection").unwrap();
        let own = PdpAddress::from(stream.local_addr().unwrap());
        Self {
            framed: CopsCodec::connection(stream, Limits::DEFAULT),
            session: PdpSession::new(PdpConfig::new(Vec::new(), vec![own]), Moment(0)),
            begun: Instant::now(),
            messages: Vec::new(),
        }
    }

    fn now(&self) -> Moment {
        Moment(u64::try_from(self.begun.elapsed().as_millis()).unwrap())
    }

    fn command(&mut self, command: PdpCommand) {
        self.session.handle_command(self.now(), command).unwrap();
    }

    async fn flush(&mut self) {
        while let Some(frame) = self.session.poll_transmit() {
            self.framed.send(frame).await.unwrap();
        }
    }

    /// The next event that `wanted` takes. Requests are answered with NULL.
    async fn until<T>(&mut self, what: &str, mut wanted: impl FnMut(&PdpEvent) -> Option<T>) -> T {
        let deadline = Instant::now() + PATIENCE;
        loop {
            while let Some(event) = self.session.poll_event() {
                if let PdpEvent::Request { request, message, .. } = &event {
                    let null = vec![Decision::null(message.context)];
                    self.command(PdpCommand::Decide {
                        client_type: message.client_type,
                        handle: message.handle.clone(),
                        request: *request,
                        body: DecisionBody::Decisions(null),
                    });
                }
                if let Some(found) = wanted(&event) {
                    self.flush().await;
                    return found;
                }
            }
            self.flush().await;
            let left = deadline.saturating_duration_since(Instant::now());
            match tokio::time::timeout(left, self.framed.next()).await {
                Ok(Some(Ok(frame))) => {
                    self.messages
                        .push(Message::decode(&frame, &Limits::DEFAULT).unwrap());
                    self.session.handle_frame(self.now(), Ok(frame)).unwrap();
                }
                other => panic!("{what}: {other:?}"),
            }
        }
    }

    /// The OPN's Last PDP Address.
    async fn last_pdp(&mut self) -> Option<SocketAddr> {
        self.until("OPN", |event| match event {
            PdpEvent::OpenRequested { last_pdp_address, .. } => Some(*last_pdp_address),
            _ => None,
        })
        .await
        .map(PdpAddress::to_socket_addr)
    }

    async fn turn_away(&mut self, client_type: cops_codec::wire::ClientType, to: SocketAddr) {
        self.command(PdpCommand::Reject {
            client_type,
            error: CopsError::new(ErrorCode::REDIRECT),
            redirect: Some(to.into()),
        });
        self.flush().await;
        // The agent ends the connection.
        while let Ok(Some(Ok(_))) = tokio::time::timeout(PATIENCE, self.framed.next()).await {}
    }
}

const POWER: cops_codec::wire::ClientType = cops_codec::client_type::numbers::POWER_CLIENT_TYPE;

fn listed(addresses: &[SocketAddr]) -> String {
    let quoted: Vec<_> = addresses.iter().map(|address| format!("\"{address}\"")).collect();
    format!("addresses = [{}]", quoted.join(", "))
}

/// E9, E6 B and C on the wire: the Last PDP Address is the one whose complete decisions are held, whoever turns the agent
/// away meanwhile, also after the agent's restart; SSQ with and without handle.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_pdp_is_named_and_any_other_synchronises_c_2_5_05_c_2_5_06_c_2_5_10_c_3_5_02_c_4_3_02() {
    let mut world = World::new(&["127.0.0.1:0"]).await;
    let real = world.pdps[0].address();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let second = TcpListener::bind("[::1]:0").await.unwrap();
    let (own, other) = (listener.local_addr().unwrap(), second.local_addr().unwrap());
    world.start_agent(&listed(&[real, own, other]));
    world.until_at(0).await;
    world.pdps[0].kill().unwrap();

    // The next one turns it away: that changes nothing in what is held.
    let mut pdp = OwnPdp::accept(&listener).await;
    assert_eq!(pdp.last_pdp().await, Some(real));
    pdp.turn_away(POWER, other).await;
    let mut pdp = OwnPdp::accept(&second).await;
    assert_eq!(pdp.last_pdp().await, Some(real));

    // Nor does the restart of the agent. It is killed while it is connected: let go first, it could leave a connection in
    // a listener's queue that would be taken for one of the next agent's.
    world.agent.take().unwrap().kill().unwrap();
    drop(pdp);
    world.start_agent_again();
    let mut pdp = OwnPdp::accept(&listener).await;
    assert_eq!(pdp.last_pdp().await, Some(real));
    // Accepted, it is synchronised: the state under its old handle, then SSC.
    let acceptance = Acceptance::new(POWER, KaTimer(30));
    assert_eq!(acceptance.synchronize, Synchronize::WhenNeeded);
    pdp.command(PdpCommand::Accept(acceptance));
    let mut asked: Vec<ClientHandle> = Vec::new();
    let dropped = pdp
        .until("SSC", |event| match event {
            PdpEvent::Request { message, .. } => {
                asked.push(message.handle.clone());
                None
            }
            PdpEvent::Synchronized {
                handle: None,
                dropped,
                ..
            } => Some(dropped.len()),
            _ => None,
        })
        .await;
    assert_eq!((asked.len(), dropped), (1, 0), "{asked:?}");
    let handle = asked.remove(0);

    // Case C: that one state alone.
    pdp.command(PdpCommand::Synchronize {
        client_type: POWER,
        handle: Some(handle.clone()),
    });
    pdp.until("SSC with the handle", |event| match event {
        PdpEvent::Synchronized {
            handle: Some(done), ..
        } => {
            assert_eq!(*done, handle);
            Some(())
        }
        _ => None,
    })
    .await;
    let complete = pdp
        .messages
        .iter()
        .filter(|m| matches!(m, Message::SynchronizeStateComplete(_)))
        .count();
    assert_eq!(complete, 2);
    // One that it does not have: DRQ with reason 10.
    let unknown = ClientHandle::from(0xffff_u32);
    pdp.command(PdpCommand::Synchronize {
        client_type: POWER,
        handle: Some(unknown.clone()),
    });
    pdp.until("its end", |event| match event {
        PdpEvent::Synchronized {
            handle: Some(done), ..
        } => {
            assert_eq!(*done, unknown);
            Some(())
        }
        _ => None,
    })
    .await;
    let reasons: Vec<_> = pdp
        .messages
        .iter()
        .filter_map(|message| match message {
            Message::DeleteRequestState(drq) => Some((drq.handle.clone(), drq.reason.code)),
            _ => None,
        })
        .collect();
    assert_eq!(reasons, [(unknown, ReasonCode::SYNCHRONIZE_HANDLE_UNKNOWN)]);

    // Redirected while connected and in sync, it names this PDP as its last one to the next.
    pdp.command(PdpCommand::Close {
        client_type: POWER,
        error: CopsError::new(ErrorCode::REDIRECT),
        redirect: Some(other.into()),
    });
    pdp.until("the client-type's end", |event| match event {
        PdpEvent::ClientClosed {
            cause: CloseCause::Command(_),
            ..
        } => Some(()),
        _ => None,
    })
    .await;
    let mut pdp = OwnPdp::accept(&second).await;
    assert_eq!(pdp.last_pdp().await, Some(own));
}

/// Rounds that end with a PDP that names nowhere.
const ROUNDS: u32 = 6;

/// A PDP that takes the connection and sends each agent to nowhere is not asked faster than one that is down.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pdp_that_sends_an_agent_to_nowhere_is_asked_at_growing_intervals() {
    let mut world = World::new(&[]).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let own = listener.local_addr().unwrap();
    // A port that nobody listens on: bound, and closed again.
    let nowhere = TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap();
    world.start_agent(&format!(
        "{}\nredirect_addresses = [\"{nowhere}\"]",
        listed(&[own])
    ));
    let mut begun = None;
    for _ in 0..ROUNDS {
        let mut pdp = OwnPdp::accept(&listener).await;
        begun.get_or_insert_with(Instant::now);
        assert_eq!(pdp.last_pdp().await, None, "nothing is held");
        pdp.turn_away(POWER, nowhere).await;
    }
    // Between six rounds are five waits: of 0.2 s, doubling, at least half of each. A slow machine makes them longer only.
    let took = begun.unwrap().elapsed();
    assert!(took >= Duration::from_millis(3_000), "{took:?}");
}
