//! Error (RFC 2748 2.2.8).

use bytes::BufMut;

use super::{
    number::number,
    object::{ObjectId, RawObject},
    parse::{self, be_u16},
};
use crate::error::Fault;

number! {
    /// What a protocol error is about (RFC 2748 2.2.8).
    pub struct ErrorCode(u16) {
        /// The handle object itself is unusable. The RFC does not explain it; this is our reading.
        BAD_HANDLE = 1, "bad handle";
        /// A handle that should exist does not. The RFC does not explain it; this is our reading.
        INVALID_HANDLE_REFERENCE = 2, "invalid handle reference";
        /// The message does not parse.
        BAD_MESSAGE_FORMAT = 3, "bad message format";
        /// The PDP gives up on the query.
        UNABLE_TO_PROCESS = 4, "unable to process";
        /// The client-type needs information that the request lacks.
        CLIENT_INFO_MISSING = 5, "mandatory client-specific info missing";
        /// The PDP does not serve this client-type.
        UNSUPPORTED_CLIENT_TYPE = 6, "unsupported client-type";
        /// The message parses and lacks an object.
        OBJECT_MISSING = 7, "mandatory COPS object missing";
        /// The client at the PEP failed.
        CLIENT_FAILURE = 8, "client failure";
        /// Nothing was heard within the keep-alive timer.
        COMMUNICATION_FAILURE = 9, "communication failure";
        /// No cause given.
        UNSPECIFIED = 10, "unspecified";
        /// The sender is going down.
        SHUTTING_DOWN = 11, "shutting down";
        /// Another PDP is to be used.
        REDIRECT = 12, "redirect to preferred server";
        /// An object is not known; the sub-code names it.
        UNKNOWN_OBJECT = 13, "unknown COPS object";
        /// The digest, Key ID or sequence number is wrong.
        AUTHENTICATION_FAILURE = 14, "authentication failure";
        /// Security is required and the Integrity object is absent.
        AUTHENTICATION_REQUIRED = 15, "authentication required";
    }
}

/// Error, (8,1): a protocol error, in DEC instead of decisions, and in CC (RFC 2748 2.2.8).
///
/// Named after the protocol, because `Error` alone means something else in Rust.
///
/// ```text
///  +--------------+--------------+--------------+--------------+
///  |          Error-Code         |        Error Sub-code       |
///  +--------------+--------------+--------------+--------------+
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CopsError {
    /// The error.
    pub code: ErrorCode,
    /// Defined by the client-type, else 0; with [`ErrorCode::UNKNOWN_OBJECT`] the object's C-Num and C-Type.
    pub sub_code: u16,
}

impl CopsError {
    /// An error without sub-code.
    #[must_use]
    pub const fn new(code: ErrorCode) -> Self {
        Self { code, sub_code: 0 }
    }

    /// Error 13 for this object.
    #[must_use]
    pub const fn unknown_object(object: ObjectId) -> Self {
        Self {
            code: ErrorCode::UNKNOWN_OBJECT,
            sub_code: object.as_sub_code(),
        }
    }

    pub(super) fn decode(object: &RawObject<'_>) -> Result<Self, Fault> {
        let (code, sub_code) = parse::contents(object, (be_u16, be_u16))?;
        Ok(Self {
            code: ErrorCode(code),
            sub_code,
        })
    }

    pub(super) fn put(self, out: &mut impl BufMut) {
        out.put_u16(self.code.0);
        out.put_u16(self.sub_code);
    }
}

impl core::fmt::Display for CopsError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(
            f,
            "error {} ({}), sub-code {:#06x}",
            self.code.0, self.code, self.sub_code
        )
    }
}
