//! Divert lines: who is joined to whom, and the changes that take time.

use super::config::{Changeover, LineConfig, LineMode};
use super::event::PlantEventKind;
use super::{Plant, PlantError, limits};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// A line and its state.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Line {
    pub(super) name: Arc<str>,
    pub(super) config: Arc<LineConfig>,
    /// Member reserves, sorted.
    pub(super) reserves: Vec<usize>,
    /// Member servers, sorted.
    pub(super) servers: Vec<usize>,
    /// A fault hook: it no longer follows commands.
    pub(super) stuck: bool,
    /// It failed to follow a command.
    pub(super) fault: bool,
    /// When a command that it does not follow would have been done.
    pub(super) fault_due: Option<u64>,
    /// Power at its input now, in milliwatts.
    pub(super) input: u64,
}

/// A reserve given to a server through a line. Ordered by server first: what feeds a server lies together.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Setting {
    pub(super) server: usize,
    pub(super) line: usize,
    pub(super) reserve: usize,
    /// Power that may pass, at the line's input, in milliwatts.
    pub(super) cap: u64,
    pub(super) phase: Phase,
    /// Power at the line's output now, in milliwatts.
    pub(super) flow: u64,
    /// Power at its input now, in milliwatts.
    pub(super) input: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Not yet connected.
    Joining {
        due: u64,
    },
    Joined,
    /// Being taken off; `live`: it still carries.
    Leaving {
        due: u64,
        live: bool,
    },
}

impl Setting {
    pub(super) fn key(&self) -> (usize, usize, usize) {
        (self.server, self.line, self.reserve)
    }

    pub(super) fn is_live(&self) -> bool {
        matches!(self.phase, Phase::Joined | Phase::Leaving { live: true, .. })
    }

    fn is_leaving(&self) -> bool {
        matches!(self.phase, Phase::Leaving { .. })
    }

    pub(super) fn due(&self) -> Option<u64> {
        match self.phase {
            Phase::Joining { due } | Phase::Leaving { due, .. } => Some(due),
            Phase::Joined => None,
        }
    }
}

/// State of a line (POWER-DIVERT-PIB, pwrLineState).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LineState {
    /// Nothing is joined.
    Open,
    /// At least one reserve is joined to a server.
    Closed,
    /// A change is under way.
    Moving,
    /// It did not follow its last command.
    Fault,
}

impl Plant {
    /// Gives `reserve` to `server` through `line`, up to `milliwatts` at the line's input; 0 takes the pair off.
    ///
    /// A new pair is joined after the line's switching time; another cap on a pair that is joined holds at once. On
    /// an exclusive line the pair that was joined is taken off, in the way its changeover says.
    ///
    /// # Errors
    /// Unknown names, no members of the line, or more than the line's watts, the server's fan-in or the reserve's
    /// fan-out.
    pub fn set_line(
        &mut self,
        line: &str,
        reserve: &str,
        server: &str,
        milliwatts: u64,
    ) -> Result<(), PlantError> {
        let (l, r, s) = self.pair(line, reserve, server)?;
        if milliwatts == 0 {
            return self.clear_line(line, Some((reserve, server)));
        }
        let config = Arc::clone(&self.lines[l].config);
        if milliwatts > config.max_milliwatts {
            return Err(PlantError::OverLimit {
                what: format!("milliwatts through line {line:?}"),
                wanted: milliwatts,
                limit: config.max_milliwatts,
            });
        }
        let replaces = config.mode == LineMode::Exclusive;
        self.check_fans(l, r, s, replaces)?;
        if self.settings.len() >= limits::MAX_SETTINGS {
            let limit = limits::MAX_SETTINGS as u64;
            return Err(PlantError::OverLimit {
                what: "line settings".into(),
                wanted: limit + 1,
                limit,
            });
        }
        let due = self.now + config.switch_millis;
        if self.lines[l].stuck {
            self.lines[l].fault_due.get_or_insert(due);
        } else {
            if replaces {
                self.take_off(l, |setting| (setting.reserve, setting.server) != (r, s));
            }
            self.join(l, r, s, milliwatts, due);
        }
        self.command_done();
        Ok(())
    }

    /// Takes a pair off a line, or everything that is joined to it.
    ///
    /// # Errors
    /// Unknown names, or no members of the line.
    pub fn clear_line(&mut self, line: &str, pair: Option<(&str, &str)>) -> Result<(), PlantError> {
        let (l, pair) = match pair {
            Some((reserve, server)) => {
                let (l, r, s) = self.pair(line, reserve, server)?;
                (l, Some((r, s)))
            }
            None => (self.line_index(line)?, None),
        };
        if self.lines[l].stuck {
            let due = self.now + self.lines[l].config.switch_millis;
            self.lines[l].fault_due.get_or_insert(due);
        } else {
            self.take_off(l, |setting| {
                pair.is_none_or(|pair| pair == (setting.reserve, setting.server))
            });
        }
        self.command_done();
        Ok(())
    }

    /// A fault hook: a stuck line follows no command until it is freed, and says so after its switching time.
    ///
    /// # Errors
    /// Unknown line.
    pub fn set_line_stuck(&mut self, line: &str, stuck: bool) -> Result<(), PlantError> {
        let l = self.line_index(line)?;
        self.lines[l].stuck = stuck;
        if !stuck {
            self.lines[l].fault = false;
            self.lines[l].fault_due = None;
        }
        self.command_done();
        Ok(())
    }

