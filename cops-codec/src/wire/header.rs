//! The common header and its numbers (RFC 2748 2.1).

use bytes::BufMut;

use super::number::number;

/// The one protocol version there is.
pub const VERSION: u8 = 1;

/// Octets of the common header.
pub const HEADER_OCTETS: usize = 8;

/// The header flag that marks a message as asked for by the other side; the only one defined (RFC 2748 2.1).
pub(crate) const SOLICITED_FLAG: u8 = 0x1;

number! {
    /// Which of the ten messages it is (RFC 2748 2.1).
    pub struct OpCode(u8) {
        /// Request, PEP to PDP.
        REQUEST = 1, "REQ";
        /// Decision, PDP to PEP.
        DECISION = 2, "DEC";
        /// Report State, PEP to PDP.
        REPORT_STATE = 3, "RPT";
        /// Delete Request State, PEP to PDP.
        DELETE_REQUEST_STATE = 4, "DRQ";
        /// Synchronize State Request, PDP to PEP.
        SYNCHRONIZE_STATE_REQUEST = 5, "SSQ";
        /// Client-Open, PEP to PDP.
        CLIENT_OPEN = 6, "OPN";
        /// Client-Accept, PDP to PEP.
        CLIENT_ACCEPT = 7, "CAT";
        /// Client-Close, both ways.
        CLIENT_CLOSE = 8, "CC";
        /// Keep-Alive, both ways.
        KEEP_ALIVE = 9, "KA";
        /// Synchronize State Complete, PEP to PDP.
        SYNCHRONIZE_STATE_COMPLETE = 10, "SSC";
    }
}

impl OpCode {
    /// Whether this end may send the message (titles of RFC 2748 3.1 to 3.10). Nobody sends an unknown op code.
    #[must_use]
    pub const fn is_sent_by(self, role: Role) -> bool {
        match self {
            Self::REQUEST
            | Self::REPORT_STATE
            | Self::DELETE_REQUEST_STATE
            | Self::CLIENT_OPEN
            | Self::SYNCHRONIZE_STATE_COMPLETE => matches!(role, Role::Pep),
            Self::DECISION | Self::SYNCHRONIZE_STATE_REQUEST | Self::CLIENT_ACCEPT => {
                matches!(role, Role::Pdp)
            }
            Self::CLIENT_CLOSE | Self::KEEP_ALIVE => true,
            _ => false,
        }
    }
}

/// An end of a COPS connection (RFC 2748 1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// The policy decision point, which listens.
    Pdp,
    /// The policy enforcement point, which connects.
    Pep,
}

impl Role {
    /// The other end.
    #[must_use]
    pub const fn peer(self) -> Self {
        match self {
            Self::Pdp => Self::Pep,
            Self::Pep => Self::Pdp,
        }
    }
}

/// The policy client application to which a message belongs; all its objects are read relative to it (RFC 2748 2.1, 6).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientType(pub u16);

impl ClientType {
    /// Zero: the connection itself (KA, security negotiation), never a client.
    pub const CONNECTION: Self = Self(0);
    /// RSVP (RFC 2749).
    pub const RSVP: Self = Self(1);
    /// DiffServ QoS provisioning (RFC 3317).
    pub const DIFFSERV_QOS: Self = Self(2);

    /// Who may use the value (RFC 2748 6).
    #[must_use]
    pub const fn range(self) -> ClientTypeRange {
        match self.0 {
            0 => ClientTypeRange::Connection,
            0x0001..=0x3fff => ClientTypeRange::SpecificationRequired,
            0x4000..=0x7fff => ClientTypeRange::PrivateUse,
            0x8000..=0xffff => ClientTypeRange::FirstComeFirstServed,
        }
    }

    /// Whether the top bit is set: enterprise specific (RFC 2748 2.1).
    #[must_use]
    pub const fn is_enterprise_specific(self) -> bool {
        self.0 & 0x8000 != 0
    }
}

impl core::fmt::Display for ClientType {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{:#06x}", self.0)
    }
}

impl core::fmt::Debug for ClientType {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "ClientType({self})")
    }
}

/// The ranges into which IANA's rules divide the client-types (RFC 2748 6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ClientTypeRange {
    /// 0: connection-level use.
    Connection,
    /// 0x0001 to 0x3FFF: registered, and described in a COPS extension document.
    SpecificationRequired,
    /// 0x4000 to 0x7FFF: not tracked; not for standards or general-release products.
    PrivateUse,
    /// 0x8000 to 0xFFFF: enterprise specific; registered, no document needed.
    FirstComeFirstServed,
}

/// The common header (RFC 2748 2.1).
///
/// ```text
///         0             1              2             3
///  +--------------+--------------+--------------+--------------+
///  |Version| Flags|    Op Code   |       Client-type           |
///  +--------------+--------------+--------------+--------------+
///  |                      Message Length                       |
///  +--------------+--------------+--------------+--------------+
/// ```
///
/// Of the four flags only the solicited one has a meaning; the others are sent as zero and not looked at when received.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Header {
    /// The other side asked for this message. Only DEC and RPT set it (RFC 2748 3.2, 3.3).
    pub solicited: bool,
    /// Which message it is.
    pub op_code: OpCode,
    /// Relative to which client-type its objects are read.
    pub client_type: ClientType,
    /// Octets of the whole message, this header and all padding included; a multiple of 4.
    pub length: u32,
}

impl Header {
    pub(crate) fn put(&self, out: &mut impl BufMut) {
        out.put_u8(VERSION << 4 | if self.solicited { SOLICITED_FLAG } else { 0 });
        out.put_u8(self.op_code.0);
        out.put_u16(self.client_type.0);
        out.put_u32(self.length);
    }
}
