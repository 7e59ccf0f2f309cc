//! What came from the PEP, and what is answered to it.

use super::{
    PdpEvent, PdpSession, Timer,
    client::{Answer as Ready, Client, State},
    close::{Farewell, client_close},
    send::decision,
};
use crate::{
    error::{Answer, DecodeError},
    framing::Frame,
    message::{
        ClientClose, ClientOpen, DecisionBody, DeleteRequestState, KeepAlive, Message, ReportState, Request,
        SynchronizeStateComplete,
    },
    session::{
        command::RequestId,
        fault::{CloseCause, PeerFault},
        tls,
    },
    wire::{ClientHandle, ClientType, CopsError, ErrorCode, OpCode, Role},
};

impl PdpSession {
    pub(super) fn receive(&mut self, message: Message, frame: &Frame) {
        if let Some((fault, answer)) = tls::refuse_object(&message) {
            return self.answer_fault(fault, answer);
        }
        match message {
            Message::ClientOpen(message) if message.client_type == ClientType::CONNECTION => {
                self.receive_security(message, frame);
            }
            Message::ClientOpen(message) => self.receive_open(message),
            Message::Request(message) => self.receive_request(message),
            Message::ReportState(message) => self.receive_report(message),
            Message::DeleteRequestState(message) => self.receive_delete(message),
            Message::SynchronizeStateComplete(message) => self.receive_complete(&message),
            Message::ClientClose(message) => self.receive_close(&message),
            // RFC 2748 3.9: "it MUST echo a keep-alive back to the PEP".
            Message::KeepAlive(_) => self.answer(&KeepAlive { integrity: None }.into()),
            Message::Decision(_) | Message::SynchronizeStateRequest(_) | Message::ClientAccept(_) => {
                let (op_code, client_type) = (message.op_code(), message.client_type());
                let fault = PeerFault::WrongDirection { op_code, client_type };
                self.answer_fault(fault, Answer::wrong_direction(client_type));
            }
        }
    }

    pub(super) fn receive_malformed(&mut self, error: DecodeError) {
        let answer = error.answer(Role::Pdp);
        self.answer_fault(error.into(), answer);
    }

    fn answer_fault(&mut self, fault: PeerFault, answer: Answer) {
        match answer {
            Answer::ErrorDecision {
                client_type,
                handle,
                error,
            } => {
                if self.is_open(client_type) {
                    self.refuse_request(client_type, handle, error, fault);
                } else {
                    self.refuse_client(client_type, OpCode::REQUEST);
                }
            }
            Answer::CloseClient { client_type, error } => {
                self.close_client(client_type, CloseCause::Fault(fault), Some((error, None)));
            }
            Answer::CloseConnection { error } => {
                self.close_connection(CloseCause::Fault(fault), Farewell::Connection(error));
            }
            // Only a DEC is answered so, and a DEC that comes here has the wrong direction.
            Answer::DeleteRequestState { client_type, .. } => {
                let error = CopsError::new(ErrorCode::BAD_MESSAGE_FORMAT);
                self.close_client(client_type, CloseCause::Fault(fault), Some((error, None)));
            }
        }
    }

    /// A message for a client-type that is not open, or before its CAT. RFC 2748 has no answer to it; error 6 is what an
    /// OPN for it would get.
    fn refuse_client(&mut self, client_type: ClientType, op_code: OpCode) {
        self.link.counters.client_not_open += 1;
        let fault = PeerFault::ClientNotOpen { op_code, client_type };
        let error = CopsError::new(ErrorCode::UNSUPPORTED_CLIENT_TYPE);
        self.answer_fault(fault, Answer::close(client_type, error));
    }

    /// Answers an OPN with CC, without asking the program.
    fn refuse_open(&mut self, client_type: ClientType, error: ErrorCode, fault: PeerFault) {
        let cause = CloseCause::Fault(fault);
        let error = CopsError::new(error);
        if self.clients.contains_key(&client_type) {
            self.close_client(client_type, cause, Some((error, None)));
        } else {
            self.answer(&client_close(client_type, error, None));
            self.link.emit_unless_closed(PdpEvent::ClientClosed {
                client_type,
                cause,
                accepted: false,
                held: false,
            });
            self.await_open();
        }
    }

