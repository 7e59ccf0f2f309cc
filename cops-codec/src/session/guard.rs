//! Message security of one connection (RFC 2748 4.1): what is signed, what is refused.

use std::sync::Arc;

use super::time::Moment;
use crate::{
    error::EncodeError,
    framing::Frame,
    integrity::{IntegrityFault, KeyRing, KeyTable, UnixTime, sign, verify},
    limits::Limits,
    wire::{ClientType, KaTimer, KeyId, OpCode, SequenceNumber},
};

/// What the calendar says at a moment of the caller's monotonic clock. Key lifetimes are told by the calendar.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Calendar {
    moment: Moment,
    time: UnixTime,
}

impl Calendar {
    /// It is `time` at `moment`.
    #[must_use]
    pub const fn new(moment: Moment, time: UnixTime) -> Self {
        Self { moment, time }
    }

    /// What it says at another moment.
    #[must_use]
    pub const fn at(&self, now: Moment) -> UnixTime {
        let time = self.time.0.saturating_add(now.0);
        UnixTime(time.saturating_sub(self.moment.0))
    }
}

/// Message Integrity at a PEP (RFC 2748 4.1): it begins the connection with OPN for client-type 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PepIntegrity {
    /// The keys shared with this PDP (RFC 2748 4.2: "to a particular PDP on the PEP").
    pub keys: Arc<KeyRing>,
    /// What the PDP's messages count up from; never the same again for a key
    /// ([`StartNumbers`](crate::integrity::StartNumbers)).
    pub initial_number: SequenceNumber,
    /// What the calendar says.
    pub calendar: Calendar,
}

/// Message Integrity at a PDP (RFC 2748 4.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PdpIntegrity {
    /// Whether a PEP that does not begin with a valid OPN for client-type 0 is turned away. If not, it may do without.
    pub required: bool,
    /// The keys shared with each PEP.
    pub keys: Arc<KeyTable>,
    /// What the PEP's messages count up from; never the same again for a key
    /// ([`StartNumbers`](crate::integrity::StartNumbers)).
    pub initial_number: SequenceNumber,
    /// What the calendar says.
    pub calendar: Calendar,
    /// The KA Timer of the CAT for client-type 0.
    pub ka_timer: KaTimer,
}

/// How a connection is protected by message Integrity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IntegrityStatus {
    /// The key of the latest message sent.
    pub sending_key: KeyId,
    /// The key of the latest message received.
    pub receiving_key: KeyId,
    /// The number of the latest message sent.
    pub sent: SequenceNumber,
    /// The number of the latest message received; for a caller that keeps
    /// [`StartNumbers`](crate::integrity::StartNumbers).
    pub received: SequenceNumber,
}

/// What stands between the octets of a connection and its messages.
#[derive(Debug)]
pub(super) struct Guard {
    state: State,
    ring: Arc<KeyRing>,
    calendar: Calendar,
    now: Moment,
}

#[derive(Clone, Copy, Debug)]
enum State {
    /// Messages go as they are, and an Integrity object that comes is not looked at.
    Plain,
    /// A PDP that wants security before anything else.
    Demanded,
    /// A PEP has sent OPN for client-type 0. What it sends next waits for the CAT.
    Negotiating { initial: SequenceNumber, key: KeyId },
    Secured {
        status: IntegrityStatus,
        /// Whether the other end has shown that it took the negotiation.
        heard: bool,
    },
}

impl Guard {
    pub(super) fn plain() -> Self {
        Self {
            state: State::Plain,
            ring: Arc::default(),
            calendar: Calendar::default(),
            now: Moment::default(),
        }
    }

    pub(super) const fn demand(&mut self) {
        self.state = State::Demanded;
    }

    pub(super) const fn set_now(&mut self, now: Moment) {
        self.now = now;
    }

    pub(super) fn set_keys(&mut self, ring: Arc<KeyRing>, calendar: Calendar) {
        self.ring = ring;
        self.calendar = calendar;
    }

    fn time(&self) -> UnixTime {
        self.calendar.at(self.now)
    }

    /// Whether messages have an Integrity object now, or will have when they leave.
    pub(super) const fn signs(&self) -> bool {
        matches!(self.state, State::Negotiating { .. } | State::Secured { .. })
    }

    pub(super) const fn is_negotiating(&self) -> bool {
        matches!(self.state, State::Negotiating { .. })
    }

    pub(super) const fn status(&self) -> Option<IntegrityStatus> {
        match self.state {
            State::Secured { status, .. } => Some(status),
            _ => None,
        }
    }

