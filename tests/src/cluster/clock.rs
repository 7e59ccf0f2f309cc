//! The one clock of a run. It stands still until the cluster moves it.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use pep_agent::drivers::DriverFuture;
use pep_agent::drivers::simulated::Sleeper;

/// Virtual milliseconds from the start of the run, and who waits for which instant.
#[derive(Debug, Default)]
pub(super) struct VirtualClock {
    now: Cell<u64>,
    /// Instants that a sleeping driver waits for. One whose driver is gone by then wakes nobody, which does no harm.
    waited_for: RefCell<BTreeSet<u64>>,
}

impl VirtualClock {
    /// The present instant.
    pub(super) fn now(&self) -> u64 {
        self.now.get()
    }

    /// Moves to a later instant.
    pub(super) fn advance(&self, to: u64) {
        self.now.set(self.now.get().max(to));
        self.waited_for.borrow_mut().retain(|at| *at > self.now.get());
    }

    /// The next instant that a driver waits for.
    pub(super) fn next(&self) -> Option<u64> {
        self.waited_for.borrow().first().copied()
    }
}

/// What a driver sleeps on.
#[derive(Debug, Clone)]
pub(super) struct VirtualSleeper(pub(super) Rc<VirtualClock>);

impl Sleeper for VirtualSleeper {
    fn sleep(&self, real: Duration) -> DriverFuture<'static, ()> {
        // Rounded up, as timers are.
        let millis = u64::try_from(real.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX);
        Box::pin(Sleep {
            until: self.0.now().saturating_add(millis),
            clock: Rc::clone(&self.0),
        })
    }
}

struct Sleep {
    clock: Rc<VirtualClock>,
    until: u64,
}

impl Future for Sleep {
    type Output = ();

    /// The cluster polls every driver after each move of the clock, so no waker is kept.
    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        if self.clock.now() >= self.until {
            return Poll::Ready(());
        }
        self.clock.waited_for.borrow_mut().insert(self.until);
        Poll::Pending
    }
}
