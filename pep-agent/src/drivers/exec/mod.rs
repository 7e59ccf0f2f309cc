//! Things behind a program of the operator's: it is run once for each question, reads the question as a line of JSON on
//! its standard input, and answers with a line of JSON on its standard output ([`protocol`]; docs/exec-drivers.md tells
//! it to whoever writes one). A program that ends with another status than 0 has failed, and what it wrote on its
//! standard error is why.
//!
//! The program knows the device; the agent knows the plan. After every action the agent reads back, and says done only
//! when what was read is what was wanted.

mod activity;
#[cfg(test)]
mod example_tests;
mod host;
mod line;
pub mod protocol;
mod reserve;
#[cfg(test)]
mod tests;

use std::time::Duration;

use power_policy::model::Name;
use serde::de::DeserializeOwned;
use tokio::time::{Instant, sleep};

pub use activity::ExecActivity;
pub use host::ExecHost;
pub use line::ExecLine;
pub use reserve::ExecReserve;

use self::protocol::{Acted, Question, VERSION, Verb};
use super::ReadError;
use super::program::{ProgramError, ask};
use crate::engine::ActionOutcome;

/// How often a thing that is on its way is looked at.
const LOOK: Duration = Duration::from_millis(100);

/// The operator's program for one thing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExecProgram {
    /// Program and arguments; no shell reads them.
    pub argv: Vec<String>,
    /// How long a question may take.
    pub limit: Duration,
}

#[derive(Debug, thiserror::Error)]
enum ExecError {
    #[error(transparent)]
    Program(#[from] ProgramError),
    #[error("{program} ended with {status}: {complaint}")]
    Status {
        program: String,
        status: std::process::ExitStatus,
        complaint: String,
    },
    #[error("{program} answered {answer:?}: {problem}")]
    Answer {
        program: String,
        answer: String,
        problem: String,
    },
}

impl ExecProgram {
    async fn ask<A: DeserializeOwned>(&self, verb: Verb<'_>, limit: Duration) -> Result<A, ExecError> {
        let question = Question {
            version: VERSION,
            verb,
        };
        let program = self.argv.first().cloned().unwrap_or_default();
        let mut text = serde_json::to_string(&question).map_err(|error| ExecError::Answer {
            program: program.clone(),
            answer: String::new(),
            problem: error.to_string(),
        })?;
        text.push('\n');
        let ended = ask(&self.argv, text, limit).await?;
        if !ended.status.success() {
            return Err(ExecError::Status {
                program,
                status: ended.status,
                complaint: if ended.complaint.is_empty() {
                    "it does not say why".to_owned()
                } else {
                    ended.complaint
                },
            });
        }
        let answer = ended.answer.unwrap_or_default();
        serde_json::from_str(&answer).map_err(|error| ExecError::Answer {
            program,
            // Enough of it to know it by.
            answer: answer.chars().take(80).collect(),
            problem: error.to_string(),
        })
    }

    async fn read<A: DeserializeOwned>(&self, verb: Verb<'_>) -> Result<A, ReadError> {
        self.ask(verb, self.limit)
            .await
            .map_err(|error| ReadError(error.to_string()))
    }

    /// Has something done, and reads back until it is so, is not on its way any more, or `limit` is over.
    async fn act<A: DeserializeOwned>(
        &self,
        verb: Verb<'_>,
        look: Verb<'_>,
        limit: Duration,
        judge: impl Fn(&A) -> ReadBack,
    ) -> ActionOutcome {
        let end = Instant::now() + limit;
        // Done already: doing it again would be wear.
        if let Ok(reading) = self.ask::<A>(look.clone(), self.limit).await
            && judge(&reading) == ReadBack::Done
        {
            return ActionOutcome::Done("so already".to_owned());
        }
        let reason = match self.ask::<Acted>(verb, limit).await {
            Ok(Acted::Done { reason }) => reason,
            Ok(Acted::Failed { reason }) => return ActionOutcome::Failed(reason),
            Ok(Acted::Refused { reason }) => return ActionOutcome::Refused(reason),
            Err(error) => return ActionOutcome::Failed(error.to_string()),
        };
        let left = end.saturating_duration_since(Instant::now());
        match self.settle(look, left, judge).await {
            None => ActionOutcome::Done(reason),
            Some(problem) => ActionOutcome::Failed(problem),
        }
    }

    /// Looks until it is so, is not on its way any more, or `limit` is over. What is wrong in the end.
    async fn settle<A: DeserializeOwned>(
        &self,
        look: Verb<'_>,
        limit: Duration,
        judge: impl Fn(&A) -> ReadBack,
    ) -> Option<String> {
        let end = Instant::now() + limit;
        loop {
            match self.ask::<A>(look.clone(), self.limit).await {
                Err(error) => return Some(format!("read back: {error}")),
                Ok(reading) => match judge(&reading) {
                    ReadBack::Done => return None,
                    ReadBack::Otherwise(found) => {
                        return Some(format!("the program says done, and {found}"));
                    }
                    ReadBack::OnItsWay if Instant::now() >= end => {
                        return Some("its time is over, and it is still on its way".to_owned());
                    }
                    ReadBack::OnItsWay => sleep(LOOK).await,
                },
            }
        }
    }
}

/// What a look after an action says.
#[derive(Debug, PartialEq, Eq)]
enum ReadBack {
    Done,
    OnItsWay,
    Otherwise(String),
}

fn name(text: &str, what: &str) -> Result<Name, ReadError> {
    Name::new(text).map_err(|error| ReadError(format!("{what} {text:?}: {error}")))
}
