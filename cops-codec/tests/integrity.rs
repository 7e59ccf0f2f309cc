//! Message Integrity without a connection: digests, keys, initial sequence numbers (RFC 2748 2.2.16, 4.2, 5).

// A helper of a test fails by panicking, as the test itself does.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod hex;

use bytes::Bytes;
use cops_codec::integrity::{
    Algorithm, INTEGRITY_OCTETS, IntegrityFault, Key, KeyError, KeyRing, KeyRingError, KeyTable, Lifetime,
    Secret, StartNumbers, UnixTime, hmac_md5_96, sign, verify,
};
use cops_codec::message::{ClientAccept, ClientOpen, KeepAlive, Message};
use cops_codec::wire::{ClientType, Integrity, KaTimer, KeyId, PepId, Role, SequenceNumber};
use cops_codec::{Frame, Limits};
use hex::hex;
use proptest::prelude::*;

const LIMITS: Limits = Limits::DEFAULT;
const NOW: UnixTime = UnixTime::from_seconds(1_800_000_000);

/// The key of the vectors.
fn vector_key() -> Key {
    key(1, b"0123456789abcdef", always())
}

fn key(id: u32, secret: &[u8], lifetime: Lifetime) -> Key {
    Key {
        id: KeyId(id),
        algorithm: Algorithm::HmacMd5_96,
        secret: Secret::new(secret.to_vec()).unwrap(),
        lifetime,
    }
}

fn always() -> Lifetime {
    Lifetime::new(UnixTime(0), None).unwrap()
}

/// In seconds after [`NOW`]; `None` for ever.
fn lifetime(begin: u64, end: Option<u64>) -> Lifetime {
    Lifetime::new(after(begin), end.map(after)).unwrap()
}

fn after(seconds: u64) -> UnixTime {
    UnixTime(NOW.0 + seconds * 1_000)
}

fn ring(keys: impl IntoIterator<Item = Key>) -> KeyRing {
    KeyRing::new(keys).unwrap()
}

fn encode(message: impl Into<Message>) -> Frame {
    message.into().encode(&LIMITS).unwrap()
}

fn keep_alive() -> Frame {
    encode(KeepAlive { integrity: None })
}

fn frame(octets: Vec<u8>) -> Frame {
    Frame::new(Bytes::from(octets), &LIMITS).unwrap()
}

/// RFC 2202 section 2, cases 1 to 7; the first 96 of 128 bits, as case 5 prints them.
#[test]
fn c_2_2_16_03_hmac_md5_vectors_of_rfc_2202() {
    let cases: [(Vec<u8>, Vec<u8>, &str); 7] = [
        (
            vec![0x0b; 16],
            b"Hi There".to_vec(),
            "9294727a3638bb1c13f48ef8158bfc9d",
        ),
        (
            b"Jefe".to_vec(),
            b"what do ya want for nothing?".to_vec(),
            "750c783e6ab0b503eaa86e310a5db738",
        ),
        (vec![0xaa; 16], vec![0xdd; 50], "56be34521d144c88dbb8c733f0e8b3f6"),
        (
            (1..=25).collect(),
            vec![0xcd; 50],
            "697eaf0aca3a3aea3a75164746ffaa79",
        ),
        (
            vec![0x0c; 16],
            b"Test With Truncation".to_vec(),
            "56461ef2342edc00f9bab995690efd4c",
        ),
        (
            vec![0xaa; 80],
            b"Test Using Larger Than Block-Size Key - Hash Key First".to_vec(),
            "6b1ab7fe4bd7bf8f0b62e6ce61b9d0cd",
        ),
        (
            vec![0xaa; 80],
            b"Test Using Larger Than Block-Size Key and Larger Than One Block-Size Data".to_vec(),
            "6f630fad67cda0ee1fb1f562db3aa53e",
        ),
    ];
    for (secret, data, digest) in cases {
        assert_eq!(hmac_md5_96(&secret, &data)[..], hex(digest)[..12], "{digest}");
    }
}

