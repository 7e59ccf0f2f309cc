//! The PEP's session as a sequence of operations: frames from a peer that may send anything, commands of a program that may
//! ask anything, and time.
//!
//! Input: one octet for the session's limits (0: the defaults), one for message Integrity (0: none), then operations until
//! the input ends (`Pep::step`). After each, what the session says is held against a model of what it owes:
//!
//! - a handle has one open REQ at a time, and no handle is given twice;
//! - a decision gets one solicited RPT, those of a handle in the order of the decisions;
//! - a state that ends by this end's doing gets one DRQ; a synchronisation that ends gets one SSC;
//! - nothing but OPN and CC goes out for a client-type that is not open;
//! - each opening ends once and tells of the states that there were, `Closed` comes once and last, and after it nothing
//!   moves;
//! - with Integrity, nothing but OPN for client-type 0 goes out before its CAT; what is not signed with a valid key and the
//!   next number ends the connection unread, what is, is read; and what goes out is signed so;
//! - a refused command changes nothing; bounds on handles, events and octets hold; time that is due is not due again.

mod told;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use cops_codec::{
    DecodeError, Frame, Limits,
    session::{
        Calendar, CommandError, DecisionId, Moment, PepCommand, PepConfig, PepIntegrity, PepSession,
        ReportRule, Undrained,
        pep::{ClientEnd, ClientOpening, HeldRequestState, Outcome, RequestBody, UnsolicitedReport},
    },
    wire::{ClientHandle, ClientType, OpCode, PepId, Reason, ReportType},
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
    // It always begins with the negotiation.
    let pdp = OtherEnd::from_input(match input.u8() {
        0 => 0,
        kind => kind | 2,
    });
    let config = PepConfig {
        pdp_address: Some(PDP),
        limits,
        integrity: pdp.as_ref().map(|pdp| PepIntegrity {
            keys: Arc::new(pdp.ring().clone()),
            initial_number: integrity::INITIAL,
            calendar: Calendar::default(),
        }),
        ..PepConfig::new(PepId::new(integrity::PEP).expect("printable ASCII"))
    };
    let mut pep = Pep::new(config, pdp, Moment(0));
    while !input.is_at_end() {
        pep.step(&mut input);
    }
    pep.lazy = 0;
    pep.drain();
}

#[derive(Default)]
struct State {
    installed: bool,
    is_open: bool,
    /// A REQ was refused because one was open.
    wanted: bool,
    /// Decisions whose RPT has not gone, and the type of the RPT that is ready.
    unreported: VecDeque<(DecisionId, Option<ReportType>)>,
}

#[derive(Default)]
struct Client {
    open: bool,
    states: BTreeMap<ClientHandle, State>,
}

/// What has to go out.
#[derive(Default)]
struct Expected {
    opens: BTreeMap<ClientType, usize>,
    requests: BTreeMap<(ClientType, ClientHandle), usize>,
    reports: BTreeMap<(ClientType, ClientHandle), VecDeque<(bool, ReportType)>>,
    deletes: BTreeMap<(ClientType, ClientHandle, u16), usize>,
    completes: BTreeMap<(ClientType, Option<ClientHandle>), usize>,
}

impl Expected {
    fn is_empty(&self) -> bool {
        self.opens.values().all(|count| *count == 0)
            && self.requests.values().all(|count| *count == 0)
            && self.reports.values().all(VecDeque::is_empty)
            && self.deletes.values().all(|count| *count == 0)
            && self.completes.values().all(|count| *count == 0)
    }
}

/// One of what is counted, if there is one.
fn take<K: Ord>(counts: &mut BTreeMap<K, usize>, key: K) -> bool {
    match counts.get_mut(&key) {
        Some(count) if *count > 0 => {
            *count -= 1;
            true
        }
        _ => false,
    }
}

/// What message Integrity did to the connection.
#[derive(Default)]
struct Security {
    /// The connection ended, or may have ended, for a message that was not to be believed.
    must_refuse: bool,
    may_refuse: bool,
    /// The connection ended for want of a key.
    ran_out: bool,
}

struct Pep {
    session: PepSession,
    config: PepConfig,
    cast: Cast,
    /// The PDP's view of message Integrity, if there is any.
    pdp: Option<OtherEnd>,
    security: Security,
    now: Moment,
    clients: BTreeMap<ClientType, Client>,
    closed: bool,
    expected: Expected,
    /// Client-types for which CAT came and no CC went or came.
    on_wire: BTreeSet<ClientType>,
    /// All handles that the session gave, or was given as held.
    given: BTreeSet<ClientHandle>,
    decisions: Vec<(ClientType, ClientHandle, DecisionId)>,
    /// What the last connection left, for the next.
    ends: Vec<ClientEnd>,
    /// Steps for which events (1), or events and frames (2), are not drained.
    lazy: u8,
}

