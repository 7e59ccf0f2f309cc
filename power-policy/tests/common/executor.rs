//! Carries out plans on the plant, as PDP and agents do together: releases stages on results and triggers, lets stops
//! and moves take their time, plans again on the way.
//!
//! The planner harness in the package `system-tests` takes this file in too, so it knows nothing of its neighbours here.

use std::collections::BTreeMap;

use power_policy::model::*;
use power_policy::plan::{HostState, Plan, StepKind, Trigger, Verb};
use power_policy::planner::plan;
use power_policy::plant::{self, Plant, PlantEventKind, ServerPower};

/// How an activity gets from one server to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Moves {
    /// It is started there and then stopped here, each at its own speed, both with its whole draw.
    Restart,
    /// It is migrated as it runs: the way there takes the time and energy of a move, one at a time from each source,
    /// and what is left behind ends at once (policy notes, section 1.3).
    Live,
}

/// How things are carried out.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Conduct {
    /// How often charges are looked at.
    pub(crate) report_millis: u64,
    /// Plan again this often; 0: only when something deviates.
    pub(crate) replan_millis: u64,
    /// The controller is gone from this time on, and PEPs release their local stages.
    pub(crate) cut_off_at: Option<u64>,
    pub(crate) until_millis: u64,
    /// Variation of the loads.
    pub(crate) variation_permille: u64,
    pub(crate) moves: Moves,
    /// The energy ledger is kept this often; 0: not at all.
    pub(crate) ledger_millis: u64,
}

impl Default for Conduct {
    fn default() -> Self {
        Self {
            report_millis: 2_000,
            replan_millis: 0,
            cut_off_at: None,
            until_millis: 8 * 3_600_000,
            variation_permille: 0,
            moves: Moves::Restart,
            ledger_millis: 0,
        }
    }
}

/// What has to be done at some time.
#[derive(Debug, Clone)]
enum Due {
    Stopped {
        activity: String,
        server: String,
        moved: bool,
    },
    /// A migration's turn has come.
    MigrationBegins {
        activity: String,
        server: String,
    },
    TakenIn {
        activity: String,
        server: String,
    },
    HaltBegins {
        server: String,
    },
    Done,
}

pub(crate) struct Execution {
    pub(crate) plant: Plant,
    pub(crate) policy: PowerPolicy,
    pub(crate) plan: Plan,
    pub(crate) plans: Vec<(u64, Plan)>,
    /// Activities that lost power under them: (time, server, activity).
    pub(crate) dirty: Vec<(u64, String, String)>,
    /// Servers that lost power.
    pub(crate) lost: Vec<(u64, String)>,
    /// When each activity's stop began, for good.
    pub(crate) stopped_at: BTreeMap<String, u64>,
    pub(crate) refused: Vec<String>,
    /// The ledger at the times asked for.
    pub(crate) ledgers: Vec<(u64, plant::Ledger)>,
    pub(crate) moves_begun: usize,
    snapshot: Snapshot,
    due: Vec<(u64, Due)>,
    next_stage: usize,
    local: BTreeMap<String, usize>,
    results_at: u64,
    switched_off: Vec<String>,
    lost_at: u64,
    moves: Moves,
    /// Until when each source is busy with migrations.
    migrating_until: BTreeMap<String, u64>,
}

