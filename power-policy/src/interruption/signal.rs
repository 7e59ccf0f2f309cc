use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::model::{Mains, Name, Phase, PowerPolicy, Scope};

/// Settings of the machine: the site's, never the wire's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Config {
    /// Time from the first sign to the first irreversible stage.
    pub debounce_millis: u64,
    /// Time for which mains must be good before anything is restarted.
    pub mains_good_millis: u64,
    /// Upper bound of its doubling.
    pub mains_good_max_millis: u64,
    /// How long mains must be good before activities are moved back home.
    pub move_back_millis: u64,
    /// Age at which a mains report stops counting.
    pub stale_millis: u64,
    /// Domains with the PEP whose `facility` witness counts there (`[[domain]] facility_witness`).
    pub facility_witnesses: BTreeMap<Name, Name>,
}

impl Config {
    /// What the site's policy says, with its facility witnesses by domain.
    ///
    /// A report stops counting at an age of three report periods.
    pub fn new(policy: &PowerPolicy, facility_witnesses: BTreeMap<Name, Name>) -> Self {
        Self {
            debounce_millis: policy.debounce_millis,
            mains_good_millis: policy.mains_good_millis,
            mains_good_max_millis: policy.mains_good_max_millis,
            move_back_millis: policy.move_back_millis,
            stale_millis: policy.report_period_millis.saturating_mul(3),
            facility_witnesses,
        }
    }
}

/// Where a server gets its mains from, and who speaks for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Site {
    /// The PEP that is its custodian, if one is known.
    pub pep: Option<Name>,
    /// Mains domains behind its inlets.
    pub domains: Vec<Name>,
}

/// What kind of witness a PEP is for a domain (`pwrDomainWitness`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Witness {
    /// A facility UPS says so: it speaks for the whole domain, if the site lets it.
    Facility,
    /// An inlet: one voice among the PEPs of the domain, and the word on the PEP's own servers.
    Inlet,
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Signal {
    /// A PEP's view of a domain (`pwrDomain`). Sent again without a change it only renews its age.
    MainsReport {
        /// The PEP.
        pep: Name,
        /// The domain.
        domain: Name,
        /// As what it speaks.
        witness: Witness,
        /// What it sees.
        mains: Mains,
        /// Age of the observation when it arrived.
        age_millis: u64,
    },
    /// A PEP was heard from (a keep-alive, a reading): its mains reports, which it sends at once when they change,
    /// still hold. Not to be sent for a PEP whose own source is stale: it says [`Mains::Unknown`].
    Heard {
        /// The PEP.
        pep: Name,
    },
    /// A PEP no longer speaks of a domain: what it said does not stand any more.
    Silent {
        /// The PEP.
        pep: Name,
        /// The domain.
        domain: Name,
    },
    /// A PEP is no longer there or no longer trusted: its reports are dropped.
    Forget {
        /// The PEP.
        pep: Name,
    },
    /// An administrator's command.
    Command {
        /// Given by the administrator's client; the same id again is not done again.
        id: String,
        /// The command.
        command: Command,
    },
    /// Everything that was shed is back: the restoration is over.
    Restored,
    /// The reserves have regained half of what the interruption took: a new one starts its clock anew.
    ReservesRecovered,
}

/// What an administrator can command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Command {
    /// Treat the scope as if its mains were lost (claim C7).
    Interrupt(Scope),
    /// Go the way of an interruption of the scope with every actuator held.
    Drill(Scope),
    /// End a commanded interruption and bring back what was shed; otherwise take mains that nobody reports for good.
    Restore,
    /// Take back a commanded interruption or drill.
    Cancel,
}

/// What became of a command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CommandOutcome {
    /// It was done; the words say what.
    Done(String),
    /// It was not done; the words say why not.
    Refused(String),
}

/// What the machine tells its caller.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// The phase changed: plan anew.
    Phase {
        /// From this one.
        from: Phase,
        /// To this one.
        to: Phase,
        /// Why, in words for the operator.
        reason: String,
    },
    /// A domain's mains is judged differently.
    Domain {
        /// The domain.
        domain: Name,
        /// The new judgement.
        mains: Mains,
        /// Who said so.
        reason: String,
    },
    /// These servers have come under the interruption: plan anew.
    ScopeGrew {
        /// The servers, sorted.
        servers: Vec<Name>,
    },
    /// The mains of these servers has proven itself while others are still interrupted: plan anew.
    ScopeShrank {
        /// The servers, sorted.
        servers: Vec<Name>,
    },
    /// A command was answered.
    Command {
        /// Its id.
        id: String,
        /// What became of it.
        outcome: CommandOutcome,
        /// It had been answered before, and this is the same answer.
        repeated: bool,
    },
    /// A report does not count.
    ReportIgnored {
        /// Whose.
        pep: Name,
        /// About what.
        domain: Name,
        /// Why.
        reason: String,
    },
    /// Mains has been good for long enough to move activities back home.
    MoveBackAllowed,
}

impl fmt::Display for CommandOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Done(words) => write!(f, "done: {words}"),
            Self::Refused(words) => write!(f, "refused: {words}"),
        }
    }
}
