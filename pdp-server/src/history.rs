//! What the journal tells of the past: interruptions, commands with who gave them and when, plans with their causes,
//! alarms. Pure: rows of the journal in, [`History`] out.

use std::collections::VecDeque;

use power_policy::model::{Cause, Scope};
use power_policy::plan::text::Duration;
use serde::Deserialize;

use crate::api::{Happening, History, HistoryEntry, InterruptionHistory};

/// Kinds of records that are history for people.
pub const KINDS: [&str; 9] = [
    "started",
    "interruption_began",
    "interruption_ended",
    "audit",
    "plan",
    "activated",
    "released",
    "alarm",
    "alarm_cleared",
];

/// A record as far as it is told; the rest of it (a plan's snapshot) is skipped without being kept.
#[derive(Deserialize)]
#[serde(tag = "record", rename_all = "snake_case")]
enum Told {
    Started {
        term: u64,
    },
    InterruptionBegan {
        id: String,
        cause: Cause,
        scope: Scope,
    },
    InterruptionEnded {
        id: String,
    },
    Audit {
        unix_millis: u64,
        by: String,
        command: String,
        id: String,
        #[serde(default)]
        answer: Option<String>,
    },
    /// Also one that was held ready, of which nothing was objected to when it was made.
    #[serde(alias = "activated")]
    Plan {
        in_force: PlanTold,
        #[serde(default)]
        violations: Vec<String>,
    },
    Released {
        generation: u64,
        stage: u32,
    },
    Alarm {
        subject: String,
        text: String,
    },
    AlarmCleared {
        subject: String,
        text: String,
    },
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
struct PlanTold {
    generation: u64,
    plan: PlanParts,
}

#[derive(Deserialize)]
struct PlanParts {
    cause: Cause,
    scope: Scope,
    stages: Vec<StageParts>,
}

#[derive(Deserialize)]
struct StageParts {
    local: bool,
    steps: Vec<serde::de::IgnoredAny>,
}

/// Reads rows, oldest first.
#[derive(Debug, Default)]
pub struct Teller {
    history: History,
    /// The interruption that goes on.
    current: Option<String>,
    /// Commands that were asked and not answered: places in the entries.
    open: VecDeque<usize>,
}

impl Teller {
    /// Takes one row in.
    ///
    /// # Errors
    /// It is not understood; what was taken before stays.
    pub fn take(&mut self, seq: u64, unix_millis: u64, body: &str) -> Result<(), serde_json::Error> {
        let mut unix_millis = unix_millis;
        let what = match serde_json::from_str(body)? {
            Told::Started { term } => Happening::Started { term },
            Told::InterruptionBegan { id, cause, scope } => {
                self.history.interruptions.push(InterruptionHistory {
                    id: id.clone(),
                    began_unix_millis: Some(unix_millis),
                    ended_unix_millis: None,
                    cause: Some(cause),
                    scope: Some(scope.clone()),
                    plans: 0,
                    commands: 0,
                });
                self.current = Some(id);
                Happening::InterruptionBegan { cause, scope }
            }
            Told::InterruptionEnded { id } => {
                self.interruption(&id).ended_unix_millis = Some(unix_millis);
                self.push(seq, unix_millis, Some(id), Happening::InterruptionEnded);
                self.current = None;
                return Ok(());
            }
            Told::Audit {
                unix_millis: at,
                by,
                command,
                id,
                answer,
            } => {
                if answer.is_some() && self.fill_in(&id, &by, &answer) {
                    return Ok(());
                }
                unix_millis = at;
                if answer.is_none() {
                    self.open.push_back(self.history.entries.len());
                }
                if let Some(current) = self.current.clone() {
                    self.interruption(&current).commands += 1;
                }
                Happening::Command {
                    id,
                    by,
                    command,
                    answer,
                }
            }
            Told::Plan { in_force, violations } => {
                if let Some(current) = self.current.clone() {
                    self.interruption(&current).plans += 1;
                }
                let central = || in_force.plan.stages.iter().filter(|s| !s.local);
                Happening::Plan {
                    generation: in_force.generation,
                    cause: in_force.plan.cause,
                    stages: central().count(),
                    steps: central().map(|s| s.steps.len()).sum(),
                    scope: in_force.plan.scope,
                    violations,
                }
            }
            Told::Released { generation, stage } => Happening::Released { generation, stage },
            Told::Alarm { subject, text } => Happening::Alarm { subject, text },
            Told::AlarmCleared { subject, text } => Happening::AlarmCleared { subject, text },
            Told::Other => return Ok(()),
        };
        let interruption = self.current.clone();
        self.push(seq, unix_millis, interruption, what);
        Ok(())
    }

    /// What was told.
    pub fn finish(self) -> History {
        self.history
    }

    fn push(&mut self, seq: u64, unix_millis: u64, interruption: Option<String>, what: Happening) {
        self.history.entries.push(HistoryEntry {
            seq,
            unix_millis,
            interruption,
            what,
        });
    }

    /// One of which the beginning may be before what was read.
    fn interruption(&mut self, id: &str) -> &mut InterruptionHistory {
        let list = &mut self.history.interruptions;
        let at = list.iter().rposition(|i| i.id == id).unwrap_or_else(|| {
            list.push(InterruptionHistory {
                id: id.to_owned(),
                began_unix_millis: None,
                ended_unix_millis: None,
                cause: None,
                scope: None,
                plans: 0,
                commands: 0,
            });
            list.len() - 1
        });
        &mut list[at]
    }

