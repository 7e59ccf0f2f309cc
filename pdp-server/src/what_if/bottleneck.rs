//! Which watt or joule is missing most: one figure at a time is raised, and the cluster planned anew.

use std::collections::BTreeMap;

use power_policy::model::{LineState, Name, Priority, ReserveState, Snapshot};
use power_policy::plan::{Plan, StepKind};
use serde::{Deserialize, Serialize};

use super::outlook::{end_of, sets_of};
use super::{Case, Question};

/// By how much a figure is raised at least, percent.
const RAISE_PERCENT: u64 = 25;
/// Steps to which raised watts and joules are rounded up: 50 W, 10 Wh.
const WATTS_STEP_MILLIWATTS: u64 = 50_000;
const ENERGY_STEP_MILLIJOULES: u64 = 36_000_000;
/// A gain below this, or below a hundredth of the time, is not told: it is within what the planner does by chance.
const LEAST_GAIN_MILLIS: u64 = 2_000;
/// Changes that are told.
const MAX_TOLD: usize = 8;
/// Of those, the ones that are made as small as they can be.
const MAX_REFINED: usize = 3;
/// Further plans by which each of them is made smaller, as long as nine tenths of its gain stay.
const REFINEMENTS: usize = 4;

/// What is raised.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Figure {
    /// Most watts of a line, in milliwatts.
    LinePower,
    /// Capacity and charge of a reserve, in millijoules.
    ReserveEnergy,
    /// Most watts that a reserve gives, in milliwatts.
    ReservePower,
}

/// What one class has of a change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gain {
    /// The class.
    pub priority: Priority,
    /// Its sets.
    pub sets: Vec<String>,
    /// Its ride-through time as it is.
    pub now_millis: u64,
    /// Its ride-through time with the change; `null`: no end in sight.
    pub then_millis: Option<u64>,
}

impl Gain {
    /// What is gained; more than any number where there is no end in sight.
    pub fn millis(&self) -> u64 {
        self.then_millis
            .map_or(u64::MAX, |then| then.saturating_sub(self.now_millis))
    }
}

/// A figure of which more would help.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bottleneck {
    /// Which figure.
    pub figure: Figure,
    /// The line or reserve.
    pub subject: String,
    /// Reserves that give through it.
    pub from: Vec<String>,
    /// Servers that take from it.
    pub to: Vec<String>,
    /// The figure as it is.
    pub now: u64,
    /// How much was added.
    pub added: u64,
    /// Classes that gain, highest first.
    pub gains: Vec<Gain>,
}

/// How far the search went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trials {
    /// Figures of which more could help.
    pub candidates: usize,
    /// Figures that were tried, the likeliest first.
    pub tried: usize,
    /// There was no time for more.
    pub out_of_time: bool,
}

/// A figure to raise.
#[derive(Debug, Clone, Copy)]
struct Candidate {
    figure: Figure,
    at: usize,
    now: u64,
    added: u64,
    /// How much of it the plan uses, permille: those that are used up go first.
    used: u64,
}

pub(super) fn find(case: &Case<'_>, plan: &Plan, question: &Question<'_>) -> (Vec<Bottleneck>, Trials) {
    let mut trials = Trials {
        candidates: 0,
        tried: 0,
        out_of_time: false,
    };
    let ends_somewhere = plan.classes.iter().any(|c| c.ride_through_millis.is_some());
    if question.max_trials == 0 || !ends_somewhere {
        return (Vec::new(), trials);
    }
    let mut candidates = candidates(&case.snapshot, plan);
    trials.candidates = candidates.len();
    candidates.sort_by_key(|c| (std::cmp::Reverse(c.used), c.at));
    candidates.truncate(question.max_trials);
    let mut found = Vec::new();
    for candidate in candidates {
        if !(question.go_on)() {
            trials.out_of_time = true;
            break;
        }
        trials.tried += 1;
        let gains = try_out(case, plan, candidate);
        if !gains.is_empty() {
            found.push((candidate, gains));
        }
    }
    // The highest class that gains anything decides, then how much.
    found.sort_by(|(a, x), (b, y)| {
        let rank = |gains: &[Gain]| gains.first().map_or((0, 0), |g| (g.priority, g.millis()));
        rank(y).cmp(&rank(x)).then(a.at.cmp(&b.at))
    });
    found.truncate(MAX_TOLD);
    for best in found.iter_mut().take(MAX_REFINED) {
        refine(case, plan, question, best);
    }
    let told = found.into_iter().map(|(c, gains)| told(&case.snapshot, c, gains));
    (told.collect(), trials)
}

