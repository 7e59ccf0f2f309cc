//! Row stores: a sequence of REQs and DECs, each taken whole or not at all.
//!
//! Input: one octet with the limits (0: the defaults), then at most 16 operations until the input ends:
//!
//! | octet mod 4 | operation |
//! |---|---|
//! | 0 | REQ: full state, or incremental with removals; then rows |
//! | 1 | DEC: removals and installs, most of the time with the plan's row, most of the time with its right digest |
//! | 2 | REQ of one Named ClientSI, octets as they come |
//! | 3 | DEC of two decisions (Remove, Install), octets as they come |
//!
//! Beside each store stands a model: a map of rows. After a message that was taken the store holds what the model says, and
//! every promise on rows together is kept (references, UNIQUENESS, single instances, bounds, the plan's version and
//! digest). After one that was refused it holds what it held before.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use bytes::Bytes;
use cops_codec::{
    client_type::{
        Access, Class, Digest, Row, RowId,
        framework::{Longevity, PibIncarnation, PrcSupport},
        power::{Cause, Plan, PlanVersion, Scope},
        store::{
            InstalledRows, PlanStatus, ReportedRows, RequestRefused, RowChange, RowLimits, RowTable, build,
            digest,
        },
    },
    provisioning::{
        Binding, Contents, InstanceId, OidRef, Operation, Report,
        ber::{self, Value},
        binding::{Bindings, RemoveTargets},
    },
};

use crate::{Input, rows};

/// Operations of one input: all that was held before is looked through after each.
const MAX_OPERATIONS: usize = 16;

/// See the module.
pub fn run(octets: &[u8]) {
    let mut input = Input::new(octets);
    let limits = limits(&mut input);
    let mut reported = ReportedRows::new(limits);
    let mut installed = InstalledRows::new(limits, PibIncarnation::opening(Longevity::ExpireOnTimeout, 60));
    for _ in 0..MAX_OPERATIONS {
        if input.is_at_end() {
            break;
        }
        match input.u8() % 4 {
            0 => {
                let contents = request(&mut input);
                report_rows(&mut reported, &contents, limits);
            }
            1 => {
                let (remove, install) = decision(&mut input, installed.rows());
                let fence = fence(&mut input);
                install_rows(&mut installed, &remove, &install, fence, limits);
            }
            2 => {
                let contents = input.octets();
                report_rows(&mut reported, &[contents], limits);
            }
            _ => {
                let (remove, install) = (input.octets(), input.octets());
                let fence = fence(&mut input);
                install_rows(&mut installed, &[remove], &[install], fence, limits);
            }
        }
    }
}

fn limits(input: &mut Input<'_>) -> RowLimits {
    match input.u8() {
        0 => RowLimits::DEFAULT,
        small => RowLimits {
            // Room at least for the incarnation row, with which an installed context begins.
            max_rows: 1 + usize::from(small % 16),
            max_octets: 128 + 64 * usize::from(small / 16),
            max_domains: RowLimits::DEFAULT.max_domains,
            max_errors: usize::from(small % 5),
        },
    }
}

/// What a PEP may report: facts, and which feedback it can give.
fn notified() -> &'static [Class] {
    static CLASSES: LazyLock<Vec<Class>> = LazyLock::new(|| classes(Access::is_notified));
    &CLASSES
}

/// What a PDP may install: policy, plans, and which feedback it wants.
fn installed() -> &'static [Class] {
    static CLASSES: LazyLock<Vec<Class>> = LazyLock::new(|| classes(Access::is_installed));
    &CLASSES
}

fn classes(wanted: fn(Access) -> bool) -> Vec<Class> {
    let classes = Class::ALL.iter().copied();
    classes.filter(|class| wanted(class.access())).collect()
}

fn fence(input: &mut Input<'_>) -> PlanVersion {
    PlanVersion {
        term: u64::from(input.u8() % 3),
        generation: u64::from(input.u8() % 4),
    }
}

fn incarnation(input: &mut Input<'_>) -> PibIncarnation {
    let how = input.u8();
    PibIncarnation {
        full_state: how & 1 == 1,
        active: how & 2 == 2,
        ..PibIncarnation::opening(Longevity::ExpireOnTimeout, how.into())
    }
}

