//! What the session gives, events and frames, held against the model.

use std::collections::VecDeque;

use cops_codec::{
    Frame, Message,
    message::DecisionBody,
    session::{CloseCause, PdpEvent, PeerFault},
    wire::{ClientType, OpCode, Role},
};

use super::{Owed, Pdp, Ready};
use crate::session::{self, integrity};

impl Pdp {
    pub(super) fn drain(&mut self) {
        self.drain_events();
        let mut octets = self.session.transmit_octets();
        while let Some(frame) = self.session.poll_transmit() {
            octets -= frame.len();
            assert_eq!(octets, self.session.transmit_octets());
            self.transmitted(&frame);
        }
        if self.security.ran_out || self.has_no_key() {
            assert!(self.closed, "without a key nothing can be sent");
            return;
        }
        assert_eq!(octets, 0);
        let expected = &self.expected;
        assert!(
            expected.decisions.values().all(VecDeque::is_empty),
            "DECs that did not go out"
        );
        assert_eq!(
            (expected.accepts, expected.keep_alives, expected.synchronizes),
            (0, 0, 0),
            "CAT, KA, SSQ"
        );
    }

    fn transmitted(&mut self, frame: &Frame) {
        let message = session::sent(frame, Role::Pdp);
        let client_type = message.client_type();
        let is_negotiation =
            client_type == ClientType::CONNECTION && matches!(message, Message::ClientAccept(_));
        match &mut self.pep {
            Some(pep) if is_negotiation => {
                let number = self.security.began_with.expect("a CAT for an OPN");
                // Signed when it was queued; keys may have changed since.
                let signed_with = integrity::signature(frame).map(|(_, number)| number);
                assert_eq!(signed_with, Some(integrity::INITIAL));
                pep.session_signs(number.next());
            }
            Some(pep) => pep.check_sent(frame, self.now),
            None => {}
        }
        let one_of = |expected: &mut usize| {
            *expected = expected
                .checked_sub(1)
                .unwrap_or_else(|| panic!("{} that was not expected", frame.header().op_code));
        };
        match message {
            Message::Decision(message) => {
                assert!(
                    self.on_wire.contains(&client_type),
                    "DEC for a client-type that is not open"
                );
                let is_error = matches!(message.body, DecisionBody::Error(_));
                let expected = self
                    .expected
                    .decisions
                    .get_mut(&(client_type, message.handle))
                    .and_then(VecDeque::pop_front);
                assert_eq!(
                    expected,
                    Some((message.solicited, is_error)),
                    "the DEC that is due"
                );
            }
            Message::ClientAccept(_) => {
                one_of(&mut self.expected.accepts);
                self.on_wire.insert(client_type);
            }
            Message::SynchronizeStateRequest(_) => {
                assert!(
                    self.on_wire.contains(&client_type),
                    "SSQ for a client-type that is not open"
                );
                one_of(&mut self.expected.synchronizes);
            }
            Message::KeepAlive(_) => one_of(&mut self.expected.keep_alives),
            Message::ClientClose(_) => {
                self.on_wire.remove(&client_type);
            }
            other => panic!("{:?} from a PDP", OpCode::name(other.op_code())),
        }
    }

    pub(super) fn drain_events(&mut self) {
        let mut count = 0;
        while let Some(event) = self.session.poll_event() {
            count += 1;
            self.told(event);
        }
        assert!(
            count <= session::most_events(&self.limits()),
            "{count} events under {:?}",
            self.limits()
        );
        for client_type in session::CLIENT_TYPES {
            let client = self.clients.get(&client_type);
            assert_eq!(
                self.session.is_open(client_type),
                client.is_some_and(|client| client.open)
            );
            let states = client.into_iter().flat_map(|client| client.states.keys());
            assert!(
                self.session.handles(client_type).eq(states),
                "request-states of {client_type}"
            );
        }
        assert_eq!(self.session.is_closed(), self.closed);
    }

