//! Decisions of a hostile PDP. What is wrong for COPS gets DRQ (RFC 2748 3.4), and the agent asks anew; what is wrong for
//! COPS-PR gets a solicited RPT of failure that names the fault (RFC 3084 4.4, 4.5; ledger A-20), and nothing is installed.

use super::agent::{alive, joined, null, play};
use super::octets::{
    POWER, context, error, flags, handle, inner, lying, message, named, named_decision, object, op, reason,
};
use super::script::{Answer, Case, Step, case, expect, send};

const MALFORMED: Answer = Answer::Deleted(12, 0);

/// An unsolicited DEC that ends the request-state. (The agent asks anew 10 s later, which one row waits for.)
fn deleted(name: &'static str, source: &'static str, make: fn(&[u8]) -> Vec<u8>, answer: Answer) -> Case {
    let steps = [Step::Reply(make), expect(answer)];
    case(name, source, joined().into_iter().chain(steps).chain(alive()))
}

/// An unsolicited DEC that is reported as failed; the request-state lives.
fn failed(name: &'static str, source: &'static str, make: fn(&[u8]) -> Vec<u8>, answer: Answer) -> Case {
    case(
        name,
        source,
        joined()
            .into_iter()
            .chain([Step::Reply(make), expect(answer)])
            .chain(alive()),
    )
}

fn dec(objects: &[Vec<u8>]) -> Vec<u8> {
    message(op::DEC, POWER, objects)
}

/// A DEC with one Install of these contents.
fn install(known: &[u8], contents: &[u8]) -> Vec<u8> {
    dec(&[handle(known), context(), flags(1, 0), named_decision(contents)])
}

fn remove(known: &[u8], contents: &[u8]) -> Vec<u8> {
    dec(&[handle(known), context(), flags(2, 0), named_decision(contents)])
}

/// A PRID that names nothing of ours.
fn strange() -> Vec<u8> {
    inner(1, 1, &[6, 7, 0x2b, 6, 1, 2, 2, 8, 1])
}

fn epd() -> Vec<u8> {
    inner(3, 1, &[2, 1, 1])
}