/// The contents of a REQ: maybe an incarnation row, maybe the row that shows support for incremental REQs, then others.
fn request(input: &mut Input<'_>) -> Vec<Bytes> {
    let mut octets = Vec::new();
    let how = input.u8();
    if how & 1 == 1 {
        Row::from(incarnation(input)).encode(&mut octets);
    }
    if how & 2 == 2 {
        Row::from(PrcSupport::of(InstanceId::FIRST, Class::PibIncarnation)).encode(&mut octets);
    }
    for _ in 0..input.below(8) {
        if input.below(4) == 3 {
            let class = input.choice(notified()).copied().unwrap_or(Class::Server);
            octets.extend(build::removal(RowId {
                class,
                instance: rows::instance(input),
            }));
        } else {
            rows::row(
                input,
                if how & 4 == 4 { Class::ALL } else { notified() },
                &mut octets,
            );
        }
    }
    let mut contents = vec![Bytes::from(octets)];
    if how & 8 == 8 {
        let mut more = Vec::new();
        rows::row(input, notified(), &mut more);
        contents.push(more.into());
    }
    contents
}

/// The contents of a DEC's Remove and Install decisions.
fn decision(input: &mut Input<'_>, held: &RowTable) -> (Vec<Bytes>, Vec<Bytes>) {
    let how = input.u8();
    let (mut remove, mut install) = (Vec::new(), Vec::new());
    for _ in 0..input.below(4) {
        rows::target(input, &mut remove);
    }
    for _ in 0..input.below(8) {
        rows::row(
            input,
            if how & 4 == 4 { Class::ALL } else { installed() },
            &mut install,
        );
    }
    let remove = [Bytes::from(remove)];
    let mut install = vec![Bytes::from(install)];
    if how & 3 != 0 {
        let version = input.u8();
        let numbers = input.u8();
        let expected = decided(held, &remove, &install);
        let digest = match (how & 3, expected) {
            (2, _) | (_, None) => Digest([how; 32]),
            (_, Some(rows)) => digest(rows.values()),
        };
        let plan = Plan {
            instance: if how & 8 == 8 {
                rows::instance(input)
            } else {
                InstanceId::FIRST
            },
            term: u64::from(version % 4),
            generation: u64::from(version / 4 % 8),
            cause: Cause::ALL
                .get(usize::from(numbers) % Cause::ALL.len())
                .copied()
                .unwrap_or(Cause::Standing),
            scope: Scope::Cluster,
            released_stage: u32::from(numbers / 16),
            digest,
        };
        install.push(Row::from(plan).to_vec().into());
    }
    (remove.into(), install)
}

type Rows = BTreeMap<RowId, Row>;

fn model_of(table: &RowTable) -> Rows {
    table.iter().map(|row| (row.id(), row.clone())).collect()
}

fn bindings(contents: &[Bytes]) -> Option<Vec<Binding<'_>>> {
    contents
        .iter()
        .flat_map(|contents| Bindings::new(contents, 0))
        .collect::<Result<_, _>>()
        .ok()
}

/// What a DEC makes of these rows: removals first, then installs, the later of two counts. `None` if it cannot be read.
fn decided(held: &RowTable, remove: &[Bytes], install: &[Bytes]) -> Option<Rows> {
    let mut rows = model_of(held);
    for target in remove.iter().flat_map(|contents| RemoveTargets::new(contents, 0)) {
        let oid = target.ok()?.oid;
        rows.retain(|id, _| !is_named(*id, oid));
    }
    for binding in bindings(install)? {
        let row = Row::decode(&binding).ok()?.row;
        if !row.class().access().is_installed() {
            return None;
        }
        if row.class() != Class::FrameworkError {
            rows.insert(row.id(), row);
        }
    }
    Some(rows)
}

/// Whether a removal of `oid` takes the row away: by its name, or by a prefix that is its class's entry or above it.
fn is_named(id: RowId, oid: OidRef<'_>) -> bool {
    id.prid().as_oid() == oid || oid.is_prefix_of(id.class.entry().as_ref())
}

/// What a REQ makes of these rows, or what is wrong with it (without the bounds).
fn told(held: &RowTable, contents: &[Bytes], full_state: bool) -> Result<Rows, &'static str> {
    let mut rows = if full_state { Rows::new() } else { model_of(held) };
    for binding in bindings(contents).ok_or("inner objects")? {
        let id = RowId::from_prid(binding.prid).ok_or("a name")?;
        if !id.class.access().is_notified() {
            return Err("a direction");
        }
        if binding.epd.contents.is_empty() {
            rows.remove(&id).ok_or("a removal of nothing")?;
        } else {
            let row = Row::decode(&binding).map_err(|_| "a row")?.row;
            rows.insert(id, row);
        }
    }
    promises(&rows)?;
    Ok(rows)
}