    /// Gives the oldest unanswered command of this id and person its answer; whether there is one.
    fn fill_in(&mut self, id: &str, by: &str, said: &Option<String>) -> bool {
        let entries = &mut self.history.entries;
        let is_it = |at: &usize| {
            matches!(&entries.get(*at).map(|e| &e.what),
                Some(Happening::Command { id: i, by: b, .. }) if i == id && b == by)
        };
        let Some(place) = self.open.iter().position(is_it) else {
            return false;
        };
        let found = self.open.remove(place).and_then(|at| entries.get_mut(at));
        if let Some(HistoryEntry {
            what: Happening::Command { answer, .. },
            ..
        }) = found
        {
            answer.clone_from(said);
        }
        true
    }
}

impl std::fmt::Display for Happening {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Started { term } => write!(f, "the PDP started with term {term}"),
            Self::InterruptionBegan { cause, scope } => {
                write!(
                    f,
                    "interruption began: {}, {}",
                    cause_words(*cause),
                    scope_words(scope)
                )
            }
            Self::InterruptionEnded => f.write_str("interruption ended"),
            Self::Command {
                id,
                by,
                command,
                answer,
            } => {
                let answer = answer.as_deref().unwrap_or("no answer is kept");
                write!(f, "{by} commanded '{command}' ({id}): {answer}")
            }
            Self::Plan {
                generation,
                cause,
                scope,
                stages,
                steps,
                violations,
            } => {
                write!(
                    f,
                    "plan {generation}: {}, {}, {stages} stages, {steps} steps",
                    cause_words(*cause),
                    scope_words(scope)
                )?;
                match violations.first() {
                    Some(first) => write!(f, "; THE CHECKER OBJECTED: {first}"),
                    None => Ok(()),
                }
            }
            Self::Released { generation, stage } => write!(f, "stage {stage} of plan {generation} released"),
            Self::Alarm { subject, text } => write!(f, "ALARM {subject}: {text}"),
            Self::AlarmCleared { subject, text } => write!(f, "alarm cleared, {subject}: {text}"),
        }
    }
}

impl InterruptionHistory {
    /// How long it took; `None`: it goes on, or its beginning is not known.
    pub fn millis(&self) -> Option<u64> {
        Some(self.ended_unix_millis?.saturating_sub(self.began_unix_millis?))
    }

    /// In words: cause, scope, how long.
    pub fn words(&self) -> [String; 3] {
        let lasted = match (self.millis(), self.ended_unix_millis) {
            (Some(millis), _) => Duration(millis).to_string(),
            (None, None) => "goes on".to_owned(),
            (None, Some(_)) => "?".to_owned(),
        };
        [
            self.cause.map_or("?", cause_words).to_owned(),
            self.scope.as_ref().map_or_else(|| "?".to_owned(), scope_words),
            lasted,
        ]
    }
}

fn cause_words(cause: Cause) -> &'static str {
    match cause {
        Cause::Standing => "quiet days",
        Cause::ServerMains => "a server lost its mains",
        Cause::DomainMains => "a domain lost its mains",
        Cause::Command => "commanded",
        Cause::Drill => "drill",
        Cause::Restoration => "restoration",
    }
}

fn scope_words(scope: &Scope) -> String {
    let list = |what: &str, names: &[power_policy::model::Name]| {
        const SHOWN: usize = 4;
        let shown: Vec<&str> = names.iter().take(SHOWN).map(|n| n.as_str()).collect();
        let more = match names.len().saturating_sub(SHOWN) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        format!("{what} {}{more}", shown.join(", "))
    };
    match scope {
        Scope::Cluster => "cluster".to_owned(),
        Scope::Domains(names) => list("domain", names),
        Scope::Servers(names) => list("server", names),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(rows: &[&str]) -> History {
        let mut teller = Teller::default();
        for (at, row) in (1..).zip(rows) {
            teller.take(at, at * 1_000, row).unwrap();
        }
        teller.finish()
    }

    #[test]
    fn commands_have_their_answers_and_interruptions_what_happened_in_them() {
        let asked = r#"{"record":"audit","unix_millis":2500,"by":"token anna","command":"interrupt cluster","id":"x"}"#;
        let other = asked.replace("anna", "otto");
        let answered = asked.replace("\"id\"", "\"answer\":\"done: yes\",\"id\"");
        let history = told(&[
            r#"{"record":"started","term":4,"boot_id":"b","scale":1,"offset_millis":0}"#,
            asked,
            &other,
            r#"{"record":"interruption_began","id":"4-1","cause":"command","scope":"cluster"}"#,
            &answered,
            r#"{"record":"interruption_ended","id":"4-1"}"#,
        ]);
        let lines: Vec<String> = history.entries.iter().map(|e| e.what.to_string()).collect();
        assert_eq!(
            lines,
            [
                "the PDP started with term 4",
                "token anna commanded 'interrupt cluster' (x): done: yes",
                "token otto commanded 'interrupt cluster' (x): no answer is kept",
                "interruption began: commanded, cluster",
                "interruption ended",
            ]
        );
        assert_eq!(history.entries[1].unix_millis, 2_500);
        assert_eq!(history.interruptions.len(), 1);
        assert_eq!(history.interruptions[0].millis(), Some(2_000));
        assert_eq!(history.entries[4].interruption.as_deref(), Some("4-1"));
    }

    #[test]
    fn an_interruption_whose_beginning_is_forgotten_is_told_as_far_as_it_is_known() {
        let history = told(&[
            r#"{"record":"joined","line":"l","pairs":[]}"#,
            r#"{"record":"interruption_ended","id":"2-9"}"#,
        ]);
        assert_eq!(history.interruptions[0].words(), ["?", "?", "?"]);
        assert_eq!(history.entries.len(), 1);
    }
}
