//! What a PDP keeps of a PEP's REQs: full state, increments, all or nothing (RFC 3318 section 2.3).
#![allow(clippy::unwrap_used, clippy::panic)]

mod rows;

use bytes::Bytes;
use cops_codec::client_type::framework::{FrameworkError, PibIncarnation, PrcSupport};
use cops_codec::client_type::power::{Domain, Inlet, Mains, Server};
use cops_codec::client_type::store::{
    ReportedRows, RequestApplied, RequestRefused, RowChange, RowLimits, build, read_readings,
};
use cops_codec::client_type::{Class, Row, RowId};
use cops_codec::provisioning::{ClassErrorCode, Contents, InstanceId, object};
use proptest::prelude::*;
use rows::{RawRow, any_raw_row, domain, incarnation, name, number, plan, reference, samples};

fn apply(store: &mut ReportedRows, contents: &[Bytes]) -> Result<RequestApplied, RequestRefused> {
    let contents: Vec<Contents<'_>> = contents.iter().map(Contents::from).collect();
    store.apply(&contents)
}

fn request(full: bool, removed: &[RowId], rows: &[Row]) -> Vec<Bytes> {
    build::request(&incarnation(1, true, full), removed.iter().copied(), rows)
}

fn server(instance: u32, server: &str) -> Row {
    let sample = samples().into_iter().find_map(|row| match row {
        Row::Server(server) => Some(server),
        _ => None,
    });
    Server {
        instance: number(instance),
        name: name(server),
        ..sample.unwrap()
    }
    .into()
}

fn inlet(instance: u32, server: u32, domain: &str) -> Row {
    Inlet {
        instance: number(instance),
        server: reference(server),
        domain: name(domain),
        max_milliwatts: 1,
    }
    .into()
}

/// The first REQ of a PEP: support, a server, its domain.
fn opened() -> ReportedRows {
    let mut store = ReportedRows::new(RowLimits::default());
    let mut rows: Vec<Row> = PrcSupport::all().into_iter().map(Row::from).collect();
    rows.extend([
        server(1, "node01"),
        domain(1, "feedA", Mains::Present).into(),
        inlet(1, 1, "feedA"),
    ]);
    apply(&mut store, &request(true, &[], &rows)).unwrap();
    store
}

fn row_id(class: Class, instance: u32) -> RowId {
    RowId {
        class,
        instance: number(instance),
    }
}

/// The REQ is refused with these error rows, and nothing has changed.
#[track_caller]
fn refused(store: &mut ReportedRows, contents: &[Bytes]) -> Vec<(ClassErrorCode, u16, RowId)> {
    let before = store.rows().clone();
    let refused = apply(store, contents).unwrap_err();
    assert_eq!(store.rows(), &before);
    let rows = refused.error_rows();
    assert!(
        rows.iter()
            .map(|row| row.instance.get())
            .eq(1..=rows.len() as u32)
    );
    rows.into_iter()
        .map(
            |FrameworkError {
                 code,
                 sub_code,
                 prc,
                 error_instance,
                 ..
             }| {
                let class = Class::from_entry(prc.as_ref()).unwrap();
                let id = RowId {
                    class,
                    instance: error_instance.unwrap(),
                };
                (ClassErrorCode(code), sub_code, id)
            },
        )
        .collect()
}

#[test]
fn full_state_replaces_and_tells_the_difference() {
    let mut store = opened();
    let mut rows: Vec<Row> = PrcSupport::all().into_iter().map(Row::from).collect();
    rows.extend([
        server(1, "node01"),
        domain(1, "feedA", Mains::Absent).into(),
        server(2, "node02"),
    ]);
    let applied = apply(&mut store, &request(true, &[], &rows)).unwrap();
    assert!(applied.full_state);
    assert_eq!(
        applied.changes,
        [
            RowChange::Installed(server(2, "node02")),
            RowChange::Removed(inlet(1, 1, "feedA")),
            RowChange::Updated {
                old: domain(1, "feedA", Mains::Present).into(),
                new: domain(1, "feedA", Mains::Absent).into()
            },
        ]
    );
    assert_eq!(store.rows().all::<Server>().count(), 2);
    assert_eq!(store.rows().all::<Inlet>().count(), 0);
}

