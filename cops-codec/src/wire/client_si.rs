//! Client Specific Information (RFC 2748 2.2.9).

use bytes::Bytes;

use super::object::CType;

/// ClientSI, (9,1) and (9,2): what the client-type wants said, in a format of its own; in REQ, RPT and OPN (RFC 2748 2.2.9).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ClientSi {
    /// C-Type 1: objects of the client's signalling protocol, or its internal state.
    Signaled(Bytes),
    /// C-Type 2: named configuration information; in COPS-PR the rows that a PEP reports (RFC 3084 3).
    Named(Bytes),
}

impl ClientSi {
    /// The contents, whichever kind it is.
    #[must_use]
    pub fn contents(&self) -> &Bytes {
        match self {
            Self::Signaled(contents) | Self::Named(contents) => contents,
        }
    }
}

impl ClientSi {
    pub(super) const SIGNALED: CType = CType(1);
    pub(super) const NAMED: CType = CType(2);
}
