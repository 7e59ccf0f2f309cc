//! Both ends with a program each, and all that can happen to them in whatever order.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use cops_codec::Frame;
use cops_codec::message::DecisionBody;
use cops_codec::session::pdp::{Acceptance, Done, PdpCommand, PdpEvent, PdpSession, Synchronize};
use cops_codec::session::pep::{
    ClientOpening, HeldRequestState, Outcome, PepCommand, PepEvent, PepSession, RequestBody,
    UnsolicitedReport,
};
use cops_codec::session::{CommandError, DecisionId, HeldState, Moment, RequestId, SessionLimits};
use cops_codec::wire::{
    AccountingTimer, ClientHandle, ClientType, CopsError, ErrorCode, KaTimer, Reason, ReasonCode,
};

use crate::frames::*;
use crate::pair::{CT, CT2, address, install, null, pdp_config, pep_config, rows};
use crate::views::{PdpView, PepView};

const LIMITS: SessionLimits = SessionLimits {
    max_client_types: 2,
    max_handles: 3,
    max_open_requests: 4,
    max_unreported_decisions: 4,
    max_pending_opens: 2,
    max_transmit_octets: 4_096,
    max_events: 64,
};

/// What one step does, and to what; the numbers are taken modulo what there is.
pub(crate) type Operation = (u8, u8, u8);

pub(crate) struct World {
    now: Moment,
    pep: PepSession,
    pdp: PdpSession,
    pep_view: PepView,
    pdp_view: PdpView,
    to_pdp: VecDeque<Frame>,
    to_pep: VecDeque<Frame>,
    /// What the programs still have to answer.
    opens: Vec<ClientType>,
    requests: Vec<(ClientType, ClientHandle, RequestId)>,
    reports: Vec<(ClientType, ClientHandle, DecisionId)>,
    resend: Vec<(ClientType, ClientHandle)>,
    /// Openings that the events have to end.
    pep_openings: BTreeMap<ClientType, bool>,
    held_by_pep: BTreeMap<ClientType, Vec<HeldRequestState>>,
    held_by_pdp: BTreeMap<ClientType, HeldState>,
    pep_closed: bool,
    pdp_closed: bool,
    /// Whether somebody else has sent something.
    disturbed: bool,
    /// Whether a client-type was closed by command. CC has no answer, so it can cross with an OPN, and then the two ends
    /// mean different openings by the next CAT. Nothing on the wire tells them apart; a synchronisation puts it right.
    crossed: bool,
    /// The kinds of event that came, and what came of openings.
    pub(crate) seen: BTreeSet<String>,
}

impl World {
    pub(crate) fn new() -> Self {
        let now = Moment(0);
        Self {
            now,
            pep: Self::pep(now),
            pdp: Self::pdp(now),
            pep_view: PepView::default(),
            pdp_view: PdpView::default(),
            to_pdp: VecDeque::new(),
            to_pep: VecDeque::new(),
            opens: Vec::new(),
            requests: Vec::new(),
            reports: Vec::new(),
            resend: Vec::new(),
            pep_openings: BTreeMap::new(),
            held_by_pep: BTreeMap::new(),
            held_by_pdp: BTreeMap::new(),
            pep_closed: false,
            pdp_closed: false,
            disturbed: false,
            crossed: false,
            seen: BTreeSet::new(),
        }
    }

    fn pep(now: Moment) -> PepSession {
        let mut config = pep_config();
        config.limits = LIMITS;
        // Fewer than the PDP lets wait, so that there can be too many.
        config.limits.max_unreported_decisions = 3;
        PepSession::new(config, now, now.0)
    }

    fn pdp(now: Moment) -> PdpSession {
        let mut config = pdp_config();
        config.limits = LIMITS;
        PdpSession::new(config, now)
    }

