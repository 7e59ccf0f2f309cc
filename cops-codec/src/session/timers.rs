//! What is due when.

use std::collections::{BTreeMap, BTreeSet};

use super::time::Moment;

/// At most one deadline for each key, and the earliest of them at hand.
#[derive(Debug)]
pub(super) struct Timers<K> {
    deadlines: BTreeMap<K, Moment>,
    order: BTreeSet<(Moment, K)>,
}

impl<K: Ord + Clone> Timers<K> {
    pub(super) const fn new() -> Self {
        Self {
            deadlines: BTreeMap::new(),
            order: BTreeSet::new(),
        }
    }

    /// Sets the deadline of `key`, in place of the one that it had.
    pub(super) fn set(&mut self, key: K, deadline: Moment) {
        if let Some(former) = self.deadlines.insert(key.clone(), deadline) {
            self.order.remove(&(former, key.clone()));
        }
        self.order.insert((deadline, key));
    }

    pub(super) fn is_set(&self, key: &K) -> bool {
        self.deadlines.contains_key(key)
    }

    pub(super) fn clear(&mut self, key: &K) {
        if let Some((key, deadline)) = self.deadlines.remove_entry(key) {
            self.order.remove(&(deadline, key));
        }
    }

    pub(super) fn clear_all(&mut self) {
        self.deadlines.clear();
        self.order.clear();
    }

    /// The earliest deadline.
    pub(super) fn next(&self) -> Option<Moment> {
        self.order.first().map(|(deadline, _)| *deadline)
    }

    /// Takes the earliest deadline away, if it is reached.
    pub(super) fn pop_due(&mut self, now: Moment) -> Option<K> {
        if self.next()? > now {
            return None;
        }
        let (_, key) = self.order.pop_first()?;
        self.deadlines.remove(&key);
        Some(key)
    }
}

#[cfg(test)]
mod tests {
    use super::{Moment, Timers};

    #[test]
    fn gives_what_is_due_in_order_and_once() {
        let mut timers = Timers::new();
        timers.set("b", Moment(20));
        timers.set("a", Moment(30));
        timers.set("a", Moment(10));
        timers.set("c", Moment(5));
        timers.clear(&"c");
        assert_eq!(timers.next(), Some(Moment(10)));
        assert_eq!(timers.pop_due(Moment(9)), None);
        assert_eq!(timers.pop_due(Moment(20)), Some("a"));
        assert_eq!(timers.pop_due(Moment(20)), Some("b"));
        assert_eq!(timers.pop_due(Moment(u64::MAX)), None);
        assert_eq!(timers.next(), None);
    }
}
