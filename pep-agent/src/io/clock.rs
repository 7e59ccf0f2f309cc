//! The two clocks: real time for sessions, scaled time for engines.

use std::time::Duration;

use cops_codec::integrity::UnixTime;
use cops_codec::session::Moment;
use rustix::time::{ClockId, clock_gettime};

use crate::node::{Due, Now};

/// Reads CLOCK_BOOTTIME: monotonic, and it goes on while the machine sleeps, as mains and batteries do.
#[derive(Debug, Clone, Copy)]
pub struct BootClock {
    scale: u32,
}

impl BootClock {
    /// A clock whose engine time passes `scale` times as fast as real time.
    pub fn new(scale: u32) -> Self {
        Self { scale: scale.max(1) }
    }

    /// How fast the engine's time passes.
    pub fn scale(self) -> u32 {
        self.scale
    }

    /// The present instant on both clocks.
    pub fn now(self) -> Now {
        let time = clock_gettime(ClockId::Boottime);
        let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
        let nanos = u64::try_from(time.tv_nsec).unwrap_or(0);
        let real = u128::from(seconds) * 1_000_000_000 + u128::from(nanos);
        let millis = |nanos: u128| u64::try_from(nanos / 1_000_000).unwrap_or(u64::MAX);
        Now {
            session: Moment(millis(real)),
            engine: millis(real * u128::from(self.scale)),
        }
    }

    /// Real time from `now` until something is due; `None` if nothing is.
    pub fn until(self, now: Now, due: Due) -> Option<Duration> {
        let session = due.session.map(|at| at.since(now.session));
        let engine = due.engine.map(|at| {
            let millis = at.saturating_sub(now.engine);
            // Rounded up: early would be once more for nothing.
            Duration::from_millis(millis.div_ceil(u64::from(self.scale)))
        });
        session.into_iter().chain(engine).min()
    }

    /// Engine milliseconds that pass in a real time.
    pub fn scaled_millis(self, real: Duration) -> u64 {
        u64::try_from(real.as_millis())
            .unwrap_or(u64::MAX)
            .saturating_mul(u64::from(self.scale))
    }
}

/// What the calendar says now.
pub fn calendar_time() -> UnixTime {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    UnixTime(since.map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn engine_time_passes_faster_and_waits_are_real() {
        let clock = BootClock::new(20);
        let now = clock.now();
        assert!(now.engine / 20 >= now.session.0 && now.engine / 20 <= now.session.0 + 1);
        let due = Due {
            session: Some(Moment(now.session.0 + 900)),
            engine: Some(now.engine + 10_001),
        };
        assert_eq!(clock.until(now, due), Some(Duration::from_millis(501)));
        let past = Due {
            session: Some(Moment(0)),
            engine: None,
        };
        assert_eq!(clock.until(now, past), Some(Duration::ZERO));
        assert_eq!(
            clock.until(
                now,
                Due {
                    session: None,
                    engine: None
                }
            ),
            None
        );
        assert_eq!(clock.scaled_millis(Duration::from_secs(2)), 40_000);
    }
}
