//! The finished plan run as it is written, on the planner's own electricity: what a plan promises is what this run says,
//! and what goes wrong in it is mended before the plan leaves (see the module above).
//!
//! A plan is run as PDP and PEPs would release it; with thresholds seen late and stops that take the margin set aside;
//! and with the PDP gone after stage 0, and gone as the plan first waits.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use super::electricity::{Electricity, micros};
use super::flow::ratio;
use super::prepare::{Cluster, Feed};
use crate::model::ActivityState;
use crate::plan::{HostState, Stage, StepKind, Trigger, Verb};

/// Who releases stages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Controller {
    /// A PDP, to the end.
    Alive,
    /// None, from the moment after stage 0.
    GoneAfterStageZero,
    /// None, from the moment at which a stage would have to wait.
    GoneAtFirstWait,
}

/// What is worse than the plan says.
#[derive(Debug, Clone, Copy)]
pub(super) struct Strain {
    /// Thresholds are seen so many seconds late.
    pub(super) late: f64,
    /// Stops and halts take the margin that is set aside for them also where no energy is declared for them, and not
    /// only where one is.
    pub(super) undeclared: bool,
}

/// How the plan is run.
#[derive(Debug, Clone, Copy)]
pub(super) struct Conditions {
    pub(super) controller: Controller,
    pub(super) strained: Option<Strain>,
    /// Every server loses its mains at the beginning.
    pub(super) all_lost: bool,
}

/// A server that lost power.
#[derive(Debug, Clone)]
pub(super) struct Loss {
    pub(super) server: usize,
    /// Microseconds from the time of planning.
    pub(super) at: u64,
    /// Touchable activities that ran on it.
    pub(super) running: Vec<usize>,
    /// What ran on it and nowhere else.
    pub(super) ended: Vec<usize>,
    pub(super) halting: bool,
}

impl Loss {
    /// Something was not ended cleanly.
    pub(super) fn is_dirty(&self) -> bool {
        self.halting || !self.running.is_empty()
    }
}

/// What came of it. Times are microseconds from the time of planning.
#[derive(Debug)]
pub(super) struct Outcome {
    /// When each activity's stop for good began.
    pub(super) stopped: Vec<Option<u64>>,
    pub(super) losses: Vec<Loss>,
    /// Output energy of each reserve over time.
    pub(super) history: Vec<Vec<(u64, f64)>>,
}

#[derive(Debug, Clone)]
enum Act {
    Divert(Feed),
    Activity {
        activity: usize,
        server: usize,
        verb: Verb,
    },
    Host {
        server: usize,
        off: bool,
    },
}

#[derive(Debug)]
struct ReadStage<'p> {
    order: u32,
    trigger: &'p Trigger,
    watched: Vec<usize>,
    acts: Vec<Act>,
}

/// Stages with their names looked up.
#[derive(Debug)]
pub(super) struct Reading<'p> {
    central: Vec<ReadStage<'p>>,
    /// By PEP.
    local: Vec<Vec<ReadStage<'p>>>,
}

impl<'p> Reading<'p> {
    pub(super) fn new(cluster: &Cluster<'_>, central: &'p [Stage], local: &'p [Stage]) -> Self {
        let read = |stage: &'p Stage| read_stage(cluster, stage);
        let mut by_pep: BTreeMap<Option<&crate::model::Name>, Vec<ReadStage<'p>>> = BTreeMap::new();
        for stage in local {
            let stage = read(stage);
            let server = stage.acts.iter().find_map(|a| match a {
                Act::Activity { server, .. } | Act::Host { server, .. } => Some(*server),
                Act::Divert(_) => None,
            });
            if let Some(s) = server {
                let pep = cluster.snapshot.servers[s].pep.as_ref();
                by_pep.entry(pep).or_default().push(stage);
            }
        }
        Self {
            central: central.iter().map(read).collect(),
            local: by_pep.into_values().collect(),
        }
    }
}

