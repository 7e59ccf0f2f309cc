//! Time as the caller gives it.

use core::time::Duration;

/// A point in time: milliseconds on a monotonic clock of the caller's, from any start.
///
/// Sessions never read a clock. A caller must not go back in time; if it does, nothing is done before its time, and what
/// was due already stays due.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment(pub u64);

impl Moment {
    /// This much later. A duration is cut to whole milliseconds; the end of time is not passed.
    #[must_use]
    pub const fn after(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(milliseconds(duration)))
    }

    /// How long ago `earlier` was; zero if it is yet to come.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

/// Whole milliseconds, at most what fits.
pub(super) const fn milliseconds(duration: Duration) -> u64 {
    let milliseconds = duration.as_millis();
    if milliseconds > u64::MAX as u128 {
        u64::MAX
    } else {
        milliseconds as u64
    }
}
