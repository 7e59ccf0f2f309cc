//! Commands carried out.

use std::collections::BTreeSet;

use super::{
    Acceptance, Done, PdpSession, Synchronize, Timer,
    client::{Answer, Client, State},
    close::Farewell,
};
use crate::{
    message::{ClientAccept, Decision, DecisionBody, DecisionMessage, Message, SynchronizeStateRequest},
    session::{
        command::{CommandError, DecisionId, RequestId, is_within},
        fault::CloseCause,
    },
    wire::{ClientHandle, ClientType, CommandCode, Context, CopsError, ErrorCode},
};

impl PdpSession {
    pub(super) fn send_accept(&mut self, acceptance: Acceptance) -> Result<Done, CommandError> {
        let client_type = acceptance.client_type;
        let no_open = CommandError::NoPendingOpen(client_type);
        let client = self.clients.get_mut(&client_type).ok_or(no_open.clone())?;
        let last_pdp_address = *client.pending_opens.front().ok_or(no_open)?;
        let frame = self.link.encode(
            &ClientAccept {
                client_type,
                ka_timer: acceptance.ka_timer,
                accounting_timer: acceptance.accounting_timer,
                integrity: None,
            }
            .into(),
        )?;
        self.link.check_room(&frame)?;
        self.link.queue(frame);
        let again = client.is_open();
        client.pending_opens.pop_front();
        self.accepted = true;
        client.ka_timer = Some(acceptance.ka_timer);
        client.accounting_timer = acceptance.accounting_timer;
        let mut resumed = false;
        if !again {
            client.reports = acceptance.reports;
            let is_this = last_pdp_address.is_some_and(|address| self.config.addresses.contains(&address));
            let held = acceptance.held.filter(|held| {
                is_this
                    && held.complete
                    && held.client_type == client_type
                    && self.pep_id.as_ref() == Some(&held.pep_id)
            });
            if let Some(held) = held {
                resumed = true;
                client.states = held
                    .states
                    .into_iter()
                    .map(|(handle, context)| (handle, Box::new(State::held(context))))
                    .collect();
            }
        }
        self.retime();
        let synchronizing = match acceptance.synchronize {
            Synchronize::Always => !self.is_synchronizing_scope(client_type, &None),
            Synchronize::Never => false,
            Synchronize::WhenNeeded => !again && last_pdp_address.is_some() && !resumed,
        };
        if synchronizing {
            self.begin_synchronization(client_type, None);
            self.answer(&synchronize_request(client_type, None));
        }
        Ok(Done::Accepted {
            resumed,
            synchronizing,
        })
    }

    pub(super) fn send_solicited(
        &mut self,
        client_type: ClientType,
        handle: ClientHandle,
        request: RequestId,
        body: DecisionBody,
    ) -> Result<Done, CommandError> {
        let id = DecisionId(self.next_id());
        let client = open_client(&mut self.clients, client_type)?;
        let state = client
            .states
            .get_mut(&handle)
            .ok_or_else(|| CommandError::UnknownHandle(handle.clone()))?;
        let context = *state
            .undecided
            .question(request.0)
            .ok_or_else(|| CommandError::NotAwaited(handle.clone()))?;
        let (installs, report) = match &body {
            DecisionBody::Decisions(decisions) => {
                check_decisions(decisions, context)?;
                let reported = client
                    .reports
                    .applies_to(decisions.iter().map(|decision| decision.context));
                (Some(context), reported.then_some(id))
            }
            DecisionBody::Error(_) => (None, None),
        };
        let frame = self
            .link
            .encode(&decision(client_type, true, handle.clone(), body))?;
        self.link.check_room(&frame)?;
        state.undecided.answer(
            request.0,
            Answer {
                frame,
                installs,
                report,
            },
        );
        self.send_ready(client_type, &handle);
        Ok(Done::Decided { report })
    }

    /// Sends the solicited DECs whose turn it is: "in the order they arrive" for the REQs of a handle (RFC 2748 3.2).
    pub(super) fn send_ready(&mut self, client_type: ClientType, handle: &ClientHandle) {
        let Some(client) = self.clients.get_mut(&client_type) else {
            return;
        };
        let Some(state) = client.states.get_mut(handle) else {
            return;
        };
        while let Some((_, answer)) = state.undecided.pop_ready() {
            self.link.queue(answer.frame);
            state.unreported.extend(answer.report);
            if let Some(context) = answer.installs {
                state.installed = true;
                state.context = context;
            }
        }
        // An Error object in answer to a new handle's REQ: nothing was installed.
        if !state.installed && state.undecided.is_empty() {
            client.states.remove(handle);
        }
        self.await_report(client_type, handle, false);
    }

