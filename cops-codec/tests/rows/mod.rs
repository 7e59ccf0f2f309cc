//! One row of each class with short names, and any row at all.
#![allow(clippy::unwrap_used, dead_code)]

use cops_codec::client_type::feedback::{
    FeedbackAction, FeedbackActionList, FeedbackLink, FeedbackLinkCaps, Indicator,
};
use cops_codec::client_type::framework::{
    AdminString, DeviceId, FrameworkError, Longevity, PibIncarnation, PrcSupport,
};
use cops_codec::client_type::power::{
    Action, ActionResult, Activity, ActivityState, Cause, Changeover, Chemistry, Divert, Domain,
    EnergySource, Grouping, Held, Host, HostState, Inlet, Intake, Line, LineIn, LineMode, LineOut, LineState,
    Mains, Match, Name, Outcome, Permille, PeukertPermille, Plan, PlanVersion, Powered, ReadingKind,
    ReadingSel, Reserve, ReserveReading, ReserveState, Role, Scope, Server, ServerReading, Set, Stage,
    Supply, Text, Trigger, Verb, Witness,
};
use cops_codec::client_type::{Bounded, Class, Digest, Row, RowId, Syntax};
use cops_codec::provisioning::ber::Value;
use cops_codec::provisioning::{InstanceId, Oid, ReferenceId};
use proptest::prelude::*;

pub(crate) fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

pub(crate) fn text(text: &str) -> Text {
    Text::new(text).unwrap()
}

pub(crate) fn number(number: u32) -> InstanceId {
    InstanceId::new(number).unwrap()
}

pub(crate) fn reference(to: u32) -> ReferenceId {
    number(to).into()
}

/// 00, 01, ... 1f.
pub(crate) fn counting_digest() -> Digest {
    Digest(std::array::from_fn(|index| index as u8))
}

pub(crate) fn incarnation(generation: u64, active: bool, full_state: bool) -> PibIncarnation {
    PibIncarnation {
        name: AdminString::new("pdp1").unwrap(),
        id: PlanVersion { term: 7, generation }.to_octets(),
        active,
        full_state,
        ..PibIncarnation::opening(Longevity::ExpireOnTimeout, 86_400)
    }
}

pub(crate) fn plan(generation: u64, scope: Scope, released_stage: u32, digest: Digest) -> Plan {
    Plan {
        instance: InstanceId::FIRST,
        term: 7,
        generation,
        cause: Cause::DomainMains,
        scope,
        released_stage,
        digest,
    }
}

pub(crate) fn domain(instance: u32, domain: &str, mains: Mains) -> Domain {
    Domain {
        instance: number(instance),
        name: name(domain),
        mains,
        witness: Witness::Facility,
        age_millis: 20,
    }
}

pub(crate) fn stage(instance: u32, order: u32) -> Stage {
    Stage {
        instance: number(instance),
        order,
        trigger: Trigger::Released,
        threshold: 0,
        local: false,
    }
}

pub(crate) fn action(instance: u32, stage: u32, activity: &str) -> Action {
    Action {
        instance: number(instance),
        stage: reference(stage),
        activity: name(activity),
        verb: Verb::Stop,
        peer: None,
        milliwatts: 120_000,
        server: name("node01"),
    }
}

pub(crate) fn set(instance: u32, set: &str) -> Set {
    Set {
        instance: number(instance),
        name: name(set),
        priority: 900,
        ride_through_seconds: 1800,
        weight: 1,
    }
}

pub(crate) fn grouping(instance: u32, order: u32, set: u32) -> Grouping {
    Grouping {
        instance: number(instance),
        order,
        match_on: Match::DataType,
        pattern: text("ledger-*"),
        set: reference(set),
    }
}

