//! Streams that are no COPS, or end badly. Where the end of a message cannot be known: CC for client-type 0 with error 3,
//! and the connection ends (ledger ).

use super::octets::{self, POWER, header, message, op};
use super::pdp::{Attacked, SHORT, alive, opened};
use super::script::{Answer, Case, Step, case, expect, send};

fn unframed(name: &'static str, source: &'static str, octets: Vec<u8>) -> Case {
    case(
        name,
        source,
        [send(octets), expect(Answer::Close(0, 3)), Step::End],
    )
}

pub(crate) fn cases() -> Vec<Case> {
    let limit = u32::try_from(cops_codec::limits::Limits::DEFAULT.max_message_octets).unwrap();
    let opn = octets::open("mallory");
    let length = |length| header(0x10, op::OPN, POWER, length);
    vec![
        unframed(
            "an HTTP request",
            "A-02",
            b"GET / HTTP/1.1\r\nHost: pdp\r\n\r\n".to_vec(),
        ),
        unframed("an SSH banner", "A-02", b"SSH-2.0-OpenSSH_9.2\r\n".to_vec()),
        unframed(
            "a TLS ClientHello without an upgrade",
            "A-03",
            vec![0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3, 0, 0, 0, 0, 0],
        ),
        unframed("nothing but zeros", "A-02", vec![0; 4096]),
        unframed("nothing but ones", "A-02", vec![0xff; 4096]),
        unframed("version 0", "C-2.1-03, A-02", header(0x00, op::OPN, POWER, 8)),
        unframed("version 2", "C-2.1-03, A-02", header(0x20, op::OPN, POWER, 8)),
        unframed("version 15", "C-2.1-03, A-02", header(0xf0, op::OPN, POWER, 8)),
        unframed("version 2 in the first octet, and no more", "A-02", vec![0x20]),
        unframed("length 0", "C-2.1-12", length(0)),
        unframed("length 4", "C-2.1-12", length(4)),
        unframed("length 7", "C-2.1-12", length(7)),
        unframed("length 9", "C-2.1-11", length(9)),
        unframed("length 10", "C-2.1-11", length(10)),
        unframed("length 11", "C-2.1-11", length(11)),
        unframed("a length over the limit", "A-03", length(limit + 4)),
        unframed("a length of 2 GiB", "A-03", length(0x8000_0000)),
        unframed("the longest length there is", "A-03", length(u32::MAX - 3)),
        unframed(
            "the longest length there is, and as much as the peer takes",
            "A-03",
            [length(u32::MAX - 3), vec![0; 100_000]].concat(),
        ),
        case(
            "garbage right behind a good OPN",
            "C-2.1-14, A-02",
            [
                send([opn.clone(), vec![0x99; 64]].concat()),
                expect(Answer::Accept(POWER)),
                expect(Answer::Close(0, 3)),
                Step::End,
            ],
        ),
        case(
            "an OPN octet by octet is only slow",
            "C-2.1-14",
            [
                vec![Step::Dribble(opn.clone()), expect(Answer::Accept(POWER))],
                alive().into(),
            ]
            .into_iter()
            .flatten(),
        ),
        case(
            "ten messages in one segment",
            "C-2.1-14",
            [
                send([opn.clone(), octets::keep_alive().repeat(9)].concat()),
                expect(Answer::Accept(POWER)),
                Step::ExpectTimes(9, Answer::KeepAlive),
            ],
        ),
        case("silence", "time to OPN", [Step::End]),
        case(
            "half a header, then silence",
            "time to OPN",
            [send(opn[..3].to_vec()), Step::End],
        ),
        case(
            "all of an OPN but its last octet, then silence",
            "time to OPN",
            [send(opn[..opn.len() - 1].to_vec()), Step::End],
        ),
        case(
            "half a header, then its half of the connection closed",
            "C-2.3-08",
            [send(opn[..5].to_vec()), Step::HalfClose, Step::End],
        ),
        case(
            "half a message in an open session, then its half closed",
            "C-2.3-08",
            opened("mallory").into_iter().chain([
                send(message(op::RPT, POWER, &[octets::handle(b"h")])[..12].to_vec()),
                Step::HalfClose,
                Step::End,
            ]),
        ),
        case(
            "an open session that closes its half is over",
            "C-2.3-08",
            opened("mallory").into_iter().chain([Step::HalfClose, Step::End]),
        ),
        case(
            "a message begun in an open session and never ended",
            "frame_timeout_seconds",
            opened("mallory")
                .into_iter()
                .chain([send(header(0x10, op::REQ, POWER, 60_000)), Step::End]),
        ),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_that_are_no_cops() {
    Attacked::start(SHORT).await.play("framing", &cases()).await;
}
