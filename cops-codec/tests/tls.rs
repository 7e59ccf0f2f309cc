//! Certificates and TLS 1.3 as COPS uses it (RFC 4261 6 to 8), over both ends in memory.

// Helpers of tests stand outside the test functions, which are all that clippy.toml covers.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{
    io::{Read, Write},
    sync::Arc,
    time::Duration,
};

use cops_codec::{
    tls::{CertificateNames, Part, PemFiles, client_config, pdp_name, server_config},
    wire::PepId,
};
use proptest::prelude::*;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    date_time_ymd,
};
use rustls::{ClientConnection, ServerConnection, pki_types::UnixTime, time_provider::TimeProvider};

/// A clock that stands still on the first of July of a year.
#[derive(Debug)]
struct Year(u64);

impl TimeProvider for Year {
    fn current_time(&self) -> Option<UnixTime> {
        let seconds = (self.0 - 1970) * 31_556_952 + 15_768_000;
        Some(UnixTime::since_unix_epoch(Duration::from_secs(seconds)))
    }
}

fn year(year: u64) -> Arc<dyn TimeProvider> {
    Arc::new(Year(year))
}

struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    fn pem(&self) -> String {
        self.0.pem()
    }

    /// A certificate for these names, valid from 2020 to the end of 2029.
    fn issue(&self, names: &[&str], change: impl FnOnce(&mut CertificateParams)) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(2029, 12, 31);
        change(&mut params);
        let certificate = params.signed_by(&key, &self.0).unwrap();
        (certificate.pem(), key.serialize_pem())
    }
}

fn files<'a>(own: &'a (String, String), authority: &'a str) -> PemFiles<'a> {
    PemFiles {
        certificate: own.0.as_bytes(),
        key: own.1.as_bytes(),
        authorities: authority.as_bytes(),
    }
}

/// What each end says of a handshake, and what octets passed.
struct Handshake {
    client: Result<(), rustls::Error>,
    server: Result<(), rustls::Error>,
    ends: (ClientConnection, ServerConnection),
}

fn shake(client: Arc<rustls::ClientConfig>, server: Arc<rustls::ServerConfig>, pdp: &str) -> Handshake {
    let mut client = ClientConnection::new(client, pdp_name(pdp).unwrap()).unwrap();
    let mut server = ServerConnection::new(server).unwrap();
    let (mut of_client, mut of_server) = (Ok(()), Ok(()));
    for _ in 0..10 {
        let mut octets = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut octets).unwrap();
        }
        let mut rest = &octets[..];
        while !rest.is_empty() && of_server.is_ok() {
            server.read_tls(&mut rest).unwrap();
            of_server = server.process_new_packets().map(drop);
        }
        let mut octets = Vec::new();
        while server.wants_write() {
            server.write_tls(&mut octets).unwrap();
        }
        let mut rest = &octets[..];
        while !rest.is_empty() && of_client.is_ok() {
            client.read_tls(&mut rest).unwrap();
            of_client = client.process_new_packets().map(drop);
        }
    }
    Handshake {
        client: of_client,
        server: of_server,
        ends: (client, server),
    }
}

/// Both ends with certificates of one authority, the PDP named `pdp.example`.
fn both(pdp_names: &[&str], asked_for: &str) -> Handshake {
    let authority = Authority::new("ours");
    let pem = authority.pem();
    let pdp = authority.issue(pdp_names, |_| {});
    let pep = authority.issue(&["node7"], |_| {});
    shake(
        client_config(files(&pep, &pem), year(2026)).unwrap(),
        server_config(files(&pdp, &pem), year(2026)).unwrap(),
        asked_for,
    )
}