    /// A new connection, with what either end has kept.
    fn reconnect(&mut self) {
        self.pep.handle_disconnect();
        self.pdp.handle_disconnect(self.now);
        self.drain();
        assert!(self.pep_closed && self.pdp_closed);
        let kept = (
            self.now,
            core::mem::take(&mut self.held_by_pep),
            core::mem::take(&mut self.held_by_pdp),
            self.disturbed,
            core::mem::take(&mut self.seen),
        );
        *self = Self::new();
        (
            self.now,
            self.held_by_pep,
            self.held_by_pdp,
            self.disturbed,
            self.seen,
        ) = kept;
        self.pep = Self::pep(self.now);
        self.pdp = Self::pdp(self.now);
    }

    /// Takes out what either end has for its program and for the wire, and looks at it.
    fn drain(&mut self) {
        assert!(self.pep.transmit_octets() <= 2 * LIMITS.max_transmit_octets + 64);
        assert!(self.pdp.transmit_octets() <= 2 * LIMITS.max_transmit_octets + 64);
        while let Some(frame) = self.pep.poll_transmit() {
            self.pep_view.sent(&frame, self.now);
            self.to_pdp.push_back(frame);
        }
        while let Some(frame) = self.pdp.poll_transmit() {
            self.pdp_view.sent(&frame);
            self.to_pep.push_back(frame);
        }
        while let Some(event) = self.pep.poll_event() {
            self.pep_event(event);
        }
        while let Some(event) = self.pdp.poll_event() {
            self.pdp_event(event);
        }
        for client_type in [CT, CT2] {
            for handle in self.pep.handles(client_type) {
                assert!(
                    self.pep.unreported_decisions(client_type, handle) <= LIMITS.max_unreported_decisions
                );
            }
            assert!(self.pep.handles(client_type).count() <= LIMITS.max_handles);
            assert!(self.pdp.handles(client_type).count() <= LIMITS.max_handles);
        }
        assert_eq!(self.pep.is_closed(), self.pep_closed);
        assert_eq!(self.pdp.is_closed(), self.pdp_closed);
    }

    /// Notes the kind of something.
    fn see(&mut self, end: &str, what: &impl core::fmt::Debug) {
        let what = format!("{what:?}");
        let kind = what.split([' ', '(', '{']).next().unwrap_or_default();
        self.seen.insert(format!("{end} {kind}"));
    }

    fn pep_event(&mut self, event: PepEvent) {
        assert!(!self.pep_closed, "{event:?} after the last event");
        self.see("PEP", &event);
        match event {
            PepEvent::Decision {
                client_type,
                handle,
                report: Some(report),
                ..
            } => {
                self.reports.push((client_type, handle, report));
            }
            PepEvent::SynchronizeRequested {
                client_type, states, ..
            } => {
                self.resend
                    .extend(states.into_iter().map(|handle| (client_type, handle)));
            }
            PepEvent::ClientAccepted {
                client_type, again, ..
            } => {
                let open = self.pep_openings.insert(client_type, true);
                assert_eq!(open, Some(again), "accepted again or not");
            }
            PepEvent::ClientClosed(end) => {
                let open = self.pep_openings.remove(&end.client_type);
                assert_eq!(open, Some(end.accepted), "one end for each opening");
                self.forget_pep_work(|client_type, _| client_type == end.client_type);
                self.held_by_pep.insert(end.client_type, end.states);
            }
            PepEvent::RequestTimedOut { client_type, handle }
            | PepEvent::StateDeleted {
                client_type, handle, ..
            } => {
                self.forget_pep_work(|found, name| found == client_type && *name == handle);
            }
            PepEvent::Closed { .. } => {
                assert!(self.pep_openings.is_empty(), "openings without an end");
                self.pep_closed = true;
            }
            _ => {}
        }
    }

    fn forget_pep_work(&mut self, gone: impl Fn(ClientType, &ClientHandle) -> bool) {
        self.reports
            .retain(|(client_type, handle, _)| !gone(*client_type, handle));
        self.resend
            .retain(|(client_type, handle)| !gone(*client_type, handle));
    }

