use serde::{Deserialize, Serialize};

use super::{Activity, ActivitySet, Line, Name, Reserve, Server, ServerId};

/// Index of a mains domain in [`Snapshot::domains`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct DomainId(pub u32);

/// State of the mains.
///
/// Only [`Absent`](Self::Absent) is an interruption, and only [`Present`](Self::Present) may be relied on (as the host of
/// a move, as energy without end). The two between are left as they are: nothing is stopped for them, nothing rests on
/// them, and their reserves are not lent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mains {
    /// Present.
    Present,
    /// Absent.
    Absent,
    /// There is power now, but it flaps, or has not yet proven itself after an interruption.
    Unstable,
    /// Nobody can tell; neither an interruption nor "all is well".
    Unknown,
}

/// What hangs on one mains feeder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Domain {
    /// Name, unique in the cluster.
    pub name: Name,
    /// Its mains, as judged over all witnesses.
    pub mains: Mains,
}

/// Why there is a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// Nothing is wrong: the plan of quiet days.
    Standing,
    /// A server lost its mains.
    ServerMains,
    /// A domain lost its mains (claim C6).
    DomainMains,
    /// An administrator commanded it (claim C7).
    Command,
    /// A drill: every action is checked and reported, none is actuated.
    Drill,
    /// The mains is back.
    Restoration,
}

/// What the interruption covers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// Every server.
    Cluster,
    /// These domains.
    Domains(Vec<Name>),
    /// These servers alone.
    Servers(Vec<Name>),
}

/// Where the interruption stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// No interruption.
    Normal,
    /// A first sign: only what is reversible is done.
    Debounce,
    /// An interruption in force.
    Interrupted,
    /// The mains is back, and must prove itself.
    MainsGood,
    /// What was shed is being brought back.
    Restoring,
}

/// The interruption that a plan answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outage {
    /// Where it stands.
    pub phase: Phase,
    /// What began it.
    pub cause: Cause,
    /// What it covers.
    pub scope: Scope,
    /// Time since it began.
    pub elapsed_millis: u64,
}

/// Everything one planning call knows. Built by the PDP from reported rows, or by a test; never changed.
///
/// All lists are sorted by name (activities by name too), so that indexes and ties mean the same everywhere;
/// [`Snapshot::validate`] says where that or a reference does not hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// Activity sets.
    pub sets: Vec<ActivitySet>,
    /// Mains domains.
    pub domains: Vec<Domain>,
    /// Servers.
    pub servers: Vec<Server>,
    /// Reserves.
    pub reserves: Vec<Reserve>,
    /// Divert lines.
    pub lines: Vec<Line>,
    /// Activities.
    pub activities: Vec<Activity>,
    /// The interruption, if there is one.
    pub outage: Option<Outage>,
}

/// What is wrong with a snapshot.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SnapshotError {
    /// A list is not sorted by name, or holds a name twice.
    #[error("{list}: {name} is out of order or there twice")]
    Order {
        /// The list.
        list: &'static str,
        /// The offending name.
        name: Name,
    },
    /// An index points past its list.
    #[error("{list}: {name} refers to {what} {index}, of which there are {count}")]
    Reference {
        /// The list that holds the reference.
        list: &'static str,
        /// The item that holds it.
        name: Name,
        /// The list that it points to.
        what: &'static str,
        /// The index.
        index: u32,
        /// How many there are.
        count: usize,
    },
}

impl SnapshotError {
    /// The item that is wrong.
    pub fn subject(&self) -> &Name {
        match self {
            Self::Order { name, .. } | Self::Reference { name, .. } => name,
        }
    }
}

impl Snapshot {
    /// A cluster with nothing in it.
    pub fn empty() -> Self {
        Self {
            sets: Vec::new(),
            domains: Vec::new(),
            servers: Vec::new(),
            reserves: Vec::new(),
            lines: Vec::new(),
            activities: Vec::new(),
            outage: None,
        }
    }

    /// Index of the server of this name.
    pub fn server_id(&self, name: &Name) -> Option<ServerId> {
        let at = self.servers.binary_search_by(|s| s.name.cmp(name)).ok()?;
        u32::try_from(at).ok().map(ServerId)
    }

    /// Checks order and references; a planner given a snapshot that fails this plans nothing.
    pub fn validate(&self) -> Result<(), SnapshotError> {
        sorted("sets", self.sets.iter().map(|x| &x.name))?;
        sorted("domains", self.domains.iter().map(|x| &x.name))?;
        sorted("servers", self.servers.iter().map(|x| &x.name))?;
        sorted("reserves", self.reserves.iter().map(|x| &x.name))?;
        sorted("lines", self.lines.iter().map(|x| &x.name))?;
        sorted("activities", self.activities.iter().map(|x| &x.name))?;
        let servers = self.servers.len();
        let reserves = self.reserves.len();
        for s in &self.servers {
            for i in &s.inlets {
                refers("servers", &s.name, "domain", i.domain.0, self.domains.len())?;
            }
        }
        for r in &self.reserves {
            for s in &r.feeds {
                refers("reserves", &r.name, "server", s.0, servers)?;
            }
        }
        for l in &self.lines {
            for r in l.reserves.iter().chain(l.joined.iter().map(|j| &j.reserve)) {
                refers("lines", &l.name, "reserve", r.0, reserves)?;
            }
            for s in l.servers.iter().chain(l.joined.iter().map(|j| &j.server)) {
                refers("lines", &l.name, "server", s.0, servers)?;
            }
        }
        for a in &self.activities {
            if let Some(set) = a.set {
                refers("activities", &a.name, "set", set.0, self.sets.len())?;
            }
            for s in [&a.host, &a.home]
                .into_iter()
                .chain(&a.copies)
                .chain(&a.startable_on)
            {
                refers("activities", &a.name, "server", s.0, servers)?;
            }
        }
        Ok(())
    }
}

fn sorted<'a>(list: &'static str, names: impl Iterator<Item = &'a Name>) -> Result<(), SnapshotError> {
    let mut last: Option<&Name> = None;
    for name in names {
        if last.is_some_and(|l| l >= name) {
            return Err(SnapshotError::Order {
                list,
                name: name.clone(),
            });
        }
        last = Some(name);
    }
    Ok(())
}

fn refers(
    list: &'static str,
    name: &Name,
    what: &'static str,
    index: u32,
    count: usize,
) -> Result<(), SnapshotError> {
    if (index as usize) < count {
        return Ok(());
    }
    Err(SnapshotError::Reference {
        list,
        name: name.clone(),
        what,
        index,
        count,
    })
}
