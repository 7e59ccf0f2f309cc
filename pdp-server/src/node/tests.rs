//! The node against PEPs that are made of the codec's own PEP session and row store: octets pass between the two.

use cops_codec::client_type::framework::{AdminString, Longevity, PrcSupport};
use cops_codec::client_type::framework::{DeviceId, PibIncarnation};
use cops_codec::client_type::power as wire;
use cops_codec::client_type::store::{InstalledRows, PlanStatus, RowLimits, build};
use cops_codec::client_type::{Bounded, Class, Row};
use cops_codec::provisioning::{InstanceId, Prid, ReferenceId, Transaction};
use cops_codec::session::CloseCause;
use cops_codec::session::pep::{
    ClientOpening, Outcome, PepCommand, PepConfig, PepEvent, PepSession, RequestBody,
};
use cops_codec::wire::{ClientHandle, ClientSi, ErrorCode, PepId};
use cops_codec::{Framer, Message};
use power_policy::interruption::Command;
use power_policy::model::{Phase, Scope};

use super::*;

mod hostile;

const CONFIG: &str = r#"
name = "pdp-1"
[listen]
address = "127.0.0.1:3288"
[journal]
path = "j"
[admin]
socket = "s"
[peer_default]
armed = true
[qos.gold]
priority = 900
weight = 64
target_seconds = 3600
[qos.bronze]
priority = 100
[policy]
restart_stagger_seconds = 1
[cops]
keep_alive_seconds = 30
accounting_seconds = 10
"#;

/// Enough to fill a message.
const STEPS: usize = 10_000;

fn number(n: u32) -> InstanceId {
    InstanceId::new(n).unwrap()
}

fn wname(text: &str) -> wire::Name {
    wire::Name::new(text).unwrap()
}

/// What a PEP says it is: one server with its own UPS in a domain, and activities of two classes.
#[derive(Debug, Clone)]
struct Facts {
    name: String,
    mains: wire::Mains,
    charge_joules: u64,
    states: Vec<(String, String, wire::ActivityState)>,
    results: Vec<wire::ActionResult>,
    /// The largest message that it says it takes.
    max_msg: u32,
}

impl Facts {
    fn new(name: &str) -> Self {
        let activity = |n: &str, qos: &str| {
            let running = wire::ActivityState::Running;
            (format!("{n}-{name}"), qos.to_owned(), running)
        };
        Self {
            name: name.to_owned(),
            mains: wire::Mains::Present,
            charge_joules: 360_000,
            states: vec![activity("db", "gold"), activity("batch", "bronze")],
            results: Vec::new(),
            max_msg: 65_536,
        }
    }

    fn rows(&self, held: wire::Held) -> Vec<Row> {
        let name = wname(&self.name);
        let ups = wname(&format!("ups-{}", self.name));
        let permille = |n| Bounded::new(n).unwrap();
        let mut rows = vec![
            Row::from(wire::Server {
                instance: number(1),
                name: name.clone(),
                idle_milliwatts: 100_000,
                peak_milliwatts: 300_000,
                cpu_millicores: 16_000,
                memory_mebibytes: 64_000,
                powered: wire::Powered::On,
                boot_millis: 60_000,
                boot_joules: 6_000,
                halt_millis: 20_000,
                halt_joules: 2_000,
                starter: None,
                fan_in: 2,
                simulated: true,
                role: wire::Role::Custodian,
            }),
            Row::from(wire::Inlet {
                instance: number(1),
                server: ReferenceId(number(1)),
                domain: wname("feed"),
                max_milliwatts: 1_000_000,
            }),
            Row::from(wire::Domain {
                instance: number(1),
                name: wname("feed"),
                mains: self.mains,
                witness: wire::Witness::Inlet,
                age_millis: 0,
            }),
            Row::from(wire::Reserve {
                instance: number(1),
                name: ups.clone(),
                role: wire::Role::Custodian,
                chemistry: wire::Chemistry::Lithium,
                capacity_joules: 360_000,
                charge_joules: self.charge_joules,
                cutoff_joules: 0,
                max_discharge_milliwatts: 1_000_000,
                efficiency_permille: permille(900),
                peukert_permille: Bounded::new(1000).unwrap(),
                state: wire::ReserveState::Idle,
                age_millis: 0,
                fan_out: 4,
                source: wire::EnergySource::Measured,
                simulated: true,
            }),
            Row::from(wire::Supply {
                instance: number(1),
                reserve: ups,
                server: name.clone(),
            }),
            Row::from(held),
        ];
        for (n, (activity, qos, state)) in (1..).zip(&self.states) {
            rows.push(Row::from(wire::Activity {
                instance: number(n),
                name: wname(activity),
                server: name.clone(),
                set: None,
                data_type: None,
                process: None,
                qos_class: Some(wname(qos)),
                draw_milliwatts: 50_000,
                cpu_millicores: 2_000,
                memory_mebibytes: 1_000,
                movable: false,
                startable: true,
                restartable: true,
                move_millis: 0,
                move_joules: 0,
                stop_millis: 5_000,
                stop_joules: 250,
                state: *state,
            }));
        }
        rows.extend(self.results.iter().cloned().map(Row::from));
        rows
    }
}