/// The plant of a cluster, with the mains of every domain there and everything running for a second.
pub(crate) fn plant_of(cluster: impl Into<Snapshot>, variation_permille: u64) -> Plant {
    let snapshot: Snapshot = cluster.into();
    let n = |x: &Name| x.to_string();
    let config = plant::PlantConfig {
        load_variation_permille: variation_permille,
        domains: snapshot
            .domains
            .iter()
            .map(|d| plant::DomainConfig {
                name: n(&d.name),
                present: true,
            })
            .collect(),
        servers: snapshot
            .servers
            .iter()
            .enumerate()
            .map(|(i, s)| plant::ServerConfig {
                name: n(&s.name),
                idle_milliwatts: s.idle_milliwatts,
                peak_milliwatts: s.peak_milliwatts,
                boot_millis: s.boot_millis,
                halt_millis: s.halt_millis,
                inlets: s
                    .inlets
                    .iter()
                    .map(|x| plant::InletConfig {
                        domain: n(&snapshot.domains[x.domain.0 as usize].name),
                        max_milliwatts: x.max_milliwatts.min(4_000_000_000),
                    })
                    .collect(),
                supplies: snapshot
                    .reserves
                    .iter()
                    .filter(|r| r.feeds.contains(&ServerId(i as u32)))
                    .map(|r| n(&r.name))
                    .collect(),
                starter: s.starter.as_ref().map(n),
                starts_with_mains: false,
                fan_in: s.fan_in,
                initial: plant::InitialPower::On,
            })
            .collect(),
        reserves: snapshot
            .reserves
            .iter()
            .map(|r| plant::ReserveConfig {
                name: n(&r.name),
                chemistry: plant::Chemistry::LeadAcid,
                capacity_millijoules: r.capacity_millijoules,
                charge_millijoules: r.charge_millijoules,
                cutoff_millijoules: r.cutoff_millijoules.min(r.charge_millijoules),
                max_discharge_milliwatts: r.max_discharge_milliwatts,
                efficiency_permille: u64::from(r.efficiency_permille),
                peukert_permille: u64::from(r.peukert_permille),
                reference_milliwatts: r.rated_milliwatts().max(1),
                recharge_milliwatts: 0,
                recharge_domain: None,
                fan_out: r.fan_out,
            })
            .collect(),
        lines: snapshot
            .lines
            .iter()
            .map(|l| plant::LineConfig {
                name: n(&l.name),
                reserves: l
                    .reserves
                    .iter()
                    .map(|r| n(&snapshot.reserves[r.0 as usize].name))
                    .collect(),
                servers: l
                    .servers
                    .iter()
                    .map(|s| n(&snapshot.servers[s.0 as usize].name))
                    .collect(),
                max_milliwatts: l.max_milliwatts,
                efficiency_permille: u64::from(l.efficiency_permille),
                switch_millis: l.switch_millis,
                mode: match l.mode {
                    LineMode::Shared => plant::LineMode::Shared,
                    LineMode::Exclusive => plant::LineMode::Exclusive,
                },
                changeover: match l.changeover {
                    Changeover::Parallel => plant::Changeover::Parallel,
                    Changeover::Ats => plant::Changeover::Ats,
                    Changeover::Bridge => plant::Changeover::Bridge,
                },
            })
            .collect(),
        ..Default::default()
    };
    let mut plant = Plant::new(config).unwrap();
    for a in &snapshot.activities {
        for s in a.startable_on.iter().chain([&a.host]) {
            let server = &snapshot.servers[s.0 as usize].name;
            let runs = *s == a.host && a.draws();
            plant
                .declare_activity(server.as_str(), a.name.as_str(), a.draw_milliwatts, runs)
                .unwrap();
        }
    }
    for l in &snapshot.lines {
        for j in &l.joined {
            plant
                .set_line(
                    l.name.as_str(),
                    snapshot.reserves[j.reserve.0 as usize].name.as_str(),
                    snapshot.servers[j.server.0 as usize].name.as_str(),
                    j.milliwatts,
                )
                .unwrap();
        }
    }
    plant.advance(1_000);
    plant
}

/// Fails what the cluster says has failed, and lives through it.
pub(crate) fn execute(cluster: impl Into<Snapshot>, policy: &PowerPolicy, conduct: &Conduct) -> Execution {
    let snapshot: Snapshot = cluster.into();
    let mut plant = plant_of(snapshot.clone(), conduct.variation_permille);
    for domain in snapshot.domains.iter().filter(|d| d.mains == Mains::Absent) {
        plant.fail_mains(domain.name.as_str()).unwrap();
    }
    let first = plan(&snapshot, None, policy);
    let lost_at = plant.now_millis();
    let mut run = Execution {
        plant,
        policy: policy.clone(),
        plans: vec![(0, first.clone())],
        plan: first,
        dirty: vec![],
        lost: vec![],
        stopped_at: BTreeMap::new(),
        refused: vec![],
        ledgers: vec![],
        moves_begun: 0,
        snapshot,
        due: vec![],
        next_stage: 0,
        local: BTreeMap::new(),
        results_at: 0,
        switched_off: vec![],
        lost_at,
        moves: conduct.moves,
        migrating_until: BTreeMap::new(),
    };
    run.go(conduct);
    run
}

