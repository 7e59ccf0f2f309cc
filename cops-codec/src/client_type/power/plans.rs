//! Plans (arc 4 of the module), in DECs. One prefix removes all of a plan.

use std::fmt;

use super::{ActionResult, Held, Name, entry};
use crate::client_type::attribute::Digest;
use crate::client_type::framework::Octets;
use crate::client_type::macros::{enumeration, install_errors, row_class};
use crate::provisioning::ReferenceId;

enumeration! {
    /// Why there is a plan.
    Cause {
        /// Nothing is wrong; it stands by.
        Standing = 1,
        /// One server lost its mains.
        ServerMains = 2,
        /// A domain lost its mains.
        DomainMains = 3,
        /// An administrator commands it.
        Command = 4,
        /// A drill: each action is checked and reported, none is carried out.
        Drill = 5,
        /// Everything comes back.
        Restoration = 6,
    }
}

enumeration! {
    /// Which case the plan of a context is for.
    Scope {
        /// None yet: the base context's plan while nothing is wrong.
        Standing = 1,
        /// The whole cluster.
        Cluster = 2,
        /// The PEP's own domain.
        OwnDomain = 3,
        /// The domains that borrow its reserve.
        Borrowers = 4,
    }
}

enumeration! {
    /// What releases a stage.
    Trigger {
        /// The PDP's word alone.
        Released = 1,
        /// Mains lost.
        MainsLost = 2,
        /// Milliseconds since mains was lost.
        ElapsedMillis = 3,
        /// A reserve with fewer joules than the threshold.
        ReserveBelowJoules = 4,
        /// Mains back.
        MainsBack = 5,
    }
}

enumeration! {
    /// What is done with an activity.
    Verb {
        /// It goes on.
        Run = 1,
        /// Its draw is limited.
        Cap = 2,
        /// It is stopped gracefully.
        Stop = 3,
        /// It is started.
        Start = 4,
        /// It is stopped here after the peer has it.
        MoveOut = 5,
        /// It is started here; the peer still has it.
        TakeIn = 6,
    }
}

enumeration! {
    /// State that a server is brought to.
    HostState {
        /// Powered; for the PEP that its starter names.
        On = 1,
        /// All activities stopped, the host up at idle draw; for its own PEP.
        Standby = 2,
        /// Halted and without draw; for its own PEP.
        Off = 3,
    }
}

row_class! {
    /// The plan of this context; one instance, and part of every decision that changes the context.
    Plan = "pwrPlan", entry(4, 1), Install, unique [];
    /// Term of the PDP.
    2 term: u64,
    /// Generation of the plan: rises in this context whenever rows change, and stays when a stage is released or the context is activated.
    3 generation: u64,
    /// Why there is a plan. Under drill the PEP checks and reports each action and actuates none.
    4 cause: Cause,
    /// Which case the plan of this context is for.
    5 scope: Scope,
    /// While the context is active, stages up to this order are released. A standing plan has no stage 0, so that 0 releases nothing.
    6 released_stage: u32,
    /// SHA-256 over all other rows of policy and plan in this context.
    7 digest: Digest,
}

row_class! {
    /// A stage of the plan.
    Stage = "pwrStage", entry(4, 2), Install, unique [order];
    /// Place of the stage; 0 is at once.
    2 order: u32,
    /// What releases the stage.
    3 trigger: Trigger,
    /// Milliseconds or joules, as the trigger says.
    4 threshold: u64,
    /// true if the PEP may release the stage itself while it is cut off.
    5 local: bool = false,
}

row_class! {
    /// What is done with an activity.
    Action = "pwrAction", entry(4, 3), Install, unique [stage, activity, server, verb];
    /// The stage.
    2 stage: ReferenceId => Stage,
    /// Name of the activity.
    3 activity: Name,
    /// What is done.
    4 verb: Verb,
    /// The other server of a move.
    5 peer: Option<Name> = None,
    /// Budget of the activity.
    6 milliwatts: u32 = 0,
    /// Name of the server on which it is done.
    7 server: Name,
}

row_class! {
    /// A reserve is given to a server through a line. For the custodian of the line.
    Divert = "pwrDivert", entry(4, 4), Install, unique [stage, line, reserve, server];
    /// The stage.
    2 stage: ReferenceId => Stage,
    /// Name of the line.
    3 line: Name,
    /// Name of the reserve; empty: open the line.
    4 reserve: Option<Name>,
    /// Name of the server; empty: open the line.
    5 server: Option<Name>,
    /// Power that may pass, measured at the line's input; 0 takes this reserve and server off the line.
    6 milliwatts: u32,
}

