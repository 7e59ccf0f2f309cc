//! What a PEP reports of itself and of what it watches, in REQs (arc 1 of the module).

use super::{Name, Permille, PeukertPermille, Text, entry};
use crate::client_type::attribute::Digest;
use crate::client_type::macros::{enumeration, row_class};
use crate::provisioning::{Prid, ReferenceId};

enumeration! {
    /// Whether a server has power, as the reporter knows it. Only the two off values free capacity.
    Powered {
        /// It has power.
        On = 1,
        /// It was switched off by an order.
        OffCommanded = 2,
        /// It was seen to be off.
        OffSeen = 3,
        /// Nobody knows; assumed to run at full draw.
        Unreachable = 4,
    }
}

enumeration! {
    /// Whether the reporter's figures count.
    Role {
        /// They do: the thing is its own to command.
        Custodian = 1,
        /// They do not: it only sees the thing.
        Witness = 2,
    }
}

enumeration! {
    /// State of a mains domain.
    Mains {
        /// Mains is there.
        Present = 1,
        /// It is not.
        Absent = 2,
        /// It comes and goes.
        Unstable = 3,
        /// Nobody knows.
        Unknown = 4,
    }
}

enumeration! {
    /// Who says what state a mains domain is in.
    Witness {
        /// A facility UPS, which speaks for the whole domain.
        Facility = 1,
        /// One inlet, which speaks for itself.
        Inlet = 2,
    }
}

enumeration! {
    /// Kind of an energy store.
    Chemistry {
        /// Lead and acid.
        LeadAcid = 1,
        /// Any lithium cell.
        Lithium = 2,
        /// Any nickel cell.
        Nickel = 3,
        /// Capacitors.
        Supercapacitor = 4,
        /// Another kind.
        Other = 5,
    }
}

enumeration! {
    /// State of an energy store.
    ReserveState {
        /// Neither charging nor discharging.
        Idle = 1,
        /// Charging.
        Charging = 2,
        /// Discharging.
        Discharging = 3,
        /// Discharging, and near its end.
        Low = 4,
        /// At its cutoff.
        Depleted = 5,
        /// Broken.
        Fault = 6,
        /// Nobody knows.
        Unknown = 7,
    }
}

enumeration! {
    /// Where energy figures come from.
    EnergySource {
        /// From a meter.
        Measured = 1,
        /// From other figures.
        Estimated = 2,
        /// From a file.
        Configured = 3,
    }
}

enumeration! {
    /// Whether several members of a line may be joined at once.
    LineMode {
        /// They may.
        Shared = 1,
        /// One at a time.
        Exclusive = 2,
    }
}

enumeration! {
    /// How a fed server lives through a change of a line.
    Changeover {
        /// Make before break: a dual cord, a DC bus.
        Parallel = 1,
        /// A transfer switch, faster than the power supply's hold-up.
        Ats = 2,
        /// The server's own UPS carries the gap.
        Bridge = 3,
    }
}

enumeration! {
    /// State of a line.
    LineState {
        /// Nothing passes.
        Open = 1,
        /// Power can pass.
        Closed = 2,
        /// It is switching.
        Moving = 3,
        /// Broken.
        Fault = 4,
    }
}

enumeration! {
    /// State of an activity on the server of its row.
    ActivityState {
        /// It runs.
        Running = 1,
        /// It does not, and could be started.
        Stopped = 2,
        /// It is coming up.
        Starting = 3,
        /// It is going down.
        Stopping = 4,
        /// It ended by itself, or could not be started.
        Failed = 5,
        /// It is not here.
        Absent = 6,
    }
}

enumeration! {
    /// What came of an action.
    Outcome {
        /// It has begun.
        Started = 1,
        /// It is done.
        Done = 2,
        /// It was tried and failed.
        Failed = 3,
        /// It was not tried.
        Refused = 4,
        /// It did not end in time.
        TimedOut = 5,
    }
}

