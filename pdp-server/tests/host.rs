//! A host with modules of a test's own, and PEPs made of the codec's session: octets pass between the two.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cops_codec::limits::Limits;
use cops_codec::message::{Decision, DecisionBody};
use cops_codec::session::pep::{
    ClientOpening, HeldRequestState, PepCommand, PepConfig, PepEvent, PepSession, RequestBody,
};
use cops_codec::session::{CloseCause, Moment};
use cops_codec::wire::{
    ClientHandle, ClientType, Context, CopsError, ErrorCode, KaTimer, PdpAddress, PepId, Reason, ReasonCode,
};
use pdp_server::host::{
    Asked, Availability, BoxedModule, ClientTypeModule, ConnectionId, Deleted, Host, HostConfig, Hosting,
    ModuleLimits, Now, Opening, Terms, Verdict,
};

const A: ClientType = ClientType(0x4001);
const B: ClientType = ClientType(0x4002);

/// What a module was told, in a line each.
type Told = Arc<Mutex<Vec<String>>>;

/// Answers NULL, and writes down what it is told.
struct Scribe {
    client_type: ClientType,
    limits: ModuleLimits,
    resume: bool,
    told: Told,
}

impl Scribe {
    fn tell(&self, line: String) {
        self.told
            .lock()
            .unwrap()
            .push(format!("{} {line}", self.client_type.0));
    }
}

impl ClientTypeModule for Scribe {
    fn client_type(&self) -> ClientType {
        self.client_type
    }

    fn limits(&self) -> ModuleLimits {
        self.limits
    }

    fn open(&mut self, _: &mut Hosting<'_>, opening: &Opening) -> Verdict {
        if opening.pep_id.as_str() == "stranger" {
            return Verdict::refuse(ErrorCode::UNABLE_TO_PROCESS);
        }
        Verdict::Accept(Terms {
            resume: self.resume,
            ..Terms::new(KaTimer(60))
        })
    }

    fn opened(&mut self, _: &mut Hosting<'_>, opening: &Opening, resumed: bool) {
        let again = if opening.again { " again" } else { "" };
        self.tell(format!(
            "opened {} resumed {resumed}{again}",
            opening.connection.0
        ));
    }

    fn request(&mut self, hosting: &mut Hosting<'_>, asked: Asked<'_>) {
        self.tell(format!("request {}", asked.message.handle));
        let null = Decision::null(asked.message.context);
        hosting
            .decide(&asked, DecisionBody::Decisions(vec![null]))
            .unwrap();
    }

    fn state_deleted(&mut self, _: &mut Hosting<'_>, id: ConnectionId, handle: &ClientHandle, _: Deleted) {
        self.tell(format!("deleted {} {handle}", id.0));
    }

    fn closed(&mut self, _: &mut Hosting<'_>, id: ConnectionId, _: &CloseCause, held: bool) {
        self.tell(format!("closed {} held {held}", id.0));
    }

    fn forgotten(&mut self, _: &mut Hosting<'_>, pep_id: &PepId) {
        self.tell(format!("forgotten {pep_id}"));
    }
}

struct World {
    host: Host,
    modules: BTreeMap<ClientType, BoxedModule>,
    told: Told,
    peps: BTreeMap<ConnectionId, PepSession>,
    events: RefCell<BTreeMap<ConnectionId, Vec<PepEvent>>>,
    now: u64,
    next: u64,
}

fn own() -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 1], 3288))
}

impl World {
    fn new(limits: ModuleLimits, resume: bool) -> Self {
        let told = Told::default();
        let mut modules = BTreeMap::new();
        for client_type in [A, B] {
            let scribe = Scribe {
                client_type,
                limits,
                resume,
                told: Arc::clone(&told),
            };
            modules.insert(client_type, Box::new(scribe) as BoxedModule);
        }
        let config = HostConfig {
            report_timeout: Duration::from_secs(60),
            addresses: Vec::new(),
            first_open_timeout: Duration::from_secs(10),
            hold_time: Duration::from_secs(60),
            max_held: 100,
            wire_limits: Limits::DEFAULT,
        };
        Self {
            host: Host::new(config, now(0)),
            modules,
            told,
            peps: BTreeMap::new(),
            events: RefCell::default(),
            now: 0,
            next: 0,
        }
    }

