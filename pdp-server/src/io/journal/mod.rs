//! What survives `kill -9`: records go to the disk before the decisions that depend on them leave.
//!
//! ```text
//! run loop --append(batch).await--> Journal --queue--> thread "journal" --> Store (SQLite)
//!          <------ kept, or why not -------------------------'
//! ```
//!
//! The store blocks on the disk, so that it has a thread of its own; one batch is one synced transaction.
//!
//! # How the run loop treats a failing journal
//!
//! Protection goes on, loudly:
//!
//! 1. After `Err` from [`Journal::append`] it hands the engine `Input::Store { failure: Some(error.to_string()) }` (the
//!    engine raises an alarm) and sends the decisions all the same.
//! 2. From then on the journal has a hole. It refuses every further batch at once, with the same error and without
//!    touching the disk (a decision must not wait for a dead one), so that what is on the disk stays a true beginning
//!    of what happened. Only a batch with a [`Record::Checkpoint`] closes the hole: it is kept from the checkpoint on.
//! 3. Meanwhile the thread tries once in [`limits::STORE_PROBE_MILLIS`] whether the store works again, with as many
//!    octets as it failed on. When it does, [`Journal::recovered`] returns; the run loop then hands in
//!    `Input::Store { failure: None }`, the engine makes a checkpoint, and appending that closes the hole.
//! 4. A batch that is kept after an error (the engine's regular checkpoint may close the hole too) also means
//!    `Input::Store { failure: None }`.

mod file;
mod past;
mod reading;
mod sqlite;
mod store;

#[cfg(test)]
mod tests;

use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{oneshot, watch};

pub use self::past::read_history;
pub use self::reading::JournalFile;
pub use self::sqlite::{APPLICATION_ID, FORMAT, OLDEST_FORMAT, Opened, SqliteStore};
pub use self::store::{Batch, LastClock, Recovered, SetAside, Store, StoreError, Stored};
use crate::engine::state::Record;
use crate::limits;

/// What is asked of the thread.
enum Request {
    Append(Batch, oneshot::Sender<Result<(), StoreError>>),
    Read {
        after: u64,
        limit: usize,
        answer: oneshot::Sender<Result<Vec<Stored>, StoreError>>,
    },
}

/// What the thread and its clients both know.
#[derive(Debug, Default)]
struct Shared {
    condition: Mutex<Condition>,
}