row_class! {
    /// A managed machine.
    Server = "pwrServer", entry(1, 1), Notify, unique [name];
    /// Name of the server, unique in the cluster.
    2 name: Name,
    /// Draw with no activity running.
    3 idle_milliwatts: u32,
    /// Largest draw that the server can reach.
    4 peak_milliwatts: u32,
    /// Processor capacity, in thousandths of a core.
    5 cpu_millicores: u32,
    /// Memory capacity.
    6 memory_mebibytes: u32,
    /// Whether the server has power, as the reporter knows it. Only the two off values free capacity.
    7 powered: Powered,
    /// Time from power on to ready.
    8 boot_millis: u32,
    /// Energy that a boot costs above idle.
    9 boot_joules: u64,
    /// Time of a clean halt.
    10 halt_millis: u32,
    /// Energy that a clean halt costs.
    11 halt_joules: u64,
    /// PEP that can switch the server on again. Empty: nobody, and then no plan may switch it off.
    12 starter: Option<Name> = None,
    /// How many reserves may feed the server at one time.
    13 fan_in: u32 = 1,
    /// true if this server is simulated; simulated and real ones are never pooled.
    14 simulated: bool,
    /// custodian: the PEP of the server, whose figures count; witness: a PEP that only sees whether it has power, such as its starter.
    15 role: Role = Role::Custodian,
}

row_class! {
    /// A mains feed of a server.
    Inlet = "pwrInlet", entry(1, 2), Notify, unique [server, domain];
    /// The server that is fed.
    2 server: ReferenceId => Server,
    /// Name of the mains domain that feeds it.
    3 domain: Name,
    /// Largest power through this inlet.
    4 max_milliwatts: u32,
}

row_class! {
    /// What this PEP sees of a mains domain.
    Domain = "pwrDomain", entry(1, 3), Notify, unique [name];
    /// Name of the domain.
    2 name: Name,
    /// State of the mains.
    3 mains: Mains,
    /// Whether a facility UPS says so, or one inlet only.
    4 witness: Witness,
    /// Age of the observation when the message was made.
    5 age_millis: u32,
}

row_class! {
    /// A store of energy that can power servers.
    Reserve = "pwrReserve", entry(1, 4), Notify, unique [name];
    /// Name of the reserve, unique in the cluster.
    2 name: Name,
    /// Whether the figures of this PEP count.
    3 role: Role,
    /// Kind of the store.
    4 chemistry: Chemistry,
    /// Energy of the full store, at its present health.
    5 capacity_joules: u64,
    /// Energy left in the store, before the inverter, when the message was made.
    6 charge_joules: u64,
    /// Energy in the store that is never drawn.
    7 cutoff_joules: u64,
    /// Largest power at the output of the inverter, which is the input of a line.
    8 max_discharge_milliwatts: u32,
    /// Energy at the output for energy drawn.
    9 efficiency_permille: Permille,
    /// Exponent of the capacity at high discharge; 1000 for a linear store.
    10 peukert_permille: PeukertPermille,
    /// State of the store.
    11 state: ReserveState,
    /// Age of the figures when the message was made.
    12 age_millis: u32,
    /// How many servers it may feed at one time.
    13 fan_out: u32 = 1,
    /// Where the energy figures come from.
    14 source: EnergySource,
    /// true if this reserve is simulated.
    15 simulated: bool,
}

row_class! {
    /// A reserve that feeds a server without any line. Both may belong to other PEPs, so both are names.
    Supply = "pwrSupply", entry(1, 5), Notify, unique [reserve, server];
    /// Name of the reserve.
    2 reserve: Name,
    /// Name of the server.
    3 server: Name,
}

