//! From a cluster as it is to one in which something has happened.

use power_policy::grouping::Glob;
use power_policy::model::{Cause, Mains, Name, Outage, Phase, ReserveState, Scope, Snapshot, SnapshotError};
use power_policy::plan::text::{Duration, Energy};

use crate::api::CommandScope;

/// Something to suppose.
#[derive(Debug, Clone, Default)]
pub struct Supposition {
    /// What loses its mains; empty: nothing does (an interruption that goes on already goes on).
    pub scopes: Vec<CommandScope>,
    /// How long mains is away, if that is supposed. The planner never knows it; it decides who is said to live through.
    pub lasts_millis: Option<u64>,
    /// Reserves that have aged, with what is left of their capacity, in percent. The charge shrinks with it.
    pub aged: Vec<(Glob, u32)>,
    /// Reserves that are charged so far, in percent of their (aged) capacity.
    pub charged: Vec<(Glob, u32)>,
    /// Reserves and lines that are not there.
    pub missing: Vec<Glob>,
}

/// Why something cannot be supposed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SuppositionError {
    /// The cluster does not hold together.
    #[error("the cluster does not hold together: {0}")]
    Snapshot(#[from] SnapshotError),
    /// A name is nowhere.
    #[error("{what} '{pattern}': expected one of {known}")]
    Nobody {
        /// What was looked for.
        what: &'static str,
        /// The name or pattern.
        pattern: String,
        /// What there is.
        known: String,
    },
    /// A figure makes no sense.
    #[error("{what} '{pattern}': expected 0 to {most} percent, found {found}")]
    Percent {
        /// What was changed.
        what: &'static str,
        /// The name or pattern.
        pattern: String,
        /// The highest one that makes sense.
        most: u32,
        /// The one found.
        found: u32,
    },
}

impl Supposition {
    /// Changes the cluster; what was supposed, in words.
    pub(super) fn apply(&self, snapshot: &mut Snapshot) -> Result<Vec<String>, SuppositionError> {
        let mut words = Vec::new();
        for (pattern, percent) in &self.aged {
            words.extend(age(snapshot, pattern, *percent)?);
        }
        for (pattern, percent) in &self.charged {
            words.extend(charge(snapshot, pattern, *percent)?);
        }
        for pattern in &self.missing {
            words.extend(remove(snapshot, pattern)?);
        }
        if !self.scopes.is_empty() {
            words.insert(0, lose_mains(snapshot, &self.scopes, self.lasts_millis)?);
        }
        Ok(words)
    }
}

fn matching<'a>(pattern: &'a Glob, names: impl Iterator<Item = &'a Name> + 'a) -> Vec<usize> {
    names
        .enumerate()
        .filter(|(_, name)| pattern.matches(name.as_str()))
        .map(|(at, _)| at)
        .collect()
}

fn nobody<'a>(what: &'static str, pattern: &str, known: impl Iterator<Item = &'a Name>) -> SuppositionError {
    /// A cluster of thousands does not fit into a line.
    const SHOWN: usize = 12;
    let mut names: Vec<&str> = known.map(Name::as_str).collect();
    let more = names.len().saturating_sub(SHOWN);
    names.truncate(SHOWN);
    let mut known = if names.is_empty() {
        "none, there are none".to_owned()
    } else {
        names.join(", ")
    };
    if more > 0 {
        known.push_str(&format!(" and {more} more"));
    }
    SuppositionError::Nobody {
        what,
        pattern: pattern.to_owned(),
        known,
    }
}

fn percent_in(what: &'static str, pattern: &Glob, found: u32) -> Result<u64, SuppositionError> {
    const MOST: u32 = 100;
    if found <= MOST {
        return Ok(u64::from(found));
    }
    Err(SuppositionError::Percent {
        what,
        pattern: pattern.to_string(),
        most: MOST,
        found,
    })
}

fn part(whole: u64, percent: u64) -> u64 {
    // At most the whole, which is a u64.
    u64::try_from(u128::from(whole) * u128::from(percent) / 100).unwrap_or(u64::MAX)
}

fn age(snapshot: &mut Snapshot, pattern: &Glob, percent: u32) -> Result<Vec<String>, SuppositionError> {
    let what = "aged reserve";
    let percent = percent_in(what, pattern, percent)?;
    let found = matching(pattern, snapshot.reserves.iter().map(|r| &r.name));
    if found.is_empty() {
        return Err(nobody(
            what,
            &pattern.to_string(),
            snapshot.reserves.iter().map(|r| &r.name),
        ));
    }
    let mut words = Vec::new();
    for at in found {
        let reserve = &mut snapshot.reserves[at];
        reserve.capacity_millijoules = part(reserve.capacity_millijoules, percent);
        reserve.charge_millijoules = part(reserve.charge_millijoules, percent);
        reserve.cutoff_millijoules = part(reserve.cutoff_millijoules, percent);
        words.push(format!(
            "{} has {percent} % of its capacity left: {}",
            reserve.name,
            Energy(reserve.capacity_millijoules)
        ));
    }
    Ok(words)
}

