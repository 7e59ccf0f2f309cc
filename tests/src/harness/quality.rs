//! How near each policy comes to the bounds, over many instances.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use anyhow::Result;
use power_policy::model::Mode;

use super::baselines::{self, Baseline};
use super::bounds::{self, Bounds};
use super::cluster::snapshot;
use super::fixture::Solved;
use super::instance::{Instance, Scenario};
use super::lives::{self, Life, Way};
use super::outlook::{Outlook, Prior};

/// Names of the policies that are compared; the last one is the planner.
///
/// B3 is the planner without moves: pooled reserves and the same rule for durations, on the hosts that things run on.
pub const POLICIES: [&str; 5] = ["B0", "B1", "B2", "B3", "P"];
/// Index of the planner among them.
pub const PLANNER: usize = 4;
/// Share by which a run may be above a bound: plans and plant count whole milliwatts and milliseconds, rounded to the
/// nearest, where the programs count the figures as they are.
pub const ROUNDING: f64 = 1e-4;
/// Until when stops, moves and halts of the beginning are counted, seconds.
const EARLY_SECONDS: f64 = 240.0;

/// The prior under which a scenario is judged.
pub fn prior(scenario: Scenario) -> Prior {
    match scenario {
        Scenario::A | Scenario::B => Prior::Lognormal,
        Scenario::Real => Prior::Businesses,
    }
}

/// What a policy made of one instance.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Score {
    /// Seconds until the first set of class 0 ended, when everything is spent on that.
    pub survival: f64,
    /// Expected weighted service.
    pub service: f64,
    /// Sets stopped dirty in the two runs.
    pub dirty: [usize; 2],
    /// Of these, those of which the first plan did not say that it is in doubt.
    pub unexcused: [usize; 2],
    /// Whether each run was clean ([`Life::is_clean`]).
    pub clean: [bool; 2],
}

/// Where the energy of a survival run went until the first set of class 0 ended, as shares of all that was usable.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Spending {
    /// Class 0, and whole servers for it at their least idle draw.
    pub needed: f64,
    /// Lost in lines.
    pub lines: f64,
    /// Halts and boots.
    pub halts: f64,
    /// Lower classes: their stops, and what they were served.
    pub lower: f64,
    /// Idle draw beyond the least, in the first four minutes.
    pub early_idle: f64,
    /// Idle draw beyond the least, later: the hosts of class 0 are more than need be.
    pub late_idle: f64,
    /// Not used: kept back, or out of reach.
    pub left: f64,
}

/// One instance, judged.
#[derive(Clone, Debug)]
pub struct Case {
    /// The instance.
    pub instance: Instance,
    /// Its bounds; the tightened one of the service is infinite where it was not found out.
    pub bounds: Bounds,
    /// By policy, in the order of [`POLICIES`].
    pub scores: [Score; 5],
    /// Of the planner's survival run.
    pub spending: Spending,
}

impl Case {
    /// Clean runs that came out above a bound, with the figures; there must be none.
    ///
    /// The service program of the policy notes is left out: it counts by chords, and is no bound in the strict sense.
    pub fn above_a_bound(&self) -> Vec<String> {
        let mut above = Vec::new();
        for (name, score) in POLICIES.iter().zip(&self.scores) {
            let mut check = |what: &str, clean: bool, value: f64, bound: f64| {
                if clean && value > bound * (1.0 + ROUNDING) {
                    above.push(format!("{}: {name}: {what} {value} above {bound}", self.instance));
                }
            };
            let b = &self.bounds;
            check("survival", score.clean[0], score.survival, b.survive);
            check(
                "survival (tight)",
                score.clean[0],
                score.survival,
                b.tight_survive,
            );
            check("service (tight)", score.clean[1], score.service, b.tight_weighted);
        }
        above
    }
}

/// Which bounds are found out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effort {
    /// All four.
    Full,
    /// All but the tightened one of the service, which takes most of the time.
    NoTightService,
}

/// Judges one instance.
///
/// # Errors
/// No optimum, or the plant refuses something.
pub fn judge(z: &Instance, effort: Effort) -> Result<Case> {
    let outlook = Outlook::new(prior(z.scenario));
    let bounds = match effort {
        Effort::Full => Bounds::of(z, &outlook)?,
        Effort::NoTightService => {
            let survive = bounds::prototype::survive(z)?;
            let weighted = bounds::prototype::weighted(z, &outlook)?;
            Bounds::known(z, survive, weighted)?
        }
    };
    judge_by(z, bounds)
}

/// Judges one of the solved instances, by its known bounds and the tightened one of the survival.
///
/// # Errors
/// As [`judge`].
pub fn judge_solved(solved: &Solved) -> Result<Case> {
    let z = &solved.instance;
    judge_by(z, Bounds::known(z, solved.survive, solved.weighted)?)
}