/// A PEP: session, rows, and an agent that does at once what is released.
struct Pep {
    session: PepSession,
    installed: InstalledRows,
    handle: Option<ClientHandle>,
    facts: Facts,
    /// Steps that were carried out, by generation and row.
    applied: Vec<(u64, Prid)>,
    /// Something changed that the PDP has not been told.
    news: bool,
    /// The REQ that is open may not be followed by another.
    asked: bool,
    accepted: bool,
    /// Decisions that carried rows of a plan's steps or stages.
    installs: usize,
    synchronised: usize,
    errors_told: usize,
    /// Errors with which REQs were refused.
    refused: Vec<ErrorCode>,
    closed: Option<CloseCause>,
}

impl Pep {
    fn new(name: &str) -> Self {
        let opening = PibIncarnation::opening(Longevity::ExpireOnTimeout, 86_400);
        Self {
            session: PepSession::new(PepConfig::new(PepId::new(name).unwrap()), Moment(0), 1),
            installed: InstalledRows::new(RowLimits::DEFAULT, opening),
            handle: None,
            facts: Facts::new(name),
            applied: Vec::new(),
            news: false,
            asked: false,
            accepted: false,
            installs: 0,
            synchronised: 0,
            errors_told: 0,
            refused: Vec::new(),
            closed: None,
        }
    }

    fn command(&mut self, now: Now, command: PepCommand) -> Option<ClientHandle> {
        self.session
            .handle_command(Moment(now.real_millis), command)
            .unwrap()
    }

    /// A new connection, with everything that it holds.
    fn reconnect(&mut self, now: Now, last: Option<SocketAddr>) {
        let name = self.facts.name.clone();
        let config = PepConfig::new(PepId::new(name).unwrap());
        self.session = PepSession::new(config, Moment(now.real_millis), 2);
        self.asked = false;
        self.accepted = false;
        self.closed = None;
        let mut opening = ClientOpening::new(POWER_CLIENT_TYPE);
        opening.last_pdp_address = last.map(PdpAddress::from);
        if let (Some(handle), Some(_)) = (&self.handle, last) {
            opening.held = vec![cops_codec::session::pep::HeldRequestState {
                handle: handle.clone(),
                context: cops_codec::wire::Context::CONFIGURATION,
                confirmed: true,
            }];
        }
        self.command(now, PepCommand::Open(opening));
    }

    fn contents(&self, full: bool) -> Vec<ClientSi> {
        let incarnation = PibIncarnation {
            full_state: full,
            ..self.installed.incarnation().unwrap().clone()
        };
        let mut rows = self.facts.rows(self.installed.held(true));
        if full {
            rows.extend(PrcSupport::all().into_iter().map(Row::from));
            rows.push(Row::from(DeviceId {
                instance: InstanceId::FIRST,
                descr: AdminString::new("a test").unwrap(),
                max_msg: Bounded::clamped(self.facts.max_msg),
                max_contexts: Bounded::clamped(4),
            }));
        }
        build::request(&incarnation, [], &rows)
            .into_iter()
            .map(ClientSi::Named)
            .collect()
    }