/// Made with another program from RFC 2748's text alone, and read back by Wireshark.
#[test]
fn c_2_2_16_05_c_2_2_16_06_three_messages_octet_by_octet() {
    let open = encode(ClientOpen {
        client_type: ClientType::CONNECTION,
        pep_id: PepId::new("pep1").unwrap(),
        client_si: None,
        last_pdp_address: None,
        integrity: None,
    });
    let accept = encode(ClientAccept {
        client_type: ClientType::CONNECTION,
        ka_timer: KaTimer(30),
        accounting_timer: None,
        integrity: None,
    });
    let vectors = [
        (
            open,
            100,
            "10 06 00 00 00 00 00 2c 00 0c 0b 01 70 65 70 31 00 00 00 00
             00 18 10 01 00 00 00 01 00 00 00 64 d4 c1 77 97 c9 e5 68 3e 94 c9 34 b1",
        ),
        (
            accept,
            10,
            "10 07 00 00 00 00 00 28 00 08 0a 01 00 00 00 1e
             00 18 10 01 00 00 00 01 00 00 00 0a 0f 09 c1 05 f2 a3 4a 0e 28 81 95 b3",
        ),
        (
            keep_alive(),
            11,
            "10 09 00 00 00 00 00 20
             00 18 10 01 00 00 00 01 00 00 00 0b 54 57 43 69 a1 36 ae 13 bd 6b e7 a3",
        ),
    ];
    let key = vector_key();
    for (message, number, octets) in vectors {
        let number = SequenceNumber(number);
        let signed = sign(&message, &key, number, &LIMITS).unwrap();
        assert_eq!(signed[..], hex(octets)[..]);
        assert_eq!(verify(&signed, &ring([key.clone()]), NOW), Ok((key.id, number)));
        // The same octets, by the codec's own hand.
        let decoded = Message::decode(&signed, &LIMITS).unwrap();
        assert!(matches!(decoded.integrity(), Some(Integrity::Hmac { .. })));
        assert_eq!(decoded.encode(&LIMITS).unwrap(), signed);
    }
}

/// Whichever bit is flipped, before the digest or in it.
#[test]
fn c_2_2_16_05_c_2_2_16_10_every_bit_is_covered() {
    let signed = sign(&keep_alive(), &vector_key(), SequenceNumber(7), &LIMITS).unwrap();
    let ring = ring([vector_key()]);
    let mut flipped = 0;
    for place in 0..signed.len() * 8 {
        let mut octets = signed.to_vec();
        octets[place / 8] ^= 1 << (place % 8);
        // A flipped version or length is no frame at all.
        if let Ok(frame) = Frame::new(Bytes::from(octets), &LIMITS) {
            verify(&frame, &ring, NOW).unwrap_err();
            flipped += 1;
        }
    }
    assert_eq!(flipped, (signed.len() - 4) * 8 - 4, "all but version and length");
}

/// The padding of objects is whatever was sent: the digest is over the octets, not over what they mean.
#[test]
fn a_35_padding_is_covered_as_it_was_sent() {
    let mut octets = hex("10 06 00 01 00 00 00 14 00 0a 0b 01 70 65 70 31 00 00 00 00");
    let ring = ring([vector_key()]);
    let plain = sign(&frame(octets.clone()), &vector_key(), SequenceNumber(1), &LIMITS).unwrap();
    octets[19] = 0xff;
    let padded = sign(&frame(octets), &vector_key(), SequenceNumber(1), &LIMITS).unwrap();
    for signed in [&plain, &padded] {
        verify(signed, &ring, NOW).unwrap();
        Message::decode(signed, &LIMITS).unwrap();
    }
    assert_ne!(plain[plain.len() - 12..], padded[padded.len() - 12..]);
    let mut moved = padded.to_vec();
    moved[19] = 0;
    assert_eq!(
        verify(&frame(moved), &ring, NOW),
        Err(IntegrityFault::Digest(KeyId(1)))
    );
}

