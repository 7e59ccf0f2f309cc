//! Where each activity belongs over an interruption: host, home, moves half done, and what restoration owes.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;

use power_policy::grouping::Subject;
use power_policy::model::{ActivityState, Name, Phase};
use power_policy::plan::text::Duration;
use power_policy::plan::{Plan, StepKind, Verb};

use super::Engine;
use super::event::EventKind;
use super::facts::{ActivityFact, PepFacts};
use super::state::{Record, Track};

/// What has happened to an activity, told after its record.
enum News {
    Shed,
    Restored,
    Shifted { from: Name },
}

impl Engine {
    /// Keeps the index of who reports which activity.
    pub(super) fn index_activities(
        &mut self,
        pep: &Name,
        before: Option<&PepFacts>,
        after: Option<&PepFacts>,
    ) {
        let names = |f: Option<&PepFacts>| -> BTreeSet<Name> {
            f.map(|f| f.activities.iter().map(|a| a.name.clone()).collect())
                .unwrap_or_default()
        };
        let (old, new) = (names(before), names(after));
        for name in old.difference(&new) {
            if let Some(peps) = self.activity_peps.get_mut(name) {
                peps.remove(pep);
                if peps.is_empty() {
                    self.activity_peps.remove(name);
                }
            }
        }
        for name in new.difference(&old) {
            self.activity_peps
                .entry(name.clone())
                .or_default()
                .insert(pep.clone());
        }
        self.touched.extend(old);
        self.touched.extend(new);
    }

    /// Activities with a row on these servers are looked at again.
    pub(super) fn touch_servers(&mut self, servers: &[Name]) {
        let names: Vec<Name> = self
            .peers
            .values()
            .filter_map(|p| p.facts.as_deref())
            .filter(|f| f.servers.iter().any(|s| servers.contains(&s.name)))
            .flat_map(|f| f.activities.iter().map(|a| a.name.clone()))
            .collect();
        self.touched.extend(names);
    }

    /// Rows of an activity that count.
    pub(super) fn rows_of(&self, activity: &Name) -> Vec<&ActivityFact> {
        let peps = self.activity_peps.get(activity);
        peps.into_iter()
            .flatten()
            .filter_map(|pep| Some((pep, self.peers.get(pep)?.facts.as_deref()?)))
            .flat_map(|(pep, facts)| facts.activities.iter().map(move |a| (pep, a)))
            .filter(|(pep, a)| {
                a.name == *activity && self.view.servers.get(&a.server).is_some_and(|c| c.pep == **pep)
            })
            .map(|(_, a)| a)
            .collect()
    }

    /// Whether a server is known to be without power.
    pub(super) fn is_off(&self, server: &Name) -> bool {
        let Some(custody) = self.view.servers.get(server) else {
            return false;
        };
        let fact = self
            .peers
            .get(&custody.pep)
            .and_then(|p| p.facts.as_deref())
            .and_then(|f| f.servers.iter().find(|s| s.name == *server));
        fact.is_some_and(|f| self.sources().powered(server, custody, f).is_off())
    }

    /// Takes changed reports over into the tracks, and tells what that means.
    pub(super) fn update_tracks(&mut self) {
        let mut any_shed = false;
        while let Some(name) = self.touched.pop_first() {
            let rows = self.rows_of(&name);
            let before = self.state.tracks.get(&name).cloned();
            if rows.is_empty() {
                // Nobody whose word counts reports it now. It is gone for good only when no PEP names it at all.
                self.set_alarm(&format!("double {name}"), name.as_str(), None);
                if before.is_some() && !self.activity_peps.contains_key(&name) {
                    self.record(Record::Track {
                        activity: name,
                        track: None,
                    });
                }
                continue;
            }
            let (track, news, double) = self.retrack(&rows, before.as_ref());
            let runs = rows.iter().any(|r| r.state == Some(ActivityState::Running));
            let key = format!("double {name}");
            let alarm = double.map(|on| {
                format!("{name} runs on {on} at once, and no move explains it; neither copy is touched until one stops")
            });
            self.set_alarm(&key, name.as_str(), alarm);
            // However it was started: after the interruption nothing is owed, and nothing is told.
            if runs && track.given_up.is_none() {
                self.set_alarm(&format!("lost {name}"), name.as_str(), None);
            }
            if before.as_ref() != Some(&track) {
                self.record(Record::Track {
                    activity: name.clone(),
                    track: Some(track.clone()),
                });
            }
            for n in news {
                any_shed |= matches!(n, News::Shed);
                self.tell(&name, &track, n);
            }
        }
        if any_shed {
            self.tell_ended_classes();
        }
    }

