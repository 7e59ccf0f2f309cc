//! What a run shows at its end: the table, the files, and whether it kept the software's promises.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use pdp_server::api::{Event, Status};
use power_policy::plan::text::{Duration, Energy};
use power_policy::plant::{ActivityReport, History, Ledger, PlantConfig, UnmanagedRun};

use super::plot;
use super::summary::{Beside, ClassSummary, EnergySummary, Ride, Summary, TopClass, rides};

/// What was measured.
pub(super) struct Outcome {
    /// The plant's file.
    pub(super) plant: PlantConfig,
    /// Class of each activity.
    pub(super) classes: BTreeMap<String, u16>,
    /// Ride-throughs up to the return of the mains.
    pub(super) at_return: Vec<ActivityReport>,
    /// The same batteries, loads and seed, each server on its own, up to the same instant.
    pub(super) unmanaged: UnmanagedRun,
    /// The plant's ledger at the return of the mains.
    pub(super) ledger_at_return: Ledger,
    /// The plant's ledger at the end.
    pub(super) ledger: Ledger,
    pub(super) history: History,
    /// The PDP's view at the end.
    pub(super) status: Status,
    pub(super) events: Vec<Event>,
}

pub(super) struct Report {
    outcome: Outcome,
    summary: Summary,
}

/// Largest difference between the plant's ledger and what the agents metered, permille.
const METER_TOLERANCE_PERMILLE: u64 = 10;

impl Report {
    pub(super) fn new(outcome: Outcome) -> Self {
        let mut summary = summarise(&outcome);
        summary.faults = faults(&summary);
        Self { outcome, summary }
    }

    /// What speaks against the software; nothing if all is well.
    pub(super) fn faults(&self) -> &[String] {
        &self.summary.faults
    }

    /// The closing table.
    pub(super) fn table(&self) -> String {
        let summary = &self.summary;
        let mut out = String::new();
        // Writing to a String does not fail.
        let _ = writeln!(
            out,
            "\nride-through until the mains returned (first member to stop / last)"
        );
        let _ = writeln!(
            out,
            "  {:<8} {:>28}   {:>28}",
            "class", "this software", "each server on its own"
        );
        for class in &summary.classes {
            let (here, alone) = (in_words(class.rides.here), in_words(class.rides.alone));
            let _ = writeln!(out, "  {:<8} {here:>28}   {alone:>28}", class.priority);
        }
        let top = &summary.top;
        let _ = writeln!(
            out,
            "  the top class: what came over lines from others' batteries lasted {}, {} of {}",
            Duration(top.by_diversion_millis),
            Energy(top.diverted_millijoules),
            Energy(top.got_millijoules),
        );
        let _ = writeln!(out, "\nenergy until the mains returned");
        let (here, alone) = (&summary.energy.here, &summary.energy.alone);
        let mut row = |what: &str, of: fn(&EnergySummary) -> u64| {
            let (here, alone) = (Energy(of(here)).to_string(), Energy(of(alone)).to_string());
            let _ = writeln!(out, "  {what:<32} {here:>12}   {alone:>12}");
        };
        row("drawn from batteries", |e| e.drawn_millijoules);
        row("served to activities", |e| e.activities_millijoules);
        row("served to idle servers", |e| e.idle_millijoules);
        row("lost (inverters, lines, boots)", |e| e.lost_millijoules);
        row("left in batteries", |e| e.left_millijoules);
        let dirty = |of: fn(&Beside<Ride>) -> Ride| {
            let rides = summary.classes.iter().map(|c| of(&c.rides).dirty);
            rides.sum::<usize>()
        };
        let _ = writeln!(
            out,
            "\nactivities that lost power without a clean stop: {} here, {} on their own",
            dirty(|r| r.here),
            dirty(|r| r.alone)
        );
        let _ = writeln!(
            out,
            "{} plans, {} objections of the independent checker; ledger off by {} mJ of rounding; metered view off by {} ‰",
            summary.plans,
            summary.objections,
            summary.ledger_residual_millijoules,
            summary.meter_difference_permille()
        );
        out
    }

