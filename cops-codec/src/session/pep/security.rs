//! Message security at the PEP (RFC 2748 4.1).

use std::sync::Arc;

use super::{PepSession, Timer, close::Farewell};
use crate::{
    integrity::{IntegrityFault, KeyRing},
    message::{ClientAccept, ClientOpen},
    session::{
        fault::CloseCause,
        guard::{Calendar, IntegrityStatus},
        time::Moment,
    },
    wire::ClientType,
};

impl PepSession {
    /// Takes other keys, for this connection too: what is received is checked with them, what is sent is signed with them,
    /// from now on. `calendar` also puts right a clock that was set.
    ///
    /// A connection whose last key is gone ends.
    pub fn set_keys(&mut self, now: Moment, keys: Arc<KeyRing>, calendar: Calendar) {
        if self.config.integrity.is_some() && !self.link.closed {
            self.link.guard.set_keys(keys, calendar);
            self.set_now(now);
        }
    }

    /// How this connection is protected by message Integrity, if it is.
    #[must_use]
    pub const fn integrity(&self) -> Option<IntegrityStatus> {
        self.link.guard.status()
    }

    /// Sends OPN for client-type 0, "before opening any other Client-Type" (RFC 2748 4.1), if Integrity is wanted.
    pub(super) fn negotiate_integrity(&mut self, now: Moment) {
        let Some(integrity) = self.config.integrity.clone() else {
            return;
        };
        let limits = *self.link.wire_limits();
        self.link.guard.set_now(now);
        self.link.guard.set_keys(integrity.keys, integrity.calendar);
        let open = ClientOpen {
            client_type: ClientType::CONNECTION,
            pep_id: self.config.pep_id.clone(),
            client_si: None,
            last_pdp_address: None,
            integrity: None,
        };
        let signed = self
            .link
            .encode(&open.into())
            .and_then(|open| self.link.guard.begin(&open, integrity.initial_number, &limits));
        match signed {
            Ok(Some(signed)) => {
                self.link.queue_signed(signed);
                let deadline = now.after(self.config.open_timeout);
                self.timers.set(Timer::Open(ClientType::CONNECTION), deadline);
            }
            Ok(None) => self.close_connection(CloseCause::NoKey, Farewell::Nothing),
            Err(error) => self.close_connection(error.into(), Farewell::Nothing),
        }
    }

    /// Whether the CAT for client-type 0 is due.
    pub(super) fn awaits_security(&self) -> bool {
        self.timers.is_set(&Timer::Open(ClientType::CONNECTION))
    }

    /// CAT for client-type 0: what waited for it may go.
    pub(super) fn accept_security(&mut self, now: Moment, message: &ClientAccept) {
        self.timers.clear(&Timer::Open(ClientType::CONNECTION));
        self.connection_timer = Some(message.ka_timer);
        self.retime(now);
    }

    /// Notes the time of an input, and ends a connection that has no key any more.
    pub(super) fn set_now(&mut self, now: Moment) {
        self.link.guard.set_now(now);
        if self.link.guard.signs() && !self.link.guard.has_key() {
            self.close_connection(CloseCause::NoKey, Farewell::Nothing);
        }
    }

    /// RFC 2748 4.1: "the PEP MUST send to the PDP a Client-Close message with a Client-Type=0 specifying the appropriate
    /// error code", in the negotiation as after it.
    pub(super) fn refuse_unauthentic(&mut self, fault: IntegrityFault) {
        let error = fault.error();
        self.close_connection(CloseCause::Fault(fault.into()), Farewell::Connection(error));
    }
}
