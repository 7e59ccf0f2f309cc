//! No priority inversion (invariant 7), and in survive mode nothing lower beside the top class (invariant 9).
//!
//! Judged on the times that the plan, run forward, leads to. A set that stops before its target is envious of a lower
//! one that goes on if a reserve of the lower one's server can reach it, over a line with room, and still has energy
//! enough for both ends: the lower one's clean stop and a minute of the higher one. Only what is certain is objected
//! to; beyond all targets the leftover rule may order otherwise, and the plan then names its price.

use std::collections::{BTreeMap, BTreeSet};

use super::electricity::{is_on_mains, permille};
use super::run::Outcome;
use super::violation::{Findings, Invariant};
use crate::model::{
    ActivityState, LineMode, LineState, Mode, PowerPolicy, Powered, Priority, ReserveState, Snapshot,
};
use crate::plan::Plan;

/// How long the higher class would have to live on for a difference to count.
const WORTH_MILLIS: u64 = 60_000;
/// How long the first stops, moves and halts may take (policy notes, section 3).
const TRANSIENT_MILLIS: u64 = 240_000;
/// A time that never comes.
const NEVER: u64 = u64::MAX;

/// Something that runs on battery, where the plan puts it.
#[derive(Debug, Clone, Copy)]
struct Life {
    activity: usize,
    server: usize,
    priority: Priority,
    /// When its stop begins, or its server is lost.
    until: u64,
    /// The plan stops it. What is lost is judged as a dirty stop.
    is_stopped: bool,
}

pub(super) fn check(
    snapshot: &Snapshot,
    plan: &Plan,
    policy: &PowerPolicy,
    outcome: &Outcome,
    findings: &mut Findings,
) {
    let lives = lives(snapshot, outcome);
    let case = Case {
        snapshot,
        plan,
        policy,
        outcome,
        donors: Donors::new(snapshot, &lives),
        running: super::touchable(snapshot),
        top: lives.iter().map(|l| l.priority).max(),
    };
    for life in lives.iter().filter(|l| l.is_stopped) {
        case.inversion(*life, findings);
    }
    if policy.mode == Mode::Survive {
        case.survive(&lives, findings);
    }
}

/// Everything that lives are judged from.
struct Case<'a> {
    snapshot: &'a Snapshot,
    plan: &'a Plan,
    policy: &'a PowerPolicy,
    outcome: &'a Outcome,
    donors: Donors,
    /// Touchable activities by server, at the moment of planning.
    running: Vec<Vec<usize>>,
    /// The highest class on battery.
    top: Option<Priority>,
}

fn lives(snapshot: &Snapshot, outcome: &Outcome) -> Vec<Life> {
    let mut lost: BTreeMap<usize, u64> = BTreeMap::new();
    for loss in &outcome.losses {
        for a in &loss.ended {
            lost.insert(*a, loss.at_millis);
        }
    }
    let mut lives = Vec::new();
    for (a, activity) in snapshot.activities.iter().enumerate() {
        // What has begun to stop does so whatever is planned, unless it goes on where its move has brought it.
        let here = match activity.copies.first() {
            _ if activity.state != ActivityState::Stopping => activity.host,
            Some(there) => *there,
            None => continue,
        };
        let server = outcome.moved_to[a].unwrap_or(here.0 as usize);
        let counts = activity.draws()
            && activity.is_touchable()
            && snapshot.servers[server].powered == Powered::On
            && !is_on_mains(snapshot, server, false);
        let Some(priority) = super::priority(snapshot, a).filter(|_| counts) else {
            continue;
        };
        let stopped = outcome.stopped[a].map(|(begun, _)| begun);
        let until = stopped.or(lost.get(&a).copied()).unwrap_or(NEVER);
        lives.push(Life {
            activity: a,
            server,
            priority,
            until,
            is_stopped: stopped.is_some(),
        });
    }
    lives
}

/// For each line, who of each class lives longest on a server whose own reserve is a member.
struct Donors {
    /// By line: class, ascending, with the longest life up to and including that class, and the reserve.
    by_line: Vec<Vec<(Priority, Life, usize)>>,
    lines_of: Vec<Vec<usize>>,
}

