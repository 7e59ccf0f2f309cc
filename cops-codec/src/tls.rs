//! Certificates, and TLS 1.3 as COPS uses it (RFC 4261 6 to 8, 11).
//!
//! [`rustls`] is sans-IO too: the configurations that are made here drive its connections, or a transport around them. Who
//! is at the other end follows from certificates alone, both ways:
//!
//! - The PDP has to show a certificate of an authority that the PEP trusts, for the name or address that the PEP's own
//!   configuration gives it (RFC 4261 7.2): [`pdp_name`].
//! - The PEP has to show one too (RFC 4261 7.1), whose dNSName or iPAddress is its PEPID: [`CertificateNames::is_of`].
//!
//! Departures from RFC 4261 8: TLS 1.3 alone, without TLS_RSA_WITH_3DES_EDE_CBC_SHA; the subject's Common Name is no name.
//! `docs/decisions/0004-tls.md` says why.

use core::fmt;
use std::sync::Arc;

use rustls::{
    CertificateError, ClientConfig, Error, InconsistentKeys, RootCertStore, ServerConfig,
    client::Resumption,
    crypto::{CryptoProvider, ring},
    pki_types::{
        CertificateDer, InvalidDnsNameError, PrivateKeyDer, ServerName,
        pem::{self, PemObject},
    },
    server::{NoServerSessionStorage, WebPkiClientVerifier},
    time_provider::TimeProvider,
    version::TLS13,
};
use webpki::{EndEntityCert, KeyUsage};

use crate::wire::PepId;

/// Most octets of a PEM file that is looked at.
pub const MAX_PEM_OCTETS: usize = 256 * 1024;

/// The three files, as text.
#[derive(Clone, Copy)]
pub struct PemFiles<'a> {
    /// The end's own certificate, then those of intermediate authorities.
    pub certificate: &'a [u8],
    /// Its private key.
    pub key: &'a [u8],
    /// The authorities that vouch for the other end.
    pub authorities: &'a [u8],
}

/// One of [`PemFiles`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The certificate.
    Certificate,
    /// Its key.
    Key,
    /// The authorities.
    Authorities,
}

/// What is wrong with one of [`PemFiles`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{problem}")]
pub struct CredentialError {
    /// Which.
    pub part: Part,
    /// What was expected, and found.
    pub problem: String,
}

impl CredentialError {
    fn new(part: Part, problem: impl fmt::Display) -> Self {
        Self {
            part,
            problem: problem.to_string(),
        }
    }
}

/// TLS at a PDP: PEPs have to show a certificate.
///
/// `clock` tells what is valid now, here and in each handshake.
///
/// # Errors
/// What is wrong with a file: no certificate or key in it, one that is not valid now or not for a TLS server, a key that is
/// not the certificate's.
pub fn server_config(
    files: PemFiles<'_>,
    clock: Arc<dyn TimeProvider>,
) -> Result<Arc<ServerConfig>, CredentialError> {
    let (chain, key, roots) = read(files, &*clock, KeyUsage::server_auth())?;
    let provider = Arc::new(ring::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
        .build()
        .map_err(|error| CredentialError::new(Part::Authorities, error))?;
    let mut config = ServerConfig::builder_with_details(provider, clock)
        .with_protocol_versions(&[&TLS13])
        .map_err(|error| CredentialError::new(Part::Certificate, error))?
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain, key)
        .map_err(|error| CredentialError::new(Part::Certificate, error))?;
    // RFC 4261 6: "COPS/TLS makes no use of this capability", to resume.
    config.send_tls13_tickets = 0;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    Ok(Arc::new(config))
}

/// TLS at a PEP.
///
/// # Errors
/// As [`server_config`], with a certificate for a TLS client.
pub fn client_config(
    files: PemFiles<'_>,
    clock: Arc<dyn TimeProvider>,
) -> Result<Arc<ClientConfig>, CredentialError> {
    let (chain, key, roots) = read(files, &*clock, KeyUsage::client_auth())?;
    let mut config = ClientConfig::builder_with_details(Arc::new(ring::default_provider()), clock)
        .with_protocol_versions(&[&TLS13])
        .map_err(|error| CredentialError::new(Part::Certificate, error))?
        .with_root_certificates(roots)
        .with_client_auth_cert(chain, key)
        .map_err(|error| CredentialError::new(Part::Certificate, error))?;
    config.resumption = Resumption::disabled();
    Ok(Arc::new(config))
}