impl Execution {
    fn now(&self) -> u64 {
        self.plant.now_millis() - self.lost_at
    }

    fn go(&mut self, conduct: &Conduct) {
        let mut next_look = 0;
        let mut planned_at = 0;
        let mut next_ledger = 0;
        while self.now() < conduct.until_millis {
            let cut_off = conduct.cut_off_at.is_some_and(|at| self.now() >= at);
            self.finish_due();
            self.drain_events();
            if conduct.ledger_millis > 0 && self.now() >= next_ledger {
                next_ledger = self.now() + conduct.ledger_millis;
                self.ledgers.push((self.now(), self.plant.ledger()));
            }
            if self.now() >= next_look {
                next_look = self.now() + conduct.report_millis;
                if !cut_off && self.due.is_empty() {
                    let often = conduct.replan_millis > 0 && self.now() >= planned_at + conduct.replan_millis;
                    if often || self.deviates() {
                        planned_at = self.now();
                        self.replan();
                    }
                }
            }
            if cut_off {
                self.release_local();
            } else {
                while self.may_release() {
                    self.release_next();
                }
            }
            if self.at_rest(cut_off) {
                break;
            }
            let due = self.due.iter().map(|(at, _)| *at).min().unwrap_or(u64::MAX);
            let step = due.min(next_look).min(self.now() + 1_000).max(self.now() + 1);
            let to = self.lost_at + step;
            self.plant.advance(to);
        }
        self.drain_events();
    }

    /// Nothing runs on batteries, or nothing will change any more.
    fn at_rest(&self, cut_off: bool) -> bool {
        let running = self.snapshot.servers.iter().any(|s| {
            let r = self.plant.read_server(s.name.as_str()).unwrap();
            !r.mains && r.power.is_powered()
        });
        let _ = cut_off;
        !running && self.due.is_empty()
    }

    fn drain_events(&mut self) {
        while let Some(event) = self.plant.poll_event() {
            let at = event.at_millis.saturating_sub(self.lost_at);
            match event.kind {
                PlantEventKind::ActivityStopped {
                    server,
                    activity,
                    clean: false,
                } => {
                    self.stopped_at.entry(activity.to_string()).or_insert(at);
                    self.dirty.push((at, server.to_string(), activity.to_string()));
                }
                PlantEventKind::ServerLostPower { server } => self.lost.push((at, server.to_string())),
                _ => {}
            }
        }
    }

    fn finish_due(&mut self) {
        let now = self.now();
        let (ready, later): (Vec<_>, Vec<_>) = self.due.drain(..).partition(|(at, _)| *at <= now);
        self.due = later;
        for (_, due) in ready {
            match due {
                Due::Stopped {
                    activity,
                    server,
                    moved,
                } => self.stopped(&activity, &server, moved),
                Due::MigrationBegins { activity, server } => {
                    let a = &self.snapshot.activities[self.activity(&activity)];
                    let draw = a.move_millijoules * 1_000 / a.move_millis.max(1);
                    self.take_in(&activity, &server);
                    // Where the receiver is gone there is nothing to set.
                    let _ = self.plant.set_load(&server, &activity, draw);
                }
                Due::TakenIn { activity, server } => {
                    let draw = self.snapshot.activities[self.activity(&activity)].draw_milliwatts;
                    let _ = self.plant.set_load(&server, &activity, draw);
                }
                Due::HaltBegins { server } => self.halt(&server),
                Due::Done => {}
            }
        }
    }

    fn activity(&self, name: &str) -> usize {
        let activities = &self.snapshot.activities;
        activities.iter().position(|a| a.name.as_str() == name).unwrap()
    }

