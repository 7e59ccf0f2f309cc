//! The one plant of the process, shared by all its tasks, and its clock.

use crate::drivers::plant_protocol::{Notice, PlantReply, PlantRequest};
use crate::drivers::plant_service::PlantService;
use crate::limits;
use power_policy::plant::{Plant, PlantEventKind, Sample, ServerPower};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, broadcast, watch};
use tokio::time::Instant;

/// Scaled monotonic milliseconds from the start of the process' plant.
#[derive(Clone, Copy, Debug)]
struct ScaledClock {
    start: Instant,
    scale: u32,
}

impl ScaledClock {
    fn now_millis(&self) -> u64 {
        let scaled = self.start.elapsed().as_micros() * u128::from(self.scale) / 1_000;
        u64::try_from(scaled).unwrap_or(u64::MAX)
    }

    /// Real time that so many of the plant's milliseconds take.
    fn real(&self, millis: u64) -> Duration {
        Duration::from_micros(millis.saturating_mul(1_000) / u64::from(self.scale.max(1)))
    }
}

/// What the life of a server's agent depends on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct ServerLife {
    /// Whether the server is up: on, or still halting.
    pub(super) up: bool,
    /// How often it went down so far. An agent that was started before the last time is of an earlier life.
    pub(super) downs: u64,
}

/// The plant, its clock, and who wants to know what happens.
#[derive(Debug)]
pub(super) struct Host {
    service: Mutex<PlantService>,
    clock: ScaledClock,
    notices: broadcast::Sender<Notice>,
    /// One entry a server, in the order of the configuration.
    lives: watch::Sender<Vec<ServerLife>>,
    names: Vec<String>,
    commanded: Notify,
}

impl Host {
    pub(super) fn new(plant: Plant, clock_scale: u32) -> Self {
        let names: Vec<String> = plant.server_names().map(str::to_owned).collect();
        let lives = names
            .iter()
            .map(|server| ServerLife {
                up: is_up(&plant, server),
                downs: 0,
            })
            .collect();
        Host {
            service: Mutex::new(PlantService::new(plant, clock_scale)),
            clock: ScaledClock {
                start: Instant::now(),
                scale: clock_scale,
            },
            notices: broadcast::Sender::new(limits::MAX_PLANT_NOTICES),
            lives: watch::Sender::new(lives),
            names,
            commanded: Notify::new(),
        }
    }

    fn service(&self) -> MutexGuard<'_, PlantService> {
        // The plant leaves no state half-way, so what a panicking task left behind is still sound.
        self.service.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn handle(&self, agent: Option<&str>, request: &PlantRequest) -> PlantReply {
        let mut service = self.service();
        let reply = service.handle(self.clock.now_millis(), agent, request);
        self.tell(service.plant());
        drop(service);
        self.commanded.notify_one();
        reply
    }

    pub(super) fn sample(&self) -> Sample {
        let mut service = self.service();
        service.plant().advance(self.clock.now_millis());
        self.tell(service.plant());
        service.plant().sample()
    }

    pub(super) fn subscribe(&self) -> broadcast::Receiver<Notice> {
        self.notices.subscribe()
    }

    pub(super) fn lives(&self) -> watch::Receiver<Vec<ServerLife>> {
        self.lives.subscribe()
    }

    pub(super) fn server_position(&self, server: &str) -> Option<usize> {
        self.names.iter().position(|name| name == server)
    }

    pub(super) fn real(&self, millis: u64) -> Duration {
        self.clock.real(millis)
    }

    /// Lets time pass for ever, awake whenever something happens by itself or a command has changed what will.
    pub(super) async fn pass_time(&self) {
        loop {
            let wait = {
                let mut service = self.service();
                let now = self.clock.now_millis();
                service.plant().advance(now);
                self.tell(service.plant());
                service
                    .plant()
                    .next_event_millis()
                    .map(|next| self.clock.real(next.saturating_sub(now)))
            };
            // Rounded up to the timer's millisecond; nothing due: until the next command.
            let sleep =
                tokio::time::sleep(wait.unwrap_or(Duration::from_secs(60)) + Duration::from_millis(1));
            tokio::select! {
                () = sleep => {}
                () = self.commanded.notified() => {}
            }
        }
    }

    /// Passes on what happened.
    fn tell(&self, plant: &mut Plant) {
        let mut went_down = Vec::new();
        let mut any = false;
        while let Some(event) = plant.poll_event() {
            any = true;
            tracing::info!(at_millis = event.at_millis, event = ?event.kind);
            if let PlantEventKind::ServerLostPower { server } | PlantEventKind::ServerOff { server, .. } =
                &event.kind
            {
                went_down.extend(self.server_position(server));
            }
            // Nobody watching is no fault.
            let _ = self.notices.send(Notice::Event(event));
        }
        if !any {
            return;
        }
        self.lives.send_if_modified(|lives| {
            let before = lives.clone();
            for s in went_down {
                lives[s].downs += 1;
            }
            for (life, server) in lives.iter_mut().zip(&self.names) {
                life.up = is_up(plant, server);
            }
            *lives != before
        });
    }
}

fn is_up(plant: &Plant, server: &str) -> bool {
    plant
        .read_server(server)
        .is_ok_and(|reading| matches!(reading.power, ServerPower::On | ServerPower::Halting { .. }))
}
