//! Which KA Timer counts on a connection, and when silence means that it is lost (RFC 2748 3.9, 4.6).

use core::time::Duration;

use super::{
    random::Random,
    time::{Moment, milliseconds},
};
use crate::wire::KaTimer;

/// The smallest of the timers, or `None` where none is finite.
///
/// RFC 2748 3.9 says "minimum of all KA Timer values", and 0 means infinity (2.2.10): a plain numeric minimum would let one
/// client-type without keep-alive switch it off for all. Only client-types that are open count.
pub(super) fn minimum(timers: impl Iterator<Item = KaTimer>) -> Option<Duration> {
    timers.filter_map(KaTimer::interval).min()
}

/// When a connection that was last heard at `heard` is lost: RFC 2748 3.9 wants the period exceeded, not reached.
pub(super) fn silence_deadline(heard: Moment, timer: Duration) -> Moment {
    Moment(heard.after(timer).0.saturating_add(1))
}

/// When the next KA leaves: at random between 1/4 and 3/4 of the timer (RFC 2748 3.9: "MUST").
pub(super) fn send_point(now: Moment, timer: Duration, random: &mut Random) -> Moment {
    let timer = milliseconds(timer);
    Moment(
        now.0
            .saturating_add(random.between(timer.div_ceil(4), timer / 4 * 3)),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c_3_9_02_a_07_infinity_is_not_the_smallest() {
        let of = |seconds: &[u16]| minimum(seconds.iter().copied().map(KaTimer));
        assert_eq!(of(&[30, 10]), Some(Duration::from_secs(10)));
        assert_eq!(of(&[0, 10]), Some(Duration::from_secs(10)));
        assert_eq!(of(&[0]), None);
        assert_eq!(of(&[]), None);
    }

    #[test]
    fn c_3_9_03_send_points_lie_between_a_quarter_and_three_quarters_and_vary() {
        for seconds in [1, 3, 10, 65_535] {
            let timer = Duration::from_secs(seconds);
            let mut random = Random::new(seconds);
            let points: std::collections::BTreeSet<u64> = (0..1_000)
                .map(|_| send_point(Moment(5), timer, &mut random).0 - 5)
                .collect();
            assert!(points.iter().all(|point| *point * 4 >= seconds * 1_000));
            assert!(points.iter().all(|point| *point * 4 <= seconds * 3_000));
            assert!(points.len() > 100, "{} different points", points.len());
        }
    }
}
