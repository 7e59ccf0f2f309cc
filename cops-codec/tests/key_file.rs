//! Keys as TOML (RFC 2748 4.2).

// A helper of a test fails by panicking, as the test itself does.
#![allow(clippy::unwrap_used, clippy::panic)]

use cops_codec::integrity::key_file::{read_ring, read_table};
use cops_codec::integrity::{KeyTable, UnixTime};
use cops_codec::wire::{KeyId, PepId};

const RING: &str = r#"
[[key]]
id = 1
algorithm = "hmac-md5-96"
secret_hex = "30313233343536373839616263646566"
not_before = 2026-11-01T00:00:00Z
not_after = 2027-02-01T01:00:00+01:00

[[key]]
id = 4294967295
secret_hex = "30313233343536373839616263646566"
not_before = 2027-01-01T00:00:00Z
not_after = "never"
"#;

#[test]
fn c_4_2_01_c_4_2_03_keys_and_their_parameters_are_configured_by_hand() {
    let ring = read_ring("keys.toml", RING).unwrap();
    let [first, last] = [1, u32::MAX].map(|id| ring.get(KeyId(id)).unwrap());
    assert_eq!(first.secret, last.secret, "the same octets");
    assert_eq!(first.lifetime.not_before(), UnixTime::from_seconds(1_793_491_200));
    assert_eq!(
        first.lifetime.not_after(),
        Some(UnixTime::from_seconds(1_801_440_000))
    );
    assert_eq!(last.lifetime.not_after(), None);
    assert!(read_ring("keys.toml", "").unwrap().is_empty());
}

#[test]
fn c_4_2_02_a_pdp_has_a_ring_for_each_pep() {
    let text = ["node1", "node2"].map(|pep| {
        let secret = if pep == "node1" { "00" } else { "11" }.repeat(16);
        format!(
            "[[key]]\npep = \"{pep}\"\nid = 1\nsecret_hex = \"{secret}\"\nnot_before = 2026-11-01T00:00:00Z\nnot_after = \"never\"\n"
        )
    });
    let table: KeyTable = read_table("keys.toml", &text.concat()).unwrap();
    let keys = ["node1", "node2"].map(|pep| {
        let ring = table.ring(&PepId::new(pep).unwrap());
        ring.get(KeyId(1)).unwrap().clone()
    });
    assert_ne!(keys[0].secret, keys[1].secret);
    assert_eq!(table.len(), 2);
}

#[test]
fn every_fault_is_told_with_its_line_and_without_the_secret() {
    let secret = "30313233343536373839616263646566";
    for (from, to, line, what) in [
        ("id = 1\n", "", 2, "missing field `id`"),
        ("id = 1\n", "id = -1\n", 3, "invalid value"),
        ("id = 1\n", "id = 1\ncolour = 1\n", 4, "unknown field `colour`"),
        ("id = 1\n", "id = 1\npep = \"node1\"\n", 4, "expected no `pep`"),
        (
            "hmac-md5-96",
            "hmac-sha-1",
            4,
            "expected \"hmac-md5-96\", found \"hmac-sha-1\"",
        ),
        (
            "secret_hex = \"30",
            "secret_hex = \"3",
            5,
            "expected pairs of hexadecimal digits",
        ),
        (
            "secret_hex = \"30",
            "secret_hex = \"zz",
            5,
            "expected pairs of hexadecimal digits",
        ),
        (
            "secret_hex = \"30",
            "secret_hex = \"",
            5,
            "expected a secret of 16 to 256 octets, found 15",
        ),
        (
            "secret_hex = \"30",
            "secret_hex = 30 #\"",
            5,
            "expected secret_hex, as text in quotes",
        ),
        (
            "secret_hex",
            "secret_text",
            5,
            "expected secret_hex, as text in quotes",
        ),
        ("secret_hex", "#", 2, "missing field `secret_hex`"),
        (
            "2026-11-01T00:00:00Z",
            "2026-11-01T00:00:00",
            6,
            "expected a time from 1970 on with its zone",
        ),
        (
            "2026-11-01T00:00:00Z",
            "1969-11-01T00:00:00Z",
            6,
            "expected a time from 1970 on",
        ),
        (
            "2026-11-01T00:00:00Z",
            "\"never\"",
            6,
            "expected a time from 1970 on",
        ),
        (
            "2027-02-01T01:00:00+01:00",
            "2026-01-01T00:00:00Z",
            7,
            "not_after: expected a lifetime that ends after it begins",
        ),
        ("\"never\"", "\"later\"", 13, "or \"never\""),
        (
            "id = 4294967295",
            "id = 1",
            10,
            "expected each Key ID once, found 1 twice",
        ),
        ("id = 4294967295", "id = 4294967296", 10, "invalid value"),
    ] {
        let text = RING.replacen(from, to, 1);
        assert_ne!(text, RING, "{from}");
        let error = read_ring("keys.toml", &text).unwrap_err();
        let told = error.to_string();
        assert!(told.starts_with(&format!("keys.toml:{line}: ")), "{told}");
        assert!(told.contains(what), "{told}: {what}");
        assert!(!told.contains(&secret[2..]), "{told}");
    }
    // Where a PDP looks for the PEP.
    let told = read_table("keys.toml", RING).unwrap_err().to_string();
    assert_eq!(told, "keys.toml:3: expected `pep` with each key of a PDP");
}
