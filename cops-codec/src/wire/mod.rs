//! What stands on the wire: numbers, the common header, the object walk, and one type an object (RFC 2748 2.1, 2.2).
//!
//! A number that is not known here is kept as it came (RFC 2748 6 lets later documents add some); so is an object, as
//! [`ObjectRef::Unknown`]. Reserved fields are written as zero and not looked at when read.

mod accounting_timer;
mod client_si;
mod context;
mod decision;
mod error;
mod handle;
mod header;
mod integrity;
mod interface;
mod ka_timer;
mod number;
mod object;
mod parse;
mod pdp_address;
mod pep_id;
mod reason;
mod report_type;

pub use accounting_timer::AccountingTimer;
pub use client_si::ClientSi;
pub use context::{Context, MType, RType};
pub use decision::{CommandCode, DecisionDataKind, DecisionFlagBits, DecisionFlags};
pub use error::{CopsError, ErrorCode};
pub use handle::ClientHandle;
pub use header::{ClientType, ClientTypeRange, HEADER_OCTETS, Header, OpCode, Role, VERSION};
pub use integrity::{HMAC_MD5_96_OCTETS, Integrity, IntegrityTlsFlags, KeyId, SequenceNumber};
pub use interface::Interface;
pub use ka_timer::KaTimer;
pub use object::{CNum, CType, ObjectId, ObjectRef, Objects, RawObject};
pub(crate) use parse::{header as parse_header, version as parse_version};
pub use pdp_address::PdpAddress;
pub use pep_id::{PepId, PepIdError};
pub use reason::{Reason, ReasonCode};
pub use report_type::ReportType;
