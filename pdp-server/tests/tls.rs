//! COPS over TLS with the real program: a small peer that upgrades its connection, or does not (RFC 4261).

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_types,
    clippy::disallowed_methods
)]

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use cops_codec::client_type::numbers::POWER_CLIENT_TYPE;
use cops_codec::message::ClientOpen;
use cops_codec::session::tls::PepTls;
use cops_codec::tls::{PemFiles, client_config, pdp_name};
use cops_codec::wire::PepId;
use cops_codec::{Limits, Message};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use tokio_rustls::rustls::time_provider::DefaultTimeProvider;
use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto::ring, version::TLS13};

const LIMITS: Limits = Limits::DEFAULT;
/// Longer than anything takes; a test that waits so long has failed.
const FAR: Duration = Duration::from_secs(30);

struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    fn issue(&self, name: &str, last_year: i32) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.not_after = date_time_ymd(last_year, 1, 1);
        let certificate = params.signed_by(&key, &self.0).unwrap();
        (certificate.pem(), key.serialize_pem())
    }

    /// A client that shows this certificate, however old, and takes PDPs of this authority.
    fn client(&self, own: &(String, String)) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(self.0.der().clone()).unwrap();
        let chain = vec![CertificateDer::from_pem_slice(own.0.as_bytes()).unwrap()];
        let key = PrivateKeyDer::from_pem_slice(own.1.as_bytes()).unwrap();
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(&[&TLS13])
            .unwrap()
            .with_root_certificates(roots)
            .with_client_auth_cert(chain, key)
            .unwrap();
        Arc::new(config)
    }
}

/// A PDP that requires TLS.
struct Pdp {
    child: Child,
    folder: tempfile::TempDir,
    authority: Authority,
    address: String,
}

