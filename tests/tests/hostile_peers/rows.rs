//! REQs that COPS finds in order and the client-type does not (RFC 3084, RFC 3318). At least the session is kept.

use super::octets::{POWER, context, handle, inner, message, named, object, op};
use super::pdp::{Attacked, SHORT, alive, established, honest_request, opened};
use super::script::{Answer, Case, case, expect, send};

/// The first REQ of a session.
fn first(name: &'static str, source: &'static str, objects: &[Vec<u8>], answer: Answer) -> Case {
    let steps = [send(message(op::REQ, POWER, objects)), expect(answer)];
    case(
        name,
        source,
        opened("mallory").into_iter().chain(steps).chain(alive()),
    )
}

/// Contents of a Named ClientSI in a session that has its full state: an incremental REQ.
fn later(name: &'static str, source: &'static str, contents: &[u8], answer: Answer) -> Case {
    let objects = [handle(&[0, 0, 0, 1]), context(), named(contents)];
    let steps = [
        send(message(op::REQ, POWER, &objects)),
        expect(answer),
        // What was held before it still stands: a good REQ is taken.
        send(honest_request(1)),
        expect(Answer::Null),
    ];
    case(
        name,
        source,
        established("mallory").into_iter().chain(steps).chain(alive()),
    )
}

/// The OID of a row of our module: class 1.2 (pwrServer), an instance.
fn prid() -> Vec<u8> {
    inner(1, 1, &[6, 3, 0x2b, 6, 1])
}

pub(crate) fn cases() -> Vec<Case> {
    let h = || handle(&[0, 0, 0, 1]);
    let integer = [2, 1, 1];
    let format = Answer::Refused(3);
    vec![
        first(
            "REQ for an outsourcing context",
            "C-3.1-05, P-3.1-01",
            &[h(), object(2, 1, &[0, 1, 0, 0])],
            Answer::Refused(4),
        ),
        first(
            "REQ without any ClientSI",
            "C-2.2.8-06",
            &[h(), context()],
            Answer::Refused(5),
        ),
        first(
            "REQ with Signaled ClientSI alone",
            "C-2.2.8-06, P-3.1-01",
            &[h(), context(), object(9, 1, b"rsvp")],
            Answer::Refused(5),
        ),
        first(
            "REQ with empty rows before the full state",
            "A-36",
            &[h(), context(), named(b"")],
            Answer::Null,
        ),
        case(
            "a second request-state that nobody asked for",
            "P-3318-5-05",
            established("mallory")
                .into_iter()
                .chain([send(honest_request(2)), expect(Answer::Refused(4))])
                .chain(alive()),
        ),
        later("rows that are noise", "P-5.2-01", &[0xaa; 64], format),
        later("an inner object of length 0", "P-4-01", &[0, 0, 1, 1], format),
        later(
            "an inner object longer than its ClientSI",
            "P-4-01",
            &[1, 0, 1, 1],
            format,
        ),
        later("a PRID without its EPD", "P-5.2-01", &prid(), format),
        later(
            "an EPD without its PRID",
            "P-5.2-01",
            &inner(3, 1, &integer),
            format,
        ),
        later(
            "a PPRID in a REQ",
            "P-4.2-02",
            &inner(2, 1, &[6, 2, 0x2b, 6]),
            format,
        ),
        later(
            "a GPERR in a REQ",
            "P-5.2-01",
            &inner(4, 1, &[0, 1, 0, 0]),
            format,
        ),
        later(
            "an inner object that does not exist",
            "P-4-05",
            &inner(9, 1, b"what"),
            format,
        ),
        later(
            "an inner object in XML",
            "P-4-03",
            &[inner(1, 2, b"<p/>"), inner(3, 2, b"<e/>")].concat(),
            format,
        ),
        later(
            "inner padding that is not zero",
            "P-4-02",
            &[0, 9, 1, 1, 6, 3, 0x2b, 6, 1, 1, 1, 1],
            format,
        ),
        later(
            "an OID of indefinite length",
            "A-32",
            &[inner(1, 1, &[6, 0x80, 0x2b, 6, 0, 0]), inner(3, 1, &integer)].concat(),
            format,
        ),
        later(
            "an OID with a padded sub-identifier",
            "A-32",
            &[inner(1, 1, &[6, 4, 0x2b, 6, 0x80, 1]), inner(3, 1, &integer)].concat(),
            format,
        ),
        later(
            "an OID with an arc over 32 bits",
            "P-4.1-02",
            &[
                inner(1, 1, &[6, 7, 0x2b, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f]),
                inner(3, 1, &integer),
            ]
            .concat(),
            format,
        ),
        later(
            "a PRID of a class that does not exist",
            "P-3318-2.3.6-01, P-2.2-01",
            &[prid(), inner(3, 1, &integer)].concat(),
            Answer::Installs,
        ),
        later(
            "the same bad row a thousand times",
            "P-3318-2.3.6-01, limits",
            &[prid(), inner(3, 1, &integer)].concat().repeat(1_000),
            Answer::Installs,
        ),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_with_wrong_rows() {
    Attacked::start(SHORT).await.play("rows", &cases()).await;
}