    /// Writes the files of the report.
    pub(super) fn write(&self, folder: &Path) -> Result<()> {
        plot::draw(
            &self.outcome.history,
            &self.outcome.classes,
            &folder.join("run.svg"),
        )?;
        let json = |name: &str, value: serde_json::Value| -> Result<()> {
            let file = folder.join(name);
            fs::write(&file, serde_json::to_vec_pretty(&value)?)
                .with_context(|| format!("writing {}", file.display()))
        };
        json("history.json", serde_json::to_value(&self.outcome.history)?)?;
        json("ledger.json", serde_json::to_value(&self.outcome.ledger)?)?;
        json("unmanaged.json", serde_json::to_value(&self.outcome.unmanaged)?)?;
        json("activities.json", serde_json::to_value(&self.outcome.at_return)?)?;
        let mut lines = String::new();
        for event in &self.outcome.events {
            lines.push_str(&serde_json::to_string(event)?);
            lines.push('\n');
        }
        fs::write(folder.join("events.ndjson"), lines)?;
        fs::write(folder.join("table.txt"), self.table())?;
        json("report.json", serde_json::to_value(&self.summary)?)
    }
}

impl Summary {
    fn meter_difference_permille(&self) -> u64 {
        let (metered, drawn) = (self.metered_millijoules, self.drawn_millijoules);
        metered.abs_diff(drawn) * 1000 / drawn.max(1)
    }
}

fn summarise(outcome: &Outcome) -> Summary {
    let here = rides(&outcome.at_return, &outcome.classes);
    let alone = rides(&outcome.unmanaged.activities, &outcome.classes);
    let of_alone = |class: u16| alone.get(&class).copied().unwrap_or_default();
    let classes: Vec<ClassSummary> = here
        .iter()
        .rev()
        .map(|(class, ride)| ClassSummary {
            priority: *class,
            rides: Beside {
                here: *ride,
                alone: of_alone(*class),
            },
        })
        .collect();
    let top = classes.first();
    let of_top = |r: &&ActivityReport| {
        let class = outcome.classes.get(&*r.activity);
        class.is_some() && class == top.map(|t| &t.priority)
    };
    let members: Vec<&ActivityReport> = outcome.at_return.iter().filter(of_top).collect();
    let gained_millis = top.map_or(0, |t| {
        t.rides
            .here
            .first_millis
            .saturating_sub(t.rides.alone.first_millis)
    });
    let top = TopClass::measure(
        &members,
        gained_millis,
        &outcome.plant,
        &outcome.history,
        &outcome.ledger_at_return,
    );
    let metered = outcome.status.reserves.iter().map(|r| r.drawn_millijoules);
    Summary {
        classes,
        top,
        energy: Beside {
            here: EnergySummary::of(&outcome.ledger_at_return),
            alone: EnergySummary::of(&outcome.unmanaged.ledger),
        },
        plans: outcome.status.counts.plans,
        objections: outcome.status.counts.violations,
        ledger_residual_millijoules: outcome.ledger.residual_millijoules(),
        ledger_rounding_millijoules: Ledger::ROUNDING_MILLIJOULES,
        drawn_millijoules: outcome.ledger.drawn_millijoules,
        metered_millijoules: metered.sum(),
        faults: Vec::new(),
    }
}

fn faults(summary: &Summary) -> Vec<String> {
    let mut faults = Vec::new();
    if summary.objections > 0 {
        faults.push(format!(
            "the independent checker objected {} times",
            summary.objections
        ));
    }
    let residual = summary.ledger_residual_millijoules;
    if residual > summary.ledger_rounding_millijoules {
        faults.push(format!("the plant's ledger is off by {residual} mJ"));
    }
    let off = summary.meter_difference_permille();
    if off > METER_TOLERANCE_PERMILLE {
        faults.push(format!("what the agents metered is off by {off} permille"));
    }
    for class in &summary.classes {
        let (priority, dirty) = (class.priority, class.rides.here.dirty);
        if dirty > 0 {
            faults.push(format!(
                "{dirty} activities of class {priority} lost power without a clean stop"
            ));
        }
    }
    let Some(ClassSummary { priority, rides }) = summary.classes.first() else {
        faults.push("nothing of any class ran when the mains failed".to_owned());
        return faults;
    };
    let (here, alone) = (rides.here.first_millis, rides.alone.first_millis);
    let by_own = summary.top.by_own_reserves_millis;
    if here <= alone {
        faults.push(format!(
            "the top class {priority} rode through {}, no longer than each on its own ({})",
            Duration(here),
            Duration(alone)
        ));
    } else if here <= by_own {
        faults.push(format!(
            "the top class {priority} rode through {}, for which its own batteries were enough ({})",
            Duration(here),
            Duration(by_own)
        ));
    }
    faults
}

fn in_words(ride: Ride) -> String {
    if ride.members == 0 {
        return "-".to_owned();
    }
    let last = if ride.survived > 0 {
        format!("{} still ran", ride.survived)
    } else {
        Duration(ride.last_millis).to_string()
    };
    if ride.survived == ride.members {
        return format!("{} and still ran", Duration(ride.first_millis));
    }
    format!("{} / {last}", Duration(ride.first_millis))
}
