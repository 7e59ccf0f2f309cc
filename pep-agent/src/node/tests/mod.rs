//! A node and a scripted PDP, with bytes between them. The PDP's end is the session of the codec, its rows the codec's
//! store; what it decides stands in each test.

mod contexts;
mod exchanges;
mod feedback;
mod named;
mod plans;

use std::time::Duration;

use cops_codec::client_type::framework::{AdminString, Longevity, PibIncarnation};
use cops_codec::client_type::power::{
    self, Action, ActionResult, Arc, Divert, Held, Mains as WireMains, Outcome, Plan, PlanVersion, Scope,
    Stage, Trigger, Verb,
};
use cops_codec::client_type::store::{ReportedRows, RequestRefused, RowLimits, build, digest, read_readings};
use cops_codec::client_type::{Row, RowId};
use cops_codec::message::{Decision, DecisionBody};
use cops_codec::provisioning::binding::Bindings;
use cops_codec::provisioning::{Contents, InstanceId, ReferenceId, Report};
use cops_codec::session::pdp::{Acceptance, PdpCommand, PdpConfig, PdpEvent, PdpSession, Synchronize};
use cops_codec::session::{DecisionId, Moment, RequestId};
use cops_codec::wire::{AccountingTimer, KaTimer, ReportType};
use power_policy::model::{Mains, Name};

use super::*;
use crate::engine::ActionKind;
use crate::engine::facts::{
    ActivityFacts, ActivityKey, ActivityReading, ActivityState, InletFacts, LineFacts, Role, ServerFacts,
    SightFacts, Thing, Witness,
};

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

fn key(activity: &str) -> ActivityKey {
    ActivityKey {
        activity: name(activity),
        server: name("srv1"),
    }
}

fn inventory() -> Inventory {
    let mut inventory = Inventory::default();
    let inlets = vec![InletFacts {
        domain: name("feedA"),
        max_milliwatts: 500_000,
    }];
    inventory.servers.insert(
        name("srv1"),
        Thing::new(ServerFacts {
            role: Role::Custodian,
            idle_milliwatts: 100_000,
            peak_milliwatts: 300_000,
            cpu_millicores: 8_000,
            memory_mebibytes: 16_384,
            boot_millis: 60_000,
            boot_joules: 100,
            halt_millis: 10_000,
            halt_joules: 1_000,
            starter: None,
            fan_in: 0,
            simulated: true,
            inlets,
            can_power: false,
        }),
    );
    let sight = SightFacts {
        witness: Witness::Inlet,
        stale_after_millis: 1_000_000_000,
    };
    inventory.inlets.insert(name("feedA"), Thing::new(sight));
    for (activity, qos) in [("batch", "bronze"), ("gold", "gold")] {
        inventory.activities.insert(
            key(activity),
            Thing::new(ActivityFacts {
                set: None,
                data_type: None,
                process: None,
                qos: Some(name(qos)),
                milliwatts: 50_000,
                cpu_millicores: 1_000,
                memory_mebibytes: 512,
                movable: true,
                startable: true,
                stoppable: true,
                restartable: true,
                move_millis: 2_000,
                move_joules: 10,
                stop_millis: 5_000,
                stop_joules: 100,
                start_millis: 1_000,
            }),
        );
    }
    inventory
}

/// The PDP's end.
struct Pdp {
    session: PdpSession,
    rows: ReportedRows,
    handle: Option<ClientHandle>,
    /// Contingencies, in the order of their first REQ, with what they report.
    contingencies: Vec<(ClientHandle, ReportedRows)>,
    /// The next handle that is not known is a contingency's.
    awaits_contingency: bool,
    /// What came, in words, since the last look.
    log: Vec<String>,
    /// The REQ that has no answer.
    open: Option<(ClientHandle, RequestId)>,
    /// REQs are left without an answer.
    silent: bool,
    /// What the next REQ is answered, instead of NULL.
    answer: Option<Vec<Decision>>,
    synchronize: Synchronize,
    last_report: Option<(Option<DecisionId>, ReportType, Report)>,
    readings: Vec<Row>,
    acct: Option<AccountingTimer>,
}

impl Pdp {
    fn new(now: Moment) -> Self {
        Self {
            session: PdpSession::new(PdpConfig::new(vec![CLIENT_TYPE], vec![address()]), now),
            rows: ReportedRows::new(RowLimits::DEFAULT),
            handle: None,
            contingencies: Vec::new(),
            awaits_contingency: false,
            log: Vec::new(),
            open: None,
            silent: false,
            answer: None,
            synchronize: Synchronize::WhenNeeded,
            last_report: None,
            readings: Vec::new(),
            acct: Some(AccountingTimer(1)),
        }
    }

