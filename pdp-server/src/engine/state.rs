//! What outlives the process: [`State`], changed by [`Record`]s alone.
//!
//! The live engine changes its state by the very records that it hands to the journal, so that replaying the journal
//! gives the same state. Telemetry is not in it; each plan keeps the snapshot that it was made from.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use power_policy::interruption::Interruption;
use power_policy::model::{Cause, Name, Phase, PowerPolicy, Scope, Snapshot};
use power_policy::plan::{Plan, StepKind};

use super::contingency::{Case, Contingency, Prepared};
use super::facts::{Digest, PepFacts};
use super::slice::{Slice, StepKey};

/// A plan in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InForce {
    /// Its generation.
    pub generation: u64,
    /// The plan.
    pub plan: Arc<Plan>,
    /// When it was made, on the engine's clock.
    pub made_at: u64,
    /// Phase in which it was made.
    pub phase: Phase,
    /// Central stages released so far, with the time; stage 0 with the plan itself.
    pub released: Vec<(u32, u64)>,
    /// PEPs that held their parts ready, and so hold them under other generations than this plan's.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub held_under: BTreeMap<Name, HeldUnder>,
}

/// Where a PEP holds its part of a plan that was held ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldUnder {
    /// In which contingency.
    pub contingency: Contingency,
    /// Under which generation.
    pub generation: u64,
}

impl InForce {
    /// The generation under which a PEP holds its part.
    pub fn generation_of(&self, pep: &Name) -> u64 {
        self.held_under
            .get(pep)
            .map_or(self.generation, |under| under.generation)
    }

    /// The highest order released; 0 before any, as the wire has it.
    pub fn released_stage(&self) -> u32 {
        self.released.last().map_or(0, |(order, _)| *order)
    }

    /// When a stage was released.
    pub fn released_at(&self, order: u32) -> Option<u64> {
        self.released.iter().find(|(o, _)| *o == order).map(|(_, at)| *at)
    }
}

/// What one PEP was given last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Issued {
    /// Generation of the plan it is cut from. A PEP whose slice does not change keeps the older one.
    pub generation: u64,
    /// What was given.
    pub slice: Arc<Slice>,
    /// Digest of it, as the PEP will report it.
    pub digest: Digest,
    /// The contingency in which the PEP holds it, if it was told to activate one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contingency: Option<Contingency>,
}

/// Where an activity belongs, over an interruption.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Track {
    /// Where it runs, or ran last, or shall run again.
    pub host: Name,
    /// Where it ran when the interruption began.
    pub home: Name,
    /// It ran at some time in this interruption.
    pub was_running: bool,
    /// It does not run any more because of this interruption: restoration owes it a start.
    pub shed: bool,
    /// Server that takes it in, while a move is half done.
    pub moving_to: Option<Name>,
    /// Restoration has given it up; the words say why.
    pub given_up: Option<String>,
}

/// Power that is commanded through a line from a reserve to a server.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct CommandedPair {
    /// The reserve.
    pub reserve: Name,
    /// The server.
    pub server: Name,
    /// Power at the line's input.
    pub milliwatts: u64,
}

/// A step that failed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct FailedStep {
    /// Generation of its plan.
    pub generation: u64,
    /// Who was to carry it out.
    pub pep: Name,
    /// Its row.
    pub step: StepKey,
}

/// What went wrong with one step, by its words.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failures(pub BTreeMap<String, u32>);

/// What one reserve has given and taken, from the charges that its custodian reports, in millijoules.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Metered {
    /// The last charge reported.
    pub last_millijoules: u64,
    /// Drawn since the reserve was first heard of.
    pub drawn_millijoules: u64,
    /// Charged since then.
    pub charged_millijoules: u64,
    /// `drawn_millijoules` when the interruption began.
    pub drawn_before_millijoules: u64,
    /// The charge when the interruption began.
    pub began_millijoules: u64,
    /// The lowest charge since.
    pub lowest_millijoules: u64,
}