    /// Whether there is a key to send with.
    pub(super) fn has_key(&self) -> bool {
        self.ring.sending_key(self.time()).is_some()
    }

    /// A PEP's OPN for client-type 0, signed; `None` if there is no key to do it with. From here on the CAT is awaited.
    pub(super) fn begin(
        &mut self,
        open: &Frame,
        initial: SequenceNumber,
        limits: &Limits,
    ) -> Result<Option<Frame>, EncodeError> {
        let Some(key) = self.ring.sending_key(self.time()) else {
            return Ok(None);
        };
        let signed = sign(open, key, initial, limits)?;
        self.state = State::Negotiating { initial, key: key.id };
        Ok(Some(signed))
    }

    /// The key and number of an OPN for client-type 0, if it is right.
    pub(super) fn check_open(&self, open: &Frame) -> Result<(KeyId, SequenceNumber), IntegrityFault> {
        verify(open, &self.ring, self.time())
    }

    /// A PDP's CAT for client-type 0, signed; `None` if there is no key to do it with. From here on every message is.
    pub(super) fn accept(
        &mut self,
        accept: &Frame,
        open: (KeyId, SequenceNumber),
        initial: SequenceNumber,
        limits: &Limits,
    ) -> Result<Option<Frame>, EncodeError> {
        let Some(key) = self.ring.sending_key(self.time()) else {
            return Ok(None);
        };
        let signed = sign(accept, key, initial, limits)?;
        let (receiving_key, sent) = open;
        self.state = State::Secured {
            status: IntegrityStatus {
                sending_key: key.id,
                receiving_key,
                sent,
                received: initial,
            },
            heard: false,
        };
        Ok(Some(signed))
    }

    /// The negotiation has failed; what is sent now is the end of it (RFC 2748 4.1: "need not carry an integrity object").
    pub(super) const fn give_up(&mut self) {
        self.state = State::Plain;
    }

    /// A message as it leaves, with the number whose turn it is; `None` if it has to wait, or there is no key.
    pub(super) fn sign_next(&mut self, frame: &Frame, limits: &Limits) -> Option<Frame> {
        let time = self.time();
        let State::Secured { status, .. } = &mut self.state else {
            return None;
        };
        let key = self.ring.sending_key(time)?;
        let number = status.sent.next();
        // It was encoded with room for the object, so this does not fail.
        let signed = sign(frame, key, number, limits).ok()?;
        status.sent = number;
        status.sending_key = key.id;
        Some(signed)
    }

    /// Whether a received message may be believed. A check that fails says what is answered.
    pub(super) fn check(&mut self, frame: &Frame) -> Result<(), IntegrityFault> {
        let header = frame.header();
        let op_code = (header.client_type == ClientType::CONNECTION).then_some(header.op_code);
        match self.state {
            State::Plain => Ok(()),
            State::Demanded => match op_code {
                // An OPN is looked at by whoever negotiates; a CC ends the connection whoever sent it.
                Some(OpCode::CLIENT_OPEN | OpCode::CLIENT_CLOSE) => Ok(()),
                _ => Err(IntegrityFault::Missing),
            },
            State::Negotiating { initial, key } => match op_code {
                Some(OpCode::CLIENT_ACCEPT) => {
                    let (receiving_key, sent) = verify(frame, &self.ring, self.time())?;
                    self.state = State::Secured {
                        status: IntegrityStatus {
                            sending_key: key,
                            receiving_key,
                            sent,
                            received: initial,
                        },
                        heard: true,
                    };
                    Ok(())
                }
                // RFC 2748 4.1: it "need not carry an integrity object (as the security negotiation did not yet complete)".
                Some(OpCode::CLIENT_CLOSE) => Ok(()),
                _ => Err(IntegrityFault::Missing),
            },
            State::Secured { mut status, heard } => {
                let (key, number) = match verify(frame, &self.ring, self.time()) {
                    // The PEP may not have accepted the CAT, and then this is how it says so.
                    Err(IntegrityFault::Missing) if !heard && op_code == Some(OpCode::CLIENT_CLOSE) => {
                        return Ok(());
                    }
                    verified => verified?,
                };
                let expected = status.received.next();
                if number != expected {
                    return Err(IntegrityFault::SequenceNumber {
                        expected,
                        found: number,
                    });
                }
                status.received = number;
                status.receiving_key = key;
                self.state = State::Secured { status, heard: true };
                Ok(())
            }
        }
    }
}
