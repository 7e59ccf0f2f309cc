//! What a run showed, in figures: `report.json`.

use std::collections::{BTreeMap, BTreeSet};

use power_policy::plant::{ActivityReport, History, Ledger, PlantConfig};
use serde::{Deserialize, Serialize};

/// All figures of the closing table, and those that its verdict rests on. Times are the plant's, energies millijoules.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Summary {
    /// Each class, the highest first.
    pub classes: Vec<ClassSummary>,
    /// What the highest class lived on.
    pub top: TopClass,
    /// Energy until the mains returned, in the run and with each server on its own.
    pub energy: Beside<EnergySummary>,
    /// Plans that the PDP made.
    pub plans: u64,
    /// Objections of the independent checker to them.
    pub objections: u64,
    /// By how much the balances of the plant's whole ledger are off.
    pub ledger_residual_millijoules: u64,
    /// By how much rounding alone can put them off.
    pub ledger_rounding_millijoules: u64,
    /// Drawn from all batteries, by the plant's ledger.
    pub drawn_millijoules: u64,
    /// The same as metered from what the agents report.
    pub metered_millijoules: u64,
    /// What speaks against the software; nothing if all is well.
    pub faults: Vec<String>,
}

/// The run, and the same batteries, loads and seed with each server on its own.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Beside<T> {
    /// The run.
    pub here: T,
    /// Each server on its own.
    pub alone: T,
}

/// A class.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClassSummary {
    /// Its priority.
    pub priority: u16,
    /// How its members rode through.
    pub rides: Beside<Ride>,
}

/// Ride-through of one class, until the mains returned.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ride {
    /// Until its first member stopped.
    pub first_millis: u64,
    /// Until its last member stopped.
    pub last_millis: u64,
    /// Members that never stopped.
    pub survived: usize,
    /// Members that lost power without a clean stop.
    pub dirty: usize,
    /// Members that ran when the mains failed.
    pub members: usize,
}

/// Where energy went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EnergySummary {
    /// Drawn from batteries.
    pub drawn_millijoules: u64,
    /// Served to activities.
    pub activities_millijoules: u64,
    /// Served to idle servers.
    pub idle_millijoules: u64,
    /// Lost in inverters, batteries, lines, boots and halts.
    pub lost_millijoules: u64,
    /// Left in batteries.
    pub left_millijoules: u64,
}

impl EnergySummary {
    pub(super) fn of(ledger: &Ledger) -> Self {
        Self {
            drawn_millijoules: ledger.drawn_millijoules,
            activities_millijoules: ledger.activities_millijoules,
            idle_millijoules: ledger.idle_millijoules,
            lost_millijoules: ledger.inverter_loss_millijoules
                + ledger.peukert_loss_millijoules
                + ledger.line_loss_millijoules
                + ledger.boot_millijoules
                + ledger.halt_millijoules,
            left_millijoules: ledger.left_millijoules,
        }
    }
}

/// What the highest class lived on while the mains of its servers was absent. Figures that come from the plant's samples
/// are as good as their interval.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TopClass {
    /// Servers on which it ran.
    pub servers: BTreeSet<String>,
    /// How much longer it rode through than with each server on its own: first member to stop.
    pub gained_millis: u64,
    /// What its servers got while their mains was absent (samples).
    pub got_millijoules: u64,
    /// What the reserves of those servers gave, all of it counted as given to them.
    pub own_millijoules: u64,
    /// The rest, which came over lines.
    pub diverted_millijoules: u64,
    /// What came out of all lines until the mains returned (samples, and the ledger's losses).
    pub line_output_millijoules: u64,
    /// How long what was diverted lasted, at what its servers got on average.
    pub by_diversion_millis: u64,
    /// How long what their own reserves held at the loss of mains could have lasted at that average, had nothing been
    /// diverted and the same been shed.
    pub by_own_reserves_millis: u64,
}

/// Ride-throughs by class.
pub(super) fn rides(reports: &[ActivityReport], classes: &BTreeMap<String, u16>) -> BTreeMap<u16, Ride> {
    let mut rides: BTreeMap<u16, Ride> = BTreeMap::new();
    for report in reports {
        let Some(class) = classes.get(&*report.activity) else {
            continue;
        };
        let Some(first) = report.rides.first() else {
            continue;
        };
        let ride = rides.entry(*class).or_insert(Ride {
            first_millis: u64::MAX,
            ..Ride::default()
        });
        ride.members += 1;
        ride.first_millis = ride.first_millis.min(first.ride_through_millis);
        ride.last_millis = ride.last_millis.max(first.ride_through_millis);
        match &first.ended {
            None => ride.survived += 1,
            Some(stop) if !stop.clean => ride.dirty += 1,
            Some(_) => {}
        }
    }
    rides
}

