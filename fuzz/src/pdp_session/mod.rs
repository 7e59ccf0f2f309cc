//! The PDP's session as a sequence of operations: frames from a peer that may send anything, commands of a program that may
//! ask anything, and time.
//!
//! Input: one octet for the session's limits (0: the defaults), one for its client-types, one for message Integrity (0:
//! none), then operations until the input ends (`Pdp::step`). After each, what the session says is held against a model of what it owes:
//!
//! - a REQ gets one solicited DEC, those of a handle in the order of the REQs, and no DEC goes out that is not owed;
//! - an OPN gets one CAT or CC; a KA gets one KA; a CAT is followed by SSQ exactly when the command's result says so;
//! - a solicited RPT is that of the oldest decision which waits for one;
//! - nothing but CC or CAT goes out for a client-type that is not open;
//! - each opening ends once, `Closed` comes once and last, and after it nothing moves;
//! - with Integrity, what is not signed with a valid key and the next number ends the connection unread, what is, is read;
//!   and what goes out is signed so;
//! - a refused command changes nothing; bounds on handles, events and octets hold; time that is due is not due again.

mod told;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use cops_codec::{
    DecodeError, Frame, Limits, Message,
    integrity::{KeyRing, KeyTable},
    message::{ClientOpen, DecisionBody},
    session::{
        Calendar, CommandError, DecisionId, HeldState, Moment, PdpCommand, PdpConfig, PdpIntegrity,
        PdpSession, ReportRule, RequestId, SessionLimits, Undrained,
        pdp::{Acceptance, Done, Synchronize},
    },
    wire::{AccountingTimer, ClientHandle, ClientType, Integrity, KaTimer, OpCode, PepId, SequenceNumber},
};

use crate::{
    Input, generate,
    session::{
        self, Cast, PDP,
        integrity::{self, OtherEnd, Verdict},
    },
};

/// See the module.
pub fn run(octets: &[u8]) {
    let mut input = Input::new(octets);
    let limits = session::limits(&mut input);
    let client_types = match input.u8() {
        0 => vec![],
        _ => session::CLIENT_TYPES[..2].to_vec(),
    };
    let pep = OtherEnd::from_input(input.u8());
    let config = PdpConfig {
        limits,
        integrity: pep.as_ref().map(|pep| PdpIntegrity {
            required: pep.demands(),
            keys: table(pep.ring()),
            initial_number: integrity::INITIAL,
            calendar: Calendar::default(),
            ka_timer: KaTimer(60),
        }),
        ..PdpConfig::new(client_types, vec![PDP])
    };
    let mut pdp = Pdp::new(config, pep, Moment(0));
    while !input.is_at_end() {
        pdp.step(&mut input);
    }
    pdp.lazy = 0;
    pdp.drain();
}

/// Of the PEP that has keys.
fn table(ring: &KeyRing) -> Arc<KeyTable> {
    let pep_id = PepId::new(integrity::PEP).expect("printable ASCII");
    Arc::new(KeyTable::new([(pep_id, ring.clone())]))
}

/// What is owed of a request-state.
#[derive(Default)]
struct State {
    installed: bool,
    owed: VecDeque<Owed>,
    /// Decisions whose RPT may come.
    due: VecDeque<DecisionId>,
}

/// An answer to a REQ.
struct Owed {
    request: Option<RequestId>,
    ready: Option<Ready>,
}

#[derive(Clone, Copy)]
struct Ready {
    is_error: bool,
    report: Option<DecisionId>,
}

#[derive(Default)]
struct Client {
    pending: usize,
    open: bool,
    states: BTreeMap<ClientHandle, State>,
    synchronizing: BTreeSet<Option<ClientHandle>>,
}

/// What has to go out.
#[derive(Default)]
struct Expected {
    /// For each handle: whether it is solicited, and whether it has an Error object.
    decisions: BTreeMap<(ClientType, ClientHandle), VecDeque<(bool, bool)>>,
    accepts: usize,
    keep_alives: usize,
    synchronizes: usize,
}