pub(crate) fn cases() -> Vec<Case> {
    let anew = [
        expect(Answer::Request),
        Step::Reply(null),
        expect(Answer::Success),
    ];
    vec![
        case(
            "a malformed DEC ends the state, and another is asked for",
            "C-3.4-06",
            joined()
                .into_iter()
                .chain([Step::Reply(|h| dec(&[handle(h), flags(9, 9)])), expect(MALFORMED)])
                .chain(anew)
                .chain(alive()),
        ),
        deleted("DEC without a decision", "A-45", |h| dec(&[handle(h)]), MALFORMED),
        deleted(
            "DEC without flags",
            "C-3.2-02",
            |h| dec(&[handle(h), context()]),
            MALFORMED,
        ),
        deleted(
            "DEC without a Context",
            "C-3.2-02",
            |h| dec(&[handle(h), flags(0, 0)]),
            MALFORMED,
        ),
        deleted(
            "DEC with data before its flags",
            "C-3.2-03",
            |h| dec(&[handle(h), context(), named_decision(b""), flags(1, 0)]),
            MALFORMED,
        ),
        deleted(
            "DEC with an Error and a decision",
            "C-3.2-01",
            |h| dec(&[handle(h), error(4), context(), flags(0, 0)]),
            MALFORMED,
        ),
        deleted(
            "DEC with two Handles",
            "A-05",
            |h| dec(&[handle(h), handle(h), context(), flags(0, 0)]),
            MALFORMED,
        ),
        deleted(
            "DEC with a decision object of a C-Type that does not exist",
            "C-3.4-07",
            |h| dec(&[handle(h), context(), flags(1, 0), object(6, 9, b"data")]),
            Answer::Deleted(13, 0x0609),
        ),
        deleted(
            "DEC with an object that does not exist",
            "A-15",
            |h| dec(&[handle(h), context(), flags(0, 0), object(40, 1, &[])]),
            Answer::Deleted(13, 40 << 8 | 1),
        ),
        deleted(
            "DEC with a Reason",
            "C-2.2.5-02",
            |h| dec(&[handle(h), context(), flags(0, 0), reason(1)]),
            MALFORMED,
        ),
        deleted(
            "DEC with ClientSI",
            "C-2.2.9-02",
            |h| dec(&[handle(h), context(), flags(0, 0), named(b"")]),
            MALFORMED,
        ),
        deleted(
            "DEC with the command 3",
            "C-2.2.6-03, A-22",
            |h| dec(&[handle(h), context(), flags(3, 0)]),
            Answer::Deleted(9, 0),
        ),
        deleted(
            "DEC for a context that was not asked for",
            "A-37",
            |h| dec(&[handle(h), object(2, 1, &[0, 1, 0, 0]), flags(0, 0)]),
            MALFORMED,
        ),
        deleted(
            "DEC with a Context of 12 octets",
            "C-2.2.2-01",
            |h| dec(&[handle(h), object(2, 1, &[0; 8])]),
            MALFORMED,
        ),
        deleted(
            "DEC with an object longer than the message",
            "C-3.4-05",
            |h| dec(&[handle(h), context(), lying(2_000, 6, 1, &[0, 1, 0, 0])]),
            MALFORMED,
        ),
        deleted(
            "DEC with an object of length 1",
            "C-2.2-05",
            |h| dec(&[handle(h), lying(1, 2, 1, &[])]),
            MALFORMED,
        ),
        deleted(
            "DEC with 300 decisions",
            "limits",
            |h| dec(&[vec![handle(h)], vec![[context(), flags(1, 0)].concat(); 300]].concat()),
            MALFORMED,
        ),
        case(
            "DEC without a Handle",
            "A-06",
            joined().into_iter().chain([
                send(dec(&[context(), flags(0, 0)])),
                expect(Answer::Close(POWER, 7)),
            ]),
        ),
        case(
            "DEC for a handle that is not there",
            "A-17",
            joined()
                .into_iter()
                .chain([send(dec(&[handle(b"nobody's"), context(), flags(0, 0)]))])
                .chain(alive()),
        ),
        case(
            "a second solicited DEC for one REQ still binds",
            "C-3.2-09, C-4.4-03",
            joined()
                .into_iter()
                .chain([Step::Reply(null), expect(Answer::Success)])
                .chain(alive()),
        ),
        case(
            "a DEC with an Error that nobody asked for",
            "A-18, A-19",
            joined()
                .into_iter()
                .chain([Step::Reply(|h| dec(&[handle(h), error(4)]))])
                .chain(alive()),
        ),
        case(
            "a thousand NULL decisions are reported on each",
            "P-3.2-12, P-3.3-02",
            joined()
                .into_iter()
                .chain([Step::Reply(|h| {
                    dec(&[handle(h), context(), flags(0, 0)]).repeat(1_000)
                })])
                .chain([Step::ExpectTimes(1_000, Answer::Success)])
                .chain(alive()),
        ),
        failed(
            "NULL with data",
            "P-3.2-11",
            |h| dec(&[handle(h), context(), flags(0, 0), named_decision(&epd())]),
            Answer::FailureGlobal(11, 0),
        ),
        failed(
            "an Install of a prefix",
            "P-2.3-02",
            |h| install(h, &[inner(1, 1, &[6, 3, 0x2b, 6, 1]), epd()].concat()),
            Answer::FailureClass(2),
        ),
        failed(
            "stateless decision data",
            "P-3.2-03",
            |h| dec(&[handle(h), context(), flags(1, 0), object(6, 2, b"data")]),
            Answer::FailureGlobal(11, 0),
        ),
        failed(
            "decision data that are noise",
            "P-4.4-10",
            |h| install(h, &[0x77; 32]),
            Answer::FailureGlobal(11, 0),
        ),
        failed(
            "a PRID without its EPD in an Install",
            "P-5.1-01",
            |h| install(h, &strange()),
            Answer::FailureGlobal(11, 0),
        ),
        failed(
            "an EPD in a Remove",
            "P-5.1-02",
            |h| remove(h, &[strange(), epd()].concat()),
            Answer::FailureGlobal(11, 0),
        ),
        failed(
            "a PPRID in an Install",
            "P-4.2-02",
            |h| install(h, &[inner(2, 1, &[6, 2, 0x2b, 6]), epd()].concat()),
            Answer::FailureGlobal(11, 0),
        ),
        failed(
            "an inner object of S-Num 7",
            "P-4.4-09",
            |h| install(h, &inner(7, 1, b"what")),
            Answer::FailureGlobal(10, 0x0701),
        ),
        failed(
            "an inner object in XML, from a PDP",
            "P-4-03",
            |h| install(h, &inner(1, 2, b"<p/>")),
            Answer::FailureGlobal(10, 0x0102),
        ),
        failed(
            "decision data with padding that is not zero",
            "P-4-02, P-4.4-07",
            |h| install(h, &[0, 9, 1, 1, 6, 3, 0x2b, 6, 1, 9, 9, 9]),
            Answer::FailureGlobal(8, 0),
        ),
        failed(
            "a PRID of indefinite length",
            "A-32, P-4.4-07",
            |h| install(h, &[inner(1, 1, &[6, 0x80, 0x2b, 6, 0, 0]), epd()].concat()),
            Answer::FailureGlobal(7, 0),
        ),
        failed(
            "an Install of a class that does not exist",
            "P-2.2-01, P-4.4-08",
            |h| install(h, &[strange(), epd()].concat()),
            Answer::FailureGlobal(9, 0),
        ),
        failed(
            "a Remove that does not say to which plan it belongs",
            "docs/power-pib.md (pwrPlan)",
            |h| remove(h, &strange()),
            Answer::FailureClass(13),
        ),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn decisions_of_a_hostile_pdp() {
    play("decisions", &cases()).await;
}