row_class! {
    /// Power that a server gets from a reserve. For the PEP of the server that is fed.
    Intake = "pwrIntake", entry(4, 5), Install, unique [stage, server, reserve, line];
    /// The stage.
    2 stage: ReferenceId => Stage,
    /// Name of the server.
    3 server: Name,
    /// Name of the reserve.
    4 reserve: Name,
    /// Name of the line; empty: none.
    5 line: Option<Name> = None,
    /// Power that the server may draw.
    6 milliwatts: u32,
}

row_class! {
    /// State that a server is brought to.
    Host = "pwrHost", entry(4, 6), Install, unique [stage, server];
    /// The stage.
    2 stage: ReferenceId => Stage,
    /// Name of the server.
    3 server: Name,
    /// State that a server is brought to. standby and off go to its PEP, on goes to the PEP that its starter names.
    4 state: HostState,
}

install_errors! {
    /// Why a pwrPlan row cannot be taken.
    PlanError {
        /// Its term or generation is below one that is held.
        StaleGeneration = 1,
        /// Its digest is not that of the rows.
        DigestMismatch = 2,
        /// It contradicts the rows, or is missing.
        PlanInconsistent = 3,
    }
}

install_errors! {
    /// Why a pwrAction row cannot be taken.
    ActionError {
        /// There is no such activity here.
        UnknownActivity = 1,
        /// The agent's file does not say that it may be touched.
        NotManaged = 2,
        /// The agent's file denies it.
        Denied = 3,
    }
}

install_errors! {
    /// Why a pwrDivert row cannot be taken.
    DivertError {
        /// There is no such line here.
        UnknownLine = 1,
        /// This PEP cannot switch the line.
        NotCustodian = 2,
        /// More power than the line or the reserve can give.
        OverLimit = 3,
    }
}

install_errors! {
    /// Why a pwrIntake row cannot be taken.
    IntakeError {
        /// There is no such server here.
        UnknownServer = 1,
    }
}

install_errors! {
    /// Why a pwrHost row cannot be taken.
    HostError {
        /// There is no such server here.
        UnknownServer = 1,
        /// The agent's file denies it.
        Denied = 2,
    }
}

/// Which plan: the term of the PDP that made it, and its generation within the term. Later plans are greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct PlanVersion {
    /// Term; 0 if there is no plan.
    pub term: u64,
    /// Generation; 0 if there is no plan.
    pub generation: u64,
}

impl PlanVersion {
    /// No plan.
    pub const NONE: Self = Self {
        term: 0,
        generation: 0,
    };

    /// The 16 octets that the power client-type writes into [`PibIncarnation::id`]: the version of the decision that
    /// last wrote the row.
    ///
    /// [`PibIncarnation::id`]: crate::client_type::framework::PibIncarnation::id
    pub fn to_octets(self) -> Octets {
        let mut octets = self.term.to_be_bytes().to_vec();
        octets.extend_from_slice(&self.generation.to_be_bytes());
        Octets::new(octets).unwrap_or_default()
    }

    /// `None` if it is not 16 octets: another PDP's, or nobody's.
    pub fn from_octets(octets: &Octets) -> Option<Self> {
        let (term, generation) = octets.as_octets().split_first_chunk::<8>()?;
        Some(Self {
            term: u64::from_be_bytes(*term),
            generation: u64::from_be_bytes(generation.try_into().ok()?),
        })
    }
}

impl fmt::Display for PlanVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.term, self.generation)
    }
}

impl Plan {
    /// Which plan it is.
    pub const fn version(&self) -> PlanVersion {
        PlanVersion {
            term: self.term,
            generation: self.generation,
        }
    }
}

impl Held {
    /// Which plan is held.
    pub const fn version(&self) -> PlanVersion {
        PlanVersion {
            term: self.term,
            generation: self.generation,
        }
    }
}

impl ActionResult {
    /// The plan that the action belongs to.
    pub const fn version(&self) -> PlanVersion {
        PlanVersion {
            term: self.term,
            generation: self.generation,
        }
    }
}