/// Most that the plan has a line carry, and a reserve give, at one time.
fn peaks(plan: &Plan) -> (BTreeMap<&Name, u64>, BTreeMap<&Name, u64>) {
    let mut pairs: BTreeMap<(&Name, &Name, &Name), u64> = BTreeMap::new();
    let (mut lines, mut reserves) = (BTreeMap::new(), BTreeMap::new());
    for step in plan.central_stages().flat_map(|s| &s.steps) {
        let StepKind::Divert {
            line,
            reserve,
            server,
            milliwatts,
        } = &step.kind
        else {
            continue;
        };
        pairs.insert((line, reserve, server), *milliwatts);
        let sum = |of: &dyn Fn(&(&Name, &Name, &Name)) -> bool| -> u64 {
            pairs
                .iter()
                .filter(|(key, _)| of(key))
                .map(|(_, milliwatts)| *milliwatts)
                .fold(0, u64::saturating_add)
        };
        let (on_line, from_reserve) = (sum(&|k| k.0 == line), sum(&|k| k.1 == reserve));
        let peak = lines.entry(line).or_insert(0);
        *peak = on_line.max(*peak);
        let peak = reserves.entry(reserve).or_insert(0);
        *peak = from_reserve.max(*peak);
    }
    (lines, reserves)
}

fn permille(part: u64, whole: u64) -> u64 {
    u64::try_from(u128::from(part) * 1000 / u128::from(whole.max(1))).unwrap_or(u64::MAX)
}

fn raise(now: u64, step: u64) -> u64 {
    let more = now / 100 * RAISE_PERCENT;
    more.div_ceil(step).max(1) * step
}

fn candidates(snapshot: &Snapshot, plan: &Plan) -> Vec<Candidate> {
    let (on_lines, from_reserves) = peaks(plan);
    let mut list = Vec::new();
    for (at, line) in snapshot.lines.iter().enumerate() {
        let joins = !line.reserves.is_empty() && !line.servers.is_empty();
        if joins && line.armed && line.state != LineState::Fault {
            let now = line.max_milliwatts;
            // A line that carries less than any of its servers needs is of no use at all: it has to be raised that far.
            let needed = line
                .servers
                .iter()
                .filter_map(|s| snapshot.servers.get(s.0 as usize))
                .map(|s| s.peak_milliwatts)
                .max()
                .unwrap_or(0);
            let missing = needed.saturating_sub(now).div_ceil(WATTS_STEP_MILLIWATTS) * WATTS_STEP_MILLIWATTS;
            list.push(Candidate {
                figure: Figure::LinePower,
                at,
                now,
                added: raise(now, WATTS_STEP_MILLIWATTS).max(missing),
                used: permille(on_lines.get(&line.name).copied().unwrap_or(0), now),
            });
        }
    }
    let mut fed = BTreeMap::new();
    for reserve in plan.reserves.iter() {
        let first = reserve.points.first().map_or(0, |(_, charge)| *charge);
        let last = reserve.points.last().map_or(0, |(_, charge)| *charge);
        fed.insert(&reserve.reserve, first.saturating_sub(last));
    }
    for (at, reserve) in snapshot.reserves.iter().enumerate() {
        if matches!(reserve.state, ReserveState::Fault) {
            continue;
        }
        let drawn = fed.get(&reserve.name).copied().unwrap_or(0);
        list.push(Candidate {
            figure: Figure::ReserveEnergy,
            at,
            now: reserve.capacity_millijoules,
            added: raise(reserve.capacity_millijoules, ENERGY_STEP_MILLIJOULES),
            used: permille(drawn, reserve.drawable_millijoules()),
        });
        // What a reserve gives its own servers is not in the plan's steps: those that draw near its limit count.
        let own: u64 = reserve
            .feeds
            .iter()
            .filter_map(|s| snapshot.servers.get(s.0 as usize))
            .map(|s| s.measured_milliwatts.unwrap_or(s.peak_milliwatts))
            .fold(0, u64::saturating_add);
        let given = from_reserves.get(&reserve.name).copied().unwrap_or(0);
        list.push(Candidate {
            figure: Figure::ReservePower,
            at,
            now: reserve.max_discharge_milliwatts,
            added: raise(reserve.max_discharge_milliwatts, WATTS_STEP_MILLIWATTS),
            used: permille(own.saturating_add(given), reserve.max_discharge_milliwatts),
        });
    }
    list
}

