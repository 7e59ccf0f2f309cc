//! A small world on which the tests drive the machine: two racks of three servers, each with its own PEP, one
//! dual-corded server on both domains, and one that hangs on a domain of its own.

mod commands;
mod phases;
mod properties;
mod witnesses;

use super::*;

pub(super) const DEBOUNCE: u64 = 3_000;
pub(super) const GOOD: u64 = 60_000;

pub(super) fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

pub(super) fn config() -> Config {
    let facility = [(name("dom-b"), name("rack-b"))].into_iter().collect();
    Config::new(&crate::model::PowerPolicy::default(), facility)
}

pub(super) fn sites() -> BTreeMap<Name, Site> {
    let site = |server: &str, domains: &[&str]| {
        let site = Site {
            pep: Some(name(server)),
            domains: domains.iter().map(|d| name(d)).collect(),
        };
        (name(server), site)
    };
    [
        site("a1", &["dom-a"]),
        site("a2", &["dom-a"]),
        site("a3", &["dom-a"]),
        site("b1", &["dom-b"]),
        site("b2", &["dom-b"]),
        site("b3", &["dom-b"]),
        site("both", &["dom-a", "dom-b"]),
        site("lone", &["dom-c"]),
    ]
    .into_iter()
    .collect()
}

pub(super) struct World {
    pub(super) machine: Interruption,
    pub(super) now: u64,
    pub(super) log: Vec<Event>,
}

impl World {
    /// Everybody has reported that all is well.
    pub(super) fn quiet() -> Self {
        let mut world = Self::silent();
        for (pep, site) in sites() {
            for domain in site.domains {
                world.signal(report(&pep, &domain, Witness::Inlet, Mains::Present));
            }
        }
        world.log.clear();
        world
    }

    /// Nobody has reported.
    pub(super) fn silent() -> Self {
        let mut machine = Interruption::new(config());
        machine.set_sites(0, sites());
        Self {
            machine,
            now: 0,
            log: Vec::new(),
        }
    }

    pub(super) fn signal(&mut self, signal: Signal) {
        let events = self.machine.handle(self.now, [signal]);
        self.log.extend(events);
    }

    /// These PEPs see this at all their inlets.
    pub(super) fn see(&mut self, peps: &[&str], mains: Mains) {
        let mut signals = Vec::new();
        for pep in peps {
            for domain in &sites()[&name(pep)].domains {
                signals.push(report(&name(pep), domain, Witness::Inlet, mains));
            }
        }
        let events = self.machine.handle(self.now, signals);
        self.log.extend(events);
    }

    pub(super) fn command(&mut self, id: &str, command: Command) -> (CommandOutcome, bool) {
        self.signal(Signal::Command {
            id: id.to_owned(),
            command,
        });
        let answer = self.log.iter().rev().find_map(|e| match e {
            Event::Command {
                id: of,
                outcome,
                repeated,
            } if of == id => Some((outcome.clone(), *repeated)),
            _ => None,
        });
        answer.unwrap()
    }

    /// Time passes; the machine is called at each of its deadlines, and everybody is heard from every second.
    pub(super) fn pass(&mut self, millis: u64) {
        self.pass_with(millis, true);
    }

    pub(super) fn pass_with(&mut self, millis: u64, heard: bool) {
        let until = self.now + millis;
        let mut beat = self.now + 1_000;
        loop {
            let deadline = self.machine.next_deadline().unwrap_or(u64::MAX);
            let next = deadline.min(if heard { beat } else { u64::MAX }).min(until);
            assert!(
                next > self.now || next == until,
                "a deadline that does not lie ahead: {next} at {}",
                self.now
            );
            self.now = next;
            let events = self.machine.handle_timeout(self.now);
            self.log.extend(events);
            if heard && self.now == beat {
                let signals: Vec<Signal> = sites().into_keys().map(|pep| Signal::Heard { pep }).collect();
                let events = self.machine.handle(self.now, signals);
                self.log.extend(events);
                beat += 1_000;
            }
            if self.now == until {
                return;
            }
        }
    }

    pub(super) fn phases(&self) -> Vec<Phase> {
        self.log
            .iter()
            .filter_map(|e| match e {
                Event::Phase { to, .. } => Some(*to),
                _ => None,
            })
            .collect()
    }

    pub(super) fn entered(&self, phase: Phase) -> usize {
        self.phases().into_iter().filter(|p| *p == phase).count()
    }

    pub(super) fn server(&self, server: &str) -> Mains {
        self.machine.server_mains(&name(server))
    }

    pub(super) fn domain(&self, domain: &str) -> Mains {
        self.machine.domain_mains(&name(domain))
    }

    pub(super) fn outage(&self) -> Outage {
        self.machine.outage(self.now).unwrap()
    }
}

pub(super) fn report(pep: &Name, domain: &Name, witness: Witness, mains: Mains) -> Signal {
    Signal::MainsReport {
        pep: pep.clone(),
        domain: domain.clone(),
        witness,
        mains,
        age_millis: 0,
    }
}

pub(super) fn facility(pep: &str, domain: &str, mains: Mains) -> Signal {
    report(&name(pep), &name(domain), Witness::Facility, mains)
}