/// One row of each class, sorted by class, with names as short as those of a real cluster. Sizes in docs/power-pib.md
/// are those of these rows.
pub(crate) fn samples() -> Vec<Row> {
    let instance = InstanceId::FIRST;
    let mut rows: Vec<Row> = vec![
        PrcSupport::of(instance, Class::Plan).into(),
        incarnation(1, true, false).into(),
        DeviceId {
            instance,
            descr: AdminString::new("pep-agent 0.1.0").unwrap(),
            max_msg: Bounded::clamped(1 << 20),
            max_contexts: Bounded::clamped(4),
        }
        .into(),
        FrameworkError {
            instance,
            code: 2,
            sub_code: 0,
            prc: Class::Server.entry(),
            error_instance: Some(instance),
        }
        .into(),
        Server {
            instance,
            name: name("node01"),
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
            simulated: true,
            role: Role::Custodian,
        }
        .into(),
        Inlet {
            instance,
            server: reference(1),
            domain: name("feedA"),
            max_milliwatts: 500_000,
        }
        .into(),
        domain(1, "feedA", Mains::Absent).into(),
        Reserve {
            instance,
            name: name("ups01"),
            role: Role::Custodian,
            chemistry: Chemistry::Lithium,
            capacity_joules: 1_800_000,
            charge_joules: 1_700_000,
            cutoff_joules: 90_000,
            max_discharge_milliwatts: 1_500_000,
            efficiency_permille: Permille::clamped(920),
            peukert_permille: PeukertPermille::clamped(1_050),
            state: ReserveState::Discharging,
            age_millis: 150,
            fan_out: 4,
            source: EnergySource::Measured,
            simulated: true,
        }
        .into(),
        Supply {
            instance,
            reserve: name("ups01"),
            server: name("node01"),
        }
        .into(),
        Line {
            instance,
            name: name("tie01"),
            milliwatts: 800_000,
            efficiency_permille: Permille::clamped(970),
            switch_millis: 250,
            mode: LineMode::Shared,
            changeover: Changeover::Parallel,
            role: Role::Custodian,
            state: LineState::Open,
            simulated: true,
        }
        .into(),
        LineIn {
            instance,
            line: reference(1),
            reserve: name("ups01"),
            position: 1,
            joined: false,
        }
        .into(),
        LineOut {
            instance,
            line: reference(1),
            server: name("node01"),
            position: 1,
            joined: false,
        }
        .into(),
        Activity {
            instance,
            name: name("ledger-db"),
            server: name("node01"),
            set: Some(name("gold")),
            data_type: Some(name("ledger")),
            process: Some(name("postgres")),
            qos_class: Some(name("gold")),
            draw_milliwatts: 120_000,
            cpu_millicores: 8_000,
            memory_mebibytes: 16_384,
            movable: true,
            startable: true,
            restartable: true,
            move_millis: 30_000,
            move_joules: 4_000,
            stop_millis: 10_000,
            stop_joules: 1_500,
            state: ActivityState::Running,
        }
        .into(),
        Held {
            instance,
            term: 7,
            generation: 1,
            released_stage: 0,
            digest: Some(counting_digest()),
            armed: true,
        }
        .into(),
        ActionResult {
            instance,
            term: 7,
            generation: 1,
            stage: 1,
            action: RowId {
                class: Class::Action,
                instance,
            }
            .prid(),
            outcome: Outcome::Done,
            millis: 4_200,
            reason: Text::empty(),
        }
        .into(),
        ReserveReading {
            instance,
            reserve: name("ups01"),
            charge_joules: 1_650_000,
            milliwatts: 420_000,
            seconds_left: 3_900,
            age_millis: 150,
        }
        .into(),
        ServerReading {
            instance,
            server: name("node01"),
            milliwatts: 210_000,
            age_millis: 150,
        }
        .into(),
        set(1, "gold").into(),
        grouping(1, 10, 1).into(),
        ReadingSel {
            instance,
            kind: ReadingKind::Reserve,
            pattern: text("*"),
        }
        .into(),
        plan(1, Scope::Standing, 0, counting_digest()).into(),
        stage(1, 1).into(),
        action(1, 1, "ledger-db").into(),
        Divert {
            instance,
            stage: reference(1),
            line: name("tie01"),
            reserve: Some(name("ups01")),
            server: Some(name("node02")),
            milliwatts: 300_000,
        }
        .into(),
        Intake {
            instance,
            stage: reference(1),
            server: name("node02"),
            reserve: name("ups01"),
            line: Some(name("tie01")),
            milliwatts: 291_000,
        }
        .into(),
        Host {
            instance,
            stage: reference(1),
            server: name("node01"),
            state: HostState::Standby,
        }
        .into(),
    ];
    rows.push(FeedbackAction::for_all(instance, Indicator::Resume).into());
    rows.push(
        FeedbackActionList {
            instance,
            tag: 1,
            ref_id: reference(1),
        }
        .into(),
    );
    rows.push(FeedbackLinkCaps::all().remove(0));
    let selection = RowId {
        class: Class::ReadingSel,
        instance,
    };
    rows.push(FeedbackLink::periodic(instance, selection.prid(), Class::ReserveReading).into());
    rows.sort_by_key(Row::id);
    assert!(
        rows.iter().map(Row::class).eq(Class::ALL.iter().copied()),
        "one row a class"
    );
    rows
}