/// What message Integrity did to the connection.
#[derive(Default)]
struct Security {
    /// The number of the OPN that it began with: the PDP's messages count up from it.
    began_with: Option<SequenceNumber>,
    /// The connection ended, or may have ended, for a message that was not to be believed.
    must_refuse: bool,
    may_refuse: bool,
    /// The connection ended for want of a key.
    ran_out: bool,
}

struct Pdp {
    session: PdpSession,
    config: PdpConfig,
    cast: Cast,
    /// The PEP's view of message Integrity, if there is any.
    pep: Option<OtherEnd>,
    security: Security,
    now: Moment,
    clients: BTreeMap<ClientType, Client>,
    closed: bool,
    expected: Expected,
    /// Client-types for which DEC and SSQ may go out.
    on_wire: BTreeSet<ClientType>,
    requests: Vec<(ClientType, ClientHandle, RequestId)>,
    held: Vec<HeldState>,
    /// Steps for which events (1), or events and frames (2), are not drained.
    lazy: u8,
}

impl Pdp {
    fn new(config: PdpConfig, pep: Option<OtherEnd>, now: Moment) -> Self {
        Self {
            session: PdpSession::new(config.clone(), now),
            config,
            cast: Cast::new(pep.is_some()),
            pep,
            security: Security::default(),
            now,
            clients: BTreeMap::new(),
            closed: false,
            expected: Expected::default(),
            on_wire: BTreeSet::new(),
            requests: Vec::new(),
            held: Vec::new(),
            lazy: 0,
        }
    }

    fn limits(&self) -> SessionLimits {
        self.config.limits
    }

    fn step(&mut self, input: &mut Input<'_>) {
        match input.u8() % 16 {
            0 => {
                let frame = session::frame(input.octets(), &self.config.wire_limits);
                let frame = self.sealed(input, frame);
                self.receive(frame);
            }
            1..=3 => {
                let message = generate::message(input, self.cast.names());
                if let Ok(frame) = message.encode(&Limits::DEFAULT) {
                    let frame = self.sealed(input, Ok(frame));
                    self.receive(frame);
                }
            }
            4 => self.command(|pdp| pdp.accept(input)),
            5 => {
                let (client_type, error, redirect) = (
                    self.cast.names().client_type(input),
                    generate::error(input),
                    input.option(generate::pdp_address),
                );
                self.plain(PdpCommand::Reject {
                    client_type,
                    error,
                    redirect,
                });
            }
            6 | 7 => self.command(|pdp| pdp.decide(input)),
            8 => self.command(|pdp| pdp.push(input)),
            9 => self.command(|pdp| pdp.synchronize(input)),
            10 => {
                let client_type = self.cast.names().client_type(input);
                let command = if input.bool() {
                    PdpCommand::Supersede { client_type }
                } else {
                    let (error, redirect) = (generate::error(input), input.option(generate::pdp_address));
                    PdpCommand::Close {
                        client_type,
                        error,
                        redirect,
                    }
                };
                self.plain(command);
            }
            11 => {
                if input.u8() >= 0xc0 {
                    self.plain(PdpCommand::Shutdown { redirect: None });
                }
            }
            12 => {
                self.now = session::later(self.now, input);
                self.time_out();
            }
            13 => {
                if let Some(due) = self.session.poll_timeout() {
                    self.now = self.now.max(due);
                }
                self.time_out();
            }
            14 => match input.u8() {
                0xf0.. => self.change_keys(input),
                lazy => self.lazy = lazy % 3,
            },
            _ => self.reconnect(input),
        }
        if self.lazy == 0 {
            self.drain();
        } else if self.lazy == 1 {
            self.drain_events();
        }
        self.bounds();
    }

    fn bounds(&self) {
        let limits = self.limits();
        let octets = self.session.transmit_octets();
        assert!(
            octets <= session::most_transmit_octets(&limits),
            "{octets} octets wait under {limits:?}"
        );
        for client_type in session::CLIENT_TYPES {
            assert!(
                self.session.handles(client_type).count() <= limits.max_handles,
                "handles of {client_type}"
            );
        }
        if self.session.is_closed() {
            assert_eq!(self.session.poll_timeout(), None, "nothing is due after the end");
        }
    }