    fn receive_open(&mut self, message: ClientOpen) {
        let client_type = message.client_type;
        self.timers.clear(&Timer::FirstOpen);
        let limits = self.link.limits;
        let served = &self.config.client_types;
        if !served.is_empty() && !served.contains(&client_type) {
            // RFC 2748 4.3: "a Client-Close specifying the client-type is not supported".
            let fault = PeerFault::UnsupportedClientType(client_type);
            return self.refuse_open(client_type, ErrorCode::UNSUPPORTED_CLIENT_TYPE, fault);
        }
        if let Some(expected) = &self.pep_id
            && *expected != message.pep_id
        {
            let fault = PeerFault::PepIdChanged {
                expected: expected.clone(),
                found: message.pep_id,
            };
            return self.refuse_open(client_type, ErrorCode::UNSPECIFIED, fault);
        }
        if !self.clients.contains_key(&client_type) && self.clients.len() >= limits.max_client_types {
            let fault = PeerFault::OverLimit {
                what: "client-types",
                limit: limits.max_client_types,
            };
            return self.refuse_open(client_type, ErrorCode::UNSUPPORTED_CLIENT_TYPE, fault);
        }
        let client = self
            .clients
            .entry(client_type)
            .or_insert_with(|| Box::new(Client::new()));
        if client.pending_opens.len() >= limits.max_pending_opens {
            let fault = PeerFault::OverLimit {
                what: "pending OPNs",
                limit: limits.max_pending_opens,
            };
            return self.refuse_open(client_type, ErrorCode::UNSPECIFIED, fault);
        }
        client.pending_opens.push_back(message.last_pdp_address);
        let again = client.is_open();
        self.timers.clear(&Timer::Idle);
        self.pep_id = Some(message.pep_id.clone());
        self.link.emit(PdpEvent::OpenRequested {
            client_type,
            pep_id: message.pep_id,
            client_si: message.client_si,
            last_pdp_address: message.last_pdp_address,
            last_pdp_is_this: message
                .last_pdp_address
                .is_some_and(|address| self.config.addresses.contains(&address)),
            again,
        });
    }

    fn receive_request(&mut self, message: Request) {
        let client_type = message.client_type;
        let limits = self.link.limits;
        let id = self.next_id();
        let Some(client) = self
            .clients
            .get_mut(&client_type)
            .filter(|client| client.is_open())
        else {
            return self.refuse_client(client_type, OpCode::REQUEST);
        };
        if message.handle.is_empty() {
            let error = CopsError::new(ErrorCode::BAD_HANDLE);
            return self.refuse_request(client_type, message.handle, error, PeerFault::EmptyHandle);
        }
        let over = match client.states.get(&message.handle) {
            Some(state) if state.undecided.len() >= limits.max_open_requests => {
                return self.close_overrun(client_type);
            }
            Some(state) if state.unreported.len() >= limits.max_unreported_decisions => {
                Some(("decisions without a report", limits.max_unreported_decisions))
            }
            None if client.states.len() >= limits.max_handles => Some(("handles", limits.max_handles)),
            _ => None,
        };
        if let Some((what, limit)) = over {
            let error = CopsError::new(ErrorCode::UNABLE_TO_PROCESS);
            let fault = PeerFault::OverLimit { what, limit };
            return self.refuse_request(client_type, message.handle, error, fault);
        }
        client.synchronizations.seen(&message.handle);
        // The table lives longer than the message that the handle is a slice of.
        let state = client
            .states
            .entry(message.handle.detached())
            .or_insert_with(|| Box::new(State::new(message.context)));
        state.undecided.open(id, message.context);
        let update = state.installed;
        self.link.emit(PdpEvent::Request {
            request: RequestId(id),
            update,
            message,
        });
    }

    /// Answers a REQ with an Error object, when its turn comes (RFC 2748 3.1, 3.2).
    fn refuse_request(
        &mut self,
        client_type: ClientType,
        handle: ClientHandle,
        error: CopsError,
        fault: PeerFault,
    ) {
        let id = self.next_id();
        let max_open = self.link.limits.max_open_requests;
        let message = decision(client_type, true, handle.clone(), DecisionBody::Error(error));
        let Some(client) = self.clients.get_mut(&client_type) else {
            return;
        };
        client.synchronizations.seen(&handle);
        match client.states.get_mut(&handle) {
            Some(state) if state.undecided.len() >= max_open => return self.close_overrun(client_type),
            Some(state) if !state.undecided.is_empty() => {
                let frame = match self.link.encode(&message) {
                    Ok(frame) => frame,
                    Err(error) => {
                        return self.close_connection(error.into(), Farewell::Nothing);
                    }
                };
                let answer = Ready {
                    frame,
                    installs: None,
                    report: None,
                };
                state.undecided.open(id, state.context);
                state.undecided.answer(id, answer);
            }
            _ => self.answer(&message),
        }
        self.link.emit_unless_closed(PdpEvent::RequestRefused {
            client_type,
            handle,
            fault,
            error,
        });
    }

