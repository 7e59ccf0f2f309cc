//! Accounting Timer (RFC 2748 2.2.15).

use std::time::Duration;

use bytes::BufMut;

use super::{
    object::RawObject,
    parse::{self, be_u16},
};
use crate::error::Fault;

/// Accounting Timer, (15,1), in seconds: the least interval between unsolicited accounting reports (RFC 2748 2.2.15).
///
/// ```text
///  +--------------+--------------+--------------+--------------+
///  |        //////////////       |       ACCT Timer Value      |
///  +--------------+--------------+--------------+--------------+
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AccountingTimer(pub u16);

impl AccountingTimer {
    /// Zero: there should be no unsolicited accounting report at all.
    pub const NEVER: Self = Self(0);

    /// The least interval between two reports, or `None` where there should be none.
    #[must_use]
    pub const fn interval(self) -> Option<Duration> {
        match self.0 {
            0 => None,
            seconds => Some(Duration::from_secs(seconds as u64)),
        }
    }

    pub(super) fn decode(object: &RawObject<'_>) -> Result<Self, Fault> {
        let (_reserved, seconds) = parse::contents(object, (be_u16, be_u16))?;
        Ok(Self(seconds))
    }

    pub(super) fn put(self, out: &mut impl BufMut) {
        out.put_u16(0);
        out.put_u16(self.0);
    }
}
