//! COPS over TLS (RFC 4261): the files, and what happens on a connection before its session.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use cops_codec::framing::Framer;
use cops_codec::limits::Limits;
use cops_codec::session::tls::{PdpTls, PdpTlsStep, TlsPolicy};
use cops_codec::tls::{self, CertificateNames, MAX_PEM_OCTETS, Part, PemFiles};
use cops_codec::wire::KaTimer;
use cops_codec::{DecodeError, Frame};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedWriteHalf;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::{ServerConfig, time_provider::DefaultTimeProvider};

use crate::config::Tls;

/// Octets read at once before the session. An OPN for client-type 0 is smaller.
const READ_OCTETS: usize = 512;
/// How long a peer that is turned away may take to read why.
const FAREWELL_TIMEOUT: Duration = Duration::from_secs(2);

/// Why TLS cannot be had from its files.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}: {problem}", path.display())]
pub struct TlsError {
    /// The file.
    pub path: PathBuf,
    /// What was expected, and found.
    pub problem: String,
}

/// Reads the files.
///
/// # Errors
/// The first that is wrong: it cannot be read, its key may be used by others, its certificate is not valid now, or is not
/// the key's.
pub fn read(tls: &Tls) -> Result<Arc<ServerConfig>, TlsError> {
    let certificate = read_file(&tls.certificate, false)?;
    let key = read_file(&tls.key, true)?;
    let authorities = read_file(&tls.authorities, false)?;
    let files = PemFiles {
        certificate: &certificate,
        key: &key,
        authorities: &authorities,
    };
    tls::server_config(files, Arc::new(DefaultTimeProvider)).map_err(|error| {
        let path = match error.part {
            Part::Certificate => &tls.certificate,
            Part::Key => &tls.key,
            Part::Authorities => &tls.authorities,
        };
        TlsError {
            path: path.clone(),
            problem: error.problem,
        }
    })
}

pub(super) fn read_file(path: &Path, secret: bool) -> Result<Vec<u8>, TlsError> {
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

/// What tells one state of a file from another.
pub(super) type Stamp = (u64, u64, u64, i64, i64);

/// The state of a file; `None`: it is not there.
pub(super) fn stamp_of(path: &Path) -> Option<Stamp> {
    let of = std::fs::metadata(path).ok()?;
    Some((of.dev(), of.ino(), of.len(), of.ctime(), of.ctime_nsec()))
}

/// TLS for the connections that come. Clones are one and the same.
#[derive(Clone)]
pub(super) struct Welcome {
    tls: Arc<Tls>,
    /// Replaced when the files are read again; handshakes that have begun, and connections, keep theirs.
    config: Arc<RwLock<Arc<ServerConfig>>>,
    handshakes: Arc<Semaphore>,
    ka_timer: KaTimer,
    open_timeout: Duration,
}

impl std::fmt::Debug for Welcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Welcome")
            .field("tls", &self.tls)
            .finish_non_exhaustive()
    }
}

