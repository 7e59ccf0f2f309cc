//! Administrators' commands on their way: who waits for which answer, and what the journal keeps of them.

use std::collections::{HashMap, VecDeque};

use power_policy::interruption::CommandOutcome;

use super::admin::Reply;
use crate::api::{CommandAnswer, Problem};
use crate::engine::state::Record;
use crate::limits;

/// A command as it was asked.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    pub(super) id: String,
    pub(super) by: String,
    /// What, in words.
    pub(super) words: String,
}

#[derive(Default)]
pub(super) struct Commands {
    /// Those who wait for the answer to a command of one id.
    waiting: HashMap<String, Vec<(Asked, Reply)>>,
    /// Answers that leave once the audit is kept.
    ready: Vec<(Reply, Result<CommandAnswer, Problem>)>,
    audit: Vec<Record>,
    /// Commands about availability, which the engine does not know, by their ids; the oldest first.
    known: VecDeque<CommandAnswer>,
}

impl Commands {
    /// Something was asked. The record goes in front of what follows from it.
    pub(super) fn asked(&mut self, asked: Asked, reply: Reply, unix_millis: u64) {
        self.audit.push(record(&asked, None, unix_millis));
        let waiting = self.waiting.entry(asked.id.clone()).or_default();
        waiting.push((asked, reply));
    }

    /// The engine's answer to all who sent a command of this id.
    pub(super) fn answered(&mut self, id: &str, outcome: &CommandOutcome, repeated: bool, unix_millis: u64) {
        let (done, text) = match outcome {
            CommandOutcome::Done(text) => (true, text),
            CommandOutcome::Refused(text) => (false, text),
        };
        for (asked, reply) in self.waiting.remove(id).unwrap_or_default() {
            let answer = CommandAnswer {
                id: id.to_owned(),
                done,
                text: text.clone(),
                repeated,
            };
            self.audit.push(record(&asked, Some(words(&answer)), unix_millis));
            self.ready.push((reply, Ok(answer)));
        }
    }

    /// A command that was answered at once.
    pub(super) fn done(
        &mut self,
        asked: Asked,
        answer: Result<CommandAnswer, Problem>,
        reply: Reply,
        unix_millis: u64,
    ) {
        let text = match &answer {
            Ok(answer) => words(answer),
            Err(problem) => format!("refused: {}", problem.error),
        };
        self.audit.push(record(&asked, Some(text), unix_millis));
        if let Some(answer) = answer
            .as_ref()
            .ok()
            .filter(|answer| answer.done && !answer.repeated)
        {
            if self.known.len() >= limits::MAX_AVAILABILITY_COMMANDS_KEPT {
                self.known.pop_front();
            }
            self.known.push_back(answer.clone());
        }
        self.ready.push((reply, answer));
    }

    /// The answer to a command about availability that was done before.
    pub(super) fn known(&self, id: &str) -> Option<CommandAnswer> {
        let found = self.known.iter().find(|answer| answer.id == id)?;
        Some(CommandAnswer {
            repeated: true,
            ..found.clone()
        })
    }

    /// What the journal has to keep.
    pub(super) fn take_audit(&mut self) -> Vec<Record> {
        std::mem::take(&mut self.audit)
    }

    /// Lets the answers out. An asker that is gone does not want its own.
    pub(super) fn reply(&mut self) {
        for (reply, answer) in self.ready.drain(..) {
            let _ = reply.send(answer);
        }
    }
}

fn words(answer: &CommandAnswer) -> String {
    let outcome = if answer.done { "done" } else { "refused" };
    let again = if answer.repeated { ", as before" } else { "" };
    format!("{outcome}{again}: {}", answer.text)
}

fn record(asked: &Asked, answer: Option<String>, unix_millis: u64) -> Record {
    Record::Audit {
        unix_millis,
        by: asked.by.clone(),
        command: asked.words.clone(),
        id: asked.id.clone(),
        answer,
    }
}
