//! One PEP of a load: a task with a socket, a session and a pace.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use cops_codec::client_type::numbers::POWER_CLIENT_TYPE;
use cops_codec::message::{Message, ReportState, Request};
use cops_codec::session::pep::{
    ClientOpening, Outcome, PepCommand, PepConfig, PepEvent, RequestBody, UnsolicitedReport,
};
use cops_codec::session::{Moment, PepSession};
use cops_codec::wire::{ClientHandle, ClientType, Context, OpCode, PepId, ReportType};
use cops_codec::{Framer, Limits};
use fastrand::Rng;
use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::time::{Instant, sleep, sleep_until};

use super::machine::now_nanos;
use super::stream::Stream;
use super::{module, rows};

/// How long a slow reader waits before it reads again.
const SLOW_READ: Duration = Duration::from_millis(250);
/// Largest latency that is told apart from larger ones, in nanoseconds.
const LONGEST_NANOS: u64 = 120_000_000_000;
/// Octets read at once.
const READ_OCTETS: usize = 64 * 1024;

/// What the other end is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Against {
    /// A PDP with the client-type of [`module`].
    Load,
    /// A PDP with the power client-type: each PEP reports one server.
    Power,
    /// No PDP: [`super::floor`], which answers a REQ's octets with a DEC's.
    Floor,
}

impl Against {
    fn client_type(self) -> ClientType {
        match self {
            Self::Power => POWER_CLIENT_TYPE,
            Self::Load | Self::Floor => module::CLIENT_TYPE,
        }
    }
}

/// How a PEP behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Lively,
    /// Reads a quarter of a second late, always.
    Slow,
    /// Opens, and then neither reads nor writes.
    Dead,
}

/// What all PEPs of a process are told.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Control {
    /// Milliseconds between two requests of a PEP; `None`: it makes none.
    pub pace_millis: Option<u64>,
    /// It makes the next one when one is answered.
    pub flat_out: bool,
    /// Milliseconds between two accounting reports of a PEP; `None`: it makes none.
    pub accounting_millis: Option<u64>,
    /// Nothing is read.
    pub hold: bool,
    /// Connections end.
    pub end: bool,
}

/// What the PEPs of a process have in common.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) pdp: SocketAddr,
    pub(super) against: Against,
    pub(super) process: u8,
    pub(super) buffer: RefCell<Vec<u8>>,
    pub(super) sockets: RefCell<Vec<Rc<TcpStream>>>,
    pub(super) seen: Seen,
}

/// What was seen since it was last asked for; `open` is as it is now.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) open: Cell<u64>,
    pub(super) ended: Cell<u64>,
    /// Decisions that nobody asked for.
    pub(super) decisions: Cell<u64>,
    pub(super) last_decision_nanos: Cell<u64>,
    pub(super) opening: RefCell<Histogram<u64>>,
    pub(super) asking: RefCell<Histogram<u64>>,
    pub(super) faults: RefCell<BTreeMap<String, u64>>,
}

impl Seen {
    fn fault(&self, what: impl Into<String>) {
        *self.faults.borrow_mut().entry(what.into()).or_default() += 1;
    }
}

/// A histogram of nanoseconds, to three digits.
///
/// # Errors
/// Never: the bounds are right.
pub(super) fn histogram() -> anyhow::Result<Histogram<u64>> {
    Ok(Histogram::new_with_bounds(1, LONGEST_NANOS, 3)?)
}

impl Shared {
    pub(super) fn new(pdp: SocketAddr, against: Against, process: u8) -> anyhow::Result<Self> {
        Ok(Self {
            pdp,
            against,
            process,
            buffer: RefCell::new(vec![0; READ_OCTETS]),
            sockets: RefCell::default(),
            seen: Seen {
                open: Cell::new(0),
                ended: Cell::new(0),
                decisions: Cell::new(0),
                last_decision_nanos: Cell::new(0),
                opening: RefCell::new(histogram()?),
                asking: RefCell::new(histogram()?),
                faults: RefCell::default(),
            },
        })
    }
}

fn add(count: &Cell<u64>, n: i64) {
    count.set(count.get().saturating_add_signed(n));
}

