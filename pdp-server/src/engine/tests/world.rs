//! Engine, agents and time, for tests.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use sha2::{Digest as _, Sha256};

use power_policy::grouping::{Grouping, GroupingPolicy, Qos, Target};
use power_policy::interruption::CommandOutcome;
use power_policy::model::{ActivityState, Mains, Name, PowerPolicy, Powered};

use super::super::contingency::{ContextCommand, ContextEvent, ContextOutcome, Contingency, PlanAhead};
use super::super::facts::{Digest, Readings, ReserveReading, Role};
use super::super::fixture::*;
use super::super::slice::Slice;
use super::super::*;
use crate::config::PeerPolicy;

fn digest(slice: &Slice) -> Digest {
    Sha256::digest(serde_json::to_vec(slice).unwrap()).into()
}

pub(super) fn settings() -> Settings {
    let qos = |n: &str, priority, weight, seconds: u64| Qos {
        name: name(n),
        priority,
        weight,
        target: Target::Millis(seconds * 1000),
    };
    let grouping = GroupingPolicy {
        qos: vec![
            qos("gold", 900, 64, 1800),
            qos("silver", 500, 16, 300),
            qos("bronze", 100, 1, 0),
        ],
        ..GroupingPolicy::default()
    };
    Settings {
        policy: PowerPolicy {
            restart_stagger_millis: 1_000,
            ..PowerPolicy::default()
        },
        peers: PeerPolicy {
            default_armed: true,
            ..PeerPolicy::default()
        },
        grouping: Grouping::new(grouping).unwrap(),
        facility_witnesses: BTreeMap::new(),
        scale: 1,
        await_millis: 10_000,
        hold_millis: 600_000,
        contingencies: false,
        planner: Arc::new(power_policy::planner::plan),
        checker: Arc::new(|snapshot, plan, policy| {
            let found = power_policy::checker::check(snapshot, plan, policy);
            found.iter().map(ToString::to_string).collect()
        }),
        digester: Box::new(digest),
    }
}

/// Engine, agents, and all that came out.
pub(super) struct World {
    pub(super) engine: Engine,
    pub(super) now: u64,
    pub(super) peps: BTreeMap<Name, FakePep>,
    pub(super) connected: BTreeSet<Name>,
    pub(super) records: Vec<Record>,
    pub(super) events: Vec<Event>,
    pub(super) answers: Vec<(String, CommandOutcome, bool)>,
    /// Servers that boot, and when they are up.
    pub(super) booting: Vec<(u64, Name)>,
    /// PEPs that the network is slow to: what was sent to them waits in `mail`.
    pub(super) far: BTreeSet<Name>,
    /// What is on its way to them, and whether it releases a stage.
    pub(super) mail: Vec<(Assignment, bool)>,
    /// Plans for cases that are asked for while nobody makes them.
    pub(super) plans_ahead: Vec<PlanAhead>,
    /// Nobody makes plans for cases.
    pub(super) is_planner_away: bool,
    /// PEPs that were told to activate a contingency, and which.
    pub(super) activated: Vec<(Name, Contingency, u64)>,
    /// PEPs that do not do so, and say why.
    pub(super) unwilling: BTreeSet<Name>,
}

impl World {
    pub(super) fn new(settings: Settings, peps: Vec<FakePep>) -> Self {
        let mut world = Self {
            engine: Engine::new(settings, 1_000_000, Recovery::default()),
            now: 1_000_000,
            peps: peps.into_iter().map(|p| (p.name.clone(), p)).collect(),
            connected: BTreeSet::new(),
            records: Vec::new(),
            events: Vec::new(),
            answers: Vec::new(),
            booting: Vec::new(),
            far: BTreeSet::new(),
            mail: Vec::new(),
            plans_ahead: Vec::new(),
            is_planner_away: false,
            activated: Vec::new(),
            unwilling: BTreeSet::new(),
        };
        world.drain();
        let names: Vec<Name> = world.peps.keys().cloned().collect();
        for n in names {
            world.connect(&n);
        }
        world
    }

    /// The process dies and another one starts from the first `keep` records.
    pub(super) fn restart(&mut self, settings: Settings, keep: usize) {
        self.records.truncate(keep);
        let recovery = Recovery {
            records: self.records.clone(),
            ..Recovery::default()
        };
        self.engine = Engine::new(settings, self.now, recovery);
        self.connected.clear();
        self.drain();
    }

    pub(super) fn connect(&mut self, pep: &Name) {
        self.connected.insert(pep.clone());
        let address = "127.0.0.1:1".to_owned();
        self.give(Input::Opened {
            pep: pep.clone(),
            address,
        });
        self.report(pep);
        self.give(Input::Synchronised { pep: pep.clone() });
    }

    pub(super) fn disconnect(&mut self, pep: &Name) {
        self.close(pep, End::Theirs);
    }

    pub(super) fn close(&mut self, pep: &Name, end: End) {
        self.connected.remove(pep);
        self.give(Input::Closed {
            pep: pep.clone(),
            reason: "the connection ended".to_owned(),
            end,
        });
    }

