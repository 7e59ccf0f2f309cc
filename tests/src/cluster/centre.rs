//! The PDP of the cluster: the program's node, and a journal in memory.

use std::net::SocketAddr;

use anyhow::{Result, anyhow};
use pdp_server::config::Config;
use pdp_server::engine::event::Event;
use pdp_server::engine::state::Record;
use pdp_server::engine::{Engine, Recovery};
use pdp_server::node::{ConnectionId, Node, Notice, Now};
use power_policy::interruption::{Command, CommandOutcome};

use super::wires::{Arrival, End, WireId, Wires};

/// Difference between the PDP's clock and the virtual one: machines do not agree on the time since their boot.
const OFFSET: u64 = 50_000_000;

/// The PDP, alive or not, and what outlives it.
#[derive(Debug)]
pub(super) struct Centre {
    config: Config,
    pub(super) listen: SocketAddr,
    /// Every record, oldest first.
    pub(super) journal: Vec<Record>,
    pub(super) events: Vec<Event>,
    pub(super) answers: Vec<(String, CommandOutcome)>,
    life: Option<Life>,
}

#[derive(Debug)]
struct Life {
    node: Node,
    wires: Vec<WireId>,
    timed_at: Option<u64>,
}

fn instant(now: u64) -> Now {
    Now {
        real_millis: OFFSET + now,
        engine_millis: OFFSET + now,
    }
}

impl Centre {
    pub(super) fn new(config: Config, listen: SocketAddr) -> Self {
        Self {
            config,
            listen,
            journal: Vec::new(),
            events: Vec::new(),
            answers: Vec::new(),
            life: None,
        }
    }

    pub(super) fn is_alive(&self) -> bool {
        self.life.is_some()
    }

    pub(super) fn engine(&self) -> Option<&Engine> {
        self.life.as_ref().map(|life| life.node.engine())
    }

    /// Starts the process on what the journal holds.
    pub(super) fn start(&mut self, now: u64) -> Result<()> {
        let recovery = Recovery {
            records: self.journal.clone(),
            rebase_millis: 0,
            boot_id: "virtual".to_owned(),
            offset_millis: 0,
        };
        let node = Node::new(&self.config, self.listen, 1, instant(now), recovery)
            .map_err(|error| anyhow!("the PDP does not start: {error}"))?;
        self.life = Some(Life {
            node,
            wires: Vec::new(),
            timed_at: None,
        });
        Ok(())
    }

    /// The process is gone without a word of its own; the system closes its connections.
    pub(super) fn kill(&mut self, now: u64, wires: &mut Wires) {
        if let Some(life) = self.life.take() {
            for wire in life.wires {
                wires.close(now, wire, End::Pdp);
            }
        }
    }

    pub(super) fn accept(&mut self, now: u64, wire: WireId) {
        if let Some(life) = &mut self.life {
            life.wires.push(wire);
            // Every agent is on this machine, as far as an address tells.
            life.node.connected(
                instant(now),
                ConnectionId(wire.0),
                SocketAddr::from(([127, 0, 0, 1], 1)),
            );
        }
    }

    pub(super) fn command(&mut self, now: u64, id: &str, command: Command) {
        if let Some(life) = &mut self.life {
            life.node.command(instant(now), id.to_owned(), command);
        }
    }

    /// Takes everything that is there at this instant; whether anything was.
    pub(super) fn round(&mut self, now: u64, wires: &mut Wires) -> bool {
        let Some(life) = &mut self.life else { return false };
        let mut any = false;
        for wire in life.wires.clone() {
            while let Some(arrival) = wires.receive(now, wire, End::Pdp) {
                any = true;
                let id = ConnectionId(wire.0);
                match arrival {
                    Arrival::Frame(frame) => life.node.handle_frame(instant(now), id, frame),
                    Arrival::Over => life.node.disconnected(instant(now), id),
                }
            }
        }
        let due = life.node.poll_timeout();
        let is_due = [due.real_millis, due.engine_millis]
            .into_iter()
            .flatten()
            .any(|at| at <= OFFSET + now);
        if is_due && life.timed_at != Some(now) {
            life.timed_at = Some(now);
            any = true;
            life.node.handle_timeout(instant(now));
        }
        // Records first: what leaves may depend on them.
        self.journal
            .extend(std::iter::from_fn(|| life.node.poll_record()));
        while let Some(id) = life.node.poll_ready() {
            while let Some(frame) = life.node.poll_transmit(id) {
                any = true;
                wires.send(now, WireId(id.0), End::Pdp, frame);
            }
        }
        // Made in no time at all, on the virtual clock.
        while let Some(plan) = life.node.poll_plan_ahead() {
            any = true;
            life.node.planned_ahead(instant(now), plan.run());
        }
        while let Some(notice) = life.node.poll_notice() {
            any = true;
            match notice {
                Notice::Event(event) => self.events.push(event),
                Notice::Answer { id, outcome, .. } => self.answers.push((id, outcome)),
            }
        }
        while let Some((id, _)) = life.node.poll_closed() {
            any = true;
            while let Some(frame) = life.node.poll_transmit(id) {
                wires.send(now, WireId(id.0), End::Pdp, frame);
            }
            life.node.forget_connection(id);
            wires.close(now, WireId(id.0), End::Pdp);
            life.wires.retain(|wire| wire.0 != id.0);
        }
        any
    }

    pub(super) fn next(&self) -> Option<u64> {
        let due = self.life.as_ref()?.node.poll_timeout();
        let next = [due.real_millis, due.engine_millis].into_iter().flatten().min()?;
        Some(next.saturating_sub(OFFSET))
    }
}
