//! When a PEP connects, and to which PDP (RFC 2748 2.2.13, 2.3, 3.8, RFC 3084 7).
//!
//! RFC 2748 2.3 wants the PEP to keep trying "all relevant PDPs with which it has been configured until it can establish a
//! connection", and says nothing on the pace. A cluster whose PDP restarts must not be met by all its PEPs at once, each
//! time it falls over again: rounds through the list come at exponentially growing intervals, spread at random, and the
//! interval starts anew only after a connection has lasted a while. A PDP that accepts and drops is not asked any faster
//! than one that is down.
//!
//! A PDP that names another one (CC with a PDP Redirect Address) is followed at once, spread over a fraction of a second,
//! since all its PEPs are told in the same moment. Two PDPs that name each other would have a PEP run in circles: between
//! two connections that lasted, only [`ReconnectConfig::max_redirects`] are followed, and then an interval is waited for as
//! after a round that failed. Whether an address may be followed at all is the caller's to say, when it is asked to connect.
//!
//! ```text
//!            poll: Connect               handle_connected
//!   Waiting ---------------> Connecting -----------------> Connected
//!      ^                         |                             |
//!      +----- handle_failed -----+-------- handle_lost --------+
//!      +---------------- handle_redirected --------------------+
//! ```

use core::{num::NonZeroUsize, time::Duration};

use crate::{
    session::{
        random::Random,
        time::{Moment, milliseconds},
    },
    wire::PdpAddress,
};

/// The pace of a [`Reconnect`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReconnectConfig {
    /// The interval after the first round that failed. Default 1 s.
    pub first_interval: Duration,
    /// What the interval grows to, doubling each round. Default 60 s. The wait is at random between half the interval and
    /// all of it.
    pub max_interval: Duration,
    /// A connection that lasted this long lets the next loss begin with the first interval again, and redirects be counted
    /// anew. Default 30 s.
    pub stable_after: Duration,
    /// How many redirects are followed between two waits, if no connection lasts. Default 4.
    pub max_redirects: u32,
    /// Over what time the connections that follow a redirect are spread, at random. Default 250 ms.
    pub redirect_spread: Duration,
}

impl ReconnectConfig {
    /// The documented defaults.
    pub const DEFAULT: Self = Self {
        first_interval: Duration::from_secs(1),
        max_interval: Duration::from_secs(60),
        stable_after: Duration::from_secs(30),
        max_redirects: 4,
        redirect_spread: Duration::from_millis(250),
    };
}

impl Default for ReconnectConfig {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// A PDP to connect to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// The one at this place of the list, from 0 on.
    Listed(usize),
    /// One that another PDP named, and that is not known to be in the list.
    Named(PdpAddress),
}

/// What is to be done now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attempt {
    /// Connect to this PDP, and say how it went.
    Connect {
        /// The PDP.
        pdp: Target,
    },
    /// Ask again at this time.
    Wait {
        /// The time.
        until: Moment,
    },
    /// Nothing: an attempt or a connection is under way.
    Nothing,
}

/// Decides when to connect to which PDP of a list.
///
/// Ask [`Self::poll`], do what it says, and tell it the outcome. A round begins with the PDP that was connected last, since
/// that one may still hold the PEP's state (RFC 3084 7), and then goes through the list in its order.
#[derive(Debug)]
pub struct Reconnect {
    config: ReconnectConfig,
    pdp_count: NonZeroUsize,
    random: Random,
    state: State,
    /// Rounds that failed since the last stable connection.
    failed_rounds: u32,
    /// Redirects followed since the last stable connection or wait.
    redirects: u32,
    /// Where rounds begin.
    first: Target,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Waiting { until: Moment, next: Next },
    Connecting { next: Next },
    Connected { pdp: Target, since: Moment },
}

/// An attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    /// The `tried`th of its round.
    InRound { tried: usize },
    /// Where a PDP sent it. If that fails, the round goes on at `tried`.
    Redirect { to: Target, tried: usize },
}

impl Next {
    const BEGIN: Self = Self::InRound { tried: 0 };
}

impl Reconnect {
    /// Begins with the first PDP of the list, at once. `seed` spreads the attempts of many PEPs.
    #[must_use]
    pub const fn new(config: ReconnectConfig, pdp_count: NonZeroUsize, now: Moment, seed: u64) -> Self {
        Self {
            config,
            pdp_count,
            random: Random::new(seed),
            state: State::Waiting {
                until: now,
                next: Next::BEGIN,
            },
            failed_rounds: 0,
            redirects: 0,
            first: Target::Listed(0),
        }
    }

    /// Begins rounds with this PDP instead: the last one before the program was started again.
    #[must_use]
    pub const fn beginning_with(mut self, last: Target) -> Self {
        self.first = last;
        self
    }

