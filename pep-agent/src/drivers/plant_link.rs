//! The client of a plant: over its socket, or with the plant in the same process.
//!
//! [`PlantClient`] is what drivers hold: typed calls over any [`PlantLink`]. It is cheap to clone, may be called from
//! many tasks at once, and a call that is dropped half-way harms no other.
//!
//! An agent that the plant started must not outlive it: [`PlantClient::closed`] resolves when the link is gone for
//! good, and such an agent then exits. (The kernel's parent-death signal is set between fork and exec, which takes
//! unsafe code.) There is no reconnecting: a plant's state dies with it.

use super::plant_protocol::{
    Answer, Call, Greeting, Notice, PROTOCOL_VERSION, PlantNames, PlantReply, PlantRequest,
};
use super::plant_service::PlantService;
use crate::limits;
use futures::future::BoxFuture;
use futures::{SinkExt, StreamExt};
use power_policy::plant::{
    ActivityReport, DomainReading, History, Ledger, LineDescription, LineReading, Plant, ReserveDescription,
    ReserveReading, ServerDescription, ServerReading, UnmanagedRun,
};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{oneshot, watch};
use tokio_util::codec::{FramedRead, FramedWrite, LinesCodec};

/// Why a call to a plant failed.
#[derive(Debug, thiserror::Error)]
pub enum PlantLinkError {
    /// Nobody listens there.
    #[error("no plant at {}: {source}", path.display())]
    Connect {
        /// The socket.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The plant is gone, or its link broke.
    #[error("the plant closed the link")]
    Closed,
    /// The plant did not answer in time ([`limits::PLANT_ANSWER_MILLIS`]).
    #[error("the plant did not answer within {} ms", limits::PLANT_ANSWER_MILLIS)]
    Silent,
    /// The plant refused, and nothing changed.
    #[error("the plant refused: {0}")]
    Refused(String),
    /// What came is not the answer to what was asked.
    #[error("the plant answered out of turn: expected {expected}, got {got}")]
    Unexpected {
        /// The kind of answer that was expected.
        expected: &'static str,
        /// What came.
        got: String,
    },
}

/// A way to a plant.
pub trait PlantLink: Send + Sync + std::fmt::Debug {
    /// Sends one request and waits for its reply.
    fn call(&self, request: PlantRequest) -> BoxFuture<'_, Result<PlantReply, PlantLinkError>>;

