//! The snapshot as the planner works on it: sanitised, in floating point, with everything that stays as it is (fixed
//! loads, unreachable servers, lines that nobody may switch) told apart from what a plan may touch.
//!
//! Units here: milliwatts, seconds, millijoules (their product). Indexes are those of the snapshot.

use crate::model::{
    Activity, ActivityState, Cause, Changeover, LineMode, LineState, Mains, Name, PowerPolicy, Powered,
    Priority, ReserveState, Scope, Snapshot,
};

use super::islands::Islands;

/// Report periods after which a reserve's figures count for nobody but its own servers (policy notes, section 3).
const DEAD_PERIODS: u64 = 6;
/// Longest break that a power supply carries by itself, milliseconds (10 to 20 is usual).
pub(super) const HOLD_UP_MILLIS: u64 = 10;

/// What a server lives on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Supply {
    /// Mains is there, outside the interruption.
    Mains,
    /// It must be fed from reserves.
    Battery,
    /// Nobody can tell: left as it is.
    Unknown,
    /// It is off.
    Dark,
}

/// A distinct priority that is present.
#[derive(Debug, Clone)]
pub(super) struct Class {
    pub(super) priority: Priority,
    /// Target from the start of the interruption as the sets say it, seconds; infinite: for ever.
    pub(super) target: f64,
    pub(super) said_target_millis: Option<u64>,
}

/// A server.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub(super) supply: Supply,
    /// Draw with no touchable placement: idle, fixed loads, and what a measurement shows beyond the declared draws.
    pub(super) base: f64,
    /// The part of [`Self::base`] that a halt does not end cleanly: work that the plan may not stop.
    pub(super) fixed: f64,
    pub(super) idle: f64,
    pub(super) peak: f64,
    pub(super) can_switch_off: bool,
    /// Something feeds it now.
    pub(super) fed: bool,
    /// Nothing feeds it, and no line can in time: it is lost with its mains, or lives on what nobody reports.
    pub(super) doomed: bool,
    /// A plan may act on it: armed and reporting.
    pub(super) touchable: bool,
    /// What may be drawn from the mains that is present; infinite where nothing limits it.
    pub(super) mains_watts: f64,
    pub(super) free_cpu: f64,
    pub(super) free_memory: f64,
    pub(super) halt_seconds: f64,
    pub(super) halt_energy: f64,
    /// Live placements on it, highest class first.
    pub(super) placements: Vec<usize>,
    /// Stops that are under way.
    pub(super) stopping: Vec<Ending>,
    /// Touchable work on it that is none of its placements: on an unreachable server, stopping, or half moved. Its energy
    /// for a clean stop, and the longest time of one.
    pub(super) fixed_end: (f64, f64),
    /// Draw of what runs here because its move to here is half done, and is finished or taken back.
    pub(super) arrived: f64,
    /// Reserves that feed it without a line.
    pub(super) stores: Vec<usize>,
    /// Usable lines that can feed it.
    pub(super) links: Vec<usize>,
    pub(super) island: usize,
}

impl Node {
    /// Something is stopping on it that nobody can be asked about.
    pub(super) fn stops_unasked(&self) -> bool {
        self.stopping.iter().any(|e| !e.can_be_asked)
    }

    /// The most that it draws, whatever runs on it.
    pub(super) fn most(&self) -> f64 {
        if self.peak > 0.0 {
            self.peak.max(self.base)
        } else {
            f64::INFINITY
        }
    }
}

/// A stop that is under way.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ending {
    /// Index of the activity.
    pub(super) activity: usize,
    pub(super) draw: f64,
    /// How long it takes, at most.
    pub(super) seconds: f64,
    /// A plan can ask for it again, and so for its result.
    pub(super) can_be_asked: bool,
    /// Where it goes on, if it has moved.
    pub(super) lives_on: Option<usize>,
}

/// A reserve.
#[derive(Debug, Clone)]
pub(super) struct Store {
    /// Energy at its output that may be used, now.
    pub(super) energy: f64,
    /// Energy in the store for one unit at the output, linear part.
    pub(super) input_per_output: f64,
    /// Peukert's exponent less one.
    pub(super) exponent: f64,
    /// Output power up to which the store is linear.
    pub(super) reference: f64,
    pub(super) max_watts: f64,
    /// Others than its own servers may use it.
    pub(super) lendable: bool,
    /// One of its own servers is on mains: it keeps `protect` seconds of their load.
    pub(super) homes: Vec<usize>,
    /// Usable lines that it can feed into.
    pub(super) links: Vec<usize>,
    pub(super) fan_out: usize,
}