fn charge(snapshot: &mut Snapshot, pattern: &Glob, percent: u32) -> Result<Vec<String>, SuppositionError> {
    let what = "charge of reserve";
    let percent = percent_in(what, pattern, percent)?;
    let found = matching(pattern, snapshot.reserves.iter().map(|r| &r.name));
    if found.is_empty() {
        return Err(nobody(
            what,
            &pattern.to_string(),
            snapshot.reserves.iter().map(|r| &r.name),
        ));
    }
    let mut words = Vec::new();
    for at in found {
        let reserve = &mut snapshot.reserves[at];
        reserve.charge_millijoules = part(reserve.capacity_millijoules, percent);
        words.push(format!(
            "{} is charged to {percent} %: {}",
            reserve.name,
            Energy(reserve.charge_millijoules)
        ));
    }
    Ok(words)
}

/// A reserve that is missing is a faulty one, a line that is missing is one that joins nothing: indexes stay as they are.
fn remove(snapshot: &mut Snapshot, pattern: &Glob) -> Result<Vec<String>, SuppositionError> {
    let reserves = matching(pattern, snapshot.reserves.iter().map(|r| &r.name));
    let lines = matching(pattern, snapshot.lines.iter().map(|l| &l.name));
    if reserves.is_empty() && lines.is_empty() {
        let known = snapshot
            .reserves
            .iter()
            .map(|r| &r.name)
            .chain(snapshot.lines.iter().map(|l| &l.name));
        return Err(nobody("missing reserve or line", &pattern.to_string(), known));
    }
    let mut words = Vec::new();
    for at in reserves {
        let reserve = &mut snapshot.reserves[at];
        reserve.state = ReserveState::Fault;
        reserve.charge_millijoules = 0;
        words.push(format!("{} is missing", reserve.name));
    }
    for at in lines {
        let line = &mut snapshot.lines[at];
        line.reserves.clear();
        line.servers.clear();
        line.joined.clear();
        words.push(format!("{} is missing", line.name));
    }
    Ok(words)
}

/// As the PDP judges it: a server is without mains when all domains that feed it are.
fn lose_mains(
    snapshot: &mut Snapshot,
    scopes: &[CommandScope],
    lasts_millis: Option<u64>,
) -> Result<String, SuppositionError> {
    let mut domains = Vec::new();
    let mut servers = Vec::new();
    let mut all = false;
    for scope in scopes {
        match scope {
            CommandScope::Cluster => all = true,
            CommandScope::Domain(name) => {
                let at = snapshot.domains.iter().position(|d| d.name.as_str() == name);
                let at =
                    at.ok_or_else(|| nobody("domain", name, snapshot.domains.iter().map(|d| &d.name)))?;
                snapshot.domains[at].mains = Mains::Absent;
                domains.push(snapshot.domains[at].name.clone());
            }
            CommandScope::Server(name) => {
                let at = snapshot.servers.iter().position(|s| s.name.as_str() == name);
                let at =
                    at.ok_or_else(|| nobody("server", name, snapshot.servers.iter().map(|s| &s.name)))?;
                snapshot.servers[at].mains = Mains::Absent;
                servers.push(snapshot.servers[at].name.clone());
            }
        }
    }
    if all {
        snapshot.domains.iter_mut().for_each(|d| d.mains = Mains::Absent);
    }
    let Snapshot {
        domains: states,
        servers: list,
        ..
    } = snapshot;
    for server in list.iter_mut() {
        let dark = |i: &power_policy::model::Inlet| {
            states
                .get(i.domain.0 as usize)
                .is_some_and(|d| d.mains == Mains::Absent)
        };
        if all || (!server.inlets.is_empty() && server.inlets.iter().all(dark)) {
            server.mains = Mains::Absent;
        }
    }
    domains.sort();
    servers.sort();
    let (cause, scope, mut words) = if all {
        (
            Cause::DomainMains,
            Scope::Cluster,
            "the whole cluster loses its mains".to_owned(),
        )
    } else if domains.is_empty() {
        let words = format!("mains is lost by {}", list_of(&servers));
        (Cause::ServerMains, Scope::Servers(servers), words)
    } else {
        let mut words = format!("mains is lost in {}", list_of(&domains));
        if !servers.is_empty() {
            words.push_str(&format!(", and by {}", list_of(&servers)));
        }
        (Cause::DomainMains, Scope::Domains(domains), words)
    };
    if let Some(lasts) = lasts_millis {
        words.push_str(&format!(" for {}", Duration(lasts)));
    }
    // One that goes on already has its own time.
    let elapsed_millis = snapshot.outage.as_ref().map_or(0, |o| o.elapsed_millis);
    let phase = snapshot
        .outage
        .as_ref()
        .map_or(Phase::Debounce, |o| match o.phase {
            Phase::Interrupted => Phase::Interrupted,
            _ => Phase::Debounce,
        });
    snapshot.outage = Some(Outage {
        phase,
        cause,
        scope,
        elapsed_millis,
    });
    Ok(words)
}

fn list_of(names: &[Name]) -> String {
    names.iter().map(Name::as_str).collect::<Vec<_>>().join(", ")
}
