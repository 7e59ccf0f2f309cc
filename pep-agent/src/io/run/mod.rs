//! The agent's program: `pep-agent run --config FILE [--clock-scale N]`.
//!
//! One thread, one loop. It owns the [`Node`], which decides everything, and gives it one input at a time: what drivers
//! saw and did, what the PDP sent, what the operator asked, what has become due. After each input it keeps what must not
//! be forgotten, hands out actions, and sends. A task a driver and one that writes to the PDP stand beside it
//! ([`crate::io::supervise`], `connection`).

pub mod assemble;
mod connection;
mod security;

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use cops_codec::session::Moment;
use cops_codec::session::pep::reconnect::{Attempt, Reconnect, ReconnectConfig, Target};
use cops_codec::wire::{PdpAddress, PepId};
use futures::future::LocalBoxFuture;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::sleep;

use self::assemble::Assembly;
pub(crate) use self::assemble::deny_list;
use self::connection::{ConnectError, Connection, Received};
use self::security::Security;
use crate::drivers::plant_link::{PlantClient, PlantLinkError, PlantWatch};
use crate::engine::EngineSettings;
use crate::io::clock::BootClock;
use crate::io::config::{AgentConfig, PlantEntry};
use crate::io::keeper::Keeper;
use crate::io::keys::KeysError;
use crate::io::local::{LocalAnswer, LocalRequest, LocalSocket};
use crate::io::state::{StateDir, StateError, boot_id};
use crate::io::supervise::{DriverEvent, Drivers};
use crate::io::toml_file::TomlError;
use crate::limits;
use crate::node::{Node, NodeConfig, NodeEvent};

/// How long the first readings may take before the PDP is told what there is without them.
const FIRST_LOOK: Duration = Duration::from_secs(3);

/// Arguments of `pep-agent run`.
#[derive(Clone, Debug, clap::Args)]
pub struct RunArgs {
    /// The agent's file
    #[arg(long)]
    pub config: PathBuf,
    /// How many simulated seconds pass in a real one; only where everything is simulated
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=i64::from(limits::MAX_CLOCK_SCALE)))]
    pub clock_scale: u32,
}