    fn receive(&mut self, frame: Result<Frame, DecodeError>) {
        let was_closed = self.session.is_closed();
        let message = frame
            .as_ref()
            .ok()
            .and_then(|frame| Message::decode(frame, &self.config.wire_limits).ok());
        let taken = self.session.handle_frame(self.now, frame.clone());
        if let Err(Undrained { waiting }) = taken {
            assert!(waiting >= self.limits().max_events && self.lazy == 2);
            return;
        }
        if was_closed {
            return;
        }
        if let Ok(frame) = frame {
            self.believed(&frame, message.as_ref());
        }
        if matches!(message, Some(Message::KeepAlive(_))) && !self.session.is_closed() {
            self.expected.keep_alives += 1;
        }
    }

    /// The message as the PEP sends it, signed if there is Integrity.
    fn sealed(&self, input: &mut Input<'_>, frame: Result<Frame, DecodeError>) -> Result<Frame, DecodeError> {
        match &self.pep {
            Some(pep) => pep.seal(input, frame?, self.now),
            None => frame,
        }
    }

    /// What came was believed if it was to be, and not otherwise.
    fn believed(&mut self, frame: &Frame, message: Option<&Message>) {
        let Some(pep) = &mut self.pep else {
            assert_eq!(self.session.integrity(), None);
            return;
        };
        let verdict = pep.verdict(frame, OpCode::CLIENT_OPEN, self.now);
        self.security.must_refuse = verdict == Verdict::Refused;
        self.security.may_refuse = verdict != Verdict::Taken;
        assert!(verdict != Verdict::Refused || self.session.is_closed());
        if verdict == Verdict::Taken && pep.is_secured() {
            pep.taken();
        } else if let Some(Message::ClientOpen(ClientOpen {
            client_type: ClientType::CONNECTION,
            pep_id,
            integrity: object,
            ..
        })) = message
            && !pep.is_secured()
        {
            // What looks like a signature may be the end of another object.
            let is_signed =
                matches!(object, Some(Integrity::Hmac { .. })) && pep_id.as_str() == integrity::PEP;
            let number = pep.number_of(frame, self.now).filter(|_| is_signed);
            self.security.may_refuse |= number.is_none();
            if self.session.integrity().is_some() {
                assert!(number.is_some(), "a negotiation that is not to be believed");
                self.security.began_with = number;
                pep.secured(false);
                self.expected.accepts += 1;
            } else {
                assert!(self.session.is_closed(), "a negotiation is done or fails");
            }
        }
        assert_eq!(self.session.integrity().is_some(), pep.is_secured());
    }

    /// Other keys take the place of those there are, at both ends. What is left of a session that is over is signed with the
    /// keys that there were.
    fn change_keys(&mut self, input: &mut Input<'_>) {
        if self.session.is_closed() {
            return;
        }
        if let (Some(pep), Some(integrity)) = (&mut self.pep, &mut self.config.integrity) {
            let keys = table(&pep.take_keys(input.u8()));
            integrity.keys = Arc::clone(&keys);
            self.look_for_key();
            self.session.set_keys(self.now, keys, Calendar::default());
        }
    }

    /// Before the session is told the time or other keys: it ends if there is none.
    fn look_for_key(&mut self) {
        self.security.ran_out |= !self.session.is_closed() && self.has_no_key();
    }

    /// Messages are signed, and there is no key for it any more.
    fn has_no_key(&self) -> bool {
        self.pep
            .as_ref()
            .is_some_and(|pep| pep.is_secured() && !pep.has_key(self.now))
    }

    fn time_out(&mut self) {
        self.look_for_key();
        self.session.handle_timeout(self.now);
        if self.lazy != 2 && self.limits().max_events > 1 {
            self.drain_events();
            self.session.handle_timeout(self.now);
            let due = self.session.poll_timeout();
            assert!(
                due.is_none_or(|due| due > self.now),
                "{due:?} is still due at {:?}",
                self.now
            );
        }
    }

    /// A program acts on events in their order, so it has seen them all when it gives a command.
    fn command(&mut self, command: impl FnOnce(&mut Self)) {
        self.drain_events();
        command(self);
    }

