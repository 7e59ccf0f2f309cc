//! The plan run forward on the checker's own electricity: stages are released as the plan says, stops, moves, halts and
//! switches take their time, and what loses power on the way is noted.

mod outcome;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

pub(in crate::checker) use outcome::{Conditions, Controller, Halt, Loss, Outcome};

use super::electricity::{Electricity, Happening, begins_on};
use super::reading::{Act, ReadStage, Reading};
use crate::model::{ActivityState, PowerPolicy, Powered, Snapshot};
use crate::plan::{HostState, Trigger, Verb};

/// Draw of a boot above idle, as a part of the span to the peak, where no energy is declared (policy notes, 1.3).
const BOOT_SPAN: f64 = 0.3;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Power {
    On,
    Booting,
    Halting,
    Off,
}

#[derive(Debug, Clone)]
struct Host {
    power: Power,
    /// Draw of activities, in milliwatts.
    running: f64,
    /// Draw beyond what is declared, and of moves.
    extra: f64,
}

/// An activity at a server.
#[derive(Debug, Clone)]
struct Place {
    server: usize,
    draw: f64,
    /// When its stop ends, once that has begun.
    ending: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    /// The activity is gone from the server.
    Gone {
        activity: usize,
        server: usize,
        queue: usize,
        moved: bool,
    },
    /// A take-in is done; its own draw stays.
    TakenIn {
        server: usize,
        extra: u64,
        queue: usize,
    },
    HostBegins {
        server: usize,
        state: u8,
        queue: usize,
    },
    Halted {
        server: usize,
        queue: usize,
    },
    Booted {
        server: usize,
        queue: usize,
    },
    Switched {
        queue: usize,
    },
    /// A queue may release its next stage.
    Release {
        queue: usize,
    },
    ControllerDies,
}

/// A sequence of stages that are released one after the other: the central ones, or those of one PEP.
struct Queue<'p> {
    stages: Vec<&'p ReadStage<'p>>,
    next: usize,
    outstanding: usize,
    results_at: u64,
    waiting: bool,
    enabled: bool,
}

pub(in crate::checker) struct Run<'a, 'p> {
    snapshot: &'a Snapshot,
    conditions: Conditions,
    electricity: Electricity<'a>,
    hosts: Vec<Host>,
    places: Vec<Vec<Place>>,
    /// Activities by server, for what is lost with it.
    by_server: Vec<Vec<usize>>,
    queues: Vec<Queue<'p>>,
    /// The queue that waits for each watched charge.
    watchers: Vec<usize>,
    timers: BinaryHeap<Reverse<(u64, u64, Timer)>>,
    sequence: u64,
    elapsed: u64,
    debounce_micros: u64,
    last_stage: Option<u32>,
    stopped: Vec<Option<(u64, u64)>>,
    stopped_by: Vec<Option<u32>>,
    moved_to: Vec<Option<usize>>,
    losses: Vec<Loss>,
    halts: Vec<Halt>,
}

/// Runs the plan.
pub(in crate::checker) fn run(
    snapshot: &Snapshot,
    reading: &Reading<'_>,
    policy: &PowerPolicy,
    conditions: Conditions,
) -> Outcome {
    let elapsed = snapshot.outage.as_ref().map_or(0, |o| o.elapsed_millis);
    let mut run = Run::new(snapshot, reading, policy, conditions, elapsed);
    // Every pass ends a timer, empties a store or meets a threshold; the bound is for figures that defy arithmetic.
    let steps: usize = reading
        .central
        .iter()
        .chain(&reading.local)
        .map(|s| s.acts.len() + 2)
        .sum();
    let bound =
        64 + 16 * (steps + snapshot.reserves.len() + snapshot.servers.len() + snapshot.activities.len());
    let finished = run.until_rest(bound);
    let lowest = (0..snapshot.reserves.len())
        .map(|r| run.electricity.lowest(r))
        .collect();
    Outcome {
        stopped: run.stopped,
        stopped_by: run.stopped_by,
        moved_to: run.moved_to,
        losses: run.losses,
        halts: run.halts,
        lowest,
        histories: run.electricity.into_histories(),
        elapsed_at_start: elapsed,
        finished,
    }
}

