//! What both roles need of a connection: frames in, frames out, events out, each within its bound.

use std::collections::VecDeque;

use super::{
    command::CommandError,
    fault::{CloseCause, Counters},
    guard::Guard,
    limits::SessionLimits,
};
use crate::{
    error::{DecodeError, EncodeError},
    framing::Frame,
    integrity::{INTEGRITY_OCTETS, IntegrityFault},
    limits::Limits,
    message::Message,
};

/// The queues of a session, and the two places where octets become messages and messages octets.
#[derive(Debug)]
pub(super) struct Link<E> {
    wire_limits: Limits,
    pub(super) limits: SessionLimits,
    pub(super) guard: Guard,
    transmit: VecDeque<Outgoing>,
    transmit_octets: usize,
    events: VecDeque<E>,
    pub(super) closed: bool,
    pub(super) counters: Counters,
}

/// What waits to be sent.
#[derive(Debug)]
struct Outgoing {
    frame: Frame,
    /// Whether it gets its Integrity object when it leaves.
    unsigned: bool,
}

impl Outgoing {
    fn octets(&self) -> usize {
        let integrity = if self.unsigned { INTEGRITY_OCTETS } else { 0 };
        self.frame.len().saturating_add(integrity)
    }
}

/// Why a frame is not a message.
#[derive(Debug)]
pub(super) enum Unopened {
    /// It cannot be decoded.
    Malformed(DecodeError),
    /// It is not known to come from the other end.
    Unauthentic(IntegrityFault),
}

/// The events were not drained, so the input was not taken. Drain them and give it again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected the session's events to be drained, found {waiting} of them waiting")]
pub struct Undrained {
    /// Events that wait.
    pub waiting: usize,
}

impl<E> Link<E> {
    pub(super) fn new(wire_limits: Limits, limits: SessionLimits) -> Self {
        Self {
            wire_limits,
            limits,
            guard: Guard::plain(),
            transmit: VecDeque::new(),
            transmit_octets: 0,
            events: VecDeque::new(),
            closed: false,
            counters: Counters {
                unknown_handle: 0,
                unasked: 0,
                client_not_open: 0,
            },
        }
    }

    /// A received frame as a message.
    ///
    /// RFC 2748 4.1 verifies the digest over the received octets, and what fails that is answered before anything in the
    /// message is believed. Without security an Integrity object is data that nobody can check, and is not looked at.
    pub(super) fn open(&mut self, frame: Result<Frame, DecodeError>) -> Result<(Message, Frame), Unopened> {
        let frame = frame.map_err(Unopened::Malformed)?;
        self.guard.check(&frame).map_err(Unopened::Unauthentic)?;
        match Message::decode(&frame, &self.wire_limits) {
            Ok(message) => Ok((message, frame)),
            Err(error) => Err(Unopened::Malformed(error)),
        }
    }

    /// With room for the Integrity object, if it is to have one.
    pub(super) fn encode(&self, message: &Message) -> Result<Frame, EncodeError> {
        let mut limits = self.wire_limits;
        if self.guard.signs() {
            limits.max_message_octets = limits.max_message_octets.saturating_sub(INTEGRITY_OCTETS);
            limits.max_objects = limits.max_objects.saturating_sub(1);
        }
        message.encode(&limits)
    }

    pub(super) const fn wire_limits(&self) -> &Limits {
        &self.wire_limits
    }

    /// Whether a command may send this.
    pub(super) fn check_room(&self, frame: &Frame) -> Result<(), CommandError> {
        let limit = self.limits.max_transmit_octets;
        if self.transmit_octets.saturating_add(frame.len()) > limit {
            return Err(CommandError::TransmitFull { limit });
        }
        Ok(())
    }

    /// Queues what has to be sent.
    ///
    /// Its Integrity object comes when it leaves: sequence numbers follow the order of messages on the wire (RFC 2748
    /// 2.2.16), and a key may take another's place while they wait.
    pub(super) fn queue(&mut self, frame: Frame) {
        let unsigned = self.guard.signs();
        self.push(Outgoing { frame, unsigned });
    }

    /// Queues a message of the negotiation, which has its Integrity object already.
    pub(super) fn queue_signed(&mut self, frame: Frame) {
        self.push(Outgoing {
            frame,
            unsigned: false,
        });
    }

    fn push(&mut self, outgoing: Outgoing) {
        self.transmit_octets = self.transmit_octets.saturating_add(outgoing.octets());
        self.transmit.push_back(outgoing);
    }

    /// Ends a negotiation that failed, and drops what waited for it. Returns whether there was one.
    pub(super) fn give_up_negotiation(&mut self) -> bool {
        if !self.guard.is_negotiating() {
            return false;
        }
        self.guard.give_up();
        self.transmit.retain(|outgoing| !outgoing.unsigned);
        self.transmit_octets = self.transmit.iter().map(Outgoing::octets).sum();
        true
    }

    /// Queues an answer that the protocol demands, within the octets that are set aside for those.
    pub(super) fn queue_answer(&mut self, message: &Message) -> Result<(), CloseCause> {
        let frame = self.encode(message)?;
        let limit = self.limits.max_transmit_octets.saturating_mul(2);
        if self.transmit_octets.saturating_add(frame.len()) > limit {
            return Err(CloseCause::TransmitFull { limit });
        }
        self.queue(frame);
        Ok(())
    }

    /// Queues a last message. Those are few: at the end of the connection one for each client-type and one for itself.
    pub(super) fn queue_farewell(&mut self, message: &Message) {
        // A CC has no part of a size that anybody chooses; under a message limit below its 28 octets the socket's end has
        // to say it.
        if let Ok(frame) = self.encode(message) {
            self.queue(frame);
        }
    }

    pub(super) fn poll_transmit(&mut self) -> Option<Frame> {
        let outgoing = self.transmit.front()?;
        let signed = if outgoing.unsigned {
            Some(self.guard.sign_next(&outgoing.frame, &self.wire_limits)?)
        } else {
            None
        };
        let outgoing = self.transmit.pop_front()?;
        if self.transmit.is_empty() {
            self.transmit = VecDeque::new();
        }
        self.transmit_octets = self.transmit_octets.saturating_sub(outgoing.octets());
        Some(signed.unwrap_or(outgoing.frame))
    }

    pub(super) fn transmit_octets(&self) -> usize {
        self.transmit_octets
    }

    pub(super) fn emit(&mut self, event: E) {
        self.events.push_back(event);
    }

    /// For an event whose own answer may have ended the session, which has had its last event then.
    pub(super) fn emit_unless_closed(&mut self, event: E) {
        if !self.closed {
            self.emit(event);
        }
    }

    pub(super) fn poll_event(&mut self) -> Option<E> {
        let event = self.events.pop_front();
        // Of ten thousand sessions nearly all wait for their other end: what is empty holds no room.
        if self.events.is_empty() {
            self.events = VecDeque::new();
        }
        event
    }

    /// Whether another input may be taken.
    pub(super) fn check_drained(&self) -> Result<(), Undrained> {
        let waiting = self.events.len();
        if waiting >= self.limits.max_events {
            return Err(Undrained { waiting });
        }
        Ok(())
    }
}
