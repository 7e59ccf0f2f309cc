//! What came from the PDP, and what is answered to it.

use super::{PepEvent, PepSession, Timer, client::Phase, close::Farewell};
use crate::{
    error::{Answer, DecodeError},
    message::{
        ClientAccept, ClientClose, Decision, DecisionBody, DecisionMessage, Message,
        SynchronizeStateComplete, SynchronizeStateRequest,
    },
    session::{
        command::is_within,
        fault::{CloseCause, PeerFault},
        time::Moment,
        tls,
    },
    wire::{
        ClientHandle, ClientType, CommandCode, Context, CopsError, ErrorCode, OpCode, Reason, ReasonCode,
        Role,
    },
};

impl PepSession {
    pub(super) fn receive(&mut self, now: Moment, message: Message) {
        if let Some((fault, answer)) = tls::refuse_object(&message) {
            return self.answer_fault(now, fault, answer);
        }
        match message {
            Message::Decision(message) => self.receive_decision(now, message),
            Message::SynchronizeStateRequest(message) => self.receive_synchronize(now, message),
            Message::ClientAccept(message) => self.receive_accept(now, &message),
            Message::ClientClose(message) => self.receive_close(now, &message),
            // A sign of life, and that has been noted. A PEP that echoed would loop with a PDP that echoes (RFC 2748 3.9).
            Message::KeepAlive(_) => {}
            Message::Request(_)
            | Message::ReportState(_)
            | Message::DeleteRequestState(_)
            | Message::ClientOpen(_)
            | Message::SynchronizeStateComplete(_) => {
                let (op_code, client_type) = (message.op_code(), message.client_type());
                let fault = PeerFault::WrongDirection { op_code, client_type };
                self.answer_fault(now, fault, Answer::wrong_direction(client_type));
            }
        }
    }

    pub(super) fn receive_malformed(&mut self, now: Moment, error: DecodeError) {
        let answer = error.answer(Role::Pep);
        self.answer_fault(now, error.into(), answer);
    }

    fn answer_fault(&mut self, now: Moment, fault: PeerFault, answer: Answer) {
        match answer {
            Answer::DeleteRequestState {
                client_type,
                handle,
                reason,
            } => {
                if self.is_open(client_type) {
                    self.refuse_decision(client_type, &handle, reason, fault);
                } else {
                    self.refuse_client(now, client_type, OpCode::DECISION);
                }
            }
            Answer::CloseClient { client_type, error } => {
                let cause = CloseCause::Fault(fault);
                self.close_client(now, client_type, cause, Some(error));
            }
            Answer::CloseConnection { error } => {
                self.close_connection(CloseCause::Fault(fault), Farewell::Connection(error));
            }
            // Only a REQ is answered so, and a REQ that comes here has the wrong direction.
            Answer::ErrorDecision {
                client_type, error, ..
            } => {
                self.close_client(now, client_type, CloseCause::Fault(fault), Some(error));
            }
        }
    }

    /// A message for a client-type that is not open, or before its CAT. RFC 2748 has no answer to it; error 6 is what the
    /// other side would say to an OPN.
    fn refuse_client(&mut self, now: Moment, client_type: ClientType, op_code: OpCode) {
        self.link.counters.client_not_open += 1;
        let fault = PeerFault::ClientNotOpen { op_code, client_type };
        let error = CopsError::new(ErrorCode::UNSUPPORTED_CLIENT_TYPE);
        self.answer_fault(now, fault, Answer::close(client_type, error));
    }

    fn receive_accept(&mut self, now: Moment, message: &ClientAccept) {
        let client_type = message.client_type;
        if client_type == ClientType::CONNECTION && self.awaits_security() {
            return self.accept_security(now, message);
        }
        let Some(client) = self.clients.get_mut(&client_type) else {
            return self.refuse_client(now, client_type, OpCode::CLIENT_ACCEPT);
        };
        let again = client.is_open();
        client.phase = Phase::Open {
            ka_timer: message.ka_timer,
            accounting_timer: message.accounting_timer,
        };
        client.pending_opens = client.pending_opens.saturating_sub(1);
        let answered = client.pending_opens == 0;
        let handles: Vec<ClientHandle> = client.states.keys().cloned().collect();
        if answered {
            self.timers.clear(&Timer::Open(client_type));
        }
        self.retime(now);
        // The new Accounting Timer replaces the old one.
        for handle in handles {
            self.schedule_accounting(now, client_type, &handle);
        }
        self.link.emit(PepEvent::ClientAccepted {
            client_type,
            ka_timer: message.ka_timer,
            accounting_timer: message.accounting_timer,
            again,
        });
    }

    fn receive_close(&mut self, now: Moment, message: &ClientClose) {
        let cause = CloseCause::Peer {
            error: message.error,
            redirect: message.pdp_redirect_address,
        };
        // RFC 2748 3.8: there is no answer to CC, also where the client-type is closed here already.
        if message.client_type == ClientType::CONNECTION {
            self.close_connection(cause, Farewell::Nothing);
        } else {
            self.close_client(now, message.client_type, cause, None);
        }
    }

