//! Report-Type (RFC 2748 2.2.12).

use bytes::BufMut;

use super::{
    number::number,
    object::RawObject,
    parse::{self, be_u16},
};
use crate::error::Fault;

number! {
    /// Report-Type, (12,1): what a RPT reports (RFC 2748 2.2.12).
    ///
    /// The value is in the first half, unlike that of the timers.
    ///
    /// ```text
    ///  +--------------+--------------+--------------+--------------+
    ///  |         Report-Type         |        /////////////        |
    ///  +--------------+--------------+--------------+--------------+
    /// ```
    pub struct ReportType(u16) {
        /// The decision was carried out.
        SUCCESS = 1, "Success";
        /// The decision could not be carried out.
        FAILURE = 2, "Failure";
        /// An accounting update of an installed state.
        ACCOUNTING = 3, "Accounting";
    }
}

impl ReportType {
    pub(super) fn decode(object: &RawObject<'_>) -> Result<Self, Fault> {
        let (value, _reserved) = parse::contents(object, (be_u16, be_u16))?;
        Ok(Self(value))
    }

    pub(super) fn put(self, out: &mut impl BufMut) {
        out.put_u16(self.0);
        out.put_u16(0);
    }
}