/// Runs the PEP with this number until its connection ends. `place` is given back once it is open, or is not going to be.
pub(super) async fn run(
    shared: Rc<Shared>,
    number: usize,
    kind: Kind,
    control: watch::Receiver<Control>,
    place: OwnedSemaphorePermit,
) {
    let began = now_nanos();
    let stream = match Stream::connect(shared.pdp, shared.process).await {
        Ok(stream) => stream,
        Err(error) => {
            shared.seen.fault(format!("connect: {}", error.kind()));
            return;
        }
    };
    shared.sockets.borrow_mut().push(stream.socket());
    let mut peer = Peer {
        stream,
        framer: Framer::new(Limits::DEFAULT),
        number,
        kind,
        nth: 0,
        began,
        is_open: false,
        opening: Some(place),
        asked: None,
        shared,
    };
    let ended = if peer.shared.against == Against::Floor {
        peer.bare(control).await
    } else {
        peer.cops(control).await
    };
    if let Err(fault) = ended {
        peer.shared.seen.fault(fault);
    }
    if peer.is_open {
        add(&peer.shared.seen.open, -1);
    }
    add(&peer.shared.seen.ended, 1);
}

struct Peer {
    stream: Stream,
    framer: Framer,
    shared: Rc<Shared>,
    number: usize,
    kind: Kind,
    /// Requests made.
    nth: u32,
    /// When it began to connect.
    began: u64,
    is_open: bool,
    /// Among those that connect.
    opening: Option<OwnedSemaphorePermit>,
    /// When the request was made that waits for its decision.
    asked: Option<u64>,
}

/// When things of a PEP's own are due.
struct Pace {
    rng: Rng,
    request: Option<Instant>,
    accounting: Option<Instant>,
}

impl Pace {
    /// From now on; each PEP begins at a moment of its own.
    fn follow(&mut self, control: Control) {
        let mut first = |millis: Option<u64>| {
            let millis = millis?;
            Some(Instant::now() + Duration::from_millis(self.rng.u64(0..millis.max(1))))
        };
        self.request = first(control.pace_millis);
        self.accounting = first(control.accounting_millis);
    }
}

async fn until(due: Option<Instant>) {
    match due {
        Some(due) => sleep_until(due).await,
        None => std::future::pending().await,
    }
}

fn after(due: &mut Option<Instant>, millis: Option<u64>) {
    *due = millis.map(|millis| Instant::now() + Duration::from_millis(millis));
}

impl Peer {
    fn answered(&mut self, control: Control) {
        let Some(asked) = self.asked.take() else { return };
        let nanos = now_nanos() - asked;
        let mut asking = self.shared.seen.asking.borrow_mut();
        // A PEP that waits makes no requests meanwhile: those that it would have made count as well.
        let expected = control.pace_millis.map_or(0, |millis| millis * 1_000_000);
        asking.saturating_record(nanos);
        let mut missed = nanos.saturating_sub(expected);
        while expected > 0 && missed >= expected {
            asking.saturating_record(missed);
            missed -= expected;
        }
    }

    fn opened(&mut self) {
        if !self.is_open {
            self.is_open = true;
            self.opening = None;
            add(&self.shared.seen.open, 1);
            let nanos = now_nanos() - self.began;
            self.shared.seen.opening.borrow_mut().saturating_record(nanos);
        }
    }

    fn told(&self) {
        let seen = &self.shared.seen;
        add(&seen.decisions, 1);
        seen.last_decision_nanos.set(now_nanos());
    }

    /// Reads what is there; an error in words when there is nothing more to come.
    async fn read(&mut self) -> Result<(), String> {
        if self.kind == Kind::Slow {
            sleep(SLOW_READ).await;
        }
        let framer = &mut self.framer;
        let read = self
            .stream
            .read(&self.shared.buffer, |octets| framer.push(octets));
        match read.await {
            Ok(0) => Err("the other end closed".to_owned()),
            Ok(_) => Ok(()),
            Err(error) => Err(format!("read: {}", error.kind())),
        }
    }

    async fn write(&mut self, octets: &[u8]) -> Result<(), String> {
        let written = self.stream.write(octets).await;
        written.map_err(|error| format!("write: {}", error.kind()))
    }

