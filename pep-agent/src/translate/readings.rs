//! Measurements, for accounting reports (E11): report-only rows that change no request state.

use cops_codec::client_type::Row;
use cops_codec::client_type::power::{ReadingKind, ReadingSel, ReserveReading, ServerReading};
use cops_codec::client_type::store::RowTable;
use cops_codec::provisioning::InstanceId;
use power_policy::grouping::Glob;
use power_policy::model::Name;

use super::{instance, millis32, wire_name};
use crate::engine::Millis;
use crate::engine::facts::{Inventory, Role};

/// What the PDP wants read (its pwrReadingSel rows).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selection {
    patterns: Vec<(ReadingKind, Glob)>,
}

impl Selection {
    /// The selection of a context. Patterns that are no globs were refused at install.
    pub fn new(rows: &RowTable) -> Self {
        let patterns = rows
            .all::<ReadingSel>()
            .filter_map(|row| Some((row.kind, Glob::new(row.pattern.as_str()).ok()?)))
            .collect();
        Self { patterns }
    }

    /// What one pwrReadingSel row selects; nothing if it is not there.
    pub fn one(rows: &RowTable, instance: InstanceId) -> Option<Self> {
        let row = rows.row::<ReadingSel>(instance)?;
        let glob = Glob::new(row.pattern.as_str()).ok()?;
        Some(Self {
            patterns: vec![(row.kind, glob)],
        })
    }

    /// Whether a thing is read. A PDP that selects nothing and yet has an Accounting Timer is told everything.
    fn takes(&self, kind: ReadingKind, name: &Name) -> bool {
        self.patterns.is_empty()
            || self
                .patterns
                .iter()
                .any(|(of, glob)| *of == kind && glob.matches(name.as_str()))
    }
}

/// The readings of all that this agent is the custodian of and the PDP selected.
///
/// Instances are the places in the inventory, as those of the facts.
pub fn rows(inventory: &Inventory, selection: &Selection, now: Millis) -> Vec<Row> {
    let mut rows: Vec<Row> = Vec::new();
    for (index, (name, thing)) in inventory.reserves.iter().enumerate() {
        let is_read = thing.facts.role == Role::Custodian && selection.takes(ReadingKind::Reserve, name);
        let (true, Some(seen)) = (is_read, &thing.seen) else {
            continue;
        };
        let Some(charge_joules) = seen.reading.charge_joules else {
            continue;
        };
        let milliwatts = seen.reading.milliwatts.unwrap_or(0);
        let above_cutoff = charge_joules.saturating_sub(thing.facts.cutoff_joules);
        let at_present_power = match u64::try_from(milliwatts) {
            Ok(milliwatts) if milliwatts > 0 => {
                // Joules through the inverter, over watts.
                let usable = u128::from(above_cutoff) * u128::from(thing.facts.efficiency_permille);
                u32::try_from(usable / u128::from(milliwatts)).unwrap_or(u32::MAX)
            }
            _ => u32::MAX,
        };
        rows.push(
            ReserveReading {
                instance: instance(index),
                reserve: wire_name(name),
                charge_joules,
                milliwatts,
                seconds_left: seen.reading.seconds_left.unwrap_or(at_present_power),
                age_millis: millis32(seen.age(now)),
            }
            .into(),
        );
    }
    for (index, (name, thing)) in inventory.servers.iter().enumerate() {
        let is_read = thing.facts.role == Role::Custodian && selection.takes(ReadingKind::Server, name);
        let (true, Some(seen)) = (is_read, &thing.seen) else {
            continue;
        };
        if let Some(milliwatts) = seen.reading.milliwatts {
            let row = ServerReading {
                instance: instance(index),
                server: wire_name(name),
                milliwatts,
                age_millis: millis32(seen.age(now)),
            };
            rows.push(row.into());
        }
    }
    rows
}
