//! Commands and timers carried out.

use core::time::Duration;

use super::{
    ClientOpening, Outcome, PepEvent, PepSession, RequestBody, Timer, UnsolicitedReport,
    accounting::Refusal,
    client::{Client, OpenRequest, State},
    close::Farewell,
};
use crate::{
    message::{
        ClientOpen, DeleteRequestState, KeepAlive, Message, ReportState, Request, SynchronizeStateComplete,
    },
    session::{
        command::{CommandError, DecisionId},
        fault::CloseCause,
        keep_alive,
        time::Moment,
    },
    wire::{ClientHandle, ClientSi, ClientType, Reason, ReasonCode, ReportType},
};

impl PepSession {
    pub(super) fn send_open(&mut self, now: Moment, opening: &ClientOpening) -> Result<(), CommandError> {
        let client_type = opening.client_type;
        let limits = self.link.limits;
        if client_type == ClientType::CONNECTION {
            return Err(CommandError::ReservedClientType);
        }
        let pending = match self.clients.get(&client_type) {
            Some(client) => client.pending_opens,
            None if self.clients.len() >= limits.max_client_types => {
                return Err(CommandError::OverLimit {
                    what: "client-types",
                    limit: limits.max_client_types,
                });
            }
            None if opening.held.len() > limits.max_handles => {
                return Err(CommandError::OverLimit {
                    what: "handles",
                    limit: limits.max_handles,
                });
            }
            None => 0,
        };
        if pending >= limits.max_pending_opens {
            return Err(CommandError::OverLimit {
                what: "pending OPNs",
                limit: limits.max_pending_opens,
            });
        }
        let frame = self.link.encode(
            &ClientOpen {
                client_type,
                pep_id: self.config.pep_id.clone(),
                client_si: opening.client_si.clone(),
                last_pdp_address: opening.last_pdp_address,
                integrity: None,
            }
            .into(),
        )?;
        self.link.check_room(&frame)?;
        self.link.queue(frame);
        for held in &opening.held {
            self.handles.avoid(&held.handle);
        }
        let resumes =
            opening.last_pdp_address.is_some() && opening.last_pdp_address == self.config.pdp_address;
        let client = self
            .clients
            .entry(client_type)
            .or_insert_with(|| Client::new(opening, resumes));
        client.pending_opens += 1;
        self.timers
            .set(Timer::Open(client_type), now.after(self.config.open_timeout));
        Ok(())
    }

    pub(super) fn send_request(
        &mut self,
        now: Moment,
        client_type: ClientType,
        handle: Option<ClientHandle>,
        request: RequestBody,
    ) -> Result<ClientHandle, CommandError> {
        let limit = self.link.limits.max_handles;
        let client = open_client(&mut self.clients, client_type)?;
        let handle = match handle {
            Some(handle) => {
                let state = client
                    .states
                    .get_mut(&handle)
                    .ok_or_else(|| CommandError::UnknownHandle(handle.clone()))?;
                // RFC 2748 3.2: "SHOULD NOT issue more than one REQ (for a given handle)" before its decision.
                if state.open_request.is_some() {
                    state.wanted = true;
                    return Err(CommandError::RequestOpen(handle));
                }
                handle
            }
            None if client.states.len() >= limit => {
                return Err(CommandError::OverLimit {
                    what: "handles",
                    limit,
                });
            }
            None => self.handles.allocate(|handle| client.states.contains_key(handle)),
        };
        let context = request.context;
        let open = OpenRequest {
            context,
            full_state: request.full_state,
            more_follows: request.more_follows,
        };
        let frame = self.link.encode(
            &Request {
                client_type,
                handle: handle.clone(),
                context,
                in_interface: request.in_interface,
                out_interface: request.out_interface,
                client_si: request.client_si,
                lpdp_decisions: request.lpdp_decisions,
                integrity: None,
            }
            .into(),
        )?;
        self.link.check_room(&frame)?;
        self.link.queue(frame);
        let state = client
            .states
            .entry(handle.clone())
            .or_insert_with(|| State::new(context));
        state.open_request = Some(open);
        client.synchronizations.requested(&handle, open);
        self.timers.set(
            Timer::Request(client_type, handle.clone()),
            now.after(self.config.request_timeout),
        );
        Ok(handle)
    }

