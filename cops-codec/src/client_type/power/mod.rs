//! POWER-DIVERT-PIB (docs/POWER-DIVERT-PIB): the rows of the power client-type.
//!
//! | arc | classes | sent by |
//! |---|---|---|
//! | 1 | facts: servers, domains, reserves, lines, activities, results | PEP, in REQs |
//! | 2 | readings of reserves and servers | PEP, in accounting RPTs |
//! | 3 | policy: sets, grouping rules, what is read | PDP, in DECs |
//! | 4 | plans: plan, stages, actions, diverts, intakes, hosts | PDP, in DECs |
//!
//! Struct and field names are the module's without the class's name. Units stand at the end of a name. Lengths, ranges
//! and alphabets are types, so that a row that exists can be sent.

mod facts;
mod name;
mod plans;
mod policy;
mod readings;

pub use facts::{
    ActionResult, Activity, ActivityState, Changeover, Chemistry, Domain, EnergySource, Held, Inlet, Line,
    LineIn, LineMode, LineOut, LineState, Mains, Outcome, Powered, Reserve, ReserveState, Role, Server,
    Supply, Witness,
};
pub use name::{InvalidName, Name, Text};
pub use plans::{
    Action, ActionError, Cause, Divert, DivertError, Host, HostError, HostState, Intake, IntakeError, Plan,
    PlanError, PlanVersion, Scope, Stage, Trigger, Verb,
};
pub use policy::{Grouping, Match, PatternError, ReadingKind, ReadingSel, Set};
pub use readings::{ReserveReading, ServerReading};

use super::attribute::Bounded;
use super::numbers::POWER_DIVERT_PIB;
use crate::provisioning::Oid;

/// A share in thousandths, 0 to 1000.
pub type Permille = Bounded<0, 1000>;

/// Peukert's exponent in thousandths, 1000 (linear) to 2000.
pub type PeukertPermille = Bounded<1000, 2000>;

/// Identifier of the entry of class `class` below arc `arc` of the module.
const fn entry(arc: u32, class: u32) -> [u32; 11] {
    let [a, b, c, d, e, f, g, h] = POWER_DIVERT_PIB;
    [a, b, c, d, e, f, g, h, arc, class, 1]
}

/// An arc of the module, below which classes of one kind stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Arc {
    /// What a PEP reports.
    Facts = 1,
    /// Readings.
    Readings = 2,
    /// How activities are grouped and ranked.
    Policy = 3,
    /// Plans.
    Plans = 4,
}

impl Arc {
    /// Its identifier: one PPRID of it removes all rows of the kind.
    pub fn oid(self) -> Oid {
        let [a, b, c, d, e, f, g, h] = POWER_DIVERT_PIB;
        // Nine sub-identifiers that start 1.3 can always be said.
        Oid::from_arcs(&[a, b, c, d, e, f, g, h, self as u32]).unwrap_or_else(Oid::zero)
    }
}
