//! TLS for `[web]`: the PDP shows a certificate, its clients show a token.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::config::WebTls;
use crate::io::tls::{Stamp, TlsError, read_file, stamp_of};

/// The files, and what was made of them.
pub(super) struct Secure {
    files: WebTls,
    config: Arc<ServerConfig>,
    seen: [Option<Stamp>; 2],
}

impl std::fmt::Debug for Secure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Secure")
            .field("files", &self.files)
            .finish_non_exhaustive()
    }
}

impl Secure {
    /// Reads the files.
    pub(super) fn read(files: WebTls) -> Result<Self, TlsError> {
        let seen = stamps(&files);
        Ok(Self {
            config: Arc::new(server_config(&files)?),
            files,
            seen,
        })
    }

    /// For the next connection. Files that have changed are read again; if they are wrong, what was read before goes on.
    pub(super) fn acceptor(&mut self) -> TlsAcceptor {
        let now = stamps(&self.files);
        if now != self.seen {
            self.seen = now;
            match server_config(&self.files) {
                Ok(config) => self.config = Arc::new(config),
                Err(error) => {
                    tracing::error!("[web] goes on with the certificate that was read before: {error}")
                }
            }
        }
        TlsAcceptor::from(Arc::clone(&self.config))
    }
}

fn stamps(files: &WebTls) -> [Option<Stamp>; 2] {
    [&files.certificate, &files.key].map(|path| stamp_of(path))
}

/// TLS 1.3 alone, as COPS has it.
fn server_config(files: &WebTls) -> Result<ServerConfig, TlsError> {
    let wrong = |path: &Path, problem: String| TlsError {
        path: PathBuf::from(path),
        problem,
    };
    let text = read_file(&files.certificate, false)?;
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    let chain = chain.map_err(|error| wrong(&files.certificate, format!("expected PEM: {error}")))?;
    let text = read_file(&files.key, true)?;
    let key = PrivateKeyDer::from_pem_slice(&text)
        .map_err(|error| wrong(&files.key, format!("expected a private key in PEM: {error}")))?;
    ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[&tokio_rustls::rustls::version::TLS13])
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key))
        .map_err(|error| wrong(&files.certificate, error.to_string()))
}