#[test]
fn an_increment_updates_installs_and_removes() {
    let mut store = opened();
    let removed = [row_id(Class::Inlet, 1)];
    let rows = [
        domain(1, "feedA", Mains::Absent).into(),
        domain(2, "feedB", Mains::Present).into(),
    ];
    let applied = apply(&mut store, &request(false, &removed, &rows)).unwrap();
    assert!(!applied.full_state);
    let changed: Vec<RowId> = applied.changes.iter().map(RowChange::id).collect();
    assert_eq!(
        changed,
        [
            row_id(Class::PibIncarnation, 1),
            row_id(Class::Inlet, 1),
            row_id(Class::Domain, 1),
            row_id(Class::Domain, 2)
        ]
    );
    assert_eq!(
        store.rows().row::<Domain>(number(1)).unwrap().mains,
        Mains::Absent
    );
    assert!(store.rows().get(row_id(Class::Server, 1)).is_some());
    // The same again changes nothing.
    assert_eq!(
        apply(&mut store, &request(false, &[], &rows)).unwrap().changes,
        []
    );
}

/// A-36, first half: a PEP that never showed support for the attribute has full state in each REQ.
#[test]
fn every_req_is_full_state_without_support() {
    let mut store = ReportedRows::new(RowLimits::default());
    let first = [server(1, "node01")];
    assert!(apply(&mut store, &build::contents(&first)).unwrap().full_state);
    let second = [server(2, "node02")];
    assert!(
        apply(&mut store, &request(false, &[], &second))
            .unwrap()
            .full_state
    );
    assert_eq!(
        store
            .rows()
            .all::<Server>()
            .map(|row| row.instance.get())
            .collect::<Vec<_>>(),
        [2]
    );
}

/// A-36, second half: for one that did, a REQ without incarnation row is an increment.
#[test]
fn a_missing_incarnation_is_an_increment_with_support() {
    let mut store = opened();
    let applied = apply(&mut store, &build::contents([server(2, "node02")])).unwrap();
    assert!(!applied.full_state);
    assert_eq!(store.rows().all::<Server>().count(), 2);
}

#[test]
fn support_means_the_bit_of_full_state() {
    let mut support = PrcSupport::of(InstanceId::FIRST, Class::PibIncarnation);
    assert!(support.supports(PibIncarnation::FULL_STATE) && !support.supports(9) && !support.supports(0));
    support.supported_attrs = cops_codec::client_type::OctetString::new([0xfe]).unwrap();
    assert!(!support.supports(PibIncarnation::FULL_STATE));
    let mut store = ReportedRows::new(RowLimits::default());
    apply(&mut store, &request(true, &[], &[support.into()])).unwrap();
    assert!(apply(&mut store, &request(false, &[], &[])).unwrap().full_state);
}

/// What a PEP sends right after CAT to a PDP that was started again meanwhile: its rows are changes of what the PDP before
/// knew, and say nothing of what is supported.
#[test]
fn refuses_a_change_without_support_before_any_state() {
    let mut store = ReportedRows::new(RowLimits::default());
    assert_eq!(
        apply(&mut store, &request(false, &[], &[server(1, "node01")])),
        Err(RequestRefused::NoState)
    );
    assert_eq!(store.rows().iter().count(), 0);
    // The full state that it is asked for is taken.
    let mut rows: Vec<Row> = PrcSupport::all().into_iter().map(Row::from).collect();
    rows.push(server(1, "node01"));
    assert!(apply(&mut store, &request(true, &[], &rows)).unwrap().full_state);
}

#[test]
fn refuses_an_increment_before_any_state() {
    let mut store = ReportedRows::new(RowLimits::default());
    let rows: Vec<Row> = PrcSupport::all().into_iter().map(Row::from).collect();
    assert_eq!(
        apply(&mut store, &request(false, &[], &rows)),
        Err(RequestRefused::NoState)
    );
    assert!(store.rows().is_empty());
    assert!(apply(&mut store, &request(true, &[], &rows)).is_ok());
}

#[test]
fn refuses_the_removal_of_an_unknown_instance_and_rolls_back() {
    let mut store = opened();
    let contents = request(false, &[row_id(Class::Domain, 9)], &[server(2, "node02")]);
    assert_eq!(
        refused(&mut store, &contents),
        [(ClassErrorCode::PRI_INSTANCE_INVALID, 0, row_id(Class::Domain, 9))]
    );
}