type Read = (
    Vec<CertificateDer<'static>>,
    PrivateKeyDer<'static>,
    RootCertStore,
);

fn read(files: PemFiles<'_>, clock: &dyn TimeProvider, usage: KeyUsage) -> Result<Read, CredentialError> {
    let chain = certificates(files.certificate, Part::Certificate)?;
    let key = private_key(files.key)?;
    let mut roots = RootCertStore::empty();
    for authority in certificates(files.authorities, Part::Authorities)? {
        roots
            .add(authority)
            .map_err(|error| CredentialError::new(Part::Authorities, error))?;
    }
    check(&chain, clock, usage)?;
    check_key(&chain, key.clone_key(), &ring::default_provider())?;
    Ok((chain, key, roots))
}

fn bound(part: Part, text: &[u8]) -> Result<(), CredentialError> {
    if text.len() <= MAX_PEM_OCTETS {
        return Ok(());
    }
    let problem = format!("expected at most {MAX_PEM_OCTETS} octets, found {}", text.len());
    Err(CredentialError::new(part, problem))
}

fn certificates(text: &[u8], part: Part) -> Result<Vec<CertificateDer<'static>>, CredentialError> {
    bound(part, text)?;
    let found: Vec<_> = CertificateDer::pem_slice_iter(text)
        .collect::<Result<_, _>>()
        .map_err(|error| CredentialError::new(part, format!("expected certificates in PEM: {error}")))?;
    if found.is_empty() {
        let problem = "expected a certificate in PEM (BEGIN CERTIFICATE), found none";
        return Err(CredentialError::new(part, problem));
    }
    Ok(found)
}

fn private_key(text: &[u8]) -> Result<PrivateKeyDer<'static>, CredentialError> {
    bound(Part::Key, text)?;
    PrivateKeyDer::from_pem_slice(text).map_err(|error| {
        // What is in the file is not repeated.
        let problem = match error {
            pem::Error::NoItemsFound => "expected a private key in PEM (BEGIN PRIVATE KEY), found none",
            _ => "expected a private key in PEM (BEGIN PRIVATE KEY), found something that cannot be read",
        };
        CredentialError::new(Part::Key, problem)
    })
}

/// Whether the other end could take the certificate, but for its authorities, which this end does not know.
fn check(
    chain: &[CertificateDer<'static>],
    clock: &dyn TimeProvider,
    usage: KeyUsage,
) -> Result<(), CredentialError> {
    let wrong = |problem: String| Err(CredentialError::new(Part::Certificate, problem));
    let Some(now) = clock.current_time() else {
        return wrong("the time is not known, so nothing is valid".to_owned());
    };
    let [own, intermediates @ ..] = chain else {
        return wrong("expected a certificate, found none".to_owned());
    };
    let own = match EndEntityCert::try_from(own) {
        Ok(own) => own,
        Err(error) => return wrong(format!("expected an X.509 v3 certificate: {error}")),
    };
    let verified = own.verify_for_usage(
        webpki::ALL_VERIFICATION_ALGS,
        &[],
        intermediates,
        now,
        usage,
        None,
        None,
    );
    match verified {
        Ok(_) | Err(webpki::Error::UnknownIssuer) => Ok(()),
        Err(webpki::Error::CertExpired { time, not_after }) => {
            let ago = time.as_secs().saturating_sub(not_after.as_secs());
            wrong(format!(
                "expected a certificate that is valid, found one that expired {ago} s ago"
            ))
        }
        Err(webpki::Error::CertNotValidYet { time, not_before }) => {
            let wait = not_before.as_secs().saturating_sub(time.as_secs());
            wrong(format!(
                "expected a certificate that is valid, found one that begins in {wait} s"
            ))
        }
        Err(webpki::Error::RequiredEkuNotFoundContext(_)) => wrong(
            "expected a certificate for this end of TLS, found one for other uses (extended key usage)"
                .to_owned(),
        ),
        Err(error) => wrong(error.to_string()),
    }
}

fn check_key(
    chain: &[CertificateDer<'static>],
    key: PrivateKeyDer<'static>,
    provider: &CryptoProvider,
) -> Result<(), CredentialError> {
    match rustls::sign::CertifiedKey::from_der(chain.to_vec(), key, provider) {
        Ok(_) => Ok(()),
        Err(Error::InconsistentKeys(InconsistentKeys::KeyMismatch)) => Err(CredentialError::new(
            Part::Key,
            "expected the private key of the certificate, found another one",
        )),
        Err(Error::InvalidCertificate(error)) => Err(CredentialError::new(
            Part::Certificate,
            Error::InvalidCertificate(error),
        )),
        Err(error) => Err(CredentialError::new(Part::Key, error)),
    }
}

/// The name under which a PDP has to be certified: the host of `host:port`, a name or an address (RFC 4261 7.2).
///
/// # Errors
/// It is neither.
pub fn pdp_name(host: &str) -> Result<ServerName<'static>, InvalidDnsNameError> {
    let host = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
        .unwrap_or(host);
    ServerName::try_from(host.to_owned())
}

/// The names that a certificate is for. The handshake has verified it already.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateNames {
    certificate: CertificateDer<'static>,
    dns: Vec<String>,
}

