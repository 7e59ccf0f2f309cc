//! The loop that owns the node.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use cops_codec::limits::Limits;
use cops_codec::wire::{ClientType, KaTimer};
use power_policy::interruption::Command;
use power_policy::model::{Name, Scope};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tokio::task::{JoinError, JoinSet};

use super::admin::{self, AdminCall, AdminHandle, EventLog, Reply};
use super::clock::{self, BootClock};
use super::commands::{Asked, Commands};
use super::connection::{Common, FromConnection};
use super::journal::{Journal, SqliteStore};
use super::listener;
use super::notify::Notifying;
use super::opening::Opening;
use super::outbox::{NotTaken, Outbox};
use super::security::Security;
use super::tls::{self, Welcome};
use super::web;
use crate::api::{
    self, AvailabilityRequest, ClientTypeStatus, CommandAnswer, CommandScope, Me, Problem, Status,
};
use crate::config::Config;
use crate::engine::Recovery;
use crate::engine::contingency::PlannedAhead;
use crate::host::{Availability, BoxedModule};
use crate::limits;
use crate::node::{ConnectionId, Node, Notice, Now};

/// How long PEPs may take to read our farewell.
const FAREWELL_TIMEOUT: Duration = Duration::from_secs(2);

/// How often the file of keys is looked at. SIGHUP has it read at once.
const KEYS_PERIOD: Duration = Duration::from_secs(2);

/// How the PDP is run, beside its file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// How much faster than the world the engine's clock runs; more than 1 for simulations only.
    pub clock_scale: u32,
}

impl Default for Options {
    fn default() -> Self {
        Self { clock_scale: 1 }
    }
}

/// Runs a PDP until it is told to end (SIGTERM or SIGINT).
///
/// # Errors
/// In one line: what could not be opened.
pub async fn run(config: Config, options: Options) -> Result<()> {
    run_with(config, options, Vec::new()).await
}

/// As [`run`], with further client-types beside power: `docs/client-types.md`.
///
/// # Errors
/// As [`run`]; or two modules have one client-type.
pub async fn run_with(config: Config, options: Options, modules: Vec<BoxedModule>) -> Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("watching for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("watching for SIGINT")?;
    let stop = async {
        tokio::select! {
            _ = terminate.recv() => "SIGTERM",
            _ = interrupt.recv() => "SIGINT",
        }
    };
    serve(config, options, modules, stop).await
}

