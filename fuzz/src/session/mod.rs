//! What the targets of sessions have in common.

pub(crate) mod integrity;

use core::time::Duration;

use bytes::Bytes;
use cops_codec::{
    DecodeError, Frame, Limits, Message,
    integrity::INTEGRITY_OCTETS,
    session::{Moment, SessionLimits},
    wire::{ClientHandle, ClientType, PdpAddress, PepId, Role},
};

use crate::{Input, generate::Names};

/// Client-types that are opened, and the connection's.
pub(crate) const CLIENT_TYPES: [ClientType; 4] = [
    ClientType(0x5057),
    ClientType(0x4001),
    ClientType(1),
    ClientType::CONNECTION,
];

/// The PDP that is at the other end, or this one.
pub(crate) const PDP: PdpAddress = PdpAddress {
    address: std::net::IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1)),
    port: 3288,
};

/// The names of a session, as a peer might use them.
pub(crate) struct Cast {
    handles: Vec<ClientHandle>,
    pep_ids: Vec<PepId>,
    /// Messages get their Integrity object when they are sent.
    unsigned: bool,
}

impl Cast {
    pub(crate) fn new(unsigned: bool) -> Self {
        let mut handles: Vec<ClientHandle> = (1..=5).map(ClientHandle::from).collect();
        handles.push(ClientHandle(Bytes::from_static(b"named")));
        let pep_ids = ["node01", "node02"].map(|name| PepId::new(name).expect("printable ASCII"));
        Self {
            handles,
            pep_ids: pep_ids.into(),
            unsigned,
        }
    }

    pub(crate) fn names(&self) -> Names<'_> {
        Names {
            client_types: &CLIENT_TYPES,
            handles: &self.handles,
            pep_ids: &self.pep_ids,
            unsigned: self.unsigned,
        }
    }
}

/// A frame of these octets, or the error of a framer.
pub(crate) fn frame(octets: Bytes, limits: &Limits) -> Result<Frame, DecodeError> {
    Frame::new(octets, limits)
}

/// What a session sends, read as its peer reads it. A handle that is too long is named in the answer to it.
pub(crate) fn sent(frame: &Frame, by: Role) -> Message {
    let lenient = Limits {
        max_handle_octets: usize::MAX,
        ..Limits::DEFAULT
    };
    let message = Message::decode(frame, &lenient).expect("what is sent can be received");
    assert!(message.op_code().is_sent_by(by), "{message:?} from a {by:?}");
    message
}

/// The defaults, or bounds that a few messages reach.
pub(crate) fn limits(input: &mut Input<'_>) -> SessionLimits {
    match input.u8() {
        0 => SessionLimits::DEFAULT,
        small => SessionLimits {
            max_client_types: 1 + usize::from(small % 3),
            max_handles: 1 + usize::from(small / 2 % 4),
            max_open_requests: 1 + usize::from(small / 4 % 3),
            max_unreported_decisions: 1 + usize::from(small / 8 % 3),
            max_pending_opens: 1 + usize::from(small / 16 % 2),
            max_transmit_octets: 128 << (small / 32 % 4),
            max_events: 1 + usize::from(small / 64 % 4) * 3,
        },
    }
}

/// A time that an input can choose: milliseconds, or seconds.
pub(crate) fn duration(input: &mut Input<'_>) -> Duration {
    let number = input.u16();
    match number.checked_sub(0x8000) {
        Some(seconds) => Duration::from_secs(seconds.into()),
        None => Duration::from_millis(number.into()),
    }
}

/// Later by this much.
pub(crate) fn later(now: Moment, input: &mut Input<'_>) -> Moment {
    now.after(duration(input))
}

/// Octets that may wait for transmission whatever happens: commands up to the bound, answers up to twice the bound, one CC
/// for each client-type and the connection, and the negotiation of Integrity. What fills the last room may have its Integrity
/// object beyond it, and so may each decision that waited for its turn.
pub(crate) fn most_transmit_octets(limits: &SessionLimits) -> usize {
    /// CC with Error, an IPv6 address and Integrity.
    const CLIENT_CLOSE_OCTETS: usize = 8 + 8 + 24 + INTEGRITY_OCTETS;
    /// OPN with a PEPID, or CAT with a KA Timer.
    const NEGOTIATION_OCTETS: usize = 8 + 12 + INTEGRITY_OCTETS;
    2 * limits.max_transmit_octets
        + CLIENT_CLOSE_OCTETS * (limits.max_client_types + 1)
        + NEGOTIATION_OCTETS
        + INTEGRITY_OCTETS * limits.max_open_requests.max(limits.max_unreported_decisions)
}

/// Events that may wait: the bound, and what the one input that passes it can add: the end of every client-type and the
/// connection, or of every synchronisation.
pub(crate) fn most_events(limits: &SessionLimits) -> usize {
    limits.max_events + limits.max_client_types + limits.max_handles + 4
}
