//! Clusters for tests, written by name; the builder sorts and numbers.
#![allow(dead_code, reason = "each test file uses its part")]
#![allow(clippy::unwrap_used, reason = "a test that cannot build its cluster fails")]

pub(crate) mod executor;
pub(crate) mod generate;
pub(crate) mod survey;
pub(crate) mod under_way;

use std::collections::BTreeMap;

use power_policy::model::*;
use power_policy::plan::{HostState, Plan, StepKind, Trigger, Verb};

pub(crate) fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

/// Watts to milliwatts.
pub(crate) const W: u64 = 1_000;
/// Watt-hours to millijoules.
pub(crate) const WH: u64 = 3_600_000;

#[derive(Clone)]
pub(crate) struct ServerSpec(pub(crate) Server, pub(crate) Vec<String>);
#[derive(Clone)]
pub(crate) struct ReserveSpec(pub(crate) Reserve, pub(crate) Vec<String>);
#[derive(Clone)]
pub(crate) struct LineSpec(
    pub(crate) Line,
    pub(crate) Vec<String>,
    pub(crate) Vec<String>,
    pub(crate) Vec<(String, String, u64)>,
);
#[derive(Clone)]
pub(crate) struct ActivitySpec(
    pub(crate) Activity,
    pub(crate) Option<String>,
    pub(crate) String,
    pub(crate) Vec<String>,
);

/// A cluster in the making. Defaults: everything armed and simulated, everything on, mains present.
#[derive(Clone, Default)]
pub(crate) struct ClusterSpec {
    pub(crate) sets: Vec<ActivitySet>,
    pub(crate) domains: BTreeMap<String, bool>,
    pub(crate) servers: Vec<ServerSpec>,
    pub(crate) reserves: Vec<ReserveSpec>,
    pub(crate) lines: Vec<LineSpec>,
    pub(crate) activities: Vec<ActivitySpec>,
    pub(crate) outage: Option<Outage>,
}

impl ClusterSpec {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn set(
        &mut self,
        set: &str,
        priority: Priority,
        target_seconds: Option<u64>,
        weight: u32,
    ) -> &mut Self {
        self.sets.push(ActivitySet {
            name: name(set),
            priority,
            target_millis: target_seconds.map(|s| s * 1_000),
            weight,
        });
        self
    }

    /// A server of 8 cores and 64 GiB, started by the rack's PEP, with its mains domain.
    pub(crate) fn server(
        &mut self,
        server: &str,
        idle_watts: u64,
        peak_watts: u64,
        domain: &str,
    ) -> &mut Server {
        self.domains.entry(domain.to_owned()).or_insert(true);
        self.servers.push(ServerSpec(
            Server {
                name: name(server),
                pep: Some(name(server)),
                idle_milliwatts: idle_watts * W,
                peak_milliwatts: peak_watts * W,
                cpu_millicores: 8_000,
                memory_mebibytes: 65_536,
                powered: Powered::On,
                mains: Mains::Present,
                inlets: vec![],
                boot_millis: 60_000,
                boot_millijoules: 0,
                halt_millis: 20_000,
                halt_millijoules: 0,
                starter: Some(name("rack")),
                custodian_in_use: false,
                fan_in: 0,
                simulated: true,
                armed: true,
                measured_milliwatts: None,
                age_millis: 0,
            },
            vec![domain.to_owned()],
        ));
        &mut self.servers.last_mut().unwrap().0
    }

    /// A linear reserve, full, that feeds one server.
    pub(crate) fn reserve(
        &mut self,
        reserve: &str,
        server: &str,
        watt_hours: u64,
        max_watts: u64,
    ) -> &mut Reserve {
        self.reserves.push(ReserveSpec(
            Reserve {
                name: name(reserve),
                pep: Some(name(server)),
                chemistry: Chemistry::Lithium,
                capacity_millijoules: watt_hours * WH,
                charge_millijoules: watt_hours * WH,
                cutoff_millijoules: watt_hours * WH / 10,
                max_discharge_milliwatts: max_watts * W,
                efficiency_permille: 920,
                peukert_permille: 1_000,
                reference_milliwatts: 0,
                state: ReserveState::Discharging,
                fan_out: 0,
                source: FigureSource::Measured,
                simulated: true,
                armed: true,
                feeds: vec![],
                age_millis: 0,
            },
            vec![server.to_owned()],
        ));
        &mut self.reserves.last_mut().unwrap().0
    }

