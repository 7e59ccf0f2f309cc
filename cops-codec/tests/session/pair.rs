//! Both ends of one connection, one virtual clock, and octets between them. Nothing sleeps.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use cops_codec::session::pdp::{Acceptance, Done, PdpCommand, PdpConfig, PdpEvent, PdpSession};
use cops_codec::session::pep::{
    ClientOpening, Outcome, PepCommand, PepConfig, PepEvent, PepSession, RequestBody,
};
use cops_codec::session::{CommandError, DecisionId, Moment, RequestId};
use cops_codec::wire::{
    ClientHandle, ClientSi, ClientType, Context, KaTimer, OpCode, PdpAddress, PepId, Role,
};
use cops_codec::{
    Framer, Limits, Message,
    message::{Decision, DecisionBody},
};

/// For private use (RFC 2748 6), as all tests should have it.
pub(crate) const CT: ClientType = ClientType(0x5057);

/// Another one on the same connection.
pub(crate) const CT2: ClientType = ClientType(0x4001);

pub(crate) fn address() -> PdpAddress {
    PdpAddress {
        address: std::net::Ipv4Addr::new(192, 0, 2, 1).into(),
        port: 3288,
    }
}

pub(crate) fn other_address() -> PdpAddress {
    PdpAddress {
        address: std::net::Ipv4Addr::new(192, 0, 2, 2).into(),
        port: 3288,
    }
}

pub(crate) fn pep_id() -> PepId {
    PepId::new("pep1").unwrap()
}

pub(crate) fn pep_config() -> PepConfig {
    let mut config = PepConfig::new(pep_id());
    config.pdp_address = Some(address());
    config
}

pub(crate) fn pdp_config() -> PdpConfig {
    PdpConfig::new(vec![CT, CT2], vec![address()])
}

/// Rows of some kind; the session does not look into them.
pub(crate) fn rows(text: &str) -> Vec<ClientSi> {
    vec![ClientSi::Named(Bytes::copy_from_slice(text.as_bytes()))]
}

pub(crate) fn null() -> DecisionBody {
    DecisionBody::Decisions(vec![Decision::null(Context::CONFIGURATION)])
}

pub(crate) fn install(text: &str) -> Vec<Decision> {
    vec![Decision::install(
        Context::CONFIGURATION,
        Bytes::copy_from_slice(text.as_bytes()),
    )]
}

/// One message that went over the wire, for the log of an exchange.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sent {
    pub(crate) at: Moment,
    pub(crate) from: Role,
    pub(crate) message: Message,
}

impl Sent {
    /// As exchanges are written down: who, what, and `S` for the solicited flag.
    pub(crate) fn short(&self) -> String {
        let from = match self.from {
            Role::Pep => "PEP",
            Role::Pdp => "PDP",
        };
        let solicited = if self.message.solicited() { " S" } else { "" };
        format!("{from} {}{solicited}", self.message.op_code())
    }
}

/// The two ends. Octets are handed over in pieces of `piece` octets.
pub(crate) struct Pair {
    pub(crate) now: Moment,
    pub(crate) pep: PepSession,
    pub(crate) pdp: PdpSession,
    pep_framer: Framer,
    pdp_framer: Framer,
    pub(crate) piece: usize,
    /// All that went over the wire.
    pub(crate) log: Vec<Sent>,
    /// Events not yet looked at.
    pub(crate) pep_events: VecDeque<PepEvent>,
    pub(crate) pdp_events: VecDeque<PdpEvent>,
    /// Whether what the PEP, or the PDP, sends is lost.
    pub(crate) black_hole: bool,
}

impl Pair {
    pub(crate) fn new() -> Self {
        Self::with(pep_config(), pdp_config(), Moment(1_000))
    }

    pub(crate) fn with(pep: PepConfig, pdp: PdpConfig, now: Moment) -> Self {
        Self {
            now,
            pep_framer: Framer::new(pep.wire_limits),
            pdp_framer: Framer::new(pdp.wire_limits),
            pep: PepSession::new(pep, now, 7),
            pdp: PdpSession::new(pdp, now),
            piece: usize::MAX,
            log: Vec::new(),
            pep_events: VecDeque::new(),
            pdp_events: VecDeque::new(),
            black_hole: false,
        }
    }

