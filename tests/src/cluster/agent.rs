//! A PEP of the cluster: the program's node and drivers, fed from the virtual clock.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use cops_codec::session::Moment;
use cops_codec::session::pep::reconnect::{Attempt, Reconnect, ReconnectConfig};
use cops_codec::wire::{PdpAddress, PepId};
use futures::FutureExt;
use pep_agent::drivers::simulated::Simulation;
use pep_agent::engine::{Engine, EngineSettings, Subject};
use pep_agent::io::clock::BootClock;
use pep_agent::io::config::AgentConfig;
use pep_agent::io::run::assemble::furnish;
use pep_agent::node::{Node, NodeConfig, NodeEvent, Now, Saved, Status};

use super::clock::{VirtualClock, VirtualSleeper};
use super::driving::{Driving, Fault, Told};
use super::electricity::Electricity;
use super::wires::{Arrival, End, WireId, Wires};

/// An agent, alive or not.
#[derive(Debug)]
pub(super) struct Agent {
    pub(super) config: AgentConfig,
    /// The server whose power it lives by; `None`: infrastructure.
    pub(super) server: Option<String>,
    pub(super) latency_millis: u64,
    /// Nobody gets through to the PDP.
    pub(super) is_cut: bool,
    /// Activities whose drivers are broken.
    pub(super) faults: BTreeMap<String, Fault>,
    /// What the machine's clock showed at the start of the run; another one after each boot.
    boot_offset: u64,
    /// Virtual instant from which the present boot counts.
    booted_at: u64,
    kept: Option<Kept>,
    life: Option<Life>,
    /// Every line for the log, with its instant.
    pub(super) log: Vec<(u64, String)>,
    max_log: usize,
}

/// The state folder.
#[derive(Debug)]
struct Kept {
    saved: Saved,
    /// Boot in which it was saved.
    booted_at: u64,
}

/// A running agent.
#[derive(Debug)]
struct Life {
    node: Node,
    driving: Driving,
    reconnect: Reconnect,
    wire: Option<WireId>,
    /// The timeout was handled at this instant already.
    timed_at: Option<u64>,
}

/// What every agent needs of its cluster at one instant.
pub(super) struct Surroundings<'a> {
    pub(super) clock: &'a Rc<VirtualClock>,
    pub(super) electricity: &'a Electricity,
    pub(super) wires: &'a mut Wires,
    pub(super) random: &'a mut fastrand::Rng,
    /// Where the PDP listens, if it does.
    pub(super) pdp: Option<PdpAddress>,
    pub(super) read_every_millis: u64,
}

impl Agent {
    pub(super) fn new(config: AgentConfig, server: Option<String>, boot_offset: u64) -> Self {
        Self {
            config,
            server,
            latency_millis: 1,
            is_cut: false,
            faults: BTreeMap::new(),
            boot_offset,
            booted_at: 0,
            kept: None,
            life: None,
            log: Vec::new(),
            max_log: 10_000,
        }
    }

    pub(super) fn name(&self) -> &str {
        self.config.name.as_str()
    }

    pub(super) fn is_alive(&self) -> bool {
        self.life.is_some()
    }

    pub(super) fn engine(&self) -> Option<&Engine> {
        self.life.as_ref().map(|life| life.node.engine())
    }

    pub(super) fn status(&self, now: u64) -> Option<Status> {
        self.life.as_ref().map(|life| life.node.status(self.instant(now)))
    }

    fn instant(&self, now: u64) -> Now {
        let millis = self.boot_offset + now.saturating_sub(self.booted_at);
        Now {
            session: Moment(millis),
            engine: millis,
        }
    }

    /// A virtual instant for one of this machine's.
    fn virtual_instant(&self, millis: u64) -> u64 {
        self.booted_at + millis.saturating_sub(self.boot_offset)
    }

    /// The machine was switched on: its clock begins anew.
    pub(super) fn boot(&mut self, now: u64) {
        self.booted_at = now;
        self.boot_offset = 1_000;
    }

    /// Starts the process, with what an earlier one has kept.
    pub(super) fn start(&mut self, around: &mut Surroundings<'_>) -> Result<()> {
        let now = self.instant(around.clock.now());
        let name = self.config.name.clone();
        let mut driving = Driving::new(around.read_every_millis);
        let sleeper = Rc::new(VirtualSleeper(Rc::clone(around.clock)));
        let simulation = Simulation::with_sleeper(around.electricity.client(name.as_str()), 1, sleeper);
        let inventory = furnish(&self.config, BootClock::new(1), Some(&simulation), &mut driving)
            .now_or_never()
            .context("the plant answers at once")?
            .with_context(|| format!("agent {name}"))?;
        let pep_id = PepId::new(name.as_str()).map_err(|error| anyhow!("agent {name}: {error}"))?;
        let mut config = NodeConfig::new(pep_id);
        config.ttl_seconds = u32::try_from(self.config.pdp.plan_ttl.as_secs()).unwrap_or(u32::MAX);
        config.reading_interval = self.config.pdp.reading_interval;
        config.engine = EngineSettings::default();
        if let Some(kept) = &mut self.kept
            && kept.booted_at != self.booted_at
        {
            let (memory, at) = (kept.saved.memory.clone(), kept.saved.saved_at_millis);
            kept.saved.memory = memory.after_reboot(at, now.engine);
        }
        let saved = self.kept.as_ref().map(|kept| &kept.saved);
        let node = Node::new(config, inventory, self.config.armed, saved, now)
            .with_context(|| format!("agent {name}: what it has kept"))?;
        let pace = ReconnectConfig {
            max_interval: self.config.pdp.retry_max,
            ..ReconnectConfig::DEFAULT
        };
        self.life = Some(Life {
            node,
            driving,
            reconnect: Reconnect::new(pace, NonZeroUsize::MIN, now.session, around.random.u64(..)),
            wire: None,
            timed_at: None,
        });
        self.note(around.clock.now(), "the agent starts".to_owned());
        Ok(())
    }

