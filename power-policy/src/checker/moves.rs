//! What is done with each activity: only where it runs, only where it may, each thing once, and a move never lets go
//! before the receiver has it (invariants 6, 16, 17, 23).

use super::reading::{Act, Reading};
use super::violation::{Findings, Invariant};
use super::whereabouts::Whereabouts;
use crate::model::{Cause, Mains, Powered, Snapshot};
use crate::plan::{Plan, Verb};

/// Moves of one activity in one plan: one to consolidate, one to hop on.
const MOST_MOVES: u32 = 2;

struct Counts {
    stops: Vec<u32>,
    moves: Vec<u32>,
}

pub(super) fn check(snapshot: &Snapshot, plan: &Plan, reading: &Reading<'_>, findings: &mut Findings) {
    let mut state = Whereabouts::new(snapshot);
    let mut counts = Counts {
        stops: vec![0; snapshot.activities.len()],
        moves: vec![0; snapshot.activities.len()],
    };
    for stage in &reading.central {
        let order = stage.stage.order;
        // As it was when the stage was released: results of the stage itself are not in.
        let before = &state;
        for act in &stage.acts {
            if let Act::Activity {
                activity,
                server,
                verb,
                peer,
                ..
            } = *act
            {
                let step = ActivityStep {
                    snapshot,
                    order,
                    activity,
                    server,
                    peer,
                    restoring: plan.cause == Cause::Restoration,
                };
                step.permitted(verb, findings);
                match verb {
                    Verb::Stop => step.stop(before, &mut counts, findings),
                    Verb::MoveOut => step.move_out(before, findings),
                    Verb::TakeIn => step.take_in(before, &mut counts, findings),
                    Verb::Start => step.start(before, &counts, findings),
                    Verb::Run | Verb::Cap => {}
                }
            }
        }
        state.apply(stage);
    }
}

struct ActivityStep<'a> {
    snapshot: &'a Snapshot,
    order: u32,
    activity: usize,
    server: usize,
    peer: Option<usize>,
    restoring: bool,
}

impl ActivityStep<'_> {
    fn find(&self, findings: &mut Findings, invariant: Invariant, detail: String) {
        let name = &self.snapshot.activities[self.activity].name;
        findings.add(invariant, Some(self.order), name, detail);
    }

    fn name(&self, server: usize) -> &str {
        self.snapshot.servers[server].name.as_str()
    }

    fn permitted(&self, verb: Verb, findings: &mut Findings) {
        let (model, server) = (
            &self.snapshot.activities[self.activity],
            &self.snapshot.servers[self.server],
        );
        if verb == Verb::Run {
            return;
        }
        if !model.is_touchable() || !server.armed {
            self.find(
                findings,
                Invariant::Unarmed,
                format!(
                    "{verb:?} on {}: armed {}, in a set {}, state {:?}, server armed {}",
                    server.name,
                    model.armed,
                    model.set.is_some(),
                    model.state,
                    server.armed
                ),
            );
        }
        if server.powered == Powered::Unreachable {
            self.find(
                findings,
                Invariant::UnknownState,
                format!(
                    "{verb:?} on {}, which cannot be reached ({} ms silent)",
                    server.name, server.age_millis
                ),
            );
        }
    }

    fn stop(&self, state: &Whereabouts, counts: &mut Counts, findings: &mut Findings) {
        counts.stops[self.activity] += 1;
        if counts.stops[self.activity] > 1 {
            let count = counts.stops[self.activity];
            self.find(findings, Invariant::Once, format!("stopped {count} times"));
        } else if !state.runs_on(self.activity, self.server) {
            self.find(
                findings,
                Invariant::Once,
                format!(
                    "stopped on {}, where it does not run then",
                    self.name(self.server)
                ),
            );
        }
    }

    fn move_out(&self, state: &Whereabouts, findings: &mut Findings) {
        if !state.runs_on(self.activity, self.server) {
            self.find(
                findings,
                Invariant::Once,
                format!(
                    "moved out of {}, where it does not run then",
                    self.name(self.server)
                ),
            );
        }
        let elsewhere = state.places[self.activity].iter().any(|s| match self.peer {
            Some(peer) => *s == peer,
            None => *s != self.server,
        });
        if !elsewhere {
            let peer = self
                .peer
                .map_or("another server".to_owned(), |p| self.name(p).to_owned());
            self.find(
                findings,
                Invariant::Move,
                format!("{} lets go before {peer} has taken it in", self.name(self.server)),
            );
        }
    }

    fn take_in(&self, state: &Whereabouts, counts: &mut Counts, findings: &mut Findings) {
        let model = &self.snapshot.activities[self.activity];
        counts.moves[self.activity] += 1;
        if counts.moves[self.activity] > MOST_MOVES {
            self.find(
                findings,
                Invariant::Once,
                format!(
                    "moved {} times, at most {MOST_MOVES}",
                    counts.moves[self.activity]
                ),
            );
        }
        if !model.movable {
            self.find(findings, Invariant::Move, "it is not movable".to_owned());
        }
        if counts.stops[self.activity] > 0 {
            self.find(
                findings,
                Invariant::Once,
                "taken in after it was stopped".to_owned(),
            );
        }
        self.receiver(state, findings);
        // Nobody knows whether it still runs there.
        let lost_sight = state.places[self.activity]
            .iter()
            .find(|s| self.snapshot.servers[**s].powered == Powered::Unreachable);
        if let Some(s) = lost_sight {
            self.find(
                findings,
                Invariant::UnknownState,
                format!(
                    "copied to {} while it may still run on {}, which cannot be reached",
                    self.name(self.server),
                    self.name(*s)
                ),
            );
        }
    }

    fn start(&self, state: &Whereabouts, counts: &Counts, findings: &mut Findings) {
        if let Some(s) = state.places[self.activity].first() {
            self.find(
                findings,
                Invariant::Once,
                format!(
                    "started on {} while it runs on {}",
                    self.name(self.server),
                    self.name(*s)
                ),
            );
        }
        if counts.stops[self.activity] > 0 {
            self.find(
                findings,
                Invariant::Once,
                "stopped and started in one plan".to_owned(),
            );
        }
        let host = &self.snapshot.servers[self.server];
        if !self.restoring && host.mains != Mains::Present {
            self.find(
                findings,
                Invariant::Restoration,
                format!(
                    "started on {}, whose mains is {:?}, before the restoration",
                    host.name, host.mains
                ),
            );
        }
        self.receiver(state, findings);
    }

    /// Only a server that is up, known and able to run it may get it.
    fn receiver(&self, state: &Whereabouts, findings: &mut Findings) {
        let model = &self.snapshot.activities[self.activity];
        let host = &self.snapshot.servers[self.server];
        let able = model.startable_on.iter().any(|s| s.0 as usize == self.server);
        if !able {
            self.find(
                findings,
                Invariant::Move,
                format!(
                    "{} cannot start it; {} servers can",
                    host.name,
                    model.startable_on.len()
                ),
            );
        }
        if !state.up[self.server] {
            self.find(
                findings,
                Invariant::Move,
                format!("{} is not up then (powered: {:?})", host.name, host.powered),
            );
        }
        if matches!(host.mains, Mains::Unknown | Mains::Unstable) {
            self.find(
                findings,
                Invariant::UnknownState,
                format!(
                    "nothing may rest on {}, whose mains is {:?}",
                    host.name, host.mains
                ),
            );
        }
    }
}
