//! Administrators' commands: done once each, refused whole, never against what is reported.

use std::collections::BTreeSet;

use super::signal::{Command, CommandOutcome, Event};
use super::{Commanded, Interruption};
use crate::limits::{
    MAX_COMMAND_ID_OCTETS, MAX_COMMAND_SCOPE, MAX_COMMANDED_SCOPES, MAX_COMMANDS_REMEMBERED,
};
use crate::model::{Mains, Name, Phase, Scope};

impl Interruption {
    pub(super) fn take_command(&mut self, id: String, command: Command, events: &mut Vec<Event>) {
        if id.is_empty() || id.len() > MAX_COMMAND_ID_OCTETS {
            let outcome = CommandOutcome::Refused(format!(
                "the id of a command has 1 to {MAX_COMMAND_ID_OCTETS} octets, this one has {}",
                id.len()
            ));
            events.push(Event::Command {
                id,
                outcome,
                repeated: false,
            });
            return;
        }
        if let Some((_, outcome)) = self.answered.iter().find(|(known, _)| *known == id) {
            events.push(Event::Command {
                id,
                outcome: outcome.clone(),
                repeated: true,
            });
            return;
        }
        let outcome = match self.execute(command) {
            Ok(done) => CommandOutcome::Done(done),
            Err(why) => CommandOutcome::Refused(why),
        };
        while self.answered.len() >= MAX_COMMANDS_REMEMBERED {
            self.answered.pop_front();
        }
        self.answered.push_back((id.clone(), outcome.clone()));
        self.dirty = true;
        events.push(Event::Command {
            id,
            outcome,
            repeated: false,
        });
    }

    /// Does a command; the words say what was done, or why not.
    fn execute(&mut self, command: Command) -> Result<String, String> {
        match command {
            Command::Interrupt(scope) => {
                self.check_scope(&scope)?;
                match &mut self.commanded {
                    // A real command takes the place of a drill; what the drill went through is void.
                    Some(c) if c.drill => self.begin_command(false, scope),
                    Some(c) if c.scopes.contains(&scope) => {
                        return Ok("this scope is interrupted by command already".to_owned());
                    }
                    Some(c) if c.scopes.len() >= MAX_COMMANDED_SCOPES => {
                        return Err(format!(
                            "{MAX_COMMANDED_SCOPES} scopes are interrupted by command already"
                        ));
                    }
                    Some(c) => c.scopes.push(scope),
                    None => self.begin_command(false, scope),
                }
                Ok("the scope is interrupted by command".to_owned())
            }
            Command::Drill(scope) => {
                self.check_scope(&scope)?;
                if self.commanded.is_some() || self.phase != Phase::Normal {
                    return Err("there is an interruption already; a drill wants a quiet cluster".to_owned());
                }
                self.begin_command(true, scope);
                Ok("the drill begins; every actuator is held".to_owned())
            }
            Command::Cancel => match self.commanded.take() {
                Some(c) if c.drill => Ok("the drill is over".to_owned()),
                Some(_) => Ok("the command is taken back".to_owned()),
                None => Err("no commanded interruption or drill is in force".to_owned()),
            },
            Command::Restore => self.restore(),
        }
    }

    fn restore(&mut self) -> Result<String, String> {
        if let Some(c) = self.commanded.take() {
            let mains_lost = self.servers.values().any(|s| s.mains == Mains::Absent);
            return Ok(match (c.drill, mains_lost) {
                (true, _) => "the drill is over".to_owned(),
                (false, false) => "the commanded interruption ends".to_owned(),
                (false, true) => {
                    "the commanded interruption ends; mains is absent, so that part goes on".to_owned()
                }
            });
        }
        match self.phase {
            Phase::Normal | Phase::Restoring => {
                self.move_back_at = None;
                Ok("activities may be moved back home now".to_owned())
            }
            Phase::MainsGood | Phase::Debounce | Phase::Interrupted => {
                let witnessed: Vec<&str> = self
                    .servers
                    .iter()
                    .filter(|(_, s)| s.in_scope && s.mains == Mains::Absent && !s.held)
                    .map(|(name, _)| name.as_str())
                    .collect();
                if let Some(first) = witnessed.first() {
                    return Err(format!(
                        "mains is reported absent for {} servers ({first} is one)",
                        witnessed.len()
                    ));
                }
                let now = self.now;
                let mut taken = 0usize;
                for record in self
                    .servers
                    .values_mut()
                    .filter(|s| s.in_scope && s.mains != Mains::Present)
                {
                    record.mains = Mains::Present;
                    record.since = now;
                    record.alone = false;
                    record.held = false;
                    record.silent = false;
                    record.vouched = true;
                    taken += 1;
                }
                for record in self.domains.values_mut().filter(|d| d.mains == Mains::Absent) {
                    record.mains = Mains::Present;
                    record.since = now;
                    record.by_facility = false;
                    record.reason = "an administrator took it for good".to_owned();
                }
                if taken == 0 {
                    return Err("mains is back and has to prove itself first".to_owned());
                }
                Ok(format!(
                    "the mains of {taken} servers that nobody reports is taken for good"
                ))
            }
        }
    }

    fn begin_command(&mut self, drill: bool, scope: Scope) {
        self.commanded = Some(Commanded {
            drill,
            scopes: vec![scope],
        });
    }

    /// A scope that names something unknown is refused whole: a misspelt name must not leave half a command.
    fn check_scope(&self, scope: &Scope) -> Result<(), String> {
        let (what, names) = match scope {
            Scope::Cluster => return Ok(()),
            Scope::Domains(names) => ("domain", names),
            Scope::Servers(names) => ("server", names),
        };
        if names.is_empty() {
            return Err(format!("the scope names no {what}"));
        }
        if names.len() > MAX_COMMAND_SCOPE {
            return Err(format!(
                "a scope names at most {MAX_COMMAND_SCOPE} {what}s, not {}",
                names.len()
            ));
        }
        let known_domains: BTreeSet<&Name> = match scope {
            Scope::Domains(_) => self.sites.values().flat_map(|s| &s.domains).collect(),
            _ => BTreeSet::new(),
        };
        let unknown = names.iter().find(|n| match scope {
            Scope::Domains(_) => !known_domains.contains(n),
            _ => !self.sites.contains_key(*n),
        });
        match unknown {
            Some(name) => Err(format!("there is no {what} {name}")),
            None => Ok(()),
        }
    }
}