    fn told(&self) -> Vec<String> {
        std::mem::take(&mut self.told.lock().unwrap())
    }

    /// A connection, with an OPN for each client-type.
    fn connect(&mut self, name: &str, openings: Vec<ClientOpening>) -> ConnectionId {
        self.next += 1;
        let id = ConnectionId(self.next);
        let address = SocketAddr::from(([192, 0, 2, 9], 40_000));
        self.host
            .connected(&mut self.modules, now(self.now), id, address, Some(own()));
        let mut config = PepConfig::new(PepId::new(name).unwrap());
        config.pdp_address = Some(own().into());
        let mut pep = PepSession::new(config, Moment(self.now), self.next);
        for opening in openings {
            pep.handle_command(Moment(self.now), PepCommand::Open(opening))
                .unwrap();
        }
        self.peps.insert(id, pep);
        self.exchange();
        id
    }

    fn exchange(&mut self) {
        loop {
            let mut moved = false;
            for (id, pep) in &mut self.peps {
                while let Some(frame) = pep.poll_transmit() {
                    moved = true;
                    self.host
                        .handle_frame(&mut self.modules, now(self.now), *id, Ok(frame));
                }
            }
            while let Some(id) = self.host.poll_ready() {
                while let Some(frame) = self.host.poll_transmit(id) {
                    moved = true;
                    if let Some(pep) = self.peps.get_mut(&id) {
                        pep.handle_frame(Moment(self.now), Ok(frame)).unwrap();
                    }
                }
            }
            for (id, pep) in &mut self.peps {
                let mut events = self.events.borrow_mut();
                events
                    .entry(*id)
                    .or_default()
                    .extend(std::iter::from_fn(|| pep.poll_event()));
            }
            if !moved {
                return;
            }
        }
    }

    fn ask(&mut self, id: ConnectionId, client_type: ClientType) -> ClientHandle {
        let request = RequestBody::configuration(Vec::new());
        let command = PepCommand::Request {
            client_type,
            handle: None,
            request,
        };
        let pep = self.peps.get_mut(&id).unwrap();
        let handle = pep.handle_command(Moment(self.now), command).unwrap().unwrap();
        self.exchange();
        // Each decision for configuration has its report.
        for event in self.events(id) {
            if let PepEvent::Decision {
                client_type,
                handle,
                report: Some(decision),
                ..
            } = event
            {
                let outcome = cops_codec::session::pep::Outcome::Success;
                let report = PepCommand::Report {
                    client_type,
                    handle,
                    decision,
                    outcome,
                    client_si: Vec::new(),
                };
                let pep = self.peps.get_mut(&id).unwrap();
                pep.handle_command(Moment(self.now), report).unwrap();
            } else {
                self.events.borrow_mut().entry(id).or_default().push(event);
            }
        }
        self.exchange();
        handle
    }

    fn events(&self, id: ConnectionId) -> Vec<PepEvent> {
        self.events.borrow_mut().remove(&id).unwrap_or_default()
    }

    /// How the PDP closed client-types: with which error, and which address.
    fn closes(&self, id: ConnectionId) -> Vec<(ClientType, ErrorCode, Option<PdpAddress>)> {
        self.events(id)
            .into_iter()
            .filter_map(|event| match event {
                PepEvent::ClientClosed(end) => match end.cause {
                    CloseCause::Peer { error, redirect } => Some((end.client_type, error.code, redirect)),
                    other => panic!("{other}"),
                },
                _ => None,
            })
            .collect()
    }

    fn cut(&mut self, id: ConnectionId) {
        self.peps.remove(&id);
        self.host.disconnected(&mut self.modules, now(self.now), id);
        self.host.forget_connection(id);
    }

    fn set(&mut self, client_type: ClientType, availability: Availability) -> usize {
        let told = self
            .host
            .set_availability(&mut self.modules, now(self.now), client_type, availability);
        self.exchange();
        told
    }
}

fn now(millis: u64) -> Now {
    Now {
        real_millis: millis,
        engine_millis: millis,
    }
}

