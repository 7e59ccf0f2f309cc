//! What the interruption machine says, and what follows from it.

use power_policy::interruption::{self, Signal};
use power_policy::model::{Mains, Name, Phase};

use super::event::EventKind;
use super::state::Record;
use super::{Engine, Output};

impl Engine {
    pub(super) fn command(&mut self, id: String, command: interruption::Command) {
        self.settle_view();
        let events = self
            .state
            .machine
            .handle(self.now, [Signal::Command { id, command }]);
        self.machine_events(events);
    }

    /// What the interruption machine says.
    pub(super) fn machine_events(&mut self, events: Vec<interruption::Event>) {
        let mut keep = false;
        for event in events {
            match event {
                interruption::Event::Phase { from, to, reason } => {
                    keep = true;
                    self.phase_changed(from, to, &reason);
                }
                interruption::Event::Domain {
                    domain,
                    mains,
                    reason,
                } => self.domain_changed(&domain, mains, &reason),
                interruption::Event::ScopeGrew { servers } => {
                    keep = true;
                    let text = format!(
                        "the interruption covers {}: {}",
                        counted(servers.len(), "more server"),
                        list(&servers)
                    );
                    self.event(
                        EventKind::Interruption,
                        "",
                        text,
                        serde_json::json!({ "grew": servers }),
                    );
                    self.want_plan_now("the interruption covers more servers");
                }
                interruption::Event::ScopeShrank { servers } => {
                    keep = true;
                    let text = format!(
                        "mains is back for {}: {}",
                        counted(servers.len(), "server"),
                        list(&servers)
                    );
                    self.event(
                        EventKind::Interruption,
                        "",
                        text,
                        serde_json::json!({ "shrank": servers }),
                    );
                    self.want_plan(0, "the interruption covers fewer servers");
                }
                interruption::Event::Command {
                    id,
                    outcome,
                    repeated,
                } => {
                    keep |= !repeated;
                    if !repeated {
                        let text = format!("command {id}: {outcome}");
                        self.event(EventKind::Command, &id, text, serde_json::Value::Null);
                    }
                    self.outputs.push_back(Output::Answer {
                        id,
                        outcome,
                        repeated,
                    });
                }
                // Told with all that the PEP says.
                interruption::Event::ReportIgnored { .. } => {}
                interruption::Event::MoveBackAllowed => {
                    keep = true;
                    self.want_plan_later(0, "activities may move back home");
                }
            }
        }
        if keep {
            let machine = Box::new(self.state.machine.clone());
            // An answer must not be given before it is kept: the record goes in front of the answers.
            self.record(Record::Machine { machine });
            self.put_answers_last();
        }
    }

    /// Moves answers behind all records of this call.
    pub(super) fn put_answers_last(&mut self) {
        let (answers, others): (Vec<Output>, Vec<Output>) = self
            .outputs
            .drain(..)
            .partition(|o| matches!(o, Output::Answer { .. }));
        self.outputs.extend(others);
        self.outputs.extend(answers);
    }

    pub(super) fn domain_changed(&mut self, domain: &Name, mains: Mains, reason: &str) {
        let (kind, words) = match mains {
            Mains::Absent => (EventKind::MainsLost, "lost its mains"),
            Mains::Present => (EventKind::MainsBack, "has mains"),
            Mains::Unstable => (EventKind::MainsBack, "has mains again, which must prove itself"),
            Mains::Unknown => (EventKind::Alarm, "is not known to have mains or not"),
        };
        let text = format!("domain {domain} {words}: {reason}");
        self.event(kind, domain.as_str(), text, serde_json::json!({ "mains": mains }));
    }

    pub(super) fn phase_changed(&mut self, from: Phase, to: Phase, reason: &str) {
        let words = match to {
            Phase::Normal => "the interruption is over",
            Phase::Debounce => "a first sign of an interruption: lines at once, nothing is stopped yet",
            Phase::Interrupted => "the interruption is in force",
            Phase::MainsGood => "mains is back and must prove itself",
            Phase::Restoring => "everything is being brought back, the most important first",
        };
        if from == Phase::Normal {
            self.name_interruption();
        }
        let data = serde_json::json!({ "from": from, "to": to });
        self.event(EventKind::Interruption, "", format!("{words}: {reason}"), data);
        if from == Phase::Normal {
            self.begin_interruption();
        }
        if to == Phase::Normal {
            self.end_interruption();
        }
        // In MainsGood nothing new is begun: what is in force stands.
        if to != Phase::MainsGood {
            self.want_plan_now(reason);
        }
    }

    /// Before anything is said of it.
    fn name_interruption(&mut self) {
        let Some(outage) = self.state.machine.outage(self.now) else {
            return;
        };
        self.record(Record::InterruptionBegan {
            id: format!("{}-{}", self.state.term, self.state.interruptions + 1),
            cause: outage.cause,
            scope: outage.scope,
        });
    }

    pub(super) fn begin_interruption(&mut self) {
        self.settle_view();
        self.begin_gathering();
        self.ended.clear();
        self.low.clear();
        self.meter.begin();
        self.keep_metered();
        self.begin_tracks();
    }

    pub(super) fn end_interruption(&mut self) {
        self.tell_metered();
        self.keep_metered();
        if !self.state.failures.0.is_empty() {
            self.record(Record::Forgiven);
        }
        self.end_tracks();
        self.ahead.look_soon(self.now);
        if let Some(id) = self.state.interruption.clone() {
            self.record(Record::InterruptionEnded { id });
        }
    }
}

/// A handful of names for a line of text.
pub(super) fn list(names: &[Name]) -> String {
    const SHOWN: usize = 6;
    let mut text = names
        .iter()
        .take(SHOWN)
        .map(|n| n.as_str())
        .collect::<Vec<_>>()
        .join(", ");
    if names.len() > SHOWN {
        text.push_str(&format!(" and {} more", names.len() - SHOWN));
    }
    text
}

/// A number of things.
fn counted(number: usize, thing: &str) -> String {
    format!("{number} {thing}{}", if number == 1 { "" } else { "s" })
}
