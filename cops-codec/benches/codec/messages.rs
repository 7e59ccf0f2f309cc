//! Messages of the power client-type, of the sizes that pass most often: what is measured, and what the test of
//! allocations looks at.

use bytes::Bytes;
use cops_codec::client_type::power::{
    Action, Activity, ActivityState, Cause, Changeover, Chemistry, Divert, Domain, EnergySource, Held, Inlet,
    Line, LineIn, LineMode, LineOut, LineState, Mains, Name, Outcome, Permille, PeukertPermille, Plan,
    Powered, Reserve, ReserveState, Role, Scope, Server, Stage, Supply, Text, Trigger, Verb, Witness,
};
use cops_codec::client_type::power::{ActionResult, Intake};
use cops_codec::client_type::{Class, Digest, Row, RowId, store};
use cops_codec::message::{Decision, DecisionBody, DecisionMessage, KeepAlive, Request};
use cops_codec::provisioning::{Contents, InstanceId, ReferenceId, binding::Bindings};
use cops_codec::wire::{ClientHandle, ClientSi, ClientType, Context};
use cops_codec::{Frame, Limits, Message};

/// Private use (RFC 2748 6).
const CLIENT_TYPE: ClientType = ClientType(0x5057);

/// A message, in every form that is measured.
pub(crate) struct Sample {
    pub(crate) name: &'static str,
    pub(crate) rows: Vec<Row>,
    pub(crate) message: Message,
    pub(crate) frame: Frame,
}

impl Sample {
    fn new(name: &'static str, rows: Vec<Row>) -> Self {
        let message = message(name, &rows);
        let frame = message.encode(&Limits::DEFAULT).expect("a message that fits");
        Self {
            name,
            rows,
            message,
            frame,
        }
    }
}

/// A keep-alive; a REQ with what changed on a node; a DEC with a plan's part for it; the full report of a node.
pub(crate) fn samples() -> Vec<Sample> {
    vec![
        Sample::new("KA", vec![]),
        Sample::new("REQ", changes()),
        Sample::new("DEC", part_of_a_plan()),
        Sample::new("REQ full", full_report()),
    ]
}

/// The message of this name with these rows.
pub(crate) fn message(name: &str, rows: &[Row]) -> Message {
    let handle = ClientHandle::from(1);
    let mut contents = store::build::contents(rows);
    match name {
        "KA" => KeepAlive { integrity: None }.into(),
        "DEC" => DecisionMessage {
            client_type: CLIENT_TYPE,
            solicited: false,
            handle,
            body: DecisionBody::Decisions(
                contents
                    .drain(..)
                    .map(|named| Decision::install(Context::CONFIGURATION, named))
                    .collect(),
            ),
            integrity: None,
        }
        .into(),
        _ => Request {
            client_type: CLIENT_TYPE,
            handle,
            context: Context::CONFIGURATION,
            in_interface: None,
            out_interface: None,
            client_si: contents.drain(..).map(ClientSi::Named).collect(),
            lpdp_decisions: vec![],
            integrity: None,
        }
        .into(),
    }
}

/// The rows of a decoded message, as structs.
pub(crate) fn rows_of(message: &Message) -> Vec<Row> {
    let contents: Vec<&Bytes> = match message {
        Message::Request(request) => request.client_si.iter().map(ClientSi::contents).collect(),
        Message::Decision(DecisionMessage {
            body: DecisionBody::Decisions(decisions),
            ..
        }) => decisions.iter().filter_map(|d| d.named.as_ref()).collect(),
        _ => vec![],
    };
    let mut rows = Vec::new();
    for contents in contents {
        let contents = Contents::from(contents);
        for binding in Bindings::new(contents.octets, contents.offset) {
            let decoded = binding.map(|binding| Row::decode(&binding).expect("a row"));
            rows.push(decoded.expect("a PRID and its EPD").row);
        }
    }
    rows
}

fn number(number: u32) -> InstanceId {
    InstanceId::new(number).expect("not 0")
}

fn reference(to: u32) -> ReferenceId {
    number(to).into()
}

fn name(text: &str) -> Name {
    Name::new(text).expect("a name")
}

fn domain(instance: u32, domain: &str, mains: Mains) -> Row {
    Domain {
        instance: number(instance),
        name: name(domain),
        mains,
        witness: Witness::Inlet,
        age_millis: 20,
    }
    .into()
}

fn reserve(instance: u32, ups: &str, charge_joules: u64) -> Row {
    Reserve {
        instance: number(instance),
        name: name(ups),
        role: Role::Custodian,
        chemistry: Chemistry::Lithium,
        capacity_joules: 1_800_000,
        charge_joules,
        cutoff_joules: 90_000,
        max_discharge_milliwatts: 1_500_000,
        efficiency_permille: Permille::clamped(920),
        peukert_permille: PeukertPermille::clamped(1_000),
        state: ReserveState::Discharging,
        age_millis: 150,
        fan_out: 4,
        source: EnergySource::Measured,
        simulated: false,
    }
    .into()
}

