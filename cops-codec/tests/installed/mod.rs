//! A context as a PEP keeps it, and DECs for it.
#![allow(clippy::unwrap_used, dead_code)]

use bytes::Bytes;
use cops_codec::client_type::framework::{Longevity, PibIncarnation};
use cops_codec::client_type::power::{Arc, PlanVersion, Scope};
use cops_codec::client_type::store::{
    Installed, InstalledRows, PlanStatus, Refusal, RowLimits, build, digest,
};
use cops_codec::client_type::{Row, RowId};
use cops_codec::provisioning::{ClassErrorCode, Operation, Report};

use crate::rows::{self, action, grouping, incarnation, set, stage};

/// A decision as its own octets.
pub(crate) enum Part {
    Remove(Bytes),
    Install(Bytes),
}

pub(crate) fn remove(contents: Vec<Bytes>) -> Part {
    Part::Remove(contents.concat().into())
}

pub(crate) fn install(rows: &[Row]) -> Part {
    Part::Install(build::contents(rows).concat().into())
}

pub(crate) fn apply_above(
    store: &mut InstalledRows,
    parts: &[Part],
    fence: PlanVersion,
) -> Result<Installed, Refusal> {
    let operations: Vec<Operation<'_>> = parts
        .iter()
        .map(|part| match part {
            Part::Remove(contents) => Operation::Remove(contents.into()),
            Part::Install(contents) => Operation::Install(contents.into()),
        })
        .collect();
    store.apply(&operations, fence)
}

pub(crate) fn apply(store: &mut InstalledRows, parts: &[Part]) -> Result<Installed, Refusal> {
    apply_above(store, parts, PlanVersion::NONE)
}

/// The DEC is refused, and nothing has changed.
#[track_caller]
pub(crate) fn refused(store: &mut InstalledRows, parts: &[Part]) -> Report {
    refused_above(store, parts, PlanVersion::NONE)
}

#[track_caller]
pub(crate) fn refused_above(store: &mut InstalledRows, parts: &[Part], fence: PlanVersion) -> Report {
    let (rows, highest, status) = (store.rows().clone(), store.highest(), store.plan_status());
    let refusal = apply_above(store, parts, fence).unwrap_err();
    assert_eq!(
        (store.rows(), store.highest(), store.plan_status()),
        (&rows, highest, status)
    );
    let report = refusal.report();
    // What is told can be read back.
    let mut read = Report::default();
    for contents in build::report(&report) {
        read.read(&contents, 0).unwrap();
    }
    assert_eq!(read, report);
    report
}

pub(crate) fn errors(report: &Report) -> Vec<(String, ClassErrorCode, u16)> {
    let tell = |error: &cops_codec::provisioning::ReportedError| {
        let id = RowId::from_prid(error.prid.as_oid());
        let name = id.map_or_else(|| error.prid.to_string(), |id| id.to_string());
        (name, error.error.code, error.error.sub_code)
    };
    report.errors.iter().map(tell).collect()
}

pub(crate) fn new_store() -> InstalledRows {
    InstalledRows::new(
        RowLimits::default(),
        PibIncarnation::opening(Longevity::ExpireOnTimeout, 86_400),
    )
}

pub(crate) fn plan_of(generation: u64, released_stage: u32, rows: &[Row]) -> Row {
    rows::plan(generation, Scope::Standing, released_stage, digest(rows)).into()
}

pub(crate) fn policy() -> Vec<Row> {
    vec![
        set(1, "gold").into(),
        set(2, "silver").into(),
        grouping(1, 10, 1).into(),
        stage(1, 0).into(),
        stage(2, 1).into(),
        action(1, 2, "batch").into(),
    ]
}

/// E1 step 4 on an empty context.
pub(crate) fn installed() -> InstalledRows {
    let mut store = new_store();
    let rows = policy();
    let mut all: Vec<Row> = vec![incarnation(1, true, false).into(), plan_of(1, 0, &rows)];
    all.extend(rows);
    let dec = [
        remove(build::remove_arcs([Arc::Policy, Arc::Plans])),
        install(&all),
    ];
    let done = apply(&mut store, &dec).unwrap();
    assert_eq!(done.plan, PlanStatus::InForce);
    assert!(
        done.warnings.is_empty(),
        "removing a prefix that is empty is no matter for a warning"
    );
    assert_eq!(done.changes.len(), 8);
    store
}

pub(crate) const SPECIFIC: ClassErrorCode = ClassErrorCode::PRI_SPECIFIC_ERROR;
