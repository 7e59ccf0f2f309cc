//! What a PEP keeps of a PDP's DECs: transactions (RFC 3084 sections 3.2 and 5.3.1), versions and digests of plans.
#![allow(clippy::unwrap_used, clippy::panic)]

mod installed;
mod rows;

use bytes::Bytes;
use cops_codec::client_type::framework::{FrameworkError, Longevity, PibIncarnation};
use cops_codec::client_type::power::{
    Action, Arc, Domain, Grouping, Mains, Plan, PlanVersion, Scope, Set, Stage,
};
use cops_codec::client_type::store::{InstalledRows, PlanStatus, RowLimits, build, digest};
use cops_codec::client_type::{Class, Row, RowId};
use cops_codec::provisioning::{
    ClassError, ClassErrorCode, Contents, GlobalErrorCode, Oid, Operation, Report, object,
};
use installed::{Part, SPECIFIC, apply, errors, install, installed, plan_of, policy, refused, remove};
use proptest::prelude::*;
use rows::{RawRow, action, any_raw_row, domain, number, set, stage};

#[test]
fn the_first_decision_installs_the_whole_configuration() {
    let store = installed();
    let view = store.in_force().unwrap();
    assert_eq!(
        view.plan().version(),
        PlanVersion {
            term: 7,
            generation: 1
        }
    );
    assert_eq!(view.sets().count(), 2);
    assert_eq!(view.set_of(view.groupings()[0]).unwrap().name, "gold");
    let stages = view.stages();
    assert_eq!(stages.iter().map(|stage| stage.order).collect::<Vec<_>>(), [0, 1]);
    assert!(view.is_released(stages[0]) && !view.is_released(stages[1]));
    assert_eq!(
        view.actions(stages[1].instance)
            .map(|row| row.activity.as_str())
            .collect::<Vec<_>>(),
        ["batch"]
    );
    assert_eq!(view.actions(stages[0].instance).count(), 0);
    assert!(store.incarnation().unwrap().active);
}

#[test]
fn a_new_plan_replaces_the_old_one_in_one_decision() {
    let mut store = installed();
    let mut rows = policy();
    rows.truncate(3);
    let news: Vec<Row> = vec![stage(3, 0).into(), action(7, 3, "web").into()];
    rows.extend(news.clone());
    let all: Vec<Row> = news.into_iter().chain([plan_of(2, 0, &rows)]).collect();
    let done = apply(
        &mut store,
        &[remove(build::remove_arcs([Arc::Plans])), install(&all)],
    )
    .unwrap();
    assert_eq!(done.plan, PlanStatus::InForce);
    assert_eq!(
        store
            .rows()
            .all::<Action>()
            .map(|row| row.instance.get())
            .collect::<Vec<_>>(),
        [7]
    );
    assert_eq!(store.rows().all::<Set>().count(), 2);
}

/// RFC 3084 section 3.2: a Remove does not delete what the same DEC installs, wherever it stands.
#[test]
fn removes_come_first_and_spare_what_is_installed() {
    let mut store = installed();
    let rows = policy();
    let mut all = rows.clone();
    all.push(plan_of(2, 0, &rows));
    let dec = [
        install(&all),
        remove(build::remove_arcs([Arc::Policy, Arc::Plans])),
    ];
    let done = apply(&mut store, &dec).unwrap();
    assert_eq!(done.plan, PlanStatus::InForce);
    assert_eq!(
        done.changes.len(),
        1,
        "only the plan's generation is new: {:?}",
        done.changes
    );
}

///
#[test]
fn of_two_installs_of_one_name_the_later_counts() {
    let mut store = installed();
    let mut rows = policy();
    rows[1] = set(2, "bronze").into();
    let dec = [install(&[
        set(2, "tin").into(),
        set(2, "bronze").into(),
        plan_of(2, 0, &rows),
    ])];
    apply(&mut store, &dec).unwrap();
    assert_eq!(store.rows().row::<Set>(number(2)).unwrap().name, "bronze");
}

