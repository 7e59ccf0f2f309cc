use std::collections::BTreeMap;

use cops_codec::client_type::power::{
    Activity, ActivityState, Chemistry, Domain, EnergySource, Mains, Name, Permille, PeukertPermille,
    Reserve, ReserveState, Role, Server, Witness,
};
use cops_codec::client_type::{Class, Row, RowId};
use cops_codec::provisioning::InstanceId;

use super::difference::difference;
use super::*;

const ROOM: usize = 1 << 20;

fn id(number: u32) -> InstanceId {
    InstanceId::new(number).unwrap()
}

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

fn table(rows: impl IntoIterator<Item = Row>) -> BTreeMap<RowId, Row> {
    rows.into_iter().map(|row| (row.id(), row)).collect()
}

fn domain(mains: Mains, age_millis: u32) -> Row {
    Domain {
        instance: id(1),
        name: name("feedA"),
        mains,
        witness: Witness::Inlet,
        age_millis,
    }
    .into()
}

fn reserve(charge_joules: u64, state: ReserveState, age_millis: u32) -> Row {
    Reserve {
        instance: id(1),
        name: name("ups1"),
        role: Role::Custodian,
        chemistry: Chemistry::LeadAcid,
        capacity_joules: 1_000_000,
        charge_joules,
        cutoff_joules: 200_000,
        max_discharge_milliwatts: 900_000,
        efficiency_permille: Permille::clamped(900),
        peukert_permille: PeukertPermille::clamped(1_000),
        state,
        age_millis,
        fan_out: 0,
        source: EnergySource::Estimated,
        simulated: false,
    }
    .into()
}

fn activity(number: u32, draw_milliwatts: u32, state: ActivityState) -> Row {
    Activity {
        instance: id(number),
        name: name(&format!("a{number}")),
        server: name("srv1"),
        set: None,
        data_type: None,
        process: None,
        qos_class: None,
        draw_milliwatts,
        cpu_millicores: 0,
        memory_mebibytes: 0,
        movable: false,
        startable: false,
        restartable: false,
        move_millis: 0,
        move_joules: 0,
        stop_millis: 0,
        stop_joules: 0,
        state,
    }
    .into()
}

/// Whether the change from one row to the other is told.
fn is_told(from: Row, to: Row) -> bool {
    !difference(&table([from]), &table([to]), ROOM).is_empty()
}

#[test]
fn what_moves_all_the_time_is_left_to_the_readings() {
    use ReserveState::{Discharging, Low};
    assert!(
        !is_told(domain(Mains::Present, 1), domain(Mains::Present, 9_000)),
        "an age is no news"
    );
    assert!(is_told(domain(Mains::Present, 1), domain(Mains::Absent, 1)));
    assert!(!is_told(
        reserve(500_000, Discharging, 1),
        reserve(490_000, Discharging, 9)
    ));
    assert!(
        is_told(reserve(500_000, Discharging, 1), reserve(489_999, Discharging, 1)),
        "a percent and more"
    );
    assert!(is_told(
        reserve(500_000, Discharging, 1),
        reserve(500_000, Low, 1)
    ));
    let running = ActivityState::Running;
    assert!(!is_told(
        activity(1, 100_000, running),
        activity(1, 105_000, running)
    ));
    assert!(is_told(
        activity(1, 100_000, running),
        activity(1, 105_001, running)
    ));
    assert!(is_told(activity(1, 0, running), activity(1, 1, running)));
    assert!(is_told(
        activity(1, 1, running),
        activity(1, 1, ActivityState::Stopping)
    ));
}

#[test]
fn small_steps_add_up() {
    let told = table([reserve(500_000, ReserveState::Discharging, 1)]);
    let steps = (0..20).map(|step| 500_000 - step * 1_000);
    let first = steps.into_iter().find(|charge| {
        !difference(
            &told,
            &table([reserve(*charge, ReserveState::Discharging, 1)]),
            ROOM,
        )
        .is_empty()
    });
    assert_eq!(
        first,
        Some(489_000),
        "held against what was told, not against the last look"
    );
}

#[test]
fn a_difference_has_the_mains_first_and_names_what_is_gone() {
    let told = table([
        activity(1, 1, ActivityState::Running),
        activity(2, 1, ActivityState::Running),
    ]);
    let present = table([
        activity(1, 1, ActivityState::Stopped),
        reserve(1, ReserveState::Idle, 1),
        domain(Mains::Absent, 1),
    ]);
    let found = difference(&told, &present, ROOM);
    let order: Vec<Class> = found.rows.iter().map(Row::class).collect();
    assert_eq!(order, [Class::Domain, Class::Reserve, Class::Activity]);
    assert_eq!(
        found.removed,
        [RowId {
            class: Class::Activity,
            instance: id(2)
        }]
    );
    assert!(!found.is_cut);
}

