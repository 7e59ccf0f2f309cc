//! A small simulated cluster for tests: facts as PEPs would report them.

use std::collections::BTreeMap;
use std::sync::Arc;

use power_policy::interruption::Witness;
use power_policy::model::{
    ActivityState, Changeover, Chemistry, FigureSource, LineMode, LineState, Mains, Name, Powered,
    ReserveState,
};

use power_policy::plan::{HostState, StepKind, Verb};

use super::Assignment;
use super::contingency::Contingency;
use super::facts::*;
use super::slice::{Slice, StepKey};

pub(crate) fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

pub(crate) fn server(text: &str) -> ServerFact {
    ServerFact {
        name: name(text),
        role: Role::Custodian,
        idle_milliwatts: 100_000,
        peak_milliwatts: 300_000,
        cpu_millicores: 16_000,
        memory_mebibytes: 64_000,
        powered: Powered::On,
        boot_millis: 60_000,
        boot_millijoules: 6_000_000,
        halt_millis: 20_000,
        halt_millijoules: 2_000_000,
        starter: None,
        fan_in: 2,
        simulated: true,
    }
}

pub(crate) fn reserve(text: &str, watt_hours: u64) -> ReserveFact {
    ReserveFact {
        name: name(text),
        role: Role::Custodian,
        chemistry: Chemistry::Lithium,
        capacity_millijoules: watt_hours * 3_600_000,
        charge_millijoules: watt_hours * 3_600_000,
        cutoff_millijoules: 0,
        max_discharge_milliwatts: 1_000_000,
        efficiency_permille: 900,
        peukert_permille: 1_000,
        state: ReserveState::Idle,
        age_millis: 0,
        fan_out: 4,
        source: FigureSource::Measured,
        simulated: true,
    }
}

pub(crate) fn activity(text: &str, on: &str, qos: &str) -> ActivityFact {
    ActivityFact {
        name: name(text),
        server: name(on),
        state: Some(ActivityState::Running),
        asked_set: String::new(),
        data_type: String::new(),
        process: String::new(),
        qos_class: qos.to_owned(),
        draw_milliwatts: 50_000,
        cpu_millicores: 2_000,
        memory_mebibytes: 1_000,
        movable: false,
        startable: true,
        restartable: true,
        move_millis: 10_000,
        move_millijoules: 1_000_000,
        stop_millis: 5_000,
        stop_millijoules: 250_000,
    }
}

pub(crate) fn line(text: &str, reserves: &[&str], servers: &[&str]) -> LineFact {
    let members = |list: &[&str]| {
        list.iter()
            .map(|n| MemberFact {
                name: name(n),
                joined: false,
            })
            .collect()
    };
    LineFact {
        name: name(text),
        role: Role::Custodian,
        max_milliwatts: 500_000,
        efficiency_permille: 950,
        switch_millis: 20,
        mode: LineMode::Shared,
        changeover: Changeover::Parallel,
        state: LineState::Open,
        simulated: true,
        reserves: members(reserves),
        servers: members(servers),
    }
}

/// A node with its own UPS in a domain, and the activities on it.
pub(crate) fn node(text: &str, domain: &str, activities: &[(&str, &str)]) -> PepFacts {
    let ups = format!("ups-{text}");
    PepFacts {
        servers: vec![server(text)],
        inlets: vec![InletFact {
            server: name(text),
            domain: name(domain),
            max_milliwatts: 1_000_000,
        }],
        domains: vec![DomainFact {
            name: name(domain),
            mains: Mains::Present,
            witness: Witness::Inlet,
            age_millis: 0,
        }],
        reserves: vec![reserve(&ups, 100)],
        supplies: vec![SupplyFact {
            reserve: name(&ups),
            server: name(text),
        }],
        lines: Vec::new(),
        activities: activities.iter().map(|(a, qos)| activity(a, text, qos)).collect(),
        held: Held {
            armed: true,
            ..Held::default()
        },
        results: Vec::new(),
    }
}

/// An agent that does what it is told at once, as far as its plan is released, and remembers what it did.
pub(crate) struct FakePep {
    pub(crate) name: Name,
    pub(crate) facts: PepFacts,
    pub(crate) slice: Option<Arc<Slice>>,
    /// Every step that was applied, with its generation: none may be there twice.
    pub(crate) applied: Vec<(u64, StepKey, String)>,
    /// Steps that are reported as failed, by their words.
    pub(crate) broken: Vec<String>,
    /// Steps are begun and their results held back.
    pub(crate) slow: bool,
    /// Its host is to be halted when its results have been told.
    pub(crate) halts: bool,
    /// Servers that it has switched on.
    pub(crate) started: Vec<Name>,
    /// What it holds ready.
    pub(crate) contingencies: BTreeMap<Contingency, Assignment>,
    /// The highest generation of its base context.
    base: u64,
}