    pub(super) fn send_report(
        &mut self,
        client_type: ClientType,
        handle: &ClientHandle,
        decision: DecisionId,
        outcome: Outcome,
        client_si: Vec<ClientSi>,
    ) -> Result<(), CommandError> {
        let client = open_client(&mut self.clients, client_type)?;
        let state = client
            .states
            .get_mut(handle)
            .ok_or_else(|| CommandError::UnknownHandle(handle.clone()))?;
        // RFC 2748 3.3: "There MUST never be more than one" for a decision.
        if state.unreported.question(decision.0).is_none() {
            return Err(CommandError::NotAwaited(handle.clone()));
        }
        let frame = self.link.encode(
            &ReportState {
                client_type,
                solicited: true,
                handle: handle.clone(),
                report_type: match outcome {
                    Outcome::Success => ReportType::SUCCESS,
                    Outcome::Failure => ReportType::FAILURE,
                },
                client_si,
                integrity: None,
            }
            .into(),
        )?;
        self.link.check_room(&frame)?;
        state.unreported.answer(decision.0, frame);
        // RFC 2748 3.3: "MUST be sent in the same order as their corresponding Decision messages".
        while let Some((id, frame)) = state.unreported.pop_ready() {
            self.link.queue(frame);
            client.synchronizations.reported(handle, DecisionId(id));
        }
        self.complete_synchronizations(client_type);
        Ok(())
    }

    pub(super) fn send_unsolicited(
        &mut self,
        now: Moment,
        client_type: ClientType,
        handle: &ClientHandle,
        report: UnsolicitedReport,
        client_si: Vec<ClientSi>,
    ) -> Result<(), CommandError> {
        let client = open_client(&mut self.clients, client_type)?;
        let timer = client.accounting_timer();
        let state = client
            .states
            .get_mut(handle)
            .ok_or_else(|| CommandError::UnknownHandle(handle.clone()))?;
        let periodic = report == UnsolicitedReport::PeriodicAccounting;
        if periodic {
            state
                .accounting
                .check(timer, now)
                .map_err(|refusal| match refusal {
                    Refusal::Off => CommandError::AccountingOff,
                    Refusal::TooSoon { until } => CommandError::AccountingTooSoon { until },
                })?;
        }
        let frame = self.link.encode(
            &ReportState {
                client_type,
                solicited: false,
                handle: handle.clone(),
                report_type: match report {
                    UnsolicitedReport::Success => ReportType::SUCCESS,
                    UnsolicitedReport::Failure => ReportType::FAILURE,
                    UnsolicitedReport::PeriodicAccounting | UnsolicitedReport::FinalAccounting => {
                        ReportType::ACCOUNTING
                    }
                },
                client_si,
                integrity: None,
            }
            .into(),
        )?;
        self.link.check_room(&frame)?;
        self.link.queue(frame);
        if periodic {
            state.accounting.reported(now);
            self.schedule_accounting(now, client_type, handle);
        }
        Ok(())
    }

    pub(super) fn set_accounting(
        &mut self,
        now: Moment,
        client_type: ClientType,
        handle: &ClientHandle,
        interval: Option<Duration>,
    ) -> Result<(), CommandError> {
        let client = open_client(&mut self.clients, client_type)?;
        let state = client
            .states
            .get_mut(handle)
            .ok_or_else(|| CommandError::UnknownHandle(handle.clone()))?;
        state.accounting.set_interval(interval);
        self.schedule_accounting(now, client_type, handle);
        Ok(())
    }

    pub(super) fn send_delete(
        &mut self,
        client_type: ClientType,
        handle: &ClientHandle,
        reason: Reason,
    ) -> Result<(), CommandError> {
        let client = open_client(&mut self.clients, client_type)?;
        if !client.states.contains_key(handle) {
            return Err(CommandError::UnknownHandle(handle.clone()));
        }
        let frame = self
            .link
            .encode(&delete_request(client_type, handle.clone(), reason))?;
        self.link.check_room(&frame)?;
        self.link.queue(frame);
        self.forget_state(client_type, handle);
        self.complete_synchronizations(client_type);
        Ok(())
    }

