//! Objects: their numbers, the walk over them, and each one typed, without allocation (RFC 2748 2.2).

use std::net::IpAddr;

use bytes::BufMut;

use super::{
    AccountingTimer, ClientSi, Context, CopsError, DecisionDataKind, DecisionFlags, Integrity,
    IntegrityTlsFlags, Interface, KaTimer, KeyId, PdpAddress, PepId, Reason, ReportType, SequenceNumber,
    header::HEADER_OCTETS, number::number, parse,
};
use crate::{
    error::{Fault, FaultKind},
    limits::Limits,
};

number! {
    /// The class of an object (RFC 2748 2.2).
    pub struct CNum(u8) {
        /// Handle.
        HANDLE = 1, "Handle";
        /// Context.
        CONTEXT = 2, "Context";
        /// In-Interface.
        IN_INTERFACE = 3, "In-Interface";
        /// Out-Interface.
        OUT_INTERFACE = 4, "Out-Interface";
        /// Reason.
        REASON = 5, "Reason";
        /// Decision.
        DECISION = 6, "Decision";
        /// LPDP Decision.
        LPDP_DECISION = 7, "LPDP Decision";
        /// Error.
        ERROR = 8, "Error";
        /// Client Specific Information.
        CLIENT_SI = 9, "ClientSI";
        /// Keep-Alive Timer.
        KA_TIMER = 10, "KA Timer";
        /// PEP Identification.
        PEP_ID = 11, "PEPID";
        /// Report-Type.
        REPORT_TYPE = 12, "Report-Type";
        /// PDP Redirect Address.
        PDP_REDIRECT_ADDRESS = 13, "PDP Redirect Address";
        /// Last PDP Address.
        LAST_PDP_ADDRESS = 14, "Last PDP Address";
        /// Accounting Timer.
        ACCOUNTING_TIMER = 15, "Accounting Timer";
        /// Message Integrity.
        INTEGRITY = 16, "Integrity";
    }
}

/// The subtype or version of an object, within its C-Num (RFC 2748 2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CType(pub u8);

impl CType {
    /// 1 for IPv4, 2 for IPv6: the same for all objects that hold an address.
    pub(super) const fn of_family(address: &IpAddr) -> Self {
        match address {
            IpAddr::V4(_) => Self(1),
            IpAddr::V6(_) => Self(2),
        }
    }
}

/// C-Num and C-Type together: what an object is (RFC 2748 2.2).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectId {
    /// The class.
    pub c_num: CNum,
    /// The subtype.
    pub c_type: CType,
}

impl ObjectId {
    /// From the two numbers.
    #[must_use]
    pub const fn new(c_num: CNum, c_type: u8) -> Self {
        Self {
            c_num,
            c_type: CType(c_type),
        }
    }

    /// As Error Sub-code or Reason Sub-code: C-Num in the high octet, C-Type in the low one (RFC 2748 2.2.5, 2.2.8).
    #[must_use]
    pub const fn as_sub_code(self) -> u16 {
        u16::from_be_bytes([self.c_num.0, self.c_type.0])
    }

    /// The length that the RFC lets the object state, in words.
    pub(super) const fn stated_length(self) -> Option<&'static str> {
        match (self.c_num, self.c_type.0) {
            (CNum::CONTEXT | CNum::REASON | CNum::ERROR | CNum::KA_TIMER, 1)
            | (CNum::REPORT_TYPE | CNum::ACCOUNTING_TIMER | CNum::DECISION | CNum::LPDP_DECISION, 1)
            | (CNum::INTEGRITY, 2) => Some("a length of 8"),
            (
                CNum::IN_INTERFACE
                | CNum::OUT_INTERFACE
                | CNum::PDP_REDIRECT_ADDRESS
                | CNum::LAST_PDP_ADDRESS,
                1,
            ) => Some("a length of 12"),
            (
                CNum::IN_INTERFACE
                | CNum::OUT_INTERFACE
                | CNum::PDP_REDIRECT_ADDRESS
                | CNum::LAST_PDP_ADDRESS,
                2,
            ) => Some("a length of 24"),
            (CNum::INTEGRITY, 1) => Some("a length of at least 12"),
            _ => None,
        }
    }
}

impl core::fmt::Display for ObjectId {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self.c_num.name() {
            Some(name) => write!(f, "{name} ({},{})", self.c_num.0, self.c_type.0),
            None => write!(f, "object ({},{})", self.c_num.0, self.c_type.0),
        }
    }
}

impl core::fmt::Debug for ObjectId {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "ObjectId({self})")
    }
}

