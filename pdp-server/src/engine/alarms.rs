//! What needs a person, for as long as it lasts.

use std::collections::BTreeMap;

use power_policy::model::Name;

use super::Engine;
use super::event::EventKind;
use super::state::Record;

/// An alarm that is up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Alarm {
    pub(super) subject: String,
    pub(super) text: String,
    pub(super) since: u64,
}

/// All that are up, by key.
#[derive(Debug, Clone, Default)]
pub(super) struct Alarms(pub(super) BTreeMap<String, Alarm>);

impl Engine {
    /// Raises, changes or clears an alarm; says so when that is news.
    pub(super) fn set_alarm(&mut self, key: &str, subject: &str, text: Option<String>) {
        let known = self.alarms.0.get(key);
        match text {
            Some(text) => {
                if known.is_some_and(|a| a.text == text) {
                    return;
                }
                let since = known.map_or(self.now, |a| a.since);
                let alarm = Alarm {
                    subject: subject.to_owned(),
                    text: text.clone(),
                    since,
                };
                self.alarms.0.insert(key.to_owned(), alarm);
                self.record(Record::Alarm {
                    subject: subject.to_owned(),
                    text: text.clone(),
                });
                self.event(EventKind::Alarm, subject, text, serde_json::Value::Null);
            }
            None => {
                if let Some(alarm) = self.alarms.0.remove(key) {
                    let text = format!("no longer: {}", alarm.text);
                    self.record(Record::AlarmCleared {
                        subject: alarm.subject.clone(),
                        text: alarm.text.clone(),
                    });
                    self.event(
                        EventKind::AlarmCleared,
                        &alarm.subject,
                        text,
                        serde_json::Value::Null,
                    );
                }
            }
        }
    }

    /// A PEP is no part of the cluster any more, nor is what was wrong with it.
    pub(super) fn clear_alarms_of(&mut self, pep: &Name) {
        for kind in ["held", "overdue", "refusal", "witness"] {
            self.set_alarm(&format!("{kind} {pep}"), pep.as_str(), None);
        }
    }

    /// Makes the alarms whose keys begin with `prefix` exactly these: key without prefix, subject, text.
    pub(super) fn set_alarms(&mut self, prefix: &str, wanted: Vec<(String, String, String)>) {
        let keys: Vec<String> = wanted.iter().map(|(k, _, _)| format!("{prefix}{k}")).collect();
        let gone: Vec<String> = self
            .alarms
            .0
            .range(prefix.to_owned()..)
            .map(|(k, _)| k.clone())
            .take_while(|k| k.starts_with(prefix))
            .filter(|k| !keys.contains(k))
            .collect();
        for key in gone {
            self.set_alarm(&key, "", None);
        }
        for (key, (_, subject, text)) in keys.iter().zip(wanted) {
            self.set_alarm(key, &subject, Some(text));
        }
    }

    /// Alarms that follow from custody and from what runs at a scaled clock.
    pub(super) fn view_alarms(&mut self) {
        let mut wanted: Vec<(String, String, String)> = self
            .view
            .objections
            .iter()
            .map(|(subject, text)| (text.clone(), subject.clone(), text.clone()))
            .collect();
        if self.settings.scale != 1 {
            let real = self
                .peers
                .values()
                .filter_map(|p| p.facts.as_deref())
                .flat_map(|f| {
                    let servers = f.servers.iter().filter(|s| !s.simulated).map(|s| &s.name);
                    let reserves = f.reserves.iter().filter(|r| !r.simulated).map(|r| &r.name);
                    let lines = f.lines.iter().filter(|l| !l.simulated).map(|l| &l.name);
                    servers.chain(reserves).chain(lines)
                });
            for name in real {
                let text = format!(
                    "{name} is real, and the clock runs {} times as fast as the world: it is not touched",
                    self.settings.scale
                );
                wanted.push((format!("real {name}"), name.to_string(), text));
            }
        }
        wanted.truncate(crate::limits::MAX_ALARMS_SHOWN);
        self.set_alarms("view ", wanted);
    }
}
