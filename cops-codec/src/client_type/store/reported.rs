//! What one context of one PEP reports, as its PDP keeps it.

use super::build;
use super::limits::RowLimits;
use super::table::RowTable;
use super::transaction::{Changes, RowChange};
use crate::client_type::framework::{FrameworkError, PibIncarnation, PrcSupport};
use crate::client_type::row::identify;
use crate::client_type::{Class, Row, RowError, RowFault, RowId};
use crate::provisioning::binding::Bindings;
use crate::provisioning::{Binding, Contents, Prid, ProvisioningError};

/// The rows that a PEP has reported in one context.
#[derive(Debug, Clone)]
pub struct ReportedRows {
    table: RowTable,
    limits: RowLimits,
    /// Whether a REQ of this context has shown that the PEP knows incremental REQs.
    knows_full_state: bool,
    /// Whether a REQ has been taken at all.
    is_open: bool,
}

/// A REQ that was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestApplied {
    /// Whether it replaced the request state, or changed it.
    pub full_state: bool,
    /// What changed, sorted by class, then number. Of full state too: the difference to what was there.
    pub changes: Vec<RowChange>,
    /// Rows with more attributes than we know (RFC 3084 section 2.2.1), which were left out.
    pub extra_attributes: Vec<RowId>,
}

/// A REQ that was not taken; nothing of it is kept.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RequestRefused {
    /// An inner object is broken: a fault of COPS's level, answered with DEC and Error object.
    #[error("the REQ cannot be read: {0}")]
    Malformed(ProvisioningError),
    /// An incremental REQ for a context that has no state to change: answered with NULL and SSQ.
    #[error("an incremental REQ, and no request state that it could change")]
    NoState,
    /// Rows that cannot be taken, at least one: answered with DEC and [`RequestRefused::error_rows`].
    #[error("{} row(s) cannot be taken, first: {}", .0.len(), first(.0))]
    Rows(Vec<RowError>),
}

fn first(errors: &[RowError]) -> String {
    errors.first().map(ToString::to_string).unwrap_or_default()
}

impl RequestRefused {
    /// The frwkError rows that tell the PEP (RFC 3318 section 2.3.6); none unless single rows are at fault.
    pub fn error_rows(&self) -> Vec<FrameworkError> {
        match self {
            Self::Rows(errors) => FrameworkError::of(errors),
            Self::Malformed(_) | Self::NoState => Vec::new(),
        }
    }

    /// The same as contents for Install decisions.
    pub fn contents(&self) -> Vec<bytes::Bytes> {
        let rows: Vec<Row> = self.error_rows().into_iter().map(Row::from).collect();
        build::contents(&rows)
    }
}

impl ReportedRows {
    /// Nothing reported yet.
    pub fn new(limits: RowLimits) -> Self {
        Self {
            table: RowTable::default(),
            limits,
            knows_full_state: false,
            is_open: false,
        }
    }

    /// The rows.
    pub fn rows(&self) -> &RowTable {
        &self.table
    }