    fn retrack(&self, rows: &[&ActivityFact], before: Option<&Track>) -> (Track, Vec<News>, Option<String>) {
        let outage = self.phase() != Phase::Normal;
        let mut drawing: Vec<&ActivityFact> = rows
            .iter()
            .copied()
            .filter(|r| r.draws() && !self.is_off(&r.server))
            .collect();
        drawing.sort_by(|a, b| a.server.cmp(&b.server));
        let runs = drawing.iter().any(|r| r.state == Some(ActivityState::Running));
        let fallback = || {
            let there = rows.iter().filter(|r| r.state.is_some()).map(|r| &r.server).min();
            there.or(rows.iter().map(|r| &r.server).min())
        };
        let mut news = Vec::new();
        let mut double = None;
        let mut track = before.cloned().unwrap_or_else(|| {
            let host = drawing.first().map(|r| &r.server).or(fallback());
            // There is at least one row, so there is a host.
            let host = host.unwrap_or(&rows[0].server).clone();
            Track {
                home: host.clone(),
                host,
                was_running: false,
                shed: false,
                moving_to: None,
                given_up: None,
            }
        });
        match drawing.as_slice() {
            [] => {
                track.moving_to = None;
                if !rows.iter().any(|r| r.server == track.host)
                    && let Some(host) = fallback()
                {
                    track.host = host.clone();
                }
            }
            [only] => {
                if track.host != only.server {
                    if track.was_running && !track.shed && before.is_some() && outage {
                        news.push(News::Shifted {
                            from: track.host.clone(),
                        });
                    }
                    track.host = only.server.clone();
                    track.moving_to = None;
                } else if track.moving_to.is_some() && !self.is_taken_in(&only.name) {
                    // The receiver has it no more, and nobody is about to take it in.
                    track.moving_to = None;
                }
            }
            several => {
                let explained = track.moving_to.as_ref().is_some_and(|to| {
                    several.len() == 2 && several.iter().all(|r| r.server == *to || r.server == track.host)
                });
                if !explained {
                    let on: Vec<&str> = several.iter().map(|r| r.server.as_str()).collect();
                    double = Some(on.join(" and "));
                }
            }
        }
        if runs && track.shed {
            // Also after the interruption, when an agent that was away brings back what it was owed.
            track.shed = false;
            track.given_up = None;
            news.push(News::Restored);
        }
        if outage {
            let failed = rows
                .iter()
                .any(|r| r.server == track.host && r.state == Some(ActivityState::Failed));
            if drawing.is_empty() && track.was_running && !track.shed && !failed {
                track.shed = true;
                news.push(News::Shed);
            }
            track.was_running |= runs;
        } else if before.is_none_or(|b| b.home == b.host) {
            track.home = track.host.clone();
        }
        (track, news, double)
    }

    /// Whether a step that takes an activity in is under way.
    fn is_taken_in(&self, activity: &Name) -> bool {
        self.execution.is_under_way(
            |kind| matches!(kind, StepKind::Activity { activity: a, verb: Verb::TakeIn, .. } if a == activity),
        )
    }