    /// What is to be done at `now`.
    pub fn poll(&mut self, now: Moment) -> Attempt {
        match self.state {
            State::Waiting { until, .. } if now < until => Attempt::Wait { until },
            State::Waiting { next, .. } => {
                self.state = State::Connecting { next };
                Attempt::Connect { pdp: self.pdp(next) }
            }
            State::Connecting { .. } | State::Connected { .. } => Attempt::Nothing,
        }
    }

    /// When [`Self::poll`] has something to do next.
    #[must_use]
    pub const fn poll_timeout(&self) -> Option<Moment> {
        match self.state {
            State::Waiting { until, .. } => Some(until),
            State::Connecting { .. } | State::Connected { .. } => None,
        }
    }

    /// The attempt ended with an accepted client-type (CAT). A bare TCP connection is not enough: something else may listen
    /// there, or a PDP that refuses.
    pub fn handle_connected(&mut self, now: Moment) {
        if let State::Connecting { next } = self.state {
            let pdp = self.pdp(next);
            self.state = State::Connected { pdp, since: now };
        }
    }

    /// The attempt failed. The next PDP of the list follows at once, the next round after the interval.
    pub fn handle_failed(&mut self, now: Moment) {
        if let State::Connecting { next } = self.state {
            let tried = Self::after(next);
            if tried < self.round_len() {
                let next = Next::InRound { tried };
                self.state = State::Waiting { until: now, next };
            } else {
                self.wait_for_round(now);
            }
        }
    }

    /// The connection ended.
    pub fn handle_lost(&mut self, now: Moment) {
        if let State::Connected { pdp, since } = self.state {
            self.judge(now, since);
            self.first = pdp;
            self.wait_for_round(now);
        }
    }

    /// The PDP named another one, instead of accepting or after it had: `listed` where that is known to be in the list.
    /// Gives whether it is followed; if not, because there have been too many, the next round comes after the interval.
    ///
    /// If the other one does not answer, the round goes on without the one that named it.
    pub fn handle_redirected(&mut self, now: Moment, to: PdpAddress, listed: Option<usize>) -> bool {
        let tried = match self.state {
            State::Connecting { next } => Self::after(next),
            State::Connected { pdp, since } => {
                self.judge(now, since);
                self.first = pdp;
                1
            }
            State::Waiting { .. } => return false,
        };
        if self.redirects >= self.config.max_redirects {
            self.wait_for_round(now);
            return false;
        }
        self.redirects += 1;
        let wait = self.random.between(0, milliseconds(self.config.redirect_spread));
        self.state = State::Waiting {
            until: Moment(now.0.saturating_add(wait)),
            next: Next::Redirect {
                to: listed.map_or(Target::Named(to), Target::Listed),
                tried,
            },
        };
        true
    }

    /// How many attempts of the round have been made after this one.
    const fn after(next: Next) -> usize {
        match next {
            Next::InRound { tried } => tried + 1,
            Next::Redirect { tried, .. } => tried,
        }
    }

    /// A connection that lasted lets everything begin anew.
    fn judge(&mut self, now: Moment, since: Moment) {
        if now.since(since) >= self.config.stable_after {
            self.failed_rounds = 0;
            self.redirects = 0;
        }
    }

    /// The first PDP, and those of the list that are not it.
    const fn round_len(&self) -> usize {
        match self.first {
            Target::Listed(_) => self.pdp_count.get(),
            Target::Named(_) => self.pdp_count.get() + 1,
        }
    }

    /// The PDP of an attempt. In a round first the last PDP, then the list without it.
    const fn pdp(&self, next: Next) -> Target {
        match (next, self.first) {
            (Next::Redirect { to, .. }, _) => to,
            (Next::InRound { tried: 0 }, first) => first,
            (Next::InRound { tried }, Target::Listed(first)) if tried > first => Target::Listed(tried),
            (Next::InRound { tried }, _) => Target::Listed(tried - 1),
        }
    }