fn read_stage<'p>(cluster: &Cluster<'_>, stage: &'p Stage) -> ReadStage<'p> {
    let snapshot = cluster.snapshot;
    let store = |name| snapshot.reserves.binary_search_by(|r| r.name.cmp(name)).ok();
    let server = |name| snapshot.server_id(name).map(|s| s.0 as usize);
    let acts = stage.steps.iter().filter_map(|step| {
        Some(match &step.kind {
            StepKind::Divert {
                line,
                reserve,
                server: to,
                milliwatts,
            } => Act::Divert(Feed {
                link: snapshot.lines.binary_search_by(|l| l.name.cmp(line)).ok()?,
                store: store(reserve)?,
                server: server(to)?,
                watts: *milliwatts as f64,
            }),
            StepKind::Intake { .. } => return None,
            StepKind::Activity {
                activity,
                server: at,
                verb,
                ..
            } => Act::Activity {
                activity: snapshot
                    .activities
                    .binary_search_by(|a| a.name.cmp(activity))
                    .ok()?,
                server: server(at)?,
                verb: *verb,
            },
            StepKind::Host { server: at, state } => Act::Host {
                server: server(at)?,
                off: *state == HostState::Off,
            },
        })
    });
    let watched = match &stage.trigger {
        Trigger::ChargeBelow { reserves, .. } => reserves.iter().filter_map(store).collect(),
        _ => Vec::new(),
    };
    ReadStage {
        order: stage.order,
        trigger: &stage.trigger,
        watched,
        acts: acts.collect(),
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    /// The activity is gone from the server.
    Gone {
        activity: usize,
        server: usize,
        queue: usize,
    },
    /// Something of a queue is done.
    Done {
        queue: usize,
    },
    HostBegins {
        server: usize,
        queue: usize,
    },
    Halted {
        server: usize,
        queue: usize,
    },
    /// A queue may release its next stage.
    Release {
        queue: usize,
    },
    ControllerGoes,
}

/// A sequence of stages that are released one after the other: the central ones, or those of one PEP.
struct Queue<'r, 'p> {
    stages: &'r [ReadStage<'p>],
    next: usize,
    outstanding: usize,
    results_at: u64,
    waiting: bool,
    enabled: bool,
}

struct Run<'r, 'p, 'a, 'c> {
    cluster: &'a Cluster<'c>,
    conditions: Conditions,
    late: u64,
    /// Part of the power of a stop or halt that comes on top, where its energy is declared and where it is not.
    extra: (f64, f64),
    electricity: Electricity<'a, 'c>,
    /// Servers that each activity runs on, and whether it is ending there.
    places: Vec<Vec<(usize, Option<u64>)>>,
    by_server: Vec<Vec<usize>>,
    halting: Vec<bool>,
    queues: Vec<Queue<'r, 'p>>,
    /// The queue that waits for each watched charge.
    watchers: Vec<usize>,
    timers: BinaryHeap<Reverse<(u64, u64, Timer)>>,
    sequence: u64,
    elapsed: u64,
    debounce: u64,
    seen_lost: usize,
    stopped: Vec<Option<u64>>,
    losses: Vec<Loss>,
}

/// Runs the plan to its end.
pub(super) fn rehearse(cluster: &Cluster<'_>, reading: &Reading<'_>, conditions: Conditions) -> Outcome {
    let mut run = Run::new(cluster, reading, conditions);
    // Every pass ends a timer, empties a reserve or meets a threshold; the bound is for figures that defy arithmetic.
    let acts: usize = reading
        .central
        .iter()
        .chain(reading.local.iter().flatten())
        .map(|s| s.acts.len() + 2)
        .sum();
    let things = cluster.stores.len() + cluster.nodes.len() + cluster.snapshot.activities.len();
    run.until_rest(64 + 16 * (acts + things));
    Outcome {
        stopped: run.stopped,
        losses: run.losses,
        history: run.electricity.take_history(),
    }
}

