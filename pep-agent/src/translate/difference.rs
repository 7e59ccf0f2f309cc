//! What the next REQ says: the difference between what the PDP was told and how things are.
//!
//! Whatever changes while a REQ is open waits for the next one and is told once, as it then stands (E2, rule 4 of the
//! exchanges); the mains comes first. Figures that move all the time are told in readings, and here only when they have
//! moved far.

use std::collections::BTreeMap;

use cops_codec::client_type::power::Arc;
use cops_codec::client_type::{Class, Row, RowId};

/// A charge is told in a REQ when it has moved by this part of the capacity, permille; readings tell the rest.
const CHARGE_STEP_PERMILLE: u64 = 10;

/// A draw is told when it has moved by this part of itself, permille.
const DRAW_STEP_PERMILLE: u64 = 50;

/// What a REQ tells of rows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Difference {
    /// Rows that are gone.
    pub removed: Vec<RowId>,
    /// Rows that are new or changed: who we are, the mains, then by class and instance, so that each stands after those
    /// it refers to.
    pub rows: Vec<Row>,
    /// Octets were left over: the REQ after it tells the rest.
    pub is_cut: bool,
}

impl Difference {
    /// Whether there is nothing to tell.
    pub fn is_empty(&self) -> bool {
        self.removed.is_empty() && self.rows.is_empty()
    }
}

/// The difference from `told` to `present`, of which at most about `max_octets` are taken.
pub fn difference(
    told: &BTreeMap<RowId, Row>,
    present: &BTreeMap<RowId, Row>,
    max_octets: usize,
) -> Difference {
    let mut difference = Difference {
        removed: told
            .keys()
            .filter(|id| !present.contains_key(id))
            .copied()
            .collect(),
        ..Difference::default()
    };
    // Sorted by class, FRAMEWORK-PIB's come first by themselves, and each row after those it refers to.
    let rank = |row: &&Row| match row.class() {
        class if !class.is_in(Arc::Facts) => 0,
        Class::Domain => 1,
        _ => 2,
    };
    let mut ordered: Vec<&Row> = present.values().collect();
    ordered.sort_by_key(rank);
    // A removal takes about a PRID and an empty EPD.
    let mut octets = difference.removed.len() * 32;
    for row in ordered {
        if told.get(&row.id()).is_some_and(|told| !is_news(told, row)) {
            continue;
        }
        octets += row.to_vec().len();
        if octets > max_octets && !difference.rows.is_empty() {
            difference.is_cut = true;
            break;
        }
        difference.rows.push(row.clone());
    }
    difference
}

/// Whether a row says something that the PDP has to be told at once.
fn is_news(told: &Row, row: &Row) -> bool {
    match (told, row) {
        (Row::Domain(told), Row::Domain(row)) => {
            let mut aged = told.clone();
            aged.age_millis = row.age_millis;
            aged != *row
        }
        (Row::Reserve(told), Row::Reserve(row)) => {
            let mut aged = told.clone();
            aged.age_millis = row.age_millis;
            aged.charge_joules = row.charge_joules;
            let moved = told.charge_joules.abs_diff(row.charge_joules);
            aged != *row || moved > row.capacity_joules / 1_000 * CHARGE_STEP_PERMILLE
        }
        (Row::Activity(told), Row::Activity(row)) => {
            let mut same = told.clone();
            same.draw_milliwatts = row.draw_milliwatts;
            let moved = u64::from(told.draw_milliwatts.abs_diff(row.draw_milliwatts));
            same != *row || moved * 1_000 > u64::from(told.draw_milliwatts) * DRAW_STEP_PERMILLE
        }
        _ => told != row,
    }
}
