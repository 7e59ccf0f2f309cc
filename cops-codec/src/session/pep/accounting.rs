//! When accounting reports of a request-state may go (RFC 2748 2.2.15, 3.7).

use core::time::Duration;

use crate::{session::time::Moment, wire::AccountingTimer};

/// The pace of one request-state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Accounting {
    /// What the program would like.
    interval: Option<Duration>,
    /// The last periodic report.
    last_report: Option<Moment>,
}

/// Why no periodic report may go now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// The timer is 0: none at all.
    Off,
    /// The timer has not passed.
    TooSoon { until: Moment },
}

impl Accounting {
    pub(super) const fn new() -> Self {
        Self {
            interval: None,
            last_report: None,
        }
    }

    pub(super) const fn set_interval(&mut self, interval: Option<Duration>) {
        self.interval = interval;
    }

    /// Whether a periodic report may go: "SHOULD NOT" come oftener than the timer, per handle (RFC 2748 3.7); without a
    /// timer there is no limit.
    pub(super) fn check(&self, timer: Option<AccountingTimer>, now: Moment) -> Result<(), Refusal> {
        let Some(timer) = timer else {
            return Ok(());
        };
        let interval = timer.interval().ok_or(Refusal::Off)?;
        match self.last_report.map(|last| last.after(interval)) {
            Some(until) if now < until => Err(Refusal::TooSoon { until }),
            _ => Ok(()),
        }
    }

    pub(super) const fn reported(&mut self, now: Moment) {
        self.last_report = Some(now);
    }

    /// When the next report is due, seen from `now`; `None` if none is wanted or allowed.
    pub(super) fn next_due(&self, timer: Option<AccountingTimer>, now: Moment) -> Option<Moment> {
        let wanted = self.interval?;
        let interval = match timer {
            // An interval of zero without a timer would be due for ever.
            None => wanted.max(Duration::from_secs(1)),
            Some(timer) => wanted.max(timer.interval()?),
        };
        // From the last report on while that lies in the future; a program that lets one go by is asked again an interval
        // later, not at once.
        let from_last = self.last_report.map(|last| last.after(interval));
        Some(from_last.filter(|due| *due > now).unwrap_or(now.after(interval)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEN: Option<AccountingTimer> = Some(AccountingTimer(10));

    #[test]
    fn c_2_2_15_02_the_timer_is_the_least_interval() {
        let mut accounting = Accounting::new();
        assert_eq!(accounting.check(TEN, Moment(0)), Ok(()));
        accounting.reported(Moment(5));
        let until = Moment(10_005);
        assert_eq!(
            accounting.check(TEN, Moment(10_004)),
            Err(Refusal::TooSoon { until })
        );
        assert_eq!(accounting.check(TEN, until), Ok(()));
        // A new CAT without a timer sets no limit (C-3.7-05).
        assert_eq!(accounting.check(None, Moment(6)), Ok(()));
    }

    #[test]
    fn c_2_2_15_03_zero_allows_none() {
        let mut accounting = Accounting::new();
        accounting.set_interval(Some(Duration::from_secs(1)));
        let never = Some(AccountingTimer::NEVER);
        assert_eq!(accounting.check(never, Moment(0)), Err(Refusal::Off));
        assert_eq!(accounting.next_due(never, Moment(0)), None);
    }

    #[test]
    fn due_points_follow_the_longer_interval_and_the_last_report() {
        let mut accounting = Accounting::new();
        assert_eq!(accounting.next_due(TEN, Moment(0)), None);
        accounting.set_interval(Some(Duration::from_secs(3)));
        assert_eq!(accounting.next_due(TEN, Moment(0)), Some(Moment(10_000)));
        assert_eq!(accounting.next_due(None, Moment(0)), Some(Moment(3_000)));
        accounting.reported(Moment(10_500));
        assert_eq!(accounting.next_due(TEN, Moment(10_500)), Some(Moment(20_500)));
        assert_eq!(accounting.next_due(TEN, Moment(15_000)), Some(Moment(20_500)));
        assert_eq!(accounting.next_due(TEN, Moment(20_500)), Some(Moment(30_500)));
    }
}
