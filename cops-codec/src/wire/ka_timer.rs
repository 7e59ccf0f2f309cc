//! Keep-Alive Timer (RFC 2748 2.2.10).

use std::time::Duration;

use bytes::BufMut;

use super::{
    object::RawObject,
    parse::{self, be_u16},
};
use crate::error::Fault;

/// Keep-Alive Timer, (10,1), in seconds: within it each end must hear a message of the other (RFC 2748 2.2.10).
///
/// ```text
///  +--------------+--------------+--------------+--------------+
///  |        //////////////       |        KA Timer Value       |
///  +--------------+--------------+--------------+--------------+
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct KaTimer(pub u16);

impl KaTimer {
    /// Zero: no keep-alive at all.
    pub const INFINITE: Self = Self(0);

    /// The interval, or `None` for infinity.
    ///
    /// An `Option`, because as a plain number infinity is the smallest of all, and the timer that counts on a connection
    /// is the smallest of those that it got (RFC 2748 3.9).
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
