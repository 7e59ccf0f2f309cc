//! The administrators' side: HTTP with JSON over a Unix socket ([`crate::api`]).

pub mod client;
mod events;
pub mod metrics;
mod server;
mod stream;

use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::{Semaphore, mpsc, oneshot};

use crate::api::{
    AvailabilityRequest, CommandAnswer, Explanation, History, InterruptRequest, Me, PlanInForce,
    PlanningInput, Problem, RestoreRequest, Status,
};

use crate::io::journal::read_history;

pub use client::{AdminClient, ClientError, EventStream};
pub(super) use events::Next as NextEvent;
pub use events::{EventLog, EventReader};
pub(super) use server::{Refused, router};
pub use server::{bind, serve};

/// Where the answer to a command goes.
pub type Reply = oneshot::Sender<Result<CommandAnswer, Problem>>;

/// What an administrator wants of the loop, with where the answer goes. An asker that is gone gets none.
#[derive(Debug)]
pub enum AdminCall {
    /// `GET /v1/status`.
    Status(oneshot::Sender<Box<Status>>),
    /// `GET /v1/plan`.
    Plan(oneshot::Sender<Option<Box<PlanInForce>>>),
    /// `GET /v1/snapshot`.
    Snapshot(oneshot::Sender<Box<PlanningInput>>),
    /// `GET /v1/explain`.
    Explain(oneshot::Sender<Box<Explanation>>),
    /// `POST /v1/interrupt`.
    Interrupt(InterruptRequest, Me, Reply),
    /// `POST /v1/drill`.
    Drill(InterruptRequest, Me, Reply),
    /// `POST /v1/availability`.
    Availability(AvailabilityRequest, Me, Reply),
    /// `POST /v1/restore`.
    Restore(RestoreRequest, Me, Reply),
}

/// How the admin server reaches the loop.
#[derive(Debug, Clone)]
pub struct AdminHandle {
    calls: mpsc::Sender<AdminCall>,
    events: EventLog,
    journal: Option<Past>,
}

/// The journal for those who ask for the past.
#[derive(Debug, Clone)]
struct Past {
    path: Arc<PathBuf>,
    /// One reads at a time: it costs disk and processor that the PDP needs.
    turn: Arc<Semaphore>,
}

impl AdminHandle {
    /// A handle, and the queue that the loop reads. `events` is what streams read from.
    pub fn new(events: EventLog) -> (Self, mpsc::Receiver<AdminCall>) {
        let (calls, receiver) = mpsc::channel(crate::limits::MAX_ADMIN_CONNECTIONS);
        let handle = Self {
            calls,
            events,
            journal: None,
        };
        (handle, receiver)
    }

    /// The same, which tells the past from this journal.
    #[must_use]
    pub fn with_journal(self, path: PathBuf) -> Self {
        let past = Past {
            path: Arc::new(path),
            turn: Arc::new(Semaphore::new(1)),
        };
        Self {
            journal: Some(past),
            ..self
        }
    }

    /// Reads the past on a thread of its own, beside the loop.
    async fn history(&self, since_unix_millis: u64, limit: usize) -> Result<History, String> {
        let past = self.journal.clone().ok_or("there is no journal")?;
        let turn = past
            .turn
            .acquire_owned()
            .await
            .map_err(|error| error.to_string())?;
        let path = past.path;
        let read = tokio::task::spawn_blocking(move || {
            let history = read_history(&path, since_unix_millis, limit);
            drop(turn);
            history
        });
        read.await
            .map_err(|error| error.to_string())?
            .map_err(|error| error.to_string())
    }

    /// The events.
    pub fn events(&self) -> &EventLog {
        &self.events
    }

    /// Asks the loop; `None` if it has ended.
    async fn ask<T>(&self, call: impl FnOnce(oneshot::Sender<T>) -> AdminCall) -> Option<T> {
        let (sender, receiver) = oneshot::channel();
        self.calls.send(call(sender)).await.ok()?;
        receiver.await.ok()
    }
}