    /// Gives a command; if it is refused, nothing has changed.
    fn give(&mut self, command: PdpCommand) -> Result<Done, CommandError> {
        let before = self.visible();
        let result = self.session.handle_command(self.now, command);
        if let Err(error) = &result {
            assert_eq!(self.visible(), before, "{error}");
            assert_eq!(matches!(error, CommandError::Closed), self.closed, "{error}");
        }
        result
    }

    fn visible(&self) -> impl PartialEq + core::fmt::Debug + use<> {
        let session = &self.session;
        let handles: Vec<Vec<ClientHandle>> = session::CLIENT_TYPES
            .iter()
            .map(|client_type| session.handles(*client_type).cloned().collect())
            .collect();
        let open = session::CLIENT_TYPES.map(|client_type| session.is_open(client_type));
        (
            handles,
            open,
            session.transmit_octets(),
            session.poll_timeout(),
            session.counters(),
        )
    }

    fn plain(&mut self, command: PdpCommand) {
        self.drain_events();
        let done = self.give(command);
        assert!(matches!(done, Ok(Done::Plain) | Err(_)));
    }

    fn accept(&mut self, input: &mut Input<'_>) {
        let client_type = self.cast.names().client_type(input);
        let ka_timer = KaTimer(input.u8().into());
        let acceptance = Acceptance {
            accounting_timer: input.option(|input| AccountingTimer(input.u16())),
            reports: if input.bool() {
                ReportRule::EveryDecision
            } else {
                ReportRule::ConfigurationOnly
            },
            held: input
                .option(|input| {
                    let at = input.below(self.held.len());
                    (at < self.held.len()).then(|| self.held.swap_remove(at))
                })
                .flatten(),
            synchronize: match input.below(3) {
                0 => Synchronize::WhenNeeded,
                1 => Synchronize::Always,
                _ => Synchronize::Never,
            },
            ..Acceptance::new(client_type, ka_timer)
        };
        let held: Vec<ClientHandle> = acceptance
            .held
            .iter()
            .flat_map(HeldState::handles)
            .cloned()
            .collect();
        let pending = self.clients.get(&client_type).map_or(0, |client| client.pending);
        match self.give(PdpCommand::Accept(acceptance)) {
            Ok(Done::Accepted {
                resumed,
                synchronizing,
            }) => {
                assert!(pending > 0, "CAT answers an OPN");
                self.expected.accepts += 1;
                let client = self.clients.get_mut(&client_type).expect("it was opened");
                client.pending -= 1;
                if resumed {
                    assert!(!client.open);
                    client.states = held
                        .into_iter()
                        .map(|handle| {
                            (
                                handle,
                                State {
                                    installed: true,
                                    ..State::default()
                                },
                            )
                        })
                        .collect();
                }
                client.open = true;
                if synchronizing && !self.session.is_closed() {
                    assert!(client.synchronizing.insert(None), "one synchronisation at a time");
                    self.expected.synchronizes += 1;
                }
            }
            Ok(other) => panic!("{other:?} of Accept"),
            Err(error) => assert!(pending == 0 || !matches!(error, CommandError::NoPendingOpen(_))),
        }
    }

    fn decide(&mut self, input: &mut Input<'_>) {
        let Some((client_type, handle, request)) = input.choice(&self.requests).cloned() else {
            return;
        };
        let body = generate::body(input);
        let is_error = matches!(body, DecisionBody::Error(_));
        let is_owed = |owed: &Owed| owed.request == Some(request) && owed.ready.is_none();
        let client = self.clients.get(&client_type);
        let awaited = client
            .and_then(|client| client.states.get(&handle))
            .is_some_and(|state| state.owed.iter().any(is_owed));
        let command = PdpCommand::Decide {
            client_type,
            handle: handle.clone(),
            request,
            body,
        };
        match self.give(command) {
            Ok(Done::Decided { report }) => {
                assert!(awaited, "one DEC for a REQ");
                assert!(report.is_none() || !is_error, "an error is not reported on");
                let state = self.state(client_type, &handle);
                let owed = state
                    .owed
                    .iter_mut()
                    .find(|owed| is_owed(owed))
                    .expect("it is awaited");
                owed.ready = Some(Ready { is_error, report });
                self.send_ready(client_type, &handle);
            }
            Ok(other) => panic!("{other:?} of Decide"),
            Err(
                CommandError::NotAwaited(_) | CommandError::UnknownHandle(_) | CommandError::ClientNotOpen(_),
            ) => {
                assert!(!awaited, "a REQ without an answer");
            }
            Err(_) => {}
        }
    }