impl<'a, 'p> Run<'a, 'p> {
    fn new(
        snapshot: &'a Snapshot,
        reading: &'p Reading<'p>,
        policy: &PowerPolicy,
        conditions: Conditions,
        elapsed: u64,
    ) -> Self {
        let mut run = Self {
            snapshot,
            conditions,
            electricity: Electricity::new(snapshot, conditions.all_lost),
            hosts: Vec::with_capacity(snapshot.servers.len()),
            places: vec![Vec::new(); snapshot.activities.len()],
            by_server: vec![Vec::new(); snapshot.servers.len()],
            queues: vec![queue(reading.central.iter(), true)],
            watchers: Vec::new(),
            timers: BinaryHeap::new(),
            sequence: 0,
            elapsed,
            debounce_micros: policy
                .debounce_millis
                .saturating_sub(elapsed)
                .saturating_mul(1_000),
            last_stage: None,
            stopped: vec![None; snapshot.activities.len()],
            stopped_by: vec![None; snapshot.activities.len()],
            moved_to: vec![None; snapshot.activities.len()],
            losses: Vec::new(),
            halts: Vec::new(),
        };
        for s in 0..snapshot.servers.len() {
            let power = if begins_on(snapshot, s) {
                Power::On
            } else {
                Power::Off
            };
            run.hosts.push(Host {
                power,
                running: 0.0,
                extra: 0.0,
            });
        }
        for (a, activity) in snapshot.activities.iter().enumerate() {
            if activity.draws() {
                run.place(a, activity.host.0 as usize);
            }
            for copy in &activity.copies {
                run.place(a, copy.0 as usize);
            }
            if activity.state == ActivityState::Stopping {
                // How far it is, nobody says: it is given its whole time.
                run.end(a, activity.host.0 as usize, usize::MAX, false);
            }
        }
        for (s, server) in snapshot.servers.iter().enumerate() {
            let declared = server.idle_milliwatts as f64 + run.hosts[s].running;
            let seen = match server.powered {
                // Assumed to run at full watts.
                Powered::Unreachable => server.peak_milliwatts,
                _ => server.measured_milliwatts.unwrap_or(0),
            };
            run.hosts[s].extra = (seen as f64 - declared).max(0.0);
            run.load(s);
        }
        if conditions.controller != Controller::Alive {
            run.add_local_queues(reading);
        }
        run
    }