    fn receive(&mut self, now: Moment, frame: Frame) {
        self.session.handle_frame(now, Ok(frame)).unwrap();
        while let Some(event) = self.session.poll_event() {
            self.handle(now, event);
        }
    }

    /// Answers the open REQ.
    fn decide(&mut self, now: Moment) {
        let decisions = self
            .answer
            .take()
            .unwrap_or_else(|| vec![Decision::null(Context::CONFIGURATION)]);
        let (handle, request) = self.open.take().unwrap();
        let decide = PdpCommand::Decide {
            client_type: CLIENT_TYPE,
            handle,
            request,
            body: DecisionBody::Decisions(decisions),
        };
        self.session.handle_command(now, decide).unwrap();
    }

    fn handle(&mut self, now: Moment, event: PdpEvent) {
        match event {
            PdpEvent::OpenRequested {
                client_type,
                pep_id,
                last_pdp_address,
                ..
            } => {
                let last =
                    last_pdp_address.map_or_else(|| "none".into(), |last| last.to_socket_addr().to_string());
                self.log.push(format!("OPN {} last {last}", pep_id.as_str()));
                let acceptance = Acceptance {
                    accounting_timer: self.acct,
                    synchronize: self.synchronize,
                    ..Acceptance::new(client_type, KaTimer(30))
                };
                self.session
                    .handle_command(now, PdpCommand::Accept(acceptance))
                    .unwrap();
            }
            PdpEvent::Request { request, message, .. } => {
                let handle = message.handle.clone();
                let octets: Vec<_> = message.client_si.iter().map(|si| si.contents().clone()).collect();
                let contents: Vec<_> = octets
                    .iter()
                    .map(|octets| Contents { octets, offset: 0 })
                    .collect();
                let mut place = self.contingencies.iter().position(|(known, _)| *known == handle);
                if place.is_none() && std::mem::take(&mut self.awaits_contingency) {
                    place = Some(self.contingencies.len());
                    let rows = ReportedRows::new(RowLimits::DEFAULT);
                    self.contingencies.push((handle.clone(), rows));
                }
                match place {
                    Some(place) => {
                        self.contingencies[place].1.apply(&contents).unwrap();
                    }
                    None => {
                        self.handle = Some(handle.clone());
                        match self.rows.apply(&contents) {
                            // E6: it left before the SSQ arrived, for a state that is not known here. The whole follows.
                            Err(RequestRefused::NoState) => {}
                            applied => {
                                applied.unwrap();
                            }
                        }
                    }
                }
                let context = place.map_or_else(String::new, |place| format!(" H{}", place + 1));
                let full = if says_full_state(&contents) {
                    "full"
                } else {
                    "incremental"
                };
                self.log
                    .push(format!("REQ{context} {full} {}", in_order(&contents)));
                self.open = Some((handle, request));
                if !self.silent {
                    self.decide(now);
                }
            }
            PdpEvent::Report {
                handle,
                decision,
                report_type,
                client_si,
                ..
            } => {
                let place = self.contingencies.iter().position(|(known, _)| *known == handle);
                let context = place.map_or_else(String::new, |place| format!(" H{}", place + 1));
                let octets: Vec<_> = client_si.iter().map(|si| si.contents().clone()).collect();
                if report_type == ReportType::ACCOUNTING {
                    let contents: Vec<_> = octets
                        .iter()
                        .map(|octets| Contents { octets, offset: 0 })
                        .collect();
                    self.readings = read_readings(&contents, RowLimits::DEFAULT).unwrap();
                    self.log
                        .push(format!("RPT{context} accounting {}", self.readings.len()));
                    return;
                }
                let mut report = Report::default();
                for octets in &octets {
                    report.read(octets, 0).unwrap();
                }
                let solicited = if decision.is_some() {
                    "solicited"
                } else {
                    "unsolicited"
                };
                let kind = if report_type == ReportType::SUCCESS {
                    "Success"
                } else {
                    "Failure"
                };
                self.log.push(format!("RPT{context} {solicited} {kind}"));
                self.last_report = Some((decision, report_type, report));
            }
            PdpEvent::StateDeleted { handle, reason, .. } => {
                let place = self.contingencies.iter().position(|(known, _)| *known == handle);
                match place {
                    Some(place) => {
                        self.log.push(format!("DRQ H{} {}", place + 1, reason.code.0));
                        self.contingencies[place].1 = ReportedRows::new(RowLimits::DEFAULT);
                    }
                    None => {
                        self.rows = ReportedRows::new(RowLimits::DEFAULT);
                        self.log.push(format!("DRQ {}", reason.code.0));
                    }
                }
            }
            PdpEvent::Synchronized { .. } => self.log.push("SSC".into()),
            PdpEvent::ClientClosed { .. } => self.log.push("CC".into()),
            PdpEvent::Closed { .. } => self.log.push("closed".into()),
            other => panic!("{other:?}"),
        }
    }
}

