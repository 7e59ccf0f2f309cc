//! Which set an activity belongs to, and why (claims C1 to C5).
//!
//! The site's [`GroupingPolicy`] (QoS table, sets, ordered rules) is checked once and becomes a [`Grouping`], which
//! gives each reported activity its set. In this order:
//!
//! 1. the first rule that matches,
//! 2. the set that the agent's own file asks for, if there is such a set,
//! 3. if the reported QoS class is known, the set of that QoS: a set of the QoS's own name, implicit where the site
//!    defines none,
//! 4. none: a fixed load, counted and never touched.
//!
//! The order of the rules is the site's. They are tried one after the other; patterns and texts are bounded
//! ([`limits`](crate::limits)), so a reported row costs bounded time.

mod glob;
mod policy;

use std::collections::HashMap;
use std::fmt;

pub use glob::{Glob, GlobError};
pub use policy::{GroupingPolicy, MatchOn, Qos, Rank, Rule, SetDefinition, Target};

use crate::limits::{MAX_GROUPING_RULES, MAX_SETS};
use crate::model::{ActivitySet, Name, SetId};

/// What an agent reports of an activity, as far as grouping looks at it. An empty text means: not reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Subject<'a> {
    /// Name of the activity.
    pub name: &'a str,
    /// Type of its data.
    pub data_type: &'a str,
    /// Its process.
    pub process: &'a str,
    /// Its QoS class.
    pub qos_class: &'a str,
    /// The set that the agent's file asks for.
    pub asked_set: &'a str,
}

impl<'a> Subject<'a> {
    fn text(&self, on: MatchOn) -> &'a str {
        match on {
            MatchOn::Any => "",
            MatchOn::Name => self.name,
            MatchOn::DataType => self.data_type,
            MatchOn::Process => self.process,
            MatchOn::QosClass => self.qos_class,
        }
    }
}

/// The set of an activity, and why. [`fmt::Display`] says it in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assignment {
    /// The set; `None`: a fixed load, never touched.
    pub set: Option<SetId>,
    /// Why.
    pub reason: AssignmentReason,
}

/// Why an activity has its set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AssignmentReason {
    /// A rule matched.
    Rule {
        /// Its place, from 1.
        number: usize,
        /// What it looked at.
        on: MatchOn,
        /// Its pattern.
        pattern: Glob,
        /// The text that matched.
        text: String,
        /// The set.
        set: Name,
    },
    /// No rule matched; the agent's file asked for this set.
    AskedFor {
        /// The set.
        set: Name,
    },
    /// No rule matched and no known set was asked for; the activity has this QoS.
    QosClass {
        /// The QoS, whose name the set has.
        qos: Name,
    },
    /// Nothing gives it a set.
    None {
        /// The set that was asked for and does not exist; empty if none was.
        asked_set: String,
        /// The reported QoS class that is not known; empty if none was reported.
        qos_class: String,
    },
}

impl fmt::Display for AssignmentReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rule {
                number,
                on: MatchOn::Any,
                set,
                ..
            } => write!(f, "rule {number}: matches everything -> set {set}"),
            Self::Rule {
                number,
                on,
                pattern,
                text,
                set,
            } => write!(f, "rule {number}: {on} '{text}' matches '{pattern}' -> set {set}"),
            Self::AskedFor { set } => write!(f, "no rule matches; its agent's file asks for set {set}"),
            Self::QosClass { qos } => write!(f, "no rule matches; its QoS class is {qos} -> set {qos}"),
            Self::None { asked_set, qos_class } => {
                f.write_str("no rule matches")?;
                if !asked_set.is_empty() {
                    write!(
                        f,
                        ", the set '{asked_set}' that its agent asks for does not exist"
                    )?;
                }
                if !qos_class.is_empty() {
                    write!(f, ", its QoS class '{qos_class}' is not known")?;
                }
                f.write_str(": a fixed load, never touched")
            }
        }
    }
}

impl fmt::Display for MatchOn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Any => "anything",
            Self::Name => "name",
            Self::DataType => "data type",
            Self::Process => "process",
            Self::QosClass => "QoS class",
        })
    }
}

/// What is wrong with a [`GroupingPolicy`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GroupingError {
    /// Two QoS classes of one name.
    #[error("qos {0} is there twice")]
    DuplicateQos(Name),
    /// Two sets of one name.
    #[error("set {0} is there twice")]
    DuplicateSet(Name),
    /// A set names a QoS that is not there.
    #[error("set {set} names qos {qos}, which is not defined")]
    UnknownQos {
        /// The set.
        set: Name,
        /// The QoS.
        qos: Name,
    },
    /// A set has the name of a QoS that it does not belong to, so that this QoS could have no set of its own.
    #[error("set {0} has the name of a qos, so it must be of that qos")]
    NameOfOtherQos(Name),
    /// A rule gives a set that is not there.
    #[error("rule {number} gives set {set}, which is neither defined nor the name of a qos")]
    UnknownSet {
        /// Place of the rule, from 1.
        number: usize,
        /// The set.
        set: Name,
    },
    /// Too many of something.
    #[error("at most {most} {what} are possible, there are {found}")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many are possible.
        most: usize,
        /// How many there are.
        found: usize,
    },
}

