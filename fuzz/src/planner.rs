//! The planner on any snapshot, and the checker on its plan.
//!
//! Input: one octet for the figures (even: those of a server room; odd: any number at all) and for whether a plan is made
//! twice (16 set), then the policy and the cluster: up to 2 sets, 2 domains, 3 servers, 3 reserves, 2 lines and 5 activities,
//! so that ten million plans are possible; or (32 set) 4 sets, 3 domains, 6 servers, 6 reserves, 4 lines and 12 activities.
//!
//! - Planner and checker end, and do not panic, also on figures that defy arithmetic; the same snapshot gives the same plan,
//!   and a plan goes through its text form.
//! - The plan's stages are in order, name what is there, and touch only what may be touched; a standing plan has no stage 0
//!   and a drill does nothing irreversible: the checker's rules that do not depend on energy.
//! - Planned again with the first plan as the previous one, and from a snapshot that does not hold together, the same is
//!   true.

use power_policy::{
    checker::{self, Invariant},
    limits::MAX_VIOLATIONS,
    model::*,
    plan::Plan,
    planner,
};

use crate::Input;

/// What holds of every plan, whatever the figures.
const ALWAYS: &[Invariant] = &[
    Invariant::UnknownName,
    Invariant::StageOrder,
    Invariant::Membership,
    Invariant::SimulatedAndReal,
    Invariant::Unarmed,
    Invariant::FaultyLine,
    Invariant::Standing,
];

/// See the module.
pub fn run(octets: &[u8]) {
    let mut input = Input::new(octets);
    let kind = input.u8();
    let mut figures = Figures { wild: kind & 1 == 1 };
    let (twice, large) = (kind & 16 == 16, kind & 32 == 32);
    let policy = policy(&mut input, &mut figures);
    let snapshot = snapshot(&mut input, &mut figures, if large { &LARGE } else { &SMALL });
    assert_eq!(snapshot.validate(), Ok(()));
    let first = planned(&snapshot, None, &policy, twice);
    planned(&snapshot, Some(&first), &policy, twice);

    let mut broken = snapshot;
    if let Some(activity) = broken.activities.first_mut() {
        activity.host = ServerId(u32::MAX);
        let plan = planner::plan(&broken, Some(&first), &policy);
        assert!(
            plan.stages.is_empty() && !plan.refusals.is_empty(),
            "nothing is planned on it, and it is said why"
        );
    }
}

fn planned(snapshot: &Snapshot, previous: Option<&Plan>, policy: &PowerPolicy, twice: bool) -> Plan {
    let plan = planner::plan(snapshot, previous, policy);
    if twice {
        assert_eq!(
            plan,
            planner::plan(snapshot, previous, policy),
            "same snapshot, same plan"
        );
    }
    assert!(!plan.to_string().is_empty());
    let violations = checker::check(snapshot, &plan, policy);
    assert!(violations.len() <= MAX_VIOLATIONS);
    let structural: Vec<_> = violations
        .iter()
        .filter(|violation| ALWAYS.contains(&violation.invariant))
        .collect();
    assert!(structural.is_empty(), "{structural:#?}\n{}", plan);
    plan
}

/// How many there may be of each.
struct Most {
    sets: usize,
    domains: usize,
    servers: usize,
    reserves: usize,
    lines: usize,
    activities: usize,
}

const SMALL: Most = Most {
    sets: 2,
    domains: 2,
    servers: 3,
    reserves: 3,
    lines: 2,
    activities: 5,
};

const LARGE: Most = Most {
    sets: 4,
    domains: 3,
    servers: 6,
    reserves: 6,
    lines: 4,
    activities: 12,
};

/// Numbers of a kind.
struct Figures {
    wild: bool,
}

impl Figures {
    /// A number that is usual for `usual`, or any number.
    fn number(&mut self, input: &mut Input<'_>, usual: u64) -> u64 {
        let how = input.u8();
        if !self.wild {
            // From nothing to twice the usual.
            return usual / 32 * u64::from(how % 64);
        }
        match how % 16 {
            0 => 0,
            1 => 1,
            2 => u64::MAX,
            3 => u64::MAX / 2,
            4 => i64::MAX as u64,
            5 => u64::from(u32::MAX),
            6 => u64::from(u32::MAX) + 1,
            7 => input.u64(),
            _ => usual.saturating_mul(1 << (how % 16)) >> (how / 16),
        }
    }

    fn small(&mut self, input: &mut Input<'_>, usual: u32) -> u32 {
        u32::try_from(self.number(input, usual.into())).unwrap_or(u32::MAX)
    }
}

fn name(kind: &str, number: usize) -> Name {
    Name::new(&format!("{kind}{number:02}")).expect("a short name")
}