    fn take_in(&mut self, activity: &str, server: &str) {
        // Where it runs already nothing is done.
        let to = self.snapshot.server_id(&Name::new(server).unwrap()).unwrap();
        let known = &self.snapshot.activities[self.activity(activity)];
        if known.copies.contains(&to) {
            return;
        }
        if let Err(error) = self.plant.start_activity(server, activity) {
            self.refused
                .push(format!("take in {activity} on {server}: {error}"));
            return;
        }
        let at = self.activity(activity);
        self.snapshot.activities[at].copies = vec![to];
    }

    fn stopped(&mut self, activity: &str, server: &str, moved: bool) {
        self.plant.stop_activity(server, activity).unwrap();
        let at = self.activity(activity);
        let a = &mut self.snapshot.activities[at];
        if moved {
            // The row at the receiver is the one that counts now.
            if let Some(to) = a.copies.first().copied() {
                a.host = to;
                a.copies.clear();
                a.state = ActivityState::Running;
            }
        } else {
            a.state = ActivityState::Stopped;
            a.shed = true;
            a.copies.clear();
        }
    }

    fn may_release(&self) -> bool {
        let Some(stage) = self.plan.central_stages().nth(self.next_stage) else {
            return false;
        };
        self.due.is_empty() && self.holds(&stage.trigger)
    }

    fn holds(&self, trigger: &Trigger) -> bool {
        match trigger {
            Trigger::AfterResults => true,
            Trigger::Elapsed { millis } => self.now() >= *millis,
            Trigger::ChargeBelow {
                reserves,
                millijoules,
            } => self.charge(reserves) <= *millijoules,
            Trigger::ChargeAbove {
                reserves,
                millijoules,
            } => self.charge(reserves) >= *millijoules,
            Trigger::Delay { millis } => self.now() >= self.results_at + millis,
            Trigger::MainsLost => true,
        }
    }

    fn charge(&self, reserves: &[Name]) -> u64 {
        reserves
            .iter()
            .map(|r| self.plant.read_reserve(r.as_str()).unwrap().charge_millijoules)
            .sum()
    }

    fn release_next(&mut self) {
        let stage = self.plan.central_stages().nth(self.next_stage).unwrap().clone();
        self.next_stage += 1;
        self.carry_out(&stage.steps.iter().map(|s| s.kind.clone()).collect::<Vec<_>>());
        self.results_at = self.due.iter().map(|(at, _)| *at).max().unwrap_or(self.now());
    }

    fn release_local(&mut self) {
        let stages: Vec<_> = self.plan.local_stages().cloned().collect();
        let mut by_pep: BTreeMap<String, Vec<power_policy::plan::Stage>> = BTreeMap::new();
        for stage in stages {
            let server = stage
                .steps
                .iter()
                .find_map(|s| match &s.kind {
                    StepKind::Activity { server, .. } | StepKind::Host { server, .. } => Some(server.clone()),
                    _ => None,
                })
                .unwrap();
            let pep = self
                .snapshot
                .servers
                .iter()
                .find(|s| s.name == server)
                .unwrap()
                .pep
                .clone()
                .unwrap();
            by_pep.entry(pep.to_string()).or_default().push(stage);
        }
        for (pep, stages) in by_pep {
            let busy = self.due.iter().any(|(_, d)| match d {
                Due::Stopped { server, .. } => *server == pep,
                _ => false,
            });
            if busy {
                continue;
            }
            // An agent without power does nothing.
            if self
                .plant
                .read_server(&pep)
                .is_ok_and(|r| !matches!(r.power, ServerPower::On))
            {
                continue;
            }
            let at = self.local.get(&pep).copied().unwrap_or(0);
            let Some(stage) = stages.get(at) else {
                continue;
            };
            if self.holds(&stage.trigger) {
                self.local.insert(pep, at + 1);
                self.carry_out(&stage.steps.iter().map(|s| s.kind.clone()).collect::<Vec<_>>());
            }
        }
    }