    /// The process is gone. A machine that still runs closes its connections; one without power says nothing.
    pub(super) fn stop(&mut self, now: u64, wires: &mut Wires, says_so: bool) {
        if let Some(life) = self.life.take() {
            if let Some(wire) = life.wire {
                match says_so {
                    true => wires.close(now, wire, End::Pep),
                    false => wires.vanish(wire),
                }
            }
            self.note(now, "the agent is gone".to_owned());
        }
    }

    pub(super) fn wake(&mut self) {
        if let Some(life) = &mut self.life {
            life.driving.wake();
        }
    }

    /// Takes everything that is there at this instant. `Some(wire)` in the second place is a new connection. The first
    /// says whether anything happened.
    pub(super) fn round(&mut self, around: &mut Surroundings<'_>) -> (bool, Option<WireId>) {
        let at = around.clock.now();
        let now = self.instant(at);
        let Some(mut life) = self.life.take() else {
            return (false, None);
        };
        let mut any = false;
        let mut made = None;
        if let Attempt::Connect { .. } = life.reconnect.poll(now.session) {
            any = true;
            match around.pdp.filter(|_| !self.is_cut && life.wire.is_none()) {
                Some(address) => {
                    let wire = around.wires.connect(self.name(), self.latency_millis);
                    life.wire = Some(wire);
                    made = Some(wire);
                    life.node.connect(now, address, around.random.u64(..));
                }
                None => life.reconnect.handle_failed(now.session),
            }
        }
        if let Some(wire) = life.wire {
            while let Some(arrival) = around.wires.receive(at, wire, End::Pep) {
                any = true;
                match arrival {
                    Arrival::Frame(frame) => life.node.handle_frame(now, frame),
                    Arrival::Over => life.node.disconnect(now),
                }
            }
        }
        for told in life.driving.run(at) {
            any = true;
            match told {
                Told::Seen(observation) => life.node.observe(now, now.engine, observation),
                Told::Outcome(id, outcome) => life.node.handle_action_result(now, id, outcome),
            }
        }
        let due = life.node.poll_timeout(now);
        let is_due =
            due.session.is_some_and(|at| at <= now.session) || due.engine.is_some_and(|at| at <= now.engine);
        if is_due && life.timed_at != Some(at) {
            life.timed_at = Some(at);
            any = true;
            life.node.handle_timeout(now);
        }
        any |= self.drain(&mut life, around.wires, at);
        self.life = Some(life);
        (any, made)
    }

    /// What follows from an input, in the program's order: state to disk, actions to drivers, frames to the PDP.
    fn drain(&mut self, life: &mut Life, wires: &mut Wires, at: u64) -> bool {
        let now = self.instant(at);
        let mut any = false;
        loop {
            if let Some(saved) = life.node.unsaved(now) {
                self.kept = Some(Kept {
                    saved,
                    booted_at: self.booted_at,
                });
            }
            let Some(action) = life.node.poll_action() else {
                break;
            };
            any = true;
            self.note(at, format!("acts: {:?}", action.kind));
            let id = action.id;
            let broken = match action.kind.subject() {
                Subject::Activity(key) => self.faults.get(key.activity.as_str()),
                Subject::Line(line) => self.faults.get(line.as_str()),
                _ => None,
            };
            let broken = broken.and_then(|fault| fault.outcome(&action.kind));
            if let Some(outcome) = broken.or_else(|| life.driving.act(action)) {
                life.node.handle_action_result(now, id, outcome);
            }
        }
        let mut closed = false;
        while let Some(event) = life.node.poll_event() {
            match event {
                NodeEvent::Accepted => life.reconnect.handle_connected(now.session),
                // There is one PDP.
                NodeEvent::Redirected(to) => self.note(at, format!("the PDP names {to}")),
                NodeEvent::Closed(cause) => {
                    closed = true;
                    self.note(at, format!("the session has ended: {cause}"));
                }
                NodeEvent::Told(text) | NodeEvent::Warned(text) => self.note(at, text),
            }
        }
        while let Some(frame) = life.node.poll_transmit() {
            any = true;
            if let Some(wire) = life.wire {
                wires.send(at, wire, End::Pep, frame);
            }
        }
        if closed {
            any = true;
            if let Some(wire) = life.wire.take() {
                wires.close(at, wire, End::Pep);
            }
            life.node.forget_session();
            // One of them is meant, the other changes nothing: accepted before, or never.
            life.reconnect.handle_lost(now.session);
            life.reconnect.handle_failed(now.session);
        }
        any
    }

    /// When it has something to do by itself.
    pub(super) fn next(&self, now: u64) -> Option<u64> {
        let life = self.life.as_ref()?;
        let due = life.node.poll_timeout(self.instant(now));
        let reconnect = life.reconnect.poll_timeout();
        let own = due.session.into_iter().chain(reconnect).map(|moment| moment.0);
        let own = own.chain(due.engine).map(|at| self.virtual_instant(at));
        own.chain(life.driving.next()).min()
    }

    fn note(&mut self, at: u64, text: String) {
        if self.log.len() < self.max_log {
            self.log.push((at, text));
        }
    }
}

/// How long a wait may be at most, so that a mistake of ours ends in words and not in a hang.
pub(super) const LONGEST_STEP: Duration = Duration::from_secs(3_600);