#[test]
fn c_2_2_16_02_another_length_than_24_is_refused() {
    let ring = ring([vector_key()]);
    for (digest_octets, expected) in [
        (0, IntegrityFault::DigestOctets { found: 0 }),
        (4, IntegrityFault::DigestOctets { found: 4 }),
        (8, IntegrityFault::DigestOctets { found: 8 }),
        (16, IntegrityFault::DigestOctets { found: 16 }),
        (64, IntegrityFault::DigestOctets { found: 64 }),
    ] {
        // A digest that begins right and is cut short must not count as right.
        let whole = sign(&keep_alive(), &vector_key(), SequenceNumber(1), &LIMITS).unwrap();
        let digest = [&whole[whole.len() - 12..], &[0; 52]].concat();
        let message = Message::from(KeepAlive {
            integrity: Some(Integrity::Hmac {
                key_id: KeyId(1),
                sequence_number: SequenceNumber(1),
                digest: Bytes::from(digest[..digest_octets].to_vec()),
            }),
        });
        assert_eq!(verify(&encode(message), &ring, NOW), Err(expected));
    }
}

#[test]
fn c_2_2_16_04_c_4_1_10_what_is_missing_is_told_from_what_is_of_another_kind() {
    let ring = ring([vector_key()]);
    assert_eq!(verify(&keep_alive(), &ring, NOW), Err(IntegrityFault::Missing));
    for (octets, code, sub_code) in [
        // None; C-Type 9; Integrity-TLS; and one of the right kind that is not the last object.
        ("10 09 00 00 00 00 00 08", 15, 0x1001),
        ("10 09 00 00 00 00 00 10 00 08 10 09 00 00 00 00", 13, 0x1009),
        ("10 09 00 00 00 00 00 10 00 08 10 02 00 00 00 01", 13, 0x1002),
        (
            "10 09 00 00 00 00 00 24 00 18 10 01 00 00 00 01 00 00 00 0b 54 57 43 69 a1 36 ae 13 bd 6b e7 a3 00 04 63 01",
            15,
            0x1001,
        ),
    ] {
        let error = verify(&frame(hex(octets)), &ring, NOW).unwrap_err().error();
        assert_eq!((error.code.0, error.sub_code), (code, sub_code), "{octets}");
    }
}

#[test]
fn a_message_that_has_no_room_for_the_object_is_not_signed() {
    let mut limits = LIMITS;
    limits.max_message_octets = keep_alive().len() + INTEGRITY_OCTETS;
    sign(&keep_alive(), &vector_key(), SequenceNumber(1), &limits).unwrap();
    limits.max_message_octets -= 1;
    sign(&keep_alive(), &vector_key(), SequenceNumber(1), &limits).unwrap_err();
}

#[test]
fn c_2_2_16_07_c_4_2_04_c_4_2_06_any_key_within_its_lifetime_and_no_other() {
    let old = key(1, b"0123456789abcdef", lifetime(0, Some(100)));
    let new = key(2, b"fedcba9876543210", lifetime(50, Some(200)));
    let ring = ring([old.clone(), new.clone()]);
    let with = |key: &Key, at| {
        let signed = sign(&keep_alive(), key, SequenceNumber(1), &LIMITS).unwrap();
        verify(&signed, &ring, at).map(|(id, _)| id.0)
    };
    let not_valid = |id| Err(IntegrityFault::KeyNotValid(KeyId(id)));
    assert_eq!(with(&old, UnixTime(NOW.0 - 1)), not_valid(1));
    assert_eq!(with(&old, NOW), Ok(1));
    assert_eq!(with(&new, UnixTime(after(50).0 - 1)), not_valid(2));
    // In the overlap either.
    for at in [after(50), UnixTime(after(100).0 - 1)] {
        assert_eq!(with(&old, at), Ok(1));
        assert_eq!(with(&new, at), Ok(2));
    }
    assert_eq!(with(&old, after(100)), not_valid(1));
    assert_eq!(with(&new, after(100)), Ok(2));
    assert_eq!(with(&new, after(200)), not_valid(2));
    let other = key(3, b"0123456789abcdef", always());
    assert_eq!(with(&other, NOW), Err(IntegrityFault::UnknownKey(KeyId(3))));
    // The right name and another secret.
    let other = key(1, b"0123456789abcdeF", always());
    assert_eq!(with(&other, NOW), Err(IntegrityFault::Digest(KeyId(1))));
}

fn sending(ring: &KeyRing, at: u64) -> Option<u32> {
    ring.sending_key(after(at)).map(|key| key.id.0)
}

