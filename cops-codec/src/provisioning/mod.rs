//! COPS-PR (RFC 3084): provisioning instances, their identifiers and errors, in BER.
//!
//! A Named ClientSI (9,2) and a Named Decision Data (6,5) hold a sequence of inner objects (RFC 3084 section 4). This
//! module walks them ([`object`]), checks the grammar of each place they stand in ([`binding`]), reads and writes the
//! BER values inside ([`ber`]) and packs rows into object contents of legal size ([`packing`]). What the rows mean is
//! the business of [`crate::client_type`].
//!
//! Every reader takes the absolute offset of its first octet, so that each error names a place in the message that
//! came over the wire.

pub mod ber;
pub mod binding;
mod contents;
pub mod decision;
pub mod error;
mod identifier;
pub mod object;
mod oid;
pub mod packing;

pub use binding::{Binding, RemoveTarget, Report, ReportedError};
pub use contents::Contents;
pub use decision::{Operation, Transaction};
pub use error::{ClassError, ClassErrorCode, Fault, GlobalError, GlobalErrorCode, ProvisioningError};
pub use identifier::{InstanceId, Prid, ReferenceId};
pub use object::{InnerObject, InnerObjects, SNum};
pub use oid::{MAX_SUB_IDENTIFIERS, Oid, OidRef};