impl Store {
    /// Drain, as output energy a second, at an output power: the output, and more of it above the reference power.
    pub(super) fn drain(&self, output: f64) -> f64 {
        if self.exponent <= 0.0 || output <= self.reference || self.reference <= 0.0 {
            return output;
        }
        output * libm::pow(output / self.reference, self.exponent)
    }
}

/// A divert line.
#[derive(Debug, Clone)]
pub(super) struct Link {
    /// It can be commanded.
    pub(super) usable: bool,
    /// Largest power, at its input.
    pub(super) max_watts: f64,
    pub(super) efficiency: f64,
    pub(super) exclusive: bool,
    /// A change of it needs the fed server's own reserve to carry the gap.
    pub(super) needs_bridge: bool,
    pub(super) switch_seconds: f64,
    pub(super) stores: Vec<usize>,
    pub(super) servers: Vec<usize>,
}

/// What is joined: reserve, line and server, with the power that may pass at the line's input.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Feed {
    pub(super) link: usize,
    pub(super) store: usize,
    pub(super) server: usize,
    pub(super) watts: f64,
}

/// The touchable activities of one set on one server: the planner's unit.
#[derive(Debug, Clone)]
pub(super) struct Placement {
    pub(super) class: usize,
    pub(super) server: usize,
    /// Set of its activities.
    pub(super) set: usize,
    /// Indexes of its activities.
    pub(super) activities: Vec<usize>,
    pub(super) draw: f64,
    pub(super) cpu: f64,
    pub(super) memory: f64,
    /// Servers that can take it in, sorted, without its host; empty where it is not movable.
    pub(super) receivers: Vec<usize>,
    /// Server to which a move of it is already under way.
    pub(super) moving_to: Option<usize>,
    /// Where moves that are half done have started its activities already: activity and server. What is not to stay
    /// there is let go of again.
    pub(super) copies: Vec<(usize, usize)>,
    /// Of that, what is on [`Self::moving_to`]: processor, memory and draw.
    pub(super) there: (f64, f64, f64),
    pub(super) move_seconds: f64,
    pub(super) move_energy: f64,
    pub(super) stop_seconds: f64,
    pub(super) stop_energy: f64,
    /// Weighted cores.
    pub(super) value: f64,
}

impl Placement {
    /// Processor, memory and draw that it takes on a server beyond what of it is there already.
    pub(super) fn more_at(&self, s: usize) -> (f64, f64, f64) {
        if self.moving_to != Some(s) {
            return (self.cpu, self.memory, self.draw);
        }
        (
            self.cpu - self.there.0,
            self.memory - self.there.1,
            self.draw - self.there.2,
        )
    }
}

/// The whole, ready for planning.
#[derive(Debug, Clone)]
pub(super) struct Cluster<'a> {
    pub(super) snapshot: &'a Snapshot,
    pub(super) policy: &'a PowerPolicy,
    pub(super) classes: Vec<Class>,
    pub(super) nodes: Vec<Node>,
    pub(super) stores: Vec<Store>,
    pub(super) links: Vec<Link>,
    pub(super) joined: Vec<Feed>,
    pub(super) placements: Vec<Placement>,
    pub(super) islands: usize,
    /// Seconds since the interruption began.
    pub(super) elapsed: f64,
    /// Seconds until anything irreversible may be done.
    pub(super) debounce_left: f64,
}

pub(super) fn seconds(millis: u64) -> f64 {
    millis as f64 / 1_000.0
}

impl<'a> Cluster<'a> {
    pub(super) fn new(snapshot: &'a Snapshot, policy: &'a PowerPolicy) -> Self {
        let elapsed_millis = snapshot.outage.as_ref().map_or(0, |o| o.elapsed_millis);
        let classes = classes(snapshot);
        let mut cluster = Self {
            snapshot,
            policy,
            classes,
            nodes: nodes(snapshot),
            stores: stores(snapshot, policy),
            links: links(snapshot),
            joined: Vec::new(),
            placements: Vec::new(),
            islands: 0,
            elapsed: seconds(elapsed_millis),
            debounce_left: seconds(policy.debounce_millis.saturating_sub(elapsed_millis)),
        };
        cluster.wire();
        cluster.look_at_sources();
        cluster.load();
        cluster
    }

