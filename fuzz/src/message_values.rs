//! Messages from values: a message is encoded exactly if the wire can hold it, and then decodes to the same.
//!
//! Input: limits, then the message's fields in the order of its grammar (see the crate's `generate`). The size of the
//! encoding is worked out apart from the encoder.

use bytes::{Bytes, BytesMut};
use cops_codec::{
    Limits, Message,
    limits::MAX_OBJECT_CONTENTS_OCTETS,
    message::{Decision, DecisionBody, LpdpDecision},
    wire::{ClientHandle, ClientSi, Context, Integrity, Interface, PdpAddress},
};

use crate::{
    Input,
    generate::{self, Names},
};

/// See the module.
pub fn run(octets: &[u8]) {
    let mut input = Input::new(octets);
    let limits = generate::limits(&mut input);
    let message = generate::message(&mut input, Names::default());
    let sizes = Sizes::of(&message);
    let mut out = BytesMut::from(&b"before"[..]);
    let encoded = message.encode_into(&mut out, &limits);
    assert_eq!(
        encoded.is_ok(),
        sizes.fit(&limits),
        "{message:?} under {limits:?}: {encoded:?}"
    );
    if encoded.is_err() {
        assert_eq!(&out[..], b"before", "nothing is written");
        return;
    }
    let octets = out.split_off(b"before".len()).freeze();
    assert_eq!(octets.len(), sizes.message_octets());
    let frame = message.encode(&limits).expect("it was just encoded");
    assert_eq!(frame.octets(), &octets);
    let decoded = Message::decode(&frame, &limits);
    if sizes.are_received(&limits) {
        assert_eq!(decoded, Ok(message));
    } else {
        assert!(decoded.is_err(), "over a limit of receipt: {message:?}");
    }
}

/// What counts for the limits.
#[derive(Default)]
struct Sizes {
    /// Octets of the contents of each object.
    contents: Vec<usize>,
    client_si: usize,
    decisions: usize,
    lpdp_decisions: usize,
    handle_octets: usize,
    pep_id_octets: usize,
    digest_octets: usize,
    /// Something that RFC 2748 does not allow: no decision, or a Context that asks for nothing.
    illegal: bool,
}

impl Sizes {
    fn of(message: &Message) -> Self {
        let mut sizes = Self::default();
        sizes.handle(message.handle());
        match message {
            Message::Request(message) => {
                sizes.context(message.context);
                sizes.interface(message.in_interface);
                sizes.interface(message.out_interface);
                sizes.client_si(&message.client_si);
                sizes.lpdp_decisions = message.lpdp_decisions.len();
                message
                    .lpdp_decisions
                    .iter()
                    .for_each(|decision| sizes.lpdp_decision(decision));
            }
            Message::Decision(message) => match &message.body {
                DecisionBody::Error(_) => sizes.contents.push(4),
                DecisionBody::Decisions(decisions) => {
                    sizes.illegal |= decisions.is_empty();
                    sizes.decisions = decisions.len();
                    decisions.iter().for_each(|decision| sizes.decision(decision));
                }
            },
            Message::ReportState(message) => {
                sizes.contents.push(4);
                sizes.client_si(&message.client_si);
            }
            Message::DeleteRequestState(_) => sizes.contents.push(4),
            Message::ClientOpen(message) => {
                sizes.pep_id_octets = message.pep_id.as_str().len();
                sizes.contents.push((sizes.pep_id_octets + 1).next_multiple_of(4));
                sizes.contents.extend(
                    message
                        .client_si
                        .as_ref()
                        .map(|client_si| client_si.contents().len()),
                );
                sizes.pdp_address(message.last_pdp_address);
            }
            Message::ClientAccept(message) => {
                sizes.contents.push(4);
                sizes.contents.extend(message.accounting_timer.map(|_| 4));
            }
            Message::ClientClose(message) => {
                sizes.contents.push(4);
                sizes.pdp_address(message.pdp_redirect_address);
            }
            Message::SynchronizeStateRequest(_)
            | Message::SynchronizeStateComplete(_)
            | Message::KeepAlive(_) => {}
        }
        sizes.integrity(message.integrity());
        sizes
    }

    fn handle(&mut self, handle: Option<&ClientHandle>) {
        if let Some(handle) = handle {
            self.handle_octets = handle.as_bytes().len();
            self.contents.push(self.handle_octets);
        }
    }

    fn context(&mut self, context: Context) {
        self.illegal |= context.r_type.is_empty();
        self.contents.push(4);
    }

    fn interface(&mut self, interface: Option<Interface>) {
        self.contents
            .extend(interface.map(|interface| if interface.address.is_ipv4() { 8 } else { 20 }));
    }

    fn pdp_address(&mut self, address: Option<PdpAddress>) {
        self.contents
            .extend(address.map(|address| if address.address.is_ipv4() { 8 } else { 20 }));
    }

    fn client_si(&mut self, client_si: &[ClientSi]) {
        self.client_si = client_si.len();
        self.contents
            .extend(client_si.iter().map(|client_si| client_si.contents().len()));
    }

    fn data<'a>(&mut self, data: impl IntoIterator<Item = &'a Option<Bytes>>) {
        self.contents.extend(data.into_iter().flatten().map(Bytes::len));
    }

    fn decision(&mut self, decision: &Decision) {
        self.context(decision.context);
        self.contents.push(4);
        self.data([
            &decision.stateless,
            &decision.replacement,
            &decision.client_si,
            &decision.named,
        ]);
    }

    fn lpdp_decision(&mut self, decision: &LpdpDecision) {
        if let Some(context) = decision.context {
            self.context(context);
        }
        self.contents.push(4);
        self.data([
            &decision.stateless,
            &decision.replacement,
            &decision.client_si,
            &decision.named,
        ]);
    }

    fn integrity(&mut self, integrity: Option<&Integrity>) {
        match integrity {
            Some(Integrity::Hmac { digest, .. }) => {
                self.digest_octets = digest.len();
                self.contents.push(8 + digest.len());
            }
            Some(Integrity::Tls { .. }) => self.contents.push(4),
            None => {}
        }
    }

    fn message_octets(&self) -> usize {
        8 + self
            .contents
            .iter()
            .map(|octets| 4 + octets.next_multiple_of(4))
            .sum::<usize>()
    }

    /// Whether it can be sent.
    fn fit(&self, limits: &Limits) -> bool {
        !self.illegal
            && self
                .contents
                .iter()
                .all(|octets| *octets <= MAX_OBJECT_CONTENTS_OCTETS)
            && self.contents.len() <= limits.max_objects
            && self.client_si <= limits.max_client_si
            && self.decisions <= limits.max_decisions
            && self.lpdp_decisions <= limits.max_lpdp_decisions
            && self.message_octets() <= limits.max_message_octets
    }

    /// Whether it is taken.
    fn are_received(&self, limits: &Limits) -> bool {
        self.handle_octets <= limits.max_handle_octets
            && self.pep_id_octets <= limits.max_pep_id_octets
            && self.digest_octets <= limits.max_digest_octets
    }
}
