//! What each end may send, seen from outside: a simple model beside the real thing, made of the messages alone.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use cops_codec::message::{DecisionBody, DecisionMessage};
use cops_codec::session::Moment;
use cops_codec::wire::{ClientHandle, ClientType, KaTimer, Role};
use cops_codec::{Answer, Frame, Limits, Message};

/// What a PEP has sent and got, in its own order of things.
#[derive(Debug, Default)]
pub(crate) struct PepView {
    clients: BTreeMap<ClientType, PepClient>,
    /// Handles of this connection, and of those before it.
    used: BTreeSet<(ClientType, ClientHandle)>,
    /// When the keep-alive interval that runs now began.
    interval_began: Option<Moment>,
}

#[derive(Debug, Default)]
struct PepClient {
    ka_timer: Option<KaTimer>,
    states: BTreeMap<ClientHandle, PepState>,
    /// For each SSQ without its SSC, the states that have to be sent, and those of them that wait for a decision.
    synchronizing: BTreeMap<Option<ClientHandle>, BTreeSet<ClientHandle>>,
}

#[derive(Debug, Default)]
struct PepState {
    asked: bool,
    reports_due: usize,
}

impl PepView {
    /// Request-states that outlived an earlier connection.
    pub(crate) fn hold(&mut self, client_type: ClientType, handles: impl Iterator<Item = ClientHandle>) {
        for handle in handles {
            self.used.insert((client_type, handle.clone()));
            let client = self.clients.entry(client_type).or_default();
            client.states.insert(handle, PepState::default());
        }
    }

    fn ka_timer(&self) -> Option<Duration> {
        self.clients
            .values()
            .filter_map(|client| client.ka_timer?.interval())
            .min()
    }

    pub(crate) fn sent(&mut self, frame: &Frame, now: Moment) {
        let message = Message::decode(frame, &Limits::default()).unwrap();
        let client_type = message.client_type();
        // C-2.1-05.
        assert!(
            !message.solicited() || matches!(message, Message::ReportState(_)),
            "solicited {message:?}"
        );
        match message {
            Message::KeepAlive(_) => {
                let timer = self.ka_timer().expect("a KA Timer");
                let gap = now.since(self.interval_began.expect("an interval"));
                assert!(timer / 4 <= gap && gap <= timer, "KA after {gap:?} of {timer:?}");
                self.interval_began = Some(now);
            }
            Message::ClientOpen(_) => {
                self.clients.entry(client_type).or_default();
            }
            Message::ClientClose(_) => self.close(client_type, now),
            Message::Request(request) => {
                let client = self.open_client(client_type);
                let is_new = !client.states.contains_key(&request.handle);
                let state = client.states.entry(request.handle.clone()).or_default();
                assert!(!state.asked, "two open REQs of {}", request.handle);
                state.asked = true;
                for missing in client.synchronizing.values_mut() {
                    missing.remove(&request.handle);
                }
                if is_new {
                    let first = self.used.insert((client_type, request.handle.clone()));
                    assert!(first, "handle {} used again", request.handle);
                }
            }
            Message::ReportState(report) => {
                let client = self.open_client(client_type);
                let state = client.states.get_mut(&report.handle).expect("a known state");
                if report.solicited {
                    assert!(state.reports_due > 0, "a report too many for {}", report.handle);
                    state.reports_due -= 1;
                }
            }
            Message::DeleteRequestState(message) => {
                let client = self.open_client(client_type);
                client.states.remove(&message.handle);
                for missing in client.synchronizing.values_mut() {
                    missing.remove(&message.handle);
                }
            }
            Message::SynchronizeStateComplete(message) => {
                let client = self.open_client(client_type);
                let missing = client.synchronizing.remove(&message.handle);
                let missing = missing.expect("an SSQ for this SSC");
                assert_eq!(missing, BTreeSet::new(), "not sent before SSC");
            }
            other => panic!("not a PEP's message: {other:?}"),
        }
    }

    fn open_client(&mut self, client_type: ClientType) -> &mut PepClient {
        let client = self.clients.get_mut(&client_type);
        let client = client.expect("an opened client-type");
        assert!(client.ka_timer.is_some(), "sent before CAT");
        client
    }

    fn close(&mut self, client_type: ClientType, now: Moment) {
        let before = self.ka_timer();
        if client_type == ClientType::CONNECTION {
            self.clients.clear();
        } else {
            self.clients.remove(&client_type);
        }
        if self.ka_timer() != before {
            self.interval_began = Some(now);
        }
    }

    pub(crate) fn received(&mut self, frame: &Frame, now: Moment) {
        let Ok(message) = Message::decode(frame, &Limits::default()) else {
            return;
        };
        let client_type = message.client_type();
        if let Message::ClientClose(_) = message {
            return self.close(client_type, now);
        }
        let before = self.ka_timer();
        let Some(client) = self.clients.get_mut(&client_type) else {
            return;
        };
        match message {
            Message::ClientAccept(message) => {
                client.ka_timer = Some(message.ka_timer);
                if self.ka_timer() != before {
                    self.interval_began = Some(now);
                }
            }
            _ if client.ka_timer.is_none() => {}
            Message::Decision(DecisionMessage {
                handle,
                solicited,
                body,
                ..
            }) => {
                if let Some(state) = client.states.get_mut(&handle) {
                    state.asked &= !solicited;
                    if let DecisionBody::Decisions(_) = body {
                        state.reports_due += 1;
                    }
                }
            }
            Message::SynchronizeStateRequest(message) => {
                let missing = client
                    .states
                    .iter()
                    .filter(|(handle, state)| {
                        !state.asked && message.handle.as_ref().is_none_or(|scope| scope == *handle)
                    })
                    .map(|(handle, _)| handle.clone())
                    .collect();
                client.synchronizing.insert(message.handle, missing);
            }
            _ => {}
        }
    }

