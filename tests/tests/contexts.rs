//! Several contexts between the two real nodes: the PDP's opens, fills, refreshes, activates and deletes contingencies of
//! the PEP's (RFC 3084 section 3.2, RFC 3318 section 2.4). Octets pass between them, and nothing else.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use cops_codec::limits::Limits;
use cops_codec::message::{DecisionBody, Message};
use cops_codec::session::Moment;
use cops_codec::wire::{PdpAddress, PepId, ReasonCode};
use pdp_server::config::Config;
use pdp_server::engine::slice::{Slice, SliceStage, SliceStep, StepClass, StepKey};
use pdp_server::engine::state::Record;
use pdp_server::engine::{Assignment, Recovery};
use pdp_server::host::ConnectionId;
use pdp_server::node::{self as pdp, ContextCommand, ContextEvent, ContextOutcome, Contingency};
use pdp_server::translate::{self, Site};
use pep_agent::engine::facts::{
    ActivityFacts, ActivityKey, ActivityReading, ActivityState, InletFacts, Role, ServerFacts, ServerReading,
    SightFacts, Thing, Witness,
};
use pep_agent::engine::{Action, ActionKind, Inventory, Observation};
use pep_agent::node::{self as pep, NodeConfig};
use power_policy::grouping::Grouping;
use power_policy::model::{Cause, Mains, Name, Powered, Scope};
use power_policy::plan::{StepKind, Trigger, Verb};

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
[qos.bronze]
priority = 100
[cops]
keep_alive_seconds = 30
accounting_seconds = 10
"#;

/// Rounds after which two nodes should long be silent.
const ROUNDS: usize = 10_000;

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

fn listen() -> SocketAddr {
    "127.0.0.1:3288".parse().unwrap()
}

fn inventory() -> Inventory {
    let mut inventory = Inventory::default();
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
            inlets: vec![InletFacts {
                domain: name("feedA"),
                max_milliwatts: 500_000,
            }],
            can_power: false,
        }),
    );
    let sight = SightFacts {
        witness: Witness::Inlet,
        stale_after_millis: 1_000_000_000,
    };
    inventory.inlets.insert(name("feedA"), Thing::new(sight));
    let activity = ActivityFacts {
        set: None,
        data_type: None,
        process: None,
        qos: Some(name("bronze")),
        milliwatts: 50_000,
        cpu_millicores: 1_000,
        memory_mebibytes: 512,
        movable: false,
        startable: true,
        stoppable: true,
        restartable: true,
        move_millis: 2_000,
        move_joules: 10,
        stop_millis: 5_000,
        stop_joules: 100,
        start_millis: 1_000,
    };
    inventory.activities.insert(key(), Thing::new(activity));
    inventory
}

fn key() -> ActivityKey {
    ActivityKey {
        activity: name("batch"),
        server: name("srv1"),
    }
}

/// Both nodes and the octets between them.
struct Pair {
    pdp: pdp::Node,
    pep: pep::Node,
    site: Site,
    term: u64,
    millis: u64,
    connection: u64,
    actions: Vec<Action>,
    /// What the PDP has kept.
    records: Vec<Record>,
    /// What it has told.
    told: Vec<String>,
    /// Messages in words, since the last look.
    log: Vec<String>,
    /// H0, H1... by the octets of the handle, in the order in which they came up.
    handles: BTreeMap<Vec<u8>, usize>,
}

impl Pair {
    fn new() -> Self {
        let config = Config::from_toml("test", CONFIG).unwrap();
        let grouping = Grouping::new(config.grouping.clone()).unwrap();
        let site = Site::new(
            config.name.as_str(),
            config.cops.plan_lifetime_seconds,
            &config.grouping,
            &grouping,
        );
        let millis = 1_000_000;
        let now = pdp::Now {
            real_millis: millis,
            engine_millis: millis,
        };
        let pdp = pdp::Node::new(&config, listen(), 1, now, Recovery::default()).unwrap();
        let mut node_config = NodeConfig::new(PepId::new("srv1").unwrap());
        node_config.ttl_seconds = 600;
        let pep = pep::Node::new(
            node_config,
            inventory(),
            true,
            None,
            pep::Now {
                session: Moment(millis),
                engine: millis,
            },
        )
        .unwrap();
        let mut pair = Self {
            pdp,
            pep,
            site,
            term: 1,
            millis,
            connection: 0,
            actions: Vec::new(),
            records: Vec::new(),
            told: Vec::new(),
            log: Vec::new(),
            handles: BTreeMap::new(),
        };
        pair.see(Observation::Server(
            name("srv1"),
            ServerReading {
                powered: Powered::On,
                milliwatts: Some(123_000),
            },
        ));
        pair.see(Observation::Inlet(name("feedA"), Mains::Present));
        pair.see(Observation::Activity(
            key(),
            ActivityReading {
                state: ActivityState::Running,
                milliwatts: None,
                denied: None,
            },
        ));
        pair.connect();
        pair.pass(5_000);
        assert!(pair.pep.engine().plan().is_some(), "{:?}", pair.log);
        pair.log.clear();
        pair
    }