/// a PRID in a Remove may be a prefix.
#[test]
fn a_prid_may_be_a_prefix_in_a_removal() {
    let mut store = installed();
    let mut rows = policy();
    rows.remove(5);
    let mut contents = Vec::new();
    object::write_prid(&mut contents, Class::Action.entry().as_ref());
    let dec = [Part::Remove(contents.into()), install(&[plan_of(2, 0, &rows)])];
    let done = apply(&mut store, &dec).unwrap();
    assert!(done.warnings.is_empty());
    assert_eq!(store.rows().all::<Action>().count(), 0);
}

/// P-4.2-03: prefixes match whole sub-identifiers, and no more than they name.
#[test]
fn a_prefix_of_one_class_leaves_the_others() {
    let mut store = installed();
    let rows: Vec<Row> = policy()
        .into_iter()
        .filter(|row| row.class() != Class::Grouping)
        .collect();
    let dec = [
        remove(build::remove([Class::Grouping.entry()], [])),
        install(&[plan_of(2, 0, &rows)]),
    ];
    apply(&mut store, &dec).unwrap();
    assert_eq!(store.rows().all::<Grouping>().count(), 0);
    assert_eq!(store.rows().all::<Set>().count(), 2);
    assert_eq!(store.rows().all::<Stage>().count(), 2);
}

#[test]
fn removing_an_unknown_row_is_a_warning() {
    let mut store = installed();
    let unknown = Oid::from_arcs(&[1, 3, 6, 1, 9]).unwrap();
    let mut contents = Vec::new();
    object::write_prid(&mut contents, unknown.as_ref());
    let gone = RowId {
        class: Class::Host,
        instance: number(4),
    };
    let dec = [
        remove(build::remove([], [gone])),
        Part::Remove(contents.into()),
        install(&[plan_of(1, 0, &policy())]),
    ];
    let done = apply(&mut store, &dec).unwrap();
    assert_eq!(done.plan, PlanStatus::InForce);
    assert_eq!(
        errors(&done.warnings),
        [
            ("pwrHost.4".to_owned(), ClassErrorCode::PRI_INSTANCE_INVALID, 0),
            ("1.3.6.1.9".to_owned(), ClassErrorCode::PRI_INSTANCE_INVALID, 0)
        ]
    );
}

/// P-3.2-06: the third of three rows is bad, and none is there.
#[test]
fn one_bad_row_refuses_all() {
    let mut store = installed();
    let mut bad = Vec::new();
    for row in [Row::from(set(5, "tin")), stage(5, 5).into()] {
        row.encode(&mut bad);
    }
    let domain: Domain = domain(1, "feedA", Mains::Absent);
    Row::from(domain).encode(&mut bad);
    let report = refused(&mut store, &[Part::Install(bad.into())]);
    assert_eq!(
        errors(&report),
        [("pwrDomain.1".to_owned(), ClassErrorCode::PRI_NOTIFY_ONLY, 0)]
    );
    assert_eq!(report.global, None);
}

#[test]
fn all_bad_rows_are_told() {
    let mut store = installed();
    let mut octets = Vec::new();
    let unknown = Oid::from_arcs(&[1, 3, 6, 1, 4, 1, 32473, 1, 4, 99, 1, 1]).unwrap();
    object::write_prid(&mut octets, unknown.as_ref());
    object::write_epd(&mut octets, &[0x42, 1, 1]).unwrap();
    object::write_prid(&mut octets, Class::Stage.entry().as_ref());
    object::write_epd(&mut octets, &[0x42, 1, 1]).unwrap();
    object::write_prid(
        &mut octets,
        RowId {
            class: Class::Stage,
            instance: number(3),
        }
        .prid()
        .as_oid(),
    );
    object::write_epd(&mut octets, &[0x42, 1, 3]).unwrap();
    object::write_prid(
        &mut octets,
        RowId {
            class: Class::Stage,
            instance: number(4),
        }
        .prid()
        .as_oid(),
    );
    object::write_epd(&mut octets, &[0x42, 1, 4, 0x42, 1, 0, 0x02, 1, 9]).unwrap();
    let report = refused(&mut store, &[Part::Install(octets.into())]);
    assert_eq!(
        errors(&report),
        [
            (
                "1.3.6.1.4.1.32473.1.4.99.1.1".to_owned(),
                ClassErrorCode::UNKNOWN_PRC,
                0
            ),
            (
                Class::Stage.entry().to_string(),
                ClassErrorCode::PRI_INSTANCE_INVALID,
                0
            ),
            ("pwrStage.3".to_owned(), ClassErrorCode::TOO_FEW_ATTRS, 0),
            ("pwrStage.4".to_owned(), ClassErrorCode::ATTR_VALUE_INVALID, 3),
        ]
    );
    assert_eq!(report.global, Some(GlobalErrorCode::UNKNOWN_PIB_DATA.into()));
}

