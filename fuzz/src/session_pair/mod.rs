//! A PEP's and a PDP's session joined by a connection: two honest ends never accuse each other, and agree in the end.
//!
//! Input: one octet for how each end is bounded (even: the defaults) and whether messages have Integrity (2 set: they do,
//! and keys change with time), then operations until the input ends (`Pair::step`):
//! commands of both programs, frames that arrive (in any interleaving of the two directions, cut into any pieces), time,
//! and connections that are lost and made again.
//!
//! - No fault of the peer is ever told, at either end, and nothing is dropped but what crossed on the way.
//! - Once everything has arrived and every question has its answer, both ends have the same request-states, no REQ is
//!   open, no decision waits for its report, and no synchronisation is under way.

mod told;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use cops_codec::{
    Framer, Limits,
    integrity::{Algorithm, Key, KeyRing, KeyTable, Lifetime, Secret, UnixTime},
    message::{Decision, DecisionBody},
    session::{
        Calendar, CommandError, DecisionId, Moment, PdpCommand, PdpConfig, PdpIntegrity, PdpSession,
        PepCommand, PepConfig, PepIntegrity, PepSession, RequestId, SessionLimits,
        pdp::{Acceptance, Done, PepRegistry, Synchronize},
        pep::{ClientEnd, ClientOpening, Outcome, RequestBody, UnsolicitedReport},
    },
    wire::{
        AccountingTimer, ClientHandle, ClientType, Context, CopsError, ErrorCode, KaTimer, KeyId, PepId,
        Reason, ReasonCode, SequenceNumber,
    },
};

use crate::{
    Input,
    session::{self, PDP},
};

/// Client-types of the two.
const CLIENT_TYPES: [ClientType; 2] = [ClientType(0x5057), ClientType(0x4001)];

/// See the module.
pub fn run(octets: &[u8]) {
    let mut input = Input::new(octets);
    let kind = input.u8();
    let limits = match kind % 2 {
        0 => SessionLimits::DEFAULT,
        _ => SessionLimits {
            max_client_types: 2,
            max_handles: 3,
            max_open_requests: 2,
            max_unreported_decisions: 3,
            ..SessionLimits::DEFAULT
        },
    };
    let mut pair = Pair::new(limits, kind & 2 != 0);
    while !input.is_at_end() {
        pair.step(&mut input);
    }
    pair.settle();
}

/// A program that is asked for something, and has not answered yet.
struct Pair {
    limits: SessionLimits,
    has_integrity: bool,
    now: Moment,
    pep: PepSession,
    pdp: PdpSession,
    to_pdp: Pipe,
    to_pep: Pipe,
    /// Openings that the PDP has not answered.
    openings: VecDeque<ClientType>,
    requests: VecDeque<(ClientType, ClientHandle, RequestId)>,
    decisions: VecDeque<(ClientType, ClientHandle, DecisionId)>,
    /// States that the PEP was asked to send again.
    to_send: VecDeque<(ClientType, ClientHandle)>,
    ends: BTreeMap<ClientType, ClientEnd>,
    /// Client-types that ended on this connection, at either end. RFC 2748 has no mark by which an end could tell what is
    /// still under way for the former opening from what is for a new one. So the PEP does not open one again that it knows
    /// to have ended; and what crossed with a CC may be taken for a message without an opening.
    over: BTreeSet<ClientType>,
    /// SSQs whose SSC has not come.
    synchronizing: BTreeSet<(ClientType, Option<ClientHandle>)>,
    /// A REQ said that its state goes on, and the program may never have gone on.
    is_unfinished: bool,
    registry: PepRegistry<u32>,
    connection: u32,
}

/// Octets under way, and where they are divided into frames again.
struct Pipe {
    octets: VecDeque<u8>,
    framer: Framer,
}

impl Pipe {
    fn new() -> Self {
        Self {
            octets: VecDeque::new(),
            framer: Framer::new(Limits::DEFAULT),
        }
    }
}

fn pep_id() -> PepId {
    PepId::new("node01").expect("printable ASCII")
}

/// One key takes the place of another after 160 s and 1,060 s. None ends: a message may be under way for long.
fn ring() -> KeyRing {
    KeyRing::new((1_u32..).zip([0, 100, 1_000]).map(|(id, begin)| Key {
        id: KeyId(id),
        algorithm: Algorithm::HmacMd5_96,
        secret: Secret::new(vec![id as u8; 16]).expect("16 octets"),
        lifetime: Lifetime::new(UnixTime::from_seconds(begin), None).expect("no end"),
    }))
    .expect("three keys")
}

