//! How client-types and the connection end (RFC 2748 3.8, 4.7).

use super::{PepEvent, PepSession, Timer};
use crate::{
    message::{ClientClose, Message},
    session::{fault::CloseCause, time::Moment},
    wire::{ClientType, CopsError, ErrorCode},
};

/// What is said at the end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Farewell {
    /// Nothing: it has been said, or cannot be.
    Nothing,
    /// One CC for client-type 0: the connection itself was at fault.
    Connection(CopsError),
    /// A CC for each client-type.
    EachClient(CopsError),
}

impl Farewell {
    /// RFC 2748 2.3: "SHOULD explicitly send a Client-Close message for each opened client-type".
    pub(super) const COMMUNICATION_FAILURE: Self =
        Self::EachClient(CopsError::new(ErrorCode::COMMUNICATION_FAILURE));
}

impl PepSession {
    /// Ends one client-type, with a CC if `error` is given. The connection ends with the last (RFC 2748 3.8 names nobody to
    /// close it; the side that opened it does).
    pub(super) fn close_client(
        &mut self,
        now: Moment,
        client_type: ClientType,
        cause: CloseCause,
        error: Option<CopsError>,
    ) {
        if let Some(error) = error {
            // No farewell: a peer can have it said as often as it likes, so there is no more room for it than for any
            // other answer.
            self.answer(&client_close(client_type, error));
        }
        if !self.remove_client(client_type, cause) {
            return;
        }
        if self.clients.is_empty() {
            self.close_connection(CloseCause::NoClientOpen, Farewell::Nothing);
        } else {
            self.retime(now);
        }
    }

    /// Ends everything.
    pub(super) fn close_connection(&mut self, cause: CloseCause, farewell: Farewell) {
        if self.link.closed {
            return;
        }
        // The client-types were not asked for yet, whatever waited to be sent: the PDP only knows of the connection.
        let farewell = match farewell {
            Farewell::EachClient(error) if self.link.give_up_negotiation() => Farewell::Connection(error),
            farewell => {
                self.link.give_up_negotiation();
                farewell
            }
        };
        if let Farewell::Connection(error) = farewell {
            self.send_farewell(ClientType::CONNECTION, error);
        }
        while let Some(client_type) = self.clients.keys().next().copied() {
            if let Farewell::EachClient(error) = farewell {
                self.send_farewell(client_type, error);
            }
            self.remove_client(client_type, cause.clone());
        }
        self.timers.clear_all();
        self.link.closed = true;
        self.link.emit(PepEvent::Closed { cause });
    }

    /// Sends a CC at the end of the connection.
    fn send_farewell(&mut self, client_type: ClientType, error: CopsError) {
        self.link.queue_farewell(&client_close(client_type, error));
    }

    fn remove_client(&mut self, client_type: ClientType, cause: CloseCause) -> bool {
        let Some(client) = self.clients.remove(&client_type) else {
            return false;
        };
        self.timers.clear(&Timer::Open(client_type));
        for handle in client.states.keys() {
            self.clear_state_timers(client_type, handle);
        }
        let end = client.end(client_type, cause);
        self.link.emit(PepEvent::ClientClosed(end));
        true
    }
}

fn client_close(client_type: ClientType, error: CopsError) -> Message {
    ClientClose {
        client_type,
        error,
        pdp_redirect_address: None,
        integrity: None,
    }
    .into()
}