    fn request(&mut self, now: Now, full: bool) {
        let contents = self.contents(full);
        let body = if full {
            RequestBody::configuration(contents)
        } else {
            RequestBody::incremental(contents)
        };
        let handle = self.handle.clone();
        self.handle = self.command(
            now,
            PepCommand::Request {
                client_type: POWER_CLIENT_TYPE,
                handle,
                request: body,
            },
        );
        self.asked = true;
        self.news = false;
    }

    fn events(&mut self, now: Now) {
        while let Some(event) = self.session.poll_event() {
            match event {
                PepEvent::ClientAccepted { .. } => {
                    self.accepted = true;
                    if self.handle.is_none() {
                        self.request(now, true);
                    }
                }
                PepEvent::SynchronizeRequested { .. } => {
                    self.synchronised += 1;
                    self.request(now, true);
                }
                PepEvent::Decision {
                    handle,
                    decisions,
                    report,
                    solicited,
                    ..
                } => {
                    self.decision(now, handle, &decisions, report);
                    self.asked &= !solicited;
                }
                PepEvent::RequestRefused { error, .. } => {
                    self.refused.push(error.code);
                    self.asked = false;
                }
                // The first word on it is the cause.
                PepEvent::Closed { cause } => self.closed = self.closed.take().or(Some(cause)),
                PepEvent::ClientClosed(end) => self.closed = self.closed.take().or(Some(end.cause)),
                PepEvent::RequestReady { .. } | PepEvent::Synchronized { .. } => {}
                other => panic!("{}: {other:?}", self.facts.name),
            }
        }
        if self.accepted && self.news && !self.asked && self.closed.is_none() && self.handle.is_some() {
            self.request(now, false);
        }
    }

    fn decision(
        &mut self,
        now: Now,
        handle: ClientHandle,
        decisions: &[cops_codec::message::Decision],
        report: Option<cops_codec::session::DecisionId>,
    ) {
        let mut outcome = Outcome::Success;
        let mut client_si = Vec::new();
        match Transaction::read(decisions, &[]).unwrap() {
            Transaction::Null => {}
            Transaction::Change(operations) => {
                match self.installed.apply(&operations, wire::PlanVersion::NONE) {
                    Ok(done) => {
                        self.errors_told += done.request_errors.len();
                        let steps = done
                            .changes
                            .iter()
                            .any(|c| matches!(c.id().class, Class::Stage | Class::Action | Class::Set));
                        self.installs += usize::from(steps);
                        self.work();
                    }
                    Err(refusal) => {
                        outcome = Outcome::Failure;
                        let told = build::report(&refusal.report());
                        client_si = told.into_iter().map(ClientSi::Named).collect();
                    }
                }
            }
            other => panic!("{other:?}"),
        }
        self.command(
            now,
            PepCommand::Report {
                client_type: POWER_CLIENT_TYPE,
                handle,
                decision: report.unwrap(),
                outcome,
                client_si,
            },
        );
    }

