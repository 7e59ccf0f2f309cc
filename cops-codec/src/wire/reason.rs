//! Reason (RFC 2748 2.2.5).

use bytes::BufMut;

use super::{
    number::number,
    object::{ObjectId, RawObject},
    parse::{self, be_u16},
};
use crate::error::Fault;

number! {
    /// Why a PEP deletes a request-state (RFC 2748 2.2.5).
    pub struct ReasonCode(u16) {
        /// No reason given.
        UNSPECIFIED = 1, "unspecified";
        /// An administrator deleted it.
        MANAGEMENT = 2, "management";
        /// Another request-state takes precedence.
        PREEMPTED = 3, "preempted";
        /// The signalling protocol removed its state.
        TEAR = 4, "tear";
        /// The PEP's local state timed out.
        TIMEOUT = 5, "timeout";
        /// A route change made the state invalid.
        ROUTE_CHANGE = 6, "route change";
        /// The PEP has no resource left for it.
        INSUFFICIENT_RESOURCES = 7, "insufficient resources";
        /// A decision of the PDP caused the deletion.
        PDP_DIRECTIVE = 8, "PDP's directive";
        /// The decision is understood and not supported.
        UNSUPPORTED_DECISION = 9, "unsupported decision";
        /// An SSQ named a handle that the PEP does not have.
        SYNCHRONIZE_HANDLE_UNKNOWN = 10, "synchronize handle unknown";
        /// The handle stood for a stateless event.
        TRANSIENT_HANDLE = 11, "transient handle";
        /// The decision is malformed. RFC 2748 3.4 calls it "Bad Message Format"; no other code fits that name.
        MALFORMED_DECISION = 12, "malformed decision";
        /// The PDP sent an object that the PEP does not know; the sub-code names it.
        UNKNOWN_OBJECT = 13, "unknown COPS object from PDP";
    }
}

/// Reason, (5,1): why a request-state was deleted; appears in DRQ only (RFC 2748 2.2.5).
///
/// ```text
///  +--------------+--------------+--------------+--------------+
///  |         Reason-Code         |       Reason Sub-code       |
///  +--------------+--------------+--------------+--------------+
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Reason {
    /// The reason.
    pub code: ReasonCode,
    /// Defined by the client-type, else 0; with [`ReasonCode::UNKNOWN_OBJECT`] the object's C-Num and C-Type.
    pub sub_code: u16,
}

impl Reason {
    /// A reason without sub-code.
    #[must_use]
    pub const fn new(code: ReasonCode) -> Self {
        Self { code, sub_code: 0 }
    }

    /// Reason 13 for this object.
    #[must_use]
    pub const fn unknown_object(object: ObjectId) -> Self {
        Self {
            code: ReasonCode::UNKNOWN_OBJECT,
            sub_code: object.as_sub_code(),
        }
    }

    pub(super) fn decode(object: &RawObject<'_>) -> Result<Self, Fault> {
        let (code, sub_code) = parse::contents(object, (be_u16, be_u16))?;
        Ok(Self {
            code: ReasonCode(code),
            sub_code,
        })
    }

    pub(super) fn put(self, out: &mut impl BufMut) {
        out.put_u16(self.code.0);
        out.put_u16(self.sub_code);
    }
}

impl core::fmt::Display for Reason {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(
            f,
            "reason {} ({}), sub-code {:#06x}",
            self.code.0, self.code, self.sub_code
        )
    }
}