    fn wait_for_round(&mut self, now: Moment) {
        let longest = milliseconds(self.config.max_interval);
        let interval = milliseconds(self.config.first_interval)
            .saturating_mul(2_u64.saturating_pow(self.failed_rounds))
            .min(longest);
        self.failed_rounds = self.failed_rounds.saturating_add(1);
        self.redirects = 0;
        let wait = self.random.between(interval.div_ceil(2), interval);
        self.state = State::Waiting {
            until: Moment(now.0.saturating_add(wait)),
            next: Next::BEGIN,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reconnect(pdp_count: usize, seed: u64) -> Reconnect {
        Reconnect::new(
            ReconnectConfig::DEFAULT,
            NonZeroUsize::new(pdp_count).unwrap(),
            Moment(0),
            seed,
        )
    }

    /// Fails `rounds` rounds and gives the wait after each.
    fn waits(reconnect: &mut Reconnect, rounds: usize) -> Vec<u64> {
        let mut now = reconnect.poll_timeout().unwrap();
        (0..rounds)
            .map(|_| {
                assert!(matches!(reconnect.poll(now), Attempt::Connect { .. }));
                assert_eq!(reconnect.poll(now), Attempt::Nothing);
                reconnect.handle_failed(now);
                let until = reconnect.poll_timeout().unwrap();
                let wait = until.0 - now.0;
                now = until;
                wait
            })
            .collect()
    }

    fn connecting_to(reconnect: &mut Reconnect, now: Moment) -> Target {
        match reconnect.poll(now) {
            Attempt::Connect { pdp } => pdp,
            other => panic!("expected an attempt, found {other:?}"),
        }
    }

    /// Fails what is tried until something is waited for.
    fn failing_round(reconnect: &mut Reconnect, now: Moment) -> Vec<Target> {
        let mut round = Vec::new();
        while reconnect.poll_timeout().is_some_and(|until| until <= now) {
            round.push(connecting_to(reconnect, now));
            reconnect.handle_failed(now);
        }
        round
    }

    fn elsewhere(last: u8) -> PdpAddress {
        PdpAddress {
            address: [192, 0, 2, last].into(),
            port: 3288,
        }
    }

    /// The time at which a redirect is followed, checked to be soon.
    fn followed(reconnect: &Reconnect, now: Moment) -> Moment {
        let until = reconnect.poll_timeout().unwrap();
        assert!(until.0 - now.0 <= 250, "{until:?} after {now:?}");
        until
    }

    #[test]
    fn c_3_8_04_a_redirect_is_followed_soon_and_then_the_round_goes_on() {
        let mut reconnect = reconnect(3, 1);
        let now = Moment(0);
        assert_eq!(connecting_to(&mut reconnect, now), Target::Listed(0));
        assert!(reconnect.handle_redirected(now, elsewhere(9), None));
        let now = followed(&reconnect, now);
        assert_eq!(connecting_to(&mut reconnect, now), Target::Named(elsewhere(9)));
        reconnect.handle_failed(now);
        assert_eq!(failing_round(&mut reconnect, now), [1, 2].map(Target::Listed));
        // One of the list is known as such.
        let now = reconnect.poll_timeout().unwrap();
        connecting_to(&mut reconnect, now);
        assert!(reconnect.handle_redirected(now, elsewhere(2), Some(2)));
        let now = followed(&reconnect, now);
        assert_eq!(connecting_to(&mut reconnect, now), Target::Listed(2));
    }

    #[test]
    fn c_2_3_11_a_pdp_that_accepted_may_redirect_and_is_tried_last_then() {
        let mut reconnect = reconnect(3, 1);
        connecting_to(&mut reconnect, Moment(0));
        reconnect.handle_connected(Moment(0));
        let now = Moment(100_000);
        assert!(reconnect.handle_redirected(now, elsewhere(9), None));
        let now = followed(&reconnect, now);
        assert_eq!(connecting_to(&mut reconnect, now), Target::Named(elsewhere(9)));
        reconnect.handle_failed(now);
        assert_eq!(failing_round(&mut reconnect, now), [1, 2].map(Target::Listed));
        let now = reconnect.poll_timeout().unwrap();
        let whole = failing_round(&mut reconnect, now);
        assert_eq!(whole, [0, 1, 2].map(Target::Listed));
    }

    #[test]
    fn after_a_redirect_rounds_begin_with_where_it_led() {
        let mut reconnect = reconnect(2, 1);
        connecting_to(&mut reconnect, Moment(0));
        reconnect.handle_redirected(Moment(0), elsewhere(9), None);
        let now = followed(&reconnect, Moment(0));
        connecting_to(&mut reconnect, now);
        reconnect.handle_connected(now);
        reconnect.handle_lost(now);
        let now = reconnect.poll_timeout().unwrap();
        let round = failing_round(&mut reconnect, now);
        let expected = [Target::Named(elsewhere(9)), Target::Listed(0), Target::Listed(1)];
        assert_eq!(round, expected);
    }

    #[test]
    fn a_restarted_pep_begins_with_its_last_pdp() {
        let last = Target::Named(elsewhere(9));
        for first in [last, Target::Listed(1)] {
            let mut reconnect = reconnect(2, 1).beginning_with(first);
            assert_eq!(connecting_to(&mut reconnect, Moment(0)), first);
        }
    }

    /// Two PDPs send a PEP to each other, having accepted it or not: attempts stay within the bound an interval, and the
    /// interval grows.
    #[test]
    fn a_circle_of_redirects_is_bounded_and_slows_down() {
        for accepts in [false, true] {
            let mut reconnect = reconnect(2, 3);
            let mut now = Moment(0);
            let mut attempts = vec![0];
            for _ in 0..60 {
                let at = match connecting_to(&mut reconnect, now) {
                    Target::Listed(at) => at,
                    other => panic!("{other:?}"),
                };
                *attempts.last_mut().unwrap() += 1;
                if accepts {
                    reconnect.handle_connected(now);
                }
                let followed = reconnect.handle_redirected(now, elsewhere(1), Some(1 - at));
                if !followed {
                    attempts.push(0);
                }
                now = reconnect.poll_timeout().unwrap();
            }
            assert!(attempts.iter().all(|count| *count <= 5), "{attempts:?}");
            // Sixty attempts are twelve rounds; the waits between them have grown to the longest.
            assert!(now.0 > 4 * 30_000, "{now:?}");
        }
        // A connection that lasts lets redirects be counted anew.
        let mut reconnect = reconnect(2, 3);
        let mut now = Moment(0);
        for hop in 0..20 {
            connecting_to(&mut reconnect, now);
            reconnect.handle_connected(now);
            now = now.after(ReconnectConfig::DEFAULT.stable_after);
            assert!(
                reconnect.handle_redirected(now, elsewhere(1), Some(1)),
                "hop {hop}"
            );
            now = followed(&reconnect, now);
        }
    }

    #[test]
    fn c_2_3_10_waits_double_up_to_the_longest_and_are_spread() {
        let all: Vec<Vec<u64>> = (0..100).map(|seed| waits(&mut reconnect(1, seed), 100)).collect();
        for waits in &all {
            for (round, wait) in waits.iter().enumerate() {
                let interval = (1_000 << round.min(20)).min(60_000);
                assert!(
                    (interval / 2..=interval).contains(wait),
                    "round {round}: {wait} ms of {interval}"
                );
            }
        }
        assert!(all.iter().any(|waits| waits != &all[0]), "all seeds alike");
    }

    #[test]
    fn c_2_3_10_p_7_01_a_round_begins_with_the_last_pdp_and_goes_on_in_order() {
        let mut reconnect = reconnect(4, 1);
        let now = Moment(0);
        let mut seen = Vec::new();
        for _ in 0..3 {
            let pdp = connecting_to(&mut reconnect, now);
            seen.push(pdp);
            if pdp == Target::Listed(2) {
                reconnect.handle_connected(now);
            } else {
                reconnect.handle_failed(now);
            }
        }
        assert_eq!(seen, [0, 1, 2].map(Target::Listed));
        reconnect.handle_lost(now);
        let now = reconnect.poll_timeout().unwrap();
        let round = failing_round(&mut reconnect, now);
        assert_eq!(round, [2, 0, 1, 3].map(Target::Listed));
        assert!(matches!(reconnect.poll(now), Attempt::Wait { until } if until > now));
    }

    #[test]
    fn a_connection_that_does_not_last_is_no_success() {
        let mut reconnect = reconnect(1, 1);
        let mut now = Moment(0);
        for round in 0..10 {
            assert_eq!(
                reconnect.poll(now),
                Attempt::Connect {
                    pdp: Target::Listed(0)
                }
            );
            reconnect.handle_connected(now);
            reconnect.handle_lost(now);
            let until = reconnect.poll_timeout().unwrap();
            let interval = (1_000 << round).min(60_000);
            assert!(
                (interval / 2..=interval).contains(&(until.0 - now.0)),
                "round {round}"
            );
            now = until;
        }
        assert_eq!(
            reconnect.poll(now),
            Attempt::Connect {
                pdp: Target::Listed(0)
            }
        );
        reconnect.handle_connected(now);
        let lost = now.after(ReconnectConfig::DEFAULT.stable_after);
        reconnect.handle_lost(lost);
        assert!(reconnect.poll_timeout().unwrap().0 - lost.0 <= 1_000);
    }

    #[test]
    fn outcomes_that_were_not_asked_for_change_nothing() {
        let mut reconnect = reconnect(1, 1);
        reconnect.handle_connected(Moment(0));
        reconnect.handle_lost(Moment(0));
        reconnect.handle_failed(Moment(0));
        assert!(!reconnect.handle_redirected(Moment(0), elsewhere(1), None));
        assert_eq!(
            reconnect.poll(Moment(0)),
            Attempt::Connect {
                pdp: Target::Listed(0)
            }
        );
        reconnect.handle_lost(Moment(0));
        assert_eq!(reconnect.poll(Moment(0)), Attempt::Nothing);
    }
}