/// Everything durable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// Term of this PDP; raised at each start.
    pub term: u64,
    /// Highest generation given.
    pub generation: u64,
    /// The interruption machine.
    pub machine: Interruption,
    /// Reports of PEPs without telemetry, as known last.
    pub facts: BTreeMap<Name, Arc<PepFacts>>,
    /// Activities.
    pub tracks: BTreeMap<Name, Track>,
    /// Servers that a plan switched off, with the time.
    pub off: BTreeMap<Name, u64>,
    /// What plans have joined, by line.
    pub joined: BTreeMap<Name, Vec<CommandedPair>>,
    /// Failures of steps in this interruption.
    pub failures: Failures,
    /// Steps of the plan in force that have failed and are counted.
    #[serde(default)]
    pub failed_steps: BTreeSet<FailedStep>,
    /// The plan in force.
    pub in_force: Option<InForce>,
    /// What each PEP was given.
    pub issued: BTreeMap<Name, Issued>,
    /// What each reserve has given and taken when that was kept last. What it gave and took since then follows from the
    /// next charge that is reported.
    #[serde(default)]
    pub metered: BTreeMap<Name, Metered>,
    /// Plans that are held ready for interruptions that have not come.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub prepared: Vec<Prepared>,
    /// Interruptions that have begun so far.
    #[serde(default)]
    pub interruptions: u64,
    /// Id of the interruption that goes on.
    #[serde(default)]
    pub interruption: Option<String>,
}

/// One change of [`State`]. The journal is a sequence of these.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "record", rename_all = "snake_case")]
pub enum Record {
    /// The process started with this term.
    Started {
        /// The term.
        term: u64,
        /// Boot id of the machine.
        boot_id: String,
        /// Clock scale.
        scale: u32,
        /// What the engine's clock shows minus the scaled clock of the machine.
        offset_millis: i64,
        /// How it plans, from the file of the site. Journals of format 1 do not have it.
        #[serde(default)]
        policy: Option<Box<PowerPolicy>>,
    },
    /// A PEP holds something newer than we knew of: term and generation rise above it.
    Raised {
        /// The term.
        term: u64,
        /// The generation.
        generation: u64,
    },
    /// The interruption machine after something that counts.
    Machine {
        /// All of it.
        machine: Box<Interruption>,
    },
    /// What a PEP reports has changed in structure.
    Facts {
        /// The PEP.
        pep: Name,
        /// What it reports, without telemetry.
        facts: Arc<PepFacts>,
    },
    /// An administrator commanded something, or was answered. It changes nothing; who asked for what stays known.
    Audit {
        /// When, in milliseconds of Unix time.
        unix_millis: u64,
        /// Who: "token NAME" over TCP, "uid N" over the admin socket.
        by: String,
        /// What was asked, in words.
        command: String,
        /// Id of the command.
        id: String,
        /// The answer; `None` when it was asked.
        #[serde(default)]
        answer: Option<String>,
    },
    /// An interruption began.
    InterruptionBegan {
        /// Its id, which events, logs and history carry: the term in which it began, and its number.
        id: String,
        /// What began it.
        cause: Cause,
        /// What it covered then.
        scope: Scope,
    },
    /// It is over.
    InterruptionEnded {
        /// Its id.
        id: String,
    },
    /// Something needs a person. It changes nothing; that it was so stays known.
    Alarm {
        /// What it concerns.
        subject: String,
        /// What is wrong.
        text: String,
    },
    /// Its cause is gone.
    AlarmCleared {
        /// What it concerned.
        subject: String,
        /// What is over.
        text: String,
    },
    /// A PEP is forgotten.
    Forgotten {
        /// The PEP.
        pep: Name,
    },
    /// An activity's place or fate has changed.
    Track {
        /// The activity.
        activity: Name,
        /// What holds now; `None`: it is gone.
        track: Option<Track>,
    },
    /// A server was switched off by plan, or is back.
    Off {
        /// The server.
        server: Name,
        /// It is off.
        off: bool,
        /// When.
        at: u64,
    },
    /// A step was done that joins or parts a line.
    Joined {
        /// The line.
        line: Name,
        /// All pairs that are commanded now.
        pairs: Vec<CommandedPair>,
    },
    /// A step failed; the number counts its failures in this interruption.
    Failed {
        /// The step, in words.
        step: String,
        /// How often.
        times: u32,
        /// Which step of which plan it was this time: its PEP tells it again to the next life of the PDP.
        #[serde(default)]
        of: Option<FailedStep>,
    },
    /// An interruption is over: failures are forgiven.
    Forgiven,
    /// A plan was made.
    Plan {
        /// The plan, with its generation.
        in_force: Box<InForce>,
        /// What it was made from; with the policy in the file this is all that is needed to make it again.
        snapshot: Box<Snapshot>,
        /// The independent checker's objections.
        violations: Vec<String>,
        /// SHA-256 over the plan as JSON. Journals of format 1 do not have it.
        #[serde(default)]
        digest: Option<Digest>,
    },
    /// A plan is held ready for a case.
    Prepared {
        /// The plan, with everybody's part.
        prepared: Box<Prepared>,
        /// What it was made from; none where only parts have changed.
        supposed: Option<Box<Snapshot>>,
    },
    /// No plan is held ready for a case any more.
    Unprepared {
        /// The case.
        case: Case,
    },
    /// A plan that was held ready is in force.
    Activated {
        /// The case.
        case: Case,
        /// The plan.
        in_force: Box<InForce>,
    },
    /// A PEP is given its part.
    Issued {
        /// The PEP.
        pep: Name,
        /// What it gets.
        issued: Issued,
    },
    /// What a PEP was given is void: it refused it.
    Withdrawn {
        /// The PEP.
        pep: Name,
    },
    /// A stage was released.
    Released {
        /// Generation of the plan.
        generation: u64,
        /// Order of the stage.
        stage: u32,
        /// When.
        at: u64,
    },
    /// What the reserves have given and taken so far. Kept with every plan and at each end of an interruption.
    Metered {
        /// All reserves.
        reserves: BTreeMap<Name, Metered>,
    },
    /// All of the state; what stands before it is history.
    Checkpoint {
        /// The state.
        state: Box<State>,
        /// The journal had failed: what happened since is in the state alone.
        #[serde(default)]
        after_failure: bool,
    },
}

