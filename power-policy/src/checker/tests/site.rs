//! A small cluster and a good plan for it, written by hand.
//!
//! Rack d lost its mains. `g` runs the gold database and, beside it, a low batch job; `l` runs a silver web server, which can
//! move to `m` (on the mains of another domain), and a low cruncher. Each of g and l has its own reserve; the line
//! `tie` leads either reserve to either server.

use crate::model::*;
use crate::plan::*;

pub(super) fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

/// Millijoules of so many kilojoules.
pub(super) const KILOJOULE: u64 = 1_000_000;
const WATT: u64 = 1_000;

pub(super) const G: ServerId = ServerId(0);
pub(super) const L: ServerId = ServerId(1);
pub(super) const M: ServerId = ServerId(2);

pub(super) fn server(text: &str, domain: u32, mains: Mains) -> Server {
    Server {
        name: name(text),
        pep: Some(name(text)),
        idle_milliwatts: 100 * WATT,
        peak_milliwatts: 400 * WATT,
        cpu_millicores: 8_000,
        memory_mebibytes: 16_384,
        powered: Powered::On,
        mains,
        inlets: vec![Inlet {
            domain: DomainId(domain),
            max_milliwatts: 1_000 * WATT,
        }],
        boot_millis: 60_000,
        boot_millijoules: 5_000 * WATT,
        halt_millis: 20_000,
        halt_millijoules: 2_000 * WATT,
        starter: Some(name("rack")),
        custodian_in_use: false,
        fan_in: 0,
        simulated: true,
        armed: true,
        measured_milliwatts: None,
        age_millis: 0,
    }
}

pub(super) fn reserve(text: &str, feeds: ServerId) -> Reserve {
    Reserve {
        name: name(text),
        pep: Some(name("rack")),
        chemistry: Chemistry::Lithium,
        capacity_millijoules: 360 * KILOJOULE,
        charge_millijoules: 360 * KILOJOULE,
        cutoff_millijoules: 36 * KILOJOULE,
        max_discharge_milliwatts: 500 * WATT,
        efficiency_permille: 900,
        peukert_permille: 1_000,
        reference_milliwatts: 0,
        state: ReserveState::Discharging,
        fan_out: 0,
        source: FigureSource::Measured,
        simulated: true,
        armed: true,
        feeds: vec![feeds],
        age_millis: 0,
    }
}

pub(super) fn activity(text: &str, set: u32, host: ServerId, watts: u64) -> Activity {
    Activity {
        name: name(text),
        set: Some(SetId(set)),
        host,
        home: host,
        state: ActivityState::Running,
        copies: Vec::new(),
        startable_on: vec![host],
        draw_milliwatts: watts * WATT,
        cpu_millicores: 2_000,
        memory_mebibytes: 4_096,
        movable: false,
        restartable: true,
        move_millis: 10_000,
        move_millijoules: 500 * WATT,
        stop_millis: 5_000,
        stop_millijoules: watts * WATT * 5,
        shed: false,
        armed: true,
    }
}

pub(super) fn set(text: &str, priority: u16, target_millis: Option<u64>) -> ActivitySet {
    ActivitySet {
        name: name(text),
        priority,
        target_millis,
        weight: 1,
    }
}

pub(super) fn tie() -> Line {
    Line {
        name: name("tie"),
        pep: Some(name("rack")),
        max_milliwatts: 450 * WATT,
        efficiency_permille: 950,
        switch_millis: 10,
        mode: LineMode::Shared,
        changeover: Changeover::Parallel,
        state: LineState::Open,
        reserves: vec![ReserveId(0), ReserveId(1)],
        servers: vec![G, L],
        joined: Vec::new(),
        simulated: true,
        armed: true,
    }
}

