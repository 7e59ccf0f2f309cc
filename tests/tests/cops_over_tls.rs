//! COPS over TLS (RFC 4261) with both programs; where octets, alerts or other certificates are to be seen, a PDP of the
//! test's own takes the place of one.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use cops_codec::client_type::numbers::POWER_CLIENT_TYPE;
use cops_codec::limits::Limits;
use cops_codec::message::{ClientAccept, ClientClose, Message};
use cops_codec::session::tls::{PdpTls, PdpTlsStep, TlsPolicy};
use cops_codec::tls::{PemFiles, server_config};
use cops_codec::wire::{CopsError, ErrorCode, KaTimer, OpCode};
use cops_codec::{Frame, Framer};
use pdp_server::api::{Availability, Status as PdpStatus};
use pep_agent::io::local::{LocalAnswer, LocalRequest, ask};
use pep_agent::node::Status;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use system_tests::cluster_run::{ClusterOptions, PATIENCE, PdpRun};
use system_tests::process::{Program, program, wait_for};
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::time_provider::DefaultTimeProvider;
use tokio_rustls::server::TlsStream;

const LIMITS: Limits = Limits::DEFAULT;
const AGENT: &str = include_str!("../../pep-agent/examples/simulated-node.toml");

struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// Certificate and key for a name.
    fn issue(&self, name: &str) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        (
            params.signed_by(&key, &self.0).unwrap().pem(),
            key.serialize_pem(),
        )
    }

    /// Puts one end's files into its folder. Each is replaced whole, as whoever reads it may do so at any time.
    fn write(&self, folder: &Path, end: &str, name: &str) {
        let (certificate, key) = self.issue(name);
        for (file, text) in [
            (format!("{end}.key"), key),
            (format!("{end}.pem"), certificate),
            (format!("{end}-trusts.pem"), self.0.pem()),
        ] {
            let (made, file) = (folder.join(format!("{file}.new")), folder.join(file));
            std::fs::write(&made, text).unwrap();
            std::fs::set_permissions(&made, std::fs::Permissions::from_mode(0o600)).unwrap();
            std::fs::rename(made, file).unwrap();
        }
    }
}

/// The table that names those files, relative to the configuration file.
fn tls_table(end: &str) -> String {
    format!(
        "[tls]\nmode = \"required\"\ncertificate = \"{end}.pem\"\nkey = \"{end}.key\"\nauthorities = \"{end}-trusts.pem\"\n"
    )
}

/// One agent, in a folder of its own.
struct Agent {
    folder: TempDir,
    process: Option<Program>,
}

impl Agent {
    fn start(authority: &Authority, pdp_keys: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        authority.write(folder.path(), "s1", "s1");
        let address = "address = \"127.0.0.1:3288\"";
        assert!(AGENT.contains(address));
        let text = AGENT.replace(address, pdp_keys) + "\n" + &tls_table("s1");
        std::fs::write(folder.path().join("agent.toml"), text).unwrap();
        let mut agent = Self {
            folder,
            process: None,
        };
        agent.start_again();
        agent
    }

    fn start_again(&mut self) {
        let mut command = Command::new(program("pep-agent").unwrap());
        command
            .args(["run", "--clock-scale", "20", "--config"])
            .arg(self.folder.path().join("agent.toml"))
            .env("RUST_LOG", "info");
        let log = self.folder.path().join("agent.log");
        self.process = Some(Program::start("pep-agent", &mut command, &log).unwrap());
    }

    fn log(&self) -> String {
        self.process.as_ref().map(Program::log).unwrap_or_default()
    }

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

    async fn log_says(&self, words: &str) {
        let found = wait_for(words, PATIENCE, async || self.log().contains(words).then_some(())).await;
        found.unwrap_or_else(|error| panic!("{error}\n{}", self.log()));
    }
}

fn is_served(status: &PdpStatus) -> bool {
    status
        .peers
        .iter()
        .any(|peer| peer.name == "s1" && peer.connected && peer.security == "TLS, certificate of s1")
}

