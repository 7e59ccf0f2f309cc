//! One message's changes to a table: made at once, checked at the end, kept or undone as a whole.

use std::collections::BTreeMap;

use super::limits::RowLimits;
use super::table::RowTable;
use crate::client_type::{Class, Row, RowError, RowFault, RowId};

/// What a message changed. A row that was sent again with the values it had is no change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RowChange {
    /// A new row.
    Installed(Row),
    /// A row with other values.
    Updated {
        /// The values it had.
        old: Row,
        /// The values it has.
        new: Row,
    },
    /// A row that is gone.
    Removed(Row),
}

impl RowChange {
    /// The row that changed.
    pub fn id(&self) -> RowId {
        match self {
            Self::Installed(row) | Self::Updated { new: row, .. } | Self::Removed(row) => row.id(),
        }
    }
}

/// The first value of a changed row, and the place of its latest change in the message.
struct Touched {
    before: Option<Row>,
    offset: usize,
}

/// Changes that are made and not yet kept.
pub(super) struct Changes<'t> {
    table: &'t mut RowTable,
    touched: BTreeMap<RowId, Touched>,
    limits: RowLimits,
}

impl<'t> Changes<'t> {
    pub(super) fn new(table: &'t mut RowTable, limits: RowLimits) -> Self {
        Self {
            table,
            touched: BTreeMap::new(),
            limits,
        }
    }

    /// The table as it would be.
    pub(super) fn table(&self) -> &RowTable {
        self.table
    }

    /// Makes or replaces a row that came at `offset`.
    pub(super) fn put(&mut self, row: Row, offset: usize) -> Result<(), RowError> {
        let id = row.id();
        let replaced = self.table.put(row);
        self.touch(id, replaced, offset);
        let RowLimits {
            max_rows,
            max_octets,
            max_domains,
            ..
        } = self.limits;
        let fault = if self.table.len() > max_rows {
            RowFault::TooMany {
                limit: max_rows,
                what: "rows",
            }
        } else if self.table.octets() > max_octets {
            RowFault::TooMany {
                limit: max_octets,
                what: "octets of rows",
            }
        } else if id.class == Class::Domain && self.table.ids_of(Class::Domain).len() > max_domains {
            RowFault::TooMany {
                limit: max_domains,
                what: "rows of pwrDomain",
            }
        } else {
            return Ok(());
        };
        Err(RowError {
            prid: id.prid(),
            offset,
            fault,
        })
    }

    /// Takes a row away; false if it is not there.
    pub(super) fn remove(&mut self, id: RowId, offset: usize) -> bool {
        let Some(row) = self.table.take(id) else {
            return false;
        };
        self.touch(id, Some(row), offset);
        true
    }

    fn touch(&mut self, id: RowId, before: Option<Row>, offset: usize) {
        self.touched
            .entry(id)
            .and_modify(|touched| touched.offset = offset)
            .or_insert(Touched { before, offset });
    }

    /// Where the row was changed last.
    pub(super) fn offset_of(&self, id: RowId) -> Option<usize> {
        self.touched.get(&id).map(|touched| touched.offset)
    }

    /// The values that a row had before, if it was touched; else those it has.
    pub(super) fn before(&self, id: RowId) -> Option<&Row> {
        match self.touched.get(&id) {
            Some(touched) => touched.before.as_ref(),
            None => self.table.get(id),
        }
    }

    /// Rows that are not what they were.
    pub(super) fn changed(&self) -> impl Iterator<Item = RowId> {
        let changed = self
            .touched
            .iter()
            .filter(|(id, touched)| self.table.get(**id) != touched.before.as_ref());
        changed.map(|(id, _)| *id)
    }

    /// What the changed rows break: references, uniqueness, single instances.
    pub(super) fn violations(&self) -> Vec<RowError> {
        let faults = self.touched.iter().flat_map(|(id, touched)| {
            let faults = match self.table.get(*id) {
                Some(row) => self.faults_of(row),
                None => self
                    .table
                    .referrer(*id)
                    .map(|by| RowFault::StillReferred { by })
                    .into_iter()
                    .collect(),
            };
            faults.into_iter().map(|fault| RowError {
                prid: id.prid(),
                offset: touched.offset,
                fault,
            })
        });
        faults.take(self.limits.errors_told()).collect()
    }

    fn faults_of(&self, row: &Row) -> Vec<RowFault> {
        let mut faults: Vec<RowFault> = row
            .references()
            .into_iter()
            .filter(|reference| self.table.get(reference.target).is_none())
            .map(|reference| RowFault::NoReference {
                attribute: reference.attribute,
                target: Some(reference.target),
            })
            .collect();
        let id = row.id();
        let other = if id.class.is_single() {
            self.table.ids_of(id.class).into_iter().find(|other| *other != id)
        } else {
            self.table.same_values(row)
        };
        faults.extend(other.map(|other| RowFault::NotUnique { other }));
        faults
    }

    /// Keeps the changes.
    pub(super) fn commit(self) -> Vec<RowChange> {
        let Self { table, touched, .. } = self;
        touched
            .into_iter()
            .filter_map(|(id, Touched { before, .. })| match (before, table.get(id)) {
                (None, Some(row)) => Some(RowChange::Installed(row.clone())),
                (Some(old), Some(new)) if old != *new => Some(RowChange::Updated {
                    old,
                    new: new.clone(),
                }),
                (Some(row), None) => Some(RowChange::Removed(row)),
                _ => None,
            })
            .collect()
    }

    /// Undoes them.
    pub(super) fn rollback(self) {
        for (id, Touched { before, .. }) in self.touched {
            match before {
                Some(row) => drop(self.table.put(row)),
                None => drop(self.table.take(id)),
            }
        }
    }
}