/// An object as it stands in a message, not looked into (RFC 2748 2.2).
///
/// ```text
///  +-------------+-------------+-------------+-------------+
///  |       Length (octets)     |    C-Num    |   C-Type    |
///  +-------------+-------------+-------------+-------------+
///  //                  (Object contents)                   //
///  +-------------+-------------+-------------+-------------+
/// ```
///
/// The length counts header and contents; padding to a multiple of 4 follows and is not counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RawObject<'a> {
    /// Octets between the start of the message and this object.
    pub offset: usize,
    /// What it says it is.
    pub id: ObjectId,
    /// What it holds, without padding.
    pub contents: &'a [u8],
}

impl<'a> RawObject<'a> {
    /// Octets of an object's header.
    pub const HEADER_OCTETS: usize = 4;

    /// The length that stands in the object's header.
    #[must_use]
    pub const fn stated_octets(&self) -> usize {
        Self::HEADER_OCTETS + self.contents.len()
    }

    /// Octets between the start of the message and the contents.
    #[must_use]
    pub const fn contents_offset(&self) -> usize {
        self.offset + Self::HEADER_OCTETS
    }

    pub(crate) const fn fault(&self, kind: FaultKind) -> Fault {
        Fault::new(self.offset, kind)
    }

    pub(super) fn invalid_value(&self, expected: &'static str, found: u32) -> Fault {
        Fault::new(
            self.contents_offset(),
            FaultKind::InvalidValue {
                object: self.id,
                expected,
                found,
            },
        )
    }

    /// Reads the contents as what the object says it is. An identity that is not known is no fault here.
    ///
    /// # Errors
    /// If the contents do not have the object's format, or exceed `limits`.
    pub fn typed(&self, limits: &Limits) -> Result<ObjectRef<'a>, Fault> {
        Ok(match (self.id.c_num, self.id.c_type.0) {
            (CNum::HANDLE, 1) if self.contents.len() > limits.max_handle_octets => {
                return Err(self.fault(FaultKind::HandleTooLong {
                    limit: limits.max_handle_octets,
                    found: self.contents.len(),
                }));
            }
            (CNum::HANDLE, 1) => ObjectRef::Handle(self.contents),
            (CNum::CONTEXT, 1) => ObjectRef::Context(Context::decode(self)?),
            (CNum::IN_INTERFACE, 1) => ObjectRef::InInterface(Interface::decode_ipv4(self)?),
            (CNum::IN_INTERFACE, 2) => ObjectRef::InInterface(Interface::decode_ipv6(self)?),
            (CNum::OUT_INTERFACE, 1) => ObjectRef::OutInterface(Interface::decode_ipv4(self)?),
            (CNum::OUT_INTERFACE, 2) => ObjectRef::OutInterface(Interface::decode_ipv6(self)?),
            (CNum::REASON, 1) => ObjectRef::Reason(Reason::decode(self)?),
            (CNum::DECISION, 1) => ObjectRef::DecisionFlags(DecisionFlags::decode(self)?),
            (CNum::DECISION, 2) => ObjectRef::DecisionData(DecisionDataKind::Stateless, self.contents),
            (CNum::DECISION, 3) => ObjectRef::DecisionData(DecisionDataKind::Replacement, self.contents),
            (CNum::DECISION, 4) => ObjectRef::DecisionData(DecisionDataKind::ClientSi, self.contents),
            (CNum::DECISION, 5) => ObjectRef::DecisionData(DecisionDataKind::Named, self.contents),
            (CNum::LPDP_DECISION, 1) => ObjectRef::LpdpDecisionFlags(DecisionFlags::decode(self)?),
            (CNum::LPDP_DECISION, 2) => {
                ObjectRef::LpdpDecisionData(DecisionDataKind::Stateless, self.contents)
            }
            (CNum::LPDP_DECISION, 3) => {
                ObjectRef::LpdpDecisionData(DecisionDataKind::Replacement, self.contents)
            }
            (CNum::LPDP_DECISION, 4) => {
                ObjectRef::LpdpDecisionData(DecisionDataKind::ClientSi, self.contents)
            }
            (CNum::LPDP_DECISION, 5) => ObjectRef::LpdpDecisionData(DecisionDataKind::Named, self.contents),
            (CNum::ERROR, 1) => ObjectRef::Error(CopsError::decode(self)?),
            (CNum::CLIENT_SI, 1) => ObjectRef::SignaledClientSi(self.contents),
            (CNum::CLIENT_SI, 2) => ObjectRef::NamedClientSi(self.contents),
            (CNum::KA_TIMER, 1) => ObjectRef::KaTimer(KaTimer::decode(self)?),
            (CNum::PEP_ID, 1) => ObjectRef::PepId(PepId::decode(self, limits)?),
            (CNum::REPORT_TYPE, 1) => ObjectRef::ReportType(ReportType::decode(self)?),
            (CNum::PDP_REDIRECT_ADDRESS, 1) => ObjectRef::PdpRedirectAddress(PdpAddress::decode_ipv4(self)?),
            (CNum::PDP_REDIRECT_ADDRESS, 2) => ObjectRef::PdpRedirectAddress(PdpAddress::decode_ipv6(self)?),
            (CNum::LAST_PDP_ADDRESS, 1) => ObjectRef::LastPdpAddress(PdpAddress::decode_ipv4(self)?),
            (CNum::LAST_PDP_ADDRESS, 2) => ObjectRef::LastPdpAddress(PdpAddress::decode_ipv6(self)?),
            (CNum::ACCOUNTING_TIMER, 1) => ObjectRef::AccountingTimer(AccountingTimer::decode(self)?),
            (CNum::INTEGRITY, 1) => Integrity::decode_hmac(self, limits)?,
            (CNum::INTEGRITY, 2) => ObjectRef::IntegrityTls(Integrity::decode_tls(self)?),
            _ => ObjectRef::Unknown {
                id: self.id,
                contents: self.contents,
            },
        })
    }
}

