//! What a run shows at its end: the table, the files, and whether it kept the software's promises.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use pdp_server::api::{Event, Status};
use power_policy::plan::text::{Duration, Energy};
use power_policy::plant::{ActivityReport, History, Ledger, UnmanagedRun};

use super::plot;

/// What was measured.
pub(super) struct Outcome {
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

/// Ride-through of one class.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Ride {
    /// Until its first member stopped.
    first_millis: u64,
    /// Until its last member stopped.
    last_millis: u64,
    /// Members that never stopped.
    survived: usize,
    /// Members that stopped without warning.
    dirty: usize,
    members: usize,
}

pub(super) struct Report {
    outcome: Outcome,
    managed: BTreeMap<u16, Ride>,
    own: BTreeMap<u16, Ride>,
}

/// Largest difference between the plant's ledger and what the agents metered, permille.
const METER_TOLERANCE_PERMILLE: u64 = 10;

impl Report {
    pub(super) fn new(outcome: Outcome) -> Self {
        let managed = rides(&outcome.at_return, &outcome.classes);
        let own = rides(&outcome.unmanaged.activities, &outcome.classes);
        Self {
            outcome,
            managed,
            own,
        }
    }

    /// What speaks against the software; nothing if all is well.
    pub(super) fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        let counts = self.outcome.status.counts;
        if counts.violations > 0 {
            faults.push(format!(
                "the independent checker objected {} times",
                counts.violations
            ));
        }
        let residual = self.outcome.ledger.residual_millijoules();
        if residual > Ledger::ROUNDING_MILLIJOULES {
            faults.push(format!("the plant's ledger is off by {residual} mJ"));
        }
        let off = self.meter_difference_permille();
        if off > METER_TOLERANCE_PERMILLE {
            faults.push(format!("what the agents metered is off by {off} permille"));
        }
        for (class, ride) in &self.managed {
            if ride.dirty > 0 {
                faults.push(format!(
                    "{} activities of class {class} lost power without a clean stop",
                    ride.dirty
                ));
            }
        }
        if let Some((class, ride)) = self.managed.last_key_value() {
            let own = self.own.get(class).copied().unwrap_or_default();
            if ride.first_millis <= own.first_millis {
                faults.push(format!(
                    "the top class {class} rode through {}, no longer than each on its own ({})",
                    Duration(ride.first_millis),
                    Duration(own.first_millis)
                ));
            }
        }
        faults
    }

    fn meter_difference_permille(&self) -> u64 {
        let metered: u64 = self
            .outcome
            .status
            .reserves
            .iter()
            .map(|r| r.drawn_millijoules)
            .sum();
        let drawn = self.outcome.ledger.drawn_millijoules;
        metered.abs_diff(drawn) * 1000 / drawn.max(1)
    }

    /// The closing table.
    pub(super) fn table(&self) -> String {
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
        for (class, ride) in self.managed.iter().rev() {
            let own = self.own.get(class).copied().unwrap_or_default();
            let _ = writeln!(
                out,
                "  {class:<8} {:>28}   {:>28}",
                in_words(*ride),
                in_words(own)
            );
        }
        let managed = &self.outcome.ledger_at_return;
        let own = &self.outcome.unmanaged.ledger;
        let _ = writeln!(out, "\nenergy until the mains returned");
        let mut row = |what: &str, here: u64, alone: u64| {
            let (here, alone) = (Energy(here).to_string(), Energy(alone).to_string());
            let _ = writeln!(out, "  {what:<32} {here:>12}   {alone:>12}");
        };
        row(
            "drawn from batteries",
            managed.drawn_millijoules,
            own.drawn_millijoules,
        );
        row(
            "served to activities",
            managed.activities_millijoules,
            own.activities_millijoules,
        );
        row(
            "served to idle servers",
            managed.idle_millijoules,
            own.idle_millijoules,
        );
        row("lost (inverters, lines, boots)", lost(managed), lost(own));
        row(
            "left in batteries",
            managed.left_millijoules,
            own.left_millijoules,
        );
        let dirty = |rides: &BTreeMap<u16, Ride>| rides.values().map(|r| r.dirty).sum::<usize>();
        let _ = writeln!(
            out,
            "\nactivities that lost power without a clean stop: {} here, {} on their own",
            dirty(&self.managed),
            dirty(&self.own)
        );
        let counts = self.outcome.status.counts;
        let _ = writeln!(
            out,
            "{} plans, {} objections of the independent checker; ledger off by {} mJ of rounding; metered view off by {} ‰",
            counts.plans,
            counts.violations,
            self.outcome.ledger.residual_millijoules(),
            self.meter_difference_permille()
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
        Ok(())
    }
}

fn lost(ledger: &Ledger) -> u64 {
    ledger.inverter_loss_millijoules
        + ledger.peukert_loss_millijoules
        + ledger.line_loss_millijoules
        + ledger.boot_millijoules
        + ledger.halt_millijoules
}

fn rides(reports: &[ActivityReport], classes: &BTreeMap<String, u16>) -> BTreeMap<u16, Ride> {
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
