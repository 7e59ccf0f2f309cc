//! Message Integrity of the agent: its keys, the numbers that its PDP counts up from, and when it does without.

use std::sync::Arc;
use std::time::Duration;

use cops_codec::integrity::{KeyRing, StartNumbers};
use cops_codec::session::{Calendar, CloseCause, Moment, PepIntegrity};
use cops_codec::wire::{ErrorCode, Role, SequenceNumber};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{Interval, MissedTickBehavior, interval};

use super::RunError;
use crate::io::clock::calendar_time;
use crate::io::config::IntegrityEntry;
use crate::io::keys::KeyFile;
use crate::node::{Node, Now};

/// How often the file of keys is looked at. SIGHUP has it read at once.
const KEYS_PERIOD: Duration = Duration::from_secs(2);

/// How far the calendar may go from the monotonic clock before the session is told.
const CALENDAR_SLACK_MILLIS: u64 = 500;

/// What there is of message Integrity beside the session.
pub(super) struct Security {
    required: bool,
    file: KeyFile,
    keys: Arc<KeyRing>,
    calendar: Calendar,
    numbers: StartNumbers,
    /// The PDP does not offer it, and it is optional.
    plain_next: bool,
    hangup: Signal,
    look: Interval,
}

impl Security {
    /// Reads the keys. `reserved` is what was kept when the agent ended last.
    pub(super) fn begin(
        entry: &IntegrityEntry,
        reserved: Option<u32>,
        now: Moment,
    ) -> Result<Self, RunError> {
        let mut file = KeyFile::new(entry.keys.clone());
        let keys = Arc::new(file.read()?);
        let mut look = interval(KEYS_PERIOD);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Ok(Self {
            required: entry.required,
            file,
            keys,
            calendar: Calendar::new(now, calendar_time()),
            numbers: StartNumbers::new(Role::Pep, reserved.map(SequenceNumber)),
            plain_next: false,
            hangup: signal(SignalKind::hangup()).map_err(RunError::Signals)?,
            look,
        })
    }

    /// Waits until the file has to be looked at; true if it has to be read in any case.
    pub(super) async fn due(&mut self) -> bool {
        tokio::select! {
            _ = self.hangup.recv() => true,
            _ = self.look.tick() => false,
        }
    }

    /// Reads the file again if it has changed, or in any case; and looks at the calendar.
    pub(super) fn look(&mut self, node: &mut Node, now: Now, in_any_case: bool) {
        let today = Calendar::new(now.session, calendar_time());
        let moved = today.at(now.session).0.abs_diff(self.calendar.at(now.session).0);
        let mut changed = moved > CALENDAR_SLACK_MILLIS;
        if in_any_case || self.file.has_changed() {
            match self.file.read() {
                Ok(keys) => {
                    tracing::info!("the keys were read again: {} of them", keys.keys().count());
                    self.keys = Arc::new(keys);
                    changed = true;
                }
                Err(error) => tracing::error!("{error}; the keys that were read before go on"),
            }
        }
        if changed {
            self.calendar = today;
            node.set_keys(now, Arc::clone(&self.keys), today);
        }
    }

    /// For a connection that was made just now; `None` to go without.
    pub(super) fn of_connection(&mut self, now: Moment) -> Option<PepIntegrity> {
        let has_key = self.keys.sending_key(self.calendar.at(now)).is_some();
        if !self.required && (core::mem::take(&mut self.plain_next) || !has_key) {
            tracing::warn!(
                "this connection goes WITHOUT message Integrity: {}",
                if has_key {
                    "the PDP does not offer it"
                } else {
                    "no key is valid now"
                }
            );
            return None;
        }
        Some(PepIntegrity {
            keys: Arc::clone(&self.keys),
            initial_number: self.numbers.next_start(self.calendar.at(now)),
            calendar: self.calendar,
        })
    }

    /// A connection has ended. A PDP without message Integrity says that it does not want client-type 0, or not this object;
    /// where it is optional, the next connection goes without.
    pub(super) fn ended(&mut self, cause: &CloseCause, was_secured: bool) {
        // RFC 4261 4.2, (16,0): no type of Integrity is supported; 13: this one is not known.
        let does_not_offer = match cause {
            CloseCause::Peer { error, .. } => matches!(
                (error.code, error.sub_code),
                (ErrorCode::AUTHENTICATION_REQUIRED, 0x1000)
                    | (ErrorCode::UNKNOWN_OBJECT, 0x1001)
                    | (ErrorCode::UNSUPPORTED_CLIENT_TYPE, _)
            ),
            _ => false,
        };
        self.plain_next = !self.required && !was_secured && does_not_offer;
    }

    /// Notes how far the PDP has counted, and gives what has to be kept before anything is sent.
    pub(super) fn reserved(&mut self, node: &Node) -> Option<u32> {
        if let Some(integrity) = node.integrity() {
            self.numbers.used(integrity.received);
        }
        self.numbers.reserved().map(|number| number.0)
    }
}