/// As [`run_with`], until `stop` comes, which says what it was.
///
/// # Errors
/// As [`run_with`].
pub async fn serve(
    config: Config,
    options: Options,
    modules: Vec<BoxedModule>,
    stop: impl Future<Output = &'static str>,
) -> Result<()> {
    // The admin socket first: it keeps a second PDP of the same file from touching the journal.
    let socket = admin::bind(&config.admin.socket).await?;
    let web = match &config.web {
        Some(web) => Some(web::bind(web).await?),
        None => None,
    };
    let listener = listener::bind(&config.listen, !config.is_plain_beyond_loopback()).await?;
    let address = listener::local_address(&listener)?;

    let opened = SqliteStore::open(&config.journal.path, config.journal.on_unreadable)?;
    let recovered = opened.recovered;
    let boot_id = clock::boot_id().context("boot id of the machine")?;
    let resumed = BootClock::resume(
        options.clock_scale,
        &boot_id,
        clock::unix_millis(),
        recovered.clock.as_ref(),
    );
    let clock = resumed.clock;
    let recovery = Recovery {
        records: recovered.records,
        rebase_millis: resumed.rebase_millis,
        boot_id,
        offset_millis: clock.offset_millis(),
    };
    let journal = Journal::start(opened.store).context("starting the journal's thread")?;
    let node = Node::with_modules(
        &config,
        address,
        options.clock_scale,
        clock.now(),
        recovery,
        modules,
    );
    let mut node = match node {
        Ok(node) => node,
        Err(error) => bail!("{error}"),
    };
    let mut hangup = signal(SignalKind::hangup()).context("watching for SIGHUP")?;
    let security = Security::begin(&config, &mut node, clock.now())?;
    let welcome = config
        .tls
        .clone()
        .map(|tls| {
            let ka_timer = KaTimer(config.cops.keep_alive_seconds);
            let open_timeout = Duration::from_millis(config.listen.open_timeout_millis);
            Welcome::new(tls, ka_timer, open_timeout)
        })
        .transpose()?;
    let tls_problem = Arc::new(Mutex::new(None));

    let warnings = warnings(&config, options);
    tracing::info!(
        name = %config.name,
        %address,
        "PDP listens; experimental: its client-type is from RFC 2748's private range"
    );
    for warning in &warnings {
        tracing::warn!("{warning}");
    }
    if let Some(set_aside) = &opened.set_aside {
        tracing::warn!("{set_aside}");
    }

    let events = EventLog::default();
    let notifying = Notifying::begin(config.name.as_str(), &config.notify, &events);
    let (handle, calls) = AdminHandle::new(events.clone());
    let handle = handle.with_journal(config.journal.path.clone());
    let (to_loop, from_connections) = mpsc::channel(limits::MAX_INPUTS_QUEUED);
    let mut wire_limits = Limits::DEFAULT;
    wire_limits.max_message_octets = config.listen.max_message_octets as usize;
    let common = Common {
        to_loop,
        limits: wire_limits,
        write_timeout: Duration::from_millis(config.listen.write_timeout_millis),
        frame_timeout: Duration::from_millis(config.listen.frame_timeout_millis),
        tls: welcome.clone(),
    };
    let certificates = welcome
        .clone()
        .map(|welcome| tokio::spawn(tls::follow(welcome, Arc::clone(&tls_problem))));
    let refused = Arc::new(AtomicU64::new(0));
    let accepting = tokio::spawn(listener::accept(
        listener,
        config.listen.clone(),
        common,
        Arc::clone(&refused),
    ));
    let web_url = web.as_ref().map(web::Web::url);
    if let Some(url) = &web_url {
        tracing::info!(%url, "people are served");
    }
    let serving_people = web.map(|web| tokio::spawn(web.serve(handle.clone())));
    let administering = tokio::spawn(admin::serve(socket, handle));

    let mut this = Loop {
        node,
        journal,
        clock,
        events,
        peers: HashMap::new(),
        commands: Commands::default(),
        web: web_url,
        planning: JoinSet::new(),
        name: config.name.to_string(),
        listen: address.to_string(),
        warnings,
        refused,
        journal_works: true,
        security,
        tls_problem,
        notifying,
    };
    this.turn(from_connections, calls, &mut hangup, stop).await;
    accepting.abort();
    certificates.inspect(tokio::task::JoinHandle::abort);
    administering.abort();
    serving_people.inspect(tokio::task::JoinHandle::abort);
    this.end().await
}

/// What an operator should know of how this PDP is set up.
fn warnings(config: &Config, options: Options) -> Vec<String> {
    let mut warnings = Vec::new();
    if config.is_plain_beyond_loopback() {
        warnings.push(format!(
            "COPS is served without protection on {}: whoever reaches it can command this cluster",
            config.listen.address
        ));
    }
    if let Some(web) = config.web.as_ref().filter(|web| web.is_plain_beyond_loopback()) {
        warnings.push(format!(
            "people are served over plain HTTP on {}: whoever listens on that network can take their tokens",
            web.address
        ));
    }
    if options.clock_scale > 1 {
        warnings.push(format!(
            "the clock runs {} times too fast: only simulated things are actuated",
            options.clock_scale
        ));
    }
    warnings
}

/// What the loop has of a connection.
struct Peer {
    outgoing: Outbox,
    /// Until it has opened.
    opening: Option<Opening>,
}

struct Loop {
    node: Node,
    journal: Journal,
    clock: BootClock,
    events: EventLog,
    peers: HashMap<ConnectionId, Peer>,
    commands: Commands,
    /// Where people connect.
    web: Option<String>,
    /// The plan that is being made beside everything else, if one is.
    planning: JoinSet<PlannedAhead>,
    name: String,
    listen: String,
    warnings: Vec<String>,
    refused: Arc<AtomicU64>,
    journal_works: bool,
    security: Option<Security>,
    /// What is wrong with the files of TLS as they are now, while those that were read before go on.
    tls_problem: Arc<Mutex<Option<String>>>,
    notifying: Notifying,
}

