//! Message security at the PDP (RFC 2748 4.1).

use std::sync::Arc;

use super::{PdpSession, close::Farewell};
use crate::{
    framing::Frame,
    integrity::{IntegrityFault, KeyTable},
    message::{ClientAccept, ClientOpen},
    session::{
        fault::{CloseCause, PeerFault},
        guard::{Calendar, IntegrityStatus, PdpIntegrity},
        time::Moment,
    },
    wire::{CNum, CopsError, ErrorCode, Integrity, ObjectId},
};

impl PdpSession {
    /// Takes other keys, for this connection too: what is received is checked with them, what is sent is signed with them,
    /// from now on. `calendar` also puts right a clock that was set.
    ///
    /// A connection whose last key is gone ends.
    pub fn set_keys(&mut self, now: Moment, keys: Arc<KeyTable>, calendar: Calendar) {
        let Some(integrity) = &mut self.config.integrity else {
            return;
        };
        integrity.keys = keys;
        integrity.calendar = calendar;
        if let Some(pep_id) = &self.pep_id {
            self.link.guard.set_keys(integrity.keys.ring(pep_id), calendar);
        }
        self.set_now(now);
    }

    /// How this connection is protected by message Integrity, if it is.
    #[must_use]
    pub const fn integrity(&self) -> Option<IntegrityStatus> {
        self.link.guard.status()
    }

    /// Notes the time of an input, and ends a connection that has no key any more.
    pub(super) fn set_now(&mut self, now: Moment) {
        self.now = now;
        self.link.guard.set_now(now);
        if self.link.guard.signs() && !self.link.guard.has_key() {
            self.close_connection(CloseCause::NoKey, Farewell::Nothing);
        }
    }

    /// RFC 2748 4.1: "a Client-Close message MUST be generated for the Client-Type zero [...] specifying the appropriate
    /// error code. The connection should then be dropped."
    pub(super) fn refuse_unauthentic(&mut self, fault: IntegrityFault) {
        let error = fault.error();
        self.close_connection(CloseCause::Fault(fault.into()), Farewell::Connection(error));
    }

    fn refuse_security(&mut self, fault: PeerFault, error: CopsError) {
        self.close_connection(CloseCause::Fault(fault), Farewell::Connection(error));
    }

    /// OPN for client-type 0.
    pub(super) fn receive_security(&mut self, message: ClientOpen, frame: &Frame) {
        if self.accepted || !self.clients.is_empty() || self.link.guard.status().is_some() {
            // RFC 2748 4.1 wants a CC and leaves the code open.
            let error = CopsError::new(ErrorCode::UNSPECIFIED);
            return self.refuse_security(PeerFault::LateSecurityNegotiation, error);
        }
        let Some(integrity) = self.config.integrity.clone() else {
            // RFC 4261 4.2: a PDP without COPS security names Integrity and no C-Type of it.
            const NO_INTEGRITY: ObjectId = ObjectId::new(CNum::INTEGRITY, 0);
            let error = CopsError {
                code: ErrorCode::AUTHENTICATION_REQUIRED,
                sub_code: NO_INTEGRITY.as_sub_code(),
            };
            return self.refuse_security(PeerFault::SecurityNotOffered, error);
        };
        match message.integrity {
            Some(Integrity::Hmac { .. }) => self.negotiate_integrity(message, frame, &integrity),
            // RFC 4261 4.2: the one that is wanted here is named.
            Some(Integrity::Tls { .. }) | None => self.refuse_unauthentic(IntegrityFault::Missing),
        }
    }

    fn negotiate_integrity(&mut self, message: ClientOpen, frame: &Frame, integrity: &PdpIntegrity) {
        let ring = integrity.keys.ring(&message.pep_id);
        self.link.guard.set_keys(ring, integrity.calendar);
        let open = match self.link.guard.check_open(frame) {
            Ok(open) => open,
            Err(fault) => return self.refuse_unauthentic(fault),
        };
        let limits = *self.link.wire_limits();
        let accept = ClientAccept {
            client_type: message.client_type,
            ka_timer: integrity.ka_timer,
            accounting_timer: None,
            integrity: None,
        };
        let signed = self.link.encode(&accept.into()).and_then(|accept| {
            self.link
                .guard
                .accept(&accept, open, integrity.initial_number, &limits)
        });
        match signed {
            Ok(Some(signed)) => self.link.queue_signed(signed),
            // The key that the OPN came with may be received and not sent with any more, and another one is not there.
            Ok(None) => return self.close_connection(CloseCause::NoKey, Farewell::Nothing),
            Err(error) => return self.close_connection(error.into(), Farewell::Nothing),
        }
        // The time for a first OPN goes on: a connection is not wanted for its security alone.
        self.pep_id = Some(message.pep_id);
        self.connection_timer = Some(integrity.ka_timer);
        self.retime();
    }
}