/// References, UNIQUENESS and single instances, worked out from the encoded rows and the table of attributes.
fn promises(rows: &Rows) -> Result<(), &'static str> {
    let mut unique = BTreeSet::new();
    let mut singles = BTreeSet::new();
    for (id, row) in rows {
        if row
            .references()
            .iter()
            .any(|reference| !rows.contains_key(&reference.target))
        {
            return Err("a reference to nothing");
        }
        if id.class.is_single() && !singles.insert(id.class) {
            return Err("two of a single instance");
        }
        let fields = id.class.uniqueness();
        if !fields.is_empty() && !unique.insert((id.class, key(row, fields))) {
            return Err("values that are not unique");
        }
    }
    Ok(())
}

/// The encoded values of the named attributes.
fn key(row: &Row, fields: &[&str]) -> Vec<Vec<u8>> {
    let octets = row.to_vec();
    let binding = Bindings::new(&octets, 0)
        .next()
        .expect("a row")
        .expect("a row as it is encoded");
    let mut reader: ber::Reader<'_> = binding.epd.values();
    let mut key = Vec::new();
    for attribute in row.class().attributes() {
        let value: Value<'_> = reader
            .next_value()
            .expect("a row as it is encoded")
            .expect("all attributes")
            .value;
        if fields.contains(&attribute.field) {
            let mut octets = Vec::new();
            value.encode(&mut octets);
            key.push(octets);
        }
    }
    key
}

/// What holds of every table at every time.
fn sound(table: &RowTable, limits: RowLimits) {
    let rows = model_of(table);
    assert_eq!(promises(&rows), Ok(()), "{rows:?}");
    assert_eq!((table.len(), table.is_empty()), (rows.len(), rows.is_empty()));
    assert_eq!(
        table.octets(),
        rows.values().map(|row| row.to_vec().len()).sum::<usize>()
    );
    assert!(
        table.len() <= limits.max_rows && table.octets() <= limits.max_octets,
        "bounds"
    );
    assert!(table.iter().map(Row::id).is_sorted());
    for (id, row) in &rows {
        assert_eq!(table.get(*id), Some(row));
    }
}

/// The changes that a store tells turn what was before into what is now.
fn replay(before: &Rows, changes: &[RowChange], after: &RowTable) {
    let mut rows = before.clone();
    for change in changes {
        match change {
            RowChange::Installed(row) => assert_eq!(rows.insert(row.id(), row.clone()), None),
            RowChange::Updated { old, new } => {
                assert_ne!(old, new);
                assert_eq!(rows.insert(change.id(), new.clone()).as_ref(), Some(old));
            }
            RowChange::Removed(row) => assert_eq!(rows.remove(&row.id()).as_ref(), Some(row)),
        }
    }
    assert_eq!(rows, model_of(after));
    assert!(changes.iter().map(RowChange::id).is_sorted());
}

fn report_rows(store: &mut ReportedRows, contents: &[Bytes], limits: RowLimits) {
    let before = store.clone();
    let parts: Vec<Contents<'_>> = contents.iter().map(Contents::from).collect();
    match store.apply(&parts) {
        Ok(applied) => {
            let expected =
                told(before.rows(), contents, applied.full_state).expect("only what is good is taken");
            assert_eq!(model_of(store.rows()), expected);
            replay(&model_of(before.rows()), &applied.changes, store.rows());
            assert!(applied.extra_attributes.len() <= limits.max_errors.max(1));
        }
        Err(refused) => {
            assert_eq!(store.rows(), before.rows(), "{refused}");
            assert_eq!(
                format!("{store:?}"),
                format!("{before:?}"),
                "also what is not seen of it"
            );
            match &refused {
                RequestRefused::Malformed(_) => assert_eq!(bindings(contents), None),
                RequestRefused::NoState => assert!(before.rows().is_empty()),
                RequestRefused::Rows(errors) => {
                    assert!(
                        (1..=limits.max_errors.max(1)).contains(&errors.len()),
                        "{} errors",
                        errors.len()
                    );
                }
            }
            justified(before.rows(), contents, &refused, limits);
            for contents in refused.contents() {
                assert!(
                    Bindings::new(&contents, 0).all(|binding| Row::decode(&binding.expect("a row")).is_ok())
                );
            }
        }
    }
    sound(store.rows(), limits);
}

