//! Messages whose end is known and whose objects are wrong. An OPN gets CC, a REQ a solicited DEC, both with the error
//! that names the fault (ledger ); any other message CC for its client-type. The connection stays.

use super::octets::{
    POWER, context, error, flags, handle, ka_timer, lying, message, message_of, named, object, op, pep_id,
    reason, report_type,
};
use super::pdp::{Attacked, SHORT, alive, opened};
use super::script::{Answer, Case, Step, case, expect, send};

const FORMAT: u16 = 3;
const MISSING: u16 = 7;
const UNKNOWN: u16 = 13;

/// An OPN of these objects gets this CC, and another may follow.
fn open(name: &'static str, source: &'static str, objects: &[Vec<u8>], code: u16) -> Case {
    let good = opened("mallory");
    let steps = [
        send(message(op::OPN, POWER, objects)),
        expect(Answer::Close(POWER, code)),
    ];
    case(name, source, steps.into_iter().chain(good))
}

/// A REQ of these objects in an open session gets this error, and the session goes on.
fn request(name: &'static str, source: &'static str, objects: &[Vec<u8>], answer: Answer) -> Case {
    let steps = [send(message(op::REQ, POWER, objects)), expect(answer)];
    case(
        name,
        source,
        opened("mallory").into_iter().chain(steps).chain(alive()),
    )
}

/// A message in an open session closes the client-type, and it may be opened again.
fn closes(name: &'static str, source: &'static str, octets: Vec<u8>, code: u16) -> Case {
    let steps = [send(octets), expect(Answer::Close(POWER, code))];
    case(
        name,
        source,
        opened("mallory")
            .into_iter()
            .chain(steps)
            .chain(opened("mallory")),
    )
}

fn opens() -> Vec<Case> {
    let good = pep_id("mallory");
    vec![
        open("OPN without a PEPID", "C-3.6-05, A-06", &[], MISSING),
        open(
            "OPN with an empty PEPID",
            "C-2.2.11-02",
            &[object(11, 1, &[0; 4])],
            FORMAT,
        ),
        open(
            "OPN with a PEPID without contents",
            "C-2.2.11-03",
            &[object(11, 1, &[])],
            FORMAT,
        ),
        open(
            "OPN with a PEPID of 256 octets",
            "limits",
            &[pep_id(&"x".repeat(256))],
            FORMAT,
        ),
        open(
            "OPN with a PEPID that is no ASCII",
            "C-2.2.11-02",
            &[object(11, 1, &[0xc3, 0xa4, 0, 0])],
            FORMAT,
        ),
        case(
            "OPN with a PEPID longer than our names",
            "C-3.6-05",
            // The PEP of the connection is known all the same, so that no other can be opened on it.
            [
                send(message(op::OPN, POWER, &[pep_id(&"x".repeat(200))])),
                expect(Answer::Close(POWER, 4)),
                send(message(op::OPN, POWER, std::slice::from_ref(&good))),
                expect(Answer::Close(POWER, 10)),
            ]
            .into_iter()
            .chain(alive()),
        ),
        open(
            "OPN with two PEPIDs",
            "A-05",
            &[good.clone(), good.clone()],
            FORMAT,
        ),
        open(
            "OPN with a Context",
            "C-3.6-01",
            &[good.clone(), context()],
            FORMAT,
        ),
        open(
            "OPN with a Handle first",
            "C-3.6-01",
            &[handle(b"h"), good.clone()],
            FORMAT,
        ),
        case(
            "OPN with an object that does not exist",
            "A-15",
            [
                send(message(op::OPN, POWER, &[good.clone(), object(17, 1, &[])])),
                expect(Answer::CloseSub(POWER, UNKNOWN, 0x1101)),
            ]
            .into_iter()
            .chain(opened("mallory")),
        ),
        case(
            "OPN with a PEPID of another C-Type",
            "C-2.2-08, A-15",
            [
                send(message(op::OPN, POWER, &[object(11, 2, b"mall")])),
                expect(Answer::CloseSub(POWER, UNKNOWN, 0x0b02)),
            ]
            .into_iter()
            .chain(opened("mallory")),
        ),
        open(
            "OPN with an object of length 0",
            "C-2.2-05",
            &[lying(0, 11, 1, b"mal\0")],
            FORMAT,
        ),
        open(
            "OPN with an object of length 3",
            "C-2.2-05",
            &[lying(3, 11, 1, b"mal\0")],
            FORMAT,
        ),
        open(
            "OPN with an object longer than the message",
            "C-2.1-12",
            &[lying(400, 11, 1, b"mal\0")],
            FORMAT,
        ),
        open(
            "OPN with a Last PDP Address of the wrong length",
            "C-2.2.14-01",
            &[good.clone(), object(14, 1, &[127, 0, 0, 1])],
            FORMAT,
        ),
        case(
            "OPN with a PEPID that states its bare length, as one old stack does, is taken",
            "A-04",
            [
                send(message(op::OPN, POWER, &[object(11, 1, b"mallory")])),
                expect(Answer::Accept(POWER)),
            ]
            .into_iter()
            .chain(alive()),
        ),
    ]
}