impl Record {
    /// Short name, for history and the journal's index.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Started { .. } => "started",
            Self::Raised { .. } => "raised",
            Self::Machine { .. } => "machine",
            Self::Facts { .. } => "facts",
            Self::Forgotten { .. } => "forgotten",
            Self::Track { .. } => "track",
            Self::Off { .. } => "off",
            Self::Joined { .. } => "joined",
            Self::Failed { .. } => "failed",
            Self::Forgiven => "forgiven",
            Self::Plan { .. } => "plan",
            Self::Prepared { .. } => "prepared",
            Self::Unprepared { .. } => "unprepared",
            Self::Activated { .. } => "activated",
            Self::Issued { .. } => "issued",
            Self::Withdrawn { .. } => "withdrawn",
            Self::Released { .. } => "released",
            Self::Metered { .. } => "metered",
            Self::Checkpoint { .. } => "checkpoint",
            Self::Audit { .. } => "audit",
            Self::InterruptionBegan { .. } => "interruption_began",
            Self::InterruptionEnded { .. } => "interruption_ended",
            Self::Alarm { .. } => "alarm",
            Self::AlarmCleared { .. } => "alarm_cleared",
        }
    }
}

impl State {
    /// A state that knows of nothing.
    pub fn new(machine: Interruption) -> Self {
        Self {
            term: 0,
            generation: 0,
            machine,
            facts: BTreeMap::new(),
            tracks: BTreeMap::new(),
            off: BTreeMap::new(),
            joined: BTreeMap::new(),
            failures: Failures::default(),
            failed_steps: BTreeSet::new(),
            in_force: None,
            issued: BTreeMap::new(),
            metered: BTreeMap::new(),
            prepared: Vec::new(),
            interruptions: 0,
            interruption: None,
        }
    }

