//! What a plant tells besides its readings: things that happened, with their instant.

use super::limits;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::sync::Arc;

/// Something that happened in the plant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlantEvent {
    /// When it happened, in milliseconds of the plant's time.
    pub at_millis: u64,
    /// What happened.
    #[serde(flatten)]
    pub kind: PlantEventKind,
}

/// What happened; each names the thing it happened to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum PlantEventKind {
    /// The mains of a domain went away.
    MainsFailed {
        /// The power domain.
        domain: Arc<str>,
    },
    /// The mains of a domain came back.
    MainsRestored {
        /// The power domain.
        domain: Arc<str>,
    },
    /// A server could not be fed for longer than its PSU's hold-up: it is dead, its activities stopped dirty.
    ServerLostPower {
        /// The server.
        server: Arc<str>,
    },
    /// A server began to boot.
    ServerBooting {
        /// The server.
        server: Arc<str>,
    },
    /// A server finished booting and takes activities.
    ServerBooted {
        /// The server.
        server: Arc<str>,
    },
    /// A server began a clean halt.
    ServerHalting {
        /// The server.
        server: Arc<str>,
    },
    /// A server is off by command: halted, or switched off.
    ServerOff {
        /// The server.
        server: Arc<str>,
        /// Whether it halted first.
        clean: bool,
    },
    /// An activity runs.
    ActivityStarted {
        /// The server it runs on.
        server: Arc<str>,
        /// The activity.
        activity: Arc<str>,
    },
    /// An activity stopped on a server.
    ActivityStopped {
        /// The server it ran on.
        server: Arc<str>,
        /// The activity.
        activity: Arc<str>,
        /// False when its server lost power under it.
        clean: bool,
    },
    /// A reserve reached its cut-off and gives nothing more.
    ReserveAtCutoff {
        /// The reserve.
        reserve: Arc<str>,
    },
    /// A reserve that was at its cut-off has recharged enough to be used again.
    ReserveUsable {
        /// The reserve.
        reserve: Arc<str>,
    },
    /// A reserve is full again after recharging.
    ReserveFull {
        /// The reserve.
        reserve: Arc<str>,
    },
    /// A line finished a change: the pair now has this many milliwatts, 0 when it is taken off.
    LineMoved {
        /// The line.
        line: Arc<str>,
        /// The reserve.
        reserve: Arc<str>,
        /// The server.
        server: Arc<str>,
        /// Power that may pass from this reserve to this server, in milliwatts at the line's input.
        milliwatts: u64,
    },
    /// A line did not follow a command; everything on it is as it was.
    LineFault {
        /// The line.
        line: Arc<str>,
    },
}

/// Events not yet polled; bounded, the oldest go first.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct EventQueue {
    waiting: VecDeque<PlantEvent>,
    pub(super) dropped: u64,
}

impl EventQueue {
    pub(super) fn push(&mut self, at_millis: u64, kind: PlantEventKind) {
        if self.waiting.len() >= limits::MAX_EVENTS {
            self.waiting.pop_front();
            self.dropped += 1;
        }
        self.waiting.push_back(PlantEvent { at_millis, kind });
    }

    pub(super) fn pop(&mut self) -> Option<PlantEvent> {
        self.waiting.pop_front()
    }
}