fn requests() -> Vec<Case> {
    let h = || handle(b"h");
    let refused = Answer::Refused;
    vec![
        request(
            "REQ without a Context",
            "C-3.1-07, A-06",
            &[h()],
            refused(MISSING),
        ),
        request(
            "REQ with an empty Handle",
            "A-11",
            &[handle(b""), context()],
            refused(1),
        ),
        request(
            "REQ with a Handle over the limit",
            "A-11",
            &[handle(&[7; 1_025]), context()],
            refused(1),
        ),
        request(
            "REQ with two Handles",
            "A-05",
            &[h(), h(), context()],
            refused(FORMAT),
        ),
        // The second one begins an LPDP decision, which has no flags.
        request(
            "REQ with two Contexts",
            "A-05",
            &[h(), context(), context()],
            refused(MISSING),
        ),
        request(
            "REQ that asks for nothing",
            "A-38",
            &[h(), object(2, 1, &[0; 4])],
            refused(FORMAT),
        ),
        request(
            "REQ with a Context of 12 octets",
            "C-2.2.2-01",
            &[h(), object(2, 1, &[0; 8])],
            refused(FORMAT),
        ),
        request(
            "REQ with an object that does not exist",
            "C-3.2-14",
            &[h(), context(), object(99, 1, &[])],
            Answer::RefusedSub(UNKNOWN, 99 << 8 | 1),
        ),
        request(
            "REQ with a Context of another C-Type",
            "C-2.2-08",
            &[h(), object(2, 9, &[0, 8, 0, 0])],
            Answer::RefusedSub(UNKNOWN, 0x0209),
        ),
        request(
            "REQ with a Decision",
            "C-3.1-01",
            &[h(), context(), flags(1, 0)],
            refused(FORMAT),
        ),
        request(
            "REQ with an Error",
            "C-3.1-01",
            &[h(), context(), error(4)],
            refused(FORMAT),
        ),
        request(
            "REQ with an In-Interface of 8 octets",
            "C-2.2.3-01",
            &[h(), context(), object(3, 1, &[0; 4])],
            refused(FORMAT),
        ),
        request(
            "REQ with LPDP data before its flags",
            "A-05",
            &[h(), context(), object(7, 2, b"data"), object(7, 1, &[0, 1, 0, 0])],
            refused(FORMAT),
        ),
        request(
            "REQ with an object of length 3",
            "C-2.2-05",
            &[h(), lying(3, 2, 1, &[])],
            refused(FORMAT),
        ),
        request(
            "REQ with an object longer than the message",
            "C-2.1-12",
            &[h(), lying(65_535, 2, 1, &[])],
            refused(FORMAT),
        ),
        request(
            "REQ with 257 ClientSIs",
            "limits",
            &[vec![h(), context()], vec![named(b""); 257]].concat(),
            refused(FORMAT),
        ),
        request(
            "REQ with 1,025 objects",
            "limits",
            &[vec![h(), context()], vec![object(7, 1, &[0, 1, 0, 0]); 1_100]].concat(),
            refused(FORMAT),
        ),
        closes(
            "REQ without a Handle",
            "A-06",
            message(op::REQ, POWER, &[context()]),
            MISSING,
        ),
        closes(
            "REQ without an object",
            "A-06",
            message(op::REQ, POWER, &[]),
            MISSING,
        ),
    ]
}

