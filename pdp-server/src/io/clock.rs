//! The two clocks: real time for sessions, scaled time for the engine.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

use crate::io::journal::LastClock;
use crate::node::{Deadlines, Now};

/// How long a machine is believed to have been down, at most: a week.
const MAX_DOWN_MILLIS: u64 = 7 * 24 * 3_600 * 1_000;

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
    /// A clock whose engine time passes `scale` times as fast as real time and goes on where `last` left off, so that an
    /// outage is as old as it really is and times in the journal need not be moved.
    ///
    /// Within one boot it goes on exactly, also under another scale. After a reboot it goes on from the last record, by
    /// as much as the calendar says has passed: at least the time since boot, and at most a week more, because a calendar
    /// may be wrong.
    pub fn resume(scale: u32, boot_id: &str, unix_millis: u64, last: Option<&LastClock>) -> Resumed {
        Self::resume_at(boot_nanos(), scale, boot_id, unix_millis, last)
    }

    fn resume_at(
        boot_nanos: u128,
        scale: u32,
        boot_id: &str,
        unix_millis: u64,
        last: Option<&LastClock>,
    ) -> Resumed {
        let plain = Self {
            scale: scale.max(1),
            offset_millis: 0,
        };
        let clock = match last {
            None => plain,
            Some(last) => {
                let old = Self {
                    scale: last.scale.max(1),
                    offset_millis: last.offset_millis,
                };
                // What the clock shall show now.
                let shows = if last.boot_id == boot_id {
                    old.at(boot_nanos).engine_millis
                } else {
                    let up = plain.at(boot_nanos).real_millis;
                    let away = unix_millis
                        .saturating_sub(last.unix_millis)
                        .min(up.saturating_add(MAX_DOWN_MILLIS))
                        .max(up);
                    last.engine_millis
                        .saturating_add(away.saturating_mul(u64::from(plain.scale)))
                }
                .max(last.engine_millis);
                let offset = i128::from(shows) - i128::from(plain.at(boot_nanos).engine_millis);
                Self {
                    offset_millis: i64::try_from(offset).unwrap_or(i64::MAX),
                    ..plain
                }
            }
        };
        Resumed {
            clock,
            rebase_millis: 0,
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
        self.at(boot_nanos())
    }

    fn at(self, boot_nanos: u128) -> Now {
        let millis = |nanos: u128| u64::try_from(nanos / 1_000_000).unwrap_or(u64::MAX);
        let scaled = millis(boot_nanos.saturating_mul(u128::from(self.scale)));
        Now {
            real_millis: millis(boot_nanos),
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

fn boot_nanos() -> u128 {
    let time = clock_gettime(ClockId::Boottime);
    let seconds = u128::try_from(time.tv_sec).unwrap_or(0);
    let nanos = u128::try_from(time.tv_nsec).unwrap_or(0);
    seconds * 1_000_000_000 + nanos
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

    const SECOND: u128 = 1_000_000_000;

    fn last(boot_id: &str, scale: u32, offset_millis: i64) -> LastClock {
        LastClock {
            boot_id: boot_id.to_owned(),
            scale,
            offset_millis,
            engine_millis: 5_000_000,
            unix_millis: 1_000_000_000,
        }
    }

    /// What a clock shows that is resumed `boot_seconds` after a boot.
    fn shows(boot_seconds: u128, scale: u32, boot_id: &str, unix_millis: u64, last: &LastClock) -> u64 {
        let at = boot_seconds * SECOND;
        let resumed = BootClock::resume_at(at, scale, boot_id, unix_millis, Some(last));
        assert_eq!(resumed.rebase_millis, 0);
        resumed.clock.at(at).engine_millis
    }

    #[test]
    fn a_new_journal_begins_with_the_machines_time() {
        let clock = BootClock::resume_at(70 * SECOND, 20, "a", 0, None).clock;
        assert_eq!((clock.scale(), clock.offset_millis()), (20, 0));
        assert_eq!(clock.at(70 * SECOND).engine_millis, 1_400_000);
    }

    #[test]
    fn goes_on_within_a_boot_whatever_the_scale() {
        let old = last("a", 10, 123);
        let clock = BootClock::resume_at(600 * SECOND, 10, "a", 0, Some(&old)).clock;
        assert_eq!(clock.offset_millis(), 123);
        assert_eq!(shows(600, 10, "a", 0, &old), 6_000_123);
        assert_eq!(shows(600, 1, "a", 0, &old), 6_000_123);
        let slower = BootClock::resume_at(600 * SECOND, 1, "a", 0, Some(&old)).clock;
        assert_eq!(slower.at(601 * SECOND).engine_millis, 6_001_123);
    }

    #[test]
    fn after_a_reboot_an_outage_is_as_old_as_the_calendar_says() {
        let old = last("a", 1, 0);
        // Ten minutes by the calendar, the last of them since boot.
        assert_eq!(shows(60, 1, "b", 1_000_600_000, &old), 5_600_000);
        // The calendar went back: what is sure is the time since boot.
        assert_eq!(shows(60, 1, "b", 0, &old), 5_060_000);
        // The calendar jumped by decades.
        assert_eq!(
            shows(60, 1, "b", 2_000_000_000_000, &old),
            5_000_000 + 60_000 + MAX_DOWN_MILLIS
        );
    }

    #[test]
    fn never_runs_backwards_whatever_the_journal_says() {
        for offset in [i64::MIN, -1, 0, i64::MAX] {
            let shown = shows(1, 3, "a", 0, &last("a", 2, offset));
            assert!(shown >= 5_000_000, "offset {offset}: {shown}");
        }
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