/// The values of a row's attributes as BER, one after another; made from the table of attributes and not by the codec
/// of rows, so that the codec has something to be held against.
#[derive(Debug, Clone)]
pub(crate) struct RawRow {
    pub(crate) class: Class,
    pub(crate) instance: InstanceId,
    pub(crate) values: Vec<Vec<u8>>,
}

impl RawRow {
    pub(crate) fn octets(&self) -> Vec<u8> {
        self.octets_of(&self.values.concat())
    }

    /// PRID and EPD objects, the latter with these values.
    pub(crate) fn octets_of(&self, values: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        let prid = RowId {
            class: self.class,
            instance: self.instance,
        }
        .prid();
        cops_codec::provisioning::object::write_prid(&mut out, prid.as_oid());
        cops_codec::provisioning::object::write_epd(&mut out, values).unwrap();
        out
    }
}

fn encoded(value: Value<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    value.encode(&mut out);
    out
}

fn string(min: usize, max: usize, text: bool) -> BoxedStrategy<Vec<u8>> {
    if !text {
        return prop::collection::vec(any::<u8>(), min..=max).boxed();
    }
    // Several widths of UTF-8, cut at the bound.
    prop::collection::vec(
        prop::sample::select(vec!["a", "Z", "7", "-", "ä", "電", "🔋", " "]),
        min..=max,
    )
    .prop_map(move |parts| {
        let mut text = String::new();
        for part in parts {
            if text.len() + part.len() <= max {
                text.push_str(part);
            }
        }
        text.into_bytes()
    })
    .boxed()
}

/// Any legal value of an attribute.
pub(crate) fn value(syntax: Syntax) -> BoxedStrategy<Vec<u8>> {
    let edge = |max: u32| prop_oneof![Just(0), Just(1), Just(127), Just(128), Just(max), any::<u32>()];
    match syntax {
        Syntax::InstanceId | Syntax::ReferenceId => edge(u32::MAX)
            .prop_map(|n| encoded(Value::Unsigned32(n.max(1))))
            .boxed(),
        Syntax::Unsigned32 { min, max } => edge(max)
            .prop_map(move |n| encoded(Value::Unsigned32(n.clamp(min, max))))
            .boxed(),
        Syntax::Integer32 => any::<i32>()
            .prop_map(|n| encoded(Value::Integer(n.into())))
            .boxed(),
        Syntax::Unsigned64 => prop_oneof![Just(0), Just(u64::MAX), any::<u64>()]
            .prop_map(|n| encoded(Value::Unsigned64(n)))
            .boxed(),
        Syntax::TruthValue => prop_oneof![Just(1), Just(2)]
            .prop_map(|n| encoded(Value::Integer(n)))
            .boxed(),
        Syntax::Enumeration(labels) => prop::sample::select(labels.to_vec())
            .prop_map(|(_, n)| encoded(Value::Integer(n.into())))
            .boxed(),
        Syntax::OctetString { min, max, text } => string(min, max, text)
            .prop_map(|octets| encoded(Value::OctetString(&octets)))
            .boxed(),
        Syntax::DigestOrNone => prop_oneof![Just(vec![]), prop::collection::vec(any::<u8>(), 32..=32)]
            .prop_map(|octets| encoded(Value::OctetString(&octets)))
            .boxed(),
        Syntax::Prid | Syntax::PrcIdentifierOid => {
            (0_u32..3, 0_u32..40, prop::collection::vec(any::<u32>(), 0..20))
                .prop_map(|(first, second, mut rest)| {
                    rest.splice(0..0, [first, second]);
                    encoded(Value::ObjectIdentifier(Oid::from_arcs(&rest).unwrap().as_ref()))
                })
                .boxed()
        }
    }
}

/// Any legal row of this class.
pub(crate) fn raw_row(class: Class) -> impl Strategy<Value = RawRow> {
    let others: Vec<BoxedStrategy<Vec<u8>>> = class
        .attributes()
        .iter()
        .skip(1)
        .map(|attribute| value(attribute.syntax))
        .collect();
    (1..=u32::MAX, others).prop_map(move |(instance, others)| {
        let mut values = vec![encoded(Value::Unsigned32(instance))];
        values.extend(others);
        RawRow {
            class,
            instance: number(instance),
            values,
        }
    })
}

/// Any legal row.
pub(crate) fn any_raw_row() -> impl Strategy<Value = RawRow> {
    prop::sample::select(Class::ALL.to_vec()).prop_flat_map(raw_row)
}
