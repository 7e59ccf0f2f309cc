//! COPS over TLS (RFC 4261): the files, and what happens on a connection before its session.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use cops_codec::framing::Framer;
use cops_codec::limits::Limits;
use cops_codec::session::tls::{PepTls, PepTlsStep};
use cops_codec::tls::{self, CertificateNames, MAX_PEM_OCTETS, Part, PemFiles};
use cops_codec::wire::PepId;
use cops_codec::{DecodeError, Frame};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::{ClientConfig, pki_types::ServerName, time_provider::DefaultTimeProvider};

use crate::io::config::TlsEntry;

/// Octets read at once before the session. A CAT for client-type 0 is smaller.
const READ_OCTETS: usize = 512;
/// How long a PDP that is turned away may take to read why.
const FAREWELL_LIMIT: Duration = Duration::from_secs(1);

/// Why TLS cannot be had from its files.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}: {problem}", path.display())]
pub struct TlsError {
    /// The file.
    pub path: PathBuf,
    /// What was expected, and found.
    pub problem: String,
}

/// Reads the files. They are read for each connection, so that what replaces them needs no restart.
///
/// # Errors
/// The first that is wrong: it cannot be read, its key may be used by others, its certificate is not valid now, is not the
/// key's, or is not for this PEP.
pub fn read(tls: &TlsEntry, pep_id: &PepId) -> Result<Arc<ClientConfig>, TlsError> {
    let certificate = read_file(&tls.certificate, false)?;
    let key = read_file(&tls.key, true)?;
    let authorities = read_file(&tls.authorities, false)?;
    let files = PemFiles {
        certificate: &certificate,
        key: &key,
        authorities: &authorities,
    };
    let of = |part| match part {
        Part::Certificate => tls.certificate.clone(),
        Part::Key => tls.key.clone(),
        Part::Authorities => tls.authorities.clone(),
    };
    let config = tls::client_config(files, Arc::new(DefaultTimeProvider))
        .and_then(|config| Ok((config, CertificateNames::of_pem(&certificate)?)));
    match config {
        Err(error) => Err(TlsError {
            path: of(error.part),
            problem: error.problem,
        }),
        // The PDP would refuse it (RFC 4261 7.1).
        Ok((_, names)) if !names.spells(pep_id) => Err(TlsError {
            path: of(Part::Certificate),
            problem: format!(
                "expected a certificate for this agent's name, {pep_id}, as a dNSName or iPAddress, found one for {names}"
            ),
        }),
        Ok((config, _)) => Ok(config),
    }
}

fn read_file(path: &Path, secret: bool) -> Result<Vec<u8>, TlsError> {
    let wrong = |problem: String| TlsError {
        path: path.to_owned(),
        problem,
    };
    let file = File::open(path).map_err(|error| wrong(error.to_string()))?;
    let metadata = file.metadata().map_err(|error| wrong(error.to_string()))?;
    if !metadata.is_file() {
        return Err(wrong("expected a file".to_owned()));
    }
    let mode = metadata.mode() & 0o777;
    if secret && mode & 0o077 != 0 {
        return Err(wrong(format!(
            "expected a file that only its owner may use (mode 0600), found mode {mode:04o}"
        )));
    }
    let mut text = Vec::new();
    file.take(MAX_PEM_OCTETS as u64 + 1)
        .read_to_end(&mut text)
        .map_err(|error| wrong(error.to_string()))?;
    Ok(text)
}

/// What came of asking a PDP for TLS.
pub(crate) enum Secured {
    /// It is the one with this name.
    Tls(Box<TlsStream<TcpStream>>, ServerName<'static>),
    /// It has no TLS, and may do without: a new connection is needed if this is `None`.
    Plain(Option<TcpStream>),
}

/// Asks for TLS on a connection, and shakes hands. `host` is how the file, or a redirect, names the PDP.
pub(crate) async fn secure(
    mut stream: TcpStream,
    tls: &TlsEntry,
    pep_id: PepId,
    host: &str,
    limits: Limits,
) -> Result<Secured, io::Error> {
    let config = read(tls, &pep_id).map_err(io::Error::other)?;
    let name = tls.name_of(host).map_err(io::Error::other)?;
    let (negotiation, open) = PepTls::begin(pep_id, tls.required, limits).map_err(io::Error::other)?;
    stream.write_all(&open).await?;
    let mut framer = Framer::new(limits);
    let answer = first_frame(&mut stream, &mut framer).await?;
    match negotiation.handle_frame(answer).map_err(io::Error::other)? {
        // What came with the CAT came in plain: nobody vouches for it.
        PepTlsStep::Upgrade { .. } if framer.pending_octets() > 0 => Err(io::Error::other(
            "the PDP sent more in plain after it had agreed on TLS",
        )),
        PepTlsStep::Upgrade { .. } => {
            let stream = TlsConnector::from(config).connect(name.clone(), stream).await?;
            Ok(Secured::Tls(Box::new(stream), name))
        }
        PepTlsStep::Plain { same_connection } => Ok(Secured::Plain(same_connection.then_some(stream))),
        PepTlsStep::Refused { error } => Err(io::Error::other(format!(
            "the PDP does not agree on TLS: {error}"
        ))),
        PepTlsStep::Refuse { close, fault } => {
            let leaving = async {
                stream.write_all(&close).await?;
                stream.shutdown().await
            };
            let _ = timeout(FAREWELL_LIMIT, leaving).await;
            Err(io::Error::other(fault.to_string()))
        }
    }
}

/// The first frame, or what makes it impossible.
async fn first_frame(stream: &mut TcpStream, framer: &mut Framer) -> io::Result<Result<Frame, DecodeError>> {
    let mut buffer = [0; READ_OCTETS];
    loop {
        match framer.next_frame() {
            Ok(Some(frame)) => return Ok(Ok(frame)),
            Ok(None) => {}
            Err(error) => return Ok(Err(error)),
        }
        match stream.read(&mut buffer).await? {
            0 => {
                return Err(io::Error::new(
                    io::ErrorKind::UnexpectedEof,
                    "closed before it answered",
                ));
            }
            length => framer.push(&buffer[..length]),
        }
    }
}
