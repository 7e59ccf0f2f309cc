//! Message Integrity at the end that a target plays: messages signed rightly and wrongly, and which of them may be believed,
//! worked out apart from the codec.

use cops_codec::{
    DecodeError, Frame, Limits,
    integrity::{Algorithm, Key, KeyRing, Lifetime, Secret, UnixTime, hmac_md5_96, sign},
    session::{Calendar, Moment},
    wire::{ClientType, KeyId, OpCode, SequenceNumber},
};

use crate::Input;

/// The PEP that has keys; the other one of the cast has none.
pub(crate) const PEP: &str = "node01";

/// What messages to a session count up from: its numbers soon begin anew.
pub(crate) const INITIAL: SequenceNumber = SequenceNumber(u32::MAX - 2);

const DIGEST_OCTETS: usize = 12;
const OBJECT_OCTETS: usize = 24;

/// A key of its number; it may end after ten minutes.
fn key(number: u8, begin: u64, end: Option<u64>) -> Key {
    Key {
        id: KeyId(number.into()),
        algorithm: Algorithm::HmacMd5_96,
        secret: Secret::new(secret(number)).expect("16 octets"),
        lifetime: Lifetime::new(UnixTime::from_seconds(begin), end.map(UnixTime::from_seconds))
            .expect("it ends after it begins"),
    }
}

fn secret(number: u8) -> Vec<u8> {
    vec![number; 16]
}

/// Keys that follow each other, one that ends without a successor, or none.
fn ring(choice: u8) -> KeyRing {
    let keys = match choice % 3 {
        0 => vec![key(1, 0, Some(600)), key(2, 300, None)],
        1 => vec![key(1, 0, Some(600))],
        _ => vec![],
    };
    KeyRing::new(keys).expect("few keys")
}

/// Both directions of a connection with Integrity, as the other end sees them.
pub(crate) struct OtherEnd {
    ring: KeyRing,
    /// Where the session is a PDP that takes nothing before the negotiation, or a PEP that has begun it.
    demands: bool,
    /// The number of the next message to the session, once it has taken the negotiation.
    to_session: Option<SequenceNumber>,
    /// The number of the next message of the session, once it signs.
    from_session: Option<SequenceNumber>,
    /// Whether the session has shown by a signed message that it took the negotiation, or is the one that was answered.
    heard: bool,
}

/// What a session has to make of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is looked at.
    Taken,
    /// The connection ends.
    Refused,
    /// A CC for client-type 0 that is not signed, before the other end was heard: the connection ends either way.
    Either,
}

impl OtherEnd {
    /// By the octet of an input that says so: odd for Integrity, then (2) whether it is demanded, and which keys there are.
    pub(crate) fn from_input(octet: u8) -> Option<Self> {
        (octet & 1 == 1).then(|| Self {
            ring: ring(octet / 4),
            demands: octet & 2 == 2,
            to_session: None,
            from_session: None,
            heard: false,
        })
    }

    pub(crate) const fn ring(&self) -> &KeyRing {
        &self.ring
    }

    pub(crate) const fn demands(&self) -> bool {
        self.demands
    }

    pub(crate) const fn is_secured(&self) -> bool {
        self.to_session.is_some()
    }

    /// Other keys at the session, which are this end's too.
    pub(crate) fn take_keys(&mut self, choice: u8) -> KeyRing {
        self.ring = ring(choice);
        self.ring.clone()
    }

    /// As on a new connection.
    pub(crate) fn anew(&self) -> Self {
        Self {
            ring: self.ring.clone(),
            demands: self.demands,
            to_session: None,
            from_session: None,
            heard: false,
        }
    }

    pub(crate) fn has_key(&self, now: Moment) -> bool {
        self.ring
            .keys()
            .any(|key| key.lifetime.contains(Calendar::default().at(now)))
    }

    /// A message to the session; most are signed as they should be.
    pub(crate) fn seal(
        &self,
        input: &mut Input<'_>,
        frame: Frame,
        now: Moment,
    ) -> Result<Frame, DecodeError> {
        let how = input.u8();
        let time = Calendar::default().at(now);
        let right = self
            .ring
            .sending_key(time)
            .cloned()
            .unwrap_or_else(|| key(1, 0, None));
        let next = self.to_session.unwrap_or(SequenceNumber(7));
        let before = SequenceNumber(next.0.wrapping_sub(1));
        let signed = |key: &Key, number| sign(&frame, key, number, &Limits::DEFAULT).ok();
        let sealed = match how {
            0..0xd0 => signed(&right, next),
            0xd0..0xd8 => None,
            0xd8..0xdc => signed(&right, before),
            0xdc..0xe0 => signed(&right, SequenceNumber(input.u32())),
            // A key that may be valid or not.
            0xe0..0xe8 => signed(&key(1 + how % 3, 0, None), next),
            // A known Key ID with another secret.
            0xe8..0xf0 => {
                let other = Key {
                    secret: Secret::new(secret(9)).expect("16 octets"),
                    ..right
                };
                signed(&other, next)
            }
            0xf0..0xf8 => {
                return match signed(&right, next) {
                    Some(frame) => changed(input, &frame),
                    None => Ok(frame),
                };
            }
            _ => {
                return match signed(&right, next) {
                    Some(frame) => shortened(&frame),
                    None => Ok(frame),
                };
            }
        };
        Ok(sealed.unwrap_or(frame))
    }

