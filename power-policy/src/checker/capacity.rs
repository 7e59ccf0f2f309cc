//! Processor and memory: at all times what runs on a server and what is on its way to it fit together (invariant 6).

use std::collections::BTreeSet;

use super::reading::{Act, Reading};
use super::violation::{Findings, Invariant};
use super::whereabouts::Whereabouts;
use crate::model::Snapshot;
use crate::plan::Verb;

pub(super) fn check(snapshot: &Snapshot, reading: &Reading<'_>, findings: &mut Findings) {
    let mut state = Whereabouts::new(snapshot);
    let mut used = vec![(0u64, 0u64); snapshot.servers.len()];
    for (a, places) in state.places.iter().enumerate() {
        for s in places {
            add(&mut used[*s], snapshot, a);
        }
    }
    for stage in &reading.central {
        // What comes in comes before anything of the same stage has left: they work at the same time.
        let mut receivers = BTreeSet::new();
        for act in &stage.acts {
            let Act::Activity {
                activity,
                server,
                verb: Verb::TakeIn | Verb::Start,
                ..
            } = *act
            else {
                continue;
            };
            if !state.runs_on(activity, server) {
                add(&mut used[server], snapshot, activity);
                receivers.insert(server);
                state.step(act);
            }
        }
        for s in receivers {
            let (server, (cpu, memory)) = (&snapshot.servers[s], used[s]);
            if cpu > server.cpu_millicores || memory > server.memory_mebibytes {
                findings.add(
                    Invariant::Capacity,
                    Some(stage.stage.order),
                    &server.name,
                    format!(
                        "{cpu} of {} millicores and {memory} of {} MiB with what it takes in",
                        server.cpu_millicores, server.memory_mebibytes
                    ),
                );
            }
        }
        for act in &stage.acts {
            if let Act::Activity {
                activity,
                server,
                verb: Verb::Stop | Verb::MoveOut,
                ..
            } = *act
                && state.runs_on(activity, server)
            {
                let model = &snapshot.activities[activity];
                used[server].0 = used[server].0.saturating_sub(model.cpu_millicores);
                used[server].1 = used[server].1.saturating_sub(model.memory_mebibytes);
                state.step(act);
            }
        }
    }
}

fn add(used: &mut (u64, u64), snapshot: &Snapshot, activity: usize) {
    let model = &snapshot.activities[activity];
    used.0 = used.0.saturating_add(model.cpu_millicores);
    used.1 = used.1.saturating_add(model.memory_mebibytes);
}