fn policy(input: &mut Input<'_>, figures: &mut Figures) -> PowerPolicy {
    let mut policy = PowerPolicy {
        mode: if input.bool() {
            Mode::Survive
        } else {
            Mode::Default
        },
        infrastructure_milliwatts: figures.number(input, 50_000),
        ..PowerPolicy::default()
    };
    if input.below(4) == 3 {
        policy.debounce_millis = figures.number(input, 3_000);
        policy.restart_stagger_millis = figures.number(input, 10_000);
        policy.move_back_millis = figures.number(input, 900_000);
        policy.outage_scale_millis = figures.number(input, 300_000);
        policy.protect_millis = figures.number(input, 120_000);
        policy.hold_back_permille = figures.small(input, 1_050);
        policy.hold_back_millis = figures.number(input, 5_000);
        policy.report_period_millis = figures.number(input, 10_000);
    }
    policy
}

/// Indexes below `count`, sorted, each once.
fn some(input: &mut Input<'_>, count: usize) -> Vec<u32> {
    let chosen = input.u8();
    (0..count.min(8))
        .filter(|at| chosen >> at & 1 == 1)
        .filter_map(|at| u32::try_from(at).ok())
        .collect()
}

fn one(input: &mut Input<'_>, count: usize) -> u32 {
    u32::try_from(input.below(count)).unwrap_or(0)
}

/// Most often true.
fn mostly(input: &mut Input<'_>) -> bool {
    input.u8() < 0xe0
}

fn choose<T: Copy>(input: &mut Input<'_>, choices: &[T], usual: T) -> T {
    match input.u8() {
        how if how < 0x80 => usual,
        how => choices
            .get(usize::from(how).checked_rem(choices.len()).unwrap_or(0))
            .copied()
            .unwrap_or(usual),
    }
}

const MAINS: [Mains; 4] = [Mains::Present, Mains::Absent, Mains::Unstable, Mains::Unknown];

fn snapshot(input: &mut Input<'_>, figures: &mut Figures, most: &Most) -> Snapshot {
    let sets = 1 + input.below(most.sets);
    let domains = 1 + input.below(most.domains);
    let servers = 1 + input.below(most.servers);
    let reserves = input.below(most.reserves + 1);
    let lines = input.below(most.lines + 1);
    let activities = input.below(most.activities + 1);
    Snapshot {
        sets: (0..sets)
            .map(|at| ActivitySet {
                name: name("set", at),
                priority: input.u8().into(),
                target_millis: input.option(|input| figures.number(input, 1_800_000)),
                weight: figures.small(input, 1),
            })
            .collect(),
        domains: (0..domains)
            .map(|at| Domain {
                name: name("feed", at),
                mains: choose(input, &MAINS, Mains::Absent),
            })
            .collect(),
        servers: (0..servers)
            .map(|at| server(input, figures, at, domains))
            .collect(),
        reserves: (0..reserves)
            .map(|at| reserve(input, figures, at, servers))
            .collect(),
        lines: (0..lines)
            .map(|at| line(input, figures, at, servers, reserves))
            .collect(),
        activities: (0..activities)
            .map(|at| activity(input, figures, at, servers, sets))
            .collect(),
        outage: input.option(|input| outage(input, figures, domains, servers)),
    }
}

fn outage(input: &mut Input<'_>, figures: &mut Figures, domains: usize, servers: usize) -> Outage {
    const PHASES: [Phase; 5] = [
        Phase::Normal,
        Phase::Debounce,
        Phase::Interrupted,
        Phase::MainsGood,
        Phase::Restoring,
    ];
    const CAUSES: [Cause; 5] = [
        Cause::ServerMains,
        Cause::DomainMains,
        Cause::Command,
        Cause::Drill,
        Cause::Restoration,
    ];
    Outage {
        phase: choose(input, &PHASES, Phase::Interrupted),
        cause: choose(input, &CAUSES, Cause::DomainMains),
        scope: match input.below(4) {
            0 => Scope::Domains(
                some(input, domains)
                    .iter()
                    .map(|at| name("feed", *at as usize))
                    .collect(),
            ),
            1 => Scope::Servers(
                some(input, servers)
                    .iter()
                    .map(|at| name("node", *at as usize))
                    .collect(),
            ),
            _ => Scope::Cluster,
        },
        elapsed_millis: figures.number(input, 60_000),
    }
}

fn server(input: &mut Input<'_>, figures: &mut Figures, at: usize, domains: usize) -> Server {
    const POWERED: [Powered; 4] = [
        Powered::On,
        Powered::OffCommanded,
        Powered::OffSeen,
        Powered::Unreachable,
    ];
    Server {
        name: name("node", at),
        pep: mostly(input).then(|| name("pep", at)),
        idle_milliwatts: figures.number(input, 90_000),
        peak_milliwatts: figures.number(input, 700_000),
        cpu_millicores: figures.number(input, 32_000),
        memory_mebibytes: figures.number(input, 65_536),
        powered: choose(input, &POWERED, Powered::On),
        mains: choose(input, &MAINS, Mains::Absent),
        inlets: some(input, domains)
            .into_iter()
            .map(|domain| Inlet {
                domain: DomainId(domain),
                max_milliwatts: figures.number(input, 1_000_000),
            })
            .collect(),
        boot_millis: figures.number(input, 90_000),
        boot_millijoules: figures.number(input, 20_000_000),
        halt_millis: figures.number(input, 20_000),
        halt_millijoules: figures.number(input, 2_000_000),
        starter: input.bool().then(|| name("rack", 0)),
        custodian_in_use: !mostly(input),
        fan_in: u32::from(input.u8() % 4),
        simulated: mostly(input),
        armed: mostly(input),
        measured_milliwatts: input.option(|input| figures.number(input, 200_000)),
        age_millis: figures.number(input, 1_000),
    }
}