#[test]
fn t_7_1_01_t_7_2_02_t_7_06_t_7_07_both_ends_show_certificates_and_any_name_will_do() {
    for (names, asked_for) in [
        (&["pdp.example"][..], "pdp.example"),
        (&["other.example", "PDP.example"], "pdp.example"),
        (&["192.0.2.1", "pdp.example"], "192.0.2.1"),
        (&["2001:db8::1"], "[2001:db8::1]"),
    ] {
        let shaken = both(names, asked_for);
        assert_eq!(
            (shaken.client, shaken.server),
            (Ok(()), Ok(())),
            "{names:?} as {asked_for}"
        );
        let (mut client, mut server) = shaken.ends;
        assert_eq!(client.protocol_version(), Some(rustls::ProtocolVersion::TLSv1_3));
        let shown = &server.peer_certificates().unwrap()[0];
        assert!(
            CertificateNames::of(shown)
                .unwrap()
                .is_of(&PepId::new("node7").unwrap())
        );
        // What one writes the other reads.
        client.writer().write_all(b"OPN").unwrap();
        let mut octets = Vec::new();
        client.write_tls(&mut octets).unwrap();
        server.read_tls(&mut &octets[..]).unwrap();
        server.process_new_packets().unwrap();
        let mut read = [0; 3];
        server.reader().read_exact(&mut read).unwrap();
        assert_eq!(&read, b"OPN");
    }
}

/// The alert with which the client turned the server away, as the server saw it.
fn alert(shaken: &Handshake) -> rustls::AlertDescription {
    match shaken.server {
        Err(rustls::Error::AlertReceived(alert)) => alert,
        ref other => panic!("expected an alert, found {other:?}"),
    }
}

#[test]
fn t_7_2_02_t_7_2_03_t_7_2_04_t_7_06_another_name_is_a_bad_certificate() {
    for (names, asked_for) in [
        (&["other.example"][..], "pdp.example"),
        // Known by its address alone, and certified for a name.
        (&["pdp.example"], "192.0.2.1"),
        (&["192.0.2.1"], "192.0.2.2"),
        (&[], "pdp.example"),
    ] {
        let shaken = both(names, asked_for);
        assert!(
            matches!(shaken.client, Err(rustls::Error::InvalidCertificate(_))),
            "{names:?} as {asked_for}: {:?}",
            shaken.client
        );
        assert_eq!(alert(&shaken), rustls::AlertDescription::BadCertificate);
    }
}

#[test]
fn t_7_06_a_common_name_is_no_name() {
    let authority = Authority::new("ours");
    let pem = authority.pem();
    let named = |params: &mut CertificateParams| {
        params.distinguished_name.push(DnType::CommonName, "pdp.example");
    };
    let pdp = authority.issue(&[], named);
    let pep = authority.issue(&["node7"], |_| {});
    let server = server_config(files(&pdp, &pem), year(2026)).unwrap();
    let client = client_config(files(&pep, &pem), year(2026)).unwrap();
    assert_eq!(
        alert(&shake(client, server, "pdp.example")),
        rustls::AlertDescription::BadCertificate
    );
}

#[test]
fn t_7_05_t_7_1_02_another_authority_is_refused_at_either_end() {
    let (ours, theirs) = (Authority::new("ours"), Authority::new("ours"));
    let (our_pem, their_pem) = (ours.pem(), theirs.pem());
    let pdp = ours.issue(&["pdp.example"], |_| {});
    let pep = ours.issue(&["node7"], |_| {});
    let server = |own, trusted: &str| server_config(files(own, trusted), year(2026)).unwrap();
    let client = |own, trusted: &str| client_config(files(own, trusted), year(2026)).unwrap();

    let shaken = shake(client(&pep, &their_pem), server(&pdp, &our_pem), "pdp.example");
    assert!(matches!(shaken.client, Err(rustls::Error::InvalidCertificate(_))));
    let shaken = shake(client(&pep, &our_pem), server(&pdp, &their_pem), "pdp.example");
    assert!(matches!(shaken.server, Err(rustls::Error::InvalidCertificate(_))));
}

