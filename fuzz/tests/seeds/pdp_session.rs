//! The exchanges as the PDP's session sees them. Operations that are no frames have the numbers of the target.

use cops_codec::wire::{ClientType, ErrorCode, ReportType};

use crate::{Put, exchanges::*};

/// CAT with a KA Timer of 30 s and no Accounting Timer; the states held if there are any, SSQ when it is needed.
const ACCEPT: [u8; 8] = [4, 0, 30, 0, 0, 1, 0, 0];
const ACCEPT_AND_SYNCHRONIZE: [u8; 7] = [4, 0, 30, 0, 0, 0, 1];
/// NULL to the REQ of this place in the list of those that came.
const fn null(request: u8) -> [u8; 11] {
    [6, request, 0, 1, 0, 0, 0, 0, 0, 0, 0]
}
/// An Install with two octets of data.
const fn install(request: u8) -> [u8; 14] {
    [6, request, 0, 1, 0, 1, 0, 0, 0, 0, 1, 2, 0xca, 0xfe]
}
const fn refuse(request: u8) -> [u8; 6] {
    [6, request, 3, 4, 0, 0]
}
/// An Install that opens another request-state, on handle 1.
const OPEN_REQUEST_STATE: [u8; 11] = [8, 0, 0, 1, 0, 1, 2, 0, 0, 0, 0];
const SYNCHRONIZE_ALL: [u8; 3] = [9, 0, 0];
const SYNCHRONIZE_FIRST: [u8; 4] = [9, 0, 1, 0];
const CLOSE: [u8; 6] = [10, 0, 0, 9, 0, 0];
const NEXT_TIMEOUT: [u8; 1] = [13];
const RECONNECT: [u8; 2] = [15, 0xff];

pub(crate) fn seeds(put: Put<'_>) {
    let [start, serves_all, lazy] = [&[0_u8][..], &[0, 0], &[14, 2]];
    let opened = [start, serves_all, &open(None), &ACCEPT].concat();
    let installed = [
        &opened[..],
        &request(1),
        &install(0),
        &report(1, true, ReportType::SUCCESS),
    ]
    .concat();
    put("pdp_session", "E1 start up", installed.clone());
    put(
        "pdp_session",
        "E2 a fact changes",
        [
            &installed[..],
            &request(1),
            &null(1),
            &report(1, true, ReportType::SUCCESS),
        ]
        .concat(),
    );
    put(
        "pdp_session",
        "two decisions before their reports",
        [
            &installed[..],
            &OPEN_REQUEST_STATE,
            &OPEN_REQUEST_STATE,
            &report(1, true, ReportType::SUCCESS),
            &report(1, true, ReportType::FAILURE),
        ]
        .concat(),
    );
    put(
        "pdp_session",
        "E4 a contingency",
        [
            &installed[..],
            &OPEN_REQUEST_STATE,
            &report(1, true, ReportType::SUCCESS),
            &request(2),
            &install(1),
            &report(2, true, ReportType::SUCCESS),
        ]
        .concat(),
    );
    put(
        "pdp_session",
        "E6 cut off and back",
        [
            &installed[..],
            &RECONNECT,
            &open(Some(LAST_PDP)),
            &ACCEPT,
            &request(1),
            &null(0),
            &report(1, true, ReportType::SUCCESS),
        ]
        .concat(),
    );
    put(
        "pdp_session",
        "E8 synchronisation",
        [
            &[0, 0, 0][..],
            &open(Some(LAST_PDP)),
            &ACCEPT_AND_SYNCHRONIZE,
            &request(1),
            &request(2),
            &null(0),
            &null(1),
            &report(1, true, ReportType::SUCCESS),
            &report(2, true, ReportType::SUCCESS),
            &complete(None),
        ]
        .concat(),
    );
    put(
        "pdp_session",
        "one state synchronised",
        [
            &installed[..],
            &SYNCHRONIZE_FIRST,
            &request(1),
            &null(1),
            &complete(Some(1)),
        ]
        .concat(),
    );
    put(
        "pdp_session",
        "states that are not sent again",
        [&installed[..], &SYNCHRONIZE_ALL, &complete(None)].concat(),
    );
    put(
        "pdp_session",
        "E10 a state deleted",
        [&installed[..], &delete(1), &null(0)].concat(),
    );
    put(
        "pdp_session",
        "answers out of order",
        [
            &opened[..],
            &request(1),
            &request(1),
            &null(1),
            &refuse(0),
            &report(1, true, ReportType::FAILURE),
        ]
        .concat(),
    );
    put(
        "pdp_session",
        "an unknown object in a request",
        [
            &opened[..],
            &request(1),
            &raw("10015057 00000020 00080101 00000001 00080201 00080000 00081101 00000000"),
            &null(0),
        ]
        .concat(),
    );
    put(
        "pdp_session",
        "silence",
        [&installed[..], &keep_alive(), &NEXT_TIMEOUT, &NEXT_TIMEOUT].concat(),
    );
    put(
        "pdp_session",
        "accounting",
        [&installed[..], &report(1, false, ReportType::ACCOUNTING)].concat(),
    );
    put(
        "pdp_session",
        "closed by each end",
        [
            &installed[..],
            &close(POWER, ErrorCode::SHUTTING_DOWN),
            &open(None),
            &ACCEPT,
            &CLOSE,
        ]
        .concat(),
    );
    put(
        "pdp_session",
        "a request before the opening",
        [
            &[0, 0, 0][..],
            &request(1),
            &close(ClientType::CONNECTION, ErrorCode::UNSPECIFIED),
        ]
        .concat(),
    );
    put(
        "pdp_session",
        "nobody drains",
        [
            &[0x3f, 1, 0][..],
            &open(None),
            &ACCEPT,
            lazy,
            &request(1),
            &request(2),
            &keep_alive(),
            &keep_alive(),
            &request(1),
        ]
        .concat(),
    );
    put(
        "pdp_session",
        "a flood of closes",
        [&[0x11, 0, 0][..], lazy, &complete(None).repeat(40)].concat(),
    );
    put(
        "pdp_session",
        "security is asked for",
        [
            &[0, 0, 0][..],
            &raw("10060000 0000001c 000c0b01 70657031 00000000 00081002 00000001"),
        ]
        .concat(),
    );
    put(
        "pdp_session",
        "another protocol",
        [&[0, 0, 0][..], &raw("47455420 2f204854 54502f31 2e310d0a")].concat(),
    );
    secured(put);
}

