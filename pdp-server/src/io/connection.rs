//! One connection of a PEP: octets in, frames out. What they mean is the node's business.
//!
//! Two tasks: one reads, one writes, so that a PEP that does not read what we send is still heard, and the other way
//! round. Back-pressure: the reader waits when the node's queue is full; the writer's queue is bounded, and a PEP that
//! leaves too much unread for too long is disconnected.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cops_codec::framing::Framer;
use cops_codec::limits::Limits;
use cops_codec::{DecodeError, Frame};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{OwnedSemaphorePermit, mpsc};

use crate::node::ConnectionId;

/// Octets read at once. Small, because there is a buffer of it for each connection.
const READ_OCTETS: usize = 2 * 1024;
/// How long the last frames of a connection that we end may take to leave.
const FAREWELL_TIMEOUT: Duration = Duration::from_secs(5);

/// What a connection tells the loop.
#[derive(Debug)]
pub(super) enum FromConnection {
    /// It was accepted.
    Connected {
        id: ConnectionId,
        address: SocketAddr,
        /// Frames to send.
        outgoing: mpsc::Sender<Bytes>,
    },
    /// A frame came, or the stream cannot be divided any more.
    Frame {
        id: ConnectionId,
        frame: Result<Frame, DecodeError>,
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
    pub(super) frames_queued: usize,
}

/// Serves `stream` until either side ends it. `_places` are the places in the listener's counts that it takes.
pub(super) async fn serve(
    stream: TcpStream,
    address: SocketAddr,
    id: ConnectionId,
    common: Common,
    _places: Arc<[OwnedSemaphorePermit]>,
) {
    // Small messages that must not wait for each other.
    let _ = stream.set_nodelay(true);
    let (incoming, outgoing) = stream.into_split();
    let (sender, receiver) = mpsc::channel(common.frames_queued);
    let connected = FromConnection::Connected {
        id,
        address,
        outgoing: sender,
    };
    if common.to_loop.send(connected).await.is_err() {
        return;
    }
    let writer = tokio::spawn(write(outgoing, receiver, common.write_timeout));
    tokio::pin!(writer);
    tokio::select! {
        () = read(incoming, id, &common) => {
            // The session may still have a last word for a PEP that only closed its own direction.
            let _ = common.to_loop.send(FromConnection::Disconnected { id }).await;
            let _ = tokio::time::timeout(FAREWELL_TIMEOUT, &mut writer).await;
            writer.abort();
        }
        _ = &mut writer => {
            let _ = common.to_loop.send(FromConnection::Disconnected { id }).await;
        }
    }
}

async fn read(mut incoming: OwnedReadHalf, id: ConnectionId, common: &Common) {
    let mut framer = Framer::new(common.limits);
    let mut buffer = [0; READ_OCTETS];
    loop {
        let length = match incoming.read(&mut buffer).await {
            Ok(0) | Err(_) => return,
            Ok(length) => length,
        };
        framer.push(&buffer[..length]);
        loop {
            match framer.next_frame() {
                Ok(Some(frame)) => {
                    if common
                        .to_loop
                        .send(FromConnection::Frame { id, frame: Ok(frame) })
                        .await
                        .is_err()
                    {
                        return;
                    }
                }
                Ok(None) => break,
                Err(error) => {
                    // Nothing after it can be trusted. The session answers, and the loop ends the connection.
                    let told = FromConnection::Frame {
                        id,
                        frame: Err(error),
                    };
                    if common.to_loop.send(told).await.is_err() {
                        return;
                    }
                    return drain(incoming).await;
                }
            }
        }
    }
}

/// Reads on without looking, so that the peer gets our answer and not a reset.
async fn drain(mut incoming: OwnedReadHalf) {
    let mut buffer = [0; READ_OCTETS];
    let reading = async { while matches!(incoming.read(&mut buffer).await, Ok(length) if length > 0) {} };
    let _ = tokio::time::timeout(FAREWELL_TIMEOUT, reading).await;
}

async fn write(mut outgoing: OwnedWriteHalf, mut frames: mpsc::Receiver<Bytes>, timeout: Duration) {
    while let Some(frame) = frames.recv().await {
        match tokio::time::timeout(timeout, outgoing.write_all(&frame)).await {
            Ok(Ok(())) => {}
            // Gone, or not reading.
            Ok(Err(_)) | Err(_) => return,
        }
    }
    let _ = outgoing.shutdown().await;
}
