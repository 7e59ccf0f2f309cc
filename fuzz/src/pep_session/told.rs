//! What the session gives, events and frames, held against the model.

use std::collections::VecDeque;

use cops_codec::{
    Frame, Message,
    session::{CloseCause, PeerFault, PepEvent},
    wire::{ClientType, OpCode, Reason, ReasonCode, Role},
};

use super::{Pep, take};
use crate::session::{self, integrity};

impl Pep {
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
        if self.is_negotiating() {
            return;
        }
        assert_eq!(octets, 0);
        // An answer that found no more room ended the session instead.
        assert!(self.closed || self.expected.is_empty(), "what did not go out");
    }

    fn transmitted(&mut self, frame: &Frame) {
        let message = session::sent(frame, Role::Pep);
        let client_type = message.client_type();
        match &mut self.pdp {
            Some(_) if client_type == ClientType::CONNECTION && matches!(message, Message::ClientOpen(_)) => {
                // Signed when the connection began; keys may have changed since.
                let number = integrity::signature(frame).map(|(_, number)| number);
                assert_eq!(number, Some(integrity::INITIAL));
            }
            Some(pdp) => pdp.check_sent(frame, self.now),
            None => {}
        }
        let expected = &mut self.expected;
        match message {
            Message::ClientOpen(message) => {
                assert_eq!(message.pep_id, self.config.pep_id);
                assert!(
                    take(&mut expected.opens, client_type),
                    "an OPN that nobody asked for"
                );
                self.on_wire.insert(client_type);
            }
            Message::Request(message) => {
                assert!(self.on_wire.contains(&client_type));
                assert!(
                    take(&mut expected.requests, (client_type, message.handle)),
                    "a REQ that nobody asked for"
                );
            }
            Message::ReportState(message) => {
                assert!(self.on_wire.contains(&client_type));
                let next = expected
                    .reports
                    .get_mut(&(client_type, message.handle))
                    .and_then(VecDeque::pop_front);
                assert_eq!(
                    next,
                    Some((message.solicited, message.report_type)),
                    "the RPT that is due"
                );
            }
            Message::DeleteRequestState(message) => {
                assert!(self.on_wire.contains(&client_type));
                let is_expected = take(
                    &mut expected.deletes,
                    (client_type, message.handle, message.reason.code.0),
                );
                // To a DEC or SSQ for a handle that is not there, which no event tells of.
                let answers = [
                    ReasonCode::SYNCHRONIZE_HANDLE_UNKNOWN,
                    ReasonCode::MALFORMED_DECISION,
                    ReasonCode::UNKNOWN_OBJECT,
                ];
                assert!(
                    is_expected || answers.contains(&message.reason.code),
                    "{} that nobody asked for",
                    message.reason
                );
            }
            Message::SynchronizeStateComplete(message) => {
                assert!(self.on_wire.contains(&client_type));
                // Without an event only for a handle that is not there.
                let is_expected = take(&mut expected.completes, (client_type, message.handle.clone()));
                assert!(
                    is_expected || message.handle.is_some(),
                    "an SSC that nobody asked for"
                );
            }
            Message::ClientClose(_) => {
                self.on_wire.remove(&client_type);
            }
            Message::KeepAlive(_) => {}
            other => panic!("{:?} from a PEP", OpCode::name(other.op_code())),
        }
    }

    pub(super) fn drain_events(&mut self) {
        let mut count = 0;
        while let Some(event) = self.session.poll_event() {
            count += 1;
            self.told(event);
        }
        let limits = self.config.limits;
        assert!(
            count <= session::most_events(&limits),
            "{count} events under {limits:?}"
        );
        for client_type in session::CLIENT_TYPES {
            let client = self.clients.get(&client_type);
            assert_eq!(
                self.session.is_open(client_type),
                client.is_some_and(|client| client.open)
            );
            let states = || client.into_iter().flat_map(|client| &client.states);
            assert!(
                self.session
                    .handles(client_type)
                    .eq(states().map(|(handle, _)| handle))
            );
            for (handle, state) in states() {
                assert_eq!(self.session.has_open_request(client_type, handle), state.is_open);
            }
        }
        assert_eq!(self.session.is_closed(), self.closed);
    }

    fn told(&mut self, event: PepEvent) {
        assert!(!self.closed, "{event:?} after the end");
        match event {
            PepEvent::ClientAccepted {
                client_type, again, ..
            } => {
                let client = self.clients.get_mut(&client_type).expect("a CAT for an OPN");
                assert_eq!(again, client.open);
                client.open = true;
            }
            PepEvent::ClientClosed(end) => {
                let client = self
                    .clients
                    .remove(&end.client_type)
                    .expect("each opening ends once");
                assert_eq!(end.accepted, client.open);
                let told = end.states.iter().map(|state| (&state.handle, state.confirmed));
                let known = client
                    .states
                    .iter()
                    .map(|(handle, state)| (handle, state.installed && !state.is_open));
                assert!(told.eq(known), "the states that there were");
                if end.in_sync {
                    assert!(end.accepted && end.states.iter().all(|state| state.confirmed));
                    assert!(client.states.values().all(|state| state.unreported.is_empty()));
                }
                self.ends.retain(|other| other.client_type != end.client_type);
                self.ends.push(end);
            }
            PepEvent::Decision {
                client_type,
                handle,
                solicited,
                report,
                ..
            } => {
                let limit = self.config.limits.max_unreported_decisions;
                let state = self.state(client_type, &handle);
                assert!(!solicited || state.is_open, "a DEC for a REQ");
                if solicited {
                    state.is_open = false;
                    state.installed = true;
                }
                if let Some(id) = report {
                    state.unreported.push_back((id, None));
                    assert!(state.unreported.len() <= limit);
                    if self.decisions.len() >= 32 {
                        self.decisions.remove(0);
                    }
                    self.decisions.push((client_type, handle, id));
                }
            }
            PepEvent::RequestRefused {
                client_type,
                handle,
                solicited,
                installed,
                ..
            } => {
                let state = self.state(client_type, &handle);
                assert_eq!(installed, state.installed);
                assert!(!solicited || state.is_open, "a DEC for a REQ");
                state.is_open &= !solicited;
            }
            PepEvent::RequestReady { client_type, handle } => {
                let state = self.state(client_type, &handle);
                assert!(!state.is_open && state.wanted, "a REQ that was held back");
                state.wanted = false;
            }
            PepEvent::RequestTimedOut { client_type, handle } => {
                assert!(self.state(client_type, &handle).is_open);
                self.deleted(client_type, &handle, Reason::new(ReasonCode::TIMEOUT));
            }
            PepEvent::StateDeleted {
                client_type,
                handle,
                reason,
                ..
            } => self.deleted(client_type, &handle, reason),
            PepEvent::SynchronizeRequested {
                client_type,
                handle,
                states,
            } => {
                for state in &states {
                    self.state(client_type, state);
                    assert!(handle.as_ref().is_none_or(|handle| handle == state));
                }
            }
            PepEvent::Synchronized { client_type, handle } => {
                *self.expected.completes.entry((client_type, handle)).or_default() += 1;
            }
            PepEvent::AccountingDue { client_type, handle } => {
                self.state(client_type, &handle);
            }
            PepEvent::Closed { cause } => {
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