impl Drop for Pdp {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn write_secret(path: &Path, text: &str) {
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
}

fn write_files(folder: &Path, authority: &Authority, own: &(String, String)) -> String {
    std::fs::write(folder.join("pdp.pem"), &own.0).unwrap();
    write_secret(&folder.join("pdp.key"), &own.1);
    std::fs::write(folder.join("ca.pem"), authority.0.pem()).unwrap();
    let path = |name: &str| folder.join(name).display().to_string();
    let text = format!(
        "[listen]\naddress = \"127.0.0.1:0\"\n[journal]\npath = \"{}\"\n[admin]\nsocket = \"{}\"\n[tls]\nmode = \
         \"required\"\ncertificate = \"{}\"\nkey = \"{}\"\nauthorities = \"{}\"\nhandshake_timeout_seconds = 1\n",
        path("journal"),
        path("admin.sock"),
        path("pdp.pem"),
        path("pdp.key"),
        path("ca.pem")
    );
    let file = path("pdp.toml");
    std::fs::write(&file, text).unwrap();
    file
}

fn program(arguments: &[&str]) -> std::process::Output {
    Command::new(env!("CARGO_BIN_EXE_pdp-server"))
        .args(arguments)
        .output()
        .unwrap()
}

impl Pdp {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::new("ours");
        let file = write_files(folder.path(), &authority, &authority.issue("pdp.test", 2090));
        let child = Command::new(env!("CARGO_BIN_EXE_pdp-server"))
            .args(["run", "--config", &file])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut pdp = Self {
            child,
            folder,
            authority,
            address: String::new(),
        };
        let begun = tokio::time::Instant::now();
        while pdp.address.is_empty() {
            assert!(begun.elapsed() < FAR, "the PDP does not start");
            assert_eq!(pdp.child.try_wait().unwrap(), None, "the PDP has ended");
            if let Some(status) = pdp.status() {
                status["listen"].as_str().unwrap().clone_into(&mut pdp.address);
            } else {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
        pdp
    }

    fn status(&self) -> Option<serde_json::Value> {
        let file = self.folder.path().join("pdp.toml").display().to_string();
        let said = program(&["status", "--json", "--config", &file]);
        serde_json::from_slice(&said.stdout).ok()
    }

    async fn plain(&self) -> TcpStream {
        TcpStream::connect(&self.address).await.unwrap()
    }

    /// After OPN and CAT for client-type 0.
    async fn agreed(&self, pep_id: &str) -> TcpStream {
        let mut stream = self.plain().await;
        let (_, open) = PepTls::begin(PepId::new(pep_id).unwrap(), true, LIMITS).unwrap();
        stream.write_all(&open).await.unwrap();
        let mut accept = [0; 24];
        stream.read_exact(&mut accept).await.unwrap();
        // CAT, client-type 0, KA Timer 10, Integrity-TLS with StartTLS.
        assert_eq!(accept[..8], [0x10, 7, 0, 0, 0, 0, 0, 24]);
        assert_eq!(accept[16..], [0, 8, 16, 2, 0, 0, 0, 1]);
        stream
    }

    async fn secured(
        &self,
        pep_id: &str,
        client: Arc<ClientConfig>,
    ) -> std::io::Result<TlsStream<TcpStream>> {
        let name = pdp_name("pdp.test").unwrap();
        TlsConnector::from(client)
            .connect(name, self.agreed(pep_id).await)
            .await
    }
}

fn open(pep_id: &str) -> Vec<u8> {
    let open = ClientOpen {
        client_type: POWER_CLIENT_TYPE,
        pep_id: PepId::new(pep_id).unwrap(),
        client_si: None,
        last_pdp_address: None,
        integrity: None,
    };
    Message::from(open).encode(&LIMITS).unwrap().to_vec()
}

/// All that comes until the end.
async fn rest(mut stream: impl tokio::io::AsyncRead + Unpin) -> Vec<u8> {
    let mut octets = Vec::new();
    let _ = tokio::time::timeout(FAR, stream.read_to_end(&mut octets))
        .await
        .expect("an end");
    octets
}

/// CC for client-type 0 with error 15, (16,2).
const TLS_WANTED: [u8; 16] = [0x10, 8, 0, 0, 0, 0, 0, 16, 0, 8, 8, 1, 0, 15, 0x10, 2];

#[tokio::test]
async fn t_2_01_t_3_01_t_5_02_t_6_01_t_6_2_02_a_session_runs_over_tls_and_ends_with_an_alert() {
    let pdp = Pdp::start().await;
    let client = pdp.authority.client(&pdp.authority.issue("node7", 2090));
    let mut stream = pdp.secured("node7", client).await.unwrap();
    stream.write_all(&open("node7")).await.unwrap();
    let mut header = [0; 8];
    stream.read_exact(&mut header).await.unwrap();
    assert_eq!(header[1], 7, "CAT");
    let status = pdp.status().unwrap();
    assert_eq!(status["peers"][0]["security"], "TLS, certificate of node7");
    // CC for client-type 0: the PDP closes, and says so in TLS: an end without its alert would be an error here.
    stream
        .write_all(&[0x10, 8, 0, 0, 0, 0, 0, 16, 0, 8, 8, 1, 0, 11, 0, 0])
        .await
        .unwrap();
    let mut octets = Vec::new();
    let end = tokio::time::timeout(FAR, stream.read_to_end(&mut octets))
        .await
        .unwrap();
    end.expect("a closure alert");
}

#[tokio::test]
async fn t_7_03_t_7_04_t_7_1_02_a_pepid_that_is_not_in_the_certificate_is_refused() {
    let pdp = Pdp::start().await;
    let client = pdp.authority.client(&pdp.authority.issue("node7", 2090));
    // Another spelling is another PEP to whoever counts PEPs by their names.
    for pep_id in ["node8", "NODE7"] {
        let mut stream = pdp.secured("node7", Arc::clone(&client)).await.unwrap();
        stream.write_all(&open(pep_id)).await.unwrap();
        let said = rest(stream).await;
        // CC for client-type 0, error 14.
        assert_eq!(
            said,
            [0x10, 8, 0, 0, 0, 0, 0, 16, 0, 8, 8, 1, 0, 14, 0, 0],
            "{pep_id}"
        );
    }
    assert_eq!(pdp.status().unwrap()["peers"].as_array().unwrap().len(), 0);
}

#[tokio::test]
async fn t_7_05_t_7_1_01_other_authorities_and_old_certificates_are_refused() {
    let pdp = Pdp::start().await;
    let theirs = Authority::new("theirs").issue("node7", 2090);
    let expired = pdp.authority.issue("node7", 2020);
    for (own, alert) in [(&theirs, "UnknownCA"), (&expired, "CertificateExpired")] {
        // TLS 1.3 lets a client end its part before the server has looked at its certificate.
        let told = match pdp.secured("node7", pdp.authority.client(own)).await {
            Err(error) => error.to_string(),
            Ok(mut stream) => {
                let _ = stream.write_all(&open("node7")).await;
                let mut octet = [0];
                stream.read(&mut octet).await.unwrap_err().to_string()
            }
        };
        assert!(told.contains(alert), "{told}");
    }
}

#[tokio::test]
async fn t_5_2_05_t_5_2_06_t_11_02_who_does_without_tls_is_told_to_come_back_with_it() {
    let pdp = Pdp::start().await;
    let mut plain = pdp.plain().await;
    plain.write_all(&open("node7")).await.unwrap();
    assert_eq!(rest(plain).await, TLS_WANTED);
    // After the CAT, instead of a handshake.
    let mut agreed = pdp.agreed("node7").await;
    agreed.write_all(&open("node7")).await.unwrap();
    assert_eq!(rest(agreed).await, TLS_WANTED);
    // TLS at once, which RFC 4261 3 has not: the port speaks COPS first.
    let mut at_once = pdp.plain().await;
    at_once.write_all(&[22, 3, 1, 0, 5, 1, 0, 0, 1, 0]).await.unwrap();
    assert_eq!(rest(at_once).await, TLS_WANTED);
    assert_eq!(pdp.status().unwrap()["peers"].as_array().unwrap().len(), 0);
}

/// The end of the transport without a closure alert: what somebody who cuts a connection could do as well.
async fn cut(stream: &mut TlsStream<TcpStream>) {
    stream.get_mut().0.shutdown().await.unwrap();
}

#[tokio::test]
async fn t_6_1_01_a_message_that_is_cut_off_without_an_alert_does_nothing() {
    let pdp = Pdp::start().await;
    let client = pdp.authority.client(&pdp.authority.issue("node7", 2090));
    let whole = open("node7");
    let mut stream = pdp.secured("node7", Arc::clone(&client)).await.unwrap();
    stream.write_all(&whole[..whole.len() - 4]).await.unwrap();
    stream.flush().await.unwrap();
    cut(&mut stream).await;
    assert_eq!(rest(stream).await, [0; 0], "no answer to a part of an OPN");
    assert_eq!(pdp.status().unwrap()["peers"].as_array().unwrap().len(), 0);
    // The same octets and the rest of them are an OPN.
    let mut stream = pdp.secured("node7", client).await.unwrap();
    stream.write_all(&whole).await.unwrap();
    let mut header = [0; 8];
    stream.read_exact(&mut header).await.unwrap();
    assert_eq!(header[1], 7, "CAT");
}

#[tokio::test]
async fn t_6_1_02_t_6_2_01_a_pep_that_ends_without_an_alert_is_gone_and_may_come_back() {
    let pdp = Pdp::start().await;
    let client = pdp.authority.client(&pdp.authority.issue("node7", 2090));
    for _ in 0..2 {
        let mut stream = pdp.secured("node7", Arc::clone(&client)).await.unwrap();
        stream.write_all(&open("node7")).await.unwrap();
        let mut header = [0; 8];
        stream.read_exact(&mut header).await.unwrap();
        assert_eq!(header[1], 7, "CAT");
        assert_eq!(pdp.status().unwrap()["peers"][0]["connected"], true);
        cut(&mut stream).await;
        rest(stream).await;
        let begun = tokio::time::Instant::now();
        while pdp.status().unwrap()["peers"][0]["connected"] == true {
            assert!(begun.elapsed() < FAR, "it is not noticed that the PEP has gone");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

#[tokio::test]
async fn a_peer_that_stalls_in_the_handshake_is_dropped_and_keeps_nobody_out() {
    let pdp = Pdp::start().await;
    let mut silent = pdp.agreed("node1").await;
    silent.write_all(&[22, 3]).await.unwrap();
    let client = pdp.authority.client(&pdp.authority.issue("node7", 2090));
    let mut stream = pdp.secured("node7", client).await.unwrap();
    stream.write_all(&open("node7")).await.unwrap();
    let mut header = [0; 8];
    stream.read_exact(&mut header).await.unwrap();
    assert_eq!(header[1], 7, "CAT");
    assert_eq!(rest(silent).await, [0; 0], "dropped without a word");
}

#[tokio::test]
async fn a_certificate_is_read_again_while_connections_stay() {
    let pdp = Pdp::start().await;
    let client = pdp.authority.client(&pdp.authority.issue("node7", 2090));
    let mut stays = pdp.secured("node7", Arc::clone(&client)).await.unwrap();
    stays.write_all(&open("node7")).await.unwrap();
    let before = stays.get_ref().1.peer_certificates().unwrap()[0].clone();

    write_files(
        pdp.folder.path(),
        &pdp.authority,
        &pdp.authority.issue("pdp.test", 2091),
    );
    let begun = tokio::time::Instant::now();
    loop {
        assert!(begun.elapsed() < FAR, "the certificate is not read again");
        let newer = pdp.secured("node9", Arc::clone(&client)).await.unwrap();
        if newer.get_ref().1.peer_certificates().unwrap()[0] != before {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    // A keep-alive is echoed on the old connection.
    stays.write_all(&[0x10, 9, 0, 0, 0, 0, 0, 8]).await.unwrap();
    loop {
        let mut header = [0; 8];
        tokio::time::timeout(FAR, stays.read_exact(&mut header))
            .await
            .unwrap()
            .unwrap();
        let length = u32::from_be_bytes([header[4], header[5], header[6], header[7]]);
        let mut body = vec![0; length as usize - 8];
        stays.read_exact(&mut body).await.unwrap();
        if header[1] == 9 {
            break;
        }
    }
    // What cannot be used is told, and what was read before is used on.
    std::fs::write(pdp.folder.path().join("pdp.pem"), "nothing").unwrap();
    let begun = tokio::time::Instant::now();
    while !pdp.status().unwrap()["warnings"]
        .to_string()
        .contains("TLS goes on with the files as they were")
    {
        assert!(begun.elapsed() < FAR, "no warning");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    pdp.secured("node7", client).await.unwrap();
}

#[test]
fn a_wrong_file_keeps_the_pdp_from_starting_with_a_clear_error() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new("ours");
    let good = authority.issue("pdp.test", 2090);
    let cases: [(&str, (String, String), u32, &str); 4] = [
        (
            "expired",
            authority.issue("pdp.test", 2020),
            0o600,
            "pdp.pem: expected a certificate that is valid, found one that expired",
        ),
        (
            "mismatched",
            (good.0.clone(), authority.issue("x", 2090).1),
            0o600,
            "pdp.key: expected the private key of the certificate, found another one",
        ),
        (
            "exposed",
            good.clone(),
            0o644,
            "pdp.key: expected a file that only its owner may use (mode 0600), found mode 0644",
        ),
        (
            "missing",
            (String::new(), good.1.clone()),
            0o600,
            "pdp.pem: expected a certificate in PEM",
        ),
    ];
    for (name, own, mode, told) in cases {
        let file = write_files(folder.path(), &authority, &own);
        let key = folder.path().join("pdp.key");
        std::fs::set_permissions(&key, std::fs::Permissions::from_mode(mode)).unwrap();
        for command in [&["check-config"][..], &["run", "--config"]] {
            let said = program(&[command, &[&file]].concat());
            let text = String::from_utf8_lossy(&said.stderr).into_owned();
            assert!(!said.status.success(), "{name}, {command:?}: {text}");
            assert!(text.contains(told), "{name}, {command:?}: {text}");
        }
    }
    // The same files, read as the other end would.
    let files = PemFiles {
        certificate: good.0.as_bytes(),
        key: good.1.as_bytes(),
        authorities: good.0.as_bytes(),
    };
    client_config(files, Arc::new(DefaultTimeProvider)).unwrap();
}