#[test]
fn broken_objects_give_the_global_error() {
    let mut store = installed();
    let prid = RowId {
        class: Class::Stage,
        instance: number(3),
    }
    .prid();
    let epd = |values: &[u8]| {
        let mut octets = Vec::new();
        object::write_prid(&mut octets, prid.as_oid());
        object::write_epd(&mut octets, values).unwrap();
        octets
    };
    let mut padding = epd(&[0x42, 1, 3, 0x42, 1]);
    *padding.last_mut().unwrap() = 1;
    let mut prefix = Vec::new();
    object::write_prefix_prid(&mut prefix, Class::Stage.entry().as_ref());
    let table = [
        (epd(&[0x1f, 1, 3]), GlobalErrorCode::UNKNOWN_ASN1_TAG, 0x1f, 1),
        (epd(&[0x42, 9, 3]), GlobalErrorCode::INVALID_ASN1_LENGTH, 0, 1),
        (padding, GlobalErrorCode::INVALID_OBJECT_PAD, 0, 0),
        (
            vec![0, 4, 7, 1],
            GlobalErrorCode::UNKNOWN_COPS_PR_OBJECT,
            0x0701,
            0,
        ),
        (epd(&[])[..20].to_vec(), GlobalErrorCode::MALFORMED_DECISION, 0, 0),
        (prefix, GlobalErrorCode::MALFORMED_DECISION, 0, 0),
    ];
    for (octets, code, sub_code, reported) in table {
        let report = refused(&mut store, &[Part::Install(octets.clone().into())]);
        let global = report.global.unwrap();
        assert_eq!((global.code, global.sub_code), (code, sub_code), "{octets:02x?}");
        assert_eq!(report.errors.len(), reported, "{octets:02x?}");
    }
    // P-5.1-02: a Remove has no EPD.
    let report = refused(&mut store, &[Part::Remove(epd(&[0x42, 1, 3]).into())]);
    assert_eq!(report.global, Some(GlobalErrorCode::MALFORMED_DECISION.into()));
}

#[test]
fn references_hold_in_the_context_as_it_becomes() {
    let mut store = installed();
    let mut rows = policy();
    // A reference forward within the DEC.
    rows.extend([action(2, 9, "web").into(), stage(9, 9).into()]);
    let news = [rows[6].clone(), rows[7].clone(), plan_of(2, 0, &rows)];
    apply(&mut store, &[install(&news)]).unwrap();
    // To a stage that is not there.
    let bad: Row = action(3, 33, "db").into();
    let report = refused(&mut store, &[install(&[bad, plan_of(3, 0, &rows)])]);
    assert_eq!(
        errors(&report)[0],
        (
            "pwrAction.3".to_owned(),
            ClassErrorCode::ATTR_REFERENCE_UNKNOWN,
            2
        )
    );
    // A stage that is referred to goes; with those that refer to it, it may.
    let id = |class, instance| RowId {
        class,
        instance: number(instance),
    };
    let report = refused(
        &mut store,
        &[
            remove(build::remove([], [id(Class::Stage, 9)])),
            install(&[plan_of(3, 0, &rows)]),
        ],
    );
    assert_eq!(
        errors(&report)[0],
        ("pwrStage.9".to_owned(), ClassErrorCode::DELETED_IN_REF, 0)
    );
    rows.truncate(6);
    let dec = [
        remove(build::remove([], [id(Class::Stage, 9), id(Class::Action, 2)])),
        install(&[plan_of(3, 0, &rows)]),
    ];
    assert_eq!(apply(&mut store, &dec).unwrap().plan, PlanStatus::InForce);
}