impl Pep {
    fn new(config: PepConfig, pdp: Option<OtherEnd>, now: Moment) -> Self {
        let mut expected = Expected::default();
        let ran_out = pdp.as_ref().is_some_and(|pdp| !pdp.has_key(now));
        if pdp.is_some() {
            expected.opens.insert(ClientType::CONNECTION, 1);
        }
        Self {
            session: PepSession::new(config.clone(), now, 7),
            config,
            cast: Cast::new(pdp.is_some()),
            pdp,
            security: Security {
                ran_out,
                ..Security::default()
            },
            now,
            clients: BTreeMap::new(),
            closed: false,
            expected,
            on_wire: BTreeSet::new(),
            given: BTreeSet::new(),
            decisions: Vec::new(),
            ends: Vec::new(),
            lazy: 0,
        }
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
            4 => self.command(|pep| pep.open(input)),
            5 | 6 => self.command(|pep| pep.request(input)),
            7 | 8 => self.command(|pep| pep.report(input)),
            9 => self.command(|pep| pep.report_unsolicited(input)),
            10 => self.command(|pep| pep.set_accounting(input)),
            11 => self.command(|pep| pep.delete(input)),
            12 => self.command(|pep| pep.close(input)),
            13 => {
                self.now = match (input.bool(), self.session.poll_timeout()) {
                    (true, Some(due)) => self.now.max(due),
                    _ => session::later(self.now, input),
                };
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
        let limits = self.config.limits;
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
        } else if self.session.keep_alive_timer().is_some() {
            assert!(self.session.poll_timeout().is_some(), "a KA is due");
        }
    }

    fn receive(&mut self, frame: Result<Frame, DecodeError>) {
        let was_closed = self.session.is_closed();
        let taken = self.session.handle_frame(self.now, frame.clone());
        if let Err(Undrained { waiting }) = taken {
            assert!(waiting >= self.config.limits.max_events && self.lazy == 2);
        } else if let Ok(frame) = frame
            && !was_closed
        {
            self.believed(&frame);
        }
    }

    /// The message as the PDP sends it, signed if there is Integrity.
    fn sealed(&self, input: &mut Input<'_>, frame: Result<Frame, DecodeError>) -> Result<Frame, DecodeError> {
        match &self.pdp {
            Some(pdp) => pdp.seal(input, frame?, self.now),
            None => frame,
        }
    }

    /// What came was believed if it was to be, and not otherwise.
    fn believed(&mut self, frame: &Frame) {
        let Some(pdp) = &mut self.pdp else {
            assert_eq!(self.session.integrity(), None);
            return;
        };
        let verdict = pdp.verdict(frame, OpCode::CLIENT_ACCEPT, self.now);
        self.security.must_refuse = verdict == Verdict::Refused;
        self.security.may_refuse = verdict != Verdict::Taken;
        assert!(verdict != Verdict::Refused || self.session.is_closed());
        let is_accept = frame.header().op_code == OpCode::CLIENT_ACCEPT;
        if verdict == Verdict::Taken && pdp.is_secured() {
            pdp.taken();
        } else if verdict == Verdict::Taken && is_accept {
            let number = pdp.number_of(frame, self.now).expect("a verdict on it");
            pdp.secured(true);
            pdp.session_signs(number.next());
        }
        assert_eq!(self.session.integrity().is_some(), pdp.is_secured());
    }

    /// Other keys take the place of those there are, at both ends. What is left of a session that is over is signed with the
    /// keys that there were.
    fn change_keys(&mut self, input: &mut Input<'_>) {
        if self.session.is_closed() {
            return;
        }
        if let (Some(pdp), Some(integrity)) = (&mut self.pdp, &mut self.config.integrity) {
            let keys = Arc::new(pdp.take_keys(input.u8()));
            integrity.keys = Arc::clone(&keys);
            self.look_for_key();
            self.session.set_keys(self.now, keys, Calendar::default());
        }
    }

    /// Before the session is told the time or other keys: it ends if there is none.
    fn look_for_key(&mut self) {
        self.security.ran_out |= !self.session.is_closed() && self.has_no_key();
    }

    /// Messages are to be signed, and there is no key for it any more.
    fn has_no_key(&self) -> bool {
        self.pdp.as_ref().is_some_and(|pdp| !pdp.has_key(self.now))
    }

    /// OPN for client-type 0 waits for its CAT, and what else is to be sent for that.
    fn is_negotiating(&self) -> bool {
        !self.session.is_closed() && self.pdp.as_ref().is_some_and(|pdp| !pdp.is_secured())
    }