fn judge_by(z: &Instance, bounds: Bounds) -> Result<Case> {
    let outlook = Outlook::new(prior(z.scenario));
    let free = snapshot(z, true, None)?;
    let pinned = snapshot(z, false, None)?;
    let until = |mode| lives::until_millis(z, mode);
    let score = |survival: &Life, service: &Life| Score {
        survival: survival.survival(z),
        service: service.service(z, &outlook),
        dirty: [survival.dirty, service.dirty],
        unexcused: [survival.unexcused, service.unexcused],
        clean: [survival.is_clean(), service.is_clean()],
    };
    let by_rule = |rule| -> Result<Score> {
        let life = baselines::live(z, &free, rule, until(Mode::Survive))?;
        Ok(score(&life, &life))
    };
    let planned = |snapshot, mode| lives::live(z, snapshot, &Way::new(mode), until(mode));
    let survival = planned(&free, Mode::Survive);
    let scores = [
        by_rule(Baseline::Nothing)?,
        by_rule(Baseline::LowBattery)?,
        by_rule(Baseline::Thresholds)?,
        score(&planned(&pinned, Mode::Survive), &planned(&pinned, Mode::Default)),
        score(&survival, &planned(&free, Mode::Default)),
    ];
    Ok(Case {
        instance: z.clone(),
        bounds,
        scores,
        spending: spending(z, &survival),
    })
}

/// Judges many, on so many threads; in the order given.
///
/// # Errors
/// That of the first that fails.
pub fn judge_all<T: Sync>(
    all: &[T],
    threads: usize,
    judge: impl Fn(&T) -> Result<Case> + Sync,
) -> Result<Vec<Case>> {
    let next = AtomicUsize::new(0);
    let done: Mutex<Vec<(usize, Result<Case>)>> = Mutex::new(Vec::new());
    let work = || {
        while let Some((i, one)) = {
            let i = next.fetch_add(1, Ordering::Relaxed);
            all.get(i).map(|one| (i, one))
        } {
            let case = judge(one);
            done.lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push((i, case));
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..threads.max(1) {
            scope.spawn(work);
        }
    });
    let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    done.sort_by_key(|(i, _)| *i);
    done.into_iter().map(|(_, case)| case).collect()
}

fn spending(z: &Instance, life: &Life) -> Spending {
    let lived = life.survival(z);
    let until = |seconds: f64| {
        life.ledgers
            .iter()
            .rev()
            .find(|(t, _)| *t as f64 <= seconds * 1_000.0)
    };
    let (Some((at, end)), Some((_, first)), Some((early_at, early))) = (
        until(lived),
        life.ledgers.first(),
        until(lived.min(EARLY_SECONDS)),
    ) else {
        return Spending::default();
    };
    let seconds = *at as f64 / 1_000.0;
    let early_seconds = *early_at as f64 / 1_000.0;
    let joules = |figure: u64, before: u64| (figure - before) as f64 / 1_000.0;
    let draw: f64 = z.sets.iter().filter(|a| a.class == 0).map(|a| a.draw).sum();
    let least = bounds::least_idle(z);
    let idle = joules(end.idle_millijoules, first.idle_millijoules);
    let idle_before = joules(early.idle_millijoules, first.idle_millijoules);
    let halts = joules(
        end.halt_millijoules + end.boot_millijoules,
        first.halt_millijoules + first.boot_millijoules,
    );
    let lines = joules(end.line_loss_millijoules, first.line_loss_millijoules);
    let lower = joules(end.activities_millijoules, first.activities_millijoules) - draw * seconds;
    let whole = z.energy();
    let needed = (draw + least) * seconds;
    let early_idle = idle_before - least * early_seconds;
    let late_idle = (idle - idle_before) - least * (seconds - early_seconds);
    let used = needed + lines + halts + lower + early_idle + late_idle;
    Spending {
        needed: needed / whole,
        lines: lines / whole,
        halts: halts / whole,
        lower: lower / whole,
        early_idle: early_idle / whole,
        late_idle: late_idle / whole,
        left: 1.0 - used / whole,
    }
}

/// Median, 5th percentile and worst of some fractions.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    /// Half are below.
    pub median: f64,
    /// One in twenty is below.
    pub low: f64,
    /// The lowest.
    pub worst: f64,
}

impl Spread {
    /// Of at least one figure; between two of them straight.
    pub fn of(figures: impl IntoIterator<Item = f64>) -> Self {
        let mut sorted: Vec<f64> = figures.into_iter().collect();
        sorted.sort_by(f64::total_cmp);
        let at = |share: f64| -> f64 {
            let place = share * (sorted.len().max(1) - 1) as f64;
            let below = place as usize;
            let a = sorted.get(below).copied().unwrap_or(f64::NAN);
            let b = sorted.get(below + 1).copied().unwrap_or(a);
            a + (b - a) * (place - below as f64)
        };
        Self {
            median: at(0.5),
            low: at(0.05),
            worst: at(0.0),
        }
    }
}

impl std::fmt::Display for Spread {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:.3} / {:.3} / {:.3}", self.median, self.low, self.worst)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spread_lies_between_its_figures() {
        let spread = Spread::of((0..=20).map(f64::from));
        assert_eq!(spread.median, 10.0);
        assert_eq!(spread.low, 1.0);
        assert_eq!(spread.worst, 0.0);
    }
}