/// The site's sets and rules, checked and ready.
#[derive(Debug, Clone)]
pub struct Grouping {
    sets: Vec<ActivitySet>,
    by_name: HashMap<Name, SetId>,
    /// Names of known QoS classes with their sets.
    qos: HashMap<Name, SetId>,
    rules: Vec<(Rule, SetId)>,
}

impl Grouping {
    /// Checks a policy.
    ///
    /// # Errors
    ///
    /// [`GroupingError`], which names the set, QoS or rule at fault.
    pub fn new(policy: GroupingPolicy) -> Result<Self, GroupingError> {
        let GroupingPolicy {
            qos,
            sets: definitions,
            rules,
        } = policy;
        within("grouping rules", MAX_GROUPING_RULES, rules.len())?;
        within("sets and qos classes", MAX_SETS, qos.len() + definitions.len())?;

        let mut classes: HashMap<Name, Qos> = HashMap::new();
        for q in &qos {
            if classes.insert(q.name.clone(), q.clone()).is_some() {
                return Err(GroupingError::DuplicateQos(q.name.clone()));
            }
        }
        let mut sets = definitions
            .into_iter()
            .map(|d| set_of(d, &classes))
            .collect::<Result<Vec<_>, _>>()?;
        let mut defined = HashMap::new();
        for set in &sets {
            if defined.insert(set.name.clone(), ()).is_some() {
                return Err(GroupingError::DuplicateSet(set.name.clone()));
            }
        }
        sets.extend(
            qos.iter()
                .filter(|q| !defined.contains_key(&q.name))
                .map(|q| ActivitySet {
                    name: q.name.clone(),
                    priority: q.priority,
                    target_millis: q.target.as_millis(),
                    weight: q.weight,
                }),
        );
        sets.sort_by(|a, b| a.name.cmp(&b.name));

        // At most MAX_SETS, so the index fits.
        let by_name: HashMap<Name, SetId> = (0..)
            .map(SetId)
            .zip(&sets)
            .map(|(id, s)| (s.name.clone(), id))
            .collect();
        let qos = qos
            .into_iter()
            .filter_map(|q| by_name.get(&q.name).map(|id| (q.name, *id)))
            .collect();
        let rules = rules
            .into_iter()
            .enumerate()
            .map(|(i, rule)| match by_name.get(&rule.set) {
                Some(id) => Ok((rule, *id)),
                None => Err(GroupingError::UnknownSet {
                    number: i + 1,
                    set: rule.set,
                }),
            })
            .collect::<Result<_, _>>()?;
        Ok(Self {
            sets,
            by_name,
            qos,
            rules,
        })
    }

    /// All sets, sorted by name, for [`Snapshot::sets`](crate::model::Snapshot::sets): [`SetId`]s of assignments
    /// point into it. A set may have no activity.
    pub fn sets(&self) -> &[ActivitySet] {
        &self.sets
    }

    /// The set of an activity, and why.
    pub fn assign(&self, subject: &Subject<'_>) -> Assignment {
        for (index, (rule, set)) in self.rules.iter().enumerate() {
            let text = subject.text(rule.on);
            // What was not reported matches no pattern, not even `*`: it says nothing about the activity.
            let matched = rule.on == MatchOn::Any || (!text.is_empty() && rule.pattern.matches(text));
            if matched {
                return Assignment {
                    set: Some(*set),
                    reason: AssignmentReason::Rule {
                        number: index + 1,
                        on: rule.on,
                        pattern: rule.pattern.clone(),
                        text: text.to_owned(),
                        set: rule.set.clone(),
                    },
                };
            }
        }
        if let Some((name, id)) = self.by_name.get_key_value(subject.asked_set) {
            return Assignment {
                set: Some(*id),
                reason: AssignmentReason::AskedFor { set: name.clone() },
            };
        }
        if let Some((name, id)) = self.qos.get_key_value(subject.qos_class) {
            return Assignment {
                set: Some(*id),
                reason: AssignmentReason::QosClass { qos: name.clone() },
            };
        }
        Assignment {
            set: None,
            reason: AssignmentReason::None {
                asked_set: subject.asked_set.to_owned(),
                qos_class: subject.qos_class.to_owned(),
            },
        }
    }
}

fn within(what: &'static str, most: usize, found: usize) -> Result<(), GroupingError> {
    if found > most {
        return Err(GroupingError::TooMany { what, most, found });
    }
    Ok(())
}

fn set_of(definition: SetDefinition, classes: &HashMap<Name, Qos>) -> Result<ActivitySet, GroupingError> {
    let SetDefinition {
        name,
        rank,
        weight,
        target,
    } = definition;
    let of_other_qos = classes.contains_key(&name) && rank != Rank::Qos(name.clone());
    if of_other_qos {
        return Err(GroupingError::NameOfOtherQos(name));
    }
    let (priority, default_weight, default_target) = match rank {
        Rank::Priority(p) => (p, 1, Target::Millis(0)),
        Rank::Qos(q) => match classes.get(&q) {
            Some(class) => (class.priority, class.weight, class.target),
            None => return Err(GroupingError::UnknownQos { set: name, qos: q }),
        },
    };
    Ok(ActivitySet {
        name,
        priority,
        target_millis: target.unwrap_or(default_target).as_millis(),
        weight: weight.unwrap_or(default_weight),
    })
}

#[cfg(test)]
mod tests;