#[test]
fn t_7_05_what_has_expired_is_refused_in_the_handshake_and_when_it_is_read() {
    let authority = Authority::new("ours");
    let pem = authority.pem();
    let pdp = authority.issue(&["pdp.example"], |_| {});
    let pep = authority.issue(&["node7"], |_| {});
    let early = |own| client_config(files(own, &pem), year(2026)).unwrap();
    // Read in time, and expired since.
    let server = server_config(files(&pdp, &pem), year(2026)).unwrap();
    let late = client_config(
        files(
            &authority.issue(&["node7"], |params| params.not_after = date_time_ymd(2040, 1, 1)),
            &pem,
        ),
        year(2035),
    )
    .unwrap();
    let shaken = shake(late, server, "pdp.example");
    assert_eq!(alert(&shaken), rustls::AlertDescription::CertificateExpired);
    let _ = early(&pep);

    for (then, expected) in [
        (
            2035,
            "expected a certificate that is valid, found one that expired",
        ),
        (
            2010,
            "expected a certificate that is valid, found one that begins in",
        ),
    ] {
        let error = server_config(files(&pdp, &pem), year(then)).unwrap_err();
        assert_eq!(error.part, Part::Certificate);
        assert!(error.to_string().starts_with(expected), "{error}");
        let error = client_config(files(&pep, &pem), year(then)).unwrap_err();
        assert!(error.to_string().starts_with(expected), "{error}");
    }
}