    fn told(&mut self, event: PdpEvent) {
        assert!(!self.closed, "{event:?} after the end");
        let limits = self.limits();
        match event {
            PdpEvent::OpenRequested {
                client_type,
                pep_id,
                again,
                ..
            } => {
                assert_eq!(self.session.pep_id(), Some(&pep_id), "one PEP on a connection");
                let client = self.clients.entry(client_type).or_default();
                assert_eq!(again, client.open);
                client.pending += 1;
                assert!(client.pending <= limits.max_pending_opens);
                assert!(self.clients.len() <= limits.max_client_types);
            }
            PdpEvent::Request {
                request,
                update,
                message,
            } => {
                let client = self
                    .clients
                    .get_mut(&message.client_type)
                    .expect("a REQ of an open client-type");
                assert!(client.open);
                let handle = message.handle.detached();
                let state = client.states.entry(handle.clone()).or_default();
                assert_eq!(update, state.installed);
                state.owed.push_back(Owed {
                    request: Some(request),
                    ready: None,
                });
                assert!(state.owed.len() <= limits.max_open_requests);
                assert!(client.states.len() <= limits.max_handles);
                if self.requests.len() >= 32 {
                    self.requests.remove(0);
                }
                self.requests.push((message.client_type, handle, request));
            }
            PdpEvent::RequestRefused {
                client_type, handle, ..
            } => {
                let client = self
                    .clients
                    .get_mut(&client_type)
                    .expect("a REQ of an open client-type");
                match client.states.get_mut(&handle) {
                    Some(state) if !state.owed.is_empty() => {
                        let ready = Some(Ready {
                            is_error: true,
                            report: None,
                        });
                        state.owed.push_back(Owed { request: None, ready });
                        assert!(state.owed.len() <= limits.max_open_requests);
                        self.send_ready(client_type, &handle);
                    }
                    _ => self.expect_decision(client_type, &handle, true, true),
                }
            }
            PdpEvent::Report {
                client_type,
                handle,
                decision,
                ..
            } => {
                let state = self.state(client_type, &handle);
                if decision.is_some() {
                    assert_eq!(
                        state.due.pop_front(),
                        decision,
                        "reports come in the order of the decisions"
                    );
                }
            }
            PdpEvent::StateDeleted {
                client_type, handle, ..
            } => {
                let client = self
                    .clients
                    .get_mut(&client_type)
                    .expect("a DRQ of an open client-type");
                assert!(client.states.remove(&handle).is_some());
            }
            PdpEvent::Synchronized {
                client_type,
                handle,
                dropped,
            } => {
                let client = self
                    .clients
                    .get_mut(&client_type)
                    .expect("an SSC of an open client-type");
                assert!(client.synchronizing.remove(&handle), "an SSC for an SSQ");
                for handle in dropped {
                    let state = client
                        .states
                        .remove(&handle)
                        .expect("a state that was not sent again");
                    assert!(state.owed.is_empty(), "a state whose REQ waits is there");
                }
            }
            PdpEvent::SynchronizationOverdue { client_type, handle } => {
                let client = self.clients.get(&client_type).expect("an open client-type");
                assert!(client.synchronizing.contains(&handle));
            }
            PdpEvent::ClientClosed {
                client_type,
                accepted,
                held,
                ..
            } => {
                let client = self.clients.remove(&client_type);
                assert_eq!(accepted, client.is_some_and(|client| client.open));
                assert!(accepted || !held);
            }
            PdpEvent::Closed { cause } => {
                let refused = matches!(cause, CloseCause::Fault(PeerFault::Integrity(_)));
                assert!(!self.security.must_refuse || refused, "{cause}");
                assert!(!refused || self.security.may_refuse, "{cause}");
                assert_eq!(
                    matches!(cause, CloseCause::NoKey),
                    self.security.ran_out,
                    "{cause}"
                );
                assert!(self.clients.is_empty(), "each opening ends before the connection");
                self.closed = true;
            }
        }
    }
}