    /// What the session has to make of this message, which it has not seen yet. A negotiation that is awaited comes with
    /// `awaited`: OPN at a PDP, which looks at its Integrity object later, CAT at a PEP.
    pub(crate) fn verdict(&self, frame: &Frame, awaited: OpCode, now: Moment) -> Verdict {
        let header = frame.header();
        let op_code = (header.client_type == ClientType::CONNECTION).then_some(header.op_code);
        match self.to_session {
            Some(number) if self.is_right(frame, now, Some(number)) => Verdict::Taken,
            Some(_) if !self.heard && op_code == Some(OpCode::CLIENT_CLOSE) => Verdict::Either,
            Some(_) => Verdict::Refused,
            None if !self.demands => Verdict::Taken,
            None if op_code == Some(OpCode::CLIENT_CLOSE) => Verdict::Taken,
            None if op_code != Some(awaited) => Verdict::Refused,
            None if awaited == OpCode::CLIENT_ACCEPT && !self.is_right(frame, now, None) => Verdict::Refused,
            None => Verdict::Taken,
        }
    }

    /// Whether the message ends with an Integrity object whose key is valid and whose digest is right, and its number, where
    /// one is expected.
    pub(crate) fn is_right(&self, frame: &Frame, now: Moment, number: Option<SequenceNumber>) -> bool {
        self.number_of(frame, now)
            .is_some_and(|found| number.is_none_or(|number| number == found))
    }

    /// The number of a message that is rightly signed.
    pub(crate) fn number_of(&self, frame: &Frame, now: Moment) -> Option<SequenceNumber> {
        let (id, number) = signature(frame)?;
        let key = self.ring.get(id)?;
        key.lifetime
            .contains(Calendar::default().at(now))
            .then_some(number)
    }

    /// The session took this message.
    pub(crate) fn taken(&mut self) {
        self.to_session = self.to_session.map(SequenceNumber::next);
        self.heard = true;
    }

    /// The negotiation is done: the session is a PDP that accepted, or a PEP that was accepted.
    pub(crate) fn secured(&mut self, heard: bool) {
        self.to_session = Some(INITIAL.next());
        self.heard = heard;
    }

    /// A message of the session: signed with the next number once it signs, and not before.
    pub(crate) fn check_sent(&mut self, frame: &Frame, now: Moment) {
        match self.from_session {
            Some(number) => {
                assert!(
                    self.is_right(frame, now, Some(number)),
                    "{} is to be signed with number {}",
                    frame.header().op_code,
                    number.0
                );
                self.from_session = Some(number.next());
            }
            None => assert_eq!(
                self.number_of(frame, now),
                None,
                "nothing is signed before the negotiation"
            ),
        }
    }

    /// From here on the session signs, beginning with this number.
    pub(crate) fn session_signs(&mut self, number: SequenceNumber) {
        self.from_session = Some(number);
    }
}

/// The key and the number of a message that ends with an Integrity object whose digest is right, whether or not the key is
/// valid.
pub(crate) fn signature(frame: &Frame) -> Option<(KeyId, SequenceNumber)> {
    let octets: &[u8] = frame;
    let at = octets.len().checked_sub(OBJECT_OCTETS).filter(|at| *at >= 8)?;
    let (covered, digest) = octets.split_at(octets.len() - DIGEST_OCTETS);
    let [0, 24, 16, 1, 0, 0, 0, id, number @ ..] = &covered[at..] else {
        return None;
    };
    let number: [u8; 4] = number.try_into().expect("12 octets before the digest");
    (hmac_md5_96(&secret(*id), covered)[..] == *digest)
        .then_some((KeyId((*id).into()), SequenceNumber(u32::from_be_bytes(number))))
}

/// With other bits in one octet.
fn changed(input: &mut Input<'_>, frame: &Frame) -> Result<Frame, DecodeError> {
    let mut octets = frame.to_vec();
    let at = usize::from(input.u16()) % octets.len();
    octets[at] ^= input.u8().max(1);
    super::frame(octets.into(), &Limits::DEFAULT)
}

/// With a digest of 8 octets.
fn shortened(frame: &Frame) -> Result<Frame, DecodeError> {
    let mut octets = frame.to_vec();
    octets.truncate(frame.len() - 4);
    let length = u32::try_from(octets.len()).expect("a message");
    octets[4..8].copy_from_slice(&length.to_be_bytes());
    let object = octets.len() - (OBJECT_OCTETS - 4);
    octets[object + 1] = 20;
    super::frame(octets.into(), &Limits::DEFAULT)
}