    /// After everything was delivered and answered.
    pub(crate) fn assert_settled(&self) {
        for client in self.clients.values() {
            assert_eq!(client.synchronizing.len(), 0, "SSQ without SSC");
            for (handle, state) in &client.states {
                assert!(!state.asked, "REQ of {handle} without decision");
                assert_eq!(state.reports_due, 0, "decisions on {handle} without report");
            }
        }
    }
}

/// What a PDP has sent and got, in its own order of things.
#[derive(Debug, Default)]
pub(crate) struct PdpView {
    clients: BTreeMap<ClientType, PdpClient>,
    echoes_due: usize,
}

#[derive(Debug, Default)]
struct PdpClient {
    opens: usize,
    open: bool,
    states: BTreeMap<ClientHandle, PdpState>,
}

#[derive(Debug, Default)]
struct PdpState {
    undecided: usize,
    installed: bool,
}

impl PdpView {
    pub(crate) fn hold(&mut self, client_type: ClientType, handles: impl Iterator<Item = ClientHandle>) {
        let client = self.clients.entry(client_type).or_default();
        for handle in handles {
            client.states.entry(handle).or_default().installed = true;
        }
    }

    pub(crate) fn sent(&mut self, frame: &Frame) {
        let message = Message::decode(frame, &Limits::default()).unwrap();
        let client_type = message.client_type();
        assert!(
            !message.solicited() || matches!(message, Message::Decision(_)),
            "solicited {message:?}"
        );
        match message {
            Message::KeepAlive(_) => {
                self.echoes_due = self.echoes_due.checked_sub(1).expect("a keep-alive to echo");
            }
            Message::ClientAccept(_) => {
                let client = self.clients.get_mut(&client_type).expect("an OPN");
                client.opens = client.opens.checked_sub(1).expect("an OPN for this CAT");
                client.open = true;
            }
            Message::ClientClose(_) => self.close(client_type),
            Message::Decision(decision) => {
                let client = self.clients.get_mut(&client_type).filter(|client| client.open);
                let client = client.expect("an open client-type");
                let state = client
                    .states
                    .get_mut(&decision.handle)
                    .expect("a handle of the PEP's");
                if decision.solicited {
                    state.undecided = state.undecided.checked_sub(1).expect("a REQ for this decision");
                    state.installed |= matches!(decision.body, DecisionBody::Decisions(_));
                } else {
                    assert_eq!(state.undecided, 0, "a push before the solicited decision");
                    assert!(state.installed, "a push for what is not installed");
                }
            }
            Message::SynchronizeStateRequest(_) => {
                assert!(self.clients.get(&client_type).is_some_and(|client| client.open));
            }
            other => panic!("not a PDP's message: {other:?}"),
        }
    }

    fn close(&mut self, client_type: ClientType) {
        if client_type == ClientType::CONNECTION {
            self.clients.clear();
        } else {
            self.clients.remove(&client_type);
        }
    }

    pub(crate) fn received(&mut self, frame: &Frame) {
        let message = match Message::decode(frame, &Limits::default()) {
            Ok(message) => message,
            Err(error) => {
                // A malformed REQ is answered like a good one.
                if let Answer::ErrorDecision {
                    client_type, handle, ..
                } = error.answer(Role::Pdp)
                    && let Some(client) = self.clients.get_mut(&client_type).filter(|client| client.open)
                {
                    client.states.entry(handle).or_default().undecided += 1;
                }
                return;
            }
        };
        let client_type = message.client_type();
        match message {
            Message::KeepAlive(_) => self.echoes_due += 1,
            Message::ClientClose(_) => self.close(client_type),
            Message::ClientOpen(_) => self.clients.entry(client_type).or_default().opens += 1,
            Message::Request(request) => {
                if let Some(client) = self.clients.get_mut(&client_type).filter(|client| client.open) {
                    client.states.entry(request.handle).or_default().undecided += 1;
                }
            }
            Message::DeleteRequestState(message) => {
                if let Some(client) = self.clients.get_mut(&client_type) {
                    client.states.remove(&message.handle);
                }
            }
            _ => {}
        }
    }

    /// States that did not survive a synchronisation.
    pub(crate) fn dropped(&mut self, client_type: ClientType, handles: &[ClientHandle]) {
        if let Some(client) = self.clients.get_mut(&client_type) {
            for handle in handles {
                client.states.remove(handle);
            }
        }
    }

    /// After everything was delivered and answered.
    pub(crate) fn assert_settled(&self) {
        assert_eq!(self.echoes_due, 0, "keep-alives without echo");
        for client in self.clients.values() {
            assert_eq!(client.opens, 0, "OPN without answer");
            for (handle, state) in &client.states {
                assert_eq!(state.undecided, 0, "REQ of {handle} without decision");
            }
        }
    }
}