    /// Carries out what is released of the plan in force.
    fn work(&mut self) {
        let Some(in_force) = self.installed.in_force() else {
            return;
        };
        let plan = in_force.plan();
        let mut done = Vec::new();
        for stage in in_force.stages() {
            if stage.local || !in_force.is_released(stage) {
                continue;
            }
            for action in in_force.actions(stage.instance) {
                done.push((
                    stage.order,
                    Row::from(action.clone()).prid(),
                    Some(action.clone()),
                ));
            }
            for intake in in_force.intakes(stage.instance) {
                done.push((stage.order, Row::from(intake.clone()).prid(), None));
            }
            for host in in_force.hosts(stage.instance) {
                done.push((stage.order, Row::from(host.clone()).prid(), None));
            }
        }
        let (term, generation) = (plan.term, plan.generation);
        self.facts.results.retain(|r| r.generation == generation);
        for (stage, prid, action) in done {
            if self.facts.results.iter().any(|r| r.action == prid) {
                continue;
            }
            let once = (generation, prid.clone());
            assert!(!self.applied.contains(&once), "{prid} was applied twice");
            self.applied.push(once);
            if let Some(action) = action {
                let name = action.activity.as_str();
                let row = self.facts.states.iter_mut().find(|(n, _, _)| n == name).unwrap();
                match action.verb {
                    wire::Verb::Stop => row.2 = wire::ActivityState::Stopped,
                    wire::Verb::Start => row.2 = wire::ActivityState::Running,
                    _ => {}
                }
            }
            let instance = number(u32::try_from(self.facts.results.len()).unwrap() + 1);
            self.facts.results.push(wire::ActionResult {
                instance,
                term,
                generation,
                stage,
                action: prid,
                outcome: wire::Outcome::Done,
                millis: 10,
                reason: wire::Text::empty(),
            });
            self.news = true;
        }
    }

    fn state(&self, activity: &str) -> wire::ActivityState {
        let name = format!("{activity}-{}", self.facts.name);
        self.facts.states.iter().find(|(n, _, _)| *n == name).unwrap().2
    }
}

struct World {
    node: Node,
    now: Now,
    peps: BTreeMap<ConnectionId, Pep>,
    next: u64,
    records: Vec<Record>,
    events: Vec<Event>,
    answers: Vec<(String, CommandOutcome, bool)>,
    /// Octets as they passed, per connection and direction, to see that each is a message.
    messages: usize,
}

fn listen() -> SocketAddr {
    "127.0.0.1:3288".parse().unwrap()
}

impl World {
    fn new(config: &str) -> Self {
        let now = Now {
            real_millis: 1_000_000,
            engine_millis: 1_000_000,
        };
        Self {
            node: Self::node(config, now, Recovery::default()),
            now,
            peps: BTreeMap::new(),
            next: 0,
            records: Vec::new(),
            events: Vec::new(),
            answers: Vec::new(),
            messages: 0,
        }
    }

    fn node(config: &str, now: Now, recovery: Recovery) -> Node {
        let config = Config::from_toml("test", config).unwrap();
        Node::new(&config, listen(), 1, now, recovery).unwrap()
    }

    fn id(&mut self) -> ConnectionId {
        self.next += 1;
        ConnectionId(self.next)
    }

    fn connect(&mut self, mut pep: Pep, last: Option<SocketAddr>) -> ConnectionId {
        let id = self.id();
        pep.reconnect(self.now, last);
        self.node
            .connected(self.now, id, "127.0.0.1:40000".parse().unwrap());
        self.peps.insert(id, pep);
        self.run();
        id
    }

    /// Octets pass until nobody has anything more to say.
    fn run(&mut self) {
        let mut framer = Framer::new(Limits::DEFAULT);
        for _ in 0..STEPS {
            let mut quiet = true;
            while let Some(record) = self.node.poll_record() {
                self.records.push(record);
            }
            while let Some(id) = self.node.poll_ready() {
                while let Some(frame) = self.node.poll_transmit(id) {
                    quiet = false;
                    self.messages += 1;
                    Message::decode(&frame, &Limits::DEFAULT).unwrap();
                    let Some(pep) = self.peps.get_mut(&id) else {
                        continue;
                    };
                    framer.push(frame.octets());
                    let frame = framer.next_frame().unwrap().unwrap();
                    pep.session
                        .handle_frame(Moment(self.now.real_millis), Ok(frame))
                        .unwrap();
                    pep.events(self.now);
                }
            }
            while let Some(notice) = self.node.poll_notice() {
                match notice {
                    Notice::Event(e) => self.events.push(e),
                    Notice::Answer {
                        id,
                        outcome,
                        repeated,
                    } => self.answers.push((id, outcome, repeated)),
                }
            }
            while let Some((id, _)) = self.node.poll_closed() {
                self.node.forget_connection(id);
            }
            for (id, pep) in &mut self.peps {
                pep.events(self.now);
                while let Some(frame) = pep.session.poll_transmit() {
                    quiet = false;
                    self.messages += 1;
                    self.node.handle_frame(self.now, *id, Ok(frame));
                }
            }
            if quiet {
                return;
            }
        }
        panic!("they never fall silent");
    }

