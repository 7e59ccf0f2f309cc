//! Message Integrity of all connections (RFC 2748 4.1): their keys, and the numbers that they begin with.

use std::sync::Arc;

use cops_codec::integrity::{KeyTable, StartNumbers};
use cops_codec::session::{Calendar, IntegrityStatus, PdpIntegrity, PdpSession};
use cops_codec::wire::{KaTimer, SequenceNumber};

use super::{ConnectionId, Host, Modules, Now};

/// Message Integrity as a PDP offers it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Integrity {
    /// PEPs without it are turned away.
    pub required: bool,
    /// The keys of each PEP.
    pub keys: Arc<KeyTable>,
    /// What the calendar says: key lifetimes are told by it.
    pub calendar: Calendar,
    /// Gives the numbers from which PEPs count up.
    pub numbers: StartNumbers,
    /// The KA Timer of a connection before it has opened a client-type.
    pub ka_timer: KaTimer,
}

impl Integrity {
    /// For the session of a new connection.
    pub(super) fn of_connection(&mut self, now: Now) -> PdpIntegrity {
        let moment = cops_codec::session::Moment(now.real_millis);
        PdpIntegrity {
            required: self.required,
            keys: Arc::clone(&self.keys),
            initial_number: self.numbers.next_start(self.calendar.at(moment)),
            calendar: self.calendar,
            ka_timer: self.ka_timer,
        }
    }
}

impl Host {
    /// Offers message Integrity to the connections that come.
    pub fn offer_integrity(&mut self, integrity: Integrity) {
        self.integrity = Some(integrity);
    }

    /// Takes other keys, on all connections, those that there are among them: `keys` may hold new ones and leave old ones
    /// out. `calendar` also puts right a clock that was set. Without Integrity nothing is done.
    pub fn set_keys(
        &mut self,
        modules: &mut dyn Modules,
        now: Now,
        keys: &Arc<KeyTable>,
        calendar: Calendar,
    ) {
        self.sessions.now = now;
        let moment = self.sessions.moment();
        let Some(integrity) = &mut self.integrity else {
            return;
        };
        integrity.keys = Arc::clone(keys);
        integrity.calendar = calendar;
        for (id, connection) in &mut self.sessions.connections {
            connection.session.set_keys(moment, Arc::clone(keys), calendar);
            self.sessions.touched.insert(*id);
        }
        self.settle(modules);
    }

    /// The number that has to be kept so that no number is used twice, also after a restart; `None` without Integrity, or
    /// before the first connection. It has to be on disk before frames are sent.
    #[must_use]
    pub fn reserved_number(&self) -> Option<SequenceNumber> {
        self.integrity
            .as_ref()
            .and_then(|integrity| integrity.numbers.reserved())
    }

    /// How a connection is protected by message Integrity, if it is.
    #[must_use]
    pub fn integrity(&self, id: ConnectionId) -> Option<IntegrityStatus> {
        self.sessions.session(id).and_then(PdpSession::integrity)
    }

    /// Notes which number a connection has come to.
    pub(super) fn note_number(&mut self, id: ConnectionId) {
        if let Some(status) = self.integrity(id)
            && let Some(integrity) = &mut self.integrity
        {
            integrity.numbers.used(status.received);
        }
    }
}