    /// Every action is told and none is done.
    pub(super) fn is_drill(&self) -> bool {
        let outage = self.snapshot.outage.as_ref();
        outage.is_some_and(|o| o.cause == Cause::Drill)
    }

    pub(super) fn server_name(&self, s: usize) -> &Name {
        &self.snapshot.servers[s].name
    }

    pub(super) fn store_name(&self, r: usize) -> &Name {
        &self.snapshot.reserves[r].name
    }

    pub(super) fn link_name(&self, l: usize) -> &Name {
        &self.snapshot.lines[l].name
    }

    pub(super) fn set_name(&self, p: &Placement) -> &Name {
        &self.snapshot.sets[p.set].name
    }

    /// Draw of a server with everything on it that runs now.
    pub(super) fn draw_now(&self, s: usize) -> f64 {
        let node = &self.nodes[s];
        if node.supply == Supply::Dark {
            return 0.0;
        }
        node.base
            + node
                .placements
                .iter()
                .map(|p| self.placements[*p].draw)
                .sum::<f64>()
            + node.stopping.iter().map(|e| e.draw).sum::<f64>()
            + node.arrived
    }

    /// Milliseconds from the beginning of the interruption, for microseconds from now.
    pub(super) fn millis(&self, micros: u64) -> u64 {
        let elapsed = self.snapshot.outage.as_ref().map_or(0, |o| o.elapsed_millis);
        elapsed.saturating_add(micros / 1_000)
    }

    /// Energy in a store, in millijoules as it is reported, when `energy` is left at its output.
    pub(super) fn charge(&self, r: usize, energy: f64) -> u64 {
        let reserve = &self.snapshot.reserves[r];
        let store = &self.stores[r];
        let above = whole(energy.max(0.0) * store.input_per_output);
        // A reserve that cannot be used keeps what it says it holds.
        if reserve.drawable_millijoules() == 0 {
            return reserve.charge_millijoules;
        }
        reserve
            .cutoff_millijoules
            .saturating_add(above)
            .min(reserve.charge_millijoules)
    }

    /// Which lines feed whom, which reserves are whose, and which things hang together.
    fn wire(&mut self) {
        for (r, reserve) in self.snapshot.reserves.iter().enumerate() {
            for s in &reserve.feeds {
                let s = s.0 as usize;
                if self.stores[r].homes.contains(&s)
                    || self.snapshot.servers[s].simulated != reserve.simulated
                {
                    continue;
                }
                self.stores[r].homes.push(s);
                self.nodes[s].stores.push(r);
            }
        }
        for (l, line) in self.snapshot.lines.iter().enumerate() {
            for j in &line.joined {
                self.joined.push(Feed {
                    link: l,
                    store: j.reserve.0 as usize,
                    server: j.server.0 as usize,
                    watts: j.milliwatts as f64,
                });
            }
            if !self.links[l].usable {
                continue;
            }
            let mut reserves: Vec<usize> = line.reserves.iter().map(|r| r.0 as usize).collect();
            reserves.sort_unstable();
            reserves.dedup();
            for r in reserves {
                if self.stores[r].lendable && self.snapshot.reserves[r].simulated == line.simulated {
                    self.stores[r].links.push(l);
                    self.links[l].stores.push(r);
                }
            }
            let mut servers: Vec<usize> = line.servers.iter().map(|s| s.0 as usize).collect();
            servers.sort_unstable();
            servers.dedup();
            for s in servers {
                let server = &self.snapshot.servers[s];
                // "Its lines not switched": an unreachable server keeps what it has.
                if server.simulated == line.simulated && server.powered == Powered::On {
                    self.nodes[s].links.push(l);
                    self.links[l].servers.push(s);
                }
            }
        }
        let mut islands = Islands::new(self.nodes.len() + self.stores.len());
        let first_store = self.nodes.len();
        for (r, store) in self.stores.iter().enumerate() {
            for s in &store.homes {
                islands.join(*s, first_store + r);
            }
        }
        for link in self.links.iter().filter(|l| l.usable) {
            let mut members = link
                .servers
                .iter()
                .copied()
                .chain(link.stores.iter().map(|r| first_store + r));
            if let Some(first) = members.next() {
                members.for_each(|m| islands.join(first, m));
            }
        }
        let number = islands.number();
        for (s, node) in self.nodes.iter_mut().enumerate() {
            node.island = number[s];
        }
        self.islands = number.iter().copied().max().map_or(0, |m| m + 1);
    }