    pub(crate) fn line(
        &mut self,
        line: &str,
        reserves: &[&str],
        servers: &[&str],
        max_watts: u64,
    ) -> &mut LineSpec {
        let own = |list: &[&str]| list.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>();
        self.lines.push(LineSpec(
            Line {
                name: name(line),
                pep: Some(name("rack")),
                max_milliwatts: max_watts * W,
                efficiency_permille: 950,
                switch_millis: 8,
                mode: LineMode::Shared,
                changeover: Changeover::Parallel,
                state: LineState::Open,
                reserves: vec![],
                servers: vec![],
                joined: vec![],
                simulated: true,
                armed: true,
            },
            own(reserves),
            own(servers),
            vec![],
        ));
        self.lines.last_mut().unwrap()
    }

    /// A running, movable activity that every server in `startable` can start; two cores a hundred watts.
    pub(crate) fn activity(
        &mut self,
        activity: &str,
        set: &str,
        host: &str,
        draw_watts: u64,
        startable: &[&str],
    ) -> &mut Activity {
        self.activities.push(ActivitySpec(
            Activity {
                name: name(activity),
                set: None,
                host: ServerId(0),
                home: ServerId(0),
                state: ActivityState::Running,
                copies: vec![],
                startable_on: vec![],
                draw_milliwatts: draw_watts * W,
                cpu_millicores: draw_watts * 20,
                memory_mebibytes: draw_watts * 40,
                movable: !startable.is_empty(),
                restartable: true,
                move_millis: 8_000,
                move_millijoules: 400_000,
                stop_millis: 10_000,
                stop_millijoules: 0,
                shed: false,
                armed: true,
            },
            Some(set.to_owned()),
            host.to_owned(),
            startable.iter().map(|s| (*s).to_owned()).collect(),
        ));
        &mut self.activities.last_mut().unwrap().0
    }

    pub(crate) fn outage(&mut self, phase: Phase, cause: Cause, elapsed_millis: u64) -> &mut Self {
        self.outage = Some(Outage {
            phase,
            cause,
            scope: Scope::Cluster,
            elapsed_millis,
        });
        self
    }

    /// Mains of a domain is away.
    pub(crate) fn fail(&mut self, domain: &str) -> &mut Self {
        self.domains.insert(domain.to_owned(), false);
        self
    }

    /// Fails every domain, with an interruption that has just begun.
    pub(crate) fn blackout(&mut self) -> &mut Self {
        self.domains.values_mut().for_each(|v| *v = false);
        self.outage(Phase::Debounce, Cause::DomainMains, 0)
    }

    pub(crate) fn build(&self) -> Snapshot {
        let mut spec = self.clone();
        spec.sets.sort_by(|a, b| a.name.cmp(&b.name));
        spec.servers.sort_by(|a, b| a.0.name.cmp(&b.0.name));
        spec.reserves.sort_by(|a, b| a.0.name.cmp(&b.0.name));
        spec.lines.sort_by(|a, b| a.0.name.cmp(&b.0.name));
        spec.activities.sort_by(|a, b| a.0.name.cmp(&b.0.name));
        let domains: Vec<Domain> = spec
            .domains
            .iter()
            .map(|(d, up)| Domain {
                name: name(d),
                mains: if *up { Mains::Present } else { Mains::Absent },
            })
            .collect();
        let server_names: Vec<String> = spec
            .servers
            .iter()
            .map(|s| s.0.name.as_str().to_owned())
            .collect();
        let reserve_names: Vec<String> = spec
            .reserves
            .iter()
            .map(|s| s.0.name.as_str().to_owned())
            .collect();
        let server = |n: &String| ServerId(server_names.iter().position(|s| s == n).unwrap() as u32);
        let reserve = |n: &String| ReserveId(reserve_names.iter().position(|s| s == n).unwrap() as u32);
        let sorted = |mut list: Vec<ServerId>| {
            list.sort();
            list
        };
        let servers = spec
            .servers
            .iter()
            .map(|ServerSpec(s, of)| {
                let mut s = s.clone();
                s.inlets = of
                    .iter()
                    .map(|d| Inlet {
                        domain: DomainId(domains.iter().position(|x| x.name.as_str() == d).unwrap() as u32),
                        max_milliwatts: 10_000 * W,
                    })
                    .collect();
                if s.mains == Mains::Present && !of.iter().any(|d| spec.domains[d]) {
                    s.mains = Mains::Absent;
                }
                s
            })
            .collect();
        let reserves = spec
            .reserves
            .iter()
            .map(|ReserveSpec(r, feeds)| Reserve {
                feeds: sorted(feeds.iter().map(server).collect()),
                ..r.clone()
            })
            .collect();
        let lines = spec
            .lines
            .iter()
            .map(|LineSpec(l, ins, outs, joined)| {
                let mut reserves: Vec<ReserveId> = ins.iter().map(reserve).collect();
                reserves.sort();
                let mut joined: Vec<Joined> = joined
                    .iter()
                    .map(|(r, s, w)| Joined {
                        reserve: reserve(r),
                        server: server(s),
                        milliwatts: *w,
                    })
                    .collect();
                joined.sort();
                let state = if joined.is_empty() {
                    l.state
                } else {
                    LineState::Closed
                };
                Line {
                    reserves,
                    servers: sorted(outs.iter().map(server).collect()),
                    joined,
                    state,
                    ..l.clone()
                }
            })
            .collect();
        let activities = spec
            .activities
            .iter()
            .map(|ActivitySpec(a, set, host, startable)| {
                let host = server(host);
                let set = set
                    .as_ref()
                    .map(|n| SetId(spec.sets.iter().position(|s| s.name.as_str() == n).unwrap() as u32));
                let startable_on = sorted(startable.iter().map(server).collect());
                Activity {
                    set,
                    host,
                    home: host,
                    startable_on,
                    ..a.clone()
                }
            })
            .collect();
        let snapshot = Snapshot {
            sets: spec.sets,
            domains,
            servers,
            reserves,
            lines,
            activities,
            outage: spec.outage,
        };
        snapshot.validate().unwrap();
        snapshot
    }
}