#[test]
fn what_does_not_fit_is_told_by_the_next_one() {
    let present = table((1..=1_000).map(|number| activity(number, 1, ActivityState::Running)));
    let mut told = BTreeMap::new();
    let mut sizes = Vec::new();
    loop {
        let part = difference(&told, &present, 20_000);
        let octets: usize = part.rows.iter().map(|row| row.to_vec().len()).sum();
        assert!(octets <= 20_000, "{octets}");
        sizes.push(part.rows.len());
        told.extend(part.rows.into_iter().map(|row| (row.id(), row)));
        if !part.is_cut {
            break;
        }
    }
    assert_eq!(told, present);
    assert!(sizes.len() > 3, "{sizes:?}");
    // A single row always goes, or it would never.
    assert_eq!(difference(&BTreeMap::new(), &present, 1).rows.len(), 1);
}

#[test]
fn names_survive_both_ways_and_numbers_stay_in_range() {
    let longest = "ä".repeat(32);
    let model = power_policy::model::Name::new(&longest).unwrap();
    assert_eq!(model_name(&wire_name(&model)), model);
    assert_eq!((instance(0).get(), instance(41).get()), (1, 42));
    assert_eq!((millis32(7), millis32(u64::MAX)), (7, u32::MAX));
}

#[test]
fn the_rows_of_an_inventory_can_be_reported_together() {
    use crate::engine::facts::*;
    use crate::engine::{Engine, EngineSettings, Inventory};
    use cops_codec::client_type::framework::{Longevity, PibIncarnation};
    use cops_codec::client_type::store::{ReportedRows, RowLimits, build};
    use cops_codec::provisioning::Contents;
    use power_policy::model;

    let named = |text: &str| model::Name::new(text).unwrap();
    let mut inventory = Inventory::default();
    for server in ["a", "b"] {
        let facts = ServerFacts {
            role: crate::engine::facts::Role::Witness,
            idle_milliwatts: 1,
            peak_milliwatts: 2,
            cpu_millicores: 3,
            memory_mebibytes: 4,
            boot_millis: 5,
            boot_joules: 6,
            halt_millis: 7,
            halt_joules: 8,
            starter: Some(named("rack")),
            fan_in: 2,
            simulated: true,
            inlets: vec![
                InletFacts {
                    domain: named("east"),
                    max_milliwatts: 9,
                },
                InletFacts {
                    domain: named("west"),
                    max_milliwatts: 9,
                },
            ],
            can_power: true,
        };
        inventory.servers.insert(named(server), Thing::new(facts));
    }
    let reserve = ReserveFacts {
        role: crate::engine::facts::Role::Custodian,
        chemistry: model::Chemistry::Lithium,
        capacity_joules: 10,
        cutoff_joules: 1,
        max_discharge_milliwatts: 5,
        efficiency_permille: 2_000,
        peukert_permille: 0,
        fan_out: 0,
        simulated: true,
        feeds: vec![named("a"), named("b")],
        mains: Some((named("east"), crate::engine::facts::Witness::Facility)),
        stale_after_millis: 1_000,
    };
    inventory.reserves.insert(named("u1"), Thing::new(reserve));
    let line = LineFacts {
        role: crate::engine::facts::Role::Custodian,
        milliwatts: 5,
        efficiency_permille: 900,
        switch_millis: 4,
        mode: model::LineMode::Shared,
        changeover: model::Changeover::Ats,
        simulated: true,
        reserves: vec![named("u1"), named("u2")],
        servers: vec![named("a"), named("b")],
    };
    inventory.lines.insert(named("tie"), Thing::new(line));
    let engine = Engine::new(EngineSettings::default(), inventory, false, None);
    let held = power::Held {
        instance: InstanceId::FIRST,
        term: 0,
        generation: 0,
        released_stage: 0,
        digest: None,
        armed: false,
    };
    let rows = facts::rows(&engine, held, 100);
    let part = difference(&BTreeMap::new(), &rows, ROOM);
    let incarnation = PibIncarnation::opening(Longevity::ExpireOnTimeout, 60);
    let octets = build::request(&incarnation, [], &part.rows);
    let contents: Vec<_> = octets
        .iter()
        .map(|octets| Contents { octets, offset: 0 })
        .collect();
    let mut store = ReportedRows::new(RowLimits::DEFAULT);
    store.apply(&contents).unwrap();
    let count = |class: Class| store.rows().iter().filter(|row| row.class() == class).count();
    let counts = [
        Class::Server,
        Class::Inlet,
        Class::Domain,
        Class::Reserve,
        Class::Supply,
        Class::Line,
        Class::LineIn,
        Class::LineOut,
        Class::Held,
    ]
    .map(count);
    assert_eq!(counts, [2, 4, 1, 1, 2, 1, 2, 2, 1]);
    let reported: &Reserve = store.rows().only().unwrap();
    // Never read: unknown, not empty; figures out of range are cut to it.
    assert_eq!(
        (reported.state, reported.age_millis),
        (ReserveState::Unknown, u32::MAX)
    );
    assert_eq!(reported.efficiency_permille.get(), 1_000);
    assert_eq!(store.rows().only::<Domain>().unwrap().mains, Mains::Unknown);
    assert_eq!(
        store.rows().all::<Server>().last().unwrap().powered,
        power::Powered::Unreachable
    );
}