#[test]
fn c_4_2_05_the_sender_changes_at_the_midpoint_of_the_overlap() {
    const SECRET: &[u8] = b"0123456789abcdef";
    let two = ring([
        key(1, SECRET, lifetime(0, Some(100))),
        key(2, SECRET, lifetime(50, Some(200))),
    ]);
    let expected = [(0, 1), (50, 1), (74, 1), (75, 2), (99, 2), (100, 2), (199, 2)];
    for (at, id) in expected {
        assert_eq!(sending(&two, at), Some(id), "after {at} s");
    }
    assert_eq!(sending(&two, 200), None);

    // A chain of three, whose names do not tell their order.
    let three = ring([
        key(9, SECRET, lifetime(0, Some(100))),
        key(1, SECRET, lifetime(80, Some(200))),
        key(5, SECRET, lifetime(90, None)),
    ]);
    for (at, id) in [(89, 9), (90, 1), (144, 1), (145, 5), (1_000_000, 5)] {
        assert_eq!(sending(&three, at), Some(id), "after {at} s");
    }

    // No overlap: each when it is valid, none between.
    let apart = ring([
        key(1, SECRET, lifetime(0, Some(10))),
        key(2, SECRET, lifetime(20, Some(30))),
    ]);
    assert_eq!(
        [5, 15, 25].map(|at| sending(&apart, at)),
        [Some(1), None, Some(2)]
    );

    // A key within the life of a longer one is no successor.
    let nested = ring([
        key(1, SECRET, lifetime(0, Some(1_000))),
        key(2, SECRET, lifetime(100, Some(200))),
    ]);
    assert_eq!(
        [50, 100, 150, 199, 300].map(|at| sending(&nested, at)),
        [Some(1); 5]
    );

    // Without ends there is no midpoint: a minute after the later one begins.
    let endless = ring([
        key(7, SECRET, lifetime(0, None)),
        key(3, SECRET, lifetime(100, None)),
    ]);
    assert_eq!(
        [100, 159, 160].map(|at| sending(&endless, at)),
        [Some(7), Some(7), Some(3)]
    );
    // Nor an order, but by name.
    let alike = ring([key(7, SECRET, always()), key(8, SECRET, always())]);
    assert_eq!(sending(&alike, 0), Some(8));
    assert_eq!(sending(&KeyRing::default(), 0), None);
}

proptest! {
    /// What a ring sends with it also takes, and while any key is valid there is one to send with.
    #[test]
    fn what_is_sent_with_is_valid(
        lifetimes in prop::collection::vec((0_u64..50, prop::option::of(1_u64..50)), 0..8),
        at in 0_u64..120,
    ) {
        let keys: Vec<Key> = (0_u32..)
            .zip(lifetimes)
            .map(|(id, (begin, length))| {
                key(id, b"0123456789abcdef", lifetime(begin, length.map(|length| begin + length)))
            })
            .collect();
        let ring = ring(keys.clone());
        let valid = keys.iter().any(|key| key.lifetime.contains(after(at)));
        let chosen = ring.sending_key(after(at));
        prop_assert_eq!(chosen.is_some(), valid);
        if let Some(chosen) = chosen {
            let signed = sign(&keep_alive(), chosen, SequenceNumber(0), &LIMITS).unwrap();
            prop_assert_eq!(verify(&signed, &ring, after(at)), Ok((chosen.id, SequenceNumber(0))));
        }
    }

    /// Nothing that can come makes the check fail in another way than by saying what is wrong.
    #[test]
    fn any_frame_can_be_checked(mut octets in prop::collection::vec(any::<u8>(), 8..80)) {
        octets.truncate(octets.len() / 4 * 4);
        octets[0] = 0x10;
        let length = u32::try_from(octets.len()).unwrap();
        octets[4..8].copy_from_slice(&length.to_be_bytes());
        prop_assert!(verify(&frame(octets), &ring([vector_key()]), NOW).is_err());
    }
}