    fn pass(&mut self, millis: u64) {
        let end = self.now.engine_millis + millis;
        while self.now.engine_millis < end {
            let deadlines = self.node.poll_timeout();
            let next = deadlines
                .engine_millis
                .unwrap_or(end)
                .min(self.now.engine_millis + 1_000);
            let step = next.clamp(self.now.engine_millis + 1, end) - self.now.engine_millis;
            self.now.engine_millis += step;
            self.now.real_millis += step;
            for pep in self.peps.values_mut() {
                pep.session.handle_timeout(Moment(self.now.real_millis));
            }
            self.node.handle_timeout(self.now);
            self.run();
        }
    }

    fn mains(&mut self, mains: wire::Mains) {
        for pep in self.peps.values_mut() {
            pep.facts.mains = mains;
            pep.news = true;
        }
        self.run();
    }

    fn log(&self) -> String {
        self.events
            .iter()
            .map(|e| format!("{} {:?} {}\n", e.at_millis, e.kind, e.text))
            .collect()
    }

    fn phase(&self) -> Phase {
        self.node.engine().phase()
    }
}

#[test]
fn a_pep_joins_and_holds_its_plan_in_force() {
    let mut w = World::new(CONFIG);
    let id = w.connect(Pep::new("n1"), None);
    w.pass(3_000);
    let pep = &w.peps[&id];
    assert_eq!(pep.installed.plan_status(), PlanStatus::InForce, "{}", w.log());
    let incarnation = pep.installed.incarnation().unwrap();
    assert_eq!(incarnation.name.as_str(), "pdp-1");
    assert!(incarnation.active);
    let status = w.node.engine().status();
    assert_eq!(status.peers.len(), 1);
    assert!(status.peers[0].connected && status.peers[0].armed);
    assert_eq!(status.peers[0].acknowledged, status.peers[0].generation);
    assert!(status.peers[0].generation > 0);
    assert_eq!(status.activities.len(), 2);
    assert_eq!(status.classes[0].priority, 900);
}

#[test]
fn an_interruption_runs_over_bytes_from_the_first_sign_to_the_end() {
    let mut w = World::new(CONFIG);
    let a = w.connect(Pep::new("n1"), None);
    let b = w.connect(Pep::new("n2"), None);
    w.pass(3_000);
    w.mains(wire::Mains::Absent);
    assert_eq!(w.phase(), Phase::Debounce, "{}", w.log());
    w.pass(30_000);
    assert_eq!(w.phase(), Phase::Interrupted);
    for id in [a, b] {
        assert_eq!(
            w.peps[&id].state("batch"),
            wire::ActivityState::Stopped,
            "{}",
            w.log()
        );
        assert_eq!(w.peps[&id].state("db"), wire::ActivityState::Running);
    }
    w.mains(wire::Mains::Present);
    w.pass(200_000);
    assert_eq!(w.phase(), Phase::Normal, "{}", w.log());
    for id in [a, b] {
        assert_eq!(
            w.peps[&id].state("batch"),
            wire::ActivityState::Running,
            "{}",
            w.log()
        );
        assert!(w.peps[&id].closed.is_none());
    }
}

