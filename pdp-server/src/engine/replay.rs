//! A journal run through the engine again: whether the same planner makes the same plans of what it was given, whether
//! each PEP was given its part of them, and whether the records give the state that was kept.
//!
//! What was reported to the PDP is not in the journal; each plan is with what it was made from. So this proves that no
//! plan came from anything else than what is recorded, and that a PDP that starts from this journal knows what the one
//! that wrote it knew.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::Serialize;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use power_policy::interruption::{self, Interruption};
use power_policy::model::{Cause, Name, PowerPolicy, Snapshot};
use power_policy::plan::Plan;

use super::contract::{Checker, Planner};
use super::facts::Digest;
use super::planning::make_room_for_stage_0;
use super::slice::{Slice, slices};
use super::state::{Record, State};

/// What is used to make plans again.
pub struct Replay {
    planner: Planner,
    checker: Checker,
    /// The policy of the site's file, for journals that do not have it.
    given: Option<PolicyOfScale>,
    policy: Option<PowerPolicy>,
    state: State,
    /// What stands before the first checkpoint or the first start is not known.
    is_known: bool,
    /// The next checkpoint follows a start, on another clock maybe: it says what holds.
    is_start: bool,
    /// Parts of the plan that was made last, with its generation: what PEPs are given next is compared.
    parts: Option<(u64, BTreeMap<Name, Slice>)>,
    summary: Summary,
}

/// The policy of a file, for a clock that runs so many times faster than the world.
pub type PolicyOfScale = Box<dyn Fn(u32) -> PowerPolicy>;

/// What was proven.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// Records that were read.
    pub records: u64,
    /// Records before the first checkpoint, which say too little by themselves.
    pub skipped: u64,
    /// Starts of the program.
    pub starts: u64,
    /// Plans that were made again, and were the same.
    pub plans: u64,
    /// Plans that were held ready, made again, and were the same.
    pub prepared: u64,
    /// Parts of PEPs that are those of their plans.
    pub parts: u64,
    /// States that follow from the records before them.
    pub checkpoints: u64,
    /// Times that the journal had failed for a while, so that the state before was not known.
    pub holes: u64,
    /// SHA-256 over the digests of all plans, in order.
    pub digest: String,
    #[serde(skip)]
    plans_digest: Vec<u8>,
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} records of {} starts: {} plans made again and the same, {} of those held ready, {} parts, {} states",
            self.records, self.starts, self.plans, self.prepared, self.parts, self.checkpoints
        )?;
        if self.skipped > 0 {
            writeln!(
                f,
                "{} records before the first checkpoint were skipped",
                self.skipped
            )?;
        }
        if self.holes > 0 {
            writeln!(
                f,
                "the journal had failed {} times, and went on from the state that was kept then",
                self.holes
            )?;
        }
        write!(f, "digest of all plans: {}", self.digest)
    }
}

/// Where a journal is not what the engine makes of it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("record {seq} ({kind}): {what}")]
pub struct Difference {
    /// Number of the record.
    pub seq: u64,
    /// Its kind.
    pub kind: &'static str,
    /// What is not the same, in words, with the first place where it is not.
    pub what: String,
}

/// Digest of a plan.
pub fn plan_digest(plan: &Plan) -> Digest {
    // A plan has no map whose keys are not strings: it can be written.
    Sha256::digest(serde_json::to_vec(plan).unwrap_or_default()).into()
}

impl fmt::Debug for Replay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Replay")
            .field("summary", &self.summary)
            .finish_non_exhaustive()
    }
}

impl Replay {
    /// Begins. `given` is the policy of the site's file for journals of format 1, which do not have it.
    pub fn new(planner: Planner, checker: Checker, given: Option<PolicyOfScale>) -> Self {
        let config = interruption::Config::new(&PowerPolicy::default(), BTreeMap::new());
        Self {
            planner,
            checker,
            given,
            policy: None,
            state: State::new(Interruption::new(config)),
            is_known: false,
            is_start: false,
            parts: None,
            summary: Summary::default(),
        }
    }

    /// Whether plans can be made again: the policy that they were made with is known.
    pub fn has_policy(&self) -> bool {
        self.policy.is_some()
    }

    /// What has been proven so far.
    pub fn summary(&self) -> Summary {
        let digest: Digest = Sha256::digest(&self.summary.plans_digest).into();
        Summary {
            digest: hex(&digest),
            ..self.summary.clone()
        }
    }

