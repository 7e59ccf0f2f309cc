//! One connection of a PEP: octets in, frames out. What they mean is the node's business.
//!
//! One task, in which reading and writing go on side by side, so that a PEP that does not read what we send is still heard,
//! and the other way round. It holds no buffer: there are ten thousand of it.
//!
//! # Flow control
//!
//! - Of each connection few messages are with the loop at a time ([`Share`]); its reader waits for the rest. So a flood
//!   waits in its sender's socket, and every other connection has its turn after a few messages of it.
//! - A reader also waits while much is left to be sent to its PEP, so that whoever asks faster than it reads is slowed.
//!   A PEP that does not read at all is disconnected: a frame has the write timeout to leave.
//! - What is pushed to a PEP without its asking is bounded by the [outbox](super::outbox); over it the connection ends.
//! - A message that has begun has the frame timeout to end.

use std::future::poll_fn;
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Poll, ready};
use std::time::Duration;

use cops_codec::framing::Framer;
use cops_codec::limits::Limits;
use cops_codec::tls::CertificateNames;
use cops_codec::wire::OpCode;
use cops_codec::{DecodeError, Frame};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::Instant;

use super::opening::{Opening, Progress, WithLoop};
use super::outbox::{self, Backlog, Outbox, Unsent};
use super::tls::{Arrival, Outgoing, Welcome};
use crate::limits;
use crate::node::ConnectionId;

/// Octets read at once, on the stack.
const READ_OCTETS: usize = 8 * 1024;
/// How long the last frames of a connection that we end may take to leave.
const FAREWELL_TIMEOUT: Duration = Duration::from_secs(5);

/// What a connection tells the loop.
#[derive(Debug)]
pub(super) enum FromConnection {
    /// It was accepted.
    Connected {
        id: ConnectionId,
        address: SocketAddr,
        /// Whom the PEP's certificate is for, over TLS.
        names: Option<CertificateNames>,
        /// Our end of it, where the system says.
        local: Option<SocketAddr>,
        /// Takes frames to send.
        outgoing: Outbox,
        /// Its place among those that have not opened; to be dropped when it has.
        opening: Opening,
    },
    /// A frame came, or the stream cannot be divided any more.
    Frame {
        id: ConnectionId,
        frame: Result<Frame, DecodeError>,
        /// Its share of the loop; dropped when the frame was handled.
        share: Share,
    },
    /// It ended.
    Disconnected { id: ConnectionId },
}

/// What all connections have in common.
#[derive(Debug, Clone)]
pub(super) struct Common {
    pub(super) to_loop: mpsc::Sender<FromConnection>,
    pub(super) limits: Limits,
    pub(super) write_timeout: Duration,
    pub(super) frame_timeout: Duration,
    /// COPS over TLS, if it is offered.
    pub(super) tls: Option<Welcome>,
}

/// A message's part of what its connection may have with the loop at one time.
#[derive(Debug)]
pub(super) struct Share {
    _units: Option<OwnedSemaphorePermit>,
    _with_loop: WithLoop,
}

/// What a message takes of [`limits::MAX_SHARE_UNITS`], by the work that it may make.
fn units(frame: &Frame) -> u32 {
    const LARGE_OCTETS: usize = 64 * 1024;
    if frame.len() > LARGE_OCTETS {
        return limits::MAX_SHARE_UNITS;
    }
    match frame.header().op_code {
        OpCode::KEEP_ALIVE => 1,
        OpCode::REQUEST | OpCode::CLIENT_OPEN => limits::MAX_SHARE_UNITS / 2,
        _ => limits::MAX_SHARE_UNITS / 4,
    }
}

/// Serves `stream` until either side ends it. `_places` are the places in the listener's counts that it takes.
pub(super) async fn serve(
    stream: TcpStream,
    address: SocketAddr,
    id: ConnectionId,
    common: Common,
    opening: Opening,
    _places: Arc<[OwnedSemaphorePermit]>,
) {
    // Small messages that must not wait for each other.
    let _ = stream.set_nodelay(true);
    let local = stream.local_addr().ok();
    let progress = opening.progress();
    let arrived = match &common.tls {
        None => Ok(Arrival::plain(stream, Framer::new(common.limits), None)),
        // Apart, because a handshake is large and soon over.
        Some(welcome) => tokio::select! {
            arrived = Box::pin(welcome.receive(stream, common.limits)) => arrived,
            () = progress.displaced() => Err("gives its place to another".to_owned()),
        },
    };
    let Arrival {
        incoming,
        outgoing,
        framer,
        first,
        names,
    } = match arrived {
        Ok(arrival) => arrival,
        Err(why) => {
            tracing::info!(%address, "no session: {why}");
            return;
        }
    };
    let (socket, tls) = match outgoing {
        Outgoing::Plain(socket) => (Some(socket), None),
        Outgoing::Tls(tls) => (None, Some(tls)),
    };
    let (outbox, unsent, backlog) = outbox::outbox(socket);
    let connected = FromConnection::Connected {
        id,
        address,
        names,
        local,
        outgoing: outbox,
        opening,
    };
    if common.to_loop.send(connected).await.is_err() {
        return;
    }
    let mut reader = Reader {
        incoming,
        id,
        common: common.clone(),
        progress,
        backlog,
        share: Arc::new(Semaphore::new(limits::MAX_SHARE_UNITS as usize)),
        framer,
        first,
    };
    let writing = write(tls, unsent, common.write_timeout);
    tokio::pin!(writing);
    tokio::select! {
        () = reader.read() => {
            // The session may still have a last word for a PEP that only closed its own direction.
            let _ = common.to_loop.send(FromConnection::Disconnected { id }).await;
            let _ = tokio::time::timeout(FAREWELL_TIMEOUT, &mut writing).await;
        }
        written = &mut writing => {
            let _ = common.to_loop.send(FromConnection::Disconnected { id }).await;
            if matches!(written, Written::All) {
                // A socket closed with octets unread is reset, and the PEP might lose our last word.
                reader.drain().await;
            }
        }
    }
}