/// The same with message Integrity, each frame followed by how it is signed.
fn secured(put: Put<'_>) {
    const RIGHT: [u8; 1] = [0];
    const TEN_MINUTES: [u8; 3] = [12, 0x82, 0x58];
    const NO_KEYS: [u8; 3] = [14, 0xf0, 2];
    let opened = [
        &negotiation()[..],
        &RIGHT,
        &open(None),
        &RIGHT,
        &ACCEPT,
        &request(1),
        &RIGHT,
        &install(0),
        &report(1, true, ReportType::SUCCESS),
        &RIGHT,
    ]
    .concat();
    for (kind, name) in [(1, "offered"), (3, "required")] {
        let start = [0, 0, kind];
        let put_one = |put: Put<'_>, what: &str, then: &[u8]| {
            let name = format!("integrity {name} {what}");
            put("pdp_session", &name, [&start[..], &opened, then].concat());
        };
        put_one(put, "start up", &[]);
        put_one(put, "kept alive", &[&keep_alive()[..], &RIGHT].concat().repeat(5));
        put_one(
            put,
            "another key",
            &[&keep_alive()[..], &RIGHT, &TEN_MINUTES, &keep_alive(), &RIGHT].concat(),
        );
        put_one(
            put,
            "no key any more",
            &[&NO_KEYS[..], &keep_alive(), &RIGHT].concat(),
        );
        put_one(put, "cut off and back", &[&RECONNECT[..], &opened].concat());
        for wrong in [0xd0, 0xd8, 0xdc, 0xe2, 0xe8, 0xf0, 0xf8] {
            put_one(
                put,
                &format!("wrong {wrong:x}"),
                &[&request(2)[..], &[wrong, 0, 9, 1]].concat(),
            );
        }
        put(
            "pdp_session",
            &format!("integrity {name} and not asked for"),
            [&start[..], &open(None), &[0xd0], &ACCEPT, &request(1), &[0xd0]].concat(),
        );
        put(
            "pdp_session",
            &format!("integrity {name} negotiated wrongly"),
            [&start[..], &negotiation(), &[0xe8]].concat(),
        );
    }
    put(
        "pdp_session",
        "integrity with a key that ends",
        [&[0, 0, 5][..], &opened, &TEN_MINUTES, &NEXT_TIMEOUT].concat(),
    );
}
