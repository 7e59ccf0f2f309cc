//! One task a thing: it polls its driver, and hands it one action at a time.
//!
//! ```text
//!  agent --- Action ---> inbox of its subject --> task --> driver
//!  agent <-- DriverEvent ------------------------- task
//! ```
//!
//! A task that is busy with an action does not poll; the engine knows what is under way.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use power_policy::model::{LineState, Name};
use tokio::sync::{Notify, mpsc};
use tokio::time::{MissedTickBehavior, interval};

use crate::drivers::simulated::Simulation;
use crate::drivers::{ActivityDriver, DriverSet, HostDriver, LineDriver, ReadError, ReserveDriver};
use crate::engine::facts::{ActivityKey, Joint, LineReading};
use crate::engine::{Action, ActionId, ActionKind, ActionOutcome, Observation, Subject};

/// Actions that wait for one driver; the engine gives one at a time, and another only after a time-out.
const INBOX: usize = 8;
/// Events that wait for the agent.
const OUTBOX: usize = 256;

/// Events that the agent takes at one time: what they change is told to the PDP together.
const BATCH: usize = 64;
/// So many readings of a line in a row must fail before it is reported as faulty: one datagram may get lost.
const UNREADABLE_AFTER: u32 = 3;

/// What a driver's task tells.
#[derive(Debug)]
pub enum DriverEvent {
    /// Something was seen.
    Seen(Observation),
    /// Something could not be read any more.
    Lost {
        /// What.
        what: String,
        /// Why.
        error: ReadError,
    },
    /// It can be read again.
    Found {
        /// What.
        what: String,
    },
    /// An action has its outcome.
    Outcome(ActionId, ActionOutcome),
}

/// All drivers' tasks. They end when this is dropped.
#[derive(Debug)]
pub struct Drivers {
    inboxes: BTreeMap<Subject, mpsc::Sender<Action>>,
    outbox: mpsc::Sender<DriverEvent>,
    events: mpsc::Receiver<DriverEvent>,
    tasks: tokio::task::JoinSet<()>,
    wake: Rc<Notify>,
}

impl Default for Drivers {
    fn default() -> Self {
        let (outbox, events) = mpsc::channel(OUTBOX);
        Self {
            inboxes: BTreeMap::new(),
            outbox,
            events,
            tasks: tokio::task::JoinSet::new(),
            wake: Rc::new(Notify::new()),
        }
    }
}

/// What a task needs besides its driver.
struct Task {
    what: String,
    poll: Duration,
    outbox: mpsc::Sender<DriverEvent>,
    wake: Rc<Notify>,
    /// Whether the last reading failed: said once, not at each poll.
    lost: bool,
}

impl Task {
    async fn tell(&self, event: DriverEvent) {
        // The agent that would take it has ended: so will this task.
        let _ = self.outbox.send(event).await;
    }

    async fn seen(&mut self, reading: Result<Vec<Observation>, ReadError>) {
        match reading {
            Ok(observations) => {
                if std::mem::take(&mut self.lost) {
                    self.tell(DriverEvent::Found {
                        what: self.what.clone(),
                    })
                    .await;
                }
                for observation in observations {
                    self.tell(DriverEvent::Seen(observation)).await;
                }
            }
            Err(error) => {
                if !std::mem::replace(&mut self.lost, true) {
                    self.tell(DriverEvent::Lost {
                        what: self.what.clone(),
                        error,
                    })
                    .await;
                }
            }
        }
    }
}

/// What was last seen of a line. One that cannot be read for a while is reported as faulty, with what it joined last:
/// power may still pass there, and nobody can switch it.
#[derive(Debug, Default)]
struct LineSight {
    joined: Vec<Joint>,
    failures: u32,
}