    pub(super) fn send_unsolicited(
        &mut self,
        client_type: ClientType,
        handle: ClientHandle,
        decisions: Vec<Decision>,
    ) -> Result<Done, CommandError> {
        let id = DecisionId(self.next_id());
        let limit = self.link.limits.max_unreported_decisions;
        let client = open_client(&mut self.clients, client_type)?;
        let state = client
            .states
            .get_mut(&handle)
            .ok_or_else(|| CommandError::UnknownHandle(handle.clone()))?;
        // RFC 2748 3.2: "the first decision message for a new/updated request will have the solicited message flag set".
        if !state.undecided.is_empty() {
            return Err(CommandError::RequestOpen(handle));
        }
        if state.unreported.len() >= limit {
            return Err(CommandError::OverLimit {
                what: "decisions without a report",
                limit,
            });
        }
        check_decisions(&decisions, state.context)?;
        let reported = client
            .reports
            .applies_to(decisions.iter().map(|decision| decision.context));
        let report = reported.then_some(id);
        let body = DecisionBody::Decisions(decisions);
        let frame = self
            .link
            .encode(&decision(client_type, false, handle.clone(), body))?;
        self.link.check_room(&frame)?;
        self.link.queue(frame);
        state.unreported.extend(report);
        self.await_report(client_type, &handle, false);
        Ok(Done::Decided { report })
    }

    pub(super) fn send_synchronize(
        &mut self,
        client_type: ClientType,
        handle: Option<ClientHandle>,
    ) -> Result<(), CommandError> {
        let limit = self.link.limits.max_handles;
        let client = open_client(&mut self.clients, client_type)?;
        if client.synchronizations.is_running(&handle) {
            return Err(CommandError::SynchronizationRunning);
        }
        // One for all states, and one for each.
        if client.synchronizations.len() > limit {
            return Err(CommandError::OverLimit {
                what: "synchronisations",
                limit,
            });
        }
        let frame = self
            .link
            .encode(&synchronize_request(client_type, handle.clone()))?;
        self.link.check_room(&frame)?;
        self.link.queue(frame);
        self.begin_synchronization(client_type, handle);
        Ok(())
    }

    pub(super) fn is_synchronizing_scope(
        &self,
        client_type: ClientType,
        scope: &Option<ClientHandle>,
    ) -> bool {
        self.clients
            .get(&client_type)
            .is_some_and(|client| client.synchronizations.is_running(scope))
    }

    fn begin_synchronization(&mut self, client_type: ClientType, scope: Option<ClientHandle>) {
        let Some(client) = self.clients.get_mut(&client_type) else {
            return;
        };
        let unseen: BTreeSet<ClientHandle> = client
            .states
            .iter()
            .filter(|(handle, _)| scope.as_ref().is_none_or(|scope| scope == *handle))
            .filter(|(_, state)| state.undecided.is_empty())
            .map(|(handle, _)| handle.clone())
            .collect();
        client.synchronizations.begin(scope.clone(), unseen);
        let deadline = self.now.after(self.config.synchronize_timeout);
        self.timers.set(Timer::Synchronize(client_type, scope), deadline);
    }

    /// Sends what the protocol demands, or gives the connection up.
    pub(super) fn answer(&mut self, message: &Message) {
        if self.link.closed {
            return;
        }
        if let Err(cause) = self.link.queue_answer(message) {
            let farewell = match cause {
                // The PEP does not read; its state is held.
                CloseCause::TransmitFull { .. } => Farewell::Nothing,
                _ => Farewell::EachClient(CopsError::new(ErrorCode::UNSPECIFIED), None),
            };
            self.close_connection(cause, farewell);
        }
    }
}

/// The client-type, if it was accepted.
fn open_client(
    clients: &mut std::collections::BTreeMap<ClientType, Box<Client>>,
    client_type: ClientType,
) -> Result<&mut Client, CommandError> {
    clients
        .get_mut(&client_type)
        .map(Box::as_mut)
        .filter(|client| client.is_open())
        .ok_or(CommandError::ClientNotOpen(client_type))
}

/// What a PEP would have to refuse is not sent.
fn check_decisions(decisions: &[Decision], requested: Context) -> Result<(), CommandError> {
    for decision in decisions {
        if !CommandCode::KNOWN.contains(&decision.flags.command) {
            return Err(CommandError::UnknownCommand);
        }
        if !is_within(decision.context, requested) {
            return Err(CommandError::ContextNotRequested {
                requested,
                decided: decision.context,
            });
        }
    }
    Ok(())
}

pub(super) fn decision(
    client_type: ClientType,
    solicited: bool,
    handle: ClientHandle,
    body: DecisionBody,
) -> Message {
    DecisionMessage {
        client_type,
        solicited,
        handle,
        body,
        integrity: None,
    }
    .into()
}

fn synchronize_request(client_type: ClientType, handle: Option<ClientHandle>) -> Message {
    SynchronizeStateRequest {
        client_type,
        handle,
        integrity: None,
    }
    .into()
}