impl FakePep {
    pub(crate) fn new(text: &str, facts: PepFacts) -> Self {
        Self {
            name: name(text),
            facts,
            slice: None,
            applied: Vec::new(),
            broken: Vec::new(),
            slow: false,
            halts: false,
            started: Vec::new(),
            contingencies: BTreeMap::new(),
            base: 0,
        }
    }

    /// Takes an assignment as a PEP does: refuses what is older than what it holds.
    pub(crate) fn take(&mut self, assignment: &Assignment, is_release: bool) {
        let held = &mut self.facts.held;
        assert!(assignment.term >= held.term, "a lower term");
        // Generations are compared within a context only: a release is for the one that is active, the rest is for the base.
        let base = if is_release { held.generation } else { self.base };
        assert!(
            assignment.term > held.term || assignment.generation >= base,
            "a lower generation"
        );
        if is_release {
            assert_eq!(
                held.generation, assignment.generation,
                "a release of what is not held"
            );
            assert_eq!(held.digest, Some(assignment.digest));
            assert!(assignment.released_stage >= held.released_stage || assignment.term > held.term);
        } else {
            self.slice = Some(Arc::clone(&assignment.slice));
            self.base = assignment.generation;
            if held.generation != assignment.generation {
                self.facts.results.clear();
            }
        }
        let held = &mut self.facts.held;
        held.term = assignment.term;
        held.generation = assignment.generation;
        held.digest = Some(assignment.digest);
        held.released_stage = assignment.released_stage;
        if !self.slow {
            self.work();
        }
    }

    /// Makes a contingency active, if it holds what it is told that it holds.
    pub(crate) fn activate(&mut self, contingency: Contingency, assignment: &Assignment) {
        let ready = &self.contingencies[&contingency];
        assert_eq!(
            ready.digest, assignment.digest,
            "an activation of what is not held"
        );
        assert_eq!(ready.generation, assignment.generation);
        let held = &mut self.facts.held;
        assert!(assignment.term >= held.term, "a lower term");
        if held.generation != assignment.generation {
            self.facts.results.clear();
        }
        self.slice = Some(Arc::clone(&assignment.slice));
        held.term = assignment.term;
        held.generation = assignment.generation;
        held.digest = Some(assignment.digest);
        held.released_stage = assignment.released_stage;
        if !self.slow {
            self.work();
        }
    }

    /// Carries out what is released.
    pub(crate) fn work(&mut self) {
        let Some(slice) = self.slice.clone() else { return };
        let released = self.facts.held.released_stage;
        for stage in slice.stages.iter().filter(|s| !s.local && s.order <= released) {
            for step in &stage.steps {
                if self.facts.results.iter().any(|r| r.step == step.key) {
                    continue;
                }
                let words = step.kind.to_string();
                let generation = self.facts.held.generation;
                assert!(
                    !self
                        .applied
                        .iter()
                        .any(|(g, k, _)| *g == generation && *k == step.key),
                    "{words} was applied twice"
                );
                self.applied.push((generation, step.key, words.clone()));
                let outcome = if self.broken.iter().any(|b| words.contains(b)) {
                    Outcome::Failed
                } else {
                    self.apply(&step.kind);
                    Outcome::Done
                };
                self.facts.results.push(ActionResult {
                    term: self.facts.held.term,
                    generation,
                    step: step.key,
                    outcome,
                    millis: 10,
                    reason: String::new(),
                });
            }
        }
    }

    fn apply(&mut self, kind: &StepKind) {
        match kind {
            StepKind::Activity {
                activity,
                server,
                verb,
                ..
            } => {
                let row = self
                    .facts
                    .activities
                    .iter_mut()
                    .find(|a| a.name == *activity && a.server == *server)
                    .expect("a row for the activity");
                match verb {
                    Verb::Stop | Verb::MoveOut => row.state = Some(ActivityState::Stopped),
                    Verb::Start | Verb::TakeIn => row.state = Some(ActivityState::Running),
                    Verb::Run | Verb::Cap => {}
                }
            }
            StepKind::Divert {
                line,
                reserve,
                server,
                milliwatts,
            } => {
                let line = self
                    .facts
                    .lines
                    .iter_mut()
                    .find(|l| l.name == *line)
                    .expect("a line");
                let joined = *milliwatts > 0;
                let r = line
                    .reserves
                    .iter_mut()
                    .find(|m| m.name == *reserve)
                    .expect("a member");
                r.joined = joined;
                let s = line
                    .servers
                    .iter_mut()
                    .find(|m| m.name == *server)
                    .expect("a member");
                s.joined = joined;
                line.state = if joined {
                    LineState::Closed
                } else {
                    LineState::Open
                };
            }
            StepKind::Host {
                server,
                state: HostState::On,
            } => self.started.push(server.clone()),
            StepKind::Host {
                state: HostState::Off,
                ..
            } => self.halts = true,
            StepKind::Intake { .. } | StepKind::Host { .. } => {}
        }
    }
}