    fn tell(&mut self, activity: &Name, track: &Track, news: News) {
        let host = &track.host;
        let priority = self.priority_of(activity);
        let class = priority.map_or(String::new(), |p| format!(" (class {p})"));
        match news {
            News::Shed => {
                let why = self.reason_of(activity, &[Verb::Stop]);
                let text = match why {
                    Some(why) => format!("{activity}{class} on {host} is stopped: {why}"),
                    None => format!("{activity}{class} on {host} has stopped"),
                };
                let data = json!({ "server": host, "priority": priority });
                self.event(EventKind::Shed, activity.as_str(), text, data);
            }
            News::Restored => {
                for key in ["owed", "lost"] {
                    self.set_alarm(&format!("{key} {activity}"), activity.as_str(), None);
                }
                let text = format!("{activity}{class} runs again on {host}");
                let data = json!({ "server": host, "priority": priority });
                self.event(EventKind::Restored, activity.as_str(), text, data);
            }
            News::Shifted { from } => {
                let why = self.reason_of(activity, &[Verb::TakeIn, Verb::MoveOut]);
                let why = why.map_or(String::new(), |w| format!(": {w}"));
                let text = format!("{activity}{class} has moved from {from} to {host}{why}");
                let data = json!({ "from": from, "server": host, "priority": priority });
                self.event(EventKind::Shift, activity.as_str(), text, data);
            }
        }
    }

    /// Why the plan in force does one of these with an activity.
    fn reason_of(&self, activity: &Name, verbs: &[Verb]) -> Option<String> {
        let plan = &self.state.in_force.as_ref()?.plan;
        plan.stages
            .iter()
            .flat_map(|s| &s.steps)
            .find_map(|s| match &s.kind {
                StepKind::Activity {
                    activity: a, verb, ..
                } if a == activity && verbs.contains(verb) => Some(s.reason.clone()),
                _ => None,
            })
    }

    /// Priority of the set of an activity; none for a fixed load.
    pub(super) fn priority_of(&self, activity: &Name) -> Option<u16> {
        let rows = self.rows_of(activity);
        let host = self.state.tracks.get(activity).map(|t| &t.host);
        let row = rows.iter().find(|r| Some(&r.server) == host).or(rows.first())?;
        let assigned = self.settings.grouping.assign(&subject(row));
        let set = self.settings.grouping.sets().get(assigned.set?.0 as usize)?;
        Some(set.priority)
    }

    /// An interruption begins: homes and members are those of now.
    pub(super) fn begin_tracks(&mut self) {
        let names: Vec<Name> = self.state.tracks.keys().cloned().collect();
        for name in names {
            let runs = self
                .rows_of(&name)
                .iter()
                .any(|r| r.draws() && !self.is_off(&r.server));
            let Some(mut track) = self.state.tracks.get(&name).cloned() else {
                continue;
            };
            track.was_running = runs;
            track.given_up = None;
            if !runs && !track.shed {
                track.was_running = false;
            }
            self.retain_track(&name, track);
        }
    }

    /// Activities that restoration owes a start.
    pub(super) fn owed(&self) -> impl Iterator<Item = &Name> {
        let owed = |t: &Track| t.shed && t.given_up.is_none();
        self.state
            .tracks
            .iter()
            .filter(move |(_, t)| owed(t))
            .map(|(name, _)| name)
    }

    /// Whether nobody is there who could start an activity: every server that could run it has power, as far as is
    /// known, and an agent that is away for so long that it is not just connecting again.
    pub(super) fn is_out_of_reach(&self, activity: &Name) -> bool {
        let sources = self.sources();
        let is_away = |server: &Name| {
            self.view.servers.get(server).is_some_and(|custody| {
                let peer = self.peers.get(&custody.pep);
                let just_lost = peer
                    .and_then(|p| p.lost_at)
                    .is_some_and(|at| self.now < at.saturating_add(self.settings.await_millis));
                !sources.is_reachable(&custody.pep) && !just_lost && !self.is_off(server)
            })
        };
        let rows = self.rows_of(activity);
        rows.iter().filter(|r| r.startable).all(|r| is_away(&r.server))
    }