    /// Puts the activities on their servers: touchable ones as placements, others as fixed load.
    fn load(&mut self) {
        let mut by_unit: std::collections::BTreeMap<(usize, usize), Vec<usize>> =
            std::collections::BTreeMap::new();
        // Units with a member that may not be touched stay where they are: they cannot move together.
        let mut stuck: std::collections::BTreeSet<(usize, usize)> = std::collections::BTreeSet::new();
        for (a, activity) in self.snapshot.activities.iter().enumerate() {
            let host = activity.host.0 as usize;
            // One that failed to stop still runs, as far as anybody knows.
            let runs = activity.draws() || activity.state == ActivityState::Failed;
            let runs = runs && self.nodes[host].supply != Supply::Dark;
            for s in self.copies(activity).chain(runs.then_some(host)) {
                self.nodes[s].free_cpu -= activity.cpu_millicores as f64;
                self.nodes[s].free_memory -= activity.memory_mebibytes as f64;
            }
            let draw = activity.draw_milliwatts as f64;
            let at = self.seat(activity);
            let beside = self.copies(activity).chain(runs.then_some(host));
            for s in beside.filter(|s| Some(*s) != at).collect::<Vec<_>>() {
                if activity.is_touchable() {
                    let stop = seconds(activity.stop_millis);
                    let (energy, longest) = &mut self.nodes[s].fixed_end;
                    *energy += (activity.stop_millijoules as f64).max(draw * stop);
                    *longest = longest.max(stop);
                }
            }
            if runs && at != Some(host) {
                let node = &mut self.nodes[host];
                if activity.state == ActivityState::Stopping && activity.set.is_some() {
                    node.stopping.push(Ending {
                        activity: a,
                        draw,
                        seconds: seconds(activity.stop_millis),
                        can_be_asked: activity.is_touchable() && node.touchable,
                        lives_on: at,
                    });
                } else {
                    node.base += draw;
                    node.fixed += draw;
                    if let Some(set) = activity.set {
                        stuck.insert((host, set.0 as usize));
                    }
                }
            }
            if let (Some(at), Some(set)) = (at, activity.set) {
                by_unit.entry((at, set.0 as usize)).or_default().push(a);
            }
            for s in self
                .copies(activity)
                .filter(|s| Some(*s) != at)
                .collect::<Vec<_>>()
            {
                let node = &mut self.nodes[s];
                if at.is_some() && node.touchable {
                    node.arrived += draw;
                } else {
                    // Nobody is told to stop it.
                    node.base += draw;
                    node.fixed += draw;
                }
            }
        }
        for (unit, activities) in by_unit {
            let placement = self.placement(unit, activities, stuck.contains(&unit));
            self.nodes[unit.0].placements.push(self.placements.len());
            self.placements.push(placement);
        }
        let placements = &self.placements;
        for (s, node) in self.nodes.iter_mut().enumerate() {
            node.placements
                .sort_by_key(|p| (placements[*p].class, placements[*p].set));
            let declared = node.base
                + node.placements.iter().map(|p| placements[*p].draw).sum::<f64>()
                + node.stopping.iter().map(|e| e.draw).sum::<f64>()
                + node.arrived;
            let server = &self.snapshot.servers[s];
            match (server.powered, server.measured_milliwatts) {
                // Counted as running at full watts.
                (Powered::Unreachable, _) => {
                    let excess = (node.peak - declared).max(0.0);
                    node.base += excess;
                    node.fixed += excess;
                }
                // A measurement above the declared draws is believed, one below is not: need is rounded up.
                (Powered::On, Some(measured)) => node.base += (measured as f64 - declared).max(0.0),
                _ => {}
            }
        }
    }

