//! The administrators' side: HTTP with JSON over a Unix socket ([`crate::api`]).

pub mod client;
mod events;
pub mod metrics;
mod server;
mod stream;

use tokio::sync::{mpsc, oneshot};

use crate::api::{
    AvailabilityRequest, CommandAnswer, Explanation, InterruptRequest, Me, PlanInForce, PlanningInput,
    Problem, RestoreRequest, Status,
};

pub use client::{AdminClient, ClientError, EventStream};
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
    /// `GET /v1/explain`.
    Explain(oneshot::Sender<Box<Explanation>>),
    /// `POST /v1/interrupt`.
    Interrupt(InterruptRequest, Me, Reply),
    /// `POST /v1/availability`.
    /// `GET /v1/snapshot`.
    Snapshot(oneshot::Sender<Box<PlanningInput>>),
    Availability(AvailabilityRequest, Me, Reply),
    /// `POST /v1/restore`.
    Restore(RestoreRequest, Me, Reply),
}

/// How the admin server reaches the loop.
#[derive(Debug, Clone)]
pub struct AdminHandle {
    calls: mpsc::Sender<AdminCall>,
    events: EventLog,
}

impl AdminHandle {
    /// A handle, and the queue that the loop reads. `events` is what streams read from.
    pub fn new(events: EventLog) -> (Self, mpsc::Receiver<AdminCall>) {
        let (calls, receiver) = mpsc::channel(crate::limits::MAX_ADMIN_CONNECTIONS);
        (Self { calls, events }, receiver)
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