    fn receive_decision(&mut self, now: Moment, message: DecisionMessage) {
        let client_type = message.client_type;
        if !self.is_open(client_type) {
            return self.refuse_client(now, client_type, OpCode::DECISION);
        }
        let max_unreported = self.link.limits.max_unreported_decisions;
        let id = self.next_decision_id();
        let Some(client) = self.clients.get_mut(&client_type) else {
            return;
        };
        let handle = message.handle;
        let Some(state) = client.states.get_mut(&handle) else {
            // RFC 2748 3.4: the PDP sent it before it saw our DRQ.
            self.link.counters.unknown_handle += 1;
            return;
        };
        // Its decisions bind also if nothing was asked (RFC 2748 4.4), so a wrong flag is no reason to refuse it.
        let answered = state.open_request.filter(|_| message.solicited);
        let solicited = answered.is_some();
        if message.solicited && !solicited {
            self.link.counters.unasked += 1;
        }
        let requested = answered.map_or(state.context, |request| request.context);
        let checked = match &message.body {
            DecisionBody::Decisions(decisions) => check_decisions(decisions, requested).and_then(|()| {
                if state.unreported.len() < max_unreported {
                    Ok(())
                } else {
                    Err((
                        Reason::new(ReasonCode::INSUFFICIENT_RESOURCES),
                        PeerFault::OverLimit {
                            what: "decisions without a report",
                            limit: max_unreported,
                        },
                    ))
                }
            }),
            DecisionBody::Error(_) => Ok(()),
        };
        if let Err((reason, fault)) = checked {
            return self.refuse_decision(client_type, &handle, reason, fault);
        }
        let mut ready = false;
        if solicited {
            state.open_request = None;
            ready = core::mem::take(&mut state.wanted);
            self.timers.clear(&Timer::Request(client_type, handle.clone()));
        }
        let (event, report) = match message.body {
            DecisionBody::Decisions(decisions) => {
                state.installed |= solicited;
                state.context = requested;
                let due = client
                    .reports
                    .applies_to(decisions.iter().map(|decision| decision.context));
                let report = due.then(|| {
                    state.unreported.open(id.0, ());
                    id
                });
                let event = PepEvent::Decision {
                    client_type,
                    handle: handle.clone(),
                    solicited,
                    decisions,
                    report,
                };
                (event, report)
            }
            DecisionBody::Error(error) => {
                let event = PepEvent::RequestRefused {
                    client_type,
                    handle: handle.clone(),
                    solicited,
                    error,
                    installed: state.installed,
                };
                (event, None)
            }
        };
        if solicited {
            client.synchronizations.decided(&handle, report);
        }
        self.link.emit(event);
        if ready {
            self.link.emit(PepEvent::RequestReady { client_type, handle });
        }
        self.complete_synchronizations(client_type);
    }

    /// RFC 2748 3.4: a malformed decision, or one with an unknown object, "MUST trigger a DRQ". No report goes with it.
    fn refuse_decision(
        &mut self,
        client_type: ClientType,
        handle: &ClientHandle,
        reason: Reason,
        fault: PeerFault,
    ) {
        let known = self
            .clients
            .get(&client_type)
            .is_some_and(|client| client.states.contains_key(handle));
        if known {
            let event = PepEvent::StateDeleted {
                client_type,
                handle: handle.clone(),
                reason,
                fault,
            };
            self.delete_state(client_type, handle, reason, event);
        } else {
            // The PDP seems to have a state that is not here. It does no harm to say so twice.
            self.link.counters.unknown_handle += 1;
            self.answer(
                &Answer::DeleteRequestState {
                    client_type,
                    handle: handle.clone(),
                    reason,
                }
                .into(),
            );
        }
    }

    fn receive_synchronize(&mut self, now: Moment, message: SynchronizeStateRequest) {
        let client_type = message.client_type;
        if !self.is_open(client_type) {
            return self.refuse_client(now, client_type, OpCode::SYNCHRONIZE_STATE_REQUEST);
        }
        let Some(client) = self.clients.get_mut(&client_type) else {
            return;
        };
        let scope = message.handle;
        if let Some(handle) = &scope
            && !client.states.contains_key(handle)
        {
            // RFC 2748 3.5: "it MUST immediately send a DRQ message". Whether SSC is due then is not said; it does no harm.
            let reason = Reason::new(ReasonCode::SYNCHRONIZE_HANDLE_UNKNOWN);
            self.answer(
                &Answer::DeleteRequestState {
                    client_type,
                    handle: handle.clone(),
                    reason,
                }
                .into(),
            );
            self.answer(
                &SynchronizeStateComplete {
                    client_type,
                    handle: scope,
                    integrity: None,
                }
                .into(),
            );
            return;
        }
        let scope = scope.map(|handle| handle.detached());
        let states = client.synchronizations.begin(
            scope.clone(),
            client
                .states
                .iter()
                .filter(|(handle, _)| scope.as_ref().is_none_or(|scope| scope == *handle))
                .map(|(handle, state)| (handle, state.open_request)),
        );
        self.link.emit(PepEvent::SynchronizeRequested {
            client_type,
            handle: scope,
            states,
        });
        self.complete_synchronizations(client_type);
    }
}

/// What of a decision the session itself must be able to rely on; what its data mean is the client-type's.
fn check_decisions(decisions: &[Decision], requested: Context) -> Result<(), (Reason, PeerFault)> {
    for decision in decisions {
        let command = decision.flags.command;
        if !CommandCode::KNOWN.contains(&command) {
            return Err((
                Reason::new(ReasonCode::UNSUPPORTED_DECISION),
                PeerFault::UnknownCommand(command),
            ));
        }
        if !is_within(decision.context, requested) {
            return Err((
                Reason::new(ReasonCode::MALFORMED_DECISION),
                PeerFault::ContextNotRequested {
                    requested,
                    decided: decision.context,
                },
            ));
        }
    }
    Ok(())
}