/// The classes that gain by it; none where a class that is higher than all that gain loses.
fn try_out(case: &Case<'_>, plan: &Plan, candidate: Candidate) -> Vec<Gain> {
    let mut snapshot = case.snapshot.clone();
    match candidate.figure {
        Figure::LinePower => snapshot.lines[candidate.at].max_milliwatts += candidate.added,
        Figure::ReserveEnergy => {
            let reserve = &mut snapshot.reserves[candidate.at];
            reserve.capacity_millijoules += candidate.added;
            reserve.charge_millijoules += candidate.added;
        }
        Figure::ReservePower => snapshot.reserves[candidate.at].max_discharge_milliwatts += candidate.added,
    }
    let other = case.plan(&snapshot);
    let mut gains = Vec::new();
    for class in &plan.classes {
        let Some(now) = class.ride_through_millis else {
            continue;
        };
        let then = end_of(&other, class.priority);
        let least = LEAST_GAIN_MILLIS.max(now / 100);
        if gains.is_empty() && then.is_some_and(|then| then.saturating_add(least) < now) {
            return Vec::new();
        }
        if then.is_none_or(|then| then > now.saturating_add(least)) {
            gains.push(Gain {
                priority: class.priority,
                sets: sets_of(&case.snapshot, class.priority),
                now_millis: now,
                then_millis: then,
            });
        }
    }
    gains
}

/// Makes the change smaller while its highest class keeps nine tenths of the gain.
fn refine(case: &Case<'_>, plan: &Plan, question: &Question<'_>, best: &mut (Candidate, Vec<Gain>)) {
    let step = match best.0.figure {
        Figure::LinePower | Figure::ReservePower => WATTS_STEP_MILLIWATTS,
        Figure::ReserveEnergy => ENERGY_STEP_MILLIJOULES,
    };
    let Some((priority, wanted)) = best
        .1
        .first()
        .map(|g| (g.priority, g.millis().saturating_sub(g.millis() / 10)))
    else {
        return;
    };
    let (mut too_little, mut enough) = (0, best.0.added / step);
    for _ in 0..REFINEMENTS {
        let middle = (too_little + enough) / 2;
        if middle == too_little || !(question.go_on)() {
            return;
        }
        let smaller = Candidate {
            added: middle * step,
            ..best.0
        };
        let gains = try_out(case, plan, smaller);
        let keeps = gains
            .first()
            .is_some_and(|g| g.priority == priority && g.millis() >= wanted);
        if keeps {
            enough = middle;
            *best = (smaller, gains);
        } else {
            too_little = middle;
        }
    }
}

fn told(snapshot: &Snapshot, candidate: Candidate, gains: Vec<Gain>) -> Bottleneck {
    let server = |s: &power_policy::model::ServerId| {
        let found = snapshot.servers.get(s.0 as usize)?;
        Some(found.name.to_string())
    };
    let reserve = |r: &power_policy::model::ReserveId| {
        let found = snapshot.reserves.get(r.0 as usize)?;
        Some(found.name.to_string())
    };
    let (subject, from, to) = match candidate.figure {
        Figure::LinePower => {
            let line = &snapshot.lines[candidate.at];
            (
                line.name.to_string(),
                line.reserves.iter().filter_map(reserve).collect(),
                line.servers.iter().filter_map(server).collect(),
            )
        }
        Figure::ReserveEnergy | Figure::ReservePower => {
            let reserve = &snapshot.reserves[candidate.at];
            (
                reserve.name.to_string(),
                vec![reserve.name.to_string()],
                reserve.feeds.iter().filter_map(server).collect(),
            )
        }
    };
    Bottleneck {
        figure: candidate.figure,
        subject,
        from,
        to,
        now: candidate.now,
        added: candidate.added,
        gains,
    }
}
