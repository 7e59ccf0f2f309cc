use serde::{Deserialize, Serialize};

use super::Glob;
use crate::model::{Name, Priority};

/// How long a set shall ride through, from the start of an interruption.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// This many milliseconds; 0 asks for nothing.
    Millis(u64),
    /// As long as there is any energy.
    ForEver,
}

impl Target {
    /// As the model writes it: `None` is for ever.
    pub fn as_millis(self) -> Option<u64> {
        match self {
            Self::Millis(m) => Some(m),
            Self::ForEver => None,
        }
    }
}

/// A Quality of Service that agents report and sets name (`[qos.NAME]`, claims C4 and C5).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Qos {
    /// Name, as agents report it (`pwrActivityQosClass`).
    pub name: Name,
    /// Priority of every set of this QoS; the higher one wins.
    pub priority: Priority,
    /// Worth of one core for one second, beyond all targets.
    pub weight: u32,
    /// Ride-through time to be reached.
    pub target: Target,
}

/// A set as the site defines it (`[[set]]`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetDefinition {
    /// Name.
    pub name: Name,
    /// Where its priority comes from.
    pub rank: Rank,
    /// Weight, where it differs from its QoS (a set without QoS and without this weighs 1).
    pub weight: Option<u32>,
    /// Target, where it differs from its QoS (a set without QoS and without this asks for nothing).
    pub target: Option<Target>,
}

/// Where the priority of a set comes from: never from two places.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rank {
    /// The set has the priority of this QoS (claim C5).
    Qos(Name),
    /// The set has a priority of its own.
    Priority(Priority),
}

/// What the pattern of a rule is held against (`pwrGroupingMatch`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MatchOn {
    /// Nothing: the rule matches every activity, its pattern is not looked at.
    Any,
    /// The activity's name.
    Name,
    /// The type of the data that it works on (claim C2).
    #[serde(alias = "dataType")]
    DataType,
    /// The process that it is (claim C3).
    Process,
    /// The QoS class that its agent reports (claim C4).
    #[serde(alias = "qosClass")]
    QosClass,
}

/// A grouping rule (`[[group]]`). The first one that matches wins.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rule {
    /// What the pattern is held against.
    #[serde(rename = "match")]
    pub on: MatchOn,
    /// The pattern.
    pub pattern: Glob,
    /// The set given to what matches.
    pub set: Name,
}

/// Everything the site says about sets: what [`Grouping`](super::Grouping) is made of.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupingPolicy {
    /// Known QoS classes, in any order.
    pub qos: Vec<Qos>,
    /// Defined sets, in any order.
    pub sets: Vec<SetDefinition>,
    /// Rules, in order.
    pub rules: Vec<Rule>,
}