#[test]
fn refuses_what_breaks_rows_together() {
    let mut store = opened();
    let table = [
        (
            "a reference to nothing",
            vec![],
            vec![inlet(2, 7, "feedB")],
            ClassErrorCode::ATTR_REFERENCE_UNKNOWN,
            2,
            row_id(Class::Inlet, 2),
        ),
        (
            "a row that is referred to goes",
            vec![row_id(Class::Server, 1)],
            vec![],
            ClassErrorCode::DELETED_IN_REF,
            0,
            row_id(Class::Server, 1),
        ),
        (
            "two rows of one name",
            vec![],
            vec![server(2, "node01")],
            ClassErrorCode::PRI_INSTANCE_INVALID,
            0,
            row_id(Class::Server, 2),
        ),
        (
            "a second row of a class with one",
            vec![],
            vec![
                PibIncarnation {
                    instance: number(2),
                    ..incarnation(1, true, false)
                }
                .into(),
            ],
            ClassErrorCode::PRI_INSTANCE_INVALID,
            0,
            row_id(Class::PibIncarnation, 2),
        ),
        (
            "a row that only a PDP sends",
            vec![],
            vec![
                plan(
                    1,
                    cops_codec::client_type::power::Scope::Cluster,
                    0,
                    rows::counting_digest(),
                )
                .into(),
            ],
            ClassErrorCode::PRI_NOTIFY_ONLY,
            0,
            row_id(Class::Plan, 1),
        ),
    ];
    for (what, removed, rows, code, sub_code, id) in table {
        // Sent without the builder's own incarnation row, which would be the second one in one case.
        let mut contents: Vec<u8> = removed.iter().flat_map(|id| build::removal(*id)).collect();
        contents.extend(rows.iter().flat_map(Row::to_vec));
        assert_eq!(
            refused(&mut store, &[contents.into()]),
            [(code, sub_code, id)],
            "{what}"
        );
    }
}

#[test]
fn refuses_a_class_that_nobody_knows() {
    use cops_codec::provisioning::Oid;
    let unknown = Oid::from_arcs(&[1, 3, 6, 1, 4, 1, 32473, 1, 1, 99, 1, 3]).unwrap();
    let mut octets = server(2, "node02").to_vec();
    object::write_prid(&mut octets, unknown.as_ref());
    object::write_epd(&mut octets, &[0x42, 1, 3]).unwrap();
    let mut store = opened();
    let before = store.rows().clone();
    let rows = apply(&mut store, &[octets.into()]).unwrap_err().error_rows();
    assert_eq!(store.rows(), &before);
    let [row] = &rows[..] else { panic!("{rows:?}") };
    assert_eq!(ClassErrorCode(row.code), ClassErrorCode::UNKNOWN_PRC);
    assert_eq!(row.prc.to_string(), "1.3.6.1.4.1.32473.1.1.99.1");
    assert_eq!(row.error_instance, InstanceId::new(3));
}

/// Two rows may change names with each other in one REQ; uniqueness is a matter of the whole.
#[test]
fn names_may_be_swapped() {
    let mut store = opened();
    apply(&mut store, &request(false, &[], &[server(2, "node02")])).unwrap();
    apply(
        &mut store,
        &request(false, &[], &[server(1, "node02"), server(2, "node01")]),
    )
    .unwrap();
    assert_eq!(store.rows().row::<Server>(number(1)).unwrap().name, "node02");
    // And a row may move to another number, or be removed and sent anew.
    apply(
        &mut store,
        &request(false, &[row_id(Class::Server, 2)], &[server(3, "node01")]),
    )
    .unwrap();
    let anew = [
        build::removal(row_id(Class::Server, 3)),
        server(3, "node04").to_vec(),
    ]
    .concat();
    apply(&mut store, &[anew.into()]).unwrap();
    assert_eq!(store.rows().row::<Server>(number(3)).unwrap().name, "node04");
}

#[test]
fn all_errors_of_a_req_are_told_up_to_the_limit() {
    let mut store = ReportedRows::new(RowLimits {
        max_errors: 3,
        ..RowLimits::default()
    });
    let removed: Vec<RowId> = (1..=5).map(|instance| row_id(Class::Domain, instance)).collect();
    assert_eq!(refused(&mut store, &request(true, &removed, &[])).len(), 3);
}

#[test]
fn refuses_more_than_the_limits() {
    for limits in [
        RowLimits {
            max_rows: 3,
            ..RowLimits::default()
        },
        RowLimits {
            max_octets: 200,
            ..RowLimits::default()
        },
        RowLimits {
            max_domains: 3,
            ..RowLimits::default()
        },
    ] {
        let mut store = ReportedRows::new(limits);
        let rows: Vec<Row> = (1..=5)
            .map(|n| domain(n, &format!("feed{n}"), Mains::Present).into())
            .collect();
        let errors = refused(&mut store, &request(true, &[], &rows));
        assert_eq!(errors.len(), 1, "{errors:?}");
        assert_eq!(errors[0].0, ClassErrorCode::PRI_SPACE_EXHAUSTED);
        assert!(apply(&mut store, &request(true, &[], &rows[..2])).is_ok());
    }
}

