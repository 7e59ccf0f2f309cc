//! Context (RFC 2748 2.2.2).

use bytes::BufMut;

use super::{
    number::bit_set,
    object::RawObject,
    parse::{self, be_u16},
};
use crate::error::Fault;

bit_set! {
    /// R-Type: the kinds of event that a request is about (RFC 2748 2.2.2).
    ///
    /// Several bits may be set in one request only if separate requests would carry the same client specific information.
    pub struct RType {
        /// Incoming message, or admission control.
        INCOMING_MESSAGE = 0x01, "incoming";
        /// Resource allocation.
        RESOURCE_ALLOCATION = 0x02, "resource";
        /// Outgoing message.
        OUTGOING_MESSAGE = 0x04, "outgoing";
        /// Configuration; the only one that COPS-PR uses.
        CONFIGURATION = 0x08, "configuration";
    }
}

/// M-Type: a message type of the signalling protocol, defined by the client-type (RFC 2748 2.2.2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MType(pub u16);

/// Context, (2,1): the events that triggered a request, and relative to which its decisions are read (RFC 2748 2.2.2).
///
/// ```text
///  +--------------+--------------+--------------+--------------+
///  |            R-Type           |            M-Type           |
///  +--------------+--------------+--------------+--------------+
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Context {
    /// The kinds of event. Never empty on the wire: the codec refuses 0 both ways, since it would ask for nothing.
    pub r_type: RType,
    /// The client-type's message type; 0 for configuration.
    pub m_type: MType,
}

impl Context {
    /// A configuration request: R-Type 0x08, M-Type 0.
    pub const CONFIGURATION: Self = Self {
        r_type: RType::CONFIGURATION,
        m_type: MType(0),
    };

    pub(super) fn decode(object: &RawObject<'_>) -> Result<Self, Fault> {
        let (r_type, m_type) = parse::contents(object, (be_u16, be_u16))?;
        if r_type == 0 {
            return Err(object.invalid_value("an R-Type with at least one bit set", 0));
        }
        Ok(Self {
            r_type: RType(r_type),
            m_type: MType(m_type),
        })
    }

    pub(super) fn put(self, out: &mut impl BufMut) {
        out.put_u16(self.r_type.0);
        out.put_u16(self.m_type.0);
    }
}
