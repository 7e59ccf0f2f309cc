//! What waits to be written to one PEP: bounded in frames and in octets, and seen by the reader of the same connection.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use tokio::sync::{Notify, mpsc};

use crate::limits;

/// The loop's end.
#[derive(Debug)]
pub(super) struct Outbox {
    frames: mpsc::Sender<Bytes>,
    backlog: Backlog,
}

/// The writer's end.
#[derive(Debug)]
pub(super) struct Unsent {
    frames: mpsc::Receiver<Bytes>,
    backlog: Backlog,
}

/// How much waits, for whoever wants to wait for less.
#[derive(Debug, Clone, Default)]
pub(super) struct Backlog(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    frames: AtomicUsize,
    octets: AtomicUsize,
    sent: Notify,
}

/// Why a frame was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NotTaken {
    /// The PEP leaves too much unread.
    Full,
    /// The writer has ended.
    Closed,
}

/// A queue with the bounds of [`limits`].
pub(super) fn outbox() -> (Outbox, Unsent, Backlog) {
    let backlog = Backlog::default();
    let (sender, receiver) = mpsc::channel(limits::MAX_FRAMES_QUEUED);
    let outbox = Outbox {
        frames: sender,
        backlog: backlog.clone(),
    };
    let unsent = Unsent {
        frames: receiver,
        backlog: backlog.clone(),
    };
    (outbox, unsent, backlog)
}

impl Outbox {
    /// Queues a frame.
    pub(super) fn push(&self, frame: Bytes) -> Result<(), NotTaken> {
        let octets = frame.len();
        let counts = &self.backlog.0;
        // One frame is always taken: what a message may have is bounded elsewhere.
        let waiting = counts.octets.load(Ordering::Relaxed);
        if waiting > 0 && waiting.saturating_add(octets) > limits::MAX_OCTETS_QUEUED {
            return Err(NotTaken::Full);
        }
        // Counted before the writer can see it, so that it never takes off what was not added.
        counts.frames.fetch_add(1, Ordering::Relaxed);
        counts.octets.fetch_add(octets, Ordering::Relaxed);
        self.frames.try_send(frame).map_err(|error| {
            self.backlog.take_off(octets);
            match error {
                mpsc::error::TrySendError::Full(_) => NotTaken::Full,
                mpsc::error::TrySendError::Closed(_) => NotTaken::Closed,
            }
        })
    }

    /// Waits until the writer has ended.
    pub(super) async fn closed(&self) {
        self.frames.closed().await;
    }
}

impl Unsent {
    /// The next frame to write. Tell [`Self::sent`] of it afterwards.
    pub(super) async fn next(&mut self) -> Option<Bytes> {
        self.frames.recv().await
    }

    /// A frame of so many octets is with the system now.
    pub(super) fn sent(&self, octets: usize) {
        self.backlog.take_off(octets);
    }
}

impl Backlog {
    fn take_off(&self, octets: usize) {
        self.0.frames.fetch_sub(1, Ordering::Relaxed);
        self.0.octets.fetch_sub(octets, Ordering::Relaxed);
        self.0.sent.notify_one();
    }

    fn is_low(&self) -> bool {
        self.0.frames.load(Ordering::Relaxed) <= limits::READ_ON_BELOW_FRAMES
            && self.0.octets.load(Ordering::Relaxed) <= limits::READ_ON_BELOW_OCTETS
    }

    /// Waits until little is left to be sent. For one waiter.
    pub(super) async fn low(&self) {
        while !self.is_low() {
            self.0.sent.notified().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn frames_and_octets_are_bounded_and_a_reader_waits_for_room() {
        let (outbox, mut unsent, backlog) = outbox();
        for _ in 0..limits::MAX_FRAMES_QUEUED {
            outbox.push(Bytes::from_static(b"12345678")).unwrap();
        }
        assert_eq!(outbox.push(Bytes::from_static(b"1")), Err(NotTaken::Full));
        assert!(!backlog.is_low());
        let waiting = tokio::spawn({
            let backlog = backlog.clone();
            async move { backlog.low().await }
        });
        while backlog.0.frames.load(Ordering::Relaxed) > 0 {
            let frame = unsent.next().await.unwrap();
            unsent.sent(frame.len());
        }
        waiting.await.unwrap();
        let half = Bytes::from(vec![0; limits::MAX_OCTETS_QUEUED / 2]);
        outbox.push(half.clone()).unwrap();
        outbox.push(half.clone()).unwrap();
        assert_eq!(outbox.push(half), Err(NotTaken::Full));
        let octets = backlog.0.octets.load(Ordering::Relaxed);
        assert_eq!(
            octets,
            limits::MAX_OCTETS_QUEUED,
            "what was refused does not count"
        );
        drop(unsent);
        assert_eq!(outbox.push(Bytes::new()), Err(NotTaken::Closed));
    }

    #[test]
    fn one_frame_of_any_size_is_taken() {
        let (outbox, _unsent, _) = outbox();
        let large = Bytes::from(vec![0; limits::MAX_OCTETS_QUEUED + 1]);
        assert_eq!(outbox.push(large), Ok(()));
    }
}