/// The reading half.
struct Reader {
    incoming: Box<dyn AsyncRead + Send + Unpin>,
    id: ConnectionId,
    common: Common,
    progress: Progress,
    backlog: Backlog,
    share: Arc<Semaphore>,
    framer: Framer,
    /// A frame that was read before this was a session.
    first: Option<Result<Frame, DecodeError>>,
}

impl Reader {
    /// Reads until the end of the stream, or of its use.
    async fn read(&mut self) {
        if let Some(first) = self.first.take() {
            let is_over = first.is_err();
            if !self.hand_over(first).await {
                return;
            }
            if is_over {
                return self.drain().await;
            }
        }
        // When the message that has begun has to be whole.
        let mut due = None;
        loop {
            loop {
                match self.framer.next_frame() {
                    Ok(Some(frame)) => {
                        due = None;
                        if !self.hand_over(Ok(frame)).await {
                            return;
                        }
                    }
                    Ok(None) => break,
                    Err(error) => {
                        // Nothing after it can be trusted. The session answers, and the loop ends the connection.
                        if self.hand_over(Err(error)).await {
                            self.drain().await;
                        }
                        return;
                    }
                }
            }
            if due.is_none() && self.framer.pending_octets() > 0 {
                due = Some(Instant::now() + self.common.frame_timeout);
            }
            let end_of_frame = async {
                match due {
                    Some(due) => tokio::time::sleep_until(due).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                read = read(&mut self.incoming, |octets| self.framer.push(octets)) => match read {
                    Ok(0) => return,
                    Err(error) => {
                        // Over TLS also an end without a closure alert (RFC 4261 6.2): what came whole was taken.
                        tracing::debug!(connection = self.id.0, %error, "the connection broke");
                        return;
                    }
                    Ok(_) => {}
                },
                () = end_of_frame => {
                    tracing::info!(connection = self.id.0, "a message was begun and not ended in time");
                    return;
                }
                () = self.progress.displaced() => {
                    tracing::debug!(connection = self.id.0, "gives its place to another, having been silent");
                    return;
                }
            }
        }
    }

    /// Gives a frame to the loop when it is this connection's turn; false when there is no loop any more.
    async fn hand_over(&mut self, frame: Result<Frame, DecodeError>) -> bool {
        self.backlog.low().await;
        let wanted = frame.as_ref().map_or(1, units);
        // The semaphore is never closed.
        let units = Arc::clone(&self.share).acquire_many_owned(wanted).await.ok();
        let share = Share {
            _units: units,
            _with_loop: self.progress.hand_over(),
        };
        let id = self.id;
        let told = FromConnection::Frame { id, frame, share };
        self.common.to_loop.send(told).await.is_ok()
    }

    /// Reads on without looking, so that the peer gets our answer and not a reset.
    async fn drain(&mut self) {
        let reading =
            async { while matches!(read(&mut self.incoming, |_| {}).await, Ok(length) if length > 0) {} };
        let _ = tokio::time::timeout(FAREWELL_TIMEOUT, reading).await;
    }
}

/// Reads once and gives what came to `take`; the number of octets, 0 at the end. The buffer lives while it is filled, not
/// while it is waited for.
async fn read(
    incoming: &mut (impl AsyncRead + Unpin),
    mut take: impl FnMut(&[u8]),
) -> std::io::Result<usize> {
    poll_fn(|context| {
        let mut octets = [const { MaybeUninit::uninit() }; READ_OCTETS];
        let mut buffer = ReadBuf::uninit(&mut octets);
        ready!(Pin::new(&mut *incoming).poll_read(context, &mut buffer))?;
        take(buffer.filled());
        Poll::Ready(Ok(buffer.filled().len()))
    })
    .await
}

/// How a writer ended.
enum Written {
    /// With all that there was.
    All,
    /// Its PEP is gone, or does not read.
    NotAll,
}

/// Writes what the loop could not, until it says that there is no more.
async fn write(
    mut tls: Option<Box<dyn AsyncWrite + Send + Unpin>>,
    mut unsent: Unsent,
    timeout: Duration,
) -> Written {
    while let Some(frame) = unsent.next().await {
        let written = async {
            match &mut tls {
                None => unsent.write(&frame).await,
                Some(tls) => {
                    tls.write_all(&frame).await?;
                    // It may hold a part of it back until it is flushed.
                    tls.flush().await
                }
            }
        };
        match tokio::time::timeout(timeout, written).await {
            Ok(Ok(())) => unsent.sent(frame.len()),
            // Gone, or not reading.
            Ok(Err(_)) => return Written::NotAll,
            Err(_) => {
                tracing::info!("a PEP does not read what it is sent; its connection is ended");
                return Written::NotAll;
            }
        }
    }
    match &mut tls {
        None => unsent.shut_down(),
        // With a closure alert first (RFC 4261 6.2).
        Some(tls) => drop(tokio::time::timeout(timeout, tls.shutdown()).await),
    }
    Written::All
}