    /// A PEP of a PDP.
    async fn cops(&mut self, mut control: watch::Receiver<Control>) -> Result<(), String> {
        let client_type = self.shared.against.client_type();
        let began = Instant::now();
        let moment = || Moment(u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX));
        let pep_id = PepId::new(rows::server_name(self.number)).map_err(|error| error.to_string())?;
        let mut rng = Rng::with_seed(self.number as u64);
        let mut session = PepSession::new(PepConfig::new(pep_id), moment(), rng.u64(..));
        let open = PepCommand::Open(ClientOpening::new(client_type));
        session
            .handle_command(moment(), open)
            .map_err(|e| e.to_string())?;
        let mut pace = Pace {
            rng,
            request: None,
            accounting: None,
        };
        let mut handle: Option<ClientHandle> = None;
        let mut wanted = *control.borrow_and_update();
        loop {
            // Drained: events may send, and what is sent may be all.
            loop {
                while let Some(frame) = session.poll_transmit() {
                    self.write(&frame).await?;
                }
                let Some(event) = session.poll_event() else { break };
                let was_open = self.is_open;
                self.take(&mut session, moment(), event, &mut handle, wanted)?;
                if self.is_open && !was_open {
                    pace.follow(wanted);
                }
            }
            if session.is_closed() {
                return Err("the session is over".to_owned());
            }
            if wanted.end {
                return Ok(());
            }
            if self.kind == Kind::Dead && self.is_open {
                let _ = control.wait_for(|wanted| wanted.end).await;
                return Ok(());
            }
            if wanted.flat_out && self.is_open && self.asked.is_none() {
                self.ask(&mut session, moment(), handle.clone())?;
                continue;
            }
            let due = session
                .poll_timeout()
                .map(|at| began + Duration::from_millis(at.0));
            tokio::select! {
                changed = control.changed() => {
                    if changed.is_err() {
                        return Ok(());
                    }
                    wanted = *control.borrow_and_update();
                    if self.is_open {
                        pace.follow(wanted);
                    }
                }
                read = self.read(), if !wanted.hold => {
                    read?;
                    loop {
                        match self.framer.next_frame() {
                            Ok(Some(frame)) => drop(session.handle_frame(moment(), Ok(frame))),
                            Ok(None) => break,
                            Err(error) => {
                                let _ = session.handle_frame(moment(), Err(error));
                                break;
                            }
                        }
                    }
                }
                () = until(due) => session.handle_timeout(moment()),
                () = until(pace.request) => {
                    after(&mut pace.request, wanted.pace_millis);
                    if self.asked.is_none() {
                        self.ask(&mut session, moment(), handle.clone())?;
                    }
                }
                () = until(pace.accounting) => {
                    after(&mut pace.accounting, wanted.accounting_millis);
                    if let Some(handle) = handle.clone() {
                        let with_reserve = self.shared.against != Against::Power;
                        let report = PepCommand::ReportUnsolicited {
                            client_type,
                            handle,
                            report: UnsolicitedReport::PeriodicAccounting,
                            client_si: rows::readings(self.number, with_reserve),
                        };
                        // One that comes too soon is left out.
                        let _ = session.handle_command(moment(), report);
                    }
                }
            }
        }
    }

    fn ask(
        &mut self,
        session: &mut PepSession,
        now: Moment,
        handle: Option<ClientHandle>,
    ) -> Result<(), String> {
        let request = match (self.shared.against, self.nth) {
            (Against::Power, 0) => RequestBody::configuration(rows::full_state(self.number)),
            (Against::Power, nth) => RequestBody::incremental(rows::change(self.number, nth)),
            (_, nth) => RequestBody::configuration(rows::request(self.number, nth)),
        };
        let command = PepCommand::Request {
            client_type: self.shared.against.client_type(),
            handle,
            request,
        };
        self.asked = Some(now_nanos());
        self.nth = self.nth.wrapping_add(1);
        session
            .handle_command(now, command)
            .map(drop)
            .map_err(|error| format!("REQ: {error}"))
    }

    fn take(
        &mut self,
        session: &mut PepSession,
        now: Moment,
        event: PepEvent,
        held: &mut Option<ClientHandle>,
        wanted: Control,
    ) -> Result<(), String> {
        match event {
            PepEvent::ClientAccepted { .. } => self.ask(session, now, None),
            PepEvent::Decision {
                client_type,
                handle,
                solicited,
                report,
                ..
            } => {
                if solicited {
                    self.answered(wanted);
                    self.opened();
                    *held = Some(handle.clone());
                } else {
                    self.told();
                }
                let Some(decision) = report else { return Ok(()) };
                let report = PepCommand::Report {
                    client_type,
                    handle,
                    decision,
                    outcome: Outcome::Success,
                    client_si: Vec::new(),
                };
                let reported = session.handle_command(now, report);
                reported.map(drop).map_err(|error| format!("RPT: {error}"))
            }
            PepEvent::RequestRefused { error, .. } => Err(format!("REQ refused: {error:?}")),
            PepEvent::RequestTimedOut { .. } => Err("REQ without an answer".to_owned()),
            PepEvent::ClientClosed(end) => Err(format!("closed: {}", end.cause)),
            PepEvent::Closed { cause } => Err(format!("over: {cause}")),
            PepEvent::SynchronizeRequested { .. }
            | PepEvent::Synchronized { .. }
            | PepEvent::RequestReady { .. }
            | PepEvent::StateDeleted { .. }
            | PepEvent::AccountingDue { .. } => Ok(()),
        }
    }

    /// The same octets without a session: REQ out, DEC in, RPT out.
    async fn bare(&mut self, mut control: watch::Receiver<Control>) -> Result<(), String> {
        let (request, report, accounting) = bare_frames(self.number)?;
        let mut pace = Pace {
            rng: Rng::with_seed(self.number as u64),
            request: None,
            accounting: None,
        };
        let mut wanted = *control.borrow_and_update();
        self.asked = Some(now_nanos());
        self.write(&request).await?;
        loop {
            if wanted.end {
                return Ok(());
            }
            if wanted.flat_out && self.is_open && self.asked.is_none() {
                self.asked = Some(now_nanos());
                self.write(&request).await?;
            }
            tokio::select! {
                changed = control.changed() => {
                    if changed.is_err() {
                        return Ok(());
                    }
                    wanted = *control.borrow_and_update();
                    if self.is_open {
                        pace.follow(wanted);
                    }
                }
                read = self.read(), if !wanted.hold => {
                    read?;
                    while let Ok(Some(frame)) = self.framer.next_frame() {
                        if frame.header().op_code != OpCode::DECISION {
                            continue;
                        }
                        if frame.header().solicited {
                            self.answered(wanted);
                            if !self.is_open {
                                self.opened();
                                pace.follow(wanted);
                            }
                        } else {
                            self.told();
                        }
                        self.write(&report).await?;
                    }
                }
                () = until(pace.request) => {
                    after(&mut pace.request, wanted.pace_millis);
                    if self.asked.is_none() {
                        self.asked = Some(now_nanos());
                        self.write(&request).await?;
                    }
                }
                () = until(pace.accounting) => {
                    after(&mut pace.accounting, wanted.accounting_millis);
                    self.write(&accounting).await?;
                }
            }
        }
    }
}

/// What a PEP of the floor writes: REQ, RPT on a decision, accounting RPT.
fn bare_frames(number: usize) -> Result<(Bytes, Bytes, Bytes), String> {
    let encode = |message: Message| {
        let frame = message
            .encode(&Limits::DEFAULT)
            .map_err(|error| error.to_string())?;
        Ok::<Bytes, String>(frame.into_octets())
    };
    let handle = ClientHandle::from(1);
    let request = Request {
        client_type: module::CLIENT_TYPE,
        handle: handle.clone(),
        context: Context::CONFIGURATION,
        in_interface: None,
        out_interface: None,
        client_si: rows::request(number, 0),
        lpdp_decisions: Vec::new(),
        integrity: None,
    };
    let report = |solicited, report_type, client_si| ReportState {
        client_type: module::CLIENT_TYPE,
        solicited,
        handle: handle.clone(),
        report_type,
        client_si,
        integrity: None,
    };
    Ok((
        encode(request.into())?,
        encode(report(true, ReportType::SUCCESS, Vec::new()).into())?,
        encode(report(false, ReportType::ACCOUNTING, rows::readings(number, true)).into())?,
    ))
}
