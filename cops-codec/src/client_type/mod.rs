//! Client-types that this crate knows as data: their rows as plain structs.
//!
//! A client-type's rows are instances of provisioning classes. [`framework`] has the classes of FRAMEWORK-PIB (RFC 3318)
//! that every COPS-PR client-type shares, [`power`] those of POWER-DIVERT-PIB (docs/POWER-DIVERT-PIB). [`Row`] is any of
//! them, [`RowId`] its name within a context.
//!
//! What a row means, and whether an order in it can be carried out, is not known here.

mod attribute;
mod class;
pub mod feedback;
pub mod framework;
mod macros;
pub mod numbers;
pub mod power;
mod row;
mod row_error;
pub mod store;

pub use attribute::{Bounded, Digest, OctetString, Syntax};
pub use class::{Access, AttributeInfo, RowId};
pub use row::{Class, Decoded, Reference, Row, TypedRow};
pub use row_error::{RowError, RowFault};