fn pep_session(limits: SessionLimits, has_integrity: bool, now: Moment) -> PepSession {
    let integrity = has_integrity.then(|| PepIntegrity {
        keys: Arc::new(ring()),
        initial_number: SequenceNumber(u32::MAX - 7),
        calendar: Calendar::default(),
    });
    let config = PepConfig {
        pdp_address: Some(PDP),
        integrity,
        limits,
        ..PepConfig::new(pep_id())
    };
    PepSession::new(config, now, now.0)
}

fn pdp_session(limits: SessionLimits, has_integrity: bool, now: Moment) -> PdpSession {
    let integrity = has_integrity.then(|| PdpIntegrity {
        required: true,
        keys: Arc::new(KeyTable::new([(pep_id(), ring())])),
        initial_number: SequenceNumber(0x7fff_ffff),
        calendar: Calendar::default(),
        ka_timer: KaTimer(60),
    });
    let config = PdpConfig {
        integrity,
        limits,
        ..PdpConfig::new(CLIENT_TYPES.to_vec(), vec![PDP])
    };
    PdpSession::new(config, now)
}

impl Pair {
    fn new(limits: SessionLimits, has_integrity: bool) -> Self {
        Self {
            limits,
            has_integrity,
            now: Moment(0),
            pep: pep_session(limits, has_integrity, Moment(0)),
            pdp: pdp_session(limits, has_integrity, Moment(0)),
            to_pdp: Pipe::new(),
            to_pep: Pipe::new(),
            openings: VecDeque::new(),
            requests: VecDeque::new(),
            decisions: VecDeque::new(),
            to_send: VecDeque::new(),
            ends: BTreeMap::new(),
            over: BTreeSet::new(),
            synchronizing: BTreeSet::new(),
            is_unfinished: false,
            registry: PepRegistry::new(core::time::Duration::from_secs(600), 4),
            connection: 0,
        }
    }

    fn step(&mut self, input: &mut Input<'_>) {
        let client_type = CLIENT_TYPES[input.below(2)];
        match input.u8() % 20 {
            0 | 1 => self.open(client_type, input.bool()),
            2 => {
                let full_state = input.u8() >= 0x20;
                let more_follows = input.u8() >= 0xe0;
                let handle = self.pep_handle(client_type, input);
                self.request(client_type, handle, full_state, more_follows);
            }
            3 => self.request(client_type, None, true, false),
            4 => {
                if let Some(handle) = self.pep_handle(client_type, input) {
                    let reason = Reason::new(ReasonCode::MANAGEMENT);
                    self.tell_pep(PepCommand::Delete {
                        client_type,
                        handle,
                        reason,
                    });
                }
            }
            5 => {
                if let Some(handle) = self.pep_handle(client_type, input) {
                    let report = match input.below(3) {
                        0 => UnsolicitedReport::Failure,
                        1 => UnsolicitedReport::PeriodicAccounting,
                        _ => UnsolicitedReport::FinalAccounting,
                    };
                    self.tell_pep(PepCommand::ReportUnsolicited {
                        client_type,
                        handle,
                        report,
                        client_si: vec![],
                    });
                }
            }
            6 => {
                if let Some(handle) = self.pep_handle(client_type, input) {
                    let interval = input.option(session::duration);
                    self.tell_pep(PepCommand::SetAccounting {
                        client_type,
                        handle,
                        interval,
                    });
                }
            }
            7 => self.report_one(input.bool()),
            8 => self.accept_one(input),
            9 => self.decide_one(input),
            10 => {
                let handle = self.pdp_handle(client_type, input);
                if let Some(handle) = handle {
                    let decisions = decisions(input);
                    self.tell_pdp(PdpCommand::Push {
                        client_type,
                        handle,
                        decisions,
                    });
                }
            }
            11 => {
                let handle = match input.bool() {
                    true => None,
                    false => Some(
                        self.pdp_handle(client_type, input)
                            .unwrap_or(ClientHandle::from(77)),
                    ),
                };
                let command = PdpCommand::Synchronize {
                    client_type,
                    handle: handle.clone(),
                };
                if self.pdp.handle_command(self.now, command).is_ok() {
                    self.synchronizing.insert((client_type, handle));
                }
            }
            12..=14 => {
                let octets = 1 + 4 * usize::from(input.u8());
                self.arrive(input.bool(), octets);
            }
            15 => self.pass(
                session::later(self.now, input).min(self.now.after(core::time::Duration::from_secs(100))),
            ),
            16 => {
                if let Some(due) = self
                    .pep
                    .poll_timeout()
                    .into_iter()
                    .chain(self.pdp.poll_timeout())
                    .min()
                {
                    self.pass(self.now.max(due));
                }
            }
            17 => {
                let error = CopsError::new(ErrorCode::UNSPECIFIED);
                match input.u8() {
                    0..0x20 => self.tell_pep(PepCommand::Close { client_type, error }),
                    0x20..0x40 => self.tell_pdp(PdpCommand::Close {
                        client_type,
                        error,
                        redirect: None,
                    }),
                    0x40..0x48 => self.tell_pep(PepCommand::Shutdown { error }),
                    0x48..0x50 => self.tell_pdp(PdpCommand::Shutdown { redirect: Some(PDP) }),
                    _ => {}
                }
            }
            18 => {
                if input.u8() < 0x40 {
                    self.reconnect();
                }
            }
            _ => self.send_again(),
        }
        self.drain();
    }

