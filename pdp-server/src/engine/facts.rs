//! What PEPs report, in policy terms: the engine's view of the rows of arc 1 and 2 of the module.

use serde::{Deserialize, Serialize};

use power_policy::interruption::Witness;
use power_policy::model::{
    ActivityState, Changeover, Chemistry, FigureSource, LineMode, LineState, Mains, Name, Powered,
    ReserveState,
};

use super::slice::StepKey;

/// SHA-256 over the rows of a plan as installed (`pwrPlanDigest`); the engine only compares it.
pub type Digest = [u8; 32];

/// Whether a reporter's figures count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Role {
    /// It claims the thing as its own to command.
    Custodian,
    /// It only sees it.
    Witness,
}

/// A machine, as one PEP reports it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerFact {
    /// Name.
    pub name: Name,
    /// As what the PEP speaks.
    pub role: Role,
    /// Draw with no activity running.
    pub idle_milliwatts: u64,
    /// Largest draw.
    pub peak_milliwatts: u64,
    /// Processor capacity, in thousandths of a core.
    pub cpu_millicores: u64,
    /// Memory capacity.
    pub memory_mebibytes: u64,
    /// Whether it has power, as the reporter knows.
    pub powered: Powered,
    /// Time from power on to ready.
    pub boot_millis: u64,
    /// Energy of a boot above idle.
    pub boot_millijoules: u64,
    /// Time of a clean halt.
    pub halt_millis: u64,
    /// Energy of a clean halt.
    pub halt_millijoules: u64,
    /// PEP that can switch it on again.
    pub starter: Option<Name>,
    /// How many reserves may feed it at one time; 0: no limit.
    pub fan_in: u32,
    /// It is simulated.
    pub simulated: bool,
}

/// A mains feed of a server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InletFact {
    /// The server.
    pub server: Name,
    /// The mains domain.
    pub domain: Name,
    /// Largest power through it.
    pub max_milliwatts: u64,
}

/// One PEP's view of a mains domain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DomainFact {
    /// The domain.
    pub name: Name,
    /// What the PEP sees.
    pub mains: Mains,
    /// As what it speaks.
    pub witness: Witness,
    /// Age of the observation when it was sent.
    pub age_millis: u64,
}

/// A store of energy, as one PEP reports it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReserveFact {
    /// Name.
    pub name: Name,
    /// As what the PEP speaks.
    pub role: Role,
    /// Kind.
    pub chemistry: Chemistry,
    /// Energy of the full store.
    pub capacity_millijoules: u64,
    /// Energy left when it was sent.
    pub charge_millijoules: u64,
    /// Energy that is never drawn.
    pub cutoff_millijoules: u64,
    /// Largest power at the output.
    pub max_discharge_milliwatts: u64,
    /// Energy at the output for 1000 units drawn.
    pub efficiency_permille: u32,
    /// Exponent of the capacity; 1000: linear.
    pub peukert_permille: u32,
    /// State.
    pub state: ReserveState,
    /// Age of the figures when they were sent.
    pub age_millis: u64,
    /// How many servers it may feed at one time; 0: no limit.
    pub fan_out: u32,
    /// Where the figures come from.
    pub source: FigureSource,
    /// It is simulated.
    pub simulated: bool,
}

/// A reserve that feeds a server without any line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SupplyFact {
    /// The reserve.
    pub reserve: Name,
    /// The server.
    pub server: Name,
}

/// A member of a line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberFact {
    /// The reserve or server.
    pub name: Name,
    /// It is joined now.
    pub joined: bool,
}

/// A divert line, as one PEP reports it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LineFact {
    /// Name.
    pub name: Name,
    /// As what the PEP speaks.
    pub role: Role,
    /// Largest power, at its input.
    pub max_milliwatts: u64,
    /// Power at the output for 1000 units put in.
    pub efficiency_permille: u32,
    /// Time of a change.
    pub switch_millis: u64,
    /// Whether several members may be joined at once.
    pub mode: LineMode,
    /// How a fed server lives through a change.
    pub changeover: Changeover,
    /// State of the switch.
    pub state: LineState,
    /// It is simulated.
    pub simulated: bool,
    /// Member reserves.
    pub reserves: Vec<MemberFact>,
    /// Member servers.
    pub servers: Vec<MemberFact>,
}

/// An activity that a PEP runs or could run on a server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActivityFact {
    /// Name.
    pub name: Name,
    /// The server.
    pub server: Name,
    /// State there; `None`: it is not there, but could be.
    pub state: Option<ActivityState>,
    /// Set that the agent's file asks for; empty: none.
    pub asked_set: String,
    /// Type of its data; empty: not reported.
    pub data_type: String,
    /// Its process; empty: not reported.
    pub process: String,
    /// Its QoS class; empty: not reported.
    pub qos_class: String,
    /// Draw above idle.
    pub draw_milliwatts: u64,
    /// Processor demand, in thousandths of a core.
    pub cpu_millicores: u64,
    /// Memory demand.
    pub memory_mebibytes: u64,
    /// It may be shifted.
    pub movable: bool,
    /// This PEP can start it there.
    pub startable: bool,
    /// It may be stopped now and started later.
    pub restartable: bool,
    /// Time of a shift.
    pub move_millis: u64,
    /// Energy of a shift.
    pub move_millijoules: u64,
    /// Time of a graceful stop.
    pub stop_millis: u64,
    /// Energy of a graceful stop.
    pub stop_millijoules: u64,
}