#[test]
fn a_command_is_answered_after_its_record_and_done_once() {
    let mut w = World::new(CONFIG);
    let id = w.connect(Pep::new("n1"), None);
    w.pass(3_000);
    for _ in 0..2 {
        w.node
            .command(w.now, "c1".to_owned(), Command::Interrupt(Scope::Cluster));
        w.run();
    }
    assert_eq!(w.answers.len(), 2);
    assert_eq!((w.answers[0].2, w.answers[1].2), (false, true));
    w.pass(30_000);
    assert_eq!(w.peps[&id].state("batch"), wire::ActivityState::Stopped);
}

#[test]
fn a_restarted_pdp_claims_the_plan_that_is_held_and_repeats_nothing() {
    let mut w = World::new(CONFIG);
    let id = w.connect(Pep::new("n1"), None);
    w.pass(3_000);
    w.mains(wire::Mains::Absent);
    w.pass(30_000);
    let mut pep = w.peps.remove(&id).unwrap();
    let (installs, applied) = (pep.installs, pep.applied.len());
    let before = pep.installed.held(true);
    // Killed: nothing but the journal is left. The PEP holds what it holds.
    let recovery = Recovery {
        records: w.records.clone(),
        ..Recovery::default()
    };
    w.node = World::node(CONFIG, w.now, recovery);
    pep.facts.charge_joules -= 1_000;
    let id = w.connect(pep, Some(listen()));
    let pep = &w.peps[&id];
    assert_eq!(pep.synchronised, 1, "SSQ asks for all that is held");
    let after = pep.installed.held(true);
    assert_eq!(after.term, before.term + 1);
    assert_eq!(after.generation, before.generation, "{}", w.log());
    assert_eq!(after.released_stage, before.released_stage);
    assert_eq!(pep.installs, installs, "the plan is claimed, not sent again");
    assert_eq!(pep.applied.len(), applied);
    assert_eq!(w.phase(), Phase::Interrupted);
    w.mains(wire::Mains::Present);
    w.pass(200_000);
    assert_eq!(
        w.peps[&id].state("batch"),
        wire::ActivityState::Running,
        "{}",
        w.log()
    );
    assert_eq!(w.phase(), Phase::Normal);
}

#[test]
fn a_bad_row_is_told_in_the_answer_and_changes_nothing() {
    let mut w = World::new(CONFIG);
    let id = w.connect(Pep::new("n1"), None);
    w.pass(3_000);
    let held = w.peps[&id].installed.held(true);
    let pep = w.peps.get_mut(&id).unwrap();
    // A removal of a row that is not there.
    let incarnation = PibIncarnation {
        full_state: false,
        ..pep.installed.incarnation().unwrap().clone()
    };
    let nothing = cops_codec::client_type::RowId {
        class: Class::Line,
        instance: number(9),
    };
    let contents = build::request(&incarnation, [nothing], [])
        .into_iter()
        .map(ClientSi::Named)
        .collect();
    let (handle, now) = (pep.handle.clone(), w.now);
    pep.command(
        now,
        PepCommand::Request {
            client_type: POWER_CLIENT_TYPE,
            handle,
            request: RequestBody::incremental(contents),
        },
    );
    w.run();
    assert_eq!(w.peps[&id].errors_told, 1);
    assert_eq!(w.peps[&id].installed.held(true), held);
    assert_eq!(w.node.engine().status().activities.len(), 2);
}

#[test]
fn a_request_with_objects_of_outsourcing_is_refused_p_3_1_01() {
    let mut w = World::new(CONFIG);
    let id = w.connect(Pep::new("n1"), None);
    w.pass(3_000);
    let pep = w.peps.get_mut(&id).unwrap();
    let incarnation = PibIncarnation {
        full_state: false,
        ..pep.installed.incarnation().unwrap().clone()
    };
    let contents = build::request(&incarnation, [], [])
        .into_iter()
        .map(ClientSi::Named)
        .collect();
    let mut request = RequestBody::incremental(contents);
    request.in_interface = Some(cops_codec::wire::Interface {
        address: "127.0.0.1".parse().unwrap(),
        ifindex: 1,
    });
    let (handle, now) = (pep.handle.clone(), w.now);
    pep.command(
        now,
        PepCommand::Request {
            client_type: POWER_CLIENT_TYPE,
            handle,
            request,
        },
    );
    w.run();
    let pep = &w.peps[&id];
    assert_eq!(pep.refused, [ErrorCode::BAD_MESSAGE_FORMAT]);
    assert_eq!(
        pep.installed.plan_status(),
        PlanStatus::InForce,
        "nothing else is changed"
    );
}

