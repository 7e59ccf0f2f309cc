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

mod cases;
