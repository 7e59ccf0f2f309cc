//! What a node keeps over a restart: the rows that it holds, and what it has done of them.

use cops_codec::client_type::Row;
use cops_codec::client_type::power::Plan;
use cops_codec::client_type::store::InstalledRows;
use cops_codec::provisioning::binding::Bindings;
use cops_codec::wire::{ClientHandle, PdpAddress};
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;

use super::{Node, Now};
use crate::engine::{Memory, Millis};
use crate::translate::plan;

/// Version of this form; another one is not read.
const FORMAT: u32 = 1;

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
    /// The PDP whose complete set of decisions this is.
    pub last_pdp: Option<SocketAddr>,
    /// The highest term that was ever held.
    pub highest_term: u64,
    /// What the engine must not do twice.
    pub memory: Memory,
}

/// Why what was saved cannot be held again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RestoreError {
    /// Written by another version.
    #[error("format {found}, expected {FORMAT}")]
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
    has_handle: bool,
    last_pdp: Option<PdpAddress>,
    highest_term: u64,
}

impl Node {
    fn revision(&self) -> Revision {
        Revision {
            engine: self.engine.revision(),
            rows: self.base.revision(),
            has_handle: self.base.handle.is_some(),
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
            handle: self.base.handle.as_ref().map(|handle| hex(handle.as_bytes())),
            rows: self
                .base
                .installed
                .rows()
                .iter()
                .map(|row| hex(&row.to_vec()))
                .collect(),
            last_pdp: self.last_pdp.map(PdpAddress::to_socket_addr),
            highest_term: self.highest_term,
            memory: self.engine.memory(),
        })
    }

    pub(super) fn restore(&mut self, saved: &Saved) -> Result<(), RestoreError> {
        if saved.format != FORMAT {
            return Err(RestoreError::Format { found: saved.format });
        }
        let mut rows = Vec::new();
        for (index, text) in saved.rows.iter().enumerate() {
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
        if let Some(text) = &saved.handle {
            let fail = || RestoreError::Octets {
                what: "handle".to_owned(),
                problem: "not hexadecimal".to_owned(),
            };
            self.base.handle = Some(ClientHandle(unhex(text).ok_or_else(fail)?.into()));
        }
        if !rows.is_empty() {
            self.base.installed = InstalledRows::restore(self.config.row_limits, rows).map_err(|errors| {
                let problem = errors.first().map_or_else(String::new, ToString::to_string);
                RestoreError::Octets {
                    what: "rows together".to_owned(),
                    problem,
                }
            })?;
        }
        self.last_pdp = saved.last_pdp.map(|address| PdpAddress {
            address: address.ip(),
            port: address.port(),
        });
        let held = self
            .base
            .installed
            .rows()
            .only::<Plan>()
            .map_or(0, |plan| plan.term);
        self.highest_term = saved.highest_term.max(held);
        if self.base.is_active()
            && let Some(in_force) = self.base.installed.in_force()
        {
            let plan = plan::held_plan(&in_force);
            self.base.enforced = Some((plan.generation, in_force.plan().digest));
            self.engine.restore(plan, &saved.memory);
        }
        self.saved = Some(self.revision());
        Ok(())
    }
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