#[derive(Debug, Default)]
struct Condition {
    /// There is a hole: why.
    failure: Option<StoreError>,
    /// Batches handed in and not yet done with.
    outstanding: usize,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Condition> {
        // Whoever panicked held two plain values, which are valid at any time.
        self.condition.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The one writer's handle on a journal. See the [module](self) for what to do with its errors.
#[derive(Debug)]
pub struct Journal {
    requests: SyncSender<Request>,
    shared: Arc<Shared>,
    /// Rises when a store that failed works again.
    recoveries: watch::Receiver<u64>,
    ended: oneshot::Receiver<()>,
    patience: Duration,
}

/// Reads a journal while it is written.
#[derive(Debug, Clone)]
pub struct JournalReader {
    requests: SyncSender<Request>,
}

impl Journal {
    /// Starts the thread that owns the store.
    ///
    /// # Errors
    ///
    /// The system gives no thread.
    pub fn start<S: Store>(store: S) -> std::io::Result<Self> {
        Self::start_with(
            store,
            Duration::from_millis(limits::STORE_PATIENCE_MILLIS),
            Duration::from_millis(limits::STORE_PROBE_MILLIS),
        )
    }

    fn start_with<S: Store>(store: S, patience: Duration, probe_every: Duration) -> std::io::Result<Self> {
        let (requests, inbox) = sync_channel(limits::MAX_JOURNAL_REQUESTS_QUEUED);
        let shared = Arc::new(Shared::default());
        let (recovery, recoveries) = watch::channel(0);
        let (at_end, ended) = oneshot::channel();
        let keeper = Keeper {
            store,
            shared: Arc::clone(&shared),
            recovery,
            probe_every,
            works: true,
            octets_failed: 0,
        };
        std::thread::Builder::new()
            .name("journal".to_owned())
            .spawn(move || {
                keeper.run(&inbox);
                let _ = at_end.send(());
            })?;
        Ok(Self {
            requests,
            shared,
            recoveries,
            ended,
            patience,
        })
    }

    /// Keeps records; when this returns `Ok` they are durable. An empty batch is kept at once.
    ///
    /// # Errors
    ///
    /// [`StoreError`]: decisions go on without it (see the [module](self)).
    pub async fn append(&mut self, engine_millis: u64, records: Vec<Record>) -> Result<(), StoreError> {
        if records.is_empty() {
            return Ok(());
        }
        let closes_hole = records.iter().any(is_checkpoint);
        {
            let mut condition = self.shared.lock();
            if let Some(failure) = &condition.failure
                && (!closes_hole || condition.outstanding > 0)
            {
                return Err(failure.clone());
            }
            condition.outstanding += 1;
        }
        let (answer, kept) = oneshot::channel();
        let batch = Batch {
            engine_millis,
            records,
        };
        let slow = StoreError::Slow {
            patience_millis: u64::try_from(self.patience.as_millis()).unwrap_or(u64::MAX),
        };
        let error = match self.requests.try_send(Request::Append(batch, answer)) {
            Ok(()) => match tokio::time::timeout(self.patience, kept).await {
                Ok(Ok(result)) => return result,
                Ok(Err(_)) => StoreError::Closed,
                Err(_) => slow,
            },
            Err(refused) => {
                self.shared.lock().outstanding -= 1;
                match refused {
                    TrySendError::Full(_) => slow,
                    TrySendError::Disconnected(_) => StoreError::Closed,
                }
            }
        };
        // What follows must not be kept without this one.
        let mut condition = self.shared.lock();
        Err(condition.failure.get_or_insert(error).clone())
    }

    /// Returns when a store that failed works again. It may be dropped and called anew at any time.
    pub async fn recovered(&mut self) {
        if self.recoveries.changed().await.is_err() {
            // The thread has ended: it never will.
            std::future::pending::<()>().await;
        }
    }

    /// For reading it.
    pub fn reader(&self) -> JournalReader {
        JournalReader {
            requests: self.requests.clone(),
        }
    }

    /// Ends the thread, in good order, after what it was given. All [`JournalReader`]s must be gone.
    ///
    /// # Errors
    ///
    /// It has not ended within its time.
    pub async fn close(self) -> Result<(), StoreError> {
        drop(self.requests);
        tokio::time::timeout(self.patience, self.ended)
            .await
            .map(|_| ())
            .map_err(|_| StoreError::Slow {
                patience_millis: u64::try_from(self.patience.as_millis()).unwrap_or(u64::MAX),
            })
    }
}

impl JournalReader {
    /// Records with a number above `after`, oldest first, at most `limit`.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub async fn read(&self, after: u64, limit: usize) -> Result<Vec<Stored>, StoreError> {
        let (answer, read) = oneshot::channel();
        let request = Request::Read {
            after,
            limit: limit.min(limits::MAX_RECORDS_READ),
            answer,
        };
        self.requests.try_send(request).map_err(|e| match e {
            TrySendError::Full(_) => StoreError::Slow { patience_millis: 0 },
            TrySendError::Disconnected(_) => StoreError::Closed,
        })?;
        read.await.unwrap_or(Err(StoreError::Closed))
    }
}

fn is_checkpoint(record: &Record) -> bool {
    matches!(record, Record::Checkpoint { .. })
}

/// The thread.
struct Keeper<S> {
    store: S,
    shared: Arc<Shared>,
    recovery: watch::Sender<u64>,
    probe_every: Duration,
    /// The store worked when it was tried last.
    works: bool,
    /// Octets of the largest batch that could not be kept since it works no more.
    octets_failed: usize,
}

impl<S: Store> Keeper<S> {
    /// Until every handle is gone.
    fn run(mut self, inbox: &Receiver<Request>) {
        loop {
            // The other side may have given up waiting: then there is a hole that the store knows nothing of.
            let is_probing = !self.works || self.shared.lock().failure.is_some();
            let request = if is_probing {
                match inbox.recv_timeout(self.probe_every) {
                    Ok(request) => request,
                    Err(RecvTimeoutError::Timeout) => {
                        self.probe();
                        continue;
                    }
                    Err(RecvTimeoutError::Disconnected) => return,
                }
            } else {
                match inbox.recv() {
                    Ok(request) => request,
                    Err(_) => return,
                }
            };
            match request {
                Request::Append(batch, answer) => self.append(batch, answer),
                Request::Read { after, limit, answer } => {
                    let _ = answer.send(self.store.read(after, limit));
                }
            }
        }
    }

    fn append(&mut self, mut batch: Batch, answer: oneshot::Sender<Result<(), StoreError>>) {
        let checkpoint = batch.records.iter().rposition(is_checkpoint);
        let failure = self.shared.lock().failure.clone();
        let result = match (failure, checkpoint) {
            (Some(failure), None) => {
                self.shared.lock().outstanding -= 1;
                let _ = answer.send(Err(failure));
                return;
            }
            (Some(_), Some(at)) => {
                batch.records.drain(..at);
                self.store.append(&batch)
            }
            (None, _) => self.store.append(&batch),
        };
        {
            let mut condition = self.shared.lock();
            condition.outstanding -= 1;
            match &result {
                // If the waiting side has given up, it was told of a hole and will bring another checkpoint.
                Ok(()) if checkpoint.is_some() && !answer.is_closed() => condition.failure = None,
                Ok(()) => {}
                Err(error) => {
                    condition.failure = Some(error.clone());
                    let octets = batch
                        .records
                        .iter()
                        .map(|r| serde_json::to_vec(r).map_or(0, |v| v.len()))
                        .sum();
                    self.octets_failed = self.octets_failed.max(octets);
                }
            }
        }
        self.works = result.is_ok();
        if self.works {
            self.octets_failed = 0;
        }
        let is_kept = result.is_ok();
        let _ = answer.send(result);
        if is_kept && checkpoint.is_some() {
            // The answer is on its way already: nobody waits for this.
            if let Err(error) = self.store.compact() {
                tracing::error!(%error, "history was not shortened; the journal grows");
            }
        }
    }

    fn probe(&mut self) {
        match self.store.probe(self.octets_failed) {
            Ok(set_aside) => {
                if let Some(set_aside) = set_aside {
                    tracing::error!("{set_aside}");
                }
                self.works = true;
                self.recovery.send_modify(|n| *n += 1);
            }
            Err(error) => {
                self.works = false;
                tracing::warn!(%error, "the journal does not work yet");
            }
        }
    }
}
