//! What waits to be written to one PEP: bounded in frames and in octets, and seen by the reader of the same connection.
//!
//! Nearly always nothing waits. Then the loop gives a frame to the socket itself, and nobody is woken: a decision to ten
//! thousand PEPs is ten thousand writes and no more. What the socket does not take at once, and all that goes over TLS, is
//! queued for the connection's writer.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::{Buf, Bytes};
use tokio::net::tcp::OwnedWriteHalf;
use tokio::sync::Notify;

use crate::limits;

/// The loop's end.
#[derive(Debug)]
pub(super) struct Outbox(Arc<Shared>);

/// The writer's end.
#[derive(Debug)]
pub(super) struct Unsent(Arc<Shared>);

/// How much waits, for whoever wants to wait for less.
#[derive(Debug, Clone)]
pub(super) struct Backlog(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    queue: Mutex<Queue>,
    /// Where frames go that need not wait; none over TLS.
    socket: Option<OwnedWriteHalf>,
    /// For the writer: there is a frame, or there will be no more.
    filled: Notify,
    /// For the reader: less waits than before.
    emptied: Notify,
    /// For the loop: the writer has ended.
    ended: Notify,
}

/// A queue without frames has taken no memory for them, or given it back.
#[derive(Debug, Default)]
struct Queue {
    frames: VecDeque<Bytes>,
    /// Frames that are not with the system: those that are queued, and the one that the writer has.
    unsent_frames: usize,
    /// Their octets.
    unsent_octets: usize,
    /// The loop has dropped its end.
    is_complete: bool,
    /// The writer has dropped its end.
    is_closed: bool,
}

/// Why a frame was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NotTaken {
    /// The PEP leaves too much unread.
    Full,
    /// The writer has ended.
    Closed,
}

/// A queue with the bounds of [`limits`], in front of `socket` if the loop may write to it.
pub(super) fn outbox(socket: Option<OwnedWriteHalf>) -> (Outbox, Unsent, Backlog) {
    let shared = Arc::new(Shared {
        queue: Mutex::default(),
        socket,
        filled: Notify::new(),
        emptied: Notify::new(),
        ended: Notify::new(),
    });
    (
        Outbox(Arc::clone(&shared)),
        Unsent(Arc::clone(&shared)),
        Backlog(shared),
    )
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        // Nothing in here panics between two changes that belong together.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Outbox {
    /// Sends a frame, or queues what of it cannot leave now.
    pub(super) fn push(&self, mut frame: Bytes) -> Result<(), NotTaken> {
        let mut queue = self.0.lock();
        if queue.is_closed {
            return Err(NotTaken::Closed);
        }
        if queue.unsent_frames == 0
            && let Some(socket) = &self.0.socket
        {
            // What is wrong with the socket, the writer hears too, and tells.
            let written = socket.try_write(&frame).unwrap_or(0);
            if written == frame.len() {
                return Ok(());
            }
            frame.advance(written);
        }
        let octets = frame.len();
        // One frame is always taken: what a message may have is bounded elsewhere.
        let is_over =
            queue.unsent_octets > 0 && queue.unsent_octets.saturating_add(octets) > limits::MAX_OCTETS_QUEUED;
        if is_over || queue.unsent_frames >= limits::MAX_FRAMES_QUEUED {
            return Err(NotTaken::Full);
        }
        queue.unsent_frames += 1;
        queue.unsent_octets += octets;
        queue.frames.push_back(frame);
        drop(queue);
        self.0.filled.notify_one();
        Ok(())
    }

    /// Waits until the writer has ended.
    pub(super) async fn closed(&self) {
        let ended = self.0.ended.notified();
        tokio::pin!(ended);
        // From here on an end is not missed.
        ended.as_mut().enable();
        if !self.0.lock().is_closed {
            ended.await;
        }
    }
}

impl Drop for Outbox {
    fn drop(&mut self) {
        self.0.lock().is_complete = true;
        self.0.filled.notify_one();
    }
}

impl Unsent {
    /// The next frame to write; `None` when there will be no more. Tell [`Self::sent`] of it afterwards.
    pub(super) async fn next(&mut self) -> Option<Bytes> {
        loop {
            {
                let mut queue = self.0.lock();
                let next = queue.frames.pop_front();
                if next.is_some() || queue.is_complete {
                    return next;
                }
                queue.frames = VecDeque::new();
            }
            self.0.filled.notified().await;
        }
    }

    /// A frame of so many octets is with the system now.
    pub(super) fn sent(&self, octets: usize) {
        {
            let mut queue = self.0.lock();
            queue.unsent_frames -= 1;
            queue.unsent_octets -= octets;
        }
        self.0.emptied.notify_one();
    }