    fn add_local_queues(&mut self, reading: &'p Reading<'p>) {
        let pep = |stage: &ReadStage<'_>| {
            stage.acts.iter().find_map(|act| match act {
                Act::Activity { server, .. } | Act::Host { server, .. } => {
                    self.snapshot.servers[*server].pep.as_ref()
                }
                _ => None,
            })
        };
        let mut local: Vec<(_, &'p ReadStage<'p>)> =
            reading.local.iter().filter_map(|s| Some((pep(s)?, s))).collect();
        local.sort_by_key(|(pep, s)| (*pep, s.stage.order));
        for own in local.chunk_by(|a, b| a.0 == b.0) {
            self.queues.push(queue(own.iter().map(|(_, s)| *s), false));
        }
    }

    fn until_rest(&mut self, bound: usize) -> bool {
        let mut happenings = Vec::new();
        self.electricity.settle();
        if self.conditions.controller == Controller::DeadAfterStageZero {
            let stage_zero = self.queues[0].stages.first().is_some_and(|s| s.stage.order == 0);
            if stage_zero {
                self.release(0);
            }
            self.controller_dies();
        } else {
            self.prepare(0);
        }
        for _ in 0..bound {
            self.electricity.settle();
            let timer = self.timers.peek().map(|Reverse((at, _, _))| *at);
            let next = match (timer, self.electricity.next_due()) {
                (Some(a), Some(b)) => a.min(b),
                (a, b) => match a.or(b) {
                    Some(at) => at,
                    None => return true,
                },
            };
            self.electricity.advance(next, &mut happenings);
            for happening in happenings.drain(..) {
                match happening {
                    Happening::Lost { server } => self.lost(server),
                    Happening::Fallen { watch } => {
                        if let Some(q) = self.watchers.get(watch).copied() {
                            let at = self.electricity.now.saturating_add(self.conditions.late_micros);
                            self.later(at, Timer::Release { queue: q });
                        }
                    }
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
        false
    }

    /// Milliseconds from the beginning of the interruption, for a time of the run.
    fn millis(&self, micros: u64) -> u64 {
        self.elapsed.saturating_add(micros / 1_000)
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
        let Some(stage) = queue.stages.get(queue.next).copied() else {
            if q == 0 && self.conditions.controller == Controller::DeadAtFirstWait {
                self.controller_dies();
            }
            return;
        };
        let results = queue.results_at;
        let since_start = |millis: u64| millis.saturating_sub(self.elapsed).saturating_mul(1_000);
        let (mut at, mut waits) = match &stage.stage.trigger {
            Trigger::AfterResults | Trigger::MainsLost => (results, false),
            // How a store recharges is not in the snapshot; the gate is taken as passed.
            Trigger::ChargeAbove { .. } => (results, false),
            Trigger::Elapsed { millis } => {
                let at = since_start(*millis);
                (at, at > self.debounce_micros)
            }
            Trigger::Delay { millis } => (results.saturating_add(millis.saturating_mul(1_000)), false),
            Trigger::ChargeBelow { millijoules, .. } => {
                self.queues[q].waiting = true;
                if q == 0 && self.conditions.controller == Controller::DeadAtFirstWait {
                    self.controller_dies();
                    return;
                }
                let watch = self.electricity.watch(&stage.watched, *millijoules as f64);
                debug_assert_eq!(watch, self.watchers.len());
                self.watchers.push(q);
                return;
            }
        };
        at = at.max(now);
        let irreversible = q == 0 && stage.acts.iter().any(|a| !a.is_reversible());
        if irreversible {
            at = at.max(self.debounce_micros);
        }
        waits &= at > now;
        if q == 0 && waits && self.conditions.controller == Controller::DeadAtFirstWait {
            self.controller_dies();
            return;
        }
        self.queues[q].waiting = true;
        self.later(at, Timer::Release { queue: q });
    }

    fn controller_dies(&mut self) {
        self.queues[0].enabled = false;
        let now = self.electricity.now;
        self.later(now, Timer::ControllerDies);
    }

    /// Releases the next stage of a queue.
    fn release(&mut self, q: usize) {
        let queue = &mut self.queues[q];
        queue.waiting = false;
        if !queue.enabled {
            return;
        }
        let Some(stage) = queue.stages.get(queue.next).copied() else {
            return;
        };
        queue.next += 1;
        self.last_stage = Some(stage.stage.order);
        let now = self.electricity.now;
        // When the activity steps before a host step on the same server have ended.
        let mut ends: BTreeMap<usize, u64> = BTreeMap::new();
        for act in &stage.acts {
            match *act {
                Act::Divert {
                    line,
                    reserve,
                    server,
                    milliwatts,
                } => {
                    let done = self.electricity.divert(line, reserve, server, milliwatts);
                    if done > now {
                        self.expect(q, done, Timer::Switched { queue: q });
                    }
                }
                Act::Intake => {}
                Act::Activity {
                    activity,
                    server,
                    verb,
                    milliwatts,
                    ..
                } => {
                    let end = self.act(q, activity, server, verb, milliwatts);
                    let last = ends.entry(server).or_insert(end);
                    *last = end.max(*last);
                }
                Act::Host { server, state } => {
                    let at = ends.get(&server).copied().unwrap_or(now);
                    let state = match state {
                        HostState::On => 0,
                        HostState::Standby => 1,
                        HostState::Off => 2,
                    };
                    self.expect(
                        q,
                        at,
                        Timer::HostBegins {
                            server,
                            state,
                            queue: q,
                        },
                    );
                }
            }
        }
        self.finished_one(q, 0);
    }

    /// Does one activity step; returns when it is done.
    fn act(&mut self, q: usize, activity: usize, server: usize, verb: Verb, milliwatts: u64) -> u64 {
        let now = self.electricity.now;
        let model = &self.snapshot.activities[activity];
        match verb {
            Verb::Run => now,
            Verb::Cap => {
                if let Some(place) = self.places[activity].iter_mut().find(|p| p.server == server) {
                    let capped = place.draw.min(milliwatts as f64);
                    self.hosts[server].running += capped - place.draw;
                    place.draw = capped;
                    self.load(server);
                }
                now
            }
            Verb::Start => {
                // It takes as long as it takes to take it in.
                self.place(activity, server);
                self.stopped[activity] = None;
                self.load(server);
                let end = now.saturating_add(model.move_millis.saturating_mul(1_000));
                if end > now {
                    self.expect(q, end, Timer::Switched { queue: q });
                }
                end
            }
            Verb::TakeIn => {
                self.place(activity, server);
                let end = now.saturating_add(model.move_millis.saturating_mul(1_000));
                if end > now {
                    let extra = model.move_millijoules.saturating_mul(1_000) / model.move_millis.max(1);
                    self.hosts[server].extra += extra as f64;
                    self.expect(
                        q,
                        end,
                        Timer::TakenIn {
                            server,
                            extra,
                            queue: q,
                        },
                    );
                }
                self.load(server);
                end
            }
            Verb::Stop | Verb::MoveOut => self.end(activity, server, q, verb == Verb::MoveOut),
        }
    }

    fn place(&mut self, activity: usize, server: usize) {
        if self.places[activity].iter().any(|p| p.server == server) {
            return;
        }
        let draw = self.snapshot.activities[activity].draw_milliwatts as f64;
        self.places[activity].push(Place {
            server,
            draw,
            ending: None,
        });
        self.by_server[server].push(activity);
        self.hosts[server].running += draw;
    }

    /// Begins to stop an activity on a server; returns when it is gone.
    fn end(&mut self, activity: usize, server: usize, q: usize, moved: bool) -> u64 {
        let now = self.electricity.now;
        let model = &self.snapshot.activities[activity];
        let Some(place) = self.places[activity].iter_mut().find(|p| p.server == server) else {
            return now;
        };
        if let Some(end) = place.ending {
            // What is stopping already is waited for.
            if end > now && q != usize::MAX {
                self.expect(q, end, Timer::Switched { queue: q });
            }
            return end.max(now);
        }
        let end = now.saturating_add(model.stop_millis.saturating_mul(1_000));
        place.ending = Some(end);
        if model.stop_millis > 0 && model.stop_millijoules > 0 {
            let declared = model.stop_millijoules as f64 * 1_000.0 / model.stop_millis as f64;
            let power = declared * f64::from(self.conditions.stop_permille) / 1_000.0;
            self.hosts[server].running += power - place.draw;
            place.draw = power;
        }
        if moved {
            let elsewhere = self.places[activity].iter().find(|p| p.server != server);
            self.moved_to[activity] = elsewhere.map(|p| p.server);
        }
        if !moved && q != usize::MAX {
            let begun = self.millis(now);
            let ended = self.millis(end);
            self.stopped[activity] = Some((begun, ended));
            self.stopped_by[activity] = self.last_stage;
        }
        self.load(server);
        let timer = Timer::Gone {
            activity,
            server,
            queue: q,
            moved,
        };
        if q == usize::MAX {
            self.later(end, timer);
        } else {
            self.expect(q, end, timer);
        }
        end
    }

    fn expect(&mut self, q: usize, at: u64, timer: Timer) {
        self.queues[q].outstanding += 1;
        self.later(at, timer);
    }

    fn finished_one(&mut self, q: usize, count: usize) {
        let Some(queue) = self.queues.get_mut(q) else {
            return;
        };
        queue.outstanding -= count;
        if queue.outstanding == 0 {
            queue.results_at = self.electricity.now;
            self.prepare(q);
        }
    }

    fn ring(&mut self, timer: Timer) {
        let now = self.electricity.now;
        match timer {
            Timer::Gone {
                activity,
                server,
                queue,
                ..
            } => {
                self.remove(activity, server);
                self.finished_one(queue, 1);
            }
            Timer::TakenIn { server, extra, queue } => {
                self.hosts[server].extra = (self.hosts[server].extra - extra as f64).max(0.0);
                self.load(server);
                self.finished_one(queue, 1);
            }
            Timer::Switched { queue } => self.finished_one(queue, 1),
            Timer::HostBegins { server, state, queue } => {
                let model = &self.snapshot.servers[server];
                let millis = match (state, self.hosts[server].power) {
                    (0, Power::Off) => {
                        self.hosts[server].power = Power::Booting;
                        model.boot_millis
                    }
                    (2, Power::On) => {
                        self.hosts[server].power = Power::Halting;
                        self.halts.push(Halt {
                            server,
                            at_millis: self.millis(now),
                            stage: self.last_stage,
                        });
                        model.halt_millis
                    }
                    _ => {
                        self.finished_one(queue, 1);
                        return;
                    }
                };
                self.load(server);
                let done = if state == 0 {
                    Timer::Booted { server, queue }
                } else {
                    Timer::Halted { server, queue }
                };
                self.later(now.saturating_add(millis.saturating_mul(1_000)), done);
            }
            Timer::Halted { server, queue } => {
                if self.hosts[server].power == Power::Halting {
                    self.hosts[server].power = Power::Off;
                }
                self.load(server);
                self.finished_one(queue, 1);
            }
            Timer::Booted { server, queue } => {
                if self.hosts[server].power == Power::Booting {
                    self.hosts[server].power = Power::On;
                }
                self.load(server);
                self.finished_one(queue, 1);
            }
            Timer::Release { queue } => self.release(queue),
            Timer::ControllerDies => {
                for q in 1..self.queues.len() {
                    self.queues[q].enabled = true;
                    self.queues[q].results_at = now;
                    self.prepare(q);
                }
            }
        }
    }

    fn remove(&mut self, activity: usize, server: usize) {
        let places = &mut self.places[activity];
        if let Some(at) = places.iter().position(|p| p.server == server) {
            let place = places.swap_remove(at);
            let host = &mut self.hosts[server];
            host.running = (host.running - place.draw).max(0.0);
            self.by_server[server].retain(|a| *a != activity);
            self.load(server);
        }
    }

    fn lost(&mut self, server: usize) {
        let running: Vec<usize> = self.by_server[server]
            .iter()
            .copied()
            .filter(|a| self.snapshot.activities[*a].is_touchable())
            .collect();
        let alone = |a: &usize| self.places[*a].iter().all(|p| p.server == server);
        let ended = running.iter().copied().filter(alone).collect();
        let model = &self.snapshot.servers[server];
        self.losses.push(Loss {
            ended,
            server,
            at_millis: self.millis(self.electricity.now),
            running,
            halting: self.hosts[server].power == Power::Halting,
            after_stage: self.last_stage,
            load_milliwatts: model
                .idle_milliwatts
                .saturating_add(self.hosts[server].running as u64),
        });
        self.hosts[server].power = Power::Off;
        for activity in std::mem::take(&mut self.by_server[server]) {
            self.places[activity].retain(|p| p.server != server);
        }
        self.hosts[server].running = 0.0;
        self.hosts[server].extra = 0.0;
        self.load(server);
    }

    /// Tells the electricity what a server draws now.
    fn load(&mut self, server: usize) {
        let (host, model) = (&self.hosts[server], &self.snapshot.servers[server]);
        let (idle, peak) = (model.idle_milliwatts as f64, model.peak_milliwatts as f64);
        let power = |millijoules: u64, millis: u64| millijoules as f64 * 1_000.0 / millis.max(1) as f64;
        let draw = match host.power {
            Power::On => {
                let wanted = idle + host.running + host.extra;
                // A peak below idle says nothing.
                if peak >= idle { wanted.min(peak) } else { wanted }
            }
            Power::Booting if model.boot_millijoules > 0 => {
                idle + power(model.boot_millijoules, model.boot_millis)
            }
            Power::Booting => idle + BOOT_SPAN * (peak - idle).max(0.0),
            Power::Halting if model.halt_millijoules > 0 => {
                let declared = power(model.halt_millijoules, model.halt_millis);
                declared * f64::from(self.conditions.stop_permille) / 1_000.0
            }
            Power::Halting => idle,
            Power::Off => 0.0,
        };
        self.electricity.set_load(server, draw);
    }
}

fn queue<'p>(stages: impl Iterator<Item = &'p ReadStage<'p>>, enabled: bool) -> Queue<'p> {
    Queue {
        stages: stages.collect(),
        next: 0,
        outstanding: 0,
        results_at: 0,
        waiting: false,
        enabled,
    }
}
