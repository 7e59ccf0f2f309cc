//! The two clocks: real time for sessions, scaled time for the engine.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

use crate::io::journal::LastClock;
use crate::node::{Deadlines, Now};

/// Reads CLOCK_BOOTTIME: monotonic, the same for all processes of one boot, and it goes on while the machine sleeps, as
/// mains and batteries do.
#[derive(Debug, Clone, Copy)]
pub struct BootClock {
    scale: u32,
    offset_millis: i64,
}

/// A clock, and how the times in a journal relate to it.
#[derive(Debug, Clone, Copy)]
pub struct Resumed {
    /// The clock.
    pub clock: BootClock,
    /// What has to be added to the times in the journal.
    pub rebase_millis: i64,
}

impl BootClock {
    /// A clock whose engine time passes `scale` times as fast as real time and goes on where `last` left off.
    ///
    /// Within one boot and one scale the clock simply goes on, so an outage is as old as it really is. After a reboot, or
    /// under another scale, only the calendar knows how long the PDP was away: the journal's times are moved so that the
    /// last record is as old as the calendar says; if the calendar went back, it is from just now.
    pub fn resume(scale: u32, boot_id: &str, unix_millis: u64, last: Option<&LastClock>) -> Resumed {
        let scale = scale.max(1);
        match last {
            Some(last) if last.boot_id == boot_id && last.scale == scale => Resumed {
                clock: Self {
                    scale,
                    offset_millis: last.offset_millis,
                },
                rebase_millis: 0,
            },
            Some(last) => {
                let clock = Self {
                    scale,
                    offset_millis: 0,
                };
                let away = unix_millis
                    .saturating_sub(last.unix_millis)
                    .saturating_mul(u64::from(scale));
                let last_record_now = clock.now().engine_millis.saturating_sub(away);
                let rebase = i128::from(last_record_now) - i128::from(last.engine_millis);
                let rebase_millis = i64::try_from(rebase).unwrap_or(0);
                Resumed { clock, rebase_millis }
            }
            None => Resumed {
                clock: Self {
                    scale,
                    offset_millis: 0,
                },
                rebase_millis: 0,
            },
        }
    }

    /// How fast the engine's time passes.
    pub fn scale(self) -> u32 {
        self.scale
    }

    /// What the engine's clock shows minus the scaled clock of the machine.
    pub fn offset_millis(self) -> i64 {
        self.offset_millis
    }

    /// The present instant on both clocks.
    pub fn now(self) -> Now {
        let time = clock_gettime(ClockId::Boottime);
        let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
        let nanos = u64::try_from(time.tv_nsec).unwrap_or(0);
        let real = u128::from(seconds) * 1_000_000_000 + u128::from(nanos);
        let millis = |nanos: u128| u64::try_from(nanos / 1_000_000).unwrap_or(u64::MAX);
        let scaled = millis(real * u128::from(self.scale));
        Now {
            real_millis: millis(real),
            engine_millis: scaled.saturating_add_signed(self.offset_millis),
        }
    }

    /// Real time from `now` until something is due; `None` if nothing is.
    pub fn until(self, now: Now, due: Deadlines) -> Option<Duration> {
        let session = due.real_millis.map(|at| at.saturating_sub(now.real_millis));
        // Rounded up: early would be once more for nothing.
        let engine = due.engine_millis.map(|at| {
            at.saturating_sub(now.engine_millis)
                .div_ceil(u64::from(self.scale))
        });
        session.into_iter().chain(engine).min().map(Duration::from_millis)
    }
}

/// Names this boot of the machine.
///
/// # Errors
/// The system does not say.
pub fn boot_id() -> std::io::Result<String> {
    Ok(std::fs::read_to_string("/proc/sys/kernel/random/boot_id")?
        .trim()
        .to_owned())
}

/// Time of the calendar, in milliseconds since 1970.
pub fn unix_millis() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn last(boot_id: &str, engine_millis: u64) -> LastClock {
        LastClock {
            boot_id: boot_id.to_owned(),
            scale: 10,
            offset_millis: 77,
            engine_millis,
            unix_millis: 1_000_000,
        }
    }

    #[test]
    fn goes_on_within_a_boot() {
        let resumed = BootClock::resume(10, "a", 1_005_000, Some(&last("a", 5)));
        assert_eq!((resumed.clock.offset_millis(), resumed.rebase_millis), (77, 0));
    }

    #[test]
    fn after_a_reboot_the_calendar_says_how_old_the_last_record_is() {
        let resumed = BootClock::resume(10, "b", 1_005_000, Some(&last("a", 123_456_789_000)));
        let now = resumed.clock.now().engine_millis;
        let moved = 123_456_789_000_i64 + resumed.rebase_millis;
        // Away for 5 s, which are 50 s of the engine's; the clock has moved a little since.
        let age = i64::try_from(now).unwrap() - moved;
        assert!((50_000..60_000).contains(&age) || now < 50_000, "{age}");
    }

    #[test]
    fn waits_are_real_and_rounded_up() {
        let clock = BootClock {
            scale: 20,
            offset_millis: 0,
        };
        let now = Now {
            real_millis: 1_000,
            engine_millis: 20_000,
        };
        let due = |real_millis, engine_millis| Deadlines {
            real_millis,
            engine_millis,
        };
        assert_eq!(
            clock.until(now, due(Some(1_900), Some(30_001))),
            Some(Duration::from_millis(501))
        );
        assert_eq!(clock.until(now, due(Some(3), None)), Some(Duration::ZERO));
        assert_eq!(clock.until(now, due(None, None)), None);
    }
}