impl Donors {
    fn new(snapshot: &Snapshot, lives: &[Life]) -> Self {
        let mut on_server: Vec<BTreeMap<Priority, Life>> = vec![BTreeMap::new(); snapshot.servers.len()];
        for life in lives {
            // One that cannot be started again is stopped only when the energy is at its end.
            if !snapshot.activities[life.activity].restartable {
                continue;
            }
            let best = on_server[life.server].entry(life.priority).or_insert(*life);
            if life.until > best.until {
                *best = *life;
            }
        }
        let mut lines_of = vec![Vec::new(); snapshot.servers.len()];
        let mut by_line = Vec::with_capacity(snapshot.lines.len());
        for (l, line) in snapshot.lines.iter().enumerate() {
            for s in &line.servers {
                lines_of[s.0 as usize].push(l);
            }
            let mut best: BTreeMap<Priority, (Life, usize)> = BTreeMap::new();
            let members = line.reserves.iter().map(|r| r.0 as usize).filter(|r| {
                let reserve = &snapshot.reserves[*r];
                let alive = !matches!(reserve.state, ReserveState::Fault | ReserveState::Unknown);
                alive && reserve.armed && reserve.simulated == line.simulated
            });
            for r in members.filter(|_| line.armed && line.state != LineState::Fault) {
                for s in &snapshot.reserves[r].feeds {
                    for (priority, life) in &on_server[s.0 as usize] {
                        let entry = best.entry(*priority).or_insert((*life, r));
                        if life.until > entry.0.until {
                            *entry = (*life, r);
                        }
                    }
                }
            }
            let mut ladder: Vec<(Priority, Life, usize)> = Vec::with_capacity(best.len());
            for (priority, (life, r)) in best {
                match ladder.last().copied() {
                    Some((_, longer, s)) if longer.until >= life.until => ladder.push((priority, longer, s)),
                    _ => ladder.push((priority, life, r)),
                }
            }
            by_line.push(ladder);
        }
        Self { by_line, lines_of }
    }

    /// The longest life of a class below `priority` whose reserve reaches `server`, by line.
    fn below<'a>(
        &'a self,
        server: usize,
        priority: Priority,
    ) -> impl Iterator<Item = (usize, Life, usize)> + 'a {
        self.lines_of[server].iter().filter_map(move |l| {
            let ladder = &self.by_line[*l];
            let at = ladder.partition_point(|(p, _, _)| *p < priority);
            let (_, life, reserve) = ladder[..at].last()?;
            (life.server != server).then_some((*l, *life, *reserve))
        })
    }
}

fn tolerance(millis: u64) -> u64 {
    (millis / 50).max(15_000)
}

