//! The events of the last hours, and whoever follows them.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::api::Event;
use crate::limits;

/// A bounded ring of events, with readers that each go at their own pace.
#[derive(Debug, Clone, Default)]
pub struct EventLog(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    ring: Mutex<Ring>,
    news: Notify,
}

#[derive(Debug, Default)]
struct Ring {
    events: VecDeque<Arc<Event>>,
    is_closed: bool,
}

/// A reader's place in the log.
#[derive(Debug)]
pub struct EventReader {
    log: EventLog,
    /// The last event that it has seen.
    after: u64,
}

/// What a reader finds next.
#[derive(Debug, Clone, PartialEq)]
pub enum Next {
    /// An event.
    Event(Arc<Event>),
    /// The reader was too slow: so many events are gone.
    Lost(u64),
}

impl EventLog {
    /// Adds an event, dropping the oldest at the bound.
    pub fn push(&self, event: Event) {
        let mut ring = self.lock();
        if ring.events.len() >= limits::MAX_EVENTS_KEPT {
            ring.events.pop_front();
        }
        ring.events.push_back(Arc::new(event));
        drop(ring);
        self.0.news.notify_waiters();
    }

    /// Ends all streams after their last event.
    pub fn close(&self) {
        self.lock().is_closed = true;
        self.0.news.notify_waiters();
    }

    /// Number of the last event.
    pub fn last_seq(&self) -> u64 {
        self.lock().events.back().map_or(0, |event| event.seq)
    }

    /// Reads from `after` on; `None`: from now on.
    pub fn reader(&self, after: Option<u64>) -> EventReader {
        EventReader {
            log: self.clone(),
            after: after.unwrap_or_else(|| self.last_seq()),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Ring> {
        // Nothing panics while it is held.
        self.0.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn next(&self, after: u64) -> Option<(u64, Next)> {
        let ring = self.lock();
        let at = ring.events.partition_point(|event| event.seq <= after);
        let event = ring.events.get(at)?;
        // Numbers rise by one within a process; a reader from an earlier one finds a gap that is none.
        let gap = event.seq.saturating_sub(after + 1);
        if after > 0 && gap > 0 && gap < u64::from(u32::MAX) && at == 0 {
            return Some((event.seq - 1, Next::Lost(gap)));
        }
        Some((event.seq, Next::Event(Arc::clone(event))))
    }
}

impl EventReader {
    /// The next event, when it is there; `None` after the last one of a PDP that ends.
    pub async fn next(&mut self) -> Option<Next> {
        loop {
            let log = self.log.clone();
            // Made before looking, so that what comes in between wakes it.
            let news = log.0.news.notified();
            tokio::pin!(news);
            news.as_mut().enable();
            if let Some((seen, next)) = log.next(self.after) {
                self.after = seen;
                return Some(next);
            }
            if log.lock().is_closed {
                return None;
            }
            news.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::event::EventKind;

    fn event(seq: u64) -> Event {
        Event {
            seq,
            kind: EventKind::Alarm,
            at_millis: 0,
            elapsed_millis: None,
            interruption: None,
            subject: String::new(),
            text: String::new(),
            data: serde_json::Value::Null,
        }
    }

    #[tokio::test]
    async fn a_slow_reader_is_told_how_much_it_lost_and_goes_on() {
        let log = EventLog::default();
        log.push(event(1));
        let mut reader = log.reader(Some(0));
        assert_eq!(reader.next().await, Some(Next::Event(Arc::new(event(1)))));
        let most = u64::try_from(limits::MAX_EVENTS_KEPT).unwrap();
        for seq in 2..=most + 11 {
            log.push(event(seq));
        }
        assert_eq!(reader.next().await, Some(Next::Lost(10)));
        assert_eq!(reader.next().await, Some(Next::Event(Arc::new(event(12)))));
        log.close();
        let mut late = log.reader(None);
        assert_eq!(late.next().await, None);
    }
}
