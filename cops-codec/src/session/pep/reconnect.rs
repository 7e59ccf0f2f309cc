//! When a PEP connects, and to which PDP (RFC 2748 2.3, RFC 3084 7).
//!
//! RFC 2748 2.3 wants the PEP to keep trying "all relevant PDPs with which it has been configured until it can establish a
//! connection", and says nothing on the pace. A cluster whose PDP restarts must not be met by all its PEPs at once, each
//! time it falls over again: rounds through the list come at exponentially growing intervals, spread at random, and the
//! interval starts anew only after a connection has lasted a while. A PDP that accepts and drops is not asked any faster
//! than one that is down.
//!
//! ```text
//!            poll: Connect               handle_connected
//!   Waiting ---------------> Connecting -----------------> Connected
//!      ^                         |                             |
//!      +----- handle_failed -----+-------- handle_lost --------+
//! ```

use core::{num::NonZeroUsize, time::Duration};

use crate::session::{
    random::Random,
    time::{Moment, milliseconds},
};

/// The pace of a [`Reconnect`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReconnectConfig {
    /// The interval after the first round that failed. Default 1 s.
    pub first_interval: Duration,
    /// What the interval grows to, doubling each round. Default 60 s. The wait is at random between half the interval and
    /// all of it.
    pub max_interval: Duration,
    /// A connection that lasted this long lets the next loss begin with the first interval again. Default 30 s.
    pub stable_after: Duration,
}

impl ReconnectConfig {
    /// The documented defaults.
    pub const DEFAULT: Self = Self {
        first_interval: Duration::from_secs(1),
        max_interval: Duration::from_secs(60),
        stable_after: Duration::from_secs(30),
    };
}

impl Default for ReconnectConfig {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// What is to be done now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attempt {
    /// Connect to the PDP at this place of the list, and say how it went.
    Connect {
        /// The place, from 0 on.
        pdp: usize,
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
    /// Where the round began.
    first: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// The next attempt is the `tried`th of its round.
    Waiting {
        until: Moment,
        tried: usize,
    },
    Connecting {
        tried: usize,
    },
    Connected {
        pdp: usize,
        since: Moment,
    },
}

impl Reconnect {
    /// Begins with the first PDP of the list, at once. `seed` spreads the attempts of many PEPs.
    #[must_use]
    pub const fn new(config: ReconnectConfig, pdp_count: NonZeroUsize, now: Moment, seed: u64) -> Self {
        Self {
            config,
            pdp_count,
            random: Random::new(seed),
            state: State::Waiting { until: now, tried: 0 },
            failed_rounds: 0,
            first: 0,
        }
    }

    /// What is to be done at `now`.
    pub fn poll(&mut self, now: Moment) -> Attempt {
        match self.state {
            State::Waiting { until, .. } if now < until => Attempt::Wait { until },
            State::Waiting { tried, .. } => {
                self.state = State::Connecting { tried };
                Attempt::Connect { pdp: self.pdp(tried) }
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
    pub const fn handle_connected(&mut self, now: Moment) {
        if let State::Connecting { tried } = self.state {
            let pdp = self.pdp(tried);
            self.state = State::Connected { pdp, since: now };
        }
    }

    /// The attempt failed. The next PDP of the list follows at once, the next round after the interval.
    pub fn handle_failed(&mut self, now: Moment) {
        if let State::Connecting { tried } = self.state {
            let tried = tried + 1;
            self.state = if tried < self.pdp_count.get() {
                State::Waiting { until: now, tried }
            } else {
                State::Waiting {
                    until: self.end_of_interval(now),
                    tried: 0,
                }
            };
        }
    }

    /// The connection ended.
    pub fn handle_lost(&mut self, now: Moment) {
        if let State::Connected { pdp, since } = self.state {
            if now.since(since) >= self.config.stable_after {
                self.failed_rounds = 0;
            }
            self.first = pdp;
            self.state = State::Waiting {
                until: self.end_of_interval(now),
                tried: 0,
            };
        }
    }

    /// The place in the list of the attempt after `tried` others in its round: first the last PDP, then the list without it.
    const fn pdp(&self, tried: usize) -> usize {
        if tried == 0 {
            self.first
        } else if tried <= self.first {
            tried - 1
        } else {
            tried
        }
    }

    fn end_of_interval(&mut self, now: Moment) -> Moment {
        let longest = milliseconds(self.config.max_interval);
        let interval = milliseconds(self.config.first_interval)
            .saturating_mul(2_u64.saturating_pow(self.failed_rounds))
            .min(longest);
        self.failed_rounds = self.failed_rounds.saturating_add(1);
        let wait = self.random.between(interval.div_ceil(2), interval);
        Moment(now.0.saturating_add(wait))
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
            let Attempt::Connect { pdp } = reconnect.poll(now) else {
                panic!()
            };
            seen.push(pdp);
            if pdp == 2 {
                reconnect.handle_connected(now);
            } else {
                reconnect.handle_failed(now);
            }
        }
        assert_eq!(seen, [0, 1, 2]);
        reconnect.handle_lost(now);
        let now = reconnect.poll_timeout().unwrap();
        let round: Vec<usize> = (0..4)
            .map(|_| {
                let Attempt::Connect { pdp } = reconnect.poll(now) else {
                    panic!()
                };
                reconnect.handle_failed(now);
                pdp
            })
            .collect();
        assert_eq!(round, [2, 0, 1, 3]);
        assert!(matches!(reconnect.poll(now), Attempt::Wait { until } if until > now));
    }

    #[test]
    fn a_connection_that_does_not_last_is_no_success() {
        let mut reconnect = reconnect(1, 1);
        let mut now = Moment(0);
        for round in 0..10 {
            assert_eq!(reconnect.poll(now), Attempt::Connect { pdp: 0 });
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
        assert_eq!(reconnect.poll(now), Attempt::Connect { pdp: 0 });
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
        assert_eq!(reconnect.poll(Moment(0)), Attempt::Connect { pdp: 0 });
        reconnect.handle_lost(Moment(0));
        assert_eq!(reconnect.poll(Moment(0)), Attempt::Nothing);
    }
}
