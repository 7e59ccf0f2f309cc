//! Accepts PEPs, within the bounds on connections.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use super::connection::{self, Common};
use super::opening::Openings;
use crate::config::Listen;
use crate::node::ConnectionId;

/// How long to wait before accepting again when the process is out of file descriptors: long enough not to spin, short
/// enough that a PEP that waits in the backlog does not give up.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(100);

/// How often refused connections are told of, however many there are: a flood must not fill the log.
const TELL_REFUSED_EVERY: Duration = Duration::from_secs(1);

/// Binds the address.
///
/// # Errors
/// In one line: the port is in use, or the address is not ours, or plain COPS would be served beyond loopback.
pub(super) async fn bind(listen: &Listen, is_protected: bool) -> Result<TcpListener> {
    if !listen.address.ip().is_loopback() && !listen.allow_plain && !is_protected {
        bail!(
            "{} is not a loopback address, and COPS is served without protection: expected 127.0.0.1 or [::1], or \
             allow_plain = true in [listen]",
            listen.address
        );
    }
    let bound = TcpListener::bind(listen.address).await;
    match bound {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            bail!(
                "port {} of {} is in use by another program",
                listen.address.port(),
                listen.address.ip()
            )
        }
        bound => bound.with_context(|| format!("listening on {}", listen.address)),
    }
}

/// Accepts for ever. `refused` counts connections over a bound.
pub(super) async fn accept(listener: TcpListener, listen: Listen, common: Common, refused: Arc<AtomicU64>) {
    let places = Arc::new(Semaphore::new(listen.max_connections));
    let mut by_address: HashMap<IpAddr, Arc<Semaphore>> = HashMap::new();
    let openings = Openings::new(listen.max_unopened, listen.max_unopened_per_address);
    let mut told_refused: Option<Instant> = None;
    for number in 1u64.. {
        let (stream, address) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                // A peer that is gone already, or no descriptors left. Both pass.
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(EXHAUSTED_PAUSE).await;
                continue;
            }
        };
        if by_address.len() > listen.max_connections {
            by_address.retain(|_, places| places.available_permits() < listen.max_connections_per_address);
        }
        let of_address = by_address
            .entry(address.ip())
            .or_insert_with(|| Arc::new(Semaphore::new(listen.max_connections_per_address)));
        let place = Arc::clone(&places).try_acquire_owned();
        let place_of_address = Arc::clone(of_address).try_acquire_owned();
        let now = Instant::now();
        let taken = match (place, place_of_address) {
            (Ok(place), Ok(place_of_address)) => openings
                .begin(number, address.ip())
                .map(|opening| (Arc::new([place, place_of_address]), opening)),
            _ => None,
        };
        let Some((places, opening)) = taken else {
            // Closed without a word: an answer would need the resources that are to be saved.
            let count = refused.fetch_add(1, Ordering::Relaxed) + 1;
            if told_refused.is_none_or(|at| now.duration_since(at) >= TELL_REFUSED_EVERY) {
                told_refused = Some(now);
                tracing::warn!(%address, refused = count, "connection refused: too many");
            }
            continue;
        };
        tokio::spawn(connection::serve(
            stream,
            address,
            ConnectionId(number),
            common.clone(),
            opening,
            places,
        ));
    }
}

/// The bound address as PEPs see it.
///
/// # Errors
/// The system does not say.
pub(super) fn local_address(listener: &TcpListener) -> Result<SocketAddr> {
    listener.local_addr().context("address of the listener")
}