    /// A pair in which [`CT`] is open.
    pub(crate) fn open() -> Self {
        let mut pair = Self::new();
        pair.open_client(CT);
        pair
    }

    pub(crate) fn open_client(&mut self, client_type: ClientType) {
        self.pep_does(PepCommand::Open(ClientOpening::new(client_type)));
        assert!(matches!(
            self.pdp_event(),
            PdpEvent::OpenRequested { client_type: found, .. } if found == client_type
        ));
        self.pdp_does(PdpCommand::Accept(Acceptance::new(client_type, KaTimer(40))));
        assert!(matches!(
            self.pep_event(),
            PepEvent::ClientAccepted { client_type: found, .. } if found == client_type
        ));
    }

    /// A pair with one request-state, decided and reported on.
    pub(crate) fn installed() -> (Self, ClientHandle) {
        let mut pair = Self::open();
        let handle = pair.install_state();
        (pair, handle)
    }

    pub(crate) fn install_state(&mut self) -> ClientHandle {
        let handle = self.request(None, RequestBody::configuration(rows("state")));
        let request = self.pdp_request(&handle);
        self.decide(&handle, request, null());
        let report = self.pep_decision(&handle, true);
        self.report(&handle, report, Outcome::Success);
        assert!(matches!(
            self.pdp_event(),
            PdpEvent::Report {
                decision: Some(_),
                ..
            }
        ));
        handle
    }

    pub(crate) fn request(&mut self, handle: Option<&ClientHandle>, request: RequestBody) -> ClientHandle {
        self.pep_does(PepCommand::Request {
            client_type: CT,
            handle: handle.cloned(),
            request,
        })
        .unwrap()
    }

    pub(crate) fn report(&mut self, handle: &ClientHandle, decision: DecisionId, outcome: Outcome) {
        self.pep_does(PepCommand::Report {
            client_type: CT,
            handle: handle.clone(),
            decision,
            outcome,
            client_si: Vec::new(),
        });
    }

    pub(crate) fn decide(&mut self, handle: &ClientHandle, request: RequestId, body: DecisionBody) -> Done {
        self.pdp_does(PdpCommand::Decide {
            client_type: CT,
            handle: handle.clone(),
            request,
            body,
        })
    }

    pub(crate) fn push(&mut self, handle: &ClientHandle, text: &str) -> Done {
        self.pdp_does(PdpCommand::Push {
            client_type: CT,
            handle: handle.clone(),
            decisions: install(text),
        })
    }

    /// The next PDP event, which has to be a REQ for this handle.
    pub(crate) fn pdp_request(&mut self, handle: &ClientHandle) -> RequestId {
        match self.pdp_event() {
            PdpEvent::Request { request, message, .. } if message.handle == *handle => request,
            other => panic!("expected a request for {handle}, found {other:?}"),
        }
    }

    /// The next PEP event, which has to be a decision for this handle that wants a report.
    pub(crate) fn pep_decision(&mut self, handle: &ClientHandle, solicited: bool) -> DecisionId {
        match self.pep_event() {
            PepEvent::Decision {
                handle: found,
                solicited: flag,
                report: Some(report),
                ..
            } if found == *handle && flag == solicited => report,
            other => panic!("expected a decision for {handle}, found {other:?}"),
        }
    }

    pub(crate) fn pep_tries(&mut self, command: PepCommand) -> Result<Option<ClientHandle>, CommandError> {
        let result = self.pep.handle_command(self.now, command);
        self.drain();
        result
    }

    pub(crate) fn pep_does(&mut self, command: PepCommand) -> Option<ClientHandle> {
        self.pep_tries(command).unwrap()
    }

    pub(crate) fn pdp_tries(&mut self, command: PdpCommand) -> Result<Done, CommandError> {
        let result = self.pdp.handle_command(self.now, command);
        self.drain();
        result
    }

    pub(crate) fn pdp_does(&mut self, command: PdpCommand) -> Done {
        self.pdp_tries(command).unwrap()
    }

    #[track_caller]
    pub(crate) fn pep_event(&mut self) -> PepEvent {
        self.pep_events.pop_front().expect("a PEP event")
    }