impl From<&ClusterSpec> for Snapshot {
    fn from(spec: &ClusterSpec) -> Self {
        spec.build()
    }
}

/// A step that does something to an activity: (stage, activity, server, verb, peer).
pub(crate) fn activity_steps(plan: &Plan) -> Vec<(u32, String, String, Verb, Option<String>)> {
    plan.central_stages()
        .flat_map(|stage| stage.steps.iter().map(move |s| (stage.order, s)))
        .filter_map(|(order, step)| match &step.kind {
            StepKind::Activity {
                activity,
                server,
                verb,
                peer,
                ..
            } => Some((
                order,
                activity.to_string(),
                server.to_string(),
                *verb,
                peer.as_ref().map(|p| p.to_string()),
            )),
            _ => None,
        })
        .collect()
}

/// Stage in which an activity is stopped by the central stages.
pub(crate) fn stop_stage(plan: &Plan, activity: &str) -> Option<u32> {
    activity_steps(plan)
        .into_iter()
        .find(|(_, a, _, verb, _)| a == activity && *verb == Verb::Stop)
        .map(|x| x.0)
}

/// Diverts: (stage, line, reserve, server, milliwatts).
pub(crate) fn diverts(plan: &Plan) -> Vec<(u32, String, String, String, u64)> {
    plan.central_stages()
        .flat_map(|stage| stage.steps.iter().map(move |s| (stage.order, s)))
        .filter_map(|(order, step)| match &step.kind {
            StepKind::Divert {
                line,
                reserve,
                server,
                milliwatts,
            } => Some((
                order,
                line.to_string(),
                reserve.to_string(),
                server.to_string(),
                *milliwatts,
            )),
            _ => None,
        })
        .collect()
}

pub(crate) fn hosts(plan: &Plan) -> Vec<(u32, String, HostState)> {
    plan.central_stages()
        .flat_map(|stage| stage.steps.iter().map(move |s| (stage.order, s)))
        .filter_map(|(order, step)| match &step.kind {
            StepKind::Host { server, state } => Some((order, server.to_string(), *state)),
            _ => None,
        })
        .collect()
}

pub(crate) fn trigger(plan: &Plan, order: u32) -> Trigger {
    plan.stages
        .iter()
        .find(|s| s.order == order)
        .unwrap()
        .trigger
        .clone()
}

/// Ride-through of a class, milliseconds.
pub(crate) fn ride(plan: &Plan, priority: Priority) -> Option<u64> {
    plan.classes
        .iter()
        .find(|c| c.priority == priority)
        .unwrap()
        .ride_through_millis
}

/// Gold alone on one of four servers, with silver and bronze beside it; the others host silver and bronze. One line
/// joins all reserves to all servers.
pub(crate) fn four_servers() -> ClusterSpec {
    let mut c = ClusterSpec::new();
    c.set("gold", 50, Some(3_600), 64)
        .set("silver", 30, Some(600), 8)
        .set("bronze", 10, Some(240), 1);
    let all = ["s1", "s2", "s3", "s4"];
    for s in all {
        c.server(s, 100, 400, "A");
        c.reserve(&format!("ups-{s}"), s, 100, 800);
    }
    c.line("bus", &["ups-s1", "ups-s2", "ups-s3", "ups-s4"], &all, 2_000);
    c.activity("gold-db", "gold", "s1", 80, &[]);
    c.activity("silver-1", "silver", "s1", 40, &[]);
    c.activity("bronze-1", "bronze", "s1", 40, &[]);
    for s in ["s2", "s3", "s4"] {
        c.activity(&format!("silver-{s}"), "silver", s, 60, &[]);
        c.activity(&format!("bronze-{s}"), "bronze", s, 60, &[]);
    }
    c
}
