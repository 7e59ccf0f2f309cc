//! Whole messages of the power client-type, octet by octet, and what rows and exchanges take.
#![allow(clippy::unwrap_used, clippy::panic)]

mod hex;
mod rows;

use bytes::Bytes;
use cops_codec::client_type::feedback::FeedbackLinkCaps;
use cops_codec::client_type::framework::PrcSupport;
use cops_codec::client_type::numbers::POWER_CLIENT_TYPE;
use cops_codec::client_type::power::{Arc, Mains, Scope};
use cops_codec::client_type::store::build;
use cops_codec::client_type::{Class, Row};
use cops_codec::message::{Decision, DecisionBody, DecisionMessage, ReportState, Request};
use cops_codec::provisioning::binding::Bindings;
use cops_codec::provisioning::{Contents, Operation, Report, ReportedError, Transaction};
use cops_codec::wire::{ClientHandle, ClientSi, Context, ReportType};
use cops_codec::{Framer, Limits, Message};
use hex::hex;
use rows::{counting_digest, domain, incarnation, plan, samples};

fn handle(number: u32) -> ClientHandle {
    ClientHandle::from(&number.to_be_bytes()[..])
}

fn request(number: u32, contents: Vec<Bytes>) -> Message {
    Message::from(Request {
        client_type: POWER_CLIENT_TYPE,
        handle: handle(number),
        context: Context::CONFIGURATION,
        in_interface: None,
        out_interface: None,
        client_si: contents.into_iter().map(ClientSi::Named).collect(),
        lpdp_decisions: vec![],
        integrity: None,
    })
}

fn decision(number: u32, solicited: bool, removed: Vec<Bytes>, installed: Vec<Bytes>) -> Message {
    let context = Context::CONFIGURATION;
    let removed = removed
        .into_iter()
        .map(|contents| Decision::remove(context, contents));
    let mut decisions: Vec<Decision> = removed
        .chain(
            installed
                .into_iter()
                .map(|contents| Decision::install(context, contents)),
        )
        .collect();
    if decisions.is_empty() {
        decisions.push(Decision::null(context));
    }
    Message::from(DecisionMessage {
        client_type: POWER_CLIENT_TYPE,
        solicited,
        handle: handle(number),
        body: DecisionBody::Decisions(decisions),
        integrity: None,
    })
}

fn report(report_type: ReportType, contents: Vec<Bytes>) -> Message {
    Message::from(ReportState {
        client_type: POWER_CLIENT_TYPE,
        solicited: true,
        handle: handle(1),
        report_type,
        client_si: contents.into_iter().map(ClientSi::Named).collect(),
        integrity: None,
    })
}

fn octets(message: &Message) -> Bytes {
    message.encode(&Limits::default()).unwrap().into_octets()
}

fn decoded(octets: &[u8]) -> (Bytes, Message) {
    let mut framer = Framer::new(Limits::default());
    framer.push(octets);
    let frame = framer.next_frame().unwrap().unwrap();
    let message = Message::decode(&frame, &Limits::default()).unwrap();
    (frame.into_octets(), message)
}

fn rows_in(contents: Contents<'_>) -> Vec<Row> {
    Bindings::new(contents.octets, contents.offset)
        .map(|binding| Row::decode(&binding.unwrap()).unwrap().row)
        .collect()
}

/// REQ: H 00000001, an increment with the incarnation of "pdp1" and one domain that lost its mains.
const REQ: &str = "
    10 01 50 57 00 00 00 88 00 08 01 01 00 00 00 01 00 08 02 01 00 08 00 00 00 70 09 02
    00 10 01 01 06 0a 2b 06 01 02 02 02 01 02 01 01 00 30 03 01 42 01 01 04 04 70 64 70
    31 04 10 00 00 00 00 00 00 00 07 00 00 00 00 00 00 00 01 02 01 03 42 03 01 51 80 02
    01 01 02 01 01 02 01 02 00 13 01 01 06 0d 2b 06 01 04 01 81 fd 59 01 01 03 01 01 00
    00 17 03 01 42 01 01 04 05 66 65 65 64 41 02 01 02 02 01 01 42 01 14 00";

