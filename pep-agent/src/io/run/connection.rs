//! The connection to the PDP: made with back-off, read by the agent's loop, written by a task of its own so that a PDP
//! that does not read holds up nothing else.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use cops_codec::limits::Limits;
use cops_codec::session::pep::reconnect::Target;
use cops_codec::tokio_codec::{CodecError, CopsCodec};
use cops_codec::wire::{PdpAddress, PepId};
use cops_codec::{DecodeError, Frame};
use futures::stream::{SplitSink, SplitStream};
use futures::{SinkExt, StreamExt};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::codec::Framed;

use crate::io::config::{PdpEntry, TlsEntry};
use crate::io::tls::{Secured, secure};

/// A connection in plain or over TLS.
trait Stream: AsyncRead + AsyncWrite + Unpin {}
impl<T: AsyncRead + AsyncWrite + Unpin> Stream for T {}
type BoxedStream = Box<dyn Stream>;

/// How long an attempt to connect may take.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);
/// How long the last messages may take to leave when a connection is closed.
const FAREWELL_LIMIT: Duration = Duration::from_secs(2);
/// Frames that wait for the writing task; what is more waits in the session, which has bounds of its own.
const WRITE_QUEUE: usize = 16;

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConnectError {
    /// The name is not known, or nobody listens there.
    #[error("{address}: {source}")]
    Io {
        /// `host:port`.
        address: String,
        /// What the system says.
        source: io::Error,
    },
    /// Nothing came of it in time.
    #[error("{address}: no connection within {} s", CONNECT_LIMIT.as_secs())]
    Silent {
        /// `host:port`.
        address: String,
    },
    /// Another PDP named it, and the file does not.
    #[error("{address}: neither among the addresses nor the redirect_addresses in [pdp]")]
    NotPermitted {
        /// `host:port`.
        address: String,
    },
    /// Plain COPS does not go there.
    #[error(
        "{address} is {found}, which is not loopback: plain COPS goes there only with allow_plain = true"
    )]
    NotLoopback {
        /// `host:port`.
        address: String,
        /// What the name stands for.
        found: std::net::IpAddr,
    },
}

/// How the file names a PDP that only another PDP, or an earlier run of the agent, has named: it is one of the list, or
/// one that the file lets redirects lead to; `None` if it may not be connected to. A redirect carries an address (RFC 2748
/// 2.2.13), so names are looked up for it. A name that is not known now permits nothing.
async fn permitted_as(pdp: &PdpEntry, named: SocketAddr) -> Option<&str> {
    let also = pdp.redirect_addresses.iter().filter(|_| pdp.follow_redirects);
    for known in pdp.addresses.iter().chain(also) {
        if let Ok(mut found) = tokio::net::lookup_host(known).await
            && found.any(|found| (found.ip(), found.port()) == (named.ip(), named.port()))
        {
            return Some(known);
        }
    }
    None
}

/// The host of `host:port`.
fn host_of(address: &str) -> &str {
    address.rsplit_once(':').map_or(address, |(host, _)| host)
}

/// The host for whose name a PDP's certificate is checked (RFC 4261 7.2). For an address of a redirect that `[tls.names]`
/// does not have, it is the one by which the file permits it: whoever answers there has to be that PDP.
fn certified_host<'a>(tls: &TlsEntry, address: &'a str, known: Option<&'a str>) -> &'a str {
    let host = host_of(address);
    match known {
        Some(known) if !tls.has_name_for(host) => host_of(known),
        _ => host,
    }
}

