//! The journal against damaged files, full disks, second PDPs and kill -9.

mod crash;
mod damage;
mod failing;
mod formats;
mod keeping;
mod opening;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tempfile::TempDir;

use super::*;
use crate::config::{OnUnreadable, PeerPolicy};
use crate::engine::facts::PepFacts;
use crate::engine::fixture::{name, node};
use crate::engine::state::State;
use crate::engine::{Engine, Input, Output, Recovery, Settings};
use power_policy::grouping::{Grouping, GroupingPolicy, Qos, Target};
use power_policy::interruption::{Command, Interruption};
use power_policy::model::{PowerPolicy, Scope};

fn folder() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.sqlite");
    (folder, path)
}

fn batch(records: Vec<Record>) -> Batch {
    Batch {
        engine_millis: 1_000,
        records,
    }
}

fn started(term: u64) -> Record {
    Record::Started {
        term,
        boot_id: "this-boot".to_owned(),
        scale: 5,
        offset_millis: -42,
        policy: None,
    }
}

fn raised(term: u64, generation: u64) -> Record {
    Record::Raised { term, generation }
}

fn checkpoint(generation: u64) -> Record {
    let config = power_policy::interruption::Config::new(&PowerPolicy::default(), BTreeMap::new());
    let mut state = State::new(Interruption::new(config));
    state.generation = generation;
    Record::Checkpoint {
        state: Box::new(state),
        after_failure: false,
    }
}

fn open(path: &Path) -> Result<Opened, StoreError> {
    SqliteStore::open(path, OnUnreadable::Refuse)
}

/// A journal with these records, closed again.
fn make(path: &Path, records: Vec<Record>) {
    let mut opened = open(path).unwrap();
    opened.store.append(&batch(records)).unwrap();
}

fn settings() -> Settings {
    let qos = |n: &str, priority, seconds: u64| Qos {
        name: name(n),
        priority,
        weight: 1,
        target: Target::Millis(seconds * 1000),
    };
    let grouping = GroupingPolicy {
        qos: vec![qos("gold", 900, 1800), qos("bronze", 100, 0)],
        ..GroupingPolicy::default()
    };
    Settings {
        policy: PowerPolicy::default(),
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
        checker: Arc::new(|_, _, _| Vec::new()),
        digester: Box::new(|_| [7; 32]),
    }
}

/// What an engine journals over a commanded interruption of two nodes, and the state that follows from it.
fn an_interruption() -> (Vec<Record>, State) {
    let mut engine = Engine::new(
        settings(),
        0,
        Recovery {
            boot_id: "this-boot".to_owned(),
            ..Recovery::default()
        },
    );
    let mut records = Vec::new();
    let mut drain = |engine: &mut Engine, now: u64| {
        while let Some(output) = engine.poll_output() {
            match output {
                Output::Record(record) => records.push(record),
                Output::Install(a) => {
                    let (pep, generation) = (a.pep, a.generation);
                    engine.handle(now, Input::Installed { pep, generation });
                }
                _ => {}
            }
        }
    };
    let reports: Vec<(&str, PepFacts)> = vec![
        ("n1", node("n1", "feed-a", &[("db", "gold"), ("batch", "bronze")])),
        ("n2", node("n2", "feed-a", &[("report", "bronze")])),
    ];
    for (pep, facts) in reports {
        let pep = name(pep);
        engine.handle(
            10,
            Input::Opened {
                pep: pep.clone(),
                address: String::new(),
            },
        );
        engine.handle(
            20,
            Input::Facts {
                pep,
                facts: Arc::new(facts),
            },
        );
    }
    engine.handle(
        5_000,
        Input::Command {
            id: "x".to_owned(),
            command: Command::Interrupt(Scope::Cluster),
        },
    );
    for now in (5_000..60_000).step_by(500) {
        engine.handle(now, Input::Tick);
        drain(&mut engine, now);
    }
    let mut state = State::new(engine.state().machine.clone());
    for record in &records {
        state.apply(record);
    }
    (records, state)
}