    /// Resolves when the plant is gone for good.
    fn closed(&self) -> BoxFuture<'_, ()>;
}

/// Typed calls to a plant.
#[derive(Clone, Debug)]
pub struct PlantClient {
    link: Arc<dyn PlantLink>,
}

/// Writes one typed call a line.
macro_rules! calls {
    ($($(#[$doc:meta])* $name:ident($($arg:ident: $kind:ty),*) = $request:ident => $reply:ident -> $output:ty;)*) => {
        $(
            $(#[$doc])*
            ///
            /// # Errors
            /// The plant refused, or the link is broken.
            pub async fn $name(&self, $($arg: $kind),*) -> Result<$output, PlantLinkError> {
                match self.link.call(PlantRequest::$request { $($arg: $arg.into()),* }).await? {
                    PlantReply::$reply(value) => Ok(value.into()),
                    other => Err(unexpected(stringify!($reply), other)),
                }
            }
        )*
    };
}

/// Writes one command a line.
macro_rules! commands {
    ($($(#[$doc:meta])* $name:ident($($arg:ident: $kind:ty),*) = $request:ident;)*) => {
        $(
            $(#[$doc])*
            ///
            /// # Errors
            /// The plant refused, or the link is broken.
            pub async fn $name(&self, $($arg: $kind),*) -> Result<(), PlantLinkError> {
                match self.link.call(PlantRequest::$request { $($arg: $arg.into()),* }).await? {
                    PlantReply::Done => Ok(()),
                    other => Err(unexpected("Done", other)),
                }
            }
        )*
    };
}

fn unexpected(expected: &'static str, got: PlantReply) -> PlantLinkError {
    match got {
        PlantReply::Refused(reason) => PlantLinkError::Refused(reason),
        other => PlantLinkError::Unexpected {
            expected,
            got: format!("{other:?}").chars().take(200).collect(),
        },
    }
}

impl PlantClient {
    /// Connects to a plant's socket and says who is calling.
    ///
    /// # Errors
    /// Nobody listens there, or what answers is no plant of this version.
    pub async fn connect(path: &Path, agent: &str) -> Result<Self, PlantLinkError> {
        let client = PlantClient {
            link: Arc::new(SocketLink::connect(path).await?),
        };
        let greeting = client.hello(agent).await?;
        if greeting.version != PROTOCOL_VERSION {
            let got = format!("version {}", greeting.version);
            return Err(PlantLinkError::Unexpected {
                expected: "protocol version 1",
                got,
            });
        }
        Ok(client)
    }

    /// A plant behind a link of the caller's.
    pub fn over(link: Arc<dyn PlantLink>) -> Self {
        PlantClient { link }
    }

    /// A plant of one's own, in this process. `clock` gives scaled monotonic milliseconds from the plant's start.
    pub fn in_process(plant: Plant, agent: &str, clock_scale: u32, clock: Clock) -> Self {
        let service = Mutex::new(PlantService::new(plant, clock_scale));
        PlantClient {
            link: Arc::new(InProcessLink {
                service,
                agent: agent.to_owned(),
                clock,
            }),
        }
    }

    /// Resolves when the plant is gone for good; an agent that the plant started then exits.
    pub async fn closed(&self) {
        self.link.closed().await;
    }

    calls! {
        /// Says who is calling.
        hello(agent: &str) = Hello => Greeting -> Greeting;
        /// Names of all there is.
        names() = Names => Names -> PlantNames;
        /// Fixed figures of a server.
        describe_server(server: &str) = DescribeServer => ServerFigures -> Box<ServerDescription>;
        /// Fixed figures of a reserve.
        describe_reserve(reserve: &str) = DescribeReserve => ReserveFigures -> Box<ReserveDescription>;
        /// Fixed figures of a line.
        describe_line(line: &str) = DescribeLine => LineFigures -> Box<LineDescription>;
        /// A server's power state, mains, meters and activities.
        read_server(server: &str) = ReadServer => Server -> Box<ServerReading>;
        /// A reserve's charge and meters.
        read_reserve(reserve: &str) = ReadReserve => Reserve -> Box<ReserveReading>;
        /// A line's positions and meters.
        read_line(line: &str) = ReadLine => Line -> Box<LineReading>;
        /// The mains of each domain.
        read_domains() = ReadDomains => Domains -> Vec<DomainReading>;
        /// Where the energy went.
        ledger() = Ledger => Ledger -> Box<Ledger>;
        /// The ride-through times of every activity.
        activities() = Activities => Activities -> Vec<ActivityReport>;
        /// The samples so far.
        history() = History => History -> Box<History>;
        /// What each server would have had on its own under the same mains.
        unmanaged() = Unmanaged => Unmanaged -> Box<UnmanagedRun>;
    }

    commands! {
        /// Makes an activity known; `initially_running` is honoured once in the plant's life.
        declare_activity(server: &str, activity: &str, milliwatts: u64, initially_running: bool) = DeclareActivity;
        /// Starts an activity.
        start_activity(server: &str, activity: &str) = StartActivity;
        /// Stops an activity cleanly, at once: the time that a stop takes is the caller's.
        stop_activity(server: &str, activity: &str) = StopActivity;
        /// Changes an activity's draw above idle.
        set_load(server: &str, activity: &str, milliwatts: u64) = SetLoad;
        /// Gives a reserve to a server through a line; 0 milliwatts takes the pair off. It takes the line's switching
        /// time: read the line until it no longer moves.
        set_line(line: &str, reserve: &str, server: &str, milliwatts: u64) = SetLine;
        /// Takes everything off a line.
        clear_line(line: &str) = ClearLine;
        /// Begins a clean halt.
        halt_server(server: &str) = HaltServer;
        /// Cuts a server's outlet; only its starter may.
        power_off(server: &str) = PowerOff;
        /// Switches a server on; only its starter may.
        start_server(server: &str) = StartServer;
        /// The mains of a domain goes away.
        fail_mains(domain: &str) = FailMains;
        /// The mains of a domain comes back.
        restore_mains(domain: &str) = RestoreMains;
        /// A fault: a stuck line follows no command.
        stick_line(line: &str, stuck: bool) = StickLine;
        /// A fault: of what a reserve says it has, only so many permille are there.
        weaken_reserve(reserve: &str, permille: u64) = WeakenReserve;
        /// A fault: a failed reserve gives and takes nothing.
        fail_reserve(reserve: &str, failed: bool) = FailReserve;
    }
}

/// Gives scaled monotonic milliseconds.
pub type Clock = Arc<dyn Fn() -> u64 + Send + Sync>;

/// A plant in this process.
struct InProcessLink {
    service: Mutex<PlantService>,
    agent: String,
    clock: Clock,
}

impl std::fmt::Debug for InProcessLink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("InProcessLink")
            .field("agent", &self.agent)
            .finish_non_exhaustive()
    }
}

impl PlantLink for InProcessLink {
    fn call(&self, request: PlantRequest) -> BoxFuture<'_, Result<PlantReply, PlantLinkError>> {
        // The plant leaves no state half-way, so what a panicking caller left behind is still sound.
        let mut service = self.service.lock().unwrap_or_else(PoisonError::into_inner);
        let reply = service.handle((self.clock)(), Some(&self.agent), &request);
        // Nobody watches a private plant.
        while service.plant().poll_event().is_some() {}
        Box::pin(std::future::ready(Ok(reply)))
    }

    fn closed(&self) -> BoxFuture<'_, ()> {
        Box::pin(std::future::pending())
    }
}

/// Calls that wait for their answers; `None` once the link is broken.
type Waiting = Arc<Mutex<Option<BTreeMap<u64, oneshot::Sender<PlantReply>>>>>;

/// A plant behind a socket. One task reads the answers and hands each to its caller.
#[derive(Debug)]
struct SocketLink {
    writer: tokio::sync::Mutex<FramedWrite<OwnedWriteHalf, LinesCodec>>,
    next_id: std::sync::atomic::AtomicU64,
    waiting: Waiting,
    closed: watch::Receiver<bool>,
    reader: tokio::task::JoinHandle<()>,
}

impl Drop for SocketLink {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

async fn open(path: &Path) -> Result<UnixStream, PlantLinkError> {
    UnixStream::connect(path)
        .await
        .map_err(|source| PlantLinkError::Connect {
            path: path.to_owned(),
            source,
        })
}

fn replies(half: OwnedReadHalf) -> FramedRead<OwnedReadHalf, LinesCodec> {
    FramedRead::new(
        half,
        LinesCodec::new_with_max_length(limits::MAX_PLANT_REPLY_OCTETS),
    )
}

fn requests(half: OwnedWriteHalf) -> FramedWrite<OwnedWriteHalf, LinesCodec> {
    FramedWrite::new(half, LinesCodec::new())
}

impl SocketLink {
    async fn connect(path: &Path) -> Result<Self, PlantLinkError> {
        let (read, write) = open(path).await?.into_split();
        let waiting: Waiting = Arc::new(Mutex::new(Some(BTreeMap::new())));
        let (tell_closed, closed) = watch::channel(false);
        let reader = tokio::spawn(hand_out(replies(read), Arc::clone(&waiting), tell_closed));
        let writer = tokio::sync::Mutex::new(requests(write));
        Ok(SocketLink {
            writer,
            next_id: 1.into(),
            waiting,
            closed,
            reader,
        })
    }

    async fn exchange(&self, request: PlantRequest) -> Result<PlantReply, PlantLinkError> {
        let id = self.next_id.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let text = line(&Call { id, request })?;
        let (answer, answered) = oneshot::channel();
        match self
            .waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .as_mut()
        {
            Some(waiting) => waiting.insert(id, answer),
            None => return Err(PlantLinkError::Closed),
        };
        let _forget = Forget {
            waiting: &self.waiting,
            id,
        };
        self.writer
            .lock()
            .await
            .send(text)
            .await
            .map_err(|_| PlantLinkError::Closed)?;
        answered.await.map_err(|_| PlantLinkError::Closed)
    }
}

/// Takes a call off the list of those that wait, also when its caller gave up.
struct Forget<'a> {
    waiting: &'a Waiting,
    id: u64,
}

impl Drop for Forget<'_> {
    fn drop(&mut self) {
        if let Some(waiting) = self
            .waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .as_mut()
        {
            waiting.remove(&self.id);
        }
    }
}

fn line(call: &Call) -> Result<String, PlantLinkError> {
    serde_json::to_string(call).map_err(|error| PlantLinkError::Unexpected {
        expected: "a request",
        got: error.to_string(),
    })
}

/// Hands each answer to its caller; a line that is no answer breaks the link.
async fn hand_out(
    mut replies: FramedRead<OwnedReadHalf, LinesCodec>,
    waiting: Waiting,
    tell_closed: watch::Sender<bool>,
) {
    while let Some(Ok(text)) = replies.next().await {
        let answer: Answer = match serde_json::from_str(&text) {
            Ok(answer) => answer,
            Err(error) => {
                tracing::warn!(%error, "the plant sent a line that is no answer");
                break;
            }
        };
        let caller = waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .as_mut()
            .and_then(|waiting| waiting.remove(&answer.id));
        if let Some(caller) = caller {
            // A caller that gave up meanwhile misses nothing.
            let _ = caller.send(answer.reply);
        }
    }
    // Dropping the senders wakes all who wait.
    waiting.lock().unwrap_or_else(PoisonError::into_inner).take();
    let _ = tell_closed.send(true);
}

impl PlantLink for SocketLink {
    fn call(&self, request: PlantRequest) -> BoxFuture<'_, Result<PlantReply, PlantLinkError>> {
        Box::pin(async move {
            let limit = Duration::from_millis(limits::PLANT_ANSWER_MILLIS);
            match tokio::time::timeout(limit, self.exchange(request)).await {
                Ok(reply) => reply,
                Err(_) => Err(PlantLinkError::Silent),
            }
        })
    }

    fn closed(&self) -> BoxFuture<'_, ()> {
        let mut closed = self.closed.clone();
        Box::pin(async move {
            // An error means that the reader is gone, which is the same.
            let _ = closed.wait_for(|closed| *closed).await;
        })
    }
}