    fn carry_out(&mut self, steps: &[StepKind]) {
        let now = self.now();
        let mut halts: Vec<String> = Vec::new();
        for step in steps {
            match step {
                StepKind::Divert {
                    line,
                    reserve,
                    server,
                    milliwatts,
                } => {
                    let done =
                        self.plant
                            .set_line(line.as_str(), reserve.as_str(), server.as_str(), *milliwatts);
                    if let Err(error) = done {
                        self.refused.push(format!("{step:?}: {error}"));
                    }
                    let switch = self
                        .snapshot
                        .lines
                        .iter()
                        .find(|l| l.name == *line)
                        .unwrap()
                        .switch_millis;
                    self.due.push((now + switch, Due::Done));
                }
                StepKind::Intake { .. } => {}
                StepKind::Activity {
                    activity,
                    server,
                    verb,
                    ..
                } => self.act(now, activity, server, *verb),
                StepKind::Host {
                    server,
                    state: HostState::Off,
                } => halts.push(server.to_string()),
                StepKind::Host {
                    server,
                    state: HostState::On,
                } => self.start(now, server),
                StepKind::Host { .. } => {}
            }
        }
        // A host step begins when the activity steps before it on that server have ended.
        for server in halts {
            let stops = self.due.iter().filter(|(_, due)| match due {
                Due::Stopped { server: at, .. } => *at == server,
                _ => false,
            });
            let begin = stops.map(|(at, _)| *at).max().unwrap_or(now).max(now);
            let millis = self.halt_millis(&server);
            if begin == now {
                self.halt(&server);
            } else {
                let server = server.clone();
                self.due.push((begin, Due::HaltBegins { server }));
            }
            self.due.push((begin + millis, Due::Done));
        }
    }

    fn halt_millis(&self, server: &str) -> u64 {
        let mut servers = self.snapshot.servers.iter();
        servers.find(|s| s.name.as_str() == server).unwrap().halt_millis
    }

    fn halt(&mut self, server: &str) {
        match self.plant.halt(server) {
            Ok(()) => self.switched_off.push(server.to_owned()),
            Err(error) => self.refused.push(format!("halt {server}: {error}")),
        }
    }

    fn start(&mut self, now: u64, server: &Name) {
        if let Err(error) = self.plant.start(server.as_str()) {
            self.refused.push(format!("start {server}: {error}"));
            return;
        }
        self.switched_off.retain(|s| s != server.as_str());
        let at = self.snapshot.server_id(server).unwrap();
        let millis = self.snapshot.servers[at.0 as usize].boot_millis;
        self.due.push((now + millis, Due::Done));
    }

    fn act(&mut self, now: u64, activity: &Name, server: &Name, verb: Verb) {
        let at = self.activity(activity.as_str());
        let running = self
            .plant
            .read_server(server.as_str())
            .unwrap()
            .activities
            .iter()
            .any(|a| *a.activity == *activity.as_str() && a.running);
        let a = &mut self.snapshot.activities[at];
        match verb {
            Verb::Stop if running => {
                a.state = ActivityState::Stopping;
                self.stopped_at.insert(activity.to_string(), now);
                let due = Due::Stopped {
                    activity: activity.to_string(),
                    server: server.to_string(),
                    moved: false,
                };
                self.due.push((now + a.stop_millis, due));
            }
            Verb::MoveOut if running => {
                let due = Due::Stopped {
                    activity: activity.to_string(),
                    server: server.to_string(),
                    moved: true,
                };
                let millis = match self.moves {
                    Moves::Restart => a.stop_millis,
                    Moves::Live => 0,
                };
                self.due.push((now + millis, due));
            }
            Verb::TakeIn => {
                let source = self.snapshot.servers[a.host.0 as usize].name.to_string();
                let millis = a.move_millis;
                self.moves_begun += 1;
                let (activity, server) = (activity.to_string(), server.to_string());
                let mut begin = now;
                if self.moves == Moves::Live {
                    let free = self.migrating_until.entry(source).or_insert(0);
                    begin = now.max(*free);
                    *free = begin + millis;
                    let (activity, server) = (activity.clone(), server.clone());
                    self.due.push((begin, Due::MigrationBegins { activity, server }));
                } else {
                    self.take_in(&activity, &server);
                }
                self.due.push((begin + millis, Due::TakenIn { activity, server }));
            }
            Verb::Start => {
                if let Err(error) = self.plant.start_activity(server.as_str(), activity.as_str()) {
                    self.refused
                        .push(format!("start {activity} on {server}: {error}"));
                    return;
                }
                let (at, to) = (self.activity(activity.as_str()), self.snapshot.server_id(server));
                let started = &mut self.snapshot.activities[at];
                started.host = to.unwrap();
                (started.state, started.shed) = (ActivityState::Running, false);
            }
            _ => {}
        }
    }

