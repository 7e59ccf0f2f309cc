//! The stand-ins that other tests rest on do what those tests believe.

#![allow(clippy::unwrap_used)]

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use system_tests::capture::{Direction, PcapWriter};
use system_tests::nut::Nut;
use system_tests::process::wait_for;
use system_tests::tshark;

const ON_LINE: &[(&str, &str)] = &[
    ("ups.status", "OL"),
    ("battery.charge", "100"),
    ("battery.runtime", "1200"),
];
const ON_BATTERY: &[(&str, &str)] = &[
    ("ups.status", "OB"),
    ("battery.charge", "80"),
    ("battery.runtime", "900"),
];

#[tokio::test]
async fn upsd_tells_what_the_dummy_was_set_to_and_can_be_lost() {
    let mut nut = Nut::start("rack1", ON_LINE).unwrap();
    assert_eq!(nut.get("ups.status").as_deref(), Some("OL"));
    nut.set(ON_BATTERY).unwrap();
    let within = Duration::from_secs(10);
    wait_for("on battery", within, async || {
        nut.get("ups.status").filter(|status| status == "OB")
    })
    .await
    .unwrap();
    nut.kill_daemon().unwrap();
    assert_eq!(nut.get("ups.status"), None);
    nut.start_daemon().unwrap();
    assert_eq!(nut.get("battery.charge").as_deref(), Some("80"));
}

/// A keep-alive (RFC 2748 section 3.9), and the same with a length that its octets do not have.
const KEEP_ALIVE: &[u8] = &[0x10, 9, 0, 0, 0, 0, 0, 8];
/// A REQ whose handle claims to be longer than the message.
const BROKEN_REQUEST: &[u8] = &[0x10, 1, 0x50, 0x57, 0, 0, 0, 16, 0, 200, 1, 1, 0, 0, 0, 1];

#[test]
fn tshark_names_a_message_and_tells_a_malformed_one() {
    let folder = tempfile::tempdir().unwrap();
    let read = |messages: &[&[u8]]| {
        let file = folder.path().join("capture.pcap");
        let mut writer = PcapWriter::new(std::fs::File::create(&file).unwrap()).unwrap();
        writer.open(0, Duration::ZERO).unwrap();
        // Split anywhere: the dissector has to put the stream together.
        let stream: BytesMut = messages.iter().flat_map(|m| m.iter().copied()).collect();
        let mut stream = Bytes::from(stream);
        while !stream.is_empty() {
            let piece = stream.split_to(stream.len().min(5));
            writer
                .data(0, Direction::ToPdp, &piece, Duration::from_millis(1))
                .unwrap();
        }
        tshark::dissect(&file).unwrap()
    };
    let good = read(&[KEEP_ALIVE, KEEP_ALIVE]);
    assert_eq!(good.op_codes, [9, 9]);
    assert_eq!(good.malformed, Vec::<String>::new());
    let bad = read(&[KEEP_ALIVE, BROKEN_REQUEST]);
    assert!(!bad.malformed.is_empty(), "{}", bad.text);
}
