//! How client-types and the connection end (RFC 2748 2.3, 3.8, 4.7).

use super::{Done, PdpEvent, PdpSession, Timer};
use crate::{
    message::{ClientClose, Message},
    session::{
        command::CommandError,
        fault::{CloseCause, PeerFault},
    },
    wire::{ClientType, CopsError, ErrorCode, PdpAddress},
};

/// What is said at the end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Farewell {
    /// Nothing: it has been said, or cannot be.
    Nothing,
    /// One CC for client-type 0: the connection itself was at fault.
    Connection(CopsError),
    /// A CC for each client-type, perhaps with another PDP.
    EachClient(CopsError, Option<PdpAddress>),
}

impl PdpSession {
    /// Ends one client-type, with a CC if one is given. RFC 2748 3.8 names nobody to close the connection after the last;
    /// the PEP should, and has a grace period for it.
    pub(super) fn close_client(
        &mut self,
        client_type: ClientType,
        cause: CloseCause,
        close: Option<(CopsError, Option<PdpAddress>)>,
    ) {
        if let Some((error, redirect)) = close {
            // No farewell: a peer can have it said as often as it likes, so there is no more room for it than for any
            // other answer.
            self.answer(&client_close(client_type, error, redirect));
        }
        if self.remove_client(client_type, cause) {
            self.retime();
            self.await_open();
        }
    }

    pub(super) fn command_close(
        &mut self,
        client_type: ClientType,
        cause: CloseCause,
        close: (CopsError, Option<PdpAddress>),
    ) -> Result<Done, CommandError> {
        if !self.clients.contains_key(&client_type) {
            return Err(CommandError::ClientNotOpen(client_type));
        }
        self.close_client(client_type, cause, Some(close));
        Ok(Done::Plain)
    }

    /// Without a client-type the connection has a grace period. Openings that are refused do not lengthen it.
    pub(super) fn await_open(&mut self) {
        if !self.link.closed && self.clients.is_empty() && !self.timers.is_set(&Timer::Idle) {
            let deadline = self.now.after(self.config.idle_timeout);
            self.timers.set(Timer::Idle, deadline);
        }
    }

    /// Ends everything.
    pub(super) fn close_connection(&mut self, cause: CloseCause, farewell: Farewell) {
        if self.link.closed {
            return;
        }
        if let Farewell::Connection(error) = farewell {
            self.send_farewell(ClientType::CONNECTION, error, None);
        }
        while let Some(client_type) = self.clients.keys().next().copied() {
            if let Farewell::EachClient(error, redirect) = farewell {
                self.send_farewell(client_type, error, redirect);
            }
            self.remove_client(client_type, cause.clone());
        }
        self.timers.clear_all();
        self.link.closed = true;
        self.link.emit(PdpEvent::Closed { cause });
    }

    /// Sends a CC at the end of the connection.
    fn send_farewell(&mut self, client_type: ClientType, error: CopsError, redirect: Option<PdpAddress>) {
        self.link
            .queue_farewell(&client_close(client_type, error, redirect));
    }

    fn remove_client(&mut self, client_type: ClientType, cause: CloseCause) -> bool {
        let Some(client) = self.clients.remove(&client_type) else {
            return false;
        };
        for scope in client.synchronizations.scopes() {
            self.timers.clear(&Timer::Synchronize(client_type, scope.clone()));
        }
        for handle in client.states.keys() {
            self.timers.clear(&Timer::Report(client_type, handle.clone()));
        }
        let accepted = client.is_open();
        let mut held = false;
        if accepted
            && outlives(&cause)
            && let Some(pep_id) = &self.pep_id
        {
            held = true;
            let state = client.into_held(pep_id.clone(), client_type, self.now);
            self.held.push(state);
        }
        self.link.emit(PdpEvent::ClientClosed {
            client_type,
            cause,
            accepted,
            held,
        });
        true
    }
}

pub(super) fn client_close(
    client_type: ClientType,
    error: CopsError,
    pdp_redirect_address: Option<PdpAddress>,
) -> Message {
    ClientClose {
        client_type,
        error,
        pdp_redirect_address,
        integrity: None,
    }
    .into()
}

/// Whether the state of a client-type is held. RFC 2748 4.7 has CC undo OPN, and the state with it; but a loss of the
/// connection is what state is held for (2.5), and the CC with error 9 that a PEP sends then says no more than that (2.3).
fn outlives(cause: &CloseCause) -> bool {
    match cause {
        CloseCause::Peer { error, .. } => error.code == ErrorCode::COMMUNICATION_FAILURE,
        CloseCause::Disconnected
        | CloseCause::Silence { .. }
        | CloseCause::TransmitFull { .. }
        | CloseCause::NoKey
        | CloseCause::Superseded => true,
        // Octets that are not the PEP's must not cost it its state: whoever can put them into the connection can end it.
        CloseCause::Fault(PeerFault::Integrity(_)) => true,
        CloseCause::Fault(_)
        | CloseCause::Command(_)
        | CloseCause::OpenTimeout { .. }
        | CloseCause::NoClientOpen
        // What the PEP made of the decisions is not known.
        | CloseCause::ReportTimeout { .. }
        | CloseCause::Unanswerable(_) => false,
    }
}