    fn pair(&self, line: &str, reserve: &str, server: &str) -> Result<(usize, usize, usize), PlantError> {
        let l = self.line_index(line)?;
        let (r, s) = (self.reserve_index(reserve)?, self.server_index(server)?);
        let stranger = |kind, name: &str| {
            Err(PlantError::NotMember {
                kind,
                name: name.to_owned(),
                line: line.to_owned(),
            })
        };
        if self.lines[l].reserves.binary_search(&r).is_err() {
            return stranger("reserve", reserve);
        }
        if self.lines[l].servers.binary_search(&s).is_err() {
            return stranger("server", server);
        }
        Ok((l, r, s))
    }

    /// Fan-in and fan-out count what is joined or being joined; what the same command takes off does not count.
    fn check_fans(&self, l: usize, r: usize, s: usize, replaces: bool) -> Result<(), PlantError> {
        let goes = |setting: &Setting| setting.is_leaving() || (replaces && setting.line == l);
        let stays = |setting: &&Setting| !goes(setting);
        let over = |what: String, mut others: Vec<usize>, limit: u32| {
            others.sort_unstable();
            others.dedup();
            let wanted = others.len() as u64 + 1;
            if limit > 0 && wanted > u64::from(limit) {
                return Err(PlantError::OverLimit {
                    what,
                    wanted,
                    limit: u64::from(limit),
                });
            }
            Ok(())
        };
        let fan_in = self.servers[s].config.fan_in;
        if fan_in > 0 {
            let fed_by = |setting: &&Setting| setting.server == s && setting.reserve != r;
            let others = self
                .settings
                .iter()
                .filter(stays)
                .filter(fed_by)
                .map(|setting| setting.reserve);
            over(
                format!("reserves that feed server {:?}", self.servers[s].name),
                others.collect(),
                fan_in,
            )?;
        }
        let fan_out = self.reserves[r].config.fan_out;
        if fan_out > 0 {
            let feeds = |setting: &&Setting| setting.reserve == r && setting.server != s;
            let others = self
                .settings
                .iter()
                .filter(stays)
                .filter(feeds)
                .map(|setting| setting.server);
            over(
                format!("servers fed by reserve {:?}", self.reserves[r].name),
                others.collect(),
                fan_out,
            )?;
        }
        Ok(())
    }

    fn join(&mut self, l: usize, r: usize, s: usize, cap: u64, due: u64) {
        let now = self.now;
        let fresh = if due == now {
            Phase::Joined
        } else {
            Phase::Joining { due }
        };
        let done = match self.settings.binary_search_by_key(&(s, l, r), Setting::key) {
            Ok(at) => {
                let setting = &mut self.settings[at];
                setting.cap = cap;
                setting.phase = match setting.phase {
                    // Not yet taken off: it stays joined.
                    Phase::Leaving { live: true, .. } => Phase::Joined,
                    Phase::Leaving { live: false, .. } => fresh,
                    phase => phase,
                };
                setting.phase == Phase::Joined
            }
            Err(at) => {
                let setting = Setting {
                    server: s,
                    line: l,
                    reserve: r,
                    cap,
                    phase: fresh,
                    flow: 0,
                    input: 0,
                };
                self.settings.insert(at, setting);
                fresh == Phase::Joined
            }
        };
        if done {
            self.tell_moved(l, r, s, cap);
        }
    }

    /// Begins to take off those settings of a line that `which` picks.
    fn take_off(&mut self, l: usize, which: impl Fn(&Setting) -> bool) {
        let config = Arc::clone(&self.lines[l].config);
        let due = self.now + config.switch_millis;
        let live = config.changeover == Changeover::Parallel;
        let mut gone = Vec::new();
        self.settings.retain_mut(|setting| {
            if setting.line != l || setting.is_leaving() || !which(setting) {
                return true;
            }
            // What never carried can be let go at once.
            if setting.phase == Phase::Joined && due > self.now {
                setting.phase = Phase::Leaving { due, live };
                return true;
            }
            gone.push(setting.key());
            false
        });
        for (s, l, r) in gone {
            self.tell_moved(l, r, s, 0);
        }
    }

    /// Finishes the changes that are due.
    pub(super) fn finish_switching(&mut self) {
        let now = self.now;
        let mut moved = Vec::new();
        let lines = &mut self.lines;
        self.settings.retain_mut(|setting| {
            if setting.due().is_none_or(|due| due > now) {
                return true;
            }
            let stuck = lines[setting.line].stuck;
            if stuck {
                lines[setting.line].fault_due = Some(now);
            }
            let (keep, cap) = match setting.phase {
                Phase::Joining { .. } => (!stuck, setting.cap),
                Phase::Leaving { live, .. } => (stuck && live, 0),
                Phase::Joined => (true, setting.cap),
            };
            if keep {
                setting.phase = Phase::Joined;
            }
            if !stuck {
                moved.push((setting.key(), cap));
            }
            keep
        });
        for ((s, l, r), cap) in moved {
            self.tell_moved(l, r, s, cap);
        }
        for line in &mut self.lines {
            if line.fault_due.is_some_and(|due| due <= now) {
                line.fault_due = None;
                line.fault = true;
                self.events.push(
                    now,
                    PlantEventKind::LineFault {
                        line: Arc::clone(&line.name),
                    },
                );
            }
        }
    }

    fn tell_moved(&mut self, l: usize, r: usize, s: usize, milliwatts: u64) {
        let line = Arc::clone(&self.lines[l].name);
        let reserve = Arc::clone(&self.reserves[r].name);
        let server = Arc::clone(&self.servers[s].name);
        self.events.push(
            self.now,
            PlantEventKind::LineMoved {
                line,
                reserve,
                server,
                milliwatts,
            },
        );
    }
}
