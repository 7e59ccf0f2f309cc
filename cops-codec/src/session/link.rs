//! What both roles need of a connection: frames in, frames out, events out, each within its bound.

use std::collections::VecDeque;

use super::{
    command::CommandError,
    fault::{CloseCause, Counters},
    limits::SessionLimits,
};
use crate::{
    error::{DecodeError, EncodeError},
    framing::Frame,
    limits::Limits,
    message::Message,
};

/// The queues of a session, and the two places where octets become messages and messages octets.
#[derive(Debug)]
pub(super) struct Link<E> {
    wire_limits: Limits,
    pub(super) limits: SessionLimits,
    transmit: VecDeque<Frame>,
    transmit_octets: usize,
    events: VecDeque<E>,
    pub(super) closed: bool,
    pub(super) counters: Counters,
}

/// The events were not drained, so the input was not taken. Drain them and give it again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected the session's events to be drained, found {waiting} of them waiting")]
pub struct Undrained {
    /// Events that wait.
    pub waiting: usize,
}

impl<E> Link<E> {
    pub(super) const fn new(wire_limits: Limits, limits: SessionLimits) -> Self {
        Self {
            wire_limits,
            limits,
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
    /// Message security belongs between the two steps: RFC 2748 4.1 verifies the digest over the received octets, and what
    /// fails that is answered before anything in the message is believed. Without security an Integrity object is data that
    /// nobody can check, and is not looked at.
    pub(super) fn open(&self, frame: &Frame) -> Result<Message, DecodeError> {
        Message::decode(frame, &self.wire_limits)
    }

    pub(super) fn encode(&self, message: &Message) -> Result<Frame, EncodeError> {
        message.encode(&self.wire_limits)
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
    /// Message security adds its Integrity object here and nowhere earlier: its sequence number follows the order in which
    /// messages leave (RFC 2748 2.2.16), and answers that were ready before their turn have waited.
    pub(super) fn queue(&mut self, frame: Frame) {
        self.transmit_octets = self.transmit_octets.saturating_add(frame.len());
        self.transmit.push_back(frame);
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
        let frame = self.transmit.pop_front()?;
        self.transmit_octets = self.transmit_octets.saturating_sub(frame.len());
        Some(frame)
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
        self.events.pop_front()
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