impl Loop {
    /// Takes rounds until `stop` comes: inputs, journal, outputs.
    async fn turn(
        &mut self,
        mut from_connections: mpsc::Receiver<FromConnection>,
        mut calls: mpsc::Receiver<AdminCall>,
        hangup: &mut Signal,
        stop: impl Future<Output = &'static str>,
    ) {
        tokio::pin!(stop);
        let mut batch = Vec::with_capacity(limits::MAX_INPUTS_A_BATCH);
        let mut look = tokio::time::interval(KEYS_PERIOD);
        look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        self.let_out().await;
        loop {
            let wait = self.clock.until(self.clock.now(), self.node.poll_timeout());
            let timeout = async {
                match wait {
                    Some(wait) => tokio::time::sleep(wait).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                reason = &mut stop => {
                    tracing::info!("{reason}: the PDP ends");
                    return;
                }
                count = from_connections.recv_many(&mut batch, limits::MAX_INPUTS_A_BATCH) => {
                    if count == 0 {
                        return;
                    }
                    let now = self.clock.now();
                    for input in batch.drain(..) {
                        self.take(now, input);
                    }
                }
                Some(call) = calls.recv() => self.serve(call),
                Some(planned) = self.planning.join_next() => self.planned_ahead(planned),
                () = self.journal.recovered() => {
                    self.journal_works = true;
                    self.node.store_state(self.clock.now(), None);
                }
                _ = hangup.recv() => self.look_at_keys(true),
                _ = look.tick(), if self.security.is_some() => self.look_at_keys(false),
                () = timeout => {}
            }
            let now = self.clock.now();
            let due = self.node.poll_timeout();
            if due.real_millis.is_some_and(|at| at <= now.real_millis)
                || due.engine_millis.is_some_and(|at| at <= now.engine_millis)
            {
                self.node.handle_timeout(now);
            }
            self.let_out().await;
        }
    }

    /// A plan for an interruption that has not come is there.
    fn planned_ahead(&mut self, planned: std::result::Result<PlannedAhead, JoinError>) {
        match planned {
            Ok(planned) => self.node.planned_ahead(self.clock.now(), planned),
            // The engine does without.
            Err(error) => tracing::error!("no plan is held ready: making it failed: {error}"),
        }
    }

    fn look_at_keys(&mut self, in_any_case: bool) {
        if let Some(security) = &mut self.security {
            security.look(&mut self.node, self.clock.now(), in_any_case);
        }
    }

    fn take(&mut self, now: Now, input: FromConnection) {
        match input {
            FromConnection::Connected {
                id,
                address,
                names,
                local,
                outgoing,
                opening,
            } => {
                let opening = Some(opening);
                self.peers.insert(id, Peer { outgoing, opening });
                match (names, local) {
                    (Some(names), local) => self.node.connected_over_tls(now, id, address, local, names),
                    (None, Some(local)) => self.node.connected_at(now, id, address, local),
                    (None, None) => self.node.connected(now, id, address),
                }
            }
            FromConnection::Frame { id, frame, share } => {
                self.node.handle_frame(now, id, frame);
                // Only now may its connection send another one.
                drop(share);
                if let Some(peer) = self.peers.get_mut(&id)
                    && peer.opening.is_some()
                    && self.node.is_open(id)
                {
                    peer.opening = None;
                }
            }
            FromConnection::Disconnected { id } => {
                self.node.disconnected(now, id);
                self.peers.remove(&id);
            }
        }
    }

    /// Makes records durable, then lets out what depends on them.
    async fn let_out(&mut self) {
        loop {
            let mut records = self.commands.take_audit();
            records.extend(std::iter::from_fn(|| self.node.poll_record()));
            if !records.is_empty() {
                let kept = self.journal.append(self.clock.now().engine_millis, records).await;
                self.judge_journal(kept);
            }
            if let Some(security) = &mut self.security {
                security.keep_numbers(&self.node);
            }
            while let Some(id) = self.node.poll_ready() {
                self.send(id);
            }
            while let Some((id, reason)) = self.node.poll_closed() {
                tracing::debug!(connection = id.0, %reason, "a connection is over");
                self.send(id);
                // Its writer sends what is queued, then closes.
                self.peers.remove(&id);
                self.node.forget_connection(id);
            }
            // What the journal's state, or a PEP that does not read, led to has records of its own, which go first.
            if !self.node.owes_records() {
                break;
            }
        }
        while let Some(plan) = self.node.poll_plan_ahead() {
            self.planning.spawn_blocking(move || plan.run());
        }
        while let Some(refused) = self.node.poll_refused() {
            tracing::error!("a PEP is refused: {refused}");
        }
        while let Some(notice) = self.node.poll_notice() {
            match notice {
                Notice::Event(event) => {
                    tracing::info!(
                        interruption = event.interruption.as_deref(),
                        kind = ?event.kind,
                        seq = event.seq,
                        "{}",
                        event.text
                    );
                    self.events.push(event);
                }
                Notice::Answer {
                    id,
                    outcome,
                    repeated,
                } => self
                    .commands
                    .answered(&id, &outcome, repeated, clock::unix_millis()),
            }
        }
        // What was answered is kept before it is known.
        let audit = self.commands.take_audit();
        if !audit.is_empty() {
            let kept = self.journal.append(self.clock.now().engine_millis, audit).await;
            self.judge_journal(kept);
        }
        self.commands.reply();
    }

    /// Protection goes on when the journal fails, loudly.
    fn judge_journal(&mut self, kept: std::result::Result<(), super::journal::StoreError>) {
        let now = self.clock.now();
        match kept {
            Ok(()) if !self.journal_works => {
                self.journal_works = true;
                self.node.store_state(now, None);
            }
            Ok(()) => {}
            Err(error) => {
                if self.journal_works {
                    tracing::error!(%error, "the journal fails; decisions go on without it");
                }
                self.journal_works = false;
                self.node.store_state(now, Some(error.to_string()));
            }
        }
    }

    /// Hands a connection's frames to its writer.
    fn send(&mut self, id: ConnectionId) {
        while let Some(frame) = self.node.poll_transmit(id) {
            let taken = self
                .peers
                .get(&id)
                .map(|peer| peer.outgoing.push(frame.into_octets()));
            match taken {
                Some(Ok(())) => {}
                Some(Err(NotTaken::Full)) => {
                    tracing::warn!(
                        connection = id.0,
                        "a PEP does not read what it is sent; its connection is ended"
                    );
                    self.refused.fetch_add(1, Ordering::Relaxed);
                    self.peers.remove(&id);
                    self.node.disconnected(self.clock.now(), id);
                }
                // Its socket is gone; the reader says so too.
                Some(Err(NotTaken::Closed)) | None => {}
            }
        }
    }

    fn serve(&mut self, call: AdminCall) {
        // An asker that is gone does not want its answer.
        match call {
            AdminCall::Status(reply) => drop(reply.send(Box::new(self.status()))),
            AdminCall::Plan(reply) => drop(reply.send(self.node.engine().plan().map(Box::new))),
            AdminCall::Snapshot(reply) => drop(reply.send(Box::new(self.node.engine().planning_input()))),
            AdminCall::Explain(reply) => drop(reply.send(Box::new(self.node.explain()))),
            AdminCall::Interrupt(request, me, reply) => match scope(&request.scope) {
                Ok(scope) => {
                    let words = format!("interrupt {}", request.scope);
                    self.command(request.id, Command::Interrupt(scope), words, me, reply);
                }
                Err(problem) => drop(reply.send(Err(problem))),
            },
            AdminCall::Drill(request, me, reply) => match scope(&request.scope) {
                Ok(scope) => {
                    let words = format!("drill {}", request.scope);
                    self.command(request.id, Command::Drill(scope), words, me, reply);
                }
                Err(problem) => drop(reply.send(Err(problem))),
            },
            AdminCall::Availability(request, me, reply) => self.change_availability(request, me, reply),
            AdminCall::Restore(request, me, reply) => {
                self.command(request.id, Command::Restore, "restore".to_owned(), me, reply);
            }
        }
    }

    fn change_availability(&mut self, request: AvailabilityRequest, me: Me, reply: Reply) {
        let asked = Asked {
            id: request.id.clone(),
            by: me.name,
            words: request.to_string(),
        };
        let answer = match self.commands.known(&request.id) {
            Some(answer) => Ok(answer),
            None => self.set_availability(request),
        };
        self.commands.done(asked, answer, reply, clock::unix_millis());
    }

    fn set_availability(
        &mut self,
        request: AvailabilityRequest,
    ) -> std::result::Result<CommandAnswer, Problem> {
        let client_type = request.client_type.map(ClientType);
        let availability = match request.availability {
            api::Availability::Serve => Availability::Serving,
            api::Availability::Drain => Availability::Draining,
            api::Availability::Redirect(to) if to.port() == 0 || to.ip().is_unspecified() => {
                let error =
                    format!("to: {to} is nowhere to connect to, expected the address and port of a PDP");
                return Err(Problem { error });
            }
            api::Availability::Redirect(to) => Availability::Redirecting(to.into()),
        };
        let told = self
            .node
            .set_availability(self.clock.now(), client_type, availability);
        let (done, text) = match (told, availability) {
            (Err(why), _) => (false, why),
            (Ok(_), Availability::Serving) => (true, "PEPs are served here".to_owned()),
            (Ok(told), Availability::Draining) => (true, format!("PEPs are sent away, {told} of them now")),
            (Ok(told), Availability::Redirecting(to)) => {
                (true, format!("PEPs are sent to {to}, {told} of them now"))
            }
        };
        if done {
            tracing::warn!("by command: {text}");
        }
        Ok(CommandAnswer {
            id: request.id,
            done,
            text,
            repeated: false,
        })
    }

    fn command(&mut self, id: String, command: Command, words: String, me: Me, reply: Reply) {
        let by = me.name;
        let asked = Asked {
            id: id.clone(),
            by,
            words,
        };
        self.commands.asked(asked, reply, clock::unix_millis());
        self.node.command(self.clock.now(), id, command);
    }

    fn status(&self) -> Status {
        let mut status = self.node.engine().status();
        status.name.clone_from(&self.name);
        status.listen.clone_from(&self.listen);
        status.web.clone_from(&self.web);
        status.warnings.clone_from(&self.warnings);
        status
            .warnings
            .extend(self.security.iter().flat_map(Security::problems).cloned());
        status.warnings.extend(tls::problem(&self.tls_problem));
        status.warnings.extend(self.notifying.problems());
        for peer in status.peers.iter_mut().filter(|peer| peer.connected) {
            let names = self.node.certificate(&peer.name);
            peer.security = match (names, self.node.integrity(&peer.name)) {
                (Some(names), _) => format!("TLS, certificate of {names}"),
                (None, Some(status)) => format!(
                    "integrity, key {} received, {} sent",
                    status.receiving_key.0, status.sending_key.0
                ),
                (None, None) => "plain".to_owned(),
            };
        }
        status.client_types = self.node.client_types().into_iter().map(client_type).collect();
        for client_type in &status.client_types {
            let away = match client_type.availability {
                api::Availability::Serve => continue,
                api::Availability::Redirect(to) => format!("its PEPs are sent to {to}"),
                api::Availability::Drain => "its PEPs are sent away".to_owned(),
            };
            let number = client_type.client_type;
            status
                .warnings
                .push(format!("client-type {number} is not served: {away}"));
        }
        status.clock_scale = self.clock.scale();
        status.counts.connections_refused = self.refused.load(Ordering::Relaxed);
        status.counts.journal_works = self.journal_works;
        status.last_event = self.events.last_seq();
        status
    }

    /// Says good-bye to every PEP, and closes the journal.
    async fn end(mut self) -> Result<()> {
        self.node.shut_down(self.clock.now());
        self.let_out().await;
        self.events.close();
        self.notifying.end(FAREWELL_TIMEOUT).await;
        let writers: Vec<_> = self.peers.drain().map(|(_, peer)| peer.outgoing).collect();
        let leaving = async {
            for writer in writers {
                writer.closed().await;
            }
        };
        let _ = tokio::time::timeout(FAREWELL_TIMEOUT, leaving).await;
        self.journal.close().await.context("closing the journal")
    }
}

fn client_type((client_type, peps, availability): (ClientType, usize, Availability)) -> ClientTypeStatus {
    ClientTypeStatus {
        client_type: client_type.0,
        peps,
        availability: match availability {
            Availability::Serving => api::Availability::Serve,
            Availability::Redirecting(to) => api::Availability::Redirect(to.to_socket_addr()),
            Availability::Draining => api::Availability::Drain,
        },
    }
}

fn scope(scope: &CommandScope) -> std::result::Result<Scope, Problem> {
    let name = |text: &str| {
        Name::new(text).map_err(|error| Problem {
            error: format!("scope: {error}"),
        })
    };
    Ok(match scope {
        CommandScope::Cluster => Scope::Cluster,
        CommandScope::Domain(domain) => Scope::Domains(vec![name(domain)?]),
        CommandScope::Server(server) => Scope::Servers(vec![name(server)?]),
    })
}