/// A stream of what happens in a plant, over a connection of its own.
#[derive(Debug)]
pub struct PlantWatch {
    replies: FramedRead<OwnedReadHalf, LinesCodec>,
    /// Closing the write half would end the stream.
    _requests: FramedWrite<OwnedWriteHalf, LinesCodec>,
}

impl PlantWatch {
    /// Watches a plant: its events, and a sample each `sample_millis` of its time (0: none).
    ///
    /// # Errors
    /// Nobody listens there, or the plant refused.
    pub async fn connect(path: &Path, sample_millis: u64) -> Result<Self, PlantLinkError> {
        let (read, write) = open(path).await?.into_split();
        let mut watch = PlantWatch {
            replies: replies(read),
            _requests: requests(write),
        };
        let text = line(&Call {
            id: 0,
            request: PlantRequest::Watch { sample_millis },
        })?;
        watch
            ._requests
            .send(text)
            .await
            .map_err(|_| PlantLinkError::Closed)?;
        match watch.line::<Answer>("Done").await?.map(|answer| answer.reply) {
            Some(PlantReply::Done) => Ok(watch),
            Some(other) => Err(unexpected("Done", other)),
            None => Err(PlantLinkError::Closed),
        }
    }

    /// The next notice; `None` when the plant has ended.
    ///
    /// # Errors
    /// What came is no notice.
    pub async fn next(&mut self) -> Result<Option<Notice>, PlantLinkError> {
        self.line("a notice").await
    }

    async fn line<T: serde::de::DeserializeOwned>(
        &mut self,
        expected: &'static str,
    ) -> Result<Option<T>, PlantLinkError> {
        let text = match self.replies.next().await {
            Some(Ok(text)) => text,
            // A plant that is killed resets the connection instead of closing it.
            Some(Err(_)) | None => return Ok(None),
        };
        let wrong = |error: serde_json::Error| PlantLinkError::Unexpected {
            expected,
            got: error.to_string(),
        };
        serde_json::from_str(&text).map(Some).map_err(wrong)
    }
}