    fn open(&mut self, client_type: ClientType, resume: bool) {
        if self.over.contains(&client_type) {
            return;
        }
        let mut opening = ClientOpening::new(client_type);
        if resume
            && !self.pep.is_open(client_type)
            && let Some(end) = self.ends.get(&client_type)
        {
            opening.held = end.states.clone();
            opening.last_pdp_address = end.in_sync.then_some(PDP);
        }
        self.tell_pep(PepCommand::Open(opening));
    }

    fn pep_handle(&self, client_type: ClientType, input: &mut Input<'_>) -> Option<ClientHandle> {
        let handles: Vec<&ClientHandle> = self.pep.handles(client_type).collect();
        input.choice(&handles).map(|handle| (*handle).clone())
    }

    fn pdp_handle(&self, client_type: ClientType, input: &mut Input<'_>) -> Option<ClientHandle> {
        let handles: Vec<&ClientHandle> = self.pdp.handles(client_type).collect();
        input.choice(&handles).map(|handle| (*handle).clone())
    }

    fn request(
        &mut self,
        client_type: ClientType,
        handle: Option<ClientHandle>,
        full_state: bool,
        more_follows: bool,
    ) {
        self.is_unfinished |= more_follows;
        let request = RequestBody {
            full_state,
            more_follows,
            ..RequestBody::configuration(vec![])
        };
        self.tell_pep(PepCommand::Request {
            client_type,
            handle,
            request,
        });
    }

    fn tell_pep(&mut self, command: PepCommand) {
        match self.pep.handle_command(self.now, command) {
            Ok(_)
            | Err(
                CommandError::Closed
                | CommandError::ClientNotOpen(_)
                | CommandError::UnknownHandle(_)
                | CommandError::RequestOpen(_)
                | CommandError::NotAwaited(_)
                | CommandError::AccountingOff
                | CommandError::AccountingTooSoon { .. }
                | CommandError::OverLimit { .. },
            ) => {}
            Err(other) => panic!("{other}"),
        }
        self.drain();
    }

    fn tell_pdp(&mut self, command: PdpCommand) {
        match self.pdp.handle_command(self.now, command) {
            Ok(_)
            | Err(
                CommandError::Closed
                | CommandError::ClientNotOpen(_)
                | CommandError::NoPendingOpen(_)
                | CommandError::UnknownHandle(_)
                | CommandError::RequestOpen(_)
                | CommandError::NotAwaited(_)
                | CommandError::SynchronizationRunning
                | CommandError::OverLimit { .. },
            ) => {}
            Err(other) => panic!("{other}"),
        }
        self.drain();
    }

    fn report_one(&mut self, succeeds: bool) {
        // Not always the oldest: the session keeps the order.
        let oldest = self.decisions.len() % 3 != 2;
        let next = if oldest {
            self.decisions.pop_front()
        } else {
            self.decisions.pop_back()
        };
        if let Some((client_type, handle, decision)) = next {
            let outcome = if succeeds {
                Outcome::Success
            } else {
                Outcome::Failure
            };
            self.tell_pep(PepCommand::Report {
                client_type,
                handle,
                decision,
                outcome,
                client_si: vec![],
            });
        }
    }

    fn accept_one(&mut self, input: &mut Input<'_>) {
        let Some(client_type) = self.openings.pop_front() else {
            return;
        };
        let acceptance = Acceptance {
            accounting_timer: input.option(|input| AccountingTimer(input.u8().into())),
            synchronize: if input.bool() {
                Synchronize::Always
            } else {
                Synchronize::WhenNeeded
            },
            held: self.registry.take_held(&pep_id(), client_type, self.now),
            ..Acceptance::new(client_type, KaTimer(input.u8().into()))
        };
        let done = self.pdp.handle_command(self.now, PdpCommand::Accept(acceptance));
        if let Ok(Done::Accepted { synchronizing, .. }) = done {
            if synchronizing {
                self.synchronizing.insert((client_type, None));
            }
            self.registry.accepted(pep_id(), client_type, self.connection);
        }
        self.drain();
    }

    fn decide_one(&mut self, input: &mut Input<'_>) {
        let newest = input.u8() >= 0xc0;
        let next = if newest {
            self.requests.pop_back()
        } else {
            self.requests.pop_front()
        };
        if let Some((client_type, handle, request)) = next {
            let body = match input.u8() {
                0xf0.. => DecisionBody::Error(CopsError::new(ErrorCode::UNABLE_TO_PROCESS)),
                _ => DecisionBody::Decisions(decisions(input)),
            };
            self.tell_pdp(PdpCommand::Decide {
                client_type,
                handle,
                request,
                body,
            });
        }
    }