    fn push(&mut self, input: &mut Input<'_>) {
        let client_type = self.cast.names().client_type(input);
        let handle = self.cast.names().handle(input);
        let decisions = input.list(4, generate::decision);
        let limit = self.limits().max_unreported_decisions;
        let command = PdpCommand::Push {
            client_type,
            handle: handle.clone(),
            decisions,
        };
        match self.give(command) {
            Ok(Done::Decided { report }) => {
                let state = self.state(client_type, &handle);
                assert!(
                    state.owed.is_empty(),
                    "the first decision after a REQ is the solicited one"
                );
                assert!(state.installed && state.due.len() < limit);
                state.due.extend(report);
                self.expect_decision(client_type, &handle, false, false);
            }
            Ok(other) => panic!("{other:?} of Push"),
            Err(_) => {}
        }
    }

    fn synchronize(&mut self, input: &mut Input<'_>) {
        let client_type = self.cast.names().client_type(input);
        let handle = input.option(|input| self.cast.names().handle(input));
        let limit = self.limits().max_handles;
        let command = PdpCommand::Synchronize {
            client_type,
            handle: handle.clone(),
        };
        if self.give(command).is_ok() {
            let client = self.clients.get_mut(&client_type).expect("an open client-type");
            assert!(
                client.open && client.synchronizing.insert(handle),
                "one synchronisation at a time"
            );
            assert!(client.synchronizing.len() <= limit + 1);
            self.expected.synchronizes += 1;
        }
    }

    /// The connection ends, and the PEP comes back on another one.
    fn reconnect(&mut self, input: &mut Input<'_>) {
        if input.u8() < 0x80 {
            return;
        }
        self.session.handle_disconnect(self.now);
        self.lazy = 0;
        self.drain();
        assert!(self.closed && self.session.is_closed());
        assert_eq!(self.session.handle_frame(self.now, Err(framing_error())), Ok(()));
        self.session.handle_timeout(self.now);
        assert!(self.session.poll_event().is_none() && self.session.poll_transmit().is_none());
        let held = self.session.take_held();
        assert!(self.session.take_held().is_empty(), "each once");
        for held in held {
            assert!(held.lost_at() <= self.now && held.handles().count() <= self.limits().max_handles);
            self.held.push(held);
        }
        self.held.truncate(8);
        let held = core::mem::take(&mut self.held);
        let pep = self.pep.as_ref().map(OtherEnd::anew);
        *self = Self::new(self.config.clone(), pep, self.now);
        self.held = held;
    }

    fn state(&mut self, client_type: ClientType, handle: &ClientHandle) -> &mut State {
        let client = self.clients.get_mut(&client_type).expect("an open client-type");
        assert!(client.open);
        client.states.get_mut(handle).expect("a request-state")
    }

    fn expect_decision(
        &mut self,
        client_type: ClientType,
        handle: &ClientHandle,
        solicited: bool,
        is_error: bool,
    ) {
        let key = (client_type, handle.clone());
        self.expected
            .decisions
            .entry(key)
            .or_default()
            .push_back((solicited, is_error));
    }

    /// The answers whose turn it is.
    fn send_ready(&mut self, client_type: ClientType, handle: &ClientHandle) {
        loop {
            let state = self.state(client_type, handle);
            let Some(ready) = state.owed.front().and_then(|owed| owed.ready) else {
                break;
            };
            state.owed.pop_front();
            state.due.extend(ready.report);
            state.installed |= !ready.is_error;
            self.expect_decision(client_type, handle, true, ready.is_error);
        }
        let state = self.state(client_type, handle);
        if !state.installed && state.owed.is_empty() {
            self.clients
                .get_mut(&client_type)
                .expect("it is open")
                .states
                .remove(handle);
        }
    }
}

/// The error of a framer that met another protocol.
fn framing_error() -> cops_codec::DecodeError {
    session::frame(bytes::Bytes::from_static(b"GET /"), &Limits::DEFAULT).expect_err("not COPS")
}
