//! How a device or service is known in TLS: by an authority of the file, or by its certificate's fingerprint, which is what
//! a device with a certificate that it has made itself can be known by.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sha2::{Digest, Sha256};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use tokio_rustls::rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject};
use tokio_rustls::rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
    version::{TLS12, TLS13},
};

use crate::limits::MAX_PEM_FILE_OCTETS;

/// What a certificate is held against.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Trust {
    /// It is certified, for the host that was connected to, by an authority in this file (PEM).
    Authorities(PathBuf),
    /// It has this SHA-256.
    Fingerprint([u8; 32]),
}

/// Shakes hands with `host`.
///
/// # Errors
/// It is not the one that is trusted, or what it is held against cannot be had.
pub(super) async fn secure(
    trust: &Trust,
    host: &str,
    stream: TcpStream,
) -> Result<TlsStream<TcpStream>, String> {
    let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
    let name = ServerName::try_from(host).map_err(|error| error.to_string())?;
    TlsConnector::from(config(trust)?)
        .connect(name, stream)
        .await
        .map_err(|error| error.to_string())
}

/// The configuration of a connection. TLS 1.2 is taken too: many devices have nothing newer.
fn config(trust: &Trust) -> Result<Arc<ClientConfig>, String> {
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&TLS12, &TLS13])
        .map_err(|error| error.to_string())?;
    let config = match trust {
        Trust::Authorities(file) => builder.with_root_certificates(authorities(file)?),
        Trust::Fingerprint(digest) => {
            builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(Pinned {
                    digest: *digest,
                    provider,
                }))
        }
    };
    Ok(Arc::new(config.with_no_client_auth()))
}

fn authorities(file: &Path) -> Result<RootCertStore, String> {
    let wrong = |problem: String| format!("{}: {problem}", file.display());
    let size = fs::metadata(file)
        .map_err(|error| wrong(error.to_string()))?
        .len();
    if size > MAX_PEM_FILE_OCTETS {
        return Err(wrong(format!("longer than {MAX_PEM_FILE_OCTETS} octets")));
    }
    let pem = fs::read(file).map_err(|error| wrong(error.to_string()))?;
    let mut store = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|error| wrong(error.to_string()))?;
        store.add(certificate).map_err(|error| wrong(error.to_string()))?;
    }
    if store.is_empty() {
        return Err(wrong("expected a certificate in PEM, found none".to_owned()));
    }
    Ok(store)
}

/// Takes one certificate and no other. That who shows it has its key is proven by the handshake all the same.
#[derive(Debug)]
struct Pinned {
    digest: [u8; 32],
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if Sha256::digest(end_entity.as_ref()).as_slice() == self.digest {
            Ok(ServerCertVerified::assertion())
        } else {
            Err(Error::InvalidCertificate(
                CertificateError::ApplicationVerificationFailure,
            ))
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}