    /// Too many REQs wait, and their decisions have to go in order, so none can be refused: the client-type is.
    fn close_overrun(&mut self, client_type: ClientType) {
        let fault = PeerFault::OverLimit {
            what: "open REQs of a handle",
            limit: self.link.limits.max_open_requests,
        };
        let error = CopsError::new(ErrorCode::UNSPECIFIED);
        self.close_client(client_type, CloseCause::Fault(fault), Some((error, None)));
    }

    fn receive_report(&mut self, message: ReportState) {
        let client_type = message.client_type;
        let Some(client) = self
            .clients
            .get_mut(&client_type)
            .filter(|client| client.is_open())
        else {
            return self.refuse_client(client_type, OpCode::REPORT_STATE);
        };
        let Some(state) = client.states.get_mut(&message.handle) else {
            self.link.counters.unknown_handle += 1;
            return;
        };
        let decision = if message.solicited {
            // RFC 2748 3.3: in the order of the decisions.
            let decision = state.unreported.pop_front();
            if decision.is_none() {
                // Some report on a DEC with an Error object; RFC 3084 3.2 can be read so.
                self.link.counters.unasked += 1;
                return;
            }
            self.await_report(client_type, &message.handle, true);
            decision
        } else {
            None
        };
        self.link.emit(PdpEvent::Report {
            client_type,
            handle: message.handle,
            decision,
            report_type: message.report_type,
            client_si: message.client_si,
        });
    }

    fn receive_delete(&mut self, message: DeleteRequestState) {
        let client_type = message.client_type;
        let Some(client) = self
            .clients
            .get_mut(&client_type)
            .filter(|client| client.is_open())
        else {
            return self.refuse_client(client_type, OpCode::DELETE_REQUEST_STATE);
        };
        let handle = message.handle;
        client.synchronizations.seen(&handle);
        if client.states.remove(&handle).is_some() {
            self.timers.clear(&Timer::Report(client_type, handle.clone()));
            self.link.emit(PdpEvent::StateDeleted {
                client_type,
                handle: handle.clone(),
                reason: message.reason,
            });
        } else {
            self.link.counters.unknown_handle += 1;
        }
        // It also ends a synchronisation of this one state: the RFC does not say whether SSC is due after it.
        let scope = Some(handle);
        if self.is_synchronizing_scope(client_type, &scope) {
            self.end_synchronization(client_type, scope);
        }
    }

    fn receive_complete(&mut self, message: &SynchronizeStateComplete) {
        let client_type = message.client_type;
        if !self.is_open(client_type) {
            return self.refuse_client(client_type, OpCode::SYNCHRONIZE_STATE_COMPLETE);
        }
        if self.is_synchronizing_scope(client_type, &message.handle) {
            self.end_synchronization(client_type, message.handle.clone());
        } else {
            self.link.counters.unasked += 1;
        }
    }

    fn end_synchronization(&mut self, client_type: ClientType, scope: Option<ClientHandle>) {
        let Some(client) = self.clients.get_mut(&client_type) else {
            return;
        };
        let Some(dropped) = client.synchronizations.end(&scope) else {
            return;
        };
        for handle in &dropped {
            client.states.remove(handle);
            client.synchronizations.seen(handle);
            self.timers.clear(&Timer::Report(client_type, handle.clone()));
        }
        self.timers.clear(&Timer::Synchronize(client_type, scope.clone()));
        self.link.emit(PdpEvent::Synchronized {
            client_type,
            handle: scope,
            dropped: dropped.into_iter().collect(),
        });
    }

    fn receive_close(&mut self, message: &ClientClose) {
        let cause = CloseCause::Peer {
            error: message.error,
            redirect: message.pdp_redirect_address,
        };
        // RFC 2748 3.8: there is no answer to CC, also where the client-type is closed here already.
        if message.client_type == ClientType::CONNECTION {
            self.close_connection(cause, Farewell::Nothing);
        } else {
            self.close_client(message.client_type, cause, None);
        }
    }
}
