//! The admin API and a live page for people, over TCP (`[web]`): HTTP/1.1, over TLS where the file has a certificate.
//!
//! The page itself holds nothing secret and is served to anybody; all else needs a token ([`tokens`]). Every bound is in
//! [`crate::limits`] and in SECURITY.md.

mod access;
mod page;
mod secure;
pub mod tokens;

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use axum::Router;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use self::secure::Secure;
use self::tokens::Tokens;
use super::admin::{AdminHandle, router};
use crate::config;
use crate::limits;

/// How long to wait before accepting again when the process is out of file descriptors.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(100);

/// A listener that serves nobody yet.
#[derive(Debug)]
pub(super) struct Web {
    listener: TcpListener,
    address: SocketAddr,
    tokens: Arc<Tokens>,
    secure: Option<Secure>,
}

/// Binds the address, and reads tokens and certificate.
///
/// # Errors
/// In one line: the port is in use, the address is not ours, tokens would cross a network in clear, or a file is wrong.
pub(super) async fn bind(config: &config::Web) -> Result<Web> {
    if config.is_plain_beyond_loopback() && !config.allow_plain {
        bail!(
            "{} is not a loopback address, and plain HTTP shows tokens to whoever listens: expected 127.0.0.1 or [::1], \
             or certificate and key, or allow_plain = true in [web]",
            config.address
        );
    }
    let tokens = Arc::new(Tokens::read(config.tokens.clone())?);
    let secure = config.tls.clone().map(Secure::read).transpose()?;
    let listener = match TcpListener::bind(config.address).await {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => bail!(
            "port {} of {} is in use by another program ([web])",
            config.address.port(),
            config.address.ip()
        ),
        bound => bound.with_context(|| format!("listening on {} ([web])", config.address))?,
    };
    let address = listener.local_addr().context("address of the listener ([web])")?;
    Ok(Web {
        listener,
        address,
        tokens,
        secure,
    })
}

/// Reads tokens and certificate, and serves nobody.
///
/// # Errors
/// A file is wrong.
pub fn check(config: &config::Web) -> Result<()> {
    Tokens::read(config.tokens.clone())?;
    config.tls.clone().map(Secure::read).transpose()?;
    Ok(())
}

impl Web {
    /// Where it is reached, as a browser has it.
    pub(super) fn url(&self) -> String {
        let scheme = if self.secure.is_some() { "https" } else { "http" };
        format!("{scheme}://{}/", self.address)
    }

    /// Serves for ever.
    pub(super) async fn serve(mut self, handle: AdminHandle) {
        let places = Arc::new(Semaphore::new(limits::MAX_WEB_CONNECTIONS));
        let mut by_address: HashMap<IpAddr, Arc<Semaphore>> = HashMap::new();
        let api = access::guarded(router(handle), Arc::clone(&self.tokens));
        let router = access::hardened(page::router().merge(api));
        loop {
            let (stream, peer) = match self.listener.accept().await {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "a connection to [web] could not be accepted");
                    tokio::time::sleep(EXHAUSTED_PAUSE).await;
                    continue;
                }
            };
            // Closed without a word: an answer would need what is to be saved.
            let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
                tracing::debug!("a connection to [web] is refused: too many");
                continue;
            };
            if by_address.len() > limits::MAX_WEB_CONNECTIONS {
                by_address.retain(|_, places: &mut Arc<Semaphore>| {
                    places.available_permits() < limits::MAX_WEB_CONNECTIONS_PER_ADDRESS
                });
            }
            let of_address = by_address
                .entry(peer.ip())
                .or_insert_with(|| Arc::new(Semaphore::new(limits::MAX_WEB_CONNECTIONS_PER_ADDRESS)));
            let Ok(place_of_address) = Arc::clone(of_address).try_acquire_owned() else {
                tracing::debug!(%peer, "a connection to [web] is refused: too many of this address");
                continue;
            };
            // Also ends those that do not read: a window that stays shut counts as unacknowledged.
            if let Err(error) = rustix::net::sockopt::set_tcp_user_timeout(&stream, limits::WEB_UNREAD_MILLIS)
            {
                tracing::warn!(%error, "a connection to [web] is refused: it could not be bounded in time");
                continue;
            }
            let acceptor = self.secure.as_mut().map(Secure::acceptor);
            let router = router.clone();
            tokio::spawn(async move {
                match acceptor {
                    None => serve_connection(stream, router).await,
                    Some(acceptor) => {
                        let patience = Duration::from_millis(limits::WEB_HANDSHAKE_MILLIS);
                        let handshake = acceptor.accept::<TcpStream>(stream);
                        match tokio::time::timeout(patience, handshake).await {
                            Ok(Ok(stream)) => serve_connection(stream, router).await,
                            Ok(Err(error)) => tracing::debug!(%error, "TLS handshake of [web]"),
                            Err(_) => tracing::debug!("TLS handshake of [web] took too long"),
                        }
                    }
                }
                drop((place, place_of_address));
            });
        }
    }
}

async fn serve_connection(stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static, router: Router) {
    let served = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(Duration::from_millis(limits::WEB_HEADER_MILLIS))
        .max_buf_size(limits::MAX_WEB_HEAD_OCTETS)
        .max_headers(limits::MAX_WEB_HEADERS)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router))
        .await;
    if let Err(error) = served {
        tracing::debug!(%error, "connection of [web]");
    }
}