    /// Servers, other than its host, on which an activity runs too, as far as they have power.
    fn copies(&self, activity: &'a Activity) -> impl Iterator<Item = usize> + use<'a> {
        let dark: Vec<bool> = activity
            .copies
            .iter()
            .map(|s| *s == activity.host || self.nodes[s.0 as usize].supply == Supply::Dark)
            .collect();
        let copies = activity.copies.iter().zip(dark).filter(|(_, dark)| !dark);
        copies.map(|(s, _)| s.0 as usize)
    }

    /// Where a plan may count on an activity and command it: at its host, or, where that ends it, has ended it or cannot be
    /// told anything, where its move has brought it. None where nothing can be done about it.
    fn seat(&self, activity: &'a Activity) -> Option<usize> {
        let host = activity.host.0 as usize;
        let node = &self.nodes[host];
        let runs = activity.draws() && activity.state != ActivityState::Stopping;
        if !activity.is_touchable() {
            return None;
        }
        if runs && node.supply != Supply::Dark && node.touchable {
            return Some(host);
        }
        self.copies(activity).find(|s| self.nodes[*s].touchable)
    }

    fn placement(&self, (host, set): (usize, usize), activities: Vec<usize>, stuck: bool) -> Placement {
        let all: Vec<&Activity> = activities.iter().map(|a| &self.snapshot.activities[*a]).collect();
        let sum = |f: &dyn Fn(&Activity) -> u64| all.iter().map(|a| f(a) as f64).sum::<f64>();
        let longest = |f: &dyn Fn(&Activity) -> u64| all.iter().map(|a| f(a)).max().map_or(0.0, seconds);
        let priority = self.snapshot.sets[set].priority;
        let class = self
            .classes
            .iter()
            .position(|c| c.priority == priority)
            .unwrap_or(0);
        // Its members stop together, so each draws until the last one is down or its own time is over.
        let stop_seconds = longest(&|a| a.stop_millis);
        let stop_energy = all
            .iter()
            .map(|a| (a.stop_millijoules as f64).max(a.draw_milliwatts as f64 * seconds(a.stop_millis)))
            .sum();
        // A PEP begins its steps one after the other, and they run at the same time.
        let move_seconds = longest(&|a| a.move_millis);
        let copies: Vec<(usize, usize)> = activities
            .iter()
            .flat_map(|a| {
                let elsewhere = self.copies(&self.snapshot.activities[*a]);
                elsewhere.filter(|s| *s != host).map(|s| (*a, s))
            })
            .collect();
        let moving_to = copies.first().map(|(_, s)| *s);
        // One that still runs where nobody can be told to end it, or where it is ending, is not copied once more.
        let settled = copies.iter().all(|(_, s)| self.nodes[*s].touchable)
            && all.iter().all(|a| a.host.0 as usize == host || !a.draws());
        let copies: Vec<(usize, usize)> = copies
            .into_iter()
            .filter(|(_, s)| self.nodes[*s].touchable)
            .collect();
        let of_there = |f: &dyn Fn(&Activity) -> u64| {
            let there = copies.iter().filter(|(_, s)| Some(*s) == moving_to);
            there
                .map(|(a, _)| f(&self.snapshot.activities[*a]) as f64)
                .sum::<f64>()
        };
        let there = (
            of_there(&|a| a.cpu_millicores),
            of_there(&|a| a.memory_mebibytes),
            of_there(&|a| a.draw_milliwatts),
        );
        let mut receivers = Vec::new();
        if !stuck && settled && all.iter().all(|a| a.movable) {
            let first = all.first().map_or(&[][..], |a| &a.startable_on[..]);
            for s in first {
                let there = s.0 as usize;
                let node = &self.nodes[there];
                let open = matches!(node.supply, Supply::Mains | Supply::Battery) && node.touchable;
                let known = all.iter().all(|a| a.startable_on.binary_search(s).is_ok());
                let kind = self.snapshot.servers[there].simulated == self.snapshot.servers[host].simulated;
                if there != host && open && known && kind && node.fed && receivers.last() != Some(&there) {
                    receivers.push(there);
                }
            }
        }
        Placement {
            class,
            server: host,
            set,
            draw: sum(&|a| a.draw_milliwatts),
            cpu: sum(&|a| a.cpu_millicores),
            memory: sum(&|a| a.memory_mebibytes),
            receivers,
            moving_to,
            copies,
            there,
            move_seconds,
            move_energy: sum(&|a| a.move_millijoules),
            stop_seconds,
            stop_energy,
            value: f64::from(self.snapshot.sets[set].weight) * sum(&|a| a.cpu_millicores) / 1_000.0,
            activities,
        }
    }

    /// Which servers are fed at this moment, and which cannot be fed in time.
    fn look_at_sources(&mut self) {
        let mut fed: Vec<bool> = self.nodes.iter().map(|n| n.supply != Supply::Battery).collect();
        for feed in &self.joined {
            fed[feed.server] |= self.stores[feed.store].energy > 0.0;
        }
        let quick: Vec<bool> = self
            .links
            .iter()
            .zip(&self.snapshot.lines)
            .map(|(link, line)| {
                let fast = line.switch_millis <= HOLD_UP_MILLIS;
                link.usable && fast && link.stores.iter().any(|r| self.stores[*r].energy > 0.0)
            })
            .collect();
        for (s, node) in self.nodes.iter_mut().enumerate() {
            node.fed = fed[s] || node.stores.iter().any(|r| self.stores[*r].energy > 0.0);
            node.doomed = !node.fed && !node.links.iter().any(|l| quick[*l]);
        }
    }
}

/// Rounded down, within range.
pub(super) fn whole(value: f64) -> u64 {
    if value.is_finite() && value > 0.0 {
        // A float beyond the range saturates.
        value as u64
    } else if value == f64::INFINITY {
        u64::MAX
    } else {
        0
    }
}

/// Classes that have an activity, highest first; a class has the longest target among its sets.
fn classes(snapshot: &Snapshot) -> Vec<Class> {
    let mut present = vec![false; snapshot.sets.len()];
    for activity in &snapshot.activities {
        if let Some(set) = activity.set {
            present[set.0 as usize] = true;
        }
    }
    let mut classes: Vec<Class> = Vec::new();
    for (set, _) in snapshot
        .sets
        .iter()
        .zip(&present)
        .filter(|(_, present)| **present)
    {
        let target = set.target_millis.map_or(f64::INFINITY, seconds);
        match classes.iter_mut().find(|c| c.priority == set.priority) {
            Some(class) if class.target < target => {
                class.target = target;
                class.said_target_millis = set.target_millis;
            }
            Some(_) => {}
            None => classes.push(Class {
                priority: set.priority,
                target,
                said_target_millis: set.target_millis,
            }),
        }
    }
    classes.sort_by_key(|c| std::cmp::Reverse(c.priority));
    classes
}

/// Whether the interruption's scope covers a server.
pub(super) fn in_scope(snapshot: &Snapshot, s: usize) -> bool {
    let Some(outage) = &snapshot.outage else {
        return false;
    };
    let server = &snapshot.servers[s];
    match &outage.scope {
        Scope::Cluster => true,
        Scope::Servers(names) => names.contains(&server.name),
        Scope::Domains(names) => server
            .inlets
            .iter()
            .any(|i| names.contains(&snapshot.domains[i.domain.0 as usize].name)),
    }
}

fn supply(snapshot: &Snapshot, s: usize) -> Supply {
    let server = &snapshot.servers[s];
    if server.powered.is_off() {
        return Supply::Dark;
    }
    // A command and a drill take the mains of their scope as absent.
    let commanded = snapshot
        .outage
        .as_ref()
        .is_some_and(|o| matches!(o.cause, Cause::Command | Cause::Drill));
    if commanded && in_scope(snapshot, s) {
        return Supply::Battery;
    }
    match server.mains {
        Mains::Present => Supply::Mains,
        Mains::Absent => Supply::Battery,
        // Flapping mains is nothing to count on once there is an interruption.
        Mains::Unstable if in_scope(snapshot, s) => Supply::Battery,
        Mains::Unstable | Mains::Unknown => Supply::Unknown,
    }
}

fn nodes(snapshot: &Snapshot) -> Vec<Node> {
    snapshot
        .servers
        .iter()
        .enumerate()
        .map(|(s, server)| {
            // Idle above peak is a swapped pair.
            let idle = server.idle_milliwatts.min(server.peak_milliwatts) as f64;
            let peak = server.idle_milliwatts.max(server.peak_milliwatts) as f64;
            let idle = if server.peak_milliwatts == 0 {
                server.idle_milliwatts as f64
            } else {
                idle
            };
            let present = server
                .inlets
                .iter()
                .filter(|i| snapshot.domains[i.domain.0 as usize].mains == Mains::Present)
                .map(|i| i.max_milliwatts as f64)
                .sum::<f64>();
            let halt_seconds = seconds(server.halt_millis);
            Node {
                supply: supply(snapshot, s),
                base: if server.powered.is_off() { 0.0 } else { idle },
                fixed: 0.0,
                idle,
                peak,
                can_switch_off: server.may_switch_off(),
                fed: true,
                doomed: false,
                touchable: server.armed && server.powered == Powered::On,
                mains_watts: if server.inlets.is_empty() {
                    f64::INFINITY
                } else {
                    present
                },
                free_cpu: server.cpu_millicores as f64,
                free_memory: server.memory_mebibytes as f64,
                halt_seconds,
                halt_energy: (server.halt_millijoules as f64).max(idle * halt_seconds),
                placements: Vec::new(),
                stopping: Vec::new(),
                fixed_end: (0.0, 0.0),
                arrived: 0.0,
                stores: Vec::new(),
                links: Vec::new(),
                island: 0,
            }
        })
        .collect()
}

fn stores(snapshot: &Snapshot, policy: &PowerPolicy) -> Vec<Store> {
    snapshot
        .reserves
        .iter()
        .map(|reserve| {
            let efficiency = f64::from(reserve.efficiency_permille.clamp(1, 1_000)) / 1_000.0;
            let usable_at_all = reserve.efficiency_permille > 0 && reserve.max_discharge_milliwatts > 0;
            let dead_age = policy.report_period_millis.saturating_mul(DEAD_PERIODS);
            let fresh = reserve.state != ReserveState::Unknown
                && (policy.report_period_millis == 0 || reserve.age_millis <= dead_age);
            Store {
                energy: if usable_at_all {
                    reserve.usable_millijoules() as f64
                } else {
                    0.0
                },
                input_per_output: 1.0 / efficiency,
                exponent: (f64::from(reserve.peukert_permille.clamp(1_000, 2_000)) - 1_000.0) / 1_000.0,
                reference: reserve.rated_milliwatts() as f64 * efficiency,
                max_watts: reserve.max_discharge_milliwatts as f64,
                lendable: reserve.armed && fresh && usable_at_all,
                homes: Vec::new(),
                links: Vec::new(),
                fan_out: reserve.fan_out as usize,
            }
        })
        .collect()
}

fn links(snapshot: &Snapshot) -> Vec<Link> {
    let unreachable: std::collections::BTreeSet<&Name> = snapshot
        .servers
        .iter()
        .filter(|s| s.powered != Powered::On)
        .filter_map(|s| s.pep.as_ref())
        .collect();
    let reporting: std::collections::BTreeSet<&Name> = snapshot
        .servers
        .iter()
        .filter(|s| s.powered == Powered::On)
        .filter_map(|s| s.pep.as_ref())
        .collect();
    snapshot
        .lines
        .iter()
        .map(|line| {
            let switchable = line
                .pep
                .as_ref()
                .is_some_and(|p| !unreachable.contains(p) || reporting.contains(p));
            let usable = line.armed
                && switchable
                && line.state != LineState::Fault
                && line.max_milliwatts > 0
                && line.efficiency_permille > 0;
            let gap = line.mode == LineMode::Exclusive && line.changeover != Changeover::Parallel;
            Link {
                usable,
                max_watts: line.max_milliwatts as f64,
                efficiency: f64::from(line.efficiency_permille.min(1_000)) / 1_000.0,
                exclusive: line.mode == LineMode::Exclusive,
                needs_bridge: (gap && line.switch_millis > HOLD_UP_MILLIS)
                    || line.changeover == Changeover::Bridge,
                switch_seconds: seconds(line.switch_millis),
                stores: Vec::new(),
                servers: Vec::new(),
            }
        })
        .collect()
}