    fn pdp_now(&self) -> pdp::Now {
        pdp::Now {
            real_millis: self.millis,
            engine_millis: self.millis,
        }
    }

    fn pep_now(&self) -> pep::Now {
        pep::Now {
            session: Moment(self.millis),
            engine: self.millis,
        }
    }

    /// The PDP's process is another one, with the journal of the one before.
    fn restart_pdp(&mut self) {
        let config = Config::from_toml("test", CONFIG).unwrap();
        let recovery = Recovery {
            records: std::mem::take(&mut self.records),
            ..Recovery::default()
        };
        self.pdp = pdp::Node::new(&config, listen(), 1, self.pdp_now(), recovery).unwrap();
    }

    fn see(&mut self, observation: Observation) {
        let now = self.pep_now();
        self.pep.observe(now, now.engine, observation);
    }

    fn id(&self) -> ConnectionId {
        ConnectionId(self.connection)
    }

    fn connect(&mut self) {
        self.connection += 1;
        let (now, id) = (self.pdp_now(), self.id());
        self.pdp.connected(now, id, "127.0.0.1:40000".parse().unwrap());
        let now = self.pep_now();
        self.pep.connect(now, PdpAddress::from(listen()), self.connection);
        self.settle();
    }

    fn cut(&mut self) {
        let (now, id) = (self.pdp_now(), self.id());
        self.pdp.disconnected(now, id);
        self.pdp.forget_connection(id);
        let now = self.pep_now();
        self.pep.disconnect(now);
        while self.pep.poll_event().is_some() {}
        self.pep.forget_session();
    }

    /// Octets pass until nobody has anything more to say.
    fn settle(&mut self) {
        for _ in 0..ROUNDS {
            let mut quiet = true;
            self.records.extend(std::iter::from_fn(|| self.pdp.poll_record()));
            while let Some(notice) = self.pdp.poll_notice() {
                if let pdp::Notice::Event(event) = notice {
                    self.told.push(event.text);
                }
            }
            while self.pep.poll_event().is_some() {}
            while let Some(action) = self.pep.poll_action() {
                self.actions.push(action);
            }
            while let Some(id) = self.pdp.poll_ready() {
                while let Some(frame) = self.pdp.poll_transmit(id) {
                    quiet = false;
                    self.note(&Message::decode(&frame, &Limits::DEFAULT).unwrap());
                    if id == self.id() {
                        let now = self.pep_now();
                        self.pep.handle_frame(now, Ok(frame));
                    }
                }
            }
            while let Some(frame) = self.pep.poll_transmit() {
                quiet = false;
                self.note(&Message::decode(&frame, &Limits::DEFAULT).unwrap());
                let (now, id) = (self.pdp_now(), self.id());
                self.pdp.handle_frame(now, id, Ok(frame));
            }
            if quiet {
                return;
            }
        }
        panic!("they never fall silent");
    }

    fn pass(&mut self, millis: u64) {
        for _ in 0..millis / 500 {
            self.millis += 500;
            let now = self.pep_now();
            self.pep.handle_timeout(now);
            let now = self.pdp_now();
            self.pdp.handle_timeout(now);
            self.settle();
        }
    }

    fn note(&mut self, message: &Message) {
        let mut handle = |octets: &[u8]| {
            let next = self.handles.len();
            *self.handles.entry(octets.to_vec()).or_insert(next)
        };
        let line = match message {
            Message::Request(m) => format!("REQ H{}", handle(m.handle.as_bytes())),
            Message::Decision(m) => {
                let what = match &m.body {
                    DecisionBody::Error(error) => format!("error {}", error.code.0),
                    DecisionBody::Decisions(decisions) => {
                        let each = decisions.iter().map(|decision| {
                            let flag = if decision.is_request_state() { "+state" } else { "" };
                            format!("{}{flag}", decision.flags.command.0)
                        });
                        each.collect::<Vec<_>>().join(",")
                    }
                };
                format!("DEC H{} {what}", handle(m.handle.as_bytes()))
            }
            Message::ReportState(m) => {
                format!("RPT H{} {}", handle(m.handle.as_bytes()), m.report_type.0)
            }
            Message::DeleteRequestState(m) => {
                assert_eq!(m.reason.code, ReasonCode::PDP_DIRECTIVE);
                format!("DRQ H{}", handle(m.handle.as_bytes()))
            }
            _ => return,
        };
        self.log.push(line);
    }