fn activity(instance: u32) -> Row {
    Activity {
        instance: number(instance),
        name: name(&format!("ledger-db-{instance:03}")),
        server: name("node0001"),
        set: Some(name("gold")),
        data_type: Some(name("ledger")),
        process: Some(name("postgres")),
        qos_class: Some(name("gold")),
        draw_milliwatts: 12_000 + instance,
        cpu_millicores: 800,
        memory_mebibytes: 16_384,
        movable: instance.is_multiple_of(2),
        startable: true,
        restartable: true,
        move_millis: 30_000,
        move_joules: 4_000,
        stop_millis: 10_000,
        stop_joules: 1_500,
        state: ActivityState::Running,
    }
    .into()
}

/// The mains is gone, the reserve discharges into a line, and two actions of the plan in force are done.
fn changes() -> Vec<Row> {
    let action = RowId {
        class: Class::Action,
        instance: number(7),
    };
    let result = |instance, outcome, millis| {
        ActionResult {
            instance: number(instance),
            term: 7,
            generation: 41,
            stage: 1,
            action: action.prid(),
            outcome,
            millis,
            reason: Text::empty(),
        }
        .into()
    };
    vec![
        domain(1, "feedA", Mains::Absent),
        reserve(1, "ups01", 1_700_000),
        result(1, Outcome::Done, 4_200),
        result(2, Outcome::Done, 310),
        LineIn {
            instance: number(1),
            line: reference(1),
            reserve: name("ups01"),
            position: 1,
            joined: true,
        }
        .into(),
    ]
}

/// One stage that stops an activity and has the reserve feed another server.
fn part_of_a_plan() -> Vec<Row> {
    vec![
        Plan {
            instance: InstanceId::FIRST,
            term: 7,
            generation: 42,
            cause: Cause::DomainMains,
            scope: Scope::Cluster,
            released_stage: 0,
            digest: Digest([0x5a; 32]),
        }
        .into(),
        Stage {
            instance: number(1),
            order: 1,
            trigger: Trigger::Released,
            threshold: 0,
            local: false,
        }
        .into(),
        Action {
            instance: number(1),
            stage: reference(1),
            activity: name("ledger-db-001"),
            verb: Verb::Stop,
            peer: None,
            milliwatts: 120_000,
            server: name("node0001"),
        }
        .into(),
        Divert {
            instance: number(1),
            stage: reference(1),
            line: name("tie01"),
            reserve: Some(name("ups01")),
            server: Some(name("node0002")),
            milliwatts: 300_000,
        }
        .into(),
        Intake {
            instance: number(1),
            stage: reference(1),
            server: name("node0002"),
            reserve: name("ups01"),
            line: Some(name("tie01")),
            milliwatts: 291_000,
        }
        .into(),
    ]
}

/// A dual-corded node with a UPS, a line to eight others, and twenty activities.
fn full_report() -> Vec<Row> {
    let mut rows: Vec<Row> = vec![
        Server {
            instance: number(1),
            name: name("node0001"),
            idle_milliwatts: 90_000,
            peak_milliwatts: 350_000,
            cpu_millicores: 32_000,
            memory_mebibytes: 131_072,
            powered: Powered::On,
            boot_millis: 90_000,
            boot_joules: 9_000,
            halt_millis: 20_000,
            halt_joules: 2_000,
            starter: Some(name("rackA")),
            fan_in: 2,
            simulated: false,
            role: Role::Custodian,
        }
        .into(),
        domain(1, "feedA", Mains::Present),
        domain(2, "feedB", Mains::Present),
        reserve(1, "ups01", 1_800_000),
        Supply {
            instance: number(1),
            reserve: name("ups01"),
            server: name("node0001"),
        }
        .into(),
        Line {
            instance: number(1),
            name: name("tie01"),
            milliwatts: 800_000,
            efficiency_permille: Permille::clamped(970),
            switch_millis: 250,
            mode: LineMode::Shared,
            changeover: Changeover::Parallel,
            role: Role::Custodian,
            state: LineState::Open,
            simulated: false,
        }
        .into(),
        LineIn {
            instance: number(1),
            line: reference(1),
            reserve: name("ups01"),
            position: 1,
            joined: false,
        }
        .into(),
        Held {
            instance: number(1),
            term: 7,
            generation: 42,
            released_stage: 0,
            digest: Some(Digest([0x5a; 32])),
            armed: true,
        }
        .into(),
    ];
    for (instance, feed) in [(1, "feedA"), (2, "feedB")] {
        rows.push(
            Inlet {
                instance: number(instance),
                server: reference(1),
                domain: name(feed),
                max_milliwatts: 500_000,
            }
            .into(),
        );
    }
    for instance in 1..=8 {
        rows.push(
            LineOut {
                instance: number(instance),
                line: reference(1),
                server: name(&format!("node{:04}", instance + 1)),
                position: instance,
                joined: false,
            }
            .into(),
        );
    }
    rows.extend((1..=20).map(activity));
    rows.sort_by_key(Row::id);
    rows
}
