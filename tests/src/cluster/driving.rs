//! An agent's drivers on the virtual clock: the very ones of the program, polled in a fixed order.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures::FutureExt;
use futures::future::LocalBoxFuture;
use pep_agent::drivers::simulated::Simulation;
use pep_agent::drivers::{ActivityDriver, DriverSet, HostDriver, LineDriver, ReadError, ReserveDriver};
use pep_agent::engine::facts::ActivityKey;
use pep_agent::engine::{Action, ActionId, ActionKind, ActionOutcome, Observation, Subject};
use power_policy::model::Name;

/// What a driver tells.
#[derive(Debug)]
pub(super) enum Told {
    Seen(Observation),
    Outcome(ActionId, ActionOutcome),
}

/// How the driver of an activity or a line is broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It says that it has stopped the activity, which runs on.
    StopsInWordsOnly,
    /// It cannot start the activity.
    DoesNotStart,
    /// The line stays as it is, whatever it is told.
    Sticks,
}

impl Fault {
    /// What it says to an action that it does not carry out.
    pub(super) fn outcome(self, kind: &ActionKind) -> Option<ActionOutcome> {
        match (self, kind) {
            (Self::StopsInWordsOnly, ActionKind::Stop { .. }) => {
                Some(ActionOutcome::Done("it has ended, it says".to_owned()))
            }
            (Self::DoesNotStart, ActionKind::Start { .. }) => {
                Some(ActionOutcome::Failed("it does not start".to_owned()))
            }
            (Self::Sticks, ActionKind::Join { .. } | ActionKind::Open { .. }) => {
                Some(ActionOutcome::Failed("it sticks".to_owned()))
            }
            _ => None,
        }
    }
}

/// One driver.
enum Driver {
    Host(Name, Box<dyn HostDriver>),
    Domain(Name, Simulation),
    Reserve(Name, Box<dyn ReserveDriver>),
    Line(Name, Box<dyn LineDriver>),
    Activity(ActivityKey, Box<dyn ActivityDriver>),
}

impl Driver {
    fn subject(&self) -> Option<Subject> {
        match self {
            Self::Host(name, _) => Some(Subject::Host(name.clone())),
            Self::Line(name, _) => Some(Subject::Line(name.clone())),
            Self::Activity(key, _) => Some(Subject::Activity(key.clone())),
            Self::Domain(..) | Self::Reserve(..) => None,
        }
    }

    async fn read(&mut self) -> Result<Vec<Observation>, ReadError> {
        Ok(match self {
            Self::Host(name, driver) => {
                let reading = driver.read().await?;
                let server = Observation::Server(name.clone(), reading.server);
                let inlets = reading.inlets.into_iter();
                let inlets = inlets.map(|(domain, mains)| Observation::Inlet(domain, mains));
                std::iter::once(server).chain(inlets).collect()
            }
            Self::Domain(name, simulation) => {
                vec![Observation::Inlet(name.clone(), simulation.mains(name).await?)]
            }
            Self::Reserve(name, driver) => vec![Observation::Reserve(name.clone(), driver.read().await?)],
            Self::Line(name, driver) => vec![Observation::Line(name.clone(), driver.read().await?)],
            Self::Activity(key, driver) => vec![Observation::Activity(key.clone(), driver.read().await?)],
        })
    }

    async fn act(&mut self, kind: ActionKind) -> ActionOutcome {
        match (self, kind) {
            (Self::Host(_, driver), ActionKind::Host { state, .. }) => driver.set(state).await,
            (
                Self::Line(_, driver),
                ActionKind::Join {
                    reserve,
                    server,
                    milliwatts,
                    ..
                },
            ) => driver.join(reserve, server, milliwatts).await,
            (Self::Line(_, driver), ActionKind::Open { .. }) => driver.open().await,
            (Self::Activity(_, driver), ActionKind::Stop { moved, .. }) => driver.stop(moved).await,
            (Self::Activity(_, driver), ActionKind::Start { moved, .. }) => driver.start(moved).await,
            (Self::Activity(_, driver), ActionKind::Cap { milliwatts, .. }) => driver.cap(milliwatts).await,
            (_, kind) => ActionOutcome::Refused(format!("no driver of {} does that", kind.subject())),
        }
    }
}

/// A driver that acts, and comes back with what became of it.
type Acting = LocalBoxFuture<'static, (Driver, ActionId, ActionOutcome)>;

enum State {
    Idle(Driver),
    Acting(Acting),
    /// Between the two.
    Moving,
}

struct Slot {
    subject: Option<Subject>,
    state: State,
    /// Actions that came while it acted.
    waiting: VecDeque<Action>,
    every_millis: u64,
    next_read: u64,
}