    fn time_out(&mut self) {
        self.look_for_key();
        self.session.handle_timeout(self.now);
        if self.lazy != 2 {
            // As often as there is room for events; each time something is done.
            for _ in 0..200 {
                self.drain_events();
                match self.session.poll_timeout() {
                    Some(due) if due <= self.now => self.session.handle_timeout(self.now),
                    _ => return,
                }
            }
            panic!("still due at {:?}: {:?}", self.now, self.session.poll_timeout());
        }
    }

    /// A program acts on events in their order, so it has seen them all when it gives a command.
    fn command(&mut self, command: impl FnOnce(&mut Self)) {
        self.drain_events();
        command(self);
    }

    /// Gives a command; if it is refused, nothing has changed.
    fn give(&mut self, command: PepCommand) -> Result<Option<ClientHandle>, CommandError> {
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
        let handles: Vec<Vec<(ClientHandle, bool)>> = session::CLIENT_TYPES
            .iter()
            .map(|client_type| {
                let handles = session.handles(*client_type);
                handles
                    .map(|handle| (handle.clone(), session.has_open_request(*client_type, handle)))
                    .collect()
            })
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

    fn open(&mut self, input: &mut Input<'_>) {
        let client_type = self.cast.names().client_type(input);
        let (resumes, names_pdp) = (input.bool(), input.bool());
        let end = self
            .ends
            .iter()
            .position(|end| resumes && end.client_type == client_type)
            .map(|at| self.ends.swap_remove(at));
        let in_sync = end.as_ref().is_some_and(|end| end.in_sync);
        let held: Vec<HeldRequestState> = end.map(|end| end.states).unwrap_or_default();
        let opening = ClientOpening {
            client_si: input.option(generate::client_si),
            last_pdp_address: (in_sync || names_pdp).then_some(PDP),
            reports: if input.bool() {
                ReportRule::EveryDecision
            } else {
                ReportRule::ConfigurationOnly
            },
            held: held.clone(),
            ..ClientOpening::new(client_type)
        };
        if self.give(PepCommand::Open(opening)).is_ok() {
            assert_ne!(client_type, ClientType::CONNECTION);
            *self.expected.opens.entry(client_type).or_default() += 1;
            self.clients.entry(client_type).or_insert_with(|| Client {
                open: false,
                states: held
                    .iter()
                    .map(|held| {
                        (
                            held.handle.clone(),
                            State {
                                installed: held.confirmed,
                                ..State::default()
                            },
                        )
                    })
                    .collect(),
            });
            self.given.extend(held.into_iter().map(|held| held.handle));
            assert!(self.clients.len() <= self.config.limits.max_client_types);
        }
    }

    fn request(&mut self, input: &mut Input<'_>) {
        let client_type = self.cast.names().client_type(input);
        let handle = match input.bool() {
            true => None,
            false => Some(self.cast.names().handle(input)),
        };
        let request = RequestBody {
            context: generate::context(input),
            lpdp_decisions: input.list(3, generate::lpdp_decision),
            full_state: input.u8() < 0xc0,
            more_follows: input.u8() >= 0xc0,
            ..RequestBody::configuration(input.list(3, generate::client_si))
        };
        let command = PepCommand::Request {
            client_type,
            handle: handle.clone(),
            request,
        };
        match self.give(command) {
            Ok(Some(named)) => {
                let is_new = handle.is_none();
                assert!(handle.is_none_or(|handle| handle == named));
                assert_eq!(
                    self.given.insert(named.clone()),
                    is_new,
                    "no handle is given twice"
                );
                let client = self.clients.get_mut(&client_type).expect("an open client-type");
                assert!(client.open);
                assert_eq!(client.states.contains_key(&named), !is_new);
                let state = client.states.entry(named.clone()).or_default();
                assert!(!state.is_open, "one open REQ a handle");
                state.is_open = true;
                state.wanted = false;
                *self.expected.requests.entry((client_type, named)).or_default() += 1;
            }
            Ok(None) => panic!("a REQ without a handle"),
            Err(CommandError::RequestOpen(named)) => {
                let state = self.state(client_type, &named);
                assert!(state.is_open);
                state.wanted = true;
            }
            Err(_) => {}
        }
    }

    fn report(&mut self, input: &mut Input<'_>) {
        let Some((client_type, handle, decision)) = input.choice(&self.decisions).cloned() else {
            return;
        };
        let (outcome, report_type) = match input.bool() {
            true => (Outcome::Failure, ReportType::FAILURE),
            false => (Outcome::Success, ReportType::SUCCESS),
        };
        let client_si = input.list(3, generate::client_si);
        let waits = |(id, ready): &(DecisionId, Option<ReportType>)| *id == decision && ready.is_none();
        let awaited = self
            .clients
            .get(&client_type)
            .filter(|client| client.open)
            .and_then(|client| client.states.get(&handle))
            .is_some_and(|state| state.unreported.iter().any(waits));
        let command = PepCommand::Report {
            client_type,
            handle: handle.clone(),
            decision,
            outcome,
            client_si,
        };
        match self.give(command) {
            Ok(_) => {
                assert!(awaited, "one RPT for a DEC");
                let state = self.state(client_type, &handle);
                let slot = state
                    .unreported
                    .iter_mut()
                    .find(|slot| waits(slot))
                    .expect("it is awaited");
                slot.1 = Some(report_type);
                let mut ready = VecDeque::new();
                while let Some((_, Some(report_type))) = state.unreported.front() {
                    ready.push_back((true, *report_type));
                    state.unreported.pop_front();
                }
                self.expected
                    .reports
                    .entry((client_type, handle))
                    .or_default()
                    .extend(ready);
            }
            Err(
                CommandError::NotAwaited(_) | CommandError::UnknownHandle(_) | CommandError::ClientNotOpen(_),
            ) => {
                assert!(!awaited, "a DEC without a report");
            }
            Err(_) => {}
        }
    }

    fn report_unsolicited(&mut self, input: &mut Input<'_>) {
        let client_type = self.cast.names().client_type(input);
        let handle = self.cast.names().handle(input);
        let (report, report_type) = match input.below(4) {
            0 => (UnsolicitedReport::Success, ReportType::SUCCESS),
            1 => (UnsolicitedReport::Failure, ReportType::FAILURE),
            2 => (UnsolicitedReport::PeriodicAccounting, ReportType::ACCOUNTING),
            _ => (UnsolicitedReport::FinalAccounting, ReportType::ACCOUNTING),
        };
        let client_si = input.list(3, generate::client_si);
        let command = PepCommand::ReportUnsolicited {
            client_type,
            handle: handle.clone(),
            report,
            client_si,
        };
        let result = self.give(command);
        if result.is_ok() {
            self.state(client_type, &handle);
            let key = (client_type, handle);
            self.expected
                .reports
                .entry(key)
                .or_default()
                .push_back((false, report_type));
        }
    }

    fn set_accounting(&mut self, input: &mut Input<'_>) {
        let client_type = self.cast.names().client_type(input);
        let handle = self.cast.names().handle(input);
        let interval = input.option(session::duration);
        if self
            .give(PepCommand::SetAccounting {
                client_type,
                handle: handle.clone(),
                interval,
            })
            .is_ok()
        {
            self.state(client_type, &handle);
        }
    }

    fn delete(&mut self, input: &mut Input<'_>) {
        let client_type = self.cast.names().client_type(input);
        let handle = self.cast.names().handle(input);
        let reason = generate::reason(input);
        if self
            .give(PepCommand::Delete {
                client_type,
                handle: handle.clone(),
                reason,
            })
            .is_ok()
        {
            self.deleted(client_type, &handle, reason);
        }
    }

    fn close(&mut self, input: &mut Input<'_>) {
        let error = generate::error(input);
        let command = match input.u8() {
            0xe0.. => PepCommand::Shutdown { error },
            _ => PepCommand::Close {
                client_type: self.cast.names().client_type(input),
                error,
            },
        };
        let _ = self.give(command);
    }

    /// The connection ends, and another one is made.
    fn reconnect(&mut self, input: &mut Input<'_>) {
        if input.u8() < 0x80 {
            return;
        }
        self.session.handle_disconnect();
        self.lazy = 0;
        self.drain();
        assert!(self.closed && self.session.is_closed());
        self.receive(session::frame(
            bytes::Bytes::from_static(b"GET /"),
            &Limits::DEFAULT,
        ));
        self.time_out();
        assert!(self.session.poll_event().is_none() && self.session.poll_transmit().is_none());
        let ends = core::mem::take(&mut self.ends);
        let pdp = self.pdp.as_ref().map(OtherEnd::anew);
        *self = Self::new(self.config.clone(), pdp, self.now);
        self.ends = ends;
    }

    fn state(&mut self, client_type: ClientType, handle: &ClientHandle) -> &mut State {
        let client = self.clients.get_mut(&client_type).expect("an open client-type");
        assert!(client.open);
        client.states.get_mut(handle).expect("a request-state")
    }

    /// A state ended at this end, which says so.
    fn deleted(&mut self, client_type: ClientType, handle: &ClientHandle, reason: Reason) {
        let client = self.clients.get_mut(&client_type).expect("an open client-type");
        assert!(client.open && client.states.remove(handle).is_some());
        *self
            .expected
            .deletes
            .entry((client_type, handle.clone(), reason.code.0))
            .or_default() += 1;
    }
}