    /// A PEP that is none of the agents: it says what it likes, and does nothing.
    pub(super) fn stranger(&mut self, pep: &str, facts: PepFacts) {
        self.far.insert(name(pep));
        let address = "127.0.0.1:2".to_owned();
        let pep = name(pep);
        self.give(Input::Opened {
            pep: pep.clone(),
            address,
        });
        self.says(&pep, facts);
        self.give(Input::Synchronised { pep });
    }

    /// What a stranger reports.
    pub(super) fn says(&mut self, pep: &Name, facts: PepFacts) {
        self.give(Input::Facts {
            pep: pep.clone(),
            facts: Arc::new(facts),
        });
    }

    /// Alarms that are up, in words.
    pub(super) fn alarms(&self) -> Vec<String> {
        self.engine.alarms.0.values().map(|a| a.text.clone()).collect()
    }

    pub(super) fn report(&mut self, pep: &Name) {
        let facts = Arc::new(self.peps[pep].facts.clone());
        self.give(Input::Facts {
            pep: pep.clone(),
            facts,
        });
    }

    pub(super) fn give(&mut self, input: Input) {
        self.engine.handle(self.now, input);
        self.drain();
    }

    pub(super) fn drain(&mut self) {
        let mut changed = BTreeSet::new();
        let mut inputs = Vec::new();
        while let Some(output) = self.engine.poll_output() {
            match output {
                Output::Record(r) => {
                    // What the journal gives back is what was put in.
                    let text = serde_json::to_string(&r).unwrap();
                    let back: Record = serde_json::from_str(&text).unwrap();
                    assert_eq!(back, r);
                    self.records.push(back);
                }
                Output::Event(e) => self.events.push(e),
                Output::Answer {
                    id,
                    outcome,
                    repeated,
                } => self.answers.push((id, outcome, repeated)),
                Output::PlanAhead(plan) if self.is_planner_away => self.plans_ahead.push(*plan),
                Output::PlanAhead(plan) => inputs.push(Input::PlannedAhead(Box::new(plan.run()))),
                Output::Context(command) => inputs.extend(self.context(command)),
                Output::Install(a) if self.far.contains(&a.pep) => self.mail.push((a, false)),
                Output::Release(a) if self.far.contains(&a.pep) => self.mail.push((a, true)),
                Output::Install(a) => {
                    assert!(
                        self.connected.contains(&a.pep),
                        "an install for {} which is not there",
                        a.pep
                    );
                    let pep = self.peps.get_mut(&a.pep).unwrap();
                    pep.take(&a, false);
                    changed.insert((a.pep.clone(), a.generation));
                }
                Output::Release(a) => {
                    let pep = self.peps.get_mut(&a.pep).unwrap();
                    pep.take(&a, true);
                    changed.insert((a.pep.clone(), a.generation));
                }
            }
        }
        for input in inputs {
            self.give(input);
        }
        for (pep, generation) in changed {
            self.give(Input::Installed {
                pep: pep.clone(),
                generation,
            });
            self.report(&pep);
            self.switch(&pep);
        }
    }

    /// A PEP is told something about a contingency, and says what became of it.
    fn context(&mut self, command: ContextCommand) -> Vec<Input> {
        let told = |pep: Name, contingency, outcome| {
            let contingency = Some(contingency);
            Input::Context(ContextEvent {
                pep,
                contingency,
                outcome,
            })
        };
        match command {
            ContextCommand::Keep(contingency, a) => {
                let (pep, generation) = (a.pep.clone(), a.generation);
                self.peps
                    .get_mut(&pep)
                    .unwrap()
                    .contingencies
                    .insert(contingency, a);
                vec![told(pep, contingency, ContextOutcome::Held(generation))]
            }
            ContextCommand::Activate(contingency, a) => {
                let (pep, generation) = (a.pep.clone(), a.generation);
                self.activated.push((pep.clone(), contingency, generation));
                if self.unwilling.contains(&pep) {
                    let why = ContextOutcome::Refused("it does not".to_owned());
                    return vec![told(pep, contingency, why)];
                }
                self.peps.get_mut(&pep).unwrap().activate(contingency, &a);
                let facts = Arc::new(self.peps[&pep].facts.clone());
                vec![
                    told(pep.clone(), contingency, ContextOutcome::Active(generation)),
                    Input::Facts { pep, facts },
                ]
            }
            ContextCommand::Delete(contingency, pep) => {
                self.peps
                    .get_mut(&pep)
                    .unwrap()
                    .contingencies
                    .remove(&contingency);
                vec![told(pep, contingency, ContextOutcome::Deleted)]
            }
            ContextCommand::DeleteUnclaimed(_) => Vec::new(),
        }
    }

    /// What is on its way arrives, and is carried out; what the PEPs say to it is on its way back.
    pub(super) fn deliver(&mut self) {
        for (a, is_release) in std::mem::take(&mut self.mail) {
            self.peps.get_mut(&a.pep).unwrap().take(&a, is_release);
        }
    }

