//! The contents of Named objects, and sequences of them for the row stores.

use cops_codec::{
    Limits, MessageRef,
    client_type::{
        Class, Row, RowId,
        power::{Arc, Plan, Scope},
        store::{build, digest},
    },
    provisioning::{ClassErrorCode, GlobalErrorCode, InstanceId, Report, ReportedError, object},
    wire::{DecisionDataKind, ObjectRef},
};

use crate::{Put, counting, pairs, rows, string, support};

/// The contents of the Named objects of the vectors, each row of the samples, and what else stands in such objects.
fn named_contents() -> Vec<(String, Vec<u8>)> {
    let mut contents = Vec::new();
    for pair in pairs::vectors().into_iter().chain(pairs::exchanges()) {
        let limits = Limits::default();
        let view = MessageRef::new(&pair.octets, &limits).unwrap();
        for object in view.objects() {
            if let (
                _,
                ObjectRef::NamedClientSi(octets) | ObjectRef::DecisionData(DecisionDataKind::Named, octets),
            ) = object.unwrap()
            {
                contents.push((pair.name.to_owned(), octets.to_vec()));
            }
        }
    }
    contents.extend(
        rows::samples()
            .iter()
            .map(|row| (format!("row {}", row.class().name()), row.to_vec())),
    );
    let id = RowId {
        class: Class::Domain,
        instance: InstanceId::FIRST,
    };
    contents.push(("removal in a request".into(), build::removal(id)));
    contents.push((
        "removal of arcs".into(),
        build::remove_arcs([Arc::Policy, Arc::Plans]).concat(),
    ));
    contents.push(("removal of a row".into(), build::remove([], [id]).concat()));
    let report = Report {
        global: Some(GlobalErrorCode::UNKNOWN_PIB_DATA.into()),
        errors: vec![ReportedError {
            prid: id.prid(),
            error: ClassErrorCode::UNKNOWN_PRC.into(),
            details: vec![(id.prid(), vec![2, 1, 1])],
        }],
    };
    contents.push(("report".into(), build::report(&report).concat()));
    // All rows of a domain, as RFC 3084's example writes an Unsigned32, and with an attribute too many.
    let mut odd = Vec::new();
    object::write_prid(&mut odd, id.prid().as_oid());
    object::write_epd(
        &mut odd,
        &support::hex("020101 0401 61 020102 020101 420114 020107"),
    )
    .unwrap();
    contents.push(("row with other tags and an attribute more".into(), odd));
    contents
}

pub(crate) fn provisioning(put: Put<'_>) {
    for (name, octets) in named_contents() {
        put("provisioning", &name, octets);
    }
}

pub(crate) fn row_stores(put: Put<'_>) {
    const LIMITS: u8 = 0;
    let incarnation = |full_state| Row::from(rows::incarnation(1, true, full_state)).to_vec();
    let support = rows::samples()
        .iter()
        .find(|row| row.class() == Class::PrcSupport)
        .unwrap()
        .to_vec();
    // What a REQ tells, a row each; those that others refer to first.
    let mut told = vec![LIMITS, 2];
    told.extend(string(&[incarnation(true), support].concat()));
    let mut removed = told.clone();
    for row in rows::samples() {
        if row.class().access().is_notified() && row.to_vec().len() + incarnation(false).len() < 240 {
            told.push(2);
            told.extend(string(&[incarnation(false), row.to_vec()].concat()));
        }
    }
    put("row_stores", "told in requests", told);
    removed.push(2);
    removed.extend(string(&build::removal(RowId {
        class: Class::Server,
        instance: InstanceId::FIRST,
    })));
    put("row_stores", "a removal of nothing", removed);

    // A plan that grows from DEC to DEC, and goes.
    let mut installed = vec![LIMITS];
    let mut held: Vec<Row> = Vec::new();
    let lasting = |class: Class| class.access().is_installed() && class != Class::FrameworkError;
    for (row, generation) in rows::samples()
        .into_iter()
        .filter(|row| lasting(row.class()))
        .zip(1_u8..)
    {
        if row.class() == Class::Plan {
            continue;
        }
        held.push(row.clone());
        let plan = plan(generation.into(), &held);
        installed.push(3);
        installed.extend(string(&[]));
        installed.extend(string(&[row.to_vec(), plan.to_vec()].concat()));
        installed.extend([1, 0]);
    }
    let cleared = plan(99, &[]);
    installed.push(3);
    installed.extend(string(&build::remove_arcs([Arc::Policy, Arc::Plans]).concat()));
    installed.extend(string(&cleared.to_vec()));
    installed.extend([1, 0]);
    put("row_stores", "a plan that grows", installed);

    // The same by the operations that make rows of their own.
    put(
        "row_stores",
        "made requests",
        [&[LIMITS, 0, 0x1b, 5][..], &counting(3, 200)].concat(),
    );
    put(
        "row_stores",
        "made decisions",
        [&[LIMITS, 1, 1, 2][..], &counting(8, 200)].concat(),
    );
    put(
        "row_stores",
        "made under small limits",
        [&[0x35, 0, 3, 4][..], &counting(1, 200)].concat(),
    );
}

/// The plan's row for these rows.
fn plan(generation: u64, rows: &[Row]) -> Row {
    Row::from(Plan {
        digest: digest(rows),
        ..rows::plan(generation, Scope::Cluster, 0, rows::counting_digest())
    })
}