fn others() -> Vec<Case> {
    let h = || handle(b"h");
    vec![
        closes(
            "RPT without a Report-Type",
            "C-3.3-01",
            message(op::RPT, POWER, &[h()]),
            MISSING,
        ),
        closes(
            "RPT without a Handle",
            "C-3.3-01",
            message(op::RPT, POWER, &[report_type(1)]),
            MISSING,
        ),
        closes(
            "RPT with a Reason",
            "C-2.2.5-02",
            message(op::RPT, POWER, &[h(), report_type(1), reason(1)]),
            FORMAT,
        ),
        closes(
            "DRQ without a Reason",
            "C-3.4-01",
            message(op::DRQ, POWER, &[h()]),
            MISSING,
        ),
        closes(
            "DRQ with a Reason of 12 octets",
            "C-2.2.5-01",
            message(op::DRQ, POWER, &[h(), object(5, 1, &[0; 8])]),
            FORMAT,
        ),
        closes(
            "DRQ with an object that does not exist",
            "A-15",
            message(op::DRQ, POWER, &[h(), reason(1), object(200, 200, b"?")]),
            UNKNOWN,
        ),
        closes(
            "SSC with a Context",
            "C-3.10-01",
            message(op::SSC, POWER, &[context()]),
            FORMAT,
        ),
        closes(
            "CC without an Error",
            "C-3.8-01",
            message(op::CC, POWER, &[]),
            MISSING,
        ),
        closes(
            "CC with an Error of 4 octets",
            "C-2.2.8-01",
            message(op::CC, POWER, &[object(8, 1, &[])]),
            FORMAT,
        ),
        case(
            "KA with an object",
            "C-3.9-01",
            opened("mallory").into_iter().chain([
                send(message(op::KA, 0, &[ka_timer(1)])),
                expect(Answer::Close(0, FORMAT)),
                Step::End,
            ]),
        ),
        case(
            "KA for a client-type",
            "C-2.1-09",
            opened("mallory").into_iter().chain([
                send(message(op::KA, POWER, &[])),
                expect(Answer::Close(0, FORMAT)),
                Step::End,
            ]),
        ),
        case(
            "KA with an object that does not exist",
            "A-15",
            opened("mallory").into_iter().chain([
                send(message(op::KA, 0, &[object(17, 1, &[])])),
                expect(Answer::CloseSub(0, UNKNOWN, 0x1101)),
                Step::End,
            ]),
        ),
        case(
            "an Integrity object of a C-Type that does not exist",
            "C-4.1-10",
            opened("mallory").into_iter().chain([
                send(message(
                    op::REQ,
                    POWER,
                    &[h(), context(), object(16, 9, &[0; 20])],
                )),
                expect(Answer::CloseSub(0, UNKNOWN, 0x1009)),
                Step::End,
            ]),
        ),
        closes("op code 0", "A-02", message(0, POWER, &[]), FORMAT),
        closes("op code 11", "A-02", message(11, POWER, &[]), FORMAT),
        closes("op code 255", "A-02", message(255, POWER, &[]), FORMAT),
        case(
            "an op code that does not exist, for the connection itself",
            "A-02",
            [
                send(message(11, 0, &[])),
                expect(Answer::Close(0, FORMAT)),
                Step::End,
            ],
        ),
        case(
            "flags that do not exist are not looked at",
            "C-2.1-04",
            opened("mallory")
                .into_iter()
                .chain([send(message_of(0x1e, op::KA, 0, &[])), expect(Answer::KeepAlive)]),
        ),
    ]
}

pub(crate) fn cases() -> Vec<Case> {
    [opens(), requests(), others()].into_iter().flatten().collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_with_wrong_objects() {
    Attacked::start(SHORT).await.play("objects", &cases()).await;
}