impl TopClass {
    /// `ledger` is that at the return of the mains, and `history` goes at least so far.
    pub(super) fn measure(
        rides: &[&ActivityReport],
        gained_millis: u64,
        plant: &PlantConfig,
        history: &History,
        ledger: &Ledger,
    ) -> Self {
        let servers: BTreeSet<String> = rides
            .iter()
            .flat_map(|r| r.rides.iter().map(|ride| &ride.server).chain(&r.running_on))
            .map(|name| name.to_string())
            .collect();
        let lost_millis = rides
            .iter()
            .flat_map(|r| r.rides.first())
            .map(|ride| ride.lost_millis)
            .min()
            .unwrap_or(ledger.at_millis);
        let columns = |names: &[std::sync::Arc<str>], wanted: &BTreeSet<String>| -> Vec<usize> {
            let found = names.iter().enumerate().filter(|(_, n)| wanted.contains(&***n));
            found.map(|(column, _)| column).collect()
        };
        let spans = || Span::all(history, lost_millis, ledger.at_millis);
        let on = columns(&history.servers, &servers);
        let got_millijoules = spans()
            .map(|s| s.millijoules(|sample| on.iter().map(|c| sample.server_milliwatts[*c]).sum()))
            .sum::<u64>();
        let line_input: u64 = spans()
            .map(|s| s.millijoules(|sample| sample.line_milliwatts.iter().sum()))
            .sum();

        let own: BTreeSet<String> = plant
            .servers
            .iter()
            .filter(|s| servers.contains(&s.name))
            .flat_map(|s| s.supplies.iter().cloned())
            .collect();
        let own_millijoules = ledger
            .reserves
            .iter()
            .filter(|r| own.contains(&r.reserve))
            .map(|r| r.delivered_millijoules)
            .sum::<u64>();
        let at_loss = history.samples.iter().rev().find(|s| s.at_millis <= lost_millis);
        let held: u64 = columns(&history.reserves, &own)
            .into_iter()
            .filter_map(|column| {
                let config = plant
                    .reserves
                    .iter()
                    .find(|r| *r.name == *history.reserves[column])?;
                let charge = at_loss.map_or(config.charge_millijoules, |s| s.reserve_millijoules[column]);
                Some(charge.saturating_sub(config.cutoff_millijoules) * config.efficiency_permille / 1000)
            })
            .sum();
        let diverted_millijoules = got_millijoules.saturating_sub(own_millijoules);
        let span = u128::from(ledger.at_millis.saturating_sub(lost_millis));
        let lasts = |millijoules: u64| {
            let millis = u128::from(millijoules) * span / u128::from(got_millijoules.max(1));
            u64::try_from(millis).unwrap_or(u64::MAX)
        };
        Self {
            servers,
            gained_millis,
            got_millijoules,
            own_millijoules,
            diverted_millijoules,
            line_output_millijoules: line_input.saturating_sub(ledger.line_loss_millijoules),
            by_diversion_millis: lasts(diverted_millijoules),
            by_own_reserves_millis: lasts(held),
        }
    }
}

/// From one sample to the next.
struct Span<'h> {
    first: &'h power_policy::plant::Sample,
    millis: u64,
}

impl<'h> Span<'h> {
    /// The spans between two instants.
    fn all(history: &'h History, from: u64, until: u64) -> impl Iterator<Item = Self> {
        let ends = history.samples.iter().skip(1).map(|s| s.at_millis);
        let ends = ends.chain(std::iter::once(until));
        history.samples.iter().zip(ends).filter_map(move |(first, end)| {
            let begin = first.at_millis.max(from);
            let millis = end.min(until).checked_sub(begin)?;
            Some(Self { first, millis })
        })
    }

    /// What flows in it as it did at its beginning.
    fn millijoules(&self, milliwatts: impl Fn(&power_policy::plant::Sample) -> u64) -> u64 {
        milliwatts(self.first) * self.millis / 1000
    }
}