fn both() -> Vec<ClientOpening> {
    vec![ClientOpening::new(A), ClientOpening::new(B)]
}

#[test]
fn each_client_type_of_a_connection_is_its_modules_alone() {
    let mut w = World::new(ModuleLimits::DEFAULT, false);
    let id = w.connect("router", both());
    assert_eq!(
        w.told(),
        ["16385 opened 1 resumed false", "16386 opened 1 resumed false"]
    );
    let handle = w.ask(id, B);
    assert_eq!(w.told(), [format!("16386 request {handle}")]);
    let close = PepCommand::Close {
        client_type: A,
        error: CopsError::new(ErrorCode::SHUTTING_DOWN),
    };
    w.peps
        .get_mut(&id)
        .unwrap()
        .handle_command(Moment(0), close)
        .unwrap();
    w.exchange();
    assert_eq!(w.told(), ["16385 closed 1 held false"]);
    assert_eq!((w.host.open_count(A), w.host.open_count(B)), (0, 1));
    let delete = PepCommand::Delete {
        client_type: B,
        handle: handle.clone(),
        reason: Reason::new(ReasonCode::MANAGEMENT),
    };
    w.peps
        .get_mut(&id)
        .unwrap()
        .handle_command(Moment(0), delete)
        .unwrap();
    w.exchange();
    assert_eq!(w.told(), [format!("16386 deleted 1 {handle}")]);
}

#[test]
fn what_a_module_refuses_or_nobody_serves_is_closed_and_the_rest_stays_open_c_2_3_05() {
    let mut w = World::new(ModuleLimits::DEFAULT, false);
    let id = w.connect("stranger", both());
    let refused = [A, B].map(|client_type| (client_type, ErrorCode::UNABLE_TO_PROCESS, None));
    assert_eq!(w.closes(id), refused);
    let third = ClientType(0x4003);
    let id = w.connect("router", vec![ClientOpening::new(A), ClientOpening::new(third)]);
    assert_eq!(w.closes(id), [(third, ErrorCode::UNSUPPORTED_CLIENT_TYPE, None)]);
    assert!(w.peps[&id].is_open(A));
}

#[test]
fn a_pep_is_sent_to_another_pdp_and_back_c_2_2_13_02_c_2_3_06_c_2_3_11_c_3_8_03() {
    let four = PdpAddress::from(SocketAddr::from(([192, 0, 2, 2], 3288)));
    let six = PdpAddress::from("[2001:db8::2]:4000".parse::<SocketAddr>().unwrap());
    for to in [four, six] {
        let mut w = World::new(ModuleLimits::DEFAULT, false);
        let connected = w.connect("router", both());
        w.ask(connected, A);
        w.told();
        assert_eq!(w.set(A, Availability::Redirecting(to)), 1);
        let sent = (A, ErrorCode::REDIRECT, Some(to));
        assert_eq!(
            w.closes(connected),
            [sent],
            "the one that is connected is told, for that client-type"
        );
        assert!(w.peps[&connected].is_open(B));
        assert_eq!(
            w.told(),
            ["16385 closed 1 held false"],
            "its state goes (RFC 2748 4.7)"
        );
        let later = w.connect("other", both());
        assert_eq!(w.closes(later), [sent], "one that comes is told too");
        assert_eq!(
            w.told(),
            ["16386 opened 2 resumed false"],
            "and no module is asked"
        );
        w.set(A, Availability::Serving);
        let back = w.connect("third", both());
        assert_eq!(w.closes(back), []);
        assert!(w.peps[&back].is_open(A));
    }
}

#[test]
fn draining_sends_peps_away_without_an_address_c_3_8_03() {
    let mut w = World::new(ModuleLimits::DEFAULT, false);
    let connected = w.connect("router", both());
    assert_eq!(w.set(A, Availability::Draining), 1);
    assert_eq!(w.set(B, Availability::Draining), 1);
    let away = [A, B].map(|client_type| (client_type, ErrorCode::SHUTTING_DOWN, None));
    assert_eq!(w.closes(connected), away);
    let later = w.connect("other", both());
    assert_eq!(w.closes(later), away);
    // Asked again while it is open, a client-type that is drained is closed too: nothing stays by accident.
    w.set(A, Availability::Serving);
    let open = w.connect("third", vec![ClientOpening::new(A)]);
    w.set(A, Availability::Draining);
    assert_eq!(w.closes(open).len(), 1);
}

