//! Good messages out of turn: before OPN, after CC, in the wrong direction, for handles that are not there.

use super::octets::{
    POWER, context, error, flags, handle, header, ka_timer, message, message_of, named, op, open, pep_id,
    reason, report_type,
};
use super::pdp::{Attacked, SHORT, alive, established, honest_request, opened};
use super::script::{Answer, Case, Step, case, expect, send};

const UNSUPPORTED: u16 = 6;
const RSVP: u16 = 1;

/// Before any OPN: the client-type is not open, and may still be opened.
fn early(name: &'static str, octets: Vec<u8>) -> Case {
    let steps = [send(octets), expect(Answer::Close(POWER, UNSUPPORTED))];
    case(name, "A-16", steps.into_iter().chain(opened("mallory")))
}

/// Messages that a PDP sends.
fn backwards(name: &'static str, octets: Vec<u8>) -> Case {
    let steps = [send(octets), expect(Answer::Close(POWER, 3))];
    case(
        name,
        "C-2.1-07, A-02",
        opened("mallory")
            .into_iter()
            .chain(steps)
            .chain(opened("mallory")),
    )
}

/// Passed over without a word.
fn passed_over(name: &'static str, source: &'static str, octets: Vec<u8>) -> Case {
    case(
        name,
        source,
        established("mallory")
            .into_iter()
            .chain([send(octets)])
            .chain(alive()),
    )
}