#[test]
fn t_7_1_01_a_pep_without_a_certificate_is_refused() {
    let authority = Authority::new("ours");
    let pem = authority.pem();
    let pdp = authority.issue(&["pdp.example"], |_| {});
    let server = server_config(files(&pdp, &pem), year(2026)).unwrap();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(authority.0.der().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let client = rustls::ClientConfig::builder_with_details(provider, year(2026))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let shaken = shake(Arc::new(client), server, "pdp.example");
    assert_eq!(shaken.server, Err(rustls::Error::NoCertificatesPresented));
}

#[test]
fn t_6_02_no_session_is_resumed() {
    let authority = Authority::new("ours");
    let pem = authority.pem();
    let pdp = authority.issue(&["pdp.example"], |_| {});
    let pep = authority.issue(&["node7"], |_| {});
    let server = server_config(files(&pdp, &pem), year(2026)).unwrap();
    // A client that would resume, if it were given anything to do it with.
    let mut client = Arc::unwrap_or_clone(client_config(files(&pep, &pem), year(2026)).unwrap());
    client.resumption = rustls::client::Resumption::in_memory_sessions(8);
    let client = Arc::new(client);
    for _ in 0..2 {
        let shaken = shake(Arc::clone(&client), Arc::clone(&server), "pdp.example");
        assert_eq!(shaken.ends.0.handshake_kind(), Some(rustls::HandshakeKind::Full));
    }
}

/// A ClientHello of TLS 1.2, without the extension that would offer anything later; and with 3DES as its only suite.
#[test]
fn t_8_01_t_11_01_older_versions_and_their_ciphers_are_refused() {
    let authority = Authority::new("ours");
    let pem = authority.pem();
    let pdp = authority.issue(&["pdp.example"], |_| {});
    let server = server_config(files(&pdp, &pem), year(2026)).unwrap();
    for suite in [[0x00, 0x0a], [0xc0, 0x2f]] {
        let mut hello = vec![3, 3];
        hello.extend([7; 32]);
        hello.extend([0, 0, 2, suite[0], suite[1], 1, 0]);
        // signature_algorithms, without which the hello is not even read to its version.
        hello.extend([0, 8, 0, 13, 0, 4, 0, 2, 4, 3]);
        let mut record = vec![22, 3, 1, 0, hello.len() as u8 + 4, 1, 0, 0, hello.len() as u8];
        record.extend(hello);
        let mut server = ServerConnection::new(Arc::clone(&server)).unwrap();
        server.read_tls(&mut &record[..]).unwrap();
        assert!(
            matches!(
                server.process_new_packets(),
                Err(rustls::Error::PeerIncompatible(_))
            ),
            "suite {suite:02x?}"
        );
    }
}

#[test]
fn a_file_that_is_wrong_is_told_with_what_was_expected() {
    let authority = Authority::new("ours");
    let pem = authority.pem();
    let good = authority.issue(&["node7"], |_| {});
    let other = authority.issue(&["node7"], |_| {});
    let for_servers = authority.issue(&["node7"], |params| {
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    });
    let mixed = (good.0.clone(), other.1.clone());
    let huge = "#".repeat(300 * 1024);
    let with = |certificate: &str, key: &str, authorities: &str| {
        let files = PemFiles {
            certificate: certificate.as_bytes(),
            key: key.as_bytes(),
            authorities: authorities.as_bytes(),
        };
        client_config(files, year(2026)).map(drop)
    };
    assert_eq!(with(&good.0, &good.1, &pem), Ok(()));
    for (files, part, told) in [
        (
            ("", &*good.1, &*pem),
            Part::Certificate,
            "BEGIN CERTIFICATE), found none",
        ),
        ((&good.0, "", &pem), Part::Key, "BEGIN PRIVATE KEY), found none"),
        (
            (&good.0, &good.1, ""),
            Part::Authorities,
            "BEGIN CERTIFICATE), found none",
        ),
        (
            (&good.0, &good.0, &pem),
            Part::Key,
            "BEGIN PRIVATE KEY), found none",
        ),
        ((&mixed.0, &mixed.1, &pem), Part::Key, "found another one"),
        ((&for_servers.0, &for_servers.1, &pem), Part::Certificate, "sage"),
        ((&huge, &good.1, &pem), Part::Certificate, "at most 262144 octets"),
        (
            (
                "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
                &good.1,
                &pem,
            ),
            Part::Certificate,
            "expected an X.509 v3 certificate",
        ),
    ] {
        let error = with(files.0, files.1, files.2).unwrap_err();
        assert_eq!(error.part, part, "{error}");
        assert!(error.to_string().contains(told), "{error}");
        assert!(
            !error.to_string().contains("MII"),
            "{error}: nothing of a file is shown"
        );
    }
}

#[test]
fn t_7_1_02_a_pepid_is_a_name_in_the_certificate_and_no_pattern() {
    let authority = Authority::new("ours");
    let names =
        |names: &[&str]| CertificateNames::of_pem(authority.issue(names, |_| {}).0.as_bytes()).unwrap();
    let is_of = |names: &CertificateNames, pep: &str| names.is_of(&PepId::new(pep).unwrap());
    let two = names(&["node7", "node8.example", "192.0.2.7"]);
    for pep in ["node7", "NODE7", "node8.example", "192.0.2.7"] {
        assert!(is_of(&two, pep), "{pep}");
    }
    let spells = |pep: &str| two.spells(&PepId::new(pep).unwrap());
    assert!(["node7", "node8.example", "192.0.2.7"].into_iter().all(spells));
    assert!(!spells("NODE7") && !spells("node9") && !spells("192.0.2.8"));
    for pep in [
        "node9",
        "node8",
        "example",
        "node8.example.org",
        "192.0.2.8",
        "rack 1/ups",
        "*",
    ] {
        assert!(!is_of(&two, pep), "{pep}");
    }
    let wild = names(&["*.example"]);
    assert!(
        !is_of(&wild, "node8.example"),
        "it would let one PEP pass for another"
    );
    assert!(!is_of(&names(&[]), "node7"));
    assert_eq!(two.to_string(), "node7, node8.example");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    /// Anything instead of a handshake ends it with an error or waits for more; and anything instead of PEM is an error.
    #[test]
    fn any_octets_instead_of_a_handshake_neither_hang_nor_panic(
        octets in prop::collection::vec(any::<u8>(), 0..600),
        record in any::<bool>(),
    ) {
        let mut octets = octets;
        if record && octets.len() > 9 {
            let length = (octets.len() - 5) as u16;
            octets[..3].copy_from_slice(&[22, 3, 1]);
            octets[3..5].copy_from_slice(&length.to_be_bytes());
        }
        let mut server = ServerConnection::new(shared_server()).unwrap();
        let mut rest = &octets[..];
        while !rest.is_empty() {
            if server.read_tls(&mut rest).is_err() || server.process_new_packets().is_err() {
                break;
            }
        }
        prop_assert!(server.is_handshaking());
        let text = PemFiles { certificate: &octets, key: &octets, authorities: &octets };
        prop_assert!(server_config(text, year(2026)).is_err());
    }
}

fn shared_server() -> Arc<rustls::ServerConfig> {
    static SERVER: std::sync::OnceLock<Arc<rustls::ServerConfig>> = std::sync::OnceLock::new();
    Arc::clone(SERVER.get_or_init(|| {
        let authority = Authority::new("ours");
        let pdp = authority.issue(&["pdp.example"], |_| {});
        server_config(files(&pdp, &authority.pem()), year(2026)).unwrap()
    }))
}