    /// Writes to the socket that the loop writes to as well. It must not be called without one.
    pub(super) async fn write(&self, mut octets: &[u8]) -> io::Result<()> {
        let Some(socket) = &self.0.socket else {
            return Err(io::ErrorKind::NotConnected.into());
        };
        while !octets.is_empty() {
            match socket.try_write(octets) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => octets.advance(written),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => socket.writable().await?,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Nothing more will be written to that socket.
    pub(super) fn shut_down(&self) {
        if let Some(socket) = &self.0.socket {
            // It may be gone.
            let _ = rustix::net::shutdown(socket.as_ref(), rustix::net::Shutdown::Write);
        }
    }
}

impl Drop for Unsent {
    fn drop(&mut self) {
        self.0.lock().is_closed = true;
        self.0.ended.notify_waiters();
    }
}

impl Backlog {
    fn is_low(&self) -> bool {
        let queue = self.0.lock();
        queue.unsent_frames <= limits::READ_ON_BELOW_FRAMES
            && queue.unsent_octets <= limits::READ_ON_BELOW_OCTETS
    }

    /// Waits until little is left to be sent. For one waiter.
    pub(super) async fn low(&self) {
        while !self.is_low() {
            self.0.emptied.notified().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;
    use tokio::net::{TcpListener, TcpStream};

    use super::*;

    #[tokio::test]
    async fn frames_and_octets_are_bounded_and_a_reader_waits_for_room() {
        let (outbox, mut unsent, backlog) = outbox(None);
        for _ in 0..limits::MAX_FRAMES_QUEUED {
            outbox.push(Bytes::from_static(b"12345678")).unwrap();
        }
        assert_eq!(outbox.push(Bytes::from_static(b"1")), Err(NotTaken::Full));
        assert!(!backlog.is_low());
        let waiting = tokio::spawn({
            let backlog = backlog.clone();
            async move { backlog.low().await }
        });
        while backlog.0.lock().unsent_frames > 0 {
            let frame = unsent.next().await.unwrap();
            unsent.sent(frame.len());
        }
        waiting.await.unwrap();
        let half = Bytes::from(vec![0; limits::MAX_OCTETS_QUEUED / 2]);
        outbox.push(half.clone()).unwrap();
        outbox.push(half.clone()).unwrap();
        assert_eq!(outbox.push(half), Err(NotTaken::Full));
        assert_eq!(
            backlog.0.lock().unsent_octets,
            limits::MAX_OCTETS_QUEUED,
            "what was refused does not count"
        );
        drop(unsent);
        assert_eq!(outbox.push(Bytes::new()), Err(NotTaken::Closed));
        outbox.closed().await;
    }

    #[test]
    fn one_frame_of_any_size_is_taken() {
        let (outbox, _unsent, _) = outbox(None);
        let large = Bytes::from(vec![0; limits::MAX_OCTETS_QUEUED + 1]);
        assert_eq!(outbox.push(large), Ok(()));
    }

    #[tokio::test]
    async fn what_was_queued_is_given_before_the_end() {
        let (outbox, mut unsent, _) = outbox(None);
        outbox.push(Bytes::from_static(b"last")).unwrap();
        drop(outbox);
        assert_eq!(unsent.next().await.as_deref(), Some(&b"last"[..]));
        assert_eq!(unsent.next().await, None);
    }

    /// The loop's end writes at once, until the socket takes no more; then the writer's does, and the order stays.
    #[tokio::test]
    async fn octets_arrive_in_order_whoever_writes_them() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut pep = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (_incoming, socket) = listener.accept().await.unwrap().0.into_split();
        let (outbox, mut unsent, backlog) = outbox(Some(socket));
        outbox.push(Bytes::from_static(b"now")).unwrap();
        assert_eq!(backlog.0.lock().unsent_frames, 0, "nothing waits");
        let mut expected = b"now".to_vec();
        // More than the buffers of both ends take.
        for number in 0..6_u8 {
            let frame = Bytes::from(vec![number; 1 << 20]);
            expected.extend_from_slice(&frame);
            outbox.push(frame).unwrap();
        }
        assert!(backlog.0.lock().unsent_frames > 0, "something waits");
        drop(outbox);
        let writing = tokio::spawn(async move {
            while let Some(frame) = unsent.next().await {
                unsent.write(&frame).await.unwrap();
                unsent.sent(frame.len());
            }
            unsent.shut_down();
        });
        let mut found = Vec::new();
        pep.read_to_end(&mut found).await.unwrap();
        writing.await.unwrap();
        assert!(found == expected, "{} octets of {}", found.len(), expected.len());
    }
}
