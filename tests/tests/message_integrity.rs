//! Message Integrity (RFC 2748 4.1) between the real programs: every message authenticated, OpenSSL and tshark agreeing;
//! keys rotated while they are connected; the wrong key, none, and a replayed message refused.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use cops_codec::wire::{ClientType, CopsError, ErrorCode, Integrity, OpCode};
use cops_codec::{Framer, Limits, Message};
use pdp_server::api::Status;
use pdp_server::io::admin::AdminClient;
use rustix::process::Signal;
use system_tests::capture::{Direction, PcapWriter};
use system_tests::process::{Program, program, wait_for};
use system_tests::tshark;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

const PATIENCE: Duration = Duration::from_secs(90);
const FIRST_KEY: &str = "000102030405060708090a0b0c0d0e0f";
const SECOND_KEY: &str = "f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff0102";

/// A message on the wire: its connection, its sender, its octets.
type Sent = (u16, Direction, Vec<u8>);

/// Relays between agents and the PDP, keeps every message, and sends one twice if it is told to.
struct Relay {
    address: SocketAddr,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

#[derive(Default)]
struct Shared {
    sent: Mutex<Vec<Sent>>,
    replay: AtomicBool,
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Relay {
    async fn start(pdp: SocketAddr) -> Self {
        let listener = TcpListener::bind((pdp.ip(), 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::<Shared>::default();
        let to_all = Arc::clone(&shared);
        let task = tokio::spawn(async move {
            for connection in 0_u16.. {
                let Ok((pep, _)) = listener.accept().await else {
                    return;
                };
                let shared = Arc::clone(&to_all);
                tokio::spawn(async move {
                    let Ok(pdp) = TcpStream::connect(pdp).await else {
                        return;
                    };
                    let (pep_read, pep_write) = pep.into_split();
                    let (pdp_read, pdp_write) = pdp.into_split();
                    tokio::join!(
                        relay(pep_read, pdp_write, connection, Direction::ToPdp, &shared),
                        relay(pdp_read, pep_write, connection, Direction::ToPep, &shared),
                    );
                });
            }
        });
        Self {
            address,
            shared,
            task,
        }
    }

    fn sent(&self) -> Vec<Sent> {
        self.shared.sent.lock().unwrap().clone()
    }
}

async fn relay(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    connection: u16,
    direction: Direction,
    shared: &Shared,
) {
    let mut framer = Framer::new(Limits::DEFAULT);
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(octets @ 1..) = from.read(&mut buffer).await {
        framer.push(&buffer[..octets]);
        while let Ok(Some(frame)) = framer.next_frame() {
            let twice = direction == Direction::ToPdp && shared.replay.swap(false, Ordering::SeqCst);
            for _ in 0..=usize::from(twice) {
                shared
                    .sent
                    .lock()
                    .unwrap()
                    .push((connection, direction, frame.to_vec()));
                if to.write_all(&frame).await.is_err() {
                    return;
                }
            }
        }
    }
    let _ = to.shutdown().await;
}

/// A PDP that requires Integrity, with its files, and what connects to it.
struct Site {
    folder: tempfile::TempDir,
    pdp: Program,
    relay: Relay,
}

fn key(pep: Option<&str>, id: u32, secret: &str, begin: u64, end: Option<u64>) -> String {
    let pep = pep.map_or_else(String::new, |pep| format!("pep = \"{pep}\"\n"));
    let end = end.map_or_else(|| "\"never\"".to_owned(), time);
    format!(
        "[[key]]\n{pep}id = {id}\nsecret_hex = \"{secret}\"\nnot_before = {}\nnot_after = {end}\n",
        time(begin)
    )
}

/// Seconds since 1970 as TOML writes them; by `date`, so that another calendar than ours is asked.
fn time(seconds: u64) -> String {
    let date = Command::new("date")
        .args(["-u", "-d", &format!("@{seconds}"), "+%Y-%m-%dT%H:%M:%SZ"])
        .output()
        .unwrap();
    String::from_utf8(date.stdout).unwrap().trim().to_owned()
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// Written whole and private from the start, as an operator should.
fn write_keys(path: &Path, text: &str) {
    let new = path.with_extension("new");
    let _ = fs::remove_file(&new);
    fs::write(&new, "").unwrap();
    fs::set_permissions(&new, fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(&new, text).unwrap();
    fs::rename(&new, path).unwrap();
}

impl Site {
    async fn start(ip: IpAddr) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let listen = SocketAddr::new(ip, 0);
        let pdp_file = format!(
            "[listen]\naddress = \"{listen}\"\n[journal]\npath = \"journal.sqlite\"\n[admin]\nsocket = \"pdp.sock\"\n\
             [cops]\nkeep_alive_seconds = 2\naccounting_seconds = 1\n\
             [integrity]\nmode = \"required\"\nkeys = \"pdp-keys.toml\"\n"
        );
        fs::write(folder.path().join("pdp.toml"), pdp_file).unwrap();
        let keys = key(Some("good"), 1, FIRST_KEY, now() - 100, None)
            + &key(Some("wrong"), 1, FIRST_KEY, now() - 100, None);
        write_keys(&folder.path().join("pdp-keys.toml"), &keys);
        let mut command = Command::new(program("pdp-server").unwrap());
        command
            .current_dir(folder.path())
            .args(["run", "--config", "pdp.toml"])
            .env("RUST_LOG", "debug");
        let pdp = Program::start("pdp-server", &mut command, &folder.path().join("pdp.log")).unwrap();
        let admin = AdminClient::new(&folder.path().join("pdp.sock"));
        let status = wait_for("the PDP", PATIENCE, async || admin.status().await.ok()).await;
        let status = status.unwrap_or_else(|error| panic!("{error}; {}", pdp.last_lines()));
        let relay = Relay::start(status.listen.parse().unwrap()).await;
        Self { folder, pdp, relay }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// An agent of this name; without Integrity if it has no key.
    fn agent(&self, name: &str, secret: Option<&str>) -> Program {
        let integrity = if let Some(secret) = secret {
            write_keys(
                &self.path(&format!("{name}-keys.toml")),
                &key(None, 1, secret, now() - 100, None),
            );
            format!("[integrity]\nmode = \"required\"\nkeys = \"{name}-keys.toml\"\n")
        } else {
            String::new()
        };
        let text = format!(
            "[agent]\nname = \"{name}\"\nstate_dir = \"state-{name}\"\n[pdp]\naddress = \"{}\"\nretry_max_seconds = 1\n\
             {integrity}[[server]]\nname = \"{name}\"\ndriver = \"simulated\"\nidle_watts = 90\npeak_watts = 320\n\
             inlets = [{{ domain = \"east\", max_watts = 400 }}]\n",
            self.relay.address
        );
        fs::write(self.path(&format!("{name}.toml")), text).unwrap();
        let mut command = Command::new(program("pep-agent").unwrap());
        command
            .current_dir(self.folder.path())
            .args(["run", "--config", &format!("{name}.toml")])
            .env("RUST_LOG", "info");
        Program::start(name, &mut command, &self.path(&format!("{name}.log"))).unwrap()
    }

    async fn until(&self, what: &str, is_so: impl Fn(&Status) -> bool) -> Status {
        let admin = AdminClient::new(&self.path("pdp.sock"));
        let found = wait_for(what, PATIENCE, async || {
            admin.status().await.ok().filter(|status| is_so(status))
        })
        .await;
        match found {
            Ok(status) => status,
            Err(error) => {
                let last = admin.status().await.map(|status| status.peers);
                panic!("{error}; {last:#?}; {}", self.pdp.last_lines())
            }
        }
    }

    async fn until_secured(&self, with: &str) -> String {
        let is_secured = |status: &Status| {
            let good = status.peers.iter().find(|peer| peer.name == "good");
            good.filter(|peer| peer.connected && peer.security == with)
                .map(|peer| peer.address.clone())
        };
        let status = self.until(with, |status| is_secured(status).is_some()).await;
        is_secured(&status).unwrap()
    }

    /// All that went over the wire, as a capture that tshark reads.
    fn capture(&self, sent: &[Sent]) -> PathBuf {
        let path = self.path("all.pcap");
        let file = fs::File::create(&path).unwrap();
        let mut pcap = PcapWriter::of_family(file, self.relay.address.ip()).unwrap();
        let mut opened = BTreeSet::new();
        for (place, (connection, direction, octets)) in (0..).zip(sent) {
            let at = Duration::from_millis(place);
            if opened.insert(*connection) {
                pcap.open(*connection, at).unwrap();
            }
            pcap.data(*connection, *direction, octets, at).unwrap();
        }
        path
    }
}

fn decode(octets: &[u8]) -> Message {
    Message::decode(
        &cops_codec::Frame::new(octets.to_vec().into(), &Limits::DEFAULT).unwrap(),
        &Limits::DEFAULT,
    )
    .unwrap()
}

/// HMAC-MD5 by OpenSSL.
fn openssl(secret: &str, octets: &[u8]) -> String {
    let mut child = Command::new("openssl")
        .args([
            "dgst",
            "-md5",
            "-mac",
            "HMAC",
            "-macopt",
            &format!("hexkey:{secret}"),
        ])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("openssl (Debian package openssl; `make deps`)");
    child.stdin.take().unwrap().write_all(octets).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).unwrap();
    text.trim().rsplit(' ').next().unwrap().to_owned()
}

/// OpenSSL makes the digest of every message that has one; gives how many, and the keys they were made with.
fn check_digests(sent: &[Sent], peps_with_keys: &BTreeSet<u16>) -> (usize, BTreeSet<u32>) {
    let mut keys = BTreeSet::new();
    let mut count = 0;
    for (connection, _, octets) in sent {
        if !peps_with_keys.contains(connection) {
            continue;
        }
        let message = decode(octets);
        let Some(Integrity::Hmac { key_id, digest, .. }) = message.integrity() else {
            panic!("expected Integrity in {message:?}");
        };
        let secret = if key_id.0 == 1 { FIRST_KEY } else { SECOND_KEY };
        let expected = openssl(secret, &octets[..octets.len() - 12]);
        let found: String = digest.iter().map(|octet| format!("{octet:02x}")).collect();
        assert_eq!(found, expected[..24], "{message:?}");
        keys.insert(key_id.0);
        count += 1;
    }
    (count, keys)
}

/// tshark reads all of it, and sees the Integrity objects that there are.
fn check_dissection(capture: &Path, messages: usize, with_integrity: usize) {
    let dissection = tshark::dissect(capture).unwrap();
    assert!(dissection.malformed.is_empty(), "{:#?}", dissection.malformed);
    assert_eq!(dissection.op_codes.len(), messages);
    let seen = dissection
        .text
        .lines()
        .filter(|line| line.contains("C-Num: Message Integrity Object (Integrity) (16)"))
        .count();
    assert_eq!(seen, with_integrity, "Integrity objects that tshark sees");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c_5_01_keys_are_rotated_and_what_is_wrong_is_refused() {
    let site = Site::start(Ipv4Addr::LOCALHOST.into()).await;
    let good = site.agent("good", Some(FIRST_KEY));
    let address = site.until_secured("integrity, key 1 received, 1 sent").await;

    // Somebody with another key, and somebody with none: each is told why, and the others notice nothing.
    let mut wrong = site.agent("wrong", Some(SECOND_KEY));
    let mut plain = site.agent("plain", None);
    wrong
        .wait_until("the wrong key is refused", PATIENCE, || {
            fs::read_to_string(site.path("wrong.log")).is_ok_and(|log| log.contains("authentication failure"))
        })
        .unwrap();
    plain
        .wait_until("no key is refused", PATIENCE, || {
            fs::read_to_string(site.path("plain.log"))
                .is_ok_and(|log| log.contains("authentication required"))
        })
        .unwrap();
    drop((wrong, plain));

    // A second key whose life overlaps that of the first; its midpoint is some seconds away.
    let midpoint = Duration::from_secs(15);
    let (begin, end) = (now() - 5, now() + 5 + 2 * midpoint.as_secs());
    let both = |pep| key(pep, 1, FIRST_KEY, begin - 100, Some(end)) + &key(pep, 2, SECOND_KEY, begin, None);
    write_keys(&site.path("pdp-keys.toml"), &both(Some("good")));
    write_keys(&site.path("good-keys.toml"), &both(None));
    // At once; without it within seconds.
    site.pdp.signal(Signal::HUP).unwrap();
    let again = site.until_secured("integrity, key 2 received, 2 sent").await;
    assert_eq!(again, address, "on the same connection");
    // The old one is taken away.
    write_keys(
        &site.path("pdp-keys.toml"),
        &key(Some("good"), 2, SECOND_KEY, begin, None),
    );
    write_keys(
        &site.path("good-keys.toml"),
        &key(None, 2, SECOND_KEY, begin, None),
    );
    good.signal(Signal::HUP).unwrap();
    site.pdp.signal(Signal::HUP).unwrap();
    let log = |what: &str| {
        fs::read_to_string(site.path("pdp.log"))
            .unwrap()
            .matches(what)
            .count()
    };
    wait_for("the keys are read a second time", PATIENCE, async || {
        (log("the keys were read again: 1 PEPs") >= 2).then_some(())
    })
    .await
    .unwrap();
    assert_eq!(
        site.until_secured("integrity, key 2 received, 2 sent").await,
        address
    );

    // A file that others can read: the keys that were read before go on, and it is told.
    let exposed = site.path("pdp-keys.toml");
    fs::set_permissions(&exposed, fs::Permissions::from_mode(0o644)).unwrap();
    site.until("a warning", |status| {
        status
            .warnings
            .iter()
            .any(|warning| warning.contains("found mode 0644"))
    })
    .await;
    let checked = Command::new(program("pdp-server").unwrap())
        .args(["check-config"])
        .arg(site.path("pdp.toml"))
        .output()
        .unwrap();
    assert_eq!(checked.status.code(), Some(2), "{checked:?}");
    fs::set_permissions(&exposed, fs::Permissions::from_mode(0o600)).unwrap();
    site.until("no warning", |status| status.warnings.is_empty())
        .await;
    assert_eq!(
        site.until_secured("integrity, key 2 received, 2 sent").await,
        address
    );

    // One message of the PEP's comes twice.
    let before = site.relay.sent().len();
    site.relay.shared.replay.store(true, Ordering::SeqCst);
    let refused = wait_for("the replay is refused", PATIENCE, async || {
        let sent = site.relay.sent();
        sent[before..]
            .iter()
            .find_map(|(connection, direction, octets)| match decode(octets) {
                Message::ClientClose(close) if *direction == Direction::ToPep => Some((*connection, close)),
                _ => None,
            })
    })
    .await
    .unwrap();
    let (connection, close) = refused;
    assert_eq!(close.client_type, ClientType::CONNECTION);
    assert_eq!(close.error, CopsError::new(ErrorCode::AUTHENTICATION_FAILURE));
    assert!(close.integrity.is_some(), "containing a valid Integrity object");
    // Whoever replays can end a connection, no more: the agent comes back.
    site.until("the agent is back", |status| {
        let good = status.peers.iter().find(|peer| peer.name == "good");
        good.is_some_and(|peer| peer.connected && peer.address != address && !peer.security.is_empty())
    })
    .await;
    drop(good);

    let sent = site.relay.sent();
    let of_good: BTreeSet<u16> = sent
        .iter()
        .filter(|(.., octets)| match decode(octets) {
            Message::ClientOpen(open) => open.pep_id.as_str() == "good",
            _ => false,
        })
        .map(|(connection, ..)| *connection)
        .collect();
    assert!(of_good.contains(&connection) && of_good.len() >= 2);
    let (count, keys) = check_digests(&sent, &of_good);
    assert!(count > 20, "{count} messages");
    assert_eq!(keys, BTreeSet::from([1, 2]));
    let with_integrity = sent
        .iter()
        .filter(|(.., octets)| decode(octets).integrity().is_some());
    check_dissection(&site.capture(&sent), sent.len(), with_integrity.count());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn openssl_and_tshark_agree_over_ipv6() {
    let began = Instant::now();
    let site = Site::start(Ipv6Addr::LOCALHOST.into()).await;
    let _good = site.agent("good", Some(FIRST_KEY));
    site.until_secured("integrity, key 1 received, 1 sent").await;
    wait_for("a keep-alive and its echo", PATIENCE, async || {
        let sent = site.relay.sent();
        let echoed = sent.iter().any(|(_, direction, octets)| {
            *direction == Direction::ToPep && octets[1] == OpCode::KEEP_ALIVE.0
        });
        echoed.then_some(())
    })
    .await
    .unwrap_or_else(|error| panic!("{error} after {:?}", began.elapsed()));
    let sent = site.relay.sent();
    let all = sent.iter().map(|(connection, ..)| *connection).collect();
    let (count, _) = check_digests(&sent, &all);
    assert_eq!(count, sent.len(), "every message has one");
    check_dissection(&site.capture(&sent), sent.len(), sent.len());
}