#[test]
fn extra_attributes_are_taken_and_noted() {
    let mut store = opened();
    let mut octets = domain(2, "feedB", Mains::Present).to_vec_with(&[0x05, 0x00]);
    octets.extend(server(2, "node02").to_vec());
    let applied = apply(&mut store, &[octets.into()]).unwrap();
    assert_eq!(applied.extra_attributes, [row_id(Class::Domain, 2)]);
    assert_eq!(store.rows().row::<Domain>(number(2)).unwrap().name, "feedB");
}

trait WithMore {
    fn to_vec_with(&self, more: &[u8]) -> Vec<u8>;
}

impl WithMore for Domain {
    /// The row with more values after its own.
    fn to_vec_with(&self, more: &[u8]) -> Vec<u8> {
        let octets = Row::from(self.clone()).to_vec();
        let binding = cops_codec::provisioning::binding::Bindings::new(&octets, 0)
            .next()
            .unwrap()
            .unwrap();
        let mut out = Vec::new();
        object::write_prid(&mut out, binding.prid);
        object::write_epd(&mut out, &[binding.epd.contents, more].concat()).unwrap();
        out
    }
}

#[test]
fn a_broken_object_refuses_the_req_with_its_place() {
    let mut store = opened();
    let before = store.rows().clone();
    let mut octets = server(2, "node02").to_vec();
    let at = octets.len();
    octets.extend([0, 4, 4, 1]);
    let contents = Contents {
        octets: &octets,
        offset: 24,
    };
    let Err(RequestRefused::Malformed(error)) = store.apply(&[contents]) else {
        panic!("taken")
    };
    assert_eq!(error.offset, 24 + at);
    assert_eq!(store.rows(), &before);
}

#[test]
fn several_named_client_sis_are_one_request() {
    let rows: Vec<Row> = (1..=900).map(|n| server(n, &format!("node{n:04}"))).collect();
    let contents = request(true, &[], &rows);
    assert_eq!(contents.len(), 2);
    let mut store = ReportedRows::new(RowLimits::default());
    apply(&mut store, &contents).unwrap();
    assert_eq!(store.rows().all::<Server>().count(), 900);
    assert_eq!(
        store.rows().octets(),
        contents.iter().map(Bytes::len).sum::<usize>()
    );
}

#[test]
fn readings_are_report_only_rows() {
    let readings: Vec<Row> = samples()
        .into_iter()
        .filter(|row| matches!(row.class(), Class::ReserveReading | Class::ServerReading))
        .collect();
    let read = |contents: &[Bytes], limits| {
        read_readings(&contents.iter().map(Contents::from).collect::<Vec<_>>(), limits)
    };
    assert_eq!(
        read(&build::contents(&readings), RowLimits::default()).unwrap(),
        readings
    );
    assert!(read(&build::contents([server(1, "node01")]), RowLimits::default()).is_err());
    let one = RowLimits {
        max_rows: 1,
        ..RowLimits::default()
    };
    assert!(read(&build::contents(&readings), one).is_err());
    // And a REQ holds none.
    assert!(apply(&mut opened(), &build::contents(&readings)).is_err());
}

proptest! {
    /// Whatever comes: taken as a whole or not at all, and what is kept satisfies the limits.
    #[test]
    fn a_req_is_taken_as_a_whole_or_not_at_all(
        requests in prop::collection::vec(prop::collection::vec(any_raw_row(), 0..4), 1..4),
        mutation in prop::option::of((any::<prop::sample::Index>(), any::<u8>())),
    ) {
        let mut store = opened();
        for request in requests {
            let mut octets: Vec<u8> = request.iter().flat_map(RawRow::octets).collect();
            if let Some((at, octet)) = mutation.filter(|_| !octets.is_empty()) {
                let at = at.index(octets.len());
                octets[at] = octet;
            }
            let before = store.rows().clone();
            match apply(&mut store, &[octets.into()]) {
                Ok(_) => prop_assert!(store.rows().len() <= RowLimits::default().max_rows),
                Err(refused) => {
                    prop_assert_eq!(store.rows(), &before);
                    prop_assert!(!refused.to_string().is_empty());
                    for row in refused.error_rows() {
                        prop_assert!(ClassErrorCode(row.code).label().is_some());
                    }
                }
            }
            // The octets counted are those of the rows.
            let octets: usize = store.rows().iter().map(|row| row.to_vec().len()).sum();
            prop_assert_eq!(store.rows().octets(), octets);
        }
    }
}
