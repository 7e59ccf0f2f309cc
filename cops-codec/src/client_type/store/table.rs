//! Rows by name, with the indices that the checks need.

use std::collections::{BTreeMap, BTreeSet};

use crate::client_type::{Class, Row, RowId, TypedRow};
use crate::provisioning::InstanceId;

/// The rows of a context, sorted by class, then number.
#[derive(Debug, Clone, Default)]
pub struct RowTable {
    rows: BTreeMap<RowId, Entry>,
    /// Rows by the values of their UNIQUENESS attributes. More than one a key only within a transaction.
    unique: BTreeMap<(Class, Vec<u8>), BTreeSet<RowId>>,
    /// For each row, or name of a row, those that refer to it.
    referrers: BTreeMap<RowId, BTreeSet<RowId>>,
    octets: usize,
}

#[derive(Debug, Clone)]
struct Entry {
    row: Row,
    octets: usize,
}

/// Two tables are equal if their rows are.
impl PartialEq for RowTable {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for RowTable {}

impl RowTable {
    /// Rows in it.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Octets of all rows as they are sent.
    pub fn octets(&self) -> usize {
        self.octets
    }

    /// The row of this name.
    pub fn get(&self, id: RowId) -> Option<&Row> {
        self.rows.get(&id).map(|entry| &entry.row)
    }

    /// All rows, sorted by class, then number.
    pub fn iter(&self) -> impl Iterator<Item = &Row> {
        self.rows.values().map(|entry| &entry.row)
    }

    /// All rows of one class, by number.
    pub fn all<T: TypedRow>(&self) -> impl Iterator<Item = &T> {
        self.of_class(T::CLASS).filter_map(T::from_row)
    }

    /// The row of one class with this number.
    pub fn row<T: TypedRow>(&self, instance: InstanceId) -> Option<&T> {
        self.get(RowId {
            class: T::CLASS,
            instance,
        })
        .and_then(T::from_row)
    }

    /// The row of a class that has one instance in a context.
    pub fn only<T: TypedRow>(&self) -> Option<&T> {
        self.all().next()
    }

    fn of_class(&self, class: Class) -> impl Iterator<Item = &Row> {
        self.rows.range(range(class)).map(|(_, entry)| &entry.row)
    }

    /// Names of all rows of a class.
    pub(super) fn ids_of(&self, class: Class) -> Vec<RowId> {
        self.rows.range(range(class)).map(|(id, _)| *id).collect()
    }

    /// A row, other than `row`, with the same values in the UNIQUENESS attributes.
    pub(super) fn same_values(&self, row: &Row) -> Option<RowId> {
        let others = self.unique.get(&(row.class(), row.unique_key()?))?;
        others.iter().copied().find(|other| *other != row.id())
    }

    /// A row that refers to `id`.
    pub(super) fn referrer(&self, id: RowId) -> Option<RowId> {
        self.referrers.get(&id)?.first().copied()
    }

    /// Puts a row in; gives back the one that it replaces.
    pub(super) fn put(&mut self, row: Row) -> Option<Row> {
        let id = row.id();
        let replaced = self.take(id);
        let octets = row.to_vec().len();
        if let Some(key) = row.unique_key() {
            self.unique.entry((id.class, key)).or_default().insert(id);
        }
        for reference in row.references() {
            self.referrers.entry(reference.target).or_default().insert(id);
        }
        self.octets += octets;
        self.rows.insert(id, Entry { row, octets });
        replaced
    }

    /// Takes a row out.
    pub(super) fn take(&mut self, id: RowId) -> Option<Row> {
        let Entry { row, octets } = self.rows.remove(&id)?;
        self.octets -= octets;
        if let Some(key) = row.unique_key() {
            forget(&mut self.unique, (id.class, key), id);
        }
        for reference in row.references() {
            forget(&mut self.referrers, reference.target, id);
        }
        Some(row)
    }
}

fn range(class: Class) -> std::ops::RangeInclusive<RowId> {
    let last = InstanceId::new(u32::MAX).unwrap_or(InstanceId::FIRST);
    RowId {
        class,
        instance: InstanceId::FIRST,
    }..=RowId {
        class,
        instance: last,
    }
}

/// Takes `id` out of the set of `key`, and the set with its last member.
fn forget<K: Ord>(index: &mut BTreeMap<K, BTreeSet<RowId>>, key: K, id: RowId) {
    if let std::collections::btree_map::Entry::Occupied(mut set) = index.entry(key) {
        set.get_mut().remove(&id);
        if set.get().is_empty() {
            set.remove();
        }
    }
}