    /// A plan for srv1 that stops its activity at once, or does nothing.
    fn assignment(&self, generation: u64, stops: bool) -> Assignment {
        let mut slice = Slice::empty(Cause::DomainMains, Scope::Cluster);
        if stops {
            slice.stages.push(SliceStage {
                order: 0,
                trigger: Trigger::MainsLost,
                local: false,
                steps: vec![SliceStep {
                    key: StepKey {
                        class: StepClass::Action,
                        instance: 1,
                    },
                    kind: StepKind::Activity {
                        activity: name("batch"),
                        server: name("srv1"),
                        verb: Verb::Stop,
                        peer: None,
                        milliwatts: 0,
                    },
                }],
            });
        }
        Assignment {
            pep: name("srv1"),
            term: self.term,
            generation,
            released_stage: 0,
            digest: translate::digest(&self.site, &slice),
            slice: Arc::new(slice),
        }
    }

    fn command(&mut self, command: ContextCommand) -> Vec<ContextEvent> {
        let now = self.pdp_now();
        self.pdp.command_context(now, command);
        self.settle();
        self.events()
    }

    fn events(&mut self) -> Vec<ContextEvent> {
        std::iter::from_fn(|| self.pdp.poll_context_event()).collect()
    }

    fn log(&mut self) -> Vec<String> {
        std::mem::take(&mut self.log)
    }

    fn stops(&mut self) -> usize {
        let stops = self.actions.drain(..);
        stops
            .filter(|action| matches!(action.kind, ActionKind::Stop { .. }))
            .count()
    }
}

fn event(contingency: Contingency, outcome: ContextOutcome) -> ContextEvent {
    ContextEvent {
        pep: name("srv1"),
        contingency: Some(contingency),
        outcome,
    }
}

#[test]
fn a_contingency_is_opened_filled_refreshed_activated_left_and_deleted() {
    use ContextOutcome::{Active, Deleted, Held};
    let mut pair = Pair::new();
    let standing = pair.pep.engine().plan().unwrap().generation;

    // E4: opened and filled.
    let told = pair.command(ContextCommand::Keep(
        Contingency::Cluster,
        pair.assignment(100, false),
    ));
    assert_eq!(told, [event(Contingency::Cluster, Held(100))], "{:?}", pair.log);
    assert_eq!(
        pair.log()[..7],
        [
            "DEC H0 1+state",
            "RPT H0 1",
            "REQ H1",
            "DEC H1 0",
            "DEC H1 2,1",
            "RPT H1 1",
            "RPT H1 1"
        ]
        .map(str::to_owned)
    );
    assert_eq!(pair.pep.engine().plan().unwrap().generation, standing);

    // Refreshed, and still nothing is done.
    let told = pair.command(ContextCommand::Keep(
        Contingency::Cluster,
        pair.assignment(101, true),
    ));
    assert_eq!(told, [event(Contingency::Cluster, Held(101))]);
    assert_eq!(pair.stops(), 0);
    assert!(
        !pair.log().iter().any(|line| line.contains("+state")),
        "the same context"
    );

    // E5: one short decision, and the activity is stopped.
    let told = pair.command(ContextCommand::Activate(
        Contingency::Cluster,
        pair.assignment(101, true),
    ));
    assert_eq!(told, [event(Contingency::Cluster, Active(101))]);
    assert_eq!(pair.pep.engine().plan().unwrap().generation, 101);
    assert_eq!(pair.stops(), 1);
    let log = pair.log();
    assert_eq!(log[0], "DEC H1 1");
    assert_eq!(log[1], "RPT H1 1");
    assert_eq!(
        log[2], "RPT H0 3",
        "the last readings of the context that was active"
    );

    // E10.
    let told = pair.command(ContextCommand::Delete(Contingency::Cluster, name("srv1")));
    assert_eq!(told, [event(Contingency::Cluster, Deleted)]);
    let log = pair.log();
    assert_eq!(
        log[..4],
        ["DEC H1 2+state", "RPT H1 1", "RPT H1 3", "DRQ H1"].map(str::to_owned)
    );
    assert!(pair.pep.engine().plan().is_none(), "its policy ends at once");
}

#[test]
fn three_are_held_one_opened_after_the_other_and_each_is_itself() {
    let mut pair = Pair::new();
    let all = [
        Contingency::Cluster,
        Contingency::OwnDomain,
        Contingency::Borrowers,
    ];
    let now = pair.pdp_now();
    for (contingency, generation) in all.into_iter().zip(100..) {
        let assignment = pair.assignment(generation, generation == 101);
        pair.pdp
            .command_context(now, ContextCommand::Keep(contingency, assignment));
    }
    pair.settle();
    let held: Vec<ContextEvent> = all
        .into_iter()
        .zip(100..)
        .map(|(contingency, generation)| event(contingency, ContextOutcome::Held(generation)))
        .collect();
    assert_eq!(pair.events(), held, "{:?}", pair.log);
    for (contingency, generation) in all.into_iter().zip(100..) {
        let assignment = pair.assignment(generation, generation == 101);
        let told = pair.command(ContextCommand::Activate(contingency, assignment));
        assert_eq!(told, [event(contingency, ContextOutcome::Active(generation))]);
        assert_eq!(pair.pep.engine().plan().unwrap().generation, generation);
    }
    assert_eq!(pair.stops(), 1, "of the one that stops something");
}