    fn pdp_event(&mut self, event: PdpEvent) {
        assert!(!self.pdp_closed, "{event:?} after the last event");
        self.see("PDP", &event);
        match event {
            PdpEvent::OpenRequested { client_type, .. } => self.opens.push(client_type),
            PdpEvent::Request { request, message, .. } => {
                self.requests.push((message.client_type, message.handle, request));
            }
            PdpEvent::StateDeleted {
                client_type, handle, ..
            } => {
                self.requests
                    .retain(|(found, name, _)| (*found, name) != (client_type, &handle));
            }
            PdpEvent::Synchronized {
                client_type, dropped, ..
            } => {
                if !self.disturbed && !self.crossed {
                    assert_eq!(dropped, [], "the PEP forgot a state without a DRQ");
                }
                self.pdp_view.dropped(client_type, &dropped);
            }
            PdpEvent::ClientClosed { client_type, .. } => {
                self.opens.retain(|found| *found != client_type);
                self.requests.retain(|(found, ..)| *found != client_type);
                for held in self.pdp.take_held() {
                    self.held_by_pdp.insert(held.client_type(), held);
                }
            }
            PdpEvent::Closed { .. } => self.pdp_closed = true,
            _ => {}
        }
    }

    fn deliver_to_pdp(&mut self) -> bool {
        let Some(frame) = self.to_pdp.pop_front() else {
            return false;
        };
        if !self.pdp_closed {
            self.pdp_view.received(&frame);
            self.pdp.handle_frame(self.now, Ok(frame)).unwrap();
            self.drain();
        }
        true
    }

    fn deliver_to_pep(&mut self) -> bool {
        let Some(frame) = self.to_pep.pop_front() else {
            return false;
        };
        if !self.pep_closed {
            self.pep_view.received(&frame, self.now);
            self.pep.handle_frame(self.now, Ok(frame)).unwrap();
            self.drain();
        }
        true
    }

    fn pep_does(&mut self, command: PepCommand) -> Result<Option<ClientHandle>, CommandError> {
        let result = self.pep.handle_command(self.now, command);
        self.drain();
        result
    }

    fn pdp_does(&mut self, command: PdpCommand) {
        let result = self.pdp.handle_command(self.now, command);
        self.drain();
        match &result {
            Ok(Done::Accepted { resumed: true, .. }) => self.see("PDP", &"resumed"),
            Ok(Done::Accepted {
                synchronizing: true, ..
            }) => self.see("PDP", &"synchronizing"),
            _ => {}
        }
        assert!(
            !matches!(result, Err(CommandError::Undrained(_) | CommandError::Encode(_))),
            "{result:?}"
        );
    }

    fn open(&mut self, client_type: ClientType) {
        let is_new = !self.pep_openings.contains_key(&client_type);
        let held = if is_new {
            self.held_by_pep.remove(&client_type).unwrap_or_default()
        } else {
            Vec::new()
        };
        let opening = ClientOpening {
            last_pdp_address: (!held.is_empty()).then(address),
            held: held.clone(),
            ..ClientOpening::new(client_type)
        };
        if self.pep.is_closed() {
            self.held_by_pep.insert(client_type, held);
            return;
        }
        if is_new {
            self.pep_openings.insert(client_type, false);
            self.pep_view
                .hold(client_type, held.into_iter().map(|state| state.handle));
        }
        match self.pep_does(PepCommand::Open(opening)) {
            Ok(_) | Err(CommandError::OverLimit { .. } | CommandError::TransmitFull { .. }) => {}
            Err(error) => panic!("{error}"),
        }
    }

    fn accept(&mut self, synchronize: Synchronize, seconds: u16) {
        if self.opens.is_empty() {
            return;
        }
        let client_type = self.opens.remove(0);
        let held = self.held_by_pdp.remove(&client_type);
        if let Some(held) = &held {
            // The model takes over what may be taken over; what is not pushed does not matter.
            self.pdp_view.hold(client_type, held.handles().cloned());
        }
        self.pdp_does(PdpCommand::Accept(Acceptance {
            accounting_timer: Some(AccountingTimer(seconds)),
            held,
            synchronize,
            ..Acceptance::new(client_type, KaTimer(seconds))
        }));
    }