/// The walk over a message's objects, in the order in which they stand. Ends after the first fault.
#[derive(Clone, Debug)]
pub struct Objects<'a> {
    message: &'a [u8],
    at: usize,
}

impl<'a> Objects<'a> {
    /// Over all octets of a message, its header included.
    pub(crate) const fn new(message: &'a [u8]) -> Self {
        Self {
            message,
            at: HEADER_OCTETS,
        }
    }
}

impl<'a> Iterator for Objects<'a> {
    type Item = Result<RawObject<'a>, Fault>;

    fn next(&mut self) -> Option<Self::Item> {
        let octets = self.message.get(self.at..).filter(|octets| !octets.is_empty())?;
        match parse::object(octets, self.at) {
            Ok((object, wire_octets)) => {
                self.at += wire_octets;
                Some(Ok(object))
            }
            Err(fault) => {
                self.at = self.message.len();
                Some(Err(fault))
            }
        }
    }
}

impl core::iter::FusedIterator for Objects<'_> {}

/// An object, typed, borrowing what it holds: all sixteen C-Nums with their C-Types, and what is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ObjectRef<'a> {
    /// (1,1)
    Handle(&'a [u8]),
    /// (2,1)
    Context(Context),
    /// (3,1) and (3,2)
    InInterface(Interface),
    /// (4,1) and (4,2)
    OutInterface(Interface),
    /// (5,1)
    Reason(Reason),
    /// (6,1)
    DecisionFlags(DecisionFlags),
    /// (6,2) to (6,5)
    DecisionData(DecisionDataKind, &'a [u8]),
    /// (7,1)
    LpdpDecisionFlags(DecisionFlags),
    /// (7,2) to (7,5)
    LpdpDecisionData(DecisionDataKind, &'a [u8]),
    /// (8,1)
    Error(CopsError),
    /// (9,1)
    SignaledClientSi(&'a [u8]),
    /// (9,2)
    NamedClientSi(&'a [u8]),
    /// (10,1)
    KaTimer(KaTimer),
    /// (11,1), without NUL and padding
    PepId(&'a str),
    /// (12,1)
    ReportType(ReportType),
    /// (13,1) and (13,2)
    PdpRedirectAddress(PdpAddress),
    /// (14,1) and (14,2)
    LastPdpAddress(PdpAddress),
    /// (15,1)
    AccountingTimer(AccountingTimer),
    /// (16,1)
    IntegrityHmac {
        /// The key and algorithm.
        key_id: KeyId,
        /// The message's number in its direction.
        sequence_number: SequenceNumber,
        /// The digest.
        digest: &'a [u8],
    },
    /// (16,2)
    IntegrityTls(IntegrityTlsFlags),
    /// Anything else.
    Unknown {
        /// What it says it is.
        id: ObjectId,
        /// What it holds.
        contents: &'a [u8],
    },
}

impl ObjectRef<'_> {
    /// C-Num and C-Type.
    #[must_use]
    pub fn id(&self) -> ObjectId {
        let (c_num, c_type) = match self {
            Self::Handle(_) => (CNum::HANDLE, CType(1)),
            Self::Context(_) => (CNum::CONTEXT, CType(1)),
            Self::InInterface(interface) => (CNum::IN_INTERFACE, interface.c_type()),
            Self::OutInterface(interface) => (CNum::OUT_INTERFACE, interface.c_type()),
            Self::Reason(_) => (CNum::REASON, CType(1)),
            Self::DecisionFlags(_) => (CNum::DECISION, CType(1)),
            Self::DecisionData(kind, _) => (CNum::DECISION, kind.c_type()),
            Self::LpdpDecisionFlags(_) => (CNum::LPDP_DECISION, CType(1)),
            Self::LpdpDecisionData(kind, _) => (CNum::LPDP_DECISION, kind.c_type()),
            Self::Error(_) => (CNum::ERROR, CType(1)),
            Self::SignaledClientSi(_) => (CNum::CLIENT_SI, ClientSi::SIGNALED),
            Self::NamedClientSi(_) => (CNum::CLIENT_SI, ClientSi::NAMED),
            Self::KaTimer(_) => (CNum::KA_TIMER, CType(1)),
            Self::PepId(_) => (CNum::PEP_ID, CType(1)),
            Self::ReportType(_) => (CNum::REPORT_TYPE, CType(1)),
            Self::PdpRedirectAddress(address) => (CNum::PDP_REDIRECT_ADDRESS, address.c_type()),
            Self::LastPdpAddress(address) => (CNum::LAST_PDP_ADDRESS, address.c_type()),
            Self::AccountingTimer(_) => (CNum::ACCOUNTING_TIMER, CType(1)),
            Self::IntegrityHmac { .. } => (CNum::INTEGRITY, Integrity::HMAC),
            Self::IntegrityTls(_) => (CNum::INTEGRITY, Integrity::TLS),
            Self::Unknown { id, .. } => (id.c_num, id.c_type),
        };
        ObjectId { c_num, c_type }
    }

    /// Octets of the contents, as the object's stated length counts them.
    #[must_use]
    pub fn contents_octets(&self) -> usize {
        const ADDRESS_FOLLOWED_BY_WORD_IPV4: usize = 8;
        const ADDRESS_FOLLOWED_BY_WORD_IPV6: usize = 20;
        let with_address = |address: &IpAddr| match address {
            IpAddr::V4(_) => ADDRESS_FOLLOWED_BY_WORD_IPV4,
            IpAddr::V6(_) => ADDRESS_FOLLOWED_BY_WORD_IPV6,
        };
        match self {
            Self::Context(_)
            | Self::Reason(_)
            | Self::DecisionFlags(_)
            | Self::LpdpDecisionFlags(_)
            | Self::Error(_)
            | Self::KaTimer(_)
            | Self::ReportType(_)
            | Self::AccountingTimer(_)
            | Self::IntegrityTls(_) => 4,
            Self::InInterface(Interface { address, .. })
            | Self::OutInterface(Interface { address, .. })
            | Self::PdpRedirectAddress(PdpAddress { address, .. })
            | Self::LastPdpAddress(PdpAddress { address, .. }) => with_address(address),
            Self::Handle(contents)
            | Self::DecisionData(_, contents)
            | Self::LpdpDecisionData(_, contents)
            | Self::SignaledClientSi(contents)
            | Self::NamedClientSi(contents)
            | Self::Unknown { contents, .. } => contents.len(),
            Self::PepId(name) => PepId::contents_octets(name.len()),
            Self::IntegrityHmac { digest, .. } => Integrity::HMAC_FIXED_OCTETS + digest.len(),
        }
    }

    /// Writes the contents: as many octets as [`Self::contents_octets`] says.
    pub(crate) fn put_contents(&self, out: &mut impl BufMut) {
        match self {
            Self::Context(context) => context.put(out),
            Self::InInterface(interface) | Self::OutInterface(interface) => interface.put(out),
            Self::Reason(reason) => reason.put(out),
            Self::DecisionFlags(flags) | Self::LpdpDecisionFlags(flags) => flags.put(out),
            Self::Error(error) => error.put(out),
            Self::KaTimer(timer) => timer.put(out),
            Self::PepId(name) => PepId::put(name, out),
            Self::ReportType(report_type) => report_type.put(out),
            Self::PdpRedirectAddress(address) | Self::LastPdpAddress(address) => address.put(out),
            Self::AccountingTimer(timer) => timer.put(out),
            Self::IntegrityHmac {
                key_id,
                sequence_number,
                digest,
            } => {
                Integrity::put_hmac(*key_id, *sequence_number, digest, out);
            }
            Self::IntegrityTls(flags) => Integrity::put_tls(*flags, out),
            Self::Handle(contents)
            | Self::DecisionData(_, contents)
            | Self::LpdpDecisionData(_, contents)
            | Self::SignaledClientSi(contents)
            | Self::NamedClientSi(contents)
            | Self::Unknown { contents, .. } => out.put_slice(contents),
        }
    }
}
