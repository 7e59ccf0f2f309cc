//! What a node keeps over a restart: the rows that it holds, and what it has done of them.

use cops_codec::client_type::Row;
use cops_codec::client_type::store::InstalledRows;
use cops_codec::provisioning::binding::Bindings;
use cops_codec::wire::{ClientHandle, PdpAddress};
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;

use super::context::{Context, ContextKey};
use super::{Node, Now};
use crate::engine::{Memory, Millis};
use crate::limits::MAX_CONTEXTS;
use crate::translate::plan;

/// Version of this form. 2 has contingencies; 1, which has none, is read too.
const FORMAT: u32 = 2;

/// What is kept. Rows and handle are octets of the wire, in hexadecimal: what was taken is what is held.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Saved {
    /// Version of this form.
    pub format: u32,
    /// Instant of the engine's clock at which it was made.
    pub saved_at_millis: Millis,
    /// Handle of the base context, if it was ever asked for.
    pub handle: Option<String>,
    /// Rows that the PDP installed, PRID and EPD each.
    pub rows: Vec<String>,
    /// Rows of the plan that goes on while `rows` has but a part of the next; empty otherwise.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub overtaken: Vec<String>,
    /// Contingencies that the PDP had opened.
    #[serde(default)]
    pub contingencies: Vec<SavedContext>,
    /// The PDP whose complete set of decisions this is.
    pub last_pdp: Option<SocketAddr>,
    /// The highest term that was ever held.
    pub highest_term: u64,
    /// What the engine must not do twice.
    pub memory: Memory,
}

/// A contingency that is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SavedContext {
    /// Its handle.
    pub handle: String,
    /// Its rows, as [`Saved::rows`].
    pub rows: Vec<String>,
}

/// Why what was saved cannot be held again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RestoreError {
    /// Written by another version.
    #[error("format {found}, expected 1 or {FORMAT}")]
    Format {
        /// The format found.
        found: u32,
    },
    /// Not hexadecimal, or not a row.
    #[error("{what}: {problem}")]
    Octets {
        /// Handle or row.
        what: String,
        /// What is wrong.
        problem: String,
    },
}

/// What tells whether something changed since the last save, without making one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Revision {
    engine: u64,
    rows: u64,
    handles: usize,
    last_pdp: Option<PdpAddress>,
    highest_term: u64,
}

impl Node {
    fn revision(&self) -> Revision {
        Revision {
            engine: self.engine.revision(),
            rows: self.contexts.revision(),
            handles: self
                .contexts
                .iter()
                .filter(|(_, context)| context.handle.is_some())
                .count(),
            last_pdp: self.last_pdp,
            highest_term: self.highest_term,
        }
    }

    /// What is to be kept on disk before anything more leaves; `None` if nothing changed since the last call.
    pub fn unsaved(&mut self, now: Now) -> Option<Saved> {
        let revision = self.revision();
        if self.saved == Some(revision) {
            return None;
        }
        self.saved = Some(revision);
        Some(Saved {
            format: FORMAT,
            saved_at_millis: now.engine,
            handle: self
                .contexts
                .base()
                .handle
                .as_ref()
                .map(|handle| hex(handle.as_bytes())),
            rows: hex_rows(self.contexts.base()),
            overtaken: self.overtaken.iter().map(|row| hex(&row.to_vec())).collect(),
            contingencies: self
                .contexts
                .iter()
                .filter(|(key, _)| *key != ContextKey::BASE)
                .filter_map(|(_, context)| {
                    Some(SavedContext {
                        handle: hex(context.handle.as_ref()?.as_bytes()),
                        rows: hex_rows(context),
                    })
                })
                .collect(),
            last_pdp: self.last_pdp.map(PdpAddress::to_socket_addr),
            highest_term: self.highest_term,
            memory: self.engine.memory(),
        })
    }