    #[track_caller]
    pub(crate) fn pdp_event(&mut self) -> PdpEvent {
        self.pdp_events.pop_front().expect("a PDP event")
    }

    #[track_caller]
    pub(crate) fn assert_quiet(&self) {
        assert_eq!(self.pep_events, [], "PEP events");
        assert_eq!(self.pdp_events, [], "PDP events");
    }

    #[track_caller]
    pub(crate) fn assert_no_pep_event(&self) {
        assert_eq!(self.pep_events, [], "PEP events");
    }

    /// Hands over what waits at either end, until nothing does.
    pub(crate) fn drain(&mut self) {
        let limits = Limits::default();
        loop {
            let mut moved = false;
            while let Some(event) = self.pep.poll_event() {
                self.pep_events.push_back(event);
                moved = true;
            }
            while let Some(event) = self.pdp.poll_event() {
                self.pdp_events.push_back(event);
                moved = true;
            }
            if let Some(frame) = self.pep.poll_transmit() {
                moved = true;
                self.note(Role::Pep, Message::decode(&frame, &limits).unwrap());
                if !self.black_hole {
                    for piece in frame.chunks(self.piece) {
                        self.pdp_framer.push(piece);
                        while let Some(frame) = self.pdp_framer.next_frame().unwrap() {
                            self.pdp.handle_frame(self.now, Ok(frame)).unwrap();
                        }
                    }
                }
            }
            if let Some(frame) = self.pdp.poll_transmit() {
                moved = true;
                self.note(Role::Pdp, Message::decode(&frame, &limits).unwrap());
                if !self.black_hole {
                    for piece in frame.chunks(self.piece) {
                        self.pep_framer.push(piece);
                        while let Some(frame) = self.pep_framer.next_frame().unwrap() {
                            self.pep.handle_frame(self.now, Ok(frame)).unwrap();
                        }
                    }
                }
            }
            if !moved {
                return;
            }
        }
    }

    fn note(&mut self, from: Role, message: Message) {
        self.log.push(Sent {
            at: self.now,
            from,
            message,
        });
    }

    /// Lets time pass, stopping at each deadline of either end.
    pub(crate) fn pass(&mut self, duration: Duration) {
        let end = self.now.after(duration);
        loop {
            let next = [self.pep.poll_timeout(), self.pdp.poll_timeout()]
                .into_iter()
                .flatten()
                .min()
                .filter(|deadline| *deadline <= end);
            let Some(next) = next else { break };
            self.now = self.now.max(next);
            self.pep.handle_timeout(self.now);
            self.pdp.handle_timeout(self.now);
            self.drain();
        }
        self.now = end;
    }

    /// Lets time pass for both ends, and loses what the PEP sends.
    pub(crate) fn pass_one_way(&mut self, duration: Duration) {
        self.black_hole = true;
        self.pass(duration);
        self.black_hole = false;
    }

    /// Hands over what the PDP sent, and takes the PEP's events away.
    pub(crate) fn hand_to_pep(&mut self) {
        while let Some(frame) = self.pdp.poll_transmit() {
            self.pep.handle_frame(self.now, Ok(frame)).unwrap();
        }
        while self.pep.poll_event().is_some() {}
    }

    /// The report on a decision that the PEP's own session has sent in vain. What follows from it is lost.
    pub(crate) fn feed_pdp_report(&mut self, handle: &ClientHandle) {
        self.pdp
            .handle_frame(self.now, crate::frames::report(handle.clone(), true))
            .unwrap();
        while self.pdp.poll_transmit().is_some() {}
    }

    /// What went over the wire since the log was last taken, as it is written down, without keep-alives.
    pub(crate) fn exchange(&mut self) -> Vec<String> {
        core::mem::take(&mut self.log)
            .iter()
            .filter(|sent| sent.message.op_code() != OpCode::KEEP_ALIVE)
            .map(Sent::short)
            .collect()
    }
}

/// One octet at a time, or all at once: the session sees the same.
pub(crate) fn both_ways(mut exchange: impl FnMut(usize)) {
    exchange(1);
    exchange(usize::MAX);
}