/// What is refused for its rows is wrong, read as full state and as a change, or does not fit.
fn justified(held: &RowTable, contents: &[Bytes], refused: &RequestRefused, limits: RowLimits) {
    let RequestRefused::Rows(errors) = refused else {
        return;
    };
    let too_many = errors.iter().any(|error| error.fault.class_error().code.0 == 1);
    let as_change = told(held, contents, false);
    let as_full = told(held, contents, true);
    assert!(
        too_many || as_change.is_err() || as_full.is_err(),
        "a good REQ was refused: {refused} under {limits:?}"
    );
}

fn install_rows(
    store: &mut InstalledRows,
    remove: &[Bytes],
    install: &[Bytes],
    fence: PlanVersion,
    limits: RowLimits,
) {
    let before = store.clone();
    let held = before.held(true);
    let operations: Vec<Operation<'_>> = install
        .iter()
        .map(|contents| Operation::Install(contents.into()))
        .chain(remove.iter().map(|contents| Operation::Remove(contents.into())))
        .collect();
    match store.apply(&operations, fence) {
        Ok(done) => {
            let expected = decided(before.rows(), remove, install).expect("only what can be read is taken");
            assert_eq!(model_of(store.rows()), expected);
            replay(&model_of(before.rows()), &done.changes, store.rows());
            told_back(&done.warnings);
            // One more than the bound: that the plan is not whole yet.
            assert!(done.warnings.errors.len() <= limits.max_errors.max(1) + 1);
            assert!(done.request_errors.len() <= limits.max_errors.max(1));
            assert_eq!(done.plan, store.plan_status());
            plan_holds(store, &before, &done.changes, fence);
        }
        Err(refusal) => {
            assert_eq!(store.rows(), before.rows(), "{refusal}");
            assert_eq!(
                format!("{store:?}"),
                format!("{before:?}"),
                "also what is not seen of it"
            );
            assert_eq!(store.held(true), held);
            assert!(refusal.malformed.is_some() || !refusal.errors.is_empty());
            assert!(
                refusal.errors.len() <= limits.max_errors.max(1) + 1,
                "{} errors",
                refusal.errors.len()
            );
            told_back(&refusal.report());
        }
    }
    sound(store.rows(), limits);
    let rows: Vec<Row> = store.rows().iter().cloned().collect();
    let again = InstalledRows::restore(limits, rows).expect("rows that were installed together");
    assert_eq!(
        (again.rows(), again.plan_status()),
        (store.rows(), store.plan_status())
    );
}

/// What the plan's row promises.
fn plan_holds(store: &InstalledRows, before: &InstalledRows, changes: &[RowChange], fence: PlanVersion) {
    let plan = store.rows().only::<Plan>();
    let expected = match plan {
        None => PlanStatus::None,
        Some(plan) if plan.digest == digest(store.rows().iter()) => PlanStatus::InForce,
        Some(_) => PlanStatus::Incomplete,
    };
    assert_eq!(store.plan_status(), expected);
    assert_eq!(store.in_force().is_some(), expected == PlanStatus::InForce);
    let held = store.held(false);
    assert_eq!(held.version(), plan.map_or(PlanVersion::NONE, Plan::version));
    assert_eq!(held.digest.is_some(), plan.is_some());
    if changes.is_empty() {
        return;
    }
    let plan = plan.expect("what changes rows carries the plan's row");
    let former = before
        .rows()
        .only::<Plan>()
        .map_or(PlanVersion::NONE, Plan::version);
    assert!(
        plan.version() >= fence && plan.version() >= former,
        "{} after {fence} and {former}",
        plan.version()
    );
    if let Some(plan) = store.in_force() {
        for stage in plan.stages() {
            let number = stage.instance;
            let _ = (
                plan.actions(number).count(),
                plan.diverts(number).count(),
                plan.is_released(stage),
            );
            let _ = (plan.intakes(number).count(), plan.hosts(number).count());
        }
        assert!(
            plan.groupings()
                .iter()
                .all(|grouping| plan.set_of(grouping).is_some())
        );
        let _ = (plan.sets().count(), plan.reading_selections().count());
    }
}

/// A report reads back as it was written.
fn told_back(report: &Report) {
    let mut read = Report::default();
    for contents in build::report(report) {
        read.read(&contents, 0).expect("a report as it is written");
    }
    assert_eq!(&read, report);
}