/// DEC: H 00000001, unsolicited, release of stage 1 of generation 1.
const RELEASE: &str = "
    10 02 50 57 00 00 00 70 00 08 01 01 00 00 00 01 00 08 02 01 00 08 00 00
    00 08 06 01 00 01 00 00 00 50 06 05
    00 13 01 01 06 0d 2b 06 01 04 01 81 fd 59 01 04 01 01 01 00
    00 38 03 01 42 01 01 4b 01 07 4b 01 01 02 01 03 02 01 01 42 01 01 04 20 00 01 02 03
    04 05 06 07 08 09 0a 0b 0c 0d 0e 0f 10 11 12 13 14 15 16 17 18 19 1a 1b 1c 1d 1e 1f";

/// DEC: H 00000002, unsolicited, activation of generation 2, scope cluster.
const ACTIVATION: &str = "
    10 02 50 57 00 00 00 b0 00 08 01 01 00 00 00 02 00 08 02 01 00 08 00 00 00 08 06 01
    00 01 00 00 00 90 06 05 00 10 01 01 06 0a 2b 06 01 02 02 02 01 02 01 01 00 30 03 01
    42 01 01 04 04 70 64 70 31 04 10 00 00 00 00 00 00 00 07 00 00 00 00 00 00 00 02 02
    01 03 42 03 01 51 80 02 01 01 02 01 01 02 01 02 00 13 01 01 06 0d 2b 06 01 04 01 81
    fd 59 01 04 01 01 01 00 00 38 03 01 42 01 01 4b 01 07 4b 01 02 02 01 03 02 01 02 42
    01 00 04 20 00 01 02 03 04 05 06 07 08 09 0a 0b 0c 0d 0e 0f 10 11 12 13 14 15 16 17
    18 19 1a 1b 1c 1d 1e 1f";

/// Frozen: a change of these octets is a change of wire format, and the CHANGELOG says so.
#[test]
fn messages_are_exact_octet_by_octet() {
    let table = [
        (
            "a domain has lost its mains",
            REQ,
            request(
                1,
                build::request(
                    &incarnation(1, true, false),
                    [],
                    &[domain(1, "feedA", Mains::Absent).into()],
                ),
            ),
            vec![
                incarnation(1, true, false).into(),
                domain(1, "feedA", Mains::Absent).into(),
            ],
        ),
        (
            "stage 1 is released",
            RELEASE,
            decision(
                1,
                false,
                vec![],
                build::contents([Row::from(plan(1, Scope::Standing, 1, counting_digest()))]),
            ),
            vec![plan(1, Scope::Standing, 1, counting_digest()).into()],
        ),
        (
            "a contingency is activated",
            ACTIVATION,
            decision(
                2,
                false,
                vec![],
                build::contents([
                    Row::from(incarnation(2, true, false)),
                    plan(2, Scope::Cluster, 0, counting_digest()).into(),
                ]),
            ),
            vec![
                incarnation(2, true, false).into(),
                plan(2, Scope::Cluster, 0, counting_digest()).into(),
            ],
        ),
    ];
    for (what, text, message, rows) in table {
        let expected = hex(text);
        assert_eq!(octets(&message), expected, "{what}");
        let (frame, read) = decoded(&expected);
        assert_eq!(read, message, "{what}");
        let found: Vec<Row> = match &read {
            Message::Request(request) => request
                .client_si
                .iter()
                .flat_map(|client_si| rows_in(Contents::within(&frame, client_si.contents())))
                .collect(),
            Message::Decision(DecisionMessage {
                body: DecisionBody::Decisions(decisions),
                ..
            }) => {
                let Transaction::Change(operations) = Transaction::read(decisions, &frame).unwrap() else {
                    panic!("{what}: no change");
                };
                operations
                    .into_iter()
                    .flat_map(|operation| match operation {
                        Operation::Install(contents) => rows_in(contents),
                        Operation::Remove(_) => panic!("{what}: a removal"),
                    })
                    .collect()
            }
            other => panic!("{what}: {other:?}"),
        };
        assert_eq!(found, rows, "{what}");
    }
}

/// A decoded message's contents are slices of its frame, so that errors count from the message's first octet.
#[test]
fn offsets_count_from_the_message() {
    let mut broken = hex(REQ);
    // The enumeration of pwrDomainMains, which has no value 9.
    let at = broken.len() - 10;
    assert_eq!(broken[at..at + 3], [2, 1, 2]);
    broken[at + 2] = 9;
    let (frame, message) = decoded(&broken);
    let Message::Request(request) = message else {
        panic!()
    };
    let contents = Contents::within(&frame, request.client_si[0].contents());
    let error = Bindings::new(contents.octets, contents.offset)
        .find_map(|binding| Row::decode(&binding.unwrap()).err())
        .unwrap();
    assert_eq!(error.offset, at);
    assert_eq!(
        error.to_string(),
        format!("row pwrDomain.1, offset {at}: attribute 3: expected a number of Mains, found 9")
    );
}

