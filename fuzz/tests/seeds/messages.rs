//! Frames and messages: the byte vectors, and what is wrong with a message.

use crate::{Put, counting, pairs, support};

pub(crate) fn frames(put: Put<'_>) {
    let stream = |skip: usize| -> Vec<u8> {
        let pairs = pairs::all();
        pairs
            .iter()
            .skip(skip)
            .step_by(5)
            .flat_map(|pair| pair.octets.to_vec())
            .collect()
    };
    // The octet of the limit, the number of sizes, the sizes; then the stream.
    put("frames", "whole", [&[0, 0][..], &stream(0)].concat());
    put("frames", "octet by octet", [&[0, 1, 1][..], &stream(1)].concat());
    put(
        "frames",
        "uneven pieces",
        [&[0, 4, 7, 0, 3, 255][..], &stream(2)].concat(),
    );
    put(
        "frames",
        "under a small limit",
        [&[20, 1, 13][..], &stream(3)].concat(),
    );
    put("frames", "cut short", [&[0, 1, 5][..], &stream(4)[..50]].concat());
    put(
        "frames",
        "another protocol",
        [&[0, 1, 3][..], b"GET / HTTP/1.1\r\n\r\n"].concat(),
    );
    put(
        "frames",
        "a bad length after a good message",
        [
            &[0, 1, 4][..],
            &support::hex("10090000 00000008 10090000 0000000a"),
        ]
        .concat(),
    );
    put(
        "frames",
        "a length over the limit",
        [&[0, 1, 4][..], &support::hex("10010001 ffffffff 00000000")].concat(),
    );
}

pub(crate) fn messages(put: Put<'_>) {
    // The first octet chooses the default limits.
    for pair in pairs::all() {
        put("message_bytes", pair.name, [&[1][..], &pair.octets].concat());
    }
    let wrong = [
        (
            "unknown object",
            "10014001 00000020 00080101 00000001 00080201 00080000 00081101 00000000",
        ),
        (
            "handle after context",
            "10014001 00000018 00080201 00080000 00080101 00000001",
        ),
        (
            "two handles",
            "10044001 00000020 00080101 00000001 00080101 00000002 00080501 00010000",
        ),
        ("object over the end", "10014001 00000010 00ff0101 00000001"),
        ("object without length", "10014001 00000010 00000101 00000001"),
        ("unknown op code", "100b4001 00000008"),
        (
            "decision without flags",
            "10024001 00000018 00080101 00000001 00080201 00080000",
        ),
        ("pepid without nul", "10064001 00000010 00080b01 70657031"),
        (
            "object after integrity",
            "10090000 00000018 00081002 00000001 00080101 00000001",
        ),
    ];
    for (name, octets) in wrong {
        put("message_bytes", name, [&[1][..], &support::hex(octets)].concat());
    }
    for kind in 0..10 {
        put(
            "message_values",
            &format!("kind {kind}"),
            [&[1, kind][..], &counting(kind, 60)].concat(),
        );
    }
    put(
        "message_values",
        "long handle",
        vec![1, 3, 0x50, 0x57, 0xff, 243, 0xaa, 1, 0, 0, 0],
    );
    put(
        "message_values",
        "longest object",
        vec![1, 2, 0x50, 0x57, 0, 0xff, 1, 1, 0, 1, 1, 1, 252, 0, 0],
    );
    put(
        "message_values",
        "object too long",
        vec![1, 2, 0x50, 0x57, 0, 0xff, 1, 1, 0, 1, 1, 1, 253, 0, 0],
    );
    put(
        "message_values",
        "no decision",
        vec![1, 1, 0x50, 0x57, 1, 0xff, 1, 1, 0, 0, 0],
    );
}
