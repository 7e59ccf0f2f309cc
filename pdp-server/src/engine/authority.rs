//! Who may say what. Every row that a PEP reports about something that others depend on is weighed here, once.
//!
//! | row | whose word counts |
//! |---|---|
//! | `pwrServer` as custodian | the PEP whose `[[peer]]` entry lists it; without a list, the PEP of its name ([`right_to_server`]) |
//! | `pwrServer` as witness, that it has no power | the starter that its custodian names, and PEPs whose entry lists it ([`may_see_off`]) |
//! | `pwrReserve`, `pwrLine` as custodian | the PEP whose entry lists it; without a list, any that is alone ([`right_to_reserve`], [`right_to_line`]) |
//! | `pwrSupply` | the custodian of either end ([`may_supply`]) |
//! | `pwrActivity`, `pwrInlet` | the custodian of the server |
//! | `pwrDomain` | inlets: a PEP with a server in the domain; facility: the PEP that `[[domain]]` names (the interruption machine) |
//! | `pwrHeld` | everybody's, up to what a PDP can have made ([`is_believable`]) |
//!
//! As a witness of anything else a PEP is heard and changes nothing.

use power_policy::grouping::Glob;
use power_policy::model::Name;

use super::cluster::View;
use super::facts::{Held, ServerFact, SupplyFact};
use crate::config::PeerPolicy;
use crate::limits::{MAX_BELIEVED_GENERATION, MAX_BELIEVED_TERM};

/// How good a claim to be custodian is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Right {
    /// The site's file does not allow it.
    None,
    /// By default: nobody is named for the thing.
    Default,
    /// The site's file names it.
    Listed,
}

fn listed(globs: Option<&Vec<Glob>>, name: &Name, by_default: bool) -> Right {
    match globs {
        Some(globs) if globs.iter().any(|g| g.matches(name.as_str())) => Right::Listed,
        None if by_default => Right::Default,
        _ => Right::None,
    }
}

/// A PEP's claim to a server.
pub(super) fn right_to_server(policy: &PeerPolicy, pep: &Name, server: &Name) -> Right {
    let rule = policy.rule(pep);
    listed(rule.and_then(|r| r.servers.as_ref()), server, server == pep)
}

/// A PEP's claim to a reserve.
pub(super) fn right_to_reserve(policy: &PeerPolicy, pep: &Name, reserve: &Name) -> Right {
    let rule = policy.rule(pep);
    listed(rule.and_then(|r| r.reserves.as_ref()), reserve, true)
}

/// A PEP's claim to a line.
pub(super) fn right_to_line(policy: &PeerPolicy, pep: &Name, line: &Name) -> Right {
    let rule = policy.rule(pep);
    listed(rule.and_then(|r| r.lines.as_ref()), line, true)
}

/// Whether a PEP that is not the custodian is believed that a server has no power, which frees its capacity and permits
/// starting elsewhere what ran on it.
pub(super) fn may_see_off(policy: &PeerPolicy, pep: &Name, server: &ServerFact) -> bool {
    let starts_it = server.starter.as_ref() == Some(pep);
    starts_it || right_to_server(policy, pep, &server.name) == Right::Listed
}

/// Whether a PEP is believed that a reserve feeds a server without a line.
pub(super) fn may_supply(view: &View, pep: &Name, supply: &SupplyFact) -> bool {
    let ends = [
        view.reserves.get(&supply.reserve),
        view.servers.get(&supply.server),
    ];
    ends.into_iter().flatten().any(|custody| custody.pep == *pep)
}

/// Whether any PDP can have made the plan that a PEP says it holds. Beyond it nothing is raised: a term and a generation
/// only ever grow, they are in the journal and in the files of all agents, and the room above them is all there is.
pub(super) fn is_believable(held: &Held) -> bool {
    held.term <= MAX_BELIEVED_TERM && held.generation <= MAX_BELIEVED_GENERATION
}
