//! A cluster as the policy notes state the planner's problem, in watts, joules and seconds.

use std::fmt;

/// Classes of the scenarios; 0 is the most important.
pub const CLASSES: usize = 5;
/// Worth of one core for one second, by class.
pub const WEIGHTS: [f64; CLASSES] = [64.0, 16.0, 4.0, 1.0, 0.25];
/// Share of the energy that comes out of a divert line.
pub const LINE_EFFICIENCY: f64 = 0.95;
/// Share of the energy that comes out of an inverter.
pub const INVERTER_EFFICIENCY: f64 = 0.92;
/// Share of a reserve's capacity that is never drawn.
pub const CUTOFF: f64 = 0.10;
/// Draw of a boot above idle, as a share of the span to the peak.
pub const BOOT_SPAN: f64 = 0.3;

/// Shape of the switch matrix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Shape {
    /// Every reserve reaches every server.
    Crossbar,
    /// One line a rack of eight.
    Rack,
    /// One line a server, from its own reserve and two on each side.
    Ring,
}

impl Shape {
    /// All of them.
    pub const ALL: [Shape; 3] = [Shape::Crossbar, Shape::Rack, Shape::Ring];

    /// For each of `servers` reserves, the servers that it can feed.
    pub fn reach(self, servers: usize) -> Vec<Vec<usize>> {
        let near = |r: usize, s: usize| match self {
            Shape::Crossbar => true,
            Shape::Rack => r / 8 == s / 8,
            Shape::Ring => {
                let distance = r.abs_diff(s);
                distance.min(servers - distance) <= 2
            }
        };
        let of = |r: usize| (0..servers).filter(|s| near(r, *s)).collect();
        (0..servers).map(of).collect()
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Shape::Crossbar => "crossbar",
            Shape::Rack => "rack",
            Shape::Ring => "ring",
        })
    }
}

/// What the cluster carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scenario {
    /// Five classes; the highest is 3 % of the load.
    A,
    /// The two highest classes of A are one, of 45 % of the load.
    B,
    /// Figures with a source (policy notes, section 11): shares of a public cluster trace, where the top is more than
    /// half of the load; a measured power curve; lead-acid reserves; stops, halts and boots as long as in practice.
    Real,
}

impl Scenario {
    /// All of them.
    pub const ALL: [Scenario; 3] = [Scenario::A, Scenario::B, Scenario::Real];
}

impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Scenario::A => "A",
            Scenario::B => "B",
            Scenario::Real => "real",
        })
    }
}

/// A machine.
#[derive(Clone, Debug, PartialEq)]
pub struct Server {
    /// Draw with nothing running, watts.
    pub idle: f64,
    /// Largest draw, watts.
    pub peak: f64,
    /// Processor capacity.
    pub cpu: f64,
    /// Memory, GiB.
    pub memory: f64,
    /// Time of a halt, seconds.
    pub halt: f64,
    /// Time of a boot, seconds.
    pub boot: f64,
}

impl Server {
    /// Draw of a boot, watts.
    pub fn boot_watts(&self) -> f64 {
        self.idle + BOOT_SPAN * (self.peak - self.idle)
    }
}

/// The reserve of a server.
#[derive(Clone, Debug, PartialEq)]
pub struct Reserve {
    /// Energy of the full store, joules.
    pub rated: f64,
    /// Energy at the inverter's output above the cut-off, joules.
    pub usable: f64,
    /// Largest output, watts.
    pub max_watts: f64,
    /// Peukert's exponent; 1 is linear.
    pub peukert: f64,
}

/// A placement: what stops and moves together.
#[derive(Clone, Debug, PartialEq)]
pub struct Set {
    /// The server it runs on.
    pub host: usize,
    /// Its class; 0 is the highest.
    pub class: usize,
    /// Processor demand, in the unit of [`Server::cpu`].
    pub cpu: f64,
    /// Memory, GiB.
    pub memory: f64,
    /// Draw above its host's idle, watts.
    pub draw: f64,
    /// It may be shifted, to any server.
    pub movable: bool,
    /// Time of a migration, seconds.
    pub move_time: f64,
    /// Energy of a migration beyond its draw at the source, joules.
    pub move_energy: f64,
    /// Time of a graceful stop, seconds.
    pub stop_time: f64,
}

impl Set {
    /// What it is worth to serve it for a second.
    pub fn worth(&self) -> f64 {
        WEIGHTS[self.class] * self.cpu
    }

    /// Energy of a graceful stop.
    pub fn stop_energy(&self) -> f64 {
        self.draw * self.stop_time
    }
}

/// A cluster whose mains has just failed, everywhere.
#[derive(Clone, Debug, PartialEq)]
pub struct Instance {
    /// What it carries.
    pub scenario: Scenario,
    /// Its switch matrix.
    pub shape: Shape,
    /// The seed it came from.
    pub seed: u64,
    /// Machines.
    pub servers: Vec<Server>,
    /// Reserves; each feeds the server of the same index without loss.
    pub reserves: Vec<Reserve>,
    /// For each reserve, the servers that it reaches.
    pub reach: Vec<Vec<usize>>,
    /// Placements.
    pub sets: Vec<Set>,
}

impl Instance {
    /// Usable energy of all reserves.
    pub fn energy(&self) -> f64 {
        self.reserves.iter().map(|r| r.usable).sum()
    }

    /// Longest time that one server could idle on all of the energy: nothing lives longer.
    pub fn horizon(&self) -> f64 {
        let least = self.servers.iter().map(|s| s.idle).fold(f64::INFINITY, f64::min);
        self.energy() / least
    }

    /// The sets whose host is `server`.
    pub fn sets_of(&self, server: usize) -> impl Iterator<Item = usize> + '_ {
        (0..self.sets.len()).filter(move |a| self.sets[*a].host == server)
    }

    /// Energy that arrives at `server` for each unit out of `reserve`; `None`: it does not reach it.
    pub fn efficiency(&self, reserve: usize, server: usize) -> Option<f64> {
        if reserve == server {
            return Some(1.0);
        }
        self.reach[reserve].contains(&server).then_some(LINE_EFFICIENCY)
    }

    /// The same cluster with stops, moves and halts that take this share of their time.
    pub fn quicker(mut self, share: f64) -> Self {
        for set in &mut self.sets {
            set.stop_time *= share;
            set.move_time *= share;
            set.move_energy *= share;
        }
        for server in &mut self.servers {
            server.halt *= share;
        }
        self
    }
}

impl fmt::Display for Instance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "scenario {}, {}, seed {}",
            self.scenario, self.shape, self.seed
        )
    }
}
