//! What becomes of an instance under the planner, carried out on the plant as PDP and agents do.

use power_policy::model::{Mode, PowerPolicy, Snapshot};
use power_policy::plant::Ledger;

use super::cluster::set_name;
use super::executor::{Conduct, Moves, execute};
use super::instance::Instance;
use super::outlook::Outlook;

/// How often the ledger is kept.
const LEDGER_MILLIS: u64 = 20_000;

/// How long each set was served, and how it ended.
#[derive(Clone, Debug)]
pub struct Life {
    /// By set: milliseconds from the loss of the mains until its stop began or its power was lost.
    ends: Vec<Option<u64>>,
    /// Sets that lost power under them.
    pub dirty: usize,
    /// Servers that lost power.
    pub servers_lost: usize,
    /// Plans that were made.
    pub plans: usize,
    /// Moves that were begun.
    pub moves: usize,
    /// Steps that the plant refused.
    pub refused: Vec<String>,
    /// Of [`Self::dirty`], those on servers of which the first plan did not say that a clean end is in doubt.
    pub unexcused: usize,
    /// The ledger on the way.
    pub ledgers: Vec<(u64, Ledger)>,
    until: u64,
}

impl Life {
    pub(super) fn new(sets: usize) -> Self {
        Self {
            ends: vec![None; sets],
            dirty: 0,
            servers_lost: 0,
            plans: 0,
            moves: 0,
            refused: Vec::new(),
            unexcused: 0,
            ledgers: Vec::new(),
            until: u64::MAX,
        }
    }

    pub(super) fn is_served(&self, set: usize) -> bool {
        self.ends[set].is_none()
    }

    pub(super) fn end(&mut self, set: usize, at_millis: u64) {
        self.ends[set].get_or_insert(at_millis);
    }

    pub(super) fn finish(&mut self, at_millis: u64) {
        self.until = at_millis;
    }

    /// Nothing stopped dirty, and every server that ran out had halted.
    pub fn is_clean(&self) -> bool {
        self.dirty == 0 && self.servers_lost == 0
    }

    /// Seconds for which a set was served.
    pub fn served(&self, set: usize) -> f64 {
        self.ends[set].unwrap_or(self.until).min(self.until) as f64 / 1_000.0
    }

    /// Seconds until the first set of class 0 was not served any more.
    pub fn survival(&self, z: &Instance) -> f64 {
        let top = (0..z.sets.len()).filter(|a| z.sets[*a].class == 0);
        top.map(|a| self.served(a)).fold(f64::INFINITY, f64::min)
    }

    /// Expected weighted service.
    pub fn service(&self, z: &Instance, outlook: &Outlook) -> f64 {
        let sets = z.sets.iter().enumerate();
        sets.map(|(a, set)| set.worth() * outlook.expected(self.served(a)))
            .sum()
    }
}

/// How the planner's plans are carried out.
#[derive(Clone, Debug)]
pub struct Way {
    /// What the energy is spent on.
    pub mode: Mode,
    /// Plan again this often; 0: only when a charge is not as forecast.
    pub replan_millis: u64,
    /// Moves are migrations of what runs; otherwise a start there and a stop here.
    pub live_moves: bool,
    /// Site settings; the mode is taken from above.
    pub policy: PowerPolicy,
}

impl Way {
    /// As the policy notes measure: nothing is debounced, and moves are live.
    pub fn new(mode: Mode) -> Self {
        Self {
            mode,
            replan_millis: 30_000,
            live_moves: true,
            policy: PowerPolicy {
                debounce_millis: 0,
                ..PowerPolicy::default()
            },
        }
    }
}

/// What the planner makes of an instance.
pub fn live(z: &Instance, snapshot: &Snapshot, way: &Way, until_millis: u64) -> Life {
    let policy = PowerPolicy {
        mode: way.mode,
        ..way.policy.clone()
    };
    let conduct = Conduct {
        replan_millis: way.replan_millis,
        until_millis,
        moves: if way.live_moves {
            Moves::Live
        } else {
            Moves::Restart
        },
        ledger_millis: LEDGER_MILLIS,
        ..Conduct::default()
    };
    let run = execute(snapshot.clone(), &policy, &conduct);
    let mut life = Life::new(z.sets.len());
    for a in 0..z.sets.len() {
        if let Some(at) = run.stopped_at.get(&set_name(a)) {
            life.end(a, *at);
        }
    }
    life.dirty = run.dirty.len();
    life.servers_lost = run.lost.len();
    life.plans = run.plans.len();
    life.moves = run.moves_begun;
    let doubts = run
        .plans
        .first()
        .map(|(_, plan)| plan.refusals.as_slice())
        .unwrap_or_default();
    let is_doubted = |server: &str| doubts.iter().any(|r| r.subject.as_str() == server);
    life.unexcused = run
        .dirty
        .iter()
        .filter(|(_, server, _)| !is_doubted(server))
        .count();
    life.refused = run.refused;
    life.ledgers = run.ledgers;
    life.finish(until_millis.min(run.plant.now_millis()));
    life
}

/// When an instance is looked at for the last time under each mode, in milliseconds.
pub fn until_millis(z: &Instance, mode: Mode) -> u64 {
    let seconds = match mode {
        Mode::Survive => z.horizon(),
        Mode::Default => z.horizon().min(super::outlook::HORIZON),
    };
    (seconds.clamp(0.0, 86_400.0) * 1_000.0) as u64
}