    /// Takes the next record.
    ///
    /// # Errors
    /// It is not what the engine makes of the records before it.
    pub fn take(&mut self, seq: u64, record: &Record) -> Result<(), Difference> {
        self.summary.records += 1;
        let kind = record.kind();
        let checked = self.check(seq, record);
        if !self.is_known {
            self.summary.skipped += 1;
        } else if !matches!(
            record,
            Record::Issued { .. } | Record::Audit { .. } | Record::Alarm { .. } | Record::AlarmCleared { .. }
        ) {
            // Parts follow their plan at once.
            self.parts = self.parts.take().filter(|_| is_plan(record));
        }
        self.state.apply(record);
        checked.map_err(|what| Difference { seq, kind, what })
    }

    fn check(&mut self, seq: u64, record: &Record) -> Result<(), String> {
        match record {
            Record::Started { scale, policy, .. } => {
                self.summary.starts += 1;
                self.is_known |= seq == 1;
                self.is_start = true;
                self.policy = match (policy, &self.given) {
                    (Some(policy), _) => Some((**policy).clone()),
                    (None, Some(given)) => Some(given(*scale)),
                    (None, None) => None,
                };
                Ok(())
            }
            Record::Checkpoint { state, after_failure } => self.checkpoint(state, *after_failure),
            _ if !self.is_known => Ok(()),
            Record::Plan {
                in_force,
                snapshot,
                violations,
                digest,
            } => {
                let previous = self.state.in_force.as_ref().map(|p| p.plan.clone());
                let previous = previous.filter(|p| p.cause != Cause::Standing);
                digest_fits(*digest, &in_force.plan)?;
                let again = self.plan_again(snapshot, previous.as_deref(), &in_force.plan)?;
                if let Some((_, now)) = again.filter(|(_, now)| now != violations) {
                    return Err(format!(
                        "the checker says otherwise of the plan: {violations:?} then, {now:?} now"
                    ));
                }
                self.note(&in_force.plan);
                self.summary.plans += 1;
                let (by_pep, _) = slices(snapshot, &in_force.plan);
                self.parts = Some((in_force.generation, by_pep));
                Ok(())
            }
            Record::Prepared { prepared, supposed } => {
                let Some(supposed) = supposed else {
                    let known = self.state.prepared.iter().find(|p| p.case == prepared.case);
                    let same = known.is_some_and(|p| p.plan == prepared.plan);
                    return same.then_some(()).ok_or_else(|| {
                        "parts of a plan are held ready that was not made for this case".to_owned()
                    });
                };
                self.plan_again(supposed, None, &prepared.plan)?;
                let (by_pep, _) = slices(supposed, &prepared.plan);
                for (pep, part) in &prepared.parts {
                    part_fits(pep, &part.issued.slice, by_pep.get(pep))?;
                }
                self.note(&prepared.plan);
                self.summary.prepared += 1;
                Ok(())
            }
            Record::Activated { case, in_force } => {
                let known = self.state.prepared.iter().find(|p| p.case == *case);
                if known.is_none_or(|p| p.plan != in_force.plan) {
                    return Err("a plan is put in force that was not held ready for this case".to_owned());
                }
                self.parts = None;
                Ok(())
            }
            Record::Issued { pep, issued } => {
                if let Some((generation, by_pep)) = &self.parts
                    && *generation == issued.generation
                {
                    part_fits(pep, &issued.slice, by_pep.get(pep))?;
                    self.summary.parts += 1;
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Makes a plan again, where the policy is known; what the checker says of it.
    fn plan_again(
        &self,
        snapshot: &Snapshot,
        previous: Option<&Plan>,
        then: &Plan,
    ) -> Result<Option<(Plan, Vec<String>)>, String> {
        let Some(policy) = &self.policy else {
            return Ok(None);
        };
        let mut now = (self.planner)(snapshot, previous, policy);
        make_room_for_stage_0(&mut now);
        if now != *then {
            return Err(format!(
                "the plan is another one (digest {} then, {} now)\n{}",
                hex(&plan_digest(then)),
                hex(&plan_digest(&now)),
                first_difference(then, &now, &then.to_string(), &now.to_string())
            ));
        }
        let violations = (self.checker)(snapshot, &now, policy);
        Ok(Some((now, violations)))
    }

    fn note(&mut self, plan: &Plan) {
        self.summary.plans_digest.extend(plan_digest(plan));
    }

    fn checkpoint(&mut self, state: &State, after_failure: bool) -> Result<(), String> {
        let first = !std::mem::replace(&mut self.is_known, true);
        let start = std::mem::take(&mut self.is_start);
        self.summary.holes += u64::from(after_failure);
        if first || start || after_failure {
            return Ok(());
        }
        // Reports that change nothing that counts move the machine without a record.
        let comparable = |state: &State| State {
            machine: self.state.machine.clone(),
            ..state.clone()
        };
        let (then, now) = (comparable(state), comparable(&self.state));
        if then != now {
            return Err(format!(
                "the records before it give another state\n{}",
                first_difference(&then, &now, "", "")
            ));
        }
        self.summary.checkpoints += 1;
        Ok(())
    }
}

fn is_plan(record: &Record) -> bool {
    matches!(record, Record::Plan { .. })
}

fn digest_fits(recorded: Option<Digest>, plan: &Plan) -> Result<(), String> {
    let now = plan_digest(plan);
    match recorded {
        Some(then) if then != now => Err(format!(
            "the plan does not have its digest ({} recorded, {} found)",
            hex(&then),
            hex(&now)
        )),
        _ => Ok(()),
    }
}

/// Whether a PEP was given what the plan has for it; nothing is an empty part.
fn part_fits(pep: &Name, given: &Slice, planned: Option<&Slice>) -> Result<(), String> {
    let fits = match planned {
        Some(planned) => planned == given,
        None => given.stages.is_empty(),
    };
    if fits {
        return Ok(());
    }
    let empty = Slice::empty(given.cause, given.scope.clone());
    let planned = planned.unwrap_or(&empty);
    Err(format!(
        "what {pep} was given is not its part of the plan\n{}",
        first_difference(given, planned, "", "")
    ))
}

/// The first place where two values differ: the first line of their texts, and the first figure.
fn first_difference<T: Serialize>(then: &T, now: &T, then_text: &str, now_text: &str) -> String {
    let mut words = String::new();
    let (mut old, mut new) = (then_text.lines(), now_text.lines());
    loop {
        match (old.next(), new.next()) {
            (None, None) => break,
            (a, b) if a == b => {}
            (a, b) => {
                let line = |text: Option<&str>| text.unwrap_or("(no more lines)").trim().to_owned();
                words = format!("  then: {}\n  now:  {}\n", line(a), line(b));
                break;
            }
        }
    }
    let value = |v: &T| serde_json::to_value(v).unwrap_or(Value::Null);
    match path_of_difference(&value(then), &value(now)) {
        Some((path, a, b)) => format!("{words}  at {path}: {} then, {} now", short(&a), short(&b)),
        None => words,
    }
}

/// Where two values differ first, and how.
fn path_of_difference(then: &Value, now: &Value) -> Option<(String, Value, Value)> {
    let below = |key: String, found: (String, Value, Value)| (format!("{key}{}", found.0), found.1, found.2);
    match (then, now) {
        (a, b) if a == b => None,
        (Value::Object(a), Value::Object(b)) => {
            let keys: BTreeSet<&String> = a.keys().chain(b.keys()).collect();
            keys.into_iter().find_map(|key| {
                let none = Value::Null;
                let (x, y) = (a.get(key).unwrap_or(&none), b.get(key).unwrap_or(&none));
                path_of_difference(x, y).map(|found| below(format!(".{key}"), found))
            })
        }
        (Value::Array(a), Value::Array(b)) => {
            let none = Value::Null;
            (0..a.len().max(b.len())).find_map(|i| {
                let (x, y) = (a.get(i).unwrap_or(&none), b.get(i).unwrap_or(&none));
                path_of_difference(x, y).map(|found| below(format!("[{i}]"), found))
            })
        }
        (a, b) => Some((String::new(), a.clone(), b.clone())),
    }
}

/// A value on a line of text.
fn short(value: &Value) -> String {
    const LONGEST: usize = 200;
    let text = match value {
        Value::Null => "nothing".to_owned(),
        other => other.to_string(),
    };
    match text.char_indices().nth(LONGEST) {
        Some((at, _)) => format!("{}...", &text[..at]),
        None => text,
    }
}

fn hex(digest: &Digest) -> String {
    digest.iter().map(|octet| format!("{octet:02x}")).collect()
}