    /// Takes one record in.
    pub fn apply(&mut self, record: &Record) {
        match record {
            Record::Started { term, .. } => self.term = self.term.max(*term),
            Record::Raised { term, generation } => {
                self.term = self.term.max(*term);
                self.generation = self.generation.max(*generation);
            }
            Record::Machine { machine } => self.machine = (**machine).clone(),
            Record::Facts { pep, facts } => {
                self.facts.insert(pep.clone(), Arc::clone(facts));
            }
            Record::Audit { .. } | Record::Alarm { .. } | Record::AlarmCleared { .. } => {}
            Record::InterruptionBegan { id, .. } => {
                self.interruptions += 1;
                self.interruption = Some(id.clone());
            }
            Record::InterruptionEnded { .. } => self.interruption = None,
            Record::Forgotten { pep } => {
                self.facts.remove(pep);
                self.issued.remove(pep);
            }
            Record::Track { activity, track } => match track {
                Some(track) => {
                    self.tracks.insert(activity.clone(), track.clone());
                }
                None => {
                    self.tracks.remove(activity);
                }
            },
            Record::Off { server, off, at } => {
                if *off {
                    self.off.insert(server.clone(), *at);
                } else {
                    self.off.remove(server);
                }
            }
            Record::Joined { line, pairs } => {
                if pairs.is_empty() {
                    self.joined.remove(line);
                } else {
                    self.joined.insert(line.clone(), pairs.clone());
                }
            }
            Record::Failed { step, times, of } => {
                self.failures.0.insert(step.clone(), *times);
                self.failed_steps.extend(of.clone());
            }
            Record::Forgiven => self.failures.0.clear(),
            Record::Plan { in_force, .. } => {
                self.failed_steps.clear();
                self.generation = self.generation.max(in_force.generation);
                self.in_force = Some((**in_force).clone());
            }
            Record::Prepared { prepared, .. } => {
                self.generation = self.generation.max(prepared.generation);
                let place = self.prepared.iter_mut().find(|p| p.case == prepared.case);
                match place {
                    Some(place) => place.clone_from(prepared),
                    None => self.prepared.push((**prepared).clone()),
                }
            }
            Record::Unprepared { case } => self.prepared.retain(|p| p.case != *case),
            Record::Activated { case, in_force } => {
                self.generation = self.generation.max(in_force.generation);
                // It is spent: what is held ready for this case next has another generation, so that no result of this time
                // can be taken for one of the next.
                if let Some(at) = self.prepared.iter().position(|p| p.case == *case) {
                    let parts = self.prepared.remove(at).parts.into_iter();
                    let held = parts.filter(|(pep, _)| in_force.held_under.contains_key(pep));
                    self.issued.extend(held.map(|(pep, part)| {
                        let contingency = Some(part.contingency);
                        (
                            pep,
                            Issued {
                                contingency,
                                ..part.issued
                            },
                        )
                    }));
                }
                self.in_force = Some((**in_force).clone());
            }
            Record::Issued { pep, issued } => {
                self.generation = self.generation.max(issued.generation);
                self.issued.insert(pep.clone(), issued.clone());
            }
            Record::Withdrawn { pep } => {
                self.issued.remove(pep);
            }
            Record::Released {
                generation,
                stage,
                at,
            } => {
                if let Some(p) = self.in_force.as_mut().filter(|p| p.generation == *generation)
                    && p.released_at(*stage).is_none()
                {
                    p.released.push((*stage, *at));
                }
            }
            Record::Metered { reserves } => self.metered.clone_from(reserves),
            Record::Checkpoint { state, .. } => *self = (**state).clone(),
        }
    }

    /// Moves all times to another clock: `delta_millis` is what the new clock shows minus what the old one showed.
    pub fn rebase(&mut self, delta_millis: i64) {
        let shift = |t: &mut u64| *t = t.saturating_add_signed(delta_millis);
        self.machine.rebase(delta_millis);
        self.off.values_mut().for_each(shift);
        if let Some(p) = &mut self.in_force {
            shift(&mut p.made_at);
            p.released.iter_mut().for_each(|(_, at)| shift(at));
        }
        self.prepared.iter_mut().for_each(|p| shift(&mut p.made_at));
    }
}

/// The words by which failures of a step are counted: what is done, without figures that change from plan to plan.
pub fn failure_key(kind: &StepKind) -> String {
    match kind {
        StepKind::Divert {
            line,
            reserve,
            server,
            ..
        } => format!("divert {line} {reserve} {server}"),
        StepKind::Intake { server, reserve, .. } => format!("intake {server} {reserve}"),
        StepKind::Activity {
            activity,
            server,
            verb,
            ..
        } => format!("{verb:?} {activity} {server}").to_lowercase(),
        StepKind::Host { server, state } => format!("host {server} {state:?}").to_lowercase(),
    }
}
