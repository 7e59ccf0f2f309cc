//! Tells others of events (`[[notify]]`), by webhook or by a program.
//!
//! Each of them reads the log of events at its own pace, as a stream of the admin API does: nothing is queued for it, the log
//! is bounded, and neither the engine nor another one waits. Who is too slow, or away for too long, is told how many events it
//! has missed. An attempt is bounded in time; it is repeated after 1, 2, 4, ... seconds, at most a minute, and given up after
//! as many attempts as the file says. Events keep their order.

mod webhook;

use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::Serialize;
use tokio::io::AsyncWriteExt;
use tokio::task::JoinHandle;

use super::admin::{EventLog, EventReader, NextEvent};
use crate::api::Event;
use crate::config::{Notify, NotifyTo};

/// The first pause between two attempts; each further one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// What is told: JSON.
#[derive(Debug, Serialize)]
struct Notification<'a> {
    /// Name of the PDP.
    pdp: &'a str,
    /// What happened.
    #[serde(skip_serializing_if = "Option::is_none")]
    event: Option<&'a Event>,
    /// Events that were missed.
    #[serde(skip_serializing_if = "Option::is_none")]
    missed: Option<u64>,
}

/// Why an attempt failed.
#[derive(Debug, thiserror::Error)]
enum Failure {
    /// It may go better next time.
    #[error("{0}")]
    Passing(String),
    /// It will not.
    #[error("{0}")]
    Lasting(String),
}

impl Failure {
    fn passing(error: impl std::fmt::Display) -> Self {
        Self::Passing(error.to_string())
    }
}

/// Those who are told, with what goes wrong.
#[derive(Debug, Default)]
pub(super) struct Notifying {
    tasks: Vec<JoinHandle<()>>,
    problems: Vec<(String, Arc<Mutex<Option<String>>>)>,
}

impl Notifying {
    /// Begins: from now on.
    pub(super) fn begin(pdp: &str, list: &[Notify], events: &EventLog) -> Self {
        let mut this = Self::default();
        for notify in list {
            let problem = Arc::default();
            let reader = events.reader(None);
            this.problems.push((notify.name.clone(), Arc::clone(&problem)));
            this.tasks.push(tokio::spawn(tell_all(
                pdp.to_owned(),
                notify.clone(),
                reader,
                problem,
            )));
        }
        this
    }

    /// Who could not be told of the last event, and why.
    pub(super) fn problems(&self) -> impl Iterator<Item = String> {
        self.problems.iter().filter_map(|(name, problem)| {
            let problem = problem.lock().unwrap_or_else(PoisonError::into_inner);
            problem
                .as_ref()
                .map(|problem| format!("'{name}' ([[notify]]) cannot be told: {problem}"))
        })
    }

    /// Waits until all that has happened is told, for so long at most.
    pub(super) async fn end(self, patience: Duration) {
        let all = async {
            for task in &mut { self.tasks } {
                let _ = task.await;
            }
        };
        let _ = tokio::time::timeout(patience, all).await;
    }
}

async fn tell_all(pdp: String, notify: Notify, mut reader: EventReader, problem: Arc<Mutex<Option<String>>>) {
    // Ends with the log.
    while let Some(next) = reader.next().await {
        let notification = match &next {
            NextEvent::Event(event) if !notify.kinds.contains(&event.kind) => continue,
            NextEvent::Event(event) => Notification {
                pdp: &pdp,
                event: Some(event),
                missed: None,
            },
            NextEvent::Lost(missed) => Notification {
                pdp: &pdp,
                event: None,
                missed: Some(*missed),
            },
        };
        // A notification has no part that JSON could not say.
        let body = serde_json::to_vec(&notification).unwrap_or_default();
        let told = tell(&notify, &body, notification.event).await;
        let failure = told.err().map(|failure| failure.to_string());
        if let Some(failure) = &failure {
            tracing::error!(to = %notify.name, %failure, "an event could not be told, and is given up");
        }
        *problem.lock().unwrap_or_else(PoisonError::into_inner) = failure;
    }
}

/// Tries until it is told, or given up.
async fn tell(notify: &Notify, body: &[u8], event: Option<&Event>) -> Result<(), Failure> {
    let mut pause = FIRST_PAUSE;
    for attempt in 1.. {
        let patience = Duration::from_millis(notify.timeout_millis);
        let once = async {
            match &notify.to {
                NotifyTo::Command(words) => run(words, body, event).await,
                NotifyTo::Webhook {
                    authority,
                    path,
                    authorities,
                    token,
                } => webhook::post(authority, path, authorities.as_deref(), token.as_deref(), body).await,
            }
        };
        let failure = match tokio::time::timeout(patience, once).await {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(failure)) => failure,
            Err(_) => Failure::Passing(format!("it took longer than {} s", patience.as_secs())),
        };
        if attempt >= notify.attempts || matches!(failure, Failure::Lasting(_)) {
            return Err(failure);
        }
        tracing::warn!(to = %notify.name, %failure, attempt, "an event could not be told yet");
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
    Ok(())
}

/// Runs a program, which is killed when its time is up.
async fn run(words: &[String], body: &[u8], event: Option<&Event>) -> Result<(), Failure> {
    let Some((program, arguments)) = words.split_first() else {
        return Err(Failure::Lasting("there is no program".to_owned()));
    };
    let mut command = tokio::process::Command::new(program);
    command
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true);
    if let Some(event) = event {
        let kind = serde_json::to_value(event.kind).ok();
        command
            .env(
                "PDP_EVENT_KIND",
                kind.as_ref().and_then(|k| k.as_str()).unwrap_or_default(),
            )
            .env("PDP_EVENT_SUBJECT", &event.subject)
            .env("PDP_EVENT_TEXT", &event.text)
            .env(
                "PDP_EVENT_INTERRUPTION",
                event.interruption.as_deref().unwrap_or_default(),
            );
    }
    let mut child = command
        .spawn()
        .map_err(|error| Failure::Passing(format!("{program}: {error}")))?;
    if let Some(mut input) = child.stdin.take() {
        // A program need not read it.
        let _ = input.write_all(body).await;
    }
    let status = child.wait().await.map_err(Failure::passing)?;
    if status.success() {
        return Ok(());
    }
    Err(Failure::Passing(format!("{program} ended with {status}")))
}