impl CertificateNames {
    /// Of an end's own certificate, the first of its chain.
    ///
    /// # Errors
    /// It is no X.509 v3 certificate.
    pub fn of(certificate: &CertificateDer<'_>) -> Result<Self, CertificateError> {
        let parsed = EndEntityCert::try_from(certificate).map_err(|_| CertificateError::BadEncoding)?;
        let dns = parsed.valid_dns_names().map(str::to_owned).collect();
        Ok(Self {
            certificate: certificate.clone().into_owned(),
            dns,
        })
    }

    /// Of the first certificate in a PEM file.
    ///
    /// # Errors
    /// There is none.
    pub fn of_pem(text: &[u8]) -> Result<Self, CredentialError> {
        let chain = certificates(text, Part::Certificate)?;
        let own = chain.first().map(Self::of);
        own.unwrap_or(Err(CertificateError::BadEncoding))
            .map_err(|error| CredentialError::new(Part::Certificate, Error::InvalidCertificate(error)))
    }

    /// Whether it is this PEP's: a dNSName is the PEPID, or an iPAddress where the PEPID is an address (RFC 4261 7, 7.1; RFC
    /// 2748 2.2.11). Any one of several is enough. Upper and lower case are the same; a wildcard is nobody's, since it would
    /// let one PEP pass for another; the Common Name is not looked at.
    #[must_use]
    pub fn is_of(&self, pep_id: &PepId) -> bool {
        match ServerName::try_from(pep_id.as_str()) {
            Ok(name @ ServerName::IpAddress(_)) => EndEntityCert::try_from(&self.certificate)
                .is_ok_and(|certificate| certificate.verify_is_valid_for_subject_name(&name).is_ok()),
            Ok(ServerName::DnsName(name)) => {
                let name = name.as_ref();
                self.dns.iter().any(|dns| dns.eq_ignore_ascii_case(name))
            }
            _ => false,
        }
    }

    /// Whether it is this PEP's ([`Self::is_of`]) by the spelling of its PEPID, octet by octet; an address as it is written by
    /// RFC 5952. A PEPID is compared octet by octet wherever else it counts, so that one certificate must not be good for
    /// each of the spellings that a dNSName has.
    #[must_use]
    pub fn spells(&self, pep_id: &PepId) -> bool {
        let text = pep_id.as_str();
        self.is_of(pep_id)
            && match text.parse::<std::net::IpAddr>() {
                Ok(address) => address.to_string() == text,
                Err(_) => self.dns.iter().any(|dns| dns == text),
            }
    }
}

impl fmt::Display for CertificateNames {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.dns.as_slice() {
            [] => f.write_str("no dNSName"),
            names => f.write_str(&names.join(", ")),
        }
    }
}