    pub(super) fn restore(&mut self, saved: &Saved) -> Result<(), RestoreError> {
        if !(1..=FORMAT).contains(&saved.format) {
            return Err(RestoreError::Format { found: saved.format });
        }
        self.restore_context(ContextKey::BASE, saved.handle.as_deref(), &saved.rows)?;
        for kept in saved.contingencies.iter().take(MAX_CONTEXTS - 1) {
            let key = self.contexts.open();
            self.restore_context(key, Some(&kept.handle), &kept.rows)?;
        }
        self.last_pdp = saved.last_pdp.map(|address| PdpAddress {
            address: address.ip(),
            port: address.port(),
        });
        let held = self
            .contexts
            .iter()
            .map(|(_, context)| context.highest().term)
            .max();
        self.highest_term = saved.highest_term.max(held.unwrap_or(0));
        let overtaken = decode_rows(&saved.overtaken)?;
        if let Some(key) = self.contexts.active()
            && let Some(context) = self.contexts.get(key)
        {
            let before = match context.is_whole() {
                false if !overtaken.is_empty() => Some(self.installed(overtaken.clone())?),
                _ => None,
            };
            let installed = before.as_ref().unwrap_or(&context.installed);
            if let Some(in_force) = installed.in_force() {
                let plan = plan::held_plan(&in_force);
                self.enforced = Some((key, plan.generation, in_force.plan().digest));
                self.engine.restore(plan, &saved.memory);
                self.overtaken = before.map_or_else(Vec::new, |_| overtaken);
            }
        }
        self.follow_links(None);
        self.reporting.hold_back();
        self.saved = Some(self.revision());
        Ok(())
    }

    fn installed(&self, rows: Vec<Row>) -> Result<InstalledRows, RestoreError> {
        InstalledRows::restore(self.config.row_limits, rows).map_err(|errors| RestoreError::Octets {
            what: "rows together".to_owned(),
            problem: errors.first().map_or_else(String::new, ToString::to_string),
        })
    }

    fn restore_context(
        &mut self,
        key: ContextKey,
        handle: Option<&str>,
        kept: &[String],
    ) -> Result<(), RestoreError> {
        let rows = decode_rows(kept)?;
        if let Some(text) = handle {
            let fail = || RestoreError::Octets {
                what: "handle".to_owned(),
                problem: "not hexadecimal".to_owned(),
            };
            let handle = ClientHandle(unhex(text).ok_or_else(fail)?.into());
            if let Some(context) = self.contexts.get_mut(key) {
                context.handle = Some(handle);
            }
        }
        if !rows.is_empty() {
            let installed = self.installed(rows)?;
            self.contexts.put(key, installed);
        }
        Ok(())
    }
}

fn decode_rows(kept: &[String]) -> Result<Vec<Row>, RestoreError> {
    let mut rows = Vec::new();
    for (index, text) in kept.iter().enumerate() {
        let fail = |problem: String| RestoreError::Octets {
            what: format!("row {index}"),
            problem,
        };
        let octets = unhex(text).ok_or_else(|| fail("not hexadecimal".to_owned()))?;
        for binding in Bindings::new(&octets, 0) {
            let binding = binding.map_err(|error| fail(error.to_string()))?;
            rows.push(
                Row::decode(&binding)
                    .map_err(|error| fail(error.to_string()))?
                    .row,
            );
        }
    }
    Ok(rows)
}

fn hex_rows(context: &Context) -> Vec<String> {
    let rows = context.installed.rows();
    rows.iter().map(|row| hex(&row.to_vec())).collect()
}

fn hex(octets: &[u8]) -> String {
    use std::fmt::Write;
    octets
        .iter()
        .fold(String::with_capacity(octets.len() * 2), |mut text, octet| {
            // Writing to a String cannot fail.
            let _ = write!(text, "{octet:02x}");
            text
        })
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(2) || !text.is_ascii() {
        return None;
    }
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(text.get(at..at + 2)?, 16).ok())
        .collect()
}