fn of(classes: &[Class]) -> Vec<Row> {
    samples()
        .into_iter()
        .filter(|row| classes.contains(&row.class()))
        .collect()
}

fn first_request() -> Vec<Bytes> {
    let mut rows: Vec<Row> = PrcSupport::all().into_iter().map(Row::from).collect();
    rows.extend(FeedbackLinkCaps::all());
    rows.extend(of(&[
        Class::DeviceId,
        Class::Server,
        Class::Inlet,
        Class::Domain,
        Class::Reserve,
        Class::Supply,
        Class::Activity,
        Class::Held,
    ]));
    build::request(&incarnation(1, false, true), [], &rows)
}

/// Octets of the messages of docs/power-pib.md, in the order of its table.
fn messages() -> Vec<(&'static str, Message)> {
    let changed = |rows: &[Row]| request(1, build::request(&incarnation(1, true, false), [], rows));
    let error = ReportedError {
        prid: of(&[Class::Divert])[0].prid(),
        error: cops_codec::client_type::power::DivertError::OverLimit.class_error(),
        details: vec![],
    };
    let failure = build::report(&Report {
        global: None,
        errors: vec![error],
    });
    let configuration = of(&[
        Class::PibIncarnation,
        Class::Set,
        Class::Grouping,
        Class::ReadingSel,
        Class::Plan,
        Class::Stage,
        Class::Action,
    ]);
    let both = build::remove_arcs([Arc::Policy, Arc::Plans]);
    vec![
        (
            "REQ, first, one server with domain, reserve and activity",
            request(1, first_request()),
        ),
        (
            "DEC, first, one row of each policy class, plan with one stage and action",
            { decision(1, true, both, build::contents(configuration)) },
        ),
        ("DEC, NULL", decision(1, true, vec![], vec![])),
        ("RPT, Success", report(ReportType::SUCCESS, vec![])),
        ("RPT, Failure of one row", report(ReportType::FAILURE, failure)),
        ("REQ, one changed pwrDomain", changed(&of(&[Class::Domain]))),
        ("REQ, one pwrActionResult", changed(&of(&[Class::ActionResult]))),
        ("DEC, release of a stage", {
            let plan = plan(1, Scope::Standing, 1, counting_digest());
            decision(1, false, vec![], build::contents([Row::from(plan)]))
        }),
        (
            "DEC, activation",
            decision(
                1,
                false,
                vec![],
                build::contents(of(&[Class::PibIncarnation, Class::Plan])),
            ),
        ),
        ("RPT, one pwrReserveReading", {
            report(
                ReportType::ACCOUNTING,
                build::contents(of(&[Class::ReserveReading])),
            )
        }),
    ]
}

/// The tables of sizes in docs/power-pib.md are measured, not remembered.
#[test]
fn sizes_in_the_guide_are_measured() {
    let guide = include_str!("../../docs/power-pib.md");
    let mut expected = String::new();
    for row in samples() {
        let octets = row.to_vec().len();
        expected.push_str(&format!("| {} | {octets} | {} |\n", row.class(), 65528 / octets));
    }
    assert!(
        guide.contains(&expected),
        "the table of rows in docs/power-pib.md should be\n{expected}"
    );
    let mut expected = String::new();
    for (what, message) in messages() {
        expected.push_str(&format!("| {what} | {} |\n", octets(&message).len()));
    }
    assert!(
        guide.contains(&expected),
        "the table of messages in docs/power-pib.md should be\n{expected}"
    );
}

#[test]
fn nine_hundred_activities_are_one_request_of_two_objects() {
    let [Row::Activity(activity)] = &of(&[Class::Activity])[..] else {
        panic!()
    };
    let rows: Vec<Row> = (1..=900)
        .map(|n| {
            let mut activity = activity.clone();
            activity.instance = rows::number(n);
            activity.name = rows::name(&format!("activity{n:03}"));
            activity.into()
        })
        .collect();
    let message = request(1, build::request(&incarnation(1, true, true), [], &rows));
    let Message::Request(request) = &message else {
        panic!()
    };
    assert_eq!(request.client_si.len(), 2);
    assert!(
        request
            .client_si
            .iter()
            .all(|object| object.contents().len() <= 65528)
    );
    let (_, read) = decoded(&octets(&message));
    assert_eq!(read, message);
}