    fn decide(&mut self, place: u8, body: DecisionBody) {
        if self.requests.is_empty() {
            return;
        }
        let (client_type, handle, request) = self.requests.remove(usize::from(place) % self.requests.len());
        self.pdp_does(PdpCommand::Decide {
            client_type,
            handle,
            request,
            body,
        });
    }

    fn report(&mut self, place: u8) {
        if self.reports.is_empty() {
            return;
        }
        let (client_type, handle, decision) = self.reports.remove(usize::from(place) % self.reports.len());
        let outcome = if place.is_multiple_of(2) {
            Outcome::Success
        } else {
            Outcome::Failure
        };
        let command = PepCommand::Report {
            client_type,
            handle,
            decision,
            outcome,
            client_si: Vec::new(),
        };
        self.pep_does(command).unwrap();
    }

    /// Sends a state again that an SSQ asked for.
    fn send_again(&mut self) {
        if self.resend.is_empty() {
            return;
        }
        let (client_type, handle) = self.resend.remove(0);
        let request = RequestBody::configuration(rows("all"));
        let command = PepCommand::Request {
            client_type,
            handle: Some(handle.clone()),
            request,
        };
        match self.pep_does(command) {
            Err(CommandError::RequestOpen(_)) => self.resend.push((client_type, handle)),
            // Deleted by command meanwhile.
            Ok(_) | Err(CommandError::UnknownHandle(_)) => {}
            Err(error) => panic!("{error}"),
        }
    }

    fn handle(&self, client_type: ClientType, place: u8) -> Option<ClientHandle> {
        let handles: Vec<_> = self.pep.handles(client_type).cloned().collect();
        (!handles.is_empty()).then(|| handles[usize::from(place) % handles.len()].clone())
    }

    fn pass(&mut self, milliseconds: u64) {
        let end = self.now.after(Duration::from_millis(milliseconds));
        loop {
            let next = [self.pep.poll_timeout(), self.pdp.poll_timeout()];
            let Some(next) = next.into_iter().flatten().min().filter(|next| *next <= end) else {
                break;
            };
            assert!(next >= self.now, "a deadline that was let go by");
            self.now = next;
            self.pep.handle_timeout(next);
            self.pdp.handle_timeout(next);
            self.drain();
        }
        self.now = end;
    }