pub(super) fn snapshot() -> Snapshot {
    let mut web = activity("web", 2, L, 80);
    web.movable = true;
    web.startable_on = vec![L, M];
    Snapshot {
        sets: vec![
            set("gold", 900, None),
            set("low", 100, Some(0)),
            set("silver", 500, Some(600_000)),
        ],
        domains: vec![
            Domain {
                name: name("d"),
                mains: Mains::Absent,
            },
            Domain {
                name: name("e"),
                mains: Mains::Present,
            },
        ],
        servers: vec![
            server("g", 0, Mains::Absent),
            server("l", 0, Mains::Absent),
            server("m", 1, Mains::Present),
        ],
        reserves: vec![reserve("u-g", G), reserve("u-l", L)],
        lines: vec![tie()],
        activities: vec![
            activity("batch", 1, G, 50),
            activity("crunch", 1, L, 100),
            activity("db", 0, G, 100),
            web,
        ],
        outage: Some(Outage {
            phase: Phase::Debounce,
            cause: Cause::DomainMains,
            scope: Scope::Domains(vec![name("d")]),
            elapsed_millis: 0,
        }),
    }
}

pub(super) fn stage(order: u32, trigger: Trigger, steps: Vec<StepKind>) -> Stage {
    Stage {
        order,
        trigger,
        local: order >= FIRST_LOCAL_STAGE,
        steps: steps
            .into_iter()
            .map(|kind| Step {
                kind,
                reason: "because".to_owned(),
            })
            .collect(),
        reason: "because".to_owned(),
    }
}

pub(super) fn does(verb: Verb, activity: &str, server: &str) -> StepKind {
    StepKind::Activity {
        activity: name(activity),
        server: name(server),
        verb,
        peer: None,
        milliwatts: 0,
    }
}

pub(super) fn moves(verb: Verb, activity: &str, server: &str, peer: &str) -> StepKind {
    StepKind::Activity {
        activity: name(activity),
        server: name(server),
        verb,
        peer: Some(name(peer)),
        milliwatts: 0,
    }
}

pub(super) fn stop(activity: &str, server: &str) -> StepKind {
    does(Verb::Stop, activity, server)
}

pub(super) fn host(server: &str, state: HostState) -> StepKind {
    StepKind::Host {
        server: name(server),
        state,
    }
}

pub(super) fn divert(line: &str, reserve: &str, server: &str, watts: u64) -> StepKind {
    StepKind::Divert {
        line: name(line),
        reserve: name(reserve),
        server: name(server),
        milliwatts: watts * WATT,
    }
}

pub(super) fn below(reserves: &[&str], kilojoules: u64) -> Trigger {
    Trigger::ChargeBelow {
        reserves: reserves.iter().map(|r| name(r)).collect(),
        millijoules: kilojoules * KILOJOULE,
    }
}

pub(super) fn above(reserves: &[&str], kilojoules: u64) -> Trigger {
    Trigger::ChargeAbove {
        reserves: reserves.iter().map(|r| name(r)).collect(),
        millijoules: kilojoules * KILOJOULE,
    }
}

pub(super) fn forecast(priority: u16, target_millis: Option<u64>, end: Option<u64>) -> ClassForecast {
    ClassForecast {
        priority,
        target_millis,
        ride_through_millis: end,
    }
}