    /// Takes the Named ClientSIs of one REQ, all or nothing.
    ///
    /// Full state replaces everything. An incremental REQ updates rows whose numbers are there, installs others, and
    /// removes those with an EPD of length 4 (RFC 3318 sections 2.3.1 to 2.3.4). It is incremental if its incarnation
    /// row says so or is missing, provided that the PEP has ever shown support for frwkPibIncarnationFullState; else
    /// each of its REQs is full state. A first REQ that says that it is incremental, and nothing of what the PEP
    /// supports, is not taken.
    ///
    /// # Errors
    ///
    /// See [`RequestRefused`]. The rows are then as they were.
    pub fn apply(&mut self, contents: &[Contents<'_>]) -> Result<RequestApplied, RequestRefused> {
        let bindings = read_all(contents).map_err(RequestRefused::Malformed)?;
        let decoded = self.decode(&bindings).map_err(RequestRefused::Rows)?;
        let knows_full_state = self.knows_full_state || shows_full_state(&decoded.rows);
        let full_state = !knows_full_state
            || decoded
                .rows
                .iter()
                .any(|(row, _)| matches!(row, Row::PibIncarnation(row) if row.full_state));
        // A PEP says what it supports in its first REQ (RFC 3318 section 2.2, frwkPrcSupport). One that does not, and calls
        // itself incremental, is a change of a state that we do not have: taken for all there is, it would take the rest away.
        let is_change = !shows_support(&decoded.rows) && says_incremental(&decoded.rows);
        if !self.is_open && (!full_state || is_change) {
            return Err(RequestRefused::NoState);
        }
        let Decoded {
            rows,
            extra_attributes,
            ..
        } = decoded;
        let changes = self
            .change(full_state, rows, &bindings)
            .map_err(RequestRefused::Rows)?;
        self.knows_full_state = knows_full_state;
        self.is_open = true;
        Ok(RequestApplied {
            full_state,
            changes,
            extra_attributes,
        })
    }

    fn decode(&self, bindings: &[Binding<'_>]) -> Result<Decoded, Vec<RowError>> {
        let mut decoded = Decoded::default();
        let mut errors = Vec::new();
        for binding in bindings {
            match decode_one(binding) {
                Ok(None) => {}
                Ok(Some((row, extra))) => {
                    if extra > 0 && decoded.extra_attributes.len() < self.limits.errors_told() {
                        decoded.extra_attributes.push(row.id());
                    }
                    decoded.rows.push((row, binding.offset));
                }
                Err(error) => errors.push(error),
            }
            if errors.len() >= self.limits.errors_told() {
                break;
            }
        }
        if errors.is_empty() {
            Ok(decoded)
        } else {
            Err(errors)
        }
    }

    /// Makes the changes in the order of the message, since a row may be removed and sent anew in one REQ.
    fn change(
        &mut self,
        full_state: bool,
        rows: Vec<(Row, usize)>,
        bindings: &[Binding<'_>],
    ) -> Result<Vec<RowChange>, Vec<RowError>> {
        let mut changes = Changes::new(&mut self.table, self.limits);
        if full_state {
            for class in Class::ALL {
                for id in changes.table().ids_of(*class) {
                    changes.remove(id, 0);
                }
            }
        }
        let mut errors = Vec::new();
        let mut rows = rows.into_iter();
        for binding in bindings {
            let changed = if binding.epd.contents.is_empty() {
                remove(&mut changes, binding)
            } else {
                match rows.next() {
                    Some((row, offset)) => changes.put(row, offset),
                    None => Ok(()),
                }
            };
            if let Err(error) = changed {
                let is_full = matches!(error.fault, RowFault::TooMany { .. });
                errors.push(error);
                // What does not fit is not even held for the rest of the message.
                if is_full || errors.len() >= self.limits.errors_told() {
                    break;
                }
            }
        }
        if errors.is_empty() {
            errors = changes.violations();
        }
        if errors.is_empty() {
            Ok(changes.commit())
        } else {
            changes.rollback();
            Err(errors)
        }
    }
}

#[derive(Default)]
struct Decoded {
    rows: Vec<(Row, usize)>,
    extra_attributes: Vec<RowId>,
}

fn read_all<'a>(contents: &[Contents<'a>]) -> Result<Vec<Binding<'a>>, ProvisioningError> {
    contents
        .iter()
        .flat_map(|contents| Bindings::new(contents.octets, contents.offset))
        .collect()
}

/// A row and its surplus attributes, or `None` for a removal.
fn decode_one(binding: &Binding<'_>) -> Result<Option<(Row, u32)>, RowError> {
    let fail = |fault| RowError {
        prid: Prid(binding.prid.to_oid()),
        offset: binding.offset,
        fault,
    };
    let id = identify(binding.prid).map_err(fail)?;
    if !id.class.access().is_notified() {
        return Err(fail(RowFault::WrongDirection {
            access: id.class.access(),
        }));
    }
    if binding.epd.contents.is_empty() {
        return Ok(None);
    }
    Row::decode(binding).map(|decoded| Some((decoded.row, decoded.extra_attributes)))
}

fn remove(changes: &mut Changes<'_>, binding: &Binding<'_>) -> Result<(), RowError> {
    match RowId::from_prid(binding.prid) {
        Some(id) if changes.remove(id, binding.offset) => Ok(()),
        _ => Err(RowError {
            prid: Prid(binding.prid.to_oid()),
            offset: binding.offset,
            fault: RowFault::NotThere,
        }),
    }
}

/// Whether frwkPrcSupport rows say that frwkPibIncarnationFullState is supported.
fn shows_support(rows: &[(Row, usize)]) -> bool {
    rows.iter().any(|(row, _)| matches!(row, Row::PrcSupport(_)))
}

fn says_incremental(rows: &[(Row, usize)]) -> bool {
    let mut incarnations = rows.iter().filter_map(|(row, _)| match row {
        Row::PibIncarnation(row) => Some(row.full_state),
        _ => None,
    });
    incarnations.next() == Some(false)
}

fn shows_full_state(rows: &[(Row, usize)]) -> bool {
    let incarnation = Class::PibIncarnation.entry();
    rows.iter().any(|(row, _)| match row {
        Row::PrcSupport(row) => {
            row.supported_prc == incarnation && PrcSupport::supports(row, PibIncarnation::FULL_STATE)
        }
        _ => false,
    })
}
