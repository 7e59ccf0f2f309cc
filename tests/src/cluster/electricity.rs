//! The plant of a run: one value that all agents' simulated drivers reach by a plain call.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::future::BoxFuture;
use pep_agent::drivers::plant_link::{PlantClient, PlantLink, PlantLinkError};
use pep_agent::drivers::plant_protocol::{PlantReply, PlantRequest};
use pep_agent::drivers::plant_service::PlantService;
use power_policy::plant::{Plant, PlantEvent};

/// The plant, at the cluster's instant.
#[derive(Debug)]
struct Shared {
    service: Mutex<PlantService>,
    now: AtomicU64,
}

impl Shared {
    fn service(&self) -> MutexGuard<'_, PlantService> {
        // The plant leaves no state half-way.
        self.service.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The plant. A clone is another hand on the same plant.
#[derive(Debug, Clone)]
pub(super) struct Electricity(Arc<Shared>);

impl Electricity {
    pub(super) fn new(plant: Plant) -> Self {
        Self(Arc::new(Shared {
            service: Mutex::new(PlantService::new(plant, 1)),
            now: AtomicU64::new(0),
        }))
    }

    /// A client for the agent of this name, whose calls are answered at once.
    pub(super) fn client(&self, agent: &str) -> PlantClient {
        PlantClient::over(Arc::new(Link {
            shared: Arc::clone(&self.0),
            agent: agent.to_owned(),
        }))
    }

    pub(super) fn with<T>(&self, look: impl FnOnce(&mut Plant) -> T) -> T {
        look(self.0.service().plant())
    }

    /// Lets time pass, and tells what happened, commands of agents included.
    pub(super) fn advance(&self, now: u64) -> Vec<PlantEvent> {
        self.0.now.store(now, Ordering::Relaxed);
        self.with(|plant| {
            plant.advance(now);
            std::iter::from_fn(|| plant.poll_event()).collect()
        })
    }

    pub(super) fn next(&self) -> Option<u64> {
        self.with(|plant| plant.next_event_millis())
    }
}

#[derive(Debug)]
struct Link {
    shared: Arc<Shared>,
    agent: String,
}

impl PlantLink for Link {
    fn call(&self, request: PlantRequest) -> BoxFuture<'_, Result<PlantReply, PlantLinkError>> {
        let now = self.shared.now.load(Ordering::Relaxed);
        let reply = self.shared.service().handle(now, Some(&self.agent), &request);
        Box::pin(std::future::ready(Ok(reply)))
    }

    fn closed(&self) -> BoxFuture<'_, ()> {
        Box::pin(std::future::pending())
    }
}
