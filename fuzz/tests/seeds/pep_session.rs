//! The exchanges as the PEP's session sees them. Operations that are no frames have the numbers of the target.

use cops_codec::{
    message::Decision,
    wire::{ClientType, Context, ErrorCode},
};

use crate::{Put, exchanges::*};

const OPEN: [u8; 6] = [4, 0, 0, 0, 0, 0];
/// With what the last connection left, where something is left.
const OPEN_AGAIN: [u8; 6] = [4, 0, 1, 1, 0, 0];
/// A REQ on a new handle with no data.
const REQUEST: [u8; 8] = [5, 0, 1, 0, 0, 0, 0, 0];
/// One on the handle of this number, from 0.
const fn update(handle: u8) -> [u8; 9] {
    [5, 0, 0, handle, 0, 0, 0, 0, 0]
}
const fn report(decision: u8) -> [u8; 4] {
    [7, decision, 0, 0]
}
const fn accounting(handle: u8) -> [u8; 5] {
    [9, 0, handle, 2, 0]
}
const EVERY_TEN_SECONDS: [u8; 6] = [10, 0, 0, 1, 0x80, 10];
const DELETE: [u8; 6] = [11, 0, 0, 4, 0, 0];
const CLOSE: [u8; 5] = [12, 9, 0, 0, 0];
const SHUTDOWN: [u8; 5] = [12, 11, 0, 0, 0xff];
const NEXT_TIMEOUT: [u8; 2] = [13, 1];
const RECONNECT: [u8; 2] = [15, 0xff];

pub(crate) fn seeds(put: Put<'_>) {
    let opened = [&[0, 0][..], &OPEN, &accept()].concat();
    let install = |number, solicited| {
        decision(
            number,
            solicited,
            vec![Decision::install(Context::CONFIGURATION, vec![0xca, 0xfe].into())],
        )
    };
    let installed = [&opened[..], &REQUEST, &install(1, true), &report(0)].concat();
    put("pep_session", "E1 start up", installed.clone());
    put(
        "pep_session",
        "E2 a fact changes",
        [&installed[..], &update(0), &null(1, true), &report(1)].concat(),
    );
    put(
        "pep_session",
        "E3 a plan",
        [&installed[..], &install(1, false), &report(1)].concat(),
    );
    put(
        "pep_session",
        "E4 a contingency",
        [
            &installed[..],
            &install(1, false),
            &report(1),
            &REQUEST,
            &install(2, true),
            &report(2),
        ]
        .concat(),
    );
    put(
        "pep_session",
        "E6 cut off and back",
        [
            &installed[..],
            &RECONNECT,
            &OPEN_AGAIN,
            &accept(),
            &update(0),
            &null(1, true),
            &report(0),
        ]
        .concat(),
    );
    put(
        "pep_session",
        "E8 synchronisation",
        [
            &installed[..],
            &synchronize(None),
            &update(0),
            &null(1, true),
            &report(1),
        ]
        .concat(),
    );
    put(
        "pep_session",
        "one state synchronised",
        [
            &installed[..],
            &synchronize(Some(1)),
            &update(0),
            &null(1, true),
            &report(1),
        ]
        .concat(),
    );
    put(
        "pep_session",
        "an unknown state synchronised",
        [&installed[..], &synchronize(Some(9))].concat(),
    );
    put(
        "pep_session",
        "E10 a state deleted",
        [&installed[..], &DELETE, &install(1, false)].concat(),
    );
    put(
        "pep_session",
        "E11 readings",
        [
            &installed[..],
            &EVERY_TEN_SECONDS,
            &NEXT_TIMEOUT,
            &accounting(0),
            &accounting(0),
        ]
        .concat(),
    );
    put(
        "pep_session",
        "a report given twice",
        [
            &installed[..],
            &install(1, false),
            &install(1, false),
            &report(2),
            &report(2),
            &report(1),
            &report(2),
        ]
        .concat(),
    );
    put(
        "pep_session",
        "reports out of order",
        [
            &installed[..],
            &install(1, false),
            &install(1, false),
            &report(2),
            &report(1),
        ]
        .concat(),
    );
    put(
        "pep_session",
        "a request that waits",
        [&opened[..], &REQUEST, &update(0), &null(1, true), &report(0)].concat(),
    );
    put(
        "pep_session",
        "a request without an answer",
        [&opened[..], &REQUEST, &NEXT_TIMEOUT.repeat(4)].concat(),
    );
    put(
        "pep_session",
        "a request refused",
        [&opened[..], &REQUEST, &refused(1), &update(0), &null(1, true)].concat(),
    );
    put(
        "pep_session",
        "an unknown object in a decision",
        [
            &installed[..],
            &raw("10025057 00000028 00080101 00000001 00080201 00080000 00080601 00010000 00081101 00000000"),
        ]
        .concat(),
    );
    put(
        "pep_session",
        "a context that was not asked for",
        [
            &installed[..],
            &raw("10025057 00000020 00080101 00000001 00080201 00010001 00080601 00010000"),
        ]
        .concat(),
    );
    put(
        "pep_session",
        "silence",
        [&installed[..], &NEXT_TIMEOUT.repeat(5)].concat(),
    );
    put(
        "pep_session",
        "redirected",
        [
            &[0, 0][..],
            &OPEN,
            &raw("10085057 0000001c 00080801 000c0000 000c0d01 c0000201 00000cd8"),
        ]
        .concat(),
    );
    put(
        "pep_session",
        "closed by this end",
        [&installed[..], &CLOSE, &OPEN].concat(),
    );
    put(
        "pep_session",
        "shut down",
        [&installed[..], &SHUTDOWN, &keep_alive()].concat(),
    );
    put(
        "pep_session",
        "a flood of closes",
        [&[0x11, 0, 14, 2][..], &synchronize(None).repeat(40)].concat(),
    );
    secured(put);
}