    pub(crate) fn step(&mut self, (operation, a, b): Operation) {
        let client_type = if a.is_multiple_of(4) { CT2 } else { CT };
        match operation {
            0..=5 => {
                self.deliver_to_pdp();
            }
            6..=11 => {
                self.deliver_to_pep();
            }
            12 => self.open(client_type),
            13 => {
                let request = RequestBody::configuration(rows("new"));
                let _ = self.pep_does(PepCommand::Request {
                    client_type,
                    handle: None,
                    request,
                });
            }
            14 | 15 => {
                if let Some(handle) = self.handle(client_type, b) {
                    let mut request = RequestBody::incremental(rows("change"));
                    request.full_state = a.is_multiple_of(3);
                    request.more_follows = false;
                    let _ = self.pep_does(PepCommand::Request {
                        client_type,
                        handle: Some(handle),
                        request,
                    });
                }
            }
            16..=18 => self.report(b),
            19 => {
                if let Some(handle) = self.handle(client_type, b) {
                    let report = match a % 3 {
                        0 => UnsolicitedReport::Failure,
                        1 => UnsolicitedReport::PeriodicAccounting,
                        _ => UnsolicitedReport::FinalAccounting,
                    };
                    let client_si = Vec::new();
                    let _ = self.pep_does(PepCommand::ReportUnsolicited {
                        client_type,
                        handle,
                        report,
                        client_si,
                    });
                }
            }
            20 => {
                if let Some(handle) = self.handle(client_type, b) {
                    let interval = Some(Duration::from_secs((a % 8).into()));
                    let _ = self.pep_does(PepCommand::SetAccounting {
                        client_type,
                        handle,
                        interval,
                    });
                }
            }
            21 => {
                if let Some(handle) = self.handle(client_type, b) {
                    let reason = Reason::new(ReasonCode::MANAGEMENT);
                    let command = PepCommand::Delete {
                        client_type,
                        handle: handle.clone(),
                        reason,
                    };
                    if self.pep_does(command).is_ok() {
                        self.forget_pep_work(|found, name| found == client_type && *name == handle);
                    }
                }
            }
            22 => self.send_again(),
            23..=25 => self.accept(Synchronize::WhenNeeded, u16::from(b % 48)),
            26 => self.accept(Synchronize::Always, 10 + u16::from(b)),
            27 | 28 => self.decide(b, null()),
            29 => self.decide(b, refused()),
            30 | 31 => {
                let handles: Vec<_> = self.pdp.handles(client_type).cloned().collect();
                if !handles.is_empty() {
                    let handle = handles[usize::from(b) % handles.len()].clone();
                    self.pdp_does(PdpCommand::Push {
                        client_type,
                        handle,
                        decisions: install("plan"),
                    });
                }
            }
            32 => self.pdp_does(PdpCommand::Synchronize {
                client_type,
                handle: None,
            }),
            33 => {
                let handle = Some(self.handle(client_type, b).unwrap_or_else(x));
                self.pdp_does(PdpCommand::Synchronize { client_type, handle });
            }
            34 => self.pass(u64::from(a) * 10),
            35 => self.pass(u64::from(a) * 200),
            36 if a < 64 => self.reconnect(),
            37 if a < 64 => {
                self.crossed = true;
                let error = CopsError::new(ErrorCode::CLIENT_FAILURE);
                let _ = self.pep_does(PepCommand::Close { client_type, error });
                self.held_by_pep.remove(&client_type);
            }
            38 if a < 32 => {
                self.crossed = true;
                let error = CopsError::new(ErrorCode::UNSPECIFIED);
                self.pdp_does(PdpCommand::Close {
                    client_type,
                    error,
                    redirect: None,
                });
            }
            39 if a < 32 => {
                self.crossed = true;
                self.pdp_does(PdpCommand::Supersede { client_type });
            }
            _ => {}
        }
    }

    /// Somebody else's message, well formed or not, at one end.
    pub(crate) fn disturb(&mut self, frame: Frame, at_pdp: bool) {
        self.disturbed = true;
        if at_pdp {
            self.to_pdp.push_front(frame);
            self.deliver_to_pdp();
        } else {
            self.to_pep.push_front(frame);
            self.deliver_to_pep();
        }
    }

    /// Delivers and answers until nothing is left to do. No time passes.
    pub(crate) fn settle(&mut self) {
        for _ in 0..10_000 {
            let mut busy = self.deliver_to_pdp() | self.deliver_to_pep();
            // Whoever closed its session closes the connection when everything is sent.
            if !busy && self.pdp_closed && !self.pep_closed {
                self.pep.handle_disconnect();
                self.drain();
            }
            if !busy && self.pep_closed && !self.pdp_closed {
                self.pdp.handle_disconnect(self.now);
                self.drain();
            }
            if !self.pdp_closed {
                busy |= !self.opens.is_empty() || !self.requests.is_empty();
                self.accept(Synchronize::WhenNeeded, 40);
                self.decide(0, null());
            }
            if !self.pep_closed {
                busy |= !self.reports.is_empty() || !self.resend.is_empty();
                self.report(0);
                self.send_again();
            }
            if !busy {
                return;
            }
        }
        panic!("they never come to rest");
    }

    pub(crate) fn assert_settled(&self) {
        if self.pep_closed || self.pdp_closed {
            return;
        }
        self.pep_view.assert_settled();
        self.pdp_view.assert_settled();
        for client_type in [CT, CT2] {
            assert_eq!(
                self.pep.is_open(client_type),
                self.pdp.is_open(client_type),
                "{client_type}"
            );
            for handle in self.pdp.handles(client_type) {
                assert!(
                    self.pep.handles(client_type).any(|found| found == handle),
                    "only the PDP has {handle}"
                );
            }
        }
        if !self.crossed {
            assert_eq!(self.pep.counters().unasked, 0);
        }
    }
}