#[test]
fn garbage_is_answered_and_closed_and_disturbs_nobody() {
    let mut w = World::new(CONFIG);
    let good = w.connect(Pep::new("n1"), None);
    w.pass(3_000);
    let id = w.id();
    w.node.connected(w.now, id, "127.0.0.1:40001".parse().unwrap());
    let mut framer = Framer::new(Limits::DEFAULT);
    framer.push(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    let error = framer.next_frame().unwrap_err();
    w.node.handle_frame(w.now, id, Err(error));
    let mut answers = Vec::new();
    while let Some(ready) = w.node.poll_ready() {
        while let Some(frame) = w.node.poll_transmit(ready) {
            answers.push((ready, Message::decode(&frame, &Limits::DEFAULT).unwrap()));
        }
    }
    assert!(answers.iter().all(|(to, _)| *to == id), "{answers:?}");
    let closed = std::iter::from_fn(|| w.node.poll_closed()).any(|(c, _)| c == id);
    assert!(closed, "the connection must be over");
    w.node.forget_connection(id);
    w.pass(5_000);
    assert!(w.peps[&good].closed.is_none());
    assert!(w.node.engine().status().peers[0].connected);
}

#[test]
fn a_newer_connection_of_a_pep_takes_the_place_of_the_older() {
    let mut w = World::new(CONFIG);
    let older = w.connect(Pep::new("n1"), None);
    w.pass(3_000);
    let newer = w.connect(Pep::new("n1"), None);
    w.pass(3_000);
    assert!(w.peps[&older].closed.is_some());
    assert!(w.peps[&newer].closed.is_none());
    assert_eq!(
        w.peps[&newer].installed.plan_status(),
        PlanStatus::InForce,
        "{}",
        w.log()
    );
    let peers = w.node.engine().status().peers;
    assert!(peers.len() == 1 && peers[0].connected);
}

#[test]
fn a_pep_without_a_rule_is_turned_away_where_the_file_says_so() {
    let config = CONFIG.replace("armed = true", "refuse = true");
    let mut w = World::new(&config);
    let id = w.connect(Pep::new("n1"), None);
    assert!(w.peps[&id].closed.is_some());
    assert!(w.node.engine().status().peers.is_empty());
}

#[test]
fn every_pep_is_told_when_the_pdp_ends() {
    let mut w = World::new(CONFIG);
    let id = w.connect(Pep::new("n1"), None);
    w.pass(3_000);
    w.node.shut_down(w.now);
    w.run();
    let Some(CloseCause::Peer { error, .. }) = &w.peps[&id].closed else {
        panic!("{:?}", w.peps[&id].closed)
    };
    assert_eq!(error.code, ErrorCode::SHUTTING_DOWN);
}

#[test]
fn a_plan_that_is_too_large_for_the_pep_comes_in_several_decisions() {
    // 500 rules do not fit 65,536 octets together with the rest.
    let mut config = CONFIG.to_owned();
    for i in 0..900 {
        let pattern = "x".repeat(60);
        config.push_str(&format!(
            "[[group]]\nmatch = \"name\"\npattern = \"{pattern}{i}\"\nset = \"gold\"\n"
        ));
    }
    let mut w = World::new(&config);
    let id = w.connect(Pep::new("n1"), None);
    w.pass(3_000);
    let pep = &w.peps[&id];
    assert!(pep.installs > 1, "{} DECs", pep.installs);
    assert_eq!(pep.installed.plan_status(), PlanStatus::InForce);
    let status = w.node.engine().status();
    assert_eq!(status.peers[0].acknowledged, status.peers[0].generation);
}
