//! How long an outage may last, and what service is worth under that outlook.

/// Where the judged service ends, seconds: the horizon of the prototype's program.
pub const HORIZON: f64 = 22_800.0;
/// Lengths of the prototype's slots, seconds.
pub const PROTOTYPE_SLOTS: [f64; 8] = [120.0, 180.0, 300.0, 600.0, 1_200.0, 2_400.0, 6_000.0, 12_000.0];
/// Step of the table of the expected length, seconds.
const STEP: f64 = 5.0;
/// Points at which the upper bound touches the expected length, seconds.
const TOUCHES: [f64; 30] = [
    0.0, 30.0, 60.0, 90.0, 130.0, 180.0, 240.0, 320.0, 420.0, 540.0, 700.0, 900.0, 1_150.0, 1_450.0, 1_850.0,
    2_400.0, 3_100.0, 4_000.0, 4_600.0, 5_200.0, 5_900.0, 6_800.0, 7_800.0, 9_000.0, 10_400.0, 12_000.0,
    13_500.0, 16_000.0, 19_000.0, 22_800.0,
];

/// A distribution of the length of an outage.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Prior {
    /// Log-normal with a median of 15 minutes and sigma 1.3: scenarios A and B.
    Lognormal,
    /// Outages of businesses (the mix used by a paper of ASPLOS'14): minutes and the share of the outages that are over
    /// by then.
    Businesses,
}

/// Minutes, and the share of outages that last longer; between two points straight in the logarithm of the time.
const BUSINESSES: [(f64, f64); 7] = [
    (0.1, 1.0),
    (1.0, 0.69),
    (5.0, 0.42),
    (30.0, 0.28),
    (120.0, 0.11),
    (240.0, 0.05),
    (1_440.0, 0.0),
];

impl Prior {
    /// Chance that the outage lasts longer than so many seconds.
    pub fn lasts(self, seconds: f64) -> f64 {
        if seconds <= 0.0 {
            return 1.0;
        }
        match self {
            Prior::Lognormal => {
                0.5 * libm::erfc(libm::log(seconds / 900.0) / (1.3 * std::f64::consts::SQRT_2))
            }
            Prior::Businesses => {
                let minutes = seconds / 60.0;
                let above = BUSINESSES.iter().position(|(m, _)| minutes < *m);
                match above {
                    Some(0) => 1.0,
                    Some(i) => {
                        let ((a, x), (b, y)) = (BUSINESSES[i - 1], BUSINESSES[i]);
                        x + (y - x) * libm::log(minutes / a) / libm::log(b / a)
                    }
                    None => 0.0,
                }
            }
        }
    }
}

/// A prior with the expected length of service within each span.
#[derive(Clone, Debug)]
pub struct Outlook {
    prior: Prior,
    table: Vec<f64>,
}

/// A stretch of time in a linear program.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Slot {
    /// When it begins, seconds from the loss of the mains.
    pub begin: f64,
    /// How long it is.
    pub length: f64,
    /// What a second of service in it counts.
    pub weight: f64,
}

impl Slot {
    /// When it ends.
    pub fn end(&self) -> f64 {
        self.begin + self.length
    }
}

impl Outlook {
    /// Of a prior.
    pub fn new(prior: Prior) -> Self {
        let mut table = vec![0.0];
        let steps = (HORIZON / STEP) as usize;
        let mut sum = 0.0;
        for i in 0..steps {
            let t = i as f64 * STEP;
            // Simpson's rule.
            sum += STEP / 6.0 * (prior.lasts(t) + 4.0 * prior.lasts(t + STEP / 2.0) + prior.lasts(t + STEP));
            table.push(sum);
        }
        Self { prior, table }
    }

    /// Expected seconds, within the outage, of a service that would end after `seconds`; at most up to [`HORIZON`].
    pub fn expected(&self, seconds: f64) -> f64 {
        let at = (seconds.clamp(0.0, HORIZON) / STEP).min((self.table.len() - 1) as f64);
        let below = (at as usize).min(self.table.len() - 2);
        let (a, b) = (self.table[below], self.table[below + 1]);
        a + (b - a) * (at - below as f64)
    }

    /// The prototype's slots: chords, so its program may be a little below what can be reached.
    pub fn prototype_slots(&self) -> Vec<Slot> {
        let mut begin = 0.0;
        let slot = |length: f64| {
            let point = |i: usize| self.prior.lasts(begin + (i as f64 + 0.5) / 20.0 * length);
            let weight = (0..20).map(point).sum::<f64>() / 20.0;
            let slot = Slot {
                begin,
                length,
                weight,
            };
            begin += length;
            slot
        };
        PROTOTYPE_SLOTS.into_iter().map(slot).collect()
    }

    /// Lines that [`Self::expected`], which is concave, never rises above: (seconds at 0, seconds a second).
    pub fn tangents(&self) -> impl Iterator<Item = (f64, f64)> + '_ {
        TOUCHES.into_iter().map(|touch| {
            let rate = self.prior.lasts(touch);
            (self.expected(touch) - rate * touch, rate)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tangents_are_never_below_and_never_far_above() {
        for prior in [Prior::Lognormal, Prior::Businesses] {
            let outlook = Outlook::new(prior);
            for i in 0..=1_140 {
                let t = f64::from(i) * 20.0;
                let counted = outlook
                    .tangents()
                    .map(|(a, b)| a + b * t)
                    .fold(f64::INFINITY, f64::min);
                let truth = outlook.expected(t);
                assert!(
                    counted >= truth - 1e-2,
                    "{prior:?}: {counted} for {truth} at {t} s"
                );
                assert!(
                    counted <= truth * 1.003 + 1.0,
                    "{prior:?}: {counted} for {truth} at {t} s"
                );
            }
        }
    }

    #[test]
    fn half_of_the_outages_are_over_at_the_median() {
        assert!((Prior::Lognormal.lasts(900.0) - 0.5).abs() < 1e-12);
        assert!((Prior::Businesses.lasts(60.0) - 0.69).abs() < 1e-12);
    }
}
