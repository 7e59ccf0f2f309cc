//! The files of message Integrity while the PDP runs: keys that are read again, and the sequence numbers in use.

use std::sync::Arc;

use anyhow::{Context, Result};
use cops_codec::integrity::{KeyTable, StartNumbers, UnixTime};
use cops_codec::session::{Calendar, Moment};
use cops_codec::wire::{KaTimer, Role};

use super::clock;
use super::keys::{KeyFile, NumberFile};
use crate::config::Config;
use crate::node::{Integrity, Node, Now};

/// How far the calendar may go from the monotonic clock before sessions are told.
const CALENDAR_SLACK_MILLIS: u64 = 500;

/// The files of message Integrity.
pub(super) struct Security {
    keys: KeyFile,
    table: Arc<KeyTable>,
    calendar: Calendar,
    numbers: NumberFile,
    /// What is wrong with the file as it is now, while the keys that were read before go on.
    problem: Option<String>,
    numbers_problem: Option<String>,
}

impl Security {
    pub(super) fn begin(config: &Config, node: &mut Node, now: Now) -> Result<Option<Self>> {
        let Some(integrity) = &config.integrity else {
            return Ok(None);
        };
        let mut keys = KeyFile::new(integrity.keys.clone());
        let table = Arc::new(keys.read()?);
        let path = config.numbers_path();
        let numbers = NumberFile::open(&path).with_context(|| path.display().to_string())?;
        let calendar = calendar(now);
        node.offer_integrity(Integrity {
            required: integrity.required,
            keys: Arc::clone(&table),
            calendar,
            numbers: StartNumbers::new(Role::Pdp, numbers.kept()),
            ka_timer: KaTimer(config.cops.keep_alive_seconds),
        });
        Ok(Some(Self {
            keys,
            table,
            calendar,
            numbers,
            problem: None,
            numbers_problem: None,
        }))
    }

    /// Reads the file again if it has changed, or in any case; and looks at the calendar.
    pub(super) fn look(&mut self, node: &mut Node, now: Now, in_any_case: bool) {
        let today = calendar(now);
        let moment = Moment(now.real_millis);
        let moved = today.at(moment).0.abs_diff(self.calendar.at(moment).0);
        let mut changed = moved > CALENDAR_SLACK_MILLIS;
        if in_any_case || self.keys.has_changed() {
            match self.keys.read() {
                Ok(table) => {
                    tracing::info!("the keys were read again: {} PEPs have some", table.len());
                    self.table = Arc::new(table);
                    self.problem = None;
                    changed = true;
                }
                Err(error) => {
                    tracing::error!("{error}; the keys that were read before go on");
                    self.problem = Some(format!("the keys that were read before go on: {error}"));
                }
            }
        }
        if changed {
            self.calendar = today;
            node.set_keys(now, &self.table, today);
        }
    }

    /// Keeps what numbers were used, before what is sent shows one.
    pub(super) fn keep_numbers(&mut self, node: &Node) {
        let Some(number) = node.reserved_number() else {
            return;
        };
        match self.numbers.keep(number) {
            Ok(()) => self.numbers_problem = None,
            Err(error) => {
                let problem = format!("the sequence numbers in use cannot be kept: {error}");
                if self.numbers_problem.as_ref() != Some(&problem) {
                    tracing::error!("{problem}");
                    self.numbers_problem = Some(problem);
                }
            }
        }
    }

    pub(super) fn problems(&self) -> impl Iterator<Item = &String> {
        self.problem.iter().chain(&self.numbers_problem)
    }
}

fn calendar(now: Now) -> Calendar {
    Calendar::new(Moment(now.real_millis), UnixTime(clock::unix_millis()))
}