#[test]
fn c_2_2_16_07_c_4_2_02_a_key_id_is_relative_to_a_pepid() {
    let ids = ["pep1", "pep2"].map(|name| PepId::new(name).unwrap());
    let secrets: [&[u8]; 2] = [b"0123456789abcdef", b"fedcba9876543210"];
    let keys = secrets.map(|secret| key(1, secret, always()));
    let table = KeyTable::new(ids.clone().into_iter().zip(keys.clone().map(|key| ring([key]))));
    for (place, id) in ids.iter().enumerate() {
        let own = sign(&keep_alive(), &keys[place], SequenceNumber(1), &LIMITS).unwrap();
        let other = sign(&keep_alive(), &keys[1 - place], SequenceNumber(1), &LIMITS).unwrap();
        verify(&own, &table.ring(id), NOW).unwrap();
        assert_eq!(
            verify(&other, &table.ring(id), NOW),
            Err(IntegrityFault::Digest(KeyId(1)))
        );
    }
    assert!(table.ring(&PepId::new("pep3").unwrap()).is_empty());
}

#[test]
fn keys_that_are_none_are_refused() {
    assert_eq!(
        Secret::new(vec![1; 15]),
        Err(KeyError::SecretOctets { found: 15 })
    );
    assert_eq!(
        Secret::new(vec![1; 257]),
        Err(KeyError::SecretOctets { found: 257 })
    );
    Secret::new(vec![1; 256]).unwrap();
    assert_eq!(
        Lifetime::new(after(1), Some(after(1))),
        Err(KeyError::EmptyLifetime)
    );
    let twice = [vector_key(), vector_key()];
    assert_eq!(KeyRing::new(twice), Err(KeyRingError::RepeatedId(KeyId(1))));
    let many = |count| KeyRing::new((0..count).map(|id| key(id, b"0123456789abcdef", always())));
    many(64).unwrap();
    assert_eq!(many(65), Err(KeyRingError::TooMany));
}

#[test]
fn secrets_are_not_shown() {
    let shown = format!("{:?} {:#?}", vector_key(), ring([vector_key()]));
    for part in ["0123", "48", "49", "0x30", "16"] {
        assert!(!shown.contains(part), "{part} in {shown}");
    }
    assert!(
        shown.contains("KeyId(1)") || shown.contains("KeyId(\n"),
        "{shown}"
    );
}

#[test]
fn c_5_02_a_49_initial_numbers_rise_and_survive_a_restart() {
    let mut numbers = StartNumbers::new(Role::Pep, None);
    let first = numbers.next_start(NOW);
    assert_eq!(first, SequenceNumber(1_800_000_000));
    // In the same second, and with the clock set back.
    let second = numbers.next_start(NOW);
    let third = numbers.next_start(UnixTime(0));
    assert!(first.0 < second.0 && second.0 < third.0);
    // More messages than seconds: what is kept runs ahead.
    let mut used = third;
    let mut kept = numbers.reserved().unwrap();
    let mut writes = 0;
    for _ in 0..100_000 {
        used = used.next();
        numbers.used(used);
        let reserved = numbers.reserved().unwrap();
        if reserved != kept {
            kept = reserved;
            writes += 1;
        }
        assert!(kept.0 > used.0);
    }
    assert!(writes < 100, "{writes} writes");
    let mut restarted = StartNumbers::new(Role::Pep, Some(kept));
    assert!(restarted.next_start(NOW).0 > used.0);
    // Once the clock has caught up it leads again.
    assert_eq!(
        restarted.next_start(after(1_000_000)),
        SequenceNumber(1_801_000_000)
    );
}

/// A message that is sent back to its sender must not have the number that is due there.
#[test]
fn c_5_02_both_ends_begin_far_apart() {
    let pep = StartNumbers::new(Role::Pep, None).next_start(NOW).0;
    let pdp = StartNumbers::new(Role::Pdp, None).next_start(NOW).0;
    assert_eq!(pep.wrapping_sub(pdp), 1 << 31);
}

#[test]
fn initial_numbers_come_round() {
    let mut numbers = StartNumbers::new(Role::Pep, Some(SequenceNumber(u32::MAX)));
    // The clock's second is far behind or far ahead, as one reads it: at this distance it is ahead.
    assert_eq!(numbers.next_start(UnixTime::from_seconds(5)), SequenceNumber(5));
    let mut numbers = StartNumbers::new(Role::Pep, Some(SequenceNumber(3)));
    // The second before the roll over is behind.
    let late = UnixTime::from_seconds(u64::from(u32::MAX));
    assert_eq!(numbers.next_start(late), SequenceNumber(4));
}