    fn send_again(&mut self) {
        for _ in 0..self.to_send.len() {
            let Some((client_type, handle)) = self.to_send.pop_front() else {
                break;
            };
            if self.pep.has_open_request(client_type, &handle) {
                self.to_send.push_back((client_type, handle));
            } else if self.pep.handles(client_type).any(|known| *known == handle) {
                self.request(client_type, Some(handle), true, false);
            }
        }
    }

    /// Some octets of one direction arrive.
    fn arrive(&mut self, at_pdp: bool, octets: usize) {
        let pipe = if at_pdp {
            &mut self.to_pdp
        } else {
            &mut self.to_pep
        };
        let octets = octets.min(pipe.octets.len());
        let piece: Vec<u8> = pipe.octets.drain(..octets).collect();
        pipe.framer.push(&piece);
        loop {
            let pipe = if at_pdp {
                &mut self.to_pdp
            } else {
                &mut self.to_pep
            };
            let Some(frame) = pipe
                .framer
                .next_frame()
                .expect("what a session sends can be divided")
            else {
                break;
            };
            if at_pdp {
                self.pdp
                    .handle_frame(self.now, Ok(frame))
                    .expect("events are drained");
            } else {
                self.pep
                    .handle_frame(self.now, Ok(frame))
                    .expect("events are drained");
            }
            self.drain();
        }
    }

    fn pass(&mut self, now: Moment) {
        self.now = now;
        self.pep.handle_timeout(now);
        self.pdp.handle_timeout(now);
        self.drain();
    }

    /// The connection is lost with all that is under way, and another one is made.
    fn reconnect(&mut self) {
        self.pep.handle_disconnect();
        self.pdp.handle_disconnect(self.now);
        self.drain();
        for held in self.pdp.take_held() {
            let _ = self.registry.hold(held);
        }
        self.connection += 1;
        self.pep = pep_session(self.limits, self.has_integrity, self.now);
        self.pdp = pdp_session(self.limits, self.has_integrity, self.now);
        (self.to_pdp, self.to_pep) = (Pipe::new(), Pipe::new());
        self.openings.clear();
        self.requests.clear();
        self.decisions.clear();
        self.to_send.clear();
        self.over.clear();
        self.synchronizing.clear();
        self.is_unfinished = false;
    }

    /// Everything arrives, every question gets its answer; then both ends must agree.
    fn settle(&mut self) {
        for _ in 0..10_000 {
            self.drain();
            if self.pep.is_closed() || self.pdp.is_closed() {
                return;
            } else if !self.to_pdp.octets.is_empty() {
                self.arrive(true, usize::MAX);
            } else if !self.to_pep.octets.is_empty() {
                self.arrive(false, usize::MAX);
            } else if !self.openings.is_empty() {
                self.accept_one(&mut Input::new(&[]));
            } else if !self.requests.is_empty() {
                self.decide_one(&mut Input::new(&[]));
            } else if !self.decisions.is_empty() {
                self.report_one(true);
            } else if !self.to_send.is_empty() {
                self.send_again();
            } else {
                return self.agree();
            }
        }
        panic!("the two never come to rest");
    }

    fn agree(&self) {
        assert!(
            self.is_unfinished || self.synchronizing.is_empty(),
            "{:?} without an SSC",
            self.synchronizing
        );
        for client_type in CLIENT_TYPES {
            assert_eq!(
                self.pep.is_open(client_type),
                self.pdp.is_open(client_type),
                "{client_type}"
            );
            let of_pep: Vec<&ClientHandle> = self.pep.handles(client_type).collect();
            for handle in &of_pep {
                assert!(
                    !self.pep.has_open_request(client_type, handle),
                    "a REQ without an answer"
                );
            }
            // What the PDP refused with an Error object, the PEP may ask for again or delete.
            for handle in self.pdp.handles(client_type) {
                assert!(
                    of_pep.contains(&handle),
                    "the PDP has {handle}, the PEP has {of_pep:?}"
                );
            }
        }
    }
}

fn decisions(input: &mut Input<'_>) -> Vec<Decision> {
    let data = |input: &mut Input<'_>| {
        let octets = input.below(16);
        bytes::Bytes::copy_from_slice(input.take(octets))
    };
    match input.below(3) {
        0 => vec![Decision::null(Context::CONFIGURATION)],
        1 => vec![Decision::install(Context::CONFIGURATION, data(input))],
        _ => vec![
            Decision::remove(Context::CONFIGURATION, data(input)),
            Decision::install(Context::CONFIGURATION, data(input)),
        ],
    }
}