/// A plan over TLS; an agent that dies without a word in TLS; new authorities, certificates and keys at both ends while
/// both run.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_programs_speak_over_tls_and_change_their_certificates_while_they_run_t_6_2_01() {
    let folder = tempfile::tempdir().unwrap();
    let old = Authority::new("old");
    old.write(folder.path(), "pdp", "localhost");
    let options = ClusterOptions {
        listen: tls_table("pdp"),
        ..ClusterOptions::default()
    };
    let start = PdpRun::start_at(folder.path(), &options, "127.0.0.1:0".parse().unwrap());
    let mut pdp = start.await.unwrap();
    let port = pdp.address().port();
    let mut agent = Agent::start(&old, &format!("address = \"localhost:{port}\""));
    let has_plan = |status: &Status| status.connected && status.plan.is_some();
    agent.until("a plan over TLS", has_plan).await;
    pdp.until("the agent over TLS", is_served).await.unwrap();

    // Its end comes without an alert, and is taken as any other.
    agent.process.take().unwrap().kill().unwrap();
    pdp.until("the agent is gone", |status| !is_served(status))
        .await
        .unwrap();
    agent.start_again();
    pdp.until("the agent is back", is_served).await.unwrap();

    // Neither knows the other's new authority but from its new files.
    let new = Authority::new("new");
    new.write(folder.path(), "pdp", "localhost");
    new.write(agent.folder.path(), "s1", "s1");
    pdp.until("the agent stays connected", is_served).await.unwrap();
    // Until the PDP knows the new authority alone, an agent that does not read its files again would be let in too.
    let has_read = "the certificate and its authorities were read again";
    wait_for(has_read, PATIENCE, async || {
        pdp.log().contains(has_read).then_some(())
    })
    .await
    .unwrap();
    let admin = pdp.admin();
    admin
        .availability("away", Availability::Drain, None)
        .await
        .unwrap();
    agent.until("the agent is away", |status| !status.connected).await;
    admin
        .availability("back", Availability::Serve, None)
        .await
        .unwrap();
    agent.until("a plan with the new certificates", has_plan).await;
    pdp.until("the agent over TLS again", is_served).await.unwrap();
}

/// A PDP of the test's own.
struct OwnPdp {
    listener: TcpListener,
    acceptor: TlsAcceptor,
}

impl OwnPdp {
    async fn new(authority: &Authority, name: &str) -> Self {
        let (certificate, key) = authority.issue(name);
        let authorities = authority.0.pem();
        let files = PemFiles {
            certificate: certificate.as_bytes(),
            key: key.as_bytes(),
            authorities: authorities.as_bytes(),
        };
        Self {
            listener: TcpListener::bind("127.0.0.1:0").await.unwrap(),
            acceptor: server_config(files, Arc::new(DefaultTimeProvider))
                .unwrap()
                .into(),
        }
    }

    fn address(&self) -> SocketAddr {
        self.listener.local_addr().unwrap()
    }

    /// The next connection, with TLS agreed on; what the agent sends after the CAT has not been read.
    async fn agreed(&self) -> TcpStream {
        let accepted = tokio::time::timeout(PATIENCE, self.listener.accept()).await;
        let (mut stream, _) = accepted.expect("a connection").unwrap();
        let (frame, rest) = next_frame(&mut stream).await;
        assert_eq!(rest, 0, "octets before the CAT");
        let negotiation = PdpTls::new(TlsPolicy::Required, KaTimer(30), LIMITS);
        match negotiation.handle_frame(Ok(frame)).unwrap() {
            PdpTlsStep::Upgrade { accept, pep_id } => {
                assert_eq!(pep_id.as_str(), "s1");
                stream.write_all(&accept).await.unwrap();
            }
            other => panic!("expected a request for TLS, found {other:?}"),
        }
        stream
    }

    /// The next connection, secured.
    async fn secured(&self) -> std::io::Result<TlsStream<TcpStream>> {
        let stream = self.agreed().await;
        tokio::time::timeout(PATIENCE, self.acceptor.accept(stream))
            .await
            .expect("an end of the handshake")
    }
}

/// The next frame, and how many octets after it came with it.
async fn next_frame(stream: &mut (impl AsyncRead + Unpin)) -> (Frame, usize) {
    let mut framer = Framer::new(LIMITS);
    loop {
        let mut octets = [0; 512];
        let read = tokio::time::timeout(PATIENCE, stream.read(&mut octets)).await;
        let read = read.expect("octets").unwrap();
        assert_ne!(read, 0, "the agent has closed");
        framer.push(&octets[..read]);
        if let Some(frame) = framer.next_frame().unwrap() {
            return (frame, framer.pending_octets());
        }
    }
}

async fn opened(stream: &mut TlsStream<TcpStream>) {
    let (frame, _) = next_frame(stream).await;
    let Message::ClientOpen(open) = Message::decode(&frame, &LIMITS).unwrap() else {
        panic!("expected an OPN, found {frame:?}");
    };
    assert_eq!(
        open.client_type, POWER_CLIENT_TYPE,
        "no second OPN for client-type 0"
    );
    // There is no HMAC inside TLS.
    assert_eq!(open.integrity, None);
}