/// All drivers of one agent.
#[derive(Default)]
pub(super) struct Driving {
    slots: Vec<Slot>,
    /// Shortest interval of readings, in milliseconds.
    at_least_millis: u64,
}

impl std::fmt::Debug for Driving {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Driving")
            .field("slots", &self.slots.len())
            .finish_non_exhaustive()
    }
}

impl Driving {
    /// Drivers that are read every `at_least_millis`, or as their file says if that is longer.
    pub(super) fn new(at_least_millis: u64) -> Self {
        Self {
            slots: Vec::new(),
            at_least_millis,
        }
    }

    fn add(&mut self, driver: Driver, poll: Duration) {
        let poll = u64::try_from(poll.as_millis()).unwrap_or(u64::MAX);
        self.slots.push(Slot {
            subject: driver.subject(),
            state: State::Idle(driver),
            waiting: VecDeque::new(),
            every_millis: poll.max(self.at_least_millis).max(1),
            next_read: 0,
        });
    }

    /// Something has happened: everything is read now.
    pub(super) fn wake(&mut self) {
        for slot in &mut self.slots {
            slot.next_read = 0;
        }
    }

    /// Hands an action to its driver; the outcome, if there is none.
    pub(super) fn act(&mut self, action: Action) -> Option<ActionOutcome> {
        let subject = action.kind.subject();
        match self
            .slots
            .iter_mut()
            .find(|slot| slot.subject.as_ref() == Some(&subject))
        {
            Some(slot) => {
                slot.waiting.push_back(action);
                None
            }
            None => Some(ActionOutcome::Refused(format!("{subject} has no driver"))),
        }
    }

    /// When something has to be read next.
    pub(super) fn next(&self) -> Option<u64> {
        let idle = self.slots.iter().filter(|s| matches!(s.state, State::Idle(_)));
        idle.map(|slot| slot.next_read).min()
    }

    /// Goes on with every action, and reads what is due.
    pub(super) fn run(&mut self, now: u64) -> Vec<Told> {
        let mut told = Vec::new();
        for slot in &mut self.slots {
            loop {
                slot.state = match std::mem::replace(&mut slot.state, State::Moving) {
                    State::Acting(mut acting) => match poll(acting.as_mut()) {
                        Poll::Ready((mut driver, id, outcome)) => {
                            // What it led to comes before its outcome, as in the program.
                            told.extend(observe(&mut driver));
                            told.push(Told::Outcome(id, outcome));
                            slot.next_read = now + slot.every_millis;
                            State::Idle(driver)
                        }
                        Poll::Pending => {
                            slot.state = State::Acting(acting);
                            break;
                        }
                    },
                    State::Idle(mut driver) => match slot.waiting.pop_front() {
                        Some(Action { id, kind }) => State::Acting(Box::pin(async move {
                            let outcome = driver.act(kind).await;
                            (driver, id, outcome)
                        })),
                        None => {
                            if slot.next_read <= now {
                                slot.next_read = now + slot.every_millis;
                                told.extend(observe(&mut driver));
                            }
                            slot.state = State::Idle(driver);
                            break;
                        }
                    },
                    State::Moving => break,
                };
            }
        }
        told
    }
}

/// The plant answers at once, so a reading is there at once; one that failed grows stale by itself.
fn observe(driver: &mut Driver) -> Vec<Told> {
    match driver.read().now_or_never() {
        Some(Ok(seen)) => seen.into_iter().map(Told::Seen).collect(),
        Some(Err(_)) | None => Vec::new(),
    }
}

fn poll<T>(future: Pin<&mut (impl Future<Output = T> + ?Sized)>) -> Poll<T> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

impl DriverSet for Driving {
    fn add_host(&mut self, name: Name, driver: Box<dyn HostDriver>, poll: Duration) {
        self.add(Driver::Host(name, driver), poll);
    }

    fn add_domain(&mut self, domain: Name, simulation: Simulation, poll: Duration) {
        self.add(Driver::Domain(domain, simulation), poll);
    }

    fn add_reserve(&mut self, name: Name, driver: Box<dyn ReserveDriver>, poll: Duration) {
        self.add(Driver::Reserve(name, driver), poll);
    }

    fn add_line(&mut self, name: Name, driver: Box<dyn LineDriver>, poll: Duration) {
        self.add(Driver::Line(name, driver), poll);
    }

    fn add_activity(&mut self, key: ActivityKey, driver: Box<dyn ActivityDriver>, poll: Duration) {
        self.add(Driver::Activity(key, driver), poll);
    }
}
