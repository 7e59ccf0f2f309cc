//! Connections that have not opened a client-type yet: strangers, who get a bounded number of places.
//!
//! At the bound a newcomer takes the place of the one that has been silent longest: a PEP sends its OPN at once, so that
//! whoever waits in silence is less likely to be one than whoever just came. To keep a PEP out, a flood has to bring as
//! many connections as there are places within the time that the PEP's OPN is on its way. A connection whose message
//! waits for the loop is not silent, however long the loop takes.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// All connections that have not opened.
#[derive(Debug, Clone)]
pub(super) struct Openings(Arc<Mutex<Inner>>);

#[derive(Debug)]
struct Inner {
    max: usize,
    max_per_address: usize,
    /// By number, which is by age.
    places: BTreeMap<u64, Place>,
    by_address: HashMap<IpAddr, usize>,
}

#[derive(Debug)]
struct Place {
    address: IpAddr,
    progress: Progress,
}

/// What the reader of a connection says of it, and hears.
#[derive(Debug, Clone, Default)]
pub(super) struct Progress(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    with_loop: AtomicUsize,
    displaced: Notify,
}

/// A place of a connection; given back when dropped.
#[derive(Debug)]
pub(super) struct Opening {
    number: u64,
    progress: Progress,
    all: Openings,
}

impl Openings {
    pub(super) fn new(max: usize, max_per_address: usize) -> Self {
        Self(Arc::new(Mutex::new(Inner {
            max,
            max_per_address,
            places: BTreeMap::new(),
            by_address: HashMap::new(),
        })))
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Nothing in here panics between two changes that belong together.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place for a connection with this number, greater than all before; `None` if there is none.
    pub(super) fn begin(&self, number: u64, address: IpAddr) -> Option<Opening> {
        let mut inner = self.lock();
        let of_address = inner.by_address.get(&address).copied().unwrap_or(0);
        let among = if of_address >= inner.max_per_address {
            Some(Some(address))
        } else if inner.places.len() >= inner.max {
            Some(None)
        } else {
            None
        };
        if let Some(among) = among {
            let silent = inner.longest_silent(among)?;
            inner.displace(silent);
        }
        let progress = Progress::default();
        inner.places.insert(
            number,
            Place {
                address,
                progress: progress.clone(),
            },
        );
        *inner.by_address.entry(address).or_default() += 1;
        Some(Opening {
            number,
            progress,
            all: self.clone(),
        })
    }
}

impl Inner {
    fn longest_silent(&self, address: Option<IpAddr>) -> Option<u64> {
        self.places
            .iter()
            .filter(|(_, place)| address.is_none_or(|address| address == place.address))
            .find(|(_, place)| place.progress.0.with_loop.load(Ordering::Relaxed) == 0)
            .map(|(number, _)| *number)
    }

    fn displace(&mut self, number: u64) {
        if let Some(place) = self.remove(number) {
            place.progress.0.displaced.notify_one();
        }
    }

    fn remove(&mut self, number: u64) -> Option<Place> {
        let place = self.places.remove(&number)?;
        if let Some(count) = self.by_address.get_mut(&place.address) {
            *count -= 1;
            if *count == 0 {
                self.by_address.remove(&place.address);
            }
        }
        Some(place)
    }
}

impl Opening {
    pub(super) fn progress(&self) -> Progress {
        self.progress.clone()
    }
}

impl Drop for Opening {
    fn drop(&mut self) {
        self.all.lock().remove(self.number);
    }
}

impl Progress {
    /// A message was handed to the loop, which has not looked at it while the result lives.
    pub(super) fn hand_over(&self) -> WithLoop {
        self.0.with_loop.fetch_add(1, Ordering::Relaxed);
        WithLoop(self.clone())
    }

    /// Waits until a newcomer has taken the place.
    pub(super) async fn displaced(&self) {
        self.0.displaced.notified().await;
    }
}

/// A message that is with the loop.
#[derive(Debug)]
pub(super) struct WithLoop(Progress);

impl Drop for WithLoop {
    fn drop(&mut self) {
        self.0.0.with_loop.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(127, 0, 0, 1));
    const B: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(127, 0, 0, 2));

    #[tokio::test]
    async fn a_newcomer_displaces_the_one_that_was_silent_longest() {
        let all = Openings::new(2, 2);
        let first = all.begin(1, A).unwrap();
        let _second = all.begin(2, A).unwrap();
        let third = all.begin(3, B).unwrap();
        first.progress().displaced().await;
        assert_eq!(all.lock().places.len(), 2);
        drop(first);
        assert_eq!(all.lock().places.len(), 2, "its place was another's already");
        drop(third);
        assert_eq!(all.lock().places.len(), 1);
        assert_eq!(all.lock().by_address.len(), 1);
    }

    #[test]
    fn an_address_displaces_none_but_its_own() {
        let all = Openings::new(10, 1);
        let _one = all.begin(1, A).unwrap();
        let _other = all.begin(2, B).unwrap();
        let _again = all.begin(3, B).unwrap();
        let inner = all.lock();
        assert_eq!(inner.places.keys().copied().collect::<Vec<_>>(), [1, 3]);
    }

    #[test]
    fn whose_message_waits_for_the_loop_is_not_silent() {
        let all = Openings::new(1, 1);
        let one = all.begin(1, A).unwrap();
        let message = one.progress().hand_over();
        assert!(all.begin(2, A).is_none());
        drop(message);
        assert!(all.begin(3, A).is_some());
    }
}