/// How often it is looked whether the files have changed.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// What is wrong with the files as they are now, if anything is.
pub(super) fn problem(shared: &Mutex<Option<String>>) -> Option<String> {
    shared.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

/// Reads the files again when they change, or on SIGHUP in any case. Whoever is connected stays.
pub(super) async fn follow(welcome: Welcome, shared: Arc<Mutex<Option<String>>>) {
    let mut hangup = match signal(SignalKind::hangup()) {
        Ok(hangup) => hangup,
        Err(error) => return tracing::error!(%error, "SIGHUP cannot be watched for"),
    };
    let mut look = tokio::time::interval(LOOK_EVERY);
    let mut seen = welcome.stamp();
    loop {
        let in_any_case = tokio::select! {
            _ = hangup.recv() => true,
            _ = look.tick() => false,
        };
        let now = welcome.stamp();
        if now == seen && !in_any_case {
            continue;
        }
        seen = now;
        let found = match welcome.reload() {
            Ok(()) => {
                tracing::info!("the certificate and its authorities were read again");
                None
            }
            Err(error) => {
                tracing::error!("the certificate that was read before is used on: {error}");
                Some(format!("TLS goes on with the files as they were: {error}"))
            }
        };
        *shared.lock().unwrap_or_else(PoisonError::into_inner) = found;
    }
}

/// Where frames are written.
pub(super) enum Outgoing {
    /// To a socket, which takes what it has room for at once.
    Plain(OwnedWriteHalf),
    /// Through TLS, whose records several writers cannot share.
    Tls(Box<dyn AsyncWrite + Send + Unpin>),
}

/// A connection that may have a session.
pub(super) struct Arrival {
    pub(super) incoming: Box<dyn AsyncRead + Send + Unpin>,
    pub(super) outgoing: Outgoing,
    /// What was read already.
    pub(super) framer: Framer,
    /// The frame that showed that it stays plain.
    pub(super) first: Option<Result<Frame, DecodeError>>,
    /// Whom the PEP's certificate is for, over TLS.
    pub(super) names: Option<CertificateNames>,
}

impl Arrival {
    /// Of a connection without TLS.
    pub(super) fn plain(
        stream: TcpStream,
        framer: Framer,
        first: Option<Result<Frame, DecodeError>>,
    ) -> Self {
        let (incoming, outgoing) = stream.into_split();
        Self {
            incoming: Box::new(incoming),
            outgoing: Outgoing::Plain(outgoing),
            framer,
            first,
            names: None,
        }
    }
}

impl Welcome {
    pub(super) fn new(tls: Tls, ka_timer: KaTimer, open_timeout: Duration) -> Result<Self, TlsError> {
        Ok(Self {
            config: Arc::new(RwLock::new(read(&tls)?)),
            handshakes: Arc::new(Semaphore::new(tls.max_handshakes)),
            tls: Arc::new(tls),
            ka_timer,
            open_timeout,
        })
    }

    /// Reads the files again. If they are wrong, what was read before goes on.
    pub(super) fn reload(&self) -> Result<(), TlsError> {
        let config = read(&self.tls)?;
        // A guard that somebody dropped in a panic still guards a whole value.
        *self.config.write().unwrap_or_else(PoisonError::into_inner) = config;
        Ok(())
    }

    /// The files' state, to tell when they change.
    pub(super) fn stamp(&self) -> Vec<Option<Stamp>> {
        [&self.tls.certificate, &self.tls.key, &self.tls.authorities]
            .into_iter()
            .map(|path| stamp_of(path))
            .collect()
    }

    /// Takes a connection to where its session begins, over TLS or without; an error says in words why it has none. Peers
    /// that are turned away have been told.
    pub(super) async fn receive(&self, mut stream: TcpStream, limits: Limits) -> Result<Arrival, String> {
        let policy = if self.tls.required {
            TlsPolicy::Required
        } else {
            TlsPolicy::Offered
        };
        let negotiation = PdpTls::new(policy, self.ka_timer, limits);
        let mut framer = Framer::new(limits);
        let first = tokio::time::timeout(self.open_timeout, first_frame(&mut stream, &mut framer))
            .await
            .map_err(|_| "no OPN in time".to_owned())??;
        let step = negotiation
            .handle_frame(first)
            .map_err(|error| error.to_string())?;
        let step = match step {
            // RFC 4261 5.2: what was sent before the handshake would have gone in plain.
            PdpTlsStep::Upgrade { .. } if framer.pending_octets() > 0 => negotiation
                .handle_octets(&[0])
                .map_err(|error| error.to_string())?
                .unwrap_or(PdpTlsStep::Refuse {
                    close: None,
                    fault: None,
                }),
            step => step,
        };
        match step {
            PdpTlsStep::Plain(first) => Ok(Arrival::plain(stream, framer, Some(first))),
            PdpTlsStep::Refuse { close, fault } => Err(turn_away(stream, close, fault).await),
            PdpTlsStep::Upgrade { accept, .. } => {
                let time = Duration::from_millis(self.tls.handshake_timeout_millis);
                match tokio::time::timeout(time, self.upgrade(stream, &negotiation, accept, limits)).await {
                    Ok(arrived) => arrived,
                    Err(_) => Err("no TLS handshake in time".to_owned()),
                }
            }
        }
    }

    async fn upgrade(
        &self,
        mut stream: TcpStream,
        negotiation: &PdpTls,
        accept: Frame,
        limits: Limits,
    ) -> Result<Arrival, String> {
        // The semaphore is never closed.
        let _place = self.handshakes.acquire().await.ok();
        stream
            .write_all(&accept)
            .await
            .map_err(|error| error.to_string())?;
        let mut next = [0];
        let length = stream.peek(&mut next).await.map_err(|error| error.to_string())?;
        let step = negotiation
            .handle_octets(&next[..length])
            .map_err(|error| error.to_string())?;
        if let Some(PdpTlsStep::Refuse { close, fault }) = step {
            return Err(turn_away(stream, close, fault).await);
        }
        let config = Arc::clone(&self.config.read().unwrap_or_else(PoisonError::into_inner));
        let stream = TlsAcceptor::from(config)
            .accept(stream)
            .await
            .map_err(|error| format!("TLS handshake: {error}"))?;
        let (_, connection) = stream.get_ref();
        // The verifier demanded one.
        let shown = connection.peer_certificates().and_then(<[_]>::first);
        let names = shown
            .ok_or_else(|| "TLS handshake: no certificate".to_owned())
            .and_then(|own| CertificateNames::of(own).map_err(|error| format!("certificate: {error:?}")))?;
        let (incoming, outgoing) = tokio::io::split(stream);
        Ok(Arrival {
            incoming: Box::new(incoming),
            outgoing: Outgoing::Tls(Box::new(outgoing)),
            framer: Framer::new(limits),
            first: None,
            names: Some(names),
        })
    }
}

/// The first frame, or what makes it impossible.
async fn first_frame(
    stream: &mut TcpStream,
    framer: &mut Framer,
) -> Result<Result<Frame, DecodeError>, String> {
    let mut buffer = [0; READ_OCTETS];
    loop {
        match framer.next_frame() {
            Ok(Some(frame)) => return Ok(Ok(frame)),
            Ok(None) => {}
            Err(error) => return Ok(Err(error)),
        }
        match stream.read(&mut buffer).await {
            Ok(0) => return Err("closed before its first message".to_owned()),
            Ok(length) => framer.push(&buffer[..length]),
            Err(error) => return Err(error.to_string()),
        }
    }
}

/// Says why, and reads on without looking, so that the peer gets it and not a reset.
async fn turn_away(
    mut stream: TcpStream,
    close: Option<Frame>,
    fault: Option<cops_codec::session::PeerFault>,
) -> String {
    let leaving = async {
        if let Some(close) = close
            && (stream.write_all(&close).await.is_err() || stream.shutdown().await.is_err())
        {
            return;
        }
        let mut buffer = [0; READ_OCTETS];
        while matches!(stream.read(&mut buffer).await, Ok(length) if length > 0) {}
    };
    let _ = tokio::time::timeout(FAREWELL_TIMEOUT, leaving).await;
    fault.map_or_else(|| "the PEP closed it".to_owned(), |fault| fault.to_string())
}
