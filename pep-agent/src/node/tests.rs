//! A node and a scripted PDP, with bytes between them. The PDP's end is the session of the codec, its rows the codec's
//! store; what it decides stands in each test.

use std::time::Duration;

use cops_codec::client_type::framework::{AdminString, Longevity, PibIncarnation};
use cops_codec::client_type::power::{
    self, Action, ActionResult, Arc, Divert, Held, Mains as WireMains, Outcome, Plan, PlanVersion, Scope,
    Stage, Trigger, Verb,
};
use cops_codec::client_type::store::{ReportedRows, RowLimits, build, digest, read_readings};
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
    /// What came, in words, since the last look.
    log: Vec<String>,
    /// The REQ that has no answer.
    open: Option<RequestId>,
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
        let decide = PdpCommand::Decide {
            client_type: CLIENT_TYPE,
            handle: self.handle.clone().unwrap(),
            request: self.open.take().unwrap(),
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
                self.handle = Some(message.handle.clone());
                let octets: Vec<_> = message.client_si.iter().map(|si| si.contents().clone()).collect();
                let contents: Vec<_> = octets
                    .iter()
                    .map(|octets| Contents { octets, offset: 0 })
                    .collect();
                self.rows.apply(&contents).unwrap();
                let full = if says_full_state(&contents) {
                    "full"
                } else {
                    "incremental"
                };
                self.log.push(format!("REQ {full} {}", in_order(&contents)));
                self.open = Some(request);
                if !self.silent {
                    self.decide(now);
                }
            }
            PdpEvent::Report {
                decision,
                report_type,
                client_si,
                ..
            } => {
                let octets: Vec<_> = client_si.iter().map(|si| si.contents().clone()).collect();
                if report_type == ReportType::ACCOUNTING {
                    let contents: Vec<_> = octets
                        .iter()
                        .map(|octets| Contents { octets, offset: 0 })
                        .collect();
                    self.readings = read_readings(&contents, RowLimits::DEFAULT).unwrap();
                    self.log.push(format!("RPT accounting {}", self.readings.len()));
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
                self.log.push(format!("RPT {solicited} {kind}"));
                self.last_report = Some((decision, report_type, report));
            }
            PdpEvent::StateDeleted { reason, .. } => {
                self.rows = ReportedRows::new(RowLimits::DEFAULT);
                self.log.push(format!("DRQ {}", reason.code.0));
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
        let push = PdpCommand::Push {
            client_type: CLIENT_TYPE,
            handle: self.pdp.handle.clone().unwrap(),
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

#[test]
fn e1_start_up_reports_everything_and_takes_the_configuration() {
    let mut world = World::new(true);
    world.pdp.answer = Some(configuration(7, 1, 0, &stop_batch()));
    world.connect();
    let log = world.log();
    assert_eq!(log[0], "OPN srv1 last none");
    assert!(
        log[1].starts_with("REQ full frwkPibIncarnation.1 frwkPrcSupport.1 "),
        "{}",
        log[1]
    );
    for class in [
        "frwkPibIncarnation.1",
        "frwkDeviceId.1",
        "pwrServer.1",
        "pwrInlet.1",
        "pwrDomain.1",
        "pwrHeld.1",
    ] {
        assert!(log[1].contains(class), "{class}: {}", log[1]);
    }
    assert_eq!(log[2], "RPT solicited Success");
    // What is held now is itself a fact that has changed.
    assert_eq!(
        log[3..],
        [
            "REQ incremental frwkPibIncarnation.1 pwrHeld.1",
            "RPT solicited Success"
        ]
    );
    let held: &Held = world.row();
    assert_eq!(
        (held.version(), held.released_stage),
        (
            PlanVersion {
                term: 7,
                generation: 1
            },
            0
        )
    );
    assert_eq!(held.digest, Some(digest(&stop_batch())));
    assert!(held.armed);
    let server: &power::Server = world.row();
    assert_eq!((server.name.as_str(), server.idle_milliwatts), ("srv1", 100_000));
    assert_eq!(world.node.engine().plan().unwrap().generation, 1);
    assert!(world.node.engine().is_connected());
}

#[test]
fn e2_a_changed_fact_is_told_alone_and_what_waits_is_coalesced_with_the_mains_first() {
    let mut world = World::open(true);
    world.pdp.silent = true;
    world.see("batch", ActivityState::Stopped);
    assert_eq!(
        world.log(),
        ["REQ incremental frwkPibIncarnation.1 pwrActivity.1"]
    );
    // While that REQ is open, much happens; the next one tells how it stands then.
    world.see("batch", ActivityState::Starting);
    world.see("gold", ActivityState::Stopped);
    world.mains(Mains::Absent);
    world.see("batch", ActivityState::Running);
    assert_eq!(world.log(), [""; 0]);
    world.pdp.silent = false;
    world.pdp.decide(world.now.session);
    world.settle();
    let log = world.log();
    assert_eq!(log[0], "RPT solicited Success");
    assert_eq!(
        log[1],
        "REQ incremental frwkPibIncarnation.1 pwrDomain.1 pwrActivity.1 pwrActivity.2"
    );
    assert_eq!(log.len(), 3, "{log:?}");
    let domain: &power::Domain = world.row();
    assert_eq!(domain.mains, WireMains::Absent);
}

#[test]
fn e2_a_request_that_the_pdp_cannot_take_is_followed_by_the_whole_state_after_a_while() {
    let mut world = World::open(true);
    let error: Row = cops_codec::client_type::framework::FrameworkError {
        instance: id(1),
        code: 2,
        sub_code: 0,
        prc: cops_codec::client_type::Class::Activity.entry(),
        error_instance: Some(id(1)),
    }
    .into();
    world.pdp.answer = Some(install(&[error]));
    world.see("batch", ActivityState::Stopped);
    let log = world.log();
    assert_eq!(
        log,
        [
            "REQ incremental frwkPibIncarnation.1 pwrActivity.1",
            "RPT solicited Success"
        ]
    );
    assert!(world.told().contains("could not take what this agent reports"));
    let due = world.node.poll_timeout(world.now).session.unwrap();
    assert!(due <= Moment(world.now.session.0 + 10_000));
    world.pass(9_999);
    assert!(!world.log().iter().any(|line| line.starts_with("REQ")));
    world.pass(1);
    assert!(world.log().iter().any(|line| line.starts_with("REQ full ")));
}

#[test]
fn e3_an_interruption_its_plan_its_stages_and_their_results() {
    let mut world = World::open(true);
    world.push(configuration(7, 1, 0, &[]));
    world.log();
    world.mains(Mains::Absent);
    assert_eq!(
        world.log(),
        [
            "REQ incremental frwkPibIncarnation.1 pwrDomain.1",
            "RPT solicited Success"
        ]
    );

    let rows = stop_batch();
    let mut decisions: Vec<Decision> = build::remove_arcs([Arc::Plans])
        .into_iter()
        .map(|contents| Decision::remove(Context::CONFIGURATION, contents))
        .collect();
    decisions.extend(install(&[vec![plan_row(7, 2, 0, &rows)], rows.clone()].concat()));
    world.push(decisions);
    assert_eq!(
        world.log(),
        [
            "RPT solicited Success",
            "REQ incremental frwkPibIncarnation.1 pwrHeld.1",
            "RPT solicited Success"
        ]
    );
    assert_eq!(world.kinds(), [], "stage 1 is not released");

    // The release is the plan's row alone, of the same generation.
    world.push(install(&[plan_row(7, 2, 1, &rows)]));
    let stop = world.actions.remove(0);
    assert_eq!(
        stop.kind,
        ActionKind::Stop {
            activity: key("batch"),
            moved: false
        }
    );
    assert_eq!(
        world.log(),
        [
            "RPT solicited Success",
            "REQ incremental frwkPibIncarnation.1 pwrActivity.1 pwrHeld.1 pwrActionResult.1",
            "RPT solicited Success"
        ]
    );
    assert_eq!(world.results(), [(1, Outcome::Started)]);
    world.pass(100);
    world.see("batch", ActivityState::Stopped);
    world
        .node
        .handle_action_result(world.now, stop.id, ActionOutcome::Done("1 process ended".into()));
    world.settle();
    let result: &ActionResult = world.row();
    assert_eq!(
        (result.outcome, result.millis, result.reason.as_str()),
        (Outcome::Done, 1_000, "1 process ended")
    );
    assert_eq!(
        result.action.to_string(),
        RowId {
            class: cops_codec::client_type::Class::Action,
            instance: id(1)
        }
        .prid()
        .to_string()
    );
    // Sent twice, done once.
    world.push(install(&[plan_row(7, 2, 1, &rows)]));
    assert_eq!(world.kinds(), []);

    // The results of a generation that is gone are taken away with its successor.
    world.log();
    world.push(configuration(7, 3, 0, &[]));
    let log = world.log();
    assert_eq!(
        log[1], "REQ incremental frwkPibIncarnation.1 pwrActionResult.1- pwrHeld.1",
        "{log:?}"
    );
    assert_eq!(world.results(), []);
}

#[test]
fn e4_a_second_context_is_refused_as_the_rfc_says() {
    let mut world = World::open(true);
    let mut open = Decision::null(Context::CONFIGURATION);
    open.flags.command = cops_codec::wire::CommandCode::INSTALL;
    open.flags.flags = cops_codec::wire::DecisionFlagBits::REQUEST_STATE;
    world.push(vec![open]);
    let (_, report_type, report) = world.pdp.last_report.clone().unwrap();
    assert_eq!(report_type, ReportType::FAILURE);
    assert_eq!(report.global.unwrap().code.0, 6, "maxRequestStatesOpen");
}

#[test]
fn e7_a_row_that_is_not_ours_fails_the_whole_decision() {
    let mut world = World::open(true);
    world.push(configuration(7, 1, 0, &[]));
    let rows = vec![
        stage(1, 0),
        action(1, 1, "batch", Verb::Stop),
        action(2, 1, "nobody", Verb::Stop),
    ];
    world.push(configuration(7, 2, 0, &rows));
    let action_class = cops_codec::client_type::Class::Action;
    let prid = RowId {
        class: action_class,
        instance: id(2),
    }
    .prid()
    .to_string();
    assert_eq!(world.report(), [(prid, 13, 1)], "unknownActivity");
    assert_eq!(world.pdp.last_report.as_ref().unwrap().1, ReportType::FAILURE);
    assert_eq!(world.kinds(), [], "all or nothing");
    assert_eq!(
        world.node.engine().plan().unwrap().generation,
        1,
        "what was held is held"
    );
    assert_eq!(world.row::<Held>().generation, 1);
}

#[test]
fn e7_stale_terms_and_generations_and_wrong_digests_are_refused() {
    let mut world = World::open(true);
    world.push(configuration(7, 5, 0, &[]));
    for (term, generation) in [(7, 4), (6, 9)] {
        world.push(configuration(term, generation, 0, &[]));
        assert_eq!(
            (world.report()[0].1, world.report()[0].2),
            (13, 1),
            "staleGeneration"
        );
    }
    let mut wrong = plan_row(7, 5, 1, &[]);
    if let Row::Plan(plan) = &mut wrong {
        plan.digest.0[0] ^= 1;
    }
    world.push(install(&[wrong]));
    assert_eq!(
        (world.report()[0].1, world.report()[0].2),
        (13, 2),
        "digestMismatch"
    );
    assert_eq!(
        world.row::<Held>().version(),
        PlanVersion {
            term: 7,
            generation: 5
        }
    );
}

#[test]
fn e7_a_pattern_that_is_no_glob_is_refused() {
    let mut world = World::open(true);
    let selection: Row = power::ReadingSel {
        instance: id(1),
        kind: power::ReadingKind::Reserve,
        pattern: power::Text::new("[z-a]").unwrap(),
    }
    .into();
    world.push(configuration(7, 1, 0, &[selection]));
    assert_eq!((world.report()[0].1, world.report()[0].2), (13, 1), "badPattern");
}

#[test]
fn e7_a_failure_after_success_is_reported_at_once_and_told_by_a_row() {
    let mut world = World::open(true);
    world.push(configuration(7, 1, 1, &stop_batch()));
    world.log();
    let stop = world.actions.remove(0);
    world.see("batch", ActivityState::Running);
    world.log();
    world.node.handle_action_result(
        world.now,
        stop.id,
        ActionOutcome::Failed("still runs after 5 s".into()),
    );
    world.settle();
    let log = world.log();
    assert_eq!(
        log,
        [
            "RPT unsolicited Failure",
            "REQ incremental frwkPibIncarnation.1 pwrActionResult.1",
            "RPT solicited Success"
        ]
    );
    assert_eq!(world.results(), [(1, Outcome::Failed)]);
    assert_eq!(
        world.node.engine().plan().unwrap().generation,
        1,
        "nothing is undone"
    );
}

#[test]
fn e6_b_after_a_cut_off_the_whole_state_answers_the_ssq() {
    let mut world = World::open(true);
    let local = Stage {
        instance: id(3),
        order: 10_000,
        trigger: Trigger::ElapsedMillis,
        threshold: 60_000,
        local: true,
    };
    let rows = vec![stage(1, 0), local.into(), action(1, 3, "batch", Verb::Stop)];
    world.push(configuration(7, 1, 0, &rows));
    world.mains(Mains::Absent);
    world.log();
    world.disconnect();
    assert!(!world.node.engine().is_connected());
    assert_eq!(world.kinds(), []);

    // 60 s of the engine's time are 6 s here.
    world.pass(5_999);
    assert_eq!(world.kinds(), []);
    world.pass(1);
    let stop = world.actions.remove(0);
    world.see("batch", ActivityState::Stopped);
    world
        .node
        .handle_action_result(world.now, stop.id, ActionOutcome::Done(String::new()));
    world.settle();

    // The PDP comes back with nothing.
    world.pdp = Pdp::new(world.now.session);
    world.pdp.synchronize = Synchronize::Always;
    world.connect();
    let log = world.log();
    assert_eq!(log[0], format!("OPN srv1 last {ADDRESS}"));
    // E6: the agent's own incremental REQ may come first; the one that answers the SSQ is full.
    let full = log.iter().filter(|line| line.starts_with("REQ full ")).count();
    assert_eq!(full, 1, "{log:?}");
    assert_eq!(log.last().unwrap(), "SSC", "{log:?}");
    assert_eq!(world.results(), [(1, Outcome::Done)]);
    let held: &Held = world.row();
    assert_eq!(
        (held.version(), held.digest),
        (
            PlanVersion {
                term: 7,
                generation: 1
            },
            Some(digest(&rows))
        )
    );
    assert!(world.node.engine().is_connected());
    assert_eq!(world.row::<power::Domain>().mains, WireMains::Absent);
}

#[test]
fn e6_a_a_pdp_that_kept_the_state_is_told_only_what_changed() {
    let mut world = World::open(true);
    world.push(configuration(7, 1, 0, &[]));
    world.disconnect();
    let rows = std::mem::replace(&mut world.pdp, Pdp::new(world.now.session)).rows;
    world.see("batch", ActivityState::Stopped);
    world.log();
    world.pdp.rows = rows;
    world.pdp.synchronize = Synchronize::Never;
    world.connect();
    assert_eq!(
        world.log()[1..],
        [
            "REQ incremental frwkPibIncarnation.1 pwrActivity.1",
            "RPT solicited Success"
        ]
    );
}

#[test]
fn e8_a_restarted_pdp_claims_the_plan_and_nothing_is_done_twice() {
    let mut world = World::open(true);
    let rows = stop_batch();
    world.push(configuration(7, 4, 1, &rows));
    let stop = world.actions.remove(0);
    world.see("batch", ActivityState::Stopped);
    world
        .node
        .handle_action_result(world.now, stop.id, ActionOutcome::Done(String::new()));
    world.settle();
    world.disconnect();
    world.pdp = Pdp::new(world.now.session);
    world.pdp.synchronize = Synchronize::Always;
    world.pdp.answer = Some(install(&[
        incarnation(
            PlanVersion {
                term: 8,
                generation: 4,
            },
            true,
        ),
        plan_row(8, 4, 1, &rows),
    ]));
    world.connect();
    assert_eq!(world.kinds(), [], "done is done");
    assert_eq!(world.node.engine().plan().unwrap().term, 8);
    assert_eq!(
        world.row::<Held>().version(),
        PlanVersion {
            term: 8,
            generation: 4
        }
    );
    let result: &ActionResult = world.row();
    assert_eq!(
        (result.term, result.generation, result.outcome),
        (8, 4, Outcome::Done)
    );
    // The old term has no say any more (E9).
    world.push(configuration(7, 9, 0, &[]));
    assert_eq!(
        (world.report()[0].1, world.report()[0].2),
        (13, 1),
        "staleGeneration"
    );
}

#[test]
fn e10_deleting_the_context_ends_its_policy_and_a_new_one_is_asked_for() {
    let mut world = World::open(true);
    world.push(configuration(7, 1, 0, &stop_batch()));
    world.log();
    let mut delete = Decision::null(Context::CONFIGURATION);
    delete.flags.command = cops_codec::wire::CommandCode::REMOVE;
    delete.flags.flags = cops_codec::wire::DecisionFlagBits::REQUEST_STATE;
    world.push(vec![delete]);
    assert_eq!(world.log(), ["RPT solicited Success", "DRQ 8"]);
    assert!(world.node.engine().plan().is_none());
    world.pass(10_000);
    let log = world.log();
    assert!(log.iter().any(|line| line.starts_with("REQ full ")), "{log:?}");
}

#[test]
fn e11_readings_go_at_the_pdps_pace_and_what_it_selects() {
    let mut inventory = inventory();
    inventory.servers.get_mut("srv1").unwrap().facts.simulated = true;
    let mut world = World::of(inventory, true, None);
    let reading = crate::engine::facts::ServerReading {
        powered: power_policy::model::Powered::On,
        milliwatts: Some(123_000),
    };
    world.node.observe(
        world.now,
        world.now.engine,
        Observation::Server(name("srv1"), reading),
    );
    world.connect();
    world.log();
    world.pass(1_000);
    assert_eq!(world.log(), ["RPT accounting 1"], "nothing selected: everything");
    let selection: Row = power::ReadingSel {
        instance: id(1),
        kind: power::ReadingKind::Server,
        pattern: power::Text::new("other*").unwrap(),
    }
    .into();
    world.push(configuration(7, 1, 0, &[selection]));
    world.log();
    world.pass(1_000);
    world.pass(1_000);
    assert_eq!(world.log(), [""; 0]);
    let Row::ServerReading(row) = &world.pdp.readings[0] else {
        panic!()
    };
    assert_eq!((row.server.as_str(), row.milliwatts), ("srv1", 123_000));
}

#[test]
fn a_plan_that_comes_in_parts_is_in_force_with_the_last() {
    let mut world = World::open(true);
    let rows = stop_batch();
    let whole = plan_row(7, 1, 1, &rows);
    let mut first = build::remove_arcs([Arc::Policy, Arc::Plans])
        .into_iter()
        .map(|contents| Decision::remove(Context::CONFIGURATION, contents))
        .collect::<Vec<_>>();
    first.extend(install(&[whole.clone(), rows[0].clone(), rows[1].clone()]));
    world.push(first);
    assert_eq!(world.pdp.last_report.as_ref().unwrap().1, ReportType::SUCCESS);
    assert!(world.node.engine().plan().is_none(), "half a plan is none");
    world.push(install(&[
        incarnation(
            PlanVersion {
                term: 7,
                generation: 1,
            },
            true,
        ),
        whole,
        rows[2].clone(),
    ]));
    assert_eq!(world.kinds().len(), 1);
}

#[test]
fn an_inactive_context_is_not_enforced() {
    let mut world = World::open(true);
    world.push(configuration(7, 1, 0, &[]));
    let rows = stop_batch();
    let mut decisions = configuration(7, 2, 1, &rows);
    decisions.truncate(1);
    let version = PlanVersion {
        term: 7,
        generation: 2,
    };
    decisions.extend(install(
        &[
            vec![incarnation(version, false), plan_row(7, 2, 1, &rows)],
            rows.clone(),
        ]
        .concat(),
    ));
    world.push(decisions);
    assert_eq!(world.kinds(), []);
    assert!(world.node.engine().plan().is_none());
    world.push(install(&[incarnation(version, true), plan_row(7, 2, 1, &rows)]));
    assert_eq!(world.kinds().len(), 1);
}

#[test]
fn observe_mode_takes_the_plan_and_actuates_nothing() {
    let mut world = World::open(false);
    world.push(configuration(7, 1, 1, &stop_batch()));
    assert_eq!(world.kinds(), []);
    assert_eq!(world.results(), [(1, Outcome::Refused)]);
    assert!(!world.row::<Held>().armed);
    world.node.set_armed(world.now, true);
    world.settle();
    assert!(world.row::<Held>().armed, "the PDP is told, and plans anew");
    assert_eq!(world.kinds(), []);
}

#[test]
fn without_a_pdp_the_plan_expires_after_its_time_to_live() {
    let mut world = World::open(true);
    world.push(configuration(7, 1, 0, &stop_batch()));
    world.disconnect();
    let due = world.node.poll_timeout(world.now).session.unwrap();
    assert_eq!(due, Moment(world.now.session.0 + 600_000), "the PDP's own Ttl");
    world.pass(599_999);
    assert!(world.node.engine().plan().is_some());
    world.pass(1);
    assert!(world.node.engine().plan().is_none());
    // The next PDP is told that nothing is held.
    world.pdp = Pdp::new(world.now.session);
    world.connect();
    assert_eq!(world.log()[0], "OPN srv1 last none");
    // A late DEC of a term that is gone is stale all the same.
    world.push(configuration(6, 1, 0, &[]));
    assert_eq!(
        (world.report()[0].1, world.report()[0].2),
        (13, 1),
        "staleGeneration"
    );
}

#[test]
fn a_restarted_agent_holds_its_plan_and_does_nothing_twice() {
    let mut world = World::open(true);
    let rows = stop_batch();
    world.push(configuration(7, 1, 1, &rows));
    let stop = world.actions.remove(0);
    world.see("batch", ActivityState::Stopped);
    world
        .node
        .handle_action_result(world.now, stop.id, ActionOutcome::Done(String::new()));
    world.settle();
    let saved = world.node.unsaved(world.now).unwrap();
    assert_eq!(world.node.unsaved(world.now), None);
    let saved: Saved = serde_json::from_str(&serde_json::to_string(&saved).unwrap()).unwrap();

    // Killed, and started again; somebody has started batch meanwhile.
    let mut again = World::of(inventory(), true, Some(&saved));
    assert_eq!(again.node.engine().plan().unwrap().generation, 1);
    assert_eq!(again.kinds(), [], "its stop was done");
    assert_eq!(again.node.unsaved(again.now), None, "nothing is new");
    again.pdp.synchronize = Synchronize::Always;
    again.connect();
    let log = again.log();
    assert_eq!(log[0], format!("OPN srv1 last {ADDRESS}"));
    assert!(log[1].starts_with("REQ full "), "{}", log[1]);
    assert_eq!(again.results(), [(1, Outcome::Done)]);
    let held: &Held = again.row();
    assert_eq!(
        (held.version(), held.digest),
        (
            PlanVersion {
                term: 7,
                generation: 1
            },
            Some(digest(&rows))
        )
    );
}

#[test]
fn what_was_saved_and_cannot_be_held_is_refused_with_its_place() {
    let mut world = World::open(true);
    world.push(configuration(7, 1, 1, &stop_batch()));
    let good = world.node.unsaved(world.now).unwrap();
    let restore = |saved: &Saved| Node::new(config(), inventory(), true, Some(saved), at(0)).map(|_| ());
    assert_eq!(restore(&good), Ok(()));
    assert_eq!(
        restore(&Saved {
            format: 2,
            ..good.clone()
        }),
        Err(RestoreError::Format { found: 2 })
    );
    for broken in ["zz", "0", "é", "0013"] {
        let mut saved = good.clone();
        saved.rows[1] = broken.to_owned();
        let error = restore(&saved).unwrap_err();
        assert!(error.to_string().starts_with("row 1: "), "{broken:?}: {error}");
    }
    // The incarnation, the plan, two stages and the action; the second stage is the action's.
    assert_eq!(good.rows.len(), 5);
    let mut orphan = good.clone();
    orphan.rows.remove(3);
    let error = restore(&orphan).unwrap_err();
    assert!(error.to_string().starts_with("rows together: "), "{error}");
}

#[test]
fn a_request_left_without_a_decision_costs_the_plan() {
    let mut world = World::open(true);
    world.push(configuration(7, 1, 0, &[]));
    world.pdp.silent = true;
    world.see("batch", ActivityState::Stopped);
    world.log();
    for _ in 0..4 {
        world.pass(10_000);
    }
    let log = world.log();
    assert!(log.contains(&"DRQ 5".to_owned()), "{log:?}");
    assert!(world.node.engine().plan().is_none());
    assert!(world.told().contains("left a REQ without a decision"));
}

#[test]
fn garbage_from_the_pdp_ends_the_session_and_not_the_agent() {
    let mut world = World::open(true);
    world.push(configuration(7, 1, 0, &stop_batch()));
    // A DEC for our state with an inner object that is none.
    let broken = Decision::install(Context::CONFIGURATION, bytes::Bytes::from_static(&[0, 3, 9, 9]));
    world.push(vec![broken]);
    assert_eq!(world.pdp.last_report.as_ref().unwrap().1, ReportType::FAILURE);
    assert_eq!(world.node.engine().plan().unwrap().generation, 1);
    let mut framer = cops_codec::Framer::new(Limits::DEFAULT);
    framer.push(b"HTTP/1.1 200 OK\r\n\r\n");
    let error = framer.next_frame().unwrap_err();
    world.node.handle_frame(world.now, Err(error));
    world.settle();
    assert!(world.told().contains("Closed"));
    assert_eq!(
        world.node.engine().plan().unwrap().generation,
        1,
        "what is held is held"
    );
}

#[test]
fn a_line_of_ours_is_moved_and_one_of_others_is_refused() {
    let mut inventory = inventory();
    let line = LineFacts {
        role: Role::Custodian,
        milliwatts: 400_000,
        efficiency_permille: 950,
        switch_millis: 10,
        mode: power_policy::model::LineMode::Shared,
        changeover: power_policy::model::Changeover::Parallel,
        simulated: true,
        reserves: vec![name("ups1")],
        servers: vec![name("srv1"), name("srv2")],
    };
    inventory.lines.insert(name("tie"), Thing::new(line.clone()));
    inventory.lines.insert(
        name("seen"),
        Thing::new(LineFacts {
            role: Role::Witness,
            ..line
        }),
    );
    let mut world = World::of(inventory, true, None);
    world.connect();
    let divert = |line: &str| -> Row {
        Divert {
            instance: id(1),
            stage: ReferenceId(id(1)),
            line: power::Name::new(line).unwrap(),
            reserve: Some(power::Name::new("ups1").unwrap()),
            server: Some(power::Name::new("srv2").unwrap()),
            milliwatts: 100_000,
        }
        .into()
    };
    world.push(configuration(7, 1, 0, &[stage(1, 0), divert("seen")]));
    assert_eq!(
        (world.report()[0].1, world.report()[0].2),
        (13, 2),
        "notCustodian"
    );
    world.push(configuration(7, 2, 0, &[stage(1, 0), divert("tie")]));
    let join = ActionKind::Join {
        line: name("tie"),
        reserve: name("ups1"),
        server: name("srv2"),
        milliwatts: 100_000,
    };
    assert_eq!(world.kinds(), [join], "stage 0 begins at once");
}
