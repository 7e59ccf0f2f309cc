//! Where everything is between the stages of a plan, by the plan's own word: the state that the step-by-step checks
//! share. No electricity in here.

use super::reading::{Act, ReadStage};
use crate::model::Snapshot;
use crate::plan::{HostState, Verb};

#[derive(Debug, Clone)]
pub(super) struct Whereabouts {
    /// Servers that each activity runs on.
    pub(super) places: Vec<Vec<usize>>,
    /// Activities that run on each server.
    pub(super) residents: Vec<Vec<usize>>,
    /// Servers that are up.
    pub(super) up: Vec<bool>,
}

impl Whereabouts {
    pub(super) fn new(snapshot: &Snapshot) -> Self {
        let mut this = Self {
            places: vec![Vec::new(); snapshot.activities.len()],
            residents: vec![Vec::new(); snapshot.servers.len()],
            up: snapshot.servers.iter().map(|s| !s.powered.is_off()).collect(),
        };
        for (a, activity) in snapshot.activities.iter().enumerate() {
            if activity.draws() {
                this.enter(a, activity.host.0 as usize);
            }
            for copy in &activity.copies {
                this.enter(a, copy.0 as usize);
            }
        }
        this
    }

    pub(super) fn runs_on(&self, activity: usize, server: usize) -> bool {
        self.places[activity].contains(&server)
    }

    pub(super) fn apply(&mut self, stage: &ReadStage<'_>) {
        for act in &stage.acts {
            self.step(act);
        }
    }

    pub(super) fn step(&mut self, act: &Act) {
        match *act {
            Act::Activity {
                activity,
                server,
                verb,
                ..
            } => match verb {
                Verb::Start | Verb::TakeIn => self.enter(activity, server),
                Verb::Stop | Verb::MoveOut => self.leave(activity, server),
                Verb::Run | Verb::Cap => {}
            },
            Act::Host { server, state } => match state {
                HostState::On => self.up[server] = true,
                HostState::Off => self.up[server] = false,
                HostState::Standby => {}
            },
            Act::Divert { .. } | Act::Intake => {}
        }
    }

    fn enter(&mut self, activity: usize, server: usize) {
        if !self.runs_on(activity, server) {
            self.places[activity].push(server);
            self.residents[server].push(activity);
        }
    }

    fn leave(&mut self, activity: usize, server: usize) {
        self.places[activity].retain(|s| *s != server);
        self.residents[server].retain(|a| *a != activity);
    }
}