/// The same with message Integrity, each frame followed by how it is signed.
fn secured(put: Put<'_>) {
    const RIGHT: [u8; 1] = [0];
    const TEN_MINUTES: [u8; 4] = [13, 0, 0x82, 0x58];
    const NO_KEYS: [u8; 3] = [14, 0xf0, 2];
    let install = decision(
        1,
        true,
        vec![Decision::install(Context::CONFIGURATION, vec![0xca, 0xfe].into())],
    );
    let opened = [
        &OPEN[..],
        &accepted_security(),
        &RIGHT,
        &accept(),
        &RIGHT,
        &REQUEST,
        &install,
        &RIGHT,
        &report(0),
    ]
    .concat();
    let mut put_one = |what: &str, then: &[u8]| {
        let name = format!("integrity {what}");
        put("pep_session", &name, [&[0, 1][..], &opened, then].concat());
    };
    put_one("start up", &[]);
    put_one(
        "kept alive",
        &[&NEXT_TIMEOUT[..], &keep_alive(), &RIGHT].concat().repeat(5),
    );
    put_one(
        "another key",
        &[&keep_alive()[..], &RIGHT, &TEN_MINUTES, &keep_alive(), &RIGHT].concat(),
    );
    put_one("no key any more", &[&NO_KEYS[..], &keep_alive(), &RIGHT].concat());
    put_one("cut off and back", &[&RECONNECT[..], &opened].concat());
    for wrong in [0xd0, 0xd8, 0xdc, 0xe2, 0xe8, 0xf0, 0xf8] {
        let message = [&null(1, false)[..], &[wrong, 0, 9, 1]].concat();
        put_one(&format!("wrong {wrong:x}"), &message);
    }
    for (what, octets) in [
        ("refused", [&accepted_security()[..], &[0xe8]].concat()),
        ("not known", [&accept()[..], &[0xd0]].concat()),
        ("without an answer", NEXT_TIMEOUT.to_vec()),
        (
            "turned down",
            [
                &close(ClientType::CONNECTION, ErrorCode::AUTHENTICATION_FAILURE)[..],
                &[0xd0],
            ]
            .concat(),
        ),
    ] {
        put(
            "pep_session",
            &format!("integrity {what}"),
            [&[0, 1][..], &OPEN, &octets].concat(),
        );
    }
}