async fn send(stream: &mut TlsStream<TcpStream>, message: impl Into<Message>) {
    let frame = message.into().encode(&LIMITS).unwrap();
    stream.write_all(&frame).await.unwrap();
    stream.flush().await.unwrap();
}

fn redirect_to(to: SocketAddr) -> ClientClose {
    ClientClose {
        client_type: POWER_CLIENT_TYPE,
        error: CopsError::new(ErrorCode::REDIRECT),
        pdp_redirect_address: Some(to.into()),
        integrity: None,
    }
}

/// All that the agent sends until it has closed. An end without its alert is an error here.
async fn until_closed(stream: &mut TlsStream<TcpStream>) {
    let mut octets = Vec::new();
    let end = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut octets)).await;
    end.expect("an end").expect("a closure alert before the end");
}

/// The first octet of a TLS handshake record (RFC 8446 5.1).
const HANDSHAKE: u8 = 22;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redirect_by_address_leads_to_the_name_in_the_file_t_5_2_04_t_6_1_01_t_6_1_02_t_6_1_03() {
    let authority = Authority::new("ours");
    let first = OwnPdp::new(&authority, "localhost").await;
    let second = OwnPdp::new(&authority, "localhost").await;
    let mut agent = Agent::start(
        &authority,
        &format!(
            "address = \"localhost:{}\"\nredirect_addresses = [\"localhost:{}\"]",
            first.address().port(),
            second.address().port()
        ),
    );
    // After the CAT the handshake is what comes first; the acceptor takes no octet that is not TLS.
    let stream = first.agreed().await;
    let mut octet = [0];
    assert_eq!(stream.peek(&mut octet).await.unwrap(), 1);
    assert_eq!(octet[0], HANDSHAKE);
    let mut stream = first.acceptor.accept(stream).await.unwrap();
    opened(&mut stream).await;
    // The redirect carries an address. Neither certificate is for an address.
    send(&mut stream, redirect_to(second.address())).await;
    until_closed(&mut stream).await;
    let mut stream = second.secured().await.unwrap();
    opened(&mut stream).await;

    // A message is cut off, and no alert comes: what came of it is dropped, and the agent begins again with its own list.
    send(
        &mut stream,
        ClientAccept {
            client_type: POWER_CLIENT_TYPE,
            ka_timer: KaTimer(30),
            accounting_timer: None,
            integrity: None,
        },
    )
    .await;
    let (request, _) = next_frame(&mut stream).await;
    assert_eq!(request[1], OpCode::REQUEST.0);
    let whole = Message::from(redirect_to(first.address()))
        .encode(&LIMITS)
        .unwrap();
    stream.write_all(&whole[..whole.len() - 4]).await.unwrap();
    stream.flush().await.unwrap();
    let (transport, _) = stream.into_inner();
    drop(transport);
    let mut stream = first.secured().await.unwrap();
    opened(&mut stream).await;
    let log = agent.log();
    assert!(!log.contains("panicked"), "{log}");

    // Its own end is told in TLS.
    let (ended, ()) = tokio::join!(
        async { tokio::task::block_in_place(|| agent.process.take().unwrap().terminate()) },
        until_closed(&mut stream)
    );
    assert!(ended.unwrap().success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_connection_is_made_to_a_pdp_that_the_file_does_not_authorize_t_7_02() {
    let authority = Authority::new("ours");
    let known = OwnPdp::new(&authority, "localhost").await;
    let other = OwnPdp::new(&authority, "localhost").await;
    let impostor = OwnPdp::new(&authority, "elsewhere.example").await;
    let agent = Agent::start(
        &authority,
        &format!(
            "addresses = [\"localhost:{}\", \"localhost:{}\"]",
            known.address().port(),
            impostor.address().port()
        ),
    );
    let mut stream = known.secured().await.unwrap();
    opened(&mut stream).await;
    // Its certificate would do, but no line of the file leads there.
    send(&mut stream, redirect_to(other.address())).await;
    until_closed(&mut stream).await;
    agent.log_says(&other.address().to_string()).await;
    // Then the list. One that shows another name's certificate gets an alert and not one COPS message; the first of the
    // list may come before it.
    loop {
        tokio::select! {
            again = known.secured() => drop(again),
            stream = impostor.agreed() => {
                let refused = impostor.acceptor.accept(stream).await;
                assert!(refused.is_err(), "the handshake with an impostor was completed");
                break;
            }
        }
    }
    agent.log_says("certificate not valid for name").await;
    let nobody = tokio::time::timeout(std::time::Duration::ZERO, other.listener.accept()).await;
    assert!(nobody.is_err(), "a connection where none may be made");
}
