//! Writes the agent's memory beside its loop, and goes without where it must.
//!
//! An agent that confirms or does something keeps it on disk first. But a disk that is full, read-only or hangs, as disks
//! do on the day the mains fails, must not end the last line of defence: then the agent goes on, says so in its log and its
//! status, and tries again until the newest state is kept.
//!
//! ```text
//!  loop -- the newest state --> thread: write, sync, rename
//!  loop <------- its end ------ thread
//! ```
//!
//! A thread, because a write that hangs cannot be ended; a thread that nobody waits for can be left.

use std::future::pending;
use std::sync::mpsc;
use std::time::Duration;

use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::time::{Instant, sleep_until, timeout};

use super::state::{StateDir, StateError, StateFile};
use crate::limits::{STATE_PATIENCE_MILLIS, STATE_RETRY_MILLIS};

/// The state folder of a running agent, behind a thread.
#[derive(Debug)]
pub struct Keeper {
    to_writer: mpsc::Sender<StateFile>,
    /// One end for each state that was handed over.
    ends: UnboundedReceiver<Result<(), StateError>>,
    /// The newest state.
    newest: StateFile,
    /// It was not handed over yet, or was not kept.
    is_due: bool,
    /// The thread has a state.
    is_writing: bool,
    /// Why the agent goes on without: the newest state is not on disk.
    failing: Option<String>,
    retry_at: Instant,
}

impl Keeper {
    /// Begins to keep in `folder`, which has `kept` in it.
    ///
    /// # Errors
    /// There is no thread to be had.
    pub fn new(folder: StateDir, kept: StateFile) -> std::io::Result<Self> {
        let (to_writer, states) = mpsc::channel::<StateFile>();
        let (end, ends) = unbounded_channel();
        std::thread::Builder::new()
            .name("state".to_owned())
            .spawn(move || {
                for state in states {
                    if end.send(folder.write(&state)).is_err() {
                        return;
                    }
                }
            })?;
        Ok(Self {
            to_writer,
            ends,
            newest: kept,
            is_due: false,
            is_writing: false,
            failing: None,
            retry_at: Instant::now(),
        })
    }

    /// The newest state, kept or not.
    pub fn newest(&self) -> &StateFile {
        &self.newest
    }

    /// Why the newest state is not on disk, if it is not.
    pub fn failing(&self) -> Option<&str> {
        self.failing.as_deref()
    }

    /// Changes the state, and waits until it is on disk, [`STATE_PATIENCE_MILLIS`] at most. True if it is.
    ///
    /// Where an earlier one was not kept nothing is waited for: [`Keeper::recovered`] sees to it.
    pub async fn keep(&mut self, change: impl FnOnce(&mut StateFile)) -> bool {
        change(&mut self.newest);
        self.is_due = true;
        if self.failing.is_some() {
            return false;
        }
        self.hand_over();
        match timeout(Duration::from_millis(STATE_PATIENCE_MILLIS), self.ends.recv()).await {
            Ok(end) => self.ended(end),
            Err(_) => self.failed(format!("no word from the disk for {STATE_PATIENCE_MILLIS} ms")),
        }
        self.failing.is_none()
    }

    /// Waits until the newest state is on disk again; for ever while it is. May be dropped and called again.
    pub async fn recovered(&mut self) {
        if self.failing.is_none() {
            return pending().await;
        }
        loop {
            if self.is_writing {
                let end = self.ends.recv().await;
                self.ended(end);
            } else if self.is_due {
                sleep_until(self.retry_at).await;
                self.hand_over();
            } else {
                self.failing = None;
                return;
            }
        }
    }

    fn hand_over(&mut self) {
        self.is_due = false;
        self.is_writing = true;
        // If the thread has ended, so does the channel of its ends.
        let _ = self.to_writer.send(self.newest.clone());
    }

    fn ended(&mut self, end: Option<Result<(), StateError>>) {
        self.is_writing = false;
        match end {
            Some(Ok(())) => {}
            Some(Err(error)) => self.failed(error.to_string()),
            None => self.failed("the thread that writes has ended".to_owned()),
        }
    }

    fn failed(&mut self, why: String) {
        self.is_due = true;
        self.retry_at = Instant::now() + Duration::from_millis(STATE_RETRY_MILLIS);
        if self.failing.is_none() {
            tracing::error!(
                "what this agent has to remember is NOT KEPT: {why}; it goes on, and forgets it if it is restarted"
            );
        }
        self.failing = Some(why);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keeper(folder: &std::path::Path) -> Keeper {
        Keeper::new(StateDir::open(folder).unwrap(), StateFile::default()).unwrap()
    }

    #[tokio::test]
    async fn what_cannot_be_kept_is_tried_again_and_the_newest_is_kept_in_the_end() {
        let parent = tempfile::tempdir().unwrap();
        let at = parent.path().join("state");
        let mut keeper = keeper(&at);
        assert!(keeper.keep(|state| state.reserved_number = Some(1)).await);
        assert_eq!(keeper.failing(), None);
        let away = parent.path().join("away");
        std::fs::rename(&at, &away).unwrap();
        assert!(!keeper.keep(|state| state.reserved_number = Some(2)).await);
        assert!(keeper.failing().unwrap().contains("state.json.new"), "{keeper:?}");
        // Nobody waits for a disk that has failed.
        assert!(!keeper.keep(|state| state.reserved_number = Some(3)).await);
        std::fs::rename(&away, &at).unwrap();
        keeper.recovered().await;
        assert_eq!(keeper.failing(), None);
        drop(keeper);
        let text = std::fs::read_to_string(at.join("state.json")).unwrap();
        assert!(text.contains("\"reserved_number\":3"), "{text}");
    }
}