#[test]
fn over_its_limit_a_module_is_not_asked() {
    let limits = ModuleLimits {
        max_peps: 1,
        max_states: 2,
    };
    let mut w = World::new(limits, false);
    let first = w.connect("first", vec![ClientOpening::new(A)]);
    let second = w.connect("second", both());
    assert_eq!(w.closes(second), [(A, ErrorCode::UNABLE_TO_PROCESS, None)]);
    assert!(w.peps[&second].is_open(B), "another module has its own limit");
    w.told();
    for _ in 0..3 {
        w.ask(first, A);
    }
    assert_eq!(w.told().len(), 2);
    let refused: Vec<_> = w
        .events(first)
        .into_iter()
        .filter_map(|event| match event {
            PepEvent::RequestRefused { error, .. } => Some(error.code),
            _ => None,
        })
        .collect();
    assert_eq!(refused, [ErrorCode::UNABLE_TO_PROCESS]);
    // Who leaves makes room.
    w.cut(first);
    let third = w.connect("third", vec![ClientOpening::new(A)]);
    assert!(w.peps[&third].is_open(A));
}

/// OPN of a PEP that holds one decided state of this PDP.
fn coming_back(handle: &ClientHandle) -> ClientOpening {
    ClientOpening {
        last_pdp_address: Some(own().into()),
        held: vec![HeldRequestState {
            handle: handle.clone(),
            context: Context::CONFIGURATION,
            confirmed: true,
        }],
        ..ClientOpening::new(A)
    }
}

#[test]
fn a_pep_that_comes_back_goes_on_if_the_module_lets_it_c_2_5_07() {
    for resume in [true, false] {
        let mut w = World::new(ModuleLimits::DEFAULT, resume);
        let id = w.connect("router", vec![ClientOpening::new(A)]);
        let handle = w.ask(id, A);
        w.told();
        w.cut(id);
        assert_eq!(w.told(), ["16385 closed 1 held true"]);
        let back = w.connect("router", vec![coming_back(&handle)]);
        assert_eq!(w.told(), [format!("16385 opened 2 resumed {resume}")]);
        let asked = w
            .events(back)
            .iter()
            .any(|event| matches!(event, PepEvent::SynchronizeRequested { .. }));
        assert_eq!(asked, !resume, "who is not resumed is synchronised");
    }
}

#[test]
fn a_newer_connection_takes_the_states_of_the_older_over() {
    let mut w = World::new(ModuleLimits::DEFAULT, true);
    let older = w.connect("router", vec![ClientOpening::new(A)]);
    let handle = w.ask(older, A);
    w.told();
    let newer = w.connect("router", vec![coming_back(&handle)]);
    assert_eq!(
        w.told(),
        ["16385 closed 1 held true", "16385 opened 2 resumed true"]
    );
    assert_eq!(w.closes(older), [(A, ErrorCode::COMMUNICATION_FAILURE, None)]);
    assert!(w.peps[&newer].is_open(A));
    assert_eq!(w.host.open_count(A), 1);
    // The older one's end, seen late, takes nothing away.
    w.cut(older);
    assert_eq!(w.told(), Vec::<String>::new());
}

#[test]
fn a_pep_that_does_not_come_back_is_forgotten_c_2_3_08() {
    let mut w = World::new(ModuleLimits::DEFAULT, true);
    let id = w.connect("router", vec![ClientOpening::new(A)]);
    let handle = w.ask(id, A);
    w.cut(id);
    w.told();
    let due = w.host.poll_timeout(&w.modules).unwrap();
    assert_eq!(due, Moment(60_000));
    w.now = due.0;
    w.host.handle_timeout(&mut w.modules, now(w.now));
    assert_eq!(w.told(), ["16385 forgotten router"]);
    w.connect("router", vec![coming_back(&handle)]);
    assert_eq!(w.told(), ["16385 opened 2 resumed false"]);
}