#[test]
fn what_is_not_held_cannot_be_activated() {
    let mut pair = Pair::new();
    pair.command(ContextCommand::Keep(
        Contingency::Cluster,
        pair.assignment(100, true),
    ));
    for command in [
        ContextCommand::Activate(Contingency::Cluster, pair.assignment(101, true)),
        ContextCommand::Activate(Contingency::OwnDomain, pair.assignment(100, true)),
    ] {
        pair.log();
        let told = pair.command(command);
        assert!(matches!(told[0].outcome, ContextOutcome::Refused(_)), "{told:?}");
        assert!(pair.log().is_empty());
    }
    assert_eq!(pair.stops(), 0);
}

#[test]
fn after_a_reconnection_what_is_held_is_claimed_and_not_sent_again() {
    let mut pair = Pair::new();
    pair.command(ContextCommand::Keep(
        Contingency::Cluster,
        pair.assignment(100, true),
    ));
    pair.command(ContextCommand::Keep(
        Contingency::OwnDomain,
        pair.assignment(101, false),
    ));
    pair.cut();
    pair.log();
    pair.connect();
    pair.pass(2_000);
    let log = pair.log();
    for handle in ["REQ H0", "REQ H1", "REQ H2"] {
        assert!(log.iter().any(|line| line == handle), "{handle}: {log:?}");
    }
    // The second first: contexts are known by the plans they hold, not by their order.
    let told = pair.command(ContextCommand::Keep(
        Contingency::OwnDomain,
        pair.assignment(101, false),
    ));
    assert_eq!(told, [event(Contingency::OwnDomain, ContextOutcome::Held(101))]);
    let log = pair.log();
    assert_eq!(log[0], "DEC H2 1", "a claim, without a removal: {log:?}");
    let told = pair.command(ContextCommand::DeleteUnclaimed(name("srv1")));
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].contingency, None);
    assert!(pair.log().contains(&"DRQ H1".to_owned()));
    let told = pair.command(ContextCommand::Activate(
        Contingency::OwnDomain,
        pair.assignment(101, false),
    ));
    assert_eq!(told, [event(Contingency::OwnDomain, ContextOutcome::Active(101))]);
}

#[test]
fn readings_resume_after_a_reconnection_because_the_pdp_says_so_p_3483_10_01() {
    let mut pair = Pair::new();
    pair.pass(11_000);
    assert!(pair.log().contains(&"RPT H0 3".to_owned()));
    pair.cut();
    pair.connect();
    pair.pass(2_000);
    let log = pair.log();
    pair.pass(11_000);
    assert!(pair.log().contains(&"RPT H0 3".to_owned()), "{log:?}");
}

#[test]
fn a_pdp_that_was_started_again_is_first_told_all_and_not_what_has_changed() {
    let mut pair = Pair::new();
    pair.cut();
    pair.restart_pdp();
    // A fact changes while nobody is there: it is what the agent would tell first.
    let stopped = ActivityReading {
        state: ActivityState::Stopped,
        milliwatts: None,
        denied: None,
    };
    pair.see(Observation::Activity(key(), stopped));
    pair.told.clear();
    pair.connect();
    let joined: Vec<&String> = pair
        .told
        .iter()
        .filter(|text| text.contains("has joined"))
        .collect();
    assert_eq!(joined.len(), 1, "{:?}", pair.told);
    assert!(
        joined[0].contains("1 servers, 0 reserves, 0 lines, 1 activities, armed"),
        "{joined:?}"
    );
}

#[test]
fn what_is_held_and_not_wanted_is_replaced_whole_p_7_06() {
    let mut pair = Pair::new();
    pair.command(ContextCommand::Keep(
        Contingency::Cluster,
        pair.assignment(100, true),
    ));
    pair.cut();
    pair.connect();
    pair.pass(2_000);
    pair.log();
    let told = pair.command(ContextCommand::Keep(
        Contingency::OwnDomain,
        pair.assignment(200, false),
    ));
    assert_eq!(told, [event(Contingency::OwnDomain, ContextOutcome::Held(200))]);
    let log = pair.log();
    assert_eq!(log[0], "DEC H1 2,1", "removals by prefix, then rows: {log:?}");
    assert!(
        !log.iter().any(|line| line.contains("+state")),
        "no further context"
    );
}