    /// An interruption is over: nothing is owed any more, but for what waits for an agent that is away.
    pub(super) fn end_tracks(&mut self) {
        let names: Vec<Name> = self.state.tracks.keys().cloned().collect();
        let owed: BTreeSet<Name> = self.owed().cloned().collect();
        for name in names {
            let Some(mut track) = self.state.tracks.get(&name).cloned() else {
                continue;
            };
            let stays_owed = owed.contains(&name) && !self.rows_of(&name).is_empty();
            if stays_owed {
                let text = format!(
                    "{name} was stopped, and the agent that can start it again is away: it is started when that is back"
                );
                self.set_alarm(&format!("owed {name}"), name.as_str(), Some(text));
            }
            track.was_running = false;
            track.shed = stays_owed;
            track.moving_to = None;
            track.given_up = None;
            self.retain_track(&name, track);
        }
    }

    /// In quiet days, where an activity runs is its home, but for those that the plan still moves back.
    pub(super) fn settle_homes(&mut self, plan: &Plan) {
        let moving: BTreeSet<&Name> = plan
            .stages
            .iter()
            .flat_map(|s| &s.steps)
            .filter_map(|s| match &s.kind {
                StepKind::Activity {
                    activity,
                    verb: Verb::TakeIn,
                    ..
                } => Some(activity),
                _ => None,
            })
            .collect();
        let settled: Vec<(Name, Track)> = self
            .state
            .tracks
            .iter()
            .filter(|(name, t)| t.home != t.host && !moving.contains(name))
            .map(|(name, t)| {
                let home = t.host.clone();
                (name.clone(), Track { home, ..t.clone() })
            })
            .collect();
        for (name, track) in settled {
            self.retain_track(&name, track);
        }
    }

    /// Keeps a changed track.
    pub(super) fn retain_track(&mut self, activity: &Name, track: Track) {
        if self.state.tracks.get(activity) != Some(&track) {
            self.record(Record::Track {
                activity: activity.clone(),
                track: Some(track),
            });
        }
    }

    /// Members of each class at the start of the interruption, and how many of them have stopped.
    fn ended_by_class(&self) -> BTreeMap<u16, (usize, usize)> {
        let mut classes: BTreeMap<u16, (usize, usize)> = BTreeMap::new();
        for (name, track) in self.state.tracks.iter().filter(|(_, t)| t.was_running) {
            if let Some(p) = self.priority_of(name) {
                let (members, stopped) = classes.entry(p).or_default();
                *members += 1;
                *stopped += usize::from(track.shed);
            }
        }
        classes
    }

    /// After a restart: what the process before has told is not told again.
    pub(super) fn note_ended_classes(&mut self) {
        for (priority, (members, stopped)) in self.ended_by_class() {
            if stopped > 0 {
                self.ended.insert((priority, false));
            }
            if stopped == members {
                self.ended.insert((priority, true));
            }
        }
    }

    /// Tells of each class once when its first, and once when its last member has stopped.
    fn tell_ended_classes(&mut self) {
        if !matches!(self.phase(), Phase::Debounce | Phase::Interrupted) {
            return;
        }
        let Some(outage) = self.state.machine.outage(self.now) else {
            return;
        };
        let classes = self.ended_by_class();
        let elapsed = outage.elapsed_millis;
        for (priority, (members, stopped)) in classes.into_iter().rev() {
            for (last, holds, which) in [(false, stopped > 0, "first"), (true, stopped == members, "last")] {
                if holds && self.ended.insert((priority, last)) {
                    let text = format!(
                        "class {priority}: the {which} of {members} activities has stopped, after {}",
                        Duration(elapsed)
                    );
                    let data = json!({
                        "priority": priority, "member": which, "members": members, "ride_through_millis": elapsed
                    });
                    self.event(EventKind::ClassEnded, &priority.to_string(), text, data);
                }
            }
        }
    }
}

/// A reported activity as grouping sees it.
pub(super) fn subject(row: &ActivityFact) -> Subject<'_> {
    Subject {
        name: row.name.as_str(),
        data_type: &row.data_type,
        process: &row.process,
        qos_class: &row.qos_class,
        asked_set: &row.asked_set,
    }
}