fn reserve(input: &mut Input<'_>, figures: &mut Figures, at: usize, servers: usize) -> Reserve {
    const CHEMISTRIES: [Chemistry; 5] = [
        Chemistry::LeadAcid,
        Chemistry::Lithium,
        Chemistry::Nickel,
        Chemistry::Supercapacitor,
        Chemistry::Other,
    ];
    const STATES: [ReserveState; 7] = [
        ReserveState::Idle,
        ReserveState::Charging,
        ReserveState::Discharging,
        ReserveState::Low,
        ReserveState::Depleted,
        ReserveState::Fault,
        ReserveState::Unknown,
    ];
    Reserve {
        name: name("ups", at),
        pep: mostly(input).then(|| name("pep", at)),
        chemistry: choose(input, &CHEMISTRIES, Chemistry::LeadAcid),
        capacity_millijoules: figures.number(input, 3_600_000_000),
        charge_millijoules: figures.number(input, 3_600_000_000),
        cutoff_millijoules: figures.number(input, 100_000_000),
        max_discharge_milliwatts: figures.number(input, 1_500_000),
        efficiency_permille: figures.small(input, 928),
        reference_milliwatts: 0,
        peukert_permille: if figures.wild {
            figures.small(input, 1_150)
        } else {
            1_000 + u32::from(input.u8())
        },
        state: choose(input, &STATES, ReserveState::Discharging),
        fan_out: u32::from(input.u8() % 4),
        source: FigureSource::Measured,
        simulated: mostly(input),
        armed: mostly(input),
        feeds: some(input, servers).into_iter().map(ServerId).collect(),
        age_millis: figures.number(input, 1_000),
    }
}

fn line(input: &mut Input<'_>, figures: &mut Figures, at: usize, servers: usize, reserves: usize) -> Line {
    const STATES: [LineState; 4] = [
        LineState::Open,
        LineState::Closed,
        LineState::Moving,
        LineState::Fault,
    ];
    const CHANGEOVERS: [Changeover; 3] = [Changeover::Parallel, Changeover::Ats, Changeover::Bridge];
    let mut line = Line {
        name: name("line", at),
        pep: mostly(input).then(|| name("rack", 0)),
        max_milliwatts: figures.number(input, 1_000_000),
        efficiency_permille: figures.small(input, 960),
        switch_millis: figures.number(input, 20),
        mode: if input.bool() {
            LineMode::Exclusive
        } else {
            LineMode::Shared
        },
        changeover: choose(input, &CHANGEOVERS, Changeover::Parallel),
        state: choose(input, &STATES, LineState::Open),
        reserves: some(input, reserves).into_iter().map(ReserveId).collect(),
        servers: some(input, servers).into_iter().map(ServerId).collect(),
        joined: Vec::new(),
        simulated: mostly(input),
        armed: mostly(input),
    };
    if input.below(4) == 3
        && let (Some(reserve), Some(server)) = (line.reserves.first(), line.servers.last())
    {
        let joined = Joined {
            reserve: *reserve,
            server: *server,
            milliwatts: figures.number(input, 300_000),
        };
        line.joined.push(joined);
    }
    line
}

fn activity(
    input: &mut Input<'_>,
    figures: &mut Figures,
    at: usize,
    servers: usize,
    sets: usize,
) -> Activity {
    const STATES: [ActivityState; 5] = [
        ActivityState::Running,
        ActivityState::Stopped,
        ActivityState::Starting,
        ActivityState::Stopping,
        ActivityState::Failed,
    ];
    let host = ServerId(one(input, servers));
    let mut copies: Vec<ServerId> = match input.below(8) {
        7 => some(input, servers).into_iter().map(ServerId).collect(),
        _ => Vec::new(),
    };
    copies.retain(|copy| *copy != host);
    Activity {
        name: name("work", at),
        set: mostly(input).then(|| SetId(one(input, sets))),
        host,
        home: if mostly(input) {
            host
        } else {
            ServerId(one(input, servers))
        },
        state: choose(input, &STATES, ActivityState::Running),
        copies,
        startable_on: some(input, servers).into_iter().map(ServerId).collect(),
        draw_milliwatts: figures.number(input, 60_000),
        cpu_millicores: figures.number(input, 2_000),
        memory_mebibytes: figures.number(input, 4_096),
        movable: input.bool(),
        restartable: mostly(input),
        move_millis: figures.number(input, 20_000),
        move_millijoules: figures.number(input, 1_000_000),
        stop_millis: figures.number(input, 5_000),
        stop_millijoules: figures.number(input, 500_000),
        shed: !mostly(input),
        armed: mostly(input),
    }
}