    /// Deletes a state because of what happened to it, and says so to the PDP.
    pub(super) fn delete_state(
        &mut self,
        client_type: ClientType,
        handle: &ClientHandle,
        reason: Reason,
        event: PepEvent,
    ) {
        self.forget_state(client_type, handle);
        self.link.emit(event);
        self.answer(&delete_request(client_type, handle.clone(), reason));
        self.complete_synchronizations(client_type);
    }

    fn forget_state(&mut self, client_type: ClientType, handle: &ClientHandle) {
        if let Some(client) = self.clients.get_mut(&client_type) {
            client.states.remove(handle);
            client.synchronizations.deleted(handle);
        }
        self.clear_state_timers(client_type, handle);
    }

    pub(super) fn clear_state_timers(&mut self, client_type: ClientType, handle: &ClientHandle) {
        self.timers.clear(&Timer::Request(client_type, handle.clone()));
        self.timers.clear(&Timer::Accounting(client_type, handle.clone()));
    }

    /// Sends SSC for each synchronisation of which nothing is missing.
    pub(super) fn complete_synchronizations(&mut self, client_type: ClientType) {
        while let Some(handle) = self
            .clients
            .get_mut(&client_type)
            .and_then(|client| client.synchronizations.take_complete())
        {
            if let Some(client) = self.clients.get_mut(&client_type)
                && handle.is_none()
            {
                client.established = true;
            }
            // First the event: if the answer ends the session, `Closed` has to be the last one.
            self.link.emit(PepEvent::Synchronized {
                client_type,
                handle: handle.clone(),
            });
            self.answer(
                &SynchronizeStateComplete {
                    client_type,
                    handle,
                    integrity: None,
                }
                .into(),
            );
        }
    }

    pub(super) fn time_out_request(&mut self, client_type: ClientType, handle: &ClientHandle) {
        // RFC 2748 3.2: "It MUST then delete the timed-out handle".
        let event = PepEvent::RequestTimedOut {
            client_type,
            handle: handle.clone(),
        };
        let reason = Reason::new(ReasonCode::TIMEOUT);
        self.delete_state(client_type, handle, reason, event);
    }

    pub(super) fn accounting_due(&mut self, now: Moment, client_type: ClientType, handle: ClientHandle) {
        self.schedule_accounting(now, client_type, &handle);
        self.link.emit(PepEvent::AccountingDue { client_type, handle });
    }

    pub(super) fn schedule_accounting(
        &mut self,
        now: Moment,
        client_type: ClientType,
        handle: &ClientHandle,
    ) {
        let timer = Timer::Accounting(client_type, handle.clone());
        let due = self.clients.get(&client_type).and_then(|client| {
            let state = client.states.get(handle)?;
            state.accounting.next_due(client.accounting_timer(), now)
        });
        match due {
            Some(due) => self.timers.set(timer, due),
            None => self.timers.clear(&timer),
        }
    }

    pub(super) fn keep_alive(&mut self, now: Moment) {
        let Some(timer) = self.ka_timer else {
            return;
        };
        let point = keep_alive::send_point(now, timer, &mut self.random);
        self.timers.set(Timer::KeepAlive, point);
        self.answer(&KeepAlive { integrity: None }.into());
    }

    pub(super) fn silence(&mut self) {
        if let Some(timer) = self.ka_timer {
            self.close_connection(CloseCause::Silence { timer }, Farewell::COMMUNICATION_FAILURE);
        }
    }

    /// Sends what the protocol demands, or gives the connection up.
    pub(super) fn answer(&mut self, message: &Message) {
        if self.link.closed {
            return;
        }
        if let Err(cause) = self.link.queue_answer(message) {
            self.close_connection(cause, Farewell::COMMUNICATION_FAILURE);
        }
    }
}

/// The client-type, if requests may go for it (RFC 2748 4.3).
fn open_client(
    clients: &mut std::collections::BTreeMap<ClientType, Client>,
    client_type: ClientType,
) -> Result<&mut Client, CommandError> {
    clients
        .get_mut(&client_type)
        .filter(|client| client.is_open())
        .ok_or(CommandError::ClientNotOpen(client_type))
}

fn delete_request(client_type: ClientType, handle: ClientHandle, reason: Reason) -> Message {
    DeleteRequestState {
        client_type,
        handle,
        reason,
        integrity: None,
    }
    .into()
}