    /// The snapshot of this moment.
    pub(crate) fn snapshot(&self) -> Snapshot {
        let mut snapshot = self.snapshot.clone();
        for d in &mut snapshot.domains {
            let up = self
                .plant
                .read_domains()
                .iter()
                .any(|r| *r.domain == *d.name.as_str() && r.present);
            d.mains = if up { Mains::Present } else { Mains::Absent };
        }
        for s in &mut snapshot.servers {
            let r = self.plant.read_server(s.name.as_str()).unwrap();
            s.mains = if r.mains { Mains::Present } else { Mains::Absent };
            s.powered = match r.power {
                ServerPower::On | ServerPower::Booting { .. } => Powered::On,
                _ if self.switched_off.iter().any(|x| x == s.name.as_str()) => Powered::OffCommanded,
                _ => Powered::OffSeen,
            };
        }
        for r in &mut snapshot.reserves {
            r.charge_millijoules = self
                .plant
                .read_reserve(r.name.as_str())
                .unwrap()
                .charge_millijoules;
        }
        for l in &mut snapshot.lines {
            let reading = self.plant.read_line(l.name.as_str()).unwrap();
            l.joined = reading
                .settings
                .iter()
                .filter(|s| s.joined)
                .map(|s| Joined {
                    reserve: ReserveId(
                        self.snapshot
                            .reserves
                            .iter()
                            .position(|r| r.name.as_str() == &*s.reserve)
                            .unwrap() as u32,
                    ),
                    server: self.snapshot.server_id(&Name::new(&s.server).unwrap()).unwrap(),
                    milliwatts: s.milliwatts,
                })
                .collect();
            l.joined.sort();
        }
        for a in &mut snapshot.activities {
            let host = self
                .plant
                .read_server(snapshot.servers[a.host.0 as usize].name.as_str())
                .unwrap();
            let running = host
                .activities
                .iter()
                .any(|r| *r.activity == *a.name.as_str() && r.running);
            if !running && a.state == ActivityState::Running {
                a.state = ActivityState::Stopped;
            }
        }
        if let Some(outage) = &mut snapshot.outage {
            outage.elapsed_millis = self.now();
            outage.phase = Phase::Interrupted;
        }
        snapshot
    }

    /// A reserve is further from its forecast than the policy allows.
    fn deviates(&self) -> bool {
        let now = self.now();
        self.plan.reserves.iter().any(|f| {
            let capacity = self
                .snapshot
                .reserves
                .iter()
                .find(|r| r.name == f.reserve)
                .unwrap()
                .capacity_millijoules;
            let charge = self
                .plant
                .read_reserve(f.reserve.as_str())
                .unwrap()
                .charge_millijoules;
            forecast(&f.points, now).is_some_and(|p| {
                p.abs_diff(charge) > capacity / 1_000 * u64::from(self.policy.deviation_permille)
            })
        })
    }

    fn replan(&mut self) {
        let snapshot = self.snapshot();
        snapshot.validate().unwrap();
        self.plan = plan(&snapshot, Some(&self.plan), &self.policy);
        self.plans.push((self.now(), self.plan.clone()));
        self.next_stage = 0;
        self.local.clear();
    }
}

/// Charge that a forecast says for a time.
pub(crate) fn forecast(points: &[(u64, u64)], at: u64) -> Option<u64> {
    let after = points.partition_point(|(t, _)| *t <= at);
    match (after.checked_sub(1).map(|i| points[i]), points.get(after)) {
        (Some((a, x)), Some((b, y))) => {
            let part = (at - a) as f64 / (b - a).max(1) as f64;
            Some((x as f64 + (*y as f64 - x as f64) * part) as u64)
        }
        (Some((_, x)), None) => Some(x),
        (None, first) => first.map(|f| f.1),
    }
}
