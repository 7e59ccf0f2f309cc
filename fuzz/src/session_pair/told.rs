//! What both sessions tell: what their programs have to answer, and that neither accuses the other.

use cops_codec::session::{CloseCause, PdpEvent, PeerFault, PepEvent};

use super::{Pair, pep_id};

impl Pair {
    pub(super) fn drain(&mut self) {
        while let Some(frame) = self.pep.poll_transmit() {
            self.to_pdp.octets.extend(frame.iter());
        }
        while let Some(frame) = self.pdp.poll_transmit() {
            self.to_pep.octets.extend(frame.iter());
        }
        while let Some(event) = self.pep.poll_event() {
            self.pep_told(event);
        }
        while let Some(event) = self.pdp.poll_event() {
            self.pdp_told(event);
        }
    }

    fn pep_told(&mut self, event: PepEvent) {
        match event {
            PepEvent::Decision {
                client_type,
                handle,
                report: Some(decision),
                ..
            } => {
                self.decisions.push_back((client_type, handle, decision));
            }
            PepEvent::SynchronizeRequested {
                client_type, states, ..
            } => {
                self.to_send
                    .extend(states.into_iter().map(|handle| (client_type, handle)));
            }
            PepEvent::ClientClosed(end) => {
                self.honest(&end.cause);
                self.over.insert(end.client_type);
                self.ends.insert(end.client_type, end);
            }
            PepEvent::StateDeleted { fault, .. } => panic!("the PDP sent what it must not: {fault}"),
            PepEvent::Closed { cause } => self.honest(&cause),
            _ => {}
        }
    }

    fn pdp_told(&mut self, event: PdpEvent) {
        match event {
            PdpEvent::OpenRequested { client_type, .. } => self.openings.push_back(client_type),
            PdpEvent::Request { request, message, .. } => {
                self.requests
                    .push_back((message.client_type, message.handle, request));
            }
            PdpEvent::RequestRefused { fault, .. } => {
                // A bound of this end, which the PEP cannot know.
                assert!(
                    fault.to_string().starts_with("expected at most"),
                    "the PEP sent what it must not: {fault}"
                );
            }
            PdpEvent::Synchronized {
                client_type, handle, ..
            } => assert!(
                self.synchronizing.remove(&(client_type, handle)),
                "an SSC for an SSQ"
            ),
            PdpEvent::ClientClosed {
                client_type, cause, ..
            } => {
                self.synchronizing.retain(|(of, _)| *of != client_type);
                self.honest(&cause);
                self.over.insert(client_type);
                self.registry.closed(&pep_id(), client_type, &self.connection);
            }
            PdpEvent::Closed { cause } => self.honest(&cause),
            _ => {}
        }
    }

    /// Neither end did anything that it must not.
    fn honest(&self, cause: &CloseCause) {
        match cause {
            CloseCause::Fault(PeerFault::ClientNotOpen { client_type, .. })
                if self.over.contains(client_type) => {}
            CloseCause::Fault(_) | CloseCause::Unanswerable(_) => panic!("{cause}"),
            _ => {}
        }
    }
}
