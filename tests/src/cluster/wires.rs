//! The QoS line: connections between PEPs and the PDP. They carry octets, take time, and can be cut.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use cops_codec::{DecodeError, Frame, Framer, Limits};

/// Names a connection; never used twice in a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct WireId(pub(super) u64);

/// An end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum End {
    /// The agent's.
    Pep,
    /// The policy server's.
    Pdp,
}

impl End {
    fn other(self) -> Self {
        match self {
            Self::Pep => Self::Pdp,
            Self::Pdp => Self::Pep,
        }
    }
}

/// Octets as they left an end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Captured {
    /// When, in virtual milliseconds.
    pub at_millis: u64,
    /// The agent of the connection.
    pub agent: String,
    /// Who sent it.
    pub from: End,
    /// One COPS message.
    pub octets: Bytes,
}

/// What arrives at an end.
#[derive(Debug)]
pub(super) enum Arrival {
    /// A message, or the end of all framing.
    Frame(Result<Frame, DecodeError>),
    /// The end of the stream.
    Over,
}

/// One direction of a connection.
#[derive(Debug)]
struct Direction {
    /// What is under way, oldest first, with the instant of arrival; `None` is the end of the stream.
    under_way: VecDeque<(u64, Option<Bytes>)>,
    framer: Framer,
    /// A fault is told once.
    unframed: bool,
    /// Its sender has closed.
    closed: bool,
}

impl Direction {
    fn new() -> Self {
        Self {
            under_way: VecDeque::new(),
            framer: Framer::new(Limits::DEFAULT),
            unframed: false,
            closed: false,
        }
    }
}

#[derive(Debug)]
struct Wire {
    agent: String,
    latency_millis: u64,
    /// Carries nothing any more, and neither end is told.
    cut: bool,
    to_pep: Direction,
    to_pdp: Direction,
}

impl Wire {
    fn towards(&mut self, end: End) -> &mut Direction {
        match end {
            End::Pep => &mut self.to_pep,
            End::Pdp => &mut self.to_pdp,
        }
    }
}

/// All connections of a run.
#[derive(Debug, Default)]
pub(super) struct Wires {
    wires: BTreeMap<WireId, Wire>,
    made: u64,
    pub(super) captured: Vec<Captured>,
}

impl Wires {
    pub(super) fn connect(&mut self, agent: &str, latency_millis: u64) -> WireId {
        self.made += 1;
        let wire = Wire {
            agent: agent.to_owned(),
            latency_millis,
            cut: false,
            to_pep: Direction::new(),
            to_pdp: Direction::new(),
        };
        self.wires.insert(WireId(self.made), wire);
        WireId(self.made)
    }

    pub(super) fn send(&mut self, now: u64, id: WireId, from: End, frame: Frame) {
        let Some(wire) = self.wires.get_mut(&id) else {
            return;
        };
        let octets = frame.into_octets();
        self.captured.push(Captured {
            at_millis: now,
            agent: wire.agent.clone(),
            from,
            octets: octets.clone(),
        });
        let (cut, at) = (wire.cut, now + wire.latency_millis);
        let direction = wire.towards(from.other());
        if !cut && !direction.closed {
            direction.under_way.push_back((at, Some(octets)));
        }
    }

    /// An end closes the connection; the other one learns it after what was sent before.
    pub(super) fn close(&mut self, now: u64, id: WireId, from: End) {
        let Some(wire) = self.wires.get_mut(&id) else {
            return;
        };
        let (cut, at) = (wire.cut, now + wire.latency_millis);
        // Nothing is delivered to an end that has closed.
        let own = wire.towards(from);
        own.under_way.clear();
        own.closed = true;
        let direction = wire.towards(from.other());
        if !direction.closed {
            direction.closed = true;
            if !cut {
                direction.under_way.push_back((at, None));
            }
        }
        self.wires
            .retain(|_, w| !(w.to_pep.closed && w.to_pdp.closed && is_idle(w)));
    }

    /// Nothing passes on the agent's connections any more, and nobody is told.
    pub(super) fn cut(&mut self, agent: &str) {
        for wire in self.wires.values_mut().filter(|wire| wire.agent == agent) {
            wire.cut = true;
            wire.to_pep.under_way.clear();
            wire.to_pdp.under_way.clear();
        }
    }

    /// An end has vanished without a word.
    pub(super) fn vanish(&mut self, id: WireId) {
        if let Some(wire) = self.wires.get_mut(&id) {
            wire.cut = true;
            wire.to_pep.under_way.clear();
        }
    }

    /// What has arrived at an end by `now`, one at a time.
    pub(super) fn receive(&mut self, now: u64, id: WireId, end: End) -> Option<Arrival> {
        let direction = self.wires.get_mut(&id)?.towards(end);
        loop {
            match direction.framer.next_frame() {
                Ok(Some(frame)) => return Some(Arrival::Frame(Ok(frame))),
                Err(error) if !direction.unframed => {
                    direction.unframed = true;
                    return Some(Arrival::Frame(Err(error)));
                }
                Ok(None) | Err(_) => {}
            }
            if direction.under_way.front().is_none_or(|(at, _)| *at > now) {
                return None;
            }
            match direction.under_way.pop_front()?.1 {
                Some(octets) => direction.framer.push(&octets),
                None => return Some(Arrival::Over),
            }
        }
    }

    /// When the next thing arrives anywhere.
    pub(super) fn next(&self) -> Option<u64> {
        let directions = self.wires.values().flat_map(|wire| [&wire.to_pep, &wire.to_pdp]);
        directions
            .filter_map(|d| d.under_way.front().map(|(at, _)| *at))
            .min()
    }
}

fn is_idle(wire: &Wire) -> bool {
    wire.to_pep.under_way.is_empty() && wire.to_pdp.under_way.is_empty()
}