    /// What a PEP has done to power: its own host is halted, or others are started.
    fn switch(&mut self, pep: &Name) {
        let p = self.peps.get_mut(pep).unwrap();
        let (halts, started) = (std::mem::take(&mut p.halts), std::mem::take(&mut p.started));
        let boots = started.into_iter().map(|s| (self.now + 60_000, s));
        self.booting.extend(boots);
        if halts {
            self.disconnect(pep);
            self.witness(&pep.clone(), Powered::OffSeen);
        }
    }

    /// Whoever watches a server sees whether it has power.
    pub(super) fn witness(&mut self, server: &Name, powered: Powered) {
        let mut watchers = Vec::new();
        for p in self.peps.values_mut() {
            for s in &mut p.facts.servers {
                if s.name == *server && s.role == Role::Witness {
                    s.powered = powered;
                    watchers.push(p.name.clone());
                }
            }
        }
        for w in watchers
            .iter()
            .filter(|w| self.connected.contains(*w))
            .cloned()
            .collect::<Vec<_>>()
        {
            self.report(&w);
        }
    }

    fn boot(&mut self) {
        let (up, later): (Vec<_>, Vec<_>) = self.booting.drain(..).partition(|(at, _)| *at <= self.now);
        self.booting = later;
        for (_, server) in up {
            self.witness(&server, Powered::On);
            self.connect(&server);
        }
    }

    /// Lets time pass: a report of readings each 10 s, and whatever the engine asks for.
    pub(super) fn pass(&mut self, millis: u64) {
        let end = self.now + millis;
        while self.now < end {
            let next = self.engine.poll_timeout().unwrap_or(end);
            assert!(
                next > self.now,
                "at {} the engine asks for {next}, which it has just been given\n{}",
                self.now,
                self.log()
            );
            let reading = (self.now / 10_000 + 1) * 10_000;
            self.now = next.min(end).min(reading);
            if self.now.is_multiple_of(10_000) {
                self.read();
            }
            self.boot();
            self.give(Input::Tick);
        }
    }

    /// Draw of what is up and without mains, idle and running.
    fn draw_milliwatts(&self) -> u64 {
        self.connected
            .iter()
            .filter_map(|n| self.peps.get(n))
            .filter(|p| p.facts.domains.iter().any(|d| d.mains == Mains::Absent))
            .map(|p| {
                let own = |s: &&super::super::facts::ServerFact| s.role == Role::Custodian;
                let idle: u64 = p
                    .facts
                    .servers
                    .iter()
                    .filter(own)
                    .map(|s| s.idle_milliwatts)
                    .sum();
                let runs = p.facts.activities.iter().filter(|a| a.draws());
                idle + runs.map(|a| a.draw_milliwatts).sum::<u64>()
            })
            .sum()
    }

    /// Ten seconds of draw, shared by all reserves alike, and the readings that tell of it.
    pub(super) fn read(&mut self) {
        let draw = self.draw_milliwatts();
        let count: usize = self.peps.values().map(|p| p.facts.reserves.len()).sum();
        let each = draw / u64::try_from(count.max(1)).unwrap();
        let names: Vec<Name> = self.connected.iter().cloned().collect();
        for n in names {
            let pep = self.peps.get_mut(&n).unwrap();
            let mut readings = Readings::default();
            for r in &mut pep.facts.reserves {
                r.charge_millijoules = r.charge_millijoules.saturating_sub(each * 10 * 10 / 9);
                if draw == 0 {
                    r.charge_millijoules =
                        (r.charge_millijoules + r.capacity_millijoules / 50).min(r.capacity_millijoules);
                }
                readings.reserves.push(ReserveReading {
                    reserve: r.name.clone(),
                    charge_millijoules: r.charge_millijoules,
                    milliwatts: i64::try_from(each).unwrap(),
                    age_millis: 0,
                });
            }
            self.give(Input::Readings { pep: n, readings });
        }
    }

    pub(super) fn mains(&mut self, mains: Mains) {
        let names: Vec<Name> = self.connected.iter().cloned().collect();
        for n in names {
            for d in &mut self.peps.get_mut(&n).unwrap().facts.domains {
                d.mains = mains;
            }
            self.report(&n);
        }
    }

    /// Mains at every PEP, whether it is there to tell or not.
    pub(super) fn mains_everywhere(&mut self, mains: Mains) {
        for p in self.peps.values_mut() {
            for d in &mut p.facts.domains {
                d.mains = mains;
            }
        }
        self.mains(mains);
    }

    pub(super) fn state_of(&self, activity: &str) -> Vec<(String, ActivityState)> {
        self.peps
            .values()
            .flat_map(|p| &p.facts.activities)
            .filter(|a| a.name.as_str() == activity)
            .filter_map(|a| Some((a.server.to_string(), a.state?)))
            .collect()
    }

    pub(super) fn runs(&self, activity: &str) -> bool {
        self.state_of(activity)
            .iter()
            .any(|(_, s)| *s == ActivityState::Running)
    }

    pub(super) fn kinds(&self, kind: EventKind) -> Vec<&Event> {
        self.events.iter().filter(|e| e.kind == kind).collect()
    }

    pub(super) fn log(&self) -> String {
        self.events
            .iter()
            .map(|e| format!("{:>8} {:?} {}\n", e.at_millis, e.kind, e.text))
            .collect()
    }
}