/// Makes a connection.
pub(super) async fn connect(
    pdp: PdpEntry,
    target: Target,
    tls: Option<(TlsEntry, PepId)>,
    limits: Limits,
) -> Result<Connection, ConnectError> {
    let address = match target {
        // The list is never empty, and a place beyond it is never asked for.
        Target::Listed(at) => pdp.addresses.get(at).cloned().unwrap_or_default(),
        Target::Named(named) => named.to_socket_addr().to_string(),
    };
    let io = |source| ConnectError::Io {
        address: address.clone(),
        source,
    };
    let made = async {
        let known = match target {
            Target::Listed(_) => None,
            Target::Named(named) => match permitted_as(&pdp, named.to_socket_addr()).await {
                Some(known) => Some(known),
                None => {
                    let address = address.clone();
                    return Err(ConnectError::NotPermitted { address });
                }
            },
        };
        let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
        for candidate in tokio::net::lookup_host(&address).await.map_err(io)? {
            if !candidate.ip().is_loopback() && !pdp.allow_plain {
                return Err(ConnectError::NotLoopback {
                    address: address.clone(),
                    found: candidate.ip(),
                });
            }
            match TcpStream::connect(candidate).await {
                Ok(stream) => {
                    let tls = tls
                        .as_ref()
                        .map(|(tls, pep_id)| (tls, pep_id, certified_host(tls, &address, known)));
                    return Connection::begin(stream, candidate, tls, limits)
                        .await
                        .map_err(io);
                }
                Err(error) => last = error,
            }
        }
        Err(io(last))
    };
    match timeout(CONNECT_LIMIT, made).await {
        Ok(made) => made,
        Err(_) => Err(ConnectError::Silent {
            address: address.clone(),
        }),
    }
}

/// A connection.
pub(super) struct Connection {
    /// The PDP at the other end.
    pub(super) peer: PdpAddress,
    /// Whom it has shown to be, over TLS.
    pub(super) certified: Option<String>,
    reader: SplitStream<Framed<BoxedStream, CopsCodec>>,
    /// `None` once nothing more is sent.
    frames: Option<mpsc::Sender<Frame>>,
    writer: JoinHandle<()>,
    /// A frame that waits for room.
    waiting: Option<Frame>,
}

/// What came.
pub(super) enum Received {
    /// A frame, or the end of all framing.
    Frame(Result<Frame, DecodeError>),
    /// The end of the transport.
    End(String),
}

impl Connection {
    /// Over TLS, if that is asked for and the PDP has it.
    async fn begin(
        stream: TcpStream,
        address: SocketAddr,
        tls: Option<(&TlsEntry, &PepId, &str)>,
        limits: Limits,
    ) -> io::Result<Self> {
        // Messages are small and wait for nobody.
        stream.set_nodelay(true)?;
        let Some((tls, pep_id, host)) = tls else {
            return Ok(Self::new(Box::new(stream), address, None, limits));
        };
        match secure(stream, tls, pep_id.clone(), host, limits).await? {
            Secured::Tls(stream, name) => {
                let certified = Some(name.to_str().into_owned());
                Ok(Self::new(stream, address, certified, limits))
            }
            Secured::Plain(same) => {
                tracing::warn!(pdp = %address, "the PDP has no TLS, and the file does not require it: going on in plain");
                let stream = match same {
                    Some(stream) => stream,
                    None => TcpStream::connect(address).await?,
                };
                stream.set_nodelay(true)?;
                Ok(Self::new(Box::new(stream), address, None, limits))
            }
        }
    }

    fn new(stream: BoxedStream, peer: SocketAddr, certified: Option<String>, limits: Limits) -> Self {
        let (sink, reader) = CopsCodec::connection(stream, limits).split();
        let (frames, queue) = mpsc::channel(WRITE_QUEUE);
        Self {
            certified,
            peer: PdpAddress {
                address: peer.ip(),
                port: peer.port(),
            },
            reader,
            frames: Some(frames),
            writer: tokio::task::spawn_local(write(sink, queue)),
            waiting: None,
        }
    }

    /// Sends what `next` has, as far as there is room.
    pub(super) fn send(&mut self, mut next: impl FnMut() -> Option<Frame>) {
        let Some(frames) = &self.frames else { return };
        while let Some(frame) = self.waiting.take().or_else(&mut next) {
            match frames.try_send(frame) {
                Ok(()) => {}
                Err(mpsc::error::TrySendError::Full(frame)) => {
                    self.waiting = Some(frame);
                    return;
                }
                // The writing task has ended: the reader is about to see why.
                Err(mpsc::error::TrySendError::Closed(_)) => return,
            }
        }
    }

    /// What comes next; `None` when there is room again for a frame that waits.
    pub(super) async fn next(&mut self) -> Option<Received> {
        let Self {
            reader,
            frames,
            waiting,
            ..
        } = self;
        let room = async {
            match (frames, waiting) {
                // An error means that the writing task has ended; the reader is about to see why.
                (Some(frames), Some(_)) => match frames.reserve().await {
                    Ok(_) => {}
                    Err(_) => std::future::pending().await,
                },
                _ => std::future::pending().await,
            }
        };
        tokio::select! {
            () = room => None,
            received = reader.next() => Some(match received {
                Some(Ok(frame)) => Received::Frame(Ok(frame)),
                Some(Err(CodecError::Framing(error))) => Received::Frame(Err(error)),
                Some(Err(error)) => Received::End(error.to_string()),
                None => Received::End("the PDP closed it".to_owned()),
            }),
        }
    }