impl LineSight {
    /// Takes a reading, or that there was none; what to report instead, when that is due.
    fn look(&mut self, reading: &Result<LineReading, ReadError>) -> Option<LineReading> {
        match reading {
            Ok(reading) => {
                self.joined.clone_from(&reading.joined);
                self.failures = 0;
                None
            }
            Err(_) => {
                self.failures = self.failures.saturating_add(1);
                (self.failures == UNREADABLE_AFTER).then(|| LineReading {
                    state: LineState::Fault,
                    joined: self.joined.clone(),
                })
            }
        }
    }
}

/// Polls and acts for ever. A macro, because the four kinds of driver have nothing in common but this.
macro_rules! serve {
    ($task:ident, $inbox:ident, $read:expr, $act:expr) => {{
        let mut ticks = interval($task.poll);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                () = $task.wake.notified() => {}
                action = next(&mut $inbox) => {
                    let Some(Action { id, kind }) = action else { return };
                    let outcome = $act(kind).await;
                    // What it led to comes before its outcome, so that one REQ tells both.
                    let reading = $read.await;
                    $task.seen(reading).await;
                    $task.tell(DriverEvent::Outcome(id, outcome)).await;
                    continue;
                }
            }
            let reading = $read.await;
            $task.seen(reading).await;
        }
    }};
}

/// The next action; a reserve, which has no inbox, waits for ever.
async fn next(inbox: &mut Option<mpsc::Receiver<Action>>) -> Option<Action> {
    match inbox {
        Some(inbox) => inbox.recv().await,
        None => std::future::pending().await,
    }
}

fn misplaced(kind: &ActionKind) -> ActionOutcome {
    ActionOutcome::Refused(format!("no driver of {} does that", kind.subject()))
}

impl Drivers {
    fn task(&self, what: String, poll: Duration) -> Task {
        Task {
            what,
            poll,
            outbox: self.outbox.clone(),
            wake: Rc::clone(&self.wake),
            lost: false,
        }
    }

    fn inbox(&mut self, subject: Subject) -> Option<mpsc::Receiver<Action>> {
        let (sender, receiver) = mpsc::channel(INBOX);
        self.inboxes.insert(subject, sender);
        Some(receiver)
    }

    /// Hands an action to its driver. `None` if it took it, else the outcome.
    pub fn act(&self, action: Action) -> Option<ActionOutcome> {
        let subject = action.kind.subject();
        let Some(inbox) = self.inboxes.get(&subject) else {
            return Some(ActionOutcome::Refused(format!("{subject} has no driver")));
        };
        match inbox.try_send(action) {
            Ok(()) => None,
            Err(_) => Some(ActionOutcome::Failed(format!(
                "the driver of {subject} takes no more actions"
            ))),
        }
    }

    /// Lets every driver be read now: something has happened.
    pub fn wake(&self) {
        self.wake.notify_waiters();
    }

    /// The next events: those that are there, a batch at most, or the first that comes. Never ends while this is there.
    pub async fn next(&mut self) -> Vec<DriverEvent> {
        let mut events = Vec::new();
        loop {
            tokio::select! {
                _ = self.events.recv_many(&mut events, BATCH) => return events,
                // A driver's task ends only by a fault of its own; the others go on.
                Some(Err(error)) = self.tasks.join_next(), if !self.tasks.is_empty() => {
                    tracing::error!(%error, "a driver has ended");
                }
            }
        }
    }
}

impl DriverSet for Drivers {
    fn add_reserve(&mut self, name: Name, mut driver: Box<dyn ReserveDriver>, poll: Duration) {
        let mut task = self.task(format!("reserve {name}"), poll);
        let mut inbox = None;
        self.tasks.spawn_local(async move {
            serve!(
                task,
                inbox,
                async {
                    let reading = driver.read().await?;
                    Ok(vec![Observation::Reserve(name.clone(), reading)])
                },
                async |kind: ActionKind| misplaced(&kind)
            )
        });
    }