impl Case<'_> {
    fn inversion(&self, life: Life, findings: &mut Findings) {
        let snapshot = self.snapshot;
        let target = self.target(life);
        let met = target.is_some_and(|t| life.until.saturating_add(tolerance(t)) >= t);
        for (l, lower, r) in self.donors.below(life.server, life.priority) {
            let later = lower.until.saturating_sub(life.until);
            if later <= tolerance(life.until).saturating_add(WORTH_MILLIS) {
                continue;
            }
            // Beyond its target the leftover rule may prefer the lower one, at the price that the plan states; and one
            // whose own target is yet to be reached comes before.
            let lower_target_left = self.target(lower).is_none_or(|t| t > life.until);
            if met && (self.plan.lambda_micro.is_some() || lower_target_left) {
                continue;
            }
            let Some(left) = self.room(life, lower, l, r) else {
                continue;
            };
            let say = |t: Option<u64>, never: &str| t.map_or(never.to_owned(), |t| format!("{t} ms"));
            findings.add(
                Invariant::Inversion,
                self.outcome.stopped_by[life.activity],
                &snapshot.activities[life.activity].name,
                format!(
                    "class {} ends at {} ms on {} (target: {}), while {} of class {} goes on until {} on {}, whose {} \
                     could still give {left:.0} mJ over {}",
                    life.priority,
                    life.until,
                    snapshot.servers[life.server].name,
                    say(target, "for ever"),
                    snapshot.activities[lower.activity].name,
                    lower.priority,
                    say((lower.until != NEVER).then_some(lower.until), "its end"),
                    snapshot.servers[lower.server].name,
                    snapshot.reserves[r].name,
                    snapshot.lines[l].name,
                ),
            );
            return;
        }
    }

    /// Target of a life in milliseconds; `None` is for ever.
    fn target(&self, life: Life) -> Option<u64> {
        match self.policy.mode {
            Mode::Survive => (self.top != Some(life.priority)).then_some(0),
            Mode::Default => {
                let set = self.snapshot.activities[life.activity].set?;
                self.snapshot.sets.get(set.0 as usize)?.target_millis
            }
        }
    }

    /// What the lower one's reserve could still give when the higher one ends; `None` if it is not enough or cannot
    /// pass. Whatever is not certain is answered with `None`: what else is on a line that is in use, how many feeds are
    /// free where they are counted, whether an exclusive line is free at that time.
    fn room(&self, life: Life, lower: Life, l: usize, r: usize) -> Option<f64> {
        let snapshot = self.snapshot;
        let (line, reserve) = (&snapshot.lines[l], &snapshot.reserves[r]);
        let (host, own) = (&snapshot.servers[life.server], &snapshot.servers[lower.server]);
        let busy = !line.joined.is_empty() || host.fan_in > 0 || reserve.fan_out > 0;
        if busy || line.mode == LineMode::Exclusive || host.simulated != line.simulated {
            return None;
        }
        let factor = permille(line.efficiency_permille);
        let watts = (host.idle_milliwatts as f64 + snapshot.activities[life.activity].draw_milliwatts as f64)
            / factor;
        let through = line.max_milliwatts.min(reserve.max_discharge_milliwatts) as f64;
        let spare = reserve
            .max_discharge_milliwatts
            .saturating_sub(own.idle_milliwatts) as f64;
        if through < watts || spare < watts {
            return None;
        }
        let floor = reserve.charge_millijoules as f64 - reserve.drawable_millijoules() as f64;
        let left = (self.outcome.energy_at(r, life.until) - floor) * permille(reserve.efficiency_permille);
        let worth = WORTH_MILLIS as f64 / 1_000.0;
        let clean = super::clean_end(snapshot, lower.server, &self.running[lower.server])
            + own.idle_milliwatts as f64 * worth;
        (left > watts * worth + clean).then_some(left - clean)
    }

    /// In survive mode nothing below the top class runs beyond the transient on energy that could reach the top class.
    fn survive(&self, lives: &[Life], findings: &mut Findings) {
        let Some(top) = self.top else { return };
        let slowest = self.snapshot.activities.iter().map(|a| a.stop_millis).max();
        let end = self
            .outcome
            .elapsed_at_start
            .saturating_add(TRANSIENT_MILLIS)
            .saturating_add(slowest.unwrap_or(0));
        let tops: BTreeSet<usize> = lives
            .iter()
            .filter(|l| l.priority == top && l.until > end)
            .map(|l| l.server)
            .collect();
        let beside = lives
            .iter()
            .filter(|l| l.priority < top && tops.contains(&l.server))
            .filter(|l| self.snapshot.activities[l.activity].restartable)
            .map(|l| (*l, None));
        let over_lines = tops
            .iter()
            .flat_map(|s| self.donors.below(*s, top))
            .map(|(l, lower, _)| (lower, Some(l)));
        let mut told = BTreeSet::new();
        for (lower, line) in beside.chain(over_lines) {
            if lower.until <= end || !told.insert(lower.activity) {
                continue;
            }
            let way = line.map_or("on the same server".to_owned(), |l| {
                format!("over line {}", self.snapshot.lines[l].name)
            });
            findings.add(
                Invariant::Survive,
                None,
                &self.snapshot.activities[lower.activity].name,
                format!(
                    "class {} runs on beyond {end} ms, although its energy could reach class {top} {way}",
                    lower.priority
                ),
            );
        }
    }
}