impl<'r, 'p, 'a, 'c> Run<'r, 'p, 'a, 'c> {
    fn new(cluster: &'a Cluster<'c>, reading: &'r Reading<'p>, conditions: Conditions) -> Self {
        let snapshot = cluster.snapshot;
        let mut electricity = Electricity::new(cluster);
        if conditions.all_lost {
            electricity.lose_all_mains();
        }
        electricity.keep_history();
        let policy = cluster.policy;
        let beyond = f64::from(policy.hold_back_permille.max(1_000)) / 1_000.0 - 1.0;
        let (late, declared, undeclared) = match conditions.strained {
            Some(strain) => {
                let undeclared = if strain.undeclared { beyond } else { 0.0 };
                (micros(strain.late), beyond, undeclared)
            }
            None => (0, 0.0, 0.0),
        };
        let local = if conditions.controller == Controller::Alive {
            &[][..]
        } else {
            &reading.local[..]
        };
        let queue = |stages: &'r [ReadStage<'p>], enabled| Queue {
            stages,
            next: 0,
            outstanding: 0,
            results_at: 0,
            waiting: false,
            enabled,
        };
        let mut run = Self {
            cluster,
            conditions,
            late,
            extra: (declared, undeclared),
            electricity,
            places: vec![Vec::new(); snapshot.activities.len()],
            by_server: vec![Vec::new(); snapshot.servers.len()],
            halting: vec![false; snapshot.servers.len()],
            queues: std::iter::once(queue(&reading.central, true))
                .chain(local.iter().map(|stages| queue(stages, false)))
                .collect(),
            watchers: Vec::new(),
            timers: BinaryHeap::new(),
            sequence: 0,
            elapsed: snapshot.outage.as_ref().map_or(0, |o| o.elapsed_millis),
            debounce: micros(cluster.debounce_left),
            seen_lost: 0,
            stopped: vec![None; snapshot.activities.len()],
            losses: Vec::new(),
        };
        for (a, activity) in snapshot.activities.iter().enumerate() {
            let here = activity.draws().then_some(&activity.host);
            for s in here.into_iter().chain(&activity.copies) {
                let s = s.0 as usize;
                if !snapshot.servers[s].powered.is_off() && !run.runs_on(a, s) {
                    run.places[a].push((s, None));
                    run.by_server[s].push(a);
                }
            }
            if activity.state == ActivityState::Stopping {
                // How far it is, nobody says: it is given its whole time.
                run.end(a, activity.host.0 as usize, None);
            }
        }
        run
    }

    /// Part of the power of a stop or halt that comes on top, by the energy that is declared for it.
    fn extra(&self, declared_millijoules: u64) -> f64 {
        if declared_millijoules > 0 {
            self.extra.0
        } else {
            self.extra.1
        }
    }

    fn runs_on(&self, activity: usize, server: usize) -> bool {
        self.places[activity].iter().any(|(s, _)| *s == server)
    }

    fn until_rest(&mut self, bound: usize) {
        self.electricity.settle();
        if self.conditions.controller == Controller::GoneAfterStageZero {
            if self.queues[0].stages.first().is_some_and(|s| s.order == 0) {
                self.release(0);
            }
            self.controller_goes();
        } else {
            self.prepare(0);
        }
        for _ in 0..bound {
            self.electricity.settle();
            let timer = self.timers.peek().map(|Reverse((at, _, _))| *at);
            let next = match (timer, self.electricity.next_due()) {
                (Some(a), Some(b)) => a.min(b),
                (Some(at), None) | (None, Some(at)) => at,
                (None, None) => return,
            };
            self.electricity.step(next);
            self.look_at_lost();
            for watch in std::mem::take(&mut self.electricity.fallen) {
                if let Some(queue) = self.watchers.get(watch).copied() {
                    let at = self.electricity.now.saturating_add(self.late);
                    self.later(at, Timer::Release { queue });
                }
            }
            while let Some(Reverse((at, _, timer))) = self.timers.peek().copied() {
                if at > self.electricity.now {
                    break;
                }
                self.timers.pop();
                self.ring(timer);
            }
        }
    }

    fn later(&mut self, at: u64, timer: Timer) {
        self.sequence += 1;
        self.timers.push(Reverse((at, self.sequence, timer)));
    }

    /// Waits for the trigger of the next stage of a queue.
    fn prepare(&mut self, q: usize) {
        let now = self.electricity.now;
        let queue = &self.queues[q];
        if !queue.enabled || queue.waiting || queue.outstanding > 0 {
            return;
        }
        let may_go = q == 0 && self.conditions.controller == Controller::GoneAtFirstWait;
        let Some(stage) = queue.stages.get(queue.next) else {
            if may_go {
                self.controller_goes();
            }
            return;
        };
        let mut waits = false;
        let mut at = match stage.trigger {
            Trigger::AfterResults | Trigger::MainsLost | Trigger::ChargeAbove { .. } => queue.results_at,
            Trigger::Elapsed { millis } => {
                let at = millis.saturating_sub(self.elapsed).saturating_mul(1_000);
                waits = at > self.debounce && at > now;
                at
            }
            Trigger::Delay { millis } => queue.results_at.saturating_add(millis.saturating_mul(1_000)),
            Trigger::ChargeBelow { millijoules, .. } => {
                if may_go {
                    self.queues[q].waiting = true;
                    self.controller_goes();
                    return;
                }
                let threshold = *millijoules as f64;
                let watched = stage.watched.clone();
                self.queues[q].waiting = true;
                self.electricity.watch(&watched, threshold);
                self.watchers.push(q);
                return;
            }
        };
        if waits && may_go {
            self.controller_goes();
            return;
        }
        at = at.max(now);
        if q == 0 && stage.acts.iter().any(|a| !matches!(a, Act::Divert(_))) {
            at = at.max(self.debounce);
        }
        self.queues[q].waiting = true;
        self.later(at, Timer::Release { queue: q });
    }

    fn controller_goes(&mut self) {
        self.queues[0].enabled = false;
        self.later(self.electricity.now, Timer::ControllerGoes);
    }

    /// Releases the next stage of a queue.
    fn release(&mut self, q: usize) {
        let queue = &mut self.queues[q];
        queue.waiting = false;
        let stages = queue.stages;
        let Some(stage) = stages.get(queue.next).filter(|_| queue.enabled) else {
            return;
        };
        queue.next += 1;
        let now = self.electricity.now;
        // When the activity steps before a host step on the same server have ended.
        let mut ends: BTreeMap<usize, u64> = BTreeMap::new();
        for act in &stage.acts {
            match *act {
                Act::Divert(feed) => {
                    let done = self.electricity.divert(feed);
                    if done > now {
                        self.expect(q, done, Timer::Done { queue: q });
                    }
                }
                Act::Activity {
                    activity,
                    server,
                    verb,
                } => {
                    let end = match verb {
                        Verb::TakeIn | Verb::Start => self.take_in(activity, server, q, verb),
                        Verb::Stop | Verb::MoveOut => self.end(activity, server, Some((q, verb))),
                        _ => now,
                    };
                    let last = ends.entry(server).or_insert(end);
                    *last = end.max(*last);
                }
                Act::Host { server, off: false } => {
                    let boots = self.cluster.snapshot.servers[server].powered.is_off();
                    let boot = self.cluster.snapshot.servers[server].boot_millis;
                    let up = now.saturating_add(boot.saturating_mul(1_000));
                    if boots && up > now {
                        self.expect(q, up, Timer::Done { queue: q });
                    }
                }
                Act::Host { server, off: true } => {
                    let at = ends.get(&server).copied().unwrap_or(now);
                    self.expect(q, at, Timer::HostBegins { server, queue: q });
                }
            }
        }
        self.finished(q, 0);
    }

    fn take_in(&mut self, activity: usize, server: usize, q: usize, verb: Verb) -> u64 {
        let now = self.electricity.now;
        let model = &self.cluster.snapshot.activities[activity];
        let span = model.move_millis.saturating_mul(1_000);
        let mut draw = 0.0;
        if !self.runs_on(activity, server) {
            draw = model.draw_milliwatts as f64;
            self.places[activity].push((server, None));
            self.by_server[server].push(activity);
        }
        let moved = if verb == Verb::TakeIn {
            model.move_millijoules
        } else {
            0
        };
        let extra = ratio(moved as f64 * 1_000.0, model.move_millis as f64);
        self.electricity.change_load(server, draw + extra, 0);
        if span > 0 {
            self.electricity.change_load(server, -extra, span);
        } else {
            self.electricity.change_load(server, -extra, 0);
        }
        let end = now.saturating_add(span);
        if end > now {
            self.expect(q, end, Timer::Done { queue: q });
        }
        end
    }

    /// Begins to end an activity on a server; returns when it is gone. Without a queue it was ending before.
    fn end(&mut self, activity: usize, server: usize, by: Option<(usize, Verb)>) -> u64 {
        let now = self.electricity.now;
        let model = &self.cluster.snapshot.activities[activity];
        let Some(place) = self.places[activity].iter_mut().find(|(s, _)| *s == server) else {
            return now;
        };
        if let Some(end) = place.1 {
            // It is waited for.
            if let Some((q, _)) = by.filter(|_| end > now) {
                self.expect(q, end, Timer::Done { queue: q });
            }
            return end.max(now);
        }
        let span = model.stop_millis.saturating_mul(1_000);
        let end = now.saturating_add(span);
        place.1 = Some(end);
        let draw = model.draw_milliwatts as f64;
        let power = ratio(model.stop_millijoules as f64 * 1_000.0, model.stop_millis as f64).max(draw);
        let more = power * (1.0 + self.extra(model.stop_millijoules)) - draw;
        if more > 0.0 && span > 0 {
            self.electricity.change_load(server, more, 0);
            self.electricity.change_load(server, -more, span);
        }
        let gone = |queue| Timer::Gone {
            activity,
            server,
            queue,
        };
        match by {
            Some((q, verb)) => {
                if verb == Verb::Stop {
                    self.stopped[activity] = Some(now);
                }
                self.expect(q, end, gone(q));
            }
            None => self.later(end, gone(usize::MAX)),
        }
        end
    }

    fn expect(&mut self, q: usize, at: u64, timer: Timer) {
        self.queues[q].outstanding += 1;
        self.later(at, timer);
    }

    fn finished(&mut self, q: usize, count: usize) {
        let Some(queue) = self.queues.get_mut(q) else {
            return;
        };
        queue.outstanding = queue.outstanding.saturating_sub(count);
        if queue.outstanding == 0 {
            queue.results_at = self.electricity.now;
            self.prepare(q);
        }
    }

    fn ring(&mut self, timer: Timer) {
        match timer {
            Timer::Gone {
                activity,
                server,
                queue,
            } => {
                self.gone(activity, server);
                self.finished(queue, 1);
            }
            Timer::Done { queue } => self.finished(queue, 1),
            Timer::HostBegins { server, queue } => {
                if self.halting[server] || !self.electricity.on[server] {
                    self.finished(queue, 1);
                    return;
                }
                self.halting[server] = true;
                let node = &self.cluster.nodes[server];
                let power = ratio(node.halt_energy, node.halt_seconds).max(node.idle);
                let declared = self.cluster.snapshot.servers[server].halt_millijoules;
                let more = power * (1.0 + self.extra(declared)) - node.idle;
                if more > 0.0 {
                    self.electricity.change_load(server, more, 0);
                }
                let done = self.electricity.now.saturating_add(micros(node.halt_seconds));
                self.later(done, Timer::Halted { server, queue });
            }
            Timer::Halted { server, queue } => {
                if self.electricity.on[server] {
                    self.halting[server] = false;
                    self.electricity.switch_off(server, 0);
                }
                self.finished(queue, 1);
            }
            Timer::Release { queue } => self.release(queue),
            Timer::ControllerGoes => {
                for q in 1..self.queues.len() {
                    self.queues[q].enabled = true;
                    self.queues[q].results_at = self.electricity.now;
                    self.prepare(q);
                }
            }
        }
    }

    fn gone(&mut self, activity: usize, server: usize) {
        let places = &mut self.places[activity];
        if let Some(at) = places.iter().position(|(s, _)| *s == server) {
            places.swap_remove(at);
            self.by_server[server].retain(|a| *a != activity);
            let draw = self.cluster.snapshot.activities[activity].draw_milliwatts as f64;
            self.electricity.change_load(server, -draw, 0);
        }
    }

    fn look_at_lost(&mut self) {
        while let Some((server, at)) = self.electricity.lost.get(self.seen_lost).copied() {
            self.seen_lost += 1;
            let all = std::mem::take(&mut self.by_server[server]);
            for a in &all {
                self.places[*a].retain(|(s, _)| *s != server);
            }
            let ended = all
                .iter()
                .copied()
                .filter(|a| self.places[*a].is_empty())
                .collect();
            let running = all
                .into_iter()
                .filter(|a| self.cluster.snapshot.activities[*a].is_touchable())
                .collect();
            self.losses.push(Loss {
                server,
                at,
                running,
                ended,
                halting: std::mem::take(&mut self.halting[server]),
            });
        }
    }
}
