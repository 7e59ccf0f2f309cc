//! Initial sequence numbers (RFC 2748 5).

use super::key::UnixTime;
use crate::wire::{Role, SequenceNumber};

/// Gives initial sequence numbers. RFC 2748 5: they "SHOULD be chosen such that they are monotonically increasing and never
/// repeat for a particular key", or else what was recorded on one connection could be sent again on another.
///
/// The number is that of the second, by the calendar, in which the connection begins, or that after the highest number that
/// may have been used, whichever is higher. The second survives a restart by itself; the highest number does if the caller
/// keeps [`Self::reserved`], which runs ahead of what is used so that it seldom has to be written.
///
/// PDPs begin half the range away from PEPs: a message that is sent back to its sender has never the number that is due
/// there. Seconds need 136 years to come round, and connections that send more than one message a second for all that time
/// less; keys live shorter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StartNumbers {
    chooser: Role,
    /// The highest number that was used, or may have been before a restart.
    used: Option<SequenceNumber>,
    reserved: Option<SequenceNumber>,
}

impl StartNumbers {
    /// How far ahead numbers are reserved.
    const BLOCK: u32 = 1 << 12;

    /// For connections of which this end is `chooser`. `reserved` is what was kept when this ended last, if anything.
    #[must_use]
    pub const fn new(chooser: Role, reserved: Option<SequenceNumber>) -> Self {
        Self {
            chooser,
            used: reserved,
            reserved,
        }
    }

    /// The initial number of a new connection: what the other end's messages count up from.
    pub fn next_start(&mut self, now: UnixTime) -> SequenceNumber {
        // The calendar's seconds run into the same 32 bits as the numbers: after the last comes 0.
        let second = now.seconds() as u32;
        let by_clock = SequenceNumber(match self.chooser {
            Role::Pep => second,
            Role::Pdp => second ^ (1 << 31),
        });
        let start = match self.used {
            Some(used) if !is_after(by_clock, used) => used.next(),
            _ => by_clock,
        };
        self.used(start);
        start
    }

    /// Notes the number of a message that came in.
    pub fn used(&mut self, number: SequenceNumber) {
        if self.used.is_none_or(|used| is_after(number, used)) {
            self.used = Some(number);
        }
        let soon = SequenceNumber(number.0.wrapping_add(Self::BLOCK / 2));
        if self.reserved.is_none_or(|reserved| !is_after(reserved, soon)) {
            self.reserved = Some(SequenceNumber(number.0.wrapping_add(Self::BLOCK)));
        }
    }

    /// No number above this one has been used. To be kept whenever it has changed, before anything is sent.
    #[must_use]
    pub const fn reserved(&self) -> Option<SequenceNumber> {
        self.reserved
    }
}

/// Whether `a` comes after `b`, as numbers that come round do: within the half of the range that follows `b`.
const fn is_after(a: SequenceNumber, b: SequenceNumber) -> bool {
    let distance = a.0.wrapping_sub(b.0);
    distance != 0 && distance < 1 << 31
}