/// What the incarnation row of a REQ says of it.
fn says_full_state(contents: &[Contents<'_>]) -> bool {
    let first = Bindings::new(contents[0].octets, 0).next().unwrap().unwrap();
    match Row::decode(&first).unwrap().row {
        Row::PibIncarnation(incarnation) => incarnation.full_state,
        other => panic!("{other:?}"),
    }
}

/// The rows of a REQ in the order of the wire; `-` for those that it removes.
fn in_order(contents: &[Contents<'_>]) -> String {
    let bindings = contents
        .iter()
        .flat_map(|contents| Bindings::new(contents.octets, contents.offset));
    let rows = bindings.map(|binding| {
        let binding = binding.unwrap();
        let id = RowId::from_prid(binding.prid).unwrap();
        let sign = if binding.epd.values().is_at_end() { "-" } else { "" };
        format!("{id}{sign}")
    });
    rows.collect::<Vec<_>>().join(" ")
}

/// Both ends, and what the node gave out.
struct World {
    node: Node,
    pdp: Pdp,
    now: Now,
    actions: Vec<crate::engine::Action>,
    events: Vec<NodeEvent>,
}

const ADDRESS: &str = "127.0.0.1:3288";

fn address() -> PdpAddress {
    let address: std::net::SocketAddr = ADDRESS.parse().unwrap();
    PdpAddress {
        address: address.ip(),
        port: address.port(),
    }
}

fn at(millis: u64) -> Now {
    // The engine's clock runs ten times as fast.
    Now {
        session: Moment(millis),
        engine: millis * 10,
    }
}

fn config() -> NodeConfig {
    let mut config = NodeConfig::new(PepId::new("srv1").unwrap());
    config.reading_interval = Duration::from_secs(1);
    config
}

impl World {
    fn new(armed: bool) -> Self {
        Self::of(inventory(), armed, None)
    }

    fn of(inventory: Inventory, armed: bool, saved: Option<&Saved>) -> Self {
        let now = at(1_000);
        let node = Node::new(config(), inventory, armed, saved, now).unwrap();
        let mut world = Self {
            node,
            pdp: Pdp::new(now.session),
            now,
            actions: vec![],
            events: vec![],
        };
        world.see("batch", ActivityState::Running);
        world.see("gold", ActivityState::Running);
        world.mains(Mains::Present);
        world
    }

    /// Connected, with everything reported and answered.
    fn open(armed: bool) -> Self {
        let mut world = Self::new(armed);
        world.connect();
        world.log();
        world
    }

    fn connect(&mut self) {
        self.node.connect(self.now, address(), 7);
        self.settle();
    }

    fn settle(&mut self) {
        loop {
            self.actions
                .extend(std::iter::from_fn(|| self.node.poll_action()));
            self.events.extend(std::iter::from_fn(|| self.node.poll_event()));
            if let Some(frame) = self.node.poll_transmit() {
                self.pdp.receive(self.now.session, frame);
            } else if let Some(frame) = self.pdp.session.poll_transmit() {
                self.node.handle_frame(self.now, Ok(frame));
            } else {
                return;
            }
        }
    }

    fn pass(&mut self, millis: u64) {
        self.now = at(self.now.session.0 + millis);
        self.pdp.session.handle_timeout(self.now.session);
        self.node.handle_timeout(self.now);
        self.settle();
    }

    fn see(&mut self, activity: &str, state: ActivityState) {
        let reading = ActivityReading {
            state,
            milliwatts: None,
            denied: None,
        };
        self.node.observe(
            self.now,
            self.now.engine,
            Observation::Activity(key(activity), reading),
        );
        self.settle();
    }

    fn mains(&mut self, mains: Mains) {
        self.node.observe(
            self.now,
            self.now.engine,
            Observation::Inlet(name("feedA"), mains),
        );
        self.settle();
    }

    fn push(&mut self, decisions: Vec<Decision>) {
        let handle = self.pdp.handle.clone().unwrap();
        self.push_on(handle, decisions);
    }

    /// A DEC for a contingency, from 1.
    fn push_contingency(&mut self, number: usize, decisions: Vec<Decision>) {
        let handle = self.pdp.contingencies[number - 1].0.clone();
        self.push_on(handle, decisions);
    }

    fn push_on(&mut self, handle: ClientHandle, decisions: Vec<Decision>) {
        let push = PdpCommand::Push {
            client_type: CLIENT_TYPE,
            handle,
            decisions,
        };
        self.pdp.session.handle_command(self.now.session, push).unwrap();
        self.settle();
    }

    fn log(&mut self) -> Vec<String> {
        std::mem::take(&mut self.pdp.log)
    }

    fn kinds(&mut self) -> Vec<ActionKind> {
        self.actions.drain(..).map(|action| action.kind).collect()
    }

    fn row<T: cops_codec::client_type::TypedRow>(&self) -> &T {
        self.pdp.rows.rows().only().unwrap()
    }

    fn results(&self) -> Vec<(u32, Outcome)> {
        self.pdp
            .rows
            .rows()
            .all::<ActionResult>()
            .map(|row| (row.instance.get(), row.outcome))
            .collect()
    }

    /// The errors of the last report: class, code and sub-code.
    fn report(&self) -> Vec<(String, u16, u16)> {
        let (_, _, report) = self.pdp.last_report.as_ref().unwrap();
        let error = |error: &cops_codec::provisioning::ReportedError| {
            (error.prid.to_string(), error.error.code.0, error.error.sub_code)
        };
        report.errors.iter().map(error).collect()
    }

    fn disconnect(&mut self) {
        self.node.disconnect(self.now);
        self.events.extend(std::iter::from_fn(|| self.node.poll_event()));
        self.node.forget_session();
        self.pdp.session.handle_disconnect(self.now.session);
    }

    fn told(&mut self) -> String {
        format!("{:?}", std::mem::take(&mut self.events))
    }
}

fn id(number: u32) -> InstanceId {
    InstanceId::new(number).unwrap()
}

fn stage(number: u32, order: u32) -> Row {
    Stage {
        instance: id(number),
        order,
        trigger: Trigger::Released,
        threshold: 0,
        local: false,
    }
    .into()
}

fn action(number: u32, stage: u32, activity: &str, verb: Verb) -> Row {
    Action {
        instance: id(number),
        stage: ReferenceId(id(stage)),
        activity: power::Name::new(activity).unwrap(),
        verb,
        peer: None,
        milliwatts: 0,
        server: power::Name::new("srv1").unwrap(),
    }
    .into()
}

fn plan_row(term: u64, generation: u64, released: u32, rows: &[Row]) -> Row {
    Plan {
        instance: id(1),
        term,
        generation,
        cause: power::Cause::DomainMains,
        scope: Scope::Cluster,
        released_stage: released,
        digest: digest(rows),
    }
    .into()
}

fn incarnation(version: PlanVersion, active: bool) -> Row {
    PibIncarnation {
        name: AdminString::new("pdp1").unwrap(),
        id: version.to_octets(),
        active,
        full_state: false,
        ..PibIncarnation::opening(Longevity::ExpireOnTimeout, 600)
    }
    .into()
}

/// E1 step 4: the whole configuration.
fn configuration(term: u64, generation: u64, released: u32, rows: &[Row]) -> Vec<Decision> {
    let mut decisions: Vec<Decision> = build::remove_arcs([Arc::Policy, Arc::Plans])
        .into_iter()
        .map(|contents| Decision::remove(Context::CONFIGURATION, contents))
        .collect();
    let mut all = vec![incarnation(PlanVersion { term, generation }, true)];
    all.push(plan_row(term, generation, released, rows));
    all.extend(rows.iter().cloned());
    decisions.extend(install(&all));
    decisions
}

fn install(rows: &[Row]) -> Vec<Decision> {
    build::contents(rows)
        .into_iter()
        .map(|contents| Decision::install(Context::CONFIGURATION, contents))
        .collect()
}

fn stop_batch() -> Vec<Row> {
    vec![stage(1, 0), stage(2, 1), action(1, 2, "batch", Verb::Stop)]
}