#[test]
fn unique_values_and_single_rows_hold() {
    let mut store = installed();
    let mut rows = policy();
    rows.push(set(3, "gold").into());
    let report = refused(&mut store, &[install(&[rows[6].clone(), plan_of(2, 0, &rows)])]);
    assert_eq!(
        errors(&report),
        [("pwrSet.3".to_owned(), ClassErrorCode::PRI_INSTANCE_INVALID, 0)]
    );
    let second = Plan {
        instance: number(2),
        ..rows::plan(2, Scope::Cluster, 0, digest(&policy()))
    };
    let report = refused(&mut store, &[install(&[second.into()])]);
    assert_eq!(
        errors(&report)[0],
        ("pwrPlan.2".to_owned(), ClassErrorCode::PRI_INSTANCE_INVALID, 0)
    );
}

#[test]
fn extra_attributes_are_a_warning() {
    let mut store = installed();
    let octets = plan_of(1, 1, &policy()).to_vec();
    let binding = cops_codec::provisioning::binding::Bindings::new(&octets, 0)
        .next()
        .unwrap()
        .unwrap();
    let mut more = Vec::new();
    object::write_prid(&mut more, binding.prid);
    object::write_epd(&mut more, &[binding.epd.contents, &[0x05, 0x00]].concat()).unwrap();
    let done = apply(&mut store, &[Part::Install(more.into())]).unwrap();
    assert_eq!(
        errors(&done.warnings),
        [("pwrPlan.1".to_owned(), ClassErrorCode::ATTR_VALUE_SUP_LIMITED, 8)]
    );
    assert_eq!(store.in_force().unwrap().plan().released_stage, 1);
}

/// RFC 3318 section 5: frwkError rows are transient.
#[test]
fn error_rows_are_told_and_not_kept() {
    let mut store = installed();
    let rows = store.rows().clone();
    let error = FrameworkError {
        instance: number(1),
        code: 2,
        sub_code: 0,
        prc: Class::Domain.entry(),
        error_instance: Some(number(9)),
    };
    let done = apply(&mut store, &[install(&[error.clone().into()])]).unwrap();
    assert_eq!(done.request_errors, [error]);
    assert_eq!(store.rows(), &rows);
}

#[test]
fn refuses_more_than_the_limits_and_tells_a_few() {
    let limits = RowLimits {
        max_rows: 5,
        ..RowLimits::default()
    };
    let mut store = InstalledRows::new(limits, PibIncarnation::opening(Longevity::ExpireNever, 0));
    let rows = policy();
    let mut all = rows.clone();
    all.push(plan_of(1, 0, &rows));
    let report = refused(&mut store, &[install(&all)]);
    assert_eq!(errors(&report)[0].1, ClassErrorCode::PRI_SPACE_EXHAUSTED);
    let limits = RowLimits {
        max_errors: 2,
        ..RowLimits::default()
    };
    let mut store = InstalledRows::new(limits, PibIncarnation::opening(Longevity::ExpireNever, 0));
    let bad: Vec<Row> = (1..9)
        .map(|n| domain(n, &format!("feed{n}"), Mains::Absent).into())
        .collect();
    assert_eq!(refused(&mut store, &[install(&bad)]).errors.len(), 2);
}

#[test]
fn a_context_is_restored_from_its_rows() {
    let mut store = installed();
    assert!(store.set_active(false));
    assert!(!store.incarnation().unwrap().active);
    let rows: Vec<Row> = store.rows().iter().cloned().collect();
    let again = InstalledRows::restore(RowLimits::default(), rows.clone()).unwrap();
    assert_eq!(again.rows(), store.rows());
    assert_eq!(
        (again.plan_status(), again.highest()),
        (PlanStatus::InForce, store.highest())
    );
    let broken = rows.iter().filter(|row| row.class() != Class::Stage).cloned();
    assert!(InstalledRows::restore(RowLimits::default(), broken).is_err());
    assert!(
        InstalledRows::restore(RowLimits::default(), [domain(1, "feedA", Mains::Absent).into()]).is_err()
    );
}