pub(crate) fn cases() -> Vec<Case> {
    let h = || handle(b"nobody's");
    let known = || handle(&[0, 0, 0, 1]);
    let seven = |client_type: u16| message(op::OPN, client_type, &[pep_id("mallory")]);
    vec![
        early("REQ before OPN", message(op::REQ, POWER, &[h(), context()])),
        early("RPT before OPN", message(op::RPT, POWER, &[h(), report_type(1)])),
        early("DRQ before OPN", message(op::DRQ, POWER, &[h(), reason(1)])),
        early("SSC before OPN", message(op::SSC, POWER, &[])),
        backwards(
            "DEC to a PDP",
            message(op::DEC, POWER, &[h(), context(), flags(0, 0)]),
        ),
        backwards("SSQ to a PDP", message(op::SSQ, POWER, &[])),
        backwards("CAT to a PDP", message(op::CAT, POWER, &[ka_timer(1)])),
        case(
            "KA before OPN is echoed",
            "C-3.9-04",
            alive().into_iter().chain(opened("mallory")),
        ),
        case(
            "OPN for a client-type that is not served",
            "C-4.3-04",
            opened("mallory")
                .into_iter()
                .chain([send(seven(RSVP)), expect(Answer::Close(RSVP, UNSUPPORTED))])
                .chain(alive()),
        ),
        case(
            "OPN for every client-type of a range",
            "C-2.3-05",
            (0x4001..0x4041)
                .flat_map(|n| [send(seven(n)), expect(Answer::Close(n, UNSUPPORTED))])
                .chain(opened("mallory")),
        ),
        case(
            "OPN again for an open client-type",
            "C-3.6-02, A-39",
            established("mallory")
                .into_iter()
                .chain([send(open("mallory")), expect(Answer::Accept(POWER))])
                .chain(alive()),
        ),
        case(
            "OPN of another PEP on the same connection",
            "C-2.3-01",
            opened("mallory")
                .into_iter()
                .chain([send(open("trudy")), expect(Answer::Close(POWER, 10))])
                .chain(opened("mallory")),
        ),
        case(
            "the same name from two connections: the newer one has it",
            "C-2.4-01",
            opened("mallory").into_iter().chain(alive()),
        ),
        case(
            "OPN for client-type 0 once another is open",
            "C-4.1-04, A-12",
            opened("mallory")
                .into_iter()
                .chain([send(seven(0)), expect(Answer::Close(0, 10)), Step::End]),
        ),
        case(
            "REQ after its own CC",
            "C-4.7-01, A-16",
            established("mallory")
                .into_iter()
                .chain([
                    send(message(op::CC, POWER, &[error(8)])),
                    send(honest_request(1)),
                    expect(Answer::Close(POWER, UNSUPPORTED)),
                ])
                .chain(opened("mallory")),
        ),
        case(
            "CC for a client-type that is not open",
            "C-3.8-02, A-41",
            opened("mallory")
                .into_iter()
                .chain([send(message(op::CC, RSVP, &[error(8)]))])
                .chain(alive()),
        ),
        case(
            "CC for the connection itself",
            "A-40",
            opened("mallory")
                .into_iter()
                .chain([send(message(op::CC, 0, &[error(9)])), Step::End]),
        ),
        case(
            "nothing more after the last CC: the connection ends after a grace",
            "A-41",
            opened("mallory")
                .into_iter()
                .chain([send(message(op::CC, POWER, &[error(8)])), Step::End]),
        ),
        passed_over(
            "RPT for a handle that is not there",
            "A-17",
            message(op::RPT, POWER, &[h(), report_type(1)]),
        ),
        passed_over(
            "a solicited RPT for a handle that is not there",
            "A-17",
            message_of(0x11, op::RPT, POWER, &[h(), report_type(2)]),
        ),
        passed_over(
            "a solicited RPT that nobody asked for",
            "C-3.3-05",
            message_of(0x11, op::RPT, POWER, &[known(), report_type(1)]).repeat(3),
        ),
        passed_over(
            "DRQ for a handle that is not there",
            "A-17",
            message(op::DRQ, POWER, &[h(), reason(1)]),
        ),
        passed_over("SSC without an SSQ", "C-3.10-02", message(op::SSC, POWER, &[])),
        passed_over(
            "SSC of a handle without an SSQ",
            "C-3.10-02",
            message(op::SSC, POWER, &[h()]),
        ),
        passed_over(
            "a Report-Type that does not exist",
            "C-6-05",
            message(op::RPT, POWER, &[known(), report_type(77)]),
        ),
        passed_over(
            "a Reason-Code that does not exist",
            "C-6-05",
            message(op::DRQ, POWER, &[h(), reason(200)]),
        ),
        case(
            "REQ for a handle after its DRQ begins anew",
            "C-2.4-03",
            established("mallory")
                .into_iter()
                .chain([
                    send(message(op::DRQ, POWER, &[known(), reason(1)])),
                    send(honest_request(1)),
                    expect(Answer::Null),
                ])
                .chain(alive()),
        ),
        case(
            "REQs that do not wait for their DECs are answered each",
            "C-3.2-08, C-3.2-10",
            opened("mallory")
                .into_iter()
                .chain([
                    send(honest_request(1).repeat(10)),
                    Step::ExpectTimes(10, Answer::Null),
                ])
                .chain(alive()),
        ),
        case(
            "a REQ in the segment of its OPN",
            "C-4.3-05",
            [
                send([open("mallory"), honest_request(1)].concat()),
                expect(Answer::Accept(POWER)),
                expect(Answer::Null),
            ]
            .into_iter()
            .chain(alive()),
        ),
        case(
            "a solicited flag where none belongs is not looked at",
            "C-2.1-05",
            [
                send(message_of(0x11, op::OPN, POWER, &[pep_id("mallory")])),
                expect(Answer::Accept(POWER)),
            ]
            .into_iter()
            .chain(alive()),
        ),
        case(
            "a REQ that is never reported on, again and again",
            "RFC 3084 3.2, limits",
            opened("mallory")
                .into_iter()
                .chain(
                    (0..65)
                        .flat_map(|_| [send(honest_request(1)), expect(Answer::Null)])
                        .take(128),
                )
                .chain([send(honest_request(1)), expect(Answer::Refused(4))])
                .chain(alive()),
        ),
        case(
            "a REQ cut off by a reset of its connection",
            "C-2.3-08",
            established("mallory")
                .into_iter()
                .chain([send(header(0x10, op::REQ, POWER, 4_000)), send(named(&[0; 100]))]),
        ),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn good_messages_out_of_turn() {
    Attacked::start(SHORT).await.play("turns", &cases()).await;
}
