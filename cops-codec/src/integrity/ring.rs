//! The keys that a PEP and a PDP share.

use std::{collections::BTreeMap, sync::Arc};

use super::key::{Key, UnixTime};
use crate::wire::{KeyId, PepId};

/// Where neither of two keys ends, their overlap has no midpoint: the later one is sent with this long after it begins, so
/// that the clocks of the two ends may differ by as much.
const SWITCH_DELAY_MILLIS: u64 = 60_000;

/// The keys between one PEP and one PDP: several at once, so that one follows another without a gap (RFC 2748 4.2).
///
/// A value that never changes: rotation is another ring in its place, and connections go on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyRing(BTreeMap<KeyId, Key>);

/// Why some keys are no ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyRingError {
    /// Two keys of one name.
    #[error("expected each Key ID once, found {} twice", .0.0)]
    RepeatedId(KeyId),
    /// More than [`KeyRing::MAX_KEYS`].
    #[error("expected at most {} keys, found more", KeyRing::MAX_KEYS)]
    TooMany,
}

impl KeyRing {
    /// The most keys of a ring. Two are enough to rotate.
    pub const MAX_KEYS: usize = 64;

    /// From keys in any order.
    ///
    /// # Errors
    /// If two have one Key ID, or there are too many.
    pub fn new(keys: impl IntoIterator<Item = Key>) -> Result<Self, KeyRingError> {
        let mut ring = BTreeMap::new();
        for key in keys {
            let id = key.id;
            if ring.len() >= Self::MAX_KEYS {
                return Err(KeyRingError::TooMany);
            }
            if ring.insert(id, key).is_some() {
                return Err(KeyRingError::RepeatedId(id));
            }
        }
        Ok(Self(ring))
    }

    /// The key of this name, valid or not.
    #[must_use]
    pub fn get(&self, id: KeyId) -> Option<&Key> {
        self.0.get(&id)
    }

    /// All keys, in the order of their names.
    pub fn keys(&self) -> impl Iterator<Item = &Key> {
        self.0.values()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The key to send with.
    ///
    /// RFC 2748 4.2: "At the midpoint of the lifetime overlap between two keys, senders should transition from using the
    /// current key to the next/longer-lived key." So: of those valid now, the one that ends last and whose midpoint with
    /// each that ends before it has passed. Of two that end together, or never, the one that begins later is the next, then
    /// the one of the higher Key ID.
    #[must_use]
    pub fn sending_key(&self, now: UnixTime) -> Option<&Key> {
        let mut valid: Vec<&Key> = self.0.values().filter(|key| key.lifetime.contains(now)).collect();
        // `None` is the longest life and the least option.
        valid.sort_by_key(|key| {
            let end = key.lifetime.not_after();
            (end.is_none(), end, key.lifetime.not_before(), key.id)
        });
        valid
            .iter()
            .rposition(|next| {
                valid
                    .iter()
                    .take_while(|current| current.id != next.id)
                    .all(|current| transition(current, next) <= now)
            })
            .and_then(|place| valid.get(place).copied())
    }
}

/// When senders go from one key to the next one, both being valid at some time. `next` sorts behind `current`.
fn transition(current: &Key, next: &Key) -> UnixTime {
    let begin = current.lifetime.not_before().max(next.lifetime.not_before());
    if next.lifetime.not_before() < current.lifetime.not_before() {
        // The longer-lived key was in use already: a shorter one within its lifetime is no successor.
        return begin;
    }
    match current.lifetime.not_after() {
        Some(end) => UnixTime(begin.0 + end.0.saturating_sub(begin.0) / 2),
        None => UnixTime(begin.0.saturating_add(SWITCH_DELAY_MILLIS)),
    }
}

/// A PDP's rings. A Key ID is relative to a PEPID there (RFC 2748 4.2), so the same one may be two keys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyTable(BTreeMap<PepId, Arc<KeyRing>>);

impl KeyTable {
    /// From rings.
    pub fn new(rings: impl IntoIterator<Item = (PepId, KeyRing)>) -> Self {
        Self(
            rings
                .into_iter()
                .map(|(pep_id, ring)| (pep_id, Arc::new(ring)))
                .collect(),
        )
    }

    /// The ring of a PEP; an empty one if there is none.
    #[must_use]
    pub fn ring(&self, pep_id: &PepId) -> Arc<KeyRing> {
        self.0.get(pep_id).cloned().unwrap_or_default()
    }

    /// Those who have a ring.
    pub fn pep_ids(&self) -> impl Iterator<Item = &PepId> {
        self.0.keys()
    }

    /// How many have one.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether nobody has one.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
