//! An outlook as text, readable aloud.

use std::fmt;

use power_policy::plan::text::{Duration, Energy, Watts};

use super::{Bottleneck, Figure, Gain, Survives};
use crate::api::Outlook;

/// A time, or none in sight.
struct End(Option<u64>);

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(millis) => Duration(millis).fmt(f),
            None => f.write_str("no end in sight"),
        }
    }
}

impl fmt::Display for Outlook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for words in &self.supposed {
            writeln!(f, "supposed: {words}")?;
        }
        f.write_str(&self.text)?;
        self.write_further(f)
    }
}

/// All but the plan.
struct Further<'a>(&'a Outlook);

impl fmt::Display for Further<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.write_further(f)
    }
}

impl Outlook {
    /// All but the plan, as text: band, bottlenecks, objections.
    pub fn further(&self) -> String {
        Further(self).to_string()
    }

    fn write_further(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.classes.is_empty() {
            writeln!(
                f,
                "\nhow long each class is expected to run, whole, from the loss of mains:"
            )?;
        }
        for class in &self.classes {
            let target = class
                .target_millis
                .map_or_else(|| "for ever".to_owned(), |t| Duration(t).to_string());
            write!(
                f,
                "  class {} ({}): {}",
                class.priority,
                class.sets.join(", "),
                End(class.ride_through_millis)
            )?;
            if class.low_millis != class.high_millis {
                write!(
                    f,
                    ", between {} and {}",
                    End(class.low_millis),
                    End(class.high_millis)
                )?;
            }
            write!(f, "; target {target}")?;
            match class.survives {
                None => writeln!(f)?,
                Some(Survives::Yes) => writeln!(f, "; lives through")?,
                Some(Survives::Perhaps) => writeln!(f, "; may or may not live through")?,
                Some(Survives::No) => writeln!(f, "; does not live through")?,
            }
        }
        if let Some(words) = self.band_words() {
            writeln!(f, "  {words}")?;
        }
        if self.trials.tried > 0 {
            writeln!(f, "\nwhat would help:")?;
            for bottleneck in &self.bottlenecks {
                writeln!(f, "  {bottleneck}")?;
            }
            if self.bottlenecks.is_empty() {
                writeln!(f, "  none of the figures that were raised")?;
            }
            let more = if self.trials.out_of_time {
                ", then the time was up"
            } else {
                ""
            };
            writeln!(
                f,
                "  ({} of {} figures tried{more})",
                self.trials.tried, self.trials.candidates
            )?;
        }
        if !self.objections.is_empty() {
            writeln!(f, "\nTHE INDEPENDENT CHECKER OBJECTS TO THIS PLAN:")?;
            for objection in &self.objections {
                writeln!(f, "  {objection}")?;
            }
        }
        Ok(())
    }

    /// What the band stands for.
    fn band_words(&self) -> Option<String> {
        let mut least = u64::MAX;
        let mut most = 0;
        for reserve in &self.uncertainty {
            let off = reserve.charge_millijoules - reserve.low_millijoules.min(reserve.charge_millijoules);
            let permille = u128::from(off) * 1000 / u128::from(reserve.charge_millijoules.max(1));
            let permille = u64::try_from(permille).unwrap_or(u64::MAX);
            least = least.min(permille);
            most = most.max(permille);
        }
        if most == 0 {
            return None;
        }
        let percent = |permille: u64| format!("{}.{}", permille / 10, permille % 10);
        let off = if least == most {
            percent(most)
        } else {
            format!("{} to {}", percent(least), percent(most))
        };
        Some(format!(
            "(the band: planned anew with charges {off} % lower, and higher by as much, at most full; draws as they are)"
        ))
    }
}

impl fmt::Display for Bottleneck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, gain) in self.gains.iter().enumerate() {
            if at > 0 {
                f.write_str(", ")?;
            }
            write!(f, "{gain}")?;
        }
        let Self { subject, .. } = self;
        match self.figure {
            Figure::LinePower => write!(
                f,
                " from {} more through line {subject} ({} to {}; now {})",
                Watts(self.added),
                few(&self.from),
                few(&self.to),
                Watts(self.now)
            ),
            Figure::ReserveEnergy => write!(
                f,
                " from {} more in reserve {subject} (now {} when full)",
                Energy(self.added),
                Energy(self.now)
            ),
            Figure::ReservePower => write!(
                f,
                " from {} more that reserve {subject} could give (now {})",
                Watts(self.added),
                Watts(self.now)
            ),
        }
    }
}

impl fmt::Display for Gain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "class {} ({}) would ", self.priority, few(&self.sets))?;
        match self.then_millis {
            Some(_) => write!(f, "gain {}", Duration(self.millis())),
            None => f.write_str("have no end in sight"),
        }
    }
}

fn few(names: &[String]) -> String {
    const SHOWN: usize = 3;
    let shown = names.iter().take(SHOWN).cloned().collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(SHOWN) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}