row_class! {
    /// A power divert line of the switch matrix.
    Line = "pwrLine", entry(1, 6), Notify, unique [name];
    /// Name of the line, unique in the cluster.
    2 name: Name,
    /// Largest power through the line, measured at its input; the server gets it times the efficiency.
    3 milliwatts: u32,
    /// Power at the output for power put in.
    4 efficiency_permille: Permille,
    /// Time that a change of the line takes.
    5 switch_millis: u32,
    /// Whether several members may be joined at once.
    6 mode: LineMode,
    /// How the fed server lives through a change.
    7 changeover: Changeover,
    /// Whether this PEP can switch the line.
    8 role: Role,
    /// State of the line.
    9 state: LineState,
    /// true if this line is simulated.
    10 simulated: bool,
}

row_class! {
    /// A reserve that can be joined to the input of a line.
    LineIn = "pwrLineIn", entry(1, 7), Notify, unique [line, reserve];
    /// The line.
    2 line: ReferenceId => Line,
    /// Name of the reserve.
    3 reserve: Name,
    /// Position of the switch, for the driver.
    4 position: u32,
    /// true if the reserve is joined now.
    5 joined: bool,
}

row_class! {
    /// A server that can be joined to the output of a line.
    LineOut = "pwrLineOut", entry(1, 8), Notify, unique [line, server];
    /// The line.
    2 line: ReferenceId => Line,
    /// Name of the server.
    3 server: Name,
    /// Position of the switch, for the driver.
    4 position: u32,
    /// true if the server is joined now.
    5 joined: bool,
}

row_class! {
    /// An activity that this PEP runs or could run.
    Activity = "pwrActivity", entry(1, 9), Notify, unique [name, server];
    /// Name of the activity, unique in the cluster.
    2 name: Name,
    /// Name of the server.
    3 server: Name,
    /// Name of the activity set that the file of the agent asks for; the rules of the PDP decide.
    4 set: Option<Name> = None,
    /// Type of the data that it works on.
    5 data_type: Option<Name> = None,
    /// Process that does the work.
    6 process: Option<Name> = None,
    /// Class of its quality of service.
    7 qos_class: Option<Name> = None,
    /// Draw of the activity above idle.
    8 draw_milliwatts: u32,
    /// Processor demand.
    9 cpu_millicores: u32,
    /// Memory demand.
    10 memory_mebibytes: u32,
    /// true if it may be shifted to another server.
    11 movable: bool = false,
    /// true if this PEP can start it.
    12 startable: bool = false,
    /// true if it may be stopped now and started later.
    13 restartable: bool = false,
    /// Time that a shift takes.
    14 move_millis: u32,
    /// Energy that a shift costs.
    15 move_joules: u64,
    /// Time of a graceful stop.
    16 stop_millis: u32,
    /// Energy that a graceful stop costs.
    17 stop_joules: u64,
    /// State of the activity here.
    18 state: ActivityState,
}

row_class! {
    /// The plan that the PEP holds in this context; one instance.
    Held = "pwrHeld", entry(1, 10), Notify, unique [];
    /// Term of the PDP that made the plan; 0 if none is held.
    2 term: u64,
    /// Generation of the plan.
    3 generation: u64,
    /// Last stage that was released.
    4 released_stage: u32,
    /// SHA-256 over all other rows of policy and plan held in the context; empty if none is held.
    5 digest: Option<Digest> = None,
    /// true if the agent actuates, false if it only observes.
    6 armed: bool = false,
}

row_class! {
    /// Outcome of one action of the plan that is held. The instance of an action keeps its number, so that a later outcome replaces an earlier one.
    ActionResult = "pwrActionResult", entry(1, 11), Notify, unique [term, generation, action];
    /// Term of the plan.
    2 term: u64,
    /// Generation of the plan.
    3 generation: u64,
    /// Order of the stage.
    4 stage: u32,
    /// The action, divert, intake or host instance, in the context whose plan has this term and generation.
    5 action: Prid,
    /// What came of it.
    6 outcome: Outcome,
    /// Time that it took.
    7 millis: u32 = 0,
    /// Words for the operator.
    8 reason: Text = Text::empty(),
}