/// A plan that there is nothing to say against.
pub(super) fn plan() -> Plan {
    Plan {
        cause: Cause::DomainMains,
        scope: Scope::Domains(vec![name("d")]),
        planned_at_millis: 0,
        stages: vec![
            // l draws 280 W of 500 W, so 100 W are to spare.
            stage(0, Trigger::AfterResults, vec![divert("tie", "u-l", "g", 100)]),
            stage(
                1,
                Trigger::Elapsed { millis: 3_000 },
                vec![stop("crunch", "l"), moves(Verb::TakeIn, "web", "m", "l")],
            ),
            stage(
                2,
                Trigger::AfterResults,
                vec![moves(Verb::MoveOut, "web", "l", "m")],
            ),
            stage(3, Trigger::AfterResults, vec![host("l", HostState::Off)]),
            stage(4, Trigger::AfterResults, vec![divert("tie", "u-l", "g", 300)]),
            stage(5, below(&["u-g", "u-l"], 400), vec![stop("batch", "g")]),
            stage(
                6,
                below(&["u-g", "u-l"], 90),
                vec![stop("db", "g"), host("g", HostState::Off)],
            ),
            stage(10_000, below(&["u-g"], 80), vec![stop("batch", "g")]),
            stage(
                10_001,
                below(&["u-g"], 60),
                vec![stop("db", "g"), host("g", HostState::Off)],
            ),
            stage(
                10_002,
                below(&["u-l"], 80),
                vec![stop("crunch", "l"), stop("web", "l"), host("l", HostState::Off)],
            ),
        ],
        classes: vec![
            forecast(900, None, Some(2_464_000)),
            forecast(500, Some(600_000), None),
            forecast(100, Some(0), Some(3_000)),
        ],
        reserves: vec![ReserveForecast {
            reserve: name("u-g"),
            points: vec![(0, 360 * KILOJOULE)],
        }],
        lambda_micro: None,
        infrastructure_milliwatts: 0,
        refusals: Vec::new(),
    }
}

/// What is shed is brought back: rack d has its mains again.
pub(super) fn returned() -> Snapshot {
    let mut s = snapshot();
    s.domains[0].mains = Mains::Present;
    for server in &mut s.servers {
        server.mains = Mains::Present;
    }
    s.servers[1].powered = Powered::OffCommanded;
    for a in &mut s.activities {
        a.state = ActivityState::Stopped;
        a.shed = true;
    }
    // The database went on, the web server runs on m.
    s.activities[2].state = ActivityState::Running;
    s.activities[2].shed = false;
    s.activities[3].state = ActivityState::Running;
    s.activities[3].host = M;
    s.activities[3].shed = false;
    for r in &mut s.reserves {
        r.charge_millijoules = 50 * KILOJOULE;
        r.state = ReserveState::Charging;
    }
    s.outage = Some(Outage {
        phase: Phase::Restoring,
        cause: Cause::DomainMains,
        scope: Scope::Domains(vec![name("d")]),
        elapsed_millis: 3_000_000,
    });
    // Another high one that was shed on g.
    s.activities.push(Activity {
        state: ActivityState::Stopped,
        shed: true,
        ..activity("zdb", 0, G, 100)
    });
    s
}

pub(super) fn restoration() -> Plan {
    Plan {
        cause: Cause::Restoration,
        planned_at_millis: 3_000_000,
        stages: vec![
            stage(0, Trigger::AfterResults, vec![divert("tie", "u-l", "g", 0)]),
            stage(1, above(&["u-g"], 100), vec![does(Verb::Start, "zdb", "g")]),
            stage(
                2,
                Trigger::Delay { millis: 10_000 },
                vec![host("l", HostState::On)],
            ),
            stage(3, above(&["u-g", "u-l"], 200), vec![]),
            stage(
                4,
                Trigger::Delay { millis: 10_000 },
                vec![does(Verb::Start, "batch", "g"), does(Verb::Start, "crunch", "l")],
            ),
        ],
        classes: Vec::new(),
        reserves: Vec::new(),
        ..plan()
    }
}

/// A quiet day.
pub(super) fn quiet() -> Snapshot {
    let mut s = snapshot();
    s.domains[0].mains = Mains::Present;
    for server in &mut s.servers {
        server.mains = Mains::Present;
    }
    s.outage = None;
    // What m runs must end cleanly too when its mains goes: it has nothing to run.
    s
}

pub(super) fn standing() -> Plan {
    let mut plan = plan();
    plan.cause = Cause::Standing;
    plan.stages.retain(|s| s.local);
    plan.classes.clear();
    plan.reserves.clear();
    plan
}