    fn add_domain(&mut self, domain: Name, simulation: Simulation, poll: Duration) {
        let mut task = self.task(format!("domain {domain}"), poll);
        let mut inbox = None;
        self.tasks.spawn_local(async move {
            serve!(
                task,
                inbox,
                async {
                    Ok(vec![Observation::Inlet(
                        domain.clone(),
                        simulation.mains(&domain).await?,
                    )])
                },
                async |kind: ActionKind| misplaced(&kind)
            )
        });
    }

    fn add_line(&mut self, name: Name, mut driver: Box<dyn LineDriver>, poll: Duration) {
        let mut task = self.task(format!("line {name}"), poll);
        let mut inbox = self.inbox(Subject::Line(name.clone()));
        let mut sight = LineSight::default();
        self.tasks.spawn_local(async move {
            serve!(
                task,
                inbox,
                async {
                    let reading = driver.read().await;
                    let fault = sight.look(&reading);
                    if let Some(fault) = fault {
                        // Beside the error, which is told once.
                        task.tell(DriverEvent::Seen(Observation::Line(name.clone(), fault)))
                            .await;
                    }
                    Ok(vec![Observation::Line(name.clone(), reading?)])
                },
                async |kind: ActionKind| match kind {
                    ActionKind::Join {
                        reserve,
                        server,
                        milliwatts,
                        ..
                    } => {
                        driver.join(reserve, server, milliwatts).await
                    }
                    ActionKind::Open { .. } => driver.open().await,
                    other => misplaced(&other),
                }
            )
        });
    }

    fn add_activity(&mut self, key: ActivityKey, mut driver: Box<dyn ActivityDriver>, poll: Duration) {
        let mut task = self.task(format!("activity {} on {}", key.activity, key.server), poll);
        let mut inbox = self.inbox(Subject::Activity(key.clone()));
        self.tasks.spawn_local(async move {
            serve!(
                task,
                inbox,
                async {
                    let reading = driver.read().await?;
                    Ok(vec![Observation::Activity(key.clone(), reading)])
                },
                async |kind: ActionKind| match kind {
                    ActionKind::Stop { moved, .. } => driver.stop(moved).await,
                    ActionKind::Start { moved, .. } => driver.start(moved).await,
                    ActionKind::Cap { milliwatts, .. } => driver.cap(milliwatts).await,
                    other => misplaced(&other),
                }
            )
        });
    }

    fn add_host(&mut self, name: Name, mut driver: Box<dyn HostDriver>, poll: Duration) {
        let mut task = self.task(format!("server {name}"), poll);
        let mut inbox = self.inbox(Subject::Host(name.clone()));
        self.tasks.spawn_local(async move {
            serve!(
                task,
                inbox,
                async {
                    let reading = driver.read().await?;
                    let inlets = reading
                        .inlets
                        .into_iter()
                        .map(|(domain, mains)| Observation::Inlet(domain, mains));
                    let server = Observation::Server(name.clone(), reading.server);
                    Ok(std::iter::once(server).chain(inlets).collect())
                },
                async |kind: ActionKind| match kind {
                    ActionKind::Host { state, .. } => driver.set(state).await,
                    other => misplaced(&other),
                }
            )
        });
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_line_that_cannot_be_read_is_reported_as_faulty_with_what_it_joined_last() {
        let joint = Joint {
            reserve: Name::new("ups-b").unwrap(),
            server: Name::new("s1").unwrap(),
            milliwatts: 1_000,
        };
        let closed = Ok(LineReading {
            state: LineState::Closed,
            joined: vec![joint.clone()],
        });
        let lost = Err(ReadError("gone".to_owned()));
        let mut sight = LineSight::default();
        for _ in 0..2 {
            assert_eq!(sight.look(&closed), None);
            assert_eq!(sight.look(&lost), None);
            assert_eq!(sight.look(&lost), None, "twice may be chance");
        }
        let fault = sight.look(&lost).unwrap();
        assert_eq!((fault.state, fault.joined), (LineState::Fault, vec![joint]));
        assert_eq!(sight.look(&lost), None, "told once");
    }
}