/// Why an agent does not run, or does not go on.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// Its file is wrong: exit status 2.
    #[error(transparent)]
    Config(#[from] TomlError),
    /// A clock scale and something real: exit status 2.
    #[error("--clock-scale {scale} is for simulations, and {thing} is real")]
    Scale {
        /// The scale.
        scale: u32,
        /// The first real thing.
        thing: String,
    },
    /// Its keys cannot be had: exit status 2.
    #[error(transparent)]
    Keys(#[from] KeysError),
    /// The plant is not there, or does not know what the file names.
    #[error("{0}")]
    Plant(#[from] PlantLinkError),
    /// The state folder cannot be used.
    #[error("{0}")]
    State(#[from] StateError),
    /// There is no thread for what has to be kept.
    #[error("cannot begin a thread: {0}")]
    Thread(std::io::Error),
    /// The local socket cannot be had.
    #[error("cannot listen on {}: {source}", path.display())]
    Listen {
        /// The socket.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// Signals cannot be waited for.
    #[error("cannot wait for signals: {0}")]
    Signals(std::io::Error),
    /// The name is none that COPS can carry.
    #[error("the agent's name: {0}")]
    Name(String),
    /// The plant that it lives in has ended.
    #[error("the plant has ended")]
    PlantEnded,
}

impl RunError {
    /// Exit status of the program.
    pub fn exit_status(&self) -> u8 {
        match self {
            Self::Config(_) | Self::Keys(_) | Self::Scale { .. } | Self::Name(_) => 2,
            _ => 1,
        }
    }
}

/// Runs an agent until SIGINT or SIGTERM.
///
/// # Errors
/// Why it does not run or go on.
pub async fn run(args: &RunArgs) -> Result<(), RunError> {
    let config = AgentConfig::read(&args.config)?;
    if args.clock_scale != 1
        && let Some(thing) = config.real_things().into_iter().next()
    {
        return Err(RunError::Scale {
            scale: args.clock_scale,
            thing,
        });
    }
    let interrupt = signal(SignalKind::interrupt()).map_err(RunError::Signals)?;
    let terminate = signal(SignalKind::terminate()).map_err(RunError::Signals)?;
    let local = tokio::task::LocalSet::new();
    local
        .run_until(async {
            let agent = Agent::start(config, BootClock::new(args.clock_scale)).await?;
            agent.live(interrupt, terminate).await
        })
        .await
}

/// A running agent.
struct Agent {
    config: AgentConfig,
    clock: BootClock,
    node: Node,
    drivers: Drivers,
    plant: Option<PlantClient>,
    watch: Option<PlantWatch>,
    socket: LocalSocket,
    keeper: Keeper,
    reconnect: Reconnect,
    connecting: Option<LocalBoxFuture<'static, Result<Connection, ConnectError>>>,
    connection: Option<Connection>,
    security: Option<Security>,
    /// Until then the PDP waits for the first readings: an agent that reports before it has looked tells of a node where
    /// nothing runs and no mains is known. `None`: everything was seen, or has had its time.
    looks_until: Option<Moment>,
    /// Where the PDP of this connection has sent this agent.
    redirected: Option<PdpAddress>,
    /// What the last attempt to connect failed of: told once.
    unreachable: Option<String>,
}

/// What the loop waits for.
enum Input {
    Drivers(Vec<DriverEvent>),
    Connected(Result<Connection, ConnectError>),
    Received(Received),
    Room,
    Asked(crate::io::local::Asked),
    Happened,
    PlantEnded,
    /// What has to be remembered is on disk again.
    Kept,
    /// The keys have to be looked at, or read in any case.
    Keys(bool),
    Due,
    End,
}

impl Agent {
    async fn start(config: AgentConfig, clock: BootClock) -> Result<Self, RunError> {
        let pep_id = PepId::new(config.name.as_str()).map_err(|error| RunError::Name(error.to_string()))?;
        let state = StateDir::open(&config.state_dir)?;
        let (kept, said) = state.read()?;
        if let Some(said) = said {
            tracing::error!("{said}; the agent begins without memory");
        }
        let socket = LocalSocket::bind(&config.socket)
            .await
            .map_err(|source| RunError::Listen {
                path: config.socket.clone(),
                source,
            })?;
        let Assembly {
            inventory,
            drivers,
            plant,
        } = assemble::assemble(&config, clock).await?;
        let watch = match &config.plant {
            PlantEntry::Shared(path) => Some(PlantWatch::connect(path, 0).await?),
            _ => None,
        };

        let mut node_config = NodeConfig::new(pep_id);
        node_config.ttl_seconds = u32::try_from(config.pdp.plan_ttl.as_secs()).unwrap_or(u32::MAX);
        node_config.reading_interval = config.pdp.reading_interval;
        // A driver's own way to its end takes real time, which a scaled clock makes long.
        let margin = EngineSettings::default().action_margin_millis;
        node_config.engine.action_margin_millis = clock.scaled_millis(Duration::from_millis(margin));
        let armed = kept.armed.unwrap_or(config.armed);
        let now = clock.now();
        let mut kept = kept;
        if let Some(saved) = &mut kept.node
            && kept.boot_id != boot_id()
        {
            saved.memory = saved
                .memory
                .clone()
                .after_reboot(saved.saved_at_millis, now.engine);
        }
        let node = match Node::new(
            node_config.clone(),
            inventory.clone(),
            armed,
            kept.node.as_ref(),
            now,
        ) {
            Ok(node) => Ok(node),
            Err(error) => {
                let said = state.set_aside(&error.to_string())?;
                tracing::error!("{said}; the agent begins without its plan");
                kept.node = None;
                Node::new(node_config, inventory, armed, None, now)
            }
        };
        // Without anything to restore nothing can fail.
        let node = node.map_err(|error| RunError::Name(error.to_string()))?;
        let mode = if armed { "armed" } else { "observe" };
        tracing::info!(
            name = %config.name, mode, pdp = %config.pdp.addresses.join(", "), clock_scale = clock.scale(),
            "pep-agent {} (experimental: its client-type is from the private-use range)", env!("CARGO_PKG_VERSION")
        );
        let security = config
            .integrity
            .as_ref()
            .map(|integrity| Security::begin(integrity, kept.reserved_number, now.session))
            .transpose()?;
        let pace = ReconnectConfig {
            // On loopback nothing is gained by waiting long, and a simulation's time is short.
            first_interval: Duration::from_millis(if clock.scale() == 1 { 1_000 } else { 200 }),
            max_interval: config.pdp.retry_max,
            ..ReconnectConfig::DEFAULT
        };
        // The list is checked not to be empty.
        let count = NonZeroUsize::new(config.pdp.addresses.len()).unwrap_or(NonZeroUsize::MIN);
        let mut reconnect = Reconnect::new(pace, count, now.session, fastrand::u64(..));
        if let Some(last) = kept.pdp {
            let listed = config.pdp.place_of(last);
            reconnect = reconnect.beginning_with(match listed {
                Some(at) => Target::Listed(at),
                None => Target::Named(last.into()),
            });
        }
        kept.boot_id = boot_id();
        let keeper = Keeper::new(state, kept).map_err(RunError::Thread)?;
        Ok(Self {
            config,
            clock,
            node,
            drivers,
            plant,
            watch,
            socket,
            keeper,
            reconnect,
            connecting: None,
            connection: None,
            security,
            looks_until: Some(now.session.after(FIRST_LOOK)),
            redirected: None,
            unreachable: None,
        })
    }

    async fn live(mut self, mut interrupt: Signal, mut terminate: Signal) -> Result<(), RunError> {
        loop {
            self.connect_if_due();
            match self.next(&mut interrupt, &mut terminate).await {
                Input::End => return self.end().await,
                Input::PlantEnded => return Err(RunError::PlantEnded),
                input => self.take(input).await,
            }
            self.settle().await;
        }
    }

    async fn next(&mut self, interrupt: &mut Signal, terminate: &mut Signal) -> Input {
        let now = self.clock.now();
        let mut due = self.node.poll_timeout(now);
        // While the first readings are waited for, no attempt to connect is due.
        let attempt = self.looks_until.or_else(|| self.reconnect.poll_timeout());
        due.session = due.session.into_iter().chain(attempt).min();
        let wait = self.clock.until(now, due);
        let due = async {
            match wait {
                Some(wait) => sleep(wait).await,
                None => std::future::pending().await,
            }
        };
        let connecting = &mut self.connecting;
        let connected = async {
            match connecting {
                Some(connecting) => connecting.await,
                None => std::future::pending().await,
            }
        };
        let connection = &mut self.connection;
        let traffic = async {
            match connection {
                Some(connection) => connection.next().await,
                None => std::future::pending().await,
            }
        };
        let plant = &self.plant;
        let ended = async {
            match plant {
                Some(plant) => plant.closed().await,
                None => std::future::pending().await,
            }
        };
        let security = &mut self.security;
        let keys = async {
            match security {
                Some(security) => security.due().await,
                None => std::future::pending().await,
            }
        };
        let watch = &mut self.watch;
        let happened = async {
            match watch {
                Some(watch) => matches!(watch.next().await, Ok(Some(_))),
                None => std::future::pending().await,
            }
        };
        let keeper = &mut self.keeper;
        let drivers = &mut self.drivers;
        let socket = &mut self.socket;
        // In no order: however much the drivers of a large node have to tell, what the PDP says and what is due come soon,
        // and a PDP that never stops talking does not keep the mains from being seen.
        let input = async {
            tokio::select! {
                events = drivers.next() => Input::Drivers(events),
                traffic = traffic => match traffic {
                    Some(received) => Input::Received(received),
                    None => Input::Room,
                },
                connected = connected => Input::Connected(connected),
                asked = socket.next() => Input::Asked(asked),
                in_any_case = keys => Input::Keys(in_any_case),
                () = keeper.recovered() => Input::Kept,
                () = due => Input::Due,
            }
        };
        tokio::select! {
            biased;
            _ = interrupt.recv() => Input::End,
            _ = terminate.recv() => Input::End,
            () = ended => Input::PlantEnded,
            happened = happened => if happened { Input::Happened } else { Input::PlantEnded },
            input = input => input,
        }
    }

    /// Begins an attempt to connect when it is time for one.
    fn connect_if_due(&mut self) {
        let now = self.clock.now().session;
        if self.looks_until.is_some_and(|until| now < until) && !self.node.engine().inventory().is_seen() {
            return;
        }
        self.looks_until = None;
        if let Attempt::Connect { pdp } = self.reconnect.poll(now) {
            let limits = cops_codec::limits::Limits::DEFAULT;
            let pep_id = PepId::new(self.config.name.as_str());
            let tls = self.config.tls.clone().zip(pep_id.ok());
            let connecting = connection::connect(self.config.pdp.clone(), pdp, tls, limits);
            self.connecting = Some(Box::pin(connecting));
        }
    }

    async fn take(&mut self, input: Input) {
        let now = self.clock.now();
        match input {
            Input::Drivers(events) => self.take_from_drivers(events),
            Input::Connected(made) => {
                self.connecting = None;
                match made {
                    Ok(connection) => {
                        // There is none inside TLS, which is more.
                        let security = self.security.as_mut().filter(|_| connection.certified.is_none());
                        let integrity = security.and_then(|security| security.of_connection(now.session));
                        self.node
                            .connect_with(now, connection.peer, fastrand::u64(..), integrity);
                        self.connection = Some(connection);
                    }
                    Err(error) => {
                        self.reconnect.handle_failed(now.session);
                        let said = error.to_string();
                        // Once, not at each attempt.
                        if self.unreachable.as_ref() != Some(&said) {
                            tracing::warn!("no PDP, trying again: {said}");
                            self.unreachable = Some(said);
                        }
                    }
                }
            }
            Input::Received(Received::Frame(frame)) => self.node.handle_frame(now, frame),
            Input::Received(Received::End(why)) => {
                tracing::info!("the connection to the PDP ended: {why}");
                self.node.disconnect(now);
            }
            Input::Asked((request, answer)) => {
                let answered = self.answer(request).await;
                // Whoever asked may have left.
                let _ = answer.send(answered);
            }
            Input::Happened => self.drivers.wake(),
            Input::Keys(in_any_case) => {
                if let Some(security) = &mut self.security {
                    security.look(&mut self.node, now, in_any_case);
                }
            }
            Input::Kept => tracing::info!("what this agent has to remember is kept again"),
            Input::Due => self.node.handle_timeout(now),
            Input::Room | Input::End | Input::PlantEnded => {}
        }
    }

    fn take_from_drivers(&mut self, events: Vec<DriverEvent>) {
        let now = self.clock.now();
        let mut seen = Vec::new();
        for event in events {
            match event {
                DriverEvent::Seen(observation) => seen.push(observation),
                DriverEvent::Outcome(id, outcome) => {
                    tracing::debug!(?id, ?outcome, "an action has its outcome");
                    self.node.observe_all(now, now.engine, std::mem::take(&mut seen));
                    self.node.handle_action_result(now, id, outcome);
                }
                DriverEvent::Lost { what, error } => {
                    tracing::warn!("{what} cannot be read, its last figures grow stale: {error}");
                }
                DriverEvent::Found { what } => tracing::info!("{what} is read again"),
            }
        }
        self.node.observe_all(now, now.engine, seen);
    }

    async fn answer(&mut self, request: LocalRequest) -> LocalAnswer {
        let now = self.clock.now();
        let armed = match request {
            LocalRequest::Status {} => {
                let mut status = self.node.status(now);
                let connection = self.connection.as_ref().filter(|_| status.connected);
                if let Some(name) = connection.and_then(|connection| connection.certified.as_ref()) {
                    status.security = format!("TLS, certificate of {name}");
                }
                status.not_kept = self.keeper.failing().map(str::to_owned);
                return LocalAnswer::Status(Box::new(status));
            }
            LocalRequest::Arm {} => true,
            LocalRequest::Disarm {} => false,
        };
        // On disk first: an agent that was told to keep its hands off must not forget it.
        let before = self.keeper.newest().armed;
        let is_kept = self.keeper.keep(|state| state.armed = Some(armed)).await;
        if !is_kept && armed {
            self.keeper.keep(|state| state.armed = before).await;
            return LocalAnswer::Refused(format!("not armed, since {}", self.why_not_kept()));
        }
        self.node.set_armed(now, armed);
        tracing::warn!(
            "{}",
            if armed {
                "armed: plans are carried out"
            } else {
                "disarmed: plans are only observed"
            }
        );
        if is_kept {
            LocalAnswer::Done
        } else {
            LocalAnswer::Refused(format!(
                "disarmed, but an agent that is started again forgets it, since {}",
                self.why_not_kept()
            ))
        }
    }

    fn why_not_kept(&self) -> String {
        format!(
            "it cannot be kept: {}",
            self.keeper.failing().unwrap_or("it is being written")
        )
    }

    /// What follows from an input: state to disk, then actions to drivers, then frames to the PDP. A disk that does not take
    /// the state holds up neither ([`Keeper`]).
    async fn settle(&mut self) {
        loop {
            let now = self.clock.now();
            if let Some(saved) = self.node.unsaved(now) {
                self.keeper.keep(|state| state.node = Some(saved)).await;
            }
            let Some(action) = self.node.poll_action() else {
                break;
            };
            tracing::info!(id = action.id.0, action = ?action.kind, "a driver acts");
            let id = action.id;
            if let Some(outcome) = self.drivers.act(action) {
                self.node.handle_action_result(now, id, outcome);
            }
        }
        let mut closed = false;
        while let Some(event) = self.node.poll_event() {
            match event {
                NodeEvent::Accepted => {
                    let pdp = self.connection.as_ref().map(|c| c.peer.to_socket_addr());
                    tracing::info!(
                        pdp = pdp.map(tracing::field::display),
                        "the PDP has accepted this agent"
                    );
                    self.unreachable = None;
                    self.reconnect.handle_connected(self.clock.now().session);
                    if self.keeper.newest().pdp != pdp {
                        self.keeper.keep(|state| state.pdp = pdp).await;
                    }
                }
                NodeEvent::Redirected(to) => self.redirected = Some(to),
                NodeEvent::Closed(cause) => {
                    tracing::info!("the session has ended: {cause}");
                    if let Some(security) = &mut self.security {
                        security.ended(&cause, self.node.integrity().is_some());
                    }
                    closed = true;
                }
                NodeEvent::Told(text) => tracing::info!("{text}"),
                NodeEvent::Warned(text) => tracing::warn!("{text}"),
            }
        }
        if let Some(security) = &mut self.security {
            let reserved = security.reserved(&self.node);
            // Before a message shows it: no number is used twice, whatever happens to the agent. (Where it cannot be kept the
            // calendar alone sees to that: the numbers of the next life begin with its seconds.)
            if reserved != self.keeper.newest().reserved_number {
                self.keeper.keep(|state| state.reserved_number = reserved).await;
            }
        }
        if let Some(connection) = &mut self.connection {
            connection.send(|| self.node.poll_transmit());
        }
        if closed {
            self.close_connection().await;
        }
    }

    async fn close_connection(&mut self) {
        if let Some(connection) = self.connection.take() {
            connection.close(|| self.node.poll_transmit()).await;
        }
        self.node.forget_session();
        let now = self.clock.now().session;
        if let Some(to) = self.redirected.take() {
            if !self.config.pdp.follow_redirects {
                tracing::warn!(
                    "the PDP names {to} to be used instead, and the file has no redirect followed"
                );
            } else {
                let listed = self.config.pdp.place_of(to.to_socket_addr());
                if self.reconnect.handle_redirected(now, to, listed) {
                    tracing::info!("the PDP names {to} to be used instead");
                } else {
                    tracing::warn!(
                        "the PDP names {to}, after too many others: this agent waits before it goes on"
                    );
                }
                return;
            }
        }
        // One of them is meant, the other changes nothing: accepted before, or never.
        self.reconnect.handle_lost(now);
        self.reconnect.handle_failed(now);
    }

    /// The PDP is told that this agent leaves (CC); what runs goes on running.
    async fn end(mut self) -> Result<(), RunError> {
        tracing::info!("ending; what runs goes on running");
        self.node.shut_down(self.clock.now());
        self.settle().await;
        self.close_connection().await;
        Ok(())
    }
}