/// Errors of an action that was taken, told later (E7): one report, without effect on the rows.
#[test]
fn a_later_failure_is_an_error_prid_and_a_cperr() {
    use cops_codec::client_type::power::DivertError;
    let prid = RowId {
        class: Class::Divert,
        instance: number(1),
    }
    .prid();
    let error = cops_codec::provisioning::ReportedError {
        prid,
        error: DivertError::OverLimit.class_error(),
        details: vec![],
    };
    let contents = build::report(&Report {
        global: None,
        errors: vec![error],
    });
    assert_eq!(contents.len(), 1);
    assert_eq!(contents[0][contents[0].len() - 8..], [0, 8, 5, 1, 0, 13, 0, 3]);
    // ErrorPRID 20, CPERR 8; with header, handle, report type and ClientSI header 56 (exchanges, E7).
    assert_eq!(contents[0].len() + 8 + 8 + 8 + 4, 56);
    assert_eq!(
        ClassError {
            code: SPECIFIC,
            sub_code: 3
        },
        DivertError::OverLimit.class_error()
    );
}

proptest! {
    /// Whatever comes: all of it or nothing, never a panic, and a plan in force always has its digest.
    #[test]
    fn a_dec_is_taken_as_a_whole_or_not_at_all(
        rows in prop::collection::vec(any_raw_row(), 0..5),
        with_plan in any::<bool>(),
        generation in 0_u64..4,
        prefix in prop::sample::select(vec![None, Some(Arc::Plans), Some(Arc::Policy)]),
        mutation in prop::option::of((any::<prop::sample::Index>(), any::<u8>())),
    ) {
        let mut store = installed();
        let mut octets: Vec<u8> = rows.iter().flat_map(RawRow::octets).collect();
        if with_plan {
            plan_of(generation, 0, &policy()).encode(&mut octets);
        }
        if let Some((at, octet)) = mutation.filter(|_| !octets.is_empty()) {
            let at = at.index(octets.len());
            octets[at] = octet;
        }
        let mut dec = vec![Part::Install(octets.into())];
        dec.extend(prefix.map(|arc| remove(build::remove_arcs([arc]))));
        let before = store.rows().clone();
        match apply(&mut store, &dec) {
            Ok(done) => {
                prop_assert_eq!(done.plan, store.plan_status());
                for change in &done.changes {
                    prop_assert_ne!(before.get(change.id()), store.rows().get(change.id()));
                }
            }
            Err(refusal) => {
                prop_assert_eq!(store.rows(), &before);
                let report = refusal.report();
                prop_assert!(report.global.is_some() || !report.errors.is_empty());
            }
        }
        if let Some(view) = store.in_force() {
            prop_assert_eq!(view.plan().digest, digest(store.rows().iter()));
        }
    }

    /// Octets of any kind, as either kind of decision.
    #[test]
    fn random_decisions_never_panic(octets in prop::collection::vec(any::<u8>(), 0..160), removes in any::<bool>()) {
        let mut store = installed();
        let before = store.rows().clone();
        let octets = Bytes::from(octets);
        let part = if removes { Part::Remove(octets) } else { Part::Install(octets) };
        if apply(&mut store, &[part]).is_err() {
            prop_assert_eq!(store.rows(), &before);
        }
    }
}

/// Offsets count from the message's first octet.
#[test]
fn errors_name_the_place_in_the_message() {
    let mut store = installed();
    let mut octets = set(3, "tin").clone().into_row_octets();
    let at = octets.len();
    octets.extend(domain(1, "feedA", Mains::Absent).into_row_octets());
    let contents = Contents {
        octets: &octets,
        offset: 36,
    };
    let refusal = store
        .apply(&[Operation::Install(contents)], PlanVersion::NONE)
        .unwrap_err();
    assert_eq!(refusal.errors[0].offset, 36 + at);
    assert_eq!(
        refusal.to_string(),
        "1 row(s) cannot be taken, first: row pwrDomain.1, offset 80: a class with access notify came this way"
    );
}

trait IntoRowOctets {
    fn into_row_octets(self) -> Vec<u8>;
}

impl<T: Into<Row>> IntoRowOctets for T {
    fn into_row_octets(self) -> Vec<u8> {
        self.into().to_vec()
    }
}