    /// Sends the rest and closes.
    pub(super) async fn close(mut self, next: impl FnMut() -> Option<Frame>) {
        self.send(next);
        if let (Some(frames), Some(frame)) = (&self.frames, self.waiting.take()) {
            let _ = frames.try_send(frame);
        }
        self.frames = None;
        if timeout(FAREWELL_LIMIT, &mut self.writer).await.is_err() {
            self.writer.abort();
        }
    }
}

async fn write(mut sink: SplitSink<Framed<BoxedStream, CopsCodec>, Frame>, mut queue: mpsc::Receiver<Frame>) {
    while let Some(frame) = queue.recv().await {
        if sink.feed(frame).await.is_err() {
            return;
        }
        while let Ok(frame) = queue.try_recv() {
            if sink.feed(frame).await.is_err() {
                return;
            }
        }
        if sink.flush().await.is_err() {
            return;
        }
    }
    // An error here is the end all the same.
    let _ = sink.close().await;
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    fn pdp(addresses: &[&str], redirect_addresses: &[&str]) -> PdpEntry {
        let all = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
        PdpEntry {
            addresses: all(addresses),
            follow_redirects: true,
            redirect_addresses: all(redirect_addresses),
            allow_plain: false,
            plan_ttl: Duration::from_secs(60),
            reading_interval: Duration::from_secs(5),
            retry_max: Duration::from_secs(60),
        }
    }

    fn tls(names: &[(&str, &str)]) -> TlsEntry {
        TlsEntry {
            required: true,
            certificate: "none.pem".into(),
            key: "none.key".into(),
            authorities: "none.pem".into(),
            names: names
                .iter()
                .map(|&(host, name)| (host.to_owned(), name.to_owned()))
                .collect(),
        }
    }

    #[tokio::test]
    async fn a_redirect_to_an_address_is_checked_for_the_name_that_the_file_has_t_7_2_02() {
        let named: SocketAddr = "127.0.0.1:3288".parse().unwrap();
        for pdp in [
            pdp(&["localhost:3288"], &[]),
            pdp(&["192.0.2.1:3288"], &["localhost:3288"]),
        ] {
            let known = permitted_as(&pdp, named).await;
            assert_eq!(known, Some("localhost:3288"));
            assert_eq!(certified_host(&tls(&[]), "127.0.0.1:3288", known), "localhost");
            // What the file says about this very address comes first.
            let tls = tls(&[("127.0.0.1", "pdp.test")]);
            assert_eq!(certified_host(&tls, "127.0.0.1:3288", known), "127.0.0.1");
        }
        let other_port = pdp(&["localhost:3289"], &[]);
        assert_eq!(permitted_as(&other_port, named).await, None);
        let mut follows_none = pdp(&["192.0.2.1:3288"], &["localhost:3288"]);
        follows_none.follow_redirects = false;
        assert_eq!(permitted_as(&follows_none, named).await, None);
        // A PDP of the list is checked for what the list says.
        assert_eq!(certified_host(&tls(&[]), "[::1]:3288", None), "[::1]");
    }

    #[tokio::test]
    async fn no_connection_over_tls_is_made_to_a_pdp_that_the_file_has_not_t_7_02() {
        let elsewhere = TcpListener::bind("127.0.0.1:0").unwrap();
        elsewhere.set_nonblocking(true).unwrap();
        let address = elsewhere.local_addr().unwrap();
        let target = Target::Named(PdpAddress {
            address: address.ip(),
            port: address.port(),
        });
        let who = Some((tls(&[]), PepId::new("node7").unwrap()));
        let made = connect(pdp(&["127.0.0.1:1"], &[]), target, who, Limits::DEFAULT).await;
        assert!(matches!(made, Err(ConnectError::NotPermitted { .. })));
        // Loopback has a connection wait here once its maker has it, and it would have it by now.
        let came = elsewhere.accept().map(|_| ()).unwrap_err();
        assert_eq!(came.kind(), io::ErrorKind::WouldBlock);
    }
}
