//! Message Integrity between two ends (RFC 2748 4.1): negotiated first, then on every message.

mod keys;
mod negotiation;
mod tampering;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cops_codec::encode::encode_objects;
use cops_codec::integrity::{
    Algorithm, IntegrityFault, Key, KeyRing, KeyTable, Lifetime, Secret, UnixTime, sign, verify,
};
use cops_codec::message::{ClientOpen, KeepAlive};
use cops_codec::session::pdp::{PdpCommand, PdpEvent};
use cops_codec::session::pep::{ClientOpening, PepCommand, PepEvent, RequestBody};
use cops_codec::session::{Calendar, CloseCause, Moment, PdpIntegrity, PeerFault, PepIntegrity};
use cops_codec::wire::{
    CType, ClientType, CopsError, ErrorCode, Integrity, IntegrityTlsFlags, KaTimer, KeyId, ObjectId,
    ObjectRef, OpCode, Role, SequenceNumber,
};
use cops_codec::{Frame, Limits, Message};

use crate::frames::{accept, close, frame, keep_alive, open};
use crate::pair::{CT, CT2, Pair, pdp_config, pep_config, pep_id, rows};

const START: Moment = Moment(1_000);
const TIME: UnixTime = UnixTime::from_seconds(1_800_000_000);
const CALENDAR: Calendar = Calendar::new(START, TIME);
const PEP_START: SequenceNumber = SequenceNumber(100);
const PDP_START: SequenceNumber = SequenceNumber(10);
const LIMITS: Limits = Limits::DEFAULT;

fn key(id: u32) -> Key {
    let mut secret = *b"0123456789abcdef";
    secret[..4].copy_from_slice(&id.to_be_bytes());
    Key {
        id: KeyId(id),
        algorithm: Algorithm::HmacMd5_96,
        secret: Secret::new(secret.to_vec()).unwrap(),
        lifetime: Lifetime::new(UnixTime(0), None).unwrap(),
    }
}

/// In seconds after the start.
fn key_within(id: u32, begin: u64, end: u64) -> Key {
    let after = |seconds| UnixTime(TIME.0 + seconds * 1_000);
    Key {
        lifetime: Lifetime::new(after(begin), Some(after(end))).unwrap(),
        ..key(id)
    }
}

fn ring(keys: &[Key]) -> Arc<KeyRing> {
    Arc::new(KeyRing::new(keys.iter().cloned()).unwrap())
}

fn table(keys: &[Key]) -> Arc<KeyTable> {
    Arc::new(KeyTable::new([(
        pep_id(),
        KeyRing::new(keys.iter().cloned()).unwrap(),
    )]))
}

fn pep_integrity(keys: &[Key]) -> PepIntegrity {
    PepIntegrity {
        keys: ring(keys),
        initial_number: PEP_START,
        calendar: CALENDAR,
    }
}

fn pdp_integrity(keys: &[Key]) -> PdpIntegrity {
    PdpIntegrity {
        required: true,
        keys: table(keys),
        initial_number: PDP_START,
        calendar: CALENDAR,
        ka_timer: KaTimer(30),
    }
}

fn pair(pep: Option<PepIntegrity>, pdp: Option<PdpIntegrity>) -> Pair {
    let (mut pep_side, mut pdp_side) = (pep_config(), pdp_config());
    pep_side.integrity = pep;
    pdp_side.integrity = pdp;
    Pair::with(pep_side, pdp_side, START)
}

fn secured(keys: &[Key]) -> Pair {
    let mut pair = pair(Some(pep_integrity(keys)), Some(pdp_integrity(keys)));
    pair.drain();
    pair
}

/// Key ID and number of an HMAC Integrity object.
fn signed_by(message: &Message) -> (u32, u32) {
    match message.integrity() {
        Some(Integrity::Hmac {
            key_id,
            sequence_number,
            ..
        }) => (key_id.0, sequence_number.0),
        other => panic!("expected HMAC Integrity, found {other:?} in {message:?}"),
    }
}

fn numbers(pair: &Pair, from: Role) -> Vec<u32> {
    let sent = pair.log.iter().filter(|sent| sent.from == from);
    sent.map(|sent| signed_by(&sent.message).1).collect()
}

/// What the session that refused something sent last: CC for client-type 0 with this error.
fn refusal(mut poll: impl FnMut() -> Option<Frame>) -> (Frame, CopsError) {
    let last = std::iter::from_fn(&mut poll).last().expect("a frame");
    match Message::decode(&last, &LIMITS).unwrap() {
        Message::ClientClose(close) => {
            assert_eq!(close.client_type, ClientType::CONNECTION);
            (last, close.error)
        }
        other => panic!("expected a CC, found {other:?}"),
    }
}

fn signed(message: impl Into<Message>, key: &Key, number: u32) -> Frame {
    let frame = message.into().encode(&LIMITS).unwrap();
    sign(&frame, key, SequenceNumber(number), &LIMITS).unwrap()
}

fn security_open() -> ClientOpen {
    ClientOpen {
        client_type: ClientType::CONNECTION,
        pep_id: pep_id(),
        client_si: None,
        last_pdp_address: None,
        integrity: None,
    }
}

fn ka() -> KeepAlive {
    KeepAlive { integrity: None }
}

const REQUIRED: CopsError = CopsError {
    code: ErrorCode::AUTHENTICATION_REQUIRED,
    sub_code: 0x1001,
};
const FAILURE: CopsError = CopsError::new(ErrorCode::AUTHENTICATION_FAILURE);