impl ActivityFact {
    /// Whether it draws power there.
    pub fn draws(&self) -> bool {
        matches!(
            self.state,
            Some(ActivityState::Running | ActivityState::Starting | ActivityState::Stopping)
        )
    }
}

/// The plan that a PEP says it holds (`pwrHeld`).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// Term; 0: none is held.
    pub term: u64,
    /// Generation.
    pub generation: u64,
    /// Last stage that was released.
    pub released_stage: u32,
    /// Digest of what is held.
    pub digest: Option<Digest>,
    /// The agent actuates; otherwise it only observes.
    pub armed: bool,
}

/// What came of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It has begun.
    Started,
    /// It is done.
    Done,
    /// It was tried and failed.
    Failed,
    /// It was not tried.
    Refused,
    /// It did not end in time.
    TimedOut,
}

impl Outcome {
    /// Whether nothing more is expected.
    pub fn is_final(self) -> bool {
        self != Self::Started
    }

    /// Whether it went wrong.
    pub fn is_failure(self) -> bool {
        matches!(self, Self::Failed | Self::Refused | Self::TimedOut)
    }
}

/// Outcome of one step (`pwrActionResult`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActionResult {
    /// Term of the plan.
    pub term: u64,
    /// Generation of the plan.
    pub generation: u64,
    /// The step.
    pub step: StepKey,
    /// What came of it.
    pub outcome: Outcome,
    /// Time that it took.
    pub millis: u64,
    /// Words for the operator.
    pub reason: String,
}

/// Everything that one PEP reports, whole: the rows of its base context.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PepFacts {
    /// Servers.
    pub servers: Vec<ServerFact>,
    /// Their mains feeds.
    pub inlets: Vec<InletFact>,
    /// Views of mains domains.
    pub domains: Vec<DomainFact>,
    /// Reserves.
    pub reserves: Vec<ReserveFact>,
    /// What feeds what without a line.
    pub supplies: Vec<SupplyFact>,
    /// Lines with their members.
    pub lines: Vec<LineFact>,
    /// Activities.
    pub activities: Vec<ActivityFact>,
    /// The plan held.
    pub held: Held,
    /// Outcomes of its steps.
    pub results: Vec<ActionResult>,
}

impl PepFacts {
    /// The same without what changes all the time or follows from a plan (charges, ages, results, the plan held):
    /// two facts with equal structure ask for no new plan in quiet days.
    pub fn structure(&self) -> Self {
        let mut s = self.clone();
        for r in &mut s.reserves {
            r.charge_millijoules = 0;
            r.age_millis = 0;
            r.state = match r.state {
                ReserveState::Fault | ReserveState::Unknown => r.state,
                _ => ReserveState::Idle,
            };
        }
        for d in &mut s.domains {
            d.age_millis = 0;
            d.mains = Mains::Unknown;
        }
        s.held = Held {
            armed: self.held.armed,
            ..Held::default()
        };
        s.results.clear();
        s
    }

    /// The same without figures that vary by themselves: what an activity draws. Plans follow them when they are looked
    /// at again.
    pub fn comparable(&self) -> Self {
        let mut s = self.structure();
        for a in &mut s.activities {
            a.draw_milliwatts = 0;
        }
        s
    }

    /// What is left of [`Self::comparable`] when what plans change is taken out too: news in an interruption.
    pub fn fixed(&self) -> Self {
        let mut s = self.comparable();
        for server in &mut s.servers {
            server.powered = Powered::On;
        }
        for line in &mut s.lines {
            if line.state != LineState::Fault {
                line.state = LineState::Open;
            }
            for m in line.reserves.iter_mut().chain(&mut line.servers) {
                m.joined = false;
            }
        }
        for a in &mut s.activities {
            a.state = a.state.filter(|s| *s == ActivityState::Failed);
        }
        s
    }
}

/// A reading of a reserve, from an accounting report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReserveReading {
    /// The reserve.
    pub reserve: Name,
    /// Energy left in the store.
    pub charge_millijoules: u64,
    /// Power drawn; below zero while it charges.
    pub milliwatts: i64,
    /// Age when it was sent.
    pub age_millis: u64,
}

/// A reading of a server, from an accounting report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerReading {
    /// The server.
    pub server: Name,
    /// Power that it draws.
    pub milliwatts: u64,
    /// Age when it was sent.
    pub age_millis: u64,
}

/// What one accounting report holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Readings {
    /// Of reserves.
    pub reserves: Vec<ReserveReading>,
    /// Of servers.
    pub servers: Vec<ServerReading>,
}
